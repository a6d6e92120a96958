//! Git as data, against repositories made by the git program, overlays mounted by the kernel
//! and content made by someone hostile.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do, and say what was skipped"
)]

mod signed;

pub(crate) use signed::ssh_key;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use prentice::domain::gates::{CONTENT_CAP, EntryKind};
use prentice::domain::ident::{CommitId, RepoPath, Time};
use prentice::git::{
    Author, Collected, Error, Limits, Mirror, UserRepo, copy_git, prune_repos, remove_idle_repos,
};
use proptest::prelude::*;

// --- The world of these tests ---

pub(super) struct World {
    root: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("prentice-git-")
            .tempdir()
            .unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { root }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A repository `user` with one commit of these files.
    pub(super) fn user(&self, files: &[(&str, &str)]) -> PathBuf {
        let dir = self.folder("user");
        git(&dir, &["init", "-q", "-b", "main"]);
        commit(&dir, files);
        dir
    }

    fn mirror(&self) -> Mirror {
        Mirror::open_or_create(&self.path("data/repos/key")).unwrap()
    }
}

/// git by its path: what is looked for by its name in an environment of its own begins with a copy of all the memory
/// of these tests.
pub(crate) fn program() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap();
        let mut all = std::env::split_paths(&path).map(|folder| folder.join("git"));
        all.find(|one| one.is_file()).expect("git is on PATH")
    })
}

fn git_command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.current_dir(dir).args(args).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "Ann")
            .env(format!("GIT_{who}_EMAIL"), "ann@example.org");
        command.env(format!("GIT_{who}_DATE"), "1700000000 +0000");
    }
    command
}

pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    output(&mut git_command(dir, args))
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(
        out.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
}

