//! Forgejo's published description of its interface, and a proxy that holds every request of ours to it.
//!
//! The adapter of every test speaks through the proxy. A request that the description does not know is answered 500
//! with the reason, so the test that made it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::Value;

use super::server::{Server, cache};

/// The version that `tests/gitea.sh` fetches.
const FORGEJO_API: &str = "0.12.0";

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not done.
    Before,
    /// It is done, and its answer is lost.
    After,
}

pub(crate) struct Proxy {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    state: Arc<Shared>,
}

struct Shared {
    upstream: String,
    http: reqwest::Client,
    described: Option<Described>,
    /// Tokens whose every other write goes wrong, and whether the next one does.
    faults: Mutex<BTreeMap<String, (Fault, bool)>>,
    /// `METHOD /path/{template} status` by token.
    seen: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Proxy {
    /// The one proxy of the test binary, on a thread of its own since every test has a runtime of its own.
    pub(crate) fn of(server: &'static Server) -> &'static Self {
        static PROXY: OnceLock<Proxy> = OnceLock::new();
        PROXY.get_or_init(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let http = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build()
                .unwrap();
            let described = Described::read();
            if described.is_none() {
                crate::skip::skipped(
                    "Forgejo's description",
                    "it was not fetched; run tests/gitea.sh",
                );
            }
            let state = Arc::new(Shared {
                upstream: server.url.clone(),
                http,
                described,
                faults: Mutex::default(),
                seen: Mutex::default(),
            });
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            listener.set_nonblocking(true).unwrap();
            let app = axum::Router::new()
                .fallback(forward)
                .with_state(Arc::clone(&state));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async move {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    axum::serve(listener, app).await.unwrap();
                });
            });
            Self { url, state }
        })
    }

    /// From now on the first of two writes with this token goes wrong.
    pub(crate) fn fail(&self, token: &str, fault: Fault) {
        let mut faults = self.state.faults.lock().unwrap();
        faults.insert(format!("token {token}"), (fault, true));
    }

    /// What was done with this token, a line `METHOD template status` each; `None` without the description.
    pub(crate) fn done(&self, token: &str) -> Option<String> {
        self.state.described.as_ref()?;
        let seen = self.state.seen.lock().unwrap();
        let lines = seen.get(&format!("token {token}"))?.iter();
        let done: Vec<&str> = lines
            .map(String::as_str)
            .filter(|line| {
                line.rsplit(' ')
                    .next()
                    .is_some_and(|status| status.starts_with('2'))
            })
            .collect();
        Some(done.join("\n"))
    }
}

async fn forward(State(state): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let judged = state
        .described
        .as_ref()
        .map(|described| described.judge(parts.method.as_str(), &path, &query, &body));
    if let Some(Err(why)) = &judged {
        return refusal(&format!("not as described: {why}"));
    }
    let token = parts.headers.get("authorization");
    let token = token.map_or("", |value| value.to_str().unwrap()).to_owned();
    let fault = state.fault(&token, parts.method.as_str());
    if fault == Some(Fault::Before) {
        return refusal("busy");
    }
    let url = format!("{}{}", state.upstream, parts.uri);
    let mut headers = parts.headers.clone();
    headers.remove("host");
    let answer = state
        .http
        .request(parts.method.clone(), url)
        .headers(headers)
        .body(body)
        .send()
        .await
        .unwrap();
    if let Some(Ok(operation)) = judged {
        let status = answer.status();
        let told = status.as_u16().to_string();
        // What is taken for done has to be done on Forgejo too.
        if status.is_success() && !operation.answers.contains(&told) {
            let why = format!("not as described: {} answered {told}", operation.name);
            return refusal(&why);
        }
        let line = format!("{} {}", operation.name, status.as_u16());
        let mut seen = state.seen.lock().unwrap();
        seen.entry(token).or_default().insert(line);
    }
    if fault == Some(Fault::After) {
        return refusal("lost");
    }
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "transfer-encoding" && name != "content-length" {
            response = response.header(name, value);
        }
    }
    response
        .body(Body::from(answer.bytes().await.unwrap()))
        .unwrap()
}

impl Shared {
    fn fault(&self, token: &str, method: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let (fault, is_now) = faults.get_mut(token).filter(|_| method != "GET")?;
        let hit = is_now.then_some(*fault);
        *is_now = !*is_now;
        hit
    }
}

fn refusal(why: &str) -> Response {
    let message = serde_json::json!({ "message": why });
    Response::builder()
        .status(500)
        .body(Body::from(message.to_string()))
        .unwrap()
}

