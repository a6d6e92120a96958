//! The receiver of deliveries, as a forge and as everybody else meets it: over a socket, with real signatures.

mod hostile;
mod killed;
mod pages;
mod read;
mod signed;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use prentice::domain::ident::Time;
use prentice::forge::hook::{Kind, Read, parse};
use prentice::store::{Clock, HookId, Store, StoredHook, Unwatched, open};
use prentice::web::{Door, Limits, LinkKey, Site, serve};
use secrecy::SecretString;
use sha2::Sha256;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SECRET: &str = "a secret of the tests, long enough";

struct Still;

impl Clock for Still {
    fn now(&self) -> Time {
        Time(1_795_184_405_000)
    }
}

/// Stands still until a test moves it.
struct Moved(Arc<AtomicI64>);

impl Clock for Moved {
    fn now(&self) -> Time {
        Time(Still.now().0 + self.0.load(Ordering::SeqCst))
    }
}

fn link_key() -> LinkKey {
    LinkKey::new(SecretString::from("0".repeat(64)))
}

/// A receiver on loopback with a store of its own.
struct Server {
    at: SocketAddr,
    store: Arc<dyn Store>,
    wake: Arc<Notify>,
    alive: Arc<AtomicBool>,
    /// Milliseconds by which its clock was moved.
    later: Arc<AtomicI64>,
    shutdown: CancellationToken,
    serving: JoinHandle<usize>,
    data: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Server {
    async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let folder = folder.unwrap();
        let mut server = Self::on(folder.path().join("data"), limits).await;
        server._folder = Some(folder);
        server
    }

