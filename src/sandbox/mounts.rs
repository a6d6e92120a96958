//! Carries out a plan: host paths become detached mounts, detached mounts become a root folder.

#![expect(unsafe_code, reason = "mount_setattr and clone3 have no safe wrapper")]

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};

use super::plan::{Access, Owner, PROC_COVERED, Plan, ROOT, STAGING, Source, Step};
use super::wire::{Failure, Stage};

/// Every source as a detached mount, in the plan's order. `slot`: the host uid and gid that owners
/// are mapped to; only host root can do that, and does it before it makes namespaces.
pub(super) fn open(plan: &Plan, slot: Option<u32>) -> Result<Vec<OwnedFd>, Failure> {
    let mut idmaps: Vec<((u32, u32), OwnedFd)> = Vec::new();
    plan.sources
        .iter()
        .map(|source| open_one(source, slot, &mut idmaps))
        .collect()
}

fn open_one(
    source: &Source,
    slot: Option<u32>,
    idmaps: &mut Vec<((u32, u32), OwnedFd)>,
) -> Result<OwnedFd, Failure> {
    let fail = |stage, e: io::Error| failure(stage, &source.path.to_string_lossy(), &e);
    let clone = || {
        rustix::mount::open_tree(
            CWD,
            source.path.as_os_str(),
            OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::AT_RECURSIVE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC,
        )
        .map_err(|e| fail(Stage::Source, e.into()))
    };
    let tree = clone()?;
    let flags = match source.access {
        Access::ReadOnly => {
            libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV
        }
        Access::Writable => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        Access::Device => {
            libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC
        }
    };
    set_attributes(tree.as_fd(), c"", flags, true, None).map_err(|e| fail(Stage::Source, e))?;
    let (Some(slot), true) = (slot, source.owner != Owner::Kept) else {
        return Ok(tree);
    };
    match map_owner(tree.as_fd(), slot, idmaps) {
        Ok(()) => Ok(tree),
        Err(e) if source.owner == Owner::Required => Err(fail(Stage::Idmap, e)),
        Err(_) => Ok(tree),
    }
}

fn map_owner(
    tree: BorrowedFd<'_>,
    slot: u32,
    idmaps: &mut Vec<((u32, u32), OwnedFd)>,
) -> io::Result<()> {
    let stat = rustix::fs::fstat(tree)?;
    let owner = (stat.st_uid, stat.st_gid);
    if owner == (slot, slot) {
        return Ok(());
    }
    let namespace = match idmaps.iter().position(|(known, _)| *known == owner) {
        Some(at) => at,
        None => {
            idmaps.push((owner, idmap(owner, slot)?));
            idmaps.len() - 1
        }
    };
    let Some((_, namespace)) = idmaps.get(namespace) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    set_attributes(tree, c"", 0, true, Some(namespace.as_fd()))
}

/// A user namespace that exists only to say "this owner looks like that one".
fn idmap(owner: (u32, u32), slot: u32) -> io::Result<OwnedFd> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let Some((child, pidfd)) = clone_process(libc::CLONE_NEWUSER)? else {
        // The child only has to exist until its namespace is open.
        drop(write);
        let _ = rustix::io::read(&read, &mut [0_u8; 1]);
        exit_now(0);
    };
    drop(read);
    let made = (|| {
        std::fs::write(format!("/proc/{child}/uid_map"), swapped(owner.0, slot))?;
        std::fs::write(format!("/proc/{child}/gid_map"), swapped(owner.1, slot))?;
        Ok(OwnedFd::from(File::open(format!("/proc/{child}/ns/user"))?))
    })();
    drop(write);
    wait(pidfd.as_fd())?;
    made
}

/// Every id as itself, but `owner` as `slot`; what was `slot`'s belongs to nobody.
fn swapped(owner: u32, slot: u32) -> String {
    let (low, high) = (owner.min(slot), owner.max(slot));
    let mut lines = format!("{owner} {slot} 1\n");
    let mut same = |from: u32, to: u32| {
        if from < to {
            lines.push_str(&format!("{from} {from} {}\n", to - from));
        }
    };
    same(0, low);
    same(low.saturating_add(1), high);
    same(high.saturating_add(1), u32::MAX);
    lines
}

