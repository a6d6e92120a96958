//! What an import leaves out: ignore rules of the base commit, and droppings of well-known tools.
//!
//! The rules are `.gitignore` files read from the base tree, so neither the agent nor the
//! machine's own excludes have a say. Matching is a port of git's `wildmatch.c` and `dir.c` on
//! bytes: the crates for this want UTF-8 patterns and differ in classes and `**`, libgit2
//! reads only work trees. A test compares it with `git check-ignore`.

/// The rules in force in one folder: those of the root first, its own last.
#[derive(Debug, Default)]
pub(super) struct Rules {
    files: Vec<(usize, Vec<Pattern>)>,
}

#[derive(Debug)]
struct Pattern {
    text: Vec<u8>,
    include_again: bool,
    folders_only: bool,
    /// Without a slash: matched against the last part, at any depth.
    name_only: bool,
}

/// Longer rule files are cut; git itself has no cap.
const RULES_CAP: usize = 1 << 20;
/// Steps of matching one pattern; a pattern made to explode matches nothing.
const FUEL: u32 = 200_000;

impl Rules {
    /// Enters a folder whose path is `path_len` bytes long, with its `.gitignore`.
    pub(super) fn enter(&mut self, path_len: usize, gitignore: &[u8]) {
        let text = gitignore.get(..RULES_CAP).unwrap_or(gitignore);
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let base = if path_len == 0 { 0 } else { path_len + 1 };
        self.files.push((
            base,
            text.split(|b| *b == b'\n')
                .filter_map(Pattern::parse)
                .collect(),
        ));
    }

    /// Leaves the folder entered last.
    pub(super) fn leave(&mut self) {
        self.files.pop();
    }

    /// Whether an untracked `path`, directly in the folder entered last, is ignored.
    pub(super) fn ignored(&self, path: &[u8], is_folder: bool) -> bool {
        for (base, patterns) in self.files.iter().rev() {
            let Some(below) = path.get(*base..) else {
                continue;
            };
            if let Some(pattern) = patterns.iter().rev().find(|p| p.matches(below, is_folder)) {
                return !pattern.include_again;
            }
        }
        false
    }
}

impl Pattern {
    fn parse(line: &[u8]) -> Option<Self> {
        let line = line.split(|b| *b == 0).next()?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.starts_with(b"#") {
            return None;
        }
        let mut text = trimmed(line);
        let include_again = text.first() == Some(&b'!');
        if include_again {
            text = text.get(1..)?;
        }
        let folders_only = text.last() == Some(&b'/');
        if folders_only {
            text = text.get(..text.len() - 1)?;
        }
        let name_only = !text.contains(&b'/');
        if !name_only {
            text = text.strip_prefix(b"/").unwrap_or(text);
        }
        Some(Self {
            text: text.to_vec(),
            include_again,
            folders_only,
            name_only,
        })
    }

    fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        if self.folders_only && !is_folder {
            return false;
        }
        if self.name_only {
            let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
            return wildmatch(&self.text, name, false);
        }
        // As git: what stands before the first sign is compared by itself, so that stars right behind it stand at the
        // beginning.
        let is_sign = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        let plain = self.text.iter().position(is_sign);
        let (head, rest) = self.text.split_at(plain.unwrap_or(self.text.len()));
        path.strip_prefix(head)
            .is_some_and(|path| wildmatch(rest, path, true))
    }
}

/// Without trailing spaces, but for one that a backslash quotes.
fn trimmed(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            b' ' => at += 1,
            b'\\' => {
                // As git: a backslash at the very end leaves the line as it is.
                if at + 1 >= line.len() {
                    return line;
                }
                at += 2;
                end = at;
            }
            _ => {
                at += 1;
                end = at;
            }
        }
    }
    line.get(..end).unwrap_or(line)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wild {
    Match,
    No,
    /// No later start can match either.
    Abort,
    /// Nor can one before the next `**`.
    AbortToStars,
}

fn wildmatch(pattern: &[u8], text: &[u8], paths: bool) -> bool {
    let mut fuel = FUEL;
    Matcher {
        pattern,
        text,
        paths,
    }
    .run(0, 0, &mut fuel)
        == Wild::Match
}

struct Matcher<'a> {
    pattern: &'a [u8],
    text: &'a [u8],
    /// Whether a slash is only matched by a slash or `**`.
    paths: bool,
}

