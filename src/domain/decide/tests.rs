//! The guards of `decide`, one by one. `tests/it/model.rs` explores all that can be reached.

use super::*;
use crate::domain::brief::{self, Survey};
use crate::domain::event::{RunOutcome, Target};
use crate::domain::evidence::{CheckEvidence, Exit, LogRef, Seen};
use crate::domain::gates::{Cause, Finding, Gate, Outcome};
use crate::domain::ident::{CommitId, Digest, TaskId};
use crate::domain::settings::Settings;
use crate::domain::task::{
    AgentSpec, Claims, Closing, FileStat, IssueRef, NewTask, Pull, RepositoryFile, Revision,
    RunFacts, RunResult,
};

const AT: Time = Time(1_795_184_405_000);
const DANA: &str = "dana";

fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn task(stage: Stage) -> Task {
    let text = "# A title\n\n## Acceptance criteria\n\n- it works (`tests`)\n";
    let new = NewTask {
        issue: IssueRef {
            forge: "local".to_owned(),
            repository: "/r".to_owned(),
            repository_id: None,
            number: 1,
            source: "issue.md".to_owned(),
            out: None,
            publish: None,
        },
        requester: DANA.to_owned(),
        requester_address: None,
        brief: brief::parse(text, 10_000).unwrap(),
        survey: Survey::default(),
        settings: Settings::default(),
        base: commit('a'),
        base_branch: None,
        agent: AgentSpec::Command {
            argv: vec!["true".to_owned()],
        },
        accepted_at: AT,
        branch: None,
        unaccepted: false,
        unshown: false,
    };
    let mut task = new.proposed(TaskId(1), "agent/1-x".to_owned(), AT);
    (task.stage, task.run, task.round) = (stage, 2, 1);
    task
}

fn running(run: u32, stopping: Option<&str>) -> Task {
    task(Stage::Running {
        run,
        step: Step::Prepare,
        quiet_since: None,
        stopping: stopping.map(str::to_owned),
    })
}

fn seen(code: i32) -> Seen {
    Seen {
        exit: Exit::Code { code },
        duration_ms: 1,
        log: LogRef {
            sha256: digest(""),
            bytes: 0,
            left_out: 0,
        },
        tail: String::new(),
        doubt: None,
    }
}

fn check(head: Vec<Seen>) -> Vec<CheckEvidence> {
    vec![CheckEvidence {
        name: "tests".to_owned(),
        command: "true".to_owned(),
        required: true,
        base: vec![seen(1)],
        head,
    }]
}

fn result(evidence: Vec<CheckEvidence>, findings: Vec<Finding>) -> RunResult {
    RunResult {
        head: commit('b'),
        base: commit('a'),
        files: Vec::new(),
        evidence,
        findings,
        claims: Claims::default(),
        exposure: None,
        by_hand: None,
        repository_file: None,
        droppings: Vec::new(),
        facts: RunFacts::default(),
    }
}

fn ended(run: u32, result: RunResult) -> Event {
    Event::RunEnded {
        run,
        outcome: RunOutcome::Result {
            result: Box::new(result),
        },
    }
}

fn finding(gate: Gate, outcome: Outcome) -> Finding {
    Finding {
        gate,
        outcome,
        path: None,
        line: None,
        reason: "a reason".to_owned(),
    }
}

/// Asked about scope and dependencies of its second result.
fn asking() -> Task {
    let asks = vec![
        finding(Gate::Paths, Outcome::Ask),
        finding(Gate::Dependencies, Outcome::Ask),
    ];
    let mut task = task(Stage::AwaitingApproval {
        of: ApprovalOf::Result,
    });
    task.revision = Some(Revision {
        number: 2,
        run: 2,
        result: result(check(vec![seen(0)]), asks),
        granted: std::collections::BTreeSet::new(),
        theirs: false,
    });
    task
}

fn approve(target: Target) -> Event {
    Event::Approved {
        by: DANA.to_owned(),
        target: Some(target),
        address: None,
    }
}

fn moved(task: &Task, event: &Event) -> (Task, Vec<Effect>) {
    match decide(task, event, AT) {
        Decision::Moved { task, effects } => (*task, effects),
        other => panic!("{other:?}"),
    }
}

fn pull(head: char) -> Pull {
    Pull {
        number: 1,
        location: String::new(),
        head: commit(head),
    }
}

