//! The speed table: this program and its peers on the same machine, in one run.
//!
//! All subjects of a group take turns within a round, so that a busy moment of the machine falls on
//! all of them, and the order is reversed every other round. Told are medians and minima, judged
//! are medians, and nothing here ever fails for being slow. `git`, `bwrap` and `sh` are the peers; where
//! one is missing its rows say so.
//!
//! Repositories of 1,000, 10,000 and 50,000 files are made once by `git fast-import`, below
//! `$PRENTICE_TEST_CACHE`. Checkouts, clones and layers lie in memory where there is `/dev/shm`, which
//! favours the peers, since they write every file each time: on a disk their rows measure the
//! disk. `$PRENTICE_BENCH_SCRATCH` names another place. An argument chooses groups:
//! `cargo bench --bench speed -- sandbox`.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output, Stdio};
use std::time::{Duration, Instant};

use prentice::domain::evidence::Exit;
use prentice::domain::ident::{CommitId, RepoPath, Time};
use prentice::git::{self, Author, Mirror, UserRepo};
use prentice::sandbox::{
    self, Command, Ended, Flow, Method, Native, Sandbox as _, Session, Spec, Stdin, Stream,
    Workspace,
};
use tokio::runtime::Runtime;

type Res<T> = Result<T, Box<dyn Error>>;

/// Files of the generated repositories.
const SIZES: [usize; 3] = [1_000, 10_000, 50_000];

/// Names the form of the generated repositories: another form, another name.
const FORM: &str = "speed-2";

/// What differs between base and head, and what is changed before collecting.
const CHANGED: usize = 10;

/// The most by which a duration may grow from the smallest to the largest repository and still be
/// called flat.
const FLAT: f64 = 1.5;

fn main() -> Res<()> {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted = |group: &str| words.is_empty() || words.iter().any(|w| w == group);
    let cache = cache()?;
    let memory = Some(PathBuf::from("/dev/shm")).filter(|shm| shm.is_dir());
    let named = std::env::var_os("PRENTICE_BENCH_SCRATCH").map(PathBuf::from);
    let on = named.or(memory).unwrap_or_else(|| cache.clone());
    let scratch = tempfile::Builder::new().prefix("speed-").tempdir_in(on)?;
    let disk = tempfile::Builder::new()
        .prefix("speed-")
        .tempdir_in(&cache)?;
    println!("{}", machine(scratch.path()));
    let bench = Bench {
        runtime: Runtime::new()?,
        native: Native::new(program().into(), scratch.path().join("slots")),
        scratch: scratch.path().to_owned(),
        disk: disk.path().to_owned(),
    };
    let table = Table;
    table.head();
    // First, while this process is small: what it starts would cost more later.
    if wanted("sandbox") {
        bench.sandboxes(&table)?;
    }
    if wanted("demo") {
        bench.demo(&table)?;
    }
    if wanted("workspace") || wanted("collect") {
        let repositories = SIZES
            .iter()
            .map(|files| Repository::of(&cache, *files))
            .collect::<Res<Vec<_>>>()?;
        if wanted("workspace") {
            bench.workspaces(&repositories, &table)?;
        }
        if wanted("collect") {
            bench.collecting(&repositories, &table)?;
        }
    }
    // What sandboxes wrote belongs to their own users.
    sandbox::remove(&bench.scratch)?;
    Ok(())
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_prentice")
}

