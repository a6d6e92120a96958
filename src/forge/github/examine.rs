//! What an App or a token may do on GitHub.

use async_trait::async_trait;

use super::super::{
    About, Account, Deliveries, Error, Examine, Grant, HookSeen, Reach, Repository,
};
use super::api::{Answer, Ask, Method, part};
use super::granted::{App, Delivery, Installation};
use super::manifest::PERMISSIONS;
use super::service::GitHub;
use super::wire;
use crate::domain::policy::ActorKind;

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

    /// `Permissions (address)` of the App, or the page of tokens.
    fn place(&self) -> String {
        match self.0.is_app() {
            true => format!(
                "the App's Permissions & events ({}/permissions)",
                self.0.settings_page()
            ),
            false => format!(
                "Settings, Developer settings ({}/settings/tokens)",
                self.0.base.web
            ),
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
        let grant = |(name, access, why): &(&'static str, &'static str, &'static str)| Grant {
            name,
            why,
            held: held.as_ref().map(|found| found.allows(name, access)),
            place: place.clone(),
        };
        Ok(PERMISSIONS.iter().map(grant).collect())
    }

    /// Rules of a branch can be seen by administrators only, so neither is known.
    async fn reach(&self, repository: &Repository) -> Result<Reach, Error> {
        Ok(Reach {
            merge: None,
            push: None,
            place: format!("Settings, Rules ({}/settings/rules)", repository.page),
        })
    }

    async fn has_label(&self, _: &Repository, _: &str) -> Result<Option<bool>, Error> {
        Ok(None)
    }

    async fn hook(&self, repository: &Repository, _: &str) -> Result<HookSeen, Error> {
        if !self.0.is_app() {
            let place = format!("Settings, Webhooks ({}/settings/hooks)", repository.page);
            return Ok(HookSeen::Hidden { place });
        }
        let what = "the App's deliveries";
        let path = format!("/app/hook/deliveries?per_page={DELIVERIES}");
        let told: Vec<Delivery> = self.get(&path, what).await?.read(ask(what))?;
        let failed = |one: &Delivery| {
            !one.status_code
                .is_some_and(|code| (200..300).contains(&code))
        };
        Ok(HookSeen::There {
            id: 0,
            url: "the App's webhook".to_owned(),
            faults: Vec::new(),
            deliveries: Some(Deliveries {
                all: told.len(),
                failed: told.iter().filter(|one| failed(one)).count(),
                newest_failed: told.first().is_some_and(failed),
            }),
            place: format!("the App's Advanced ({}/advanced)", self.0.settings_page()),
        })
    }

    async fn test_hook(&self, _: &Repository, _: i64) -> Result<(), Error> {
        Err(Error::Invalid {
            what: "a test delivery".to_owned(),
            why: "GitHub sends an App none".to_owned(),
        })
    }
}
