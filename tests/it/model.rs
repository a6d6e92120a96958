//! Ring 1, exhaustive: every task that can be reached within the bounds, and every event at it.
//!
//! Bounds: 2 rounds, 2 attempts, 1 retry, 1 edit, 1 human push, 2 restarts, and stale answers at
//! every state. A bug in `decide` that any sequence within them can show is shown here.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::mem::{Discriminant, discriminant};

use prentice::domain::brief::{Brief, Criterion, Survey};
use prentice::domain::decide::{Decision, decide};
use prentice::domain::effect::Effect;
use prentice::domain::event::{Event, RunOutcome, Target, Timer};
use prentice::domain::evidence::{CheckEvidence, Exit, LogRef, Seen};
use prentice::domain::gates::{Finding, Gate, Outcome, outcome};
use prentice::domain::ident::{CommitId, Digest, TaskId, Time};
use prentice::domain::settings::Settings;
use prentice::domain::task::{
    About, AgentSpec, ApprovalOf, Claims, Failure, FailureClass, IssueRef, NewTask, Outstanding,
    Pull, Question, RunFacts, RunResult, Stage, Step, Task, Waiting,
};

const AT: Time = Time(1_795_184_405_000);

fn commit(letter: char) -> CommitId {
    letter.to_string().repeat(40).parse().unwrap()
}

fn brief(text: &str, criteria: usize) -> Brief {
    Brief {
        title: text.to_owned(),
        goal: text.to_owned(),
        non_goals: None,
        criteria: (1..=criteria as u32)
            .map(|number| Criterion {
                number,
                text: format!("it works (`tests`) {number}"),
                named: vec!["tests".to_owned()],
            })
            .collect(),
        scope: Vec::new(),
        checks: Vec::new(),
        ask_first: None,
        plan_first: false,
        reviewer: None,
        text: text.to_owned(),
        hidden: Vec::new(),
        digest: Digest::of(text.as_bytes()),
    }
}

/// The defaults without the lists that `decide` does not read: the exploration clones them often.
fn small_settings() -> Settings {
    let mut settings = Settings::default();
    settings.scope.protected.clear();
    settings
        .scope
        .sensitive
        .retain(|pattern| pattern.contains("auth"));
    settings
}

fn proposed(brief: Brief) -> Task {
    let new = NewTask {
        issue: IssueRef {
            forge: "local".into(),
            repository: "/r".into(),
            number: 0,
            source: "issue.md".into(),
            out: None,
        },
        requester: "dana".into(),
        brief,
        survey: Survey::default(),
        settings: small_settings(),
        base: commit('a'),
        base_branch: Some("main".into()),
        agent: AgentSpec::Command {
            argv: vec!["true".into()],
        },
        accepted_at: AT,
    };
    new.proposed(TaskId(1), "agent/1-x".into(), AT)
}

fn seen(code: i32) -> Seen {
    Seen {
        exit: Exit::Code { code },
        duration_ms: 1,
        log: LogRef {
            sha256: Digest::of(b""),
            bytes: 0,
            left_out: 0,
        },
        tail: String::new(),
    }
}

fn evidence(head: i32) -> Vec<CheckEvidence> {
    vec![CheckEvidence {
        name: "tests".into(),
        command: "true".into(),
        required: true,
        base: vec![seen(1)],
        head: vec![seen(head)],
    }]
}

fn finding(gate: Gate, outcome: Outcome) -> Finding {
    Finding {
        gate,
        outcome,
        path: None,
        line: None,
        reason: format!("{gate:?}"),
    }
}

fn result(head: char, code: i32, findings: Vec<Finding>) -> RunOutcome {
    let refused = outcome(&findings) == Outcome::Refuse;
    RunOutcome::Result {
        result: Box::new(RunResult {
            head: commit(head),
            base: commit('a'),
            files: Vec::new(),
            evidence: if refused { Vec::new() } else { evidence(code) },
            findings,
            claims: Claims::default(),
            droppings: Vec::new(),
            facts: RunFacts::default(),
        }),
    }
}

fn failure(class: FailureClass) -> Failure {
    Failure {
        class,
        message: "m".into(),
        tail: String::new(),
    }
}

