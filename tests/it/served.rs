//! `prentice serve` on a real Gitea: from the label to the merge, as the people on it see it.

mod acts;
mod away;
mod bad;
mod ending;
mod faults;
mod figures;
mod front;
mod github;
mod keys;
mod people;
mod redelivered;
mod retention;
mod rewritten;
mod roads;
mod starting;
mod verdicts;

use std::future::Future;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::gitea::{Gitea, Repo, User};

const SECRET: &str = "a-secret-of-the-tests-long-enough";

/// What the agent does unless a test says otherwise: the answer is 42; asked again, it says why.
const AGENT: &str = "brief=$(cat); [ -e answer.txt ] && echo why > why.txt; echo 42 > answer.txt";

/// An issue that the agent solves.
const ISSUE: &str =
    "There is no answer.\n\n## Acceptance criteria\n\n- the answer is 42 (`tests`)\n";

/// The repository file unless a test says otherwise.
const FILE: &str =
    "version = 1\n[[verify]]\nname = \"tests\"\nrun = \"sh test.sh\"\n[pr]\nclose_grace = \"1s\"\n";

/// An agent that shows what it was told, as a file of its result.
const SHOWS: &str = "cat > told.txt; echo 42 > answer.txt; date +%N > when.txt";

/// An agent that takes its time.
const SLOW: &str = "cat >/dev/null; sleep 60";

/// How the server hears of things.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hears {
    /// By deliveries alone.
    Hooks,
    /// By deliveries that the test sends with its own hand, in whatever order.
    ByHand,
    /// By asking alone: nothing could be signed.
    Polling,
}

/// What the files say beside what every test needs.
#[derive(Clone, Copy)]
struct Keys {
    /// Lines of the repository file.
    repository: &'static str,
    /// Lines of the `[[forge]]`.
    forge: &'static str,
    /// Lines of the `[server]`.
    site: &'static str,
    /// Tables of the server file.
    server: &'static str,
    /// Empty: the server has none.
    agent: &'static str,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            repository: "",
            forge: "",
            site: "",
            server: "",
            agent: AGENT,
        }
    }
}

/// A repository with people, and a `prentice serve` for it.
struct World {
    gitea: Gitea,
    repo: Repo,
    owner: User,
    bot: User,
    folder: tempfile::TempDir,
    port: u16,
    hears: Hears,
    /// What `[[forge]] repos` names.
    repos: Vec<String>,
    /// What our token may do.
    scopes: &'static [&'static str],
    keys: Keys,
    /// Where the server finds the forge, if not directly.
    front: Option<String>,
    serving: Option<Child>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
    }
}

impl World {
    /// `None` where there is no Gitea.
    async fn new(test: &str, hears: Hears) -> Option<Self> {
        Self::with(test, hears, Keys::default()).await
    }

    /// The same, with more in its files.
    async fn with(test: &str, hears: Hears, keys: Keys) -> Option<Self> {
        let text = FILE.replacen('\n', &format!("\n{}\n", keys.repository), 1);
        Self::made(test, hears, &text, keys).await
    }

    /// The same with this repository file and this agent.
    async fn governed(test: &str, hears: Hears, text: &str, agent: &'static str) -> Option<Self> {
        let keys = Keys {
            agent,
            ..Keys::default()
        };
        Self::made(test, hears, text, keys).await
    }

    async fn made(test: &str, hears: Hears, text: &str, keys: Keys) -> Option<Self> {
        let mut world = Self::quiet(test, hears, text, keys).await?;
        world.serve(keys.agent).await;
        Some(world)
    }

