//! The contract of the store, the same for every engine, and what only SQLite has to show.
//!
//! A second engine is one more line at `conformance!`.

mod only_sqlite;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prentice::domain::brief::{Brief, Criterion, Survey};
use prentice::domain::effect::Effect;
use prentice::domain::event::{Event, RunOutcome, Timer};
use prentice::domain::ident::{CommitId, Digest, TaskId, Time};
use prentice::domain::settings::Settings;
use prentice::domain::task::{AgentSpec, Ending, IssueRef, NewTask, Stage, Step, Task, Waiting};
use prentice::store::{
    Arrival, ArtifactKind, Claim, Clock, CommitError, Content, DataLock, Decision, Filter, Ids,
    InputId, JobKind, JobState, JournalLine, LeaseError, MAX_BODY_BYTES, Outcome, Pending, Record,
    Steps, Store, StoreError, TaskFilter, Unwatched, Version, open,
};

// ---- The world of one test.

struct TestClock(AtomicI64);

impl TestClock {
    fn pass(&self, secs: i64) {
        self.0.fetch_add(secs * 1000, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

struct CountedIds(AtomicU64);

impl Ids for CountedIds {
    fn unique(&self) -> String {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        format!("{}-{number}", std::process::id())
    }
}

static IDS: CountedIds = CountedIds(AtomicU64::new(1));

/// An engine with nothing in it yet, a clock, and folders for locks.
struct World {
    data: PathBuf,
    clock: Arc<TestClock>,
    holders: AtomicU64,
    _dir: Option<tempfile::TempDir>,
}

impl World {
    /// SQLite in a temporary folder; in memory where the system has such a file system,
    /// since these tests do not cut the power.
    fn sqlite() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        Self::on(dir.unwrap())
    }

    fn on(dir: tempfile::TempDir) -> Self {
        let data = dir.path().join("data");
        Self {
            _dir: Some(dir),
            ..Self::at(data)
        }
    }

    /// On a data folder that somebody else removes.
    fn at(data: PathBuf) -> Self {
        Self {
            data,
            clock: Arc::new(TestClock(AtomicI64::new(1_795_184_405_000))),
            holders: AtomicU64::new(0),
            _dir: None,
        }
    }

    async fn open(&self) -> Arc<dyn Store> {
        self.open_watched(Arc::new(Unwatched)).await
    }

    async fn open_watched(&self, steps: Arc<dyn Steps>) -> Arc<dyn Store> {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        open(&self.data, clock, steps).await.unwrap()
    }

    /// The right to perform, as one more host would have it: each has a data folder of its own.
    fn host(&self) -> DataLock {
        let number = self.holders.fetch_add(1, Ordering::SeqCst);
        let dir = self.data.join(format!("host-{number}"));
        DataLock::acquire(&dir, "prentice serve", self.clock.as_ref(), &IDS).unwrap()
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    /// A task that is queued, with these effects asked for.
    async fn task(&self, store: &dyn Store, effects: Vec<Effect>) -> Record {
        let input = self.request(store).await;
        store
            .create(input, Box::new(|id| born(id, effects)))
            .await
            .unwrap()
    }

    async fn request(&self, store: &dyn Store) -> InputId {
        let arrival = Arrival::Request(Box::new(new_task()));
        store.deliver(arrival, None).await.unwrap().input
    }

    /// Lets an event move the task to `stage`.
    async fn moved(
        &self,
        store: &dyn Store,
        task: TaskId,
        stage: Stage,
        effects: Vec<Effect>,
    ) -> Record {
        let before = store.load(task).await.unwrap().unwrap();
        let input = store.deliver(heard(task), None).await.unwrap().input;
        let decision = decision(before.task, stage, effects);
        store.commit(input, before.version, decision).await.unwrap();
        store.load(task).await.unwrap().unwrap()
    }
}

/// Figures and skips, which the harness must not swallow.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

const TTL: Duration = Duration::from_secs(60);

fn commit_id(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn new_task() -> NewTask {
    NewTask {
        issue: IssueRef {
            forge: "local".to_owned(),
            repository: "/repo".to_owned(),
            repository_id: None,
            number: 0,
            source: "issue.md".to_owned(),
            out: None,
            publish: None,
        },
        requester: "ann".to_owned(),
        requester_address: None,
        brief: Brief {
            title: "Empty input crashes".to_owned(),
            goal: "It does not.".to_owned(),
            non_goals: None,
            criteria: vec![Criterion {
                number: 1,
                text: "`tests` are green".to_owned(),
                named: vec!["tests".to_owned()],
            }],
            scope: Vec::new(),
            checks: Vec::new(),
            ask_first: None,
            plan_first: false,
            reviewer: None,
            text: "Empty input crashes".to_owned(),
            comments_left_out: 0,
            comments_without_room: 0,
            hidden: Vec::new(),
            digest: Digest::of(b"Empty input crashes"),
            issue_digest: None,
        },
        survey: Survey::default(),
        settings: Settings::default(),
        base: commit_id('a'),
        base_branch: Some("main".to_owned()),
        agent: AgentSpec::Command {
            argv: vec!["fix".to_owned()],
        },
        accepted_at: Time(5),
        branch: None,
        unaccepted: false,
        unshown: false,
    }
}

fn task_of(id: TaskId, stage: Stage) -> Task {
    let mut task = new_task().proposed(id, format!("agent/{}", id.0), Time(5));
    (task.stage, task.run, task.round) = (stage, 1, 1);
    task
}

fn queued() -> Stage {
    Stage::Queued {
        run: 1,
        why: Waiting::Slot,
    }
}

fn ended() -> Stage {
    Stage::Ended {
        how: Ending::Stopped,
        by: "ann".to_owned(),
        reason: None,
        left: None,
    }
}

fn line(note: &str) -> JournalLine {
    JournalLine {
        at: Time(6),
        event: Some(Event::Heard { run: 1 }),
        note: note.to_owned(),
    }
}

fn born(id: TaskId, effects: Vec<Effect>) -> Decision {
    decision(task_of(id, queued()), queued(), effects)
}

fn decision(task: Task, stage: Stage, effects: Vec<Effect>) -> Decision {
    Decision {
        task: Task { stage, ..task },
        journal: vec![line("moved")],
        effects,
    }
}

fn heard(task: TaskId) -> Arrival {
    Arrival::Event {
        task,
        event: Box::new(Event::Heard { run: 1 }),
    }
}

fn wait(asked: u32, until: Time) -> Effect {
    Effect::Wait {
        timer: Timer::Ask { asked },
        until,
    }
}

async fn claim(store: &dyn Store, lock: &DataLock) -> Option<Claim> {
    store.claim(lock, &Filter::default(), TTL).await.unwrap()
}

async fn must_claim(store: &dyn Store, lock: &DataLock) -> Claim {
    claim(store, lock).await.expect("a job is due")
}

// ---- The contract.

macro_rules! conformance {
    ($engine:ident: $make:expr; $($case:ident)*) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case($make).await;
                }
            )*
        }
    };
}

