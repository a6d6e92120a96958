//! What each configured forge lets us do, and what it does not, with the page where that is changed.
//!
//! Nothing is guessed: what a forge does not say is told as unknown. Nothing is changed there either; a webhook that
//! may be seen is asked for one test delivery, where a server of ours is there to take it.

mod hook;
mod lines;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use self::hook::{Kept, Tested, hooked};
use self::lines::{
    answers, clock, file, granted, labelled, named, no_answer, nothing_there, reaches, served,
    shared, unread,
};
use super::super::connect::{examine, service};
use super::super::credential::read_credential;
use super::super::prepare::{Prepared, governing};
use super::super::remote::{remote, remote_error};
use super::super::{AppError, Said, SystemClock};
use super::Line;
use super::alive::{self, Heard};
use crate::config::{self, Env, ForgeKind, ForgeSettings, Origins, Server};
use crate::forge::{self, Examine, HookSeen, Repository, Service};
use crate::git::{Mirror, Want};
use crate::intake::BY_OURS;
use crate::store::{Clock as _, RepositoryKey, Store};

/// The group of all lines here.
const GROUP: &str = "forge";

/// Most repositories of one forge that are looked at.
const REPOSITORIES_MAX: usize = 20;

/// How many days an act of our account is told that somebody else did with it.
const SHARED_DAYS: u64 = 30;

/// How long a test delivery may take to arrive.
const DELIVERY: Duration = Duration::from_secs(10);

/// What is needed to look.
pub(super) struct Look<'a> {
    pub(super) env: &'a Env,
    pub(super) server: &'a Server,
    pub(super) origins: &'a Origins,
    pub(super) data: &'a Path,
    pub(super) store: Option<&'a dyn Store>,
    /// An administrator's token, who may see webhooks.
    pub(super) admin: Option<&'a SecretString>,
}

/// A forge that answers.
struct Asked<'a> {
    forge: &'a ForgeSettings,
    service: Arc<dyn Service>,
    examine: Arc<dyn Examine>,
    login: String,
    has_secret: bool,
}

