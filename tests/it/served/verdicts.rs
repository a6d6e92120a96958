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

/// State and line of a status of ours.
async fn told(world: &World, sha: &str, context: &str) -> (String, String) {
    let all = world.at(&format!("commits/{sha}/status")).await;
    let all = all["statuses"].as_array().cloned().unwrap_or_default();
    let of = all.into_iter().find(|one| one["context"] == context);
    let word = |name: &str| {
        let word = of.as_ref().and_then(|of| of[name].as_str());
        word.unwrap_or_default().to_owned()
    };
    (word("status"), word("description"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_breaks_the_repository_file_is_told_before_it_is_merged() {
    let Some(world) = World::new("a_pull_request_that_breaks_the_file", Hears::Hooks).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let file = ".gitea/prentice.toml";
    let judged = async |branch: &str, pull: i64, word: &str| -> String {
        gitea.comment(owner, repo, pull, "/agent verify").await;
        let sha = world.head(pull).await;
        let what = format!("{branch} is {word}");
        world
            .until(&what, 60, async || {
                says(&world, pull, word, &sha).await
                    && !["", "pending"]
                        .contains(&world.status(&sha, "prentice / verify").await.as_str())
            })
            .await;
        sha
    };
    let broken = format!("{FILE}[task]\ntime_out = \"2h\"\n");
    world.change(owner, "rules", file, &broken).await;
    let pull = gitea.pull(owner, repo, "rules", "rules").await;
    let sha = judged("rules", pull, "not verified").await;
    let (state, line) = told(&world, &sha, "prentice / config").await;
    assert_eq!(
        (state.as_str(), line.as_str()),
        (
            "failure",
            ".gitea/prentice.toml:8:1: unknown key `time_out` in [task]: did you mean `timeout`?"
        )
    );
    let comment = world.by_bot(pull, "note=verify").await.remove(0);
    assert!(
        comment.contains("**It breaks the repository file**"),
        "{comment}"
    );
    assert!(
        comment.contains("- `.gitea/prentice.toml:8:1`: unknown key `time_out`"),
        "{comment}"
    );

    // Mended, and told again.
    let mended = format!("{FILE}[task]\ntimeout = \"2h\"\n");
    world.change(owner, "rules", file, &mended).await;
    let sha = judged("rules", pull, "not verified").await;
    let (state, line) = told(&world, &sha, "prentice / config").await;
    assert_eq!(
        (state.as_str(), line.as_str()),
        (
            "success",
            ".gitea/prentice.toml is valid; it governs nothing until it is on the default branch"
        )
    );

    // One that leaves it alone has no such status.
    gitea.file(owner, repo, "fix", "answer.txt", "42\n").await;
    let other = gitea.pull(owner, repo, "fix", "fix").await;
    let sha = judged("fix", other, "verified").await;
    assert_eq!(world.status(&sha, "prentice / config").await, "");

    // Where the file of the default branch is broken nothing can run; the one that mends it is told all the same.
    world.change(owner, "main", file, &broken).await;
    world.change(owner, "mend", file, FILE).await;
    let mend = gitea.pull(owner, repo, "mend", "mend").await;
    gitea.comment(owner, repo, mend, "/agent verify").await;
    let sha = world.head(mend).await;
    world
        .until("the one that mends is told", 60, async || {
            says(&world, mend, "not judged", &sha).await
                && told(&world, &sha, "prentice / config").await.0 == "success"
        })
        .await;
}

/// Pushes that the forge tells of a pull request.
async fn pushes(world: &World, pull: i64) -> usize {
    let entries = world.at(&format!("issues/{pull}/timeline")).await;
    let entries = entries.as_array().cloned().unwrap_or_default();
    let is_push = |one: &&Value| one["type"] == "pull_push";
    entries.iter().filter(is_push).count()
}

/// Waits until the forge tells so many.
async fn tells(world: &World, pull: i64, count: usize) {
    world
        .until("the push is told", 20, async || {
            pushes(world, pull).await == count
        })
        .await;
}

/// A push from now on is told too long after what was asked to be taken for an earlier one.
async fn later() {
    tokio::time::sleep(Duration::from_secs(7)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_judged_is_the_head_as_it_was_when_the_comment_was_made() {
    let name = "what_is_judged_is_the_head";
    let Some(mut world) = World::new(name, Hears::Hooks).await else {
        return;
    };
    let (repo, owner) = (world.repo.clone(), world.owner.clone());
    world
        .gitea
        .file(&owner, &repo, "fix", "answer.txt", "41\n")
        .await;
    let pull = world.gitea.pull(&owner, &repo, "fix", "fix").await;
    let asked = world.head(pull).await;
    tells(&world, pull, 1).await;

    // Asked and pushed to while nobody heard it.
    world.kill();
    let comment = world
        .gitea
        .comment(&owner, &repo, pull, "/agent verify")
        .await;
    later().await;
    world.change(&owner, "fix", "answer.txt", "42\n").await;
    tells(&world, pull, 2).await;
    let newest = world.head(pull).await;
    world.serve(AGENT).await;
    world
        .until("what was asked about is judged", 60, async || {
            says(&world, pull, "not verified", &asked).await
        })
        .await;
    world.reacts(comment, "+1").await;
    let told = world.by_bot(pull, "note=verify").await.remove(0);
    let newer = format!(
        "Newer commits came since; the head is `{}` now. `/agent verify` judges that one.",
        &newest[..7]
    );
    assert!(told.contains(&newer), "{told}");
    world
        .until("the statuses are there", 20, async || {
            world.status(&asked, "prentice / verify").await == "failure"
        })
        .await;
    assert_eq!(world.status(&newest, "prentice / verify").await, "");
    world
        .gitea
        .comment(&owner, &repo, pull, "/agent verify")
        .await;
    world
        .until("the newest one is judged", 60, async || {
            says(&world, pull, "verified", &newest).await
        })
        .await;
    let told = world.by_bot(pull, "note=verify").await.remove(0);
    assert!(!told.contains("Newer commits"), "{told}");

    // Pushed over: what was asked about is gone, and nothing else was asked.
    world.kill();
    let comment = world
        .gitea
        .comment(&owner, &repo, pull, "/agent verify")
        .await;
    later().await;
    let refs = crate::gitea::GitRefs::new(&world.gitea, &repo, &owner);
    refs.force("fix", &refs.commit("answer.txt", "43\n"));
    world
        .until("the push is told", 20, async || {
            let entries = world.at(&format!("issues/{pull}/timeline")).await;
            entries.to_string().contains(r#"\"is_force_push\":true"#)
        })
        .await;
    world.serve(AGENT).await;
    world.reacts(comment, "confused").await;
    let note = format!("note=comment-{comment}");
    let replies = world.by_bot(pull, &note).await;
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert!(
        replies[0].contains(
            "Something was pushed after you asked, and the commit that you asked about is gone: nothing was judged. \
             `/agent verify` asks about the newest one."
        ),
        "{replies:?}"
    );
    let over = world.head(pull).await;
    assert_ne!(over, newest);
    assert_eq!(world.status(&over, "prentice / verify").await, "");
    world
        .gitea
        .comment(&owner, &repo, pull, "/agent verify")
        .await;
    world
        .until("it is judged when asked again", 60, async || {
            says(&world, pull, "not verified", &over).await
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_does_not_take_a_question_from_whoever_asked_and_is_judged_behind_it() {
    for per_hour in [1, 5] {
        let keys = Keys {
            repository: match per_hour {
                1 => "[trigger]\nverify = \"all\"\nverify_per_hour = 1",
                _ => "[trigger]\nverify = \"all\"\nverify_per_hour = 5",
            },
            server: "[policy]\nverify_max = \"all\"",
            ..Keys::default()
        };
        let name = "a_push_does_not_take_a_question";
        let Some(mut world) = World::with(name, Hears::Hooks, keys).await else {
            return;
        };
        let (repo, owner) = (world.repo.clone(), world.owner.clone());
        world
            .gitea
            .file(&owner, &repo, "fix", "answer.txt", "41\n")
            .await;
        let pull = world.gitea.pull(&owner, &repo, "fix", "fix").await;
        let asked = world.head(pull).await;
        world
            .until("it is judged unasked", 60, async || {
                says(&world, pull, "not verified", &asked).await
            })
            .await;
        tells(&world, pull, 1).await;
        world.kill();
        world
            .gitea
            .comment(&owner, &repo, pull, "/agent verify")
            .await;
        later().await;
        world.change(&owner, "fix", "answer.txt", "42\n").await;
        tells(&world, pull, 2).await;
        let newest = world.head(pull).await;
        world.serve(AGENT).await;
        if per_hour == 1 {
            // The newest one waits for its hour, so that what is told stays.
            world
                .until("whoever asked is told", 60, async || {
                    let told = world.by_bot(pull, "note=verify").await;
                    let by = format!("asked for by {}", owner.login);
                    told[0].contains(&by) && says(&world, pull, "not verified", &asked).await
                })
                .await;
        } else {
            world
                .until("the newest one is judged behind it", 60, async || {
                    says(&world, pull, "verified", &newest).await
                })
                .await;
            let told = world.by_bot(pull, "note=verify").await.remove(0);
            assert!(
                told.contains("· unasked, as this repository wants"),
                "{told}"
            );
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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_an_agent_judges_and_says_of_tasks_that_it_starts_none() {
    let keys = Keys {
        agent: "",
        ..Keys::default()
    };
    let name = "a_server_without_an_agent";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    gitea.file(owner, repo, "fix", "answer.txt", "42\n").await;
    let pull = gitea.pull(owner, repo, "fix", "fix").await;
    gitea.comment(owner, repo, pull, "/agent verify").await;
    let sha = world.head(pull).await;
    world
        .until("it is judged", 60, async || {
            says(&world, pull, "verified", &sha).await
        })
        .await;
    let issue = world.labelled().await;
    let notes = async || world.by_bot(issue, "note=").await;
    world
        .until("it is told", 30, async || !notes().await.is_empty())
        .await;
    world.has_looked(issue).await;
    let told = notes().await;
    assert_eq!(told.len(), 1, "once");
    let words = "Nothing was started: this server has no agent; it only verifies pull requests";
    assert!(told[0].contains(words), "{told:?}");
    // Asked in words it says the same, and what can be asked is named without it.
    let run = gitea.comment(owner, repo, issue, "/agent run").await;
    world.reacts(run, "confused").await;
    let told = world.by_bot(issue, &format!("comment-{run}")).await;
    assert!(told[0].contains(words), "{told:?}");
    let help = gitea.comment(owner, repo, issue, "/agent help").await;
    world.reacts(help, "+1").await;
    let told = world.by_bot(issue, &format!("comment-{help}")).await;
    insta::assert_snapshot!(told[0].lines().skip(1).collect::<Vec<_>>().join("\n"), @"
    Valid here now:
    - `/agent help [verb]`: lists what you can do here now
    - `/agent status`: shows the state as it is now
    ");
    let wrong = gitea.comment(owner, repo, issue, "/agent do it").await;
    world.reacts(wrong, "confused").await;
    let told = world.by_bot(issue, &format!("comment-{wrong}")).await;
    assert!(told[0].contains("help, status"), "{told:?}");
    assert!(!told[0].contains("run"), "{told:?}");
    assert_eq!(world.tasks_of(issue), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_nobody_asked_about_only_programs_pull_requests_are_judged_where_that_is_wanted() {
    let keys = Keys {
        server: "[policy]\nverify_max = \"all\"",
        ..Keys::default()
    };
    let name = "of_those_nobody_asked_about";
    let Some(mut world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let (robot, lee) = (
        world.person("robot", "write").await,
        world.person("lee", "write").await,
    );
    let rules = format!(
        "{FILE}[trigger]\nverify = \"agents\"\nignore_users = [\"{}\"]\n",
        robot.login
    );
    world.kill();
    let path = ".gitea/prentice.toml";
    world.change(&world.owner, "main", path, &rules).await;
    world.serve(AGENT).await;
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let opened = async |by: &User, branch: &str| {
        gitea.file(by, repo, branch, "answer.txt", "42\n").await;
        let pull = gitea.pull(by, repo, branch, branch).await;
        (pull, world.head(pull).await)
    };
    let (theirs, _) = opened(&lee, "theirs").await;
    let (bump, bumped) = opened(&robot, "bump").await;
    let (marked, head) = opened(&lee, "marked").await;
    world
        .until("the program's is judged", 60, async || {
            says(&world, bump, "verified", &bumped).await
        })
        .await;
    world.has_looked(theirs).await;
    world.has_looked(marked).await;
    assert_eq!(world.by_bot(marked, "").await, [""; 0]);
    gitea.label(owner, repo, marked, &["agent"]).await;
    world
        .until("the labelled one is judged", 60, async || {
            says(&world, marked, "verified", &head).await
        })
        .await;
    assert_eq!(world.by_bot(theirs, "").await, [""; 0]);
}
