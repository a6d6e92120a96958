//! Pull requests and reviews as GitHub answers them; the same rules as in `wire`.

use serde::Deserialize;

use super::super::{Account, Error, PullInfo, Remark, Review, ReviewVerdict, Stands};
use super::wire::{Id, User, account, commit, time};

#[derive(Debug, Deserialize)]
pub(super) struct Side {
    pub(super) sha: String,
    #[serde(rename = "ref")]
    pub(super) branch: String,
    pub(super) repo: Option<Id>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pull {
    pub(super) number: i64,
    pub(super) node_id: Option<String>,
    pub(super) state: String,
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) draft: Option<bool>,
    merged: Option<bool>,
    merged_at: Option<String>,
    merged_by: Option<User>,
    pub(super) user: Option<User>,
    pub(super) head: Side,
    pub(super) base: Side,
    pub(super) html_url: Option<String>,
}

impl Pull {
    pub(super) fn stands(&self) -> Stands {
        if self.merged == Some(true) || self.merged_at.is_some() {
            Stands::Merged
        } else if self.state == "open" {
            Stands::Open
        } else {
            Stands::Closed
        }
    }

    pub(super) fn is_by(&self, id: i64) -> bool {
        self.user.as_ref().is_some_and(|user| user.id == id)
    }

    pub(super) fn merger(&self) -> Option<Account> {
        account(self.merged_by.clone())
    }

    /// Whether its branch is in the repository that it wants to be merged into.
    pub(super) fn is_here(&self) -> bool {
        let id = |side: &Side| side.repo.as_ref().map(|repo| repo.id);
        id(&self.head).is_some() && id(&self.head) == id(&self.base)
    }

    pub(super) fn info(self) -> Result<PullInfo, Error> {
        Ok(PullInfo {
            number: self.number,
            stands: self.stands(),
            from_fork: !self.is_here(),
            title: self.title,
            body: self.body.unwrap_or_default(),
            author: account(self.user),
            draft: self.draft.unwrap_or(false),
            head: commit(&self.head.sha)?,
            head_branch: self.head.branch,
            head_ref: format!("refs/pull/{}/head", self.number),
            base_branch: self.base.branch,
            page: self.html_url.unwrap_or_default(),
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Reviewed {
    pub(super) id: i64,
    user: Option<User>,
    body: Option<String>,
    state: String,
    submitted_at: Option<String>,
    commit_id: Option<String>,
}

impl Reviewed {
    /// `None` for one that was not submitted.
    pub(super) fn review(self, remarks: Vec<Remark>) -> Option<Review> {
        let verdict = match self.state.to_ascii_uppercase().as_str() {
            "APPROVED" => ReviewVerdict::Approves,
            "CHANGES_REQUESTED" => ReviewVerdict::RequestsChanges,
            // A dismissed review has lost its verdict, not its words.
            "COMMENTED" | "DISMISSED" => ReviewVerdict::Comments,
            _ => return None,
        };
        Some(Review {
            id: self.id,
            author: account(self.user),
            verdict,
            commit: self.commit_id.and_then(|sha| sha.parse().ok()),
            body: self.body.unwrap_or_default(),
            at: time(&self.submitted_at?).ok()?,
            remarks,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ReviewComment {
    id: i64,
    pub(super) pull_request_review_id: Option<i64>,
    path: Option<String>,
    line: Option<u32>,
    side: Option<String>,
    body: Option<String>,
}

impl ReviewComment {
    pub(super) fn remark(self) -> Remark {
        // A line on the left side is one of the old text.
        let new = self.side.as_deref() != Some("LEFT");
        Remark {
            id: self.id,
            path: self.path.unwrap_or_default(),
            line: self.line.filter(|_| new),
            body: self.body.unwrap_or_default(),
        }
    }
}
