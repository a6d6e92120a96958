//! How a task gets from one stage to the next: each way once.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use super::answer;
use super::verdict::verdict;
use super::{Decision, NotNow, refused};
use crate::domain::brief::{self, Fit};
use crate::domain::effect::Effect;
use crate::domain::event::{RunOutcome, Timer};
use crate::domain::gates::{Outcome, outcome};
use crate::domain::ident::{CommitId, Digest, Time};
use crate::domain::settings::OnVerifyFail;
use crate::domain::task::{
    About, ApprovalOf, Closing, Ending, Failure, FailureClass, Note, NoteKind, Outstanding,
    PublishedAt, Question, Revision, RunResult, Stage, Step, Task, Waiting,
};

/// A task that is copied when it is first changed: most of what happens changes nothing.
pub(super) struct Changing<'a>(Cow<'a, Task>);

impl Deref for Changing<'_> {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.0
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut Task {
        self.0.to_mut()
    }
}

/// A task on its way to the next stage, with the effects gathered so far.
pub(super) struct Next<'a> {
    pub(super) task: Changing<'a>,
    effects: Vec<Effect>,
    pub(super) at: Time,
    keep_since: bool,
    answered: bool,
}

impl<'a> Next<'a> {
    pub(super) fn new(task: &'a Task, at: Time) -> Self {
        Self {
            task: Changing(Cow::Borrowed(task)),
            effects: Vec::new(),
            at,
            keep_since: false,
            answered: false,
        }
    }

    /// The run that was asked for is over: it is what this is about.
    pub(super) fn answered(mut self) -> Self {
        self.answered = true;
        self
    }

    pub(super) fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    pub(super) fn keeping_since(mut self) -> Self {
        self.keep_since = true;
        self
    }

    /// Every change is shown: `Publish` is the last effect of every move, unless nothing of the task is shown. A run that is asked for no longer is
    /// stopped, wherever it is: claimed, it may not have said so yet.
    pub(super) fn to(mut self, stage: Stage) -> Decision {
        if !self.keep_since {
            self.task.since = self.at;
        }
        let asked = self.task.outstanding();
        self.task.stage = stage;
        if let Some(Outstanding::Run(run)) = asked.filter(|_| !self.answered)
            && asked != self.task.outstanding()
        {
            self.effects.insert(0, Effect::Cancel { run });
        }
        if !self.task.unshown {
            self.effects.push(Effect::Publish);
        }
        Decision::Moved {
            task: Box::new(self.task.0.into_owned()),
            effects: self.effects,
        }
    }

    /// Enters a stage in which a person is asked for something, and tells them once.
    pub(super) fn ask_person(mut self, stage: Stage) -> Decision {
        self.task.asked += 1;
        let entry = self.task.asked;
        self.effect(Effect::Tell { entry }).to(stage)
    }

    pub(super) fn replace_brief(&mut self, brief: brief::Brief) {
        self.task.brief = brief;
        self.task.brief_edits += 1;
        (self.task.edited, self.task.issue_edited_at) = (None, None);
    }

    /// Another text, for someone to accept.
    pub(super) fn propose(mut self, brief: &brief::Brief) -> Decision {
        self.replace_brief(brief.clone());
        self.to(Stage::Proposed)
    }

    /// The same again, by the newest text of the issue where that is what `by` means: then it is theirs. One that they
    /// may not have seen waits to be accepted.
    pub(super) fn another_try(
        mut self,
        by: &str,
        address: &Option<String>,
        meant: Option<&Digest>,
    ) -> Decision {
        match self.task.edited.take() {
            Some(edited) if meant == Some(&edited.digest) => {
                self.replace_brief(*edited);
                self.accept(by, address)
            }
            Some(edited) => self.propose(&edited),
            None => self.queue(Waiting::Slot),
        }
    }

    pub(super) fn accept(mut self, by: &str, address: &Option<String>) -> Decision {
        // Whoever accepts signs: beside their name no address stands that may be another's.
        if address.is_some() || self.task.requester != by {
            self.task.requester_address.clone_from(address);
        }
        self.task.requester = by.to_owned();
        self.task.accepted_at = self.at;
        self.task.unshown = false;
        self.fit()
    }

