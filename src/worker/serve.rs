//! The worker of a server: works until it is told to stop, with so many runs at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::answer::{Ended, Said};
use super::lease::Lease;
use super::{Worker, WorkerError};
use crate::domain::ident::TaskId;
use crate::domain::report::{Hold, InLine};
use crate::domain::settings::Progress;
use crate::domain::task::{ApprovalOf, Outstanding, Stage, Task};
use crate::store::{Claim, Filter, JobKind, StoreError, TaskFilter};

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

/// A task that moves by itself and was not shown for this long is shown again, which renews the promise of the next
/// update; shorter than the promise.
const RENEW_SECS: u64 = 600;

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
        let mut under_way = UnderWay::default();
        let mut changes = self.store.changes();
        let mut mended_at: Option<Instant> = None;
        let mut renew_at = self.clock.now();
        self.room.get_or_init(|| room);
        while !stop.is_cancelled() {
            changes.borrow_and_update();
            let is_mending = mended_at.is_some_and(|at| at > Instant::now());
            if !is_mending {
                let due = renew_at <= self.clock.now();
                if due {
                    renew_at = self.clock.now().plus_secs(LOOK_EVERY.as_secs());
                }
                match self.turn(room, due, &mut under_way).await {
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
                Some(done) = under_way.performing.join_next_with_id() => {
                    match self.ended(done, &mut under_way) {
                        None => {}
                        Some(WorkerError::Host(why)) => {
                            mend(Some(&why));
                            mended_at = Some(Instant::now() + MEND_EVERY);
                        }
                        Some(error) => return Err(error),
                    }
                }
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.drain(room.grace, under_way).await
    }

    /// A performance ended; gives what is wrong.
    fn ended(
        &self,
        done: Result<(tokio::task::Id, Ended), JoinError>,
        under_way: &mut UnderWay,
    ) -> Option<WorkerError> {
        let (id, ended) = match done {
            Ok(ended) => ended,
            Err(why) => {
                tracing::error!(%why, "a job ended in a panic");
                let claim = under_way.claims.get(&why.id());
                let owed = claim.map(|claim| self.broke(claim, why.to_string()));
                let trouble = None;
                (why.id(), Ended { owed, trouble })
            }
        };
        let claim = under_way.claims.remove(&id);
        under_way.owed.extend(claim.zip(ended.owed));
        ended.trouble
    }

    /// Has the store note what it could not be told of performances that ended: nobody else does, and until then no job
    /// of their lanes is claimed. What was lost to somebody else meanwhile is theirs.
    async fn pay(&self, owed: &mut Vec<(Claim, Said)>) -> Result<(), WorkerError> {
        while let Some((claim, said)) = owed.last() {
            self.note(claim, said).await?;
            owed.pop();
        }
        Ok(())
    }

    /// Decides everything that arrived, and claims everything for which there is room.
    async fn turn(
        self: &Arc<Self>,
        room: Room,
        renews: bool,
        under_way: &mut UnderWay,
    ) -> Result<(), WorkerError> {
        self.pay(&mut under_way.owed).await?;
        while let Some(input) = self.store.next_input().await? {
            self.intake(input).await?;
        }
        if renews {
            self.renew().await?;
        }
        let quick = Filter {
            tasks: None,
            kinds: Some(QUICK.to_vec()),
        };
        loop {
            let (asked, ttl) = (Instant::now(), self.patience.lost_after);
            let mut claim = self.store.claim(&self.lock, &quick, ttl).await?;
            if claim.is_none()
                && let Some(runs) = self.runs(room, &under_way.claims).await?
            {
                claim = self.store.claim(&self.lock, &runs, ttl).await?;
            }
            let Some(claim) = claim else {
                return Ok(());
            };
            let (worker, job) = (Arc::clone(self), claim.clone());
            let lease = Lease::new(asked + ttl);
            let job = async move { worker.perform(&job, &lease).await };
            let job = under_way.performing.spawn(job);
            under_way.claims.insert(job.id(), claim);
        }
    }

    /// Has those shown again whose promise would lapse; after a start also those that an earlier process showed.
    async fn renew(&self) -> Result<(), WorkerError> {
        let now = self.clock.now();
        for record in self.store.tasks(&LIVE).await? {
            let task = record.task;
            let moves = matches!(task.word(), "queued" | "running");
            if moves
                && task.settings.messages.progress == Progress::Sticky
                && self
                    .shown_at(&task)
                    .is_none_or(|at| now.millis_since(at) >= RENEW_SECS * 1000)
            {
                self.store.show_again(task.id).await?;
            }
        }
        Ok(())
    }

    /// What keeps a queued task in line; `None` where nothing does, or nobody hands out slots.
    pub(super) async fn in_line(&self, task: &Task) -> Result<Option<InLine>, StoreError> {
        let (Some(room), Stage::Queued { .. }) = (self.room.get(), &task.stage) else {
            return Ok(None);
        };
        let records = self.store.tasks(&LIVE).await?;
        let tasks: Vec<&Task> = records.iter().map(|record| &record.task).collect();
        Ok(Line::of(&tasks, |task| matches!(task.stage, Stage::Running { .. })).hold(*room, task))
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
        let records = self.store.tasks(&LIVE).await?;
        let tasks: Vec<&Task> = records.iter().map(|record| &record.task).collect();
        let line = Line::of(&tasks, |task| running.contains(&task.id));
        let fits = |task: &&&Task| {
            matches!(task.outstanding(), Some(Outstanding::Run(_)))
                && !running.contains(&task.id)
                && line.hold_of(room, task).is_none()
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
    async fn drain(&self, grace: Duration, mut under_way: UnderWay) -> Result<(), WorkerError> {
        let deadline = Instant::now() + grace;
        while under_way.claims.values().any(|claim| !is_run(claim)) {
            let ended = under_way.performing.join_next_with_id();
            let ended = tokio::time::timeout_at(deadline.into(), ended);
            let Ok(Some(done)) = ended.await else {
                break;
            };
            if let Some(error) = self.ended(done, &mut under_way) {
                tracing::warn!(%error, "a job that ended with the server had trouble");
            }
        }
        // Dropped, a session kills what is inside.
        under_way.performing.abort_all();
        while under_way.performing.join_next().await.is_some() {}
        // What cannot be noted is taken over by the next start.
        if let Err(error) = self.pay(&mut under_way.owed).await {
            tracing::warn!(%error, "what jobs came to was not stored; the next start does them again");
        }
        for claim in under_way.claims.values() {
            let why = "the server was stopped".to_owned();
            let back = self
                .store
                .release(claim, crate::domain::ident::Time(0), why, false);
            self.answered(back.await)?;
        }
        Ok(())
    }
}

/// What is being done.
#[derive(Default)]
struct UnderWay {
    performing: JoinSet<Ended>,
    /// Of those.
    claims: HashMap<tokio::task::Id, Claim>,
    /// Of those that ended and of which the store does not know that yet.
    owed: Vec<(Claim, Said)>,
}

const LIVE: TaskFilter = TaskFilter {
    live: true,
    repository: None,
};

/// Who is at work, who waits, and whose results wait for a review.
struct Line<'a> {
    tasks: &'a [&'a Task],
    at_work: usize,
    busy: HashMap<Place<'a>, usize>,
    open: HashMap<Place<'a>, u32>,
    /// First results that are being made.
    coming: HashMap<Place<'a>, u32>,
}

/// A repository: its forge, and what it is called or numbered there.
type Place<'a> = (&'a str, String);

