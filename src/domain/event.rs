//! Events: everything that happened, in the past tense. Words of people are here
//! only after [`super::policy`] permitted them; answers name their question.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::brief::Brief;
use super::command::Grant;
use super::evidence::CheckEvidence;
use super::gates::Finding;
use super::ident::{CommitId, Digest};
use super::task::{
    Failure, FileStat, NewTask, Pull, Question, RepositoryFile, RunResult, Step, Unfinished,
};

/// Something that happened to one task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// Someone asked for the task: the first line of every journal. Replayed from here, it gives the stored task.
    Requested {
        /// What was asked for.
        new: Box<NewTask>,
        /// The branch that was named for it.
        branch: String,
    },
    /// A permitted person accepted exactly the text of this digest.
    Accepted {
        /// Who.
        by: String,
        /// Digest of the accepted text.
        digest: Digest,
        /// An address of theirs that the forge shows to everyone.
        #[serde(default)]
        address: Option<String>,
    },
    /// A run was claimed. Claimed again after a worker was lost, the attempt is higher.
    RunStarted {
        /// Which.
        run: u32,
        /// Claims so far, this one included.
        attempt: u32,
    },
    /// A run reached a step.
    Progressed {
        /// Which run.
        run: u32,
        /// The step that began.
        step: Step,
    },
    /// A run gave no sign of life for `stall_after`.
    WentQuiet {
        /// Which.
        run: u32,
    },
    /// A quiet run spoke again.
    Heard {
        /// Which.
        run: u32,
    },
    /// A run ended.
    RunEnded {
        /// Which.
        run: u32,
        /// How.
        outcome: RunOutcome,
    },
    /// The checks ran on a person's head.
    Checked {
        /// Which run of the checks.
        run: u32,
        /// On what.
        head: CommitId,
        /// Files that differ from the base.
        files: Vec<FileStat>,
        /// What was seen.
        evidence: Vec<CheckEvidence>,
        /// What the gates found.
        findings: Vec<Finding>,
        /// What the head makes of the repository file.
        #[serde(default)]
        repository_file: Option<RepositoryFile>,
    },
    /// Branch and pull request show the revision.
    Published {
        /// Which.
        revision: u32,
        /// Where.
        pull: Pull,
    },
    /// What was made on one machine is on the forge of its issue too.
    PublishedBeside {
        /// The commit.
        head: CommitId,
        /// The page of its pull request.
        page: String,
    },
    /// The forge or the branch refused the revision, for good.
    PublishFailed {
        /// Which.
        revision: u32,
        /// Why.
        failure: Failure,
    },
    /// What an ended task left was removed, but for these.
    CleanedUp {
        /// What stayed, and why.
        left: Vec<String>,
    },
    /// A person answered.
    Answered {
        /// Who.
        by: String,
        /// `1: A; 2: …`, `defaults`, or free words.
        text: String,
    },
    /// A person approved.
    Approved {
        /// Who.
        by: String,
        /// What; `None` = whatever is asked now.
        target: Option<Target>,
        /// An address of theirs that the forge shows to everyone.
        #[serde(default)]
        address: Option<String>,
    },
    /// A person said no: to one request, or to the whole task.
    Rejected {
        /// Who.
        by: String,
        /// To one request; the work goes on without it.
        target: Option<Target>,
        /// Why.
        reason: Option<String>,
    },
    /// A person asked for another try.
    Retried {
        /// Who.
        by: String,
        /// Kept work is ignored.
        fresh: bool,
        /// More time; `None` = as before.
        budget: Option<Grant>,
        /// Digest of the newer text that they mean, where it is known that they could have seen it, or that its author
        /// needs nobody to accept it. Any other newer text is proposed.
        #[serde(default)]
        text: Option<Digest>,
        /// An address of theirs that the forge shows to everyone.
        #[serde(default)]
        address: Option<String>,
    },
    /// A person asked for it to stop, or withdrew the request.
    Stopped {
        /// Who.
        by: String,
    },
    /// The person who interrupted it lets it go on.
    Resumed {
        /// Who.
        by: String,
    },
    /// A person asked for changes, by review or by words.
    FixAsked {
        /// Who.
        by: String,
        /// What.
        text: String,
    },
    /// A person took the branch.
    TookOver {
        /// Who.
        by: String,
    },
    /// A person gave the branch back.
    HandedBack {
        /// Who.
        by: String,
        /// Head of the branch then.
        head: CommitId,
    },
    /// A person merged.
    Merged {
        /// Who.
        by: String,
    },
    /// A person closed the pull request.
    Closed {
        /// Who.
        by: String,
    },
    /// A bot closed the pull request.
    ClosedByBot {
        /// Which.
        by: String,
    },
    /// It was reopened.
    Reopened {
        /// Who.
        by: String,
    },
    /// A commit that is not ours is the head of the task branch.
    BranchMoved {
        /// Who pushed.
        by: String,
        /// What.
        head: CommitId,
    },
    /// The task branch is gone.
    BranchGone {
        /// Who removed it, as far as is known.
        by: String,
    },
    /// The issue's text changed.
    IssueEdited {
        /// Who.
        by: String,
        /// The new text, read.
        brief: Box<Brief>,
    },
    /// The issue was closed.
    IssueClosed {
        /// Who.
        by: String,
    },
    /// Somebody who may asked for a task that was proposed and not shown.
    AskedFor {
        /// Who.
        by: String,
    },
    /// Nothing can be written to the repository any more.
    OutOfReach {
        /// Why, and what helps.
        why: String,
    },
    /// A timer ran out.
    TimerFired {
        /// Which.
        timer: Timer,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum RunOutcome {
    /// There is a commit; its evidence and findings say what it is worth.
    Result {
        /// Everything about it.
        result: Box<RunResult>,
    },
    /// The agent asks.
    Asked {
        /// What.
        questions: Vec<Question>,
        /// Work kept.
        kept: Option<CommitId>,
        /// What was seen before.
        seen: Box<Unfinished>,
    },
    /// No result.
    Failed {
        /// Why.
        failure: Failure,
        /// Work kept.
        kept: Option<CommitId>,
        /// What was seen before it failed.
        seen: Box<Unfinished>,
    },
    /// The person at the terminal interrupted it.
    Interrupted {
        /// Who.
        by: String,
        /// Work kept.
        kept: Option<CommitId>,
    },
    /// It was stopped because the task asked for that.
    Cancelled,
}

/// What an approval or a refusal names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "target")]
pub enum Target {
    /// `b1`, `b2`: the brief.
    Brief {
        /// Its number.
        number: u32,
    },
    /// `r1`, `r2`: all that is asked about a revision.
    Revision {
        /// Its number.
        number: u32,
    },
    /// A digest, or the first six digits of one, or of a commit.
    Digest {
        /// The digits typed.
        digits: String,
    },
    /// Everything but what has a name of its own.
    Scope,
    /// Manifests and lockfiles.
    Deps,
    /// Workflows that a push would run with the repository's secrets.
    Ci,
    /// One more round.
    Round,
}

impl fmt::Display for Target {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brief { number } => write!(f, "b{number}"),
            Self::Revision { number } => write!(f, "r{number}"),
            Self::Digest { digits } => f.write_str(digits),
            Self::Scope => f.write_str("scope"),
            Self::Deps => f.write_str("deps"),
            Self::Ci => f.write_str("ci"),
            Self::Round => f.write_str("round"),
        }
    }
}

/// A timer, named so that one set for an older question moves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "timer")]
pub enum Timer {
    /// A question waited long enough.
    Ask {
        /// Its number.
        asked: u32,
    },
    /// A closed pull request stayed closed.
    Close {
        /// Counted with the questions.
        asked: u32,
    },
}