    /// On a data folder that somebody else removes.
    async fn on(data: PathBuf, limits: Limits) -> Self {
        let store = open(&data, Arc::new(Still), Arc::new(Unwatched))
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (wake, alive) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
        let later = Arc::new(AtomicI64::new(0));
        let shutdown = CancellationToken::new();
        let door = |name: &str, kind, secret: Option<&str>| Door {
            name: name.to_owned(),
            kind,
            secret: secret.map(SecretString::from),
        };
        let living = Arc::clone(&alive);
        let site = Site {
            doors: vec![
                door("hub", Kind::GitHub, Some(SECRET)),
                door("our-gitea", Kind::Gitea, Some(SECRET)),
                door("polled", Kind::Gitea, None),
            ],
            store: Arc::clone(&store),
            wake: Arc::clone(&wake),
            alive: Arc::new(move || match living.load(Ordering::SeqCst) {
                true => Ok("ready".to_owned()),
                false => Err("the worker stands still".to_owned()),
            }),
            metrics: true,
            clock: Arc::new(Moved(Arc::clone(&later))),
            link_key: Some(link_key()),
            is_secure: true,
            limits,
        };
        let grace = Duration::from_secs(1);
        let serving = tokio::spawn(serve(listener, site, shutdown.clone(), grace));
        Self {
            at,
            store,
            wake,
            alive,
            later,
            shutdown,
            serving,
            data,
            _folder: None,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    /// Sends a request and reads the whole answer: its status and text.
    async fn send(&self, head: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        // Who is refused before the end of the body may find the connection closed.
        let _ = stream.write_all(body).await;
        answer(stream).await
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        self.send(&head, b"").await
    }

    /// A delivery of the forge `hub`, rightly signed.
    async fn deliver(&self, id: &str, event: &str, body: &[u8]) -> (u16, String) {
        self.send(&head("hub", id, event, body), body).await
    }

    async fn stored(&self) -> Vec<StoredHook> {
        self.store
            .next_hooks("hub", HookId(0), 100_000)
            .await
            .unwrap()
    }

    /// What reading says of the only delivery that is stored.
    async fn ignored(&self) -> String {
        let stored = self.stored().await;
        let [one] = stored.as_slice() else {
            panic!("{} are stored", stored.len())
        };
        match parse(Kind::GitHub, &one.hook.event, &one.hook.body) {
            Read::Ignored(why) => {
                let settled = self.store.settle_hook(one.id, Some(why.clone())).await;
                settled.unwrap();
                why
            }
            other => panic!("{other:?}"),
        }
    }

    async fn metric(&self, name: &str) -> u64 {
        let (_, page) = self.get("/metrics").await;
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }
}

/// Status and text of an answer; 0 where the connection ended without one.
async fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let status = text.get(9..12).map_or(0, |code| code.parse().unwrap());
    let line = text.split_once("\r\n\r\n").map_or("", |(_, line)| line);
    (status, line.trim_end().to_owned())
}

fn sign(body: &[u8]) -> String {
    sign_with(SECRET, body)
}

/// The digits of a signature.
pub(crate) fn sign_with(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let digits = mac.finalize().into_bytes();
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The head of a delivery that GitHub would send.
fn head(forge: &str, id: &str, event: &str, body: &[u8]) -> String {
    head_with(
        forge,
        &[
            ("x-github-delivery", id),
            ("x-github-event", event),
            ("x-hub-signature-256", &format!("sha256={}", sign(body))),
            ("content-length", &body.len().to_string()),
        ],
    )
}

fn head_with(forge: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("POST /hooks/{forge} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")
}

const LABELED: &str = r#"{"action":"labeled","issue":{"number":7,"title":"It crashes","body":"At once."},
    "label":{"name":"agent"},"repository":{"id":5,"full_name":"a/b"},"sender":{"login":"ann"}}"#;

#[tokio::test]
async fn a_signed_delivery_is_stored_as_it_came_then_answered_and_the_reader_woken() {
    let server = Server::start().await;
    let woken = server.wake.notified();
    let answered = server.deliver("d-1", "issues", LABELED.as_bytes()).await;
    assert_eq!(answered, (202, "stored".to_owned()));
    tokio::time::timeout(Duration::from_secs(1), woken)
        .await
        .expect("it is woken");
    let stored = server.stored().await;
    let [one] = stored.as_slice() else {
        panic!("{stored:?}")
    };
    assert_eq!(one.hook.body, LABELED.as_bytes());
    let words = [&one.hook.forge, &one.hook.delivery, &one.hook.event];
    assert_eq!(words, ["hub", "d-1", "issues"]);
    // Gitea signs with headers of its own.
    let signature = sign(LABELED.as_bytes());
    let length = LABELED.len().to_string();
    let gitea = head_with(
        "our-gitea",
        &[
            ("X-Gitea-Delivery", "d-1"),
            ("X-Gitea-Event", "issues"),
            ("X-Gitea-Event-Type", "issue_label"),
            ("X-Gitea-Signature", &signature),
            ("X-Hub-Signature-256", &format!("sha256={signature}")),
            ("X-GitHub-Event", "issues"),
            ("Content-Length", &length),
        ],
    );
    assert_eq!(server.send(&gitea, LABELED.as_bytes()).await.0, 202);
    let stored = server.store.next_hooks("our-gitea", HookId(0), 9).await;
    assert_eq!(stored.unwrap()[0].hook.event, "issue_label");
}

#[tokio::test]
async fn a_delivery_that_is_not_rightly_signed_leaves_nothing_behind() {
    let server = Server::start().await;
    let right = format!("sha256={}", sign(LABELED.as_bytes()));
    let of_another = format!("sha256={}", sign(b"another body"));
    let short = &right[..right.len() - 2];
    let mut told = String::new();
    for (what, signature) in [
        ("no header", None),
        ("empty", Some("")),
        ("only the name of the algorithm", Some("sha256=")),
        ("too short", Some(short)),
        ("no digits", Some(&*format!("sha256={}", "z".repeat(64)))),
        ("without the algorithm", Some(&right[7..])),
        (
            "another algorithm",
            Some("sha1=0123456789012345678901234567890123456789"),
        ),
        ("of another body", Some(&of_another)),
    ] {
        let length = LABELED.len().to_string();
        let mut headers = vec![
            ("x-github-delivery", "d-1"),
            ("x-github-event", "issues"),
            ("content-length", &*length),
        ];
        headers.extend(signature.map(|text| ("x-hub-signature-256", text)));
        let (status, line) = server
            .send(&head_with("hub", &headers), LABELED.as_bytes())
            .await;
        told += &format!("{what}: {status} {line}\n");
    }
    // Two signatures: none of them is chosen.
    let twice = head("hub", "d-1", "issues", LABELED.as_bytes()).replacen(
        "x-hub",
        &format!("x-hub-signature-256: {of_another}\r\nx-hub"),
        1,
    );
    let (status, line) = server.send(&twice, LABELED.as_bytes()).await;
    told += &format!("given twice: {status} {line}\n");
    // A Gitea that poses as the other forge, and the other way round.
    for (forge, name) in [("hub", "x-gitea"), ("our-gitea", "x-github")] {
        let length = LABELED.len().to_string();
        let (id, event) = (format!("{name}-delivery"), format!("{name}-event"));
        let signature = match forge {
            "hub" => ("x-gitea-signature", &right[7..]),
            _ => ("x-hub-signature-256", &*right),
        };
        let headers = [
            (&*id, "d-1"),
            (&*event, "issues"),
            signature,
            ("content-length", &*length),
        ];
        let (status, line) = server
            .send(&head_with(forge, &headers), LABELED.as_bytes())
            .await;
        told += &format!("{name} at {forge}: {status} {line}\n");
    }
    insta::assert_snapshot!(told, @"
    no header: 401 the delivery is not signed; set the same secret on the forge's webhook
    empty: 401 the delivery is not signed; set the same secret on the forge's webhook
    only the name of the algorithm: 401 the delivery is not signed; set the same secret on the forge's webhook
    too short: 401 the signature is malformed
    no digits: 401 the signature is malformed
    without the algorithm: 401 the signature is malformed
    another algorithm: 401 the signature is malformed
    of another body: 401 the signature is wrong; the secret here and on the forge differ
    given twice: 401 the delivery is not signed; set the same secret on the forge's webhook
    x-gitea at hub: 401 the delivery is not signed; set the same secret on the forge's webhook
    x-github at our-gitea: 400 the delivery names no id or no event
    ");
    assert_eq!(server.stored().await, []);
}

#[tokio::test]
async fn what_is_not_signed_by_its_headers_is_refused_before_a_byte_of_its_body_is_read() {
    let server = Server::start().await;
    let announced = [
        ("x-github-delivery", "d-1"),
        ("x-github-event", "issues"),
        ("content-length", "1000000"),
    ];
    for signature in ["", "sha256=", "sha256=12"] {
        let mut headers = announced.to_vec();
        headers.push(("x-hub-signature-256", signature));
        // The body is never sent: whoever waited for it would not answer.
        let head = head_with("hub", &headers);
        let asked = server.send(&head, b"");
        let answered = tokio::time::timeout(Duration::from_secs(5), asked).await;
        assert_eq!(answered.expect("it is answered at once").0, 401);
    }
    let rightly = format!("sha256={}", sign(b""));
    for (name, value) in [
        ("content-length", "26214401"),
        ("content-length", "99999999999999"),
        ("x-github-delivery", ""),
        ("x-github-delivery", "two words"),
        ("x-github-event", "ä"),
    ] {
        let headers = announced.map(|(known, was)| {
            if known == name {
                (known, value)
            } else {
                (known, was)
            }
        });
        let headers = [&headers[..], &[("x-hub-signature-256", &*rightly)]].concat();
        let head = head_with("hub", &headers);
        let asked = server.send(&head, b"");
        let answered = tokio::time::timeout(Duration::from_secs(5), asked).await;
        let wanted = if name == "content-length" { 413 } else { 400 };
        assert_eq!(
            answered.expect("it is answered at once").0,
            wanted,
            "{name}: {value}"
        );
    }
    let long = "d".repeat(101);
    assert_eq!(server.deliver(&long, "issues", b"{}").await.0, 400);
    assert_eq!(server.deliver(&long[1..], "issues", b"{}").await.0, 202);
}

#[tokio::test]
async fn unknown_forges_methods_and_pages_are_told_as_such() {
    let server = Server::start().await;
    let mut told = String::new();
    for forge in ["none", "polled", "hub/more", "HUB", "..%2fhub"] {
        let (status, line) = server
            .send(&head(forge, "d-1", "issues", b"{}"), b"{}")
            .await;
        told += &format!("{forge}: {status} {line}\n");
    }
    for path in ["/hooks/hub", "/", "/admin"] {
        let (status, line) = server.get(path).await;
        told += &format!("GET {path}: {status} {line}\n");
    }
    insta::assert_snapshot!(told, @"
    none: 404 no forge of this name is configured
    polled: 404 this forge takes no deliveries: no webhook secret is configured
    hub/more: 404 there is nothing here
    HUB: 404 no forge of this name is configured
    ..%2fhub: 404 no forge of this name is configured
    GET /hooks/hub: 405 
    GET /: 404 there is nothing here
    GET /admin: 404 there is nothing here
    ");
    assert_eq!(server.stored().await, []);
}

#[tokio::test]
async fn a_replayed_delivery_is_answered_and_not_taken_twice() {
    let server = Server::start().await;
    let body = LABELED.as_bytes();
    assert_eq!(server.deliver("d-1", "issues", body).await.0, 202);
    let again = server.deliver("d-1", "issues", body).await;
    assert_eq!(again, (200, "received before".to_owned()));
    // Neither id nor event is signed: whoever has seen one delivery can make these.
    for (id, event) in [("d-2", "issues"), ("d-3", "push"), ("d-4", "anything")] {
        let replayed = server.deliver(id, event, body).await;
        let told = "the same was received before under another id".to_owned();
        assert_eq!(replayed, (200, told));
    }
    let stored = server.stored().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(server.store.counts().await.unwrap().repeats, 3);
    // Read, it stays known.
    server.store.settle_hook(stored[0].id, None).await.unwrap();
    assert_eq!(server.deliver("d-1", "issues", body).await.0, 200);
    assert_eq!(server.stored().await, []);
}

#[tokio::test]
async fn signed_nonsense_is_stored_and_ignored_with_its_reason() {
    let server = Server::start().await;
    let nested = |open: &str, close: &str| {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        format!("{{\"action\":{open}{close}}}")
    };
    let truncated = &LABELED[..LABELED.len() / 2];
    let mut told = String::new();
    for (n, (what, event, body)) in [
        ("empty", "issues", &b""[..]),
        ("no JSON", "issues", b"<html>"),
        ("not UTF-8", "issues", b"{\"action\":\"\xff\xfe\"}"),
        ("truncated", "issues", truncated.as_bytes()),
        ("a list", "issues", b"[]"),
        ("nested lists", "issues", nested("[", "]").as_bytes()),
        ("nested tables", "issues", nested("{\"a\":", "}").replacen(":}", ":1}", 1).as_bytes()),
        ("a form", "issues", b"payload=%7B%7D"),
        ("other types", "issues", b"{\"action\":\"labeled\",\"issue\":{\"number\":\"7\"}}"),
        ("no repository", "issues", b"{\"action\":\"labeled\",\"issue\":{\"number\":7}}"),
        ("no issue", "issues", b"{\"action\":\"labeled\",\"repository\":{\"id\":5,\"full_name\":\"a/b\"}}"),
        ("issue 0", "issues", b"{\"action\":\"labeled\",\"issue\":{\"number\":0},\"repository\":{\"id\":5,\"full_name\":\"a/b\"}}"),
        ("unknown action", "issues", b"{\"action\":\"pinned\"}"),
        ("unknown event", "sponsorship", b"{}"),
        ("ping", "ping", b"{\"zen\":\"\"}"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(server.deliver(&format!("d-{n}"), event, body).await.0, 202, "{what}");
        told += &format!("{what}: {}\n", server.ignored().await);
    }
    insta::assert_snapshot!(told, @"
    empty: the body ends too early at line 1, column 0
    no JSON: the body is not JSON at line 1, column 1
    not UTF-8: the body is not JSON at line 1, column 12
    truncated: the body ends too early at line 2, column 6
    a list: the body is not shaped as this event is at line 1, column 2
    nested lists: the body is not shaped as this event is at line 1, column 10
    nested tables: the body is not shaped as this event is at line 1, column 10
    a form: the body is a form; set the webhook's content type to application/json
    other types: the body is not shaped as this event is at line 1, column 41
    no repository: `issues` names no repository
    no issue: `issues` names no issue
    issue 0: `issues` names no issue
    unknown action: `issues` with action `pinned` changes nothing for us
    unknown event: the event `sponsorship` means nothing to us
    ping: a ping: deliveries arrive here
    ");
}

#[tokio::test]
async fn what_cannot_be_stored_is_answered_503_and_taken_when_it_comes_again() {
    let server = Server::start().await;
    server.store.close().await;
    let (status, line) = server.deliver("d-1", "issues", b"{}").await;
    insta::assert_snapshot!(format!("{status} {line}"), @"503 the delivery cannot be stored now; send it again later");
    let head = head("hub", "d-1", "issues", b"{}");
    let mut stream = server.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"{}").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.contains("retry-after: 10\r\n"), "{text}");
    let again = Server::on(server.data.clone(), Limits::default()).await;
    assert_eq!(again.deliver("d-1", "issues", b"{}").await.0, 202);
}

#[tokio::test]
async fn health_is_told_by_store_and_worker() {
    let server = Server::start().await;
    let alive = |text: &str| (200, text.to_owned());
    assert_eq!(server.get("/healthz").await, alive("alive"));
    assert_eq!(server.get("/readyz").await, alive("ready"));
    server.alive.store(false, Ordering::SeqCst);
    let still = (503, "the worker stands still".to_owned());
    assert_eq!(server.get("/readyz").await, still);
    server.alive.store(true, Ordering::SeqCst);
    server.store.close().await;
    let closed = (503, "the store cannot be read".to_owned());
    assert_eq!(server.get("/readyz").await, closed);
    assert_eq!(server.get("/healthz").await, alive("alive"));
}

#[tokio::test]
async fn a_server_that_stores_nothing_is_not_ready() {
    let server = Server::with(Limits {
        store: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    assert_eq!(server.get("/readyz").await.0, 200);
    // Reading goes on where nothing can be written.
    let mut writing = SqliteConnectOptions::new()
        .filename(server.data.join("prentice.db"))
        .connect()
        .await
        .unwrap();
    let locked = sqlx::query("BEGIN IMMEDIATE").execute(&mut writing).await;
    locked.unwrap();
    assert_eq!(server.deliver("d-1", "issues", b"{}").await.0, 503);
    writing.close().await.unwrap();
    let full = (
        503,
        "a delivery could not be stored; the log says why".to_owned(),
    );
    assert_eq!(server.get("/readyz").await, full);
    assert_eq!(server.get("/healthz").await.0, 200);
    // Where nothing is sent to who is not ready, time alone can tell.
    server.later.store(59_999, Ordering::SeqCst);
    assert_eq!(server.get("/readyz").await, full);
    server.later.store(60_000, Ordering::SeqCst);
    assert_eq!(server.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn metrics_count_by_known_words_only() {
    let server = Server::start().await;
    server.deliver("d-1", "issues", b"{}").await;
    server.deliver("d-1", "issues", b"{}").await;
    server
        .deliver("d-2", "an_event_that_nobody_knows", b"{ }")
        .await;
    let body = b"{  }";
    let forged =
        head("hub", "d-3", "issues", b"other").replace("content-length: 5", "content-length: 4");
    server.send(&forged, body).await;
    server
        .send(&head("none", "d-4", "issues", body), body)
        .await;
    let (status, page) = server.get("/metrics").await;
    assert_eq!(status, 200);
    insta::assert_snapshot!(page, @r#"
    # HELP prentice_build_info Which build this is.
    # TYPE prentice_build_info gauge
    prentice_build_info{version="0.1.0"} 1
    # HELP prentice_webhook_deliveries_total Deliveries by event and what became of them.
    # TYPE prentice_webhook_deliveries_total counter
    prentice_webhook_deliveries_total{event="issues",result="stored"} 1
    prentice_webhook_deliveries_total{event="issues",result="duplicate"} 1
    prentice_webhook_deliveries_total{event="other",result="stored"} 1
    prentice_webhook_deliveries_total{event="unknown",result="wrong-signature"} 1
    prentice_webhook_deliveries_total{event="unknown",result="no-forge"} 1
    # HELP prentice_webhook_stored Stored deliveries by state; new ones wait to be read.
    # TYPE prentice_webhook_stored gauge
    prentice_webhook_stored{state="new"} 2
    # HELP prentice_tasks Tasks that are not over, by state.
    # TYPE prentice_tasks gauge
    # HELP prentice_jobs Jobs that are not done, by kind and state.
    # TYPE prentice_jobs gauge
    "#);
}

#[tokio::test]
async fn what_is_under_way_at_the_end_is_finished_and_the_rest_is_cut() {
    let server = Server::start().await;
    let body = LABELED.as_bytes();
    let head = head("hub", "d-1", "issues", body).replace("connection: close\r\n", "");
    // One has sent all but its last byte, one nothing at all, one will never go on.
    let mut under_way = server.connect().await;
    under_way.write_all(head.as_bytes()).await.unwrap();
    under_way.write_all(&body[..body.len() - 1]).await.unwrap();
    let idle = server.connect().await;
    let mut stuck = server.connect().await;
    stuck.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        TcpStream::connect(server.at).await.is_err(),
        "nobody is taken any more"
    );
    under_way.write_all(&body[body.len() - 1..]).await.unwrap();
    assert_eq!(answer(under_way).await.0, 202);
    assert_eq!(answer(idle).await.0, 0);
    let cut = tokio::time::timeout(Duration::from_secs(5), server.serving).await;
    assert_eq!(cut.expect("it ends within its grace").unwrap(), 1);
    assert_eq!(answer(stuck).await.0, 0);
    assert_eq!(
        server
            .store
            .next_hooks("hub", HookId(0), 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

/// Everything that is logged, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// One thread, so that the log of this test is that of its tasks.
#[tokio::test(flavor = "current_thread")]
async fn no_secret_signature_or_content_is_logged_or_answered() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let server = Server::start().await;
    let body = b"{\"password\":\"hunter2\"}";
    let mut answers = String::new();
    answers += &server.deliver("d-1", "issues", body).await.1;
    let wrong =
        head("hub", "d-2", "issues", b"other").replace("content-length: 5", "content-length: 22");
    answers += &server.send(&wrong, body).await.1;
    server.store.close().await;
    answers += &server.deliver("d-3", "issues", body).await.1;
    answers += &server.get("/metrics").await.1;
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("a delivery was refused"), "{log}");
    assert!(log.contains("cannot be stored"), "{log}");
    for told in [log, answers] {
        for secret in [SECRET, "hunter2", &sign(body), &sign(b"other")] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
}
