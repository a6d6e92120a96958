//! Showing a task: every write is looked for before it is made.

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::super::{
    Account, Capabilities, CommentId, Error, Forge, Issue, Leave, Place, PullRequest, PullState,
    Refs, Stands, Status, marker,
};
use super::api::{Ask, Line, Method, part};
use super::comments::{Found, Missing};
use super::repo::Repo;
use super::{pulls, wire};
use crate::domain::ident::{CommitId, Time};
use crate::domain::policy::Right;
use crate::domain::report::CheckReport;
use crate::domain::task::Pull;

/// Beginning of every label of ours.
const LABELS: &str = "agent:";

/// See the module.
pub(super) struct Shown {
    pub(super) repo: Repo,
    pub(super) refs: Arc<dyn Refs>,
}

#[async_trait]
impl Forge for Shown {
    fn capabilities(&self) -> Capabilities {
        self.repo.hub.capabilities()
    }

    async fn whoami(&self) -> Result<Account, Error> {
        self.repo.whoami().await
    }

    async fn issue(&self, number: i64) -> Result<Issue, Error> {
        let issue = self.repo.issue(number).await?;
        Ok(Issue {
            number: issue.number,
            open: issue.state == "open",
            title: issue.title,
            body: issue.body.unwrap_or_default(),
        })
    }

    async fn right(&self, login: &str) -> Result<Option<Right>, Error> {
        self.repo.right(login).await
    }

    async fn ensure_status(
        &self,
        place: Place,
        known: Option<CommentId>,
        status: &Status<'_>,
    ) -> Result<CommentId, Error> {
        let mark = marker(place, None);
        // A task that ended and was cleaned up is not shown again.
        let missing = if status.ended {
            Missing::LeaveGone
        } else {
            Missing::Make
        };
        let then = (Found::Edit, missing);
        self.repo
            .ensure_marked(place.issue, &mark, known, status.body, then)
            .await
    }

    async fn written_at(&self, comment: CommentId) -> Result<Option<Time>, Error> {
        let line = self.repo.line().await?;
        match self.repo.comment_if_any(&line, comment).await? {
            Some(comment) => comment.updated_at().map(Some),
            None => Err(Error::Gone {
                what: format!("comment {}", comment.0),
            }),
        }
    }

    async fn ensure_comment(
        &self,
        place: Place,
        key: &str,
        body: &str,
    ) -> Result<CommentId, Error> {
        let mark = marker(place, Some(key));
        let then = (Found::Keep, Missing::Make);
        self.repo
            .ensure_marked(place.issue, &mark, None, body, then)
            .await
    }

    async fn label_pull(&self, place: Place, labels: &[String]) -> Result<(), Error> {
        let Some(found) = self.repo.find_pull(place).await? else {
            return Ok(());
        };
        let line = self.repo.line().await?;
        let there = self.labels(&line, found.number).await?;
        let missing: Vec<&str> = labels
            .iter()
            .map(String::as_str)
            .filter(|label| !there.iter().any(|one| one == label))
            .collect();
        match missing.is_empty() {
            true => Ok(()),
            false => self.put(&line, found.number, &missing).await,
        }
    }

    async fn ensure_label(&self, place: Place, label: Option<&str>) -> Result<(), Error> {
        let number = place.issue;
        let prefix = label
            .and_then(|label| label.split_inclusive(':').next())
            .filter(|prefix| prefix.ends_with(':'))
            .unwrap_or(LABELS);
        let line = self.repo.line().await?;
        let there = self.labels(&line, number).await?;
        if let Some(label) = label
            && !there.iter().any(|one| one == label)
        {
            self.put(&line, number, &[label]).await?;
        }
        for old in there {
            if old.starts_with(prefix) && Some(old.as_str()) != label {
                self.unlabel(&line, number, &old).await?;
            }
        }
        Ok(())
    }

    async fn set_check(&self, _place: Place, check: &CheckReport) -> Result<(), Error> {
        self.repo.ensure_check(check, None).await
    }

    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, Error> {
        self.refs.branch_head(branch).await
    }

    async fn ensure_branch(
        &self,
        branch: &str,
        commit: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), Error> {
        self.refs.ensure_branch(branch, commit, expected).await
    }

