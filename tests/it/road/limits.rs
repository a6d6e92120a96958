//! Set-up, agent and checks that fail, never end, take too much or print too much.

use super::*;

#[test]
fn a_set_up_that_fails_ends_the_run_with_its_log() {
    let settings =
        format!("{SETTINGS}\n[setup]\nrun = [\"true\", \"echo no such package; exit 9\"]\n");
    let road = Road::with(&settings);
    let ran = road.run(FIX).ends(6);
    let (class, message) = ran.failure();
    assert_eq!(class, "setup");
    assert!(
        message.contains("`echo no such package; exit 9`") && message.contains("exits 9"),
        "{message}"
    );
    road.prentice(&["tasks", "logs", "T-1"])
        .ends(0)
        .says("no such package");
    assert_eq!(
        road.prentice(&["--json", "verify", "--repo", "repo"])
            .ends(6)
            .failure()
            .0,
        "setup"
    );
}

#[test]
fn what_set_up_makes_is_there_for_agent_and_checks_and_never_in_the_result() {
    let settings = SETTINGS.replace("grep -qx", "test -e made && grep -qx")
        + "\n[setup]\nrun = [\"echo x > made\"]\n";
    let road = Road::with(&settings);
    let object = road
        .run(&sh("test -e made && echo right > answer.txt"))
        .ends(0)
        .json();
    assert_eq!(object["files"].as_array().unwrap().len(), 1, "{object:#}");
}

#[test]
fn what_never_ends_is_ended_and_told_as_a_time_out() {
    let slow_check = SETTINGS.replace(
        "grep -qx right answer.txt",
        "grep -qx wrong answer.txt && exit 1; sleep 100",
    ) + "timeout = \"1s\"\n";
    let slow_base =
        SETTINGS.replace("grep -qx right answer.txt", "sleep 100") + "timeout = \"1s\"\n";
    let slow_setup = format!("{SETTINGS}\n[setup]\nrun = [\"sleep 100\"]\ntimeout = \"1s\"\n");
    let slow_agent = format!("{SETTINGS}\n[task]\ntimeout = \"5s\"\nstall_after = \"1s\"\n");
    let talk = sh("while true; do echo talk; sleep 0.2; done");
    for (settings, agent, named) in [
        (slow_setup, FIX, "set-up"),
        (slow_base, FIX, "on base"),
        (slow_check, FIX, "`tests`"),
        (slow_agent.clone(), &sh("sleep 100"), "gave no sign of life"),
        (slow_agent, &talk, "the agent did not end within 5 s"),
    ] {
        let road = Road::with(&settings);
        let frozen = road.frozen();
        let ran = road.run(agent).ends(8);
        let (class, message) = ran.failure();
        assert_eq!(class, "timeout", "{message}");
        assert!(message.contains(named), "{message}");
        frozen.still();
        assert!(road.files("state/prentice/work").is_empty());
    }
}

#[test]
fn what_takes_too_much_memory_is_told_as_a_limit() {
    let eat = "x=$(head -c 400000000 /dev/zero | tr '\\\\0' x); echo ${#x}";
    let check = format!(
        "version = 1\n[task]\nattempts = 1\n[sandbox]\nmemory = \"64MiB\"\n[[verify]]\nname = \"tests\"\nconfirm = \"never\"\nrun = \"grep -qx wrong answer.txt && exit 1; {eat}\"\n"
    );
    let road = Road::with(&check);
    let (class, message) = road.run(FIX).ends(6).failure();
    assert_eq!(class, "limit", "{message}");
    assert!(message.contains("memory"), "{message}");
    let road = Road::with(&format!("{SETTINGS}\n[sandbox]\nmemory = \"64MiB\"\n"));
    let (class, message) = road
        .run(&sh(
            "x=$(head -c 400000000 /dev/zero | tr '\\0' x); echo ${#x}",
        ))
        .ends(6)
        .failure();
    assert_eq!(class, "limit", "{message}");
    assert!(message.contains("the agent"), "{message}");
}

#[test]
fn a_flood_and_what_is_no_text_are_capped_and_shown_harmless() {
    let bytes = if std::env::var_os("PRENTICE_TEST_LONG").is_some() {
        1_000_000_000
    } else {
        200_000_000
    };
    let noise = r"printf '\033[31mred\033]0;title\007 \377\376 \342\200\256end\n'";
    let flood = format!(
        "head -c {bytes} /dev/zero | tr '\\\\0' x; {}",
        noise.replace('\\', "\\\\")
    );
    let settings = format!(
        "version = 1\n[task]\nattempts = 1\n[[verify]]\nname = \"tests\"\nconfirm = \"never\"\nbaseline = false\nrun = \"\"\"{flood}; exit 1\"\"\"\n"
    );
    let road = Road::with(&settings);
    let agent = sh(&format!(
        "{noise}; head -c {bytes} /dev/zero; echo right > answer.txt"
    ));
    let ran = road.run(&agent).ends(6);
    assert!(
        !ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'),
        "{}",
        ran.err
    );
    let object = ran.json();
    let log = fs::read(object["checks"][0]["log"].as_str().unwrap()).unwrap();
    assert!(log.len() < 9 << 20, "{}", log.len());
    let cut = String::from_utf8_lossy(&log);
    assert!(cut.contains("left out"), "what is cut is told");
    assert!(cut.contains("end\n"), "the end is kept");

    for words in [&["tasks", "show", "T-1"][..], &["tasks", "logs", "T-1"]] {
        let shown = road.prentice(words).ends(0).out;
        let acts = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
        assert!(!shown.contains(acts), "{words:?}");
    }
    for file in road.files("state/prentice/tasks/T-1") {
        let text = road.read(&format!("state/prentice/tasks/T-1/{file}"));
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{file}"
        );
    }
}

#[test]
fn questions_of_an_agent_are_shown_harmless_too() {
    let road = Road::new();
    let agent = sh(
        r#"printf '{"type":"ask","question":"\\u001b[2JWhich?\\u202e","choices":["a","b"]}\n'; exit 20"#,
    );
    let words = ["run", "issue.md", "--repo", "repo", "--agent-cmd", &agent];
    let ran = road.prentice(&words).ends(7);
    assert!(ran.out.contains("Which?"), "{}", ran.out);
    let shown = road.prentice(&["tasks", "show", "T-1"]).ends(0).out;
    for text in [&ran.out, &ran.err, &shown] {
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{text:?}"
        );
    }
    // It has no default, so `defaults` is no answer.
    road.prentice(&["tasks", "answer", "T-1", "defaults"])
        .ends(2)
        .says("has no default");
}
