//! Folder trees that something hostile may have written, as data: no symbolic link is followed,
//! no name is trusted, nothing recurses without bound.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

/// Deepest nesting that is looked into; each level holds one descriptor.
const MAX_DEPTH: usize = 128;

/// What a tree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Bytes taken on disk.
    pub(super) bytes: u64,
    /// Files, folders and everything else.
    pub(super) files: u64,
    /// Something may not be looked into, so there may be more.
    pub(super) blind: bool,
}

impl Size {
    pub(super) fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.files = self.files.saturating_add(other.files);
        self.blind |= other.blind;
    }
}

/// What a tree holds, counted until a bound is passed. What changes or goes away while it is
/// counted is counted as it was seen; what nests too deep to be looked into counts as too much.
pub(super) fn size(folder: &Path, max_bytes: u64, max_files: u64) -> Size {
    let mut total = Size::default();
    let root = rustix::process::geteuid().is_root();
    let top = match open_folder(CWD, &c_path(folder)) {
        Ok(top) => top,
        Err(e) => {
            total.blind = e != Errno::NOENT;
            return total;
        }
    };
    let walked = walk(&top, 0, &mut |_, _, stat| {
        let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        total.add(Size {
            bytes: u64::try_from(stat.st_blocks).unwrap_or(0) * 512,
            files: 1,
            // Root may look into everything.
            blind: folder
                && !Mode::from_raw_mode(stat.st_mode).contains(Mode::RUSR | Mode::XUSR)
                && !root,
        });
        if total.bytes > max_bytes || total.files > max_files {
            return Err(Errno::FBIG);
        }
        Ok(())
    });
    if walked == Err(Errno::NAMETOOLONG) {
        total.files = u64::MAX;
    }
    total
}

/// Gives a whole tree to one owner. Mode bits that would carry the owner's power are lost, as the
/// kernel does it.
pub(super) fn give(folder: &Path, owner: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
    let top = open_folder(CWD, &c_path(folder))?;
    walk(&top, 0, &mut |parent, name, _| {
        rustix::fs::chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
    })?;
    Ok(rustix::fs::fchown(&top, Some(uid), Some(gid))?)
}

/// Calls `seen` for everything below, folders after their content. Folders that may not be read
/// are seen, not entered. `NAMETOOLONG`: nested too deep.
fn walk(
    folder: &OwnedFd,
    depth: usize,
    seen: &mut dyn FnMut(BorrowedFd<'_>, &CStr, &Stat) -> Result<(), Errno>,
) -> Result<(), Errno> {
    if depth > MAX_DEPTH {
        return Err(Errno::NAMETOOLONG);
    }
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match open_folder(folder.as_fd(), name) {
                Ok(inner) => walk(&inner, depth + 1, seen)?,
                Err(Errno::ACCESS | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(e) => return Err(e),
            }
        }
        seen(folder.as_fd(), name, &stat)?;
    }
    Ok(())
}

fn open_folder(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

fn c_path(path: &Path) -> CString {
    // A path with a zero byte names nothing, as the empty path.
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// Removes a file or a whole folder that a sandbox may have written: folders without permissions,
/// any depth, no link followed. Nothing may be writing to it. Not there is fine.
///
/// # Errors
///
/// As the system says; what could be removed before is gone.
pub fn remove(path: &Path) -> io::Result<()> {
    let name = c_path(path);
    match rustix::fs::unlinkat(CWD, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    let top = enter(CWD, &name)?;
    let mut moved = 0;
    loop {
        let before = moved;
        empty(&top, &top, 0, &mut moved)?;
        if moved == before {
            break;
        }
    }
    Ok(rustix::fs::unlinkat(CWD, &name, AtFlags::REMOVEDIR)?)
}

/// Opens a folder for removal, giving its owner the permission first where it lacks it.
fn enter(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(at, name, flags, Mode::empty())?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        // Through the descriptor, so that it is this folder and not what the name means by now.
        let fd = std::os::fd::AsRawFd::as_raw_fd(&handle);
        rustix::fs::chmod(format!("/proc/self/fd/{fd}"), Mode::RWXU)?;
    }
    open_folder(at, name)
}

fn empty(top: &OwnedFd, folder: &OwnedFd, depth: usize, moved: &mut usize) -> Result<(), Errno> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(e) => return Err(e),
        }
        if depth >= MAX_DEPTH {
            // Too deep to go on from here: hung at the top, and taken in the next turn.
            *moved += 1;
            rustix::fs::renameat(folder, name, top, format!(".removing-{moved}"))?;
            continue;
        }
        let inner = enter(folder.as_fd(), name)?;
        empty(top, &inner, depth + 1, moved)?;
        rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Copies layers, topmost first, as one tree into an empty folder, in parallel. Whiteouts and
/// opaque folders mean what they mean to overlay. Nothing may be writing to any of them.
pub(super) fn copy(lowers: &[PathBuf], into: &Path, owner: Option<u32>) -> io::Result<()> {
    let mut files = Vec::new();
    merge(lowers.to_vec(), into, owner, 0, &mut files)?;
    // A few bytes on disk may be a large file; a full disk would be everybody's trouble.
    let wanted: u64 = files.iter().map(|(_, _, bytes)| *bytes).sum();
    let stat = rustix::fs::statvfs(into)?;
    if wanted > stat.f_bavail.saturating_mul(stat.f_frsize) {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!("a copy needs {wanted} bytes"),
        ));
    }
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().min(8));
    let work = || -> io::Result<()> {
        while let Some((from, to, _)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            fs::copy(from, to)?;
            own(to, owner)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a copying thread died")))
        })
    })
}

