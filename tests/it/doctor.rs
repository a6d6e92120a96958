//! `prentice doctor`, as a person and a program get it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::sandbox::helper;

fn doctor(home: &Path, words: &[&str]) -> Output {
    Command::new(helper())
        .arg("doctor")
        .args(words)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .current_dir(home)
        .output()
        .unwrap()
}

fn home() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("prentice-doctor-")
        .tempdir()
        .unwrap()
}

/// The findings by `group/name`.
fn findings(output: &Output) -> Vec<(String, String)> {
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["schema_version"], 1);
    let lines = object["lines"].as_array().unwrap();
    let fails = lines.iter().any(|line| line["state"] == "fail");
    assert_eq!(object["ok"], !fails);
    assert_eq!(output.status.code(), Some(i32::from(fails)), "{object}");
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    for line in lines {
        let has_fix = line["fix"].is_string();
        assert_eq!(
            has_fix,
            line["state"] != "ok",
            "what is not well has a next step: {line}"
        );
    }
    lines
        .iter()
        .map(|line| {
            (
                format!("{}/{}", text(line, "group"), text(line, "name")),
                text(line, "state"),
            )
        })
        .collect()
}

#[test]
fn a_machine_that_can_do_it_all_is_told_so_by_a_real_sandbox() {
    let home = home();
    let output = doctor(home.path(), &["--json"]);
    let found = findings(&output);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "program/version",
            "config/server-file",
            "clock/wall",
            "git/version",
            "git/https",
            "data/folder",
            "data/rights",
            "data/space",
            "data/store",
            "sandbox/walls",
            "sandbox/landlock",
            "sandbox/workspace",
            "sandbox/limits",
        ]
    );
    assert!(found.iter().all(|(_, state)| state != "fail"), "{found:?}");
    let text = doctor(home.path(), &[]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert_eq!(text.lines().count(), names.len(), "one line each:\n{text}");
    println!("{text}");
}

#[test]
fn a_quick_look_starts_no_sandbox_and_holds_while_another_works() {
    let home = home();
    for _ in 0..2 {
        let found = findings(&doctor(home.path(), &["--quick", "--json"]));
        assert!(
            found.iter().all(|(name, _)| !name.starts_with("sandbox/")),
            "{found:?}"
        );
        assert!(
            found
                .iter()
                .any(|(name, state)| name == "data/store" && state == "ok")
        );
    }
    let state = home.path().join(".local/state/prentice");
    assert!(!state.join("slots").exists(), "a sandbox was begun");
}

#[test]
fn what_is_wrong_ends_with_one_and_names_the_next_step() {
    let home = home();
    let config = home.path().join("server.toml");
    fs::write(&config, "version = 1\n[workers]\nheartbeat = \"soon\"\n").unwrap();
    let config = config.display().to_string();
    let found = findings(&doctor(home.path(), &["--json", "--config", &config]));
    assert!(
        found.contains(&("config/server-file".to_owned(), "fail".to_owned())),
        "{found:?}"
    );
    assert!(
        found.iter().all(|(name, _)| !name.starts_with("data/")),
        "it would be another folder: {found:?}"
    );

    let data = home.path().join("data");
    fs::write(&data, "a file, not a folder").unwrap();
    fs::write(
        &config,
        format!("version = 1\n[server]\ndata_dir = \"{}\"\n", data.display()),
    )
    .unwrap();
    let output = doctor(home.path(), &["--json", "--config", &config]);
    let found = findings(&output);
    assert!(
        found.contains(&("data/folder".to_owned(), "fail".to_owned())),
        "{found:?}"
    );

    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(
        data.join("prentice.db"),
        "no database at all, but long enough to be taken for one".repeat(99),
    )
    .unwrap();
    let found = findings(&doctor(
        home.path(),
        &["--json", "--quick", "--config", &config],
    ));
    assert!(
        found.contains(&("data/store".to_owned(), "fail".to_owned())),
        "{found:?}"
    );
}

#[test]
fn a_disk_without_room_is_found_before_a_task_is() {
    if !crate::sandbox::is_root() {
        crate::skip::skipped("doctor on a small disk", "takes root");
        return;
    }
    let home = home();
    let script = "mount --make-rprivate / && mount -t tmpfs -o size=20m,nr_inodes=500 tmpfs \"$HOME\" && exec \"$0\" doctor --json --quick";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(helper())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", home.path())
        .output()
        .unwrap();
    let found = findings(&output);
    for name in ["data/space", "data/files"] {
        assert!(
            found.contains(&(name.to_owned(), "fail".to_owned())),
            "{found:?}"
        );
    }
}