    /// Judges the brief as it is now: work, a question, or an approval of the text itself.
    pub(super) fn fit(self) -> Decision {
        match brief::fit(&self.task.brief, &self.task.settings) {
            Fit::Fits => self.first_round(),
            Fit::NeedsInfo { missing, skeleton } => {
                let text = format!("{}\n\n{skeleton}", missing.join(" "));
                let question = Question {
                    text,
                    choices: Vec::new(),
                    default: None,
                };
                self.ask(About::Brief, vec![question])
            }
            Fit::NeedsApproval { areas } => self.ask_person(Stage::AwaitingApproval {
                of: ApprovalOf::Brief { areas },
            }),
        }
    }

    pub(super) fn first_round(mut self) -> Decision {
        self.task.round = self.task.round.max(1);
        self.queue(Waiting::Slot)
    }

    pub(super) fn queue(mut self, why: Waiting) -> Decision {
        self.task.run += 1;
        self.task.unfinished = None;
        let run = self.task.run;
        self.effect(Effect::Run { run })
            .to(Stage::Queued { run, why })
    }

    pub(super) fn run_at(mut self, run: u32, step: Step, stopping: Option<String>) -> Decision {
        self.task.started = true;
        self.to(Stage::Running {
            run,
            step,
            quiet_since: None,
            stopping,
        })
    }

    pub(super) fn quiet(
        self,
        run: u32,
        step: Step,
        quiet_since: Option<Time>,
        stopping: Option<String>,
    ) -> Decision {
        self.keeping_since().to(Stage::Running {
            run,
            step,
            quiet_since,
            stopping,
        })
    }

    pub(super) fn ask(self, about: About, questions: Vec<Question>) -> Decision {
        let until = self.at.plus_secs(self.task.settings.task.ask_timeout_secs);
        let timer = Timer::Ask {
            asked: self.task.asked + 1,
        };
        self.effect(Effect::Wait { timer, until })
            .ask_person(Stage::Asking {
                about,
                questions,
                until,
            })
    }

    pub(super) fn fail(self, failure: Failure) -> Decision {
        self.ask_person(Stage::Failed { failure })
    }

    pub(super) fn review(
        self,
        head: CommitId,
        checking: Option<u32>,
        closing: Option<Closing>,
    ) -> Decision {
        self.to(Stage::InReview {
            head,
            checking,
            closing,
        })
    }

    /// A person's commit is the head: in review at their head, checks again, nothing of ours over it. Whatever
    /// was granted was granted to another commit.
    pub(super) fn their_head(mut self, head: CommitId) -> Decision {
        self.task.run += 1;
        self.task.unfinished = None;
        let run = self.task.run;
        if let Some(revision) = &mut self.task.revision {
            revision.granted.clear();
        }
        if let Some(pull) = &mut self.task.pull {
            pull.head = head.clone();
        }
        self.effect(Effect::Check {
            run,
            head: head.clone(),
        })
        .review(head, Some(run), None)
    }

    pub(super) fn close(mut self, head: CommitId, checking: Option<u32>, by: &str) -> Decision {
        self.task.asked += 1;
        let until = self.at.plus_secs(self.task.settings.pull.close_grace_secs);
        let timer = Timer::Close {
            asked: self.task.asked,
        };
        let closing = Some(Closing {
            by: by.to_owned(),
            until,
        });
        self.effect(Effect::Wait { timer, until })
            .review(head, checking, closing)
    }

    pub(super) fn end(self, how: Ending, by: &str, reason: Option<String>) -> Decision {
        let clean_up = Effect::CleanUp {
            patch: how == Ending::Rejected,
            // Never by the head last seen there, which may be a person's. What was merged needs no branch of ours
            // either, but it is the person's to delete.
            branch: match how {
                Ending::Merged => Vec::new(),
                Ending::Rejected | Ending::Stopped => self.task.ours.clone(),
            },
        };
        self.effect(clean_up).to(Stage::Ended {
            how,
            by: by.to_owned(),
            reason,
            left: None,
        })
    }

    pub(super) fn run_ended(
        mut self,
        run: u32,
        outcome: &RunOutcome,
        stopping: Option<&str>,
    ) -> Decision {
        // Whatever the run brought, the person asked for it to stop first.
        if let Some(by) = stopping {
            return self.end(Ending::Stopped, by, None);
        }
        match outcome {
            RunOutcome::Result { result } => self.judge(run, result),
            RunOutcome::Asked {
                questions,
                kept,
                seen,
            } => {
                self.task.kept.clone_from(kept);
                self.task.unfinished = Some(seen.clone());
                self.ask(About::Work, questions.clone())
            }
            RunOutcome::Failed {
                failure,
                kept,
                seen,
            } => {
                if kept.is_some() {
                    self.task.kept.clone_from(kept);
                }
                if self.task.auto_retries < failure.class.auto_retries() {
                    self.task.auto_retries += 1;
                    return self.queue(Waiting::Retry {
                        class: failure.class,
                    });
                }
                self.task.unfinished = Some(seen.clone());
                self.fail(failure.clone())
            }
            RunOutcome::Interrupted { by, kept } => {
                if kept.is_some() {
                    self.task.kept.clone_from(kept);
                }
                self.to(Stage::Queued {
                    run,
                    why: Waiting::Person { by: by.clone() },
                })
            }
            // Nobody asked for a stop that still stands: the run is asked for again.
            RunOutcome::Cancelled => self.queue(Waiting::Slot),
        }
    }