pub(super) fn put(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(crate) fn commit(dir: &Path, files: &[(&str, &str)]) -> CommitId {
    for (name, text) in files {
        put(&dir.join(name), text);
    }
    git(dir, &["add", "-A", "-f"]);
    git(dir, &["commit", "-q", "--allow-empty", "-m", "change"]);
    head(dir)
}

pub(super) fn head(dir: &Path) -> CommitId {
    git(dir, &["rev-parse", "HEAD"]).parse().unwrap()
}

/// Everything below a folder: kind and mode (times are not looked at), and bytes or link target.
fn snapshot(dir: &Path) -> BTreeMap<Vec<u8>, (String, Vec<u8>)> {
    fn walk(dir: &Path, below: &Path, found: &mut BTreeMap<Vec<u8>, (String, Vec<u8>)>) {
        for entry in fs::read_dir(dir.join(below)).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            let meta = entry.metadata().unwrap();
            let kind = meta.file_type();
            let (what, bytes) = if kind.is_dir() {
                walk(dir, &path, found);
                ("folder", Vec::new())
            } else if kind.is_symlink() {
                (
                    "link",
                    fs::read_link(entry.path())
                        .unwrap()
                        .into_os_string()
                        .into_vec(),
                )
            } else if kind.is_file() {
                ("file", fs::read(entry.path()).unwrap())
            } else {
                ("other", Vec::new())
            };
            let mode = if kind.is_symlink() {
                0
            } else {
                meta.mode() & 0o7777
            };
            found.insert(
                path.into_os_string().into_vec(),
                (format!("{what} {mode:o}"), bytes),
            );
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, Path::new(""), &mut found);
    found
}

pub(super) fn fetched(world: &World, user: &Path) -> (Mirror, UserRepo, CommitId) {
    let (mirror, repo, base) = (
        world.mirror(),
        UserRepo::discover(user).unwrap(),
        head(user),
    );
    mirror.fetch_commit(&repo, &base).unwrap();
    (mirror, repo, base)
}

pub(super) fn author() -> Author {
    Author {
        name: "prentice".to_owned(),
        email: "prentice@example.org".to_owned(),
        signer: None,
    }
}

fn seal(mirror: &Mirror, base: &CommitId, collected: &Collected) -> CommitId {
    let message = "fix: the thing\n\nAgent-Task: T-1\n";
    mirror
        .commit(
            &collected.tree,
            std::slice::from_ref(base),
            message,
            &author(),
            Time(1_700_000_100_000),
        )
        .unwrap()
}

/// A result on `base`: a checkout with these files written over it.
fn result(world: &World, mirror: &Mirror, base: &CommitId, files: &[(&str, &str)]) -> CommitId {
    let dir = tempfile::tempdir_in(world.root.path()).unwrap();
    mirror.write_checkout(base, dir.path()).unwrap();
    for (name, text) in files {
        put(&dir.path().join(name), text);
    }
    let collected = mirror
        .collect_full(dir.path(), base, &[], &Limits::default())
        .unwrap();
    seal(mirror, base, &collected)
}

fn paths(list: &[(RepoPath, &'static str)]) -> Vec<String> {
    let mut shown: Vec<_> = list
        .iter()
        .map(|(path, what)| format!("{}: {what}", path.lossy()))
        .collect();
    shown.sort();
    shown
}

/// Runs `script` in a mount namespace where `$M` is an overlay over `lowers` (top first).
/// As root in the real user namespace, else as user 65534 in one of its own.
fn in_overlay(world: &World, name: &str, lowers: &[&Path], as_root: bool, script: &str) -> PathBuf {
    let (upper, work) = (
        world.folder(&format!("{name}/upper")),
        world.folder(&format!("{name}/work")),
    );
    let (merged, out) = (
        world.folder(&format!("{name}/m")),
        world.folder(&format!("{name}/out")),
    );
    let lower: Vec<_> = lowers.iter().map(|p| p.to_str().unwrap()).collect();
    let full = format!(
        "set -e; mount -t overlay overlay -o userxattr,lowerdir={},upperdir={},workdir={} {m}; cd {m}; set +e; {{ {script}\n}}; cp -a {m}/. {}",
        lower.join(":"),
        upper.display(),
        work.display(),
        out.display(),
        m = merged.display(),
    );
    let mut command = if as_root {
        let mut c = Command::new("unshare");
        c.args(["-m", "sh", "-c", &full]);
        c
    } else if is_root() {
        // What an ordinary user's own cache would be.
        output(
            Command::new("chown")
                .args(["-hR", "65534:65534"])
                .arg(world.path(name))
                .args(lowers),
        );
        let mut c = Command::new("setpriv");
        c.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "unshare",
            "-Urm",
            "sh",
            "-c",
            &full,
        ]);
        c
    } else {
        let mut c = Command::new("unshare");
        c.args(["-Urm", "sh", "-c", &full]);
        c
    };
    output(command.stdin(Stdio::null()).env("HOME", "/nonexistent"));
    upper
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The ways an overlay can be mounted here; told, when there is none.
fn overlay_modes() -> Vec<bool> {
    let world = World::new();
    world.folder("l");
    let works = |as_root: bool| {
        std::panic::catch_unwind(|| {
            in_overlay(
                &world,
                &format!("t{as_root}"),
                &[&world.path("l")],
                as_root,
                "true",
            )
        })
        .is_ok()
    };
    let modes: Vec<bool> = [true, false]
        .into_iter()
        .filter(|root| (*root <= is_root()) && works(*root))
        .collect();
    if modes.is_empty() {
        println!("SKIP: no overlay can be mounted here");
    }
    modes
}

// --- The user's repository ---

#[test]
fn a_repository_is_found_from_below_and_described() {
    let world = World::new();
    let user = world.user(&[
        ("a/b/c.txt", "one\n"),
        (".gitattributes", "*.bin filter=lfs diff=lfs\n"),
    ]);
    put(&user.join("a/b/c.txt"), "two\n");
    put(&user.join("staged"), "x");
    git(&user, &["add", "staged"]);
    put(&user.join("new/x"), "x");
    put(&user.join("new/y"), "y");
    let repo = UserRepo::discover(&user.join("a/b")).unwrap();
    let survey = repo.survey().unwrap();
    assert_eq!(survey.head, head(&user));
    assert_eq!(survey.branch.as_deref(), Some("main"));
    assert_eq!(
        (
            survey.dirty.staged,
            survey.dirty.unstaged,
            survey.dirty.untracked,
            survey.dirty.paths
        ),
        (1, 1, 1, 3)
    );
    assert!(survey.lfs && !survey.shallow && !survey.bare && survey.submodules == 0);
    assert_eq!(repo.default_branch().unwrap().name, "main");
    assert_eq!(
        repo.work_dir().unwrap().canonicalize().unwrap(),
        user.canonicalize().unwrap()
    );
}

#[test]
fn no_repository_no_commit_and_no_such_revision_say_what_to_do() {
    let world = World::new();
    let empty = world.folder("empty");
    let error = UserRepo::discover(&empty).unwrap_err();
    assert!(matches!(error, Error::NotFound(_)));
    assert!(
        error
            .to_string()
            .ends_with("or above; run inside one, or name it with --repo"),
        "{error}"
    );
    git(&empty, &["init", "-q"]);
    let error = UserRepo::discover(&empty).unwrap().survey().unwrap_err();
    assert!(matches!(error, Error::NotFound(_)));
    assert!(
        error
            .to_string()
            .ends_with("has no commit yet; make a first commit"),
        "{error}"
    );
    let repo = UserRepo::discover(&world.user(&[("a", "a")])).unwrap();
    assert!(matches!(repo.resolve("nope"), Err(Error::NotFound(_))));
    assert!(matches!(repo.resolve("--all"), Err(Error::NotFound(_))));
}

#[test]
fn bare_detached_linked_and_shallow_repositories_work() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let first = head(&user);
    let second = commit(&user, &[("a", "2"), ("deep/er", "x")]);
    git(&user, &["checkout", "-q", "--detach"]);
    git(
        &user,
        &[
            "worktree",
            "add",
            "-q",
            "-b",
            "side",
            world.path("linked").to_str().unwrap(),
        ],
    );
    let url = format!("file://{}", user.display());
    git(
        world.root.path(),
        &["clone", "-q", "--bare", &url, "bare.git"],
    );
    git(
        world.root.path(),
        &[
            "clone", "-q", "--depth", "1", "--branch", "side", &url, "shallow",
        ],
    );
    git(
        world.root.path(),
        &["clone", "-q", "--shared", user.to_str().unwrap(), "shared"],
    );
    for (name, branch, bare, shallow) in [
        ("user", None, false, false),
        ("linked", Some("side"), false, false),
        ("bare.git", Some("main"), true, false),
        ("shallow", Some("side"), false, true),
        ("shared", Some("main"), false, false),
    ] {
        let repo = UserRepo::discover(&world.path(name)).unwrap();
        let survey = repo.survey().unwrap();
        assert_eq!(survey.head, second, "{name}");
        assert_eq!(survey.bare, bare, "{name}");
        assert_eq!(survey.shallow, shallow, "{name}");
        assert_eq!(survey.branch.as_deref(), branch, "{name}");
        let mirror = Mirror::open_or_create(&world.path(&format!("data/repos/{name}"))).unwrap();
        mirror.fetch_commit(&repo, &second).unwrap();
        assert_eq!(
            mirror.list_files(&second).unwrap(),
            [RepoPath::from("a"), RepoPath::from("deep/er")],
            "{name}"
        );
        assert_eq!(
            mirror.fetch_commit(&repo, &first).is_ok(),
            !shallow,
            "{name}"
        );
        assert!(
            mirror
                .checkout(&second)
                .unwrap()
                .path()
                .join("deep/er")
                .exists()
        );
        // A result goes back, and git itself finds everything it needs.
        let made = result(&world, &mirror, &second, &[("a", "3")]);
        repo.set_branch(&mirror, "prentice/t-1", &made, None)
            .unwrap();
        git(
            &world.path(name),
            &["fsck", "--no-dangling", "--connectivity-only"],
        );
        assert_eq!(
            git(&world.path(name), &["show", "prentice/t-1:a"]),
            "3",
            "{name}"
        );
        if !shallow {
            assert_eq!(repo.merge_base(&first, &second).unwrap(), first);
            assert!(
                repo.is_ancestor(&first, &second).unwrap()
                    && !repo.is_ancestor(&second, &first).unwrap()
            );
        }
    }
}

#[test]
fn a_commit_without_a_ref_is_taken_over_and_survives_a_gc_of_the_user() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let lost = commit(&user, &[("a", "2"), ("only", "here")]);
    git(&user, &["reset", "-q", "--hard", "HEAD~1"]);
    let (mirror, repo) = (world.mirror(), UserRepo::discover(&user).unwrap());
    mirror.fetch_commit(&repo, &lost).unwrap();
    git(&user, &["reflog", "expire", "--expire=now", "--all"]);
    git(&user, &["gc", "-q", "--prune=now"]);
    assert!(
        !git_command(&user, &["cat-file", "-e", lost.as_str()])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(
        fs::read(mirror.checkout(&lost).unwrap().path().join("only")).unwrap(),
        b"here"
    );
    // And the packed repository is taken over as well.
    let third = commit(&user, &[("b", "3")]);
    mirror.fetch_commit(&repo, &third).unwrap();
    assert_eq!(mirror.list_files(&third).unwrap().len(), 2);
}

#[test]
fn submodules_are_counted_and_left_as_empty_folders() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let link = format!("160000,{},sub", head(&user));
    git(&user, &["update-index", "--add", "--cacheinfo", &link]);
    git(&user, &["commit", "-q", "-m", "submodule"]);
    let (mirror, repo, base) = fetched(&world, &user);
    assert_eq!(repo.survey().unwrap().submodules, 1);
    let checkout = mirror.checkout(&base).unwrap();
    assert_eq!(
        fs::read_dir(checkout.path().join("sub")).unwrap().count(),
        0
    );
    // Untouched it stays; what is written into it is told and left out; removed it is gone.
    let copy = world.folder("copy");
    mirror.write_checkout(&base, &copy).unwrap();
    let same = mirror
        .collect_full(&copy, &base, &[], &Limits::default())
        .unwrap();
    assert_eq!(same.tree, mirror.tree(&base).unwrap());
    put(&copy.join("sub/x"), "x");
    let odd = mirror
        .collect_full(&copy, &base, &[], &Limits::default())
        .unwrap();
    assert_eq!(odd.tree, same.tree);
    assert_eq!(paths(&odd.odd), ["sub: content inside a submodule"]);
    fs::remove_dir_all(copy.join("sub")).unwrap();
    let gone = mirror
        .collect_full(&copy, &base, &[], &Limits::default())
        .unwrap();
    let gone = seal(&mirror, &base, &gone);
    let changes = mirror.diff(&base, &gone).unwrap();
    assert_eq!(changes[0].old.as_ref().unwrap().kind, EntryKind::Gitlink);
}

// --- A branch for the user ---

