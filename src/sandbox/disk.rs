//! The limit on what a session writes to disk: no kernel keeps it for one user's folder, so it is watched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Limits, tree};

/// Watches what all layers of a session hold. Counting walks them, so it is done only when the
/// file system says that enough was written to matter, or after a while.
#[derive(Clone, Debug)]
pub(super) struct DiskWatch {
    folders: Vec<PathBuf>,
    bytes: u64,
    files: u64,
    /// Bytes used on the file systems at the start.
    start: u64,
    /// PID 1 of the session, as the host numbers it.
    pub(super) pid1: Option<u32>,
    last: Option<(Instant, u64, u64)>,
}

/// What the file systems of the layers say; each layer counts for itself, since only growth is
/// looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    used: u64,
    free: u64,
    inodes: u64,
    unknown: bool,
}

/// Bytes that stay free on the host's file system.
const FREE_FLOOR: u64 = 512 << 20;

/// How often the layers are counted even if the file system seems not to fill.
const COUNT_EVERY: Duration = Duration::from_secs(10);

impl DiskWatch {
    /// `already`: what a copy put into the layers, which is not the session's doing. Blocking.
    pub(super) fn new(folders: Vec<PathBuf>, limits: &Limits, already: tree::Size) -> Self {
        let mut watch = Self {
            folders,
            bytes: limits.disk_bytes.saturating_add(already.bytes),
            files: limits.disk_files.saturating_add(already.files),
            start: 0,
            pid1: None,
            last: None,
        };
        watch.start = watch.taken().used;
        watch
    }

    fn taken(&self) -> Taken {
        let mut taken = Taken {
            free: u64::MAX,
            ..Taken::default()
        };
        for folder in &self.folders {
            match rustix::fs::statvfs(folder) {
                Ok(stat) => {
                    taken.used += stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize;
                    taken.free = taken.free.min(stat.f_bavail.saturating_mul(stat.f_frsize));
                    taken.inodes += stat.f_files.saturating_sub(stat.f_ffree);
                    // Some file systems do not count inodes.
                    taken.unknown |= stat.f_files == 0;
                }
                Err(_) => taken.unknown = true,
            }
        }
        taken
    }

    /// Whether [`Self::over`] would say no without counting: one `statvfs` for each layer.
    pub(super) fn settled(&self) -> bool {
        let taken = self.taken();
        !self.short(&taken) && self.counted(&taken)
    }

    /// Files that are deleted but open are in no folder; the host does not run full for them.
    fn short(&self, taken: &Taken) -> bool {
        let grown = taken.used.saturating_sub(self.start);
        taken.free < FREE_FLOOR && grown > self.bytes / 8
    }

    /// Whether the last count is young, and little was written since.
    fn counted(&self, taken: &Taken) -> bool {
        self.last.is_some_and(|(when, used, inodes)| {
            !taken.unknown
                && when.elapsed() < COUNT_EVERY
                && taken.used.saturating_sub(used) < self.bytes / 8
                && taken.inodes.saturating_sub(inodes) < self.files / 8
        })
    }

    /// Whether the layers hold more than allowed. Blocking.
    pub(super) fn over(&mut self) -> bool {
        let taken = self.taken();
        if self.short(&taken) {
            return true;
        }
        if self.counted(&taken) {
            return false;
        }
        let grown = taken.used.saturating_sub(self.start);
        self.last = Some((Instant::now(), taken.used, taken.inodes));
        let mut total = tree::Size::default();
        for folder in &self.folders {
            total.add(tree::size(folder, self.bytes, self.files));
        }
        if total.bytes > self.bytes || total.files > self.files {
            return true;
        }
        // What may not be looked into is judged by what the file systems lost since the start, and
        // only when they lost that much is it worth asking who holds files that are in no folder.
        let held = || self.pid1.map_or(0, held_open);
        grown > self.bytes && (total.blind || total.bytes.saturating_add(held()) > self.bytes)
    }
}

/// Bytes on disk of files that a process and its descendants hold open and that are in no folder.
fn held_open(pid1: u32) -> u64 {
    let mut files = BTreeMap::new();
    for process in family(pid1) {
        let listing = fs::read_dir(format!("/proc/{process}/fd"));
        for entry in listing.into_iter().flatten().flatten() {
            // Asked through the descriptor, whatever the name now means.
            let Ok(meta) = fs::metadata(entry.path()) else {
                continue;
            };
            let on_disk =
                || rustix::fs::statfs(entry.path()).is_ok_and(|fs| fs.f_type != libc::TMPFS_MAGIC);
            if meta.is_file() && meta.nlink() == 0 && on_disk() {
                files.insert((meta.dev(), meta.ino()), meta.blocks() * 512);
            }
        }
    }
    files.values().sum()
}

/// A process and all that descend from it.
fn family(first: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in parentheses may hold anything, parentheses too.
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let (Some(parent), Some(number)) = (parent, number) {
            children.entry(parent).or_default().push(number);
        }
    }
    let mut found = vec![first];
    let mut next = 0;
    while let Some(process) = found.get(next) {
        found.extend(children.remove(process).unwrap_or_default());
        next += 1;
    }
    found
}
