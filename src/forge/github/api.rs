//! One request and what became of it: octocrab sends and signs it, everything else is decided here.
//!
//! octocrab's typed routes are not used: its models break when GitHub drops a field, its comment update is a POST,
//! and its errors lose the headers that say how long to wait. A request is sent once; the one repetition is octocrab's
//! own after a 401, which wrote nothing.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use octocrab::Octocrab;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::Error;
use super::fit::clipped;
use super::{Hub, Key};
use crate::domain::ident::Time;

/// Longest that one answer may take, its body included.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Largest body of an answer: a hundred comments of the largest size, several times over.
const BODY_MAX_BYTES: usize = 64 << 20;

/// Entries of one page; the most that GitHub gives.
pub(super) const PAGE: usize = 100;

/// Longest of GitHub's own words in an error.
const WORDS_MAX: usize = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

/// One installation, or one token, as something that can be asked.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) hub: Arc<Hub>,
    pub(super) key: Key,
}

/// What is asked, for errors: the thing, and the permission that it takes.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) what: &'a str,
    pub(super) needs: &'static str,
}

/// An answer that was given: not a limit, not a refused credential, not a failure of the server.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Line {
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        ask: Ask<'_>,
    ) -> Result<T, Error> {
        let answer = self.send(Method::Get, path, None).await?;
        self.done(answer, &[200], ask)?.read(ask)
    }

    /// A write of which only the documented status is taken for done.
    pub(super) async fn write(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        status: u16,
        ask: Ask<'_>,
    ) -> Result<Answer, Error> {
        let answer = self.send(method, path, body).await?;
        self.done(answer, &[status], ask)
    }

    /// Goes through a list of up to `most` until `see` has enough.
    pub(super) async fn pages_up_to<T: DeserializeOwned + Send>(
        &self,
        most: usize,
        (path, under): (&str, Option<&str>),
        ask: Ask<'_>,
        mut see: impl FnMut(T) -> ControlFlow<()> + Send,
    ) -> Result<(), Error> {
        let (route, query) = path.split_once('?').unwrap_or((path, ""));
        let mut query = match query {
            "" => format!("per_page={PAGE}"),
            query => format!("{query}&per_page={PAGE}"),
        };
        let mut seen = 0;
        loop {
            let answer = self
                .send(Method::Get, &format!("{route}?{query}"), None)
                .await?;
            let answer = self.done(answer, &[200], ask)?;
            let items: Vec<T> = answer.read_under(under, ask)?;
            for item in items {
                seen += 1;
                if seen > most {
                    return Err(Error::Invalid {
                        what: ask.what.to_owned(),
                        why: format!("the list has more than {most} entries"),
                    });
                }
                if see(item).is_break() {
                    return Ok(());
                }
            }
            match answer.next_query() {
                // A page that names itself as the next would never end.
                Some(next) if next != query => query = next,
                _ => return Ok(()),
            }
        }
    }

    /// Sends one request. Answers of any documented meaning are given back; `Err` is what every request can end in.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        self.pace(method != Method::Get)?;
        let crab = self.hub.client(self.key)?;
        self.settle(in_time(send_by(&crab, method, path, body)).await)
    }

    /// The same for GraphQL, which has an address of its own on an Enterprise Server.
    pub(super) async fn send_graph(&self, body: &Value, write: bool) -> Result<Answer, Error> {
        self.pace(write)?;
        let crab = self.hub.client(self.key)?;
        let Some(graph) = &self.hub.graph else {
            return self
                .settle(in_time(send_by(&crab, Method::Post, "/graphql", Some(body))).await);
        };
        let Key::Installation { .. } = self.key else {
            return self
                .settle(in_time(send_by(graph, Method::Post, "/graphql", Some(body))).await);
        };
        let bound = in_time(async {
            let token = crab.installation_token().await.map_err(unsent)?;
            graph.user_access_token(token).map_err(unsent)
        });
        let sent = match bound.await {
            Ok(bound) => in_time(send_by(&bound, Method::Post, "/graphql", Some(body))).await,
            Err(unsent) => Err(unsent),
        };
        let refused = sent.as_ref().is_ok_and(|answer| answer.status == 401);
        if refused {
            // octocrab does not see that its token was refused here: the next try gets a new one.
            self.hub.forget(self.key);
            return Err(lost(
                "the installation token was not accepted; a new one is asked for",
            ));
        }
        self.settle(sent)
    }

    fn settle(&self, sent: Result<Answer, Unsent>) -> Result<Answer, Error> {
        match sent {
            Ok(answer) => self.judge(answer),
            Err(Unsent::Why(why)) => Err(lost(&why)),
            // The token itself was refused: judged like any other answer, then told as what it means.
            Err(Unsent::Token(answer)) => {
                let answer = self.judge(answer)?;
                Err(self.hub.no_token(self.key, &answer))
            }
        }
    }

    fn pace(&self, write: bool) -> Result<(), Error> {
        let asked = self.hub.pace(self.key).ask(Instant::now(), write);
        asked.map_err(|secs| Error::Retry {
            after_secs: Some(secs),
            why: "requests are spaced so that GitHub's limits are never reached".to_owned(),
        })
    }

    /// GraphQL's own way to say that a limit was reached: an answer of status 200.
    pub(super) fn limited(&self, said: &str) -> Error {
        let secs = self.hub.pace(self.key).limited(Instant::now(), None);
        Error::Retry {
            after_secs: Some(secs),
            why: format!("rate limit: {said}"),
        }
    }

    /// What any answer can be: a limit, a refused credential, a failure of the server.
    fn judge(&self, answer: Answer) -> Result<Answer, Error> {
        let pace = self.hub.pace(self.key);
        if let Some(after) = answer.limited() {
            let secs = pace.limited(Instant::now(), after);
            return Err(Error::Retry {
                after_secs: Some(secs),
                why: format!("rate limit: {}", answer.words()),
            });
        }
        pace.answered();
        match answer.status {
            401 => Err(Error::Auth {
                why: answer.words(),
            }),
            408 | 500..=599 => Err(Error::Retry {
                after_secs: answer.number("retry-after"),
                why: format!("{}: {}", answer.status, answer.words()),
            }),
            _ => Ok(answer),
        }
    }

    /// The answer where its status is the documented one, else the error of the right remedy.
    pub(super) fn done(&self, answer: Answer, ok: &[u16], ask: Ask<'_>) -> Result<Answer, Error> {
        if ok.contains(&answer.status) {
            return Ok(answer);
        }
        let what = ask.what.to_owned();
        Err(match answer.status {
            200..=299 => lost(&format!(
                "{what}: answered {} where {} is documented",
                answer.status,
                ok.first().copied().unwrap_or(200)
            )),
            // Whatever it points to is not what was asked about. Nothing was written.
            300..=399 | 404 | 410 | 451 => Error::Gone { what },
            403 => self.refused(&answer, ask),
            409 => Error::Conflict { what, found: None },
            _ => Error::Invalid {
                what,
                why: answer.words(),
            },
        })
    }

    /// A 403 that is no limit, with the permission that it takes and the page where it is given.
    pub(super) fn refused(&self, answer: &Answer, ask: Ask<'_>) -> Error {
        let said = answer.words();
        // An organisation that wants the token authorised says where.
        let single_sign_on = answer
            .header("x-github-sso")
            .and_then(|value| value.split_once("url="))
            .map(|(_, url)| clipped(url, WORDS_MAX));
        let needs = answer
            .header("x-accepted-github-permissions")
            .filter(|value| !value.is_empty() && said.contains("not accessible"))
            .map_or_else(
                || ask.needs.to_owned(),
                |value| clipped(&value.replace('=', ": "), WORDS_MAX),
            );
        Error::NotPermitted {
            what: format!("{} ({said})", ask.what),
            setting: single_sign_on.unwrap_or_else(|| self.hub.setting(&needs)),
        }
    }
}

