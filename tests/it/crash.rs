//! Killed with -9, before and after every durable step and at random: the next start ends where an undisturbed
//! run ends. Real program, real git, real sandbox; `PRENTICE_CRASH_AT` ends it at a step by its
//! name (`src/app/crash.rs`).
//!
//! A road is one command on a world that earlier commands prepared. For each step the world is put back, the
//! command killed there, and `tasks resume` started; where the kill was before anything was stored, so that there is
//! nothing to resume, the command is given again. Then everything that a person can see is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prentice::domain::event::Event;
use prentice::domain::ident::{TaskId, Time};
use prentice::store::{Clock, JournalLine, TaskFilter, Unwatched};

const PROGRAM: &str = env!("CARGO_BIN_EXE_prentice");
const TASK: TaskId = TaskId(1);
const BRANCH: &str = "agent/1-value-should-be-two";

const ISSUE: &str = "# value should be two\n\n### Goal\n\nIt is one.\n\n### Acceptance criteria\n\n\
                     - [ ] `value` is 2 (`check-1`)\n";

/// Part of the repository, so that the sandbox has it. The last word is a mark to find its processes by.
const AGENT: &str = r#"case $1 in
fix) echo 2 > value ;;
adds-dependency) echo 2 > value; echo '{"dependencies":{"left-pad":"1"}}' > package.json ;;
asks)
    case "$(cat)" in
    *"the number two"*) echo 2 > value ;;
    *)
        echo draft > draft.txt
        echo '{"type":"ask","question":"Which one?","choices":["the number two","three"],"default":"the number two"}'
        exit 20 ;;
    esac ;;
esac
"#;

/// A command typed.
#[derive(Clone, Copy)]
enum Typed {
    /// `prentice run`, with the agent of this word and this check.
    Run(&'static str, &'static str),
    /// The same with the agent that fixes it, killed at this point.
    Killed(&'static str),
    /// `prentice tasks`, with these words.
    Tasks(&'static [&'static str]),
}

use Typed::{Killed, Run, Tasks};

/// One way from a world to another, by one command.
struct Road {
    name: &'static str,
    /// Commands before it, undisturbed.
    before: &'static [Typed],
    command: Typed,
    /// The stage it ends in.
    ends: &'static str,
    /// Where another road walks the same first steps, the point that ends them.
    shared_until: Option<&'static str>,
}

const CHECK: &str = "sh t.sh";

const ROADS: [Road; 8] = [
    Road {
        name: "run",
        before: &[],
        command: Run("fix", CHECK),
        ends: "needs-review",
        shared_until: None,
    },
    Road {
        name: "run that needs approval",
        before: &[],
        command: Run("adds-dependency", "true"),
        ends: "needs-approval",
        shared_until: Some("before mirror result#1"),
    },
    Road {
        name: "approve",
        before: &[Run("adds-dependency", "true")],
        command: Tasks(&["approve", "T-1", "r1"]),
        ends: "needs-review",
        shared_until: None,
    },
    Road {
        name: "run that asks",
        before: &[],
        command: Run("asks", "true"),
        ends: "needs-info",
        shared_until: Some("before mirror result#1"),
    },
    Road {
        name: "answer",
        before: &[Run("asks", "true")],
        command: Tasks(&["answer", "T-1", "defaults"]),
        ends: "needs-review",
        shared_until: Some("before mirror result#1"),
    },
    Road {
        name: "reject",
        before: &[Run("fix", "true")],
        command: Tasks(&["reject", "T-1", "not", "now"]),
        ends: "rejected",
        shared_until: None,
    },
    // The branch is there, but nobody was told so.
    Road {
        name: "killed publishing, then reject",
        before: &[Killed("after ref agent/1-value-should-be-two#1")],
        command: Tasks(&["reject", "T-1", "not", "now"]),
        ends: "rejected",
        shared_until: None,
    },
    Road {
        name: "killed publishing, then stop",
        before: &[Killed("after rename T-1/pull.json#1")],
        command: Tasks(&["stop", "T-1"]),
        ends: "stopped",
        shared_until: None,
    },
];

/// Folder of one repository, one data folder and one issue; it can be put back to where a road begins.
struct World {
    folder: tempfile::TempDir,
    mark: String,
}