    async fn delete_branch(&self, branch: &str, expected: &CommitId) -> Result<(), Error> {
        self.refs.ensure_no_branch(branch, expected).await
    }

    async fn ensure_pull(&self, place: Place, pull: &PullRequest<'_>) -> Result<Pull, Error> {
        let head = self.refs.branch_head(pull.branch).await?;
        let head = head.ok_or_else(|| Error::Gone {
            what: format!("branch `{}`", pull.branch),
        })?;
        self.repo.ensure_pull(place, pull, head).await
    }

    async fn pull_state(&self, place: Place) -> Result<Option<PullState>, Error> {
        let Some(pull) = self.repo.find_pull(place).await? else {
            return Ok(None);
        };
        let stands = pull.stands();
        let by = match stands {
            Stands::Open => None,
            Stands::Merged => pull.merger(),
            Stands::Closed => {
                let issue = self.repo.issue(pull.number).await?;
                issue.closed_by.and_then(wire::User::account)
            }
        };
        Ok(Some(PullState {
            number: pull.number,
            head: self.refs.branch_head(&pull.head.branch).await?,
            stands,
            by,
        }))
    }

    async fn close_pull(&self, place: Place) -> Result<(), Error> {
        let Some(pull) = self.repo.find_pull(place).await? else {
            return Ok(());
        };
        if pull.stands() != Stands::Open {
            return Ok(());
        }
        let what = format!("closing pull request #{}", pull.number);
        let ask = Ask {
            what: &what,
            needs: pulls::NEEDS,
        };
        let path = self.repo.at(&format!("/pulls/{}", pull.number));
        let line = self.repo.line().await?;
        let body = json!({ "state": "closed" });
        line.write(Method::Patch, &path, Some(&body), 200, ask)
            .await
            .map(drop)
    }

    async fn request_review(&self, place: Place, login: &str) -> Result<(), Error> {
        let what = format!("a review by `{login}`");
        let ask = Ask {
            what: &what,
            needs: pulls::NEEDS,
        };
        let Some(pull) = self.repo.find_pull(place).await? else {
            return Err(Error::Gone {
                what: format!("the pull request of {}", place.task),
            });
        };
        let author = pull.user.as_ref().map(|user| user.login.as_str());
        if author.is_some_and(|author| author.eq_ignore_ascii_case(login)) {
            return Err(Error::Invalid {
                what,
                why: "the author of a pull request cannot review it".to_owned(),
            });
        }
        let line = self.repo.line().await?;
        let path = self
            .repo
            .at(&format!("/pulls/{}/requested_reviewers", pull.number));
        let asked: Requested = line.get(&path, ask).await?;
        // `owner/team` is a team; one bad name would fail all, so each is asked alone.
        let (is_asked, body) = match login.trim_start_matches('@').split_once('/') {
            Some((_, team)) => {
                let is_asked = asked.teams.iter().any(|one| one.slug == team);
                (is_asked, json!({ "team_reviewers": [team] }))
            }
            None => {
                let same = |one: &wire::User| one.login.eq_ignore_ascii_case(login);
                (
                    asked.users.iter().any(same),
                    json!({ "reviewers": [login] }),
                )
            }
        };
        if is_asked {
            return Ok(());
        }
        line.write(Method::Post, &path, Some(&body), 201, ask)
            .await
            .map(drop)
    }

    async fn mark_ready(&self, place: Place) -> Result<(), Error> {
        let Some(pull) = self.repo.find_pull(place).await? else {
            return Ok(());
        };
        if pull.draft != Some(true) || pull.stands() != Stands::Open {
            return Ok(());
        }
        let what = format!("marking pull request #{} ready", pull.number);
        let ask = Ask {
            what: &what,
            needs: pulls::NEEDS,
        };
        let Some(node) = &pull.node_id else {
            return Err(no_node(ask));
        };
        let line = self.repo.line().await?;
        line.ready(node, ask).await
    }

