//! What happens on pull requests: ours are judged, merged, closed and pushed to; on all of them people type.

use super::{Intake, Scene, Trouble, login, shown};
use crate::domain::act::stage_of;
use crate::domain::command::{self, Command, Heard, Place};
use crate::domain::event::{Event, Target};
use crate::domain::policy::permit;
use crate::domain::report::Reply;
use crate::domain::settings::FixOn;
use crate::domain::task::Task;
use crate::forge::{Did, Review, ReviewVerdict};
use crate::store::ActKind;
use crate::sweep;

impl Intake {
    /// One pull request.
    pub(super) async fn pull(&self, scene: &Scene<'_>) -> Result<(), Trouble> {
        if let Some(task) = self.task_of_pull(scene).await?
            && !task.is_final()
        {
            self.reopened(scene, &task).await?;
            self.became(&task).await?;
            self.reviews(scene, &task).await?;
        }
        self.comments(scene).await?;
        self.judge_unasked(scene).await
    }

    /// The task whose pull request this is.
    pub(super) async fn task_of_pull(&self, scene: &Scene<'_>) -> Result<Option<Task>, Trouble> {
        let (key, number) = (&scene.served.key, scene.thread.number);
        let found = self.store.task_of_pull(key, number).await?;
        Ok(found.map(|record| record.task))
    }

    /// A person opened it again.
    async fn reopened(&self, scene: &Scene<'_>, task: &Task) -> Result<(), Trouble> {
        let number = scene.thread.number;
        for entry in scene.conversation.timeline(number).await? {
            if entry.what != Did::Reopened || scene.is_old(entry.at) {
                continue;
            }
            let key = scene.act(ActKind::Entry, entry.id);
            let by = login(entry.by.as_ref());
            if !self.store.take_up(&key, number, by).await? {
                continue;
            }
            let by = by.to_owned();
            let event = Event::Reopened { by };
            let happened = self.happened(task.id, event, scene.dedup_key(&key)).await?;
            let outcome = happened.unwrap_or_else(|| "reopened".to_owned());
            self.store.settle(&key, &outcome).await?;
        }
        Ok(())
    }

    /// Merged, closed, pushed to by somebody, or its branch gone.
    async fn became(&self, task: &Task) -> Result<(), Trouble> {
        let forge = self.desk.forge(task);
        let programs = &task.settings.trigger.ignore_users;
        let event = sweep::look(task, forge.as_ref(), "somebody", programs).await?;
        if let Some(event) = event {
            let _ = self.happened(task.id, event, None).await?;
        }
        Ok(())
    }

    async fn reviews(&self, scene: &Scene<'_>, task: &Task) -> Result<(), Trouble> {
        let number = scene.thread.number;
        for review in scene.conversation.reviews(number).await? {
            let ours = self.is_us(review.author.as_ref());
            if ours || scene.is_old(review.at) {
                continue;
            }
            let key = scene.act(ActKind::Review, review.id);
            let by = login(review.author.as_ref());
            if !self.store.take_up(&key, number, by).await? {
                continue;
            }
            let outcome = self.review(scene, task, &review, &key).await?;
            self.store.settle(&key, &outcome).await?;
        }
        Ok(())
    }

    async fn review(
        &self,
        scene: &Scene<'_>,
        task: &Task,
        review: &Review,
        key: &crate::store::ActKey,
    ) -> Result<String, Trouble> {
        let Some(author) = &review.author else {
            return Ok("its account is gone".to_owned());
        };
        let actor = self.actor(scene, author).await?;
        let rules = self.rules_now(scene, Some(task)).await?;
        let prefix = &task.settings.trigger.prefix;
        let elsewhere = Reply::InReview.text(&[], &scene.voice());
        let says = [review.body.as_str()].into_iter();
        let remarks = review.remarks.iter().map(|remark| remark.body.as_str());
        let types = says
            .chain(remarks)
            .any(|text| command::parse(text, &[prefix]).heard != Heard::Nothing);
        let (command, event) = match review.verdict {
            ReviewVerdict::RequestsChanges if task.settings.review.fix_on == FixOn::Command => {
                return Ok("reviews start no round here (`[review] fix_on`)".to_owned());
            }
            ReviewVerdict::RequestsChanges => {
                let text = asked_for(review);
                let fix = Command::Fix { text: text.clone() };
                let by = author.login.clone();
                (fix, Event::FixAsked { by, text })
            }
            ReviewVerdict::Approves => {
                let Some(revision) = task
                    .revision
                    .as_ref()
                    .filter(|revision| review.commit.as_ref() == Some(&revision.result.head))
                else {
                    return Ok("approves another commit".to_owned());
                };
                let by = author.login.clone();
                let target = Some(Target::Revision {
                    number: revision.number,
                });
                (
                    Command::Approve { target: None },
                    Event::Approved {
                        by,
                        target,
                        address: None,
                    },
                )
            }
            ReviewVerdict::Comments if types => {
                if permit(
                    &actor,
                    &Command::Stop,
                    Place::Pull,
                    stage_of(Some(task)),
                    &rules,
                )
                .is_ok()
                {
                    self.tell(scene, review.id, &elsewhere).await?;
                }
                return Ok("a command in a review".to_owned());
            }
            ReviewVerdict::Comments => return Ok("a comment".to_owned()),
        };
        if let Err(why) = permit(&actor, &command, Place::Pull, stage_of(Some(task)), &rules) {
            return Ok(format!("refused: {why}"));
        }
        if types {
            self.tell(scene, review.id, &elsewhere).await?;
        }
        let happened = self.happened(task.id, event, scene.dedup_key(key)).await?;
        Ok(match happened {
            None => "done".to_owned(),
            Some(why) => {
                self.tell(scene, review.id, &why).await?;
                why
            }
        })
    }

    async fn tell(&self, scene: &Scene<'_>, review: i64, text: &str) -> Result<(), Trouble> {
        let note = format!("review-{review}");
        let number = scene.thread.number;
        let told = scene.conversation.ensure_note(number, &note, None, text);
        Ok(shown(told.await)?)
    }
}

/// What a review asks for: its text, then its remarks with their places.
fn asked_for(review: &Review) -> String {
    let mut text = review.body.trim().to_owned();
    for remark in &review.remarks {
        let line = remark
            .line
            .map_or(String::new(), |line| format!(" line {line}"));
        text.push_str(&format!(
            "\n\n`{}`{line}:\n{}",
            remark.path,
            remark.body.trim()
        ));
    }
    match text.trim() {
        "" => "Changes were requested without words; look at the checks and the brief again."
            .to_owned(),
        text => text.to_owned(),
    }
}
