//! Performing: one function for each kind of effect. Each reads the task anew and does nothing
//! for a question no longer asked; each may be done twice and does it once.

use std::sync::PoisonError;

use async_trait::async_trait;
use tokio::sync::watch;

use super::lease::Lease;
use super::{BACK_OFF_SECS, MAX_ATTEMPTS, Watching, Worker};
use crate::domain::effect::Effect;
use crate::domain::event::{Event, RunOutcome, Timer};
use crate::domain::ident::CommitId;
use crate::domain::task::{Failure, FailureClass, Outstanding, Stage, Task};
use crate::forge::{self, Forge, Leave, Place};
use crate::run::{self, Halt, RunError, Watch};
use crate::store::{self, ArtifactKind, Claim, StoreError};

/// Tries of something that the forge refuses, where nothing else says so to anybody.
const MAX_DOUBTS: u32 = 3;

/// Wait before a forge that did not answer is asked again what people did.
const UNHEARD_SECS: u64 = 5;

/// Looks at what people did on the forge of a task, so that it counts.
#[async_trait]
pub trait Eyes: Send + Sync {
    /// Everything that people did on the issue of a task and on its pull request until now is decided when this
    /// returns.
    ///
    /// # Errors
    /// As the forge; then something may not have been heard.
    async fn look(&self, task: &Task) -> Result<(), forge::Error>;
}

impl Worker {
    /// Does one job. Gives its answers.
    pub(super) async fn job(
        &self,
        claim: &Claim,
        lease: &Lease,
        task: &Task,
        halt: &watch::Sender<Option<Halt>>,
    ) -> Result<Vec<Event>, Trouble> {
        if let Some(why) = self.world.away(task) {
            return Err(Trouble::Away(why));
        }
        if claim.attempt > most_attempts(&claim.effect) {
            return Ok(given_up(&claim.effect, &lost_each_time(claim)));
        }
        match &claim.effect {
            Effect::Run { run } => self.run(claim, *run, halt).await,
            Effect::Check { run, head } => self.check(claim, *run, head, halt).await,
            Effect::Cancel { run } => {
                let halts = self.halts.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(halt) = halts.get(&(claim.task, *run)) {
                    halt.send_replace(Some(Halt::Stop));
                }
                Ok(Vec::new())
            }
            Effect::Publish => {
                self.hold(claim, lease).await?;
                self.publish(claim, task).await
            }
            Effect::OpenPull { revision } => self.open_pull(claim, lease, task, *revision).await,
            Effect::Tell { entry } => {
                self.hold(claim, lease).await?;
                self.tell(claim, task, *entry).await
            }
            Effect::CleanUp { patch, branch } => {
                self.hold(claim, lease).await?;
                self.clean_up(claim, task, *patch, branch).await
            }
            Effect::Wait { timer, .. } => self.time_is_up(task, *timer).await,
        }
    }

    /// People may have done in time what was waited for, and nobody heard of it yet: they are heard first. While that
    /// cannot be, no time is up.
    async fn time_is_up(&self, task: &Task, timer: Timer) -> Result<Vec<Event>, Trouble> {
        if let Some(eyes) = self.eyes.get().filter(|_| is_waited_for(task, timer)) {
            eyes.look(task).await.map_err(Trouble::unheard)?;
        }
        Ok(vec![Event::TimerFired { timer }])
    }

    async fn run(
        &self,
        claim: &Claim,
        run: u32,
        halt: &watch::Sender<Option<Halt>>,
    ) -> Result<Vec<Event>, Trouble> {
        let _registered = self.register((claim.task, run), halt);
        let Some(mut task) = self.asked_still(claim, run).await? else {
            return Ok(Vec::new());
        };
        if let Stage::Running {
            stopping: Some(_), ..
        } = task.stage
        {
            return Ok(vec![Event::RunEnded {
                run,
                outcome: RunOutcome::Cancelled,
            }]);
        }
        task.run = run;
        let watching = Watching {
            worker: self,
            claim,
        };
        watching
            .happened(Event::RunStarted {
                run,
                attempt: claim.epoch,
            })
            .await?;
        let bench = self.world.bench(&task).await?;
        let agent = self.world.agent(&task);
        let outcome =
            run::execute(&bench, &task, agent.as_ref(), &watching, halt.subscribe()).await?;
        Ok(vec![Event::RunEnded { run, outcome }])
    }

