//! `verify` and `run` with the address of something on a real Gitea.

use super::*;

const CHECKS: &str = "version = 1\n[[verify]]\nname = \"tests\"\nrun = \"sh test.sh\"\n";

/// A repository with a red test, configured with a token that only reads; the person has a clone, or none.
pub(super) async fn world(test: &str) -> Option<World> {
    let world = World::new(test).await?;
    world
        .gitea
        .collaborator(&world.repo, &world.bot, "read")
        .await;
    world
        .file("test.sh", "[ \"$(cat answer.txt)\" = 42 ]\n")
        .await;
    world.file(".gitea/prentice.toml", CHECKS).await;
    let config = format!(
        "version = 1\n[[forge]]\nname = \"main\"\nkind = \"gitea\"\nbase_url = \"{}\"\n",
        world.gitea.url()
    );
    world.write("server.toml", &config);
    let token = world
        .gitea
        .token(&world.bot, &["read:repository", "read:issue", "read:user"])
        .await;
    world.write("main-token", &token);
    Some(world)
}

/// From now on the token may write.
pub(super) async fn may_write(world: &World) {
    world
        .gitea
        .collaborator(&world.repo, &world.bot, "write")
        .await;
    world.write("main-token", &world.gitea.token(&world.bot, LEAST).await);
}

/// A clone, made with the token that is there now.
pub(super) fn clone(world: &World, repo: &Repo, to: &str) {
    let token = world.read("main-token");
    let from = world.gitea.url().replace(
        "http://",
        &format!("http://{}:{}@", world.bot.login, token.trim()),
    );
    let cloned = Command::new("git")
        .args(["clone", "-q", &format!("{from}/{}.git", repo.name), to])
        .current_dir(world.folder.path())
        .status()
        .unwrap();
    assert!(cloned.success());
}

async fn pull(world: &World, branch: &str, answer: &str) -> (i64, String) {
    world
        .gitea
        .file(&world.owner, &world.repo, branch, "answer.txt", answer)
        .await;
    let body = json!({ "title": branch, "head": branch, "base": "main" });
    let path = format!("repos/{}/pulls", world.repo.name);
    let made = world
        .gitea
        .does(&world.owner.token, Method::POST, &path, body)
        .await;
    let number = made["number"].as_i64().unwrap();
    (
        number,
        format!("{}/{}/pulls/{number}", world.gitea.url(), world.repo.name),
    )
}

