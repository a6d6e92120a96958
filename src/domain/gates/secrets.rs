//! Credentials in content and in every text that leaves.
//!
//! Three ways to find one: the exact values that the caller knows, in whole, in part and
//! encoded; the published forms of tokens and keys, also inside base64; and assignments of
//! something random to something called a password. Nothing here returns what it found.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::{Change, Finding, Gate, Outcome, forms, keys, lines, show};

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

static DIGITS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/_-]{24,}").ok());
/// Between two strings that are one.
static GLUE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"["'`]\s{0,4}[+.&]{0,2}\s{0,4}["'`]"#).ok());

/// Every credential in a text that is about to leave; one hit for each line and kind.
#[must_use]
pub fn find(text: &[u8], known: &Known) -> Vec<Hit> {
    let lines: Vec<(u32, &[u8])> = lines::numbered(text).collect();
    find_in(&lines, &lines, &Before::default(), known)
}

/// Lines that the changed files had at base, in whichever file: what they hold is public already.
#[derive(Default)]
pub(super) struct Before<'a>(HashSet<&'a [u8]>);

impl<'a> Before<'a> {
    pub(super) fn new(changes: &[&'a Change]) -> Self {
        let old = changes.iter().filter_map(|change| change.old_content());
        let lines = old.flat_map(lines::numbered);
        Self(lines.map(|(_, line)| line.trim_ascii()).collect())
    }

    fn holds(&self, line: &[u8]) -> bool {
        self.0.contains(line.trim_ascii())
    }
}

/// The gate: what the change adds to all that was there.
pub(super) fn judge(change: &Change, known: &Known, before: &Before<'_>) -> Vec<Finding> {
    let Some(new) = change.new_content() else {
        return Vec::new();
    };
    // Two-byte text is text with a NUL beside every letter.
    let text = |bytes: &[u8]| -> Vec<u8> {
        let kept = bytes.iter().filter(|byte| !change.binary || **byte != 0);
        kept.copied().collect()
    };
    let (old, new) = (change.old_content().map(text), text(new));
    let all: Vec<(u32, &[u8])> = lines::numbered(&new).collect();
    let hits = find_in(&all, &lines::added(old.as_deref(), &new), before, known);
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

/// What the `added` lines of a text bring; `all` are its lines, for keys that span them.
///
/// A value of this host is refused even where base has it, everything else is not new there.
fn find_in(
    all: &[(u32, &[u8])],
    added: &[(u32, &[u8])],
    before: &Before<'_>,
    known: &Known,
) -> Vec<Hit> {
    let hit = |line, what, outcome| Hit {
        line,
        what,
        outcome,
    };
    let mut hits: Vec<Hit> = known
        .lines(added)
        .into_iter()
        .map(|line| hit(line, "a secret of this host", Outcome::Refuse))
        .collect();
    let added: Vec<(u32, &[u8])> = added
        .iter()
        .copied()
        .filter(|(_, line)| !before.holds(line))
        .collect();
    for (number, line) in &added {
        if let Some(what) = forms::published(line).or_else(|| written_otherwise(line)) {
            hits.push(hit(*number, what, Outcome::Refuse));
        } else if forms::assigned(line) {
            hits.push(hit(*number, "a password or key", Outcome::Ask));
        }
    }
    let fresh: HashSet<u32> = added.iter().map(|(number, _)| *number).collect();
    for key in keys::find(all) {
        // The header alone may have been there, with other material below it.
        if key.lines.iter().any(|line| fresh.contains(line)) {
            hits.push(hit(key.line, key.what, Outcome::Refuse));
        }
    }
    for (number, joined) in wrapped(&added) {
        if let Some(what) = inside(&joined, DEPTH) {
            hits.push(hit(number, what, Outcome::Refuse));
        }
    }
    hits.sort_by(|a, b| (a.line, a.what).cmp(&(b.line, b.what)));
    hits.dedup();
    hits
}

/// Encodings inside of each other that are undone.
const DEPTH: usize = 2;

/// A token glued from strings, or in base64 or hexadecimal digits.
fn written_otherwise(line: &[u8]) -> Option<&'static str> {
    let glued = GLUE.as_ref().filter(|glue| glue.is_match(line));
    let glued = glued.map(|glue| glue.replace_all(line, b"".as_slice()).into_owned());
    let glued = glued.as_deref();
    glued
        .and_then(forms::published)
        .or_else(|| inside(line, DEPTH))
        .or_else(|| inside(glued?, DEPTH))
}

/// What runs of digits say that are long enough to hold a token.
fn inside(line: &[u8], depth: usize) -> Option<&'static str> {
    let depth = depth.checked_sub(1)?;
    DIGITS.as_ref()?.find_iter(line).find_map(|run| {
        let said = unhex(run.as_bytes()).unwrap_or_else(|| unbase64(run.as_bytes()));
        // Long keys are wrapped, so that a line may hold only part of the header.
        if forms::contains(&said, b"PRIVATE KEY-----") {
            return Some("an encoded private key");
        }
        forms::published(&said).or_else(|| inside(&said, depth))
    })
}

/// Lines in a row that are nothing but digits of base64, joined, with the number of the first.
fn wrapped(lines: &[(u32, &[u8])]) -> Vec<(u32, Vec<u8>)> {
    const SHORTEST: usize = 16;
    let mut found: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut last: Option<u32> = None;
    for (number, line) in lines {
        let bare = line.trim_ascii();
        let bare = bare.strip_suffix(b"\\").unwrap_or(bare);
        let digits = bare
            .strip_suffix(b"==")
            .or(bare.strip_suffix(b"="))
            .unwrap_or(bare);
        let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
        let goes_on = last.is_some_and(|last| last + 1 == *number);
        if digits.is_empty() || !digits.iter().all(is_digit) {
            last = None;
        } else if goes_on && let Some((_, joined)) = found.last_mut() {
            joined.extend_from_slice(digits);
            last = Some(*number);
        } else if digits.len() >= SHORTEST {
            found.push((*number, digits.to_vec()));
            last = Some(*number);
        }
    }
    found
}

/// What a run of hexadecimal digits says; `None` where it is none.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: &u8| {
        char::from(*digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| Some(value(pair.first()?)? << 4 | value(pair.last()?)?))
        .collect()
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
        assert!(DIGITS.is_some() && GLUE.is_some());
    }

    #[test]
    fn published_forms_are_found() {
        let upper: String = "Q7ZKR2MXWTBL4VNC".to_owned();
        let hex: String = "0f1e2d3c4b5a69788796a5b4c3d2e1f0".repeat(2);
        for (expected, token) in [
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
            Some("an encoded private key")
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
    fn something_random_called_a_password_asks() {
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
            assert_eq!(outcome(&text), Some(Outcome::Ask), "{text}");
        }
        let short = format!("password = \"{}\"", ["Tr0ub4", "dor&3"].concat());
        assert_eq!(outcome(&short), Some(Outcome::Ask));
    }

    /// A private key that nobody has, in lines.
    fn key() -> String {
        format!(
            "-----BEGIN {}-----\n{}\n{}\n-----END {0}-----\n",
            "PRIVATE KEY",
            random(64),
            random(40)
        )
    }

    #[test]
    fn a_private_key_is_found_by_what_it_holds_and_its_header_alone_is_none() {
        for text in [
            key(),
            key().replace("PRIVATE KEY", "RSA PRIVATE KEY"),
            key().replace("PRIVATE KEY", "PGP PRIVATE KEY BLOCK"),
            format!("k = \"{}\"", key().replace('\n', "\\n")),
            key()
                .lines()
                .map(|line| format!("  \"{line}\\n\" +\n"))
                .collect(),
            key().replacen(
                '\n',
                "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0011223344556677\n\n",
                1,
            ),
            format!(
                "PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nComment: x\nPublic-Lines: 1\n{}\n",
                random(64)
            ),
        ] {
            assert_eq!(outcome(&text), Some(Outcome::Refuse), "{text}");
        }
        let header = format!("-----BEGIN {}-----", "PRIVATE KEY");
        for text in [
            format!(
                "const HEADER = \"{header}\";\nconst FOOTER = \"-----END PRIVATE KEY-----\";\n"
            ),
            format!(
                "if text.starts_with(\"{header}\") {{\n    return parse(text);\n}}\nlet x = someLongIdentifierOfTheProgram2;\n"
            ),
            format!("{header}\n...\n-----END PRIVATE KEY-----\n"),
            "if first.starts_with(\"PuTTY-User-Key-File-2:\") {\n    putty(first)\n}\n".to_owned(),
        ] {
            assert_eq!(outcome(&text), None, "{text}");
        }
    }

    #[test]
    fn a_token_in_another_writing_is_found() {
        let token = format!("ghp_{}", random(36));
        let encode = |text: &str| {
            let padded = format!("{text}{}", " ".repeat((3 - text.len() % 3) % 3));
            String::from_utf8(base64(padded.as_bytes())).unwrap()
        };
        let hex: String = token.bytes().map(|byte| format!("{byte:02X}")).collect();
        let long = encode(&format!("user=me token={token} and more of it"));
        for text in [
            hex,
            encode(&token),
            encode(&encode(&token)),
            format!("\"{}\" + \"{}\"", &token[..10], &token[10..]),
            format!("'{}''{}'", &token[..10], &token[10..]),
            format!(
                "x: |\n  {}\n  {}\n  {}\n",
                &long[..20],
                &long[20..40],
                &long[40..]
            ),
        ] {
            assert_eq!(outcome(&text), Some(Outcome::Refuse), "{text}");
        }
        let commit = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c";
        assert_eq!(outcome(&format!("{commit}\n{commit}\n")), None);
    }

    #[test]
    fn what_base_holds_in_any_changed_file_is_not_new() {
        let change = |path: &str, old: Option<String>, new: Option<String>| Change {
            path: path.into(),
            old: old.and_then(|text| file(&text)),
            new: new.and_then(|text| file(&text)),
            added: 1,
            removed: 1,
            binary: false,
        };
        let told = |changes: &[Change]| -> Vec<Finding> {
            let all: Vec<&Change> = changes.iter().collect();
            let before = Before::new(&all);
            let known = Known::default();
            all.iter()
                .flat_map(|change| judge(change, &known, &before))
                .collect()
        };
        let token = format!("ghp_{}\n", random(36));
        for secret in [key(), token] {
            let moved = [
                change("a", Some(secret.clone()), None),
                change("b", None, Some(secret.clone())),
            ];
            assert_eq!(told(&moved), []);
            assert_ne!(told(&moved[1..]), []);
        }
        let other: String = key()
            .lines()
            .map(|line| match line.starts_with('-') {
                true => format!("{line}\n"),
                false => format!("{}\n", line.chars().rev().collect::<String>()),
            })
            .collect();
        assert_ne!(told(&[change("a", Some(key()), Some(other))]), []);
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
        assert_eq!(judge(&change, &Known::default(), &Before::default()), []);
        change.old = None;
        let found = judge(&change, &Known::default(), &Before::default());
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
        assert_eq!(
            judge(&change, &Known::default(), &Before::default()).len(),
            1
        );
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
