//! One run of a task: workspace, base checks, agent, import, gates, head checks, evidence.
//!
//! Three sandboxes, none shared: base, agent, head. What the host reads from the
//! workspace decides; nothing here believes what an agent says. Nothing here moves
//! a task: the outcome is an answer, and `domain::decide` says what it means.

mod attempt;
mod by_hand;
mod checks;
mod exposed;
mod referee;
mod rules;
mod talk;
mod workspace;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;

pub use referee::{Judged, judge_commits};
pub use rules::{REPOSITORY_FILE_CAP, repository_file};
pub use workspace::REPOSITORY_INSIDE;

use crate::agent::Agent;
use crate::domain::event::{Event, RunOutcome};
use crate::domain::ident::{CommitId, Digest, TaskId};
use crate::domain::settings::Settings;
use crate::domain::task::{Failure, FailureClass, Task};
use crate::domain::text::Redactor;
use crate::git::{self, Author, Mirror};
use crate::sandbox::toolchains::Toolchains;
use crate::sandbox::{Method, Sandbox, SandboxError};
use crate::store::{Steps, Store, StoreError};

/// What a run works with.
#[derive(Clone)]
pub struct Bench {
    /// Where everything that is not ours runs.
    pub sandbox: Arc<dyn Sandbox>,
    /// Where logs and patches go.
    pub store: Arc<dyn Store>,
    /// The host's copy of the repository, with its checkouts.
    pub mirror: Mirror,
    /// Sees what the mirror keeps.
    pub steps: Arc<dyn Steps>,
    /// Compilers and caches mounted beside the work tree.
    pub toolchains: Toolchains,
    /// Folder of this task's layers; what is in it goes when the run ends.
    pub scratch: PathBuf,
    /// How lowers and layer become one tree.
    pub method: Method,
    /// Folders whose changes a result leaves out, for a person to apply: those of workflows on a served forge, none on
    /// one machine.
    pub by_hand: &'static [&'static str],
    /// Workflows, by the digest of them all, that a push may run with secrets; any others are asked about. `None` =
    /// nothing is asked.
    pub exposures_allowed: Option<Vec<Digest>>,
    /// Whose commits results are.
    pub author: Author,
    /// Takes secrets out of everything that is said, printed or stored.
    pub redactor: Arc<Redactor>,
}

/// Why a run is to end before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The task asked for it.
    Stop,
    /// A person at the terminal interrupted it; the work is kept.
    Interrupt {
        /// Who.
        by: String,
    },
    /// The lease is gone: write nothing.
    Lost,
}

/// Who hears of a run while it goes on.
#[async_trait]
pub trait Watch: Send + Sync {
    /// Something that the task has to know.
    ///
    /// # Errors
    /// [`RunError::Lost`] when the lease is gone, [`RunError::Host`] when it cannot be stored.
    async fn happened(&self, event: Event) -> Result<(), RunError>;