fn cache() -> Res<PathBuf> {
    let named = std::env::var_os("PRENTICE_TEST_CACHE").map(PathBuf::from);
    let home = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        cache.map(|cache| cache.join("prentice-tests"))
    };
    let folder = named
        .or_else(home)
        .ok_or("set PRENTICE_TEST_CACHE")?
        .join("bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

// ---- the groups

struct Bench {
    runtime: Runtime,
    native: Native,
    scratch: PathBuf,
    /// Where what is synced costs what it costs: the cache folder.
    disk: PathBuf,
}

impl Bench {
    fn workspaces(&self, repositories: &[Repository], table: &Table) -> Res<()> {
        let mut ours_of = Vec::new();
        let mut heads_of = Vec::new();
        for repository in repositories {
            let name = repository.name();
            let data = self.scratch.join(format!("data-{name}"));
            let first = self.ready(repository, &data, None)?;
            table.row(
                format!("workspace, {name} files, first task on a commit"),
                &Samples(vec![first.whole()]),
                None,
                Goal::None,
            );
            let mut layers = Samples::default();
            let mut session = Samples::default();
            let [ours, head, clone, tree] = turns(
                repository.rounds(),
                [
                    &mut |_| {
                        let ready = self.ready(repository, &data, None)?;
                        layers.0.push(ready.layers);
                        session.0.push(ready.session);
                        Ok(ready.whole())
                    },
                    &mut |_| {
                        Ok(self
                            .ready(repository, &data, Some(&repository.head))?
                            .whole())
                    },
                    &mut |_| {
                        let to = self.scratch.join("clone");
                        let took = timed(
                            git_at(&self.scratch)
                                .args(["clone", "-q", "--depth", "1"])
                                .args([
                                    format!("file://{}", repository.path.display()).as_str(),
                                    "clone",
                                ]),
                        )?;
                        fs::remove_dir_all(to)?;
                        Ok(took)
                    },
                    &mut |_| {
                        let to = self.scratch.join("worktree");
                        let mut add = git_at(&repository.path);
                        add.args(["worktree", "add", "-q", "--detach"])
                            .arg(&to)
                            .arg(repository.base.as_str());
                        let took = timed(&mut add)?;
                        fs::remove_dir_all(&to)?;
                        timed(git_at(&repository.path).args(["worktree", "prune"]))?;
                        Ok(took)
                    },
                ],
            )?;
            let most = Goal::AtMost(Duration::from_millis(150));
            let large = repository.files == 50_000;
            let faster = if large { Goal::Ratio(0.01) } else { Goal::None };
            let what = format!("workspace, {name} files");
            table.row(
                what.clone(),
                &ours,
                Some(("git clone --depth 1", &clone)),
                faster,
            );
            table.row(
                what,
                &ours,
                Some(("git worktree add", &tree)),
                if large { most } else { Goal::None },
            );
            table.row(
                format!("… of it mirror, checkout, .git ({name})"),
                &layers,
                None,
                Goal::None,
            );
            table.row(
                format!("… of it the session ({name})"),
                &session,
                None,
                Goal::None,
            );
            table.row(
                format!("head's workspace, {name} files"),
                &head,
                Some(("git worktree add", &tree)),
                if large { most } else { Goal::None },
            );
            ours_of.push(ours);
            heads_of.push(head);
        }
        table.flat("workspace", &ours_of);
        table.flat("head's workspace", &heads_of);
        Ok(())
    }

    /// What `run` does for one sandbox: user's repository → mirror → layers → a session that takes
    /// commands. The session is ended outside the measure.
    fn ready(&self, repository: &Repository, data: &Path, head: Option<&CommitId>) -> Res<Ready> {
        let layer = self.scratch.join("layer");
        let delta = self.scratch.join("delta");
        let started = Instant::now();
        let user = UserRepo::discover(&repository.path)?;
        let mirror = Mirror::open_or_create(data)?;
        mirror.fetch_commit(&user, &repository.base)?;
        let checkout = mirror.checkout(&repository.base)?;
        let mut lowers = vec![mirror.throwaway_git(&repository.base, &checkout)?];
        if let Some(head) = head {
            mirror.fetch_commit(&user, head)?;
            fs::create_dir(&delta)?;
            mirror.write_delta(&repository.base, head, &delta)?;
            lowers.push(delta.clone());
        }
        lowers.push(checkout.path().to_owned());
        let layers = started.elapsed();
        let mut live = self.session(lowers, &layer)?;
        let session = started.elapsed() - layers;
        self.runtime.block_on(live.kill())?;
        sandbox::remove(&layer)?;
        sandbox::remove(&delta)?;
        Ok(Ready { layers, session })
    }

    fn session(&self, lowers: Vec<PathBuf>, layer: &Path) -> Res<Box<dyn Session>> {
        self.session_of(&self.native, lowers, layer)
    }

    fn session_of(
        &self,
        native: &Native,
        lowers: Vec<PathBuf>,
        layer: &Path,
    ) -> Res<Box<dyn Session>> {
        let spec = Spec {
            workspace: Workspace {
                lowers,
                layer: layer.to_owned(),
                inside: "/work".into(),
                method: Method::Overlay,
            },
            mounts: Vec::new(),
            env: BTreeMap::new(),
            limits: sandbox::Limits::default(),
            files: Vec::new(),
        };
        Ok(self.runtime.block_on(native.prepare(spec))?)
    }

    fn exec(&self, session: &mut dyn Session, argv: &[&str]) -> Res<(Duration, Vec<u8>)> {
        let command = Command {
            argv: argv.iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            cwd: "/work".into(),
            stdin: Stdin::Null,
            timeout: Duration::from_secs(600),
            quiet_after: None,
        };
        let mut out = Vec::new();
        let started = Instant::now();
        let ended =
            self.runtime
                .block_on(session.exec(command, &mut |from: Stream, bytes: &[u8]| {
                    if from == Stream::Out {
                        out.extend_from_slice(bytes);
                    }
                    Flow::More
                }))?;
        let took = started.elapsed();
        match ended {
            Ended::Exited {
                exit: Exit::Code { code: 0 },
                ..
            } => Ok((took, out)),
            other => Err(format!("{argv:?} inside ended as {other:?}").into()),
        }
    }

    fn collecting(&self, repositories: &[Repository], table: &Table) -> Res<()> {
        let mut all = Vec::new();
        for repository in repositories {
            let name = repository.name();
            let data = self.scratch.join(format!("data-{name}"));
            let clone = self.scratch.join("collected");
            timed(
                git_at(&self.scratch)
                    .args(["clone", "-q", "--depth", "1"])
                    .args([
                        format!("file://{}", repository.path.display()).as_str(),
                        "collected",
                    ]),
            )?;
            let layer = self.scratch.join("layer");
            let user = UserRepo::discover(&repository.path)?;
            let mirror = Mirror::open_or_create(&data)?;
            mirror.fetch_commit(&user, &repository.base)?;
            let checkout = mirror.checkout(&repository.base)?;
            let lowers = vec![
                mirror.throwaway_git(&repository.base, &checkout)?,
                checkout.path().to_owned(),
            ];
            let mut commits = Samples::default();
            // Every round writes something new: an object that is there already costs nothing.
            let edit = |round: usize| {
                let names: Vec<String> = repository.changed().map(path_of).collect();
                format!(
                    "for f in {}; do echo round {round} >>$f || exit 1; done",
                    names.join(" ")
                )
            };
            let [ours, peer] = turns(
                9,
                [
                    &mut |round| {
                        let mut session = self.session(lowers.clone(), &layer)?;
                        self.exec(session.as_mut(), &["sh", "-c", &edit(round)])?;
                        self.runtime.block_on(session.kill())?;
                        let started = Instant::now();
                        let skip = [RepoPath::new(".git")];
                        let collected = mirror.collect_upper(
                            &layer.join("upper"),
                            &repository.base,
                            &skip,
                            &git::Limits::default(),
                        )?;
                        let took = started.elapsed();
                        if collected.changed != CHANGED as u64 {
                            return Err(format!("collected {}", collected.changed).into());
                        }
                        let started = Instant::now();
                        let parents = [repository.base.clone()];
                        mirror.commit(&collected.tree, &parents, "speed", &author(), Time(0))?;
                        commits.0.push(started.elapsed());
                        sandbox::remove(&layer)?;
                        Ok(took)
                    },
                    &mut |round| {
                        timed(
                            Process::new("sh")
                                .current_dir(&clone)
                                .args(["-c", &edit(round)]),
                        )?;
                        let script = "git add -A && git write-tree";
                        timed(git_env(
                            Process::new("sh").current_dir(&clone).args(["-c", script]),
                        ))
                    },
                ],
            )?;
            fs::remove_dir_all(&clone)?;
            table.row(
                format!("collecting {CHANGED} changed of {name} files"),
                &ours,
                Some(("git add -A, write-tree", &peer)),
                Goal::AtMost(Duration::from_millis(50)),
            );
            table.row(
                format!("… and the commit, synced to disk ({name})"),
                &commits,
                None,
                Goal::None,
            );
            all.push(ours);
        }
        table.flat("collecting", &all);
        Ok(())
    }

    fn sandboxes(&self, table: &Table) -> Res<()> {
        let lower = self.scratch.join("lower");
        let layer = self.scratch.join("layer");
        fs::create_dir_all(&lower)?;
        // Enough files for a command that reads them.
        for n in 0..2000 {
            fs::write(lower.join(format!("{n}.txt")), content(n))?;
        }
        let mut session = self.session(vec![lower.clone()], &layer)?;
        let (_, mounts) = self.exec(session.as_mut(), &["cat", "/proc/self/mountinfo"])?;
        let writable = self.scratch.join("bwrap-work");
        fs::create_dir_all(&writable)?;
        let arguments = bwrap_arguments(&String::from_utf8(mounts)?, &lower);
        let bwrap = |argv: &[&str]| {
            let mut command = Process::new("bwrap");
            command.args(&arguments).args(argv);
            command
        };
        let has_bwrap = bwrap(&["true"])
            .stderr(Stdio::inherit())
            .status()
            .is_ok_and(|s| s.success());
        let other = self.scratch.join("layer-start");
        let [ours, first, theirs, plain] = turns(
            41,
            [
                &mut |_| {
                    let started = Instant::now();
                    let mut session = self.session(vec![lower.clone()], &other)?;
                    self.exec(session.as_mut(), &["true"])?;
                    self.runtime.block_on(session.kill())?;
                    let took = started.elapsed();
                    sandbox::remove(&other)?;
                    // What is started ahead of the next one is not to run beside a peer.
                    std::thread::sleep(Duration::from_millis(10));
                    Ok(took)
                },
                &mut |_| {
                    // As a program starts its first one: nothing was started ahead.
                    let first = Native::new(program().into(), self.scratch.join("slots"));
                    let started = Instant::now();
                    let mut session = self.session_of(&first, vec![lower.clone()], &other)?;
                    self.exec(session.as_mut(), &["true"])?;
                    self.runtime.block_on(session.kill())?;
                    let took = started.elapsed();
                    sandbox::remove(&other)?;
                    drop((session, first));
                    std::thread::sleep(Duration::from_millis(10));
                    Ok(took)
                },
                &mut |_| {
                    if has_bwrap {
                        timed(&mut bwrap(&["true"]))
                    } else {
                        Ok(Duration::ZERO)
                    }
                },
                &mut |_| timed(&mut Process::new("true")),
            ],
        )?;
        let what = "sandbox: start, `true`, end";
        if has_bwrap {
            table.row(
                what.to_owned(),
                &ours,
                Some(("bwrap, same mounts", &theirs)),
                Goal::Ratio(1.0),
            );
        } else {
            table.missing(what, "bwrap does not run here");
        }
        table.row(
            what.to_owned(),
            &ours,
            Some(("plain fork, exec", &plain)),
            Goal::None,
        );
        table.row(
            "… the first of a process".to_owned(),
            &first,
            Some(("bwrap, same mounts", &theirs)).filter(|_| has_bwrap),
            Goal::None,
        );

        let commands: [(&str, usize, &[&str]); 4] = [
            ("`sh -c 'exit 0'`", 201, &["sh", "-c", "exit 0"]),
            (
                "200 processes",
                15,
                &[
                    "sh",
                    "-c",
                    "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done",
                ],
            ),
            // That grep finds nothing is its exit code 1.
            (
                "`grep -r` over 2,000 files",
                41,
                &["sh", "-c", "grep -r 'no such text' .; test $? = 1"],
            ),
            (
                "`sort` of 400,000 numbers",
                9,
                &["sh", "-c", "seq 400000 | sort -r | tail -n 1"],
            ),
        ];
        for (name, rounds, argv) in commands {
            let [inside, outside] = turns(
                rounds,
                [
                    &mut |_| Ok(self.exec(session.as_mut(), argv)?.0),
                    &mut |_| {
                        let [first, rest @ ..] = argv else {
                            return Err("no command".into());
                        };
                        let mut command = Process::new(first);
                        command.args(rest).current_dir(&lower).env_clear();
                        command.env("PATH", sandbox::PATH).env("LANG", "C.UTF-8");
                        timed(&mut command)
                    },
                ],
            )?;
            table.row(
                format!("in a session: {name}"),
                &inside,
                Some(("outside", &outside)),
                Goal::Ratio(1.1),
            );
        }
        self.runtime.block_on(session.kill())?;
        Ok(())
    }

    fn demo(&self, table: &Table) -> Res<()> {
        let mut commands = Samples::default();
        let [whole] = turns(
            7,
            [&mut |round| {
                let home = self.disk.join(format!("demo-{round}"));
                fs::create_dir(&home)?;
                let mut demo = Process::new(program());
                demo.args(["demo", "--json", "--out"])
                    .arg(home.join("out"))
                    .current_dir(&home);
                for kind in ["DATA", "STATE", "CACHE", "CONFIG"] {
                    demo.env(format!("XDG_{kind}_HOME"), home.join(kind));
                }
                let started = Instant::now();
                let output = run(&mut demo)?;
                let took = started.elapsed();
                let told = told_millis(&String::from_utf8_lossy(&output.stderr));
                commands.0.push(told);
                sandbox::remove(&home)?;
                Ok(took.saturating_sub(told))
            }],
        )?;
        table.row(
            "`demo`, without its checks, on disk".to_owned(),
            &whole,
            None,
            Goal::AtMost(Duration::from_secs(1)),
        );
        table.row(
            "… its checks (6 runs of commands)".to_owned(),
            &commands,
            None,
            Goal::None,
        );
        Ok(())
    }
}

struct Ready {
    layers: Duration,
    session: Duration,
}

impl Ready {
    fn whole(&self) -> Duration {
        self.layers + self.session
    }
}

/// The sum of what progress lines tell as `(12 ms)`.
fn told_millis(progress: &str) -> Duration {
    let millis = progress.lines().filter_map(|line| {
        let (_, told) = line.strip_suffix(" ms)")?.rsplit_once('(')?;
        told.parse::<u64>().ok()
    });
    Duration::from_millis(millis.sum())
}

/// bwrap's arguments for the mounts that a session of ours has, read from inside of one. This bwrap
/// makes no overlays: it gets the folder as a plain mount, which is less work than ours.
fn bwrap_arguments(mountinfo: &str, work: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
    ]
    .into_iter()
    .chain([
        "--uid",
        "1000",
        "--gid",
        "1000",
        "--hostname",
        "sandbox",
        "--clearenv",
    ])
    .chain(["--setenv", "PATH", sandbox::PATH, "--proc", "/proc"])
    .map(str::to_owned)
    .collect();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(|w| (*w).to_owned()));
    for name in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
        if let Ok(to) = fs::read_link(name) {
            add(&["--symlink", &to.to_string_lossy(), name]);
        }
    }
    for line in mountinfo.lines() {
        let Some((front, back)) = line.split_once(" - ") else {
            continue;
        };
        let at = front.split(' ').nth(4).unwrap_or("/");
        match back.split(' ').next().unwrap_or_default() {
            _ if at == "/" || at.starts_with("/proc") => {}
            // A file that is covered.
            "tmpfs" if Path::new(at).is_file() => add(&["--ro-bind", "/dev/null", at]),
            "tmpfs" => add(&["--tmpfs", at]),
            "overlay" => add(&["--bind", &work.to_string_lossy(), at]),
            _ if at.starts_with("/dev/") => add(&["--dev-bind", at, at]),
            _ => add(&["--ro-bind", at, at]),
        }
    }
    add(&["--chdir", "/work"]);
    arguments
}

