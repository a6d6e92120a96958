//! The native launcher, for real: as whoever runs the tests, and once more as an ordinary user.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use prentice::domain::evidence::{Exit, Limit};
use prentice::sandbox::{
    Command, Ended, Flow, Limits, LimitsTier, Method, Mount, MountKind, Native, Sandbox,
    SandboxError, Session, Spec, Stdin, Stream, Workspace, remove,
};

/// A folder with a work tree, layers and slots; everything in it is gone at the end, whoever owns
/// it.
pub(crate) struct World {
    folder: PathBuf,
    pub(crate) native: Native,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("prentice-it-")
            .tempdir()
            .unwrap()
            .keep();
        let native = Native::new(helper(), folder.join("slots"));
        let world = Self { folder, native };
        world.write("lower/README", "from the lower\n");
        world.write("lower/src/main.txt", "main\n");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn spec(&self) -> Spec {
        Spec {
            workspace: Workspace {
                lowers: vec![self.path("lower")],
                layer: self.path("layer"),
                inside: "/work".into(),
                method: Method::Auto,
            },
            mounts: Vec::new(),
            env: BTreeMap::new(),
            limits: Limits {
                memory_bytes: 512 << 20,
                pids: 64,
                ..Limits::default()
            },
            files: Vec::new(),
        }
    }

    pub(crate) async fn session(&self) -> Box<dyn Session> {
        self.native.prepare(self.spec()).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        remove(&self.folder).unwrap();
    }
}

pub(crate) fn sh(script: &str) -> Command {
    Command {
        argv: vec!["sh".into(), "-c".into(), script.into()],
        env: BTreeMap::new(),
        cwd: "/work".into(),
        stdin: Stdin::Null,
        timeout: Duration::from_secs(60),
        quiet_after: None,
    }
}

