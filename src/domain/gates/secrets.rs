//! Credentials in content and in every text that leaves.
//!
//! Three ways to find one: the exact values that the caller knows, in whole, in part and
//! encoded; the published forms of tokens and keys, also inside base64; and assignments of
//! something random to something called a password. Nothing here returns what it found.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::{Change, Finding, Gate, Outcome, lines, show};

/// A known value shorter than this is not looked for: it would be found everywhere.
const KNOWN_MIN: usize = 6;
/// A part of a known value as long as this counts as the value.
const WINDOW: usize = 16;

/// One place that holds a credential. What it is, never which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hit {
    /// From 1.
    pub line: u32,
    /// A noun with its article: `a GitHub token`.
    pub what: &'static str,
    /// `Refuse`, or `Ask` where it only looks like one.
    pub outcome: Outcome,
}

/// Values that must never leave, prepared for searching.
///
/// Besides each value itself: reversed, hexadecimal and base64 forms, any [`WINDOW`] bytes
/// in a row of these, and all of it across line ends, spaces and quotes.
#[derive(Clone, Default)]
pub struct Known {
    windows: HashSet<[u8; WINDOW]>,
    /// Forms shorter than a window.
    short: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Known {
    /// Says how much it holds, not what.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({} forms)", self.windows.len() + self.short.len())
    }
}

impl Known {
    /// Prepares the values; surrounding white space is not part of one.
    #[must_use]
    pub fn new(values: &[String]) -> Self {
        let mut known = Self::default();
        for value in values {
            let value: Vec<u8> = value.bytes().filter(|byte| counts(*byte)).collect();
            if value.len() >= KNOWN_MIN {
                forms(&value).into_iter().for_each(|form| known.add(form));
            }
        }
        known
    }

    fn add(&mut self, form: Vec<u8>) {
        if form.len() < WINDOW {
            self.short.push(form);
        } else {
            self.windows.extend(form.array_windows::<WINDOW>().copied());
        }
    }

    /// Lines on which a known value begins, or part of one.
    fn lines(&self, text: &[(u32, &[u8])]) -> Vec<u32> {
        if self.windows.is_empty() && self.short.is_empty() {
            return Vec::new();
        }
        let (bytes, places): (Vec<u8>, Vec<u32>) = text
            .iter()
            .flat_map(|(number, line)| line.iter().map(move |byte| (*byte, *number)))
            .filter(|(byte, _)| counts(*byte))
            .unzip();
        let lower = bytes.to_ascii_lowercase();
        let mut hits: Vec<u32> = Vec::new();
        for (at, line) in places.iter().enumerate() {
            let found = |bytes: &[u8]| {
                let rest = bytes.get(at..).unwrap_or_default();
                rest.first_chunk::<WINDOW>()
                    .is_some_and(|window| self.windows.contains(window))
                    || self.short.iter().any(|short| rest.starts_with(short))
            };
            // Lower case too, since hexadecimal digits come in both.
            if hits.last() != Some(line) && (found(&bytes) || found(&lower)) {
                hits.push(*line);
            }
        }
        hits
    }
}

/// Bytes that are searched: a value may be broken over lines or glued from strings.
fn counts(byte: u8) -> bool {
    !matches!(
        byte,
        b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b'`' | b'\\' | b',' | 0
    )
}

/// A value as it can be written.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    use std::fmt::Write as _;
    let hex = value.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let reversed = value.iter().rev().copied().collect();
    let mut forms = vec![value.to_vec(), reversed, hex.into_bytes()];
    // In the middle of a longer text the value may begin at any of three places of a group.
    for skipped in 0..3 {
        let rest = value.get(skipped..).unwrap_or_default();
        let whole = rest.len() - rest.len() % 3;
        let standard = base64(rest.get(..whole).unwrap_or_default());
        if standard.len() >= 8 {
            forms.push(
                standard
                    .iter()
                    .map(|byte| match byte {
                        b'+' => b'-',
                        b'/' => b'_',
                        other => *other,
                    })
                    .collect(),
            );
            forms.push(standard);
        }
    }
    forms
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Whole groups only: the length of `bytes` is a multiple of three.
fn base64(bytes: &[u8]) -> Vec<u8> {
    bytes
        .chunks_exact(3)
        .flat_map(|group| {
            let bits = group
                .iter()
                .fold(0usize, |bits, byte| bits << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|shift| BASE64.get(bits >> shift & 63).copied().unwrap_or(b'A'))
        })
        .collect()
}

