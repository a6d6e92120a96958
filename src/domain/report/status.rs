//! The status comment: one per task, edited in place.

use std::fmt::Write as _;

use super::super::brief::{HiddenKind, warnings};
use super::super::gates::Cause;
use super::super::ident::Time;
use super::super::settings::{CommentsFrom, FixOn, Progress};
use super::super::task::{About, ApprovalOf, Closing, Question, Stage, Step, Task};
use super::super::text::block;
use super::page::within;
use super::proposal::{folded, proposed};
use super::queue::{InLine, queued};
use super::review::review;
use super::stopped::{ended, failed};
use super::table::evidence_table;
use super::turn::closing;
use super::{
    Page, Voice, chars, checks_origin, count, finding_line, line, open_causes, required, rounds,
    size, span, unfinished,
};

/// Most characters of a status comment.
pub const STATUS_MAX: usize = 3_500;

/// The status comment, at most [`STATUS_MAX`] characters beside the folded text of a proposal. It begins with the one
/// state word.
#[must_use]
pub fn status(task: &Task, now: Time, voice: &Voice) -> String {
    status_in_line(task, now, voice, None)
}

/// The same, with what is known about its place in line.
#[must_use]
pub fn status_in_line(task: &Task, now: Time, voice: &Voice, in_line: Option<InLine>) -> String {
    let page = voice
        .page(task.id)
        .map_or(String::new(), |page| format!(" · [task page]({page})"));
    let head = format!(
        "**Agent task: {}** · {} · requested by {}{page} · brief `{}` taken {} UTC\n\n",
        task.word(),
        task.id,
        line(&task.requester, 60),
        task.brief.digest.short(),
        task.accepted_at.date_clock(),
    );
    let end = closing(task, now, voice);
    let folded = match task.stage {
        Stage::Proposed if !voice.is_local() => folded(task).map_or(0, |text| chars(&text) + 2),
        _ => 0,
    };
    let room = STATUS_MAX + folded;
    let mut page = Page::of(room.saturating_sub(chars(&head) + chars(&end)));
    truth(&mut page, task, voice, in_line);
    let elsewhere = if voice.is_local() {
        format!("; {} has all of it", voice.say("show", "", task.id))
    } else {
        voice.page(task.id).map_or(String::new(), |page| {
            format!("; [the task's page]({page}) has all of it")
        })
    };
    format!("{head}{}{end}", page.end(&elsewhere))
}

/// What is true now, as paragraphs and lists.
fn truth(page: &mut Page, task: &Task, voice: &Voice, in_line: Option<InLine>) {
    match &task.stage {
        Stage::Proposed => proposed(page, task, voice),
        Stage::Queued { why, .. } => queued(page, task, why, voice, in_line),
        Stage::Running {
            step,
            quiet_since,
            stopping,
            ..
        } => running(page, task, *step, *quiet_since, stopping.as_deref(), voice),
        Stage::Publishing { revision } => {
            page.add(&format!(
                "Revision r{revision} is published exactly as it was judged."
            ));
            page.add(&steps(task, None, voice));
        }
        Stage::Asking {
            about,
            questions,
            until,
        } => asking(page, task, *about, questions, *until),
        Stage::AwaitingApproval { of } => awaiting(page, task, of, voice),
        Stage::InReview { closing, .. } => {
            if let Some(Closing { by, until }) = closing {
                page.add(&format!(
                    "Closed by {}. That is final at {} UTC unless it is reopened.",
                    line(by, 60),
                    until.date_clock()
                ));
            }
            review(page, task, voice);
        }
        // No paragraph begins with words of others: one could be called "Your turn (…)".
        Stage::TakenOver { by } => page.add(&format!(
            "Branch {} is owned by {} now. I will not push.",
            span(&task.branch, 150),
            line(by, 60)
        )),
        Stage::Failed { failure } => failed(page, task, failure, voice),
        Stage::Ended {
            how,
            by,
            reason,
            left,
        } => ended(
            page,
            task,
            *how,
            by,
            reason.as_deref(),
            left.as_deref(),
            voice,
        ),
    }
    if !task.is_final() {
        about_the_text(page, task, voice);
    }
}

fn running(
    page: &mut Page,
    task: &Task,
    step: Step,
    quiet_since: Option<Time>,
    stopping: Option<&str>,
    voice: &Voice,
) {
    if let Some(by) = stopping {
        page.add(&format!("Stopping, as {} asked.", line(by, 60)));
    }
    if task.round > 1 {
        let of = match &task.pull {
            Some(pull) if !voice.is_local() => format!(" on #{}", pull.number),
            _ => String::new(),
        };
        let asked = match task.settings.review.fix_on {
            FixOn::ChangesRequested => "the review asked for",
            FixOn::Command => "was asked for",
        };
        page.add(&format!(
            "Round {} of {}{of}: working through what {asked}. I push once, at the end.",
            task.round,
            rounds(task)
        ));
    }
    if let Some(since) = quiet_since {
        page.add(&format!(
            "Still at work. No sign of life since {} UTC; I stop it after {} of silence. This is slow, not stopped.",
            since.clock(),
            minutes(task.settings.task.stall_after_secs.saturating_mul(2))
        ));
    }
    if task.settings.messages.progress == Progress::Sticky {
        page.add(&steps(task, Some(step), voice));
    } else {
        page.add("At work. This repository wants no steps shown here (`[messages] progress`).");
    }
    if let Some(origin) = checks_origin(task) {
        page.add(&origin);
    }
}