/// All ways one run can end.
fn endings() -> Vec<RunOutcome> {
    let ask = |gate| finding(gate, Outcome::Ask);
    let mut all = vec![
        result('b', 0, vec![]),
        result('b', 1, vec![]),
        result('b', 0, vec![ask(Gate::Protected), ask(Gate::Dependencies)]),
        result('b', 1, vec![ask(Gate::Protected)]),
        result('b', 0, vec![finding(Gate::Secrets, Outcome::Refuse)]),
        RunOutcome::Asked {
            questions: vec![Question {
                text: "?".into(),
                choices: vec![],
                default: None,
            }],
            kept: Some(commit('c')),
        },
        RunOutcome::Interrupted {
            by: "dana".into(),
            kept: Some(commit('c')),
        },
        RunOutcome::Cancelled,
    ];
    all.extend(
        [
            FailureClass::Infra,
            FailureClass::Setup,
            FailureClass::Agent,
        ]
        .map(|class| RunOutcome::Failed {
            failure: failure(class),
            kept: None,
            evidence: vec![],
        }),
    );
    all
}

/// How often each bounded thing may still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Budget {
    retries: u8,
    edits: u8,
    pushes: u8,
    restarts: u8,
    /// One of: taking over, interrupting, the agent asking, refusing one request.
    others: u8,
}

struct World {
    task: Task,
    left: Budget,
}

impl World {
    /// What `decide` can tell apart: it compares numbers of runs, questions and revisions only for
    /// equality with the current one, and never reads notes, approvals or kept work back. Two tasks that differ
    /// only in those have the same future, so one of them is enough.
    fn key(&self) -> (Task, Budget) {
        let mut task = self.task.clone();
        let current = |run: u32| u32::from(run == self.task.run);
        match &mut task.stage {
            Stage::Queued { run, .. } | Stage::Running { run, .. } => *run = current(*run),
            Stage::InReview {
                checking: Some(run),
                ..
            } => *run = current(*run),
            _ => {}
        }
        if let Some(revision) = &mut task.revision {
            if let Stage::Publishing { revision: number } = &mut task.stage {
                *number = u32::from(*number == revision.number);
            }
            (revision.number, revision.run) = (1, 1);
        }
        (task.run, task.asked, task.brief_edits) = (0, 0, 0);
        if task.is_final() {
            (task.revision, task.pull, task.round, task.auto_retries) = (None, None, 0, 0);
            return (
                task,
                Budget {
                    retries: 0,
                    edits: 0,
                    pushes: 0,
                    restarts: 0,
                    others: 0,
                },
            );
        }
        task.notes.clear();
        task.approvals.clear();
        task.evidence_without_result.clear();
        (task.kept, task.issue_edited_at) = (None, None);
        (task, self.left)
    }
}

/// What can happen next: answers to the outstanding question, and acts of people at any time.
fn possible(world: &World) -> Vec<(Event, Budget)> {
    let task = &world.task;
    let left = world.left;
    let mut all: Vec<(Event, Budget)> = Vec::new();
    match task.outstanding() {
        Some(Outstanding::Run(run)) => match &task.stage {
            Stage::InReview { head, .. } => {
                let (head, evidence) = (head.clone(), evidence(0));
                all.push((
                    Event::Checked {
                        run,
                        head,
                        evidence,
                        findings: vec![],
                    },
                    left,
                ));
                let failed = RunOutcome::Failed {
                    failure: failure(FailureClass::Setup),
                    kept: None,
                    evidence: vec![],
                };
                all.push((
                    Event::RunEnded {
                        run,
                        outcome: failed,
                    },
                    left,
                ));
            }
            stage => {
                if matches!(stage, Stage::Queued { .. }) {
                    all.push((Event::RunStarted { run, attempt: 1 }, left));
                } else {
                    if left.restarts > 0 {
                        let left = Budget {
                            restarts: left.restarts - 1,
                            ..left
                        };
                        all.push((Event::RunStarted { run, attempt: 2 }, left));
                    }
                    let step = match stage {
                        Stage::Running { step, .. } => *step,
                        _ => Step::Prepare,
                    };
                    let next = match step {
                        Step::Prepare => Some(Step::Base),
                        Step::Base => Some(Step::Work { attempt: 1 }),
                        Step::Work { attempt } => Some(Step::Judge { attempt }),
                        Step::Judge { attempt } => Some(Step::Verify { attempt }),
                        Step::Verify { attempt: 1 } => Some(Step::Work { attempt: 2 }),
                        Step::Verify { .. } => None,
                    };
                    all.extend(next.map(|step| (Event::Progressed { run, step }, left)));
                    all.push((Event::WentQuiet { run }, left));
                    all.push((Event::Heard { run }, left));
                }
                for outcome in endings() {
                    let left = match outcome {
                        RunOutcome::Interrupted { .. } if left.others == 0 => continue,
                        RunOutcome::Interrupted { .. } => Budget {
                            others: left.others - 1,
                            ..left
                        },
                        RunOutcome::Asked { .. } if left.others == 0 => continue,
                        RunOutcome::Asked { .. } => Budget {
                            others: left.others - 1,
                            ..left
                        },
                        // Only a cancel that was asked for is answered so.
                        RunOutcome::Cancelled
                            if !matches!(
                                stage,
                                Stage::Running {
                                    stopping: Some(_),
                                    ..
                                }
                            ) =>
                        {
                            continue;
                        }
                        _ => left,
                    };
                    all.push((Event::RunEnded { run, outcome }, left));
                }
            }
        },
        Some(Outstanding::Pull(revision)) => {
            let head = task.revision.as_ref().unwrap().result.head.clone();
            let pull = Pull {
                number: 1,
                location: "PR.md".into(),
                head,
            };
            all.push((Event::Published { revision, pull }, left));
            for class in [FailureClass::Forge, FailureClass::Conflict] {
                all.push((
                    Event::PublishFailed {
                        revision,
                        failure: failure(class),
                    },
                    left,
                ));
            }
        }
        Some(Outstanding::CleanUp) => all.push((Event::CleanedUp { left: vec![] }, left)),
        None => {}
    }
    for timer in [
        Timer::Ask { asked: task.asked },
        Timer::Close { asked: task.asked },
    ] {
        all.push((Event::TimerFired { timer }, left));
    }
    all.extend(acts(task, left));
    all
}

