//! Git as data: mirror, checkouts, delta layers, import, diff, branches.
//!
//! What is kept, per user repository, under `<data>/repos/<key>/`:
//!
//! ```text
//! mirror.git/               host-owned bare repository: every object that a task needs
//! checkouts/<commit>/files/ immutable files of one commit: raw blobs, exact modes
//! checkouts/<commit>/git/   holds one `.git`: the throw-away repository of that commit
//! checkouts/<commit>.used   lock, last use (its mtime) and size of that checkout
//! fetch.lock, tmp-fetch-*/  one fetch from a forge at a time, into a quarantine
//! empty/                    home and hook folder of the hardened git program
//! ```
//!
//! and `<data>/repos/<key>.lock`, held shared by every open [`Mirror`].
//!
//! Objects are read and written through libgit2, which runs no filter program,
//! hook or file-system monitor and knows no transport. The git program runs only
//! inside the mirror ([`process`]), never in a repository of the user, never on
//! anything that a sandbox wrote.
//!
//! What is not there: nothing here writes to a user's work tree, index, `HEAD` or
//! configuration; nothing follows a symlink of a sandbox; nothing pushes but
//! [`Mirror::push`], and that one branch of ours, with a lease.
//!
//! All functions are synchronous and may block on the disk, those with a [`Remote`] on the network.

mod branch;
mod checkout;
mod collect;
mod collected;
mod create;
mod delta;
mod diff;
mod ignore;
mod locks;
mod mirror;
mod names;
mod objects;
mod process;
mod program;
mod refusal;
mod remote;
mod sign;
mod snapshot;
mod split;
mod throwaway;
mod transport;
mod user;

use std::io;
use std::path::{Path, PathBuf};

use crate::domain::gates::EntryKind;
use crate::domain::ident::{CommitId, RepoPath};

pub use checkout::{Checkout, Pruned, Written};
pub use collected::{Collected, Limits};
pub use create::{NewFile, create};
pub use delta::Delta;
pub use diff::Patch;
pub use mirror::{Author, Mirror, prune_repos, remove_idle_repos};
pub use program::{HARDENED, OLDEST, Program, program};
pub use refusal::{PushError, RemoteError, Rule};
pub use remote::Want;
pub use sign::Signer;
pub use split::Split;
pub use throwaway::copy_git;
pub use transport::{Net, Remote};
pub use user::{DefaultBranch, Dirty, Survey, UserRepo};

