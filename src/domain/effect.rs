//! Effects: what must be done, in the imperative. Each becomes one job; each is
//! find-or-create, stamped with its key, so that doing it twice does it once.

use serde::{Deserialize, Serialize};

use super::event::Timer;
use super::ident::{CommitId, TaskId, Time};

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "effect")]
pub enum Effect {
    /// Do one run. Answers `RunEnded`.
    Run {
        /// Which.
        run: u32,
    },
    /// Run the checks on a head that a person pushed. Answers `Checked` or `RunEnded` with a failure.
    Check {
        /// Which run of the checks.
        run: u32,
        /// On what.
        head: CommitId,
    },
    /// Stop a run wherever it is. The run itself answers.
    Cancel {
        /// Which.
        run: u32,
    },
    /// Make the forge show the task as it is when this is performed. Carries no content on purpose.
    Publish,
    /// Find or create branch and pull request of a revision. Answers `Published` or `PublishFailed`.
    OpenPull {
        /// Which.
        revision: u32,
    },
    /// One new comment that notifies a person: it is their turn.
    Tell {
        /// Counts the entries into attention stages, so that each is told once.
        entry: u32,
    },
    /// Remove what the task left. Answers `CleanedUp`.
    CleanUp {
        /// The patch goes too (a rejected task leaves only its record).
        patch: bool,
        /// The branch goes too, while its head is one of these, all ours; empty = it stays.
        branch: Vec<CommitId>,
    },
    /// Answer `TimerFired` when the time has come.
    Wait {
        /// Which.
        timer: Timer,
        /// When.
        until: Time,
    },
}

impl Effect {
    /// The idempotency key of the job. Equal effects of one task are one job;
    /// `Publish` has one key, so that ten quick changes cost one edit.
    #[must_use]
    pub fn key(&self, task: TaskId) -> String {
        match self {
            Self::Run { run } => format!("{task}/run/{run}"),
            Self::Check { run, .. } => format!("{task}/check/{run}"),
            Self::Cancel { run } => format!("{task}/cancel/{run}"),
            Self::Publish => format!("{task}/publish"),
            Self::OpenPull { revision } => format!("{task}/pull/{revision}"),
            Self::Tell { entry } => format!("{task}/tell/{entry}"),
            Self::CleanUp { .. } => format!("{task}/clean-up"),
            Self::Wait { timer, .. } => match timer {
                Timer::Ask { asked } => format!("{task}/ask/{asked}"),
                Timer::Close { asked } => format!("{task}/close/{asked}"),
            },
        }
    }
}