#[test]
fn a_branch_is_set_once_and_nothing_else_of_the_users_repository_changes() {
    let world = World::new();
    let user = world.user(&[("a", "1"), ("dir/b", "2")]);
    put(&user.join("a"), "work in progress");
    let before = snapshot(&user);
    let (mirror, repo, base) = fetched(&world, &user);
    repo.survey().unwrap();
    assert_eq!(snapshot(&user), before, "looking changes nothing");
    let made = result(&world, &mirror, &base, &[("a", "3"), ("dir/new", "4")]);
    repo.set_branch(&mirror, "prentice/t-1", &made, None)
        .unwrap();
    let after = snapshot(&user);
    let objects = |path: &&Vec<u8>| path.starts_with(b".git/objects/");
    let new: Vec<_> = after.keys().filter(|p| !before.contains_key(*p)).collect();
    let refs: Vec<_> = new
        .iter()
        .filter(|p| !objects(p))
        .map(|p| String::from_utf8_lossy(p))
        .collect();
    let wanted = [
        ".git/logs/refs/heads/prentice",
        ".git/logs/refs/heads/prentice/t-1",
        ".git/refs/heads/prentice",
        ".git/refs/heads/prentice/t-1",
    ];
    assert_eq!(refs, wanted);
    // Commit, two trees, two blobs; the rest was there.
    let added = new
        .iter()
        .filter(|p| objects(p) && after[**p].0.starts_with("file"))
        .count();
    assert_eq!(added, 5);
    assert!(
        before
            .iter()
            .all(|(path, what)| after.get(path) == Some(what)),
        "nothing old changed"
    );
    // Again: nothing.
    repo.set_branch(&mirror, "prentice/t-1", &made, None)
        .unwrap();
    assert_eq!(snapshot(&user), after);
    git(&user, &["fsck", "--strict"]);
    assert_eq!(
        repo.branch_head("prentice/t-1").unwrap(),
        Some(made.clone())
    );
    assert!(repo.delete_branch("prentice/t-1", &made).unwrap());
    assert!(!repo.delete_branch("prentice/t-1", &made).unwrap());
    assert_eq!(repo.branch_head("prentice/t-1").unwrap(), None);
}

#[test]
fn the_lock_of_a_killed_writer_is_taken_away_and_a_live_one_is_waited_for() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let (mirror, repo, base) = fetched(&world, &user);
    let made = result(&world, &mirror, &base, &[("a", "one")]);
    let lock = user.join(".git/refs/heads/p/x.lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();

    // Somebody who works: the lock is another file each time, and goes in the end.
    fs::write(&lock, "").unwrap();
    let busy = std::thread::spawn({
        let lock = lock.clone();
        move || {
            let new = lock.with_extension("new");
            let started = std::time::Instant::now();
            let mut taken = false;
            while started.elapsed() < std::time::Duration::from_secs(4) {
                std::thread::sleep(std::time::Duration::from_millis(100));
                taken |= !lock.exists();
                fs::write(&new, "").unwrap();
                fs::rename(&new, &lock).unwrap();
            }
            fs::remove_file(&lock).unwrap();
            taken
        }
    });
    repo.set_branch(&mirror, "p/x", &made, None).unwrap();
    assert!(!busy.join().unwrap(), "a live lock was taken");

    // Killed: the file stays as it is.
    fs::write(&lock, "").unwrap();
    assert!(repo.delete_branch("p/x", &made).unwrap());
    let mark = world.path(&format!(
        "data/repos/key/mirror.git/refs/prentice/result/{made}"
    ));
    assert!(mark.exists(), "{}", mark.display());
    fs::write(mark.with_extension("lock"), "").unwrap();
    mirror.forget(&made).unwrap();
    assert!(!mark.exists());
}

#[test]
fn a_branch_that_moved_is_a_conflict_and_stays() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let (mirror, repo, base) = fetched(&world, &user);
    let one = result(&world, &mirror, &base, &[("a", "one")]);
    let two = result(&world, &mirror, &base, &[("a", "two")]);
    repo.set_branch(&mirror, "p/x", &one, None).unwrap();
    let error = repo.set_branch(&mirror, "p/x", &two, None).unwrap_err();
    assert!(
        matches!(&error, Error::Conflict { expected: None, found: Some(found), .. } if *found == one)
    );
    let error = repo
        .set_branch(&mirror, "p/x", &two, Some(&base))
        .unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }));
    assert!(matches!(
        repo.delete_branch("p/x", &two),
        Err(Error::Conflict { .. })
    ));
    assert_eq!(repo.branch_head("p/x").unwrap(), Some(one.clone()));
    repo.set_branch(&mirror, "p/x", &two, Some(&one)).unwrap();
    assert_eq!(repo.branch_head("p/x").unwrap(), Some(two.clone()));
    let error = repo
        .set_branch(&mirror, "p/y", &two, Some(&one))
        .unwrap_err();
    assert!(matches!(error, Error::Conflict { found: None, .. }));
    // A branch in the way, and names that are not ours.
    let error = repo.set_branch(&mirror, "p/x/y", &two, None).unwrap_err();
    assert!(matches!(error, Error::Unusable(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "branch `p/x` is in the way of `p/x/y`; rename it, or change `branch` under [task]"
    );
    let error = repo.set_branch(&mirror, "p", &two, None).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("branch `p/x` is in the way of `p`;"),
        "{error}"
    );
    for name in [
        "../x",
        "-x",
        "a..b",
        "Main",
        "a b",
        "@{-1}",
        "refs/heads/x.lock",
        "",
    ] {
        assert!(
            matches!(
                repo.set_branch(&mirror, name, &two, None),
                Err(Error::Unusable(_))
            ),
            "{name}"
        );
    }
}

#[test]
fn a_branch_that_some_work_tree_has_checked_out_is_refused() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let (mirror, repo, base) = fetched(&world, &user);
    let made = result(&world, &mirror, &base, &[("a", "2")]);
    let at_base = Some(&base);
    assert!(matches!(
        repo.set_branch(&mirror, "main", &made, at_base),
        Err(Error::CheckedOut { .. })
    ));
    let linked = world.path("linked");
    git(
        &user,
        &[
            "worktree",
            "add",
            "-q",
            "-b",
            "side",
            linked.to_str().unwrap(),
        ],
    );
    let error = repo
        .set_branch(&mirror, "side", &made, at_base)
        .unwrap_err();
    assert!(
        matches!(&error, Error::CheckedOut { worktree, .. } if worktree.ends_with("linked")),
        "{error}"
    );
    assert!(matches!(
        repo.delete_branch("side", &base),
        Err(Error::CheckedOut { .. })
    ));
    // From the linked tree's point of view as well.
    let other = UserRepo::discover(&linked).unwrap();
    assert!(matches!(
        other.set_branch(&mirror, "main", &made, at_base),
        Err(Error::CheckedOut { .. })
    ));
    git(&linked, &["checkout", "-q", "--detach"]);
    repo.set_branch(&mirror, "side", &made, at_base).unwrap();
}

