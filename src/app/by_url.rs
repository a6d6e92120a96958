//! Issues and pull requests named by their address, read with a token; and `verify` of a pull request.

use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::connect::{hide, service};
use super::credential::read_credential;
use super::local::bench;
use super::prepare::governing;
use super::referee::{Fetched, Trouble, check, fetch_pull};
use super::remote::remote;
use super::served::mirror_folder;
use super::{App, AppError, Refereed, Said};
use crate::config::{self, Credentials, ForgeKind, ForgeSettings};
use crate::domain::report::{self, CheckState, Refereeing};
use crate::domain::settings::ChecksFrom;
use crate::forge::{self, Conversation, Repository, Service, Stands};
use crate::git::Mirror;
use crate::intake::{Verdict, show_verdict};
use crate::run::REPOSITORY_INSIDE;
use crate::sandbox::toolchains;
use crate::store::{Question, RepositoryKey};

/// GitHub's public service, as a browser shows it.
const PUBLIC: &str = "https://github.com";

/// What an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Issue,
    Pull,
}

/// An address, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) forge: ForgeSettings,
    repository: String,
    thing: Thing,
    pub(super) number: i64,
}

/// What `verify` of a pull request is asked to do.
pub struct PullOrder {
    /// Its address, as a browser shows it.
    pub url: String,
    /// Checks of the command line, in place of all others.
    pub verify: Vec<String>,
    /// Tell the verdict on the forge too.
    pub publish: bool,
}

/// Where something is, and the way there.
pub(super) struct Place {
    pub(super) named: Named,
    pub(super) service: Arc<dyn Service>,
    pub(super) repository: Repository,
    pub(super) conversation: Arc<dyn Conversation>,
    /// Credentials are looked for in everything that leaves.
    env: config::Env,
}

/// Whether a text is meant as an address.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

