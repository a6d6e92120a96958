//! Takes deliveries: verified, made durable, then answered.
//!
//! The order is the defence. Headers are judged before a byte of the body is read, the signature before anything is
//! kept, and the answer says that it is kept only when it is. What a delivery means is read later, by others.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use secrecy::SecretString;

use super::body::{self, Held, Refused};
use super::metrics::Outcome;
use super::{Door, Shared, text};
use crate::forge::hook::{Claimed, Signed, Unsigned, claim, known_event};
use crate::store::{Hook, Received};

/// A body of at least this many bytes is verified on a thread of its own.
const LONG_BYTES: usize = 1 << 20;

/// Seconds after which one who was sent away may come again.
const RETRY_SECS: &str = "10";

/// `POST /hooks/{forge}`.
pub(super) async fn receive(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let Some(door) = shared.doors.get(&name) else {
        shared.metrics.count(None, Outcome::NoForge);
        return last(text(
            StatusCode::NOT_FOUND,
            "no forge of this name is configured",
        ));
    };
    let mut event = None;
    let (outcome, answer) = match take(&shared, door, request, &mut event).await {
        Ok((received, delivery)) => {
            shared.stored(true);
            let (outcome, status, line) = match received {
                Received::New(_) => (Outcome::Stored, StatusCode::ACCEPTED, "stored"),
                Received::Duplicate => (Outcome::Duplicate, StatusCode::OK, "received before"),
                Received::Repeated => (
                    Outcome::Repeated,
                    StatusCode::OK,
                    "the same was received before under another id",
                ),
            };
            tracing::debug!(forge = name, delivery, event, line, "a delivery");
            if outcome == Outcome::Stored {
                shared.wake.notify_one();
            }
            (outcome, text(status, line))
        }
        Err((outcome, status, line)) => {
            if outcome == Outcome::NotStored {
                shared.stored(false);
            }
            let times = shared.metrics.refused();
            // One in a thousand is enough to know; a flood must not fill the log.
            if times % 1000 == 1 {
                tracing::warn!(forge = name, why = line, times, "a delivery was refused");
            }
            (outcome, refused(status, &line))
        }
    };
    shared.metrics.count(event, outcome);
    answer
}

/// What was not taken: how it is counted, and what is answered.
type Not = (Outcome, StatusCode, String);

/// Takes one delivery; gives what became of it and its id. `event` is set when it is proven.
async fn take(
    shared: &Shared,
    door: &Door,
    request: Request,
    event: &mut Option<&'static str>,
) -> Result<(Received, String), Not> {
    let limits = &shared.limits;
    let secret = door.secret.as_ref().ok_or_else(|| {
        let line = "this forge takes no deliveries: no webhook secret is configured";
        (Outcome::NoForge, StatusCode::NOT_FOUND, line.to_owned())
    })?;
    let (head, body) = request.into_parts();
    let claimed = claim(door.kind, &|name| one(&head.headers, name)).map_err(unsigned)?;
    let announced = one(&head.headers, "content-length").and_then(|text| text.parse::<u64>().ok());
    let too_large = || {
        let line = format!("a delivery has at most {} bytes", limits.body_bytes);
        (Outcome::TooLarge, StatusCode::PAYLOAD_TOO_LARGE, line)
    };
    if announced.is_some_and(|bytes| bytes > limits.body_bytes as u64) {
        return Err(too_large());
    }
    let held = body::read(body, limits.body_bytes, limits.body, &shared.room).await;
    let held = held.map_err(|why| match why {
        Refused::TooLarge => too_large(),
        Refused::NoRoom => (
            Outcome::NoRoom,
            StatusCode::SERVICE_UNAVAILABLE,
            "too much is arriving at once; send it again later".to_owned(),
        ),
        Refused::TooSlow => (
            Outcome::Broken,
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time".to_owned(),
        ),
        Refused::Broken => (
            Outcome::Broken,
            StatusCode::BAD_REQUEST,
            "the body ended before its end".to_owned(),
        ),
    })?;
    let (signed, held) = prove(claimed, secret, held).await.map_err(unsigned)?;
    // Kept until the answer: what waits for the store takes room as well.
    let (whole, _room) = held.whole();
    *event = Some(known_event(door.kind, &signed.event).unwrap_or("other"));
    let hook = Hook {
        forge: door.name.clone(),
        delivery: signed.delivery.clone(),
        event: signed.event,
        body: whole,
    };
    let unavailable = || {
        let line = "the delivery cannot be stored now; send it again later";
        (
            Outcome::NotStored,
            StatusCode::SERVICE_UNAVAILABLE,
            line.to_owned(),
        )
    };
    match tokio::time::timeout(limits.store, shared.store.receive(hook)).await {
        Ok(Ok(received)) => Ok((received, signed.delivery)),
        Ok(Err(why)) => {
            tracing::error!(forge = door.name, %why, "a delivery cannot be stored");
            Err(unavailable())
        }
        // It may be stored yet: then it is a duplicate when it comes again.
        Err(_) => Err(unavailable()),
    }
}

fn unsigned(why: Unsigned) -> Not {
    let (outcome, status) = match why {
        Unsigned::Missing => (Outcome::Unsigned, StatusCode::UNAUTHORIZED),
        Unsigned::Malformed => (Outcome::Malformed, StatusCode::UNAUTHORIZED),
        Unsigned::Wrong => (Outcome::Wrong, StatusCode::UNAUTHORIZED),
        Unsigned::Headers => (Outcome::Malformed, StatusCode::BAD_REQUEST),
    };
    (outcome, status, why.to_string())
}

/// The signature, away from the threads that answer where that takes long.
async fn prove(
    claimed: Claimed,
    secret: &SecretString,
    held: Held,
) -> Result<(Signed, Held), Unsigned> {
    if held.bytes() < LONG_BYTES {
        let signed = claimed.prove(secret, held.pieces())?;
        return Ok((signed, held));
    }
    let secret = secret.clone();
    let proving = tokio::task::spawn_blocking(move || {
        let signed = claimed.prove(&secret, held.pieces())?;
        Ok((signed, held))
    });
    // It fails only where the program is ending.
    proving.await.unwrap_or(Err(Unsigned::Wrong))
}

/// The value of a header; what is no text counts as empty, and so does one that is given twice.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    match all.next() {
        None => Some(first.to_str().unwrap_or_default()),
        Some(_) => Some(""),
    }
}

/// An answer to one who is not to be read any further.
fn refused(status: StatusCode, line: &str) -> Response {
    let mut answer = text(status, line);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let later = HeaderValue::from_static(RETRY_SECS);
        answer.headers_mut().insert(header::RETRY_AFTER, later);
    }
    last(answer)
}

/// The last answer on its connection: what else is sent on it is not read.
fn last(mut answer: Response) -> Response {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}
