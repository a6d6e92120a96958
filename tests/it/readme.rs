//! The README says what is true: its transcript is what `demo` prints, its tables are made from
//! the tables in the code, and every command that it names is one.
//!
//! `UPDATE_README=1 cargo test --test it readme::` writes the generated sections anew.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use prentice::config;
use prentice::domain::command::TABLE;
use regex::Regex;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn readme() -> String {
    // Another test may be writing it.
    let mut readme = fs::File::open(file("README.md")).unwrap();
    readme.lock_shared().unwrap();
    let mut text = String::new();
    readme.read_to_string(&mut text).unwrap();
    text
}

fn prentice() -> Command {
    Command::new(env!("CARGO_BIN_EXE_prentice"))
}

/// Begin and end of what stands between the markers of a generated section.
fn section(text: &str, name: &str) -> (usize, usize) {
    let begin = format!("<!-- generated: {name} -->\n");
    let end = format!("<!-- end: {name} -->\n");
    let start = text
        .find(&begin)
        .unwrap_or_else(|| panic!("README.md has no {begin}"))
        + begin.len();
    let length = text[start..]
        .find(&end)
        .unwrap_or_else(|| panic!("README.md has no {end}"));
    (start, start + length)
}

/// Compares a generated section, or writes it when asked to.
fn is_current(name: &str, wanted: &str, same: impl Fn(&str) -> String) {
    // One at a time: the tests of this file run side by side.
    let lock = fs::File::open(file("README.md")).unwrap();
    lock.lock().unwrap();
    let text = fs::read_to_string(file("README.md")).unwrap();
    let (start, end) = section(&text, name);
    if same(&text[start..end]) == same(wanted) {
        return;
    }
    if std::env::var_os("UPDATE_README").is_some_and(|value| value == "1") {
        let text = format!("{}{wanted}{}", &text[..start], &text[end..]);
        fs::write(file("README.md"), text).unwrap();
        return;
    }
    assert_eq!(
        same(&text[start..end]),
        same(wanted),
        "the section `{name}` is old; run `UPDATE_README=1 cargo test --test it readme::`"
    );
}

/// What differs from one run to the next, and from one machine to the next.
fn normal(transcript: &str) -> String {
    let mut text = transcript.to_owned();
    for (form, with) in [
        (r"(?m)^ *\d+\.\ds  ", "   0.0s  "),
        (r"\(\d+(\.\d)? m?s\)", "(0 ms)"),
        (r"\b[0-9a-f]{7}\b", "0000000"),
        (r"(?m)^sandbox: .*$", "sandbox: as the host allows"),
    ] {
        text = Regex::new(form)
            .unwrap()
            .replace_all(&text, with)
            .into_owned();
    }
    text
}

#[test]
fn the_transcript_of_the_demo_is_what_it_prints() {
    let state = tempfile::tempdir().unwrap();
    // Both streams in the order in which a person sees them.
    let output = Command::new("sh")
        .args(["-c", "exec \"$0\" demo 2>&1"])
        .arg(env!("CARGO_BIN_EXE_prentice"))
        // No tool chain of this machine is found, and so none is told of.
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", state.path())
        .env("XDG_STATE_HOME", state.path())
        .env("XDG_CONFIG_HOME", state.path())
        .current_dir(state.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let shown = text.replace(state.path().to_str().unwrap(), "~/.local/state");
    let wanted = format!("```console\n$ cargo run --release -- demo\n{shown}```\n");
    is_current("demo", &wanted, normal);
}

#[test]
fn the_transcript_is_compared_by_everything_that_matters() {
    let line =
        "   0.5s  head: tests passes (15 ms)\nbranch   a   (base 431ca87 → a0e0e60, 1 file)\n";
    let same =
        "  12.3s  head: tests passes (2.1 s)\nbranch   a   (base 0123456 → fedcba9, 1 file)\n";
    assert_eq!(normal(line), normal(same));
    for other in [
        line.replace("passes", "exits 1"),
        line.replace("1 file", "2 files"),
    ] {
        assert_ne!(normal(line), normal(&other));
    }
}

#[test]
fn the_configuration_reference_is_the_tables() {
    is_current("configuration", &config::reference(), str::to_owned);
}

#[test]
fn the_verbs_are_those_of_the_table_that_work_here() {
    // The others are commands of their own here, or work on a forge only.
    let rows = TABLE.iter().filter(|row| row.available).filter_map(|row| {
        let local = row.local.filter(|local| local.contains("{task}"))?;
        let usage = format!("{} {}", local.replace("{task}", "T-1"), row.arguments);
        Some(format!(
            "| `{}` | {} |\n",
            usage.trim_end().replace('|', "\\|"),
            row.effect
        ))
    });
    let table = format!(
        "| Command | Effect |\n|---|---|\n{}",
        rows.collect::<String>()
    );
    is_current("verbs", &table, str::to_owned);
}

#[test]
fn the_map_is_that_of_the_library() {
    let lib = fs::read_to_string(file("src/lib.rs")).unwrap();
    let mut table = "| Module | What it is for |\n|---|---|\n".to_owned();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! | [")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let modules = cells[0].replace(['[', ']'], "");
        table.push_str(&format!("| {modules} | {} |\n", cells[1]));
    }
    assert!(table.lines().count() > 10, "{table}");
    is_current("map", &table, str::to_owned);
}

/// Each command line that a text names: those of its shell blocks, and code in its sentences.
fn command_lines(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = None;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            block = match block {
                None => Some(language.to_owned()),
                Some(_) => None,
            };
        } else if let Some(language) = &block {
            if ["sh", "console"].contains(&language.as_str()) {
                found.push(line.strip_prefix("$ ").unwrap_or(line).to_owned());
            }
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
        .into_iter()
        .filter_map(|line| {
            let line = line.split(" # ").next().unwrap_or_default().trim();
            let rest = line
                .strip_prefix("cargo run --release -- ")
                .or_else(|| line.strip_prefix("prentice "))?;
            Some(rest.to_owned())
        })
        .collect()
}

#[test]
fn every_command_that_the_readme_names_is_one() {
    let flag = Regex::new(r"(?:^|[\s\[])(--[a-z][a-z-]*)").unwrap();
    let lines = command_lines(&readme());
    let mut commands = BTreeSet::new();
    for line in &lines {
        let word = |word: &&str| {
            word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !word.starts_with('-')
        };
        let mut words: Vec<&str> = line.split_whitespace().take_while(word).collect();
        // `prentice help` is the help itself.
        words.retain(|word| *word != "help");
        words.truncate(
            if ["tasks", "config"].contains(words.first().unwrap_or(&"")) {
                2
            } else {
                1
            },
        );
        let output = prentice().args(&words).arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "`prentice {line}`: {help}");
        for named in flag.captures_iter(line) {
            let known = help
                .split_whitespace()
                .any(|word| word.trim_end_matches(['.', ',']) == &named[1]);
            assert!(known, "`prentice {line}`: there is no {}", &named[1]);
        }
        commands.insert(words.join(" "));
    }
    assert!(commands.len() >= 10, "{commands:?}");
}

#[test]
fn commands_are_found_in_blocks_and_in_sentences() {
    let text = "Say `prentice demo --json` or `x`.\n```sh\nprentice run a.md # why\nls\n```\n```toml\nprentice no\n```\n";
    assert_eq!(command_lines(text), ["demo --json", "run a.md"]);
}
