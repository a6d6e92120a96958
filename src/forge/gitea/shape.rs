//! What Gitea and Forgejo answer, as far as it is read: every field may be missing, and further ones may come.

use serde::{Deserialize, Deserializer};

use super::super::{Account, Comment, CommentId, PullInfo, Stands, Thread};
use crate::domain::ident::{CommitId, Time};
use crate::domain::policy::ActorKind;

/// `null` is what a missing field is.
fn lax<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawUser {
    #[serde(deserialize_with = "lax")]
    pub(super) id: i64,
    #[serde(deserialize_with = "lax")]
    pub(super) login: String,
    #[serde(deserialize_with = "lax")]
    email: String,
}

impl RawUser {
    /// `None` for the place of a deleted account.
    pub(super) fn account(self) -> Option<Account> {
        // A deleted account is shown as -1; the forge's own programs are below that.
        let kind = match self.id {
            1.. => ActorKind::Unknown,
            ..-1 => ActorKind::Bot,
            _ => return None,
        };
        Some(Account {
            id: self.id,
            login: self.login,
            kind,
            address: (!self.email.is_empty()).then_some(self.email),
        })
    }
}

/// Who it was, where there is such an account.
pub(super) fn account(user: Option<RawUser>) -> Option<Account> {
    user.and_then(RawUser::account)
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPermission {
    pub(super) admin: bool,
    pub(super) push: bool,
    pub(super) pull: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawRepository {
    pub(super) id: i64,
    #[serde(deserialize_with = "lax")]
    pub(super) full_name: String,
    #[serde(deserialize_with = "lax")]
    pub(super) default_branch: String,
    pub(super) private: bool,
    pub(super) internal: bool,
    pub(super) archived: bool,
    #[serde(deserialize_with = "lax")]
    pub(super) html_url: String,
    pub(super) permissions: Option<RawPermission>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLabel {
    pub(super) id: i64,
    #[serde(deserialize_with = "lax")]
    pub(super) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawIssue {
    pub(super) id: i64,
    pub(super) number: i64,
    #[serde(deserialize_with = "lax")]
    pub(super) title: String,
    #[serde(deserialize_with = "lax")]
    pub(super) body: String,
    pub(super) user: Option<RawUser>,
    #[serde(deserialize_with = "lax")]
    pub(super) state: String,
    pub(super) is_locked: bool,
    #[serde(deserialize_with = "lax")]
    pub(super) labels: Vec<RawLabel>,
    #[serde(deserialize_with = "lax")]
    pub(super) assignees: Vec<RawUser>,
    #[serde(deserialize_with = "lax")]
    pub(super) created_at: String,
    #[serde(deserialize_with = "lax")]
    pub(super) updated_at: String,
    #[serde(deserialize_with = "lax")]
    pub(super) html_url: String,
    pub(super) pull_request: Option<serde_json::Value>,
}

impl RawIssue {
    pub(super) fn thread(self) -> Thread {
        Thread {
            number: self.number,
            id: self.id,
            is_pull: self.pull_request.is_some(),
            open: self.state == "open",
            locked: self.is_locked,
            labels: self.labels.into_iter().map(|label| label.name).collect(),
            assignees: self.assignees.into_iter().map(|user| user.login).collect(),
            created_at: time(&self.created_at),
            updated_at: time(&self.updated_at),
            page: self.html_url,
            title: self.title,
            body: self.body,
            author: account(self.user),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawComment {
    pub(super) id: i64,
    pub(super) user: Option<RawUser>,
    #[serde(deserialize_with = "lax")]
    pub(super) body: String,
    #[serde(deserialize_with = "lax")]
    pub(super) created_at: String,
    #[serde(deserialize_with = "lax")]
    pub(super) updated_at: String,
    #[serde(deserialize_with = "lax")]
    pub(super) html_url: String,
    /// Ends in the number of the issue; empty on a pull request, where the next one does.
    #[serde(deserialize_with = "lax")]
    pub(super) issue_url: String,
    #[serde(deserialize_with = "lax")]
    pub(super) pull_request_url: String,
}

impl RawComment {
    /// The issue or pull request that it stands on.
    pub(super) fn number(&self) -> Option<i64> {
        let urls = [&self.issue_url, &self.pull_request_url];
        let last = |url: &&String| url.rsplit('/').next().and_then(|last| last.parse().ok());
        urls.iter().find_map(last)
    }

    pub(super) fn comment(self) -> Comment {
        Comment {
            id: CommentId(self.id),
            author: account(self.user),
            created_at: time(&self.created_at),
            // Both come from the same clock at once, and nothing but an edit sets the second.
            edited: Some(self.updated_at != self.created_at),
            body: self.body,
            page: self.html_url,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawBranch {
    /// The name of the branch; the next one is a ref of the pull request where the branch is gone.
    #[serde(deserialize_with = "lax")]
    pub(super) label: String,
    #[serde(rename = "ref", deserialize_with = "lax")]
    pub(super) git_ref: String,
    #[serde(deserialize_with = "lax")]
    pub(super) sha: String,
    pub(super) repo_id: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPull {
    pub(super) number: i64,
    #[serde(deserialize_with = "lax")]
    pub(super) title: String,
    #[serde(deserialize_with = "lax")]
    pub(super) body: String,
    pub(super) user: Option<RawUser>,
    #[serde(deserialize_with = "lax")]
    pub(super) state: String,
    pub(super) draft: bool,
    pub(super) merged: bool,
    pub(super) merged_by: Option<RawUser>,
    #[serde(deserialize_with = "lax")]
    pub(super) html_url: String,
    #[serde(deserialize_with = "lax")]
    pub(super) head: RawBranch,
    #[serde(deserialize_with = "lax")]
    pub(super) base: RawBranch,
}

impl RawPull {
    pub(super) fn stands(&self) -> Stands {
        match (self.merged, self.state.as_str()) {
            (true, _) => Stands::Merged,
            (false, "open") => Stands::Open,
            (false, _) => Stands::Closed,
        }
    }

    pub(super) fn is_by(&self, account: &Account) -> bool {
        self.user.as_ref().is_some_and(|user| user.id == account.id)
    }

    /// `None` where the forge names no head.
    pub(super) fn info(self) -> Option<PullInfo> {
        let stands = self.stands();
        let head: CommitId = self.head.sha.parse().ok()?;
        Some(PullInfo {
            number: self.number,
            stands,
            draft: self.draft,
            head,
            head_ref: format!("refs/pull/{}/head", self.number),
            // One that was pushed to `refs/for` has no branch at all, and took no right either.
            from_fork: self.head.repo_id != self.base.repo_id || self.head.label.is_empty(),
            head_branch: self.head.label,
            base_branch: match self.base.label.is_empty() {
                true => self.base.git_ref,
                false => self.base.label,
            },
            page: self.html_url,
            title: self.title,
            body: self.body,
            author: account(self.user),
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawEntry {
    pub(super) id: i64,
    #[serde(rename = "type", deserialize_with = "lax")]
    pub(super) kind: String,
    pub(super) user: Option<RawUser>,
    #[serde(deserialize_with = "lax")]
    pub(super) body: String,
    #[serde(deserialize_with = "lax")]
    pub(super) created_at: String,
    pub(super) label: Option<RawLabel>,
    pub(super) assignee: Option<RawUser>,
    pub(super) removed_assignee: bool,
}

/// The text of an entry that tells a push: commits, oldest first, or both heads of one that pushed over others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPush {
    pub(super) is_force_push: bool,
    #[serde(deserialize_with = "lax")]
    pub(super) commit_ids: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawReview {
    pub(super) id: i64,
    pub(super) user: Option<RawUser>,
    #[serde(deserialize_with = "lax")]
    pub(super) state: String,
    #[serde(deserialize_with = "lax")]
    pub(super) body: String,
    #[serde(deserialize_with = "lax")]
    pub(super) commit_id: String,
    pub(super) dismissed: bool,
    pub(super) comments_count: i64,
    #[serde(deserialize_with = "lax")]
    pub(super) submitted_at: String,
    #[serde(deserialize_with = "lax")]
    pub(super) updated_at: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawRemark {
    pub(super) id: i64,
    pub(super) user: Option<RawUser>,
    #[serde(deserialize_with = "lax")]
    pub(super) path: String,
    #[serde(deserialize_with = "lax")]
    pub(super) body: String,
    /// The line in the new text, 0 where the remark is on the old one.
    pub(super) position: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawReaction {
    pub(super) user: Option<RawUser>,
    #[serde(deserialize_with = "lax")]
    pub(super) content: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawStatus {
    #[serde(deserialize_with = "lax")]
    pub(super) context: String,
    /// Gitea says `status` where GitHub says `state`.
    #[serde(deserialize_with = "lax")]
    pub(super) status: String,
    #[serde(deserialize_with = "lax")]
    pub(super) description: String,
    #[serde(deserialize_with = "lax")]
    pub(super) target_url: String,
    pub(super) creator: Option<RawUser>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawCombined {
    #[serde(deserialize_with = "lax")]
    pub(super) statuses: Vec<RawStatus>,
}

/// A moment as the forge writes it; the beginning of time where it wrote something else.
pub(super) fn time(text: &str) -> Time {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    Time(parsed.map_or(0, jiff::Timestamp::as_millisecond))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_missing_and_further_fields_are_read() {
        let issue: RawIssue = serde_json::from_str(
            r#"{"id":1,"number":2,"title":null,"labels":null,"assignees":null,"user":null,"new":{}}"#,
        )
        .unwrap();
        let thread = issue.thread();
        assert_eq!((thread.number, thread.is_pull), (2, false));
        assert_eq!((thread.author, thread.labels.len()), (None, 0));
        let pull: RawPull = serde_json::from_str(r#"{"number":1,"head":null}"#).unwrap();
        assert_eq!(pull.info(), None);
    }

    #[test]
    fn a_moment_is_read_with_its_zone() {
        assert_eq!(time("2026-11-20T15:20:05+01:00"), Time(1_795_184_405_000));
        assert_eq!(time("yesterday"), Time(0));
    }

    #[test]
    fn a_deleted_account_is_nobody_and_a_program_of_the_forge_a_bot() {
        let user = |id| RawUser {
            id,
            login: "x".to_owned(),
            email: String::new(),
        };
        assert_eq!(user(-1).account(), None);
        assert_eq!(user(-2).account().unwrap().kind, ActorKind::Bot);
        assert_eq!(user(7).account().unwrap().kind, ActorKind::Unknown);
    }
}
