//! `prentice verify`: any two commits, no agent.

use super::*;

const KEYS: [&str; 14] = [
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
    "workspace",
];

fn verify(road: &Road, words: &[&str]) -> Ran {
    road.prentice(&[&["--json", "verify", "--repo", "repo"], words].concat())
}

#[test]
fn the_referee_tells_a_fix_from_a_break_and_needs_no_task() {
    let refusing = format!("{SETTINGS}\n[scope]\ndeny = [\"forbidden/**\"]\n");
    let road = Road::with(&refusing);
    let base = road.git(&["rev-parse", "HEAD"]);
    road.write("repo/answer.txt", "right\n");
    let fix = road.commit("fix");
    road.write("repo/answer.txt", "wrong again\n");
    let broken = road.commit("break");
    road.write("repo/answer.txt", "right\n");
    road.write("repo/LICENSE", "x\n");
    let asking = road.commit("ask");
    fs::remove_file(road.path("repo/LICENSE")).unwrap();
    road.write("repo/forbidden/x", "x\n");
    let refused = road.commit("refused");
    let frozen = road.frozen();

    for (from, to, code, stage, class) in [
        (&base, &fix, 0, "needs-review", None),
        (&fix, &broken, 6, "failed", Some("verify")),
        (&fix, &fix, 0, "needs-review", None),
        (&base, &base, 6, "failed", Some("verify")),
        (&broken, &asking, 7, "needs-approval", None),
        (&base, &refused, 6, "failed", Some("scope")),
    ] {
        let object = verify(&road, &["--base", from, "--head", to])
            .ends(code)
            .json();
        assert_eq!(keys(&object), KEYS);
        assert_eq!(object["stage"], stage);
        assert_eq!(object["failure"]["class"].as_str(), class);
        assert_eq!(
            (object["base"].as_str(), object["head"].as_str()),
            (Some(from.as_str()), Some(to.as_str()))
        );
        assert_eq!(object["asks"].is_null(), code != 7);
        assert_eq!(
            object["checks"].as_array().unwrap().is_empty(),
            class == Some("scope"),
            "no checks after a refusal"
        );
    }
    frozen.still();
    assert_eq!(road.prentice(&["tasks", "list"]).ends(0).out, "no tasks\n");
    assert!(road.files("state/prentice/work").is_empty());

    let red = road
        .prentice(&[
            "verify", "--repo", "repo", "--base", &fix, "--head", &broken,
        ])
        .ends(6);
    assert!(
        red.out
            .contains("failed   verify: required check `tests` exits 1"),
        "{}",
        red.out
    );
    assert!(red.out.contains("log      tests"), "{}", red.out);
}

#[test]
fn the_base_is_where_the_head_left_the_default_branch_unless_named() {
    let road = Road::new();
    let base = road.git(&["rev-parse", "HEAD"]);
    road.git(&["checkout", "-q", "-b", "topic"]);
    road.write("repo/answer.txt", "right\n");
    let head = road.commit("fix");
    road.git(&["checkout", "-q", "main"]);
    road.write("repo/other.txt", "other\n");
    road.commit("meanwhile");
    road.git(&["checkout", "-q", "topic"]);
    let object = verify(&road, &[]).ends(0).json();
    assert_eq!(
        (object["base"].as_str(), object["head"].as_str()),
        (Some(base.as_str()), Some(head.as_str()))
    );
    assert_eq!(object["checks"][0]["base_exit"], 1);
    // By branch, by tag, by short name.
    road.git(&["tag", "v1", "main"]);
    verify(&road, &["--base", "v1", "--head", &head[..10]]).ends(0);
    let (code, message) = verify(&road, &["--head", "nowhere"]).ends(5).error();
    assert_eq!(code, "not-found");
    assert!(message.contains("nowhere"), "{message}");
}

#[test]
fn the_rules_are_those_of_the_base_and_the_command_line_replaces_them() {
    let road = Road::new();
    road.write("repo/answer.txt", "right\n");
    road.commit("fix");
    // A change that makes its own judge say yes to everything is judged by the old one.
    road.write("repo/answer.txt", "wrong\n");
    road.write(
        "repo/.github/prentice.toml",
        &SETTINGS.replace("grep -qx right answer.txt", "true"),
    );
    road.commit("cheat");
    verify(&road, &["--base", "HEAD~1"]).ends(6);
    let told = verify(
        &road,
        &["--base", "HEAD~1", "--verify", "test -s answer.txt"],
    )
    .ends(7);
    assert!(told.err.contains("in place of all others"), "{}", told.err);
    assert_eq!(told.json()["checks"][0]["name"], "check-1");
}

#[test]
fn the_gates_know_what_the_checks_run_and_what_else_the_base_holds() {
    let road = Road::new();
    road.write("repo/t.sh", "test -s answer.txt\n");
    road.commit("a script for the check");
    let told = |path: &str, content: &str| {
        road.write(&format!("repo/{path}"), content);
        road.commit(path);
        let words = ["--base", "HEAD~1", "--verify", "sh t.sh"];
        verify(&road, &words).ends(7).json()["gates"].to_string()
    };
    let script = told("t.sh", "true\n");
    assert!(script.contains("`t.sh` steers the checks"), "{script}");
    let twin = told("ANSWER.txt", "x\n");
    assert!(
        twin.contains("`ANSWER.txt` is the same as `answer.txt`"),
        "{twin}"
    );
}
