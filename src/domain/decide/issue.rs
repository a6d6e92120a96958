//! What becomes of a task when something happens to its issue or its repository.

use super::next::Next;
use super::{Decision, Effect};
use crate::domain::brief::Brief;
use crate::domain::task::{About, ApprovalOf, Ending, Failure, FailureClass, Stage, Task};

/// The issue says something else than what the task was told last.
pub(super) fn edited(task: &Task, next: Next<'_>, brief: &Brief) -> Decision {
    match &task.stage {
        Stage::Ended { .. } => Decision::Stale,
        _ if brief.is_of_same_issue_text(task.newest_text()) => Decision::Stale,
        // Nothing runs by it yet: what was accepted is not what is there, so it is accepted again or not at all.
        Stage::Proposed
        | Stage::Asking {
            about: About::Brief,
            ..
        }
        | Stage::AwaitingApproval {
            of: ApprovalOf::Brief { .. },
        } => next.propose(brief),
        Stage::Queued { .. } if !task.started => next.propose(brief),
        // The run goes on as it began; the next try takes the new text.
        Stage::Queued { .. }
        | Stage::Running { .. }
        | Stage::Asking { .. }
        | Stage::AwaitingApproval { .. }
        | Stage::Publishing { .. }
        | Stage::InReview { .. }
        | Stage::TakenOver { .. }
        | Stage::Failed { .. } => {
            let (at, mut next) = (next.at, next);
            let is_new = !brief.is_of_same_issue_text(&task.brief);
            next.task.edited = is_new.then(|| Box::new(brief.clone()));
            next.task.issue_edited_at = is_new.then_some(at);
            let stage = task.stage.clone();
            next.keeping_since().to(stage)
        }
    }
}

/// The issue was closed, or is there no more.
pub(super) fn closed(task: &Task, next: Next<'_>, by: &str) -> Decision {
    match &task.stage {
        Stage::Running {
            run,
            stopping: None,
            step,
            quiet_since,
        } if task.pull.is_none() => {
            let (run, step, quiet) = (*run, *step, *quiet_since);
            next.effect(Effect::Cancel { run })
                .quiet(run, step, quiet, Some(by.to_owned()))
        }
        Stage::Proposed
        | Stage::Queued { .. }
        | Stage::Asking { .. }
        | Stage::AwaitingApproval { .. }
        | Stage::Failed { .. }
            if task.pull.is_none() =>
        {
            next.end(Ending::Stopped, by, Some("the issue was closed".to_owned()))
        }
        _ => Decision::Stale,
    }
}

/// Somebody who may asked for what was proposed and not shown.
pub(super) fn asked_for(task: &Task, next: Next<'_>) -> Decision {
    match &task.stage {
        Stage::Proposed if task.unshown => {
            let mut next = next.keeping_since();
            next.task.unshown = false;
            next.to(Stage::Proposed)
        }
        _ => Decision::Stale,
    }
}

/// Nothing can be written to the repository any more.
pub(super) fn out_of_reach(task: &Task, next: Next<'_>, why: &str) -> Decision {
    match &task.stage {
        // A person owns the branch, or is told already; what nobody saw needs no word.
        Stage::TakenOver { .. } | Stage::Failed { .. } | Stage::Ended { .. } => Decision::Stale,
        // It waits for a person, and for nothing else: failed, a retry would run what nobody granted.
        Stage::Proposed
        | Stage::Asking {
            about: About::Brief,
            ..
        }
        | Stage::AwaitingApproval {
            of: ApprovalOf::Brief { .. },
        } => Decision::Stale,
        _ if task.unshown => Decision::Stale,
        _ => next.fail(Failure {
            class: FailureClass::Forge,
            message: why.to_owned(),
            tail: String::new(),
        }),
    }
}
