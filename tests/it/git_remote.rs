//! Fetch and push against a real `git http-backend`, and against servers made by someone hostile.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use prentice::app::RemoteRefs;
use prentice::domain::ident::{CommitId, Time};
use prentice::domain::policy::Right;
use prentice::domain::report::CheckReport;
use prentice::forge::{self, Refs as _};
use prentice::git::{Author, Mirror, Net, PushError, Remote, RemoteError, Rule, Want};
use prentice::store::Steps;
use secrecy::SecretString;

use crate::git::{commit, git};
use crate::http_git::{HttpGit, Password, bare, base64};

const TOKEN: &str = "t0ken-that-nobody-may-see-4711";

/// A forge's folder with one repository `o/r.git`, somebody's clone of it, and a mirror of ours.
struct World {
    root: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with_hook(None)
    }

    fn with_hook(hook: Option<&str>) -> Self {
        let root = tempfile::Builder::new()
            .prefix("prentice-net-")
            .tempdir()
            .unwrap();
        let world = Self { root };
        fs::create_dir_all(world.path("forge/o")).unwrap();
        bare(&world.path("forge"), "o/r.git", hook);
        let user = world.path("user");
        fs::create_dir(&user).unwrap();
        git(&user, &["init", "-q", "-b", "main"]);
        world.people_push(&[("a.txt", "1\n")], "main");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn bare(&self) -> PathBuf {
        self.path("forge/o/r.git")
    }

    /// Somebody commits on what he has and pushes, past HTTP and hooks.
    fn people_push(&self, files: &[(&str, &str)], to: &str) -> CommitId {
        let id = commit(&self.path("user"), files);
        self.put_ref(&id, &format!("refs/heads/{to}"));
        id
    }

    fn put_ref(&self, id: &CommitId, name: &str) {
        let bare = self.bare();
        git(
            &bare,
            &["fetch", "-q", self.path("user").to_str().unwrap(), "HEAD"],
        );
        git(&bare, &["update-ref", name, id.as_str()]);
    }

    fn at(&self, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        let id = git(
            &self.bare(),
            &["for-each-ref", "--format=%(objectname)", &name],
        );
        (!id.is_empty()).then_some(id)
    }

    fn mirror(&self) -> Mirror {
        Mirror::open_or_create(&self.path("data/repos/f-1")).unwrap()
    }

    fn serve(&self) -> HttpGit {
        HttpGit::start(&self.path("forge"), password())
    }

    /// Head of `main` in the mirror, and a commit of ours on it.
    fn result(&self, mirror: &Mirror, remote: &Remote) -> (CommitId, CommitId) {
        let base = mirror
            .fetch_remote(remote, &[Want::Branch("main".to_owned())])
            .unwrap()
            .remove(0);
        let ours = commit_of_ours(mirror, &base, "result");
        (base, ours)
    }

    /// Every byte of what we keep.
    fn kept(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut todo = vec![self.path("data")];
        while let Some(next) = todo.pop() {
            for entry in fs::read_dir(next).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    todo.push(entry.path());
                } else {
                    all.extend(entry.path().as_os_str().as_encoded_bytes());
                    all.extend(fs::read(entry.path()).unwrap());
                }
            }
        }
        all
    }

    fn quarantines(&self) -> usize {
        let all = fs::read_dir(self.path("data/repos/f-1")).unwrap().flatten();
        all.filter(|e| e.file_name().to_string_lossy().starts_with("tmp-"))
            .count()
    }
}

fn commit_of_ours(mirror: &Mirror, base: &CommitId, message: &str) -> CommitId {
    let author = Author {
        name: "prentice".to_owned(),
        email: "bot@example.org".to_owned(),
        signer: None,
    };
    let tree = mirror.tree(base).unwrap();
    let parents = [base.clone()];
    mirror
        .commit(&tree, &parents, message, &author, Time(1_700_000_000_000))
        .unwrap()
}

fn password() -> Password {
    Some(("bot".to_owned(), TOKEN.to_owned()))
}

fn remote(url: &str) -> Remote {
    Remote::new(url, "bot", SecretString::from(TOKEN))
        .unwrap()
        .with(quick())
}

/// Limits for tests; generous, since two builds may run beside them.
fn quick() -> Net {
    Net {
        total: Duration::from_secs(60),
        quiet: Duration::from_secs(30),
        ..Net::default()
    }
}

fn branch(name: &str) -> Want {
    Want::Branch(name.to_owned())
}

#[track_caller]
fn tells_no_secret(text: &str) {
    for secret in [TOKEN, &base64(&format!("bot:{TOKEN}")), "\x1b"] {
        assert!(!text.contains(secret), "{text}");
    }
}

// ---- fetch