fn own(path: &Path, owner: Option<u32>) -> io::Result<()> {
    owner.map_or(Ok(()), |id| {
        std::os::unix::fs::lchown(path, Some(id), Some(id))
    })
}

/// Makes folders, links and the rest at once, and lists the plain files.
fn merge(
    layers: Vec<PathBuf>,
    into: &Path,
    owner: Option<u32>,
    depth: usize,
    files: &mut Vec<(PathBuf, PathBuf, u64)>,
) -> io::Result<()> {
    if depth > 2 * MAX_DEPTH {
        return Err(Errno::NAMETOOLONG.into());
    }
    let mut seen = std::collections::HashSet::new();
    for (at, layer) in layers.iter().enumerate() {
        for entry in fs::read_dir(layer)? {
            let entry = entry?;
            let name = entry.file_name();
            if !seen.insert(name.clone()) {
                continue;
            }
            let (from, to) = (entry.path(), into.join(&name));
            let meta = entry.metadata()?;
            let kind = meta.file_type();
            if kind.is_dir() {
                // The same folder further down, until something hides it.
                let mut parts = vec![from.clone()];
                for lower in layers.get(at + 1..).unwrap_or_default() {
                    if parts.last().is_some_and(|last| opaque(last)) {
                        break;
                    }
                    match lower.join(&name).symlink_metadata() {
                        Ok(meta) if meta.is_dir() => parts.push(lower.join(&name)),
                        Ok(_) => break,
                        Err(_) => {}
                    }
                }
                fs::create_dir(&to)?;
                merge(parts, &to, owner, depth + 1, files)?;
                fs::set_permissions(&to, meta.permissions())?;
                own(&to, owner)?;
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
                own(&to, owner)?;
            } else if kind.is_file() {
                files.push((from, to, meta.len()));
            }
            // The rest is a whiteout, or a pipe or socket whose processes are dead.
        }
    }
    Ok(())
}

fn opaque(folder: &Path) -> bool {
    let mut value = [0_u8; 1];
    rustix::fs::lgetxattr(folder, c"user.overlay.opaque", &mut value[..]) == Ok(1) && value == *b"y"
}

/// Makes a folder and those above it; only this user may look inside.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_copy_of_layers_is_what_overlay_would_show() {
        let dir = tempfile::tempdir().unwrap();
        let (top, low, into) = (
            dir.path().join("top"),
            dir.path().join("low"),
            dir.path().join("into"),
        );
        write(&low.join("same/a"), "low");
        write(&low.join("same/b"), "low");
        write(&low.join("gone"), "low");
        write(&low.join("fresh/old"), "low");
        write(&low.join("file-over-folder/x"), "low");
        write(&top.join("same/a"), "top");
        write(&top.join("fresh/new"), "top");
        write(&top.join("file-over-folder"), "top");
        std::os::unix::fs::symlink("/etc/shadow", top.join("link")).unwrap();
        let whiteout = rustix::fs::mknodat(
            CWD,
            top.join("gone"),
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        );
        whiteout.unwrap();
        rustix::fs::setxattr(
            top.join("fresh"),
            c"user.overlay.opaque",
            b"y",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        fs::create_dir(&into).unwrap();
        copy(&[top, low], &into, None).unwrap();
        let read = |name: &str| fs::read_to_string(into.join(name)).ok();
        assert_eq!(read("same/a").unwrap(), "top");
        assert_eq!(read("same/b").unwrap(), "low");
        assert_eq!(read("fresh/new").unwrap(), "top");
        assert_eq!(read("file-over-folder").unwrap(), "top");
        assert_eq!(read("gone"), None);
        assert_eq!(read("fresh/old"), None);
        assert_eq!(
            fs::read_link(into.join("link")).unwrap(),
            Path::new("/etc/shadow")
        );
    }

    #[test]
    fn removal_takes_closed_folders_and_deep_ones_and_leaves_what_links_point_to() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("kept/file"), "kept");
        let tree = dir.path().join("tree");
        write(&tree.join("closed/inner/file"), "x");
        std::os::unix::fs::symlink(dir.path().join("kept"), tree.join("link")).unwrap();
        let mut deep = open_folder(CWD, &c_path(&tree)).unwrap();
        for _ in 0..3 * MAX_DEPTH {
            rustix::fs::mkdirat(&deep, c"deeper-than-it-should", Mode::RWXU).unwrap();
            deep = open_folder(deep.as_fd(), c"deeper-than-it-should").unwrap();
        }
        drop(deep);
        assert_eq!(size(&tree, u64::MAX, u64::MAX - 1).files, u64::MAX);
        let none = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        fs::set_permissions(tree.join("closed"), none).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
        assert_eq!(
            fs::read_to_string(dir.path().join("kept/file")).unwrap(),
            "kept"
        );
        remove(&tree).unwrap();
    }

    #[test]
    fn counting_stops_at_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..20 {
            write(&dir.path().join(i.to_string()), "x");
        }
        assert_eq!(size(dir.path(), u64::MAX, u64::MAX).files, 20);
        assert_eq!(size(dir.path(), u64::MAX, 5).files, 6);
    }
}
