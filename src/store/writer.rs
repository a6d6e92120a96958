//! The one writer: requests that wait at the same time share one commit.
//!
//! A commit costs one `fsync`, whatever it holds. So the writer takes all requests that
//! are queued, runs each inside a savepoint of one `BEGIN IMMEDIATE`, commits, and only
//! then answers. A request that fails is undone alone; a commit that fails undoes all.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Steps, StoreError};

/// Most requests in one commit: bounds what one failure takes with it.
const MAX_BATCH: usize = 256;
/// Most requests that wait; more wait at the door.
const MAX_QUEUE: usize = 1024;

/// How soon a commit of another process is seen.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// What a request does with the connection.
pub(super) type Doing<'c, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    serving: Mutex<Option<JoinHandle<()>>>,
    commits: Arc<AtomicU64>,
}

struct Request {
    /// The use case, for [`Steps`].
    verb: &'static str,
    work: Box<dyn Work>,
}

/// A request without its types.
trait Work: Send {
    /// Runs it; whether its changes are to be kept.
    fn run<'c>(
        &'c mut self,
        connection: &'c mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>>;
    /// Answers: with its own result, or with `failed` when the commit failed.
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

struct Typed<T, E, F> {
    todo: Option<F>,
    result: Option<Result<T, E>>,
    back: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Work for Typed<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> Doing<'c, T, E> + Send,
{
    fn run<'c>(
        &'c mut self,
        connection: &'c mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>> {
        Box::pin(async move {
            let Some(todo) = self.todo.take() else {
                return false;
            };
            let result = todo(connection).await;
            let keep = result.is_ok();
            self.result = Some(result);
            keep
        })
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let result = match (self.result, failed) {
            (Some(Err(own)), _) => Err(own),
            (_, Some(failed)) => Err(failed.into()),
            (Some(done), None) => done,
            (None, None) => Err(StoreError::Closed.into()),
        };
        // A caller that went away has no use for the answer; the work is done all the same.
        let _ = self.back.send(result);
    }
}

impl Writer {
    /// Starts the writer on its own connection. `changed` is told after every commit that wrote something.
    pub(super) fn start(
        connection: SqliteConnection,
        steps: Arc<dyn Steps>,
        changed: watch::Sender<u64>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let serving = tokio::spawn(serve(
            connection,
            waiting,
            steps,
            changed,
            Arc::clone(&commits),
        ));
        Self {
            queue: Mutex::new(Some(queue)),
            serving: Mutex::new(Some(serving)),
            commits,
        }
    }

    /// Runs `todo` in a transaction and answers after the commit. A caller that goes away
    /// does not undo it.
    pub(super) async fn write<T, E, F>(&self, verb: &'static str, todo: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Doing<'c, T, E> + Send + 'static,
    {
        let queue = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(StoreError::Closed)?;
        let (back, answer) = oneshot::channel();
        let work = Box::new(Typed {
            todo: Some(todo),
            result: None,
            back,
        });
        queue
            .send(Request { verb, work })
            .await
            .map_err(|_| StoreError::Closed)?;
        drop(queue);
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Commits that wrote something, since the start.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Takes no more, finishes what waits, closes the connection.
    pub(super) async fn close(&self) {
        drop(
            self.queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let serving = self
            .serving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(serving) = serving {
            // It can only fail by a panic, which the panic hook has told.
            let _ = serving.await;
        }
    }
}

async fn serve(
    mut connection: SqliteConnection,
    mut waiting: mpsc::Receiver<Request>,
    steps: Arc<dyn Steps>,
    changed: watch::Sender<u64>,
    commits: Arc<AtomicU64>,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let outcome = transact(&mut connection, &mut batch, steps.as_ref()).await;
        if let Ok(true) = outcome {
            commits.fetch_add(1, Ordering::Relaxed);
        }
        let failed = outcome.as_ref().err();
        for request in batch.drain(..) {
            request.work.answer(failed.cloned());
        }
        if let Ok(true) = outcome {
            changed.send_modify(|generation| *generation += 1);
        }
    }
    // The last connection to close folds the log into the database; a failure leaves that to the next start.
    let _ = connection.close().await;
}

/// Runs the whole batch in one transaction; whether it wrote anything.
async fn transact(
    connection: &mut SqliteConnection,
    batch: &mut [Request],
    steps: &dyn Steps,
) -> Result<bool, StoreError> {
    run(connection, "begin immediate").await?;
    let done = run_all(connection, batch).await;
    let committed = match done {
        // Nothing written, nothing durable: no step.
        Ok(verbs) if verbs.is_empty() => run(connection, "commit").await.map(|()| false),
        Ok(verbs) => {
            let what = format!("commit {}", verbs.join("+"));
            steps.before(&what);
            let committed = run(connection, "commit").await;
            if committed.is_ok() {
                steps.after(&what);
            }
            committed.map(|()| true)
        }
        Err(lost) => Err(lost),
    };
    if committed.is_err() {
        // Already rolled back by the engine in some cases; then this says so and changes nothing.
        let _ = run(connection, "rollback").await;
    }
    committed
}

/// The verbs that wrote something. An error means that the engine gave up the whole transaction.
async fn run_all(
    connection: &mut SqliteConnection,
    batch: &mut [Request],
) -> Result<Vec<&'static str>, StoreError> {
    let mut verbs = Vec::new();
    let mut before = changes(connection).await?;
    // Alone, a request is undone with the whole transaction: a savepoint would only cost two more statements.
    if let [request] = batch {
        let keep = request.work.run(connection).await;
        if !keep {
            // It answers with its own error, not with this one.
            return Err(StoreError::Closed);
        }
        if changes(connection).await? != before {
            verbs.push(request.verb);
        }
        return Ok(verbs);
    }
    for request in batch {
        run(connection, "savepoint request").await?;
        let keep = request.work.run(connection).await;
        if !keep && run(connection, "rollback to request").await.is_err() {
            return Err(StoreError::Disk {
                what: "the database gave up a transaction".to_owned(),
            });
        }
        run(connection, "release request").await?;
        let after = changes(connection).await?;
        if keep && after != before {
            verbs.push(request.verb);
        }
        before = after;
    }
    Ok(verbs)
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}

async fn changes(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("select total_changes()")
        .fetch_one(connection)
        .await?)
}

/// Tells of commits of other processes. Its own connection sees each as a new data version.
pub(super) async fn watch_others(
    mut connection: SqliteConnection,
    changed: watch::Sender<u64>,
    closing: CancellationToken,
) {
    let mut last = None;
    loop {
        let seen: Result<i64, _> = sqlx::query_scalar("pragma data_version")
            .fetch_one(&mut connection)
            .await;
        if let Ok(seen) = seen
            && last.replace(seen).is_some_and(|last| last != seen)
        {
            changed.send_modify(|generation| *generation += 1);
        }
        tokio::select! {
            () = closing.cancelled() => break,
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
    }
    // Only reads; nothing is lost if it closes badly.
    let _ = connection.close().await;
}
