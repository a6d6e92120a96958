//! The referee on pull requests of people.

use super::*;

/// Whether the one comment of the referee says this about this commit.
async fn says(world: &World, pull: i64, word: &str, sha: &str) -> bool {
    let comments = world.by_bot(pull, "note=verify").await;
    assert!(comments.len() <= 1, "{comments:?}");
    let start = format!("**Referee: {word}** · commit `{}`", &sha[..7]);
    comments.iter().any(|comment| comment.contains(&start))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_is_right_and_told_again_in_the_same_comment() {
    let Some(world) = World::new("each_verdict_is_right", Hears::Hooks).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    gitea.file(owner, repo, "fix", "answer.txt", "42\n").await;
    gitea.file(owner, repo, "break", "answer.txt", "41\n").await;
    world
        .change(owner, "weaken", "test.sh", "#!/bin/sh\nexit 0\n")
        .await;
    for (branch, word, verify, scope) in [
        ("fix", "verified", "success", "success"),
        ("break", "not verified", "failure", "success"),
        ("weaken", "verified, with questions", "success", "skipped"),
    ] {
        let pull = gitea.pull(owner, repo, branch, branch).await;
        let comment = gitea.comment(owner, repo, pull, "/agent verify").await;
        let sha = world.head(pull).await;
        let what = format!("{branch} is {word}");
        world
            .until(&what, 60, async || says(&world, pull, word, &sha).await)
            .await;
        world.reacts(comment, "+1").await;
        world
            .until("the statuses are there", 20, async || {
                world.status(&sha, "prentice / verify").await == verify
                    && world.status(&sha, "prentice / scope").await == scope
            })
            .await;
        if branch == "break" {
            // Put right and asked again: told in the same comment.
            world.change(owner, "break", "answer.txt", "42\n").await;
            let sha = world.head(pull).await;
            gitea.comment(owner, repo, pull, "/agent verify").await;
            world
                .until("it is told again", 60, async || {
                    says(&world, pull, "verified", &sha).await
                })
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_s_fork_is_judged_by_our_rules_and_the_stranger_cannot_ask() {
    let Some(world) = World::new("a_stranger_s_fork", Hears::Hooks).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let eve = gitea.user("eve").await;
    let forks = format!("repos/{}/forks", repo.name);
    gitea
        .does(&eve.token, Method::POST, &forks, json!({}))
        .await;
    let fork = format!("{}/thing", eve.login);
    let put = async |path: &str, text: &str| {
        let url = format!("repos/{fork}/contents/{path}");
        let old = gitea.get(&url).await;
        let body = json!({
            "content": crate::gitea::base64_text(text.as_bytes()), "message": path, "sha": old["sha"], "branch": "main",
        });
        gitea.does(&eve.token, Method::PUT, &url, body).await;
    };
    // Rules of the pull request itself are not what judges it.
    put(
        ".gitea/prentice.toml",
        "version = 1\n[[verify]]\nname = \"tests\"\nrun = \"true\"\n",
    )
    .await;
    let from = format!("{}:main", eve.login);
    let pull = gitea.pull(&eve, repo, &from, "from a fork").await;
    let asked = gitea.comment(&eve, repo, pull, "/agent verify").await;
    world.reacts(asked, "-1").await;
    assert_eq!(
        world.by_bot(pull, "").await,
        [""; 0],
        "no word to a stranger"
    );
    gitea.comment(owner, repo, pull, "/agent verify").await;
    let sha = world.head(pull).await;
    world
        .until("it is judged", 60, async || {
            says(&world, pull, "not verified", &sha).await
        })
        .await;
    let comment = world.by_bot(pull, "note=verify").await.remove(0);
    assert!(comment.contains("`sh test.sh`"), "{comment}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_push_is_judged_unasked_where_the_repository_wants_that() {
    let keys = Keys {
        repository: "[trigger]\nverify = \"all\"\nverify_per_hour = 2",
        server: "[policy]\nverify_max = \"all\"",
        ..Keys::default()
    };
    let name = "each_push_is_judged_unasked";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    gitea.file(owner, repo, "break", "answer.txt", "41\n").await;
    let pull = gitea.pull(owner, repo, "break", "break").await;
    let judged = async |word: &'static str| {
        let sha = world.head(pull).await;
        let what = format!("{sha} is {word}");
        world
            .until(&what, 60, async || says(&world, pull, word, &sha).await)
            .await;
    };
    judged("not verified").await;
    let told = world.by_bot(pull, "note=verify").await.remove(0);
    assert!(
        told.contains("unasked, as this repository wants (`[trigger] verify`)"),
        "{told}"
    );
    world.change(owner, "break", "answer.txt", "42\n").await;
    judged("verified").await;
    // More than may be: it is said when, and asking does not wait.
    world.change(owner, "break", "answer.txt", "43\n").await;
    judged("in line").await;
    let told = world.by_bot(pull, "note=verify").await.remove(0);
    assert!(
        told.contains("2 in an hour run unasked (`[trigger] verify_per_hour`)"),
        "{told}"
    );
    gitea.comment(owner, repo, pull, "/agent verify").await;
    judged("not verified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_on_a_pull_request_has_it_judged_where_one_with_write_put_it_and_starts_no_task() {
    let keys = Keys {
        repository: "[trigger]\nverify = \"label\"",
        ..Keys::default()
    };
    let name = "a_label_on_a_pull_request";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let lee = gitea.user("lee").await;
    gitea.collaborator(repo, &lee, "read").await;
    gitea.file(owner, repo, "fix", "answer.txt", "42\n").await;
    gitea.file(owner, repo, "other", "answer.txt", "42\n").await;
    let unlabelled = gitea.pull(owner, repo, "other", "other").await;
    let pull = gitea.pull(owner, repo, "fix", "fix").await;
    gitea.label(owner, repo, pull, &["agent"]).await;
    let sha = world.head(pull).await;
    world
        .until("it is judged", 60, async || {
            says(&world, pull, "verified", &sha).await
        })
        .await;
    assert_eq!(world.by_bot(pull, "task=").await, [""; 0]);
    assert_eq!(world.by_bot(unlabelled, "").await, [""; 0]);
    assert_eq!(world.prentice(&["tasks", "list"]).matches("T-").count(), 0);
}
