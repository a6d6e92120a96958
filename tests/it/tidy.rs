//! The rules of the house that a compiler does not know.
//!
//! Each rule is a function from sources to complaints, held to the real tree by
//! one test and to a bad snippet by another, so that a rule that cannot fail is
//! noticed.

#![expect(
    clippy::panic,
    reason = "a rule that cannot be read ends the test with its reason"
)]

mod keys;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenTree};

use self::source::{
    Source, attribute, each_level, files, is_cfg_test_attribute, is_sign, line_of, read,
    rust_files, word,
};

/// Lines of production code that a file of `src` may have.
const MAX_LINES: usize = 500;

/// Crates that only these modules may name. Why stands beside them in `Cargo.toml`.
const LIVES_ONLY_IN: &[(&str, &[&str])] = &[
    ("askama", &["web"]),
    ("axum", &["web"]),
    ("clap", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("git2", &["git"]),
    ("hmac", &["forge", "web"]),
    ("http_body_util", &["forge"]),
    ("hyper", &["web"]),
    ("hyper_util", &["web"]),
    ("indicatif", &["cli"]),
    ("landlock", &["sandbox"]),
    ("libc", &["sandbox"]),
    ("octocrab", &["forge"]),
    ("pulldown_cmark", &["domain"]),
    ("reqwest", &["forge", "agent"]),
    ("rustix", &["app", "cli", "git", "run", "sandbox", "store"]),
    ("seccompiler", &["sandbox"]),
    ("sqlx", &["store"]),
    ("toml", &["config"]),
];

/// Modules behind a trait. Only the module that holds them may name them.
const ADAPTERS: &[(&str, &[&str])] = &[
    ("agent", &["builtin", "command", "scripted"]),
    ("forge", &["gitea", "github", "local"]),
    ("sandbox", &["container", "native"]),
    ("store", &["postgres", "sqlite"]),
];

/// What the owner fixed, and what tools demand there.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docs",
    "fixtures",
    "fuzz",
    "prompts",
    "rustfmt.toml",
    "src",
    "tests",
];

/// Fails with every complaint, one per line.
#[track_caller]
fn nobody_complains(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn src() -> Vec<Source> {
    rust_files(&["src"])
}

// ---- who may import whom

/// The table of the map in `lib.rs`: a module, and those of ours that it may name.
fn map(lib: &str) -> BTreeMap<String, BTreeSet<String>> {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | ["));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').collect()).collect();
    let names = |cell: &str| -> Vec<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let all: BTreeSet<String> = rows.iter().flat_map(|row| names(row[0])).collect();
    let mut map = BTreeMap::new();
    let mut above = BTreeSet::new();
    for row in &rows {
        let [first, _, may, ..] = row.as_slice() else {
            panic!("a row of the map without three columns: {row:?}");
        };
        let words = may.split(|c: char| !c.is_ascii_lowercase());
        let mut allowed: BTreeSet<String> = words
            .filter(|word| all.contains(*word))
            .map(str::to_owned)
            .collect();
        if may.contains("everything above") {
            allowed.extend(above.iter().cloned());
        } else if may.contains("the traits above") {
            allowed.extend(["agent", "forge", "sandbox", "store"].map(str::to_owned));
        }
        for name in names(first) {
            map.insert(name.clone(), allowed.clone());
            above.insert(name);
        }
    }
    // `main` stands in the row of `cli`, and calls it.
    let mut main = map.get("cli").cloned().unwrap_or_default();
    main.insert("cli".to_owned());
    map.insert("main".to_owned(), main);
    map
}

fn imports_against(map: &BTreeMap<String, BTreeSet<String>>, sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let top = source.top();
        if top.is_empty() {
            continue; // lib.rs is the map itself.
        }
        let nothing = BTreeSet::new();
        let allowed = map.get(&top).unwrap_or(&nothing);
        for path in source.paths().iter().filter(|path| path.ours) {
            match path.words.first() {
                Some(target) if *target == top || allowed.contains(target) => {}
                Some(target) => complaints.push(format!(
                    "{}:{}: `{top}` may not import `{target}`, see the map in src/lib.rs",
                    source.path, path.line
                )),
                None => complaints.push(format!(
                    "{}:{}: imports the root of the crate as a whole",
                    source.path, path.line
                )),
            }
        }
    }
    complaints
}

// The architecture is this table; a path that breaks it is the first step of its decay.
#[test]
fn every_module_imports_only_what_the_map_allows() {
    nobody_complains(imports_against(
        &map(&read(Path::new("src/lib.rs"))),
        &src(),
    ));
}

// The map may grow, but these absences are promises about security and purity.
#[test]
fn the_map_itself_keeps_the_core_pure_and_the_agent_away_from_tokens() {
    let map = map(&read(Path::new("src/lib.rs")));
    assert_eq!(map["domain"], BTreeSet::new());
    for module in ["agent", "sandbox"] {
        for secret in ["forge", "git", "store", "app"] {
            assert!(!map[module].contains(secret), "{module} imports {secret}");
        }
    }
    assert!(!map["run"].contains("forge"), "a run cannot publish");
    assert!(
        map["worker"].contains("forge"),
        "the worker performs effects"
    );
    assert!(map["app"].len() >= 10, "{:?}", map["app"]);
}

fn deeper_than_its_entry(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.top() == "web") {
        for path in source.paths().iter().filter(|path| path.ours) {
            let words: Vec<&str> = path.words.iter().map(String::as_str).collect();
            if words.first() == Some(&"forge") && words.get(1) != Some(&"hook") {
                complaints.push(format!(
                    "{}:{}: `web` may name `forge::hook` only",
                    source.path, path.line
                ));
            }
        }
    }
    complaints
}

