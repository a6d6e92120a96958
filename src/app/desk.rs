//! What intake asks about one forge: what governs a repository, its branches, where a task is shown.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::AppError;
use super::prepare::governing;
use super::remote::{remote, remote_error};
use super::served::Forges;
use crate::domain::ident::CommitId;
use crate::domain::settings::Settings;
use crate::domain::task::{AgentSpec, Task};
use crate::forge::{self, Account, Forge, Repository};
use crate::git::{RemoteError, Want};
use crate::intake::{Desk, Ground, GroundError};
use crate::worker::World;

/// How long what governs a repository is taken for known.
const GROUND_FOR: Duration = Duration::from_secs(10);

/// What intake asks about one forge.
pub(super) struct ForgeDesk {
    pub(super) forges: Arc<Forges>,
    pub(super) name: String,
}

#[async_trait]
impl Desk for ForgeDesk {
    async fn ground(&self, repository: &Repository) -> Result<Ground, GroundError> {
        let key = (self.name.clone(), repository.id);
        {
            let grounds = self
                .forges
                .grounds
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some((at, ground)) = grounds.get(&key)
                && at.elapsed() < GROUND_FOR
            {
                return Ok(ground.clone());
            }
        }
        let connected = self.forges.connected.get(&self.name);
        let connected = connected.ok_or_else(|| GroundError::Host("no such forge".to_owned()))?;
        let remote = remote(connected.service.as_ref(), repository).await?;
        let host = |why: &dyn std::fmt::Display| GroundError::Host(why.to_string());
        let mirror = self.forges.mirror_of(&self.name, repository.id);
        let mirror = mirror.map_err(|why| host(&why))?;
        let ceilings = (self.forges.server.clone(), self.forges.origins.clone());
        let steps = Arc::clone(&self.forges.machine.steps);
        let default = repository.default_branch.clone();
        let read = tokio::task::spawn_blocking(move || {
            let head = |branch: &str| -> Result<CommitId, GroundError> {
                let fetched = steps.around("mirror base", || {
                    mirror.fetch_remote(&remote, &[Want::Branch(branch.to_owned())])
                });
                let commits = fetched.map_err(ground_error)?;
                let missing = || GroundError::Host(format!("branch {branch} gave no commit"));
                commits.into_iter().next().ok_or_else(missing)
            };
            let ceilings = (&ceilings.0, &ceilings.1);
            let prepared = |commit: &CommitId| {
                governing(&mirror, commit, &[], ceilings).map_err(|error| match error {
                    AppError::Config(mistakes) => GroundError::Broken(mistakes.to_string()),
                    other => GroundError::Host(other.to_string()),
                })
            };
            let mut base = (head(&default)?, default);
            let mut now = prepared(&base.0)?;
            let named = now.settings.task.base.clone();
            if !named.is_empty() && named != base.1 {
                let found = head(&named).map_err(|error| match error {
                    GroundError::Forge(forge::Error::Gone { .. }) => GroundError::NoBase {
                        why: no_base(&now.settings, &named),
                        settings: Box::new(now.settings.clone()),
                    },
                    other => other,
                });
                base = (found?, named);
                // The rules are the default branch's, whatever work starts from.
                now.files = mirror
                    .list_files(&base.0)
                    .map_err(|why| GroundError::Host(why.to_string()))?;
            }
            Ok::<_, GroundError>(Ground {
                base: base.0,
                branch: base.1,
                settings: now.settings,
                files: Arc::new(now.files),
            })
        });
        let ground = read.await.map_err(|why| host(&why))??;
        let mut grounds = self
            .forges
            .grounds
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        grounds.insert(key, (Instant::now(), ground.clone()));
        Ok(ground)
    }

    fn agent(&self, _settings: &Settings) -> Option<AgentSpec> {
        let argv = self.forges.server.agent.command.clone();
        (!argv.is_empty()).then_some(AgentSpec::Command { argv })
    }

    async fn has_branch(&self, repository: &Repository, name: &str) -> Result<bool, forge::Error> {
        let connected = self.forges.connected.get(&self.name);
        let gone = || forge::Error::Gone {
            what: format!("forge {}", self.name),
        };
        let service = &connected.ok_or_else(gone)?.service;
        let remote = remote(service.as_ref(), repository).await?;
        let mirror = self.forges.mirror_of(&self.name, repository.id);
        let mirror = mirror.map_err(|why| unavailable(&why))?;
        let branch = name.to_owned();
        let heads = tokio::task::spawn_blocking(move || mirror.remote_heads(&remote, &[&branch]));
        let heads = heads.await.map_err(|why| unavailable(&why))?;
        let heads = heads.map_err(remote_error)?;
        Ok(!heads.is_empty())
    }

    fn address(&self, account: &Account) -> Option<String> {
        self.forges.connected.get(&self.name)?.address(account)
    }

    fn forge(&self, task: &Task) -> Arc<dyn Forge> {
        World::forge(self.forges.as_ref(), task).0
    }
}

/// Told where somebody asks for something.
fn no_base(settings: &Settings, branch: &str) -> String {
    let file = settings.file.as_deref().unwrap_or("the repository file");
    format!(
        "{file}: `base` under `[task]` names the branch `{branch}`, which is not there; push that branch, or name another"
    )
}

fn ground_error(error: RemoteError) -> GroundError {
    GroundError::Forge(remote_error(error))
}

fn unavailable(why: &dyn std::fmt::Display) -> forge::Error {
    forge::Error::Unavailable {
        what: "the mirror".to_owned(),
        why: why.to_string(),
    }
}