#[test]
fn an_answer_to_a_question_no_longer_asked_moves_nothing() {
    let good = || result(check(vec![seen(0)]), Vec::new());
    let queued = task(Stage::Queued {
        run: 2,
        why: Waiting::Slot,
    });
    for task in [running(2, None), queued] {
        let (now, _) = moved(&task, &ended(2, good()));
        assert_eq!(now.stage, Stage::Publishing { revision: 1 });
        assert_eq!(decide(&task, &ended(1, good()), AT), Decision::Stale);
    }
    let progressed = |run| Event::Progressed {
        run,
        step: Step::Base,
    };
    assert_eq!(
        decide(&running(2, None), &progressed(1), AT),
        Decision::Stale
    );
    let published = |revision| Event::Published {
        revision,
        pull: pull('b'),
    };
    let publishing = task(Stage::Publishing { revision: 2 });
    assert_eq!(decide(&publishing, &published(1), AT), Decision::Stale);
    assert_eq!(moved(&publishing, &published(2)).0.word(), "needs-review");
}

#[test]
fn a_check_of_a_head_that_is_not_there_any_more_moves_nothing() {
    let mut task = task(Stage::InReview {
        head: commit('c'),
        checking: Some(2),
        closing: None,
    });
    task.pull = Some(pull('c'));
    let checked = |run, head| Event::Checked {
        run,
        head: commit(head),
        files: Vec::new(),
        evidence: check(vec![seen(0)]),
        findings: Vec::new(),
        repository_file: None,
    };
    assert_eq!(decide(&task, &checked(2, 'b'), AT), Decision::Stale);
    assert_eq!(decide(&task, &checked(1, 'c'), AT), Decision::Stale);
    assert_eq!(moved(&task, &checked(2, 'c')).0.word(), "needs-review");
}

#[test]
fn what_was_seen_of_a_persons_commit_replaces_all_that_was_known_of_ours() {
    let mut task = asking();
    let revision = task.revision.as_mut().unwrap();
    revision.granted = Cause::ALL.into();
    let ours = revision.result.head.clone();
    task.stage = Stage::InReview {
        head: commit('c'),
        checking: Some(2),
        closing: None,
    };
    let file = FileStat {
        path: "theirs.txt".into(),
        added: 4,
        removed: 0,
    };
    let checked = |head: &CommitId| Event::Checked {
        run: 2,
        head: head.clone(),
        files: vec![file.clone()],
        evidence: Vec::new(),
        findings: Vec::new(),
        repository_file: None,
    };
    let (now, _) = moved(&task, &checked(&commit('c')));
    let revision = now.revision.unwrap();
    assert!(revision.theirs && revision.granted.is_empty());
    assert_eq!(revision.result.head, commit('c'));
    assert_eq!(revision.result.files, std::slice::from_ref(&file));
    assert!(revision.result.evidence.is_empty() && revision.result.findings.is_empty());

    // Ours given back as it was is ours.
    task.stage = Stage::InReview {
        head: ours.clone(),
        checking: Some(2),
        closing: None,
    };
    let (now, _) = moved(&task, &checked(&ours));
    let revision = now.revision.unwrap();
    assert!(!revision.theirs && !revision.granted.is_empty());
}

#[test]
fn a_brief_is_accepted_only_as_it_reads_now() {
    let task = task(Stage::Proposed);
    let accepted = |digest: Digest| Event::Accepted {
        by: DANA.to_owned(),
        digest,
        address: None,
    };
    assert!(matches!(
        decide(&task, &accepted(digest("what it said before")), AT),
        Decision::Refused(NotNow::OtherText { .. })
    ));
    let (now, _) = moved(&task, &accepted(task.brief.digest.clone()));
    assert_eq!(now.word(), "queued");
}

#[test]
fn an_approval_grants_exactly_the_result_that_it_names() {
    let task = asking();
    for old in [
        Target::Revision { number: 1 },
        Target::Brief { number: 1 },
        Target::Digest {
            digits: "aaaaaa".to_owned(),
        },
    ] {
        assert!(
            matches!(
                decide(&task, &approve(old.clone()), AT),
                Decision::Refused(NotNow::OtherTarget { .. })
            ),
            "{old:?}"
        );
    }
    for named in [
        Target::Revision { number: 2 },
        Target::Digest {
            digits: "bbbbbb".to_owned(),
        },
    ] {
        let (now, _) = moved(&task, &approve(named));
        assert_eq!(now.stage, Stage::Publishing { revision: 2 });
    }
}