// Whoever is reached by anybody must not be able to ask a forge for anything.
#[test]
fn the_web_names_nothing_of_a_forge_but_its_hook_entry() {
    nobody_complains(deeper_than_its_entry(&src()));
    for bad in [
        "use crate::forge::Service;",
        "use crate::{forge::{self, hook}};",
    ] {
        let complaints = deeper_than_its_entry(&[Source::new("src/web/pages.rs", bad)]);
        assert_eq!(complaints.len(), 1, "{bad}: {complaints:?}");
    }
}

/// What the map allows and nobody uses.
fn unused(map: &BTreeMap<String, BTreeSet<String>>, sources: &[Source]) -> Vec<String> {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let named = used.entry(source.top()).or_default();
        let paths = source.paths();
        let ours = paths.iter().filter(|path| path.ours);
        named.extend(ours.filter_map(|path| path.words.first().cloned()));
    }
    let none = BTreeSet::new();
    let mut complaints = Vec::new();
    for (module, allowed) in map {
        let used = used.get(module).unwrap_or(&none);
        for wide in allowed
            .iter()
            .filter(|one| *one != module && !used.contains(*one))
        {
            complaints.push(format!(
                "the map lets `{module}` import `{wide}`, which it does not"
            ));
        }
    }
    complaints
}

// A permission that nobody needs is one that somebody will use.
#[test]
fn the_map_allows_no_more_than_is_imported() {
    let mut map = map(&read(Path::new("src/lib.rs")));
    // These stand above everything.
    map.retain(|module, _| !["app", "cli", "main"].contains(&module.as_str()));
    nobody_complains(unused(&map, &src()));
    let wide = BTreeMap::from([(
        "web".to_owned(),
        BTreeSet::from(["domain".to_owned(), "git".to_owned()]),
    )]);
    let source = Source::new("src/web/mod.rs", "use crate::domain::task;");
    assert_eq!(unused(&wide, &[source]).len(), 1);
}

