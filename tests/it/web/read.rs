//! What deliveries say to look at: the published examples, and what Gitea sends.

use std::collections::BTreeMap;
use std::path::PathBuf;

use prentice::forge::CommentId;
use prentice::forge::hook::{Hint, Kind, Read, Subject, parse};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Server, head};
use crate::skip::skipped;

/// Every published example with its event; `None`, told as a skip, where they are not fetched.
fn examples(test: &str) -> Option<Vec<(String, Value)>> {
    let cache = std::env::var_os("PRENTICE_TEST_CACHE").map(PathBuf::from);
    let cache = cache
        .or_else(|| Some(PathBuf::from(std::env::var_os("XDG_CACHE_HOME")?).join("prentice-tests")))
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/prentice-tests")))?;
    let file = cache.join("webhooks/github.json");
    let Ok(text) = std::fs::read(&file) else {
        skipped(
            test,
            &format!("no {}; `tests/webhooks.sh` fetches it", file.display()),
        );
        return None;
    };
    let events: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let examples = events.iter().flat_map(|event| {
        let name = event["name"].as_str().unwrap().to_owned();
        let bodies = event["examples"].as_array().unwrap().iter();
        bodies.map(move |body| (name.clone(), body.clone()))
    });
    Some(examples.collect())
}

fn told(read: &Read) -> String {
    match read {
        Read::Ignored(why) => format!("ignored: {why}"),
        Read::Reach => "the repositories that we reach".to_owned(),
        Read::Look(hint) => {
            let what = match hint.subject {
                Subject::Thread(_) => "thread",
                Subject::Branch => "branch",
                Subject::Repository => "repository",
            };
            let with = |there: bool, text| if there { text } else { "" };
            format!(
                "{what}{}{}",
                with(hint.comment.is_some(), " with its comment"),
                with(hint.words.is_some(), " with its words")
            )
        }
    }
}

fn look(kind: Kind, event: &str, body: &Value) -> Hint {
    match parse(kind, event, body.to_string().as_bytes()) {
        Read::Look(hint) => *hint,
        other => panic!("{event}: {other:?}"),
    }
}

#[tokio::test]
async fn every_published_example_goes_through_the_receiver_and_is_acted_on_or_ignored_with_a_reason()
 {
    let Some(examples) = examples("published webhook examples") else {
        return;
    };
    assert_eq!(examples.len(), 329);
    let server = Server::start().await;
    let mut fresh = 0;
    for (n, (event, body)) in examples.iter().enumerate() {
        let body = body.to_string();
        let head = head("hub", &format!("example-{n}"), event, body.as_bytes());
        match server.send(&head, body.as_bytes()).await.0 {
            202 => fresh += 1,
            // Some examples are the same as another.
            status => assert_eq!(status, 200, "{event} {n}"),
        }
    }
    let stored = server.stored().await;
    assert_eq!(stored.len(), fresh);
    assert!(fresh > 300, "{fresh}");
    let mut table: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for one in &stored {
        let body: Value = serde_json::from_slice(&one.hook.body).unwrap();
        let read = parse(Kind::GitHub, &one.hook.event, &one.hook.body);
        if let Read::Look(hint) = &read {
            assert_eq!(json!(hint.repository), body["repository"]["id"]);
            assert_eq!(json!(hint.name), body["repository"]["full_name"]);
            if let Subject::Thread(number) = hint.subject {
                let part = if body["issue"].is_null() {
                    "pull_request"
                } else {
                    "issue"
                };
                assert_eq!(json!(number), body[part]["number"]);
            }
            if let Some((CommentId(id), text)) = &hint.comment {
                assert_eq!(
                    json!([id, text]),
                    json!([body["comment"]["id"], body["comment"]["body"]])
                );
            }
            if let Some(words) = &hint.words {
                assert_eq!(json!(words.title), body["issue"]["title"]);
                assert_eq!(
                    words.body,
                    body["issue"]["body"].as_str().unwrap_or_default()
                );
                assert_eq!(json!(words.sender), body["sender"]["login"]);
            }
        }
        let action = body["action"]
            .as_str()
            .map_or(String::new(), |action| format!(".{action}"));
        let name = format!("{}{action}", one.hook.event);
        *table
            .entry(name)
            .or_default()
            .entry(told(&read))
            .or_default() += 1;
    }
    let lines = table.iter().flat_map(|(name, outcomes)| {
        outcomes
            .iter()
            .map(move |(outcome, n)| format!("{name} ({n}): {outcome}"))
    });
    insta::assert_snapshot!("examples", lines.collect::<Vec<_>>().join("\n"));
}

/// A labelled issue as GitHub tells of it, from its own example.
fn labeled(test: &str) -> Option<Value> {
    let examples = examples(test)?.into_iter();
    let mut labeled =
        examples.filter(|(event, body)| event == "issues" && body["action"] == "labeled");
    Some(labeled.next().unwrap().1)
}