#[test]
fn a_result_is_published_only_when_no_ask_is_open() {
    let (task, effects) = moved(&asking(), &approve(Target::Scope));
    assert_eq!(task.word(), "needs-approval");
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::OpenPull { .. }))
    );
    let (task, effects) = moved(&task, &approve(Target::Deps));
    assert_eq!(task.stage, Stage::Publishing { revision: 2 });
    assert!(effects.contains(&Effect::OpenPull { revision: 2 }));
}

#[test]
fn what_is_red_refused_or_unchecked_is_never_published() {
    let refusal = vec![finding(Gate::Secrets, Outcome::Refuse)];
    for (bad, class) in [
        (
            result(check(vec![seen(1)]), Vec::new()),
            FailureClass::Verify,
        ),
        (
            result(check(vec![seen(0), seen(1)]), Vec::new()),
            FailureClass::Verify,
        ),
        (result(check(Vec::new()), Vec::new()), FailureClass::Verify),
        (result(check(vec![seen(0)]), refusal), FailureClass::Scope),
    ] {
        let (task, effects) = moved(&running(2, None), &ended(2, bad));
        let Stage::Failed { failure } = &task.stage else {
            panic!("{:?}", task.stage)
        };
        assert_eq!(failure.class, class);
        assert!(
            !effects
                .iter()
                .any(|effect| matches!(effect, Effect::OpenPull { .. }))
        );
    }
}

#[test]
fn a_red_result_is_not_published_by_trying_the_forge_again() {
    let mut task = asking();
    task.stage = Stage::Failed {
        failure: Failure {
            class: FailureClass::Forge,
            message: String::new(),
            tail: String::new(),
        },
    };
    let retried = Event::Retried {
        by: DANA.to_owned(),
        fresh: false,
        budget: None,
        text: None,
        address: None,
    };
    // Its asks are still open.
    assert_eq!(moved(&task, &retried).0.word(), "queued");
    let revision = task.revision.as_mut().unwrap();
    revision.result.findings.clear();
    let (now, _) = moved(&task, &retried);
    assert_eq!(now.stage, Stage::Publishing { revision: 2 });
}

#[test]
fn a_result_that_arrives_after_stop_was_asked_is_not_published() {
    let good = result(check(vec![seen(0)]), Vec::new());
    let (task, _) = moved(&running(2, Some(DANA)), &ended(2, good));
    assert_eq!(task.word(), "stopped");
}

#[test]
fn a_commit_that_a_person_pushed_is_never_published_over() {
    let pushed = Event::BranchMoved {
        by: DANA.to_owned(),
        head: commit('d'),
    };
    let mut publishing = task(Stage::Publishing { revision: 1 });
    let (now, effects) = moved(&publishing, &pushed);
    assert!(
        matches!(&now.stage, Stage::Failed { failure } if failure.class == FailureClass::Conflict)
    );
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::OpenPull { .. }))
    );
    publishing.pull = Some(pull('b'));
    let (now, effects) = moved(&publishing, &pushed);
    assert_eq!(now.pull, Some(pull('d')));
    assert!(effects.contains(&Effect::Check {
        run: 3,
        head: commit('d')
    }));
}

#[test]
fn our_own_push_that_is_seen_before_it_is_told_is_nobody_else_s() {
    let good = result(check(vec![seen(0)]), Vec::new());
    let (mut publishing, _) = moved(&running(2, None), &ended(2, good));
    publishing.pull = Some(pull('d'));
    let head = publishing.revision.as_ref().unwrap().result.head.clone();
    let by = "somebody".to_owned();
    let seen = Event::BranchMoved { by, head };
    assert_eq!(decide(&publishing, &seen, Time(0)), Decision::Stale);
}

