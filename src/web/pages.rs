//! The page of a task, read-only, for whoever was given a link to it.
//!
//! A link's pass becomes a cookie for that page alone, so that no address that is passed on holds it. Without one every
//! task looks the same, those that do not exist too. Nothing here changes anything.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::{Shared, text};
use crate::domain::evidence::Seen;
use crate::domain::ident::{Digest, TaskId, Time};
use crate::domain::report::{self, Voice};
use crate::domain::task::Task;
use crate::store::StoreError;

/// Name of the cookie that holds a pass.
const COOKIE: &str = "prentice";

/// Nothing but our own style sheet is loaded, and nobody frames a page.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "task.html", config = "src/web/pages/askama.toml")]
struct Page {
    id: TaskId,
    word: &'static str,
    title: String,
    source: String,
    requester: String,
    /// Its status comment, as text.
    now: String,
    journal: Vec<(String, String)>,
    digest: String,
    brief: String,
    checks: Vec<Check>,
    files: Vec<File>,
    shown_at: String,
}

struct Check {
    name: String,
    command: String,
    required: &'static str,
    runs: Vec<Run>,
}

struct Run {
    side: &'static str,
    exit: String,
    time: String,
    log: String,
}

struct File {
    kind: &'static str,
    bytes: u64,
    digest: Digest,
}

#[derive(Template)]
#[template(path = "login.html", config = "src/web/pages/askama.toml")]
struct Login<'a> {
    task: &'a str,
}

/// `GET /tasks/{id}`.
pub(super) async fn task(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let now = shared.clock.now();
    // A pass holds nothing that an address would write otherwise.
    let pairs = query.iter().flat_map(|query| query.split('&'));
    if let Some(pass) = pairs.filter_map(|pair| pair.strip_prefix("key=")).next() {
        return match opened(&shared, &id, pass, now) {
            Some((task, until)) => enter(&shared, task, pass, until.millis_since(now) / 1000),
            None => locked(&id),
        };
    }
    let Some(task) = entered(&shared, &id, &headers, now) else {
        return locked(&id);
    };
    match page(&shared, task, now).await {
        Ok(Some(page)) => html(StatusCode::OK, page.render()),
        Ok(None) => locked(&id),
        Err(why) => unreadable(&why),
    }
}

/// `GET /tasks/{id}/logs/{digest}`: all that is stored of a log, a transcript or a patch.
pub(super) async fn log(
    State(shared): State<Arc<Shared>>,
    Path((id, digest)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some(task) = entered(&shared, &id, &headers, shared.clock.now()) else {
        return locked(&id);
    };
    let found = async {
        let own = shared.store.artifacts(task).await?;
        match own.iter().find(|own| own.sha256.as_str() == digest) {
            Some(own) => shared.store.artifact(&own.sha256).await,
            None => Ok(None),
        }
    };
    match found.await {
        Ok(Some(bytes)) => {
            let mut answer = text(StatusCode::OK, "");
            *answer.body_mut() = bytes.into();
            answer
        }
        Ok(None) => text(
            StatusCode::NOT_FOUND,
            "this task has no such log (any more)",
        ),
        Err(why) => unreadable(&why),
    }
}

/// `GET /tasks/style.css`.
pub(super) async fn style() -> Response {
    let mut answer = include_str!("pages/style.css").into_response();
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// The task of an address, where the pass opens it.
fn opened(shared: &Shared, id: &str, pass: &str, now: Time) -> Option<(TaskId, Time)> {
    let task: TaskId = id.parse().ok()?;
    let until = shared.link_key.as_ref()?.opens(task, pass, now)?;
    Some((task, until))
}

/// The same by its cookie.
fn entered(shared: &Shared, id: &str, headers: &HeaderMap, now: Time) -> Option<TaskId> {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    let texts = cookies.filter_map(|cookie| cookie.to_str().ok());
    let mut passes = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|one| one.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE);
    passes.find_map(|(_, pass)| Some(opened(shared, id, pass, now)?.0))
}

/// Takes the pass out of the address.
fn enter(shared: &Shared, task: TaskId, pass: &str, secs: u64) -> Response {
    let secure = if shared.is_secure { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE}={pass}; Path=/tasks/{task}; Max-Age={secs}; HttpOnly; SameSite=Lax{secure}"
    );
    let mut answer = text(StatusCode::SEE_OTHER, "this way");
    let place = HeaderValue::try_from(format!("/tasks/{task}"));
    if let (Ok(cookie), Ok(place)) = (HeaderValue::try_from(cookie), place) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
        answer.headers_mut().insert(header::LOCATION, place);
    }
    let referrer = HeaderValue::from_static("no-referrer");
    answer
        .headers_mut()
        .insert(header::REFERRER_POLICY, referrer);
    answer
}

/// What everybody else is shown, whether the task exists or not.
fn locked(id: &str) -> Response {
    // What is no task is not repeated.
    let task: Option<TaskId> = id.parse().ok();
    let task = task.map_or("T-1".to_owned(), |task| task.to_string());
    html(StatusCode::UNAUTHORIZED, Login { task: &task }.render())
}

fn unreadable(why: &StoreError) -> Response {
    tracing::error!(%why, "a page could not be read");
    text(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read")
}

fn html(status: StatusCode, rendered: Result<String, askama::Error>) -> Response {
    let body = match rendered {
        Ok(body) => body,
        Err(why) => {
            tracing::error!(%why, "a page could not be made");
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the page could not be made",
            );
        }
    };
    let mut answer = text(status, "");
    *answer.body_mut() = body.into();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}

async fn page(shared: &Shared, id: TaskId, now: Time) -> Result<Option<Page>, StoreError> {
    let Some(record) = shared.store.load(id).await? else {
        return Ok(None);
    };
    let journal = shared.store.journal(id).await?;
    let files = shared.store.artifacts(id).await?;
    let task = record.task;
    let voice = match task.issue.repository_id {
        Some(_) => Voice::forge(task.settings.trigger.prefix.clone()),
        None => Voice::local(),
    };
    Ok(Some(Page {
        id,
        word: task.word(),
        title: task.brief.title.clone(),
        source: task.issue.source.clone(),
        requester: task.requester.clone(),
        now: report::status(&task, now, &voice),
        journal: journal
            .into_iter()
            .map(|line| (line.at.rfc3339(), line.note))
            .collect(),
        digest: task.brief.digest.as_str().to_owned(),
        brief: task.brief.text.clone(),
        checks: checks(&task),
        files: files
            .into_iter()
            .map(|file| File {
                kind: file.kind.word(),
                bytes: file.bytes,
                digest: file.sha256,
            })
            .collect(),
        shown_at: now.rfc3339(),
    }))
}

fn checks(task: &Task) -> Vec<Check> {
    let evidence = task.revision.iter().flat_map(|of| &of.result.evidence);
    let run = |side, seen: &Seen| Run {
        side,
        exit: report::exit_words(&seen.exit),
        time: format!(
            "{}.{:03} s",
            seen.duration_ms / 1000,
            seen.duration_ms % 1000
        ),
        log: seen.log.sha256.as_str().to_owned(),
    };
    let all = evidence.map(|check| Check {
        name: check.name.clone(),
        command: check.command.clone(),
        required: if check.required {
            "required"
        } else {
            "not required"
        },
        runs: check
            .base
            .iter()
            .map(|seen| run("base", seen))
            .chain(check.head.iter().map(|seen| run("result", seen)))
            .collect(),
    });
    all.collect()
}
