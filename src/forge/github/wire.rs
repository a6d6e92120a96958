//! What GitHub answers, as far as it is read: unknown fields are ignored, and of the known ones only those are
//! demanded without which nothing could be done.

use serde::Deserialize;

use super::super::{Account, Changed, Comment, CommentId, Did, Entry, Error, Repository, Thread};
pub(super) use super::wire_pull::{Pull, ReviewComment, Reviewed};
use crate::domain::ident::{CommitId, Time};
use crate::domain::policy::{ActorKind, Right};

/// A field that may be null and has to be there: without it ours would not be found, and made again each time.
fn present<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(from)
}

/// The account that stands for every deleted one.
const GHOST_ID: i64 = 10_137;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) login: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    permissions: Option<Permissions>,
}

/// A login that only programs have, whatever the type says.
pub(super) fn is_bot_login(login: &str) -> bool {
    login.ends_with("[bot]")
}

impl User {
    pub(super) fn account(self) -> Option<Account> {
        if self.id == GHOST_ID && self.login == "ghost" {
            return None;
        }
        let kind = match self.kind.as_deref() {
            _ if is_bot_login(&self.login) => ActorKind::Bot,
            Some("Bot") => ActorKind::Bot,
            Some("User") => ActorKind::Person,
            _ => ActorKind::Unknown,
        };
        Some(Account {
            id: self.id,
            login: self.login,
            kind,
            address: None,
        })
    }

    pub(super) fn is_bot(&self) -> bool {
        is_bot_login(&self.login) || self.kind.as_deref() == Some("Bot")
    }
}

