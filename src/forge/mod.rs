//! Where issues live and results are shown.
//!
//! [`Forge`] speaks for one repository in the words of the core. Every write is
//! find-or-create, so doing it twice does it once, and a write whose answer was
//! lost is simply done again. There is no verb that merges and none that approves.

mod examine;
mod files;
mod gitea;
mod github;
pub mod hook;
mod http;
mod local;
mod prepare;
mod shadow;
mod types;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::domain::ident::{CommitId, Time};
use crate::domain::policy::Right;
use crate::domain::report::CheckReport;
use crate::domain::task::Pull;

pub use examine::{About, Deliveries, Examine, Grant, HookSeen, Reach, Wanted};
pub use files::{ISSUE_MAX_BYTES, keep_issue, read_issue};
pub use github::{MadeApp, NewApp, PERMISSIONS};
pub use prepare::{Made, Prepare};
pub use types::*;

/// A repository on a forge.
///
/// Call order: [`ensure_branch`](Self::ensure_branch), then [`ensure_pull`](Self::ensure_pull), then
/// [`set_check`](Self::set_check); at the end [`close_pull`](Self::close_pull),
/// [`delete_branch`](Self::delete_branch), [`clean_up`](Self::clean_up). Everything else in any order.
///
/// Every verb can answer [`Error::Retry`], [`Error::Away`], [`Error::Auth`] and [`Error::Unavailable`]; further
/// errors are named where they occur.
#[async_trait]
pub trait Forge: Send + Sync {
    /// What this forge can show; what it cannot is left out, never an error.
    fn capabilities(&self) -> Capabilities;

    /// The account that writes. Read once at the start; only comments of this account are ever taken for ours.
    async fn whoami(&self) -> Result<Account, Error>;

    /// The issue as it is now. [`Error::Gone`] where there is none.
    async fn issue(&self, number: i64) -> Result<Issue, Error>;

    /// What `login` may do at this moment, `None` where the forge does not say. Looked up for every act, never kept.
    async fn right(&self, login: &str) -> Result<Option<Right>, Error>;

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

    /// Since when a comment of ours says what it says, by the forge's own clock; `None` where it has none.
    ///
    /// [`Error::Gone`] where the comment is gone.
    async fn written_at(&self, comment: CommentId) -> Result<Option<Time>, Error>;

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