/// Exit, standard output, standard error.
pub(crate) async fn run(session: &mut dyn Session, command: Command) -> (Exit, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = session
        .exec(command, &mut |from: Stream, bytes: &[u8]| {
            match from {
                Stream::Out => out.extend_from_slice(bytes),
                Stream::Err => err.extend_from_slice(bytes),
            }
            Flow::More
        })
        .await
        .unwrap();
    let Ended::Exited { exit, .. } = ended else {
        panic!("{ended:?}");
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (exit, text(out), text(err))
}

const GREEN: Exit = Exit::Code { code: 0 };

/// The built program; a copy where the tests run as somebody who cannot reach it.
pub(crate) fn helper() -> PathBuf {
    std::env::var_os("PRENTICE_TEST_HELPER")
        .map_or_else(|| env!("CARGO_BIN_EXE_prentice").into(), PathBuf::from)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes the naps of a script recognisable as this test process's, among all of the machine.
fn nap(script: &str) -> String {
    let own = std::env::var("PRENTICE_TEST_NAP").unwrap_or_else(|_| std::process::id().to_string());
    script.replace("sleep 864", &format!("sleep 864{own}"))
}

/// Processes of the whole machine that sleep this long, for this test process.
fn napping(seconds: &str) -> usize {
    let needle = nap(&format!("sleep {seconds}")).replace(' ', "\0");
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(&needle))
        .count()
}

#[tokio::test]
async fn a_command_tells_its_output_and_how_it_ended() {
    let world = World::new();
    let mut session = world.session().await;
    let s = session.as_mut();
    let (exit, out, err) = run(s, sh("echo out; echo err >&2; exit 3")).await;
    assert_eq!(exit, Exit::Code { code: 3 });
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    let (exit, ..) = run(s, sh("kill -TERM $$")).await;
    assert_eq!(exit, Exit::Signal { signal: 15 });
    let mut command = sh("");
    command.argv = vec!["no-such-program".into()];
    let (exit, ..) = run(s, command).await;
    let why = "no-such-program: No such file or directory (os error 2)".to_owned();
    assert_eq!(exit, Exit::NotStarted { why });
    let mut command = sh("true");
    command.cwd = "/nowhere".into();
    let (exit, ..) = run(s, command).await;
    let why = "/nowhere: No such file or directory (os error 2)".to_owned();
    assert_eq!(exit, Exit::NotStarted { why });
    let mut command = sh("wc -c; echo $GREETING");
    command.stdin = Stdin::Bytes(vec![b'x'; 300_000]);
    command.env = [("GREETING".to_owned(), "hello".to_owned())].into();
    let (exit, out, _) = run(s, command).await;
    assert_eq!((exit, out.as_str()), (GREEN, "300000\nhello\n"));
    let (_, out, _) = run(s, sh("env | sort; id; hostname; pwd")).await;
    insta::assert_snapshot!(out, @r"
    ASAN_OPTIONS=detect_leaks=0
    HOME=/home/agent
    LANG=C.UTF-8
    LOGNAME=agent
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    PWD=/work
    SHELL=/bin/sh
    TMPDIR=/tmp
    USER=agent
    uid=1000(agent) gid=1000(agent) groups=1000(agent)
    sandbox
    /work
    ");
    session.kill().await.unwrap();
    session.kill().await.unwrap();
    assert!(!session.alive());
    let error = session
        .exec(sh("true"), &mut |_: Stream, _: &[u8]| Flow::More)
        .await
        .unwrap_err();
    assert!(matches!(error, SandboxError::Lost(_)), "{error}");
}

#[tokio::test]
async fn both_methods_show_the_lowers_and_keep_changes_in_the_layer() {
    for method in [Method::Overlay, Method::Copy] {
        let world = World::new();
        world.write("delta/src/main.txt", "changed by delta\n");
        let mut spec = world.spec();
        spec.workspace.method = method;
        spec.workspace.lowers.insert(0, world.path("delta"));
        let mut session = world.native.prepare(spec.clone()).await.unwrap();
        assert_eq!(session.facts().method, method);
        let script = "cat README src/main.txt; echo mine >> README; mkdir new; echo x > new/file; \
                      rm src/main.txt; chmod 700 new; test -O README && test -O . && stat -c %U src";
        let (exit, out, err) = run(session.as_mut(), sh(script)).await;
        assert_eq!(
            (exit, out.as_str(), err.as_str()),
            (GREEN, "from the lower\nchanged by delta\nagent\n", "")
        );
        session.kill().await.unwrap();
        let read = |name: &str| fs::read_to_string(world.path(name)).unwrap();
        assert_eq!(read("lower/README"), "from the lower\n");
        assert_eq!(read("lower/src/main.txt"), "main\n");
        assert_eq!(read("layer/upper/README"), "from the lower\nmine\n");
        assert_eq!(read("layer/upper/new/file"), "x\n");

        // The layer goes on in a further session, whoever it belonged to.
        let other = world.session_elsewhere().await;
        let mut session = world.native.prepare(spec).await.unwrap();
        let (exit, out, _) = run(
            session.as_mut(),
            sh("tail -1 README; test -e src/main.txt || echo gone; echo more > new/more"),
        )
        .await;
        assert_eq!((exit, out.as_str()), (GREEN, "mine\ngone\n"));
        session.kill().await.unwrap();
        drop(other);

        // And below a further session's layer, as a frozen layer.
        let mut above = world.spec();
        above.workspace.method = method;
        above.workspace.layer = world.path("above");
        above.workspace.lowers = if method == Method::Copy {
            vec![world.path("layer/upper")]
        } else {
            vec![
                world.path("layer/upper"),
                world.path("delta"),
                world.path("lower"),
            ]
        };
        let mut session = world.native.prepare(above).await.unwrap();
        let (exit, out, err) = run(
            session.as_mut(),
            sh("tail -1 README; cat new/more; ls src; echo above >> new/more"),
        )
        .await;
        assert_eq!(
            (exit, out.as_str(), err.as_str()),
            (GREEN, "mine\nmore\n", "")
        );
    }
}

impl World {
    /// A second live session, so that the next one gets another slot.
    async fn session_elsewhere(&self) -> Box<dyn Session> {
        let mut spec = self.spec();
        spec.workspace.layer = self.path("elsewhere");
        self.native.prepare(spec).await.unwrap()
    }
}

#[tokio::test]
async fn a_probe_tells_what_was_found() {
    let world = World::new();
    let facts = world.native.probe().await.unwrap();
    assert_eq!(facts.launcher, "native");
    println!("probe: {facts:?}");
    let left: Vec<_> = fs::read_dir(world.path("slots"))
        .unwrap()
        .flatten()
        .map(|e| e.file_name().into_string().unwrap())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(left, ["0", "probing"], "only lock files stay");
}

/// Runs until it ends, then says how and what was printed.
async fn ended(session: &mut dyn Session, command: Command) -> (Ended, String) {
    let mut text = Vec::new();
    let ended = session
        .exec(command, &mut |_: Stream, bytes: &[u8]| {
            text.extend_from_slice(bytes);
            Flow::More
        })
        .await
        .unwrap();
    (ended, String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_command_whose_time_is_up_leaves_nothing_but_what_it_printed() {
    let world = World::new();
    let mut session = world.session().await;
    let started = Instant::now();
    let mut command = sh(&nap(
        "trap '' TERM INT HUP; echo started; setsid sleep 86401 & \
                          (sleep 86401 & kill -STOP $!); while :; do echo line; sleep 0.05; done",
    ));
    command.timeout = Duration::from_millis(400);
    let (how, text) = ended(session.as_mut(), command).await;
    let Ended::Exited { exit, duration } = how else {
        panic!("{how:?}")
    };
    assert_eq!(exit, Exit::TimedOut { after_secs: 1 });
    assert!(duration >= Duration::from_millis(400) && started.elapsed() < Duration::from_secs(5));
    assert!(text.starts_with("started\nline\n"), "{text}");
    assert!(!session.alive());
    assert_eq!(napping("86401"), 0);
}

#[tokio::test]
async fn silence_is_told_apart_from_slowness() {
    let world = World::new();
    let mut session = world.session().await;
    let mut command = sh(&nap(
        "for i in 1 2 3 4; do sleep 0.2; echo $i; done; sleep 86402",
    ));
    command.quiet_after = Some(Duration::from_millis(600));
    let (how, text) = ended(session.as_mut(), command).await;
    let Ended::Stalled { quiet, duration } = how else {
        panic!("{how:?}")
    };
    assert_eq!(
        (quiet, text.as_str()),
        (Duration::from_millis(600), "1\n2\n3\n4\n")
    );
    assert!(duration >= Duration::from_millis(1400));
    assert_eq!(napping("86402"), 0);
}

#[tokio::test]
async fn another_task_can_end_everything_at_any_time() {
    let world = World::new();
    let mut session = world.session().await;
    let killer = session.killer();
    let other = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        killer.kill();
        killer
    });
    let (how, _) = ended(session.as_mut(), sh(&nap("sleep 86403"))).await;
    assert_eq!(how, Ended::Cancelled);
    assert_eq!(napping("86403"), 0);
    other.await.unwrap().kill();
    session.kill().await.unwrap();
}

#[tokio::test]
async fn a_dropped_command_or_session_lives_on_nowhere() {
    let world = World::new();
    let mut session = world.session().await;
    let mut sink = |_: Stream, _: &[u8]| Flow::More;
    let dropped = tokio::time::timeout(
        Duration::from_millis(200),
        session.exec(sh(&nap("sleep 86404")), &mut sink),
    );
    assert!(dropped.await.is_err());
    assert_eq!(napping("86404"), 1);
    let error = session.exec(sh("true"), &mut sink).await.unwrap_err();
    assert!(matches!(error, SandboxError::Lost(_)), "{error}");
    assert_eq!(napping("86404"), 0);

    let mut session = world.session().await;
    let dropped = tokio::time::timeout(
        Duration::from_millis(200),
        session.exec(sh(&nap("sleep 86404")), &mut sink),
    );
    assert!(dropped.await.is_err());
    drop(session);
    assert_eq!(napping("86404"), 0);
}

#[tokio::test]
async fn what_a_command_leaves_running_neither_holds_up_its_end_nor_meets_the_next() {
    let world = World::new();
    let mut session = world.session().await;
    let s = session.as_mut();
    let started = Instant::now();
    let (exit, out, _) = run(
        s,
        sh(&nap("setsid sleep 86405 & nohup sleep 86405 & echo done")),
    )
    .await;
    assert_eq!((exit, out.as_str()), (GREEN, "done\n"));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(napping("86405"), 0);
    let (_, out, _) = run(s, sh("echo /proc/[0-9]*")).await;
    assert!(out.split_whitespace().count() <= 2, "{out}");
    // Orphans are reaped while the command goes on: many more than may live at a time.
    let (exit, ..) = run(
        s,
        sh("for i in $(seq 500); do (true &); done; sleep 0.2; true"),
    )
    .await;
    assert_eq!(exit, GREEN);
}

#[tokio::test]
async fn output_is_a_stream_that_the_sink_may_end() {
    let world = World::new();
    let mut session = world.session().await;
    let (mut seen, mut longest) = (0_usize, 0);
    let flood = || sh("head -c 1073741824 /dev/zero");
    let ended = session
        .exec(flood(), &mut |_: Stream, bytes: &[u8]| {
            seen += bytes.len();
            longest = longest.max(bytes.len());
            Flow::More
        })
        .await
        .unwrap();
    assert!(
        matches!(ended, Ended::Exited { exit: GREEN, .. }),
        "{ended:?}"
    );
    assert_eq!((seen, longest <= 64 << 10), (1 << 30, true));
    let mut seen = 0;
    let ended = session
        .exec(flood(), &mut |_: Stream, bytes: &[u8]| {
            seen += bytes.len();
            if seen > 1 << 20 {
                Flow::Enough
            } else {
                Flow::More
            }
        })
        .await
        .unwrap();
    let limit = Exit::Limit {
        limit: Limit::Output,
    };
    assert!(matches!(ended, Ended::Exited { exit, .. } if exit == limit));
    assert!(seen < 2 << 20);
    assert!(!session.alive());
}

#[tokio::test]
async fn memory_and_processes_are_limited_and_told() {
    let world = World::new();
    let mut spec = world.spec();
    spec.limits.memory_bytes = 200 << 20;
    spec.limits.pids = 40;
    let mut session = world.native.prepare(spec).await.unwrap();
    let s = session.as_mut();
    println!("limits: {}", s.facts().limits.name());
    let memory = Exit::Limit {
        limit: Limit::Memory,
    };
    let bomb = r#"perl -e '$x = "a" x (400<<20); sleep 2'"#;
    assert_eq!(run(s, sh(bomb)).await.0, memory, "one process");
    let many = r#"for i in 1 2 3 4 5 6 7 8; do perl -e '$x = "a" x (40<<20); sleep 2' & done; wait; exit 1"#;
    assert_eq!(run(s, sh(many)).await.0, memory, "many processes");
    let (exit, _, err) = run(s, sh("head -c 90000000 /dev/zero > /tmp/a; head -c 90000000 /dev/zero > /tmp/b; echo still; rm -f /tmp/a /tmp/b; true")).await;
    assert!(exit == GREEN || exit == memory, "{exit:?} {err}");
    let (exit, ..) = run(
        s,
        sh("rm -f /tmp/a /tmp/b; head -c 300000000 /dev/zero > /tmp/c || { rm /tmp/c; exit 9; }"),
    )
    .await;
    assert!(
        exit == (Exit::Code { code: 9 }) || exit == memory,
        "{exit:?}"
    );
    let forks = "i=0; while [ $i -lt 200 ]; do sleep 3 & i=$((i+1)); done; wait; exit 1";
    let (exit, ..) = run(s, sh(forks)).await;
    assert_eq!(exit, Exit::Limit { limit: Limit::Pids });
    assert_eq!(run(s, sh("true")).await.0, GREEN, "the session goes on");
}

#[tokio::test]
async fn what_is_written_to_disk_is_limited_and_told() {
    let full = Exit::Limit { limit: Limit::Disk };
    for script in [
        // Many files, one large file, many small ones.
        "for i in $(seq 40); do head -c 1000000 /dev/zero > f$i; done; sleep 20",
        "for i in $(seq 40); do head -c 1000000 /dev/zero > f$i; done",
        "exec head -c 40000000 /dev/zero > large",
        "for i in $(seq 3000); do : > n$i; done; sleep 20",
        // Where an ordinary user's host process cannot look.
        "mkdir d; for i in $(seq 40); do head -c 1000000 /dev/zero > d/f$i; done; chmod 000 d; sleep 20",
    ] {
        for method in [Method::Overlay, Method::Copy] {
            let world = World::new();
            let mut spec = world.spec();
            spec.workspace.method = method;
            spec.limits.disk_bytes = 20 << 20;
            spec.limits.disk_files = 2000;
            let mut session = world.native.prepare(spec).await.unwrap();
            assert_eq!(run(session.as_mut(), sh(script)).await.0, full, "{script}");
        }
    }
}

/// Others remove as much as the session writes: the file system tells nothing.
#[tokio::test]
async fn what_others_remove_meanwhile_hides_nothing_of_what_a_session_writes() {
    let world = World::new();
    let others = tempfile::NamedTempFile::new_in(&world.folder).unwrap();
    std::fs::write(others.path(), vec![1; 200 << 20]).unwrap();
    let mut spec = world.spec();
    spec.limits.disk_bytes = 20 << 20;
    let mut session = world.native.prepare(spec).await.unwrap();
    // Long enough to be counted once before, short enough to be over before it is counted again.
    let script = "head -c 1000000 /dev/zero > a; sleep 0.3; head -c 20500000 /dev/zero > b";
    let removing = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        drop(others);
    });
    let (exit, _, _) = run(session.as_mut(), sh(script)).await;
    removing.await.unwrap();
    assert_eq!(exit, Exit::Limit { limit: Limit::Disk });
}

