//! The report for programs: what `run --json` and `verify --json` print.

use serde_json::{Value, json};

use super::super::brief::Brief;
use super::super::evidence::{CheckEvidence, Seen, judge_criteria};
use super::super::gates::{Finding, Gate, Outcome};
use super::super::ident::{CommitId, Digest, RepoPath};
use super::super::settings::Check;
use super::super::task::{
    About, ApprovalOf, Ending, Failure, FileStat, RunFacts, RunResult, Stage, Task, Unfinished,
};
use super::review::{Theirs, theirs};
use super::{Voice, asked_name, current_result, open_causes, telling, unfinished};

/// Version of the objects that `--json` prints. A key is never removed or given another meaning under the same number.
pub const SCHEMA_VERSION: u32 = 1;

/// Where a stored log can be read, by its digest; `None` where it cannot.
pub type LogPath<'a> = &'a dyn Fn(&Digest) -> Option<String>;

/// The object that `run --json` prints. `report` is the path of `PR.md`, where there is one.
#[must_use]
pub fn result_json(
    task: &Task,
    report: Option<&str>,
    log_path: LogPath<'_>,
    voice: &Voice,
) -> Value {
    let failure = match &task.stage {
        Stage::Failed { failure } => Some(failure),
        _ => None,
    };
    let result = current_result(task);
    let judged = match (theirs(task), result) {
        // Of a person's commit nothing is known before it was looked at.
        (Some(Theirs::Unknown { head, .. }), _) => Judged {
            head: Some(head),
            ..Judged::default()
        },
        (_, Some(result)) => Judged::of_result(result),
        (_, None) => Judged::of_unfinished(unfinished(task)),
    };
    let mut object = result_object(
        task.word(),
        judged,
        failure,
        asks_json(task, voice),
        Some((&task.brief, &task.settings.checks)),
        log_path,
    );
    put(&mut object, "task", json!(task.id.to_string()));
    put(&mut object, "branch", json!(branch(task)));
    put(
        &mut object,
        "base",
        json!(result.map_or(&task.base, |result| &result.base)),
    );
    put(&mut object, "report", json!(report));
    put(
        &mut object,
        "agent",
        json!({ "kind": task.agent.kind(), "name": task.agent.name() }),
    );
    object
}

/// The object that `verify --json` prints: the same without task and agent. Keys that need a task are null.
/// The stage is where a task with this result would stand.
#[must_use]
pub fn verify_json(result: &RunResult, failure: Option<&Failure>, log_path: LogPath<'_>) -> Value {
    let asks: Vec<&Finding> = result
        .findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Ask)
        .collect();
    let (stage, asks) = match (failure, asks.is_empty()) {
        (Some(_), _) => ("failed", Value::Null),
        (None, true) => ("needs-review", Value::Null),
        (None, false) => (
            "needs-approval",
            json!({
                "kind": "result",
                "revision": null,
                "digest": result.head,
                "questions": [],
                "commands": [],
            }),
        ),
    };
    let judged = Judged::of_result(result);
    result_object(stage, judged, failure, asks, None, log_path)
}

/// The task branch, once it is there and while it is.
fn branch(task: &Task) -> Option<&str> {
    let gone = match &task.stage {
        Stage::Ended {
            how: Ending::Rejected | Ending::Stopped,
            left: Some(left),
            ..
        } => !left
            .iter()
            .any(|what| what.starts_with(&format!("branch {}", task.branch))),
        _ => false,
    };
    (task.pull.is_some() && !gone).then_some(task.branch.as_str())
}

/// What is known of a result, or of a run that had none.
#[derive(Default)]
struct Judged<'a> {
    result: Option<&'a RunResult>,
    head: Option<&'a CommitId>,
    evidence: &'a [CheckEvidence],
    facts: Option<&'a RunFacts>,
}

impl<'a> Judged<'a> {
    fn of_result(result: &'a RunResult) -> Self {
        Self {
            result: Some(result),
            head: Some(&result.head),
            evidence: &result.evidence,
            facts: Some(&result.facts),
        }
    }

    fn of_unfinished(seen: Option<&'a Unfinished>) -> Self {
        let Some(seen) = seen else {
            return Self::default();
        };
        Self {
            result: None,
            head: seen.head.as_ref(),
            evidence: &seen.evidence,
            facts: Some(&seen.facts).filter(|facts| !facts.launcher.is_empty()),
        }
    }

