//! Folders of verdicts that are reached without the lock of the data folder.
//!
//! Each is locked as long as its process lives; the system lets go of the lock of one that was killed. Making a folder
//! and locking it is one step for everybody who looks for dead ones: both hold the lock of the folder above.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// How their names begin.
const PREFIX: &str = "verify-";

/// Such a folder, gone with its verdict.
pub(super) struct Scratch {
    folder: tempfile::TempDir,
    /// Held open for its lock, longer than the folder is there.
    _alive: File,
}

impl Scratch {
    /// A new one below `work`.
    pub(super) fn make(work: &Path) -> io::Result<Self> {
        fs::create_dir_all(work)?;
        let _one = locked(work)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(work)?;
        let alive = locked(folder.path())?;
        Ok(Self {
            folder,
            _alive: alive,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Removes those below `work` that no living process owns.
    pub(super) fn remove_dead(work: &Path) -> io::Result<()> {
        if !work.is_dir() {
            return Ok(());
        }
        let one = locked(work)?;
        let mut dead: Vec<(File, PathBuf)> = Vec::new();
        for entry in fs::read_dir(work)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with(PREFIX) || is_of_referee(&name) {
                continue;
            }
            let path = entry.path();
            // Gone this moment: its verdict ended.
            let Ok(folder) = File::open(&path) else {
                continue;
            };
            if folder.try_lock().is_ok() {
                dead.push((folder, path));
            }
        }
        // No name comes again, so nobody has to wait for what takes its time.
        drop(one);
        dead.iter()
            .try_for_each(|(_, path)| crate::sandbox::remove(path))
    }
}

fn locked(folder: &Path) -> io::Result<File> {
    let file = File::open(folder)?;
    file.lock()?;
    Ok(file)
}

/// Whether a folder of layers is of the referee of `serve`, `verify-<forge>-<id>-<pull>`, which works under the lock of
/// the data folder. One of `prentice verify`, which does not, has no second dash.
pub(super) fn is_of_referee(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX);
    rest.is_some_and(|rest| rest.contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_when_nobody_owns_it_and_not_before() {
        let work = tempfile::tempdir().unwrap();
        let names = || {
            let mut names: Vec<String> = fs::read_dir(work.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let mine = Scratch::make(work.path()).unwrap();
        for other in ["verify-dead", "verify-main-1-2", "T-1"] {
            fs::create_dir(work.path().join(other)).unwrap();
        }
        fs::write(work.path().join("verify-dead/layer"), "x").unwrap();
        Scratch::remove_dead(work.path()).unwrap();
        let kept = mine
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let mut expected = ["T-1".to_owned(), kept, "verify-main-1-2".to_owned()];
        expected.sort();
        assert_eq!(names(), expected);
        drop(mine);
        assert_eq!(names(), ["T-1", "verify-main-1-2"]);
        Scratch::remove_dead(&work.path().join("nowhere")).unwrap();
    }
}