/// With 20 MiB of disk this script is ended by that limit.
async fn ends_as_full(script: &str) {
    let world = World::new();
    let mut spec = world.spec();
    spec.limits.disk_bytes = 20 << 20;
    let mut session = world.native.prepare(spec).await.unwrap();
    let (exit, out, err) = run(session.as_mut(), sh(script)).await;
    let full = Exit::Limit { limit: Limit::Disk };
    assert_eq!(exit, full, "{script}: {out}{err}");
}

#[tokio::test]
async fn disk_that_is_in_no_folder_or_in_none_that_may_be_read_is_limited_too() {
    for script in [
        // Removed while it is open.
        "exec 3> gone; rm gone; for i in $(seq 60); do head -c 1000000 /dev/zero >&3; done; sleep 20",
        // The whole work tree closed behind it.
        "mkdir d; cd d; chmod 000 /work; for i in $(seq 60); do head -c 1000000 /dev/zero > f$i; done; sleep 20",
    ] {
        ends_as_full(script).await;
    }
}

/// The kernel ends a write to one large file; who wrote it says so in words and numbers of its own.
#[tokio::test]
async fn a_file_too_large_is_told_as_the_limit_whoever_noticed_it_first() {
    for script in [
        "head -c 100000000 /dev/zero > f",
        "head -c 100000000 /dev/zero > f; true; exit 3",
        "python3 -c \"open('f', 'wb').write(bytes(100000000))\"",
        "perl -e '$SIG{XFSZ} = \"IGNORE\"; open F, \">f\"; print F \"x\" x 100000000; close F or exit 1'",
    ] {
        ends_as_full(script).await;
    }
}