/// Why there is no answer to judge.
enum Unsent {
    Why(String),
    /// No installation token was given.
    Token(Answer),
}

async fn send_by(
    crab: &Octocrab,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer, Unsent> {
    let response = match method {
        Method::Get => crab._get(path).await,
        Method::Post => crab._post(path, body).await,
        Method::Patch => crab._patch(path, body).await,
        Method::Delete => crab._delete(path, body).await,
    };
    let (parts, body) = response.map_err(unsent)?.into_parts();
    let body = Limited::new(body, BODY_MAX_BYTES).collect().await;
    let body = body.map_err(|error| Unsent::Why(words(&*error)))?;
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.to_bytes(),
    })
}

/// One request of nobody in particular.
pub(super) async fn send_once(
    crab: &Octocrab,
    method: Method,
    path: &str,
) -> Result<Answer, Error> {
    match in_time(send_by(crab, method, path, None)).await {
        Ok(answer) | Err(Unsent::Token(answer)) => Ok(answer),
        Err(Unsent::Why(why)) => Err(lost(&why)),
    }
}

fn unsent(error: octocrab::Error) -> Unsent {
    match error {
        octocrab::Error::GitHub { source, .. } => {
            let message = serde_json::json!({ "message": source.message });
            Unsent::Token(Answer {
                status: source.status_code.as_u16(),
                headers: source.headers.unwrap_or_default(),
                body: Bytes::from(message.to_string()),
            })
        }
        other => Unsent::Why(words(&other)),
    }
}