#[test]
fn branch_pull_request_and_commit_are_fetched_with_their_history_and_kept() {
    let world = World::new();
    let first = world.people_push(&[("a.txt", "2\n")], "main");
    let main = world.people_push(&[("a.txt", "3\n")], "main");
    let pull = commit(&world.path("user"), &[("b.txt", "1\n")]);
    world.put_ref(&pull, "refs/pull/7/head");
    let server = world.serve();
    let (mirror, remote) = (world.mirror(), remote(&server.url("o/r.git")));
    let what = [branch("main"), Want::Pull(7), Want::Commit(first.clone())];
    let found = mirror.fetch_remote(&remote, &what).unwrap();
    assert_eq!(found, [main.clone(), pull.clone(), first.clone()]);
    assert_eq!(mirror.merge_base(&pull, &first).unwrap(), first);
    assert!(mirror.is_ancestor(&first, &pull).unwrap());
    assert!(!mirror.is_ancestor(&pull, &main).unwrap());
    // Kept: a gc of everything that no ref holds takes none of them.
    let kept = world.path("data/repos/f-1/mirror.git");
    git(&kept, &["--git-dir=.", "gc", "-q", "--prune=now"]);
    git(&kept, &["--git-dir=.", "fsck", "--full", "--strict"]);
    for commit in &found {
        assert!(!mirror.list_files(commit).unwrap().is_empty());
    }
    assert_eq!(world.quarantines(), 0);
    assert_eq!(
        mirror
            .remote_heads(&remote, &["main", "nope"])
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_second_fetch_brings_only_what_is_new_and_a_known_commit_asks_nobody() {
    let world = World::new();
    let noise: String = (0..60_000_u64)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let large = world.people_push(&[("large.txt", &noise)], "main");
    let server = world.serve();
    let (mirror, remote) = (world.mirror(), remote(&server.url("o/r.git")));
    mirror.fetch_remote(&remote, &[branch("main")]).unwrap();
    let requests = server.seen().len();
    mirror
        .fetch_remote(&remote, &[Want::Commit(large)])
        .unwrap();
    assert_eq!(
        server.seen().len(),
        requests,
        "a commit that is here was asked for"
    );
    let next = world.people_push(&[("small.txt", "x\n")], "main");
    // Less than the large file, which the quarantine would hold if it were sent again.
    let little = remote.clone().with(Net {
        bytes: 100_000,
        ..quick()
    });
    assert_eq!(
        mirror.fetch_remote(&little, &[branch("main")]).unwrap(),
        [next]
    );
    let other = Mirror::open_or_create(&world.path("data/repos/f-2")).unwrap();
    let all = other.fetch_remote(&little, &[branch("main")]).unwrap_err();
    assert!(
        matches!(all, RemoteError::TooLarge { limit: 100_000 }),
        "{all}"
    );
}

#[test]
fn what_is_not_there_is_named_and_nothing_is_half_fetched() {
    let world = World::new();
    let server = world.serve();
    let (mirror, remote) = (world.mirror(), remote(&server.url("o/r.git")));
    let before = world.kept();
    for (want, named) in [
        (branch("nope"), "refs/heads/nope"),
        (Want::Pull(99), "refs/pull/99/head"),
        (Want::Commit("1".repeat(40).parse().unwrap()), "1111111111"),
    ] {
        let error = mirror
            .fetch_remote(&remote, &[branch("main"), want])
            .unwrap_err();
        assert!(
            matches!(&error, RemoteError::NotFound(what) if what.contains(named)),
            "{error}"
        );
    }
    assert_eq!(world.quarantines(), 0);
    let after = world.kept();
    // The lock and what git's empty home is made of; no object, no ref.
    assert!(
        after.len() < before.len() + 500,
        "{} {}",
        before.len(),
        after.len()
    );
    let none = Remote::new(&server.url("o/other.git"), "bot", SecretString::from(TOKEN)).unwrap();
    let gone = mirror.fetch_remote(&none, &[branch("main")]).unwrap_err();
    assert!(matches!(gone, RemoteError::Gone { .. }), "{gone}");
}

#[test]
fn a_hostile_tree_is_refused_and_nothing_of_it_enters_the_mirror() {
    let world = World::new();
    let bare = world.bare();
    let blob = git(&bare, &["rev-parse", "main:a.txt"]);
    // A tree entry named `.git`, written past git's own checks.
    let mut tree = b"40000 .git\0".to_vec();
    let inner = git(&bare, &["rev-parse", "main^{tree}"]);
    for pair in inner.as_bytes().chunks(2) {
        tree.push(u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    }
    fs::write(world.path("tree"), &tree).unwrap();
    let file = world.path("tree");
    let tree = git(
        &bare,
        &[
            "hash-object",
            "-w",
            "-t",
            "tree",
            "--literally",
            file.to_str().unwrap(),
        ],
    );
    let evil = git(&bare, &["commit-tree", "-m", "x", &tree]);
    git(&bare, &["update-ref", "refs/heads/evil", &evil]);
    let server = world.serve();
    let mirror = world.mirror();
    let error = mirror
        .fetch_remote(&remote(&server.url("o/r.git")), &[branch("evil")])
        .unwrap_err();
    assert!(
        matches!(&error, RemoteError::Unusable(why) if why.contains("hasDotgit")),
        "{error}"
    );
    let kept = world.path("data/repos/f-1/mirror.git");
    for object in [&tree, &evil, &blob] {
        assert!(
            !kept
                .join("objects")
                .join(&object[..2])
                .join(&object[2..])
                .exists()
        );
    }
    assert_eq!(world.quarantines(), 0);
}

#[test]
fn what_a_killed_host_left_is_cleared_by_the_next_fetch() {
    let world = World::new();
    let (server, mirror) = (world.serve(), world.mirror());
    let left = world.path("data/repos/f-1/tmp-fetch-left/objects");
    fs::create_dir_all(&left).unwrap();
    mirror
        .fetch_remote(&remote(&server.url("o/r.git")), &[branch("main")])
        .unwrap();
    assert!(!left.exists());
    assert_eq!(world.quarantines(), 0);
}

// ---- push

#[test]
fn a_branch_is_made_moved_and_deleted_only_from_where_it_is_expected() {
    let world = World::new();
    let (server, mirror) = (world.serve(), world.mirror());
    let remote = remote(&server.url("o/r.git"));
    let (base, ours) = world.result(&mirror, &remote);
    let b = "agent/1-empty-input";
    mirror.push(&remote, b, &ours, None).unwrap();
    assert_eq!(world.at(b).as_deref(), Some(ours.as_str()));
    // Already there: done, whatever was expected.
    mirror.push(&remote, b, &ours, None).unwrap();
    mirror.push(&remote, b, &ours, Some(&base)).unwrap();
    // Another round, from where it is; not from where it is not, and not from nothing.
    let next = commit_of_ours(&mirror, &base, "round 2");
    for wrong in [None, Some(&base)] {
        let stale = mirror.push(&remote, b, &next, wrong).unwrap_err();
        assert!(
            matches!(&stale, PushError::Stale { found: Some(at) } if *at == ours),
            "{stale}"
        );
    }
    mirror.push(&remote, b, &next, Some(&ours)).unwrap();
    assert_eq!(world.at(b).as_deref(), Some(next.as_str()));
    // Somebody moves it: his commit is not overwritten and not deleted.
    let theirs = world.people_push(&[("theirs.txt", "x\n")], b);
    for stale in [
        mirror.push(&remote, b, &ours, Some(&next)).unwrap_err(),
        mirror.delete_remote_branch(&remote, b, &next).unwrap_err(),
    ] {
        assert!(
            matches!(&stale, PushError::Stale { found: Some(at) } if *at == theirs),
            "{stale}"
        );
    }
    assert_eq!(world.at(b).as_deref(), Some(theirs.as_str()));
    assert!(mirror.delete_remote_branch(&remote, b, &theirs).unwrap());
    assert!(
        !mirror.delete_remote_branch(&remote, b, &theirs).unwrap(),
        "it is gone"
    );
    assert_eq!(world.at(b), None);
    // Deleted by somebody: not made anew by a round that expects it.
    let stale = mirror.push(&remote, b, &next, Some(&ours)).unwrap_err();
    assert!(matches!(stale, PushError::Stale { found: None }), "{stale}");
    assert_eq!(
        world.at("main").as_deref(),
        Some(base.as_str()),
        "nothing else moved"
    );
}

#[test]
fn a_branch_name_that_is_not_ours_is_refused_before_git_runs() {
    let world = World::new();
    let (server, mirror) = (world.serve(), world.mirror());
    let remote = remote(&server.url("o/r.git"));
    let (base, ours) = world.result(&mirror, &remote);
    let requests = server.seen().len();
    for name in [
        "",
        "-d",
        "--mirror",
        "../main",
        "a..b",
        "a b",
        "a:refs/heads/main",
        "+x",
        "refs/heads/*",
        "a\nb",
        "a\0b",
        "é",
        "A",
        "x.lock",
        "@{-1}",
        "a\x1b[31m",
    ] {
        let pushed = mirror
            .push(&remote, name, &ours, None)
            .unwrap_err()
            .to_string();
        let deleted = mirror
            .delete_remote_branch(&remote, name, &base)
            .unwrap_err()
            .to_string();
        assert!(pushed.contains("no branch name of ours"), "{pushed}");
        assert_eq!(pushed, deleted);
        tells_no_secret(&pushed);
    }
    for name in [
        "",
        "-d",
        "a..b",
        "a b",
        "a:b",
        "refs/heads/*",
        "a\nb",
        "a\0b",
        "x.lock",
        "@{-1}",
    ] {
        for error in [
            mirror.fetch_remote(&remote, &[branch(name)]).unwrap_err(),
            mirror.remote_heads(&remote, &[name]).unwrap_err(),
        ] {
            assert!(
                error.to_string().contains("is no name of a branch"),
                "{error}"
            );
        }
    }
    assert_eq!(server.seen().len(), requests, "the forge was asked");
}

/// Pushes to a forge whose hook says `script`.
fn refused(script: &str) -> (PushError, World) {
    let world = World::with_hook(Some(&format!("#!/bin/sh\n{script}\nexit 1\n")));
    let (server, mirror) = (world.serve(), world.mirror());
    let remote = remote(&server.url("o/r.git"));
    let (_, ours) = world.result(&mirror, &remote);
    let error = mirror.push(&remote, "agent/1-x", &ours, None).unwrap_err();
    assert_eq!(world.at("agent/1-x"), None);
    (error, world)
}

#[test]
fn a_rule_of_the_forge_is_named_in_its_own_words() {
    let (error, _) = refused(
        "echo 'error: GH013: Repository rule violations found for refs/heads/agent/1-x.' >&2\n\
         echo 'Review all repository rules at https://forge.example/o/r/rules' >&2\n\
         echo >&2\necho '- Commits must have verified signatures.' >&2",
    );
    let PushError::Refused { kind, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*kind, Rule::Signatures);
    insta::assert_snapshot!(error, @r"
    refused by the rule that commits are signed: error: GH013: Repository rule violations found for refs/heads/agent/1-x.
    Review all repository rules at https://forge.example/o/r/rules
    - Commits must have verified signatures.
    pre-receive hook declined
    ");
}

#[test]
fn the_words_of_a_forge_are_made_harmless_and_cut() {
    let coded = base64(&format!("bot:{TOKEN}"));
    let (error, _) = refused(&format!(
        "printf '\\033[31mred\\033]0;title\\007 \\302\\205 Authorization: Basic {coded} {TOKEN}\\n' >&2\n\
         for i in $(seq 1 900); do echo 'a long word about a rule' >&2; done"
    ));
    let text = error.to_string();
    tells_no_secret(&text);
    assert!(
        text.contains("red") && text.contains("more characters"),
        "{text}"
    );
    assert!(text.chars().count() < 1500, "{}", text.len());
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
}

#[test]
fn other_rules_are_told_apart() {
    for (says, kind) in [
        (
            "error: GH006: Protected branch update failed for refs/heads/x.",
            Rule::Protected,
        ),
        (
            "Gitea: Not allowed to push to protected branch agent/1-x",
            Rule::Protected,
        ),
        (
            "error: GH001: Large files detected. File a is 123.00 MB; this exceeds the file size limit of 100.00 MB",
            Rule::Size,
        ),
        (
            "error: GH013: Repository rule violations found.\n- Branch name must match a given regex pattern: ^x",
            Rule::BranchName,
        ),
        (
            "refusing to allow a GitHub App to create or update workflow `.github/workflows/x.yml` without `workflows` permission",
            Rule::Workflow,
        ),
        (
            "error: GH013: Repository rule violations found.\n- GITHUB PUSH PROTECTION",
            Rule::Secret,
        ),
        ("come back on Monday", Rule::Other),
    ] {
        let (error, _) = refused(&format!("cat >&2 <<'END'\n{says}\nEND"));
        let PushError::Refused { kind: found, rule } = &error else {
            panic!("{error}");
        };
        assert_eq!(*found, kind, "{says}");
        assert!(rule.contains(says.lines().last().unwrap()), "{rule}");
    }
}

#[test]
fn a_forge_that_forbids_to_delete_is_heard_too() {
    let world = World::new();
    git(&world.bare(), &["config", "receive.denyDeletes", "true"]);
    let (server, mirror) = (world.serve(), world.mirror());
    let remote = remote(&server.url("o/r.git"));
    let (_, ours) = world.result(&mirror, &remote);
    mirror.push(&remote, "agent/1-x", &ours, None).unwrap();
    let error = mirror
        .delete_remote_branch(&remote, "agent/1-x", &ours)
        .unwrap_err();
    assert!(
        matches!(&error, PushError::Refused { kind: Rule::Protected, rule } if rule.contains("deletion prohibited")),
        "{error}"
    );
}

// ---- the credential

#[test]
fn a_wrong_password_says_so_and_nothing_else() {
    let world = World::new();
    let (server, mirror) = (world.serve(), world.mirror());
    let good = remote(&server.url("o/r.git"));
    let (_, ours) = world.result(&mirror, &good);
    let wrong = Remote::new(
        good.url(),
        "bot",
        SecretString::from("another-token-of-mine"),
    )
    .unwrap();
    let fetch = mirror.fetch_remote(&wrong, &[branch("main")]).unwrap_err();
    let push = mirror.push(&wrong, "agent/1-x", &ours, None).unwrap_err();
    assert!(
        matches!(push, PushError::Remote(RemoteError::Auth { .. })),
        "{push}"
    );
    let none = Remote::anonymous(good.url()).unwrap();
    let anonymous = mirror.fetch_remote(&none, &[branch("main")]).unwrap_err();
    for error in [fetch, anonymous] {
        assert!(matches!(error, RemoteError::Auth { .. }), "{error}");
        assert!(!error.to_string().contains("another-token"), "{error}");
    }
    let sent = server
        .seen()
        .into_iter()
        .filter_map(|seen| seen.authorization);
    let sent: BTreeSet<String> = sent.collect();
    assert_eq!(
        sent.len(),
        2,
        "both were sent, each by its own command: {sent:?}"
    );
}

#[test]
fn a_status_of_the_forge_is_sorted_by_what_can_be_done() {
    let world = World::new();
    for (status, expected) in [
        (StatusCode::FORBIDDEN, "Denied"),
        (StatusCode::NOT_FOUND, "Gone"),
        (StatusCode::SERVICE_UNAVAILABLE, "Retry"),
        (StatusCode::TOO_MANY_REQUESTS, "Retry"),
        (StatusCode::INTERNAL_SERVER_ERROR, "Retry"),
    ] {
        let before = Box::new(move |_: &_| Some((status, "no\x1b[31m\n").into_response()));
        let server = HttpGit::start_with(&world.path("forge"), None, before);
        let remote = remote(&server.url("o/r.git"));
        let error = world
            .mirror()
            .fetch_remote(&remote, &[branch("main")])
            .unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "{status}: {error:?}"
        );
        tells_no_secret(&format!("{error} {error:?}"));
    }
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let remote = remote(&format!("http://{closed}/o/r.git"));
    let error = world.mirror().remote_heads(&remote, &["main"]).unwrap_err();
    assert!(matches!(error, RemoteError::Retry { .. }), "{error}");
}

/// A server that sees everything and serves nothing.
fn bystander() -> (HttpGit, tempfile::TempDir) {
    let empty = tempfile::tempdir().unwrap();
    (HttpGit::start(empty.path(), None), empty)
}

#[test]
fn a_redirect_is_not_followed_and_its_target_never_sees_the_credential() {
    let world = World::new();
    let (other, _empty) = bystander();
    let mirror = world.mirror();
    let server = world.serve();
    let (_, ours) = world.result(&mirror, &remote(&server.url("o/r.git")));
    let to = other.url("o/r.git");
    // At once, and only when something is sent.
    for only_post in [false, true] {
        let (to, root) = (to.clone(), world.path("forge"));
        let before = Box::new(move |seen: &crate::http_git::Seen| {
            if only_post && seen.line.starts_with("GET") {
                return None;
            }
            let rest = seen
                .line
                .split_once("/o/r.git")
                .map_or("", |(_, rest)| rest);
            let place = [(header::LOCATION, format!("{to}{rest}"))];
            Some((StatusCode::TEMPORARY_REDIRECT, place).into_response())
        });
        let server = HttpGit::start_with(&root, password(), before);
        let remote = remote(&server.url("o/r.git"));
        let fetch = mirror.fetch_remote(&remote, &[branch("main")]).unwrap_err();
        assert!(matches!(fetch, RemoteError::Gone { .. }), "{fetch}");
        let push = mirror.push(&remote, "agent/1-x", &ours, None).unwrap_err();
        assert!(
            matches!(push, PushError::Remote(RemoteError::Gone { .. })),
            "{push}"
        );
        assert!(!server.seen().is_empty());
    }
    let seen: Vec<_> = other.seen();
    assert!(seen.is_empty(), "{seen:?}");
}

#[test]
fn a_dumb_server_cannot_send_git_elsewhere() {
    let world = World::new();
    let (other, _empty) = bystander();
    let to = other.url("o/r.git/objects");
    let head = world.at("main").unwrap();
    let before = Box::new(move |seen: &crate::http_git::Seen| {
        let path = seen.line.split([' ', '?']).nth(1).unwrap_or("");
        let text = match path {
            "/o/r.git/info/refs" => format!("{head}\trefs/heads/main\n"),
            "/o/r.git/HEAD" => "ref: refs/heads/main\n".to_owned(),
            path if path.ends_with("alternates") => format!("{to}\n"),
            _ => return Some(StatusCode::NOT_FOUND.into_response()),
        };
        Some(text.into_response())
    });
    let server = HttpGit::start_with(&world.path("forge"), None, before);
    let remote = remote(&server.url("o/r.git"));
    world
        .mirror()
        .fetch_remote(&remote, &[branch("main")])
        .unwrap_err();
    let asked = server.seen();
    assert!(
        asked.iter().any(|seen| seen.line.contains("alternates")),
        "the probe works, git asks where else to look: {asked:?}"
    );
    let seen = other.seen();
    assert!(seen.is_empty(), "{seen:?}");
}

/// Arguments of all processes that descend from this one, and environments of none.
fn arguments_of_descendants() -> Vec<String> {
    let mut parents = std::collections::BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        if let Some(parent) = after.split_whitespace().nth(1) {
            parents.insert(pid, parent.parse::<u32>().unwrap());
        }
    }
    let ours = std::process::id();
    let descends = |mut pid: u32| {
        while let Some(parent) = parents.get(&pid) {
            if *parent == ours {
                return true;
            }
            pid = *parent;
        }
        false
    };
    let all = parents.keys().filter(|pid| descends(**pid));
    all.filter_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .collect()
}

/// Ends a watch, also when what is watched fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn the_credential_is_in_no_argument_of_any_process_and_in_no_file() {
    let world = World::new();
    let slow = Arc::new(AtomicBool::new(true));
    let waits = Arc::clone(&slow);
    let before = Box::new(move |_: &_| {
        // Every request waits, so that whoever carries the credential is seen.
        if waits.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(150));
        }
        None
    });
    let server = HttpGit::start_with(&world.path("forge"), password(), before);
    let (mirror, remote) = (world.mirror(), remote(&server.url("o/r.git")));
    let done = AtomicBool::new(false);
    let (seen, told) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::SeqCst) {
                seen.extend(arguments_of_descendants());
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        let over = Over(&done);
        let (_, ours) = world.result(&mirror, &remote);
        mirror.push(&remote, "agent/1-x", &ours, None).unwrap();
        let stale = mirror.push(&remote, "main", &ours, None).unwrap_err();
        drop(over);
        (
            watch.join().unwrap(),
            format!("{stale} {stale:?} {remote:?}"),
        )
    });
    slow.store(false, Ordering::SeqCst);
    let of = |name: &str| seen.iter().filter(|args| args.contains(name)).count();
    assert!(
        of("remote-http") > 0 && of("fetch") > 0 && of("push") > 0,
        "{seen:?}"
    );
    for args in &seen {
        tells_no_secret(args);
    }
    tells_no_secret(&told);
    let kept = world.kept();
    for secret in [TOKEN.to_owned(), base64(&format!("bot:{TOKEN}"))] {
        let found = kept
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "a file holds it");
    }
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.authorization.is_some()),
        "sent at once"
    );
}

