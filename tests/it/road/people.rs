//! What people do to tasks: approve, answer, reject, retry, stop; and what they do to the result.

use super::*;

/// Fixes it, and touches a protected file and a list of dependencies.
const BOTH: &str =
    "sh -c 'echo right > answer.txt; echo x > LICENSE; echo serde > requirements.txt'";

#[test]
fn an_act_that_does_not_fit_says_what_is_true_and_what_is_possible_and_changes_nothing() {
    let road = Road::new();
    road.run(FIX).ends(0);
    let journal = road.journal("T-1");
    for (words, why) in [
        (&["approve", "T-1", "r2"][..], "that is not what is asked"),
        (&["answer", "T-1", "defaults"], "nothing was asked"),
        (&["retry", "T-1"], "nothing failed"),
        (&["stop", "T-1"], "nothing is running"),
        (&["resume", "T-1"], "nobody interrupted it"),
        (&["reject", "T-1", "scope"], "nothing waits for an approval"),
    ] {
        let words = [&["--json", "tasks"], words].concat();
        let (code, message) = road.prentice(&words).ends(2).error();
        assert_eq!(code, "not-now", "{words:?}");
        assert!(message.contains(why), "{words:?}: {message}");
        assert!(
            message.contains("T-1 is needs-review")
                && message.contains("prentice tasks reject T-1"),
            "{words:?}: {message}"
        );
    }
    assert_eq!(road.journal("T-1"), journal);

    road.prentice(&["tasks", "reject", "T-1"]).ends(0);
    let verbs = [
        &["approve", "T-1"][..],
        &["answer", "T-1", "x"],
        &["reject", "T-1"],
        &["retry", "T-1"],
        &["stop", "T-1"],
        &["resume", "T-1"],
    ];
    for words in verbs {
        let words = [&["tasks"], words].concat();
        road.prentice(&words)
            .ends(2)
            .says("T-1 is rejected")
            .says("which is final");
    }
    for verb in ["show", "logs", "stop", "resume", "reject"] {
        road.prentice(&["tasks", verb, "T-9"])
            .ends(5)
            .says("there is no task T-9");
    }
}

#[test]
fn a_published_result_can_be_approved_which_the_record_keeps() {
    let road = Road::new();
    road.run(FIX).ends(0);
    road.prentice(&["tasks", "approve", "T-1", "r1"]).ends(0);
    road.prentice(&["tasks", "show", "T-1"])
        .ends(0)
        .says("needs-review");
    let journal = road.journal("T-1");
    assert!(
        journal.iter().any(|line| line.contains("approved")),
        "{journal:?}"
    );
}

#[test]
fn what_is_typed_wrong_is_refused_with_the_usage() {
    let road = Road::new();
    road.run(BOTH).ends(7);
    for words in [
        &["approve", "T-1", "everything"][..],
        &["approve", "T-1", "network"],
        &["retry", "T-1", "--budget", "30m"],
        &["retry", "T-1", "--budget", "100x"],
        &["show", "one"],
    ] {
        let words = [&["tasks"], words].concat();
        let ran = road.prentice(&words).ends(2);
        assert!(
            ran.out.is_empty() && !ran.err.is_empty(),
            "{words:?}: {ran:?}"
        );
    }
    assert_eq!(road.stage("T-1"), "needs-approval");
}

