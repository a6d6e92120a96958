//! Asking the referee about a pull request, and the one comment in which it answers.

use super::comments::Answer;
use super::{Intake, Scene, Trouble};
use crate::domain::policy::Actor;
use crate::domain::report::{self, Asked, Refereeing};
use crate::forge::{self, CommentId, Conversation, Reaction, Stands};
use crate::store::{Question, Store};

impl Intake {
    /// Somebody who may asks the referee about a pull request as it is now.
    pub(super) async fn referee(
        &self,
        scene: &Scene<'_>,
        actor: &Actor,
        prefix: &str,
    ) -> Result<Answer, Trouble> {
        let pull = scene.conversation.pull(scene.thread.number).await?;
        if pull.stands != Stands::Open {
            let text = "This pull request is not open, so there is nothing to judge.".to_owned();
            return Ok(Answer::new(Reaction::Confused, Some(text), "not open"));
        }
        let question = Question {
            repository: scene.served.key.clone(),
            pull: pull.number,
            head: pull.head,
            base_branch: pull.base_branch,
            asker: actor.login.clone(),
            asked_at: self.clock.now(),
        };
        // Shown first: whoever works on questions edits the comment that is there then.
        let before = self.store.waiting_verdicts().await?;
        let how = Refereeing::Queued { before };
        let asked = (&question, prefix, None);
        show_verdict(self.store.as_ref(), asked, scene.conversation.as_ref(), how).await?;
        self.store.ask_verdict(question).await?;
        Ok(Answer::new(Reaction::Done, None, "asked the referee"))
    }
}

/// Makes the one comment of the referee on a pull request say this. `asked`: the question, what commands begin with,
/// and the file of rules.
pub(crate) async fn show_verdict(
    store: &dyn Store,
    (question, prefix, rules): (&Question, &str, Option<&str>),
    conversation: &dyn Conversation,
    how: Refereeing<'_>,
) -> Result<(), forge::Error> {
    let key = format!("verify-{}", question.pull);
    let asked = Asked {
        head: question.head.as_str(),
        base_branch: &question.base_branch,
        asker: &question.asker,
        prefix,
        rules,
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
