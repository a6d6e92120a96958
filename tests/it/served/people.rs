//! Who may do what, by which way: every right by every way that Gitea has, held to the table of the core.

use std::fmt::Write as _;

use prentice::domain::act::{Asked, Path, Standing, Start, Words, start};
use prentice::domain::policy::{Actor, ActorKind, Right, Rules};

use super::*;

/// How an act is made and how it is heard of.
const WAYS: [(&str, Path); 7] = [
    ("label", Path::Label),
    ("template label", Path::Label),
    ("comment", Path::Command),
    ("assignment", Path::Assignment),
    ("redelivery", Path::Label),
    ("sweep", Path::Label),
    ("polling", Path::Label),
];

/// Somebody, in the two repositories where they have their right.
struct Person {
    right: &'static str,
    user: User,
    /// What the forge tells of them; `None` = nothing.
    held: Option<Right>,
    is_bot: bool,
    /// Who opens issues there.
    opener: User,
    /// Told of by deliveries, and found without any.
    repos: [Repo; 2],
    /// What they are given to act with, and what they have when it is looked up: `None` = nothing.
    acts_with: Option<&'static str>,
    has: Option<&'static str>,
}

impl Person {
    fn expected(&self, path: Path) -> &'static str {
        let actor = Actor {
            login: self.user.login.clone(),
            id: None,
            kind: ActorKind::Unknown,
            right: self.held,
        };
        let mut rules = Rules::default();
        if self.is_bot {
            rules.ignore_users.push(self.user.login.clone());
        }
        let asked = Asked {
            path,
            actor: &actor,
            ours: false,
            old: false,
        };
        match start(asked, Standing::Nothing, Words::OfOneWhoMay, &rules) {
            Start::Accept => "ACCEPTED",
            Start::Propose => "proposed",
            Start::Nothing(_) => "nothing",
            Start::Refuse(_) => "refused",
            other => panic!("{other:?}"),
        }
    }

    async fn may(&self, gitea: &Gitea, repo: &Repo, permission: Option<&str>) {
        let Some(permission) = permission else {
            let path = format!("repos/{}/collaborators/{}", repo.name, self.user.login);
            let site = &gitea.server.admin;
            gitea.does(site, Method::DELETE, &path, Value::Null).await;
            return;
        };
        gitea.collaborator(repo, &self.user, permission).await;
    }

    /// Does it; gives the issue, the comment where there is one, and the delivery that tells of it.
    async fn acts(&self, world: &World, way: &str) -> (i64, Option<i64>, (&'static str, Value)) {
        let gitea = &world.gitea;
        let found = matches!(way, "sweep" | "polling");
        let repo = &self.repos[usize::from(found)];
        // Nobody looks while they hold what they have no more when it is looked up.
        if self.acts_with.is_some() {
            world.signal("STOP");
            self.may(gitea, repo, self.acts_with).await;
        }
        let mut comment = None;
        let issue = match way {
            "template label" => {
                let labels = gitea.get(&format!("repos/{}/labels", repo.name)).await;
                let id = labels[0]["id"].clone();
                let path = format!("repos/{}/issues", repo.name);
                let new = json!({ "title": "Do it", "body": "Please.", "labels": [id] });
                let made = gitea.does(&self.user.token, Method::POST, &path, new).await;
                made["number"].as_i64().unwrap()
            }
            _ => gitea.issue(&self.opener, repo, "Do it", "Please.").await,
        };
        let event = match way {
            "template label" => "issue_label",
            "comment" => {
                comment = Some(gitea.comment(&self.user, repo, issue, "/agent run").await);
                "issue_comment"
            }
            "assignment" => {
                let to = json!({ "assignees": [world.bot.login] });
                gitea.edit(&self.user, repo, issue, to).await;
                "issue_assign"
            }
            _ => {
                gitea.label(&self.user, repo, issue, &["agent"]).await;
                "issue_label"
            }
        };
        if self.acts_with.is_some() {
            self.may(gitea, repo, self.has).await;
            world.signal("CONT");
        }
        let now = gitea
            .get(&format!("repos/{}/issues/{issue}", repo.name))
            .await;
        let mut told = json!({
            "action": "label_updated", "issue": now, "sender": { "login": self.user.login },
            "repository": { "id": repo.id, "full_name": repo.name },
        });
        if let Some(comment) = comment {
            told["action"] = json!("created");
            told["comment"] = json!({ "id": comment, "body": "/agent run" });
        }
        (issue, comment, (event, told))
    }
}

