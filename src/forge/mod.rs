//! Where issues live and results are shown.
//!
//! [`Forge`] speaks for one repository in the words of the core. Every write is
//! find-or-create, so doing it twice does it once, and a write whose answer was
//! lost is simply done again. There is no verb that merges and none that approves.

mod files;
mod local;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::ident::{CommitId, TaskId};
use crate::domain::report::CheckReport;
use crate::domain::task::Pull;

pub use files::{ISSUE_MAX_BYTES, keep_issue, read_issue};

/// A repository on a forge.
///
/// Call order: [`ensure_branch`](Self::ensure_branch), then [`ensure_pull`](Self::ensure_pull), then
/// [`set_check`](Self::set_check); at the end [`close_pull`](Self::close_pull),
/// [`delete_branch`](Self::delete_branch), [`clean_up`](Self::clean_up). Everything else in any order.
///
/// Every verb can answer [`Error::Retry`], [`Error::Auth`] and [`Error::Unavailable`]; further
/// errors are named where they occur.
#[async_trait]
pub trait Forge: Send + Sync {
    /// What this forge can show; what it cannot is left out, never an error.
    fn capabilities(&self) -> Capabilities;

    /// The account that writes. Read once at the start; only comments of this account are ever taken for ours.
    async fn whoami(&self) -> Result<Account, Error>;

    /// The issue as it is now. [`Error::Gone`] where there is none.
    async fn issue(&self, number: i64) -> Result<Issue, Error>;

    /// What `login` may do at this moment. Looked up for every act, never kept.
    async fn permission(&self, login: &str) -> Result<Permission, Error>;

    /// Makes the one status comment say `status`. Found by `known`, else by account and
    /// [`marker`]; made anew where it was deleted. Answers its id, to be kept as `known`.
    ///
    /// [`Error::Gone`] where the issue is gone, [`Error::NotPermitted`] where it is locked.
    async fn ensure_status(
        &self,
        place: Place,
        known: Option<CommentId>,
        status: &Status<'_>,
    ) -> Result<CommentId, Error>;

    /// Makes sure that the comment `key` was written once. An existing one is left as it is: it has notified.
    /// Errors as for [`ensure_status`](Self::ensure_status).
    async fn ensure_comment(&self, place: Place, key: &str, body: &str)
    -> Result<CommentId, Error>;

    /// Makes `label` the only label of the issue that begins as ours do (up to its `:`), or removes them all.
    /// Does nothing without [`Capabilities::labels`].
    async fn ensure_label(&self, place: Place, label: Option<&str>) -> Result<(), Error>;

    /// Makes the check of this name on this commit say this. [`Error::Gone`] where the forge does not know the commit.
    async fn set_check(&self, place: Place, check: &CheckReport) -> Result<(), Error>;

    /// Head of `branch` (without `refs/heads/`), `None` where there is none.
    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, Error>;

    /// Makes `branch` point to `commit`, a commit that the repository already has. Only from `expected`
    /// (`None` = from nothing), or where it does already: [`Error::Conflict`] with what was found at any other head.
    async fn ensure_branch(
        &self,
        branch: &str,
        commit: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), Error>;

    /// Removes `branch` while its head is `expected`; absent is fine. [`Error::Conflict`] at any other head.
    async fn delete_branch(&self, branch: &str, expected: &CommitId) -> Result<(), Error>;

    /// Finds or creates the pull request of the task, by head branch and [`marker`], and makes title and body be
    /// these. A person's "ready" stands: `draft` is only for creating.
    ///
    /// [`Error::Gone`] where the branch is missing or the pull request was closed or merged;
    /// [`Error::Conflict`] where the branch's pull request is not this task's.
    async fn ensure_pull(&self, place: Place, pull: &PullRequest<'_>) -> Result<Pull, Error>;

    /// The task's pull request as it is now, `None` where none was opened.
    async fn pull_state(&self, place: Place) -> Result<Option<PullState>, Error>;

    /// Closes the task's pull request; absent, closed or merged is fine.
    async fn close_pull(&self, place: Place) -> Result<(), Error>;

    /// Removes what else the task left on the forge: labels, notifications that are out of date, files of ours.
    /// The branch is [`delete_branch`](Self::delete_branch)'s.
    async fn clean_up(&self, place: Place, leave: Leave) -> Result<(), Error>;
}

/// Why a verb did not do its work, sorted by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wait and call again: busy, rate limit, no answer. The write may have happened.
    #[error("the forge did not answer: {why}; it is tried again")]
    Retry {
        /// Seconds that the forge asked to wait, where it said.
        after_secs: Option<u64>,
        /// What it said.
        why: String,
    },
    /// An operator has to renew the credential.
    #[error("the forge does not accept the credential: {why}; renew it")]
    Auth {
        /// What it said.
        why: String,
    },
    /// An operator has to grant a right.
    #[error("not permitted: {what}; grant it in {setting}")]
    NotPermitted {
        /// What was refused.
        what: String,
        /// Where the right is given.
        setting: String,
    },
    /// Read the world anew: the thing is not there.
    #[error("{what} is not there (any more)")]
    Gone {
        /// Which thing.
        what: String,
    },
    /// Somebody else was here: decide again with what was found.
    #[error("{what} is not as expected{}", found_words(.found.as_ref()))]
    Conflict {
        /// Which thing.
        what: String,
        /// The head that was found, for a branch.
        found: Option<CommitId>,
    },
    /// Nothing but another request helps.
    #[error("{what} was refused as invalid: {why}")]
    Invalid {
        /// Which thing.
        what: String,
        /// Why.
        why: String,
    },
    /// The machine below refused: disk full, folder not writable. Repair it, then call again.
    #[error("{what}: {why}; repair that, then `prentice tasks resume`")]
    Unavailable {
        /// Which file or folder.
        what: String,
        /// What the system said.
        why: String,
    },
}

