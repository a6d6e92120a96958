//! The life of a session, seen from the host: its body (processes, control group, slot), the control
//! socket, commands and their output.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::disk::DiskWatch;
use super::launch::Launcher;
use super::limits::Group;
use super::native::Slot;
use super::output::{Output, Pipes};
use super::wire::{self, How, Incoming, Reply, Run};
use super::{Command, Ended, Facts, Flow, HOME, PATH, SandboxError, Session, Sink, tree};
use crate::domain::evidence::{Exit, Limit};

/// Longest wait for a killed sandbox to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Longest wait for output that is still in the pipes when everything inside is dead.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// PID 1 as the host knows it.
#[derive(Debug)]
pub(super) struct Pid1 {
    pub(super) fd: OwnedFd,
    pub(super) cancelled: CancellationToken,
}

impl Pid1 {
    /// Its number on the host, while it lives.
    pub(super) fn number(&self) -> Option<u32> {
        let about = format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd());
        let text = std::fs::read_to_string(about).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        line.trim().parse().ok()
    }

    fn kill(&self) {
        // Gone already is as good; a pidfd never means another process.
        let _ = rustix::process::pidfd_send_signal(&self.fd, Signal::KILL);
    }

    /// Waits for the kernel's word that it is gone; false when the limit passed first. Blocking.
    fn gone(&self, limit: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&left)) {
                Ok(n) => return n > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

/// Ends everything inside a session, from any task or thread, at any time.
#[derive(Clone, Debug)]
pub struct Killer(Arc<Pid1>);

impl Killer {
    /// Kills PID 1, and the kernel everything else inside. A running `exec` answers
    /// [`Ended::Cancelled`]; [`Session::kill`] is still what proves the end.
    pub fn kill(&self) {
        self.0.cancelled.cancel();
        self.0.kill();
    }
}

/// All that exists of a session outside itself.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// The outer half of the inner process; none when it was waited for.
    pub(super) child: Option<Child>,
    pub(super) pid1: Option<Arc<Pid1>>,
    pub(super) group: Group,
    pub(super) slot: Option<Slot>,
}

impl Body {
    /// Kills everything and waits for the kernel's word: a pidfd is readable when its process is
    /// gone, and PID 1 goes only after everything else of its namespace. Then removes what overlay
    /// left in `layers`.
    pub(super) async fn end(&mut self, layers: Vec<PathBuf>) -> Result<(), SandboxError> {
        if let Some(pid1) = &self.pid1 {
            pid1.kill();
        }
        let mut body = std::mem::take(self);
        let (body, ended) = blocking(move || {
            let ended = body.finish(&layers);
            (body, ended)
        })
        .await?;
        // What could not be proved to be gone is asked again the next time.
        if ended.is_err() {
            *self = body;
        }
        ended
    }

    fn finish(&mut self, layers: &[PathBuf]) -> Result<(), SandboxError> {
        if let Some(pid1) = &self.pid1
            && !pid1.gone(KILL_LIMIT)
        {
            return Err(SandboxError::Lost(format!(
                "a killed sandbox was not gone after {} s",
                KILL_LIMIT.as_secs()
            )));
        }
        if let Some(child) = &mut self.child {
            // Without PID 1 it ends by itself; before PID 1 existed it may wait for ever.
            let _ = child.kill();
            let _ = child.wait();
        }
        if !self.group.remove() {
            return Err(SandboxError::Lost(format!(
                "the control group of a killed sandbox still has {} processes",
                self.group.members()
            )));
        }
        for layer in layers {
            // Nobody may enter this folder.
            tree::remove(&layer.join("work")).map_err(|e| disk(layer, &e))?;
        }
        self.pid1 = None;
        self.slot = None;
        Ok(())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(pid1) = &self.pid1 {
            pid1.kill();
            pid1.gone(DRAIN_LIMIT);
        }
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        // The group goes last, by its own drop.
    }
}

/// The control socket.
pub(super) struct Control {
    pub(super) stream: UnixStream,
    pub(super) incoming: Incoming,
}

impl Control {
    /// The next frame; `None` when PID 1 is gone. May be dropped and called again.
    pub(super) async fn next<T: serde::de::DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(value) = self.incoming.frame()? {
                return Ok(Some(value));
            }
            let (stream, incoming) = (&self.stream, &mut self.incoming);
            let more = stream
                .async_io(Interest::READABLE, || incoming.fill(stream.as_fd()))
                .await;
            match more {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(e) => return Err(e),
            }
        }
    }

    pub(super) async fn send<T: serde::Serialize>(
        &mut self,
        value: &T,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = wire::encode(value)?;
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            let beside = if sent == 0 { fds } else { &[] };
            let stream = &self.stream;
            sent += stream
                .async_io(Interest::WRITABLE, || {
                    wire::push(stream.as_fd(), rest, beside)
                })
                .await?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    /// A command runs, or its future was dropped.
    Busy,
    Dead,
}

