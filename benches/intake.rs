//! The intake table: deliveries verified and made durable, against peers that store nothing, in one run.
//!
//! Each subject is a process of its own on loopback, given the same deliveries by the same generator: the published
//! example of a labelled issue, each with a number of its own and rightly signed, over connections that are kept.
//! First as much as it takes, the next delivery of a connection following the answer to the last; then the same load
//! for all of them, in even steps, where a delivery that has to wait for the one before it counts from when it was due.
//! Subjects take turns within a round, in reversed order every other round; told are medians, and nothing here fails
//! for being slow. What is acknowledged is counted in the store afterwards: a delivery that is missing there is told
//! and ends the run as failed.
//!
//! Subjects: this program's receiver; the same store with one commit for each delivery; a bare axum handler that
//! verifies and parses; Probot, where `tests/probot.sh` has fetched it. The store lies in the tests' cache, on a
//! disk, or where `$PRENTICE_BENCH_SCRATCH` says.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is what this program is for"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit as _, Mac as _};
use prentice::domain::ident::Time;
use prentice::forge::hook::{Kind, Signed, verify};
use prentice::store::{Clock, Hook, Store, Unwatched, open};
use prentice::web::{Door, Limits, Site, serve};
use secrecy::SecretString;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type Res<T> = Result<T, Box<dyn Error>>;

const SECRET: &str = "a secret of the benchmark, long enough";
const CONNECTIONS: u32 = 16;
const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(5);
/// Deliveries a second, where all subjects are given the same.
const OFFERED: u32 = 1_000;

/// Says which subject this process is.
const SUBJECT: &str = "PRENTICE_BENCH_SUBJECT";
/// Its data folder.
const DATA: &str = "PRENTICE_BENCH_DATA";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Ours,
    Each,
    Bare,
    Probot,
}

impl Subject {
    const ALL: [Self; 4] = [Self::Ours, Self::Each, Self::Bare, Self::Probot];

    const fn words(self) -> &'static str {
        match self {
            Self::Ours => "prentice: verified, durable",
            Self::Each => "the same, a commit for each",
            Self::Bare => "bare axum: verified, parsed",
            Self::Probot => "Probot 14: verified, parsed",
        }
    }

    const fn is_stored(self) -> bool {
        matches!(self, Self::Ours | Self::Each)
    }
}

fn main() -> Res<()> {
    if let Ok(subject) = std::env::var(SUBJECT) {
        let data = PathBuf::from(std::env::var(DATA)?);
        return Runtime::new()?.block_on(be(&subject, &data));
    }
    let cache = cache()?;
    let on =
        std::env::var_os("PRENTICE_BENCH_SCRATCH").map_or_else(|| cache.clone(), PathBuf::from);
    std::fs::create_dir_all(&on)?;
    let delivery = Delivery::read(&cache);
    let probot = cache.join("probot");
    let subjects: Vec<Subject> = Subject::ALL
        .into_iter()
        .filter(|subject| *subject != Subject::Probot || probot.join("stamp").is_file())
        .collect();
    if subjects.len() < Subject::ALL.len() {
        eprintln!("skipped probot: it is not fetched; tests/probot.sh does");
    }
    // One thread, so that it takes no more than one of two processors from whom it measures.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut figures: BTreeMap<Subject, Vec<Figures>> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut order = subjects.clone();
        if round % 2 == 1 {
            order.reverse();
        }
        for subject in order {
            let folder = tempfile::Builder::new().prefix("intake-").tempdir_in(&on)?;
            let measured = measure(&runtime, subject, folder.path(), &probot, &delivery)?;
            figures.entry(subject).or_default().push(measured);
        }
    }
    print(&delivery, &figures);
    Ok(())
}

fn cache() -> Res<PathBuf> {
    let named = std::env::var_os("PRENTICE_TEST_CACHE").map(PathBuf::from);
    let of_user = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        cache.map(|cache| cache.join("prentice-tests"))
    };
    Ok(named.or_else(of_user).ok_or("set PRENTICE_TEST_CACHE")?)
}

// ---- the subjects

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "a benchmark is its own app")]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Time(since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        }))
    }
}

