//! The inner process. The launcher starts this program once more, under the name [`NAME`], with
//! the control socket as its standard input and nothing else. It makes the namespaces; its child
//! is PID 1 in them, builds the root folder, gives everything up, and runs commands.

#![expect(
    unsafe_code,
    reason = "fork, execve, signalfd and kill(-1) have no safe wrapper"
)]

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, WaitOptions};

use super::confine;
use super::mounts::{self, failure};
use super::process::{
    child_signals, close_from_three, default_signals, die_with_parent, loopback_up, redirect,
    unblock_signals,
};
use super::wire::{self, Boot, Failure, How, Incoming, Reply, Run, Stage, Watch};

/// `argv[0]` by which the inner process is recognised.
pub(super) const NAME: &str = "prentice-sandbox-inner";

/// Uid and gid inside.
const AGENT: u32 = 1000;

/// How often PID 1 looks at memory and processes where no cgroup does.
const WATCH_EVERY_MS: i64 = 100;

/// The first line of `main`: `Some(exit code)` when this process is the inside of a sandbox, and
/// then everything has already happened. Has to run before any thread is started.
#[must_use]
pub fn inner() -> Option<i32> {
    if std::env::args_os().next()? != NAME {
        return None;
    }
    let stdin = io::stdin();
    let control = stdin.as_fd();
    Some(match outer_half(control) {
        Ok(()) => 0,
        Err(failure) => refuse(control, failure),
    })
}

fn refuse(control: BorrowedFd<'_>, failure: Failure) -> i32 {
    // Nobody is left to tell when this fails, too.
    let _ = wire::send(control, &Reply::Failed(failure), &[]);
    1
}

/// The half outside the namespaces: opens what only the host's identity can open, makes the
/// namespaces, writes the id maps, then only waits. Its death is PID 1's death.
fn outer_half(control: BorrowedFd<'_>) -> Result<(), Failure> {
    let wired = |e: io::Error| failure(Stage::Wire, "the control socket", &e);
    die_with_parent()?;
    close_from_three(false).map_err(wired)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut incoming = Incoming::new();
    let Some(boot) = incoming.wait::<Boot>(control).map_err(wired)? else {
        return Ok(());
    };
    for door in &boot.doors {
        let at = door.to_string_lossy();
        std::fs::write(door, "0").map_err(|e| failure(Stage::Confine, &at, &e))?;
    }

    let identity = |e: io::Error| failure(Stage::Identity, "identity", &e);
    let mut sources = Vec::new();
    if boot.slot.is_some() {
        rustix::thread::set_thread_groups(&[])
            .map_err(io::Error::from)
            .map_err(identity)?;
        sources = mounts::open(&boot.plan, boot.slot)?;
    }
    let (go, ready) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(io::Error::from)
        .map_err(identity)?;
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    let Some((child, pidfd)) = mounts::clone_process(namespaces)
        .map_err(|e| failure(Stage::Namespaces, "new namespaces", &e))?
    else {
        drop(ready);
        let code = match inner_half(control, incoming, &go, boot, sources) {
            Ok(()) => 0,
            Err(failure) => refuse(control, failure),
        };
        mounts::exit_now(code);
    };
    drop(go);
    drop(sources);
    write_maps(child, boot.slot).map_err(|e| failure(Stage::Identity, "id maps", &e))?;
    let beside = [pidfd];
    wire::send(control, &Reply::Born, &beside).map_err(wired)?;
    rustix::io::write(&ready, b"g")
        .map_err(io::Error::from)
        .map_err(wired)?;
    drop(ready);
    // From here on only PID 1 holds the control socket: its end is the end of the stream.
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDONLY,
        rustix::fs::Mode::empty(),
    )
    .map_err(io::Error::from)
    .map_err(wired)?;
    redirect(&null, 0).map_err(wired)?;
    let [pidfd] = &beside;
    mounts::wait(pidfd.as_fd()).map_err(wired)
}

