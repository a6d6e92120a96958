//! What one file holds in tests: their names, their assertions and what keeps them from running.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::super::ident::RepoPath;
use super::code::{self, Masked};
use super::languages::{self, Language};

/// What a file holds in tests.
#[derive(Default)]
pub(super) struct Suite {
    /// By name; a name that is used again has a number after it.
    pub(super) tests: BTreeMap<String, Test>,
    /// Assertions outside any test, in files that belong to tests.
    pub(super) loose: u32,
    /// Lines that keep tests from running or from failing.
    pub(super) signs: Vec<Sign>,
    /// Modules and classes that tests have to be in, with their lines.
    pub(super) homes: BTreeMap<String, u32>,
}

/// One test, from its first line to the next test.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) line: u32,
    /// Those that can be reached and can fail.
    pub(super) assertions: u32,
}

/// Something that keeps tests from running or from failing.
pub(super) struct Sign {
    pub(super) line: u32,
    /// As written; the first line of it is shown.
    pub(super) text: String,
    pub(super) kind: Kind,
    /// The module that it is about, where it is declared in another file.
    pub(super) over: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A test does not run, or need not pass.
    Skip,
    /// Tests are built or run only where something holds.
    Condition,
    /// The function that runs all tests of a package.
    Main,
}

/// A statement of its own after which nothing of a test runs.
static EXIT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^\s*(?:return(?:\s+(?:Ok\(\(\)\)|None|nil|null|undefined|true|false|True|False|0))?|(?:sys\.|os\._?|std::process::|process::|process\.)?[eE]xit\([^)]*\)|raise\s+SystemExit\b.*|exit(?:\s+0)?)\s*;?\s*$",
    )
    .ok()
});
/// A condition that is none, around what is to be skipped.
static ALWAYS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^\s*(?:if|unless)\b\s*\(?\s*(?:not\s+|!\s*)?(?:true|false|True|False|None|nil|0|1)\s*\)?\s*(?:[:{]|then\b|return\b|$)|^\s*while\b\s*\(?\s*(?:false|False|None|0)\s*\)?\s*(?:[:{]|$)",
    )
    .ok()
});
/// `#[test]` and its relatives.
static TEST_ATTRIBUTE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^#\[(?:\w+::)*(?:\w*test\w*|bench)\b").ok());

fn is(regex: &LazyLock<Option<Regex>>, line: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(line))
}

/// Reads what a text holds in tests.
pub(super) fn suite(language: &Language, path: &RepoPath, source: &str) -> Suite {
    let Masked { text, code } = code::mask(source, &language.lexis);
    let starts = starts(language, &text);
    let mut suite = Suite::default();
    let mut names: Vec<String> = Vec::with_capacity(starts.len());
    for (line, name) in &starts {
        let mut unique = name.clone();
        let mut number = 1;
        while suite.tests.contains_key(&unique) {
            number += 1;
            unique = format!("{name} ({number})");
        }
        let test = Test {
            line: *line,
            assertions: 0,
        };
        suite.tests.insert(unique.clone(), test);
        names.push(unique);
    }
    let is_test = languages::is_test_path(path);
    let lines: Vec<&str> = text.lines().collect();
    let (mut current, mut body) = (0, Body::default());
    for ((number, line), text) in (1u32..).zip(code.lines()).zip(&lines) {
        while starts
            .get(current)
            .is_some_and(|(start, _)| *start <= number)
        {
            current += 1;
            body = Body::begins(line);
        }
        body.reads(line, language.name == "Rust");
        let vain = language
            .vain
            .as_ref()
            .map_or(0, |vain| vain.find_iter(line).count());
        let all = match body.over {
            true => 0,
            false => language.assertion.find_iter(line).count(),
        };
        let assertions = u32::try_from(all.saturating_sub(vain)).unwrap_or(u32::MAX);
        let test = current
            .checked_sub(1)
            .and_then(|at| names.get(at))
            .filter(|_| !body.left);
        let in_test = test.is_some();
        match test.and_then(|name| suite.tests.get_mut(name)) {
            Some(test) => test.assertions = test.assertions.saturating_add(assertions),
            // Before the first test of a program file an assertion belongs to the program.
            None if is_test => suite.loose = suite.loose.saturating_add(assertions),
            None => {}
        }
        let mut sign = |kind, over| {
            suite.signs.push(Sign {
                line: number,
                text: text.trim().to_owned(),
                kind,
                over,
            });
        };
        if (is_test || !starts.is_empty()) && language.skip.is_match(text)
            || (is_test || in_test) && is(&ALWAYS, line)
        {
            sign(Kind::Skip, None);
        } else if language
            .condition
            .as_ref()
            .is_some_and(|condition| condition.is_match(text))
        {
            match language.name {
                "Rust" => {
                    if let Some(over) = over_tests(&lines, number, !starts.is_empty()) {
                        sign(Kind::Condition, over);
                    }
                }
                _ if is_test => sign(Kind::Condition, None),
                _ => {}
            }
        }
    }
    if language.name == "Go" {
        suite.signs.extend(test_main(&text));
    }
    for found in language
        .home
        .iter()
        .flat_map(|home| home.captures_iter(&text))
    {
        if let (Some(whole), Some(name)) = (found.get(0), found.iter().skip(1).flatten().next()) {
            let line = line_at(&text, whole.end());
            suite.homes.entry(name.as_str().to_owned()).or_insert(line);
        }
    }
    suite
}

