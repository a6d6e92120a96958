//! How runs and the demo end: exit codes, words, files, keys.

use super::*;

/// The keys of the object that `run --json` prints, in every ending.
const KEYS: [&str; 16] = [
    "agent",
    "asks",
    "base",
    "branch",
    "brief",
    "checks",
    "failure",
    "files",
    "gates",
    "head",
    "report",
    "sandbox",
    "schema_version",
    "stage",
    "task",
    "workspace",
];

const BANNER: &str = "The agent in this run is a script shipped with prentice. No model was used.";

#[test]
fn the_demo_ends_with_a_branch_a_report_and_a_history_and_says_that_it_is_a_script() {
    let road = Road::empty();
    let ran = road.prentice(&["demo", "--out", "demo"]).ends(0);
    assert!(ran.err.starts_with(BANNER), "{}", ran.err);
    let lines: Vec<&str> = ran
        .out
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        lines,
        ["branch", "verify", "report", "agent", "next", "folder"]
    );
    assert!(
        ran.out.contains("tests 1 → 0   syntax 0   (required 2/2)"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("agent    scripted-demo (no model was used)"),
        "{}",
        ran.out
    );

    let branch = road.git_in(
        "demo/repo",
        &[
            "for-each-ref",
            "--format=%(refname:short)",
            "refs/heads/agent",
        ],
    );
    assert!(branch.starts_with("agent/1-greet"), "{branch}");
    let message = road.git_in("demo/repo", &["log", "-1", "--format=%B", &branch]);
    assert!(message.contains("Agent-Task: T-1"), "{message}");
    assert_eq!(
        road.git_in(
            "demo/repo",
            &["rev-list", "--count", &format!("main..{branch}")]
        ),
        "1"
    );

    let pull = road.read("demo/T-1/PR.md");
    assert!(
        pull.contains(BANNER) && pull.contains("scripted-demo"),
        "{pull}"
    );
    let history: Vec<String> = road.files("demo/T-1/history").into_iter().collect();
    assert_eq!(
        history,
        ["0001-queued.md", "0002-running.md", "0003-needs-review.md"]
    );
    let object = road
        .prentice(&["--json", "tasks", "show", "T-1"])
        .ends(0)
        .json();
    assert_eq!(object["agent"]["name"], "scripted-demo");
    assert_eq!(object["agent"]["kind"], "scripted");
}

#[test]
fn the_unhappy_scenarios_end_with_their_codes_and_leave_no_branch() {
    let road = Road::empty();
    for (scenario, code, stage, class) in [
        ("asks", 7, "needs-info", None),
        ("fails", 6, "failed", Some("verify")),
        ("out-of-scope", 7, "needs-approval", None),
        ("stalls", 8, "failed", Some("timeout")),
    ] {
        let words = ["--json", "demo", "--scenario", scenario, "--out", scenario];
        let ran = road.prentice(&words).ends(code);
        assert!(ran.err.starts_with(BANNER), "{}", ran.err);
        let object = ran.json();
        assert_eq!(keys(&object), KEYS, "{scenario}");
        assert_eq!(object["stage"], stage, "{scenario}");
        assert_eq!(object["failure"]["class"].as_str(), class, "{scenario}");
        assert_eq!(object["agent"]["name"], "scripted-demo");
        assert_eq!(
            object["report"],
            Value::Null,
            "{scenario}: no report without a branch"
        );
        let task = object["task"].as_str().unwrap();
        let refs = road.git_in(
            &format!("{scenario}/repo"),
            &["for-each-ref", "--format=%(refname)"],
        );
        assert_eq!(refs, "refs/heads/main", "{scenario}");
        let history = road.files(&format!("{scenario}/{task}/history"));
        assert!(
            history.last().unwrap().ends_with(&format!("-{stage}.md")),
            "{history:?}"
        );
        // One notice for whoever's turn it is.
        assert_eq!(
            road.files(&format!("{scenario}/{task}/comments")).len(),
            1,
            "{scenario}"
        );
    }
}

