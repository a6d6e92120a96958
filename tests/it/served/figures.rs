//! How quick it is on a real forge: told, never judged by a test.

use std::sync::Arc;

use prentice::domain::event::Event;
use prentice::domain::ident::{TaskId, Time};
use prentice::store::{Clock, Unwatched};

use super::*;

/// Prints two figures: from the label to a status comment that says "running", and from the end of the last check to
/// the pull request. `tests/run --bench` shows them.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_it_takes_from_the_label_and_to_the_pull_request_is_told() {
    // Longer than it takes to show that it runs; the check is long enough to be seen.
    let keys = Keys {
        repository: "[task]\nmax_open = 10",
        agent: "cat > /dev/null; sleep 2; echo 42 > answer.txt",
        ..Keys::default()
    };
    let name = "how_long_it_takes";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let rounds = match std::env::var_os("PRENTICE_TEST_BENCH") {
        Some(_) => 5,
        None => 1,
    };
    let (mut running, mut opened) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let issue = world
            .gitea
            .issue(&world.owner, &world.repo, "No answer", ISSUE)
            .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let labelled = Instant::now();
        world
            .gitea
            .label(&world.owner, &world.repo, issue, &["agent"])
            .await;
        while world.stage(issue).await != "running" {
            assert!(labelled.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.push(labelled.elapsed());
        world.is_at(issue, "needs-review").await;
        opened.push(publishing_millis(&world, running.len()).await);
    }
    running.sort();
    opened.sort_unstable();
    let middle = running.len() / 2;
    let word = match rounds {
        1 => "once",
        _ => "median of 5",
    };
    println!(
        "label → running on the forge: {} ms; last check → pull request: {} ms ({word}, real Gitea, deliveries)",
        running[middle].as_millis(),
        opened[middle]
    );
}

/// Milliseconds from the end of the run of a task, which is that of its last check, to its pull request.
async fn publishing_millis(world: &World, task: usize) -> u64 {
    let data = world.folder.path().join("state/prentice");
    let store = prentice::store::open(&data, Arc::new(Never), Arc::new(Unwatched)).await;
    let id = TaskId(i64::try_from(task).unwrap());
    let store = store.unwrap();
    let journal = store.journal(id).await.unwrap();
    store.close().await;
    let at = |is: fn(&Event) -> bool| {
        let found = journal
            .iter()
            .rev()
            .find(|line| line.event.as_ref().is_some_and(is));
        found.unwrap().at
    };
    let ended = at(|event| matches!(event, Event::RunEnded { .. }));
    at(|event| matches!(event, Event::Published { .. })).millis_since(ended)
}

/// Nothing here asks what time it is.
struct Never;

impl Clock for Never {
    fn now(&self) -> Time {
        Time(0)
    }
}
