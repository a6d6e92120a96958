//! What people said about a task, kept with it.

use serde::{Deserialize, Serialize};

use crate::domain::ident::Time;

/// Words of a person for the next run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Note {
    /// Who said it.
    pub by: String,
    /// What it is: an answer, a review, a refused request, the reason of an earlier rejection.
    pub kind: NoteKind,
    /// The words.
    pub text: String,
}

/// Kinds of notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    /// An answer to the agent's questions.
    Answer,
    /// What a review asks for.
    Review,
    /// A request that was turned down; the work goes on without it.
    Refused,
}

/// One approval.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// What, as typed: `b1`, `r1`, `scope`, `deps`, `round`.
    pub target: String,
    /// The digest or commit it is bound to.
    pub bound_to: String,
    /// When.
    pub at: Time,
}
