//! What people type: commands in comments, each answered by a reaction and, where words help, by one comment.

use super::start::{BY_OURS, Began, STARTED, UNPROVEN};
use super::words::is_doubtful;
use super::{Intake, Scene, Trouble, login, shown};
use crate::domain::act::{self, Path};
use crate::domain::command::{self, Command, Heard, Place, Verb};
use crate::domain::decide::NotNow;
use crate::domain::event::Event;
use crate::domain::ident::Time;
use crate::domain::policy::{self, Actor, Refusal, Right, Telling, permit};
use crate::domain::report::{Reply, Voice};
use crate::domain::task::Task;
use crate::forge::{self, Account, Comment, CommentId, Reaction};
use crate::store::{ActKey, ActKind, Outcome, RepositoryKey};

/// How far behind the repository's cursor comments are read: clocks differ, and a look may have been cut short.
const OVERLAP_SECS: u64 = 24 * 60 * 60;

/// How often a reader without rights is answered.
const READER_SECS: u64 = 10 * 60;

/// Acts in an hour of one account without rights here to which we answer: all of them spend what the forge lets us
/// write.
const READER_ACTS_AN_HOUR: u64 = 5;

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

    /// Counts the same, and nothing of it is written.
    fn untold(self) -> Self {
        Self::silent(self.outcome)
    }

    fn silent(outcome: impl Into<String>) -> Self {
        Self {
            reaction: None,
            reply: None,
            outcome: outcome.into(),
        }
    }
}

/// A command that is permitted, and everything about who typed it.
struct Said<'a> {
    scene: &'a Scene<'a>,
    author: &'a Account,
    at: Time,
    actor: &'a Actor,
    key: &'a ActKey,
    usable: &'a [Verb],
    ignored: &'a [String],
    voice: &'a Voice,
}

impl Said<'_> {
    fn confused(&self, reply: Reply<'_>, outcome: &str) -> Answer {
        let text = reply.text(self.ignored, self.voice);
        Answer::new(Reaction::Confused, Some(text), outcome)
    }
}

/// How everything that we write begins.
pub(super) const MARK: &str = "<!-- prentice ";

/// What whoever shares our account has to know; nothing tells their acts from ours.
const OURS: &str = "Nothing was done: this was written by the account that I work with, and its acts never count. Give \
                    me an account of my own, and comment from yours.";

/// Most comments below the status of a task for it to be seen.
const STATUS_NEAR: usize = 30;

/// Outcome of a reader's question that was answered.
const ANSWERED: &str = "answered";

/// What a text says to the account `us`, where it is known: after the prefix, or after the name by which people call
/// it.
pub(super) fn heard(us: Option<&str>, prefix: &str, text: &str) -> command::Parsed {
    let Some(login) = us else {
        return command::parse(text, &[prefix]);
    };
    // Nobody types how the account of an app is written in lists.
    let slug = login.strip_suffix("[bot]").unwrap_or(login);
    let (name, slug) = (format!("@{login}"), format!("@{slug}"));
    command::parse(text, &[prefix, &name, &slug])
}

impl Intake {
    /// The comments of a thread that may not have been read.
    pub(super) async fn comments(&self, scene: &Scene<'_>) -> Result<Vec<Comment>, Trouble> {
        let read = scene.served.read;
        let since = read
            .looked_until
            .minus_secs(OVERLAP_SECS)
            .max(read.first_seen);
        let number = scene.thread.number;
        Ok(scene.conversation.comments(number, Some(since)).await?)
    }

