//! What `doctor` says of a forge: all well, then with one right taken away at a time.

use super::*;

/// The lines about forges, as a person reads them.
fn told(world: &World, more: &[&str]) -> String {
    let output = world.command().arg("doctor").args(more).output().unwrap();
    let text = words(&output);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.get(5..14) == Some("forge    "))
        .collect();
    let fails = text.lines().any(|line| line.starts_with("fail"));
    assert_eq!(output.status.code(), Some(i32::from(fails)), "{text}");
    world.quiet(&lines.join("\n"))
}

/// What is not well.
fn ill(world: &World, more: &[&str]) -> String {
    let told = told(world, more);
    let lines: Vec<&str> = told
        .lines()
        .filter(|line| !line.starts_with("ok "))
        .collect();
    lines.join("\n")
}

/// A repository that is set up, served and guarded.
async fn served(test: &str) -> Option<World> {
    let mut world = World::new(test).await?;
    world
        .file(
            ".gitea/prentice.toml",
            "version = 1\n[[verify]]\nname = \"tests\"\nrun = \"sh test.sh\"\n",
        )
        .await;
    let done = world.setup(&[]);
    assert_eq!(done.status.code(), Some(0), "{}", words(&done));
    let guard = json!({
        "rule_name": "main", "enable_push": false, "enable_merge_whitelist": true,
        "merge_whitelist_usernames": [world.owner.login],
    });
    let path = format!("repos/{}/branch_protections", world.repo.name);
    world
        .gitea
        .does(&world.owner.token, Method::POST, &path, guard)
        .await;
    world.serve();
    Some(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_is_right_is_told_so_line_by_line() {
    let Some(mut world) = served("a_forge_that_is_right").await else {
        return;
    };
    insta::assert_snapshot!(told(&world, &["--admin-token-file", "admin-token"]), @"
    ok   forge    main: Gitea 1.26.0 answers at https://git.example.org; we are bot
    ok   forge    main: its clock and ours agree
    ok   forge    team/project: served; bot may write
    ok   forge    team/project: the credential has read:user, write:issue, write:repository
    ok   forge    team/project: .gitea/prentice.toml names tests
    ok   forge    team/project: the label `agent` is there
    ok   forge    team/project: could bot merge into main: no; push to it: no
    ok   forge    team/project: a test delivery to http://prentice:8460/hooks/main arrived, rightly signed
    ");
    // The bot's own account sees no webhooks, but what came by them.
    let own = told(&world, &[]);
    assert!(own.contains("ok   forge    team/project: bot may not see its webhooks; the last delivery of this forge came"), "{own}");
    world.stop();
    insta::assert_snapshot!(ill(&world, &["--admin-token-file", "admin-token"]), @"warn forge    team/project: the webhook to http://prentice:8460/hooks/main was not tested, since nothing answers at 127.0.0.1:8460 → start `prentice serve`, then run this again");
    // One that lives and tells no figures is none that is not there.
    let file = world.read("server.toml");
    let quiet = file.replacen("[server]\n", "[server]\nmetrics = false\n", 1);
    assert_ne!(file, quiet);
    world.write("server.toml", &quiet);
    world.serve();
    let told = told(&world, &["--admin-token-file", "admin-token"]);
    assert!(told.contains("ok   forge    team/project: the webhook to http://prentice:8460/hooks/main was not tested, since the server does not tell which deliveries it took (`[server] metrics = false`); the last delivery of this forge came"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_missing_is_named_with_the_page_where_it_is_given() {
    let Some(world) = served("each_right_that_is_missing").await else {
        return;
    };
    let (gitea, bot, repo) = (&world.gitea, &world.bot, &world.repo);
    let own = world.read("main-token");
    let mut all = String::new();
    let mut say = |name: &str, said: String| all.push_str(&format!("# {name}\n{said}\n"));
    for (name, scopes) in [
        (
            "no write:repository",
            ["read:repository", "write:issue", "read:user"],
        ),
        (
            "no write:issue",
            ["write:repository", "read:issue", "read:user"],
        ),
        (
            "no read:user",
            ["write:repository", "write:issue", "read:misc"],
        ),
    ] {
        world.write("main-token", &gitea.token(bot, &scopes).await);
        say(name, ill(&world, &[]));
    }
    world.write("main-token", "0123456789abcdef0123456789abcdef01234567");
    say("revoked", ill(&world, &[]));
    world.write("main-token", own.trim());
    gitea.collaborator(repo, bot, "read").await;
    say("reader", ill(&world, &[]));
    gitea.collaborator(repo, bot, "admin").await;
    say("administrator", ill(&world, &[]));
    world.delete(&format!("collaborators/{}", bot.login)).await;
    say(
        "account removed from a private repository",
        ill(&world, &[]),
    );
    gitea.collaborator(repo, bot, "write").await;
    let path = format!("repos/{}", repo.name);
    let archive = async |archived: bool| {
        let body = json!({ "archived": archived });
        gitea
            .does(&world.owner.token, Method::PATCH, &path, body)
            .await;
    };
    archive(true).await;
    say("archived", ill(&world, &[]));
    archive(false).await;
    world.delete("branch_protections/main").await;
    say("nothing guards the branch", ill(&world, &[]));
    insta::assert_snapshot!(all, @r#"
    # no write:repository
    fail forge    team/project: the credential lacks write:repository (branches, pull requests, statuses) → give read:user, write:issue, write:repository at Settings, Applications (https://git.example.org/user/settings/applications)
    warn forge    team/project: bot may not see its webhooks, and no delivery has come yet → press "Test Push Event" at Settings, Webhooks (https://git.example.org/team/project/settings/hooks), or run this with --admin-token-file
    # no write:issue
    fail forge    team/project: the credential lacks write:issue (comments, labels, reactions) → give read:user, write:issue, write:repository at Settings, Applications (https://git.example.org/user/settings/applications)
    warn forge    team/project: bot may not see its webhooks, and no delivery has come yet → press "Test Push Event" at Settings, Webhooks (https://git.example.org/team/project/settings/hooks), or run this with --admin-token-file
    # no read:user
    fail forge    main: the token may not say whose it is: our own account (403 Forbidden: token does not have at least one of required scope(s), required=[read:user], token scope=read:misc,write:issue,write:repository) → make a new one with read:user, write:issue, write:repository at Settings, Applications (https://git.example.org/user/settings/applications), and put it where the old one is
    # revoked
    fail forge    main: the credential is not accepted: 401 Unauthorized: invalid username, password or token → make a new one with read:user, write:issue, write:repository at Settings, Applications (https://git.example.org/user/settings/applications), and put it where the old one is
    # reader
    fail forge    team/project: bot may read but not write, so nothing can be published → give it write at Settings, Collaborators (https://git.example.org/team/project/settings/collaboration)
    # administrator
    warn forge    team/project: served; bot administers it, which is more than is needed → an account of its own with write is enough: Settings, Collaborators (https://git.example.org/team/project/settings/collaboration)
    # account removed from a private repository
    fail forge    team/project: there is none that bot can see, so it is not served → compare the name; a private one needs bot as a collaborator who may write, at its Settings, Collaborators (https://git.example.org/team/project/settings/collaboration)
    # archived
    fail forge    team/project: it is archived, so nothing can be written → unarchive it at its Settings (https://git.example.org/team/project/settings), or take it out of `[[forge]] repos`
    # nothing guards the branch
    warn forge    team/project: could bot merge into main: yes; push to it: yes → protect main at Settings, Branches (https://git.example.org/team/project/settings/branches): nobody pushes, and a list of people merges
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_gone_wrong_or_misses_its_secret_is_told() {
    let Some(mut world) = served("a_webhook_that_is_gone").await else {
        return;
    };
    let admin = ["--admin-token-file", "admin-token"];
    let mut all = String::new();
    let mut say = |name: &str, said: String| all.push_str(&format!("# {name}\n{said}\n"));
    let hook = world.hooks().await.remove(0);
    let change = async |body: Value| {
        let path = format!("repos/{}/hooks/{}", world.repo.name, hook["id"]);
        world
            .gitea
            .does(&world.owner.token, Method::PATCH, &path, body)
            .await;
    };
    change(json!({ "active": false, "events": ["push"] })).await;
    say("switched off, for pushes only", ill(&world, &admin));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let done = world.setup(&[]);
    assert_eq!(done.status.code(), Some(0), "{}", words(&done));
    let hook = world.hooks().await.remove(0);
    let path = format!("repos/{}/hooks/{}", world.repo.name, hook["id"]);
    let url = format!("http://{nobody}/hooks/main");
    // What is not said again is forgotten.
    let events = &hook["events"];
    let body = json!({ "active": true, "events": events, "config": { "url": url, "content_type": "json" } });
    world
        .gitea
        .does(&world.owner.token, Method::PATCH, &path, body)
        .await;
    let lost = ill(&world, &admin);
    say(
        "to another place",
        lost.replace(&nobody.to_string(), "elsewhere"),
    );
    let url = &hook["config"]["url"];
    let body = json!({ "active": true, "events": events, "config": { "url": url, "content_type": "json" } });
    world
        .gitea
        .does(&world.owner.token, Method::PATCH, &path, body)
        .await;
    assert_eq!(ill(&world, &admin), "");
    world.stop();
    world.write(
        "main-webhook-secret",
        "another-secret-of-thirty-two-characters",
    );
    world.serve();
    say("another secret", ill(&world, &admin));
    world.delete(&format!("hooks/{}", hook["id"])).await;
    say("removed", ill(&world, &admin));
    insta::assert_snapshot!(all, @"
    # switched off, for pushes only
    fail forge    team/project: the webhook to http://prentice:8460/hooks/main is set wrong: it is switched off; it does not send issues, issue_label, issue_assign, issue_comment, pull_request, pull_request_label, pull_request_comment, pull_request_review, pull_request_sync, delete → `prentice setup` mends it, or do it at Settings, Webhooks (https://git.example.org/team/project/settings/hooks/7)
    # to another place
    fail forge    team/project: a test delivery to http://elsewhere/hooks/main did not arrive within 10 s → what became of it is told at Settings, Webhooks (https://git.example.org/team/project/settings/hooks/7); Gitea sends to its own network only what `[webhook] ALLOWED_HOST_LIST` names
    # another secret
    fail forge    team/project: a test delivery to http://prentice:8460/hooks/main arrived with a wrong signature → run `prentice setup` with --new-secret, or put the same secret at Settings, Webhooks (https://git.example.org/team/project/settings/hooks/7) and into our variable
    # removed
    fail forge    team/project: no webhook sends to /hooks/main → `prentice setup` makes it, or make it at Settings, Webhooks (https://git.example.org/team/project/settings/hooks)
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_file_is_told_with_its_first_mistake_or_what_stands_for_it() {
    let Some(world) = World::new("a_repository_file_is_told").await else {
        return;
    };
    let done = world.setup(&[]);
    assert_eq!(done.status.code(), Some(0), "{}", words(&done));
    let of_file = || {
        let told = told(&world, &[]);
        let line = told.lines().find(|line| {
            ["verify", "guessed", "prentice.toml"]
                .iter()
                .any(|word| line.contains(word))
        });
        line.unwrap_or_default().to_owned()
    };
    let mut all = vec![of_file()];
    world.file("Makefile", "test:\n\ttrue\n").await;
    all.push(of_file());
    world
        .file(
            ".gitea/prentice.toml",
            "version = 1\n[task]\ntimeout = 5\nbase = 7\n",
        )
        .await;
    all.push(of_file());
    insta::assert_snapshot!(all.join("\n"), @"
    fail forge    team/project: nothing says how to verify it, so nothing can be done → add `.github/prentice.toml` with a [[verify]] to main
    warn forge    team/project: its checks are guessed: tests → add `.github/prentice.toml` with a [[verify]] to main
    fail forge    team/project: .gitea/prentice.toml:3: `task.timeout` takes a duration in quotes, not a whole number (and 1 more) → mend it on main; `prentice config check` in a clone shows every mistake
    ");
}
