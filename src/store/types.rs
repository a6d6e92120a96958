//! What goes into the store and comes out of it: plain data.

use std::path::PathBuf;

use crate::domain::effect::Effect;
use crate::domain::event::Event;
use crate::domain::ident::{Digest, TaskId, Time};
use crate::domain::task::{NewTask, Step, Task};

/// A repository of a configured forge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryKey {
    /// Name of the forge in the server file.
    pub forge: String,
    /// The forge's id of the repository.
    pub id: i64,
}

impl RepositoryKey {
    /// Of a task's repository; `None` where that is a folder of this machine.
    #[must_use]
    pub fn of(task: &Task) -> Option<Self> {
        Some(Self {
            forge: task.issue.forge.clone(),
            id: task.issue.repository_id?,
        })
    }

    /// Of the repository that a task's result is pushed to, also where it is worked on in a folder of this machine.
    #[must_use]
    pub fn pushed(task: &Task) -> Option<Self> {
        let to = task.issue.publish.as_ref();
        let published = to.map(|to| Self {
            forge: to.forge.clone(),
            id: to.repository_id,
        });
        Self::of(task).or(published)
    }

    /// Where the id of a task's status comment is kept; of a local task nowhere.
    #[must_use]
    pub fn status_of(task: &Task) -> Option<(Self, String)> {
        Some((Self::of(task)?, task.id.to_string()))
    }
}

/// A row of the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputId(pub i64);

/// A delivery of a forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(pub i64);

/// The state of a task that a decision was made on: the number of its journal lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub i64);

/// What arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A request for a new task.
    Request(Box<NewTask>),
    /// Something that happened to a task.
    Event {
        /// Which.
        task: TaskId,
        /// What.
        event: Box<Event>,
    },
}

/// What became of [`super::Store::deliver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The row, new or old.
    pub input: InputId,
    /// Whether its key was seen before.
    pub duplicate: bool,
}

/// An input that is not yet decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its row.
    pub id: InputId,
    /// What it says.
    pub arrival: Arrival,
    /// When it arrived.
    pub at: Time,
}

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not yet decided.
    Waiting,
    /// It moved or made a task.
    Done {
        /// Which.
        task: TaskId,
        /// Its version then: the last journal line of this input.
        version: Version,
    },
    /// It moved nothing.
    Ignored {
        /// Why.
        reason: String,
    },
}

/// What is now true of a task, and what must be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The task as it is now.
    pub task: Task,
    /// At least one line.
    pub journal: Vec<JournalLine>,
    /// Each becomes a job, unless its key is known.
    pub effects: Vec<Effect>,
}

/// Makes a task of the number it gets. Runs inside the transaction, so: quick, no IO.
pub type MakeTask = Box<dyn FnOnce(TaskId) -> Decision + Send>;

/// One line of a task's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalLine {
    /// When.
    pub at: Time,
    /// What happened; `None` = the request was taken.
    pub event: Option<Event>,
    /// What a person reads.
    pub note: String,
}

/// A task as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The task.
    pub task: Task,
    /// To be named when it is moved.
    pub version: Version,
    /// When it was made.
    pub created_at: Time,
    /// When it moved last.
    pub updated_at: Time,
    /// When it became final.
    pub finished_at: Option<Time>,
}

/// Which tasks to list. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only those that are not final.
    pub live: bool,
    /// Only those of this repository, as [`IssueRef::repository`] names it.
    pub repository: Option<String>,
}

/// Kinds of jobs: one for each kind of [`Effect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobKind {
    /// [`Effect::Run`].
    Run,
    /// [`Effect::Check`].
    Check,
    /// [`Effect::Cancel`].
    Cancel,
    /// [`Effect::Publish`].
    Publish,
    /// [`Effect::OpenPull`].
    OpenPull,
    /// [`Effect::Tell`].
    Tell,
    /// [`Effect::CleanUp`].
    CleanUp,
    /// [`Effect::Wait`].
    Wait,
}

impl JobKind {
    /// The kind of an effect.
    #[must_use]
    pub fn of(effect: &Effect) -> Self {
        match effect {
            Effect::Run { .. } => Self::Run,
            Effect::Check { .. } => Self::Check,
            Effect::Cancel { .. } => Self::Cancel,
            Effect::Publish => Self::Publish,
            Effect::OpenPull { .. } => Self::OpenPull,
            Effect::Tell { .. } => Self::Tell,
            Effect::CleanUp { .. } => Self::CleanUp,
            Effect::Wait { .. } => Self::Wait,
        }
    }

    /// As stored.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Check => "check",
            Self::Cancel => "cancel",
            Self::Publish => "publish",
            Self::OpenPull => "open-pull",
            Self::Tell => "tell",
            Self::CleanUp => "clean-up",
            Self::Wait => "wait",
        }
    }

    /// The lane of a job with this key. What touches branch and workspace goes one after
    /// the other; what people are shown is beside it, and so is stopping it. Timers wait
    /// for nobody.
    pub(super) fn lane(self, task: TaskId, key: &str) -> String {
        match self {
            Self::Run | Self::Check | Self::OpenPull | Self::CleanUp => format!("{task}/work"),
            Self::Publish | Self::Tell => format!("{task}/show"),
            Self::Cancel => format!("{task}/cancel"),
            Self::Wait => key.to_owned(),
        }
    }
}