/// The bot's own steps; `None` = all but the last are done.
fn steps(task: &Task, at: Option<Step>, voice: &Voice) -> String {
    let reached = match at {
        Some(Step::Prepare) => 1,
        Some(Step::Base) => 2,
        Some(Step::Work { .. }) => 3,
        Some(Step::Judge { .. }) => 4,
        Some(Step::Verify { .. }) => 5,
        None => 6,
    };
    let attempt = match at {
        Some(Step::Work { attempt } | Step::Judge { attempt } | Step::Verify { attempt })
            if attempt > 1 =>
        {
            format!(" (try {attempt} of {})", task.settings.task.attempts)
        }
        _ => String::new(),
    };
    let all = [
        format!(
            "Brief read: {}",
            count(
                task.brief.criteria.len(),
                "acceptance criterion",
                "acceptance criteria"
            )
        ),
        "Prepare a workspace".to_owned(),
        format!("Check the base `{}`", task.base.short()),
        "Let the agent work".to_owned(),
        "Read the result and judge it by the gates".to_owned(),
        "Verify in a clean checkout".to_owned(),
        publish_step(voice).to_owned(),
    ];
    let mut text = String::new();
    for (index, what) in all.iter().enumerate() {
        let _ = match index.cmp(&reached) {
            std::cmp::Ordering::Less => writeln!(text, "- [x] {what}"),
            std::cmp::Ordering::Equal => writeln!(text, "- [ ] **{what}**{attempt}"),
            std::cmp::Ordering::Greater => writeln!(text, "- [ ] {what}"),
        };
    }
    text.trim_end().to_owned()
}

fn asking(page: &mut Page, task: &Task, about: About, questions: &[Question], until: Time) {
    let lead = match about {
        About::Brief => {
            "I have not started: the text does not say enough to know when the work is done."
        }
        About::Work if task.kept.is_some() => "Paused, work kept. The agent asks (its words):",
        About::Work => "Paused. The agent asks (its words):",
    };
    page.add(lead);
    let mut pastes = Vec::new();
    let rows: Vec<String> = questions
        .iter()
        .enumerate()
        .map(|(index, question)| {
            let mut asked = question.text.as_str();
            // Our own questions about the text carry a skeleton below their first line.
            if about == About::Brief
                && let Some((first, rest)) = question.text.trim().split_once('\n')
            {
                asked = first;
                pastes.push(rest.trim_matches('\n'));
            }
            let mut row = format!("{}. {}", index + 1, line(asked, 420));
            if !question.choices.is_empty() {
                let choices = question.choices.join(" / ");
                let _ = write!(row, " Choices: {}.", line(&choices, 220));
            }
            if let Some(default) = &question.default {
                let _ = write!(row, " (Default: {})", line(default, 120));
            }
            row
        })
        .collect();
    page.rows("", &rows, 160, "questions");
    let more = unfinished(task).map_or(0, |seen| seen.questions_left_out);
    if more > 0 {
        page.add(&format!(
            "It asked {}; see its log.",
            count(more, "more question", "more questions")
        ));
    }
    for paste in pastes {
        page.add("To paste and fill in:");
        let room = page.left.saturating_sub(170);
        // Its beginning, since a skeleton is read from the top.
        page.add(within(paste, room, block).trim_end());
    }
    page.add(&format!(
        "Without an answer by {} UTC I stop and leave nothing behind.",
        until.date_clock()
    ));
}

