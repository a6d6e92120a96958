//! A task: one issue, from request to end. Plain data; [`super::decide`] moves it.

mod agent;
mod failure;
mod publish;
mod record;
mod result;
mod text;

pub use agent::AgentSpec;
pub use failure::{Failure, FailureClass};
pub use publish::{PublishTo, PublishedAt};
pub use record::{Approval, Note, NoteKind};
pub use result::{
    ByHand, Claims, FileMistake, FileStat, Pull, RepositoryFile, Revision, RunFacts, RunResult,
    Unfinished,
};

use serde::{Deserialize, Serialize};

use super::brief::{Area, Brief, Survey};
use super::ident::{CommitId, TaskId, Time};
use super::settings::Settings;

/// One task. What was accepted comes first and stays; what moves comes after.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// Where the request was made.
    pub issue: IssueRef,
    /// The person whose permitted act started it.
    pub requester: String,
    /// An address of theirs that the forge shows to everyone, for trailers of the commit; never a guess.
    #[serde(default)]
    pub requester_address: Option<String>,
    /// The accepted text. Replaced before work by an edit or an answer about the text, afterwards by a retry.
    pub brief: Brief,
    /// The issue's text now, where it changed after work began: the brief of the next try.
    #[serde(default)]
    pub edited: Option<Box<Brief>>,
    /// How often it was replaced.
    pub brief_edits: u32,
    /// Facts about the repository at `base`, for judging the brief.
    pub survey: Survey,
    /// What governs it, as read at `base`, with the time that `retry --budget` granted.
    pub settings: Settings,
    /// The commit that work starts from.
    pub base: CommitId,
    /// The branch that `base` was the head of, where there was one.
    pub base_branch: Option<String>,
    /// The task branch, without `refs/heads/`.
    pub branch: String,
    /// Who edits.
    pub agent: AgentSpec,
    /// When the brief was accepted; the time of every commit made for it, so that a repeated run gives the same commit.
    pub accepted_at: Time,

    /// Where it stands.
    pub stage: Stage,
    /// Since when.
    pub since: Time,
    /// Number of the last run asked for; 0 = none yet.
    pub run: u32,
    /// Whether any run began; from then on an edit of the issue changes none under way.
    #[serde(default)]
    pub started: bool,
    /// Number of the current round; 0 before the first.
    pub round: u32,
    /// Who asked for it, where it is not the first: asked to look again at what came of it.
    #[serde(default)]
    pub round_by: Option<String>,
    /// Rounds granted by name on top of `task.max_rounds`.
    pub rounds_granted: u32,
    /// Automatic retries used, per task.
    pub auto_retries: u32,
    /// How many questions were asked so far; names the one that is open.
    pub asked: u32,
    /// The newest result, published or not.
    pub revision: Option<Revision>,
    /// What the newest run saw, where it ended without a result.
    pub unfinished: Option<Box<Unfinished>>,
    /// The pull request, once it was opened.
    pub pull: Option<Pull>,
    /// What was published of it beside this machine, where it was made on one.
    #[serde(default)]
    pub published: Option<Box<PublishedAt>>,
    /// Every commit that runs made, oldest first: the heads at which the task branch is ours to delete.
    #[serde(default)]
    pub ours: Vec<CommitId>,
    /// Work kept from a run that stopped before its end: a commit in the mirror.
    pub kept: Option<CommitId>,
    /// What people said that the next run has to know.
    pub notes: Vec<Note>,
    /// Approvals given, for the record.
    pub approvals: Vec<Approval>,
    /// Since when [`Self::edited`] is there.
    pub issue_edited_at: Option<Time>,
    /// It is proposed and not shown on the forge: strangers proposed too many. Shown once somebody who may asks for it.
    #[serde(default)]
    pub unshown: bool,
}

/// A task that has no number yet: the accepted half of [`Task`]. The branch follows from the number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NewTask {
    /// Where the request was made. Locally the number is 0 and becomes the task's own.
    pub issue: IssueRef,
    /// The person whose permitted act started it.
    pub requester: String,
    /// An address of theirs that the forge shows to everyone.
    #[serde(default)]
    pub requester_address: Option<String>,
    /// The text.
    pub brief: Brief,
    /// Facts about the repository at `base`.
    pub survey: Survey,
    /// What governs it.
    pub settings: Settings,
    /// The commit that work starts from.
    pub base: CommitId,
    /// The branch that `base` was the head of, where there was one.
    pub base_branch: Option<String>,
    /// Who edits.
    pub agent: AgentSpec,
    /// When the brief was accepted.
    pub accepted_at: Time,
    /// A branch name that was free; `None` where whoever stores the task finds one.
    #[serde(default)]
    pub branch: Option<String>,
    /// Nobody who may has accepted the text: the task waits for that.
    #[serde(default)]
    pub unaccepted: bool,
    /// Nothing about it is shown on the forge before somebody who may asks for it.
    #[serde(default)]
    pub unshown: bool,
}

