//! `setup` for GitHub: a page on the loopback, a form, a code that comes back. An HTTP client takes the browser's part.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use super::*;
use crate::github::server::Fake;

struct Setup {
    child: Child,
    /// What it says, line by line.
    said: std::io::Lines<BufReader<std::process::ChildStderr>>,
    page: String,
    folder: tempfile::TempDir,
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it, and reads where the page is.
fn start(fake: &Fake) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(crate::sandbox::helper())
        .args([
            "--config",
            "server.toml",
            "setup",
            "--forge",
            "github",
            "--org",
            "acme",
            "--url",
            &fake.web(),
        ])
        .args([
            "--repo",
            "acme/widget",
            "--reached-at",
            "https://prentice.example.org",
            "--no-input",
        ])
        .env_clear()
        .env("HOME", folder.path())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = said.next().unwrap().unwrap();
    let page = line.rsplit(' ').next().unwrap().to_owned();
    assert!(page.starts_with("http://127.0.0.1:"), "{line}");
    Setup {
        child,
        said,
        page,
        folder,
    }
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

async fn get(url: &str) -> (u16, String) {
    let answer = client().get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// What stands between two texts.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(begin)
        .unwrap_or_else(|| panic!("no {begin} in {text}"));
    rest.split_once(end).unwrap().0
}

fn plain(html: &str) -> String {
    html.replace("&quot;", "\"").replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_made_by_a_person_at_a_page_that_only_the_terminal_names() {
    let Some(fake) = Fake::enterprise().await else {
        return;
    };
    let mut setup = start(&fake);
    let origin = &setup.page[..setup.page.rfind('/').unwrap()];
    // Nobody finds it without its token, nor by another name of this machine.
    for other in [
        origin.to_owned(),
        format!("{origin}/"),
        format!("{origin}/{}", "0".repeat(64)),
    ] {
        assert_eq!(get(&other).await.0, 404, "{other}");
    }
    let renamed = client()
        .get(&setup.page)
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(renamed.status(), 404);

    let answer = client().get(&setup.page).send().await.unwrap();
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let policy = header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; form-action http://127.0.0.1:"),
        "{policy}"
    );
    assert_eq!(header("referrer-policy"), "no-referrer");
    let page = answer.text().await.unwrap();
    assert!(!page.contains("<script"), "{page}");
    let rows: Vec<String> = page
        .split("<tr><th scope=\"row\">")
        .skip(1)
        .map(|row| {
            between(row, "", "</td></tr>")
                .replace("</th><td>", ": ")
                .replace("</td><td>", ", ")
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @"
    issues: write, to comment, and to set labels
    pull_requests: write, to open pull requests and ask for reviews
    contents: write, to fetch the code, and to push branches of its own
    checks: write, to show evidence on commits
    metadata: read, to see who may do what
    ");
    let action = plain(between(&page, "action=\"", "\""));
    let (action, state) = action.split_once("?state=").unwrap();
    assert_eq!(
        action,
        format!("{}/organizations/acme/settings/apps/new", fake.web())
    );
    let manifest = plain(between(&page, "name=\"manifest\" value=\"", "\""));
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let back = manifest["redirect_url"].as_str().unwrap().to_owned();
    let shown = format!("{manifest:#}")
        .replace(&setup.page, "http://127.0.0.1:1/token")
        .replace(&fake.web(), "https://hub.example.org");
    insta::assert_snapshot!(shown, @r#"
    {
      "default_events": [
        "issues",
        "issue_comment",
        "pull_request",
        "pull_request_review",
        "pull_request_review_comment",
        "push",
        "create",
        "delete",
        "repository"
      ],
      "default_permissions": {
        "checks": "write",
        "contents": "write",
        "issues": "write",
        "metadata": "read",
        "pull_requests": "write"
      },
      "hook_attributes": {
        "active": true,
        "url": "https://prentice.example.org/hooks/main"
      },
      "name": "prentice-acme",
      "public": false,
      "redirect_url": "http://127.0.0.1:1/token/done",
      "url": "https://hub.example.org"
    }
    "#);

    // Somebody else's way back is refused, and asks GitHub nothing.
    for (query, status) in [
        ("code=good-code".to_owned(), 403),
        (format!("code=good-code&state={}", "0".repeat(64)), 403),
        (format!("code=&state={state}"), 400),
        (format!("code=../../user&state={state}"), 400),
    ] {
        assert_eq!(get(&format!("{back}?{query}")).await.0, status, "{query}");
    }
    assert!(fake.world().requests.is_empty());
    let (status, thanks) = get(&format!("{back}?code=good-code&state={state}")).await;
    assert_eq!(
        (status, thanks.contains("Thank you")),
        (200, true),
        "{thanks}"
    );

    let ended = setup.child.wait().unwrap();
    let rest: Vec<String> = setup.said.by_ref().map_while(Result::ok).collect();
    assert!(ended.success(), "{rest:?}");
    let mut out = String::new();
    std::io::Read::read_to_string(setup.child.stdout.as_mut().unwrap(), &mut out).unwrap();
    let out = out.replace(&setup.folder.path().display().to_string(), "/etc/prentice");
    let out = out.replace(&fake.web(), "https://hub.example.org");
    insta::assert_snapshot!(out, @"
    made     GitHub App prentice-test (https://forge.test/apps/prentice-test)
    made     /etc/prentice/main-private-key.pem
    made     /etc/prentice/main-webhook-secret
    made     /etc/prentice/server.toml
    note     no agent is named, so this server is a referee only; --agent-cmd names one
    note     install the App on acme/widget at https://forge.test/apps/prentice-test/installations/new
    note     make the label `agent`, which asks for a task, at https://hub.example.org/acme/widget/labels; the server makes those of stages (`agent:queued` and so on) when it first sets them
    next
      export PRENTICE_FORGE_MAIN_PRIVATE_KEY_FILE=/etc/prentice/main-private-key.pem
      export PRENTICE_FORGE_MAIN_WEBHOOK_SECRET_FILE=/etc/prentice/main-webhook-secret
      prentice doctor --config /etc/prentice/server.toml
      prentice serve --config /etc/prentice/server.toml
    ");
    let read = |name: &str| std::fs::read_to_string(setup.folder.path().join(name)).unwrap();
    insta::assert_snapshot!(read("server.toml").replace(&fake.web(), "https://hub.example.org"), @r#"
    # Made by `prentice setup`. Every key with its value: `prentice config show --server`.
    version = 1

    [[forge]]
    name = "main"
    kind = "github"
    base_url = "https://hub.example.org/api/v3"
    app_id = 77
    repos = ["acme/widget"]
    "#);
    for file in ["main-private-key.pem", "main-webhook-secret"] {
        assert_eq!(mode(&setup.folder.path().join(file)), 0o600, "{file}");
    }
    assert!(read("main-private-key.pem").contains("PRIVATE KEY"));
    assert_eq!(
        read("main-webhook-secret"),
        "a-secret-of-the-forge-long-enough\n"
    );
    assert!(
        !out.contains("PRIVATE KEY") && !out.contains("a-secret"),
        "{out}"
    );
    assert_eq!(
        fake.world().requests,
        ["POST /app-manifests/good-code/conversions"]
    );
    assert_eq!(fake.wrong(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_github_does_not_take_keeps_nothing() {
    let Some(fake) = Fake::enterprise().await else {
        return;
    };
    let mut setup = start(&fake);
    let page = get(&setup.page).await.1;
    let action = plain(between(&page, "action=\"", "\""));
    let state = action.split_once("?state=").unwrap().1;
    let (status, _) = get(&format!("{}/done?code=old-code&state={state}", setup.page)).await;
    assert_eq!(status, 200);
    assert_eq!(setup.child.wait().unwrap().code(), Some(2));
    let said: Vec<String> = setup.said.by_ref().map_while(Result::ok).collect();
    insta::assert_snapshot!(said.join("\n"), @"error: GitHub: the code that GitHub gave was refused as invalid: it was used already, or an hour is over; begin again");
    assert_eq!(std::fs::read_dir(setup.folder.path()).unwrap().count(), 0);
}

#[test]
fn a_flag_of_the_other_forge_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let said = |words: &[&str]| {
        let mut command = Command::new(crate::sandbox::helper());
        command.args([
            "--config",
            "server.toml",
            "setup",
            "--no-input",
            "--repo",
            "acme/widget",
        ]);
        // A secret that nobody would read is not read either.
        let done = command
            .args(words)
            .env_clear()
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        format!("{} {}", done.status.code().unwrap(), super::words(&done))
    };
    let gitea = ["--forge", "gitea", "--url", "https://git.example.org"];
    let mut all = String::new();
    for (forge, flags) in [
        (
            &["--forge", "github"][..],
            &["--admin-token-file", "missing"][..],
        ),
        (&["--forge", "github"], &["--bot-token-file", "missing"]),
        (
            &["--forge", "github"],
            &["--bot-token-file", "-", "--new-secret"],
        ),
        (&gitea, &["--org", "acme"]),
        (&gitea, &["--org", "acme", "--page-port", "9000"]),
    ] {
        all.push_str(&said(&[forge, flags].concat()));
    }
    insta::assert_snapshot!(all, @"
    2 error: --admin-token-file cannot be used with --forge github; an App brings a key and a secret of its own, so leave it out
    2 error: --bot-token-file cannot be used with --forge github; an App brings a key and a secret of its own, so leave it out
    2 error: --bot-token-file, --new-secret cannot be used with --forge github; an App brings a key and a secret of its own, so leave it out
    2 error: --org cannot be used with --forge gitea; only an App of GitHub takes it, so leave it out
    2 error: --org, --page-port cannot be used with --forge gitea; only an App of GitHub takes it, so leave it out
    ");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
