//! What an App or a token may do on GitHub.

use async_trait::async_trait;

use super::super::{
    About, Account, Deliveries, Error, Examine, Grant, HookSeen, Reach, Repository, Wanted,
};
use super::api::{Answer, Ask, Method, part};
use super::granted::{App, Delivery, HookConfig, Installation};
use super::manifest::PERMISSIONS;
use super::repo::Repo;
use super::service::GitHub;
use super::wire;
use crate::domain::policy::{ActorKind, Right};

/// Newest deliveries that are looked at.
const DELIVERIES: usize = 50;

/// What a question is about, for errors.
const fn ask(what: &str) -> Ask<'_> {
    Ask {
        what,
        needs: "metadata: read",
    }
}

impl GitHub {
    async fn get(&self, path: &str, what: &str) -> Result<Answer, Error> {
        let line = self.0.line();
        let answer = line.send(Method::Get, path, None).await?;
        line.done(answer, &[200], ask(what))
    }

    /// What an App, or a token, needs: permission, access, why.
    fn needed(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let token = |needed: &(&'static str, &'static str, &'static str)| match *needed {
            // Only Apps may write check runs.
            ("checks", access, why) => ("statuses", access, why),
            other => other,
        };
        match self.0.is_app() {
            true => PERMISSIONS.to_vec(),
            false => PERMISSIONS.iter().map(token).collect(),
        }
    }

    /// Where what the credential may do is set.
    fn place(&self) -> String {
        match self.0.is_app() {
            true => format!(
                "the App's Permissions & events ({}/permissions)",
                self.0.settings_page()
            ),
            false => self.credential().place,
        }
    }

    /// Whether nothing stands before the default branch; `None` where that cannot be seen.
    async fn unguarded(&self, repository: &Repository) -> Result<Option<bool>, Error> {
        let repo = Repo::new(&self.0, repository);
        let line = repo.line().await?;
        let name = part(&repository.default_branch);
        let path = repo.at(&format!("/branches/{name}"));
        let branch = line.get::<wire::Branch>(&path, ask("the default branch"));
        let branch = branch.await;
        // Rules are told apart from the protection that there was before them.
        let path = repo.at(&format!("/rules/branches/{name}"));
        let rules = line.list::<wire::Rule>(&path, None, ask("the rules of the default branch"));
        match (branch, rules.await) {
            (Ok(branch), Ok(rules)) => {
                let open = |protected: bool| !protected && rules.is_empty();
                Ok(branch.protected.map(open))
            }
            (Err(Error::NotPermitted { .. } | Error::Gone { .. }), _)
            | (_, Err(Error::NotPermitted { .. } | Error::Gone { .. })) => Ok(None),
            (Err(why), _) | (_, Err(why)) => Err(why),
        }
    }
}

#[async_trait]
impl Examine for GitHub {
    async fn about(&self) -> Result<About, Error> {
        let (account, clock) = match self.0.is_app() {
            true => {
                let answer = self.get("/app", "the App").await?;
                let app: App = answer.read(ask("the App"))?;
                // Set already is the same page.
                let _ = self.0.settings.set(self.0.page_of(&app));
                let account = Account {
                    id: app.id,
                    login: format!("{}[bot]", app.slug),
                    kind: ActorKind::Bot,
                    address: None,
                };
                (account, answer.clock())
            }
            false => {
                let answer = self.get("/user", "our account").await?;
                let user: wire::User = answer.read(ask("our account"))?;
                let account = user.account().ok_or_else(|| Error::Auth {
                    why: "the token belongs to no account".to_owned(),
                })?;
                (account, answer.clock())
            }
        };
        Ok(About {
            account,
            program: "GitHub".to_owned(),
            clock,
        })
    }

    fn credential(&self) -> Wanted {
        let needed = self.needed();
        let web = &self.0.base.web;
        Wanted {
            needs: needed
                .iter()
                .map(|(name, access, _)| format!("{name}: {access}"))
                .collect(),
            place: match self.0.is_app() {
                true => format!(
                    "the App's General, Private keys ({})",
                    self.0.settings_page()
                ),
                false => format!(
                    "Settings, Developer settings ({web}/settings/personal-access-tokens; an old kind of token needs `repo` at {web}/settings/tokens)"
                ),
            },
        }
    }