impl Look<'_> {
    /// Every forge of the server file.
    pub(super) async fn forges(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for forge in &self.server.forges {
            self.one(forge, &mut lines).await;
        }
        lines
    }

    async fn one(&self, forge: &ForgeSettings, lines: &mut Vec<Line>) {
        let name = |what: &str| format!("{}/{what}", forge.name);
        let found = match config::credentials(forge, self.env, &read_credential) {
            Ok(found) => found,
            Err(why) => {
                let said = why.0.iter().map(|one| Said::lower(one));
                lines.extend(said.map(|said| Line::said(GROUP, name("credentials"), &said)));
                return;
            }
        };
        let lacks = found.lacks(forge);
        if !lacks.is_empty() {
            let said = lacks.iter().map(|one| Said::lower(one));
            lines.extend(said.map(|said| Line::said(GROUP, name("credentials"), &said)));
            return;
        }
        for warning in &found.warnings {
            let said = Said::lower(warning);
            lines.push(Line::warn(GROUP, name("credentials"), said.what, said.hint));
        }
        let has_secret = found.webhook_secret.is_some();
        let looked =
            examine(forge, &found).and_then(|examine| Ok((examine, service(forge, found)?)));
        let (examine, service) = match looked {
            Ok(both) => both,
            Err(why) => {
                let said = Said::lower(&format!("{}: {why}", forge.name));
                lines.push(Line::said(GROUP, name("credentials"), &said));
                return;
            }
        };
        let about = match examine.about().await {
            Ok(about) => about,
            Err(why) => {
                lines.push(no_answer(forge, &why, &examine.credential()));
                return;
            }
        };
        // From its account it knows the App's own pages, which errors name; what is wrong with it shows below.
        let _ = service.whoami().await;
        lines.push(answers(forge, &about));
        if let Some(there) = about.clock {
            lines.push(clock(forge, there, SystemClock.now()));
        }
        let asked = Asked {
            forge,
            service,
            examine,
            login: about.account.login,
            has_secret,
        };
        self.repositories(&asked, lines).await;
    }

    async fn repositories(&self, asked: &Asked<'_>, lines: &mut Vec<Line>) {
        let forge = asked.forge;
        if forge.repos.is_empty() {
            let text = format!("{}: no repository is named, so none is served", forge.name);
            let fix = "name them in `[[forge]] repos`";
            lines.push(Line::warn(
                GROUP,
                format!("{}/repos", forge.name),
                text,
                fix,
            ));
        }
        let mut all = Vec::new();
        for wanted in &forge.repos {
            if wanted.ends_with("/*") {
                match asked
                    .service
                    .repositories(std::slice::from_ref(wanted))
                    .await
                {
                    Ok(found) if found.is_empty() => lines.push(nothing_there(asked, wanted)),
                    Ok(found) => all.extend(found),
                    Err(why) => lines.push(unread(asked, wanted, &why)),
                }
                continue;
            }
            match asked.service.repository(wanted).await {
                Ok(found) => all.push(found),
                Err(forge::Error::Gone { .. }) => lines.push(nothing_there(asked, wanted)),
                Err(why) => lines.push(unread(asked, wanted, &why)),
            }
        }
        if all.len() > REPOSITORIES_MAX {
            let (found, left) = (all.len(), all.len() - REPOSITORIES_MAX);
            let text = format!(
                "{}: {found} repositories are served, {left} were not looked at",
                forge.name
            );
            lines.push(Line::ok(GROUP, format!("{}/repos", forge.name), text));
            all.truncate(REPOSITORIES_MAX);
        }
        for repository in &all {
            self.repository(asked, repository, lines).await;
        }
    }

    async fn repository(&self, asked: &Asked<'_>, repository: &Repository, lines: &mut Vec<Line>) {
        let line = served(asked, repository);
        let works = line.state != super::State::Fail;
        lines.push(line);
        match asked.examine.grants(&repository.name).await {
            Ok(grants) => lines.push(granted(asked, repository, &grants)),
            Err(why) => lines.push(unread(asked, &repository.name, &why)),
        }
        if !works {
            return;
        }
        let read = self.file(asked, repository).await;
        let label = match &read {
            Ok(prepared) => prepared.settings.trigger.label.clone(),
            Err(_) => "agent".to_owned(),
        };
        lines.push(file(asked, repository, read));
        match asked.examine.has_label(repository, &label).await {
            Ok(Some(there)) => lines.push(labelled(asked, repository, &label, there)),
            Ok(None) => {}
            Err(why) => lines.push(unread(asked, &repository.name, &why)),
        }
        match asked.examine.reach(repository).await {
            Ok(reach) => lines.push(reaches(asked, repository, &reach)),
            Err(why) => lines.push(unread(asked, &repository.name, &why)),
        }
        if let Some(line) = self.hook(asked, repository).await {
            lines.push(line);
        }
        lines.extend(self.shared(asked, repository).await);
    }

    /// What a server saw people do with our account. That it saw nothing proves nothing, so nothing is told then.
    async fn shared(&self, asked: &Asked<'_>, repository: &Repository) -> Option<Line> {
        let key = RepositoryKey {
            forge: asked.forge.name.clone(),
            id: repository.id,
        };
        let since = SystemClock.now().minus_secs(SHARED_DAYS * 24 * 60 * 60);
        let acts = self.store?.settled_since(&key, "", BY_OURS, since);
        let acts = acts.await.ok().filter(|acts| *acts > 0)?;
        Some(shared(asked, repository, acts))
    }

    /// The rules of the default branch, fetched and read as a task would.
    async fn file(&self, asked: &Asked<'_>, repository: &Repository) -> Result<Prepared, AppError> {
        let of_forge = |why: forge::Error| AppError::Host(Said::lower(&why.to_string()));
        let remote = remote(asked.service.as_ref(), repository)
            .await
            .map_err(of_forge)?;
        let folder = format!("{}-{}", asked.forge.name, repository.id);
        let folder = self.data.join("repos").join(folder);
        let ceilings = (self.server.clone(), self.origins.clone());
        let branch = repository.default_branch.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mirror = Mirror::open_or_create(&folder)?;
            let fetched = mirror.fetch_remote(&remote, &[Want::Branch(branch.clone())]);
            let commits = fetched.map_err(|why| of_forge(remote_error(why)))?;
            let commit = commits.first().ok_or_else(|| {
                AppError::NotFound(Said::plain(format!("branch {branch} gave no commit")))
            })?;
            governing(&mirror, commit, &[], (&ceilings.0, &ceilings.1))
        });
        read.await
            .unwrap_or_else(|why| Err(AppError::Internal(Said::plain(why.to_string()))))
    }

    /// `None` where no deliveries are wanted.
    async fn hook(&self, asked: &Asked<'_>, repository: &Repository) -> Option<Line> {
        let forge = asked.forge;
        if !asked.has_secret {
            let text = format!(
                "{}: asked every {} s; no webhook is wanted",
                repository.name, forge.poll_secs
            );
            return Some(Line::ok(GROUP, named(asked, repository, "hook"), text));
        }
        let examine = match (self.admin, forge.kind) {
            (Some(token), ForgeKind::Gitea) => forge::examine_gitea(&forge.base_url, token.clone()),
            _ => Ok(Arc::clone(&asked.examine)),
        };
        let seen = match &examine {
            Ok(examine) => examine.hook(repository, &forge.name).await,
            Err(_) => asked.examine.hook(repository, &forge.name).await,
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(why) => return Some(unread(asked, &repository.name, &why)),
        };
        let tested = match (&seen, &examine) {
            // Where the forge tells of its deliveries, they say enough.
            (
                HookSeen::There {
                    id,
                    faults,
                    deliveries: None,
                    ..
                },
                Ok(examine),
            ) if faults.is_empty() => self.test(examine.as_ref(), repository, *id).await,
            _ => Tested::Not,
        };
        let kept = match self.store {
            Some(store) => store.last_hook(&forge.name).await.ok(),
            None => None,
        };
        let kept = kept.map_or(Kept::Unknown, |newest| {
            Kept::since(newest, SystemClock.now())
        });
        let line = hooked(asked, repository, (seen, tested), kept, self.server);
        Some(line)
    }

    /// Has the webhook tested, where our server is there to say what became of it.
    async fn test(&self, examine: &dyn Examine, repository: &Repository, id: i64) -> Tested {
        let listen = &self.server.listen;
        let before = match alive::deliveries(listen).await {
            Heard::Counted(before) => before,
            Heard::NoFigures => return Tested::Unseen,
            Heard::Nothing => return Tested::Not,
        };
        if let Err(why) = examine.test_hook(repository, id).await {
            return Tested::Refused(why.to_string());
        }
        let until = tokio::time::Instant::now() + DELIVERY;
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = match alive::deliveries(listen).await {
                Heard::Counted(now) => now,
                Heard::NoFigures => return Tested::Unseen,
                Heard::Nothing => return Tested::Not,
            };
            if now.unsigned > before.unsigned {
                return Tested::Wrong;
            }
            if now.taken > before.taken {
                return Tested::Arrived;
            }
        }
        Tested::Lost
    }
}