#[test]
fn nothing_that_a_repository_configures_is_run() {
    let world = World::new();
    let user = world.user(&[
        ("a", "1"),
        ("f.txt", "x\n"),
        (".gitattributes", "* filter=evil diff=evil\n"),
    ]);
    let marker = world.path("ran");
    let script = world.path("evil.sh");
    put(
        &script,
        format!("#!/bin/sh\necho ran >> {}\ncat\n", marker.display()),
    );
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let evil = script.to_str().unwrap();
    for key in [
        "core.fsmonitor",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.evil.textconv",
        "diff.evil.command",
        "diff.external",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "gpg.program",
        "credential.helper",
        "uploadpack.packObjectsHook",
        "core.alternateRefsCommand",
    ] {
        git(&user, &["config", key, evil]);
    }
    git(&user, &["config", "commit.gpgSign", "true"]);
    for hook in [
        "post-checkout",
        "pre-commit",
        "reference-transaction",
        "post-index-change",
        "update",
        "post-update",
    ] {
        let path = user.join(".git/hooks").join(hook);
        fs::copy(&script, &path).unwrap();
    }
    put(&user.join("f.txt"), "y\n");
    // The probe works: plain git runs it.
    let _ = git_command(&user, &["status"]).output();
    assert!(marker.exists(), "plain git runs what is configured");
    fs::remove_file(&marker).unwrap();
    let (mirror, repo, base) = {
        let repo = UserRepo::discover(&user).unwrap();
        let mirror = world.mirror();
        let base = repo.resolve("main").unwrap();
        mirror.fetch_commit(&repo, &base).unwrap();
        (mirror, repo, base)
    };
    assert_eq!(repo.survey().unwrap().dirty.unstaged, 1);
    let checkout = mirror.checkout(&base).unwrap();
    mirror.throwaway_git(&base, &checkout).unwrap();
    let made = result(&world, &mirror, &base, &[("a", "2")]);
    mirror.diff(&base, &made).unwrap();
    mirror.patch(&base, &made, 1 << 20).unwrap();
    mirror
        .write_delta(&base, &made, &world.folder("delta"))
        .unwrap();
    repo.set_branch(&mirror, "p/x", &made, None).unwrap();
    repo.delete_branch("p/x", &made).unwrap();
    repo.default_branch().unwrap();
    assert!(!marker.exists(), "something ran");
}

// --- Checkouts ---

#[test]
fn a_checkout_holds_what_git_checks_out_whatever_the_names() {
    let world = World::new();
    let user = world.user(&[
        ("plain", "x\n"),
        ("empty", ""),
        ("run.sh", "#!/bin/sh\n"),
        ("d/e/f", "deep"),
        ("new\nline", "n"),
    ]);
    fs::set_permissions(user.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    put(&user.join(OsStr::from_bytes(b"in\xffvalid")), "i");
    put(&user.join("a\\b: c"), "odd");
    symlink("../outside", user.join("d/link")).unwrap();
    symlink("/etc/passwd", user.join("absolute")).unwrap();
    for n in 0..100 {
        put(&user.join(format!("many/{n}")), format!("{n}"));
    }
    commit(&user, &[]);
    let (mirror, _, base) = fetched(&world, &user);
    let checkout = mirror.checkout(&base).unwrap();
    git(
        world.root.path(),
        &["clone", "-q", user.to_str().unwrap(), "clone"],
    );
    fs::remove_dir_all(world.path("clone/.git")).unwrap();
    let ours = snapshot(checkout.path());
    assert_eq!(ours, snapshot(&world.path("clone")));
    let files = ours
        .values()
        .filter(|(kind, _)| !kind.starts_with("folder"))
        .count();
    assert_eq!(checkout.written().files, files as u64);
    // The same again comes from the cache.
    let inode = fs::metadata(checkout.path()).unwrap().ino();
    assert_eq!(
        fs::metadata(mirror.checkout(&base).unwrap().path())
            .unwrap()
            .ino(),
        inode
    );
}

#[test]
fn a_checkout_is_raw_whatever_the_attributes_say() {
    let world = World::new();
    let user = world.user(&[
        ("a.txt", "one\r\ntwo\n$Id$\n"),
        (
            "lfs.bin",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        ),
    ]);
    // Committed after the files, so that git stored them as they are.
    commit(
        &user,
        &[(
            ".gitattributes",
            "*.txt text eol=crlf ident\n*.bin filter=lfs\n",
        )],
    );
    let (mirror, _, base) = fetched(&world, &user);
    let stored = git_command(&user, &["cat-file", "blob", "HEAD:a.txt"])
        .output()
        .unwrap()
        .stdout;
    let checkout = mirror.checkout(&base).unwrap();
    assert_eq!(fs::read(checkout.path().join("a.txt")).unwrap(), stored);
    assert!(
        fs::read(checkout.path().join("lfs.bin"))
            .unwrap()
            .starts_with(b"version https://git-lfs")
    );
}

#[test]
fn a_forged_tree_with_names_that_lead_out_is_refused() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let blob = git(&user, &["rev-parse", "HEAD:a"]);
    let raw: Vec<u8> = (0..20)
        .map(|i| u8::from_str_radix(&blob[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    let forge = |entries: &[(&str, &[u8])]| -> CommitId {
        let mut bytes = Vec::new();
        for (mode, name) in entries {
            bytes.extend_from_slice(format!("{mode} ").as_bytes());
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(&raw);
        }
        put(&world.path("tree"), bytes);
        let tree_file = world.path("tree");
        let tree = git(
            &user,
            &[
                "hash-object",
                "-t",
                "tree",
                "-w",
                "--literally",
                tree_file.to_str().unwrap(),
            ],
        );
        git(&user, &["commit-tree", "-m", "forged", &tree])
            .parse()
            .unwrap()
    };
    let (mirror, repo, _) = fetched(&world, &user);
    for name in [
        &b".."[..],
        b".git",
        b".GIT",
        b"git~1",
        b".git ",
        b".git::$INDEX_ALLOCATION",
        b"a/../../x",
        b".g\xe2\x80\x8cit",
    ] {
        let commit = forge(&[("100644", name)]);
        mirror.fetch_commit(&repo, &commit).unwrap();
        let error = mirror.checkout(&commit).unwrap_err();
        assert!(
            matches!(error, Error::Hostile { .. }),
            "{} gave {error}",
            String::from_utf8_lossy(name)
        );
    }
    // A link and a folder of one name would write through the link.
    let twice = forge(&[("120000", b"a"), ("100644", b"a")]);
    mirror.fetch_commit(&repo, &twice).unwrap();
    assert!(matches!(
        mirror.checkout(&twice),
        Err(Error::Hostile {
            why: "the tree holds this name twice",
            ..
        })
    ));
    assert!(!world.path("data/repos/x").exists());
    let left = fs::read_dir(world.path("data/repos/key/checkouts"))
        .unwrap()
        .flatten();
    let left: Vec<_> = left.filter(|e| e.file_type().unwrap().is_dir()).collect();
    assert!(
        left.is_empty(),
        "a refused checkout leaves nothing: {left:?}"
    );
}

#[test]
fn a_large_file_passes_through_every_step() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    // Does not compress, so that the object is large as well.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    })
    .take(64 << 20)
    .collect();
    put(&user.join("large"), &noise);
    commit(&user, &[]);
    let (mirror, repo, base) = fetched(&world, &user);
    let copy = world.folder("copy");
    mirror.write_checkout(&base, &copy).unwrap();
    assert!(
        fs::read(copy.join("large")).unwrap() == noise,
        "loose object"
    );
    let same = mirror
        .collect_full(&copy, &base, &[], &Limits::default())
        .unwrap();
    assert_eq!((same.changed, same.tree), (0, mirror.tree(&base).unwrap()));
    let mut changed = noise;
    changed[1 << 20] ^= 1;
    put(&copy.join("large"), &changed);
    let collected = mirror
        .collect_full(&copy, &base, &[], &Limits::default())
        .unwrap();
    let made = seal(&mirror, &base, &collected);
    let changes = mirror.diff(&base, &made).unwrap();
    assert_eq!((changes.len(), changes[0].binary), (1, true));
    assert!(
        changes[0].new.as_ref().unwrap().size > CONTENT_CAP
            && changes[0].new.as_ref().unwrap().content.is_none()
    );
    repo.set_branch(&mirror, "p/large", &made, None).unwrap();
    assert_eq!(
        git(&user, &["cat-file", "-s", "p/large:large"]),
        (64 << 20).to_string()
    );
    let delta = world.folder("delta");
    mirror.write_delta(&base, &made, &delta).unwrap();
    assert!(fs::read(delta.join("large")).unwrap() == changed);
}

/// Makes a file look written this many seconds after 1970.
fn written_at(path: &Path, secs: u64) {
    let file = fs::File::options().append(true).open(path).unwrap();
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(secs);
    file.set_modified(at).unwrap();
}

#[test]
fn what_is_old_is_let_go_of_but_for_the_newest_and_what_is_wanted() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let mut commits = vec![head(&user)];
    for n in 2..5 {
        commits.push(commit(&user, &[("a", &n.to_string())]));
    }
    let (mirror, repo, _) = fetched(&world, &user);
    let mark = |commit: &CommitId| {
        world.path(&format!(
            "data/repos/key/mirror.git/refs/prentice/base/{commit}"
        ))
    };
    for (commit, at) in commits.iter().zip([10, 20, 30, 40]) {
        mirror.fetch_commit(&repo, commit).unwrap();
        written_at(&mark(commit), at);
    }
    let there = || {
        let marks = commits.iter().map(|commit| mark(commit).exists());
        marks.collect::<Vec<_>>()
    };
    let wanted = commits[1].to_string();
    let forget = |before: i64| {
        let before = Time(before * 1000);
        mirror.forget_bases(before, &|commit| commit == wanted)
    };
    assert_eq!(forget(10).unwrap(), 0, "none is older");
    assert_eq!(forget(30).unwrap(), 1);
    assert_eq!(there(), [false, true, true, true]);
    // However old, the newest stays.
    assert_eq!(forget(1000).unwrap(), 1);
    assert_eq!(there(), [false, true, false, true]);
    // And everything can be had again.
    mirror.fetch_commit(&repo, &commits[0]).unwrap();
    assert!(mark(&commits[0]).exists());

    let (repos, lock) = (world.path("data/repos"), world.path("data/repos/key.lock"));
    let idle = |before: i64, keep: &str| {
        remove_idle_repos(&repos, Time(before * 1000), &|key| key == keep).unwrap()
    };
    written_at(&lock, 50);
    assert_eq!(idle(60, ""), [""; 0], "it is in use");
    drop(mirror);
    assert_eq!(idle(50, ""), [""; 0]);
    assert_eq!(idle(60, "key"), [""; 0]);
    // A program that another test starts holds a copy of every lock for an instant, between its fork and its exec.
    let removed = (0..200).find_map(|_| {
        let removed = idle(60, "");
        std::thread::sleep(std::time::Duration::from_millis(10));
        (!removed.is_empty()).then_some(removed)
    });
    assert_eq!(removed.unwrap(), ["key"]);
    assert!(!repos.join("key").exists());
}

#[test]
fn a_checkout_in_use_is_never_pruned_and_the_least_recently_used_goes_first() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let mut commits = vec![head(&user)];
    for n in 2..5 {
        commits.push(commit(&user, &[("a", &n.to_string())]));
    }
    let (mirror, repo, _) = fetched(&world, &user);
    for commit in &commits {
        mirror.fetch_commit(&repo, commit).unwrap();
        mirror.checkout(commit).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let held = mirror.checkout(&commits[1]).unwrap();
    let pruned = mirror.prune_checkouts(u64::MAX, 2).unwrap();
    assert_eq!(
        pruned.removed,
        [commits[0].to_string(), commits[2].to_string()]
    );
    assert!(held.path().join("a").exists());
    let pruned = mirror.prune_checkouts(0, 0).unwrap();
    assert_eq!(pruned.removed, [commits[3].to_string()]);
    let path = held.path().to_owned();
    assert!(path.exists());
    // A repository in use is not removed; one that is not, is.
    let repos = world.path("data/repos");
    assert!(prune_repos(&repos, 0, &|_| false).unwrap().is_empty());
    drop((held, mirror));
    assert!(
        prune_repos(&repos, 0, &|key| key == "key")
            .unwrap()
            .is_empty()
    );
    // A program that another test starts holds a copy of every lock for an instant, between its fork and its exec.
    let removed = (0..200).find_map(|_| {
        let removed = prune_repos(&repos, 0, &|_| false).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(10));
        (!removed.is_empty()).then_some(removed)
    });
    assert_eq!(removed.unwrap(), ["key"]);
    assert!(!path.exists());
    // And everything can be had again.
    let (mirror, _, base) = fetched(&world, &user);
    assert!(mirror.checkout(&base).unwrap().path().join("a").exists());
}