pub(super) fn short(text: &str) -> String {
    let commit = regex::Regex::new(r"\b[0-9a-f]{7}\b").unwrap();
    commit.replace_all(text, "0000000").into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_judged_by_its_address_and_told_only_when_asked() {
    let Some(world) = world("a_pull_request_is_judged_by_its_address").await else {
        return;
    };
    let (good, url) = pull(&world, "right", "42\n").await;
    let (_, wrong) = pull(&world, "wrong", "41\n").await;
    let verify = |words: &[&str]| world.command().arg("verify").args(words).output().unwrap();
    let green = verify(&[&url]);
    assert_eq!(green.status.code(), Some(0), "{}", words(&green));
    let out = String::from_utf8_lossy(&green.stdout).into_owned();
    insta::assert_snapshot!(short(&world.quiet(&out)), @"
    commits  0000000 → 0000000, 1 file, +1 −0
    verify   tests 1 → 0   (required 1/1)
    verdict  verified
    ");
    let red = verify(&[&wrong]);
    assert_eq!(red.status.code(), Some(6), "{}", words(&red));
    let comments = async || world.gitea.comments(&world.repo, good).await;
    assert_eq!(comments().await.len(), 0, "nothing is written unless asked");

    // A token that only reads cannot tell it.
    let refused = verify(&[&url, "--publish"]);
    assert_eq!(refused.status.code(), Some(4), "{}", words(&refused));
    assert_eq!(comments().await.len(), 0);
    may_write(&world).await;
    for _ in 0..2 {
        let told = verify(&[&url, "--publish"]);
        assert_eq!(told.status.code(), Some(0), "{}", words(&told));
    }
    let told = comments().await;
    assert_eq!(told.len(), 1, "one comment, edited");
    let body = told[0]["body"].as_str().unwrap();
    assert!(body.contains("red on base, green here"), "{body}");

    let issue = world
        .gitea
        .issue(&world.owner, &world.repo, "An issue", "text")
        .await;
    let at = |what: &str| format!("{}/{}/{what}", world.gitea.url(), world.repo.name);
    let mut all = String::new();
    for url in [
        at(&format!("issues/{issue}")),
        at("pulls/999"),
        at("wiki/1"),
        "https://elsewhere.example/a/b/pulls/1".to_owned(),
    ] {
        let output = verify(&[&url]);
        all += &format!("{} {}", output.status.code().unwrap(), words(&output));
    }
    insta::assert_snapshot!(world.quiet(&all), @"
    2 error: https://git.example.org/team/project/issues/3 is an issue; `prentice run` works on it
    5 error: pull request #999 is not there (any more)
    2 error: https://git.example.org/team/project/wiki/1 names neither an issue nor a pull request; copy it from the browser: …/owner/name/issues/7
    2 error: https://elsewhere.example/a/b/pulls/1 is on no forge that is known here; add a [[forge]] with its `base_url` to the server file
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_is_worked_on_by_its_address_in_a_clone_and_nothing_is_written() {
    let Some(world) = world("an_issue_is_worked_on_by_its_address").await else {
        return;
    };
    let text = "There is none.\n\n### Acceptance criteria\n\n- the answer is 42 (`tests`)\n";
    let issue = world
        .gitea
        .issue(&world.owner, &world.repo, "No answer", text)
        .await;
    let url = format!("{}/{}/issues/{issue}", world.gitea.url(), world.repo.name);
    clone(&world, &world.repo, "clone");
    let run = |more: &[&str]| {
        let agent = "sh -c 'cat >/dev/null; echo 42 > answer.txt'";
        let mut command = world.command();
        command
            .args(["run", &url, "--repo", "clone", "--agent-cmd", agent])
            .args(more);
        command.output().unwrap()
    };
    let done = run(&[]);
    assert_eq!(done.status.code(), Some(0), "{}", words(&done));
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        out.contains("agent/1-no-answer") && out.contains("tests 1 → 0"),
        "{out}"
    );
    assert_eq!(world.gitea.comments(&world.repo, issue).await.len(), 0);
    let branches = world
        .gitea
        .get(&format!("repos/{}/branches", world.repo.name))
        .await;
    assert_eq!(branches.as_array().unwrap().len(), 1, "{branches}");

    // Asked for, it is shown there: by a token that may.
    may_write(&world).await;
    let shown = run(&["--publish"]);
    assert_eq!(shown.status.code(), Some(0), "{}", words(&shown));
    let pulls = world
        .gitea
        .get(&format!("repos/{}/pulls", world.repo.name))
        .await;
    assert_eq!(pulls.as_array().unwrap().len(), 1, "{pulls}");
    let pull = &pulls[0];
    let out = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(out.contains(pull["html_url"].as_str().unwrap()), "{out}");
    assert_eq!(
        (&pull["draft"], &pull["base"]["ref"]),
        (&json!(true), &json!("main"))
    );
    let body = pull["body"].as_str().unwrap();
    for words in [
        "red on base, green here, twice".to_owned(),
        format!("Closes #{issue}"),
    ] {
        assert!(body.contains(&words), "{words}\n{body}");
    }
    assert_eq!(world.gitea.comments(&world.repo, issue).await.len(), 0);
}

#[test]
fn a_result_is_published_only_where_its_issue_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(crate::sandbox::helper())
        .args(["run", "issue.md", "--agent-cmd", "true", "--publish"])
        .env("HOME", folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(words(&output), @"error: --publish shows a result on the forge of its issue, and this issue is on none; name the issue by its address, or push the branch that a run leaves");
}
