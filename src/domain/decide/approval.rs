//! What is asked, and what an approval that names something grants.
//!
//! An approval is bound to what it names: a brief by its number or digest, a
//! result by its number or commit. One that names something else grants nothing.

use std::collections::BTreeSet;

use super::next::Next;
use super::{Decision, NotNow, refused};
use crate::domain::event::Target;
use crate::domain::gates::{Cause, Finding};
use crate::domain::ident::CommitId;
use crate::domain::task::{
    Approval, ApprovalOf, Ending, Note, NoteKind, Revision, Stage, Task, Waiting,
};

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
            asked.extend(causes.into_iter().map(|cause| cause.word().to_owned()));
            asked
        }
    }
}

/// Fewest digits of a digest by which a text is accepted. Who writes an issue writes as many texts as they like, until
/// two of them share the first digits; the number by which we call a text is not theirs to choose.
const DIGEST_DIGITS: usize = 32;

/// Whether `target` names the brief as it is now.
pub(super) fn names_brief(task: &Task, target: &Target) -> bool {
    match target {
        Target::Brief { number } => *number == task.brief_number(),
        Target::Digest { digits } => {
            let digest = task.brief.digest.as_str();
            digits.len() >= DIGEST_DIGITS && digest.starts_with(digits.as_str())
        }
        _ => false,
    }
}

/// The causes that `target` names among what is asked; `None` when it names something else.
pub(super) fn granted_by(
    task: &Task,
    of: &ApprovalOf,
    target: Option<&Target>,
) -> Option<Vec<Cause>> {
    let all = Cause::ALL.to_vec();
    let target = match (of, target) {
        (_, Some(target)) => target,
        // A round beyond the limit is granted by name alone.
        (ApprovalOf::Round { .. }, None) => return None,
        (ApprovalOf::Brief { .. } | ApprovalOf::Result, None) => return Some(all),
    };
    match (of, target) {
        (ApprovalOf::Brief { .. }, target) => names_brief(task, target).then_some(all),
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
                Target::Ci => asks(Cause::Ci).then_some(vec![Cause::Ci]),
                Target::Brief { .. } | Target::Round => None,
            }
        }
        (ApprovalOf::Round { .. }, _) => None,
    }
}

impl Next<'_> {
    /// Whether the newest result is this commit and something about it is not granted.
    pub(super) fn asks_about(&self, head: &CommitId) -> bool {
        let revision = self.task.revision.as_ref();
        revision.is_some_and(|newest| {
            newest.result.head == *head && newest.open_asks().next().is_some()
        })
    }

    /// Whether what is in review is a result of ours, not a person's commit.
    pub(super) fn is_ours(&self) -> bool {
        let Stage::InReview { head, .. } = &self.task.stage else {
            return false;
        };
        let revision = self.task.revision.as_ref();
        revision.is_some_and(|newest| newest.result.head == *head && !newest.theirs)
    }

    /// Of a published result about which nothing is asked. Bound to its commit: any push voids it.
    pub(super) fn approve_published(mut self, by: &str, target: Option<&Target>) -> Decision {
        let of = ApprovalOf::Result;
        let asked = asked_now(&self.task, &of);
        let bound_to = match &self.task.revision {
            Some(revision) if granted_by(&self.task, &of, target).is_some() => {
                revision.result.head.as_str().to_owned()
            }
            _ => return refused(NotNow::OtherTarget { asked }),
        };
        let known = |known: &Approval| known.by == by && known.bound_to == bound_to;
        if !self.task.approvals.iter().any(known) {
            let approval = Approval {
                by: by.to_owned(),
                target: asked.into_iter().next().unwrap_or_default(),
                bound_to,
                at: self.at,
            };
            self.task.approvals.push(approval);
        }
        let stage = self.task.stage.clone();
        self.keeping_since().to(stage)
    }

    pub(super) fn approve(
        mut self,
        of: &ApprovalOf,
        by: &str,
        target: Option<&Target>,
    ) -> Decision {
        let asked = asked_now(&self.task, of);
        let Some(granted) = granted_by(&self.task, of, target) else {
            return refused(NotNow::OtherTarget { asked });
        };
        let bound_to = match (of, &self.task.revision) {
            (ApprovalOf::Result, Some(revision)) => revision.result.head.as_str().to_owned(),
            _ => self.task.brief.digest.as_str().to_owned(),
        };
        self.task.approvals.push(Approval {
            by: by.to_owned(),
            target: target.map_or_else(
                || asked.first().cloned().unwrap_or_default(),
                ToString::to_string,
            ),
            bound_to,
            at: self.at,
        });
        match of {
            ApprovalOf::Brief { .. } => self.first_round(),
            ApprovalOf::Round { text } => {
                self.task.rounds_granted += 1;
                self.next_round(by, text)
            }
            ApprovalOf::Result => {
                let Some(revision) = &mut self.task.revision else {
                    return Decision::Stale;
                };
                revision.granted.extend(granted);
                let (number, open) = (revision.number, revision.open_asks().count());
                match self.task.stage.clone() {
                    Stage::AwaitingApproval { .. } if open == 0 => self.publish(number),
                    stage => self.keeping_since().to(stage),
                }
            }
        }
    }

    /// A refusal of what is asked. Of one cause of a result: the work goes on without it. Else final.
    pub(super) fn reject_asked(
        mut self,
        of: &ApprovalOf,
        by: &str,
        target: Option<&Target>,
        reason: &Option<String>,
    ) -> Decision {
        if target.is_none() {
            return self.end(Ending::Rejected, by, reason.clone());
        }
        if granted_by(&self.task, of, target).is_none() {
            return refused(NotNow::OtherTarget {
                asked: asked_now(&self.task, of),
            });
        }
        match of {
            ApprovalOf::Brief { .. } => self.end(Ending::Rejected, by, reason.clone()),
            // Whatever the agent did instead would be pushed by the same way.
            ApprovalOf::Result if target == Some(&Target::Ci) => {
                self.end(Ending::Rejected, by, reason.clone())
            }
            ApprovalOf::Round { .. } => match self.task.pull.clone() {
                Some(pull) => self.review(pull.head, None, None),
                None => self.end(Ending::Rejected, by, reason.clone()),
            },
            ApprovalOf::Result => {
                let refusals: Vec<String> = self
                    .task
                    .revision
                    .iter()
                    .flat_map(Revision::open_asks)
                    .map(|finding| finding.reason.clone())
                    .collect();
                let text = match reason {
                    Some(reason) => format!("{}\n{reason}", refusals.join("\n")),
                    None => refusals.join("\n"),
                };
                self.task.kept = self
                    .task
                    .revision
                    .as_ref()
                    .map(|revision| revision.result.head.clone());
                self.task.notes.push(Note {
                    by: by.to_owned(),
                    kind: NoteKind::Refused,
                    text,
                });
                self.queue(Waiting::Slot)
            }
        }
    }
}
