//! Locks on the caches, as `flock` on files that also say when something was last used.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, Timestamps};

use super::{Error, disk};

/// Takes the lock shared and marks it as used now. Waits for whoever holds it exclusively.
pub(super) fn lock_shared(path: &Path) -> Result<File, Error> {
    loop {
        let file = lock_file(path)?;
        rustix::fs::flock(&file, FlockOperation::LockShared)
            .map_err(|e| disk("lock", path)(e.into()))?;
        if is_still(&file, path) {
            touch(&file, path)?;
            return Ok(file);
        }
    }
}

/// Takes the lock exclusively. Waits for everybody.
pub(super) fn lock_exclusive(path: &Path) -> Result<File, Error> {
    loop {
        let file = lock_file(path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|e| disk("lock", path)(e.into()))?;
        if is_still(&file, path) {
            return Ok(file);
        }
    }
}

/// Takes the lock exclusively if nobody holds it.
pub(super) fn lock_exclusive_now(path: &Path) -> Result<Option<File>, Error> {
    let file = lock_file(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(is_still(&file, path).then_some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(disk("lock", path)(e.into())),
    }
}

fn lock_file(path: &Path) -> Result<File, Error> {
    let options = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    options.map_err(disk("open", path))
}

/// A pruner removes lock files: one that was removed after it was opened locks nothing.
fn is_still(file: &File, path: &Path) -> bool {
    let here = file.metadata().map(|m| (m.dev(), m.ino()));
    let there = fs::metadata(path).map(|m| (m.dev(), m.ino()));
    matches!((here, there), (Ok(a), Ok(b)) if a == b)
}

fn touch(file: &File, path: &Path) -> Result<(), Error> {
    let now = rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    rustix::fs::futimens(file, &times).map_err(|e| disk("mark as used", path)(e.into()))
}
