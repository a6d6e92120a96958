//! Issues that go to another repository, with all that stands on them: a task stays where its code is.

use super::*;
use crate::served::retention::database;

impl Hub {
    /// The tasks that there are, as a program reads them: stage of each.
    pub(super) fn stages(&self) -> Vec<String> {
        let output = self.command(&["tasks", "list", "--json"]).output().unwrap();
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let tasks = listed["tasks"].as_array().unwrap().iter();
        tasks
            .map(|one| one["stage"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(super) async fn is_all(&self, stages: &[&str]) {
        let what = format!("the tasks are {stages:?}");
        self.until(&what, 60, async || self.stages() == stages)
            .await;
    }

    /// It was asked for, and asked for again, and was not there.
    async fn was_missed(&self, issue: i64) {
        let asked = format!("GET /repositories/{REPO}/issues/{issue}");
        self.until("it is looked for", 30, async || {
            let world = self.fake.world();
            world.requests.iter().filter(|one| **one == asked).count() >= 2
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_is_transferred_between_label_and_reading_starts_nothing() {
    let Some(hub) = Hub::new(true, Hears::Hooks).await else {
        return;
    };
    let moved = {
        let mut world = hub.fake.world();
        let issue = world.open_issue("dana", "No answer", ISSUE);
        world.label(issue, "dana", "agent");
        world.transfer(issue, "dana");
        issue
    };
    hub.was_missed(moved).await;
    // What is asked for after it is done as ever.
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
    assert_eq!(hub.stages(), ["needs-review"]);
    assert_eq!((hub.pulls().len(), hub.branches()), (1, 1));
    let log = std::fs::read_to_string(hub.folder().join("log")).unwrap();
    assert!(!log.contains("came to no end"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_is_transferred_during_its_task_stops_it_and_leaves_nothing() {
    let Some(mut hub) = Hub::quiet(true, Hears::Hooks).await else {
        return;
    };
    hub.serve(SLOW).await;
    let issue = hub.labelled();
    hub.is_at(issue, "running").await;
    hub.fake.world().transfer(issue, "dana");
    hub.is_all(&["stopped"]).await;
    let shown = hub.command(&["tasks", "show", "T-1"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let words = shown.lines().find(|line| line.contains("Stopped by"));
    let words = words.unwrap_or(&shown);
    assert!(
        words.starts_with("Stopped by whoever deleted or moved the issue at 20"),
        "{words}"
    );
    assert_eq!((hub.pulls().len(), hub.branches()), (0, 0));
    // Nothing of it is still to be done, and its place is free.
    hub.kill();
    hub.serve(AGENT).await;
    let next = hub.labelled();
    hub.is_at(next, "needs-review").await;
    let mut stages = hub.stages();
    stages.sort();
    assert_eq!(stages, ["needs-review", "stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_is_transferred_after_its_pull_request_leaves_that_to_people() {
    let Some(hub) = Hub::new(true, Hears::Hooks).await else {
        return;
    };
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
    let pull = hub.pulls()[0];
    hub.fake.world().transfer(issue, "dana");
    hub.was_missed(issue).await;
    hub.is_all(&["needs-review"]).await;
    hub.fake.world().merge(pull, "dana");
    hub.is_all(&["merged"]).await;
}

/// Nothing ran yet, so there is nothing to fail; and whoever could answer cannot.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_text_in_a_repository_that_was_archived_stops_by_its_date_untold() {
    let Some(mut hub) = Hub::quiet(false, Hears::Polling).await else {
        return;
    };
    hub.rule(
        "version = 1\n[[verify]]\nname = \"tests\"\nrun = \"sh test.sh\"\n[task]\nask_timeout = \"22s\"\n",
    );
    hub.serve(AGENT).await;
    let issue = {
        let mut world = hub.fake.world();
        let issue = world.open_issue("dana", "Do something", "Please.");
        world.label(issue, "dana", "agent");
        issue
    };
    hub.is_at(issue, "needs-info").await;
    hub.fake.world().archived = true;
    // Two sweeps see it meanwhile.
    hub.is_all(&["stopped"]).await;
    let mut db = database(&hub.folder().join("state/prentice")).await;
    let told = "select count(*) from deliveries where body like '%out-of-reach%'";
    let told: i64 = sqlx::query_scalar(told).fetch_one(&mut db).await.unwrap();
    assert_eq!(told, 0);
}
