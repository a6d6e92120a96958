//! Guesses set-up and checks from the files of a repository that configures none.
//!
//! One guess per language, by what lies at the root: Cargo; Go; npm, pnpm or yarn; Python; Maven,
//! else Gradle; Ruby; PHP; CMake, else Meson, else `configure`. A repository of several
//! languages gets several checks. Only where none of these is found: a Makefile with a target
//! `check` or `test`, else a well-known test script. What is guessed is always marked as a guess.

use std::collections::BTreeSet;

use super::new_check;
use crate::domain::ident::RepoPath;
use crate::domain::settings::Check;

/// What a repository seems to be built and tested with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// Each build system and the file that gave it away: ``Cargo (`Cargo.toml`)``.
    pub build_system: String,
    /// Commands before any check; without network.
    pub setup: Vec<String>,
    /// At least one.
    pub checks: Vec<Check>,
}

/// Guesses from all paths of a commit; `read` gives the text of a path, `None` where it is no
/// text or too large. `None` where nothing is recognised.
pub fn recognise(paths: &[RepoPath], read: impl Fn(&str) -> Option<String>) -> Option<Guess> {
    let text = |path| std::str::from_utf8(RepoPath::as_bytes(path)).ok();
    let tree = Tree {
        paths: paths.iter().filter_map(text).collect(),
        read: &read,
    };
    let languages = [cargo, go, node, python, jvm, ruby, php, c];
    let mut systems: Vec<System> = languages.iter().filter_map(|guess| guess(&tree)).collect();
    if systems.is_empty() {
        let fallbacks = [make, loose_python, script];
        systems.extend(fallbacks.iter().find_map(|guess| guess(&tree)));
    }
    let alone = systems.len() == 1;
    let named = systems
        .iter()
        .map(|system| format!("{} (`{}`)", system.name, system.file));
    let build_system = named.collect::<Vec<_>>().join(" and ");
    let checks = systems.iter().map(|system| {
        let name = if alone {
            "tests".to_owned()
        } else {
            system.name.to_lowercase()
        };
        new_check(&name, &system.test)
    });
    let checks: Vec<Check> = checks.collect();
    let setup = systems
        .iter()
        .flat_map(|system| system.setup.clone())
        .collect();
    (!checks.is_empty()).then_some(Guess {
        build_system,
        setup,
        checks,
    })
}

/// One build system. Its name in small letters is a legal name of a check.
struct System {
    name: &'static str,
    file: String,
    setup: Vec<String>,
    test: String,
}

impl System {
    fn new(name: &'static str, file: &str, test: impl Into<String>) -> Self {
        Self {
            name,
            file: file.to_owned(),
            setup: Vec::new(),
            test: test.into(),
        }
    }

    fn after(mut self, setup: &str) -> Self {
        self.setup.push(setup.to_owned());
        self
    }
}

/// The files of a commit.
struct Tree<'a> {
    paths: BTreeSet<&'a str>,
    read: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Tree<'a> {
    fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// The first of these that is there.
    fn first<'n>(&self, paths: &[&'n str]) -> Option<&'n str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// Paths in a folder, named with its slash.
    fn under(&self, folder: &str) -> impl Iterator<Item = &'a str> {
        let paths = self.paths.iter().copied();
        paths.filter(move |path| path.starts_with(folder))
    }

    /// The text of a file of the tree; empty where it cannot be read.
    fn text(&self, path: &str) -> String {
        let text = self.has(path).then(|| (self.read)(path)).flatten();
        text.unwrap_or_default()
    }
}

fn cargo(tree: &Tree<'_>) -> Option<System> {
    let manifest = tree.has("Cargo.toml").then(|| tree.text("Cargo.toml"))?;
    let manifest: toml::Table = manifest.parse().ok()?;
    if !manifest.contains_key("package") && !manifest.contains_key("workspace") {
        return None;
    }
    let locked = if tree.has("Cargo.lock") {
        " --locked"
    } else {
        ""
    };
    let test = format!("cargo test --workspace{locked}");
    Some(System::new("Cargo", "Cargo.toml", test))
}

