//! What a server answers over HTTP: deliveries of forges, health, metrics, the page of a task.
//!
//! [`serve`] owns the connections, [`hook`] the deliveries, [`pages`] what people read. Absences: nothing here decides, reads a delivery's
//! content, or speaks to a forge; no answer, log or metric holds a secret or a part of a body; and nothing grows with
//! the number of those who talk to us: connections, bytes and time each have an end.

mod body;
mod hook;
mod link;
mod manifest;
mod metrics;
mod pages;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::body::Room;
pub use self::link::LinkKey;
pub use self::manifest::{Wish, await_code};
use self::metrics::Metrics;
use crate::forge::hook::Kind;
use crate::store::{Clock, Store};

/// A forge whose deliveries are taken.
#[derive(Clone, Debug)]
pub struct Door {
    /// What it is called in the address: `/hooks/{name}`.
    pub name: String,
    /// Which program it is. Never taken from what it sends.
    pub kind: Kind,
    /// What it signs with; `None` takes no deliveries at all.
    pub secret: Option<SecretString>,
}

/// Says whether the work goes on; the reason where it does not.
pub type Alive = dyn Fn() -> Result<String, String> + Send + Sync;

/// What is served.
pub struct Site {
    /// One for each forge.
    pub doors: Vec<Door>,
    /// Where deliveries are kept.
    pub store: Arc<dyn Store>,
    /// Told after each delivery that is new.
    pub wake: Arc<Notify>,
    /// Asked for `/readyz`.
    pub alive: Arc<Alive>,
    /// Whether `/metrics` is there.
    pub metrics: bool,
    /// What time it is, for links that end.
    pub clock: Arc<dyn Clock>,
    /// Opens pages of tasks; `None` = nothing does.
    pub link_key: Option<LinkKey>,
    /// Whether people come by TLS.
    pub is_secure: bool,
    /// Ends of everything.
    pub limits: Limits,
}

/// Ends of everything that others could draw out.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one delivery. Forges send at most 25 MB.
    pub body_bytes: usize,
    /// Bytes of all deliveries that are not yet answered.
    pub unanswered_bytes: usize,
    /// Connections at the same time; more wait to be taken.
    pub connections: usize,
    /// Time for the head of a request, and of silence between two.
    pub head: Duration,
    /// Time for a body.
    pub body: Duration,
    /// Time for the store to take a delivery; a forge waits 10 s for its answer.
    pub store: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 25 << 20,
            unanswered_bytes: 64 << 20,
            connections: 1024,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            store: Duration::from_secs(8),
        }
    }
}

/// Most bytes that a connection buffers of what it reads.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// What the routes share.
struct Shared {
    doors: BTreeMap<String, Door>,
    store: Arc<dyn Store>,
    wake: Arc<Notify>,
    alive: Arc<Alive>,
    clock: Arc<dyn Clock>,
    link_key: Option<LinkKey>,
    is_secure: bool,
    limits: Limits,
    /// [`Limits::unanswered_bytes`].
    room: Room,
    metrics: Metrics,
    /// When a delivery could not be stored; [`NEVER`] since one was.
    not_stored_at: AtomicI64,
}

/// No time.
const NEVER: i64 = i64::MIN;

/// How long a delivery that could not be stored speaks against us. Who gets no deliveries while he is not ready learns
/// by no further one that there is room again.
const NOT_STORED_MS: i64 = 60_000;

impl Shared {
    /// A delivery was stored, or could not be.
    fn stored(&self, is_stored: bool) {
        let at = if is_stored { NEVER } else { self.clock.now().0 };
        self.not_stored_at.store(at, Ordering::Relaxed);
    }

    /// Whether what comes is stored, as far as is known.
    fn stores(&self) -> bool {
        let at = self.not_stored_at.load(Ordering::Relaxed);
        at == NEVER || self.clock.now().0.saturating_sub(at) >= NOT_STORED_MS
    }
}

/// Answers on `listener` until `shutdown`, then lets what is under way go on for at most `grace`. Gives how many
/// connections had to be cut.
pub async fn serve(
    listener: TcpListener,
    site: Site,
    shutdown: CancellationToken,
    grace: Duration,
) -> usize {
    let limits = site.limits;
    let router = router(site);
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The place first: who finds none waits in the system's queue.
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            next = next => next,
        };
        match accepted {
            Ok((stream, from)) => {
                let talk = talk(stream, from, router.clone(), limits, shutdown.clone());
                connections.spawn(async move {
                    talk.await;
                    drop(place);
                });
            }
            Err(why) => {
                // Out of descriptors, most likely: those in use come back.
                tracing::warn!(%why, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let ending = async { while connections.join_next().await.is_some() {} };
    // Either all ended, or those left over are counted and cut.
    let _ = tokio::time::timeout(grace, ending).await;
    let cut = connections.len();
    connections.shutdown().await;
    cut
}

/// One connection, to its end.
async fn talk(
    stream: TcpStream,
    from: SocketAddr,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    // An answer is one small packet; a failure only makes it late.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(READ_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = ended {
        tracing::debug!(%from, %why, "a connection ended badly");
    }
}

/// Every route.
fn router(site: Site) -> Router {
    let with_metrics = site.metrics;
    let shared = Arc::new(Shared {
        doors: site
            .doors
            .into_iter()
            .map(|door| (door.name.clone(), door))
            .collect(),
        store: site.store,
        wake: site.wake,
        alive: site.alive,
        clock: site.clock,
        link_key: site.link_key,
        is_secure: site.is_secure,
        limits: site.limits,
        room: Room::new(site.limits.unanswered_bytes),
        metrics: Metrics::default(),
        not_stored_at: AtomicI64::new(NEVER),
    });
    let mut router = Router::new()
        .route("/hooks/{forge}", post(hook::receive))
        .route("/healthz", get(|| async { text(StatusCode::OK, "alive") }))
        .route("/readyz", get(ready))
        .route("/tasks/style.css", get(pages::style))
        .route("/tasks/{id}", get(pages::task))
        .route("/tasks/{id}/logs/{digest}", get(pages::log));
    if with_metrics {
        router = router.route("/metrics", get(metrics::show));
    }
    router
        .fallback(|| async { text(StatusCode::NOT_FOUND, "there is nothing here") })
        .with_state(shared)
}

/// The store answers and takes what comes, and the work goes on.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let asked = tokio::time::timeout(Duration::from_secs(2), shared.store.pending());
    let found = match asked.await {
        Err(_) => Err("the store does not answer".to_owned()),
        Ok(Err(why)) => {
            tracing::warn!(%why, "not ready");
            Err("the store cannot be read".to_owned())
        }
        Ok(Ok(_)) if !shared.stores() => {
            Err("a delivery could not be stored; the log says why".to_owned())
        }
        Ok(Ok(_)) => (shared.alive)(),
    };
    match found {
        Ok(line) => text(StatusCode::OK, &line),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

/// An answer in one line of plain text.
fn text(status: StatusCode, line: &str) -> Response {
    let mut answer = (status, format!("{line}\n")).into_response();
    let headers = answer.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
