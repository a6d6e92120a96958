//! What people are answered who may do too little, and what stays where we may do too little.

use super::*;
use crate::github::world::{Fault, Kind, said};

/// The stages of the tasks of an issue.
fn stages(hub: &Hub, issue: i64) -> Vec<String> {
    let listed = hub.command(&["tasks", "list", "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let branch = format!("agent/{issue}-");
    let all = listed["tasks"].as_array().unwrap().iter();
    all.filter(|one| one["branch"].as_str().unwrap().starts_with(&branch))
        .map(|one| one["stage"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_too_little_is_told_in_words_once_in_a_thread_and_then_by_a_thumb() {
    let Some(mut hub) = Hub::new(true, Hears::Hooks).await else {
        return;
    };
    hub.fake
        .world()
        .person("tess", "User", Some(("triage", "triage")));
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
    let pull = hub.pulls()[0];
    let refused = async |hub: &Hub, on: i64| {
        let said = hub.fake.world().comment(on, "tess", "/agent approve");
        hub.until("she gets a thumb", 30, async || {
            hub.reactions(said) == ["-1"]
        })
        .await;
        said
    };
    let first = refused(&hub, issue).await;
    let words = hub.by_us(issue, "note=");
    assert_eq!(words.len(), 1, "{words:?}");
    assert!(
        words[0].contains(&format!("note=comment-{first} ")),
        "{words:?}"
    );
    let says = "`approve` needs write access here; you have triage. Ask someone who has it.";
    assert!(words[0].ends_with(says), "{words:?}");
    refused(&hub, issue).await;
    hub.kill();
    hub.serve(AGENT).await;
    refused(&hub, issue).await;
    assert_eq!(hub.by_us(issue, "note=").len(), 1, "once");
    // The pull request is another thread.
    refused(&hub, pull).await;
    refused(&hub, pull).await;
    assert_eq!(hub.by_us(pull, "note=").len(), 1, "once there");
    assert_eq!(hub.by_us(issue, "note=").len(), 1);
    assert_eq!(hub.stage(issue), "needs-review");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_could_not_be_taken_off_at_the_end_starts_nothing_more() {
    let Some(mut hub) = Hub::new(true, Hears::Polling).await else {
        return;
    };
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
    hub.fake.world().faults.push_back(Fault {
        method: "DELETE",
        at: "/labels/agent",
        call: None,
        kind: Kind::Instead(
            403,
            Vec::new(),
            said("Resource not accessible by integration"),
        ),
        skip: 0,
        times: usize::MAX,
    });
    let reject = "/agent reject not now";
    hub.fake.world().comment(issue, "dana", reject);
    hub.is_at(issue, "rejected").await;
    hub.until("taking it off was tried", 30, async || {
        hub.fake.world().count("DELETE", "/labels/agent") > 0 && hub.branches() == 0
    })
    .await;
    let has_label = |hub: &Hub| hub.of(issue, |one| one.labels.contains(&"agent".to_owned()));
    assert!(has_label(&hub));
    hub.kill();
    hub.serve(AGENT).await;
    // Whatever happens there has it looked at, and what is looked at behind it shows that it was.
    hub.fake.world().comment(issue, "dana", "Maybe later.");
    let other = hub.labelled();
    hub.is_at(other, "needs-review").await;
    assert!(has_label(&hub));
    assert_eq!(stages(&hub, issue), ["rejected"]);
    assert_eq!(hub.by_us(issue, "task=").len(), 1);
    assert_eq!(hub.stage(issue), "rejected");
    // Put there anew it asks anew.
    {
        let mut world = hub.fake.world();
        world.unlabel(issue, "dana", "agent");
        world.label(issue, "dana", "agent");
    }
    hub.until("there is a second task", 60, async || {
        stages(&hub, issue).len() == 2
    })
    .await;
}
