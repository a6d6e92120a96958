//! What an import reads, and its caps.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{Error, disk};
use crate::domain::ident::RepoPath;

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The result's tree, in the mirror, as 40 hexadecimal digits.
    pub tree: String,
    /// Files and links that are new or differ from the base.
    pub changed: u64,
    /// Droppings of well-known tools, left out: their topmost paths.
    pub droppings: Vec<RepoPath>,
    /// What git cannot hold, left out: where, and what it is.
    pub odd: Vec<(RepoPath, &'static str)>,
    /// What must not be in a tree (`.git` and its aliases), left out: the gates refuse it.
    pub hostile: Vec<(RepoPath, &'static str)>,
    /// Paths left out by the ignore rules of the base, a folder counted once.
    pub ignored: u64,
}

/// Caps on an import. One that is reached is [`Error::Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Changed files and links.
    pub changed: u64,
    /// Names looked at.
    pub visited: u64,
    /// Bytes of one changed file.
    pub file_bytes: u64,
    /// Bytes of all changed files.
    pub total_bytes: u64,
    /// Folders inside each other.
    pub depth: usize,
    /// Bytes of one path.
    pub path_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            changed: 50_000,
            visited: 2_000_000,
            file_bytes: 1 << 30,
            total_bytes: 4 << 30,
            depth: 128,
            path_bytes: 4096,
        }
    }
}

pub(super) fn limit(what: &str, path: &[u8], limit: u64) -> Error {
    Error::Limit {
        what: format!("{what} `{}`", String::from_utf8_lossy(path)),
        limit,
    }
}

/// Opens the topmost folder of what is imported: ours by its path, but with the mode that it was given inside.
pub(super) fn open_root(dir: &Path) -> Result<OwnedFd, Error> {
    let open = |how: OFlags| {
        let flags = how | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(dir, flags, Mode::empty())
    };
    let opened = || {
        let handle = open(OFlags::PATH)?;
        let mode = Mode::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode & 0o777);
        if !mode.contains(Mode::RWXU) {
            let by_handle = format!("/proc/self/fd/{}", handle.as_raw_fd());
            rustix::fs::chmod(by_handle.as_str(), mode | Mode::RWXU)?;
        }
        open(OFlags::RDONLY)
    };
    opened().map_err(|e: rustix::io::Errno| disk("open", dir)(e.into()))
}
