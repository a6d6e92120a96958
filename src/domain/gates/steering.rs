//! Files that steer something other than the program: people's tools, agents, the forge, and
//! the checks that judge this very change.
//!
//! Names are compared as any system would that ignores case, trailing dots and what cannot be
//! seen. Neither list can be shortened by a repository.

use super::super::ident::RepoPath;
use super::super::settings::{GatePolicy, Scope};
use super::names::folded;
use super::{Change, Finding, Gate, Outcome, languages, manifests, runners, show};

const OWN: &str = "holds the rules for later tasks";
const CI: &str = "configures CI or the forge";
const AGENTS: &str = "instructs coding agents";
const HOOKS: &str = "makes git or an editor run commands on other machines";
const OWNERS: &str = "says who has to review";
const TOOLS: &str = "configures a tool of this repository";

/// Files by name, at any depth; a `*` stands for anything.
#[rustfmt::skip]
const FILES: &[(&str, &[&str])] = &[
    (OWNERS, &["codeowners"]),
    (
        CI,
        &[
            "*.gitlab-ci.yml", "*.gitlab-ci.yaml", ".travis.yml", ".travis.yaml", ".drone.*",
            ".woodpecker.*", "jenkinsfile*", "*.jenkinsfile", "azure-pipelines*", "bitbucket-pipelines.*",
            ".cirrus.*", "*appveyor.y*ml", "buildspec*.y*ml", "cloudbuild*.y*ml", "circle.yml",
            "wercker.yml", "codefresh.y*ml", "*zuul.y*ml", ".build.yml", ".mergify.*", ".bors.toml",
            "bors.toml", "renovate.json*", ".renovaterc*", "dependabot.y*ml", ".releaserc*", "*codecov.y*ml",
            ".goreleaser.*",
        ],
    ),
    (
        AGENTS,
        &[
            "agents.md", "agents.*.md", "agents.override.md", "agent.md", "claude.md", "claude.*.md",
            "gemini.md", "qwen.md", "warp.md", "crush.md", "copilot-instructions.md", "*.instructions.md",
            ".cursorrules", ".cursorignore", ".windsurfrules", ".clinerules", ".roorules", ".roomodes",
            ".goosehints", ".aider*", ".mcp.json", "mcp.json", "skill.md",
        ],
    ),
    (
        HOOKS,
        &[
            ".pre-commit-config.*", ".pre-commit-hooks.*", "*lefthook*.yml", "*lefthook*.yaml",
            "*lefthook*.toml", "*lefthook*.json", ".huskyrc*", ".lintstagedrc*", "lint-staged.config.*",
            ".simple-git-hooks*", "simple-git-hooks.*", ".overcommit.yml", ".envrc", ".gitconfig",
            "commitlint.config.*", ".commitlintrc*",
        ],
    ),
];

/// Folders by name, at any depth, with all that is in them.
#[rustfmt::skip]
const FOLDERS: &[(&str, &[&str])] = &[
    (
        CI,
        &[
            ".github", ".forgejo", ".gitea", ".gitlab", ".circleci", ".buildkite", ".woodpecker", ".drone",
            ".semaphore", ".builds", ".azuredevops", ".azure-pipelines", ".azure", ".jenkins", ".teamcity",
            ".tekton", ".travis", ".concourse",
        ],
    ),
    (
        AGENTS,
        &[
            ".cursor", ".claude", ".codex", ".gemini", ".continue", ".windsurf", ".roo", ".cline",
            ".clinerules", ".kiro", ".junie", ".augment", ".amazonq", ".opencode", ".goose", ".agents",
            ".agent", ".qwen", ".aider",
        ],
    ),
    (
        HOOKS,
        &[
            ".husky", ".githooks", ".git-hooks", ".hooks", ".lefthook", ".devcontainer", ".vscode", ".idea",
            ".direnv", ".zed", ".fleet",
        ],
    ),
    (TOOLS, &[".cargo", ".mvn", ".yarn", ".bundle"]),
];