impl Matcher<'_> {
    /// The pattern's byte, 0 behind its end, as C has it.
    fn p(&self, at: usize) -> u8 {
        self.pattern.get(at).copied().unwrap_or(0)
    }

    fn t(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn slash_from(&self, at: usize) -> Option<usize> {
        let rest = self.text.get(at..)?;
        rest.iter().position(|b| *b == b'/').map(|i| at + i)
    }

    fn run(&self, mut p: usize, mut t: usize, fuel: &mut u32) -> Wild {
        while self.p(p) != 0 {
            if *fuel == 0 {
                return Wild::Abort;
            }
            *fuel -= 1;
            let byte = self.t(t);
            if byte == 0 && self.p(p) != b'*' {
                return Wild::Abort;
            }
            match self.p(p) {
                b'?' if self.paths && byte == b'/' => return Wild::No,
                b'?' => {}
                b'*' => match self.star(p, t, fuel) {
                    Ok(next) => (p, t) = next,
                    Err(outcome) => return outcome,
                },
                b'[' => match self.class(p, byte) {
                    Some((end, true)) if !(self.paths && byte == b'/') => p = end,
                    Some(_) => return Wild::No,
                    None => return Wild::Abort,
                },
                literal => {
                    let wanted = if literal == b'\\' {
                        p += 1;
                        self.p(p)
                    } else {
                        literal
                    };
                    if wanted != byte {
                        return Wild::No;
                    }
                }
            }
            p += 1;
            t += 1;
        }
        if self.t(t) == 0 {
            Wild::Match
        } else {
            Wild::No
        }
    }

    /// One or more stars at `p`: where to go on (before the step), or how it ended.
    fn star(&self, mut p: usize, mut t: usize, fuel: &mut u32) -> Result<(usize, usize), Wild> {
        let first = p;
        p += 1;
        let mut over_slashes = !self.paths;
        if self.p(p) == b'*' {
            while self.p(p) == b'*' {
                p += 1;
            }
            let alone_before = first == 0 || self.p(first - 1) == b'/';
            let alone_after = matches!((self.p(p), self.p(p + 1)), (0 | b'/', _) | (b'\\', b'/'));
            if self.paths && alone_before && alone_after {
                if self.p(p) == b'/' && self.run(p + 1, t, fuel) == Wild::Match {
                    return Err(Wild::Match);
                }
                over_slashes = true;
            }
        }
        if self.p(p) == 0 {
            let ok = over_slashes || self.slash_from(t).is_none();
            return Err(if ok { Wild::Match } else { Wild::No });
        }
        if !over_slashes && self.p(p) == b'/' {
            // One star and a slash: exactly the rest of this part.
            return self.slash_from(t).map(|slash| (p, slash)).ok_or(Wild::No);
        }
        while self.t(t) != 0 {
            match self.run(p, t, fuel) {
                Wild::No if !over_slashes && self.t(t) == b'/' => return Err(Wild::AbortToStars),
                Wild::No => {}
                Wild::AbortToStars if over_slashes => {}
                outcome => return Err(outcome),
            }
            t += 1;
        }
        Err(Wild::Abort)
    }

    /// The bracket at `p`: where it ends and whether it takes `byte`; `None` when it is malformed.
    fn class(&self, mut p: usize, byte: u8) -> Option<(usize, bool)> {
        p += 1;
        let negated = matches!(self.p(p), b'!' | b'^');
        if negated {
            p += 1;
        }
        let mut found = false;
        let mut previous = 0;
        loop {
            let mut here = self.p(p);
            match here {
                0 => return None,
                b'\\' => {
                    p += 1;
                    here = self.p(p);
                    if here == 0 {
                        return None;
                    }
                    found |= byte == here;
                }
                b'-' if previous != 0 && !matches!(self.p(p + 1), 0 | b']') => {
                    p += 1;
                    if self.p(p) == b'\\' {
                        p += 1;
                    }
                    if self.p(p) == 0 {
                        return None;
                    }
                    found |= (previous..=self.p(p)).contains(&byte);
                    here = 0;
                }
                b'[' if self.p(p + 1) == b':' => {
                    let start = p + 2;
                    let mut end = start;
                    while !matches!(self.p(end), 0 | b']') {
                        end += 1;
                    }
                    if self.p(end) == 0 {
                        return None;
                    }
                    if end > start && self.p(end - 1) == b':' {
                        found |= named_class(self.pattern.get(start..end - 1)?, byte)?;
                        p = end;
                        here = 0;
                    } else {
                        found |= byte == b'[';
                    }
                }
                _ => found |= byte == here,
            }
            previous = here;
            p += 1;
            if self.p(p) == b']' {
                return Some((p, found != negated));
            }
        }
    }
}

fn named_class(name: &[u8], byte: u8) -> Option<bool> {
    Some(match name {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => matches!(byte, b' '..=b'~'),
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => return None,
    })
}

