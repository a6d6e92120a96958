//! One repository: what showing a task and hearing people both need.

use std::sync::Arc;

use super::super::{Account, Error, Repository};
use super::api::{Ask, Line, Method, part};
use super::{Hub, wire};
use crate::domain::policy::Right;

/// See the module.
pub(super) struct Repo {
    pub(super) hub: Arc<Hub>,
    pub(super) id: i64,
    /// `owner/name` when it was looked up, for words only: it may be called otherwise by now.
    name: String,
}

impl Repo {
    pub(super) fn new(hub: &Arc<Hub>, repository: &Repository) -> Self {
        Self {
            hub: Arc::clone(hub),
            id: repository.id,
            name: repository.name.clone(),
        }
    }

    pub(super) async fn line(&self) -> Result<Line, Error> {
        self.hub.line_to(self.id, &self.name).await
    }

    /// An address below the repository's own.
    pub(super) fn at(&self, rest: &str) -> String {
        format!("/repositories/{}{rest}", self.id)
    }

    pub(super) async fn whoami(&self) -> Result<Account, Error> {
        self.hub.whoami().await
    }

    pub(super) async fn repository(&self) -> Result<Repository, Error> {
        let what = format!("repository `{}`", self.name);
        let ask = Ask {
            what: &what,
            needs: "metadata: read",
        };
        let line = self.line().await?;
        let found: wire::Repo = line.get(&self.at(""), ask).await?;
        let ours = if self.hub.is_app() {
            Some(self.hub.installed(self.id, &self.name).await?.right)
        } else {
            None
        };
        Ok(found.repository(&self.hub.base.web, ours))
    }

    pub(super) async fn issue(&self, number: i64) -> Result<wire::Issue, Error> {
        let what = format!("issue #{number}");
        let ask = Ask {
            what: &what,
            needs: "issues: read",
        };
        let line = self.line().await?;
        line.get(&self.at(&format!("/issues/{number}")), ask).await
    }

    /// Everyone who may push; `None` where our account is too weak to be told.
    pub(super) async fn writers(&self) -> Result<Option<Vec<Account>>, Error> {
        let ask = Ask {
            what: "who may push",
            needs: "metadata: read",
        };
        let line = self.line().await?;
        let path = self.at("/collaborators?affiliation=all&permission=push");
        match line.list::<wire::User>(&path, None, ask).await {
            Ok(all) => Ok(Some(
                all.into_iter().filter_map(wire::User::account).collect(),
            )),
            Err(Error::NotPermitted { .. } | Error::Gone { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What `login` may do, by the exact role. A bot may do nothing, whatever role it has.
    pub(super) async fn right(&self, login: &str) -> Result<Option<Right>, Error> {
        if wire::is_bot_login(login) {
            return Ok(Some(Right::None));
        }
        let what = format!("the right of `{}`", super::fit::clipped(login, 100));
        let ask = Ask {
            what: &what,
            needs: "metadata: read",
        };
        let line = self.line().await?;
        let path = self.at(&format!("/collaborators/{}/permission", part(login)));
        let answer = line.send(Method::Get, &path, None).await?;
        match answer.status {
            // "Must have push access to view collaborator permission": our account is too weak to see it.
            403 if !answer.words().contains("not accessible") => Ok(None),
            404 if answer.words().contains("is not a user") => Ok(Some(Right::None)),
            404 => {
                // Either nobody has this name, or the repository is out of reach.
                self.repository().await?;
                Ok(Some(Right::None))
            }
            _ => {
                let found: wire::Permission = line.done(answer, &[200], ask)?.read(ask)?;
                Ok(found.right())
            }
        }
    }
}
