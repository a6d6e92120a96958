//! Publishing what was made on one machine.

use serde::{Deserialize, Serialize};

use super::super::ident::CommitId;
use super::{Revision, Stage, Task};

/// Where a result that was made on one machine is published: the repository of the issue that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublishTo {
    /// Name of the forge.
    pub forge: String,
    /// The repository, as the forge named it.
    pub repository: String,
    /// The forge's id of it.
    pub repository_id: i64,
    /// The issue's number.
    pub number: i64,
    /// The branch to merge into. It has the base: what is pushed beyond it is ours.
    pub into: String,
    /// The commit of the default branch whose repository file governs.
    pub rules: CommitId,
}

/// What was published of a result that was made on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublishedAt {
    /// The commit.
    pub head: CommitId,
    /// The page of its pull request.
    pub page: String,
}

impl Task {
    /// Where the newest result is still to be published: nobody did it yet, or only with an older one.
    #[must_use]
    pub fn unpublished(&self) -> Option<&PublishTo> {
        let (to, newest) = self.to_publish()?;
        let there = self.published.as_ref().map(|there| &there.head);
        (there != Some(&newest.result.head)).then_some(to)
    }

    /// Where the newest result has to be published beside this machine, now that it is there to be judged.
    #[must_use]
    pub fn to_publish(&self) -> Option<(&PublishTo, &Revision)> {
        let is_ready = matches!(
            self.stage,
            Stage::InReview {
                checking: None,
                closing: None,
                ..
            }
        );
        let to = self.issue.publish.as_ref().filter(|_| is_ready)?;
        Some((to, self.revision.as_ref()?))
    }
}
