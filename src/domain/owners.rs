//! Owners of files, and who is asked to review.
//!
//! `CODEOWNERS` is read from the base commit. GitHub and Gitea give the file one name and two languages: globs, of
//! which the last that matches counts, and regular expressions, all of which count.

use globset::{GlobBuilder, GlobMatcher};
use regex::{Regex, RegexBuilder};

use super::ident::RepoPath;
use super::task::Task;

/// Longest file that is read, in bytes; GitHub reads no longer one either.
const FILE_MAX: usize = 3 << 20;
/// Most rules that are read.
const RULES_MAX: usize = 5_000;
/// Most owners that are answered.
const OWNERS_MAX: usize = 100;
/// Most people who are asked; forges take no more.
pub const REVIEWERS_MAX: usize = 15;

/// Which language a `CODEOWNERS` is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// GitHub: globs as in `.gitignore`, the last rule that matches counts, also one without owners.
    Globs,
    /// Gitea and Forgejo: regular expressions over whole paths, `!` turns one around, every one that matches counts.
    Expressions,
}

impl Dialect {
    /// Where the file may be, first to last.
    #[must_use]
    pub const fn places(self) -> &'static [&'static str] {
        match self {
            Self::Globs => &[".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"],
            Self::Expressions => &[
                "CODEOWNERS",
                "docs/CODEOWNERS",
                ".gitea/CODEOWNERS",
                ".forgejo/CODEOWNERS",
            ],
        }
    }
}

/// Who owns a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// An account: `@dana`.
    Person(String),
    /// A team: `@org/team`. None is asked in this version.
    Team(String),
    /// An address, whose account is not known.
    Address(String),
}

impl Owner {
    fn parse(word: &str) -> Option<Self> {
        if word.len() > 200 {
            return None;
        }
        let Some(name) = word.strip_prefix('@') else {
            let (user, host) = word.split_once('@')?;
            let is_address = !user.is_empty() && host.contains('.') && !host.contains('@');
            return is_address.then(|| Self::Address(word.to_owned()));
        };
        match name.split_once('/') {
            Some((org, team)) if is_login(org) && is_login(team) => {
                Some(Self::Team(name.to_owned()))
            }
            None if is_login(name) => Some(Self::Person(name.to_owned())),
            _ => None,
        }
    }
}

/// What forges let an account be called.
fn is_login(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=100).contains(&name.len()) && name.chars().all(fits) && !name.starts_with('-')
}

/// A `CODEOWNERS`, read.
#[derive(Debug, Default)]
pub struct Owners {
    rules: Vec<Rule>,
    /// Lines that could not be read, from 1; no owner follows from one.
    pub unread: Vec<usize>,
    last_counts: bool,
}

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    owners: Vec<Owner>,
}

#[derive(Debug)]
enum Pattern {
    Globs(Vec<GlobMatcher>),
    Expression { regex: Regex, negated: bool },
}

impl Pattern {
    fn is_match(&self, path: &RepoPath) -> bool {
        match self {
            Self::Globs(globs) => {
                use std::os::unix::ffi::OsStrExt as _;
                let path = std::ffi::OsStr::from_bytes(path.as_bytes());
                globs.iter().any(|glob| glob.is_match(path))
            }
            Self::Expression { regex, negated } => {
                let path = String::from_utf8_lossy(path.as_bytes());
                regex.is_match(&path) != *negated
            }
        }
    }
}

