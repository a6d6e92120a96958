//! The status of a task that stopped, for now or for good.

use super::super::task::{ByHand, Ending, Failure, FailureClass, Task};
use super::pull::left_by_hand;
use super::table::evidence_table;
use super::turn::{capital, result_noun, sentence};
use super::{Page, Voice, count, current_result, finding_line, last_lines, line, span, unfinished};

pub(super) fn failed(page: &mut Page, task: &Task, failure: &Failure, voice: &Voice) {
    let state = match (&task.pull, failure.class) {
        (Some(_), _) => format!("{} stays as it was.", capital(&result_noun(task, voice))),
        // What refused may have come after the branch.
        (None, FailureClass::Forge) => "The result is kept, but not published.".to_owned(),
        (None, _) if voice.is_local() => {
            "No branch was made; the repository is untouched.".to_owned()
        }
        (None, _) => "No pull request was opened; the base is untouched.".to_owned(),
    };
    let retried = match task.auto_retries {
        0 => String::new(),
        1 => " I already tried once more by myself.".to_owned(),
        more => format!(" I already tried {more} times more by myself."),
    };
    page.add(&format!(
        "**Stopped. I will not retry by myself.** Class: {}. {}{retried} {state}",
        failure.class.word(),
        sentence(&line(&failure.message, 700)),
    ));
    if failure.class == FailureClass::Scope
        && let Some(result) = current_result(task)
    {
        let rows: Vec<String> = result
            .findings
            .iter()
            .filter(|finding| finding.outcome == super::super::gates::Outcome::Refuse)
            .map(|finding| format!("- {}", finding_line(finding)))
            .collect();
        page.rows("", &rows, 500, "findings");
    }
    evidence_table(page, task, 500);
    if let Some(by_hand) = by_hand(task)
        && !left_by_hand(page, by_hand, 600, 300)
    {
        page.add(&format!(
            "It is kept with the task; the page that `prentice tasks show {} --link` names has it.",
            task.id
        ));
    }
    let summary = match failure.class {
        FailureClass::Agent | FailureClass::NoChange => {
            "Last lines of the agent (its words, not mine)"
        }
        FailureClass::Infra
        | FailureClass::Forge
        | FailureClass::Config
        | FailureClass::Setup
        | FailureClass::Baseline
        | FailureClass::Verify
        | FailureClass::Scope
        | FailureClass::Budget
        | FailureClass::Timeout
        | FailureClass::Limit
        | FailureClass::Conflict
        | FailureClass::Provider => "Last lines of the log",
    };
    page.fold(summary, &last_lines(&failure.tail, 15), 1_500);
    if task.kept.is_some() {
        page.add("The work so far is kept; a retry goes on from it.");
    }
}

/// What a failed run left for a person to apply, and nothing else.
pub(super) fn by_hand(task: &Task) -> Option<&ByHand> {
    unfinished(task)?.by_hand.as_ref()
}

pub(super) fn ended(
    page: &mut Page,
    task: &Task,
    how: Ending,
    by: &str,
    reason: Option<&str>,
    left: Option<&[String]>,
    voice: &Voice,
) {
    let by = line(by, 60);
    let reason = reason.map_or(String::new(), |text| format!(": “{}”", line(text, 600)));
    match how {
        Ending::Merged => {
            let what = match &task.pull {
                Some(pull) if !voice.is_local() => format!("Merged as #{}", pull.number),
                _ => format!("Branch {} was merged", span(&task.branch, 150)),
            };
            page.add(&format!(
                "{what} by {by}. {}.",
                count(task.round.max(1) as usize, "round", "rounds")
            ));
        }
        Ending::Rejected => page.add(&format!("Rejected by {by}{reason}.")),
        Ending::Stopped => page.add(&format!(
            "Stopped by {by} at {} UTC{reason}.",
            task.since.date_clock()
        )),
    }
    match (left, how) {
        (None, _) => page.add("Branch and files of this task are being removed."),
        (Some([]), Ending::Merged) => page.add("Nothing else to clean up."),
        (Some([]), Ending::Stopped) => page.add(&format!(
            "Branch and files are removed; log and patch stay until {} UTC.",
            task.since
                .plus_secs(task.settings.task.keep_secs)
                .date_clock()
        )),
        (Some([]), Ending::Rejected) => page.add(
            "Branch and files are removed; only the record is left, and nothing else to clean up.",
        ),
        (Some(left), _) => {
            let rows: Vec<String> = left
                .iter()
                .map(|what| format!("- {}", line(what, 300)))
                .collect();
            page.rows("What I could not remove:\n\n", &rows, 0, "things");
        }
    }
}
