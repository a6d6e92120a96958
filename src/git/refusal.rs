//! What git and a forge say when they refuse, sorted by what can be done about it.
//!
//! Pure text work over `LC_ALL=C` output. Lines that begin with `remote:` are the forge's own
//! words: they are shown to people and never decide anything, except which rule refused a push.

use super::Error;
use super::transport::{Remote, Said};
use crate::domain::ident::CommitId;

/// Why a fetch or a look at a forge did not succeed, sorted by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The repository is there, the branch, pull request or commit is not: read the forge anew.
    #[error("{0} is not on the forge (any more)")]
    NotFound(String),
    /// The repository is not there, was renamed, or is hidden from this account: look it up anew.
    #[error("there is no repository at {url} for this account: {why}")]
    Gone {
        /// Its address.
        url: String,
        /// What was said.
        why: String,
    },
    /// An operator renews the credential.
    #[error("the forge does not accept the credential of git: {why}")]
    Auth {
        /// What was said.
        why: String,
    },
    /// An operator grants the right.
    #[error("the forge does not permit it to this account: {why}")]
    Denied {
        /// What was said.
        why: String,
    },
    /// Wait and call again: network, time-out, the forge's own failure. A push may have happened.
    #[error("{why}")]
    Retry {
        /// What was said.
        why: String,
    },
    /// More than may be fetched; nothing of it is kept.
    #[error("the fetch brings more than {}; nothing of it was kept", crate::domain::text::size(*.limit))]
    TooLarge {
        /// The cap in bytes.
        limit: u64,
    },
    /// Cannot be used as it is; the text says what to change.
    #[error("{0}")]
    Unusable(String),
    /// This machine: disk, or the git program.
    #[error(transparent)]
    Here(#[from] Error),
}

/// Why a push did not succeed, sorted by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Somebody else moved the branch: decide again with what was found.
    #[error("the branch is at {}, which is not as expected", .found.as_ref().map_or("no commit", CommitId::short))]
    Stale {
        /// Where the branch is; `None` = there is none.
        found: Option<CommitId>,
    },
    /// A rule of the forge does not let it in: a person changes the rule or the commit.
    #[error("refused by {}: {rule}", kind.words())]
    Refused {
        /// The forge's own words: cleaned, capped, not Markdown.
        rule: String,
        /// Which kind of rule.
        kind: Rule,
    },
    /// As for a fetch.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

impl From<Error> for PushError {
    fn from(error: Error) -> Self {
        Self::Remote(error.into())
    }
}

/// What kind of rule refuses a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The branch is protected, or branches may not be made, moved or deleted so.
    Protected,
    /// Commits have to be signed.
    Signatures,
    /// The branch's name does not fit a pattern.
    BranchName,
    /// Files of the forge's own workflows need a right of their own.
    Workflow,
    /// A file or the push is too large.
    Size,
    /// The forge sees a secret in it.
    Secret,
    /// Another rule, or a hook of the server: its words say which.
    Other,
}

impl Rule {
    /// For people: `refused by …`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Protected => "the protection of the branch",
            Self::Signatures => "the rule that commits are signed",
            Self::BranchName => "the rule on branch names",
            Self::Workflow => "the rule on workflow files",
            Self::Size => "the limit on sizes",
            Self::Secret => "the search for secrets",
            Self::Other => "a rule of the forge",
        }
    }
}

/// What became of a push.
#[derive(Debug)]
pub(super) enum Pushed {
    /// The branch is as asked.
    Done,
    /// It was to be deleted and is not there.
    Absent,
    /// It is not where it was expected, as far as the forge says.
    Moved,
}

/// What a push that was run with `--porcelain` came to.
pub(super) fn pushed(said: &Said, remote: &Remote) -> Result<Pushed, PushError> {
    if said.status.success() {
        return Ok(Pushed::Done);
    }
    // One ref is pushed, so one line begins with `!` and a tab.
    let line = said.out.lines().find_map(|line| line.strip_prefix("!\t"));
    let Some(summary) = line.and_then(|line| line.split_once('\t')).map(|(_, s)| s) else {
        let gone = |line: &str| line.ends_with("remote ref does not exist");
        if own_lines(&said.err).any(gone) {
            return Ok(Pushed::Absent);
        }
        if has(&said.err, &["returned error: 413", "HTTP 413"]) {
            let rule = remote.clean(&words(&said.err, ""));
            return Err(PushError::Refused {
                rule,
                kind: Rule::Size,
            });
        }
        return Err(sort(&said.err, remote).into());
    };
    // What git found out by itself: the lease is compared with what the forge just said.
    if summary.starts_with("[rejected]") {
        return Ok(Pushed::Moved);
    }
    let reason = summary
        .split_once('(')
        .map_or(summary, |(_, reason)| reason.trim_end_matches(')'));
    // The same, found out by the forge at the last moment.
    let raced = [
        "failed to update ref",
        "cannot lock ref",
        "failed to lock",
        "fetch first",
        "stale info",
        "incorrect old value provided",
        "reference already exists",
        "already exists",
    ];
    if raced.iter().any(|words| reason.starts_with(words)) {
        return Ok(Pushed::Moved);
    }
    let why = remote.clean(&words(&said.err, reason));
    // Ours may have arrived, or their disk is full: the next attempt sees.
    let broken = ["unpacker error", "remote failed to report", "atomic"];
    let size = ["exceeds maximum", "exceeds allowed size", "too large"];
    if summary.starts_with("[remote failure]")
        || (broken.iter().any(|words| reason.starts_with(words)) && !has(&said.err, &size))
    {
        return Err(RemoteError::Retry { why }.into());
    }
    Err(PushError::Refused {
        kind: rule(reason, &said.err),
        rule: why,
    })
}

