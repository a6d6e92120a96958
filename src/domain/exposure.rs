//! What our push would run with the repository's secrets, or on machines of its own.
//!
//! Workflow files are read as lines, not as YAML: whatever is not plainly harmless counts as exposed. They are those
//! of the base commit, so their authors are trusted, but the code that they run on our branch is an agent's. Somebody
//! who may approve is asked once for each [`Exposure::digest`].

mod runners;

use std::collections::BTreeSet;

use super::ident::{Digest, RepoPath};

/// Folders whose files forges run, with the repository's secrets in reach.
pub const WORKFLOW_FOLDERS: &[&str] = &[
    ".github/workflows",
    ".gitea/workflows",
    ".forgejo/workflows",
];

/// Bytes of a file that is too long to be read, and is asked about for that.
pub const TOO_LONG: usize = (512 << 10) + 1;
/// Most files that are read.
const FILES_MAX: usize = 500;
/// Most reasons of one file.
const REASONS_MAX: usize = 20;

/// Events that our push, our pull request and what we say of its commits cause, also by way of another workflow.
const OURS: &[&str] = &[
    "push",
    "create",
    "pull_request",
    "pull_request_target",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_comment",
    "workflow_run",
    "check_run",
    "check_suite",
    "status",
];

/// Credentials that every workflow has, and that end with it.
const OF_THE_RUN: &[&str] = &["GITHUB_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN"];

/// What would run on our push, and what that may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Of all workflow files, names and contents: another digest is another question.
    pub digest: Digest,
    /// Why it is exposed, by path and line; none = it is not.
    pub reasons: Vec<Reason>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// The workflow.
    pub path: RepoPath,
    /// Its line, from 1; `None` = all of it.
    pub line: Option<u32>,
    /// Goes on after the place: what it reaches, or why that is not known. What is not ours in it stands in backticks.
    pub why: String,
}

impl Exposure {
    /// Whether somebody has to be asked.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// What pushing `branch` and opening a pull request from it would run. `files` are the workflow files of the base
/// commit, wherever they are in [`WORKFLOW_FOLDERS`].
#[must_use]
pub fn exposure(files: &[(RepoPath, Vec<u8>)], branch: &str) -> Exposure {
    let mut files: Vec<&(RepoPath, Vec<u8>)> = files.iter().collect();
    files.sort();
    let digest = digest(&files);
    let mut reasons = Vec::new();
    if let Some((path, _)) = files.get(FILES_MAX) {
        let why = format!("more than {FILES_MAX} workflow files, which are not all read");
        reasons.push(whole(path, why));
    }
    let mut read = Vec::new();
    for (path, bytes) in files.into_iter().take(FILES_MAX) {
        let name = path.as_bytes().to_ascii_lowercase();
        if !name.ends_with(b".yml") && !name.ends_with(b".yaml") {
            continue;
        }
        match std::str::from_utf8(bytes) {
            _ if bytes.len() >= TOO_LONG => reasons.push(whole(path, "too long to be read")),
            Err(_) => reasons.push(whole(path, "not text, so nothing is known of it")),
            Ok(text) => read.push((path, lines(text))),
        }
    }
    let mut runs: BTreeSet<usize> = (0..read.len())
        .filter(|at| {
            read.get(*at)
                .is_some_and(|(_, lines)| starts(lines, branch))
        })
        .collect();
    // What runs also runs what it calls.
    let mut to_follow: Vec<usize> = runs.iter().copied().collect();
    while let Some((_, lines)) = to_follow.pop().and_then(|at| read.get(at)) {
        for called in lines.iter().filter_map(called) {
            let found = read
                .iter()
                .position(|(path, _)| path.as_bytes() == called.as_bytes());
            if let Some(at) = found.filter(|at| runs.insert(*at)) {
                to_follow.push(at);
            }
        }
    }
    for (path, lines) in runs.iter().filter_map(|at| read.get(*at)) {
        let found = lines.iter().filter_map(|line| {
            Some(Reason {
                path: (*path).clone(),
                line: Some(line.number),
                why: reaches(line)?,
            })
        });
        let own = runners::own(path, lines).into_iter();
        let own = own.map(|(number, why)| Reason {
            path: (*path).clone(),
            line: Some(number),
            why,
        });
        reasons.extend(found.chain(own).take(REASONS_MAX));
    }
    reasons.sort();
    Exposure { digest, reasons }
}

fn whole(path: &RepoPath, why: impl Into<String>) -> Reason {
    Reason {
        path: path.clone(),
        line: None,
        why: why.into(),
    }
}

fn digest(files: &[&(RepoPath, Vec<u8>)]) -> Digest {
    let mut all = Vec::new();
    for (path, bytes) in files {
        for part in [path.as_bytes(), bytes.as_slice()] {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part);
        }
    }
    Digest::of(&all)
}

