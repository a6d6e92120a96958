//! Which files a test runner finds by itself, by their names and folders.
//!
//! A test that moves is only moved where whatever found it before finds it again. The rules
//! are the defaults of each runner; a repository's own configuration is not read.

use super::super::ident::RepoPath;
use super::languages;

/// Whether all that found tests at `old` by the name finds them at `new`, too.
///
/// `language` is the name of the language of both. For Rust this is about folders only: what
/// the compiler finds is told by [`declares`].
pub(super) fn finds(language: &str, old: &RepoPath, new: &RepoPath) -> bool {
    let (was, is) = (places(language, old), places(language, new));
    let (from, to) = (old.lossy(), new.lossy());
    // A runner that is told a folder does not look outside of it.
    let stays =
        languages::test_root(&from).is_none_or(|folder| languages::test_root(&to) == Some(folder));
    stays && is & was == was && (was != 0 || languages::is_test_path(new))
}

/// Whether a file holds tests that a runner finds by its name, rather than being a script.
pub(super) fn is_suite(language: &str, path: &RepoPath) -> bool {
    language != "shell" && places(language, path) != 0
}

/// Whether a Rust file is a crate of its own among tests, so that no module has to name it.
pub(super) fn is_rust_root(path: &RepoPath) -> bool {
    let text = path.lossy();
    let parts: Vec<&str> = text.split('/').collect();
    matches!(
        parts.as_slice(),
        [.., "tests" | "benches" | "examples" | "bin", _]
            | [.., "tests" | "benches" | "examples" | "bin", _, "main.rs"]
            | [.., "src", "lib.rs" | "main.rs"]
    )
}

/// Whether `text`, a Rust file at `from`, makes the file at `path` one of its modules.
pub(super) fn declares(from: &RepoPath, text: &str, path: &RepoPath) -> bool {
    let (from, path) = (from.lossy(), path.lossy());
    let Some(bare) = path.strip_suffix(".rs") else {
        return false;
    };
    let bare = bare.strip_suffix("/mod").unwrap_or(bare);
    let (folder, module) = bare.rsplit_once('/').unwrap_or(("", bare));
    let (near, name) = from.rsplit_once('/').unwrap_or(("", &from));
    let own = from.strip_suffix(".rs").unwrap_or(&from);
    let parent = folder == own
        || folder == near
            && (matches!(name, "mod.rs" | "lib.rs" | "main.rs")
                || is_rust_root(&from.as_ref().into()));
    let file = path.rsplit('/').next().unwrap_or(&path);
    text.lines().map(str::trim).any(|line| {
        let bare = line
            .strip_prefix("pub ")
            .or_else(|| line.strip_prefix("pub(crate) "))
            .or_else(|| line.strip_prefix("pub(super) "))
            .unwrap_or(line);
        let named = bare
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'))
            .is_some_and(|name| name.trim().trim_start_matches("r#") == module);
        parent && named || line.starts_with("#[path") && line.contains(file)
    })
}

/// What finds a file, one bit each; 0 = nothing known does.
fn places(language: &str, path: &RepoPath) -> u32 {
    let text = path.lossy();
    let (folders, name) = text.rsplit_once('/').unwrap_or(("", &text));
    let folders: Vec<&str> = folders.split('/').filter(|part| !part.is_empty()).collect();
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let skipped = |names: &[&str]| {
        folders
            .iter()
            .any(|part| names.contains(part) || part.starts_with('.'))
    };
    let rules: Vec<bool> = match language {
        "Python" => {
            let open = ending == "py"
                && !skipped(&["_darcs", "build", "CVS", "dist", "node_modules", "venv"])
                && !folders.iter().any(|part| part.ends_with(".egg"));
            vec![
                open && (stem.starts_with("test_") || stem.ends_with("_test")),
                open && stem.starts_with("test"),
            ]
        }
        "JavaScript" => {
            let open = !skipped(&["node_modules"]) && !ending.is_empty();
            let dotted = |word: &str| stem == word || stem.ends_with(&format!(".{word}"));
            let plain = matches!(ending, "js" | "jsx" | "ts" | "tsx");
            let folder = folders.contains(&"__tests__");
            vec![
                open && dotted("test"),
                open && dotted("spec"),
                open && (dotted("test") || dotted("spec") || folder),
                open && plain && (dotted("test") || dotted("spec") || folder),
                open && (dotted("cy") || dotted("e2e")),
                open && (["-test", "_test", "-spec", "_spec"]
                    .iter()
                    .any(|end| stem.ends_with(end))
                    || stem.starts_with("test-")),
                // Mocha looks at the folder itself only.
                folders
                    .last()
                    .is_some_and(|last| matches!(*last, "test" | "tests" | "spec")),
            ]
        }
        "Go" => {
            let open = stem.ends_with("_test")
                && ending == "go"
                && !name.starts_with(['_', '.'])
                && !folders.iter().any(|part| {
                    part.starts_with(['_', '.']) || matches!(*part, "testdata" | "vendor")
                });
            let last = stem
                .trim_end_matches("_test")
                .rsplit_once('_')
                .map(|(_, last)| last);
            vec![
                open,
                open && last.is_none_or(|last| !SYSTEMS.contains(&last)),
            ]
        }
        "Java or Kotlin" => vec![
            stem.starts_with("Test")
                || ["Test", "Tests", "TestCase"]
                    .iter()
                    .any(|end| stem.ends_with(end)),
            stem.starts_with("IT") || stem.ends_with("IT") || stem.ends_with("ITCase"),
            stem.ends_with("Spec"),
        ],
        "Ruby" => vec![
            stem.ends_with("_spec") && ending == "rb",
            stem.ends_with("_test") && ending == "rb",
            stem.starts_with("test_") && ending == "rb",
        ],
        "PHP" => vec![stem.ends_with("Test") && ending == "php", ending == "phpt"],
        "Elixir" => vec![stem.ends_with("_test") && ending == "exs"],
        "C#" => vec![matches!(ending, "cs" | "fs" | "vb")],
        "Rust" => vec![ending == "rs"],
        "C or C++" => vec![true],
        "Swift" => vec![ending == "swift"],
        "shell" => vec![ending == "bats", ending == "t"],
        _ => Vec::new(),
    };
    (0..)
        .zip(rules)
        .fold(0, |bits, (bit, is)| bits | u32::from(is) << bit)
}

