//! Showing a task: status, label, pull request, checks, and the words that call a person.

use std::sync::PoisonError;

use super::Worker;
use super::lease::Lease;
use super::perform::Trouble;
use crate::domain::decide::verdict;
use crate::domain::event::Event;
use crate::domain::gates::Cause;
use crate::domain::ident::Time;
use crate::domain::report::{self, CheckReport, Voice};
use crate::domain::settings::Progress;
use crate::domain::task::{Ending, Failure, FailureClass, Outstanding, Stage, Task};
use crate::forge::{self, CommentId, Forge, Place, PullRequest, Status};
use crate::store::{Claim, RepositoryKey};

impl Worker {
    /// Makes the forge show the task as it is now.
    pub(super) async fn publish(&self, claim: &Claim, task: &Task) -> Result<Vec<Event>, Trouble> {
        // What is being removed is not written to meanwhile; `CleanedUp` publishes once more.
        if let Stage::Ended { left: None, .. } = task.stage {
            return Ok(Vec::new());
        }
        self.pace(task)?;
        let (forge, voice) = self.world.forge(task);
        let place = Place::of(task);
        let in_line = self.in_line(task).await?;
        let body = report::status_in_line(task, self.clock.now(), &voice, in_line);
        let status = Status {
            word: task.word(),
            ended: task.is_final(),
            body: &body,
        };
        let note = RepositoryKey::status_of(task);
        let known = match &note {
            Some((repository, key)) => self.store.note(repository, key).await?,
            None => None,
        };
        // Acts on the issue may mean this text from now on.
        let unseen = match task.text_to_see() {
            Some(text)
                if report::shows_brief(task)
                    && self.store.shown_since(task.id, &text).await?.is_none() =>
            {
                Some(text)
            }
            _ => None,
        };
        let (mut showing, mut since) = (None, None);
        let shown = async {
            if known.is_some() || !is_silent(task) {
                let id = forge
                    .ensure_status(place, known.map(CommentId), &status)
                    .await?;
                showing = Some(id.0);
                if unseen.is_some() {
                    since = forge.written_at(id).await?.or(Some(self.clock.now()));
                }
            }
            forge
                .ensure_label(place, report::label(task).as_deref())
                .await?;
            // A label that stays would look like a request that nobody answers.
            if matches!(task.stage, Stage::Proposed | Stage::Ended { .. }) {
                let label = &task.settings.trigger.label;
                forge.drop_trigger(place, label).await?;
            }
            // One that was closed this moment takes no new text.
            if let Stage::InReview { closing: None, .. } = task.stage {
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
                if self.is_shown(task, &check) {
                    continue;
                }
                match forge.set_check(place, &check).await {
                    Ok(()) => self.has_shown(task, check),
                    // The forge cannot know what was never pushed.
                    Err(forge::Error::Gone { .. }) if !is_published(task, &check) => {}
                    Err(error) => return Err(error),
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
        if let (Some(text), Some(since)) = (&unseen, since) {
            self.store.keep_shown(task.id, text, since).await?;
        }
        match shown {
            Ok(()) => {
                self.showed(task);
                Ok(Vec::new())
            }
            Err(error) => {
                self.showed_in_part(task);
                match Trouble::of(&error, claim).or_else(|| Trouble::doubt(&error, claim)) {
                    Some(trouble) => Err(trouble),
                    // What cannot be shown is logged; the task itself is what the store says.
                    None => {
                        tracing::warn!(task = %claim.task, %error, "the report could not be published");
                        Ok(Vec::new())
                    }
                }
            }
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

    /// When this process showed a task last.
    pub(super) fn shown_at(&self, task: &Task) -> Option<Time> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.get(&task.id)?.at.map(|(_, at)| at)
    }

    fn showed(&self, task: &Task) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if task.is_final() {
            shown.remove(&task.id);
        } else {
            shown.entry(task.id).or_default().at = Some((task.word(), self.clock.now()));
        }
    }

    /// Whatever comes next is shown at once.
    fn showed_in_part(&self, task: &Task) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = shown.get_mut(&task.id) {
            shown.at = None;
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
        let template = self.world.template(task).await.unwrap_or_default();
        let body = report::pull_body_after(&template, task, voice);
        let title = report::pull_title(task);
        let pull = PullRequest {
            branch: &task.branch,
            base: task.base_branch.as_deref(),
            title: &title,
            body: &body,
            draft: task.settings.pull.is_draft(task.approved_by().is_some())
                || task
                    .revision
                    .as_ref()
                    .is_some_and(|newest| verdict(&newest.result).is_some()),
        };
        forge.ensure_pull(Place::of(task), &pull).await
    }

    pub(super) async fn open_pull(
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
        // Kept before the push that it is about: it is not asked again.
        if let (Some(digest), Some(key)) = (&result.result.exposure, RepositoryKey::pushed(task))
            && result.granted.contains(&Cause::Ci)
        {
            let by = task.approvals.last().map_or("", |approval| &approval.by);
            self.store.allow_exposure(&key, digest, by).await?;
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
            Ok(pull) => {
                // Later a person may have taken them off.
                let labels = &task.settings.pull.labels;
                let place = Place {
                    pull: Some(pull.number),
                    ..Place::of(task)
                };
                if task.pull.is_none() && !labels.is_empty() {
                    let put = forge.label_pull(place, labels).await;
                    self.or_later("no label was put", claim, task, put)?;
                }
                self.request_reviews(claim, task, forge.as_ref(), place)
                    .await?;
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

    /// Asks for reviews, once for each revision. Whom the forge cannot ask is left out: what is published is there
    /// all the same.
    async fn request_reviews(
        &self,
        claim: &Claim,
        task: &Task,
        forge: &dyn Forge,
        place: Place,
    ) -> Result<(), Trouble> {
        for login in self.world.reviewers(task).await? {
            let asked = forge.request_review(place, &login).await;
            self.or_later("no review was requested", claim, task, asked)?;
        }
        Ok(())
    }

    /// What a result can do without is tried again where that may help, and else left: it is published all the same.
    fn or_later(
        &self,
        what: &str,
        claim: &Claim,
        task: &Task,
        done: Result<(), forge::Error>,
    ) -> Result<(), Trouble> {
        let error = match done {
            Ok(()) => return Ok(()),
            // The author, or somebody without a right to read: no wait changes that.
            Err(error @ forge::Error::Invalid { .. }) => {
                tracing::info!(task = %task.id, %error, "{what}");
                return Ok(());
            }
            Err(error) => error,
        };
        match Trouble::of(&error, claim).or_else(|| Trouble::doubt(&error, claim)) {
            Some(trouble) => Err(trouble),
            None => {
                tracing::warn!(task = %task.id, %error, "{what}");
                Ok(())
            }
        }
    }

    pub(super) async fn tell(
        &self,
        claim: &Claim,
        task: &Task,
        entry: u32,
    ) -> Result<Vec<Event>, Trouble> {
        let (forge, voice) = self.world.forge(task);
        // The turn may have passed meanwhile: then nobody is called.
        let Some(body) = report::notice(task, &voice).filter(|_| task.asked == entry) else {
            return Ok(Vec::new());
        };
        match forge
            .ensure_comment(Place::of(task), &format!("entry-{entry}"), &body)
            .await
        {
            Ok(_) => Ok(Vec::new()),
            Err(error) => {
                match Trouble::of(&error, claim).or_else(|| Trouble::doubt(&error, claim)) {
                    Some(trouble) => Err(trouble),
                    None => {
                        tracing::warn!(task = %claim.task, %error, "nobody could be told");
                        Ok(Vec::new())
                    }
                }
            }
        }
    }
}

/// Whether the commit of a check is the head of the pull request.
fn is_published(task: &Task, check: &CheckReport) -> bool {
    let pull = task.pull.as_ref();
    pull.is_some_and(|pull| pull.head == check.sha)
}

/// What was shown of a task last.
#[derive(Default)]
pub(super) struct LastShown {
    at: Option<(&'static str, Time)>,
    checks: Vec<CheckReport>,
}

/// Whether the repository wants to be told only what waits for a person, and nothing does. A comment that is there
/// already is edited all the same: it would tell what is not true any more.
fn is_silent(task: &Task) -> bool {
    task.issue.repository_id.is_some()
        && task.settings.messages.progress == Progress::Off
        && (matches!(task.word(), "queued" | "running") || task.is_final())
}