fn write_maps(child: i32, slot: Option<u32>) -> io::Result<()> {
    let (uid, gid) = match slot {
        Some(slot) => (slot, slot),
        None => (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ),
    };
    std::fs::write(format!("/proc/{child}/setgroups"), "deny")?;
    std::fs::write(format!("/proc/{child}/uid_map"), format!("{AGENT} {uid} 1"))?;
    std::fs::write(format!("/proc/{child}/gid_map"), format!("{AGENT} {gid} 1"))
}

/// PID 1.
fn inner_half(
    control: BorrowedFd<'_>,
    incoming: Incoming,
    go: &OwnedFd,
    boot: Boot,
    mut sources: Vec<OwnedFd>,
) -> Result<(), Failure> {
    die_with_parent()?;
    // No word means that the parent died before it could write the maps.
    if rustix::io::read(go, &mut [0_u8; 1]) != Ok(1) {
        return Ok(());
    }
    take_identity().map_err(|e| failure(Stage::Identity, "identity", &e))?;
    // A change of identity clears it.
    die_with_parent()?;
    if boot.slot.is_none() {
        sources = mounts::open(&boot.plan, None)?;
    }
    mounts::build(&boot.plan, &sources)?;
    drop(sources);

    let network = |e: io::Error| failure(Stage::Network, "loopback and host name", &e);
    loopback_up().map_err(network)?;
    rustix::system::sethostname(b"sandbox")
        .map_err(io::Error::from)
        .map_err(network)?;

    let confined = |what| move |e: io::Error| failure(Stage::Confine, what, &e);
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(io::Error::from)
        .map_err(confined("dumpable"))?;
    close_from_three(false).map_err(confined("descriptors"))?;
    confine::limit_resources(boot.file_bytes, boot.watch.map(|w| w.pids))
        .map_err(confined("resource limits"))?;
    confine::drop_capabilities().map_err(confined("capabilities"))?;
    let landlock_abi = confine::landlock(&boot.plan.writable).map_err(confined("landlock"))?;
    confine::seccomp().map_err(confined("seccomp"))?;

    let wired = |e: io::Error| failure(Stage::Wire, "the control socket", &e);
    // To PID 1 of a namespace a default disposition means that the signal does nothing.
    default_signals();
    let children = child_signals().map_err(wired)?;
    wire::send(control, &Reply::Ready { landlock_abi }, &[]).map_err(wired)?;
    serve(control, incoming, &children, boot.watch).map_err(wired)
}

