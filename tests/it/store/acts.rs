//! What is known of forges, in the store: acts are consumed once, cursors never go back, the referee's queue.

use super::*;
use prentice::store::{ActKey, ActKind, Question, RepositoryKey};

conformance! { sqlite: super::super::World::sqlite();
    an_act_is_taken_up_until_it_is_settled_and_never_again
    what_no_look_finds_any_more_is_given_up_when_it_is_old
    the_same_number_of_another_kind_or_repository_is_another_act
    a_repository_is_seen_from_its_first_look_and_its_cursor_never_goes_back
    a_look_is_owed_from_its_first_failure_until_it_is_paid
    outcomes_are_counted_by_actor_and_time
    a_note_is_found_again_and_replaced
    the_referee_takes_the_oldest_question_and_answers_it_once
    a_newer_question_takes_the_place_of_the_older
    the_comment_that_asked_last_is_known
    another_base_is_another_question
    what_nobody_asked_for_waits_behind_what_a_person_asked_and_only_the_newest_of_it
    what_nobody_asked_for_is_judged_so_often_in_an_hour_and_the_newest_head_of_each
}

fn repository(id: i64) -> RepositoryKey {
    RepositoryKey {
        forge: "main".to_owned(),
        id,
    }
}

fn act(kind: ActKind, act: i64) -> ActKey {
    ActKey {
        repository: repository(7),
        kind,
        act,
    }
}

async fn an_act_is_taken_up_until_it_is_settled_and_never_again(w: World) {
    let store = w.open().await;
    let key = act(ActKind::Entry, 5);
    assert!(store.take_up(&key, 3, "dana").await.unwrap());
    // The process ended before it was settled.
    assert!(store.take_up(&key, 3, "dana").await.unwrap());
    assert_eq!(store.unsettled(&repository(7)).await.unwrap(), [3]);
    store.settle(&key, "started").await.unwrap();
    assert!(!store.take_up(&key, 3, "dana").await.unwrap());
    assert_eq!(store.unsettled(&repository(7)).await.unwrap(), [0; 0]);
    let again = w.open().await;
    assert!(!again.take_up(&key, 3, "dana").await.unwrap());
}

async fn what_no_look_finds_any_more_is_given_up_when_it_is_old(w: World) {
    let store = w.open().await;
    let (old, other) = (act(ActKind::Comment, 5), act(ActKind::Comment, 6));
    store.take_up(&old, 3, "dana").await.unwrap();
    store.take_up(&other, 4, "dana").await.unwrap();
    let taken = w.clock.now();
    let key = repository(7);
    store.settle_gone(&key, 3, taken).await.unwrap();
    assert_eq!(store.unsettled(&key).await.unwrap(), [3, 4]);
    let later = taken.plus_secs(1);
    store.settle_gone(&repository(8), 3, later).await.unwrap();
    assert_eq!(store.unsettled(&key).await.unwrap(), [3, 4]);
    store.settle_gone(&key, 3, later).await.unwrap();
    assert_eq!(store.unsettled(&key).await.unwrap(), [4]);
}

async fn the_same_number_of_another_kind_or_repository_is_another_act(w: World) {
    let store = w.open().await;
    store.take_up(&act(ActKind::Entry, 5), 3, "").await.unwrap();
    store.settle(&act(ActKind::Entry, 5), "x").await.unwrap();
    for other in [
        act(ActKind::Comment, 5),
        act(ActKind::Review, 5),
        ActKey {
            repository: repository(8),
            ..act(ActKind::Entry, 5)
        },
    ] {
        assert!(store.take_up(&other, 3, "").await.unwrap(), "{other:?}");
    }
}

async fn a_look_is_owed_from_its_first_failure_until_it_is_paid(w: World) {
    let store = w.open().await;
    let (here, there) = (repository(7), repository(8));
    store.owe_look(&here, 3, Time(100)).await.unwrap();
    // It failed again, when more was read: what people did since the first time is still owed.
    store.owe_look(&here, 3, Time(200)).await.unwrap();
    store.owe_look(&here, 4, Time(200)).await.unwrap();
    store.owe_look(&there, 3, Time(300)).await.unwrap();
    let again = w.open().await;
    let owed = [(3, Time(100)), (4, Time(200))];
    assert_eq!(again.owed_looks(&here).await.unwrap(), owed);
    again.pay_look(&here, 3).await.unwrap();
    assert_eq!(again.owed_looks(&here).await.unwrap(), [(4, Time(200))]);
    assert_eq!(again.owed_looks(&there).await.unwrap(), [(3, Time(300))]);
}

