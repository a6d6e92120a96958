//! GitHub as a configured forge: who we are, which repositories, what git shows to it.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::json;

use super::super::{
    Account, Capabilities, Checks, Conversation, Credential, Drafts, Error, Forge, Refs,
    Repository, Service, is_named,
};
use super::api::{Ask, Line, Method, part};
use super::repo::Repo;
use super::show::Shown;
use super::talk::Talk;
use super::{Auth, Hub, Installed, Key, granted, open, wire};
use crate::domain::ident::Time;
use crate::domain::policy::{ActorKind, Right};

/// Times that one delivery may have failed before it is given up.
const FAILED_MAX: usize = 3;

/// See the module.
pub(in crate::forge) struct GitHub(pub(super) Arc<Hub>);

#[async_trait]
impl Service for GitHub {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn whoami(&self) -> Result<Account, Error> {
        self.0.whoami().await
    }

    async fn repositories(&self, allowed: &[String]) -> Result<Vec<Repository>, Error> {
        let hub = &self.0;
        let found = match hub.auth {
            Auth::App(_) => hub.installed_repositories(allowed).await?,
            Auth::Token(_) => hub.reached_repositories(allowed).await?,
        };
        let mut seen = HashSet::new();
        let once = |one: &Repository| is_named(allowed, &one.name) && seen.insert(one.id);
        Ok(found.into_iter().filter(once).collect())
    }

    async fn repository(&self, name: &str) -> Result<Repository, Error> {
        self.0.repository_named(name).await
    }

    async fn credential(&self, repository: &Repository) -> Result<Credential, Error> {
        let hub = &self.0;
        let secret = match &hub.token {
            Some(token) => token.clone(),
            None => hub.git_token(repository.id, &repository.name).await?,
        };
        Ok(Credential {
            user: "x-access-token".to_owned(),
            secret,
        })
    }

    fn forge(&self, repository: &Repository, refs: Arc<dyn Refs>) -> Arc<dyn Forge> {
        Arc::new(Shown {
            repo: Repo::new(&self.0, repository),
            refs,
        })
    }

    fn conversation(&self, repository: &Repository) -> Arc<dyn Conversation> {
        Arc::new(Talk(Repo::new(&self.0, repository)))
    }

    async fn redeliver(&self, since: Time) -> Result<u32, Error> {
        self.0.redeliver(since).await
    }
}

impl Hub {
    pub(super) fn capabilities(&self) -> Capabilities {
        Capabilities {
            labels: true,
            drafts: Drafts::Field,
            // Only Apps may write check runs.
            checks: if self.is_app() {
                Checks::CheckRuns
            } else {
                Checks::Statuses
            },
            proof: true,
            minimise: true,
            redelivery: self.is_app(),
            rights: true,
            pushes: false,
        }
    }

    pub(super) async fn whoami(self: &Arc<Self>) -> Result<Account, Error> {
        let account = self.account.get_or_try_init(|| self.ask_who());
        account.await.cloned()
    }

    async fn ask_who(self: &Arc<Self>) -> Result<Account, Error> {
        let ask = Ask {
            what: "our account",
            needs: "metadata: read",
        };
        let user: wire::User = if self.is_app() {
            let app = self.app().await?;
            // Comments of an App are those of its own user; only an installation may ask for it.
            let login = format!("{}[bot]", app.slug);
            let line = self.any_installation().await?;
            line.get(&format!("/users/{}", part(&login)), ask).await?
        } else {
            self.line().get("/user", ask).await?
        };
        let id = user.id;
        let account = user.account().ok_or_else(|| Error::Auth {
            why: format!("the account {id} was deleted"),
        })?;
        Ok(Account {
            // What an App writes with is a program, however it is told.
            kind: if self.is_app() {
                ActorKind::Bot
            } else {
                account.kind
            },
            ..account
        })
    }

    async fn app(self: &Arc<Self>) -> Result<granted::App, Error> {
        let ask = Ask {
            what: "the App",
            needs: "the App's own key",
        };
        let app: granted::App = self.line().get("/app", ask).await?;
        // Set already is the same page.
        let _ = self.settings.set(self.page_of(&app));
        Ok(app)
    }

    /// The id by which check runs of ours are known.
    pub(super) async fn app_id(self: &Arc<Self>) -> Result<i64, Error> {
        let id = self.app.get_or_try_init(async || Ok(self.app().await?.id));
        id.await.copied()
    }

    pub(super) fn page_of(&self, app: &granted::App) -> String {
        let web = &self.base.web;
        let owner = app.owner.as_ref();
        let organisation = owner
            .filter(|owner| owner.kind.as_deref() == Some("Organization"))
            .and_then(|owner| owner.login.as_deref());
        match organisation {
            Some(owner) => format!("{web}/organizations/{owner}/settings/apps/{}", app.slug),
            None => format!("{web}/settings/apps/{}", app.slug),
        }
    }

