//! What checks are told about the commit they judge.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use prentice::domain::event::Event;
use prentice::domain::ident::{CommitId, Time};
use prentice::domain::settings::{Check, ChecksFrom, Confirm, Settings};
use prentice::domain::task::RepositoryFile;
use prentice::git::{Author, Mirror, UserRepo};
use prentice::run::{Bench, News, RunError, Watch, judge_commits, repository_file};
use prentice::sandbox::toolchains::Toolchains;
use prentice::sandbox::{Method, Native, remove};
use prentice::store::{Clock, Unwatched, open};
use tokio::sync::watch;

fn git(dir: &Path, args: &[&str]) {
    let who = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
    let done = Command::new("git")
        .current_dir(dir)
        .args(who)
        .args(args)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Two commits that change, remove and add files.
fn repository(dir: &Path) {
    git(dir, &["init", "-q", "-b", "main"]);
    std::fs::create_dir(dir.join("d")).unwrap();
    for (name, text) in [("a", "a\n"), ("c", "c\n"), ("d/b", "b\n")] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-qm", "one"]);
    std::fs::write(dir.join("a"), "aa\n").unwrap();
    std::fs::remove_file(dir.join("c")).unwrap();
    std::fs::write(dir.join("d/n"), "new\n").unwrap();
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-qm", "two"]);
}

#[test]
fn a_check_that_asks_git_sees_a_clean_tree_on_both_sides() {
    for method in ["overlay", "copy"] {
        let folder = tempfile::tempdir().unwrap();
        repository(folder.path());
        let state = tempfile::tempdir().unwrap();
        let clean = "test -z \"$(git status --porcelain)\" && git diff --exit-code HEAD";
        let named = "git log --format=%s | grep -xE 'one|two'";
        let done = Command::new(env!("CARGO_BIN_EXE_prentice"))
            .args(["verify", "--json", "--base", "HEAD~1", "--repo"])
            .arg(folder.path())
            .args(["--verify", clean, "--verify", named])
            // No tool chains and caches: copying those of this machine takes a minute.
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")])
            .env("HOME", state.path())
            .env("XDG_STATE_HOME", state.path())
            .env("PRENTICE_WORKSPACE", method)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert_eq!(done.status.code(), Some(0), "{method}: {said}");
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        for check in json["checks"].as_array().unwrap() {
            assert_eq!(
                (&check["base_exit"], &check["head_exit"]),
                (&0.into(), &0.into()),
                "{method}: {check}"
            );
        }
    }
}

struct Deaf;

#[async_trait]
impl Watch for Deaf {
    async fn happened(&self, _: Event) -> Result<(), RunError> {
        Ok(())
    }

    fn told(&self, _: News<'_>) {}
}

struct Counted(AtomicI64);

impl Clock for Counted {
    fn now(&self) -> Time {
        Time(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

fn judged_by(command: &str) -> Settings {
    Settings {
        checks: vec![Check {
            name: "tests".to_owned(),
            run: command.to_owned(),
            required: true,
            timeout_secs: 60,
            paths: Vec::new(),
            baseline: true,
            confirm: Confirm::Never,
        }],
        checks_from: ChecksFrom::File,
        ..Settings::default()
    }
}

/// Whether a file of this name is anywhere below.
fn is_below(dir: &Path, name: &str) -> bool {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        entry.file_name() == name || (is_folder && is_below(&entry.path(), name))
    })
}

/// A judge's place over the repository `user` in `folder`.
async fn bench(folder: &Path, method: Method, secrets: Vec<String>) -> (Bench, UserRepo) {
    let mut toolchains = Toolchains::default();
    let path = ("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    toolchains.env.extend([path]);
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let user = UserRepo::discover(&folder.join("user")).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Counted(AtomicI64::new(1)));
    let bench = Bench {
        sandbox: Arc::new(Native::new(crate::sandbox::helper(), data.join("slots"))),
        store: open(&data, clock, Arc::new(Unwatched)).await.unwrap(),
        mirror: Mirror::open_or_create(&data.join("repos/one")).unwrap(),
        steps: Arc::new(Unwatched),
        toolchains,
        scratch: data.join("work/verify-main-1-1"),
        method,
        by_hand: &[],
        exposures_allowed: None,
        author: Author::local(),
        redactor: prentice::domain::text::Redactor::new(secrets).into(),
    };
    (bench, user)
}

/// Writes a text to a path.
type Writes<'a> = &'a dyn Fn(&str, &str);

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_changes_the_repository_file_is_told_whether_it_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let user = folder.path().join("user");
    std::fs::create_dir_all(&user).unwrap();
    repository(&user);
    let secret = "correct-horse-battery";
    let (bench, repo) = bench(folder.path(), Method::Auto, vec![secret.to_owned()]).await;
    let commit = |change: &dyn Fn(Writes<'_>)| -> CommitId {
        change(&|path, text| {
            let path = user.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        });
        git(&user, &["add", "-A"]);
        git(&user, &["commit", "--allow-empty", "-qm", "x"]);
        let head = repo.resolve("HEAD").unwrap();
        bench.mirror.fetch_commit(&repo, &head).unwrap();
        head
    };
    let (here, root) = (".github/prentice.toml", "prentice.toml");
    let valid = "version = 1\n";
    let nothing = commit(&|_| {});
    let added = commit(&|write| write(root, valid));
    let beside = commit(&|write| write("a", "other\n"));
    let moved = commit(&|write| write(here, "version = 1\n[task]\ntime_out = \"2h\"\n"));
    let hidden = commit(&|write| write(root, "not toml\n"));
    let leaks = commit(&|write| write(here, &format!("version = 1\n[{secret}]\n")));
    let long = commit(&|write| write(here, &format!("version = 1\n#{}\n", "x".repeat(1 << 20))));
    let long_still = commit(&|write| write("a", "yet another\n"));
    let linked = commit(&|_| {
        std::fs::remove_file(user.join(here)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", user.join(here)).unwrap();
    });
    let module = commit(&|_| {
        std::fs::remove_file(user.join(here)).unwrap();
        let entry = format!("160000,{nothing},{here}");
        git(&user, &["update-index", "--add", "--cacheinfo", &entry]);
        git(&user, &["commit", "-qm", "x"]);
        std::fs::create_dir(user.join(here)).unwrap();
    });
    let gone = commit(&|_| {
        std::fs::remove_dir(user.join(here)).unwrap();
        git(&user, &["rm", "-q", "--cached", here]);
        std::fs::remove_file(user.join(root)).unwrap();
    });
    let told = async |base: &CommitId, head: &CommitId| -> String {
        match repository_file(&bench, (base, head)).await.unwrap() {
            None => "untouched".to_owned(),
            Some(RepositoryFile::Valid { path }) => format!("{path} is valid"),
            Some(RepositoryFile::Gone { path }) => format!("{path} is gone"),
            Some(RepositoryFile::Broken {
                path,
                mistakes,
                more,
            }) => {
                assert_eq!(more, 0);
                let all = mistakes.iter().map(|one| {
                    format!(
                        "{path}:{}:{} {} {}",
                        one.line, one.col, one.code, one.message
                    )
                });
                all.collect::<Vec<_>>().join("\n")
            }
        }
    };
    let mut all = String::new();
    for (what, base, head) in [
        ("the first one", &nothing, &added),
        ("beside it", &added, &beside),
        ("one that comes before it", &beside, &moved),
        ("one that is not read", &moved, &hidden),
        ("with a secret", &moved, &leaks),
        ("a long one", &hidden, &long),
        ("beside a long one", &long, &long_still),
        ("a link", &beside, &linked),
        ("a module", &beside, &module),
        ("none", &beside, &gone),
        ("mended", &moved, &beside),
        ("never any", &nothing, &gone),
    ] {
        all.push_str(&format!("{what}: {}\n", told(base, head).await));
    }
    insta::assert_snapshot!(all, @"
    the first one: prentice.toml is valid
    beside it: untouched
    one that comes before it: .github/prentice.toml:3:1 PRN203 unknown key `time_out` in [task]: did you mean `timeout`?
    one that is not read: untouched
    with a secret: .github/prentice.toml:2:2 PRN201 unknown table [[redacted: known secret]]: no such table
    a long one: .github/prentice.toml:1:1 PRN103 the file has more than 262144 bytes: shorten it; long scripts belong in files of their own
    beside a long one: untouched
    a link: .github/prentice.toml:1:12 PRN101 key with no value: expected `=`
    a module: .github/prentice.toml:1:1 PRN105 `version` is missing: start the file with `version = 1`
    none: prentice.toml is gone
    mended: prentice.toml is valid
    never any: untouched
    ");
    assert!(!all.contains(secret), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judgement_sees_nothing_of_one_that_was_cut_short() {
    for method in [Method::Overlay, Method::Copy] {
        let folder = tempfile::Builder::new()
            .prefix("prentice-referee-")
            .tempdir()
            .unwrap()
            .keep();
        let user = folder.join("user");
        std::fs::create_dir_all(&user).unwrap();
        repository(&user);
        let (bench, user) = bench(&folder, method, Vec::new()).await;
        let mirror = bench.mirror.clone();
        let resolved = |revision: &str| -> CommitId {
            let commit = user.resolve(revision).unwrap();
            mirror.fetch_commit(&user, &commit).unwrap();
            commit
        };
        let (base, head) = (resolved("HEAD~1"), resolved("HEAD"));
        let (_halt, halted) = watch::channel(None);
        let plants = judged_by("echo x > planted; sleep 50");
        let planted = async {
            while !is_below(&bench.scratch, "planted") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let commits = (&base, &head);
        tokio::select! {
            _ = judge_commits(&bench, &plants, commits, &Deaf, halted.clone()) => panic!("it ended"),
            planted = tokio::time::timeout(Duration::from_secs(40), planted) => planted.unwrap(),
        }
        assert!(
            is_below(&bench.scratch, "planted"),
            "{method:?}: nothing to find"
        );

        let looks = judged_by("test ! -e planted");
        let judged = judge_commits(&bench, &looks, commits, &Deaf, halted.clone()).await;
        let judged = judged.unwrap().unwrap();
        let [tests] = judged.evidence.as_slice() else {
            panic!("{method:?}: {judged:?}");
        };
        for seen in [&tests.base, &tests.head] {
            assert!(
                seen.len() == 1 && seen[0].exit.is_green(),
                "{method:?}: {tests:?}"
            );
        }
        assert!(!bench.scratch.exists(), "{method:?}");

        // What cannot be removed is not stood on.
        let beside = Bench {
            scratch: folder.join("data/prentice.db/work"),
            ..bench.clone()
        };
        let refused = judge_commits(&beside, &looks, commits, &Deaf, halted).await;
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("could not be removed"), "{method:?}: {why}");
        drop((bench, beside, mirror));
        remove(&folder).unwrap();
    }
}