/// An answer that dribbles is none.
async fn in_time<T>(work: impl Future<Output = Result<T, Unsent>>) -> Result<T, Unsent> {
    let late = |_| Unsent::Why(format!("no whole answer within {} s", ANSWER_MAX.as_secs()));
    tokio::time::timeout(ANSWER_MAX, work).await.map_err(late)?
}

/// The causes of an error in one line, without repetition.
fn words(error: &dyn std::error::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if said.last().is_none_or(|last| !last.ends_with(&text)) {
            said.push(text);
        }
        next = error.source();
    }
    one_line(&said.join(": "))
}

pub(super) fn lost(why: &str) -> Error {
    Error::Retry {
        after_secs: None,
        why: why.to_owned(),
    }
}

fn one_line(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    clipped(
        text.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .as_str(),
        WORDS_MAX,
    )
}

impl Answer {
    /// The body as what it should be.
    pub(super) fn read<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| unreadable(&error, ask))
    }

    fn read_under<T: DeserializeOwned>(
        &self,
        under: Option<&str>,
        ask: Ask<'_>,
    ) -> Result<Vec<T>, Error> {
        let Some(field) = under else {
            return self.read(ask);
        };
        let mut whole: serde_json::Map<String, Value> = self.read(ask)?;
        let list = whole.remove(field).unwrap_or_default();
        serde_json::from_value(list).map_err(|error| unreadable(&error, ask))
    }

    /// What GitHub said, in one line.
    pub(super) fn words(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let Some(message) = body.get("message").and_then(Value::as_str) else {
            return format!("status {}", self.status);
        };
        let mut text = message.to_owned();
        let errors = body.get("errors").and_then(Value::as_array);
        for error in errors.into_iter().flatten().take(5) {
            let word = |name: &str| error.get(name).and_then(Value::as_str);
            let said = match (error.as_str().or_else(|| word("message")), word("code")) {
                (Some(said), _) => said.to_owned(),
                (None, Some(code)) => format!("{} {code}", word("field").unwrap_or("a field")),
                (None, None) => continue,
            };
            text.push_str(": ");
            text.push_str(&said);
        }
        one_line(&text)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.header(name)
            .and_then(|value| value.trim().parse().ok())
    }

    /// Whether a limit refused this, with the seconds that GitHub asked to wait where it said.
    fn limited(&self) -> Option<Option<u64>> {
        let said = self.words().to_ascii_lowercase();
        let spent = self.number("x-ratelimit-remaining") == Some(0);
        let after = self.number("retry-after");
        let limit = match self.status {
            429 => true,
            403 => {
                spent || after.is_some() || said.contains("rate limit") || said.contains("abuse")
            }
            // Comments in quick succession.
            422 => said.contains("submitted too quickly"),
            _ => false,
        };
        limit.then(|| after.or_else(|| self.until_reset().filter(|_| spent)))
    }

    /// Seconds from the server's own time to the end of its limit: our clock is never asked.
    fn until_reset(&self) -> Option<u64> {
        let reset = i64::try_from(self.number("x-ratelimit-reset")?).ok()?;
        // One more, since both are whole seconds.
        u64::try_from(reset - self.clock()?.0 / 1000 + 1).ok()
    }

    /// The forge's clock when it answered.
    pub(super) fn clock(&self) -> Option<Time> {
        super::super::http::moment(self.header("date")?)
    }

    /// The query of the next page. Only the query: an address in an answer is no place to send a token to.
    fn next_query(&self) -> Option<String> {
        let links = self.header("link")?;
        let next = links.split(',').find_map(|link| {
            let (address, relation) = link.split_once('>')?;
            relation
                .contains("rel=\"next\"")
                .then(|| address.trim().trim_start_matches('<'))
        })?;
        let (_, query) = next.split_once('?')?;
        Some(query.to_owned())
    }

    /// Where a redirect points to, as the number in `/repositories/{id}`.
    pub(super) fn moved_to(&self) -> Option<i64> {
        let (_, rest) = self.header("location")?.rsplit_once("/repositories/")?;
        rest.split(['/', '?']).next()?.parse().ok()
    }
}

fn unreadable(error: &serde_json::Error, ask: Ask<'_>) -> Error {
    let why = clipped(&error.to_string(), WORDS_MAX);
    if error.is_data() {
        return Error::Invalid {
            what: ask.what.to_owned(),
            why: format!("GitHub's answer has another form than known here: {why}"),
        };
    }
    lost(&format!("{}: the answer is no JSON: {why}", ask.what))
}

/// One part of a path, whatever is in it.
pub(super) fn part(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