    async fn installations(self: &Arc<Self>) -> Result<Vec<granted::Installation>, Error> {
        let ask = Ask {
            what: "the App's installations",
            needs: "metadata: read",
        };
        let all: Vec<granted::Installation> =
            self.line().list("/app/installations", None, ask).await?;
        let usable = |one: &granted::Installation| one.suspended_at.is_none();
        Ok(all.into_iter().filter(usable).collect())
    }

    async fn any_installation(self: &Arc<Self>) -> Result<Line, Error> {
        let all = self.installations().await?;
        let Some(first) = all.first() else {
            return Err(Error::NotPermitted {
                what: "anything at all (the App is installed nowhere)".to_owned(),
                setting: format!("{}/installations", self.settings_page()),
            });
        };
        Ok(self.line_of(number(first.id), None))
    }

    fn line_of(self: &Arc<Self>, id: u64, only: Option<u64>) -> Line {
        Line {
            hub: Arc::clone(self),
            key: Key::Installation { id, only },
        }
    }

    async fn installed_repositories(
        self: &Arc<Self>,
        allowed: &[String],
    ) -> Result<Vec<Repository>, Error> {
        let ask = Ask {
            what: "the repositories of an installation",
            needs: "metadata: read",
        };
        let mut found = Vec::new();
        for installation in self.installations().await? {
            let owner = installation
                .account
                .as_ref()
                .and_then(|one| one.login.as_deref());
            if owner.is_some_and(|owner| !owners(allowed, owner)) {
                continue;
            }
            let installed = Installed {
                id: number(installation.id),
                right: installation.right(),
            };
            let line = self.line_of(installed.id, None);
            let repos: Vec<wire::Repo> = line
                .list("/installation/repositories", Some("repositories"), ask)
                .await?;
            for repo in repos {
                open(&self.installed).insert(repo.id, installed);
                found.push(repo.repository(&self.base.web, Some(installed.right)));
            }
        }
        Ok(found)
    }

