//! What was acknowledged is there: under load, and after the process was killed at any moment.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use prentice::store::{HookId, Unwatched, open};
use prentice::web::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Server, Still, head};

pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The body of a delivery, as long as real ones and like no other.
fn body(id: &str) -> String {
    format!(
        "{{\"action\":\"labeled\",\"id\":\"{id}\",\"text\":\"{}\"}}",
        "a".repeat(12_000)
    )
}

/// One connection that is kept: sends deliveries until `go_on` says no; gives those that were acknowledged, and how
/// long each answer took. Ends early when the server does.
async fn sender(
    at: SocketAddr,
    name: String,
    go_on: impl Fn(usize) -> bool,
) -> (Vec<String>, Vec<Duration>) {
    let (mut acknowledged, mut times) = (Vec::new(), Vec::new());
    let Ok(mut stream) = TcpStream::connect(at).await else {
        return (acknowledged, times);
    };
    for n in 0.. {
        if !go_on(n) {
            break;
        }
        let id = format!("{name}-{n}");
        let body = body(&id);
        let head = head("hub", &id, "issues", body.as_bytes()).replace("connection: close\r\n", "");
        let began = Instant::now();
        let sent = stream.write_all(format!("{head}{body}").as_bytes()).await;
        if sent.is_err() {
            break;
        }
        let mut seen = Vec::new();
        let mut part = [0; 1024];
        while !seen.ends_with(b"stored\n") {
            match stream.read(&mut part).await {
                Ok(n @ 1..) => seen.extend_from_slice(&part[..n]),
                _ => return (acknowledged, times),
            }
            assert!(seen.len() < 1024, "{}", String::from_utf8_lossy(&seen));
        }
        assert!(
            seen.starts_with(b"HTTP/1.1 202 "),
            "{}",
            String::from_utf8_lossy(&seen)
        );
        times.push(began.elapsed());
        acknowledged.push(id);
    }
    (acknowledged, times)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_deliveries_within_ten_seconds_are_all_there() {
    const SENDERS: usize = 25;
    const EACH: usize = 200;
    // On the disk that there is: durable is the point.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::on(data.clone(), Limits::default()).await;
    let before = server.store.commits();
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for sender_number in 0..SENDERS {
        senders.spawn(sender(server.at, format!("s{sender_number}"), |n| n < EACH));
    }
    let (mut acknowledged, mut times) = (BTreeSet::new(), Vec::new());
    for (ids, took) in senders.join_all().await {
        acknowledged.extend(ids);
        times.extend(took);
    }
    let took = began.elapsed();
    let commits = server.store.commits() - before;
    assert_eq!(acknowledged.len(), SENDERS * EACH);
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    server.shutdown.cancel();
    server.serving.await.unwrap();
    server.store.close().await;
    let store = open(&data, Arc::new(Still), Arc::new(Unwatched))
        .await
        .unwrap();
    let mut found = BTreeSet::new();
    loop {
        let some = store.next_hooks("hub", HookId(0), 1000).await.unwrap();
        if some.is_empty() {
            break;
        }
        for one in some {
            assert_eq!(one.hook.body, body(&one.hook.delivery));
            store.settle_hook(one.id, None).await.unwrap();
            found.insert(one.hook.delivery);
        }
    }
    assert_eq!(found, acknowledged);
    times.sort();
    say(&format!(
        "intake: {} deliveries in {} ms and {commits} commits, p50 {:?}, p99 {:?}",
        found.len(),
        took.as_millis(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
    ));
}

const CHILD: &str = "PRENTICE_TEST_WEB_CHILD";

/// The process that is killed: a receiver, whose address it tells.
async fn the_process_that_is_killed(data: String) {
    let server = Server::on(data.into(), Limits::default()).await;
    println!("listening {}", server.at);
    server.serving.await.unwrap();
}

pub(super) fn start_child(data: &std::path::Path) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "web::killed::what_was_acknowledged_survives_kill_9",
        ])
        .args(["--nocapture", "--test-threads=1"])
        .env(CHILD, data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let at = out.lines().map_while(Result::ok).find_map(|line| {
        line.split_once("listening ")
            .map(|(_, at)| at.parse().unwrap())
    });
    (child, at.expect("it listens"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    // This test starts its own program once more, to be killed.
    if let Ok(data) = std::env::var(CHILD) {
        return the_process_that_is_killed(data).await;
    }
    let long = std::env::var("PRENTICE_TEST_LONG").is_ok_and(|long| long == "1");
    let kills = if long { 100 } else { 15 };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut acknowledged = BTreeSet::new();
    for round in 0..kills {
        let (mut child, at) = start_child(&data);
        let mut senders = JoinSet::new();
        for number in 0..8 {
            senders.spawn(sender(at, format!("r{round}-s{number}"), |_| true));
        }
        // A moment that differs each round, from before the first answer to amid many.
        tokio::time::sleep(Duration::from_millis(round * 37 % 150)).await;
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&ended),
            Some(9)
        );
        for (ids, _) in senders.join_all().await {
            acknowledged.extend(ids);
        }
    }
    let store = open(&data, Arc::new(Still), Arc::new(Unwatched))
        .await
        .unwrap();
    let mut found = BTreeSet::new();
    loop {
        let some = store.next_hooks("hub", HookId(0), 1000).await.unwrap();
        if some.is_empty() {
            break;
        }
        for one in some {
            assert_eq!(one.hook.body, body(&one.hook.delivery), "half a delivery");
            store.settle_hook(one.id, None).await.unwrap();
            assert!(found.insert(one.hook.delivery), "stored twice");
        }
    }
    let lost: Vec<&String> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let (told, kept) = (acknowledged.len(), found.len());
    say(&format!(
        "kill -9 of the receiver: {kills} kills, {told} acknowledged, 0 lost, {} stored without an answer",
        kept - told
    ));
    assert!(told as u64 > kills * 10, "too little was going on: {told}");
}
