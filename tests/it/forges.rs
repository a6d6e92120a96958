//! One contract for every forge: run on the local one and on the fake of the other tests.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use prentice::domain::ident::{CommitId, TaskId};
use prentice::domain::policy::Right;
use prentice::domain::report::{CheckReport, CheckState};
use prentice::forge::{
    Durable, Error, Forge, ISSUE_MAX_BYTES, Issue, Leave, Place, PullRequest, Refs, Stands, Status,
    keep_issue, local, marker, read_issue,
};

use super::fake_forge::{FakeForge, Fault};

pub(crate) const PLACE: Place = Place {
    task: TaskId(7),
    issue: 7,
    pull: None,
};
pub(crate) const OTHER: Place = Place {
    task: TaskId(8),
    issue: 8,
    pull: None,
};
pub(crate) const BRANCH: &str = "agent/7-empty-input";

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn status<'a>(word: &'a str, body: &'a str) -> Status<'a> {
    Status {
        word,
        ended: false,
        body,
    }
}

fn pull<'a>(title: &'a str, body: &'a str) -> PullRequest<'a> {
    PullRequest {
        branch: BRANCH,
        base: Some("main"),
        title,
        body,
        draft: true,
    }
}

fn check(sha: CommitId, state: CheckState) -> CheckReport {
    CheckReport {
        name: "prentice / verify".to_owned(),
        sha,
        state,
        title: "2 of 2 required checks pass".to_owned(),
        marks: Vec::new(),
    }
}

/// What people and the forge do behind the bot's back, and what can be seen there.
#[async_trait]
pub(crate) trait Behind: Send + Sync {
    fn forge(&self) -> &dyn Forge;
    /// A commit that the repository can have; each digit is another one.
    async fn commit(&self, digit: char) -> CommitId {
        commit(digit)
    }
    /// Login of a person who may write.
    fn writer(&self) -> String {
        "dana".to_owned()
    }
    async fn push(&self, branch: &str, head: &CommitId);
    /// Merges the pull request of this head, as a person does.
    async fn merge_into_main(&self, head: &CommitId);
    /// Bodies of status comments of the task, as a reader sees them.
    async fn statuses(&self, place: Place) -> Vec<String>;
    async fn notifications(&self, place: Place) -> Vec<String>;
    async fn delete_status(&self, place: Place);
    /// A person writes another text over that of a pull request.
    async fn rewrite(&self, number: i64, body: &str);
    /// Title, without what makes it a draft, and body of the task's pull requests.
    async fn pulls(&self, place: Place) -> Vec<(String, String)>;
    async fn checks(&self, place: Place) -> usize;
}