#[tokio::test]
async fn shared_memory_counts_and_a_shell_that_may_not_fork_is_told_as_the_limit() {
    let world = World::new();
    let mut spec = world.spec();
    spec.limits.memory_bytes = 200 << 20;
    spec.limits.pids = 32;
    let mut session = world.native.prepare(spec).await.unwrap();
    let s = session.as_mut();
    let shared = "python3 -c \"import mmap, time; m = mmap.mmap(-1, 600 << 20); [m.write(bytes(1 << 20)) for _ in range(600)]; time.sleep(5)\"";
    let memory = Exit::Limit {
        limit: Limit::Memory,
    };
    assert_eq!(run(s, sh(shared)).await.0, memory);
    let pids = Exit::Limit { limit: Limit::Pids };
    let bomb = "for i in $(seq 50); do (sleep 5) & done; exit 2";
    assert_eq!(run(s, sh(bomb)).await.0, pids);
    // Over in a moment: only the kernel can have counted it, and without control groups it does not.
    let (exit, _, err) = run(s, sh("b() { b | b & b; }; b")).await;
    let counted = s.facts().limits != LimitsTier::Rlimits;
    assert!(exit == pids || !counted, "{exit:?}: {err}");
}

#[tokio::test]
async fn the_standard_streams_can_be_opened_by_name() {
    let world = World::new();
    let mut session = world.session().await;
    let script = "echo one > /dev/stdout; echo two > /dev/stderr; echo three > /dev/fd/1; echo four > /proc/self/fd/2; cat /dev/stdin";
    let mut command = sh(script);
    command.stdin = Stdin::Bytes(b"five\n".to_vec());
    let (exit, out, err) = run(session.as_mut(), command).await;
    assert_eq!(
        (exit, out.as_str(), err.as_str()),
        (GREEN, "one\nthree\nfive\n", "two\nfour\n")
    );
}

