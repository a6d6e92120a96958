//! The worker of a server: works until it is told to stop, with so many runs at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::lease::Lease;
use super::{Worker, WorkerError};
use crate::domain::ident::TaskId;
use crate::domain::task::{Outstanding, Stage, Task};
use crate::store::{Claim, Filter, JobKind, TaskFilter};

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Most runs at once.
    pub slots: usize,
    /// Most runs at once of one repository.
    pub per_repo: usize,
    /// How long jobs other than runs may take to end when the server stops.
    pub grace: Duration,
}

/// How long nothing is claimed after the host refused something.
const MEND_EVERY: Duration = Duration::from_secs(30);

/// Longest wait without a look at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Kinds of jobs that need no slot.
const QUICK: [JobKind; 6] = [
    JobKind::Publish,
    JobKind::OpenPull,
    JobKind::Tell,
    JobKind::Cancel,
    JobKind::CleanUp,
    JobKind::Wait,
];

impl Worker {
    /// Decides what arrives and performs what is due until `stop`. Runs under way are then ended and handed back: the
    /// next start begins them anew. Trouble of the host is told to `mend` and tried again; `None` = it is over.
    ///
    /// # Errors
    /// [`WorkerError::Store`]: the record is damaged or closed.
    pub async fn serve(
        self: &Arc<Self>,
        room: Room,
        stop: &CancellationToken,
        mend: &(dyn Fn(Option<&str>) + Sync),
    ) -> Result<(), WorkerError> {
        let mut performing: JoinSet<Result<(), WorkerError>> = JoinSet::new();
        let mut claims: HashMap<_, Claim> = HashMap::new();
        let mut changes = self.store.changes();
        let mut mended_at: Option<Instant> = None;
        while !stop.is_cancelled() {
            changes.borrow_and_update();
            let is_mending = mended_at.is_some_and(|at| at > Instant::now());
            if !is_mending {
                match self.turn(room, &mut performing, &mut claims).await {
                    Ok(()) if mended_at.take().is_some() => mend(None),
                    Ok(()) => {}
                    Err(WorkerError::Host(why)) => {
                        mend(Some(&why));
                        mended_at = Some(Instant::now() + MEND_EVERY);
                    }
                    Err(error) => return Err(error),
                }
            }
            let wait = match mended_at {
                Some(at) => at.saturating_duration_since(Instant::now()),
                None => self.until_due().await.unwrap_or(MEND_EVERY),
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = performing.join_next_with_id() => match done {
                    Ok((id, done)) => {
                        claims.remove(&id);
                        match done {
                            Ok(()) => {}
                            Err(WorkerError::Host(why)) => {
                                mend(Some(&why));
                                mended_at = Some(Instant::now() + MEND_EVERY);
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    Err(why) => {
                        tracing::error!(%why, "a job ended in a panic");
                        if let Some(claim) = claims.remove(&why.id()) {
                            self.broke(&claim, why.to_string()).await?;
                        }
                    }
                },
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.drain(room.grace, performing, claims).await
    }

    /// Decides everything that arrived, and claims everything for which there is room.
    async fn turn(
        self: &Arc<Self>,
        room: Room,
        performing: &mut JoinSet<Result<(), WorkerError>>,
        claims: &mut HashMap<tokio::task::Id, Claim>,
    ) -> Result<(), WorkerError> {
        while let Some(input) = self.store.next_input().await? {
            self.intake(input).await?;
        }
        let quick = Filter {
            tasks: None,
            kinds: Some(QUICK.to_vec()),
        };
        loop {
            let (asked, ttl) = (Instant::now(), self.patience.lost_after);
            let mut claim = self.store.claim(&self.lock, &quick, ttl).await?;
            if claim.is_none()
                && let Some(runs) = self.runs(room, claims).await?
            {
                claim = self.store.claim(&self.lock, &runs, ttl).await?;
            }
            let Some(claim) = claim else {
                return Ok(());
            };
            let (worker, job) = (Arc::clone(self), claim.clone());
            let lease = Lease::new(asked + ttl);
            let job = performing.spawn(async move { worker.perform(&job, &lease).await });
            claims.insert(job.id(), claim);
        }
    }

    /// The runs for which there is room; `None` = none.
    async fn runs(
        &self,
        room: Room,
        claims: &HashMap<tokio::task::Id, Claim>,
    ) -> Result<Option<Filter>, WorkerError> {
        let running: Vec<TaskId> = claims
            .values()
            .filter(|claim| is_run(claim))
            .map(|claim| claim.task)
            .collect();
        if running.len() >= room.slots {
            return Ok(None);
        }
        let live = TaskFilter {
            live: true,
            repository: None,
        };
        let records = self.store.tasks(&live).await?;
        let tasks: Vec<&Task> = records.iter().map(|record| &record.task).collect();
        let of = |task: &Task| (task.issue.forge.clone(), task.issue.repository_key());
        let mut busy: HashMap<_, usize> = HashMap::new();
        let mut open: HashMap<_, u32> = HashMap::new();
        for task in &tasks {
            if running.contains(&task.id) {
                *busy.entry(of(task)).or_default() += 1;
            }
            if matches!(task.stage, Stage::InReview { .. }) {
                *open.entry(of(task)).or_default() += 1;
            }
        }
        let fits = |task: &&&Task| {
            let busy = busy.get(&of(task)).copied().unwrap_or(0);
            let open = open.get(&of(task)).copied().unwrap_or(0);
            // A first result would be one more to review; a further round is of one that is counted.
            let crowded = task.pull.is_none() && open >= task.settings.task.max_open;
            matches!(task.outstanding(), Some(Outstanding::Run(_)))
                && !running.contains(&task.id)
                && busy < room.per_repo
                && !crowded
        };
        let fitting: Vec<TaskId> = tasks.iter().filter(fits).map(|task| task.id).collect();
        Ok((!fitting.is_empty()).then(|| Filter {
            tasks: Some(fitting),
            kinds: Some(vec![JobKind::Run, JobKind::Check]),
        }))
    }

    /// How long until something is due by itself.
    async fn until_due(&self) -> Result<Duration, WorkerError> {
        let due = self.store.next_due(&Filter::default()).await?;
        let now = self.clock.now();
        let wait = due.map_or(LOOK_EVERY, |at| Duration::from_millis(at.millis_since(now)));
        // What is due and was not claimed waits for room, which a change tells of.
        Ok(wait.clamp(Duration::from_millis(500), LOOK_EVERY))
    }

    /// Lets what is quick end, ends what is not, and hands it back.
    async fn drain(
        &self,
        grace: Duration,
        mut performing: JoinSet<Result<(), WorkerError>>,
        mut claims: HashMap<tokio::task::Id, Claim>,
    ) -> Result<(), WorkerError> {
        let deadline = Instant::now() + grace;
        while claims.values().any(|claim| !is_run(claim)) {
            let ended = tokio::time::timeout_at(deadline.into(), performing.join_next_with_id());
            let Ok(Some(done)) = ended.await else {
                break;
            };
            let id = done
                .as_ref()
                .map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
            claims.remove(&id);
        }
        // Dropped, a session kills what is inside.
        performing.abort_all();
        while performing.join_next().await.is_some() {}
        for claim in claims.values() {
            let why = "the server was stopped".to_owned();
            let back = self
                .store
                .release(claim, crate::domain::ident::Time(0), why, false);
            self.answered(back.await)?;
        }
        Ok(())
    }
}

/// Whether a job takes a slot.
fn is_run(claim: &Claim) -> bool {
    matches!(JobKind::of(&claim.effect), JobKind::Run | JobKind::Check)
}