#[test]
fn an_import_against_the_map_is_noticed_however_it_is_written() {
    let map = map(&read(Path::new("src/lib.rs")));
    let bad = [
        ("src/agent/mod.rs", "use crate::forge::Forge;"),
        (
            "src/agent/command.rs",
            "use crate::{domain::ident, store::Store};",
        ),
        (
            "src/domain/task.rs",
            "fn f() { super::super::config::read(); }",
        ),
        ("src/git/mod.rs", "use super::store;"),
        ("src/main.rs", "fn main() { prentice::store::open() }"),
        ("src/run/mod.rs", "use super::*;"),
        ("src/odd.rs", "use crate::domain::task;"),
    ];
    for (path, text) in bad {
        let complaints = imports_against(&map, &[Source::new(path, text)]);
        assert_eq!(complaints.len(), 1, "{path}: {text}: {complaints:?}");
    }
    let good = [
        (
            "src/run/mod.rs",
            "use crate::{domain::ident, sandbox::Sandbox};",
        ),
        (
            "src/domain/task.rs",
            "use super::ident; mod tests { use super::*; }",
        ),
        ("src/worker.rs", "use crate::forge::Forge;"),
        ("src/main.rs", "fn main() { prentice::cli::main() }"),
    ];
    for (path, text) in good {
        nobody_complains(imports_against(&map, &[Source::new(path, text)]));
    }
}

fn adapters_named(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let here = source.module();
        // `mod local;` is private where nothing stands before it.
        for adapter in ADAPTERS
            .iter()
            .filter(|(owner, _)| here == [*owner])
            .flat_map(|(_, names)| *names)
        {
            let public = source.tokens.windows(3).find(|three| {
                let words = [&three[1], &three[2]].map(|token| word(Some(token)));
                let before = word(Some(&three[0])).as_deref() == Some("pub")
                    || matches!(&three[0], TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
                before && words == ["mod", adapter].map(|word| Some(word.to_owned()))
            });
            if let Some(three) = public {
                complaints.push(format!(
                    "{}:{}: the adapter `{adapter}` is not private",
                    source.path,
                    line_of(&three[0])
                ));
            }
        }
        for path in source.paths().iter().filter(|path| path.ours) {
            let [owner, adapter, _, ..] = path.words.as_slice() else {
                continue;
            };
            let is_adapter = |name: &String| {
                ADAPTERS
                    .iter()
                    .any(|(of, names)| of == owner && names.contains(&name.as_str()))
            };
            // The owner may, and the adapter about itself; another adapter may not.
            let at_home = here.first() == Some(owner)
                && here
                    .get(1)
                    .is_none_or(|own| own == adapter || !is_adapter(own));
            if is_adapter(adapter) && !at_home {
                complaints.push(format!(
                    "{}:{}: names the adapter `{owner}::{adapter}`; ask `{owner}` for the trait",
                    source.path, path.line
                ));
            }
        }
    }
    complaints
}

// What stands behind a trait can be changed only while nobody names it.
#[test]
fn no_adapter_is_named_outside_its_module_or_by_another_adapter() {
    nobody_complains(adapters_named(&src()));
}

#[test]
fn an_adapter_named_from_outside_is_noticed() {
    let bad = [
        ("src/app.rs", "use crate::forge::local::Local;"),
        (
            "src/forge/github/mod.rs",
            "use super::super::forge::local::Local;",
        ),
        ("src/store/postgres.rs", "use super::sqlite::open;"),
        ("src/forge/mod.rs", "pub mod local;"),
        ("src/store/mod.rs", "pub(crate) mod sqlite { }"),
    ];
    for (path, text) in bad {
        assert_eq!(
            adapters_named(&[Source::new(path, text)]).len(),
            1,
            "{path}"
        );
    }
    let good = [
        ("src/forge/mod.rs", "mod local; pub use self::local::Local;"),
        ("src/forge/mod.rs", "#[cfg(unix)] mod local; pub mod event;"),
        (
            "src/forge/local/files.rs",
            "use super::super::local::Local;",
        ),
        ("src/app.rs", "use crate::forge::local;"),
    ];
    for (path, text) in good {
        nobody_complains(adapters_named(&[Source::new(path, text)]));
    }
}

