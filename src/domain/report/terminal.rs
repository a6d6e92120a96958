//! The last lines that a run prints on a terminal.

use super::super::evidence::{CheckEvidence, Seen};
use super::super::gates::{Finding, Outcome};
use super::super::task::{About, AgentSpec, Failure, RunResult, Stage, Task, Waiting};
use super::{LogPath, Voice, asked_name, current_result, exit_words, passes, telling};

/// The last lines on a terminal: label and text, control characters removed. `report` as in [`result_json`].
#[must_use]
pub fn summary_lines(
    task: &Task,
    report: Option<&str>,
    voice: &Voice,
) -> Vec<(&'static str, String)> {
    let mut lines: Vec<(&'static str, String)> = Vec::new();
    let result = current_result(task);
    if let Some(result) = result {
        let figures = format!(
            "(base {} → {}, {})",
            result.base.short(),
            result.head.short(),
            super::size(result)
        );
        let published = task.pull.as_ref().filter(|pull| pull.head == result.head);
        match published {
            Some(_) => lines.push(("branch", format!("{}   {figures}", task.branch))),
            None => lines.push(("result", format!("not published   {figures}"))),
        }
        if !result.evidence.is_empty() {
            lines.push(("verify", verify_line(&result.evidence)));
            lines.extend(doubts(&result.evidence));
        }
    }
    match &task.stage {
        Stage::Failed { failure } => lines.push((
            "failed",
            format!("{}: {}", failure.class.word(), failure.message),
        )),
        Stage::AwaitingApproval { .. } => {
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
        }
        _ => {}
    }
    if let Some(report) = report {
        lines.push(("report", report.to_owned()));
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
    let place = match (&finding.path, finding.line) {
        (Some(path), Some(line)) => format!("{} line {line}: ", path.lossy()),
        (Some(path), None) => format!("{}: ", path.lossy()),
        (None, _) => String::new(),
    };
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
