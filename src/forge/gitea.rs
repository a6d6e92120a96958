//! Gitea and Forgejo, by routes of our own.
//!
//! Their interface has traps, each measured on a real Gitea and each with a test named after it: a repository that
//! was renamed answers a write with a redirect, labels come off by number only, a draft is a title, the list of
//! assignees holds readers, a page of a timeline can be empty before its end. What the interface cannot say is
//! answered as not known, never guessed.

mod examine;
mod ours;
mod prepare;
mod pulls;
mod rights;
mod shape;
mod show;
mod talk;
mod title;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use reqwest::Method;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use self::shape::{RawRepository, RawUser};
use super::http::{Answer, Call, Client, Fault, Grants};
use super::{
    Account, Capabilities, Checks, Conversation, Credential, Drafts, Error, Forge, Refs,
    Repository, Service,
};
use crate::domain::ident::{TaskId, Time};
use crate::domain::policy::Right;

const GRANTS: Grants = Grants {
    right: "the repository's Settings, Collaborators (or the organisation's Teams): write for our account",
    scope: "our account's Settings, Applications: a token with write:issue, write:repository and read:user",
    archive: "the repository's Settings, by unarchiving it",
};

/// A configured Gitea or Forgejo.
pub(super) struct Gitea {
    home: Arc<Home>,
}

/// What all of one forge share.
struct Home {
    name: String,
    /// Where git is served: the configured address, since a token goes there.
    page: String,
    client: Client,
    token: SecretString,
    me: OnceCell<Account>,
    /// Numbers of pull requests by repository and task, which the task may not know yet. Verified at each use.
    pulls: Mutex<BTreeMap<(i64, TaskId), i64>>,
}

/// One repository, held by its number. Made anew for each job, so that its name is read at least that often.
struct Repo {
    home: Arc<Home>,
    id: i64,
    name: tokio::sync::Mutex<Option<String>>,
}

impl Gitea {
    pub(super) fn new(name: &str, base_url: &str, token: SecretString) -> Result<Self, Error> {
        let client = Client::new(base_url, &["api", "v1"], token.clone(), GRANTS)?;
        let home = Home {
            name: name.to_owned(),
            page: base_url.trim_end_matches('/').to_owned(),
            client,
            token,
            me: OnceCell::new(),
            pulls: Mutex::new(BTreeMap::new()),
        };
        Ok(Self {
            home: Arc::new(home),
        })
    }

    fn repo(&self, repository: &Repository) -> Repo {
        Repo {
            home: Arc::clone(&self.home),
            id: repository.id,
            name: tokio::sync::Mutex::new(None),
        }
    }
}

impl Home {
    async fn me(&self) -> Result<&Account, Error> {
        let read = || async {
            let call = Call::new(Method::GET, ["user"], "our own account");
            let user: RawUser = self
                .client
                .send(&call, &[200])
                .await
                .map_err(flat)?
                .read()?;
            user.account().ok_or_else(|| Error::Auth {
                why: "the token belongs to no account".to_owned(),
            })
        };
        self.me.get_or_try_init(read).await
    }

    /// The repository at `call`.
    async fn at(&self, call: Call) -> Result<RawRepository, Error> {
        let answer = self.client.send(&call, &[200]).await.map_err(flat)?;
        answer.read()
    }

    /// In our words. Whether an organisation owns it takes a question of its own.
    async fn repository(&self, raw: RawRepository) -> Result<Repository, Error> {
        let teams = rights::teams(self, &raw.full_name).await?;
        let permission = raw.permissions;
        let ours = match permission {
            Some(of) if of.admin => Some(Right::Admin),
            Some(of) if of.push => Some(Right::Write),
            Some(of) if of.pull => Some(Right::Read),
            Some(_) => Some(Right::None),
            None => None,
        };
        Ok(Repository {
            id: raw.id,
            clone_url: format!("{}/{}.git", self.page, raw.full_name),
            page: raw.html_url,
            default_branch: raw.default_branch,
            private: raw.private || raw.internal,
            archived: raw.archived,
            personal: teams.is_none(),
            ours,
            name: raw.full_name,
        })
    }

    fn known_pull(&self, repository: i64, task: TaskId) -> Option<i64> {
        let pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.get(&(repository, task)).copied()
    }

    fn keep_pull(&self, repository: i64, task: TaskId, number: i64) {
        /// Enough for every task that lives at once.
        const KEPT_MAX: usize = 10_000;
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        if pulls.len() >= KEPT_MAX {
            pulls.clear();
        }
        pulls.insert((repository, task), number);
    }
}

