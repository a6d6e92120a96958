//! Ring 1, exhaustive: every task that can be reached within the bounds, and every event at it.
//!
//! Bounds: 2 rounds, 2 attempts, 1 retry, 1 edit, 1 human push, 2 restarts, any two of (a person takes over,
//! interrupts, refuses one request; the agent asks), and at every state every answer to an older question and
//! every approval of an older result. A bug in `decide` that any sequence within them can show is shown here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::mem::{Discriminant, discriminant};
use std::sync::LazyLock;

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
    Pull, Question, Revision, RunFacts, RunResult, Stage, Step, Task, Waiting,
};

const AT: Time = Time(1_795_184_405_000);

/// Runs and questions that were before each exploration begins.
const OLDER: u32 = 2;

/// Tasks that can be reached and that `decide` can tell apart. Another number is another machine: look why.
const STATES: usize = 634_955;

fn commit(letter: char) -> CommitId {
    letter.to_string().repeat(40).parse().unwrap()
}

static NEW: LazyLock<Box<NewTask>> = LazyLock::new(|| Box::new(new_task(brief("fits", 1))));

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
        comments_left_out: 0,
        comments_without_room: 0,
        hidden: Vec::new(),
        digest: Digest::of(text.as_bytes()),
        issue_digest: None,
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

fn new_task(brief: Brief) -> NewTask {
    NewTask {
        issue: IssueRef {
            forge: "local".into(),
            repository: "/r".into(),
            repository_id: None,
            number: 0,
            source: "issue.md".into(),
            out: None,
            publish: None,
        },
        requester: "dana".into(),
        requester_address: None,
        brief,
        survey: Survey::default(),
        settings: small_settings(),
        base: commit('a'),
        base_branch: Some("main".into()),
        agent: AgentSpec::Command {
            argv: vec!["true".into()],
        },
        accepted_at: AT,
        branch: None,
        unaccepted: false,
        unshown: false,
    }
}

fn proposed(brief: Brief) -> Task {
    let mut task = new_task(brief).proposed(TaskId(1), "agent/1-x".into(), AT);
    // As if there had been others, so that there are older numbers from the beginning.
    (task.run, task.asked) = (OLDER, OLDER);
    task
}

