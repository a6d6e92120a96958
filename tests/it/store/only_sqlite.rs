//! What the embedded engine has to show beside the contract: refused rows, damage, a full
//! disk, several processes, the lock, and death at any moment.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use prentice::store::LockError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::*;

async fn raw(w: &World) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(w.data.join("prentice.db"))
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .connect()
        .await
        .unwrap()
}

async fn run(connection: &mut SqliteConnection, statement: &str) -> Result<u64, String> {
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    let done = sqlx::query(statement).execute(connection).await;
    done.map(|done| done.rows_affected())
        .map_err(|why| why.to_string())
}

#[tokio::test]
async fn the_database_refuses_impossible_rows() {
    let w = World::sqlite();
    let (store, lock) = (w.open().await, w.host());
    let effects = vec![Effect::Run { run: 1 }, Effect::Publish];
    let task = w.task(&*store, effects).await.task.id;
    w.task(&*store, vec![]).await;
    must_claim(&*store, &lock).await;
    let waiting = store
        .deliver(heard(task), Some("k".to_owned()))
        .await
        .unwrap()
        .input
        .0;
    let mut c = raw(&w).await;
    let job = "insert into jobs (key, task, kind, lane, effect, state, epoch, created_at, next_at, holder, lease_until)";
    for (impossible, rule) in [
        ("update tasks set stage = 'sleeping' where id = 1", "CHECK"),
        ("update tasks set stage = 'ended' where id = 1", "CHECK"),
        ("update tasks set finished_at = 1 where id = 1", "CHECK"),
        ("update tasks set version = 0 where id = 1", "CHECK"),
        ("update tasks set body = '' where id = 1", "CHECK"),
        ("update tasks set number = 0 where id = 1", "CHECK"),
        ("update tasks set number = 1 where id = 2", "UNIQUE"),
        ("update tasks set id = 9 where id = 1", "FOREIGN KEY"),
        ("delete from tasks where id = 1", "FOREIGN KEY"),
        ("update deliveries set state = 'done' where id = $", "CHECK"),
        (
            "update deliveries set state = 'ignored', settled_at = 1 where id = $",
            "CHECK",
        ),
        ("update deliveries set settled_at = 1 where id = $", "CHECK"),
        ("update deliveries set reason = 'x' where id = $", "CHECK"),
        ("update deliveries set seq = 1 where id = $", "CHECK"),
        ("update deliveries set state = 'lost' where id = $", "CHECK"),
        ("update deliveries set kind = 'guess' where id = $", "CHECK"),
        ("update deliveries set task = null where id = $", "CHECK"),
        (
            "update deliveries set kind = 'request' where id = $",
            "CHECK",
        ),
        (
            "update deliveries set task = 99 where id = $",
            "FOREIGN KEY",
        ),
        (
            "update deliveries set dedup_key = 'k' where id = 1",
            "UNIQUE",
        ),
        (
            "insert into journal values (1, 1, 0, 1, null, '')",
            "UNIQUE",
        ),
        ("insert into journal values (1, 0, 0, 1, null, '')", "CHECK"),
        (
            "insert into journal values (99, 1, 0, 1, null, '')",
            "FOREIGN KEY",
        ),
        (
            "update jobs set state = 'asleep' where kind = 'run'",
            "CHECK",
        ),
        (
            "update jobs set state = 'done' where kind = 'publish'",
            "CHECK",
        ),
        (
            "update jobs set state = 'done', finished_at = 1 where kind = 'publish'",
            "CHECK",
        ),
        (
            "update jobs set state = 'claimed', epoch = 1 where kind = 'publish'",
            "CHECK",
        ),
        ("update jobs set holder = null where kind = 'run'", "CHECK"),
        (
            "update jobs set lease_until = null where kind = 'run'",
            "CHECK",
        ),
        (
            "update jobs set finished_at = 1 where kind = 'run'",
            "CHECK",
        ),
        ("update jobs set epoch = -1 where kind = 'publish'", "CHECK"),
        (
            "update jobs set epoch = 0, attempts = 0 where kind = 'run'",
            "CHECK",
        ),
        ("update jobs set attempts = 2 where kind = 'run'", "CHECK"),
        ("update jobs set rearmed = 1 where kind = 'run'", "CHECK"),
        (
            "update jobs set rearmed = 1 where kind = 'publish'",
            "CHECK",
        ),
        (
            "update jobs set kind = 'guess' where kind = 'publish'",
            "CHECK",
        ),
        (
            "update jobs set key = 'T-1/run/1' where kind = 'publish'",
            "UNIQUE",
        ),
        (
            &format!(
                "{job} values ('x', 1, 'run', 'T-1/work', '{{}}', 'claimed', 1, 0, 0, 'h', 1)"
            ),
            "UNIQUE",
        ),
        (
            &format!(
                "{job} values ('x', 99, 'run', 'T-9/work', '{{}}', 'pending', 0, 0, 0, null, null)"
            ),
            "FOREIGN KEY",
        ),
        (
            "insert into artifacts values (1, 'photo', '', 0, 0)",
            "CHECK",
        ),
        (
            "insert into artifacts values (1, 'log', 'abc', 0, 0)",
            "CHECK",
        ),
    ] {
        let refused = run(&mut c, &impossible.replace('$', &waiting.to_string())).await;
        let why = refused.expect_err(impossible);
        assert!(why.contains(rule), "{impossible}: {why}");
    }
    // The row that the two-in-flight one differs from by its lane alone is possible.
    let possible =
        format!("{job} values ('x', 1, 'run', 'T-1/other', '{{}}', 'claimed', 1, 0, 0, 'h', 1)");
    assert_eq!(run(&mut c, &possible).await, Ok(1));
}

