//! The status of a result in review: ours, or what a person made of it.

use super::super::decide::verdict;
use super::super::evidence::{Met, judge_criteria};
use super::super::gates::{Finding, Outcome};
use super::super::ident::CommitId;
use super::super::task::{RunResult, Stage, Task};
use super::table::evidence_table;
use super::turn::{capital, result_noun};
use super::{Page, Voice, checks_origin, count, dependencies, finding_line, required, size};

/// A head of the branch that is not ours, and what is known of it.
pub(super) enum Theirs<'a> {
    /// Nothing: all that is known is of our own commit.
    Unknown {
        /// Their commit.
        head: &'a CommitId,
        /// The checks run on it now.
        checking: bool,
    },
    /// The checks and gates ran on it.
    Judged,
}

/// Whether the head in review is a person's.
pub(super) fn theirs(task: &Task) -> Option<Theirs<'_>> {
    let Stage::InReview { head, checking, .. } = &task.stage else {
        return None;
    };
    let revision = task.revision.as_ref()?;
    if revision.result.head != *head {
        let checking = checking.is_some();
        return Some(Theirs::Unknown { head, checking });
    }
    revision.theirs.then_some(Theirs::Judged)
}

impl Theirs<'_> {
    /// What is known of it, as a sentence that ends before the full stop.
    pub(super) fn told(&self) -> &'static str {
        match self {
            Self::Unknown { checking: true, .. } => "the checks run on it now",
            Self::Unknown { .. } => "I have not checked it",
            Self::Judged => "my checks and gates ran on it",
        }
    }
}

pub(super) fn review(page: &mut Page, task: &Task, voice: &Voice) {
    let subject = capital(&result_noun(task, voice));
    let Some(result) = task.revision.as_ref().map(|revision| &revision.result) else {
        page.add(&format!("{subject} is there to judge."));
        return;
    };
    match theirs(task) {
        None => {
            let open = open_criteria(task, result);
            let state = if verdict(result).is_some() {
                "is up as a draft, **not verified**"
            } else if open.is_empty() {
                "is ready to judge"
            } else {
                "is up but **not complete**"
            };
            page.add(&format!("{subject} {state}: {}", figures(task, result)));
            not_shown(page, &open);
        }
        Some(ref theirs @ Theirs::Unknown { head, .. }) => {
            page.add(&format!(
                "{subject} is at `{}`, a commit that is not mine; {}. What follows is old: it is of my own `{}`.",
                head.short(),
                theirs.told(),
                result.head.short()
            ));
            page.add(&capital(&figures(task, result)));
        }
        Some(theirs @ Theirs::Judged) => {
            let failure = verdict(result);
            let state = match &failure {
                None => "",
                Some(_) => " It is **not verified**.",
            };
            page.add(&format!(
                "{subject} is at `{}`, a commit that is not mine; {}.{state}",
                result.head.short(),
                theirs.told()
            ));
            let rows = |outcome| -> Vec<String> {
                let of = |finding: &&Finding| finding.outcome == outcome;
                let found = result.findings.iter().filter(of);
                found
                    .map(|one| format!("- {}", finding_line(one)))
                    .collect()
            };
            let refused = rows(Outcome::Refuse);
            if refused.is_empty() {
                page.add(&capital(&figures(task, result)));
                not_shown(page, &open_criteria(task, result));
            } else {
                page.add(&format!("{}.", capital(&size(result))));
                let head = "The gates refuse it, so no check ran:\n\n";
                page.rows(head, &refused, 900, "findings");
            }
            let head = "What the gates ask about is for the reviewer to decide:\n\n";
            page.rows(head, &rows(Outcome::Ask), 700, "findings");
        }
    }
    if let Some(by_hand) = &result.by_hand {
        page.add(&format!(
            "The agent also changed {}, which I may not publish: the patch for a person to apply stands in {}.",
            count(by_hand.files.len() + by_hand.files_left_out, "workflow file", "workflow files"),
            result_noun(task, voice)
        ));
    }
    if let Some(origin) = checks_origin(task) {
        page.add(&origin);
    }
    evidence_table(page, task, 0);
}

/// Numbers of the criteria that no check shows.
fn open_criteria(task: &Task, result: &RunResult) -> Vec<String> {
    judge_criteria(&task.brief, &task.settings.checks, &result.evidence)
        .iter()
        .filter(|verdict| verdict.met != Met::Yes)
        .map(|verdict| verdict.number.to_string())
        .collect()
}

/// What the checks say of a result and how large it is.
fn figures(task: &Task, result: &RunResult) -> String {
    let all = task.brief.criteria.len();
    format!(
        "{} of {all} criteria have evidence, {} in a clean checkout of `{}`. {}, {}.",
        all - open_criteria(task, result).len(),
        required(&result.evidence),
        result.head.short(),
        size(result),
        dependencies(task, result)
    )
}

fn not_shown(page: &mut Page, open: &[String]) {
    let shown: Vec<&str> = open.iter().take(20).map(String::as_str).collect();
    let more = match open.len() - shown.len() {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    let which = match open.len() {
        0 => return,
        1 => format!("criterion {}", shown.join("")),
        _ => format!("criteria {}", shown.join(", ")),
    };
    page.add(&format!(
        "No check shows {which}{more}; a person has to look."
    ));
}