#[test]
fn a_branch_is_deleted_only_at_a_head_that_a_run_made() {
    let good = result(check(vec![seen(0)]), Vec::new());
    let (publishing, _) = moved(&running(2, None), &ended(2, good));
    let published = Event::Published {
        revision: 1,
        pull: pull('b'),
    };
    let (review, _) = moved(&publishing, &published);
    let pushed = Event::BranchMoved {
        by: DANA.to_owned(),
        head: commit('d'),
    };
    // A person's commit, adopted as the head in review and checked.
    let (adopted, _) = moved(&review, &pushed);
    let checked = Event::Checked {
        run: adopted.run,
        head: commit('d'),
        files: Vec::new(),
        evidence: check(vec![seen(0)]),
        findings: Vec::new(),
        repository_file: None,
    };
    let (judged, _) = moved(&adopted, &checked);
    let rejected = Event::Rejected {
        by: DANA.to_owned(),
        target: None,
        reason: None,
    };
    for task in [publishing, review, adopted, judged] {
        let (_, effects) = moved(&task, &rejected);
        let clean_up = Effect::CleanUp {
            patch: true,
            branch: vec![commit('b')],
        };
        assert!(effects.contains(&clean_up), "{effects:?}");
        let merged = Event::Merged {
            by: DANA.to_owned(),
        };
        let kept = Effect::CleanUp {
            patch: false,
            branch: Vec::new(),
        };
        assert!(moved(&task, &merged).1.contains(&kept));
    }
}

#[test]
fn the_end_is_the_end() {
    let task = task(Stage::Ended {
        how: Ending::Rejected,
        by: DANA.to_owned(),
        reason: None,
        left: Some(Vec::new()),
    });
    let by = || DANA.to_owned();
    for event in [
        Event::Retried {
            by: by(),
            fresh: true,
            budget: None,
            text: None,
            address: None,
        },
        approve(Target::Revision { number: 1 }),
        Event::Rejected {
            by: by(),
            target: None,
            reason: None,
        },
        Event::Stopped { by: by() },
        Event::Answered {
            by: by(),
            text: "defaults".to_owned(),
        },
    ] {
        assert_eq!(
            decide(&task, &event, AT),
            Decision::Refused(NotNow::Final),
            "{event:?}"
        );
    }
    for event in [
        ended(2, result(check(vec![seen(0)]), Vec::new())),
        Event::Merged { by: by() },
    ] {
        assert_eq!(decide(&task, &event, AT), Decision::Stale, "{event:?}");
    }
}

#[test]
fn an_answer_to_an_older_or_a_future_question_moves_nothing() {
    let queued = task(Stage::Queued {
        run: 2,
        why: Waiting::Slot,
    });
    let quiet = task(Stage::Running {
        run: 2,
        step: Step::Base,
        quiet_since: Some(AT),
        stopping: None,
    });
    let mut asking = task(Stage::Asking {
        about: About::Work,
        questions: Vec::new(),
        until: AT,
    });
    let review = |checking, closing| {
        let mut task = task(Stage::InReview {
            head: commit('b'),
            checking,
            closing,
        });
        task.pull = Some(pull('b'));
        task
    };
    let mut closing = review(
        None,
        Some(Closing {
            by: DANA.to_owned(),
            until: AT,
        }),
    );
    (asking.asked, closing.asked) = (2, 2);
    let failure = || Failure {
        class: FailureClass::Setup,
        message: String::new(),
        tail: String::new(),
    };
    let failed = |run| Event::RunEnded {
        run,
        outcome: RunOutcome::Failed {
            failure: failure(),
            kept: None,
            seen: Box::default(),
        },
    };
    let timer = |timer| Event::TimerFired { timer };
    type Numbered<'a> = (Task, &'a dyn Fn(u32) -> Event);
    let pairs: [Numbered<'_>; 8] = [
        (queued, &|run| Event::RunStarted { run, attempt: 1 }),
        (running(2, None), &|run| Event::RunStarted {
            run,
            attempt: 2,
        }),
        (running(2, None), &|run| Event::WentQuiet { run }),
        (quiet, &|run| Event::Heard { run }),
        (review(Some(2), None), &failed),
        (task(Stage::Publishing { revision: 2 }), &|revision| {
            Event::PublishFailed {
                revision,
                failure: failure(),
            }
        }),
        (asking, &|asked| timer(Timer::Ask { asked })),
        (closing, &|asked| timer(Timer::Close { asked })),
    ];
    for (task, event) in pairs {
        for number in [1, 3] {
            let event = event(number);
            assert_eq!(decide(&task, &event, AT), Decision::Stale, "{event:?}");
        }
        let _ = moved(&task, &event(2));
    }
}

