//! `prentice serve` on the fake GitHub, as an App and with a token: what it sends and what it is answered is held to
//! GitHub's published description, which fails the test at its end.

mod away;
mod doctor;
mod faults;
mod hears;
mod moved;
mod people;
pub(super) mod rewritten;
mod roads;
mod unseen;

use super::*;
use crate::github::server::Fake;
use crate::github::world::{APP, APP_BOT, Comment, REPO, TOKEN, TOKEN_BOT, Thread};

/// A repository of the fake GitHub with people and code, and a `prentice serve` for it.
pub(super) struct Hub {
    pub(super) fake: Fake,
    folder: tempfile::TempDir,
    app: bool,
    port: u16,
    poll: &'static str,
    serving: Option<Child>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Hub {
    /// `None` where GitHub's description was not fetched.
    pub(super) async fn new(app: bool, hears: Hears) -> Option<Self> {
        let mut hub = Self::quiet(app, hears).await?;
        hub.serve(AGENT).await;
        Some(hub)
    }

    /// As `new`, not served yet. `dana` owns it, `lee` may write.
    pub(super) async fn quiet(app: bool, hears: Hears) -> Option<Self> {
        Some(Self::on(Fake::public().await?, app, hears))
    }

    /// As `quiet`, on this one.
    fn on(fake: Fake, app: bool, hears: Hears) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let root = folder.path().join("forge");
        let bare = crate::http_git::bare(&root, "acme/widget.git", None);
        // As GitHub: whatever is there can be asked for by its id.
        crate::git::git(&bare, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        std::fs::create_dir(folder.path().join("people")).unwrap();
        let hub = Self {
            fake,
            folder,
            app,
            port,
            poll: match hears {
                Hears::Hooks | Hears::ByHand => "0",
                Hears::Polling => "10s",
            },
            serving: None,
        };
        let people = hub.people();
        crate::git::git(&people, &["init", "-q", "-b", "main"]);
        let rules = "version = 1\n[[verify]]\nname = \"tests\"\nrun = \"sh test.sh\"\n[pr]\nclose_grace = \"1s\"\n";
        let test = "#!/bin/sh\n[ \"$(cat answer.txt)\" = 42 ]\n";
        let files = [("test.sh", test), (".github/prentice.toml", rules)];
        let main = crate::git::commit(&people, &files);
        hub.give(&bare, "HEAD", "refs/heads/main");
        {
            let mut world = hub.fake.world();
            world.goes_live();
            world.issues.clear();
            world.person("lee", "User", Some(("write", "push")));
            world.push("main", &main);
            world.git = Some(bare);
            world.git_at = hub.fake.web();
            if hears == Hears::Hooks {
                let url = format!("http://127.0.0.1:{port}/hooks/main");
                world.hook = Some((url, SECRET.to_owned()));
            }
        }
        hub
    }

    fn people(&self) -> PathBuf {
        self.folder.path().join("people")
    }

    /// What people committed gets into the repository, past HTTP and hooks.
    fn give(&self, bare: &std::path::Path, what: &str, name: &str) {
        let people = self.people();
        let from = format!("+{what}:{name}");
        crate::git::git(bare, &["fetch", "-q", people.to_str().unwrap(), &from]);
    }

    /// A person's commit on what `main` was at the start, on a branch of the repository, or of nobody yet.
    fn commit(&self, files: &[(&str, &str)], to: &str) -> prentice::domain::ident::CommitId {
        let people = self.people();
        crate::git::git(&people, &["checkout", "-q", "--detach", "main"]);
        let made = crate::git::commit(&people, files);
        let bare = self.fake.world().git.clone().unwrap();
        self.give(&bare, "HEAD", to);
        made
    }

    /// A pull request of a stranger's fork, whose branch is nowhere that we could reach.
    fn pull_of_a_fork(&self, files: &[(&str, &str)]) -> (i64, String) {
        let head = self.commit(files, "refs/pull/0/head").to_string();
        let mut world = self.fake.world();
        let number = world.pull(
            "mallory",
            ("main", REPO + 1, "main"),
            ("from a fork", ""),
            false,
        );
        world.head_moved(number, &head, "mallory");
        (number, head)
    }

    /// Writes the server file.
    fn configure(&self, agent: &str) {
        let (port, base, poll) = (self.port, self.fake.base(), self.poll);
        let app = match self.app {
            true => format!("app_id = {APP}\n"),
            false => String::new(),
        };
        let config = format!(
            "version = 1\n[server]\nlisten = \"127.0.0.1:{port}\"\n[[forge]]\nname = \"main\"\nkind = \"github\"\n\
             base_url = \"{base}\"\n{app}repos = [\"acme/widget\"]\npoll = \"{poll}\"\n[agents.default]\n\
             command = [\"sh\", \"-c\", '''{agent}''']\n",
        );
        let file = self.folder.path().join("server.toml");
        std::fs::write(&file, config).unwrap();
    }

    /// Starts the server; it is there when this returns.
    pub(super) async fn serve(&mut self, agent: &str) {
        self.configure(agent);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let mut command = self.command(&["serve"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null());
        self.serving = Some(child.stderr(log).spawn().unwrap());
        let address = ("127.0.0.1", self.port);
        self.until("the server listens", 30, async || {
            std::net::TcpStream::connect(address).is_ok()
        })
        .await;
    }

    /// The program with this server's settings.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(crate::sandbox::helper());
        command
            .arg("--config")
            .arg(self.folder.path().join("server.toml"))
            .args(words)
            .env("PRENTICE_FORGE_MAIN_WEBHOOK_SECRET", SECRET)
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("HOME", self.folder.path());
        match self.app {
            true => {
                let key = crate::github::description::cached("app.pem").unwrap();
                let key = String::from_utf8(key).unwrap();
                command.env("PRENTICE_FORGE_MAIN_PRIVATE_KEY", key)
            }
            false => command.env("PRENTICE_FORGE_MAIN_TOKEN", TOKEN),
        };
        command
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.serving.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What the server told, and what it asked last.
    pub(super) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let world = self.fake.world();
        let last = world.requests.len().saturating_sub(60);
        let told = world
            .deliveries
            .iter()
            .map(|one| format!("{} {} {}", one.status, one.event, one.payload["action"]));
        let told: Vec<String> = told.collect();
        format!(
            "{log}\n{}\n{}",
            world.requests[last..].join("\n"),
            told.join("\n")
        )
    }

    pub(super) async fn until<F: Future<Output = bool>>(
        &self,
        what: &str,
        secs: u64,
        is: impl Fn() -> F,
    ) {
        let started = Instant::now();
        while !is().await {
            if started.elapsed() > Duration::from_secs(secs) {
                panic!("{what}: not within {secs} s\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Our reactions to a comment.
    pub(super) fn reactions(&self, comment: i64) -> Vec<String> {
        let world = self.fake.world();
        let one = world.comments.iter().find(|one| one.id == comment).unwrap();
        let ours = one.reactions.iter().filter(|(_, who, _)| who == self.us());
        ours.map(|(_, _, what)| what.clone()).collect()
    }

    /// Our account.
    fn us(&self) -> &'static str {
        if self.app { APP_BOT } else { TOKEN_BOT }
    }

    /// An issue by the owner, with the label.
    pub(super) fn labelled(&self) -> i64 {
        let mut world = self.fake.world();
        let issue = world.open_issue("dana", "No answer", ISSUE);
        world.label(issue, "dana", "agent");
        issue
    }

    /// Our comments whose mark says this; notifications have a key of their own.
    pub(super) fn by_us(&self, issue: i64, mark: &str) -> Vec<String> {
        let world = self.fake.world();
        let ours = |one: &&Comment| one.issue == issue && one.author == self.us();
        let all = world.comments.iter().filter(ours);
        let marked = all.filter(|one| {
            let first = one.body.lines().next().unwrap_or_default();
            first.contains(mark) && !first.contains(" key=")
        });
        marked.map(|one| one.body.clone()).collect()
    }

    /// The word of the stage in the one status comment.
    pub(super) fn stage(&self, issue: i64) -> String {
        let statuses = self.by_us(issue, "task=");
        assert!(statuses.len() <= 1, "{statuses:?}");
        let status = statuses.into_iter().next().unwrap_or_default();
        let word = status
            .split_once("**Agent task: ")
            .and_then(|(_, rest)| rest.split_once("**"));
        word.map_or(String::new(), |(word, _)| word.to_owned())
    }

    pub(super) async fn is_at(&self, issue: i64, stage: &str) {
        let what = format!("issue {issue} is at {stage}");
        self.until(&what, 60, async || self.stage(issue) == stage)
            .await;
    }

    /// Numbers of all pull requests.
    pub(super) fn pulls(&self) -> Vec<i64> {
        let world = self.fake.world();
        let pulls = world.issues.iter().filter(|(_, one)| one.pull.is_some());
        pulls.map(|(number, _)| *number).collect()
    }

    /// What is true of an issue or pull request.
    pub(super) fn of<T>(&self, number: i64, read: impl FnOnce(&Thread) -> T) -> T {
        read(&self.fake.world().issues[&number])
    }

    fn head(&self, pull: i64) -> String {
        self.of(pull, |one| one.pull.as_ref().unwrap().head.clone())
    }

    /// Branches that there are beside `main`.
    pub(super) fn branches(&self) -> usize {
        let bare = self.fake.world().git.clone().unwrap();
        let all = crate::github::branches(&bare);
        all.keys().filter(|name| *name != "main").count()
    }

    /// The state of a check.
    fn check(&self, sha: &str, name: &str) -> String {
        let all = self.fake.world().checks(sha);
        all.get(name)
            .map_or(String::new(), |(state, _)| state.clone())
    }

    /// A final task carries no label, neither ours nor the one that asked for it.
    async fn no_label(&self, issue: i64) {
        self.until("no label is left", 30, async || {
            self.of(issue, |one| one.labels.is_empty())
        })
        .await;
    }

    pub(super) async fn is_ready(&self, pull: i64) {
        self.until("it is ready", 30, async || {
            self.of(pull, |one| !one.pull.as_ref().unwrap().draft)
        })
        .await;
    }
}