/// What a run of base64 digits says, whichever alphabet it uses.
fn unbase64(digits: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(digits.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xFF) as u8);
        }
    }
    out
}

/// A published form of a credential.
struct Form {
    what: &'static str,
    regex: Regex,
}

/// Prefixes that issuers gave their tokens so that they can be found.
const FORMS: &[(&str, &str)] = &[
    (
        "a private key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY( BLOCK)?-----",
    ),
    ("a PuTTY private key", r"PuTTY-User-Key-File-[0-9]:"),
    ("an age private key", r"AGE-SECRET-KEY-1[0-9A-Z]{50,}"),
    (
        "an AWS access key",
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    ),
    ("a GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36,255}"),
    ("a GitHub token", r"\bgithub_pat_[A-Za-z0-9_]{50,255}"),
    (
        "a GitLab token",
        r"\bgl(?:pat|dt|rt|ptt|oas|cbt|ft|soat|agent|imt)-[A-Za-z0-9_-]{20,300}",
    ),
    ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{12,}"),
    ("a Slack token", r"\bxapp-[0-9]-[A-Za-z0-9-]{20,}"),
    (
        "a Slack webhook",
        r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9+/]{30,}",
    ),
    ("a Stripe key", r"\b[rs]k_live_[A-Za-z0-9]{16,}"),
    ("a Stripe webhook secret", r"\bwhsec_[A-Za-z0-9+/]{32,}"),
    ("a Google API key", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("a Google client secret", r"\bGOCSPX-[0-9A-Za-z_-]{24,}"),
    ("an npm token", r"\bnpm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    ("a crates registry token", r"\bcio[A-Za-z0-9]{32}\b"),
    ("a RubyGems key", r"\brubygems_[0-9a-f]{48}\b"),
    ("an Anthropic key", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    (
        "an OpenAI key",
        r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}",
    ),
    ("an OpenAI key", r"\bsk-[A-Za-z0-9]{32,}"),
    ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{34}"),
    (
        "a SendGrid key",
        r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}",
    ),
    ("a DigitalOcean token", r"\bdo[opr]_v1_[0-9a-f]{64}"),
    ("a Docker token", r"\bdckr_[po]at_[A-Za-z0-9_-]{20,}"),
    ("a Shopify token", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("a Vault token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}"),
    ("a Databricks token", r"\bdapi[0-9a-f]{32}\b"),
    ("a Linear key", r"\blin_api_[A-Za-z0-9]{32,}"),
    ("a Mailgun key", r"\bkey-[0-9a-f]{32}\b"),
    (
        "a Telegram bot token",
        r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b",
    ),
    ("an Azure storage key", r"AccountKey=[A-Za-z0-9+/]{80,}"),
    (
        "a JSON web token",
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    ),
];

/// Something quoted, or the rest of a line of a shell or `.env` file, given to a telling name.
const ASSIGNMENTS: &[&str] = &[
    r#"(?i)(?P<key>[a-z0-9_.-]*(?:passw(?:or)?d|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|private[_-]?key|credential)[a-z0-9_-]*)["'`]?\s{0,4}(?::=|=>|=|:)\s{0,4}(?:[a-z]{1,2})?["'`](?P<value>[^"'`\s]{8,200})["'`]"#,
    r"(?i)^\s*(?:export\s+|set\s+|env\s+)?(?P<key>[a-z0-9_.-]*(?:password|passwd|secret|token|api_?key|access_?key|auth_?key|private_?key|credentials?)[a-z0-9_]*)\s?[=:]\s?(?P<value>[^\s\x22'`#;,]{12,200})\s*$",
    r"(?i)(?P<key>\b[a-z][a-z0-9+.-]{1,20}://[^/\s:@]{1,64}):(?P<value>[^/\s:@]{8,200})@[a-z0-9]",
];

static COMPILED: LazyLock<Vec<Form>> = LazyLock::new(|| {
    FORMS
        .iter()
        .filter_map(|(what, pattern)| {
            Some(Form {
                what,
                regex: Regex::new(pattern).ok()?,
            })
        })
        .collect()
});
static ASSIGNED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    ASSIGNMENTS
        .iter()
        .filter_map(|pattern| Regex::new(pattern).ok())
        .collect()
});
static DIGITS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/_-]{24,}").ok());

