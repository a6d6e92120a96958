//! What `setup` makes, and makes once.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn setup_makes_all_that_is_missing_and_the_second_time_nothing() {
    let Some(world) = World::new("setup_makes_all_that_is_missing").await else {
        return;
    };
    let first = world.setup(&["--agent-cmd", "sh -c 'echo 42'"]);
    assert_eq!(first.status.code(), Some(0), "{}", words(&first));
    insta::assert_snapshot!(world.quiet(&words(&first)), @"
    made     bot is a collaborator of team/project who may write
    made     /etc/prentice/main-webhook-secret
    made     9 labels of team/project, of `agent` and those of stages
    made     webhook of team/project to http://prentice:8460/hooks/main
    made     /etc/prentice/main-token
    made     /etc/prentice/server.toml
    next
      export PRENTICE_FORGE_MAIN_TOKEN_FILE=/etc/prentice/main-token
      export PRENTICE_FORGE_MAIN_WEBHOOK_SECRET_FILE=/etc/prentice/main-webhook-secret
      prentice doctor --config /etc/prentice/server.toml
      prentice serve --config /etc/prentice/server.toml
    ");
    insta::assert_snapshot!(world.quiet(&world.read("server.toml")), @r#"
    # Made by `prentice setup`. Every key with its value: `prentice config show --server`.
    version = 1

    [server]
    listen = "127.0.0.1:8460"

    [[forge]]
    name = "main"
    kind = "gitea"
    base_url = "https://git.example.org"
    repos = ["team/project"]

    [agents.default]
    command = ["sh", "-c", "echo 42"]
    "#);
    for file in ["main-token", "main-webhook-secret"] {
        assert_eq!(mode(&world.path(file)), 0o600, "{file}");
    }
    assert_eq!(world.read("main-token"), world.read("bot-token"));
    let secret = world.read("main-webhook-secret");
    assert!(secret.trim().len() >= 32 && !secret.trim().contains(char::is_whitespace));
    let hooks = world.hooks().await;
    assert_eq!(hooks.len(), 1);
    assert_eq!(hooks[0]["config"]["content_type"], "json");
    insta::assert_snapshot!(world.labels().await.join(" "), @"agent agent:failed agent:needs-approval agent:needs-info agent:needs-review agent:proposed agent:queued agent:running agent:taken-over");
    // The administrator's token is nowhere.
    let admin = world.read("admin-token");
    for file in ["server.toml", "main-token", "main-webhook-secret"] {
        assert!(!world.read(file).contains(admin.trim()), "{file}");
    }
    assert!(!words(&first).contains(admin.trim()) && !words(&first).contains(secret.trim()));

    let text = world.read("server.toml");
    let second = world.setup(&["--agent-cmd", "sh -c 'echo 42'"]);
    assert_eq!(second.status.code(), Some(0), "{}", words(&second));
    insta::assert_snapshot!(world.quiet(&words(&second)).split("next").next().unwrap(), @"
    there    bot is a collaborator of team/project who may write
    there    /etc/prentice/main-webhook-secret
    there    all 9 labels of team/project, `agent` and those of stages
    there    webhook of team/project to http://prentice:8460/hooks/main
    there    /etc/prentice/main-token
    there    /etc/prentice/server.toml
    ");
    assert_eq!(world.read("server.toml"), text);
    assert_eq!(world.read("main-webhook-secret"), secret);
    let same = |hook: &Value| (hook["id"].clone(), hook["updated_at"].clone());
    let now = world.hooks().await;
    assert_eq!(now.iter().map(same).collect::<Vec<_>>(), [same(&hooks[0])]);
    assert_eq!(world.labels().await.len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_whose_secret_may_be_another_is_made_anew() {
    let Some(world) = World::new("a_webhook_whose_secret_may_be_another").await else {
        return;
    };
    let body = json!({
        "type": "gitea", "active": true, "events": ["push"],
        "config": { "url": format!("{}/hooks/main", world.at()), "content_type": "form", "secret": "x" },
    });
    let path = format!("repos/{}/hooks", world.repo.name);
    for _ in 0..2 {
        world
            .gitea
            .does(&world.owner.token, Method::POST, &path, body.clone())
            .await;
    }
    let done = world.setup(&[]);
    assert!(
        words(&done).contains("anew     webhook"),
        "{}",
        words(&done)
    );
    let (hooks, secret) = (world.hooks().await, world.read("main-webhook-secret"));
    assert_eq!(hooks.len(), 1);
    assert_eq!(hooks[0]["config"]["content_type"], "json");
    let done = world.setup(&["--new-secret"]);
    assert!(
        words(&done).contains("anew     webhook"),
        "{}",
        words(&done)
    );
    assert_ne!(world.hooks().await[0]["id"], hooks[0]["id"]);
    assert_ne!(world.read("main-webhook-secret"), secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_setup_cannot_do_is_told_before_anything_is_written() {
    let Some(world) = World::new("what_setup_cannot_do").await else {
        return;
    };
    let (gitea, owner, bot) = (&world.gitea, &world.owner, &world.bot);
    let (admin, own) = (world.read("admin-token"), world.read("bot-token"));
    let mut told = String::new();
    let mut say = |name: &str, output: Output| {
        let said = world.quiet(&words(&output));
        told.push_str(&format!(
            "{name}, {}\n{said}",
            output.status.code().unwrap()
        ));
    };
    world.write("admin-token", "nobody");
    say("a wrong administrator's token", world.setup(&[]));
    world.write("admin-token", &own);
    say("the bot's own for the administrator's", world.setup(&[]));
    world.write("admin-token", admin.trim());
    world.write("bot-token", "nobody");
    say("a wrong bot's token", world.setup(&[]));
    let few = gitea
        .token(bot, &["read:repository", "write:issue", "read:user"])
        .await;
    world.write("bot-token", &few);
    say("a bot's token that reads", world.setup(&[]));
    world.write("bot-token", own.trim());
    say("no repository", world.setup(&["--repo", "nobody/nothing"]));
    let lee = gitea.user("lee").await;
    let other = gitea.repo(&lee, "other", false).await;
    let said = world.setup(&["--repo", &other.name]);
    let said = words(&said).replace(&other.name, "lee/other");
    told.push_str(&world.quiet(&said));
    assert_eq!(world.hooks().await.len(), 0);
    for file in ["server.toml", "main-token", "main-webhook-secret"] {
        assert!(!world.path(file).exists(), "{file}");
    }
    world.write("server.toml", "version = 1\n[[forge]]\nrepos = [\"a/b\"]");
    let mut say = |name: &str, output: Output| {
        let said = world.quiet(&words(&output));
        told.push_str(&format!(
            "{name}, {}\n{said}",
            output.status.code().unwrap()
        ));
    };
    say(
        "a server file with another forge of that name",
        world.setup(&[]),
    );
    let bare = world
        .command()
        .args(["setup", "--forge", "gitea", "--no-input"])
        .output();
    say("nothing said", bare.unwrap());
    assert!(!told.contains(admin.trim()) && !told.contains(owner.token.as_str()));
    insta::assert_snapshot!(told, @"
    a wrong administrator's token, 4
    error: the administrator's token: https://git.example.org: the forge does not accept the credential: 401 Unauthorized: invalid username, password or token; renew it
    the bot's own for the administrator's, 4
    error: both tokens are of bot; make an account of its own for the bot: what our account does is never taken for a person's
    a wrong bot's token, 4
    error: the bot's token: https://git.example.org: the forge does not accept the credential: 401 Unauthorized: invalid username, password or token; renew it
    a bot's token that reads, 4
    error: the bot's token lacks write:repository; make one with them at Settings, Applications (https://git.example.org/user/settings/applications), then run this again
    no repository, 5
    error: https://git.example.org has no repository nobody/nothing that the administrator may see; compare its name
    error: the administrator's token is of an account that does not administer lee/other; use one of the repository's owner or administrators
    a server file with another forge of that name, 2
    error: /etc/prentice/server.toml has a forge `main` already, which is github at the public service; edit it there, or choose another name with --name
    nothing said, 2
    error: --url, --repo, --admin-token-file missing; give them, or run this on a terminal without --no-input
    ");
}