#[tokio::test]
async fn a_program_built_with_the_address_sanitizer_is_judged_by_what_it_finds() {
    let world = World::new();
    world.write("lower/x.c", "#include <stdlib.h>\nint main(int n, char **a) { char *p = malloc(1); p[n - 1] = 1; free(p); return 0; }\n");
    let mut session = world.session().await;
    let s = session.as_mut();
    let (exit, _, err) = run(s, sh("cc -fsanitize=address -o x x.c && ./x")).await;
    assert_eq!(exit, GREEN, "{err}");
    let (exit, _, err) = run(s, sh("./x more")).await;
    assert!(
        exit != GREEN && err.contains("heap-buffer-overflow"),
        "{err}"
    );
}

#[tokio::test]
async fn a_credential_file_of_a_tool_chain_is_covered_and_the_rest_is_there() {
    let world = World::new();
    for file in [
        "home/.nvm/versions/node/v1/etc/npmrc",
        "home/.sdkman/candidates/maven/current/conf/settings.xml",
        "venv/pip.conf",
    ] {
        world.write(file, "canary-8245");
    }
    for (file, text) in [
        (
            "home/.nvm/versions/node/v1/bin/node",
            "#!/bin/sh\necho node\n",
        ),
        (
            "home/.sdkman/candidates/maven/current/bin/tool",
            "#!/bin/sh\necho tool\n",
        ),
        ("venv/pyvenv.cfg", "home = /usr/bin\n"),
    ] {
        world.write(file, text);
        fs::set_permissions(world.path(file), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let at = |name: &str| world.path(name).display().to_string();
    let path = [
        at("home/.nvm/versions/node/v1/bin"),
        at("home/.sdkman/candidates/maven/current/bin"),
        "/usr/bin:/bin".to_owned(),
    ];
    let env = BTreeMap::from([
        ("HOME".to_owned(), at("home")),
        ("PATH".to_owned(), path.join(":")),
        ("VIRTUAL_ENV".to_owned(), at("venv")),
    ]);
    let found = prentice::sandbox::toolchains::find(&env, &world.path("lower"), Path::new("/work"));
    let mut spec = world.spec();
    spec.mounts = found.mounts(&world.path("caches"));
    spec.env = found.env.clone();
    spec.files = found.files.clone();
    let mut session = world.native.prepare(spec).await.unwrap();
    let s = session.as_mut();
    let folders = [at("home"), at("venv")].join(" ");
    let (exit, out, err) = run(
        s,
        sh(&format!(
            "node && tool && find {folders} -type f | sort; grep -r canary {folders}; test $? = 1"
        )),
    )
    .await;
    assert_eq!(exit, GREEN, "{out}{err}\n{}", found.told.join("\n"));
    assert!(out.starts_with("node\ntool\n"), "{out}");
    for file in ["etc/npmrc", "conf/settings.xml", "venv/pip.conf"] {
        assert!(out.contains(file), "{file} can be found: {out}");
    }
    let (_, out, _) = run(
        s,
        sh(&format!(
            "cat {}",
            at("home/.sdkman/candidates/maven/current/conf/settings.xml")
        )),
    )
    .await;
    assert_eq!(out, "<settings/>\n");
}

#[tokio::test]
async fn a_cache_is_warm_inside_and_what_is_written_to_it_stays_private() {
    let world = World::new();
    world.write("cache/package", "warm\n");
    world.write("tools/bin/tool", "#!/bin/sh\necho tool\n");
    fs::set_permissions(
        world.path("tools/bin/tool"),
        PermissionsExt::from_mode(0o700),
    )
    .unwrap();
    for method in [Method::Overlay, Method::Copy] {
        let spec = |name: &str| {
            let mut spec = world.spec();
            let at = |part: &str| world.path(&format!("{}-{name}-{part}", method.name()));
            spec.workspace.method = method;
            spec.workspace.layer = at("layer");
            spec.mounts = vec![
                Mount {
                    from: world.path("cache"),
                    inside: "/home/agent/.cache/x".into(),
                    kind: MountKind::Private { layer: at("cache") },
                },
                Mount {
                    from: world.path("tools"),
                    inside: "/tools".into(),
                    kind: MountKind::ReadOnly,
                },
            ];
            spec.files = vec![("/prentice/brief.json".into(), b"{}".to_vec())];
            spec
        };
        let mut first = world.native.prepare(spec("first")).await.unwrap();
        let mut second = world.native.prepare(spec("second")).await.unwrap();
        let script = "cd /home/agent/.cache/x; cat package; echo mine > package; echo new > new; \
                      /tools/bin/tool; touch /tools/x; cat /prentice/brief.json; echo > /prentice/brief.json";
        let (_, out, err) = run(first.as_mut(), sh(script)).await;
        assert_eq!(out, "warm\ntool\n{}");
        assert_eq!(err.matches("Read-only file system").count(), 2, "{err}");
        let (_, out, _) = run(
            second.as_mut(),
            sh("cd /home/agent/.cache/x; cat package; ls"),
        )
        .await;
        assert_eq!(out, "warm\npackage\n");
        assert_eq!(
            fs::read_to_string(world.path("cache/package")).unwrap(),
            "warm\n"
        );
        assert!(!world.path("cache/new").exists());
    }
}

#[tokio::test]
async fn host_paths_may_hold_anything_and_none_shows_inside() {
    let world = World::new();
    let odd = "a:b,c\\d e\n=f\"";
    world.write(&format!("{odd}/lower/file"), "odd\n");
    let mut spec = world.spec();
    spec.workspace.lowers = vec![world.path(odd).join("lower")];
    spec.workspace.layer = world.path(odd).join("layer");
    spec.workspace.method = Method::Overlay;
    let mut session = world.native.prepare(spec).await.unwrap();
    let (exit, out, _) = run(
        session.as_mut(),
        sh("cat file; echo more >> file; cat /proc/self/mountinfo"),
    )
    .await;
    assert_eq!(exit, GREEN);
    assert!(out.starts_with("odd\n"));
    assert!(!out.contains("prentice-it-"), "{out}");
    session.kill().await.unwrap();
    let upper = world.path(odd).join("layer/upper/file");
    assert_eq!(fs::read_to_string(upper).unwrap(), "odd\nmore\n");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_name() {
    let world = World::new();
    let refused = async |change: &dyn Fn(&mut Spec)| {
        let mut spec = world.spec();
        change(&mut spec);
        let error = world.native.prepare(spec).await.err().unwrap();
        assert!(matches!(error, SandboxError::Spec(_)), "{error:?}");
        error
            .to_string()
            .replace(&world.folder.display().to_string(), "~")
    };
    let text = refused(&|s| s.workspace.lowers = vec![world.path("nowhere")]).await;
    insta::assert_snapshot!(text, @"sandbox specification: ~/nowhere is not a folder");
    let mount = |inside: &str, from: PathBuf| Mount {
        from,
        inside: inside.into(),
        kind: MountKind::ReadOnly,
    };
    let text = refused(&|s| s.mounts = vec![mount("/x", world.path("nowhere"))]).await;
    insta::assert_snapshot!(text, @"sandbox specification: ~/nowhere is not there");
    let text = refused(&|s| s.mounts = vec![mount("/work/x", world.path("lower"))]).await;
    insta::assert_snapshot!(text, @"sandbox specification: /work/x and /work would lie inside each other");
    let text = refused(&|s| {
        s.env.insert("A=B".into(), String::new());
    })
    .await;
    insta::assert_snapshot!(text, @r#"sandbox specification: "A=B" cannot be set in an environment"#);
    let mut session = world.session().await;
    run(session.as_mut(), sh("touch x")).await;
    session.kill().await.unwrap();
    let text = refused(&|s| s.workspace.method = Method::Copy).await;
    insta::assert_snapshot!(text, @"sandbox specification: ~/layer was written by another method than copy");
    let gone = Native::new(world.path("no-helper"), world.path("slots"));
    let error = gone.prepare(world.spec()).await.err().unwrap();
    assert!(
        matches!(error, SandboxError::Unavailable { .. }),
        "{error:?}"
    );
    assert_eq!(groups(&world), 0, "what was refused leaves nothing");
}

/// Control groups of this world's first slot.
fn groups(world: &World) -> usize {
    use std::os::unix::fs::MetadataExt;
    let slots = fs::metadata(world.path("slots")).unwrap();
    let name = format!("prentice-{:x}-{:x}-0", slots.dev(), slots.ino());
    let list = Process::new("find")
        .args(["/sys/fs/cgroup", "-name", &name])
        .output()
        .unwrap();
    String::from_utf8(list.stdout).unwrap().lines().count()
}

#[tokio::test]
async fn where_overlay_is_refused_a_copy_is_made_and_told() {
    let world = World::new();
    let twice = vec![world.path("lower"), world.path("lower")];
    // A file system that knows neither idmapped mounts nor overlays, and one lower named twice.
    for (at, lowers) in [vec!["/proc/sys/fs/inotify".into()], twice]
        .into_iter()
        .enumerate()
    {
        let mut spec = world.spec();
        spec.workspace.lowers = lowers;
        spec.workspace.layer = world.path(&format!("layer-{at}"));
        let mut forced = spec.clone();
        forced.workspace.method = Method::Overlay;
        let error = world.native.prepare(forced).await.err().unwrap();
        assert!(
            matches!(error, SandboxError::Unavailable { .. }),
            "{error:?}"
        );
        for _ in 0..2 {
            let mut session = world.native.prepare(spec.clone()).await.unwrap();
            let facts = session.facts().clone();
            println!("{facts:?}");
            assert_eq!(facts.method, Method::Copy);
            let (exit, out, _) = run(
                session.as_mut(),
                sh("ls | head -1; echo x >> $(ls | head -1)"),
            )
            .await;
            assert_eq!(exit, GREEN);
            assert!(
                ["README\n", "max_queued_events\n"].contains(&out.as_str()),
                "{out}"
            );
            session.kill().await.unwrap();
        }
    }
}

#[tokio::test]
async fn sessions_side_by_side_have_identities_of_their_own() {
    let world = World::new();
    let first = world.session().await;
    let second = world.session_elsewhere().await;
    let owner = |layer: &str| {
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(world.path(layer).join("upper")).unwrap())
    };
    if is_root() {
        assert_ne!(owner("layer"), owner("elsewhere"));
        assert!(owner("layer") >= 1_879_048_192);
    } else {
        assert_eq!(owner("layer"), rustix::process::geteuid().as_raw());
    }
    drop((first, second));
}

/// The process that the next test kills: that test's own program, started once more.
async fn host_process_to_be_killed(folder: PathBuf) {
    let native = Native::new(helper(), folder.join("slots"));
    let spec = Spec {
        workspace: Workspace {
            lowers: vec![folder.join("lower")],
            layer: folder.join("layer"),
            inside: "/work".into(),
            method: Method::Auto,
        },
        mounts: Vec::new(),
        env: BTreeMap::new(),
        limits: Limits::default(),
        files: Vec::new(),
    };
    let mut session = native.prepare(spec).await.unwrap();
    let command = sh(&nap(
        "setsid sleep 86406 & trap '' TERM; echo READY; sleep 86406; sleep 86406",
    ));
    session
        .exec(command, &mut |_: Stream, bytes: &[u8]| {
            println!("\n{}", String::from_utf8_lossy(bytes));
            Flow::More
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_killed_host_process_takes_everything_with_it_and_its_slot_is_reclaimed() {
    if let Some(folder) = std::env::var_os("PRENTICE_TEST_FOLDER") {
        return host_process_to_be_killed(PathBuf::from(folder)).await;
    }
    let world = World::new();
    let mut host = Process::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sandbox::a_killed_host_process_takes_everything_with_it_and_its_slot_is_reclaimed",
            "--nocapture",
        ])
        .env("PRENTICE_TEST_FOLDER", &world.folder)
        .env("PRENTICE_TEST_NAP", std::process::id().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open: it goes on printing.
    let mut lines = BufReader::new(host.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let ready = lines.any(|line| line == "READY");
    let becomes = async |wanted: usize| {
        let deadline = Instant::now() + Duration::from_secs(5);
        while napping("86406") != wanted && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        napping("86406") == wanted
    };
    let running = becomes(2).await;
    host.kill().unwrap();
    host.wait().unwrap();
    assert!(ready && running);
    assert!(becomes(0).await);
    let tier = world.native.probe().await.unwrap().limits;
    assert_eq!(
        groups(&world),
        0,
        "the probe took the slot and its groups over"
    );
    assert_eq!(world.native.reclaim(), 1);
    println!("tier {}", tier.name());
}

#[tokio::test]
async fn the_user_s_tool_chains_work_without_configuration() {
    let world = World::new();
    let env: BTreeMap<String, String> = std::env::vars().collect();
    let found = prentice::sandbox::toolchains::find(&env, &world.path("lower"), Path::new("/work"));
    println!("{}\n{:#?}", found.told.join("\n"), found.env);
    let mut spec = world.spec();
    spec.limits.memory_bytes = 4 << 30;
    spec.limits.pids = 512;
    spec.mounts = found.mounts(&world.path("caches"));
    spec.env = found.env.clone();
    spec.files = found.files.clone();
    let mut session = world.native.prepare(spec).await.unwrap();
    let mut tried = 0;
    for (program, script) in TOOLS {
        let outside = Process::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .unwrap();
        if !outside.status.success() {
            crate::skip::skipped(&format!("tool chain {program}"), "not on this host");
            continue;
        }
        let started = Instant::now();
        let (exit, out, err) = run(session.as_mut(), sh(script)).await;
        println!(
            "{program}: {exit:?} in {} ms: {}",
            started.elapsed().as_millis(),
            out.lines().last().unwrap_or("")
        );
        assert_eq!(exit, GREEN, "{program}: {out}\n{err}");
        tried += 1;
    }
    assert!(tried > 0);
}

/// A dependency that the user's own npm has in its cache is installed without a network.
#[tokio::test]
async fn npm_installs_from_the_warm_cache_of_the_user() {
    let world = World::new();
    let package = r#"{"name":"x","version":"1.0.0","scripts":{"test":"node t.js"},"dependencies":{"is-number":"7.0.0"}}"#;
    world.write("lower/package.json", package);
    let test = "process.exit(require('is-number')(5) ? 0 : 1)\n";
    world.write("lower/t.js", test);
    fs::create_dir(world.path("home")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let fetched = Process::new("npm")
        .args(["install", "--no-audit", "--no-fund"])
        .current_dir(world.path("lower"))
        .env("HOME", world.path("home"))
        .env("npm_config_cache", world.path("home/.npm"))
        .env("npm_config_omit_lockfile_registry_resolved", "false")
        .output();
    if !fetched.as_ref().is_ok_and(|done| done.status.success()) {
        let why = match fetched {
            Ok(done) => String::from_utf8_lossy(&done.stderr).into_owned(),
            Err(e) => e.to_string(),
        };
        let why = why.lines().next().unwrap_or("no word of it");
        crate::skip::skipped("npm with a warm cache", why);
        return;
    }
    fs::remove_dir_all(world.path("lower/node_modules")).unwrap();
    let env = BTreeMap::from([
        ("HOME".to_owned(), world.path("home").display().to_string()),
        ("PATH".to_owned(), path),
    ]);
    let found = prentice::sandbox::toolchains::find(&env, &world.path("lower"), Path::new("/work"));
    let mut spec = world.spec();
    spec.limits.memory_bytes = 4 << 30;
    spec.mounts = found.mounts(&world.path("caches"));
    spec.env = found.env.clone();
    spec.files = found.files.clone();
    let mut session = world.native.prepare(spec).await.unwrap();
    let (exit, out, err) = run(session.as_mut(), sh("npm ci && npm test")).await;
    assert_eq!(exit, GREEN, "{out}{err}\n{}", found.told.join("\n"));
}

/// A small project of each kind, built and tested offline.
const TOOLS: [(&str, &str); 7] = [
    (
        "python3",
        "mkdir p && cd p && printf 'import unittest\nclass T(unittest.TestCase):\n  def test(self): self.assertEqual(1, 1)\n' > test_x.py && python3 -m unittest",
    ),
    (
        "make",
        "mkdir m && cd m && printf 'check:\n\t@cc -o x x.c && ./x && echo checked\n' > Makefile && echo 'int main(void){return 0;}' > x.c && make check",
    ),
    (
        "go",
        "mkdir g && cd g && printf 'module x\ngo 1.20\n' > go.mod && printf 'package x\nimport \"testing\"\nfunc TestX(t *testing.T) {}\n' > x_test.go && go version && go test ./...",
    ),
    (
        "node",
        "mkdir n && cd n && echo '{\"name\":\"x\",\"version\":\"1.0.0\",\"scripts\":{\"test\":\"node -e 1\"}}' > package.json && echo '{\"name\":\"x\",\"version\":\"1.0.0\",\"lockfileVersion\":3,\"packages\":{\"\":{\"name\":\"x\",\"version\":\"1.0.0\"}}}' > package-lock.json && npm ci && npm test",
    ),
    ("rustc", "rustc --version && cargo --version"),
    (
        "cargo",
        "cargo init --vcs none --lib r && cd r && echo 'itoa = \"1\"' >> Cargo.toml && cargo test",
    ),
    (
        "java",
        "printf 'public class X { public static void main(String[] a) { System.out.println(System.getProperty(\"user.home\")); } }' > X.java && java X.java | grep -x /home/agent",
    ),
];

/// Everything above and every attack, once more as an ordinary user.
#[test]
fn all_of_it_holds_for_an_ordinary_user() {
    let words = ["sandbox::", "hostile::", "--test-threads=4"];
    let Some(output) = crate::ordinary::again("sandbox as root", &words) else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("test result: ok"), "{text}");
}
