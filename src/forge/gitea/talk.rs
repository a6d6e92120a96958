//! What people do on a repository on Gitea, and answers to it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::json;

use super::super::http::Call;
use super::super::{
    Account, CHANGED_MAX, Changed, Comment, CommentId, Conversation, Did, Entry, Error, LIST_MAX,
    Proof, PullInfo, Reaction, Remark, Repository, Review, ReviewVerdict, Thread, note_marker,
};
use super::shape::{
    RawComment, RawEntry, RawIssue, RawPull, RawPush, RawReaction, RawRemark, RawReview, account,
    time,
};
use super::{Repo, rights};
use crate::domain::ident::Time;
use crate::domain::policy::Right;
use crate::domain::report::CheckReport;

/// Empty pages of a timeline after which it is taken to be over: what is filtered out of it (remarks on lines,
/// mentions from where we may not look) is filtered out of pages that are cut already.
const EMPTY_MAX: usize = 3;

/// Our reactions as this forge calls them. Others of ours are left alone.
const REACTIONS: [(Reaction, &str); 4] = [
    (Reaction::Seen, "eyes"),
    (Reaction::Done, "+1"),
    (Reaction::Confused, "confused"),
    (Reaction::Refused, "-1"),
];

/// See the module.
pub(super) struct Talk {
    repo: Repo,
}

impl Talk {
    pub(super) fn new(repo: Repo) -> Self {
        Self { repo }
    }

    /// Those of the review's author: whoever answers to a review, or says that he does, is listed with it.
    async fn remarks(
        &self,
        number: &str,
        review: i64,
        author: Option<i64>,
    ) -> Result<Vec<Remark>, Error> {
        let id = review.to_string();
        let path = ["pulls", number, "reviews", id.as_str(), "comments"];
        let call = Call::new(Method::GET, path, format!("review {id}"));
        let mut raws: Vec<RawRemark> = self.repo.send(call, &[200]).await?.list()?;
        raws.sort_by_key(|raw| raw.id);
        let is_own =
            |raw: &RawRemark| author.is_some() && raw.user.as_ref().map(|user| user.id) == author;
        Ok(raws.into_iter().filter(is_own).map(remark).collect())
    }
}

impl Repo {
    /// What happened on issue or pull request `number`, oldest first.
    pub(super) async fn timeline(&self, number: i64) -> Result<Vec<RawEntry>, Error> {
        let number_text = number.to_string();
        let what = format!("the timeline of #{number}");
        let path = ["issues", number_text.as_str(), "timeline"];
        let call = Call::new(Method::GET, path, what.clone()).query("limit", "50");
        let mut all: Vec<RawEntry> = Vec::new();
        let mut empty = 0;
        for page in 1_u32.. {
            let one = call.clone().query("page", page.to_string());
            // One that refers to what was deleted since is told as nothing at all.
            let entries: Vec<Option<RawEntry>> = self.on(number, one).await?.list()?;
            empty = if entries.is_empty() { empty + 1 } else { 0 };
            // Neither its length nor a next page is told rightly.
            if empty == EMPTY_MAX {
                break;
            }
            all.extend(entries.into_iter().flatten());
            if all.len() > LIST_MAX {
                return Err(Error::Invalid {
                    what,
                    why: format!("there are more than {LIST_MAX} entries"),
                });
            }
        }
        all.sort_by_key(|entry| entry.id);
        all.dedup_by_key(|entry| entry.id);
        Ok(all)
    }
}

#[async_trait]
impl Conversation for Talk {
    async fn repository(&self) -> Result<Repository, Error> {
        let raw = self.repo.raw().await?;
        self.repo.home.repository(raw).await
    }

    async fn thread(&self, number: i64) -> Result<Thread, Error> {
        let path = number.to_string();
        let what = format!("#{number}");
        let raw: RawIssue = self.repo.get(&["issues", path.as_str()], what).await?;
        Ok(raw.thread())
    }