#[test]
fn a_commit_that_a_person_pushes_voids_what_was_granted_before() {
    let (publishing, _) = moved(&asking(), &approve(Target::Revision { number: 2 }));
    let published = Event::Published {
        revision: 2,
        pull: pull('b'),
    };
    let (review, _) = moved(&publishing, &published);
    assert!(!review.revision.as_ref().unwrap().granted.is_empty());
    let pushed = Event::BranchMoved {
        by: DANA.to_owned(),
        head: commit('d'),
    };
    let (checking, _) = moved(&review, &pushed);
    assert!(checking.revision.as_ref().unwrap().granted.is_empty());
    let theirs = FileStat {
        path: "theirs".into(),
        added: 1,
        removed: 0,
    };
    let checked = Event::Checked {
        run: 3,
        head: commit('d'),
        files: vec![theirs.clone()],
        evidence: check(vec![seen(0)]),
        findings: vec![finding(Gate::Paths, Outcome::Ask)],
        repository_file: Some(RepositoryFile::Valid {
            path: "prentice.toml".to_owned(),
        }),
    };
    let (judged, _) = moved(&checking, &checked);
    let revision = judged.revision.as_ref().unwrap();
    assert!(revision.result.repository_file.is_some());
    assert_eq!(revision.open_asks().count(), 1);
    assert_eq!(revision.result.files, [theirs]);
    // What was typed for the result before does not grant this one; its own name does.
    let old = approve(Target::Revision { number: 2 });
    assert!(matches!(
        decide(&judged, &old, AT),
        Decision::Refused(NotNow::OtherTarget { .. })
    ));
    let (now, effects) = moved(&judged, &approve(Target::Revision { number: 3 }));
    assert_eq!(now.stage, judged.stage);
    assert_eq!(now.approvals.last().unwrap().bound_to, commit('d').as_str());
    assert_eq!(effects, [Effect::Publish]);
}

#[test]
fn a_result_that_a_person_s_commit_came_after_is_not_published_again() {
    let good = result(check(vec![seen(0)]), Vec::new());
    let (publishing, _) = moved(&running(2, None), &ended(2, good));
    let refused = Event::PublishFailed {
        revision: 1,
        failure: Failure {
            class: FailureClass::Forge,
            message: String::new(),
            tail: String::new(),
        },
    };
    let retried = Event::Retried {
        by: DANA.to_owned(),
        fresh: false,
        budget: None,
        text: None,
        address: None,
    };
    let again = moved(&moved(&publishing, &refused).0, &retried).0;
    assert_eq!(again.stage, Stage::Publishing { revision: 1 });
    let published = Event::Published {
        revision: 1,
        pull: pull('b'),
    };
    let mut task = moved(&publishing, &published).0;
    for event in [
        Event::BranchMoved {
            by: DANA.to_owned(),
            head: commit('d'),
        },
        Event::ClosedByBot {
            by: "stale".to_owned(),
        },
    ] {
        task = moved(&task, &event).0;
    }
    let (_, effects) = moved(&task, &retried);
    assert_eq!(effects.first(), Some(&Effect::Run { run: 4 }));
}

#[test]
fn a_run_that_is_asked_for_no_longer_is_stopped() {
    let by = || DANA.to_owned();
    let queued = || {
        task(Stage::Queued {
            run: 2,
            why: Waiting::Slot,
        })
    };
    let edited = Event::IssueEdited {
        by: by(),
        brief: Box::new(brief::parse("# Another text", 10_000).unwrap()),
    };
    let pushed = Event::BranchMoved {
        by: by(),
        head: commit('d'),
    };
    let fix = Event::FixAsked {
        by: by(),
        text: "more".to_owned(),
    };
    let mut published = queued();
    published.pull = Some(pull('b'));
    let mut checking = task(Stage::InReview {
        head: commit('c'),
        checking: Some(2),
        closing: None,
    });
    checking.pull = Some(pull('c'));
    for (task, event) in [
        (queued(), Event::Stopped { by: by() }),
        (queued(), Event::IssueClosed { by: by() }),
        (queued(), edited),
        (published, pushed),
        (running(2, None), Event::TookOver { by: by() }),
        (running(2, None), Event::Stopped { by: by() }),
        (checking, fix),
    ] {
        let (_, effects) = moved(&task, &event);
        assert_eq!(
            effects.first(),
            Some(&Effect::Cancel { run: 2 }),
            "{event:?}"
        );
    }
    // One that answered is over.
    let good = result(check(vec![seen(0)]), Vec::new());
    let (_, effects) = moved(&running(2, None), &ended(2, good));
    assert_eq!(effects.first(), Some(&Effect::OpenPull { revision: 1 }));
}

