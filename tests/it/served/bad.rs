//! What people and forges do that they should not: nothing breaks, and whoever can mend it is told how.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_for_another_repository_changes_nothing_and_a_deleted_or_locked_issue_breaks_nothing()
 {
    let name = "a_delivery_for_another_repository";
    let Some(world) = World::new(name, Hears::ByHand).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A repository that the server file does not name, where our account may even write.
    let other = gitea.repo(owner, "other", false).await;
    gitea.collaborator(&other, &world.bot, "write").await;
    gitea.define_label(&other, "agent").await;
    let there = gitea.issue(owner, &other, "No answer", ISSUE).await;
    gitea.label(owner, &other, there, &["agent"]).await;
    let issue = gitea
        .get(&format!("repos/{}/issues/{there}", other.name))
        .await;
    let told = json!({
        "action": "label_updated", "issue": issue, "sender": { "login": owner.login },
        "repository": { "id": other.id, "full_name": other.name },
    });
    world.deliver("issue_label", &told).await;
    // Deleted between label and reading.
    let deleted = world.labelled().await;
    let told = world.told("label_updated", deleted, owner).await;
    let path = format!("repos/{}/issues/{deleted}", repo.name);
    gitea
        .does(&owner.token, Method::DELETE, &path, Value::Null)
        .await;
    world.deliver("issue_label", &told).await;
    // Locked, and edited by its author, who may start: it runs as it is read.
    let locked = world.labelled().await;
    let old = world.told("label_updated", locked, owner).await;
    let path = format!("repos/{}/issues/{locked}/lock", repo.name);
    let why = json!({ "lock_reason": "Too heated" });
    gitea.does(&owner.token, Method::PUT, &path, why).await;
    gitea
        .edit(owner, repo, locked, json!({ "title": "Still none" }))
        .await;
    world.deliver("issue_label", &old).await;
    world.is_at(locked, "needs-review").await;
    assert_eq!(
        world.pulls().await[0]["head"]["ref"],
        format!("agent/{locked}-still-none")
    );
    let comments = gitea.comments(&other, there).await;
    assert_eq!(comments.len(), 0);
    assert!(!world.said().contains("came to no end"), "{}", world.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_mistakes_is_told_once_with_line_and_column_and_a_missing_one_as_missing() {
    let name = "a_file_with_mistakes";
    let text = "version = 1\n[[verify]]\nname = \"tests\"\nrunn = \"sh test.sh\"\n";
    let Some(world) = World::governed(name, Hears::Hooks, text, AGENT).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let issue = world.labelled().await;
    let notes = async |issue: i64| world.by_bot(issue, "note=").await;
    world
        .until("it is told", 30, async || !notes(issue).await.is_empty())
        .await;
    world.has_looked(issue).await;
    let told = notes(issue).await;
    assert_eq!(told.len(), 1, "once");
    for words in [
        "Nothing was started: the repository file has mistakes.",
        ".gitea/prentice.toml:4:1",
        "did you mean `run`?",
    ] {
        assert!(told[0].contains(words), "{words}\n{}", told[0]);
    }
    // Without any file, nothing says how to verify.
    for file in [".gitea/prentice.toml", "test.sh"] {
        let path = format!("repos/{}/contents/{file}", repo.name);
        let old = world.at(&format!("contents/{file}")).await;
        let gone = json!({ "sha": old["sha"], "message": "no file" });
        gitea.does(&owner.token, Method::DELETE, &path, gone).await;
    }
    let issue = world.labelled().await;
    world
        .until("it is told", 30, async || !notes(issue).await.is_empty())
        .await;
    let told = notes(issue).await.remove(0);
    assert!(told.contains("Add a `[[verify]]`"), "{told}");
    assert_eq!(world.pulls().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_titles_and_texts_become_harmless_branches_and_comments() {
    // It says again what it was told.
    let keys = Keys {
        agent: "brief=$(cat); printf '%s\\n' \"$brief\"; echo 42 > answer.txt",
        ..Keys::default()
    };
    let Some(world) = World::with("hostile_titles_and_texts", Hears::Hooks, keys).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    // She has nothing to do with any of it.
    let third = world.person("lee", "write").await.login;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let path = format!("repos/{}/issues", repo.name);
    let open = async |title: &str, body: &str| {
        let new = json!({ "title": title, "body": body });
        let (status, made) = gitea
            .ask(&owner.token, Method::POST, &path, Some(new))
            .await;
        (status, made["number"].as_i64().unwrap_or(0))
    };
    // A forge that refuses the length is asked for less.
    let mut emoji = open(&"🦀".repeat(1000), ISSUE).await;
    if emoji.0 != 201 {
        emoji = open(&"🦀".repeat(255), ISSUE).await;
    }
    let title = "../../refs/heads/main ~^:?*[\\ .lock @{u} -- $(id) `id` <!-- x -->\u{202e}";
    let branchy = open(title, ISSUE).await;
    let criteria = format!(
        "\n\n## Acceptance criteria\n\n- the answer is 42 (`tests`)\n- @{third} likes it\n"
    );
    let body = format!(
        "@{third}: @{} closes #1, fixes #1. ![x](http://127.0.0.1:1/x.png) <img src=x onerror=alert(1)> <script>1</script>{criteria}",
        owner.login
    );
    let wordy = open(&format!("Text of @{third} for `@{third}`"), &body).await;
    let mut heads = Vec::new();
    for (status, issue) in [emoji, branchy, wordy] {
        assert_eq!(status, 201);
        gitea.label(owner, repo, issue, &["agent"]).await;
        world.is_at(issue, "needs-review").await;
        let pulls = world.pulls().await;
        let of_it = pulls.iter().find(|pull| {
            let head = pull["head"]["ref"].as_str().unwrap();
            head == format!("agent/{issue}") || head.starts_with(&format!("agent/{issue}-"))
        });
        let pull = of_it.unwrap_or_else(|| panic!("{pulls:?}"));
        let head = pull["head"]["ref"].as_str().unwrap();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-/".contains(c);
        assert!(head.chars().all(is_plain), "{head}");
        heads.push(head.to_owned());
        let shown = format!(
            "{}\n{}",
            world.status_text(issue).await,
            pull["body"].as_str().unwrap()
        );
        // What closes an issue is its own reference alone.
        let closing = shown
            .to_lowercase()
            .replace(&format!("closes #{issue}"), "");
        // What stands in code does nothing.
        let outside: Vec<&str> = closing.split('`').step_by(2).collect();
        let closing = outside.join(" ");
        for word in ["closes #", "fixes #", "<img", "<script", "![x]("] {
            assert!(!closing.contains(word), "{word}\n{shown}");
        }
        // Nor does anybody hear of it who is named there.
        let mut all = vec![pull["title"].as_str().unwrap().to_owned()];
        all.push(pull["body"].as_str().unwrap().to_owned());
        let sha = pull["head"]["sha"].as_str().unwrap();
        let commit = world.at(&format!("git/commits/{sha}")).await;
        all.push(commit["commit"]["message"].as_str().unwrap().to_owned());
        for on in [issue, pull["number"].as_i64().unwrap()] {
            let comments = gitea.comments(repo, on).await;
            let ours = comments
                .iter()
                .filter(|one| one["user"]["login"] == world.bot.login.as_str());
            all.extend(ours.map(|one| one["body"].as_str().unwrap().to_owned()));
        }
        let mention = format!("@{third}");
        for text in &all {
            let mut outside = text.split('`').step_by(2);
            assert!(!outside.any(|part| part.contains(&mention)), "{text}");
        }
        let is_told = all.iter().any(|text| text.contains(&third));
        assert_eq!(is_told, issue == wordy.1, "{all:?}");
    }
    let different: std::collections::BTreeSet<&String> = heads.iter().collect();
    assert_eq!(different.len(), 3, "{heads:?}");
    // Too long is told, never cut.
    let (status, long) = open("Long", &"x".repeat(70_000)).await;
    assert_eq!(status, 201);
    gitea.label(owner, repo, long, &["agent"]).await;
    world
        .until("it is told", 30, async || {
            let told = world.by_bot(long, "note=").await;
            told.iter()
                .any(|one| one.contains("more than the 60000 of `context.max_chars`"))
        })
        .await;
    assert_eq!(world.stage(long).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_taken_back_or_too_weak_is_named_with_what_to_renew() {
    let Some(mut world) = World::new("a_token_that_is_taken_back", Hears::Hooks).await else {
        return;
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let url = format!(
        "{}/api/v1/users/{}/tokens",
        world.gitea.url(),
        world.bot.login
    );
    let http = reqwest::Client::new();
    let (login, password) = (world.bot.login.clone(), world.bot.password.clone());
    let all = http
        .get(&url)
        .basic_auth(&login, Some(&password))
        .send()
        .await
        .unwrap();
    let all: Value = all.json().await.unwrap();
    for token in all.as_array().unwrap() {
        let gone = http
            .delete(format!("{url}/{}", token["id"]))
            .basic_auth(&login, Some(&password));
        assert_eq!(gone.send().await.unwrap().status(), 204);
    }
    let issue = world.labelled().await;
    world
        .until("it is told", 30, async || {
            world
                .said()
                .contains("the forge does not accept the credential")
        })
        .await;
    assert!(world.said().contains("renew it"), "{}", world.said());
    // One that may only read: the task is there, and says what the token lacks.
    world.kill();
    world.scopes = &["read:issue", "read:repository", "read:user"];
    world.serve(AGENT).await;
    world
        .until("it is told", 60, async || {
            let said = world.prentice(&["tasks", "show", "T-1"]);
            said.contains("Class: forge. Not permitted: ") && said.contains("grant it in ")
        })
        .await;
    let scopes = "a token with write:issue, write:repository and read:user";
    world
        .until("the log names the scopes", 60, async || {
            world.said().contains(scopes)
        })
        .await;
    // With the right one it goes on from there.
    world.kill();
    world.scopes = crate::gitea::LEAST;
    world.serve(AGENT).await;
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let retry = gitea.comment(owner, repo, issue, "/agent retry").await;
    world.reacts(retry, "+1").await;
    world.is_at(issue, "needs-review").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_s_flood_of_labelled_issues_shows_five_and_the_rest_is_only_in_tasks_list() {
    let Some(mut world) = World::new("a_stranger_s_flood", Hears::Hooks).await else {
        return;
    };
    let eve = world.person("eve", "write").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.kill();
    let many = match std::env::var_os("PRENTICE_TEST_LONG") {
        Some(_) => 1000,
        None => 40,
    };
    let labels = world.at("labels").await;
    let path = format!("repos/{}/issues", world.repo.name);
    let new = json!({ "title": "Do it", "body": "Please.", "labels": [labels[0]["id"]] });
    let mut issues = Vec::new();
    for _ in 0..many {
        let made = world
            .gitea
            .does(&eve.token, Method::POST, &path, new.clone())
            .await;
        issues.push(made["number"].as_i64().unwrap());
    }
    // As a template puts the label there for somebody who may not.
    world.gitea.collaborator(&world.repo, &eve, "read").await;
    world.serve(AGENT).await;
    let list = || -> Value {
        let said = world.prentice(&["--json", "tasks", "list"]);
        serde_json::from_str(&said).unwrap()
    };
    world
        .until("all are proposed", 300, async || {
            list()["tasks"].as_array().map_or(0, Vec::len) == many
        })
        .await;
    let all = list();
    let stages = all["tasks"].as_array().unwrap();
    assert!(stages.iter().all(|one| one["stage"] == "proposed"));
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let shown = async || {
        let mut shown = Vec::new();
        for issue in &issues {
            let comments = world.by_bot(*issue, "").await;
            let labels = gitea.labels(repo, *issue).await;
            match (comments.len(), labels.as_slice()) {
                (0, [one]) if one == "agent" => {}
                (1, _) => shown.push(*issue),
                other => panic!("{issue}: {other:?}"),
            }
        }
        shown
    };
    world
        .until("five are shown", 30, async || shown().await.len() == 5)
        .await;
    // All of them were looked at, and nothing is still to be shown.
    world
        .until("all were looked at", 60, async || {
            let listed = world.prentice(&["tasks", "list", "--json"]);
            let listed: Value = serde_json::from_str(&listed).unwrap();
            listed["tasks"].as_array().unwrap().len() == issues.len()
        })
        .await;
    world.is_settled().await;
    let shown = shown().await;
    assert_eq!(shown.len(), 5);
    // One that is not shown is there for whoever may accept it.
    let hidden = *issues.iter().find(|one| !shown.contains(one)).unwrap();
    gitea.unlabel(owner, repo, hidden, "agent").await;
    let run = gitea.comment(owner, repo, hidden, "/agent run").await;
    world.reacts(run, "+1").await;
    world.is_at(hidden, "needs-info").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_causes_no_write_but_one_reaction_to_a_comment_and_one_reply_in_a_while() {
    let Some(world) = World::new("a_stranger_causes_no_write", Hears::Hooks).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let eve = gitea.user("eve").await;
    let (issue, pull) = world.in_review().await;
    let plain = gitea.issue(owner, repo, "Plain", "Nothing yet.").await;
    let before = world.status_text(issue).await;
    let mut comments = Vec::new();
    for on in [issue, pull, plain] {
        for text in [
            "/agent help",
            "/agent status",
            "/agent run",
            "/agent approve",
            "/agent reject",
            "/agent stop",
            "/agent retry",
            "/agent fix everything",
            "/agent verify",
            "/agent aprove",
        ] {
            comments.push(gitea.comment(&eve, repo, on, text).await);
        }
    }
    gitea
        .review(&eve, repo, pull, "REQUEST_CHANGES", "/agent stop", &[])
        .await;
    let last = gitea.comment(owner, repo, plain, "/agent help").await;
    world.reacts(last, "+1").await;
    // One to each of the first, and after that none.
    let reactions = async || {
        let mut all = Vec::new();
        for comment in &comments {
            all.push(world.reaction(*comment).await);
        }
        all.retain(|word| !word.is_empty());
        all
    };
    world
        .until("the first are reacted to", 30, async || {
            reactions().await.len() >= 5
        })
        .await;
    for on in [issue, pull, plain] {
        world.has_looked(on).await;
    }
    let all = reactions().await;
    assert_eq!(all.len(), 5, "{all:?}");
    for word in all {
        assert!(!word.contains(',') && word != "eyes", "{word}");
    }
    let mut words = 0;
    for on in [issue, pull, plain] {
        let all = world.by_bot(on, "note=").await;
        words += all.len();
    }
    assert_eq!(words, 2, "one reply to the stranger, one to the owner");
    assert_eq!(world.status_text(issue).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_blocks_our_account_keeps_nobody_from_stopping_a_task_on_his_issue() {
    let name = "whoever_blocks_our_account";
    let Some(world) = World::governed(name, Hears::Hooks, FILE, SLOW).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let eve = gitea.user("eve").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let issue = gitea.issue(&eve, repo, "No answer", ISSUE).await;
    gitea.label(owner, repo, issue, &["agent"]).await;
    world.is_at(issue, "running").await;
    let blocks = format!("user/blocks/{}", world.bot.login);
    gitea
        .does(&eve.token, Method::PUT, &blocks, Value::Null)
        .await;
    let stop = gitea.comment(owner, repo, issue, "/agent stop").await;
    let stage = || -> Value {
        let said = world.prentice(&["--json", "tasks", "list"]);
        let list: Value = serde_json::from_str(&said).unwrap();
        list["tasks"][0]["stage"].clone()
    };
    world
        .until("it is stopped", 30, async || stage() == "stopped")
        .await;
    // It could not be acknowledged, as everything in her issue.
    assert_eq!(world.reaction(stop).await, "");
    assert!(!world.said().contains("came to no end"), "{}", world.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_be_swept_keeps_no_other_from_being_heard() {
    let name = "a_repository_that_cannot_be_swept";
    let Some(mut world) = World::new(name, Hears::Polling).await else {
        return;
    };
    world.kill();
    // The first by its id has neither issues nor pull requests, and answers that its list of them is not there.
    let off = json!({ "has_issues": false, "has_pull_requests": false });
    let path = format!("repos/{}", world.repo.name);
    let (gitea, owner) = (&world.gitea, &world.owner);
    gitea.does(&owner.token, Method::PATCH, &path, off).await;
    let other = gitea.repo(owner, "other", false).await;
    gitea.collaborator(&other, &world.bot, "write").await;
    gitea.define_label(&other, "agent").await;
    let test = "#!/bin/sh\n[ \"$(cat answer.txt)\" = 42 ]\n";
    for (path, text) in [("test.sh", test), (".gitea/prentice.toml", FILE)] {
        gitea.file(owner, &other, "main", path, text).await;
    }
    world.repos.push(other.name.clone());
    world.repo = other;
    world.serve(AGENT).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let issue = world.labelled().await;
    world.is_at(issue, "needs-review").await;
    let said = world.said();
    assert!(
        said.contains("what changed in a repository was not read"),
        "{said}"
    );
}
