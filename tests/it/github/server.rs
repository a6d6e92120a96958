//! The fake GitHub on loopback: who asks, what goes wrong, and whether both sides keep to the description.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use octocrab::jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use prentice::domain::ident::CommitId;
use prentice::forge::{self, Error, Refs, Repository, Service};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::description::{Description, Route, cached, decoded, description};
use super::graph::{Document, selected};
use super::routes::{Reply, answer};
use super::wire::{Cuttable, Scissors};
use super::world::{APP, Kind, REPO, TOKEN, TOKEN_BOT, World, said};
use super::{git, hooks};
use crate::skip::skipped;

/// A running fake. What was against the description fails the test when it goes away.
pub(crate) struct Fake {
    shared: Arc<Shared>,
    base: String,
    serving: tokio::task::JoinHandle<()>,
    delivering: tokio::task::JoinHandle<()>,
}

pub(super) struct Shared {
    pub(super) world: Mutex<World>,
    description: &'static Description,
    public_key: Vec<u8>,
    /// Whether it is an Enterprise Server.
    enterprise: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    App,
    Installation(String),
    Token,
}

impl Fake {
    pub(crate) async fn public() -> Option<Self> {
        Self::start(false).await
    }

    /// As an Enterprise Server, with its own addresses.
    pub(crate) async fn enterprise() -> Option<Self> {
        Self::start(true).await
    }

    async fn start(enterprise: bool) -> Option<Self> {
        let (Some(description), Some(public_key)) = (description(), cached("app.pub.pem")) else {
            skipped(
                "github",
                "no description of GitHub; `tests/github.sh` fetches it",
            );
            return None;
        };
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new()),
            description,
            public_key,
            enterprise,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&shared))
            .into_make_service_with_connect_info::<Scissors>();
        let listener = Cuttable(listener);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let delivering = tokio::spawn(deliver(Arc::clone(&shared)));
        let path = if enterprise { "/api/v3" } else { "" };
        Some(Self {
            shared,
            base: format!("http://{address}{path}"),
            serving,
            delivering,
        })
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }

    /// Where its interface is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Where its pages would be.
    pub(crate) fn web(&self) -> String {
        self.base.trim_end_matches("/api/v3").to_owned()
    }

    /// A service as the App, as after a start: it remembers nothing.
    pub(crate) fn app(&self) -> Arc<dyn Service> {
        let key = String::from_utf8(cached("app.pem").unwrap()).unwrap();
        let app = u64::try_from(APP).unwrap();
        forge::github_app("hub", Some(&self.base), app, &SecretString::from(key)).unwrap()
    }

    pub(crate) fn token(&self) -> Arc<dyn Service> {
        let token = SecretString::from(TOKEN.to_owned());
        forge::github_token("hub", Some(&self.base), &token).unwrap()
    }

    pub(crate) fn service(&self, app: bool) -> Arc<dyn Service> {
        if app { self.app() } else { self.token() }
    }

    pub(crate) fn refs(&self) -> Arc<dyn Refs> {
        Arc::new(FakeRefs(Arc::clone(&self.shared)))
    }

    /// The repository, as it was looked up at some time.
    pub(crate) fn repository(&self) -> Repository {
        Repository {
            id: REPO,
            name: "acme/widget".to_owned(),
            default_branch: "main".to_owned(),
            private: false,
            archived: false,
            personal: false,
            clone_url: "https://forge.test/acme/widget.git".to_owned(),
            page: "https://forge.test/acme/widget".to_owned(),
            ours: None,
        }
    }

    /// Sends one delivery to where deliveries go, signed; its status.
    pub(crate) async fn deliver(&self, event: &str, payload: &Value) -> u16 {
        let guid = hooks::guid(&mut self.world());
        send_hook(&self.shared, &guid, event, payload).await
    }

    /// What was against the description so far; a test that does so on purpose takes it out.
    pub(crate) fn wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.world().wrong)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
        self.delivering.abort();
        if !std::thread::panicking() {
            let wrong = self.wrong();
            assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
        }
    }
}

/// Sends and records one attempt of a delivery.
async fn send_hook(shared: &Shared, guid: &str, event: &str, payload: &Value) -> u16 {
    let hook = shared.world.lock().unwrap().hook.clone();
    let status = hooks::post(
        &hook.expect("no place for deliveries"),
        guid,
        event,
        payload,
    )
    .await;
    let mut world = shared.world.lock().unwrap();
    hooks::record(&mut world, guid, event, payload, status);
    status
}