/// Dotfiles at the root that are changed with the program and steer nothing that runs: what is
/// left out of commits and packages, how text looks, examples of settings.
///
/// `.gitattributes` and `.gitmodules` have a gate of their own.
#[rustfmt::skip]
const HARMLESS: &[&str] = &[
    ".gitattributes", ".gitmodules", ".gitignore", ".gitkeep", ".keep", ".mailmap", ".git-blame-ignore-revs", ".editorconfig", ".ignore",
    ".nojekyll", ".prettierignore", ".eslintignore", ".stylelintignore", ".clang-format", ".rustfmt.toml",
    ".prettierrc", ".prettierrc.json", ".prettierrc.y*ml", ".prettierrc.toml", ".markdownlint*.json*",
    ".markdownlint*.y*ml", ".yamllint*", ".spelling", ".cspell*", ".typos.toml", "*.example", "*.sample",
    "*.template",
];

/// Why a path is protected in every repository, as a sentence without its subject.
pub(super) fn protected(path: &RepoPath) -> Option<&'static str> {
    let parts = parts(path);
    let (name, folders) = parts.split_last()?;
    let whole = parts.join("/");
    let own = [
        "prentice.toml",
        ".github/prentice.toml",
        ".forgejo/prentice.toml",
        ".gitea/prentice.toml",
    ];
    if own.contains(&whole.as_str()) {
        return Some(OWN);
    }
    let named = FILES
        .iter()
        .find(|(_, names)| names.iter().any(|pattern| fits(pattern, name)));
    // A link stands for the folder of its name.
    let within = || {
        FOLDERS
            .iter()
            .find(|(_, names)| parts.iter().any(|part| names.contains(&part.as_str())))
    };
    let dotfile = folders.is_empty()
        && name.starts_with('.')
        && !HARMLESS.iter().any(|pattern| fits(pattern, name));
    named
        .or_else(within)
        .map(|(why, _)| *why)
        .or(dotfile.then_some(TOOLS))
}

/// What runs a check, told by words of its command; what it reads beside the program. A name
/// without a slash is meant at any depth, one that begins with `/` at the root only.
#[rustfmt::skip]
const RUNNERS: &[(&[&str], &[&str])] = &[
    (&["make", "gmake"], &["/makefile", "/gnumakefile", "/*.mk"]),
    (&["cmake", "ctest", "ninja"], &["cmakelists.txt", "ctestconfig.cmake", "cmakepresets.json", "*.cmake"]),
    (&["meson"], &["meson.build", "meson_options.txt", "meson.options"]),
    (&["just"], &["justfile", ".justfile", "*.just"]),
    (&["task", "go-task"], &["taskfile.y*ml", "taskfile.dist.y*ml"]),
    (&["rake"], &["rakefile", "*.rake"]),
    (&["rspec", "rake", "rails", "bundle"], &[".rspec", "spec_helper.rb", "rails_helper.rb", "test_helper.rb"]),
    (
        &["cargo", "cargo-nextest"],
        &["build.rs", "cargo.toml", "nextest.toml", "clippy.toml", ".clippy.toml"],
    ),
    (
        &["pytest", "py.test", "tox", "nox", "python", "python3", "uv", "poetry", "hatch", "pdm", "pipenv", "coverage"],
        &[
            "pytest.ini", ".pytest.ini", "tox.ini", "conftest.py", "noxfile.py", "sitecustomize.py",
            "usercustomize.py", ".coveragerc", "hatch.toml", "setup.cfg", "pyproject.toml",
        ],
    ),
    (
        &["npm", "npx", "yarn", "pnpm", "pnpx", "bun", "bunx", "deno", "node", "jest", "vitest", "mocha", "karma", "ava"],
        &[
            "package.json", "jest.config.*", "jest.setup.*", "jest-*.config.*", "vitest.config.*", "vitest.workspace.*",
            "vitest.setup.*", "vite.config.*", "karma.conf.*", ".mocharc*", "mocha.opts", "ava.config.*",
            "playwright.config.*", "cypress.config.*", "cypress.json", "babel.config.*", ".babelrc*", ".swcrc",
            "wdio.conf.*", "jasmine.json", ".nycrc*", ".taprc", "tsconfig*.json", "turbo.json", "nx.json",
            "project.json", "lerna.json", "angular.json",
        ],
    ),
    (&["go", "gotestsum", "ginkgo"], &["go.work"]),
    (&["phpunit", "composer", "pest", "php"], &["phpunit.xml*", "phpunit.dist.xml", "pest.php", "composer.json"]),
    (&["gradle", "gradlew"], &["*.gradle", "*.gradle.kts", "gradle.properties", "junit-platform.properties", "gradlew"]),
    (&["mvn", "mvnw"], &["pom.xml", "junit-platform.properties", "mvnw"]),
    (&["mix"], &["mix.exs", "test_helper.exs"]),
    (&["dotnet"], &["*.runsettings", "directory.build.*", "xunit.runner.json", "*.csproj", "*.fsproj"]),
    (&["swift", "xcodebuild"], &["package.swift", "*.xctestplan"]),
    (&["bazel", "bazelisk"], &["build", "build.bazel", ".bazelrc", "*.bzl", "workspace", "module.bazel"]),
    (&["prove"], &[".proverc"]),
    (&["bats"], &["setup_suite.bash"]),
    (&["sbt"], &["build.sbt", "plugins.sbt"]),
    (&["golangci-lint"], &[".golangci.*"]),
];