/// Wants issues 7 and 8, the first with the text `# Empty input`, a branch `main`, and no other branch.
pub(crate) async fn contract(world: &dyn Behind) {
    let forge = world.forge();

    // The issue is read as it was written; one that is not there is Gone.
    let issue = forge.issue(7).await.unwrap();
    assert_eq!((issue.number, issue.body.as_str()), (7, "# Empty input\n"));
    assert!(issue.open);
    assert!(matches!(forge.issue(99).await, Err(Error::Gone { .. })));
    assert!(forge.right(&world.writer()).await.unwrap() >= Some(Right::Write));
    assert!(!forge.whoami().await.unwrap().login.is_empty());

    // One status comment, found by id, and by marker after the id was lost.
    let id = forge
        .ensure_status(PLACE, None, &status("queued", "one"))
        .await
        .unwrap();
    let written = forge.written_at(id).await.unwrap();
    for known in [Some(id), None] {
        let again = forge
            .ensure_status(PLACE, known, &status("running", "two"))
            .await
            .unwrap();
        assert_eq!(again, id);
        assert_eq!(world.statuses(PLACE).await, ["two"]);
    }
    assert!(forge.written_at(id).await.unwrap() >= written);

    // Another task's comment is not touched.
    forge
        .ensure_status(OTHER, None, &status("queued", "theirs"))
        .await
        .unwrap();
    assert_eq!(world.statuses(PLACE).await, ["two"]);
    assert_eq!(world.statuses(OTHER).await, ["theirs"]);

    // One that a person deleted is made anew, with the old id still known.
    world.delete_status(PLACE).await;
    assert!(world.statuses(PLACE).await.is_empty());
    forge
        .ensure_status(PLACE, Some(id), &status("running", "three"))
        .await
        .unwrap();
    assert_eq!(world.statuses(PLACE).await, ["three"]);

    // A notification is made once per key, and an existing one stays as it is.
    let first = forge.ensure_comment(PLACE, "tell-1", "ping").await.unwrap();
    let again = forge
        .ensure_comment(PLACE, "tell-1", "ping, reworded")
        .await
        .unwrap();
    assert_eq!(first, again);
    let second = forge.ensure_comment(PLACE, "tell-2", "pong").await.unwrap();
    assert_ne!(first, second);
    assert_eq!(world.notifications(PLACE).await, ["ping", "pong"]);
    // Keys that only differ in what a file name cannot hold are still two.
    forge.ensure_comment(PLACE, "a/b", "slash").await.unwrap();
    forge.ensure_comment(PLACE, "a.b", "dot").await.unwrap();
    forge.ensure_comment(PLACE, "a/b", "slash").await.unwrap();
    assert_eq!(
        world.notifications(PLACE).await,
        ["ping", "pong", "slash", "dot"]
    );
    assert_eq!(world.statuses(PLACE).await, ["three"]);

    forge
        .ensure_label(PLACE, Some("agent:running"))
        .await
        .unwrap();
    forge
        .ensure_label(PLACE, Some("agent:failed"))
        .await
        .unwrap();

    // A branch moves only from where it was expected.
    let one = world.commit('1').await;
    let two = world.commit('2').await;
    let theirs = world.commit('f').await;
    assert!(matches!(
        forge.ensure_pull(PLACE, &pull("t", "b")).await,
        Err(Error::Gone { .. })
    ));
    assert_eq!(forge.branch_head(BRANCH).await.unwrap(), None);
    assert!(matches!(
        forge.ensure_branch(BRANCH, &two, Some(&one)).await,
        Err(Error::Conflict { found: None, .. })
    ));
    for _ in 0..2 {
        forge.ensure_branch(BRANCH, &one, None).await.unwrap();
    }
    for _ in 0..2 {
        forge.ensure_branch(BRANCH, &two, Some(&one)).await.unwrap();
    }
    assert_eq!(forge.branch_head(BRANCH).await.unwrap(), Some(two.clone()));

    // One pull request; title and body follow.
    assert_eq!(forge.pull_state(PLACE).await.unwrap(), None);
    let opened = forge.ensure_pull(PLACE, &pull("t", "b")).await.unwrap();
    let again = forge.ensure_pull(PLACE, &pull("T", "B")).await.unwrap();
    assert_eq!(opened, again);
    assert_eq!(opened.head, two);
    assert_eq!(world.pulls(PLACE).await, [("T".to_owned(), "B".to_owned())]);
    let state = forge.pull_state(PLACE).await.unwrap().unwrap();
    assert_eq!(
        (state.number, state.stands, state.head),
        (opened.number, Stands::Open, Some(two.clone()))
    );
    // Not under another branch.
    forge.ensure_branch("elsewhere", &one, None).await.unwrap();
    let elsewhere = PullRequest {
        branch: "elsewhere",
        ..pull("T", "B")
    };
    assert!(matches!(
        forge.ensure_pull(PLACE, &elsewhere).await,
        Err(Error::Conflict { .. })
    ));
    // By its number it is the task's, whatever a person made of its text, which is put right.
    let known = Place {
        pull: Some(opened.number),
        ..PLACE
    };
    world.rewrite(opened.number, "all mine").await;
    let state = forge.pull_state(known).await.unwrap().unwrap();
    assert_eq!((state.number, state.stands), (opened.number, Stands::Open));
    let again = forge.ensure_pull(known, &pull("T", "B")).await.unwrap();
    assert_eq!(again, opened);
    assert_eq!(world.pulls(PLACE).await, [("T".to_owned(), "B".to_owned())]);

    // One check per name and commit.
    for state in [
        CheckState::Pending,
        CheckState::Success,
        CheckState::Success,
    ] {
        let report = check(two.clone(), state);
        forge.set_check(PLACE, &report).await.unwrap();
    }
    let report = check(one.clone(), CheckState::Failure);
    forge.set_check(PLACE, &report).await.unwrap();
    assert_eq!(world.checks(PLACE).await, 2);

    // A person's commit is never overwritten nor deleted, and is told.
    world.push(BRANCH, &theirs).await;
    for refused in [
        forge.ensure_branch(BRANCH, &one, Some(&two)).await,
        forge.ensure_branch(BRANCH, &one, None).await,
        forge.delete_branch(BRANCH, &two).await,
    ] {
        match refused {
            Err(Error::Conflict { found, .. }) => assert_eq!(found, Some(theirs.clone())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        forge.branch_head(BRANCH).await.unwrap(),
        Some(theirs.clone())
    );
    world.push(BRANCH, &two).await;

    // Closed stays closed: nothing reopens it, and closing again is fine.
    for _ in 0..2 {
        forge.close_pull(PLACE).await.unwrap();
    }
    forge.close_pull(OTHER).await.unwrap();
    let state = forge.pull_state(PLACE).await.unwrap().unwrap();
    assert_eq!(state.stands, Stands::Closed);
    assert!(matches!(
        forge.ensure_pull(PLACE, &pull("T", "B")).await,
        Err(Error::Gone { .. })
    ));
    // Nor is another one opened beside it, though nothing but its number tells whose it is.
    world.rewrite(opened.number, "all mine").await;
    let state = forge.pull_state(known).await.unwrap().unwrap();
    assert_eq!(state.stands, Stands::Closed);
    assert!(matches!(
        forge.ensure_pull(known, &pull("T", "B")).await,
        Err(Error::Gone { .. })
    ));
    let published = ("T".to_owned(), "B".to_owned());
    assert!(!world.pulls(PLACE).await.contains(&published));
    for _ in 0..2 {
        forge.delete_branch(BRANCH, &two).await.unwrap();
    }
    assert_eq!(forge.branch_head(BRANCH).await.unwrap(), None);
    for _ in 0..2 {
        forge.clean_up(PLACE, Leave::Record).await.unwrap();
    }
    assert_eq!(world.statuses(PLACE).await, ["three"]);
    assert_eq!(world.statuses(OTHER).await, ["theirs"]);

    // Merged is told as merged, even when the branch was deleted with it.
    let branch = PullRequest {
        branch: "agent/8",
        ..pull("T", "B")
    };
    forge.ensure_branch("agent/8", &one, None).await.unwrap();
    let theirs = forge.ensure_pull(OTHER, &branch).await.unwrap();
    world.merge_into_main(&one).await;
    forge.delete_branch("agent/8", &one).await.unwrap();
    forge.close_pull(OTHER).await.unwrap();
    let state = forge.pull_state(OTHER).await.unwrap().unwrap();
    assert_eq!((state.stands, state.head), (Stands::Merged, None));
    world.rewrite(theirs.number, "all mine").await;
    let known = Place {
        pull: Some(theirs.number),
        ..OTHER
    };
    let state = forge.pull_state(known).await.unwrap().unwrap();
    assert_eq!(state.stands, Stands::Merged);
}

/// Branches in memory; `merged` stands for the history of `main`.
#[derive(Default)]
struct MemoryRefs {
    heads: Mutex<BTreeMap<String, CommitId>>,
    merged: Mutex<Vec<CommitId>>,
}

#[async_trait]
impl Refs for MemoryRefs {
    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, Error> {
        Ok(self.heads.lock().unwrap().get(branch).cloned())
    }

    async fn set_branch(
        &self,
        branch: &str,
        new: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), Error> {
        let mut heads = self.heads.lock().unwrap();
        let found = heads.get(branch).cloned();
        if found.as_ref() != expected {
            let what = format!("branch `{branch}`");
            return Err(Error::Conflict { what, found });
        }
        heads.insert(branch.to_owned(), new.clone());
        Ok(())
    }

    async fn delete_branch(&self, branch: &str, expected: &CommitId) -> Result<(), Error> {
        let mut heads = self.heads.lock().unwrap();
        let found = heads.get(branch).cloned();
        if found.as_ref() != Some(expected) {
            let what = format!("branch `{branch}`");
            return Err(Error::Conflict { what, found });
        }
        heads.remove(branch);
        Ok(())
    }

    async fn reaches(&self, branch: &str, commit: &CommitId) -> Result<bool, Error> {
        Ok(branch == "main" && self.merged.lock().unwrap().contains(commit))
    }
}

struct LocalWorld {
    folder: tempfile::TempDir,
    refs: Arc<MemoryRefs>,
    forge: Box<dyn Forge>,
}

impl LocalWorld {
    fn new(durable: Option<Arc<dyn Durable>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let refs = Arc::new(MemoryRefs::default());
        let root = folder.path().join("tasks");
        let forge = local(root, refs.clone(), durable);
        let world = Self {
            folder,
            refs,
            forge,
        };
        keep_issue(&world.root(), TaskId(7), "# Empty input\n", None).unwrap();
        world
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("tasks")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root().join("T-7").join(name)
    }

    /// Every file below the root, relative, sorted.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.root()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let relative = path.strip_prefix(self.root()).unwrap();
                    found.push(relative.to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[async_trait]
impl Behind for LocalWorld {
    fn forge(&self) -> &dyn Forge {
        &*self.forge
    }

    async fn push(&self, branch: &str, head: &CommitId) {
        let mut heads = self.refs.heads.lock().unwrap();
        heads.insert(branch.to_owned(), head.clone());
    }

    async fn merge_into_main(&self, head: &CommitId) {
        self.refs.merged.lock().unwrap().push(head.clone());
    }

    async fn statuses(&self, place: Place) -> Vec<String> {
        let path = self.root().join(place.task.to_string()).join("status.md");
        read(&path).into_iter().collect()
    }

    async fn notifications(&self, place: Place) -> Vec<String> {
        let prefix = format!("{}/comments/", place.task);
        let of_task = |name: &String| name.starts_with(&prefix);
        let names = self.files().into_iter().filter(of_task);
        names
            .filter_map(|name| read(&self.root().join(name)))
            .collect()
    }

    async fn delete_status(&self, place: Place) {
        fs::remove_file(self.root().join(place.task.to_string()).join("status.md")).unwrap();
    }

    async fn rewrite(&self, number: i64, body: &str) {
        let path = self.root().join(TaskId(number).to_string()).join("PR.md");
        fs::write(path, format!("# T\n\n{body}")).unwrap();
    }

    async fn pulls(&self, place: Place) -> Vec<(String, String)> {
        let path = self.root().join(place.task.to_string()).join("PR.md");
        let split = |text: String| {
            let (title, body) = text.split_once("\n\n").unwrap();
            (title.trim_start_matches("# ").to_owned(), body.to_owned())
        };
        read(&path).map(split).into_iter().collect()
    }

    async fn checks(&self, place: Place) -> usize {
        let path = self.root().join(place.task.to_string()).join("checks.json");
        let text = read(&path).unwrap();
        serde_json::from_str::<Vec<CheckReport>>(&text)
            .unwrap()
            .len()
    }
}

struct FakeWorld(FakeForge);

impl FakeWorld {
    fn new() -> Self {
        let forge = FakeForge::default();
        let issue = Issue {
            number: 7,
            title: "Empty input".to_owned(),
            body: "# Empty input\n".to_owned(),
            open: true,
        };
        forge.world().issues.insert(7, issue);
        forge.world().rights.insert("dana".to_owned(), Right::Write);
        Self(forge)
    }

    fn bodies(&self, place: Place, ours: impl Fn(&str) -> bool) -> Vec<String> {
        let world = self.0.world();
        let of_issue = world
            .comments
            .iter()
            .filter(|comment| comment.issue == place.issue && comment.author != 1);
        of_issue
            .filter_map(|comment| {
                let (mark, body) = comment.body.split_once('\n')?;
                ours(mark).then(|| body.to_owned())
            })
            .collect()
    }
}

#[async_trait]
impl Behind for FakeWorld {
    fn forge(&self) -> &dyn Forge {
        &self.0
    }

    async fn push(&self, branch: &str, head: &CommitId) {
        self.0.world().refs.insert(branch.to_owned(), head.clone());
    }

    async fn merge_into_main(&self, head: &CommitId) {
        let mut world = self.0.world();
        let refs = world.refs.clone();
        for pull in &mut world.pulls {
            if refs.get(&pull.branch) == Some(head) {
                pull.stands = Stands::Merged;
            }
        }
    }

    async fn statuses(&self, place: Place) -> Vec<String> {
        self.bodies(place, |mark| mark == marker(place, None))
    }

    async fn notifications(&self, place: Place) -> Vec<String> {
        self.bodies(place, |mark| mark.contains(" key="))
    }

    async fn delete_status(&self, place: Place) {
        let mark = marker(place, None);
        let mut world = self.0.world();
        world
            .comments
            .retain(|comment| !comment.body.starts_with(&mark));
    }

    async fn rewrite(&self, number: i64, body: &str) {
        let mut world = self.0.world();
        let mut pulls = world.pulls.iter_mut();
        let pull = pulls.find(|pull| pull.number == number).unwrap();
        body.clone_into(&mut pull.body);
    }

    async fn pulls(&self, place: Place) -> Vec<(String, String)> {
        let mark = format!("{}\n", marker(place, None));
        let world = self.0.world();
        world
            .pulls
            .iter()
            .filter_map(|pull| {
                let body = pull.body.strip_prefix(&mark)?;
                Some((pull.title.clone(), body.to_owned()))
            })
            .collect()
    }

    async fn checks(&self, _place: Place) -> usize {
        self.0.world().checks.len()
    }
}

#[tokio::test]
async fn the_local_forge_keeps_the_contract() {
    contract(&LocalWorld::new(None)).await;
}

#[tokio::test]
async fn the_fake_forge_keeps_the_contract() {
    contract(&FakeWorld::new()).await;
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_done_once() {
    let world = FakeWorld::new();
    let forge = world.forge();
    for verb in [
        "ensure_status",
        "ensure_comment",
        "ensure_branch",
        "ensure_pull",
    ] {
        world.0.world().faults.push_back((verb, Fault::AfterApply));
    }
    // The second try is not done at all, the third is.
    let earlier = world.0.world().faults.clone();
    world
        .0
        .world()
        .faults
        .extend(earlier.into_iter().map(|(verb, _)| (verb, Fault::Before)));
    let one = commit('1');
    for expected_to_work in [false, false, true] {
        let done = [
            forge
                .ensure_status(PLACE, None, &status("queued", "one"))
                .await
                .is_ok(),
            forge.ensure_comment(PLACE, "tell-1", "ping").await.is_ok(),
            forge.ensure_branch(BRANCH, &one, None).await.is_ok(),
            forge.ensure_pull(PLACE, &pull("t", "b")).await.is_ok(),
        ];
        assert_eq!(done, [expected_to_work; 4]);
    }
    assert!(world.0.world().pulls[0].draft);
    assert_eq!(
        world.0.world().written,
        ["new comment", "new comment", "branch", "new pull request"]
    );
}

#[tokio::test]
async fn a_comment_of_somebody_else_with_our_marker_is_not_taken_for_ours() {
    let world = FakeWorld::new();
    let copied = format!("{}\nhello", marker(PLACE, None));
    let id = world.0.world().comment_as(1, PLACE.issue, &copied);
    let made = world
        .forge()
        .ensure_status(
            PLACE,
            Some(prentice::forge::CommentId(id)),
            &status("queued", "one"),
        )
        .await
        .unwrap();
    assert_ne!(made.0, id);
    assert_eq!(world.0.world().comments[0].body, copied);
}

#[tokio::test]
async fn an_issue_has_one_label_of_ours_and_keeps_those_of_people() {
    let world = FakeWorld::new();
    let people = vec!["agent".to_owned(), "bug".to_owned()];
    world.0.world().labels.insert(7, people.clone());
    for label in [Some("agent:queued"), Some("agent:running"), None] {
        world.forge().ensure_label(PLACE, label).await.unwrap();
        let mut expected = people.clone();
        expected.extend(label.map(ToOwned::to_owned));
        assert_eq!(world.0.world().labels[&7], expected);
    }
}

#[tokio::test]
async fn a_refusal_names_the_setting() {
    let world = FakeWorld::new();
    world
        .0
        .world()
        .faults
        .push_back(("ensure_pull", Fault::Refuse));
    let refused = world.forge().ensure_pull(PLACE, &pull("t", "b")).await;
    insta::assert_snapshot!(refused.unwrap_err(), @"not permitted: ensure_pull; grant it in the fake's permissions");
}

#[tokio::test]
async fn the_history_keeps_what_the_status_said_last_in_each_stage() {
    let world = LocalWorld::new(None);
    for (word, body) in [
        ("queued", "q"),
        ("running", "step 1"),
        ("running", "step 2"),
        ("needs-review", "look"),
        ("running", "round 2"),
    ] {
        let status = status(word, body);
        world
            .forge()
            .ensure_status(PLACE, None, &status)
            .await
            .unwrap();
    }
    assert_eq!(
        world.files(),
        [
            "T-7/history/0001-queued.md",
            "T-7/history/0002-running.md",
            "T-7/history/0003-needs-review.md",
            "T-7/history/0004-running.md",
            "T-7/issue.md",
            "T-7/status.md",
        ]
    );
    assert_eq!(
        read(&world.at("history/0002-running.md")).as_deref(),
        Some("step 2")
    );
    assert_eq!(read(&world.at("status.md")).as_deref(), Some("round 2"));
}

#[tokio::test]
async fn cleaning_up_removes_our_files_and_no_others() {
    let world = LocalWorld::new(None);
    let forge = world.forge();
    let one = commit('1');
    let queued = status("queued", "one");
    forge.ensure_status(PLACE, None, &queued).await.unwrap();
    forge.ensure_branch(BRANCH, &one, None).await.unwrap();
    forge.ensure_pull(PLACE, &pull("t", "b")).await.unwrap();
    forge.ensure_comment(PLACE, "tell-1", "ping").await.unwrap();
    let report = check(one, CheckState::Success);
    forge.set_check(PLACE, &report).await.unwrap();
    fs::write(world.at(".PR.md.tmp"), "half").unwrap();
    fs::write(world.at("comments/.002-tell-2.md.tmp"), "half").unwrap();
    fs::write(world.at("mine.txt"), "of the user").unwrap();
    fs::write(world.at("comments/mine.md"), "of the user").unwrap();

    forge.clean_up(PLACE, Leave::Record).await.unwrap();
    let kept = [
        "T-7/comments/mine.md",
        "T-7/history/0001-queued.md",
        "T-7/mine.txt",
        "T-7/status.md",
    ];
    assert_eq!(world.files(), kept);

    forge.clean_up(PLACE, Leave::Nothing).await.unwrap();
    assert_eq!(world.files(), ["T-7/comments/mine.md", "T-7/mine.txt"]);

    // What was cleaned up is not made anew to say so; a live task is shown.
    let ended = Status {
        word: "rejected",
        ended: true,
        body: "gone",
    };
    forge.ensure_status(PLACE, None, &ended).await.unwrap();
    assert_eq!(world.files(), ["T-7/comments/mine.md", "T-7/mine.txt"]);
    fs::remove_dir_all(world.root().join("T-7")).unwrap();
    forge.clean_up(PLACE, Leave::Nothing).await.unwrap();
    forge.ensure_status(PLACE, None, &queued).await.unwrap();
    assert_eq!(world.statuses(PLACE).await, ["one"]);
}

#[tokio::test]
async fn a_task_that_ended_before_it_was_shown_is_shown_once_ended() {
    let world = LocalWorld::new(None);
    let ended = Status {
        word: "stopped",
        ended: true,
        body: "stopped",
    };
    world
        .forge()
        .ensure_status(PLACE, None, &ended)
        .await
        .unwrap();
    assert_eq!(world.statuses(PLACE).await, ["stopped"]);
}

/// Panics at the k-th durable step, as a kill would end the process there.
struct KilledAt {
    left: Mutex<u32>,
    seen: Mutex<Vec<String>>,
}

impl Durable for KilledAt {
    fn step(&self, what: &str) {
        self.seen.lock().unwrap().push(what.to_owned());
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(1).expect("killed here");
    }
}

#[tokio::test]
async fn a_kill_at_any_step_leaves_old_or_new_and_the_next_try_ends_the_same() {
    async fn road(world: &LocalWorld) -> Result<(), Error> {
        let forge = world.forge();
        let queued = status("queued", "one");
        forge.ensure_status(PLACE, None, &queued).await?;
        let review = status("needs-review", "two");
        forge.ensure_status(PLACE, None, &review).await?;
        forge.ensure_comment(PLACE, "tell-1", "ping").await?;
        forge.ensure_branch(BRANCH, &commit('1'), None).await?;
        forge.ensure_pull(PLACE, &pull("t", "b")).await?;
        Ok(())
    }
    let contents = |world: &LocalWorld| -> Vec<(String, Option<String>)> {
        let names = world.files().into_iter();
        names
            .map(|name| (name.clone(), read(&world.root().join(name))))
            .collect()
    };
    let calm = LocalWorld::new(None);
    road(&calm).await.unwrap();
    let wanted = contents(&calm);

    let mut points = 0;
    loop {
        let killer = Arc::new(KilledAt {
            left: Mutex::new(points),
            seen: Mutex::default(),
        });
        let world = LocalWorld::new(Some(killer.clone()));
        if road(&world).await.is_ok() {
            break;
        }
        points += 1;
        for (name, text) in contents(&world) {
            let partial = name.ends_with(".tmp");
            assert!(
                partial || !text.unwrap().is_empty(),
                "{name} is half written"
            );
        }
        // The next start.
        let next = local(world.root(), world.refs.clone(), None);
        let world = LocalWorld {
            forge: next,
            ..world
        };
        // A later stage may be all that the next start shows; the road is walked from where it was.
        let seen = killer.seen.lock().unwrap().clone();
        road_on(&world, &seen).await;
        assert_eq!(contents(&world), wanted, "killed at step {points}");
    }
    // Two per file: 2 statuses with history, 1 comment, PR.md and pull.json.
    assert_eq!(points, 14);

    async fn road_on(world: &LocalWorld, seen: &[String]) {
        let forge = world.forge();
        // A job that was confirmed is not done again: the first status counts as done once both files are there.
        if !seen.iter().any(|step| step.contains("0002")) {
            let queued = status("queued", "one");
            forge.ensure_status(PLACE, None, &queued).await.unwrap();
        }
        let review = status("needs-review", "two");
        forge.ensure_status(PLACE, None, &review).await.unwrap();
        forge.ensure_comment(PLACE, "tell-1", "ping").await.unwrap();
        forge
            .ensure_branch(BRANCH, &commit('1'), None)
            .await
            .unwrap();
        forge.ensure_pull(PLACE, &pull("t", "b")).await.unwrap();
    }
}

#[tokio::test]
async fn a_link_in_place_of_a_temporary_file_is_not_followed() {
    let world = LocalWorld::new(None);
    let precious = world.folder.path().join("precious");
    fs::write(&precious, "of the user").unwrap();
    std::os::unix::fs::symlink(&precious, world.at(".status.md.tmp")).unwrap();
    let queued = status("queued", "one");
    world
        .forge()
        .ensure_status(PLACE, None, &queued)
        .await
        .unwrap();
    assert_eq!(read(&precious).as_deref(), Some("of the user"));
    assert_eq!(world.statuses(PLACE).await, ["one"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tasks");
    fs::write(&root, "a file where the folder should be").unwrap();
    let forge = local(root, Arc::new(MemoryRefs::default()), None);
    let queued = status("queued", "one");
    let error = forge.ensure_status(PLACE, None, &queued).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let told = error
        .to_string()
        .replace(folder.path().to_str().unwrap(), "/out");
    insta::assert_snapshot!(told, @"`/out/tasks/T-7/history/0001-queued.md`: Not a directory (os error 20); repair that, then `prentice tasks resume`");
}

#[test]
fn an_issue_file_that_cannot_be_read_is_told_by_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("latin1.md"), b"caf\xe9").unwrap();
    fs::write(at("good.md"), "# Goal\n").unwrap();
    let big = fs::File::create(at("big.md")).unwrap();
    big.set_len(ISSUE_MAX_BYTES + 1).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(read_issue(&at("good.md")).unwrap(), "# Goal\n");
    let told = |name: &str| {
        let error = read_issue(&at(name)).unwrap_err().to_string();
        error.replace(folder.path().to_str().unwrap(), "/in")
    };
    insta::assert_snapshot!(told("none.md"), @"`/in/none.md` is not there (any more)");
    insta::assert_snapshot!(told("latin1.md"), @"the issue `/in/latin1.md` was refused as invalid: byte 3 is not UTF-8; save it as UTF-8");
    insta::assert_snapshot!(told("big.md"), @"the issue `/in/big.md` was refused as invalid: it is larger than 4194304 bytes; shorten it");
    insta::assert_snapshot!(told("fifo"), @"the issue `/in/fifo` was refused as invalid: it is not a regular file; give a file, or `-` and the text on standard input");
}

#[test]
fn no_forge_verb_merges_or_approves() {
    let text = include_str!("../../src/forge/mod.rs");
    let body = text.split("pub trait Forge").nth(1).unwrap();
    let body = body.split("\n}\n").next().unwrap();
    let verbs: Vec<&str> = body
        .lines()
        .filter_map(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("async ").unwrap_or(line);
            line.strip_prefix("fn ")?.split('(').next()
        })
        .collect();
    assert_eq!(
        verbs,
        [
            "capabilities",
            "whoami",
            "issue",
            "right",
            "ensure_status",
            "written_at",
            "ensure_comment",
            "ensure_label",
            "set_check",
            "branch_head",
            "ensure_branch",
            "delete_branch",
            "ensure_pull",
            "pull_state",
            "close_pull",
            "request_review",
            "label_pull",
            "mark_ready",
            "drop_trigger",
            "clean_up",
        ]
    );
}