    /// Finds or creates the pull request of the task, and makes title and body be these. It is found by its number
    /// ([`Place::pull`]) whatever its text says, else by our account and [`marker`]. Where a number is known none is
    /// created. A person's "ready" stands: `draft` is only for creating.
    ///
    /// [`Error::Gone`] where the branch is missing or the pull request was closed, merged or deleted;
    /// [`Error::Conflict`] where the branch's pull request is not this task's.
    async fn ensure_pull(&self, place: Place, pull: &PullRequest<'_>) -> Result<Pull, Error>;

    /// The task's pull request as it is now, found as by [`ensure_pull`](Self::ensure_pull); `None` where none was
    /// opened.
    async fn pull_state(&self, place: Place) -> Result<Option<PullState>, Error>;

    /// Closes the task's pull request; absent, closed or merged is fine.
    async fn close_pull(&self, place: Place) -> Result<(), Error>;

    /// Asks `login` to review the task's pull request. Asked already is fine.
    ///
    /// [`Error::Invalid`] where the forge cannot ask this account (the author, no right to read, unknown).
    async fn request_review(&self, place: Place, login: &str) -> Result<(), Error>;

    /// Puts these labels on the task's pull request, beside what is there. Does nothing without [`Capabilities::labels`].
    async fn label_pull(&self, place: Place, labels: &[String]) -> Result<(), Error>;

    /// Makes the task's draft ready for review; ready already is fine, and so is a forge without drafts.
    async fn mark_ready(&self, place: Place) -> Result<(), Error>;

    /// Takes the trigger back: the label `label` off the issue, and our own account off its assignees. Absent is fine.
    async fn drop_trigger(&self, place: Place, label: &str) -> Result<(), Error>;

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
    /// Something else answers at the forge's address: wait until it is back, or correct the address. Other forges go
    /// on.
    #[error("{what}: {why}")]
    Away {
        /// Which answer, or which address.
        what: String,
        /// What is wrong with it.
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

/// The pull request of this number is the task's and cannot be found. None is opened in its place.
fn not_found(place: Place, number: i64) -> Error {
    match place.pull {
        Some(_) => Error::Gone {
            what: format!("our pull request #{number}"),
        },
        // It was made a moment ago.
        None => Error::Retry {
            after_secs: None,
            why: format!("pull request #{number} is not visible yet"),
        },
    }
}

fn found_words(found: Option<&CommitId>) -> String {
    found.map_or(String::new(), |head| format!(": found {}", head.short()))
}

/// What happens on a repository of a forge, and answers to it. Only intake and sweep use it; a task is shown by
/// [`Forge`]. Everything is read anew each time: a delivery is a hint, never a fact.
///
/// Errors as for [`Forge`]. Lists are whole (paged inside), oldest first, at most [`LIST_MAX`] entries: a list that
/// is longer answers [`Error::Invalid`], never less silently.
#[async_trait]
pub trait Conversation: Send + Sync {
    /// The repository as it is now, found by its id: a renamed one is followed. [`Error::Gone`] where it is gone or
    /// out of reach.
    async fn repository(&self) -> Result<Repository, Error>;

    /// An issue or pull request with everything that decides about it. [`Error::Gone`] where it was deleted or
    /// transferred.
    async fn thread(&self, number: i64) -> Result<Thread, Error>;

    /// What people did to it: labels, assignments, closing, reopening, renaming, pushes as far as they are told
    /// ([`Capabilities::pushes`]). Other entries are left out.
    async fn timeline(&self, number: i64) -> Result<Vec<Entry>, Error>;

    /// Its comments (not those of reviews), those changed since `since`.
    async fn comments(&self, number: i64, since: Option<Time>) -> Result<Vec<Comment>, Error>;

    /// One comment. [`Error::Gone`] where it was deleted.
    async fn comment(&self, id: CommentId) -> Result<Comment, Error>;

    /// The pull request of this number. [`Error::Gone`] where there is none.
    async fn pull(&self, number: i64) -> Result<PullInfo, Error>;

    /// Submitted reviews, pending and requested ones left out, with their inline comments.
    async fn reviews(&self, number: i64) -> Result<Vec<Review>, Error>;

    /// What `login` may do at this moment, `None` where the forge does not say.
    async fn right(&self, login: &str) -> Result<Option<Right>, Error>;

    /// Everyone who may push there, and perhaps some who may not; `None` where the forge does not tell all of them.
    async fn writers(&self) -> Result<Option<Vec<Account>>, Error>;

    /// Whether title and body of an issue are as they were at `at`, as far as the forge proves it.
    async fn unedited(&self, number: i64, at: Time) -> Result<Proof, Error>;

    /// Numbers of issues and pull requests that changed at or after `since`, open and closed ones, at most
    /// [`CHANGED_MAX`].
    async fn changed(&self, since: Time) -> Result<Vec<Changed>, Error>;

    /// Makes our reactions on a comment be exactly `reaction`, or none.
    async fn react(&self, comment: CommentId, reaction: Option<Reaction>) -> Result<(), Error>;

    /// Makes sure that the comment with this [`note_marker`] says this: found by `known`, else by account and marker,
    /// else made. An existing one that says something else is edited. Answers its id.
    async fn ensure_note(
        &self,
        number: i64,
        key: &str,
        known: Option<CommentId>,
        body: &str,
    ) -> Result<CommentId, Error>;

    /// Makes the check of this name on this commit say this; `page` is where its details are read.
    async fn set_check(&self, check: &CheckReport, page: Option<&str>) -> Result<(), Error>;
}

/// A configured forge: one account, and the repositories that it may work in.
#[async_trait]
pub trait Service: Send + Sync {
    /// Its name in the server file.
    fn name(&self) -> &str;

    /// What it can show.
    fn capabilities(&self) -> Capabilities;

    /// The account that writes.
    async fn whoami(&self) -> Result<Account, Error>;

    /// The repositories that the account can reach and `allowed` names (`owner/name`, `owner/*`, any case), each once.
    /// A named one that cannot be reached is left out: the caller sees it missing.
    async fn repositories(&self, allowed: &[String]) -> Result<Vec<Repository>, Error>;

    /// The repository of this name. [`Error::Gone`] where there is none that we may see.
    async fn repository(&self, name: &str) -> Result<Repository, Error>;

    /// What git shows to fetch and push there. Short-lived where the forge can; asked for anew before each use.
    async fn credential(&self, repository: &Repository) -> Result<Credential, Error>;

    /// Where tasks of a repository are shown. Branches are moved by `refs`.
    fn forge(&self, repository: &Repository, refs: Arc<dyn Refs>) -> Arc<dyn Forge>;

    /// What happens on a repository.
    fn conversation(&self, repository: &Repository) -> Arc<dyn Conversation>;

    /// Asks the forge to send again what failed since `since`; gives how many. 0 where it cannot.
    async fn redeliver(&self, since: Time) -> Result<u32, Error>;
}

/// Most entries of one list.
pub const LIST_MAX: usize = 10_000;

/// Most entries of [`Conversation::changed`]. Whatever happened while nobody looked has to be got over, or nothing is
/// ever heard again; so only a number and a time are kept of each.
pub const CHANGED_MAX: usize = 500_000;

/// Branches of a repository, behind the adapters. Implemented by app: locally over the user's repository, else over
/// fetch and push.
#[async_trait]
pub trait Refs: Send + Sync {
    /// Head of `branch` (without `refs/heads/`), `None` where there is none.
    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, Error>;

    /// Compare and set: [`Error::NotPermitted`] where a rule of the forge refuses it, [`Error::Conflict`] where the head is not `expected` (`None` = no such branch).
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

impl dyn Refs {
    /// [`Self::set_branch`], where the branch is not at `commit` already: also by an earlier try whose answer was
    /// lost.
    pub(crate) async fn ensure_branch(
        &self,
        branch: &str,
        commit: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), Error> {
        if self.branch_head(branch).await?.as_ref() == Some(commit) {
            return Ok(());
        }
        match self.set_branch(branch, commit, expected).await {
            Err(Error::Conflict { found, .. }) if found.as_ref() == Some(commit) => Ok(()),
            done => done,
        }
    }

    /// [`Self::delete_branch`], where there is one.
    pub(crate) async fn ensure_no_branch(
        &self,
        branch: &str,
        expected: &CommitId,
    ) -> Result<(), Error> {
        if self.branch_head(branch).await?.is_none() {
            return Ok(());
        }
        match self.delete_branch(branch, expected).await {
            Err(Error::Conflict { found: None, .. }) => Ok(()),
            done => done,
        }
    }
}

/// Whether `owner/name` or `owner/*` among `patterns` (`[[forge]] repos`) names a repository, in any case.
#[must_use]
pub fn is_named(patterns: &[String], name: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix("/*") {
            Some(owner) => name
                .split_once('/')
                .is_some_and(|(of, _)| of.eq_ignore_ascii_case(owner)),
            None => pattern.eq_ignore_ascii_case(name),
        })
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

/// A forge that is only read: its tasks are shown in files below `out_root`, and nothing is answered.
#[must_use]
pub fn shadow(real: Arc<dyn Service>, out_root: PathBuf) -> Arc<dyn Service> {
    Arc::new(shadow::Shadow { real, out_root })
}

/// A Gitea or Forgejo at `base_url` (without `/api/v1`), called `name` in the server file.
///
/// [`Error::Invalid`] where the address is none. Nothing is asked of the forge yet.
pub fn gitea(name: &str, base_url: &str, token: SecretString) -> Result<Arc<dyn Service>, Error> {
    Ok(Arc::new(gitea::Gitea::new(name, base_url, token)?))
}

/// Looks at a Gitea or Forgejo with a token. Errors as for [`gitea`].
///
/// # Errors
/// See above.
pub fn examine_gitea(base_url: &str, token: SecretString) -> Result<Arc<dyn Examine>, Error> {
    Ok(Arc::new(gitea::Gitea::new("", base_url, token)?))
}

/// Makes repositories of a Gitea or Forgejo ready, with an administrator's token. Errors as for [`gitea`].
///
/// # Errors
/// See above.
pub fn prepare_gitea(base_url: &str, token: SecretString) -> Result<Arc<dyn Prepare>, Error> {
    Ok(Arc::new(gitea::Gitea::new("", base_url, token)?))
}

/// GitHub, or an Enterprise Server at `base_url` (`https://HOST/api/v3`), as the App `app_id` with its private key in
/// PEM form. Has to be called inside the runtime that it will be used in.
///
/// # Errors
/// [`Error::Auth`] where the key is none, [`Error::Invalid`] where the URL is none that a token may be sent to,
/// [`Error::Unavailable`] where the system has no root certificates.
pub fn github_app(
    name: &str,
    base_url: Option<&str>,
    app_id: u64,
    private_key: &SecretString,
) -> Result<Arc<dyn Service>, Error> {
    Ok(github::app(name, base_url, app_id, private_key)?)
}

/// The same with the token of an account. Errors as for [`github_app`].
///
/// # Errors
/// See above.
pub fn github_token(
    name: &str,
    base_url: Option<&str>,
    token: &SecretString,
) -> Result<Arc<dyn Service>, Error> {
    Ok(github::token(name, base_url, token)?)
}

/// Looks at GitHub as an App, or with the token of an account: what [`github_app`] and [`github_token`] take.
///
/// # Errors
/// As for those.
pub fn examine_github(
    base_url: Option<&str>,
    app: Option<(u64, &SecretString)>,
    token: &SecretString,
) -> Result<Arc<dyn Examine>, Error> {
    match app {
        Some((id, key)) => Ok(github::app("", base_url, id, key)?),
        None => Ok(github::token("", base_url, token)?),
    }
}

/// The manifest of a GitHub App, JSON, and the address of the form that takes it: of an organisation, or of whoever
/// sends it.
///
/// # Errors
/// [`Error::Invalid`] where the URL is none that a token may be sent to.
pub fn github_manifest(
    base_url: Option<&str>,
    org: Option<&str>,
    app: &NewApp<'_>,
) -> Result<(String, String), Error> {
    Ok((github::manifest(app), github::form(base_url, org)?))
}

/// Exchanges the code that GitHub gave for a manifest: the App and its secrets. It works once.
///
/// # Errors
/// [`Error::Invalid`] for a code that was used or is too old, [`Error::Retry`] without an answer.
pub async fn github_made_app(base_url: Option<&str>, code: &str) -> Result<MadeApp, Error> {
    github::convert(base_url, code).await
}
