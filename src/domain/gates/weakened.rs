//! Tests removed or weakened: what a change takes away from the proof that the code works.

use std::collections::{BTreeMap, HashMap};

use super::super::ident::RepoPath;
use super::super::settings::GatePolicy;
use super::languages::{self, Language};
use super::{Change, Finding, Gate, show};

/// One test, from its first line to the next test.
#[derive(Clone, Debug)]
struct Test {
    line: u32,
    assertions: u32,
}

/// What a file holds in tests.
#[derive(Default)]
struct Suite {
    /// By name; a name that is used again has a number after it.
    tests: BTreeMap<String, Test>,
    /// Assertions outside any test, in files that belong to tests.
    loose: u32,
    /// Lines that skip, with their text.
    skips: Vec<(u32, String)>,
}

/// What a change did to one file, read on both sides.
struct Sides<'a> {
    change: &'a Change,
    language: Option<&'static Language>,
    old: Suite,
    new: Suite,
}

/// `[scope] tests_removed` over the whole change: a test that moved to another file is not gone.
pub(super) fn judge(changes: &[&Change], policy: GatePolicy) -> Vec<Finding> {
    let Some(outcome) = policy.outcome() else {
        return Vec::new();
    };
    let sides: Vec<Sides<'_>> = changes.iter().map(|change| read(change)).collect();
    let mut moved = Moved::new(&sides);
    let mut found = Vec::new();
    for side in &sides {
        let path = &side.change.path;
        let mut say = |line: Option<u32>, what: String| {
            found.push(Finding {
                gate: Gate::Tests,
                outcome,
                path: Some(path.clone()),
                line,
                reason: format!("{what} (`[scope] tests_removed` = {})", policy.word()),
            });
        };
        match side.language {
            Some(_) => compare(side, &mut moved, &mut say),
            None => by_lines(side.change, &mut moved, &mut say),
        }
    }
    found
}