/// Every credential in a text that is about to leave; one hit for each line and kind.
#[must_use]
pub fn find(text: &[u8], known: &Known) -> Vec<Hit> {
    let lines: Vec<(u32, &[u8])> = lines::numbered(text).collect();
    find_in(&lines, known)
}

/// The gate: what the change adds.
pub(super) fn judge(change: &Change, known: &Known) -> Vec<Finding> {
    let Some(new) = change.new_content() else {
        return Vec::new();
    };
    let hits = if change.binary {
        // Two-byte text is text with a NUL beside every letter.
        let text: Vec<u8> = new.iter().copied().filter(|byte| *byte != 0).collect();
        let old: Vec<u8> = change
            .old_content()
            .unwrap_or_default()
            .iter()
            .copied()
            .filter(|byte| *byte != 0)
            .collect();
        find_in(&lines::added(Some(&old), &text), known)
    } else {
        find_in(&lines::added(change.old_content(), new), known)
    };
    let path = show::path(&change.path);
    let finding = |hit: Hit| Finding {
        gate: Gate::Secrets,
        outcome: hit.outcome,
        path: Some(change.path.clone()),
        line: (!change.binary).then_some(hit.line),
        reason: match hit.outcome {
            Outcome::Refuse => format!("{path} holds {}; secrets are never published", hit.what),
            Outcome::Ask | Outcome::Pass => format!("{path} may hold {}", hit.what),
        },
    };
    hits.into_iter().map(finding).collect()
}

fn find_in(lines: &[(u32, &[u8])], known: &Known) -> Vec<Hit> {
    let hit = |line, what, outcome| Hit {
        line,
        what,
        outcome,
    };
    let mut hits: Vec<Hit> = known
        .lines(lines)
        .into_iter()
        .map(|line| hit(line, "a secret of this host", Outcome::Refuse))
        .collect();
    for (number, line) in lines {
        if let Some(what) = published(line).or_else(|| inside_base64(line)) {
            hits.push(hit(*number, what, Outcome::Refuse));
        } else if let Some(outcome) = assigned(line) {
            hits.push(hit(*number, "a password or key", outcome));
        }
    }
    hits.sort_by(|a, b| (a.line, a.what).cmp(&(b.line, b.what)));
    hits.dedup();
    hits
}

fn published(text: &[u8]) -> Option<&'static str> {
    COMPILED
        .iter()
        .find(|form| {
            form.regex
                .find_iter(text)
                .any(|found| !is_sample(found.as_bytes()))
        })
        .map(|form| form.what)
}

/// Keys are often stored as base64 of the file that holds them.
fn inside_base64(line: &[u8]) -> Option<&'static str> {
    let runs = DIGITS.as_ref()?.find_iter(line);
    runs.map(|run| unbase64(run.as_bytes()))
        .find_map(|decoded| match decoded {
            // Long keys are wrapped, so that a line may hold only part of the header.
            decoded if contains(&decoded, b"PRIVATE KEY-----") => Some("a private key in base64"),
            decoded => published(&decoded),
        })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A token of an issuer's own documentation, or one that nobody could have been issued.
