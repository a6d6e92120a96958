//! Deliveries of forges: stored as they came, many in one go.
//!
//! A forge that sends thousands a second is answered as fast as the disk syncs: what arrives while a commit is under
//! way is gathered, and goes into the next one as a few statements. Who waits is answered after that commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sqlx::sqlite::SqlitePool;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use tokio::sync::oneshot;

use super::artifacts::blocking;
use super::writer::Writer;
use super::{HookId, MAX_BODY_BYTES, StoreError, rows, sql};
use crate::domain::ident::{Digest, Time};

/// A delivery whose signature was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Name of the forge in the server file.
    pub forge: String,
    /// The forge's id of the delivery.
    pub delivery: String,
    /// The name of the event.
    pub event: String,
    /// As it came.
    pub body: Bytes,
}

/// What became of a delivery that is now durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is to be read.
    New(HookId),
    /// This id was received before.
    Duplicate,
    /// This body was received before under another id. It is counted.
    Repeated,
}

/// A delivery that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHook {
    /// Its row.
    pub id: HookId,
    /// What came.
    pub hook: Hook,
    /// When it came.
    pub at: Time,
}

/// A body of at least this many bytes is hashed on a thread of its own.
const LONG_BYTES: usize = 1 << 20;

/// Most bytes of bodies that are given out at once; one delivery always is.
const READ_BYTES: i64 = 32 << 20;

/// Most rows of one statement: few enough that all the statements there can be stay prepared.
const ROWS: usize = 32;

/// Deliveries that wait for the next commit.
#[derive(Clone, Default)]
pub(super) struct Gathered(Arc<Mutex<Vec<Waiting>>>);

struct Waiting {
    hook: Hook,
    sha256: Digest,
    at: Time,
    back: oneshot::Sender<Result<Received, StoreError>>,
}

impl Gathered {
    /// Stores a delivery; answers when it is durable. A caller that goes away does not undo it.
    pub(super) async fn receive(
        &self,
        writer: &Arc<Writer>,
        hook: Hook,
        at: Time,
    ) -> Result<Received, StoreError> {
        let (bytes, limit) = (hook.body.len(), MAX_BODY_BYTES);
        if bytes > limit {
            return Err(StoreError::TooLarge { bytes, limit });
        }
        let body = hook.body.clone();
        let sha256 = match bytes {
            // Quicker than asking another thread.
            ..LONG_BYTES => Digest::of(&body),
            _ => blocking(move || Ok(Digest::of(&body))).await?,
        };
        let (back, answer) = oneshot::channel();
        let waiting = Waiting {
            hook,
            sha256,
            at,
            back,
        };
        let is_first = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(waiting);
            all.len() == 1
        };
        if is_first {
            // On its own: whoever came first may go away, those behind him still wait.
            tokio::spawn(self.clone().write(Arc::clone(writer)));
        }
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Writes everything that is gathered by the time the writer gets to it.
    async fn write(self, writer: Arc<Writer>) {
        let taken = Self::default();
        let (gathered, under_way) = (self.clone(), taken.clone());
        let written = writer
            .write("receive", move |c| {
                Box::pin(async move {
                    let batch = gathered.take();
                    let received = insert_all(c, &batch).await;
                    *under_way.0.lock().unwrap_or_else(PoisonError::into_inner) = batch;
                    received
                })
            })
            .await;
        match written {
            Ok(received) => {
                for (waiting, received) in taken.take().into_iter().zip(received) {
                    // Who went away has no use for the answer; it is stored all the same.
                    let _ = waiting.back.send(Ok(received));
                }
            }
            Err(why) => {
                // A closed writer took none: those that still wait are answered too.
                let closed = why == StoreError::Closed;
                let rest = if closed { self.take() } else { Vec::new() };
                for waiting in taken.take().into_iter().chain(rest) {
                    let _ = waiting.back.send(Err(why.clone()));
                }
            }
        }
    }

    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What became of each of `batch`, in its order.
async fn insert_all(
    c: &mut SqliteConnection,
    batch: &[Waiting],
) -> Result<Vec<Received>, StoreError> {
    let mut received = Vec::with_capacity(batch.len());
    for rows in batch.chunks(ROWS) {
        let mut fresh = insert(c, rows).await?;
        for waiting in rows {
            let hook = &waiting.hook;
            // Of two that say the same in one statement, the first is the one that was written.
            received.push(match fresh.remove(&(&*hook.forge, &*hook.delivery)) {
                Some(id) => Received::New(id),
                None => known(c, waiting).await?,
            });
        }
    }
    Ok(received)
}

/// Inserts those that are new; gives their rows.
async fn insert<'b>(
    c: &mut SqliteConnection,
    rows: &'b [Waiting],
) -> Result<HashMap<(&'b str, &'b str), HookId>, StoreError> {
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(sql::RECEIVE);
    query.push_values(rows, |mut row, waiting| {
        let hook = &waiting.hook;
        row.push_bind(&hook.forge)
            .push_bind(&hook.delivery)
            .push_bind(&hook.event)
            .push_bind(&hook.body[..])
            .push_bind(waiting.sha256.as_str())
            .push_bind(waiting.at.0)
            .push("'new'");
    });
    query.push(sql::RECEIVED);
    let fresh: Vec<(i64, String, String)> = query.build_query_as().fetch_all(c).await?;
    let mut ids: HashMap<(String, String), HookId> = fresh
        .into_iter()
        .map(|(id, forge, delivery)| ((forge, delivery), HookId(id)))
        .collect();
    let found = rows.iter().filter_map(|waiting| {
        let hook = &waiting.hook;
        let id = ids.remove(&(hook.forge.clone(), hook.delivery.clone()))?;
        Some(((&*hook.forge, &*hook.delivery), id))
    });
    Ok(found.collect())
}

