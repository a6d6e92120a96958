//! People, repositories and what they do there, through the same interface that people have.

use std::sync::atomic::{AtomicU32, Ordering};

use prentice::forge::{Service, gitea};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;

use super::described::{Fault, Proxy};
use super::server::{Server, server};

/// What a token needs at least for everything that our adapter does.
pub(crate) const LEAST: &[&str] = &["write:issue", "write:repository", "read:user"];

/// One test's part of the Gitea: names end in a number of its own, so that tests do not meet.
pub(crate) struct Gitea {
    pub(crate) server: &'static Server,
    http: reqwest::Client,
    number: u32,
}

/// An account.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) login: String,
    pub(crate) id: i64,
    /// May do whatever the account may.
    pub(crate) token: String,
    pub(crate) password: String,
}

/// A repository with a branch `main` that has a file `README.md`.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    pub(crate) id: i64,
    /// `owner/name`
    pub(crate) name: String,
}

static TESTS: AtomicU32 = AtomicU32::new(1);

impl Gitea {
    /// The running Gitea, `None` where there is none, told as skipped under the test's name.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let server = server(test)?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let number = TESTS.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            server,
            http,
            number,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.server.url
    }

    /// `word` with this test's number.
    pub(crate) fn named(&self, word: &str) -> String {
        format!("{word}{}", self.number)
    }

    /// The adapter under test, for this account with its mighty token.
    pub(crate) fn service(&self, user: &User) -> Arc<dyn Service> {
        self.service_with(&user.token)
    }

    /// The adapter with this token. Each request that Forgejo's description does not know fails.
    pub(crate) fn service_with(&self, token: &str) -> Arc<dyn Service> {
        let proxy = Proxy::of(self.server);
        gitea("tests", &proxy.url, SecretString::from(token.to_owned())).unwrap()
    }

    /// From now on the first of two writes with this token goes wrong.
    pub(crate) fn fail(&self, token: &str, fault: Fault) {
        Proxy::of(self.server).fail(token, fault);
    }

    /// What adapters with this token did, a line `METHOD path status` each; `None` without Forgejo's description.
    pub(crate) fn done(&self, token: &str) -> Option<String> {
        Proxy::of(self.server).done(token)
    }

    /// Asks the interface; gives status and answer.
    pub(crate) async fn ask(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let url = format!("{}/api/v1/{path}", self.url());
        let mut request = self
            .http
            .request(method, url)
            .header("authorization", format!("token {token}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (status, value)
    }

    /// The same, which has to go well.
    pub(crate) async fn does(&self, token: &str, method: Method, path: &str, body: Value) -> Value {
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = self.ask(token, method.clone(), path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let admin = &self.server.admin;
        self.does(admin, Method::GET, path, Value::Null).await
    }

    async fn site(&self, method: Method, path: &str, body: Value) -> Value {
        self.does(&self.server.admin, method, path, body).await
    }

    /// A new account called `word` and this test's number.
    pub(crate) async fn user(&self, word: &str) -> User {
        let login = self.named(word);
        let password = format!("password-of-{login}");
        let account = json!({
            "username": login, "email": format!("{login}@example.invalid"), "password": password,
            "must_change_password": false,
        });
        let made = self.site(Method::POST, "admin/users", account).await;
        let mut user = User {
            id: made["id"].as_i64().unwrap(),
            login,
            token: String::new(),
            password,
        };
        user.token = self.token(&user, &["all"]).await;
        user
    }

    /// A further token of the account, with these scopes.
    pub(crate) async fn token(&self, user: &User, scopes: &[&str]) -> String {
        static TOKENS: AtomicU32 = AtomicU32::new(1);
        let name = format!("t{}", TOKENS.fetch_add(1, Ordering::Relaxed));
        let url = format!("{}/api/v1/users/{}/tokens", self.url(), user.login);
        let request = self.http.post(url);
        let response = request
            .basic_auth(&user.login, Some(&user.password))
            .json(&json!({ "name": name, "scopes": scopes }))
            .send()
            .await
            .unwrap();
        let answer: Value = response.json().await.unwrap();
        answer["sha1"].as_str().unwrap().to_owned()
    }

    /// A new organisation of the site's administrator; gives its name.
    pub(crate) async fn org(&self, word: &str) -> String {
        let name = self.named(word);
        let body = json!({ "username": name });
        self.site(Method::POST, "orgs", body).await;
        name
    }

    /// A repository of this organisation.
    pub(crate) async fn org_repo(&self, org: &str, name: &str, private: bool) -> Repo {
        let path = format!("orgs/{org}/repos");
        self.repo_at(&path, &self.server.admin, name, private).await
    }

    /// A repository of this account.
    pub(crate) async fn repo(&self, owner: &User, name: &str, private: bool) -> Repo {
        self.repo_at("user/repos", &owner.token, name, private)
            .await
    }

    async fn repo_at(&self, path: &str, token: &str, name: &str, private: bool) -> Repo {
        let body = json!({
            "name": name, "private": private, "auto_init": true, "default_branch": "main",
            "readme": "Default",
        });
        let made = self.does(token, Method::POST, path, body).await;
        Repo {
            id: made["id"].as_i64().unwrap(),
            name: made["full_name"].as_str().unwrap().to_owned(),
        }
    }

    /// Gives the account `read`, `write` or `admin` there.
    pub(crate) async fn collaborator(&self, repo: &Repo, user: &User, permission: &str) {
        let path = format!("repos/{}/collaborators/{}", repo.name, user.login);
        let body = json!({ "permission": permission });
        self.site(Method::PUT, &path, body).await;
    }

    /// A team of the organisation, with what it may do in each unit (`repo.issues`, `write`), in all its repositories.
    pub(crate) async fn team(
        &self,
        org: &str,
        name: &str,
        units: &[(&str, &str)],
        members: &[&User],
    ) {
        let map: serde_json::Map<String, Value> = units
            .iter()
            .map(|(unit, mode)| ((*unit).to_owned(), json!(mode)))
            .collect();
        let body = json!({
            "name": name, "permission": "read", "includes_all_repositories": true, "units_map": map,
        });
        let path = format!("orgs/{org}/teams");
        let team = self.site(Method::POST, &path, body).await;
        for member in members {
            let path = format!("teams/{}/members/{}", team["id"], member.login);
            self.site(Method::PUT, &path, Value::Null).await;
        }
    }

    /// A file on a branch, written as this account; gives the commit.
    pub(crate) async fn file(
        &self,
        by: &User,
        repo: &Repo,
        branch: &str,
        path: &str,
        text: &str,
    ) -> String {
        use base64_text as b64;
        let url = format!("repos/{}/contents/{path}", repo.name);
        let new = branch != "main";
        let mut body =
            json!({ "content": b64(text.as_bytes()), "message": format!("{path} on {branch}") });
        let exists = format!("repos/{}/branches/{branch}", repo.name);
        let (status, _) = self.ask(&by.token, Method::GET, &exists, None).await;
        match new && status == 404 {
            true => {
                body["branch"] = json!("main");
                body["new_branch"] = json!(branch);
            }
            false => body["branch"] = json!(branch),
        }
        let made = self.does(&by.token, Method::POST, &url, body).await;
        made["commit"]["sha"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn issue(&self, by: &User, repo: &Repo, title: &str, body: &str) -> i64 {
        let path = format!("repos/{}/issues", repo.name);
        let new = json!({ "title": title, "body": body });
        let made = self.does(&by.token, Method::POST, &path, new).await;
        made["number"].as_i64().unwrap()
    }

    pub(crate) async fn comment(&self, by: &User, repo: &Repo, number: i64, body: &str) -> i64 {
        let path = format!("repos/{}/issues/{number}/comments", repo.name);
        let made = self
            .does(&by.token, Method::POST, &path, json!({ "body": body }))
            .await;
        made["id"].as_i64().unwrap()
    }

    pub(crate) async fn edit_comment(&self, by: &User, repo: &Repo, id: i64, body: &str) {
        let path = format!("repos/{}/issues/comments/{id}", repo.name);
        self.does(&by.token, Method::PATCH, &path, json!({ "body": body }))
            .await;
    }

    pub(crate) async fn delete_comment(&self, by: &User, repo: &Repo, id: i64) {
        let path = format!("repos/{}/issues/comments/{id}", repo.name);
        self.does(&by.token, Method::DELETE, &path, Value::Null)
            .await;
    }

    /// Defines a label; gives its number.
    pub(crate) async fn define_label(&self, repo: &Repo, name: &str) -> i64 {
        let path = format!("repos/{}/labels", repo.name);
        let body = json!({ "name": name, "color": "#00aabb" });
        let made = self.site(Method::POST, &path, body).await;
        made["id"].as_i64().unwrap()
    }

    /// Puts labels, defined already, on an issue.
    pub(crate) async fn label(&self, by: &User, repo: &Repo, number: i64, names: &[&str]) {
        let path = format!("repos/{}/issues/{number}/labels", repo.name);
        self.does(&by.token, Method::POST, &path, json!({ "labels": names }))
            .await;
    }

    /// Takes a label off.
    pub(crate) async fn unlabel(&self, by: &User, repo: &Repo, number: i64, name: &str) {
        let path = format!("repos/{}/issues/{number}/labels", repo.name);
        let there = self.does(&by.token, Method::GET, &path, Value::Null).await;
        let all = there.as_array().unwrap();
        let id = &all.iter().find(|one| one["name"] == name).unwrap()["id"];
        self.does(
            &by.token,
            Method::DELETE,
            &format!("{path}/{id}"),
            Value::Null,
        )
        .await;
    }

    /// Names of the labels of an issue, sorted.
    pub(crate) async fn labels(&self, repo: &Repo, number: i64) -> Vec<String> {
        let there = self
            .get(&format!("repos/{}/issues/{number}/labels", repo.name))
            .await;
        let all = there.as_array().unwrap().iter();
        let mut names: Vec<String> = all
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// Changes an issue or pull request: `{"state": "closed"}`, `{"assignees": […]}`, `{"title": …}`.
    pub(crate) async fn edit(&self, by: &User, repo: &Repo, number: i64, change: Value) {
        let path = format!("repos/{}/issues/{number}", repo.name);
        self.does(&by.token, Method::PATCH, &path, change).await;
    }

    /// Comments on an issue or pull request, as they are.
    pub(crate) async fn comments(&self, repo: &Repo, number: i64) -> Vec<Value> {
        let path = format!("repos/{}/issues/{number}/comments", repo.name);
        self.get(&path).await.as_array().unwrap().clone()
    }

    /// A pull request of a branch of this repository (or `fork-owner:branch`) to `main`; gives its number.
    pub(crate) async fn pull(&self, by: &User, repo: &Repo, head: &str, title: &str) -> i64 {
        let path = format!("repos/{}/pulls", repo.name);
        let body = json!({ "head": head, "base": "main", "title": title, "body": "by a person" });
        let made = self.does(&by.token, Method::POST, &path, body).await;
        made["number"].as_i64().unwrap()
    }

    /// A submitted review: `APPROVED`, `REQUEST_CHANGES` or `COMMENT`, with remarks on (path, line, text).
    pub(crate) async fn review(
        &self,
        by: &User,
        repo: &Repo,
        number: i64,
        event: &str,
        body: &str,
        remarks: &[(&str, u32, &str)],
    ) -> i64 {
        let path = format!("repos/{}/pulls/{number}/reviews", repo.name);
        let remarks: Vec<Value> = remarks
            .iter()
            .map(|(path, line, body)| json!({ "path": path, "new_position": line, "body": body }))
            .collect();
        let body = json!({ "event": event, "body": body, "comments": remarks });
        let made = self.does(&by.token, Method::POST, &path, body).await;
        made["id"].as_i64().unwrap()
    }

    /// A remark within somebody's review, as the form of a page sends it: whoever may read says which review it is an
    /// answer to. No route of the interface does that.
    pub(crate) async fn answer(
        &self,
        by: &User,
        repo: &Repo,
        number: i64,
        review: i64,
        (path, line, text): (&str, u32, &str),
    ) {
        let form = |fields: &[(&str, &str)]| {
            let coded = |text: &str| {
                let bytes = text.bytes().map(|byte| match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
                    other => format!("%{other:02X}"),
                });
                bytes.collect::<String>()
            };
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| format!("{name}={}", coded(value)));
            fields.collect::<Vec<_>>().join("&")
        };
        let send = async |path: &str, cookie: &str, body: String| {
            let request = self.http.post(format!("{}/{path}", self.url()));
            let request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .header("cookie", cookie);
            request.body(body).send().await.unwrap()
        };
        let login = form(&[("user_name", &by.login), ("password", &by.password)]);
        let entered = send("user/login", "", login).await;
        assert_eq!(entered.status(), 303, "the login");
        // The session is made anew by the login: of two cookies of a name the second counts.
        let mut cookies = std::collections::BTreeMap::new();
        for one in entered.headers().get_all("set-cookie") {
            let pair = one.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        let cookies = cookies.iter().filter(|(_, value)| !value.is_empty());
        let cookies = cookies.map(|(name, value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        let page = format!("{}/pulls/{number}/files/reviews/comments", repo.name);
        let answer = form(&[
            ("origin", "timeline"),
            ("side", "proposed"),
            ("single_review", "true"),
            ("content", text),
            ("path", path),
            ("line", &line.to_string()),
            ("reply", &review.to_string()),
        ]);
        // It is made before the page is, and a Gitea without its pages fails at that one. Who asks looks whether it is there.
        send(&page, &cookies, answer).await;
    }

    /// Merges a pull request with a merge commit, as this account. Tried again while Gitea still looks whether it can.
    pub(crate) async fn merge(&self, by: &User, repo: &Repo, number: i64) {
        let path = format!("repos/{}/pulls/{number}/merge", repo.name);
        for _ in 0..100 {
            let body = json!({ "Do": "merge" });
            let (status, answer) = self.ask(&by.token, Method::POST, &path, Some(body)).await;
            match status {
                200 => return,
                405 | 409 | 500 => {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
                _ => panic!("{path}: {status} {answer}"),
            }
        }
        panic!("{path}: never mergeable");
    }

    pub(crate) async fn close(&self, by: &User, repo: &Repo, number: i64) {
        self.edit(by, repo, number, json!({ "state": "closed" }))
            .await;
    }

    pub(crate) async fn reopen(&self, by: &User, repo: &Repo, number: i64) {
        self.edit(by, repo, number, json!({ "state": "open" }))
            .await;
    }

    /// A webhook for everything, sent to a loopback address with signatures made from `secret`.
    pub(crate) async fn hook(&self, repo: &Repo, url: &str, secret: &str) -> i64 {
        let path = format!("repos/{}/hooks", repo.name);
        let body = json!({
            "type": "gitea", "active": true,
            "config": { "url": url, "content_type": "json", "secret": secret },
            "events": [
                "issues", "issue_label", "issue_assign", "issue_comment", "pull_request", "pull_request_label",
                "pull_request_assign", "pull_request_comment", "pull_request_review_approved",
                "pull_request_review_rejected", "pull_request_review_comment", "pull_request_review_request",
                "pull_request_sync", "push", "status", "repository", "create", "delete",
            ],
        });
        let made = self.site(Method::POST, &path, body).await;
        made["id"].as_i64().unwrap()
    }
}

/// Base64, as bodies of files want it.
pub(crate) fn base64_text(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for at in 0..4 {
            let sign = SIGNS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { sign.into() } else { '=' });
        }
    }
    text
}