fn place(task: &Task) -> Place<'_> {
    (&task.issue.forge, task.issue.repository_key())
}

impl<'a> Line<'a> {
    fn of(tasks: &'a [&'a Task], is_at_work: impl Fn(&Task) -> bool) -> Self {
        let mut line = Self {
            tasks,
            at_work: 0,
            busy: HashMap::new(),
            open: HashMap::new(),
            coming: HashMap::new(),
        };
        for task in tasks {
            if is_at_work(task) {
                line.at_work += 1;
                *line.busy.entry(place(task)).or_default() += 1;
            }
            if is_open(task) {
                *line.open.entry(place(task)).or_default() += 1;
            } else if is_at_work(task) || is_begun(task) {
                *line.coming.entry(place(task)).or_default() += 1;
            }
        }
        line
    }

    /// What keeps a task from being begun now.
    fn hold_of(&self, room: Room, task: &Task) -> Option<Hold> {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let here = place(task);
        let open = self.open.get(&here).copied().unwrap_or(0);
        let coming = self.coming.get(&here).copied().unwrap_or(0);
        let busy = self.busy.get(&here).copied().unwrap_or(0);
        let limit = task.settings.task.max_open;
        // A first result would be one more to review; one that is counted already is not.
        let is_one_more = !is_open(task) && !is_begun(task);
        if is_one_more && open >= limit {
            Some(Hold::Reviews { open, limit })
        } else if busy >= room.per_repo {
            Some(Hold::Repository {
                busy: count(busy),
                limit: count(room.per_repo),
            })
        } else if self.at_work >= room.slots {
            Some(Hold::Slot {
                busy: count(self.at_work),
                all: count(room.slots),
            })
        } else if is_one_more && open.saturating_add(coming) >= limit {
            let open = open.saturating_add(coming);
            Some(Hold::Reviews { open, limit })
        } else {
            None
        }
    }

    /// The same for one that is queued, with its place among all that are.
    fn hold(&self, room: Room, task: &Task) -> Option<InLine> {
        let hold = self.hold_of(room, task)?;
        let queued = |task: &&&Task| matches!(task.stage, Stage::Queued { .. });
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let before = self
            .tasks
            .iter()
            .filter(queued)
            .filter(|other| other.id.0 < task.id.0);
        Some(InLine {
            place: count(before.count()).saturating_add(1),
            of: count(self.tasks.iter().filter(queued).count()).max(1),
            hold,
        })
    }
}