fn seen(code: i32) -> Seen {
    Seen {
        doubt: None,
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
            exposure: None,
            by_hand: None,
            repository_file: None,
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

static ENDINGS: LazyLock<Vec<RunOutcome>> = LazyLock::new(endings);

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
            seen: Box::default(),
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
            seen: Box::default(),
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
    /// Each is one of: taking over, interrupting, the agent asking, refusing one request.
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
    ///
    /// As 128 bits, since there are many; a field that is new has to be named here.
    fn key(&self) -> u128 {
        let Task {
            id: _,
            issue: _,
            requester: _,
            requester_address: _,
            brief,
            edited,
            brief_edits: _,
            survey: _,
            settings: _,
            base: _,
            base_branch: _,
            branch: _,
            agent: _,
            accepted_at: _,
            stage,
            since: _,
            run,
            started,
            round,
            round_by: _,
            rounds_granted,
            auto_retries,
            asked: _,
            revision,
            unfinished: _,
            pull,
            published: _,
            ours: _,
            kept: _,
            notes: _,
            approvals: _,
            issue_edited_at: _,
            unshown: _,
        } = &self.task;
        let mut stage = stage.clone();
        let current = |number: u32| u32::from(number == *run);
        match &mut stage {
            Stage::Queued { run, .. } | Stage::Running { run, .. } => *run = current(*run),
            Stage::InReview {
                checking: Some(run),
                ..
            } => *run = current(*run),
            Stage::Publishing { revision: number } => {
                let newest = revision.as_ref().map(|newest| newest.number);
                *number = u32::from(newest == Some(*number));
            }
            _ => {}
        }
        let text = (
            brief.digest.as_str(),
            edited.as_ref().map(|brief| brief.digest.as_str()),
        );
        let counts = (started, round, rounds_granted, auto_retries);
        let made = revision
            .as_ref()
            .map(|newest| (&newest.result, &newest.granted, current(newest.run)));
        let half = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            seed.hash(&mut hasher);
            stage.hash(&mut hasher);
            if !self.task.is_final() {
                (text, counts, made, pull, self.left).hash(&mut hasher);
            }
            u128::from(hasher.finish())
        };
        half(1) << 64 | half(2)
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
                for findings in [vec![], vec![finding(Gate::Protected, Outcome::Ask)]] {
                    let (head, evidence) = (head.clone(), evidence(0));
                    let checked = Event::Checked {
                        run,
                        head,
                        files: vec![],
                        evidence,
                        findings,
                        repository_file: None,
                    };
                    all.push((checked, left));
                }
                let failed = RunOutcome::Failed {
                    failure: failure(FailureClass::Setup),
                    kept: None,
                    seen: Box::default(),
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
                for outcome in ENDINGS.iter().cloned() {
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
                address: None,
            },
            left,
        ),
        (
            Event::Accepted {
                by: by(),
                digest: Digest::of(b"another text"),
                address: None,
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
            digits: task.brief.digest.as_str().to_owned(),
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
                address: None,
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
        // Of a newer text, what whoever asks means is known, or it is not.
        let newer = task.edited.as_ref().map(|edited| edited.digest.clone());
        let meant = [None].into_iter().chain(newer.map(Some));
        for (fresh, text) in meant.flat_map(|text| [(false, text.clone()), (true, text)]) {
            all.push((
                Event::Retried {
                    by: by(),
                    fresh,
                    budget: None,
                    text,
                    address: None,
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

/// Answers to questions that are not asked now: every older number, and the next.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Asked {
    /// The run that is asked for now, else one that never will be.
    run: u32,
    revision: u32,
    question: u32,
    clean_up: bool,
    /// The newest of each.
    newest: [u32; 3],
}

impl Asked {
    fn of(task: &Task) -> Self {
        let outstanding = task.outstanding();
        let revision = task.revision.as_ref().map_or(0, |newest| newest.number);
        let asking = match &task.stage {
            Stage::Asking { .. }
            | Stage::InReview {
                closing: Some(_), ..
            } => task.asked,
            _ => u32::MAX,
        };
        Self {
            run: match outstanding {
                Some(Outstanding::Run(run)) => run,
                _ => u32::MAX,
            },
            revision: match outstanding {
                Some(Outstanding::Pull(revision)) => revision,
                _ => u32::MAX,
            },
            question: asking,
            clean_up: outstanding == Some(Outstanding::CleanUp),
            newest: [task.run, revision, task.asked],
        }
    }

    fn stale(&self) -> Vec<Event> {
        let [run, revision, question] = self.newest;
        let others = |now: u32, newest: u32| (0..=newest + 1).filter(move |number| *number != now);
        let mut all = Vec::new();
        for run in others(self.run, run) {
            let head = commit('d');
            all.extend([
                Event::RunStarted { run, attempt: 1 },
                Event::Progressed {
                    run,
                    step: Step::Base,
                },
                Event::WentQuiet { run },
                Event::Heard { run },
                Event::Checked {
                    run,
                    head,
                    files: vec![],
                    evidence: vec![],
                    findings: vec![],
                    repository_file: None,
                },
            ]);
            // One ending is as good as another where none is looked at; of the newest and the next all are tried.
            let most = if run + 1 >= self.newest[0] {
                ENDINGS.len()
            } else {
                1
            };
            let endings = ENDINGS.iter().take(most).cloned();
            all.extend(endings.map(|outcome| Event::RunEnded { run, outcome }));
        }
        if self.run != u32::MAX {
            // The right run, but of a head that is not there.
            all.push(Event::Checked {
                run: self.run,
                head: commit('e'),
                files: vec![],
                evidence: vec![],
                findings: vec![],
                repository_file: None,
            });
        }
        for revision in others(self.revision, revision) {
            let pull = Pull {
                number: 1,
                location: String::new(),
                head: commit('e'),
            };
            let failure = failure(FailureClass::Forge);
            all.push(Event::Published { revision, pull });
            all.push(Event::PublishFailed { revision, failure });
        }
        for asked in others(self.question, question) {
            for timer in [Timer::Ask { asked }, Timer::Close { asked }] {
                all.push(Event::TimerFired { timer });
            }
        }
        if !self.clean_up {
            all.push(Event::CleanedUp { left: vec![] });
        }
        all
    }
}

/// A yes or no to something that was asked before, or never.
fn outdated(task: &Task) -> Vec<Event> {
    let newest = task.revision.as_ref().map_or(0, |newest| newest.number);
    let others = |now: u32| (0..=now + 1).filter(move |number| *number != now);
    let briefs = others(task.brief_number()).map(|number| Target::Brief { number });
    let revisions = others(newest).map(|number| Target::Revision { number });
    let digits = Target::Digest {
        digits: "0123456".into(),
    };
    let by = || "dana".to_owned();
    let acts = |target: Target| {
        let approved = Event::Approved {
            by: by(),
            target: Some(target.clone()),
            address: None,
        };
        let rejected = Event::Rejected {
            by: by(),
            target: Some(target),
            reason: None,
        };
        [approved, rejected]
    };
    briefs
        .chain(revisions)
        .chain([digits])
        .flat_map(acts)
        .collect()
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
    // A run that is asked for no longer and did not answer is stopped, wherever it is; nothing else is.
    let answered = matches!(event, Event::RunEnded { .. } | Event::Checked { .. });
    let stopping = |task: &Task| {
        matches!(
            task.stage,
            Stage::Running {
                stopping: Some(_),
                ..
            }
        )
    };
    let cancelled: Vec<u32> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Cancel { run } => Some(*run),
            _ => None,
        })
        .collect();
    let expected = match before.outstanding() {
        Some(Outstanding::Run(run))
            if !answered
                && (after.outstanding() != before.outstanding()
                    || stopping(after) && !stopping(before)) =>
        {
            vec![run]
        }
        _ => Vec::new(),
    };
    assert_eq!(cancelled, expected, "{}", told());
    // A text runs that somebody said yes to.
    if before.brief.digest != after.brief.digest && matches!(after.stage, Stage::Queued { .. }) {
        let meant = match event {
            Event::Retried { text, .. } => text.as_ref() == Some(&after.brief.digest),
            event => matches!(event, Event::Answered { .. }),
        };
        assert!(meant, "nobody accepted its text: {}", told());
    }
    // What was granted was granted to the commit that is there.
    if let Some(newest) = after
        .revision
        .as_ref()
        .filter(|newest| !newest.granted.is_empty())
    {
        let head = &newest.result.head;
        let was = before.revision.as_ref();
        let granted_now = matches!(event, Event::Approved { .. });
        let same = |was: &Revision| was.result.head == *head && was.granted == newest.granted;
        assert!(granted_now || was.is_some_and(same), "{}", told());
        if let Stage::InReview { head: shown, .. } = &after.stage {
            assert_eq!(shown, head, "an approval of another commit: {}", told());
        }
    }
    // Only what the newest run made is published: a person's commit that came after it is not published over.
    if effects
        .iter()
        .any(|effect| matches!(effect, Effect::OpenPull { .. }))
    {
        let made_by = after.revision.as_ref().map(|newest| newest.run);
        assert_eq!(made_by, Some(after.run), "{}", told());
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

/// All stages, as the table calls them.
const STAGES: [&str; 14] = [
    "Proposed",
    "Queued",
    "Queued(person)",
    "Running",
    "Asking(brief)",
    "Asking(work)",
    "AwaitingApproval(brief)",
    "AwaitingApproval(result)",
    "AwaitingApproval(round)",
    "Publishing",
    "InReview",
    "TakenOver",
    "Failed",
    "Ended",
];

/// Where one kind of event moves a task, in some state of that stage, and where a person is refused. At every other
/// stage it means nothing and is ignored.
struct Row {
    event: &'static str,
    /// Stages, or `all`, or `all but` stages.
    moves: &'static str,
    refused: &'static str,
    /// Why it is ignored otherwise, or why nothing is.
    otherwise: &'static str,
}

/// The stages that a cell of the table names.
fn listed(cell: &str) -> BTreeSet<&str> {
    match (cell.strip_prefix("all but "), cell) {
        (Some(others), _) => {
            let others = listed(others);
            STAGES
                .into_iter()
                .filter(|stage| !others.contains(stage))
                .collect()
        }
        (None, "all") => STAGES.into_iter().collect(),
        (None, some) => some.split(' ').filter(|stage| !stage.is_empty()).collect(),
    }
}

/// All kinds of events, in the order of [`Event`].
const TABLE: [Row; 29] = [
    Row {
        event: "requested",
        moves: "",
        refused: "",
        otherwise: "it made the task",
    },
    Row {
        event: "accepted",
        moves: "Proposed",
        refused: "all",
        otherwise: "`refused` tells what is true now",
    },
    Row {
        event: "run-started",
        moves: "Queued Running",
        refused: "",
        otherwise: "nobody asked for that run",
    },
    Row {
        event: "progressed",
        moves: "Running",
        refused: "",
        otherwise: "no run is under way",
    },
    Row {
        event: "went-quiet",
        moves: "Running",
        refused: "",
        otherwise: "no run is under way",
    },
    Row {
        event: "heard",
        moves: "Running",
        refused: "",
        otherwise: "no run is under way",
    },
    Row {
        event: "run-ended",
        moves: "Queued Running InReview",
        refused: "",
        otherwise: "nobody asked for that run; in review it is one of the checks",
    },
    Row {
        event: "checked",
        moves: "InReview",
        refused: "",
        otherwise: "checks alone run only on a person's commit, which is in review",
    },
    Row {
        event: "published",
        moves: "Publishing",
        refused: "",
        otherwise: "nothing is being published",
    },
    Row {
        event: "publish-failed",
        moves: "Publishing",
        refused: "",
        otherwise: "nothing is being published",
    },
    Row {
        event: "cleaned-up",
        moves: "Ended",
        refused: "",
        otherwise: "nothing is cleaned up before the end",
    },
    Row {
        event: "answered",
        moves: "Asking(brief) Asking(work)",
        refused: "all",
        otherwise: "a person is told, also that there is no default where one is asked for",
    },
    Row {
        event: "approved",
        moves: "Proposed AwaitingApproval(brief) AwaitingApproval(result) AwaitingApproval(round) InReview",
        refused: "all",
        otherwise: "a person is told",
    },
    Row {
        event: "rejected",
        moves: "all but Ended",
        refused: "all",
        otherwise: "a person is told",
    },
    Row {
        event: "retried",
        moves: "Asking(work) Failed",
        refused: "all but Asking(work) Failed",
        otherwise: "a person is told",
    },
    Row {
        event: "stopped",
        moves: "all but InReview TakenOver Ended",
        refused: "InReview TakenOver Ended",
        otherwise: "asked twice, it is asked once",
    },
    Row {
        event: "resumed",
        moves: "Queued(person)",
        refused: "all but Queued(person)",
        otherwise: "a person is told",
    },
    Row {
        event: "fix-asked",
        moves: "InReview",
        refused: "all",
        otherwise: "a person is told; while it is closing as well",
    },
    Row {
        event: "took-over",
        moves: "Running Publishing InReview Failed",
        refused: "all but Running Publishing InReview Failed TakenOver",
        otherwise: "it is taken over already",
    },
    Row {
        event: "handed-back",
        moves: "TakenOver",
        refused: "all but TakenOver",
        otherwise: "a person is told",
    },
    Row {
        event: "merged",
        moves: "all but Asking(brief) AwaitingApproval(brief) Ended",
        refused: "",
        otherwise: "before there is a result, nothing can be merged",
    },
    Row {
        event: "closed",
        moves: "all but Asking(brief) AwaitingApproval(brief) Ended",
        refused: "",
        otherwise: "before there is a pull request, none can be closed",
    },
    Row {
        event: "closed-by-bot",
        moves: "InReview",
        refused: "",
        otherwise: "elsewhere no pull request of ours waits for anybody",
    },
    Row {
        event: "reopened",
        moves: "InReview Failed",
        refused: "",
        otherwise: "only what was closed can be; after the end it is a person's",
    },
    Row {
        event: "branch-moved",
        moves: "Queued Queued(person) Running Asking(work) AwaitingApproval(result) AwaitingApproval(round) Publishing InReview Failed",
        refused: "",
        otherwise: "before there is a pull request, the branch is not ours; taken over, it is theirs",
    },
    Row {
        event: "branch-gone",
        moves: "InReview TakenOver",
        refused: "",
        otherwise: "a round in work makes it again",
    },
    Row {
        event: "issue-edited",
        moves: "all but Ended",
        refused: "",
        otherwise: "the record stays as it was",
    },
    Row {
        event: "issue-closed",
        moves: "Proposed Queued Queued(person) Running Asking(brief) Asking(work) AwaitingApproval(brief) AwaitingApproval(result) Failed",
        refused: "",
        otherwise: "once there is a pull request, the issue's state means nothing",
    },
    Row {
        event: "timer-fired",
        moves: "Asking(brief) Asking(work) InReview",
        refused: "",
        otherwise: "nothing waits for a time",
    },
];

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
        others: 2,
    };
    let starts = [brief("fits", 1), brief("says nothing", 0), sensitive];
    let mut known: HashSet<u128> = HashSet::new();
    let mut stale: HashMap<Asked, Vec<Event>> = HashMap::new();
    // The newest first, which keeps the list short.
    let mut queue: Vec<World> = Vec::new();
    for brief in starts {
        let world = World {
            task: proposed(brief),
            left,
        };
        known.insert(world.key());
        queue.push(world);
    }
    let mut table: HashMap<Cell, (Event, [u64; 3])> = HashMap::new();
    let mut replayed = 0_u64;
    while let Some(world) = queue.pop() {
        let stage = stage_name(&world.task.stage);
        let asked = Asked::of(&world.task);
        for event in stale.entry(asked.clone()).or_insert_with(|| asked.stale()) {
            assert_eq!(
                decide(&world.task, event, AT),
                Decision::Stale,
                "{:?} + {event:?}",
                world.task.stage
            );
            let key = (stage, discriminant(event));
            table
                .entry(key)
                .or_insert_with(|| (event.clone(), [0; 3]))
                .1[1] += 1;
        }
        for event in outdated(&world.task) {
            let decision = decide(&world.task, &event, AT);
            assert!(
                matches!(decision, Decision::Refused(_)),
                "{:?} + {event:?}",
                world.task.stage
            );
        }
        let requested = Event::Requested {
            new: NEW.clone(),
            branch: String::new(),
        };
        assert_eq!(decide(&world.task, &requested, AT), Decision::Stale);
        let key = (stage, discriminant(&requested));
        table.entry(key).or_insert_with(|| (requested, [0; 3])).1[1] += 1;
        for (event, left) in possible(&world) {
            let decision = decide(&world.task, &event, AT);
            let key = (stage, discriminant(&event));
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
                        queue.push(next);
                    }
                }
                Decision::Stale => cell[1] += 1,
                Decision::Refused(_) => cell[2] += 1,
            }
        }
    }
    println!("states {}, moves {replayed}", known.len());
    let mut rows: BTreeMap<String, [BTreeSet<&str>; 3]> = BTreeMap::new();
    for ((stage, _), (event, counts)) in table {
        let row = rows.entry(event_name(&event)).or_default();
        for (stages, count) in row.iter_mut().zip(counts) {
            if count > 0 {
                stages.insert(stage);
            }
        }
    }
    let mut wrong = Vec::new();
    for (event, [moved, ignored, refused]) in &rows {
        let met: BTreeSet<&str> = moved
            .iter()
            .chain(ignored)
            .chain(refused)
            .copied()
            .collect();
        let missing: Vec<&&str> = STAGES
            .iter()
            .filter(|stage| !met.contains(**stage))
            .collect();
        if !missing.is_empty() {
            wrong.push(format!("{event} never met {missing:?}"));
        }
        let row = TABLE.iter().find(|row| row.event == event);
        let same = row.is_some_and(|row| {
            (listed(row.moves), listed(row.refused)) == (moved.clone(), refused.clone())
        });
        if !same {
            wrong.push(format!(
                "{event}: moves at {moved:?}, is refused at {refused:?}"
            ));
        }
        println!(
            "{event:14} moves at {:2} of {} stages, is refused at {:2}; otherwise: {}",
            moved.len(),
            STAGES.len(),
            refused.len(),
            row.map_or("", |row| row.otherwise)
        );
    }
    assert_eq!(
        rows.len(),
        TABLE.len(),
        "events without a row, or rows without an event"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(known.len(), STATES);
}