mod acts;
mod hooks;

conformance! { sqlite: super::World::sqlite();
    a_delivery_is_stored_once_and_a_redelivery_of_an_undecided_one_is_still_decided
    inputs_are_decided_in_the_order_they_came
    an_event_of_no_task_and_a_body_too_large_are_refused
    a_request_becomes_the_next_task_with_journal_and_jobs
    an_issue_has_one_live_task
    a_decision_on_an_old_version_is_refused_and_writes_nothing
    an_input_is_settled_once
    an_input_moves_only_what_it_is_about
    a_final_task_stays_final
    a_task_never_moves_without_a_journal_line
    epoch_and_attempt_are_counted_at_the_claim
    a_step_further_than_ever_sets_the_attempts_back
    after_a_takeover_every_write_of_the_old_claim_is_refused
    after_the_end_every_write_of_the_claim_is_refused
    a_lapsed_lease_of_the_asking_holder_is_not_taken_over
    one_job_of_a_lane_is_in_flight_and_stopping_and_showing_go_beside_work
    a_publish_is_merged_while_it_waits_and_armed_again_while_in_flight
    what_could_not_be_published_is_asked_for_again_under_its_number
    an_effect_with_a_known_key_adds_nothing
        a_timer_is_due_when_the_clock_says_so
    a_job_handed_back_is_due_later_and_counts_only_when_told
    a_clock_set_back_delays_no_work
    what_is_old_is_forgotten_but_for_the_newest_and_what_is_not_done
    a_start_hands_back_what_others_left_in_flight
    a_final_task_supersedes_its_work_and_timers_but_not_its_farewell
    a_run_in_flight_at_the_end_is_superseded_when_its_holder_is_gone
    a_run_to_be_stopped_does_not_sit_out_its_back_off
    a_filter_lets_only_its_tasks_and_kinds_through
    sixteen_claimers_never_claim_a_job_twice
    deliveries_at_the_same_time_share_commits
    what_was_acknowledged_is_there_after_opening_again
    a_change_wakes_who_waits_here_and_elsewhere
    every_durable_step_is_seen_and_nothing_else
    tasks_are_listed_newest_first_by_repository_and_life
    an_artifact_is_found_by_its_digest_until_nobody_names_it
    content_that_changed_on_disk_is_not_given_out
    files_without_a_row_are_adopted_or_pruned
    a_closed_store_says_so
}

async fn a_delivery_is_stored_once_and_a_redelivery_of_an_undecided_one_is_still_decided(w: World) {
    let store = w.open().await;
    let key = || Some("github/1".to_owned());
    let arrival = || Arrival::Request(Box::new(new_task()));
    let first = store.deliver(arrival(), key()).await.unwrap();
    let second = store.deliver(arrival(), key()).await.unwrap();
    assert!(!first.duplicate && second.duplicate);
    assert_eq!(first.input, second.input);
    assert_eq!(store.pending().await.unwrap().inputs, 1);
    let found = store.next_input().await.unwrap().unwrap();
    assert_eq!(found.id, first.input);
    assert_eq!(found.arrival, arrival());
    store.ignore(found.id, "no".to_owned()).await.unwrap();
    // Decided: a third one is not decided again.
    assert!(store.deliver(arrival(), key()).await.unwrap().duplicate);
    assert_eq!(store.next_input().await.unwrap(), None);
    // Without a key, each is its own.
    let a = store.deliver(arrival(), None).await.unwrap();
    let b = store.deliver(arrival(), None).await.unwrap();
    assert_ne!(a.input, b.input);
}

async fn inputs_are_decided_in_the_order_they_came(w: World) {
    let store = w.open().await;
    let task = w.task(&*store, vec![]).await.task.id;
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(store.deliver(heard(task), None).await.unwrap().input);
    }
    for input in sent {
        let next = store.next_input().await.unwrap().unwrap();
        assert_eq!(next.id, input);
        assert_eq!(next.at, w.now());
        store.ignore(input, "seen".to_owned()).await.unwrap();
    }
}

async fn an_event_of_no_task_and_a_body_too_large_are_refused(w: World) {
    let store = w.open().await;
    let refused = store.deliver(heard(TaskId(9)), None).await.unwrap_err();
    assert_eq!(refused, StoreError::NoTask(TaskId(9)));
    insta::assert_snapshot!(refused, @"there is no task T-9; `prentice tasks list` shows those there are");
    let mut large = new_task();
    large.brief.text = "x".repeat(MAX_BODY_BYTES);
    let refused = store.deliver(Arrival::Request(Box::new(large)), None).await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(store.pending().await.unwrap(), Pending::default());
}

async fn a_request_becomes_the_next_task_with_journal_and_jobs(w: World) {
    let store = w.open().await;
    for number in 1..=2 {
        let input = w.request(&*store).await;
        assert_eq!(store.outcome(input).await.unwrap(), Some(Outcome::Waiting));
        let effects = vec![Effect::Run { run: 1 }, Effect::Publish];
        let made = store
            .create(input, Box::new(|id| born(id, effects)))
            .await
            .unwrap();
        assert_eq!(made.task.id, TaskId(number));
        assert_eq!(made.task.issue.number, number);
        assert_eq!(store.load(made.task.id).await.unwrap(), Some(made.clone()));
        assert_eq!(store.journal(made.task.id).await.unwrap(), [line("moved")]);
        let jobs = store.jobs(made.task.id).await.unwrap();
        let keys: Vec<&str> = jobs.iter().map(|job| job.key.as_str()).collect();
        assert_eq!(
            keys,
            [format!("T-{number}/run/1"), format!("T-{number}/publish")]
        );
        let done = Outcome::Done {
            task: made.task.id,
            version: made.version,
        };
        assert_eq!(store.outcome(input).await.unwrap(), Some(done));
    }
    assert_eq!(store.load(TaskId(3)).await.unwrap(), None);
    assert_eq!(store.outcome(InputId(99)).await.unwrap(), None);
}

