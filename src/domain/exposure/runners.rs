//! On whose machines a workflow runs.
//!
//! On one of its own a repository's workflow leaves behind whatever the code wants, and reaches what is near it; the
//! forge throws its own away. Which label is whose is known of GitHub alone: on Gitea and Forgejo every runner is
//! somebody's own, whatever it is called, so nothing in a workflow tells them apart and none is told. What stands in
//! GitHub's folder is read as GitHub reads it.

use super::{Line, key};
use crate::domain::ident::RepoPath;

/// Where labels mean what they mean on GitHub.
const FOLDER: &[u8] = b".github/";

/// Systems of the machines that GitHub lends.
const LENT: &[&str] = &["ubuntu", "windows", "macos"];

/// What follows a system and its version there.
const KINDS: &[&str] = &["arm", "intel", "large", "xlarge", "cores"];

/// Each line of a workflow that may run on a machine of the repository's own, with what is said of it.
pub(super) fn own(path: &RepoPath, lines: &[Line<'_>]) -> Vec<(u32, String)> {
    if !path.as_bytes().to_ascii_lowercase().starts_with(FOLDER) {
        return Vec::new();
    }
    let named = given(lines, "runs-on").into_iter();
    named
        .filter_map(|(number, text)| Some((number, whose(&text, lines)?)))
        .collect()
}

/// What is said of one `runs-on`; `None` = GitHub lends it.
fn whose(text: &str, lines: &[Line<'_>]) -> Option<String> {
    let labels = labels(text);
    if labels.is_empty() {
        return Some("runs on a machine by a name that is not known".to_owned());
    }
    labels.iter().find_map(|label| said(label, Some(lines)))
}

/// What is said of a label. `lines`: where a matrix may give it.
fn said(label: &str, lines: Option<&[Line<'_>]>) -> Option<String> {
    if label == "group:" {
        return Some("runs on a group of runners, which may be machines of your own".to_owned());
    }
    if !label.contains("${{") && !label.starts_with('*') {
        let name: String = label
            .chars()
            .filter(|c| !c.is_control() && *c != '`')
            .take(80)
            .collect();
        return (!is_lent(label))
            .then(|| format!("runs on `{name}`, which may be a machine of your own"));
    }
    let unknown = || "runs on a machine by a name that is not known".to_owned();
    let (Some(name), Some(lines)) = (of_matrix(label), lines) else {
        return Some(unknown());
    };
    let given: Vec<String> = matrices(lines)
        .flat_map(|lines| given(lines, name))
        .flat_map(|(_, text)| self::labels(&text))
        .collect();
    match given.is_empty() {
        true => Some(unknown()),
        false => given.iter().find_map(|label| said(label, None)),
    }
}

/// `os` of `${{ matrix.os }}` and `${{ matrix.on.os }}`.
fn of_matrix(label: &str) -> Option<&str> {
    let inner = label.strip_prefix("${{")?.strip_suffix("}}")?.trim();
    let name = inner.strip_prefix("matrix.")?;
    let letter = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    name.chars()
        .all(letter)
        .then(|| name.rsplit('.').next().unwrap_or(name))
}

/// The lines of each matrix.
fn matrices<'a>(lines: &'a [Line<'a>]) -> impl Iterator<Item = &'a [Line<'a>]> {
    lines.iter().enumerate().filter_map(move |(at, line)| {
        let is_key = key(line).is_some_and(|(name, _)| name == "matrix");
        if !is_key && (line.in_block || in_braces(line.text, "matrix").is_none()) {
            return None;
        }
        let below = lines.get(at + 1..)?.iter();
        let length = below.take_while(|one| one.indent > line.indent).count();
        lines.get(at..=at + length)
    })
}

/// Whether GitHub lends machines of this label: a system, its version, and perhaps a kind.
fn is_lent(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    let mut parts = label.split('-');
    let is_version = |part: &str| {
        matches!(part, "latest" | "slim")
            || part.starts_with(|c: char| c.is_ascii_digit())
                && part.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let is_number = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    parts.next().is_some_and(|system| LENT.contains(&system))
        && parts.next().is_some_and(is_version)
        && parts.all(|part| KINDS.contains(&part) || is_number(part))
}

/// What a key is given, wherever it stands: on its line, in the lines below it, or somewhere within braces. With the
/// number of the line.
fn given(lines: &[Line<'_>], name: &str) -> Vec<(u32, String)> {
    let mut all = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.in_block) {
        let value = match key(line) {
            Some((found, value)) if found == name => value,
            _ => match in_braces(line.text, name) {
                Some(value) => value,
                None => continue,
            },
        };
        let mut text = value.to_owned();
        if value.is_empty() || is_open(value) {
            let below = lines.get(at + 1..).unwrap_or_default().iter();
            let below = below.take_while(|one| {
                one.indent > line.indent
                    || one.indent == line.indent && one.text.starts_with(['-', ']', '}'])
            });
            for one in below {
                text.push('\n');
                text.push_str(one.text.split(" #").next().unwrap_or(one.text));
                if !value.is_empty() && !is_open(&text) {
                    break;
                }
            }
        }
        all.push((line.number, text));
    }
    all
}

/// Whether a bracket that was opened was not closed.
fn is_open(text: &str) -> bool {
    let count = |signs: [char; 2]| text.chars().filter(|c| signs.contains(c)).count();
    count(['[', '{']) > count([']', '}'])
}

/// The rest of a line after `name:` where that stands within braces or brackets.
fn in_braces<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let at = text
        .match_indices(name)
        .find(|(at, _)| {
            let before = text.get(..*at).unwrap_or_default();
            let after = text.get(at + name.len()..).unwrap_or_default();
            let after = after.trim_start_matches(['"', '\'']);
            before.contains('{')
                && before.ends_with([' ', '{', ',', '"', '\''])
                && after.starts_with(':')
        })
        .map(|(at, _)| at)?;
    let rest = text.get(at + name.len()..)?;
    let rest = rest
        .trim_start_matches(['"', '\''])
        .strip_prefix(':')?
        .trim_start();
    let mut depth = 0_usize;
    let end = rest.find(|c: char| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' if depth == 0 => return true,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => return true,
            _ => {}
        }
        false
    });
    rest.get(..end.unwrap_or(rest.len()))
}

/// The labels in what `runs-on` is given: one, a list in either form, or those of an object; `group:` where it names a
/// group.
fn labels(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut one = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match (c, rest.find("}}")) {
            ('$', Some(end)) if rest.starts_with("${{") => end + 2,
            _ => c.len_utf8(),
        };
        let (now, after) = rest.split_at(length);
        rest = after;
        match c {
            '[' | ']' | '{' | '}' | ',' | '\n' => all.push(std::mem::take(&mut one)),
            _ => one.push_str(now),
        }
    }
    all.push(one);
    all.into_iter()
        .filter_map(|one| {
            let bare = one.trim();
            let bare = match bare.strip_prefix('-') {
                Some(item) if item.is_empty() || item.starts_with(' ') => item.trim(),
                _ => bare,
            };
            if bare
                .split_once(':')
                .is_some_and(|(name, _)| is_word(name, "group"))
            {
                return Some("group:".to_owned());
            }
            let bare = match bare.split_once(':') {
                Some((name, value)) if is_word(name, "labels") => value.trim(),
                _ => bare,
            };
            // An anchor names what follows it.
            let bare = match bare.strip_prefix('&') {
                Some(anchored) => anchored
                    .split_once(' ')
                    .map_or("", |(_, value)| value.trim()),
                None => bare,
            };
            let bare = bare.trim_matches(['"', '\'']).trim();
            (!bare.is_empty()).then(|| bare.to_owned())
        })
        .collect()
}

fn is_word(name: &str, word: &str) -> bool {
    name.trim().trim_matches(['"', '\'']) == word
}

#[cfg(test)]
mod tests {
    use super::super::exposure;
    use super::*;

    /// What is said of a job with these lines, on GitHub.
    fn job(lines: &str) -> String {
        let text = format!("on: push\njobs:\n  a:\n{lines}\n    steps:\n      - run: make\n");
        of(".github/workflows/ci.yml", &text)
    }

    fn of(path: &str, text: &str) -> String {
        let files = [(RepoPath::from(path), text.as_bytes().to_vec())];
        let reasons = exposure(&files, "agent/1-x").reasons;
        let told = reasons.iter().map(|reason| {
            let line = reason.line.map_or(String::new(), |line| format!("{line} "));
            format!("{line}{}", reason.why)
        });
        told.collect::<Vec<_>>().join(" · ")
    }

    #[test]
    fn a_machine_of_one_s_own_is_told_in_every_way_of_writing_it() {
        let rows: Vec<String> = [
            "    runs-on: self-hosted",
            "    runs-on: \"self-hosted\" # ours",
            "    runs-on: [self-hosted, linux, x64]",
            "    runs-on: [ubuntu-latest, gpu]",
            "    runs-on:\n      - linux\n      - gpu",
            "    runs-on:\n    - self-hosted",
            "    runs-on: [\n      self-hosted,\n      linux\n    ]",
            "    runs-on:\n      group: big",
            "    runs-on:\n      labels: [self-hosted]",
            "    runs-on:\n      labels: gpu",
            "    runs-on: { group: big, labels: [x] }",
            "    runs-on: { labels: gpu }",
            "    runs-on: &where self-hosted",
            "    runs-on: *where",
            "    runs-on:",
            "    runs-on: ${{ inputs.runner }}",
            "    runs-on: ${{ fromJSON(vars.RUNNER) }}",
            "    runs-on: ${{ matrix.nowhere }}",
            "    runs-on: ${{ matrix.os }}\n    strategy:\n      matrix:\n        os: ${{ fromJSON(vars.OS) }}",
            "    runs-on: ${{ matrix.os }}\n    strategy:\n      matrix:\n        os: [ubuntu-latest, self-hosted]",
            "    runs-on: ${{ matrix.on.os }}\n    strategy:\n      matrix:\n        on:\n          - os: ubuntu-latest\n            node: 20\n          - { os: gpu, node: 20 }",
            "    runs-on: ubuntu-mine",
            "    runs-on: my-ubuntu-latest",
            "  b: { runs-on: self-hosted, steps: [] }",
        ]
        .iter()
        .map(|lines| job(lines))
        .collect();
        insta::assert_snapshot!(rows.join("\n"), @"
        4 runs on `self-hosted`, which may be a machine of your own
        4 runs on `self-hosted`, which may be a machine of your own
        4 runs on `self-hosted`, which may be a machine of your own
        4 runs on `gpu`, which may be a machine of your own
        4 runs on `linux`, which may be a machine of your own
        4 runs on `self-hosted`, which may be a machine of your own
        4 runs on `self-hosted`, which may be a machine of your own
        4 runs on a group of runners, which may be machines of your own
        4 runs on `self-hosted`, which may be a machine of your own
        4 runs on `gpu`, which may be a machine of your own
        4 runs on a group of runners, which may be machines of your own
        4 runs on `gpu`, which may be a machine of your own
        4 runs on `self-hosted`, which may be a machine of your own
        4 runs on a machine by a name that is not known
        4 runs on a machine by a name that is not known
        4 runs on a machine by a name that is not known
        4 runs on a machine by a name that is not known
        4 runs on a machine by a name that is not known
        4 runs on a machine by a name that is not known
        4 runs on `self-hosted`, which may be a machine of your own
        4 runs on `gpu`, which may be a machine of your own
        4 runs on `ubuntu-mine`, which may be a machine of your own
        4 runs on `my-ubuntu-latest`, which may be a machine of your own
        4 runs on `self-hosted`, which may be a machine of your own
        ");
    }

    #[test]
    fn machines_that_github_lends_and_what_only_speaks_of_others_are_not() {
        for lines in [
            "    runs-on: ubuntu-latest",
            "    runs-on: Ubuntu-24.04 # newest",
            "    runs-on: ubuntu-24.04-arm",
            "    runs-on: ubuntu-latest-16-cores",
            "    runs-on: 'windows-2025'",
            "    runs-on: [macos-15-xlarge]",
            "    runs-on:\n      - ubuntu-slim",
            "    runs-on: ${{ matrix.os }}\n    strategy:\n      matrix:\n        os: [ubuntu-latest, windows-latest]",
            "    runs-on: ${{ matrix.os }}\n    strategy:\n      matrix:\n        include:\n          - os: macos-latest\n            node: 20",
            "    runs-on: ${{ matrix.os }}\n    env: { os: mine }\n    strategy: { matrix: { os: [ubuntu-latest] } }\n    with:\n      os: ${{ matrix.os }}",
            "    runs-on: ubuntu-latest\n    name: no self-hosted runner\n    # runs-on: self-hosted",
            "    runs-on: ubuntu-latest\n    if: ${{ !contains(runner.name, 'self-hosted') }}",
        ] {
            assert_eq!(job(lines), "", "{lines}");
        }
        let script =
            "    runs-on: ubuntu-latest\n    env:\n      X: |\n        runs-on: self-hosted";
        assert_eq!(job(script), "");
    }

    #[test]
    fn where_every_runner_is_somebody_s_own_none_is_told() {
        let text =
            "on: push\njobs:\n  a:\n    runs-on: self-hosted\n    steps:\n      - run: make\n";
        assert_eq!(of(".gitea/workflows/ci.yml", text), "");
        assert_eq!(
            of(
                ".forgejo/workflows/ci.yml",
                &text.replace("self-hosted", "docker")
            ),
            ""
        );
        assert_ne!(of(".github/workflows/ci.yml", text), "");
        // What our push does not start is nobody's matter.
        let elsewhere = text.replace("on: push", "on: workflow_dispatch");
        assert_eq!(of(".github/workflows/ci.yml", &elsewhere), "");
    }
}