impl Owners {
    /// Reads a file. Lines that cannot be read are left out and named in [`Self::unread`].
    #[must_use]
    pub fn parse(bytes: &[u8], dialect: Dialect) -> Self {
        let mut owners = Self {
            last_counts: dialect == Dialect::Globs,
            ..Self::default()
        };
        if bytes.len() > FILE_MAX {
            owners.unread.push(1);
            return owners;
        }
        let text = String::from_utf8_lossy(bytes);
        for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let words = words(line);
            let Some((pattern, names)) = words.split_first() else {
                continue;
            };
            let read: Option<Vec<Owner>> = names.iter().map(|name| Owner::parse(name)).collect();
            let pattern = match dialect {
                Dialect::Globs => globs(pattern),
                Dialect::Expressions => expression(pattern),
            };
            match (pattern, read) {
                (Some(pattern), Some(owned)) if owners.rules.len() < RULES_MAX => {
                    owners.rules.push(Rule {
                        pattern,
                        owners: owned,
                    });
                }
                _ => owners.unread.push(at + 1),
            }
        }
        owners
    }

    /// The owners of these files, each once, in the order in which the files name them.
    #[must_use]
    pub fn of<'a>(&self, paths: impl IntoIterator<Item = &'a RepoPath>) -> Vec<Owner> {
        let mut all: Vec<Owner> = Vec::new();
        for path in paths {
            let mut hits = self.rules.iter().filter(|rule| rule.pattern.is_match(path));
            let rules: Vec<&Rule> = match self.last_counts {
                true => hits.next_back().into_iter().collect(),
                false => hits.collect(),
            };
            for owner in rules.into_iter().flat_map(|rule| &rule.owners) {
                if all.len() < OWNERS_MAX && !all.contains(owner) {
                    all.push(owner.clone());
                }
            }
        }
        all
    }
}

/// The words of a line up to its comment; `\` takes the meaning from what follows it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_empty() => break,
            '\\' if chars.peek().is_some_and(|next| " #\t".contains(*next)) => {
                word.extend(chars.next());
            }
            c if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A pattern as `.gitignore` has it, without its negation and its sets: GitHub reads neither.
fn globs(pattern: &str) -> Option<Pattern> {
    if pattern.starts_with('!') || pattern.contains(['[', ']']) || pattern.len() > 1_000 {
        return None;
    }
    let folder_only = pattern.ends_with('/');
    let bare = pattern.trim_start_matches('/').trim_end_matches('/');
    let anchored = pattern.starts_with('/') || bare.contains('/');
    // Braces are letters there.
    let bare = bare.replace('{', "[{]").replace('}', "[}]");
    let start = match anchored {
        true => bare,
        false => format!("**/{bare}"),
    };
    let last = start.rsplit('/').next().unwrap_or_default();
    let mut forms = Vec::new();
    if start.is_empty() {
        forms.push("**".to_owned());
    } else {
        if !folder_only {
            forms.push(start.clone());
        }
        // `docs/*` is the files of that folder alone; a name is also all that is below it.
        let below = folder_only || !(anchored && last == "*");
        if below && last != "**" {
            forms.push(format!("{start}/**"));
        }
    }
    let build = |form: &String| {
        let mut builder = GlobBuilder::new(form);
        let glob = builder
            .literal_separator(true)
            .backslash_escape(false)
            .build();
        glob.ok().map(|glob| glob.compile_matcher())
    };
    let globs: Option<Vec<GlobMatcher>> = forms.iter().map(build).collect();
    globs.map(Pattern::Globs)
}

fn expression(pattern: &str) -> Option<Pattern> {
    let (negated, bare) = match pattern.strip_prefix('!') {
        Some(bare) => (true, bare),
        None => (false, pattern),
    };
    let mut builder = RegexBuilder::new(&format!("^{bare}$"));
    let regex = builder.size_limit(1 << 20).nest_limit(50).build().ok()?;
    Some(Pattern::Expression { regex, negated })
}

