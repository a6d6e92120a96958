//! Deliveries of forges in the store: the contract of `receive`, `next_hooks` and `settle_hook`.

use super::*;
use prentice::store::{Counts, Hook, HookId, Received, StoredHook};

conformance! { sqlite: super::super::World::sqlite();
    a_hook_is_stored_once_by_its_id_whatever_became_of_it
    a_known_body_under_a_new_id_is_counted_and_not_stored
    the_same_id_and_body_of_another_forge_is_another_hook
    duplicates_within_one_commit_are_told_apart
    hooks_are_read_in_the_order_they_came_and_as_they_came
    large_hooks_are_given_out_a_few_at_a_time_but_always_one
    a_hook_is_settled_once
    hooks_settled_together_are_one_commit_and_what_was_settled_before_stays
    hooks_that_arrive_together_share_commits_and_none_is_lost
    whoever_goes_away_leaves_the_others_served
    settled_hooks_are_forgotten_in_time_and_unread_ones_never
    a_hook_too_large_is_refused
    what_there_is_is_counted
    a_closed_store_refuses_hooks
}

fn hook(delivery: &str, body: &str) -> Hook {
    Hook {
        forge: "main".to_owned(),
        delivery: delivery.to_owned(),
        event: "issues".to_owned(),
        body: body.to_owned().into(),
    }
}

