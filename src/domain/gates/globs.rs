//! Patterns over repository paths: one rule for scope, checks and briefs.
//!
//! `*` and `?` stay within one part, `**` crosses parts, `[…]` and `{a,b}` work, case
//! matters, and paths are matched as bytes. A pattern whose last part is plain also covers
//! everything below it: `src/cli` and `src/cli/` mean that folder, as `src/cli/**` does.

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

use super::super::ident::RepoPath;

/// Longest pattern, in bytes.
const PATTERN_CAP: usize = 400;
/// Most patterns in one list.
const PATTERNS_CAP: usize = 500;

/// A list of patterns, compiled once.
#[derive(Clone, Debug)]
pub struct Globs {
    set: GlobSet,
    /// The pattern as written, for each glob of the set.
    written: Vec<String>,
}

/// A pattern that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{pattern}` is not a pattern for paths: {why}")]
pub struct BadGlob {
    /// As written, cut to a length that can be shown.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

impl Globs {
    /// Compiles a list; the first pattern that cannot be used is the error.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, BadGlob> {
        let mut builder = GlobSetBuilder::new();
        let mut written = Vec::new();
        if patterns.len() > PATTERNS_CAP {
            return Err(BadGlob {
                pattern: "…".to_owned(),
                why: format!("the list holds more than {PATTERNS_CAP}"),
            });
        }
        for pattern in patterns.iter().map(AsRef::as_ref) {
            let bad = |why: String| BadGlob {
                pattern: pattern.chars().take(80).collect(),
                why,
            };
            if pattern.len() > PATTERN_CAP {
                return Err(bad(format!("it is longer than {PATTERN_CAP} bytes")));
            }
            for form in forms(pattern) {
                let glob = GlobBuilder::new(&form)
                    .literal_separator(true)
                    .build()
                    .map_err(|error| bad(error.kind().to_string()))?;
                builder.add(glob);
                written.push(pattern.to_owned());
            }
        }
        let set = builder.build().map_err(|error| BadGlob {
            pattern: "…".to_owned(),
            why: error.kind().to_string(),
        })?;
        Ok(Self { set, written })
    }

    /// Whether any pattern covers the path.
    #[must_use]
    pub fn is_match(&self, path: &RepoPath) -> bool {
        self.set.is_match_candidate(&candidate(path.as_bytes()))
    }

    /// The first pattern, as written, that covers the path.
    #[must_use]
    pub fn first(&self, path: &RepoPath) -> Option<&str> {
        self.first_of_bytes(path.as_bytes())
    }

    /// The first pattern that covers the path as a folder: what it would say of a file in it.
    ///
    /// For links: one named `.github` stands for all that `.github/**` covers.
    #[must_use]
    pub fn first_within(&self, path: &RepoPath) -> Option<&str> {
        let mut inside = path.as_bytes().to_vec();
        inside.extend_from_slice(b"/_");
        self.first_of_bytes(&inside)
    }

    fn first_of_bytes(&self, path: &[u8]) -> Option<&str> {
        let hits = self.set.matches_candidate(&candidate(path));
        let first = hits.into_iter().min()?;
        self.written.get(first).map(String::as_str)
    }
}

fn candidate(path: &[u8]) -> Candidate<'_> {
    use std::os::unix::ffi::OsStrExt as _;
    Candidate::new(std::ffi::OsStr::from_bytes(path))
}

/// The globs that one written pattern stands for.
fn forms(pattern: &str) -> Vec<String> {
    let rooted = pattern.trim_start_matches("./").trim_start_matches('/');
    let folder = rooted.trim_end_matches('/');
    let last = folder.rsplit('/').next().unwrap_or(folder);
    let plain = !last.contains(['*', '?', '[', ']', '{', '}', '\\']);
    match (folder.is_empty(), rooted.len() > folder.len(), plain) {
        (true, _, _) => vec!["**".to_owned()],
        (false, true, _) => vec![format!("{folder}/**")],
        (false, false, true) => vec![folder.to_owned(), format!("{folder}/**")],
        (false, false, false) => vec![folder.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, path: &str) -> bool {
        Globs::new(&[pattern]).unwrap().is_match(&path.into())
    }

    #[test]
    fn a_star_does_not_cross_a_slash() {
        assert!(hit("src/*", "src/a.rs"));
        assert!(!hit("src/*", "src/a/b.rs"));
        assert!(!hit("src/*.rs", "src/a/b.rs"));
        assert!(hit("src/**", "src/a/b.rs"));
        assert!(hit("**/auth/**", "auth/x"));
        assert!(hit("**/auth/**", "a/b/auth/c/x"));
        assert!(hit("LICENSE*", "LICENSE-MIT"));
        assert!(!hit("LICENSE*", "a/LICENSE"));
        assert!(hit(".*/**", ".husky/pre-commit"));
        assert!(!hit(".*/**", "a/.husky/pre-commit"));
    }

    #[test]
    fn a_plain_pattern_covers_the_folder_of_that_name() {
        for pattern in ["src/cli", "src/cli/", "./src/cli", "/src/cli"] {
            assert!(hit(pattern, "src/cli/deep/x"), "{pattern}");
            assert!(!hit(pattern, "src/client"), "{pattern}");
        }
        assert!(hit("AGENTS.md", "AGENTS.md"));
    }

    #[test]
    fn case_matters() {
        assert!(!hit("README.md", "readme.md"));
    }

    #[test]
    fn a_path_that_is_not_utf8_is_matched_by_its_bytes() {
        let globs = Globs::new(&["secret/*.txt"]).unwrap();
        assert!(globs.is_match(&RepoPath::new(b"secret/\xff\xfe.txt".to_vec())));
        assert!(!globs.is_match(&RepoPath::new(b"other/\xff.txt".to_vec())));
    }

    #[test]
    fn a_link_is_matched_as_the_folder_it_stands_for() {
        let globs = Globs::new(&["x/**", ".github/**"]).unwrap();
        assert_eq!(globs.first(&".github".into()), None);
        assert_eq!(globs.first_within(&".github".into()), Some(".github/**"));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let error = Globs::new(&["ok", "a[b"]).unwrap_err().to_string();
        insta::assert_snapshot!(error, @"`a[b` is not a pattern for paths: unclosed character class; missing ']'");
        assert!(Globs::new(&["x".repeat(5000)]).is_err());
        assert!(Globs::new(&vec!["x"; 5000]).is_err());
    }
}
