//! Writes that go wrong on the way to the real Gitea or back, and what it sends to us.

use std::sync::Arc;

use prentice::domain::report::{CheckReport, CheckState};
use prentice::forge::{
    CommentId, Conversation, Error, Forge, Leave, PullRequest, Reaction, Stands, Status,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::described::Fault;
use super::traps::Desk;
use super::world::LEAST;

/// Does it until it is done; nothing but "try again" may be answered in between.
macro_rules! until_done {
    ($tries:ident, $call:expr) => {{
        loop {
            $tries += 1;
            assert!($tries < 200, "never done");
            match $call.await {
                Ok(done) => break done,
                Err(Error::Retry { .. }) => {}
                Err(error) => panic!("{}: {error}", stringify!($call)),
            }
        }
    }};
}

// House rule 2: every write is find-or-create, so a lost answer is answered by doing it again.
#[tokio::test]
async fn whatever_answers_are_lost_everything_is_there_once() {
    for fault in [Fault::After, Fault::Before] {
        let Some(desk) = Desk::new("lost answers on Gitea").await else {
            return;
        };
        let (gitea, repo, place) = (&desk.gitea, &desk.repo, desk.place);
        let lee = gitea.user("lee").await;
        gitea.define_label(repo, "agent").await;
        gitea.label(&desk.dana, repo, place.issue, &["agent"]).await;
        let asked = gitea
            .comment(&desk.dana, repo, place.issue, "/agent run")
            .await;
        let both = serde_json::json!({ "assignees": [desk.bot.login] });
        gitea.edit(&desk.dana, repo, place.issue, both).await;
        let head = desk.branch("agent/1").await;

        let token = gitea.token(&desk.bot, LEAST).await;
        let anew = || {
            let service = gitea.service_with(&token);
            let forge: Arc<dyn Forge> = service.forge(&desk.repository, desk.refs.clone());
            let talk: Arc<dyn Conversation> = service.conversation(&desk.repository);
            (forge, talk)
        };
        // Each try remembers nothing, as after a restart.
        gitea.fail(&token, fault);
        let mut tries = 0;
        for (word, body) in [("queued", "one"), ("running", "two")] {
            let status = Status {
                word,
                ended: false,
                body,
            };
            until_done!(tries, anew().0.ensure_status(place, None, &status));
            until_done!(tries, anew().0.ensure_comment(place, "tell-1", body));
            until_done!(tries, anew().1.ensure_note(place.issue, "c-1", None, body));
            let label = format!("agent:{word}");
            until_done!(tries, anew().0.ensure_label(place, Some(&label)));
            let pull = PullRequest {
                branch: "agent/1",
                base: None,
                title: word,
                body,
                draft: true,
            };
            until_done!(tries, anew().0.ensure_pull(place, &pull));
            let check = CheckReport {
                name: "prentice / verify".to_owned(),
                sha: head.clone(),
                state: CheckState::Pending,
                title: word.to_owned(),
                marks: Vec::new(),
            };
            until_done!(tries, anew().0.set_check(place, &check));
        }
        for reaction in [Reaction::Seen, Reaction::Done] {
            until_done!(tries, anew().1.react(CommentId(asked), Some(reaction)));
        }
        until_done!(tries, anew().0.request_review(place, &lee.login));
        until_done!(tries, anew().0.mark_ready(place));
        until_done!(tries, anew().0.drop_trigger(place, "agent"));

        let comments = gitea.comments(repo, place.issue).await;
        let bodies: Vec<&str> = comments
            .iter()
            .map(|one| one["body"].as_str().unwrap())
            .map(|body| body.split_once('\n').map_or(body, |(_, text)| text))
            .collect();
        assert_eq!(bodies, ["/agent run", "two", "one", "two"], "{fault:?}");
        assert_eq!(gitea.labels(repo, place.issue).await, ["agent:running"]);
        let path = format!("repos/{}/labels", repo.name);
        assert_eq!(gitea.get(&path).await.as_array().unwrap().len(), 3);
        let path = format!("repos/{}/pulls?state=all", repo.name);
        let pulls = gitea.get(&path).await;
        let [pull] = pulls.as_array().unwrap().as_slice() else {
            panic!("{fault:?}: {pulls}");
        };
        assert_eq!(
            (&pull["title"], &pull["draft"]),
            (&Value::from("running"), &Value::from(false))
        );
        assert_eq!(pull["requested_reviewers"].as_array().unwrap().len(), 1);
        let path = format!("repos/{}/issues/comments/{asked}/reactions", repo.name);
        let reactions = gitea.get(&path).await;
        assert_eq!(reactions.as_array().unwrap().len(), 1);
        assert_eq!(reactions[0]["content"], "+1");
        let thread = desk.talk().thread(place.issue).await.unwrap();
        assert!(thread.assignees.is_empty());

        until_done!(tries, anew().0.close_pull(place));
        until_done!(tries, anew().0.clean_up(place, Leave::Nothing));
        let state = until_done!(tries, anew().0.pull_state(place)).unwrap();
        assert_eq!(state.stands, Stands::Closed);
        assert!(gitea.labels(repo, place.issue).await.is_empty());
        assert!(tries > 30, "{fault:?}: nothing went wrong in {tries} tries");
    }
}

/// One request of a hook, answered 202.
async fn delivery(listener: &tokio::net::TcpListener) -> (String, Value) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = Vec::new();
    loop {
        let mut part = [0; 8_192];
        let length = stream.read(&mut part).await.unwrap();
        text.extend_from_slice(&part[..length]);
        let all = String::from_utf8_lossy(&text);
        if let Some((head, body)) = all.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            let head = head.to_lowercase();
            stream
                .write_all(
                    b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                )
                .await
                .unwrap();
            return (head, body);
        }
    }
}

// Why a delivery is a hint: it is signed, and says less than what happened.
#[tokio::test]
async fn a_hook_for_a_label_is_signed_and_does_not_name_the_label() {
    let Some(desk) = Desk::new("hooks of Gitea").await else {
        return;
    };
    let (gitea, repo, issue) = (&desk.gitea, &desk.repo, desk.place.issue);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/tests", listener.local_addr().unwrap());
    gitea.hook(repo, &url, "secret").await;
    for name in ["agent", "bug"] {
        gitea.define_label(repo, name).await;
    }
    gitea.label(&desk.dana, repo, issue, &["agent"]).await;
    let (head, body) = delivery(&listener).await;
    assert!(
        head.contains("x-gitea-event-type: issue_label\r\n"),
        "{head}"
    );
    assert!(head.contains("x-gitea-signature: "), "{head}");
    assert!(head.contains("x-hub-signature-256: sha256="), "{head}");
    assert_eq!(body["action"], "label_updated");
    assert_eq!(body["sender"]["login"], desk.dana.login);
    assert!(
        body["label"].is_null() && body["changes"].is_null(),
        "{body}"
    );
    // The conversation says which.
    let entries = desk.talk().timeline(issue).await.unwrap();
    assert_eq!(entries.len(), 1);
}
