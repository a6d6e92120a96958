//! The report: what the forge should show for a task, as pure text and data.
//!
//! Rendered anew whenever it is published, from the task alone (and the time, for
//! the promise of the next update), so that it heals what drifted. Nothing that a
//! person, a model or a log wrote reaches a page unescaped or unbounded, and what
//! is left out for length is said.

mod commit;
mod data;
mod journal;
mod json;
mod outcome;
mod page;
mod proposal;
mod pull;
mod queue;
mod reply;
mod review;
mod status;
mod stopped;
mod table;
mod template;
mod terminal;
mod turn;
mod verdict;

pub use commit::commit_message;
pub use data::{CheckReport, CheckState, Mark, checks, config_check, label};
pub use journal::{journal_line, not_now, step_words};
pub use json::{LogPath, SCHEMA_VERSION, result_json, verify_json};
pub use proposal::{PROPOSED_MAX, shows_brief};
pub use pull::{PULL_MAX, pull_body, pull_body_after, pull_title};
pub use queue::{Hold, InLine};
pub use reply::{REPLY_MAX, Reply};
pub use status::{STATUS_MAX, status, status_in_line};
pub use template::{GITEA_FOLDERS, GITHUB_FOLDERS, TEMPLATE_MAX, pull_template};
pub use terminal::{summary_lines, verify_lines};
pub use turn::notice;
pub use verdict::{Asked, Refereeing, verdict, verdict_checks, verdict_line};

use page::{Page, chars, count, last_lines, line, span, within};

use super::evidence::{CheckEvidence, Exit, Limit, Seen, Verdict};
use super::gates::{Cause, Finding, Gate};
use super::ident::TaskId;
use super::settings::{ChecksFrom, GatePolicy};
use super::task::{ApprovalOf, RunResult, Stage, Task, Unfinished};
use super::text::{clip, code, path};

/// How people are addressed, and how what they type is written: on a forge as a
/// comment, on one machine as a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// What a command starts with on a forge; `None` = one machine.
    prefix: Option<String>,
    /// Where our own pages are, without a slash at the end; `None` = nowhere that a reader could reach.
    pages: Option<String>,
}

impl Voice {
    /// One machine: no links, no labels, commands of the shell.
    #[must_use]
    pub fn local() -> Self {
        Self {
            prefix: None,
            pages: None,
        }
    }

    /// A forge whose comments are read for commands that start with `prefix`, as `/agent`.
    #[must_use]
    pub fn forge(prefix: impl Into<String>) -> Self {
        Self {
            prefix: Some(prefix.into()),
            pages: None,
        }
    }

    /// Links to our own pages below `base`, the server's public URL. One that no reader could follow, since it is this
    /// machine's own or no plain URL, is not taken; neither is one that holds a credential.
    #[must_use]
    pub fn with_pages(mut self, base: &str) -> Self {
        self.pages = reachable(base).then(|| base.trim_end_matches('/').to_owned());
        self
    }

    /// The page of a task; no credential is in it, the page asks for a login.
    #[must_use]
    pub fn page(&self, task: TaskId) -> Option<String> {
        let base = self.pages.as_ref()?;
        Some(format!("{base}/tasks/{task}"))
    }

    /// Whether there is no forge.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.prefix.is_none()
    }

    /// What is typed, without marks: `/agent approve r1`, `prentice tasks approve T-1 r1`.
    ///
    /// `args` is one of our own texts. Locally it is quoted where a shell would take it apart.
    #[must_use]
    pub fn typed(&self, verb: &str, args: &str, task: TaskId) -> String {
        let gap = if args.is_empty() { "" } else { " " };
        match &self.prefix {
            Some(prefix) => format!("{prefix} {verb}{gap}{args}"),
            None => {
                let quiet = |c: char| c.is_ascii_alphanumeric() || " -_=./,".contains(c);
                let quote = if args.chars().all(quiet) { "" } else { "'" };
                format!("prentice tasks {verb} {task}{gap}{quote}{args}{quote}")
            }
        }
    }

    /// The same as Markdown.
    #[must_use]
    pub fn say(&self, verb: &str, args: &str, task: TaskId) -> String {
        code(&self.typed(verb, args, task))
    }
}