/// Acts of people; any of them at any time.
fn acts(task: &Task, left: Budget) -> Vec<(Event, Budget)> {
    let by = || "dana".to_owned();
    let mut all: Vec<(Event, Budget)> = vec![
        (
            Event::Accepted {
                by: by(),
                digest: task.brief.digest.clone(),
            },
            left,
        ),
        (
            Event::Accepted {
                by: by(),
                digest: Digest::of(b"another text"),
            },
            left,
        ),
        (
            Event::Answered {
                by: by(),
                text: "- [ ] it works (`tests`)".into(),
            },
            left,
        ),
        (
            Event::Answered {
                by: by(),
                text: "defaults".into(),
            },
            left,
        ),
        (
            Event::Rejected {
                by: by(),
                target: None,
                reason: Some("no".into()),
            },
            left,
        ),
        (Event::Stopped { by: by() }, left),
        (Event::Resumed { by: by() }, left),
        (
            Event::FixAsked {
                by: by(),
                text: "change it".into(),
            },
            left,
        ),
        (Event::Merged { by: by() }, left),
        (Event::Closed { by: by() }, left),
        (Event::ClosedByBot { by: "stale".into() }, left),
        (Event::Reopened { by: by() }, left),
        (Event::BranchGone { by: by() }, left),
        (Event::IssueClosed { by: by() }, left),
    ];
    let newest = task.revision.as_ref().map_or(0, |revision| revision.number);
    let targets = [
        None,
        Some(Target::Brief {
            number: task.brief_number(),
        }),
        Some(Target::Revision { number: newest }),
        Some(Target::Digest {
            digits: task.brief.digest.short().to_owned(),
        }),
        Some(Target::Scope),
        Some(Target::Deps),
        Some(Target::Round),
    ];
    for target in targets {
        all.push((
            Event::Approved {
                by: by(),
                target: target.clone(),
            },
            left,
        ));
        if let (Some(target), true) = (target, left.others > 0) {
            let left = Budget {
                others: left.others - 1,
                ..left
            };
            all.push((
                Event::Rejected {
                    by: by(),
                    target: Some(target),
                    reason: None,
                },
                left,
            ));
        }
    }
    if left.retries > 0 {
        let left = Budget {
            retries: left.retries - 1,
            ..left
        };
        for fresh in [false, true] {
            all.push((
                Event::Retried {
                    by: by(),
                    fresh,
                    budget_times: 1,
                },
                left,
            ));
        }
    }
    if left.edits > 0 {
        let left = Budget {
            edits: left.edits - 1,
            ..left
        };
        let brief = Box::new(brief("an edited text", 1));
        all.push((Event::IssueEdited { by: by(), brief }, left));
    }
    if left.pushes > 0 {
        let left = Budget {
            pushes: left.pushes - 1,
            ..left
        };
        all.push((
            Event::BranchMoved {
                by: by(),
                head: commit('d'),
            },
            left,
        ));
    }
    if left.others > 0 {
        let left = Budget {
            others: left.others - 1,
            ..left
        };
        all.push((Event::TookOver { by: by() }, left));
    }
    all.push((
        Event::HandedBack {
            by: by(),
            head: commit('d'),
        },
        left,
    ));
    all
}

