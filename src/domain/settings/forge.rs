//! What only a served forge reads: who starts what, and what is shown there.

use serde::{Deserialize, Serialize};

use super::super::policy::{Right, SelfApproval};
use super::list;

/// `[trigger]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Trigger {
    /// The label that asks for a task; never one of `agent:*`, which show the stage.
    pub label: String,
    /// The least right that starts a task; from `Triage` up.
    pub allow: Right,
    /// Logins that may start whatever their right.
    pub allow_users: Vec<String>,
    /// Logins that are programs, where the forge does not say so.
    pub ignore_users: Vec<String>,
    /// On which pull requests the referee runs.
    pub verify: RefereeOn,
    /// Most runs of the referee that nobody asked for, in one hour.
    pub verify_per_hour: u32,
    /// What a command begins with, beside `@` and our own name.
    pub prefix: String,
}

/// On which pull requests the referee runs; each includes what is asked for by a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefereeOn {
    /// Where a command asks.
    Asked,
    /// Where someone with write put the label.
    Label,
    /// On every one that a program opened.
    Agents,
    /// On every one.
    All,
}

/// Whose comments the agent is shown, strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommentsFrom {
    /// Nobody's.
    None,
    /// Of those who may push.
    Write,
    /// Of those who may sort issues.
    Triage,
    /// Of everybody.
    Anyone,
}

impl CommentsFrom {
    /// Whether the agent is shown what someone with this right wrote; a right that could not
    /// be looked up counts as none.
    #[must_use]
    pub fn hears(self, right: Option<Right>) -> bool {
        match self {
            Self::None => false,
            Self::Write => right >= Some(Right::Write),
            Self::Triage => right >= Some(Right::Triage),
            Self::Anyone => true,
        }
    }
}

/// `[pr]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct PullSettings {
    /// Until when it is a draft, where the forge has drafts.
    pub draft: Draft,
    /// Who is asked to review: `requester`, `codeowners`, or a login.
    pub reviewers: Vec<String>,
    /// Labels put on it; never one of `agent:*`.
    pub labels: Vec<String>,
    /// Merging it closes the issue.
    pub closes_issue: bool,
    /// Write the requester's `Signed-off-by`.
    pub sign_off: bool,
    /// Write the `Agent-Task` and `Co-authored-by` trailers.
    pub trailers: bool,
    /// A closed pull request reopened within this goes on as it was.
    pub close_grace_secs: u64,
    /// What is shown of a result that is still red.
    pub on_verify_fail: OnVerifyFail,
}

impl PullSettings {
    /// Whether the pull request of a result is a draft, by whether someone approved that result. Without
    /// [`OnVerifyFail::Draft`] no result that is red is published, so `until-verified` has none.
    #[must_use]
    pub fn is_draft(&self, approved: bool) -> bool {
        match self.draft {
            Draft::UntilApproved => !approved,
            Draft::UntilVerified | Draft::Never => false,
        }
    }
}

/// Until when a pull request is a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Draft {
    /// Until someone who may approve has approved.
    UntilApproved,
    /// Until the required checks are green.
    UntilVerified,
    /// It never is one.
    Never,
}

/// What is shown of a result whose required checks are red.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnVerifyFail {
    /// No pull request.
    NoPr,
    /// A draft that says so.
    Draft,
}

/// `[review]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Review {
    /// What starts a round.
    pub fix_on: FixOn,
    /// The least right that approves; from `Write` up.
    pub approve_min: Right,
    /// Whether the requester may approve what they asked for.
    pub requester_may_approve: SelfApproval,
}

/// What starts a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FixOn {
    /// A review that requests changes, or `fix`.
    ChangesRequested,
    /// `fix` alone.
    Command,
}

/// `[messages]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Messages {
    /// What the status comment tells on the way.
    pub progress: Progress,
    /// Who is mentioned where it is someone's turn.
    pub mention: Mention,
}

/// What the status comment tells on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Every step, by edits in place.
    Sticky,
    /// Each change of stage, but no steps.
    Final,
    /// Nothing but what waits for a person.
    Off,
}

/// Who is mentioned where it is someone's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mention {
    /// Whoever started the task.
    Requester,
    /// Nobody.
    None,
}

impl Default for Trigger {
    fn default() -> Self {
        Self {
            label: "agent".to_owned(),
            allow: Right::Triage,
            allow_users: Vec::new(),
            ignore_users: Vec::new(),
            verify: RefereeOn::Asked,
            verify_per_hour: 6,
            prefix: "/agent".to_owned(),
        }
    }
}

impl Default for PullSettings {
    fn default() -> Self {
        Self {
            draft: Draft::UntilApproved,
            reviewers: list(&["requester"]),
            labels: list(&["agent-pr"]),
            closes_issue: true,
            sign_off: false,
            trailers: true,
            close_grace_secs: 15 * 60,
            on_verify_fail: OnVerifyFail::NoPr,
        }
    }
}

impl Default for Review {
    fn default() -> Self {
        Self {
            fix_on: FixOn::ChangesRequested,
            approve_min: Right::Write,
            requester_may_approve: SelfApproval::Auto,
        }
    }
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            progress: Progress::Sticky,
            mention: Mention::Requester,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_heard_by_the_right_of_who_wrote_them() {
        let heard = |from: CommentsFrom| {
            let rights = [
                None,
                Some(Right::None),
                Some(Right::Read),
                Some(Right::Triage),
                Some(Right::Write),
                Some(Right::Admin),
            ];
            rights.map(|right| from.hears(right))
        };
        assert_eq!(heard(CommentsFrom::None), [false; 6]);
        assert_eq!(
            heard(CommentsFrom::Write),
            [false, false, false, false, true, true]
        );
        assert_eq!(
            heard(CommentsFrom::Triage),
            [false, false, false, true, true, true]
        );
        assert_eq!(heard(CommentsFrom::Anyone), [true; 6]);
    }
}
