//! What a served forge is told beyond the status: answers, links, places in line, and the pull request's frame.

use prentice::domain::command::{self, Heard, Mistake, Place, StageWord, Target, Verb};
use prentice::domain::decide::NotNow;
use prentice::domain::ident::{RepoPath, TaskId, Time};
use prentice::domain::owners::{Dialect, Owners, REVIEWERS_MAX, reviewers};
use prentice::domain::policy::{Actor, ActorKind, Refusal, Right, Rules, usable};
use prentice::domain::report::{
    Hold, InLine, PULL_MAX, REPLY_MAX, Reply, STATUS_MAX, Voice, commit_message, not_now, notice,
    pull_body, pull_body_after, status, status_in_line,
};
use prentice::domain::settings::{CommentsFrom, Draft, FixOn, Mention, Progress};
use prentice::domain::task::{Approval, Stage, Step, Task, Waiting};
use proptest::prelude::*;

use super::report::{
    NOW, assert_harmless, cases, commit, flood, hostile, minutes_ago, review, task, with,
};

fn voice() -> Voice {
    Voice::forge("/agent")
}

fn case(name: &str) -> Task {
    let found = cases().into_iter().find(|(one, _)| one == name);
    found.unwrap_or_else(|| unreachable!("no case {name}")).1
}

fn verbs(right: Right, place: Place, stage: StageWord) -> Vec<Verb> {
    let actor = Actor {
        login: "lee".to_owned(),
        id: None,
        kind: ActorKind::Person,
        right: Some(right),
    };
    usable(&actor, place, stage, &Rules::default())
}