async fn an_issue_has_one_live_task(w: World) {
    let store = w.open().await;
    let of_issue_7 = |id| {
        let mut decision = born(id, vec![]);
        decision.task.issue.forge = "github".to_owned();
        decision.task.issue.number = 7;
        decision
    };
    let input = w.request(&*store).await;
    let first = store
        .create(input, Box::new(of_issue_7))
        .await
        .unwrap()
        .task
        .id;
    let input = w.request(&*store).await;
    let second = store.create(input, Box::new(of_issue_7)).await;
    assert_eq!(second, Err(CommitError::Live(first)));
    insta::assert_snapshot!(second.unwrap_err(), @"the issue has a live task, T-1; end it first");
    assert_eq!(store.outcome(input).await.unwrap(), Some(Outcome::Waiting));
    w.moved(&*store, first, ended(), vec![]).await;
    let second = store.create(input, Box::new(of_issue_7)).await.unwrap();
    assert_eq!(second.task.id, TaskId(2));
}

async fn a_decision_on_an_old_version_is_refused_and_writes_nothing(w: World) {
    let store = w.open().await;
    let old = w.task(&*store, vec![]).await;
    let id = old.task.id;
    let input = store.deliver(heard(id), None).await.unwrap().input;
    w.moved(&*store, id, Stage::Proposed, vec![]).await;
    let now = store.load(id).await.unwrap().unwrap();
    let late = || decision(old.task.clone(), queued(), vec![Effect::Publish]);
    let refused = store.commit(input, old.version, late()).await;
    assert_eq!(refused, Err(CommitError::Conflict));
    assert_eq!(store.load(id).await.unwrap(), Some(now.clone()));
    assert_eq!(store.journal(id).await.unwrap().len(), 2);
    assert!(store.jobs(id).await.unwrap().is_empty());
    assert_eq!(store.outcome(input).await.unwrap(), Some(Outcome::Waiting));
    // Decided again on what is there, it goes through.
    let version = store.commit(input, now.version, late()).await.unwrap();
    assert_eq!(version, Version(3));
}

async fn an_input_is_settled_once(w: World) {
    let store = w.open().await;
    let request = w.request(&*store).await;
    let make = || -> prentice::store::MakeTask { Box::new(|id| born(id, vec![Effect::Publish])) };
    let made = store.create(request, make()).await.unwrap();
    assert_eq!(
        store.create(request, make()).await,
        Err(CommitError::Decided)
    );
    assert_eq!(store.tasks(&TaskFilter::default()).await.unwrap().len(), 1);
    let input = store
        .deliver(heard(made.task.id), None)
        .await
        .unwrap()
        .input;
    store
        .ignore(input, "an answer to an old question".to_owned())
        .await
        .unwrap();
    let again = store.ignore(input, "other".to_owned()).await;
    assert_eq!(again, Err(CommitError::Decided));
    let kept = Outcome::Ignored {
        reason: "an answer to an old question".to_owned(),
    };
    assert_eq!(store.outcome(input).await.unwrap(), Some(kept));
    let late = decision(made.task.clone(), Stage::Proposed, vec![]);
    let refused = store.commit(input, made.version, late).await;
    assert_eq!(refused, Err(CommitError::Decided));
    assert_eq!(store.load(made.task.id).await.unwrap(), Some(made));
}

async fn an_input_moves_only_what_it_is_about(w: World) {
    let store = w.open().await;
    let one = w.task(&*store, vec![]).await;
    let other = w.task(&*store, vec![]).await;
    let about_one = store.deliver(heard(one.task.id), None).await.unwrap().input;
    let wrong = decision(other.task.clone(), Stage::Proposed, vec![]);
    let refused = store.commit(about_one, other.version, wrong).await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Broken(_)))),
        "{refused:?}"
    );
    assert_eq!(store.load(other.task.id).await.unwrap(), Some(other));
    let refused = store
        .create(about_one, Box::new(|id| born(id, vec![])))
        .await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Broken(_)))),
        "{refused:?}"
    );
    assert_eq!(store.tasks(&TaskFilter::default()).await.unwrap().len(), 2);
}

async fn a_final_task_stays_final(w: World) {
    let store = w.open().await;
    let id = w.task(&*store, vec![]).await.task.id;
    let end = w.moved(&*store, id, ended(), vec![]).await;
    let finished_at = end.finished_at;
    assert_eq!(finished_at, Some(w.now()));
    w.clock.pass(10);
    // What the clean-up says is still recorded.
    let clean = Stage::Ended {
        how: Ending::Stopped,
        by: "ann".to_owned(),
        reason: None,
        left: Some(vec![]),
    };
    let end = w.moved(&*store, id, clean, vec![]).await;
    assert_eq!(end.finished_at, finished_at);
    let input = store.deliver(heard(id), None).await.unwrap().input;
    let revived = decision(end.task.clone(), queued(), vec![]);
    let refused = store.commit(input, end.version, revived).await.unwrap_err();
    insta::assert_snapshot!(refused, @"the store refused what should not happen (a final task was to move on); please report this");
    assert_eq!(store.load(id).await.unwrap(), Some(end));
}

async fn a_task_never_moves_without_a_journal_line(w: World) {
    let store = w.open().await;
    let before = w.task(&*store, vec![]).await;
    let input = store
        .deliver(heard(before.task.id), None)
        .await
        .unwrap()
        .input;
    let mut silent = decision(before.task.clone(), Stage::Proposed, vec![]);
    silent.journal.clear();
    let refused = store.commit(input, before.version, silent).await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Broken(_)))),
        "{refused:?}"
    );
    // Several lines count as several versions.
    let mut two = decision(before.task.clone(), Stage::Proposed, vec![]);
    two.journal = vec![line("one"), line("two")];
    let version = store.commit(input, before.version, two).await.unwrap();
    assert_eq!(version, Version(3));
    assert_eq!(store.journal(before.task.id).await.unwrap().len(), 3);
}

async fn epoch_and_attempt_are_counted_at_the_claim(w: World) {
    let (store, lock) = (w.open().await, w.host());
    let task = w.task(&*store, vec![Effect::Run { run: 1 }]).await.task.id;
    for time in 1..=3 {
        let claim = must_claim(&*store, &lock).await;
        assert_eq!((claim.task, &claim.effect), (task, &Effect::Run { run: 1 }));
        assert_eq!((claim.epoch, claim.attempt), (time, time));
        assert_eq!(claim.lease_until, Time(w.now().0 + 60_000));
        // Written before anything is performed.
        let job = &store.jobs(task).await.unwrap()[0];
        assert_eq!((job.epoch, job.attempts), (time, time));
        store
            .release(&claim, w.now(), "again".to_owned(), true)
            .await
            .unwrap();
    }
}

