//! Composition root: builds the ports, owns the clock and randomness, and knows what one machine is made of.

pub mod demo;
mod local;
mod request;
mod tasks;
mod upkeep;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

pub use crate::run::News;
pub use local::Told;
pub use request::{Prepared, Repository, RunOrder, agent_words, read_issue};
pub use tasks::Changed;
pub use verify::{Refereed, VerifyOrder};

use crate::config::{self, Env, Mistakes, Origins, Server};
use crate::domain::ident::{Digest, TaskId, Time};
use crate::domain::task::Task;
use crate::git;
use crate::sandbox::{Facts, Native, Sandbox, SandboxError};
use crate::store::{self, Clock, DataLock, Ids, LockError, Steps, Store, StoreError};
use crate::worker::{Patience, Worker, WorkerError};

/// The sandbox's inner process. Called on the first line of `main`, before any thread exists;
/// `Some` is the exit code of a process that was one.
#[must_use]
pub fn inner() -> Option<i32> {
    crate::sandbox::inner()
}

/// Why a command could not do its work, sorted by exit code.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The words typed do not fit what is there.
    #[error("{0}")]
    Usage(String),
    /// A configuration file is wrong; every mistake of it.
    #[error("the configuration has mistakes")]
    Config(Box<Mistakes>),
    /// Nothing says what to verify.
    #[error("{0}")]
    NoChecks(String),
    /// No repository, commit, issue file or task.
    #[error("{0}")]
    NotFound(String),
    /// A person has to say more before there is anything to do.
    #[error("{0}")]
    NeedsInfo(String),
    /// The task is not where that is possible.
    #[error("{0}")]
    NotNow(String),
    /// The host cannot: sandbox, lock, disk.
    #[error("{0}")]
    Host(String),
    /// A signal ended the work before there was anything to show.
    #[error("{what}")]
    Interrupted {
        /// 130 for Ctrl-C, 143 for a request to terminate.
        code: i32,
        /// What became of the work.
        what: String,
    },
    /// A mistake of this program.
    #[error("{0}")]
    Internal(String),
    /// Any of these while a task was worked on, which stays where it was.
    #[error("{error}")]
    Task {
        /// The task.
        task: TaskId,
        /// What happened.
        error: Box<AppError>,
    },
}

impl AppError {
    /// The same, which happened to `task`.
    fn of(self, task: TaskId) -> Self {
        let error = match self {
            Self::Host(why) => Self::Host(format!(
                "{why}; when that is mended, `prentice tasks resume {task}` goes on"
            )),
            other => other,
        };
        Self::Task {
            task,
            error: Box::new(error),
        }
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoTask(_) => Self::NotFound(error.to_string()),
            StoreError::TooLarge { .. } => Self::Usage(error.to_string()),
            StoreError::Closed | StoreError::Broken(_) => Self::Internal(error.to_string()),
            StoreError::Busy
            | StoreError::Disk { .. }
            | StoreError::Io { .. }
            | StoreError::Newer { .. }
            | StoreError::Unsafe { .. }
            | StoreError::Corrupt { .. } => Self::Host(error.to_string()),
        }
    }
}

impl From<git::Error> for AppError {
    fn from(error: git::Error) -> Self {
        match error {
            git::Error::NotFound(_) => Self::NotFound(error.to_string()),
            git::Error::Disk { .. } => Self::Host(error.to_string()),
            git::Error::Internal(_) => Self::Internal(error.to_string()),
            _ => Self::Usage(error.to_string()),
        }
    }
}

impl From<WorkerError> for AppError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Host(why) => Self::Host(why),
            WorkerError::Store(error) => error.into(),
        }
    }
}

impl From<SandboxError> for AppError {
    fn from(error: SandboxError) -> Self {
        Self::Host(error.to_string())
    }
}

