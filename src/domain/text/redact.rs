//! Secrets taken out of text before it leaves, known ones and those of known forms.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// Finds secrets in text. Holds them in memory: never stored, never printed.
pub struct Redactor {
    /// Parts of known secrets, by their length in bytes.
    parts: HashMap<usize, HashSet<Vec<u8>>>,
    known: Vec<String>,
}

/// A secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where, in bytes of the text; ends on character boundaries.
    pub at: Range<usize>,
    /// What it is, for people: `GitHub token`, `known secret`.
    pub what: &'static str,
}

/// Shorter values would take ordinary words out of every text.
const SHORTEST: usize = 8;

impl Redactor {
    /// Knows these values, their parts of 16 characters and more, and the usual ways of
    /// writing them: base64 (both alphabets, any alignment), hexadecimal, percent, backwards.
    ///
    /// Values under 8 bytes are ignored: they would take ordinary words out of every text.
    #[must_use]
    pub fn new(secrets: Vec<String>) -> Self {
        let mut parts: HashMap<usize, HashSet<Vec<u8>>> = HashMap::new();
        let mut know = |form: &[u8], window: usize| {
            let length = form.len().min(window);
            if length >= SHORTEST {
                let known = parts.entry(length).or_default();
                known.extend(form.windows(length).map(<[u8]>::to_vec));
            }
        };
        for secret in &secrets {
            let raw = secret.trim().as_bytes();
            if raw.len() < SHORTEST {
                continue;
            }
            know(raw, 16);
            know(&raw.iter().rev().copied().collect::<Vec<_>>(), 16);
            let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
            know(hex.as_bytes(), 32);
            know(hex.to_ascii_uppercase().as_bytes(), 32);
            for upper in [true, false] {
                know(percent(raw, upper, true).as_bytes(), 48);
                know(percent(raw, upper, false).as_bytes(), 16);
            }
            for url in [true, false] {
                for skew in 0..3 {
                    know(&base64(raw, skew, url), 20);
                }
            }
        }
        Self {
            parts,
            known: secrets,
        }
    }

    /// The values that it was given.
    #[must_use]
    pub fn known(&self) -> &[String] {
        &self.known
    }

    /// `text` with every secret replaced by `[redacted: what it was]`.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for found in self.find(text) {
            out.push_str(text.get(done..found.at.start).unwrap_or_default());
            out.push_str(&format!("[redacted: {}]", found.what));
            done = found.at.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }

    /// Every secret in `text`, in order; none overlaps another.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<Found> {
        let mut all: Vec<Found> = Vec::new();
        for (length, known) in &self.parts {
            for (start, window) in text.as_bytes().windows(*length).enumerate() {
                if known.contains(window) {
                    let at =
                        text.floor_char_boundary(start)..text.ceil_char_boundary(start + length);
                    all.push(Found {
                        at,
                        what: "known secret",
                    });
                }
            }
        }
        for (what, form) in FORMS.iter() {
            all.extend(form.find_iter(text).map(|hit| Found {
                at: hit.range(),
                what,
            }));
        }
        all.sort_by_key(|found| (found.at.start, std::cmp::Reverse(found.at.end)));
        let mut merged: Vec<Found> = Vec::new();
        for found in all {
            match merged.last_mut() {
                Some(last) if found.at.start < last.at.end => {
                    last.at.end = last.at.end.max(found.at.end);
                }
                _ => merged.push(found),
            }
        }
        merged
    }
}

/// `text` without what is a secret by its form.
pub(super) fn forms(text: &str) -> String {
    static NOTHING_KNOWN: LazyLock<Redactor> = LazyLock::new(|| Redactor::new(Vec::new()));
    NOTHING_KNOWN.redact(text)
}

/// Forms of tokens that say themselves what they are.
static FORMS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    [
        (
            "private key",
            r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----.*?(-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----|\z)",
        ),
        ("GitHub token", r"gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}"),
        ("GitLab token", r"gl(pat|dt|rt|ptt|soat)-[A-Za-z0-9_\-]{16,255}"),
        ("AWS key", r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
        ("API key", r"\bsk-[A-Za-z0-9_\-]{20,255}|\bAIza[A-Za-z0-9_\-]{35}"),
        ("Slack token", r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,255}|\bxapp-[A-Za-z0-9\-]{10,255}"),
        ("registry token", r"\bnpm_[A-Za-z0-9]{36}|\bpypi-[A-Za-z0-9_\-]{50,255}"),
        (
            "JSON web token",
            r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*",
        ),
        // The pictures of control characters are what line breaks become before the text comes by here again.
        (
            "password in a URL",
            r"://[^\s/:@\u{2400}-\u{243f}]{0,100}:[^\s/@\u{2400}-\u{243f}]{3,255}@",
        ),
    ]
    .into_iter()
    // Every form compiles: a test counts them.
    .filter_map(|(what, form)| Some((what, Regex::new(form).ok()?)))
    .collect()
});

