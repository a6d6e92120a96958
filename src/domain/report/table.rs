//! The table of checks in a status.

use super::super::evidence::CheckEvidence;
use super::super::task::Task;
use super::{Page, current_result, exits, passes, span, verdict_cell};

/// Checks on base and here; red ones first where there are many.
pub(super) fn evidence_table(page: &mut Page, task: &Task, keep: usize) {
    let Some(result) = current_result(task) else {
        return;
    };
    let mut checks: Vec<&CheckEvidence> = result.evidence.iter().collect();
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
                verdict_cell(check),
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