    async fn reached_repositories(
        self: &Arc<Self>,
        allowed: &[String],
    ) -> Result<Vec<Repository>, Error> {
        let ask = Ask {
            what: "the repositories of our account",
            needs: "metadata: read",
        };
        let mut found: Vec<Repository> = Vec::new();
        // The list is only needed where not every name is said.
        if allowed.iter().any(|name| name.ends_with("/*")) {
            let repos: Vec<wire::Repo> = self.line().list("/user/repos", None, ask).await?;
            let told = repos
                .into_iter()
                .map(|one| one.repository(&self.base.web, None));
            found.extend(told);
        }
        for name in allowed.iter().filter(|name| !name.ends_with("/*")) {
            match self.repository_named(name).await {
                Ok(repository) => found.push(repository),
                Err(Error::Gone { .. } | Error::NotPermitted { .. } | Error::Invalid { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn repository_named(self: &Arc<Self>, name: &str) -> Result<Repository, Error> {
        let what = format!("repository `{name}`");
        let ask = Ask {
            what: &what,
            needs: "metadata: read",
        };
        let Some((owner, repo)) = name.split_once('/') else {
            return Err(Error::Invalid {
                what,
                why: "a repository is named owner/name".to_owned(),
            });
        };
        let route = format!("/repos/{}/{}", part(owner), part(repo));
        let (line, right) = if self.is_app() {
            let installed = self.installation_at(&route, &what).await?;
            (self.line_of(installed.id, None), Some(installed.right))
        } else {
            (self.line(), None)
        };
        let answer = line.send(Method::Get, &route, None).await?;
        // The one redirect that is understood, not followed: the repository was renamed.
        let answer = match answer.moved_to() {
            Some(id) if (300..400).contains(&answer.status) => {
                let route = format!("/repositories/{id}");
                line.send(Method::Get, &route, None).await?
            }
            _ => answer,
        };
        let repo: wire::Repo = line.done(answer, &[200], ask)?.read(ask)?;
        Ok(repo.repository(&self.base.web, right))
    }

    /// The installation that holds the repository at this route.
    async fn installation_at(
        self: &Arc<Self>,
        route: &str,
        what: &str,
    ) -> Result<Installed, Error> {
        let ask = Ask {
            what,
            needs: "metadata: read",
        };
        let path = format!("{route}/installation");
        let line = self.line();
        let mut answer = line.send(Method::Get, &path, None).await?;
        if let Some(id) = answer.moved_to()
            && (300..400).contains(&answer.status)
        {
            let path = format!("/repositories/{id}/installation");
            answer = line.send(Method::Get, &path, None).await?;
        }
        let found: granted::Installation = line.done(answer, &[200], ask)?.read(ask)?;
        if found.suspended_at.is_some() {
            return Err(Error::NotPermitted {
                what: format!("{what} (the App's installation is suspended)"),
                setting: format!("{}/installations", self.settings_page()),
            });
        }
        Ok(Installed {
            id: number(found.id),
            right: found.right(),
        })
    }

    /// The installation that holds a repository, remembered until a token of it is refused.
    pub(super) async fn installed(
        self: &Arc<Self>,
        repository: i64,
        name: &str,
    ) -> Result<Installed, Error> {
        let known = open(&self.installed).get(&repository).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let what = format!("repository `{name}`");
        let route = format!("/repositories/{repository}");
        let found = self.installation_at(&route, &what).await?;
        open(&self.installed).insert(repository, found);
        Ok(found)
    }

    /// The line of one repository.
    pub(super) async fn line_to(
        self: &Arc<Self>,
        repository: i64,
        name: &str,
    ) -> Result<Line, Error> {
        if !self.is_app() {
            return Ok(self.line());
        }
        let installed = self.installed(repository, name).await?;
        Ok(self.line_of(installed.id, Some(number(repository))))
    }

    /// A token that opens the files of one repository and nothing else.
    async fn git_token(
        self: &Arc<Self>,
        repository: i64,
        name: &str,
    ) -> Result<SecretString, Error> {
        let installed = self.installed(repository, name).await?;
        let path = format!("/app/installations/{}/access_tokens", installed.id);
        let what = format!("a token for the files of `{name}`");
        let ask = Ask {
            what: &what,
            needs: "contents: write",
        };
        let contents = if installed.right >= Right::Write {
            "write"
        } else {
            "read"
        };
        let body = json!({
            "repository_ids": [repository],
            "permissions": { "contents": contents, "metadata": "read" },
        });
        let line = self.line();
        let answer = line.send(Method::Post, &path, Some(&body)).await?;
        if matches!(answer.status, 403 | 404 | 422) {
            let key = Key::Installation {
                id: installed.id,
                only: None,
            };
            return Err(self.no_token(key, &answer));
        }
        let token: granted::Token = line.done(answer, &[201], ask)?.read(ask)?;
        Ok(SecretString::from(token.token))
    }

    /// Deliveries of which no attempt was taken, sent again. Those that failed too often stay failed.
    async fn redeliver(self: &Arc<Self>, since: Time) -> Result<u32, Error> {
        if !self.is_app() {
            return Ok(0);
        }
        let ask = Ask {
            what: "the App's deliveries",
            needs: "the App's own key",
        };
        let line = self.line();
        let mut attempts: Vec<granted::Delivery> = Vec::new();
        let mut unread = None;
        line.pages(
            "/app/hook/deliveries",
            None,
            ask,
            |one: granted::Delivery| {
                match wire::time(&one.delivered_at) {
                    // Newest first: from here on all are older.
                    Ok(at) if at < since => return ControlFlow::Break(()),
                    Ok(_) => attempts.push(one),
                    Err(error) => unread = Some(error),
                }
                ControlFlow::Continue(())
            },
        )
        .await?;
        if let Some(error) = unread {
            return Err(error);
        }
        let taken = |one: &granted::Delivery| {
            one.status_code
                .is_some_and(|code| (200..300).contains(&code))
        };
        let mut failed: HashMap<&str, Vec<i64>> = HashMap::new();
        let mut order = Vec::new();
        let done: HashSet<&str> = attempts
            .iter()
            .filter(|one| taken(one))
            .map(|one| one.guid.as_str())
            .collect();
        // Oldest first, so that what happened first is heard first.
        for one in attempts
            .iter()
            .rev()
            .filter(|one| !done.contains(one.guid.as_str()))
        {
            let tries = failed.entry(&one.guid).or_default();
            if tries.is_empty() {
                order.push(one.guid.as_str());
            }
            tries.push(one.id);
        }
        let mut sent = 0;
        for guid in order {
            let tries = failed.get(guid).map_or(&[][..], Vec::as_slice);
            let Some(last) = tries.last().filter(|_| tries.len() < FAILED_MAX) else {
                continue;
            };
            let path = format!("/app/hook/deliveries/{last}/attempts");
            match line.write(Method::Post, &path, None, 202, ask).await {
                Ok(_) => sent += 1,
                // The rest fails on until the next sweep, which finds it again.
                Err(Error::Retry { .. }) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}

/// Ids are positive; one that is not names nothing.
fn number(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}

fn owners(allowed: &[String], owner: &str) -> bool {
    let of = |pattern: &String| {
        let named = pattern.split_once('/').map(|(of, _)| of);
        named.is_some_and(|named| named.eq_ignore_ascii_case(owner))
    };
    allowed.iter().any(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_allowed_by_its_name_or_its_owner_in_any_case() {
        let allowed = ["Acme/Widget".to_owned(), "dana/*".to_owned()];
        for (name, expected) in [
            ("acme/widget", true),
            ("acme/widgets", false),
            ("Dana/anything", true),
            ("danai/x", false),
            ("acme/*", false),
        ] {
            assert_eq!(is_named(&allowed, name), expected, "{name}");
        }
        assert!(owners(&allowed, "ACME"));
        assert!(!owners(&allowed, "ac"));
    }
}
