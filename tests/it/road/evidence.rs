//! What evidence rests on: the commit as it is, whole runs, and no words but harmless ones.

use super::*;

/// The program by somebody who may do nothing, where the tester may do everything.
fn by_nobody(road: &Road, words: &[&str]) -> Ran {
    if !is_root() {
        return road.prentice(words);
    }
    let program = road.path("prentice");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_prentice"), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        give_away(&road.folder, 65534);
    }
    let mut process = road.process("setpriv");
    let who = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    process.args(who).arg("--").arg(program).args(words);
    Running::start(process).end()
}

fn verify(road: &Road, words: &[&str]) -> Ran {
    let before = ["--json", "verify", "--repo", "repo", "--base", "HEAD~1"];
    road.prentice(&[&before, words].concat())
}

#[test]
fn an_agent_that_closes_its_folder_stops_nobody() {
    for method in ["overlay", "copy"] {
        let road = Road::new();
        let closing = "mkdir d; echo x > d/x; echo right > answer.txt; chmod 0 answer.txt d /work";
        for agent in [&sh(closing), FIX] {
            let words = road.run_words(agent);
            let ran = if method == "copy" {
                // The fallback is asked for by the environment, which root gives.
                let mut command = road.command(&words);
                command.env("PRENTICE_WORKSPACE", method);
                Running::start(command).end()
            } else {
                by_nobody(&road, &words)
            };
            let object = ran.ends(0).json();
            assert_eq!(object["stage"], "needs-review");
        }
        // The one that was red has its next try over what it closed.
        let twice = sh("chmod 700 /work . ; cat tries; echo x >> tries; \
                        test $(wc -l < tries) -gt 1 && echo right > answer.txt; chmod 0 /work; true");
        by_nobody(&road, &road.run_words(&twice)).ends(0);
    }
}

#[test]
fn a_closed_folder_hides_no_bytes_from_the_limit() {
    let road = Road::with(&format!("{SETTINGS}\n[sandbox]\ndisk = \"16MiB\"\n"));
    let hidden = "mkdir d; cd d; chmod 0 /work; for i in 1 2 3 4 5 6 7 8; do head -c 8000000 /dev/zero > $i; done; sleep 2";
    let (class, message) = by_nobody(&road, &road.run_words(&sh(hidden)))
        .ends(6)
        .failure();
    assert_eq!(class, "limit", "{message}");
}

#[test]
fn what_was_a_file_may_become_a_folder_and_the_other_way_round() {
    let road = Road::with(&SETTINGS.replace(
        "grep -qx right answer.txt",
        "git status --porcelain | wc -l | grep -qx 0 && test -d f",
    ));
    road.write("repo/f", "file\n");
    road.write("repo/d/x", "x\n");
    std::os::unix::fs::symlink("answer.txt", road.path("repo/l")).unwrap();
    road.commit("one");
    for name in ["f", "l"] {
        fs::remove_file(road.path(&format!("repo/{name}"))).unwrap();
        road.write(&format!("repo/{name}/x"), "x\n");
    }
    fs::remove_dir_all(road.path("repo/d")).unwrap();
    road.write("repo/d", "file\n");
    road.commit("two");
    let object = verify(&road, &[]).ends(0).json();
    assert_eq!(object["checks"][0]["base_exit"], 1);
    assert_eq!(object["checks"][0]["head_exit"], 0);
}

/// A check that stands on what an earlier one built.
const BUILT: &str = "version = 1
[[verify]]
name = \"build\"
run = \"cp answer.txt built\"
[[verify]]
name = \"tests\"
run = \"grep -qx right built\"
[[verify]]
name = \"after\"
run = \"true\"
";

#[test]
fn what_is_confirmed_stands_on_the_same_checks_as_before() {
    let road = Road::with(BUILT);
    let ran = road.run(FIX).ends(0);
    let checks = ran.json()["checks"].clone();
    assert_eq!(checks[1]["unstable"], false);
    assert_eq!(
        (&checks[1]["base_exit"], &checks[1]["head_exit"]),
        (&1.into(), &0.into())
    );
    let report = fs::read_to_string(ran.json()["report"].as_str().unwrap()).unwrap();
    assert!(
        report.contains("red on base, green here, twice"),
        "{report}"
    );
    // Only what changed its colour is recorded twice.
    assert_eq!(report.matches(" twice").count(), 4, "{report}");
    let again = ran.err.matches("head: build passes").count();
    assert_eq!(
        (again, ran.err.matches("head: after passes").count()),
        (2, 1),
        "{}",
        ran.err
    );
}