pub(super) fn account(user: Option<User>) -> Option<Account> {
    user.and_then(User::account)
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Permissions {
    admin: bool,
    maintain: bool,
    push: bool,
    triage: bool,
    pull: bool,
}

impl Permissions {
    pub(super) fn right(self) -> Right {
        let granted = [
            (self.admin, Right::Admin),
            (self.maintain, Right::Maintain),
            (self.push, Right::Write),
            (self.triage, Right::Triage),
            (self.pull, Right::Read),
        ];
        let first = granted.into_iter().find(|(has, _)| *has);
        first.map_or(Right::None, |(_, right)| right)
    }
}

/// `GET …/collaborators/{login}/permission`.
#[derive(Debug, Deserialize)]
pub(super) struct Permission {
    permission: Option<String>,
    role_name: Option<String>,
    user: Option<User>,
}

impl Permission {
    /// The exact right. `permission` folds maintain into write and triage into read, so it is asked last: it can
    /// only be too low. A role of the organisation's own making says nothing by its name.
    pub(super) fn right(&self) -> Option<Right> {
        if self.user.as_ref().is_some_and(User::is_bot) {
            return Some(Right::None);
        }
        let word = |word: &Option<String>| {
            Some(match word.as_deref()? {
                "admin" => Right::Admin,
                "maintain" => Right::Maintain,
                "write" => Right::Write,
                "triage" => Right::Triage,
                "read" => Right::Read,
                "none" => Right::None,
                _ => return None,
            })
        };
        let single = self.user.as_ref().and_then(|user| user.permissions);
        word(&self.role_name)
            .or_else(|| single.map(Permissions::right))
            .or_else(|| word(&self.permission))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Repo {
    pub(super) id: i64,
    pub(super) full_name: String,
    owner: Option<User>,
    default_branch: Option<String>,
    private: Option<bool>,
    archived: Option<bool>,
    clone_url: Option<String>,
    html_url: Option<String>,
    permissions: Option<Permissions>,
}

impl Repo {
    /// `web` stands for addresses that are not told; `ours` for our right where it is known otherwise.
    pub(super) fn repository(self, web: &str, ours: Option<Right>) -> Repository {
        let page = self
            .html_url
            .unwrap_or_else(|| format!("{web}/{}", self.full_name));
        let owner = self.owner.and_then(|owner| owner.kind);
        Repository {
            id: self.id,
            default_branch: self.default_branch.unwrap_or_else(|| "main".to_owned()),
            // What is not told is taken for what asks for more care.
            private: self.private.unwrap_or(true),
            archived: self.archived.unwrap_or(false),
            personal: owner.as_deref() == Some("User"),
            clone_url: self.clone_url.unwrap_or_else(|| format!("{page}.git")),
            page,
            ours: ours.or_else(|| self.permissions.map(Permissions::right)),
            name: self.full_name,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Branch {
    pub(super) protected: Option<bool>,
}

/// A rule of a branch: that there is one is all that is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Rule {}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Label {
    Name(String),
    Object { name: Option<String> },
}

impl Label {
    pub(super) fn name(self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name),
            Self::Object { name } => name,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Issue {
    pub(super) number: i64,
    pub(super) id: i64,
    pub(super) node_id: Option<String>,
    #[serde(default)]
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) state: String,
    pub(super) user: Option<User>,
    locked: Option<bool>,
    #[serde(default)]
    labels: Vec<Label>,
    assignees: Option<Vec<User>>,
    pub(super) closed_by: Option<User>,
    pub(super) created_at: String,
    updated_at: String,
    html_url: Option<String>,
    pull_request: Option<serde_json::Value>,
}

impl Issue {
    pub(super) fn is_pull(&self) -> bool {
        self.pull_request.is_some()
    }

    pub(super) fn assigned(&self) -> &[User] {
        self.assignees.as_deref().unwrap_or_default()
    }

    pub(super) fn thread(self) -> Result<Thread, Error> {
        Ok(Thread {
            number: self.number,
            id: self.id,
            is_pull: self.is_pull(),
            assignees: self
                .assigned()
                .iter()
                .map(|one| one.login.clone())
                .collect(),
            title: self.title,
            body: self.body.unwrap_or_default(),
            author: account(self.user),
            open: self.state == "open",
            locked: self.locked.unwrap_or(false),
            labels: self.labels.into_iter().filter_map(Label::name).collect(),
            created_at: time(&self.created_at)?,
            updated_at: time(&self.updated_at)?,
            page: self.html_url.unwrap_or_default(),
        })
    }

    pub(super) fn changed(self) -> Result<Changed, Error> {
        Ok(Changed {
            at: time(&self.updated_at)?,
            number: self.number,
            is_pull: self.is_pull(),
        })
    }
}

/// An entry of a timeline; entries of many shapes, so nothing is demanded.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    id: Option<i64>,
    event: Option<String>,
    actor: Option<User>,
    /// Who assigned, where it is told apart from who was assigned.
    assigner: Option<User>,
    assignee: Option<User>,
    label: Option<Label>,
    created_at: Option<String>,
}

impl Event {
    /// `None` for entries that are not told, and for those without what makes them an act.
    pub(super) fn entry(self) -> Option<Entry> {
        let what = match self.event.as_deref()? {
            "labeled" => Did::Labelled(self.label?.name()?),
            "unlabeled" => Did::Unlabelled(self.label?.name()?),
            "assigned" => Did::Assigned(self.assignee?.login),
            "unassigned" => Did::Unassigned(self.assignee?.login),
            "renamed" => Did::Renamed,
            "closed" => Did::Closed,
            "reopened" => Did::Reopened,
            "merged" => Did::Merged,
            // Other pushes are told by the dates of their commits, which anybody may write.
            "head_ref_force_pushed" => Did::Pushed {
                head: None,
                over: true,
            },
            _ => return None,
        };
        // Some answers name the assigned account as the actor. Without an assigner it then looks like an act of
        // that account, which for ours is never obeyed: too little, not too much.
        Some(Entry {
            id: self.id?,
            by: account(self.assigner.or(self.actor)),
            at: time(&self.created_at?).ok()?,
            what,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct IssueComment {
    pub(super) id: i64,
    pub(super) node_id: Option<String>,
    #[serde(deserialize_with = "present")]
    pub(super) body: Option<String>,
    #[serde(deserialize_with = "present")]
    pub(super) user: Option<User>,
    created_at: String,
    updated_at: String,
    html_url: Option<String>,
    issue_url: Option<String>,
}

impl IssueComment {
    pub(super) fn updated_at(&self) -> Result<Time, Error> {
        time(&self.updated_at)
    }

    pub(super) fn is_by(&self, id: i64) -> bool {
        self.user.as_ref().is_some_and(|user| user.id == id)
    }

    /// Whether it stands under this issue; yes where the answer does not say.
    pub(super) fn is_under(&self, number: i64) -> bool {
        let of = self
            .issue_url
            .as_deref()
            .and_then(|url| url.rsplit('/').next());
        of.is_none_or(|of| of == number.to_string())
    }

    pub(super) fn comment(self, edited: Option<bool>) -> Result<Comment, Error> {
        Ok(Comment {
            id: CommentId(self.id),
            author: account(self.user),
            body: self.body.unwrap_or_default(),
            created_at: time(&self.created_at)?,
            edited,
            page: self.html_url.unwrap_or_default(),
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Id {
    pub(super) id: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckRun {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) status: Option<String>,
    pub(super) conclusion: Option<String>,
    pub(super) details_url: Option<String>,
    pub(super) output: Option<Output>,
    #[serde(deserialize_with = "present")]
    pub(super) app: Option<Id>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Output {
    pub(super) title: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CommitStatus {
    pub(super) state: String,
    #[serde(deserialize_with = "present")]
    pub(super) context: Option<String>,
    pub(super) description: Option<String>,
    pub(super) target_url: Option<String>,
    #[serde(deserialize_with = "present")]
    pub(super) creator: Option<Id>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reacted {
    pub(super) id: i64,
    pub(super) content: String,
    #[serde(deserialize_with = "present")]
    pub(super) user: Option<Id>,
}

pub(super) fn time(text: &str) -> Result<Time, Error> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed
        .map(|time| Time(time.as_millisecond()))
        .map_err(|error| Error::Invalid {
            what: "a time in GitHub's answer".to_owned(),
            why: error.to_string(),
        })
}

pub(super) fn commit(text: &str) -> Result<CommitId, Error> {
    text.parse().map_err(|_| Error::Invalid {
        what: "a commit in GitHub's answer".to_owned(),
        why: "it is no full commit name".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(text: &str) -> Option<Right> {
        serde_json::from_str::<Permission>(text).unwrap().right()
    }

    #[test]
    fn rights_are_read_by_the_exact_role() {
        for (role, expected) in [
            ("admin", Right::Admin),
            ("maintain", Right::Maintain),
            ("write", Right::Write),
            ("triage", Right::Triage),
            ("read", Right::Read),
            ("none", Right::None),
        ] {
            let folded = match role {
                "maintain" => "write",
                "triage" => "read",
                other => other,
            };
            let text = format!(r#"{{"permission":"{folded}","role_name":"{role}"}}"#);
            assert_eq!(right(&text), Some(expected));
        }
    }

    #[test]
    fn a_role_of_their_own_making_counts_by_what_it_permits() {
        let user = r#"{"id":1,"login":"dana","type":"User","permissions":{"admin":false,"maintain":false,"push":true,"triage":true,"pull":true}}"#;
        let text = format!(r#"{{"permission":"write","role_name":"Release crew","user":{user}}}"#);
        assert_eq!(right(&text), Some(Right::Write));
        // Without them, by the folded word, which can only be too low.
        let text = r#"{"permission":"write","role_name":"Release crew"}"#;
        assert_eq!(right(text), Some(Right::Write));
        assert_eq!(right(r#"{"role_name":"Release crew"}"#), None);
        assert_eq!(right("{}"), None);
    }

    #[test]
    fn a_bot_has_no_right_whatever_its_role() {
        let text = r#"{"permission":"admin","role_name":"admin","user":{"id":2,"login":"x","type":"Bot"}}"#;
        assert_eq!(right(text), Some(Right::None));
        let text = r#"{"permission":"admin","role_name":"admin","user":{"id":2,"login":"x[bot]","type":"User"}}"#;
        assert_eq!(right(text), Some(Right::None));
    }

    #[test]
    fn an_account_is_a_program_by_type_or_by_login_and_the_ghost_is_nobody() {
        let kind = |text: &str| {
            let user: User = serde_json::from_str(text).unwrap();
            user.account().map(|account| account.kind)
        };
        assert_eq!(
            kind(r#"{"id":1,"login":"dana","type":"User"}"#),
            Some(ActorKind::Person)
        );
        assert_eq!(kind(r#"{"id":1,"login":"x[bot]"}"#), Some(ActorKind::Bot));
        assert_eq!(
            kind(r#"{"id":1,"login":"Copilot","type":"Bot"}"#),
            Some(ActorKind::Bot)
        );
        assert_eq!(
            kind(r#"{"id":1,"login":"acme","type":"Organization"}"#),
            Some(ActorKind::Unknown)
        );
        assert_eq!(kind(r#"{"id":10137,"login":"ghost","type":"User"}"#), None);
    }

    #[test]
    fn who_assigned_is_told_where_github_tells_it() {
        let text = r#"{"id":5,"event":"assigned","created_at":"2026-11-20T10:00:00Z",
            "actor":{"id":9,"login":"bot"},"assignee":{"id":9,"login":"bot"},"assigner":{"id":1,"login":"dana","type":"User"}}"#;
        let entry = serde_json::from_str::<Event>(text)
            .unwrap()
            .entry()
            .unwrap();
        assert_eq!(entry.by.unwrap().login, "dana");
        assert_eq!(entry.what, Did::Assigned("bot".to_owned()));
    }
}
