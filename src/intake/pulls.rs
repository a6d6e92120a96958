//! What happens on pull requests: ours are judged, merged, closed and pushed to; on all of them people type.

use super::order::{Act, in_order};
use super::start::decided;
use super::{Intake, Scene, Trouble, login, shown};
use crate::domain::act::stage_of;
use crate::domain::command::{Command, Heard, Place};
use crate::domain::event::{Event, Target};
use crate::domain::policy::permit;
use crate::domain::report::Reply;
use crate::domain::settings::FixOn;
use crate::domain::task::{Stage, Task};
use crate::forge::{Did, Entry, Review, ReviewVerdict};
use crate::store::{ActKind, Outcome};
use crate::sweep;

impl Intake {
    /// One pull request.
    pub(super) async fn pull(&self, scene: &Scene<'_>) -> Result<(), Trouble> {
        let number = scene.thread.number;
        let (mut entries, mut reviews) = (Vec::new(), Vec::new());
        let task = self.live_of_pull(scene).await?;
        // What somebody pushed is there, whatever is said about it. But one that is known as closed is first opened
        // again by whoever did that, and one that is closed now was so at its time.
        let comes_first = scene.thread.open && !task.as_ref().is_some_and(is_closing);
        if task.is_some() {
            entries = scene.conversation.timeline(number).await?;
            reviews = scene.conversation.reviews(number).await?;
            if comes_first {
                self.became(scene).await?;
            }
        }
        let comments = self.comments(scene).await?;
        let ends = |entry: &&Entry| matches!(entry.what, Did::Closed | Did::Merged);
        let end = entries.iter().rev().find(ends).map(|entry| entry.id);
        let end = end.filter(|_| !scene.thread.open);
        for act in in_order(entries, comments, reviews, self.is_numbered()) {
            match act {
                Act::Entry(entry) if entry.what == Did::Reopened => {
                    self.reopened(scene, &entry).await?;
                }
                Act::Entry(entry) if Some(entry.id) == end => self.became(scene).await?,
                Act::Entry(_) => {}
                Act::Comment(comment) => self.comment(scene, &comment).await?,
                Act::Review(review) => self.reviewed(scene, &review).await?,
            }
        }
        if !comes_first && end.is_none() {
            self.became(scene).await?;
        }
        self.judge_unasked(scene).await
    }

    /// The task of this pull request that is not final.
    async fn live_of_pull(&self, scene: &Scene<'_>) -> Result<Option<Task>, Trouble> {
        let task = self.task_of_pull(scene).await?;
        Ok(task.filter(|task| !task.is_final()))
    }

    /// The task whose pull request this is.
    pub(super) async fn task_of_pull(&self, scene: &Scene<'_>) -> Result<Option<Task>, Trouble> {
        let (key, number) = (&scene.served.key, scene.thread.number);
        let found = self.store.task_of_pull(key, number).await?;
        Ok(found.map(|record| record.task))
    }

    /// A person opened it again.
    async fn reopened(&self, scene: &Scene<'_>, entry: &Entry) -> Result<(), Trouble> {
        if scene.is_old(entry.at) {
            return Ok(());
        }
        let Some(task) = self.live_of_pull(scene).await? else {
            return Ok(());
        };
        let key = scene.act(ActKind::Entry, entry.id);
        let by = login(entry.by.as_ref());
        if !self.store.take_up(&key, scene.thread.number, by).await? {
            return Ok(());
        }
        let by = by.to_owned();
        let event = Event::Reopened { by };
        let happened = self.happened(task.id, event, scene.dedup_key(&key)).await?;
        let outcome = happened.unwrap_or_else(|| "reopened".to_owned());
        Ok(self.store.settle(&key, &outcome).await?)
    }

    /// Merged, closed, pushed to by somebody, or its branch gone.
    async fn became(&self, scene: &Scene<'_>) -> Result<(), Trouble> {
        let Some(task) = self.live_of_pull(scene).await? else {
            return Ok(());
        };
        let forge = self.desk.forge(&task);
        let programs = &task.settings.trigger.ignore_users;
        let event = sweep::look(&task, forge.as_ref(), "somebody", programs).await?;
        if let Some(event) = event {
            let _ = self.happened(task.id, event, None).await?;
        }
        Ok(())
    }

    /// One review, of the task as it is by then.
    async fn reviewed(&self, scene: &Scene<'_>, review: &Review) -> Result<(), Trouble> {
        let ours = self.is_us(review.author.as_ref());
        if ours || scene.is_old(review.at) {
            return Ok(());
        }
        let key = scene.act(ActKind::Review, review.id);
        let before = self.decided_before(scene, &key).await?;
        let Some(task) = self.task_of_pull(scene).await? else {
            return Ok(());
        };
        // What ended it may have been this review's own effect.
        if before.is_none() && task.is_final() {
            return Ok(());
        }
        let by = login(review.author.as_ref());
        if !self.store.take_up(&key, scene.thread.number, by).await? {
            return Ok(());
        }
        let outcome = match before {
            None => self.review(scene, &task, review, &key).await?,
            Some(Outcome::Ignored { reason }) => {
                self.tell(scene, review.id, &reason).await?;
                reason
            }
            Some(Outcome::Done { .. } | Outcome::Waiting) => {
                if self.types(&task, review) {
                    let elsewhere = Reply::InReview.text(&[], &scene.voice());
                    self.tell(scene, review.id, &elsewhere).await?;
                }
                decided(before)
            }
        };
        Ok(self.store.settle(&key, &outcome).await?)
    }

    /// Whether somebody typed a command into a review, where none runs.
    fn types(&self, task: &Task, review: &Review) -> bool {
        let prefix = &task.settings.trigger.prefix;
        let says = [review.body.as_str()].into_iter();
        let remarks = review.remarks.iter().map(|remark| remark.body.as_str());
        says.chain(remarks)
            .any(|text| self.heard(prefix, text).heard != Heard::Nothing)
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
        let elsewhere = Reply::InReview.text(&[], &scene.voice());
        let types = self.types(task, review);
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

fn is_closing(task: &Task) -> bool {
    matches!(
        task.stage,
        Stage::InReview {
            closing: Some(_),
            ..
        }
    )
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
