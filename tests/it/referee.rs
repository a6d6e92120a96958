//! What checks are told about the commit they judge.

use std::path::Path;
use std::process::Command;

fn git(dir: &Path, args: &[&str]) {
    let who = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
    let done = Command::new("git")
        .current_dir(dir)
        .args(who)
        .args(args)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Two commits that change, remove and add files.
fn repository(dir: &Path) {
    git(dir, &["init", "-q", "-b", "main"]);
    std::fs::create_dir(dir.join("d")).unwrap();
    for (name, text) in [("a", "a\n"), ("c", "c\n"), ("d/b", "b\n")] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-qm", "one"]);
    std::fs::write(dir.join("a"), "aa\n").unwrap();
    std::fs::remove_file(dir.join("c")).unwrap();
    std::fs::write(dir.join("d/n"), "new\n").unwrap();
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-qm", "two"]);
}

#[test]
fn a_check_that_asks_git_sees_a_clean_tree_on_both_sides() {
    for method in ["overlay", "copy"] {
        let folder = tempfile::tempdir().unwrap();
        repository(folder.path());
        let state = tempfile::tempdir().unwrap();
        let clean = "test -z \"$(git status --porcelain)\" && git diff --exit-code HEAD";
        let named = "git log --format=%s | grep -xE 'one|two'";
        let done = Command::new(env!("CARGO_BIN_EXE_prentice"))
            .args(["verify", "--json", "--base", "HEAD~1", "--repo"])
            .arg(folder.path())
            .args(["--verify", clean, "--verify", named])
            // No tool chains and caches: copying those of this machine takes a minute.
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")])
            .env("HOME", state.path())
            .env("XDG_STATE_HOME", state.path())
            .env("PRENTICE_WORKSPACE", method)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert_eq!(done.status.code(), Some(0), "{method}: {said}");
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        for check in json["checks"].as_array().unwrap() {
            assert_eq!(
                (&check["base_exit"], &check["head_exit"]),
                (&0.into(), &0.into()),
                "{method}: {check}"
            );
        }
    }
}
