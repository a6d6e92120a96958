//! Deliveries: what a forge sends, verified and read, without IO.
//!
//! A delivery is a hint. It says where to look, never what is true: rights, labels and words are read again.

mod read;
mod signed;

pub use read::{known_event, parse};
pub use signed::{Claimed, claim, verify};

use super::types::CommentId;

/// A program that hosts repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// GitHub and GitHub Enterprise Server.
    GitHub,
    /// Gitea and Forgejo.
    Gitea,
}

/// What the verified headers of a delivery say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The forge's id of the delivery, the same when it is sent again.
    pub delivery: String,
    /// The name of the event, as in the forge's own header.
    pub event: String,
}

/// Why a delivery is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// There is no signature, or an empty one.
    #[error("the delivery is not signed; set the same secret on the forge's webhook")]
    Missing,
    /// It has another form than a signature has.
    #[error("the signature is malformed")]
    Malformed,
    /// It is the signature of something else.
    #[error("the signature is wrong; the secret here and on the forge differ")]
    Wrong,
    /// Delivery id or event are missing or malformed.
    #[error("the delivery names no id or no event")]
    Headers,
}

/// What a delivery says to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The repository's id on its forge.
    pub repository: i64,
    /// Its name then.
    pub name: String,
    /// What to look at there.
    pub subject: Subject,
    /// The comment that it brings, with its text as signed.
    pub comment: Option<(CommentId, String)>,
    /// Title and text of the issue as signed, with who is named as having done it.
    pub words: Option<Words>,
}

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An issue or pull request.
    Thread(i64),
    /// A branch of it: what it says about the repository may be other than it was.
    Branch,
    /// The repository itself: its name, our right there.
    Repository,
}

/// An issue's words as a signed delivery has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Who did what the delivery tells of.
    pub sender: String,
    /// It tells of a change of labels.
    pub labels_changed: bool,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
}

/// What became of reading a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Something to look at.
    Look(Box<Hint>),
    /// The repositories that we reach may be others now: list them anew.
    Reach,
    /// Nothing for us; why.
    Ignored(String),
}

/// Largest number of characters of a delivery's id, and of an event's name.
const NAME_MAX: usize = 100;
