//! Performing: one function for each kind of effect. Each reads the task anew and does nothing
//! for a question no longer asked; each may be done twice and does it once.

use std::sync::PoisonError;

use tokio::sync::watch;

use super::lease::Lease;
use super::{BACK_OFF_SECS, MAX_ATTEMPTS, Watching, Worker};
use crate::domain::effect::Effect;
use crate::domain::event::{Event, RunOutcome};
use crate::domain::ident::{CommitId, Time};
use crate::domain::report::{self, CheckReport, Voice};
use crate::domain::task::{Ending, Failure, FailureClass, Outstanding, Stage, Task};
use crate::forge::{self, CommentId, Forge, Leave, Place, PullRequest, Status};
use crate::run::{self, Halt, RunError, Watch};
use crate::store::{self, ArtifactKind, Claim, RepositoryKey, StoreError};

impl Worker {
    /// Does one job. Gives its answers.
    pub(super) async fn job(
        &self,
        claim: &Claim,
        lease: &Lease,
        task: &Task,
        halt: &watch::Sender<Option<Halt>>,
    ) -> Result<Vec<Event>, Trouble> {
        if claim.attempt > most_attempts(&claim.effect) {
            return Ok(given_up(&claim.effect, &lost_each_time(claim)));
        }
        match &claim.effect {
            Effect::Run { run } => self.run(claim, task, *run, halt).await,
            Effect::Check { run, head } => self.check(claim, task, *run, head, halt).await,
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
        let _registered = self.register((claim.task, run), halt);
        if !self.is_asked_still(claim, run).await? {
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
        let _registered = self.register((claim.task, run), halt);
        if !self.is_asked_still(claim, run).await? {
            return Ok(Vec::new());
        }
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
                run,
                head: head.clone(),
                files: judged.files,
                evidence: judged.evidence,
                findings: judged.findings,
            },
            Err(failure) => ended(run, failure),
        }])
    }

    /// Whether the run is still what the task waits for. Asked after it can be halted, so that a cancel came either
    /// before, and the task says so, or finds it.
    async fn is_asked_still(&self, claim: &Claim, run: u32) -> Result<bool, Trouble> {
        let record = self.store.load(claim.task).await?;
        let asked = record.and_then(|record| record.task.outstanding());
        Ok(asked == Some(Outstanding::Run(run)))
    }

    /// Makes the forge show the task as it is now.
    async fn publish(&self, claim: &Claim, task: &Task) -> Result<Vec<Event>, Trouble> {
        // What is being removed is not written to meanwhile; `CleanedUp` publishes once more.
        if let Stage::Ended { left: None, .. } = task.stage {
            return Ok(Vec::new());
        }
        self.pace(task)?;
        let (forge, voice) = self.world.forge(task);
        let place = place(task);
        let body = report::status(task, self.clock.now(), &voice);
        let status = Status {
            word: task.word(),
            ended: task.is_final(),
            body: &body,
        };
        let note = note(task);
        let known = match &note {
            Some((repository, key)) => self.store.note(repository, key).await?,
            None => None,
        };
        let mut showing = None;
        let shown = async {
            let id = forge
                .ensure_status(place, known.map(CommentId), &status)
                .await?;
            showing = Some(id.0);
            forge
                .ensure_label(place, report::label(task).as_deref())
                .await?;
            // A label that stays would look like a request that nobody answers.
            if matches!(task.stage, Stage::Proposed | Stage::Ended { .. }) {
                let label = &task.settings.trigger.label;
                forge.drop_trigger(place, label).await?;
            }
            if let Stage::InReview { .. } = task.stage {
                self.show_pull(task, forge.as_ref(), &voice).await?;
                if task.approved_by().is_some() {
                    forge.mark_ready(place).await?;
                }
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
                if !self.is_shown(task, &check) {
                    forge.set_check(place, &check).await?;
                    self.has_shown(task, check);
                }
            }
            Ok::<(), forge::Error>(())
        };
        let shown = shown.await;
        if let (Some((repository, key)), Some(id)) = (&note, showing)
            && known != Some(id)
        {
            self.store.keep_note(repository, key, id).await?;
        }
        match shown {
            Ok(()) => {
                self.showed(task);
                Ok(Vec::new())
            }
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

    /// Progress of work is not shown more often than the world wants; what a person did is shown at once.
    fn pace(&self, task: &Task) -> Result<(), Trouble> {
        if task.word() != "running" {
            return Ok(());
        }
        let pace = self.world.pace_secs(task);
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let last = shown.get(&task.id).and_then(|shown| shown.at);
        match last {
            Some((word, at)) if word == task.word() && pace > 0 => {
                let passed = self.clock.now().millis_since(at) / 1000;
                match pace.checked_sub(passed) {
                    None | Some(0) => Ok(()),
                    Some(secs) => Err(Trouble::Paced { secs }),
                }
            }
            _ => Ok(()),
        }
    }

    fn showed(&self, task: &Task) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if task.is_final() {
            shown.remove(&task.id);
        } else {
            shown.entry(task.id).or_default().at = Some((task.word(), self.clock.now()));
        }
    }

    fn is_shown(&self, task: &Task, check: &CheckReport) -> bool {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shown.get(&task.id);
        known.is_some_and(|known| known.checks.contains(check)) && self.world.pace_secs(task) > 0
    }

    fn has_shown(&self, task: &Task, check: CheckReport) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let checks = &mut shown.entry(task.id).or_default().checks;
        checks.retain(|known| known.name != check.name);
        checks.push(check);
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
            draft: task.settings.pull.is_draft(task.approved_by().is_some()),
        };
        forge.ensure_pull(place(task), &pull).await
    }

    async fn open_pull(
        &self,
        claim: &Claim,
        lease: &Lease,
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
        self.hold(claim, lease).await?;
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
            Ok(pull) => {
                self.request_reviews(task, forge.as_ref()).await?;
                Ok(vec![Event::Published { revision, pull }])
            }
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

    /// Asks for reviews, once for each revision. Whom the forge cannot ask is left out.
    async fn request_reviews(&self, task: &Task, forge: &dyn Forge) -> Result<(), Trouble> {
        for login in self.world.reviewers(task).await? {
            match forge.request_review(place(task), &login).await {
                Ok(()) => {}
                Err(forge::Error::Retry { after_secs, why }) => {
                    let after_secs = after_secs.unwrap_or(2);
                    return Err(Trouble::Later { why, after_secs });
                }
                Err(error) => tracing::info!(task = %task.id, %error, "no review was requested"),
            }
        }
        Ok(())
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

/// What was shown of a task last.
#[derive(Default)]
pub(super) struct LastShown {
    at: Option<(&'static str, Time)>,
    checks: Vec<CheckReport>,
}

/// Where the id of a task's status comment is kept; locally nowhere.
fn note(task: &Task) -> Option<(RepositoryKey, String)> {
    let id = task.issue.repository_id?;
    let forge = task.issue.forge.clone();
    Some((RepositoryKey { forge, id }, task.id.to_string()))
}

/// Why a job has no answer.
pub(super) enum Trouble {
    /// Somebody else has it.
    Lost,
    /// The host cannot go on; the job waits for that to be mended.
    Host(String),
    /// It is tried again.
    Later { why: String, after_secs: u64 },
    /// It is done later, since it was done a moment ago.
    Paced { secs: u64 },
    /// It is tried again as well, but only so often.
    Broken(String),
}

impl Trouble {
    /// What to do about an error of the forge, by its remedy; `None` where trying again does not help.
    fn of(error: &forge::Error, claim: &Claim) -> Option<Self> {
        let why = error.to_string();
        match error {
            forge::Error::Unavailable { .. } => Some(Self::Host(why)),
            forge::Error::Retry { after_secs, .. } => {
                let own = back_off(claim.attempt);
                (claim.attempt < most_attempts(&claim.effect)).then(|| Self::Later {
                    why,
                    after_secs: after_secs.unwrap_or(own).max(own),
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
            RunError::Broken(why) => Self::Broken(why),
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
        | Effect::CleanUp { .. }
        | Effect::Wait { .. } => MAX_ATTEMPTS + 2,
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
