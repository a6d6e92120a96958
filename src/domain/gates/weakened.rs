//! Tests removed or weakened: what a change takes away from the proof that the code works.

use std::collections::{HashMap, HashSet};

use super::super::ident::RepoPath;
use super::super::settings::GatePolicy;
use super::languages::{self, Language};
use super::suite::{Kind, Sign, Suite, suite};
use super::{Change, Finding, Gate, runners, show};

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
            Some(language) => compare(side, language, &mut moved, &mut say),
            None => by_lines(side.change, &mut moved, &mut say),
        }
    }
    found
}

/// What appeared somewhere in the change and may be what vanished elsewhere; each is used once.
struct Moved<'a> {
    /// Tests that are new in a file, with their assertions.
    tests: HashMap<(&'static str, &'a str), Vec<(u32, &'a RepoPath)>>,
    /// Skips that vanished from a file.
    signs: HashMap<&'a str, u32>,
    /// Modules and classes of tests that are new in a file.
    homes: HashMap<(&'static str, &'a str), u32>,
    /// Files with these contents that were added.
    contents: HashMap<&'a [u8], Vec<&'a RepoPath>>,
    /// Added Rust files that no module names, so that they are not built.
    orphans: HashSet<&'a RepoPath>,
    /// Names of the modules whose files were removed.
    removed: HashSet<String>,
    /// Languages in which some file lost a test.
    losing: HashSet<&'static str>,
}

impl<'a> Moved<'a> {
    fn new(sides: &'a [Sides<'a>]) -> Self {
        let mut moved = Self {
            tests: HashMap::new(),
            signs: HashMap::new(),
            homes: HashMap::new(),
            contents: HashMap::new(),
            orphans: orphans(sides),
            removed: HashSet::new(),
            losing: HashSet::new(),
        };
        for side in sides {
            let path = &side.change.path;
            if let Some(language) = side.language {
                for (name, test) in &side.new.tests {
                    if !side.old.tests.contains_key(name) {
                        let key = (language.name, name.as_str());
                        moved
                            .tests
                            .entry(key)
                            .or_default()
                            .push((test.assertions, path));
                    }
                }
                for sign in surplus(&side.old.signs, &side.new.signs) {
                    *moved.signs.entry(&sign.text).or_default() += 1;
                }
                for name in side.new.homes.keys() {
                    if !side.old.homes.contains_key(name) {
                        *moved.homes.entry((language.name, name)).or_default() += 1;
                    }
                }
                if side
                    .old
                    .tests
                    .keys()
                    .any(|name| !side.new.tests.contains_key(name))
                {
                    moved.losing.insert(language.name);
                }
            }
            if side.change.old.is_none()
                && let Some(content) = side.change.new_content()
            {
                moved.contents.entry(content).or_default().push(path);
            }
            if side.change.new.is_none() {
                let text = path.lossy();
                let bare = text.strip_suffix("/mod.rs").or(text.strip_suffix(".rs"));
                let module = bare.and_then(|bare| bare.rsplit('/').next());
                moved.removed.extend(module.map(str::to_owned));
            }
        }
        moved
    }

    /// Whether what found tests in `old` finds them in `new`.
    fn finds(&self, language: &str, old: &RepoPath, new: &RepoPath) -> bool {
        runners::finds(language, old, new) && !self.orphans.contains(new)
    }

    fn take_test(&mut self, language: &'static str, name: &'a str, old: &RepoPath) -> Option<u32> {
        let places = self.tests.get(&(language, name))?;
        let at = places
            .iter()
            .position(|(_, new)| self.finds(language, old, new))?;
        Some(self.tests.get_mut(&(language, name))?.swap_remove(at).0)
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

    /// Where the whole content of a removed file is now: a place that will do, else any.
    fn take_file(
        &mut self,
        change: &Change,
        will_do: impl Fn(&Self, &RepoPath) -> bool,
    ) -> Option<(&'a RepoPath, bool)> {
        let content = change.old_content()?;
        let places = self.contents.get(content)?;
        let at = places.iter().position(|new| will_do(self, new));
        match at {
            Some(at) => Some((self.contents.get_mut(content)?.swap_remove(at), true)),
            None => places.first().map(|new| (*new, false)),
        }
    }
}

