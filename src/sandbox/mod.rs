//! Where everything runs that is not ours.
//!
//! [`Sandbox::prepare`] starts a session: a process tree in its own user, mount, pid, net, ipc, uts
//! and cgroup namespaces with a root folder of its own, no network but its own loopback, no
//! capabilities, never host uid 0. [`Session::exec`] runs commands in it, one after the other;
//! what a command leaves running dies with it. [`Session::kill`] proves that nothing is left.
//!
//! # What is not there
//!
//! - No way to run a command without a sandbox, and no weaker sandbox by itself: what cannot be
//!   had is a [`SandboxError::Unavailable`] with its reason and its fix, or is told in [`Facts`].
//! - Nothing of the host's environment goes in; configuration of the inner process travels on an
//!   inherited socket, never in its arguments or environment.
//!
//! | file | what it is for |
//! |---|---|
//! | `plan` | pure: spec + what the host looks like → sources and steps |
//! | `native` | host side: slots, layers, starting the inner process, what a refusal means |
//! | `session` | host side: commands, output, cancellation, the proven end |
//! | `inner` | the inner process: id maps, PID 1, running commands |
//! | `process` | what PID 1 does to itself and its children before they run |
//! | `output` | the streams of a command |
//! | `refusal` | why a host refuses, and the fix |
//! | `mounts` | carries out the steps of a plan |
//! | `confine` | capabilities, resource limits, Landlock, seccomp |
//! | `limits` | cgroups, and what may be written to disk |
//! | `tree` | folder trees as data: sizes, owners, copies, removal |
//! | `wire` | frames and file descriptors on the control socket |
//! | [`toolchains`] | what a repository of the invoking user needs to build |

mod confine;
mod credentials;
mod disk;
mod host;
mod inner;
mod launch;
mod limits;
mod mounts;
mod native;
mod output;
mod plan;
mod process;
mod refusal;
mod session;
pub mod toolchains;
mod tree;
mod wire;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::evidence::Exit;

pub use host::SYSTEM;
pub use inner::inner;
pub use native::Native;
pub use session::Killer;
pub use tree::remove;

/// The home folder inside: empty, writable, in memory.
pub const HOME: &str = "/home/agent";

/// The search path inside where the tool chains add nothing.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A launcher.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Starts a real sandbox, runs `true` in it, and tells what was found.
    async fn probe(&self) -> Result<Facts, SandboxError>;

    /// Starts a session. Nothing of it is left when this fails.
    async fn prepare(&self, spec: Spec) -> Result<Box<dyn Session>, SandboxError>;
}

/// A live sandbox. Dropping it kills it; [`Session::kill`] does so and proves it.
#[async_trait]
pub trait Session: Send {
    /// Runs one command; its output goes to `sink` as it comes.
    ///
    /// Everything the command left running is dead when this returns. An end that the host
    /// brought about (time-out, silence, cancellation, output or disk limit) kills the whole
    /// session: [`Session::alive`] is false afterwards and a further `exec` is
    /// [`SandboxError::Lost`]. Dropping the future leaves the session unusable, so it is killed
    /// by the next `exec`.
    async fn exec(
        &mut self,
        command: Command,
        sink: &mut (dyn Sink + Send),
    ) -> Result<Ended, SandboxError>;

    /// How it runs.
    fn facts(&self) -> &Facts;

    /// Whether it takes commands.
    fn alive(&self) -> bool;

    /// A handle with which other tasks end everything inside, at any time.
    fn killer(&self) -> Killer;

    /// Kills PID 1, hence everything inside, waits for the kernel's word that it is gone, and
    /// checks that the cgroup is empty. Idempotent.
    async fn kill(&mut self) -> Result<(), SandboxError>;
}

/// What a session is made of.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The one folder whose result matters.
    pub workspace: Workspace,
    /// Tool chains and caches.
    pub mounts: Vec<Mount>,
    /// Environment of every command, on top of `HOME`, `PATH`, `USER`, `LANG` and the like.
    pub env: BTreeMap<String, String>,
    /// Limits of everything inside together.
    pub limits: Limits,
    /// Small read-only files, by their absolute path inside; at most 1 MiB together. One inside a
    /// read-only mount covers the file that is there.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

/// The work tree inside: immutable folders with a private layer above.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Host folders, topmost first. Not changed by anyone while the session lives. A layer that an
    /// earlier session wrote may be among them (its `upper`).
    pub lowers: Vec<PathBuf>,
    /// Host folder for what this session writes, made when missing. The sandbox owns it: its
    /// `upper` holds the changes (overlay) or the whole tree (copy); further folders beside
    /// `upper` are private. A layer may be used again by a later session, never by two at once.
    pub layer: PathBuf,
    /// Absolute path inside.
    pub inside: PathBuf,
    /// How lowers and layer become one tree.
    pub method: Method,
}

