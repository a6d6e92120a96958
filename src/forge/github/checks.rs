//! Checks on commits: check runs as an App, statuses with a token.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::super::Error;
use super::api::{Ask, Method, part};
use super::fit::clipped;
use super::repo::Repo;
use super::wire;
use crate::domain::report::{CheckReport, CheckState};
use crate::domain::text::block;

/// Longest title of a check run.
const TITLE_MAX: usize = 250;

/// Longest line of a status.
const DESCRIPTION_MAX: usize = 140;

/// Longest text beside the marks, before it is fenced.
const SUMMARY_MAX: usize = 60_000;

/// Most marks of one request.
const MARKS_MAX: usize = 50;

/// Statuses of a commit that are looked through for ours; the newest come first.
const STATUSES_MAX: usize = 500;

impl Repo {
    /// Makes the check of this name on this commit say this.
    pub(super) async fn ensure_check(
        &self,
        check: &CheckReport,
        page: Option<&str>,
    ) -> Result<(), Error> {
        if self.hub.is_app() {
            self.ensure_run(check, page).await
        } else {
            self.ensure_commit_status(check, page).await
        }
    }

    async fn ensure_run(&self, check: &CheckReport, page: Option<&str>) -> Result<(), Error> {
        let what = format!("the check `{}`", check.name);
        let ask = Ask {
            what: &what,
            needs: "checks: write",
        };
        let line = self.line().await?;
        let app = self.hub.app_id().await?;
        let (sha, name) = (check.sha.as_str(), check.name.as_str());
        let path = self.at(&format!(
            "/commits/{sha}/check-runs?check_name={}&filter=latest&app_id={app}",
            part(name)
        ));
        let mut found: Option<wire::CheckRun> = None;
        let listed = line
            .pages(&path, Some("check_runs"), ask, |one: wire::CheckRun| {
                let ours = one.app.as_ref().is_some_and(|of| of.id == app) && one.name == name;
                if ours && found.as_ref().is_none_or(|old| old.id < one.id) {
                    found = Some(one);
                }
                ControlFlow::Continue(())
            })
            .await;
        listed.map_err(|error| no_commit(error, check))?;

        let (status, conclusion) = run_state(check.state);
        let title = clipped(&check.title, TITLE_MAX);
        let mut wanted = json!({
            "name": name,
            "status": status,
            "output": output(check, &title),
        });
        let conclusion_field = conclusion.map(|word| ("conclusion", word));
        for (field, word) in conclusion_field
            .into_iter()
            .chain(page.map(|url| ("details_url", url)))
        {
            if let Some(fields) = wanted.as_object_mut() {
                fields.insert(field.to_owned(), Value::from(word));
            }
        }
        let (method, path, done) = match &found {
            Some(run) if says(run, status, conclusion, &title, page) => return Ok(()),
            // A completed run is never taken back to pending: a new one of the same name stands for it.
            Some(run) if conclusion.is_none() && run.conclusion.is_some() => {
                (Method::Post, self.at("/check-runs"), 201)
            }
            Some(run) => (
                Method::Patch,
                self.at(&format!("/check-runs/{}", run.id)),
                200,
            ),
            None => (Method::Post, self.at("/check-runs"), 201),
        };
        if method == Method::Post
            && let Some(fields) = wanted.as_object_mut()
        {
            fields.insert("head_sha".to_owned(), Value::from(sha));
        }
        let written = line.write(method, &path, Some(&wanted), done, ask).await;
        written.map(drop).map_err(|error| no_commit(error, check))
    }

    async fn ensure_commit_status(
        &self,
        check: &CheckReport,
        page: Option<&str>,
    ) -> Result<(), Error> {
        let what = format!("the status `{}`", check.name);
        let ask = Ask {
            what: &what,
            needs: "statuses: write",
        };
        let line = self.line().await?;
        let me = self.whoami().await?.id;
        let sha = check.sha.as_str();
        let mut newest: Option<wire::CommitStatus> = None;
        let mut seen = 0;
        let path = self.at(&format!("/commits/{sha}/statuses"));
        let listed = line
            .pages(&path, None, ask, |one: wire::CommitStatus| {
                seen += 1;
                let ours = one.creator.as_ref().is_some_and(|by| by.id == me);
                if ours && one.context.as_deref() == Some(check.name.as_str()) {
                    newest = Some(one);
                    return ControlFlow::Break(());
                }
                if seen < STATUSES_MAX {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })
            .await;
        listed.map_err(|error| no_commit(error, check))?;
        let state = match check.state {
            // A status has no word for "a person has to decide"; the line says it.
            CheckState::Pending | CheckState::ActionRequired => "pending",
            CheckState::Success | CheckState::Neutral => "success",
            CheckState::Failure | CheckState::TimedOut => "failure",
        };
        let description = clipped(&check.title, DESCRIPTION_MAX);
        let same = newest.is_some_and(|old| {
            old.state == state
                && old.description.as_deref() == Some(description.as_str())
                && old.target_url.as_deref() == page
        });
        if same {
            return Ok(());
        }
        let body = json!({
            "state": state,
            "context": check.name,
            "description": description,
            "target_url": page,
        });
        let path = self.at(&format!("/statuses/{sha}"));
        let written = line.write(Method::Post, &path, Some(&body), 201, ask).await;
        written.map(drop).map_err(|error| no_commit(error, check))
    }
}

/// What a check run says, with its marks on the lines that it is about. Sent again for other words, GitHub would show
/// both: that is no harm.
fn output(check: &CheckReport, title: &str) -> Value {
    if check.marks.is_empty() {
        return json!({ "title": title, "summary": check.title });
    }
    let lines = check
        .marks
        .iter()
        .map(|mark| format!("{}:{}:{}: {}", mark.path, mark.line, mark.col, mark.message));
    let marks = check.marks.iter().take(MARKS_MAX).map(|mark| {
        json!({
            "path": mark.path,
            "start_line": mark.line,
            "end_line": mark.line,
            "start_column": mark.col,
            "end_column": mark.col,
            "annotation_level": "failure",
            "message": mark.message,
        })
    });
    json!({
        "title": title,
        "summary": block(&clipped(&lines.collect::<Vec<_>>().join("\n"), SUMMARY_MAX)),
        "annotations": marks.collect::<Vec<_>>(),
    })
}

/// Status and conclusion of a check run.
fn run_state(state: CheckState) -> (&'static str, Option<&'static str>) {
    match state {
        CheckState::Pending => ("in_progress", None),
        CheckState::Success => ("completed", Some("success")),
        CheckState::Failure => ("completed", Some("failure")),
        CheckState::ActionRequired => ("completed", Some("action_required")),
        CheckState::Neutral => ("completed", Some("neutral")),
        CheckState::TimedOut => ("completed", Some("timed_out")),
    }
}

fn says(
    run: &wire::CheckRun,
    status: &str,
    conclusion: Option<&str>,
    title: &str,
    page: Option<&str>,
) -> bool {
    let shown = run
        .output
        .as_ref()
        .and_then(|output| output.title.as_deref());
    run.status.as_deref() == Some(status)
        && run.conclusion.as_deref() == conclusion
        && shown == Some(title)
        // Without a page of ours GitHub names one of its own.
        && page.is_none_or(|page| run.details_url.as_deref() == Some(page))
}

/// GitHub calls an unknown commit invalid; to us it is not there.
fn no_commit(error: Error, check: &CheckReport) -> Error {
    match error {
        Error::Invalid { why, .. } if why.to_ascii_lowercase().contains("no commit found") => {
            Error::Gone {
                what: format!("commit {}", check.sha.short()),
            }
        }
        other => other,
    }
}