async fn a_step_further_than_ever_sets_the_attempts_back(w: World) {
    let (store, lock) = (w.open().await, w.host());
    w.task(&*store, vec![Effect::Run { run: 1 }]).await;
    let step = |step| Event::Progressed { run: 1, step };
    let work = step(Step::Work { attempt: 1 });
    let mut seen = Vec::new();
    for reached in [Some(&work), Some(&work), None, Some(&work)] {
        let claim = must_claim(&*store, &lock).await;
        seen.push(claim.attempt);
        store.progress(&claim, step(Step::Prepare)).await.unwrap();
        if let Some(event) = reached {
            store.progress(&claim, event.clone()).await.unwrap();
        }
        store
            .release(&claim, w.now(), "lost".to_owned(), true)
            .await
            .unwrap();
    }
    let claim = must_claim(&*store, &lock).await;
    seen.push(claim.attempt);
    assert_eq!(
        seen,
        [1, 1, 2, 3, 4],
        "only the first time was further than ever"
    );
    let further = step(Step::Judge { attempt: 1 });
    store.progress(&claim, further).await.unwrap();
    store
        .release(&claim, w.now(), "lost".to_owned(), true)
        .await
        .unwrap();
    let claim = must_claim(&*store, &lock).await;
    assert_eq!((claim.attempt, claim.epoch), (1, 6));
}

async fn takes_nothing(w: &World, store: &dyn Store, old: &Claim) {
    let before = store.pending().await.unwrap().inputs;
    let lost = Err(LeaseError::Lost);
    assert_eq!(store.heartbeat(old, TTL).await.map(drop), lost);
    let event = Event::Heard { run: 1 };
    assert_eq!(store.progress(old, event.clone()).await.map(drop), lost);
    assert_eq!(store.finish(old, vec![event]).await, lost);
    assert_eq!(store.release(old, w.now(), String::new(), true).await, lost);
    assert_eq!(
        store.pending().await.unwrap().inputs,
        before,
        "nothing was appended"
    );
}

async fn after_a_takeover_every_write_of_the_old_claim_is_refused(w: World) {
    let store = w.open().await;
    let (old_host, new_host) = (w.host(), w.host());
    let task = w.task(&*store, vec![Effect::Run { run: 1 }]).await.task.id;
    let old = must_claim(&*store, &old_host).await;
    w.clock.pass(50);
    store.heartbeat(&old, TTL).await.unwrap();
    w.clock.pass(50);
    assert_eq!(
        claim(&*store, &new_host).await,
        None,
        "a beat prolongs the lease"
    );
    w.clock.pass(10);
    let new = must_claim(&*store, &new_host).await;
    assert_eq!((new.epoch, new.attempt), (2, 2));
    takes_nothing(&w, &*store, &old).await;
    store
        .finish(&new, vec![Event::Heard { run: 1 }])
        .await
        .unwrap();
    takes_nothing(&w, &*store, &old).await;
    assert_eq!(store.jobs(task).await.unwrap()[0].state, JobState::Done);
    assert_eq!(store.pending().await.unwrap().inputs, 1);
    insta::assert_snapshot!(LeaseError::Lost, @"the job was taken over; whatever still runs for it has to stop");
}

async fn after_the_end_every_write_of_the_claim_is_refused(w: World) {
    let (store, lock) = (w.open().await, w.host());
    w.task(&*store, vec![Effect::Run { run: 1 }, Effect::Publish])
        .await;
    let one = must_claim(&*store, &lock).await;
    let answer = Event::RunEnded {
        run: 1,
        outcome: RunOutcome::Cancelled,
    };
    store.finish(&one, vec![answer.clone()]).await.unwrap();
    let input = store.next_input().await.unwrap().unwrap();
    let expected = Arrival::Event {
        task: one.task,
        event: Box::new(answer),
    };
    assert_eq!(input.arrival, expected);
    takes_nothing(&w, &*store, &one).await;
    let two = must_claim(&*store, &lock).await;
    store
        .release(&two, w.now(), "later".to_owned(), true)
        .await
        .unwrap();
    takes_nothing(&w, &*store, &two).await;
}

async fn a_lapsed_lease_of_the_asking_holder_is_not_taken_over(w: World) {
    let (store, lock) = (w.open().await, w.host());
    w.task(&*store, vec![Effect::Run { run: 1 }]).await;
    let held = must_claim(&*store, &lock).await;
    // The machine slept.
    w.clock.pass(3600);
    assert_eq!(claim(&*store, &lock).await, None);
    store.heartbeat(&held, TTL).await.unwrap();
    store.finish(&held, vec![]).await.unwrap();
}

async fn one_job_of_a_lane_is_in_flight_and_stopping_and_showing_go_beside_work(w: World) {
    let (store, lock) = (w.open().await, w.host());
    let effects = vec![
        Effect::Run { run: 1 },
        Effect::Publish,
        Effect::OpenPull { revision: 1 },
        Effect::Tell { entry: 1 },
        Effect::Cancel { run: 1 },
        Effect::CleanUp {
            patch: true,
            branch: Vec::new(),
        },
    ];
    w.task(&*store, effects).await;
    let kind = |claim: &Claim| JobKind::of(&claim.effect);
    let run = must_claim(&*store, &lock).await;
    let publish = must_claim(&*store, &lock).await;
    let cancel = must_claim(&*store, &lock).await;
    assert_eq!(
        [kind(&run), kind(&publish), kind(&cancel)],
        [JobKind::Run, JobKind::Publish, JobKind::Cancel]
    );
    assert_eq!(claim(&*store, &lock).await, None);
    assert_eq!(
        store.next_due(&Filter::default()).await.unwrap(),
        None,
        "all else is behind something"
    );
    store.finish(&publish, vec![]).await.unwrap();
    assert_eq!(kind(&must_claim(&*store, &lock).await), JobKind::Tell);
    // Behind a job that backs off, a later one of the lane waits too.
    store
        .release(&run, w.now().plus_secs(60), "busy".to_owned(), true)
        .await
        .unwrap();
    assert_eq!(claim(&*store, &lock).await, None);
    w.clock.pass(60);
    let run = must_claim(&*store, &lock).await;
    store.finish(&run, vec![]).await.unwrap();
    let pull = must_claim(&*store, &lock).await;
    assert_eq!(kind(&pull), JobKind::OpenPull);
    store.finish(&pull, vec![]).await.unwrap();
    assert_eq!(kind(&must_claim(&*store, &lock).await), JobKind::CleanUp);
}

