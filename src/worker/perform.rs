//! Performing: one function for each kind of effect. Each reads the task anew and does nothing
//! for a question no longer asked; each may be done twice and does it once.

use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use super::{BACK_OFF_SECS, MAX_ATTEMPTS, Watching, Worker};
use crate::domain::effect::Effect;
use crate::domain::event::{Event, RunOutcome};
use crate::domain::ident::CommitId;
use crate::domain::report::{self, Voice};
use crate::domain::task::{Ending, Failure, FailureClass, Outstanding, Stage, Task};
use crate::forge::{self, Forge, Leave, Place, PullRequest, Status};
use crate::run::{self, Halt, RunError, Watch};
use crate::store::{ArtifactKind, Claim, StoreError};

impl Worker {
    /// Does one job. Gives its answers.
    pub(super) async fn job(
        &self,
        claim: &Claim,
        task: &Task,
        halt: &watch::Sender<Option<Halt>>,
    ) -> Result<Vec<Event>, Trouble> {
        match &claim.effect {
            Effect::Run { run } => self.run(claim, task, *run, halt).await,
            Effect::Check { run, head } => self.check(claim, task, *run, head, halt).await,
            Effect::Cancel { run } => {
                if task.run == *run || task.is_final() {
                    let halts = self.halts.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(halt) = halts.get(&claim.task) {
                        halt.send_replace(Some(Halt::Stop));
                    }
                }
                Ok(Vec::new())
            }
            Effect::Publish => self.publish(claim, task).await,
            Effect::OpenPull { revision } => self.open_pull(claim, task, *revision).await,
            Effect::Tell { entry } => self.tell(claim, task, *entry).await,
            Effect::CleanUp { patch, branch } => self.clean_up(claim, task, *patch, branch).await,
            Effect::Wait { timer, .. } => Ok(vec![Event::TimerFired { timer: *timer }]),
        }
    }

    async fn run(
        &self,
        claim: &Claim,
        task: &Task,
        run: u32,
        halt: &watch::Sender<Option<Halt>>,
    ) -> Result<Vec<Event>, Trouble> {
        if task.outstanding() != Some(Outstanding::Run(run)) {
            return Ok(Vec::new());
        }
        if let Stage::Running {
            stopping: Some(_), ..
        } = task.stage
        {
            return Ok(vec![Event::RunEnded {
                run,
                outcome: RunOutcome::Cancelled,
            }]);
        }
        if claim.attempt > MAX_ATTEMPTS {
            return Ok(vec![ended(run, too_many(claim))]);
        }
        let mut task = task.clone();
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
        let _registered = self.register(claim.task, halt);
        let outcome =
            run::execute(&bench, &task, agent.as_ref(), &watching, halt.subscribe()).await?;
        Ok(vec![Event::RunEnded { run, outcome }])
    }

    async fn check(
        &self,
        claim: &Claim,
        task: &Task,
        run: u32,
        head: &CommitId,
        halt: &watch::Sender<Option<Halt>>,
    ) -> Result<Vec<Event>, Trouble> {
        if task.outstanding() != Some(Outstanding::Run(run)) {
            return Ok(Vec::new());
        }
        if claim.attempt > MAX_ATTEMPTS {
            return Ok(vec![ended(run, too_many(claim))]);
        }
        self.world.fetch(task, head).await?;
        let bench = self.world.bench(task).await?;
        let watching = Watching {
            worker: self,
            claim,
        };
        let _registered = self.register(claim.task, halt);
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
        .await?;
        Ok(vec![match judged {
            Ok(judged) => Event::Checked {
                run,
                head: head.clone(),
                evidence: judged.evidence,
                findings: judged.findings,
            },
            Err(failure) => ended(run, failure),
        }])
    }

    /// Makes the forge show the task as it is now.
    async fn publish(&self, claim: &Claim, task: &Task) -> Result<Vec<Event>, Trouble> {
        // What is being removed is not written to meanwhile; `CleanedUp` publishes once more.
        if let Stage::Ended { left: None, .. } = task.stage {
            return Ok(Vec::new());
        }
        let (forge, voice) = self.world.forge(task);
        let place = place(task);
        let body = report::status(task, self.clock.now(), &voice);
        let status = Status {
            word: task.word(),
            ended: task.is_final(),
            body: &body,
        };
        let shown = async {
            forge.ensure_status(place, None, &status).await?;
            forge
                .ensure_label(place, report::label(task).as_deref())
                .await?;
            if let Stage::InReview { .. } = task.stage {
                self.show_pull(task, forge.as_ref(), &voice).await?;
            }
            // Of a rejected task nothing is left that a check could stand on.
            let rejected = matches!(
                task.stage,
                Stage::Ended {
                    how: Ending::Rejected,
                    ..
                }
            );
            for check in report::checks(task).into_iter().filter(|_| !rejected) {
                forge.set_check(place, &check).await?;
            }
            Ok::<(), forge::Error>(())
        };
        match shown.await {
            Ok(()) => Ok(Vec::new()),
            Err(error) => match Trouble::of(&error, claim) {
                Some(trouble) => Err(trouble),
                // What cannot be shown is logged; the task itself is what the store says.
                None => {
                    tracing::warn!(task = %claim.task, %error, "the report could not be published");
                    Ok(Vec::new())
                }
            },
        }
    }