/// What is to be the same after every kill.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sight {
    stage: String,
    /// Every ref of the user's repository, and where it points.
    refs: BTreeMap<String, String>,
    /// Commit objects that the mirror keeps for the task, times checked and left out.
    results: BTreeSet<String>,
    journal: Vec<String>,
    /// Report, status, pull request, checks and comments.
    files: BTreeMap<String, String>,
    /// Kinds of what is stored, and how much.
    artifacts: BTreeMap<&'static str, usize>,
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Time {
        Time(0)
    }
}

impl World {
    fn new(road: &Road, number: usize) -> Self {
        let memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        builder.prefix("prentice-crash-");
        // These tests do not cut the power, so memory is as good as a disk, and faster.
        let folder = match memory.is_dir() {
            true => builder.tempdir_in(memory),
            false => builder.tempdir(),
        };
        let folder = folder.unwrap();
        let mark = format!("mark-{}-{number}", std::process::id());
        let world = Self { folder, mark };
        for dir in ["home", "now/repo"] {
            fs::create_dir_all(world.path(dir)).unwrap();
        }
        fs::write(world.path("issue.md"), ISSUE).unwrap();
        fs::write(world.path("now/repo/value"), "1\n").unwrap();
        fs::write(world.path("now/repo/t.sh"), "test \"$(cat value)\" = 2\n").unwrap();
        fs::write(world.path("now/repo/agent.sh"), AGENT).unwrap();
        for words in [
            &["init", "-q", "-b", "main"][..],
            &["add", "."],
            &["commit", "-q", "-m", "base"],
        ] {
            world.git(words);
        }
        for typed in road.before {
            let at = match typed {
                Killed(point) => Some(*point),
                Run(..) | Tasks(_) => None,
            };
            let status = world.start(*typed, at).wait().unwrap();
            assert_eq!(was_killed(status), at.is_some(), "{}", world.printed());
            assert!(at.is_some() || matches!(status.code(), Some(0 | 7)));
        }
        world.copy("now", "begin");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("now/state/prentice")
    }

    fn copy(&self, from: &str, to: &str) {
        prentice::sandbox::remove(&self.path(to)).unwrap();
        let copied = Command::new("cp")
            .arg("-a")
            .args([self.path(from), self.path(to)])
            .status();
        assert!(copied.unwrap().success());
    }

    /// Puts the world back to where the road begins.
    fn again(&self) {
        self.copy("begin", "now");
        let _ = fs::remove_file(self.path("points"));
    }

    fn git(&self, words: &[&str]) -> String {
        let done = Command::new("git")
            .args(["-C"])
            .arg(self.path("now/repo"))
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/local/bin")
            .envs([
                ("GIT_AUTHOR_NAME", "a"),
                ("GIT_AUTHOR_EMAIL", "a@localhost"),
            ])
            .envs([
                ("GIT_COMMITTER_NAME", "a"),
                ("GIT_COMMITTER_EMAIL", "a@localhost"),
            ])
            .envs([
                ("GIT_AUTHOR_DATE", "@1700000000 +0000"),
                ("GIT_COMMITTER_DATE", "@1700000000 +0000"),
            ])
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "git {words:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap()
    }

    /// Starts a command; with `crash` it ends itself at that point (`never` = at none), and its points are listed.
    fn start(&self, typed: Typed, crash: Option<&str>) -> Child {
        let mut command = self.program();
        let typed = match typed {
            Killed(_) => Run("fix", "true"),
            typed => typed,
        };
        match typed {
            Run(word, check) => command
                .arg("run")
                .arg(self.path("issue.md"))
                .arg("--repo")
                .arg(self.path("now/repo"))
                .args(["--verify", check, "--agent-cmd"])
                .arg(format!("sh agent.sh {word} {}", self.mark)),
            Tasks(words) => command.arg("tasks").args(words),
            Killed(_) => unreachable!("it is a run"),
        };
        if let Some(crash) = crash {
            command
                .env("PRENTICE_CRASH_AT", crash)
                .env("PRENTICE_CRASH_LOG", self.path("points"));
        }
        command.spawn().unwrap()
    }

