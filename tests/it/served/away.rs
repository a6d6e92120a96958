//! Forges that hang, that are away or that do not know us, and what failed once: nothing is lost, nobody else waits.

use super::front::{Fate, Front, behind_a_front};
use super::retention::database;
use super::*;

/// What a sweep asks of a repository.
fn is_sweep(call: &str) -> bool {
    call.contains("/issues?") && call.contains("since=")
}

/// The record of a server that is killed, changed.
async fn changes(world: &World, statement: &'static str) -> u64 {
    let data = world.folder.path().join("state/prentice");
    let mut db = database(&data).await;
    let done = sqlx::query(statement).execute(&mut db).await.unwrap();
    done.rows_affected()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_looked_at_while_a_sweep_waits_for_the_forge() {
    let name = "a_delivery_is_looked_at";
    let Some((mut world, front)) = behind_a_front(name, Hears::Hooks).await else {
        return;
    };
    front.does(|call| match is_sweep(call) {
        true => Fate::Hang,
        false => Fate::Pass,
    });
    world.serve(AGENT).await;
    let issue = world.labelled().await;
    world
        .until("the label is heard", 10, async || {
            !world.stage(issue).await.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_forge_hangs_stops_in_time() {
    let name = "a_server_whose_forge_hangs";
    let Some((mut world, front)) = behind_a_front(name, Hears::Polling).await else {
        return;
    };
    world.serve(AGENT).await;
    front.does(|_| Fate::Hang);
    // A sweep begins meanwhile, and hangs.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let mut child = world.serving.take().unwrap();
    let stop = Command::new("kill").arg(child.id().to_string()).status();
    assert!(stop.unwrap().success());
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("it did not stop\n{}", world.said());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_failed_is_done_after_a_restart_however_far_was_read_meanwhile() {
    let name = "a_look_that_failed";
    let Some((mut world, front)) = behind_a_front(name, Hears::Polling).await else {
        return;
    };
    front.does(|call| match call.contains("/timeline") {
        true => Fate::Is(404),
        false => Fate::Pass,
    });
    world.serve(AGENT).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let issue = world.labelled().await;
    world
        .until("its look fails", 30, async || {
            world.said().contains("a look came to no end")
        })
        .await;
    world.kill();
    assert_eq!(world.tasks_of(issue), [""; 0]);
    // As after hours of failing, with everything else looked at.
    let moved = "update repositories set looked_until = looked_until + 360000000";
    assert_eq!(changes(&world, moved).await, 1);
    front.does(|_| Fate::Pass);
    world.serve(AGENT).await;
    world
        .until("the label is heard", 15, async || {
            !world.stage(issue).await.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_base_branch_is_told_where_it_matters_and_tasks_go_on() {
    let Some(world) = World::new("a_missing_base_branch", Hears::Hooks).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (earlier, pull) = world.in_review().await;
    let text = FILE.replacen(
        '\n',
        "\n[task]\nbase = \"develop\"\n[trigger]\nprefix = \"/bot\"\n",
        1,
    );
    world
        .change(owner, "main", ".gitea/prentice.toml", &text)
        .await;
    let issue = world.labelled().await;
    let notes = async |issue: i64| world.by_bot(issue, "note=").await;
    world
        .until("it is told", 30, async || !notes(issue).await.is_empty())
        .await;
    let told = notes(issue).await.remove(0);
    for words in [".gitea/prentice.toml", "`base`", "`[task]`", "`develop`"] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    // People are heard by the words of that file.
    let help = gitea.comment(owner, repo, issue, "/bot help").await;
    world.reacts(help, "+1").await;
    // What is under way goes on.
    gitea
        .edit(owner, repo, pull, json!({ "state": "closed" }))
        .await;
    world.is_at(earlier, "rejected").await;
    // Mended, and asked again.
    gitea
        .file(owner, repo, "develop", "note.txt", "new\n")
        .await;
    gitea.unlabel(owner, repo, issue, "agent").await;
    gitea.label(owner, repo, issue, &["agent"]).await;
    world.is_at(issue, "needs-review").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_is_not_reached_at_the_start_holds_up_no_other_and_is_served_once_it_is() {
    let keys = Keys {
        server: "[[forge]]\nname = \"dead\"\nkind = \"gitea\"\nbase_url = \"http://127.0.0.1:9\"\nrepos = [\"a/b\"]\npoll = \"10s\"\n",
        ..Keys::default()
    };
    let name = "a_forge_that_is_not_reached";
    let Some(mut world) = World::with(name, Hears::Polling, keys).await else {
        return;
    };
    // The other one answers.
    let issue = world.labelled().await;
    world.is_at(issue, "needs-review").await;
    let ready = async |world: &World| {
        let url = format!("http://127.0.0.1:{}/readyz", world.port);
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, said) = ready(&world).await;
    assert_eq!(
        (status, said.as_str()),
        (200, "ready; not reached: dead; the log says why\n")
    );
    // Neither does, since our token is not known for a while, and a task waits for it.
    world.kill();
    let front = Front::of(&world).await;
    front.does(|_| Fate::Is(401));
    world.front = Some(front.url.clone());
    world.serve(AGENT).await;
    let (status, said) = ready(&world).await;
    assert_eq!(
        (status, said.as_str()),
        (503, "not reached: dead, main; the log says why\n")
    );
    world
        .gitea
        .comment(&world.owner, &world.repo, issue, "/agent reject not now")
        .await;
    front.does(|_| Fate::Pass);
    world.is_at(issue, "rejected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_ends_the_server_each_time_is_given_up_and_told() {
    let name = "a_pull_request_that_ends_the_server";
    let Some(mut world) = World::new(name, Hears::Hooks).await else {
        return;
    };
    let (repo, owner) = (world.repo.clone(), world.owner.clone());
    world
        .gitea
        .file(&owner, &repo, "fix", "answer.txt", "42\n")
        .await;
    let pull = world.gitea.pull(&owner, &repo, "fix", "fix").await;
    world
        .gitea
        .comment(&owner, &repo, pull, "/agent verify")
        .await;
    let says = async |world: &World, word: &str| {
        let told = world.by_bot(pull, "note=verify").await;
        told.iter().any(|one| one.contains(word))
    };
    world
        .until("it is judged", 60, async || {
            says(&world, "Referee: verified").await
        })
        .await;
    world.kill();
    // As if each of three servers had ended while it was judged.
    let killed = "update verdicts set state = 'running', attempts = 3, outcome = null";
    assert_eq!(changes(&world, killed).await, 1);
    world.serve(AGENT).await;
    world
        .until("it is given up", 30, async || {
            says(&world, "the server ended each of the three times").await
        })
        .await;
}