async fn a_publish_is_merged_while_it_waits_and_armed_again_while_in_flight(w: World) {
    let (store, lock) = (w.open().await, w.host());
    let task = w.task(&*store, vec![Effect::Publish]).await.task.id;
    let again = || w.moved(&*store, task, queued(), vec![Effect::Publish]);
    again().await;
    assert_eq!(store.jobs(task).await.unwrap().len(), 1);
    let first = must_claim(&*store, &lock).await;
    // Asked for twice while in flight: once more, and not beside itself.
    again().await;
    again().await;
    assert_eq!(claim(&*store, &lock).await, None);
    store.finish(&first, vec![]).await.unwrap();
    let second = must_claim(&*store, &lock).await;
    assert_eq!((second.epoch, second.attempt), (2, 1));
    store.finish(&second, vec![]).await.unwrap();
    assert_eq!(claim(&*store, &lock).await, None, "all was shown");
    again().await;
    let third = must_claim(&*store, &lock).await;
    assert_eq!((third.epoch, third.attempt), (3, 1));
    // A back-off holds for those merged into it.
    store
        .release(&third, w.now().plus_secs(9), "limit".to_owned(), true)
        .await
        .unwrap();
    again().await;
    assert_eq!(claim(&*store, &lock).await, None);
    assert_eq!(
        store.next_due(&Filter::default()).await.unwrap(),
        Some(w.now().plus_secs(9))
    );
    w.clock.pass(9);
    let fourth = must_claim(&*store, &lock).await;
    assert_eq!((fourth.epoch, fourth.attempt), (4, 2));
    // Taken from a lost holder, an armed one needs no further round: it shows what is now.
    again().await;
    let host = w.host();
    store.recover(&host).await.unwrap();
    let fifth = must_claim(&*store, &host).await;
    store.finish(&fifth, vec![]).await.unwrap();
    assert_eq!(claim(&*store, &host).await, None);
}

async fn what_could_not_be_published_is_asked_for_again_under_its_number(w: World) {
    let (store, lock) = (w.open().await, w.host());
    let open = || vec![Effect::OpenPull { revision: 1 }];
    let task = w.task(&*store, open()).await.task.id;
    let first = must_claim(&*store, &lock).await;
    // In flight, it is the same question.
    w.moved(&*store, task, queued(), open()).await;
    assert_eq!(claim(&*store, &lock).await, None);
    store.finish(&first, vec![]).await.unwrap();
    assert_eq!(claim(&*store, &lock).await, None);
    w.moved(&*store, task, queued(), open()).await;
    let second = must_claim(&*store, &lock).await;
    assert_eq!((second.epoch, second.attempt), (2, 1));
    assert_eq!(store.jobs(task).await.unwrap().len(), 1);
}

async fn an_effect_with_a_known_key_adds_nothing(w: World) {
    let (store, lock) = (w.open().await, w.host());
    let task = w.task(&*store, vec![Effect::Run { run: 1 }]).await.task.id;
    let run = must_claim(&*store, &lock).await;
    w.moved(&*store, task, queued(), vec![Effect::Run { run: 1 }])
        .await;
    store.finish(&run, vec![]).await.unwrap();
    w.moved(&*store, task, queued(), vec![Effect::Run { run: 1 }])
        .await;
    assert_eq!(claim(&*store, &lock).await, None);
    assert_eq!(store.jobs(task).await.unwrap().len(), 1);
}

async fn a_timer_is_due_when_the_clock_says_so(w: World) {
    let (store, lock) = (w.open().await, w.host());
    let (soon, late) = (w.now().plus_secs(10), w.now().plus_secs(20));
    w.task(&*store, vec![wait(1, late), wait(2, soon)]).await;
    let all = Filter::default();
    assert_eq!(claim(&*store, &lock).await, None);
    assert_eq!(store.next_due(&all).await.unwrap(), Some(soon));
    assert_eq!(
        store.pending().await.unwrap(),
        Pending {
            later: 2,
            ..Pending::default()
        }
    );
    w.clock.pass(10);
    assert_eq!(
        store.pending().await.unwrap(),
        Pending {
            due: 1,
            later: 1,
            ..Pending::default()
        }
    );
    assert_eq!(must_claim(&*store, &lock).await.effect, wait(2, soon));
    assert_eq!(claim(&*store, &lock).await, None);
    w.clock.pass(10);
    assert_eq!(must_claim(&*store, &lock).await.effect, wait(1, late));
    assert_eq!(
        store.pending().await.unwrap(),
        Pending {
            in_flight: 2,
            ..Pending::default()
        }
    );
}

async fn a_job_handed_back_is_due_later_and_counts_only_when_told(w: World) {
    let (store, lock) = (w.open().await, w.host());
    let task = w.task(&*store, vec![Effect::Publish]).await.task.id;
    let first = must_claim(&*store, &lock).await;
    store
        .release(
            &first,
            w.now().plus_secs(30),
            "the forge asked".to_owned(),
            false,
        )
        .await
        .unwrap();
    let job = &store.jobs(task).await.unwrap()[0];
    assert_eq!((job.attempts, job.epoch), (0, 1));
    assert_eq!(job.why.as_deref(), Some("the forge asked"));
    w.clock.pass(29);
    assert_eq!(claim(&*store, &lock).await, None);
    w.clock.pass(1);
    let second = must_claim(&*store, &lock).await;
    assert_eq!((second.attempt, second.epoch), (1, 2));
    store
        .release(&second, w.now(), "error".to_owned(), true)
        .await
        .unwrap();
    assert_eq!(must_claim(&*store, &lock).await.attempt, 2);
}

async fn a_clock_set_back_delays_no_work(w: World) {
    const DAY: i64 = 24 * 60 * 60;
    let (store, lock) = (w.open().await, w.host());
    let effects = vec![
        Effect::Run { run: 1 },
        Effect::Publish,
        wait(1, w.now().plus_secs(10)),
    ];
    let task = w.task(&*store, effects).await.task.id;
    w.clock.pass(-DAY);
    let run = must_claim(&*store, &lock).await;
    assert_eq!(run.effect, Effect::Run { run: 1 });
    let publish = must_claim(&*store, &lock).await;
    // Asked for again in flight, it is due at once when it is done, whatever the clock says then.
    w.moved(&*store, task, queued(), vec![Effect::Publish])
        .await;
    store.finish(&publish, vec![]).await.unwrap();
    w.clock.pass(-DAY);
    let publish = must_claim(&*store, &lock).await;
    assert_eq!(publish.effect, Effect::Publish);
    store.finish(&publish, vec![]).await.unwrap();

    // What backs off does so for as long as it may, not until the clock is where it was; a timer keeps its time.
    let later = w.now().plus_secs(30);
    let handed_back = store.release(&run, later, "broken".to_owned(), true);
    handed_back.await.unwrap();
    w.clock.pass(-DAY);
    store.recover(&lock).await.unwrap();
    assert_eq!(claim(&*store, &lock).await, None);
    w.clock.pass(60);
    assert_eq!(
        must_claim(&*store, &lock).await.effect,
        Effect::Run { run: 1 }
    );
    w.clock.pass(2 * DAY);
    assert_eq!(claim(&*store, &lock).await, None);
    w.clock.pass(DAY);
    let timer = must_claim(&*store, &lock).await.effect;
    assert_eq!(JobKind::of(&timer), JobKind::Wait);
    // In flight when its holder was killed.
    let here = w.host();
    w.clock.pass(-DAY);
    assert_eq!(store.recover(&here).await.unwrap().len(), 2);
    assert_eq!(
        must_claim(&*store, &here).await.effect,
        Effect::Run { run: 1 }
    );
}

