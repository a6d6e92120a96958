//! What `doctor` says of GitHub: all well, then with one thing at a time that is not, each with the page where a
//! person mends it. The repository's pages are where GitHub says, which is not where its interface is.

use super::*;
use crate::github::world::{Fault, Kind, said};

impl Hub {
    /// One that is served, and that a delivery came to.
    async fn heard(app: bool) -> Option<Self> {
        let mut hub = Self::quiet(app, Hears::Hooks).await?;
        hub.serve(AGENT).await;
        hub.delivered(202).await;
        Some(hub)
    }

    /// Something happens there, and what is sent of it is answered so.
    async fn delivered(&self, status: i64) {
        let before = self.fake.world().deliveries.len();
        self.fake.world().open_issue("dana", "Nothing to do", "");
        self.until("the delivery is sent", 20, async || {
            let world = self.fake.world();
            let mut new = world.deliveries.iter().skip(before);
            new.any(|one| one.status == status)
        })
        .await;
    }

    /// Without what differs from run to run.
    fn plain(&self, text: &str) -> String {
        let text = text.replace(&self.fake.web(), "https://hub.example.org");
        let text = text.replace(&format!("127.0.0.1:{}", self.port), "127.0.0.1:8460");
        let ago = regex::Regex::new(r"came [0-9a-z. ]+ ago").unwrap();
        ago.replace_all(&text, "came 1 s ago").into_owned()
    }