// ---- the port of the adapters

/// A forge of one repository, for its address and its credential; whatever else is asked ends the test.
struct OneRepository {
    asked: AtomicU64,
    token: &'static str,
}

#[async_trait::async_trait]
impl forge::Service for OneRepository {
    fn name(&self) -> &str {
        "one"
    }
    fn capabilities(&self) -> forge::Capabilities {
        forge::Capabilities::default()
    }
    async fn whoami(&self) -> Result<forge::Account, forge::Error> {
        panic!("whoami")
    }
    async fn repositories(&self, _: &[String]) -> Result<Vec<forge::Repository>, forge::Error> {
        panic!("repositories")
    }
    async fn repository(&self, _: &str) -> Result<forge::Repository, forge::Error> {
        panic!("repository")
    }
    async fn credential(&self, _: &forge::Repository) -> Result<forge::Credential, forge::Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(forge::Credential {
            user: "bot".to_owned(),
            secret: SecretString::from(self.token),
        })
    }
    fn forge(&self, _: &forge::Repository, _: Arc<dyn forge::Refs>) -> Arc<dyn forge::Forge> {
        panic!("forge")
    }
    fn conversation(&self, repository: &forge::Repository) -> Arc<dyn forge::Conversation> {
        Arc::new(Where(repository.clone()))
    }
    async fn redeliver(&self, _: Time) -> Result<u32, forge::Error> {
        panic!("redeliver")
    }
}

