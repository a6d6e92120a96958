//! The lines of the journal, and the answer to an act that is not possible now.

use super::reply::no;
use super::{Reply, Voice};
use crate::domain::command::Grant;
use crate::domain::decide::NotNow;
use crate::domain::event::{Event, RunOutcome, Timer};
use crate::domain::task::{FailureClass, Stage, Step, Task};
use crate::domain::text::{clip, harmless};

/// Longest words of a person or an agent in one line.
const WORDS_MAX: usize = 300;

/// What happened, in one line of plain text.
#[must_use]
pub fn journal_line(event: &Event) -> String {
    match event {
        Event::Requested { new, .. } if new.unshown => format!(
            "requested by {}; not shown on the forge, where too many were proposed within an hour",
            new.requester
        ),
        Event::Requested { new, .. } => format!("requested by {}", new.requester),
        Event::AskedFor { by } => format!("{by} asked for it too; it is shown on the forge now"),
        Event::OutOfReach { .. } => "nothing can be written to the repository any more".to_owned(),
        Event::Accepted { by, digest, .. } => format!("{by} accepted the brief {}", digest.short()),
        Event::RunStarted { run, attempt: 1 } => format!("run {run} began"),
        Event::RunStarted { run, attempt } => format!("run {run} began again (claim {attempt})"),
        Event::Progressed { run, step } => format!("run {run}: {}", step_words(*step)),
        Event::WentQuiet { run } => format!("run {run} gave no sign of life for `stall_after`"),
        Event::Heard { run } => format!("run {run} spoke again"),
        Event::RunEnded { run, outcome } => format!("run {run} {}", outcome_words(outcome)),
        Event::Checked { head, .. } => format!("the checks ran on {}", head.short()),
        Event::Published { revision, pull } => {
            format!(
                "r{revision} is published: {} at {}",
                pull.location,
                pull.head.short()
            )
        }
        Event::PublishedBeside { head, page } => {
            format!("{} is published: {}", head.short(), words(page))
        }
        Event::PublishFailed { revision, failure } => {
            format!("r{revision} was not published: {}", words(&failure.message))
        }
        Event::CleanedUp { left } if left.is_empty() => "everything it left was removed".to_owned(),
        Event::CleanedUp { left } => format!("cleaned up, except {}", words(&left.join("; "))),
        Event::Answered { by, text } => format!("{by} answered: {}", words(text)),
        Event::Approved { by, target, .. } => match target {
            Some(target) => format!("{by} approved {target}"),
            None => format!("{by} approved what was asked"),
        },
        Event::Rejected { by, target, reason } => {
            let what = target
                .as_ref()
                .map_or_else(|| "it".to_owned(), ToString::to_string);
            let reason = reason.as_ref().map(|reason| format!(": {}", words(reason)));
            format!("{by} rejected {what}{}", reason.unwrap_or_default())
        }
        Event::Retried {
            by, fresh, budget, ..
        } => {
            let fresh = if *fresh {
                ", without the kept work"
            } else {
                ""
            };
            let budget = match budget {
                Some(Grant::Times(times)) => format!(", with {times} times the time"),
                Some(Grant::Minutes(minutes)) => format!(", with {minutes} min"),
                None => String::new(),
            };
            format!("{by} asked for another try{fresh}{budget}")
        }
        Event::Stopped { by } => format!("{by} asked for it to stop"),
        Event::Resumed { by } => format!("{by} let it go on"),
        Event::FixAsked { by, text } => format!("{by} asked for changes: {}", words(text)),
        Event::TookOver { by } => format!("{by} took the branch over"),
        Event::HandedBack { by, head } => {
            format!("{by} handed the branch back at {}", head.short())
        }
        Event::Merged { by } => format!("{by} merged it"),
        Event::Closed { by } => format!("{by} closed it"),
        Event::ClosedByBot { by } => format!("the bot {by} closed it"),
        Event::Reopened { by } => format!("{by} reopened it"),
        Event::BranchMoved { by, head } => format!("{by} pushed {}", head.short()),
        Event::BranchGone { .. } => "the task branch is gone".to_owned(),
        Event::IssueEdited { by, brief } => format!(
            "{by} edited the issue; its digest is {} now",
            brief.digest.short()
        ),
        Event::IssueClosed { by } => format!("{by} closed the issue"),
        Event::TimerFired {
            timer: Timer::Ask { .. },
        } => "nobody answered in time".to_owned(),
        Event::TimerFired {
            timer: Timer::Close { .. },
        } => "it stayed closed".to_owned(),
    }
}

