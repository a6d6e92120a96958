//! The client of our own routes: what a forge answers, sorted by what the caller can do.
//!
//! A read may be redirected within the forge; a write never is, since many servers and clients make a read of it
//! that "succeeds" having written nothing. Only the statuses that a route documents count as done. Nothing is
//! tried again here: every write above is find-or-create, and the worker knows when.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, RETRY_AFTER,
};
use reqwest::{Method, Response, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Error, LIST_MAX};

/// To an open connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// For a whole request with its answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes of one answer.
const ANSWER_MAX_BYTES: usize = 16 << 20;

/// Most redirects of one read.
const REDIRECTS_MAX: usize = 3;

/// Entries asked for per page: what Gitea gives at most unless it is told otherwise.
const PAGE: usize = 50;

/// Most characters of what a forge says that are repeated in an error.
const SAID_MAX: usize = 200;

/// Longest wait that a forge is believed to ask for.
const WAIT_MAX_SECS: u64 = 24 * 60 * 60;

/// One forge, spoken to with one token.
pub(super) struct Client {
    http: reqwest::Client,
    /// Ends in `/`: paths of calls are joined to it.
    base: Url,
    token: SecretString,
    grants: Grants,
}

/// Where the rights are given that an answer says are missing.
#[derive(Clone, Copy)]
pub(super) struct Grants {
    /// A right of our account in the repository.
    pub(super) right: &'static str,
    /// A scope of the token.
    pub(super) scope: &'static str,
    /// Unarchiving.
    pub(super) archive: &'static str,
}

/// One request.
#[derive(Clone)]
pub(super) struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    what: String,
}

/// What was answered, with a status that the call knows.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Vec<u8>,
    what: String,
    /// Length of the whole list, where the forge said.
    pub(super) total: Option<usize>,
    /// Whether the forge named a next page, where it names pages.
    next: Option<bool>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// A write was redirected to another place of the same forge: the repository has another name. Nothing was written.
    Moved,
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Call {
    /// A call of `method` about `what`, in the words of an error. Each part of `path` becomes one segment.
    pub(super) fn new<S: Into<String>>(
        method: Method,
        path: impl IntoIterator<Item = S>,
        what: impl Into<String>,
    ) -> Self {
        Self {
            method,
            path: path.into_iter().map(Into::into).collect(),
            query: Vec::new(),
            body: None,
            what: what.into(),
        }
    }

    /// With a parameter.
    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With a body.
    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Below `front`.
    pub(super) fn below(mut self, front: impl IntoIterator<Item = String>) -> Self {
        self.path.splice(0..0, front);
        self
    }

    fn is_read(&self) -> bool {
        self.method == Method::GET
    }
}

impl Answer {
    /// The answer as data.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| Error::Unavailable {
            what: format!("what the forge answered about {}", self.what),
            why: format!("it is not what its interface describes ({error}); is the address right?"),
        })
    }

    /// The answer as a list; a forge may say nothing where there is nothing.
    pub(super) fn list<T: DeserializeOwned>(&self) -> Result<Vec<T>, Error> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Vec::new());
        }
        Ok(self.read::<Option<Vec<T>>>()?.unwrap_or_default())
    }
}