/// What came of an act.
async fn outcome(world: &World, repo: &Repo, issue: i64, comment: Option<i64>) -> &'static str {
    let comments = world.gitea.comments(repo, issue).await;
    let statuses: Vec<&str> = comments
        .iter()
        .filter(|one| one["user"]["login"] == world.bot.login.as_str())
        .filter_map(|one| one["body"].as_str())
        .filter(|body| body.contains("**Agent task: "))
        .collect();
    match statuses.as_slice() {
        [] => {}
        [one] if one.contains("**Agent task: proposed**") => return "proposed",
        [_] => return "ACCEPTED",
        more => panic!("{more:?}"),
    }
    let Some(comment) = comment else {
        return "nothing";
    };
    let path = format!("repos/{}/issues/comments/{comment}/reactions", repo.name);
    let all = world.gitea.get(&path).await;
    match all.as_array().map_or(0, Vec::len) {
        0 => "nothing",
        _ => "refused",
    }
}

/// Waits until what the table says came of an act.
async fn came(world: &World, person: &Person, way: usize, (issue, comment): (i64, Option<i64>)) {
    let (word, path) = WAYS[way];
    let expected = person.expected(path);
    let repo = &person.repos[usize::from(matches!(word, "sweep" | "polling"))];
    let what = format!(
        "{} by {word}: {expected} (#{issue} of {})",
        person.right, repo.name
    );
    world
        .until(&what, 60, async || {
            outcome(world, repo, issue, comment).await == expected
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_by_every_way_comes_to_what_the_table_says() {
    let name = "every_right_by_every_way";
    let Some(mut world) = World::new(name, Hears::ByHand).await else {
        return;
    };
    world.kill();
    let mut people = people(&world).await;
    let repos = people.iter().flat_map(|person| &person.repos);
    world.repos = repos.map(|repo| repo.name.clone()).collect();
    world.repos.sort();
    world.repos.dedup();
    world.serve(AGENT).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let mut done: Vec<(usize, usize, i64, Option<i64>)> = Vec::new();
    for (way, (word, _)) in WAYS.into_iter().enumerate() {
        match word {
            "sweep" => world.kill(),
            "polling" => {
                world.hears = Hears::Polling;
                world.serve(AGENT).await;
            }
            _ => {}
        }
        for (who, person) in people.iter_mut().enumerate() {
            // What they did before is looked at before they are given more again.
            let before = done.iter().rev().find(|one| one.0 == who);
            let before = before.filter(|_| person.acts_with.is_some() && word != "sweep");
            if let Some(&(_, way, issue, comment)) = before {
                came(&world, person, way, (issue, comment)).await;
            }
            let (issue, comment, (event, told)) = person.acts(&world, word).await;
            done.push((who, way, issue, comment));
            let times = match word {
                "sweep" | "polling" => 0,
                "redelivery" => 10,
                _ => 1,
            };
            for _ in 0..times {
                world.deliver(event, &told).await;
            }
        }
    }
    let mut table = String::new();
    let _ = write!(table, "{:<8}", "");
    for (word, _) in WAYS {
        let _ = write!(table, " {word:<15}");
    }
    for (who, person) in people.iter().enumerate() {
        let _ = write!(table, "\n{:<8}", person.right);
        for (way, (_, path)) in WAYS.into_iter().enumerate() {
            let (.., issue, comment) = *done
                .iter()
                .find(|one| (one.0, one.1) == (who, way))
                .unwrap();
            came(&world, person, way, (issue, comment)).await;
            let _ = write!(table, " {:<15}", person.expected(path));
        }
    }
    // Nothing more came of those that nothing was to come of, now that all others are done.
    for (who, way, issue, comment) in done {
        let (person, (word, path)) = (&people[who], WAYS[way]);
        let repo = &person.repos[usize::from(matches!(word, "sweep" | "polling"))];
        let came = outcome(&world, repo, issue, comment).await;
        assert_eq!(came, person.expected(path), "{} by {word}", person.right);
    }
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    let table = table.join("\n");
    println!(
        "{table}\nnone: of a private repository, since everybody reads a public one; of none, read and unknown the \
         right was taken back after the act, since Gitea lets nobody else label or assign; template label: an opening \
         that brings the label; maintain: Gitea has no such role"
    );
    insta::assert_snapshot!(table, @"
             label           template label  comment         assignment      redelivery      sweep           polling
    none     proposed        proposed        refused         proposed        proposed        proposed        proposed
    read     proposed        proposed        refused         proposed        proposed        proposed        proposed
    triage   ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED
    write    ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED
    admin    ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED        ACCEPTED
    bot      nothing         nothing         nothing         nothing         nothing         nothing         nothing
    unknown  proposed        proposed        refused         proposed        proposed        proposed        proposed
    ");
}

/// A repository that is served, with our account as collaborator.
async fn repository(world: &World, owner: &User, name: &str, private: bool, bot: &str) -> Repo {
    let gitea = &world.gitea;
    let repo = gitea.repo(owner, name, private).await;
    prepare(world, owner, &repo, bot).await;
    repo
}

async fn prepare(world: &World, owner: &User, repo: &Repo, bot: &str) {
    let gitea = &world.gitea;
    gitea.collaborator(repo, &world.bot, bot).await;
    gitea.define_label(repo, "agent").await;
    let text = format!(
        "{FILE}[trigger]\nignore_users = [\"{}\"]\n",
        gitea.named("robot")
    );
    gitea
        .file(owner, repo, "main", ".gitea/prentice.toml", &text)
        .await;
}

async fn people(world: &World) -> Vec<Person> {
    let (gitea, dana) = (&world.gitea, &world.owner);
    let pair = async |name: &str, private: bool, bot: &str| {
        let second = format!("{name}-2");
        [
            repository(world, dana, name, private, bot).await,
            repository(world, dana, &second, private, bot).await,
        ]
    };
    let public = pair("public", false, "admin").await;
    let private = pair("private", true, "admin").await;
    // Here our account may push and no more, and is not told who may what.
    let hidden = pair("hidden", true, "write").await;
    let org = gitea.org("org").await;
    let mut site = dana.clone();
    "site".clone_into(&mut site.login);
    site.token.clone_from(&gitea.server.admin);
    let tess = gitea.user("tess").await;
    let units = [
        ("repo.issues", "write"),
        ("repo.code", "read"),
        ("repo.pulls", "read"),
    ];
    gitea.team(&org, "sorters", &units, &[&tess]).await;
    let of_org = [
        gitea.org_repo(&org, "public", false).await,
        gitea.org_repo(&org, "public-2", false).await,
    ];
    for repo in &of_org {
        prepare(world, &site, repo, "admin").await;
    }
    let mut all = Vec::new();
    for (right, word, held, repos, acts_with, has) in [
        (
            "none",
            "nona",
            Some(Right::None),
            &private,
            Some("write"),
            None,
        ),
        (
            "read",
            "rae",
            Some(Right::Read),
            &public,
            Some("write"),
            Some("read"),
        ),
        (
            "write",
            "wes",
            Some(Right::Write),
            &public,
            None,
            Some("write"),
        ),
        (
            "admin",
            "adam",
            Some(Right::Admin),
            &public,
            None,
            Some("admin"),
        ),
        (
            "bot",
            "robot",
            Some(Right::Admin),
            &public,
            None,
            Some("admin"),
        ),
        ("unknown", "una", None, &hidden, Some("write"), Some("read")),
    ] {
        let user = gitea.user(word).await;
        if let Some(permission) = has {
            for repo in repos {
                gitea.collaborator(repo, &user, permission).await;
            }
        }
        all.push(Person {
            right,
            user,
            held,
            is_bot: right == "bot",
            opener: dana.clone(),
            repos: repos.clone(),
            acts_with,
            has,
        });
    }
    let triage = Person {
        right: "triage",
        user: tess,
        held: Some(Right::Triage),
        is_bot: false,
        opener: site,
        repos: of_org,
        acts_with: None,
        has: None,
    };
    all.insert(2, triage);
    all
}
