//! What the table of keys is made of: what a key takes, where its value goes, how it is written.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use toml::de::DeValue;

use super::forms::{Form, duration_text, size_text};
use crate::domain::policy::{Right, SelfApproval};
use crate::domain::settings::{
    CommentsFrom, Confirm, Draft, FixOn, GatePolicy, Mention, OnVerifyFail, Progress, RefereeOn,
};

/// One table of a file and what it fills in a `T`.
pub(super) struct Section<T: 'static> {
    /// `task`; `verify` for a `[[verify]]`.
    pub(super) name: &'static str,
    /// What it is for, in one line.
    pub(super) doc: &'static str,
    pub(super) keys: &'static [Key<T>],
}

/// One key.
pub(super) struct Key<T> {
    pub(super) name: &'static str,
    pub(super) kind: Kind<T>,
    /// What it is for, without type, range and default: those follow from `kind`.
    pub(super) doc: &'static str,
    pub(super) need: Need,
}

/// What it means when a key is not written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The built-in value.
    Optional,
    /// A mistake.
    Required,
    /// The server's value; written as `""`.
    Inherited,
}

/// What a key takes, and where it goes.
pub(super) enum Kind<T> {
    Bool(fn(&mut T) -> &mut bool),
    Whole {
        min: u32,
        max: u32,
        at: fn(&mut T) -> &mut u32,
    },
    /// Processors with a fraction, kept in thousandths.
    Processors {
        min: u32,
        max: u32,
        at: fn(&mut T) -> &mut u32,
    },
    /// Kept in seconds.
    Duration {
        min: u64,
        max: u64,
        at: fn(&mut T) -> &mut u64,
    },
    /// Kept in bytes.
    Size {
        min: u64,
        max: u64,
        at: fn(&mut T) -> &mut u64,
    },
    Text {
        form: Form,
        at: fn(&mut T) -> &mut String,
    },
    List {
        form: Form,
        max: usize,
        at: fn(&mut T) -> &mut Vec<String>,
    },
    Word {
        words: &'static [&'static str],
        at: fn(&mut T) -> &mut dyn Word,
    },
    /// `true`, `false`, or the text `"auto"`.
    Switch(fn(&mut T) -> &mut dyn Word),
    Variables {
        max: usize,
        at: fn(&mut T) -> &mut BTreeMap<String, String>,
    },
}

/// A value that is one of a few words.
pub(super) trait Word {
    /// The word for the value held.
    fn word(&self) -> &'static str;
    /// Holds the value of a word; another text changes nothing.
    fn choose(&mut self, word: &str);
}