fn is_sample(token: &[u8]) -> bool {
    let lower = token.to_ascii_lowercase();
    let said = [
        b"example".as_slice(),
        b"xxxxxx",
        b"000000000000",
        b"placeholder",
        b"your",
    ];
    // `{"sub":"1234567890"…`, the sample token of the format's own site.
    contains(token, b"eyJzdWIiOiIxMjM0NTY3ODkwI")
        || said.iter().any(|word| contains(&lower, word))
        || (!token.starts_with(b"-----") && kinds(token.get(8..).unwrap_or_default()) < 5)
}

/// How many different bytes there are.
fn kinds(bytes: &[u8]) -> usize {
    bytes.iter().collect::<HashSet<_>>().len()
}

/// What is assigned to a telling name: refused when it is random enough, asked when it may be.
fn assigned(line: &[u8]) -> Option<Outcome> {
    ASSIGNED
        .iter()
        .flat_map(|regex| regex.captures_iter(line))
        .filter_map(|found| {
            let value = found.name("value")?.as_bytes();
            judged(value)
        })
        .max()
}

/// Parts of values that stand for something else, or that a person made up.
const STAND_INS: &[&str] = &[
    "example",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "xxxx",
    "your",
    "dummy",
    "fake",
    "sample",
    "redacted",
    "insert",
    "replace",
    "todo",
    "test",
    "mock",
    "hunter2",
    "foobar",
    "secret",
    "password",
    "passwd",
    "token",
    "12345",
    "abcdef",
    "qwerty",
    "...",
    "****",
    "env.",
    "environ",
    "getenv",
    "none",
    "null",
    "undefined",
    "true",
    "false",
    "invalid",
    "correct-horse",
    "localhost",
    "default",
];

fn judged(value: &[u8]) -> Option<Outcome> {
    let lower = String::from_utf8_lossy(value).to_lowercase();
    let code = lower.contains(['$', '{', '}', '<', '>', '(', ')', '[', ']', '%', '…']);
    if code || STAND_INS.iter().any(|word| lower.contains(word)) {
        return None;
    }
    let has = |class: fn(&u8) -> bool| value.iter().any(class);
    let (upper, small, digit) = (
        has(u8::is_ascii_uppercase),
        has(u8::is_ascii_lowercase),
        has(u8::is_ascii_digit),
    );
    let symbol = has(u8::is_ascii_punctuation);
    let classes = [upper, small, digit, symbol]
        .into_iter()
        .filter(|has| *has)
        .count();
    let bits = entropy(value);
    // Paths, names of settings and sentences in kebab case have many separators, and words.
    let separators = value
        .iter()
        .filter(|b| matches!(b, b'/' | b'.' | b'_' | b'-' | b':'))
        .count();
    let mut runs = value.split(|byte| !byte.is_ascii_lowercase());
    let wordy = separators * 6 > value.len() || runs.any(|run| run.len() >= 8);
    let long = value.len() >= 20 && (upper || small) || value.len() >= 16 && classes >= 3;
    if long && digit && bits >= 3.5 && !wordy {
        Some(Outcome::Refuse)
    } else if value.len() >= 8 && upper && small && digit && symbol && bits >= 2.9 {
        Some(Outcome::Ask)
    } else {
        None
    }
}

