//! Git of the fake GitHub: over HTTP with the credential of the hour, and what a push means there.

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use prentice::domain::ident::CommitId;

use super::server::{Caller, Shared, granted, login};
use super::wire::Scissors;
use super::world::{Kind, TOKEN, World};
use crate::http_git::{backend, base64};

/// One request of git.
pub(super) async fn serve(shared: &Shared, scissors: &Scissors, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let asked = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.clone(),
    };
    let push = asked.ends_with("git-receive-pack");
    let fault = shared.fault(request.method().as_str(), &asked);
    match &fault {
        Some(Kind::Instead(status, headers, body)) => {
            let mut response = Response::builder().status(*status);
            for (name, value) in headers {
                response = response.header(*name, value);
            }
            return response.body(Body::from(body.to_string())).unwrap();
        }
        Some(Kind::Cut) => {
            scissors.cut();
            return Response::default();
        }
        Some(Kind::Late) => tokio::time::sleep(Duration::from_secs(60)).await,
        _ => {}
    }
    let authorization = request.headers().get(header::AUTHORIZATION);
    let given = authorization.and_then(|value| value.to_str().ok());
    let (root, who) = {
        let world = shared.world.lock().unwrap();
        let Some(caller) = caller(&world, given.unwrap_or_default()) else {
            let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"GitHub\"")];
            return (axum::http::StatusCode::UNAUTHORIZED, ask).into_response();
        };
        let has = granted(&world, &caller, "contents");
        if has == "none" || (push && has != "write") {
            let words = format!(
                "remote: Permission to {}.git denied to {}.\n",
                world.name,
                login(&caller)
            );
            return (axum::http::StatusCode::FORBIDDEN, words).into_response();
        }
        let Some(root) = world.root(&path) else {
            let words = "remote: Repository not found.\n";
            return (axum::http::StatusCode::NOT_FOUND, words).into_response();
        };
        (root, login(&caller))
    };
    let response = backend(&root, None, request).await;
    if push && response.status() == 200 {
        world_follows(&mut shared.world.lock().unwrap(), who);
    }
    if let Some(Kind::Slow(secs)) = fault {
        tokio::time::sleep(Duration::from_secs(secs)).await;
    }
    match fault {
        Some(Kind::CutAfter) => {
            scissors.cut();
            Response::default()
        }
        Some(Kind::After(status, body)) => Response::builder()
            .status(status)
            .body(Body::from(body.to_string()))
            .unwrap(),
        _ => response,
    }
}

/// Whose name and password these are. The name is the one that GitHub documents for tokens.
fn caller(world: &World, given: &str) -> Option<Caller> {
    let is = |token: &str| given == format!("Basic {}", base64(&format!("x-access-token:{token}")));
    if is(TOKEN) {
        return Some(Caller::Token);
    }
    let token = world.grants.keys().find(|token| is(token))?;
    Some(Caller::Installation(token.clone()))
}

impl World {
    /// Where `git http-backend` finds the repository of this path; it is called by its newest name only.
    fn root(&self, path: &str) -> Option<std::path::PathBuf> {
        let bare = self.git.as_ref()?;
        let wanted = format!("/{}.git/", self.name);
        let root = bare.ancestors().nth(2)?;
        path.starts_with(&wanted).then(|| root.to_owned())
    }
}

/// Branches are what git has; each change of one is an act of whoever pushed.
fn world_follows(world: &mut World, who: &str) {
    let bare = world.git.clone().unwrap();
    let now = branches(&bare);
    let before = world.branches.clone();
    for (branch, head) in &now {
        if before.get(branch) != Some(head) {
            world.pushed(branch, head, who);
        }
    }
    for branch in before.keys().filter(|branch| !now.contains_key(*branch)) {
        world.unpushed(branch, who);
    }
}

/// Names and heads of the branches of a repository.
pub(crate) fn branches(bare: &Path) -> std::collections::BTreeMap<String, CommitId> {
    let format = "--format=%(refname:lstrip=2) %(objectname)";
    let all = crate::git::git(bare, &["for-each-ref", format, "refs/heads"]);
    let pairs = all.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(name, head)| (name.to_owned(), head.parse().unwrap()))
        .collect()
}
