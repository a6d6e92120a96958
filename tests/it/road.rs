//! The road as conversations with the shipped program: real git, real sandbox, one data folder per test.

mod bad_input;
mod endings;
mod evidence;
mod interrupted;
mod limits;
mod people;
mod progress;
mod referee;
mod told;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What governs the repository of most tests.
const SETTINGS: &str = "\
version = 1

[[verify]]
name = \"tests\"
run = \"grep -qx right answer.txt\"
confirm = \"never\"
";

const ISSUE: &str = "\
# The answer is wrong

### Goal

`answer.txt` says wrong; it should say right.

### Acceptance criteria

- [ ] The answer is right (`tests`)
";

/// An agent that does what was asked.
const FIX: &str = "sh -c 'echo right > answer.txt'";

/// No command of these tests takes this long; one that does is a failure, not a hang.
const PATIENCE: Duration = Duration::from_secs(90);

/// A user's machine: a home, a repository with a wrong answer, an issue, a data folder.
struct Road {
    folder: PathBuf,
}

/// What a command of the program came to.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Road {
    fn new() -> Self {
        Self::with(SETTINGS)
    }

    /// With this repository file.
    fn with(settings: &str) -> Self {
        let road = Self::empty();
        road.git(&["init", "-q", "-b", "main", "."]);
        road.write("repo/answer.txt", "wrong\n");
        road.write("repo/.github/prentice.toml", settings);
        road.commit("the answer");
        road
    }

    /// Without a repository.
    fn empty() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("prentice-road-")
            .tempdir()
            .unwrap()
            .keep();
        let road = Self { folder };
        for name in ["home", "repo", "state"] {
            fs::create_dir(road.path(name)).unwrap();
        }
        road.write("issue.md", ISSUE);
        road
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    /// A program with the environment of this machine's user, and nothing of the tester's.
    fn process(&self, program: impl AsRef<OsStr>) -> Process {
        let mut process = Process::new(program);
        process
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.path("home"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("USER", "ada")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.org")
            .env("GIT_COMMITTER_NAME", "Ada")
            .env("GIT_COMMITTER_EMAIL", "ada@example.org")
            .current_dir(&self.folder);
        process
    }

    /// git in the repository, by the user.
    fn git(&self, words: &[&str]) -> String {
        self.git_in("repo", words)
    }

    fn git_in(&self, folder: &str, words: &[&str]) -> String {
        let mut process = self.process("git");
        let done = process.arg("-C").arg(self.path(folder)).args(words);
        let done = done.output().unwrap();
        let err = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "git {words:?}: {err}");
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    /// Commits everything; gives the commit.
    fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A", "."]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Branches of the agent, with the commit each stands at.
    fn agent_branches(&self) -> Vec<(String, String)> {
        let format = "--format=%(refname:short) %(objectname)";
        let all = self.git(&["for-each-ref", format, "refs/heads/agent"]);
        let pair = |line: &str| {
            let (name, commit) = line.split_once(' ').unwrap();
            (name.to_owned(), commit.to_owned())
        };
        all.lines().map(pair).collect()
    }

    fn command(&self, words: &[&str]) -> Process {
        let mut process = self.process(env!("CARGO_BIN_EXE_prentice"));
        process.args(words).stdin(Stdio::null());
        process
    }

    /// The program, to its end.
    fn prentice(&self, words: &[&str]) -> Ran {
        Running::start(self.command(words)).end()
    }

    /// The program with something on its standard input.
    fn prentice_told(&self, words: &[&str], input: &str) -> Ran {
        self.write("input", input);
        let mut command = self.command(words);
        command.stdin(fs::File::open(self.path("input")).unwrap());
        Running::start(command).end()
    }

    /// `run` of the issue by this agent, in JSON.
    fn run(&self, agent: &str) -> Ran {
        self.prentice(&self.run_words(agent))
    }

    fn run_words<'a>(&self, agent: &'a str) -> [&'a str; 7] {
        [
            "--json",
            "run",
            "issue.md",
            "--repo",
            "repo",
            "--agent-cmd",
            agent,
        ]
    }

    /// A `run` that goes on while the test does something else.
    fn start(&self, agent: &str) -> Running {
        Running::start(self.command(&self.run_words(agent)))
    }

    /// The stage of a task, as the list tells it.
    fn stage(&self, task: &str) -> String {
        let list = self.prentice(&["--json", "tasks", "list"]).ends(0).json();
        let tasks = list["tasks"].as_array().unwrap();
        let found = tasks.iter().find(|row| row["task"] == task);
        found.unwrap()["stage"].as_str().unwrap().to_owned()
    }

    /// What happened to a task, without the times.
    fn journal(&self, task: &str) -> Vec<String> {
        let shown = self.prentice(&["--json", "tasks", "show", task]).ends(0);
        let shown = shown.json();
        let lines = shown["journal"].as_array().unwrap().iter();
        lines
            .map(|line| line["note"].as_str().unwrap().to_owned())
            .collect()
    }

    /// How often an agent was started for a task.
    fn runs(&self, task: &str) -> usize {
        let began = |line: &&String| line.starts_with("run ") && line.ends_with(" began");
        self.journal(task).iter().filter(began).count()
    }

    /// Every file of the repository that no run may touch: all but the agent's branches and new objects.
    fn frozen(&self) -> Frozen {
        Frozen::of(&self.path("repo"))
    }

    /// Files below a folder of this machine, as relative paths.
    fn files(&self, name: &str) -> BTreeSet<String> {
        let root = self.path(name);
        let mut found = BTreeSet::new();
        walk(&root, &mut |path, meta| {
            if !meta.is_dir() {
                let inner = path.strip_prefix(&root).unwrap();
                found.insert(inner.to_string_lossy().into_owned());
            }
        });
        found
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("PRENTICE_TEST_KEEP").is_some() {
            return;
        }
        prentice::sandbox::remove(&self.folder).unwrap();
    }
}

