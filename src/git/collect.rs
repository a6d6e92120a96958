//! The import of a result as data, after the sandbox is dead.
//!
//! Everything here was written by someone hostile. No path is resolved by name: each folder is
//! opened below its parent with `openat2`, which follows no link and crosses no mount; what a
//! name is gets looked up before it is opened, and once more on what was opened. Contents become
//! blobs of the mirror; links become their text. Modes are normalised.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use git2::{ObjectType, Odb, Oid, Repository};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::collected::{Collected, Limits, limit, open_root};
use super::delta::{is_marked_whiteout, is_whiteout, opaque};
use super::ignore::{Rules, is_dropping};
use super::objects::{has, put};
use super::snapshot::{Entries, write_tree};
use super::{Error, Kind, Mirror, Node, disk, join, names, tree_of};
use crate::domain::gates::EntryKind;
use crate::domain::ident::{CommitId, RepoPath};

/// Contents up to this are read whole; larger ones pass through a small buffer.
const LARGE: u64 = 16 << 20;

impl Mirror {
    /// Reads what an overlay's upper layer changed over a checkout of `base`. Costs as much as changed.
    /// Paths in `skip` (the throw-away `.git`) are not looked at.
    ///
    /// # Errors
    /// [`Error::Limit`]; [`Error::Hostile`] when something changes while it is read; [`Error::Disk`].
    pub fn collect_upper(
        &self,
        upper: &Path,
        base: &CommitId,
        skip: &[RepoPath],
        limits: &Limits,
    ) -> Result<Collected, Error> {
        self.collect(upper, base, skip, limits, (true, false))
    }

    /// Reads a whole work tree that began as a copy of `base`.
    ///
    /// # Errors
    /// As [`Mirror::collect_upper`].
    pub fn collect_full(
        &self,
        dir: &Path,
        base: &CommitId,
        skip: &[RepoPath],
        limits: &Limits,
    ) -> Result<Collected, Error> {
        self.collect(dir, base, skip, limits, (false, false))
    }

    /// With `tracked`, only what the base has is looked at; what is new is passed over.
    pub(super) fn collect(
        &self,
        dir: &Path,
        base: &CommitId,
        skip: &[RepoPath],
        limits: &Limits,
        (overlay, tracked): (bool, bool),
    ) -> Result<Collected, Error> {
        let repo = self.repo()?;
        let base = tree_of(&repo, base)?.id();
        let root = open_root(dir)?;
        let odb = repo.odb()?;
        let mut import = Import {
            repo: &repo,
            odb: &odb,
            root: dir,
            skip,
            limits,
            overlay,
            rules: Rules::default(),
            visited: 0,
            bytes: 0,
            out: Collected {
                tree: String::new(),
                changed: 0,
                droppings: Vec::new(),
                odd: Vec::new(),
                hostile: Vec::new(),
                ignored: 0,
            },
        };
        let at = Place {
            path: b"",
            base: Some(base),
            merged: overlay,
            ignored: tracked,
            depth: 0,
        };
        let tree = match import.folder(&root, &at)? {
            Some(tree) => tree,
            None => put(&odb, ObjectType::Tree, b"")?,
        };
        import.out.tree = tree.to_string();
        Ok(import.out)
    }
}

struct Import<'a> {
    repo: &'a Repository,
    odb: &'a Odb<'a>,
    root: &'a Path,
    skip: &'a [RepoPath],
    limits: &'a Limits,
    /// Whether whiteouts and opaque folders mean something.
    overlay: bool,
    rules: Rules,
    visited: u64,
    bytes: u64,
    out: Collected,
}

/// A folder on its way into the tree.
struct Place<'a> {
    path: &'a [u8],
    /// The base's tree at this path.
    base: Option<Oid>,
    /// Whether the base shines through: what is not here is unchanged, else it is gone.
    merged: bool,
    /// Whether an ignore rule covers the folder: only what the base tracks is of interest.
    ignored: bool,
    depth: usize,
}

