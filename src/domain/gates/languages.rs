//! What a test, an assertion and a skip look like, by language.

use std::sync::LazyLock;

use regex::Regex;

use super::super::ident::RepoPath;
use super::lexis::Lexis;

/// One language, as far as its tests are concerned.
pub(super) struct Language {
    /// For people.
    pub(super) name: &'static str,
    /// Endings of its files, without the dot.
    endings: &'static [&'static str],
    /// Whether its tests are told by the text alone, so that files outside test folders count.
    pub(super) anywhere: bool,
    /// How comments and strings are written.
    pub(super) lexis: Lexis,
    /// A test; the first group that took part is its name.
    pub(super) test: Regex,
    /// An assertion.
    pub(super) assertion: Regex,
    /// One that holds whatever the program does: not counted.
    pub(super) vain: Option<Regex>,
    /// A test that does not run, or need not pass.
    pub(super) skip: Regex,
    /// A line that decides whether what follows is built or run at all.
    pub(super) condition: Option<Regex>,
    /// What tests have to be in to be found; the first group that took part is its name.
    pub(super) home: Option<Regex>,
}

struct Row {
    name: &'static str,
    endings: &'static [&'static str],
    anywhere: bool,
    lexis: Lexis,
    test: &'static str,
    assertion: &'static str,
    vain: &'static str,
    skip: &'static str,
    /// Empty = none.
    condition: &'static str,
    /// Empty = none.
    home: &'static str,
}

/// `#if` of a preprocessor.
const PREPROCESSOR: &str = r"^\s*#\s*(?:el)?if(?:n?def)?\b";

