//! What stands before a real forge, and does to requests what a test says.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};

use super::*;
use crate::github::wire::{Cuttable, Scissors};
use crate::github::world::Kind;

/// What becomes of a request.
pub(super) enum Fate {
    Pass,
    /// No answer ever comes.
    Hang,
    /// This status and nothing else.
    Is(u16),
    Wrong(Kind),
}

/// Told of each request as `METHOD /path?query`.
type Rule = Box<dyn FnMut(&str) -> Fate + Send>;

/// Stands before the forge.
pub(super) struct Front {
    pub(super) url: String,
    rule: Arc<Mutex<Rule>>,
    standing: tokio::task::JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.standing.abort();
    }
}

#[derive(Clone)]
struct Behind {
    url: String,
    rule: Arc<Mutex<Rule>>,
    client: reqwest::Client,
}

impl Front {
    pub(super) async fn of(world: &World) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_| Fate::Pass)));
        let redirect = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().redirect(redirect).no_proxy();
        let behind = Behind {
            url: world.gitea.url().to_owned(),
            rule: Arc::clone(&rule),
            client: client.build().unwrap(),
        };
        let router = axum::Router::new()
            .fallback(pass)
            .with_state(behind)
            .into_make_service_with_connect_info::<Scissors>();
        let listener = Cuttable(listener);
        let standing = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            rule,
            standing,
        }
    }

    pub(super) fn does(&self, rule: impl FnMut(&str) -> Fate + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }
}

/// A server that reaches its forge through the front, not started yet.
pub(super) async fn behind_a_front(name: &str, hears: Hears) -> Option<(World, Front)> {
    let mut world = World::new(name, hears).await?;
    world.kill();
    let front = Front::of(&world).await;
    world.front = Some(front.url.clone());
    Some((world, front))
}

async fn pass(
    State(behind): State<Behind>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let to = parts.uri.path_and_query().unwrap().to_string();
    let fate = (behind.rule.lock().unwrap())(&format!("{} {to}", parts.method));
    let answered = |status| {
        axum::http::StatusCode::from_u16(status)
            .unwrap()
            .into_response()
    };
    let wrong = match fate {
        Fate::Pass => None,
        Fate::Hang => return std::future::pending().await,
        Fate::Is(status) => return answered(status),
        Fate::Wrong(Kind::Instead(status, headers, body)) => {
            let mut back = Response::builder().status(status);
            for (name, value) in headers {
                back = back.header(name, value);
            }
            return back.body(Body::from(body.to_string())).unwrap();
        }
        Fate::Wrong(Kind::Cut) => {
            scissors.cut();
            return Response::default();
        }
        Fate::Wrong(other) => Some(other),
    };
    for own in ["host", "content-length", "transfer-encoding", "connection"] {
        parts.headers.remove(own);
    }
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let url = format!("{}{to}", behind.url);
    let asked = behind.client.request(parts.method, url);
    let Ok(answer) = asked.headers(parts.headers).body(body).send().await else {
        return answered(502);
    };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for own in ["content-length", "transfer-encoding", "connection"] {
        headers.remove(own);
    }
    let mut back = Response::new(Body::from(answer.bytes().await.unwrap()));
    *back.status_mut() = status;
    *back.headers_mut() = headers;
    match wrong {
        None => back,
        Some(Kind::After(status, body)) => {
            let mut back = Response::new(Body::from(body.to_string()));
            *back.status_mut() = axum::http::StatusCode::from_u16(status).unwrap();
            back
        }
        Some(Kind::CutAfter) => {
            scissors.cut();
            back
        }
        Some(Kind::Slow(secs)) => {
            tokio::time::sleep(Duration::from_secs(secs)).await;
            back
        }
        Some(other) => panic!("{other:?} is of the fake GitHub alone"),
    }
}
