//! What is heard late: deliveries that failed, and those of a repository that is not listed yet.

use super::*;
use crate::github::world::{Fault, Kind, said};

/// From now on, but for the first `skip` times, the repositories cannot be listed so often.
fn not_listed(hub: &Hub, skip: usize, times: usize) {
    hub.fake.world().faults.push_back(Fault {
        method: "GET",
        at: "/installation/repositories",
        call: None,
        kind: Kind::Instead(503, Vec::new(), said("down for a while")),
        skip,
        times,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_delivered_is_asked_for_again_also_where_the_sweep_fails() {
    let Some(mut hub) = Hub::quiet(true, Hears::Hooks).await else {
        return;
    };
    hub.poll = "10s";
    hub.serve(AGENT).await;
    hub.kill();
    let issue = hub.labelled();
    hub.until("the deliveries failed", 20, async || {
        let world = hub.fake.world();
        let failed = world.deliveries.iter().filter(|one| one.status == 502);
        failed.count() >= 2
    })
    .await;
    // What serves is known from the start, and no sweep of it comes to its end.
    not_listed(&hub, 1, 1_000);
    hub.serve(AGENT).await;
    hub.is_at(issue, "needs-review").await;
    let log = hub.log();
    assert!(log.contains("the sweep came to no end"), "{log}");
    assert!(hub.fake.world().count("POST", "/app/hook/deliveries/") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_of_a_repository_that_is_still_to_be_listed_waits_for_the_list() {
    let Some(mut hub) = Hub::quiet(true, Hears::Hooks).await else {
        return;
    };
    // Seen at the start, and not served; as if it came into our reach later.
    hub.fake.world().archived = true;
    hub.serve(AGENT).await;
    hub.until("the first sweep is over", 20, async || {
        hub.fake.world().count("GET", "/app/hook/deliveries") > 0
    })
    .await;
    hub.fake.world().archived = false;
    not_listed(&hub, 0, 1);
    let added = json!({ "action": "added", "sender": { "login": "dana" } });
    let told = hub.fake.deliver("installation_repositories", &added).await;
    assert_eq!(told, 202);
    hub.until("listing it failed", 20, async || {
        hub.log().contains("the repositories were not listed")
    })
    .await;
    // Told of before the next list, half a minute later, and long before the next sweep.
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_by_a_person_it_is_rejected_and_no_right_is_looked_up() {
    let Some(hub) = Hub::new(true, Hears::Hooks).await else {
        return;
    };
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
    let number = hub.pulls()[0];
    // The forge let him, whatever we would be told of his rights.
    hub.fake.world().person("zoe", "User", None);
    hub.fake.world().close(number, "zoe");
    hub.is_at(issue, "rejected").await;
    let status = hub.by_us(issue, "task=").remove(0);
    assert!(status.contains("zoe"), "{status}");
    let world = hub.fake.world();
    let asked = |login: &str| world.count("GET", &format!("/collaborators/{login}"));
    assert_eq!(asked("zoe"), 0);
    assert!(asked("dana") > 0, "rights are looked up by that address");
}