impl Import<'_> {
    /// The tree that the folder makes; `None` when it holds nothing.
    fn folder(&mut self, dir: &OwnedFd, at: &Place<'_>) -> Result<Option<Oid>, Error> {
        let mut tracked = Entries::new();
        if let Some(id) = at.base {
            for entry in &self.repo.find_tree(id)? {
                tracked.insert(entry.name_bytes().to_vec(), Node::of(&entry));
            }
        }
        let rules = match tracked.get(&b".gitignore"[..]) {
            Some(node)
                if matches!(
                    node.kind(),
                    Kind::Leaf(EntryKind::File | EntryKind::Executable)
                ) =>
            {
                self.odb.read(node.oid)?.data().to_vec()
            }
            _ => Vec::new(),
        };
        self.rules.enter(at.path.len(), &rules);
        let mut entries = if at.merged {
            tracked.clone()
        } else {
            Entries::new()
        };
        let marked = self.overlay && opaque(dir) == Some(b'x');
        let listing = self.list(dir, at.path)?;
        for name in &listing {
            let path = join(at.path, name);
            if self.skip.iter().any(|s| s.as_bytes() == path) {
                continue;
            }
            let stat = rustix::fs::statat(dir, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| self.failed("read", &path, e))?;
            if self.overlay
                && (is_whiteout(&stat) || (marked && is_marked_whiteout(dir, name, &stat)))
            {
                entries.remove(name);
                continue;
            }
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let before = tracked.get(name).copied().filter(|node| {
                is_folder == matches!(node.kind(), Kind::Tree | Kind::Leaf(EntryKind::Gitlink))
            });
            let covered = at.ignored || self.rules.ignored(&path, is_folder);
            if before.is_none() {
                // Also what the base has there as another kind of thing: it is replaced.
                entries.remove(name);
                if covered {
                    self.out.ignored += 1;
                    continue;
                }
                let beside = |n: &[u8]| tracked.contains_key(n) || listing.iter().any(|l| l == n);
                if is_dropping(name, is_folder, &beside) {
                    self.out.droppings.push(RepoPath::new(path));
                    continue;
                }
            }
            if let Some(why) = names::problem(name) {
                entries.remove(name);
                self.out.hostile.push((RepoPath::new(path), why));
                continue;
            }
            let place = Place {
                path: &path,
                base: None,
                merged: at.merged,
                ignored: covered,
                depth: at.depth + 1,
            };
            match self.entry(dir, name, &stat, before, place)? {
                Some(node) => entries.insert(name.clone(), node),
                None => entries.remove(name),
            };
        }
        self.rules.leave();
        if entries == tracked {
            return Ok(at.base.filter(|_| !entries.is_empty()));
        }
        write_tree(self.odb, &entries)
    }

    fn entry(
        &mut self,
        dir: &OwnedFd,
        name: &[u8],
        stat: &Stat,
        before: Option<Node>,
        mut place: Place<'_>,
    ) -> Result<Option<Node>, Error> {
        let path = place.path;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let what = match kind {
            FileType::Directory => {
                let folder = self.open(dir, name, path, OFlags::DIRECTORY, 0o700)?;
                if let Some(link) = before.filter(|n| n.kind() != Kind::Tree) {
                    // A submodule is not fetched: an empty folder.
                    if !self.list(&folder, path)?.is_empty() {
                        self.out
                            .odd
                            .push((RepoPath::new(path), "content inside a submodule"));
                    }
                    return Ok(Some(link));
                }
                if place.depth > self.limits.depth {
                    return Err(limit(
                        "the nesting of folders at",
                        path,
                        self.limits.depth as u64,
                    ));
                }
                place.base = before.map(|n| n.oid);
                place.merged &= opaque(&folder) != Some(b'y');
                let tree = self.folder(&folder, &place)?;
                let mode = before.map_or(0o040_000, |n| n.mode);
                return Ok(tree.map(|oid| Node { mode, oid }));
            }
            FileType::RegularFile => {
                let oid = self.file(dir, name, path, stat, before)?;
                let mode = if stat.st_mode & 0o100 != 0 {
                    0o100_755
                } else {
                    0o100_644
                };
                return self.changed(path, Node { mode, oid }, before).map(Some);
            }
            FileType::Symlink => {
                let target =
                    rustix::fs::readlinkat(dir, name, Vec::new()).map_err(|e| match e {
                        // No link any more.
                        Errno::INVAL => Error::Hostile {
                            path: RepoPath::new(path),
                            why: "it changes while it is read",
                        },
                        e => self.failed("read", path, e),
                    })?;
                let oid = put(self.odb, ObjectType::Blob, target.as_bytes())?;
                return self
                    .changed(
                        path,
                        Node {
                            mode: 0o120_000,
                            oid,
                        },
                        before,
                    )
                    .map(Some);
            }
            FileType::Fifo => "a named pipe",
            FileType::Socket => "a socket",
            _ => "a device",
        };
        self.out.odd.push((RepoPath::new(path), what));
        Ok(None)
    }

    /// The base's own node where nothing changed (whatever spelling of the mode it has), else the new one, counted.
    fn changed(&mut self, path: &[u8], now: Node, before: Option<Node>) -> Result<Node, Error> {
        match before {
            Some(before) if before.same(now) => Ok(before),
            _ => {
                self.out.changed += 1;
                if self.out.changed > self.limits.changed {
                    return Err(limit(
                        "the number of changed files, reached at",
                        path,
                        self.limits.changed,
                    ));
                }
                Ok(now)
            }
        }
    }

    fn file(
        &mut self,
        dir: &OwnedFd,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
        before: Option<Node>,
    ) -> Result<Oid, Error> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let before = before
            .filter(|n| n.kind() != Kind::Leaf(EntryKind::Symlink))
            .map(|n| n.oid);
        if size > self.limits.file_bytes {
            // One that the base has at this size may be unchanged; no other is even read.
            let same_size =
                before.is_some_and(|id| self.odb.read_header(id).is_ok_and(|h| h.0 as u64 == size));
            if !same_size {
                return Err(limit("the size of", path, self.limits.file_bytes));
            }
        }
        let file =
            File::from(self.open(dir, name, path, OFlags::NONBLOCK | OFlags::NOCTTY, 0o400)?);
        let moved = || Error::Hostile {
            path: RepoPath::new(path),
            why: "it changes while it is read",
        };
        let opened = rustix::fs::fstat(&file).map_err(|e| self.failed("read", path, e))?;
        if (opened.st_dev, opened.st_ino) != (stat.st_dev, stat.st_ino)
            || opened.st_size != stat.st_size
        {
            return Err(moved());
        }
        let at = self.root.join(OsStr::from_bytes(path));
        if size <= LARGE {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            (&file)
                .take(size + 1)
                .read_to_end(&mut bytes)
                .map_err(disk("read", &at))?;
            if bytes.len() as u64 != size {
                return Err(moved());
            }
            let id = Oid::hash_object(ObjectType::Blob, &bytes)?;
            if before != Some(id) {
                self.count(path, size)?;
                put(self.odb, ObjectType::Blob, &bytes)?;
            }
            return Ok(id);
        }
        // What is open, by its descriptor: the name is not looked up again.
        let id = Oid::hash_file(
            ObjectType::Blob,
            format!("/proc/self/fd/{}", file.as_raw_fd()),
        )?;
        if before == Some(id) {
            return Ok(id);
        }
        self.count(path, size)?;
        if !has(self.odb, id) {
            let length =
                usize::try_from(size).map_err(|_| limit("the size of", path, usize::MAX as u64))?;
            let mut writer = self.odb.writer(length, ObjectType::Blob)?;
            io::copy(&mut (&file).take(size), &mut writer).map_err(disk("import", &at))?;
            if writer.finalize()? != id {
                return Err(moved());
            }
        }
        Ok(id)
    }

    fn count(&mut self, path: &[u8], size: u64) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.total_bytes {
            return Err(limit(
                "the bytes of all changed files, reached at",
                path,
                self.limits.total_bytes,
            ));
        }
        Ok(())
    }

    /// The names in a folder, sorted.
    fn list(&mut self, dir: &OwnedFd, path: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut names = Vec::new();
        for entry in Dir::read_from(dir).map_err(|e| self.failed("list", path, e))? {
            let entry = entry.map_err(|e| self.failed("list", path, e))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            self.visited += 1;
            if self.visited > self.limits.visited {
                return Err(limit(
                    "the number of names, reached in",
                    path,
                    self.limits.visited,
                ));
            }
            if path.len() + 1 + name.len() > self.limits.path_bytes {
                return Err(limit(
                    "the length of a path in",
                    path,
                    self.limits.path_bytes as u64,
                ));
            }
            names.push(name.to_vec());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens one name below `dir`. What its owner (us, as an ordinary user) may not read is made readable first.
    fn open(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        path: &[u8],
        flags: OFlags,
        needs: u32,
    ) -> Result<OwnedFd, Error> {
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        let open = |flags| {
            rustix::fs::openat2(
                dir,
                name,
                flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            )
        };
        match open(OFlags::RDONLY | flags) {
            Err(Errno::ACCESS) => {
                let handle = open(OFlags::PATH).map_err(|e| self.failed("open", path, e))?;
                let by_handle = format!("/proc/self/fd/{}", handle.as_raw_fd());
                let mode = rustix::fs::fstat(&handle)
                    .map_err(|e| self.failed("read", path, e))?
                    .st_mode
                    | needs;
                let mode = Mode::from_raw_mode(mode & 0o777);
                rustix::fs::chmod(by_handle.as_str(), mode)
                    .map_err(|e| self.failed("make readable", path, e))?;
                open(OFlags::RDONLY | flags).map_err(|e| self.failed("open", path, e))
            }
            Err(Errno::NOSYS) => Err(Error::Unsupported(
                "the kernel has no openat2 (Linux 5.6 or later has)".to_owned(),
            )),
            Err(Errno::LOOP | Errno::XDEV | Errno::NOTDIR) => Err(Error::Hostile {
                path: RepoPath::new(path),
                why: "it leads out of the workspace",
            }),
            other => other.map_err(|e| self.failed("open", path, e)),
        }
    }

    /// What may not be read was made so inside, and is no trouble of the host.
    fn failed(&self, doing: &'static str, path: &[u8], e: Errno) -> Error {
        if matches!(e, Errno::ACCESS | Errno::PERM) {
            return Error::Hostile {
                path: RepoPath::new(path),
                why: "it may not be read",
            };
        }
        disk(doing, &self.root.join(OsStr::from_bytes(path)))(e.into())
    }
}
