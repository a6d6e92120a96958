//! Whole roads: by deliveries, by polling, with a server that was away, with one that is killed.

use super::*;

/// A final task carries no label, neither ours nor the one that asked for it.
async fn no_label(world: &World, issue: i64) {
    world
        .until("no label is left", 30, async || {
            world.gitea.labels(&world.repo, issue).await.is_empty()
        })
        .await;
}

async fn approve_and_merge(world: &World, number: i64) {
    world.approved(&world.owner, number).await;
    world.gitea.merge(&world.owner, &world.repo, number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_becomes_a_pull_request_with_evidence_that_a_person_merges() {
    let name = "a_label_becomes_a_pull_request";
    let Some(world) = World::new(name, Hears::Hooks).await else {
        return;
    };
    let issue = world.labelled().await;
    world.is_at(issue, "needs-review").await;
    let pulls = world.pulls().await;
    assert_eq!(pulls.len(), 1);
    let pull = &pulls[0];
    assert_eq!(pull["draft"], true);
    assert_eq!(pull["head"]["ref"], format!("agent/{issue}-no-answer"));
    let body = pull["body"].as_str().unwrap();
    for words in [
        "| `tests` | `sh test.sh` | 1 twice | 0 twice |",
        "red on base, green here, twice",
        &format!("Closes #{issue}"),
    ] {
        assert!(body.contains(words), "{words}\n{body}");
    }
    let asked: Vec<&str> = pull["requested_reviewers"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["login"].as_str())
        .collect();
    assert_eq!(asked, [world.owner.login.as_str()]);
    let sha = pull["head"]["sha"].as_str().unwrap();
    world
        .until("the checks are there", 20, async || {
            world.status(sha, "prentice / verify").await == "success"
                && world.status(sha, "prentice / scope").await == "success"
        })
        .await;
    let labels = world.gitea.labels(&world.repo, issue).await;
    assert_eq!(labels, ["agent", "agent:needs-review"]);
    let number = pull["number"].as_i64().unwrap();
    assert_eq!(world.gitea.labels(&world.repo, number).await, ["agent-pr"]);

    // An approval of the one who asked, who is alone here, marks it as ready.
    let number = pull["number"].as_i64().unwrap();
    let (gitea, owner, repo) = (&world.gitea, &world.owner, &world.repo);
    world.approved(owner, number).await;
    gitea.merge(owner, repo, number).await;
    world.is_at(issue, "merged").await;
    no_label(&world, issue).await;
    assert_eq!(
        world.at(&format!("issues/{issue}")).await["state"],
        "closed"
    );
    assert_eq!(world.by_bot(issue, "").await.len(), 1, "one comment in all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_requests_changes_is_one_round_and_closing_leaves_nothing() {
    let name = "a_review_that_requests_changes_is_one_round";
    let Some(world) = World::new(name, Hears::Hooks).await else {
        return;
    };
    let (gitea, repo) = (&world.gitea, &world.repo);
    let lee = gitea.user("lee").await;
    gitea.collaborator(repo, &lee, "write").await;
    let issue = world.labelled().await;
    world.is_at(issue, "needs-review").await;
    let pull = world.pulls().await.remove(0);
    let (number, first) = (
        pull["number"].as_i64().unwrap(),
        pull["head"]["sha"].clone(),
    );
    let remarks = [("answer.txt", 1, "why 42?")];
    gitea
        .review(&lee, repo, number, "REQUEST_CHANGES", "Say why.", &remarks)
        .await;
    world
        .until("the round is pushed", 60, async || {
            world.at(&format!("pulls/{number}")).await["head"]["sha"] != first
        })
        .await;
    world.is_at(issue, "needs-review").await;
    let commits = world.at(&format!("pulls/{number}/commits")).await;
    assert_eq!(commits.as_array().unwrap().len(), 2, "one push, one commit");
    assert_eq!(world.pulls().await.len(), 1);

    gitea.close(&world.owner, repo, number).await;
    world.is_at(issue, "rejected").await;
    world
        .until("the branch is gone", 30, async || {
            let branches = world.at("branches").await;
            branches.as_array().unwrap().len() == 1
        })
        .await;
    no_label(&world, issue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_the_server_was_away_is_found_by_its_sweep() {
    let name = "what_happened_while_the_server_was_away";
    let Some(mut world) = World::new(name, Hears::Hooks).await else {
        return;
    };
    // Seen once, so that what comes is new.
    world
        .until("the repository was seen", 20, async || {
            let text = reqwest::get(format!("http://127.0.0.1:{}/readyz", world.port)).await;
            text.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.kill();
    let issue = world.labelled().await;
    world.serve(AGENT).await;
    world.is_at(issue, "needs-review").await;
    let number = world.pulls().await[0]["number"].as_i64().unwrap();
    world.approved(&world.owner, number).await;
    world.kill();
    world.gitea.merge(&world.owner, &world.repo, number).await;
    world.serve(AGENT).await;
    world.is_at(issue, "merged").await;
    assert_eq!(world.by_bot(issue, "").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_alone_comes_to_the_same_end() {
    let Some(world) = World::new("polling_alone", Hears::Polling).await else {
        return;
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let issue = world.labelled().await;
    world.is_at(issue, "needs-review").await;
    let number = world.pulls().await[0]["number"].as_i64().unwrap();
    approve_and_merge(&world, number).await;
    world.is_at(issue, "merged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_there_is_one_branch_one_pull_request_and_one_comment() {
    let Some(mut world) = World::new("killed_again_and_again", Hears::Hooks).await else {
        return;
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    let issue = world.labelled().await;
    for millis in [300, 900, 400, 1500, 700] {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        world.kill();
        world.serve(AGENT).await;
    }
    world.is_at(issue, "needs-review").await;
    assert_eq!(world.pulls().await.len(), 1);
    let branches = world.at("branches").await;
    assert_eq!(branches.as_array().unwrap().len(), 2);
    assert_eq!(world.by_bot(issue, "").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_changes_nothing_is_told_and_not_published() {
    let Some(mut world) = World::new("a_round_that_changes_nothing", Hears::Hooks).await else {
        return;
    };
    world.kill();
    world.serve("cat >/dev/null; echo 42 > answer.txt").await;
    let (gitea, repo) = (&world.gitea, &world.repo);
    let lee = gitea.user("lee").await;
    gitea.collaborator(repo, &lee, "write").await;
    let issue = world.labelled().await;
    world.is_at(issue, "needs-review").await;
    let pull = world.pulls().await.remove(0);
    let number = pull["number"].as_i64().unwrap();
    gitea
        .review(&lee, repo, number, "REQUEST_CHANGES", "Say why.", &[])
        .await;
    world.is_at(issue, "failed").await;
    let now = world.at(&format!("pulls/{number}")).await;
    assert_eq!(
        now["head"]["sha"], pull["head"]["sha"],
        "nothing was pushed"
    );
    let status = world.by_bot(issue, "task=").await.remove(0);
    assert!(status.contains("without changing any file"), "{status}");
}