impl IssueRef {
    /// What tells repositories of one forge apart: the id where there is one, since names change.
    #[must_use]
    pub fn repository_key(&self) -> String {
        self.repository_id
            .map_or_else(|| self.repository.clone(), |id| format!("#{id}"))
    }
}

impl NewTask {
    /// The task with its number and branch, waiting to be accepted.
    #[must_use]
    pub fn proposed(&self, id: TaskId, branch: String, at: Time) -> Task {
        let mut issue = self.issue.clone();
        if issue.number == 0 {
            issue.number = id.0;
        }
        Task {
            id,
            issue,
            requester: self.requester.clone(),
            requester_address: self.requester_address.clone(),
            brief: self.brief.clone(),
            edited: None,
            brief_edits: 0,
            survey: self.survey,
            settings: self.settings.clone(),
            base: self.base.clone(),
            base_branch: self.base_branch.clone(),
            branch,
            agent: self.agent.clone(),
            accepted_at: self.accepted_at,
            stage: Stage::Proposed,
            since: at,
            run: 0,
            started: false,
            round: 0,
            round_by: None,
            rounds_granted: 0,
            auto_retries: 0,
            asked: 0,
            revision: None,
            unfinished: None,
            pull: None,
            published: None,
            ours: Vec::new(),
            kept: None,
            notes: Vec::new(),
            approvals: Vec::new(),
            issue_edited_at: None,
            unshown: self.unshown,
        }
    }
}

/// Where a request was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IssueRef {
    /// Name of the configured forge; `local` for one machine.
    pub forge: String,
    /// The repository, as the forge named it when the task began; locally its path.
    pub repository: String,
    /// The forge's id of the repository, which survives a renaming; `None` locally.
    #[serde(default)]
    pub repository_id: Option<i64>,
    /// The issue's number; locally the task's own.
    pub number: i64,
    /// Where the text was read: a URL, a file, or `-` for standard input.
    pub source: String,
    /// Locally: the folder that the report goes to, where it is not in the data folder.
    pub out: Option<String>,
    /// Locally: where the result is published too, once it is there to be judged.
    #[serde(default)]
    pub publish: Option<PublishTo>,
}

/// Where a task stands, and only what that stage needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
pub enum Stage {
    /// Waits for someone who may accept exactly this text.
    Proposed,
    /// Accepted; `run` is asked for unless a person interrupted it.
    Queued {
        /// The run that was asked for.
        run: u32,
        /// What it waits for.
        why: Waiting,
    },
    /// A run is under way.
    Running {
        /// Which.
        run: u32,
        /// The step it is at.
        step: Step,
        /// No sign of life since, when that is told as stalled.
        quiet_since: Option<Time>,
        /// A person asked for it to stop.
        stopping: Option<String>,
    },
    /// Waits for an answer.
    Asking {
        /// What about.
        about: About,
        /// Numbered from 1 when shown.
        questions: Vec<Question>,
        /// Without an answer by then it stops.
        until: Time,
    },
    /// Waits for a yes or no.
    AwaitingApproval {
        /// To what.
        of: ApprovalOf,
    },
    /// The pull request is being opened or brought up to date.
    Publishing {
        /// Which revision.
        revision: u32,
    },
    /// A person judges the result.
    InReview {
        /// Head of the branch.
        head: CommitId,
        /// A person's commit is on the branch: the evidence is old, and this run of the checks makes it new.
        checking: Option<u32>,
        /// The pull request was closed; final at that time unless reopened.
        closing: Option<Closing>,
    },
    /// A person owns the branch; nothing here may push.
    TakenOver {
        /// Who.
        by: String,
    },
    /// Stopped, will not retry by itself.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Final.
    Ended {
        /// How.
        how: Ending,
        /// Who ended it.
        by: String,
        /// What they said.
        reason: Option<String>,
        /// What the clean-up could not remove and why; `None` while it has not answered.
        left: Option<Vec<String>>,
    },
}

/// A closed pull request inside its grace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Closing {
    /// Who closed it.
    pub by: String,
    /// When it becomes final.
    pub until: Time,
}

/// What a queued task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "for")]
pub enum Waiting {
    /// A free slot.
    Slot,
    /// A free slot, again, after a failure that is retried by itself.
    Retry {
        /// The class that is retried.
        class: FailureClass,
    },
    /// The person who interrupted it. Nothing is asked for until they resume.
    Person {
        /// Who.
        by: String,
    },
}