/// Paths of the description, each cut into segments.
pub(crate) struct Described {
    document: Value,
    paths: Vec<(Vec<String>, String)>,
}

/// A described operation.
pub(crate) struct Operation {
    name: String,
    /// Statuses of its answers.
    answers: Vec<String>,
}

impl Described {
    fn read() -> Option<Self> {
        let path = cache()
            .join("forgejo")
            .join(FORGEJO_API)
            .join("swagger.v1.json");
        Some(Self::new(&std::fs::read_to_string(path).ok()?))
    }

    pub(crate) fn new(text: &str) -> Self {
        let document: Value = serde_json::from_str(text).unwrap();
        let names = document["paths"].as_object().unwrap().keys();
        let paths = names
            .map(|name| {
                let segments = name.trim_start_matches('/').split('/');
                (segments.map(str::to_owned).collect(), name.clone())
            })
            .collect();
        Self { document, paths }
    }

    /// The path that says the most of this one literally.
    fn find(&self, path: &str) -> Option<(&str, BTreeMap<&str, String>)> {
        let asked: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        // `{index}.{diffType}` is none.
        let is_name = |part: &str| part.starts_with('{') && part.find('}') == Some(part.len() - 1);
        let fits = |(parts, _): &&(Vec<String>, String)| {
            parts.len() == asked.len()
                && parts
                    .iter()
                    .zip(&asked)
                    .all(|(part, asked)| part == asked || (is_name(part) && !asked.is_empty()))
        };
        let literal = |(parts, _): &&(Vec<String>, String)| {
            parts.iter().map(|part| !is_name(part)).collect::<Vec<_>>()
        };
        let (parts, name) = self.paths.iter().filter(fits).max_by_key(literal)?;
        let named = parts.iter().zip(&asked).filter(|(part, _)| is_name(part));
        let values = named
            .map(|(part, value)| (part.trim_matches(['{', '}']), (*value).to_owned()))
            .collect();
        Some((name, values))
    }

    /// The operation that a request is, or why it is none.
    pub(crate) fn judge(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Operation, String> {
        let below = path
            .strip_prefix("/api/v1")
            .ok_or_else(|| format!("{path} is not below /api/v1"))?;
        let (template, values) = self.find(below).ok_or_else(|| format!("no path {below}"))?;
        let operation = &self.document["paths"][template][method.to_ascii_lowercase()];
        if operation.is_null() {
            return Err(format!("no {method} {template}"));
        }
        let none = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&none);
        let place = |parameter: &Value| parameter["in"].as_str().unwrap_or_default().to_owned();
        for parameter in parameters.iter().filter(|one| place(one) == "path") {
            let name = parameter["name"].as_str().unwrap_or_default();
            let value = values
                .get(name)
                .ok_or_else(|| format!("no {name} in {path}"))?;
            plain_type(parameter, value).map_err(|why| format!("{name} in {path}: {why}"))?;
        }
        let asked: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name), decoded(value))
            })
            .collect();
        for (name, value) in &asked {
            let parameter = parameters
                .iter()
                .find(|one| place(one) == "query" && one["name"] == name.as_str())
                .ok_or_else(|| format!("no parameter {name} of {method} {template}"))?;
            plain_type(parameter, value).map_err(|why| format!("{name} of {template}: {why}"))?;
        }
        for parameter in parameters.iter().filter(|one| place(one) == "query") {
            let is_there = asked
                .iter()
                .any(|(name, _)| parameter["name"] == name.as_str());
            if parameter["required"] == true && !is_there {
                return Err(format!("{template} wants {}", parameter["name"]));
            }
        }
        let of_body = parameters.iter().find(|one| place(one) == "body");
        match (of_body, body.is_empty()) {
            (None, true) => {}
            (None, false) => return Err(format!("{method} {template} takes no body")),
            (Some(parameter), true) if parameter["required"] == true => {
                return Err(format!("{method} {template} wants a body"));
            }
            (Some(_), true) => {}
            (Some(parameter), false) => {
                let value: Value =
                    serde_json::from_slice(body).map_err(|error| error.to_string())?;
                self.value(&parameter["schema"], &value, "body")?;
            }
        }
        let answers = operation["responses"].as_object();
        Ok(Operation {
            name: format!("{method} {template}"),
            answers: answers
                .into_iter()
                .flatten()
                .map(|(status, _)| status.clone())
                .collect(),
        })
    }

    /// Whether a part of a body is as its schema says.
    fn value(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return self.value(&self.document["definitions"][name], value, at);
        }
        if let Some(all) = schema["enum"].as_array()
            && !all.contains(value)
        {
            return Err(format!("{at}: {value} is none of {all:?}"));
        }
        let wrong = || Err(format!("{at}: {value} is no {}", schema["type"]));
        match schema["type"].as_str() {
            Some("object") => {
                let Some(object) = value.as_object() else {
                    return wrong();
                };
                for (name, value) in object {
                    let property = &schema["properties"][name];
                    if property.is_null() {
                        return Err(format!("{at}: no field {name}"));
                    }
                    self.value(property, value, &format!("{at}.{name}"))?;
                }
                let required = schema["required"].as_array();
                for name in required.into_iter().flatten().filter_map(Value::as_str) {
                    if !object.contains_key(name) {
                        return Err(format!("{at}: {name} is missing"));
                    }
                }
                Ok(())
            }
            Some("array") => {
                let Some(all) = value.as_array() else {
                    return wrong();
                };
                for value in all {
                    self.value(&schema["items"], value, &format!("{at}[]"))?;
                }
                Ok(())
            }
            Some("string") if !value.is_string() => wrong(),
            Some("integer") if !value.is_i64() => wrong(),
            Some("boolean") if !value.is_boolean() => wrong(),
            _ => Ok(()),
        }
    }
}