async fn what_is_old_is_forgotten_but_for_the_newest_and_what_is_not_done(w: World) {
    const DAY: i64 = 24 * 60 * 60;
    let store = w.open().await;
    let log = async |task, text: &str| {
        let content = Content::Bytes(text.as_bytes().to_vec());
        let stored = store.put_artifact(task, ArtifactKind::Log, content).await;
        stored.unwrap().sha256
    };
    let has = async |digest: &Digest| store.artifact(digest).await.unwrap().is_some();
    let clean_up = Effect::CleanUp {
        patch: false,
        branch: Vec::new(),
    };
    let mut tasks = Vec::new();
    for effects in [vec![], vec![clean_up], vec![], vec![], vec![]] {
        tasks.push(w.task(&*store, effects).await.task.id);
    }
    let [old, unclean, live, young, newest] = tasks.as_slice() else {
        panic!("five tasks")
    };
    let (of_old, of_young) = (
        log(Some(*old), "old").await,
        log(Some(*young), "young").await,
    );
    let (shared, of_nobody) = (log(Some(*old), "shared").await, log(None, "verify").await);
    log(Some(*live), "shared").await;
    w.moved(&*store, *old, ended(), vec![]).await;
    for task in [unclean, newest] {
        w.moved(&*store, *task, ended(), vec![]).await;
    }
    w.clock.pass(10 * DAY);
    w.moved(&*store, *young, ended(), vec![]).await;
    let (kept, waiting) = (log(None, "verify later").await, w.request(&*store).await);
    w.clock.pass(DAY);
    let before = Time(w.now().0 - 5 * DAY * 1000);
    let forgotten = store.forget(before, before, before).await.unwrap();
    assert_eq!(
        forgotten.iter().map(|task| task.id).collect::<Vec<_>>(),
        [*old]
    );
    assert_eq!(store.load(*old).await.unwrap(), None);
    assert_eq!(store.journal(*old).await.unwrap(), []);
    assert_eq!(store.jobs(*old).await.unwrap(), []);
    let first = store.outcome(InputId(1)).await.unwrap();
    assert_eq!(first, None, "inbox rows go too");
    for task in [unclean, live, young, newest] {
        assert!(store.load(*task).await.unwrap().is_some(), "{task}");
        assert!(!store.journal(*task).await.unwrap().is_empty(), "{task}");
    }
    assert!(!has(&of_old).await && !has(&of_nobody).await);
    assert!(has(&of_young).await && has(&shared).await && has(&kept).await);
    // What is not decided yet is never old; and no number is given twice.
    let born = store.create(waiting, Box::new(|id| born(id, vec![])));
    assert_eq!(born.await.unwrap().task.id, TaskId(newest.0 + 1));
}

async fn a_start_hands_back_what_others_left_in_flight(w: World) {
    let store = w.open().await;
    let (gone, here) = (w.host(), w.host());
    let lost = w.task(&*store, vec![Effect::Run { run: 1 }]).await.task.id;
    let old = must_claim(&*store, &gone).await;
    let own = w.task(&*store, vec![Effect::Run { run: 1 }]).await.task.id;
    let mine = must_claim(&*store, &here).await;
    let back = store.recover(&here).await.unwrap();
    assert_eq!(back.len(), 1);
    assert_eq!(
        (back[0].task, &back[0].state, back[0].attempts),
        (lost, &JobState::Pending, 1)
    );
    insta::assert_snapshot!(back[0].why.as_deref().unwrap(), @"the process that did it is gone");
    // At once, although the lease has not lapsed.
    takes_nothing(&w, &*store, &old).await;
    let again = must_claim(&*store, &here).await;
    assert_eq!((again.task, again.epoch, again.attempt), (lost, 2, 2));
    takes_nothing(&w, &*store, &old).await;
    assert_eq!(mine.task, own);
    store.finish(&mine, vec![]).await.unwrap();
}

async fn a_final_task_supersedes_its_work_and_timers_but_not_its_farewell(w: World) {
    let (store, lock) = (w.open().await, w.host());
    let work = vec![
        Effect::Run { run: 1 },
        Effect::OpenPull { revision: 1 },
        wait(1, w.now()),
        Effect::Tell { entry: 1 },
    ];
    let task = w.task(&*store, work).await.task.id;
    let other = w
        .task(&*store, vec![wait(1, w.now().plus_secs(99))])
        .await
        .task
        .id;
    let farewell = vec![
        Effect::CleanUp {
            patch: false,
            branch: Vec::new(),
        },
        Effect::Publish,
    ];
    w.moved(&*store, task, ended(), farewell).await;
    let jobs = store.jobs(task).await.unwrap();
    let open: Vec<&str> = jobs
        .iter()
        .filter(|job| job.state == JobState::Pending)
        .map(|job| job.key.as_str())
        .collect();
    assert_eq!(open, ["T-1/tell/1", "T-1/clean-up", "T-1/publish"]);
    assert_eq!(store.jobs(other).await.unwrap()[0].state, JobState::Pending);
    for _ in 0..3 {
        let claim = must_claim(&*store, &lock).await;
        store.finish(&claim, vec![]).await.unwrap();
    }
    assert_eq!(claim(&*store, &lock).await, None);
}

async fn a_run_in_flight_at_the_end_is_superseded_when_its_holder_is_gone(w: World) {
    let store = w.open().await;
    let (gone, here) = (w.host(), w.host());
    let clean = || {
        vec![Effect::CleanUp {
            patch: true,
            branch: Vec::new(),
        }]
    };
    let kind = |claim: Claim| JobKind::of(&claim.effect);
    // Alive: the clean-up waits until the run has ended.
    let task = w.task(&*store, vec![Effect::Run { run: 1 }]).await.task.id;
    let run = must_claim(&*store, &here).await;
    w.moved(&*store, task, ended(), clean()).await;
    w.clock.pass(3600);
    assert_eq!(claim(&*store, &here).await, None);
    store.finish(&run, vec![]).await.unwrap();
    assert_eq!(kind(must_claim(&*store, &here).await), JobKind::CleanUp);
    // Gone: nobody runs it again, and the clean-up follows. By lapse, by start, by hand-back.
    for way in 0..3 {
        let task = w.task(&*store, vec![Effect::Run { run: 1 }]).await.task.id;
        let run = must_claim(&*store, &gone).await;
        w.moved(&*store, task, ended(), clean()).await;
        match way {
            0 => w.clock.pass(3600),
            1 => drop(store.recover(&here).await.unwrap()),
            _ => store
                .release(&run, w.now(), "stop".to_owned(), false)
                .await
                .unwrap(),
        }
        let next = store.claim(&here, &Filter::task(task), TTL).await.unwrap();
        assert_eq!(next.map(kind), Some(JobKind::CleanUp), "way {way}");
        takes_nothing(&w, &*store, &run).await;
        let job = &store.jobs(task).await.unwrap()[0];
        assert_eq!(job.state, JobState::Superseded);
        assert_eq!(job.why.as_deref(), Some("the task is final"));
    }
}

