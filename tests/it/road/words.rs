//! `config`, `explain`, `completions`, `version`, and words that no command takes.

use super::*;

#[test]
fn mistakes_of_a_file_are_told_all_at_once_with_their_places() {
    let road = Road::new();
    road.prentice(&["config", "check", "--repo", "repo"])
        .ends(0)
        .says("ok: .github/prentice.toml");
    road.write("mine.toml", "version = 1\n[task]\ntimeuot = \"5m\"\n");
    let wrong = road.prentice(&["config", "check", "mine.toml"]).ends(3);
    assert!(wrong.out.is_empty(), "{}", wrong.out);
    let wrong = wrong.says("mine.toml:3:1").says("timeout");
    assert!(!wrong.err.contains('\u{1b}'), "{}", wrong.err);
    let object = road
        .prentice(&["--json", "config", "check", "mine.toml"])
        .ends(3)
        .json();
    assert_eq!(object["error"]["mistakes"].as_array().unwrap().len(), 1);
    road.prentice(&["config", "check", "none.toml"])
        .ends(5)
        .says("none.toml");
}

#[test]
fn what_is_in_force_is_shown_with_its_origin_and_can_be_read_back() {
    let road = Road::new();
    let shown = road.prentice(&["config", "show", "--repo", "repo"]).ends(0);
    assert!(
        shown.out.contains("grep -qx right answer.txt"),
        "{}",
        shown.out
    );
    road.write("shown.toml", &shown.out);
    road.prentice(&["config", "check", "shown.toml"]).ends(0);
    road.prentice(&["config", "show", "--repo", "repo", "--origin"])
        .ends(0)
        .says("# default")
        .says("prentice.toml");
    let server = road.prentice(&["config", "show", "--server"]).ends(0);
    assert!(
        server.out.contains("workers.heartbeat = \"15s\""),
        "{}",
        server.out
    );
    let schema = road.prentice(&["config", "schema"]).ends(0).json();
    assert_eq!(schema["properties"]["version"]["const"], 1);
    let mut command = road.command(&["--json", "tasks", "list"]);
    command.env("PRENTICE_WORKERS__HEARTBEAT", "never");
    let wrong = Running::start(command).end().ends(3);
    assert_eq!(wrong.json()["error"]["code"], "config");
}

#[test]
fn codes_and_classes_are_explained() {
    let road = Road::empty();
    for class in [
        "verify",
        "timeout",
        "scope",
        "limit",
        "setup",
        "no-change",
        "baseline",
        "conflict",
    ] {
        let text = road.prentice(&["explain", class]).ends(0).out;
        assert!(text.lines().count() > 1, "{class}: {text}");
    }
    road.prentice(&["explain", "PRN999"])
        .ends(5)
        .says("known are");
}

#[test]
fn completions_and_version_are_data() {
    let road = Road::empty();
    for shell in ["bash", "zsh", "fish"] {
        let script = road.prentice(&["completions", shell]).ends(0);
        assert!(script.out.contains("out-of-scope"), "{shell}");
        assert!(script.err.is_empty());
    }
    let version = road.prentice(&["version"]).ends(0);
    assert_eq!(
        version.out,
        format!("prentice {}\n", env!("CARGO_PKG_VERSION"))
    );
    let object = road.prentice(&["--json", "version"]).ends(0).json();
    assert_eq!(object["version"], env!("CARGO_PKG_VERSION"));
    assert!(
        road.files("state").is_empty(),
        "no data folder for words only"
    );
}

#[test]
fn words_that_no_command_takes_are_an_object_where_one_was_asked_for() {
    let road = Road::empty();
    for words in [
        &["--json", "bogus"][..],
        &["run", "--json"],
        &["tasks", "show", "x", "--json"],
    ] {
        let ran = road.prentice(words).ends(2);
        assert_eq!(ran.error().0, "usage", "{words:?}");
        assert!(ran.err.is_empty());
        let plain: Vec<&str> = words
            .iter()
            .copied()
            .filter(|word| *word != "--json")
            .collect();
        let ran = road.prentice(&plain).ends(2);
        assert!(
            ran.out.is_empty() && ran.err.starts_with("error: "),
            "{ran:?}"
        );
    }
    road.prentice(&["demo", "--help"])
        .ends(0)
        .says("--scenario");
    road.prentice(&["demo", "--show-script"])
        .ends(0)
        .says("It obeys the contract of every agent");
    road.prentice(&["demo", "--scenario", "nonsense"])
        .ends(2)
        .says("out-of-scope");
    road.write("used/file", "x");
    road.prentice(&["demo", "--out", "used"])
        .ends(2)
        .says("is not empty");
    let quiet = road
        .prentice(&["--quiet", "run", "missing.md", "--agent-cmd", "true"])
        .ends(5);
    assert!(
        quiet.err.contains("missing.md"),
        "what went wrong is said all the same"
    );
    road.prentice(&["run", "issue.md", "--agent-cmd", "sh -c 'x"])
        .ends(2)
        .says("open quote");
}
