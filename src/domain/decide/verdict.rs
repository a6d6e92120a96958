//! What a result is worth, whatever a person says of it.

use crate::domain::evidence::{Overall, class_of, overall};
use crate::domain::gates::{Outcome, outcome};
use crate::domain::task::{Failure, FailureClass, Revision, RunResult};

/// Why a result cannot be published whatever a person says: a gate refuses, or it is not verified. `None` where it
/// can be, once nobody is asked anything.
#[must_use]
pub fn verdict(result: &RunResult) -> Option<Failure> {
    if outcome(&result.findings) == Outcome::Refuse {
        return Some(refusal(result));
    }
    match overall(&result.evidence) {
        Overall::Green => None,
        Overall::Red { checks } => Some(still_red(result, &checks)),
        Overall::NothingRequiredRan => Some(Failure {
            class: FailureClass::Verify,
            message: "no required check ran on the result, so nothing is verified".to_owned(),
            tail: String::new(),
        }),
    }
}

fn refusal(result: &RunResult) -> Failure {
    let refusals: Vec<&str> = result
        .findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Refuse)
        .map(|finding| finding.reason.as_str())
        .collect();
    let message = match refusals.as_slice() {
        [] => "a gate refused the result".to_owned(),
        [only] => (*only).to_owned(),
        [first, rest @ ..] => format!("{first} ({} more)", rest.len()),
    };
    Failure {
        class: FailureClass::Scope,
        message,
        tail: String::new(),
    }
}

/// A red result. A limit or a time-out that ended a required check is told as that, since its cure is another.
fn still_red(result: &RunResult, checks: &[String]) -> Failure {
    let first = result
        .evidence
        .iter()
        .find(|check| checks.contains(&check.name))
        .and_then(|check| {
            Some((
                check,
                check
                    .head
                    .iter()
                    .find(|seen| !seen.exit.is_green())
                    .or(check.head.last())?,
            ))
        });
    let Some((check, seen)) = first else {
        return Failure {
            class: FailureClass::Verify,
            message: format!("required check `{}` is red", checks.join("`, `")),
            tail: String::new(),
        };
    };
    let (class, how) = class_of(&seen.exit);
    let also = match checks.len() {
        0 | 1 => String::new(),
        n => format!(" ({} more required checks are red)", n - 1),
    };
    let attempts = match result.facts.attempts {
        0 | 1 => String::new(),
        n => format!(" after {n} attempts"),
    };
    Failure {
        class,
        message: format!("required check `{}` {how}{attempts}{also}", check.name),
        tail: seen.tail.clone(),
    }
}

/// Whether a revision may be published as it is.
pub(super) fn publishable(revision: &Revision) -> bool {
    verdict(&revision.result).is_none() && revision.open_asks().next().is_none()
}
