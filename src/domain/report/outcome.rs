//! What an act or an interruption came to, in one or two lines: what was done, what was kept, and why.

use super::super::task::{ApprovalOf, Ending, Stage, Task, Waiting};
use super::asked_name;

/// Label and text. Empty for stages that say it otherwise.
pub(super) fn lines(task: &Task) -> Vec<(&'static str, String)> {
    match &task.stage {
        Stage::Queued {
            why: Waiting::Person { by },
            ..
        } => {
            let kept = match task.kept {
                Some(_) => "the work so far is kept",
                None => "there was no work to keep yet",
            };
            vec![("paused", format!("interrupted by {by}; {kept}"))]
        }
        Stage::AwaitingApproval {
            of: ApprovalOf::Brief { areas },
        } => {
            let name = asked_name(task).unwrap_or_default();
            let row = |named: &str, pattern: &str| {
                format!(
                    "{name}: the brief names {named}, which the repository calls sensitive ({pattern})"
                )
            };
            let rows = areas.iter().map(|area| row(&area.named, &area.pattern));
            rows.map(|row| ("asks", row)).collect()
        }
        Stage::AwaitingApproval {
            of: ApprovalOf::Round { text },
        } => vec![("asks", format!("one more round than allowed, for: {text}"))],
        Stage::Ended { how, left, .. } => ended(task, *how, left.as_deref()),
        _ => Vec::new(),
    }
}

fn ended(task: &Task, how: Ending, left: Option<&[String]>) -> Vec<(&'static str, String)> {
    let branch = &task.branch;
    let left = match (how, left) {
        (Ending::Merged, _) => {
            return vec![(
                "merged",
                format!("branch {branch} was merged; it is yours to delete"),
            )];
        }
        (_, None) => {
            return vec![(
                task.word(),
                "what is left of it is not removed yet".to_owned(),
            )];
        }
        (_, Some(left)) => left,
    };
    let stays = match how {
        Ending::Rejected => "only the record is left".to_owned(),
        Ending::Merged | Ending::Stopped => format!(
            "logs and patch stay until {} UTC",
            task.since
                .plus_secs(task.settings.task.keep_secs)
                .date_clock()
        ),
    };
    let done = match (&task.pull, left) {
        (_, [_, ..]) => "the rest is removed",
        (None, []) => "no branch was made, its files are removed",
        (Some(_), []) => "branch and report are removed",
    };
    let kept = left.iter().map(|what| ("kept", what.clone()));
    kept.chain([(task.word(), format!("{done}; {stays}"))])
        .collect()
}

/// Whether the branch of a result is not told of any more.
pub(super) fn is_withdrawn(task: &Task) -> bool {
    matches!(
        task.stage,
        Stage::Ended {
            how: Ending::Rejected | Ending::Stopped,
            ..
        }
    )
}