#[test]
fn a_checkout_that_another_boot_wrote_or_a_kill_interrupted_is_written_anew() {
    let world = World::new();
    let user = world.user(&[("a", "right")]);
    let (mirror, _, base) = fetched(&world, &user);
    let path = mirror.checkout(&base).unwrap().path().to_owned();
    let marker = path.parent().unwrap().with_extension("used");
    let text = fs::read_to_string(&marker).unwrap();
    put(&path.join("a"), "cut off by a power failure");
    put(
        &marker,
        text.replacen(text.split(' ').next().unwrap(), "00000000-another-boot", 1),
    );
    assert_eq!(
        fs::read(mirror.checkout(&base).unwrap().path().join("a")).unwrap(),
        b"right"
    );
    // Killed while writing: no marker yet; pruned although nothing is above a cap.
    fs::rename(&path, path.with_file_name("tmp-files")).unwrap();
    put(&marker, "");
    let pruned = mirror.prune_checkouts(u64::MAX, usize::MAX).unwrap();
    assert!(pruned.removed.is_empty() && !path.parent().unwrap().exists());
    mirror.checkout(&base).unwrap();
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(
        fs::read(mirror.checkout(&base).unwrap().path().join("a")).unwrap(),
        b"right"
    );
}

#[test]
fn many_at_once_get_one_checkout() {
    let world = World::new();
    let user = world.user(&[("a", "1"), ("b/c", "2")]);
    let (mirror, _, base) = fetched(&world, &user);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let checkout = mirror.checkout(&base).unwrap();
                assert_eq!(fs::read(checkout.path().join("b/c")).unwrap(), b"2");
                let layer = mirror.throwaway_git(&base, &checkout).unwrap();
                assert!(layer.join(".git/index").exists());
            });
        }
    });
}

// --- The throw-away repository ---

#[test]
fn the_throw_away_repository_is_clean_and_holds_one_commit() {
    let world = World::new();
    let user = world.user(&[("a", "1"), ("d/e", "2"), ("secret", "old")]);
    fs::remove_file(user.join("secret")).unwrap();
    git(&user, &["branch", "other"]);
    symlink("a", user.join("link")).unwrap();
    commit(&user, &[("new\nline", "x"), ("run", "y")]);
    let (mirror, _, base) = fetched(&world, &user);
    let checkout = mirror.checkout(&base).unwrap();
    let layer = mirror.throwaway_git(&base, &checkout).unwrap();
    let names: Vec<_> = fs::read_dir(&layer)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, [".git"]);
    let copy = world.folder("copy");
    mirror.write_checkout(&base, &copy).unwrap();
    copy_git(&layer, &copy).unwrap();
    // Without re-reading a file: an index entry that is not up to date would be told by diff-files.
    assert_eq!(git(&copy, &["diff-files", "--name-only"]), "");
    assert_eq!(git(&copy, &["status", "--porcelain"]), "");
    assert_eq!(git(&copy, &["rev-list", "--all", "--count"]), "1");
    assert_eq!(git(&copy, &["rev-parse", "HEAD"]), base.as_str());
    git(&copy, &["fsck", "--strict"]);
    let old = git(&user, &["rev-parse", "HEAD~1:secret"]);
    assert!(
        !git_command(&copy, &["cat-file", "-e", &old])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    put(&copy.join("a"), "2");
    git(&copy, &["commit", "-q", "-a", "-m", "mine"]);
    // Not part of the result, wherever it is.
    let collected = mirror
        .collect_full(&copy, &base, &[RepoPath::from(".git")], &Limits::default())
        .unwrap();
    assert_eq!((collected.changed, collected.hostile.len()), (1, 0));
    for as_root in overlay_modes() {
        let script = format!(
            "test -z \"$(git -c safe.directory=* status --porcelain)\" && echo 3 > a && git -c safe.directory=* commit -qam mine && touch {}/ok || true",
            "$PWD"
        );
        let name = format!("o{as_root}");
        let upper = in_overlay(&world, &name, &[&layer, checkout.path()], as_root, &script);
        assert!(upper.join("ok").exists(), "as root: {as_root}");
        let skip = [RepoPath::from(".git")];
        let collected = mirror
            .collect_upper(&upper, &base, &skip, &Limits::default())
            .unwrap();
        assert_eq!((collected.changed, collected.hostile), (2, Vec::new()));
    }
}

