//! Where tasks of a repository on Gitea are shown.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::json;

use super::super::http::Call;
use super::super::{
    Account, Capabilities, CommentId, Error, Forge, Issue, Leave, Place, PullRequest, PullState,
    Refs, Stands, Status, marker, not_found,
};
use super::ours::capped;
use super::shape::{RawEntry, RawIssue, RawLabel, RawPull, account, time};
use super::title::{DRAFT, capped_title, draft_prefix, plain_title};
use super::{CAPABILITIES, Repo, rights};
use crate::domain::ident::{CommitId, Time};
use crate::domain::policy::Right;
use crate::domain::report::CheckReport;
use crate::domain::task::Pull;

/// Beginning of our labels, where no label says it.
const LABELS: &str = "agent:";

/// The colour of a stage that waits for a person, and of every other one: one family each.
const COLOUR_WAITS: &str = "#d97706";
const COLOUR_WORKS: &str = "#6b7280";

/// See the module.
pub(super) struct Show {
    pub(super) repo: Repo,
    refs: Arc<dyn Refs>,
}

impl Show {
    pub(super) fn new(repo: Repo, refs: Arc<dyn Refs>) -> Self {
        Self { repo, refs }
    }

    pub(super) async fn raw_issue(&self, number: i64) -> Result<RawIssue, Error> {
        let path = number.to_string();
        let what = format!("issue #{number}");
        self.repo.get(&["issues", path.as_str()], what).await
    }

    /// Makes title and body of an open pull request be these. What makes it a draft is a person's.
    async fn update(&self, found: &RawPull, title: &str, body: &str) -> Result<(), Error> {
        let title = match (found.draft, draft_prefix(&found.title)) {
            (false, _) => title.to_owned(),
            (true, Some(prefix)) => format!("{prefix}{title}"),
            // A prefix that this server alone knows.
            (true, None) if found.title.ends_with(title) => found.title.clone(),
            (true, None) => format!("{DRAFT}{title}"),
        };
        if found.title == title && found.body == body {
            return Ok(());
        }
        let change = json!({ "title": title, "body": body });
        self.change(found.number, change).await
    }

    async fn change(&self, number: i64, change: serde_json::Value) -> Result<(), Error> {
        let path = number.to_string();
        let what = format!("changing pull request #{number}");
        let path = ["pulls", path.as_str()];
        self.repo
            .write(Method::PATCH, &path, change, &[201], what)
            .await?;
        Ok(())
    }

    /// Who closed it last.
    async fn closed_by(&self, number: i64) -> Result<Option<Account>, Error> {
        let entries: Vec<RawEntry> = self.repo.timeline(number).await?;
        let last = entries.into_iter().rfind(|entry| entry.kind == "close");
        Ok(last.and_then(|entry| account(entry.user)))
    }

    async fn issue_labels(&self, number: i64) -> Result<Vec<RawLabel>, Error> {
        let number_text = number.to_string();
        let what = format!("labels of issue #{number}");
        let path = ["issues", number_text.as_str(), "labels"];
        self.repo.get(&path, what).await
    }

