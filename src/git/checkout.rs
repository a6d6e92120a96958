//! The checkout cache: the files of one commit, written once, read by many sandboxes.
//!
//! Raw blobs, so bytes in = bytes out: no line endings, no `ident`, no filters. A checkout is
//! written beside its place and renamed into it, so it is complete or absent. It is not synced
//! to the disk, which would take as long again; instead its marker names the boot that wrote
//! it, and one of another boot is thrown away and written anew.
//!
//! Locks: a [`Checkout`] holds its marker file shared; writing and [`Mirror::prune_checkouts`] hold it exclusively.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use git2::{Odb, Oid, Repository};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::locks::{lock_exclusive, lock_exclusive_now, lock_shared};
use super::mirror::{open, remove_tree, walk};
use super::{Error, Kind, Mirror, disk, tree_of};
use crate::domain::gates::EntryKind;
use crate::domain::ident::{CommitId, RepoPath};

/// A cached checkout in use: not pruned while this lives.
#[derive(Debug)]
pub struct Checkout {
    home: PathBuf,
    path: PathBuf,
    written: Written,
    _in_use: File,
}

impl Checkout {
    /// The folder with the commit's files. Nobody may write to it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of this commit in the cache; it goes as a whole.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// What it holds.
    #[must_use]
    pub fn written(&self) -> Written {
        self.written
    }
}

/// What a checkout holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files and links.
    pub files: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// What pruning did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Commits whose checkout was removed, least recently used first.
    pub removed: Vec<String>,
    /// Bytes that the remaining ones hold.
    pub bytes_left: u64,
}

/// Blobs above this are streamed where git allows (loose objects), and read one at a time
/// where it does not (packed ones must be whole in memory).
const LARGE: usize = 16 << 20;

impl Mirror {
    /// The checkout of a commit, written if it is not cached.
    ///
    /// # Errors
    /// [`Error::NotFound`] when commit or objects are not in the mirror; [`Error::Hostile`] for a tree
    /// with names that must not reach a disk; [`Error::Disk`].
    pub fn checkout(&self, commit: &CommitId) -> Result<Checkout, Error> {
        let all = self.dir().join("checkouts");
        let home = all.join(commit.as_str());
        fs::create_dir_all(&all).map_err(disk("create", &all))?;
        let marker = marker_path(&all, commit.as_str());
        loop {
            let lock = lock_shared(&marker)?;
            let path = home.join("files");
            if let Some(written) = read_marker(&lock).filter(|_| path.is_dir()) {
                return Ok(Checkout {
                    home,
                    path,
                    written,
                    _in_use: lock,
                });
            }
            drop(lock);
            let lock = lock_exclusive(&marker)?;
            if read_marker(&lock).is_none() || !path.is_dir() {
                self.write_cached(commit, &home, &lock)?;
            }
            // Given up and taken again shared: the loop looks whether a pruner came between.
        }
    }

    fn write_cached(&self, commit: &CommitId, home: &Path, marker: &File) -> Result<(), Error> {
        remove_tree(home)?;
        fs::create_dir(home).map_err(disk("create", home))?;
        let new = home.join("tmp-files");
        make_dir(&new, b"")?;
        let written = self.write_checkout(commit, &new).inspect_err(|_| {
            // Best effort: what is left goes with the next try, or with pruning.
            let _ = fs::remove_dir_all(home);
        })?;
        // The marker first: it counts only together with the folder.
        let text = format!("{} {} {}\n", boot(), written.files, written.bytes);
        let marked = marker.set_len(0).and_then(|()| {
            let mut file = marker;
            io::Seek::rewind(&mut file)?;
            file.write_all(text.as_bytes())
        });
        marked.map_err(disk("mark", home))?;
        fs::rename(&new, home.join("files")).map_err(disk("rename into place", &new))
    }