/// Longest part of a command that is read, in bytes.
const COMMAND_CAP: usize = 16 << 10;

/// Files that steer the checks which judge the change: one finding for each, none for those that
/// `told` speaks of already.
///
/// `commands` are those of checks and set-up, as `sh -c` gets them.
pub(super) fn judge(
    changes: &[&Change],
    scope: &Scope,
    commands: &[&str],
    told: &[Finding],
) -> Vec<Finding> {
    let read = Commands::new(commands);
    let known = |path: &RepoPath| {
        told.iter().any(|finding| {
            matches!(finding.gate, Gate::Protected | Gate::Dependencies)
                && finding.path.as_ref() == Some(path)
        })
    };
    // Where lists of dependencies may change unasked, the rest of a manifest still may not.
    let only_dependencies = |change: &Change| {
        scope.dependencies == GatePolicy::Allow && manifests::only_dependencies(change)
    };
    changes
        .iter()
        .filter(|change| read.steered_by(&change.path))
        .filter(|change| !known(&change.path) && !only_dependencies(change))
        .map(|change| Finding {
            gate: Gate::Protected,
            outcome: Outcome::Ask,
            path: Some(change.path.clone()),
            line: None,
            reason: format!(
                "{} steers the checks that judge this change",
                show::path(&change.path)
            ),
        })
        .collect()
}

/// What the commands of checks and set-up say of files.
struct Commands {
    /// Words with a slash or a dot, as paths.
    paths: Vec<String>,
    /// Every other word: a file at the root, or nothing.
    bare: Vec<String>,
    /// Patterns of the programs that are run.
    patterns: Vec<&'static str>,
    /// Whether a command goes to another folder, so that its words may be said from there.
    moves: bool,
}

/// Programs whose arguments are what they look at or build, not what they do.
#[rustfmt::skip]
const LOOK: &[&str] = &[
    "grep", "egrep", "fgrep", "rg", "test", "[", "[[", "cat", "diff", "cmp", "comm", "head", "tail", "wc", "ls",
    "echo", "printf", "cp", "mv", "rm", "mkdir", "touch", "sed", "sort", "uniq", "find", "cut", "tr", "stat", "cd",
    "pushd", "chmod", "jq", "file", "sha256sum", "md5sum", "cksum", "xmllint", "shellcheck", "cc", "gcc", "g++",
    "c++", "clang", "clang++", "rustc", "rustfmt", "javac", "kotlinc", "tsc", "ghc", "ocamlfind", "swiftc", "gofmt",
    "ruff", "black", "mypy", "flake8", "pylint", "eslint", "prettier", "git",
];
/// Words before a program that are none.
#[rustfmt::skip]
const BEFORE: &[&str] = &[
    "!", "if", "then", "elif", "else", "while", "until", "do", "time", "env", "exec", "command", "timeout", "nice",
    "nohup", "sudo", "xargs", "stdbuf", "set",
];
/// Words after which a command is said from another folder.
const MOVES: &[&str] = &[
    "cd",
    "pushd",
    "-c",
    "--directory",
    "--prefix",
    "--cwd",
    "--dir",
];

