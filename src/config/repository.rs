//! The repository file: what a repository asks for.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::explain::Code;
use super::forms::duration_text;
use super::keys::{MOST_CHECKS, REPOSITORY, VERIFY};
use super::mistakes::Mistakes;
use super::read::{self, Many, Reader};
use super::recognise::Guess;
use super::{Origin, Origins, new_check};
use crate::domain::settings::{Check, ChecksFrom, Settings};

/// Where the file may be, first to last.
pub const PLACES: [&str; 4] = [
    ".github/prentice.toml",
    ".forgejo/prentice.toml",
    ".gitea/prentice.toml",
    "prentice.toml",
];

/// The first of [`PLACES`] that exists, and one warning for each further one, which is not read.
pub fn place(exists: impl Fn(&str) -> bool) -> (Option<&'static str>, Vec<String>) {
    let mut found = PLACES.into_iter().filter(|place| exists(place));
    let first = found.next();
    let warnings = found.map(|other| {
        let first = first.unwrap_or_default();
        format!("`{other}` is not read, since `{first}` comes first; remove one of the two")
    });
    (first, warnings.collect())
}

/// What a repository file says, over the built-in values. `path` is its path in the repository.
///
/// # Errors
///
/// Every mistake of the file, in order.
pub fn repository(path: &str, bytes: impl AsRef<[u8]>) -> Result<(Settings, Origins), Mistakes> {
    let text = read::text(path, bytes.as_ref())?;
    let (mut reader, table) = Reader::new(path, text);
    let mut settings = Settings {
        file: Some(path.to_owned()),
        ..Settings::default()
    };
    reader.version(&table);
    for (name, value) in &table {
        let section = REPOSITORY
            .iter()
            .find(|section| section.name == name.get_ref().as_ref());
        match (section, name.get_ref().as_ref()) {
            (Some(section), _) => reader.section(section, value, &mut settings),
            (None, "version") => {}
            (None, "verify") => settings.checks = checks(&mut reader, value),
            (None, _) => reader.unknown_top(name, value, &homes()),
        }
    }
    if !settings.checks.is_empty() {
        settings.checks_from = ChecksFrom::File;
    }
    stall_after(&mut reader, &table, &settings);
    reader.end(settings)
}

/// Checks given on the command line take the place of all others: `check-1`, `check-2` and so on.
pub fn replace_checks(settings: &mut Settings, origins: &mut Origins, commands: &[String]) {
    let checks = commands.iter().enumerate();
    settings.checks = checks
        .map(|(i, run)| new_check(&format!("check-{}", i + 1), run))
        .collect();
    settings.checks_from = ChecksFrom::CommandLine;
    settings_came_from(settings, origins, &Origin::CommandLine);
}

/// Takes over a guess: its checks, and its set-up where the file has none of its own.
pub fn adopt(settings: &mut Settings, origins: &mut Origins, guess: Guess) {
    settings.checks = guess.checks;
    settings.checks_from = ChecksFrom::Guess {
        build_system: guess.build_system,
    };
    if settings.setup.run.is_empty() && !guess.setup.is_empty() {
        settings.setup.run = guess.setup;
        origins.set("setup.run", Origin::Guess);
    }
    settings_came_from(settings, origins, &Origin::Guess);
}

/// Name and command of every check came from `origin`, the rest of it is built in.
fn settings_came_from(settings: &Settings, origins: &mut Origins, origin: &Origin) {
    origins.forget_checks();
    for i in 0..settings.checks.len() {
        origins.set(&format!("verify[{i}].name"), origin.clone());
        origins.set(&format!("verify[{i}].run"), origin.clone());
    }
}

/// Each table of the file with the keys in it.
fn homes() -> Vec<(&'static str, Vec<&'static str>)> {
    let tables = REPOSITORY
        .iter()
        .map(|s| (s.name, s.keys.iter().map(|key| key.name).collect()));
    let verify = (
        VERIFY.name,
        VERIFY.keys.iter().map(|key| key.name).collect(),
    );
    tables.chain([verify]).collect()
}