#[test]
fn an_edit_after_the_start_is_the_text_of_the_next_try() {
    let text = "# Another title\n\n## Acceptance criteria\n\n- it works better (`tests`)\n";
    let edited = |text| Event::IssueEdited {
        by: DANA.to_owned(),
        brief: Box::new(brief::parse(text, 10_000).unwrap()),
    };
    let queued = task(Stage::Queued {
        run: 2,
        why: Waiting::Slot,
    });
    assert_eq!(moved(&queued, &edited(text)).0.word(), "proposed");
    let started = Event::RunStarted { run: 2, attempt: 1 };
    let (running, _) = moved(&queued, &started);
    let interrupted = Event::RunEnded {
        run: 2,
        outcome: RunOutcome::Interrupted {
            by: DANA.to_owned(),
            kept: None,
        },
    };
    let (waiting, _) = moved(&running, &interrupted);
    for task in [&running, &waiting] {
        let (now, effects) = moved(task, &edited(text));
        assert_eq!((&now.stage, &now.brief), (&task.stage, &task.brief));
        assert_eq!(effects, [Effect::Publish]);
        assert_eq!(now.issue_edited_at, Some(AT));
        // The old words again: nothing is new.
        let back = edited("# A title\n\n## Acceptance criteria\n\n- it works (`tests`)\n");
        assert_eq!(moved(&now, &back).0.edited, None);
    }
    let mut failed = task(Stage::Failed {
        failure: Failure {
            class: FailureClass::Forge,
            message: String::new(),
            tail: String::new(),
        },
    });
    (failed.started, failed.round) = (true, 2);
    failed.revision = Some(Revision {
        number: 1,
        run: 2,
        result: result(check(vec![seen(0)]), Vec::new()),
        granted: std::collections::BTreeSet::new(),
        theirs: false,
    });
    let again = |text| {
        let meant = Event::Retried {
            by: DANA.to_owned(),
            fresh: false,
            budget: None,
            text: Some(brief::parse(text, 10_000).unwrap().digest),
            address: None,
        };
        moved(&moved(&failed, &edited(text)).0, &meant).0
    };
    let now = again(text);
    assert_eq!((now.word(), now.run, now.round), ("queued", 3, 2));
    assert_eq!(
        (now.brief.title.as_str(), now.brief_number()),
        ("Another title", 2)
    );
    assert_eq!((&now.edited, now.issue_edited_at), (&None, None));
    // The new text is judged like any other.
    assert_eq!(again("# Nothing to tell it by").word(), "needs-info");
}

fn failed(class: FailureClass) -> Task {
    task(Stage::Failed {
        failure: Failure {
            class,
            message: String::new(),
            tail: String::new(),
        },
    })
}

fn retried(by: &str, text: Option<Digest>) -> Event {
    Event::Retried {
        by: by.to_owned(),
        fresh: false,
        budget: None,
        text,
        address: Some(format!("{by}@forge.test")),
    }
}

fn edited(text: &str) -> Event {
    Event::IssueEdited {
        by: "eve".to_owned(),
        brief: Box::new(brief::parse(text, 10_000).unwrap()),
    }
}

#[test]
fn a_retry_runs_no_newer_text_than_the_one_it_means() {
    let theirs = "# Eve's\n\n## Acceptance criteria\n\n- it leaks\n";
    let newer = |task: &Task| moved(task, &edited(theirs)).0;
    let asking = task(Stage::Asking {
        about: About::Work,
        questions: Vec::new(),
        until: AT,
    });
    let mut published = failed(FailureClass::Verify);
    published.pull = Some(pull('b'));
    for mut before in [failed(FailureClass::Setup), asking, published] {
        before.started = true;
        let before = newer(&before);
        for other in [
            None,
            Some(digest("seen")),
            Some(before.brief.digest.clone()),
        ] {
            let (now, effects) = moved(&before, &retried("lee", other));
            assert_eq!((now.word(), now.run), ("proposed", before.run));
            assert_eq!(effects, [Effect::Publish]);
            // Accepted by its digest it runs, and by nothing else.
            let of = |digest: Digest| Event::Accepted {
                by: "lee".to_owned(),
                digest,
                address: None,
            };
            let old = of(before.brief.digest.clone());
            assert!(matches!(decide(&now, &old, AT), Decision::Refused(_)));
            assert_eq!(
                moved(&now, &of(now.brief.digest.clone())).0.word(),
                "queued"
            );
        }
        let meant = before.newest_text().digest.clone();
        let (now, _) = moved(&before, &retried("lee", Some(meant)));
        assert_eq!((now.word(), now.brief.title.as_str()), ("queued", "Eve's"));
        // Whoever means it answers for it.
        assert_eq!(now.requester, "lee");
        assert_eq!(now.requester_address.as_deref(), Some("lee@forge.test"));
    }
    // A record of before says nothing of the text, which is no yes.
    let old = r#"{"event":"retried","by":"dana","fresh":false,"budget":null}"#;
    let old: Event = serde_json::from_str(old).unwrap();
    let before = newer(&failed(FailureClass::Setup));
    assert_eq!(moved(&before, &old).0.word(), "proposed");
    // Closed while it waits, the pull request wants nothing more.
    let mut waiting = moved(&before, &old).0;
    waiting.pull = Some(pull('b'));
    let closed = Event::Closed {
        by: DANA.to_owned(),
    };
    assert_eq!(moved(&waiting, &closed).0.word(), "rejected");
}

