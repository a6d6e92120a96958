//! Gates and evidence for any two commits: what a verified result rests on, and all that the referee does.

use tokio::sync::watch;

use super::checks::Side;
use super::workspace::{self, Layers};
use super::{Bench, Control, Exit, Halt, RunError, Watch, blocking, failed};
use crate::domain::event::RunOutcome;
use crate::domain::evidence::{self, CheckEvidence, Seen, wants_confirmation};
use crate::domain::gates::globs::Globs;
use crate::domain::gates::{self, Beside, Change, Finding, Odd, Outcome};
use crate::domain::ident::{CommitId, TaskId};
use crate::domain::settings::{Check, Settings};
use crate::domain::task::{Failure, FailureClass, FileStat};
use crate::domain::text;

/// What two commits are worth beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Files that differ.
    pub files: Vec<FileStat>,
    /// What the gates found.
    pub findings: Vec<Finding>,
    /// Checks on both; empty where a gate refused.
    pub evidence: Vec<CheckEvidence>,
}

/// The referee: gates and checks for `base` and `head`, without an agent and without a task.
///
/// # Errors
/// [`RunError`]. A failure that is a verdict (set-up, baseline, time-out) is the inner error.
pub async fn judge_commits(
    bench: &Bench,
    settings: &Settings,
    commits: (&CommitId, &CommitId),
    watch: &dyn Watch,
    halt: watch::Receiver<Option<Halt>>,
) -> Result<Result<Judged, (Failure, Vec<CheckEvidence>)>, RunError> {
    let control = Control::new(settings.task.timeout_secs, watch, halt);
    let mut seen = Vec::new();
    let judged = judge(bench, settings, (None, &[], commits), &control, &mut seen).await;
    workspace::clear(bench).await;
    match judged {
        Ok(judged) => Ok(Ok(judged)),
        Err(Exit::Outcome(RunOutcome::Failed { failure, .. })) => Ok(Err((failure, seen))),
        Err(Exit::Outcome(_)) => Err(RunError::Lost),
        Err(Exit::Error(error)) => Err(error),
    }
}

/// Gates and checks for two commits, for a task or none. `seen` has what the checks said, also where this ends
/// before its end.
pub(super) async fn judge(
    bench: &Bench,
    settings: &Settings,
    (task, brief_scope, (base, head)): (Option<TaskId>, &[String], (&CommitId, &CommitId)),
    control: &Control<'_>,
    seen: &mut Vec<CheckEvidence>,
) -> Result<Judged, Exit> {
    let (changes, findings) = gate(bench, settings, brief_scope, (base, head), &[]).await?;
    let files = file_stats(&changes);
    if gates::outcome(&findings) == Outcome::Refuse {
        return Ok(Judged {
            files,
            findings,
            evidence: Vec::new(),
        });
    }
    // A judgement that was cut short cleared nothing, and another head may have been its subject.
    workspace::empty(bench).await?;
    let layers = Layers::of(bench, base, base, "base", true).await?;
    let mut before = Side::new(bench, task, settings, control, layers, "base");
    base_evidence(seen, &mut before).await?;
    before.end().await?;
    let layers = Layers::of(bench, base, head, "head", true).await?;
    let mut after = Side::new(bench, task, settings, control, layers, "head");
    head_evidence(seen, &mut before, &mut after, &changes).await?;
    Ok(Judged {
        files,
        findings,
        evidence: std::mem::take(seen),
    })
}

/// The diff of two commits, and what the gates find in it.
pub(super) async fn gate(
    bench: &Bench,
    settings: &Settings,
    brief_scope: &[String],
    (base, head): (&CommitId, &CommitId),
    odd: &[Odd],
) -> Result<(Vec<Change>, Vec<Finding>), Exit> {
    let (mirror, base, head) = (bench.mirror.clone(), base.clone(), head.clone());
    let (changes, files) =
        blocking(move || Ok((mirror.diff(&base, &head)?, mirror.list_files(&base)?))).await?;
    let checks = settings.checks.iter().map(|check| &check.run);
    let commands: Vec<&str> = settings
        .setup
        .run
        .iter()
        .chain(checks)
        .map(String::as_str)
        .collect();
    let beside = Beside {
        brief_scope,
        commands: &commands,
        base: &files,
        odd,
        known: bench.redactor.known(),
    };
    let findings = gates::judge(&changes, &settings.scope, &beside);
    Ok((changes, findings))
}

pub(super) fn file_stats(changes: &[Change]) -> Vec<FileStat> {
    changes
        .iter()
        .map(|change| FileStat {
            path: change.path.clone(),
            added: change.added,
            removed: change.removed,
        })
        .collect()
}