/// Where the repository is now; whatever else is asked ends the test.
struct Where(forge::Repository);

#[async_trait::async_trait]
impl forge::Conversation for Where {
    async fn repository(&self) -> Result<forge::Repository, forge::Error> {
        Ok(self.0.clone())
    }
    async fn thread(&self, _: i64) -> Result<forge::Thread, forge::Error> {
        panic!("thread")
    }
    async fn timeline(&self, _: i64) -> Result<Vec<forge::Entry>, forge::Error> {
        panic!("timeline")
    }
    async fn comments(&self, _: i64, _: Option<Time>) -> Result<Vec<forge::Comment>, forge::Error> {
        panic!("comments")
    }
    async fn comment(&self, _: forge::CommentId) -> Result<forge::Comment, forge::Error> {
        panic!("comment")
    }
    async fn pull(&self, _: i64) -> Result<forge::PullInfo, forge::Error> {
        panic!("pull")
    }
    async fn reviews(&self, _: i64) -> Result<Vec<forge::Review>, forge::Error> {
        panic!("reviews")
    }
    async fn right(&self, _: &str) -> Result<Option<Right>, forge::Error> {
        panic!("right")
    }
    async fn writers(&self) -> Result<Option<Vec<forge::Account>>, forge::Error> {
        panic!("writers")
    }
    async fn unedited(&self, _: i64, _: Time) -> Result<forge::Proof, forge::Error> {
        panic!("unedited")
    }
    async fn changed(&self, _: Time) -> Result<Vec<forge::Changed>, forge::Error> {
        panic!("changed")
    }
    async fn react(
        &self,
        _: forge::CommentId,
        _: Option<forge::Reaction>,
    ) -> Result<(), forge::Error> {
        panic!("react")
    }
    async fn ensure_note(
        &self,
        _: i64,
        _: &str,
        _: Option<forge::CommentId>,
        _: &str,
    ) -> Result<forge::CommentId, forge::Error> {
        panic!("ensure_note")
    }
    async fn set_check(&self, _: &CheckReport, _: Option<&str>) -> Result<(), forge::Error> {
        panic!("set_check")
    }
}