/// What appeared somewhere in the change and may be what vanished elsewhere; each is used once.
struct Moved {
    /// Tests that are new in a file, with their assertions.
    tests: HashMap<(&'static str, String), Vec<u32>>,
    /// Skips that vanished from a file.
    skips: HashMap<String, u32>,
    /// Whole contents of added test files.
    contents: HashMap<Vec<u8>, u32>,
}

impl Moved {
    fn new(sides: &[Sides<'_>]) -> Self {
        let mut moved = Self {
            tests: HashMap::new(),
            skips: HashMap::new(),
            contents: HashMap::new(),
        };
        for side in sides {
            if let Some(language) = side.language {
                for (name, test) in &side.new.tests {
                    if !side.old.tests.contains_key(name) {
                        let key = (language.name, name.clone());
                        moved.tests.entry(key).or_default().push(test.assertions);
                    }
                }
                for text in surplus(&side.old.skips, &side.new.skips) {
                    *moved.skips.entry(text.1).or_default() += 1;
                }
            }
            if side.change.old.is_none()
                && languages::is_test_path(&side.change.path)
                && let Some(content) = side.change.new_content()
            {
                *moved.contents.entry(content.to_vec()).or_default() += 1;
            }
        }
        moved
    }

    fn take_test(&mut self, language: &'static str, name: &str) -> Option<u32> {
        self.tests.get_mut(&(language, name.to_owned()))?.pop()
    }

    fn take(counts: Option<&mut u32>) -> bool {
        match counts {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

/// Skips of `left` that `right` does not hold as often.
fn surplus(left: &[(u32, String)], right: &[(u32, String)]) -> Vec<(u32, String)> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for (_, text) in right {
        *counts.entry(text).or_default() += 1;
    }
    left.iter()
        .filter(|(_, text)| !Moved::take(counts.get_mut(text.as_str())))
        .cloned()
        .collect()
}

fn read<'a>(change: &'a Change) -> Sides<'a> {
    let old = change.old_content().map(String::from_utf8_lossy);
    let new = change.new_content().map(String::from_utf8_lossy);
    let is_file =
        |entry: &Option<super::Entry>| entry.as_ref().is_some_and(|entry| entry.kind.is_file());
    let readable = !change.binary && (is_file(&change.old) || is_file(&change.new));
    let language =
        languages::of(&change.path, old.as_deref().or(new.as_deref())).filter(|language| {
            readable && (language.anywhere || languages::is_test_path(&change.path))
        });
    let suite = |entry: &Option<super::Entry>, text: Option<&str>| match (language, text) {
        (Some(language), Some(text)) if is_file(entry) => suite(language, &change.path, text),
        _ => Suite::default(),
    };
    Sides {
        change,
        language,
        old: suite(&change.old, old.as_deref()),
        new: suite(&change.new, new.as_deref()),
    }
}

/// Reads what a text holds in tests.
fn suite(language: &Language, path: &RepoPath, text: &str) -> Suite {
    let code = language.without_comments(text);
    let line_at = |at: usize| -> u32 {
        let before = code.get(..at).unwrap_or(&code);
        u32::try_from(before.matches('\n').count())
            .map_or(u32::MAX, |lines| lines.saturating_add(1))
    };
    // Where each test begins, by line, so that every assertion falls into the test above it.
    let starts: Vec<(u32, String)> = language
        .test
        .captures_iter(&code)
        .filter_map(|found| {
            let whole = found.get(0)?;
            let name = found.iter().skip(1).flatten().next()?;
            let indent = whole.as_str().len() - whole.as_str().trim_start().len();
            Some((line_at(whole.start() + indent), name.as_str().to_owned()))
        })
        .collect();
    let mut suite = Suite::default();
    let mut names: Vec<String> = Vec::with_capacity(starts.len());
    for (line, name) in &starts {
        let mut unique = name.clone();
        let mut number = 1;
        while suite.tests.contains_key(&unique) {
            number += 1;
            unique = format!("{name} ({number})");
        }
        suite.tests.insert(
            unique.clone(),
            Test {
                line: *line,
                assertions: 0,
            },
        );
        names.push(unique);
    }
    let in_tests = languages::is_test_path(path) || !starts.is_empty();
    let mut current = 0;
    for (number, line) in (1u32..).zip(code.lines()) {
        while starts
            .get(current)
            .is_some_and(|(start, _)| *start <= number)
        {
            current += 1;
        }
        let vain = language
            .vain
            .as_ref()
            .map_or(0, |vain| vain.find_iter(line).count());
        let all = language.assertion.find_iter(line).count();
        let assertions = u32::try_from(all.saturating_sub(vain)).unwrap_or(u32::MAX);
        let test = current.checked_sub(1).and_then(|at| names.get(at));
        match test.and_then(|name| suite.tests.get_mut(name)) {
            Some(test) => test.assertions = test.assertions.saturating_add(assertions),
            // Before the first test of a program file an assertion belongs to the program.
            None if languages::is_test_path(path) => {
                suite.loose = suite.loose.saturating_add(assertions);
            }
            None => {}
        }
        if in_tests && language.skip.is_match(line) {
            suite.skips.push((number, line.trim().to_owned()));
        }
    }
    suite
}

/// Both sides of a file in a known language.
fn compare(side: &Sides<'_>, moved: &mut Moved, say: &mut impl FnMut(Option<u32>, String)) {
    let language = side.language.map_or("", |language| language.name);
    let path = show::path(&side.change.path);
    let vanished = side
        .change
        .new
        .as_ref()
        .is_none_or(|new| !new.kind.is_file());
    let mut gone = Vec::new();
    for (name, test) in &side.old.tests {
        let left = match side.new.tests.get(name) {
            Some(now) => Some(now.assertions),
            None => moved.take_test(language, name),
        };
        let shown = show::bytes(name.as_bytes());
        match left {
            None => gone.push((test.line, shown)),
            Some(now) if now < test.assertions => say(
                Some(test.line),
                format!(
                    "test {shown} had {} assertions and has {now}",
                    test.assertions
                ),
            ),
            Some(_) => {}
        }
    }
    let is_test = languages::is_test_path(&side.change.path);
    if vanished && (!gone.is_empty() || (is_test && side.old.tests.is_empty())) {
        let same = side
            .change
            .old_content()
            .is_some_and(|content| Moved::take(moved.contents.get_mut(content)));
        if !same {
            let tests = match gone.len() {
                0 => String::new(),
                some => format!(" with {some} test(s)"),
            };
            say(None, format!("test file {path}{tests} is deleted"));
        }
    } else {
        for (line, name) in gone {
            say(Some(line), format!("test {name} is gone"));
        }
        if !vanished && side.new.loose < side.old.loose {
            say(
                None,
                format!(
                    "{path} had {} assertions outside its tests and has {}",
                    side.old.loose, side.new.loose
                ),
            );
        }
    }
    for (line, text) in surplus(&side.new.skips, &side.old.skips) {
        if !Moved::take(moved.skips.get_mut(&text)) {
            let shown = show::bytes(text.as_bytes());
            say(
                Some(line),
                format!("a test is skipped or need not pass: {shown}"),
            );
        }
    }
}

/// A file under a test path in no known language.
fn by_lines(change: &Change, moved: &mut Moved, say: &mut impl FnMut(Option<u32>, String)) {
    if change.old.is_none() || !languages::is_test_path(&change.path) {
        return;
    }
    let path = show::path(&change.path);
    if change.new.is_none() {
        let same = change
            .old_content()
            .is_some_and(|content| Moved::take(moved.contents.get_mut(content)));
        if !same {
            say(None, format!("{path}, which belongs to tests, is deleted"));
        }
    } else if change.removed > change.added {
        let lost = change.removed - change.added;
        say(
            None,
            format!("{path}, which belongs to tests, has {lost} lines fewer"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, EntryKind, Outcome};
    use super::*;

    fn change(path: &str, old: &str, new: &str) -> Change {
        let entry = |content: &str| {
            (!content.is_empty()).then(|| Entry {
                kind: EntryKind::File,
                size: content.len() as u64,
                content: Some(content.as_bytes().to_vec()),
            })
        };
        let lines = |text: &str| u32::try_from(text.lines().count()).unwrap();
        Change {
            path: path.into(),
            old: entry(old),
            new: entry(new),
            added: lines(new),
            removed: lines(old),
            binary: false,
        }
    }

    fn all(changes: &[Change]) -> Vec<String> {
        let changes: Vec<&Change> = changes.iter().collect();
        let found = judge(&changes, GatePolicy::Approve);
        assert!(
            found
                .iter()
                .all(|f| f.outcome == Outcome::Ask && f.gate == Gate::Tests)
        );
        let line = |f: &Finding| f.line.map(|line| format!("{line}: ")).unwrap_or_default();
        let bare = |f: &Finding| f.reason.replace(" (`[scope] tests_removed` = approve)", "");
        found
            .iter()
            .map(|f| format!("{}{}", line(f), bare(f)))
            .collect()
    }

    fn one(path: &str, old: &str, new: &str) -> String {
        all(&[change(path, old, new)]).join("; ")
    }

    /// By language: a file, a whole test, one with less in it, one that is skipped.
    const LANGUAGES: &[(&str, &str, &str, &str)] = &[
        (
            "src/x.rs",
            "#[test]\nfn a() {\n    assert_eq!(f(), 1);\n    assert!(g());\n}\n",
            "#[test]\nfn a() {\n    assert_eq!(f(), 1);\n    assert!(true);\n}\n",
            "#[test]\n#[ignore]\nfn a() {\n    assert_eq!(f(), 1);\n    assert!(g());\n}\n",
        ),
        (
            "tests/test_x.py",
            "def test_a():\n    assert f() == 1\n    assert g()\n",
            "def test_a():\n    assert f() == 1\n    # assert g()\n",
            "@pytest.mark.skip(reason='x')\ndef test_a():\n    assert f() == 1\n    assert g()\n",
        ),
        (
            "tests/test_y.py",
            "class T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(), 1)\n",
            "class T(unittest.TestCase):\n    def test_a(self):\n        self.assertTrue(True)\n",
            "class T(unittest.TestCase):\n    @unittest.skip('x')\n    def test_a(self):\n        self.assertEqual(f(), 1)\n",
        ),
        (
            "src/x.test.ts",
            "it('a', () => {\n  expect(f()).toBe(1);\n});\n",
            "it('a', () => {\n  expect(true).toBe(true);\n});\n",
            "it.skip('a', () => {\n  expect(f()).toBe(1);\n});\n",
        ),
        (
            "x_test.go",
            "func TestA(t *testing.T) {\n\tif f() != 1 {\n\t\tt.Fatal(f())\n\t}\n}\n",
            "func TestA(t *testing.T) {\n\tf()\n}\n",
            "func TestA(t *testing.T) {\n\tt.Skip()\n\tif f() != 1 {\n\t\tt.Fatal(f())\n\t}\n}\n",
        ),
        (
            "src/test/XTest.java",
            "  @Test\n  public void a() {\n    assertEquals(1, f());\n  }\n",
            "  @Test\n  public void a() {\n    f();\n  }\n",
            "  @Disabled\n  @Test\n  public void a() {\n    assertEquals(1, f());\n  }\n",
        ),
        (
            "src/test/XTest.kt",
            "  @Test\n  fun `a b`() {\n    assertEquals(1, f())\n  }\n",
            "  @Test\n  fun `a b`() {\n  }\n",
            "  @Ignore(\"x\")\n  @Test\n  fun `a b`() {\n    assertEquals(1, f())\n  }\n",
        ),
        (
            "spec/x_spec.rb",
            "it \"a\" do\n  expect(f).to eq 1\nend\n",
            "it \"a\" do\n  f\nend\n",
            "it \"a\" do\n  pending\n  expect(f).to eq 1\nend\n",
        ),
        (
            "x_test.cc",
            "TEST(X, A) {\n  EXPECT_EQ(f(), 1);\n}\n",
            "TEST(X, A) {\n  f();\n}\n",
            "TEST(X, A) {\n  GTEST_SKIP();\n  EXPECT_EQ(f(), 1);\n}\n",
        ),
        (
            "XTests.cs",
            "  [Fact]\n  public void A()\n  {\n    Assert.Equal(1, F());\n  }\n",
            "  [Fact]\n  public void A()\n  {\n  }\n",
            "  [Fact]\n  [Ignore]\n  public void A()\n  {\n    Assert.Equal(1, F());\n  }\n",
        ),
        (
            "tests/XTest.php",
            "  public function testA() {\n    $this->assertSame(1, f());\n  }\n",
            "  public function testA() {\n  }\n",
            "  public function testA() {\n    $this->markTestSkipped();\n    $this->assertSame(1, f());\n  }\n",
        ),
        (
            "test/x_test.exs",
            "test \"a\" do\n  assert f() == 1\nend\n",
            "test \"a\" do\n  f()\nend\n",
            "@tag :skip\ntest \"a\" do\n  assert f() == 1\nend\n",
        ),
        (
            "Tests/XTests.swift",
            "  func testA() {\n    XCTAssertEqual(f(), 1)\n  }\n",
            "  func testA() {\n  }\n",
            "  func testA() throws {\n    throw XCTSkip()\n    XCTAssertEqual(f(), 1)\n  }\n",
        ),
        (
            "tests/run.bats",
            "@test \"a\" {\n  run f\n  [ \"$status\" -eq 1 ]\n}\n",
            "@test \"a\" {\n  run f\n}\n",
            "@test \"a\" {\n  skip\n  run f\n  [ \"$status\" -eq 1 ]\n}\n",
        ),
    ];

    #[test]
    fn a_test_that_is_gone_is_told_in_every_language() {
        for (path, whole, _, _) in LANGUAGES {
            let told = one(path, whole, "\n");
            assert!(
                told.contains("is gone") && told.contains("test `"),
                "{path}: {told}"
            );
        }
    }

    #[test]
    fn assertions_that_are_gone_or_vain_are_told_in_every_language() {
        for (path, whole, weaker, _) in LANGUAGES {
            let told = one(path, whole, weaker);
            assert!(told.contains("assertions and has"), "{path}: {told}");
        }
    }

    #[test]
    fn an_added_skip_is_told_in_every_language() {
        for (path, whole, _, skipped) in LANGUAGES {
            let told = one(path, whole, skipped);
            assert!(told.contains("is skipped"), "{path}: {told}");
            assert!(
                !told.contains("gone") && !told.contains("assertions"),
                "{path}: {told}"
            );
        }
    }

    #[test]
    fn a_deleted_test_file_is_told_in_every_language() {
        for (path, whole, _, _) in LANGUAGES {
            let told = one(path, whole, "");
            assert!(told.contains("with 1 test(s) is deleted"), "{path}: {told}");
        }
    }

    #[test]
    fn what_stays_or_grows_is_not_told() {
        for (path, whole, weaker, skipped) in LANGUAGES {
            for (old, new) in [(whole, whole), (weaker, whole), (skipped, whole)] {
                assert_eq!(one(path, old, new), "", "{path}");
            }
            assert_eq!(one(path, "", whole), "", "{path}");
        }
    }

    #[test]
    fn a_test_moved_to_another_file_is_not_gone_but_one_weakened_on_the_way_is() {
        for (path, whole, weaker, _) in LANGUAGES {
            let other = format!("tests/moved/{}", path.rsplit('/').next().unwrap());
            assert_eq!(
                all(&[change(path, whole, ""), change(&other, "", whole)]),
                [""; 0],
                "{path}"
            );
            assert_eq!(
                all(&[change(path, whole, "\n"), change(&other, "\n", whole)]),
                [""; 0],
                "{path}"
            );
            let told = all(&[change(path, whole, ""), change(&other, "", weaker)]).join("; ");
            assert!(told.contains("assertions and has"), "{path}: {told}");
        }
    }

    #[test]
    fn a_test_file_renamed_to_something_that_no_runner_takes_is_deleted() {
        let (_, python, _, _) = LANGUAGES[1];
        let told = all(&[
            change("tests/test_x.py", python, ""),
            change("src/x.txt", "", python),
        ]);
        assert_eq!(
            told,
            ["test file `tests/test_x.py` with 1 test(s) is deleted"]
        );
    }

    #[test]
    fn a_commented_out_test_is_gone() {
        let (path, whole, _, _) = LANGUAGES[0];
        let commented = whole
            .lines()
            .map(|line| format!("// {line}\n"))
            .collect::<String>();
        assert_eq!(one(path, whole, &commented), "1: test `a` is gone");
        assert_eq!(
            one(path, whole, &format!("/*\n{whole}*/\n")),
            "1: test `a` is gone"
        );
    }

    #[test]
    fn assertions_of_a_plain_shell_script_count() {
        let old = "#!/bin/sh\nset -e\nout=$(./greet)\n[ \"$out\" = hi ] || exit 1\n";
        assert_eq!(
            one("test.sh", old, "#!/bin/sh\nset -e\nout=$(./greet)\n"),
            "`test.sh` had 3 assertions outside its tests and has 1"
        );
        assert_eq!(
            one(
                "tests/check",
                old,
                &old.replace("set -e\n", "set -e\nexit 0\n")
            ),
            "3: a test is skipped or need not pass: `exit 0`"
        );
        assert_eq!(one("build.sh", old, "#!/bin/sh\n"), "");
    }

    #[test]
    fn an_unknown_file_under_a_test_path_is_judged_by_its_lines() {
        assert_eq!(
            one("tests/data.json", "a\nb\nc\n", "a\n"),
            "`tests/data.json`, which belongs to tests, has 2 lines fewer"
        );
        assert_eq!(
            one("tests/data.json", "a\n", ""),
            "`tests/data.json`, which belongs to tests, is deleted"
        );
        assert_eq!(one("tests/data.json", "a\n", "b\n"), "");
        assert_eq!(one("data/data.json", "a\nb\n", "a\n"), "");
        assert_eq!(
            all(&[
                change("tests/a.json", "a\n", ""),
                change("tests/b.json", "", "a\n")
            ]),
            [""; 0]
        );
    }

    #[test]
    fn assertions_of_a_program_are_no_tests() {
        assert_eq!(
            one("src/x.rs", "fn f() { assert!(x); }\n", "fn f() {}\n"),
            ""
        );
        assert_eq!(
            one("src/x.py", "def test_connection():\n    assert x\n", "\n"),
            ""
        );
    }

    #[test]
    fn a_policy_that_allows_says_nothing_and_one_that_blocks_refuses() {
        let gone = change("src/x.rs", LANGUAGES[0].1, "");
        assert_eq!(judge(&[&gone], GatePolicy::Allow), []);
        let refused = judge(&[&gone], GatePolicy::Block);
        assert!(
            refused
                .iter()
                .all(|finding| finding.outcome == Outcome::Refuse)
                && !refused.is_empty()
        );
    }
}
