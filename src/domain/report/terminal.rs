//! The last lines that a run prints on a terminal.

use super::super::evidence::{CheckEvidence, Seen};
use super::super::gates::{Finding, Outcome};
use super::super::task::{About, AgentSpec, ApprovalOf, Failure, RunResult, Stage, Task, Waiting};
use super::review::{Theirs, theirs};
use super::{
    LogPath, Voice, asked_name, current_evidence, current_result, exit_words, outcome, passes,
    telling, unfinished,
};

/// The last lines on a terminal: label and text, control characters removed. `report` as in [`result_json`].
#[must_use]
pub fn summary_lines(
    task: &Task,
    report: Option<&str>,
    voice: &Voice,
) -> Vec<(&'static str, String)> {
    let mut lines: Vec<(&'static str, String)> = Vec::new();
    // Of what was taken back nothing is shown as if it were there.
    let withdrawn = outcome::is_withdrawn(task);
    let theirs = theirs(task).filter(|_| !withdrawn);
    if let Some(Theirs::Unknown { head, .. }) = theirs {
        let at = head.short();
        lines.push((
            "branch",
            format!(
                "{}   (at {at}, which is not the bot's and not checked)",
                task.branch
            ),
        ));
    } else if let Some(result) = current_result(task).filter(|_| !withdrawn) {
        let figures = format!(
            "(base {} → {}, {})",
            result.base.short(),
            result.head.short(),
            super::size(result)
        );
        let published = task.pull.as_ref().filter(|pull| pull.head == result.head);
        match published {
            Some(_) => lines.push(("branch", format!("{}   {figures}", task.branch))),
            None if theirs.is_some() => {
                lines.push(("branch", format!("{}   {figures}", task.branch)))
            }
            None => lines.push(("result", format!("not published   {figures}"))),
        }
    }
    if let Some(Theirs::Judged) = theirs {
        let theirs = "its head is not the bot's commit".to_owned();
        lines.push(("note", theirs));
        let result = current_result(task).into_iter();
        let refused = result.flat_map(|result| &result.findings);
        let refused = refused.filter(|finding| finding.outcome == Outcome::Refuse);
        lines.extend(refused.map(|finding| ("refused", placed(finding))));
    }
    let evidence = match theirs {
        Some(Theirs::Unknown { .. }) => &[],
        _ if withdrawn => &[],
        _ => current_evidence(task),
    };
    if evidence
        .iter()
        .any(|check| !check.base.is_empty() || !check.head.is_empty())
    {
        lines.push(("verify", verify_line(evidence)));
        lines.extend(doubts(evidence));
    }
    match &task.stage {
        Stage::Failed { failure } => lines.push((
            "failed",
            format!("{}: {}", failure.class.word(), failure.message),
        )),
        Stage::AwaitingApproval {
            of: ApprovalOf::Result,
        } => {
            if let Some(revision) = &task.revision {
                for ask in revision.open_asks() {
                    lines.push(("asks", placed(ask)));
                }
            }
        }
        Stage::Asking { questions, .. } => {
            for (question, number) in questions.iter().zip(1_u32..) {
                let default = question
                    .default
                    .as_ref()
                    .map_or(String::new(), |default| format!(" (default: {default})"));
                let first = question.text.lines().next().unwrap_or_default();
                lines.push(("asks", format!("{number}. {first}{default}")));
            }
            let more = unfinished(task).map_or(0, |seen| seen.questions_left_out);
            if more > 0 {
                lines.push(("asks", format!("and {more} more; see its log")));
            }
        }
        _ => lines.extend(outcome::lines(task)),
    }
    if let Some(report) = report {
        lines.push(("report", report.to_owned()));
    }
    let is_held = matches!(
        task.stage,
        Stage::AwaitingApproval { .. } | Stage::Asking { .. }
    );
    if let Some(to) = task.issue.publish.as_ref().filter(|_| is_held) {
        let told = format!(
            "opened on {} once the task goes on and ends well",
            to.repository
        );
        lines.push(("pull", told));
    }
    lines.push((
        "agent",
        match &task.agent {
            AgentSpec::Scripted { .. } => format!("{} (no model was used)", task.agent.name()),
            AgentSpec::Command { .. } => task.agent.name(),
        },
    ));
    lines.push(("next", next(task, voice)));
    lines
        .into_iter()
        .map(|(label, text)| (label, terminal(&text)))
        .collect()
}

/// The same for the referee: what two commits are worth beside each other.
#[must_use]
pub fn verify_lines(
    result: &RunResult,
    failure: Option<&Failure>,
    log_path: LogPath<'_>,
) -> Vec<(&'static str, String)> {
    let (base, head) = (result.base.short(), result.head.short());
    let mut lines = vec![(
        "commits",
        format!("{base} → {head}, {}", super::size(result)),
    )];
    if !result.evidence.is_empty() {
        lines.push(("verify", verify_line(&result.evidence)));
        lines.extend(doubts(&result.evidence));
    }
    let findings = result
        .findings
        .iter()
        .filter(|finding| finding.outcome != Outcome::Pass);
    for finding in findings {
        let label = if finding.outcome == Outcome::Ask {
            "asks"
        } else {
            "refused"
        };
        lines.push((label, placed(finding)));
    }
    for check in result
        .evidence
        .iter()
        .filter(|check| check.verdict().is_red())
    {
        let log = check.head.iter().find(|seen| !seen.exit.is_green());
        if let Some(path) = log.and_then(|seen| log_path(&seen.log.sha256)) {
            lines.push(("log", format!("{} {}: {path}", check.name, check.told())));
        }
    }
    let asks = result
        .findings
        .iter()
        .any(|finding| finding.outcome == Outcome::Ask);
    lines.push(match failure {
        Some(failure) => (
            "failed",
            format!("{}: {}", failure.class.word(), failure.message),
        ),
        None if asks => (
            "verdict",
            "the checks pass; a person decides about what is asked".to_owned(),
        ),
        None if doubts(&result.evidence).next().is_some() => (
            "verdict",
            "the checks pass, but show less than they seem to".to_owned(),
        ),
        None => ("verdict", "verified".to_owned()),
    });
    lines
        .into_iter()
        .map(|(label, text)| (label, terminal(&text)))
        .collect()
}

fn placed(finding: &Finding) -> String {
    let place = super::place(finding, |path| path.lossy().into_owned());
    format!("{place}{}", finding.reason)
}

/// What makes a check show less than its exit code, one line each.
fn doubts(evidence: &[CheckEvidence]) -> impl Iterator<Item = (&'static str, String)> {
    evidence.iter().filter_map(|check| {
        let doubt = check.doubt()?.told();
        Some(("doubt", format!("{}: {doubt}", check.name)))
    })
}

fn verify_line(evidence: &[CheckEvidence]) -> String {
    let mut words: Vec<String> = evidence
        .iter()
        .take(12)
        .map(|check| {
            let side = |runs: &[Seen]| match telling(runs) {
                Some(seen)
                    if seen.exit.is_green() != runs.iter().any(|one| one.exit.is_green()) =>
                {
                    "unstable".to_owned()
                }
                Some(seen) => exit_words(&seen.exit),
                None => "–".to_owned(),
            };
            let (base, head) = (side(&check.base), side(&check.head));
            let seen = if base == head || check.base.is_empty() {
                head
            } else {
                format!("{base} → {head}")
            };
            format!("{} {seen}", check.name)
        })
        .collect();
    if evidence.len() > 12 {
        words.push(format!("and {} more", evidence.len() - 12));
    }
    let of: Vec<&CheckEvidence> = evidence
        .iter()
        .filter(|check| check.required && !check.head.is_empty())
        .collect();
    if evidence.iter().all(|check| check.head.is_empty()) {
        return format!("{}   (no result was checked)", words.join("   "));
    }
    let green = of.iter().filter(|check| passes(check.verdict())).count();
    format!("{}   (required {green}/{})", words.join("   "), of.len())
}

fn next(task: &Task, voice: &Voice) -> String {
    let typed = |verb: &str, args: &str| voice.typed(verb, args, task.id);
    let asked = asked_name(task).unwrap_or_default();
    match &task.stage {
        Stage::InReview { .. } => {
            let base = task.base_branch.as_deref().unwrap_or(task.base.short());
            format!(
                "git diff {base}...{}   ·   {}   (removes branch and report)",
                task.branch,
                typed("reject", "")
            )
        }
        Stage::AwaitingApproval { .. } | Stage::Proposed => {
            format!("{}   ·   {}", typed("approve", &asked), typed("reject", ""))
        }
        Stage::Asking { about, .. } => match about {
            About::Brief => typed("answer", "…"),
            About::Work => typed("answer", "1: …"),
        },
        Stage::Failed { .. } => format!("{}   ·   {}", typed("logs", ""), typed("retry", "")),
        Stage::Queued {
            why: Waiting::Person { .. },
            ..
        } => typed("resume", ""),
        Stage::Queued { .. }
        | Stage::Running { .. }
        | Stage::Publishing { .. }
        | Stage::TakenOver { .. }
        | Stage::Ended { .. } => typed("show", ""),
    }
}

/// Text that does nothing to a terminal, on one line.
fn terminal(text: &str) -> String {
    let quiet: String = text
        .chars()
        .map(|c| {
            let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if c.is_control() || reorders { '\u{fffd}' } else { c }
        })
        .collect();
    super::clip(&quiet, 400)
}