const ROWS: &[Row] = &[
    Row {
        name: "Rust",
        endings: &["rs"],
        anywhere: true,
        lexis: Lexis::RUST,
        // The attribute, further attributes, then the function; proptest's functions come after `#[test]` too.
        test: r"(?m)^[ \t]*#\[(?:\w+::)*(?:test|rstest|test_case|bench|quickcheck|proptest)\b[^\n]*\n(?:[ \t]*(?:#\[[^\n]*|//[^\n]*)?\n)*[ \t]*(?:pub(?:\([^)]*\))?\s+)?(?:const\s+|async\s+|unsafe\s+)*fn\s+(\w+)",
        assertion: r"\b(?:debug_|prop_)?assert\w*!|\b(?:insta::)?assert_\w*snapshot!|\bpanic!\(|#\[should_panic|\.unwrap_err\(\)|\.expect_err\(",
        vain: r"\b(?:debug_|prop_)?assert!\(\s*(?:true|!false|1 == 1)\b|\bassert!\([^\n]*\|\|\s*true\s*[,)]|\bassert_eq!\(\s*(?:true,\s*true|1,\s*1|\(\),\s*\(\))\s*[,)]",
        skip: r"#!?\[(?:cfg_attr\([^\n]*,\s*)?ignore\b",
        condition: r"^\s*#!?\[cfg(?:_attr)?\(",
        home: r"(?m)^[ \t]*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;",
    },
    Row {
        name: "Python",
        endings: &["py"],
        anywhere: false,
        lexis: Lexis::PYTHON,
        test: r"(?m)^[ \t]*(?:async\s+)?def\s+(test\w*)\s*\(",
        assertion: r"(?m)^\s*assert\b|\bself\.(?:assert\w+|fail)\(|\bpytest\.(?:raises|warns|fail)\b|\bassert_\w+\(|\.assert_\w+\(",
        vain: r"(?m)^\s*assert\s+\(?(?:True|1|not False)\)?\s*(?:$|,|#|or\b)|^\s*assert\b[^\n]*\bor\s+(?:True|1|not False)\s*\)?\s*(?:$|,|#)|\bself\.assertTrue\([^\n]*\bor\s+True\s*[,)]|\bself\.assertTrue\(\s*True\b",
        skip: r"\bpytest\.(?:mark\.)?(?:skip|skipif|xfail|importorskip)\b|\bunittest\.(?:skip\w*|expectedFailure|SkipTest)\b|\bmark\.(?:skip|skipif|xfail)\b|^\s*@(?:skip\w*|xfail|expectedFailure)\b|\bself\.skipTest\(|^\s*__test__\s*=\s*False|^\s*collect_ignore\b",
        condition: "",
        home: r"(?m)^[ \t]*class\s+(?:(Test\w*)|(\w+)\s*\([^)\n]*TestCase)",
    },
    Row {
        name: "JavaScript",
        endings: &[
            "js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts", "vue", "svelte",
        ],
        anywhere: false,
        lexis: Lexis::JAVASCRIPT,
        test: r#"(?m)^[ \t]*(?:await\s+)?(?:t\.|Deno\.|QUnit\.)?(?:x|f)?(?:it|test|specify)(?:\.\w+)*(?:\([^\n]*\))?\(\s*(?:"([^"\n]*)"|'([^'\n]*)'|`([^`\n]*)`)"#,
        assertion: r"\bexpect(?:Type(?:Of)?)?\s*\(|\bassert(?:\.\w+)*\s*\(|\.should\b|\bt\.(?:is|true|false|deepEqual|equal|throws|ok|same|snapshot|like|not\w*)\(|\bassert\w+\(|\bcy\.",
        vain: r"\bexpect\(\s*(?:true|1)\s*\)\.to(?:Be|Equal)\(\s*(?:true|1)\s*\)|\bexpect\(\s*true\s*\)\.toBeTruthy|\bassert(?:\.ok)?\(\s*true\s*\)",
        skip: r"\b(?:it|test|describe|suite|context|specify)\.(?:skip|todo|only|fixme|fails|failing|skipIf|runIf)\b|\b(?:xit|xtest|xdescribe|xcontext|xspecify|fit|fdescribe)\s*\(|\bthis\.skip\(\)|\bt\.skip\(|\{\s*skip:\s*true",
        condition: "",
        home: "",
    },
    Row {
        name: "Go",
        endings: &["go"],
        anywhere: false,
        lexis: Lexis::GO,
        test: r"(?m)^func\s+(?:\([^)]*\)\s*)?((?:Test|Benchmark|Fuzz|Example)\w*)\s*\(",
        assertion: r"\b[tb]\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow)\(|\b(?:assert|require|is|qt|td|cmp|check)\.\w+\(|\bExpect\(|//\s*(?:Unordered o|O)utput:",
        vain: r"\b(?:assert|require)\.True\(\s*t\s*,\s*true\b|\b(?:assert|require)\.Equal\(\s*t\s*,\s*(?:1,\s*1|true,\s*true)\b",
        skip: r"\b[tbf]\.(?:Skip|Skipf|SkipNow)\(",
        condition: r"^\s*//\s*(?:go:build|\+build)\b",
        home: "",
    },
    Row {
        name: "Java or Kotlin",
        endings: &["java", "kt", "kts", "scala", "groovy"],
        anywhere: true,
        lexis: Lexis::JVM,
        test: r"(?m)^[ \t]*@(?:\w+\.)*(?:Test|ParameterizedTest|RepeatedTest|TestFactory|TestTemplate|Property)\b[^\n{]*(?:\n[ \t]*(?:@[^\n]*|//[^\n]*)?)*?\n?[ \t]*(?:(?:public|protected|private|internal|static|final|suspend|open|override)\s+)*(?:(?:void|fun|def|[A-Z][\w<>\[\], ]*)\s+)(`[^`\n]+`|\w+)\s*\(",
        assertion: r"\bassert\w*\s*[({]|\bassert\s|\bfail\s*\(|\bverify\w*\s*\(|\bshould\w*\b|\bexpect\w*\s*\(|\bexpectThat\b|\.andExpect\(",
        vain: r"\bassertTrue\(\s*true\s*\)|\bassertEquals\(\s*1\s*,\s*1\s*\)|\bassertThat\(\s*true\s*\)\.isTrue",
        skip: r"^\s*@(?:\w+\.)*(?:Disabled\w*|Ignore\w*|EnabledIf\w*)\b|\bassume\w*\(|\(\s*enabled\s*=\s*false",
        condition: r"^\s*@(?:\w+\.)*(?:Enabled\w+|Tag|Category)\b",
        home: "",
    },
    Row {
        name: "Ruby",
        endings: &["rb"],
        anywhere: false,
        lexis: Lexis::HEREDOCS,
        test: r#"(?m)^[ \t]*(?:(?:x|f)?(?:it|specify|example|scenario|test)\s*\(?\s*(?:"([^"\n]*)"|'([^'\n]*)')|def\s+(test_\w+[?!]?))"#,
        assertion: r"\bassert\w*\b|\brefute\w*\b|\bexpect\b|\.should\b|\bis_expected\b|\bmust_\w+|\bwont_\w+|\bflunk\b",
        vain: r"\bassert\s*\(?\s*true\s*\)?\s*$|\bexpect\(\s*true\s*\)\.to\s+(?:be\s+true|eq\s*\(?true)",
        skip: r"^\s*(?:xit|xdescribe|xcontext|xspecify|fit|fdescribe|fcontext)\b|^\s*(?:skip|pending)\b|\b(?:skip|pending):\s*(?:true|[\x22'])|,\s*:(?:skip|pending|focus)\b",
        condition: "",
        home: "",
    },
    Row {
        name: "C or C++",
        endings: &["c", "cc", "cpp", "cxx", "h", "hh", "hpp"],
        anywhere: true,
        lexis: Lexis::CPP,
        test: r#"(?m)^[ \t]*(?:(?:TYPED_)?TEST(?:_[FP])?\s*\(\s*([\w ]+,\s*\w+)|(?:TEST_CASE|SCENARIO|BOOST_AUTO_TEST_CASE|START_TEST|Test)\s*\(\s*"?([^")\n]+)|(?:static\s+)?(?:void|int)\s+(test_\w+)\s*\()"#,
        assertion: r"\b(?:EXPECT|ASSERT|CHECK|REQUIRE|BOOST_CHECK|BOOST_REQUIRE|BOOST_TEST|TEST_ASSERT|CU_ASSERT|MUNIT_ASSERT)\w*\s*\(|\b(?:ck_)?assert\w*\s*\(|\bcr_assert\w*\(",
        vain: r"\b(?:EXPECT|ASSERT)_TRUE\(\s*(?:true|1)\s*\)|\b(?:CHECK|REQUIRE|assert)\(\s*(?:true|1)\s*\)",
        skip: r"\b\w*TEST\w*\s*\([^)\n]*\bDISABLED_\w+|\bGTEST_SKIP\b|\[!?(?:shouldfail|mayfail|\.)\]|^\s*#\s*if\s+0\b|\bSKIP\(",
        condition: PREPROCESSOR,
        home: "",
    },
    Row {
        name: "C#",
        endings: &["cs", "fs", "vb"],
        anywhere: true,
        lexis: Lexis::CSHARP,
        test: r"(?m)^[ \t]*\[(?:Fact|Theory|Test|TestCase|TestMethod|DataTestMethod)\b[^\n]*\n(?:[ \t]*\[[^\n]*\n)*[ \t]*(?:(?:public|private|internal|protected|static|async|virtual|override)\s+)*[\w<>\[\]]+\s+(\w+)\s*\(",
        assertion: r"\bAssert\.\w+|\.Should\w*\(|\bExpect\(|\.Verify\w*\(",
        vain: r"\bAssert\.(?:True|IsTrue)\(\s*true\s*\)",
        skip: r"\bSkip\s*=\s*|^\s*\[(?:Ignore|Explicit)\b|\bAssert\.(?:Ignore|Inconclusive|Skip)\b",
        condition: PREPROCESSOR,
        home: "",
    },
    Row {
        name: "PHP",
        endings: &["php", "phpt"],
        anywhere: false,
        lexis: Lexis::PHP,
        test: r#"(?m)^[ \t]*(?:(?:final\s+)?(?:public\s+)?(?:static\s+)?function\s+(test\w+)\s*\(|(?:it|test)\(\s*(?:"([^"\n]*)"|'([^'\n]*)'))"#,
        assertion: r"(?:\$this->|self::|static::|Assert::)(?:assert\w+|expect\w+|fail)\(|\bexpect\(",
        vain: r"assertTrue\(\s*true\s*\)",
        skip: r"markTestSkipped|markTestIncomplete|->skip\(|->todo\(|@group\s+(?:ignore|skip)",
        condition: "",
        home: "",
    },
    Row {
        name: "Elixir",
        endings: &["exs"],
        anywhere: false,
        lexis: Lexis::ELIXIR,
        test: r#"(?m)^[ \t]*(?:test|property)\s+"([^"\n]*)""#,
        assertion: r"\b(?:assert|refute)\w*\b|\bflunk\b",
        vain: r"\bassert\s+true\s*$",
        skip: r"@(?:module)?tag\s+:?skip\b|@tag\s+skip:",
        condition: "",
        home: "",
    },
    Row {
        name: "Swift",
        endings: &["swift"],
        anywhere: false,
        lexis: Lexis::SWIFT,
        test: r"(?m)^[ \t]*(?:@Test[^\n]*\s+)?(?:\w+\s+)*func\s+(test\w*|`[^`\n]+`)\s*\(",
        assertion: r"\bXCT(?:Assert\w*|Fail|Unwrap)\b|#expect\b|#require\b",
        vain: r"XCTAssert(?:True)?\(\s*true\s*\)",
        skip: r"\bXCTSkip\w*|\.disabled\(",
        condition: PREPROCESSOR,
        home: "",
    },
    Row {
        name: "shell",
        endings: &["sh", "bash", "bats", "zsh", "ksh", "t"],
        anywhere: false,
        lexis: Lexis::HEREDOCS,
        test: r#"(?m)^[ \t]*(?:@test\s+["']([^"'\n]*)["']|(?:function\s+)?(test_?\w*)\s*\(\s*\)|It\s+["']([^"'\n]*)["']|test_expect_(?:success|failure)\s+(?:\w+\s+)?["']([^"'\n]*)["'])"#,
        assertion: r"^\s*(?:!\s*)?(?:assert\w*|refute\w*|check\w*|expect\w*|fail|ok|is|diff|cmp|test|grep|\[\[?)\s|^\s*(?:if|elif|while)\s+(?:!\s*)?(?:\[\[?|test|diff|cmp|grep)\s|\|\|\s*(?:exit|return|fail|die|\{)|^\s*set\s+-\w*e|\bexit\s+[1-9]",
        vain: r"^\s*(?:assert\s+)?(?:true|:)\s*$|\|\|\s*(?:true|:)\s*$",
        skip: r"^\s*(?:skip|Skip|Pending|xIt|todo)\b|^\s*exit\s+0\b|\|\|\s*(?:true|:)\s*(?:$|[;&#])|^\s*set\s+\+\w*e",
        condition: "",
        home: "",
    },
];

