//! Inbox, tasks, journal, outbox, artifacts: one transaction each.
//!
//! [`Store`] speaks in use cases; [`open()`] gives the one on a data folder. Invariants:
//!
//! - What was acknowledged survives `kill -9` and power loss: WAL, full sync, read back when opened.
//! - An input is decided exactly once; with it goes the task, its journal and its jobs, or nothing.
//! - A task's version is the number of its journal lines; two writers cannot both add the next.
//! - Of one lane at most one job is in flight, and every write of a claim carries its epoch.
//! - An artifact's file is durable before its row; a row without its file does not exist.
//!
//! Not here: decisions, clocks, randomness (they come in as [`Clock`] and [`Ids`]), and a
//! transaction that stays open between two calls.

mod acts;
mod artifacts;
mod commit;
mod forget;
mod hooks;
mod jobs;
mod lock;
mod notes;
mod open;
mod owed;
mod rows;
mod shown;
mod sql;
mod sqlite;
mod types;
mod verdicts;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::domain::event::Event;
use crate::domain::ident::{Digest, TaskId, Time};
use crate::domain::task::Task;

pub use acts::{ActKey, ActKind, Acts, Read};
pub use hooks::{Hook, Received, StoredHook};
pub use lock::{DataLock, LockError, Who};
pub use types::{
    Arrival, Artifact, ArtifactKind, Claim, Content, Counts, Decision, Delivered, Filter, HookId,
    Input, InputId, Job, JobKind, JobState, JournalLine, MakeTask, Outcome, Pending, Record,
    RepositoryKey, TaskFilter, Version,
};
pub use verdicts::{Begun, Question, Verdicts};

/// The clock of the store: the only source of [`Time`]. `app` implements it, tests own theirs.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Time;
}

/// Ambient randomness, made explicit. `app` implements it.
pub trait Ids: Send + Sync {
    /// A short text without spaces that no other call, on any machine, gives.
    fn unique(&self) -> String;
}

/// Sees every durable step: a commit that writes something, an artifact renamed into place, and, by the hands
/// of `app` and `run`, refs of mirror and user's repository and files of a report.
///
/// The crash tests end the process here. A commit of several requests is one step; its
/// name lists their verbs, as in `commit deliver+claim`.
pub trait Steps: Send + Sync {
    /// Nothing of `what` is durable yet.
    fn before(&self, what: &str);
    /// All of `what` is durable; nobody was told.
    fn after(&self, what: &str);
}

impl dyn Steps {
    /// Does `work` as one step; one that fails has no end.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn around<T, E>(&self, what: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.before(what);
        let done = work()?;
        self.after(what);
        Ok(done)
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Steps for Unwatched {
    fn before(&self, _what: &str) {}
    fn after(&self, _what: &str) {}
}

/// Opens the store of a data folder; both are made where they are missing. Any number of
/// processes may have it open; those that perform jobs need the [`DataLock`] as well.
///
/// # Errors
/// [`StoreError::Unsafe`] on a network file system or where full sync is not to be had,
/// [`StoreError::Newer`], [`StoreError::Corrupt`], or what reading and writing may give.
pub async fn open(
    data: &Path,
    clock: Arc<dyn Clock>,
    steps: Arc<dyn Steps>,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(sqlite::Sqlite::open(data, clock, steps).await?))
}

/// The record of everything. Each method is one transaction, durable when it returns. A
/// caller that drops the future of a write does not undo it.
#[async_trait]
pub trait Store: Acts + Verdicts + Send + Sync {
    // Inbox.

    /// Appends to the inbox. A key that was seen before appends nothing and gives the row
    /// that has it; a row not yet decided is still decided.
    ///
    /// # Errors
    /// [`StoreError::NoTask`] for an event of a task that does not exist,
    /// [`StoreError::TooLarge`] above [`MAX_BODY_BYTES`].
    async fn deliver(
        &self,
        arrival: Arrival,
        dedup_key: Option<String>,
    ) -> Result<Delivered, StoreError>;

    /// The oldest input that is not yet decided. Inputs are decided in the order they came.
    async fn next_input(&self) -> Result<Option<Input>, StoreError>;

    /// The input that has this key.
    async fn input_of(&self, dedup_key: &str) -> Result<Option<InputId>, StoreError>;

    /// What became of an input; `None` where there is no such input.
    async fn outcome(&self, input: InputId) -> Result<Option<Outcome>, StoreError>;

    // Deliveries of forges.

    /// Stores a delivery whose signature was right. Durable when it returns; those that arrive at the same time
    /// share a commit. Known ids and known bodies of a forge are not stored again.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] above [`MAX_BODY_BYTES`].
    async fn receive(&self, hook: Hook) -> Result<Received, StoreError>;

    /// The oldest deliveries of a forge after `after` that are not settled, at most `limit`, and fewer where they are
    /// large.
    async fn next_hooks(
        &self,
        forge: &str,
        after: HookId,
        limit: u32,
    ) -> Result<Vec<StoredHook>, StoreError>;