/// How lowers and layer become one tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Overlay, or a copy where overlay or idmapped mounts are refused.
    #[default]
    Auto,
    /// An overlay mount: constant time.
    Overlay,
    /// A parallel copy of all lowers into the layer.
    Copy,
}

/// One more host folder or file inside. None may lie inside another or inside the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Host path; symbolic links are followed.
    pub from: PathBuf,
    /// Absolute path inside.
    pub inside: PathBuf,
    /// Who may write.
    pub kind: MountKind,
}

/// Who may write to a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Nobody.
    ReadOnly,
    /// Commands inside, into a private layer that nobody else sees (as in [`Workspace::layer`]).
    Private {
        /// Host folder for what is written.
        layer: PathBuf,
    },
}

/// Limits of everything inside together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory, temporary folders included.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Thousandths of a processor; not enforced where there is no cgroup.
    pub cpu_millis: u32,
    /// Bytes in all layers together; also the size of the largest file.
    pub disk_bytes: u64,
    /// Files and folders in all layers together.
    pub disk_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 4 << 30,
            pids: 512,
            cpu_millis: 2000,
            disk_bytes: 10 << 30,
            disk_files: 1_000_000,
        }
    }
}

/// One command.
#[derive(Clone, Debug)]
pub struct Command {
    /// Program and arguments; a program without `/` is looked up in `PATH` inside.
    pub argv: Vec<OsString>,
    /// On top of the session's environment.
    pub env: BTreeMap<String, String>,
    /// Absolute path inside.
    pub cwd: PathBuf,
    /// What it reads.
    pub stdin: Stdin,
    /// Longest run, by the host's monotonic clock.
    pub timeout: Duration,
    /// Longest silence on both streams.
    pub quiet_after: Option<Duration>,
}

/// What a command reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Null,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
}

/// Which stream bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Where output goes. Any closure of this shape is one.
pub trait Sink {
    /// Takes the next bytes of one stream: at most 64 KiB, cut anywhere. Called in the order of
    /// arrival; order between the two streams is as the kernel gave it, nothing better.
    fn take(&mut self, from: Stream, bytes: &[u8]) -> Flow;
}

impl<F: FnMut(Stream, &[u8]) -> Flow> Sink for F {
    fn take(&mut self, from: Stream, bytes: &[u8]) -> Flow {
        self(from, bytes)
    }
}

/// A sink's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// The command has printed too much: end it with `Limit::Output`.
    Enough,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, by its time-out or by a limit.
    Exited {
        /// How.
        exit: Exit,
        /// Wall clock.
        duration: Duration,
    },
    /// It printed nothing for [`Command::quiet_after`]; it was killed.
    Stalled {
        /// The silence it was allowed.
        quiet: Duration,
        /// Wall clock.
        duration: Duration,
    },
    /// A [`Killer`] ended it.
    Cancelled,
}

/// How a session runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `native`.
    pub launcher: &'static str,
    /// What enforces the limits.
    pub limits: LimitsTier,
    /// Overlay or Copy, never Auto.
    pub method: Method,
    /// Why overlay was not used, where it was wanted.
    pub no_overlay: Option<String>,
    /// Landlock ABI in force, 0 where the kernel has none.
    pub landlock_abi: u8,
    /// From the call to the first command being possible.
    pub prepare_ms: u64,
}

/// What enforces memory, process and processor limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitsTier {
    /// The unified hierarchy.
    CgroupV2,
    /// Separate memory, pids and cpu hierarchies.
    CgroupV1,
    /// Resource limits, and a watchdog that sums memory ten times a second. Processor time is
    /// not limited.
    Rlimits,
}

impl LimitsTier {
    /// As told to people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CgroupV2 => "cgroup-v2",
            Self::CgroupV1 => "cgroup-v1",
            Self::Rlimits => "rlimits",
        }
    }
}

impl Method {
    /// As told to people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Overlay => "overlay",
            Self::Copy => "copy",
        }
    }
}

/// What went wrong, by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The host does not allow a sandbox: a person must change the host. Nothing was run.
    #[error("no sandbox is possible: {why}; {fix}")]
    Unavailable {
        /// What is refused.
        why: String,
        /// What to do, with the one command where there is one.
        fix: String,
    },
    /// A file system of the host is full or does not work: make room, then go on.
    #[error("sandbox storage: {0}")]
    Disk(String),
    /// The caller asked for something that cannot be; asking again does not help.
    #[error("sandbox specification: {0}")]
    Spec(String),
    /// The session ended without being asked to: prepare a new one.
    #[error("sandbox lost: {0}")]
    Lost(String),
}
