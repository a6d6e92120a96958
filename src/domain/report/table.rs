//! The table of checks in a status.

use super::super::evidence::CheckEvidence;
use super::super::task::Task;
use super::{Page, current_evidence, exits, passes, span, unfinished, verdict_cell};

/// Checks on base and here; red ones first where there are many.
pub(super) fn evidence_table(page: &mut Page, task: &Task, keep: usize) {
    let mut checks: Vec<&CheckEvidence> = current_evidence(task).iter().collect();
    if checks.len() > 8 {
        checks.sort_by_key(|check| passes(check.verdict()));
    }
    let rows: Vec<String> = checks
        .into_iter()
        .map(|check| {
            format!(
                "| {} | {} | {} | {}{} |",
                span(&check.name, 60),
                exits(&check.base),
                exits(&check.head),
                if check.head.is_empty() && unfinished(task).is_some() {
                    "not run here".to_owned()
                } else {
                    verdict_cell(check)
                },
                if check.required {
                    ""
                } else {
                    " (not required)"
                }
            )
        })
        .collect();
    page.rows(
        "| Check | Base | Here | |\n|---|---|---|---|\n",
        &rows,
        keep,
        "checks",
    );
}