fn found_words(found: Option<&CommitId>) -> String {
    found.map_or(String::new(), |head| format!(": found {}", head.short()))
}

/// Where a task is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The task.
    pub task: TaskId,
    /// Its issue; locally the task's own number.
    pub issue: i64,
}

/// The id of a comment on its forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommentId(pub i64);

/// What the status comment shall say.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    /// The stage in one word.
    pub word: &'a str,
    /// The task is final: what was cleaned up is not made anew for it.
    pub ended: bool,
    /// The text, without marker.
    pub body: &'a str,
}

/// What a pull request shall be.
#[derive(Clone, Copy, Debug)]
pub struct PullRequest<'a> {
    /// Head branch, without `refs/heads/`.
    pub branch: &'a str,
    /// Branch to merge into; `None` locally, where `HEAD` was detached.
    pub base: Option<&'a str>,
    /// The title.
    pub title: &'a str,
    /// The text, without marker.
    pub body: &'a str,
    /// Opened as a draft, where the forge has drafts.
    pub draft: bool,
}

/// A pull request as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullState {
    /// Its number; locally the task's.
    pub number: i64,
    /// Head of its branch; `None` where the branch is gone.
    pub head: Option<CommitId>,
    /// What became of it.
    pub stands: Stands,
}

/// What became of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stands {
    /// It can be merged or closed.
    Open,
    /// It was merged.
    Merged,
    /// It was closed; locally also when its branch was deleted.
    Closed,
}

/// What stays after [`Forge::clean_up`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leave {
    /// Status and its history.
    Record,
    /// Nothing that is ours.
    Nothing,
}

/// What a forge can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// Issues have labels.
    pub labels: bool,
    /// Pull requests can be drafts.
    pub drafts: bool,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// Its id, which survives a renaming.
    pub id: i64,
    /// Its name.
    pub login: String,
}

/// An issue as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issue {
    /// Its number.
    pub number: i64,
    /// Its title; empty locally, where the text has it.
    pub title: String,
    /// Its text as written.
    pub body: String,
    /// Whether it is open.
    pub open: bool,
}

/// What an account may do, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Nothing, or the forge does not say.
    None,
    /// Reads.
    Read,
    /// Sorts issues.
    Triage,
    /// Pushes.
    Write,
    /// Everything.
    Admin,
}

/// The hidden first line of a comment or pull request of ours: by it, and by the account, it is found again.
/// `key` tells several comments of one task apart; the status comment and the pull request have none.
#[must_use]
pub fn marker(task: TaskId, key: Option<&str>) -> String {
    match key {
        None => format!("<!-- prentice v1 task={task} -->"),
        Some(key) => {
            let quiet = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
            let key: String = key.chars().filter(quiet).collect();
            format!("<!-- prentice v1 task={task} key={key} -->")
        }
    }
}

/// Branches of the user's repository, for the local forge. Implemented by app over git.
#[async_trait]
pub trait Refs: Send + Sync {
    /// Head of `branch` (without `refs/heads/`), `None` where there is none.
    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, Error>;

    /// Compare and set: [`Error::Conflict`] where the head is not `expected` (`None` = no such branch).
    /// The commit's objects have to be in the repository afterwards.
    async fn set_branch(
        &self,
        branch: &str,
        new: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), Error>;

    /// Compare and delete: [`Error::Conflict`] where the head is not `expected`.
    async fn delete_branch(&self, branch: &str, expected: &CommitId) -> Result<(), Error>;

    /// Whether `commit` can be reached from `branch`; false where there is no such branch.
    async fn reaches(&self, branch: &str, commit: &CommitId) -> Result<bool, Error>;
}

/// Told before and after each durable step, so that a test can kill the program there.
pub trait Durable: Send + Sync {
    /// `what` names the step: `before rename T-1/status.md`.
    fn step(&self, what: &str);
}

/// The forge of one machine: status, comments and `PR.md` are files under `out_root/T-1`, the pull request's
/// branch is in the user's repository behind `refs`.
#[must_use]
pub fn local(
    out_root: PathBuf,
    refs: Arc<dyn Refs>,
    durable: Option<Arc<dyn Durable>>,
) -> Box<dyn Forge> {
    Box::new(local::Local::new(out_root, refs, durable))
}