fn go(tree: &Tree<'_>) -> Option<System> {
    tree.has("go.mod")
        .then(|| System::new("Go", "go.mod", "go test ./..."))
}

fn node(tree: &Tree<'_>) -> Option<System> {
    let manifest = tree
        .has("package.json")
        .then(|| tree.text("package.json"))?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).ok()?;
    let test = manifest.pointer("/scripts/test")?.as_str()?;
    // What `npm init` writes.
    if test.trim().is_empty() || test.contains("no test specified") {
        return None;
    }
    let needs = ["dependencies", "devDependencies", "optionalDependencies"]
        .iter()
        .any(|key| {
            let table = manifest.get(*key).and_then(serde_json::Value::as_object);
            table.is_some_and(|table| !table.is_empty())
        });
    let needs = needs || manifest.get("workspaces").is_some();
    let manager = manifest
        .get("packageManager")
        .and_then(serde_json::Value::as_str);
    let manager = manager.and_then(|manager| manager.split('@').next());
    let npm_lock = tree.has("package-lock.json") || tree.has("npm-shrinkwrap.json");
    let (name, test, setup) = match manager {
        Some("pnpm") => ("pnpm", "pnpm test", PNPM),
        Some("yarn") => ("yarn", "yarn test", yarn(tree)),
        _ if npm_lock => ("npm", "npm test", "npm ci --offline"),
        _ if tree.has("pnpm-lock.yaml") => ("pnpm", "pnpm test", PNPM),
        _ if tree.has("yarn.lock") => ("yarn", "yarn test", yarn(tree)),
        _ => ("npm", "npm test", "npm install --offline --no-package-lock"),
    };
    let system = System::new(name, "package.json", test);
    Some(if needs { system.after(setup) } else { system })
}

const PNPM: &str = "pnpm install --offline --frozen-lockfile";

/// Yarn from version 2 on has a file of its own and no `--offline`.
fn yarn(tree: &Tree<'_>) -> &'static str {
    match tree.has(".yarnrc.yml") {
        true => "yarn install --immutable",
        false => "yarn install --offline --frozen-lockfile",
    }
}

fn python(tree: &Tree<'_>) -> Option<System> {
    let markers = [
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "pytest.ini",
        "tox.ini",
        "conftest.py",
        "Pipfile",
        "requirements.txt",
    ];
    python_tests(tree, tree.first(&markers)?)
}

/// Python without any file that says so: only test files.
fn loose_python(tree: &Tree<'_>) -> Option<System> {
    let file = test_files(tree).next()?;
    python_tests(tree, file)
}

fn python_tests(tree: &Tree<'_>, marker: &str) -> Option<System> {
    // Tests of a package under `src` cannot import it without being told where it is.
    let in_src = tree
        .under("src/")
        .any(|path| path.ends_with("/__init__.py") && path.matches('/').count() == 2);
    let path = if in_src { "PYTHONPATH=src " } else { "" };
    let sections = [
        ("pyproject.toml", "pytest"),
        ("setup.cfg", "[tool:pytest]"),
        ("tox.ini", "[pytest]"),
        ("setup.py", "pytest"),
        ("Pipfile", "pytest"),
    ];
    let lists = [
        "requirements.txt",
        "requirements-dev.txt",
        "dev-requirements.txt",
        "requirements-test.txt",
        "test-requirements.txt",
    ];
    let lists = lists.map(|list| (list, "pytest"));
    let own = [
        "pytest.ini",
        ".pytest.ini",
        "conftest.py",
        "tests/conftest.py",
        "test/conftest.py",
    ];
    let file = tree.first(&own).or_else(|| {
        let mut named = sections.into_iter().chain(lists);
        named
            .find(|(file, word)| tree.text(file).contains(word))
            .map(|(file, _)| file)
    });
    // Many say it nowhere but in the tests themselves.
    let imported = || {
        test_files(tree).take(20).find(|file| {
            tree.text(file)
                .lines()
                .any(|line| line.starts_with("import pytest") || line.starts_with("from pytest"))
        })
    };
    let any = tree.paths.iter().any(|path| {
        path.ends_with("_test.py") || path.ends_with(".py") && path.starts_with("test")
    });
    if let Some(file) = file
        .or_else(imported)
        .filter(|_| any || test_files(tree).next().is_some())
    {
        return Some(System::new(
            "pytest",
            file,
            format!("{path}python3 -m pytest"),
        ));
    }
    // `unittest` looks below its start only into packages.
    let found = |file: &str| {
        let folders = file
            .match_indices('/')
            .filter_map(|(end, _)| file.get(..end));
        let mut packages = folders.map(|folder| format!("{folder}/__init__.py"));
        packages.all(|package| tree.has(&package))
    };
    if test_files(tree).any(found) {
        let test = format!("{path}python3 -m unittest discover");
        return Some(System::new("unittest", marker, test));
    }
    let start = ["tests/", "test/"].into_iter().find(|folder| {
        test_files(tree).any(|file| {
            file.strip_prefix(folder)
                .is_some_and(|rest| !rest.contains('/'))
        })
    })?;
    let test = format!(
        "{path}python3 -m unittest discover -s {}",
        start.trim_end_matches('/')
    );
    Some(System::new("unittest", marker, test))
}

/// Files that `unittest` would take for tests.
fn test_files<'a>(tree: &Tree<'a>) -> impl Iterator<Item = &'a str> {
    tree.paths.iter().copied().filter(|path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.starts_with("test") && name.ends_with(".py") && !name.contains('-')
    })
}

