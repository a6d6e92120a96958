//! Branches of a forge's repository: looked up, pushed and deleted over HTTP from the mirror.

use std::sync::Arc;

use async_trait::async_trait;

use super::local::forge_error;
use crate::domain::ident::CommitId;
use crate::forge::{self, Refs, Repository, Service};
use crate::git::{Mirror, PushError, Remote, RemoteError, Rule, Want};
use crate::store::Steps;

/// Branches of one repository, as the adapters want them. The credential is asked for anew for each use, since it may
/// live for minutes only.
pub struct RemoteRefs {
    service: Arc<dyn Service>,
    repository: Repository,
    mirror: Mirror,
    steps: Arc<dyn Steps>,
}

impl RemoteRefs {
    /// Those of `repository`, whose objects are in `mirror`.
    #[must_use]
    pub fn new(
        service: Arc<dyn Service>,
        repository: Repository,
        mirror: Mirror,
        steps: Arc<dyn Steps>,
    ) -> Self {
        Self {
            service,
            repository,
            mirror,
            steps,
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Mirror, &Remote) -> Result<T, forge::Error> + Send + 'static,
    ) -> Result<T, forge::Error> {
        let remote = remote(self.service.as_ref(), &self.repository).await?;
        let mirror = self.mirror.clone();
        let done = tokio::task::spawn_blocking(move || work(&mirror, &remote)).await;
        done.unwrap_or_else(|why| {
            Err(forge::Error::Unavailable {
                what: "the mirror".to_owned(),
                why: why.to_string(),
            })
        })
    }
}

/// Address and credential of a repository, the credential asked for anew.
pub(super) async fn remote(
    service: &dyn Service,
    repository: &Repository,
) -> Result<Remote, forge::Error> {
    let credential = service.credential(repository).await?;
    // Where it is now: git follows no redirect from the name that it had.
    let now = service.conversation(repository).repository().await?;
    Remote::new(&now.clone_url, &credential.user, credential.secret).map_err(remote_error)
}

#[async_trait]
impl Refs for RemoteRefs {
    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, forge::Error> {
        let branch = branch.to_owned();
        self.blocking(move |mirror, remote| {
            let heads = mirror.remote_heads(remote, &[&branch]);
            Ok(heads.map_err(remote_error)?.remove(&branch))
        })
        .await
    }

    async fn set_branch(
        &self,
        branch: &str,
        commit: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), forge::Error> {
        let what = format!("ref {branch}");
        let (branch, commit, expected) = (branch.to_owned(), commit.clone(), expected.cloned());
        self.steps.before(&what);
        self.blocking(move |mirror, remote| {
            let pushed = mirror.push(remote, &branch, &commit, expected.as_ref());
            pushed.map_err(|error| push_error(error, &branch))
        })
        .await?;
        self.steps.after(&what);
        Ok(())
    }

    async fn delete_branch(&self, branch: &str, expected: &CommitId) -> Result<(), forge::Error> {
        let what = format!("ref {branch}");
        let (branch, expected) = (branch.to_owned(), expected.clone());
        self.steps.before(&what);
        self.blocking(move |mirror, remote| {
            let deleted = mirror.delete_remote_branch(remote, &branch, &expected);
            deleted
                .map(drop)
                .map_err(|error| push_error(error, &branch))
        })
        .await?;
        self.steps.after(&what);
        Ok(())
    }

    async fn reaches(&self, branch: &str, commit: &CommitId) -> Result<bool, forge::Error> {
        let (branch, commit) = (branch.to_owned(), commit.clone());
        self.blocking(move |mirror, remote| {
            let tip = match mirror.fetch_remote(remote, &[Want::Branch(branch)]) {
                Ok(fetched) => fetched.into_iter().next(),
                Err(RemoteError::NotFound(_)) => None,
                Err(error) => return Err(remote_error(error)),
            };
            // All history of the tip is here: a commit that is not is reached by nothing.
            tip.map_or(Ok(false), |tip| mirror.is_ancestor(&commit, &tip))
                .map_err(forge_error)
        })
        .await
    }
}

/// What a push came to, in the words of the forge's port: a rule that refuses is named.
fn push_error(error: PushError, branch: &str) -> forge::Error {
    match error {
        PushError::Stale { found } => forge::Error::Conflict {
            what: format!("branch `{branch}`"),
            found,
        },
        PushError::Refused { rule, kind } => forge::Error::NotPermitted {
            what: format!(
                "the push of branch `{branch}`, refused by {}: {rule}",
                kind.words()
            ),
            setting: setting(kind).to_owned(),
        },
        PushError::Remote(error) => remote_error(error),
    }
}

/// Where what a rule asks for is given: it follows "grant it in".
fn setting(kind: Rule) -> &'static str {
    match kind {
        Rule::Protected => "the repository's rules for branches",
        Rule::Signatures => {
            "the repository's rules for commits, or have commits signed: `signing = \"ssh\"` under [[forge]] of the server file"
        }
        Rule::BranchName => {
            "the repository's rules for names of branches, or change `branch` under [task]"
        }
        Rule::Workflow => "the rights of the bot's account: workflows, write",
        Rule::Size => "the forge's limits on sizes and quotas",
        Rule::Secret => "the forge's search for secrets, after a look at what it found",
        Rule::Other => "the forge's rules for pushes",
    }
}

/// What the network came to, in the words of the forge's port.
pub(super) fn remote_error(error: RemoteError) -> forge::Error {
    let why = error.to_string();
    match error {
        RemoteError::NotFound(what) => forge::Error::Gone { what },
        RemoteError::Gone { url, .. } => forge::Error::Gone {
            what: format!("the repository at {url}"),
        },
        RemoteError::Auth { why } => forge::Error::Auth { why },
        RemoteError::Denied { why } => forge::Error::NotPermitted {
            what: format!("git with this account: {why}"),
            setting: "the rights of the bot's account: contents (code), write".to_owned(),
        },
        RemoteError::Retry { why } => forge::Error::Retry {
            after_secs: None,
            why,
        },
        RemoteError::TooLarge { .. } | RemoteError::Unusable(_) => forge::Error::Invalid {
            what: "the repository".to_owned(),
            why,
        },
        RemoteError::Here(error) => forge_error(error),
    }
}
