//! Asking the referee about a pull request, and the one comment in which it answers.

use super::comments::Answer;
use super::heads::{Then, head_then};
use super::{Intake, Scene, Trouble, shown};
use crate::domain::act::stage_of;
use crate::domain::command::{Command, Place};
use crate::domain::ident::{CommitId, Time};
use crate::domain::policy::{Actor, ActorKind, permit};
use crate::domain::report::{self, Asked, Refereeing};
use crate::domain::settings::{ChecksFrom, RefereeOn};
use crate::forge::{self, CommentId, Conversation, Did, Reaction, Stands};
use crate::store::{Question, Store};

impl Intake {
    /// Somebody who may asks the referee, by this comment, about a pull request as it was then.
    pub(super) async fn referee(
        &self,
        scene: &Scene<'_>,
        actor: &Actor,
        comment: (CommentId, Time),
    ) -> Result<Answer, Trouble> {
        let prefix = scene.settings.trigger.prefix.as_str();
        let asked = || Answer::new(Reaction::Done, None, "asked the referee");
        let (key, number) = (&scene.served.key, scene.thread.number);
        // An earlier look came so far. Asked again, what is told by now would be taken back and judged once more.
        if self.store.was_asked(key, number, comment.0.0).await? {
            return Ok(asked());
        }
        let pull = scene.conversation.pull(scene.thread.number).await?;
        if pull.stands != Stands::Open {
            let text = "This pull request is not open, so there is nothing to judge.".to_owned();
            return Ok(Answer::new(Reaction::Confused, Some(text), "not open"));
        }
        // Read after the head: a push in between is told, and then it was later than the comment.
        let entries = scene.conversation.timeline(pull.number).await?;
        let numbered = self.service.capabilities().pushes;
        let head = match head_then(&entries, comment, numbered) {
            Then::AsNow => pull.head.clone(),
            Then::At(head) => head,
            Then::Lost => {
                let text = format!(
                    "Something was pushed after you asked, and the commit that you asked about is gone: nothing was \
                     judged. `{prefix} verify` asks about the newest one."
                );
                return Ok(Answer::new(Reaction::Confused, Some(text), "pushed over"));
            }
        };
        let question = Question {
            repository: scene.served.key.clone(),
            pull: pull.number,
            head,
            base_branch: pull.base_branch,
            asker: Some(actor.login.clone()),
            asked_at: self.clock.now(),
        };
        // Shown first: whoever works on questions edits the comment that is there then.
        let before = self.store.waiting_verdicts().await?;
        let how = Refereeing::Queued { before };
        let verdict = Verdict {
            question: &question,
            newest: Some(&pull.head),
            prefix,
            rules: None,
        };
        let told = show_verdict(
            self.store.as_ref(),
            verdict,
            scene.conversation.as_ref(),
            how,
        );
        shown(told.await)?;
        let by = Some(comment.0.0);
        self.store.ask_verdict(question, by).await?;
        Ok(asked())
    }

    /// Has a pull request judged that nobody asked about, where the repository wants that of such ones.
    pub(super) async fn judge_unasked(&self, scene: &Scene<'_>) -> Result<(), Trouble> {
        let trigger = &scene.settings.trigger;
        // Where tasks would start from is none of its business.
        if !scene.thread.open
            || trigger.verify == RefereeOn::Asked
            || !scene.is_read
            || scene.settings.checks_from == ChecksFrom::Nowhere
            // Ours are judged as tasks.
            || self.is_us(scene.thread.author.as_ref())
            || !self.wants_verdict(scene).await?
        {
            return Ok(());
        }
        let pull = scene.conversation.pull(scene.thread.number).await?;
        if pull.stands != Stands::Open {
            return Ok(());
        }
        let question = Question {
            repository: scene.served.key.clone(),
            pull: pull.number,
            head: pull.head,
            base_branch: pull.base_branch,
            asker: None,
            asked_at: self.clock.now(),
        };
        let per_hour = trigger.verify_per_hour;
        let judged = self.store.judge_unasked(question.clone(), per_hour).await?;
        // One that may begin at once tells of itself.
        if let Some(at) = judged.filter(|at| *at > question.asked_at) {
            let how = Refereeing::Later { at, per_hour };
            let asked = Verdict {
                question: &question,
                newest: None,
                prefix: &trigger.prefix,
                rules: None,
            };
            let told = show_verdict(self.store.as_ref(), asked, scene.conversation.as_ref(), how);
            shown(told.await)?;
        }
        Ok(())
    }

    /// Each way of asking includes the narrower ones.
    async fn wants_verdict(&self, scene: &Scene<'_>) -> Result<bool, Trouble> {
        let trigger = &scene.settings.trigger;
        let is_program = scene.thread.author.as_ref().is_some_and(|author| {
            let named = |login: &String| login.eq_ignore_ascii_case(&author.login);
            author.kind == ActorKind::Bot || trigger.ignore_users.iter().any(named)
        });
        match trigger.verify {
            RefereeOn::All => return Ok(true),
            RefereeOn::Agents if is_program => return Ok(true),
            RefereeOn::Asked => return Ok(false),
            RefereeOn::Agents | RefereeOn::Label => {}
        }
        if !scene.thread.labels.contains(&trigger.label) {
            return Ok(false);
        }
        let entries = scene.conversation.timeline(scene.thread.number).await?;
        let mut put = entries
            .iter()
            .rev()
            .filter(|entry| entry.what == Did::Labelled(trigger.label.clone()));
        let Some((by, at)) = put
            .next()
            .and_then(|entry| Some((entry.by.as_ref()?, entry.at)))
        else {
            return Ok(false);
        };
        if self.is_us(Some(by)) || scene.is_old(at) {
            return Ok(false);
        }
        let actor = self.actor(scene, by).await?;
        let rules = scene.rules();
        Ok(permit(
            &actor,
            &Command::Verify,
            Place::Pull,
            stage_of(None),
            &rules,
        )
        .is_ok())
    }
}

/// What the one comment of the referee on a pull request is about.
#[derive(Clone, Copy)]
pub(crate) struct Verdict<'a> {
    pub(crate) question: &'a Question,
    /// Head of the pull request, where it was read.
    pub(crate) newest: Option<&'a CommitId>,
    /// What commands begin with.
    pub(crate) prefix: &'a str,
    /// The file of rules.
    pub(crate) rules: Option<&'a str>,
}

/// Makes that comment say this.
pub(crate) async fn show_verdict(
    store: &dyn Store,
    verdict: Verdict<'_>,
    conversation: &dyn Conversation,
    how: Refereeing<'_>,
) -> Result<(), forge::Error> {
    let question = verdict.question;
    let key = format!("verify-{}", question.pull);
    let asked = Asked {
        head: question.head.as_str(),
        newer: verdict.newest.map(CommitId::as_str),
        base_branch: &question.base_branch,
        asker: question.asker.as_deref(),
        prefix: verdict.prefix,
        rules: verdict.rules,
    };
    let body = report::verdict(&asked, how);
    let known = store.note(&question.repository, &key).await.ok().flatten();
    let known = known.map(CommentId);
    let id = conversation
        .ensure_note(question.pull, &key, known, &body)
        .await?;
    if known != Some(id)
        && let Err(why) = store.keep_note(&question.repository, &key, id.0).await
    {
        tracing::warn!(%why, "the id of a comment was not kept; it is found by its mark");
    }
    Ok(())
}