/// Which kind of rule speaks. The forge's words decide here: it is the forge that refuses.
fn rule(reason: &str, err: &str) -> Rule {
    let all = format!("{reason}\n{err}").to_lowercase();
    let says = |any: &[&str]| any.iter().any(|words| all.contains(words));
    if says(&[
        "create or update workflow",
        "workflow` scope",
        "workflows` permission",
    ]) {
        Rule::Workflow
    } else if says(&[
        "secret scanning",
        "gh009",
        "push protection",
        "push cannot contain secrets",
    ]) {
        Rule::Secret
    } else if says(&[
        "verified signature",
        "must be signed",
        "signed commit",
        "unsigned commit",
    ]) {
        Rule::Signatures
    } else if says(&[
        "branch name must",
        "ref name must",
        "branch name does not",
        "name does not follow",
        "must match a given regex",
        "must match the pattern",
        "matching pattern",
    ]) {
        Rule::BranchName
    } else if says(&[
        "gh001",
        "file size limit",
        "large files",
        "exceeds maximum",
        "exceeds allowed size",
        "quota exceeded",
        "too large",
    ]) {
        Rule::Size
    } else if says(&[
        "protected branch",
        "gh006",
        "gh013",
        "is protected",
        "repository rule violations",
        "deletion prohibited",
        "deletion of the current branch",
        "non-fast-forward",
        "creations being restricted",
        "branch is currently checked out",
    ]) {
        Rule::Protected
    } else {
        Rule::Other
    }
}

/// Why a command against a forge failed.
pub(super) fn sort(err: &str, remote: &Remote) -> RemoteError {
    let why = remote.clean(&words(err, ""));
    let gone = |why: String| RemoteError::Gone {
        url: remote.url().to_owned(),
        why,
    };
    let here = |why: String| {
        RemoteError::Here(Error::Disk {
            doing: "write what is fetched to",
            path: "the data folder".into(),
            source: std::io::Error::other(why),
        })
    };
    let says = |any: &[&str]| has(err, any);
    if let Some(name) = own_lines(err).find_map(|line| {
        let line = line.strip_prefix("fatal: ").unwrap_or(line);
        line.strip_prefix("couldn't find remote ref ")
            .map(str::to_owned)
            .or_else(|| {
                line.split_once("not our ref ")
                    .map(|(_, c)| format!("commit {c}"))
            })
    }) {
        return RemoteError::NotFound(remote.clean(&name));
    }
    if says(&["terminal prompts disabled", "Authentication failed"]) {
        return RemoteError::Auth { why };
    }
    match status(err) {
        Some(401) => return RemoteError::Auth { why },
        Some(403 | 407) => return RemoteError::Denied { why },
        Some(300..=399) => {
            return gone(format!(
                "it answers with a redirect, which git does not follow; {why}"
            ));
        }
        Some(404 | 410 | 451) => return gone(why),
        _ => {}
    }
    let not_found =
        |line: &str| line.starts_with("fatal: repository '") && line.ends_with("' not found");
    if own_lines(err).any(not_found) {
        return gone(why);
    }
    if says(&["certificate"]) {
        return RemoteError::Unusable(format!(
            "the certificate of {} is not accepted: {why}",
            remote.url()
        ));
    }
    if says(&["Unable to find remote helper", "is not a git command"]) {
        return Error::Unsupported(
            "this git cannot speak https; install the whole git package".to_owned(),
        )
        .into();
    }
    if says(&[
        "No space left on device",
        "Disk quota exceeded",
        "Read-only file system",
    ]) {
        return here(why);
    }
    if says(&[
        "fsck error",
        "mismatched algorithms",
        "did not send all necessary objects",
    ]) || own_lines(err)
        .any(|line| line.starts_with("error: object ") && line.matches(": ").count() > 2)
    {
        return RemoteError::Unusable(format!("what {} sends is refused: {why}", remote.url()));
    }
    RemoteError::Retry {
        why: format!("git could not talk to {}: {why}", remote.url()),
    }
}

/// The HTTP status that git names.
fn status(err: &str) -> Option<u16> {
    own_lines(err).find_map(|line| {
        ["returned error: ", "RPC failed; HTTP "]
            .iter()
            .find_map(|before| line.split_once(before))
            .and_then(|(_, after)| after.get(..3))
            .and_then(|digits| digits.parse().ok())
    })
}

fn is_theirs(line: &str) -> bool {
    line.starts_with("remote:")
}

/// What git itself says. A word of the forge must not pass for it.
fn own_lines(err: &str) -> impl Iterator<Item = &str> {
    err.lines()
        .map(str::trim_end)
        .filter(|line| !is_theirs(line))
}

fn has(err: &str, any: &[&str]) -> bool {
    own_lines(err).any(|line| any.iter().any(|words| line.contains(words)))
}

/// What a person should read of it: the forge's words and the reason, else git's last words.
fn words(err: &str, reason: &str) -> String {
    let mut lines: Vec<&str> = err
        .lines()
        .filter_map(|line| line.strip_prefix("remote:"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if !reason.is_empty() {
        lines.push(reason);
    }
    let own = own_lines(err).filter(|line| {
        ["fatal: ", "error: "]
            .iter()
            .any(|start| line.starts_with(start))
            && !line.starts_with("error: failed to push some refs")
    });
    if reason.is_empty() {
        lines.extend(own);
    }
    if lines.is_empty() {
        return "it gave no reason".to_owned();
    }
    lines.join("\n")
}