    /// Writes the commit's files into the empty folder `dir`, in parallel: what the cache
    /// does, and the fallback where overlay mounts are refused. Times are the commit's, so
    /// that an index built from the tree alone is right for every copy.
    ///
    /// # Errors
    /// As [`Mirror::checkout`].
    pub fn write_checkout(&self, commit: &CommitId, dir: &Path) -> Result<Written, Error> {
        let repo = self.repo()?;
        let tree = tree_of(&repo, commit)?;
        let seconds = mtime(&repo, commit, dir)?;
        let mut folders = Vec::new();
        let mut leaves = Vec::new();
        walk(&repo, &tree, &mut |path, node| {
            match node.kind() {
                Kind::Tree | Kind::Leaf(EntryKind::Gitlink) => folders.push(path.to_vec()),
                Kind::Leaf(kind) => leaves.push(Leaf {
                    path: path.to_vec(),
                    kind,
                    oid: node.oid,
                }),
            }
            Ok(())
        })?;
        for folder in &folders {
            make_dir(&dir.join(OsStr::from_bytes(folder)), folder)?;
        }
        let bytes = write_leaves(&self.git_dir(), dir, &leaves, Some(seconds))?;
        Ok(Written {
            files: leaves.len() as u64,
            bytes,
        })
    }

    /// Removes checkouts, least recently used first, until at most `cap_bytes` and `cap_count`
    /// are left. Those in use stay. What a killed process left half written goes in any case.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn prune_checkouts(&self, cap_bytes: u64, cap_count: usize) -> Result<Pruned, Error> {
        let all = self.dir().join("checkouts");
        let mut found = Vec::new();
        let listing = match fs::read_dir(&all) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Pruned::default()),
            other => other.map_err(disk("list", &all))?,
        };
        for entry in listing.flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if let (Some(commit), Ok(meta)) = (name.strip_suffix(".used"), entry.metadata()) {
                let file = File::open(entry.path()).map_err(disk("open", &entry.path()))?;
                let bytes = read_marker(&file).map(|w| w.bytes);
                found.push(((meta.mtime(), meta.mtime_nsec()), commit.to_owned(), bytes));
            }
        }
        found.sort_unstable();
        let mut pruned = Pruned {
            removed: Vec::new(),
            bytes_left: found.iter().filter_map(|f| f.2).sum(),
        };
        let mut count = found.iter().filter(|f| f.2.is_some()).count();
        for (_, commit, bytes) in found {
            let fits = pruned.bytes_left <= cap_bytes && count <= cap_count;
            if fits && bytes.is_some() {
                continue;
            }
            let marker = marker_path(&all, &commit);
            let Some(_lock) = lock_exclusive_now(&marker)? else {
                continue;
            };
            remove_tree(&all.join(&commit))?;
            fs::remove_file(&marker).map_err(disk("remove", &marker))?;
            if let Some(bytes) = bytes {
                pruned.bytes_left -= bytes;
                count -= 1;
                pruned.removed.push(commit);
            }
        }
        Ok(pruned)
    }
}

fn marker_path(all: &Path, commit: &str) -> PathBuf {
    all.join(format!("{commit}.used"))
}

/// A file or link to be written.
pub(super) struct Leaf {
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) oid: Oid,
}

/// Writes `leaves` below `dir`, whose folders exist; small ones by several threads. Gives the bytes.
pub(super) fn write_leaves(
    git_dir: &Path,
    dir: &Path,
    leaves: &[Leaf],
    seconds: Option<i64>,
) -> Result<u64, Error> {
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(2, 8);
    let threads = if leaves.len() < 32 { 1 } else { threads };
    let next = AtomicUsize::new(0);
    let large = Mutex::new(());
    let work = || -> Result<u64, Error> {
        // libgit2 handles are not shared between threads.
        let repo = open(git_dir)?;
        let odb = repo.odb()?;
        let mut bytes = 0;
        while let Some(leaf) = leaves.get(next.fetch_add(1, Ordering::Relaxed)) {
            match write_leaf(&odb, &large, dir, leaf, seconds) {
                Ok(more) => bytes += more,
                Err(e) => {
                    // The others stop as well.
                    next.store(leaves.len(), Ordering::Relaxed);
                    return Err(e);
                }
            }
        }
        Ok(bytes)
    };
    if threads == 1 {
        return work();
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = running.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(Error::Internal("a checkout thread panicked".to_owned())))
        });
        ended.sum()
    })
}

