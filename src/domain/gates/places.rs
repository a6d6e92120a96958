//! Where a change may go and how large it may be.

use super::super::settings::Scope;
use super::globs::{BadGlob, Globs};
use super::{CONTENT_CAP, Change, EntryKind, Finding, Gate, Outcome, show, steering};

/// `[scope] allow`, `deny`, `protected` and `sensitive`, and the brief's own scope.
pub(super) fn paths(changes: &[&Change], scope: &Scope, brief_scope: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut compile = |key: &str, patterns: &[String]| match Globs::new(patterns) {
        Ok(globs) => Some(globs),
        Err(error) => {
            found.push(broken(key, &error));
            None
        }
    };
    let deny = compile("`[scope] deny`", &scope.deny);
    let allow = compile("`[scope] allow`", &scope.allow);
    let protected = compile("`[scope] protected`", &scope.protected);
    let sensitive = compile("`[scope] sensitive`", &scope.sensitive);
    let brief = compile("the scope in the brief", brief_scope);
    for change in changes {
        let path = show::path(&change.path);
        let finding = |gate, outcome, reason| Finding {
            gate,
            outcome,
            path: Some(change.path.clone()),
            line: None,
            reason,
        };
        // A link stands for the folder of its name: `.github -> x` is in `.github/**`.
        let is_link = [&change.old, &change.new]
            .into_iter()
            .flatten()
            .any(|entry| !entry.kind.is_file());
        let rule = |globs: &Option<Globs>| {
            let globs = globs.as_ref()?;
            let direct = globs.first(&change.path);
            let within = || globs.first_within(&change.path).filter(|_| is_link);
            direct
                .or_else(within)
                .map(|pattern| show::bytes(pattern.as_bytes()))
        };
        let outside = |globs: &Option<Globs>| {
            globs
                .as_ref()
                .is_some_and(|globs| !globs.is_match(&change.path))
        };
        if let Some(pattern) = rule(&deny) {
            let reason = format!("{path} must not be touched (`[scope] deny` holds {pattern})");
            found.push(finding(Gate::Paths, Outcome::Refuse, reason));
        } else if outside(&allow) {
            let reason = format!("{path} is outside `[scope] allow`");
            found.push(finding(Gate::Paths, Outcome::Ask, reason));
        } else if !brief_scope.is_empty() && outside(&brief) {
            let reason = format!("{path} is outside the scope that the brief declares");
            found.push(finding(Gate::Paths, Outcome::Ask, reason));
        }
        let policy = scope.protected_policy.word();
        // `Allow` is no policy here: `config` refuses it, and what came past it still asks.
        let outcome = scope.protected_policy.outcome().unwrap_or(Outcome::Ask);
        if let Some(pattern) = rule(&protected) {
            let reason = format!(
                "{path} is protected (`[scope] protected` holds {pattern}, `protected_policy` = {policy})"
            );
            found.push(finding(Gate::Protected, outcome, reason));
        } else if let Some(why) = steering::protected(&change.path) {
            let reason = format!(
                "{path} {why}, so it is always protected (`[scope] protected_policy` = {policy})"
            );
            found.push(finding(Gate::Protected, outcome, reason));
        }
        if let Some(pattern) = rule(&sensitive) {
            let reason =
                format!("{path} is in a sensitive area (`[scope] sensitive` holds {pattern})");
            found.push(finding(Gate::Sensitive, Outcome::Ask, reason));
        }
    }
    found
}

/// A rule that cannot be read lets nothing through.
fn broken(key: &str, error: &BadGlob) -> Finding {
    let pattern = show::bytes(error.pattern.as_bytes());
    Finding {
        gate: Gate::Paths,
        outcome: Outcome::Refuse,
        path: None,
        line: None,
        reason: format!(
            "{key} holds {pattern}, which is not a pattern: {}",
            error.why
        ),
    }
}

/// `[scope] max_files` and `max_lines`, and files too large to be read.
/// `plain` are those whose name may be shown.
pub(super) fn size(changes: &[Change], plain: &[&Change], scope: &Scope) -> Vec<Finding> {
    let whole = |reason| Finding {
        gate: Gate::Size,
        outcome: Outcome::Ask,
        path: None,
        line: None,
        reason,
    };
    let mut found = Vec::new();
    let most = scope.max_files;
    if changes.len() > most as usize {
        let reason = format!(
            "{} files changed (`[scope] max_files` = {most})",
            changes.len()
        );
        found.push(whole(reason));
    }
    // Without a readable list nothing counts as generated.
    let generated = Globs::new(&scope.generated).ok();
    let counts = |change: &&Change| {
        !generated
            .as_ref()
            .is_some_and(|globs| globs.is_match(&change.path))
    };
    let lines: u64 = changes
        .iter()
        .filter(counts)
        .map(|change| u64::from(change.added) + u64::from(change.removed))
        .sum();
    let most = scope.max_lines;
    if lines > u64::from(most) {
        let reason = format!(
            "{lines} lines added and removed, generated files apart (`[scope] max_lines` = {most})"
        );
        found.push(whole(reason));
    }
    for change in plain {
        let unread = change
            .new
            .as_ref()
            .filter(|new| new.kind.is_file() && new.content.is_none());
        if let Some(new) = unread {
            found.push(Finding {
                path: Some(change.path.clone()),
                ..whole(format!(
                    "{} has {} bytes, above the {CONTENT_CAP} that the gates read; its content was not judged",
                    show::path(&change.path),
                    new.size
                ))
            });
        }
    }
    found
}

/// Content that a person cannot read as a diff.
pub(super) fn binary(change: &Change) -> Option<Finding> {
    let new = change.new.as_ref()?;
    let same = change
        .old
        .as_ref()
        .is_some_and(|old| old.content.is_some() && old.content == new.content);
    (change.binary && new.kind.is_file() && !same).then(|| Finding {
        gate: Gate::Binary,
        outcome: Outcome::Ask,
        path: Some(change.path.clone()),
        line: None,
        reason: format!(
            "{} is binary ({} bytes), so its diff cannot be read",
            show::path(&change.path),
            new.size
        ),
    })
}

/// Files that became executable, and every other changed mode.
pub(super) fn mode(change: &Change) -> Option<Finding> {
    let path = show::path(&change.path);
    let reason = match (
        change.old.as_ref().map(|old| old.kind),
        change.new.as_ref()?.kind,
    ) {
        (Some(EntryKind::Executable), EntryKind::Executable) => return None,
        (None, EntryKind::Executable) => format!("{path} is a new executable file"),
        (Some(_), EntryKind::Executable) => format!("{path} became executable"),
        (Some(EntryKind::Executable), EntryKind::File) => format!("{path} is no longer executable"),
        (Some(old), new) if old != new => {
            format!("{path} was {} and is now {}", noun(old), noun(new))
        }
        _ => return None,
    };
    Some(Finding {
        gate: Gate::Mode,
        outcome: Outcome::Ask,
        path: Some(change.path.clone()),
        line: None,
        reason,
    })
}

fn noun(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "a file",
        EntryKind::Executable => "an executable file",
        EntryKind::Symlink => "a symlink",
        EntryKind::Gitlink => "a gitlink",
    }
}
