//! Hearing what people do, and answering.

use std::collections::HashMap;
use std::ops::ControlFlow;

use async_trait::async_trait;
use serde_json::json;

use super::super::{
    Account, CHANGED_MAX, Changed, Comment, CommentId, Conversation, Entry, Error, Proof, PullInfo,
    Reaction, Remark, Repository, Review, Thread, note_marker,
};
use super::api::{Ask, Line, Method};
use super::comments::{Found, Missing};
use super::repo::Repo;
use super::wire;
use crate::domain::ident::Time;
use crate::domain::policy::Right;
use crate::domain::report::CheckReport;

/// See the module.
pub(super) struct Talk(pub(super) Repo);

#[async_trait]
impl Conversation for Talk {
    async fn repository(&self) -> Result<Repository, Error> {
        self.0.repository().await
    }

    async fn thread(&self, number: i64) -> Result<Thread, Error> {
        self.0.issue(number).await?.thread()
    }

    async fn timeline(&self, number: i64) -> Result<Vec<Entry>, Error> {
        let what = format!("the timeline of #{number}");
        let path = self.0.at(&format!("/issues/{number}/timeline"));
        let line = self.0.line().await?;
        let all: Vec<wire::Event> = line.list(&path, None, reading(&what)).await?;
        Ok(all.into_iter().filter_map(wire::Event::entry).collect())
    }

    async fn comments(&self, number: i64, since: Option<Time>) -> Result<Vec<Comment>, Error> {
        let what = format!("the comments of #{number}");
        let since = since.map_or(String::new(), |since| format!("?since={}", since.rfc3339()));
        let path = self.0.at(&format!("/issues/{number}/comments{since}"));
        let line = self.0.line().await?;
        let all: Vec<wire::IssueComment> = line.list(&path, None, reading(&what)).await?;
        told(&line, all, reading(&what)).await
    }

    async fn comment(&self, id: CommentId) -> Result<Comment, Error> {
        let what = format!("comment {}", id.0);
        let line = self.0.line().await?;
        let gone = || Error::Gone { what: what.clone() };
        let found = self.0.comment_if_any(&line, id).await?.ok_or_else(gone)?;
        let mut one = told(&line, vec![found], reading(&what)).await?;
        one.pop().ok_or_else(gone)
    }

    async fn pull(&self, number: i64) -> Result<PullInfo, Error> {
        let line = self.0.line().await?;
        self.0.pull_by_number(&line, number).await?.info()
    }

    async fn reviews(&self, number: i64) -> Result<Vec<Review>, Error> {
        let what = format!("the reviews of #{number}");
        let ask = Ask {
            what: &what,
            needs: "pull_requests: read",
        };
        let line = self.0.line().await?;
        let path = self.0.at(&format!("/pulls/{number}/reviews"));
        let all: Vec<wire::Reviewed> = line.list(&path, None, ask).await?;
        if all.is_empty() {
            return Ok(Vec::new());
        }
        // One list for all reviews instead of one for each.
        let path = self.0.at(&format!("/pulls/{number}/comments"));
        let inline: Vec<wire::ReviewComment> = line.list(&path, None, ask).await?;
        let mut remarks: HashMap<i64, Vec<Remark>> = HashMap::new();
        for one in inline {
            if let Some(review) = one.pull_request_review_id {
                remarks.entry(review).or_default().push(one.remark());
            }
        }
        let review = |one: wire::Reviewed| {
            let of = remarks.remove(&one.id).unwrap_or_default();
            one.review(of)
        };
        Ok(all.into_iter().filter_map(review).collect())
    }

    async fn right(&self, login: &str) -> Result<Option<Right>, Error> {
        self.0.right(login).await
    }

    async fn writers(&self) -> Result<Option<Vec<Account>>, Error> {
        self.0.writers().await
    }

    async fn unedited(&self, number: i64, at: Time) -> Result<Proof, Error> {
        let what = format!("the edits of #{number}");
        let Some(node) = self.0.issue(number).await?.node_id else {
            return Ok(Proof::Unknown);
        };
        let line = self.0.line().await?;
        line.unedited(&node, at, reading(&what)).await
    }