fn strangers(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        for path in source.paths().iter().filter(|path| !path.ours) {
            let home = path
                .words
                .first()
                .and_then(|name| LIVES_ONLY_IN.iter().find(|(lives, _)| lives == name));
            if let Some((name, homes)) = home
                && !homes.contains(&source.top().as_str())
            {
                complaints.push(format!(
                    "{}:{}: `{name}` lives only in {}",
                    source.path,
                    path.line,
                    homes.join(", ")
                ));
            }
        }
    }
    complaints
}

// A library that one module hides can be replaced there; and git2 in `agent` would be a hole.
#[test]
fn a_third_party_crate_is_named_only_where_it_lives() {
    nobody_complains(strangers(&src()));
}

#[test]
fn a_third_party_crate_away_from_home_is_noticed() {
    let bad = [
        "use sqlx::Row;",
        "use sqlx;",
        "use {git2::Oid};",
        "extern crate git2 as g;",
        "#[derive(clap::Parser)] struct S;",
        "fn f() -> ::toml::Value {}",
        "macro_rules! m { () => { libc::fork() } }",
    ];
    for text in bad {
        let complaints = strangers(&[Source::new("src/agent/mod.rs", text)]);
        assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
    }
    nobody_complains(strangers(&[Source::new(
        "src/store/mod.rs",
        "use sqlx::Row;",
    )]));
}

// ---- what may be called where

/// A path, the modules that may write it, and why the others may not.
const CALLS: &[(&[&str], &[&str], &str)] = &[
    (
        &["SystemTime", "now"],
        &["app"],
        "the clock is a port that `app` implements",
    ),
    (
        &["Timestamp", "now"],
        &["app"],
        "the clock is a port that `app` implements",
    ),
    (
        &["Instant", "now"],
        &["app", "cli", "forge", "git", "run", "sandbox", "worker"],
        "durations are measured where things run",
    ),
    (
        &["rustix", "rand"],
        &["app"],
        "randomness is a port that `app` implements",
    ),
    (
        &["std", "process", "Command"],
        &["git", "sandbox"],
        "programs are started by the sandbox, and git by `git`",
    ),
    (
        &["tokio", "process"],
        &["git", "sandbox"],
        "programs are started by the sandbox, and git by `git`",
    ),
];

/// Roots of paths that mean input, output or time, which `domain` has none of.
const IMPURE: &[&[&str]] = &[
    &["std", "env"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "os", "fd"],
    &["std", "os", "unix", "fs"],
    &["std", "os", "unix", "net"],
    &["std", "os", "unix", "process"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["tempfile"],
    &["tokio"],
    &["tracing"],
];

fn calls_elsewhere(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let top = source.top();
        // Tests beside the code may measure and start what they like.
        for path in source.production_paths().iter().filter(|path| !path.ours) {
            let words: Vec<&str> = path.words.iter().map(String::as_str).collect();
            for (call, homes, why) in CALLS {
                if words.windows(call.len()).any(|part| part == *call)
                    && !homes.contains(&top.as_str())
                {
                    complaints.push(format!(
                        "{}:{}: `{}` in `{top}`: {why}",
                        source.path,
                        path.line,
                        words.join("::")
                    ));
                }
            }
            if top == "domain" && IMPURE.iter().any(|root| words.starts_with(root)) {
                complaints.push(format!(
                    "{}:{}: `{}` in `domain`, which is pure",
                    source.path,
                    path.line,
                    words.join("::")
                ));
            }
        }
    }
    complaints
}

// Time and chance come in through ports, or a crash could not be replayed; programs start in few places, so that the walls are in few places.
#[test]
fn clocks_randomness_and_programs_are_used_only_where_they_belong() {
    nobody_complains(calls_elsewhere(&src()));
}

