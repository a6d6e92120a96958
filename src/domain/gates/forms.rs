//! What credentials look like: the published forms of tokens, and what a password is assigned to.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::bytes::Regex;

/// What a text holds that an issuer made so that it can be found, samples apart.
pub(super) fn published(text: &[u8]) -> Option<&'static str> {
    COMPILED
        .iter()
        .find(|form| {
            form.regex
                .find_iter(text)
                .any(|found| !is_sample(found.as_bytes()))
        })
        .map(|form| form.what)
}

/// A published form of a credential.
struct Form {
    what: &'static str,
    regex: Regex,
}

/// Prefixes that issuers gave their tokens so that they can be found.
const FORMS: &[(&str, &str)] = &[
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
        || kinds(token.get(8..).unwrap_or_default()) < 5
}

/// How many different bytes there are.
fn kinds(bytes: &[u8]) -> usize {
    bytes.iter().collect::<HashSet<_>>().len()
}

/// Whether something that may be a password is assigned to a telling name.
pub(super) fn assigned(line: &[u8]) -> bool {
    ASSIGNED
        .iter()
        .flat_map(|regex| regex.captures_iter(line))
        .filter_map(|found| found.name("value"))
        .any(|value| may_be_secret(value.as_bytes()))
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

/// Whether a value is random enough for one that somebody was given.
fn may_be_secret(value: &[u8]) -> bool {
    let lower = String::from_utf8_lossy(value).to_lowercase();
    let code = lower.contains(['$', '{', '}', '<', '>', '(', ')', '[', ']', '%', '…']);
    if code || STAND_INS.iter().any(|word| lower.contains(word)) {
        return false;
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
    long && digit && bits >= 3.5 && !wordy
        || value.len() >= 8 && upper && small && digit && symbol && bits >= 2.9
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

pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_compiles() {
        assert_eq!(COMPILED.len(), FORMS.len());
        assert_eq!(ASSIGNED.len(), ASSIGNMENTS.len());
    }
}