/// Delivers what happens, each by itself: they overtake one another, as GitHub's do.
async fn deliver(shared: Arc<Shared>) {
    loop {
        let next = {
            let mut world = shared.world.lock().unwrap();
            let next = world.outbox.pop_front();
            next.map(|(event, payload)| (hooks::guid(&mut world), event, payload))
        };
        match next {
            Some((guid, event, payload)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { send_hook(&shared, &guid, event, &payload).await });
            }
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response {
    if request.uri().path().contains(".git/") {
        return git::serve(&shared, &scissors, request).await;
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let method = parts.method.as_str().to_owned();
    let header = |name: &str| {
        let value = parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let asked = Asked {
        method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: header("authorization"),
        body,
    };
    {
        let mut world = shared.world.lock().unwrap();
        if header("user-agent").is_empty() {
            world.wrong.push(format!("{}: no user agent", asked.path));
        }
        // octocrab's own request for a token leaves it out.
        if header("x-github-api-version").is_empty() && !asked.path.ends_with("/access_tokens") {
            world
                .wrong
                .push(format!("{}: no version of the API", asked.path));
        }
    }
    let Some(reply) = shared.reply(&asked).await else {
        scissors.cut();
        return Response::default();
    };
    let now = shared.world.lock().unwrap().clock();
    let date = jiff::Timestamp::from_second(now).unwrap();
    let mut response = Response::builder()
        .status(reply.status)
        .header(
            "date",
            date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        )
        .header("content-type", "application/json; charset=utf-8");
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    let body = if reply.body.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(&reply.body).unwrap()
    };
    response.body(Body::from(body)).unwrap()
}

struct Asked {
    method: String,
    path: String,
    query: String,
    authorization: String,
    body: Bytes,
}

impl Shared {
    /// `None`: the connection is cut.
    async fn reply(&self, asked: &Asked) -> Option<Reply> {
        let (api, graph) = if self.enterprise {
            ("/api/v3", "/api/graphql")
        } else {
            ("", "/graphql")
        };
        let is_graph = asked.path == graph;
        let path = match asked.path.strip_prefix(api) {
            Some(path) => path.to_owned(),
            None if is_graph => asked.path.clone(),
            None => {
                let wrong = format!("{} is not below {api}", asked.path);
                self.world.lock().unwrap().wrong.push(wrong);
                return Some(Reply::refused(404, "Not Found"));
            }
        };
        let known_as = match is_graph {
            true => format!("{path}/{}", Document::root_field(&asked.body)),
            false => path.clone(),
        };
        let fault = self.fault(&asked.method, &known_as);
        match &fault {
            Some(Kind::Instead(status, headers, body)) => {
                return Some(Reply {
                    status: *status,
                    headers: headers.clone(),
                    body: body.clone(),
                });
            }
            Some(Kind::Cut) => return None,
            Some(Kind::Late) => tokio::time::sleep(Duration::from_secs(60)).await,
            _ => {}
        }
        let reply = if is_graph {
            self.graph(asked)
        } else {
            self.rest(asked, &path, &fault).await
        };
        if let Some(Kind::Slow(secs)) = fault {
            tokio::time::sleep(Duration::from_secs(secs)).await;
        }
        Some(match fault {
            Some(Kind::CutAfter) => return None,
            Some(Kind::After(status, body)) => Reply {
                status,
                headers: Vec::new(),
                body,
            },
            Some(Kind::Status(status)) => Reply { status, ..reply },
            Some(Kind::Without(names)) => Reply {
                body: without(reply.body, names),
                ..reply
            },
            _ => reply,
        })
    }

    /// Notes a request, and what goes wrong with it.
    pub(super) fn fault(&self, method: &str, path: &str) -> Option<Kind> {
        let mut world = self.world.lock().unwrap();
        world.requests.push(format!("{method} {path}"));
        let fault = world.met(method, path);
        if fault == Some(Kind::Expired) {
            world.grants.clear();
        }
        fault
    }

    async fn rest(&self, asked: &Asked, path: &str, fault: &Option<Kind>) -> Reply {
        // A name that the repository had is answered with where it is now.
        let (canonical, moved) = self.canonical(path);
        if let Some(reply) = moved {
            return reply;
        }
        let Some((route, parts)) = self.description.route(&asked.method, &canonical) else {
            let wrong = format!("{} {path}: no such operation is described", asked.method);
            self.world.lock().unwrap().wrong.push(wrong);
            return Reply::refused(404, "Not Found");
        };
        let label = format!("{} {}", asked.method, route.path);
        let wrong = self.description.request(route, &asked.query, &asked.body);
        if !wrong.is_empty() {
            let mut world = self.world.lock().unwrap();
            world
                .wrong
                .extend(wrong.iter().map(|one| format!("request {label}: {one}")));
        }
        if route.path == "/app-manifests/{code}/conversions" {
            return self.converted(route, path, asked, &parts["code"]);
        }
        let caller = match self.caller(&asked.authorization) {
            Ok(caller) => caller,
            Err(reply) => return reply,
        };
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let redelivered =
            (route.path == "/app/hook/deliveries/{delivery_id}/attempts").then(|| {
                let world = self.world.lock().unwrap();
                let id: i64 = parts["delivery_id"].parse().unwrap();
                world
                    .deliveries
                    .iter()
                    .find(|one| one.id == id && world.hook.is_some())
                    .cloned()
            });
        if let Some(Some(old)) = redelivered {
            send_hook(self, &old.guid, &old.event, &old.payload).await;
            return Reply::of(202, json!({}));
        }
        let host = "https://forge.test";
        let reply = {
            let mut world = self.world.lock().unwrap();
            let reply = answer(
                &mut world,
                self.description,
                &caller,
                &route.method,
                &route.path,
                &parts,
                &asked.query,
                &body,
            );
            reply.paged(&world, host, path, &asked.query)
        };
        let text = if reply.body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(&reply.body).unwrap()
        };
        if fault.is_none() {
            let wrong = self.description.answer(route, reply.status, &text);
            let mut world = self.world.lock().unwrap();
            world.wrong.extend(
                wrong
                    .iter()
                    .map(|one| format!("answer {} of {label}: {one}", reply.status)),
            );
        }
        reply
    }

    /// The App of a manifest: the one that the fake knows anyway, for the one code that it gives, once.
    fn converted(&self, route: &Route, path: &str, asked: &Asked, code: &str) -> Reply {
        let mut world = self.world.lock().unwrap();
        let times = world
            .requests
            .iter()
            .filter(|one| one.ends_with(path))
            .count();
        if !asked.authorization.is_empty() {
            world
                .wrong
                .push("a code is exchanged without a credential".to_owned());
        }
        if code != "good-code" || times != 1 {
            return Reply::refused(404, "Not Found");
        }
        let fields = serde_json::json!({
            "id": APP, "slug": "prentice-test", "name": "prentice-test",
            "html_url": "https://forge.test/apps/prentice-test", "client_id": "Iv1.0", "client_secret": "unused",
            "pem": String::from_utf8(cached("app.pem").unwrap()).unwrap(),
            "webhook_secret": "a-secret-of-the-forge-long-enough",
        });
        let body = self.description.like("integration", fields);
        let text = serde_json::to_vec(&body).unwrap();
        let wrong = self.description.answer(route, 201, &text);
        world.wrong.extend(wrong);
        Reply::of(201, body)
    }

    /// The path below the repository's name, whichever way it was addressed.
    fn canonical(&self, path: &str) -> (String, Option<Reply>) {
        let world = self.world.lock().unwrap();
        if let Some(rest) = path.strip_prefix("/repositories/") {
            let (id, rest) = rest
                .split_once('/')
                .map_or((rest, String::new()), |(id, rest)| (id, format!("/{rest}")));
            if id != REPO.to_string() {
                return (path.to_owned(), Some(Reply::refused(404, "Not Found")));
            }
            return (format!("/repos/{}{rest}", world.name), None);
        }
        let Some(rest) = path.strip_prefix("/repos/") else {
            return (path.to_owned(), None);
        };
        let mut words = rest.splitn(3, '/');
        let name = format!(
            "{}/{}",
            decoded(words.next().unwrap_or("")),
            decoded(words.next().unwrap_or(""))
        );
        let rest = words
            .next()
            .map_or(String::new(), |rest| format!("/{rest}"));
        if world.old_names.contains(&name) {
            let location = format!("https://forge.test/repositories/{REPO}{rest}");
            let mut reply = Reply::refused(301, "Moved Permanently");
            reply.headers.push(("location", location));
            return (path.to_owned(), Some(reply));
        }
        if !world.name.eq_ignore_ascii_case(&name) {
            return (path.to_owned(), Some(Reply::refused(404, "Not Found")));
        }
        (path.to_owned(), None)
    }

    fn caller(&self, authorization: &str) -> Result<Caller, Reply> {
        let Some(token) = authorization.strip_prefix("Bearer ") else {
            return Err(Reply::refused(401, "Requires authentication"));
        };
        if token == TOKEN {
            return Ok(Caller::Token);
        }
        if self.world.lock().unwrap().grants.contains_key(token) {
            return Ok(Caller::Installation(token.to_owned()));
        }
        #[derive(serde::Deserialize)]
        struct Claims {
            iss: i64,
            iat: i64,
            exp: i64,
        }
        let key = DecodingKey::from_rsa_pem(&self.public_key).unwrap();
        match decode::<Claims>(token, &key, &Validation::new(Algorithm::RS256)) {
            Ok(claims)
                if claims.claims.iss == APP && claims.claims.exp - claims.claims.iat <= 600 =>
            {
                Ok(Caller::App)
            }
            _ => Err(Reply::refused(401, "Bad credentials")),
        }
    }

    fn graph(&self, asked: &Asked) -> Reply {
        let caller = match self.caller(&asked.authorization) {
            Ok(caller) => caller,
            Err(reply) => return reply,
        };
        let mut world = self.world.lock().unwrap();
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let (text, given) = (
            body["query"].as_str().unwrap_or_default(),
            &body["variables"],
        );
        let document = match Document::checked(text, given) {
            Ok(document) => document,
            Err(wrong) => {
                world
                    .wrong
                    .extend(wrong.iter().map(|one| format!("GraphQL: {one}")));
                return Reply::refused(400, "Problems parsing JSON");
            }
        };
        let (mut data, mut errors) = (serde_json::Map::new(), Vec::new());
        for (field, args, inner) in document.asked(given) {
            let value = match super::routes::graph(&mut world, &caller, field, &args) {
                Ok(value) => selected(&value, inner),
                Err((value, error)) => {
                    errors.push(error);
                    selected(&value, inner)
                }
            };
            data.insert(field.to_owned(), value);
        }
        let mut reply = json!({ "data": data });
        if !errors.is_empty() {
            reply["errors"] = errors.into();
        }
        Reply::of(200, reply)
    }
}

/// The value with fields of these names missing, however deep.
fn without(value: Value, names: &[&str]) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(|item| without(item, names)).collect(),
        Value::Object(fields) => {
            let kept = fields
                .into_iter()
                .filter(|(name, _)| !names.contains(&name.as_str()));
            Value::Object(kept.map(|(name, of)| (name, without(of, names))).collect())
        }
        other => other,
    }
}