    /// Settles a delivery: read, or ignored for `reason`.
    ///
    /// # Errors
    /// [`CommitError::Decided`] when it was settled before, or there is none.
    async fn settle_hook(&self, id: HookId, reason: Option<String>) -> Result<(), CommitError>;

    /// Settles many, all of them or none; one that was settled before stays as it was.
    async fn settle_hooks(&self, hooks: Vec<(HookId, Option<String>)>) -> Result<(), StoreError>;

    /// Since when the forge shows a text of a task, by [`Task::text_to_see`] and the forge's own clock.
    async fn shown_since(&self, task: TaskId, text: &str) -> Result<Option<Time>, StoreError>;

    /// Keeps that the forge shows a text since then; the first time counts.
    async fn keep_shown(&self, task: TaskId, text: &str, at: Time) -> Result<(), StoreError>;

    /// When the newest delivery of a forge arrived, as far as they are kept.
    async fn last_hook(&self, forge: &str) -> Result<Option<Time>, StoreError>;

    // Decisions.

    /// A task as it stands.
    async fn load(&self, task: TaskId) -> Result<Option<Record>, StoreError>;

    /// Settles a request: gives the next number to `make`, and writes the task, journal
    /// and jobs that it returns. Numbers have no gaps.
    ///
    /// # Errors
    /// [`CommitError::Live`] when the issue has a live task.
    async fn create(&self, input: InputId, make: MakeTask) -> Result<Record, CommitError>;

    /// Settles an event: writes the moved task if it is still at `expected`, its journal
    /// lines (at least one) and its jobs. An effect whose key is known adds nothing, but
    /// for `Publish`, which is armed again. A final task supersedes what it need not do.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when the task moved meanwhile: load and decide again.
    async fn commit(
        &self,
        input: InputId,
        expected: Version,
        decision: Decision,
    ) -> Result<Version, CommitError>;

    /// Settles an input that moves nothing. The reason is kept.
    ///
    /// # Errors
    /// [`CommitError::Decided`] when it was settled before.
    async fn ignore(&self, input: InputId, reason: String) -> Result<(), CommitError>;

    // Jobs.

    /// Claims the first job that is due, whose lane is free, and that `filter` lets
    /// through. Epoch and attempt are counted now. A lapsed lease is taken over only from
    /// another holder; the own one is alive, since it asks.
    async fn claim(
        &self,
        lock: &DataLock,
        filter: &Filter,
        ttl: Duration,
    ) -> Result<Option<Claim>, StoreError>;

    /// Sign of life: the lease ends `ttl` from now. Gives its new end. A lease that lapsed
    /// and was not taken over goes on.
    ///
    /// # Errors
    /// [`LeaseError::Lost`]: somebody else has the job. Stop, kill the sandbox, write nothing.
    async fn heartbeat(&self, claim: &Claim, ttl: Duration) -> Result<Time, LeaseError>;

    /// Appends an event of a job under way to the inbox. A step further than any before
    /// sets the attempts back to none.
    ///
    /// # Errors
    /// [`LeaseError::Lost`]; then nothing was appended.
    async fn progress(&self, claim: &Claim, event: Event) -> Result<InputId, LeaseError>;

    /// Ends a job and appends its answers to the inbox. A `Publish` that was asked for
    /// again meanwhile is due at once.
    ///
    /// # Errors
    /// [`LeaseError::Lost`]; then nothing was appended.
    async fn finish(&self, claim: &Claim, answers: Vec<Event>) -> Result<(), LeaseError>;

    /// Hands a job back, due at `next_at`. A clean shutdown or a forge's limit does not
    /// count as an attempt.
    ///
    /// # Errors
    /// [`LeaseError::Lost`].
    async fn release(
        &self,
        claim: &Claim,
        next_at: Time,
        why: String,
        counts: bool,
    ) -> Result<(), LeaseError>;

    /// Asks for a task to be shown anew though nothing happened to it: a promise of the next update is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn show_again(&self, task: TaskId) -> Result<(), StoreError>;

    /// At the start of the process that performs jobs: hands back what any other holder of
    /// this data folder left in flight. Under the lock none of them is alive. The attempts
    /// stay counted. Gives the jobs as they are now. No back-off is further away than
    /// [`MAX_BACK_OFF_SECS`] then: the clock may have been set back since it began.
    async fn recover(&self, lock: &DataLock) -> Result<Vec<Job>, StoreError>;

    /// When the next pending job that is not behind another one is due; may be past.
    async fn next_due(&self, filter: &Filter) -> Result<Option<Time>, StoreError>;

    /// What is left in the queues.
    async fn pending(&self) -> Result<Pending, StoreError>;

    // Reading.

    /// How much there is of what.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Tasks, newest first.
    async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<Record>, StoreError>;

    /// What happened to a task, oldest first.
    async fn journal(&self, task: TaskId) -> Result<Vec<JournalLine>, StoreError>;