    /// The lines about forges, as a person reads them.
    fn told(&self, change: impl FnOnce(&mut Command)) -> String {
        let mut command = self.command(&["doctor"]);
        change(&mut command);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.get(5..14) == Some("forge    "))
            .collect();
        let fails = text.lines().any(|line| line.starts_with("fail"));
        assert_eq!(output.status.code(), Some(i32::from(fails)), "{text}");
        self.plain(&lines.join("\n"))
    }

    /// What is not well.
    fn ill(&self) -> String {
        let told = self.told(|_| ());
        let lines: Vec<&str> = told
            .lines()
            .filter(|line| !line.starts_with("ok "))
            .collect();
        lines.join("\n")
    }

    /// `doctor --json`, the part about forges.
    fn object(&self) -> String {
        let output = self.command(&["doctor", "--json"]).output().unwrap();
        let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            whole["ok"],
            json!(output.status.code() == Some(0)),
            "{whole}"
        );
        let lines = whole["lines"].as_array().unwrap().iter();
        let lines: Vec<String> = lines
            .filter(|line| line["group"] == "forge")
            .map(Value::to_string)
            .collect();
        self.plain(&lines.join("\n"))
    }

    /// Questions below this path are answered so.
    fn answers(&self, at: &'static str, status: u16, words: &str) {
        self.fake.world().faults.push_back(Fault {
            method: "GET",
            at,
            call: None,
            kind: Kind::Instead(status, Vec::new(), said(words)),
            skip: 0,
            times: usize::MAX,
        });
    }

    fn permits(&self, name: &str, access: &str) {
        let mut world = self.fake.world();
        world.permissions.insert(name.to_owned(), access.to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_has_all_its_rights_is_told_so_line_by_line() {
    let Some(hub) = Hub::heard(true).await else {
        return;
    };
    hub.fake.world().protected = true;
    insta::assert_snapshot!(hub.told(|_| ()), @"
    ok   forge    main: GitHub answers at https://hub.example.org; we are prentice-test[bot]
    ok   forge    main: its clock and ours agree
    ok   forge    acme/widget: served; prentice-test[bot] may write
    ok   forge    acme/widget: the credential has issues: write, pull_requests: write, contents: write, checks: write, metadata: read
    ok   forge    acme/widget: .github/prentice.toml names tests
    ok   forge    acme/widget: the label `agent` is there
    warn forge    acme/widget: could prentice-test[bot] merge into main: unknown; push to it: unknown → look at Settings, Rules (https://forge.test/acme/widget/settings/rules) or Branches (https://forge.test/acme/widget/settings/branches): nobody should push, and people alone merge
    ok   forge    acme/widget: the last delivery to http://127.0.0.1:8460/hooks/main was taken (0 of the last 1 failed); the last delivery of this forge came 1 s ago
    ");
    insta::assert_snapshot!(hub.object(), @r#"
    {"fix":null,"group":"forge","name":"main/account","state":"ok","text":"main: GitHub answers at https://hub.example.org; we are prentice-test[bot]"}
    {"fix":null,"group":"forge","name":"main/clock","state":"ok","text":"main: its clock and ours agree"}
    {"fix":null,"group":"forge","name":"main/acme/widget/served","state":"ok","text":"acme/widget: served; prentice-test[bot] may write"}
    {"fix":null,"group":"forge","name":"main/acme/widget/rights","state":"ok","text":"acme/widget: the credential has issues: write, pull_requests: write, contents: write, checks: write, metadata: read"}
    {"fix":null,"group":"forge","name":"main/acme/widget/file","state":"ok","text":"acme/widget: .github/prentice.toml names tests"}
    {"fix":null,"group":"forge","name":"main/acme/widget/label","state":"ok","text":"acme/widget: the label `agent` is there"}
    {"fix":"look at Settings, Rules (https://forge.test/acme/widget/settings/rules) or Branches (https://forge.test/acme/widget/settings/branches): nobody should push, and people alone merge","group":"forge","name":"main/acme/widget/merge","state":"warn","text":"acme/widget: could prentice-test[bot] merge into main: unknown; push to it: unknown"}
    {"fix":null,"group":"forge","name":"main/acme/widget/hook","state":"ok","text":"acme/widget: the last delivery to http://127.0.0.1:8460/hooks/main was taken (0 of the last 1 failed); the last delivery of this forge came 1 s ago"}
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_an_app_lacks_is_named_with_the_page_where_it_is_given() {
    let Some(hub) = Hub::heard(true).await else {
        return;
    };
    hub.fake.world().protected = true;
    let well = hub.ill();
    let mut all = String::new();
    let mut say = |name: &str, said: String| {
        let said: Vec<&str> = said.lines().filter(|line| !well.contains(line)).collect();
        all.push_str(&format!("# {name}\n{}\n", said.join("\n")));
    };
    for (name, less) in [
        ("checks", "read"),
        ("issues", "read"),
        ("pull_requests", "read"),
        ("contents", "read"),
    ] {
        hub.permits(name, less);
        say(&format!("{name}: {less}"), hub.ill());
        hub.permits(name, "write");
    }
    hub.fake.world().suspended = true;
    say("suspended", hub.ill());
    hub.fake.world().suspended = false;
    hub.fake.world().archived = true;
    say("archived", hub.ill());
    hub.fake.world().archived = false;
    hub.fake.world().labels.clear();
    say("no label to ask with", hub.ill());
    hub.fake.world().labels.insert("agent".to_owned());
    hub.fake.world().protected = false;
    say("nothing guards the branch", hub.ill());
    hub.fake.world().rules = vec!["deletion"];
    say("a rule guards it", hub.ill());
    hub.answers("/repos/acme/widget/installation", 404, "Not Found");
    say("installed elsewhere", hub.ill());
    hub.fake.world().faults.clear();
    hub.answers("/app", 401, "Bad credentials");
    say("another key", hub.ill());
    insta::assert_snapshot!(all, @"
    # checks: read
    fail forge    acme/widget: the credential lacks checks: write (to show evidence on commits) → give checks: write at the App's Permissions & events (https://hub.example.org/organizations/acme/settings/apps/prentice-test/permissions), then accept it where the App is installed
    # issues: read
    fail forge    acme/widget: the credential lacks issues: write (to comment, and to set labels) → give issues: write at the App's Permissions & events (https://hub.example.org/organizations/acme/settings/apps/prentice-test/permissions), then accept it where the App is installed
    # pull_requests: read
    fail forge    acme/widget: the credential lacks pull_requests: write (to open pull requests and ask for reviews) → give pull_requests: write at the App's Permissions & events (https://hub.example.org/organizations/acme/settings/apps/prentice-test/permissions), then accept it where the App is installed
    # contents: read
    fail forge    acme/widget: prentice-test[bot] may read but not write, so nothing can be published → give it contents: write at the App's Permissions & events (https://hub.example.org/organizations/acme/settings/apps/prentice-test/permissions), then accept it where the App is installed
    fail forge    acme/widget: the credential lacks contents: write (to fetch the code, and to push branches of its own) → give contents: write at the App's Permissions & events (https://hub.example.org/organizations/acme/settings/apps/prentice-test/permissions), then accept it where the App is installed
    # suspended
    fail forge    acme/widget: not permitted: repository `acme/widget` (the App's installation is suspended) → grant it in https://hub.example.org/organizations/acme/settings/apps/prentice-test/installations
    # archived
    fail forge    acme/widget: it is archived, so nothing can be written → unarchive it at its Settings (https://forge.test/acme/widget/settings), or take it out of `[[forge]] repos`
    # no label to ask with
    warn forge    acme/widget: there is no label `agent` to ask with → make it at Issues, Labels (https://forge.test/acme/widget/labels)
    # nothing guards the branch
    warn forge    acme/widget: could prentice-test[bot] merge into main: yes; push to it: yes → protect main at Settings, Rules (https://forge.test/acme/widget/settings/rules) or Branches (https://forge.test/acme/widget/settings/branches): nobody pushes, and a list of people merges
    # a rule guards it

    # installed elsewhere
    fail forge    acme/widget: there is none that prentice-test[bot] can see, so it is not served → compare the name; the App has to be installed on it, at the App's Install App (https://hub.example.org/organizations/acme/settings/apps/prentice-test/installations)
    # another key
    fail forge    main: the credential is not accepted: Bad credentials → make a new key at the App's General, Private keys (https://hub.example.org/settings/apps), put it where the old one is, and compare `app_id`
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_by_the_apps_webhook_and_what_of_it_came_is_told() {
    let Some(mut hub) = Hub::quiet(true, Hears::Hooks).await else {
        return;
    };
    hub.fake.world().protected = true;
    hub.configure(AGENT);
    let mut all = String::new();
    let mut say = |name: &str, said: String| {
        let hook = |line: &&str| {
            line.contains("deliver") || line.contains("webhook") || line.contains(" sent ")
        };
        let said: Vec<&str> = said.lines().filter(hook).collect();
        all.push_str(&format!("# {name}\n{}\n", said.join("\n")));
    };
    say("nothing happened there", hub.told(|_| ()));
    hub.delivered(502).await;
    say("before the server was started", hub.told(|_| ()));
    hub.serve(AGENT).await;
    hub.until("what failed is sent again", 30, async || {
        hub.fake.world().deliveries.len() == 2
    })
    .await;
    hub.delivered(202).await;
    say("taken", hub.told(|_| ()));
    let other = hub.folder.path().join("other");
    say(
        "by the server of another data folder",
        hub.told(|command| {
            command.env("XDG_STATE_HOME", &other);
        }),
    );
    let (url, secret) = hub.fake.world().hook.clone().unwrap();
    hub.fake.world().hook = Some((
        url.clone(),
        "another-secret-long-enough-to-be-one".to_owned(),
    ));
    hub.delivered(401).await;
    say("signed with another secret", hub.told(|_| ()));
    hub.fake.world().hook = Some((url.replace("/hooks/main", "/hooks/mian"), secret));
    say("to another forge of the server", hub.told(|_| ()));
    hub.fake.world().hook = None;
    say("made without a webhook", hub.told(|_| ()));
    insta::assert_snapshot!(all, @"
    # nothing happened there
    warn forge    acme/widget: nothing was sent to http://127.0.0.1:8460/hooks/main yet → write a comment on an issue there, then look at the deliveries at the App's Advanced (https://hub.example.org/organizations/acme/settings/apps/prentice-test/advanced)
    # before the server was started
    fail forge    acme/widget: the last delivery to http://127.0.0.1:8460/hooks/main was answered with 502 (1 of the last 1 failed); none is kept here → is `prentice serve` running, and may the forge reach it?; see the App's Advanced (https://hub.example.org/organizations/acme/settings/apps/prentice-test/advanced)
    # taken
    ok   forge    acme/widget: the last delivery to http://127.0.0.1:8460/hooks/main was taken (1 of the last 3 failed); the last delivery of this forge came 1 s ago
    # by the server of another data folder
    warn forge    acme/widget: the last delivery to http://127.0.0.1:8460/hooks/main was taken, but none is kept here → does http://127.0.0.1:8460/hooks/main lead to this server, and is this its data folder? what was answered stands at the App's Advanced (https://hub.example.org/organizations/acme/settings/apps/prentice-test/advanced)
    # signed with another secret
    fail forge    acme/widget: the last delivery to http://127.0.0.1:8460/hooks/main was answered with 401 (2 of the last 4 failed); the last that is kept here came 1 s ago → the secret there and the one in our variable differ; see the App's Advanced (https://hub.example.org/organizations/acme/settings/apps/prentice-test/advanced)
    # to another forge of the server
    fail forge    acme/widget: no webhook sends to /hooks/main → make it send to where this server is reached, /hooks/main, at the App's General, Webhook (https://hub.example.org/organizations/acme/settings/apps/prentice-test)
    # made without a webhook
    fail forge    acme/widget: no webhook sends to /hooks/main → make it send to where this server is reached, /hooks/main, at the App's General, Webhook (https://hub.example.org/organizations/acme/settings/apps/prentice-test)
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_token_github_does_not_say_what_it_may_and_doctor_does_not_guess() {
    let Some(hub) = Hub::heard(false).await else {
        return;
    };
    insta::assert_snapshot!(hub.told(|_| ()), @"
    ok   forge    main: GitHub answers at https://hub.example.org; we are prentice-robot
    ok   forge    main: its clock and ours agree
    ok   forge    acme/widget: served; prentice-robot may write
    warn forge    acme/widget: the forge does not say whether the credential has issues: write (to comment, and to set labels), pull_requests: write (to open pull requests and ask for reviews), contents: write (to fetch the code, and to push branches of its own), statuses: write (to show evidence on commits), metadata: read (to see who may do what) → look at Settings, Developer settings (https://hub.example.org/settings/personal-access-tokens; an old kind of token needs `repo` at https://hub.example.org/settings/tokens)
    ok   forge    acme/widget: .github/prentice.toml names tests
    ok   forge    acme/widget: the label `agent` is there
    warn forge    acme/widget: could prentice-robot merge into main: yes; push to it: yes → protect main at Settings, Rules (https://forge.test/acme/widget/settings/rules) or Branches (https://forge.test/acme/widget/settings/branches): nobody pushes, and a list of people merges
    ok   forge    acme/widget: prentice-robot may not see its webhooks; the last delivery of this forge came 1 s ago
    ");
    let well = hub.ill();
    let mut all = String::new();
    let mut say = |name: &str, said: String| {
        let said: Vec<&str> = said.lines().filter(|line| !well.contains(line)).collect();
        all.push_str(&format!("# {name}\n{}\n", said.join("\n")));
    };
    let role = |role| hub.fake.world().person(TOKEN_BOT, "User", Some(role));
    role(("read", "pull"));
    say("reader", hub.ill());
    role(("admin", "admin"));
    say("administrator", hub.ill());
    role(("write", "push"));
    hub.answers("/repos/acme/widget", 404, "Not Found");
    say("account removed from a private repository", hub.ill());
    hub.fake.world().faults.clear();
    hub.answers("/user", 401, "Bad credentials");
    say("revoked", hub.ill());
    insta::assert_snapshot!(all, @"
    # reader
    fail forge    acme/widget: prentice-robot may read but not write, so nothing can be published → give it write at Settings, Collaborators and teams (https://forge.test/acme/widget/settings/access)
    # administrator
    warn forge    acme/widget: served; prentice-robot administers it, which is more than is needed → an account of its own with write is enough: Settings, Collaborators and teams (https://forge.test/acme/widget/settings/access)
    # account removed from a private repository
    fail forge    acme/widget: there is none that prentice-robot can see, so it is not served → compare the name; a private one needs prentice-robot as a collaborator who may write, at its Settings, Collaborators and teams (https://hub.example.org/acme/widget/settings/access)
    # revoked
    fail forge    main: the credential is not accepted: Bad credentials → make a new one with issues: write, pull_requests: write, contents: write, statuses: write, metadata: read at Settings, Developer settings (https://hub.example.org/settings/personal-access-tokens; an old kind of token needs `repo` at https://hub.example.org/settings/tokens), and put it where the old one is
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_works_with_our_account_is_told_so_on_the_issue_and_by_doctor() {
    let Some(hub) = Hub::heard(false).await else {
        return;
    };
    let well = hub.ill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let issue = {
        let mut world = hub.fake.world();
        let issue = world.open_issue("dana", "No answer", ISSUE);
        world.label(issue, TOKEN_BOT, "agent");
        world.assign(issue, TOKEN_BOT, TOKEN_BOT);
        issue
    };
    hub.until("it is told", 30, async || {
        !hub.by_us(issue, "note=").is_empty()
    })
    .await;
    let said = hub.fake.world().comment(issue, TOKEN_BOT, "/agent run");
    hub.until("the comment is answered", 30, async || {
        hub.reactions(said) == ["confused"] && hub.by_us(issue, "note=").len() > 1
    })
    .await;
    // Of two acts once, and nothing came of any.
    let notes = hub.by_us(issue, "note=");
    let notes: Vec<String> = notes
        .iter()
        .map(|one| one.replace(&said.to_string(), "SAID"))
        .collect();
    insta::assert_snapshot!(notes.join("\n\n"), @"
    <!-- prentice v1 note=ours -->
    Nothing was started: this was asked for with the account that I work with, and its acts never count. Give me an account of my own, and ask with yours.

    <!-- prentice v1 note=comment-SAID -->
    Nothing was done: this was written by the account that I work with, and its acts never count. Give me an account of my own, and comment from yours.
    ");
    let tasks = hub.command(&["tasks", "list", "--json"]).output().unwrap();
    let tasks: Value = serde_json::from_slice(&tasks.stdout).unwrap();
    assert_eq!(tasks["tasks"], json!([]));
    let ill = hub.ill();
    let more: Vec<&str> = ill.lines().filter(|line| !well.contains(line)).collect();
    insta::assert_snapshot!(more.join("\n"), @"warn forge    acme/widget: somebody asked for something with the account prentice-robot 3 times in 30 days, and its acts never count → ask with another account, or give prentice one of its own: Settings, Collaborators and teams (https://forge.test/acme/widget/settings/access)");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_enterprise_server_pages_are_not_where_its_interface_is() {
    let mut all = String::new();
    for app in [true, false] {
        let Some(fake) = Fake::enterprise().await else {
            return;
        };
        let hub = Hub::on(fake, app, Hears::Polling);
        hub.configure(AGENT);
        hub.permits("checks", "read");
        all.push_str(&format!("# as an App: {app}\n{}\n", hub.told(|_| ())));
        hub.answers("/repos/acme/widget", 404, "Not Found");
        all.push_str(&format!("# out of its reach\n{}\n", hub.ill()));
        hub.fake.world().faults.clear();
        hub.answers("/user", 401, "Bad credentials");
        hub.answers("/app", 401, "Bad credentials");
        all.push_str(&format!("# not accepted\n{}\n", hub.ill()));
    }
    let pages = all.lines().filter(|line| line.contains("/settings/"));
    assert!(
        pages.clone().count() > 5 && pages.clone().all(|line| !line.contains("/api/v3/")),
        "{all}"
    );
    insta::assert_snapshot!(all, @"
    # as an App: true
    ok   forge    main: GitHub answers at https://hub.example.org/api/v3; we are prentice-test[bot]
    ok   forge    main: its clock and ours agree
    ok   forge    acme/widget: served; prentice-test[bot] may write
    fail forge    acme/widget: the credential lacks checks: write (to show evidence on commits) → give checks: write at the App's Permissions & events (https://hub.example.org/organizations/acme/settings/apps/prentice-test/permissions), then accept it where the App is installed
    ok   forge    acme/widget: .github/prentice.toml names tests
    ok   forge    acme/widget: the label `agent` is there
    warn forge    acme/widget: could prentice-test[bot] merge into main: yes; push to it: yes → protect main at Settings, Rules (https://forge.test/acme/widget/settings/rules) or Branches (https://forge.test/acme/widget/settings/branches): nobody pushes, and a list of people merges
    warn forge    acme/widget: no webhook sends to /hooks/main → make it send to where this server is reached, /hooks/main, at the App's General, Webhook (https://hub.example.org/organizations/acme/settings/apps/prentice-test)
    # out of its reach
    fail forge    acme/widget: there is none that prentice-test[bot] can see, so it is not served → compare the name; the App has to be installed on it, at the App's Install App (https://hub.example.org/organizations/acme/settings/apps/prentice-test/installations)
    # not accepted
    fail forge    main: the credential is not accepted: Bad credentials → make a new key at the App's General, Private keys (https://hub.example.org/settings/apps), put it where the old one is, and compare `app_id`
    # as an App: false
    ok   forge    main: GitHub answers at https://hub.example.org/api/v3; we are prentice-robot
    ok   forge    main: its clock and ours agree
    ok   forge    acme/widget: served; prentice-robot may write
    warn forge    acme/widget: the forge does not say whether the credential has issues: write (to comment, and to set labels), pull_requests: write (to open pull requests and ask for reviews), contents: write (to fetch the code, and to push branches of its own), statuses: write (to show evidence on commits), metadata: read (to see who may do what) → look at Settings, Developer settings (https://hub.example.org/settings/personal-access-tokens; an old kind of token needs `repo` at https://hub.example.org/settings/tokens)
    ok   forge    acme/widget: .github/prentice.toml names tests
    ok   forge    acme/widget: the label `agent` is there
    warn forge    acme/widget: could prentice-robot merge into main: yes; push to it: yes → protect main at Settings, Rules (https://forge.test/acme/widget/settings/rules) or Branches (https://forge.test/acme/widget/settings/branches): nobody pushes, and a list of people merges
    warn forge    acme/widget: prentice-robot may not see its webhooks, and no delivery has come yet → it takes one to /hooks/main, of application/json and with the secret in our variable; look at its Recent Deliveries at Settings, Webhooks (https://forge.test/acme/widget/settings/hooks)
    # out of its reach
    fail forge    acme/widget: there is none that prentice-robot can see, so it is not served → compare the name; a private one needs prentice-robot as a collaborator who may write, at its Settings, Collaborators and teams (https://hub.example.org/acme/widget/settings/access)
    # not accepted
    fail forge    main: the credential is not accepted: Bad credentials → make a new one with issues: write, pull_requests: write, contents: write, statuses: write, metadata: read at Settings, Developer settings (https://hub.example.org/settings/personal-access-tokens; an old kind of token needs `repo` at https://hub.example.org/settings/tokens), and put it where the old one is
    ");
}
