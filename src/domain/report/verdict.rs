//! The referee's one comment on a pull request, and its checks: what two commits are worth beside each other.

use super::super::gates::Outcome;
use super::super::ident::Time;
use super::super::task::{Failure, FileMistake, RepositoryFile, RunResult};
use super::data::{CheckReport, CheckState, config_check, verify_state};
use super::pull::check_row;
use super::{
    Page, count, finding_line, last_lines, line, required, short_path, size, span, telling,
};

/// Most characters of the comment.
const VERDICT_MAX: usize = 30_000;

/// How far the referee is with a question.
#[derive(Clone, Copy, Debug)]
pub enum Refereeing<'a> {
    /// It waits behind so many others.
    Queued {
        /// How many.
        before: u64,
    },
    /// Nobody asked, and as many as may be were judged unasked within an hour.
    Later {
        /// When it may be begun.
        at: Time,
        /// How many in an hour.
        per_hour: u32,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Time,
    },
    /// It is judged.
    Judged {
        /// What was seen.
        result: &'a RunResult,
        /// Why it is not verified; `None` = green and no gate refuses.
        failure: Option<&'a Failure>,
    },
    /// It could not be judged.
    Broken {
        /// Why.
        why: &'a str,
    },
}

/// What the referee was asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The commit to judge.
    pub head: &'a str,
    /// Head of the pull request where it is another by now, as far as that is known.
    pub newer: Option<&'a str>,
    /// The branch that it is to be merged into.
    pub base_branch: &'a str,
    /// Who asked; `None` = the repository wants it judged unasked.
    pub asker: Option<&'a str>,
    /// What commands begin with.
    pub prefix: &'a str,
    /// The file of rules; `None` = the repository has none.
    pub rules: Option<&'a str>,
}

/// The comment. `head` in it is ours to print: it was parsed as a commit.
#[must_use]
pub fn verdict(asked: &Asked<'_>, how: Refereeing<'_>) -> String {
    let head = asked.head.get(..7).unwrap_or(asked.head);
    let mut page = Page::of(VERDICT_MAX);
    let title = |word: &str| {
        let why = match asked.asker {
            Some(asker) => format!("asked for by {}", line(asker, 60)),
            None => "unasked, as this repository wants (`[trigger] verify`)".to_owned(),
        };
        format!("**Referee: {word}** · commit `{head}` · {why}")
    };
    match how {
        Refereeing::Queued { before } => {
            page.add(&title("in line"));
            page.add(&match before {
                0 => "It is next.".to_owned(),
                before => format!(
                    "{} before it.",
                    count(
                        usize::try_from(before).unwrap_or(usize::MAX),
                        "question",
                        "questions"
                    )
                ),
            });
            page.add(&newer(asked));
        }
        Refereeing::Later { at, per_hour } => {
            page.add(&title("in line"));
            page.add(&format!(
                "Not begun before {} UTC: {} in an hour run unasked (`[trigger] verify_per_hour`). `{} verify` runs it \
                 now.",
                at.clock(),
                per_hour,
                asked.prefix
            ));
        }
        Refereeing::Running { since } => {
            page.add(&title("running"));
            page.add(&format!(
                "The checks of `{}` run on base and head since {} UTC. This comment is edited when they end.",
                harmless_branch(asked.base_branch),
                since.clock()
            ));
        }
        Refereeing::Broken { why } => {
            page.add(&title("not judged"));
            page.add(&format!(
                "Nothing is known about this commit: {}. `{} verify` asks again.",
                line(why, 600),
                asked.prefix
            ));
        }
        Refereeing::Judged { result, failure } => {
            page.add(&title(word(result, failure)));
            page.add(&newer(asked));
            judged(&mut page, asked, result, failure);
        }
    }
    page.end("; the server's record has all of it")
}

/// That it is not the newest commit, where it is not.
fn newer(asked: &Asked<'_>) -> String {
    match asked.newer.filter(|newer| *newer != asked.head) {
        Some(newer) => format!(
            "Newer commits came since; the head is `{}` now. `{} verify` judges that one.",
            newer.get(..7).unwrap_or(newer),
            asked.prefix
        ),
        None => String::new(),
    }
}

/// The verdict in a word or two.
fn word(result: &RunResult, failure: Option<&Failure>) -> &'static str {
    let asks = result
        .findings
        .iter()
        .any(|finding| finding.outcome == Outcome::Ask);
    match failure {
        Some(_) => "not verified",
        None if asks => "verified, with questions",
        None => "verified",
    }
}

/// The verdict in one line, for records and checks.
#[must_use]
pub fn verdict_line(result: &RunResult, failure: Option<&Failure>) -> String {
    match failure {
        Some(failure) => format!("{}: {}", failure.class.word(), line(&failure.message, 100)),
        None => required(&result.evidence),
    }
}

