//! What is asked, and what an approval that names something grants.
//!
//! An approval is bound to what it names: a brief by its number or digest, a
//! result by its number or commit. One that names something else grants nothing.

use std::collections::BTreeSet;

use crate::domain::event::Target;
use crate::domain::gates::{Cause, Finding};
use crate::domain::task::{ApprovalOf, Task};

/// What may be typed to approve what is asked now.
#[must_use]
pub fn asked_now(task: &Task, of: &ApprovalOf) -> Vec<String> {
    match of {
        ApprovalOf::Brief { .. } => vec![format!("b{}", task.brief_number())],
        ApprovalOf::Round { .. } => vec!["round".to_owned()],
        ApprovalOf::Result => {
            let Some(revision) = &task.revision else {
                return Vec::new();
            };
            let mut asked = vec![format!("r{}", revision.number)];
            let causes: BTreeSet<Cause> = revision.open_asks().map(Finding::cause).collect();
            asked.extend(causes.into_iter().map(|cause| cause_word(cause).to_owned()));
            asked
        }
    }
}

pub(super) fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Scope => "scope",
        Cause::Deps => "deps",
    }
}

/// The causes that `target` names among what is asked; `None` when it names something else.
pub(super) fn granted_by(
    task: &Task,
    of: &ApprovalOf,
    target: Option<&Target>,
) -> Option<Vec<Cause>> {
    let all = vec![Cause::Scope, Cause::Deps];
    let Some(target) = target else {
        return Some(all);
    };
    match (of, target) {
        (ApprovalOf::Brief { .. }, Target::Brief { number }) => {
            (*number == task.brief_number()).then_some(all)
        }
        (ApprovalOf::Brief { .. }, Target::Digest { digits }) => task
            .brief
            .digest
            .as_str()
            .starts_with(digits.as_str())
            .then_some(all),
        (ApprovalOf::Round { .. }, Target::Round) => Some(all),
        (ApprovalOf::Result, target) => {
            let revision = task.revision.as_ref()?;
            let asks = |cause| revision.open_asks().any(|finding| finding.cause() == cause);
            match target {
                Target::Revision { number } => (*number == revision.number).then_some(all),
                Target::Digest { digits } => revision
                    .result
                    .head
                    .as_str()
                    .starts_with(digits.as_str())
                    .then_some(all),
                Target::Scope => asks(Cause::Scope).then_some(vec![Cause::Scope]),
                Target::Deps => asks(Cause::Deps).then_some(vec![Cause::Deps]),
                Target::Brief { .. } | Target::Round => None,
            }
        }
        (ApprovalOf::Brief { .. } | ApprovalOf::Round { .. }, _) => None,
    }
}
