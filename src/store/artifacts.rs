//! Files named by their digest: written aside, synced, renamed, and only then named by a row.
//!
//! `<data>/artifacts/ab/cdef…`. Whoever writes a file holds `artifacts/lock` shared until
//! its row is committed; whoever removes files holds it alone. So no file goes between its
//! rename and its row, in this process or another.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::open::make_private_folder;
use super::{Content, Steps, StoreError};
use crate::domain::ident::Digest;

/// Temporary files begin so; no folder of artifacts does.
const ASIDE: &str = ".aside-";

#[derive(Clone)]
pub(super) struct Files {
    root: PathBuf,
    steps: Arc<dyn Steps>,
}

/// Keeps files from being removed, or, held alone, from being written.
pub(super) struct Hold(#[expect(dead_code, reason = "held open for its lock")] File);

impl Files {
    /// The folder of artifacts of a data folder; made if it is missing.
    pub(super) fn open(data: &Path, steps: Arc<dyn Steps>) -> Result<Self, StoreError> {
        let root = data.join("artifacts");
        make_private_folder(&root).map_err(|why| StoreError::from_io(&root, &why))?;
        Ok(Self { root, steps })
    }

    /// Where a digest's content is or would be.
    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        let text = digest.as_str();
        let good = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match text.split_at_checked(2).filter(|_| good) {
            Some((folder, name)) => self.root.join(folder).join(name),
            // Not a digest, so never stored, and never a way out of the folder.
            None => self.root.join("no-such-digest"),
        }
    }

    /// Waits while files are being removed.
    pub(super) fn hold(&self) -> Result<Hold, StoreError> {
        self.locked(File::lock_shared)
    }

    /// Waits while files are being written or removed.
    pub(super) fn hold_alone(&self) -> Result<Hold, StoreError> {
        self.locked(File::lock)
    }

    fn locked(&self, lock: fn(&File) -> io::Result<()>) -> Result<Hold, StoreError> {
        let path = self.root.join("lock");
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .and_then(|file| lock(&file).map(|()| file))
            .map_err(|why| StoreError::from_io(&path, &why))?;
        Ok(Hold(file))
    }

    /// Makes the content durable under its digest; replaces a file that a crash left.
    pub(super) fn put(&self, _held: &Hold, content: Content) -> Result<(Digest, u64), StoreError> {
        let stored = match content {
            Content::Bytes(bytes) => self.write(&mut bytes.as_slice()),
            Content::File(path) => {
                let mut file = File::open(&path).map_err(|why| StoreError::from_io(&path, &why))?;
                self.write(&mut file)
            }
        };
        stored.map_err(|why| StoreError::from_io(&self.root, &why))
    }

    fn write(&self, content: &mut dyn io::Read) -> io::Result<(Digest, u64)> {
        let mut aside = tempfile::Builder::new()
            .prefix(ASIDE)
            .tempfile_in(&self.root)?;
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = content.read(&mut buffer)?;
            let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
                break;
            };
            hasher.update(chunk);
            aside.write_all(chunk)?;
            bytes += chunk.len() as u64;
        }
        aside.as_file().sync_all()?;
        let digest = Digest::from_raw(&hasher.finalize());
        let path = self.path(&digest);
        let folder = path.parent().unwrap_or(&self.root);
        if !folder.is_dir() {
            make_private_folder(folder)?;
            File::open(&self.root)?.sync_all()?;
        }
        let what = "rename artifact";
        self.steps.before(what);
        aside.persist(&path)?;
        File::open(folder)?.sync_all()?;
        self.steps.after(what);
        Ok((digest, bytes))
    }

    /// The content, if it is still that of its digest.
    pub(super) fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(digest);
        let mut content = Vec::new();
        match File::open(&path).and_then(|mut file| file.read_to_end(&mut content)) {
            Ok(_) if Digest::of(&content) == *digest => Ok(Some(content)),
            Ok(_) => Err(StoreError::Corrupt {
                what: format!("{} is not what was stored", path.display()),
            }),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(StoreError::from_io(&path, &why)),
        }
    }

    /// Removes the file of a digest; one that is gone is no error.
    pub(super) fn remove(&self, _alone: &Hold, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::from_io(&path, &why))
            }
            _ => Ok(()),
        }
    }

    /// Removes what was left aside, and lists the digests of all other files, as text.
    pub(super) fn list(&self, _alone: &Hold) -> Result<Vec<String>, StoreError> {
        let list = || -> io::Result<Vec<String>> {
            let mut found = Vec::new();
            for entry in fs::read_dir(&self.root)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(ASIDE) {
                    fs::remove_file(entry.path())?;
                } else if entry.file_type()?.is_dir() {
                    for file in fs::read_dir(entry.path())? {
                        found.push(format!("{name}{}", file?.file_name().to_string_lossy()));
                    }
                }
            }
            Ok(found)
        };
        list().map_err(|why| StoreError::from_io(&self.root, &why))
    }
}

/// Work with files, away from the threads that answer.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(StoreError::Closed))
}
