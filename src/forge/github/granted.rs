//! What GitHub answers to an App about itself.

use serde::Deserialize;

use crate::domain::policy::Right;

#[derive(Debug, Deserialize)]
pub(super) struct Installation {
    pub(super) id: i64,
    pub(super) account: Option<Owner>,
    pub(super) suspended_at: Option<String>,
    #[serde(default)]
    permissions: Granted,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Granted {
    contents: Option<String>,
    issues: Option<String>,
}

impl Installation {
    /// What the App may do there, in the words for people.
    pub(super) fn right(&self) -> Right {
        let write = Some("write");
        if self.permissions.contents.as_deref() == write {
            Right::Write
        } else if self.permissions.issues.as_deref() == write {
            Right::Triage
        } else {
            Right::Read
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Owner {
    pub(super) login: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct App {
    pub(super) id: i64,
    pub(super) slug: String,
    pub(super) owner: Option<Owner>,
}

/// Not printable, since the token is in it.
#[derive(Deserialize)]
pub(super) struct Token {
    pub(super) token: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delivery {
    pub(super) id: i64,
    pub(super) guid: String,
    pub(super) delivered_at: String,
    pub(super) status_code: Option<i64>,
}