impl App {
    /// Judges a pull request by the rules of the default branch, as a server does.
    ///
    /// # Errors
    /// [`AppError`]; a red verdict is no error.
    pub async fn verify_pull(
        &self,
        order: PullOrder,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Refereed, AppError> {
        let place = self.place(&order.url, Thing::Pull).await?;
        if order.publish {
            writable(&place.named.forge)?;
        }
        let (repository, number) = (&place.repository, place.named.number);
        let pull = place
            .conversation
            .pull(number)
            .await
            .map_err(|why| told(&why))?;
        if pull.stands != Stands::Open {
            return Err(AppError::NotNow(Said::new(
                format!("{} is not open, so there is nothing to judge", order.url),
                "name two commits with --base and --head to judge them anyway",
            )));
        }
        say(&format!(
            "{} #{number}: {} into {}, by the rules of {}",
            repository.name,
            pull.head.short(),
            pull.base_branch,
            repository.default_branch
        ));
        let folder = mirror_folder(&place.named.forge.name, repository.id);
        let mirror = Mirror::open_or_create(&self.data.join("repos").join(folder))?;
        let remote = remote(place.service.as_ref(), repository).await;
        let remote = remote.map_err(|why| told(&why))?;
        let (into, steps) = (mirror.clone(), Arc::clone(&self.steps));
        let branches = (repository.default_branch.clone(), pull.base_branch.clone());
        let head = pull.head.clone();
        let fetched = tokio::task::spawn_blocking(move || {
            fetch_pull((&into, &remote), &steps, branches, (number, &head))
        });
        let fetched = fetched
            .await
            .map_err(|why| AppError::Internal(Said::plain(why.to_string())))?;
        let Fetched { rules, base, .. } = fetched.map_err(|trouble| match trouble {
            Trouble::Later(why) | Trouble::Waits { why, .. } => AppError::Host(Said::lower(&why)),
            Trouble::Never(why) => AppError::NotFound(Said::lower(&why)),
        })?;
        let ceilings = (&self.server, &self.server_origins);
        let prepared = governing(&mirror, &rules, &order.verify, ceilings)?;
        for line in &prepared.told {
            say(line);
        }
        if prepared.settings.checks_from == ChecksFrom::Nowhere {
            return Err(AppError::NoChecks(Said::new(
                "nothing says how to verify this repository",
                "name a command, as in --verify 'make check'",
            )));
        }
        let mut chains = toolchains::find(&self.env, Path::new("/"), Path::new(REPOSITORY_INSIDE));
        for folder in &self.server.sandbox.toolchains {
            chains.add(Path::new(folder));
        }
        for line in &chains.told {
            say(line);
        }
        let scratch = self.scratch()?;
        let bench = bench(
            &self.sandbox,
            (&self.store, &self.steps),
            mirror,
            chains,
            scratch.path().join("layers"),
            &place.env,
        );
        let commits = (base, pull.head.clone());
        let judged = self.judge(&bench, &prepared.settings, commits).await?;
        if order.publish {
            let file = prepared.settings.file.as_deref();
            let prefix = &prepared.settings.trigger.prefix;
            self.tell(&place, &pull, &judged, (prefix, file)).await?;
            say(&format!("told on {}", order.url));
        }
        Ok(judged)
    }

    /// Tells a verdict in the referee's one comment, and by checks.
    async fn tell(
        &self,
        place: &Place,
        pull: &forge::PullInfo,
        judged: &Refereed,
        (prefix, file): (&str, Option<&str>),
    ) -> Result<(), AppError> {
        let question = Question {
            repository: RepositoryKey {
                forge: place.named.forge.name.clone(),
                id: place.repository.id,
            },
            pull: pull.number,
            head: pull.head.clone(),
            base_branch: pull.base_branch.clone(),
            asker: Some(self.user()),
            asked_at: self.clock.now(),
        };
        let failure = judged.failure.as_ref();
        let how = Refereeing::Judged {
            result: &judged.result,
            failure,
        };
        let asked = Verdict {
            question: &question,
            newest: None,
            prefix,
            rules: file,
        };
        let conversation = place.conversation.as_ref();
        let shown = show_verdict(self.store.as_ref(), asked, conversation, how).await;
        shown.map_err(|why| told(&why))?;
        let mut checks = report::verdict_checks(&judged.result, failure);
        if checks.is_empty() {
            checks.push(check(&pull.head, CheckState::Neutral, "judged"));
        }
        for check in checks {
            let set = conversation.set_check(&check, None).await;
            set.map_err(|why| told(&why))?;
        }
        Ok(())
    }

    pub(super) async fn place(&self, url: &str, thing: Thing) -> Result<Place, AppError> {
        let named = named(url, &self.server.forges)?;
        if named.thing != thing {
            let (is, other) = match named.thing {
                Thing::Issue => ("an issue", "`prentice run` works on it"),
                Thing::Pull => ("a pull request", "`prentice verify` judges it"),
            };
            return Err(AppError::Usage(Said::new(format!("{url} is {is}"), other)));
        }
        let forge = &named.forge;
        let found = config::credentials(forge, &self.env, &read_credential);
        let found = found.map_err(|why| AppError::Auth(Said::lower(&why.to_string())))?;
        if !has_key(forge, &found) {
            let variable = config::file_variable(forge, config::Secret::Token);
            return Err(AppError::Auth(Said::new(
                format!("{url} is read with a token, and there is none"),
                format!("name its file in {variable}"),
            )));
        }
        let mut env = self.env.clone();
        hide(forge, &found, &mut env);
        let service = service(forge, found).map_err(|why| told(&why))?;
        let repository = service.repository(&named.repository).await;
        let repository = repository.map_err(|why| told(&why))?;
        let conversation = service.conversation(&repository);
        Ok(Place {
            named,
            service,
            repository,
            conversation,
            env,
        })
    }
}

pub(super) fn writable(forge: &ForgeSettings) -> Result<(), AppError> {
    if !forge.shadow {
        return Ok(());
    }
    Err(AppError::Usage(Said::new(
        format!("nothing is written to {}: `shadow = true`", forge.name),
        "leave --publish away, or change the server file",
    )))
}

fn has_key(forge: &ForgeSettings, found: &Credentials) -> bool {
    let key = match forge.app_id {
        0 => &found.token,
        _ => &found.private_key,
    };
    key.as_ref()
        .is_some_and(|key| !key.expose_secret().is_empty())
}

/// The forge of the server file whose pages begin as the address does, else GitHub's public service.
fn named(url: &str, forges: &[ForgeSettings]) -> Result<Named, AppError> {
    let pages = |forge: &ForgeSettings| match (forge.kind, forge.base_url.as_str()) {
        (ForgeKind::GitHub, "") => PUBLIC.to_owned(),
        (ForgeKind::GitHub, url) => url.trim_end_matches("/api/v3").to_owned(),
        (ForgeKind::Gitea, url) => url.to_owned(),
    };
    let public = ForgeSettings {
        name: "github".to_owned(),
        ..ForgeSettings::default()
    };
    let below = |forge: &ForgeSettings| {
        let rest = url.strip_prefix(&pages(forge))?.strip_prefix('/')?;
        Some((forge.clone(), rest.to_owned()))
    };
    let unknown = || {
        AppError::Usage(Said::new(
            format!("{url} is on no forge that is known here"),
            "add a [[forge]] with its `base_url` to the server file",
        ))
    };
    let found = forges.iter().find_map(below).or_else(|| below(&public));
    let (forge, rest) = found.ok_or_else(unknown)?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
    let wrong = || {
        AppError::Usage(Said::new(
            format!("{url} names neither an issue nor a pull request"),
            "copy it from the browser: …/owner/name/issues/7",
        ))
    };
    let (owner, name, kind, number) = match parts.as_slice() {
        [owner, name, kind, number] => (owner, name, kind, number),
        // A tab of a pull request.
        [owner, name, kind, number, "files" | "commits" | "checks"] => (owner, name, kind, number),
        _ => return Err(wrong()),
    };
    let thing = match *kind {
        "issues" => Thing::Issue,
        "pull" | "pulls" => Thing::Pull,
        _ => return Err(wrong()),
    };
    let number = number.parse().ok().filter(|number| *number > 0);
    let repository = format!("{owner}/{name}");
    if !config::is_repository(&repository) {
        return Err(wrong());
    }
    Ok(Named {
        forge,
        repository,
        thing,
        number: number.ok_or_else(wrong)?,
    })
}

/// What a forge answered, by what can be done.
pub(super) fn told(why: &forge::Error) -> AppError {
    AppError::of_forge(why, &why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        let gitea = config::gitea_forge("ours", "https://git.example.org/sub", &[], 0);
        let enterprise = ForgeSettings {
            name: "ghe".to_owned(),
            base_url: "https://hub.example.org/api/v3".to_owned(),
            ..ForgeSettings::default()
        };
        match named(url, &[gitea, enterprise]) {
            Ok(named) => format!(
                "{} {} {:?} {}",
                named.forge.name, named.repository, named.thing, named.number
            ),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn an_address_names_its_forge_repository_and_number() {
        let told: Vec<String> = [
            "https://git.example.org/sub/a/b/issues/7",
            "https://git.example.org/sub/a/b/pulls/8/files",
            "https://hub.example.org/a/b/pull/9?tab=x#note",
            "https://github.com/a/b/issues/1/",
            "https://github.com.evil.example/a/b/issues/1",
            "https://git.example.org/suba/a/b/issues/7",
            "https://github.com/a/b/issues/0",
            "https://github.com/a/b/wiki/1",
            "https://github.com/a/../issues/1",
            "https://github.com/a/b",
        ]
        .into_iter()
        .map(shown)
        .collect();
        insta::assert_snapshot!(told.join("\n"), @"
        ours a/b Issue 7
        ours a/b Pull 8
        ghe a/b Pull 9
        github a/b Issue 1
        https://github.com.evil.example/a/b/issues/1 is on no forge that is known here; add a [[forge]] with its `base_url` to the server file
        https://git.example.org/suba/a/b/issues/7 is on no forge that is known here; add a [[forge]] with its `base_url` to the server file
        https://github.com/a/b/issues/0 names neither an issue nor a pull request; copy it from the browser: …/owner/name/issues/7
        https://github.com/a/b/wiki/1 names neither an issue nor a pull request; copy it from the browser: …/owner/name/issues/7
        https://github.com/a/../issues/1 names neither an issue nor a pull request; copy it from the browser: …/owner/name/issues/7
        https://github.com/a/b names neither an issue nor a pull request; copy it from the browser: …/owner/name/issues/7
        ");
    }
}