// ---- generated repositories

struct Repository {
    files: usize,
    path: PathBuf,
    base: CommitId,
    head: CommitId,
}

impl Repository {
    /// The cached repository, made when it is not there.
    fn of(cache: &Path, files: usize) -> Res<Self> {
        let path = cache.join(format!("{FORM}-{files}.git"));
        if !path.is_dir() {
            let new = tempfile::Builder::new().prefix("tmp-").tempdir_in(cache)?;
            make(new.path(), files)?;
            fs::rename(new.keep(), &path)?;
        }
        let id = |revision: &str| -> Res<CommitId> {
            let output = run(git_at(&path).args(["rev-parse", revision]))?;
            Ok(CommitId::try_from(
                String::from_utf8(output.stdout)?.trim().to_owned(),
            )?)
        };
        Ok(Self {
            files,
            base: id("main")?,
            head: id("head")?,
            path,
        })
    }

    /// On a slow disk a clone of the largest takes most of a minute, and its removal as long.
    fn rounds(&self) -> usize {
        if self.files < 50_000 { 11 } else { 5 }
    }

    fn name(&self) -> String {
        format!("{}k", self.files / 1000)
    }

    fn changed(&self) -> impl Iterator<Item = usize> + use<> {
        changed(self.files)
    }
}

fn make(folder: &Path, files: usize) -> Res<()> {
    run(git_at(folder).args(["init", "-q", "--bare", "--initial-branch=main", "."]))?;
    let mut import = git_at(folder);
    let mut child = import
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()?;
    let mut to = std::io::BufWriter::new(child.stdin.take().ok_or("no standard input")?);
    let commit = |branch: &str| {
        format!(
            "commit refs/heads/{branch}\ncommitter Speed <speed@localhost> 1700000000 +0000\ndata 5\nspeed\n"
        )
    };
    let file = |n: usize, text: &str| {
        format!(
            "M 100644 inline {}\ndata {}\n{text}\n",
            path_of(n),
            text.len()
        )
    };
    write!(to, "{}", commit("main"))?;
    for n in 0..files {
        write!(to, "{}", file(n, &content(n)))?;
    }
    write!(to, "\n{}from refs/heads/main\n", commit("head"))?;
    for n in changed(files) {
        write!(to, "{}", file(n, &format!("{}changed\n", content(n))))?;
    }
    writeln!(to)?;
    drop(to);
    if !child.wait()?.success() {
        return Err("git fast-import failed".into());
    }
    Ok(())
}