fn take_identity() -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    let (uid, gid) = (Uid::from_raw(AGENT), Gid::from_raw(AGENT));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Runs commands, one at a time, until the host closes the socket.
fn serve(
    control: BorrowedFd<'_>,
    mut incoming: Incoming,
    children: &OwnedFd,
    watch: Option<Watch>,
) -> io::Result<()> {
    let mut running: Option<Running> = None;
    loop {
        let tick = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: WATCH_EVERY_MS * 1_000_000,
        };
        let watching = watch.filter(|_| running.is_some());
        let mut fds = [
            PollFd::from_borrowed_fd(control, PollFlags::IN),
            PollFd::from_borrowed_fd(children.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, watching.map(|_| &tick)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let [on_control, on_children] = fds.map(|fd| !fd.revents().is_empty());
        if on_children {
            // The number of signals says nothing; the children are asked.
            let _ = rustix::io::read(children, &mut [0_u8; 1280]);
            if let Some((mut run, status)) = reap(&mut running)? {
                if let Some(limits) = watch {
                    // The one that has just ended was one more.
                    run.pids |= usage().1 + 1 >= limits.pids;
                }
                clear_out()?;
                wire::send(control, &Reply::Ended(run.judged(status)), &[])?;
            }
        }
        if let (Some(limits), Some(run)) = (watching, running.as_mut()) {
            run.look(limits);
        }
        if on_control {
            if !incoming.fill(control)? {
                return Ok(());
            }
            if let Some(request) = incoming.frame::<Run>()? {
                let fds = [incoming.fd(), incoming.fd(), incoming.fd()];
                let [Some(stdin), Some(stdout), Some(stderr)] = fds else {
                    return Err(Errno::PROTO.into());
                };
                if running.is_some() {
                    return Err(Errno::PROTO.into());
                }
                match start(&request, [stdin, stdout, stderr])? {
                    Ok(pid) => {
                        running = Some(Running {
                            pid,
                            memory: false,
                            pids: false,
                        })
                    }
                    Err(why) => {
                        clear_out()?;
                        wire::send(control, &Reply::Ended(How::NotStarted(why)), &[])?;
                    }
                }
            }
        }
    }
}

/// The command that runs, and what the watch saw of it.
struct Running {
    pid: Pid,
    memory: bool,
    pids: bool,
}

impl Running {
    fn judged(&self, how: How) -> How {
        match how {
            How::Code(0) => how,
            _ if self.memory => How::Memory,
            _ if self.pids => How::Pids,
            _ => how,
        }
    }

    /// Ends everything when the memory limit is passed; notes when there are as many processes as
    /// there may be.
    fn look(&mut self, limits: Watch) {
        let (memory, tasks) = usage();
        self.pids |= tasks >= limits.pids;
        if memory > limits.memory_bytes {
            self.memory = true;
            kill_all();
        }
    }
}

/// Memory of all processes plus what is in memory folders, and the number of threads. What several
/// processes share counts once where the kernel tells; a file of a memory folder that is also mapped
/// counts once.
fn usage() -> (u64, u32) {
    // SAFETY: takes an integer and returns one.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let (mut memory, mut shared_by_all, mut tasks) = (0_u64, 0_u64, 0_u32);
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        if let Ok(statm) = std::fs::read_to_string(entry.path().join("statm")) {
            let mut fields = statm.split(' ').map(|f| f.parse::<u64>().unwrap_or(0));
            let (resident, shared) = (fields.nth(1).unwrap_or(0), fields.next().unwrap_or(0));
            memory += resident.saturating_sub(shared) * page;
            // Files that are mapped are no memory of theirs; this many bytes are worth asking.
            if shared * page > 1 << 20 {
                shared_by_all += shared_memory(&entry.path());
            }
        }
        if let Ok(listing) = std::fs::read_dir(entry.path().join("task")) {
            tasks = tasks.saturating_add(u32::try_from(listing.count()).unwrap_or(u32::MAX));
        }
    }
    let mut in_folders = 0;
    for folder in ["/tmp", "/dev/shm", super::HOME] {
        if let Ok(stat) = rustix::fs::statvfs(folder) {
            in_folders += stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize;
        }
    }
    memory += shared_by_all.max(in_folders);
    (memory, tasks)
}

/// Bytes of shared memory that a process has touched: its part of them, or all where it hides the parts.
fn shared_memory(process: &std::path::Path) -> u64 {
    let field = |file: &str, name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(process.join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    field("smaps_rollup", "Pss_Shmem:")
        .or_else(|| field("status", "RssShmem:"))
        .unwrap_or(0)
        .saturating_mul(1024)
}

/// Collects every child that has ended; the running command with its status when it is among them.
fn reap(running: &mut Option<Running>) -> io::Result<Option<(Running, How)>> {
    let mut over = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if running.as_ref().is_some_and(|run| run.pid == pid) {
                    let how = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => How::Code(code),
                        (None, signal) => How::Signal(signal.unwrap_or(0)),
                    };
                    over = running.take().map(|run| (run, how));
                }
            }
            Ok(None) | Err(Errno::CHILD) => return Ok(over),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Kills everything but this process and waits until nothing is left: every process of the
