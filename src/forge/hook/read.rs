//! What a delivery says to look at.

use serde::Deserialize;

use super::{CommentId, Hint, Kind, NAME_MAX, Read, Subject, Words};

/// Longest text that is taken from a delivery, in bytes. A longer one is left out, and read from the forge.
const TEXT_MAX: usize = 1 << 20;

/// What an event is about.
#[derive(Clone, Copy)]
enum About {
    Issue,
    Comment,
    Pull,
    Review,
    /// A branch, named by `ref`.
    Branch,
    Repository,
    /// What we can reach at all.
    Reach,
}

/// Events that we look at, with the actions that matter; none = all of them.
type Table = &'static [(&'static str, About, &'static [&'static str])];

static GITHUB_EVENTS: Table = &[
    (
        "issues",
        About::Issue,
        &[
            "opened",
            "edited",
            "closed",
            "reopened",
            "deleted",
            "transferred",
            "labeled",
            "unlabeled",
            "assigned",
            "unassigned",
            "locked",
            "unlocked",
        ],
    ),
    (
        "issue_comment",
        About::Comment,
        &["created", "edited", "deleted"],
    ),
    (
        "pull_request",
        About::Pull,
        &[
            "opened",
            "edited",
            "closed",
            "reopened",
            "synchronize",
            "labeled",
            "unlabeled",
            "ready_for_review",
            "converted_to_draft",
        ],
    ),
    (
        "pull_request_review",
        About::Review,
        &["submitted", "edited", "dismissed"],
    ),
    (
        "pull_request_review_comment",
        About::Review,
        &["created", "edited", "deleted"],
    ),
    ("push", About::Branch, &[]),
    ("create", About::Branch, &[]),
    ("delete", About::Branch, &[]),
    ("repository", About::Repository, &[]),
    ("public", About::Repository, &[]),
    ("installation", About::Reach, &[]),
    ("installation_repositories", About::Reach, &[]),
    ("installation_target", About::Reach, &[]),
];

static GITEA_EVENTS: Table = &[
    (
        "issues",
        About::Issue,
        &[
            "opened",
            "edited",
            "closed",
            "reopened",
            "deleted",
            "label_updated",
            "label_cleared",
            "assigned",
            "unassigned",
        ],
    ),
    ("issue_label", About::Issue, &[]),
    ("issue_assign", About::Issue, &[]),
    (
        "issue_comment",
        About::Comment,
        &["created", "edited", "deleted"],
    ),
    // As a type, a comment on a pull request; as an event, a review that only comments.
    ("pull_request_comment", About::Comment, &[]),
    (
        "pull_request",
        About::Pull,
        &[
            "opened",
            "edited",
            "closed",
            "reopened",
            "synchronized",
            "label_updated",
            "label_cleared",
            "reviewed",
        ],
    ),
    ("pull_request_label", About::Pull, &[]),
    ("pull_request_sync", About::Pull, &[]),
    ("pull_request_approved", About::Review, &[]),
    ("pull_request_rejected", About::Review, &[]),
    ("pull_request_review_approved", About::Review, &[]),
    ("pull_request_review_rejected", About::Review, &[]),
    ("pull_request_review_comment", About::Review, &[]),
    ("push", About::Branch, &[]),
    ("create", About::Branch, &[]),
    ("delete", About::Branch, &[]),
    ("repository", About::Repository, &[]),
];

/// The fields that we look at, whatever else a delivery holds.
#[derive(Deserialize)]
struct Payload {
    action: Option<String>,
    repository: Option<RepositoryPart>,
    issue: Option<IssuePart>,
    pull_request: Option<PullPart>,
    comment: Option<CommentPart>,
    sender: Option<SenderPart>,
    r#ref: Option<String>,
    ref_type: Option<String>,
}

#[derive(Deserialize)]
struct RepositoryPart {
    id: i64,
    full_name: String,
}

#[derive(Deserialize)]
struct IssuePart {
    number: i64,
    title: Option<String>,
    body: Option<String>,
}

#[derive(Deserialize)]
struct PullPart {
    number: i64,
}

#[derive(Deserialize)]
struct CommentPart {
    id: i64,
    body: Option<String>,
}

#[derive(Deserialize)]
struct SenderPart {
    login: String,
}

