//! Reads a body that nobody vouches for yet: not too much, not too long, and not too many at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A body, and the room that it takes until it is dropped.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// More than one delivery may have.
    TooLarge,
    /// There is no room for it now.
    NoRoom,
    /// It did not come in time.
    TooSlow,
    /// It ended before its end.
    Broken,
}

/// First piece of memory for a body; real deliveries seldom need a second.
const FIRST_BYTES: usize = 32 << 10;

/// Reads `body`, of at most `most` bytes, within `time`. Room is taken as the bytes arrive, never on the strength of
/// what a header announces: who sends nothing takes nothing.
pub(super) async fn read(
    body: Body,
    most: usize,
    time: Duration,
    room: &Arc<Semaphore>,
) -> Result<Held, Refused> {
    tokio::time::timeout(time, collect(body, most, room))
        .await
        .unwrap_or(Err(Refused::TooSlow))
}

async fn collect(mut body: Body, most: usize, room: &Arc<Semaphore>) -> Result<Held, Refused> {
    // What is announced bounds what is made ready, and no more: nobody gets room for a promise.
    let announced = body.size_hint().exact();
    let whole = announced.and_then(|bytes| usize::try_from(bytes).ok());
    let end = whole.map_or(most, |whole| whole.min(most));
    let mut bytes: Vec<u8> = Vec::new();
    let mut taken: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(part) = frame.map_err(|_| Refused::Broken)?.into_data() else {
            continue;
        };
        let length = bytes.len() + part.len();
        if length > most {
            return Err(Refused::TooLarge);
        }
        if length > bytes.capacity() {
            // What is taken is what memory holds, and that doubles, so that a body is copied but a few times.
            let wanted = (bytes.capacity() * 2).max(FIRST_BYTES).min(end).max(length);
            let more = (wanted - bytes.capacity()).div_ceil(1024);
            let more = u32::try_from(more).map_err(|_| Refused::TooLarge)?;
            let permit = Arc::clone(room)
                .try_acquire_many_owned(more)
                .map_err(|_| Refused::NoRoom)?;
            match &mut taken {
                Some(taken) => taken.merge(permit),
                None => taken = Some(permit),
            }
            bytes.reserve_exact(wanted - bytes.len());
        }
        bytes.extend_from_slice(&part);
    }
    Ok(Held {
        bytes: bytes.into(),
        _room: taken,
    })
}
