//! The pull request of a task: found by its number, else by our account and the task's marker, and made once.

use std::ops::ControlFlow;

use serde_json::json;

use super::super::{
    CLOCKS_DIFFER_SECS, Error, Place, PullRequest, Stands, is_of_another, marker, not_found,
};
use super::api::{Answer, Ask, Line, Method, part};
use super::fit::{clipped, has_mark, marked, same};
use super::repo::Repo;
use super::{open, wire};
use crate::domain::ident::{CommitId, Time};
use crate::domain::task::Pull;

pub(super) const NEEDS: &str = "pull_requests: write";

/// Longest title that GitHub takes.
const TITLE_MAX: usize = 256;

impl Repo {
    /// Its number, once the task or this process knows it.
    fn known(&self, place: Place) -> Option<i64> {
        let remembered = || open(&self.hub.pulls).get(&(self.id, place.task)).copied();
        place.pull.or_else(remembered)
    }

    /// The task's pull request of our account, whatever became of it: by its number, else by its marker. By number
    /// neither its text decides, which people rewrite, nor its branch, which they rename and delete.
    pub(super) async fn find_pull(&self, place: Place) -> Result<Option<wire::Pull>, Error> {
        let me = self.whoami().await?;
        let line = self.line().await?;
        if let Some(known) = self.known(place) {
            match self.pull_by_number(&line, known).await {
                Ok(pull) if pull.is_by(me.id) && !of_another(&pull, place) => {
                    return Ok(Some(pull));
                }
                Ok(_) | Err(Error::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // A task is younger than its issue, and so is its pull request.
        let born = match self.issue(place.issue).await {
            Ok(issue) => wire::time(&issue.created_at)
                .map_or(Time(0), |born| born.minus_secs(CLOCKS_DIFFER_SECS)),
            Err(Error::Gone { .. }) => Time(0),
            Err(error) => return Err(error),
        };
        let mark = marker(place, None);
        let what = format!("the pull requests of `{}`", me.login);
        let ask = Ask {
            what: &what,
            needs: "pull_requests: read",
        };
        // Issues and pull requests are one list, and only this one can be asked for those of one account.
        let path = self.at(&format!(
            "/issues?creator={}&state=all&sort=created&direction=desc",
            part(&me.login)
        ));
        let mut found = None;
        line.pages(&path, None, ask, |one: wire::Issue| {
            if wire::time(&one.created_at).is_ok_and(|made| made < born) {
                return ControlFlow::Break(());
            }
            let ours = one.user.as_ref().is_some_and(|user| user.id == me.id);
            if ours && one.is_pull() && has_mark(one.body.as_deref().unwrap_or_default(), &mark) {
                found = Some(one.number);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .await?;
        let Some(number) = found else {
            return Ok(None);
        };
        self.remember(place, number);
        self.pull_by_number(&line, number).await.map(Some)
    }

    fn remember(&self, place: Place, number: i64) {
        let mut pulls = open(&self.hub.pulls);
        // Until the task knows it; so it may be empty at any time.
        if pulls.len() >= 10_000 {
            pulls.clear();
        }
        pulls.insert((self.id, place.task), number);
    }

    pub(super) async fn pull_by_number(
        &self,
        line: &Line,
        number: i64,
    ) -> Result<wire::Pull, Error> {
        let what = format!("pull request #{number}");
        let ask = Ask {
            what: &what,
            needs: "pull_requests: read",
        };
        line.get(&self.at(&format!("/pulls/{number}")), ask).await
    }

    /// Finds or creates the pull request; `head` is what its branch points to.
    pub(super) async fn ensure_pull(
        &self,
        place: Place,
        pull: &PullRequest<'_>,
        head: CommitId,
    ) -> Result<Pull, Error> {
        let mark = marker(place, None);
        let title = clipped(pull.title, TITLE_MAX);
        let body = marked(&mark, pull.body);
        let there = match self.find_pull(place).await? {
            Some(there) => there,
            None => match self.on_branch(pull.branch).await? {
                Some(there) => self.adoptable(there, place).await?,
                None => {
                    if let Some(number) = self.known(place) {
                        return Err(not_found(place, number));
                    }
                    if let Some(made) = self.open_pull(pull, &title, &body).await? {
                        self.remember(place, made.number);
                        return Ok(located(made, head));
                    }
                    // Somebody was quicker, or our own request of a moment ago is only visible now.
                    match self.on_branch(pull.branch).await? {
                        Some(there) => self.adoptable(there, place).await?,
                        None => {
                            return Err(super::api::lost("the pull request is not visible yet"));
                        }
                    }
                }
            },
        };
        let number = there.number;
        let what = format!("pull request #{number}");
        match there.stands() {
            Stands::Open => {}
            Stands::Merged => return Err(gone(&what, "merged")),
            Stands::Closed => return Err(gone(&what, "closed")),
        }
        if there.head.branch != pull.branch || !there.is_here() {
            return Err(Error::Conflict { what, found: None });
        }
        self.remember(place, number);
        let says = there.body.as_deref().unwrap_or_default();
        if there.title != title || !same(says, &body) {
            let ask = Ask {
                what: &what,
                needs: NEEDS,
            };
            let path = self.at(&format!("/pulls/{number}"));
            let change = json!({ "title": title, "body": body });
            let line = self.line().await?;
            line.write(Method::Patch, &path, Some(&change), 200, ask)
                .await?;
        }
        Ok(located(there, head))
    }

    /// The open pull request of a branch of this repository, whoever opened it.
    async fn on_branch(&self, branch: &str) -> Result<Option<wire::Pull>, Error> {
        let line = self.line().await?;
        // The filter wants the owner's name as it is now.
        let name = self.repository().await?.name;
        let owner = name.split('/').next().unwrap_or_default();
        let ask = Ask {
            what: "the pull requests of the branch",
            needs: "pull_requests: read",
        };
        let path = self.at(&format!(
            "/pulls?state=open&head={}:{}",
            part(owner),
            part(branch)
        ));
        let mut found = None;
        line.pages(&path, None, ask, |one: wire::Pull| {
            // A filter that GitHub does not understand filters nothing.
            if one.head.branch == branch && one.is_here() {
                found = Some(one);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok(found)
    }

    /// One on our branch is the task's where it is ours and no other task's; a person may have removed the marker.
    async fn adoptable(&self, there: wire::Pull, place: Place) -> Result<wire::Pull, Error> {
        let me = self.whoami().await?.id;
        if there.is_by(me) && !of_another(&there, place) {
            return Ok(there);
        }
        Err(Error::Conflict {
            what: format!("pull request #{} of the branch", there.number),
            found: None,
        })
    }

    /// Opens it, as no draft where the repository has none. `None` where one is there already.
    async fn open_pull(
        &self,
        pull: &PullRequest<'_>,
        title: &str,
        body: &str,
    ) -> Result<Option<wire::Pull>, Error> {
        let ask = Ask {
            what: "the pull request",
            needs: NEEDS,
        };
        let line = self.line().await?;
        let base = match pull.base {
            Some(base) => base.to_owned(),
            None => self.repository().await?.default_branch,
        };
        let path = self.at("/pulls");
        let mut draft = pull.draft;
        loop {
            let request = json!({
                "title": title,
                "body": body,
                "head": pull.branch,
                "base": base,
                "draft": draft,
            });
            let answer = line.send(Method::Post, &path, Some(&request)).await?;
            if answer.status == 422 {
                match refusal(&answer) {
                    // What says that it is not ready yet is then the pending approval check.
                    Refusal::NoDrafts if draft => {
                        draft = false;
                        continue;
                    }
                    Refusal::IsThere => return Ok(None),
                    Refusal::NoHead => {
                        return Err(Error::Gone {
                            what: format!("branch `{}`", pull.branch),
                        });
                    }
                    Refusal::NoDrafts | Refusal::Other => {}
                }
            }
            let made = line.done(answer, &[201], ask)?;
            return made.read(ask).map(Some);
        }
    }
}

enum Refusal {
    NoDrafts,
    IsThere,
    NoHead,
    Other,
}

/// GitHub tells these apart only by its words.
fn refusal(answer: &Answer) -> Refusal {
    let said = answer.words().to_ascii_lowercase();
    if said.contains("draft pull requests are not supported") {
        Refusal::NoDrafts
    } else if said.contains("already exists") {
        Refusal::IsThere
    } else if said.contains("head invalid") {
        Refusal::NoHead
    } else {
        Refusal::Other
    }
}

fn of_another(pull: &wire::Pull, place: Place) -> bool {
    is_of_another(pull.body.as_deref().unwrap_or_default(), place)
}

fn gone(what: &str, how: &str) -> Error {
    Error::Gone {
        what: format!("{what} (it was {how})"),
    }
}

fn located(pull: wire::Pull, head: CommitId) -> Pull {
    Pull {
        number: pull.number,
        location: pull.html_url.unwrap_or_default(),
        head,
    }
}