/// Whether a text in a path or query is as the parameter says.
fn plain_type(parameter: &Value, text: &str) -> Result<(), String> {
    if let Some(all) = parameter["enum"].as_array()
        && !all.iter().any(|one| one == text)
    {
        return Err(format!("{text} is none of {all:?}"));
    }
    let is_date = |text: &str| text.parse::<jiff::Timestamp>().is_ok();
    let fits = match (parameter["type"].as_str(), parameter["format"].as_str()) {
        (Some("integer"), _) => text.parse::<i64>().is_ok(),
        (Some("boolean"), _) => ["true", "false"].contains(&text),
        (Some("string"), Some("date-time")) => is_date(text),
        _ => true,
    };
    match fits {
        true => Ok(()),
        false => Err(format!("{text} is no {}", parameter["type"])),
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (first, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_request_that_is_not_described_is_noticed() {
    let described = Described::new(
        r##"{
            "paths": {
                "/repos/{owner}/issues/{index}": {
                    "get": { "parameters": [
                        { "in": "path", "name": "owner", "type": "string" },
                        { "in": "path", "name": "index", "type": "integer" },
                        { "in": "query", "name": "state", "type": "string", "enum": ["open", "all"] },
                        { "in": "query", "name": "since", "type": "string", "format": "date-time" },
                        { "in": "query", "name": "page", "type": "integer", "required": true }
                    ] },
                    "post": { "parameters": [
                        { "in": "body", "name": "body", "schema": { "$ref": "#/definitions/New" } }
                    ] }
                },
                "/repos/{owner}/issues/comments": { "get": {} }
            },
            "definitions": { "New": {
                "type": "object", "required": ["title"],
                "properties": {
                    "title": { "type": "string" },
                    "labels": { "type": "array", "items": { "type": "integer" } }
                }
            } }
        }"##,
    );
    let judge = |method: &str, path: &str, query: &str, body: &str| {
        let path = format!("/api/v1{path}");
        described
            .judge(method, &path, query, body.as_bytes())
            .map(|operation| operation.name)
    };
    let issue = "/repos/o/issues/1";
    for (method, path, query, body) in [
        (
            "GET",
            issue,
            "page=1&state=open&since=2026-11-20T10:00:00Z",
            "",
        ),
        ("GET", "/repos/o/issues/comments", "", ""),
        ("POST", issue, "", r#"{"title":"x","labels":[1]}"#),
    ] {
        assert!(
            judge(method, path, query, body).is_ok(),
            "{path}?{query} {body}"
        );
    }
    for (method, path, query, body) in [
        ("GET", "/elsewhere", "", ""),
        ("PUT", issue, "page=1", ""),
        ("GET", "/repos/o/issues/x", "page=1", ""),
        ("GET", issue, "", ""),
        ("GET", issue, "page=one", ""),
        ("GET", issue, "page=1&state=closed", ""),
        ("GET", issue, "page=1&since=yesterday", ""),
        ("GET", issue, "page=1&sort=oldest", ""),
        ("GET", issue, "page=1", "{}"),
        ("POST", issue, "", r#"{"labels":[]}"#),
        ("POST", issue, "", r#"{"title":null}"#),
        ("POST", issue, "", r#"{"title":"x","labels":["bug"]}"#),
        ("POST", issue, "", r#"{"title":"x","colour":"red"}"#),
        ("POST", issue, "", "title"),
    ] {
        let judged = judge(method, path, query, body);
        assert!(judged.is_err(), "{method} {path}?{query} {body}");
    }
}