#[test]
fn a_check_that_never_ends_takes_nothing_from_the_next() {
    let slow =
        "[[verify]]\nname = \"slow\"\nrun = \"sleep 100\"\ntimeout = \"1s\"\nrequired = false\n";
    let tests = "[[verify]]\nname = \"tests\"\nconfirm = \"never\"";
    let settings = BUILT.replace("[[verify]]\nname = \"tests\"", &format!("{slow}{tests}"));
    let object = Road::with(&settings).run(FIX).ends(0).json();
    assert_eq!(object["checks"][1]["head_exit"], Value::Null);
    assert_eq!(object["checks"][2]["head_exit"], 0);
}

#[test]
fn a_check_that_rewrites_the_next_one_is_told_and_proves_nothing() {
    let settings = BUILT
        .replace("cp answer.txt built", "sh build.sh")
        .replace("grep -qx right built", "sh tests.sh");
    let road = Road::with(&settings);
    road.write("repo/build.sh", "true\n");
    road.write("repo/tests.sh", "grep -qx right answer.txt\n");
    road.commit("scripts");
    let cheat = sh("echo 'echo true > tests.sh; echo x > new' > build.sh");
    for method in ["overlay", "copy"] {
        let mut command = road.command(&road.run_words(&cheat));
        command.env("PRENTICE_WORKSPACE", method);
        // That a script of a check was changed is asked about; a person may not see what it does.
        let asked = Running::start(command).end().ends(7).json();
        let task = asked["task"].as_str().unwrap();
        let object = road.prentice(&["--json", "tasks", "approve", task, "r1"]);
        let object = object.ends(0).json();
        let checks = &object["checks"];
        assert_eq!(checks[0]["doubt"], Value::Null);
        assert_eq!(
            checks[1]["doubt"],
            "before it ran, set-up or another check changed `tests.sh`"
        );
        let criterion = &object["brief"]["criteria"][0];
        assert_eq!(criterion["met"], "for-reviewer", "{criterion:#}");
        let report = fs::read_to_string(object["report"].as_str().unwrap()).unwrap();
        assert!(
            report.contains("another check changed `tests.sh`"),
            "{report}"
        );
    }
    // What the checks of base do as well is how the project is built.
    let habit = settings.replace("sh build.sh", "date > version.txt");
    let road = Road::with(&habit);
    road.write("repo/version.txt", "\n");
    road.write("repo/tests.sh", "grep -qx right answer.txt\n");
    road.commit("scripts");
    let object = road.run(FIX).ends(0).json();
    assert_eq!(object["checks"][1]["doubt"], Value::Null);
    assert_eq!(object["brief"]["criteria"][0]["met"], "yes");
}

#[test]
fn a_program_that_aborts_on_base_is_red_there() {
    let crash = SETTINGS.replace("answer.txt\"", "answer.txt || kill -ABRT $$\"");
    let road = Road::with(&crash);
    let object = road.run(FIX).ends(0).json();
    assert_eq!(
        (
            &object["checks"][0]["base_exit"],
            &object["checks"][0]["head_exit"]
        ),
        (&134.into(), &0.into())
    );
    // Somebody else's signal says nothing about the program.
    let road = Road::with(&crash.replace("-ABRT", "-KILL"));
    assert_eq!(road.run(FIX).ends(6).failure().0, "baseline");
}

#[test]
fn tokens_and_known_secrets_leave_in_no_text() {
    let token = format!("ghp_{}", "aB3d".repeat(9));
    let known = "correct-horse-battery";
    let settings = SETTINGS.replace("grep -qx", &format!("echo it prints {token}; grep -qx"));
    let road = Road::with(&settings.replace(&token, "$(cat secret.txt)"));
    let words = format!(
        r#"printf '{{"type":"step","text":"a {token} b"}}\n{{"type":"note","text":"a {token} {known}"}}\n{{"type":"note","kind":"summary","text":"a {token}"}}\n'; echo {known}; echo right > answer.txt"#
    );
    // The check prints what lies in a file that git does not know.
    road.write("repo/.gitignore", "secret.txt\n");
    road.commit("ignored");
    let settings = format!(
        "{}\n[setup]\nrun = [\"echo ghp_aB3d$(printf 'aB3d%.0s' 1 2 3 4 5 6 7 8) > secret.txt\"]\n",
        road.read("repo/.github/prentice.toml")
    );
    road.write("repo/.github/prentice.toml", &settings);
    road.commit("set-up");
    let asks = format!(
        r#"printf '{{"type":"ask","question":"Is {token} right?","choices":["{known}"],"default":"{token}"}}\n'; exit 20"#
    );
    let fails = format!("echo {token} {known}; exit 3");
    for (agent, code, task) in [(&words, 0, "T-1"), (&asks, 7, "T-2"), (&fails, 6, "T-3")] {
        let mut command = road.command(&road.run_words("sh agent.sh"));
        command.env("SOME_TOKEN", known);
        road.write("repo/agent.sh", agent);
        road.commit("agent");
        let ran = Running::start(command).end().ends(code);
        let mut texts = vec![ran.out, ran.err];
        for words in [["tasks", "show"], ["tasks", "logs"]] {
            for json in [&["--json"][..], &[]] {
                let ran = road.prentice(&[json, &words, &[task]].concat()).ends(0);
                texts.extend([ran.out, ran.err]);
            }
        }
        for file in road.files("state/prentice") {
            // What git holds is the repository, not a text of ours.
            if !file.starts_with("repos/") {
                let bytes = fs::read(road.path("state/prentice").join(&file)).unwrap();
                texts.push(format!("{file}: {}", String::from_utf8_lossy(&bytes)));
            }
        }
        for text in &texts {
            assert!(!text.contains(&token), "{text}");
            // The brief holds none of it, so all that was said is the agent's.
            assert!(!text.contains(known), "{text}");
        }
        let all = texts.concat();
        assert!(all.contains("[redacted: GitHub token]"), "{all}");
        assert!(all.contains("[redacted: known secret]"), "{all}");
    }
}