async fn store(data: &Path) -> Res<Arc<dyn Store>> {
    Ok(open(data, Arc::new(SystemClock), Arc::new(Unwatched)).await?)
}

/// Is one of the subjects, until it is killed.
async fn be(subject: &str, data: &Path) -> Res<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?);
    let secret = SecretString::from(SECRET);
    match subject {
        "ours" => {
            let site = Site {
                doors: vec![Door {
                    name: "hub".to_owned(),
                    kind: Kind::GitHub,
                    secret: Some(secret),
                }],
                store: store(data).await?,
                wake: Arc::new(Notify::new()),
                alive: Arc::new(|| Ok(String::new())),
                metrics: true,
                clock: Arc::new(SystemClock),
                link_key: None,
                is_secure: false,
                limits: Limits::default(),
            };
            serve(listener, site, CancellationToken::new(), Duration::ZERO).await;
        }
        "each" => {
            let shared = Arc::new((secret, Mutex::new(store(data).await?)));
            let router = Router::new().route("/hooks/hub", post(one_by_one));
            axum::serve(listener, router.with_state(shared)).await?;
        }
        _ => {
            let router = Router::new().route("/hooks/hub", post(nothing_stored));
            axum::serve(listener, router.with_state(Arc::new(secret))).await?;
        }
    }
    Ok(())
}

fn verified(headers: &HeaderMap, secret: &SecretString, body: &[u8]) -> Option<Signed> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    verify(Kind::GitHub, secret, &header, body).ok()
}

/// The secret, and a store that is used by one at a time.
type Alone = (SecretString, Mutex<Arc<dyn Store>>);

