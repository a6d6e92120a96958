//! Who edits: one trait, two back ends. Both are programs run once inside the sandbox.
//!
//! The contract: it starts in the work tree; standard input is the brief as Markdown;
//! `PRENTICE_BRIEF_JSON` names a read-only file with the same as JSON; it may print the
//! lines of [`protocol`]; exit 0 means "judge my tree", 20 "I have questions", anything
//! else is a failure. Nothing here believes what it prints, and nothing here may name a
//! forge, git or the store: an agent cannot be handed what this module cannot see.

mod command;
pub mod protocol;
mod scripted;

use std::path::PathBuf;

pub use command::Program;
pub use protocol::{Heard, Listener};
pub use scripted::{SCENARIOS, SCRIPT, Scenario, Scripted};

/// Someone who edits a work tree.
pub trait Agent: Send + Sync {
    /// Program and arguments, looked up inside the sandbox. No shell is between.
    fn argv(&self) -> Vec<String>;

    /// Read-only files that it needs inside, by absolute path.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)>;
}