impl Commands {
    fn new(commands: &[&str]) -> Self {
        let mut read = Self {
            paths: Vec::new(),
            bare: Vec::new(),
            patterns: Vec::new(),
            moves: false,
        };
        let mut programs: Vec<String> = Vec::new();
        for command in commands {
            let text: String = command.chars().take(COMMAND_CAP).collect();
            for simple in text
                .to_lowercase()
                .split([';', '|', '&', '(', ')', '`', '\n'])
            {
                let space = |c: char| c.is_whitespace() || "'\"<>${}".contains(c);
                let words: Vec<&str> = simple
                    .split(space)
                    .filter(|word| !word.is_empty())
                    .collect();
                read.moves |= words.iter().any(|word| MOVES.contains(word));
                let program = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
                programs.extend(words.iter().map(|word| program(word)));
                read.simple(&words);
            }
        }
        let runs = |names: &[&str]| {
            programs
                .iter()
                .any(|program| names.contains(&program.as_str()))
        };
        let read_by = RUNNERS.iter().filter(|(names, _)| runs(names));
        read.patterns = read_by
            .flat_map(|(_, files)| files.iter().copied())
            .collect();
        read
    }

    /// One command without what joins it to others.
    fn simple(&mut self, words: &[&str]) {
        let begin = words.iter().position(|word| {
            !BEFORE.contains(word)
                && !word.contains('=')
                && !word.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        });
        let Some((first, rest)) = begin
            .and_then(|begin| words.get(begin..))
            .and_then(<[_]>::split_first)
        else {
            return;
        };
        let program = first.rsplit('/').next().unwrap_or(first);
        let shell = ["sh", "bash", "dash", "ksh", "zsh"].contains(&program);
        // `sh -c 'x y'` has a command of its own in it, `sh -n x` runs nothing.
        if shell && let Some(at) = rest.iter().position(|word| *word == "-c") {
            self.simple(rest.get(at + 1..).unwrap_or_default());
        } else if !(LOOK.contains(&program) || shell && rest.contains(&"-n")) {
            words.iter().for_each(|word| self.add(word));
        }
    }

    /// A word of a command, which may be `--option=path`.
    fn add(&mut self, word: &str) {
        let word = word.rsplit('=').next().unwrap_or(word);
        let bare = word.trim_start_matches("./").trim_start_matches('/');
        if !bare.is_empty() && word.contains(['/', '.']) {
            self.paths.push(bare.to_owned());
        } else if !bare.is_empty() {
            self.bare.push(bare.to_owned());
        }
    }

    fn steered_by(&self, path: &RepoPath) -> bool {
        let parts: Vec<String> = parts(path);
        let (whole, at_root) = (parts.join("/"), parts.len() == 1);
        let name = parts.last().map_or("", String::as_str);
        let by_runner = self
            .patterns
            .iter()
            .any(|pattern| match pattern.strip_prefix('/') {
                Some(pattern) => (at_root || self.moves) && fits(pattern, name),
                None => fits(pattern, name),
            });
        let from_elsewhere = |word: &String| self.moves && whole.ends_with(&format!("/{word}"));
        let by_word = || {
            self.paths
                .iter()
                .any(|word| *word == whole || from_elsewhere(word))
                || self.bare.contains(&whole)
        };
        // A file of tests that a runner is pointed at is judged by what it holds.
        let is_suite = || {
            languages::of(path, None).is_some_and(|language| {
                languages::is_test_path(path) && runners::is_suite(language.name, path)
            })
        };
        by_runner || by_word() && !is_suite()
    }
}

/// The parts of a path as systems compare them that ignore case.
fn parts(path: &RepoPath) -> Vec<String> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .map(folded)
        .collect()
}

