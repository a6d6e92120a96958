//! Checks and labels: the report in the forge's own marks.

use serde::{Deserialize, Serialize};

use super::super::evidence::{CheckEvidence, Exit};
use super::super::gates::Outcome;
use super::super::ident::CommitId;
use super::super::task::{Ending, FileMistake, RepositoryFile, RunResult, Stage, Task};
use super::super::text::title;
use super::{count, passes, required};

/// Longest title of the check on the repository file.
const CONFIG_TITLE_MAX: usize = 240;

/// Longest text of a mark.
const MARK_MAX: usize = 320;

/// One check on one commit, as a forge shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// `prentice / verify`, `prentice / scope`, `prentice / approval` or `prentice / config`.
    pub name: String,
    /// The commit that it speaks of.
    pub sha: CommitId,
    /// What it says.
    pub state: CheckState,
    /// The same in one line, harmless to show.
    pub title: String,
    /// Lines of files that it is about, where the forge can show them; where not, the title says enough.
    #[serde(default)]
    pub marks: Vec<Mark>,
}

/// What a check says of one line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The file.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub col: usize,
    /// What it says: one line that is no Markdown, harmless to show.
    pub message: String,
}

/// States of a check. On forges with statuses only, `ActionRequired` is pending with a title that says what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// Not known yet.
    Pending,
    /// Good.
    Success,
    /// Bad.
    Failure,
    /// A person has to decide.
    ActionRequired,
    /// Nothing to say.
    Neutral,
    /// A time limit ended it.
    TimedOut,
}

/// The one label that shows the stage on the issue; a final task has none.
#[must_use]
pub fn label(task: &Task) -> Option<String> {
    (!task.is_final()).then(|| format!("agent:{}", task.word()))
}

/// The checks of the newest result; none while there is no result.
#[must_use]
pub fn checks(task: &Task) -> Vec<CheckReport> {
    let Some(revision) = &task.revision else {
        return Vec::new();
    };
    let result = &revision.result;
    // On a person's head the bot's verdict is not known until its checks ran there.
    let (sha, checking) = match &task.stage {
        Stage::InReview { head, checking, .. } => (head, checking.is_some()),
        _ => (&result.head, false),
    };
    let report = |name: &str, (state, title): (CheckState, String)| CheckReport {
        name: format!("prentice / {name}"),
        sha: sha.clone(),
        state,
        title,
        marks: Vec::new(),
    };
    if *sha != result.head {
        let title = if checking {
            "checks run again on this commit"
        } else {
            "not judged: this commit is not the bot's"
        };
        return vec![report("verify", (CheckState::Pending, title.to_owned()))];
    }
    let mut all = vec![
        report("verify", verify_state(&result.evidence)),
        report("scope", scope_state(task, result)),
        report("approval", approval_state(task)),
    ];
    all.extend(config_check(result.repository_file.as_ref(), sha));
    all
}

/// The check on the repository file, for a commit that changes it.
#[must_use]
pub fn config_check(file: Option<&RepositoryFile>, sha: &CommitId) -> Option<CheckReport> {
    let (state, title, marks) = match file? {
        RepositoryFile::Valid { path } => (
            CheckState::Success,
            format!("{path} is valid; it governs nothing until it is on the default branch"),
            Vec::new(),
        ),
        RepositoryFile::Gone { path } => (
            CheckState::Neutral,
            format!("{path} goes; once that is so on the default branch, built-in rules hold"),
            Vec::new(),
        ),
        RepositoryFile::Broken {
            path,
            mistakes,
            more,
        } => {
            let first = mistakes.first();
            let at = first.map_or_else(String::new, |first| {
                format!("{path}:{}:{}: {}", first.line, first.col, first.message)
            });
            let lead = match mistakes.len() + more {
                0 | 1 => String::new(),
                all => format!("{all} mistakes, the first at "),
            };
            let mark = |mistake: &FileMistake| Mark {
                path: path.clone(),
                line: mistake.line,
                col: mistake.col,
                message: title(&mistake.message, MARK_MAX),
            };
            (
                CheckState::Failure,
                title(&format!("{lead}{at}"), CONFIG_TITLE_MAX),
                mistakes.iter().map(mark).collect(),
            )
        }
    };
    Some(CheckReport {
        name: "prentice / config".to_owned(),
        sha: sha.clone(),
        state,
        title,
        marks,
    })
}

pub(super) fn verify_state(evidence: &[CheckEvidence]) -> (CheckState, String) {
    let red: Vec<&CheckEvidence> = evidence
        .iter()
        .filter(|check| check.required && !passes(check.verdict()))
        .collect();
    let ran = evidence
        .iter()
        .any(|check| check.required && !check.head.is_empty());
    let timed_out = |check: &&CheckEvidence| {
        let mut exits = check.head.iter().map(|seen| &seen.exit);
        exits.any(|exit| matches!(exit, Exit::TimedOut { .. }))
    };
    let state = if red.iter().any(timed_out) {
        CheckState::TimedOut
    } else if !red.is_empty() {
        CheckState::Failure
    } else if ran {
        CheckState::Success
    } else {
        // Green means evidence; without any there is no green.
        return (CheckState::Neutral, "no required check ran".to_owned());
    };
    (state, required(evidence))
}

fn is_theirs(task: &Task) -> bool {
    task.revision.as_ref().is_some_and(|of| of.theirs)
}

fn scope_state(task: &Task, result: &RunResult) -> (CheckState, String) {
    let refused = result
        .findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Refuse)
        .count();
    let open = task
        .revision
        .as_ref()
        .map_or(0, |revision| revision.open_asks().count());
    let asked = result
        .findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Ask)
        .count();
    match (refused, open, asked) {
        (0, 0, 0) => (CheckState::Success, "inside scope and limits".to_owned()),
        (0, 0, granted) => (
            CheckState::Success,
            format!("{} approved", count(granted, "finding", "findings")),
        ),
        (0, open, _) if is_theirs(task) => (
            CheckState::Neutral,
            format!("{} for the reviewer", count(open, "finding", "findings")),
        ),
        (0, open, _) => (
            CheckState::ActionRequired,
            format!("{} to approve", count(open, "finding", "findings")),
        ),
        (refused, ..) => (
            CheckState::Failure,
            format!("{} refused", count(refused, "finding", "findings")),
        ),
    }
}

fn approval_state(task: &Task) -> (CheckState, String) {
    if let Stage::Ended {
        how: Ending::Rejected,
        ..
    } = task.stage
    {
        return (CheckState::Failure, "rejected".to_owned());
    }
    let Some(revision) = &task.revision else {
        return (CheckState::Neutral, "no approval was needed".to_owned());
    };
    if revision.theirs {
        let title = "not asked: the commit is not the bot's".to_owned();
        return (CheckState::Neutral, title);
    }
    if revision.open_asks().next().is_some() {
        return (
            CheckState::ActionRequired,
            format!("waiting for an approver: r{}", revision.number),
        );
    }
    match task.approved_by() {
        // Where there are no drafts this is all that says so.
        None if task.issue.repository_id.is_some() && super::turn::is_draft(task) => (
            CheckState::ActionRequired,
            format!("waiting for an approval of r{}", revision.number),
        ),
        None if revision.granted.is_empty() => {
            (CheckState::Neutral, "no approval was needed".to_owned())
        }
        Some(_) | None => (
            CheckState::Success,
            format!("r{} approved at this commit", revision.number),
        ),
    }
}