#[test]
fn what_waits_for_a_yes_to_its_text_does_not_fail_with_the_repository() {
    let lost = Event::OutOfReach {
        why: "r is archived".to_owned(),
    };
    let stages = [
        Stage::Proposed,
        Stage::Asking {
            about: About::Brief,
            questions: Vec::new(),
            until: AT,
        },
        Stage::AwaitingApproval {
            of: ApprovalOf::Brief { areas: Vec::new() },
        },
    ];
    for stage in stages {
        let task = task(stage);
        assert_eq!(decide(&task, &lost, AT), Decision::Stale);
        // So that a retry has nothing to begin.
        assert_eq!(
            decide(&task, &retried("lee", None), AT),
            Decision::Refused(NotNow::NothingToRetry)
        );
    }
}

#[test]
fn whoever_accepts_signs_with_their_own_address_or_with_none() {
    let mut proposed = task(Stage::Proposed);
    proposed.requester = "eve".to_owned();
    proposed.requester_address = Some("3+eve@forge.test".to_owned());
    let number = proposed.brief_number();
    let acts = |by: &str, address: Option<&str>| {
        let (by, address) = (by.to_owned(), address.map(str::to_owned));
        let accepted = Event::Accepted {
            by: by.clone(),
            digest: proposed.brief.digest.clone(),
            address: address.clone(),
        };
        let target = Some(Target::Brief { number });
        let approved = Event::Approved {
            by,
            target,
            address,
        };
        [accepted, approved]
    };
    let signs = |event: &Event| {
        let now = moved(&proposed, event).0;
        (now.requester, now.requester_address)
    };
    for event in acts(DANA, Some("7+dana@forge.test")) {
        let (by, address) = signs(&event);
        assert_eq!(
            (by.as_str(), address.as_deref()),
            (DANA, Some("7+dana@forge.test"))
        );
    }
    for event in acts(DANA, None) {
        assert_eq!(signs(&event), (DANA.to_owned(), None));
    }
    // Their own stays.
    for event in acts("eve", None) {
        assert_eq!(signs(&event).1.as_deref(), Some("3+eve@forge.test"));
    }
}

#[test]
fn a_proposed_text_is_accepted_by_its_number_or_by_so_many_digits_that_nobody_finds_another_with_them()
 {
    let mut proposed = task(Stage::Proposed);
    proposed.brief_edits = 1;
    let digest = proposed.brief.digest.as_str().to_owned();
    let takes = |target: Option<Target>| {
        let approved = Event::Approved {
            by: DANA.to_owned(),
            target,
            address: None,
        };
        match decide(&proposed, &approved, AT) {
            Decision::Moved { task, .. } => task.word() != "proposed",
            Decision::Refused(NotNow::OtherText { number: 2 }) => false,
            other => panic!("{other:?}"),
        }
    };
    let digits = |count: usize| {
        let digits = digest[..count].to_owned();
        takes(Some(Target::Digest { digits }))
    };
    assert!(takes(Some(Target::Brief { number: 2 })));
    assert!(!takes(Some(Target::Brief { number: 1 })));
    assert!(!takes(None));
    assert_eq!([6, 31, 32, 64].map(digits), [false, false, true, true]);
}

