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
use prentice::git::{Author, Mirror, UserRepo};
use prentice::run::{Bench, News, RunError, Watch, judge_commits};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_judgement_sees_nothing_of_one_that_was_cut_short() {
    let mut toolchains = Toolchains::default();
    let path = ("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    toolchains.env.extend([path]);
    for method in [Method::Overlay, Method::Copy] {
        let folder = tempfile::Builder::new()
            .prefix("prentice-referee-")
            .tempdir()
            .unwrap()
            .keep();
        let (user, data) = (folder.join("user"), folder.join("data"));
        std::fs::create_dir_all(&user).unwrap();
        std::fs::create_dir_all(&data).unwrap();
        repository(&user);
        let user = UserRepo::discover(&user).unwrap();
        let mirror = Mirror::open_or_create(&data.join("repos/one")).unwrap();
        let resolved = |revision: &str| -> CommitId {
            let commit = user.resolve(revision).unwrap();
            mirror.fetch_commit(&user, &commit).unwrap();
            commit
        };
        let (base, head) = (resolved("HEAD~1"), resolved("HEAD"));
        let clock: Arc<dyn Clock> = Arc::new(Counted(AtomicI64::new(1)));
        let store = open(&data, clock, Arc::new(Unwatched)).await.unwrap();
        let bench = Bench {
            sandbox: Arc::new(Native::new(crate::sandbox::helper(), data.join("slots"))),
            store,
            mirror: mirror.clone(),
            steps: Arc::new(Unwatched),
            toolchains: toolchains.clone(),
            scratch: data.join("work/verify-main-1-1"),
            method,
            by_hand: &[],
            exposures_allowed: None,
            author: Author::local(),
            redactor: prentice::domain::text::Redactor::new(Vec::new()).into(),
        };
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
