//! The limit on what a session writes to disk: no kernel keeps it for one user's folder, so it is watched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Limits, tree};

/// Watches what all layers of a session hold. Only counting tells: the file systems are shared
/// with others, and what those remove would hide what the session writes.
#[derive(Clone, Debug)]
pub(super) struct DiskWatch {
    folders: Vec<PathBuf>,
    bytes: u64,
    files: u64,
    /// Bytes used on the file systems at the start.
    start: u64,
    /// PID 1 of the session, as the host numbers it.
    pub(super) pid1: Option<u32>,
    /// What the last count took.
    cost: Duration,
}

/// What the file systems of the layers say, each layer for itself, since only growth is looked at.
#[derive(Clone, Copy, Debug)]
struct Taken {
    used: u64,
    free: u64,
}

/// Bytes that stay free on the host's file system.
const FREE_FLOOR: u64 = 512 << 20;

/// How often the layers are counted while a command runs, if counting is quick.
const COUNT_EVERY: Duration = Duration::from_millis(200);

/// At most one part in so many of a command's time goes into counting.
const COUNT_SHARE: u32 = 20;

/// What an async thread may do itself.
const AT_ONCE: Duration = Duration::from_millis(1);

impl DiskWatch {
    /// `already`: what a copy put into the layers, which is not the session's doing. Blocking.
    pub(super) fn new(folders: Vec<PathBuf>, limits: &Limits, already: tree::Size) -> Self {
        let mut watch = Self {
            folders,
            bytes: limits.disk_bytes.saturating_add(already.bytes),
            files: limits.disk_files.saturating_add(already.files),
            start: 0,
            pid1: None,
            // Counting what a copy put there may take long.
            cost: if already.files > 0 {
                AT_ONCE
            } else {
                Duration::ZERO
            },
        };
        watch.start = watch.taken().used;
        watch
    }

    fn taken(&self) -> Taken {
        let mut taken = Taken {
            used: 0,
            free: u64::MAX,
        };
        for folder in &self.folders {
            if let Ok(stat) = rustix::fs::statvfs(folder) {
                taken.used += stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize;
                taken.free = taken.free.min(stat.f_bavail.saturating_mul(stat.f_frsize));
            }
        }
        taken
    }

    /// Whether counting is over in a moment, as far as the last count tells.
    pub(super) fn quick(&self) -> bool {
        self.cost < AT_ONCE
    }

    /// How long to wait before the next count.
    pub(super) fn pause(&self) -> Duration {
        COUNT_EVERY.max(self.cost * COUNT_SHARE)
    }

    /// Whether the layers hold more than allowed. Blocking.
    pub(super) fn over(&mut self) -> bool {
        let started = Instant::now();
        let over = self.count();
        self.cost = started.elapsed();
        over
    }

    fn count(&self) -> bool {
        let taken = self.taken();
        let grown = taken.used.saturating_sub(self.start);
        // Files that are deleted but open are in no folder; the host does not run full for them.
        if taken.free < FREE_FLOOR && grown > self.bytes / 8 {
            return true;
        }
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