impl Ran {
    /// The same, which must have ended with this code.
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{}\n{}", self.out, self.err);
        self
    }

    /// Standard output as the one object that it must be.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|why| panic!("{why}\n{}\n{}", self.out, self.err))
    }

    /// Both streams, which must hold these words.
    #[track_caller]
    fn says(self, words: &str) -> Self {
        let both = format!("{}\n{}", self.out, self.err);
        assert!(both.contains(words), "nothing says {words:?}:\n{both}");
        self
    }

    /// Code and message of an error before a task exists.
    #[track_caller]
    fn error(&self) -> (String, String) {
        let object = self.json();
        assert_eq!(keys(&object), ["error", "schema_version"]);
        let text = |key: &str| object["error"][key].as_str().unwrap().to_owned();
        (
            text("code"),
            format!("{}; {}", text("message"), text("hint")),
        )
    }

    /// Class and message of the failure of a task.
    #[track_caller]
    fn failure(&self) -> (String, String) {
        let object = self.json();
        assert_eq!(object["stage"], "failed", "{object:#}");
        let text = |key: &str| object["failure"][key].as_str().unwrap().to_owned();
        (text("class"), text("message"))
    }
}

fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// A command of the program under way.
struct Running {
    child: Child,
    out: std::thread::JoinHandle<Vec<u8>>,
    err: Arc<Mutex<String>>,
    reader: std::thread::JoinHandle<()>,
    until: Instant,
}

impl Running {
    fn start(mut process: Process) -> Self {
        let mut child = process
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let out = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let err = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&err);
        let reader = std::thread::spawn(move || {
            let mut line = Vec::new();
            while stderr.read_until(b'\n', &mut line).unwrap() > 0 {
                heard
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        let until = Instant::now() + PATIENCE;
        Self {
            child,
            out,
            err,
            reader,
            until,
        }
    }

    /// Waits until standard error has said this.
    #[track_caller]
    fn says(&mut self, words: &str) {
        while !self.err.lock().unwrap().contains(words) {
            let ended = self.child.try_wait().unwrap();
            let err = self.err.lock().unwrap().clone();
            assert!(
                (ended.is_none() || err.contains(words)) && Instant::now() < self.until,
                "never said {words:?}: {ended:?}\n{err}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its end. A signal that ended it counts as a shell counts it.
    #[track_caller]
    fn end(mut self) -> Ran {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > self.until {
                self.child.kill().unwrap();
                panic!("no end:\n{}", self.err.lock().unwrap());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.reader.join().unwrap();
        use std::os::unix::process::ExitStatusExt as _;
        let out = self.out.join().unwrap();
        let out = String::from_utf8(out).expect("standard output is UTF-8");
        let err = self.err.lock().unwrap().clone();
        // -1000 and below: a signal ended it, which no test takes for an exit.
        let code = status
            .code()
            .unwrap_or_else(|| -1000 - status.signal().unwrap_or(0));
        Ran { code, out, err }
    }
}

/// A repository as bytes.
#[derive(PartialEq, Eq)]
struct Frozen {
    root: PathBuf,
    files: BTreeMap<PathBuf, (u32, Vec<u8>)>,
}

impl Frozen {
    fn of(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        walk(root, &mut |path, meta| {
            let inner = path.strip_prefix(root).unwrap().to_owned();
            let bytes = if meta.is_symlink() {
                fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec()
            } else if meta.is_dir() {
                Vec::new()
            } else {
                fs::read(path).unwrap()
            };
            files.insert(inner, (meta.mode(), bytes));
        });
        Self {
            root: root.to_owned(),
            files,
        }
    }

    /// Demands that only objects and branches of the agent came, and nothing went or changed.
    #[track_caller]
    fn still(&self) {
        let now = Self::of(&self.root);
        for (path, was) in &self.files {
            assert!(
                now.files.get(path) == Some(was),
                "{} is not as it was",
                path.display()
            );
        }
        for path in now
            .files
            .keys()
            .filter(|path| !self.files.contains_key(*path))
        {
            let git = path.strip_prefix(".git").unwrap_or(path);
            let ours = ["objects", "refs/heads/agent", "logs/refs/heads/agent"];
            assert!(
                ours.iter().any(|ours| git.starts_with(ours)),
                "{} is new",
                path.display()
            );
        }
    }
}

fn walk(root: &Path, each: &mut dyn FnMut(&Path, &fs::Metadata)) {
    let Ok(entries) = fs::read_dir(root) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        each(&path, &meta);
        if meta.is_dir() {
            walk(&path, each);
        }
    }
}

/// `sh -c` with this script, as `--agent-cmd` takes it.
fn sh(script: &str) -> String {
    format!("sh -c '{}'", script.replace('\'', r"'\''"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes a folder and all in it somebody's who may do nothing.
fn give_away(folder: &Path, owner: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let give = |path: &Path| std::os::unix::fs::lchown(path, Some(owner), Some(owner)).unwrap();
    give(folder);
    walk(folder, &mut |path, _| give(path));
}