#[test]
fn a_clock_or_a_program_in_the_wrong_module_is_noticed() {
    let bad = [
        (
            "src/store/mod.rs",
            "fn f() { std::time::SystemTime::now(); }",
        ),
        ("src/store/mod.rs", "fn f() { Instant::now(); }"),
        ("src/run/mod.rs", "use std::process::{Command, Stdio};"),
        (
            "src/agent/mod.rs",
            "fn f() { tokio::process::Command::new(x) }",
        ),
        ("src/run/mod.rs", "fn f() { rustix::rand::getrandom(b) }"),
        ("src/domain/task.rs", "use std::{fs, fmt};"),
        ("src/domain/task.rs", "fn f() { tokio::spawn(x) }"),
    ];
    for (path, text) in bad {
        let complaints = calls_elsewhere(&[Source::new(path, text)]);
        assert_eq!(complaints.len(), 1, "{path}: {text}: {complaints:?}");
    }
    let good = [
        ("src/worker.rs", "fn f() { Instant::now(); }"),
        ("src/main.rs", "use std::process::ExitCode;"),
        (
            "src/git/mod.rs",
            "#[cfg(test)] mod tests { fn f() { Instant::now(); } }",
        ),
    ];
    for (path, text) in good {
        nobody_complains(calls_elsewhere(&[Source::new(path, text)]));
    }
}

// ---- files

fn too_long(sources: &[Source]) -> Vec<String> {
    let long = sources
        .iter()
        .filter(|source| !is_test_file(source))
        .filter_map(|source| {
            let lines = match source.production().1 {
                Some(tests) => tests - 1,
                None => source.text.lines().count(),
            };
            (lines > MAX_LINES).then(|| {
                format!(
                    "{}: {lines} lines of code, at most {MAX_LINES}",
                    source.path
                )
            })
        });
    long.collect()
}

fn is_test_file(source: &Source) -> bool {
    source.path.ends_with("/tests.rs")
}

// A file that one cannot hold in the head is two files.
#[test]
fn no_source_file_is_longer_than_one_can_hold_in_the_head() {
    nobody_complains(too_long(&src()));
}

#[test]
fn a_file_that_is_too_long_is_noticed_and_its_tests_do_not_count() {
    let code = "\n".repeat(MAX_LINES);
    let good = format!("{code}#[cfg(test)]\nmod tests {{ {code} }}\n");
    nobody_complains(too_long(&[Source::new("src/a.rs", &good)]));
    let bad = format!("\n{good}");
    assert_eq!(too_long(&[Source::new("src/a.rs", &bad)]).len(), 1);
    assert_eq!(
        too_long(&[Source::new("src/a.rs", &format!("{code}\n"))]).len(),
        1
    );
}

fn test_only_code(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| !is_test_file(source)) {
        let (production, tests) = source.production();
        let rest: Vec<String> = source.tokens[production.len()..]
            .iter()
            .skip(2)
            .filter_map(|token| word(Some(token)))
            .collect();
        if let Some(line) = tests
            && rest != ["mod", "tests"]
        {
            complaints.push(format!(
                "{}:{line}: `cfg(test)` on something else than a last `mod tests`",
                source.path
            ));
        }
        each_level(production, &mut |level| {
            for (at, token) in level.iter().enumerate() {
                let only_in_tests = match word(Some(token)).as_deref() {
                    Some("cfg" | "cfg_attr") => level.get(at..).is_some_and(mentions_test),
                    Some(name) => name.ends_with("_for_test") || name.ends_with("_for_tests"),
                    None => attribute(&level[at..]).is_some_and(|inner| {
                        inner.len() == 1 && word(inner.first()).as_deref() == Some("test")
                    }),
                };
                if only_in_tests {
                    complaints.push(format!(
                        "{}:{}: code that only tests see",
                        source.path,
                        line_of(token)
                    ));
                }
            }
        });
    }
    complaints
}