async fn a_run_to_be_stopped_does_not_sit_out_its_back_off(w: World) {
    let (store, lock) = (w.open().await, w.host());
    let check = Effect::Check {
        run: 1,
        head: commit_id('b'),
    };
    for effect in [Effect::Run { run: 1 }, check] {
        let task = w.task(&*store, vec![effect.clone()]).await.task.id;
        let run = must_claim(&*store, &lock).await;
        let later = w.now().plus_secs(600);
        store
            .release(&run, later, "no sandbox".to_owned(), true)
            .await
            .unwrap();
        w.moved(&*store, task, queued(), vec![Effect::Cancel { run: 2 }])
            .await;
        let cancel = must_claim(&*store, &lock).await;
        assert_eq!(cancel.effect, Effect::Cancel { run: 2 });
        assert_eq!(claim(&*store, &lock).await, None, "another run is meant");
        w.moved(&*store, task, queued(), vec![Effect::Cancel { run: 1 }])
            .await;
        assert_eq!(must_claim(&*store, &lock).await.effect, effect);
    }
}

async fn a_filter_lets_only_its_tasks_and_kinds_through(w: World) {
    let (store, lock) = (w.open().await, w.host());
    for _ in 0..12 {
        w.task(&*store, vec![Effect::Run { run: 1 }, Effect::Publish])
            .await;
    }
    let only = |tasks: &[i64], kinds: &[JobKind]| Filter {
        tasks: Some(tasks.iter().map(|id| TaskId(*id)).collect()),
        kinds: Some(kinds.to_vec()),
    };
    let (all, pull) = (&[JobKind::Run, JobKind::Publish], &[JobKind::OpenPull]);
    for (nothing, why) in [
        (only(&[], all), "no task"),
        (only(&[2], &[]), "no kind"),
        (only(&[2], pull), "other kind"),
        (only(&[13], all), "other task"),
    ] {
        assert_eq!(
            store.claim(&lock, &nothing, TTL).await.unwrap(),
            None,
            "{why}"
        );
        assert_eq!(store.next_due(&nothing).await.unwrap(), None, "{why}");
    }
    // 2 is not 12, and not 1 followed by something.
    let wanted = only(&[2, 11], &[JobKind::Publish]);
    let mut got = Vec::new();
    while let Some(claim) = store.claim(&lock, &wanted, TTL).await.unwrap() {
        assert_eq!(claim.effect, Effect::Publish);
        got.push(claim.task.0);
    }
    assert_eq!(got, [2, 11]);
}

async fn sixteen_claimers_never_claim_a_job_twice(w: World) {
    const TASKS: i64 = 40;
    const WAITS: u32 = 10;
    let store = w.open().await;
    let (now, lock) = (w.now(), Arc::new(w.host()));
    for _ in 0..TASKS {
        let effects = (1..=WAITS).map(|asked| wait(asked, now)).collect();
        w.task(&*store, effects).await;
    }
    let claimers: Vec<_> = (0..16)
        .map(|_| {
            let (store, lock) = (Arc::clone(&store), Arc::clone(&lock));
            tokio::spawn(async move {
                let mut got = Vec::new();
                while let Some(claim) = claim(&*store, &lock).await {
                    assert_eq!(claim.epoch, 1);
                    got.push(claim.effect.key(claim.task));
                    store.finish(&claim, vec![]).await.unwrap();
                }
                got
            })
        })
        .collect();
    let mut got = Vec::new();
    for claimer in claimers {
        got.extend(claimer.await.unwrap());
    }
    let claimed = got.len();
    got.sort();
    got.dedup();
    let all = usize::try_from(TASKS).unwrap() * WAITS as usize;
    assert_eq!((claimed, got.len()), (all, all));
}

async fn deliveries_at_the_same_time_share_commits(w: World) {
    const EACH: usize = 25;
    const SENDERS: usize = 16;
    let store = w.open().await;
    let task = w.task(&*store, vec![]).await.task.id;
    let before = store.commits();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..EACH {
                    store.deliver(heard(task), None).await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let commits = store.commits() - before;
    let sent = (EACH * SENDERS) as u64;
    say(&format!(
        "group commit: {sent} deliveries in {commits} commits"
    ));
    assert_eq!(store.pending().await.unwrap().inputs, sent);
    assert!(
        commits * 2 <= sent,
        "{sent} deliveries took {commits} commits"
    );
    // One after the other, each has its own: nothing is answered before it is durable.
    let before = store.commits();
    for _ in 0..5 {
        store.deliver(heard(task), None).await.unwrap();
    }
    assert_eq!(store.commits() - before, 5);
}

async fn what_was_acknowledged_is_there_after_opening_again(w: World) {
    let store = w.open().await;
    let lock = w.host();
    let made = w.task(&*store, vec![Effect::Run { run: 1 }]).await;
    let claimed = must_claim(&*store, &lock).await;
    store.close().await;
    let store = w.open().await;
    assert_eq!(store.load(made.task.id).await.unwrap(), Some(made));
    store.finish(&claimed, vec![]).await.unwrap();
}

async fn a_change_wakes_who_waits_here_and_elsewhere(w: World) {
    let here = w.open().await;
    let elsewhere = w.open().await;
    let task = w.task(&*here, vec![]).await.task.id;
    // Let the watchers see what was before.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut seen = [here.changes(), elsewhere.changes()];
    for changes in &mut seen {
        changes.mark_unchanged();
    }
    let sent = Instant::now();
    here.deliver(heard(task), None).await.unwrap();
    for changes in &mut seen {
        let woken = tokio::time::timeout(Duration::from_secs(5), changes.changed()).await;
        woken.expect("it wakes").unwrap();
    }
    say(&format!(
        "noticed elsewhere after {} ms",
        sent.elapsed().as_millis()
    ));
    assert!(elsewhere.next_input().await.unwrap().is_some());
}

#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Steps for Seen {
    fn before(&self, what: &str) {
        self.0.lock().unwrap().push(format!("before {what}"));
    }
    fn after(&self, what: &str) {
        self.0.lock().unwrap().push(format!("after {what}"));
    }
}

