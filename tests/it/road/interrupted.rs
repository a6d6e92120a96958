//! Interruptions: signals, a second process, a full disk.

use rustix::process::Signal;

use super::*;

/// Does half of the work, says so, and goes on for a minute; finds its half done, it ends at once.
fn half() -> String {
    sh(
        r#"if grep -qx right answer.txt; then echo rest > rest.txt; exit 0; fi
        echo right > answer.txt; echo "{\"type\":\"step\",\"text\":\"half done\"}"; sleep 60"#,
    )
}

#[test]
fn a_signal_keeps_the_work_and_resume_goes_on_from_it() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let road = Road::new();
        let frozen = road.frozen();
        let agent = half();
        let mut run = road.start(&agent);
        run.says("agent: half done");
        run.signal(signal);
        let ran = run.end().ends(code);
        assert_eq!(ran.json()["stage"], "queued");
        road.prentice(&["tasks", "show", "T-1"])
            .ends(0)
            .says("Interrupted by ada. The work so far is kept.")
            .says("prentice tasks resume T-1");
        assert_eq!(road.stage("T-1"), "queued");
        assert!(road.agent_branches().is_empty());

        let done = road
            .prentice(&["--json", "tasks", "resume", "T-1"])
            .ends(0)
            .json();
        let files: Vec<&str> = done["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| file["path"].as_str().unwrap())
            .collect();
        assert_eq!(
            files,
            ["answer.txt", "rest.txt"],
            "the second run found the first one's half"
        );
        assert_eq!(road.runs("T-1"), 2);
        frozen.still();
        // Nothing is left to resume, and it is said.
        road.prentice(&["tasks", "resume", "T-1"])
            .ends(2)
            .says("nothing to resume");
        road.prentice(&["tasks", "resume"])
            .ends(0)
            .says("nothing is interrupted");
    }
}

#[test]
fn a_signal_during_the_checks_keeps_the_work_too() {
    let settings = SETTINGS.replace(
        "grep -qx right answer.txt",
        "grep -qx right answer.txt && sleep 3",
    );
    let road = Road::with(&settings);
    let agent = sh("test -e kept.txt || { echo right > answer.txt; echo once >> kept.txt; }");
    let mut run = road.start(&agent);
    run.says("head: tests …");
    std::thread::sleep(Duration::from_millis(500));
    run.signal(Signal::INT);
    let ran = run.end().ends(130);
    assert_eq!(ran.json()["stage"], "queued");
    let done = road.prentice(&["--json", "tasks", "resume"]).ends(0).json();
    let branch = done["branch"].as_str().unwrap();
    assert_eq!(road.git(&["show", &format!("{branch}:kept.txt")]), "once");
}