/// Builds the root folder from a plan and its opened sources, and moves into it. Runs inside the
/// new mount namespace with all capabilities over it.
pub(super) fn build(plan: &Plan, sources: &[OwnedFd]) -> Result<(), Failure> {
    let at = |what: &'static str| move |e: io::Error| failure(Stage::Mount, what, &e);
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(io::Error::from)
    .map_err(at("making mounts private"))?;
    // Sources are open, so hiding the host's /tmp hides nothing that is needed. Overlays are made from
    // what is mounted in the outer of the two: it goes with the host's root, in one unmount, where
    // each of its own would wait for every processor.
    memory(Path::new("/tmp"), 0o755, 1 << 20, 1024).map_err(at("staging"))?;
    std::fs::create_dir(ROOT).map_err(at("root folder"))?;
    memory(Path::new(ROOT), 0o755, 16 << 20, 65_536).map_err(at("root folder"))?;
    std::env::set_current_dir(ROOT).map_err(at("root folder"))?;
    let mut staged = 0;
    for step in &plan.steps {
        carry_out(step, sources, &mut staged)?;
    }
    rustix::process::pivot_root(".", ".")
        .map_err(io::Error::from)
        .map_err(at("pivot_root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)
        .map_err(io::Error::from)
        .map_err(at("leaving the host's root"))?;
    std::env::set_current_dir("/").map_err(at("root folder"))
}

fn carry_out(step: &Step, sources: &[OwnedFd], staged: &mut usize) -> Result<(), Failure> {
    let at = |path: &OsStr| {
        let path = format!("/{}", path.to_string_lossy());
        move |e: io::Error| failure(Stage::Mount, &path, &e)
    };
    let source = |index: &usize| {
        sources
            .get(*index)
            .map(AsFd::as_fd)
            .ok_or_else(|| failure(Stage::Mount, "a source of the plan", &Errno::BADF.into()))
    };
    match step {
        Step::Folder(path) => folders(Path::new(path)).map_err(at(path)),
        Step::Link { path, to } => parent(Path::new(path))
            .and_then(|()| std::os::unix::fs::symlink(to, path))
            .map_err(at(path)),
        Step::File { path, bytes } => file(Path::new(path), bytes).map_err(at(path)),
        Step::Cover { path, bytes } => {
            let spot = Path::new(STAGING).join(staged.to_string());
            *staged += 1;
            cover(&spot, bytes, Path::new(path)).map_err(at(path))
        }
        Step::Memory {
            path,
            mode,
            bytes,
            files,
        } => folders(Path::new(path))
            .and_then(|()| memory(Path::new(path), *mode, *bytes, *files))
            .map_err(at(path)),
        Step::Bind { source: s, path } => attach(source(s)?, Path::new(path)).map_err(at(path)),
        Step::Overlay {
            lowers,
            layer,
            path,
        } => {
            let stage = |index: &usize, staged: &mut usize| -> Result<PathBuf, Failure> {
                let spot = Path::new(STAGING).join(staged.to_string());
                *staged += 1;
                let tree = source(index)?;
                std::fs::create_dir(&spot)
                    .and_then(|()| put(tree, &spot))
                    .map_err(at(path))?;
                Ok(spot)
            };
            let mut spots = vec![stage(layer, staged)?];
            for lower in lowers {
                spots.push(stage(lower, staged)?);
            }
            folders(Path::new(path)).map_err(at(path))?;
            overlay(&spots, Path::new(path))
                .map_err(|e| failure(Stage::Overlay, &path.to_string_lossy(), &e))
        }
        Step::Proc => proc().map_err(|e| failure(Stage::Proc, "/proc", &e)),
        Step::Seal(path) => seal(Path::new(path)).map_err(at(path)),
    }
}

/// `spots`: the layer, then the lowers, topmost first. They hold no `:`, `,` or backslash.
fn overlay(spots: &[PathBuf], path: &Path) -> io::Result<()> {
    let Some((layer, lowers)) = spots.split_first() else {
        return Err(Errno::INVAL.into());
    };
    let lowers: Vec<_> = lowers.iter().map(|p| p.to_string_lossy()).collect();
    let options = format!(
        "userxattr,lowerdir={},upperdir={layer}/upper,workdir={layer}/work",
        lowers.join(":"),
        layer = layer.display()
    );
    let options = CString::new(options)?;
    rustix::mount::mount(
        "overlay",
        path,
        "overlay",
        MountFlags::NOSUID | MountFlags::NODEV,
        options.as_c_str(),
    )?;
    Ok(())
}

/// A fresh `/proc`: nothing of the host's processes, and nothing that can be turned.
fn proc() -> io::Result<()> {
    folders(Path::new("proc"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "proc", "proc", flags, None)?;
    let clone = |path: &Path| {
        rustix::mount::open_tree(
            CWD,
            path,
            OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::AT_RECURSIVE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC,
        )
    };
    let sys = clone(Path::new("proc/sys"))?;
    set_attributes(sys.as_fd(), c"", libc::MOUNT_ATTR_RDONLY, true, None)?;
    put(sys.as_fd(), Path::new("proc/sys"))?;
    for name in PROC_COVERED {
        let path = Path::new("proc").join(name);
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        if meta.is_dir() {
            rustix::mount::mount(
                "tmpfs",
                &path,
                "tmpfs",
                flags | MountFlags::RDONLY,
                c"mode=555,size=4k,nr_inodes=1",
            )?;
        } else {
            put(clone(Path::new("dev/null"))?.as_fd(), &path)?;
        }
    }
    Ok(())
}

fn memory(path: &Path, mode: u32, bytes: u64, files: u64) -> io::Result<()> {
    let options = CString::new(format!("mode={mode:o},size={bytes},nr_inodes={files}"))?;
    rustix::mount::mount(
        "tmpfs",
        path,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        options.as_c_str(),
    )?;
    Ok(())
}

fn seal(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    set_attributes(CWD, &path, flags, false, None)
}

fn attach(tree: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode);
    if kind == FileType::Directory {
        folders(path)?;
    } else {
        file(path, b"")?;
    }
    put(tree, path)
}

fn put(tree: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    rustix::mount::move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

fn file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    parent(path)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o444))?;
    File::from(fd).write_all(bytes)
}