// --- Import ---

#[test]
fn what_an_agent_plants_is_told_and_left_out_and_never_followed() {
    let world = World::new();
    let user = world.user(&[
        ("a", "1"),
        ("swap", "mine"),
        ("dir/x", "1"),
        ("fifo", "tracked"),
    ]);
    let (mirror, _, base) = fetched(&world, &user);
    let outside = world.folder("outside");
    put(&outside.join("x"), "SECRET");
    let dir = world.folder("work");
    mirror.write_checkout(&base, &dir).unwrap();
    fs::remove_dir_all(dir.join("dir")).unwrap();
    symlink(&outside, dir.join("dir")).unwrap();
    fs::remove_file(dir.join("swap")).unwrap();
    symlink(outside.join("x"), dir.join("swap")).unwrap();
    fs::remove_file(dir.join("fifo")).unwrap();
    output(Command::new("mkfifo").arg(dir.join("fifo")));
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    put(&dir.join(".git/config"), "[core]\nfsmonitor = x\n");
    put(&dir.join("nested/.git/HEAD"), "x");
    put(&dir.join("nested/file"), "kept");
    put(&dir.join("gitfile/.git"), "gitdir: /etc");
    put(&dir.join("GIT~1"), "x");
    put(&dir.join(OsStr::from_bytes(b"odd\xff\nname")), "x");
    put(&dir.join("setuid"), "x");
    fs::set_permissions(dir.join("setuid"), fs::Permissions::from_mode(0o6711)).unwrap();
    fs::hard_link(dir.join("a"), dir.join("hard")).unwrap();
    put(&dir.join("locked/in"), "x");
    put(&dir.join("locked/.keep"), "x");
    fs::set_permissions(dir.join("locked/in"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(dir.join("locked"), fs::Permissions::from_mode(0o0)).unwrap();
    let collected = mirror
        .collect_full(&dir, &base, &[RepoPath::from(".git")], &Limits::default())
        .unwrap();
    assert_eq!(
        paths(&collected.odd),
        ["fifo: a named pipe", "socket: a socket"]
    );
    let alias = "a name that git or another system takes for `.git`";
    assert_eq!(
        paths(&collected.hostile),
        [
            format!("GIT~1: {alias}"),
            format!("gitfile/.git: {alias}"),
            format!("nested/.git: {alias}")
        ]
    );
    let made = seal(&mirror, &base, &collected);
    let listing = git(
        &mirror.dir().join("mirror.git"),
        &["ls-tree", "-r", made.as_str()],
    );
    let listing: Vec<_> = listing
        .lines()
        .map(|l| format!("{} {}", &l[..6], l.split('\t').nth(1).unwrap()))
        .collect();
    assert_eq!(
        listing,
        [
            "100644 a",
            "120000 dir",
            "100644 hard",
            "100644 locked/.keep",
            "100644 locked/in",
            "100644 nested/file",
            "100644 \"odd\\377\\nname\"",
            "100755 setuid",
            "120000 swap",
        ]
    );
    git(
        &mirror.dir().join("mirror.git"),
        &["fsck", "--strict", "--no-dangling"],
    );
    for change in mirror.diff(&base, &made).unwrap() {
        let content = change.new.and_then(|e| e.content).unwrap_or_default();
        assert!(
            !content.windows(6).any(|w| w == b"SECRET"),
            "{:?}",
            change.path
        );
    }
}

#[test]
fn a_workspace_that_is_still_swapped_about_gives_no_byte_from_outside_and_never_blocks() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let (mirror, _, base) = fetched(&world, &user);
    let outside = world.folder("outside");
    put(&outside.join("leaked"), "SECRET");
    let (dir, spare) = (world.folder("work"), world.folder("spare"));
    put(&dir.join("folder/inside"), "i");
    put(&dir.join("file"), "SIX456");
    put(&dir.join("pipe"), "p");
    symlink(&outside, spare.join("folder")).unwrap();
    symlink(outside.join("leaked"), spare.join("file")).unwrap();
    output(Command::new("mkfifo").arg(spare.join("pipe")));
    let (mut read, mut caught) = (0, 0);
    let over = std::sync::atomic::AtomicBool::new(false);
    let ordering = std::sync::atomic::Ordering::Relaxed;
    /// Ends the swapping, however the reading ends.
    struct Ends<'a>(&'a std::sync::atomic::AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let _ends = Ends(&over);
        scope.spawn(|| {
            while !over.load(ordering) {
                for name in ["folder", "file", "pipe"] {
                    let exchange = rustix::fs::RenameFlags::EXCHANGE;
                    let (a, b) = (dir.join(name), spare.join(name));
                    rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, exchange)
                        .unwrap();
                }
            }
        });
        // At least a while, and until both were met: on a busy machine a hundred readings may
        // pass without one swap between a look and the opening.
        let start = std::time::Instant::now();
        let not_met = |read, caught| read == 0 || caught == 0;
        while start.elapsed().as_millis() < 1500
            || (not_met(read, caught) && start.elapsed().as_secs() < 60)
        {
            match mirror.collect_full(&dir, &base, &[], &Limits::default()) {
                Err(Error::Hostile { .. }) => caught += 1,
                Err(other) => panic!("{other}"),
                Ok(collected) => {
                    read += 1;
                    let made = seal(&mirror, &base, &collected);
                    for change in mirror.diff(&base, &made).unwrap() {
                        assert_ne!(change.path.file_name(), b"leaked", "{:?}", change.path);
                        let new = change.new.and_then(|e| e.content).unwrap_or_default();
                        assert_ne!(new, b"SECRET", "{:?}", change.path);
                    }
                }
            }
        }
    });
    println!("read {read} times, caught {caught} swaps");
    assert!(read > 0 && caught > 0);
}

