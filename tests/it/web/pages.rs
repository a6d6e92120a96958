//! The page of a task, as those with a link and everybody else meet it.

use prentice::domain::ident::TaskId;
use prentice::store::{ArtifactKind, Content};

use super::*;

/// Status, headers and body of a GET.
async fn get(server: &Server, path: &str, cookie: &str) -> (u16, String, String) {
    let mut stream = server.connect().await;
    let ask =
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

/// A server with the task T-1, whose words are hostile, and the digest of its log.
async fn with_task() -> (Server, String) {
    let server = Server::start().await;
    let task = crate::worker::a_task(&server.store, "<script>alert(1)</script>").await;
    assert_eq!(task, TaskId(1));
    let content = Content::Bytes(b"<b>what a check printed</b>\n".to_vec());
    let log = server
        .store
        .put_artifact(Some(task), ArtifactKind::Log, content);
    let digest = log.await.unwrap().sha256.as_str().to_owned();
    (server, digest)
}

fn in_an_hour() -> Time {
    Still.now().plus_secs(3600)
}

#[tokio::test]
async fn a_link_opens_the_page_of_its_task_and_leaves_no_credential_in_the_address() {
    let (server, digest) = with_task().await;
    let pass = link_key().pass(TaskId(1), in_an_hour());
    let (status, head, _) = get(&server, &format!("/tasks/T-1?key={pass}"), "").await;
    assert_eq!(status, 303);
    assert!(head.contains("\r\nlocation: /tasks/t-1\r\n"), "{head}");
    let cookie = format!("prentice={pass}");
    let set = format!(
        "\r\nset-cookie: {cookie}; path=/tasks/t-1; max-age=3600; httponly; samesite=lax; secure"
    );
    assert!(head.contains(&set), "{head}");

    let (status, head, page) = get(&server, "/tasks/T-1", &cookie).await;
    assert_eq!(status, 200);
    for words in [
        "default-src 'none'",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(head.contains(words), "{words}\n{head}");
    }
    // What people wrote is shown as they wrote it.
    assert!(!page.contains("<script"), "{page}");
    for words in [
        "&#60;script&#62;",
        "requested by dana",
        "<h2>Evidence</h2>",
        &digest,
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    let log = format!("/tasks/T-1/logs/{digest}");
    let (status, head, body) = get(&server, &log, &format!("other=1; {cookie}")).await;
    assert_eq!(
        (status, body.as_str()),
        (200, "<b>what a check printed</b>\n")
    );
    assert!(head.contains("content-type: text/plain"), "{head}");
    let (status, _, _) = get(&server, "/tasks/T-1/logs/00", &cookie).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn without_a_link_every_task_looks_the_same() {
    let (server, digest) = with_task().await;
    let pass = |task, until| link_key().pass(TaskId(task), until);
    let late = pass(1, Still.now());
    let other = pass(2, in_an_hour());
    for (path, cookie) in [
        ("/tasks/T-1".to_owned(), String::new()),
        ("/tasks/T-1".to_owned(), format!("prentice={late}")),
        ("/tasks/T-1".to_owned(), format!("prentice={other}")),
        (format!("/tasks/T-1?key={late}"), String::new()),
        (format!("/tasks/T-1?key={other}"), String::new()),
        (format!("/tasks/T-1/logs/{digest}"), String::new()),
        (
            format!("/tasks/T-1/logs/{digest}"),
            format!("prentice={other}"),
        ),
    ] {
        let (status, _, page) = get(&server, &path, &cookie).await;
        assert_eq!(status, 401, "{path}");
        assert!(page.contains("prentice tasks show T-1 --link"), "{page}");
        assert!(!page.contains("dana"), "{page}");
    }
    let (_, _, known) = get(&server, "/tasks/T-1", "").await;
    let (status, _, unknown) = get(&server, "/tasks/T-99", "").await;
    assert_eq!((status, unknown), (401, known.replace("T-1", "T-99")));
    let (status, _, page) = get(&server, "/tasks/%3Cb%3E", "").await;
    assert_eq!(status, 401);
    assert!(!page.contains("<b>"), "{page}");
    let (status, ..) = get(&server, &format!("/tasks/T-2?key={other}"), "").await;
    assert_eq!(status, 303);
    let (status, ..) = get(&server, "/tasks/T-2", &format!("prentice={other}")).await;
    assert_eq!(status, 401, "there is no such task");
}

#[tokio::test]
async fn a_log_of_another_task_is_not_there() {
    let (server, _) = with_task().await;
    let content = Content::Bytes(b"of nobody\n".to_vec());
    let log = server.store.put_artifact(None, ArtifactKind::Log, content);
    let other = log.await.unwrap().sha256;
    let cookie = format!("prentice={}", link_key().pass(TaskId(1), in_an_hour()));
    let path = format!("/tasks/T-1/logs/{}", other.as_str());
    let (status, _, body) = get(&server, &path, &cookie).await;
    assert_eq!(status, 404);
    assert!(!body.contains("of nobody"), "{body}");
}