/// Branches of the fake, as git would move them.
struct FakeRefs(Arc<Shared>);

#[async_trait]
impl Refs for FakeRefs {
    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, Error> {
        Ok(self.0.world.lock().unwrap().branches.get(branch).cloned())
    }

    async fn set_branch(
        &self,
        branch: &str,
        new: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), Error> {
        let mut world = self.0.world.lock().unwrap();
        let found = world.branches.get(branch).cloned();
        if found.as_ref() != expected {
            let what = format!("branch `{branch}`");
            return Err(Error::Conflict { what, found });
        }
        world.push(branch, new);
        Ok(())
    }

    async fn delete_branch(&self, branch: &str, expected: &CommitId) -> Result<(), Error> {
        let mut world = self.0.world.lock().unwrap();
        let found = world.branches.get(branch).cloned();
        if found.as_ref() != Some(expected) {
            let what = format!("branch `{branch}`");
            return Err(Error::Conflict { what, found });
        }
        world.unpush(branch);
        Ok(())
    }

    async fn reaches(&self, branch: &str, commit: &CommitId) -> Result<bool, Error> {
        let world = self.0.world.lock().unwrap();
        Ok(world.branches.get(branch) == Some(commit))
    }
}

/// Who the caller is as an account.
pub(crate) fn login(caller: &Caller) -> &'static str {
    match caller {
        Caller::App | Caller::Installation(_) => super::world::APP_BOT,
        Caller::Token => TOKEN_BOT,
    }
}

/// Used by routes for what nobody may do.
pub(crate) fn not_accessible(caller: &Caller) -> Value {
    match caller {
        Caller::Token => said("Resource not accessible by personal access token"),
        _ => said("Resource not accessible by integration"),
    }
}

/// What a caller may do, by permission; the account of the token may do everything that its role permits.
pub(crate) fn granted(world: &World, caller: &Caller, permission: &str) -> String {
    match caller {
        Caller::App => "none".to_owned(),
        Caller::Installation(token) => {
            let grant = &world.grants[token];
            let in_reach = grant.only.as_ref().is_none_or(|only| only.contains(&REPO));
            let level = grant.permissions.get(permission).filter(|_| in_reach);
            level.cloned().unwrap_or_else(|| "none".to_owned())
        }
        Caller::Token => {
            let role = world.users[TOKEN_BOT]
                .role
                .as_ref()
                .map(|(_, permits)| *permits);
            let level = match (role, permission) {
                (Some("push" | "maintain" | "admin"), "checks") => "none",
                (Some("push" | "maintain" | "admin"), _) => "write",
                (Some("triage"), "issues") => "write",
                _ => "read",
            };
            level.to_owned()
        }
    }
}

pub(crate) type Parts = HashMap<String, String>;