#[test]
fn a_round_beyond_the_limit_is_granted_by_name_alone() {
    let mut task = task(Stage::AwaitingApproval {
        of: ApprovalOf::Round {
            text: "more".to_owned(),
        },
    });
    task.pull = Some(pull('b'));
    let bare = Event::Approved {
        by: DANA.to_owned(),
        target: None,
        address: None,
    };
    let asked = vec!["round".to_owned()];
    assert_eq!(
        decide(&task, &bare, AT),
        Decision::Refused(NotNow::OtherTarget { asked })
    );
    assert_eq!(moved(&task, &approve(Target::Round)).0.word(), "queued");
}

#[test]
fn a_task_that_is_not_shown_writes_nothing_before_somebody_who_may_asks_for_it() {
    let by = || DANA.to_owned();
    let mut hidden = task(Stage::Proposed);
    hidden.unshown = true;
    let edited = Event::IssueEdited {
        by: "eve".to_owned(),
        brief: Box::new(brief::parse("# Another text", 10_000).unwrap()),
    };
    let (now, effects) = moved(&hidden, &edited);
    assert_eq!((now.word(), effects), ("proposed", vec![]));
    for event in [Event::Stopped { by: by() }, Event::IssueClosed { by: by() }] {
        let (now, effects) = moved(&hidden, &event);
        assert_eq!(now.word(), "stopped");
        assert!(
            matches!(effects.as_slice(), [Effect::CleanUp { .. }]),
            "{effects:?}"
        );
        let gone = Event::CleanedUp { left: vec![] };
        assert_eq!(moved(&now, &gone).1, []);
    }
    let lost = Event::OutOfReach {
        why: "archived".to_owned(),
    };
    assert_eq!(decide(&hidden, &lost, AT), Decision::Stale);
    // Asked for by somebody who may, it is shown, and an acceptance shows it as well.
    let (shown, effects) = moved(&hidden, &Event::AskedFor { by: by() });
    assert_eq!((shown.word(), effects), ("proposed", vec![Effect::Publish]));
    assert_eq!(
        decide(&shown, &Event::AskedFor { by: by() }, AT),
        Decision::Stale
    );
    let accepted = Event::Accepted {
        by: by(),
        digest: hidden.brief.digest.clone(),
        address: None,
    };
    let (now, effects) = moved(&hidden, &accepted);
    assert_eq!(now.word(), "queued");
    assert_eq!(effects.last(), Some(&Effect::Publish));
}

#[test]
fn a_repository_out_of_reach_fails_what_is_under_way_and_moves_nothing_else() {
    let lost = Event::OutOfReach {
        why: "r is archived".to_owned(),
    };
    let review = Stage::InReview {
        head: commit('c'),
        checking: None,
        closing: None,
    };
    let queued = || Stage::Queued {
        run: 2,
        why: Waiting::Slot,
    };
    for stage in [queued(), review, Stage::Publishing { revision: 1 }] {
        let (now, effects) = moved(&task(stage), &lost);
        let Stage::Failed { failure } = &now.stage else {
            panic!("{:?}", now.stage);
        };
        assert_eq!(failure.class, FailureClass::Forge);
        assert_eq!(failure.message, "r is archived");
        assert!(
            !effects
                .iter()
                .any(|effect| matches!(effect, Effect::CleanUp { .. }))
        );
    }
    // A run under way is ended.
    let (_, effects) = moved(&running(2, None), &lost);
    assert_eq!(effects.first(), Some(&Effect::Cancel { run: 2 }));
    let theirs = task(Stage::TakenOver {
        by: DANA.to_owned(),
    });
    assert_eq!(decide(&theirs, &lost, AT), Decision::Stale);
    let (failed, _) = moved(&task(queued()), &lost);
    assert_eq!(decide(&failed, &lost, AT), Decision::Stale);
}

#[test]
fn an_answer_about_the_text_is_no_edit_of_the_issue() {
    let about = Stage::Asking {
        about: About::Brief,
        questions: Vec::new(),
        until: AT,
    };
    let mut asking = task(about);
    asking.brief = brief::parse("# A title\n\nIt crashes.", 10_000).unwrap();
    let answered = Event::Answered {
        by: DANA.to_owned(),
        text: "- it works (`tests`)".to_owned(),
    };
    let (now, _) = moved(&asking, &answered);
    assert_eq!(now.word(), "queued");
    // What the issue says is what it said.
    let same = Event::IssueEdited {
        by: "somebody".to_owned(),
        brief: Box::new(asking.brief.clone()),
    };
    assert_eq!(decide(&now, &same, AT), Decision::Stale);
}