/// Every `[[verify]]`.
fn checks(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Vec<Check> {
    let many = Many {
        section: &VERIFY,
        one: "check",
        below: "`name` and `run`",
        max: MOST_CHECKS,
        new: || new_check("", ""),
        name: |check| &check.name,
        between: |_, _, _, _, _| {},
    };
    reader.tables(&many, value)
}

/// `stall_after` must be shorter than `timeout`, whichever of the two was written.
fn stall_after(reader: &mut Reader<'_>, table: &DeTable<'_>, settings: &Settings) {
    let task = &settings.task;
    if task.stall_after_secs < task.timeout_secs {
        return;
    }
    let (stall, timeout) = (
        duration_text(task.stall_after_secs),
        duration_text(task.timeout_secs),
    );
    let message = format!("`stall_after` ({stall}) must be shorter than `timeout` ({timeout})");
    let spans = table.get("task").and_then(|task| task.get_ref().as_table());
    let span = |key: &str| Some(spans?.get(key)?.span());
    match (span("stall_after"), span("timeout")) {
        (Some(at), Some(other)) => {
            let line = reader.line(other.start);
            let hint = format!("set this below {timeout}, or raise `timeout` on line {line}");
            reader.add(Code::StallAfter, at, "task.stall_after", message, hint);
        }
        (Some(at), None) => {
            let hint = format!("set this below {timeout}, or add a longer `timeout`");
            reader.add(Code::StallAfter, at, "task.stall_after", message, hint);
        }
        (None, at) => {
            let hint = format!("raise this above {stall}, or add a shorter `stall_after`");
            reader.add(
                Code::StallAfter,
                at.unwrap_or_default(),
                "task.timeout",
                message,
                hint,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Code, show};
    use crate::domain::policy::SelfApproval;

    /// Every key of this issue at its default, as the specification writes it.
    const FULL: &str = r##"#:schema ./prentice.schema.json
version = 1                          # int, must be 1

[trigger]
label         = "agent"              # 1–50 chars, no comma; not "agent:*"
allow         = "triage"             # triage | write | maintain | admin
allow_users   = []                   # extra logins
ignore_users  = []                   # accounts that are bots where the forge does not say so (Gitea)
verify        = "asked"              # asked | label | agents | all
verify_per_hour = 6                  # automatic ones, newest head only
prefix        = "/agent"             # starts with "/" or "@", 2–20 chars, no spaces

[context]
comments_from = "write"              # none | triage | write | anyone
instructions  = ["AGENTS.md"]        # repo paths, base branch version
max_chars     = 60000                # 1000–400000

[task]
base          = ""                   # "" = default branch
branch        = "agent/{number}-{slug}"   # must contain {number}
timeout       = "60m"                # 1s–24h
stall_after   = "10m"                # 1s–2h, < timeout
attempts      = 2                    # 1–5 verify attempts
max_rounds    = 2                    # 1–20
max_open      = 3                    # 1–50 unreviewed agent PRs before queueing
keep          = "14d"                # patch and log kept after a final state
ask_timeout   = "7d"                 # needs-info waits this long

[scope]
allow         = ["**"]               # globs; issue form may narrow
deny          = []                   # never touched, hard block
protected     = [".github/**", ".forgejo/**", ".gitea/**", "**/CODEOWNERS", "AGENTS.md", "CLAUDE.md", ".*/**", "LICENSE*"]
protected_policy = "approve"         # block | approve
sensitive     = ["**/auth/**", "**/billing/**", "**/security/**", "**/migrations/**"]
dependencies  = "approve"            # block | approve | allow
tests_removed = "approve"            # block | approve | allow
max_files     = 30                   # 1–500
max_lines     = 800                  # 1–20000
generated     = ["**/*.lock"]        # excluded from max_lines, still listed

[sandbox]
cpus          = ""
memory        = ""                   # "" = server default
disk          = ""
pids          = ""
env           = {}                   # plain values only

[setup]
run           = []                   # commands before work
timeout       = "10m"

[[verify]]                           # zero or more
name          = "tests"              # unique, [a-z0-9-]{1,30}
run           = "cargo test --workspace"
required      = true
timeout       = "20m"
paths         = []                   # only when these changed; [] = always
baseline      = true                 # also run on base
confirm       = "auto"               # auto | always | never

[pr]
draft         = "until-approved"     # until-approved | until-verified | never
reviewers     = ["requester"]        # requester | codeowners | login; ≤ 15
labels        = ["agent-pr"]         # may not start with "agent:"
closes_issue  = true
sign_off      = false
close_grace   = "15m"
trailers      = true
on_verify_fail = "no-pr"             # no-pr | draft

[review]
fix_on        = "changes-requested"  # changes-requested | command
approve_min   = "write"              # write | maintain | admin
requester_may_approve = "auto"       # auto (only where nobody else could) | true | false

[messages]
progress      = "sticky"             # sticky | final | off
mention       = "requester"          # requester | none
"##;

    fn read(text: &str) -> Result<Settings, Mistakes> {
        repository("prentice.toml", text).map(|(settings, _)| settings)
    }

    fn told(text: &str) -> String {
        match repository(".github/prentice.toml", text) {
            Ok(_) => "no mistake".to_owned(),
            Err(mistakes) => mistakes.render(false),
        }
    }

    /// Code, line and column of each mistake.
    fn places(text: &str) -> Vec<(&'static str, usize, usize)> {
        let list = read(text).map_or_else(|mistakes| mistakes.list, |_| Vec::new());
        list.iter()
            .map(|m| (m.code.as_str(), m.line, m.col))
            .collect()
    }

    #[test]
    fn the_full_file_at_its_defaults_is_the_built_in_settings() {
        let (settings, origins) = repository("prentice.toml", FULL).unwrap();
        let expected = Settings {
            file: Some("prentice.toml".to_owned()),
            checks: vec![new_check("tests", "cargo test --workspace")],
            checks_from: ChecksFrom::File,
            ..Settings::default()
        };
        assert_eq!(settings, expected);
        // Each key of the table is in that file, and each says where it came from.
        for section in REPOSITORY {
            for key in section.keys {
                let path = format!("{}.{}", section.name, key.name);
                let is_written = FULL
                    .lines()
                    .any(|line| line.split(' ').next() == Some(key.name));
                assert!(is_written, "{path}");
                let inherited = ["cpus", "memory", "disk", "pids"].contains(&key.name);
                assert_eq!(*origins.of(&path) == Origin::Default, inherited, "{path}");
            }
        }
        let at = Origin::File {
            path: "prentice.toml".to_owned(),
            line: 21,
        };
        assert_eq!(*origins.of("task.timeout"), at);
    }

    #[test]
    fn an_empty_file_is_the_built_in_settings() {
        let settings = read("version = 1").unwrap();
        let file = Some("prentice.toml".to_owned());
        assert_eq!(
            settings,
            Settings {
                file,
                ..Settings::default()
            }
        );
        assert_eq!(read("\u{feff}version = 1\r\n").unwrap(), settings);
    }

    #[test]
    fn what_is_shown_reads_as_what_was_meant() {
        let text = r#"
            version = 1
            task.timeout = "90m"
            sandbox.cpus = 0.5
            sandbox.memory = "1536MiB"
            sandbox.env = { A = "quote \" back \\ tab \t" }
            scope.allow = ["src/**", "ü/*"]
            [[verify]]
            name = "a"
            run = """
            set -e
            make check"""
            confirm = "never"
            required = false
            paths = ["src/**"]
        "#;
        let (settings, origins) = repository("prentice.toml", text).unwrap();
        for with_origin in [false, true] {
            assert_eq!(
                read(&show(&settings, &origins, with_origin)).unwrap(),
                settings
            );
        }
    }

    #[test]
    fn the_example_of_the_specification_is_told_as_it_says() {
        let text = "version = 1\n\n\n\n\n\n\n\n\n\n\n\n[task]\ntime_out = \"2h\"\ntimeout = \"60m\"\nstall_after = \"90m\"\n";
        insta::assert_snapshot!(told(text), @r#"
        error[PRN203]: unknown key `time_out` in [task]
           ┌ .github/prentice.toml:14:1
        14 │ time_out = "2h"
           │ ^^^^^^^^ did you mean `timeout`?
           = allowed here: base, branch, timeout, stall_after, attempts, max_rounds, max_open, keep, ask_timeout
        error[PRN211]: `stall_after` (90m) must be shorter than `timeout` (60m)
           ┌ .github/prentice.toml:16:15
        16 │ stall_after = "90m"
           │               ^^^^^ set this below 60m, or raise `timeout` on line 15
        2 errors. Nothing was started. Explain: prentice explain PRN203
        "#);
    }

    #[test]
    fn five_mistakes_of_five_kinds_are_told_in_one_go() {
        let text = r#"version = 1
[task]
timeout = "2 hours"
attempts = "3"
[scopes]
max_files = 9
[[verify]]
name = "Unit Tests"
run = "make check"
[sandbox]
env = { API_TOKEN = "hunter2" }
"#;
        let told = told(text);
        insta::assert_snapshot!(told, @r#"
        error[PRN207]: `task.timeout` is not a duration: "2 hours"
          ┌ .github/prentice.toml:3:11
        3 │ timeout = "2 hours"
          │           ^^^^^^^^^ did you mean "2h"?
        error[PRN204]: `task.attempts` takes a whole number, not text
          ┌ .github/prentice.toml:4:12
        4 │ attempts = "3"
          │            ^^^ write it without quotes
        error[PRN201]: unknown table [scopes]
          ┌ .github/prentice.toml:5:2
        5 │ [scopes]
          │  ^^^^^^ did you mean `[scope]`?
          = tables of this file: trigger, context, task, scope, sandbox, setup, pr, review, messages, verify
        error[PRN213]: `verify[0].name` is not a name
          ┌ .github/prentice.toml:8:8
        8 │ name = "Unit Tests"
          │        ^^^^^^^^^^^^ use 1 to 30 of a-z, 0-9 and `-`
        error[PRN215]: `API_TOKEN` looks like a secret
           ┌ .github/prentice.toml:11:9
        11 │ env = { API_TOKEN = ········· }
           │         ^^^^^^^^^ names that hold TOKEN are refused; everyone who reads the repository reads this
        5 errors. Nothing was started. Explain: prentice explain PRN207
        "#);
    }

    #[test]
    fn the_keys_of_a_forge_say_what_they_do_not_take() {
        let text = r#"version = 1
[trigger]
label = "agent:running"
allow = "read"
allow_users = ["@dana"]
allow_teams = ["org/team"]
verify_per_hour = 0
prefix = "agent"
[task]
max_open = 51
[pr]
reviewers = ["codeowners", "org/team"]
labels = ["a,b"]
[review]
approve_min = "triage"
requester_may_approve = "true"
"#;
        insta::assert_snapshot!(told(text), @r#"
        error[PRN210]: `trigger.label` is one of the labels that show the stage
          ┌ .github/prentice.toml:3:9
        3 │ label = "agent:running"
          │         ^^^^^^^^^^^^^^^ choose a label that does not start with `agent:`
        error[PRN206]: `trigger.allow` cannot be "read"
          ┌ .github/prentice.toml:4:9
        4 │ allow = "read"
          │         ^^^^^^ use one of triage, write, maintain, admin
        error[PRN210]: `trigger.allow_users[0]` starts with `@`
          ┌ .github/prentice.toml:5:16
        5 │ allow_users = ["@dana"]
          │                ^^^^^^^ write the name alone
        error[PRN203]: unknown key `allow_teams` in [trigger]
          ┌ .github/prentice.toml:6:1
        6 │ allow_teams = ["org/team"]
          │ ^^^^^^^^^^^ did you mean `allow`?
          = allowed here: label, allow, allow_users, ignore_users, verify, verify_per_hour, prefix
        error[PRN205]: `trigger.verify_per_hour` is outside its range
          ┌ .github/prentice.toml:7:19
        7 │ verify_per_hour = 0
          │                   ^ takes a whole number from 1 to 100
        error[PRN210]: `trigger.prefix` is nothing that a command can begin with
          ┌ .github/prentice.toml:8:10
        8 │ prefix = "agent"
          │          ^^^^^^^ write `/` or `@` and 1 to 19 of letters, digits, `-` and `_`, for example "/agent"
        error[PRN205]: `task.max_open` is outside its range
           ┌ .github/prentice.toml:10:12
        10 │ max_open = 51
           │            ^^ takes a whole number from 1 to 50
        error[PRN210]: `pr.reviewers[1]` names a team
           ┌ .github/prentice.toml:12:28
        12 │ reviewers = ["codeowners", "org/team"]
           │                            ^^^^^^^^^^ teams are not in this version; name people
        error[PRN210]: `pr.labels[0]` is no label that every forge has
           ┌ .github/prentice.toml:13:11
        13 │ labels = ["a,b"]
           │           ^^^^^ use 1 to 50 characters without a comma
        error[PRN206]: `review.approve_min` cannot be "triage"
           ┌ .github/prentice.toml:15:15
        15 │ approve_min = "triage"
           │               ^^^^^^^^ use one of write, maintain, admin
        error[PRN204]: `review.requester_may_approve` takes "auto", true or false, not text
           ┌ .github/prentice.toml:16:25
        16 │ requester_may_approve = "true"
           │                         ^^^^^^ write it without quotes
        11 errors. Nothing was started. Explain: prentice explain PRN210
        "#);
    }

    #[test]
    fn who_approves_their_own_request_is_true_false_or_auto() {
        for (written, expected) in [
            ("true", SelfApproval::Yes),
            ("false", SelfApproval::No),
            ("\"auto\"", SelfApproval::Auto),
        ] {
            let text = format!("version = 1\nreview.requester_may_approve = {written}\n");
            let (settings, origins) = repository("p", &text).unwrap();
            assert_eq!(settings.review.requester_may_approve, expected);
            let shown = show(&settings, &origins, false);
            let line = format!("\nreview.requester_may_approve = {written}\n");
            assert!(shown.contains(&line), "{shown}");
        }
        for written in ["\"false\"", "\"never\"", "1"] {
            let text = format!("version = 1\nreview.requester_may_approve = {written}\n");
            assert_eq!(places(&text), [("PRN204", 2, 32)]);
        }
    }

    #[test]
    fn broken_toml_does_not_hide_other_mistakes_nor_invent_some() {
        let text = "version = 1\n[task]\ntimeout = 60m\nattempts = 9\nbase = \n[[verify]]\nname = \"a\nrun = \"b\"\n";
        let codes: Vec<(&str, usize)> = places(text)
            .iter()
            .map(|(code, line, _)| (*code, *line))
            .collect();
        assert_eq!(
            codes,
            [("PRN101", 3), ("PRN205", 4), ("PRN101", 5), ("PRN101", 7)]
        );
    }

    #[test]
    fn one_slip_is_one_mistake() {
        for text in [
            "version = 1\n[task]\nattempts = three\n",
            "version = 1\n[[verify]]\nname = \"a\"\nrun = \n",
            "version = 1\n[[verify]]\nname = \"a\"\nrun make\n",
        ] {
            let found = places(text);
            assert!(matches!(found[..], [("PRN101", ..)]), "{text}: {found:?}");
        }
    }

    #[test]
    fn stall_after_is_compared_with_the_built_in_value_too() {
        assert_eq!(
            places("version = 1\ntask.timeout = \"10m\"\n"),
            [("PRN211", 2, 16)]
        );
        assert_eq!(
            places("version = 1\ntask.stall_after = \"60m\"\n"),
            [("PRN211", 2, 20)]
        );
        assert_eq!(places("version = 1\ntask.timeout = \"11m\"\n"), []);
    }

    #[test]
    fn what_is_given_twice_is_told_at_the_second() {
        assert_eq!(
            places("version = 1\n[task]\nattempts = 1\nattempts = 3\n"),
            [("PRN104", 4, 1)]
        );
        assert_eq!(
            places("version = 1\n[task]\n[scope]\n[task]\n"),
            [("PRN104", 4, 2)]
        );
    }

    #[test]
    fn brackets_are_told_apart() {
        insta::assert_snapshot!(told("version = 1\n[verify]\nname = \"a\"\n[[task]]\nattempts = 1\n"), @"
        error[PRN204]: [verify] is a list of tables, not one table
          ┌ .github/prentice.toml:2:1
        2 │ [verify]
          │ ^^^^^^^^ write `[[verify]]` with double brackets, once for each check
        error[PRN204]: [task] is one table, not a list of tables
          ┌ .github/prentice.toml:4:1
        4 │ [[task]]
          │ ^^^^^^^^ write `[task]` with single brackets
        2 errors. Nothing was started. Explain: prentice explain PRN204
        ");
    }

    #[test]
    fn a_key_above_its_table_is_sent_home() {
        insta::assert_snapshot!(told("version = 1\ntimeout = \"2h\"\n"), @r#"
        error[PRN203]: unknown key `timeout` above the tables
          ┌ .github/prentice.toml:2:1
        2 │ timeout = "2h"
          │ ^^^^^^^ `timeout` belongs in [task]
          = allowed here: version
        1 error. Nothing was started. Explain: prentice explain PRN203
        "#);
    }

    #[test]
    fn both_ends_of_a_range_hold() {
        let file = |key: &str, value: &str| {
            let (table, key) = key.split_once('.').unwrap();
            format!("version = 1\n[task]\nstall_after = \"1s\"\n[{table}]\n{key} = {value}\n")
                .replace(
                    "[task]\nstall_after = \"1s\"\n[task]",
                    "[task]\nstall_after = \"1s\"",
                )
        };
        for (key, good, bad) in [
            ("context.max_chars", ["1000", "400000"], ["999", "400001"]),
            ("task.attempts", ["1", "5"], ["0", "6"]),
            (
                "task.max_rounds",
                ["1", "20"],
                ["-1", "99999999999999999999"],
            ),
            ("task.timeout", ["\"2s\"", "\"24h\""], ["\"0\"", "\"25h\""]),
            ("scope.max_files", ["1", "500"], ["0", "501"]),
            ("scope.max_lines", ["1", "20_000"], ["0", "20001"]),
            ("sandbox.cpus", ["0.1", "256"], ["0.05", "inf"]),
            (
                "sandbox.memory",
                ["\"16MiB\"", "\"4TiB\""],
                ["\"15MiB\"", "\"9999999TiB\""],
            ),
        ] {
            for value in good {
                assert_eq!(places(&file(key, value)), [], "{key} = {value}");
            }
            for value in bad {
                let found = places(&file(key, value));
                assert!(
                    matches!(found[..], [("PRN205" | "PRN208", ..)]),
                    "{key} = {value}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn the_limit_on_checks_and_on_mistakes_is_told() {
        let check = |i: usize| format!("[[verify]]\nname = \"c{i}\"\nrun = \"true\"\n");
        let many = |n: usize| format!("version = 1\n{}", (0..n).map(check).collect::<String>());
        assert_eq!(read(&many(50)).unwrap().checks.len(), 50);
        assert_eq!(places(&many(51)), [("PRN218", 2, 1)]);
        let text = format!(
            "version = 1\n[task]\n{}",
            (0..150).map(|i| format!("x{i} = 1\n")).collect::<String>()
        );
        let mistakes = read(&text).unwrap_err();
        assert_eq!((mistakes.list.len(), mistakes.more), (100, 50));
        let told = mistakes.render(false);
        assert!(told.ends_with("150 errors. The last 50 are not shown. Nothing was started. Explain: prentice explain PRN203\n"));
    }

    /// The worst file of the largest size: a mistake in every line. Searching the whole text for
    /// each would take minutes.
    #[test]
    fn a_file_full_of_mistakes_is_judged_in_no_time() {
        for line in ["a=\n", "a=1\n", "[[]]\n", "[\"x\n"] {
            let text = line.repeat((256 << 10) / line.len());
            let begun = std::time::Instant::now();
            let mistakes = read(&text).unwrap_err();
            assert!(mistakes.list.len() + mistakes.more > 1);
            assert!(
                begun.elapsed().as_secs() < 10,
                "{line:?} took {:?}",
                begun.elapsed()
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_and_files_that_are_too_large_are_told() {
        insta::assert_snapshot!(repository("prentice.toml", b"version = 1\n# caf\xe9\n").unwrap_err(), @"
        error[PRN102]: the file is not UTF-8 text
          ┌ prentice.toml:2:6
        2 │ # caf
          │      ^ save the file as UTF-8
        1 error. Nothing was started. Explain: prentice explain PRN102
        ");
        let large = repository("prentice.toml", vec![b'#'; (256 << 10) + 1]).unwrap_err();
        assert_eq!(large.list[0].code, Code::TooLarge);
        assert_eq!(
            repository("prentice.toml", vec![b'#'; 256 << 10])
                .unwrap_err()
                .list[0]
                .code,
            Code::VersionMissing
        );
    }

    #[test]
    fn an_excerpt_steers_no_terminal_and_stays_short() {
        let text = format!(
            "version = 1\n[task]\nbase = \"{}\u{1b}[2J\u{202e}\" # {}\n",
            "é".repeat(90),
            "x".repeat(500)
        );
        let told = told(&text);
        assert!(!told.contains(['\u{1b}', '\u{202e}']), "{told}");
        assert!(
            told.lines().all(|line| line.chars().count() < 260),
            "{told}"
        );
        let text = "version = 1\n[task]\n\t\"ätt\" = 1\n";
        assert_eq!(places(text), [("PRN203", 3, 2)]);
        insta::assert_snapshot!(super::tests::told(text), @r#"
        error[PRN203]: unknown key `ätt` in [task]
          ┌ .github/prentice.toml:3:2
        3 │     "ätt" = 1
          │     ^^^^^ no such key
          = allowed here: base, branch, timeout, stall_after, attempts, max_rounds, max_open, keep, ask_timeout
        1 error. Nothing was started. Explain: prentice explain PRN203
        "#);
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let mistakes = read("[task]\nattempts = 9\n").unwrap_err();
        let plain = mistakes.render(false);
        let mut coloured = mistakes.render(true);
        assert_ne!(plain, coloured);
        for code in ["\u{1b}[1;31m", "\u{1b}[1;34m", "\u{1b}[1m", "\u{1b}[0m"] {
            assert!(coloured.contains(code));
            coloured = coloured.replace(code, "");
        }
        assert_eq!(plain, coloured);
    }

    #[test]
    fn a_mistake_as_json_has_code_place_message_and_hint() {
        let mistakes = read("version = 1\n[task]\ntime_out = 1\n").unwrap_err();
        insta::assert_json_snapshot!(mistakes.list, @r#"
        [
          {
            "code": "PRN203",
            "path": "prentice.toml",
            "key": "task.time_out",
            "line": 3,
            "col": 1,
            "message": "unknown key `time_out` in [task]",
            "hint": "did you mean `timeout`? allowed here: base, branch, timeout, stall_after, attempts, max_rounds, max_open, keep, ask_timeout"
          }
        ]
        "#);
    }

    #[test]
    fn the_first_place_wins_and_the_others_are_told() {
        assert_eq!(place(|_| false), (None, Vec::new()));
        assert_eq!(
            place(|path| path == "prentice.toml"),
            (Some("prentice.toml"), Vec::new())
        );
        let (first, warnings) = place(|path| !path.starts_with(".github"));
        assert_eq!(first, Some(".forgejo/prentice.toml"));
        insta::assert_snapshot!(warnings.join("\n"), @"
        `.gitea/prentice.toml` is not read, since `.forgejo/prentice.toml` comes first; remove one of the two
        `prentice.toml` is not read, since `.forgejo/prentice.toml` comes first; remove one of the two
        ");
    }

    #[test]
    fn checks_of_the_command_line_replace_those_of_the_file() {
        let (mut settings, mut origins) = repository("prentice.toml", FULL).unwrap();
        replace_checks(
            &mut settings,
            &mut origins,
            &["make".to_owned(), "true".to_owned()],
        );
        assert_eq!(
            settings.checks,
            [new_check("check-1", "make"), new_check("check-2", "true")]
        );
        assert_eq!(settings.checks_from, ChecksFrom::CommandLine);
        assert_eq!(*origins.of("verify[1].run"), Origin::CommandLine);
        assert_eq!(*origins.of("verify[0].timeout"), Origin::Default);
    }

    #[test]
    fn a_guess_keeps_the_set_up_that_the_file_has() {
        let guess = || Guess {
            build_system: "npm (`package.json`)".to_owned(),
            setup: vec!["npm ci --offline".to_owned()],
            checks: vec![new_check("tests", "npm test")],
        };
        let (mut settings, mut origins) =
            repository("p", "version = 1\nsetup.run = [\"a\"]").unwrap();
        adopt(&mut settings, &mut origins, guess());
        assert_eq!(settings.setup.run, ["a"]);
        let (mut settings, mut origins) = repository("p", "version = 1").unwrap();
        adopt(&mut settings, &mut origins, guess());
        assert_eq!(settings.setup.run, ["npm ci --offline"]);
        assert_eq!(*origins.of("setup.run"), Origin::Guess);
        let build_system = "npm (`package.json`)".to_owned();
        assert_eq!(settings.checks_from, ChecksFrom::Guess { build_system });
    }

    /// Whatever is found lies inside the text.
    fn judged(text: &str) -> usize {
        let Err(mistakes) = read(text) else { return 0 };
        assert!(!mistakes.list.is_empty());
        let lines: Vec<&str> = text.split('\n').collect();
        for mistake in &mistakes.list {
            let line = lines
                .get(mistake.line - 1)
                .unwrap_or_else(|| panic!("{mistake:?} in {text:?}"));
            assert!(
                (1..=line.chars().count() + 1).contains(&mistake.col),
                "{mistake:?} in {text:?}"
            );
        }
        assert!(
            mistakes
                .list
                .is_sorted_by_key(|mistake| (mistake.line, mistake.col))
        );
        assert!(!mistakes.render(true).is_empty());
        mistakes.list.len()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn any_text_is_judged_without_panic_and_inside_itself(text in "(?s).{0,200}") {
            judged(&text);
            judged(&format!("version = 1\n[task]\n{text}"));
        }

        #[test]
        fn a_mutated_full_file_is_judged_inside_itself(
            at in 0..FULL.len(),
            gone in 0usize..20,
            put in prop_oneof!["[\\[\\]\"'=.,{}\n#a-z0-9-]{0,6}", Just("\u{0}ü\t".to_owned())],
        ) {
            let from = FULL.floor_char_boundary(at);
            let to = FULL.floor_char_boundary((at + gone).min(FULL.len())).max(from);
            let mut text = FULL.to_owned();
            text.replace_range(from..to, &put);
            judged(&text);
        }
    }

    #[test]
    fn a_line_left_out_of_the_full_file_is_missed_only_where_it_must_be() {
        for (i, gone) in FULL.lines().enumerate() {
            let kept = FULL.lines().enumerate().filter(|(j, _)| *j != i);
            let text: String = kept.map(|(_, line)| format!("{line}\n")).collect();
            let codes: BTreeSet<Code> = read(&text).map_or_else(
                |m| m.list.iter().map(|m| m.code).collect(),
                |_| BTreeSet::new(),
            );
            let expected = match gone.split(' ').next().unwrap_or_default() {
                "version" => BTreeSet::from([Code::VersionMissing]),
                "name" | "run" if !gone.contains("[]") => BTreeSet::from([Code::Missing]),
                // Its keys then belong to the table before.
                header if header.starts_with('[') => continue,
                _ => BTreeSet::new(),
            };
            assert_eq!(codes, expected, "without {gone:?}");
        }
    }
}
