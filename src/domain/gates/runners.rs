//! Files that decide what a check runs: a change of one can make a check green that shows nothing.

use super::super::ident::RepoPath;
use super::super::settings::Check;
use super::{Change, Finding, Gate, Outcome, show};

/// Programs, and the files that say what they run, wherever in the tree; a `*` stands for anything.
/// Every system that `config` recognises is here.
#[rustfmt::skip]
const TABLE: &[(&[&str], &[&str])] = &[
    (&["make", "gmake"], &["GNUmakefile", "makefile", "Makefile", "Makefile.am", "Makefile.in", "*.mk"]),
    (&["cargo"], &["Cargo.toml"]),
    (&["go"], &["go.mod", "go.work"]),
    (&["npm", "npx", "pnpm", "yarn", "bun"], &["package.json", "jest.config.*", "vitest.config.*", "vite.config.*", ".mocharc.*"]),
    (&["jest"], &["package.json", "jest.config.*"]),
    (&["vitest"], &["vitest.config.*", "vite.config.*"]),
    (&["mocha"], &["package.json", ".mocharc.*"]),
    (&["deno"], &["deno.json", "deno.jsonc"]),
    (&["pytest", "py.test"], &["pytest.ini", ".pytest.ini", "pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg", "conftest.py"]),
    (&["tox"], &["tox.ini", "tox.toml", "pyproject.toml", "setup.cfg"]),
    (&["nox"], &["noxfile.py"]),
    (&["mvn", "mvnw"], &["pom.xml"]),
    (&["gradle", "gradlew"], &["*.gradle", "*.gradle.kts", "gradlew"]),
    (&["rake"], &["Rakefile", "rakefile", "Rakefile.rb", "*.rake"]),
    (&["rspec"], &[".rspec", "spec_helper.rb"]),
    (&["phpunit"], &["phpunit.xml", "phpunit.xml.dist", "phpunit.dist.xml"]),
    (&["composer"], &["composer.json"]),
    (&["cmake", "ctest"], &["CMakeLists.txt", "CMakePresets.json", "*.cmake"]),
    (&["meson"], &["meson.build", "meson.options", "meson_options.txt"]),
    (&["configure"], &["configure", "configure.ac"]),
    (&["just"], &["justfile", "Justfile", ".justfile"]),
    (&["sbt"], &["*.sbt"]),
    (&["mix"], &["mix.exs"]),
];

/// Programs that run what comes after them: the first word that is no option is what is run.
#[rustfmt::skip]
const CARRIERS: &[&str] = &[
    "sh", "bash", "dash", "ksh", "zsh", ".", "source", "python", "python3", "node", "ruby", "perl", "php", "lua",
    "env", "exec", "command", "time", "timeout", "nice", "nohup", "xvfb-run", "if", "then", "else", "while", "do", "!",
];

/// Options whose value is such a file.
const OPTIONS: &[&str] = &["-f", "--file", "--makefile", "--config"];

/// Options after which a carrier reads a file and does not run it.
const READ_ONLY: &[&str] = &["-n", "--check", "-l"];

/// What the name of a script begins with, in one of its words, that judges others. A check may as
/// well run the very program that is to be changed (`./greet | grep -q world`).
const JUDGES: &[&str] = &["test", "check", "verif", "lint", "spec", "ci"];

/// Asks about every changed file that decides what one of the checks runs.
pub(super) fn judge(change: &Change, checks: &[Check]) -> Option<Finding> {
    let check = checks.iter().find(|check| runs(&check.run, &change.path))?;
    let of = |text: &str| show::bytes(text.as_bytes());
    Some(Finding {
        gate: Gate::Protected,
        outcome: Outcome::Ask,
        path: Some(change.path.clone()),
        line: None,
        reason: format!(
            "{} decides what the check {} runs ({}), so a person has to look at it",
            show::path(&change.path),
            of(&check.name),
            of(&check.run)
        ),
    })
}