/// Percent-encoded: every byte, or those that are not unreserved.
fn percent(raw: &[u8], upper: bool, every: bool) -> String {
    raw.iter()
        .map(|byte| match (every, upper) {
            (false, _) if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => {
                char::from(*byte).to_string()
            }
            (_, true) => format!("%{byte:02X}"),
            (_, false) => format!("%{byte:02x}"),
        })
        .collect()
}

/// The digits of base64 that depend on `raw` alone when `skew` other bytes stand before it.
fn base64(raw: &[u8], skew: usize, url: bool) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let last: &[u8] = if url { b"-_" } else { b"+/" };
    let bits: Vec<bool> = (0..skew * 8)
        .map(|_| false)
        .chain(
            raw.iter()
                .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)),
        )
        .collect();
    let first = (skew * 8).div_ceil(6);
    bits.chunks_exact(6)
        .skip(first)
        .map(|chunk| {
            let value = chunk
                .iter()
                .fold(0_usize, |value, bit| value * 2 + usize::from(*bit));
            let digit = DIGITS
                .get(value)
                .or_else(|| last.get(value.saturating_sub(62)));
            digit.copied().unwrap_or(b'=')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hunter2-correct/horse+battery staple";

    #[test]
    fn every_form_compiles() {
        assert_eq!(FORMS.len(), 9);
    }

    #[test]
    fn a_known_secret_is_found_in_every_writing() {
        let redactor = Redactor::new(vec![SECRET.to_owned(), "short".to_owned()]);
        let hex = "68756e746572322d636f72726563742f686f7273652b62617474657279207374";
        for written in [
            SECRET,
            "rrect/horse+batt",
            "elpats yrettab+esroh/tcerroc-2retnuh",
            hex,
            &hex.to_ascii_uppercase(),
            "aHVudGVyMi1jb3JyZWN0L2hvcnNlK2JhdHRlcnkgc3RhcGxl",
            // With one and two bytes before it.
            "eGh1bnRlcjItY29ycmVjdC9ob3JzZStiYXR0ZXJ5IHN0YXBsZQ",
            "eHhodW50ZXIyLWNvcnJlY3QvaG9yc2UrYmF0dGVyeSBzdGFwbGU",
            "hunter2-correct%2Fhorse%2Bbattery%20staple",
            "hunter2-correct%2fhorse%2bbattery%20staple",
            "%68%75%6e%74%65%72%32%2d%63%6f%72%72%65%63%74%2f%68%6f%72%73%65",
        ] {
            let redacted = redactor.redact(&format!("<é{written}é>"));
            assert!(
                redacted.contains("[redacted: known secret]"),
                "{written} stays in {redacted}"
            );
            assert!(!redacted.contains(written));
        }
        assert_eq!(
            redactor.redact("a short horse battery"),
            "a short horse battery"
        );
    }

    #[test]
    fn a_secret_of_eight_bytes_is_found_whole_only() {
        let redactor = Redactor::new(vec!["p4ssw0rd".to_owned()]);
        assert_eq!(
            redactor.redact("x p4ssw0rd y p4ssw0r"),
            "x [redacted: known secret] y p4ssw0r"
        );
    }

    #[test]
    fn tokens_are_known_by_their_form() {
        let redactor = Redactor::new(Vec::new());
        let tail = "aB3".repeat(20);
        for (token, what) in [
            (format!("ghp_{tail}"), "GitHub token"),
            (format!("github_pat_{tail}"), "GitHub token"),
            (format!("glpat-{tail}"), "GitLab token"),
            ("AKIAIOSFODNN7EXAMPLE".to_owned(), "AWS key"),
            (format!("sk-ant-{tail}"), "API key"),
            ("xoxb-123456789012-abcdef".to_owned(), "Slack token"),
            (format!("npm_{}", "a".repeat(36)), "registry token"),
            (format!("eyJ{tail}.eyJ{tail}.{tail}"), "JSON web token"),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----"
                    .to_owned(),
                "private key",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\ncut off".to_owned(),
                "private key",
            ),
        ] {
            let redacted = redactor.redact(&format!("see {token}"));
            assert_eq!(redacted, format!("see [redacted: {what}]"));
        }
        assert_eq!(
            redactor.redact("clone https://bot:s3cret@forge/o/r"),
            "clone https[redacted: password in a URL]forge/o/r"
        );
        let ordinary = "task-force desk-sk-short AKIA eyJ.eyJ https://host:80/a ghp_x";
        assert_eq!(redactor.redact(ordinary), ordinary);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_sixteen_characters_of_a_secret_survive(before in "\\PC{0,20}", from in 0_usize..20, after in "\\PC{0,20}") {
            let part: String = SECRET.chars().skip(from).take(16).collect();
            let redacted = Redactor::new(vec![SECRET.to_owned()]).redact(&format!("{before}{part}{after}"));
            proptest::prop_assert!(!redacted.contains(&part));
        }
    }
}
