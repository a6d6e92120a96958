//! How a performance ends, and how the store hears of it.
//!
//! A performance that ended under a lease that was over, or whose answer could not be stored, leaves its claim behind:
//! its own process takes no claim of its own again. A server has the store note it later, under the fence of the claim;
//! whoever only works off what is there leaves it to the next start.

use tokio::sync::watch;

use super::lease::Lease;
use super::perform::{self, Trouble};
use super::{Worker, WorkerError};
use crate::domain::event::Event;
use crate::domain::ident::Time;
use crate::store::{self, Claim, LeaseError};

/// Wait before a forge that is away is tried again.
const AWAY_SECS: u64 = 30;

/// What a performance came to.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// It is done, with these answers.
    Done(Vec<Event>),
    /// It is to be done at that time, or again.
    Later {
        at: Time,
        why: String,
        /// As an attempt.
        counted: bool,
    },
}

/// How a performance ended.
#[derive(Default)]
pub(super) struct Ended {
    /// What the store does not know of it. Until it does, the claim stands, and nobody else takes the job before the
    /// next start.
    pub(super) owed: Option<Said>,
    /// What is wrong with the host or the store.
    pub(super) trouble: Option<WorkerError>,
}

impl Worker {
    /// Performs one claimed job, with a heartbeat beside it. Nothing of it goes on when this returns, but what threads of
    /// the host began for git, which is compare and set.
    pub(super) async fn perform(&self, claim: &Claim, lease: &Lease) -> Ended {
        let record = match self.store.load(claim.task).await {
            Ok(Some(record)) => record,
            Ok(None) => return self.answer(claim, Said::Done(Vec::new())).await,
            Err(error) => {
                let why = error.to_string();
                return Ended {
                    owed: Some(self.later(0, why, false)),
                    trouble: Some(error.into()),
                };
            }
        };
        let halt = watch::Sender::new(None);
        let done = tokio::select! {
            done = self.job(claim, lease, &record.task, &halt) => done,
            () = self.keep_alive(claim, lease, &halt) => Err(Trouble::Lost),
        };
        let said = match done {
            Ok(answers) => Said::Done(answers),
            // Nothing is written under a lease that is over. Where nobody else has the job, it is handed back.
            Err(Trouble::Lost) => {
                let lease = self.patience.lost_after.as_secs();
                let wait = lease.max(perform::back_off(claim.attempt));
                return Ended {
                    owed: Some(self.later(wait, "its lease was over".to_owned(), true)),
                    trouble: None,
                };
            }
            Err(Trouble::Host(why)) => {
                let mut ended = self.answer(claim, self.later(0, why.clone(), false)).await;
                // On a full disk even this cannot be written.
                if let Some(error) = ended.trouble.replace(WorkerError::Host(why)) {
                    tracing::warn!(%error, "a job could not be handed back");
                }
                return ended;
            }
            Err(Trouble::Away(why)) => {
                let forge = &record.task.issue.forge;
                tracing::warn!(forge, task = %claim.task, why, "a forge is away; its tasks wait");
                self.later(AWAY_SECS, why, false)
            }
            Err(Trouble::Later {
                why,
                after_secs,
                counted,
            }) => self.later(after_secs, why, counted),
            Err(Trouble::Paced { secs }) => self.later(secs, store::PACED.to_owned(), false),
            Err(Trouble::Broken(why)) => self.broke(claim, why),
        };
        self.answer(claim, said).await
    }

    /// A job that broke is tried again later, but not for ever: then that is its answer.
    pub(super) fn broke(&self, claim: &Claim, why: String) -> Said {
        tracing::warn!(task = %claim.task, attempt = claim.attempt, %why, "a job broke");
        if claim.attempt >= perform::most_attempts(&claim.effect) {
            return Said::Done(perform::given_up(&claim.effect, &why));
        }
        self.later(perform::back_off(claim.attempt), why, true)
    }

    fn later(&self, after_secs: u64, why: String, counted: bool) -> Said {
        Said::Later {
            at: self.clock.now().plus_secs(after_secs),
            why,
            counted,
        }
    }

    async fn answer(&self, claim: &Claim, said: Said) -> Ended {
        match self.note(claim, &said).await {
            Ok(()) => Ended::default(),
            Err(trouble) => Ended {
                owed: Some(said),
                trouble: Some(trouble),
            },
        }
    }

    /// Has the store note what a performance came to, where the claim is still ours.
    pub(super) async fn note(&self, claim: &Claim, said: &Said) -> Result<(), WorkerError> {
        let noted = match said.clone() {
            Said::Done(answers) => self.store.finish(claim, answers).await,
            Said::Later { at, why, counted } => self.store.release(claim, at, why, counted).await,
        };
        self.answered(noted)
    }

    pub(super) fn answered(&self, result: Result<(), LeaseError>) -> Result<(), WorkerError> {
        match result {
            Ok(()) | Err(LeaseError::Lost) => Ok(()),
            Err(LeaseError::Store(error)) => Err(error.into()),
        }
    }
}