async fn a_repository_is_seen_from_its_first_look_and_its_cursor_never_goes_back(w: World) {
    let store = w.open().await;
    let first = store
        .see_repository(&repository(7), "dana/thing")
        .await
        .unwrap();
    assert_eq!(first.first_seen, first.looked_until);
    w.clock.pass(60);
    let later = first.looked_until.plus_secs(30);
    store.looked(&repository(7), later).await.unwrap();
    store
        .looked(&repository(7), first.first_seen)
        .await
        .unwrap();
    let again = store
        .see_repository(&repository(7), "dana/renamed")
        .await
        .unwrap();
    assert_eq!(again.first_seen, first.first_seen);
    assert_eq!(again.looked_until, later);
}

async fn outcomes_are_counted_by_actor_and_time(w: World) {
    let store = w.open().await;
    let seen = store
        .see_repository(&repository(7), "dana/thing")
        .await
        .unwrap();
    for (number, actor) in [(1, "eve"), (2, "eve"), (3, "rae")] {
        let key = act(ActKind::Comment, number);
        store.take_up(&key, 1, actor).await.unwrap();
        store.settle(&key, "answered").await.unwrap();
        w.clock.pass(10);
    }
    let count = async |actor: &str, since| {
        let key = repository(7);
        let counted = store.settled_since(&key, actor, "answered", since);
        counted.await.unwrap()
    };
    let start = seen.first_seen;
    let (other, open) = (act(ActKind::Comment, 4), act(ActKind::Comment, 5));
    store.take_up(&other, 1, "rae").await.unwrap();
    store.settle(&other, "refused").await.unwrap();
    store.take_up(&open, 1, "rae").await.unwrap();
    let key = repository(7);
    let any = store.settled_since(&key, "rae", "", start).await.unwrap();
    assert_eq!(any, 2);
    assert_eq!(count("eve", start).await, 2);
    assert_eq!(count("", start).await, 3);
    assert_eq!(count("eve", start.plus_secs(5)).await, 1);
    assert_eq!(count("dana", start).await, 0);
}

async fn a_note_is_found_again_and_replaced(w: World) {
    let store = w.open().await;
    assert_eq!(store.note(&repository(7), "T-1").await.unwrap(), None);
    store.keep_note(&repository(7), "T-1", 40).await.unwrap();
    store.keep_note(&repository(7), "T-1", 41).await.unwrap();
    assert_eq!(store.note(&repository(7), "T-1").await.unwrap(), Some(41));
    assert_eq!(store.note(&repository(8), "T-1").await.unwrap(), None);
}

fn question(w: &World, pull: i64, digit: char) -> Question {
    Question {
        repository: repository(7),
        pull,
        head: digit.to_string().repeat(40).parse().unwrap(),
        base_branch: "main".to_owned(),
        asker: Some("dana".to_owned()),
        asked_at: prentice::store::Clock::now(w.clock.as_ref()),
    }
}

async fn the_referee_takes_the_oldest_question_and_answers_it_once(w: World) {
    let store = w.open().await;
    assert_eq!(store.begin_verdict().await.unwrap(), None);
    store.ask_verdict(question(&w, 1, 'a'), None).await.unwrap();
    w.clock.pass(1);
    store.ask_verdict(question(&w, 2, 'b'), None).await.unwrap();
    assert_eq!(store.waiting_verdicts().await.unwrap(), 2);
    let begun = store.begin_verdict().await.unwrap().unwrap();
    assert_eq!((begun.question.pull, begun.attempts), (1, 1));
    // Of a forge that is away: the next one goes on meanwhile.
    let later = prentice::store::Clock::now(w.clock.as_ref()).plus_secs(20);
    let back = store.hand_back_verdict(&begun.question, later, true);
    back.await.unwrap();
    let other = store.begin_verdict().await.unwrap().unwrap();
    assert_eq!(other.question.pull, 2);
    let back = store.hand_back_verdict(&other.question, Time(0), true);
    back.await.unwrap();
    w.clock.pass(20);
    let again = store.begin_verdict().await.unwrap().unwrap();
    assert_eq!((again.question.pull, again.attempts), (1, 2));
    // Only made way: that was no attempt.
    let back = store.hand_back_verdict(&again.question, Time(0), false);
    back.await.unwrap();
    let again = store.begin_verdict().await.unwrap().unwrap();
    assert_eq!((again.question.pull, again.attempts), (1, 2));
    // Killed: begun anew by the next start.
    store.requeue_verdicts().await.unwrap();
    let begun = store.begin_verdict().await.unwrap().unwrap();
    assert_eq!((begun.question.pull, begun.attempts), (1, 3));
    assert!(store.answer_verdict(&begun.question, "good").await.unwrap());
    assert!(!store.answer_verdict(&begun.question, "bad").await.unwrap());
    let other = store.begin_verdict().await.unwrap().unwrap();
    assert_eq!(other.question.pull, 2);
    assert_eq!(store.begin_verdict().await.unwrap(), None);
}