    async fn changed(&self, since: Time) -> Result<Vec<Changed>, Error> {
        // By when they were made: in a list by when they changed, one that changes while the pages are read moves
        // the others, and one of them is missed.
        let path = self.0.at(&format!(
            "/issues?state=all&sort=created&direction=asc&since={}",
            since.rfc3339()
        ));
        let line = self.0.line().await?;
        let mut changed: Vec<Result<Changed, Error>> = Vec::new();
        let see = |one: wire::Issue| {
            changed.push(one.changed());
            ControlFlow::Continue(())
        };
        let ask = reading("the issues that changed");
        line.pages_up_to(CHANGED_MAX, (&path, None), ask, see)
            .await?;
        let mut changed: Vec<Changed> = changed.into_iter().collect::<Result<_, _>>()?;
        changed.sort_unstable();
        changed.dedup_by_key(|one| (one.number, one.at));
        Ok(changed)
    }

    async fn react(&self, comment: CommentId, reaction: Option<Reaction>) -> Result<(), Error> {
        let what = format!("the reaction to comment {}", comment.0);
        let ask = Ask {
            what: &what,
            needs: "issues: write",
        };
        let wanted = reaction.map(content);
        let line = self.0.line().await?;
        let me = self.0.whoami().await?.id;
        let path = self
            .0
            .at(&format!("/issues/comments/{}/reactions", comment.0));
        let all: Vec<wire::Reacted> = line.list(&path, None, ask).await?;
        let ours = all
            .into_iter()
            .filter(|one| one.user.as_ref().is_some_and(|user| user.id == me));
        let mut there = false;
        let mut stale = Vec::new();
        for one in ours {
            if Some(one.content.as_str()) == wanted {
                there = true;
            } else {
                stale.push(one.id);
            }
        }
        if let Some(content) = wanted.filter(|_| !there) {
            let body = json!({ "content": content });
            let answer = line.send(Method::Post, &path, Some(&body)).await?;
            // 200 says that it was there already.
            line.done(answer, &[201, 200], ask)?;
        }
        for id in stale {
            let path = format!("{path}/{id}");
            match line.write(Method::Delete, &path, None, 204, ask).await {
                Ok(_) | Err(Error::Gone { .. }) => {}
                Err(error) => return Err(error),
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
        let then = (Found::Edit, Missing::Make);
        self.0.ensure_marked(number, &mark, known, body, then).await
    }

    async fn set_check(&self, check: &CheckReport, page: Option<&str>) -> Result<(), Error> {
        self.0.ensure_check(check, page).await
    }
}

fn reading(what: &str) -> Ask<'_> {
    Ask {
        what,
        needs: "issues: read",
    }
}

/// Comments with whether they were ever edited, which only GraphQL proves.
async fn told(
    line: &Line,
    all: Vec<wire::IssueComment>,
    ask: Ask<'_>,
) -> Result<Vec<Comment>, Error> {
    let nodes: Vec<&str> = all
        .iter()
        .filter_map(|one| one.node_id.as_deref())
        .collect();
    let seen = match line.seen(&nodes, ask).await {
        Ok(seen) => seen,
        // A forge without this answer proves nothing; what people said is heard all the same.
        Err(Error::Gone { .. } | Error::Invalid { .. } | Error::NotPermitted { .. }) => {
            HashMap::new()
        }
        Err(error) => return Err(error),
    };
    let edited = |one: &wire::IssueComment| {
        let node = one.node_id.as_deref()?;
        seen.get(node).map(super::graph::Seen::is_edited)
    };
    all.into_iter()
        .map(|one| {
            let edited = edited(&one);
            one.comment(edited)
        })
        .collect()
}

fn content(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Seen => "eyes",
        Reaction::Done => "+1",
        Reaction::Confused => "confused",
        Reaction::Refused => "-1",
    }
}