#[test]
fn a_labelled_issue_brings_its_words_whoever_signed_for_it() {
    let Some(mut body) = labeled("derived webhook cases") else {
        return;
    };
    let plain = look(Kind::GitHub, "issues", &body);
    assert!(plain.words.as_ref().unwrap().labels_changed);
    // A program as the sender is told as it is: who may start is not decided here.
    body["sender"] = json!({"login": "helper[bot]", "type": "Bot"});
    assert_eq!(
        look(Kind::GitHub, "issues", &body).words.unwrap().sender,
        "helper[bot]"
    );
    body["issue"]["body"] = Value::Null;
    assert_eq!(look(Kind::GitHub, "issues", &body).words.unwrap().body, "");
    body["issue"]["body"] = json!("é".repeat(65_536));
    assert_eq!(
        look(Kind::GitHub, "issues", &body)
            .words
            .unwrap()
            .body
            .len(),
        131_072
    );
    // Longer than any forge takes: looked at all the same, but read from the forge.
    body["issue"]["body"] = json!("a".repeat(2 << 20));
    assert_eq!(look(Kind::GitHub, "issues", &body).words, None);
    body["action"] = json!("transferred");
    assert_eq!(look(Kind::GitHub, "issues", &body).subject, plain.subject);
    body["action"] = json!("opened");
    body.as_object_mut().unwrap().remove("sender");
    assert_eq!(look(Kind::GitHub, "issues", &body).words, None);
}