async fn a_newer_question_takes_the_place_of_the_older(w: World) {
    let store = w.open().await;
    store.ask_verdict(question(&w, 1, 'a'), None).await.unwrap();
    let old = store.begin_verdict().await.unwrap().unwrap();
    // Asked again about the same commit while it runs, when it may be told already: judged once more.
    store.ask_verdict(question(&w, 1, 'a'), None).await.unwrap();
    assert!(!store.answer_verdict(&old.question, "good").await.unwrap());
    let old = store.begin_verdict().await.unwrap().unwrap();
    assert_eq!(
        (&old.question.head, old.attempts),
        (&question(&w, 1, 'a').head, 1)
    );
    store.ask_verdict(question(&w, 1, 'b'), None).await.unwrap();
    assert!(!store.answer_verdict(&old.question, "good").await.unwrap());
    let new = store.begin_verdict().await.unwrap().unwrap();
    assert_eq!(new.question.head, question(&w, 1, 'b').head);
    assert_eq!(new.attempts, 1);
}

async fn the_comment_that_asked_last_is_known(w: World) {
    let store = w.open().await;
    let asked = question(&w, 1, 'a');
    let was_asked = async |pull, comment| {
        let was = store.was_asked(&asked.repository, pull, comment).await;
        was.unwrap()
    };
    assert!(!was_asked(1, 7).await);
    store.ask_verdict(asked.clone(), Some(7)).await.unwrap();
    assert!(was_asked(1, 7).await);
    assert!(!was_asked(2, 7).await, "about another pull request");
    store.ask_verdict(asked.clone(), None).await.unwrap();
    assert!(was_asked(1, 7).await);
    store.ask_verdict(asked.clone(), Some(8)).await.unwrap();
    assert!(!was_asked(1, 7).await && was_asked(1, 8).await);
}

/// One that nobody asked for.
fn unasked(w: &World, pull: i64, digit: char) -> Question {
    Question {
        asker: None,
        ..question(w, pull, digit)
    }
}

async fn what_nobody_asked_for_is_judged_so_often_in_an_hour_and_the_newest_head_of_each(w: World) {
    let store = w.open().await;
    let now = || prentice::store::Clock::now(w.clock.as_ref());
    let first = now();
    let judge = async |pull, digit| {
        let judged = store.judge_unasked(unasked(&w, pull, digit), 2).await;
        judged.unwrap()
    };
    let begin = async || {
        let begun = store.begin_verdict().await.unwrap();
        begun.map(|begun| (begun.question.pull, begun.question.asker))
    };
    assert_eq!(judge(1, 'a').await, Some(first));
    assert_eq!(
        judge(1, 'a').await,
        None,
        "the same head is not judged again"
    );
    // A newer head of one that waits takes its turn.
    assert_eq!(judge(1, 'b').await, Some(first));
    w.clock.pass(60);
    assert_eq!(judge(2, 'a').await, Some(now()));
    w.clock.pass(60);
    // Full: the third waits for the first to be an hour old, the fourth for the second.
    assert_eq!(judge(3, 'a').await, Some(first.plus_secs(3600)));
    assert_eq!(judge(4, 'a').await, Some(first.plus_secs(3660)));
    assert_eq!(begin().await, Some((1, None)));
    assert_eq!(begin().await, Some((2, None)));
    assert_eq!(begin().await, None);
    // What a person asks for does not wait.
    store.ask_verdict(question(&w, 3, 'a'), None).await.unwrap();
    assert_eq!(begin().await, Some((3, Some("dana".to_owned()))));
    assert_eq!(begin().await, None);
    w.clock.pass(3600);
    assert_eq!(begin().await, Some((4, None)));
}