static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
    let optional = |pattern: &str| match pattern {
        "" => Some(None),
        pattern => Regex::new(pattern).ok().map(Some),
    };
    let compiled = |row: &Row| {
        Some(Language {
            name: row.name,
            endings: row.endings,
            anywhere: row.anywhere,
            lexis: row.lexis,
            test: Regex::new(row.test).ok()?,
            assertion: Regex::new(row.assertion).ok()?,
            vain: Some(Regex::new(row.vain).ok()?),
            skip: Regex::new(row.skip).ok()?,
            condition: optional(row.condition)?,
            home: optional(row.home)?,
        })
    };
    ROWS.iter().filter_map(compiled).collect()
});

/// The language of a file by its ending, and for a script under a test path by its first line.
pub(super) fn of(path: &RepoPath, text: Option<&str>) -> Option<&'static Language> {
    let name = String::from_utf8_lossy(path.file_name()).to_lowercase();
    let by = |ending: &str| {
        LANGUAGES
            .iter()
            .find(|language| language.endings.contains(&ending))
    };
    match name.rsplit_once('.') {
        Some((_, ending)) => by(ending),
        None => {
            let first = text?.lines().next()?.strip_prefix("#!")?;
            let program = first.split('/').next_back()?;
            let program = program.strip_prefix("env ").unwrap_or(program);
            match program.split_whitespace().next()? {
                "sh" | "bash" | "dash" | "ksh" | "zsh" | "bats" => by("sh"),
                python if python.starts_with("python") => by("py"),
                "ruby" => by("rb"),
                "node" => by("js"),
                _ => None,
            }
        }
    }
}

