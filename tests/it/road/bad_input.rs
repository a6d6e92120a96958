//! Bad and unusual input, and how each ends.

use super::*;

#[test]
fn what_is_not_there_is_told_before_anything_starts() {
    let road = Road::new();
    fs::create_dir(road.path("nothing")).unwrap();
    road.git_in("nothing", &["init", "-q", "-b", "main", "."]);
    for (issue, repo, named) in [
        ("missing.md", "repo", "no issue file missing.md"),
        ("issue.md", "home", "no git repository"),
        ("issue.md", "nowhere", "nowhere"),
        ("issue.md", "nothing", "no commit yet"),
    ] {
        let words = ["--json", "run", issue, "--repo", repo, "--agent-cmd", FIX];
        let (code, message) = road.prentice(&words).ends(5).error();
        assert_eq!(code, "not-found", "{message}");
        assert!(message.contains(named), "{message}");
    }
    assert_eq!(road.prentice(&["tasks", "list"]).ends(0).out, "no tasks\n");
}

#[test]
fn an_issue_that_says_too_little_asks_and_goes_on_with_the_answer() {
    let road = Road::new();
    for nothing in ["", " \n\n", "<!-- only a comment -->\n"] {
        road.write("issue.md", nothing);
        let (code, message) = road.run(FIX).ends(7).error();
        assert_eq!(code, "needs-info");
        assert!(message.contains("issue.md is empty"), "{message}");
    }
    road.write("issue.md", "# The answer is wrong\n\nMake it right.\n");
    let words = ["run", "issue.md", "--repo", "repo", "--agent-cmd", FIX];
    let asked = road.prentice(&words).ends(7);
    assert!(
        asked.out.contains("### Acceptance criteria\n\n- [ ]"),
        "a skeleton to paste: {}",
        asked.out
    );
    assert!(
        asked.out.contains("prentice tasks answer T-1"),
        "{}",
        asked.out
    );
    assert_eq!(road.runs("T-1"), 0);
    road.prentice(&["tasks", "answer", "T-1", "just do it"])
        .ends(7);
    let answer = "### Acceptance criteria\n\n- [ ] The answer is right (`tests`)\n";
    let done = road
        .prentice(&["--json", "tasks", "answer", "T-1", answer])
        .ends(0)
        .json();
    assert_eq!(done["brief"]["criteria"][0]["met"], "yes", "{done:#}");
}