#[test]
fn a_cap_that_is_reached_is_named() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let (mirror, _, base) = fetched(&world, &user);
    let dir = world.folder("work");
    mirror.write_checkout(&base, &dir).unwrap();
    let sparse = fs::File::create(dir.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let collect = |limits: &Limits| {
        mirror
            .collect_full(&dir, &base, &[], limits)
            .unwrap_err()
            .to_string()
    };
    let all = Limits::default();
    assert_eq!(
        collect(&all),
        "the size of `sparse` is above the limit of 1073741824"
    );
    fs::remove_file(dir.join("sparse")).unwrap();
    put(&dir.join("b"), "123456");
    put(&dir.join("c/d/e"), "123456");
    assert_eq!(
        collect(&Limits { changed: 1, ..all }),
        "the number of changed files, reached at `c/d/e` is above the limit of 1"
    );
    assert_eq!(
        collect(&Limits { visited: 3, ..all }),
        "the number of names, reached in `c` is above the limit of 3"
    );
    assert_eq!(
        collect(&Limits { depth: 1, ..all }),
        "the nesting of folders at `c/d` is above the limit of 1"
    );
    assert_eq!(
        collect(&Limits {
            path_bytes: 3,
            ..all
        }),
        "the length of a path in `c/d` is above the limit of 3"
    );
    assert_eq!(
        collect(&Limits {
            total_bytes: 8,
            ..all
        }),
        "the bytes of all changed files, reached at `c/d/e` is above the limit of 8"
    );
    // Deeper than any stack, wide open: ends with the cap.
    let mut deep = dir.clone();
    for _ in 0..140 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    put(&deep.join("x"), "x");
    assert!(collect(&all).starts_with("the nesting of folders at `d/d/"));
}

#[test]
fn ignored_output_and_droppings_are_left_out_unless_tracked() {
    let world = World::new();
    let user = world.user(&[
        (".gitignore", "*.log\n/out/\n!keep.log\n"),
        ("sub/.gitignore", "/local\n"),
        ("tracked.log", "tracked though ignored"),
        ("out/tracked", "t"),
        ("Cargo.toml", ""),
        ("vendored/node_modules/x.js", "tracked"),
    ]);
    let (mirror, _, base) = fetched(&world, &user);
    let dir = world.folder("work");
    mirror.write_checkout(&base, &dir).unwrap();
    for name in [
        "new.log",
        "keep.log",
        "sub/local",
        "sub/deep/local",
        "out/new",
        "out/tracked",
        "tracked.log",
        "target/debug/x",
        "src/target/real.rs",
        "pkg/__pycache__/m.pyc",
        "pkg/m.pyc",
        "node_modules/y.js",
        "vendored/node_modules/y.js",
    ] {
        put(&dir.join(name), "changed");
    }
    // The rules are those of the base: the agent's own do not hide anything.
    put(&dir.join(".gitignore"), "*\n");
    let collected = mirror
        .collect_full(&dir, &base, &[], &Limits::default())
        .unwrap();
    let droppings: Vec<_> = collected.droppings.iter().map(RepoPath::lossy).collect();
    assert_eq!(
        droppings,
        ["node_modules", "pkg/__pycache__", "pkg/m.pyc", "target"]
    );
    assert_eq!(collected.ignored, 3);
    let made = seal(&mirror, &base, &collected);
    let changed: Vec<_> = mirror
        .diff(&base, &made)
        .unwrap()
        .iter()
        .map(|c| c.path.lossy().into_owned())
        .collect();
    assert_eq!(
        changed,
        [
            ".gitignore",
            "keep.log",
            "out/tracked",
            "src/target/real.rs",
            "sub/deep/local",
            "tracked.log",
            "vendored/node_modules/y.js",
        ]
    );
}

#[test]
fn a_commit_is_the_same_whenever_it_is_made() {
    let world = World::new();
    let user = world.user(&[("a", "1")]);
    let (mirror, _, base) = fetched(&world, &user);
    let one = result(&world, &mirror, &base, &[("a", "2")]);
    let two = result(&world, &mirror, &base, &[("a", "2")]);
    assert_eq!(one, two);
    let shown = git(
        &mirror.dir().join("mirror.git"),
        &["cat-file", "commit", one.as_str()],
    );
    let shown = shown.split_once('\n').unwrap().1;
    let wanted = format!(
        "parent {base}\nauthor prentice <prentice@example.org> 1700000100 +0000\ncommitter prentice <prentice@example.org> 1700000100 +0000\n\nfix: the thing\n\nAgent-Task: T-1"
    );
    assert_eq!(shown, wanted);
    mirror.forget(&one).unwrap();
    mirror.forget(&one).unwrap();
}

#[test]
fn a_diff_tells_kinds_lines_and_content_and_its_patch_applies() {
    let world = World::new();
    let user = world.user(&[
        ("gone", "a\nb\n"),
        ("text", "1\n2\n3\n"),
        ("mode", "x"),
        ("tolink", "x"),
        ("folder/x", "x"),
        ("file", "y"),
        (".gitattributes", "text -diff\n"),
    ]);
    put(&user.join("binary"), b"\0\x01");
    let base = commit(&user, &[]);
    for name in ["gone", "tolink", "file"] {
        fs::remove_file(user.join(name)).unwrap();
    }
    fs::remove_dir_all(user.join("folder")).unwrap();
    symlink("text", user.join("tolink")).unwrap();
    fs::set_permissions(user.join("mode"), fs::Permissions::from_mode(0o755)).unwrap();
    put(&user.join("binary"), b"\0\x02\x03");
    put(
        &user.join("big"),
        vec![b'x'; usize::try_from(CONTENT_CAP).unwrap() + 1],
    );
    let after = commit(
        &user,
        &[
            ("text", "1\nTWO\n3\n4\n"),
            ("folder", "now a file"),
            ("file/in", "now a folder"),
        ],
    );
    let (mirror, repo, _) = fetched(&world, &user);
    mirror.fetch_commit(&repo, &base).unwrap();
    let shown: Vec<_> = mirror
        .diff(&base, &after)
        .unwrap()
        .iter()
        .map(|c| {
            let side = |e: &Option<prentice::domain::gates::Entry>| {
                e.as_ref().map_or("none".to_owned(), |e| {
                    format!(
                        "{:?} {}{}",
                        e.kind,
                        e.size,
                        if e.content.is_none() {
                            " without content"
                        } else {
                            ""
                        }
                    )
                })
            };
            let binary = if c.binary { " binary" } else { "" };
            format!(
                "{}: {} -> {} +{} -{}{binary}",
                c.path.lossy(),
                side(&c.old),
                side(&c.new),
                c.added,
                c.removed
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "big: none -> File 2097153 without content +1 -0",
            "binary: File 2 -> File 3 +0 -0 binary",
            "file: File 1 -> none +0 -1",
            "file/in: none -> File 12 +1 -0",
            "folder: none -> File 10 +1 -0",
            "folder/x: File 1 -> none +0 -1",
            "gone: File 4 -> none +0 -2",
            "mode: File 1 -> Executable 1 +0 -0",
            "text: File 6 -> File 10 +2 -1",
            "tolink: File 1 -> Symlink 4 +1 -1",
        ]
    );
    let patch = mirror.patch(&base, &after, 64 << 20).unwrap();
    assert!(!patch.capped);
    put(&world.path("p.patch"), &patch.bytes);
    git(&user, &["checkout", "-q", base.as_str()]);
    git(
        &user,
        &[
            "apply",
            "--index",
            "--binary",
            world.path("p.patch").to_str().unwrap(),
        ],
    );
    assert_eq!(git(&user, &["write-tree"]), mirror.tree(&after).unwrap());
    let capped = mirror.patch(&base, &after, 600).unwrap();
    assert!(capped.capped && capped.bytes.len() <= 600 && patch.bytes.starts_with(&capped.bytes));
    assert!(capped.bytes.is_empty() || capped.bytes.ends_with(b"\n"));
}

#[test]
fn files_are_read_by_commit_and_never_through_links() {
    let world = World::new();
    let user = world.user(&[("prentice.toml", "[task]\n"), ("d/AGENTS.md", "hello")]);
    symlink("d", user.join("l")).unwrap();
    commit(&user, &[]);
    put(&user.join("prentice.toml"), "changed in the work tree");
    let (mirror, _, base) = fetched(&world, &user);
    let read = |path: &str| mirror.file_at(&base, &RepoPath::from(path), 100).unwrap();
    assert_eq!(read("prentice.toml").as_deref(), Some(&b"[task]\n"[..]));
    assert_eq!(read("d/AGENTS.md").as_deref(), Some(&b"hello"[..]));
    for none in [
        "d",
        "nope",
        "d/nope",
        "l/AGENTS.md",
        "",
        "d/AGENTS.md/x",
        "../x",
    ] {
        assert_eq!(read(none), None, "{none}");
    }
    let error = mirror
        .file_at(&base, &RepoPath::from("d/AGENTS.md"), 3)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the size of `d/AGENTS.md` is above the limit of 3"
    );
}