/// What a well-known tool leaves behind.
struct Dropping {
    /// The name, or with a leading `*` its end.
    name: &'static str,
    folder: bool,
    /// For names that people use for source as well: only beside one of these.
    beside: &'static [&'static str],
}

const fn folder(name: &'static str) -> Dropping {
    Dropping {
        name,
        folder: true,
        beside: &[],
    }
}

const fn file(name: &'static str) -> Dropping {
    Dropping {
        name,
        folder: false,
        beside: &[],
    }
}

const fn folder_beside(name: &'static str, beside: &'static [&'static str]) -> Dropping {
    Dropping {
        name,
        folder: true,
        beside,
    }
}

/// The one list. An entry is left out where the base commit tracks nothing at that path.
const DROPPINGS: [Dropping; 37] = [
    // Python
    folder("__pycache__"),
    file("*.pyc"),
    file("*.pyo"),
    folder(".pytest_cache"),
    folder(".mypy_cache"),
    folder(".ruff_cache"),
    folder(".hypothesis"),
    folder(".tox"),
    folder(".nox"),
    folder(".venv"),
    folder(".eggs"),
    folder("*.egg-info"),
    file(".coverage"),
    folder_beside("venv", &["pyproject.toml", "setup.py", "requirements.txt"]),
    folder_beside(
        "build",
        &[
            "setup.py",
            "pyproject.toml",
            "build.gradle",
            "build.gradle.kts",
            "CMakeLists.txt",
        ],
    ),
    folder_beside("dist", &["setup.py", "pyproject.toml"]),
    // JavaScript
    folder("node_modules"),
    folder(".nyc_output"),
    folder(".parcel-cache"),
    folder(".turbo"),
    // Rust, Java and other JVM languages
    folder_beside(
        "target",
        &["Cargo.toml", "pom.xml", "build.sbt", "project.clj"],
    ),
    folder(".gradle"),
    folder(".kotlin"),
    folder(".bsp"),
    // Ruby, PHP, Elixir, Erlang, OCaml, Haskell, Dart, Swift, Zig
    folder(".bundle"),
    file(".phpunit.result.cache"),
    folder_beside("_build", &["mix.exs", "rebar.config", "dune-project"]),
    folder_beside("deps", &["mix.exs"]),
    folder(".stack-work"),
    folder("dist-newstyle"),
    folder(".dart_tool"),
    folder_beside(".build", &["Package.swift"]),
    folder(".zig-cache"),
    folder("zig-out"),
    // C, editors, systems
    folder("CMakeFiles"),
    file("*.swp"),
    file(".DS_Store"),
];

/// Whether an untracked entry is a dropping; `beside` tells whether the folder holds a name.
pub(super) fn is_dropping(name: &[u8], is_folder: bool, beside: &dyn Fn(&[u8]) -> bool) -> bool {
    DROPPINGS.iter().any(|dropping| {
        let fits = match dropping.name.strip_prefix('*') {
            Some(end) => name.len() > end.len() && name.ends_with(end.as_bytes()),
            None => name == dropping.name.as_bytes(),
        };
        let placed =
            dropping.beside.is_empty() || dropping.beside.iter().any(|n| beside(n.as_bytes()));
        fits && dropping.folder == is_folder && placed
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    /// What `git check-ignore` says about each path, in a repository with these rules at the root and in `d`.
    fn git_says(root: &[u8], d: &[u8], paths: &[String]) -> Vec<bool> {
        let dir = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            command
                .current_dir(dir.path())
                .args(args)
                .env("GIT_CONFIG_GLOBAL", "/dev/null");
            command
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("HOME", "/nonexistent");
            command
        };
        assert!(git(&["init", "-q"]).status().unwrap().success());
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join(".gitignore"), root).unwrap();
        std::fs::write(dir.path().join("d/.gitignore"), d).unwrap();
        // Folders are made, files are not: a query with a trailing slash would have git look inside.
        for folder in paths.iter().filter(|p| p.ends_with('/')) {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let queries: Vec<_> = paths.iter().map(|p| p.trim_end_matches('/')).collect();
        let mut child = git(&["check-ignore", "--no-index", "-z", "--stdin", "-n", "-v"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = queries.join("\0") + "\0";
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let out = child.wait_with_output().unwrap().stdout;
        let fields: Vec<_> = out.split(|b| *b == 0).collect();
        let said = fields
            .chunks_exact(4)
            .map(|f| !f[2].is_empty() && !f[2].starts_with(b"!"));
        said.collect()
    }

    /// As an import does it: from the root down, and what lies in an ignored folder is ignored.
    fn we_say(root: &[u8], d: &[u8], path: &str) -> bool {
        let is_folder = path.ends_with('/');
        let path = path.trim_end_matches('/');
        let mut rules = Rules::default();
        rules.enter(0, root);
        let ends: Vec<usize> = path
            .match_indices('/')
            .map(|(i, _)| i)
            .chain([path.len()])
            .collect();
        for end in ends {
            let part = &path[..end];
            if rules.ignored(part.as_bytes(), end < path.len() || is_folder) {
                return true;
            }
            rules.enter(part.len(), if part == "d" { d } else { b"" });
        }
        false
    }

    fn paths() -> Vec<String> {
        let names = [
            "a", "b", "d", "ab", "a.o", "[a]", "a b", "a ", "\\a", "#a", "!a", "A", "a-b", "d1",
        ];
        let mut all: Vec<String> = names
            .iter()
            .flat_map(|n| [(*n).to_owned(), format!("{n}/")])
            .collect();
        for one in ["a", "d", "ab"] {
            for two in ["a", "b", "a.o", "d"] {
                all.push(format!("{one}/{two}"));
                all.push(format!("{one}/{two}/a"));
                all.push(format!("{one}/b/{two}/"));
            }
        }
        all
    }

    #[test]
    fn the_rules_people_write_mean_what_git_says() {
        for (root, d) in [
            ("*.o\n!a.o\n", ""),
            ("/a\nb/\n", "!b/\n/a.o\n"),
            ("a/**\n!a/b\n", ""),
            ("**/b\n", ""),
            ("d/**/a\n", "a/\n"),
            ("# comment\n\\#a\n\\!a\na\\ \n", "\n"),
            ("a \r\n[[:alpha:]]b\r\n", ""),
            ("\u{feff}ab\n", ""),
            ("[!a]\n", "[a-c]\n"),
            ("d/*\n!d/b\n", ""),
            ("\\[a\\]\na**b\n", ""),
            ("*\n!*/\n!a.o\n", ""),
            ("/*/b\n", "**\n"),
            ("[[:bogus:]]\n[]a]\n[a\n", "?\n"),
            ("a\\\n/\n//\n!\n", ""),
            ("[*d\n", "/\nd**//\n"),
            ("d**/a\n", "a**/b\n"),
        ] {
            compare(root.as_bytes(), d.as_bytes());
        }
    }

    fn compare(root: &[u8], d: &[u8]) {
        // `d` is a folder in any case: it holds rules.
        let (folders, files): (Vec<_>, Vec<_>) = paths()
            .into_iter()
            .filter(|p| p != "d")
            .partition(|p| p.ends_with('/'));
        for paths in [folders, files] {
            let theirs = git_says(root, d, &paths);
            assert_eq!(theirs.len(), paths.len());
            for (path, theirs) in paths.iter().zip(theirs) {
                let (root_text, d_text) =
                    (String::from_utf8_lossy(root), String::from_utf8_lossy(d));
                assert_eq!(
                    we_say(root, d, path),
                    theirs,
                    "{path:?} under {root_text:?} and {d_text:?}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_rules_mean_what_git_says(root in "([!#]?[ab/*?\\[\\]\\\\ d.^-]{1,7}\n){1,4}", d in "([ab/*d!]{1,5}\n){0,2}") {
            compare(root.as_bytes(), d.as_bytes());
        }
    }

    #[test]
    fn a_pattern_made_to_explode_ends() {
        let pattern = b"**/a*a*a*a*a*a*a*/".repeat(40);
        let mut rules = Rules::default();
        rules.enter(0, &pattern);
        let text = b"aaaaaaaaaaaaaaaaaaaaaaaaaaaa/".repeat(100);
        let start = std::time::Instant::now();
        assert!(!rules.ignored(&text, true));
        assert!(start.elapsed().as_secs() < 2);
    }

    #[test]
    fn a_name_that_may_be_source_is_a_dropping_only_beside_its_tool() {
        let beside = |names: &'static [&'static str]| {
            move |n: &[u8]| names.iter().any(|x| x.as_bytes() == n)
        };
        assert!(is_dropping(b"target", true, &beside(&["Cargo.toml"])));
        assert!(!is_dropping(b"target", true, &beside(&["main.c"])));
        assert!(!is_dropping(b"target", false, &beside(&["Cargo.toml"])));
        assert!(is_dropping(b"x.pyc", false, &beside(&[])));
        assert!(!is_dropping(b".pyc", false, &beside(&[])));
        assert!(is_dropping(b"pkg.egg-info", true, &beside(&[])));
    }
}
