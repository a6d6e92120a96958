//! Reads a body that nobody vouches for yet: not too much, not too long, and not too many at once.
//!
//! Pieces are allocated once and filled, never grown: a body that grew would for a moment be held twice, and small
//! parts kept as they came would cost more than they hold.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A body, and the room that it takes until it is dropped.
pub(super) struct Held {
    pieces: Vec<Vec<u8>>,
    _taken: Vec<OwnedSemaphorePermit>,
}

impl Held {
    /// All of it, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(Vec::as_slice)
    }

    pub(super) fn bytes(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// All of it in one, with the room that it takes. For bodies that somebody vouches for: those of several pieces
    /// are copied.
    pub(super) fn whole(mut self) -> (Bytes, Vec<OwnedSemaphorePermit>) {
        let whole = match self.pieces.as_mut_slice() {
            [one] => std::mem::take(one),
            several => several.concat(),
        };
        (whole.into(), self._taken)
    }
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

/// First piece of a body. Real deliveries seldom need a second.
const FIRST_BYTES: usize = 64 << 10;
/// Further pieces.
const NEXT_BYTES: usize = 256 << 10;

/// Room for all bodies that are under way, in KiB. A part of it takes only first pieces, so that those who send much
/// do not shut out those who send little.
pub(super) struct Room {
    first: Arc<Semaphore>,
    rest: Arc<Semaphore>,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        let kib = bytes / 1024;
        Self {
            first: Arc::new(Semaphore::new(kib / 8)),
            rest: Arc::new(Semaphore::new(kib - kib / 8)),
        }
    }

    /// Room for a piece of so many bytes.
    fn take(&self, bytes: usize, is_first: bool) -> Result<OwnedSemaphorePermit, Refused> {
        let kib = u32::try_from(bytes.div_ceil(1024)).map_err(|_| Refused::NoRoom)?;
        let of = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_many_owned(kib);
        match of(&self.first) {
            Ok(permit) if is_first => Ok(permit),
            _ => of(&self.rest).map_err(|_| Refused::NoRoom),
        }
    }
}

/// Reads `body`, of at most `most` bytes, within `time`. Room is taken as the bytes arrive, never on the strength of
/// what a header announces: who sends nothing takes nothing.
pub(super) async fn read(
    body: Body,
    most: usize,
    time: Duration,
    room: &Room,
) -> Result<Held, Refused> {
    tokio::time::timeout(time, collect(body, most, room))
        .await
        .unwrap_or(Err(Refused::TooSlow))
}

async fn collect(mut body: Body, most: usize, room: &Room) -> Result<Held, Refused> {
    // What is announced only makes pieces smaller.
    let announced = body.size_hint().exact();
    let mut left = announced
        .and_then(|bytes| usize::try_from(bytes).ok())
        .map_or(most, |bytes| bytes.min(most));
    let (mut pieces, mut taken, mut length) = (Vec::new(), Vec::new(), 0);
    let mut piece = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(part) = frame.map_err(|_| Refused::Broken)?.into_data() else {
            continue;
        };
        length += part.len();
        if length > most {
            return Err(Refused::TooLarge);
        }
        let mut part = &part[..];
        while !part.is_empty() {
            if piece.len() == piece.capacity() {
                let is_first = taken.is_empty();
                let usual = if is_first { FIRST_BYTES } else { NEXT_BYTES };
                let bytes = usual.min(left).max(1);
                taken.push(room.take(bytes, is_first)?);
                pieces.push(std::mem::replace(&mut piece, Vec::with_capacity(bytes)));
                left = left.saturating_sub(bytes);
            }
            let fits = part.len().min(piece.capacity() - piece.len());
            let (now, later) = part.split_at(fits);
            piece.extend_from_slice(now);
            part = later;
        }
    }
    pieces.push(piece);
    pieces.retain(|piece| !piece.is_empty());
    Ok(Held {
        pieces,
        _taken: taken,
    })
}