/// Who is asked to review the result of a task, each once, at most [`REVIEWERS_MAX`]: who asked for this round, whom
/// the brief names, then as `[pr] reviewers` says. `author` is the account that opens the pull request; no forge lets it be asked.
#[must_use]
pub fn reviewers(task: &Task, owners: &[Owner], author: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut ask = |login: &str| {
        let known = all.iter().any(|one| one.eq_ignore_ascii_case(login));
        let program = login.to_ascii_lowercase().ends_with("[bot]");
        let is_us = login.eq_ignore_ascii_case(author);
        if is_login(login) && !known && !program && !is_us && all.len() < REVIEWERS_MAX {
            all.push(login.to_owned());
        }
    };
    if let Some(by) = &task.round_by {
        ask(by);
    }
    if let Some(named) = &task.brief.reviewer {
        ask(named.trim().trim_start_matches('@'));
    }
    for one in &task.settings.pull.reviewers {
        match one.as_str() {
            "requester" => ask(&task.requester),
            "codeowners" => {
                for owner in owners {
                    if let Owner::Person(login) = owner {
                        ask(login);
                    }
                }
            }
            login => ask(login),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dialect: Dialect, file: &str, paths: &[&str]) -> String {
        let paths: Vec<RepoPath> = paths.iter().map(|path| RepoPath::from(*path)).collect();
        let owners = Owners::parse(file.as_bytes(), dialect).of(&paths);
        let names: Vec<String> = owners
            .iter()
            .map(|owner| match owner {
                Owner::Person(name) => name.clone(),
                Owner::Team(name) => format!("team {name}"),
                Owner::Address(address) => format!("<{address}>"),
            })
            .collect();
        names.join(" ")
    }

    #[test]
    fn of_globs_the_last_that_matches_counts() {
        let file = "\
# everything
*            @global @org/all
*.js         @js   # an inline comment
/build/logs/ @doctocat
docs/*       docs@example.test
apps/        @octocat
/scripts/    @dana @lee
**/logs      @logs
/apps/github
/a\\ b/c.txt  @space
{x}          @brace
";
        let owner = |path: &str| of(Dialect::Globs, file, &[path]);
        assert_eq!(owner("README"), "global team org/all");
        assert_eq!(owner("src/deep/a.js"), "js");
        assert_eq!(owner("build/logs/x/y"), "logs");
        assert_eq!(owner("build/logs"), "logs");
        assert_eq!(owner("x/build/logs2/y"), "global team org/all");
        assert_eq!(owner("docs/a.md"), "<docs@example.test>");
        assert_eq!(owner("docs/deep/a.md"), "global team org/all");
        assert_eq!(owner("x/apps/y/z"), "octocat");
        assert_eq!(owner("apps"), "global team org/all");
        assert_eq!(
            owner("apps/github/x"),
            "",
            "a rule without owners takes them away"
        );
        assert_eq!(owner("scripts/x"), "dana lee");
        assert_eq!(owner("x/scripts/x"), "global team org/all");
        assert_eq!(owner("a b/c.txt"), "space");
        assert_eq!(owner("y/{x}"), "brace");
        assert_eq!(owner("x"), "global team org/all");
        let both = of(Dialect::Globs, file, &["scripts/x", "a.js", "scripts/y"]);
        assert_eq!(both, "dana lee js");
    }

    #[test]
    fn of_expressions_all_that_match_count() {
        let file = "\
# Gitea
.*\\.go      @go @org/team
docs/.*     @docs
!docs/.*    @code
docs/(a|b)  @two # words
";
        let owner = |path: &str| of(Dialect::Expressions, file, &[path]);
        assert_eq!(owner("x/a.go"), "go team org/team code");
        assert_eq!(owner("docs/x.md"), "docs");
        assert_eq!(owner("docs/a"), "docs two");
        assert_eq!(owner("xdocs/a"), "code", "the whole path is meant");
    }

    #[test]
    fn lines_that_cannot_be_read_are_named_and_own_nothing() {
        let file = b"!a @x\n[ab] @x\nb dana\nc @-x\nd @o/t/u\ne @a@b.c\nf @x \xff\ng x@y\nh @ok\n";
        let owners = Owners::parse(file, Dialect::Globs);
        assert_eq!(owners.unread, [1, 2, 3, 4, 5, 6, 7, 8]);
        let path = |name: &str| RepoPath::from(name);
        assert_eq!(owners.of([&path("b"), &path("c"), &path("f")]), []);
        assert_eq!(owners.of([&path("h")]), [Owner::Person("ok".to_owned())]);
        let owners = Owners::parse(b"(a @x\na{1000}{1000}{1000} @x\n", Dialect::Expressions);
        assert_eq!(owners.unread, [1, 2]);
        assert_eq!(
            Owners::parse(&vec![b'a'; FILE_MAX + 1], Dialect::Globs).unread,
            [1]
        );
    }

    #[test]
    fn a_file_of_more_rules_than_are_read_says_where_it_was_cut() {
        let file = "* @x\n".repeat(RULES_MAX + 2);
        let owners = Owners::parse(file.as_bytes(), Dialect::Globs);
        assert_eq!(owners.unread, [RULES_MAX + 1, RULES_MAX + 2]);
    }

    #[test]
    fn paths_that_are_no_text_are_matched_as_bytes() {
        let owners = Owners::parse(b"src/ @x\n", Dialect::Globs);
        let path = RepoPath::new(*b"src/\xff\xfe");
        assert_eq!(owners.of([&path]), [Owner::Person("x".to_owned())]);
    }
}