/// Steps as they are told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Steps for Told {
    fn before(&self, what: &str) {
        self.0.lock().unwrap().push(format!("before {what}"));
    }
    fn after(&self, what: &str) {
        self.0.lock().unwrap().push(format!("after {what}"));
    }
}

fn refs(
    world: &World,
    url: &str,
    token: &'static str,
) -> (RemoteRefs, Arc<OneRepository>, Arc<Told>) {
    let service = Arc::new(OneRepository {
        asked: AtomicU64::new(0),
        token,
    });
    let repository = forge::Repository {
        id: 1,
        name: "o/r".to_owned(),
        default_branch: "main".to_owned(),
        private: true,
        archived: false,
        personal: false,
        clone_url: url.to_owned(),
        page: String::new(),
        ours: None,
    };
    let told = Arc::new(Told::default());
    let refs = RemoteRefs::new(service.clone(), repository, world.mirror(), told.clone());
    (refs, service, told)
}

#[tokio::test]
async fn the_port_of_branches_pushes_with_a_lease_and_asks_for_the_credential_each_time() {
    let world = World::new();
    let (server, mirror) = (world.serve(), world.mirror());
    let url = server.url("o/r.git");
    let (base, ours) = world.result(&mirror, &remote(&url));
    let (refs, service, told) = refs(&world, &url, TOKEN);
    let b = "agent/1-x";
    assert_eq!(refs.branch_head(b).await.unwrap(), None);
    assert!(!refs.reaches(b, &base).await.unwrap());
    refs.set_branch(b, &ours, None).await.unwrap();
    assert_eq!(refs.branch_head(b).await.unwrap().as_ref(), Some(&ours));
    assert!(refs.reaches(b, &base).await.unwrap());
    assert!(!refs.reaches("main", &ours).await.unwrap());
    let next = commit_of_ours(&mirror, &base, "next");
    let conflict = refs.set_branch(b, &next, Some(&base)).await.unwrap_err();
    assert!(
        matches!(&conflict, forge::Error::Conflict { found: Some(at), .. } if *at == ours),
        "{conflict}"
    );
    let conflict = refs.delete_branch(b, &next).await.unwrap_err();
    assert!(
        matches!(conflict, forge::Error::Conflict { .. }),
        "{conflict}"
    );
    refs.delete_branch(b, &ours).await.unwrap();
    refs.delete_branch(b, &ours).await.unwrap();
    assert_eq!(service.asked.load(Ordering::SeqCst), 10);
    insta::assert_snapshot!(told.0.lock().unwrap().join("\n"), @r"
    before ref agent/1-x
    after ref agent/1-x
    before ref agent/1-x
    before ref agent/1-x
    before ref agent/1-x
    after ref agent/1-x
    before ref agent/1-x
    after ref agent/1-x
    ");
}

#[tokio::test]
async fn what_the_forge_does_not_permit_is_told_with_the_setting_to_change() {
    let hook = "#!/bin/sh\necho 'error: GH013: Repository rule violations found for refs/heads/agent/1-x.' >&2\n\
                echo '- Commits must have verified signatures.' >&2\nexit 1\n";
    let world = World::with_hook(Some(hook));
    let (server, mirror) = (world.serve(), world.mirror());
    let url = server.url("o/r.git");
    let (_, ours) = world.result(&mirror, &remote(&url));
    let (refused, _, told) = refs(&world, &url, TOKEN);
    let error = refused
        .set_branch("agent/1-x", &ours, None)
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @r#"
    not permitted: the push of branch `agent/1-x`, refused by the rule that commits are signed: error: GH013: Repository rule violations found for refs/heads/agent/1-x.
    - Commits must have verified signatures.
    pre-receive hook declined; grant it in the repository's rules for commits, or have commits signed: `signing = "ssh"` under [[forge]] of the server file
    "#);
    assert_eq!(
        told.0.lock().unwrap().len(),
        1,
        "a step that failed has no end"
    );
    let (wrong, ..) = refs(&world, &url, "not-the-token-at-all");
    let error = wrong
        .set_branch("agent/1-x", &ours, None)
        .await
        .unwrap_err();
    assert!(matches!(error, forge::Error::Auth { .. }), "{error}");
    assert!(!error.to_string().contains("not-the-token"), "{error}");
}

// ---- hostile servers

/// Answers each connection with `answer`, until dropped; counts what it sent.
struct Raw {
    url: String,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Raw {
    fn start(
        answer: impl Fn(&mut TcpStream, &AtomicU64, &AtomicBool) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/o/r.git", listener.local_addr().unwrap());
        let (sent, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, ended, answer) = (Arc::clone(&sent), Arc::clone(&stop), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (mut stream, count) = (stream, Arc::clone(&count));
                let (ended, answer) = (Arc::clone(&ended), Arc::clone(&answer));
                std::thread::spawn(move || answer(&mut stream, &count, &ended));
            }
        });
        Self { url, sent, stop }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let address = self
            .url
            .trim_start_matches("http://")
            .split('/')
            .next()
            .unwrap();
        let _ = TcpStream::connect(address);
    }
}