#[test]
fn what_the_demo_asks_is_answered_in_two_ways_and_published() {
    let road = Road::empty();
    for (answer, task) in [
        ("defaults", "T-1"),
        ("1: exit status 1 would be wrong, use exit status 2", "T-2"),
    ] {
        let folder = format!("demo-{task}");
        let asked = road
            .prentice(&["--json", "demo", "--scenario", "asks", "--out", &folder])
            .ends(7)
            .json();
        assert_eq!(asked["asks"]["kind"], "questions");
        let question = &asked["asks"]["questions"][0];
        assert_eq!(question["number"], 1);
        assert_eq!(question["default"], "exit status 2, as for wrong usage");
        assert_eq!(
            asked["asks"]["commands"][1],
            format!("prentice tasks answer {task} defaults")
        );
        let done = road
            .prentice(&["--json", "tasks", "answer", task, answer])
            .ends(0)
            .json();
        assert_eq!(keys(&done), KEYS);
        assert_eq!(done["stage"], "needs-review");
        let branch = done["branch"].as_str().unwrap();
        let head = road.git_in(&format!("{folder}/repo"), &["rev-parse", branch]);
        assert_eq!(done["head"], head.as_str());
        assert_eq!(road.runs(task), 2);
    }
}

#[test]
fn what_the_demo_did_out_of_scope_is_approved_and_published_without_another_run() {
    let road = Road::empty();
    let words = [
        "--json",
        "demo",
        "--scenario",
        "out-of-scope",
        "--out",
        "demo",
    ];
    let asked = road.prentice(&words).ends(7).json();
    assert_eq!(asked["asks"]["kind"], "result");
    assert_eq!(asked["asks"]["revision"], "r1");
    assert_eq!(asked["asks"]["digest"], asked["head"]);
    let done = road
        .prentice(&["--json", "tasks", "approve", "T-1", "r1"])
        .ends(0)
        .json();
    assert_eq!(done["stage"], "needs-review");
    assert_eq!(done["head"], asked["head"]);
    let branch = done["branch"].as_str().unwrap();
    let head = road.git_in("demo/repo", &["rev-parse", branch]);
    assert_eq!(done["head"], head.as_str());
    assert!(Path::new(done["report"].as_str().unwrap()).is_file());
    assert_eq!(
        road.runs("T-1"),
        1,
        "what is approved is published as it is"
    );
}

#[test]
fn one_object_with_the_same_keys_comes_out_of_every_ending_and_nothing_else_does() {
    let refusing = format!("{SETTINGS}\n[scope]\ndeny = [\"forbidden/**\"]\n");
    let road = Road::with(&refusing);
    let frozen = road.frozen();
    let scripts = [
        ("ok", 0, "needs-review", "", "echo right > answer.txt"),
        (
            "wrong fix",
            6,
            "failed",
            "verify",
            "echo almost > answer.txt",
        ),
        ("questions", 7, "needs-info", "", "echo Which one?; exit 20"),
        (
            "an ask",
            7,
            "needs-approval",
            "",
            "echo right > answer.txt; echo x > LICENSE",
        ),
        (
            "a refusal",
            6,
            "failed",
            "scope",
            "echo right > answer.txt; mkdir forbidden; echo x > forbidden/x",
        ),
        ("a failing agent", 6, "failed", "agent", "exit 3"),
        ("nothing done", 9, "failed", "no-change", "true"),
    ];
    for (what, code, stage, class, script) in scripts {
        let ran = road.run(&sh(script)).ends(code);
        assert_eq!(ran.out.lines().count(), 1, "{what}: {}", ran.out);
        let object = ran.json();
        assert_eq!(keys(&object), KEYS, "{what}");
        assert_eq!(object["schema_version"], 1);
        assert_eq!(object["stage"], stage, "{what}");
        assert_eq!(
            object["failure"]["class"].as_str().unwrap_or_default(),
            class,
            "{what}"
        );
        assert_eq!(object["asks"].is_null(), code != 7, "{what}");
        assert_eq!(object["report"].is_null(), code != 0, "{what}");
        assert_eq!(object["agent"]["kind"], "command");
        assert_eq!(object["brief"]["criteria"][0]["number"], 1);
        // Off a terminal, talk is plain lines.
        assert!(
            !ran.err.contains('\u{1b}') && !ran.err.contains('\r'),
            "{what}: {:?}",
            ran.err
        );
    }
    frozen.still();
    assert_eq!(road.agent_branches().len(), 1);
}