    /// The same, not served yet.
    async fn quiet(test: &str, hears: Hears, text: &str, keys: Keys) -> Option<Self> {
        let gitea = Gitea::start(test)?;
        let (owner, bot) = (gitea.user("dana").await, gitea.user("bot").await);
        let repo = gitea.repo(&owner, "thing", false).await;
        gitea.collaborator(&repo, &bot, "write").await;
        gitea.define_label(&repo, "agent").await;
        let file = async |path: &str, text: &str| {
            gitea.file(&owner, &repo, "main", path, text).await;
        };
        file("test.sh", "#!/bin/sh\n[ \"$(cat answer.txt)\" = 42 ]\n").await;
        file(".gitea/prentice.toml", text).await;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        if hears == Hears::Hooks {
            let url = format!("http://127.0.0.1:{port}/hooks/main");
            gitea.hook(&repo, &url, SECRET).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self {
            gitea,
            repo,
            owner,
            bot,
            folder,
            port,
            hears,
            repos: Vec::new(),
            scopes: crate::gitea::LEAST,
            keys,
            front: None,
            serving: None,
        };
        world.repos.push(world.repo.name.clone());
        Some(world)
    }

    /// Starts the server; it is there when this returns.
    async fn serve(&mut self, agent: &str) {
        let poll = match self.hears {
            Hears::Hooks | Hears::ByHand => "0",
            Hears::Polling => "10s",
        };
        let agent = match agent {
            "" => String::new(),
            agent => format!("[agents.default]\ncommand = [\"sh\", \"-c\", '''{agent}''']"),
        };
        let config = format!(
            "version = 1\n[server]\nlisten = \"127.0.0.1:{}\"\n{}\n[[forge]]\nname = \"main\"\nkind = \"gitea\"\n\
             base_url = \"{}\"\nrepos = {:?}\npoll = \"{poll}\"\n{}\n{agent}\n{}\n",
            self.port,
            self.keys.site,
            self.front.as_deref().unwrap_or(self.gitea.url()),
            self.repos,
            self.keys.forge,
            self.keys.server,
        );
        let file = self.folder.path().join("server.toml");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let token = self.gitea.token(&self.bot, self.scopes).await;
        let mut command = Command::new(crate::sandbox::helper());
        if self.hears != Hears::Polling {
            command.env("PRENTICE_FORGE_MAIN_WEBHOOK_SECRET", SECRET);
        }
        let child = command
            .args(["--config", file.to_str().unwrap(), "serve"])
            .env("PRENTICE_FORGE_MAIN_TOKEN", token)
            .env("PRENTICE_FORGE_DEAD_TOKEN", "of-another-forge")
            .env("PRENTICE_FORGE_MAIN_SIGNING_KEY_FILE", self.signing_key())
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.serving = Some(child);
        let address = ("127.0.0.1", self.port);
        self.until("the server listens", 30, async || {
            std::net::TcpStream::connect(address).is_ok()
        })
        .await;
    }

    /// Sends a delivery as Gitea does, signed.
    async fn deliver(&self, event: &str, body: &Value) {
        let body = body.to_string();
        let url = format!("http://127.0.0.1:{}/hooks/main", self.port);
        let signature = crate::web::sign_with(SECRET, body.as_bytes());
        let sent = reqwest::Client::new()
            .post(url)
            .header("x-gitea-event-type", event)
            .header("x-gitea-delivery", &signature[..32])
            .header("x-gitea-signature", &signature)
            .body(body)
            .send();
        // One that is known already is answered 200.
        let status = sent.await.unwrap().status().as_u16();
        assert!([200, 202].contains(&status), "{status}");
    }

    /// What a delivery about an issue says, as the issue is now.
    async fn told(&self, action: &str, issue: i64, sender: &User) -> Value {
        let issue = self.at(&format!("issues/{issue}")).await;
        json!({
            "action": action, "issue": issue, "sender": { "login": sender.login },
            "repository": { "id": self.repo.id, "full_name": self.repo.name },
        })
    }

    /// The key that signs commits where the server file wants that.
    fn signing_key(&self) -> PathBuf {
        let file = self.folder.path().join("signing-key");
        if !file.exists() {
            crate::git::ssh_key(self.folder.path(), &["-t", "ed25519"], "");
        }
        file
    }

    /// What a command of the program prints beside the server, on standard output.
    fn prentice(&self, args: &[&str]) -> String {
        let output = Command::new(crate::sandbox::helper())
            .args(args)
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Does nothing, or goes on: `STOP`, `CONT`.
    fn signal(&self, signal: &str) {
        let Some(child) = &self.serving else { return };
        let id = child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.serving.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, secs: u64, is: impl Fn() -> F) {
        // A machine on which several of these servers work beside a whole Gitea is slow, which is no fault of theirs.
        let secs = if secs < 30 { secs } else { secs.max(60) };
        let started = Instant::now();
        while !is().await {
            if started.elapsed() > Duration::from_secs(secs) {
                let (log, task) = (self.said(), self.prentice(&["tasks", "show", "T-1"]));
                panic!("{what}: not within {secs} s\n{log}\n{task}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn at(&self, path: &str) -> Value {
        self.gitea
            .get(&format!("repos/{}/{path}", self.repo.name))
            .await
    }

    /// An issue by the owner, with the label.
    async fn labelled(&self) -> i64 {
        let issue = self
            .gitea
            .issue(&self.owner, &self.repo, "No answer", ISSUE)
            .await;
        self.gitea
            .label(&self.owner, &self.repo, issue, &["agent"])
            .await;
        issue
    }

    /// A labelled issue that became a pull request: both numbers.
    async fn in_review(&self) -> (i64, i64) {
        let issue = self.labelled().await;
        self.is_at(issue, "needs-review").await;
        let branch = format!("agent/{issue}-");
        let pulls = self.pulls().await;
        let of_it = pulls.iter().find(|pull| {
            let head = pull["head"]["ref"].as_str().unwrap();
            head.starts_with(&branch) && pull["state"] == "open"
        });
        (issue, of_it.unwrap()["number"].as_i64().unwrap())
    }

    /// The pull request is no draft any more.
    async fn is_ready(&self, pull: i64) {
        self.until("it is ready", 30, async || {
            self.at(&format!("pulls/{pull}")).await["draft"] == false
        })
        .await;
    }

    /// A person approves, which marks the draft as ready.
    async fn approved(&self, by: &User, pull: i64) {
        self.gitea
            .review(by, &self.repo, pull, "APPROVED", "good", &[])
            .await;
        self.is_ready(pull).await;
    }

    async fn head(&self, pull: i64) -> String {
        let pull = self.at(&format!("pulls/{pull}")).await;
        pull["head"]["sha"].as_str().unwrap().to_owned()
    }

    /// The text of the one status comment.
    async fn status_text(&self, issue: i64) -> String {
        self.by_bot(issue, "task=").await.pop().unwrap_or_default()
    }

    async fn status_says(&self, issue: i64, words: &str) {
        let what = format!("the status of {issue} says: {words}");
        self.until(&what, 60, async || {
            self.status_text(issue).await.contains(words)
        })
        .await;
    }

    /// Whatever stood on an issue or pull request by now was looked at: what somebody without rights asks for there is
    /// looked at last, and is answered by a thumb alone.
    async fn has_looked(&self, number: i64) {
        static LOOKS: AtomicU32 = AtomicU32::new(1);
        let word = format!("passer{}by", LOOKS.fetch_add(1, Ordering::Relaxed));
        let passer = self.gitea.user(&word).await;
        let said = self
            .gitea
            .comment(&passer, &self.repo, number, "/agent run");
        let said = said.await;
        if self.hears == Hears::ByHand {
            let mut told = self.told("created", number, &passer).await;
            told["comment"] = json!({ "id": said, "body": "/agent run" });
            self.deliver("issue_comment", &told).await;
        }
        let what = format!("#{number} is looked at");
        self.until(&what, 60, async || {
            !matches!(self.reaction(said).await.as_str(), "" | "eyes")
        })
        .await;
    }

    /// Nothing that was decided is still to be done, but what waits for a time.
    async fn is_settled(&self) {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        self.until("all jobs are done", 60, async || {
            let page = reqwest::get(&url).await.unwrap().text().await.unwrap();
            let mut jobs = page
                .lines()
                .filter(|line| line.starts_with("prentice_jobs{"));
            jobs.all(|line| line.contains("kind=\"wait\"") || line.ends_with(" 0"))
        })
        .await;
    }

    /// Stages of the tasks of an issue that has one or had one.
    fn tasks_of(&self, issue: i64) -> Vec<String> {
        let listed = self.prentice(&["tasks", "list", "--json"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let branch = format!("agent/{issue}-");
        let tasks = listed["tasks"].as_array().unwrap().iter();
        tasks
            .filter(|one| one["branch"].as_str().unwrap().starts_with(&branch))
            .map(|one| one["stage"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Everything on an issue was looked at, and nothing came of it.
    async fn stays_untouched(&self, issue: i64) {
        self.has_looked(issue).await;
        assert_eq!(self.tasks_of(issue), [""; 0]);
        assert_eq!(self.by_bot(issue, "").await, [""; 0]);
    }

    /// A file as a branch has it.
    async fn text_at(&self, branch: &str, path: &str) -> String {
        let url = format!("repos/{}/raw/{path}?ref={branch}", self.repo.name);
        let admin = &self.gitea.server.admin;
        let (status, text) = self.gitea.ask(admin, Method::GET, &url, None).await;
        assert_eq!(status, 200, "{path} on {branch}: {text}");
        match text {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// Another person with this permission there.
    async fn person(&self, word: &str, permission: &str) -> User {
        let user = self.gitea.user(word).await;
        self.gitea.collaborator(&self.repo, &user, permission).await;
        user
    }

    /// The word of the stage in the one status comment.
    async fn stage(&self, issue: i64) -> String {
        let statuses = self.by_bot(issue, "task=").await;
        assert!(statuses.len() <= 1, "{statuses:?}");
        let status = statuses.into_iter().next().unwrap_or_default();
        let word = status
            .split_once("**Agent task: ")
            .and_then(|(_, rest)| rest.split_once("**"));
        word.map_or(String::new(), |(word, _)| word.to_owned())
    }

    async fn is_at(&self, issue: i64, stage: &str) {
        let what = format!("issue {issue} is at {stage}");
        self.until(&what, 60, async || self.stage(issue).await == stage)
            .await;
    }

    /// Comments of ours whose mark says this.
    async fn by_bot(&self, issue: i64, mark: &str) -> Vec<String> {
        let comments = self.gitea.comments(&self.repo, issue).await;
        let bodies = comments.iter().filter_map(|comment| {
            let body = comment["body"].as_str().unwrap().to_owned();
            let ours = comment["user"]["login"] == self.bot.login.as_str();
            let first = body.lines().next().unwrap_or_default();
            // Notifications have a key of their own.
            (ours && first.contains(mark) && !first.contains(" key=")).then_some(body)
        });
        bodies.collect()
    }

    async fn pulls(&self) -> Vec<Value> {
        let pulls = self.at("pulls?state=all").await;
        pulls.as_array().unwrap().clone()
    }

    /// The newest status of a context on a commit.
    async fn status(&self, sha: &str, context: &str) -> String {
        let all = self.at(&format!("commits/{sha}/status")).await;
        let all = all["statuses"].as_array().cloned().unwrap_or_default();
        let of = all.iter().find(|one| one["context"] == context);
        of.map_or(String::new(), |one| {
            one["status"].as_str().unwrap_or_default().to_owned()
        })
    }

    /// Our reaction to a comment.
    async fn reaction(&self, comment: i64) -> String {
        let path = format!("issues/comments/{comment}/reactions");
        let all = self.at(&path).await;
        let all = all.as_array().cloned().unwrap_or_default();
        let words: Vec<&str> = all
            .iter()
            .filter(|one| one["user"]["login"] == self.bot.login.as_str())
            .filter_map(|one| one["content"].as_str())
            .collect();
        words.join(",")
    }

    async fn reacts(&self, comment: i64, word: &str) {
        let what = format!("comment {comment} gets {word}");
        self.until(&what, 30, async || self.reaction(comment).await == word)
            .await;
    }

    /// Changes a file that is there, on a branch that may be new.
    async fn change(&self, by: &User, branch: &str, path: &str, text: &str) {
        let url = format!("repos/{}/contents/{path}", self.repo.name);
        let exists = format!("repos/{}/branches/{branch}", self.repo.name);
        let (status, _) = self.gitea.ask(&by.token, Method::GET, &exists, None).await;
        let on = if status == 404 { "main" } else { branch };
        let old = self.gitea.get(&format!("{url}?ref={on}")).await;
        let mut body = json!({
            "content": crate::gitea::base64_text(text.as_bytes()), "message": format!("change {path}"),
            "sha": old["sha"], "branch": on,
        });
        if status == 404 {
            body["new_branch"] = json!(branch);
        }
        self.gitea.does(&by.token, Method::PUT, &url, body).await;
    }
}