/// Whether a result of a task is there to be judged, shown already or about to be. What a person took over is theirs.
fn is_open(task: &Task) -> bool {
    match &task.stage {
        Stage::TakenOver { .. } => false,
        Stage::Publishing { .. }
        | Stage::InReview { .. }
        | Stage::AwaitingApproval {
            of: ApprovalOf::Result,
        } => true,
        _ => task.pull.is_some(),
    }
}

/// Whether a run of it began, also one that lost its worker.
fn is_begun(task: &Task) -> bool {
    matches!(task.stage, Stage::Running { .. })
}

/// Whether a job takes a slot.
fn is_run(claim: &Claim) -> bool {
    matches!(JobKind::of(&claim.effect), JobKind::Run | JobKind::Check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::brief::{self, Survey};
    use crate::domain::ident::Time;
    use crate::domain::settings::Settings;
    use crate::domain::task::{AgentSpec, IssueRef, NewTask, Pull, Step, Waiting};

    const ROOM: Room = Room {
        slots: 8,
        per_repo: 8,
        grace: Duration::ZERO,
    };

    fn task(id: i64, stage: Stage) -> Task {
        let new = NewTask {
            issue: IssueRef {
                forge: "main".to_owned(),
                repository: "a/b".to_owned(),
                repository_id: Some(1),
                number: id,
                source: String::new(),
                out: None,
                publish: None,
            },
            requester: "dana".to_owned(),
            requester_address: None,
            brief: brief::parse("# A title", 1_000).unwrap(),
            survey: Survey::default(),
            settings: Settings::default(),
            base: "a".repeat(40).parse().unwrap(),
            base_branch: None,
            agent: AgentSpec::Command { argv: Vec::new() },
            accepted_at: Time(0),
            branch: None,
            unaccepted: false,
            unshown: false,
        };
        let mut task = new.proposed(TaskId(id), "agent/x".to_owned(), Time(0));
        task.settings.task.max_open = 2;
        task.stage = stage;
        task
    }

    fn queued(id: i64) -> Task {
        let why = Waiting::Slot;
        task(id, Stage::Queued { run: 1, why })
    }

    fn running(id: i64) -> Task {
        let stage = Stage::Running {
            run: 1,
            step: Step::Prepare,
            quiet_since: None,
            stopping: None,
        };
        task(id, stage)
    }

    fn asking(id: i64) -> Task {
        let of = ApprovalOf::Result;
        task(id, Stage::AwaitingApproval { of })
    }

    #[test]
    fn what_is_or_will_be_open_leaves_no_place_for_a_further_first_result() {
        let publishing = task(1, Stage::Publishing { revision: 1 });
        let next = queued(9);
        for other in [running(2), asking(2), publishing, queued(2)] {
            let others = [asking(3), other];
            let tasks: Vec<&Task> = others.iter().chain([&next]).collect();
            // The one that is queued was claimed a moment ago.
            let line = Line::of(&tasks, |task| task.id.0 == 2);
            let reviews = Some(Hold::Reviews { open: 2, limit: 2 });
            assert_eq!(line.hold_of(ROOM, &next), reviews, "{:?}", others[1].stage);
        }
        // One place is left.
        let waits = asking(3);
        let tasks = [&waits, &next];
        assert_eq!(Line::of(&tasks, |_| false).hold_of(ROOM, &next), None);
        // What is counted already goes on: a run that lost its worker, a further round.
        let (lost, other) = (running(2), running(3));
        let mut round = queued(4);
        round.pull = Some(Pull {
            number: 1,
            location: String::new(),
            head: "b".repeat(40).parse().unwrap(),
        });
        let tasks = [&lost, &other, &round];
        let line = Line::of(&tasks, |_| false);
        assert_eq!(line.hold_of(ROOM, &lost), None);
        assert_eq!(line.hold_of(ROOM, &round), None);
    }
}