/// Reads one request's head; gives its first line.
fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head)
        .lines()
        .next()
        .unwrap_or("")
        .to_owned()
}

fn no_git_is_left(of: &str) {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let left: Vec<_> = arguments_of_descendants()
            .into_iter()
            .filter(|args| args.contains(of))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_that_hangs_costs_the_time_limit_and_leaves_no_process() {
    let world = World::new();
    let server = Raw::start(|stream, _, stop| {
        request(stream);
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let remote = remote(&server.url).with(Net {
        total: Duration::from_millis(900),
        ..quick()
    });
    let started = Instant::now();
    let error = world
        .mirror()
        .fetch_remote(&remote, &[branch("main")])
        .unwrap_err();
    assert!(
        matches!(&error, RemoteError::Retry { why } if why.contains("not done after 900 ms")),
        "{error}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    no_git_is_left(&server.url);
    assert_eq!(world.quarantines(), 0);
    // Silence alone ends it too, long before the time limit.
    let remote = remote.with(Net {
        quiet: Duration::from_secs(1),
        ..quick()
    });
    let error = world.mirror().remote_heads(&remote, &["main"]).unwrap_err();
    assert!(matches!(error, RemoteError::Retry { .. }), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_server_that_sends_garbage_is_no_forge() {
    let world = World::new();
    for (kind, body) in [
        ("text/html", "<html>please log in</html>".to_owned()),
        (
            "application/x-git-upload-pack-advertisement",
            "zzzz not a packet".to_owned(),
        ),
        (
            "application/x-git-upload-pack-advertisement",
            "000eversion 2\n00".to_owned(),
        ),
        (
            "application/x-git-upload-pack-advertisement",
            format!("0010ERR {TOKEN:.7}\n0000"),
        ),
        ("application/x-git-upload-pack-advertisement", String::new()),
    ] {
        let body_told = format!("{body:?}");
        let server = Raw::start(move |stream, _, _| {
            request(stream);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        });
        let error = world
            .mirror()
            .fetch_remote(&remote(&server.url), &[branch("main")])
            .unwrap_err();
        assert!(
            matches!(error, RemoteError::Retry { .. }),
            "{body_told}: {error:?}"
        );
        // No branch is thought deleted for it.
        let heads = world.mirror().remote_heads(&remote(&server.url), &["main"]);
        assert!(
            matches!(heads, Err(RemoteError::Retry { .. })),
            "{body_told}: {heads:?}"
        );
        tells_no_secret(&error.to_string());
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_and_one_that_the_operator_names_is_not() {
    let world = World::new();
    let (key, cert) = (world.path("key.pem"), world.path("cert.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        crate::skip::skipped(
            "certificates of git",
            "openssl is not installed; apt-get install openssl",
        );
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut server = std::process::Command::new("openssl")
        .args([
            "s_server",
            "-www",
            "-accept",
            &format!("127.0.0.1:{port}"),
            "-key",
        ])
        .arg(&key)
        .arg("-cert")
        .arg(&cert)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let remote = remote(&format!("https://127.0.0.1:{port}/o/r.git"));
    let refused = world
        .mirror()
        .fetch_remote(&remote, &[branch("main")])
        .unwrap_err();
    let named = remote.with(Net {
        ca_file: Some(cert),
        ..quick()
    });
    let page = world
        .mirror()
        .fetch_remote(&named, &[branch("main")])
        .unwrap_err();
    server.kill().unwrap();
    server.wait().unwrap();
    let told = refused.to_string();
    assert!(
        matches!(refused, RemoteError::Unusable(_)) && told.contains("certificate"),
        "{told}"
    );
    // Its page is no repository, but it was read.
    assert!(matches!(page, RemoteError::Retry { .. }), "{page:?}");
    tells_no_secret(&format!("{told} {page}"));
}

#[test]
fn a_proxy_is_used_where_the_operator_names_one() {
    let world = World::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&asked);
    let proxy = Raw::start(move |stream, _, _| {
        lines.lock().unwrap().push(request(stream));
        let _ = write!(
            stream,
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    });
    let address = proxy.url.trim_end_matches("/o/r.git");
    // A name that no resolver knows: only a proxy can be asked for it.
    let remote = remote("http://forge.invalid/o/r.git").with(Net {
        proxy: Some(SecretString::from(address)),
        ..quick()
    });
    let error = world.mirror().remote_heads(&remote, &["main"]).unwrap_err();
    assert!(matches!(error, RemoteError::Retry { .. }), "{error:?}");
    let asked = asked.lock().unwrap();
    let through = asked
        .iter()
        .any(|line| line.starts_with("GET http://forge.invalid/o/r.git/info/refs"));
    assert!(through, "{asked:?}");
}

/// A server that speaks protocol 2 up to the pack, and then sends without end.
fn endless(band: u8) -> Raw {
    fn packet(text: &str) -> String {
        format!("{:04x}{text}", text.len() + 4)
    }
    Raw::start(move |stream, sent, stop| {
        let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
        let line = request(stream);
        let id = "1".repeat(40);
        let head = |kind: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\nConnection: close\r\n\r\n"
            )
        };
        if line.starts_with("GET") {
            let said = [
                packet("# service=git-upload-pack\n"),
                "0000".to_owned(),
                packet("version 2\n"),
                packet("ls-refs\n"),
                packet("fetch=shallow\n"),
                "0000".to_owned(),
            ];
            let _ = write!(stream, "{}{}", head("advertisement"), said.concat());
            return;
        }
        let mut body = [0; 4096];
        let got = stream.read(&mut body).unwrap_or(0);
        if String::from_utf8_lossy(&body[..got]).contains("ls-refs") {
            let refs = packet(&format!("{id} refs/heads/main\n"));
            let _ = write!(stream, "{}{refs}0000", head("result"));
            return;
        }
        let _ = write!(stream, "{}{}", head("result"), packet("packfile\n"));
        let mut chunk = format!("{:04x}", 65_520).into_bytes();
        chunk.push(band);
        let mut pack = b"PACK\0\0\0\x02\0\xff\xff\xff".to_vec();
        // One object of a size that is not reached: a blob header of 2 GiB, then stored deflate blocks.
        pack.extend([0xbf, 0x80, 0x80, 0x80, 0x80, 0x01]);
        pack.extend([0x78, 0x01]);
        let stored = {
            let mut block = vec![0, 0xff, 0xff, 0, 0];
            block.extend(vec![b'x'; 0xffff]);
            block
        };
        let mut stream_of = pack;
        while !stop.load(Ordering::SeqCst) && sent.load(Ordering::SeqCst) < 1 << 30 {
            while stream_of.len() < 65_515 {
                if band == 1 {
                    stream_of.extend(&stored);
                } else {
                    stream_of.extend(b"come in, come in, come in\n".repeat(4000));
                }
            }
            let part: Vec<u8> = stream_of.drain(..65_515).collect();
            if stream
                .write_all(&chunk)
                .and_then(|()| stream.write_all(&part))
                .is_err()
            {
                return;
            }
            sent.fetch_add(65_520, Ordering::SeqCst);
        }
    })
}

#[test]
fn a_server_that_sends_without_end_is_cut_off_and_nothing_stays() {
    let world = World::new();
    let server = endless(1);
    let remote = remote(&server.url).with(Net {
        bytes: 8 << 20,
        ..quick()
    });
    let error = world
        .mirror()
        .fetch_remote(&remote, &[branch("main")])
        .unwrap_err();
    assert!(
        matches!(error, RemoteError::TooLarge { limit: 0x80_0000 }),
        "{error:?}"
    );
    let sent = server.sent.load(Ordering::SeqCst);
    assert!((8 << 20..1 << 30).contains(&sent), "{sent}");
    no_git_is_left(&server.url);
    assert_eq!(world.quarantines(), 0);
    assert!(world.kept().len() < 100_000);
}

#[test]
fn a_server_that_talks_without_end_is_cut_off_too() {
    let world = World::new();
    let server = endless(2);
    let error = world
        .mirror()
        .fetch_remote(&remote(&server.url), &[branch("main")])
        .unwrap_err();
    assert!(
        matches!(&error, RemoteError::Unusable(why) if why.contains("more text than")),
        "{error:?}"
    );
    no_git_is_left(&server.url);
    assert_eq!(world.quarantines(), 0);
}

#[test]
fn git_runs_without_core_files_and_with_limited_memory() {
    let world = World::new();
    let server = Raw::start(|stream, _, stop| {
        request(stream);
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let remote = remote(&server.url).with(Net {
        total: Duration::from_secs(2),
        ..quick()
    });
    let limits = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let until = Instant::now() + Duration::from_secs(10);
            while Instant::now() < until {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    let args = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    let args = String::from_utf8_lossy(&args).into_owned();
                    // The process that speaks HTTP, a grandchild.
                    if args.contains("remote-http") && args.contains(&server.url) {
                        return fs::read_to_string(entry.path().join("limits")).unwrap_or_default();
                    }
                }
            }
            String::new()
        });
        world
            .mirror()
            .fetch_remote(&remote, &[branch("main")])
            .unwrap_err();
        watch.join().unwrap()
    });
    let hard = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[26..].split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(hard("Max core file size"), "0");
    assert_eq!(hard("Max data size"), (4_u64 << 30).to_string());
    assert_eq!(hard("Max file size"), (2_u64 << 30).to_string());
}
