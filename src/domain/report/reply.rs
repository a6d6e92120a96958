//! Answers to what people type on a forge: one comment each, short, addressed to nobody but its reader.

use super::super::brief::BriefError;
use super::super::command::{self, Mistake, Surface, Target, Verb};
use super::super::decide::NotNow;
use super::super::ident::Time;
use super::super::policy::Refusal;
use super::super::settings::FixOn;
use super::super::task::{ApprovalOf, Failure, FailureClass, Stage, Task};
use super::super::text::{block, code};
use super::turn::{capital, result_noun, sentence, turn};
use super::{Page, Voice, chars, line, step_words};

/// Most characters of an answer.
pub const REPLY_MAX: usize = 1_500;

/// What somebody is answered who typed something, or asked for a task by a label.
#[derive(Clone, Debug)]
pub enum Reply<'a> {
    /// What the caller can do here now, or all about one verb.
    Help {
        /// The verbs that this caller can use here now ([`super::super::policy::usable`]).
        usable: &'a [Verb],
        /// One verb.
        about: Option<Verb>,
    },
    /// The line is addressed to us and is no command.
    Mistake {
        /// Why.
        mistake: &'a Mistake,
        /// The verbs that this caller can use here now.
        usable: &'a [Verb],
    },
    /// Not permitted. Only for those whom [`Refusal::telling`] answers in words.
    Refused(&'a Refusal),
    /// Permitted, but not possible now.
    NotNow {
        /// The task as it is.
        task: &'a Task,
        /// Why.
        why: &'a NotNow,
    },
    /// It approves something else than the newest revision; made by [`Reply::older`].
    Older {
        /// The task as it is.
        task: &'a Task,
        /// The revision that was named; `None` = none, but a newer one came after the words.
        named: Option<u32>,
    },
    /// How a task stands.
    Status {
        /// The task as it is.
        task: &'a Task,
        /// Now.
        now: Time,
    },
    /// There is no task here that the command could be about.
    NoTask {
        /// The verbs that this caller can use here now.
        usable: &'a [Verb],
    },
    /// A task was asked for where one lives.
    Live {
        /// That one.
        task: &'a Task,
    },
    /// The text was approved before the forge showed it.
    Unseen {
        /// Its task.
        task: &'a Task,
    },
    /// The text was approved, and the issue says something else that cannot be a brief.
    Unreadable(BriefError),
    /// Nothing was started, since the repository file has mistakes.
    Broken {
        /// All of them, as text.
        mistakes: &'a str,
    },
    /// A command in a review, or in a remark on a line.
    InReview,
    /// The comment was edited.
    Edited,
    /// The forge does not prove that the comment was never edited.
    Unproven,
    /// Done, and there is nothing to say but what was ignored.
    Done,
}

impl<'a> Reply<'a> {
    /// Whether an approval typed `at` is of something else than the newest revision, as far as its words and its time
    /// tell. An approval is of what its author saw.
    #[must_use]
    pub fn older(task: &'a Task, target: Option<&Target>, at: Time) -> Option<Self> {
        let newest = task.revision.as_ref()?.number;
        let shown = matches!(
            task.stage,
            Stage::InReview { .. }
                | Stage::AwaitingApproval {
                    of: ApprovalOf::Result
                }
        );
        let named = match target {
            Some(Target::Revision(number)) if *number < newest => Some(*number),
            Some(_) => return None,
            None if shown && task.since > at => None,
            None => return None,
        };
        Some(Self::Older { task, named })
    }

    /// The comment, at most [`REPLY_MAX`] characters. `ignored` are further lines of the same comment that look like
    /// commands. Empty for [`Reply::Done`] when nothing was ignored: then nothing is to be said.
    #[must_use]
    pub fn text(&self, ignored: &[String], voice: &Voice) -> String {
        let tail = ignored_words(ignored);
        let room = REPLY_MAX.saturating_sub(chars(&tail));
        let mut page = Page::of(room);
        self.write(&mut page, voice, room);
        page.add(&tail);
        page.end("").trim_end().to_owned()
    }

