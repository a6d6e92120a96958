//! Branches of a repository on the Gitea, moved by git over HTTP.

use std::process::{Command, Output};

use async_trait::async_trait;
use prentice::domain::ident::CommitId;
use prentice::forge::{Error, Refs};

use super::world::{Gitea, Repo, User, base64_text};

/// A clone of its own, with commits that nobody has yet.
pub(crate) struct GitRefs {
    folder: tempfile::TempDir,
    url: String,
    authorization: String,
}

impl GitRefs {
    /// Pushes as `user`.
    pub(crate) fn new(gitea: &Gitea, repo: &Repo, user: &User) -> Self {
        let basic = base64_text(format!("{}:{}", user.login, user.token).as_bytes());
        let refs = Self {
            folder: tempfile::tempdir().unwrap(),
            url: format!("{}/{}.git", gitea.url(), repo.name),
            authorization: format!("Authorization: Basic {basic}"),
        };
        refs.git(&["init", "--quiet", "--bare", "."]);
        refs.git(&[
            "fetch",
            "--quiet",
            &refs.url,
            "+refs/heads/*:refs/remotes/o/*",
        ]);
        refs
    }

    /// Fetches a ref of the repository; gives what it names.
    pub(crate) fn fetch(&self, name: &str) -> CommitId {
        let spec = format!("+{name}:refs/fetched");
        self.git(&["fetch", "--quiet", &self.url, &spec]);
        self.git(&["rev-parse", "refs/fetched"]).parse().unwrap()
    }

    /// Opens a pull request by a push alone, as one does without any right to write.
    pub(crate) fn propose(&self, base: &str, topic: &str, head: &CommitId) {
        let spec = format!("{head}:refs/for/{base}");
        let (topic, title) = (format!("topic={topic}"), format!("title={topic}"));
        self.git(&[
            "push", "--quiet", "-o", &topic, "-o", &title, &self.url, &spec,
        ]);
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new("git")
            .args(words)
            .current_dir(self.folder.path())
            .envs([
                ("GIT_CONFIG_GLOBAL", "/dev/null"),
                ("GIT_CONFIG_NOSYSTEM", "1"),
                ("GIT_TERMINAL_PROMPT", "0"),
                ("GIT_AUTHOR_NAME", "tests"),
                ("GIT_AUTHOR_EMAIL", "tests@example.invalid"),
                ("GIT_COMMITTER_NAME", "tests"),
                ("GIT_COMMITTER_EMAIL", "tests@example.invalid"),
                ("GIT_CONFIG_COUNT", "1"),
                ("GIT_CONFIG_KEY_0", "http.extraHeader"),
                ("GIT_CONFIG_VALUE_0", &self.authorization),
            ])
            .output()
            .unwrap()
    }

    fn git(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "git {words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A commit on top of the repository's `main` with a file of this name and text.
    pub(crate) fn commit(&self, file: &str, text: &str) -> CommitId {
        let blob = self.folder.path().join("blob");
        std::fs::write(&blob, text).unwrap();
        let blob = self.git(&["hash-object", "-w", blob.to_str().unwrap()]);
        let base = self.git(&["ls-tree", "refs/remotes/o/main"]);
        let list = self.folder.path().join("tree");
        let text = format!("{base}\n100644 blob {blob}\t{file}\n");
        std::fs::write(&list, text).unwrap();
        let script = format!("git mktree <{}", list.display());
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let tree = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let commit = self.git(&[
            "commit-tree",
            &tree,
            "-p",
            "refs/remotes/o/main",
            "-m",
            file,
        ]);
        commit.parse().unwrap()
    }

    fn head(&self, branch: &str) -> Option<CommitId> {
        let name = format!("refs/heads/{branch}");
        let line = self.git(&["ls-remote", &self.url, &name]);
        line.split_whitespace().next()?.parse().ok()
    }

    /// Whatever stands there.
    pub(crate) fn force(&self, branch: &str, head: &CommitId) {
        let spec = format!("+{head}:refs/heads/{branch}");
        self.git(&["push", "--quiet", &self.url, &spec]);
    }

    fn push(&self, branch: &str, spec: &str, expected: Option<&CommitId>) -> Result<(), Error> {
        let expected = expected.map_or("", CommitId::as_str);
        let lease = format!("--force-with-lease=refs/heads/{branch}:{expected}");
        let output = self.run(&["push", "--quiet", &lease, &self.url, spec]);
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(())
        } else if said.contains("stale info") || said.contains("remote ref does not exist") {
            Err(Error::Conflict {
                what: format!("branch `{branch}`"),
                found: self.head(branch),
            })
        } else {
            Err(Error::NotPermitted {
                what: said.into_owned(),
                setting: "the rules of the repository".to_owned(),
            })
        }
    }
}

#[async_trait]
impl Refs for GitRefs {
    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, Error> {
        Ok(self.head(branch))
    }

    async fn set_branch(
        &self,
        branch: &str,
        new: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), Error> {
        self.push(branch, &format!("{new}:refs/heads/{branch}"), expected)
    }

    async fn delete_branch(&self, branch: &str, expected: &CommitId) -> Result<(), Error> {
        self.push(branch, &format!(":refs/heads/{branch}"), Some(expected))
    }

    async fn reaches(&self, branch: &str, commit: &CommitId) -> Result<bool, Error> {
        let spec = "+refs/heads/*:refs/remotes/o/*";
        self.git(&["fetch", "--quiet", "--prune", &self.url, spec]);
        let words = ["merge-base", "--is-ancestor", commit.as_str()];
        let tip = format!("refs/remotes/o/{branch}");
        let output = self.run(&[words[0], words[1], words[2], tip.as_str()]);
        Ok(output.status.success())
    }
}