    fn program(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/local/bin")
            .env("HOME", self.path("home"))
            .env("USER", "tester")
            .env("XDG_STATE_HOME", self.path("now/state"))
            // Slots of its own, so that what other tests have in them is not taken for ours.
            .env("RUNTIME_DIRECTORY", self.path("now/state/prentice"))
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.path("out")).unwrap())
            .stderr(fs::File::create(self.path("err")).unwrap());
        command
    }

    /// What the last command printed.
    fn printed(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        format!("{}{}", read("out"), read("err"))
    }

    /// The points met since the world was put back.
    fn points(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("points")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The next starts after a kill, until there is nothing left to do.
    fn go_on(&self, road: &Road, by_number: bool) -> Result<(), String> {
        // What was killed before would go on by itself; it is the command that is to meet it.
        let is_cut = road.before.iter().any(|typed| matches!(typed, Killed(_)));
        for _ in 0..2 {
            if is_cut && !self.heard(road.command) && !self.has_input() {
                let status = self.start(road.command, None).wait().unwrap();
                if status.code() != Some(0) {
                    return Err(format!("the command ended as {status}: {}", self.printed()));
                }
                return Ok(());
            }
            let words: &[&str] = match by_number && self.is_known() {
                true => &["resume", "T-1"],
                false => &["resume"],
            };
            let status = self.start(Tasks(words), None).wait().unwrap();
            // Killed after its last step, there may be nothing left to go on with.
            let idle = ["there is nothing to resume", "which is final"]
                .iter()
                .any(|said| self.printed().contains(said));
            if !matches!(status.code(), Some(0 | 7)) && !idle {
                return Err(format!("resume ended as {status}: {}", self.printed()));
            }
            if self.heard(road.command) {
                return Ok(());
            }
            let status = self.start(road.command, None).wait().unwrap();
            if !matches!(status.code(), Some(0 | 7)) {
                return Err(format!("the command ended as {status}: {}", self.printed()));
            }
        }
        Ok(())
    }

    fn is_known(&self) -> bool {
        self.read(|_, _, _| ()).is_some()
    }

    /// Whether something arrived that is not decided yet.
    fn has_input(&self) -> bool {
        self.read(|_, _, left| left.inputs > 0).unwrap_or(false)
    }

    /// Whether the journal has what the command does.
    fn heard(&self, typed: Typed) -> bool {
        let wanted = move |event: &Event| match typed {
            Run(..) | Killed(_) => true,
            Tasks(words) => match event {
                Event::Stopped { .. } => words.first() == Some(&"stop"),
                Event::Approved { .. } => words.first() == Some(&"approve"),
                Event::Answered { .. } => words.first() == Some(&"answer"),
                Event::Rejected { .. } => words.first() == Some(&"reject"),
                _ => false,
            },
        };
        self.read(|_, journal, _| {
            journal
                .iter()
                .any(|line| line.event.as_ref().is_some_and(wanted))
        })
        .unwrap_or(false)
    }

    /// Reads the task, its journal and the kinds of its artifacts; `None` where there is no task.
    fn read<T>(
        &self,
        look: impl FnOnce(&prentice::domain::task::Task, Vec<JournalLine>, Left) -> T,
    ) -> Option<T> {
        let data = self.data();
        if !data.join("prentice.db").exists() {
            return None;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let store = prentice::store::open(&data, Arc::new(Fixed), Arc::new(Unwatched));
            let store = store.await.unwrap();
            let tasks = store.tasks(&TaskFilter::default()).await.unwrap();
            let journal = store.journal(TASK).await.unwrap();
            let mut left = Left {
                tasks: tasks.len(),
                ..Left::default()
            };
            let pending = store.pending().await.unwrap();
            // By a clock that stands at nought nothing is due, so that `later` has all.
            left.inputs = pending.inputs;
            left.jobs = pending.inputs + pending.due + pending.in_flight;
            for job in store.jobs(TASK).await.unwrap() {
                use prentice::store::{JobKind, JobState};
                let timer = JobKind::of(&job.effect) == JobKind::Wait;
                let open = matches!(job.state, JobState::Pending | JobState::Claimed { .. });
                left.jobs += u64::from(open && !timer);
            }
            for artifact in store.artifacts(TASK).await.unwrap() {
                *left.artifacts.entry(artifact.kind.word()).or_default() += 1;
            }
            let found = store.load(TASK).await.unwrap();
            store.close().await;
            found.map(|record| look(&record.task, journal, left))
        })
    }

    /// Everything that is to be the same, and what is left behind that should not be.
    fn sight(&self) -> Result<Sight, String> {
        let mirror = self.mirror();
        let seen = self.read(|task, journal, left| {
            let mut wrong = Vec::new();
            if left.jobs > 0 {
                wrong.push(format!("{} inputs or jobs are left", left.jobs));
            }
            if left.tasks != 1 {
                wrong.push(format!("{} tasks", left.tasks));
            }
            if crate::worker::replay(TASK, &journal) != *task {
                wrong.push("the journal tells of another task than the one stored".to_owned());
            }
            let mut results = BTreeSet::new();
            let mut names = Vec::new();
            for id in result_refs(&mirror) {
                let objects = mirror.odb().unwrap();
                let raw = objects.read(id).unwrap().data().to_vec();
                let raw = String::from_utf8(raw).unwrap();
                // Same bytes, same name: the commit is that of the other run but for the time the brief was accepted.
                let secs = task.accepted_at.0.div_euclid(1000);
                let stamp = format!("{secs} +0000");
                if raw.matches(&stamp).count() != 2 {
                    wrong.push(format!("{id} is not of the time the brief was accepted"));
                }
                let kind = match raw.contains("unfinished work, kept") {
                    true => "KEPT",
                    false => "RESULT",
                };
                results.insert(raw.replace(&stamp, "ACCEPTED"));
                names.push((id.to_string(), kind));
            }
            // What was let go of is still named by the journal.
            let newest = task.revision.as_ref().map(|newest| &newest.result.head);
            names.extend(newest.map(|head| (head.to_string(), "RESULT")));
            let plain = |text: &str| {
                let mut text = text.to_owned();
                for (id, kind) in &names {
                    text = text.replace(id, kind).replace(&id[..7], kind);
                }
                let world = self.folder.path().display().to_string();
                without_times(&text.replace(&world, "WORLD").replace(&self.mark, "MARK"))
            };
            let result = task.revision.as_ref().map(|revision| &revision.result.head);
            let refs = self.refs();
            if let (Some(head), Some(at)) = (result, refs.get(&format!("refs/heads/{BRANCH}")))
                && head.to_string() != *at
            {
                wrong.push(format!("the branch is at {at}, the result is {head}"));
            }
            let refs = refs
                .into_iter()
                .map(|(name, at)| (name, plain(&at)))
                .collect();
            let sight = Sight {
                stage: task.word().to_owned(),
                refs,
                results,
                journal: once(&journal).map(|line| plain(&told(line))).collect(),
                files: self.files(&plain),
                artifacts: left.artifacts,
            };
            (sight, wrong)
        });
        let Some((sight, mut wrong)) = seen else {
            return Err("there is no task".to_owned());
        };
        wrong.extend(self.left_behind());
        if wrong.is_empty() {
            Ok(sight)
        } else {
            Err(wrong.join("; "))
        }
    }

    fn mirror(&self) -> git2::Repository {
        let repos = fs::read_dir(self.data().join("repos")).unwrap().flatten();
        let mut folders = repos.filter(|entry| entry.path().is_dir());
        let found = folders.next().unwrap().path().join("mirror.git");
        assert!(folders.next().is_none(), "one repository, one mirror");
        git2::Repository::open_bare(found).unwrap()
    }

    /// The results that the mirror keeps now; none before there is a mirror.
    fn kept_now(&self) -> BTreeSet<git2::Oid> {
        let repos = fs::read_dir(self.data().join("repos"));
        let mut mirrors = repos
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("mirror.git"));
        match mirrors.any(|mirror| mirror.is_dir()) {
            true => result_refs(&self.mirror()).into_iter().collect(),
            false => BTreeSet::new(),
        }
    }

    fn refs(&self) -> BTreeMap<String, String> {
        let listed = self.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let line = |line: &str| line.split_once(' ').map(|(a, b)| (a.into(), b.into()));
        listed.lines().filter_map(line).collect()
    }

    /// The files of the report. How many stages were shown on the way depends on who was quicker.
    fn files(&self, plain: &dyn Fn(&str) -> String) -> BTreeMap<String, String> {
        let root = self.data().join("tasks/T-1");
        let mut files = BTreeMap::new();
        for path in below(&root) {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            if !name.starts_with("history/") {
                files.insert(name, plain(&fs::read_to_string(&path).unwrap()));
            }
        }
        files
    }

    /// Whatever a kill must not leave once the task is at rest again.
    fn left_behind(&self) -> Vec<String> {
        let mut left = Vec::new();
        let data = self.data();
        let entries = |name: &str| {
            fs::read_dir(data.join(name))
                .into_iter()
                .flatten()
                .flatten()
        };
        for entry in entries("work") {
            left.push(format!("work/{}", entry.file_name().display()));
        }
        for entry in entries("slots") {
            let name = entry.file_name().display().to_string();
            if entry.path().is_dir() {
                left.push(format!("slots/{name}"));
            }
        }
        for path in below(&data.join("tasks")) {
            // A stage that passed meanwhile is not written again; clean-up takes what was beside it.
            let passed = path
                .parent()
                .is_some_and(|folder| folder.ends_with("history"));
            if path.extension().is_some_and(|ending| ending == "tmp") && !passed {
                left.push(path.display().to_string());
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let orphans = runtime.unwrap().block_on(async {
            let store = prentice::store::open(&data, Arc::new(Fixed), Arc::new(Unwatched));
            let store = store.await.unwrap();
            let orphans = store.prune_artifacts().await.unwrap();
            store.close().await;
            orphans
        });
        if orphans > 0 {
            left.push(format!("{orphans} artifacts that nothing names"));
        }
        for path in below(&data.join("artifacts")) {
            if path
                .file_name()
                .is_some_and(|name| name.display().to_string().starts_with('.'))
            {
                left.push(path.display().to_string());
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        if mounts.contains(&self.folder.path().display().to_string()) {
            left.push("a mount".to_owned());
        }
        let slots = data.join("slots").metadata().unwrap();
        let groups = format!("prentice-{:x}-{:x}-", slots.dev(), slots.ino());
        left.extend(groups_named(&groups));
        // One that was just being started reads its program first, from a disk that may be busy.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.processes(&groups).is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        left.extend(self.processes(&groups));
        let changed = self.git(&["status", "--porcelain", "--ignored"]);
        if !changed.is_empty() {
            left.push(format!("changes in the user's work tree: {changed}"));
        }
        for path in below(&self.path("now/repo/.git")) {
            let name = path.file_name().unwrap().display().to_string();
            // An object half written, as any killed git leaves it, is git's own to prune.
            let object = name.starts_with("tmp_obj_");
            let is_lock = path.extension().is_some_and(|ending| ending == "lock");
            if is_lock || (name.starts_with("tmp") && !object) {
                left.push(path.display().to_string());
            }
        }
        left
    }

    /// Processes of this world's sandboxes: by the agent's mark, or by their control group.
    fn processes(&self, groups: &str) -> Vec<String> {
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| {
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            let theirs = String::from_utf8_lossy(&read("cgroup")).contains(groups);
            (theirs || line.contains(&self.mark))
                .then(|| format!("process {} ({line})", entry.file_name().display()))
        })
        .collect()
    }
}

/// What is not yet done, and what is stored.
#[derive(Default)]
struct Left {
    tasks: usize,
    inputs: u64,
    jobs: u64,
    artifacts: BTreeMap<&'static str, usize>,
}

fn result_refs(mirror: &git2::Repository) -> Vec<git2::Oid> {
    let refs = mirror.references_glob("refs/prentice/result/*").unwrap();
    refs.map(|found| found.unwrap().target().unwrap()).collect()
}

/// All files below a folder, none where it is not there.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

fn groups_named(prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name().display().to_string();
                if name.starts_with(prefix) {
                    found.push(entry.path().display().to_string());
                }
                todo.push(entry.path());
            }
        }
    }
    found
}

