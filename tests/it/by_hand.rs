//! Workflow files are taken out of a result, and stand as a patch for a person to apply.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prentice::domain::exposure::WORKFLOW_FOLDERS;
use prentice::domain::ident::{CommitId, RepoPath, Time};
use prentice::domain::report::{STATUS_MAX, Voice, notice, pull_body, status};
use prentice::domain::task::{ByHand, Failure, FailureClass, Stage, Unfinished};
use prentice::git::{Limits, Mirror, Split};

use super::git::{World, author, commit, fetched, git, head, put};
use super::report::{NOW, commit as digits, review, with};

const CI: &str = "on: push\njobs: {}\n";

/// Works on a checkout of `base`, and takes out of the result what is not to be published after `parent`.
struct Scene {
    world: World,
    user: PathBuf,
    mirror: Mirror,
    base: CommitId,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let user = world.user(&[
            ("src/a.sh", "echo a\n"),
            (".github/CODEOWNERS", "* @dana\n"),
            (".github/workflows/ci.yml", CI),
            (".github/workflows/deep/x.yml", "x\n"),
            (".gitea/workflows/ci.yml", CI),
        ]);
        let (mirror, _, base) = fetched(&world, &user);
        Self {
            world,
            user,
            mirror,
            base,
        }
    }

    fn split(&self, parent: &CommitId, work: impl FnOnce(&Path)) -> Split {
        let dir = self.world.path("work");
        fs::create_dir(&dir).unwrap();
        self.mirror.write_checkout(&self.base, &dir).unwrap();
        work(&dir);
        let collected = self
            .mirror
            .collect_full(&dir, &self.base, &[], &Limits::default())
            .unwrap();
        fs::remove_dir_all(&dir).unwrap();
        let commits = (parent, &self.base);
        self.mirror
            .split_off(commits, &collected.tree, WORKFLOW_FOLDERS, 1 << 20)
            .unwrap()
    }

    fn changed(&self, work: impl FnOnce(&Path)) -> (Vec<String>, Vec<String>) {
        let split = self.split(&self.base, work);
        let head = self.sealed(&split);
        (names(&split.files), self.left(&head))
    }

    fn sealed(&self, split: &Split) -> CommitId {
        let parents = std::slice::from_ref(&self.base);
        self.mirror
            .commit(&split.tree, parents, "m\n", &author(), Time(0))
            .unwrap()
    }

    /// What the commit that is left changes.
    fn left(&self, head: &CommitId) -> Vec<String> {
        let changes = self.mirror.diff(&self.base, head).unwrap();
        let paths: Vec<RepoPath> = changes.into_iter().map(|change| change.path).collect();
        names(&paths)
    }

    fn git_dir(&self) -> PathBuf {
        self.world.path("data/repos/key/mirror.git")
    }
}

fn names(paths: &[RepoPath]) -> Vec<String> {
    paths.iter().map(|path| path.lossy().into_owned()).collect()
}