#[test]
fn what_gitea_sends_is_looked_at_by_type_or_by_event() {
    let repository = json!({"id": 5, "full_name": "team/tool"});
    let issue = json!({"id": 90, "number": 7, "title": "T", "body": "B", "labels": []});
    let pull = json!({"id": 91, "number": 8});
    let sender = json!({"id": 3, "login": "ann"});
    let of = |action: &str, parts: Value| {
        let mut body = json!({"action": action, "repository": repository, "sender": sender});
        for (name, part) in parts.as_object().unwrap() {
            body[name] = part.clone();
        }
        body
    };
    let comment = json!({"id": 44, "body": "/agent status"});
    let cases = [
        ("issues", of("opened", json!({"issue": issue}))),
        ("issues", of("label_updated", json!({"issue": issue}))),
        ("issue_label", of("label_cleared", json!({"issue": issue}))),
        ("issue_assign", of("assigned", json!({"issue": issue}))),
        ("issues", of("milestoned", json!({"issue": issue}))),
        ("issue_milestone", of("milestoned", json!({"issue": issue}))),
        (
            "issue_comment",
            of("created", json!({"issue": issue, "comment": comment})),
        ),
        (
            "issue_comment",
            of("deleted", json!({"issue": issue, "comment": comment})),
        ),
        (
            "pull_request_comment",
            of(
                "created",
                json!({"issue": pull, "comment": comment, "is_pull": true}),
            ),
        ),
        ("pull_request", of("opened", json!({"pull_request": pull}))),
        (
            "pull_request",
            of("synchronized", json!({"pull_request": pull})),
        ),
        (
            "pull_request_sync",
            of("synchronized", json!({"pull_request": pull})),
        ),
        (
            "pull_request_label",
            of("label_updated", json!({"pull_request": pull})),
        ),
        (
            "pull_request_approved",
            of(
                "reviewed",
                json!({"pull_request": pull, "review": {"type": "x"}}),
            ),
        ),
        (
            "pull_request_review_rejected",
            of("reviewed", json!({"pull_request": pull})),
        ),
        (
            "pull_request_comment",
            of(
                "reviewed",
                json!({"pull_request": pull, "review": {"content": "c"}}),
            ),
        ),
        (
            "pull_request_review_request",
            of("review_requested", json!({"pull_request": pull})),
        ),
        (
            "push",
            json!({"ref": "refs/heads/main", "repository": repository}),
        ),
        (
            "push",
            json!({"ref": "refs/tags/v1", "repository": repository}),
        ),
        (
            "delete",
            json!({"ref": "agent/7", "ref_type": "branch", "repository": repository}),
        ),
        (
            "create",
            json!({"ref": "v1", "ref_type": "tag", "repository": repository}),
        ),
        ("repository", of("deleted", json!({}))),
        (
            "status",
            json!({"state": "success", "repository": repository}),
        ),
        (
            "pull_request_review",
            of("submitted", json!({"pull_request": pull})),
        ),
    ];
    let lines = cases.iter().map(|(event, body)| {
        let read = parse(Kind::Gitea, event, body.to_string().as_bytes());
        let action = body["action"].as_str().unwrap_or("-");
        format!("{event} {action}: {}\n", told(&read))
    });
    insta::assert_snapshot!(lines.collect::<String>(), @"
    issues opened: thread with its words
    issues label_updated: thread with its words
    issue_label label_cleared: thread with its words
    issue_assign assigned: thread with its words
    issues milestoned: ignored: `issues` with action `milestoned` changes nothing for us
    issue_milestone milestoned: ignored: the event `issue_milestone` means nothing to us
    issue_comment created: thread with its comment
    issue_comment deleted: thread
    pull_request_comment created: thread with its comment
    pull_request opened: thread
    pull_request synchronized: thread
    pull_request_sync synchronized: thread
    pull_request_label label_updated: thread
    pull_request_approved reviewed: thread
    pull_request_review_rejected reviewed: thread
    pull_request_comment reviewed: thread
    pull_request_review_request review_requested: ignored: the event `pull_request_review_request` means nothing to us
    push -: branch
    push -: ignored: tags mean nothing to us
    delete -: branch
    create -: ignored: tags mean nothing to us
    repository deleted: repository
    status -: ignored: the event `status` means nothing to us
    pull_request_review submitted: ignored: the event `pull_request_review` means nothing to us
    ");
    let labeled = look(Kind::Gitea, "issue_label", &cases[2].1);
    assert_eq!((labeled.repository, &*labeled.name), (5, "team/tool"));
    assert_eq!(labeled.subject, Subject::Thread(7));
    assert!(labeled.words.unwrap().labels_changed);
    assert!(
        !look(Kind::Gitea, "issues", &cases[0].1)
            .words
            .unwrap()
            .labels_changed
    );
    let said = look(Kind::Gitea, "pull_request_comment", &cases[8].1);
    assert_eq!(said.subject, Subject::Thread(8));
    assert_eq!(
        said.comment,
        Some((CommentId(44), "/agent status".to_owned()))
    );
    // What only the other forge sends means nothing from this one.
    for event in ["installation", "public", "pull_request_review"] {
        let read = parse(Kind::Gitea, event, b"{}");
        assert!(matches!(read, Read::Ignored(_)), "{event}: {read:?}");
    }
}

#[test]
fn a_part_of_an_example_is_read_or_ignored_and_never_half_understood() {
    let Some(body) = labeled("cut webhook examples") else {
        return;
    };
    let text = body.to_string();
    for end in 0..text.len() {
        let read = parse(Kind::GitHub, "issues", &text.as_bytes()[..end]);
        let Read::Ignored(why) = &read else {
            panic!("{end}: {read:?}")
        };
        assert!(
            why.starts_with("the body ends too early at line 1"),
            "{end}: {why}"
        );
    }
}

#[test]
fn nesting_as_deep_as_a_body_allows_is_passed_over_where_nobody_looks() {
    let (open, close) = ("[".repeat(5_000_000), "]".repeat(5_000_000));
    let rest = "\"issue\":{\"number\":7},\"repository\":{\"id\":5,\"full_name\":\"a/b\"}}";
    let body = format!("{{\"action\":\"labeled\",\"deep\":{open}{close},{rest}");
    let read = parse(Kind::GitHub, "issues", body.as_bytes());
    assert!(matches!(read, Read::Look(_)), "{read:?}");
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic_or_repeat_them(
        event in proptest::sample::select(vec!["issues", "issue_comment", "push", "pull_request", "installation", "x"]),
        body in proptest::collection::vec(any::<u8>(), 0..200),
        gitea in any::<bool>(),
    ) {
        let kind = if gitea { Kind::Gitea } else { Kind::GitHub };
        let read = parse(kind, event, &body);
        prop_assert!(!matches!(read, Read::Look(_)));
    }

    #[test]
    fn values_of_other_types_are_no_hint(
        at in 0_usize..8,
        value in proptest::sample::select(vec![json!(null), json!("x"), json!(-1), json!(1e300), json!([]), json!({}), json!(true)]),
    ) {
        let mut body = json!({
            "action": "created",
            "issue": {"number": 7, "title": "T", "body": "B"},
            "comment": {"id": 1, "body": "C"},
            "repository": {"id": 5, "full_name": "a/b"},
            "sender": {"login": "ann"},
        });
        let paths = ["/action", "/issue", "/issue/number", "/comment/id", "/comment/body", "/repository", "/repository/id", "/repository/full_name"];
        *body.pointer_mut(paths[at]).unwrap() = value;
        match parse(Kind::GitHub, "issue_comment", body.to_string().as_bytes()) {
            Read::Look(hint) => {
                prop_assert_eq!((hint.repository, hint.subject), (5, Subject::Thread(7)));
                prop_assert!(hint.comment.is_none_or(|(CommentId(id), _)| id == 1));
            }
            Read::Ignored(_) => {}
            Read::Reach => prop_assert!(false),
        }
    }
}