/// Answers to questions that are not asked now.
fn stale(task: &Task) -> Vec<Event> {
    let old_run = match task.outstanding() {
        Some(Outstanding::Run(run)) => run + 1,
        _ => task.run,
    };
    let old_revision = match task.outstanding() {
        Some(Outstanding::Pull(revision)) => revision + 1,
        _ => task.revision.as_ref().map_or(1, |revision| revision.number),
    };
    let pull = Pull {
        number: 1,
        location: String::new(),
        head: commit('e'),
    };
    let mut all = vec![
        Event::RunStarted {
            run: old_run,
            attempt: 1,
        },
        Event::Progressed {
            run: old_run,
            step: Step::Base,
        },
        Event::WentQuiet { run: old_run },
        Event::Heard { run: old_run },
        Event::Checked {
            run: old_run,
            head: commit('e'),
            evidence: vec![],
            findings: vec![],
        },
        Event::Published {
            revision: old_revision,
            pull,
        },
        Event::PublishFailed {
            revision: old_revision,
            failure: failure(FailureClass::Forge),
        },
        Event::TimerFired {
            timer: Timer::Ask {
                asked: task.asked + 1,
            },
        },
        Event::TimerFired {
            timer: Timer::Close {
                asked: task.asked + 1,
            },
        },
    ];
    all.extend(endings().into_iter().map(|outcome| Event::RunEnded {
        run: old_run,
        outcome,
    }));
    if task.outstanding() != Some(Outstanding::CleanUp) {
        all.push(Event::CleanedUp { left: vec![] });
    }
    all
}

fn stage_name(stage: &Stage) -> &'static str {
    match stage {
        Stage::Proposed => "Proposed",
        Stage::Queued {
            why: Waiting::Person { .. },
            ..
        } => "Queued(person)",
        Stage::Queued { .. } => "Queued",
        Stage::Running { .. } => "Running",
        Stage::Asking {
            about: About::Brief,
            ..
        } => "Asking(brief)",
        Stage::Asking { .. } => "Asking(work)",
        Stage::AwaitingApproval {
            of: ApprovalOf::Brief { .. },
        } => "AwaitingApproval(brief)",
        Stage::AwaitingApproval {
            of: ApprovalOf::Result,
        } => "AwaitingApproval(result)",
        Stage::AwaitingApproval { .. } => "AwaitingApproval(round)",
        Stage::Publishing { .. } => "Publishing",
        Stage::InReview { .. } => "InReview",
        Stage::TakenOver { .. } => "TakenOver",
        Stage::Failed { .. } => "Failed",
        Stage::Ended { .. } => "Ended",
    }
}

fn event_name(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap();
    json["event"].as_str().unwrap().to_owned()
}

/// What one job waits for, if its effect asks a question.
fn asks(effect: &Effect) -> Option<Outstanding> {
    match effect {
        Effect::Run { run } | Effect::Check { run, .. } => Some(Outstanding::Run(*run)),
        Effect::OpenPull { revision } => Some(Outstanding::Pull(*revision)),
        Effect::CleanUp { .. } => Some(Outstanding::CleanUp),
        Effect::Cancel { .. } | Effect::Publish | Effect::Tell { .. } | Effect::Wait { .. } => None,
    }
}

