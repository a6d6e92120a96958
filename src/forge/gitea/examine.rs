//! What a token may do on a Gitea or Forgejo.
//!
//! No route tells a token its scopes, and one that reads cannot tell reading from writing. But scopes are judged
//! before the thing that is asked about is looked for, so a change of issue 0, which no repository has, is answered
//! as forbidden or as not found and changes nothing.

use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::super::http::{Call, Fault};
use super::super::{About, Error, Examine, Grant, HookSeen, Reach, Repository, Wanted};
use super::shape::{RawLabel, RawUser};
use super::{Gitea, flat, front};

/// Events that a webhook has to send, as Gitea lists them when asked.
pub(super) const EVENTS: [&str; 11] = [
    "issues",
    "issue_label",
    "issue_assign",
    "issue_comment",
    "pull_request",
    "pull_request_label",
    "pull_request_comment",
    "pull_request_review",
    "pull_request_sync",
    "push",
    "delete",
];

/// Scopes of a token, and what each is for: the least that our routes take.
const SCOPES: [(&str, &str); 3] = [
    ("read:user", "to know its own account"),
    ("write:issue", "comments, labels, reactions"),
    ("write:repository", "branches, pull requests, statuses"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawVersion {
    version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawBranchRights {
    user_can_push: Option<bool>,
    user_can_merge: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawHook {
    pub(super) id: i64,
    active: bool,
    events: Option<Vec<String>>,
    config: RawHookConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawHookConfig {
    url: Option<String>,
    content_type: Option<String>,
}

impl RawHook {
    pub(super) fn url(&self) -> &str {
        self.config.url.as_deref().unwrap_or_default()
    }

    /// What keeps it from telling us everything.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.active {
            faults.push("it is switched off".to_owned());
        }
        if self.config.content_type.as_deref() != Some("json") {
            faults.push("its content type is not application/json".to_owned());
        }
        let events = self.events.as_deref().unwrap_or_default();
        let sent = |event: &&str| events.iter().any(|one| one == event);
        let missing: Vec<&str> = EVENTS
            .iter()
            .copied()
            .filter(|event| !sent(event))
            .collect();
        if !missing.is_empty() {
            faults.push(format!("it does not send {}", missing.join(", ")));
        }
        faults
    }
}

impl Gitea {
    /// `Settings, Webhooks (address)`.
    fn place(&self, what: &str, path: &str) -> String {
        format!("{what} ({}/{path})", self.home.page)
    }

    /// Webhooks of a repository; `None` where the account may not see them.
    pub(super) async fn hooks(&self, name: &str) -> Result<Option<Vec<RawHook>>, Error> {
        let path = front(name).into_iter().chain(["hooks".to_owned()]);
        let call = Call::new(Method::GET, path, format!("webhooks of {name}"));
        match self.home.client.pages(&call, |_| true).await {
            Ok(hooks) => Ok(Some(hooks)),
            Err(Fault::Failed(Error::NotPermitted { .. })) => Ok(None),
            Err(fault) => Err(flat(fault)),
        }
    }

    /// Whether the token has the scope that a change of `part` 0 takes; `None` where the answer does not say.
    async fn holds(&self, name: &str, part: &str) -> Result<Option<bool>, Error> {
        let path = [part.to_owned(), "0".to_owned()];
        let path = front(name).into_iter().chain(path);
        let call = Call::new(
            Method::PATCH,
            path,
            format!("the scopes of the token in {name}"),
        );
        let call = call.body(json!({}));
        let answer = self.home.client.send(&call, &[403, 404, 410, 422, 423]);
        Ok(match answer.await {
            Ok(answer) if answer.status == 403 => {
                Some(!answer.said().is_some_and(|said| said.contains("scope")))
            }
            Ok(_) => Some(true),
            Err(Fault::Failed(error @ (Error::Auth { .. } | Error::Retry { .. }))) => {
                return Err(error);
            }
            Err(_) => None,
        })
    }
}

#[async_trait]
impl Examine for Gitea {
    async fn about(&self) -> Result<About, Error> {
        let call = Call::new(Method::GET, ["user"], "our own account");
        let answer = self.home.client.send(&call, &[200]).await.map_err(flat)?;
        let clock = answer.clock;
        let account = answer.read::<RawUser>()?.account();
        let account = account.ok_or_else(|| Error::Auth {
            why: "the token belongs to no account".to_owned(),
        })?;
        let call = Call::new(Method::GET, ["version"], "the forge's version");
        let version = self.home.client.send(&call, &[200]).await;
        // Only told: one that hides it works as well.
        let version = version.ok().and_then(|answer| answer.read().ok());
        let program = match version {
            Some(RawVersion { version }) if version.contains("gitea-") => {
                format!("Forgejo {version}")
            }
            Some(RawVersion { version }) => format!("Gitea {version}"),
            None => "Gitea or Forgejo".to_owned(),
        };
        Ok(About {
            account,
            program,
            clock,
        })
    }

    fn credential(&self) -> Wanted {
        Wanted {
            needs: SCOPES.iter().map(|(name, _)| (*name).to_owned()).collect(),
            place: self.place("Settings, Applications", "user/settings/applications"),
        }
    }

    fn access(&self, name: &str, page: Option<&str>) -> String {
        let page = page.map_or_else(|| format!("{}/{name}", self.home.page), str::to_owned);
        format!("Settings, Collaborators ({page}/settings/collaboration)")
    }

    async fn grants(&self, name: &str) -> Result<Vec<Grant>, Error> {
        let place = self.credential().place;
        let mut grants = Vec::new();
        for (scope, why) in SCOPES {
            let held = match scope {
                "write:issue" => self.holds(name, "issues").await?,
                "write:repository" => self.holds(name, "pulls").await?,
                // Without it nobody would have come here.
                _ => Some(true),
            };
            grants.push(Grant {
                name: scope.to_owned(),
                why,
                held,
                place: place.clone(),
            });
        }
        Ok(grants)
    }

    async fn reach(&self, repository: &Repository) -> Result<Reach, Error> {
        let branch = &repository.default_branch;
        let path = ["branches".to_owned(), branch.clone()];
        let path = front(&repository.name).into_iter().chain(path);
        let call = Call::new(Method::GET, path, format!("branch {branch}"));
        let answer = self.home.client.send(&call, &[200]).await.map_err(flat)?;
        let rights: RawBranchRights = answer.read()?;
        let page = format!("{}/settings/branches", repository.name);
        Ok(Reach {
            merge: rights.user_can_merge,
            push: rights.user_can_push,
            place: self.place("Settings, Branches", &page),
        })
    }

    async fn has_label(&self, repository: &Repository, label: &str) -> Result<Option<bool>, Error> {
        let is = |one: &RawLabel| one.name == label;
        let path = front(&repository.name)
            .into_iter()
            .chain(["labels".to_owned()]);
        let call = Call::new(Method::GET, path, "labels of the repository");
        let found: Vec<RawLabel> = self
            .home
            .client
            .pages(&call, |page: &[RawLabel]| !page.iter().any(is))
            .await
            .map_err(flat)?;
        Ok(Some(found.iter().any(is)))
    }

    async fn hook(&self, repository: &Repository, forge: &str) -> Result<HookSeen, Error> {
        let name = &repository.name;
        let place = self.place("Settings, Webhooks", &format!("{name}/settings/hooks"));
        let Some(hooks) = self.hooks(name).await? else {
            return Ok(HookSeen::Hidden { place });
        };
        let end = format!("/hooks/{forge}");
        let mut ours: Vec<&RawHook> = hooks
            .iter()
            .filter(|hook| hook.url().ends_with(&end))
            .collect();
        // Of several, one that works counts.
        ours.sort_by_key(|hook| hook.faults().len());
        Ok(match ours.first() {
            None => HookSeen::Missing { place },
            Some(hook) => HookSeen::There {
                id: hook.id,
                url: hook.url().to_owned(),
                faults: hook.faults(),
                deliveries: None,
                place: self.place(
                    "Settings, Webhooks",
                    &format!("{name}/settings/hooks/{}", hook.id),
                ),
            },
        })
    }

    async fn test_hook(&self, repository: &Repository, id: i64) -> Result<(), Error> {
        let path = ["hooks".to_owned(), id.to_string(), "tests".to_owned()];
        let path = front(&repository.name).into_iter().chain(path);
        let call = Call::new(Method::POST, path, "a test delivery");
        self.home.client.send(&call, &[204]).await.map_err(flat)?;
        Ok(())
    }
}
