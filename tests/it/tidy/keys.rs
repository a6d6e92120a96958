//! Every key that a file may hold is read by somebody: one that nobody reads is a promise that is not kept.

use std::collections::BTreeSet;

use proc_macro2::TokenTree;

use super::nobody_complains;
use super::source::{Source, each_level, is_sign, rust_files, word};

/// Keys that no field of this name outside `src/config` can show to be read.
const READ_OTHERWISE: &[(&str, &str)] = &[
    ("data_dir", "`config::data_dir` gives the folder"),
    (
        "sandbox.kind",
        "both words mean the one launcher that there is",
    ),
];

/// A field that a key fills: the name of what holds it, where the key's table has one of its own, and its own.
type Field = (Option<String>, String);

/// Fields that the tables of keys fill: in `|s| &mut s.task.timeout_secs` it is (`task`, `timeout_secs`).
fn filled(sources: &[Source]) -> BTreeSet<Field> {
    let mut all = BTreeSet::new();
    for source in sources {
        each_level(source.production().0, &mut |level| {
            for at in 0..level.len() {
                let at = |more: usize| level.get(at + more);
                let is_closure = is_sign(at(0), '|') && is_sign(at(2), '|') && is_sign(at(3), '&');
                let (Some(name), Some(used)) = (word(at(1)), word(at(5))) else {
                    continue;
                };
                if !is_closure || word(at(4)).as_deref() != Some("mut") || name != used {
                    continue;
                }
                let first = word(at(7)).filter(|_| is_sign(at(6), '.'));
                let second = word(at(9)).filter(|_| is_sign(at(8), '.'));
                match (first, second) {
                    (Some(first), Some(second)) => all.insert((Some(first), second)),
                    (Some(first), None) => all.insert((None, first)),
                    (None, _) => false,
                };
            }
        });
    }
    all
}

/// `(holder, field)` of every `holder.field` that is no call, and every field by itself.
fn used(sources: &[Source]) -> (BTreeSet<(String, String)>, BTreeSet<String>) {
    let (mut held, mut bare) = (BTreeSet::new(), BTreeSet::new());
    for source in sources {
        each_level(source.production().0, &mut |level| {
            for at in 0..level.len() {
                if !is_sign(level.get(at), '.') {
                    continue;
                }
                let Some(field) = word(level.get(at + 1)) else {
                    continue;
                };
                if matches!(level.get(at + 2), Some(TokenTree::Group(group)) if group.delimiter() == proc_macro2::Delimiter::Parenthesis)
                {
                    continue;
                }
                bare.insert(field.clone());
                if let Some(holder) = at.checked_sub(1).and_then(|at| word(level.get(at))) {
                    held.insert((holder, field));
                }
            }
        });
    }
    (held, bare)
}

/// Names of fields that more than one struct has: `name: Type` in braces, more than once.
fn common(sources: &[Source]) -> BTreeSet<String> {
    let (mut once, mut more) = (BTreeSet::new(), BTreeSet::new());
    for source in sources {
        each_level(source.production().0, &mut |level| {
            for at in 0..level.len() {
                let is_field = word(level.get(at)).as_deref() == Some("pub")
                    && is_sign(level.get(at + 2), ':')
                    && !is_sign(level.get(at + 3), ':');
                if let Some(name) = word(level.get(at + 1)).filter(|_| is_field)
                    && !once.insert(name.clone())
                {
                    more.insert(name);
                }
            }
        });
    }
    more
}

/// What the values of a table without a name of its own are called where they are read.
const HOLDERS: [&str; 4] = ["server", "forge", "settings", "check"];

fn unread(sources: &[Source]) -> Vec<String> {
    // The ceilings are kept by `config` itself, on what `app` hands in.
    let (files, others): (Vec<Source>, Vec<Source>) = sources
        .iter()
        .map(|source| Source::new(&source.path, &source.text))
        .partition(|source| {
            source.path.starts_with("src/config/") && source.path != "src/config/policy.rs"
        });
    let ((held, bare), common) = (used(&others), common(sources));
    let is_read = |(holder, field): &Field| {
        let by = |holder: &str| held.contains(&(holder.to_owned(), field.clone()));
        match holder {
            Some(holder) if by(holder) => true,
            None if HOLDERS.iter().any(|holder| by(holder)) => true,
            // Under another name: that tells something only of a field that nothing else has.
            _ => !common.contains(field) && bare.contains(field),
        }
    };
    let fields = filled(&files);
    let shown = |(holder, field): &Field| match holder {
        Some(holder) => format!("{holder}.{field}"),
        None => field.clone(),
    };
    let otherwise = |key: &String| READ_OTHERWISE.iter().any(|(name, _)| name == key);
    fields
        .iter()
        .filter(|field| !is_read(field))
        .map(shown)
        .filter(|key| !otherwise(key))
        .map(|key| format!("no code reads what the key of `{key}` says"))
        .collect()
}

#[test]
fn every_key_of_server_file_and_repository_file_is_read_by_somebody() {
    let sources = rust_files(&["src"]);
    let known = filled(&sources);
    for (holder, field) in [
        (None, "log"),
        (Some("task"), "timeout_secs"),
        (None, "poll_secs"),
    ] {
        let field = (holder.map(str::to_owned), field.to_owned());
        assert!(known.contains(&field), "{field:?} is not found: {known:?}");
    }
    assert!(known.len() > 80, "{}", known.len());
    nobody_complains(unread(&sources));
}

#[test]
fn a_key_that_nobody_reads_is_noticed() {
    let table = "static KEYS: &[K] = &[key(\"log\", |s| &mut s.log), key(\"slots\", |s| &mut s.workers.slots), \
                 key(\"grace\", |s| &mut s.grace_secs), key(\"run\", |c| &mut c.run)];";
    let read = "pub struct A { pub log: String, pub grace_secs: u64 } pub struct B { pub log: String } \
                fn f(server: &A, b: &B) { b.log.x; check.run(); workers.slots.y; all.grace_secs; }";
    let sources = [
        Source::new("src/config/keys.rs", table),
        Source::new("src/app/a.rs", read),
    ];
    let all = unread(&sources);
    assert_eq!(
        all,
        [
            "no code reads what the key of `log` says",
            "no code reads what the key of `run` says"
        ]
    );
}