fn check_move(before: &Task, event: &Event, after: &Task, effects: &[Effect]) {
    let told = || {
        format!(
            "{} + {event:?} -> {}",
            stage_name(&before.stage),
            stage_name(&after.stage)
        )
    };
    // Final, a named person's turn, or exactly one question outstanding.
    let person = after.whose_turn().is_some();
    let question = after.outstanding().is_some();
    let holds =
        after.is_final() || (person != question) || matches!(after.stage, Stage::InReview { .. });
    assert!(holds, "nobody moves it: {}", told());
    // A new question comes with its job, and no job asks a question that is not open.
    let asked: Vec<Outstanding> = effects.iter().filter_map(asks).collect();
    if after.outstanding() != before.outstanding() {
        assert_eq!(asked, Vec::from_iter(after.outstanding()), "{}", told());
    } else {
        assert!(asked.is_empty(), "asked twice: {}", told());
    }
    assert_eq!(
        effects.last(),
        Some(&Effect::Publish),
        "not shown: {}",
        told()
    );
    // Whoever has to act is told once, on entry.
    let tells = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Tell { .. }))
        .count();
    let attention = |task: &Task| matches!(task.word(), "needs-info" | "needs-approval" | "failed");
    let expected = usize::from(attention(after) && after.asked != before.asked);
    assert_eq!(tells, expected, "{}", told());
    // Nothing is published that is not verified and granted.
    if let Stage::Publishing { .. } = after.stage {
        let revision = after.revision.as_ref().unwrap();
        assert_eq!(revision.open_asks().count(), 0, "{}", told());
        assert_ne!(
            outcome(&revision.result.findings),
            Outcome::Refuse,
            "{}",
            told()
        );
        assert!(
            revision
                .result
                .evidence
                .iter()
                .any(|check| check.required && check.head.iter().all(|s| s.exit.is_green()))
        );
    }
    // A person's commit is never pushed over.
    if matches!(event, Event::BranchMoved { .. }) {
        assert!(
            !effects
                .iter()
                .any(|effect| matches!(effect, Effect::OpenPull { .. })),
            "{}",
            told()
        );
    }
    // A branch is deleted only at a head that a run made: the base and what people push never are.
    for effect in effects {
        if let Effect::CleanUp { branch, .. } = effect {
            let theirs = |head: &&CommitId| !matches!(head.as_str().chars().next(), Some('b'));
            assert_eq!(branch.iter().find(theirs), None, "{}", told());
        }
    }
    if before.is_final() {
        assert!(
            matches!(event, Event::CleanedUp { .. }),
            "moved after its end: {}",
            told()
        );
    }
}

/// A stage meets a kind of event.
type Cell = (&'static str, Discriminant<Event>);

#[test]
fn every_reachable_task_is_final_or_waits_for_exactly_one_answer() {
    let sensitive = {
        let mut brief = brief("change `src/auth/login.rs`", 1);
        brief.scope = vec!["src/auth/**".to_owned()];
        brief
    };
    let left = Budget {
        retries: 1,
        edits: 1,
        pushes: 1,
        restarts: 2,
        others: 1,
    };
    let starts = [brief("fits", 1), brief("says nothing", 0), sensitive];
    let mut known: HashSet<(Task, Budget)> = HashSet::new();
    let mut queue: VecDeque<World> = VecDeque::new();
    for brief in starts {
        let world = World {
            task: proposed(brief),
            left,
        };
        known.insert(world.key());
        queue.push_back(world);
    }
    let mut table: HashMap<Cell, (Event, [u64; 3])> = HashMap::new();
    let mut replayed = 0_u64;
    while let Some(world) = queue.pop_front() {
        for event in stale(&world.task) {
            assert_eq!(
                decide(&world.task, &event, AT),
                Decision::Stale,
                "{:?} + {event:?}",
                world.task.stage
            );
            let key = (stage_name(&world.task.stage), discriminant(&event));
            table.entry(key).or_insert((event, [0; 3])).1[1] += 1;
        }
        for (event, left) in possible(&world) {
            let decision = decide(&world.task, &event, AT);
            let key = (stage_name(&world.task.stage), discriminant(&event));
            let cell = &mut table
                .entry(key)
                .or_insert_with(|| (event.clone(), [0; 3]))
                .1;
            match decision {
                Decision::Moved { task, effects } => {
                    cell[0] += 1;
                    check_move(&world.task, &event, &task, &effects);
                    if task.round > 2 || task.brief_edits > 2 {
                        continue;
                    }
                    // Stored and read back, the same step gives the same task.
                    if replayed.is_multiple_of(97) {
                        let stored: Task =
                            serde_json::from_str(&serde_json::to_string(&world.task).unwrap())
                                .unwrap();
                        let journal: Event =
                            serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
                        let again = decide(&stored, &journal, AT);
                        assert_eq!(
                            again,
                            Decision::Moved {
                                task: task.clone(),
                                effects
                            }
                        );
                    }
                    replayed += 1;
                    let next = World { task: *task, left };
                    if known.insert(next.key()) {
                        queue.push_back(next);
                    }
                }
                Decision::Stale => cell[1] += 1,
                Decision::Refused(_) => cell[2] += 1,
            }
        }
    }
    println!("states {}, moves {replayed}", known.len());
    let rows: BTreeMap<(&str, String), [u64; 3]> = table
        .into_iter()
        .map(|((stage, _), (event, counts))| ((stage, event_name(&event)), counts))
        .collect();
    for ((stage, event), [moved, ignored, refused]) in &rows {
        println!("{stage:24} {event:14} moved {moved:8} ignored {ignored:8} refused {refused:8}");
    }
    assert!(
        known.len() > 1000,
        "the exploration stopped early: {}",
        known.len()
    );
}
