//! Those who send too much, too slowly, or too often.

use std::sync::Arc;
use std::time::Duration;

use prentice::web::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::killed::{say, start_child};
use super::{Server, answer, head, head_with, sign};

const MIB: usize = 1 << 20;

/// Short ones, so that the tests need not wait.
fn quick() -> Limits {
    Limits {
        head: Duration::from_millis(600),
        body: Duration::from_millis(600),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_25_mib_is_taken_and_one_byte_more_is_not() {
    let server = Server::start().await;
    let mut body = vec![b' '; 25 * MIB];
    let (status, line) = server.deliver("d-1", "push", &body).await;
    assert_eq!((status, &*line), (202, "stored"));
    body.push(b' ');
    let right = format!("sha256={}", sign(&body));
    let named = [
        ("x-github-delivery", "d-2"),
        ("x-github-event", "push"),
        ("x-hub-signature-256", &*right),
    ];
    let length = body.len().to_string();
    let announced = [&named[..], &[("content-length", &*length)]].concat();
    let (status, line) = server.send(&head_with("hub", &announced), b"").await;
    assert_eq!(
        (status, &*line),
        (413, "a delivery has at most 26214400 bytes")
    );
    // One that does not announce its length is counted while it comes.
    let chunked = [&named[..], &[("transfer-encoding", "chunked")]].concat();
    let mut stream = server.connect().await;
    stream
        .write_all(head_with("hub", &chunked).as_bytes())
        .await
        .unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let sending = tokio::spawn(async move {
        for _ in 0..26 {
            let chunk = [format!("{MIB:x}\r\n").as_bytes(), &vec![b' '; MIB], b"\r\n"].concat();
            if writing.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _ = writing.write_all(b"0\r\n\r\n").await;
    });
    let mut text = vec![0; 12];
    reading.read_exact(&mut text).await.unwrap();
    assert_eq!(text, b"HTTP/1.1 413");
    sending.abort();
    assert_eq!(server.stored().await.len(), 1);
    assert_eq!(
        server
            .metric("prentice_webhook_deliveries_total{event=\"unknown\",result=\"too-large\"}")
            .await,
        2
    );
}

#[tokio::test]
async fn a_body_cut_off_by_the_sender_is_not_taken() {
    let server = Server::start().await;
    let body = b"{\"action\":\"opened\"}";
    let mut stream = server.connect().await;
    stream
        .write_all(head("hub", "d-1", "issues", body).as_bytes())
        .await
        .unwrap();
    stream.write_all(&body[..10]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_ne!(answer(stream).await.0, 202);
    assert_eq!(server.stored().await, []);
    assert_eq!(server.deliver("d-1", "issues", body).await.0, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_byte_now_and_then_is_cut_and_others_are_served_meanwhile() {
    let server = Server::with(quick()).await;
    let slow = |text: String| {
        let at = server.at;
        tokio::spawn(async move {
            let stream = tokio::net::TcpStream::connect(at).await.unwrap();
            let (reading, mut writing) = stream.into_split();
            let began = Instant::now();
            let writer = tokio::spawn(async move {
                for byte in text.bytes() {
                    if writing.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            });
            let mut text = String::new();
            let mut reading = reading;
            let _ = timeout(Duration::from_secs(10), reading.read_to_string(&mut text)).await;
            writer.abort();
            (text, began.elapsed())
        })
    };
    let body = " ".repeat(1000);
    let heads: Vec<_> = (0..20)
        .map(|n| slow(head("hub", &format!("s-{n}"), "issues", body.as_bytes())))
        .collect();
    let mut bodies = Vec::new();
    for n in 0..20 {
        let head = head("hub", &format!("b-{n}"), "issues", body.as_bytes());
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        bodies.push(tokio::spawn(async move {
            let (mut reading, mut writing) = stream.into_split();
            let writer = tokio::spawn(async move {
                while writing.write_all(b" ").await.is_ok() {
                    sleep(Duration::from_millis(50)).await;
                }
            });
            let mut text = String::new();
            let _ = timeout(Duration::from_secs(10), reading.read_to_string(&mut text)).await;
            writer.abort();
            text
        }));
    }
    for n in 0..20 {
        let (id, body) = (format!("d-{n}"), format!("{{\"n\":{n}}}"));
        let served = timeout(
            Duration::from_secs(2),
            server.deliver(&id, "issues", body.as_bytes()),
        );
        assert_eq!(served.await.expect("it is served").0, 202);
    }
    for head in heads {
        let (text, took) = head.await.unwrap();
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert!(!text.contains("202"), "{text}");
    }
    for body in bodies {
        let text = body.await.unwrap();
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
        assert!(
            text.ends_with("the body did not arrive in time\n"),
            "{text}"
        );
    }
    assert_eq!(server.stored().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_give_their_place_back() {
    let server = Server::with(Limits {
        connections: 8,
        ..quick()
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..30 {
        idle.push(server.connect().await);
    }
    // All places are taken, and others wait before us: our turn comes as theirs end.
    let served = timeout(
        Duration::from_secs(20),
        server.deliver("d-1", "issues", b"{}"),
    )
    .await;
    assert_eq!(served.expect("its turn comes").0, 202);
    for stream in idle {
        let ended = timeout(Duration::from_secs(10), answer(stream)).await;
        assert_eq!(ended.expect("it is closed").0, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_held_than_there_is_room_for_and_room_comes_back() {
    let server = Server::with(Limits {
        unanswered_bytes: MIB,
        body: Duration::from_secs(5),
        ..Limits::default()
    })
    .await;
    // An announcement takes no room: only what was sent does.
    let body = vec![b' '; 600 << 10];
    let mut announced = Vec::new();
    for n in 0..50 {
        let mut stream = server.connect().await;
        stream
            .write_all(head("hub", &format!("a-{n}"), "push", &body).as_bytes())
            .await
            .unwrap();
        announced.push(stream);
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(server.deliver("d-1", "issues", b"{}").await.0, 202);
    // Now one of them sends almost all of it: the next has no room.
    announced[0].write_all(&body[1..]).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    let mut stream = server.connect().await;
    let head = head("hub", "d-2", "push", &body);
    stream.write_all(head.as_bytes()).await.unwrap();
    let _ = stream.write_all(&body).await;
    let (status, line) = answer(stream).await;
    assert_eq!(
        (status, &*line),
        (503, "too much is arriving at once; send it again later")
    );
    // A small one still fits.
    assert_eq!(server.deliver("d-3", "issues", b"{ }").await.0, 202);
    // The first is finished: its room is free again.
    let mut first = announced.remove(0);
    first.write_all(&body[..1]).await.unwrap();
    assert_eq!(answer(first).await.0, 202);
    assert_eq!(
        server
            .deliver("d-2", "push", &[&body[..], b" "].concat())
            .await
            .0,
        202
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forged_deliveries_leaves_nothing_and_does_not_stop_a_true_one() {
    const SENDERS: usize = 32;
    const EACH: usize = 100;
    let server = Server::start().await;
    let body = vec![b'a'; 64 << 10];
    let wrong = format!("sha256={}", "0".repeat(64));
    let mut flood = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (at, body, wrong) = (server.at, body.clone(), wrong.clone());
        flood.spawn(async move {
            let mut refused = 0;
            for n in 0..EACH {
                let id = format!("f-{sender}-{n}");
                let head = head_with(
                    "hub",
                    &[
                        ("x-github-delivery", &id),
                        ("x-github-event", "issues"),
                        ("x-hub-signature-256", &wrong),
                        ("content-length", &body.len().to_string()),
                    ],
                );
                let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&body).await;
                refused += usize::from(answer(stream).await.0 == 401);
            }
            refused
        });
    }
    for n in 0..10 {
        let (id, body) = (format!("d-{n}"), format!("{{\"n\":{n}}}"));
        let served = timeout(
            Duration::from_secs(10),
            server.deliver(&id, "issues", body.as_bytes()),
        );
        assert_eq!(served.await.expect("it is served").0, 202);
    }
    let refused: usize = flood.join_all().await.into_iter().sum();
    assert_eq!(refused, SENDERS * EACH);
    assert_eq!(server.stored().await.len(), 10);
    let counted = server
        .metric("prentice_webhook_deliveries_total{event=\"unknown\",result=\"wrong-signature\"}")
        .await;
    assert_eq!(counted, refused as u64);
}

#[tokio::test]
async fn what_is_no_http_ends_its_connection_and_nothing_else() {
    let server = Server::with(quick()).await;
    let huge = format!(
        "POST /hooks/hub HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "a".repeat(200_000)
    );
    let many = format!(
        "POST /hooks/hub HTTP/1.1\r\nhost: a\r\n{}\r\n",
        "x: y\r\n".repeat(500)
    );
    let smuggled = "POST /hooks/hub HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let twice =
        "POST /hooks/hub HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n";
    let mut told = String::new();
    for (what, bytes) in [
        (
            "noise",
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        ),
        ("a huge header", huge.as_bytes()),
        ("many headers", many.as_bytes()),
        ("two lengths", twice.as_bytes()),
        ("length and chunks", smuggled.as_bytes()),
    ] {
        let mut stream = server.connect().await;
        let _ = stream.write_all(bytes).await;
        let ended = timeout(Duration::from_secs(5), answer(stream)).await;
        told += &format!("{what}: {}\n", ended.expect("it ends").0);
    }
    insta::assert_snapshot!(told, @"
    noise: 400
    a huge header: 431
    many headers: 431
    two lengths: 400
    length and chunks: 401
    ");
    assert_eq!(server.stored().await, []);
    assert_eq!(server.get("/healthz").await.0, 200);
}

/// The most memory that a process has held.
fn peak_mib(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().split_whitespace().next().unwrap();
    kib.parse::<usize>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_large_forged_deliveries_stays_within_its_room() {
    const SENDERS: usize = 24;
    const EACH: usize = 4;
    // In a process of its own, whose memory is that of the receiver alone.
    let folder = tempfile::tempdir().unwrap();
    let (mut child, at) = start_child(&folder.path().join("data"));
    let before = peak_mib(child.id());
    let body = Arc::new(vec![b'a'; 20 * MIB]);
    let mut flood = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let body = Arc::clone(&body);
        flood.spawn(async move {
            let mut told = Vec::new();
            for n in 0..EACH {
                let id = format!("f-{sender}-{n}");
                let length = body.len().to_string();
                let wrong = format!("sha256={}", "0".repeat(64));
                let headers = [
                    ("x-github-delivery", &*id),
                    ("x-github-event", "issues"),
                    ("x-hub-signature-256", &*wrong),
                    ("content-length", &*length),
                ];
                let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
                let _ = stream
                    .write_all(head_with("hub", &headers).as_bytes())
                    .await;
                let _ = stream.write_all(&body).await;
                told.push(answer(stream).await.0);
            }
            told
        });
    }
    let told: Vec<u16> = flood.join_all().await.into_iter().flatten().collect();
    let after = peak_mib(child.id());
    // Who is sent away amid sending may not hear why.
    assert!(
        told.iter().all(|status| [0, 401, 503].contains(status)),
        "{told:?}"
    );
    let refused = told.iter().filter(|status| **status == 401).count();
    assert!(refused > 0, "{told:?}");
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let true_one = format!("{}{{}}", head("hub", "d-1", "issues", b"{}"));
    stream.write_all(true_one.as_bytes()).await.unwrap();
    assert_eq!(answer(stream).await.0, 202);
    child.kill().unwrap();
    child.wait().unwrap();
    say(&format!(
        "flood: {} MiB of forged bodies, {refused} read to the end, peak {before} -> {after} MiB",
        SENDERS * EACH * 20
    ));
    // The room, what connections buffer, and what the allocator keeps.
    assert!(after - before < 64 + 48, "{before} -> {after} MiB");
}
