//! What is made once on a forge, by an administrator, before it is served: for `setup`.

use async_trait::async_trait;
use secrecy::SecretString;

use super::{Account, Error, Repository};

/// Makes a repository ready, with an administrator's credential. Everything is find-or-create: done twice, it is done
/// once.
#[async_trait]
pub trait Prepare: Send + Sync {
    /// Whose credential it is.
    async fn whoami(&self) -> Result<Account, Error>;

    /// The repository of this name. [`Error::Gone`] where there is none that the administrator may see.
    async fn repository(&self, name: &str) -> Result<Repository, Error>;

    /// Makes those of the labels (name, description) that are missing; gives their names.
    async fn ensure_labels(
        &self,
        repository: &Repository,
        labels: &[(String, &'static str)],
    ) -> Result<Vec<String>, Error>;

    /// Makes `login` a collaborator who may write. One who may do more stays that. [`Error::Gone`] for nobody's name.
    async fn ensure_writer(&self, repository: &Repository, login: &str) -> Result<Made, Error>;

    /// Makes one webhook send what we look at to `url`, signed with `secret`. Those that send there otherwise are
    /// removed. `known`: one that is there has this secret.
    async fn ensure_hook(
        &self,
        repository: &Repository,
        url: &str,
        secret: &SecretString,
        known: bool,
    ) -> Result<Made, Error>;
}

/// What it took to have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// Nothing: it was there.
    WasThere,
    /// It was made.
    Now,
    /// It was removed and made again.
    Anew,
}
