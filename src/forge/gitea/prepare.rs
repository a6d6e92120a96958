//! What an administrator of a repository does once, so that it can be served.

use async_trait::async_trait;
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::http::Call;
use super::super::{Account, Error, Made, Prepare, Repository, Service};
use super::examine::EVENTS;
use super::rights::word;
use super::shape::RawLabel;
use super::show::colour;
use super::{Gitea, flat, front};
use crate::domain::policy::Right;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawPermission {
    permission: Option<String>,
}

impl Gitea {
    /// A write below the repository `name`, which only its administrator may do.
    async fn administer(
        &self,
        method: Method,
        name: &str,
        path: &[&str],
        body: Option<Value>,
        (known, what): (u16, String),
    ) -> Result<(), Error> {
        let path = path.iter().map(|part| (*part).to_owned());
        let mut call = Call::new(method, front(name).into_iter().chain(path), what);
        if let Some(body) = body {
            call = call.body(body);
        }
        self.home.client.send(&call, &[known]).await.map_err(flat)?;
        Ok(())
    }
}

#[async_trait]
impl Prepare for Gitea {
    async fn whoami(&self) -> Result<Account, Error> {
        self.home.me().await.cloned()
    }

    async fn repository(&self, name: &str) -> Result<Repository, Error> {
        Service::repository(self, name).await
    }

    async fn ensure_labels(
        &self,
        repository: &Repository,
        labels: &[(String, &'static str)],
    ) -> Result<Vec<String>, Error> {
        let name = &repository.name;
        let path = front(name).into_iter().chain(["labels".to_owned()]);
        let call = Call::new(Method::GET, path, format!("labels of {name}"));
        let there: Vec<RawLabel> = self
            .home
            .client
            .pages(&call, |_| true)
            .await
            .map_err(flat)?;
        let mut made = Vec::new();
        for (label, description) in labels {
            if there.iter().any(|one| one.name == *label) {
                continue;
            }
            let body = json!({ "name": label, "color": colour(label), "description": description });
            let what = (201, format!("making the label `{label}`"));
            self.administer(Method::POST, name, &["labels"], Some(body), what)
                .await?;
            made.push(label.clone());
        }
        Ok(made)
    }

    async fn ensure_writer(&self, repository: &Repository, login: &str) -> Result<Made, Error> {
        let name = &repository.name;
        let path = ["collaborators", login, "permission"].map(str::to_owned);
        let what = format!("the right of {login} in {name}");
        let call = Call::new(Method::GET, front(name).into_iter().chain(path), what);
        let answer = self.home.client.send(&call, &[200]).await.map_err(flat)?;
        let now: RawPermission = answer.read()?;
        if word(now.permission.as_deref()) >= Some(Right::Write) {
            return Ok(Made::WasThere);
        }
        let body = json!({ "permission": "write" });
        let what = (204, format!("giving {login} write in {name}"));
        let path = ["collaborators", login];
        self.administer(Method::PUT, name, &path, Some(body), what)
            .await?;
        Ok(Made::Now)
    }

    /// A webhook's secret can be read by nobody, and a change of the webhook leaves it as it was; so one that may have
    /// another is made anew.
    async fn ensure_hook(
        &self,
        repository: &Repository,
        url: &str,
        secret: &SecretString,
        known: bool,
    ) -> Result<Made, Error> {
        let name = &repository.name;
        let hooks = self.hooks(name).await?.ok_or_else(|| Error::NotPermitted {
            what: format!("webhooks of {name}"),
            setting: "the repository's Settings, Collaborators: administrator".to_owned(),
        })?;
        let ours: Vec<_> = hooks.iter().filter(|hook| hook.url() == url).collect();
        let mut kept = false;
        for hook in &ours {
            if known && !kept && hook.faults().is_empty() {
                kept = true;
                continue;
            }
            let id = hook.id.to_string();
            let what = (204, format!("removing webhook {id} of {name}"));
            self.administer(Method::DELETE, name, &["hooks", &id], None, what)
                .await?;
        }
        if kept {
            return Ok(Made::WasThere);
        }
        let body = json!({
            "type": "gitea", "active": true, "events": EVENTS,
            "config": { "url": url, "content_type": "json", "secret": secret.expose_secret() },
        });
        let what = (201, format!("making a webhook of {name}"));
        self.administer(Method::POST, name, &["hooks"], Some(body), what)
            .await?;
        Ok(match ours.is_empty() {
            true => Made::Now,
            false => Made::Anew,
        })
    }
}