/// A session.
pub(super) struct Live {
    pub(super) control: Control,
    pub(super) body: Body,
    pub(super) pid1: Arc<Pid1>,
    pub(super) facts: Facts,
    pub(super) env: BTreeMap<String, String>,
    pub(super) disk: Arc<Mutex<DiskWatch>>,
    pub(super) layers: Vec<PathBuf>,
    /// The host uid and gid of what runs inside, where it is not the host's own.
    pub(super) owner: Option<u32>,
    pub(super) launcher: Arc<Launcher>,
    pub(super) state: State,
}

/// What ended the wait for a command.
enum Stop {
    Ended(How),
    Gone,
    Cancelled,
    TimedOut,
    Stalled,
    Output,
    Disk,
}

#[async_trait]
impl Session for Live {
    async fn exec(
        &mut self,
        command: Command,
        sink: &mut (dyn Sink + Send),
    ) -> Result<Ended, SandboxError> {
        if self.state == State::Busy {
            self.kill().await?;
        }
        if self.pid1.cancelled.is_cancelled() {
            self.kill().await?;
            return Ok(Ended::Cancelled);
        }
        if self.state == State::Dead {
            return Err(SandboxError::Lost("the session has ended".to_owned()));
        }
        let request = request(&self.env, &command)?;
        self.state = State::Busy;
        let before = self.body.group.counters();
        let started = Instant::now();
        let pipes = Pipes::make(&command.stdin, self.owner).map_err(lost)?;
        let fds = [
            pipes.stdin.as_fd(),
            pipes.out.1.as_fd(),
            pipes.err.1.as_fd(),
        ];
        if let Err(e) = self.control.send(&request, &fds).await {
            if e.kind() == io::ErrorKind::InvalidInput {
                self.state = State::Idle;
                return Err(SandboxError::Spec(format!("the command: {e}")));
            }
            self.kill().await?;
            return Err(SandboxError::Lost("PID 1 is gone".to_owned()));
        }
        let mut output = Output::new(pipes).map_err(lost)?;
        let stop = self.wait(&command, started, &mut output, sink).await?;
        let stop = match stop {
            Stop::Ended(how) => {
                self.state = State::Idle;
                let whole = tokio::time::timeout(DRAIN_LIMIT, output.drain(sink)).await;
                if matches!(whole, Ok(Flow::Enough)) {
                    Stop::Output
                } else if over(&self.disk).await? {
                    self.kill().await?;
                    Stop::Disk
                } else {
                    Stop::Ended(how)
                }
            }
            other => {
                let counters = self.body.group.counters();
                self.kill().await?;
                if !matches!(other, Stop::Output) {
                    // What it had printed before is worth showing.
                    let _ = tokio::time::timeout(DRAIN_LIMIT, output.drain(sink)).await;
                }
                match other {
                    Stop::Gone if self.pid1.cancelled.is_cancelled() => Stop::Cancelled,
                    Stop::Gone if counters.oom > before.oom => Stop::Ended(How::Memory),
                    other => other,
                }
            }
        };
        let duration = started.elapsed();
        let limit = |limit| Exit::Limit { limit };
        let exit = match stop {
            Stop::Cancelled => return Ok(Ended::Cancelled),
            Stop::Gone => {
                return Err(SandboxError::Lost(
                    "PID 1 ended while a command ran".to_owned(),
                ));
            }
            Stop::Stalled => {
                return Ok(Ended::Stalled {
                    quiet: command.quiet_after.unwrap_or_default(),
                    duration,
                });
            }
            Stop::TimedOut => Exit::TimedOut {
                after_secs: command
                    .timeout
                    .as_millis()
                    .div_ceil(1000)
                    .try_into()
                    .unwrap_or(u64::MAX),
            },
            Stop::Output => limit(Limit::Output),
            Stop::Disk => limit(Limit::Disk),
            Stop::Ended(How::Code(0)) => Exit::Code { code: 0 },
            Stop::Ended(how) => {
                let after = self.body.group.counters();
                match how {
                    How::Memory => limit(Limit::Memory),
                    How::Pids => limit(Limit::Pids),
                    How::Signal(libc::SIGXFSZ) => limit(Limit::Disk),
                    How::Code(_) | How::Signal(_) if after.oom > before.oom => limit(Limit::Memory),
                    How::Code(_) | How::Signal(_) if after.pids > before.pids => limit(Limit::Pids),
                    How::Code(code) => Exit::Code { code },
                    How::Signal(signal) => Exit::Signal { signal },
                    How::NotStarted(why) => Exit::NotStarted { why },
                }
            }
        };
        Ok(Ended::Exited { exit, duration })
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn alive(&self) -> bool {
        self.state != State::Dead && !self.pid1.cancelled.is_cancelled()
    }

    fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.pid1))
    }

    async fn kill(&mut self) -> Result<(), SandboxError> {
        self.state = State::Dead;
        self.body.end(std::mem::take(&mut self.layers)).await?;
        // Where one session ended the next is seldom far; nothing of this one is in a hurry now.
        self.launcher.start_ahead();
        Ok(())
    }
}