fn awaiting(page: &mut Page, task: &Task, of: &ApprovalOf, voice: &Voice) {
    match of {
        ApprovalOf::Brief { areas } => {
            page.add(&format!(
                "I stopped before any work: the brief `{}` names areas that this repository calls sensitive.",
                task.brief.digest.short()
            ));
            let rows: Vec<String> = areas
                .iter()
                .map(|area| {
                    format!(
                        "- {} matches {}",
                        span(&area.named, 150),
                        span(&area.pattern, 150)
                    )
                })
                .collect();
            page.rows("", &rows, 300, "areas");
            page.add(&format!("Goal: {}", line(&task.brief.goal, 400)));
        }
        ApprovalOf::Round { text } => {
            page.add(&format!(
                "{} of {} rounds are used. Another one needs a yes. It would work on:",
                task.round,
                rounds(task)
            ));
            page.add(&format!("> {}", line(text, 900)));
        }
        ApprovalOf::Result => {
            let Some(revision) = &task.revision else {
                return;
            };
            let name = format!("r{}", revision.number);
            page.add(&format!(
                "Paused with the result kept as {name} (`{}`): {}; {}. It is published as it is once nothing below waits for a yes.",
                revision.result.head.short(),
                size(&revision.result),
                required(&revision.result.evidence)
            ));
            let rows: Vec<String> = revision
                .open_asks()
                .map(|ask| format!("- {}", finding_line(ask)))
                .collect();
            page.rows("", &rows, 900, "findings");
            let granted: Vec<&str> = revision
                .granted
                .iter()
                .map(|cause| cause_words(*cause))
                .collect();
            if !granted.is_empty() {
                page.add(&format!("Already approved: {}.", granted.join(" and ")));
            }
            let mut ways = vec![format!(
                "- {} grants all of it.",
                voice.say("approve", &name, task.id)
            )];
            let causes = open_causes(task);
            if causes.len() > 1 {
                for cause in &causes {
                    ways.push(format!(
                        "- {} grants {} alone.",
                        voice.say("approve", cause.word(), task.id),
                        cause_words(*cause)
                    ));
                }
            }
            // No other work would be pushed without those workflows.
            for cause in causes.iter().filter(|cause| **cause != Cause::Ci) {
                ways.push(format!(
                    "- {} has the agent find a way without {}.",
                    voice.say("reject", cause.word(), task.id),
                    cause_words(*cause)
                ));
            }
            ways.push(format!(
                "- {} ends the task and removes what it left.",
                voice.say("reject", "", task.id)
            ));
            page.add(&format!("Ways to decide:\n\n{}", ways.join("\n")));
            evidence_table(page, task, 0);
        }
    }
}

fn cause_words(cause: Cause) -> &'static str {
    match cause {
        Cause::Scope => "what is outside the ordinary scope",
        Cause::Deps => "the dependency changes",
        Cause::Ci => "the run of those workflows",
    }
}

/// What a reader has to know about the text itself.
fn about_the_text(page: &mut Page, task: &Task, voice: &Voice) {
    let retry = voice.say("retry", "", task.id);
    if let Some(at) = task.issue_edited_at {
        page.add(&format!(
            "The issue text changed at {} UTC, after I took the brief `{}`; the work goes on with the brief as taken, and {} uses the new text.",
            at.date_clock(),
            task.brief.digest.short(),
            retry
        ));
    }
    if let Some(row) = hidden_line(task, 3) {
        page.add(&row);
    }
    if let Some(row) = left_out_line(task) {
        page.add(&row);
    }
    page.rows("", &warning_rows(task), 0, "warnings");
}

/// How many comments the agent was not shown; `None` when there are none.
pub(super) fn left_out_line(task: &Task) -> Option<String> {
    let left_out = task.brief.comments_left_out;
    let whose = match task.settings.context.comments_from {
        CommentsFrom::None => "comments are no part of the brief",
        CommentsFrom::Write => "their authors do not have write",
        CommentsFrom::Triage => "their authors do not have triage",
        CommentsFrom::Anyone => "nothing proves that nobody edited them",
    };
    let mut parts = Vec::new();
    if left_out > 0 {
        parts.push(format!(
            "{} left out of the brief: {whose} (`[context] comments_from`).",
            count(left_out as usize, "comment", "comments")
        ));
    }
    let crowded = task.brief.comments_without_room;
    if crowded > 0 {
        parts.push(format!(
            "{} left out of the brief: there was no room (`[context] max_chars`).",
            count(crowded as usize, "comment", "comments")
        ));
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// What a person should know about the text and nothing was stopped by, as list items.
pub(super) fn warning_rows(task: &Task) -> Vec<String> {
    warnings(&task.brief, task.survey)
        .iter()
        .map(|warning| format!("- Warning: {}", line(warning, 300)))
        .collect()
}

/// What was hidden in the issue, in one line; `None` when nothing was.
pub(super) fn hidden_line(task: &Task, most: usize) -> Option<String> {
    let hidden = &task.brief.hidden;
    if hidden.is_empty() {
        return None;
    }
    let shown: Vec<String> = hidden
        .iter()
        .take(most)
        .map(|one| {
            let kind = match one.kind {
                HiddenKind::Comment => "HTML comment",
                HiddenKind::Tag => "HTML tag",
                HiddenKind::Invisible => "invisible characters",
                HiddenKind::Bidirectional => "characters that reorder text",
                HiddenKind::Entity => "character reference",
                HiddenKind::Reference => "link or image that is not shown",
            };
            format!("line {} ({kind}) {}", one.line, span(&one.text, 90))
        })
        .collect();
    let more = match hidden.len() - shown.len() {
        0 => String::new(),
        rest => format!("; and {rest} more"),
    };
    Some(format!(
        "Hidden text was removed from the brief and kept from the agent: {}{more}.",
        shown.join("; ")
    ))
}

fn publish_step(voice: &Voice) -> &'static str {
    if voice.is_local() {
        "Make the branch and write `PR.md`"
    } else {
        "Open the pull request"
    }
}

fn minutes(secs: u64) -> String {
    if secs.is_multiple_of(60) {
        format!("{} min", secs / 60)
    } else {
        format!("{secs} s")
    }
}