/// The wall clock.
struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        Time(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

/// Random names.
struct RandomIds;

impl Ids for RandomIds {
    fn unique(&self) -> String {
        let mut bytes = [0_u8; 16];
        // A kernel that cannot give 16 random bytes gives fewer; the process number keeps two apart.
        let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        let given = filled.unwrap_or(0);
        bytes[given..].fill(0);
        format!("{}-{}", std::process::id(), Digest::of(&bytes).short())
    }
}

/// One machine's Prentice: its data folder and everything that works on it.
pub struct App {
    env: Env,
    server: Server,
    server_origins: Origins,
    data: PathBuf,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    steps: Arc<dyn Steps>,
    sandbox: Arc<dyn Sandbox>,
    native: Arc<Native>,
    told: Told,
    /// Exit code of the signal that interrupted the work; 0 = none did.
    interrupted: Arc<AtomicI32>,
}

impl App {
    /// Opens the data folder that configuration and environment name.
    ///
    /// # Errors
    /// [`AppError::Config`], [`AppError::Host`].
    pub async fn open(env: Env, config: Option<&Path>, told: Told) -> Result<Self, AppError> {
        let (server, server_origins) = server_settings(&env, config)?;
        let data = config::data_dir(&server, &env).ok_or_else(|| {
            AppError::Host(
                "no folder for data is known; set HOME, or `[server] data_dir`".to_owned(),
            )
        })?;
        make_private(&data)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let steps = steps(&env);
        let store = store::open(&data, Arc::clone(&clock), Arc::clone(&steps)).await?;
        let helper = std::env::current_exe()
            .map_err(|why| AppError::Host(format!("this program cannot find itself: {why}")))?;
        let native = Arc::new(Native::new(helper, local::slot_folder(&data, &env)));
        let sandbox: Arc<dyn Sandbox> = native.clone();
        Ok(Self {
            env,
            server,
            server_origins,
            data,
            store,
            clock,
            steps,
            sandbox,
            native,
            told,
            interrupted: Arc::default(),
        })
    }

    /// Starts a real sandbox and tells what was found.
    ///
    /// # Errors
    /// [`AppError::Host`] with the reason and the fix.
    pub async fn probe(&self) -> Result<Facts, AppError> {
        Ok(self.sandbox.probe().await?)
    }

    /// Where everything is kept.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Now, by the store's clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Where a log can be read.
    #[must_use]
    pub fn log_path(&self, digest: &Digest) -> Option<String> {
        let path = self.store.artifact_path(digest);
        path.exists().then(|| path.display().to_string())
    }

    /// Where the report of a task is, when it has one.
    #[must_use]
    pub fn report_path(&self, task: &Task) -> Option<String> {
        let path = local::out_root(&self.data, task)
            .join(task.id.to_string())
            .join("PR.md");
        path.exists().then(|| path.display().to_string())
    }

    /// The person at this machine, as records name them.
    #[must_use]
    pub fn user(&self) -> String {
        let named = ["SUDO_USER", "USER", "LOGNAME"]
            .iter()
            .find_map(|name| self.env.get(*name));
        named
            .filter(|name| !name.is_empty())
            .cloned()
            .unwrap_or_else(|| "you".to_owned())
    }

    /// The exit code of the signal that interrupted the work, if one did.
    #[must_use]
    pub fn interrupted(&self) -> Option<i32> {
        Some(self.interrupted.load(Ordering::SeqCst)).filter(|code| *code != 0)
    }

    /// Finishes what waits to be written.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// The right to perform jobs on this data folder.
    fn lock(&self, command: &str) -> Result<Option<Arc<DataLock>>, AppError> {
        match self.acquire(command) {
            Ok(lock) => Ok(Some(lock)),
            Err(LockError::Held { .. }) => Ok(None),
            Err(error) => Err(AppError::Host(error.to_string())),
        }
    }

    /// As [`App::lock`], where somebody else's work is an error.
    fn lock_or_fail(&self, command: &str) -> Result<Arc<DataLock>, AppError> {
        let lock = self.acquire(command);
        lock.map_err(|error| AppError::Host(error.to_string()))
    }

    fn acquire(&self, command: &str) -> Result<Arc<DataLock>, LockError> {
        DataLock::acquire(&self.data, command, self.clock.as_ref(), &RandomIds).map(Arc::new)
    }

    fn worker(&self, lock: Arc<DataLock>) -> Arc<Worker> {
        let world = local::Machine {
            env: self.env.clone(),
            data: self.data.clone(),
            store: Arc::clone(&self.store),
            sandbox: Arc::clone(&self.sandbox),
            steps: Arc::clone(&self.steps),
            extra_toolchains: self.server.sandbox.toolchains.clone(),
            told: self.told.clone(),
        };
        let patience = Patience {
            heartbeat: Duration::from_secs(self.server.workers.heartbeat_secs),
            lost_after: Duration::from_secs(self.server.workers.lost_after_secs),
        };
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Worker::new(store, lock, clock, Arc::new(world), patience)
    }

    /// A task as it stands.
    async fn task(&self, id: TaskId) -> Result<Task, AppError> {
        match self.store.load(id).await? {
            Some(record) => Ok(record.task),
            None => Err(StoreError::NoTask(id).into()),
        }
    }
}

/// The server file and the variables over it.
///
/// # Errors
/// [`AppError::Config`], [`AppError::NotFound`] for a file that was named and is not there.
pub fn server_settings(env: &Env, config: Option<&Path>) -> Result<(Server, Origins), AppError> {
    let file = config::server_file(config, env);
    let bytes = match &file {
        None => None,
        Some(path) => match std::fs::read(path) {
            Ok(bytes) => Some((path.display().to_string(), bytes)),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound && config.is_none() => None,
            Err(why) => return Err(AppError::NotFound(format!("{}: {why}", path.display()))),
        },
    };
    let named = bytes
        .as_ref()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    config::server(named, env).map_err(|mistakes| AppError::Config(Box::new(mistakes)))
}

/// Nobody else on the machine may read briefs, logs and patches.
fn make_private(data: &Path) -> Result<(), AppError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if data.is_dir() {
        return Ok(());
    }
    // Layers are entered by the sandbox's own user, who may pass but not list.
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(data)
        .and_then(|()| std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o711)));
    made.map_err(|why| AppError::Host(format!("{} cannot be made: {why}", data.display())))
}

