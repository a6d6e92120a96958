//! Acts of people on a forge: what starts a task, what proposes one, what changes nothing.
//!
//! The rules of starting and ending of the experience, as one table without IO. Who acts was looked up
//! for this act; an act is consumed once, whatever comes of it.

use super::command::{self, Command, Place, StageWord};
use super::event::{Event, Target};
use super::policy::{Actor, Refusal, Rules, permit};
use super::task::Task;

/// How somebody asked for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// The trigger label was put on the issue.
    Label,
    /// Our account was assigned.
    Assignment,
    /// A comment said `run`.
    Command,
}

/// What already stands on the issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// No task that lives.
    Nothing,
    /// A task that waits for somebody to accept its text.
    Proposed {
        /// The issue still says that.
        same: bool,
        /// It was shown before the act, so that it is what the act is about.
        shown: bool,
    },
    /// A task at work, or waiting for somebody.
    Live(StageWord),
}

/// What is known about the words that would run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Words {
    /// Their author could start a task.
    OfOneWhoMay,
    /// The forge proves that they are as they were when the act was made.
    Proven,
    /// Somebody without rights could have changed them.
    Unproven,
}

/// What follows from an act that asks for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is consumed, and nothing follows.
    Nothing(Ignored),
    /// A new task, accepted by the actor.
    Accept,
    /// A new task that waits for somebody to accept its text.
    Propose,
    /// The text of the proposed task is accepted.
    AcceptProposed,
    /// The issue says something else than what is proposed, or the act came before it was shown: what it says now is
    /// proposed.
    ProposeAgain,
    /// Not permitted; told as the refusal says.
    Refuse(Refusal),
}

/// Why an act has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// It was ours.
    Ours,
    /// A program did it.
    Program,
    /// It is older than our first look at the repository.
    Old,
    /// A task lives already.
    Live,
    /// Who did it may not.
    NotPermitted,
}

impl Ignored {
    /// For records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ours => "our own act",
            Self::Program => "a program's act",
            Self::Old => "older than our first look at the repository",
            Self::Live => "a task lives already",
            Self::NotPermitted => "not permitted",
        }
    }
}

/// Who did what, as far as the rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// How.
    pub path: Path,
    /// Who, with the right that was looked up now.
    pub actor: &'a Actor,
    /// It is our own account.
    pub ours: bool,
    /// It was before our first look at the repository.
    pub old: bool,
}

/// What follows when somebody asks for a task.
#[must_use]
pub fn start(asked: Asked<'_>, standing: Standing, words: Words, rules: &Rules) -> Start {
    if asked.ours {
        return Start::Nothing(Ignored::Ours);
    }
    if asked.old {
        return Start::Nothing(Ignored::Old);
    }
    let stage = match standing {
        Standing::Nothing => StageWord::None,
        Standing::Proposed { .. } => StageWord::Proposed,
        Standing::Live(stage) => stage,
    };
    let permitted = permit(asked.actor, &Command::Run, Place::Issue, stage, rules);
    match (permitted, standing, asked.path) {
        (Err(Refusal::Bot), ..) => Start::Nothing(Ignored::Program),
        // A command is answered; a label that is already at work says nothing new.
        (_, Standing::Live(_), Path::Label | Path::Assignment) => Start::Nothing(Ignored::Live),
        (Err(why), _, Path::Command) => Start::Refuse(why),
        (Ok(_), Standing::Live(_), Path::Command) => Start::Nothing(Ignored::Live),
        // A template may have put the label there for somebody who could not.
        (Err(_), Standing::Nothing, Path::Label | Path::Assignment) => Start::Propose,
        (Err(_), Standing::Proposed { same: false, .. }, _) => Start::ProposeAgain,
        (Err(_), Standing::Proposed { same: true, .. }, _) => Start::Nothing(Ignored::NotPermitted),
        (Ok(_), Standing::Proposed { same: false, .. }, _) => Start::ProposeAgain,
        (Ok(_), Standing::Proposed { shown: true, .. }, _) => Start::AcceptProposed,
        // Nobody who acted before the text was shown accepted it by that; what else proves it does.
        (Ok(_), Standing::Proposed { shown: false, .. }, _) => match words {
            Words::OfOneWhoMay | Words::Proven => Start::AcceptProposed,
            Words::Unproven => Start::ProposeAgain,
        },
        (Ok(_), Standing::Nothing, _) => match words {
            Words::OfOneWhoMay | Words::Proven => Start::Accept,
            Words::Unproven => Start::Propose,
        },
    }
}