/// Whether a URL could lead a reader somewhere, and leads nowhere else in Markdown.
fn reachable(base: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~%:/[]".contains(&b);
    let Some(rest) = ["https://", "http://"]
        .iter()
        .find_map(|scheme| base.strip_prefix(scheme))
    else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let v4 = |host: &str| host.starts_with("127.") || host == "0.0.0.0";
    let own = match authority.starts_with('[') {
        // `::1`, `::` and all other ways to write them, and what stands for the fourth version's.
        true => {
            host.trim_end_matches('1')
                .chars()
                .all(|c| c == '0' || c == ':')
                || host.contains(":127.")
                || host.contains("ffff:7f")
        }
        false => v4(&host) || host == "localhost" || host.ends_with(".localhost"),
    };
    base.bytes().all(plain) && !host.is_empty() && !own
}

/// What `approve` calls the text of a task.
fn brief_name(task: &Task) -> String {
    format!("b{}", task.brief_number())
}

/// What `approve` and `reject` call that which is asked now.
fn asked_name(task: &Task) -> Option<String> {
    match &task.stage {
        Stage::AwaitingApproval { of } => Some(match of {
            ApprovalOf::Brief { .. } => brief_name(task),
            ApprovalOf::Result => match &task.revision {
                Some(revision) => format!("r{}", revision.number),
                None => "r1".to_owned(),
            },
            ApprovalOf::Round { .. } => "round".to_owned(),
        }),
        Stage::Proposed => Some(brief_name(task)),
        _ => None,
    }
}

/// Causes that still wait for a yes, each once.
fn open_causes(task: &Task) -> Vec<Cause> {
    let open = |cause: &Cause| {
        task.revision
            .as_ref()
            .is_some_and(|revision| revision.open_asks().any(|ask| ask.cause() == *cause))
    };
    Cause::ALL.into_iter().filter(open).collect()
}

/// The result of the run that the task is at; an older one would be another run's evidence.
fn current_result(task: &Task) -> Option<&RunResult> {
    let revision = task.revision.as_ref()?;
    let current = match task.stage {
        Stage::Failed { .. } => revision.run == task.run,
        _ => true,
    };
    (current && unfinished(task).is_none()).then_some(&revision.result)
}

/// What the run saw that the task is at, where it ended without a result.
fn unfinished(task: &Task) -> Option<&Unfinished> {
    match task.stage {
        Stage::Failed { .. } | Stage::Asking { .. } => task.unfinished.as_deref(),
        _ => None,
    }
}

/// What the checks said in the run that the task is at.
fn current_evidence(task: &Task) -> &[CheckEvidence] {
    let result = current_result(task).map(|result| result.evidence.as_slice());
    let unfinished = || unfinished(task).map(|seen| seen.evidence.as_slice());
    result.or_else(unfinished).unwrap_or_default()
}

/// Rounds allowed.
fn rounds(task: &Task) -> u32 {
    task.settings
        .task
        .max_rounds
        .saturating_add(task.rounds_granted)
}

/// `5 files, +120 −31`.
fn size(result: &RunResult) -> String {
    let sum = |of: fn(&super::task::FileStat) -> u32| -> u64 {
        result.files.iter().map(|file| u64::from(of(file))).sum()
    };
    format!(
        "{}, +{} −{}",
        count(result.files.len(), "file", "files"),
        sum(|file| file.added),
        sum(|file| file.removed)
    )
}

/// What is known of dependencies; nothing is claimed where the gate was switched off.
fn dependencies(task: &Task, result: &RunResult) -> &'static str {
    let touched = result
        .findings
        .iter()
        .any(|finding| finding.gate == Gate::Dependencies);
    match (touched, task.settings.scope.dependencies) {
        (true, _) => "dependency files changed",
        (false, GatePolicy::Allow) => "dependency files not judged",
        (false, GatePolicy::Approve | GatePolicy::Block) => "no dependency files changed",
    }
}