/// A line that is no comment.
struct Line<'a> {
    number: u32,
    /// Blanks before it; a tab counts as one, which YAML forbids anyway.
    indent: usize,
    /// Without the blanks around it.
    text: &'a str,
    /// Part of a text over several lines: a script, where `#` begins no comment of ours.
    in_block: bool,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut all = Vec::new();
    let mut block: Option<usize> = None;
    for (number, raw) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let text = raw.trim();
        if text.is_empty() {
            continue;
        }
        let indent = raw.len() - raw.trim_start().len();
        let in_block = block.is_some_and(|outer| indent > outer);
        if !in_block {
            block = None;
            if text.starts_with('#') {
                continue;
            }
            let bare = text.split(" #").next().unwrap_or(text).trim_end();
            let end = bare.trim_end_matches(|c: char| c.is_ascii_digit() || "+-".contains(c));
            if end.ends_with(['|', '>']) {
                block = Some(indent);
            }
        }
        all.push(Line {
            number,
            indent,
            text,
            in_block,
        });
    }
    all
}

/// The key of a line and what follows it: `on` and `push` of `"on": push`.
fn key<'a>(line: &Line<'a>) -> Option<(&'a str, &'a str)> {
    let text = line.text.trim_start_matches(['-', ' ']);
    let (name, rest) = text.split_once(':')?;
    let name = name.trim().trim_matches(['"', '\'']);
    (!line.in_block && (rest.is_empty() || rest.starts_with([' ', '\t']))).then(|| {
        let rest = rest.split(" #").next().unwrap_or(rest);
        (name, rest.trim())
    })
}

/// Whether something of ours would start the workflow.
fn starts(lines: &[Line<'_>], branch: &str) -> bool {
    let is_on = |line: &Line<'_>| {
        line.indent == 0 && key(line).is_some_and(|(name, _)| matches!(name, "on" | "true"))
    };
    // Without such a line it is written in a way that is not understood.
    let Some(at) = lines.iter().position(is_on) else {
        return true;
    };
    let Some((first, rest)) = lines.get(at..).and_then(<[Line<'_>]>::split_first) else {
        return true;
    };
    let below = rest
        .iter()
        .take_while(|line| line.indent > 0 || line.text.starts_with(['-', ']', '}']));
    let region: Vec<&Line<'_>> = std::iter::once(first).chain(below).collect();
    let mut texts = region
        .iter()
        .map(|line| line.text.split(" #").next().unwrap_or(line.text));
    // Aliases and merges bring what stands elsewhere.
    if texts
        .clone()
        .any(|text| text.contains("<<") || has_alias(text))
    {
        return true;
    }
    let named: BTreeSet<&str> = texts.by_ref().flat_map(words).collect();
    OURS.iter()
        .filter(|event| named.contains(*event))
        .any(|event| *event != "push" || pushes(&region, branch))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

/// Whether a plain `*name` stands where a value may.
fn has_alias(text: &str) -> bool {
    let mut before = ' ';
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '*') if " \t,[{:-".contains(before) => return true,
            _ => {}
        }
        before = c;
    }
    false
}