/// What a step is, as people who watch read it.
#[must_use]
pub fn step_words(step: Step) -> String {
    let again = |attempt: u32| {
        if attempt > 1 {
            format!(" (try {attempt})")
        } else {
            String::new()
        }
    };
    match step {
        Step::Prepare => "preparing".to_owned(),
        Step::Base => "checking the base".to_owned(),
        Step::Work { attempt } => format!("the agent works{}", again(attempt)),
        Step::Judge { attempt } => format!("reading the result{}", again(attempt)),
        Step::Verify { attempt } => format!("checking the result{}", again(attempt)),
    }
}

fn outcome_words(outcome: &RunOutcome) -> String {
    match outcome {
        RunOutcome::Result { result } => format!("made {}", result.head.short()),
        RunOutcome::Asked { questions, .. } => {
            format!("ended with {} question(s)", questions.len())
        }
        RunOutcome::Failed { failure, .. } => {
            format!(
                "failed ({}): {}",
                failure.class.word(),
                words(&failure.message)
            )
        }
        RunOutcome::Interrupted { by, kept } => {
            let kept = if kept.is_some() {
                "; its work is kept"
            } else {
                ""
            };
            format!("was interrupted by {by}{kept}")
        }
        RunOutcome::Cancelled => "was stopped".to_owned(),
    }
}

fn words(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    clip(&harmless(line.as_bytes()), WORDS_MAX)
}

/// Why an act is not possible now, what is true instead, and what is possible: locally plain text, on a forge the
/// Markdown of a reply.
#[must_use]
pub fn not_now(task: &Task, why: &NotNow, voice: &Voice) -> String {
    if !voice.is_local() {
        return Reply::NotNow { task, why }.text(&[], voice);
    }
    let id = task.id;
    let is = format!(
        "{id} is {} since {} UTC",
        task.word(),
        task.since.date_clock()
    );
    let said = |verb: &str, args: &str| voice.typed(verb, args, id);
    let possible = match &task.stage {
        Stage::Failed { failure } if failure.class == FailureClass::Config => {
            format!("correct the repository file, then {}", said("retry", ""))
        }
        Stage::Failed { .. } => format!("{} starts it again", said("retry", "")),
        Stage::Asking { questions, .. } => {
            let defaults = questions.iter().all(|question| question.default.is_some());
            let answer = if defaults { "defaults" } else { "1: …" };
            format!("{} goes on", said("answer", answer))
        }
        Stage::AwaitingApproval { of } => {
            let asked = crate::domain::decide::asked_now(task, of);
            let first = asked.first().map_or("", String::as_str);
            format!(
                "{} or {} decides",
                said("approve", first),
                said("reject", "")
            )
        }
        Stage::InReview { .. } => format!("merge its branch, or {}", said("reject", "")),
        Stage::Queued { .. } | Stage::Running { .. } | Stage::Publishing { .. } => {
            format!("{} ends it", said("stop", ""))
        }
        Stage::Proposed | Stage::TakenOver { .. } => format!("{} ends it", said("reject", "")),
        Stage::Ended { .. } => "a new request makes a new task".to_owned(),
    };
    if let NotNow::Final = why {
        return format!("{is}, which is final; {possible}");
    }
    let no = no(why, str::to_owned);
    format!("{no}: {is}; {possible}")
}