    fn write(&self, page: &mut Page, voice: &Voice, room: usize) {
        match self {
            Self::Help { usable, about } => {
                let text = command::help(&voice.surface(), usable, *about);
                let mut lines = text.lines();
                let head = lines.next().unwrap_or_default();
                let rows: Vec<String> = lines.map(str::to_owned).collect();
                match rows.is_empty() {
                    true => page.add(head),
                    false => page.rows(&format!("{head}\n"), &rows, 0, "lines"),
                }
            }
            Self::Mistake { mistake, usable } => page.add(&mistake.reply(voice.begins(), usable)),
            Self::Refused(why) => page.add(&why.to_string()),
            Self::NotNow { task, why } => page.add(&not_now(task, why, voice)),
            Self::Older { task, named } => page.add(&older(task, *named, voice)),
            Self::Unseen { task } if !super::shows_brief(task) => page.add(&format!(
                "The text {} is too long to be shown, and nothing proves what the issue said when you wrote. Nothing was \
                 approved. Shorten the issue, or write one of your own.",
                code(&super::brief_name(task))
            )),
            Self::Unseen { task } => {
                let name = super::brief_name(task);
                page.add(&format!(
                    "The text {} was not in the status comment yet when you wrote. Nothing was approved. Look at it there; \
                     {} accepts it.",
                    code(&name),
                    voice.say("approve", &name, task.id)
                ));
            }
            Self::Unreadable(why) => page.add(&format!(
                "Nothing was approved: the issue says something else now, and I cannot read it: {why}."
            )),
            Self::Status { task, now } => page.add(&standing(task, *now, voice)),
            Self::NoTask { usable } => {
                let names: Vec<String> = usable.iter().map(|verb| code(verb.row().name)).collect();
                let valid = match names.is_empty() {
                    true => String::new(),
                    false => format!(" Valid here now: {}.", names.join(", ")),
                };
                page.add(&format!(
                    "There is no task here that this could be about. Nothing was changed.{valid}"
                ));
            }
            Self::Live { task } => page.add(&format!(
                "{} belongs to this issue already, so nothing was started. It is {} since {} UTC; {}.",
                task.id,
                task.word(),
                task.since.date_clock(),
                possible(task, voice)
            )),
            Self::Broken { mistakes } => {
                page.add("Nothing was started: the repository file has mistakes.");
                let all = room.saturating_sub(400);
                let shown = super::within(mistakes.trim_end(), all, block);
                page.add(shown.trim_end());
                page.add("Correct them on the default branch, then ask again.");
            }
            Self::InReview => page.add(
                "Commands inside reviews and in remarks on lines do not run. Write it as a comment of its own.",
            ),
            Self::Edited => page.add(
                "Nothing was done: only new comments run, not edited ones. Please write a new comment.",
            ),
            Self::Unproven => page.add(
                "Nothing was done: this forge does not prove that the comment was never edited. Please write a new comment.",
            ),
            Self::Done => {}
        }
    }
}