/// namespace is a child of PID 1 once its own parent is gone, so "no child" is the proof.
fn clear_out() -> io::Result<()> {
    loop {
        kill_all();
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}

fn kill_all() {
    // SAFETY: takes two integers. From PID 1 of a namespace, -1 is everything else in it.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Starts a command; the inner error is the reason why the program could not be started.
fn start(request: &Run, fds: [OwnedFd; 3]) -> io::Result<Result<Pid, String>> {
    let Some(program) = request.argv.first() else {
        return Ok(Err("no program is named".to_owned()));
    };
    let strings = |list: &[std::ffi::OsString]| -> Option<Vec<CString>> {
        list.iter()
            .map(|s| CString::new(s.as_bytes()).ok())
            .collect()
    };
    let candidates: Vec<CString> = if program.as_bytes().contains(&b'/') {
        strings(std::slice::from_ref(program)).unwrap_or_default()
    } else {
        request
            .path
            .split(':')
            .filter(|folder| folder.starts_with('/'))
            .filter_map(|folder| {
                let mut path = folder.as_bytes().to_vec();
                path.push(b'/');
                path.extend_from_slice(program.as_bytes());
                CString::new(path).ok()
            })
            .collect()
    };
    let (Some(argv), Some(env)) = (strings(&request.argv), strings(&request.env)) else {
        return Ok(Err("an argument or variable holds a zero byte".to_owned()));
    };
    let argv: Vec<_> = argv
        .iter()
        .map(|s| s.as_ptr())
        .chain([std::ptr::null()])
        .collect();
    let env: Vec<_> = env
        .iter()
        .map(|s| s.as_ptr())
        .chain([std::ptr::null()])
        .collect();

    let (heard, told) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: this process has one thread, so the child may use everything it copied.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Ok(Err(format!("fork: {}", io::Error::last_os_error())));
    }
    if pid == 0 {
        let error = become_command(&request.cwd, fds, &candidates, &argv, &env);
        let _ = rustix::io::write(&told, &error.to_le_bytes());
        mounts::exit_now(127);
    }
    drop(told);
    drop(fds);
    let mut word = [0_u8; 4];
    let got = rustix::io::retry_on_intr(|| rustix::io::read(&heard, &mut word))?;
    if got == 4 {
        let error = i32::from_le_bytes(word);
        let (what, error) = if error < 0 {
            (request.cwd.to_string_lossy(), -error)
        } else {
            (program.to_string_lossy(), error)
        };
        return Ok(Err(format!(
            "{what}: {}",
            io::Error::from_raw_os_error(error)
        )));
    }
    Ok(Pid::from_raw(pid).ok_or_else(|| "fork returned no process".to_owned()))
}

/// In the child: everything between fork and exec. Returns the error number; negated when the
/// working folder is to blame.
fn become_command(
    cwd: &OsStr,
    fds: [OwnedFd; 3],
    candidates: &[CString],
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
) -> i32 {
    let [stdin, stdout, stderr] = fds;
    let prepared = (|| -> io::Result<()> {
        rustix::process::setsid()?;
        redirect(&stdin, 0)?;
        redirect(&stdout, 1)?;
        redirect(&stderr, 2)
    })();
    if let Err(e) = prepared {
        return e.raw_os_error().unwrap_or(libc::EBADF);
    }
    if let Err(e) = rustix::process::chdir(cwd) {
        return -e.raw_os_error();
    }
    // Where memory runs out, a command goes first, not PID 1. Writing the file needs a dumpable
    // process; nothing else runs inside at this moment, and exec makes it dumpable anyway.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    if let Err(e) = close_from_three(true) {
        return e.raw_os_error().unwrap_or(libc::EBADF);
    }
    unblock_signals();
    let mut worst = libc::ENOENT;
    for candidate in candidates {
        // SAFETY: the path is nul-terminated; both lists end with null and point to strings that
        // live in the caller.
        unsafe { libc::execve(candidate.as_ptr(), argv.as_ptr(), env.as_ptr()) };
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) | None => {}
            Some(error) => worst = error,
        }
    }
    worst
}