/// Whether a path belongs to tests by its folders or its name.
pub(super) fn is_test_path(path: &RepoPath) -> bool {
    let text = path.lossy();
    let (folders, name) = text.rsplit_once('/').unwrap_or(("", &text));
    let in_folder = folders.to_lowercase().split('/').any(|part| {
        is_test_folder(part)
            || matches!(
                part,
                "__tests__" | "__snapshots__" | "testdata" | "test-data" | "snapshots"
            )
    });
    let stem = name.split('.').next().unwrap_or(name);
    let lower = name.to_lowercase();
    let low_stem = stem.to_lowercase();
    in_folder
        || matches!(low_stem.as_str(), "test" | "tests" | "conftest" | "check")
        || low_stem.starts_with("test_")
        || low_stem.starts_with("test-")
        || ["_test", "_tests", "_spec", "-test", "-spec", "-tests"]
            .iter()
            .any(|end| low_stem.ends_with(end))
        || [".test.", ".spec.", ".cy.", ".e2e."]
            .iter()
            .any(|part| lower.contains(part))
        || ["Test", "Tests", "Spec", "TestCase", "IT"]
            .iter()
            .any(|end| stem.len() > end.len() && stem.ends_with(end))
        || lower.ends_with(".bats")
        || lower.ends_with(".snap")
}