/// Fifty files a folder, in ten parts, whatever the size.
fn path_of(n: usize) -> String {
    format!("part{}/module{}/file{n}.txt", n % 10, n / 500)
}

/// The files that differ: one of each part, so that as many folders are touched in every size.
fn changed(files: usize) -> impl Iterator<Item = usize> + use<> {
    (0..CHANGED).map(move |n| n * (files / CHANGED) + n)
}

/// Some hundred bytes to two kilobytes, different for each file.
fn content(n: usize) -> String {
    let lines = 4 + n * 7 % 40;
    (0..lines)
        .map(|line| {
            format!(
                "file {n}, line {line}: {:016x}\n",
                (n * 41 + line).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            )
        })
        .collect()
}

fn author() -> Author {
    Author {
        name: "Speed".to_owned(),
        email: "speed@localhost".to_owned(),
        signer: None,
    }
}

// ---- running peers

/// git as it comes, but for what the user configured.
fn git_at(folder: &Path) -> Process {
    let mut git = Process::new("git");
    git_env(git.current_dir(folder));
    git
}

fn git_env(command: &mut Process) -> &mut Process {
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
}

fn run(command: &mut Process) -> Res<Output> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {said}", output.status).into());
    }
    Ok(output)
}

fn timed(command: &mut Process) -> Res<Duration> {
    let started = Instant::now();
    run(command)?;
    Ok(started.elapsed())
}

