//! The two loops over fakes of everything but the store: what is lost, repeated or given up, and when.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use prentice::agent::{Agent, Program};
use prentice::domain::brief::{self, Survey};
use prentice::domain::decide::{Decision, decide};
use prentice::domain::event::Event;
use prentice::domain::ident::{CommitId, TaskId, Time};
use prentice::domain::report::Voice;
use prentice::domain::settings::Settings;
use prentice::domain::task::{AgentSpec, FailureClass, IssueRef, NewTask, Stage, Task};
use prentice::forge::Forge;
use prentice::git::Mirror;
use prentice::run::{Bench, News, RunError};
use prentice::sandbox::toolchains::Toolchains;
use prentice::sandbox::{Facts, Method, Sandbox, SandboxError, Session, Spec};
use prentice::store::{
    Arrival, Clock, DataLock, Filter, Ids, InputId, JobKind, JobState, JournalLine, Outcome, Steps,
    Store, Unwatched, open,
};
use prentice::worker::{Patience, Room, Worker, World};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tokio_util::sync::CancellationToken;

use crate::fake_forge::{FakeForge, Fault};

/// No test of these takes this long; one that does hangs.
const LONGEST: Duration = Duration::from_secs(20);

const PATIENT: Patience = Patience {
    heartbeat: Duration::from_secs(5),
    lost_after: Duration::from_secs(60),
};

/// A clock that goes on by this much whenever somebody looks.
struct Looked {
    now: AtomicI64,
    by_millis: i64,
}

impl Clock for Looked {
    fn now(&self) -> Time {
        Time(self.now.fetch_add(self.by_millis, Ordering::SeqCst))
    }
}

struct CountedIds(AtomicU64);

impl Ids for CountedIds {
    fn unique(&self) -> String {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        format!("worker-{}-{number}", std::process::id())
    }
}

static IDS: CountedIds = CountedIds(AtomicU64::new(1));

/// What the bench of a task is, each time one is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BenchIs {
    /// Broken, as a mirror can be.
    Broken,
    /// A panic the first time, broken afterwards.
    Panic,
    /// Given after somebody's cancel was performed.
    AfterCancel,
    /// Never given.
    Never,
    /// Never given the first time, broken afterwards.
    NeverFirst,
    /// Broken the first time, never given afterwards.
    BrokenFirst,
}

struct Fake {
    dir: tempfile::TempDir,
    store: OnceLock<Arc<dyn Store>>,
    forge: Arc<FakeForge>,
    /// Of tasks whose issue is on `other`.
    other: Arc<FakeForge>,
    bench: BenchIs,
    benches: AtomicUsize,
    /// A bench was still being waited for when the job was dropped.
    dropped: Arc<AtomicBool>,
    /// Another one was asked for meanwhile.
    beside: AtomicBool,
    /// Done by the first job from now on, when it has read its task.
    read: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Jobs that have read their task.
    reads: Arc<AtomicUsize>,
}

struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct NoSandbox;

#[async_trait]
impl Sandbox for NoSandbox {
    async fn probe(&self) -> Result<Facts, SandboxError> {
        panic!("nothing here asks")
    }

    async fn prepare(&self, _: Spec) -> Result<Box<dyn Session>, SandboxError> {
        Err(SandboxError::Lost("there is none".to_owned()))
    }
}