    /// What a result is worth: refused, red, asking, or publishable.
    pub(super) fn judge(mut self, run: u32, result: &RunResult) -> Decision {
        let number = self
            .task
            .revision
            .as_ref()
            .map_or(1, |revision| revision.number + 1);
        self.task.kept = None;
        self.task.notes.clear();
        self.task.unfinished = None;
        if !self.task.ours.contains(&result.head) {
            self.task.ours.push(result.head.clone());
        }
        self.task.revision = Some(Revision {
            number,
            run,
            result: result.clone(),
            granted: std::collections::BTreeSet::new(),
            theirs: false,
        });
        let gates = outcome(&result.findings);
        if let Some(failure) = verdict(result) {
            // Only where there are drafts, and where nothing but a check is in the way.
            let is_shown = failure.class == FailureClass::Verify
                && gates == Outcome::Pass
                && self.task.settings.pull.on_verify_fail == OnVerifyFail::Draft
                && self.task.issue.repository_id.is_some();
            return match is_shown {
                true => self.publish(number),
                false => self.fail(failure),
            };
        }
        if gates == Outcome::Ask {
            self.ask_person(Stage::AwaitingApproval {
                of: ApprovalOf::Result,
            })
        } else {
            self.publish(number)
        }
    }

    /// Nothing of what is shown on this machine changes.
    pub(super) fn published_beside(mut self, head: &CommitId, page: &str) -> Decision {
        let there = PublishedAt {
            head: head.clone(),
            page: page.to_owned(),
        };
        if self.task.issue.publish.is_none() || self.task.published.as_deref() == Some(&there) {
            return Decision::Stale;
        }
        self.task.published = Some(Box::new(there));
        Decision::Moved {
            task: Box::new(self.task.0.into_owned()),
            effects: self.effects,
        }
    }

    pub(super) fn publish(self, revision: u32) -> Decision {
        self.effect(Effect::OpenPull { revision })
            .to(Stage::Publishing { revision })
    }

    pub(super) fn answer(
        mut self,
        about: About,
        questions: &[Question],
        by: &str,
        text: &str,
    ) -> Decision {
        match about {
            About::Brief if text.trim().eq_ignore_ascii_case("defaults") => {
                refused(NotNow::NoDefaults)
            }
            About::Brief => {
                match brief::with_answer(
                    &self.task.brief,
                    text,
                    self.task.settings.context.max_chars,
                ) {
                    Ok(brief) => {
                        self.replace_brief(brief);
                        self.fit()
                    }
                    Err(why) => refused(NotNow::BadAnswer {
                        why: why.to_string(),
                    }),
                }
            }
            About::Work => {
                let text = match answer::resolve(questions, text) {
                    Ok(text) => text,
                    Err(why) => return refused(why),
                };
                self.task.notes.push(Note {
                    by: by.to_owned(),
                    kind: NoteKind::Answer,
                    text,
                });
                self.queue(Waiting::Slot)
            }
        }
    }

    pub(super) fn fix(self, by: &str, text: &str) -> Decision {
        if self.task.round < self.task.settings.task.max_rounds + self.task.rounds_granted {
            self.next_round(by, text)
        } else {
            self.ask_person(Stage::AwaitingApproval {
                of: ApprovalOf::Round {
                    text: text.to_owned(),
                },
            })
        }
    }

    /// The next round starts from the head of the branch, whoever made it.
    pub(super) fn next_round(mut self, by: &str, text: &str) -> Decision {
        self.task.round += 1;
        self.task.round_by = Some(by.to_owned());
        self.task.kept = self.task.pull.as_ref().map(|pull| pull.head.clone());
        self.task.notes.push(Note {
            by: by.to_owned(),
            kind: NoteKind::Review,
            text: text.to_owned(),
        });
        self.queue(Waiting::Slot)
    }
}
