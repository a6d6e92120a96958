//! What each ending says: what was done, what was kept and why, and the next step. And what is refused before any work.

use rustix::process::Signal;

use super::*;

const PLAIN: [&str; 6] = ["run", "issue.md", "--repo", "repo", "--agent-cmd", FIX];

/// A script in the machine's folders that does what was asked.
fn script(road: &Road, name: &str) -> String {
    road.write(name, "#!/bin/sh\necho right > answer.txt\n");
    let path = road.path(name);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_rejection_says_what_is_gone_and_what_stays() {
    let road = Road::new();
    road.prentice(&PLAIN).ends(0);
    let told = road.prentice(&["tasks", "reject", "T-1"]).ends(0);
    insta::assert_snapshot!(told.out, @r"
    rejected branch and report are removed; only the record is left
    agent    sh
    next     prentice tasks show T-1
    ");

    let second = road.run(FIX).ends(0).json();
    let branch = second["branch"].as_str().unwrap();
    road.git(&["checkout", "-q", branch]);
    let told = road.prentice(&["tasks", "reject", "T-2"]).ends(0);
    assert!(
        told.out.contains("kept     branch `agent/2-"),
        "{}",
        told.out
    );
    assert!(told.out.contains("is checked out in"), "{}", told.out);
    assert!(
        told.out
            .contains("the rest is removed; only the record is left"),
        "{}",
        told.out
    );
    assert_eq!(road.agent_branches().len(), 1);
    road.git(&["checkout", "-q", "main"]);

    road.prentice(&["run", "issue.md", "--repo", "repo", "--agent-cmd", "false"])
        .ends(6);
    let told = road.prentice(&["tasks", "stop", "T-3"]).ends(0);
    assert!(
        told.out.starts_with(
            "stopped  no branch was made, its files are removed; logs and patch stay until "
        ),
        "{}",
        told.out
    );
}

#[test]
fn an_interruption_says_what_is_kept_and_how_to_go_on() {
    let road = Road::new();
    let agent = sh(
        r#"echo right > answer.txt; echo "{\"type\":\"step\",\"text\":\"half done\"}"; sleep 60"#,
    );
    let words = ["run", "issue.md", "--repo", "repo", "--agent-cmd", &agent];
    let mut run = Running::start(road.command(&words));
    run.says("agent: half done");
    run.signal(Signal::INT);
    let told = run.end().ends(130);
    assert!(told.err.contains("once more ends at once"), "{}", told.err);
    insta::assert_snapshot!(told.out, @r"
    paused   interrupted by ada; the work so far is kept
    agent    sh
    next     prentice tasks resume T-1
    ");
}

#[test]
fn an_approval_of_the_brief_says_what_it_asks_for() {
    let road = Road::new();
    let issue = format!("{ISSUE}\n### Files or areas in scope\n\nsrc/auth/**\nanswer.txt\n");
    road.write("issue.md", &issue);
    let told = road.prentice(&PLAIN).ends(7);
    assert!(
        told.out.starts_with(
            "asks     b1: the brief names src/auth/**, which the repository calls sensitive ("
        ),
        "{}",
        told.out
    );
}

#[test]
fn after_a_kill_a_task_is_called_interrupted_with_the_way_on() {
    let road = Road::new();
    let mut run = road.start(&sh(
        r#"echo "{\"type\":\"step\",\"text\":\"half done\"}"; sleep 60"#,
    ));
    run.says("agent: half done");
    let shown = road.prentice(&["tasks", "show", "T-1"]).ends(0);
    assert!(!shown.out.contains("interrupted"), "{}", shown.out);
    run.signal(Signal::KILL);
    run.end().ends(-1009);
    let shown = road.prentice(&["tasks", "show", "T-1"]).ends(0);
    assert!(shown.out.contains("T-1 was interrupted"), "{}", shown.out);
    assert!(
        shown.out.contains("prentice tasks resume T-1"),
        "{}",
        shown.out
    );
    assert!(!shown.out.contains("Nothing needed"), "{}", shown.out);
    road.prentice(&["tasks", "list"])
        .ends(0)
        .says("interrupted: prentice tasks resume T-1");
    road.prentice(&["tasks", "logs", "T-1"])
        .ends(0)
        .says("set-up or check of a run without a result yet");
}

#[test]
fn what_is_shown_on_a_terminal_has_no_escapes_of_markdown() {
    let road = Road::new();
    let agent = sh(r#"echo right > _cache_; printf '\033[31m= red _x_ [y] *z*\n'; exit 4"#);
    road.run(&agent).ends(6);
    let shown = road.prentice(&["tasks", "show", "T-1"]).ends(0);
    assert!(!shown.out.contains('\\'), "{}", shown.out);
    assert!(!shown.out.contains("<details>"), "{}", shown.out);
}

#[test]
fn an_agent_that_the_sandbox_does_not_show_is_refused_before_there_is_a_task() {
    let road = Road::new();
    let outside = script(&road, "bin/agent.sh");
    let mut path = road.command(&road.run_words("agent.sh"));
    path.env(
        "PATH",
        format!("{}:/usr/bin:/bin", road.path("bin").display()),
    );
    for ran in [road.run(&outside), Running::start(path).end()] {
        let (code, message) = ran.ends(3).error();
        assert_eq!(code, "no-agent");
        assert!(
            message.contains(&outside)
                && message.contains("not visible inside the sandbox")
                && message.contains("`[sandbox] toolchains`"),
            "{message}"
        );
    }
    for missing in ["no-such-program", "/usr/bin/no-such-program"] {
        let (code, message) = road.run(missing).ends(3).error();
        assert_eq!(code, "no-agent");
        assert!(message.contains("there is no program"), "{message}");
    }
    script(&road, "repo/tools/fix.sh");
    let (code, message) = road.run("tools/fix.sh").ends(3).error();
    assert_eq!(code, "no-agent");
    assert!(message.contains("not in the commit"), "{message}");
    assert_eq!(road.prentice(&["tasks", "list"]).ends(0).out, "no tasks\n");

    // Each way that the messages name is one.
    let server = format!(
        "version = 1\n[sandbox]\ntoolchains = [{:?}]\n",
        road.path("bin")
    );
    road.write("server.toml", &server);
    let mut words = vec!["--config", "server.toml"];
    words.extend(road.run_words(&outside));
    road.prentice(&words).ends(0);
    road.commit("a tool of ours");
    road.run("tools/fix.sh").ends(0);
    road.run("/work/tools/fix.sh").ends(0);
}

#[test]
fn a_folder_for_the_report_that_cannot_be_written_is_refused_before_any_work() {
    let road = Road::new();
    road.write("file", "mine\n");
    for (out, why) in [
        ("file", "File exists"),
        ("file/below", "Not a directory"),
        ("/proc/x", "/proc"),
    ] {
        let mut words = road.run_words(FIX).to_vec();
        words.extend(["--out", out]);
        let (code, message) = road.prentice(&words).ends(5).error();
        assert_eq!(code, "not-found");
        assert!(
            message.contains(why) && message.contains("--out"),
            "{message}"
        );
    }
    assert_eq!(road.prentice(&["tasks", "list"]).ends(0).out, "no tasks\n");
    assert_eq!(road.read("file"), "mine\n");
    let mut words = road.run_words(FIX).to_vec();
    words.extend(["--out", "new/deep"]);
    road.prentice(&words).ends(0);
    assert!(road.path("new/deep/T-1/PR.md").exists());
}

#[test]
fn what_a_message_quotes_is_not_taken_for_the_next_step() {
    let road = Road::new();
    let mut run = road.start(&sh(
        r#"echo "{\"type\":\"step\",\"text\":\"half done\"}"; sleep 60"#,
    ));
    run.says("agent: half done");
    let object = road.run(FIX).ends(10).json();
    assert_eq!(object["error"]["hint"], "wait until it is done or stop it");
    let message = object["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("; sleep 60") && message.ends_with("UTC)"),
        "{message}"
    );
    run.signal(Signal::INT);
    run.end().ends(130);
}

#[test]
fn an_answer_may_begin_with_a_dash_and_one_to_nothing_asked_is_refused() {
    let road = Road::new();
    road.write("issue.md", "# The answer is wrong\n\nMake it right.\n");
    road.run(FIX).ends(7);
    road.prentice(&["tasks", "answer", "T-1", "defaults"])
        .ends(2)
        .says("nothing asked here has a default");
    let done = road
        .prentice(&[
            "tasks",
            "answer",
            "T-1",
            "- [ ] The answer is right (`tests`)",
            "--json",
        ])
        .ends(0)
        .json();
    assert_eq!(
        done["brief"]["criteria"][0]["checks"],
        serde_json::json!(["tests"]),
        "{done:#}"
    );

    road.write("issue.md", ISSUE);
    let agent = sh(r#"echo "{\"type\":\"ask\",\"question\":\"which?\"}"; exit 20"#);
    road.run(&agent).ends(7);
    let runs = road.runs("T-2");
    road.prentice(&["tasks", "answer", "T-2", "7: foo"])
        .ends(2)
        .says("there is no question 7; only one was asked");
    road.prentice(&["tasks", "answer", "T-2", "defaults"])
        .ends(2)
        .says("question 1 has no default");
    assert_eq!(road.runs("T-2"), runs);
}

#[test]
fn a_repository_without_a_default_branch_is_not_compared_with_itself() {
    let road = Road::new();
    road.git(&["branch", "-q", "-m", "main", "trunk"]);
    let (code, message) = road
        .prentice(&["--json", "verify", "--repo", "repo"])
        .ends(5)
        .error();
    assert_eq!(code, "not-found");
    assert!(
        message.contains("no default branch") && message.contains("--base"),
        "{message}"
    );
    road.prentice(&[
        "verify", "--repo", "repo", "--base", "HEAD", "--verify", "true",
    ])
    .ends(0);
}

#[test]
fn a_result_that_nobody_got_is_no_success() {
    let road = Road::new();
    for words in [&["--json", "tasks", "list"][..], &["tasks", "list"]] {
        let mut process = road.command(words);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let done = process.stdout(full).output().unwrap();
        assert_eq!(done.status.code(), Some(10));
        let err = String::from_utf8_lossy(&done.stderr);
        assert!(err.contains("could not be printed"), "{err}");
    }
}

#[test]
fn what_is_missing_is_named_with_the_next_step() {
    let road = Road::new();
    let words = ["--json", "run", "-", "--repo", "repo", "--agent-cmd", FIX];
    let (_, message) = road.prentice_told(&words, " \n").ends(7).error();
    assert!(message.starts_with("standard input is empty"), "{message}");
    let words = [
        "--json",
        "run",
        "none.md",
        "--repo",
        "repo",
        "--agent-cmd",
        FIX,
    ];
    let (_, message) = road.prentice(&words).ends(5).error();
    assert!(
        message.contains("name a file that holds the issue"),
        "{message}"
    );
    road.prentice(&["config", "check", "none.toml"])
        .ends(5)
        .says("name a repository file");
    road.git(&["checkout", "-q", "--orphan", "other"]);
    road.commit("another beginning");
    road.prentice(&["verify", "--repo", "repo", "--verify", "true"])
        .ends(5)
        .says("no common ancestor")
        .says("--base");
    // What stands in the way of a branch is told once.
    road.git(&["checkout", "-q", "-f", "main"]);
    road.git(&["branch", "agent"]);
    let (_, why) = road.run(FIX).ends(10).failure();
    assert_eq!(why.matches("in the way").count(), 1, "{why}");
}