// ---- measures

/// One thing to be measured: the number of the round → how long it took.
type Subject<'a> = &'a mut dyn FnMut(usize) -> Res<Duration>;

/// Round by round, each subject once, every other round in reverse. Round 0 warms up and is not kept.
fn turns<const N: usize>(rounds: usize, mut subjects: [Subject<'_>; N]) -> Res<[Samples; N]> {
    let mut samples = [const { Samples(Vec::new()) }; N];
    for round in 0..=rounds {
        let mut both: Vec<_> = subjects.iter_mut().zip(&mut samples).collect();
        if round % 2 == 1 {
            both.reverse();
        }
        for (subject, samples) in both {
            let took = subject(round)?;
            if round > 0 {
                samples.0.push(took);
            }
        }
    }
    Ok(samples)
}

#[derive(Default)]
struct Samples(Vec<Duration>);

impl Samples {
    fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    fn least(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    fn shown(&self) -> String {
        if self.0.len() == 1 {
            return millis(self.least());
        }
        format!("{} ({})", millis(self.median()), millis(self.least()))
    }
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    let digits = match millis {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{millis:.digits$}")
}

// ---- the table

#[derive(Clone, Copy)]
enum Goal {
    /// Told for the picture.
    None,
    /// The median.
    AtMost(Duration),
    /// Our median over the peer's.
    Ratio(f64),
}

/// Rows of: what, ours, peer, peer's, ratio, goal, outcome; each printed when it is known.
struct Table;

impl Table {
    fn row(&self, what: String, ours: &Samples, peer: Option<(&str, &Samples)>, goal: Goal) {
        let ratio = peer.map(|(_, peer)| ours.median().as_secs_f64() / peer.median().as_secs_f64());
        let (wanted, met) = match goal {
            Goal::None => (String::new(), None),
            Goal::AtMost(most) => (
                format!("≤ {} ms", most.as_millis()),
                Some(ours.median() <= most),
            ),
            Goal::Ratio(most) => (
                format!("≤ {}", times(most)),
                ratio.map(|ratio| ratio <= most),
            ),
        };
        print_row(&[
            what,
            ours.shown(),
            peer.map(|(name, _)| name.to_owned()).unwrap_or_default(),
            peer.map(|(_, peer)| peer.shown()).unwrap_or_default(),
            ratio.map(times).unwrap_or_default(),
            wanted,
            judged(met),
        ]);
    }

    /// The largest repository against the smallest.
    fn flat(&self, what: &str, by_size: &[Samples]) {
        let (Some(small), Some(large)) = (by_size.first(), by_size.last()) else {
            return;
        };
        self.row(
            format!("{what}: 50k against 1k files"),
            large,
            Some(("the same at 1k", small)),
            Goal::Ratio(FLAT),
        );
    }

    fn missing(&self, what: &str, why: &str) {
        let mut row = [const { String::new() }; 7];
        row[0] = what.to_owned();
        row[2] = format!("skipped: {why}");
        print_row(&row);
    }

    fn head(&self) {
        print_row(
            &[
                "what",
                "ours, ms",
                "peer",
                "peer, ms",
                "ours ÷ peer",
                "goal",
                "outcome",
            ]
            .map(str::to_owned),
        );
        print_row(&["---", "--:", "---", "--:", "--:", "--:", "---"].map(str::to_owned));
    }
}

fn print_row(row: &[String; 7]) {
    println!("| {} |", row.join(" | "));
}

fn judged(met: Option<bool>) -> String {
    match met {
        None => "",
        Some(true) => "met",
        Some(false) => "**not met**",
    }
    .to_owned()
}

/// `1.08`, or `1/140`.
fn times(ratio: f64) -> String {
    if ratio < 0.5 {
        format!("1/{:.0}", 1.0 / ratio)
    } else {
        format!("{ratio:.2}")
    }
}

/// What it was measured on; `scratch` is on the file system that matters.
fn machine(scratch: &Path) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let memory = read("/proc/meminfo");
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().split(' ').next());
    let gib = kib
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib >> 20);
    let version = |name: &str| {
        let output = Process::new(name).arg("--version").output();
        output.map_or_else(
            |_| format!("no {name}"),
            |o| String::from_utf8_lossy(&o.stdout).trim().to_owned(),
        )
    };
    let mounts = read("/proc/self/mountinfo");
    let kind = mounts.lines().filter_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let point = front.split(' ').nth(4)?;
        scratch
            .starts_with(point)
            .then_some((point.len(), back.split(' ').next()?))
    });
    format!(
        "{} × {}, {gib} GiB, Linux {}, {}; {}, {}; milliseconds as median (minimum)",
        std::thread::available_parallelism().map_or(1, usize::from),
        model.map_or("processor", |(_, name)| name.trim()),
        read("/proc/sys/kernel/osrelease").trim(),
        kind.max().map_or("", |(_, kind)| kind),
        version("git"),
        version("bwrap"),
    )
}
