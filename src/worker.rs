//! The two loops: intake decides what arrived, perform does one job. Nothing else writes.
//!
//! Intake: oldest input, load, decide, commit; a conflict decides again. Perform: claim,
//! do, answer into the inbox. A claim is kept alive by a heartbeat and fenced by its
//! epoch: whoever lost it kills its sandbox and writes nothing. A job that breaks is tried
//! again later, and not for ever.

mod answer;
mod begin;
mod lease;
mod perform;
mod serve;
mod show;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;

use answer::Ended;
use begin::begin;
use lease::Lease;
pub use perform::Eyes;
pub use serve::Room;

use crate::agent::Agent;
use crate::domain::decide::{Decision, decide};
use crate::domain::event::Event;
use crate::domain::ident::{CommitId, TaskId};
use crate::domain::report::{self, Voice};
use crate::domain::task::{NewTask, Task};
use crate::forge::Forge;
use crate::run::{Bench, Halt, News, RunError, Watch};
use crate::store::{
    self, Arrival, Claim, Clock, CommitError, DataLock, Filter, Input, JobKind, JournalLine,
    LeaseError, Store, StoreError,
};

/// Claims of one run without a step further; then it is not tried again by itself.
const MAX_ATTEMPTS: u32 = 3;
/// Waits between tries of a job that broke, or that the forge did not answer.
const BACK_OFF_SECS: [u64; 4] = [2, 10, 30, store::MAX_BACK_OFF_SECS];

/// What the world of one task is made of; `app` builds it.
#[async_trait]
pub trait World: Send + Sync {
    /// Why nothing of this task can be done now, since its forge was not reached yet; it waits then, and nothing is
    /// counted.
    fn away(&self, _task: &Task) -> Option<String> {
        None
    }

    /// Sandbox, mirror and folders of a task.
    ///
    /// # Errors
    /// [`RunError`], as for a run.
    async fn bench(&self, task: &Task) -> Result<Bench, RunError>;

    /// Brings a commit that a person pushed to the task branch into the mirror.
    ///
    /// # Errors
    /// [`RunError`], as for a run.
    async fn fetch(&self, task: &Task, commit: &CommitId) -> Result<(), RunError>;

    /// Removes the layers of an ended task, and lets go of commits that only it needed. Of a repository that is gone
    /// there is nothing to let go of. Gives what stayed, and why.
    ///
    /// # Errors
    /// [`RunError`], as for a run.
    async fn clear(&self, task: &Task, commits: Vec<CommitId>) -> Result<Option<String>, RunError>;

    /// Who edits.
    fn agent(&self, task: &Task) -> Box<dyn Agent>;

    /// Where the task is shown, and how people are addressed there.
    fn forge(&self, task: &Task) -> (Arc<dyn Forge>, Voice);

    /// Names a branch for a new task that no other branch has.
    fn branch(&self, task: TaskId, new: &NewTask) -> String;

    /// Whom to ask for a review of what the task publishes, most wanted first.
    ///
    /// # Errors
    /// [`RunError`], as for a run.
    async fn reviewers(&self, task: &Task) -> Result<Vec<String>, RunError>;

    /// The repository's own template for pull requests, which stands before our text; empty where it has none.
    ///
    /// # Errors
    /// [`RunError`], as for a run.
    async fn template(&self, task: &Task) -> Result<String, RunError>;

    /// Least seconds between two edits that tell of progress within a stage; 0 = each is shown at once.
    fn pace_secs(&self, task: &Task) -> u64;

    /// Something for a person who watches this task; may be dropped.
    fn told(&self, task: TaskId, said: News<'_>);
}

/// How patient the worker is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between two signs of life.
    pub heartbeat: Duration,
    /// Without one for this long, the lease is lost.
    pub lost_after: Duration,
}

/// Why the worker stopped before everything was settled. The stage of every task stays what it was.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The host cannot go on: no sandbox, no space, no store.
    #[error("{0}")]
    Host(String),
    /// A mistake of this program, or damage.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for WorkerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::Disk { .. } | StoreError::Io { .. } => {
                Self::Host(error.to_string())
            }
            other => Self::Store(other),
        }
    }
}

/// What this process showed of each task last: so that progress does not flood a forge, and what is there already is
/// not written again. Lost with the process, which costs one edit.
type Shown = HashMap<TaskId, show::LastShown>;

/// How to halt each run under way.
type Halts = HashMap<(TaskId, u32), watch::Sender<Option<Halt>>>;