/// Names what was not read; empty for nothing.
fn ignored_words(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = lines
        .iter()
        .take(5)
        .map(|one| super::span(one, 80))
        .collect();
    let more = match lines.len() - shown.len() {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!(
        "One command per comment; these lines were ignored: {}{more}.",
        shown.join(", ")
    )
}

/// Why an act is not possible now, what is true instead, and what is possible.
pub(super) fn not_now(task: &Task, why: &NotNow, voice: &Voice) -> String {
    format!(
        "{} {} is {} since {} UTC; {}.",
        sentence(&no(why, |text| line(text, 300))),
        task.id,
        task.word(),
        task.since.date_clock(),
        possible(task, voice)
    )
}

/// Why not, without end. `shown` makes what is not ours harmless.
pub(super) fn no(why: &NotNow, shown: impl Fn(&str) -> String) -> String {
    match why {
        NotNow::Final => "it is over".to_owned(),
        NotNow::NothingToApprove => "nothing waits for an approval".to_owned(),
        NotNow::NothingAsked => "nothing was asked, so there is nothing to answer".to_owned(),
        NotNow::NothingToStop => "nothing is running, so there is nothing to stop".to_owned(),
        NotNow::NothingToRetry => "nothing failed, so there is nothing to try again".to_owned(),
        NotNow::NothingToResume => {
            "nobody interrupted it, so there is nothing to resume".to_owned()
        }
        NotNow::NothingToFix => "there is no result in review to change".to_owned(),
        NotNow::NotTakenOver => "nobody took it over".to_owned(),
        NotNow::NothingToTakeOver => "there is no branch to take over".to_owned(),
        NotNow::OtherTarget { asked } => {
            let asked: Vec<String> = asked.iter().map(|one| shown(one)).collect();
            format!("that is not what is asked; asked is {}", asked.join(" or "))
        }
        NotNow::OtherText { number } => {
            format!(
                "a text is accepted by its name, and the one that is there now is called `b{number}`"
            )
        }
        NotNow::BadAnswer { why } => format!("the answer cannot be used: {}", shown(why)),
        NotNow::NoQuestion { number, asked } => match asked {
            1 => format!("there is no question {number}; only one was asked"),
            asked => format!("there is no question {number}; asked are 1 to {asked}"),
        },
        NotNow::NoDefaults => "nothing asked here has a default; answer in words".to_owned(),
        NotNow::NoDefault { number } => {
            format!("question {number} has no default; answer it in words")
        }
    }
}

/// What moves a task on a forge from where it stands.
fn possible(task: &Task, voice: &Voice) -> String {
    let say = |verb: &str, args: &str| voice.say(verb, args, task.id);
    let label = code(&task.settings.trigger.label);
    match &task.stage {
        Stage::Proposed => format!(
            "the label {label} or {} accepts its text",
            say("approve", &super::brief_name(task))
        ),
        Stage::Queued { .. } | Stage::Running { .. } | Stage::Publishing { .. } => {
            format!("{} ends it", say("stop", ""))
        }
        Stage::Asking { questions, .. } => {
            let defaults = !questions.is_empty()
                && questions.iter().all(|question| question.default.is_some());
            let answer = if defaults { "defaults" } else { "1: …" };
            format!("{} goes on", say("answer", answer))
        }
        Stage::AwaitingApproval { of } => {
            let asked = super::super::decide::asked_now(task, of);
            let first = asked.first().map_or("", String::as_str);
            format!("{} or {} decides", say("approve", first), say("reject", ""))
        }
        Stage::InReview { .. } => {
            let (result, fix) = (result_noun(task, voice), say("fix", "…"));
            match task.settings.review.fix_on {
                FixOn::ChangesRequested => {
                    format!("a review of {result}, or {fix} there, starts a round")
                }
                FixOn::Command => format!("{fix} on {result} starts a round"),
            }
        }
        Stage::TakenOver { .. } => format!("{} ends it", say("reject", "")),
        Stage::Failed { failure } => retry(failure, &say("retry", "")),
        Stage::Ended { .. } => format!("the label {label} makes a new task"),
    }
}

fn retry(failure: &Failure, command: &str) -> String {
    match failure.class {
        FailureClass::Config => format!("correct the repository file, then {command}"),
        _ => format!("{command} starts it again"),
    }
}

fn older(task: &Task, named: Option<u32>, voice: &Voice) -> String {
    let newest = task.revision.as_ref().map_or(1, |revision| revision.number);
    let name = format!("r{newest}");
    let arrived = task.since.date_clock();
    let seen = match &task.pull {
        Some(_) => result_noun(task, voice),
        None => "the status comment".to_owned(),
    };
    let approve = voice.say("approve", &name, task.id);
    match named {
        Some(named) => format!(
            "You approved r{named}, but {name} arrived at {arrived} UTC. Nothing was approved. \
             Look at {seen}; {approve} approves it."
        ),
        None => format!(
            "You approved without a name, and {name} arrived at {arrived} UTC, after you wrote. Nothing was approved. \
             Look at {seen}; {approve} approves it."
        ),
    }
}

/// How a task stands, in two or three sentences.
fn standing(task: &Task, now: Time, voice: &Voice) -> String {
    let step = match &task.stage {
        Stage::Running { step, .. } => format!(", {}", step_words(*step)),
        _ => String::new(),
    };
    let turn = turn(task, voice).unwrap_or_else(|| "Nothing needed from you.".to_owned());
    let next = match task.outstanding() {
        Some(_) if !task.is_final() => format!(
            " Next update by {} UTC.",
            now.plus_secs(super::turn::PROMISE_SECS).clock()
        ),
        _ => String::new(),
    };
    let page = voice
        .page(task.id)
        .map_or(String::new(), |page| format!(" · [task page]({page})"));
    format!(
        "{} is **{}** since {} UTC{step}. {}{next}\n\nThe status comment on #{} says more{page}.",
        task.id,
        task.word(),
        task.since.date_clock(),
        capital(&turn),
        task.issue.number
    )
}

impl Voice {
    /// What a command begins with; locally the program.
    fn begins(&self) -> &str {
        match &self.prefix {
            Some(prefix) => prefix,
            None => "prentice tasks",
        }
    }

    fn surface(&self) -> Surface {
        match &self.prefix {
            Some(prefix) => Surface::Forge {
                prefix: prefix.clone(),
            },
            None => Surface::Local,
        }
    }
}
