//! GitHub and GitHub Enterprise Server.
//!
//! Repositories are addressed by their id (`/repositories/{id}/…`), the address that GitHub's own redirects point
//! to: a renamed repository is found, another one that took its name is not, and no redirect is ever followed.
//!
//! | file | what is there |
//! |---|---|
//! | `api` | one request: sent, limited, judged |
//! | `pace` | how fast may be asked |
//! | `wire`, `wire_pull` | what GitHub answers, as far as it is read |
//! | `graph` | the GraphQL documents |
//! | `repo` | one repository: what both faces of it need |
//! | `comments`, `pulls`, `checks` | find-or-create of each |
//! | `show`, `talk` | [`Forge`] and [`Conversation`] |
//!
//! Not here: no merge, no approval, and nothing that trusts `author_association`, which is computed for nobody in
//! particular.

mod api;
mod checks;
mod comments;
mod examine;
mod fit;
mod granted;
mod graph;
mod lists;
mod manifest;
mod pace;
mod pulls;
mod repo;
mod service;
mod show;
mod talk;
mod wire;
mod wire_pull;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use octocrab::Octocrab;
use octocrab::models::{AppId, InstallationId, RepositoryId};
use reqwest::header::ACCEPT;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::OnceCell;

use self::api::{Answer, Line};
pub use self::manifest::{MadeApp, NewApp, PERMISSIONS};
pub(super) use self::manifest::{convert, form, manifest};
use self::pace::Pace;
use super::{Account, Error};
use crate::domain::ident::TaskId;

/// Where github.com answers.
const PUBLIC: &str = "https://api.github.com";

/// A GitHub App: short-lived tokens, each for one repository.
pub(super) fn app(
    name: &str,
    base_url: Option<&str>,
    app_id: u64,
    private_key: &SecretString,
) -> Result<Arc<service::GitHub>, Error> {
    let pem = private_key.expose_secret().as_bytes();
    let key = octocrab::EncodingKey::from_rsa_pem(pem).map_err(|_| Error::Auth {
        why: format!("the private key of `{name}` is no RSA key in PEM form"),
    })?;
    let base = Base::new(base_url)?;
    let crab = base.builder(&base.api)?.app(AppId(app_id), key).build();
    let crab = crab.map_err(|error| no_client(&error))?;
    let graph = base.own_graph(None)?;
    Ok(Hub::service(
        name,
        base,
        Auth::App(Arc::new(crab)),
        None,
        graph,
    ))
}

/// An account with a token of its own.
pub(super) fn token(
    name: &str,
    base_url: Option<&str>,
    token: &SecretString,
) -> Result<Arc<service::GitHub>, Error> {
    // octocrab makes a header of it without asking whether it can be one.
    let fits = |byte: u8| byte.is_ascii_graphic();
    if token.expose_secret().is_empty() || !token.expose_secret().bytes().all(fits) {
        return Err(Error::Auth {
            why: format!("the token of `{name}` is empty or has signs that no token has"),
        });
    }
    let base = Base::new(base_url)?;
    let crab = base
        .builder(&base.api)?
        .personal_token(token.clone())
        .build();
    let crab = crab.map_err(|error| no_client(&error))?;
    let graph = base.own_graph(Some(token))?;
    let kept = Some(token.clone());
    Ok(Hub::service(
        name,
        base,
        Auth::Token(Arc::new(crab)),
        kept,
        graph,
    ))
}

/// Addresses of one GitHub.
struct Base {
    /// Of REST, without a slash at its end.
    api: String,
    /// Of GraphQL without `/graphql`, where that is elsewhere.
    graph: Option<String>,
    /// Of pages.
    web: String,
}

type Builder = octocrab::OctocrabBuilder<
    octocrab::NoSvc,
    octocrab::DefaultOctocrabBuilderConfig,
    octocrab::NoAuth,
    octocrab::NotLayerReady,
>;