    /// Something for a person who watches; may be dropped.
    fn told(&self, said: News<'_>);
}

/// What a person who watches a run hears of it. Texts are harmless to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// A step began: `base: tests`. It goes on until it is told as ended or the next one begins.
    Begun(&'a str),
    /// How the step ended that began last: `base: tests passes (12 ms)`.
    Ended(&'a str),
    /// What the agent says that it does.
    Note(&'a str),
    /// What runs now printed something.
    Alive,
}

/// Why there is no outcome: nothing is known of the task that was not known before.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The host cannot go on: no sandbox, no space. The stage stays; the same run goes on when that is mended.
    #[error("{0}")]
    Host(String),
    /// The forge of this task does not answer, or does not know us: its jobs wait, all others go on.
    #[error("{0}")]
    Away(String),
    /// Somebody else has the job.
    #[error("the job was taken over")]
    Lost,
    /// Something broke that is nobody's to mend at once; it counts as an attempt.
    #[error("{0}")]
    Broken(String),
}

impl From<git::Error> for RunError {
    fn from(error: git::Error) -> Self {
        match error {
            git::Error::Disk { .. } => Self::Host(error.to_string()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

impl From<SandboxError> for RunError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Unavailable { .. } | SandboxError::Disk(_) => {
                Self::Host(error.to_string())
            }
            SandboxError::Spec(_) | SandboxError::Lost(_) => Self::Broken(error.to_string()),
        }
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::Disk { .. } | StoreError::Io { .. } => {
                Self::Host(error.to_string())
            }
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// A way out of the middle of a run: the outcome is known, or there is none.
enum Exit {
    Outcome(RunOutcome),
    Error(RunError),
}

impl Exit {
    /// The way out that a halt asks for. Only the agent's side knows of work to keep.
    fn halted(halt: Halt) -> Self {
        match halt {
            Halt::Lost => Self::Error(RunError::Lost),
            Halt::Stop => Self::Outcome(RunOutcome::Cancelled),
            Halt::Interrupt { by } => Self::Outcome(RunOutcome::Interrupted { by, kept: None }),
        }
    }
}

impl<E: Into<RunError>> From<E> for Exit {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Time left, halts, and the person who watches: what every step of a run needs.
pub(crate) struct Control<'a> {
    pub(crate) halt: watch::Receiver<Option<Halt>>,
    pub(crate) watch: &'a dyn Watch,
    pub(crate) deadline: Instant,
    pub(crate) whole_secs: u64,
}

impl<'a> Control<'a> {
    /// The time of a run begins now.
    fn new(whole_secs: u64, watch: &'a dyn Watch, halt: watch::Receiver<Option<Halt>>) -> Self {
        Self {
            halt,
            watch,
            deadline: Instant::now() + Duration::from_secs(whole_secs),
            whole_secs,
        }
    }

    /// The time that one command may take: its own limit, or what is left of the whole.
    fn allowed(&self, own: Duration) -> Duration {
        own.min(self.deadline.saturating_duration_since(Instant::now()))
    }

    fn halted(&self) -> Option<Halt> {
        self.halt.borrow().clone()
    }
}

/// Does one run of `task`, from its base (or kept work) to an outcome.
///
/// # Errors
/// [`RunError`]; then the same run is done again, from its start.
pub async fn execute(
    bench: &Bench,
    task: &Task,
    agent: &dyn Agent,
    watch: &dyn Watch,
    halt: watch::Receiver<Option<Halt>>,
) -> Result<RunOutcome, RunError> {
    let control = Control::new(task.settings.task.timeout_secs, watch, halt);
    let outcome = attempt::attempts(bench, task, agent, &control).await;
    workspace::clear(bench).await;
    match outcome {
        Ok(outcome) | Err(Exit::Outcome(outcome)) => Ok(outcome),
        Err(Exit::Error(error)) => Err(error),
    }
}

/// Runs set-up and checks on `head`, a commit that a person pushed, against `base`.
///
/// # Errors
/// As [`execute`].
pub async fn check(
    bench: &Bench,
    task: TaskId,
    settings: &Settings,
    brief_scope: &[String],
    commits: (&CommitId, &CommitId),
    watch: &dyn Watch,
    halt: watch::Receiver<Option<Halt>>,
) -> Result<Result<Judged, Failure>, RunError> {
    let control = Control::new(settings.task.timeout_secs, watch, halt);
    let mut seen = Vec::new();
    let subject = (Some(task), brief_scope, commits);
    let judged = referee::judge(bench, settings, subject, &control, &mut seen).await;
    workspace::clear(bench).await;
    match judged {
        Ok(judged) => Ok(Ok(judged)),
        Err(Exit::Outcome(RunOutcome::Failed { failure, .. })) => Ok(Err(failure)),
        // The job is handed back, so that `tasks resume` finds it.
        Err(Exit::Outcome(RunOutcome::Interrupted { .. })) => {
            Err(RunError::Host("interrupted".to_owned()))
        }
        Err(Exit::Outcome(_)) => Err(RunError::Lost),
        Err(Exit::Error(error)) => Err(error),
    }
}

/// A failure; what was seen before it is added where that is known.
fn failed(class: FailureClass, message: String, tail: String) -> Exit {
    Exit::Outcome(RunOutcome::Failed {
        failure: Failure {
            class,
            message,
            tail,
        },
        kept: None,
        seen: Box::default(),
    })
}

/// Runs blocking git work off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, git::Error> + Send + 'static,
) -> Result<T, git::Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(why) => Err(git::Error::Internal(format!(
            "a git step ended early: {why}"
        ))),
    }
}