async fn every_durable_step_is_seen_and_nothing_else(w: World) {
    let seen = Arc::new(Seen::default());
    let store = w.open_watched(Arc::clone(&seen) as _).await;
    let lock = w.host();
    let task = w.task(&*store, vec![Effect::Publish]).await.task.id;
    let content = Content::Bytes(b"log".to_vec());
    store
        .put_artifact(Some(task), ArtifactKind::Log, content)
        .await
        .unwrap();
    let job = must_claim(&*store, &lock).await;
    store.finish(&job, vec![]).await.unwrap();
    // Nothing of these is written: no job, a lost lease, a decided input, an undone decision.
    assert_eq!(claim(&*store, &lock).await, None);
    store.heartbeat(&job, TTL).await.unwrap_err();
    let refused = store
        .create(InputId(1), Box::new(|id| born(id, vec![Effect::Publish])))
        .await;
    assert_eq!(refused, Err(CommitError::Decided));
    let steps = seen.0.lock().unwrap().join("\n");
    insta::assert_snapshot!(steps, @r"
    before commit deliver
    after commit deliver
    before commit create
    after commit create
    before rename artifact
    after rename artifact
    before commit artifact
    after commit artifact
    before commit claim
    after commit claim
    before commit finish
    after commit finish
    ");
}

async fn tasks_are_listed_newest_first_by_repository_and_life(w: World) {
    let store = w.open().await;
    for repository in ["/a", "/b", "/a"] {
        let input = w.request(&*store).await;
        let make = move |id| {
            let mut decision = born(id, vec![]);
            decision.task.issue.repository = repository.to_owned();
            decision
        };
        store.create(input, Box::new(make)).await.unwrap();
    }
    w.moved(&*store, TaskId(1), ended(), vec![]).await;
    let list = async |live, repository: Option<&str>| {
        let filter = TaskFilter {
            live,
            repository: repository.map(str::to_owned),
        };
        let found = store.tasks(&filter).await.unwrap();
        found
            .iter()
            .map(|record| record.task.id.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(false, None).await, [3, 2, 1]);
    assert_eq!(list(true, None).await, [3, 2]);
    assert_eq!(list(false, Some("/a")).await, [3, 1]);
    assert_eq!(list(true, Some("/a")).await, [3]);
    assert_eq!(list(true, Some("/c")).await, [0_i64; 0]);
}

async fn an_artifact_is_found_by_its_digest_until_nobody_names_it(w: World) {
    let store = w.open().await;
    let one = w.task(&*store, vec![]).await.task.id;
    let two = w.task(&*store, vec![]).await.task.id;
    let bytes = |text: &str| Content::Bytes(text.as_bytes().to_vec());
    let (patch, log) = (ArtifactKind::Patch, ArtifactKind::Log);
    let shared = store
        .put_artifact(Some(one), patch, bytes("diff"))
        .await
        .unwrap();
    let again = store
        .put_artifact(Some(one), patch, bytes("diff"))
        .await
        .unwrap();
    assert_eq!(
        (&shared, &shared.sha256, shared.bytes),
        (&again, &Digest::of(b"diff"), 4)
    );
    store
        .put_artifact(Some(two), patch, bytes("diff"))
        .await
        .unwrap();
    let source = w.data.join("from-a-file");
    std::fs::write(&source, "x".repeat(200_000)).unwrap();
    let kept = store
        .put_artifact(Some(one), log, Content::File(source))
        .await
        .unwrap();
    let of_nobody = store
        .put_artifact(None, log, bytes("verify"))
        .await
        .unwrap();
    assert_eq!(store.artifacts(one).await.unwrap().len(), 2);
    assert_eq!(
        store.artifact(&kept.sha256).await.unwrap().unwrap().len(),
        200_000
    );
    assert!(store.artifact_path(&kept.sha256).is_file());
    let missing = store.put_artifact(Some(TaskId(9)), log, bytes("x")).await;
    assert_eq!(missing, Err(StoreError::NoTask(TaskId(9))));

    let has = async |digest: &Digest| store.artifact(digest).await.unwrap().is_some();
    store.drop_artifacts(one, &[patch]).await.unwrap();
    assert_eq!(store.artifacts(one).await.unwrap(), vec![kept.clone()]);
    assert!(has(&shared.sha256).await, "another task names it");
    store.drop_artifacts(two, &[patch]).await.unwrap();
    assert!(!has(&shared.sha256).await);
    assert!(has(&kept.sha256).await && has(&of_nobody.sha256).await);
    assert_eq!(
        store.prune_artifacts().await.unwrap(),
        1,
        "the one refused above"
    );
    assert!(has(&kept.sha256).await && has(&of_nobody.sha256).await);
    // Text that is no digest is no way out of the folder.
    let outside: Digest = serde_json::from_str("\"../../../../etc/passwd\"").unwrap();
    assert!(!has(&outside).await);
}

async fn content_that_changed_on_disk_is_not_given_out(w: World) {
    let store = w.open().await;
    let put = async || {
        let content = Content::Bytes(b"true".to_vec());
        store
            .put_artifact(None, ArtifactKind::Log, content)
            .await
            .unwrap()
    };
    let artifact = put().await;
    std::fs::write(store.artifact_path(&artifact.sha256), "false").unwrap();
    let read = store.artifact(&artifact.sha256).await;
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
    put().await;
    assert_eq!(
        store.artifact(&artifact.sha256).await.unwrap().unwrap(),
        b"true"
    );
}

async fn files_without_a_row_are_adopted_or_pruned(w: World) {
    let store = w.open().await;
    // As a crash between rename and row leaves them.
    for text in ["adopted", "orphan"] {
        let path = store.artifact_path(&Digest::of(text.as_bytes()));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let aside = w.data.join("artifacts/.aside-xyz");
    std::fs::write(&aside, "half").unwrap();
    let content = Content::Bytes(b"adopted".to_vec());
    store
        .put_artifact(None, ArtifactKind::Log, content)
        .await
        .unwrap();
    assert_eq!(store.prune_artifacts().await.unwrap(), 1);
    assert!(!aside.exists());
    assert!(
        store
            .artifact(&Digest::of(b"adopted"))
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        store
            .artifact(&Digest::of(b"orphan"))
            .await
            .unwrap()
            .is_none()
    );
}

async fn a_closed_store_says_so(w: World) {
    let store = w.open().await;
    store.close().await;
    let refused = store
        .deliver(Arrival::Request(Box::new(new_task())), None)
        .await;
    assert_eq!(refused, Err(StoreError::Closed));
    assert_eq!(store.next_input().await, Err(StoreError::Closed));
    insta::assert_snapshot!(StoreError::Closed, @"the store is closed; start prentice again");
}