#[test]
fn a_result_is_told_with_all_its_evidence() {
    let road = Road::new();
    let object = road.run(FIX).ends(0).json();
    let base = road.git(&["rev-parse", "main"]);
    let branches = road.agent_branches();
    assert_eq!(object["base"], base.as_str());
    assert_eq!(
        branches,
        [(
            object["branch"].as_str().unwrap().to_owned(),
            object["head"].as_str().unwrap().to_owned()
        )]
    );
    assert_eq!(
        object["files"],
        serde_json::json!([{ "path": "answer.txt", "added": 1, "removed": 1 }])
    );
    let check = &object["checks"][0];
    assert_eq!(
        keys(check),
        [
            "base_exit",
            "command",
            "doubt",
            "duration_ms",
            "head_exit",
            "log",
            "log_sha256",
            "name",
            "required",
            "unstable"
        ]
    );
    assert_eq!(
        (check["base_exit"].as_i64(), check["head_exit"].as_i64()),
        (Some(1), Some(0))
    );
    assert_eq!(fs::read(check["log"].as_str().unwrap()).unwrap(), b"");
    assert_eq!(
        keys(&object["gates"][0]),
        ["gate", "line", "outcome", "path", "reason"]
    );
    assert_eq!(keys(&object["workspace"]), ["method", "prepare_ms"]);
    assert_eq!(keys(&object["sandbox"]), ["launcher", "limits_tier"]);
    assert_eq!(keys(&object["brief"]), ["criteria", "digest"]);
    assert_eq!(object["brief"]["criteria"][0]["met"], "yes");
    assert_eq!(
        road.git(&["show", &format!("{}:answer.txt", branches[0].0)]),
        "right"
    );
}

#[test]
fn a_branch_is_named_while_it_is_there_and_a_named_check_that_has_not_run_is_told_so() {
    let road = Road::new();
    let question = r#"{"type":"ask","question":"Which?","default":"a"}"#;
    let asks = sh(&format!(
        "for n in 1 2 3 4 5; do echo '{question}'; done; exit 20"
    ));
    let waits = "named check `tests` has not run on a result";
    for (agent, code) in [(sh("exit 3"), 6), (asks.clone(), 7), (sh("true"), 9)] {
        let object = road.run(&agent).ends(code).json();
        assert!(object["branch"].is_null(), "{object:#}");
        let check = &object["checks"][0];
        assert_eq!(
            (&check["base_exit"], &check["head_exit"]),
            (&1.into(), &Value::Null)
        );
        assert!(object["sandbox"]["launcher"].is_string(), "{object:#}");
        assert!(object["workspace"]["method"].is_string(), "{object:#}");
        assert!(object["head"].is_null(), "{object:#}");
        assert_eq!(object["brief"]["criteria"][0]["evidence"], waits);
    }
    let words = ["run", "issue.md", "--repo", "repo", "--agent-cmd", &asks];
    road.prentice(&words)
        .ends(7)
        .says("and 2 more; see its log")
        .says("tests 1 → –   (no result was checked)");

    let done = road.run(FIX).ends(0).json();
    let task = done["task"].as_str().unwrap();
    assert_eq!(done["branch"], road.agent_branches()[0].0.as_str());
    let rejected = road.prentice(&["--json", "tasks", "reject", task]).ends(0);
    assert!(rejected.json()["branch"].is_null(), "{}", rejected.out);

    road.write("issue.md", &ISSUE.replace("(`tests`)", "(`check-1`)"));
    let done = road.run(FIX).ends(0).json();
    let criterion = &done["brief"]["criteria"][0];
    assert_eq!(
        criterion["evidence"],
        "names `check-1`, which is no check here"
    );
    road.write("issue.md", "# The answer\n\nMake it right.\n");
    let asked = road.run(FIX).ends(7).json();
    assert!(
        asked["branch"].is_null() && asked["sandbox"].is_null(),
        "{asked:#}"
    );
}

#[test]
fn what_the_first_try_was_worth_is_not_lost_when_the_agent_breaks_in_the_second() {
    let road = Road::new();
    let agent = sh("grep -q almost answer.txt && exit 3; echo almost > answer.txt");
    let ran = road.run(&agent).ends(6);
    assert_eq!(ran.failure().0, "agent");
    let object = ran.json();
    let check = &object["checks"][0];
    assert_eq!(
        (&check["base_exit"], &check["head_exit"]),
        (&1.into(), &1.into())
    );
    assert!(object["head"].is_string(), "{object:#}");
    road.prentice(&["tasks", "logs", "T-1"])
        .ends(0)
        .says("check tests on result");
}