/// Whether `cfg(…)`, `cfg!(…)` or `cfg_attr(…)`, which starts here, asks for tests or debug builds.
fn mentions_test(tokens: &[TokenTree]) -> bool {
    let group = tokens
        .iter()
        .skip(1)
        .find(|token| !is_sign(Some(token), '!'));
    let Some(TokenTree::Group(group)) = group else {
        return false;
    };
    let mut mentions = false;
    each_level(&source::inside(group), &mut |level| {
        mentions |= level.iter().any(|token| {
            ["test", "debug_assertions"].contains(&word(Some(token)).unwrap_or_default().as_str())
        });
    });
    mentions
}

// The tested program is the shipped one.
#[test]
fn no_production_code_is_compiled_only_for_tests() {
    nobody_complains(test_only_code(&src()));
}

#[test]
fn test_only_code_is_noticed() {
    let bad = [
        "#[cfg(test)] fn f() {} #[cfg(test)] mod tests {}",
        "#[cfg(test)] mod tests {} fn after() {}",
        "#[cfg(test)] mod helpers {}",
        "#[cfg(not(test))] fn f() {}",
        "fn f() { if cfg!(test) {} }",
        "fn f() { if cfg!(debug_assertions) {} }",
        "#[cfg_attr(test, derive(Debug))] struct S;",
        "mod a { #[cfg(any(test, unix))] fn f() {} }",
        "pub fn open_for_tests() {}",
        "#[test] fn f() {}",
    ];
    for text in bad {
        let complaints = test_only_code(&[Source::new("src/a.rs", text)]);
        assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
    }
    let good = [
        "fn f() {} #[cfg(test)] mod tests { #[test] fn g() {} }",
        "fn f() {} #[cfg(test)] mod tests;",
        "#[cfg(target_os = \"linux\")] fn test() {}",
    ];
    for text in good {
        nobody_complains(test_only_code(&[Source::new("src/a.rs", text)]));
    }
}

fn forbidden_words(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        each_level(&source.tokens, &mut |level| {
            for (at, token) in level.iter().enumerate() {
                let macro_name = word(Some(token)).filter(|_| is_sign(level.get(at + 1), '!'));
                let attribute = attribute(&level[at..])
                    .and_then(|inner| word(inner.first()))
                    .filter(|name| ["allow", "ignore"].contains(&name.as_str()));
                let found = macro_name
                    .filter(|name| ["todo", "unimplemented", "dbg"].contains(&name.as_str()))
                    .or(attribute);
                if let Some(found) = found {
                    complaints.push(format!("{}:{}: `{found}`", source.path, line_of(token)));
                }
            }
        });
    }
    complaints
}

// What is unfinished, silenced or skipped looks finished to everyone else.
#[test]
fn nothing_is_left_to_do_silenced_or_ignored() {
    nobody_complains(forbidden_words(&rust_files(&[
        "src", "tests", "benches", "fuzz",
    ])));
}

#[test]
fn what_is_left_to_do_silenced_or_ignored_is_noticed() {
    let bad = [
        "#![allow(dead_code)]",
        "#[allow(dead_code)] fn f() {}",
        "fn f() { todo!() }",
        "fn f() { if x { unimplemented!(\"later\") } }",
        "mod a { #[test] #[ignore = \"slow\"] fn f() {} }",
    ];
    for text in bad {
        let complaints = forbidden_words(&[Source::new("src/a.rs", text)]);
        assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
    }
    nobody_complains(forbidden_words(&[Source::new(
        "src/a.rs",
        "// todo!()\n#[expect(dead_code, reason = \"x\")] fn ignore() { allow(\"todo!()\"); }",
    )]));
}

fn undocumented(sources: &[Source]) -> Vec<String> {
    let bare = sources.iter().filter(|source| {
        let says = source
            .text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("//! "));
        says.is_none_or(|says| says.trim().len() < 10)
    });
    bare.map(|source| {
        format!(
            "{}: does not say first what it is for (`//! …`)",
            source.path
        )
    })
    .collect()
}

