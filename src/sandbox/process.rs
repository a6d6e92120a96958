//! What PID 1 does to itself and to a child before a command runs: signals, descriptors, loopback.

#![expect(
    unsafe_code,
    reason = "signals, descriptors and the loopback are set by system calls that no crate wraps"
)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::process::Signal;

use super::mounts::failure;
use super::wire::{Failure, Stage};

/// Child signals as something that can be polled; they stay blocked in this process.
pub(super) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before use and outlives both calls; the
    // descriptor that signalfd returns is new and owned by nobody else.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// No signal is ignored any more (this program's runtime ignores SIGPIPE, and who started it may
/// have ignored others): to be ignored is the one disposition that exec hands on.
pub(super) fn default_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is a valid disposition for every signal here, and a refusal (SIGKILL,
        // SIGSTOP) changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Commands start with no signal blocked.
pub(super) fn unblock_signals() {
    // SAFETY: the set is initialised by sigemptyset before use and outlives the call.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Makes one of the three standard descriptors mean what another does.
pub(super) fn redirect(from: &OwnedFd, standard: i32) -> io::Result<()> {
    // SAFETY: takes two integers; nothing in this process owns the standard descriptors.
    if unsafe { libc::dup2(from.as_raw_fd(), standard) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

pub(super) fn die_with_parent() -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| failure(Stage::Identity, "parent-death signal", &e.into()))
}

/// Closes all descriptors from 3 on, or marks them to be closed by exec.
pub(super) fn close_from_three(at_exec: bool) -> io::Result<()> {
    let flags = if at_exec {
        libc::CLOSE_RANGE_CLOEXEC
    } else {
        0
    };
    // SAFETY: nothing that is used afterwards owns one of these descriptors: the callers hold none
    // (at start), have dropped theirs (PID 1), or are about to exec.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, flags) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The namespace's own loopback; there is no other interface.
pub(super) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: all-zero is a valid value of this plain structure; the name is shorter than its
    // field, and the structure outlives both calls, which read and write only it.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = from.cast_signed();
        }
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