#[test]
fn a_wrong_fix_leaves_its_log_and_no_branch() {
    let settings = SETTINGS.replace(
        "grep -qx right answer.txt",
        "cat answer.txt; grep -qx right answer.txt",
    );
    let road = Road::with(&settings);
    let frozen = road.frozen();
    let ran = road.run(&sh("echo sideways > answer.txt")).ends(6);
    let (class, message) = ran.failure();
    assert_eq!(class, "verify");
    assert!(
        message.contains("`tests` exits 1 after 2 attempts"),
        "{message}"
    );
    let log = ran.json()["checks"][0]["log"].as_str().unwrap().to_owned();
    assert_eq!(fs::read_to_string(log).unwrap(), "sideways\n");
    road.prentice(&["tasks", "logs", "T-1"])
        .ends(0)
        .says("sideways");
    frozen.still();
    assert!(road.agent_branches().is_empty());
}

#[test]
fn an_issue_may_come_on_standard_input_and_a_report_may_go_elsewhere() {
    let road = Road::new();
    let words = [
        "--json",
        "run",
        "-",
        "--repo",
        "repo",
        "--agent-cmd",
        FIX,
        "--out",
        "elsewhere",
    ];
    let object = road.prentice_told(&words, ISSUE).ends(0).json();
    let report = road.path("elsewhere/T-1/PR.md");
    assert_eq!(object["report"], report.to_str().unwrap());
    assert!(report.is_file());
}

#[test]
fn the_second_try_gets_the_log_of_the_first_and_a_red_first_is_no_failure() {
    let settings = SETTINGS.replace("grep -qx", "echo looked at $(cat answer.txt); grep -qx");
    let road = Road::with(&settings);
    // The first try does it wrong. The second has the log of the first in both of its briefs.
    let agent = sh(r#"cat > brief.tmp; json=$(cat "$PRENTICE_BRIEF_JSON")
        case $json in *"looked at sideways"*) grep -q "looked at sideways" brief.tmp && echo right > answer.txt;;
        *) echo sideways > answer.txt;; esac; rm brief.tmp"#);
    let object = road.run(&agent).ends(0).json();
    assert_eq!(object["checks"][0]["head_exit"], 0);
    let journal = road.journal("T-1");
    assert!(
        journal
            .iter()
            .any(|line| line == "run 1: the agent works (try 2)"),
        "{journal:?}"
    );
    assert_eq!(road.runs("T-1"), 1);
}

#[test]
fn a_check_that_changes_its_mind_on_the_result_is_red_and_one_that_does_on_base_proves_nothing() {
    let flaky = |when: &str| {
        format!(
            "version = 1\n[task]\nattempts = 1\n[[verify]]\nname = \"tests\"\nconfirm = \"always\"\nrun = '''{when}'''\n"
        )
    };
    // Nothing in a repository can tell a first look from a second, so a coin is thrown until both sides were seen.
    let coin = "test $(( $(date +%N | sed 's/^0*//') / 1000 % 2 )) -eq 0";
    let road = Road::with(&flaky(&format!(
        "grep -qx wrong answer.txt && exit 1; {coin}"
    )));
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        let ran = road.run(FIX);
        let object = ran.json();
        let check = &object["checks"][0];
        if check["unstable"] == true {
            assert_eq!(ran.code, 6, "{object:#}");
            assert_eq!(object["failure"]["class"], "verify");
            assert_ne!(check["head_exit"], 0);
        }
        seen.insert(check["unstable"] == true);
        if seen.contains(&true) {
            break;
        }
    }
    assert!(seen.contains(&true), "the coin never fell on both sides");

    let road = Road::with(&flaky(&format!(
        "grep -qx right answer.txt && exit 0; {coin}"
    )));
    for _ in 0..40 {
        let object = road.run(FIX).ends(0).json();
        if object["checks"][0]["unstable"] == true {
            assert_ne!(object["brief"]["criteria"][0]["met"], "yes", "{object:#}");
            return;
        }
    }
    panic!("the coin never fell on both sides");
}