impl Client {
    /// Speaks to the interface at `base` with `path` appended. [`Error::Invalid`] for an address that is none.
    pub(super) fn new(
        base: &str,
        path: &[&str],
        token: SecretString,
        grants: Grants,
    ) -> Result<Self, Error> {
        let invalid = |why: &str| Error::Invalid {
            what: "the address of the forge".to_owned(),
            why: why.to_owned(),
        };
        let mut base = Url::parse(base).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(invalid("it does not begin with https:// and a host"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(invalid(
                "it holds a name or password; the token has a variable of its own",
            ));
        }
        base.set_query(None);
        base.set_fragment(None);
        base.path_segments_mut()
            .map_err(|()| invalid("it cannot hold a path"))?
            .pop_if_empty()
            .extend(path)
            .push("");
        // A second installation is refused, which is fine: somebody did it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("prentice/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| Error::Unavailable {
                what: "the HTTP client".to_owned(),
                why: chain(&error),
            })?;
        Ok(Self {
            http,
            base,
            token,
            grants,
        })
    }

    /// Does `call`. The answer has one of the statuses `known`; every other one is sorted into an error.
    pub(super) async fn send(&self, call: &Call, known: &[u16]) -> Result<Answer, Fault> {
        let mut url = self.url(call)?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.ask(call, url.clone()).await?;
            let status = response.status();
            if known.contains(&status.as_u16()) {
                return self.answer(call, response).await.map_err(Fault::Failed);
            }
            if !status.is_redirection() {
                return Err(self.sort(call, response).await.into());
            }
            let target = header(&response, &LOCATION).and_then(|to| url.join(to).ok());
            let Some(target) = target.filter(|to| to.origin() == url.origin()) else {
                return Err(Error::Unavailable {
                    what: format!("the forge's address {}", self.base),
                    why: "it redirects to another one; configure that".to_owned(),
                }
                .into());
            };
            if !call.is_read() {
                return Err(Fault::Moved);
            }
            url = target;
        }
        Err(Error::Unavailable {
            what: format!("the forge's address {}", self.base),
            why: "it redirects in a circle".to_owned(),
        }
        .into())
    }

    /// The whole list that `call` reads page by page, [`Error::Invalid`] above [`LIST_MAX`] entries.
    /// `wanted` ends it early by answering false.
    ///
    /// An empty page ends it; a short one only where the forge says nothing about its length, since some filter
    /// what they have already cut into pages.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        call: &Call,
        mut wanted: impl FnMut(&[T]) -> bool,
    ) -> Result<Vec<T>, Fault> {
        let mut all = Vec::new();
        for page in 1..=LIST_MAX.div_ceil(PAGE) + 1 {
            let one = call
                .clone()
                .query("page", page.to_string())
                .query("limit", PAGE.to_string());
            let answer = self.send(&one, &[200]).await?;
            let entries: Vec<T> = answer.list()?;
            let (here, goes_on) = (entries.len(), wanted(&entries));
            all.extend(entries);
            if all.len() > LIST_MAX {
                break;
            }
            let more = match (answer.next, answer.total) {
                (Some(next), _) => next,
                (None, Some(total)) => here > 0 && all.len() < total,
                (None, None) => here > 0,
            };
            if !more || !goes_on {
                return Ok(all);
            }
        }
        Err(Error::Invalid {
            what: call.what.clone(),
            why: format!("there are more than {LIST_MAX} entries"),
        }
        .into())
    }

    fn url(&self, call: &Call) -> Result<Url, Error> {
        let invalid = || Error::Invalid {
            what: call.what.clone(),
            why: "no address can be made of its name".to_owned(),
        };
        // The URL type would leave these out, and the call would be another one.
        if call.path.iter().any(|part| is_no_segment(part)) {
            return Err(invalid());
        }
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| invalid())?
            .pop_if_empty()
            .extend(&call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        Ok(url)
    }

    async fn ask(&self, call: &Call, url: Url) -> Result<Response, Error> {
        let mut token = HeaderValue::try_from(format!("token {}", self.token.expose_secret()))
            .map_err(|_| Error::Auth {
                why: "the token holds characters that no token has".to_owned(),
            })?;
        token.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, token);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut request = self.http.request(call.method.clone(), url).headers(headers);
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        request.send().await.map_err(|error| self.lost(call, error))
    }

    async fn answer(&self, call: &Call, response: Response) -> Result<Answer, Error> {
        let total = header(&response, &HeaderName::from_static("x-total-count"))
            .and_then(|count| count.trim().parse().ok());
        let next = header(&response, &LINK).map(|link| link.contains("rel=\"next\""));
        Ok(Answer {
            status: response.status().as_u16(),
            what: call.what.clone(),
            total,
            next,
            body: self.body(call, response).await?,
        })
    }

    async fn body(&self, call: &Call, mut response: Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(body),
                Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_MAX_BYTES => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => {
                    return Err(Error::Invalid {
                        what: call.what.clone(),
                        why: format!("the answer is larger than {ANSWER_MAX_BYTES} bytes"),
                    });
                }
                Err(error) => return Err(self.lost(call, error)),
            }
        }
    }

    /// No answer, or half of one: what was asked may have been done.
    fn lost(&self, call: &Call, error: reqwest::Error) -> Error {
        let error = error.without_url();
        Error::Retry {
            after_secs: None,
            why: self.quiet(&format!("about {}: {}", call.what, chain(&error))),
        }
    }

    /// An answer with a status that the call does not know.
    async fn sort(&self, call: &Call, response: Response) -> Error {
        let status = response.status();
        let after_secs = header(&response, &RETRY_AFTER)
            .and_then(|secs| secs.trim().parse().ok())
            .map(|secs: u64| secs.min(WAIT_MAX_SECS));
        let body = self.body(call, response).await.unwrap_or_default();
        let said = match message(&body) {
            Some(said) => self.quiet(&format!("{status}: {said}")),
            None => status.to_string(),
        };
        let what = call.what.clone();
        match status.as_u16() {
            401 => Error::Auth { why: said },
            403 if said.contains("scope") => Error::NotPermitted {
                what: format!("{what} ({said})"),
                setting: self.grants.scope.to_owned(),
            },
            403 => Error::NotPermitted {
                what: format!("{what} ({said})"),
                setting: self.grants.right.to_owned(),
            },
            423 => Error::NotPermitted {
                what: format!("{what} ({said})"),
                setting: self.grants.archive.to_owned(),
            },
            404 | 410 => Error::Gone { what },
            409 => Error::Conflict { what, found: None },
            429 | 500..=599 => Error::Retry {
                after_secs,
                why: format!("about {what}: {said}"),
            },
            400..=499 => Error::Invalid { what, why: said },
            _ => Error::Unavailable {
                what: format!("the forge's answer about {what}"),
                why: format!("{said} is none that its interface describes; is the address right?"),
            },
        }
    }

    /// Without the token, should a server or a library repeat it.
    fn quiet(&self, text: &str) -> String {
        match self.token.expose_secret() {
            "" => text.to_owned(),
            token => text.replace(token, "[token]"),
        }
    }
}

/// Whether no path can hold this as one segment.
fn is_no_segment(part: &str) -> bool {
    let dots = part.to_ascii_lowercase().replace("%2e", ".");
    dots.is_empty() || dots == "." || dots == ".."
}

fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// What a forge says in its error, on one line; `None` for a page or nothing.
fn message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = value.get("message")?.as_str()?;
    let quiet = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.trim().chars().take(SAID_MAX).map(quiet).collect();
    (!text.is_empty()).then_some(text)
}

/// An error with its causes, none twice.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let words = one.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = one.source();
    }
    text
}