#[test]
fn help_lists_what_this_caller_can_do_here_now() {
    let help = |right, place, stage| {
        let usable = verbs(right, place, stage);
        let about = None;
        Reply::Help {
            usable: &usable,
            about,
        }
        .text(&[], &voice())
    };
    insta::assert_snapshot!(help(Right::Read, Place::Issue, StageWord::Running), @"
    Valid here now:
    - `/agent help [verb]`: lists what you can do here now
    - `/agent status`: shows the state as it is now
    ");
    insta::assert_snapshot!(help(Right::Write, Place::Pull, StageWord::NeedsReview), @"
    Valid here now:
    - `/agent help [verb]`: lists what you can do here now
    - `/agent status`: shows the state as it is now
    - `/agent approve [target]`: accepts exactly what is asked; never merges
    - `/agent reject [target | reason]`: with a target refuses that request and works on without it; else ends the task and cleans up
    - `/agent verify`: runs base and head checks and gates for this pull request, without an agent
    - `/agent fix <text>`: starts one round with this text
    ");
    insta::assert_snapshot!(help(Right::None, Place::Pull, StageWord::NeedsReview), @"Nothing can be done here now.");
    let one = Reply::Help {
        usable: &[],
        about: Some(Verb::Retry),
    };
    insta::assert_snapshot!(one.text(&[], &voice()), @"
    - `/agent retry [--budget=2x] [--fresh]`: tries again; `--fresh` ignores kept work
      Needs triage; `--budget` `[review] approve_min`. Works on both. Valid when failed, needs-info.
      Examples: `/agent retry`, `/agent retry --budget=2x`, `/agent retry --budget=90 --fresh`
    ");
}

#[test]
fn what_is_not_understood_is_told_with_one_suggestion() {
    let usable = verbs(Right::Triage, Place::Issue, StageWord::NeedsApproval);
    let reply = |comment: &str| {
        let parsed = command::parse(comment, &["/agent"]);
        let Heard::Mistake(mistake) = &parsed.heard else {
            unreachable!("{comment} is heard as {:?}", parsed.heard)
        };
        let usable = &usable;
        Reply::Mistake { mistake, usable }.text(&parsed.ignored, &voice())
    };
    insta::assert_snapshot!(reply("/agent aprove"), @"`/agent aprove` is not a command. Did you mean `/agent approve`? Valid here now: help, status, reject.");
    insta::assert_snapshot!(reply("/agent retry --budget=lots"), @"`--budget` takes `2x` or a number of minutes, got `lots`. Nothing was changed.");
    insta::assert_snapshot!(reply("/agent\n\n/agent stop\n\n/agent @dana fixes #1"), @"
    `/agent` needs a verb. Valid here now: help, status, reject.

    One command per comment; these lines were ignored: `/agent stop`, `/agent @dana fixes #1`.
    ");
    insta::assert_snapshot!(reply("/agent appr\u{43e}ve"), @"The line after `/agent` holds U+043E, which cannot be seen or only looks like a letter. Nothing was changed; please type the command by hand.");
}

#[test]
fn what_is_not_possible_now_is_told_with_what_is_true_and_what_is_possible() {
    let mut told = String::new();
    for (name, why) in [
        ("failed verify", NotNow::NothingToStop),
        ("failed config", NotNow::NothingToStop),
        ("proposed", NotNow::NothingToRetry),
        ("queued slot", NotNow::NothingAsked),
        ("running judge, second try", NotNow::NothingToApprove),
        (
            "needs-info work",
            NotNow::NoQuestion {
                number: 9,
                asked: 2,
            },
        ),
        (
            "needs-approval result",
            NotNow::OtherTarget {
                asked: vec!["r1".to_owned(), "scope".to_owned()],
            },
        ),
        ("needs-review", NotNow::NothingToRetry),
        ("proposed", NotNow::OtherText { number: 2 }),
        ("taken-over", NotNow::NothingToFix),
        ("rejected", NotNow::Final),
        (
            "needs-info work",
            NotNow::BadAnswer {
                why: "`@dana` says #1".to_owned(),
            },
        ),
    ] {
        told += &not_now(&case(name), &why, &voice());
        told.push('\n');
    }
    insta::assert_snapshot!(told, @"
    Nothing is running, so there is nothing to stop. T-42 is failed since 2026-11-20 14:15 UTC; `/agent retry` starts it again.
    Nothing is running, so there is nothing to stop. T-42 is failed since 2026-11-20 14:15 UTC; correct the repository file, then `/agent retry`.
    Nothing failed, so there is nothing to try again. T-42 is proposed since 2026-11-20 14:15 UTC; the label `agent` or `/agent approve b1` accepts its text.
    Nothing was asked, so there is nothing to answer. T-42 is queued since 2026-11-20 14:15 UTC; `/agent stop` ends it.
    Nothing waits for an approval. T-42 is running since 2026-11-20 14:15 UTC; `/agent stop` ends it.
    There is no question 9; asked are 1 to 2. T-42 is needs-info since 2026-11-20 14:15 UTC; `/agent answer defaults` goes on.
    That is not what is asked; asked is r1 or scope. T-42 is needs-approval since 2026-11-20 14:15 UTC; `/agent approve r1` or `/agent reject` decides.
    Nothing failed, so there is nothing to try again. T-42 is needs-review since 2026-11-20 14:15 UTC; a review of pull request #57, or `/agent fix …` there, starts a round.
    A text is accepted by its name, and the one that is there now is called `b2`. T-42 is proposed since 2026-11-20 14:15 UTC; the label `agent` or `/agent approve b1` accepts its text.
    There is no result in review to change. T-42 is taken-over since 2026-11-20 14:15 UTC; `/agent reject` ends it.
    It is over. T-42 is rejected since 2026-11-20 14:15 UTC; the label `agent` makes a new task.
    The answer cannot be used: `@dana` says `#1`. T-42 is needs-info since 2026-11-20 14:15 UTC; `/agent answer defaults` goes on.
    ");
}

#[test]
fn where_only_a_command_starts_a_round_no_review_is_asked_for_one() {
    let mut task = case("needs-review");
    task.settings.review.fix_on = FixOn::Command;
    insta::assert_snapshot!(not_now(&task, &NotNow::NothingToRetry, &voice()), @"Nothing failed, so there is nothing to try again. T-42 is needs-review since 2026-11-20 14:15 UTC; `/agent fix …` on pull request #57 starts a round.");
    let body = pull_body(&task, &voice());
    let decide = body
        .lines()
        .find(|line| line.starts_with("Approve and merge"));
    insta::assert_snapshot!(decide.unwrap(), @"Approve and merge as usual · ask for changes with `/agent fix …` · **close this to reject; the branch is deleted and nothing else needs cleaning** · `/agent help`");
}

#[test]
fn an_approval_is_of_what_its_author_saw() {
    let at = |number, since| {
        with(review(None, commit('9'), None), |task| {
            task.since = since;
            task.revision.as_mut().unwrap().number = number;
        })
    };
    let told = |task: &Task, target: Option<Target>, at: Time| {
        Reply::older(task, target.as_ref(), at).map(|reply| reply.text(&[], &voice()))
    };
    let third = at(3, minutes_ago(5));
    insta::assert_snapshot!(told(&third, Some(Target::Revision(2)), NOW).unwrap(), @"You approved r2, but r3 arrived at 2026-11-20 14:15 UTC. Nothing was approved. Look at pull request #57; `/agent approve r3` approves it.");
    insta::assert_snapshot!(told(&third, None, minutes_ago(6)).unwrap(), @"You approved without a name, and r3 arrived at 2026-11-20 14:15 UTC, after you wrote. Nothing was approved. Look at pull request #57; `/agent approve r3` approves it.");
    assert_eq!(
        told(&third, Some(Target::Revision(3)), minutes_ago(6)),
        None
    );
    assert_eq!(told(&third, Some(Target::Revision(4)), NOW), None);
    assert_eq!(told(&third, None, minutes_ago(4)), None);
    assert_eq!(told(&task(Stage::Proposed), None, minutes_ago(90)), None);
    let waiting = with(case("needs-approval result"), |task| {
        task.revision.as_mut().unwrap().number = 2;
    });
    insta::assert_snapshot!(told(&waiting, Some(Target::Revision(1)), NOW).unwrap(), @"You approved r1, but r2 arrived at 2026-11-20 14:15 UTC. Nothing was approved. Look at the status comment; `/agent approve r2` approves it.");
}

#[test]
fn the_other_answers_are_one_or_two_sentences() {
    let usable = verbs(Right::Write, Place::Issue, StageWord::None);
    let refused = Refusal::TooLittle {
        verb: Verb::Approve,
        needed: Right::Write,
        held: Right::Triage,
    };
    let running = case("running judge, second try");
    let ready = case("needs-review");
    let at_work = (&running, NOW);
    let told: Vec<String> = [
        Reply::Refused(&refused),
        Reply::Status {
            task: at_work.0,
            now: at_work.1,
        },
        Reply::Status {
            task: &ready,
            now: NOW,
        },
        Reply::NoTask { usable: &usable },
        Reply::NoTask { usable: &[] },
        Reply::Live { task: &running },
        Reply::Broken {
            mistakes: "error[PRN203]: unknown key `time_out` in [task]\n```\n@dana",
        },
        Reply::InReview,
        Reply::Edited,
        Reply::Unproven,
    ]
    .iter()
    .map(|reply| reply.text(&[], &voice()))
    .collect();
    insta::assert_snapshot!(told.join("\n\n=====\n\n"), @"
    `approve` needs write access here; you have triage. Ask someone who has it.

    =====

    T-42 is **running** since 2026-11-20 14:15 UTC, reading the result (try 2). Nothing needed from you. Next update by 14:35 UTC.

    The status comment on #42 says more.

    =====

    T-42 is **needs-review** since 2026-11-20 14:15 UTC. Your turn (dana): review pull request #57. Closing it undoes everything.

    The status comment on #42 says more.

    =====

    There is no task here that this could be about. Nothing was changed. Valid here now: `help`, `status`, `run`.

    =====

    There is no task here that this could be about. Nothing was changed.

    =====

    T-42 belongs to this issue already, so nothing was started. It is running since 2026-11-20 14:15 UTC; `/agent stop` ends it.

    =====

    Nothing was started: the repository file has mistakes.

    ````text
    error[PRN203]: unknown key `time_out` in [task]
    ```
    @dana
    ````

    Correct them on the default branch, then ask again.

    =====

    Commands inside reviews and in remarks on lines do not run. Write it as a comment of its own.

    =====

    Nothing was done: only new comments run, not edited ones. Please write a new comment.

    =====

    Nothing was done: this forge does not prove that the comment was never edited. Please write a new comment.
    ");
    assert_eq!(Reply::Done.text(&[], &voice()), "");
    let ignored = vec!["/agent stop".to_owned(); 7];
    insta::assert_snapshot!(Reply::Done.text(&ignored, &voice()), @"One command per comment; these lines were ignored: `/agent stop`, `/agent stop`, `/agent stop`, `/agent stop`, `/agent stop` and 2 more.");
}

/// Every answer that can be given about a task.
fn all_replies(task: &Task, text: &str) -> Vec<String> {
    let parsed = command::parse(&format!("/agent {text}"), &["/agent"]);
    let every = [
        NotNow::Final,
        NotNow::NothingToApprove,
        NotNow::NotTakenOver,
        NotNow::NoDefaults,
        NotNow::OtherTarget {
            asked: vec![text.to_owned(); 9],
        },
        NotNow::OtherText { number: u32::MAX },
        NotNow::BadAnswer {
            why: text.to_owned(),
        },
    ];
    let usable = verbs(Right::Admin, Place::Pull, StageWord::NeedsReview);
    let mut replies: Vec<Reply<'_>> = every
        .iter()
        .map(|why| Reply::NotNow { task, why })
        .collect();
    let typed = Mistake::Argument("`x` takes nothing.".to_owned());
    let mistake = match &parsed.heard {
        Heard::Mistake(mistake) => mistake,
        Heard::Command(_) | Heard::Nothing => &typed,
    };
    replies.extend([
        Reply::Status { task, now: NOW },
        Reply::Live { task },
        Reply::Older {
            task,
            named: Some(1),
        },
        Reply::Older { task, named: None },
        Reply::Broken { mistakes: text },
        Reply::Mistake {
            mistake,
            usable: &usable,
        },
        Reply::Help {
            usable: &usable,
            about: None,
        },
        Reply::Done,
    ]);
    let ignored = vec![text.to_owned(); 10];
    let pages = voice().with_pages("https://prentice.example.test");
    let mut told: Vec<String> = replies
        .iter()
        .map(|reply| reply.text(&ignored, &voice()))
        .collect();
    told.extend(replies.iter().map(|reply| reply.text(&[], &voice())));
    for reply in &replies {
        assert!(reply.text(&ignored, &pages).chars().count() <= REPLY_MAX);
    }
    told
}

#[test]
fn every_answer_is_bounded_and_harmless_whatever_it_quotes() {
    let line = "@everyone fixes #1 | `code` </details> **Agent task: merged** <!-- ";
    for text in [line, &line.repeat(300), "", "`", "a\nb @dana\n"] {
        for (_, mut task) in cases() {
            flood(&mut task, text, 20);
            for told in all_replies(&task, text) {
                assert!(told.chars().count() <= REPLY_MAX, "{told}");
                assert_harmless(&told, None);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn no_text_of_others_escapes_an_answer(text in hostile(), which in 0..cases().len()) {
        let (_, mut task) = cases().swap_remove(which);
        flood(&mut task, &text, 3);
        for told in all_replies(&task, &text) {
            prop_assert!(told.chars().count() <= REPLY_MAX);
            assert_harmless(&told, None);
        }
    }
}

#[test]
fn a_page_is_linked_only_where_a_reader_could_reach_it() {
    let page = |base: &str| voice().with_pages(base).page(TaskId(7));
    for (base, expected) in [
        ("https://p.example.test", "https://p.example.test/tasks/T-7"),
        ("http://10.1.2.3:8460/", "http://10.1.2.3:8460/tasks/T-7"),
        (
            "https://p.example.test/x",
            "https://p.example.test/x/tasks/T-7",
        ),
        ("http://[fd00::1]:80", "http://[fd00::1]:80/tasks/T-7"),
    ] {
        assert_eq!(page(base).as_deref(), Some(expected));
    }
    for base in [
        "",
        "p.example.test",
        "ftp://p.example.test",
        "http://127.0.0.1:8460",
        "http://127.9.9.9",
        "http://localhost:8460",
        "http://LOCALHOST.",
        "http://p.localhost",
        "http://[::1]:8460",
        "http://[::ffff:127.0.0.1]",
        "http://[::ffff:7f00:1]",
        "http://[0:0:0:0:0:0:0:1]",
        "http://0.0.0.0:8460",
        "http://[::]",
        "https://user:secret@p.example.test",
        "https://p.example.test/?token=x",
        "https://p.example.test/#x",
        "https://p.example.test/) [x](y",
        "https://",
        "https:///x",
    ] {
        assert_eq!(page(base), None, "{base}");
    }
}

#[test]
fn what_links_to_a_page_stays_bounded() {
    let voice = voice().with_pages("https://p.example.test");
    let link = "[task page](https://p.example.test/tasks/T-42)";
    for (name, mut task) in cases() {
        let shown = status(&task, NOW, &voice);
        assert!(shown.contains(link), "{name}");
        let body = pull_body(&task, &voice);
        assert!(body.is_empty() || body.contains(link), "{name}");
        flood(&mut task, &"long @all ".repeat(500), 50);
        let shown = status(&task, NOW, &voice);
        assert!(shown.chars().count() <= STATUS_MAX && shown.contains(link));
        assert!(pull_body(&task, &voice).chars().count() <= PULL_MAX);
    }
}

#[test]
fn a_queued_task_says_its_place_and_what_it_waits_for() {
    let queued = with(
        task(Stage::Queued {
            run: 1,
            why: Waiting::Slot,
        }),
        |task| task.settings.trigger.label = "bot please".to_owned(),
    );
    let told = |place, of, hold| {
        let in_line = Some(InLine { place, of, hold });
        let shown = status_in_line(&queued, NOW, &voice(), in_line);
        shown.split("\n\n").nth(1).unwrap().to_owned()
    };
    let all = [
        told(3, 6, Hold::Slot { busy: 2, all: 2 }),
        told(1, 1, Hold::Repository { busy: 1, limit: 1 }),
        told(12, 12, Hold::Reviews { open: 3, limit: 3 }),
        told(22, 23, Hold::Reviews { open: 1, limit: 1 }),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    In line: 3rd of 6. Waiting for: a free slot (2 of 2 busy). The repository is untouched.
    In line: 1st of 1. Waiting for: another task of this repository to end (1 at work, limit 1). The repository is untouched.
    In line: 12th of 12. 3 pull requests of mine here already await a review (limit 3, `[task] max_open`); review one to free a place. The repository is untouched.
    In line: 22nd of 23. 1 pull request of mine here already awaits a review (limit 1, `[task] max_open`); review one to free a place. The repository is untouched.
    ");
    assert_eq!(
        status_in_line(&queued, NOW, &voice(), None),
        status(&queued, NOW, &voice())
    );
}

#[test]
fn a_proposal_shows_all_of_the_text_or_says_that_it_does_not() {
    let proposed = |text: String| {
        let task = with(task(Stage::Proposed), |task| {
            task.settings.trigger.label = "bot please".to_owned();
            task.brief.text = text;
        });
        status(&task, NOW, &voice())
    };
    let short = proposed("Do *this*, @lee.\n<!-- x -->\n".to_owned());
    insta::assert_snapshot!(short, @"
    **Agent task: proposed** · T-42 · requested by dana · brief `3c2718` taken 2026-11-20 14:00 UTC

    Someone who may not start a task asked for this, or nothing proves that this is the text that was accepted. I have not read beyond the text `b1` and will not start.

    <details><summary>The text that would run (27 characters)</summary>

    ```text
    Do *this*, @lee.
    <!-- x -->
    ```

    </details>

    Your turn (a maintainer): add the label `bot please` or comment `/agent approve b1` to accept exactly this text.

    <sub>Commands: `/agent approve b1`, `/agent reject`, `/agent help`</sub>
    ");
    // Who accepts it has to be able to read all of it.
    let long = "word ".repeat(5_000);
    assert!(proposed(long.clone()).contains(long.trim()));
    let long = proposed("word ".repeat(6_000));
    assert!(!long.contains("word word"));
    insta::assert_snapshot!(long.split("\n\n").nth(2).unwrap(), @"The text that would run has 29999 characters, too many to show here: it is the issue as it was at 2026-11-20 14:15 UTC. It is accepted only where the forge proves that nobody edited the issue since.");
    let hostile = proposed("```\n</details>\n".repeat(9));
    assert_harmless(&hostile, None);
}

#[test]
fn the_settings_decide_what_is_told_and_whom_it_mentions() {
    let quiet = with(
        task(Stage::Running {
            run: 1,
            step: Step::Work { attempt: 1 },
            quiet_since: None,
            stopping: None,
        }),
        |task| {
            task.settings.messages.progress = Progress::Final;
            task.settings.context.comments_from = CommentsFrom::Triage;
            task.brief.comments_left_out = 2;
        },
    );
    insta::assert_snapshot!(status(&quiet, NOW, &voice()), @"
    **Agent task: running** · T-42 · requested by dana · brief `3c2718` taken 2026-11-20 14:00 UTC

    At work. This repository wants no steps shown here (`[messages] progress`).

    2 comments left out of the brief: their authors do not have triage (`[context] comments_from`).

    Nothing needed from you.

    <sub>Commands: `/agent stop`, `/agent help`</sub>
    ");
    let failed = case("failed verify");
    assert!(notice(&failed, &voice()).unwrap().starts_with("@dana: "));
    let silent = with(failed, |task| {
        task.settings.messages.mention = Mention::None;
    });
    assert!(notice(&silent, &voice()).unwrap().starts_with("dana: "));
}

#[test]
fn only_our_own_words_close_the_issue_and_only_where_wanted() {
    let body = |closes| {
        let task = with(review(None, commit('9'), None), |task| {
            task.settings.pull.closes_issue = closes;
            task.brief.goal = "fixes #1".to_owned();
            task.revision.as_mut().unwrap().result.claims.summary = "Closes #7.".to_owned();
        });
        pull_body(&task, &voice())
    };
    let first = |body: &str| body.split("\n\n").nth(1).unwrap().to_owned();
    assert_eq!(first(&body(true)), "Closes #42.");
    assert_eq!(body(true).matches("loses #").count(), 2);
    assert!(body(true).contains("> `Closes #7`."));
    insta::assert_snapshot!(first(&body(false)), @"Belongs to #42, which stays open when this is merged (`[pr] closes_issue`).");
    assert!(!pull_body(&review(None, commit('9'), None), &Voice::local()).contains("Closes"));
}

#[test]
fn the_repositorys_template_stands_before_our_text() {
    let task = review(None, commit('9'), None);
    let own = pull_body(&task, &voice());
    let both = pull_body_after(
        "## Why\n\nFixes # (issue) @team <!-- fill in\n",
        &task,
        &voice(),
    );
    assert_eq!(
        both,
        format!("## Why\n\nFixes # (issue) @team <!-- fill in\n-->\n\n---\n\n{own}")
    );
    let long = "a line\n".repeat(20_000);
    let full = with(task, |task| flood(task, "@all fixes #1 ", 200));
    let body = pull_body_after(&long, &full, &voice());
    assert!(body.chars().count() <= PULL_MAX, "{}", body.chars().count());
    assert!(body.contains("\n### Decide\n") && body.contains("left out for length"));
    let none = pull_body_after("## Why", &super::report::task(Stage::Proposed), &voice());
    assert_eq!(none, "");
}

#[test]
fn a_draft_says_until_when_it_is_one() {
    let says = |change: fn(&mut Task)| {
        let task = with(review(None, commit('9'), None), change);
        let (body, status) = (pull_body(&task, &voice()), status(&task, NOW, &voice()));
        assert_eq!(
            body.contains("until someone who may approve does"),
            status.contains("`/agent approve`")
        );
        body.contains("until someone who may approve does")
    };
    assert!(says(|_| {}));
    assert!(!says(|task| task.settings.pull.draft = Draft::Never));
    assert!(!says(|task| task.settings.pull.draft = Draft::UntilVerified));
    assert!(!says(|task| task.revision.as_mut().unwrap().theirs = true));
    let approval = |head: char| Approval {
        by: "lee".to_owned(),
        target: "r1".to_owned(),
        bound_to: commit(head).to_string(),
        at: NOW,
    };
    let approved = |head| {
        let task = with(review(None, commit('9'), None), |task| {
            task.approvals.push(approval(head));
        });
        pull_body(&task, &voice()).contains("until someone")
    };
    assert!(!approved('9'));
    assert!(approved('8'), "an approval of another commit is void");
}

#[test]
fn a_commit_names_people_only_beside_an_address_that_the_forge_shows() {
    let made = |address: Option<&str>, sign_off, trailers| {
        let task = with(review(None, commit('9'), None), |task| {
            task.requester_address = address.map(str::to_owned);
            task.settings.pull.sign_off = sign_off;
            task.settings.pull.trailers = trailers;
        });
        let facts: Vec<String> = pull_body(&task, &voice())
            .lines()
            .filter(|line| line.starts_with("- commits "))
            .map(str::to_owned)
            .collect();
        let message = commit_message(&task);
        let last = message.split("\n\n").nth(2).unwrap_or("(no trailers)\n");
        format!("{last}{}", facts.join("\n"))
    };
    let address = Some("7+dana@noreply.example.test");
    insta::assert_snapshot!(made(address, true, true), @"
    Agent-Task: T-42
    Co-authored-by: dana <7+dana@noreply.example.test>
    Signed-off-by: dana <7+dana@noreply.example.test>
    - commits carry the trailer `Agent-Task: T-42` and `Co-authored-by` of dana (`[pr] trailers`)
    - commits carry `Signed-off-by` of dana, who asked for the task (`[pr] sign_off`)
    ");
    insta::assert_snapshot!(made(address, true, false), @"
    Signed-off-by: dana <7+dana@noreply.example.test>
    - commits carry `Signed-off-by` of dana, who asked for the task (`[pr] sign_off`)
    ");
    insta::assert_snapshot!(made(None, true, true), @"
    Agent-Task: T-42
    - commits carry the trailer `Agent-Task: T-42` (`[pr] trailers`)
    - commits lack the `Signed-off-by` that `[pr] sign_off` wants: the forge shows no address of dana
    ");
    insta::assert_snapshot!(made(None, false, false), @"(no trailers)");
    for bad in [
        "dana",
        "dana@host",
        "@example.test",
        "a@b@c.test",
        "d@e.test>\nSigned-off-by: root <r@x.test",
        "d <d@e.test>",
        "d\u{202e}@e.test",
    ] {
        assert_eq!(
            made(Some(bad), true, true),
            made(None, true, true),
            "{bad:?}"
        );
    }
    let nameless = with(task(Stage::Proposed), |task| {
        task.requester = "root <r@x.test>\nX: y".to_owned();
        task.requester_address = address.map(str::to_owned);
    });
    assert!(!commit_message(&nameless).contains("Co-authored-by"));
}

#[test]
fn those_are_asked_to_review_whom_settings_owners_and_brief_name() {
    let owners = Owners::parse(
        b"* @kim @org/team k@example.test\nsrc/ @lee @our-bot @Dana\n",
        Dialect::Globs,
    );
    let of = |path: &str| owners.of([&RepoPath::from(path)]);
    let asked = |reviewers_key: &[&str], brief: Option<&str>, path: &str| {
        let task = with(task(Stage::Proposed), |task| {
            task.settings.pull.reviewers = reviewers_key.iter().map(ToString::to_string).collect();
            task.brief.reviewer = brief.map(str::to_owned);
        });
        reviewers(&task, &of(path), "Our-Bot").join(" ")
    };
    assert_eq!(asked(&["requester"], None, "a"), "dana");
    assert_eq!(asked(&["codeowners"], None, "a"), "kim");
    assert_eq!(
        asked(&["codeowners", "requester"], None, "src/a"),
        "lee Dana"
    );
    assert_eq!(
        asked(&["requester", "sam", "SAM", "our-bot"], None, "a"),
        "dana sam"
    );
    assert_eq!(asked(&["requester"], Some("@kim"), "a"), "kim dana");
    assert_eq!(asked(&["requester"], Some("whoever has time"), "a"), "dana");
    assert_eq!(asked(&[], None, "a"), "");
    let many: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let all = asked(&many, None, "a");
    assert_eq!(all.split(' ').count(), REVIEWERS_MAX);
}

#[test]
fn who_asked_for_the_round_is_asked_first_to_look_again() {
    let fixed = with(task(Stage::Proposed), |task| {
        task.round_by = Some("lee".to_owned());
    });
    let owners = Owners::parse(b"", Dialect::Globs).of([&RepoPath::from("a")]);
    assert_eq!(reviewers(&fixed, &owners, "our-bot"), ["lee", "dana"]);
    assert_eq!(reviewers(&fixed, &owners, "lee"), ["dana"]);
}