/// The checks on the head: evidence, and what the gates found.
#[must_use]
pub fn verdict_checks(result: &RunResult, failure: Option<&Failure>) -> Vec<CheckReport> {
    let of = |outcome| {
        let findings = result.findings.iter();
        findings
            .filter(|finding| finding.outcome == outcome)
            .count()
    };
    let scope = match (of(Outcome::Refuse), of(Outcome::Ask)) {
        (0, 0) => (CheckState::Success, "inside scope and limits".to_owned()),
        // Somebody else's pull request is not ours to approve: its reviewer decides.
        (0, asks) => (
            CheckState::Neutral,
            format!("{} for the reviewer", count(asks, "finding", "findings")),
        ),
        (refused, _) => (
            CheckState::Failure,
            format!("{} refused", count(refused, "finding", "findings")),
        ),
    };
    let verify = match failure {
        Some(failure) if !result.evidence.iter().any(|check| check.verdict().is_red()) => {
            (CheckState::Failure, line(&failure.message, 100))
        }
        _ => verify_state(&result.evidence),
    };
    [("verify", verify), ("scope", scope)]
        .into_iter()
        .map(|(name, (state, title))| CheckReport {
            name: format!("prentice / {name}"),
            sha: result.head.clone(),
            state,
            title,
            marks: Vec::new(),
        })
        .chain(config_check(result.repository_file.as_ref(), &result.head))
        .collect()
}

fn judged(page: &mut Page, asked: &Asked<'_>, result: &RunResult, failure: Option<&Failure>) {
    if let Some(failure) = failure {
        page.add(&format!(
            "{}: {}",
            failure.class.word(),
            line(&failure.message, 600)
        ));
        if !failure.tail.trim().is_empty() && result.evidence.is_empty() {
            page.fold("What it said last", &last_lines(&failure.tail, 15), 3_000);
        }
    }
    page.add(&format!(
        "{} against `{}`, the merge base with {}.",
        size(result),
        result.base.short(),
        harmless_branch(asked.base_branch)
    ));
    let rows: Vec<String> = result.evidence.iter().map(check_row).collect();
    page.rows(
        "| Check | Command | Base | Here | Time | Required | |\n|---|---|---|---|---|---|---|\n",
        &rows,
        15_000,
        "checks",
    );
    if rows.is_empty() {
        page.add("No check ran.");
    }
    let findings: Vec<String> = result
        .findings
        .iter()
        .map(|finding| {
            let how = match finding.outcome {
                Outcome::Pass => "noted",
                Outcome::Ask => "for the reviewer",
                Outcome::Refuse => "refused",
            };
            format!("- {how}: {}", finding_line(finding))
        })
        .collect();
    match findings.is_empty() {
        true => page.add("The gates found nothing."),
        false => page.rows("What the gates found:\n\n", &findings, 8_000, "findings"),
    }
    repository_file(page, result);
    let files: Vec<String> = result
        .files
        .iter()
        .take(30)
        .map(|file| {
            format!(
                "- {} +{} −{}",
                short_path(&file.path),
                file.added,
                file.removed
            )
        })
        .collect();
    page.rows("Files:\n\n", &files, 5_000, "files");
    for check in result
        .evidence
        .iter()
        .filter(|check| check.verdict().is_red())
    {
        let Some(seen) = telling(&check.head).or(telling(&check.base)) else {
            continue;
        };
        if !seen.tail.trim().is_empty() {
            let summary = format!("{}: last lines", line(&check.name, 60));
            page.fold(&summary, &last_lines(&seen.tail, 15), 3_000);
        }
    }
    let rules = match asked.rules {
        Some(file) => format!("the rules of `{}`", harmless_branch(file)),
        None => "built-in rules, since the repository has no file of ours".to_owned(),
    };
    page.add(&format!(
        "<sub>Run by the bot in clean checkouts without network, by {rules} on the default branch; no agent, no model. \
         `{} verify` judges the newest head again.</sub>",
        asked.prefix
    ));
}

/// What becomes of the repository file, where that changes.
pub(super) fn repository_file(page: &mut Page, result: &RunResult) {
    match &result.repository_file {
        None => {}
        Some(RepositoryFile::Valid { path }) => page.add(&format!(
            "It changes {}, which is valid then; that governs nothing until it is on the default branch.",
            span(path, 60)
        )),
        Some(RepositoryFile::Gone { path }) => page.add(&format!(
            "It removes {}; once that is so on the default branch, built-in rules hold.",
            span(path, 60)
        )),
        Some(RepositoryFile::Broken {
            path,
            mistakes,
            more,
        }) => {
            let row = |mistake: &FileMistake| {
                let place = format!("{path}:{}:{}", mistake.line, mistake.col);
                format!("- {}: {}", span(&place, 80), line(&mistake.message, 400))
            };
            let mut rows: Vec<String> = mistakes.iter().map(row).collect();
            if *more > 0 {
                rows.push(format!("- {more} more"));
            }
            let lead = "**It breaks the repository file**: once that is on the default branch, nothing starts here any more.\n\n";
            page.rows(lead, &rows, 6_000, "mistakes");
        }
    }
}

/// A name between backticks that stays there.
fn harmless_branch(name: &str) -> String {
    let quiet = |c: &char| !c.is_control() && *c != '`';
    name.chars().filter(quiet).take(100).collect()
}
