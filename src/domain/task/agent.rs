//! Who edits for a task.

use serde::{Deserialize, Serialize};

/// Who edits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum AgentSpec {
    /// A program of the user's, run in the sandbox.
    Command {
        /// Words, split as a shell splits them.
        argv: Vec<String>,
    },
    /// A script shipped with Prentice; demo and tests only.
    Scripted {
        /// Which one.
        script: String,
    },
}

impl AgentSpec {
    /// The kind, as `--json` names it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Command { .. } => "command",
            Self::Scripted { .. } => "scripted",
        }
    }

    /// What people are told: the program's name, or `scripted-demo`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Command { argv } => {
                let program = argv.first().map_or("", String::as_str);
                program.rsplit('/').next().unwrap_or(program).to_owned()
            }
            Self::Scripted { .. } => "scripted-demo".to_owned(),
        }
    }
}