/// Whether a shell command plainly runs what the file at `path` says. No shell is imitated: a word
/// too many asks once more than needed, and what a script runs in turn is not followed.
fn runs(command: &str, path: &RepoPath) -> bool {
    let name = String::from_utf8_lossy(path.file_name());
    let path = path.lossy();
    let simple = |c: char| ";|&\n(){}`$<>".contains(c);
    // Below another folder a name is no longer a path from the root.
    let moves = command
        .split(|c: char| c.is_whitespace() || simple(c))
        .any(|word| word == "cd" || word.starts_with("-C"));
    let is_path = |word: &str| {
        let word = word.trim_start_matches("./");
        let below = || {
            path.strip_suffix(word)
                .is_some_and(|rest| rest.ends_with('/'))
        };
        !word.is_empty() && (path == word || moves && below())
    };
    command.split(simple).any(|one| {
        let (mut due, mut value) = (true, false);
        one.split_whitespace().any(|word| {
            let word = word.trim_matches(['"', '\'']);
            let program = word.rsplit('/').next().unwrap_or(word);
            let mut table = TABLE
                .iter()
                .filter(|(programs, _)| programs.contains(&program));
            if table.any(|(_, files)| files.iter().any(|file| fits(file, &name))) {
                return true;
            }
            let (option, given) = word.split_once('=').unwrap_or((word, ""));
            if OPTIONS.contains(&option) && is_path(given) || value && is_path(word) {
                return true;
            }
            value = OPTIONS.contains(&word);
            let aside = word.starts_with('-')
                || word.starts_with(|c: char| c.is_ascii_digit())
                || word.contains('=');
            let judges = || {
                let mut words = word.split(|c: char| !c.is_alphanumeric());
                words.any(|word| JUDGES.iter().any(|name| word.starts_with(name)))
            };
            let run = due && !aside && is_path(word) && judges();
            due = due && !READ_ONLY.contains(&word) && (aside || CARRIERS.contains(&program));
            run
        })
    })
}

/// Whether `name` fits a pattern with at most one `*`.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_runs_what_its_program_reads_and_the_script_that_it_names() {
        for (command, path) in [
            ("make check", "Makefile"),
            ("make check", "GNUmakefile"),
            ("timeout 60 make -k check", "sub/Makefile"),
            ("./configure && make check", "configure"),
            ("./configure && make check", "Makefile.in"),
            ("make -f build/rules check", "build/rules"),
            ("make --file=build/rules", "build/rules"),
            ("cargo test --workspace --locked", "crates/a/Cargo.toml"),
            ("PYTHONPATH=src python3 -m pytest", "pyproject.toml"),
            ("python3 -m pytest", "tests/conftest.py"),
            ("vitest run --config other.ts", "other.ts"),
            ("npm test", "package.json"),
            ("./gradlew --offline test", "build.gradle.kts"),
            ("mvn -o -q test", "pom.xml"),
            (
                "cmake -S . -B b && ctest --test-dir b",
                "lib/CMakeLists.txt",
            ),
            ("meson test -C b", "meson.build"),
            ("bundle exec rake test", "Rakefile"),
            ("bundle exec rspec", ".rspec"),
            ("vendor/bin/phpunit", "phpunit.xml"),
            ("go test ./...", "go.mod"),
            ("sh tests/run", "tests/run"),
            ("./check.sh --all", "check.sh"),
            ("env A=1 bash -eu \"tools/check.sh\"", "tools/check.sh"),
            ("sh -c 'make check'", "Makefile"),
            ("if ./check.sh; then exit 1; fi", "check.sh"),
            ("cd sub && ./check.sh", "sub/check.sh"),
            ("exit $(python3 tools/check.py)", "tools/check.py"),
        ] {
            assert!(runs(command, &path.into()), "{command}: {path}");
        }
        for (command, path) in [
            ("grep -qx right answer.txt", "answer.txt"),
            ("make check", "src/main.c"),
            ("make check", "Makefile.md"),
            ("cargo test", "src/lib.rs"),
            ("python3 -m pytest", "tests/test_a.py"),
            ("python3 -m unittest discover", "pyproject.toml"),
            ("sh tests/run bin/greet", "bin/greet"),
            ("./check.sh", "other/check.sh"),
            ("sh -n bin/greet.sh && true", "bin/other.sh"),
            ("./greet | grep -q world", "greet"),
            ("sh -n tests/run", "tests/run"),
            ("", "Makefile"),
        ] {
            assert!(!runs(command, &path.into()), "{command}: {path}");
        }
    }
}