/// Steps of a run, in order. All are the bot's own; none comes from a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// Mirror, checkout, sandboxes.
    Prepare,
    /// Set-up and checks on the base commit.
    Base,
    /// The agent works.
    Work {
        /// Which try, from 1.
        attempt: u32,
    },
    /// The result is read as data and judged by the gates.
    Judge {
        /// Which try, from 1.
        attempt: u32,
    },
    /// Set-up and checks on the exact result.
    Verify {
        /// Which try, from 1.
        attempt: u32,
    },
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The text of the issue; nothing ran yet.
    Brief,
    /// The work; the agent asked.
    Work,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Question {
    /// The question. From an agent, so data.
    pub text: String,
    /// Choices, may be empty.
    pub choices: Vec<String>,
    /// What `answer defaults` means for it.
    pub default: Option<String>,
}

/// What waits for a yes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "of")]
pub enum ApprovalOf {
    /// The brief (`b1`): it names sensitive areas.
    Brief {
        /// Which.
        areas: Vec<Area>,
    },
    /// The newest revision (`r1`): gates ask.
    Result,
    /// A further round, beyond `task.max_rounds`.
    Round {
        /// What the round would work on.
        text: String,
    },
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// A person merged it.
    Merged,
    /// A person turned it down.
    Rejected,
    /// It was withdrawn or nobody answered.
    Stopped,
}

impl Task {
    /// Who approved the newest result as it is published, if anybody did.
    #[must_use]
    pub fn approved_by(&self) -> Option<&str> {
        let head = self.revision.as_ref()?.result.head.as_str();
        let approval = self.approvals.iter().rev().find(|of| of.bound_to == head)?;
        Some(&approval.by)
    }

    /// The word for the stage on every surface (house.md).
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.stage {
            Stage::Proposed => "proposed",
            Stage::Queued { .. } => "queued",
            Stage::Running { .. } | Stage::Publishing { .. } => "running",
            Stage::Asking { .. } => "needs-info",
            Stage::AwaitingApproval { .. } => "needs-approval",
            Stage::InReview { .. } => "needs-review",
            Stage::TakenOver { .. } => "taken-over",
            Stage::Failed { .. } => "failed",
            Stage::Ended { how, .. } => match how {
                Ending::Merged => "merged",
                Ending::Rejected => "rejected",
                Ending::Stopped => "stopped",
            },
        }
    }

    /// Whether nothing moves it any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.stage, Stage::Ended { .. })
    }

    /// The one answer that the task waits for from our own machinery, if any.
    #[must_use]
    pub fn outstanding(&self) -> Option<Outstanding> {
        match &self.stage {
            Stage::Queued { run, why } => match why {
                Waiting::Slot | Waiting::Retry { .. } => Some(Outstanding::Run(*run)),
                Waiting::Person { .. } => None,
            },
            Stage::Running { run, .. } => Some(Outstanding::Run(*run)),
            Stage::Publishing { revision } => Some(Outstanding::Pull(*revision)),
            Stage::InReview { checking, .. } => checking.map(Outstanding::Run),
            Stage::Ended { left: None, .. } => Some(Outstanding::CleanUp),
            Stage::Proposed
            | Stage::Asking { .. }
            | Stage::AwaitingApproval { .. }
            | Stage::TakenOver { .. }
            | Stage::Failed { .. }
            | Stage::Ended { left: Some(_), .. } => None,
        }
    }

    /// The person whose turn it is, if it is a person's: a login, or the role that the stage names.
    #[must_use]
    pub fn whose_turn(&self) -> Option<&str> {
        match &self.stage {
            Stage::Proposed => Some("a maintainer"),
            Stage::Queued {
                why: Waiting::Person { by },
                ..
            }
            | Stage::TakenOver { by } => Some(by),
            Stage::Asking { .. } => Some(&self.requester),
            Stage::AwaitingApproval { .. } => Some("an approver"),
            Stage::InReview { .. } => {
                Some(self.brief.reviewer.as_deref().unwrap_or(&self.requester))
            }
            Stage::Failed { .. } => Some("a maintainer"),
            Stage::Queued { .. }
            | Stage::Running { .. }
            | Stage::Publishing { .. }
            | Stage::Ended { .. } => None,
        }
    }
}

/// An answer of our own machinery that a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outstanding {
    /// A run, or a run of the checks alone.
    Run(u32),
    /// The pull request of a revision.
    Pull(u32),
    /// What an ended task leaves is being removed.
    CleanUp,
}