/// The journal without what a further attempt repeats: of each run, the steps of the last attempt count.
fn once(journal: &[JournalLine]) -> impl Iterator<Item = &JournalLine> {
    let step_of = |line: &JournalLine| match line.event {
        Some(Event::RunStarted { run, .. }) => Some((run, true)),
        Some(Event::Progressed { run, .. }) => Some((run, false)),
        _ => None,
    };
    journal.iter().enumerate().filter_map(move |(at, line)| {
        let Some((run, _)) = step_of(line) else {
            return Some(line);
        };
        let later = journal.get(at + 1..).unwrap_or_default();
        let begun_again = later.iter().any(|line| step_of(line) == Some((run, true)));
        (!begun_again).then_some(line)
    })
}

/// A journal line with its whole event, attempts left out.
fn told(line: &JournalLine) -> String {
    let mut event = serde_json::to_value(&line.event).unwrap();
    if matches!(line.event, Some(Event::RunStarted { .. })) {
        event.as_object_mut().unwrap().remove("attempt");
        return event.to_string();
    }
    format!("{} {event}", line.note)
}

/// Times of day and durations become a word.
fn without_times(text: &str) -> String {
    let all = [
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?Z?", "TIME"),
        (r"\b\d\d:\d\d UTC", "TIME"),
        (r#""(\w+_ms|millis|at|\w+_at)":\d+"#, "\"$1\":0"),
        (r"\b\d+(\.\d+)? (ms|s|min)\b", "DURATION"),
    ];
    all.iter().fold(text.to_owned(), |text, (pattern, word)| {
        let pattern = regex::Regex::new(pattern).unwrap();
        pattern.replace_all(&text, *word).into_owned()
    })
}

fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// What is different, part by part.
fn differences(expected: &Sight, found: &Sight) -> String {
    let mut all = Vec::new();
    let mut compare = |what: &str, a: String, b: String| {
        if a != b {
            all.push(format!("{what}:\n  expected {a}\n  found    {b}"));
        }
    };
    compare("stage", expected.stage.clone(), found.stage.clone());
    compare(
        "refs",
        format!("{:?}", expected.refs),
        format!("{:?}", found.refs),
    );
    compare(
        "results",
        format!("{:?}", expected.results),
        format!("{:?}", found.results),
    );
    compare(
        "journal",
        expected.journal.join("\n    "),
        found.journal.join("\n    "),
    );
    compare(
        "artifacts",
        format!("{:?}", expected.artifacts),
        format!("{:?}", found.artifacts),
    );
    let names: BTreeSet<_> = expected.files.keys().chain(found.files.keys()).collect();
    for name in names {
        compare(
            name,
            format!("{:?}", expected.files.get(name)),
            format!("{:?}", found.files.get(name)),
        );
    }
    all.join("\n")
}

/// The road undisturbed: what it comes to, the points on it, and how long it took.
fn undisturbed(world: &World, road: &Road) -> (Sight, Vec<String>, Duration) {
    world.again();
    let started = Instant::now();
    let status = world.start(road.command, Some("never")).wait().unwrap();
    let took = started.elapsed();
    assert!(
        matches!(status.code(), Some(0 | 7)),
        "{}: {status}: {}",
        road.name,
        world.printed()
    );
    let sight = world
        .sight()
        .unwrap_or_else(|wrong| panic!("{}: {wrong}", road.name));
    assert_eq!(sight.stage, road.ends, "{}", road.name);
    if matches!(road.ends, "rejected" | "stopped") {
        let branches: Vec<_> = sight
            .refs
            .keys()
            .filter(|name| name.contains("agent"))
            .collect();
        assert!(branches.is_empty(), "{}: {branches:?} are left", road.name);
    }
    (sight, world.points(), took)
}

/// Goes on after a kill and compares.
fn recovered(world: &World, road: &Road, sight: &Sight, by_number: bool) -> Result<(), String> {
    let before = world.kept_now();
    world.go_on(road, by_number)?;
    let found = world.sight()?;
    let after = world.kept_now();
    // What was made before the kill is made again under the same name, never beside it.
    if road.ends != "rejected" && !before.is_subset(&after) {
        return Err(format!("results {before:?} became {after:?}"));
    }
    match found == *sight {
        true => Ok(()),
        false => Err(differences(sight, &found)),
    }
}

fn is_long() -> bool {
    std::env::var("PRENTICE_TEST_LONG").is_ok_and(|long| long == "1")
}

/// Does `work` for each of the numbers, several at a time, each thread on a world of its own.
fn for_each(
    road: &Road,
    numbers: &[usize],
    work: impl Fn(&World, usize) -> Result<(), String> + Sync,
) -> Vec<String> {
    static WORLDS: AtomicUsize = AtomicUsize::new(0);
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4.min(numbers.len()) {
            scope.spawn(|| {
                let world = World::new(road, WORLDS.fetch_add(1, Ordering::SeqCst));
                while let Some(number) = numbers.get(next.fetch_add(1, Ordering::SeqCst)) {
                    world.again();
                    if let Err(why) = work(&world, *number) {
                        let told = format!("{} at {number}: {why}", road.name);
                        wrong.lock().unwrap().push(told);
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

/// The name of a point without its numbers: neither how often it was met, nor how many stages were shown before.
fn step_of(point: &str) -> String {
    let step = point.rsplit_once('#').map_or(point, |(step, _)| step);
    let number = regex::Regex::new(r"/history/\d+-").unwrap();
    number.replace(step, "/history/").into_owned()
}

#[test]
fn killed_at_any_durable_step_the_next_start_ends_the_same() {
    let begun = Instant::now();
    let mut wrong = Vec::new();
    let (mut met, mut killed) = (0, 0);
    let (mut steps, mut there) = (BTreeSet::new(), BTreeSet::new());
    for road in &ROADS {
        let world = World::new(road, usize::MAX);
        let (sight, points, _) = undisturbed(&world, road);
        let from = road
            .shared_until
            .filter(|_| !is_long())
            .map_or(Some(0), |until| points.iter().position(|p| p == until));
        let points = points.get(from.unwrap()..).unwrap();
        let numbers: Vec<usize> = (0..points.len()).collect();
        let here = Mutex::new(Vec::new());
        wrong.extend(for_each(road, &numbers, |world, number| {
            let point = points[number].as_str();
            // How many stages are shown on the way, and which things are stored by one commit, depends
            // on who was quicker: a point that was not met this time is tried again.
            for _ in 0..4 {
                world.again();
                let status = world.start(road.command, Some(point)).wait().unwrap();
                if !was_killed(status) && !matches!(status.code(), Some(0 | 7)) {
                    return Err(format!("{point}: ended as {status}: {}", world.printed()));
                }
                recovered(world, road, &sight, number % 2 == 0)
                    .map_err(|why| format!("{point}: {why}"))?;
                if was_killed(status) {
                    here.lock().unwrap().push(point.to_owned());
                    break;
                }
            }
            Ok(())
        }));
        let here = here.into_inner().unwrap();
        println!(
            "{}: killed at {} of {} points",
            road.name,
            here.len(),
            points.len()
        );
        for point in points.iter().filter(|point| !here.contains(point)) {
            println!("    not met again: {point}");
        }
        met += points.len();
        killed += here.len();
        steps.extend(here.iter().map(|point| step_of(point)));
        there.extend(points.iter().map(|point| step_of(point)));
    }
    println!(
        "killed at {killed} of {met} points in {} s: {steps:#?}",
        begun.elapsed().as_secs()
    );
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(killed >= 250, "{killed}");
    // Each step was killed on some road; how often it comes by on one depends on who was quicker.
    let missed: Vec<_> = there.difference(&steps).collect();
    assert!(missed.is_empty(), "never killed {missed:?}");
    assert!(killed * 100 >= met * 90, "{killed} of {met}");
    for step in [
        "commit deliver",
        "commit create",
        "commit claim",
        "commit progress",
        "commit commit",
        "commit finish",
        "commit artifact",
        "commit drop-artifacts",
        "mirror base",
        "mirror result",
        "mirror forget",
        "rename artifact",
        "rename T-1/PR.md",
        "rename T-1/pull.json",
        "rename T-1/status.md",
        "rename T-1/comments/001-entry-1.md",
        "clean-up of T-1",
        &format!("ref {BRANCH}"),
    ] {
        for side in ["before", "after"] {
            let step = format!("{side} {step}");
            assert!(steps.contains(&step), "never killed {step}");
        }
    }
}

#[test]
fn killed_at_random_the_next_start_ends_the_same() {
    let times = if is_long() { 500 } else { 20 };
    let mut wrong = Vec::new();
    let mut killed = 0;
    for (index, road) in ROADS.iter().enumerate() {
        let world = World::new(road, usize::MAX);
        let (sight, _, took) = undisturbed(&world, road);
        let numbers: Vec<usize> = (index..times).step_by(ROADS.len()).collect();
        let count = AtomicUsize::new(0);
        wrong.extend(for_each(road, &numbers, |world, number| {
            let mut child = world.start(road.command, None);
            let after = took.mul_f64((random() % 1_000) as f64 / 1_000.0);
            std::thread::sleep(after);
            child.kill().unwrap();
            count.fetch_add(
                usize::from(was_killed(child.wait().unwrap())),
                Ordering::SeqCst,
            );
            recovered(world, road, &sight, number % 2 == 0)
                .map_err(|why| format!("killed after {after:?}: {why}"))
        }));
        killed += count.into_inner();
    }
    println!("{times} kills at random, {killed} before the end");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(killed * 2 >= times, "{killed}");
}

fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish()
}