async fn another_base_is_another_question(w: World) {
    let store = w.open().await;
    let onto = |base: &str| Question {
        base_branch: base.to_owned(),
        ..question(&w, 1, 'a')
    };
    store.ask_verdict(onto("dev"), None).await.unwrap();
    let dev = store.begin_verdict().await.unwrap().unwrap().question;
    // Asked about the new base while the old one is judged: the old answer is none.
    store.ask_verdict(onto("main"), None).await.unwrap();
    assert!(!store.answer_verdict(&dev, "good").await.unwrap());
    let main = store.begin_verdict().await.unwrap().unwrap().question;
    assert_eq!(main.base_branch, "main");
    assert!(store.answer_verdict(&main, "bad").await.unwrap());
    // Unasked too: the same head onto another base was not judged.
    let unasked = |base: &str| Question {
        asker: None,
        ..onto(base)
    };
    let again = store.judge_unasked(unasked("main"), 6).await.unwrap();
    assert_eq!(again, None);
    let other = store.judge_unasked(unasked("dev"), 6).await.unwrap();
    assert!(other.is_some());
}

async fn what_nobody_asked_for_waits_behind_what_a_person_asked_and_only_the_newest_of_it(
    w: World,
) {
    let store = w.open().await;
    let judge = async |digit| {
        let judged = store.judge_unasked(unasked(&w, 1, digit), 6).await;
        judged.unwrap()
    };
    let begin = async || {
        let begun = store.begin_verdict().await.unwrap();
        begun.map(|begun| begun.question)
    };
    let is = |question: &Option<Question>| {
        let question = question.as_ref().unwrap();
        (
            question.head.as_str().chars().next(),
            question.asker.clone(),
        )
    };
    let (dana, nobody) = (Some("dana".to_owned()), None);
    store.ask_verdict(question(&w, 1, 'a'), None).await.unwrap();
    // Pushed to, once and again, while the question waits and while it is answered.
    assert_eq!(judge('b').await, None);
    let first = begin().await;
    assert_eq!(is(&first), (Some('a'), dana.clone()));
    assert_eq!(judge('c').await, None);
    assert_eq!(judge('c').await, None);
    assert_eq!(begin().await, None, "one question at a time");
    assert!(store.answer_verdict(&first.unwrap(), "good").await.unwrap());
    let second = begin().await;
    assert_eq!(is(&second), (Some('c'), nobody.clone()));
    assert!(
        store
            .answer_verdict(&second.unwrap(), "good")
            .await
            .unwrap()
    );
    assert_eq!(begin().await, None);

    // Asked about an older head while the newest waits unasked: that one goes on behind it.
    assert!(judge('d').await.is_some());
    store.ask_verdict(question(&w, 1, 'c'), None).await.unwrap();
    let asked = begin().await;
    assert_eq!(is(&asked), (Some('c'), dana.clone()));
    // Asked about the one that waits behind: it is judged once.
    store.ask_verdict(question(&w, 1, 'd'), None).await.unwrap();
    let asked = begin().await;
    assert_eq!(is(&asked), (Some('d'), dana.clone()));
    assert!(store.answer_verdict(&asked.unwrap(), "good").await.unwrap());
    assert_eq!(begin().await, None);

    // Asked about the newest while an older one waits unasked: that one is nobody's matter any more.
    assert!(judge('e').await.is_some());
    store.ask_verdict(question(&w, 1, 'f'), None).await.unwrap();
    assert_eq!(judge('f').await, None);
    let asked = begin().await;
    assert_eq!(is(&asked), (Some('f'), dana));
    assert!(store.answer_verdict(&asked.unwrap(), "good").await.unwrap());
    assert_eq!(begin().await, None);
    // Asked about what is judged unasked at this moment, and may be told already: judged for whoever asks.
    assert!(judge('1').await.is_some());
    let running = begin().await.unwrap();
    store.ask_verdict(question(&w, 1, '1'), None).await.unwrap();
    assert!(!store.answer_verdict(&running, "good").await.unwrap());
    let asked = begin().await;
    assert_eq!(is(&asked), (Some('1'), Some("dana".to_owned())));
    assert_eq!(judge('2').await, None);
    assert!(store.answer_verdict(&asked.unwrap(), "good").await.unwrap());
    let behind = begin().await;
    assert_eq!(is(&behind), (Some('2'), nobody));
    assert!(
        store
            .answer_verdict(&behind.unwrap(), "good")
            .await
            .unwrap()
    );
    // Five were counted: `b` with its successor, `d`, `e`, `1` and `2`.
    let now = prentice::store::Clock::now(w.clock.as_ref());
    assert_eq!(judge('3').await, Some(now));
    let begun = begin().await.unwrap();
    assert!(store.answer_verdict(&begun, "good").await.unwrap());
    assert!(judge('4').await > Some(now), "as many as may be");
}