fn jvm(tree: &Tree<'_>) -> Option<System> {
    if tree.has("pom.xml") {
        return Some(System::new("Maven", "pom.xml", "mvn -o -q test"));
    }
    let builds = [
        "build.gradle",
        "build.gradle.kts",
        "settings.gradle",
        "settings.gradle.kts",
    ];
    let file = tree.first(&builds)?;
    let program = if tree.has("gradlew") {
        "./gradlew"
    } else {
        "gradle"
    };
    Some(System::new(
        "Gradle",
        file,
        format!("{program} --offline test"),
    ))
}

fn ruby(tree: &Tree<'_>) -> Option<System> {
    let file = tree.first(&["Gemfile", "Rakefile", ".rspec"])?;
    let bundle = if tree.has("Gemfile") {
        "bundle exec "
    } else {
        ""
    };
    let specs = tree.under("spec/").any(|path| path.ends_with("_spec.rb"));
    if specs {
        return Some(System::new("RSpec", file, format!("{bundle}rspec")));
    }
    let rakefile = tree.text("Rakefile");
    let tests = rakefile.contains("TestTask")
        || rakefile.lines().any(|line| {
            let rest = line.trim_start().strip_prefix("task").unwrap_or_default();
            let name = rest.trim_start_matches([' ', '(', ':', '"', '\'']);
            rest.len() > name.len() && name.starts_with("test") && !name.starts_with("test:")
        });
    tests.then(|| System::new("Rake", "Rakefile", format!("{bundle}rake test")))
}

fn php(tree: &Tree<'_>) -> Option<System> {
    let manifest = tree
        .has("composer.json")
        .then(|| tree.text("composer.json"))?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).ok()?;
    let required = ["/require/phpunit~1phpunit", "/require-dev/phpunit~1phpunit"];
    if !required.iter().any(|path| manifest.pointer(path).is_some()) {
        return None;
    }
    let setup = "COMPOSER_DISABLE_NETWORK=1 composer install --no-interaction --no-progress";
    Some(System::new("PHPUnit", "composer.json", "vendor/bin/phpunit").after(setup))
}

