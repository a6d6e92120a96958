//! The pull request of a task: found by its number, else by our account and the task's marker.

use reqwest::Method;

use super::super::http::Call;
use super::super::{CLOCKS_DIFFER_SECS, Error, Place, Stands, is_of_another, marker};
use super::ours::begins;
use super::shape::{RawIssue, RawPull, time};
use super::show::Show;
use crate::domain::ident::{TaskId, Time};

impl Show {
    /// Its number, once the task or this process knows it.
    pub(super) fn known(&self, place: Place) -> Option<i64> {
        let remembered = || self.repo.home.known_pull(self.repo.id, place.task);
        place.pull.or_else(remembered)
    }

    /// The task's pull request of our account: by its number, else by its marker. By number neither its text decides,
    /// which people rewrite, nor its branch, which they rename and delete.
    pub(super) async fn find(&self, place: Place) -> Result<Option<RawPull>, Error> {
        let me = self.repo.home.me().await?;
        let mark = marker(place, None);
        let ours = |pull: &RawPull| pull.is_by(me) && !is_of_another(&pull.body, place);
        if let Some(known) = self.known(place) {
            match self.pull(known).await {
                Ok(pull) if ours(&pull) => return Ok(Some(pull)),
                Ok(_) | Err(Error::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // Younger than its issue, so most of the pull requests ever made are not asked for.
        let born = match self.raw_issue(place.issue).await {
            Ok(issue) => time(&issue.created_at).minus_secs(CLOCKS_DIFFER_SECS),
            Err(Error::Gone { .. }) => Time(0),
            Err(error) => return Err(error),
        };
        let what = "our pull requests";
        let mut call = Call::new(Method::GET, ["issues"], what)
            .query("state", "all")
            .query("type", "pulls")
            .query("created_by", &me.login);
        if born > Time(0) {
            call = call.query("since", born.rfc3339());
        }
        let is = |issue: &RawIssue| begins(&issue.body, &mark);
        let all: Vec<RawIssue> = self.repo.pages(call, |page| !page.iter().any(is)).await?;
        for issue in all.into_iter().filter(is) {
            let pull = self.pull(issue.number).await?;
            if pull.is_by(me) && begins(&pull.body, &mark) {
                self.keep(place.task, pull.number);
                return Ok(Some(pull));
            }
        }
        Ok(None)
    }

    pub(super) fn keep(&self, task: TaskId, number: i64) {
        self.repo.home.keep_pull(self.repo.id, task, number);
    }

    async fn pull(&self, number: i64) -> Result<RawPull, Error> {
        let path = number.to_string();
        let what = format!("pull request #{number}");
        self.repo.get(&["pulls", path.as_str()], what).await
    }

    pub(super) async fn found(&self, place: Place) -> Result<RawPull, Error> {
        let found = self.find(place).await?;
        found.ok_or_else(|| Error::Gone {
            what: format!("the pull request of {}", place.task),
        })
    }

    /// The open pull request of `branch` by us that bears no marker of another task: a person took the marker away.
    pub(super) async fn unmarked(
        &self,
        place: Place,
        branch: &str,
    ) -> Result<Option<RawPull>, Error> {
        let me = self.repo.home.me().await?;
        let of_branch = |pull: &RawPull| {
            pull.head.label == branch
                && pull.head.repo_id == self.repo.id
                && pull.stands() == Stands::Open
        };
        let call = Call::new(Method::GET, ["pulls"], "open pull requests").query("state", "open");
        let all: Vec<RawPull> = self
            .repo
            .pages(call, |page| !page.iter().any(of_branch))
            .await?;
        let theirs = |pull: &RawPull| !pull.is_by(me) || is_of_another(&pull.body, place);
        match all.into_iter().find(of_branch) {
            Some(pull) if theirs(&pull) => Err(Error::Conflict {
                what: format!("pull request #{}, which is not ours,", pull.number),
                found: None,
            }),
            pull => Ok(pull),
        }
    }
}