    /// Takes labels off: by number, since this interface takes no names.
    async fn take_off(
        &self,
        number: i64,
        labels: impl Iterator<Item = &RawLabel>,
    ) -> Result<(), Error> {
        let number_text = number.to_string();
        for label in labels {
            let id = label.id.to_string();
            let path = ["issues", number_text.as_str(), "labels", id.as_str()];
            let what = format!("taking `{}` off issue #{number}", label.name);
            let call = Call::new(Method::DELETE, path, what);
            match self.repo.send(call, &[204]).await {
                // The label itself was deleted meanwhile, and with it this use.
                Ok(_) | Err(Error::Invalid { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The number of the repository's label `name`, made where there is none.
    async fn put_label(&self, number: i64, label: &str) -> Result<(), Error> {
        let id = self.label_id(label).await?;
        let text = number.to_string();
        let path = ["issues", text.as_str(), "labels"];
        let what = format!("labelling #{number}");
        let body = json!({ "labels": [id] });
        let answer = self
            .repo
            .write(Method::POST, &path, body, &[200], what)
            .await?;
        // A label that was deleted this moment is left out in silence.
        let there: Vec<RawLabel> = answer.list()?;
        match there.iter().any(|one| one.name == label) {
            true => Ok(()),
            false => Err(Error::Retry {
                after_secs: None,
                why: format!("the label `{label}` is not on #{number}"),
            }),
        }
    }

    async fn label_id(&self, name: &str) -> Result<i64, Error> {
        let call = Call::new(Method::GET, ["labels"], "labels of the repository");
        let is = |label: &RawLabel| label.name == name;
        let all: Vec<RawLabel> = self.repo.pages(call, |page| !page.iter().any(is)).await?;
        if let Some(label) = all.into_iter().find(is) {
            return Ok(label.id);
        }
        let body = json!({
            "name": name, "color": colour(name), "description": "Set by the agent's bot.",
        });
        let what = format!("making the label `{name}`");
        let answer = self
            .repo
            .write(Method::POST, &["labels"], body, &[201], what)
            .await?;
        Ok(answer.read::<RawLabel>()?.id)
    }
}

/// Those that wait for a person share one.
pub(super) fn colour(label: &str) -> &'static str {
    let waits = ["proposed", "needs-", "failed"];
    let stage = label.split_once(':').map_or(label, |(_, stage)| stage);
    match waits.iter().any(|word| stage.starts_with(word)) {
        true => COLOUR_WAITS,
        false => COLOUR_WORKS,
    }
}

#[async_trait]
impl Forge for Show {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn whoami(&self) -> Result<Account, Error> {
        self.repo.home.me().await.cloned()
    }

    async fn issue(&self, number: i64) -> Result<Issue, Error> {
        let raw = self.raw_issue(number).await?;
        Ok(Issue {
            number: raw.number,
            open: raw.state == "open",
            title: raw.title,
            body: raw.body,
        })
    }

    async fn right(&self, login: &str) -> Result<Option<Right>, Error> {
        rights::right(&self.repo, login).await
    }

    async fn ensure_status(
        &self,
        place: Place,
        known: Option<CommentId>,
        status: &Status<'_>,
    ) -> Result<CommentId, Error> {
        let mark = marker(place, None);
        self.repo
            .ensure_own(place.issue, &mark, known, status.body, false)
            .await
    }

    async fn written_at(&self, comment: CommentId) -> Result<Option<Time>, Error> {
        let comment = self.repo.one_comment(comment).await?;
        Ok(Some(time(&comment.updated_at)))
    }

    async fn ensure_comment(
        &self,
        place: Place,
        key: &str,
        body: &str,
    ) -> Result<CommentId, Error> {
        let mark = marker(place, Some(key));
        self.repo
            .ensure_own(place.issue, &mark, None, body, true)
            .await
    }

    async fn ensure_label(&self, place: Place, label: Option<&str>) -> Result<(), Error> {
        let prefix = label
            .and_then(|label| label.find(':').and_then(|at| label.get(..=at)))
            .unwrap_or(LABELS);
        let there = self.issue_labels(place.issue).await?;
        let wanted = |one: &RawLabel| Some(one.name.as_str()) == label;
        // First put there, then taken off: the list of what is open never misses the issue.
        if let Some(label) = label
            && !there.iter().any(wanted)
        {
            self.put_label(place.issue, label).await?;
        }
        let others = there
            .iter()
            .filter(|one| one.name.starts_with(prefix) && !wanted(one));
        self.take_off(place.issue, others).await
    }

    async fn label_pull(&self, place: Place, labels: &[String]) -> Result<(), Error> {
        let Some(found) = self.find(place).await? else {
            return Ok(());
        };
        let there = self.issue_labels(found.number).await?;
        for label in labels {
            if !there.iter().any(|one| one.name == *label) {
                self.put_label(found.number, label).await?;
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
        let Some(head) = self.refs.branch_head(pull.branch).await? else {
            return Err(Error::Gone {
                what: format!("branch `{}`", pull.branch),
            });
        };
        let (title, body) = (
            capped_title(&plain_title(pull.title)),
            capped(&format!("{}\n{}", marker(place, None), pull.body)),
        );
        let located = |number, location| Pull {
            number,
            location,
            head: head.clone(),
        };
        let found = match (self.find(place).await?, self.known(place)) {
            (None, Some(number)) => match self.unmarked(place, pull.branch).await? {
                None => return Err(not_found(place, number)),
                there => there,
            },
            (found, _) => found,
        };
        let found = match found {
            Some(found) if found.stands() != Stands::Open => {
                return Err(Error::Gone {
                    what: format!("pull request #{} (it was closed)", found.number),
                });
            }
            Some(found) if found.head.label != pull.branch => {
                return Err(Error::Conflict {
                    what: format!(
                        "pull request #{}, which is for branch `{}`,",
                        found.number, found.head.label
                    ),
                    found: None,
                });
            }
            found => found,
        };
        if let Some(found) = found {
            self.update(&found, &title, &body).await?;
            return Ok(located(found.number, found.html_url));
        }
        let base = match pull.base {
            Some(base) => base.to_owned(),
            None => self.repo.raw().await?.default_branch,
        };
        let prefix = if pull.draft { DRAFT } else { "" };
        let new = json!({
            "head": pull.branch, "base": base, "title": format!("{prefix}{title}"), "body": body,
        });
        let what = format!("a pull request for `{}`", pull.branch);
        let made = self
            .repo
            .write(Method::POST, &["pulls"], new, &[201], what)
            .await;
        match made {
            Ok(made) => {
                let made: RawPull = made.read()?;
                self.keep(place.task, made.number);
                Ok(located(made.number, made.html_url))
            }
            // There is one for this branch already.
            Err(Error::Conflict { what, found }) => {
                match self.unmarked(place, pull.branch).await? {
                    Some(there) => {
                        self.update(&there, &title, &body).await?;
                        self.keep(place.task, there.number);
                        Ok(located(there.number, there.html_url))
                    }
                    None => Err(Error::Conflict { what, found }),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn pull_state(&self, place: Place) -> Result<Option<PullState>, Error> {
        let Some(found) = self.find(place).await? else {
            return Ok(None);
        };
        let (number, stands) = (found.number, found.stands());
        let by = match stands {
            Stands::Open => None,
            Stands::Merged => account(found.merged_by),
            Stands::Closed => self.closed_by(number).await?,
        };
        Ok(Some(PullState {
            number,
            head: self.refs.branch_head(&found.head.label).await?,
            stands,
            by,
        }))
    }

    async fn close_pull(&self, place: Place) -> Result<(), Error> {
        match self.find(place).await? {
            Some(found) if found.stands() == Stands::Open => {
                self.change(found.number, json!({ "state": "closed" }))
                    .await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn request_review(&self, place: Place, login: &str) -> Result<(), Error> {
        let number = self.found(place).await?.number.to_string();
        let invalid = |why: String| Error::Invalid {
            what: format!("reviewer {login}"),
            why,
        };
        let body = json!({ "reviewers": [login] });
        let path = ["pulls", number.as_str(), "requested_reviewers"];
        let what = format!("asking {login} to review");
        let asked = self
            .repo
            .write(Method::POST, &path, body, &[201], what)
            .await;
        match asked {
            Ok(_) => Ok(()),
            // The pull request was there this moment.
            Err(Error::Gone { .. }) => Err(invalid("there is no such account".to_owned())),
            Err(Error::Invalid { why, .. }) => Err(invalid(why)),
            Err(error) => Err(error),
        }
    }

    async fn mark_ready(&self, place: Place) -> Result<(), Error> {
        let found = self.found(place).await?;
        let ready = plain_title(&found.title);
        if !found.draft || found.stands() != Stands::Open || ready == found.title {
            return Ok(());
        }
        self.change(found.number, json!({ "title": ready })).await
    }

    async fn drop_trigger(&self, place: Place, label: &str) -> Result<(), Error> {
        let issue = self.raw_issue(place.issue).await?;
        let trigger = issue.labels.iter().filter(|one| one.name == label);
        self.take_off(place.issue, trigger).await?;
        let me = self.repo.home.me().await?;
        if !issue.assignees.iter().any(|user| user.id == me.id) {
            return Ok(());
        }
        // The whole list is written, since there is no way to take one off.
        let rest = issue.assignees.iter().filter(|user| user.id != me.id);
        let rest: Vec<&str> = rest.map(|user| user.login.as_str()).collect();
        let number = place.issue.to_string();
        let what = format!("unassigning us from issue #{}", place.issue);
        let path = ["issues", number.as_str()];
        let change = json!({ "assignees": rest });
        self.repo
            .write(Method::PATCH, &path, change, &[201], what)
            .await?;
        Ok(())
    }

    /// Comments stay: they cannot be hidden here, and deleting them would leave answers without question.
    async fn clean_up(&self, place: Place, _leave: Leave) -> Result<(), Error> {
        match self.ensure_label(place, None).await {
            // Nothing is left on an issue that is gone.
            Err(Error::Gone { .. }) => Ok(()),
            done => done,
        }
    }
}