    fn access(&self, name: &str, page: Option<&str>) -> String {
        match (self.0.is_app(), page) {
            (true, Some(_)) => self.place(),
            (true, None) => format!(
                "the App's Install App ({}/installations)",
                self.0.settings_page()
            ),
            (false, page) => {
                let page =
                    page.map_or_else(|| format!("{}/{name}", self.0.base.web), str::to_owned);
                format!("Settings, Collaborators and teams ({page}/settings/access)")
            }
        }
    }

    async fn grants(&self, name: &str) -> Result<Vec<Grant>, Error> {
        let (owner, repo) = name.split_once('/').unwrap_or((name, ""));
        let held = match self.0.is_app() {
            true => {
                let path = format!("/repos/{}/{}/installation", part(owner), part(repo));
                let what = format!("the App's installation on {name}");
                let found: Installation = self.get(&path, &what).await?.read(ask(&what))?;
                Some(found)
            }
            // What a token may is only told of old ones, and coarsely.
            false => None,
        };
        let place = self.place();
        let grant = |(name, access, why): (&str, &str, &'static str)| Grant {
            name: format!("{name}: {access}"),
            why,
            held: held.as_ref().map(|found| found.allows(name, access)),
            place: place.clone(),
        };
        Ok(self.needed().into_iter().map(grant).collect())
    }

    /// Whom a rule lets by is told to administrators only: who may write could do both where nothing stands before
    /// the branch, and where something does, it is not known.
    async fn reach(&self, repository: &Repository) -> Result<Reach, Error> {
        let could = match repository.ours {
            None => None,
            Some(right) if right < Right::Write => Some(false),
            Some(_) => self.unguarded(repository).await?.filter(|open| *open),
        };
        let page = &repository.page;
        Ok(Reach {
            merge: could,
            push: could,
            place: format!(
                "Settings, Rules ({page}/settings/rules) or Branches ({page}/settings/branches)"
            ),
        })
    }

    async fn has_label(&self, repository: &Repository, label: &str) -> Result<Option<bool>, Error> {
        let repo = Repo::new(&self.0, repository);
        let path = repo.at(&format!("/labels/{}", part(label)));
        let line = repo.line().await?;
        let ask = Ask {
            what: "the label that asks",
            needs: "issues: read",
        };
        let answer = line.send(Method::Get, &path, None).await?;
        match line.done(answer, &[200, 404], ask) {
            Ok(answer) => Ok(Some(answer.status == 200)),
            // Which right is missing is told by itself.
            Err(Error::NotPermitted { .. }) => Ok(None),
            Err(why) => Err(why),
        }
    }

    async fn hook(&self, repository: &Repository, forge: &str) -> Result<HookSeen, Error> {
        if !self.0.is_app() {
            let place = format!("Settings, Webhooks ({}/settings/hooks)", repository.page);
            return Ok(HookSeen::Hidden { place });
        }
        let general = format!("the App's General, Webhook ({})", self.0.settings_page());
        let what = "the App's webhook";
        let config: HookConfig = self.get("/app/hook/config", what).await?.read(ask(what))?;
        let Some(url) = config
            .url
            .as_deref()
            .filter(|url| url.ends_with(&format!("/hooks/{forge}")))
        else {
            return Ok(HookSeen::Missing { place: general });
        };
        let what = "the App's deliveries";
        let path = format!("/app/hook/deliveries?per_page={DELIVERIES}");
        let told: Vec<Delivery> = self.get(&path, what).await?.read(ask(what))?;
        // 0 stands for no answer.
        let answered = |one: &Delivery| {
            let status = one.status_code.and_then(|code| u16::try_from(code).ok());
            status.filter(|code| *code > 0)
        };
        let faults = config.faults();
        Ok(HookSeen::There {
            id: 0,
            url: url.to_owned(),
            place: match faults.is_empty() {
                true => format!("the App's Advanced ({}/advanced)", self.0.settings_page()),
                false => general,
            },
            faults,
            deliveries: Some(Deliveries {
                all: told.len(),
                failed: told
                    .iter()
                    .filter(|one| !Deliveries::is_taken(answered(one)))
                    .count(),
                newest: told.first().and_then(answered),
            }),
        })
    }

    async fn test_hook(&self, _: &Repository, _: i64) -> Result<(), Error> {
        Err(Error::Invalid {
            what: "a test delivery".to_owned(),
            why: "GitHub sends an App none".to_owned(),
        })
    }
}