    async fn check(
        &self,
        claim: &Claim,
        run: u32,
        head: &CommitId,
        halt: &watch::Sender<Option<Halt>>,
    ) -> Result<Vec<Event>, Trouble> {
        let _registered = self.register((claim.task, run), halt);
        let Some(task) = &self.asked_still(claim, run).await? else {
            return Ok(Vec::new());
        };
        self.world.fetch(task, head).await?;
        let bench = self.world.bench(task).await?;
        let watching = Watching {
            worker: self,
            claim,
        };
        let commits = (&task.base, head);
        let scope = &task.brief.scope;
        let judged = run::check(
            &bench,
            claim.task,
            &task.settings,
            scope,
            commits,
            &watching,
            halt.subscribe(),
        )
        .await;
        // Stopped, since nobody asks for it any more: done, so that its lane is free.
        if *halt.borrow() == Some(Halt::Stop) {
            return Ok(Vec::new());
        }
        Ok(vec![match judged? {
            Ok(judged) => Event::Checked {
                repository_file: run::repository_file(&bench, commits).await?,
                run,
                head: head.clone(),
                files: judged.files,
                evidence: judged.evidence,
                findings: judged.findings,
            },
            Err(failure) => ended(run, failure),
        }])
    }

    /// The task, if it still waits for this run. Read after the run can be halted, so that a cancel came either
    /// before, and this task says so, or finds it; what was read earlier says neither.
    async fn asked_still(&self, claim: &Claim, run: u32) -> Result<Option<Task>, Trouble> {
        let record = self.store.load(claim.task).await?;
        let task = record.map(|record| record.task);
        Ok(task.filter(|task| task.outstanding() == Some(Outstanding::Run(run))))
    }

    /// Removes what an ended task leaves; what a person changed meanwhile stays and is told.
    async fn clean_up(
        &self,
        claim: &Claim,
        task: &Task,
        patch: bool,
        ours: &[CommitId],
    ) -> Result<Vec<Event>, Trouble> {
        let (forge, _) = self.world.forge(task);
        let mut left = Vec::new();
        let cleaned = async {
            if !ours.is_empty() {
                forge.close_pull(Place::of(task)).await?;
                left.extend(delete_branch(forge.as_ref(), task, ours).await?);
            }
            let leave = if patch { Leave::Nothing } else { Leave::Record };
            forge.clean_up(Place::of(task), leave).await
        };
        if let Err(error) = cleaned.await {
            match Trouble::of(&error, claim) {
                Some(trouble) => return Err(trouble),
                None => left.push(error.to_string()),
            }
        }
        left.extend(self.world.clear(task, commits_of(task, patch)).await?);
        if patch {
            self.store
                .drop_artifacts(claim.task, &[ArtifactKind::Patch])
                .await
                .map_err(Trouble::from)?;
        }
        Ok(vec![Event::CleanedUp { left }])
    }
}

/// Deletes the task branch where its head is one of `ours`; tells why it stays elsewhere.
async fn delete_branch(
    forge: &dyn Forge,
    task: &Task,
    ours: &[CommitId],
) -> Result<Option<String>, forge::Error> {
    let branch = &task.branch;
    let theirs = || {
        format!(
            "branch {branch}: it has commits that are not ours; look at them, then git branch -D {branch}"
        )
    };
    let head = match forge.branch_head(branch).await {
        // With its repository the branch is gone too.
        Ok(None) | Err(forge::Error::Gone { .. }) => return Ok(None),
        found => found?,
    };
    match head {
        None => Ok(None),
        Some(head) if ours.contains(&head) => match forge.delete_branch(branch, &head).await {
            Ok(()) => Ok(None),
            Err(forge::Error::Conflict { .. }) => Ok(Some(theirs())),
            Err(forge::Error::Invalid { what, why }) => Ok(Some(format!("{what}: {why}"))),
            Err(other) => Err(other),
        },
        // A branch of that name on which nothing of ours was ever published is somebody else's altogether.
        Some(_) => Ok(task.pull.is_some().then(theirs)),
    }
}

/// Whether such a wait is a limit of the forge, or ours that keeps below it: who waits has failed at nothing. One that
/// is longer than any limit is a forge that is away.
fn is_limit(after_secs: Option<u64>) -> bool {
    after_secs.is_some_and(|secs| (5..=3600).contains(&secs))
}

/// Why a job has no answer.
pub(super) enum Trouble {
    /// Somebody else has it.
    Lost,
    /// The host cannot go on; the job waits for that to be mended.
    Host(String),
    /// The forge is away: the jobs that need it are tried again now and then, and all others go on.
    Away(String),
    /// It is tried again.
    Later {
        why: String,
        after_secs: u64,
        /// As an attempt; of those there are only so many.
        counted: bool,
    },
    /// It is done later, since it was done a moment ago.
    Paced { secs: u64 },
    /// It is tried again as well, but only so often.
    Broken(String),
}