    /// Takes up the command of a comment, where there is one that was not consumed.
    pub(super) async fn comment(
        &self,
        scene: &Scene<'_>,
        comment: &Comment,
    ) -> Result<(), Trouble> {
        let ours = self.is_us(comment.author.as_ref());
        // What we write is marked as ours.
        if scene.is_old(comment.created_at) || ours && comment.body.contains(MARK) {
            return Ok(());
        }
        let parsed = self.heard(&scene.settings.trigger.prefix, &comment.body);
        if parsed.heard == Heard::Nothing {
            return Ok(());
        }
        let key = scene.act(ActKind::Comment, comment.id.0);
        let (number, by) = (scene.thread.number, login(comment.author.as_ref()));
        if !self.store.take_up(&key, number, by).await? {
            return Ok(());
        }
        // Like the label, `run` says itself what becomes of a text that changed.
        let is_run = matches!(parsed.heard, Heard::Command(Command::Run));
        if !scene.thread.is_pull && !is_run {
            self.edited(scene).await?;
        }
        let answer = match ours {
            // Somebody works with our account.
            true => Answer::new(Reaction::Confused, Some(OURS.to_owned()), BY_OURS),
            false => self.hear(scene, comment, &key, parsed).await?,
        };
        if let Some(text) = answer.reply.as_ref().filter(|text| !text.is_empty()) {
            let note = format!("comment-{}", comment.id.0);
            let told = scene.conversation.ensure_note(number, &note, None, text);
            shown(told.await)?;
        }
        if let Some(reaction) = answer.reaction {
            shown(scene.conversation.react(comment.id, Some(reaction)).await)?;
        }
        Ok(self.store.settle(&key, &answer.outcome).await?)
    }

    /// What a text says to us: after the prefix, or after the name by which people call us.
    pub(super) fn heard(&self, prefix: &str, text: &str) -> command::Parsed {
        heard(Some(&self.us.login), prefix, text)
    }

    async fn hear(
        &self,
        scene: &Scene<'_>,
        comment: &Comment,
        key: &ActKey,
        parsed: command::Parsed,
    ) -> Result<Answer, Trouble> {
        let Some(author) = &comment.author else {
            return Ok(Answer::silent("its account is gone"));
        };
        let actor = self.actor(scene, author).await?;
        let is_worn_out = self.is_worn_out(key, &actor).await?;
        let answer = self.weigh(scene, (comment, author), key, &parsed, &actor);
        let answer = answer.await?;
        // What is permitted is done all the same.
        Ok(if is_worn_out { answer.untold() } else { answer })
    }

    /// Whether somebody without rights here was answered often enough.
    async fn is_worn_out(&self, key: &ActKey, actor: &Actor) -> Result<bool, Trouble> {
        if actor.right >= Some(Right::Triage) {
            return Ok(false);
        }
        let since = self.clock.now().minus_secs(3600);
        let acts = self
            .store
            .settled_since(&key.repository, &actor.login, "", since);
        Ok(acts.await? >= READER_ACTS_AN_HOUR)
    }