    async fn timeline(&self, number: i64) -> Result<Vec<Entry>, Error> {
        let raws = self.repo.timeline(number).await?;
        Ok(raws.into_iter().filter_map(entry).collect())
    }

    async fn comments(&self, number: i64, since: Option<Time>) -> Result<Vec<Comment>, Error> {
        let since = since.map(Time::rfc3339);
        let raws = self.repo.all_comments(number, since).await?;
        if raws.len() > LIST_MAX {
            return Err(Error::Invalid {
                what: format!("comments of #{number}"),
                why: format!("there are more than {LIST_MAX} entries"),
            });
        }
        Ok(raws.into_iter().map(RawComment::comment).collect())
    }

    async fn comment(&self, id: CommentId) -> Result<Comment, Error> {
        Ok(self.repo.one_comment(id).await?.comment())
    }

    async fn pull(&self, number: i64) -> Result<PullInfo, Error> {
        let path = number.to_string();
        let what = format!("pull request #{number}");
        let raw: RawPull = self
            .repo
            .get(&["pulls", path.as_str()], what.clone())
            .await?;
        raw.info().ok_or(Error::Gone {
            what: format!("the head of {what}"),
        })
    }

    async fn reviews(&self, number: i64) -> Result<Vec<Review>, Error> {
        let path = number.to_string();
        let what = format!("reviews of #{number}");
        let call = Call::new(Method::GET, ["pulls", path.as_str(), "reviews"], what);
        let mut raws: Vec<RawReview> = self.repo.pages(call, |_| true).await?;
        raws.sort_by_key(|raw| raw.id);
        let mut reviews = Vec::new();
        for raw in raws {
            let Some(verdict) = verdict(&raw) else {
                continue;
            };
            let remarks = match raw.comments_count {
                0 => Vec::new(),
                _ => {
                    let author = raw.user.as_ref().map(|user| user.id);
                    self.remarks(&path, raw.id, author).await?
                }
            };
            // Begun at the one, submitted at the other; taking it back moves the second once more.
            let at = match raw.dismissed {
                true => time(&raw.submitted_at),
                false => time(&raw.submitted_at).max(time(&raw.updated_at)),
            };
            reviews.push(Review {
                id: raw.id,
                author: account(raw.user),
                verdict,
                commit: raw.commit_id.parse().ok(),
                body: raw.body,
                at,
                remarks,
            });
        }
        Ok(reviews)
    }

    async fn right(&self, login: &str) -> Result<Option<Right>, Error> {
        rights::right(&self.repo, login).await
    }

    async fn writers(&self) -> Result<Option<Vec<Account>>, Error> {
        Ok(Some(rights::assignable(&self.repo).await?))
    }

    async fn unedited(&self, _number: i64, _at: Time) -> Result<Proof, Error> {
        Ok(Proof::Unknown)
    }

    async fn changed(&self, since: Time) -> Result<Vec<Changed>, Error> {
        let call = Call::new(Method::GET, ["issues"], "issues and pull requests")
            .query("state", "all")
            .query("since", since.rfc3339());
        // One that is opened while pages are read moves others to the next page: they come twice.
        let mut newest: BTreeMap<i64, Changed> = BTreeMap::new();
        let take = |raws: Vec<RawIssue>| {
            for raw in raws {
                let one = Changed {
                    at: time(&raw.updated_at),
                    number: raw.number,
                    is_pull: raw.pull_request.is_some(),
                };
                let kept = newest.entry(one.number).or_insert(one);
                *kept = one.max(*kept);
            }
            true
        };
        self.repo.each_page(call, CHANGED_MAX, take).await?;
        let mut all: Vec<Changed> = newest.into_values().collect();
        all.sort();
        Ok(all)
    }

