//! Identifiers and units: small types that keep a number from being taken for another.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The number of a task, unique in one store. Written `T-42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub i64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T-{}", self.0)
    }
}

/// Text that names no task.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a task; tasks are written T-1, T-2, …")]
pub struct NotATaskId(pub String);

impl FromStr for TaskId {
    type Err = NotATaskId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text
            .strip_prefix("T-")
            .or_else(|| text.strip_prefix("t-"))
            .unwrap_or(text);
        match digits.parse::<i64>() {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(NotATaskId(text.to_owned())),
        }
    }
}

/// A moment, in milliseconds since 1970-01-01 UTC, from the store's clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// The moment `secs` seconds earlier.
    #[must_use]
    pub fn minus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(secs.saturating_mul(1000)))
    }

    /// The moment `secs` seconds later.
    #[must_use]
    pub fn plus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add_unsigned(secs.saturating_mul(1000)))
    }

    /// The moment a `span` later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add_unsigned(millis))
    }

    /// Milliseconds from `earlier` to `self`, 0 when `earlier` is later.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// `14:20`, in UTC.
    #[must_use]
    pub fn clock(self) -> String {
        self.format("%H:%M")
    }

    /// `2026-11-20 14:20`, in UTC.
    #[must_use]
    pub fn date_clock(self) -> String {
        self.format("%Y-%m-%d %H:%M")
    }

    /// `2026-11-20T14:20:05Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    fn format(self, pattern: &str) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => time.strftime(pattern).to_string(),
            Err(_) => format!("{} ms", self.0),
        }
    }
}

/// The name of a git commit: 40 (or 64) lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

/// Text that is not a full commit name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a full commit name of 40 hexadecimal digits")]
pub struct NotACommit(pub String);

impl CommitId {
    /// The full name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }
}

impl TryFrom<String> for CommitId {
    type Error = NotACommit;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let full = text.len() == 40 || text.len() == 64;
        if full && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text))
        } else {
            Err(NotACommit(text))
        }
    }
}

impl FromStr for CommitId {
    type Err = NotACommit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<CommitId> for String {
    fn from(commit: CommitId) -> Self {
        commit.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256 digest as 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)))
    }

    /// The digest whose raw 32 bytes are `raw`, as a streaming hasher gives them.
    #[must_use]
    pub fn from_raw(raw: &[u8]) -> Self {
        Self(hex(raw))
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first six digits: what a person types to say which text they accept.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..6).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path inside a repository: bytes as git has them, `/` between parts, relative.
///
/// Git does not promise UTF-8. Stored as text where it is UTF-8, else as
/// `\0hex:…`, which no path can be, since none holds a NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(Vec<u8>);

impl RepoPath {
    /// A path of these bytes. The caller vouches that they came from a tree or a walk.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes as git has them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as text for a person: invalid bytes replaced; control characters are the renderer's concern.
    #[must_use]
    pub fn lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The bytes as hexadecimal digits when they are not UTF-8.
    #[must_use]
    pub fn hex_if_needed(&self) -> Option<String> {
        std::str::from_utf8(&self.0).is_err().then(|| hex(&self.0))
    }

    /// The last part.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().unwrap_or(&self.0)
    }
}

impl From<&str> for RepoPath {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.lossy())
    }
}

const HEX_MARK: &str = "\0hex:";

impl Serialize for RepoPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.serialize_str(&format!("{HEX_MARK}{}", hex(&self.0))),
        }
    }
}

impl<'de> Deserialize<'de> for RepoPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix(HEX_MARK) {
            None => Ok(Self(text.into_bytes())),
            Some(digits) => unhex(digits)
                .map(Self)
                .ok_or_else(|| serde::de::Error::custom("a path with broken hexadecimal digits")),
        }
    }
}

/// Words of a person as a name made of `[a-z0-9-]`, at most `max` characters, never empty.
///
/// Names of branches and folders are made of nothing else, whatever was typed.
#[must_use]
pub fn slug(text: &str, max: usize) -> String {
    let mut slug = String::new();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    for word in words.filter(|word| !word.is_empty()) {
        let dash = usize::from(!slug.is_empty());
        if slug.len() + dash + word.len() <= max {
            slug.push_str(&"-"[..dash]);
            slug.push_str(&word.to_ascii_lowercase());
        } else {
            // A first word that is too long by itself is cut; later ones are left out whole.
            if slug.is_empty() {
                slug.extend(word.chars().take(max).map(|c| c.to_ascii_lowercase()));
            }
            break;
        }
    }
    if slug.is_empty() {
        "task".to_owned()
    } else {
        slug
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_with_or_without_its_letter() {
        assert_eq!("T-7".parse(), Ok(TaskId(7)));
        assert_eq!("7".parse(), Ok(TaskId(7)));
        assert!("T-0".parse::<TaskId>().is_err());
        assert!("x".parse::<TaskId>().is_err());
    }

    #[test]
    fn a_path_that_is_not_utf8_survives_json() {
        let path = RepoPath::new(b"a/\xff\n".to_vec());
        let json = serde_json::to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<RepoPath>(&json).unwrap(), path);
        assert_eq!(path.hex_if_needed().as_deref(), Some("612fff0a"));
        assert_eq!(RepoPath::from("a b").hex_if_needed(), None);
    }

    #[test]
    fn a_slug_is_made_of_letters_digits_and_dashes_whatever_was_typed() {
        assert_eq!(
            slug("Fix `src/a.rs`: é, $(rm -rf /)", 40),
            "fix-src-a-rs-rm-rf"
        );
        assert_eq!(slug("\u{3000}..//--", 40), "task");
        assert_eq!(slug("abc def", 6), "abc");
        assert_eq!(slug("abcdefgh", 4), "abcd");
    }

    #[test]
    fn times_are_told_in_utc() {
        let time = Time(1_795_184_405_000);
        assert_eq!(time.rfc3339(), "2026-11-20T14:20:05Z");
        assert_eq!(time.clock(), "14:20");
        assert_eq!(time.plus_secs(60).millis_since(time), 60_000);
        assert_eq!(time.millis_since(time.plus_secs(60)), 0);
    }
}