/// No two deliveries ever wait for the same commit.
async fn one_by_one(
    State(shared): State<Arc<Alone>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let Some(signed) = verified(&headers, &shared.0, &body) else {
        return StatusCode::UNAUTHORIZED;
    };
    let hook = Hook {
        forge: "hub".to_owned(),
        delivery: signed.delivery,
        event: signed.event,
        body,
    };
    match shared.1.lock().await.receive(hook).await {
        Ok(_) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn nothing_stored(
    State(secret): State<Arc<SecretString>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let parsed = serde_json::from_slice::<serde_json::Value>(&body);
    match verified(&headers, &secret, &body) {
        Some(_) if parsed.is_ok() => StatusCode::ACCEPTED,
        _ => StatusCode::UNAUTHORIZED,
    }
}

// ---- the generator

/// What is sent: a real body, with a place for a number at its end, so that no two are the same and signing one
/// costs next to nothing.
struct Delivery {
    text: String,
    mac: Hmac<Sha256>,
}

impl Delivery {
    fn read(cache: &Path) -> Self {
        let example = || -> Option<serde_json::Value> {
            let text = std::fs::read(cache.join("webhooks/github.json")).ok()?;
            let events: Vec<serde_json::Value> = serde_json::from_slice(&text).ok()?;
            let issues = events.into_iter().find(|event| event["name"] == "issues")?;
            let mut bodies = issues["examples"].as_array()?.iter();
            bodies.find(|body| body["action"] == "labeled").cloned()
        };
        let body = example().unwrap_or_else(|| {
            eprintln!("skipped the published example: it is not fetched; tests/webhooks.sh does");
            serde_json::json!({"action": "labeled", "padding": "a".repeat(12_000)})
        });
        let mut text = body.to_string();
        text.pop();
        text.push_str(",\"number_of_the_benchmark\":\"");
        #[expect(clippy::expect_used, reason = "any length of key is taken")]
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
        mac.update(text.as_bytes());
        Self { text, mac }
    }

    /// The request of one delivery, whole.
    fn request(&self, number: u64, into: &mut Vec<u8>) {
        let end = format!("{number:016}\"}}");
        let mut mac = self.mac.clone();
        mac.update(end.as_bytes());
        let mut digits = String::with_capacity(64);
        for byte in mac.finalize().into_bytes() {
            digits.push_str(&format!("{byte:02x}"));
        }
        let length = self.text.len() + end.len();
        into.clear();
        into.extend_from_slice(
            format!(
                "POST /hooks/hub HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 user-agent: GitHub-Hookshot/bench\r\nx-github-event: issues\r\nx-github-delivery: {number:016}\r\n\
                 x-hub-signature-256: sha256={digits}\r\ncontent-length: {length}\r\n\r\n"
            )
            .as_bytes(),
        );
        into.extend_from_slice(self.text.as_bytes());
        into.extend_from_slice(end.as_bytes());
    }
}

struct Figures {
    a_second: f64,
    /// As much as it takes.
    full: Spread,
    /// [`OFFERED`] a second.
    offered: Spread,
    rss_kib: u64,
}

#[derive(Clone, Copy)]
struct Spread {
    p50: Duration,
    p99: Duration,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied();
        Self {
            p50: at(50).unwrap_or_default(),
            p99: at(99).unwrap_or_default(),
        }
    }
}

fn measure(
    runtime: &Runtime,
    subject: Subject,
    data: &Path,
    probot: &Path,
    delivery: &Delivery,
) -> Res<Figures> {
    let (mut child, at) = start(subject, data, probot)?;
    let sent = runtime.block_on(async {
        let full = load(at, delivery, None).await?;
        Res::Ok((full, load(at, delivery, Some(OFFERED)).await?))
    });
    let rss_kib = peak_kib(child.id());
    child.kill()?;
    child.wait()?;
    let ((taken, full), (more, offered)) = sent?;
    let taken = taken + more;
    if subject.is_stored() {
        // Killed without a word: what was acknowledged is there all the same.
        let kept = runtime.block_on(async {
            let counts = store(data).await?.counts().await?;
            Res::Ok(counts.hooks.iter().map(|(_, n)| n).sum::<u64>())
        })?;
        if kept < taken {
            return Err(format!("{}: {taken} acknowledged, {kept} stored", subject.words()).into());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let a_second = full.len() as f64 / MEASURED.as_secs_f64();
    Ok(Figures {
        a_second,
        full: Spread::of(full),
        offered: Spread::of(offered),
        rss_kib,
    })
}

fn start(subject: Subject, data: &Path, probot: &Path) -> Res<(Child, SocketAddr)> {
    let mut command = match subject {
        Subject::Probot => {
            // Probot takes no port 0.
            let port = std::net::TcpListener::bind("127.0.0.1:0")?
                .local_addr()?
                .port();
            let mut node = Command::new(probot.join("node"));
            node.arg("server.mjs").current_dir(probot);
            node.env("PORT", port.to_string()).env("SECRET", SECRET);
            node.env("NODE_ENV", "production");
            node
        }
        ours => {
            let mut again = Command::new(std::env::current_exe()?);
            let name = match ours {
                Subject::Ours => "ours",
                Subject::Each => "each",
                _ => "bare",
            };
            again.env(SUBJECT, name).env(DATA, data);
            again
        }
    };
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    let told = BufReader::new(out).lines().map_while(Result::ok);
    let mut at = told.filter_map(|line| Some(line.strip_prefix("listening ")?.to_owned()));
    match at.next() {
        Some(at) => Ok((child, at.parse()?)),
        None => {
            child.kill()?;
            child.wait()?;
            Err(format!("{} does not start", subject.words()).into())
        }
    }
}

/// How many were acknowledged at all, and how long each answer of the measured time took.
async fn load(
    at: SocketAddr,
    delivery: &Delivery,
    a_second: Option<u32>,
) -> Res<(u64, Vec<Duration>)> {
    static LOADS: AtomicU64 = AtomicU64::new(0);
    let load = LOADS.fetch_add(1, Ordering::Relaxed);
    let began = Instant::now();
    let shared = Arc::new((delivery.text.clone(), delivery.mac.clone()));
    let mut connections = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let shared = Arc::clone(&shared);
        // No two deliveries of a run have the same number.
        let first = (load * u64::from(CONNECTIONS) + u64::from(connection)) * 10_000_000;
        let pace = a_second.map(|rate| Pace {
            begin: began + Duration::from_secs(1) * connection / rate,
            step: Duration::from_secs(1) * CONNECTIONS / rate,
        });
        connections.spawn(async move {
            let delivery = Delivery {
                text: shared.0.clone(),
                mac: shared.1.clone(),
            };
            talk(at, first, &delivery, began, pace)
                .await
                .map_err(|why| why.to_string())
        });
    }
    let (mut taken, mut times) = (0, Vec::new());
    for done in connections.join_all().await {
        let (count, took) = done?;
        taken += count;
        times.extend(took);
    }
    Ok((taken, times))
}

/// When the deliveries of a connection are due.
#[derive(Clone, Copy)]
struct Pace {
    begin: Instant,
    step: Duration,
}

async fn talk(
    at: SocketAddr,
    first: u64,
    delivery: &Delivery,
    began: Instant,
    pace: Option<Pace>,
) -> Res<(u64, Vec<Duration>)> {
    let mut stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let (mut taken, mut times) = (0, Vec::new());
    let (mut request, mut seen) = (Vec::new(), Vec::new());
    let mut due = pace.map(|pace| pace.begin);
    while began.elapsed() < WARM_UP + MEASURED {
        delivery.request(first + taken, &mut request);
        let mut sent = Instant::now();
        if let (Some(at), Some(pace)) = (due, pace) {
            if at < sent {
                sent = at;
            } else {
                tokio::time::sleep_until(at.into()).await;
                // How exactly this program wakes up is not the subject's affair.
                sent = Instant::now();
            }
            due = Some(at + pace.step);
        }
        stream.write_all(&request).await?;
        seen.clear();
        while !is_whole(&seen) {
            if stream.read_buf(&mut seen).await? == 0 {
                return Err("the connection was closed".into());
            }
        }
        if !seen.starts_with(b"HTTP/1.1 20") {
            return Err(String::from_utf8_lossy(&seen).into_owned().into());
        }
        taken += 1;
        if began.elapsed() > WARM_UP {
            times.push(sent.elapsed());
        }
    }
    Ok((taken, times))
}

/// Whether an answer has come to its end.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    match length.and_then(|length| length.trim().parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None => body.ends_with("0\r\n\r\n"),
    }
}