#[async_trait]
impl World for Fake {
    fn away(&self, _: &Task) -> Option<String> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let work = self.read.lock().unwrap().take();
        if let Some(work) = work {
            tokio::task::block_in_place(work);
        }
        None
    }

    async fn bench(&self, task: &Task) -> Result<Bench, RunError> {
        let store = self.store.get().unwrap();
        let before = self.benches.fetch_add(1, Ordering::SeqCst);
        // Hammering it for ever is a failure, not a hang.
        if before > 20 {
            return Err(RunError::Host("too often".to_owned()));
        }
        match self.bench {
            BenchIs::Panic if before == 0 => panic!("planned by a test"),
            BenchIs::NeverFirst if before > 0 => {
                let is_over = self.dropped.load(Ordering::SeqCst);
                self.beside.fetch_or(!is_over, Ordering::SeqCst);
                return Err(RunError::Broken("no commit".to_owned()));
            }
            BenchIs::BrokenFirst if before == 0 => {
                return Err(RunError::Broken("no commit".to_owned()));
            }
            BenchIs::Broken | BenchIs::Panic => {
                return Err(RunError::Broken("no commit".to_owned()));
            }
            BenchIs::Never | BenchIs::NeverFirst | BenchIs::BrokenFirst => {
                let _dropped = OnDrop(Arc::clone(&self.dropped));
                std::future::pending::<()>().await;
            }
            BenchIs::AfterCancel => {
                let done = |kind| {
                    let jobs = store.jobs(task.id);
                    async move {
                        let jobs = jobs.await.unwrap();
                        jobs.iter().any(|job| {
                            JobKind::of(&job.effect) == kind && job.state == JobState::Done
                        })
                    }
                };
                while !done(JobKind::Cancel).await {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        Ok(Bench {
            sandbox: Arc::new(NoSandbox),
            store: Arc::clone(store),
            mirror: Mirror::open_or_create(&self.dir.path().join("repo")).unwrap(),
            steps: Arc::new(Unwatched),
            toolchains: Toolchains::default(),
            by_hand: &[],
            exposures_allowed: None,
            author: prentice::git::Author::local(),
            redactor: prentice::domain::text::Redactor::new(Vec::new()).into(),
            scratch: self.dir.path().join("work"),
            method: Method::Copy,
        })
    }

    async fn fetch(&self, _: &Task, _: &CommitId) -> Result<(), RunError> {
        Err(RunError::Broken("no commit".to_owned()))
    }

    async fn clear(&self, _: &Task, _: Vec<CommitId>) -> Result<Option<String>, RunError> {
        Ok(None)
    }

    fn agent(&self, _: &Task) -> Box<dyn Agent> {
        Box::new(Program::of(vec!["true".to_owned()]))
    }

    fn forge(&self, task: &Task) -> (Arc<dyn Forge>, Voice) {
        let forge = match task.issue.forge.as_str() {
            "other" => &self.other,
            _ => &self.forge,
        };
        (Arc::clone(forge) as _, Voice::local())
    }

    fn branch(&self, task: TaskId, _: &NewTask) -> String {
        format!("agent/{}", task.0)
    }

    async fn reviewers(&self, _: &Task) -> Result<Vec<String>, RunError> {
        Ok(Vec::new())
    }

    async fn template(&self, _: &Task) -> Result<String, RunError> {
        Ok(String::new())
    }

    fn pace_secs(&self, _: &Task) -> u64 {
        0
    }

    fn told(&self, _: TaskId, _: News<'_>) {}
}

/// Does something the first time that a step is over whose name has this word, and counts those with the other.
#[derive(Default)]
struct At {
    word: &'static str,
    first: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// The first decision is not committed before this returns.
    decision: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Blocks the writer for this long before each commit that has the word.
    block: Duration,
    /// The first one only.
    block_once: bool,
    blocked: AtomicUsize,
    progress: AtomicUsize,
}

impl Steps for At {
    fn before(&self, what: &str) {
        if what.contains("commit commit")
            && let Some(work) = self.decision.lock().unwrap().take()
        {
            work();
        }
        if !self.block.is_zero() && what.contains(self.word) {
            let before = self.blocked.fetch_add(1, Ordering::SeqCst);
            if before == 0 || !self.block_once {
                std::thread::sleep(self.block);
            }
        }
    }

    fn after(&self, what: &str) {
        self.progress
            .fetch_add(what.matches("progress").count(), Ordering::SeqCst);
        if what.contains(self.word)
            && let Some(work) = self.first.lock().unwrap().take()
        {
            work();
        }
    }
}

struct Here {
    fake: Arc<Fake>,
    store: Arc<dyn Store>,
    worker: Arc<Worker>,
    steps: Arc<At>,
    clock: Arc<Looked>,
}

impl Here {
    async fn new(bench: BenchIs, patience: Patience, clock_by_millis: i64, steps: At) -> Self {
        let dir = match std::path::Path::new("/dev/shm").is_dir() {
            true => tempfile::tempdir_in("/dev/shm").unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let data: PathBuf = dir.path().join("data");
        let looked = Arc::new(Looked {
            now: AtomicI64::new(1_795_184_405_000),
            by_millis: clock_by_millis,
        });
        let clock: Arc<dyn Clock> = Arc::clone(&looked) as _;
        let steps = Arc::new(steps);
        let store = open(&data, Arc::clone(&clock), Arc::clone(&steps) as _).await;
        let store = store.unwrap();
        let lock = DataLock::acquire(&data, "prentice serve", clock.as_ref(), &IDS).unwrap();
        let fake = Arc::new(Fake {
            dir,
            store: OnceLock::from(Arc::clone(&store)),
            forge: Arc::default(),
            other: Arc::default(),
            bench,
            benches: AtomicUsize::new(0),
            dropped: Arc::default(),
            beside: AtomicBool::new(false),
            read: Mutex::default(),
            reads: Arc::default(),
        });
        let world: Arc<dyn World> = Arc::clone(&fake) as _;
        let worker = Worker::new(Arc::clone(&store), Arc::new(lock), clock, world, patience);
        Self {
            fake,
            store,
            worker,
            steps,
            clock: looked,
        }
    }

    /// Serves with so many slots in all and for each repository, while something is done.
    async fn serving(
        &self,
        (slots, per_repo): (usize, usize),
        meanwhile: impl Future<Output = ()>,
    ) {
        let room = Room {
            slots,
            per_repo,
            grace: Duration::from_secs(1),
        };
        let stop = CancellationToken::new();
        let (worker, stopping) = (Arc::clone(&self.worker), stop.clone());
        let mend = |why: Option<&str>| panic!("the host is well: {why:?}");
        let serving = tokio::spawn(async move { worker.serve(room, &stopping, &mend).await });
        let done = tokio::time::timeout(LONGEST, meanwhile).await;
        stop.cancel();
        serving.await.unwrap().unwrap();
        done.expect("it hangs");
    }

    /// Waits until the status comment on an issue says this; all of it.
    async fn says(&self, issue: i64, words: &str) -> String {
        loop {
            let said = self.status(issue);
            if said.contains(words) {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn status(&self, issue: i64) -> String {
        let world = self.fake.forge.world();
        let of = world.comments.iter().find(|comment| comment.issue == issue);
        of.map_or(String::new(), |comment| comment.body.clone())
    }

    async fn request(&self, number: i64) -> InputId {
        let new = Box::new(new_task(number));
        let delivered = self.store.deliver(Arrival::Request(new), None).await;
        delivered.unwrap().input
    }

    /// Has what arrived decided; no job is done.
    async fn decide(&self) {
        let nothing = Filter {
            tasks: Some(Vec::new()),
            kinds: None,
        };
        self.worker.settle(&nothing).await.unwrap();
    }

    async fn happens(&self, event: Event) -> InputId {
        let (task, event) = (TaskId(1), Box::new(event));
        let arrival = Arrival::Event { task, event };
        self.store.deliver(arrival, None).await.unwrap().input
    }

    async fn settle(&self) {
        self.settle_all_of(&Filter::default()).await;
    }

    /// Runs and their cancels alone, so that no other job is in the way of a test.
    async fn settle_runs(&self) {
        let kinds = Some(vec![JobKind::Run, JobKind::Cancel]);
        let filter = Filter { tasks: None, kinds };
        self.settle_all_of(&filter).await;
    }

    async fn settle_all_of(&self, filter: &Filter) {
        let settled = tokio::time::timeout(LONGEST, self.worker.settle(filter)).await;
        settled.expect("it hangs").unwrap();
    }

    async fn task(&self) -> Task {
        let record = self.store.load(TaskId(1)).await.unwrap();
        record.unwrap().task
    }

    async fn job(&self, kind: JobKind) -> JobState {
        let jobs = self.store.jobs(TaskId(1)).await.unwrap();
        let found = jobs.iter().find(|job| JobKind::of(&job.effect) == kind);
        found.unwrap().state.clone()
    }

    /// Whoever reads the journal alone knows as much as the store.
    async fn check_journal(&self) {
        let journal = self.store.journal(TaskId(1)).await.unwrap();
        assert_eq!(replay(TaskId(1), &journal), self.task().await);
    }
}

/// The task that a journal tells of.
pub(crate) fn replay(id: TaskId, journal: &[JournalLine]) -> Task {
    let mut task: Option<Task> = None;
    for line in journal {
        let event = line.event.as_ref().expect("a line without its event");
        task = Some(match (task, event) {
            (None, Event::Requested { new, branch }) => new.proposed(id, branch.clone(), line.at),
            (None, other) => panic!("a journal begins with {other:?}"),
            (Some(task), event) => match decide(&task, event, line.at) {
                Decision::Moved { task, .. } => *task,
                other => panic!("{event:?} in the journal: {other:?}"),
            },
        });
    }
    task.expect("an empty journal")
}

pub(crate) fn new_task(number: i64) -> NewTask {
    let text = "# A title\n\n## Acceptance criteria\n\n- it works (`tests`)\n";
    NewTask {
        issue: IssueRef {
            forge: "fake".to_owned(),
            repository_id: None,
            repository: "/r".to_owned(),
            number,
            source: "issue.md".to_owned(),
            out: None,
            publish: None,
        },
        requester: "dana".to_owned(),
        requester_address: None,
        brief: brief::parse(text, 10_000).unwrap(),
        survey: Survey::default(),
        settings: Settings::default(),
        base: "a".repeat(40).parse().unwrap(),
        base_branch: Some("main".to_owned()),
        agent: AgentSpec::Command {
            argv: vec!["true".to_owned()],
        },
        accepted_at: Time(0),
        branch: None,
        unaccepted: false,
        unshown: false,
    }
}

/// A task of this title in a store where nobody works.
pub(crate) async fn a_task(store: &Arc<dyn Store>, title: &str) -> TaskId {
    let mut new = new_task(1);
    new.brief.title = title.to_owned();
    let request = Arrival::Request(Box::new(new.clone()));
    let input = store.deliver(request, None).await.unwrap().input;
    let made = store.create(
        input,
        Box::new(move |task| {
            let at = Time(1_795_184_405_000);
            let note = "requested by dana".to_owned();
            let event = None;
            prentice::store::Decision {
                task: new.proposed(task, format!("agent/{}", task.0), at),
                journal: vec![JournalLine { at, event, note }],
                effects: Vec::new(),
            }
        }),
    );
    made.await.unwrap().task.id
}

fn stopped() -> Event {
    Event::Stopped {
        by: "dana".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_claimed_but_did_not_say_so_is_stopped_as_well() {
    let steps = At {
        word: "claim",
        ..At::default()
    };
    let here = Here::new(BenchIs::AfterCancel, PATIENT, 0, steps).await;
    here.request(1).await;
    // Decided before anything of the run arrives.
    let store = Arc::clone(&here.store);
    let stop: Box<dyn FnOnce() + Send> = Box::new(move || {
        let (task, event) = (TaskId(1), Box::new(stopped()));
        let delivery = store.deliver(Arrival::Event { task, event }, None);
        let mut delivery = Box::pin(tokio::task::unconstrained(delivery));
        // The claim is answered only when this returns, and one that waits is in line by then; nobody has to wait for
        // its answer.
        let mut looked = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(delivery.as_mut().poll(&mut looked).is_pending());
    });
    *here.steps.first.lock().unwrap() = Some(stop);
    // The run has found that it is asked for; what it says of itself stands in line behind this.
    let reads = Arc::clone(&here.fake.reads);
    *here.steps.decision.lock().unwrap() = Some(Box::new(move || {
        let started = Instant::now();
        while reads.load(Ordering::SeqCst) == 0 && started.elapsed() < LONGEST {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(200));
    }));
    here.settle_runs().await;
    here.settle().await;
    assert_eq!(here.task().await.word(), "stopped");
    assert_eq!(here.fake.benches.load(Ordering::SeqCst), 1);
    // That it began is all that it said: it did not reach its first step.
    assert_eq!(here.steps.progress.load(Ordering::SeqCst), 1);
    assert_eq!(here.job(JobKind::Run).await, JobState::Done);
    here.check_journal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_that_is_stopped_between_reading_its_task_and_listening_does_not_go_on() {
    let here = Here::new(BenchIs::BrokenFirst, PATIENT, 120_000, At::default()).await;
    here.request(1).await;
    here.decide().await;
    let (store, here_too) = (Arc::clone(&here.store), tokio::runtime::Handle::current());
    let stopped_meanwhile: Box<dyn FnOnce() + Send> = Box::new(move || {
        here_too.block_on(async {
            let (task, event) = (TaskId(1), Box::new(stopped()));
            let arrival = Arrival::Event { task, event };
            store.deliver(arrival, None).await.unwrap();
            let started = Instant::now();
            let is_cancelled = async || {
                let jobs = store.jobs(TaskId(1)).await.unwrap();
                jobs.iter().any(|job| {
                    JobKind::of(&job.effect) == JobKind::Cancel && job.state == JobState::Done
                })
            };
            while !is_cancelled().await {
                assert!(started.elapsed() < LONGEST, "no cancel");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    });
    // The second try of the run, which said at its first that it began.
    let (fake, mut work) = (Arc::clone(&here.fake), Some(stopped_meanwhile));
    *here.fake.read.lock().unwrap() = Some(Box::new(move || {
        *fake.read.lock().unwrap() = work.take();
    }));
    here.settle_runs().await;
    here.settle().await;
    assert_eq!(here.task().await.word(), "stopped");
    assert_eq!(here.fake.benches.load(Ordering::SeqCst), 1);
    here.check_journal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_cannot_be_is_ignored_and_what_comes_after_it_is_decided() {
    let here = Here::new(BenchIs::Broken, PATIENT, 120_000, At::default()).await;
    here.request(7).await;
    here.decide().await;
    let second = here.request(7).await;
    let stop = here.happens(stopped()).await;
    here.settle().await;
    let Some(Outcome::Ignored { reason }) = here.store.outcome(second).await.unwrap() else {
        panic!("a second live task");
    };
    insta::assert_snapshot!(reason, @"the issue has a live task, T-1; end it first");
    let outcome = here.store.outcome(stop).await.unwrap();
    assert!(matches!(outcome, Some(Outcome::Done { .. })), "{outcome:?}");
    here.check_journal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_breaks_each_time_is_given_up() {
    let here = Here::new(BenchIs::Broken, PATIENT, 120_000, At::default()).await;
    here.request(1).await;
    here.settle().await;
    let task = here.task().await;
    let Stage::Failed { failure } = &task.stage else {
        panic!("{:?}", task.stage)
    };
    assert_eq!(
        (failure.class, failure.message.as_str()),
        (FailureClass::Infra, "no commit")
    );
    // Two runs, since this class is retried once; three claims each.
    assert_eq!(here.fake.benches.load(Ordering::SeqCst), 6);
    here.check_journal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_panics_is_tried_again() {
    let here = Here::new(BenchIs::Panic, PATIENT, 120_000, At::default()).await;
    here.request(1).await;
    here.settle().await;
    assert_eq!(here.task().await.word(), "failed");
    assert_eq!(here.fake.benches.load(Ordering::SeqCst), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_up_that_never_succeeds_says_what_is_left() {
    let here = Here::new(BenchIs::Broken, PATIENT, 120_000, At::default()).await;
    let faults = (0..20).map(|_| ("clean_up", Fault::Before));
    here.fake.forge.world().faults.extend(faults);
    here.request(1).await;
    here.decide().await;
    here.happens(stopped()).await;
    here.settle().await;
    let task = here.task().await;
    let Stage::Ended { left, .. } = &task.stage else {
        panic!("{:?}", task.stage)
    };
    let left = left.as_ref().expect("it never ended");
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains("connection reset"), "{left:?}");
    assert_eq!(here.fake.forge.world().faults.len(), 15);
    here.check_journal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_that_a_limit_asks_for_are_no_attempts() {
    let here = Here::new(BenchIs::Broken, PATIENT, 120_000, At::default()).await;
    let faults = (0..20).map(|_| ("clean_up", Fault::Limit));
    here.fake.forge.world().faults.extend(faults);
    here.request(1).await;
    here.decide().await;
    here.happens(stopped()).await;
    here.settle().await;
    let task = here.task().await;
    let Stage::Ended { left, .. } = &task.stage else {
        panic!("{:?}", task.stage)
    };
    assert_eq!(left.as_deref(), Some(&[][..]));
    assert_eq!(here.fake.forge.world().faults.len(), 0);
    here.check_journal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_interrupts_does_not_wait_for_a_back_off() {
    // By this clock the next try is never due.
    let here = Here::new(BenchIs::Broken, PATIENT, 0, At::default()).await;
    here.request(1).await;
    let worker = Arc::clone(&here.worker);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        worker.interrupt("dana");
    });
    here.settle().await;
    assert_eq!(here.task().await.word(), "running");
    assert_eq!(here.job(JobKind::Run).await, JobState::Pending);
    assert_eq!(here.fake.benches.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_lease_cannot_be_renewed_is_given_up_at_its_end() {
    let patience = Patience {
        heartbeat: Duration::from_millis(50),
        lost_after: Duration::from_millis(400),
    };
    let steps = At {
        word: "heartbeat",
        block: Duration::from_secs(1),
        ..At::default()
    };
    let here = Here::new(BenchIs::Never, patience, 0, steps).await;
    here.request(1).await;
    let begun = Instant::now();
    here.settle().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(here.fake.dropped.load(Ordering::SeqCst));
    // Nobody said that it ended: whoever starts next takes it over.
    let state = here.job(JobKind::Run).await;
    assert!(matches!(state, JobState::Claimed { .. }), "{state:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_lease_was_over_is_taken_anew_by_the_same_server_once_it_has_ended() {
    let patience = Patience {
        heartbeat: Duration::from_millis(50),
        lost_after: Duration::from_millis(400),
    };
    let steps = At {
        word: "heartbeat",
        block: Duration::from_secs(1),
        block_once: true,
        ..At::default()
    };
    let here = Here::new(BenchIs::NeverFirst, patience, 120_000, steps).await;
    here.request(1).await;
    here.serving((1, 1), async {
        here.says(1, "**Agent task: failed**").await;
    })
    .await;
    // It was an attempt: two more of this run, and three of the one that follows it.
    assert_eq!(here.fake.benches.load(Ordering::SeqCst), 6);
    assert!(!here.fake.beside.load(Ordering::SeqCst), "two at once");
    here.check_journal().await;
}

/// Another process writes, and does not stop before it is told to; it has begun when this returns.
fn writes_on(db: PathBuf, stop: std::sync::mpsc::Receiver<()>) {
    let (begun, begins) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let mut db = SqliteConnectOptions::new()
                .filename(db)
                .connect()
                .await
                .unwrap();
            sqlx::query("begin immediate")
                .execute(&mut db)
                .await
                .unwrap();
            begun.send(()).unwrap();
            let _ = stop.recv();
            sqlx::query("rollback").execute(&mut db).await.unwrap();
        });
    });
    begins.recv().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_answer_that_could_not_be_stored_is_stored_once_the_store_answers_again() {
    let here = Here::new(BenchIs::Broken, PATIENT, 0, At::default()).await;
    here.request(1).await;
    here.decide().await;
    here.happens(stopped()).await;
    here.decide().await;
    // The clean-up is done; from then on nobody can write.
    let (stop, stopped) = std::sync::mpsc::channel();
    let db = here.fake.dir.path().join("data/prentice.db");
    let begin = Mutex::new(Some(move || writes_on(db, stopped)));
    here.fake.forge.world().at_clean_up = Some(Box::new(move || {
        if let Some(begin) = begin.lock().unwrap().take() {
            begin();
        }
    }));
    let told: Mutex<Vec<Option<String>>> = Mutex::default();
    let mend = |why: Option<&str>| {
        // Whoever wrote is done once somebody heard of it.
        let _ = stop.send(());
        told.lock().unwrap().push(why.map(str::to_owned));
    };
    let (room, serving) = (
        Room {
            slots: 1,
            per_repo: 1,
            grace: Duration::from_secs(1),
        },
        CancellationToken::new(),
    );
    let is_answered = async {
        loop {
            let Stage::Ended { left, .. } = here.task().await.stage else {
                panic!("it was stopped");
            };
            if left.is_some() {
                break serving.cancel();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // The store waits ten seconds for the other process, and the server half a minute for what ails its host.
    let both = async { tokio::join!(here.worker.serve(room, &serving, &mend), is_answered) };
    let (served, ()) = tokio::time::timeout(Duration::from_secs(90), both)
        .await
        .expect("nobody answers the clean-up any more");
    served.unwrap();
    assert!(told.lock().unwrap()[0].as_ref().unwrap().contains("busy"));
    let again = here.fake.forge.world().cleaned;
    assert_eq!(again, 1, "what was done is not done again");
    here.check_journal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_at_work_is_shown_again_before_its_promise_lapses() {
    let patience = Patience {
        heartbeat: Duration::from_millis(20),
        lost_after: Duration::from_secs(7200),
    };
    let here = Here::new(BenchIs::Never, patience, 0, At::default()).await;
    here.request(1).await;
    let later = |secs: i64| here.clock.now.fetch_add(secs * 1000, Ordering::SeqCst);
    here.serving((1, 1), async {
        let first = here.says(1, "**Agent task: running**").await;
        assert!(first.contains("Next update by 14:35 UTC"), "{first}");
        // Nothing happens to the task. Just short of ten minutes, its comment stays as it is.
        later(599);
        let other = here.request(2).await;
        here.says(2, "In line").await;
        assert_eq!(here.status(1), first);
        later(62);
        here.request(3).await;
        here.says(1, "Next update by 14:46 UTC").await;
        assert!(here.store.outcome(other).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forge_that_is_away_holds_up_its_own_tasks_alone() {
    let here = Here::new(BenchIs::Never, PATIENT, 0, At::default()).await;
    let verbs = ["ensure_status", "ensure_label"];
    let away = verbs
        .iter()
        .flat_map(|verb| (0..9).map(|_| (*verb, Fault::Away)));
    here.fake.other.world().faults.extend(away);
    let mut new = new_task(1);
    new.issue.forge = "other".to_owned();
    let request = Arrival::Request(Box::new(new));
    here.store.deliver(request, None).await.unwrap();
    let tries = || 18 - here.fake.other.world().faults.len();
    here.serving((2, 2), async {
        while tries() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        here.request(2).await;
        here.says(2, "**Agent task: running**").await;
        // It is tried again after a while, and not given up.
        let before = tries();
        for number in 3.. {
            here.clock.now.fetch_add(31_000, Ordering::SeqCst);
            here.request(number).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            if tries() > before {
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_in_line_says_what_it_waits_for() {
    for (room, words) in [
        (
            (1, 2),
            "In line: 1st of 1. Waiting for: a free slot (1 of 1 busy).",
        ),
        (
            (2, 1),
            "In line: 1st of 1. Waiting for: another task of this repository to end (1 at work, limit 1).",
        ),
    ] {
        let here = Here::new(BenchIs::Never, PATIENT, 0, At::default()).await;
        here.request(1).await;
        here.serving(room, async {
            here.says(1, "**Agent task: running**").await;
            here.request(2).await;
            here.says(2, words).await;
        })
        .await;
    }
}