/// The checks on the base commit, added to `all`. Red is fine; a required one that could not be judged is not.
pub(super) async fn base_evidence(
    all: &mut Vec<CheckEvidence>,
    side: &mut Side<'_>,
) -> Result<(), Exit> {
    let settings = side.settings;
    all.extend(settings.checks.iter().map(unseen));
    if settings.setup.run.is_empty() && settings.checks.iter().all(|check| !check.baseline) {
        return Ok(());
    }
    side.fresh().await?;
    for (check, evidence) in settings.checks.iter().zip(all) {
        if !check.baseline {
            continue;
        }
        let seen = side.run(check).await?;
        evidence.base.push(seen.clone());
        if let Some((class, how)) = unjudged(&seen).filter(|_| check.required) {
            let message = format!(
                "required check {} could not be judged on base: {} {how}",
                text::code(&check.name),
                text::code(&check.run)
            );
            return Err(failed(class, message, seen.tail));
        }
    }
    Ok(())
}

/// The checks on the exact result, and the second looks at what changed its colour.
pub(super) async fn head_evidence(
    all: &mut [CheckEvidence],
    before: &mut Side<'_>,
    after: &mut Side<'_>,
    changes: &[Change],
) -> Result<(), Exit> {
    let settings = after.settings;
    after.fresh().await?;
    let applying = applying(&settings.checks, changes);
    for ((check, evidence), applies) in settings.checks.iter().zip(all.iter_mut()).zip(applying) {
        if applies {
            evidence.head.push(after.run(check).await?);
        }
    }
    after.end().await?;
    let pairs = settings.checks.iter().zip(all.iter());
    let again: Vec<bool> = pairs
        .map(|(check, evidence)| wants_confirmation(check, &evidence.base, &evidence.head))
        .collect();
    if let Some(last) = again.iter().rposition(|again| *again) {
        // Fresh sandboxes: what the first look left behind may be what changed the colour. What ran before a
        // changed check runs again as well, unrecorded: it may be what it stands on, as tests on a build.
        before.fresh().await?;
        after.fresh().await?;
        let checks = settings.checks.iter().zip(all.iter_mut()).zip(&again);
        for ((check, evidence), again) in checks.take(last + 1) {
            if !evidence.base.is_empty() {
                let seen = before.run(check).await?;
                evidence.base.extend(again.then_some(seen));
            }
            if !evidence.head.is_empty() {
                let seen = after.run(check).await?;
                evidence.head.extend(again.then_some(seen));
            }
        }
        before.end().await?;
        after.end().await?;
    }
    Ok(())
}

/// Which checks run on head: those under whose `paths` something changed. Where that
/// would leave no required check, all required ones run: nothing is verified by none.
fn applying(checks: &[Check], changes: &[Change]) -> Vec<bool> {
    let applies = |check: &Check| {
        check.paths.is_empty()
            || Globs::new(&check.paths)
                .is_ok_and(|globs| changes.iter().any(|change| globs.is_match(&change.path)))
    };
    let mut all: Vec<bool> = checks.iter().map(applies).collect();
    let judged = checks
        .iter()
        .zip(&all)
        .any(|(check, applies)| check.required && *applies);
    if !judged {
        for (check, applies) in checks.iter().zip(&mut all) {
            *applies |= check.required;
        }
    }
    all
}

fn unseen(check: &Check) -> CheckEvidence {
    CheckEvidence {
        name: check.name.clone(),
        command: check.run.clone(),
        required: check.required,
        base: Vec::new(),
        head: Vec::new(),
    }
}

/// Signals that a program brings upon itself: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV.
const CRASHES: [i32; 6] = [4, 5, 6, 7, 8, 11];

/// Why a check on base says nothing: not found, killed, out of time or limits.
fn unjudged(seen: &Seen) -> Option<(FailureClass, String)> {
    let (class, how) = evidence::class_of(&seen.exit);
    match &seen.exit {
        evidence::Exit::Code { code: 126 | 127 } => Some((
            FailureClass::Baseline,
            format!("{how} (not found or not executable)"),
        )),
        evidence::Exit::Code { .. } => None,
        // What a failed assertion or a crash of the program ends with: red, as its exit code in a shell is.
        evidence::Exit::Signal { signal } if CRASHES.contains(signal) => None,
        evidence::Exit::Signal { .. } | evidence::Exit::NotStarted { .. } => {
            Some((FailureClass::Baseline, how))
        }
        evidence::Exit::TimedOut { .. } | evidence::Exit::Limit { .. } => Some((class, how)),
    }
}