/// What a delivery says to look at. `event` is that of its headers, `body` as it was signed. Everything that it says
/// is somebody's word: whoever reads the hint asks the forge.
#[must_use]
pub fn parse(kind: Kind, event: &str, body: &[u8]) -> Read {
    let Some((_, about, actions)) = table(kind).iter().find(|(name, ..)| *name == event) else {
        let name: String = event.chars().take(NAME_MAX).collect();
        return Read::Ignored(match name.as_str() {
            "ping" => "a ping: deliveries arrive here".to_owned(),
            "meta" => "the webhook was deleted on the forge".to_owned(),
            _ => format!("the event `{name}` means nothing to us"),
        });
    };
    let payload: Payload = match serde_json::from_slice(body) {
        Ok(payload) => payload,
        Err(_) if body.starts_with(b"payload=") => {
            return Read::Ignored(
                "the body is a form; set the webhook's content type to application/json".to_owned(),
            );
        }
        // What the reader says of it may repeat a part of the body, so only the place is told.
        Err(why) => {
            let (what, line, column) = (kind_of(&why), why.line(), why.column());
            return Read::Ignored(format!("the body {what} at line {line}, column {column}"));
        }
    };
    let action = payload.action.as_deref().unwrap_or_default();
    if !actions.is_empty() && !actions.contains(&action) {
        let action: String = action.chars().take(NAME_MAX).collect();
        return Read::Ignored(format!(
            "`{event}` with action `{action}` changes nothing for us"
        ));
    }
    match hint(*about, payload) {
        Ok(read) => read,
        Err(what) => Read::Ignored(format!("`{event}` names no {what}")),
    }
}

fn kind_of(why: &serde_json::Error) -> &'static str {
    match why.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Data => "is not shaped as this event is",
        _ => "is not JSON",
    }
}

/// The hint of a delivery, or what it lacks.
fn hint(about: About, payload: Payload) -> Result<Read, &'static str> {
    if let About::Reach = about {
        return Ok(Read::Reach);
    }
    let repository = payload
        .repository
        .filter(|one| one.id > 0 && (3..=2 * NAME_MAX + 1).contains(&one.full_name.len()))
        .ok_or("repository")?;
    let deleted = payload.action.as_deref() == Some("deleted");
    let of_issue = payload.issue.as_ref().map(|issue| issue.number);
    let of_pull = payload.pull_request.as_ref().map(|pull| pull.number);
    let thread = |number: Option<i64>, what| match number {
        Some(number @ 1..) => Ok(Subject::Thread(number)),
        _ => Err(what),
    };
    let mut comment = None;
    let mut words = None;
    let subject = match about {
        About::Issue => {
            words = payload.issue.and_then(|issue| {
                let action = payload.action.as_deref().unwrap_or_default();
                Some(Words {
                    sender: payload.sender?.login,
                    labels_changed: matches!(
                        action,
                        "labeled" | "unlabeled" | "label_updated" | "label_cleared"
                    ),
                    title: issue.title?,
                    body: issue.body.unwrap_or_default(),
                })
            });
            words = words.filter(|words| words.title.len() + words.body.len() <= TEXT_MAX);
            thread(of_issue, "issue")?
        }
        About::Comment => {
            comment = payload
                .comment
                .filter(|one| !deleted && one.id > 0)
                .and_then(|one| Some((CommentId(one.id), one.body?)))
                .filter(|(_, text)| text.len() <= TEXT_MAX);
            thread(of_issue.or(of_pull), "issue")?
        }
        About::Pull | About::Review => thread(of_pull.or(of_issue), "pull request")?,
        About::Branch => {
            let is_tag = payload.ref_type.as_deref() == Some("tag")
                || payload
                    .r#ref
                    .is_some_and(|name| name.starts_with("refs/tags/"));
            if is_tag {
                return Ok(Read::Ignored("tags mean nothing to us".to_owned()));
            }
            Subject::Branch
        }
        About::Repository | About::Reach => Subject::Repository,
    };
    Ok(Read::Look(Box::new(Hint {
        repository: repository.id,
        name: repository.full_name,
        subject,
        comment,
        words,
    })))
}

/// The name of an event as we write it, where it is one that we look at: other names are whatever was sent.
#[must_use]
pub fn known_event(kind: Kind, event: &str) -> Option<&'static str> {
    let known = table(kind).iter().map(|(name, ..)| *name);
    known.chain(["ping"]).find(|name| *name == event)
}

fn table(kind: Kind) -> Table {
    match kind {
        Kind::GitHub => GITHUB_EVENTS,
        Kind::Gitea => GITEA_EVENTS,
    }
}
