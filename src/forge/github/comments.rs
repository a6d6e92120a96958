//! Comments of ours: found by id or by account and marker, made once, edited in place.

use std::ops::ControlFlow;

use serde_json::json;

use super::super::{CommentId, Error};
use super::api::{Ask, Line, Method};
use super::fit::{has_mark, marked, same};
use super::repo::Repo;
use super::wire;

const NEEDS: &str = "issues: write";

/// What becomes of a comment that is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It is made to say the same.
    Edit,
    /// It stays: it has notified.
    Keep,
}

/// What becomes of a comment that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is made.
    Make,
    /// One that was known and is gone is left gone.
    LeaveGone,
}

impl Repo {
    /// The comment of ours that `mark` begins, saying `body`.
    pub(super) async fn ensure_marked(
        &self,
        number: i64,
        mark: &str,
        known: Option<CommentId>,
        body: &str,
        (found, missing): (Found, Missing),
    ) -> Result<CommentId, Error> {
        let what = format!("the comment on #{number}");
        let ask = Ask {
            what: &what,
            needs: NEEDS,
        };
        let me = self.whoami().await?.id;
        let line = self.line().await?;
        let mut there = None;
        if let Some(known) = known {
            there = self
                .comment_if_any(&line, known)
                .await?
                .filter(|one| one.is_by(me) && one.is_under(number));
        }
        if there.is_none() {
            there = self.find_marked(&line, number, mark, me).await?;
        }
        let text = marked(mark, body);
        let Some(there) = there else {
            if let (Some(known), Missing::LeaveGone) = (known, missing) {
                return Ok(known);
            }
            let path = self.at(&format!("/issues/{number}/comments"));
            let body = json!({ "body": text });
            let made = line
                .write(Method::Post, &path, Some(&body), 201, ask)
                .await?;
            let made: wire::Id = made.read(ask)?;
            return Ok(CommentId(made.id));
        };
        let says = there.body.as_deref().unwrap_or_default();
        if found == Found::Edit && !same(says, &text) {
            let path = self.at(&format!("/issues/comments/{}", there.id));
            let body = json!({ "body": text });
            line.write(Method::Patch, &path, Some(&body), 200, ask)
                .await?;
        }
        Ok(CommentId(there.id))
    }

    /// A comment, `None` where it was deleted.
    pub(super) async fn comment_if_any(
        &self,
        line: &Line,
        id: CommentId,
    ) -> Result<Option<wire::IssueComment>, Error> {
        let what = format!("comment {}", id.0);
        let ask = Ask {
            what: &what,
            needs: "issues: read",
        };
        let path = self.at(&format!("/issues/comments/{}", id.0));
        match line.get(&path, ask).await {
            Ok(comment) => Ok(Some(comment)),
            Err(Error::Gone { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn find_marked(
        &self,
        line: &Line,
        number: i64,
        mark: &str,
        me: i64,
    ) -> Result<Option<wire::IssueComment>, Error> {
        let mut found = None;
        self.ours(line, number, me, |one| {
            if has_mark(one.body.as_deref().unwrap_or_default(), mark) {
                found = Some(one);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok(found)
    }

    /// Goes through the comments of our account, oldest first. Nobody else's is ever taken for ours.
    pub(super) async fn ours(
        &self,
        line: &Line,
        number: i64,
        me: i64,
        mut see: impl FnMut(wire::IssueComment) -> ControlFlow<()> + Send,
    ) -> Result<(), Error> {
        let what = format!("the comments of #{number}");
        let ask = Ask {
            what: &what,
            needs: "issues: read",
        };
        let path = self.at(&format!("/issues/{number}/comments"));
        line.pages(&path, None, ask, |one: wire::IssueComment| {
            if one.is_by(me) {
                see(one)
            } else {
                ControlFlow::Continue(())
            }
        })
        .await
    }
}