/// The folder is our own name, so that it meets no tracked `build`.
fn c(tree: &Tree<'_>) -> Option<System> {
    let lists = tree.text("CMakeLists.txt").to_lowercase();
    let lists: String = lists.split_whitespace().collect();
    if lists.contains("enable_testing(") || lists.contains("include(ctest)") {
        let test = "cmake -S . -B .prentice-build && cmake --build .prentice-build --parallel 2 && \
            ctest --test-dir .prentice-build --output-on-failure --no-tests=error";
        return Some(System::new("CMake", "CMakeLists.txt", test));
    }
    if tree.has("meson.build") {
        let test = "meson setup --wrap-mode=nodownload .prentice-build && \
            meson test -C .prentice-build --print-errorlogs";
        return Some(System::new("Meson", "meson.build", test));
    }
    let configured = tree.has("configure") && tree.has("Makefile.in");
    configured.then(|| System::new("configure", "configure", "./configure && make check"))
}

fn make(tree: &Tree<'_>) -> Option<System> {
    // In the order in which GNU make looks.
    let file = tree.first(&["GNUmakefile", "makefile", "Makefile"])?;
    let text = tree.text(file);
    let targets = make_targets(&text);
    let target = ["check", "test"]
        .into_iter()
        .find(|target| targets.contains(target))?;
    Some(System::new("make", file, format!("make {target}")))
}

/// Names left of a rule's colon. Recipes, assignments, comments and definitions are no rules.
fn make_targets(text: &str) -> BTreeSet<&str> {
    let mut targets = BTreeSet::new();
    let mut continued = false;
    let mut defining = false;
    for line in text.lines() {
        let skip = continued || line.starts_with('\t');
        continued = line.ends_with('\\');
        let word = line.split_whitespace().next().unwrap_or_default();
        defining = (defining || word == "define") && word != "endef";
        if skip || defining {
            continue;
        }
        let line = line.split('#').next().unwrap_or_default();
        let Some((left, right)) = line.split_once(':') else {
            continue;
        };
        let assigns = left.contains('=') || right.trim_start_matches(':').starts_with('=');
        if !assigns {
            targets.extend(left.split_whitespace());
        }
    }
    targets
}

