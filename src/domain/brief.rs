//! The brief: what the agent is told, frozen with a digest when it is accepted.

use serde::{Deserialize, Serialize};

use super::ident::Digest;

/// One accepted text, read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Brief {
    /// First heading or first line, at most 120 characters.
    pub title: String,
    /// What should be different afterwards. Never empty in a brief that fits.
    pub goal: String,
    /// What must stay as it is.
    pub non_goals: Option<String>,
    /// Numbered from 1, in the order written.
    pub criteria: Vec<Criterion>,
    /// Globs that narrow what may be touched; empty = the repository's own scope.
    pub scope: Vec<String>,
    /// Checks named as mattering most. Told to reviewers, never executed.
    pub checks: Vec<String>,
    /// What needs a person's yes before it is done.
    pub ask_first: Option<String>,
    /// Who reviews the result.
    pub reviewer: Option<String>,
    /// The whole visible text: hidden parts removed.
    pub text: String,
    /// What was hidden in the text as written; shown to people, kept from the agent.
    pub hidden: Vec<Hidden>,
    /// Digest of the text as written, before anything was removed.
    pub digest: Digest,
}

/// One acceptance criterion.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Criterion {
    /// From 1.
    pub number: u32,
    /// As written, on one line.
    pub text: String,
    /// Words in backticks in it: names of checks, where such a check exists.
    pub named: Vec<String>,
}

/// Something in the text that a reader of the rendered page would not have seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hidden {
    /// What kind of hiding.
    pub kind: HiddenKind,
    /// Line in the text as written, from 1.
    pub line: u32,
    /// What it says, decoded; control and invisible characters as `U+200B`.
    pub text: String,
}

/// How text can be hidden in Markdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HiddenKind {
    /// `<!-- … -->`.
    Comment,
    /// A raw HTML tag and its attributes.
    Tag,
    /// Zero-width, tag and other invisible characters.
    Invisible,
    /// Characters that reorder text.
    Bidirectional,
    /// A character reference that decodes to one of the above, or to markup.
    Entity,
    /// A link definition or image whose words are not shown.
    Reference,
}

/// Facts about the repository that judging a brief needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Survey {
    /// Files at the base commit.
    pub files: u32,
    /// Those of them that the brief's own scope covers.
    pub files_in_scope: u32,
}

/// Whether a brief can be worked on as it is. No model is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fit")]
pub enum Fit {
    /// Work may start.
    Fits,
    /// A person has to say more first.
    NeedsInfo {
        /// What is missing, in one sentence each.
        missing: Vec<String>,
        /// Text to paste and fill in.
        skeleton: String,
    },
    /// A person has to accept exactly this text (`b1`) before work.
    NeedsApproval {
        /// The sensitive pattern, and the words of the brief that name it.
        areas: Vec<Area>,
    },
}

/// A sensitive area that a brief names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Area {
    /// The pattern of `[scope] sensitive`.
    pub pattern: String,
    /// What the brief says that it matches.
    pub named: String,
}
