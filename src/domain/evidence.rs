//! Evidence: what the bot saw when it ran the checks, and what follows from it.

use serde::{Deserialize, Serialize};

use super::ident::Digest;

/// How one command ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ended")]
pub enum Exit {
    /// By itself.
    Code {
        /// 0 is green, everything else red.
        code: i32,
    },
    /// By a signal that nothing of ours sent.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// Its time was up.
    TimedOut {
        /// The limit.
        after_secs: u64,
    },
    /// A limit of the sandbox ended it.
    Limit {
        /// Which one.
        limit: Limit,
    },
    /// It could not be started.
    NotStarted {
        /// Why, as the system said.
        why: String,
    },
}

/// A limit of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// `[sandbox] memory`.
    Memory,
    /// `[sandbox] pids`.
    Pids,
    /// `[sandbox] disk`.
    Disk,
    /// Bytes printed.
    Output,
}

impl Exit {
    /// Exit 0.
    #[must_use]
    pub fn is_green(&self) -> bool {
        matches!(self, Self::Code { code: 0 })
    }

    /// The exit code as a shell would tell it: 128 + signal for a signal, `None` where there is none.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Code { code } => Some(*code),
            Self::Signal { signal } => Some(128 + signal),
            Self::TimedOut { .. } | Self::Limit { .. } | Self::NotStarted { .. } => None,
        }
    }
}

/// One run of one check on one commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// How it ended.
    pub exit: Exit,
    /// Wall clock.
    pub duration_ms: u64,
    /// The stored log (capped; the digest is of what is stored).
    pub log: LogRef,
    /// The last lines, harmless to show: at most 20 lines and 4,000 characters.
    pub tail: String,
}

/// A log in the store's artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogRef {
    /// Digest of the stored bytes, and the name they are found by.
    pub sha256: Digest,
    /// Bytes stored.
    pub bytes: u64,
    /// Bytes printed but not stored, 0 when the log is whole.
    pub left_out: u64,
}

/// All that was seen of one check.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckEvidence {
    /// Its name.
    pub name: String,
    /// What was given to `sh -c`.
    pub command: String,
    /// Whether red fails the result.
    pub required: bool,
    /// Runs on the base commit, in order; empty when `baseline = false`.
    pub base: Vec<Seen>,
    /// Runs on the exact result, in order; empty when it did not apply.
    pub head: Vec<Seen>,
}

/// What the runs of one check say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Red on base, green on head: the change did it.
    Fixed,
    /// Green on head; green on base or not run there.
    Green,
    /// Green on head; on base it changed its mind, so it proves no criterion.
    GreenUnstableBase,
    /// Red on head and on base.
    StillRed,
    /// Green on base, red on head.
    TurnedRed,
    /// Red on head; not run on base, or unstable there.
    Red,
    /// It changed its mind on head: counts as red.
    Unstable,
    /// Not run on head, since nothing under its `paths` changed.
    NotApplicable,
}
