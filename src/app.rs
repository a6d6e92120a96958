//! Composition root: builds the ports, owns the clock and randomness, and knows what one machine is made of.

mod by_url;
mod connect;
mod connected;
mod crash;
mod credential;
pub mod demo;
mod desk;
pub mod doctor;
mod earlier;
mod error;
mod eyes;
mod issue_at;
mod link;
mod local;
mod looker;
mod looks;
mod opening;
mod out_of_reach;
mod prepare;
mod referee;
mod remote;
mod request;
mod scratch;
mod serve;
mod served;
pub mod setup;
mod sweeper;
mod tasks;
mod under_way;
mod upkeep;
mod verify;
mod visible;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use secrecy::SecretString;

pub use crate::run::News;
pub use by_url::{PullOrder, is_address};
pub use credential::read_credential;
pub use error::{AppError, Said};
pub use issue_at::IssueAt;
pub use local::Told;
pub use prepare::Prepared;
pub use remote::RemoteRefs;
pub use request::{Repository, RunOrder, agent_words, read_issue, signalled};
pub use tasks::Changed;
pub use verify::{Refereed, VerifyOrder};

use crate::config::{self, Env, Origins, Server};
use crate::domain::ident::{Digest, TaskId, Time};
use crate::domain::task::Task;
use crate::sandbox::{Facts, Native, Sandbox};
use crate::store::{self, Clock, DataLock, Ids, LockError, Steps, Store, StoreError};
use crate::worker::{Patience, Worker};

/// The sandbox's inner process. Called on the first line of `main`, before any thread exists;
/// `Some` is the exit code of a process that was one.
#[must_use]
pub fn inner() -> Option<i32> {
    crate::sandbox::inner()
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

/// 32 random bytes as hexadecimal digits; the kernel's error where it has none.
fn random_secret() -> std::io::Result<SecretString> {
    let mut bytes = [0_u8; 32];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if filled < bytes.len() {
        return Err(std::io::Error::other("too few random bytes"));
    }
    Ok(SecretString::from(
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
    ))
}

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
    /// Opens the data folder that configuration (see [`server_settings`]) and environment name.
    ///
    /// # Errors
    /// [`AppError::Host`].
    pub async fn open(
        env: Env,
        (server, server_origins): (Server, Origins),
        told: Told,
    ) -> Result<Self, AppError> {
        let data = config::data_dir(&server, &env).ok_or_else(|| {
            AppError::Host(Said::new(
                "no folder for data is known",
                "set HOME, or `[server] data_dir`",
            ))
        })?;
        make_private(&data)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let steps = crash::steps(&env);
        let store = store::open(&data, Arc::clone(&clock), Arc::clone(&steps)).await?;
        let helper = std::env::current_exe().map_err(|why| {
            AppError::Host(Said::plain(format!(
                "this program cannot find itself: {why}"
            )))
        })?;
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
            Err(error) => Err(error.into()),
        }
    }

    /// As [`App::lock`], where somebody else's work is an error.
    fn lock_or_fail(&self, command: &str) -> Result<Arc<DataLock>, AppError> {
        Ok(self.acquire(command)?)
    }

    fn acquire(&self, command: &str) -> Result<Arc<DataLock>, LockError> {
        DataLock::acquire(&self.data, command, self.clock.as_ref(), &RandomIds).map(Arc::new)
    }

    fn worker(&self, lock: Arc<DataLock>) -> Arc<Worker> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Worker::new(
            store,
            lock,
            clock,
            Arc::new(self.machine()),
            self.patience(),
        )
    }

    fn patience(&self) -> Patience {
        Patience {
            heartbeat: Duration::from_secs(self.server.workers.heartbeat_secs),
            lost_after: Duration::from_secs(self.server.workers.lost_after_secs),
        }
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
            Err(why) => {
                return Err(AppError::NotFound(Said::new(
                    format!("the server file {} cannot be read: {why}", path.display()),
                    "name one that can, or none",
                )));
            }
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
    made.map_err(|why| {
        AppError::Host(Said::new(
            format!("the data folder {} cannot be made: {why}", data.display()),
            "name another with `[server] data_dir`",
        ))
    })
}