#[test]
fn a_signal_during_the_checks_of_the_base_ends_the_run_and_the_referee() {
    let settings = SETTINGS.replace("grep -qx", "sleep 30; grep -qx");
    let road = Road::with(&settings);
    let mut run = road.start(FIX);
    run.says("base: tests …");
    run.signal(Signal::INT);
    assert_eq!(run.end().ends(130).json()["stage"], "queued");

    let mut verify = Running::start(road.command(&["--json", "verify", "--repo", "repo"]));
    verify.says("base: tests …");
    verify.signal(Signal::INT);
    let (code, message) = verify.end().ends(130).error();
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("interrupted", "interrupted; nothing was kept")
    );
    let left: Vec<String> = road.files("state/prentice/work").into_iter().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn layers_of_a_killed_verify_go_with_the_next_start_and_those_of_a_living_one_stay() {
    let road = Road::new();
    let slow = [
        "verify",
        "--repo",
        "repo",
        "--verify",
        "echo x > layer; sleep 60",
    ];
    let layers = || {
        let entries = fs::read_dir(road.path("state/prentice/work")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let killed = || {
        let before = layers();
        let mut one = Running::start(road.command(&slow));
        one.says("base: check-1 …");
        let made = layers().into_iter().find(|name| !before.contains(name));
        one.signal(Signal::KILL);
        one.end();
        let made = made.unwrap();
        assert!(layers().contains(&made), "nothing was left to remove");
        made
    };
    fs::create_dir_all(road.path("state/prentice/work")).unwrap();
    let mut living = Running::start(road.command(&slow));
    living.says("base: check-1 …");
    let [its] = &layers()[..] else {
        panic!("{:?}", layers());
    };

    // The next one that judges, and the next one that runs.
    killed();
    road.prentice(&["verify", "--repo", "repo", "--verify", "true"])
        .ends(0);
    assert_eq!(layers(), std::slice::from_ref(its));
    let dead = killed();
    road.run(FIX).ends(0);
    assert!(!layers().contains(&dead), "{:?}", layers());
    assert!(layers().contains(its), "{:?}", layers());

    living.signal(Signal::INT);
    living.end().ends(130);
    assert!(!layers().contains(its), "{:?}", layers());
}

#[test]
fn while_one_is_at_work_others_read_judge_and_stop_but_do_not_work() {
    let road = Road::new();
    let agent = half();
    let mut run = road.start(&agent);
    run.says("agent: half done");

    let second = road.run(FIX).ends(10);
    let (code, message) = second.error();
    assert_eq!(code, "host");
    assert!(
        message.contains("another prentice is at work on") && message.contains("run issue.md"),
        "{message}"
    );
    assert!(
        message.contains(&format!("process {}", run.child.id())),
        "{message}"
    );
    road.prentice(&["demo"])
        .ends(10)
        .says("another prentice is at work");
    road.prentice(&["tasks", "resume", "T-1"])
        .ends(10)
        .says("another prentice is at work");

    assert_eq!(road.stage("T-1"), "running");
    road.prentice(&["tasks", "show", "T-1"])
        .ends(0)
        .says("the agent works");
    road.prentice(&["tasks", "logs", "T-1"]).ends(0);
    road.prentice(&["verify", "--repo", "repo", "--verify", "true"])
        .ends(0)
        .says("verified");
    // An act that does not fit is refused by the one at work.
    road.prentice(&["tasks", "approve", "T-1", "r1"])
        .ends(2)
        .says("nothing waits for an approval");

    let stop = road
        .prentice(&["--json", "tasks", "stop", "T-1"])
        .ends(0)
        .json();
    assert_eq!(stop["task"], "T-1");
    assert!(
        ["running", "stopped"].contains(&stop["stage"].as_str().unwrap()),
        "{stop}"
    );
    let ran = run.end().ends(130);
    assert_eq!(ran.json()["stage"], "stopped");
    assert_eq!(road.stage("T-1"), "stopped");
    assert!(road.agent_branches().is_empty());
}

#[test]
fn a_run_first_finishes_what_a_kill_interrupted_and_tells_only_of_itself() {
    let road = Road::new();
    let agent = sh(
        r#"echo right > answer.txt; echo "{\"type\":\"step\",\"text\":\"half done\"}"; test -e stop || { sleep 5; }"#,
    );
    let mut run = road.start(&agent);
    run.says("agent: half done");
    run.signal(Signal::KILL);
    run.end().ends(-1009);
    let ran = road.run(&sh("exit 3")).ends(6);
    assert!(
        ran.err.contains("T-1 was interrupted; finishing it first"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("T-1 is needs-review now"), "{}", ran.err);
    assert_eq!(ran.json()["task"], "T-2");
    assert_eq!(road.agent_branches().len(), 1);
}

#[test]
fn without_a_sandbox_nothing_starts_and_the_fix_is_told() {
    let road = Road::new();
    // A namespace of users in which no further one may be made, as hardened hosts are set.
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces && \
                  exec setpriv --ambient-caps=-all --inh-caps=-all \"$@\"";
    let own = [
        "--user",
        "--map-user=1000",
        "--map-group=1000",
        "--keep-caps",
    ];
    let within = |words: &[&str]| {
        let mut process = road.process("unshare");
        process
            .args(own)
            .args(["sh", "-c", forbid, "sh"])
            .arg(env!("CARGO_BIN_EXE_prentice"))
            .args(words)
            .stdin(Stdio::null());
        Running::start(process).end()
    };
    let words = road.run_words(FIX);
    for words in [
        &words[..],
        &["--json", "verify", "--repo", "repo"],
        &["--json", "demo"],
    ] {
        let (code, message) = within(words).ends(10).error();
        assert_eq!(code, "host");
        assert!(
            message.contains("sandbox") && message.contains("max_user_namespaces"),
            "{message}"
        );
    }
    // No task was made by any of them, and with a sandbox it works at once.
    assert_eq!(road.prentice(&["tasks", "list"]).ends(0).out, "no tasks\n");
    road.run(FIX).ends(0);
}

/// A shell in a mount namespace of its own, with a small disk for the data folder.
struct SmallDisk {
    holder: Child,
}

impl SmallDisk {
    fn new(road: &Road) -> Self {
        let script = "mount -t tmpfs -o size=24m,mode=755 small \"$XDG_STATE_HOME\" && echo ready && exec cat";
        let mut process = road.process("unshare");
        let mut holder = process
            .args(["--mount", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert_eq!(said, "ready\n");
        Self { holder }
    }

    fn command(&self, road: &Road, program: &str, words: &[&str]) -> Process {
        let mut process = road.process("nsenter");
        process
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            // A working folder from outside would not show the mount.
            .args(["sh", "-c", "cd \"$0\" && exec \"$@\""])
            .arg(&road.folder)
            .arg(program)
            .args(words)
            .stdin(Stdio::null());
        process
    }

    fn prentice(&self, road: &Road, words: &[&str]) -> Ran {
        Running::start(self.command(road, env!("CARGO_BIN_EXE_prentice"), words)).end()
    }

    /// Never more than the small disk holds, so that a mistake here fills no other.
    fn fill(&self, road: &Road) {
        let script = "mountpoint -q state && ! dd if=/dev/zero of=state/ballast bs=64k count=500";
        let mut process = self.command(road, "sh", &["-c", script]);
        let done = process.stderr(Stdio::null()).status().unwrap();
        assert!(done.success(), "the small disk is not full");
    }

    fn free(&self, road: &Road) {
        let done = self.command(road, "rm", &["state/ballast"]).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

#[test]
fn a_full_disk_leaves_the_stage_as_it_was_and_resume_finishes_it() {
    if !is_root() {
        crate::skip::skipped("a full disk", "a small disk of one's own takes root");
        return;
    }
    let road = Road::new();
    let disk = SmallDisk::new(&road);
    let agent = sh(
        r#"echo "{\"type\":\"step\",\"text\":\"half done\"}"; sleep 2; echo right > answer.txt"#,
    );
    let words = road.run_words(&agent);
    let mut run = Running::start(disk.command(&road, env!("CARGO_BIN_EXE_prentice"), &words));
    run.says("agent: half done");
    disk.fill(&road);
    let ended = run.end().ends(10).json();
    assert_eq!(keys(&ended), ["error", "schema_version", "task"]);
    assert_eq!(
        (&ended["task"], &ended["error"]["code"]),
        (&"T-1".into(), &"host".into())
    );
    let message = ended["error"].to_string();
    assert!(message.contains("prentice tasks resume T-1"), "{message}");
    assert!(
        message.contains("space") || message.contains("full"),
        "{message}"
    );

    // Full before anything starts: the same code, the same reason.
    let (code, message) = disk.prentice(&road, &words).ends(10).error();
    assert_eq!(code, "host", "{message}");

    disk.free(&road);
    let list = disk
        .prentice(&road, &["--json", "tasks", "list"])
        .ends(0)
        .json();
    assert_eq!(list["tasks"].as_array().unwrap().len(), 1, "{list:#}");
    assert_eq!(list["tasks"][0]["stage"], "running", "{list:#}");
    let done = disk
        .prentice(&road, &["--json", "tasks", "resume", "T-1"])
        .ends(0)
        .json();
    assert_eq!(done["stage"], "needs-review");
    assert_eq!(road.agent_branches().len(), 1);
}

/// Says that it is half done, and is done a moment later; a kill between the two finds it at work.
fn slow() -> String {
    sh(r#"echo "{\"type\":\"step\",\"text\":\"half done\"}"; sleep 2; echo right > answer.txt"#)
}

#[test]
fn while_one_is_at_work_a_rejection_of_another_task_leaves_nothing_at_once() {
    let road = Road::new();
    road.run(FIX).ends(0);
    road.run(&sh("echo right > answer.txt; echo x > LICENSE"))
        .ends(7);
    let agent = half();
    let mut run = road.start(&agent);
    run.says("agent: half done");
    // What the one at work does not do for others is told with the way to have it done.
    road.prentice(&["tasks", "approve", "T-2", "r1"])
        .ends(0)
        .says("once it is done, prentice tasks resume T-2");
    road.prentice(&["tasks", "reject", "T-1"])
        .ends(0)
        .says("only the record is left");
    assert!(road.agent_branches().is_empty());
    assert!(road.files("state/prentice/tasks/T-1").is_empty());
    assert_eq!(road.stage("T-1"), "rejected");
    run.signal(Signal::INT);
    run.end().ends(130);
    assert_eq!(road.stage("T-3"), "queued");
    road.prentice(&["tasks", "resume", "T-2"]).ends(0);
    assert_eq!(road.agent_branches().len(), 1);
}

#[test]
fn an_older_task_that_cannot_be_finished_decides_neither_the_end_nor_the_json_of_a_run() {
    let road = Road::new();
    let agent = slow();
    let mut words = road.run_words(&agent).to_vec();
    words.extend(["--out", "out"]);
    let mut run = Running::start(road.command(&words));
    run.says("agent: half done");
    run.signal(Signal::KILL);
    run.end().ends(-1009);
    // Its reports can be written nowhere any more.
    fs::remove_dir_all(road.path("out")).unwrap();
    road.write("out", "a file\n");
    let ran = road.run(FIX).ends(0);
    assert_eq!(ran.json()["task"], "T-2");
    let ran = ran
        .says("T-1 could not be finished")
        .says("prentice tasks resume T-1");
    assert!(ran.err.contains("out"), "{}", ran.err);

    fs::remove_file(road.path("out")).unwrap();
    road.prentice(&["tasks", "resume", "T-1"]).ends(0);
    assert_eq!(road.agent_branches().len(), 2);
}

#[test]
fn a_deleted_repository_keeps_no_other_task_and_its_own_can_be_ended() {
    let road = Road::new();
    road.git_in(".", &["clone", "-q", "repo", "other"]);
    // A repository around it is another one.
    road.git_in(".", &["init", "-q", "-b", "main", "."]);
    let agent = slow();
    for repo in ["other", "repo"] {
        let words = [
            "--json",
            "run",
            "issue.md",
            "--repo",
            repo,
            "--agent-cmd",
            &agent,
        ];
        let mut run = Running::start(road.command(&words));
        run.says("agent: half done");
        run.signal(Signal::KILL);
        run.end().ends(-1009);
    }
    fs::remove_dir_all(road.path("other")).unwrap();
    let resumed = road.prentice(&["--json", "tasks", "resume"]).ends(10);
    assert_eq!(resumed.json()["task"], "T-2");
    let resumed = resumed
        .says("the repository of T-1")
        .says("prentice tasks reject T-1");
    assert!(!resumed.err.contains("--repo"), "{}", resumed.err);
    assert_eq!(road.stage("T-2"), "needs-review");

    road.run(FIX)
        .ends(0)
        .says("not there any more, was interrupted: prentice tasks reject T-1");
    road.prentice(&["tasks", "reject", "T-1"])
        .ends(0)
        .says("only the record is left");
    assert_eq!(road.stage("T-1"), "rejected");
    let ran = road.run(FIX).ends(0);
    assert!(!ran.err.contains("T-1"), "{}", ran.err);
}