    async fn weigh(
        &self,
        scene: &Scene<'_>,
        (comment, author): (&Comment, &Account),
        key: &ActKey,
        parsed: &command::Parsed,
        actor: &Actor,
    ) -> Result<Answer, Trouble> {
        let task = self.task_here(scene).await?;
        if let Some(outcome) = self.decided_before(scene, key).await? {
            return Ok(owed(scene, parsed, task.as_ref(), outcome));
        }
        let stage = act::stage_of(task.as_ref());
        let place = match scene.thread.is_pull {
            true => Place::Pull,
            false => Place::Issue,
        };
        let rules = self.rules_now(scene, task.as_ref()).await?;
        if let Err(Refusal::Bot) = permit(actor, &Command::Status, place, stage, &rules) {
            return Ok(Answer::silent("a program's words"));
        }
        let mut usable = policy::usable(actor, place, stage, &rules);
        if self.desk.agent(&scene.settings).is_none() {
            usable.retain(|verb| *verb != Verb::Run);
        }
        let voice = scene.voice();
        let helped = actor.right >= Some(Right::Triage);
        let confused = |reply: Reply<'_>, outcome: &str| {
            let text = helped.then(|| reply.text(&parsed.ignored, &voice));
            Answer::new(Reaction::Confused, text, outcome)
        };
        match is_doubtful(scene, comment) {
            Some(why @ Reply::Edited) => return Ok(confused(why, "it was edited")),
            Some(why) => return Ok(confused(why, "not proven unedited")),
            None => {}
        }
        let command = match &parsed.heard {
            Heard::Command(command) => command,
            Heard::Mistake(mistake) => {
                let reply = Reply::Mistake {
                    mistake,
                    usable: &usable,
                };
                return Ok(confused(reply, "not understood"));
            }
            Heard::Nothing => return Ok(Answer::silent("nothing")),
        };
        if let Err(why) = permit(actor, command, place, stage, &rules) {
            return self.refuse(scene, actor, key, &why).await;
        }
        // Two writes more; who may make us work sees that it was begun.
        if helped {
            let seen = scene.conversation.react(comment.id, Some(Reaction::Seen));
            if let Err(why) = seen.await {
                // `stop` does not wait until the forge lets us write again.
                tracing::info!(%why, "that a command was seen could not be shown");
            }
        }
        let said = Said {
            scene,
            author,
            at: comment.created_at,
            actor,
            key,
            usable: &usable,
            ignored: &parsed.ignored,
            voice: &voice,
        };
        let answer = self.obey(&said, command, task).await?;
        Ok(Answer {
            // What was ignored is said also where nothing else is.
            reply: answer
                .reply
                .or_else(|| Some(Reply::Done.text(&parsed.ignored, &voice))),
            ..answer
        })
    }

    async fn obey(
        &self,
        said: &Said<'_>,
        command: &Command,
        task: Option<Task>,
    ) -> Result<Answer, Trouble> {
        let now = self.clock.now();
        match (command, task) {
            (Command::Help { about }, _) => {
                let (usable, about) = (said.usable, *about);
                self.inform(said, Reply::Help { usable, about }).await
            }
            (Command::Status, Some(task)) => {
                if self.is_shown_near(said.scene, &task).await? {
                    self.store.show_again(task.id).await?;
                    return Ok(Answer::new(Reaction::Done, None, "shown again"));
                }
                let reply = Reply::Status { task: &task, now };
                self.inform(said, reply).await
            }
            (Command::Status, None) => {
                let usable = said.usable;
                self.inform(said, Reply::NoTask { usable }).await
            }
            (Command::Run, task) => self.start(said, task).await,
            (Command::Verify, _) => {
                let asked = (CommentId(said.key.act), said.at);
                self.referee(said.scene, said.actor, asked).await
            }
            (_, None) => {
                let usable = said.usable;
                Ok(said.confused(Reply::NoTask { usable }, "no task"))
            }
            (other, Some(task)) => {
                if let Command::Approve { target } = other {
                    let target = target.as_ref();
                    let unseen = self.is_unseen(said.scene, &task, (said.actor, target), said.at);
                    if let Some((reply, outcome)) = unseen.await? {
                        return Ok(said.confused(reply, outcome));
                    }
                }
                let event = match act::event(other, &said.actor.login) {
                    Ok(Some(event)) => event,
                    Ok(None) => return Ok(Answer::silent("not a verb of tasks")),
                    Err(_) => {
                        let asked = NotNow::NothingToApprove;
                        let why = &asked;
                        let reply = Reply::NotNow { task: &task, why };
                        return Ok(said.confused(reply, "nothing asks for that"));
                    }
                };
                let event = self.with_author(said, &task, event).await?;
                let key = said.scene.dedup_key(said.key);
                Ok(match self.happened(task.id, event, key).await? {
                    None => Answer::new(Reaction::Done, None, "done"),
                    Some(why) => Answer::new(Reaction::Confused, Some(why.clone()), why),
                })
            }
        }
    }

    /// Whether the status comment of a task stands here, so near to the newest comment that people see it.
    async fn is_shown_near(&self, scene: &Scene<'_>, task: &Task) -> Result<bool, Trouble> {
        let number = scene.thread.number;
        let known = match RepositoryKey::status_of(task) {
            Some((repository, note)) if task.issue.number == number => {
                self.store.note(&repository, &note).await?
            }
            _ => None,
        };
        let Some(known) = known else {
            return Ok(false);
        };
        let comments = match scene.conversation.comments(number, None).await {
            // So many that it cannot be near.
            Err(forge::Error::Invalid { .. }) => return Ok(false),
            comments => comments?,
        };
        let below = comments.iter().rev().position(|one| one.id.0 == known);
        Ok(below.is_some_and(|below| below <= STATUS_NEAR))
    }

    /// The event, with what the forge tells of whoever caused it.
    async fn with_author(
        &self,
        said: &Said<'_>,
        task: &Task,
        event: Event,
    ) -> Result<Event, Trouble> {
        let address = self.desk.address(said.author);
        Ok(match event {
            Event::Approved { by, target, .. } => Event::Approved {
                by,
                target,
                address,
            },
            Event::Retried {
                by, fresh, budget, ..
            } => Event::Retried {
                by,
                fresh,
                budget,
                text: self.meant(said.scene, task, said.actor, said.at).await?,
                address,
            },
            other => other,
        })
    }

    /// `run`: the same as the label.
    async fn start(&self, said: &Said<'_>, task: Option<Task>) -> Result<Answer, Trouble> {
        let began = self.ask(said.scene, Path::Command, said.key, said.author, said.at);
        Ok(match began.await? {
            Began::Settled(outcome) => match outcome.as_str() {
                STARTED | UNPROVEN | "accepted" => Answer::new(Reaction::Done, None, outcome),
                _ => match task.filter(|task| !task.is_final()) {
                    Some(task) => said.confused(Reply::Live { task: &task }, &outcome),
                    None => {
                        let text = format!("Nothing was started: {outcome}.");
                        Answer::new(Reaction::Confused, Some(text), outcome)
                    }
                },
            },
            Began::Refused(why) => {
                return self.refuse(said.scene, said.actor, said.key, &why).await;
            }
            Began::Told(text) => Answer::new(Reaction::Confused, Some(text.clone()), text),
        })
    }

    /// An answer that changes nothing; readers without rights get one in a while.
    async fn inform(&self, said: &Said<'_>, reply: Reply<'_>) -> Result<Answer, Trouble> {
        let login = &said.actor.login;
        if said.actor.right < Some(Right::Triage) {
            let since = self.clock.now().minus_secs(READER_SECS);
            let repository = &said.key.repository;
            let answered = self.store.settled_since(repository, login, ANSWERED, since);
            if answered.await? > 0 {
                let outcome = "answered a moment ago";
                return Ok(Answer::new(Reaction::Confused, None, outcome));
            }
        }
        let text = reply.text(said.ignored, said.voice);
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

/// What is still to be shown of a command that an earlier look had decided. It is not judged again: what it changed
/// would be held against it.
fn owed(
    scene: &Scene<'_>,
    parsed: &command::Parsed,
    task: Option<&Task>,
    outcome: Outcome,
) -> Answer {
    let (ignored, voice) = (&parsed.ignored, scene.voice());
    match outcome {
        Outcome::Done { .. } | Outcome::Waiting => {
            let text = Reply::Done.text(ignored, &voice);
            Answer::new(Reaction::Done, Some(text), "done")
        }
        Outcome::Ignored { reason } => {
            let is_run = parsed.heard == Heard::Command(Command::Run);
            let text = match task.filter(|task| !task.is_final()) {
                Some(task) if is_run => Reply::Live { task }.text(ignored, &voice),
                None if is_run => format!("Nothing was started: {reason}."),
                _ => reason.clone(),
            };
            Answer::new(Reaction::Confused, Some(text), reason)
        }
    }
}