/// Bits per byte.
fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = value.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Entry, EntryKind};
    use super::*;

    /// Put together here, so that no file of ours holds anything that looks issued.
    fn random(length: usize) -> String {
        "q7ZkR2mXw9TbL4vNc8HsJ5dFy3GpA6eU1rBnKtQzWxMfVhDjCsPgEaYuRoIiSlTm"
            .chars()
            .cycle()
            .take(length)
            .collect()
    }

    fn what(text: &str) -> Option<&'static str> {
        find(text.as_bytes(), &Known::default())
            .first()
            .map(|hit| hit.what)
    }

    fn outcome(text: &str) -> Option<Outcome> {
        find(text.as_bytes(), &Known::default())
            .first()
            .map(|hit| hit.outcome)
    }

    #[test]
    fn every_rule_compiles() {
        assert_eq!(COMPILED.len(), FORMS.len());
        assert_eq!(ASSIGNED.len(), ASSIGNMENTS.len());
        assert!(DIGITS.is_some());
    }

    #[test]
    fn published_forms_are_found() {
        let upper: String = "Q7ZKR2MXWTBL4VNC".to_owned();
        let hex: String = "0f1e2d3c4b5a69788796a5b4c3d2e1f0".repeat(2);
        let begin = "-----BEGIN ";
        for (expected, token) in [
            ("a private key", format!("{begin}RSA PRIVATE KEY-----")),
            ("a private key", format!("{begin}PRIVATE KEY-----")),
            ("a private key", format!("{begin}OPENSSH PRIVATE KEY-----")),
            (
                "a private key",
                format!("{begin}PGP PRIVATE KEY BLOCK-----"),
            ),
            ("an AWS access key", format!("AKIA{upper}")),
            ("a GitHub token", format!("ghp_{}", random(36))),
            ("a GitHub token", format!("gho_{}", random(36))),
            ("a GitHub token", format!("github_pat_{}", random(70))),
            ("a GitLab token", format!("glpat-{}", random(20))),
            ("a Slack token", format!("xoxb-{}", random(24))),
            (
                "a Slack webhook",
                format!("https://hooks.slack.com/services/{}", random(40)),
            ),
            ("a Stripe key", format!("sk_live_{}", random(24))),
            ("a Google API key", format!("AIza{}", random(35))),
            ("an npm token", format!("npm_{}", random(36))),
            ("a PyPI token", format!("pypi-AgE{}", random(60))),
            ("an Anthropic key", format!("sk-ant-api03-{}", random(40))),
            ("an OpenAI key", format!("sk-proj-{}", random(40))),
            ("an OpenAI key", format!("sk-{}", random(48))),
            ("a DigitalOcean token", format!("dop_v1_{hex}")),
            ("a JSON web token", format!("eyJ{0}.eyJ{0}.{0}", random(20))),
        ] {
            assert_eq!(
                what(&format!("x = f({token}) # why")),
                Some(expected),
                "{token}"
            );
        }
    }

    #[test]
    fn a_private_key_in_base64_is_found_and_a_certificate_is_not() {
        let encode = |text: &str| String::from_utf8(base64(text.as_bytes())).unwrap();
        let key = encode(&format!(
            "-----BEGIN {} KEY-----\nMIIEvQIBADANBg",
            "RSA PRIVATE"
        ));
        assert_eq!(
            what(&format!("  tls.key: {key}")),
            Some("a private key in base64")
        );
        let token = encode(&format!("token=ghp_{}  ", random(36)));
        assert_eq!(what(&format!("data: {token}")), Some("a GitHub token"));
        let certificate = encode("-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqh");
        assert_eq!(what(&format!("  tls.crt: {certificate}")), None);
    }

    #[test]
    fn samples_and_stand_ins_are_let_through() {
        for text in [
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "password = \"changeme\"",
            "password = \"${DB_PASSWORD}\"",
            "password: \"<your password here>\"",
            "token = \"test-token-0123456789\"",
            "let token = \"identifier_of_the_thing\";",
            "api_key = os.environ[\"API_KEY\"]",
            "const token = getToken(\"very-long-argument-4711\")",
            "secret: \"kubernetes.io/service-account/v1\"",
            "TOKEN=$(cat /run/secrets/token)",
            "secretKeyRef: \"database-credentials\"",
            "expected_token_count: 1234567890123456",
            "token_type = TokenKind::Identifier2",
            "postgres://user:password@localhost/db",
            "see sk-learn-contrib and task-runner-something",
            "\"integrity\": \"sha512-q7ZkR2mXw9TbL4vNc8HsJ5dFy3GpA6eU1rBnKtQz==\"",
            "checksum = \"0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0\"",
        ] {
            assert_eq!(what(text), None, "{text}");
        }
        let jwt =
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghijklmnop";
        assert_eq!(what(jwt), None);
    }

    #[test]
    fn something_random_called_a_password_is_refused_and_a_short_one_asks() {
        let value = random(24);
        for text in [
            format!("password = \"{value}\""),
            format!("  \"api_key\": \"{value}\","),
            format!("client_secret: '{value}'"),
            format!("aws_secret_access_key = {}", random(40)),
            format!("export DB_PASSWORD={value}"),
            format!("SOME_TOKEN: {value}"),
            format!("url = \"postgres://app:{value}@db.internal/x\""),
        ] {
            assert_eq!(outcome(&text), Some(Outcome::Refuse), "{text}");
        }
        let short = format!("password = \"{}\"", ["Tr0ub4", "dor&3"].concat());
        assert_eq!(outcome(&short), Some(Outcome::Ask));
    }

    #[test]
    fn a_known_value_is_found_in_every_form() {
        let value = format!("canary-{}", random(30));
        let known = Known::new(std::slice::from_ref(&value));
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        let encode = |text: String| String::from_utf8(base64(text.as_bytes())).unwrap();
        for (form, text) in [
            ("whole", value.clone()),
            ("part", value[9..26].to_owned()),
            ("reversed", value.chars().rev().collect()),
            ("hexadecimal", hex.clone()),
            ("upper hexadecimal", hex.to_uppercase()),
            ("base64", encode(format!("{value}__"))),
            ("base64, one later", encode(format!("a{value}___"))),
            ("base64, two later", encode(format!("ab{value}___"))),
            (
                "over lines",
                format!("a = \"{}\"\n    \"{}\"", &value[..12], &value[12..]),
            ),
        ] {
            let hits = find(format!("text {text} text").as_bytes(), &known);
            let found = hits
                .iter()
                .any(|hit| hit.what == "a secret of this host" && hit.outcome == Outcome::Refuse);
            assert!(found, "{form}");
        }
        assert_eq!(find(b"nothing here", &known), []);
        assert!(!format!("{known:?}").contains("canary"));
    }

    #[test]
    fn a_short_known_value_is_found_whole_only() {
        let known = Known::new(&["pa55phrase".to_owned(), "abc".to_owned()]);
        assert_eq!(find(b"x pa55phrase x", &known).len(), 1);
        assert_eq!(find(b"x pa55phras abc", &known), []);
    }

    fn file(content: &str) -> Option<Entry> {
        Some(Entry {
            kind: EntryKind::File,
            size: content.len() as u64,
            content: Some(content.as_bytes().to_vec()),
        })
    }

    #[test]
    fn only_what_is_added_counts_and_the_reason_does_not_repeat_it() {
        let token = format!("ghp_{}", random(36));
        let mut change = Change {
            path: "a.env".into(),
            old: file(&format!("one\n{token}\n")),
            new: file(&format!("{token}\none\ntwo\n")),
            added: 1,
            removed: 0,
            binary: false,
        };
        assert_eq!(judge(&change, &Known::default()), []);
        change.old = None;
        let found = judge(&change, &Known::default());
        assert_eq!(found.first().unwrap().line, Some(1));
        insta::assert_snapshot!(found.first().unwrap().reason, @"`a.env` holds a GitHub token; secrets are never published");
    }

    #[test]
    fn a_secret_in_two_byte_text_is_found() {
        let token = format!("ghp_{}", random(36));
        let wide: Vec<u8> = token.bytes().flat_map(|byte| [byte, 0]).collect();
        let change = Change {
            path: "a".into(),
            old: None,
            new: Some(Entry {
                kind: EntryKind::File,
                size: 80,
                content: Some(wide),
            }),
            added: 0,
            removed: 0,
            binary: true,
        };
        assert_eq!(judge(&change, &Known::default()).len(), 1);
    }

    proptest! {
        #[test]
        fn base64_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let whole = &bytes[..bytes.len() - bytes.len() % 3];
            prop_assert_eq!(unbase64(&base64(whole)), whole);
        }

        #[test]
        fn any_bytes_can_be_searched(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let hits = find(&text, &Known::new(&["canary-value-of-some-length".to_owned()]));
            prop_assert!(hits.len() <= text.len() + 1);
        }
    }
}
