//! The only function that moves a task. Pure and total: every stage meets every event here.
//!
//! An answer names its question (a run, a revision, a timer); one that answers a
//! question no longer asked is [`Decision::Stale`] and moves nothing. A person's
//! act that does not fit is [`Decision::Refused`] with what is true now.

mod answer;
mod approval;
mod issue;
mod next;
mod not_now;
mod verdict;

pub use approval::asked_now;
use next::Next;
pub use not_now::NotNow;
use verdict::publishable;
pub use verdict::verdict;

use super::effect::Effect;
use super::event::{Event, Timer};
use super::ident::Time;
use super::task::{About, ApprovalOf, Ending, Failure, FailureClass, Stage, Step, Task, Waiting};

/// What follows from an event. Someone else performs it.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The task is now this, and these effects are to be performed.
    Moved {
        /// The task after the event.
        task: Box<Task>,
        /// In order.
        effects: Vec<Effect>,
    },
    /// An answer to a question no longer asked, or news that changes nothing.
    Stale,
    /// A person asked for something that is not possible now; they are told.
    Refused(NotNow),
}

/// Decides what follows when `event` happens to `task` at `at`.
pub fn decide(task: &Task, event: &Event, at: Time) -> Decision {
    let next = Next::new(task, at);
    match event {
        // Made the task; whatever is there was made by one.
        Event::Requested { .. } => Decision::Stale,
        Event::Accepted {
            by,
            digest,
            address,
        } => match &task.stage {
            Stage::Proposed if *digest == task.brief.digest => next.accept(by, address),
            Stage::Proposed => refused(NotNow::OtherText {
                number: task.brief_number(),
            }),
            Stage::Ended { .. } => refused(NotNow::Final),
            Stage::Queued { .. }
            | Stage::Running { .. }
            | Stage::Asking { .. }
            | Stage::AwaitingApproval { .. }
            | Stage::Publishing { .. }
            | Stage::InReview { .. }
            | Stage::TakenOver { .. }
            | Stage::Failed { .. } => refused(NotNow::NothingToApprove),
        },
        Event::RunStarted { run, .. } => match &task.stage {
            Stage::Queued { run: asked, why } if asked == run && !is_person(why) => {
                next.run_at(*run, Step::Prepare, None)
            }
            // Claimed again after a worker was lost: the steps begin anew.
            Stage::Running {
                run: asked,
                stopping,
                ..
            } if asked == run => next.run_at(*run, Step::Prepare, stopping.clone()),
            _ => Decision::Stale,
        },
        Event::Progressed { run, step } => match &task.stage {
            Stage::Running {
                run: asked,
                stopping,
                ..
            } if asked == run => next.run_at(*run, *step, stopping.clone()),
            _ => Decision::Stale,
        },
        Event::WentQuiet { run } => match &task.stage {
            Stage::Running {
                run: asked,
                step,
                quiet_since: None,
                stopping,
            } if asked == run => next.quiet(*run, *step, Some(at), stopping.clone()),
            _ => Decision::Stale,
        },
        Event::Heard { run } => match &task.stage {
            Stage::Running {
                run: asked,
                step,
                quiet_since: Some(_),
                stopping,
            } if asked == run => next.quiet(*run, *step, None, stopping.clone()),
            _ => Decision::Stale,
        },
        Event::RunEnded { run, outcome } => match &task.stage {
            Stage::Queued { run: asked, why } if asked == run && !is_person(why) => {
                next.answered().run_ended(*run, outcome, None)
            }
            Stage::Running {
                run: asked,
                stopping,
                ..
            } if asked == run => {
                let next = next.answered();
                next.run_ended(*run, outcome, stopping.as_deref())
            }
            // Checks on a person's head that could not be run at all: the evidence stays old, and they may ask again.
            Stage::InReview {
                head,
                checking: Some(asked),
                closing,
            } if asked == run => {
                let (head, closing) = (head.clone(), closing.clone());
                next.answered().review(head, None, closing)
            }
            _ => Decision::Stale,
        },
        Event::Checked {
            run,
            head,
            files,
            evidence,
            findings,
            repository_file,
        } => match &task.stage {
            Stage::InReview {
                head: current,
                checking: Some(asked),
                closing,
            } if asked == run && head == current => {
                let closing = closing.clone();
                let mut next = next.answered();
                if let Some(revision) = &mut next.task.revision {
                    // A revision of its own, so that an approval of the one before does not name it.
                    (revision.number, revision.run) = (revision.number + 1, *run);
                    revision.judged_anew(head, files, evidence, findings, repository_file.as_ref());
                }
                next.review(head.clone(), None, closing)
            }
            _ => Decision::Stale,
        },
        Event::Published { revision, pull } => match &task.stage {
            Stage::Publishing { revision: asked } if asked == revision => {
                let mut next = next;
                next.task.pull = Some(pull.clone());
                next.review(pull.head.clone(), None, None)
            }
            _ => Decision::Stale,
        },
        Event::PublishedBeside { head, page } => next.published_beside(head, page),
        Event::PublishFailed { revision, failure } => match &task.stage {
            Stage::Publishing { revision: asked } if asked == revision => {
                next.fail(failure.clone())
            }
            _ => Decision::Stale,
        },
        Event::CleanedUp { left } => match &task.stage {
            Stage::Ended {
                how,
                by,
                reason,
                left: None,
            } => {
                let (how, by, reason) = (*how, by.clone(), reason.clone());
                next.to(Stage::Ended {
                    how,
                    by,
                    reason,
                    left: Some(left.clone()),
                })
            }
            _ => Decision::Stale,
        },
        Event::Answered { by, text } => match &task.stage {
            Stage::Asking {
                about, questions, ..
            } => next.answer(*about, questions, by, text),
            Stage::Ended { .. } => refused(NotNow::Final),
            _ => refused(NotNow::NothingAsked),
        },
        Event::Approved {
            by,
            target,
            address,
        } => match &task.stage {
            Stage::AwaitingApproval { of } => next.approve(of, by, target.as_ref()),
            // Of a person's commit, which is there already: it is only granted.
            Stage::InReview {
                head,
                checking: None,
                closing: None,
            } if next.asks_about(head) => next.approve(&ApprovalOf::Result, by, target.as_ref()),
            // Nothing is asked: good as it is, which marks a draft as ready.
            Stage::InReview { closing: None, .. } if next.is_ours() => {
                next.approve_published(by, target.as_ref())
            }
            // Accepting a proposed text by its name is the same act as the label.
            Stage::Proposed => match target {
                Some(target) if approval::names_brief(task, target) => next.accept(by, address),
                _ => refused(NotNow::OtherText {
                    number: task.brief_number(),
                }),
            },
            Stage::Ended { .. } => refused(NotNow::Final),
            _ => refused(NotNow::NothingToApprove),
        },
        Event::Rejected { by, target, reason } => match &task.stage {
            Stage::Ended { .. } => refused(NotNow::Final),
            Stage::AwaitingApproval { of } => next.reject_asked(of, by, target.as_ref(), reason),
            _ if target.is_some() => refused(NotNow::NothingToApprove),
            _ => next.end(Ending::Rejected, by, reason.clone()),
        },
        Event::Retried {
            by,
            fresh,
            budget,
            text,
            address,
        } => match &task.stage {
            Stage::Failed { .. }
            | Stage::Asking {
                about: About::Work, ..
            } => {
                let mut next = next;
                if *fresh {
                    next.task.kept = None;
                    next.task.notes.clear();
                }
                if let Some(grant) = budget {
                    next.task.settings.grant(*grant);
                }
                match (&task.stage, &task.revision) {
                    // Only the forge failed: what is verified and granted is published again, without the agent.
                    // A result that a person's commit came after is none of that.
                    (Stage::Failed { failure }, Some(revision))
                        if !fresh
                            && failure.class == FailureClass::Forge
                            && revision.run == task.run
                            && task.edited.is_none()
                            && publishable(revision) =>
                    {
                        next.publish(revision.number)
                    }
                    _ => next.another_try(by, address, text.as_ref()),
                }
            }
            Stage::Ended { .. } => refused(NotNow::Final),
            _ => refused(NotNow::NothingToRetry),
        },
        Event::Stopped { by } => match &task.stage {
            Stage::Running {
                run,
                step,
                quiet_since,
                stopping: None,
            } => {
                let (run, step, quiet) = (*run, *step, *quiet_since);
                next.effect(Effect::Cancel { run })
                    .quiet(run, step, quiet, Some(by.clone()))
            }
            Stage::Running {
                stopping: Some(_), ..
            } => Decision::Stale,
            Stage::Proposed
            | Stage::Queued { .. }
            | Stage::Asking { .. }
            | Stage::AwaitingApproval { .. }
            | Stage::Publishing { .. }
            | Stage::Failed { .. } => next.end(Ending::Stopped, by, None),
            // A result that a person can see is turned down by closing or rejecting it.
            Stage::InReview { .. } | Stage::TakenOver { .. } => refused(NotNow::NothingToStop),
            Stage::Ended { .. } => refused(NotNow::Final),
        },
        Event::Resumed { .. } => match &task.stage {
            Stage::Queued {
                why: Waiting::Person { .. },
                ..
            } => next.queue(Waiting::Slot),
            Stage::Ended { .. } => refused(NotNow::Final),
            _ => refused(NotNow::NothingToResume),
        },
        Event::FixAsked { by, text } => match &task.stage {
            Stage::InReview { closing: None, .. } => next.fix(by, text),
            Stage::Ended { .. } => refused(NotNow::Final),
            _ => refused(NotNow::NothingToFix),
        },
        Event::TookOver { by } => match &task.stage {
            Stage::TakenOver { .. } => Decision::Stale,
            Stage::Ended { .. } => refused(NotNow::Final),
            Stage::Running { .. }
            | Stage::InReview { .. }
            | Stage::Failed { .. }
            | Stage::Publishing { .. } => next.to(Stage::TakenOver { by: by.clone() }),
            Stage::Proposed
            | Stage::Queued { .. }
            | Stage::Asking { .. }
            | Stage::AwaitingApproval { .. } => refused(NotNow::NothingToTakeOver),
        },
        Event::HandedBack { head, .. } => match &task.stage {
            Stage::TakenOver { .. } => {
                if task.pull.is_some() {
                    next.their_head(head.clone())
                } else {
                    let mut next = next;
                    next.task.kept = Some(head.clone());
                    next.queue(Waiting::Slot)
                }
            }
            Stage::Ended { .. } => refused(NotNow::Final),
            _ => refused(NotNow::NotTakenOver),
        },
        Event::Merged { by } => match &task.stage {
            Stage::Ended { .. } => Decision::Stale,
            // Nothing of ours was ever there to merge.
            _ if task.revision.is_none() => Decision::Stale,
            _ => next.end(Ending::Merged, by, None),
        },
        Event::Closed { by } => match &task.stage {
            Stage::InReview {
                head,
                checking,
                closing: None,
            } => {
                let (head, checking) = (head.clone(), *checking);
                next.close(head, checking, by)
            }
            Stage::TakenOver { .. } => next.end(Ending::Rejected, by, None),
            // A round in work stops at once: a closed pull request wants nothing more.
            Stage::Proposed
            | Stage::Queued { .. }
            | Stage::Running { .. }
            | Stage::Asking { .. }
            | Stage::AwaitingApproval { .. }
            | Stage::Publishing { .. }
            | Stage::Failed { .. }
                if task.pull.is_some() =>
            {
                next.end(Ending::Rejected, by, None)
            }
            _ => Decision::Stale,
        },
        Event::ClosedByBot { by } => match &task.stage {
            Stage::InReview { .. } => next.fail(Failure {
                class: FailureClass::Forge,
                message: format!("the bot {by} closed the pull request; nothing was deleted"),
                tail: String::new(),
            }),
            _ => Decision::Stale,
        },
        Event::Reopened { .. } => match (&task.stage, &task.pull) {
            (
                Stage::InReview {
                    head,
                    checking,
                    closing: Some(_),
                },
                _,
            ) => {
                let (head, checking) = (head.clone(), *checking);
                next.review(head, checking, None)
            }
            (Stage::Failed { failure }, Some(pull)) if failure.class == FailureClass::Forge => {
                let head = pull.head.clone();
                let newest = task.revision.as_ref().map(|newest| &newest.result.head);
                // A later result that never got there is no evidence for what is there.
                match newest == Some(&head) {
                    true => next.review(head, None, None),
                    false => next.their_head(head),
                }
            }
            _ => Decision::Stale,
        },
        Event::BranchMoved { by, head } => match &task.stage {
            Stage::InReview {
                head: current,
                closing,
                ..
            } if current != head => {
                if closing.is_some() {
                    Decision::Stale
                } else {
                    next.their_head(head.clone())
                }
            }
            // Ours, which is being published: seen before the push was told.
            Stage::Publishing { .. }
                if task
                    .revision
                    .as_ref()
                    .is_some_and(|newest| newest.result.head == *head) =>
            {
                Decision::Stale
            }
            // The pushed commit wins: our work is kept, not published over theirs.
            Stage::Publishing { .. } | Stage::Failed { .. } if task.pull.is_some() => {
                next.their_head(head.clone())
            }
            Stage::Publishing { .. } => next.fail(Failure {
                class: FailureClass::Conflict,
                message: format!(
                    "{by} pushed {} to the task branch; the result was not published over it",
                    head.short()
                ),
                tail: String::new(),
            }),
            Stage::Queued { .. }
            | Stage::Running { .. }
            | Stage::AwaitingApproval { .. }
            | Stage::Asking { .. }
                if task.pull.is_some() =>
            {
                next.their_head(head.clone())
            }
            _ => Decision::Stale,
        },
        Event::BranchGone { by } => match &task.stage {
            Stage::InReview { .. } | Stage::TakenOver { .. } => next.end(
                Ending::Stopped,
                by,
                Some("the task branch is gone".to_owned()),
            ),
            _ => Decision::Stale,
        },
        Event::IssueEdited { brief, .. } => issue::edited(task, next, brief),
        Event::IssueClosed { by } => issue::closed(task, next, by),
        Event::AskedFor { .. } => issue::asked_for(task, next),
        Event::OutOfReach { why } => issue::out_of_reach(task, next, why),
        Event::TimerFired { timer } => match (&task.stage, timer) {
            (Stage::Asking { .. }, Timer::Ask { asked }) if *asked == task.asked => next.end(
                Ending::Stopped,
                "nobody",
                Some("nobody answered in time".to_owned()),
            ),
            (
                Stage::InReview {
                    closing: Some(closing),
                    ..
                },
                Timer::Close { asked },
            ) if *asked == task.asked => {
                let by = closing.by.clone();
                next.end(Ending::Rejected, &by, None)
            }
            _ => Decision::Stale,
        },
    }
}

fn refused(why: NotNow) -> Decision {
    Decision::Refused(why)
}

fn is_person(why: &Waiting) -> bool {
    matches!(why, Waiting::Person { .. })
}

#[cfg(test)]
mod tests;
