//! Gates: rules over a diff. Each passes, asks a person or refuses, with file, line and reason.

use serde::{Deserialize, Serialize};

use super::ident::RepoPath;

/// What a tree holds at one path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// What kind of thing.
    pub kind: EntryKind,
    /// Bytes.
    pub size: u64,
    /// The bytes where they are at most [`CONTENT_CAP`], for files and links.
    pub content: Option<Vec<u8>>,
}

/// Content above this is judged by size and kind alone.
pub const CONTENT_CAP: u64 = 2 << 20;

/// What git can hold at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Mode 100644.
    File,
    /// Mode 100755.
    Executable,
    /// Mode 120000; the content is the target.
    Symlink,
    /// Mode 160000.
    Gitlink,
}

/// One path that differs between base and head.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub path: RepoPath,
    /// At base; `None` = added.
    pub old: Option<Entry>,
    /// At head; `None` = deleted.
    pub new: Option<Entry>,
    /// Lines added, 0 for binaries.
    pub added: u32,
    /// Lines removed, 0 for binaries.
    pub removed: u32,
    /// Whether either side is binary, as git judges it (a NUL in the first 8,000 bytes).
    pub binary: bool,
}

/// Which rule spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// `[scope] deny`, or outside `[scope] allow` and the brief's scope.
    Paths,
    /// `[scope] protected`.
    Protected,
    /// `[scope] sensitive`.
    Sensitive,
    /// Manifests and lockfiles.
    Dependencies,
    /// Too many files or lines.
    Size,
    /// Binary content.
    Binary,
    /// A symlink that leaves the tree, or that changed.
    Symlink,
    /// A changed mode.
    Mode,
    /// Gitlinks, `.gitmodules` and names that git or another system takes for `.git`.
    Git,
    /// Credentials in content.
    Secrets,
    /// Tests removed or weakened.
    Tests,
}

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing to say.
    Pass,
    /// A person decides.
    Ask,
    /// The result is not published.
    Refuse,
}

/// What `approve` can grant by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Everything but dependencies.
    Scope,
    /// Manifests and lockfiles.
    Deps,
}

/// One thing that a gate found. A gate that found nothing passes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finding {
    /// Which gate.
    pub gate: Gate,
    /// `Ask` or `Refuse`; `Pass` only for a note that a reviewer should see.
    pub outcome: Outcome,
    /// Where, `None` for the change as a whole.
    pub path: Option<RepoPath>,
    /// Line in the new content (in the old one for something removed), from 1.
    pub line: Option<u32>,
    /// One sentence, harmless to show, naming the rule and its place in the settings. Never holds the secret it found.
    pub reason: String,
}

impl Finding {
    /// What an approval of this finding is called.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self.gate {
            Gate::Dependencies => Cause::Deps,
            Gate::Paths
            | Gate::Protected
            | Gate::Sensitive
            | Gate::Size
            | Gate::Binary
            | Gate::Symlink
            | Gate::Mode
            | Gate::Git
            | Gate::Secrets
            | Gate::Tests => Cause::Scope,
        }
    }
}