/// Covers a file that is shown by another, made at `spot`.
fn cover(spot: &Path, bytes: &[u8], path: &Path) -> io::Result<()> {
    file(spot, bytes)?;
    let tree = rustix::mount::open_tree(
        CWD,
        spot,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?;
    let flags = libc::MOUNT_ATTR_RDONLY
        | libc::MOUNT_ATTR_NOSUID
        | libc::MOUNT_ATTR_NODEV
        | libc::MOUNT_ATTR_NOEXEC;
    set_attributes(tree.as_fd(), c"", flags, false, None)?;
    put(tree.as_fd(), path)
}

fn parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), folders)
}

/// Makes a folder and its parents, all of mode 755.
fn folders(path: &Path) -> io::Result<()> {
    let mut made = PathBuf::new();
    for part in path.components() {
        let Component::Normal(name) = part else {
            continue;
        };
        made.push(name);
        match rustix::fs::mkdir(&made, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn set_attributes(
    at: BorrowedFd<'_>,
    path: &std::ffi::CStr,
    set: u64,
    recursive: bool,
    idmap: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set | idmap.map_or(0, |_| libc::MOUNT_ATTR_IDMAP),
        attr_clr: 0,
        // Changing an owner is one call of its own, after the mount was made private.
        propagation: if idmap.is_none() { libc::MS_PRIVATE } else { 0 },
        userns_fd: idmap.map_or(0, |fd| fd.as_raw_fd().unsigned_abs().into()),
    };
    let mut flags = libc::AT_SYMLINK_NOFOLLOW;
    if path.is_empty() {
        flags |= libc::AT_EMPTY_PATH;
    }
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is nul-terminated, the attributes live through the call and their true
    // size is given; the kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Forks with new namespaces: `None` in the child, its pid and pidfd in the parent. The caller has
/// one thread, so the child may go on using everything.
pub(super) fn clone_process(namespaces: i32) -> io::Result<Option<(i32, OwnedFd)>> {
    let mut pidfd: i32 = -1;
    // SAFETY: all-zero is a valid value of this plain structure.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from((namespaces | libc::CLONE_PIDFD).unsigned_abs());
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    // SAFETY: no stack is given, so this is a fork: the child has a copy of this thread's memory.
    // The process is single-threaded, so no lock is held by a thread that the child lacks.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const args,
            size_of::<libc::clone_args>(),
        )
    };
    match pid {
        ..0 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ => {
            // SAFETY: the kernel made this descriptor for us just now; nobody else owns it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Some((i32::try_from(pid).unwrap_or_default(), pidfd)))
        }
    }
}

/// Waits until a child is gone.
pub(super) fn wait(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    loop {
        match waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            other => return Ok(other.map(|_| ())?),
        }
    }
}

/// Ends this process without running anything that its parent registered.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

pub(super) fn failure(step: Stage, what: &str, error: &io::Error) -> Failure {
    Failure {
        step,
        what: what.to_owned(),
        errno: error.raw_os_error().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_swapped_for_the_slot_and_nobody_else_moves() {
        assert_eq!(
            swapped(0, 1000),
            "0 1000 1\n1 1 999\n1001 1001 4294966294\n"
        );
        assert_eq!(
            swapped(1001, 1000),
            "1001 1000 1\n0 0 1000\n1002 1002 4294966293\n"
        );
    }
}