/// `2 of 3 required checks pass`.
fn required(evidence: &[CheckEvidence]) -> String {
    let of = |green_only: bool| {
        evidence
            .iter()
            .filter(|check| check.required && !check.head.is_empty())
            .filter(|check| !green_only || passes(check.verdict()))
            .count()
    };
    let verb = if of(false) == 1 {
        "check passes"
    } else {
        "checks pass"
    };
    format!("{} of {} required {verb}", of(true), of(false))
}

/// The run that says how a check ended on one side: the first red one, since one red makes
/// the side red, else the first.
fn telling(runs: &[Seen]) -> Option<&Seen> {
    let red = runs.iter().find(|seen| !seen.exit.is_green());
    red.or(runs.first())
}

/// Whether it does not stand in the way of a green result.
fn passes(verdict: Verdict) -> bool {
    !verdict.is_red()
}

/// The verdict in a cell; what stands in the way is marked.
fn verdict_cell(check: &CheckEvidence) -> String {
    let told = check.told();
    if passes(check.verdict()) {
        told
    } else {
        format!("**{told}**")
    }
}

/// How a command ended, in the fewest words.
#[must_use]
pub fn exit_words(exit: &Exit) -> String {
    match exit {
        Exit::Code { code } => code.to_string(),
        Exit::Signal { signal } => format!("signal {signal}"),
        Exit::TimedOut { after_secs } => format!("time limit of {after_secs} s"),
        Exit::Limit { limit } => match limit {
            Limit::Memory => "memory limit",
            Limit::Pids => "process limit",
            Limit::Disk => "disk limit",
            Limit::Output => "output limit",
        }
        .to_owned(),
        Exit::NotStarted { .. } => "not started".to_owned(),
    }
}

/// `101`, `0 twice`, `0, then 101`, `–`.
fn exits(runs: &[Seen]) -> String {
    let words: Vec<String> = runs.iter().map(|seen| exit_words(&seen.exit)).collect();
    match words.as_slice() {
        [] => "–".to_owned(),
        [only] => only.clone(),
        [first, second] if first == second => format!("{first} twice"),
        all => all.join(", then "),
    }
}

/// A note on where the checks came from, where that is not the repository's own file.
fn checks_origin(task: &Task) -> Option<String> {
    match &task.settings.checks_from {
        ChecksFrom::File | ChecksFrom::Nowhere => None,
        ChecksFrom::CommandLine => Some(
            "The checks were given on the command line (`--verify`), in place of the repository's own."
                .to_owned(),
        ),
        ChecksFrom::Guess { build_system } => Some(format!(
            "The checks are **a guess**: the repository names none, and I recognised {}.",
            line(build_system, 120)
        )),
    }
}

/// One finding as a list item's text.
fn finding_line(finding: &Finding) -> String {
    format!(
        "{}{}",
        place(finding, short_path),
        line(&finding.reason, 300)
    )
}

/// Where a finding is, as the beginning of a line about it; a reason that begins with its path is not given it twice.
fn place(finding: &Finding, path: fn(&super::ident::RepoPath) -> String) -> String {
    let named = |at: &&super::ident::RepoPath| {
        let named = format!("`{}`", at.lossy());
        finding.reason.starts_with(&named)
    };
    let at = finding.path.as_ref().filter(|at| !named(at)).map(path);
    match (at, finding.line) {
        (Some(at), Some(number)) => format!("{at} line {number}: "),
        (Some(at), None) => format!("{at}: "),
        (None, Some(number)) => format!("line {number}: "),
        (None, None) => String::new(),
    }
}

/// A path that cannot fill a page by itself.
fn short_path(at: &super::ident::RepoPath) -> String {
    let shown = path(at);
    if shown.chars().count() <= 200 {
        shown
    } else {
        code(&clip(&at.lossy(), 150))
    }
}
