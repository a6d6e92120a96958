//! Whose turn it is and what they can do: the end of every status comment, and the one
//! short comment that notifies a person when their turn begins.

use super::super::ident::Time;
use super::super::settings::{Mention, Progress};
use super::super::task::{About, ApprovalOf, FailureClass, Question, Stage, Task, Waiting};
use super::review::theirs;
use super::stopped::by_hand;
use super::{Voice, asked_name, count, line, span};

/// How long a promise of the next update holds: edits come at most ten minutes apart.
pub(super) const PROMISE_SECS: u64 = 15 * 60;

/// The comment that notifies a person on entry into a stage that waits for them; `None` for every other stage.
/// needs-review notifies through the review request.
#[must_use]
pub fn notice(task: &Task, voice: &Voice) -> Option<String> {
    let what = match &task.stage {
        Stage::Asking { questions, .. } => format!(
            "I have {} and wait for an answer.",
            count(questions.len(), "question", "questions")
        ),
        Stage::AwaitingApproval { of } => match of {
            ApprovalOf::Brief { .. } => "the brief needs a yes before I start.".to_owned(),
            ApprovalOf::Result => {
                "a result is ready and needs a yes before I publish it.".to_owned()
            }
            ApprovalOf::Round { .. } => "a further round needs a yes.".to_owned(),
        },
        Stage::Failed { failure } => format!(
            "class {}. {}",
            failure.class.word(),
            sentence(&line(&failure.message, 300))
        ),
        Stage::Proposed
        | Stage::Queued { .. }
        | Stage::Running { .. }
        | Stage::Publishing { .. }
        | Stage::InReview { .. }
        | Stage::TakenOver { .. }
        | Stage::Ended { .. } => return None,
    };
    let who = addressed(task, voice);
    let place = if voice.is_local() {
        "`status.md`"
    } else {
        "The status comment above"
    };
    let turn = match &task.stage {
        // Its advice points at what only the status shows.
        Stage::Failed { .. } => format!("{place} says what to do."),
        _ => format!(
            "{} {place} says more.",
            turn(task, voice).unwrap_or_default()
        ),
    };
    Some(format!(
        "{who}: task {} is **{}**: {what} {turn}\n",
        task.id,
        task.word(),
    ))
}

/// A mention where the name can be one and the repository wants it, which notifies; else the name as text.
fn addressed(task: &Task, voice: &Voice) -> String {
    let login = task.requester.as_str();
    let wanted = task.settings.messages.mention == Mention::Requester;
    let is_login = !login.is_empty()
        && login.len() <= 64
        && !login.starts_with('-')
        && login
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_login && wanted && !voice.is_local() {
        format!("@{login}")
    } else {
        line(login, 60)
    }
}

/// Whose turn it is, the promise and the commands.
pub(super) fn closing(task: &Task, now: Time, voice: &Voice) -> String {
    let turn = turn(task, voice).unwrap_or_else(|| "Nothing needed from you.".to_owned());
    let mut foot = Vec::new();
    let moves_by_itself = task.outstanding().is_some() && !task.is_final();
    // Where the repository wants no progress shown, no edit comes until something else is true.
    if moves_by_itself && task.settings.messages.progress == Progress::Sticky {
        foot.push(format!(
            "Next update by {} UTC",
            now.plus_secs(PROMISE_SECS).clock()
        ));
    }
    let commands = commands(task, voice);
    if !commands.is_empty() {
        let label = if foot.is_empty() {
            "Commands"
        } else {
            "commands"
        };
        foot.push(format!("{label}: {}", commands.join(", ")));
    }
    let foot = match (foot.is_empty(), voice.is_local()) {
        (true, _) => String::new(),
        (false, true) => format!("\n{}\n", foot.join(" · ")),
        (false, false) => format!("\n<sub>{}</sub>\n", foot.join(" · ")),
    };
    format!("{turn}\n{foot}")
}