/// Which jobs to claim. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of these tasks.
    pub tasks: Option<Vec<TaskId>>,
    /// Only of these kinds.
    pub kinds: Option<Vec<JobKind>>,
}

impl Filter {
    /// All jobs of one task.
    #[must_use]
    pub fn task(id: TaskId) -> Self {
        Self {
            tasks: Some(vec![id]),
            kinds: None,
        }
    }

    /// Tasks and kinds as the statements want them: `,1,2,` and `,run,wait,`.
    pub(super) fn as_text(&self) -> (Option<String>, Option<String>) {
        let listed = |words: Vec<String>| format!(",{},", words.join(","));
        let tasks = self.tasks.as_ref().map(|tasks| tasks.iter());
        let kinds = self.kinds.as_ref().map(|kinds| kinds.iter());
        (
            tasks.map(|tasks| listed(tasks.map(|task| task.0.to_string()).collect())),
            kinds.map(|kinds| listed(kinds.map(|kind| kind.word().to_owned()).collect())),
        )
    }
}

/// The right to perform one job, until its lease ends or somebody takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The row.
    pub(super) job: i64,
    /// Whose job.
    pub task: TaskId,
    /// What to do.
    pub effect: Effect,
    /// Claims of this job so far, this one included. The fence: every write carries it.
    pub epoch: u32,
    /// Claims since a step was reached that was never reached before, this one included.
    pub attempt: u32,
    /// End of the lease by the store's clock. A worker counts `ttl` on its own monotonic
    /// clock from before it asked.
    pub lease_until: Time,
}

/// A job, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its idempotency key.
    pub key: String,
    /// Whose.
    pub task: TaskId,
    /// What.
    pub effect: Effect,
    /// Where it stands.
    pub state: JobState,
    /// Claims so far.
    pub epoch: u32,
    /// Claims since a step was reached that was never reached before.
    pub attempts: u32,
    /// When it is due.
    pub next_at: Time,
    /// Why it waits, was handed back, or was superseded.
    pub why: Option<String>,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not in flight.
    Pending,
    /// In flight.
    Claimed {
        /// Whose lease.
        holder: String,
        /// Its end.
        until: Time,
        /// It was asked for again meanwhile.
        rearmed: bool,
    },
    /// Performed.
    Done,
    /// Need not be done any more.
    Superseded,
}

/// What is left in the queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Inputs not yet decided.
    pub inputs: u64,
    /// Jobs that are due, behind others or not.
    pub due: u64,
    /// Jobs whose time has not come.
    pub later: u64,
    /// Jobs in flight.
    pub in_flight: u64,
}

/// How much there is of what, for metrics. Words are those of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries by state: `new`, `done`, `ignored`.
    pub hooks: Vec<(String, u64)>,
    /// Deliveries that said what another had said, as long as that one is kept.
    pub repeats: u64,
    /// Tasks that are not final, by stage.
    pub tasks: Vec<(String, u64)>,
    /// Jobs that are not done, by kind and state.
    pub jobs: Vec<(String, String, u64)>,
}

/// Kinds of artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArtifactKind {
    /// What a run made.
    Patch,
    /// What the agent said.
    Transcript,
    /// What a command printed.
    Log,
}

impl ArtifactKind {
    /// As stored.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Transcript => "transcript",
            Self::Log => "log",
        }
    }
}

/// Content to store. The caller has capped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What this file holds; it is copied.
    File(PathBuf),
}

/// Stored content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Which kind.
    pub kind: ArtifactKind,
    /// Its digest and name.
    pub sha256: Digest,
    /// Its size.
    pub bytes: u64,
}

/// How far a run got, as a number that grows through steps and attempts; 0 = no step.
pub(super) fn rank(event: &Event) -> i64 {
    let Event::Progressed { step, .. } = event else {
        return 0;
    };
    let of_try = |attempt: u32, place: i64| i64::from(attempt) * 3 + place;
    match step {
        Step::Prepare => 1,
        Step::Base => 2,
        Step::Work { attempt } => of_try(*attempt, 0),
        Step::Judge { attempt } => of_try(*attempt, 1),
        Step::Verify { attempt } => of_try(*attempt, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_rank_by_attempt_first() {
        let steps = [
            Step::Prepare,
            Step::Base,
            Step::Work { attempt: 1 },
            Step::Judge { attempt: 1 },
            Step::Verify { attempt: 1 },
            Step::Work { attempt: 2 },
            Step::Judge { attempt: 2 },
        ];
        let ranks = steps.map(|step| rank(&Event::Progressed { run: 1, step }));
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
        assert_eq!(rank(&Event::WentQuiet { run: 1 }), 0);
    }
}
