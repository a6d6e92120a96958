//! Published packages with a real past bug, through the real program: the true fix is verified, a wrong one is
//! not, and the user's checkout stays what it was. `tests/packages.sh` makes the repositories.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use prentice::domain::ident::Digest;
use serde_json::Value;

use crate::skip::skipped;

/// One package, copied to a folder of its own.
struct Case {
    folder: tempfile::TempDir,
    about: Value,
}

impl Case {
    /// The package of that name; `None`, told as a skip, where the cache has none.
    fn open(name: &str) -> Option<Self> {
        let cache = cache()?;
        let from = cache.join("packages").join(name);
        let about = from.join("case.json");
        let Ok(text) = fs::read(&about) else {
            let why = format!("no {}; `tests/packages.sh` makes it", about.display());
            skipped(&format!("package {name}"), &why);
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        // `cp -a` keeps times, so that whatever touches a file shows.
        let copied = Process::new("cp")
            .arg("-a")
            .arg(from.join("."))
            .arg(folder.path().join("case"))
            .status()
            .unwrap();
        assert!(copied.success());
        let about = serde_json::from_slice(&text).unwrap();
        Some(Self { folder, about })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("case").join(name)
    }

    fn word(&self, name: &str) -> &str {
        self.about[name].as_str().unwrap()
    }

    fn repo(&self) -> PathBuf {
        self.path(self.word("repo"))
    }

    /// What git says in the user's repository, which must not fail.
    fn git(&self, words: &[&str]) -> String {
        let output = Process::new("git")
            .args(words)
            .current_dir(self.repo())
            .env("GIT_OPTIONAL_LOCKS", "0")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {words:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs the program with a data folder of its own; its exit code, object and talk.
    fn prentice(&self, state: &str, words: &[&str]) -> Ran {
        let home = |name: &str| self.folder.path().join(state).join(name);
        let output = Process::new(env!("CARGO_BIN_EXE_prentice"))
            .args(words)
            .arg("--json")
            .env("XDG_STATE_HOME", home("state"))
            .env("XDG_CONFIG_HOME", home("config"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let object = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|why| panic!("{words:?}: {why}: {said}"));
        let code = output.status.code();
        Ran { code, object, said }
    }

    /// `prentice run` with a script of the case as the agent, whose text is in the command line: no file of the
    /// host is in sight inside.
    fn run(&self, script: &str, verify: bool) -> Ran {
        let text = fs::read_to_string(self.path(self.word(script))).unwrap();
        let agent = shlex::try_join(["sh", "-c", text.as_str()]).unwrap();
        let (repo, issue) = (self.repo(), self.path(self.word("issue")));
        let mut words = vec!["run", issue.to_str().unwrap()];
        words.extend(["--repo", repo.to_str().unwrap(), "--agent-cmd", &agent]);
        if verify {
            words.extend(["--verify", self.word("verify")]);
        }
        self.prentice(&format!("{script}-{verify}"), &words)
    }

    /// `prentice verify` of a branch against main.
    fn referee(&self, head: &str) -> Ran {
        let repo = self.repo();
        let words = ["verify", "--repo", repo.to_str().unwrap(), "--base", "main"];
        let rest = ["--head", head, "--verify", self.word("verify")];
        self.prentice(&format!("verify-{head}"), &[&words[..], &rest].concat())
    }

    /// The true fix came to a branch with the tree of the published one, and nothing else changed.
    fn is_verified(&self, ran: &Ran, before: &BTreeMap<PathBuf, String>) {
        assert_eq!(ran.code, Some(0), "{}", ran.said);
        let object = &ran.object;
        assert_eq!(object["stage"], "needs-review");
        assert_eq!(object["failure"], Value::Null);
        let branch = object["branch"].as_str().unwrap();
        let head = self.git(&["rev-parse", &format!("refs/heads/{branch}")]);
        assert_eq!(object["head"], head.as_str());
        assert_eq!(object["base"], self.about["main"]);
        assert_eq!(
            self.git(&["rev-parse", &format!("{head}^")]),
            self.word("main")
        );
        assert_eq!(
            self.git(&["rev-parse", &format!("{head}^{{tree}}")]),
            self.git(&["rev-parse", "fix^{tree}"])
        );
        assert_eq!(paths(&object["files"]), paths_of(&self.about["changed"]));
        let report = fs::read_to_string(object["report"].as_str().unwrap()).unwrap();
        assert!(report.contains(&head), "{report}");
        let after = state(&self.repo());
        // All that is new is what a branch consists of: objects, the reference, its log.
        let (reference, log) = (
            Path::new(".git/refs/heads").join(branch),
            Path::new(".git/logs/refs/heads").join(branch),
        );
        let new = |path: &Path| {
            path.starts_with(".git/objects") || reference.starts_with(path) || log.starts_with(path)
        };
        for (path, what) in &after {
            match before.get(path) {
                Some(was) => assert_eq!(what, was, "{path:?} changed"),
                None => assert!(new(path), "{path:?} is new"),
            }
        }
        for path in before.keys() {
            assert!(after.contains_key(path), "{path:?} is gone");
        }
        assert_eq!(self.git(&["status", "--porcelain"]), "");
    }

    /// The wrong fix was judged red, with a log, and nothing at all changed.
    fn is_refused(&self, ran: &Ran, before: &BTreeMap<PathBuf, String>) {
        assert_eq!(ran.code, Some(6), "{}", ran.said);
        assert_eq!(ran.object["failure"]["class"], "verify");
        assert_eq!(&state(&self.repo()), before);
        let check = &ran.object["checks"][0];
        let log = fs::read(check["log"].as_str().unwrap()).unwrap();
        assert_eq!(check["log_sha256"], Digest::of(&log).as_str());
        assert!(String::from_utf8_lossy(&log).contains("FAIL"));
    }
}

/// How the program ended.
struct Ran {
    code: Option<i32>,
    object: Value,
    said: String,
}

impl Ran {
    /// Command, base's and head's exit code of the only check.
    fn check(&self) -> (&str, i64, i64) {
        let checks = self.object["checks"].as_array().unwrap();
        assert_eq!(checks.len(), 1);
        let exit = |name: &str| checks[0][name].as_i64().unwrap();
        let command = checks[0]["command"].as_str().unwrap();
        (command, exit("base_exit"), exit("head_exit"))
    }
}

/// The folder of `tests/run`.
fn cache() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    folder("PRENTICE_TEST_CACHE")
        .map(PathBuf::from)
        .or_else(|| {
            let caches = folder("XDG_CACHE_HOME").map(PathBuf::from);
            let caches = caches.or_else(|| Some(PathBuf::from(folder("HOME")?).join(".cache")));
            Some(caches?.join("prentice-tests"))
        })
}

fn paths(files: &Value) -> Vec<String> {
    let files = files.as_array().unwrap().iter();
    files
        .map(|file| file["path"].as_str().unwrap().to_owned())
        .collect()
}

fn paths_of(list: &Value) -> Vec<String> {
    serde_json::from_value(list.clone()).unwrap()
}

/// Every path of a folder: kind and mode, owner, and of files time and content, of links the target.
fn state(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let full = root.join(&path);
        let about = fs::symlink_metadata(&full).unwrap();
        let mut text = format!("{:o} {}", about.permissions().mode(), about.uid());
        if about.is_dir() {
            for entry in fs::read_dir(&full).unwrap() {
                todo.push(path.join(entry.unwrap().file_name()));
            }
        } else if about.is_symlink() {
            text += &format!(" {:?}", fs::read_link(&full).unwrap());
        } else {
            let content = Digest::of(&fs::read(&full).unwrap());
            text += &format!(" {}.{} {content}", about.mtime(), about.mtime_nsec());
        }
        found.insert(path, text);
    }
    found
}

/// All of it for one package; what the program recognises without `--verify`, and the colour of that on the base.
fn holds(name: &str, guess: &str, red: bool) {
    let Some(case) = Case::open(name) else { return };
    let verify = case.word("verify");
    let clean = state(&case.repo());

    let ran = case.run("wrong_script", true);
    case.is_refused(&ran, &clean);
    let (command, base, head) = ran.check();
    assert_eq!(command, verify);
    assert!(base != 0 && head != 0, "{base} {head}");
    assert_eq!(case.git(&["branch", "--list", "agent/*"]), "");

    let ran = case.referee("wrong");
    case.is_refused(&ran, &clean);
    assert_eq!(ran.check(), (verify, base, head));
    let ran = case.referee("fix");
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(ran.check(), (verify, base, 0));
    assert_eq!(
        paths(&ran.object["files"]),
        paths_of(&case.about["changed"])
    );
    assert_eq!(state(&case.repo()), clean);

    // Without `--verify`.
    let ran = case.run("fix_script", false);
    case.is_verified(&ran, &clean);
    let (command, before, after) = ran.check();
    assert_eq!(command, guess);
    assert_eq!((before != 0, after), (red, 0));
    assert!(ran.said.contains("checks: guessed from"), "{}", ran.said);
    // What was mounted is told before anything of it is used.
    assert!(ran.said.contains(" (read-only)\n"), "{}", ran.said);
    if guess == verify {
        return;
    }
    let before = state(&case.repo());
    let ran = case.run("fix_script", true);
    case.is_verified(&ran, &before);
    assert_eq!(ran.check(), (verify, base, 0));
}

#[test]
fn a_rust_package_is_verified_with_its_true_fix_and_not_with_a_wrong_one() {
    // The bug needs a feature, which no guess knows of.
    holds("pico-args", "cargo test --workspace --locked", false);
}

#[test]
fn a_python_package_is_verified_with_its_true_fix_and_not_with_a_wrong_one() {
    holds("xmltodict", "python3 -m unittest discover", true);
}

#[test]
fn a_go_package_is_verified_with_its_true_fix_and_not_with_a_wrong_one() {
    holds("semver", "go test ./...", true);
}