/// The path up to its first folder that a runner is told to look into; `None` = it is in none.
pub(super) fn test_root(path: &str) -> Option<&str> {
    let mut end = 0;
    let (folders, _) = path.rsplit_once('/')?;
    folders.split('/').find_map(|part| {
        end += part.len() + 1;
        is_test_folder(&part.to_lowercase()).then(|| path.get(..end))?
    })
}

/// Whether what is in a folder of this name, in small letters, is meant to be run as tests.
fn is_test_folder(name: &str) -> bool {
    matches!(
        name,
        "test" | "tests" | "spec" | "specs" | "testing" | "e2e" | "unittests"
    ) || name.ends_with(".tests")
}

/// Whether a file in no known language is material of tests: not what merely is in `spec`,
/// where specifications are, too.
pub(super) fn is_test_data(path: &RepoPath) -> bool {
    const DOCUMENTS: &[&str] = &[
        "yaml", "yml", "json", "md", "rst", "txt", "html", "proto", "graphql", "xsd", "tex", "pdf",
    ];
    let text = path.lossy().to_lowercase();
    let in_spec =
        test_root(&text).is_some_and(|root| root.ends_with("spec/") || root.ends_with("specs/"));
    let document = text
        .rsplit_once('.')
        .is_some_and(|(_, ending)| DOCUMENTS.contains(&ending));
    let material = [
        "fixture", "support", "cassette", "test", "snapshot", "golden",
    ];
    is_test_path(path) && !(in_spec && document && !material.iter().any(|word| text.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_compiles() {
        assert_eq!(LANGUAGES.len(), ROWS.len());
    }

    #[test]
    fn test_paths_are_known_by_folder_and_name() {
        for path in [
            "tests/x.rs",
            "a/test/b",
            "src/__tests__/x.js",
            "x_test.go",
            "test_x.py",
            "x.spec.ts",
            "FooTest.java",
            "test.sh",
            "spec/x.rb",
            "conftest.py",
            "x.bats",
            "a/Foo.Tests/Bar.cs",
        ] {
            assert!(is_test_path(&path.into()), "{path}");
        }
        for path in [
            "src/main.rs",
            "src/latest.rs",
            "contest/x.py",
            "attestation.go",
            "src/protest.js",
        ] {
            assert!(!is_test_path(&path.into()), "{path}");
        }
    }
}
