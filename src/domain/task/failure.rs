//! Why a task stopped: classes of failure, each with its owner, advice and patience (experience.md §2.1).

use serde::{Deserialize, Serialize};

/// Why a task stopped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// Decides who acts and what is advised.
    pub class: FailureClass,
    /// One sentence that names the thing. Harmless to show.
    pub message: String,
    /// Last lines of the log that shows it, harmless to show; may be empty.
    pub tail: String,
}

/// Classes of failure; each has its owner, advice and patience (experience.md §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// Worker lost, host rebooted, sandbox unavailable.
    Infra,
    /// The forge refused or did not answer.
    Forge,
    /// The repository file is wrong.
    Config,
    /// A set-up command failed.
    Setup,
    /// A required check could not be judged on base.
    Baseline,
    /// Still red after all attempts.
    Verify,
    /// The agent changed nothing.
    NoChange,
    /// A gate refused.
    Scope,
    /// Tokens or money used up.
    Budget,
    /// Time used up.
    Timeout,
    /// A limit of the sandbox was hit.
    Limit,
    /// The branch moved under the work.
    Conflict,
    /// Key, model or quota refused; provider down.
    Provider,
    /// The agent crashed or gave nothing readable.
    Agent,
}

impl FailureClass {
    /// All classes, in the order of experience.md.
    pub const ALL: [Self; 14] = [
        Self::Infra,
        Self::Forge,
        Self::Config,
        Self::Setup,
        Self::Baseline,
        Self::Verify,
        Self::NoChange,
        Self::Scope,
        Self::Budget,
        Self::Timeout,
        Self::Limit,
        Self::Conflict,
        Self::Provider,
        Self::Agent,
    ];

    /// The word used on every surface.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Infra => "infra",
            Self::Forge => "forge",
            Self::Config => "config",
            Self::Setup => "setup",
            Self::Baseline => "baseline",
            Self::Verify => "verify",
            Self::NoChange => "no-change",
            Self::Scope => "scope",
            Self::Budget => "budget",
            Self::Timeout => "timeout",
            Self::Limit => "limit",
            Self::Conflict => "conflict",
            Self::Provider => "provider",
            Self::Agent => "agent",
        }
    }

    /// Automatic retries of a whole run. (`forge` and `provider` are retried inside their job, with back-off.)
    #[must_use]
    pub fn auto_retries(self) -> u32 {
        match self {
            Self::Infra | Self::Agent => 1,
            Self::Forge
            | Self::Config
            | Self::Setup
            | Self::Baseline
            | Self::Verify
            | Self::NoChange
            | Self::Scope
            | Self::Budget
            | Self::Timeout
            | Self::Limit
            | Self::Conflict
            | Self::Provider => 0,
        }
    }
}