async fn stored(store: &dyn Store, delivery: &str, body: &str) -> HookId {
    match store.receive(hook(delivery, body)).await.unwrap() {
        Received::New(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn unread(store: &dyn Store) -> Vec<StoredHook> {
    store.next_hooks("main", HookId(0), 100_000).await.unwrap()
}

async fn a_hook_is_stored_once_by_its_id_whatever_became_of_it(w: World) {
    let store = w.open().await;
    let id = stored(&*store, "d-1", "{}").await;
    let again = || store.receive(hook("d-1", "{}"));
    assert_eq!(again().await.unwrap(), Received::Duplicate);
    assert_eq!(unread(&*store).await.len(), 1);
    store.settle_hook(id, None).await.unwrap();
    assert_eq!(again().await.unwrap(), Received::Duplicate);
    assert_eq!(unread(&*store).await, []);
    // An id says which delivery it is, also where the body is another.
    let other = store.receive(hook("d-1", "{\"a\":1}")).await.unwrap();
    assert_eq!(other, Received::Duplicate);
    assert_eq!(store.counts().await.unwrap().repeats, 0);
}

async fn a_known_body_under_a_new_id_is_counted_and_not_stored(w: World) {
    let store = w.open().await;
    let id = stored(&*store, "d-1", "{}").await;
    for n in 2..5 {
        // The event is not signed either: it makes no body a new one.
        let replayed = Hook {
            event: format!("event-{n}"),
            ..hook(&format!("d-{n}"), "{}")
        };
        let received = store.receive(replayed).await.unwrap();
        assert_eq!(received, Received::Repeated);
    }
    assert_eq!(unread(&*store).await.len(), 1);
    assert_eq!(store.counts().await.unwrap().repeats, 3);
    store.settle_hook(id, None).await.unwrap();
    let late = store.receive(hook("d-9", "{}")).await.unwrap();
    assert_eq!(late, Received::Repeated);
    assert_eq!(unread(&*store).await, []);
}

async fn the_same_id_and_body_of_another_forge_is_another_hook(w: World) {
    let store = w.open().await;
    stored(&*store, "d-1", "{}").await;
    let other = Hook {
        forge: "other".to_owned(),
        ..hook("d-1", "{}")
    };
    let received = store.receive(other).await.unwrap();
    assert!(matches!(received, Received::New(_)), "{received:?}");
    // Each forge reads its own.
    assert_eq!(unread(&*store).await.len(), 1);
    let others = store.next_hooks("other", HookId(0), 9).await.unwrap();
    assert_eq!(others.len(), 1);
    let after = store.next_hooks("other", others[0].id, 9).await.unwrap();
    assert_eq!(after, []);
}

async fn duplicates_within_one_commit_are_told_apart(w: World) {
    let store = w.open().await;
    // Each of 40 ids three times, and each body once more under another id, all at once.
    let mut sent = tokio::task::JoinSet::new();
    for n in 0..160 {
        let store = Arc::clone(&store);
        let (id, body) = (n % 40, format!("body {}", n % 40));
        let id = if n < 120 { id } else { id + 1000 };
        sent.spawn(async move {
            store
                .receive(hook(&format!("d-{id}"), &body))
                .await
                .unwrap()
        });
    }
    let received = sent.join_all().await;
    let count = |wanted: fn(&Received) -> bool| received.iter().filter(|one| wanted(one)).count();
    assert_eq!(count(|one| matches!(one, Received::New(_))), 40);
    // Which of two ids comes first is open: the other one is a repeat each time.
    let repeats = count(|one| *one == Received::Repeated);
    assert_eq!(count(|one| *one == Received::Duplicate), 120 - repeats);
    assert_eq!(store.counts().await.unwrap().repeats, repeats as u64);
    let ids: std::collections::BTreeSet<HookId> = received
        .iter()
        .filter_map(|one| match one {
            Received::New(id) => Some(*id),
            _ => None,
        })
        .collect();
    let found = unread(&*store).await;
    assert!(ids.iter().eq(found.iter().map(|one| &one.id)));
}

async fn hooks_are_read_in_the_order_they_came_and_as_they_came(w: World) {
    let store = w.open().await;
    let bytes: Vec<u8> = (0..=255).collect();
    for n in 0..5 {
        let mut body = bytes.clone();
        body.push(n);
        let delivery = Hook {
            body: body.into(),
            ..hook(&format!("d-{n}"), "")
        };
        store.receive(delivery).await.unwrap();
        w.clock.pass(1);
    }
    let all = unread(&*store).await;
    let names: Vec<&str> = all.iter().map(|one| one.hook.delivery.as_str()).collect();
    assert_eq!(names, ["d-0", "d-1", "d-2", "d-3", "d-4"]);
    assert_eq!(all[3].hook.body[..256], bytes);
    assert_eq!(all[3].hook.event, "issues");
    assert_eq!(all[3].hook.forge, "main");
    assert_eq!(all[4].at.0 - all[0].at.0, 4000);
    let two = store.next_hooks("main", HookId(0), 2).await.unwrap();
    assert_eq!(two, all[..2]);
    store.settle_hook(all[0].id, None).await.unwrap();
    assert_eq!(
        store.next_hooks("main", HookId(0), 1).await.unwrap(),
        all[1..2]
    );
    assert_eq!(store.next_hooks("main", HookId(0), 0).await.unwrap(), []);
}

async fn large_hooks_are_given_out_a_few_at_a_time_but_always_one(w: World) {
    let store = w.open().await;
    for n in 0..5 {
        let mut body = vec![b' '; if n == 0 { 25 << 20 } else { 8 << 20 }];
        body.push(b'0' + n);
        let large = Hook {
            body: body.into(),
            ..hook(&format!("d-{n}"), "")
        };
        store.receive(large).await.unwrap();
    }
    let mut seen = Vec::new();
    for wanted in [1, 3, 1, 0] {
        let found = unread(&*store).await;
        assert_eq!(found.len(), wanted);
        for one in found {
            store.settle_hook(one.id, None).await.unwrap();
            seen.push(one.hook.delivery);
        }
    }
    assert_eq!(seen, ["d-0", "d-1", "d-2", "d-3", "d-4"]);
}

async fn a_hook_is_settled_once(w: World) {
    let store = w.open().await;
    let id = stored(&*store, "d-1", "{}").await;
    let why = || Some("unknown event".to_owned());
    store.settle_hook(id, why()).await.unwrap();
    for reason in [None, why()] {
        let again = store.settle_hook(id, reason).await;
        assert_eq!(again, Err(CommitError::Decided));
    }
    let none = store.settle_hook(HookId(99), None).await;
    assert_eq!(none, Err(CommitError::Decided));
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.hooks, [("ignored".to_owned(), 1)]);
}

async fn hooks_settled_together_are_one_commit_and_what_was_settled_before_stays(w: World) {
    let store = w.open().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(stored(&*store, &format!("d-{n}"), &format!("{{\"n\":{n}}}")).await);
    }
    store.settle_hook(ids[1], None).await.unwrap();
    let before = store.commits();
    let all = [
        (ids[0], Some("unknown event".to_owned())),
        (ids[1], Some("told later".to_owned())),
        (ids[2], None),
    ];
    store.settle_hooks(all.to_vec()).await.unwrap();
    assert_eq!(store.commits() - before, 1);
    let counts = store.counts().await.unwrap();
    let by_state = [("done", 2), ("ignored", 1), ("new", 1)];
    let by_state = by_state.map(|(state, count)| (state.to_owned(), count));
    assert_eq!(counts.hooks, by_state);
    store.settle_hooks(Vec::new()).await.unwrap();
    assert_eq!(store.commits() - before, 1, "nothing to write");
}

async fn hooks_that_arrive_together_share_commits_and_none_is_lost(w: World) {
    const SENDERS: usize = 64;
    const EACH: usize = 50;
    let store = w.open().await;
    let before = store.commits();
    let mut senders = tokio::task::JoinSet::new();
    let began = Instant::now();
    for sender in 0..SENDERS {
        let store = Arc::clone(&store);
        senders.spawn(async move {
            for n in 0..EACH {
                let name = format!("d-{sender}-{n}");
                stored(&*store, &name, &format!("{{\"n\":\"{name}\"}}")).await;
            }
        });
    }
    senders.join_all().await;
    let (took, commits) = (began.elapsed(), store.commits() - before);
    let sent = SENDERS * EACH;
    say(&format!(
        "hooks: {sent} in {commits} commits and {} ms",
        took.as_millis()
    ));
    assert!(commits as usize * 4 <= sent, "{sent} hooks took {commits}");
    store.close().await;
    let store = w.open().await;
    assert_eq!(unread(&*store).await.len(), sent);
    // One after the other, each has its own: nothing is answered before it is durable.
    let before = store.commits();
    for n in 0..3 {
        stored(&*store, &format!("alone-{n}"), &format!("{n}")).await;
    }
    assert_eq!(store.commits() - before, 3);
}

async fn whoever_goes_away_leaves_the_others_served(w: World) {
    let store = w.open().await;
    for round in 0..50 {
        let going = {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .receive(hook(&format!("g-{round}"), &format!("g{round}")))
                    .await
            })
        };
        tokio::task::yield_now().await;
        going.abort();
        let staying = store.receive(hook(&format!("s-{round}"), &format!("s{round}")));
        let served = tokio::time::timeout(Duration::from_secs(10), staying).await;
        served.expect("it is answered").unwrap();
    }
    let kept = unread(&*store).await;
    let stayed = kept
        .iter()
        .filter(|one| one.hook.delivery.starts_with("s-"));
    assert_eq!(stayed.count(), 50);
}

