//! The README's road: its own commands, from fresh tokens to a pull request that a person merges.

use std::time::{Duration, Instant};

use super::*;

/// The shell block that the README marks as this road.
fn road(name: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, rest) = readme
        .split_once(&format!("<!-- road: {name} -->\n```sh\n"))
        .unwrap();
    rest.split_once("\n```\n").unwrap().0.to_owned()
}

/// What replaces a reader's own names; each has to be there.
fn with(text: &str, names: &[(&str, &str)]) -> String {
    names.iter().fold(text.to_owned(), |text, (theirs, ours)| {
        assert!(
            text.contains(theirs),
            "the README does not say {theirs}:\n{text}"
        );
        text.replace(theirs, ours)
    })
}

async fn until(world: &World, what: &str, is: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !is().await {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{what}\n{}",
            world.read("log")
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Where pictures of the road are wanted; `tests/pictures.sh` says so.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("PRENTICE_TEST_PICTURES").map(PathBuf::from)
}

/// Takes a picture of a page, as anybody sees it, where pictures are wanted.
fn picture(world: &World, name: &str, path: &str, height: u32) {
    let Some(folder) = pictures() else { return };
    let home = tempfile::tempdir().unwrap();
    let taken = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=5000",
        ])
        .arg(format!("--user-data-dir={}", home.path().display()))
        .arg(format!("--window-size=1180,{height}"))
        .arg(format!("--screenshot={}", folder.join(name).display()))
        .arg(format!("{}/{}/{path}", world.gitea.url(), world.repo.name))
        .output()
        .unwrap();
    assert!(taken.status.success(), "{}", words(&taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_lead_from_fresh_tokens_to_a_merged_pull_request() {
    // Nobody is logged in where a picture is taken.
    let private = pictures().is_none();
    let Some(mut world) = World::with("the_commands_of_the_readme", private).await else {
        return;
    };
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, file) = readme.split_once("Put `.gitea/prentice.toml`").unwrap();
    let (_, file) = file.split_once("```toml\n").unwrap();
    let file: Vec<&str> = file
        .split_once("```")
        .unwrap()
        .0
        .lines()
        .map(str::trim)
        .collect();
    world
        .file(".gitea/prentice.toml", &(file.join("\n") + "\n"))
        .await;
    world
        .file("Makefile", "check:\n\ttest \"$$(cat answer.txt)\" = 42\n")
        .await;

    let listen = format!("127.0.0.1:{}", world.port);
    let script = with(
        &road("gitea"),
        &[
            ("https://git.example.org", world.gitea.url()),
            ("team/project", &world.repo.name),
            ("/usr/local/bin/my-agent", r#"sh -c "echo 42 > answer.txt""#),
            ("http://prentice.lan:8460", &world.at()),
            ("0.0.0.0:8460", &listen),
        ],
    );
    assert_eq!(
        script.matches("--config server.toml").count(),
        3,
        "three commands"
    );
    std::fs::create_dir(world.path("bin")).unwrap();
    std::os::unix::fs::symlink(crate::sandbox::helper(), world.path("bin/prentice")).unwrap();
    let log = std::fs::File::create(world.path("log")).unwrap();
    let shell = Command::new("sh")
        .args(["-e", "-c", &script])
        .env_clear()
        .env(
            "PATH",
            format!(
                "{}:/usr/local/bin:/usr/bin:/bin",
                world.path("bin").display()
            ),
        )
        .env("HOME", world.folder.path())
        .current_dir(world.folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap();
    world.serving = Some(shell);
    let address = ("127.0.0.1", world.port);
    until(&world, "the server listens", async || {
        std::net::TcpStream::connect(address).is_ok()
    })
    .await;

    let (gitea, owner, repo) = (&world.gitea, &world.owner, &world.repo);
    let issue = gitea
        .issue(
            owner,
            repo,
            "No answer",
            "There is none.\n\n### Acceptance criteria\n\n- the answer is 42 (`tests`)\n",
        )
        .await;
    gitea.label(owner, repo, issue, &["agent"]).await;
    let pulls = format!("repos/{}/pulls?state=all", repo.name);
    until(&world, "a pull request", async || {
        gitea.get(&pulls).await[0]["draft"] == true
    })
    .await;
    let pull = gitea.get(&pulls).await[0].clone();
    let body = pull["body"].as_str().unwrap();
    assert!(body.contains("red on base, green here"), "{body}");
    until(&world, "a review is asked for", async || {
        gitea.get(&pulls).await[0]["requested_reviewers"][0]["login"] == owner.login.as_str()
    })
    .await;
    assert_eq!(pull["user"]["login"], world.bot.login.as_str());
    let labels = async || gitea.labels(repo, issue).await;
    until(&world, "it waits for a review", async || {
        labels().await.contains(&"agent:needs-review".to_owned())
    })
    .await;
    let number = pull["number"].as_i64().unwrap();
    until(
        &world,
        "the pull request is marked as an agent's",
        async || gitea.labels(repo, number).await == ["agent-pr"],
    )
    .await;
    picture(&world, "issue.png", &format!("issues/{issue}"), 900);
    picture(&world, "pull.png", &format!("pulls/{number}"), 1500);

    // A person approves and merges.
    gitea
        .review(owner, repo, number, "APPROVED", "good", &[])
        .await;
    until(&world, "it is ready", async || {
        gitea.get(&pulls).await[0]["draft"] == false
    })
    .await;
    gitea.merge(owner, repo, number).await;
    until(&world, "no label is left", async || {
        labels().await.is_empty()
    })
    .await;
}
