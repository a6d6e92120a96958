//! What people type: commands in comments, each answered by a reaction and, where words help, by one comment.

use super::start::Began;
use super::{Intake, Scene, Trouble, login, stage};
use crate::domain::act::{self, Path};
use crate::domain::command::{self, Command, Heard, Mistake, Place, Surface, Verb};
use crate::domain::policy::{self, Actor, Refusal, Right, Telling, permit};
use crate::domain::task::Task;
use crate::forge::{Comment, Error, Reaction};
use crate::store::{ActKey, ActKind};

/// How far behind the repository's cursor comments are read: clocks differ, and a look may have been cut short.
const OVERLAP_SECS: u64 = 24 * 60 * 60;

/// How often a reader without rights is answered.
const READER_SECS: u64 = 10 * 60;

/// What a comment comes to.
pub(super) struct Answer {
    reaction: Option<Reaction>,
    reply: Option<String>,
    /// For records.
    outcome: String,
}

impl Answer {
    pub(super) fn new(
        reaction: Reaction,
        reply: Option<String>,
        outcome: impl Into<String>,
    ) -> Self {
        Self {
            reaction: Some(reaction),
            reply,
            outcome: outcome.into(),
        }
    }

    fn silent(outcome: impl Into<String>) -> Self {
        Self {
            reaction: None,
            reply: None,
            outcome: outcome.into(),
        }
    }
}

/// Outcome of a reader's question that was answered.
const ANSWERED: &str = "answered";

impl Intake {
    /// Takes up the commands of a thread that were not consumed.
    pub(super) async fn comments(&self, scene: &Scene<'_>) -> Result<(), Trouble> {
        let read = scene.served.read;
        let since = read
            .looked_until
            .minus_secs(OVERLAP_SECS)
            .max(read.first_seen);
        let number = scene.thread.number;
        let comments = scene.conversation.comments(number, Some(since)).await?;
        for comment in &comments {
            self.comment(scene, comment).await?;
        }
        Ok(())
    }

