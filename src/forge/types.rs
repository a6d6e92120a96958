//! What adapters take and give, in the words of the core: plain data.

use secrecy::SecretString;

use crate::domain::ident::{CommitId, TaskId, Time};
use crate::domain::policy::{ActorKind, Right};
use crate::domain::task::Task;

/// Where a task is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The task.
    pub task: TaskId,
    /// Its issue; locally the task's own number.
    pub issue: i64,
    /// The number of its pull request, once that is stored: by it the pull request is found, whatever people made of
    /// its text, and none is opened beside it. Locally a task has one at most, and nothing reads this.
    pub pull: Option<i64>,
}

impl Place {
    /// Where this task is shown.
    #[must_use]
    pub fn of(task: &Task) -> Self {
        Self {
            task: task.id,
            issue: task.issue.number,
            pull: task.pull.as_ref().map(|pull| pull.number),
        }
    }
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

/// A task's pull request as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullState {
    /// Its number; locally the task's.
    pub number: i64,
    /// Head of its branch; `None` where the branch is gone.
    pub head: Option<CommitId>,
    /// What became of it.
    pub stands: Stands,
    /// Who merged or closed it, where the forge says.
    pub by: Option<Account>,
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
    /// Nothing that is ours. Among people the status stays, since it says how it ended.
    Nothing,
}

/// What a forge can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// Issues have labels.
    pub labels: bool,
    /// How a pull request is a draft.
    pub drafts: Drafts,
    /// Checks can stand on commits, in some form.
    pub checks: Checks,
    /// It can prove that a text was not edited since a moment ([`Conversation::unedited`]).
    pub proof: bool,
    /// Comments can be hidden as outdated.
    pub minimise: bool,
    /// It sends failed deliveries again when asked.
    pub redelivery: bool,
    /// Rights of other accounts can always be looked up; else only where ours is administrator.
    pub rights: bool,
    /// Timelines tell each push to an open pull request with its newest commit, and entries and comments are numbered
    /// in the order they came; else pushes over commits are told at most.
    pub pushes: bool,
}

/// How a pull request is a draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Drafts {
    /// There are none.
    #[default]
    None,
    /// A field of it.
    Field,
    /// The beginning of its title.
    TitlePrefix,
}

/// How a verdict stands on a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checks {
    /// Not at all.
    #[default]
    None,
    /// A state and a line.
    Statuses,
    /// With a page of its own.
    CheckRuns,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// Its id, which survives a renaming.
    pub id: i64,
    /// Its name; names can change hands.
    pub login: String,
    /// What kind of account, as far as the forge says.
    pub kind: ActorKind,
    /// The address that the forge shows of it.
    pub address: Option<String>,
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

/// The hidden first line of a comment or pull request of ours: by it, and by the account, it is found again.
/// `key` tells several comments of one task apart; the status comment and the pull request have none. The issue is in
/// it since another data folder has a task of the same number.
#[must_use]
pub fn marker(Place { task, issue, .. }: Place, key: Option<&str>) -> String {
    match key {
        None => format!("<!-- prentice v1 task={task} issue={issue} -->"),
        Some(key) => {
            let quiet = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
            let key: String = key.chars().filter(quiet).collect();
            format!("<!-- prentice v1 task={task} issue={issue} key={key} -->")
        }
    }
}

/// Whether a text of ours begins as that of another task. One without any marker may be any task's: a person took it
/// away.
pub(super) fn is_of_another(text: &str, place: Place) -> bool {
    let first = text.lines().next().unwrap_or_default().trim_end();
    first.starts_with("<!-- prentice v1 ") && first != marker(place, None)
}

/// How long before its issue the pull request of a task may seem to have been made: forges' clocks are set back too, and
/// one that is not found is opened once more.
pub(super) const CLOCKS_DIFFER_SECS: u64 = 24 * 60 * 60;

/// The hidden first line of a comment of ours that belongs to no task: `key` names what it answers.
#[must_use]
pub fn note_marker(key: &str) -> String {
    let quiet = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let key: String = key.chars().filter(quiet).collect();
    format!("<!-- prentice v1 note={key} -->")
}

/// A repository of a forge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    /// Its id, which survives renaming and transfer.
    pub id: i64,
    /// `owner/name`, as it is now.
    pub name: String,
    /// The branch that work starts from.
    pub default_branch: String,
    /// Not everyone can read it.
    pub private: bool,
    /// Nothing can be written any more.
    pub archived: bool,
    /// It belongs to a person, not to an organisation.
    pub personal: bool,
    /// Where git fetches and pushes; holds no credential.
    pub clone_url: String,
    /// Its page.
    pub page: String,
    /// What our own account may do; `None` where the forge does not say.
    pub ours: Option<Right>,
}