/// Two to four commands that are valid right now.
fn commands(task: &Task, voice: &Voice) -> Vec<String> {
    let say = |verb: &str, args: &str| voice.say(verb, args, task.id);
    let asked = asked_name(task).unwrap_or_default();
    let mut commands = match &task.stage {
        Stage::Proposed => vec![say("approve", &asked), say("reject", "")],
        Stage::Queued {
            why: Waiting::Person { .. },
            ..
        } if voice.is_local() => vec![say("resume", ""), say("stop", "")],
        Stage::Queued { .. } | Stage::Running { .. } => vec![say("stop", "")],
        Stage::Publishing { .. } => vec![],
        Stage::Asking { .. } => vec![say("answer", "…"), say("reject", "")],
        Stage::AwaitingApproval { .. } => vec![say("approve", &asked), say("reject", "")],
        Stage::InReview { .. } if voice.is_local() => vec![say("reject", "")],
        Stage::InReview { .. } if is_draft(task) => vec![say("approve", ""), say("reject", "")],
        Stage::InReview { .. } => vec![say("reject", "")],
        Stage::TakenOver { .. } => vec![say("reject", "")],
        Stage::Failed { .. } => vec![say("retry", ""), say("reject", "")],
        Stage::Ended { .. } => vec![],
    };
    match (voice.is_local(), task.is_final()) {
        (true, _) => commands.push(say("show", "")),
        (false, false) => commands.push(say("help", "")),
        (false, true) => {}
    }
    commands
}

/// Whether the pull request shows a result of ours as a draft, for want of an approval.
pub(super) fn is_draft(task: &Task) -> bool {
    let Some(revision) = &task.revision else {
        return false;
    };
    let head = &revision.result.head;
    let approved = task.approvals.iter().any(|of| of.bound_to == head.as_str());
    theirs(task).is_none() && !revision.theirs && task.settings.pull.is_draft(approved)
}

/// `Your turn (who): what`, where it is a person's.
pub(super) fn turn(task: &Task, voice: &Voice) -> Option<String> {
    let who = match &task.stage {
        Stage::Failed { failure } => who_acts(failure.class, task),
        _ => task.whose_turn()?,
    };
    let say = |verb: &str, args: &str| voice.say(verb, args, task.id);
    let asked = asked_name(task).unwrap_or_default();
    let what = match &task.stage {
        Stage::Proposed if voice.is_local() => {
            format!("{} accepts exactly this text.", say("approve", &asked))
        }
        Stage::Proposed => format!(
            "add the label {} or comment {} to accept exactly this text.",
            span(&task.settings.trigger.label, 60),
            say("approve", &asked)
        ),
        Stage::Queued {
            why: Waiting::Person { .. },
            ..
        } if voice.is_local() => format!("{} goes on.", say("resume", "")),
        Stage::Queued {
            why: Waiting::Person { .. },
            ..
        } => "it goes on when it is resumed on the machine that it ran on.".to_owned(),
        Stage::Asking {
            about, questions, ..
        } => asking_turn(*about, questions, task, voice),
        Stage::AwaitingApproval { of } => match of {
            ApprovalOf::Brief { .. } => format!(
                "{} accepts exactly this text and I start; {} ends the task.",
                say("approve", &asked),
                say("reject", "")
            ),
            ApprovalOf::Result => format!(
                "{} publishes {asked}; {} ends the task.",
                say("approve", &asked),
                say("reject", "")
            ),
            ApprovalOf::Round { .. } => format!(
                "{} allows it; {} leaves the result as it is.",
                say("approve", &asked),
                say("reject", "round")
            ),
        },
        Stage::InReview { .. } if voice.is_local() => format!(
            "look at branch {} and at `PR.md`; merge the branch if it is right. {} undoes everything.",
            span(&task.branch, 150),
            say("reject", "")
        ),
        Stage::InReview { .. } => format!(
            "review {}. Closing it undoes everything.",
            result_noun(task, voice)
        ),
        Stage::TakenOver { .. } => {
            format!("the branch is yours; {} ends the task.", say("reject", ""))
        }
        Stage::Failed { failure } => advice(failure.class, task, voice),
        Stage::Queued { .. }
        | Stage::Running { .. }
        | Stage::Publishing { .. }
        | Stage::Ended { .. } => return None,
    };
    Some(format!("Your turn ({}): {what}", line(who, 60)))
}