/// How far a test is read.
#[derive(Default)]
struct Body {
    /// Space before the first line of the test.
    indent: usize,
    /// Space before its statements, once the first was read.
    inner: Option<usize>,
    /// Its end was read; what follows may be helpers, which count for it.
    closed: bool,
    /// Nothing that follows runs.
    over: bool,
    /// The module of tests has ended, and the program goes on.
    left: bool,
}

impl Body {
    fn begins(line: &str) -> Self {
        Self {
            indent: space(line),
            ..Self::default()
        }
    }

    fn reads(&mut self, line: &str, rust: bool) {
        let (blank, space) = (line.trim().is_empty(), space(line));
        if blank {
            return;
        }
        if rust && self.indent > 0 && line.starts_with('}') {
            self.left = true;
        }
        match self.inner {
            None if space > self.indent => self.inner = Some(space),
            Some(_) if space <= self.indent => {
                self.closed = true;
                self.over = false;
            }
            _ => {}
        }
        if !self.closed && self.inner == Some(space) && is(&EXIT, line) {
            self.over = true;
        }
    }
}

fn space(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Where each test begins, by line, so that every assertion falls into the test above it.
fn starts(language: &Language, text: &str) -> Vec<(u32, String)> {
    let (mut line, mut read) = (1u32, 0);
    language
        .test
        .captures_iter(text)
        .filter_map(|found| {
            let whole = found.get(0)?;
            let name = found.iter().skip(1).flatten().next()?;
            let begin = whole.end() - whole.as_str().trim_start().len();
            let lines = text.get(read..begin).unwrap_or_default().matches('\n');
            line = line.saturating_add(u32::try_from(lines.count()).unwrap_or(u32::MAX));
            read = begin;
            Some((line, name.as_str().to_owned()))
        })
        .collect()
}

fn line_at(text: &str, at: usize) -> u32 {
    let before = text.get(..at).unwrap_or(text);
    u32::try_from(before.matches('\n').count()).map_or(u32::MAX, |lines| lines.saturating_add(1))
}

/// Whether the attribute on line `number` of a Rust file is about tests: the module that it is
/// over, `None` inside where it is over something of this file.
fn over_tests(lines: &[&str], number: u32, has_tests: bool) -> Option<Option<String>> {
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    let line = lines.get(at)?.trim();
    if line.replace(' ', "") == "#[cfg(test)]" {
        return None;
    }
    if line.starts_with("#![") {
        return has_tests.then_some(None);
    }
    let above = lines.get(..at)?.iter().rev().map(|line| line.trim());
    let mut above = above.take_while(|line| line.starts_with("#["));
    let mut below = lines.get(at + 1..)?.iter().map(|line| line.trim());
    let next = below.find(|line| {
        !line.is_empty() && (is(&TEST_ATTRIBUTE, line) || !line.starts_with(['#', ')', '"', ']']))
    });
    let item = next.unwrap_or_default();
    if is(&TEST_ATTRIBUTE, item) || above.any(|line| is(&TEST_ATTRIBUTE, line)) {
        return Some(None);
    }
    let item = item.strip_prefix("pub").map_or(item, |rest| {
        rest.split_once(')').map_or(rest, |(_, rest)| rest)
    });
    let module = item.trim_start().strip_prefix("mod ")?;
    match module.trim_end().strip_suffix(';') {
        Some(name) => Some(Some(name.trim().to_owned())),
        None => has_tests.then_some(None),
    }
}

/// `TestMain` of a Go package decides whether its tests run, and what their result is.
fn test_main(text: &str) -> Option<Sign> {
    let mut lines = (1u32..).zip(text.lines());
    let (line, first) = lines.find(|(_, line)| line.starts_with("func TestMain("))?;
    let mut whole = vec![first];
    for (_, next) in lines {
        whole.push(next);
        if next.starts_with('}') {
            break;
        }
    }
    Some(Sign {
        line,
        text: whole.join("\n"),
        kind: Kind::Main,
        over: None,
    })
}