/// Ends the process at the durable step that `PRENTICE_CRASH_AT` names: how the crash tests, and anybody who
/// does not believe them, kill the shipped program at each point.
struct CrashAt {
    at: u64,
    passed: std::sync::atomic::AtomicU64,
    log: Option<PathBuf>,
}

impl CrashAt {
    fn step(&self, what: &str) {
        let passed = self
            .passed
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst)
            + 1;
        if let Some(log) = &self.log {
            use std::io::Write as _;
            let file = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(log);
            if let Ok(mut file) = file {
                // The list of points is for the reader of a test; losing a line of it is no harm.
                let _ = file.write_all(format!("{passed} {what}\n").as_bytes());
            }
        }
        if passed == self.at {
            // As kill -9: nothing is flushed, no destructor runs.
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
        }
    }
}

impl Steps for CrashAt {
    fn before(&self, what: &str) {
        self.step(&format!("before {what}"));
    }

    fn after(&self, what: &str) {
        self.step(&format!("after {what}"));
    }
}

fn steps(env: &Env) -> Arc<dyn Steps> {
    let at = env.get("PRENTICE_CRASH_AT").and_then(|at| at.parse().ok());
    match at {
        None => Arc::new(store::Unwatched),
        Some(at) => Arc::new(CrashAt {
            at,
            passed: std::sync::atomic::AtomicU64::new(0),
            log: env.get("PRENTICE_CRASH_LOG").map(PathBuf::from),
        }),
    }
}