#[tokio::test]
async fn a_commit_that_fails_half_way_writes_nothing() {
    let w = World::sqlite();
    let store = w.open().await;
    let before = w.task(&*store, vec![]).await;
    let task = before.task.id;
    let input = store.deliver(heard(task), None).await.unwrap().input;
    // By then the input is settled, the task moved, and the first line written.
    let mut c = raw(&w).await;
    run(
        &mut c,
        "insert into journal values (1, 3, 0, 1, null, 'in the way')",
    )
    .await
    .unwrap();
    let attempt = || {
        let mut decision = decision(before.task.clone(), Stage::Proposed, vec![Effect::Publish]);
        decision.journal = vec![line("one"), line("two")];
        decision
    };
    let refused = store.commit(input, before.version, attempt()).await;
    assert_eq!(refused, Err(CommitError::Conflict));
    assert_eq!(store.load(task).await.unwrap(), Some(before.clone()));
    assert_eq!(store.outcome(input).await.unwrap(), Some(Outcome::Waiting));
    assert_eq!(store.journal(task).await.unwrap().len(), 2);
    assert!(store.jobs(task).await.unwrap().is_empty());
    // The same inside a job, the last of all: a lane that is already someone's is no obstacle, a broken effect row is.
    run(&mut c, "delete from journal where seq = 3")
        .await
        .unwrap();
    run(
        &mut c,
        "create trigger no_jobs before insert on jobs begin select raise(abort, 'injected'); end",
    )
    .await
    .unwrap();
    let refused = store.commit(input, before.version, attempt()).await;
    assert!(
        matches!(refused, Err(CommitError::Store(StoreError::Broken(_)))),
        "{refused:?}"
    );
    assert_eq!(store.load(task).await.unwrap(), Some(before.clone()));
    assert_eq!(store.journal(task).await.unwrap().len(), 1);
    assert_eq!(store.outcome(input).await.unwrap(), Some(Outcome::Waiting));
    // Those that share its commit are not touched by its failure.
    let (refused, good) = tokio::join!(
        store.commit(input, before.version, attempt()),
        store.deliver(heard(task), None),
    );
    assert!(refused.is_err() && good.is_ok());
    run(&mut c, "drop trigger no_jobs").await.unwrap();
    assert_eq!(
        store.commit(input, before.version, attempt()).await,
        Ok(Version(3))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_engine_gives_up_a_transaction_nobody_in_it_is_told_of_success() {
    const EACH: usize = 40;
    let w = World::sqlite();
    let store = w.open().await;
    let before = w.task(&*store, vec![]).await;
    let task = before.task.id;
    let input = store.deliver(heard(task), None).await.unwrap().input;
    let mut c = raw(&w).await;
    // As a full disk may do: not the statement, the whole transaction is undone.
    let trigger = "create trigger give_up before insert on jobs begin select raise(rollback, 'injected'); end";
    run(&mut c, trigger).await.unwrap();
    let (mut good, mut given_up) = (1, 0);
    for round in 0..10 {
        let mut senders = tokio::task::JoinSet::new();
        for number in 0..EACH {
            let store = Arc::clone(&store);
            let fatal = decision(before.task.clone(), Stage::Proposed, vec![Effect::Publish]);
            let version = before.version;
            senders.spawn(async move {
                if number == EACH / 2 {
                    assert!(store.commit(input, version, fatal).await.is_err());
                    return None;
                }
                Some(store.deliver(heard(task), None).await)
            });
        }
        for sent in senders.join_all().await.into_iter().flatten() {
            match sent {
                Ok(_) => good += 1,
                Err(StoreError::Disk { .. }) => given_up += 1,
                Err(other) => panic!("round {round}: {other:?}"),
            }
        }
    }
    say(&format!("given up: {given_up} told so, {good} stored"));
    assert_eq!(store.pending().await.unwrap().inputs, good);
    assert!(given_up > 0, "no transaction was shared");
    assert_eq!(store.load(task).await.unwrap(), Some(before));
}

#[tokio::test]
async fn an_answer_and_the_end_of_its_job_are_one() {
    let w = World::sqlite();
    let (store, lock) = (w.open().await, w.host());
    w.task(&*store, vec![Effect::Publish]).await;
    let claim = must_claim(&*store, &lock).await;
    let mut c = raw(&w).await;
    run(&mut c, "create trigger no_input before insert on deliveries begin select raise(abort, 'injected'); end")
        .await
        .unwrap();
    assert!(
        store
            .finish(&claim, vec![Event::Heard { run: 1 }])
            .await
            .is_err()
    );
    assert_eq!(store.pending().await.unwrap().in_flight, 1);
    run(&mut c, "drop trigger no_input").await.unwrap();
    store
        .finish(&claim, vec![Event::Heard { run: 1 }])
        .await
        .unwrap();
    assert_eq!(
        store.pending().await.unwrap(),
        Pending {
            inputs: 1,
            ..Pending::default()
        }
    );
}

async fn refused(w: &World) -> StoreError {
    let clock: Arc<dyn Clock> = Arc::clone(&w.clock) as _;
    match open(&w.data, clock, Arc::new(Unwatched)).await {
        Ok(_) => panic!("it opened"),
        Err(why) => why,
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let w = World::sqlite();
    w.open().await.close().await;
    let mut c = raw(&w).await;
    run(
        &mut c,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (999, 'later', 1, x'00', 0)",
    )
    .await
    .unwrap();
    c.close().await.unwrap();
    let why = refused(&w).await;
    let text = why.to_string().replace(&*w.data.to_string_lossy(), "DATA");
    insta::assert_snapshot!(text, @"DATA/prentice.db was written by a newer prentice (schema 999); install that version");
}

#[tokio::test]
async fn a_damaged_database_is_told_as_such() {
    let w = World::sqlite();
    std::fs::create_dir_all(&w.data).unwrap();
    std::fs::write(w.data.join("prentice.db"), "no database ".repeat(1000)).unwrap();
    let why = refused(&w).await;
    assert!(matches!(why, StoreError::Corrupt { .. }), "{why:?}");
    let text = why.to_string().replace(&*w.data.to_string_lossy(), "DATA");
    insta::assert_snapshot!(text, @"the store is damaged: DATA/prentice.db (error returned from database: (code: 26) file is not a database); restore it from a backup, or move it away to begin anew");
    // A body that this program did not write.
    let w = World::sqlite();
    let store = w.open().await;
    w.task(&*store, vec![]).await;
    let mut c = raw(&w).await;
    run(&mut c, "update tasks set body = '{}'").await.unwrap();
    let read = store.load(TaskId(1)).await;
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_with_its_name() {
    let w = World::sqlite();
    std::fs::write(&w.data, "a file").unwrap();
    let why = refused(&w).await;
    let text = why.to_string().replace(&*w.data.to_string_lossy(), "DATA");
    insta::assert_snapshot!(text, @"the store cannot be read or written: DATA: File exists (os error 17); make the data folder readable and writable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_open_a_new_folder_at_once_and_write_beside_each_other() {
    let w = Arc::new(World::sqlite());
    let others: Vec<_> = (0..8)
        .map(|_| {
            let w = Arc::clone(&w);
            tokio::spawn(async move {
                let store = w.open().await;
                for _ in 0..10 {
                    w.request(&*store).await;
                }
                store.close().await;
            })
        })
        .collect();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(w.open().await.pending().await.unwrap().inputs, 80);
}

#[test]
fn a_data_folder_belongs_to_one_process_until_it_ends() {
    let w = World::sqlite();
    let acquire = |command: &str| DataLock::acquire(&w.data, command, w.clock.as_ref(), &IDS);
    let held = acquire("prentice run\n\u{1b}[2Jissue.md").unwrap();
    let Err(why) = acquire("prentice serve") else {
        panic!("two hold it");
    };
    let LockError::Held { by: Some(who), .. } = &why else {
        panic!("{why:?}");
    };
    assert_eq!(
        (who.pid, who.holder.as_str()),
        (std::process::id(), held.holder())
    );
    let text = why
        .to_string()
        .replace(&*w.data.to_string_lossy(), "DATA")
        .replace(&std::process::id().to_string(), "PID");
    insta::assert_snapshot!(text, @"another prentice is at work on DATA (process PID, `prentice run  [2Jissue.md`, since 2026-11-20 14:20 UTC); wait until it is done or stop it");
    // A holder that has not said who it is yet.
    std::fs::write(w.data.join("lock"), "").unwrap();
    let text = acquire("x")
        .unwrap_err()
        .to_string()
        .replace(&*w.data.to_string_lossy(), "DATA");
    insta::assert_snapshot!(text, @"another prentice is at work on DATA; wait until it is done or stop it");
    drop(held);
    let next = acquire("prentice serve").unwrap();
    drop(next);
    std::fs::remove_dir_all(&w.data).unwrap();
    std::fs::write(&w.data, "a file").unwrap();
    let text = acquire("x")
        .unwrap_err()
        .to_string()
        .replace(&*w.data.to_string_lossy(), "DATA");
    insta::assert_snapshot!(text, @"the lock file DATA/lock cannot be used (File exists (os error 17)); make the data folder writable or name another one");
}

// ---- A full disk.

/// A small file system in memory; gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounting needs root; `None`, with the reason printed, without.
    fn new(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self(dir)),
            Ok(done) => {
                let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                say(&format!("SKIP disk full: no small disk to be had: {why}"));
                None
            }
            Err(why) => {
                say(&format!("SKIP disk full: `mount` does not start: {why}"));
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whatever is still open goes when it is closed.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_changes_no_state_and_is_over_when_there_is_space() {
    let Some(disk) = SmallDisk::new("3m") else {
        return;
    };
    let w = World::at(disk.0.path().join("data"));
    let store = w.open().await;
    let task = w.task(&*store, vec![]).await;
    let ballast = disk.0.path().join("ballast");
    let mut filling = std::fs::File::create(&ballast).unwrap();
    while filling.write_all(&[0; 4096]).is_ok() {}
    // The log may have room left in its last pages; then it is full for good.
    let (mut accepted, mut why) = (0, None);
    for _ in 0..2000 {
        match store.deliver(heard(task.task.id), None).await {
            Ok(_) => accepted += 1,
            Err(full) => {
                why = Some(full);
                break;
            }
        }
    }
    let why = why.expect("the disk is full");
    say(&format!(
        "full disk: {accepted} accepted before it, then: {why}"
    ));
    assert!(matches!(why, StoreError::Disk { .. }), "{why:?}");
    assert!(
        why.to_string()
            .contains("free some, then run `prentice tasks resume`")
    );
    // Several at once: every one is told, none is half there.
    let (a, b, c) = tokio::join!(
        store.deliver(heard(task.task.id), None),
        store.deliver(heard(task.task.id), None),
        store.create(InputId(2), Box::new(|id| born(id, vec![Effect::Publish]))),
    );
    assert!(a.is_err() && b.is_err() && c.is_err());
    let artifact = store
        .put_artifact(None, ArtifactKind::Log, Content::Bytes(vec![1; 9000]))
        .await;
    assert!(
        matches!(artifact, Err(StoreError::Disk { .. })),
        "{artifact:?}"
    );
    // What was, is, and can be read.
    assert_eq!(store.load(task.task.id).await.unwrap(), Some(task.clone()));
    assert_eq!(store.pending().await.unwrap().inputs, accepted);
    // A start on a full disk says what it is, or reads; and the lock is still to be had.
    let clock: Arc<dyn Clock> = Arc::clone(&w.clock) as _;
    match open(&w.data, clock, Arc::new(Unwatched)).await {
        Ok(second) => {
            assert_eq!(second.load(task.task.id).await.unwrap(), Some(task.clone()));
            second.close().await;
        }
        Err(why) => assert!(matches!(why, StoreError::Disk { .. }), "{why:?}"),
    }
    drop(DataLock::acquire(&w.data, "prentice tasks resume", w.clock.as_ref(), &IDS).unwrap());
    drop(filling);
    std::fs::remove_file(&ballast).unwrap();
    // Goes on by itself, and after another start.
    store.deliver(heard(task.task.id), None).await.unwrap();
    store.close().await;
    let store = w.open().await;
    assert_eq!(store.pending().await.unwrap().inputs, accepted + 1);
    w.moved(&*store, task.task.id, Stage::Proposed, vec![])
        .await;
    assert_eq!(
        store.prune_artifacts().await.unwrap(),
        0,
        "nothing half stored is left"
    );
    store.close().await;
}

// ---- Death at any moment.

const CHILD: &str = "PRENTICE_TEST_STORE_CHILD";

/// The process that is killed. It tells each row on stdout after it was acknowledged.
async fn the_process_that_is_killed(dir: String) {
    let (data, round) = dir.split_once('#').unwrap();
    let w = World::at(data.into());
    let round = round.to_owned();
    let store = w.open().await;
    let lock = DataLock::acquire(
        &w.data,
        "killed",
        w.clock.as_ref(),
        &CountedIds(AtomicU64::new(1)),
    )
    .unwrap();
    store.recover(&lock).await.unwrap();
    // Some only deliver, as hooks do.
    for sender in 0..4 {
        let (store, round) = (Arc::clone(&store), round.clone());
        tokio::spawn(async move {
            for number in 0.. {
                let key = format!("{round}/{sender}/{number}");
                let arrival = Arrival::Request(Box::new(new_task()));
                let sent = store.deliver(arrival, Some(key)).await.unwrap();
                println!("input {}", sent.input.0);
            }
        });
    }
    // One decides and performs.
    loop {
        if let Some(input) = store.next_input().await.unwrap() {
            match input.arrival {
                Arrival::Request(_) => {
                    let effects = vec![Effect::Run { run: 1 }, Effect::Publish];
                    let made = store
                        .create(input.id, Box::new(|id| born(id, effects)))
                        .await
                        .unwrap();
                    println!("task {} {}", made.task.id.0, made.version.0);
                }
                Arrival::Event { task, .. } => {
                    let before = store.load(task).await.unwrap().unwrap();
                    let effects = vec![Effect::Publish];
                    let decision = decision(before.task, Stage::Proposed, effects);
                    let version = store
                        .commit(input.id, before.version, decision)
                        .await
                        .unwrap();
                    println!("task {} {}", task.0, version.0);
                }
            }
        }
        if let Some(claim) = claim(&*store, &lock).await {
            let content = Content::Bytes(claim.effect.key(claim.task).into_bytes());
            let log = store
                .put_artifact(Some(claim.task), ArtifactKind::Log, content)
                .await
                .unwrap();
            println!("artifact {} {}", claim.task.0, log.sha256);
            let answers = match claim.effect {
                Effect::Run { .. } => vec![Event::Heard { run: 1 }],
                _ => vec![],
            };
            store.finish(&claim, answers).await.unwrap();
            println!("job {} {}", claim.task.0, claim.effect.key(claim.task));
        }
    }
}

fn start_child(w: &World, round: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::only_sqlite::what_was_acknowledged_survives_kill_9",
        ])
        .args(["--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{}#{round}", w.data.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    // This test starts its own program once more, to be killed.
    if let Ok(dir) = std::env::var(CHILD) {
        return the_process_that_is_killed(dir).await;
    }
    const KILLS: u32 = 20;
    let w = World::on(tempfile::tempdir().unwrap());
    let (mut told, mut lines) = (Vec::new(), 0);
    for round in 0..KILLS {
        let mut child = start_child(&w, round);
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        // Let it get to work, then end it after a time that differs each round.
        let first = out
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.starts_with("input "));
        let more = Duration::from_millis(u64::from(round * 37 % 150));
        let id = child.id();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(more);
            Command::new("kill")
                .args(["-9", &id.to_string()])
                .status()
                .unwrap();
        });
        told.push(first.expect("it works"));
        told.extend(out.map_while(Result::ok));
        killer.join().unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&ended),
            Some(9)
        );
        lines += told.len();

        let store = w.open().await;
        for acknowledged in told.drain(..) {
            let words: Vec<&str> = acknowledged.split(' ').collect();
            // The last line may have been cut by the kill; then it says less than was done.
            match words.as_slice() {
                ["input", id] => {
                    let id = InputId(id.parse().unwrap());
                    assert!(store.outcome(id).await.unwrap().is_some(), "lost {id:?}");
                }
                ["task", id, version] => {
                    let record = store.load(TaskId(id.parse().unwrap())).await.unwrap();
                    let stored = record.expect("lost a task").version;
                    assert!(stored.0 >= version.parse().unwrap(), "lost a move");
                }
                ["artifact", id, sha] => {
                    let kept = store.artifacts(TaskId(id.parse().unwrap())).await.unwrap();
                    let found = kept
                        .iter()
                        .find(|kept| kept.sha256.as_str().starts_with(sha));
                    let digest = &found.expect("lost an artifact").sha256;
                    assert!(
                        store.artifact(digest).await.unwrap().is_some(),
                        "row without file"
                    );
                }
                ["job", id, key] => {
                    let jobs = store.jobs(TaskId(id.parse().unwrap())).await.unwrap();
                    assert!(
                        jobs.iter()
                            .any(|job| job.key.starts_with(key) && job.epoch >= 1),
                        "lost a job"
                    );
                }
                _ => {}
            }
        }
        whole(&w, &*store).await;
        store.close().await;
    }
    say(&format!(
        "kill -9: {KILLS} kills, {lines} acknowledged, 0 lost"
    ));
    assert!(
        lines > KILLS as usize * 10,
        "too little was going on: {lines}"
    );
}

/// Nothing is half there, whatever was acknowledged.
async fn whole(w: &World, store: &dyn Store) {
    let mut c = raw(w).await;
    let check: String = sqlx::query_scalar("pragma integrity_check")
        .fetch_one(&mut c)
        .await
        .unwrap();
    assert_eq!(check, "ok");
    for (what, count) in [
        (
            "tasks whose version is not their journal's length",
            "select count(*) from tasks t where version <> (select count(*) from journal where task = t.id)",
        ),
        (
            "tasks without their jobs",
            "select count(*) from tasks t where 2 <> (select count(*) from jobs where task = t.id)",
        ),
        (
            "settled inputs without journal line",
            "select count(*) from deliveries d where state = 'done' and not exists (select 1 from journal where input = d.id and task = d.task and seq = d.seq)",
        ),
        (
            "runs that ended without their answer",
            "select count(*) from jobs j where kind = 'run' and state = 'done' and 1 <> (select count(*) from deliveries where kind = 'event' and task = j.task)",
        ),
        (
            "runs that go on and answered already",
            "select count(*) from jobs j where kind = 'run' and state <> 'done' and exists (select 1 from deliveries where kind = 'event' and task = j.task)",
        ),
        (
            "keys twice",
            "select count(*) - count(distinct dedup_key) from deliveries where kind = 'request'",
        ),
    ] {
        let found: i64 = sqlx::query_scalar(count).fetch_one(&mut c).await.unwrap();
        assert_eq!(found, 0, "{what}");
    }
    c.close().await.unwrap();
    store.prune_artifacts().await.unwrap();
}
