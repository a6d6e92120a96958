//! The GraphQL documents, all of them, and asking them. They are checked against GitHub's published schema by tests.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::{Error, Proof};
use super::api::{Ask, Line, PAGE, lost};
use super::fit::clipped;
use super::wire;
use crate::domain::ident::Time;

/// When title and body of an issue or pull request were edited last.
const WORDS: &str = "query PrenticeWords($id: ID!) {
  node(id: $id) {
    ... on Issue {
      lastEditedAt
      timelineItems(last: 1, itemTypes: [RENAMED_TITLE_EVENT]) {
        nodes { ... on RenamedTitleEvent { createdAt } }
      }
    }
    ... on PullRequest {
      lastEditedAt
      timelineItems(last: 1, itemTypes: [RENAMED_TITLE_EVENT]) {
        nodes { ... on RenamedTitleEvent { createdAt } }
      }
    }
  }
}";

/// Whether comments were edited, and whether they are hidden.
const COMMENTS: &str = "query PrenticeComments($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on IssueComment { id lastEditedAt isMinimized }
  }
}";

/// Hides a comment as out of date.
const MINIMISE: &str = "mutation PrenticeMinimise($id: ID!) {
  minimizeComment(input: { subjectId: $id, classifier: OUTDATED }) {
    minimizedComment { isMinimized }
  }
}";

/// Makes a draft ready.
const READY: &str = "mutation PrenticeReady($id: ID!) {
  markPullRequestReadyForReview(input: { pullRequestId: $id }) {
    pullRequest { isDraft }
  }
}";

#[derive(Deserialize)]
struct Reply<T> {
    data: Option<T>,
    errors: Option<Vec<Mistake>>,
}

#[derive(Deserialize)]
struct Mistake {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct One<T> {
    node: Option<T>,
}

#[derive(Deserialize)]
struct Many<T> {
    nodes: Vec<Option<T>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Words {
    // Demanded, so that a field that was dropped is no proof.
    #[serde(deserialize_with = "Option::deserialize")]
    last_edited_at: Option<String>,
    timeline_items: Many<Renamed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Renamed {
    created_at: String,
}

/// A comment as GraphQL has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    #[serde(default)]
    id: String,
    #[serde(deserialize_with = "Option::deserialize")]
    last_edited_at: Option<String>,
    is_minimized: Option<bool>,
}

impl Seen {
    pub(super) fn is_edited(&self) -> bool {
        self.last_edited_at.is_some()
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.is_minimized == Some(true)
    }
}

impl Line {
    /// Whether title and body of the node are as they were at `at`. Times are whole seconds: what happened within
    /// the second of `at` counts as later.
    pub(super) async fn unedited(
        &self,
        node: &str,
        at: Time,
        ask: Ask<'_>,
    ) -> Result<Proof, Error> {
        let one: Option<One<Value>> = self.graph(WORDS, json!({ "id": node }), false, ask).await?;
        let Some(found) = one.and_then(|one| one.node) else {
            return Ok(Proof::Unknown);
        };
        let Ok(words) = serde_json::from_value::<Words>(found) else {
            return Ok(Proof::Unknown);
        };
        let renamed = words.timeline_items.nodes.into_iter().flatten();
        let edits = words
            .last_edited_at
            .into_iter()
            .chain(renamed.map(|one| one.created_at));
        let second = at.0.div_euclid(1000).saturating_mul(1000);
        for edit in edits {
            if wire::time(&edit)?.0 >= second {
                return Ok(Proof::Edited);
            }
        }
        Ok(Proof::Unedited)
    }

    /// The comments of these node ids; those that GraphQL does not have are missing.
    pub(super) async fn seen(
        &self,
        nodes: &[&str],
        ask: Ask<'_>,
    ) -> Result<std::collections::HashMap<String, Seen>, Error> {
        let mut all = std::collections::HashMap::new();
        for ids in nodes.chunks(PAGE) {
            let found: Option<Many<Value>> = self
                .graph(COMMENTS, json!({ "ids": ids }), false, ask)
                .await?;
            let found = found.map(|many| many.nodes).unwrap_or_default();
            for one in found.into_iter().flatten() {
                // One of another shape proves nothing, and is missing like one that is not there.
                if let Ok(seen) = serde_json::from_value::<Seen>(one) {
                    all.insert(seen.id.clone(), seen);
                }
            }
        }
        Ok(all)
    }

    pub(super) async fn minimise(&self, node: &str, ask: Ask<'_>) -> Result<(), Error> {
        let _: Option<Value> = self
            .graph(MINIMISE, json!({ "id": node }), true, ask)
            .await?;
        Ok(())
    }

    pub(super) async fn ready(&self, node: &str, ask: Ask<'_>) -> Result<(), Error> {
        let _: Option<Value> = self.graph(READY, json!({ "id": node }), true, ask).await?;
        Ok(())
    }

    async fn graph<T: DeserializeOwned>(
        &self,
        document: &str,
        variables: Value,
        write: bool,
        ask: Ask<'_>,
    ) -> Result<Option<T>, Error> {
        let body = json!({ "query": document, "variables": variables });
        let answer = self.send_graph(&body, write).await?;
        let answer = self.done(answer, &[200], ask)?;
        let reply: Reply<T> = answer.read(ask)?;
        for mistake in reply.errors.unwrap_or_default() {
            let said = clipped(&mistake.message.replace(char::is_control, " "), 300);
            return Err(match mistake.kind.as_deref() {
                // A list has a hole where one was deleted; what is there is told.
                Some("NOT_FOUND") if !write => continue,
                Some("NOT_FOUND") => Error::Gone {
                    what: ask.what.to_owned(),
                },
                Some("RATE_LIMITED") => self.limited(&said),
                Some("FORBIDDEN" | "INSUFFICIENT_SCOPES" | "UNAUTHORIZED") => Error::NotPermitted {
                    what: format!("{} ({said})", ask.what),
                    setting: self.hub.setting(ask.needs),
                },
                _ if said.contains("not accessible") => Error::NotPermitted {
                    what: format!("{} ({said})", ask.what),
                    setting: self.hub.setting(ask.needs),
                },
                // GitHub's words for a failure of its own.
                None if said.contains("Something went wrong") => lost(&said),
                _ => Error::Invalid {
                    what: ask.what.to_owned(),
                    why: said,
                },
            });
        }
        Ok(reply.data)
    }
}
