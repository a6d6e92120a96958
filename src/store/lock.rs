//! The lock on the data folder: it belongs to the one process that performs jobs.
//!
//! A `flock` ends with its process, however that ends; the file itself stays and says
//! who held it last. Never on a network file system: [`super::open`] refuses those.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Clock, Ids};
use crate::domain::ident::Time;

/// Proof that this process, and no other, performs jobs of one data folder.
/// Whatever claims or recovers a job takes it by reference. Dropping it gives the folder free.
#[derive(Debug)]
pub struct DataLock {
    /// Held open for its lock.
    _file: File,
    who: Who,
}

/// Who holds a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Process number.
    pub pid: u32,
    /// The command line, shortened to 200 characters, harmless to show.
    pub command: String,
    /// Since when.
    pub started: Time,
    /// Name of this holding, in leases; no two holdings share one.
    pub holder: String,
}

/// Why the lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process performs jobs there.
    #[error("another prentice is at work on {}{}; wait until it is done or stop it", dir.display(), told(by.as_ref()))]
    Held {
        /// The data folder.
        dir: PathBuf,
        /// Who, where the lock file says so.
        by: Option<Who>,
    },
    /// The lock file cannot be used.
    #[error("the lock file {} cannot be used ({why}); make the data folder writable or name another one", path.display())]
    Unusable {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
}

impl DataLock {
    /// Takes the lock on `dir`, which is made if it is missing. `command` is what the
    /// message to another process names. Never waits.
    ///
    /// # Errors
    /// [`LockError::Held`] while another process, or another `DataLock` of this one, has it.
    pub fn acquire(
        dir: &Path,
        command: &str,
        clock: &dyn Clock,
        ids: &dyn Ids,
    ) -> Result<Self, LockError> {
        let path = dir.join("lock");
        let unusable = |why| LockError::Unusable {
            path: path.clone(),
            why,
        };
        super::open::make_private_folder(dir).map_err(unusable)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    dir: dir.to_owned(),
                    by: read(&mut file),
                });
            }
            Err(TryLockError::Error(why)) => return Err(unusable(why)),
        }
        let who = Who {
            pid: std::process::id(),
            command: harmless(command),
            started: clock.now(),
            holder: ids.unique(),
        };
        // For a message only; on a full disk the lock holds all the same.
        let _ = write(&mut file, &who);
        Ok(Self { _file: file, who })
    }

    /// The name of this holding, as leases carry it.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.who.holder
    }
}

fn write(file: &mut File, who: &Who) -> std::io::Result<()> {
    let text = serde_json::to_string(who)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

/// `None` where the holder has not written itself down yet, or wrote something else.
fn read(file: &mut File) -> Option<Who> {
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn harmless(command: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    command.chars().map(shown).take(200).collect()
}

fn told(by: Option<&Who>) -> String {
    by.map_or_else(String::new, |who| {
        format!(
            " (process {}, `{}`, since {} UTC)",
            who.pid,
            who.command,
            who.started.date_clock()
        )
    })
}