    /// Checks that the criteria can be judged by: of a run without a result only what ran on its last try.
    fn on_head(&self) -> Vec<CheckEvidence> {
        let all = self.evidence.iter();
        all.filter(|check| self.result.is_some() || !check.head.is_empty())
            .cloned()
            .collect()
    }
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

fn result_object(
    stage: &str,
    judged: Judged<'_>,
    failure: Option<&Failure>,
    asks: Value,
    brief: Option<(&Brief, &[Check])>,
    log_path: LogPath<'_>,
) -> Value {
    let result = judged.result;
    json!({
        "schema_version": SCHEMA_VERSION,
        "stage": stage,
        "failure": failure.map(|failure| json!({
            "class": failure.class.word(),
            "message": failure.message,
        })),
        "asks": asks,
        "branch": null,
        "base": result.map(|result| &result.base),
        "head": judged.head,
        "files": result.map_or(Vec::new(), |result| result.files.iter().map(file_json).collect()),
        "brief": brief.map(|(brief, checks)| brief_json(brief, checks, &judged.on_head())),
        "checks": judged.evidence.iter().map(|check| check_json(check, log_path)).collect::<Vec<_>>(),
        "gates": result.map_or(Vec::new(), |result| gates_json(&result.findings)),
        "report": null,
        "workspace": judged.facts.map(|facts| json!({
            "method": facts.workspace,
            "prepare_ms": facts.prepare_ms,
        })),
        "sandbox": judged.facts.map(|facts| json!({
            "launcher": facts.launcher,
            "limits_tier": facts.limits_tier,
        })),
    })
}

fn asks_json(task: &Task, voice: &Voice) -> Value {
    let typed = |verb: &str, args: &str| voice.typed(verb, args, task.id);
    let name = asked_name(task);
    let (kind, digest, questions, commands) = match &task.stage {
        Stage::Asking {
            about, questions, ..
        } => {
            let kind = match about {
                About::Brief => "brief-questions",
                About::Work => "questions",
            };
            let questions: Vec<Value> = questions
                .iter()
                .zip(1_u32..)
                .map(|(question, number)| {
                    json!({
                        "number": number,
                        "text": question.text,
                        "choices": question.choices,
                        "default": question.default,
                    })
                })
                .collect();
            let mut commands = vec![typed("answer", "1: …")];
            if *about == About::Work {
                commands.push(typed("answer", "defaults"));
            }
            (kind, Some(task.brief.digest.as_str()), questions, commands)
        }
        Stage::AwaitingApproval { of } => {
            let asked = name.as_deref().unwrap_or_default();
            let mut commands = vec![typed("approve", asked)];
            let (kind, digest) = match of {
                ApprovalOf::Brief { .. } => ("brief", Some(task.brief.digest.as_str())),
                ApprovalOf::Result => {
                    let causes = open_causes(task);
                    if causes.len() > 1 {
                        let each = causes.iter().map(|cause| typed("approve", cause.word()));
                        commands.extend(each);
                    }
                    let each = causes.iter().map(|cause| typed("reject", cause.word()));
                    commands.extend(each);
                    let head = task
                        .revision
                        .as_ref()
                        .map(|revision| revision.result.head.as_str());
                    ("result", head)
                }
                ApprovalOf::Round { .. } => ("round", None),
            };
            commands.push(typed("reject", ""));
            (kind, digest, Vec::new(), commands)
        }
        Stage::Proposed => {
            let commands = vec![typed("approve", name.as_deref().unwrap_or_default())];
            (
                "brief",
                Some(task.brief.digest.as_str()),
                Vec::new(),
                commands,
            )
        }
        _ => return Value::Null,
    };
    let revision = match &task.stage {
        Stage::AwaitingApproval { .. } => name,
        _ => None,
    };
    json!({
        "kind": kind,
        "revision": revision,
        "digest": digest,
        "questions": questions,
        "commands": commands,
    })
}

fn path_json(path: &RepoPath) -> (Value, Option<String>) {
    (json!(path.lossy()), path.hex_if_needed())
}

fn file_json(file: &FileStat) -> Value {
    let (path, hex) = path_json(&file.path);
    let mut object = json!({ "path": path, "added": file.added, "removed": file.removed });
    if let Some(hex) = hex {
        put(&mut object, "path_hex", json!(hex));
    }
    object
}

fn brief_json(brief: &Brief, checks: &[Check], evidence: &[CheckEvidence]) -> Value {
    let criteria: Vec<Value> = brief
        .criteria
        .iter()
        .zip(judge_criteria(brief, checks, evidence))
        .map(|(criterion, verdict)| {
            json!({
                "number": criterion.number,
                "text": criterion.text,
                "met": verdict.met,
                "checks": verdict.checks,
                "evidence": verdict.evidence,
            })
        })
        .collect();
    json!({ "digest": brief.digest, "criteria": criteria })
}

/// Each side by the run that tells how it ended, so `head_exit` is 0 only where the check counts as green.
fn check_json(check: &CheckEvidence, log_path: LogPath<'_>) -> Value {
    let (base, head) = (telling(&check.base), telling(&check.head));
    let shown = head.or(base);
    let code = |seen: Option<&Seen>| seen.and_then(|seen| seen.exit.code());
    json!({
        "name": check.name,
        "command": check.command,
        "required": check.required,
        "base_exit": code(base),
        "head_exit": code(head),
        "unstable": check.is_unstable(),
        "doubt": check.doubt().map(|doubt| doubt.told()),
        "duration_ms": shown.map(|seen| seen.duration_ms),
        "log_sha256": shown.map(|seen| &seen.log.sha256),
        "log": shown.and_then(|seen| log_path(&seen.log.sha256)),
    })
}

/// Every gate, in the order of its kind: what it found, or that it passes.
fn gates_json(findings: &[Finding]) -> Vec<Value> {
    const ALL: [Gate; 12] = [
        Gate::Paths,
        Gate::Protected,
        Gate::Sensitive,
        Gate::Dependencies,
        Gate::Size,
        Gate::Binary,
        Gate::Symlink,
        Gate::Mode,
        Gate::Git,
        Gate::Secrets,
        Gate::Tests,
        Gate::Exposure,
    ];
    let row = |gate: Gate, finding: Option<&Finding>| {
        let path = finding.and_then(|finding| finding.path.as_ref());
        let mut object = json!({
            "gate": gate,
            "outcome": finding.map_or(Outcome::Pass, |finding| finding.outcome),
            "path": path.map(|path| path.lossy()),
            "line": finding.and_then(|finding| finding.line),
            "reason": finding.map(|finding| finding.reason.as_str()),
        });
        if let Some(hex) = path.and_then(RepoPath::hex_if_needed) {
            put(&mut object, "path_hex", json!(hex));
        }
        object
    };
    let mut rows = Vec::new();
    for gate in ALL {
        let mut own = findings
            .iter()
            .filter(|finding| finding.gate == gate)
            .peekable();
        if own.peek().is_none() {
            rows.push(row(gate, None));
        }
        rows.extend(own.map(|finding| row(gate, Some(finding))));
    }
    rows
}