/// The process that performs jobs. Exists only under the lock of the data folder.
pub struct Worker {
    store: Arc<dyn Store>,
    lock: Arc<DataLock>,
    clock: Arc<dyn Clock>,
    world: Arc<dyn World>,
    patience: Patience,
    halts: Mutex<Halts>,
    shown: Mutex<Shown>,
    /// How much is done at once, where this process serves.
    room: OnceLock<Room>,
    /// Who looks before a time is up, where this process serves.
    eyes: OnceLock<Arc<dyn Eyes>>,
    /// Who interrupted this process; a run that begins after it ends at once, and no back-off is waited for.
    interrupted: watch::Sender<Option<String>>,
}

impl Worker {
    /// A worker over these ports.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        lock: Arc<DataLock>,
        clock: Arc<dyn Clock>,
        world: Arc<dyn World>,
        patience: Patience,
    ) -> Arc<Self> {
        let halts = Mutex::new(HashMap::new());
        Arc::new(Self {
            store,
            lock,
            clock,
            world,
            patience,
            halts,
            shown: Mutex::default(),
            room: OnceLock::new(),
            eyes: OnceLock::new(),
            interrupted: watch::Sender::new(None),
        })
    }

    /// From now on what people did is looked at before a time is up that they were given.
    pub fn look_by(&self, eyes: Arc<dyn Eyes>) {
        let _ = self.eyes.set(eyes);
    }

    /// Where a task is shown.
    #[must_use]
    pub fn forge(&self, task: &Task) -> Arc<dyn Forge> {
        self.world.forge(task).0
    }

    /// The proof that nobody else performs jobs on this data folder.
    #[must_use]
    pub fn lock(&self) -> &DataLock {
        &self.lock
    }

    /// Works until nothing is left to decide and no job of `filter` is due or in flight.
    ///
    /// # Errors
    /// [`WorkerError`]; what is in flight then was handed back.
    pub async fn settle(self: &Arc<Self>, filter: &Filter) -> Result<(), WorkerError> {
        self.work(filter, None).await
    }

    /// As [`Worker::settle`], and meanwhile what other processes asked for of other tasks and is done in a moment:
    /// removing what an ended task left, and showing it. Trouble with those is theirs, and waits for their `resume`.
    ///
    /// # Errors
    /// As [`Worker::settle`].
    pub async fn settle_beside_others(
        self: &Arc<Self>,
        filter: &Filter,
    ) -> Result<(), WorkerError> {
        let beside = Filter {
            tasks: None,
            kinds: Some(vec![JobKind::CleanUp, JobKind::Publish, JobKind::Tell]),
        };
        self.work(filter, Some(beside)).await
    }

    async fn work(
        self: &Arc<Self>,
        filter: &Filter,
        mut beside: Option<Filter>,
    ) -> Result<(), WorkerError> {
        let own = |task: TaskId| filter.tasks.as_ref().is_none_or(|own| own.contains(&task));
        let mut performing: JoinSet<Ended> = JoinSet::new();
        let mut claims: HashMap<_, Claim> = HashMap::new();
        let mut changes = self.store.changes();
        let mut interrupted = self.interrupted.subscribe();
        let mut trouble = None;
        loop {
            changes.borrow_and_update();
            while let Some(input) = self.store.next_input().await? {
                self.intake(input).await?;
            }
            while trouble.is_none() {
                let (asked, ttl) = (Instant::now(), self.patience.lost_after);
                let mut claim = self.store.claim(&self.lock, filter, ttl).await?;
                if let (None, Some(beside)) = (&claim, &beside) {
                    claim = self.store.claim(&self.lock, beside, ttl).await?;
                }
                let Some(claim) = claim else {
                    break;
                };
                let (worker, job) = (Arc::clone(self), claim.clone());
                let lease = Lease::new(asked + ttl);
                let job = performing.spawn(async move { worker.perform(&job, &lease).await });
                claims.insert(job.id(), claim);
            }
            if performing.is_empty() {
                if let Some(trouble) = trouble {
                    return Err(trouble);
                }
                let pending = self.store.pending().await?;
                let due = self.store.next_due(filter).await?;
                let now = self.clock.now();
                match due {
                    Some(at) if at <= now => continue,
                    // A back-off is waited for, but not by a person who wants to leave; a question's time-out is not.
                    Some(at) if at.millis_since(now) <= store::MAX_BACK_OFF_SECS * 1000 => {
                        let wait = Duration::from_millis(at.millis_since(now));
                        tokio::select! {
                            () = tokio::time::sleep(wait) => continue,
                            _ = interrupted.wait_for(Option::is_some) => return Ok(()),
                        }
                    }
                    _ if pending.inputs > 0 => continue,
                    _ => return Ok(()),
                }
            }
            tokio::select! {
                Some(done) = performing.join_next_with_id() => match done {
                    Ok((id, done)) => {
                        let task = claims.remove(&id).map(|claim| claim.task);
                        // What it owes the store, the next start takes over.
                        match done.trouble {
                            None => {}
                            Some(error) if task.is_none_or(own) => trouble = trouble.or(Some(error)),
                            // Handed back, it is due at once; trying it over and over here would help nobody.
                            Some(error) => {
                                tracing::warn!(?task, %error, "what another task left was not removed");
                                beside = None;
                            }
                        }
                    }
                    Err(why) => {
                        tracing::error!(%why, "a job ended in a panic");
                        if let Some(claim) = claims.remove(&why.id()) {
                            let said = self.broke(&claim, why.to_string());
                            self.note(&claim, &said).await?;
                        }
                    }
                },
                _ = changes.changed() => {}
            }
        }
    }

    /// Interrupts every run under way; their tasks stay queued until the person resumes them.
    pub fn interrupt(&self, by: &str) {
        self.interrupted.send_replace(Some(by.to_owned()));
        let halts = self.halts.lock().unwrap_or_else(PoisonError::into_inner);
        for halt in halts.values() {
            halt.send_replace(Some(Halt::Interrupt { by: by.to_owned() }));
        }
    }

    /// Decides one input and commits what follows.
    async fn intake(&self, input: Input) -> Result<(), WorkerError> {
        let (id, at) = (input.id, input.at);
        let settled = match input.arrival {
            Arrival::Request(new) => {
                let world = Arc::clone(&self.world);
                let make = Box::new(move |task| {
                    let branch = new.branch.clone();
                    let branch = branch.unwrap_or_else(|| world.branch(task, &new));
                    begin(task, &new, branch, at)
                });
                self.store.create(id, make).await.map(|_| ())
            }
            Arrival::Event { task, event } => {
                let Some(record) = self.store.load(task).await? else {
                    return Ok(
                        self.settled(self.store.ignore(id, format!("there is no {task}")).await)?
                    );
                };
                match decide(&record.task, &event, at) {
                    Decision::Moved { task, effects } => {
                        let note = report::journal_line(&event);
                        let journal = vec![JournalLine {
                            at,
                            event: Some(*event),
                            note,
                        }];
                        let decision = crate::store::Decision {
                            task: *task,
                            journal,
                            effects,
                        };
                        self.store
                            .commit(id, record.version, decision)
                            .await
                            .map(|_| ())
                    }
                    Decision::Stale => {
                        self.store
                            .ignore(id, "an answer to a question no longer asked".to_owned())
                            .await
                    }
                    Decision::Refused(why) => {
                        let voice = self.world.forge(&record.task).1;
                        self.store
                            .ignore(id, report::not_now(&record.task, &why, &voice))
                            .await
                    }
                }
            }
        };
        // It would be decided for ever, and nothing after it.
        let settled = match settled {
            Err(CommitError::Live(task)) => {
                let why = CommitError::Live(task).to_string();
                self.store.ignore(id, why).await
            }
            settled => settled,
        };
        Ok(self.settled(settled)?)
    }

    /// A conflict is decided again by the next turn of the loop; an input settled before is settled.
    fn settled(&self, result: Result<(), CommitError>) -> Result<(), StoreError> {
        match result {
            Ok(()) | Err(CommitError::Conflict | CommitError::Decided) => Ok(()),
            Err(CommitError::Live(task)) => Err(StoreError::Broken(format!(
                "{task} lives, which only a request can meet"
            ))),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    fn register(&self, run: (TaskId, u32), halt: &watch::Sender<Option<Halt>>) -> Registered<'_> {
        let mut halts = self.halts.lock().unwrap_or_else(PoisonError::into_inner);
        halts.insert(run, halt.clone());
        drop(halts);
        if let Some(by) = &*self.interrupted.borrow() {
            halt.send_replace(Some(Halt::Interrupt { by: by.clone() }));
        }
        Registered { worker: self, run }
    }
}

/// A run that can be halted, as long as this lives.
struct Registered<'a> {
    worker: &'a Worker,
    run: (TaskId, u32),
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut halts = self
            .worker
            .halts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        halts.remove(&self.run);
    }
}

/// Reports a run's progress under the fence of its claim.
struct Watching<'a> {
    worker: &'a Worker,
    claim: &'a Claim,
}

#[async_trait]
impl Watch for Watching<'_> {
    async fn happened(&self, event: Event) -> Result<(), RunError> {
        match self.worker.store.progress(self.claim, event).await {
            Ok(_) => Ok(()),
            Err(LeaseError::Lost) => Err(RunError::Lost),
            Err(LeaseError::Store(error)) => Err(error.into()),
        }
    }

    fn told(&self, said: News<'_>) {
        self.worker.world.told(self.claim.task, said);
    }
}
