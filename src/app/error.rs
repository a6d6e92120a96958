//! Why a command could not do its work, and the next step.

use std::fmt;

use crate::config::Mistakes;
use crate::domain::ident::TaskId;
use crate::forge;
use crate::git;
use crate::sandbox::SandboxError;
use crate::store::{LockError, StoreError};
use crate::worker::WorkerError;

/// What is wrong, and the next step where one is known. Two fields, since either may quote what a person typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What is wrong, with the name of the thing.
    pub what: String,
    /// The next step; may be empty.
    pub hint: String,
}

impl Said {
    /// Both.
    #[must_use]
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// Without a next step.
    #[must_use]
    pub fn plain(what: impl Into<String>) -> Self {
        Self::new(what, "")
    }

    /// The text of an error of a lower layer. The next step, where it has one, is a fixed phrase after the last
    /// semicolon; what it quotes comes before.
    #[must_use]
    pub fn lower(text: &str) -> Self {
        let (what, hint) = text.rsplit_once("; ").unwrap_or((text, ""));
        Self::new(what, hint)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.hint.is_empty() { "" } else { "; " };
        write!(f, "{}{gap}{}", self.what, self.hint)
    }
}

/// Why a command could not do its work, sorted by exit code.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The words typed do not fit what is there.
    #[error("{0}")]
    Usage(Said),
    /// A configuration file is wrong; every mistake of it.
    #[error("the configuration has mistakes")]
    Config(Box<Mistakes>),
    /// Nothing says what to verify.
    #[error("{0}")]
    NoChecks(Said),
    /// The agent's program is not there inside the sandbox.
    #[error("{0}")]
    NoAgent(Said),
    /// A credential is missing or is not accepted.
    #[error("{0}")]
    Auth(Said),
    /// No repository, commit, issue file, folder or task.
    #[error("{0}")]
    NotFound(Said),
    /// A person has to say more before there is anything to do.
    #[error("{0}")]
    NeedsInfo(Said),
    /// The task is not where that is possible.
    #[error("{0}")]
    NotNow(Said),
    /// The host cannot: sandbox, lock, disk.
    #[error("{0}")]
    Host(Said),
    /// A signal ended the work before there was anything to show.
    #[error("{what}")]
    Interrupted {
        /// 130 for Ctrl-C, 143 for a request to terminate.
        code: i32,
        /// What became of the work.
        what: Said,
    },
    /// A mistake of this program.
    #[error("{0}")]
    Internal(Said),
    /// Any of these while a task was worked on, which stays where it was.
    #[error("{error}")]
    Task {
        /// The task.
        task: TaskId,
        /// What happened.
        error: Box<AppError>,
    },
}

impl AppError {
    /// The same, which happened to `task`.
    pub(super) fn of(self, task: TaskId) -> Self {
        let error = match self {
            Self::Host(mut said) => {
                let then = format!("when that is mended, `prentice tasks resume {task}` goes on");
                said.hint = match said.hint.as_str() {
                    "" => then,
                    hint => format!("{hint}; {then}"),
                };
                Self::Host(said)
            }
            other => other,
        };
        Self::Task {
            task,
            error: Box::new(error),
        }
    }

    /// What is wrong and the next step, apart.
    #[must_use]
    pub fn said(&self) -> Said {
        match self {
            Self::Config(_) => Said::plain(self.to_string()),
            Self::Usage(said)
            | Self::NoChecks(said)
            | Self::NoAgent(said)
            | Self::NotFound(said)
            | Self::Auth(said)
            | Self::NeedsInfo(said)
            | Self::NotNow(said)
            | Self::Host(said)
            | Self::Interrupted { what: said, .. }
            | Self::Internal(said) => said.clone(),
            Self::Task { error, .. } => error.said(),
        }
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        let said = Said::lower(&error.to_string());
        match error {
            StoreError::NoTask(_) => Self::NotFound(said),
            StoreError::TooLarge { .. } => Self::Usage(said),
            StoreError::Closed | StoreError::Broken(_) => Self::Internal(said),
            StoreError::Busy
            | StoreError::Disk { .. }
            | StoreError::Io { .. }
            | StoreError::Newer { .. }
            | StoreError::Unsafe { .. }
            | StoreError::Corrupt { .. } => Self::Host(said),
        }
    }
}

impl From<LockError> for AppError {
    fn from(error: LockError) -> Self {
        Self::Host(Said::lower(&error.to_string()))
    }
}

impl From<git::Error> for AppError {
    fn from(error: git::Error) -> Self {
        let said = Said::lower(&error.to_string());
        match error {
            git::Error::NotFound(_) => Self::NotFound(said),
            git::Error::Disk { .. } => Self::Host(said),
            git::Error::Internal(_) => Self::Internal(said),
            _ => Self::Usage(said),
        }
    }
}

impl From<WorkerError> for AppError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Host(why) => Self::Host(Said::lower(&why)),
            WorkerError::Store(error) => error.into(),
        }
    }
}

impl From<SandboxError> for AppError {
    fn from(error: SandboxError) -> Self {
        Self::Host(match error {
            SandboxError::Unavailable { why, fix } => {
                Said::new(format!("no sandbox is possible: {why}"), fix)
            }
            other => Said::plain(other.to_string()),
        })
    }
}

impl AppError {
    /// What a forge answered, by what can be done; `text` says it.
    pub(super) fn of_forge(why: &forge::Error, text: &str) -> Self {
        let said = Said::lower(text);
        match why {
            forge::Error::Auth { .. } | forge::Error::NotPermitted { .. } => Self::Auth(said),
            forge::Error::Gone { .. } => Self::NotFound(said),
            forge::Error::Invalid { .. } | forge::Error::Conflict { .. } => Self::Usage(said),
            forge::Error::Retry { .. }
            | forge::Error::Away { .. }
            | forge::Error::Unavailable { .. } => Self::Host(said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_not_taken_apart() {
        let why = "another prentice is at work (`sh -c 'a; b'`); wait until it is done";
        let said = Said::lower(why);
        assert_eq!(said.hint, "wait until it is done");
        assert_eq!(said.to_string(), why);
        let given = Said::plain("no file a; b");
        assert_eq!(
            (given.hint.as_str(), given.to_string().as_str()),
            ("", "no file a; b")
        );
    }
}