fn asking_turn(about: About, questions: &[Question], task: &Task, voice: &Voice) -> String {
    if about == About::Brief {
        return if voice.is_local() {
            format!(
                "{} with the missing text, or correct the issue and run it anew.",
                voice.say("answer", "…", task.id)
            )
        } else {
            format!(
                "{} with the missing text; or edit the issue, whose new text then has to be accepted.",
                voice.say("answer", "…", task.id)
            )
        };
    }
    let example = match questions.len() {
        0 | 1 => "1: …".to_owned(),
        _ => "1: …; 2: …".to_owned(),
    };
    let answer = voice.say("answer", &example, task.id);
    let all_default =
        !questions.is_empty() && questions.iter().all(|question| question.default.is_some());
    if all_default {
        format!("{answer} or {}.", voice.say("answer", "defaults", task.id))
    } else {
        format!("{answer}.")
    }
}

/// Who can do something about a failure (experience.md §2.1).
fn who_acts(class: FailureClass, task: &Task) -> &str {
    match class {
        FailureClass::Infra | FailureClass::Forge | FailureClass::Provider => "the operator",
        FailureClass::NoChange => &task.requester,
        FailureClass::Scope if by_hand(task).is_some() => "a maintainer",
        FailureClass::Scope | FailureClass::Budget | FailureClass::Timeout => "an approver",
        FailureClass::Config
        | FailureClass::Setup
        | FailureClass::Baseline
        | FailureClass::Verify
        | FailureClass::Limit
        | FailureClass::Conflict
        | FailureClass::Agent => "a maintainer",
    }
}

/// The first advice of each class (experience.md §2.1).
fn advice(class: FailureClass, task: &Task, voice: &Voice) -> String {
    let retry = voice.say("retry", "", task.id);
    let double = voice.say("retry", "--budget=2x", task.id);
    let brief = if voice.is_local() {
        "write a clearer issue and run that"
    } else {
        "edit the issue, then retry"
    };
    match class {
        FailureClass::Infra => format!(
            "nothing is wrong with the brief. {retry} tries again; if it repeats, repair what is named above."
        ),
        FailureClass::Forge if voice.is_local() => {
            format!("repair what refused the branch, as named above; then {retry}.")
        }
        FailureClass::Forge => {
            format!("give back the right or repair what is named above; then {retry}.")
        }
        FailureClass::Config => {
            format!("correct the configuration at the place named above; then {retry}.")
        }
        FailureClass::Setup => format!(
            "make the set-up command succeed on the base `{}`; then {retry}.",
            task.base.short()
        ),
        FailureClass::Baseline => format!(
            "make the check run to its end on the base `{}` (red is fine, as long as it ends by itself); then {retry}.",
            task.base.short()
        ),
        FailureClass::Verify => format!("{retry} (same brief), or {brief}."),
        FailureClass::NoChange => format!(
            "say what should be different and how it shows: name the file, the input or the failing check. Then {brief}, or {retry}."
        ),
        FailureClass::Scope if by_hand(task).is_some() => format!(
            "if the patch is right, apply it (`git apply`) with an account that may change workflows. For changes to other files too, edit the issue; then {retry}."
        ),
        FailureClass::Scope => format!(
            "narrow the brief, or widen `[scope]` in the repository's configuration; then {retry}."
        ),
        FailureClass::Budget | FailureClass::Timeout => {
            format!("{double} doubles the limit; or make the brief smaller.")
        }
        FailureClass::Limit => format!(
            "raise the limit named above in `[sandbox]`, or find what uses so much; then {retry}."
        ),
        FailureClass::Conflict => {
            format!("the branch moved under the work. Settle what is named above; then {retry}.")
        }
        FailureClass::Provider => {
            format!("look at key, model and allowance as named above; then {retry}.")
        }
        FailureClass::Agent => {
            format!("{retry} tries again; if it repeats, look at the agent's own words above.")
        }
    }
}

/// What the result is called: `pull request #57`, ``branch `agent/1-x` ``.
pub(super) fn result_noun(task: &Task, voice: &Voice) -> String {
    match &task.pull {
        _ if voice.is_local() => format!("branch {}", span(&task.branch, 150)),
        Some(pull) => format!("pull request #{}", pull.number),
        None => "the pull request".to_owned(),
    }
}

/// `text` with a capital, where its first word is one that takes it.
pub(super) fn capital(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    if !word.chars().all(|c| c.is_ascii_alphabetic() || c == '-') {
        return text.to_owned();
    }
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// `text` with a capital and an end.
pub(super) fn sentence(text: &str) -> String {
    let text = capital(text);
    if text.ends_with(['.', '!', '?', '…']) || text.is_empty() {
        text
    } else {
        format!("{text}.")
    }
}
