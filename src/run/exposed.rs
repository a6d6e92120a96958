//! What a push of the result would run with the repository's secrets.
//!
//! Asked before the first push of a task, where the server wants that and nobody allowed these workflows before. The
//! workflows are those of the base commit: what an agent changes of them is never pushed.

use super::{Bench, Exit, blocking};
use crate::domain::exposure::{TOO_LONG, WORKFLOW_FOLDERS, exposure};
use crate::domain::gates::{Finding, Gate, Outcome};
use crate::domain::task::{RunResult, Task};
use crate::git;

/// Largest workflow whose content counts; of a longer one only that it is too long, which is asked about too.
const FILE_CAP: u64 = 16 << 20;
/// Most reasons that are shown.
const REASONS: usize = 10;

/// Adds what has to be asked about a result, with one finding for each reason.
pub(super) async fn ask(bench: &Bench, task: &Task, result: &mut RunResult) -> Result<(), Exit> {
    let Some(allowed) = &bench.exposures_allowed else {
        return Ok(());
    };
    let (mirror, base, branch) = (bench.mirror.clone(), task.base.clone(), task.branch.clone());
    let found = blocking(move || {
        let mut files = Vec::new();
        for path in mirror.list_files(&base)? {
            let is_workflow = WORKFLOW_FOLDERS
                .iter()
                .any(|folder| path.as_bytes().starts_with(format!("{folder}/").as_bytes()));
            if is_workflow {
                let bytes = match mirror.file_at(&base, &path, FILE_CAP) {
                    Err(git::Error::Limit { .. }) => vec![0; TOO_LONG],
                    found => found?.unwrap_or_default(),
                };
                files.push((path, bytes));
            }
        }
        Ok(exposure(&files, &branch))
    })
    .await?;
    if !found.is_exposed() || allowed.contains(&found.digest) {
        return Ok(());
    }
    let shown = found.reasons.iter().take(REASONS).map(|reason| Finding {
        gate: Gate::Exposure,
        outcome: Outcome::Ask,
        path: Some(reason.path.clone()),
        line: reason.line,
        reason: format!(
            "our push would run this workflow: {} (the server's `[policy] ci_exposure`)",
            reason.why
        ),
    });
    result.findings.extend(shown);
    result.exposure = Some(found.digest);
    Ok(())
}
