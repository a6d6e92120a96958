//! What GitHub answers to an App about itself.

use std::collections::HashMap;

use serde::Deserialize;

use crate::domain::policy::Right;

#[derive(Debug, Deserialize)]
pub(super) struct Installation {
    pub(super) id: i64,
    pub(super) account: Option<Owner>,
    pub(super) suspended_at: Option<String>,
    #[serde(default)]
    permissions: HashMap<String, String>,
}

impl Installation {
    /// Whether the App has this permission, to read or to write.
    pub(super) fn allows(&self, name: &str, access: &str) -> bool {
        let given = self.permissions.get(name).map(String::as_str);
        given == Some(access) || given == Some("write") || given == Some("admin")
    }

    /// What the App may do there, in the words for people.
    pub(super) fn right(&self) -> Right {
        if self.allows("contents", "write") {
            Right::Write
        } else if self.allows("issues", "write") {
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

/// Of an App without a webhook, all of it is missing.
#[derive(Debug, Deserialize)]
pub(super) struct HookConfig {
    pub(super) url: Option<String>,
    content_type: Option<String>,
}

impl HookConfig {
    /// What keeps it from telling us everything.
    pub(super) fn faults(&self) -> Vec<String> {
        match self.content_type.as_deref() {
            Some("json") => Vec::new(),
            _ => vec!["its content type is not application/json".to_owned()],
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Delivery {
    pub(super) id: i64,
    pub(super) guid: String,
    pub(super) delivered_at: String,
    pub(super) status_code: Option<i64>,
}
