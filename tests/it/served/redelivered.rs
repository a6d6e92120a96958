//! Deliveries that come ten times, backwards, or never, with a server that is killed in between: the same body on
//! the real Gitea and on the fake GitHub.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};

use super::github::Hub;
use super::*;

/// A forge with one repository and a server for it.
#[async_trait]
trait Town: Send + Sync {
    /// An issue of the owner's, with the label.
    async fn labelled(&self) -> i64;
    /// The owner's comment; its id.
    async fn says(&self, issue: i64, text: &str) -> i64;
    /// Whether we have thumbed up this comment.
    async fn is_done(&self, comment: i64) -> bool;
    /// Who may approves the pull request of this branch, which marks it as ready; then a person merges it.
    async fn approves_and_merges(&mut self, pull: i64);
    async fn word(&self, issue: i64) -> String;
    /// Number and head branch of each pull request.
    async fn pulls(&self) -> Vec<(i64, String)>;
    /// Branches beside `main`.
    async fn branch_count(&self) -> usize;
    /// How many status comments an issue has.
    async fn status_count(&self, issue: i64) -> usize;
    /// Killed, as by `kill -9`, and started again.
    async fn restart(&mut self);
    fn home(&self) -> &std::path::Path;

    async fn comes_to(&self, issue: i64, stage: &str) {
        let started = Instant::now();
        while self.word(issue).await != stage {
            let log = || std::fs::read_to_string(self.home().join("log")).unwrap();
            let waited = started.elapsed();
            assert!(
                waited < Duration::from_secs(60),
                "{issue} is not {stage}\n{}",
                log()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Everything that was delivered until now was read: what is said after it is answered.
    async fn has_read(&self, issue: i64) {
        let asked = self.says(issue, "/agent status").await;
        let started = Instant::now();
        while !self.is_done(asked).await {
            assert!(started.elapsed() < Duration::from_secs(60), "not answered");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// One of everything for each of these issues, and `gone` branches that are not there any more.
    async fn has_one_of_each(&self, issues: &[i64], gone: usize) {
        let branches = |of: &[(i64, String)]| {
            let mut all: Vec<String> = of.iter().map(|(_, branch)| branch.clone()).collect();
            all.sort();
            all
        };
        let pulls = self.pulls().await;
        let mut expected: Vec<String> = issues
            .iter()
            .map(|issue| format!("agent/{issue}-no-answer"))
            .collect();
        expected.sort();
        assert_eq!(branches(&pulls), expected, "one pull request for each");
        assert_eq!(self.branch_count().await, issues.len() - gone);
        for issue in issues {
            assert_eq!(self.status_count(*issue).await, 1, "status of {issue}");
        }
        assert_eq!(tasks(self.home()), issues.len(), "one task for each");
    }
}

/// How many tasks the record has, final ones among them.
fn tasks(home: &std::path::Path) -> usize {
    let output = Command::new(crate::sandbox::helper())
        .arg("--config")
        .arg(home.join("server.toml"))
        .args(["tasks", "list", "--json"])
        .env("XDG_STATE_HOME", home.join("state"))
        .env("HOME", home)
        .output()
        .unwrap();
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    listed["tasks"].as_array().unwrap().len()
}

/// Carries deliveries from the forge to the server, and keeps a copy of each.
struct Postman {
    port: u16,
    post: Arc<Post>,
    walking: tokio::task::JoinHandle<()>,
}

struct Post {
    /// Where the server takes them.
    to: String,
    keeps_back: AtomicBool,
    kept: Mutex<Vec<(HeaderMap, Bytes)>>,
}

impl Drop for Postman {
    fn drop(&mut self) {
        self.walking.abort();
    }
}

impl Postman {
    async fn to(server: u16) -> Self {
        let post = Arc::new(Post {
            to: format!("http://127.0.0.1:{server}/hooks/main"),
            keeps_back: AtomicBool::new(false),
            kept: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let carried = async |State(post): State<Arc<Post>>, request: Request| -> StatusCode {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 32 << 20).await.unwrap();
            let letter = (parts.headers, body);
            post.kept.lock().unwrap().push(letter.clone());
            match post.keeps_back.load(Ordering::SeqCst) {
                true => StatusCode::OK,
                false => post.carry(letter).await,
            }
        };
        let router = axum::Router::new()
            .fallback(carried)
            .with_state(Arc::clone(&post));
        let walking = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            port,
            post,
            walking,
        }
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn keeps_back(&self, is: bool) {
        self.post.keeps_back.store(is, Ordering::SeqCst);
    }

    /// Delivers everything that ever came, the last first, this often.
    async fn backwards(&self, times: usize) {
        let kept = self.post.kept.lock().unwrap().clone();
        for letter in kept.iter().rev() {
            for _ in 0..times {
                let status = self.post.carry(letter.clone()).await;
                assert!(status.is_success(), "{status}");
            }
        }
    }

    fn count(&self) -> usize {
        self.post.kept.lock().unwrap().len()
    }
}

impl Post {
    /// As it came: headers, signature and id are the forge's own.
    async fn carry(&self, (headers, body): (HeaderMap, Bytes)) -> StatusCode {
        // Installed already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut request = reqwest::Client::new().post(&self.to).body(body);
        for (name, value) in &headers {
            if !matches!(name.as_str(), "host" | "content-length" | "connection") {
                request = request.header(name, value);
            }
        }
        match request.send().await {
            Ok(answer) => answer.status(),
            Err(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

async fn holds(mut town: impl Town, postman: Postman) {
    // Ten times and backwards, with restarts in between.
    let first = town.labelled().await;
    town.comes_to(first, "needs-review").await;
    assert!(postman.count() > 2, "the forge delivers");
    for times in [4, 3, 3] {
        postman.backwards(times).await;
        town.restart().await;
    }
    town.has_read(first).await;
    assert_eq!(town.word(first).await, "needs-review");
    town.has_one_of_each(&[first], 0).await;

    // The label is told of before the issue; each ten times, and killed while it works.
    postman.keeps_back(true);
    let second = town.labelled().await;
    let before = postman.count();
    let started = Instant::now();
    while postman.count() < before + 2 && started.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    postman.keeps_back(false);
    postman.backwards(5).await;
    town.restart().await;
    postman.backwards(5).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    town.restart().await;
    town.comes_to(second, "needs-review").await;
    town.has_one_of_each(&[first, second], 0).await;

    // Nothing is told at all: found by the sweep.
    postman.keeps_back(true);
    let third = town.labelled().await;
    town.restart().await;
    town.comes_to(third, "needs-review").await;
    let pulls = town.pulls().await;
    let branch = format!("agent/{first}-no-answer");
    let (pull, _) = pulls.iter().find(|(_, head)| *head == branch).unwrap();
    town.approves_and_merges(*pull).await;
    town.restart().await;
    town.comes_to(first, "merged").await;

    // What was lost comes after all, and everything else once more.
    postman.keeps_back(false);
    postman.backwards(10).await;
    town.has_read(third).await;
    assert_eq!(town.word(first).await, "merged");
    for issue in [second, third] {
        assert_eq!(town.word(issue).await, "needs-review");
    }
    let merged_branch_is_gone = usize::from(town.branch_count().await < 3);
    town.has_one_of_each(&[first, second, third], merged_branch_is_gone)
        .await;
}

#[async_trait]
impl Town for World {
    async fn labelled(&self) -> i64 {
        World::labelled(self).await
    }

    async fn says(&self, issue: i64, text: &str) -> i64 {
        let (owner, repo) = (&self.owner, &self.repo);
        self.gitea.comment(owner, repo, issue, text).await
    }

    async fn is_done(&self, comment: i64) -> bool {
        self.reaction(comment).await == "+1"
    }

    async fn approves_and_merges(&mut self, pull: i64) {
        let (owner, repo) = (&self.owner, &self.repo);
        let review = self
            .gitea
            .review(owner, repo, pull, "APPROVED", "good", &[]);
        review.await;
        self.restart().await;
        self.until("it is ready", 30, async || {
            self.at(&format!("pulls/{pull}")).await["draft"] == false
        })
        .await;
        self.gitea.merge(&self.owner, &self.repo, pull).await;
    }

    async fn word(&self, issue: i64) -> String {
        self.stage(issue).await
    }

    async fn pulls(&self) -> Vec<(i64, String)> {
        let pulls = World::pulls(self).await;
        let pair = |one: &Value| {
            let branch = one["head"]["ref"].as_str().unwrap().to_owned();
            (one["number"].as_i64().unwrap(), branch)
        };
        pulls.iter().map(pair).collect()
    }

    async fn branch_count(&self) -> usize {
        self.at("branches").await.as_array().unwrap().len() - 1
    }

    async fn status_count(&self, issue: i64) -> usize {
        self.by_bot(issue, "task=").await.len()
    }

    async fn restart(&mut self) {
        self.kill();
        self.serve(AGENT).await;
    }

    fn home(&self) -> &std::path::Path {
        self.folder.path()
    }
}

#[async_trait]
impl Town for Hub {
    async fn labelled(&self) -> i64 {
        Hub::labelled(self)
    }

    async fn says(&self, issue: i64, text: &str) -> i64 {
        self.fake.world().comment(issue, "dana", text)
    }

    async fn is_done(&self, comment: i64) -> bool {
        self.reactions(comment) == ["+1"]
    }

    async fn approves_and_merges(&mut self, pull: i64) {
        self.fake
            .world()
            .review(pull, "lee", "APPROVED", "good", &[]);
        self.restart().await;
        self.is_ready(pull).await;
        self.fake.world().merge(pull, "dana");
    }

    async fn word(&self, issue: i64) -> String {
        self.stage(issue)
    }

    async fn pulls(&self) -> Vec<(i64, String)> {
        let branch = |number| {
            let of = |one: &crate::github::world::Thread| one.pull.as_ref().unwrap().branch.clone();
            (number, self.of(number, of))
        };
        Hub::pulls(self).into_iter().map(branch).collect()
    }

    async fn branch_count(&self) -> usize {
        self.branches()
    }

    async fn status_count(&self, issue: i64) -> usize {
        self.by_us(issue, "task=").len()
    }

    async fn restart(&mut self) {
        self.kill();
        self.serve(AGENT).await;
    }

    fn home(&self) -> &std::path::Path {
        self.folder()
    }
}

async fn on_github(app: bool) {
    let Some(hub) = Hub::new(app, Hears::Hooks).await else {
        return;
    };
    let postman = Postman::to(hub.port()).await;
    hub.fake.world().hook = Some((postman.address(), SECRET.to_owned()));
    holds(hub, postman).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_github_as_an_app_ten_deliveries_are_one_and_none_is_missed() {
    on_github(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_github_with_a_token_ten_deliveries_are_one_and_none_is_missed() {
    on_github(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_gitea_ten_deliveries_are_one_and_none_is_missed() {
    let Some(world) = World::new("ten_deliveries_are_one", Hears::Hooks).await else {
        return;
    };
    let hooks = world.at("hooks").await;
    for hook in hooks.as_array().unwrap() {
        let path = format!("repos/{}/hooks/{}", world.repo.name, hook["id"]);
        let owner = &world.owner.token;
        world
            .gitea
            .does(owner, Method::DELETE, &path, Value::Null)
            .await;
    }
    let postman = Postman::to(world.port).await;
    world
        .gitea
        .hook(&world.repo, &postman.address(), SECRET)
        .await;
    holds(world, postman).await;
}