#[test]
fn an_issue_with_too_many_criteria_and_a_scope_in_prose_is_warned_of_wherever_it_is_read() {
    let road = Road::new();
    let criteria: String = (1..=12).map(|n| format!("- [ ] c{n}\n")).collect();
    let scope = "### Files or areas in scope\n\nthe whole src\u{1b}[2J folder\nanswer.txt\n";
    let issue = format!("# The answer\n\n### Acceptance criteria\n\n{criteria}\n{scope}");
    road.write("issue.md", &issue);
    let done = road.run(FIX).ends(0);
    let too_many = "12 acceptance criteria are too many for one change";
    let unread = "folder” under scope is no path or glob";
    let folder = Path::new("state/prentice/tasks/T-1");
    let of = |name: &str| road.read(folder.join(name).to_str().unwrap());
    let (status, pull) = (of("status.md"), of("PR.md"));
    for (place, text) in [("stderr", &done.err), ("status", &status), ("PR.md", &pull)] {
        for warning in [too_many, unread] {
            assert!(text.contains(warning), "{place}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "{place}: {text}");
    }
}

#[test]
fn an_issue_that_is_too_long_is_never_cut() {
    let road = Road::with(&format!("{SETTINGS}\n[context]\nmax_chars = 1000\n"));
    road.write("issue.md", &format!("{ISSUE}{}", "x".repeat(1000)));
    let (code, message) = road.run(FIX).ends(7).error();
    assert_eq!(code, "needs-info");
    assert!(
        message.contains("1000") || message.contains("1,000"),
        "{message}"
    );
    fs::write(road.path("issue.md"), b"# \xff\xfe\n").unwrap();
    road.run(FIX).ends(2).says("UTF-8");
}

#[test]
fn five_mistakes_of_a_repository_file_are_told_at_once() {
    let road = Road::with(
        "version = 2\n[task]\ntimeuot = \"5m\"\nattempts = 99\n[scope]\nallow = \"src\"\n[[verify]]\nname = \"A B\"\nrun = \"true\"\n",
    );
    let words = ["run", "issue.md", "--repo", "repo", "--agent-cmd", FIX];
    let ran = road.prentice(&words).ends(3);
    for line in [1, 3, 4, 6, 8] {
        assert!(
            ran.err.contains(&format!(".github/prentice.toml:{line}:")),
            "line {line}:\n{}",
            ran.err
        );
    }
    let object = road.run(FIX).ends(3).json();
    assert_eq!(
        object["error"]["mistakes"].as_array().unwrap().len(),
        5,
        "{object:#}"
    );
}

#[test]
fn what_is_not_committed_is_counted_and_left_out() {
    let road = Road::new();
    road.write("repo/tracked.txt", "one\n");
    road.commit("tracked");
    road.write("repo/tracked.txt", "two\n");
    road.write("repo/new.txt", "new\n");
    road.write("repo/staged.txt", "staged\n");
    road.git(&["add", "staged.txt"]);
    let frozen = road.frozen();
    let ran = road.run(&sh("cat tracked.txt; ls; test ! -e new.txt && test ! -e staged.txt && grep -qx one tracked.txt && echo right > answer.txt")).ends(0);
    assert!(
        ran.err
            .contains("3 uncommitted paths are left out (1 staged, 1 changed, 1 untracked)"),
        "{}",
        ran.err
    );
    assert_eq!(ran.json()["files"].as_array().unwrap().len(), 1);
    frozen.still();
}

#[test]
fn bare_shallow_and_detached_repositories_work_and_it_is_said() {
    let road = Road::new();
    road.commit("second");
    let url = format!("file://{}", road.path("repo").display());
    for (name, clone, said) in [
        (
            "bare",
            &["clone", "-q", "--bare"][..],
            "the repository is bare",
        ),
        (
            "shallow",
            &["clone", "-q", "--depth", "1"],
            "the clone is shallow",
        ),
        ("detached", &["clone", "-q"], "HEAD is detached at"),
    ] {
        let target = road.path(name);
        road.git(&[clone, &[&url, target.to_str().unwrap()]].concat());
        if name == "detached" {
            road.git_in(name, &["checkout", "-q", "--detach"]);
        }
        let frozen = Frozen::of(&target);
        let words = [
            "--json",
            "run",
            "issue.md",
            "--repo",
            name,
            "--agent-cmd",
            FIX,
        ];
        let ran = road.prentice(&words).ends(0);
        assert!(ran.err.contains(said), "{name}: {}", ran.err);
        let object = ran.json();
        let branch = object["branch"].as_str().unwrap();
        assert_eq!(
            road.git_in(name, &["show", &format!("{branch}:answer.txt")]),
            "right"
        );
        frozen.still();
        let words = [
            "--json",
            "verify",
            "--repo",
            name,
            "--base",
            object["base"].as_str().unwrap(),
            "--head",
            branch,
        ];
        road.prentice(&words).ends(0);
    }
}

#[test]
fn submodules_are_not_fetched_and_large_files_stay_pointers() {
    let road = Road::new();
    fs::create_dir(road.path("other")).unwrap();
    road.git_in("other", &["init", "-q", "-b", "main", "."]);
    road.write("other/file", "x\n");
    road.git_in("other", &["add", "-A", "."]);
    road.git_in("other", &["commit", "-q", "-m", "other"]);
    let other = road.path("other");
    road.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        other.to_str().unwrap(),
        "deps/other",
    ]);
    road.write(
        "repo/.gitattributes",
        "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    );
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 5\n";
    road.write("repo/large.bin", pointer);
    road.commit("both");
    let frozen = road.frozen();
    let agent = sh(
        "test -z \"$(ls -A deps/other)\" && grep -q git-lfs large.bin && echo right > answer.txt",
    );
    let ran = road.run(&agent).ends(0);
    assert!(
        ran.err.contains("1 submodule is not fetched")
            || ran.err.contains("1 submodule is not fetched"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("files in LFS are left as pointers"),
        "{}",
        ran.err
    );
    let object = ran.json();
    let branch = object["branch"].as_str().unwrap();
    assert_eq!(object["files"].as_array().unwrap().len(), 1, "{object:#}");
    assert!(
        road.git(&["ls-tree", branch, "deps/other"])
            .starts_with("160000 commit")
    );
    assert_eq!(
        road.git(&["show", &format!("{branch}:large.bin")]),
        pointer.trim_end()
    );
    frozen.still();
}

#[test]
fn names_that_are_no_text_and_large_files_work() {
    let road = Road::new();
    let megabytes = if std::env::var_os("PRENTICE_TEST_LONG").is_some() {
        200
    } else {
        64
    };
    let strange = road.path("repo").join(OsStr::from_bytes(b"new\nline \xff"));
    fs::write(&strange, "strange\n").unwrap();
    let large = fs::File::create(road.path("repo/large.dat")).unwrap();
    large.set_len(megabytes << 20).unwrap();
    road.commit("strange and large");
    let agent = sh(&format!(
        r#"test "$(stat -c %s large.dat)" = {} || exit 1; for f in new*; do echo more >> "$f"; done
        echo x > "$(printf 'made\n\376')"; echo right > answer.txt"#,
        megabytes << 20
    ));
    // The agent's own name is one that other systems cannot hold, so that a person is asked.
    road.run(&agent).ends(7);
    let approve = ["--json", "tasks", "approve", "T-1", "r1"];
    let object = road.prentice(&approve).ends(0).json();
    let files = object["files"].as_array().unwrap();
    let hex: Vec<&str> = files
        .iter()
        .filter_map(|file| file["path_hex"].as_str())
        .collect();
    assert_eq!(hex, ["6d6164650afe", "6e65770a6c696e6520ff"], "{object:#}");
    assert_eq!(files.len(), 3);
    let report = fs::read_to_string(object["report"].as_str().unwrap()).unwrap();
    assert!(report.contains("new"), "{report}");
    let branch = object["branch"].as_str().unwrap();
    let tree = road.git(&["ls-tree", "-r", "--name-only", branch]);
    assert!(tree.contains(r#""made\n\376""#), "{tree}");
}

#[test]
fn a_server_file_that_is_not_there_or_wrong_ends_every_command_at_once() {
    let road = Road::new();
    road.prentice(&["--config", "none.toml", "tasks", "list"])
        .ends(5)
        .says("none.toml");
    road.write("server.toml", "[wrokers]\n");
    road.prentice(&["--config", "server.toml", "tasks", "list"])
        .ends(3)
        .says("workers");
}