    async fn react(&self, comment: CommentId, reaction: Option<Reaction>) -> Result<(), Error> {
        let me = self.repo.home.me().await?.id;
        let id = comment.0.to_string();
        let path = ["issues", "comments", id.as_str(), "reactions"];
        let what = format!("reactions to comment {id}");
        let call = Call::new(Method::GET, path, what.clone());
        let there: Vec<RawReaction> = self.repo.send(call, &[200]).await?.list()?;
        let ours = |content: &str| {
            let is_mine = |raw: &RawReaction| raw.user.as_ref().is_some_and(|user| user.id == me);
            there
                .iter()
                .any(|raw| raw.content == content && is_mine(raw))
        };
        // First put there, then taken off: a reader never sees none.
        let (wanted, others): (Vec<_>, Vec<_>) = REACTIONS
            .into_iter()
            .partition(|(one, _)| Some(*one) == reaction);
        for (_, content) in wanted {
            if !ours(content) {
                let body = json!({ "content": content });
                self.repo
                    .write(Method::POST, &path, body, &[200, 201], what.clone())
                    .await?;
            }
        }
        for (_, content) in others {
            if ours(content) {
                let body = json!({ "content": content });
                self.repo
                    .write(Method::DELETE, &path, body, &[200, 204], what.clone())
                    .await?;
            }
        }
        Ok(())
    }

    async fn ensure_note(
        &self,
        number: i64,
        key: &str,
        known: Option<CommentId>,
        body: &str,
    ) -> Result<CommentId, Error> {
        let mark = note_marker(key);
        self.repo
            .ensure_own(number, &mark, known, body, false)
            .await
    }

    async fn set_check(&self, check: &CheckReport, page: Option<&str>) -> Result<(), Error> {
        self.repo.ensure_check(check, page).await
    }
}

/// `None` for what is of no interest, and for a label that was deleted since.
fn entry(raw: RawEntry) -> Option<Entry> {
    let what = match raw.kind.as_str() {
        "label" => {
            let name = raw.label?.name;
            // One was put there where the text is "1", taken off where there is none.
            match raw.body.as_str() {
                "1" => Did::Labelled(name),
                _ => Did::Unlabelled(name),
            }
        }
        "assignees" => {
            let login = raw.assignee?.login;
            match raw.removed_assignee {
                false => Did::Assigned(login),
                true => Did::Unassigned(login),
            }
        }
        "change_title" => Did::Renamed,
        "close" => Did::Closed,
        "reopen" => Did::Reopened,
        "merge_pull" => Did::Merged,
        "pull_push" => pushed(&raw.body),
        "change_target_branch" => Did::Retargeted,
        _ => return None,
    };
    Some(Entry {
        id: raw.id,
        by: account(raw.user),
        at: time(&raw.created_at),
        what,
    })
}

/// In both forms the new head is the last one. One that cannot be read is a push all the same.
fn pushed(text: &str) -> Did {
    let push: RawPush = serde_json::from_str(text).unwrap_or_default();
    Did::Pushed {
        head: push.commit_ids.last().and_then(|last| last.parse().ok()),
        over: push.is_force_push,
    }
}

/// `None` for a review that was not submitted. One that was taken back, by its author's next verdict or by somebody
/// else, decides nothing any more, and still has its words.
fn verdict(raw: &RawReview) -> Option<ReviewVerdict> {
    match raw.state.as_str() {
        "APPROVED" | "REQUEST_CHANGES" if raw.dismissed => Some(ReviewVerdict::Comments),
        "APPROVED" => Some(ReviewVerdict::Approves),
        "REQUEST_CHANGES" => Some(ReviewVerdict::RequestsChanges),
        "COMMENT" => Some(ReviewVerdict::Comments),
        _ => None,
    }
}

fn remark(raw: RawRemark) -> Remark {
    Remark {
        id: raw.id,
        path: raw.path,
        line: u32::try_from(raw.position).ok().filter(|line| *line > 0),
        body: raw.body,
    }
}
