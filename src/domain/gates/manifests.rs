//! Manifests and lockfiles: one table by ecosystem, and what a change adds to them.

use std::collections::BTreeMap;

use regex::Regex;

use super::super::settings::GatePolicy;
use super::{Change, Finding, Gate, show};

/// Most dependencies named in one reason.
const NAMED_CAP: usize = 8;

/// How the dependencies of a manifest are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// Not at all: a lockfile, or a manifest that is a program.
    None,
    /// `name = …` and `[….name]` below `[…dependencies]`, as Cargo, Poetry and Pipenv have it.
    TomlTables,
    /// Quoted requirements in `dependencies = […]` and below `[project.optional-dependencies]`.
    PyProject,
    /// Objects called `dependencies`, `require` and the like.
    Json,
    /// `name==1.2` on a line.
    Requirements,
    /// Each match of an expression: name, then version.
    Lines(&'static str),
}

/// Ecosystem, file names (a `*` stands for anything), reader.
#[rustfmt::skip]
const TABLE: &[(&str, &[&str], Reader)] = &[
    ("Cargo", &["Cargo.toml"], Reader::TomlTables),
    ("Cargo", &["Cargo.lock", "rust-toolchain", "rust-toolchain.toml"], Reader::None),
    ("npm", &["package.json"], Reader::Json),
    ("npm", &["package-lock.json", "npm-shrinkwrap.json", ".npmrc"], Reader::None),
    ("Yarn", &["yarn.lock", ".yarnrc", ".yarnrc.yml", ".pnp.cjs", ".pnp.js"], Reader::None),
    ("pnpm", &["pnpm-lock.yaml", "pnpm-workspace.yaml", ".pnpmfile.cjs"], Reader::None),
    ("Bun", &["bun.lock", "bun.lockb", "bunfig.toml"], Reader::None),
    ("Deno", &["deno.json", "deno.jsonc", "deno.lock"], Reader::None),
    ("Go", &["go.mod"], Reader::Lines(r"(?m)^\s*(?:require\s+)?([A-Za-z0-9.-]+\.[a-z]+/\S+)\s+(v\S+)")),
    ("Go", &["go.sum", "go.work", "go.work.sum"], Reader::None),
    ("Python", &["requirements*.txt", "requirements*.in", "*-requirements.txt", "*_requirements.txt", "constraints*.txt"], Reader::Requirements),
    ("Python", &["pyproject.toml"], Reader::PyProject),
    ("Python", &["Pipfile"], Reader::TomlTables),
    ("Python", &["Pipfile.lock", "poetry.lock", "uv.lock", "pdm.lock", "pylock.toml", "pylock.*.toml", "setup.py", "setup.cfg", "environment.yml", "environment.yaml", "conda-lock.yml"], Reader::None),
    ("Ruby", &["Gemfile", "gems.rb"], Reader::Lines(r#"(?m)^\s*gem\s*\(?\s*["']([^"']+)["'](?:\s*,\s*["']([^"']+)["'])?"#)),
    ("Ruby", &["*.gemspec"], Reader::Lines(r#"(?m)^\s*\w+\.add_(?:\w+_)?dependency\s*\(?\s*["']([^"']+)["'](?:\s*,\s*["']([^"']+)["'])?"#)),
    ("Ruby", &["Gemfile.lock", "gems.locked"], Reader::None),
    ("PHP", &["composer.json"], Reader::Json),
    ("PHP", &["composer.lock"], Reader::None),
    ("Maven", &["pom.xml"], Reader::Lines(r"<dependency>\s*<groupId>[^<]*</groupId>\s*<artifactId>([^<]+)</artifactId>(?:\s*<version>([^<]+)</version>)?")),
    ("Maven", &["maven-wrapper.properties", "maven-wrapper.jar", "mvnw", "mvnw.cmd"], Reader::None),
    ("Gradle", &["*.gradle", "*.gradle.kts"], Reader::Lines(r#"(?m)^\s*\w*(?:[iI]mplementation|[aA]pi|[cC]ompileOnly|[rR]untimeOnly|[aA]nnotationProcessor|kapt|ksp|classpath)\s*\(?\s*["']([^"':]+:[^"':]+)(?::([^"']+))?["']"#)),
    ("Gradle", &["gradle.lockfile", "buildscript-gradle.lockfile", "gradle.properties", "gradle-wrapper.properties", "gradle-wrapper.jar", "gradlew", "gradlew.bat", "libs.versions.toml", "verification-metadata.xml"], Reader::None),
    (".NET", &["*.csproj", "*.fsproj", "*.vbproj", "Directory.Packages.props"], Reader::Lines(r#"<Package(?:Reference|Version)\s+Include="([^"]+)"(?:\s+Version="([^"]+)")?"#)),
    (".NET", &["packages.config", "packages.lock.json", "Directory.Build.props", "Directory.Build.targets", "nuget.config", "NuGet.Config", "global.json", "paket.dependencies", "paket.lock", "dotnet-tools.json"], Reader::None),
    ("Elixir", &["mix.exs"], Reader::Lines(r#"\{\s*:([a-z_0-9]+)\s*,\s*"([^"]+)""#)),
    ("Elixir", &["mix.lock", "rebar.config", "rebar.lock"], Reader::None),
    ("Dart", &["pubspec.yaml", "pubspec.lock"], Reader::None),
    ("Swift", &["Package.swift", "Package.resolved", "Podfile", "Podfile.lock", "*.podspec", "Cartfile", "Cartfile.resolved"], Reader::None),
    ("Nix", &["flake.nix", "flake.lock", "default.nix", "shell.nix"], Reader::None),
    ("Bazel", &["WORKSPACE", "WORKSPACE.bazel", "MODULE.bazel", "MODULE.bazel.lock", "maven_install.json"], Reader::None),
    ("C and C++", &["vcpkg.json", "vcpkg-configuration.json", "conanfile.txt", "conanfile.py", "conan.lock", "meson.wrap", "*.wrap"], Reader::None),
    ("Haskell", &["*.cabal", "cabal.project", "cabal.project.freeze", "stack.yaml", "stack.yaml.lock"], Reader::None),
    ("Scala", &["build.sbt", "plugins.sbt", "build.properties"], Reader::None),
    ("Clojure", &["deps.edn", "project.clj"], Reader::None),
    ("Perl", &["cpanfile", "cpanfile.snapshot"], Reader::None),
    ("R", &["renv.lock"], Reader::None),
    ("Julia", &["Manifest.toml"], Reader::None),
    ("Terraform", &[".terraform.lock.hcl"], Reader::None),
    ("Container", &["Dockerfile", "Dockerfile.*", "*.dockerfile", "Containerfile"], Reader::Lines(r"(?mi)^FROM\s+(?:--\S+\s+)*([^\s:@]+)(?:[:@](\S+))?")),
    ("tool versions", &[".tool-versions", "mise.toml", ".mise.toml"], Reader::None),
];

/// `[scope] dependencies` over one change.
pub(super) fn judge(change: &Change, policy: GatePolicy) -> Option<Finding> {
    let outcome = policy.outcome()?;
    let name = String::from_utf8_lossy(change.path.file_name());
    let (ecosystem, reader) = TABLE
        .iter()
        .find(|(_, names, _)| names.iter().any(|pattern| fits(pattern, &name)))
        .map(|(ecosystem, _, reader)| (*ecosystem, *reader))?;
    let content = |content: Option<&[u8]>| {
        content
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default()
    };
    let old = declared(reader, &content(change.old_content()));
    let new = declared(reader, &content(change.new_content()));
    Some(Finding {
        gate: Gate::Dependencies,
        outcome,
        path: Some(change.path.clone()),
        line: None,
        reason: format!(
            "{} is a manifest or lockfile of {ecosystem} (`[scope] dependencies` = {}){}",
            show::path(&change.path),
            policy.word(),
            difference(&old, &new)
        ),
    })
}

/// Whether a change to a manifest is about dependencies and its own version alone, as far as that
/// is cheaply read. `false` for what is no manifest.
pub(super) fn only_dependencies(change: &Change) -> bool {
    let name = String::from_utf8_lossy(change.path.file_name());
    let known = TABLE
        .iter()
        .find(|(_, names, _)| names.iter().any(|pattern| fits(pattern, &name)));
    let Some((_, _, reader)) = known else {
        return false;
    };
    let rest = |content: Option<&[u8]>| {
        let text = content.map(String::from_utf8_lossy).unwrap_or_default();
        beside_dependencies(*reader, &text)
    };
    match (rest(change.old_content()), rest(change.new_content())) {
        (Some(old), Some(new)) => old == new,
        _ => false,
    }
}

/// A manifest without its dependencies and its version; `None` where they cannot be told apart.
fn beside_dependencies(reader: Reader, text: &str) -> Option<String> {
    match reader {
        Reader::None | Reader::Requirements => None,
        Reader::Lines(pattern) => {
            let regex = Regex::new(pattern).ok()?;
            Some(regex.replace_all(text, "").split_whitespace().collect())
        }
        Reader::Json => {
            let mut root: serde_json::Value = serde_json::from_str(text).ok()?;
            let lists = root.as_object_mut()?;
            for list in LISTS.iter().chain(&["version"]) {
                lists.remove(*list);
            }
            Some(root.to_string())
        }
        Reader::TomlTables | Reader::PyProject => {
            let mut inside = false;
            let kept = text.lines().map(str::trim).filter(|line| {
                if line.starts_with('[') && line.ends_with(']') {
                    inside = line.contains("dependencies") || line.contains("packages");
                }
                !inside
                    && !line.is_empty()
                    && !line.starts_with('#')
                    && !line.starts_with("version")
            });
            Some(kept.collect::<Vec<&str>>().join("\n"))
        }
    }
}

/// Whether `name` fits a pattern with at most one `*`.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(name),
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

/// `: adds …, changes …, removes …`, or nothing.
fn difference(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> String {
    let named = |name: &str, version: &str| {
        let version = show::bytes(version.as_bytes());
        match version.as_str() {
            "``" => show::bytes(name.as_bytes()),
            version => format!(
                "{} {}",
                show::bytes(name.as_bytes()),
                version.trim_matches('`')
            ),
        }
    };
    let added: Vec<String> = new
        .iter()
        .filter(|(name, _)| !old.contains_key(*name))
        .map(|(name, version)| named(name, version))
        .collect();
    let changed: Vec<String> = new
        .iter()
        .filter(|(name, version)| old.get(*name).is_some_and(|before| before != *version))
        .map(|(name, version)| named(name, version))
        .collect();
    let removed: Vec<String> = old
        .keys()
        .filter(|name| !new.contains_key(*name))
        .map(|name| named(name, ""))
        .collect();
    let parts: Vec<String> = [("adds", added), ("changes", changed), ("removes", removed)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(verb, mut names)| {
            let rest = names.split_off(names.len().min(NAMED_CAP));
            let more = match rest.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{verb} {}{more}", names.join(", "))
        })
        .collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!(": {}", parts.join("; ")),
    }
}

/// Names and versions that a manifest declares, as far as they are cheaply read.
fn declared(reader: Reader, text: &str) -> BTreeMap<String, String> {
    match reader {
        Reader::None => BTreeMap::new(),
        Reader::TomlTables => toml_tables(text),
        Reader::PyProject => py_project(text),
        Reader::Json => json(text),
        Reader::Requirements => text.lines().filter_map(requirement).collect(),
        Reader::Lines(pattern) => {
            let Ok(regex) = Regex::new(pattern) else {
                return BTreeMap::new();
            };
            let group = |found: &regex::Captures<'_>, number| {
                found
                    .get(number)
                    .map(|text| text.as_str().to_owned())
                    .unwrap_or_default()
            };
            regex
                .captures_iter(text)
                .map(|found| (group(&found, 1), group(&found, 2)))
                .collect()
        }
    }
}

fn toml_tables(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header
                .trim_start_matches('[')
                .split(']')
                .next()
                .unwrap_or(header);
            let mut parts = header
                .rsplit('.')
                .map(|part| part.trim().trim_matches(['"', '\'']));
            let is_list = |part: &str| {
                part == "packages"
                    || part.ends_with("dependencies")
                    || part == "dev-packages"
                    || part == "patch"
            };
            let (last, before) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            inside = is_list(last);
            if !inside && is_list(before) {
                found.insert(last.to_owned(), String::new());
            }
        } else if inside
            && !line.starts_with('#')
            && let Some((name, value)) = line.split_once('=')
        {
            let name = name.trim().trim_matches(['"', '\'']);
            // `foo.workspace = true` declares foo.
            let name = name.split('.').next().unwrap_or(name);
            found.insert(name.to_owned(), toml_version(value.trim()));
        }
    }
    found
}

/// `1.2` of `"1.2"` and of `{ version = "1.2", … }`; else where it comes from, in short.
fn toml_version(value: &str) -> String {
    let quoted = |text: &str| {
        text.split(['"', '\''])
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    if !value.starts_with('{') {
        return quoted(value);
    }
    let after = |key: &str| value.split_once(key).map(|(_, rest)| quoted(rest));
    let from = |key: &str| after(&format!("{key} = ")).map(|text| format!("({key} {text})"));
    after("version")
        .or_else(|| from("git"))
        .or_else(|| from("path"))
        .unwrap_or_default()
}

fn py_project(text: &str) -> BTreeMap<String, String> {
    let mut found = toml_tables(text);
    // Lists of requirements: of `[project]`, of extras, of groups, of the build system.
    let mut section = String::new();
    let mut in_list = false;
    for line in text.lines().map(str::trim) {
        if !in_list && line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
            continue;
        }
        let opened = line.split_once('=').filter(|(key, value)| {
            let key = key.trim();
            value.trim_start().starts_with('[')
                && (key == "dependencies"
                    || (key == "requires" && section == "build-system")
                    || section == "project.optional-dependencies"
                    || section == "dependency-groups")
        });
        let items = match opened {
            Some((key, value)) => {
                found.remove(key.trim());
                value
            }
            None if in_list => line,
            None => continue,
        };
        let words = items.split('"').skip(1).step_by(2);
        let words = words.chain(items.split('\'').skip(1).step_by(2));
        found.extend(words.filter_map(requirement));
        // The end of the list is a `]` outside the quotes, as in `"a[extra]"`.
        let outside: String = items.split(['"', '\'']).step_by(2).collect();
        in_list = !outside.contains(']');
    }
    found.remove("python");
    found
}

/// `name[extra] >= 1.2 ; marker`, as pip reads a line.
fn requirement(line: &str) -> Option<(String, String)> {
    let line = line.split(" #").next().unwrap_or(line).trim();
    if line.is_empty() || line.starts_with(['#', '-']) {
        return None;
    }
    let line = line.split(';').next().unwrap_or(line);
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = match rest.split_once(']') {
        Some((_, after)) if rest.starts_with('[') => after,
        _ => rest,
    };
    let name = if name.is_empty() { line } else { name };
    Some((name.to_owned(), rest.replace(' ', "")))
}

/// Objects of a manifest in JSON that name dependencies.
const LISTS: &[&str] = &[
    "dependencies",
    "devDependencies",
    "peerDependencies",
    "optionalDependencies",
    "overrides",
    "resolutions",
    "require",
    "require-dev",
];

fn json(text: &str) -> BTreeMap<String, String> {
    let Ok(root) = serde_json::from_str::<serde_json::Value>(text) else {
        return BTreeMap::new();
    };
    LISTS
        .iter()
        .filter_map(|list| root.get(list)?.as_object())
        .flatten()
        .map(|(name, version)| {
            (
                name.clone(),
                version.as_str().unwrap_or_default().to_owned(),
            )
        })
        .chain(scripts(&root))
        .collect()
}

/// Scripts that run by themselves when a package is installed count as what they fetch.
fn scripts(root: &serde_json::Value) -> Vec<(String, String)> {
    const BY_THEMSELVES: &[&str] = &[
        "preinstall",
        "install",
        "postinstall",
        "prepare",
        "prepublish",
    ];
    let scripts = root.get("scripts");
    BY_THEMSELVES
        .iter()
        .filter_map(|name| {
            let command = scripts?.get(name)?.as_str()?;
            Some((format!("scripts.{name}"), command.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, EntryKind, Outcome};
    use super::*;

    fn entry(content: &str) -> Option<Entry> {
        (!content.is_empty()).then(|| Entry {
            kind: EntryKind::File,
            size: content.len() as u64,
            content: Some(content.as_bytes().to_vec()),
        })
    }

    fn reason(path: &str, old: &str, new: &str) -> String {
        let change = Change {
            path: path.into(),
            old: entry(old),
            new: entry(new),
            added: 1,
            removed: 0,
            binary: false,
        };
        judge(&change, GatePolicy::Approve)
            .map(|finding| finding.reason)
            .unwrap_or_default()
    }

    fn adds(path: &str, old: &str, new: &str) -> String {
        reason(path, old, new)
            .split_once("): ")
            .unwrap_or_default()
            .1
            .to_owned()
    }

    #[test]
    fn every_expression_of_the_table_compiles() {
        for (_, names, reader) in TABLE {
            if let Reader::Lines(pattern) = reader {
                assert!(Regex::new(pattern).is_ok(), "{names:?}");
            }
            assert!(
                names.iter().all(|name| name.matches('*').count() <= 1),
                "{names:?}"
            );
        }
    }

    #[test]
    fn a_manifest_asks_refuses_or_passes_as_the_policy_says() {
        let change = Change {
            path: "a/Cargo.lock".into(),
            old: None,
            new: entry("x"),
            added: 1,
            removed: 0,
            binary: false,
        };
        let says = |policy| judge(&change, policy).map(|finding| finding.outcome);
        assert_eq!(says(GatePolicy::Approve), Some(Outcome::Ask));
        assert_eq!(says(GatePolicy::Block), Some(Outcome::Refuse));
        assert_eq!(says(GatePolicy::Allow), None);
    }

    #[test]
    fn manifests_of_every_ecosystem_are_known_at_any_depth() {
        for name in [
            "Cargo.toml",
            "Cargo.lock",
            "package.json",
            "package-lock.json",
            "yarn.lock",
            "pnpm-lock.yaml",
            "bun.lock",
            "go.mod",
            "go.sum",
            "requirements.txt",
            "requirements-dev.txt",
            "dev-requirements.txt",
            "pyproject.toml",
            "poetry.lock",
            "uv.lock",
            "Pipfile",
            "setup.py",
            "setup.cfg",
            "Gemfile",
            "Gemfile.lock",
            "x.gemspec",
            "composer.json",
            "pom.xml",
            "mvnw",
            "build.gradle",
            "build.gradle.kts",
            "gradlew",
            "gradle-wrapper.properties",
            "x.csproj",
            "packages.lock.json",
            "mix.exs",
            "mix.lock",
            "pubspec.yaml",
            "Package.swift",
            "flake.lock",
            "MODULE.bazel",
            "vcpkg.json",
            "conanfile.txt",
            "Dockerfile",
        ] {
            assert_ne!(reason(name, "", "x"), "", "{name}");
            assert_ne!(reason(&format!("a/b/{name}"), "x", ""), "", "{name}");
        }
        for name in [
            "src/main.rs",
            "my-requirements.md",
            "Cargo.toml.orig",
            "package.json5",
            "README.md",
            "x.lock/y",
        ] {
            assert_eq!(reason(name, "", "x"), "", "{name}");
        }
    }

    #[test]
    fn added_dependencies_are_named() {
        insta::assert_snapshot!(
            reason("Cargo.toml", "[dependencies]\na = \"1\"\n", "[dependencies]\na = \"2\"\nfoo = { version = \"1.2\", features = [] }\n[dev-dependencies]\nbar.workspace = true\n[target.'cfg(unix)'.dependencies.baz]\nversion = \"3\"\n[features]\nx = []\n"),
            @"`Cargo.toml` is a manifest or lockfile of Cargo (`[scope] dependencies` = approve): adds `bar`, `baz`, `foo` 1.2; changes `a` 2"
        );
        assert_eq!(
            adds(
                "package.json",
                "{\"dependencies\":{\"a\":\"1\"}}",
                "{\"devDependencies\":{\"@x/y\":\"^2\"},\"scripts\":{\"postinstall\":\"sh x\",\"test\":\"y\"}}"
            ),
            "adds `@x/y` ^2, `scripts.postinstall` sh x; removes `a`"
        );
        assert_eq!(
            adds(
                "go.mod",
                "module m.org/m\ngo 1.22\n",
                "module m.org/m\nrequire (\n\tex.org/a v1.2.3\n\tex.org/b v0.1.0 // indirect\n)\nrequire ex.org/c v1.0.0\n"
            ),
            "adds `ex.org/a` v1.2.3, `ex.org/b` v0.1.0, `ex.org/c` v1.0.0"
        );
        assert_eq!(
            adds(
                "requirements.txt",
                "# x\n",
                "foo[extra]>=1.2 ; python_version > '3'\n-r other.txt\nbar\n"
            ),
            "adds `bar`, `foo` >=1.2"
        );
        assert_eq!(
            adds(
                "pyproject.toml",
                "",
                "[project]\nname = \"x\"\ndependencies = [\n  \"foo[a]>=1\",\n  'bar',\n]\nversion = \"1\"\n[tool.poetry.dependencies]\npython = \"^3\"\nbaz = \"^2\"\n"
            ),
            "adds `bar`, `baz` ^2, `foo` >=1"
        );
        assert_eq!(
            adds("Gemfile", "", "gem \"rails\", \"~> 7\"\n"),
            "adds `rails` ~> 7"
        );
        assert_eq!(
            adds("composer.json", "{}", "{\"require\":{\"a/b\":\"1\"}}"),
            "adds `a/b` 1"
        );
        assert_eq!(
            adds("build.gradle", "", "  testImplementation 'g.x:a:1.0'\n"),
            "adds `g.x:a` 1.0"
        );
        assert_eq!(
            adds(
                "x.csproj",
                "",
                "<PackageReference Include=\"N\" Version=\"13\" />"
            ),
            "adds `N` 13"
        );
        assert_eq!(
            adds("Dockerfile", "FROM a:1\n", "FROM a:2\n"),
            "changes `a` 2"
        );
    }

    #[test]
    fn many_dependencies_are_counted_and_hostile_names_escaped() {
        let new: String = (0..30).map(|n| format!("p{n:02}==1\n")).collect();
        assert!(adds("requirements.txt", "", &new).ends_with("and 22 more"));
        assert_eq!(
            adds(
                "package.json",
                "{}",
                "{\"dependencies\":{\"a`\\n@all\":\"`x\\u001b\"}}"
            ),
            r"adds `a\u{60}\u{a}@all` \u{60}x\u{1b}"
        );
    }
}