fn script(tree: &Tree<'_>) -> Option<System> {
    let scripts = [
        "tests/run.sh",
        "test/run.sh",
        "tests/run",
        "test/run",
        "run-tests.sh",
        "run_tests.sh",
        "runtests.sh",
        "test.sh",
    ];
    let file = tree.first(&scripts)?;
    let text = tree.text(file);
    let first = text.lines().next().unwrap_or_default();
    let shell = if first.starts_with("#!") && first.contains("bash") {
        "bash"
    } else if file.ends_with(".sh") || first.starts_with("#!") && first.ends_with("sh") {
        "sh"
    } else {
        return None;
    };
    Some(System::new("script", file, format!("{shell} {file}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The guess for these files, one line each: system, set-up, checks.
    fn guess(files: &[(&str, &str)]) -> String {
        let texts: BTreeMap<&str, &str> = files.iter().copied().collect();
        let paths: Vec<RepoPath> = files.iter().map(|(path, _)| RepoPath::new(*path)).collect();
        let Some(guess) = recognise(&paths, |path| {
            texts.get(path).map(|text| (*text).to_owned())
        }) else {
            return "nothing".to_owned();
        };
        let setup = guess.setup.iter().map(|run| format!("\nsetup: {run}"));
        let checks = guess
            .checks
            .iter()
            .map(|check| format!("\n{}: {}", check.name, check.run));
        format!(
            "{}{}",
            guess.build_system,
            setup.chain(checks).collect::<String>()
        )
    }

    #[test]
    fn an_empty_repository_is_nothing() {
        assert_eq!(guess(&[]), "nothing");
        assert_eq!(
            guess(&[
                ("README.md", "run `cargo test`"),
                ("docs/Cargo.toml", "[package]")
            ]),
            "nothing"
        );
    }

    #[test]
    fn cargo_is_locked_only_when_the_lock_is_tracked() {
        let manifest = ("Cargo.toml", "[package]\nname = \"a\"\n");
        insta::assert_snapshot!(guess(&[manifest]), @"
        Cargo (`Cargo.toml`)
        tests: cargo test --workspace
        ");
        insta::assert_snapshot!(guess(&[manifest, ("Cargo.lock", "")]), @"
        Cargo (`Cargo.toml`)
        tests: cargo test --workspace --locked
        ");
        assert_eq!(guess(&[("Cargo.toml", "not [toml")]), "nothing");
    }

    #[test]
    fn go_and_the_jvm_and_meson_are_known_by_their_file() {
        insta::assert_snapshot!(guess(&[("go.mod", "module a")]), @"
        Go (`go.mod`)
        tests: go test ./...
        ");
        insta::assert_snapshot!(guess(&[("pom.xml", ""), ("build.gradle", "")]), @"
        Maven (`pom.xml`)
        tests: mvn -o -q test
        ");
        insta::assert_snapshot!(guess(&[("build.gradle.kts", ""), ("gradlew", "")]), @"
        Gradle (`build.gradle.kts`)
        tests: ./gradlew --offline test
        ");
        insta::assert_snapshot!(guess(&[("meson.build", "")]), @"
        Meson (`meson.build`)
        tests: meson setup --wrap-mode=nodownload .prentice-build && meson test -C .prentice-build --print-errorlogs
        ");
    }

    #[test]
    fn npm_installs_only_what_is_needed_and_the_placeholder_is_no_test() {
        let test = r#"{"scripts":{"test":"node --test"}}"#;
        let needs = r#"{"scripts":{"test":"jest"},"devDependencies":{"jest":"1"}}"#;
        let pnpm = r#"{"packageManager":"pnpm@9.1.0","scripts":{"test":"vitest"},"dependencies":{"a":"1"}}"#;
        let placeholder = r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#;
        insta::assert_snapshot!(guess(&[("package.json", test), ("package-lock.json", "")]), @"
        npm (`package.json`)
        tests: npm test
        ");
        insta::assert_snapshot!(guess(&[("package.json", needs), ("package-lock.json", "")]), @"
        npm (`package.json`)
        setup: npm ci --offline
        tests: npm test
        ");
        insta::assert_snapshot!(guess(&[("package.json", pnpm), ("package-lock.json", "")]), @"
        pnpm (`package.json`)
        setup: pnpm install --offline --frozen-lockfile
        tests: pnpm test
        ");
        insta::assert_snapshot!(guess(&[("package.json", needs), ("yarn.lock", "")]), @"
        yarn (`package.json`)
        setup: yarn install --offline --frozen-lockfile
        tests: yarn test
        ");
        assert_eq!(guess(&[("package.json", placeholder)]), "nothing");
        assert_eq!(guess(&[("package.json", "{")]), "nothing");
        assert_eq!(guess(&[("package.json", "{}")]), "nothing");
    }

    #[test]
    fn pytest_is_used_where_anything_says_so() {
        let test = ("tests/test_a.py", "import unittest\n");
        let configured = ("pyproject.toml", "[tool.pytest.ini_options]\n");
        insta::assert_snapshot!(guess(&[configured, test]), @"
        pytest (`pyproject.toml`)
        tests: python3 -m pytest
        ");
        insta::assert_snapshot!(guess(&[("setup.py", ""), ("tests/test_a.py", "import pytest\n"), ("src/a/__init__.py", "")]), @"
        pytest (`tests/test_a.py`)
        tests: PYTHONPATH=src python3 -m pytest
        ");
    }

    #[test]
    fn unittest_starts_where_it_would_find_the_tests() {
        let test = ("tests/test_a.py", "import unittest\n");
        let marker = ("pyproject.toml", "[project]\n");
        insta::assert_snapshot!(guess(&[marker, test]), @"
        unittest (`pyproject.toml`)
        tests: python3 -m unittest discover -s tests
        ");
        insta::assert_snapshot!(guess(&[marker, test, ("tests/__init__.py", "")]), @"
        unittest (`pyproject.toml`)
        tests: python3 -m unittest discover
        ");
        insta::assert_snapshot!(guess(&[("test_a.py", ""), ("a.py", "")]), @"
        unittest (`test_a.py`)
        tests: python3 -m unittest discover
        ");
        assert_eq!(guess(&[marker, ("a.py", "")]), "nothing");
        assert_eq!(
            guess(&[("requirements.txt", "pytest"), ("a.py", "")]),
            "nothing"
        );
        assert_eq!(guess(&[("deep/er/test_a.py", "")]), "nothing");
    }

    #[test]
    fn a_makefile_counts_only_by_its_targets() {
        let make = |text| guess(&[("Makefile", text)]);
        insta::assert_snapshot!(make(".PHONY: test\ntest lint: all\n\tcc\n"), @"
        make (`Makefile`)
        tests: make test
        ");
        insta::assert_snapshot!(make("test:\n\ncheck::\n\t./t\n"), @"
        make (`Makefile`)
        tests: make check
        ");
        for none in [
            "",
            ".PHONY: check test\n",
            "test := 1\ncheck = a:b\n",
            "# test: no\nall:\n\techo test: x\n",
            "SRC = a \\\n  test: b\n",
            "define help\ncheck: run it\nendef\n",
            "test ::= 1\n",
        ] {
            assert_eq!(make(none), "nothing", "{none}");
        }
    }

    #[test]
    fn ruby_php_and_cmake_need_tests_that_are_declared() {
        insta::assert_snapshot!(guess(&[("Gemfile", ""), ("spec/a_spec.rb", "")]), @"
        RSpec (`Gemfile`)
        tests: bundle exec rspec
        ");
        insta::assert_snapshot!(guess(&[("Gemfile", ""), ("Rakefile", "Rake::TestTask.new(:test)")]), @"
        Rake (`Rakefile`)
        tests: bundle exec rake test
        ");
        insta::assert_snapshot!(guess(&[("composer.json", r#"{"require-dev":{"phpunit/phpunit":"^10"}}"#)]), @"
        PHPUnit (`composer.json`)
        setup: COMPOSER_DISABLE_NETWORK=1 composer install --no-interaction --no-progress
        tests: vendor/bin/phpunit
        ");
        insta::assert_snapshot!(guess(&[("CMakeLists.txt", "project(a)\nEnable_Testing ()\n")]), @"
        CMake (`CMakeLists.txt`)
        tests: cmake -S . -B .prentice-build && cmake --build .prentice-build --parallel 2 && ctest --test-dir .prentice-build --output-on-failure --no-tests=error
        ");
        assert_eq!(guess(&[("CMakeLists.txt", "project(a)\n")]), "nothing");
        assert_eq!(
            guess(&[("Gemfile", ""), ("Rakefile", "task :build")]),
            "nothing"
        );
        assert_eq!(guess(&[("composer.json", "{}")]), "nothing");
    }

    #[test]
    fn scripts_count_only_alone_and_by_well_known_names() {
        insta::assert_snapshot!(guess(&[("tests/run.sh", "#!/bin/sh\n")]), @"
        script (`tests/run.sh`)
        tests: sh tests/run.sh
        ");
        insta::assert_snapshot!(guess(&[("test/run", "#!/usr/bin/env bash\n")]), @"
        script (`test/run`)
        tests: bash test/run
        ");
        assert_eq!(guess(&[("tests/run", "\u{7f}ELF")]), "nothing");
        assert_eq!(guess(&[("deploy.sh", "#!/bin/sh\n")]), "nothing");
    }

    #[test]
    fn several_languages_give_several_checks_and_leave_the_makefile_out() {
        let files = [
            ("Cargo.toml", "[workspace]\n"),
            (
                "package.json",
                r#"{"scripts":{"test":"jest"},"dependencies":{"a":"1"}}"#,
            ),
            ("package-lock.json", "{}"),
            ("Makefile", "test:\n\tcargo test\n"),
        ];
        insta::assert_snapshot!(guess(&files), @"
        Cargo (`Cargo.toml`) and npm (`package.json`)
        setup: npm ci --offline
        cargo: cargo test --workspace
        npm: npm test
        ");
    }

    #[test]
    fn a_path_that_is_no_text_is_passed_over() {
        let paths = [
            RepoPath::new(b"\xff\xfe".as_slice()),
            RepoPath::new("go.mod"),
        ];
        let guess = recognise(&paths, |_| None).unwrap();
        assert_eq!(guess.build_system, "Go (`go.mod`)");
    }
}
