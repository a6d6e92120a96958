//! Why a check shows less than its colour says.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::super::ident::RepoPath;
use super::super::text;

/// Paths told by name.
const SHOWN: usize = 3;

/// Why one run of a check shows less than it seems.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "doubt")]
pub enum Doubt {
    /// What it printed says that there was no test to run.
    NoTests,
    /// It did not run on the commit as it is: set-up or an earlier check had changed files of it.
    Changed {
        /// Which, sorted; the first 100.
        paths: Vec<RepoPath>,
    },
    /// Whether it ran on the commit as it is could not be found out.
    Uncompared,
}

impl Doubt {
    /// In words, as Markdown for one table cell: `it ran no tests`.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::NoTests => "it ran no tests".to_owned(),
            Self::Changed { paths } => {
                let name = |path: &RepoPath| text::code(&text::clip(&path.lossy(), 80));
                let named: Vec<String> = paths.iter().take(SHOWN).map(name).collect();
                let more = match paths.len().saturating_sub(SHOWN) {
                    0 => String::new(),
                    rest => format!(" and {rest} more"),
                };
                format!(
                    "before it ran, set-up or another check changed {}{more}",
                    named.join(", ")
                )
            }
            Self::Uncompared => {
                "whether another check changed files before it could not be found out".to_owned()
            }
        }
    }
}

/// What is left of a doubt on head beside those on base.
pub(super) fn unusual(doubt: Doubt, habits: &[&Doubt]) -> Option<Doubt> {
    let Doubt::Changed { mut paths } = doubt else {
        return Some(doubt);
    };
    for habit in habits {
        if let Doubt::Changed { paths: usual } = habit {
            paths.retain(|path| !usual.contains(path));
        }
    }
    (!paths.is_empty()).then_some(Doubt::Changed { paths })
}

/// How many tests a runner says that it ran, one form for each: Cargo, unittest, pytest, Node, Maven; Go by package.
static COUNTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let forms = [
        r"running (\d+) tests?$",
        r"Ran (\d+) tests? in ",
        r"=*\s*collected (\d+) items?\b",
        r"(?:#|\u{2139}) tests (\d+)$",
        r"(?:\[\w+\] )?Tests run: (\d+)",
    ];
    Regex::new(&format!(r"^(?:{})", forms.join("|"))).ok()
});

/// Whether the output of a test runner plainly says that it ran no test at all.
#[must_use]
pub fn ran_no_tests(output: &str) -> bool {
    let mut none = false;
    for line in output.lines().map(str::trim) {
        if line.ends_with("[no test files]") || line.ends_with("[no tests to run]") {
            none = true;
            continue;
        }
        // Of Go: a package that has tests.
        if line.starts_with("ok  \t") || line.starts_with("--- FAIL") || line.starts_with("FAIL") {
            return false;
        }
        let counted = COUNTS.as_ref().and_then(|counts| counts.captures(line));
        let number = counted.and_then(|found| {
            let mut groups = found.iter().skip(1);
            groups.find_map(|group| {
                group.map(|count| count.as_str().trim_start_matches('0').is_empty())
            })
        });
        match number {
            Some(true) => none = true,
            Some(false) => return false,
            None => {}
        }
    }
    none
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_of_itself_that_it_ran_no_test_is_believed() {
        for (output, none) in [
            (
                "?   \texample.org/a\t[no test files]\n?   \texample.org/b\t[no test files]\n",
                true,
            ),
            ("ok  \texample.org/a\t0.002s [no tests to run]\n", true),
            (
                "?   \texample.org/a\t[no test files]\nok  \texample.org/b\t0.002s\n",
                false,
            ),
            (
                "?   \texample.org/a\t[no test files]\nFAIL\texample.org/b [build failed]\n",
                false,
            ),
            (
                "running 0 tests\n\ntest result: ok. 0 passed\n\nrunning 0 tests\n",
                true,
            ),
            ("running 0 tests\n\nrunning 1 test\n", false),
            ("Ran 0 tests in 0.000s\n\nNO TESTS RAN\n", true),
            ("Ran 10 tests in 0.000s\n\nOK\n", false),
            ("collected 0 items\n\n=== no tests ran in 0.01s ===\n", true),
            ("collected 20 items\n", false),
            ("# tests 0\n# pass 0\n", true),
            ("[INFO] Tests run: 0, Failures: 0\n", true),
            ("[INFO] Tests run: 7, Failures: 0\n", false),
            ("compiling\n", false),
            ("", false),
        ] {
            assert_eq!(ran_no_tests(output), none, "{output:?}");
        }
    }

    #[test]
    fn a_doubt_is_told_in_words() {
        let paths = ["a", "b|", "c`", "d"].map(RepoPath::from).to_vec();
        insta::assert_snapshot!(Doubt::Changed { paths: paths.clone() }.told(), @"before it ran, set-up or another check changed `a`, <code>b&#124;</code>, `` c` `` and 1 more");
        insta::assert_snapshot!(Doubt::NoTests.told(), @"it ran no tests");
        insta::assert_snapshot!(Doubt::Uncompared.told(), @"whether another check changed files before it could not be found out");
        let usual = Doubt::Changed {
            paths: vec!["a".into(), "b|".into()],
        };
        let left = unusual(Doubt::Changed { paths }, &[&usual]);
        assert_eq!(
            left,
            Some(Doubt::Changed {
                paths: vec!["c`".into(), "d".into()]
            })
        );
        assert_eq!(unusual(usual.clone(), &[&usual]), None);
        assert_eq!(
            unusual(Doubt::NoTests, &[&Doubt::NoTests]),
            Some(Doubt::NoTests)
        );
    }
}