/// Signs of `left` that `right` does not hold as often.
fn surplus<'a>(left: &'a [Sign], right: &[Sign]) -> Vec<&'a Sign> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for sign in right {
        *counts.entry(&sign.text).or_default() += 1;
    }
    left.iter()
        .filter(|sign| !Moved::take(counts.get_mut(sign.text.as_str())))
        .collect()
}

/// Added Rust files that are no crate of their own and no module of a file that is built.
fn orphans<'a>(sides: &'a [Sides<'a>]) -> HashSet<&'a RepoPath> {
    // Modules of modules of modules; deeper ones than this are asked about.
    const DEPTH: usize = 8;
    let rust = sides.iter().filter(|side| {
        side.language
            .is_some_and(|language| language.name == "Rust")
    });
    let mut orphans: HashSet<&RepoPath> = HashSet::new();
    let mut files: Vec<(&RepoPath, String)> = Vec::new();
    for side in rust.filter(|side| side.change.new.is_some()) {
        let text = side.change.new_content().map(String::from_utf8_lossy);
        let lines = text.iter().flat_map(|text| text.lines());
        let naming = |line: &&str| line.contains("mod ") || line.contains("#[path");
        let named: Vec<&str> = lines.filter(naming).collect();
        files.push((&side.change.path, named.join("\n")));
        if side.change.old.is_none() && !runners::is_rust_root(&side.change.path) {
            orphans.insert(&side.change.path);
        }
    }
    for _ in 0..DEPTH {
        let built = |path: &&RepoPath| {
            files
                .iter()
                .any(|(from, text)| !orphans.contains(from) && runners::declares(from, text, path))
        };
        let found: Vec<&RepoPath> = orphans.iter().copied().filter(built).collect();
        if found.is_empty() {
            break;
        }
        for path in found {
            orphans.remove(path);
        }
    }
    orphans
}

fn read(change: &Change) -> Sides<'_> {
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

/// Both sides of a file in a known language.
fn compare<'a>(
    side: &'a Sides<'a>,
    language: &'static Language,
    moved: &mut Moved<'a>,
    say: &mut impl FnMut(Option<u32>, String),
) {
    let own = &side.change.path;
    let path = show::path(own);
    let vanished = side
        .change
        .new
        .as_ref()
        .is_none_or(|new| !new.kind.is_file());
    let mut gone = Vec::new();
    for (name, test) in &side.old.tests {
        let left = match side.new.tests.get(name) {
            Some(now) => Some(now.assertions),
            None => moved.take_test(language.name, name, own),
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
    let is_test = languages::is_test_path(own);
    if vanished && (!gone.is_empty() || (is_test && side.old.tests.is_empty())) {
        let tests = match gone.len() {
            0 => String::new(),
            some => format!(" with {some} test(s)"),
        };
        let will_do = |moved: &Moved<'_>, new: &RepoPath| moved.finds(language.name, own, new);
        match moved.take_file(side.change, will_do) {
            Some((_, true)) => {}
            Some((new, false)) => {
                let new = show::path(new);
                say(
                    None,
                    format!(
                        "test file {path}{tests} moved to {new}, where its runner may not find it"
                    ),
                );
            }
            None => say(None, format!("test file {path}{tests} is deleted")),
        }
    } else {
        let whole = gone.is_empty();
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
        if !vanished && whole {
            homes(side, language.name, moved, say);
        }
    }
    for sign in surplus(&side.new.signs, &side.old.signs) {
        // New tests may have conditions; tests that were there may not get them unseen.
        let over = |name: &String| side.old.homes.contains_key(name);
        let counts = sign.kind != Kind::Condition
            || !side.old.tests.is_empty()
            || moved.losing.contains(language.name)
            || sign.over.as_ref().is_some_and(over);
        if counts && !Moved::take(moved.signs.get_mut(sign.text.as_str())) {
            let first = sign.text.lines().next().unwrap_or_default();
            let shown = show::bytes(first.as_bytes());
            let what = match sign.kind {
                Kind::Skip => "a test is skipped or need not pass",
                Kind::Condition => "tests are built or run only under a condition",
                Kind::Main => "what runs the tests of this package is new or changed",
            };
            say(Some(sign.line), format!("{what}: {shown}"));
        }
    }
}

/// Classes and modules without which the tests in them are not found.
fn homes<'a>(
    side: &'a Sides<'a>,
    language: &'static str,
    moved: &mut Moved<'a>,
    say: &mut impl FnMut(Option<u32>, String),
) {
    let module = language == "Rust";
    let renamed = !module && side.new.homes.len() >= side.old.homes.len();
    let of_tests =
        |name: &str| !module || name.contains("test") || languages::is_test_path(&side.change.path);
    for (name, line) in &side.old.homes {
        let stays = side.new.homes.contains_key(name)
            || renamed
            || !of_tests(name)
            || module && moved.removed.contains(name)
            || Moved::take(moved.homes.get_mut(&(language, name.as_str())));
        if !stays {
            let shown = show::bytes(name.as_bytes());
            let what = if module { "module" } else { "class" };
            say(
                Some(*line),
                format!("{what} {shown} is gone; tests in it may no longer be found"),
            );
        }
    }
}

/// A file under a test path in no known language.
fn by_lines(change: &Change, moved: &mut Moved<'_>, say: &mut impl FnMut(Option<u32>, String)) {
    if change.old.is_none() || !languages::is_test_data(&change.path) {
        return;
    }
    let path = show::path(&change.path);
    if change.new.is_none() {
        let to_tests = |_: &Moved<'_>, new: &RepoPath| languages::is_test_path(new);
        if !matches!(moved.take_file(change, to_tests), Some((_, true))) {
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
            // A folder of tests goes on being one; a module has to be one of a file that is built.
            let name = path.rsplit('/').next().unwrap();
            let root = languages::test_root(path).unwrap_or_default();
            let other = match name.strip_suffix(".rs") {
                Some(_) => "tests/moved.rs".to_owned(),
                None => format!("{root}moved/{name}"),
            };
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
            [
                "test file `tests/test_x.py` with 1 test(s) moved to `src/x.txt`, where its runner may not find it"
            ]
        );
    }

    #[test]
    fn a_renamed_test_file_is_told_where_its_runner_does_not_find_it_again() {
        let go = LANGUAGES[4].1;
        let rust = LANGUAGES[0].1;
        let python = LANGUAGES[1].1;
        let js = LANGUAGES[3].1;
        for (old, new, text, quiet) in [
            ("tests/test_x.py", "tests/x.py", python, false),
            ("tests/test_x.py", "tests/test_y.py", python, true),
            ("x_test.go", "_x_test.go", go, false),
            ("x_test.go", "testdata/x_test.go", go, false),
            ("x_test.go", "y_test.go", go, true),
            ("tests/x.rs", "tests/sub/x.rs", rust, false),
            ("tests/x.rs", "tests/y.rs", rust, true),
            ("src/x.rs", "src/y.rs", rust, false),
            ("src/x.test.js", "src/x.js", js, false),
            ("src/x.test.js", "src/y.test.js", js, true),
            ("tests/test_x.py", "tests/test_x.py.txt", python, false),
        ] {
            let told = all(&[change(old, text, ""), change(new, "", text)]).join("; ");
            assert_eq!(told.is_empty(), quiet, "{old} -> {new}: {told}");
            // The same when the content changed on the way, and when it goes into a file that exists.
            let more = format!("{text}\n\n");
            let told = all(&[change(old, text, ""), change(new, "", &more)]).join("; ");
            assert_eq!(told.is_empty(), quiet, "{old} -> {new}: {told}");
        }
        insta::assert_snapshot!(
            all(&[change("tests/x.rs", rust, ""), change("tests/sub/x.rs", "", rust)]).join("\n"),
            @"test file `tests/x.rs` with 1 test(s) moved to `tests/sub/x.rs`, where its runner may not find it"
        );
        let named = [
            change("tests/x.rs", rust, ""),
            change("tests/it/main.rs", "mod a;\n", "mod a;\nmod x;\n"),
            change("tests/it/x.rs", "", rust),
        ];
        assert_eq!(all(&named), [""; 0]);
    }

    #[test]
    fn tests_in_strings_and_comments_are_gone() {
        let (rust, python, js, go) = (
            LANGUAGES[0].1,
            LANGUAGES[1].1,
            LANGUAGES[3].1,
            LANGUAGES[4].1,
        );
        for (path, old, new) in [
            ("tests/test_x.py", python, format!("_ = '''\n{python}'''\n")),
            (
                "tests/test_x.py",
                python,
                format!("f(\"\"\"\n{python}\"\"\")\n"),
            ),
            ("src/x.rs", rust, format!("fn f() {{}} /*\n{rust}*/\n")),
            (
                "src/x.rs",
                rust,
                format!("const X: &str = r#\"\n{rust}\"#;\n"),
            ),
            ("x.test.js", js, format!("const x = `\n{js}`;\n")),
            ("x_test.go", go, format!("var x = `\n{go}`\n")),
            (
                "tests/run.sh",
                "test_a() {\n  fail x\n}\n",
                ": <<'X'\ntest_a() {\n  fail x\n}\nX\n".to_owned(),
            ),
        ] {
            let told = one(path, old, &new);
            assert!(told.contains("is gone"), "{path}: {told}: {new}");
        }
        let quoted = python.replace("    assert g()", "    x = 'assert g()'");
        assert!(one("tests/test_x.py", python, &quoted).contains("had 2 assertions and has 1"));
        let quoted = rust.replace("    assert!(g());", "    let _ = \"assert!(g());\";");
        assert!(one("src/x.rs", rust, &quoted).contains("had 2 assertions and has 1"));
    }

    #[test]
    fn assertions_that_cannot_fail_or_be_reached_do_not_count() {
        let (rust, python, js, go) = (
            LANGUAGES[0].1,
            LANGUAGES[1].1,
            LANGUAGES[3].1,
            LANGUAGES[4].1,
        );
        for (path, old, new) in [
            (
                "tests/test_x.py",
                python,
                python.replace("f() == 1", "f() == 1 or True"),
            ),
            (
                "tests/test_x.py",
                python,
                python.replace("():\n", "():\n    return\n"),
            ),
            (
                "tests/test_x.py",
                python,
                python.replace("():\n", "():\n    sys.exit(0)\n"),
            ),
            ("src/x.rs", rust, rust.replace("g()", "g() || true")),
            (
                "src/x.rs",
                rust,
                rust.replace("a() {\n", "a() {\n    return;\n"),
            ),
            ("x.test.js", js, js.replace("=> {\n", "=> {\n  return;\n")),
            ("x_test.go", go, go.replace("T) {\n", "T) {\n\treturn\n")),
            (
                "x_test.go",
                go,
                go.replace("T) {\n", "T) {\n\tos.Exit(0)\n"),
            ),
        ] {
            let told = one(path, old, &new);
            assert!(told.contains("assertions and has"), "{path}: {told}: {new}");
        }
        // A return at the end, or of a helper, takes nothing away.
        let more = format!("{python}    return\n\n\ndef helper():\n    assert x\n    return\n");
        assert_eq!(one("tests/test_x.py", python, &more), "");
        insta::assert_snapshot!(
            one("tests/test_x.py", python, &python.replace("    assert f", "    if False:\n        assert f")),
            @"2: a test is skipped or need not pass: `if False:`"
        );
    }

    #[test]
    fn what_decides_whether_tests_are_built_or_run_is_told() {
        let rust = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn a() {\n        assert!(f());\n    }\n}\n";
        let (python, go) = (LANGUAGES[1].1, LANGUAGES[4].1);
        for new in [
            "#[cfg(tests)]",
            "#[cfg(all(test, feature = \"x\"))]",
            "#[cfg(test)]\n#[cfg(any())]",
        ] {
            let told = one("src/x.rs", rust, &rust.replace("#[cfg(test)]", new));
            assert!(told.contains("only under a condition"), "{new}: {told}");
        }
        let one_test = rust.replace("    #[test]", "    #[test]\n    #[cfg(windows)]");
        assert!(one("src/x.rs", rust, &one_test).contains("only under a condition"));
        assert!(
            one("src/x.rs", rust, &format!("#![cfg(x)]\n{rust}"))
                .contains("only under a condition")
        );
        insta::assert_snapshot!(
            one("src/lib.rs", "#[cfg(test)]\nmod tests;\n", "#[cfg(all(test, unix))]\nmod tests;\n"),
            @"1: tests are built or run only under a condition: `#[cfg(all(test, unix))]`"
        );
        insta::assert_snapshot!(
            one("src/lib.rs", "#[cfg(test)]\nmod tests;\nmod a;\n", "mod a;\n"),
            @"2: module `tests` is gone; tests in it may no longer be found"
        );
        insta::assert_snapshot!(
            one("x_test.go", go, &format!("//go:build integration\n\n{go}")),
            @"1: tests are built or run only under a condition: `//go:build integration`"
        );
        let renamed = [
            change("x_test.go", go, ""),
            change("y_test.go", "", &format!("//go:build x\n\n{go}")),
        ];
        assert!(all(&renamed).join("").contains("only under a condition"));
        let main = "func TestMain(m *testing.M) {\n\tos.Exit(m.Run())\n}\n";
        insta::assert_snapshot!(
            one("x_test.go", go, &format!("{go}{main}")),
            @"6: what runs the tests of this package is new or changed: `func TestMain(m *testing.M) {`"
        );
        let changed = main.replace("m.Run()", "0");
        let told = one(
            "x_test.go",
            &format!("{go}{main}"),
            &format!("{go}{changed}"),
        );
        assert!(told.contains("new or changed"), "{told}");
        assert_eq!(
            all(&[
                change("x_test.go", &format!("{go}{main}"), go),
                change("main_test.go", "", main)
            ]),
            [""; 0]
        );
        for mark in ["@mark.skip", "@mark.skipif(True)", "@pytest.mark.xfail"] {
            let told = one("tests/test_x.py", python, &format!("{mark}\n{python}"));
            assert!(told.contains("is skipped"), "{told}");
        }
        let class = "class TestA:\n    def test_a(self):\n        assert f()\n";
        insta::assert_snapshot!(
            one("tests/test_x.py", class, &class.replace("TestA", "HelperA")),
            @"1: class `TestA` is gone; tests in it may no longer be found"
        );
        assert_eq!(
            one("tests/test_x.py", class, &class.replace("TestA", "TestB")),
            ""
        );
        // What is new may have a condition.
        assert_eq!(
            one("x_test.go", "", &format!("//go:build linux\n\n{go}")),
            ""
        );
        assert_eq!(
            one(
                "src/x.rs",
                "fn f() {}\n",
                &rust.replace("(test)", "(all(test, unix))")
            ),
            ""
        );
        assert_eq!(
            one("src/lib.rs", "mod a;\n", "#[cfg(unix)]\nmod b;\nmod a;\n"),
            ""
        );
    }

    #[test]
    fn what_only_looks_like_a_lost_test_is_not_told() {
        let module = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn a() {\n        assert!(f());\n    }\n}\n";
        assert_eq!(
            one(
                "src/x.rs",
                &format!("{module}fn f() {{\n    panic!(\"x\");\n}}\n"),
                &format!("{module}fn f() {{}}\n")
            ),
            ""
        );
        let c = "TEST(A, B) {\n  EXPECT_EQ(1, f());\n}\n";
        assert_eq!(
            one("x_test.cc", c, &format!("enum {{ DISABLED_FLAG }};\n{c}")),
            ""
        );
        assert!(one("x_test.cc", c, &c.replace("A, B", "A, DISABLED_B")).contains("DISABLED"));
        assert_eq!(one("spec/api.yaml", "a\nb\nc\n", "a\n"), "");
        assert_ne!(one("spec/fixtures/api.yaml", "a\nb\nc\n", "a\n"), "");
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