    /// The jobs of a task, oldest first.
    async fn jobs(&self, task: TaskId) -> Result<Vec<Job>, StoreError>;

    /// A number that grows when anything was committed: at once by this store, within a
    /// quarter of a second by another process. Mark it seen, look, then wait for a change.
    fn changes(&self) -> watch::Receiver<u64>;

    // Artifacts.

    /// Stores content under its digest. The file is durable before the row; what a crash
    /// left without a row is adopted here or goes with [`Store::prune_artifacts`].
    async fn put_artifact(
        &self,
        task: Option<TaskId>,
        kind: ArtifactKind,
        content: Content,
    ) -> Result<Artifact, StoreError>;

    /// The content of a digest, `None` where it is not stored.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the content is no longer that of its digest.
    async fn artifact(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Where the content of a digest is or would be, for people.
    fn artifact_path(&self, digest: &Digest) -> PathBuf;

    /// What is stored of a task, oldest first.
    async fn artifacts(&self, task: TaskId) -> Result<Vec<Artifact>, StoreError>;

    /// Removes what is stored of a task of these kinds. Content that others share stays.
    async fn drop_artifacts(&self, task: TaskId, kinds: &[ArtifactKind]) -> Result<(), StoreError>;

    /// Lets go of what is old: tasks that ended before `ended`, with everything that is stored
    /// of them; logs of no task and settled inbox rows from before `settled`; deliveries settled before `read`. The
    /// newest task stays, so that its number is not given again, and so does one with work left. Gives the tasks.
    async fn forget(&self, ended: Time, settled: Time, read: Time)
    -> Result<Vec<Task>, StoreError>;

    /// Removes files that no row names. Gives how many.
    async fn prune_artifacts(&self) -> Result<u64, StoreError>;

    // End.

    /// Commits that wrote something since this store was opened.
    fn commits(&self) -> u64;

    /// Finishes what waits and closes the files. Later writes give [`StoreError::Closed`].
    async fn close(&self);
}

/// Longest time that a job waits before it is tried again by itself; a forge's own wish apart.
pub const MAX_BACK_OFF_SECS: u64 = 60;

/// Why a `Publish` waits that only tells of progress: a change of stage does not wait with it.
pub const PACED: &str = "paced";

/// Largest body of one inbox row; a forge sends at most 25 MB.
pub const MAX_BODY_BYTES: usize = 26 << 20;

/// Why the store did not do it. Nothing was changed. Sorted by what the caller can do.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// Another process wrote for longer than the patience of this one. Try again.
    #[error("the database is busy: another prentice wrote for more than 10 s; try again")]
    Busy,
    /// No space. Goes on by itself when there is some.
    #[error("no space left for the store ({what}); free some, then run `prentice tasks resume`")]
    Disk {
        /// What the system said.
        what: String,
    },
    /// It cannot be read or written; a person has to look at rights or hardware.
    #[error(
        "the store cannot be read or written: {what}; make the data folder readable and writable"
    )]
    Io {
        /// What, and what the system said.
        what: String,
    },
    /// Written by a newer program.
    #[error("{} was written by a newer prentice (schema {version}); install that version", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// The schema that this program does not know.
        version: i64,
    },
    /// The place does not keep what it acknowledges.
    #[error("{} cannot be the data folder: {what}; name one on a local disk", path.display())]
    Unsafe {
        /// The data folder or the database.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// Content is not what was written.
    #[error(
        "the store is damaged: {what}; restore it from a backup, or move it away to begin anew"
    )]
    Corrupt {
        /// What, and how it shows.
        what: String,
    },
    /// There is no such task.
    #[error("there is no task {0}; `prentice tasks list` shows those there are")]
    NoTask(TaskId),
    /// Above [`MAX_BODY_BYTES`].
    #[error("a message of {bytes} bytes is above the limit of {limit}; shorten it")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The store was closed, or its writer is gone.
    #[error("the store is closed; start prentice again")]
    Closed,
    /// The database refused an impossible row: a mistake in this program.
    #[error("the store refused what should not happen ({0}); please report this")]
    Broken(String),
}

/// Why a decision was not written. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CommitError {
    /// The task moved meanwhile. Load and decide again.
    #[error("the task moved meanwhile; decide again")]
    Conflict,
    /// The input was settled before, by this decision or another. Go on to the next.
    #[error("the input was settled before; go on")]
    Decided,
    /// The issue has a live task.
    #[error("the issue has a live task, {0}; end it first")]
    Live(TaskId),
    /// Anything else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a write of a claim was refused. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LeaseError {
    /// The job is not this claim's any more: stop, kill the sandbox, write nothing.
    #[error("the job was taken over; whatever still runs for it has to stop")]
    Lost,
    /// Anything else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoreError {
    /// Sorts an error of the file system.
    fn from_io(what: &Path, why: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let what = format!("{}: {why}", what.display());
        match why.kind() {
            StorageFull | QuotaExceeded => Self::Disk { what },
            _ => Self::Io { what },
        }
    }
}