// Whoever opens a file learns first what it is for.
#[test]
fn every_source_file_says_first_what_it_is_for() {
    nobody_complains(undocumented(&rust_files(&["src", "tests"])));
}

#[test]
fn a_file_that_does_not_say_what_it_is_for_is_noticed() {
    for text in [
        "fn f() {}",
        "\n//! Late words.\n",
        "//! Short\n",
        "// Not a doc.\n",
    ] {
        assert_eq!(
            undocumented(&[Source::new("src/a.rs", text)]).len(),
            1,
            "{text}"
        );
    }
    nobody_complains(undocumented(&[Source::new(
        "src/a.rs",
        "//! Does a thing.\n",
    )]));
}

// ---- the repository

fn map_against_tree(lib: &str, entries: &BTreeSet<String>) -> Vec<String> {
    let mut map: BTreeSet<String> = map(lib).into_keys().collect();
    map.remove("main");
    let declared: BTreeSet<String> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    let mut complaints = Vec::new();
    for (name, set) in [("declared in lib.rs", &declared), ("in src/", entries)] {
        let missing = map
            .difference(set)
            .map(|module| format!("{module}: in the map, not {name}"));
        complaints.extend(missing);
        let extra = set
            .difference(&map)
            .map(|module| format!("{module}: {name}, not in the map"));
        complaints.extend(extra);
    }
    complaints
}

// A map that lies is worse than none.
#[test]
fn the_map_names_every_module_and_every_module_is_there() {
    let entries: BTreeSet<String> = src()
        .iter()
        .map(Source::top)
        .filter(|top| !top.is_empty() && top != "main")
        .collect();
    nobody_complains(map_against_tree(&read(Path::new("src/lib.rs")), &entries));
}

#[test]
fn a_map_that_differs_from_the_tree_is_noticed() {
    let lib = "//! | [`a`], [`b`] | x | nothing |\npub mod a;\npub mod c;\n";
    let entries = ["a", "b", "d"].map(str::to_owned).into_iter().collect();
    assert_eq!(
        map_against_tree(lib, &entries),
        [
            "b: in the map, not declared in lib.rs",
            "c: declared in lib.rs, not in the map",
            "d: in src/, not in the map",
        ]
    );
}

fn strange_entries(files: &[PathBuf]) -> Vec<String> {
    let tops: BTreeSet<String> = files
        .iter()
        .filter_map(|file| Some(file.iter().next()?.to_string_lossy().into_owned()))
        .collect();
    tops.into_iter()
        .filter(|top| !top.starts_with('.') && !TOP_LEVEL.contains(&top.as_str()))
        .map(|top| format!("{top}: the top level is fixed; put it below one of the folders there"))
        .collect()
}

// The owner fixed the top level; a stranger finds his way by it.
#[test]
fn the_top_level_is_as_the_owner_fixed_it() {
    nobody_complains(strange_entries(&files()));
}

#[test]
fn a_strange_entry_at_the_top_level_is_noticed() {
    let files = ["utils/a.rs", "src/a.rs", ".ci/run", "notes.md"].map(PathBuf::from);
    assert_eq!(strange_entries(&files).len(), 2);
}

/// Host names of registries, split so that this file does not hold them.
fn registries() -> Vec<String> {
    [
        ["crates", "io"],
        ["pypi", "org"],
        ["pythonhosted", "org"],
        ["npmjs", "org"],
        ["npmjs", "com"],
        ["yarnpkg", "com"],
        ["proxy.golang", "org"],
        ["sum.golang", "org"],
        ["rubygems", "org"],
        ["repo.maven.apache", "org"],
        ["repo1.maven", "org"],
        ["docker", "io"],
        ["ghcr", "io"],
        ["quay", "io"],
        ["deb.debian", "org"],
    ]
    .map(|parts| parts.join("."))
    .to_vec()
}