    async fn drop_trigger(&self, place: Place, label: &str) -> Result<(), Error> {
        let number = place.issue;
        let line = self.repo.line().await?;
        let issue = match self.repo.issue(number).await {
            Ok(issue) => issue,
            // Nothing triggers there any more.
            Err(Error::Gone { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let me = self.whoami().await?.id;
        let ours = issue.assigned().iter().find(|one| one.id == me);
        let ours = ours.map(|one| one.login.clone());
        if issue.thread()?.labels.iter().any(|one| one == label) {
            self.unlabel(&line, number, label).await?;
        }
        if let Some(login) = ours {
            let what = format!("unassigning ourselves from #{number}");
            let path = self.repo.at(&format!("/issues/{number}/assignees"));
            let body = json!({ "assignees": [login] });
            let ask = labelling(&what);
            line.write(Method::Delete, &path, Some(&body), 200, ask)
                .await?;
        }
        Ok(())
    }

    async fn clean_up(&self, place: Place, leave: Leave) -> Result<(), Error> {
        let number = place.issue;
        match self.ensure_label(place, None).await {
            // With the issue went everything on it.
            Err(Error::Gone { .. }) => return Ok(()),
            done => done?,
        }
        let line = self.repo.line().await?;
        let me = self.whoami().await?.id;
        let keyed = keyed(place);
        let (mut notes, mut ids) = (Vec::new(), Vec::new());
        self.repo
            .ours(&line, number, me, |one| {
                let first = one.body.as_deref().and_then(|body| body.lines().next());
                let first = first.unwrap_or_default().trim_end();
                if first.starts_with(&keyed) {
                    notes.extend(one.node_id);
                    ids.push(one.id);
                }
                ControlFlow::Continue(())
            })
            .await?;
        let what = format!("cleaning up on #{number}");
        let ask = labelling(&what);
        if leave == Leave::Nothing {
            for id in ids {
                let path = self.repo.at(&format!("/issues/comments/{id}"));
                match line.write(Method::Delete, &path, None, 204, ask).await {
                    Ok(_) | Err(Error::Gone { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        let nodes: Vec<&str> = notes.iter().map(String::as_str).collect();
        let seen = line.seen(&nodes, ask).await?;
        for node in nodes {
            if seen.get(node).is_some_and(|one| !one.is_hidden()) {
                line.minimise(node, ask).await?;
            }
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Requested {
    #[serde(default)]
    users: Vec<wire::User>,
    #[serde(default)]
    teams: Vec<Team>,
}

#[derive(serde::Deserialize)]
struct Team {
    #[serde(default)]
    slug: String,
}

impl Shown {
    async fn labels(&self, line: &Line, number: i64) -> Result<Vec<String>, Error> {
        let what = format!("the labels of #{number}");
        let path = self.repo.at(&format!("/issues/{number}/labels"));
        let ask = Ask {
            what: &what,
            needs: "issues: read",
        };
        let there: Vec<wire::Label> = line.list(&path, None, ask).await?;
        Ok(there.into_iter().filter_map(wire::Label::name).collect())
    }

    async fn put(&self, line: &Line, number: i64, labels: &[&str]) -> Result<(), Error> {
        let what = format!("the label `{}` on #{number}", labels.join("`, `"));
        let ask = labelling(&what);
        let path = self.repo.at(&format!("/issues/{number}/labels"));
        let body = json!({ "labels": labels });
        line.write(Method::Post, &path, Some(&body), 200, ask)
            .await
            .map(|_| ())
    }

    async fn unlabel(&self, line: &Line, number: i64, label: &str) -> Result<(), Error> {
        let what = format!("taking the label `{label}` off #{number}");
        let path = self
            .repo
            .at(&format!("/issues/{number}/labels/{}", part(label)));
        let ask = labelling(&what);
        match line.write(Method::Delete, &path, None, 200, ask).await {
            // Somebody took it off meanwhile.
            Ok(_) | Err(Error::Gone { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn labelling(what: &str) -> Ask<'_> {
    Ask {
        what,
        needs: "issues: write",
    }
}

pub(super) fn no_node(ask: Ask<'_>) -> Error {
    Error::Invalid {
        what: ask.what.to_owned(),
        why: "GitHub's answer has no `node_id`".to_owned(),
    }
}

/// Beginning of the markers of a task's notifications, without their keys.
fn keyed(place: Place) -> String {
    let whole = marker(place, Some(""));
    let end = whole.rfind(" -->").unwrap_or(whole.len());
    whole.get(..end).unwrap_or_default().to_owned()
}