#[test]
fn a_check_that_is_red_on_base_and_result_is_told_apart_from_one_that_turned_red() {
    let settings = "version = 1\n[task]\nattempts = 1\n[[verify]]\nname = \"always\"\nrun = \"false\"\nrequired = false\n\
        [[verify]]\nname = \"turned\"\nrun = \"test ! -e broken\"\nrequired = false\n\
        [[verify]]\nname = \"tests\"\nrun = \"grep -qx right answer.txt\"\n";
    let road = Road::with(settings);
    let object = road
        .run(&sh("echo right > answer.txt; touch broken"))
        .ends(0)
        .json();
    let report = fs::read_to_string(object["report"].as_str().unwrap()).unwrap();
    let row = |name: &str| {
        let found = report
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")));
        found.unwrap_or_else(|| panic!("{report}")).to_owned()
    };
    assert!(
        row("always").contains("red on base and here"),
        "{}",
        row("always")
    );
    assert!(
        row("turned").contains("green on base, red here"),
        "{}",
        row("turned")
    );
    assert!(
        row("tests").contains("red on base, green here"),
        "{}",
        row("tests")
    );
}

#[test]
fn checks_of_the_command_line_replace_the_files_and_the_report_says_so() {
    let road = Road::new();
    let words = [
        "--json",
        "run",
        "issue.md",
        "--repo",
        "repo",
        "--agent-cmd",
        FIX,
        "--verify",
        "grep -q r answer.txt",
        "--verify",
        "test -s answer.txt",
    ];
    let ran = road.prentice(&words).ends(0);
    assert!(
        ran.err
            .contains("checks: those of the command line, in place of all others"),
        "{}",
        ran.err
    );
    let object = ran.json();
    let names: Vec<&str> = object["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["check-1", "check-2"]);
    let report = fs::read_to_string(object["report"].as_str().unwrap()).unwrap();
    assert!(report.contains("command line"), "{report}");
}

#[test]
fn a_recognised_build_system_is_marked_as_a_guess_and_without_one_nothing_starts() {
    let road = Road::empty();
    road.git(&["init", "-q", "-b", "main", "."]);
    road.write("repo/answer.txt", "wrong\n");
    road.commit("no checks");
    let nothing = road.run(FIX).ends(3);
    let (code, message) = nothing.error();
    assert_eq!(code, "no-checks");
    assert!(message.contains("--verify"), "{message}");
    assert!(!nothing.err.contains("sandbox"), "{}", nothing.err);
    assert_eq!(road.prentice(&["tasks", "list"]).ends(0).out, "no tasks\n");

    road.write("repo/Makefile", "check:\n\tgrep -qx right answer.txt\n");
    road.commit("a makefile");
    let ran = road.run(FIX).ends(0);
    assert!(ran.err.contains("checks: guessed from"), "{}", ran.err);
    assert!(ran.err.contains("make check"), "{}", ran.err);
    // What the guess rests on is not the agent's to change unseen.
    let gut = sh("printf 'check:\\n\\ttrue\\n' > Makefile");
    let asked = road.run(&gut).ends(7);
    assert_eq!(asked.json()["checks"][0]["head_exit"], 0);
    asked.says("`Makefile` steers the checks that judge this change");
    let report = fs::read_to_string(ran.json()["report"].as_str().unwrap()).unwrap();
    assert!(report.contains("guess"), "{report}");
}

#[test]
fn an_ordinary_user_gets_the_same_as_root() {
    if !is_root() {
        crate::skip::skipped("the road as root", "takes root");
        return;
    }
    let road = Road::new();
    fs::copy(env!("CARGO_BIN_EXE_prentice"), road.path("prentice")).unwrap();
    fs::set_permissions(road.path("prentice"), fs::Permissions::from_mode(0o755)).unwrap();
    give_away(&road.folder, 65534);
    let mut process = road.process("setpriv");
    process
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--",
        ])
        .arg(road.path("prentice"))
        .args(road.run_words(FIX))
        .stdin(Stdio::null());
    let object = Running::start(process).end().ends(0).json();
    assert_eq!(object["stage"], "needs-review");
    assert_eq!(object["checks"][0]["base_exit"], 1);
    assert_eq!(object["checks"][0]["head_exit"], 0);
    let branch = format!(".git/refs/heads/{}", object["branch"].as_str().unwrap());
    assert_eq!(
        fs::metadata(road.path("repo").join(branch)).unwrap().uid(),
        65534
    );
}