/// What git shows to a forge.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The name.
    pub user: String,
    /// The token.
    pub secret: SecretString,
}

/// An issue or pull request as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    /// Its number.
    pub number: i64,
    /// Its id, which survives a transfer where the forge keeps it.
    pub id: i64,
    /// Whether it is a pull request.
    pub is_pull: bool,
    /// Its title.
    pub title: String,
    /// Its text as written.
    pub body: String,
    /// Who opened it; `None` for a deleted account.
    pub author: Option<Account>,
    /// Whether it is open.
    pub open: bool,
    /// Whether only writers may comment.
    pub locked: bool,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// Logins of its assignees.
    pub assignees: Vec<String>,
    /// When it was opened.
    pub created_at: Time,
    /// When anything about it changed last.
    pub updated_at: Time,
    /// Its page.
    pub page: String,
}

/// One thing that somebody did to an issue or pull request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The forge's id of the entry, unique in its repository.
    pub id: i64,
    /// Who; `None` for a deleted account.
    pub by: Option<Account>,
    /// When.
    pub at: Time,
    /// What.
    pub what: Did,
}

/// What an entry of a timeline says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Did {
    /// Put the label of this name there.
    Labelled(String),
    /// Took the label of this name off.
    Unlabelled(String),
    /// Assigned this login.
    Assigned(String),
    /// Unassigned this login.
    Unassigned(String),
    /// Changed the title.
    Renamed,
    /// Closed it.
    Closed,
    /// Opened it again.
    Reopened,
    /// Merged it.
    Merged,
    /// Pushed to the branch of the pull request.
    Pushed {
        /// The head from then on, where the forge says.
        head: Option<CommitId>,
        /// What was the head before is not below it.
        over: bool,
    },
    /// Changed the branch that it is to be merged into. The forge may forget the pushes before; the next one that it
    /// tells is all of them.
    Retargeted,
}

/// A comment as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Comment {
    /// Its id.
    pub id: CommentId,
    /// Who wrote it; `None` for a deleted account.
    pub author: Option<Account>,
    /// Its text as written.
    pub body: String,
    /// When it was written.
    pub created_at: Time,
    /// Whether it was ever edited; `None` where the forge does not prove either.
    pub edited: Option<bool>,
    /// Its page.
    pub page: String,
}

/// Any pull request as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PullInfo {
    /// Its number.
    pub number: i64,
    /// Who opened it; `None` for a deleted account.
    pub author: Option<Account>,
    /// Its title.
    pub title: String,
    /// Its text as written.
    pub body: String,
    /// What became of it.
    pub stands: Stands,
    /// Whether it is a draft.
    pub draft: bool,
    /// Its head.
    pub head: CommitId,
    /// The branch of its head, in whatever repository that is.
    pub head_branch: String,
    /// The ref of the base repository under which its head can be fetched: `refs/pull/7/head`.
    pub head_ref: String,
    /// Whether the head branch is in another repository.
    pub from_fork: bool,
    /// The branch to merge into.
    pub base_branch: String,
    /// Its page.
    pub page: String,
}

/// A submitted review.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Review {
    /// Its id.
    pub id: i64,
    /// Who; `None` for a deleted account.
    pub author: Option<Account>,
    /// What it says.
    pub verdict: ReviewVerdict,
    /// The commit that was looked at; `None` where the forge does not say.
    pub commit: Option<CommitId>,
    /// Its text as written.
    pub body: String,
    /// When it was submitted.
    pub at: Time,
    /// Remarks on lines.
    pub remarks: Vec<Remark>,
}

/// What a review says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReviewVerdict {
    /// Good as it is.
    Approves,
    /// Changes are wanted.
    RequestsChanges,
    /// Neither.
    Comments,
}

/// A remark of a review on one place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remark {
    /// Its id.
    pub id: i64,
    /// The file.
    pub path: String,
    /// The line in the new text, where the forge says.
    pub line: Option<u32>,
    /// Its text as written.
    pub body: String,
}

/// Whether a text is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The forge proves that nobody edited it.
    Unedited,
    /// It was edited.
    Edited,
    /// The forge does not say.
    Unknown,
}

/// An issue or pull request that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Changed {
    /// When.
    pub at: Time,
    /// Its number.
    pub number: i64,
    /// Whether it is a pull request.
    pub is_pull: bool,
}

/// How a comment is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Seen and allowed.
    Seen,
    /// Done.
    Done,
    /// Not understood, or not possible now.
    Confused,
    /// Not permitted.
    Refused,
}