#[test]
fn what_is_asked_is_granted_one_by_one_and_published_when_none_is_left() {
    let road = Road::new();
    let frozen = road.frozen();
    let asked = road.run(BOTH).ends(7).json();
    let commands: Vec<&str> = asked["asks"]["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c.as_str().unwrap())
        .collect();
    assert_eq!(
        commands,
        [
            "prentice tasks approve T-1 r1",
            "prentice tasks approve T-1 scope",
            "prentice tasks approve T-1 deps",
            "prentice tasks reject T-1 scope",
            "prentice tasks reject T-1 deps",
            "prentice tasks reject T-1",
        ]
    );
    let half = road
        .prentice(&["--json", "tasks", "approve", "T-1", "scope"])
        .ends(7)
        .json();
    assert_eq!(half["stage"], "needs-approval");
    assert!(road.agent_branches().is_empty());
    // Granted is granted; it is not asked again.
    road.prentice(&["tasks", "approve", "T-1", "scope"])
        .ends(2)
        .says("asked is r1 or deps");
    let done = road
        .prentice(&["--json", "tasks", "approve", "T-1", "deps"])
        .ends(0)
        .json();
    assert_eq!(done["head"], asked["head"]);
    assert_eq!(road.runs("T-1"), 1);
    frozen.still();
}

#[test]
fn an_approval_holds_only_for_exactly_what_it_names() {
    let road = Road::new();
    // Whatever people say, it touches what it may not.
    let asked = road.run(BOTH).ends(7).json();
    let old = asked["head"].as_str().unwrap().to_owned();
    road.prentice(&["tasks", "approve", "T-1", "r2"])
        .ends(2)
        .says("asked is r1");
    road.prentice(&["tasks", "approve", "T-1", "0123456789"])
        .ends(2)
        .says("asked is r1");
    road.prentice(&["tasks", "approve", "T-1", "b1"])
        .ends(2)
        .says("asked is r1");

    let again = road.prentice(&["--json", "tasks", "reject", "T-1", "deps"]);
    let again = again.ends(7).json();
    assert_eq!(again["asks"]["revision"], "r2");
    assert_eq!(road.runs("T-1"), 2);
    road.prentice(&["tasks", "approve", "T-1", "r1"])
        .ends(2)
        .says("asked is r2");
    let new = again["head"].as_str().unwrap();
    if new != old {
        road.prentice(&["tasks", "approve", "T-1", &old[..12]])
            .ends(2)
            .says("asked is r2");
    }
    let done = road
        .prentice(&["--json", "tasks", "approve", "T-1", &new[..12]])
        .ends(0)
        .json();
    assert_eq!(done["head"], new);
}

#[test]
fn the_work_goes_on_without_what_was_refused() {
    let road = Road::new();
    let agent = sh(r#"brief=$(cat); case $brief in
        *"What people said since"*) rm LICENSE;;
        *) echo right > answer.txt; echo x > LICENSE;; esac"#);
    road.run(&agent).ends(7);
    let done = road
        .prentice(&["--json", "tasks", "reject", "T-1", "scope"])
        .ends(0)
        .json();
    let files: Vec<&str> = done["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["answer.txt"]);
    assert_eq!(road.runs("T-1"), 2);
}

#[test]
fn after_a_rejection_nothing_is_left_but_the_record() {
    let road = Road::new();
    let frozen = road.frozen();
    for (agent, code) in [(FIX, 0), (BOTH, 7)] {
        let object = road.run(agent).ends(code).json();
        let task = object["task"].as_str().unwrap();
        let rejected = road
            .prentice(&["--json", "tasks", "reject", task, "not", "like", "this"])
            .ends(0)
            .json();
        assert_eq!(rejected["stage"], "rejected");
        assert!(rejected["report"].is_null());
        assert!(road.agent_branches().is_empty());
        frozen.still();
        assert!(
            !road.path("repo/.git/logs/refs/heads/agent").exists()
                || road.files("repo/.git/logs/refs/heads/agent").is_empty()
        );
        assert!(
            road.files(&format!("state/prentice/tasks/{task}"))
                .is_empty(),
            "{:?}",
            road.files("state/prentice/tasks")
        );
        assert!(!road.path(&format!("state/prentice/work/{task}")).exists());
        for file in road.files("state/prentice/artifacts") {
            let bytes = fs::read(road.path("state/prentice/artifacts").join(&file)).unwrap();
            assert!(!bytes.starts_with(b"diff "), "{file} is the patch");
        }
        for file in road.files("state/prentice/repos") {
            assert!(!file.contains("refs/prentice/result"), "{file}");
        }
        // The record stays.
        road.prentice(&["tasks", "show", task])
            .ends(0)
            .says("not like this");
        road.prentice(&["tasks", "logs", task]).ends(0);
        assert!(
            road.journal(task)
                .iter()
                .any(|line| line.contains("rejected"))
        );
    }
}

#[test]
fn a_branch_that_a_person_worked_on_survives_the_rejection_of_its_task() {
    let road = Road::new();
    let object = road.run(FIX).ends(0).json();
    let branch = object["branch"].as_str().unwrap();
    let theirs = commit_on(&road, branch, "more.txt");
    road.prentice(&["tasks", "reject", "T-1"]).ends(0);
    let left = road.agent_branches();
    // Either they were told first, or the branch is theirs now; their commit is never lost silently.
    assert!(left.is_empty() || left[0].1 == theirs, "{left:?}");
    let shown = road.prentice(&["tasks", "show", "T-1"]).ends(0);
    assert!(
        !left.is_empty(),
        "a commit of a person was deleted: {}",
        shown.out
    );
    assert!(shown.out.contains(branch), "{}", shown.out);
}

#[test]
fn a_branch_that_was_reviewed_at_a_person_s_head_survives_the_rejection_too() {
    let road = Road::new();
    let object = road.run(FIX).ends(0).json();
    let branch = object["branch"].as_str().unwrap();
    let theirs = commit_on(&road, branch, "more.txt");
    // The look at the list takes their head over as the one in review.
    assert_eq!(road.stage("T-1"), "needs-review");
    road.prentice(&["tasks", "reject", "T-1"])
        .ends(0)
        .says("commits that are not ours")
        .says(&format!("git branch -D {branch}"));
    assert_eq!(road.agent_branches(), [(branch.to_owned(), theirs)]);
    road.prentice(&["tasks", "show", "T-1"])
        .ends(0)
        .says("commits that are not ours");
}

/// A commit of a person on a branch, made in a work tree of its own.
fn commit_on(road: &Road, branch: &str, file: &str) -> String {
    let theirs = road.path("theirs");
    road.git(&["worktree", "add", "-q", theirs.to_str().unwrap(), branch]);
    road.write(&format!("theirs/{file}"), "theirs\n");
    road.git_in("theirs", &["add", "-A", "."]);
    road.git_in("theirs", &["commit", "-q", "-m", "theirs"]);
    let commit = road.git_in("theirs", &["rev-parse", "HEAD"]);
    road.git(&["worktree", "remove", "--force", theirs.to_str().unwrap()]);
    commit
}

#[test]
fn a_failed_task_is_tried_again_and_a_stopped_one_keeps_its_patch() {
    let road = Road::new();
    road.run(&sh("echo almost > answer.txt")).ends(6);
    let before = road.runs("T-1");
    road.prentice(&["--json", "tasks", "retry", "T-1", "--budget", "2x"])
        .ends(6);
    assert_eq!(road.runs("T-1"), before + 1);
    road.prentice(&["--json", "tasks", "retry", "T-1", "--fresh"])
        .ends(6);
    let stopped = road
        .prentice(&["--json", "tasks", "stop", "T-1"])
        .ends(0)
        .json();
    assert_eq!(stopped["stage"], "stopped");
    let artifacts = road.files("state/prentice/artifacts");
    let patch = artifacts.iter().any(|file| {
        let bytes = fs::read(road.path("state/prentice/artifacts").join(file)).unwrap();
        String::from_utf8_lossy(&bytes).contains("+almost")
    });
    assert!(patch, "{artifacts:?}");
}

#[test]
fn more_time_is_more_of_the_limit_that_ended_the_run() {
    let road = Road::with(&format!(
        "{SETTINGS}\n[task]\ntimeout = \"60s\"\nstall_after = \"1s\"\n"
    ));
    let (class, message) = road
        .run(&sh("sleep 3; echo right > answer.txt"))
        .ends(8)
        .failure();
    assert_eq!(class, "timeout");
    assert!(message.contains("no sign of life for 2 s"), "{message}");
    road.prentice(&["tasks", "show", "T-1"])
        .ends(0)
        .says("`prentice tasks retry T-1 --budget=2x` doubles the limit");
    for lots in ["lots", "100x", "5000"] {
        road.prentice(&["tasks", "retry", "T-1", "--budget", lots])
            .ends(2)
            .says("minutes");
    }
    // Twice the minutes of the file's whole is twice the silence.
    let done = road.prentice(&["--json", "tasks", "retry", "T-1", "--budget", "2"]);
    assert_eq!(done.ends(0).json()["stage"], "needs-review");
    let journal = road.journal("T-1");
    assert!(
        journal.iter().any(|line| line.ends_with(", with 2 min")),
        "{journal:?}"
    );
}

#[test]
fn a_brief_that_names_a_sensitive_area_is_approved_before_any_work() {
    let road = Road::new();
    let issue = format!("{ISSUE}\n### Files or areas in scope\n\nsrc/auth/**\nanswer.txt\n");
    road.write("issue.md", &issue);
    let asked = road.run(FIX).ends(7).json();
    assert_eq!(asked["asks"]["kind"], "brief");
    assert_eq!(asked["asks"]["revision"], "b1");
    assert_eq!(asked["asks"]["digest"], asked["brief"]["digest"]);
    assert_eq!(road.runs("T-1"), 0);
    road.prentice(&["tasks", "approve", "T-1", "r1"])
        .ends(2)
        .says("asked is b1");
    let done = road
        .prentice(&["--json", "tasks", "approve", "T-1", "b1"])
        .ends(0)
        .json();
    assert_eq!(done["stage"], "needs-review");
}

#[test]
fn a_result_that_was_merged_is_merged_and_one_whose_branch_is_gone_is_stopped() {
    let road = Road::new();
    let first = road.run(FIX).ends(0).json();
    let second = road.run(FIX).ends(0);
    assert!(
        second.err.contains("1 older task of")
            && second
                .err
                .contains("(T-1 is needs-review): prentice tasks list"),
        "{}",
        second.err
    );
    let second = second.json();
    road.git(&[
        "merge",
        "-q",
        "--no-ff",
        "-m",
        "taken",
        first["branch"].as_str().unwrap(),
    ]);
    road.git(&["branch", "-q", "-D", second["branch"].as_str().unwrap()]);
    let frozen = road.frozen();
    assert_eq!(road.stage("T-1"), "merged");
    assert_eq!(road.stage("T-2"), "stopped");
    road.prentice(&["tasks", "show", "T-2"])
        .ends(0)
        .says("the task branch is gone");
    // The merged branch is the person's to delete.
    assert_eq!(road.agent_branches().len(), 1);
    frozen.still();
}

#[test]
fn a_commit_of_a_person_on_the_branch_is_checked_and_reviewed_at_their_head() {
    let road = Road::new();
    let object = road.run(FIX).ends(0).json();
    let branch = object["branch"].as_str().unwrap();
    let theirs = commit_on(&road, branch, "more.txt");
    assert_eq!(road.stage("T-1"), "needs-review");
    let shown = road
        .prentice(&["--json", "tasks", "show", "T-1"])
        .ends(0)
        .json();
    assert_eq!(shown["head"], theirs.as_str());
    assert_eq!(shown["checks"][0]["head_exit"], 0);
    assert_eq!(
        road.agent_branches()[0].1,
        theirs,
        "nothing of ours over theirs"
    );
    let journal = road.journal("T-1");
    assert!(
        journal.iter().any(|line| line.contains(&theirs[..7])),
        "{journal:?}"
    );
    assert_eq!(shown["files"].as_array().unwrap().len(), 2);
    let of = |name: &str| road.read(&format!("state/prentice/tasks/T-1/{name}"));
    let not_mine = format!("at `{}`, a commit that is not mine", &theirs[..7]);
    assert!(of("status.md").contains(&not_mine), "{}", of("status.md"));
    let pull = of("PR.md");
    assert!(pull.contains("touched 2 files, +2 −1"), "{pull}");
    let head = format!("The head of the branch is `{}`", &theirs[..7]);
    assert!(pull.contains(&head), "{pull}");
}

#[test]
fn a_commit_of_a_person_that_the_gates_refuse_is_told_as_that() {
    let road = Road::with(&format!("{SETTINGS}\n[scope]\ndeny = [\"more.txt\"]\n"));
    let object = road.run(FIX).ends(0).json();
    commit_on(&road, object["branch"].as_str().unwrap(), "more.txt");
    let shown = road.prentice(&["tasks", "show", "T-1"]).ends(0).out;
    for name in ["status.md", "PR.md"] {
        let text = road.read(&format!("state/prentice/tasks/T-1/{name}"));
        assert!(text.contains("`more.txt` must not be touched"), "{text}");
        assert!(!text.contains("0 of 0"), "{text}");
    }
    assert!(shown.contains("not verified"), "{shown}");
}

#[test]
fn a_named_base_branch_is_started_from_and_a_missing_one_is_told() {
    let settings = format!("{SETTINGS}\n[task]\nbase = \"next\"\n");
    let road = Road::with(&settings);
    let (code, message) = road.run(FIX).ends(5).error();
    assert_eq!(code, "not-found");
    assert!(message.contains("no branch `next`"), "{message}");

    road.git(&["branch", "next"]);
    let next = road.git(&["rev-parse", "next"]);
    road.write("repo/other.txt", "main goes on\n");
    road.commit("main goes on");
    let ran = road.run(FIX).ends(0);
    assert_eq!(ran.json()["base"], next.as_str());
}

#[test]
fn logs_and_patches_go_when_their_time_is_over_and_the_record_stays() {
    let settings = format!("{SETTINGS}\n[task]\nkeep = \"0\"\n");
    let road = Road::with(&settings);
    road.run(FIX).ends(0);
    road.git(&["merge", "-q", &road.agent_branches()[0].0]);
    assert_eq!(road.stage("T-1"), "merged");
    let logs = |road: &Road| {
        let logs = road
            .prentice(&["--json", "tasks", "logs", "T-1"])
            .ends(0)
            .json();
        logs["logs"].as_array().unwrap().len()
    };
    assert!(logs(&road) > 0);

    // The next run is what looks after them.
    road.write("repo/answer.txt", "wrong\n");
    road.commit("wrong again");
    road.run(FIX).ends(0);
    assert_eq!(logs(&road), 0);
    assert!(
        road.journal("T-1")
            .iter()
            .any(|line| line.contains("merged"))
    );
}

#[test]
fn a_retry_uses_the_text_that_the_issue_has_by_then() {
    let road = Road::new();
    let agent = "sh -c 'grep -q politely && echo right > answer.txt'";
    let first = road.run(agent).ends(6).json();
    // The same text again is the same brief.
    let again = road
        .prentice(&["--json", "tasks", "retry", "T-1"])
        .ends(6)
        .json();
    assert_eq!(again["brief"]["digest"], first["brief"]["digest"]);
    road.write(
        "issue.md",
        &ISSUE.replace("it should say right", "politely make it say right"),
    );
    let done = road
        .prentice(&["--json", "tasks", "retry", "T-1"])
        .ends(0)
        .json();
    assert_ne!(done["brief"]["digest"], first["brief"]["digest"]);
    let journal = road.journal("T-1");
    let edited = journal
        .iter()
        .filter(|line| line.contains("edited the issue; its digest is"));
    assert_eq!(edited.count(), 1, "{journal:?}");
}