    async fn show_pull(
        &self,
        task: &Task,
        forge: &dyn Forge,
        voice: &Voice,
    ) -> Result<crate::domain::task::Pull, forge::Error> {
        let (title, body) = (report::pull_title(task), report::pull_body(task, voice));
        let pull = PullRequest {
            branch: &task.branch,
            base: task.base_branch.as_deref(),
            title: &title,
            body: &body,
            draft: true,
        };
        forge.ensure_pull(place(task), &pull).await
    }

    async fn open_pull(
        &self,
        claim: &Claim,
        task: &Task,
        revision: u32,
    ) -> Result<Vec<Event>, Trouble> {
        let Some(result) = task
            .revision
            .as_ref()
            .filter(|newest| newest.number == revision)
        else {
            return Ok(Vec::new());
        };
        if task.outstanding() != Some(Outstanding::Pull(revision)) {
            return Ok(Vec::new());
        }
        let (forge, voice) = self.world.forge(task);
        let head = &result.result.head;
        let expected = task.pull.as_ref().map(|pull| &pull.head);
        let opened = async {
            forge.ensure_branch(&task.branch, head, expected).await?;
            self.show_pull(task, forge.as_ref(), &voice).await
        };
        let failed = |class, message: String| {
            let failure = Failure {
                class,
                message,
                tail: String::new(),
            };
            Ok(vec![Event::PublishFailed { revision, failure }])
        };
        match opened.await {
            Ok(pull) => Ok(vec![Event::Published { revision, pull }]),
            Err(forge::Error::Conflict {
                found: Some(head), ..
            }) if task.pull.is_some() => Ok(vec![Event::BranchMoved {
                by: "someone else".to_owned(),
                head,
            }]),
            Err(error @ forge::Error::Conflict { .. }) => {
                failed(FailureClass::Conflict, error.to_string())
            }
            Err(error) => match Trouble::of(&error, claim) {
                Some(trouble) => Err(trouble),
                None => failed(FailureClass::Forge, error.to_string()),
            },
        }
    }

    async fn tell(&self, claim: &Claim, task: &Task, entry: u32) -> Result<Vec<Event>, Trouble> {
        let (forge, voice) = self.world.forge(task);
        // The turn may have passed meanwhile: then nobody is called.
        let Some(body) = report::notice(task, &voice).filter(|_| task.asked == entry) else {
            return Ok(Vec::new());
        };
        match forge
            .ensure_comment(place(task), &format!("entry-{entry}"), &body)
            .await
        {
            Ok(_) => Ok(Vec::new()),
            Err(error) => match Trouble::of(&error, claim) {
                Some(trouble) => Err(trouble),
                None => {
                    tracing::warn!(task = %claim.task, %error, "nobody could be told");
                    Ok(Vec::new())
                }
            },
        }
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
                forge.close_pull(place(task)).await?;
                left.extend(delete_branch(forge.as_ref(), task, ours).await?);
            }
            let leave = if patch { Leave::Nothing } else { Leave::Record };
            forge.clean_up(place(task), leave).await
        };
        if let Err(error) = cleaned.await {
            match Trouble::of(&error, claim) {
                Some(trouble) => return Err(trouble),
                None => left.push(error.to_string()),
            }
        }
        let bench = self.world.bench(task).await?;
        let scratch = bench.scratch.clone();
        let (mirror, forget) = (bench.mirror.clone(), commits_of(task, patch));
        let steps = Arc::clone(&bench.steps);
        let removed = tokio::task::spawn_blocking(move || {
            for commit in forget {
                if let Err(why) = steps.around("mirror forget", || mirror.forget(&commit)) {
                    tracing::warn!(%commit, %why, "a result was not let go of");
                }
            }
            crate::sandbox::remove(&scratch)
        });
        if let Ok(Err(why)) = removed.await {
            left.push(format!("{}: {why}", bench.scratch.display()));
        }
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
    match forge.branch_head(branch).await? {
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

/// Why a job has no answer.
pub(super) enum Trouble {
    /// Somebody else has it.
    Lost,
    /// The host cannot go on; the job waits for that to be mended.
    Host(String),
    /// It is tried again.
    Later { why: String, after_secs: u64 },
}

impl Trouble {
    /// What to do about an error of the forge, by its remedy; `None` where trying again does not help.
    fn of(error: &forge::Error, claim: &Claim) -> Option<Self> {
        let why = error.to_string();
        match error {
            forge::Error::Unavailable { .. } => Some(Self::Host(why)),
            forge::Error::Retry { after_secs, .. } => {
                let index = usize::try_from(claim.attempt.saturating_sub(1)).unwrap_or(usize::MAX);
                let own = BACK_OFF_SECS.get(index)?;
                Some(Self::Later {
                    why,
                    after_secs: after_secs.unwrap_or(*own).max(*own),
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

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Lost => Self::Lost,
            RunError::Host(why) => Self::Host(why),
            RunError::Broken(why) => {
                tracing::warn!(%why, "a run broke");
                Self::Later { why, after_secs: 0 }
            }
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        RunError::from(error).into()
    }
}

fn place(task: &Task) -> Place {
    Place {
        task: task.id,
        issue: task.issue.number,
    }
}

fn ended(run: u32, failure: Failure) -> Event {
    let outcome = RunOutcome::Failed {
        failure,
        kept: None,
        evidence: Vec::new(),
    };
    Event::RunEnded { run, outcome }
}

fn too_many(claim: &Claim) -> Failure {
    Failure {
        class: FailureClass::Infra,
        message: format!(
            "the run was begun {} times and lost each time at the same step",
            claim.attempt - 1
        ),
        tail: String::new(),
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