impl Live {
    async fn wait(
        &mut self,
        command: &Command,
        started: Instant,
        output: &mut Output,
        sink: &mut (dyn Sink + Send),
    ) -> Result<Stop, SandboxError> {
        let deadline = started + command.timeout;
        let mut disk_full = std::pin::pin!(watch_disk(Arc::clone(&self.disk)));
        let mut heard = started;
        Ok(loop {
            let quiet = command.quiet_after.map(|quiet| heard + quiet);
            let wake = quiet.map_or(deadline, |quiet| quiet.min(deadline));
            tokio::select! {
                biased;
                () = self.pid1.cancelled.cancelled() => break Stop::Cancelled,
                () = tokio::time::sleep_until(wake.into()) => {
                    break if wake == deadline { Stop::TimedOut } else { Stop::Stalled };
                }
                () = &mut disk_full => break Stop::Disk,
                reply = self.control.next::<Reply>() => break match reply.map_err(lost)? {
                    Some(Reply::Ended(how)) => Stop::Ended(how),
                    _ => Stop::Gone,
                },
                flow = output.next(sink), if output.open() => {
                    heard = Instant::now();
                    if flow == Flow::Enough {
                        break Stop::Output;
                    }
                }
            }
        })
    }
}

async fn over(disk: &Arc<Mutex<DiskWatch>>) -> Result<bool, SandboxError> {
    // Most sessions hold little: counting it is quicker than to ask a thread to.
    if let Ok(mut watch) = disk.try_lock()
        && watch.quick()
    {
        return Ok(watch.over());
    }
    let disk = Arc::clone(disk);
    blocking(move || disk.lock().unwrap_or_else(PoisonError::into_inner).over()).await
}

/// Returns when the layers hold more than allowed.
async fn watch_disk(disk: Arc<Mutex<DiskWatch>>) {
    loop {
        let pause = disk.lock().unwrap_or_else(PoisonError::into_inner).pause();
        tokio::time::sleep(pause).await;
        if over(&disk).await.unwrap_or(false) {
            return;
        }
    }
}

/// What every command starts with, and what the session adds.
pub(super) fn environment(
    own: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, SandboxError> {
    let mut env: BTreeMap<String, String> = [
        ("HOME", HOME),
        ("LANG", "C.UTF-8"),
        ("LOGNAME", "agent"),
        ("PATH", PATH),
        ("SHELL", "/bin/sh"),
        ("TMPDIR", "/tmp"),
        ("USER", "agent"),
        // It looks for leaks by tracing, which nothing inside may do, and fails the program when
        // it cannot. A command that sets the variable itself is obeyed.
        ("ASAN_OPTIONS", "detect_leaks=0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    add(&mut env, own)?;
    Ok(env)
}

fn add(
    env: &mut BTreeMap<String, String>,
    more: &BTreeMap<String, String>,
) -> Result<(), SandboxError> {
    for (name, value) in more {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(SandboxError::Spec(format!(
                "{name:?} cannot be set in an environment"
            )));
        }
        env.insert(name.clone(), value.clone());
    }
    Ok(())
}

fn request(session: &BTreeMap<String, String>, command: &Command) -> Result<Run, SandboxError> {
    let mut env = session.clone();
    add(&mut env, &command.env)?;
    if command.argv.is_empty() || !command.cwd.is_absolute() {
        return Err(SandboxError::Spec(
            "a command has a program and an absolute working folder".to_owned(),
        ));
    }
    Ok(Run {
        argv: command.argv.clone(),
        path: env.get("PATH").cloned().unwrap_or_default(),
        env: env
            .iter()
            .map(|(name, value)| format!("{name}={value}").into())
            .collect(),
        cwd: command.cwd.clone().into_os_string(),
    })
}

pub(super) fn disk(path: &Path, error: &io::Error) -> SandboxError {
    SandboxError::Disk(format!("{}: {error}", path.display()))
}

pub(super) fn lost(error: impl Into<io::Error>) -> SandboxError {
    SandboxError::Lost(error.into().to_string())
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| SandboxError::Lost(e.to_string()))
}