impl Base {
    fn new(base_url: Option<&str>) -> Result<Self, Error> {
        let api = base_url.unwrap_or(PUBLIC).trim_end_matches('/');
        let invalid = |why: &str| Error::Invalid {
            what: format!("the base URL `{api}`"),
            why: why.to_owned(),
        };
        let url = reqwest::Url::parse(api).map_err(|error| invalid(&error.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(invalid("a token is only sent over https; write https://…"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(invalid(
                "it holds more than host and path; leave credentials out",
            ));
        }
        let origin = url.origin().ascii_serialization();
        // An Enterprise Server has its REST under /api/v3 and its GraphQL beside that; hosts of
        // their own (api.github.com, api.NAME.ghe.com) have both at the root.
        let graph = api
            .strip_suffix("/api/v3")
            .map(|host| format!("{host}/api"));
        let web = match api.strip_suffix("/api/v3") {
            Some(host) => host.to_owned(),
            None => origin.replacen("://api.", "://", 1),
        };
        Ok(Self {
            api: api.to_owned(),
            graph,
            web,
        })
    }

    fn builder(&self, at: &str) -> Result<Builder, Error> {
        // The user agent stays octocrab's: it is always sent, and one of ours would be a second.
        let builder = Octocrab::builder()
            .add_header(ACCEPT, "application/vnd.github+json".to_owned())
            .base_uri(at);
        builder.map_err(|error| no_client(&error))
    }

    /// octocrab posts to `/graphql` below its base, so that an Enterprise Server needs a second client.
    fn own_graph(&self, token: Option<&SecretString>) -> Result<Option<Octocrab>, Error> {
        let Some(at) = &self.graph else {
            return Ok(None);
        };
        let builder = self.builder(at)?;
        let built = match token {
            Some(token) => builder.personal_token(token.clone()).build(),
            None => builder.build(),
        };
        built.map(Some).map_err(|error| no_client(&error))
    }
}

fn no_client(error: &octocrab::Error) -> Error {
    Error::Unavailable {
        what: "the HTTPS client".to_owned(),
        why: format!("{error}; are the system's root certificates installed?"),
    }
}

/// Who asks.
enum Auth {
    App(Arc<Octocrab>),
    Token(Arc<Octocrab>),
}

/// Whose limits and rights a request falls under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The App itself, by its key.
    App,
    /// An installation; its token opens one repository, or all of them where none is named.
    Installation { id: u64, only: Option<u64> },
    /// The account of the token.
    Token,
}

/// An installation of the App that holds a repository.
#[derive(Clone, Copy, Debug)]
struct Installed {
    id: u64,
    right: crate::domain::policy::Right,
}

/// Everything that the repositories of one configured forge share.
struct Hub {
    name: String,
    base: Base,
    auth: Auth,
    /// The token, for git.
    token: Option<SecretString>,
    graph: Option<Octocrab>,
    /// One client per installation and repository, since each keeps the token that it was given. Shared, never
    /// cloned: a clone has a token of its own.
    clients: Mutex<HashMap<Key, Arc<Octocrab>>>,
    paces: Mutex<HashMap<Key, Arc<Pace>>>,
    /// Which installation holds a repository.
    installed: Mutex<HashMap<i64, Installed>>,
    /// Pull requests found, by repository and task, which may not know them yet.
    pulls: Mutex<HashMap<(i64, TaskId), i64>>,
    account: OnceCell<Account>,
    app: OnceCell<i64>,
    /// Where the App's permissions are set.
    settings: OnceCell<String>,
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    fn service(
        name: &str,
        base: Base,
        auth: Auth,
        token: Option<SecretString>,
        graph: Option<Octocrab>,
    ) -> Arc<service::GitHub> {
        let hub = Self {
            name: name.to_owned(),
            base,
            auth,
            token,
            graph,
            clients: Mutex::default(),
            paces: Mutex::default(),
            installed: Mutex::default(),
            pulls: Mutex::default(),
            account: OnceCell::new(),
            app: OnceCell::new(),
            settings: OnceCell::new(),
        };
        Arc::new(service::GitHub(Arc::new(hub)))
    }

    fn is_app(&self) -> bool {
        matches!(self.auth, Auth::App(_))
    }

    /// The line that needs no repository: the App's own, or the account's.
    fn line(self: &Arc<Self>) -> Line {
        let key = if self.is_app() { Key::App } else { Key::Token };
        Line {
            hub: Arc::clone(self),
            key,
        }
    }

    fn client(&self, key: Key) -> Result<Arc<Octocrab>, Error> {
        let crab = match &self.auth {
            Auth::Token(crab) => return Ok(Arc::clone(crab)),
            Auth::App(crab) => crab,
        };
        let Key::Installation { id, only } = key else {
            return Ok(Arc::clone(crab));
        };
        let mut clients = open(&self.clients);
        if let Some(held) = clients.get(&key) {
            return Ok(Arc::clone(held));
        }
        let mut builder = crab.installation_builder(InstallationId(id));
        if let Some(repository) = only {
            builder = builder.repository_ids(vec![RepositoryId(repository)]);
        }
        let made = Arc::new(builder.build().map_err(|error| no_client(&error))?);
        clients.insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// Lets go of a client whose token was refused.
    fn forget(&self, key: Key) {
        open(&self.clients).remove(&key);
    }

    /// Limits are per installation, whatever its tokens open.
    fn pace(&self, key: Key) -> Arc<Pace> {
        let key = match key {
            Key::Installation { id, .. } => Key::Installation { id, only: None },
            other => other,
        };
        Arc::clone(open(&self.paces).entry(key).or_default())
    }

    /// No installation token was given: the App is not (any more) where it was.
    fn no_token(&self, key: Key, answer: &Answer) -> Error {
        if let Key::Installation { id, .. } = key {
            open(&self.installed).retain(|_, installed| installed.id != id);
        }
        self.forget(key);
        Error::NotPermitted {
            what: format!("a token of the App's installation ({})", answer.words()),
            setting: format!(
                "{} (Install App: the repository must be selected, the installation not suspended)",
                self.settings_page()
            ),
        }
    }

    fn settings_page(&self) -> String {
        let known = self.settings.get().cloned();
        known.unwrap_or_else(|| format!("{}/settings/apps", self.base.web))
    }

    /// Where a permission is given.
    fn setting(&self, needs: &str) -> String {
        if self.is_app() {
            let page = self.settings_page();
            format!("`{needs}` at {page}/permissions, then accept it where the App is installed")
        } else {
            let web = &self.base.web;
            format!(
                "`{needs}` at {web}/settings/personal-access-tokens (or the scope `repo` at {web}/settings/tokens), and the account's role in the repository"
            )
        }
    }
}