fn registry_hosts(name: &str, bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let hosts = registries().into_iter().filter(|host| {
        text.match_indices(host.as_str()).any(|(at, _)| {
            // `foo_crates.iota` is no host.
            let next = text[at + host.len()..].chars().next();
            !next.is_some_and(|next| next.is_ascii_alphanumeric() || next == '_')
        })
    });
    hosts
        .map(|host| format!("{name}: names the registry {host}"))
        .collect()
}

// Registries are reached through their clients, configured on the machine: a host written here would go around a mirror.
#[test]
fn no_registry_host_is_named_in_the_repository() {
    let locks = ["Cargo.lock", "go.sum", "package-lock.json"];
    let complaints = files()
        .iter()
        .filter(|file| {
            !file
                .file_name()
                .is_some_and(|name| locks.iter().any(|lock| name == *lock))
        })
        .flat_map(|file| {
            let bytes = std::fs::read(source::root().join(file))
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            registry_hosts(&file.to_string_lossy(), &bytes)
        })
        .collect();
    nobody_complains(complaints);
}

#[test]
fn a_registry_host_is_noticed() {
    for host in registries() {
        let text = format!("see https://static.{host}/x");
        assert_eq!(registry_hosts("x", text.as_bytes()).len(), 1, "{host}");
        let text = format!("index = \"{}\"", host.to_uppercase());
        assert_eq!(registry_hosts("x", text.as_bytes()).len(), 1, "{host}");
    }
    nobody_complains(registry_hosts(
        "x",
        b"crates.iota, docker.ioctl, example.org",
    ));
}

fn unreasoned(manifest: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut section = "";
    let mut open: Option<&str> = None;
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end().trim_end_matches(']');
            if section.contains("dependencies.") {
                complaints.push(format!("[{section}]: write a dependency on one line"));
            }
            continue;
        }
        let entry = line.split('#').next().unwrap_or_default().trim();
        if !section.ends_with("dependencies") || entry.is_empty() {
            continue;
        }
        let name =
            *open.get_or_insert_with(|| entry.split(['=', '.', ' ']).next().unwrap_or_default());
        if line
            .split_once('#')
            .is_some_and(|(_, why)| why.trim().len() >= 4)
        {
            open = None;
        } else if entry.ends_with(['"', '}']) {
            complaints.push(format!("{name}: no reason on its line in [{section}]"));
            open = None;
        }
    }
    complaints
}

// Each dependency is somebody else's code with our rights: it says why it is here.
#[test]
fn every_dependency_says_why_it_is_here() {
    nobody_complains(unreasoned(&read(Path::new("Cargo.toml"))));
}

#[test]
fn a_dependency_without_a_reason_is_noticed() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# for all\na = \"1\"\n\
        b = { version = \"1\" } # because of this\nc = \"1\" # why\n[dev-dependencies]\n\
        d = { version = \"1\", features = [\n  \"x\",\n] }\n[dependencies.e]\nversion = \"1\"\n";
    assert_eq!(
        unreasoned(manifest),
        [
            "a: no reason on its line in [dependencies]",
            "c: no reason on its line in [dependencies]",
            "d: no reason on its line in [dev-dependencies]",
            "[dependencies.e]: write a dependency on one line",
        ]
    );
}

// The two commands are what a stranger tries first.
#[test]
fn the_readme_names_the_two_commands() {
    let readme = read(Path::new("README.md"));
    for command in ["cargo run --release -- demo", "tests/run"] {
        assert!(
            readme
                .lines()
                .any(|line| line.split('#').next().unwrap_or_default().trim() == command),
            "README.md has no line with `{command}`"
        );
    }
}

#[test]
fn the_trailing_tests_are_found_by_their_attribute() {
    let source = Source::new("src/a.rs", "fn f() {}\n#[cfg( test )]\nmod tests {}\n");
    assert!(is_cfg_test_attribute(
        &source.tokens[source.tokens.len() - 5..]
    ));
    assert_eq!(source.production().1, Some(2));
    assert_eq!(
        Source::new("src/a.rs", "#[cfg(unix)]\nfn f() {}\n")
            .production()
            .1,
        None
    );
}