impl Trouble {
    /// What to do about an error of the forge, by its remedy; `None` where trying again does not help.
    pub(super) fn of(error: &forge::Error, claim: &Claim) -> Option<Self> {
        let why = error.to_string();
        match error {
            forge::Error::Unavailable { .. } => Some(Self::Host(why)),
            forge::Error::Away { .. } => Some(Self::Away(why)),
            forge::Error::Retry { after_secs, .. } => {
                let own = back_off(claim.attempt);
                let counted = !is_limit(*after_secs);
                let is_tried = !counted || claim.attempt < most_attempts(&claim.effect);
                is_tried.then(|| Self::Later {
                    why,
                    after_secs: after_secs.unwrap_or(own).max(own),
                    counted,
                })
            }
            forge::Error::Auth { .. }
            | forge::Error::NotPermitted { .. }
            | forge::Error::Gone { .. }
            | forge::Error::Conflict { .. }
            | forge::Error::Invalid { .. } => None,
        }
    }
}

impl Trouble {
    /// Forges refuse for a moment what they allow otherwise: what only shows the task is tried again after a while, and
    /// not for long, since what is shown next waits meanwhile.
    pub(super) fn doubt(error: &forge::Error, claim: &Claim) -> Option<Self> {
        (claim.attempt < MAX_DOUBTS).then(|| Self::Later {
            why: error.to_string(),
            after_secs: back_off(claim.attempt),
            counted: true,
        })
    }
}

impl Trouble {
    /// Nobody knows what people did: that is asked again, for as long as it takes.
    fn unheard(error: forge::Error) -> Self {
        let why = error.to_string();
        match error {
            forge::Error::Unavailable { .. } => Self::Host(why),
            forge::Error::Away { .. } => Self::Away(why),
            forge::Error::Retry { after_secs, .. } => Self::Later {
                why,
                after_secs: after_secs.unwrap_or(UNHEARD_SECS),
                counted: false,
            },
            forge::Error::Auth { .. }
            | forge::Error::NotPermitted { .. }
            | forge::Error::Gone { .. }
            | forge::Error::Conflict { .. }
            | forge::Error::Invalid { .. } => Self::Later {
                why,
                after_secs: store::MAX_BACK_OFF_SECS,
                counted: false,
            },
        }
    }
}

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Lost => Self::Lost,
            RunError::Host(why) => Self::Host(why),
            RunError::Away(why) => Self::Away(why),
            RunError::Broken(why) => Self::Broken(why),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        RunError::from(error).into()
    }
}

fn ended(run: u32, failure: Failure) -> Event {
    let outcome = RunOutcome::Failed {
        failure,
        kept: None,
        seen: Box::default(),
    };
    Event::RunEnded { run, outcome }
}

fn lost_each_time(claim: &Claim) -> String {
    format!(
        "it was begun {} times and lost each time at the same step",
        claim.attempt - 1
    )
}

/// Seconds to wait after this many tries.
pub(super) fn back_off(attempt: u32) -> u64 {
    let index = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let longest = store::MAX_BACK_OFF_SECS;
    BACK_OFF_SECS.get(index).copied().unwrap_or(longest)
}

/// Claims of a job without a step further; then it is given up.
pub(super) fn most_attempts(effect: &Effect) -> u32 {
    match effect {
        Effect::Run { .. } | Effect::Check { .. } => MAX_ATTEMPTS,
        Effect::Cancel { .. }
        | Effect::Publish
        | Effect::OpenPull { .. }
        | Effect::Tell { .. }
        | Effect::CleanUp { .. } => MAX_ATTEMPTS + 2,
        // Given up, a time would be up unheard.
        Effect::Wait { .. } => u32::MAX,
    }
}

/// Whether the task still waits for this time.
fn is_waited_for(task: &Task, timer: Timer) -> bool {
    match (&task.stage, timer) {
        (Stage::Asking { .. }, Timer::Ask { asked })
        | (
            Stage::InReview {
                closing: Some(_), ..
            },
            Timer::Close { asked },
        ) => asked == task.asked,
        _ => false,
    }
}

/// The answer of a job that is not tried again. What only shows the task has none: the next change shows it.
pub(super) fn given_up(effect: &Effect, why: &str) -> Vec<Event> {
    let failure = |class| Failure {
        class,
        message: why.to_owned(),
        tail: String::new(),
    };
    match effect {
        Effect::Run { run } | Effect::Check { run, .. } => {
            vec![ended(*run, failure(FailureClass::Infra))]
        }
        Effect::OpenPull { revision } => vec![Event::PublishFailed {
            revision: *revision,
            failure: failure(FailureClass::Forge),
        }],
        Effect::CleanUp { .. } => vec![Event::CleanedUp {
            left: vec![format!("whatever is left: {why}")],
        }],
        Effect::Wait { timer, .. } => vec![Event::TimerFired { timer: *timer }],
        Effect::Cancel { .. } | Effect::Publish | Effect::Tell { .. } => Vec::new(),
    }
}

/// The commits in the mirror that only this task needs.
fn commits_of(task: &Task, patch: bool) -> Vec<CommitId> {
    let result = task
        .revision
        .as_ref()
        .map(|revision| revision.result.head.clone());
    let kept = task.kept.clone();
    if patch {
        result.into_iter().chain(kept).collect()
    } else {
        kept.into_iter().collect()
    }
}
