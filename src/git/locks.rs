//! Locks on the caches, as `flock` on files that also say when something was last used, and git's
//! own locks on refs, which a killed writer leaves behind.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

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

/// How often a locked ref is tried again.
const REF_LOCK_EVERY: Duration = Duration::from_millis(20);

/// A ref is locked for milliseconds; one that the same file still locks after so many tries, three
/// seconds, was locked by a process that is gone.
const REF_LOCK_TRIES: u32 = 150;

/// Writes one of our refs, `name`, of the repository in `common_dir`: waits while somebody else has
/// it locked, and removes the lock of a writer that was killed, as git asks its user to do by hand.
/// The write itself compares, so that a lock taken wrongly could lose nothing.
pub(super) fn write_ref<T>(
    common_dir: &Path,
    name: &str,
    mut write: impl FnMut() -> Result<T, git2::Error>,
) -> Result<T, git2::Error> {
    let lock = common_dir.join(format!("{name}.lock"));
    let (mut holder, mut tries) = (None, 0);
    // Whoever comes and goes all the time is not waited for without end.
    for _ in 0..10 * REF_LOCK_TRIES {
        match write() {
            Err(e) if e.code() == git2::ErrorCode::Locked => {}
            other => return other,
        }
        let now = fs::symlink_metadata(&lock)
            .ok()
            .map(|m| (m.ino(), m.mtime(), m.mtime_nsec()));
        tries += 1;
        if now != holder {
            (holder, tries) = (now, 0);
        } else if tries >= REF_LOCK_TRIES {
            // Without a file it is another lock that is in the way, and not ours to take.
            if now.is_none() || fs::remove_file(&lock).is_err() {
                break;
            }
        }
        std::thread::sleep(REF_LOCK_EVERY);
    }
    write()
}

/// Sees to it that nobody has `name` locked: a killed writer's lock would be in the way of others.
pub(super) fn free_ref(common_dir: &Path, name: &str) -> Result<(), git2::Error> {
    let lock = common_dir.join(format!("{name}.lock"));
    write_ref(common_dir, name, || match lock.symlink_metadata() {
        Ok(_) => Err(git2::Error::new(
            git2::ErrorCode::Locked,
            git2::ErrorClass::Reference,
            format!("{} is there", lock.display()),
        )),
        Err(_) => Ok(()),
    })
}