async fn settled_hooks_are_forgotten_in_time_and_unread_ones_never(w: World) {
    const DAY: i64 = 24 * 60 * 60;
    let store = w.open().await;
    let old = stored(&*store, "old", "1").await;
    stored(&*store, "unread", "2").await;
    store.settle_hook(old, None).await.unwrap();
    w.clock.pass(10 * DAY);
    let young = stored(&*store, "young", "3").await;
    store
        .settle_hook(young, Some("why".to_owned()))
        .await
        .unwrap();
    let never = Time(0);
    store
        .forget(never, never, w.now().minus_secs(5 * DAY as u64))
        .await
        .unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!(
        counts.hooks,
        [("ignored".to_owned(), 1), ("new".to_owned(), 1)]
    );
    // What is forgotten can come again.
    stored(&*store, "old", "1").await;
    assert_eq!(unread(&*store).await.len(), 2);
}

async fn a_hook_too_large_is_refused(w: World) {
    let store = w.open().await;
    let most = Hook {
        body: vec![b'a'; MAX_BODY_BYTES + 1].into(),
        ..hook("d-1", "")
    };
    let refused = store.receive(most).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::TooLarge { .. }),
        "{refused:?}"
    );
    assert_eq!(unread(&*store).await, []);
}

async fn what_there_is_is_counted(w: World) {
    let store = w.open().await;
    assert_eq!(store.counts().await.unwrap(), Counts::default());
    let lock = w.host();
    w.task(&*store, vec![Effect::Run { run: 1 }, Effect::Publish])
        .await;
    let task = w.moved(&*store, TaskId(1), queued(), vec![]).await.task.id;
    must_claim(&*store, &lock).await;
    let id = stored(&*store, "d-1", "{}").await;
    stored(&*store, "d-2", "{2}").await;
    store.settle_hook(id, None).await.unwrap();
    let counts = store.counts().await.unwrap();
    let one = |words: &[&str]| {
        words
            .iter()
            .map(|word| ((*word).to_owned(), 1))
            .collect::<Vec<_>>()
    };
    assert_eq!(counts.hooks, one(&["done", "new"]));
    assert_eq!(counts.tasks, one(&["queued"]));
    let jobs: Vec<String> = counts
        .jobs
        .iter()
        .map(|(kind, state, n)| format!("{kind} {state} {n}"))
        .collect();
    assert_eq!(jobs, ["publish pending 1", "run claimed 1"]);
    w.moved(&*store, task, ended(), vec![]).await;
    assert_eq!(store.counts().await.unwrap().tasks, []);
}

async fn a_closed_store_refuses_hooks(w: World) {
    let store = w.open().await;
    store.close().await;
    for n in 0..3 {
        let refused = store.receive(hook(&format!("d-{n}"), "{}")).await;
        assert_eq!(refused, Err(StoreError::Closed));
    }
}