/// Whether `name` fits a pattern in which every `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for piece in pieces {
        if let Some(middle) = last.replace(piece) {
            match rest.find(middle) {
                Some(at) => rest = rest.get(at + middle.len()..).unwrap_or_default(),
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::super::super::settings::Settings;
    use super::super::{Entry, EntryKind};
    use super::*;

    #[test]
    fn what_steers_forge_agents_and_hooks_is_protected_at_any_depth_and_in_any_case() {
        for path in [
            "prentice.toml",
            "PRENTICE.toml",
            ".github/prentice.toml",
            ".gitlab-ci.yml",
            "ci/deploy.gitlab-ci.yml",
            ".travis.yml",
            ".drone.yml",
            "Jenkinsfile",
            "ci/Jenkinsfile.release",
            "azure-pipelines.yml",
            "bitbucket-pipelines.yml",
            ".circleci/config.yml",
            ".github/workflows/x.yml",
            "sub/.GitHub/x",
            ".pre-commit-config.yaml",
            "lefthook.yml",
            ".husky/pre-commit",
            "a/.husky/pre-commit",
            ".mcp.json",
            ".cursorrules",
            ".cursor/rules/x.mdc",
            "GEMINI.md",
            "agents.md",
            "sub/AGENTS.md",
            "CLAUDE.md",
            "a/b/claude.md",
            ".claude/settings.json",
            "docs/Codeowners",
            "CODEOWNERS",
            ".envrc",
            "sub/.envrc",
            ".github",
            ".github.",
            "AGENTS.md ",
            "AGENTS\u{200c}.md",
            "renovate.json5",
            ".vscode/tasks.json",
            "x/.cargo/config.toml",
            ".bazelrc",
            ".eslintrc.js",
            ".env",
        ] {
            assert!(protected(&path.into()).is_some(), "{path}");
        }
        for path in [
            ".gitignore",
            ".editorconfig",
            ".prettierrc",
            ".env.example",
            "sub/.gitignore",
            "sub/.eslintrc.js",
            "src/agents.rs",
            "src/agents/mod.rs",
            "README.md",
            "docs/agents.html",
            "src/hooks/x.ts",
            "Makefile",
            "fixtures/prentice.toml",
            "src/jenkins.py",
            "github/x",
            "src/mcp.rs",
            ".clang-format",
        ] {
            assert_eq!(protected(&path.into()), None, "{path}");
        }
    }

    fn change(path: &str, old: &str, new: &str) -> Change {
        let entry = |content: &str| {
            Some(Entry {
                kind: EntryKind::File,
                size: content.len() as u64,
                content: Some(content.as_bytes().to_vec()),
            })
        };
        Change {
            path: path.into(),
            old: entry(old),
            new: entry(new),
            added: 1,
            removed: 1,
            binary: false,
        }
    }

    fn steers(command: &str, path: &str) -> bool {
        let change = change(path, "a", "b");
        !judge(&[&change], &Settings::default().scope, &[command], &[]).is_empty()
    }

    #[test]
    fn what_the_commands_of_the_checks_read_steers_them() {
        for (command, path) in [
            ("sh t.sh", "t.sh"),
            ("./scripts/ci", "scripts/ci"),
            ("cd ci && ./run.sh", "ci/run.sh"),
            (
                "FOO=1 timeout 5 bash -c 'scripts/a.sh; scripts/b.sh'",
                "scripts/b.sh",
            ),
            ("make check", "Makefile"),
            ("make check", "rules.mk"),
            ("make -C sub", "sub/Makefile"),
            ("cargo test", "build.rs"),
            ("cargo test", "crates/a/build.rs"),
            ("cmake -B b && ctest", "src/CMakeLists.txt"),
            ("python3 -m pytest -q", "conftest.py"),
            ("pytest", "tests/conftest.py"),
            ("pytest", "pytest.ini"),
            ("tox", "tox.ini"),
            ("npm test", "jest.config.js"),
            ("npx mocha", ".mocharc.yml"),
            ("go test ./...", "go.work"),
            ("bundle exec rspec", ".rspec"),
            ("just test", "justfile"),
            ("task test", "Taskfile.yml"),
            ("rake", "Rakefile"),
            ("vendor/bin/phpunit", "phpunit.xml.dist"),
            ("pytest -c ci/p.ini", "ci/p.ini"),
            ("pytest --config-file=ci/p.ini", "ci/p.ini"),
            ("A=b timeout 60 python3 check.py out.txt", "check.py"),
            ("make && if ! tools/check; then exit 1; fi", "tools/check"),
        ] {
            assert!(steers(command, path), "{command}: {path}");
        }
        for (command, path) in [
            ("cargo test", "src/main.rs"),
            ("cargo test", "Makefile"),
            ("cargo test", "CMakeLists.txt"),
            ("make check", "build.rs"),
            ("make check", "src/x.c"),
            ("make check", "docs/Makefile"),
            ("pytest tests/test_x.py", "tests/test_x.py"),
            ("pytest", "src/x.py"),
            ("npm test", "src/index.js"),
            ("sh t.sh", "src/t.sh"),
            ("go test ./...", "x_test.go"),
            ("cargo test -p src", "src/lib.rs"),
            ("grep -qx right answer.txt", "answer.txt"),
            ("test -s answer.txt && bash -c 'cmp a.txt b.txt'", "a.txt"),
            ("cc -o x main.c && ./x", "main.c"),
            ("sh -n bin/greet", "bin/greet"),
        ] {
            assert!(!steers(command, path), "{command}: {path}");
        }
        let change = change("t.sh", "a", "b");
        let found = judge(&[&change], &Settings::default().scope, &["sh t.sh"], &[]);
        insta::assert_snapshot!(found[0].reason, @"`t.sh` steers the checks that judge this change");
    }

    #[test]
    fn a_file_that_another_gate_speaks_of_is_told_once() {
        let change = change("package.json", "{}", "{\"scripts\":{\"test\":\"true\"}}");
        let scope = Settings::default().scope;
        let told = judge(&[&change], &scope, &["npm test"], &[]);
        assert_eq!(told.len(), 1);
        assert_eq!(judge(&[&change], &scope, &["npm test"], &told), []);
    }

    #[test]
    fn a_manifest_whose_dependencies_may_change_is_told_when_something_else_in_it_does() {
        let scope = Scope {
            dependencies: GatePolicy::Allow,
            ..Settings::default().scope
        };
        for (path, command, old, new, told) in [
            (
                "package.json",
                "npm test",
                "{\"version\":\"1\"}",
                "{\"version\":\"2\",\"dependencies\":{\"a\":\"1\"}}",
                false,
            ),
            (
                "package.json",
                "npm test",
                "{}",
                "{\"scripts\":{\"test\":\"true\"}}",
                true,
            ),
            (
                "package.json",
                "npm test",
                "{}",
                "{\"jest\":{\"testMatch\":[]}}",
                true,
            ),
            (
                "Cargo.toml",
                "cargo test",
                "[lib]\n",
                "[lib]\n[dependencies]\na = \"1\"\n",
                false,
            ),
            (
                "Cargo.toml",
                "cargo test",
                "[lib]\n",
                "[lib]\ntest = false\n",
                true,
            ),
            (
                "pyproject.toml",
                "pytest",
                "[project]\nversion = \"1\"\n",
                "[project]\nversion = \"2\"\n[tool.poetry.dependencies]\na = \"1\"\n",
                false,
            ),
            (
                "pyproject.toml",
                "pytest",
                "",
                "[tool.pytest.ini_options]\naddopts = \"-k no\"\n",
                true,
            ),
            ("setup.cfg", "pytest", "a", "b", true),
        ] {
            let found = judge(&[&change(path, old, new)], &scope, &[command], &[]);
            assert_eq!(!found.is_empty(), told, "{path}: {new}");
        }
    }

    #[test]
    fn patterns_with_many_stars_fit_in_order() {
        for (pattern, name, fitting) in [
            ("*appveyor.y*ml", ".appveyor.yml", true),
            ("*appveyor.y*ml", "appveyor.yaml", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a", "ab", false),
            ("a*", "a", true),
        ] {
            assert_eq!(fits(pattern, name), fitting, "{pattern} {name}");
        }
    }
}