impl Repo {
    /// `call` below the repository, under the name that it has now.
    async fn send(&self, call: Call, known: &[u16]) -> Result<Answer, Error> {
        let name = self.name().await?;
        let there = call.clone().below(front(&name));
        match self.home.client.send(&there, known).await {
            Ok(answer) if answer.status != 404 => Ok(answer),
            Err(Fault::Failed(error)) if !matches!(error, Error::Gone { .. }) => Err(error),
            // Renamed, or not there: its number says which. Nothing was written, so the call is safe to do.
            outcome => {
                let now = self.rename().await?;
                if now == name {
                    return outcome.map_err(flat);
                }
                let there = call.below(front(&now));
                self.home.client.send(&there, known).await.map_err(flat)
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], what: String) -> Result<T, Error> {
        let call = Call::new(Method::GET, path.iter().copied(), what);
        self.send(call, &[200]).await?.read()
    }

    async fn write(
        &self,
        method: Method,
        path: &[&str],
        body: Value,
        known: &[u16],
        what: String,
    ) -> Result<Answer, Error> {
        let call = Call::new(method, path.iter().copied(), what).body(body);
        self.send(call, known).await
    }

    /// The whole list at `call`, or up to where `wanted` says no.
    async fn pages<T: DeserializeOwned>(
        &self,
        call: Call,
        wanted: impl FnMut(&[T]) -> bool,
    ) -> Result<Vec<T>, Error> {
        // Reads follow a renaming by themselves.
        let name = self.name().await?;
        let call = call.below(front(&name));
        self.home.client.pages(&call, wanted).await.map_err(flat)
    }

    /// The same, each page as it comes, for lists of up to `most`.
    async fn each_page<T: DeserializeOwned>(
        &self,
        call: Call,
        most: usize,
        take: impl FnMut(Vec<T>) -> bool,
    ) -> Result<(), Error> {
        let name = self.name().await?;
        let call = call.below(front(&name));
        let read = self.home.client.each_page(&call, most, take);
        read.await.map_err(flat)
    }

    async fn name(&self) -> Result<String, Error> {
        let name = self.name.lock().await.clone();
        match name {
            Some(name) => Ok(name),
            None => self.rename().await,
        }
    }

    /// Asks for the name anew.
    async fn rename(&self) -> Result<String, Error> {
        let name = self.raw().await?.full_name;
        *self.name.lock().await = Some(name.clone());
        Ok(name)
    }

    async fn raw(&self) -> Result<RawRepository, Error> {
        let id = self.id.to_string();
        let what = format!("repository {id} of {}", self.home.name);
        let path = ["repositories", id.as_str()];
        self.home.at(Call::new(Method::GET, path, what)).await
    }
}

#[async_trait]
impl Service for Gitea {
    fn name(&self) -> &str {
        &self.home.name
    }

    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn whoami(&self) -> Result<Account, Error> {
        self.home.me().await.cloned()
    }

    async fn repositories(&self, allowed: &[String]) -> Result<Vec<Repository>, Error> {
        let mut found: BTreeMap<i64, Repository> = BTreeMap::new();
        for wanted in allowed {
            let raws = match wanted.split_once('/') {
                Some((owner, "*")) => self.owned(owner).await,
                Some(_) => self.named(wanted).await.map(|raw| vec![raw]),
                None => Ok(Vec::new()),
            };
            let raws = match raws {
                // Left out, as one is that its name hides.
                Err(Error::Gone { .. } | Error::Invalid { .. }) => continue,
                raws => raws?,
            };
            for raw in raws {
                if let Entry::Vacant(place) = found.entry(raw.id) {
                    place.insert(self.home.repository(raw).await?);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    async fn repository(&self, name: &str) -> Result<Repository, Error> {
        let raw = self.named(name).await?;
        self.home.repository(raw).await
    }

    async fn credential(&self, _repository: &Repository) -> Result<Credential, Error> {
        Ok(Credential {
            user: self.home.me().await?.login.clone(),
            secret: self.home.token.clone(),
        })
    }

    fn forge(&self, repository: &Repository, refs: Arc<dyn Refs>) -> Arc<dyn Forge> {
        Arc::new(show::Show::new(self.repo(repository), refs))
    }

    fn conversation(&self, repository: &Repository) -> Arc<dyn Conversation> {
        Arc::new(talk::Talk::new(self.repo(repository)))
    }

    async fn redeliver(&self, _since: Time) -> Result<u32, Error> {
        Ok(0)
    }
}

impl Gitea {
    async fn named(&self, name: &str) -> Result<RawRepository, Error> {
        let what = format!("repository {name}");
        self.home
            .at(Call::new(Method::GET, front(name), what))
            .await
    }

    /// What we can reach of an account's or organisation's.
    async fn owned(&self, owner: &str) -> Result<Vec<RawRepository>, Error> {
        let what = format!("repositories of {owner}");
        let call = Call::new(Method::GET, ["users", owner, "repos"], what);
        let mut raws: Vec<RawRepository> = self
            .home
            .client
            .pages(&call, |_| true)
            .await
            .map_err(flat)?;
        raws.retain(|raw| {
            let of = raw.full_name.split_once('/').map(|(of, _)| of);
            of.is_some_and(|of| of.eq_ignore_ascii_case(owner))
        });
        Ok(raws)
    }
}

const CAPABILITIES: Capabilities = Capabilities {
    labels: true,
    drafts: Drafts::TitlePrefix,
    checks: Checks::Statuses,
    proof: false,
    minimise: false,
    redelivery: false,
    rights: false,
    pushes: true,
};

/// The beginning of the path of a repository's routes.
fn front(name: &str) -> Vec<String> {
    let (owner, repo) = name.split_once('/').unwrap_or((name, ""));
    ["repos", owner, repo].map(str::to_owned).to_vec()
}

/// A redirect that even the repository's own number did not explain.
fn flat(fault: Fault) -> Error {
    match fault {
        Fault::Failed(error) => error,
        Fault::Moved => Error::Retry {
            after_secs: None,
            why: "it redirected a write, as for a repository that was renamed this moment"
                .to_owned(),
        },
    }
}