/// Whether a push of `branch` is one of those that the workflow wants. Only a filter in its plainest form, each key and
/// each name on a line of its own or the names in brackets, takes it away.
fn pushes(region: &[&Line<'_>], branch: &str) -> bool {
    let named = |line: &&&Line<'_>| key(line).is_some_and(|(name, _)| name == "push");
    let Some(at) = region.iter().position(|line| named(&line)) else {
        return true;
    };
    let Some((push, rest)) = region.get(at..).and_then(<[&Line<'_>]>::split_first) else {
        return true;
    };
    if key(push).is_none_or(|(_, value)| !value.is_empty()) || push.indent == 0 {
        return true;
    }
    let below: Vec<&&Line<'_>> = rest
        .iter()
        .take_while(|line| line.indent > push.indent)
        .collect();
    let mut filter: Option<Vec<String>> = None;
    let mut tags = false;
    let mut inside = false;
    for line in below {
        if let Some((name, value)) = key(line).filter(|_| !line.text.starts_with('-')) {
            inside = name == "branches";
            match name {
                "branches" => filter = Some(list(value)),
                "branches-ignore" => return true,
                "tags" => tags = true,
                _ => {}
            }
        } else if let (true, Some(names), Some(item)) =
            (inside, &mut filter, line.text.strip_prefix('-'))
        {
            names.extend(list(item.split(" #").next().unwrap_or(item)));
        } else if inside {
            return true;
        }
    }
    match filter {
        // With tags alone no branch is wanted.
        None => !tags,
        Some(names) if names.is_empty() => true,
        Some(names) => names.iter().any(|name| may_match(name, branch)),
    }
}

/// Names in brackets, or one.
fn list(value: &str) -> Vec<String> {
    let bare = value.trim().trim_start_matches('[').trim_end_matches(']');
    let names = bare
        .split(',')
        .map(|name| name.trim().trim_matches(['"', '\'']));
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether a pattern could match: by what stands before its first sign.
fn may_match(pattern: &str, branch: &str) -> bool {
    match pattern.find(['*', '?', '+', '[', '!', '\\', '$', '{']) {
        None => pattern == branch,
        Some(at) => pattern
            .get(..at)
            .is_none_or(|start| branch.starts_with(start)),
    }
}

/// The workflow of this repository that a line calls.
fn called<'a>(line: &Line<'a>) -> Option<&'a str> {
    let (name, value) = key(line)?;
    let path = value.trim_matches(['"', '\'']).strip_prefix("./")?;
    (name == "uses").then_some(path)
}

/// What a line of a workflow that runs reaches.
fn reaches(line: &Line<'_>) -> Option<String> {
    if let Some(secret) = secret(line.text) {
        return Some(secret);
    }
    let (name, value) = key(line)?;
    let value = value.trim_matches(['"', '\'']);
    match name {
        "environment" => Some("runs in an environment, whose secrets it has".to_owned()),
        "secrets" => Some("hands on secrets".to_owned()),
        "permissions" if value.contains("write") => Some("gives its token write".to_owned()),
        _ if value == "write" => Some("gives its token write".to_owned()),
        "uses" if value.contains("/workflows/") && !value.starts_with("./") => {
            Some("calls a workflow of another repository, of which nothing is known".to_owned())
        }
        _ => None,
    }
}

/// The first use of a secret in a line, also in a script or in flow form.
fn secret(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let mut from = 0;
    while let Some(found) = lower.get(from..).and_then(|rest| rest.find("secrets")) {
        let (start, end) = (from + found, from + found + "secrets".len());
        from = end;
        let letter = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let before = lower.get(..start).unwrap_or_default();
        if before.ends_with(|c: char| letter(c) || c == '.' || c == '/') {
            continue;
        }
        let rest = text.get(end..).unwrap_or_default();
        let after = rest.trim_start();
        if let Some(name) = after.strip_prefix('.') {
            let name: String = name
                .trim_start()
                .chars()
                .take_while(|c| letter(*c))
                .collect();
            let of_the_run = OF_THE_RUN.iter().any(|one| name.eq_ignore_ascii_case(one));
            // A sentence may end there.
            if !of_the_run && !name.is_empty() {
                let name: String = name.chars().take(80).collect();
                return Some(format!("uses `secrets.{name}`"));
            }
        } else if after.starts_with(['[', ')']) || before.contains("${{") {
            return Some("uses secrets by a name that is not known".to_owned());
        } else if before.contains('{') && after.trim_start_matches(['"', '\'']).starts_with(':') {
            return Some("hands on secrets".to_owned());
        }
    }
    // In brackets, where no line is one key.
    let flow = text.contains('{') && !text.contains("${{");
    let holds = |word: &str| words(&lower).any(|one| one == word);
    (flow && holds("environment"))
        .then(|| "runs in an environment, whose secrets it has".to_owned())
        .or_else(|| {
            let write = holds("write") || lower.contains("write-all");
            (flow && write).then(|| "gives its token write".to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRANCH: &str = "agent/42-x";

    fn file(name: &str, text: &str) -> (RepoPath, Vec<u8>) {
        let path = RepoPath::from(format!(".github/workflows/{name}").as_str());
        (path, text.as_bytes().to_vec())
    }

    fn told(files: &[(RepoPath, Vec<u8>)]) -> String {
        let reasons = exposure(files, BRANCH).reasons;
        let line = |reason: &Reason| {
            let name = String::from_utf8_lossy(reason.path.file_name()).into_owned();
            let line = reason.line.map_or(String::new(), |line| format!(":{line}"));
            format!("{name}{line} {}", reason.why)
        };
        reasons.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Whether the workflow would be started by us; it holds a secret for certain.
    fn runs(on: &str) -> bool {
        let text = format!("name: x\n{on}\njobs:\n  a:\n    env: ${{{{ secrets.X }}}}\n");
        exposure(&[file("a.yml", &text)], BRANCH).is_exposed()
    }

    #[test]
    fn what_starts_on_our_push_or_pull_request_is_seen_in_every_way_of_writing_it() {
        for on in [
            "on: push",
            "on: [push]",
            "on: [ workflow_dispatch, pull_request ]",
            "\"on\": push",
            "'on':\n  push:",
            "on:\n- push",
            "on:\n  - workflow_dispatch\n  - pull_request_target",
            "on:\n  pull_request:\n    branches: [main]",
            "on:\n  push:\n    paths: ['src/**']",
            "on:\n  push:\n    branches: ['**']",
            "on:\n  push:\n    branches:\n      - main\n      - 'agent/**'",
            "on:\n  push:\n    branches:\n      - agent/42-x",
            "on:\n  push:\n    branches-ignore: [main]",
            "on:\n  push: {branches: [main]}",
            "on: {push: {branches: [main]}}",
            "on: {\n  push: null\n}",
            "on: [\n  push\n]",
            "on:\n  push:\n    branches: &b [main]\n  <<: *more",
            "on: *events",
            "on:\n  workflow_run:\n    workflows: [ci]",
            "on:   # when\n  status:",
            "{on: push}",
            "? on\n: push",
            "true:\n  push:",
            "on:\n  push:\n    branches:\n      [\n        main, agent/42-x\n      ]",
        ] {
            assert!(runs(on), "{on}");
        }
    }

    #[test]
    fn what_others_start_or_what_wants_other_branches_is_not() {
        for on in [
            "on: workflow_dispatch",
            "on:\n  schedule:\n    - cron: '0 5 * * *'",
            "on:\n  push:\n    branches: [main]",
            "on:\n  push:\n    branches: [main, 'release/**']",
            "on:\n  push:\n    branches:\n      - main # the default\n      - \"v*\"\n    paths: ['x']",
            "on:\n  push:\n    tags: ['v*']",
            "on:\n  release:\n    types: [published]\n  # push:",
            "on: workflow_call",
            "on:\n  issue_comment:",
        ] {
            assert!(!runs(on), "{on}");
        }
    }

    #[test]
    fn what_reaches_secrets_is_told_with_its_line() {
        let text = "on: push
permissions: write-all
jobs:
  a:
    environment: production
    permissions:
      contents: read
      id-token: write
    steps:
      # ${{ secrets.COMMENT }}
      - run: |
          # ${{ secrets.IN_A_SCRIPT }} is put in all the same
          echo secrets are good
      - env: { T: '${{ secrets.GITHUB_TOKEN }}', U: '${{secrets.npm_token}}' }
      - if: secrets.DEPLOY != ''
      - env: { T: '${{ toJSON(secrets) }}' }
      - env: { T: \"${{ secrets['x'] }}\" }
  b:
    uses: other/repo/.github/workflows/x.yml@v1
    secrets: inherit
  c: { environment: x }
  d: { permissions: { contents: write } }
";
        insta::assert_snapshot!(told(&[file("ci.yml", text)]), @"
        ci.yml:2 gives its token write
        ci.yml:5 runs in an environment, whose secrets it has
        ci.yml:8 gives its token write
        ci.yml:12 uses `secrets.IN_A_SCRIPT`
        ci.yml:14 uses `secrets.npm_token`
        ci.yml:15 uses `secrets.DEPLOY`
        ci.yml:16 uses secrets by a name that is not known
        ci.yml:17 uses secrets by a name that is not known
        ci.yml:19 calls a workflow of another repository, of which nothing is known
        ci.yml:20 hands on secrets
        ci.yml:21 runs in an environment, whose secrets it has
        ci.yml:22 gives its token write
        ");
    }

    #[test]
    fn an_ordinary_workflow_without_secrets_is_not_exposed() {
        let text = "# Scan for secrets.
name: Look for secrets
on:
  push:
  pull_request:
permissions:
  contents: read
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with: { token: '${{ secrets.GITHUB_TOKEN }}' }
      - run: ./scan --secrets my.secrets.txt
      - run: |
          cargo test
";
        assert_eq!(told(&[file("ci.yml", text)]), "");
    }

    #[test]
    fn what_is_called_runs_too() {
        let caller = "on: push\njobs:\n  a:\n    uses: ./.github/workflows/b.yml\n";
        let called = "on: workflow_call\njobs:\n  a:\n    uses: ./.github/workflows/c.yaml\n";
        let last = "on: workflow_call\njobs:\n  a:\n    environment: x\n    uses: ./.github/workflows/b.yml\n";
        let files = [
            file("a.yml", caller),
            file("b.yml", called),
            file("c.yaml", last),
        ];
        insta::assert_snapshot!(told(&files), @"c.yaml:4 runs in an environment, whose secrets it has");
        assert_eq!(told(&files[1..]), "");
    }

    #[test]
    fn what_cannot_be_read_counts_as_exposed() {
        let mut odd = file("odd.yml", "");
        odd.1 = b"on: workflow_dispatch\n\xff".to_vec();
        let long = file("long.yml", &" ".repeat(TOO_LONG));
        let script = file("run.sh", "secrets.X");
        insta::assert_snapshot!(told(&[odd, long, script]), @"
        long.yml too long to be read
        odd.yml not text, so nothing is known of it
        ");
        let many: Vec<_> = (0..=FILES_MAX)
            .map(|n| file(&format!("{n}.yml"), "on: x"))
            .collect();
        assert!(told(&many).contains("more than 500 workflow files"));
        assert!(!exposure(&[], BRANCH).is_exposed());
    }

    #[test]
    fn the_digest_is_of_names_and_contents_and_of_no_order() {
        let of = |files: &[(RepoPath, Vec<u8>)]| exposure(files, BRANCH).digest;
        let (a, b) = (file("a.yml", "x"), file("b.yml", "y"));
        assert_eq!(of(&[a.clone(), b.clone()]), of(&[b.clone(), a.clone()]));
        assert_ne!(of(&[a.clone(), b.clone()]), of(std::slice::from_ref(&a)));
        assert_ne!(of(&[file("a.yml", "xy")]), of(&[file("a.ymlx", "y")]));
        assert_ne!(of(&[a]), of(&[file("b.yml", "x")]));
    }
}