    async fn comment(&self, scene: &Scene<'_>, comment: &Comment) -> Result<(), Trouble> {
        if self.is_us(comment.author.as_ref()) || scene.is_old(comment.created_at) {
            return Ok(());
        }
        let prefix = scene.settings().trigger.prefix;
        let name = format!("@{}", self.us.login);
        let parsed = command::parse(&comment.body, &[&prefix, &name]);
        if parsed.heard == Heard::Nothing {
            return Ok(());
        }
        let key = scene.act(ActKind::Comment, comment.id.0);
        let (number, by) = (scene.thread.number, login(comment.author.as_ref()));
        if !self.store.take_up(&key, number, by).await? {
            return Ok(());
        }
        let answer = self.hear(scene, comment, &key, parsed, &prefix).await?;
        // A comment that was removed meanwhile needs no answer.
        let told = async {
            if let Some(text) = &answer.reply {
                let note = format!("comment-{}", comment.id.0);
                let told = scene.conversation.ensure_note(number, &note, None, text);
                told.await?;
            }
            if let Some(reaction) = answer.reaction {
                scene.conversation.react(comment.id, Some(reaction)).await?;
            }
            Ok::<_, Error>(())
        };
        match told.await {
            Ok(())
            | Err(Error::Gone { .. } | Error::NotPermitted { .. } | Error::Invalid { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.store.settle(&key, &answer.outcome).await?)
    }

    async fn hear(
        &self,
        scene: &Scene<'_>,
        comment: &Comment,
        key: &ActKey,
        parsed: command::Parsed,
        prefix: &str,
    ) -> Result<Answer, Trouble> {
        let Some(author) = &comment.author else {
            return Ok(Answer::silent("its account is gone"));
        };
        let task = self.task_here(scene).await?;
        let place = match scene.thread.is_pull {
            true => Place::Pull,
            false => Place::Issue,
        };
        let rules = scene.rules(task.as_ref());
        let actor = self.actor(scene, author).await?;
        let is_bot = matches!(
            permit(
                &actor,
                &Command::Status,
                place,
                stage(task.as_ref()),
                &rules
            ),
            Err(Refusal::Bot)
        );
        if is_bot {
            return Ok(Answer::silent("a program's words"));
        }
        let helped = actor.right >= Some(Right::Triage);
        if let Some(why) = self.is_doubtful(scene, comment) {
            let reply = helped.then(|| why.to_owned());
            return Ok(Answer::new(Reaction::Confused, reply, why));
        }
        let usable = policy::usable(&actor, place, stage(task.as_ref()), &rules);
        let command = match parsed.heard {
            Heard::Command(command) => command,
            Heard::Mistake(mistake) => return Ok(mistaken(&mistake, prefix, &usable, helped)),
            Heard::Nothing => return Ok(Answer::silent("nothing")),
        };
        let ignored = ignored_lines(&parsed.ignored);
        if let Err(why) = permit(&actor, &command, place, stage(task.as_ref()), &rules) {
            return self.refuse(scene, &actor, key, &why).await;
        }
        scene
            .conversation
            .react(comment.id, Some(Reaction::Seen))
            .await?;
        let mut answer = self
            .obey(scene, comment, &command, &actor, task, key, &usable, prefix)
            .await?;
        if let Some(ignored) = ignored {
            let reply = answer.reply.take();
            answer.reply =
                Some(reply.map_or(ignored.clone(), |text| format!("{text}\n\n{ignored}")));
        }
        Ok(answer)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one comment's circumstances, each used once"
    )]
    async fn obey(
        &self,
        scene: &Scene<'_>,
        comment: &Comment,
        command: &Command,
        actor: &Actor,
        task: Option<Task>,
        key: &ActKey,
        usable: &[Verb],
        prefix: &str,
    ) -> Result<Answer, Trouble> {
        let surface = Surface::Forge {
            prefix: prefix.to_owned(),
        };
        match command {
            Command::Help { about } => {
                let text = command::help(&surface, usable, *about);
                self.inform(actor, key, text).await
            }
            Command::Status => {
                let text = match &task {
                    Some(task) => format!(
                        "{} is {}; its status comment says more.",
                        task.id,
                        task.word()
                    ),
                    None => "There is no task here.".to_owned(),
                };
                self.inform(actor, key, text).await
            }
            Command::Run => {
                let Some(author) = &comment.author else {
                    return Ok(Answer::silent("its account is gone"));
                };
                let began = self.ask(scene, Path::Command, key, author, comment.created_at);
                Ok(match began.await? {
                    Began::Settled(outcome)
                        if matches!(
                            outcome.as_str(),
                            "started" | "accepted" | super::start::PROPOSED
                        ) =>
                    {
                        Answer::new(Reaction::Done, None, outcome)
                    }
                    Began::Settled(outcome) => {
                        let text = format!("Nothing was started: {outcome}.");
                        Answer::new(Reaction::Confused, Some(text), outcome)
                    }
                    Began::Refused(why) => return self.refuse(scene, actor, key, &why).await,
                    Began::Told(text) => Answer::new(Reaction::Confused, Some(text.clone()), text),
                })
            }
            Command::Verify => self.referee(scene, actor, prefix).await,
            other => {
                let Some(task) = task.filter(|task| !task.is_final()) else {
                    let text = format!(
                        "There is no task at work here; `{prefix} run` on the issue starts one."
                    );
                    return Ok(Answer::new(Reaction::Confused, Some(text), "no task"));
                };
                let event = match act::event(other, &actor.login) {
                    Ok(Some(event)) => event,
                    Ok(None) => return Ok(Answer::silent("not a verb of tasks")),
                    Err(target) => {
                        let text =
                            format!("Nothing asks for `{target}` here. Nothing was changed.");
                        return Ok(Answer::new(Reaction::Confused, Some(text), "not asked"));
                    }
                };
                let key = scene.dedup_key(key);
                Ok(match self.happened(task.id, event, key).await? {
                    None => Answer::new(Reaction::Done, None, "done"),
                    Some(why) => Answer::new(Reaction::Confused, Some(why.clone()), why),
                })
            }
        }
    }

    /// An answer that changes nothing; readers without rights get one in a while.
    async fn inform(&self, actor: &Actor, key: &ActKey, text: String) -> Result<Answer, Trouble> {
        if actor.right < Some(Right::Triage) {
            let since = self.clock.now().minus_secs(READER_SECS);
            let repository = &key.repository;
            let store = &self.store;
            let answered = store.settled_since(repository, &actor.login, ANSWERED, since);
            if answered.await? > 0 {
                return Ok(Answer::new(
                    Reaction::Confused,
                    None,
                    "answered a moment ago",
                ));
            }
        }
        Ok(Answer::new(Reaction::Done, Some(text), ANSWERED))
    }

    /// A refusal is told as it says: strangers get a reaction at most, others one line in a thread.
    async fn refuse(
        &self,
        scene: &Scene<'_>,
        actor: &Actor,
        key: &ActKey,
        why: &Refusal,
    ) -> Result<Answer, Trouble> {
        let outcome = format!("refused: {why}");
        Ok(match why.telling() {
            Telling::Silence => Answer::silent(outcome),
            Telling::Reaction => Answer::new(Reaction::Refused, None, outcome),
            Telling::Reply => {
                let number = scene.thread.number;
                let note = format!("refused-{}-{}", number, actor.login.to_lowercase());
                let repository = &key.repository;
                let told = self.store.note(repository, &note).await?;
                let told_here = told.is_some_and(|act| act != key.act);
                if !told_here {
                    self.store.keep_note(repository, &note, key.act).await?;
                }
                Answer::new(
                    Reaction::Refused,
                    (!told_here).then(|| why.to_string()),
                    outcome,
                )
            }
        })
    }

    /// Why a comment does not run: only what was typed as it is does.
    fn is_doubtful(&self, scene: &Scene<'_>, comment: &Comment) -> Option<&'static str> {
        let mut signed = scene
            .hints
            .iter()
            .filter_map(|(hint, _)| hint.comment.as_ref());
        let differs = signed.any(|(id, text)| *id == comment.id && *text != comment.body);
        match comment.edited {
            _ if differs => Some(EDITED),
            Some(true) => Some(EDITED),
            None => Some(
                "Nothing was done: the forge does not prove that this comment was never edited.",
            ),
            Some(false) => None,
        }
    }

    /// The task of this issue or pull request: the newest, also a final one.
    pub(super) async fn task_here(&self, scene: &Scene<'_>) -> Result<Option<Task>, Trouble> {
        if scene.thread.is_pull {
            return self.task_of_pull(scene).await;
        }
        let number = scene.thread.number;
        let newest = self.store.tasks_of(&scene.served.key, number).await?;
        Ok(newest.into_iter().next().map(|record| record.task))
    }
}

const EDITED: &str =
    "Nothing was done: only a new comment runs, not one that was edited. Please type it again.";

fn mistaken(mistake: &Mistake, prefix: &str, usable: &[Verb], helped: bool) -> Answer {
    let text = mistake.reply(prefix, usable);
    let reply = helped.then(|| text.clone());
    Answer::new(Reaction::Confused, reply, text)
}

fn ignored_lines(lines: &[String]) -> Option<String> {
    if lines.is_empty() {
        return None;
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|line| crate::domain::text::code(line))
        .collect();
    Some(format!(
        "One command per comment: ignored {}.",
        lines.join(", ")
    ))
}
