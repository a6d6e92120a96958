//! The page of `setup` on which a person asks GitHub for an App: on the loopback, for one visit.
//!
//! The address holds a token that only the terminal showed, so nobody else on the machine finds it; GitHub's way back
//! has to bring the `state` that the form took along, so nobody else's App is taken for ours. No script runs on it.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Limits, talk};

/// What the page asks for.
pub struct Wish {
    /// Of this visit; part of the address.
    pub token: String,
    /// Of this visit; goes along with the form and has to come back.
    pub state: String,
    /// Where the form goes to, without `state`.
    pub action: String,
    /// The App's manifest, JSON.
    pub manifest: String,
    /// What the App may do: permission, access, why.
    pub permissions: Vec<(&'static str, &'static str, &'static str)>,
    /// Whose App it will be.
    pub owner: String,
}

struct Visit {
    wish: Wish,
    /// Where we are, as a browser says it.
    host: String,
    code: Mutex<Option<oneshot::Sender<String>>>,
}

/// Serves the page until GitHub's code came, or for at most `patience`. `None`: nobody came.
pub async fn await_code(listener: TcpListener, wish: Wish, patience: Duration) -> Option<String> {
    let host = listener.local_addr().ok()?.to_string();
    let (send, receive) = oneshot::channel();
    let visit = Arc::new(Visit {
        wish,
        host,
        code: Mutex::new(Some(send)),
    });
    let router = Router::new()
        .route("/{token}", get(page))
        .route("/{token}/done", get(back))
        .fallback(|| async { nothing() })
        .with_state(Arc::clone(&visit));
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let serving = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                () = stopped.cancelled() => break,
                taken = listener.accept() => match taken {
                    Ok((stream, from)) => {
                        let router = router.clone();
                        connections.spawn(talk(stream, from, router, Limits::default(), stopped.clone()));
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
            }
        }
        // What was asked last is answered.
        let ending = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(2), ending).await;
    });
    let code = tokio::time::timeout(patience, receive).await;
    stop.cancel();
    let _ = serving.await;
    code.ok()?.ok()
}

async fn page(
    State(visit): State<Arc<Visit>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    match is_admitted(&visit, &token, &headers) {
        true => html(StatusCode::OK, &visit.wish.action, &asking(&visit.wish)),
        false => nothing(),
    }
}

async fn back(
    State(visit): State<Arc<Visit>>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if !is_admitted(&visit, &token, &headers) {
        return nothing();
    }
    let query = query.unwrap_or_default();
    let value = |name: &str| {
        let mut parts = query.split('&').filter_map(|part| part.split_once('='));
        parts.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let (code, state) = (
        value("code").unwrap_or_default(),
        value("state").unwrap_or_default(),
    );
    if !same(state, &visit.wish.state) {
        return plain(
            StatusCode::FORBIDDEN,
            "this did not come from the page that the terminal named; nothing was done",
        );
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if code.is_empty() || code.len() > 200 || !code.bytes().all(fits) {
        return plain(StatusCode::BAD_REQUEST, "GitHub gave no code; try again");
    }
    let waiting = visit
        .code
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match waiting {
        Some(waiting) => {
            // Nobody waits any more only where the time is over.
            let _ = waiting.send(code.to_owned());
            let text = "<h1>Thank you</h1><p>The App is there. The terminal says what comes next; close this page.</p>";
            html(StatusCode::OK, "'none'", text)
        }
        None => plain(StatusCode::GONE, "this was done already"),
    }
}

/// Whether this is the visit that the terminal announced: its token, and our own address, since a page elsewhere can
/// have a name of its own point to this machine.
fn is_admitted(visit: &Visit, token: &str, headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    same(token, &visit.wish.token) && host == Some(visit.host.as_str())
}

fn nothing() -> Response {
    plain(StatusCode::NOT_FOUND, "there is nothing here")
}

/// Compares without telling by its time where two differ.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one
            .bytes()
            .zip(other.bytes())
            .fold(0, |all, (a, b)| all | (a ^ b))
            == 0
}

fn asking(wish: &Wish) -> String {
    let mut rows = String::new();
    for (name, access, why) in &wish.permissions {
        // Writing to a string cannot fail.
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>",
            escape(name),
            escape(access),
            escape(why)
        );
    }
    format!(
        "<h1>A GitHub App for Prentice</h1>\
         <p>The button leads to GitHub, which asks you for a name and makes an App of {}. It will be allowed this, and nothing else:</p>\
         <table><thead><tr><th scope=\"col\">Permission</th><th scope=\"col\">Access</th><th scope=\"col\">What for</th></tr></thead><tbody>{rows}</tbody></table>\
         <p>Never: workflows, administration, secrets.</p>\
         <form method=\"post\" action=\"{}?state={}\"><input type=\"hidden\" name=\"manifest\" value=\"{}\">\
         <button type=\"submit\">Go on to GitHub</button></form>",
        escape(&wish.owner),
        escape(&wish.action),
        escape(&wish.state),
        escape(&wish.manifest)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// A page whose form may go to `action` only.
fn html(status: StatusCode, action: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Prentice</title></head><body>{body}</body></html>\n"
    );
    let mut answer = (status, page).into_response();
    let origin: String = action.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let policy = format!(
        "default-src 'none'; form-action {origin}; frame-ancestors 'none'; base-uri 'none'"
    );
    let headers = answer.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    guard(headers);
    answer
}

fn plain(status: StatusCode, line: &str) -> Response {
    let mut answer = super::text(status, line);
    guard(answer.headers_mut());
    answer
}

/// The address holds the token of the visit, so no other site may learn it.
fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
