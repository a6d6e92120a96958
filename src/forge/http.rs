//! The client of our own routes: what a forge answers, sorted by what the caller can do.
//!
//! A read may be redirected within the forge; a write never is, since many servers and clients make a read of it
//! that "succeeds" having written nothing. Only the statuses that a route documents count as done. Nothing is
//! tried again here: every write above is find-or-create, and the worker knows when.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, RETRY_AFTER,
};
use reqwest::{Method, Response, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Error, LIST_MAX};
use crate::domain::ident::Time;

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
    /// The forge's clock.
    pub(super) clock: Option<Time>,
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
        serde_json::from_slice(&self.body).map_err(|error| Error::Away {
            what: format!("what the forge answered about {}", self.what),
            why: format!("it is not what its interface describes ({error}); compare the address"),
        })
    }

    /// What the forge says in an answer that is an error, on one line.
    pub(super) fn said(&self) -> Option<String> {
        message(&self.body)
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
        let begins = "it does not begin with https:// and a host";
        let mut base = Url::parse(base).map_err(|_| invalid(begins))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(invalid(begins));
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
                return Err(Error::Away {
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
        Err(Error::Away {
            what: format!("the forge's address {}", self.base),
            why: "it redirects in a circle".to_owned(),
        }
        .into())
    }

    /// The whole list that `call` reads page by page, [`Error::Invalid`] above [`LIST_MAX`] entries.
    /// `wanted` ends it early by answering false.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        call: &Call,
        mut wanted: impl FnMut(&[T]) -> bool,
    ) -> Result<Vec<T>, Fault> {
        let mut all = Vec::new();
        self.each_page(call, LIST_MAX, |entries| {
            let goes_on = wanted(&entries);
            all.extend(entries);
            goes_on
        })
        .await?;
        Ok(all)
    }

    /// Gives each page of a list to `take`, which ends it early by answering false. [`Error::Invalid`] above `most`
    /// entries.
    ///
    /// An empty page ends it; a short one only where the forge says nothing about its length, since some filter
    /// what they have already cut into pages.
    pub(super) async fn each_page<T: DeserializeOwned>(
        &self,
        call: &Call,
        most: usize,
        mut take: impl FnMut(Vec<T>) -> bool,
    ) -> Result<(), Fault> {
        let mut read = 0;
        for page in 1..=most.div_ceil(PAGE) + 1 {
            let one = call
                .clone()
                .query("page", page.to_string())
                .query("limit", PAGE.to_string());
            let answer = self.send(&one, &[200]).await?;
            let entries: Vec<T> = answer.list()?;
            let here = entries.len();
            let goes_on = take(entries);
            read += here;
            if read > most {
                break;
            }
            let more = match (answer.next, answer.total) {
                (Some(next), _) => next,
                (None, Some(total)) => here > 0 && read < total,
                (None, None) => here > 0,
            };
            if !more || !goes_on {
                return Ok(());
            }
        }
        Err(Error::Invalid {
            what: call.what.clone(),
            why: format!("there are more than {most} entries"),
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
        let clock = header(&response, &DATE).and_then(moment);
        Ok(Answer {
            status: response.status().as_u16(),
            what: call.what.clone(),
            total,
            next,
            clock,
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
            _ => Error::Away {
                what: format!("the forge's answer about {what}"),
                why: format!("{said} is none that its interface describes; compare the address"),
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

/// The moment in a header.
pub(super) fn moment(text: &str) -> Option<Time> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let at = parser.parse_timestamp(text).ok()?;
    Some(Time(at.as_millisecond()))
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    const TOKEN: &str = "secret-0123456789";

    /// Answers one connection after the other with these texts, none where one is empty; gives what was asked.
    async fn server(answers: Vec<String>) -> (String, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sub", listener.local_addr().unwrap());
        let (sender, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 8_192];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let _ = sender.send(request);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (url, asked)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
    }

    fn client(url: &str) -> Result<Client, Error> {
        let grants = Grants {
            right: "the settings",
            scope: "the token's page",
            archive: "the danger zone",
        };
        Client::new(url, &["api", "v1"], SecretString::from(TOKEN), grants)
    }

    fn get(path: &[&str]) -> Call {
        Call::new(Method::GET, path.iter().copied(), "issue #7")
    }

    fn post() -> Call {
        Call::new(Method::POST, ["issues"], "issue #7").body(serde_json::json!({"a": 1}))
    }

    async fn told(call: &Call, answers: &[String], known: &[u16]) -> String {
        let (url, _asked) = server(answers.to_vec()).await;
        match client(&url).unwrap().send(call, known).await {
            Ok(answer) => format!(
                "{} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            ),
            Err(Fault::Moved) => "moved".to_owned(),
            Err(Fault::Failed(error)) => error.to_string().replace(&url, "URL"),
        }
    }

    #[tokio::test]
    async fn each_status_is_sorted_by_what_can_be_done() {
        let said = r#"{"message":"because\nof this"}"#;
        let mut all = Vec::new();
        for (status, headers, body) in [
            ("401 Unauthorized", "", said),
            ("403 Forbidden", "", said),
            ("403 Forbidden", "", r#"{"message":"no scope"}"#),
            ("404 Not Found", "", said),
            ("409 Conflict", "", said),
            ("410 Gone", "", ""),
            ("413 Too Large", "", ""),
            ("422 Unprocessable", "", said),
            ("423 Locked", "", said),
            ("429 Slow", "Retry-After: 7\r\n", "<html>"),
            ("503 Busy", "Retry-After: 99999999\r\n", ""),
            ("202 Accepted", "", "{}"),
        ] {
            let line = told(&post(), &[answer(status, headers, body)], &[201]).await;
            all.push(format!("{status}: {line}"));
        }
        insta::assert_snapshot!(all.join("\n"), @"
        401 Unauthorized: the forge does not accept the credential: 401 Unauthorized: because of this; renew it
        403 Forbidden: not permitted: issue #7 (403 Forbidden: because of this); grant it in the settings
        403 Forbidden: not permitted: issue #7 (403 Forbidden: no scope); grant it in the token's page
        404 Not Found: issue #7 is not there (any more)
        409 Conflict: issue #7 is not as expected
        410 Gone: issue #7 is not there (any more)
        413 Too Large: issue #7 was refused as invalid: 413 Payload Too Large
        422 Unprocessable: issue #7 was refused as invalid: 422 Unprocessable Entity: because of this
        423 Locked: not permitted: issue #7 (423 Locked: because of this); grant it in the danger zone
        429 Slow: the forge did not answer: about issue #7: 429 Too Many Requests; it is tried again
        503 Busy: the forge did not answer: about issue #7: 503 Service Unavailable; it is tried again
        202 Accepted: the forge's answer about issue #7: 202 Accepted is none that its interface describes; compare the address
        ");
    }

    #[tokio::test]
    async fn how_long_to_wait_is_believed_up_to_a_day() {
        for (headers, expected) in [
            ("Retry-After: 7\r\n", Some(7)),
            ("Retry-After: 99999999\r\n", Some(86_400)),
            ("Retry-After: soon\r\n", None),
            ("", None),
        ] {
            let (url, _asked) = server(vec![answer("429 Slow", headers, "")]).await;
            let outcome = client(&url).unwrap().send(&post(), &[201]).await;
            let Err(Fault::Failed(Error::Retry { after_secs, .. })) = outcome else {
                panic!("not to be tried again");
            };
            assert_eq!(after_secs, expected, "{headers:?}");
        }
    }

    #[tokio::test]
    async fn only_a_documented_status_is_done() {
        let made = answer("201 Created", "", "{}");
        assert_eq!(
            told(&post(), std::slice::from_ref(&made), &[201]).await,
            "201 {}"
        );
        let other = told(&post(), &[answer("200 OK", "", "[]")], &[201]).await;
        assert!(
            other.contains("none that its interface describes"),
            "{other}"
        );
    }

    #[tokio::test]
    async fn a_read_follows_a_redirect_within_the_forge_with_the_token() {
        let there = answer("301 Moved", "Location: /sub/api/v1/other\r\n", "");
        let (url, mut asked) = server(vec![there, answer("200 OK", "", "{}")]).await;
        let call = get(&["issues"]);
        let answer = client(&url).unwrap().send(&call, &[200]).await;
        assert!(answer.is_ok());
        let first = asked.recv().await.unwrap();
        assert!(
            first.starts_with("GET /sub/api/v1/issues HTTP/1.1\r\n"),
            "{first}"
        );
        let second = asked.recv().await.unwrap().to_lowercase();
        assert!(
            second.starts_with("get /sub/api/v1/other http/1.1\r\n"),
            "{second}"
        );
        assert!(second.contains(&format!("authorization: token {TOKEN}")));
        assert!(second.contains("user-agent: prentice/"));
    }

    #[tokio::test]
    async fn no_redirect_leaves_the_forge_and_none_goes_on_for_ever() {
        let (elsewhere, mut asked) = server(vec![answer("200 OK", "", "{}")]).await;
        let away = answer("302 Found", &format!("Location: {elsewhere}\r\n"), "");
        for call in [get(&["issues"]), post()] {
            let line = told(&call, std::slice::from_ref(&away), &[200, 201]).await;
            assert!(line.contains("redirects to another one"), "{line}");
        }
        assert!(asked.try_recv().is_err(), "nothing was asked there");
        let circle = answer("302 Found", "Location: /sub/api/v1/issues\r\n", "");
        let line = told(&get(&["issues"]), &vec![circle; 4], &[200]).await;
        assert!(line.contains("in a circle"), "{line}");
    }

    #[tokio::test]
    async fn a_write_follows_no_redirect() {
        for status in ["301 Moved", "307 Temporary", "308 Permanent"] {
            let there = answer(status, "Location: /sub/api/v1/other\r\n", "");
            let list = answer("200 OK", "", "[]");
            assert_eq!(told(&post(), &[there, list], &[200, 201]).await, "moved");
        }
    }

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_is_to_be_tried_again() {
        let half = "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{".to_owned();
        for lost in [String::new(), half] {
            let (url, mut asked) = server(vec![lost.clone(), lost]).await;
            let outcome = client(&url).unwrap().send(&post(), &[201]).await;
            let is_retry = matches!(outcome, Err(Fault::Failed(Error::Retry { .. })));
            assert!(is_retry);
            assert!(asked.recv().await.is_some());
            assert!(asked.try_recv().is_err(), "sent once");
        }
        let nobody = client("http://127.0.0.1:1").unwrap();
        let outcome = nobody.send(&post(), &[201]).await;
        assert!(matches!(outcome, Err(Fault::Failed(Error::Retry { .. }))));
    }

    #[tokio::test]
    async fn the_token_is_in_no_error() {
        let echo = format!(r#"{{"message":"{TOKEN} is no good"}}"#);
        for status in ["401 No", "403 No", "422 No", "500 No"] {
            let line = told(&post(), &[answer(status, "", &echo)], &[201]).await;
            assert!(!line.contains(TOKEN) && line.contains("[token]"), "{line}");
        }
        let refused = Client::new(
            &format!("https://bot:{TOKEN}@forge.invalid"),
            &[],
            SecretString::from(TOKEN),
            GRANTS,
        );
        let error = refused.err().unwrap().to_string();
        assert!(!error.contains(TOKEN), "{error}");
    }

    const GRANTS: Grants = Grants {
        right: "",
        scope: "",
        archive: "",
    };

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limit() {
        let large = "x".repeat(ANSWER_MAX_BYTES + 1);
        let line = told(&get(&["issues"]), &[answer("200 OK", "", &large)], &[200]).await;
        assert!(line.contains("larger than"), "{line}");
    }

    #[tokio::test]
    async fn a_path_is_made_of_whole_segments() {
        let (url, mut asked) = server(vec![answer("200 OK", "", "{}")]).await;
        let client = client(&url).unwrap();
        let call = get(&["users", "a/b?c#d ü%2e"]).query("q", "x&y=z");
        assert!(client.send(&call, &[200]).await.is_ok());
        let first = asked.recv().await.unwrap();
        let line = first.lines().next().unwrap().to_owned();
        insta::assert_snapshot!(line, @"GET /sub/api/v1/users/a%2Fb%3Fc%23d%20%C3%BC%252e?q=x%26y%3Dz HTTP/1.1");
        for part in ["", ".", "..", "%2e%2E"] {
            let outcome = client.send(&get(&["users", part]), &[200]).await;
            assert!(matches!(outcome, Err(Fault::Failed(Error::Invalid { .. }))));
        }
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_end_however_the_end_is_told() {
        let page = |entries: &str, headers: &str| answer("200 OK", headers, entries);
        let next = "Link: <x>; rel=\"next\",<y>; rel=\"last\"\r\n";
        let last = "Link: <x>; rel=\"first\"\r\n";
        let total = "X-Total-Count: 3\r\n";
        for pages in [
            vec![page("[1,2]", next), page("[]", next), page("[3]", last)],
            vec![page("[1,2]", total), page("[3]", total)],
            vec![page("[1,2]", ""), page("[3]", ""), page("null", "")],
        ] {
            let (url, _asked) = server(pages).await;
            let all: Vec<i64> = client(&url)
                .unwrap()
                .pages(&get(&["issues"]), |_| true)
                .await
                .unwrap();
            assert_eq!(all, [1, 2, 3]);
        }
        // What was looked for ends it.
        let (url, _asked) = server(vec![page("[1,2]", next)]).await;
        let client = client(&url).unwrap();
        let all: Vec<i64> = client.pages(&get(&["issues"]), |_| false).await.unwrap();
        assert_eq!(all, [1, 2]);
    }

    #[tokio::test]
    async fn a_list_that_is_too_long_is_refused() {
        let many = format!("[{}1]", "1,".repeat(LIST_MAX));
        let (url, _asked) = server(vec![answer("200 OK", "", &many)]).await;
        let client = client(&url).unwrap();
        let all = client.pages::<i64>(&get(&["issues"]), |_| true).await;
        assert!(matches!(all, Err(Fault::Failed(Error::Invalid { .. }))));
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        let mut all = Vec::new();
        for url in [
            "",
            "git.example.com",
            "ftp://git.example.com",
            "https://a:b@git.example.com",
        ] {
            all.push(client(url).err().unwrap().to_string());
        }
        insta::assert_snapshot!(all.join("\n"), @"
        the address of the forge was refused as invalid: it does not begin with https:// and a host
        the address of the forge was refused as invalid: it does not begin with https:// and a host
        the address of the forge was refused as invalid: it does not begin with https:// and a host
        the address of the forge was refused as invalid: it holds a name or password; the token has a variable of its own
        ");
        for url in ["https://git.example.com", "http://[::1]:3000/sub/?x#y"] {
            assert!(client(url).is_ok());
        }
    }
}