/// What a delivery is that was not inserted.
async fn known(c: &mut SqliteConnection, waiting: &Waiting) -> Result<Received, StoreError> {
    let hook = &waiting.hook;
    let same_id: i64 = sqlx::query_scalar(sql::HOOK_KNOWN)
        .bind(&hook.forge)
        .bind(&hook.delivery)
        .fetch_one(&mut *c)
        .await?;
    if same_id > 0 {
        return Ok(Received::Duplicate);
    }
    sqlx::query(sql::HOOK_REPEATED)
        .bind(&hook.forge)
        .bind(waiting.sha256.as_str())
        .execute(c)
        .await?;
    Ok(Received::Repeated)
}

/// The oldest deliveries that are not settled, at most `limit` and [`READ_BYTES`], but at least one.
pub(super) async fn next(
    readers: &SqlitePool,
    forge: &str,
    after: HookId,
    limit: u32,
) -> Result<Vec<StoredHook>, StoreError> {
    let sizes: Vec<(i64, i64)> = sqlx::query_as(sql::UNREAD)
        .bind(forge)
        .bind(after.0)
        .bind(i64::from(limit))
        .fetch_all(readers)
        .await?;
    let (mut last, mut bytes) = (None, 0);
    for (id, size) in sizes {
        bytes += size;
        if last.is_some() && bytes > READ_BYTES {
            break;
        }
        last = Some(id);
    }
    let found = sqlx::query_as(sql::HOOKS)
        .bind(forge)
        .bind(after.0)
        .bind(last.unwrap_or(0))
        .fetch_all(readers)
        .await?;
    Ok(found.into_iter().map(rows::hook).collect())
}

/// When the newest delivery of a forge arrived.
pub(super) async fn last(readers: &SqlitePool, forge: &str) -> Result<Option<Time>, StoreError> {
    let (at,): (Option<i64>,) = sqlx::query_as(sql::LAST_HOOK)
        .bind(forge)
        .fetch_one(readers)
        .await?;
    Ok(at.map(Time))
}

/// Settles deliveries: read, or ignored with the reason. Gives how many of them were not settled before.
pub(super) async fn settle(
    writer: &Writer,
    hooks: Vec<(HookId, Option<String>)>,
    now: Time,
) -> Result<u64, StoreError> {
    if hooks.is_empty() {
        return Ok(0);
    }
    writer
        .write("settle-hook", move |c| {
            Box::pin(async move {
                let mut settled = 0;
                for (id, reason) in hooks {
                    let done = sqlx::query(sql::SETTLE_HOOK)
                        .bind(id.0)
                        .bind(now.0)
                        .bind(reason)
                        .execute(&mut *c)
                        .await?;
                    settled += done.rows_affected();
                }
                Ok(settled)
            })
        })
        .await
}