// --- Overlays, and change sets nobody thought of ---

#[derive(Clone, Debug)]
enum Op {
    Write(String, u8),
    Folder(String),
    Remove(String),
    Link(String, String),
    Executable(String),
    Move(String, String),
    /// Removed and made again at once: an opaque folder.
    Renew(String),
}

fn any_path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c.o", "d", "e", ".x"]);
    prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"))
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any_path(), 0_u8..4).prop_map(|(p, n)| Op::Write(p, n)),
        1 => any_path().prop_map(Op::Folder),
        2 => any_path().prop_map(Op::Remove),
        1 => (any_path(), any_path()).prop_map(|(p, to)| Op::Link(p, to)),
        1 => any_path().prop_map(Op::Executable),
        2 => (any_path(), any_path()).prop_map(|(p, to)| Op::Move(p, to)),
        2 => any_path().prop_map(Op::Renew),
    ]
}

fn shell(ops: &[Op]) -> String {
    let lines = ops.iter().map(|op| match op {
        Op::Write(p, n) => format!("mkdir -p \"$(dirname {p})\"; printf '{n}\\n' > {p}"),
        Op::Folder(p) => format!("mkdir -p {p}"),
        Op::Remove(p) => format!("rm -rf {p}"),
        Op::Link(p, to) => format!("mkdir -p \"$(dirname {p})\"; ln -s {to} {p}"),
        Op::Executable(p) => format!("test -f {p} && chmod 755 {p}"),
        Op::Move(p, to) => format!("mkdir -p \"$(dirname {to})\"; mv -n {p} {to}"),
        Op::Renew(p) => format!(
            "test -d {p} && test ! -L {p} && rm -rf {p} && mkdir {p} && printf 'r\\n' > {p}/e"
        ),
    });
    format!(
        "({}) 2>/dev/null; true",
        lines.collect::<Vec<_>>().join("\n")
    )
}

#[test]
fn any_change_set_is_collected_from_an_overlay_as_from_a_copy_and_as_git_would() {
    let modes = overlay_modes();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..ProptestConfig::default()
    });
    let before = prop::collection::vec(any_op(), 4..14);
    let after = prop::collection::vec(any_op(), 1..14);
    runner
        .run(&(before, after, any::<bool>()), |(before, after, root)| {
            for mode in modes
                .iter()
                .filter(|mode| modes.len() == 1 || **mode == root)
            {
                overlay_case(&before, &after, *mode);
            }
            Ok(())
        })
        .unwrap();
}

fn overlay_case(before: &[Op], after: &[Op], as_root: bool) {
    let world = World::new();
    let user = world.user(&[
        (".gitignore", "*.o\n/a/d\nb/e/\n"),
        ("a/b/d", "base\n"),
        ("b/c.o", "tracked\n"),
        ("d", "x"),
    ]);
    output(
        Command::new("sh")
            .args(["-c", &shell(before)])
            .current_dir(&user)
            .stdin(Stdio::null())
            .env("LC_ALL", "C"),
    );
    commit(&user, &[]);
    let (mirror, _, base) = fetched(&world, &user);
    let checkout = mirror.checkout(&base).unwrap();
    let upper = in_overlay(&world, "agent", &[checkout.path()], as_root, &shell(after));
    let out = world.path("agent/out");
    let none: [RepoPath; 0] = [];
    let from_upper = mirror
        .collect_upper(&upper, &base, &none, &Limits::default())
        .unwrap();
    let from_copy = mirror
        .collect_full(&out, &base, &none, &Limits::default())
        .unwrap();
    // Git's own opinion of the copy, with the base as its index.
    fs::create_dir_all(world.path("judge")).unwrap();
    let git_dir = user.join(".git");
    let judge = |args: &[&str]| {
        let mut command = git_command(&world.path("judge"), args);
        command
            .env("GIT_DIR", &git_dir)
            .env("GIT_WORK_TREE", &out)
            .env("GIT_INDEX_FILE", world.path("judge/index"));
        output(&mut command)
    };
    judge(&["read-tree", base.as_str()]);
    judge(&["add", "-A"]);
    let wanted = judge(&["write-tree"]);
    assert_eq!(from_copy.tree, wanted, "copy; changes: {}", shell(after));
    assert_eq!(
        from_upper.tree,
        wanted,
        "overlay; changes: {}",
        shell(after)
    );
    let made = seal(&mirror, &base, &from_upper);
    let unchanged = mirror.tree(&base).unwrap() == wanted;
    assert_eq!(mirror.diff(&base, &made).unwrap().is_empty(), unchanged);
    // And the other way: base plus delta shows the head.
    let delta = world.folder("delta");
    mirror.write_delta(&base, &made, &delta).unwrap();
    in_overlay(&world, "head", &[&delta, checkout.path()], as_root, "true");
    let whole = world.folder("whole");
    mirror.write_checkout(&made, &whole).unwrap();
    assert_eq!(
        snapshot(&world.path("head/out")),
        snapshot(&whole),
        "delta; changes: {}",
        shell(after)
    );
}

#[test]
fn whiteouts_and_opaque_marks_of_every_form_delete_and_no_more() {
    let world = World::new();
    let user = world.user(&[
        ("a", "1"),
        ("d/x", "2"),
        ("d/y", "3"),
        ("e/z", "4"),
        ("m/q", "5"),
        ("m/r", "6"),
    ]);
    let (mirror, _, base) = fetched(&world, &user);
    let upper = world.folder("upper");
    let whiteout = |path: &str| {
        fs::create_dir_all(upper.join(path).parent().unwrap()).unwrap();
        output(
            Command::new("mknod")
                .arg(upper.join(path))
                .args(["c", "0", "0"]),
        );
    };
    whiteout("a");
    whiteout("not/there");
    put(&upper.join("d/new"), "n");
    let mark = |path: &str, name: &str, value: &[u8]| {
        let file = fs::File::open(upper.join(path)).unwrap();
        rustix::fs::fsetxattr(&file, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    mark("d", "user.overlay.opaque", b"y");
    put(&upper.join("m/q"), "");
    mark("m", "user.overlay.opaque", b"x");
    mark("m/q", "user.overlay.whiteout", b"y");
    // The attribute alone, without the folder's mark, means nothing.
    put(&upper.join("e/empty"), "");
    mark("e/empty", "user.overlay.whiteout", b"y");
    let collected = mirror
        .collect_upper(&upper, &base, &[], &Limits::default())
        .unwrap();
    let made = seal(&mirror, &base, &collected);
    let files: Vec<_> = mirror
        .list_files(&made)
        .unwrap()
        .iter()
        .map(|p| p.lossy().into_owned())
        .collect();
    assert_eq!(files, ["d/new", "e/empty", "e/z", "m/r"]);
    // In a copy the same device is just a device.
    let full = mirror
        .collect_full(&upper, &base, &[], &Limits::default())
        .unwrap();
    assert_eq!(paths(&full.odd), ["a: a device", "not/there: a device"]);
}
