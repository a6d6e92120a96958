//! Deliveries: what a forge sends, verified and read, without IO.
//!
//! A delivery is a hint. It says where to look, never what is true: rights, labels and words are read again.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use super::types::CommentId;

/// A program that hosts repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// GitHub and GitHub Enterprise Server.
    GitHub,
    /// Gitea and Forgejo.
    Gitea,
}

/// What the verified headers of a delivery say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The forge's id of the delivery, the same when it is sent again.
    pub delivery: String,
    /// The name of the event, as in the forge's own header.
    pub event: String,
}

/// Why a delivery is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// There is no signature, or an empty one.
    #[error("the delivery is not signed; set the same secret on the forge's webhook")]
    Missing,
    /// It has another form than a signature has.
    #[error("the signature is malformed")]
    Malformed,
    /// It is the signature of something else.
    #[error("the signature is wrong; the secret here and on the forge differ")]
    Wrong,
    /// Delivery id or event are missing or malformed.
    #[error("the delivery names no id or no event")]
    Headers,
}

/// What a delivery says to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The repository's id on its forge.
    pub repository: i64,
    /// Its name then.
    pub name: String,
    /// What to look at there.
    pub subject: Subject,
    /// The comment that it brings, with its text as signed.
    pub comment: Option<(CommentId, String)>,
    /// Title and text of the issue as signed, with who is named as having done it.
    pub words: Option<Words>,
}

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An issue or pull request.
    Thread(i64),
    /// The repository itself: its name, its branches, our right there.
    Repository,
}

/// An issue's words as a signed delivery has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Who did what the delivery tells of.
    pub sender: String,
    /// It tells of a change of labels.
    pub labels_changed: bool,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
}

/// What became of reading a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Something to look at.
    Look(Box<Hint>),
    /// The repositories that we reach may be others now: list them anew.
    Reach,
    /// Nothing for us; why.
    Ignored(String),
}

/// What the headers of a delivery claim. Nothing is proven yet, and nothing was hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    signed: Signed,
    mac: [u8; 32],
}

/// Largest number of characters of a delivery's id, and of an event's name.
const NAME_MAX: usize = 100;

/// Headers of one kind of forge: the first of each list that is there decides.
struct Names {
    /// Signatures, with what stands before the digits.
    signature: &'static [(&'static str, &'static str)],
    event: &'static [&'static str],
    delivery: &'static [&'static str],
}

static GITHUB: Names = Names {
    signature: &[("x-hub-signature-256", "sha256=")],
    event: &["x-github-event"],
    delivery: &["x-github-delivery"],
};

/// The type is finer than the event; the event alone is what older servers send.
static GITEA: Names = Names {
    signature: &[
        ("x-gitea-signature", ""),
        ("x-forgejo-signature", ""),
        ("x-hub-signature-256", "sha256="),
    ],
    event: &[
        "x-gitea-event-type",
        "x-forgejo-event-type",
        "x-gitea-event",
        "x-forgejo-event",
    ],
    delivery: &["x-gitea-delivery", "x-forgejo-delivery"],
};

/// Whether a delivery was signed with `secret`, and what its headers say. Which forge it is comes from the address
/// that it was sent to, never from its headers: every forge can send those of another.
///
/// # Errors
/// [`Unsigned`], which holds nothing of what was sent.
pub fn verify<'h>(
    kind: Kind,
    secret: &SecretString,
    header: &dyn Fn(&str) -> Option<&'h str>,
    body: &[u8],
) -> Result<Signed, Unsigned> {
    claim(kind, header)?.prove(secret, body)
}

/// The first half of [`verify`], for which no body is needed.
///
/// # Errors
/// Everything but [`Unsigned::Wrong`].
pub fn claim<'h>(
    kind: Kind,
    header: &dyn Fn(&str) -> Option<&'h str>,
) -> Result<Claimed, Unsigned> {
    let names = match kind {
        Kind::GitHub => &GITHUB,
        Kind::Gitea => &GITEA,
    };
    // One that is there but empty is what a forge without a secret sends: no other is looked for.
    let mut signatures = names.signature.iter();
    let (digits, before) = signatures
        .find_map(|(name, before)| Some((header(name)?, *before)))
        .ok_or(Unsigned::Missing)?;
    if digits.is_empty() || digits == before {
        return Err(Unsigned::Missing);
    }
    let digits = digits.strip_prefix(before).ok_or(Unsigned::Malformed)?;
    let mac = unhex(digits).ok_or(Unsigned::Malformed)?;
    let first = |list: &[&str]| {
        let text = list.iter().find_map(|name| header(name))?;
        let fits =
            (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| text.to_owned())
    };
    Ok(Claimed {
        signed: Signed {
            delivery: first(names.delivery).ok_or(Unsigned::Headers)?,
            event: first(names.event).ok_or(Unsigned::Headers)?,
        },
        mac,
    })
}

impl Claimed {
    /// The second half of [`verify`]: the body is what was signed. Compared in constant time.
    ///
    /// # Errors
    /// [`Unsigned::Wrong`], also where `secret` is empty: everybody knows that one.
    pub fn prove(self, secret: &SecretString, body: &[u8]) -> Result<Signed, Unsigned> {
        let secret = secret.expose_secret().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| Unsigned::Wrong)?;
        mac.update(body);
        if secret.is_empty() || mac.verify_slice(&self.mac).is_err() {
            return Err(Unsigned::Wrong);
        }
        Ok(self.signed)
    }
}

/// 32 bytes of 64 digits.
fn unhex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            value = value * 16 + char::from(*digit).to_digit(16)?;
        }
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}

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
            Subject::Repository
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
