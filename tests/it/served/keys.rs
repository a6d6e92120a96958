//! What the files of the repository and of the server ask for, as it shows on the forge.

use super::*;

/// Works until somebody lets it go.
const HELD: &str = "cat > /dev/null; while ! [ -e answer.txt ]; do sleep 0.1; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_does_the_whole_work_and_writes_nothing_to_the_forge() {
    let keys = Keys {
        forge: "shadow = true",
        ..Keys::default()
    };
    let name = "a_shadow_does_the_whole_work";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let issue = world.labelled().await;
    let said = world
        .gitea
        .comment(&world.owner, &world.repo, issue, "/agent status")
        .await;
    world
        .until("the task is judged", 60, async || {
            world
                .prentice(&["tasks", "list", "--json"])
                .contains("\"stage\":\"needs-review\"")
        })
        .await;
    let shown = world.prentice(&["tasks", "show", "T-1"]);
    assert!(shown.contains("agent/1-no-answer"), "{shown}");

    // No comment, reaction, label, branch, pull request or status of ours.
    assert_eq!(world.by_bot(issue, "").await, [""; 0]);
    assert_eq!(world.reaction(said).await, "");
    let labels = world.gitea.labels(&world.repo, issue).await;
    assert_eq!(labels, ["agent"]);
    assert_eq!(world.pulls().await.len(), 0);
    let branches = world.at("branches").await;
    assert_eq!(branches.as_array().unwrap().len(), 1, "{branches}");
    let head = branches[0]["commit"]["id"].as_str().unwrap();
    assert_eq!(world.status(head, "prentice / verify").await, "");

    // Who works on the server decides; nothing of that is seen either.
    world.prentice(&["tasks", "reject", "T-1"]);
    world
        .until("the task is over", 30, async || {
            world
                .prentice(&["tasks", "list", "--json"])
                .contains("\"stage\":\"rejected\"")
        })
        .await;
    assert_eq!(world.by_bot(issue, "").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_progress_only_what_waits_for_a_person_is_told() {
    let keys = Keys {
        repository: "[messages]\nprogress = \"off\"",
        agent: HELD,
        ..Keys::default()
    };
    let name = "without_progress_only_what_waits";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let issue = world.labelled().await;
    world
        .until("it runs", 30, async || {
            let labels = world.gitea.labels(&world.repo, issue).await;
            labels.contains(&"agent:running".to_owned())
        })
        .await;
    world.has_looked(issue).await;
    assert_eq!(world.by_bot(issue, "").await, [""; 0]);
    world
        .gitea
        .comment(&world.owner, &world.repo, issue, "/agent stop")
        .await;
    world
        .until("it is stopped", 30, async || {
            let labels = world.gitea.labels(&world.repo, issue).await;
            labels.is_empty()
        })
        .await;
    assert_eq!(
        world.stage(issue).await,
        "",
        "no status of a task that told of nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_as_many_open_pull_requests_as_the_repository_wants_the_next_task_waits_and_says_so() {
    let keys = Keys {
        repository: "[task]\nmax_open = 1",
        ..Keys::default()
    };
    let name = "with_as_many_open_pull_requests";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let first = world.labelled().await;
    world.is_at(first, "needs-review").await;
    let second = world.labelled().await;
    world.is_at(second, "queued").await;
    let words = "In line: 1st of 1. 1 pull request of mine here already awaits a review (limit 1, `[task] max_open`); \
                 review one to free a place.";
    world
        .until("it says why", 30, async || {
            world.by_bot(second, "task=").await[0].contains(words)
        })
        .await;
    assert_eq!(world.pulls().await.len(), 1);
    // Closed, it makes room.
    let pull = world.pulls().await[0]["number"].as_i64().unwrap();
    let close = json!({ "state": "closed" });
    world
        .gitea
        .edit(&world.owner, &world.repo, pull, close)
        .await;
    world.is_at(second, "needs-review").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_signed_where_the_server_wants_it_and_by_our_account() {
    let keys = Keys {
        forge: "signing = \"ssh\"",
        ..Keys::default()
    };
    let name = "commits_are_signed_where_the_server";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let issue = world.labelled().await;
    world.is_at(issue, "needs-review").await;
    let sha = world.pulls().await[0]["head"]["sha"].clone();
    let commit = world
        .at(&format!("git/commits/{}", sha.as_str().unwrap()))
        .await;
    let signature = commit["commit"]["verification"]["signature"]
        .as_str()
        .unwrap();
    assert!(
        signature.starts_with("-----BEGIN SSH SIGNATURE-----\n"),
        "{commit}"
    );
    assert_eq!(commit["commit"]["author"]["name"], world.bot.login.as_str());
    // By its address the forge knows whose it is, and whom to credit.
    assert_eq!(commit["author"]["login"], world.bot.login.as_str());
    let message = commit["commit"]["message"].as_str().unwrap();
    let credit = format!("Co-authored-by: {} <", world.owner.login);
    assert!(message.contains(&credit), "{message}");
    let pull = &world.pulls().await[0]["body"];
    assert!(
        pull.as_str().unwrap().contains("`Co-authored-by`"),
        "{pull}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_but_workflows_changed_the_patch_is_told_and_nothing_is_published() {
    let keys = Keys {
        agent: "brief=$(cat); mkdir -p .gitea/workflows; case $brief in \
                *pipeline*) echo 'on: push' > .gitea/workflows/new.yml ;; *) echo 42 > answer.txt ;; esac",
        ..Keys::default()
    };
    let name = "where_nothing_but_workflows_changed";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let told = async |issue: i64| {
        world.is_at(issue, "failed").await;
        let status = world.status_text(issue).await;
        for words in [
            "Class: scope. The agent changed nothing but workflow files",
            "+++ b/.gitea/workflows/new.yml",
            "+on: push",
            "apply it (`git apply`) with an account that may change workflows",
        ] {
            assert!(status.contains(words), "{words}\n{status}");
        }
    };
    let issue = gitea.issue(owner, repo, "The pipeline", ISSUE).await;
    gitea.label(owner, repo, issue, &["agent"]).await;
    told(issue).await;
    assert_eq!(world.pulls().await.len(), 0);
    // In a round of a pull request too, which stays as it was.
    let (issue, pull) = world.in_review().await;
    let head = world.head(pull).await;
    gitea
        .review(
            owner,
            repo,
            pull,
            "REQUEST_CHANGES",
            "Now the pipeline.",
            &[],
        )
        .await;
    told(issue).await;
    assert_eq!(world.head(pull).await, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_with_secrets_that_our_push_would_run_are_asked_about_once() {
    let name = "workflows_with_secrets";
    let Some(world) = World::new(name, Hears::Hooks).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let workflow =
        "on: [push]\njobs:\n  deploy:\n    steps:\n      - run: deploy ${{ secrets.DEPLOY_KEY }}\n";
    gitea
        .file(owner, repo, "main", ".gitea/workflows/ci.yml", workflow)
        .await;
    let first = world.labelled().await;
    world.is_at(first, "needs-approval").await;
    assert_eq!(world.pulls().await.len(), 0, "nothing is pushed");
    let told = world.by_bot(first, "task=").await.remove(0);
    for words in [
        ".gitea/workflows/ci.yml",
        "our push would run this workflow",
        "DEPLOY_KEY",
        "`/agent approve r1` publishes r1",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    gitea.comment(owner, repo, first, "/agent approve ci").await;
    world.is_at(first, "needs-review").await;
    assert_eq!(world.pulls().await.len(), 1);
    // The same workflows are not asked about again, others are.
    let second = world.labelled().await;
    world.is_at(second, "needs-review").await;
    world
        .change(
            owner,
            "main",
            ".gitea/workflows/ci.yml",
            // Too long to be read, which is asked about as well.
            &format!("{workflow}{}", "# more\n".repeat(200_000)),
        )
        .await;
    let third = world.labelled().await;
    world.is_at(third, "needs-approval").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_are_not_asked_about_where_the_server_allows_them() {
    let keys = Keys {
        server: "[policy]\nci_exposure = \"allow\"",
        ..Keys::default()
    };
    let name = "workflows_are_not_asked_about";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let workflow =
        "on: [push]\njobs:\n  deploy:\n    steps:\n      - run: deploy ${{ secrets.DEPLOY_KEY }}\n";
    world
        .gitea
        .file(
            &world.owner,
            &world.repo,
            "main",
            ".gitea/workflows/ci.yml",
            workflow,
        )
        .await;
    let issue = world.labelled().await;
    world.is_at(issue, "needs-review").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_red_result_is_shown_as_a_draft_where_the_repository_wants_that() {
    let keys = Keys {
        repository: "[task]\nattempts = 1",
        agent: "cat > /dev/null; echo 41 > answer.txt",
        ..Keys::default()
    };
    let name = "a_red_result_is_shown_as_a_draft";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let issue = world.labelled().await;
    world.is_at(issue, "failed").await;
    assert_eq!(world.pulls().await.len(), 0, "not unless it is wanted");
    let path = ".gitea/prentice.toml";
    let wanted = "version = 1\n[task]\nattempts = 1\n[[verify]]\nname = \"tests\"\nrun = \"sh test.sh\"\n\
                  [pr]\non_verify_fail = \"draft\"\ndraft = \"never\"\n";
    world.change(&world.owner, "main", path, wanted).await;
    let issue = world.labelled().await;
    world.is_at(issue, "needs-review").await;
    let pull = world.pulls().await.remove(0);
    assert_eq!(pull["draft"], true);
    let told = world.by_bot(issue, "task=").await.remove(0);
    assert!(
        told.contains("is up as a draft, **not verified**"),
        "{told}"
    );
    let sha = pull["head"]["sha"].as_str().unwrap();
    world
        .until("the check is red", 20, async || {
            world.status(sha, "prentice / verify").await == "failure"
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_the_command_line_opens_the_page_on_the_server() {
    let name = "a_link_of_the_command_line";
    let Some(world) = World::new(name, Hears::Hooks).await else {
        return;
    };
    let issue = world.labelled().await;
    world.is_at(issue, "needs-review").await;
    let config = world.folder.path().join("server.toml");
    let link = world.prentice(&[
        "--config",
        config.to_str().unwrap(),
        "tasks",
        "show",
        "T-1",
        "--link",
    ]);
    let link = link.trim();
    let own = format!("http://127.0.0.1:{}/tasks/T-1?key=", world.port);
    assert!(link.starts_with(&own), "{link}");
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let entered = client.get(link).send().await.unwrap();
    assert_eq!(entered.status().as_u16(), 303);
    let cookie = entered.headers()["set-cookie"].to_str().unwrap();
    // It would not come back over the plain connection of one's own machine.
    assert!(!cookie.contains("Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let page = link.split('?').next().unwrap();
    let page = client
        .get(page)
        .header("cookie", cookie)
        .send()
        .await
        .unwrap();
    assert_eq!(page.status().as_u16(), 200);
    let page = page.text().await.unwrap();
    for words in ["T-1: No answer", "needs-review", "sh test.sh", "whole log"] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    // What signs links is for the owner of the data folder alone.
    let key = world.folder.path().join("state/prentice/link.key");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(key).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_is_reached_from_outside_comments_link_to_the_page_without_its_key() {
    let keys = Keys {
        site: "public_url = \"https://bot.example.org\"",
        ..Keys::default()
    };
    let name = "where_the_server_is_reached";
    let Some(world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let (issue, pull) = world.in_review().await;
    let page = "https://bot.example.org/tasks/T-1";
    let status = world.status_text(issue).await;
    let body = world.at(&format!("pulls/{pull}")).await;
    let body = body["body"].as_str().unwrap();
    let mut all: Vec<String> = Vec::new();
    for on in [issue, pull] {
        let comments = world.gitea.comments(&world.repo, on).await;
        all.extend(comments.iter().map(|one| one["body"].to_string()));
    }
    for text in [&status, body] {
        assert!(text.contains(&format!("[task page]({page})")), "{text}");
    }
    for text in all.iter().map(String::as_str).chain([body]) {
        assert!(!text.contains("?key="), "{text}");
    }
    let config = world.folder.path().join("server.toml");
    let config = config.to_str().unwrap();
    let link = world.prentice(&["--config", config, "tasks", "show", "T-1", "--link"]);
    let (at, key) = link.trim().split_once("?key=").unwrap();
    assert_eq!(at, page);
    // Whoever stands before us speaks TLS to the reader, so what lets him in never goes another way.
    let own = format!("http://127.0.0.1:{}/tasks/T-1?key={key}", world.port);
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let entered = client.get(own).send().await.unwrap();
    assert_eq!(entered.status().as_u16(), 303);
    let cookie = entered.headers()["set-cookie"].to_str().unwrap();
    let has = |word: &str| cookie.split("; ").any(|part| part == word);
    assert!(has("Secure") && has("HttpOnly"), "{cookie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_follows_the_repository_s_own_template_and_asks_the_owners_of_what_changed()
{
    let name = "a_pull_request_follows_the_repository";
    let rules = format!("{FILE}reviewers = [\"codeowners\"]\n");
    let Some(world) = World::governed(name, Hears::Hooks, &rules, AGENT).await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    let (lee, rae) = (
        world.person("lee", "write").await.login,
        world.person("rae", "write").await.login,
    );
    let template = "## Before you ask\n\n- [ ] I ran it\n";
    let owners = format!("answer\\.txt @{lee}\n.*\\.md @{rae}\n");
    for (path, text) in [
        (".gitea/PULL_REQUEST_TEMPLATE.md", template),
        ("docs/CODEOWNERS", owners.as_str()),
    ] {
        gitea.file(owner, repo, "main", path, text).await;
    }
    let (_, pull) = world.in_review().await;
    let asked = async || -> Vec<String> {
        let pull = world.at(&format!("pulls/{pull}")).await;
        // Gitea itself asks the owners of what is no draft.
        assert_eq!(pull["draft"], true);
        let all = pull["requested_reviewers"].as_array().cloned();
        let all = all.unwrap_or_default();
        all.iter()
            .map(|one| one["login"].as_str().unwrap().to_owned())
            .collect()
    };
    world
        .until("somebody is asked", 30, async || !asked().await.is_empty())
        .await;
    assert_eq!(asked().await, [lee]);
    let body = world.at(&format!("pulls/{pull}")).await;
    let body = body["body"].as_str().unwrap();
    let (_, rest) = body.split_once("-->\n").unwrap();
    let begins = format!("{template}\n---\n\n> **Draft by an agent");
    assert!(rest.trim_start().starts_with(&begins), "{body}");
}