fn gone(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_changes_workflows_is_taken_out_and_the_rest_stays() {
    let scene = Scene::new();
    let (out, left) = scene.changed(|dir| {
        put(&dir.join("src/a.sh"), "echo b\n");
        put(&dir.join(".github/workflows/ci.yml"), "on: pull_request\n");
        put(&dir.join(".github/workflows/new.yml"), "new\n");
        put(&dir.join(".forgejo/workflows/new.yml"), "new\n");
        put(&dir.join(".forgejo/other.yml"), "new\n");
        gone(&dir.join(".gitea/workflows"));
        put(&dir.join(".github/workflows.yml"), "not one\n");
    });
    assert_eq!(
        out,
        [
            ".forgejo/workflows/new.yml",
            ".gitea/workflows/ci.yml",
            ".github/workflows/ci.yml",
            ".github/workflows/new.yml",
        ]
    );
    assert_eq!(
        left,
        [".forgejo/other.yml", ".github/workflows.yml", "src/a.sh"]
    );
}

#[test]
fn a_result_without_workflows_stays_as_it_is() {
    let scene = Scene::new();
    let split = scene.split(&scene.base, |dir| put(&dir.join("src/b.sh"), "b\n"));
    assert_eq!((split.files.len(), split.patch.bytes.len()), (0, 0));
    assert!(split.parent_is_base);
    assert_eq!(scene.left(&scene.sealed(&split)), ["src/b.sh"]);
}

#[test]
fn a_file_that_moves_out_of_the_folder_or_into_it_is_split_at_its_border() {
    let scene = Scene::new();
    let (out, left) = scene.changed(|dir| {
        let ci = dir.join(".github/workflows/ci.yml");
        fs::rename(&ci, dir.join("ci.yml")).unwrap();
        fs::rename(dir.join("src/a.sh"), dir.join(".github/workflows/a.sh")).unwrap();
    });
    assert_eq!(out, [".github/workflows/a.sh", ".github/workflows/ci.yml"]);
    assert_eq!(left, ["ci.yml", "src/a.sh"]);
}

#[test]
fn a_mode_and_a_name_that_is_no_text_are_changes_too() {
    let scene = Scene::new();
    let odd = OsStr::from_bytes(b".github/workflows/\xff\xfe.yml");
    let (out, left) = scene.changed(|dir| {
        let ci = dir.join(".github/workflows/ci.yml");
        fs::set_permissions(&ci, fs::Permissions::from_mode(0o755)).unwrap();
        put(&dir.join(odd), "odd\n");
    });
    assert_eq!(
        out,
        [
            ".github/workflows/ci.yml",
            ".github/workflows/\u{fffd}\u{fffd}.yml"
        ]
    );
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_link_in_the_place_of_the_folder_is_taken_out() {
    let scene = Scene::new();
    let (out, left) = scene.changed(|dir| {
        put(&dir.join("flows/ci.yml"), "evil\n");
        gone(&dir.join(".github/workflows"));
        symlink("../flows", dir.join(".github/workflows")).unwrap();
        gone(&dir.join(".gitea/workflows"));
        put(&dir.join(".gitea/workflows"), "a file\n");
    });
    assert_eq!(
        out,
        [
            ".gitea/workflows",
            ".gitea/workflows/ci.yml",
            ".github/workflows",
            ".github/workflows/ci.yml",
            ".github/workflows/deep/x.yml",
        ]
    );
    assert_eq!(left, ["flows/ci.yml"]);
}

#[test]
fn a_link_above_the_folder_hides_nothing() {
    let scene = Scene::new();
    let (out, left) = scene.changed(|dir| {
        put(&dir.join("hub/workflows/ci.yml"), "evil\n");
        gone(&dir.join(".github"));
        symlink("hub", dir.join(".github")).unwrap();
        symlink("hub", dir.join(".forgejo")).unwrap();
    });
    assert_eq!(
        out,
        [
            ".github",
            ".github/CODEOWNERS",
            ".github/workflows/ci.yml",
            ".github/workflows/deep/x.yml",
        ]
    );
    // A link where no workflow was is for the gates.
    assert_eq!(left, [".forgejo", "hub/workflows/ci.yml"]);
}

#[test]
fn nothing_but_workflows_leaves_the_tree_of_the_parent() {
    let scene = Scene::new();
    let split = scene.split(&scene.base, |dir| {
        gone(&dir.join(".github/workflows"));
        put(&dir.join(".gitea/workflows/b.yml"), "b\n");
    });
    assert_eq!(split.tree, scene.mirror.tree(&scene.base).unwrap());
    assert_eq!(split.files.len(), 3);
}

#[test]
fn the_patch_makes_of_the_rest_what_the_agent_made() {
    let scene = Scene::new();
    let mut whole = None;
    let odd = OsStr::from_bytes(b".github/workflows/\xff.yml");
    let split = scene.split(&scene.base, |dir| {
        put(&dir.join("src/a.sh"), "echo b\n");
        put(&dir.join(".github/workflows/ci.yml"), "on: pull_request\n");
        put(&dir.join(odd), "odd\n");
        gone(&dir.join(".gitea/workflows/ci.yml"));
        let all = scene
            .mirror
            .collect_full(dir, &scene.base, &[], &Limits::default());
        whole = Some(all.unwrap().tree);
    });
    let index = scene.world.path("index");
    let run = |args: &[&str], input: &[u8]| {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(scene.git_dir()).args(args);
        command.env("GIT_INDEX_FILE", &index).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    run(&["read-tree", &split.tree], b"");
    run(&["apply", "--cached"], &split.patch.bytes);
    assert_eq!(Some(run(&["write-tree"], b"")), whole);
}

#[test]
fn a_patch_that_is_too_long_ends_with_a_whole_file_and_says_so() {
    let scene = Scene::new();
    let dir = scene.world.path("long");
    fs::create_dir(&dir).unwrap();
    scene.mirror.write_checkout(&scene.base, &dir).unwrap();
    put(&dir.join(".github/workflows/a.yml"), "short\n");
    put(&dir.join(".github/workflows/b.yml"), "long\n".repeat(1_000));
    let read = scene
        .mirror
        .collect_full(&dir, &scene.base, &[], &Limits::default());
    let split = scene.mirror.split_off(
        (&scene.base, &scene.base),
        &read.unwrap().tree,
        WORKFLOW_FOLDERS,
        1_000,
    );
    let split = split.unwrap();
    assert!(split.patch.capped && split.patch.bytes.len() < 1_000);
    let text = String::from_utf8(split.patch.bytes).unwrap();
    assert!(text.contains("+short") && !text.contains("long"), "{text}");
    assert_eq!(split.files.len(), 2);
}

#[test]
fn what_a_person_pushed_there_stays_and_is_no_change_of_the_agent() {
    let scene = Scene::new();
    let theirs = commit(&scene.user, &[(".github/workflows/ci.yml", "theirs\n")]);
    assert_eq!(theirs, head(&scene.user));
    let (mirror, _, _) = fetched(&scene.world, &scene.user);
    let split = scene.split(&theirs, |dir| put(&dir.join("src/a.sh"), "b\n"));
    assert_eq!((split.files.len(), split.parent_is_base), (0, false));
    let made = scene.sealed(&split);
    let at = RepoPath::from(".github/workflows/ci.yml");
    let text = mirror.file_at(&made, &at, 100).unwrap();
    assert_eq!(text.as_deref(), Some(&b"theirs\n"[..]));
    assert_eq!(git(&scene.user, &["status", "--porcelain"]), "");
}

#[test]
fn the_pull_request_shows_the_patch_and_says_that_nothing_judged_it() {
    let by_hand = ByHand {
        files: vec![RepoPath::from(".github/workflows/ci.yml")],
        files_left_out: 0,
        patch: "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-```\n+@dana fixes #1\n".to_owned(),
        whole: true,
    };
    let task = with(review(None, digits('9'), None), |task| {
        task.revision.as_mut().unwrap().result.by_hand = Some(by_hand);
    });
    let voice = Voice::forge("/agent");
    let section = |body: &str| {
        let from = body.split("### To be applied by hand").nth(1).unwrap();
        from.split("### Risks").next().unwrap().trim().to_owned()
    };
    insta::assert_snapshot!(section(&pull_body(&task, &voice)), @"
    The agent also changed 1 workflow file, which I may not publish. That is **no part of this pull request**: no gate judged it and no check ran on it. If it is right, apply the patch (`git apply`) with an account that may change workflows.

    - `.github/workflows/ci.yml`

    <details><summary>The patch</summary>

    ````text
    --- a/x
    +++ b/x
    @@ -1 +1 @@
    -```
    +@dana fixes #1
    ````

    </details>
    ");
    let line = status(&task, NOW, &voice);
    let line = line.lines().find(|line| line.contains("also changed"));
    insta::assert_snapshot!(line.unwrap(), @"The agent also changed 1 workflow file, which I may not publish: the patch for a person to apply stands in pull request #57.");
    let partly = with(task.clone(), |task| {
        let result = &mut task.revision.as_mut().unwrap().result;
        result.by_hand.as_mut().unwrap().whole = false;
    });
    assert!(pull_body(&partly, &voice).contains("The patch is not all of it"));
    let huge = with(task, |task| {
        let result = &mut task.revision.as_mut().unwrap().result;
        result.by_hand.as_mut().unwrap().patch = "@dana\n".repeat(20_000);
    });
    let body = pull_body(&huge, &voice);
    assert!(body.contains("too long to be shown") && body.contains("left out for length"));
    super::report::assert_harmless(&body, None);
}

#[test]
fn where_nothing_but_workflows_changed_the_patch_stands_in_the_status_with_advice_that_fits() {
    let message = "the agent changed nothing but workflow files, which only a person may publish here: `.github/workflows/ci.yml`";
    let failure = Failure {
        class: FailureClass::Scope,
        message: message.to_owned(),
        tail: String::new(),
    };
    let left = |patch: String| ByHand {
        files: vec![RepoPath::from(".github/workflows/ci.yml")],
        files_left_out: 0,
        patch,
        whole: true,
    };
    let failed = |patch| {
        with(
            super::report::task(Stage::Failed {
                failure: failure.clone(),
            }),
            |task| {
                task.unfinished = Some(Box::new(Unfinished {
                    by_hand: Some(left(patch)),
                    ..Unfinished::default()
                }));
            },
        )
    };
    let voice = Voice::forge("/agent");
    let task = failed("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-```\n+@dana fixes #1\n".to_owned());
    insta::assert_snapshot!(status(&task, NOW, &voice), @"
    **Agent task: failed** · T-42 · requested by dana · brief `3c2718` taken 2026-11-20 14:00 UTC

    **Stopped. I will not retry by myself.** Class: scope. The agent changed nothing but workflow files, which only a person may publish here: `.github/workflows/ci.yml`. No pull request was opened; the base is untouched.

    - `.github/workflows/ci.yml`

    <details><summary>The patch</summary>

    ````text
    --- a/x
    +++ b/x
    @@ -1 +1 @@
    -```
    +@dana fixes #1
    ````

    </details>

    Your turn (a maintainer): if the patch is right, apply it (`git apply`) with an account that may change workflows. For changes to other files too, edit the issue; then `/agent retry`.

    <sub>Commands: `/agent retry`, `/agent reject`, `/agent help`</sub>
    ");
    insta::assert_snapshot!(notice(&task, &voice).unwrap(), @"@dana: task T-42 is **failed**: class scope. The agent changed nothing but workflow files, which only a person may publish here: `.github/workflows/ci.yml`. The status comment above says what to do.");
    super::report::assert_harmless(&status(&task, NOW, &voice), None);
    // Half a patch would not apply.
    let long = status(&failed("+line\n".repeat(900)), NOW, &voice);
    assert!(
        long.len() <= STATUS_MAX && !long.contains("+line"),
        "{long}"
    );
    let kept = long.lines().find(|line| line.starts_with("It is kept"));
    insta::assert_snapshot!(kept.unwrap(), @"It is kept with the task; the page that `prentice tasks show T-42 --link` names has it.");
}