/// The most memory that a process has held.
fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

// ---- the table

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}

fn print(delivery: &Delivery, figures: &BTreeMap<Subject, Vec<Figures>>) {
    println!(
        "{CONNECTIONS} connections, bodies of {} bytes, medians of {ROUNDS} rounds of {} s, {} processors",
        delivery.text.len() + 18,
        MEASURED.as_secs(),
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    );
    println!(
        "| Receiver | deliveries/s | p50 | p99 | at {OFFERED}/s: p50 | p99 | peak RSS |\n|---|--:|--:|--:|--:|--:|--:|"
    );
    let mut medians = BTreeMap::new();
    for (subject, rounds) in figures {
        let of = |pick: fn(&Figures) -> f64| {
            median(rounds.iter().map(pick).collect()).unwrap_or_default()
        };
        let rate = of(|one| one.a_second);
        let p50 = of(|one| one.full.p50.as_secs_f64() * 1000.0);
        let p99 = of(|one| one.full.p99.as_secs_f64() * 1000.0);
        let (at50, at99) = (
            of(|one| one.offered.p50.as_secs_f64() * 1000.0),
            of(|one| one.offered.p99.as_secs_f64() * 1000.0),
        );
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rss = of(|one| one.rss_kib as f64 / 1024.0);
        println!(
            "| {} | {rate:.0} | {p50:.2} ms | {p99:.2} ms | {at50:.2} ms | {at99:.2} ms | {rss:.0} MiB |",
            subject.words()
        );
        medians.insert(*subject, (rate, p99, at99, rss));
    }
    let ours = medians.get(&Subject::Ours);
    if let (Some(ours), Some(probot)) = (ours, medians.get(&Subject::Probot)) {
        println!(
            "against Probot: {:.1} times the rate (goal 1), p99 {:.2} of its at full load and {:.2} at the same load \
             (goal 0.5), 1/{:.0} of its memory (goal 1/8)",
            ours.0 / probot.0,
            ours.1 / probot.1,
            ours.2 / probot.2,
            probot.3 / ours.3
        );
    }
    if let (Some(ours), Some(each)) = (ours, medians.get(&Subject::Each)) {
        println!(
            "group commit: {:.1} times the rate of a commit for each",
            ours.0 / each.0
        );
    }
}