fn write_leaf(
    odb: &Odb<'_>,
    large: &Mutex<()>,
    dir: &Path,
    leaf: &Leaf,
    seconds: Option<i64>,
) -> Result<u64, Error> {
    let path = dir.join(OsStr::from_bytes(&leaf.path));
    let at = |e: io::Error| match e.kind() {
        // Two entries of one name: the tree is forged.
        io::ErrorKind::AlreadyExists => Error::Hostile {
            path: RepoPath::new(leaf.path.clone()),
            why: "the tree holds this name twice",
        },
        _ => disk("write", &path)(e),
    };
    let gone = |e: git2::Error| match e.code() {
        git2::ErrorCode::NotFound => Error::NotFound(format!(
            "the content of `{}` is not in the repository ({}); a partial clone? fetch it whole",
            String::from_utf8_lossy(&leaf.path),
            leaf.oid
        )),
        _ => e.into(),
    };
    let times = seconds.map(|tv_sec| {
        let time = Timespec { tv_sec, tv_nsec: 0 };
        Timestamps {
            last_access: time,
            last_modification: time,
        }
    });
    let size = odb.read_header(leaf.oid).map_err(gone)?.0;
    if leaf.kind == EntryKind::Symlink {
        let target = odb.read(leaf.oid).map_err(gone)?;
        std::os::unix::fs::symlink(OsStr::from_bytes(target.data()), &path).map_err(at)?;
        if let Some(times) = times {
            rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| at(e.into()))?;
        }
    } else {
        let mode = if leaf.kind == EntryKind::Executable {
            0o755
        } else {
            0o644
        };
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .map_err(at)?;
        if size <= LARGE {
            file.write_all(odb.read(leaf.oid).map_err(gone)?.data())
                .map_err(at)?;
        } else {
            let _one_at_a_time = large.lock();
            copy_large(odb, leaf.oid, &mut file)
                .map_err(gone)?
                .map_err(at)?;
        }
        // Whatever the umask is.
        file.set_permissions(fs::Permissions::from_mode(mode))
            .map_err(at)?;
        if let Some(times) = times {
            rustix::fs::futimens(&file, &times).map_err(|e| at(e.into()))?;
        }
    }
    Ok(size as u64)
}

fn copy_large(odb: &Odb<'_>, id: Oid, file: &mut File) -> Result<io::Result<()>, git2::Error> {
    match odb.reader(id) {
        Ok((mut reader, size, _)) => {
            let copied = io::copy(&mut reader, file);
            Ok(copied.and_then(|n| {
                if n == size as u64 {
                    Ok(())
                } else {
                    Err(io::Error::other("the object is cut off"))
                }
            }))
        }
        // Packed objects cannot be streamed.
        Err(_) => Ok(file.write_all(odb.read(id)?.data())),
    }
}

/// Makes a folder that must not exist; `name` is for the error.
pub(super) fn make_dir(path: &Path, name: &[u8]) -> Result<(), Error> {
    let made = fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    made.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => Error::Hostile {
            path: RepoPath::new(name),
            why: "the tree holds this name twice",
        },
        _ => disk("create", path)(e),
    })
}

/// The time of the files of a commit: its own, but in the past (git re-reads files as young as
/// the index, make complains about the future) and after 1980 (zip archives hold nothing older).
pub(super) fn mtime(repo: &Repository, commit: &CommitId, dir: &Path) -> Result<i64, Error> {
    let wanted = repo.find_commit(super::oid(commit)?)?.time().seconds();
    let now = fs::metadata(dir).map_err(disk("read", dir))?.mtime();
    Ok(wanted.min(now - 2).max(OLDEST))
}

/// 1980-01-02.
const OLDEST: i64 = 315_619_200;

fn read_marker(file: &File) -> Option<Written> {
    let mut text = String::new();
    let mut file = file;
    io::Seek::rewind(&mut file).ok()?;
    file.take(256).read_to_string(&mut text).ok()?;
    let mut parts = text.split_whitespace();
    if parts.next()? != boot() {
        return None;
    }
    let files = parts.next()?.parse().ok()?;
    let bytes = parts.next()?.parse().ok()?;
    Some(Written { files, bytes })
}

/// What the kernel calls this boot.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() {
        "unknown".to_owned()
    } else {
        id.to_owned()
    }
}