macro_rules! words {
    ($type:ty { $($word:literal = $variant:ident),* $(,)? }) => {
        impl Word for $type {
            fn word(&self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            fn choose(&mut self, word: &str) {
                match word {
                    $($word => *self = Self::$variant,)*
                    _ => {}
                }
            }
        }
    };
}
pub(super) use words;

words!(GatePolicy { "block" = Block, "approve" = Approve, "allow" = Allow });
words!(CommentsFrom { "none" = None, "triage" = Triage, "write" = Write, "anyone" = Anyone });
words!(Draft { "until-approved" = UntilApproved, "until-verified" = UntilVerified, "never" = Never });
words!(FixOn { "changes-requested" = ChangesRequested, "command" = Command });
words!(Mention { "requester" = Requester, "none" = None });
words!(OnVerifyFail { "no-pr" = NoPr, "draft" = Draft });
words!(Progress { "sticky" = Sticky, "final" = Final, "off" = Off });
words!(RefereeOn { "asked" = Asked, "label" = Label, "agents" = Agents, "all" = All });
words!(SelfApproval { "auto" = Auto, "true" = Yes, "false" = No });
words!(Right {
    "none" = None,
    "read" = Read,
    "triage" = Triage,
    "write" = Write,
    "maintain" = Maintain,
    "admin" = Admin,
});
words!(Confirm { "auto" = Auto, "always" = Always, "never" = Never });

impl<T> Key<T> {
    /// What stands in a file that says nothing new.
    pub(super) fn default(&self, defaults: &mut T) -> Value {
        match self.need {
            Need::Inherited => json!(""),
            Need::Required | Need::Optional => self.kind.value(defaults),
        }
    }
}

impl<T> Kind<T> {
    /// The value in `of`, as it would be written.
    pub(super) fn value(&self, of: &mut T) -> Value {
        match self {
            Self::Bool(at) => json!(*at(of)),
            Self::Whole { at, .. } => json!(*at(of)),
            Self::Processors { at, .. } => json!(f64::from(*at(of)) / 1000.0),
            Self::Duration { at, .. } => json!(duration_text(*at(of))),
            Self::Size { at, .. } => json!(size_text(*at(of))),
            Self::Text { at, .. } => json!(*at(of)),
            Self::List { at, .. } => json!(*at(of)),
            Self::Word { at, .. } => json!(at(of).word()),
            Self::Switch(at) => match at(of).word() {
                "true" => json!(true),
                "false" => json!(false),
                word => json!(word),
            },
            Self::Variables { at, .. } => json!(*at(of)),
        }
    }

    /// Type and range, in words; goes on after "takes".
    pub(super) fn takes(&self) -> String {
        match self {
            Self::Bool(_) => "true or false".to_owned(),
            Self::Whole { min, max, .. } => format!("a whole number from {min} to {max}"),
            Self::Processors { min, max, .. } => {
                format!(
                    "a number from {} to {}",
                    f64::from(*min) / 1000.0,
                    f64::from(*max) / 1000.0
                )
            }
            Self::Duration { min, max, .. } => format!(
                "a duration from {} to {}",
                duration_text(*min),
                duration_text(*max)
            ),
            Self::Size { min, max, .. } => {
                format!("a size from {} to {}", size_text(*min), size_text(*max))
            }
            Self::Text { form, .. } => form.takes().to_owned(),
            Self::List { form, max, .. } => format!("a list of at most {max} {}", form.many()),
            Self::Word { words, .. } => words.join(" | "),
            Self::Switch(_) => "\"auto\", true or false".to_owned(),
            Self::Variables { max, .. } => format!("a table of at most {max} texts"),
        }
    }

    /// The TOML type, in words.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "true or false",
            Self::Whole { .. } => "a whole number",
            Self::Processors { .. } => "a number",
            Self::Duration { .. } => "a duration in quotes",
            Self::Size { .. } => "a size in quotes",
            Self::Text { .. } | Self::Word { .. } => "text",
            Self::List { .. } => "a list",
            Self::Switch(_) => "\"auto\", true or false",
            Self::Variables { .. } => "a table",
        }
    }

    /// How to write what was meant by a value of another type.
    pub(super) fn example(&self, given: &DeValue<'_>) -> String {
        match (self, given.as_str()) {
            (Self::Bool(_) | Self::Switch(_), Some("true" | "false")) => {
                "write it without quotes".to_owned()
            }
            (Self::Bool(_), ..) => "write true or false, without quotes".to_owned(),
            (Self::Whole { .. } | Self::Processors { .. }, Some(text))
                if text.parse::<f64>().is_ok() =>
            {
                "write it without quotes".to_owned()
            }
            (Self::Whole { .. } | Self::Processors { .. }, ..) => format!("takes {}", self.takes()),
            (Self::Duration { .. }, ..) => {
                "write a number and a unit in quotes, for example \"60m\"".to_owned()
            }
            (Self::Size { .. }, ..) => {
                "write a number and a unit in quotes, for example \"4GiB\"".to_owned()
            }
            (Self::Word { words, .. }, ..) => format!("use one of {}, in quotes", words.join(", ")),
            (Self::Switch(_), ..) => "write \"auto\", true or false".to_owned(),
            (Self::Text { .. }, ..) => "write it in quotes".to_owned(),
            (Self::List { .. }, Some(_)) => "put it in brackets: [\"…\"]".to_owned(),
            (Self::List { .. }, ..) => "write a list in brackets: [\"…\", \"…\"]".to_owned(),
            (Self::Variables { .. }, ..) => "write a table: { NAME = \"value\" }".to_owned(),
        }
    }

    pub(super) fn schema(&self) -> Value {
        let text = |form: &Form| match form.pattern() {
            Some(pattern) => json!({"type": "string", "pattern": pattern}),
            None => json!({"type": "string"}),
        };
        match self {
            Self::Bool(_) => json!({"type": "boolean"}),
            Self::Whole { min, max, .. } => {
                json!({"type": "integer", "minimum": min, "maximum": max})
            }
            Self::Processors { min, max, .. } => json!({
                "type": "number",
                "minimum": f64::from(*min) / 1000.0,
                "maximum": f64::from(*max) / 1000.0,
            }),
            Self::Duration { .. } => json!({"$ref": "#/$defs/duration"}),
            Self::Size { .. } => json!({"$ref": "#/$defs/size"}),
            Self::Text { form, .. } => text(form),
            Self::List { form, max, .. } => {
                json!({"type": "array", "maxItems": max, "items": text(form)})
            }
            Self::Word { words, .. } => json!({"enum": words}),
            Self::Switch(_) => json!({"enum": ["auto", true, false]}),
            Self::Variables { max, .. } => json!({
                "type": "object",
                "maxProperties": max,
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "additionalProperties": {"type": "string", "maxLength": 4096},
            }),
        }
    }
}

pub(super) const SECOND: u64 = 1;
pub(super) const HOUR: u64 = 3600;
pub(super) const DAY: u64 = 24 * HOUR;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
pub(super) const GATE: &[&str] = &["block", "approve", "allow"];

pub(super) const fn key<T>(name: &'static str, kind: Kind<T>, doc: &'static str) -> Key<T> {
    Key {
        name,
        kind,
        doc,
        need: Need::Optional,
    }
}

pub(super) const fn required<T>(name: &'static str, kind: Kind<T>, doc: &'static str) -> Key<T> {
    Key {
        name,
        kind,
        doc,
        need: Need::Required,
    }
}

pub(super) const fn inherited<T>(name: &'static str, kind: Kind<T>, doc: &'static str) -> Key<T> {
    Key {
        name,
        kind,
        doc,
        need: Need::Inherited,
    }
}

pub(super) const fn globs<T>(at: fn(&mut T) -> &mut Vec<String>) -> Kind<T> {
    Kind::List {
        form: Form::Glob,
        max: 200,
        at,
    }
}

pub(super) const fn duration<T>(min: u64, max: u64, at: fn(&mut T) -> &mut u64) -> Kind<T> {
    Kind::Duration { min, max, at }
}

pub(super) const fn processors<T>(at: fn(&mut T) -> &mut u32) -> Kind<T> {
    Kind::Processors {
        min: 100,
        max: 256_000,
        at,
    }
}

pub(super) const fn memory<T>(at: fn(&mut T) -> &mut u64) -> Kind<T> {
    Kind::Size {
        min: 16 * MIB,
        max: 4 * TIB,
        at,
    }
}

pub(super) const fn disk<T>(at: fn(&mut T) -> &mut u64) -> Kind<T> {
    Kind::Size {
        min: 16 * MIB,
        max: 64 * TIB,
        at,
    }
}

pub(super) const fn pids<T>(at: fn(&mut T) -> &mut u32) -> Kind<T> {
    Kind::Whole {
        min: 16,
        max: 100_000,
        at,
    }
}