/// Ends of names that make Go leave a file out on every other system.
const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "386",
    "amd64",
    "arm",
    "arm64",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mipsle",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390x",
    "wasm",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_file_that_no_runner_finds_any_more_is_told_from_one_that_is_found() {
        for (language, old, new, found) in [
            ("Python", "tests/test_x.py", "tests/x.py", false),
            ("Python", "tests/test_x.py", "tests/testx.py", false),
            ("Python", "tests/test_x.py", "tests/unit/test_y.py", true),
            ("Python", "tests/test_x.py", "tests/.old/test_x.py", false),
            ("Python", "tests/test_x.py", "src/test_x.py", false),
            ("Python", "test_x.py", "tests/test_x.py", true),
            ("Python", "tests/tests.py", "tests/test_all.py", true),
            ("Python", "tests/checks.py", "tests/more.py", true),
            ("Python", "tests/checks.py", "src/more.py", false),
            ("Go", "a/x_test.go", "a/_x_test.go", false),
            ("Go", "a/x_test.go", "a/testdata/x_test.go", false),
            ("Go", "a/x_test.go", "a/x_windows_test.go", false),
            ("Go", "a/x_test.go", "b/y_test.go", true),
            ("JavaScript", "src/x.test.js", "src/x.js", false),
            ("JavaScript", "src/x.test.js", "src/x.spec.js", false),
            ("JavaScript", "src/x.test.js", "src/x.test.mjs", false),
            ("JavaScript", "src/x.test.js", "lib/y.test.ts", true),
            ("JavaScript", "src/__tests__/x.js", "src/x.test.js", true),
            ("JavaScript", "test/x.js", "test/old/x.js", false),
            (
                "Java or Kotlin",
                "src/test/java/XTest.java",
                "src/test/java/X.java",
                false,
            ),
            (
                "Java or Kotlin",
                "src/test/java/XTest.java",
                "src/main/java/XTest.java",
                false,
            ),
            (
                "Java or Kotlin",
                "src/test/java/XTest.java",
                "src/test/java/a/YTest.java",
                true,
            ),
            ("Ruby", "spec/x_spec.rb", "spec/x.rb", false),
            ("Ruby", "spec/x_spec.rb", "spec/a/x_spec.rb", true),
            ("PHP", "tests/XTest.php", "tests/X.php", false),
            ("Elixir", "test/x_test.exs", "test/x.exs", false),
            ("Swift", "Tests/XTests.swift", "Sources/XTests.swift", false),
            ("shell", "tests/x.bats", "tests/x.sh", false),
        ] {
            assert_eq!(
                finds(language, &old.into(), &new.into()),
                found,
                "{old} -> {new}"
            );
        }
    }

    #[test]
    fn a_rust_file_is_found_as_a_crate_or_as_a_module() {
        for (path, root) in [
            ("tests/x.rs", true),
            ("tests/it/main.rs", true),
            ("tests/it/x.rs", false),
            ("src/lib.rs", true),
            ("src/x.rs", false),
        ] {
            assert_eq!(is_rust_root(&path.into()), root, "{path}");
        }
        for (from, text, path, declared) in [
            ("src/lib.rs", "pub mod x;\n", "src/x.rs", true),
            ("src/lib.rs", "mod x;\n", "src/x/mod.rs", true),
            ("src/a.rs", "    mod x;\n", "src/a/x.rs", true),
            ("src/a/mod.rs", "mod x;\n", "src/a/x.rs", true),
            ("src/a.rs", "mod x;\n", "src/x.rs", false),
            ("tests/it.rs", "mod x;\n", "tests/x/mod.rs", true),
            ("tests/it/main.rs", "mod y;\n", "tests/it/x.rs", false),
            (
                "src/lib.rs",
                "#[path = \"other/x.rs\"]\nmod y;\n",
                "src/other/x.rs",
                true,
            ),
        ] {
            assert_eq!(
                declares(&from.into(), text, &path.into()),
                declared,
                "{from} {path}"
            );
        }
    }
}
