//! `prentice setup` and `prentice doctor` on a real Gitea, as an operator types them.

mod app;
mod by_url;
mod doctor;
mod first;
mod published;
mod readme;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::gitea::{Gitea, LEAST, Repo, User};

/// A repository, its owner, an account for the bot, and a folder for the server's files.
struct World {
    gitea: Gitea,
    owner: User,
    bot: User,
    repo: Repo,
    folder: tempfile::TempDir,
    port: u16,
    serving: Option<Child>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
    }
}

impl World {
    /// With a private repository; `None` where there is no Gitea.
    async fn new(test: &str) -> Option<Self> {
        Self::with(test, true).await
    }

    async fn with(test: &str, private: bool) -> Option<Self> {
        let gitea = Gitea::start(test)?;
        let (owner, bot) = (gitea.user("dana").await, gitea.user("bot").await);
        let repo = gitea.repo(&owner, "thing", private).await;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let world = Self {
            gitea,
            owner,
            bot,
            repo,
            folder: tempfile::tempdir().unwrap(),
            port,
            serving: None,
        };
        let admin = world.gitea.token(&world.owner, LEAST).await;
        world.write("admin-token", &admin);
        let bot = world.gitea.token(&world.bot, LEAST).await;
        world.write("bot-token", &bot);
        Some(world)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.path(name), format!("{text}\n")).unwrap();
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A file on the default branch.
    async fn file(&self, path: &str, text: &str) {
        self.gitea
            .file(&self.owner, &self.repo, "main", path, text)
            .await;
    }

    fn at(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(crate::sandbox::helper());
        command
            .arg("--config")
            .arg(self.path("server.toml"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        for (variable, file) in [
            ("TOKEN", "main-token"),
            ("WEBHOOK_SECRET", "main-webhook-secret"),
        ] {
            if self.path(file).exists() {
                let name = format!("PRENTICE_FORGE_MAIN_{variable}_FILE");
                command.env(name, self.path(file));
            }
        }
        command
    }

    /// `setup` with what every test says, and more.
    fn setup(&self, more: &[&str]) -> Output {
        let (url, at) = (self.gitea.url(), self.at());
        let listen = format!("127.0.0.1:{}", self.port);
        let words = [
            "setup",
            "--forge",
            "gitea",
            "--url",
            url,
            "--repo",
            &self.repo.name,
            "--reached-at",
            &at,
            "--listen",
            &listen,
            "--admin-token-file",
            "admin-token",
            "--bot-token-file",
            "bot-token",
            "--no-input",
        ];
        self.command().args(words).args(more).output().unwrap()
    }

    async fn hooks(&self) -> Vec<Value> {
        let hooks = self
            .gitea
            .get(&format!("repos/{}/hooks", self.repo.name))
            .await;
        hooks.as_array().unwrap().clone()
    }

    async fn labels(&self) -> Vec<String> {
        let labels = self
            .gitea
            .get(&format!("repos/{}/labels", self.repo.name))
            .await;
        let names = labels.as_array().unwrap().iter();
        let mut names: Vec<String> = names
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    async fn delete(&self, path: &str) {
        let path = format!("repos/{}/{path}", self.repo.name);
        self.gitea
            .does(&self.owner.token, Method::DELETE, &path, Value::Null)
            .await;
    }

    /// Starts the server; it answers when this returns.
    fn serve(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = self
            .command()
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn();
        self.serving = Some(child.unwrap());
        let started = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(started.elapsed().as_secs() < 30, "{}", self.read("log"));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.serving.take() {
            // What it started goes along.
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = child.wait();
        }
    }

    /// Without what differs from run to run.
    fn quiet(&self, text: &str) -> String {
        let text = text.replace(&self.folder.path().display().to_string(), "/etc/prentice");
        let text = text.replace(self.gitea.url(), "https://git.example.org");
        let text = text.replace(&self.at(), "http://prentice:8460");
        let text = text.replace(&format!("127.0.0.1:{}", self.port), "127.0.0.1:8460");
        let text = text.replace(&self.repo.name, "team/project");
        let hook = regex::Regex::new(r"/settings/hooks/\d+").unwrap();
        let text = hook.replace_all(&text, "/settings/hooks/7");
        text.replace(&self.bot.login, "bot")
            .replace(&self.owner.login, "dana")
    }
}

fn words(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}")
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