/// Whether taking the label off, or the assignment back, withdraws the request.
pub fn withdraws(actor: &Actor, ours: bool, old: bool, rules: &Rules) -> Result<(), Ignored> {
    if ours {
        return Err(Ignored::Ours);
    }
    if old {
        return Err(Ignored::Old);
    }
    // Whoever may stop a task may withdraw it.
    match permit(
        actor,
        &Command::Stop,
        Place::Issue,
        StageWord::Queued,
        rules,
    ) {
        Ok(_) => Ok(()),
        Err(Refusal::Bot) => Err(Ignored::Program),
        Err(_) => Err(Ignored::NotPermitted),
    }
}

/// Whether the words of this account run without proof that nobody edited them: it could start a task itself.
#[must_use]
pub fn may_start(actor: &Actor, rules: &Rules) -> bool {
    permit(actor, &Command::Run, Place::Issue, StageWord::None, rules).is_ok()
}

/// A command about a task, as what happened to it, without what only its place tells: the address of who typed it, and
/// the text that they mean. `None` for those that are answered without moving one.
pub fn event(command: &Command, by: &str) -> Result<Option<Event>, command::Target> {
    let by = by.to_owned();
    Ok(Some(match command {
        Command::Approve { target } => Event::Approved {
            by,
            target: target.as_ref().map(target_of).transpose()?,
            address: None,
        },
        Command::RejectRequest { target } => Event::Rejected {
            by,
            target: Some(target_of(target)?),
            reason: None,
        },
        Command::Reject { reason } => Event::Rejected {
            by,
            target: None,
            reason: (!reason.is_empty()).then(|| reason.clone()),
        },
        Command::Answer { text } => Event::Answered {
            by,
            text: text.clone(),
        },
        Command::Stop => Event::Stopped { by },
        Command::Retry { budget, fresh } => Event::Retried {
            by,
            fresh: *fresh,
            budget: *budget,
            text: None,
            address: None,
        },
        Command::Fix { text } => Event::FixAsked {
            by,
            text: text.clone(),
        },
        Command::TakeOver => Event::TookOver { by },
        Command::Help { .. }
        | Command::Status
        | Command::Run
        | Command::Verify
        | Command::HandBack => return Ok(None),
    }))
}

/// The targets that a task of this build can ask for; another one is given back.
fn target_of(target: &command::Target) -> Result<Target, command::Target> {
    Ok(match target {
        command::Target::Brief(number) => Target::Brief { number: *number },
        command::Target::Revision(number) => Target::Revision { number: *number },
        command::Target::Digest(digits) => Target::Digest {
            digits: digits.clone(),
        },
        command::Target::Scope => Target::Scope,
        command::Target::Deps => Target::Deps,
        command::Target::Ci => Target::Ci,
        command::Target::Round => Target::Round,
        command::Target::Plan(_) | command::Target::Network | command::Target::Budget => {
            return Err(target.clone());
        }
    })
}

/// The stage of an issue's task, as the command table names it.
#[must_use]
pub fn stage_of(task: Option<&Task>) -> StageWord {
    match task.map_or("", Task::word) {
        "proposed" => StageWord::Proposed,
        "queued" => StageWord::Queued,
        "running" => StageWord::Running,
        "needs-info" => StageWord::NeedsInfo,
        "needs-approval" => StageWord::NeedsApproval,
        "needs-review" => StageWord::NeedsReview,
        "taken-over" => StageWord::TakenOver,
        "failed" => StageWord::Failed,
        "merged" => StageWord::Merged,
        "rejected" => StageWord::Rejected,
        "stopped" => StageWord::Stopped,
        _ => StageWord::None,
    }
}