/// Why git work did not succeed, sorted by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No repository, commit, revision or object of that name: a person names another, or fetches it.
    #[error("{0}")]
    NotFound(String),
    /// It exists, but cannot be used as it is; the text says what to change.
    #[error("{0}")]
    Unusable(String),
    /// Another writer was first: read again and decide again.
    #[error("branch `{branch}` is at {}, expected {}", shown(found.as_ref()), shown(expected.as_ref()))]
    Conflict {
        /// Name below `refs/heads/`.
        branch: String,
        /// What the caller knew; `None` = no such branch.
        expected: Option<CommitId>,
        /// What is there; `None` = no such branch.
        found: Option<CommitId>,
    },
    /// The branch is checked out: a person switches that work tree to another branch.
    #[error(
        "branch `{branch}` is checked out in {}; switch that work tree to another branch", worktree.display()
    )]
    CheckedOut {
        /// Name below `refs/heads/`.
        branch: String,
        /// The work tree (or git folder) that has it.
        worktree: PathBuf,
    },
    /// A cap was reached: the result is too large to import.
    #[error("{what} is above the limit of {limit}")]
    Limit {
        /// What was counted, and where.
        what: String,
        /// The cap.
        limit: u64,
    },
    /// Refused, because it looks like an attack.
    #[error("`{}` is refused: {why}", path.lossy())]
    Hostile {
        /// Where in the tree.
        path: RepoPath,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The disk: full, broken or not permitted. Nothing is half done; try again once it is fixed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Disk {
        /// A verb.
        doing: &'static str,
        /// Of what.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The kernel or file system cannot do it: take the fallback.
    #[error("{0}")]
    Unsupported(String),
    /// A bug or a damaged repository.
    #[error("git: {0}")]
    Internal(String),
}

fn shown(commit: Option<&CommitId>) -> &str {
    commit.map_or("no commit", CommitId::short)
}

impl From<git2::Error> for Error {
    fn from(error: git2::Error) -> Self {
        let text = error.message().trim().to_owned();
        match (error.class(), error.code()) {
            // Odb: an object of a shallow or partial clone is not here.
            (git2::ErrorClass::Odb, git2::ErrorCode::NotFound) => {
                Self::NotFound(format!("an object is missing: {text}"))
            }
            (git2::ErrorClass::Os, _) => Self::Disk {
                doing: "use",
                path: PathBuf::from("the repository"),
                source: io::Error::other(text),
            },
            _ => Self::Internal(text),
        }
    }
}

/// Turns an IO error into [`Error::Disk`] that names verb and path.
fn disk<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Disk {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn oid(commit: &CommitId) -> Result<git2::Oid, Error> {
    git2::Oid::from_str(commit.as_str())
        .map_err(|_| Error::NotFound(format!("`{commit}` is not a SHA-1 commit name")))
}

fn commit_id(oid: git2::Oid) -> Result<CommitId, Error> {
    CommitId::try_from(oid.to_string()).map_err(|e| Error::Internal(e.to_string()))
}

/// The commit's tree, with a [`Error::NotFound`] that names the commit.
fn tree_of<'r>(repo: &'r git2::Repository, commit: &CommitId) -> Result<git2::Tree<'r>, Error> {
    repo.find_commit(oid(commit)?)
        .and_then(|c| c.tree())
        .map_err(|e| match e.code() {
            git2::ErrorCode::NotFound => {
                Error::NotFound(format!("commit {} or its tree is not here", commit.short()))
            }
            _ => e.into(),
        })
}

/// What is no folder at `path`; `None` where there is nothing, or a folder.
fn leaf(
    repo: &git2::Repository,
    commit: &CommitId,
    path: &RepoPath,
) -> Result<Option<Node>, Error> {
    let mut tree = tree_of(repo, commit)?;
    let mut parts = path.as_bytes().split(|b| *b == b'/').peekable();
    while let Some(part) = parts.next() {
        let Some(node) = tree.get_name_bytes(part).map(|e| Node::of(&e)) else {
            return Ok(None);
        };
        match (node.kind(), parts.peek()) {
            (Kind::Tree, Some(_)) => tree = repo.find_tree(node.oid)?,
            (Kind::Leaf(_), None) => return Ok(Some(node)),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// What one tree entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tree,
    Leaf(EntryKind),
}

/// One tree entry: its mode as the tree has it (old repositories hold 100664) and its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    mode: u32,
    oid: git2::Oid,
}

impl Node {
    fn of(entry: &git2::TreeEntry<'_>) -> Self {
        Self {
            mode: entry.filemode_raw().cast_unsigned(),
            oid: entry.id(),
        }
    }

    fn kind(self) -> Kind {
        match self.mode & 0o170_000 {
            0o040_000 => Kind::Tree,
            0o120_000 => Kind::Leaf(EntryKind::Symlink),
            0o160_000 => Kind::Leaf(EntryKind::Gitlink),
            _ if self.mode & 0o100 != 0 => Kind::Leaf(EntryKind::Executable),
            _ => Kind::Leaf(EntryKind::File),
        }
    }

    /// Whether both are the same thing, whatever spelling of the mode.
    fn same(self, other: Self) -> bool {
        self.oid == other.oid && self.kind() == other.kind()
    }
}

/// `parent/name`, or `name` at the root.
fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + 1 + name.len());
    if !parent.is_empty() {
        path.extend_from_slice(parent);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