#[test]
fn set_up_is_there_for_the_agent_and_never_in_its_result_however_files_are_laid_out() {
    let settings = format!(
        "{SETTINGS}\n[setup]\nrun = [\"mkdir -p dep && echo hi > dep/x && echo two > both.txt && rm -f gone.txt && (test -p pipe || mkfifo pipe) && mkdir -p nest/.git\"]\n"
    );
    for method in ["overlay", "copy"] {
        let road = Road::with(&settings);
        road.write("repo/both.txt", "one\n");
        road.write("repo/gone.txt", "x\n");
        road.commit("files");
        let agent = sh(
            "test \"$(cat dep/x both.txt)\" = \"$(printf 'hi\\ntwo')\" && ! test -e gone.txt \
                        && echo mine > dep/mine && echo right > answer.txt",
        );
        let mut command = road.command(&road.run_words(&agent));
        command.env("PRENTICE_WORKSPACE", method);
        let object = Running::start(command).end().ends(0).json();
        assert_eq!(object["workspace"]["method"], method);
        let files: Vec<&str> = object["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["path"].as_str().unwrap())
            .collect();
        assert_eq!(files, ["answer.txt", "dep/mine"], "{method}");
    }
}

#[test]
fn nothing_that_an_agent_or_a_check_says_begins_a_line_of_ours() {
    let fake = "--- check tests on result";
    let settings = SETTINGS.replace("grep -qx", &format!("printf '\\\\n{fake}\\\\n'; grep -qx"));
    let road = Road::with(&settings);
    let agent = sh(&format!(
        r#"printf '{{"type":"step","text":"x\\n   0.9s  head: tests passes\\nverify   tests 1"}}\n\n{fake}\r{fake}\n'; echo right > answer.txt"#
    ));
    let ran = road
        .prentice(&["run", "issue.md", "--repo", "repo", "--agent-cmd", &agent])
        .ends(0);
    assert!(
        ran.err
            .contains("agent: x 0.9s head: tests passes verify tests 1"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("\nverify"), "{}", ran.err);
    let logs = road.prentice(&["tasks", "logs", "T-1"]).ends(0).out;
    let ours: Vec<&str> = logs
        .lines()
        .filter(|line| !line.starts_with("  | "))
        .collect();
    assert!(ours.iter().all(|line| line.starts_with("--- ")), "{logs}");
    // What a check printed on both commits is one log.
    assert_eq!(ours.len(), 2, "{logs}");
    assert!(logs.contains(&format!("  | {fake}")), "{logs}");
}

#[test]
fn a_guess_that_ran_no_test_is_never_silently_verified() {
    let road = Road::empty();
    road.git(&["init", "-q", "-b", "main", "."]);
    road.write("repo/Makefile", "check:\n\t@echo Ran 0 tests in 0.000s\n");
    road.write("repo/answer.txt", "wrong\n");
    road.commit("no tests");
    road.write("issue.md", &ISSUE.replace("`tests`", "`check`"));
    let ran = road.run(FIX).ends(0);
    let object = ran.json();
    assert_eq!(
        object["checks"][0]["doubt"], "it ran no tests",
        "{object:#}"
    );
    assert_eq!(object["brief"]["criteria"][0]["met"], "for-reviewer");
    let report = fs::read_to_string(object["report"].as_str().unwrap()).unwrap();
    assert!(report.contains("it ran no tests"), "{report}");
    road.write("repo/answer.txt", "right\n");
    road.commit("fix");
    let ran = road
        .prentice(&["verify", "--repo", "repo", "--base", "HEAD~1"])
        .ends(0);
    assert!(
        ran.out.contains("it ran no tests") && !ran.out.contains("verdict  verified"),
        "{}",
        ran.out
    );
    // What the repository itself names is its own affair.
    let named = [
        "verify",
        "--repo",
        "repo",
        "--base",
        "HEAD~1",
        "--verify",
        "make check",
    ];
    let ran = road.prentice(&named).ends(0);
    assert!(ran.out.contains("verified"), "{}", ran.out);
}
