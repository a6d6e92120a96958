//! Questions for the referee that could not be answered now: when each is tried again, and what is known of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Judged, LOOK_EVERY};
use crate::domain::ident::Time;
use crate::store::Question;

/// First wait for a forge or for this machine; each further one is twice as long.
const WAIT_SECS: u64 = 2;

/// Longest wait that is made longer by repetition. What the forge asks for is waited for, however long that is.
const WAIT_MOST_SECS: u64 = 300;

/// So long nobody could judge it: then it is told, if that can be, since it may be this question after all.
const WAIT_OVER_SECS: u64 = 24 * 60 * 60;

/// Questions that were handed back, by their pull request; known to this process alone.
#[derive(Default)]
pub(super) struct Waits(BTreeMap<(String, i64, i64), Wait>);

struct Wait {
    question: Question,
    since: Time,
    tries: u32,
    until: Time,
    /// What was seen, where only the telling went wrong.
    judged: Option<Judged>,
}

impl Waits {
    fn of(&mut self, question: &Question, now: Time) -> &mut Wait {
        let new = || Wait {
            question: question.clone(),
            since: now,
            tries: 0,
            until: now,
            judged: None,
        };
        let one = self.0.entry(place_of(question)).or_insert_with(new);
        if one.question != *question {
            *one = new();
        }
        one
    }

    /// When a question is tried again for which the forge or this machine was not ready.
    pub(super) fn again(
        &mut self,
        question: &Question,
        asked_secs: Option<u64>,
        now: Time,
    ) -> Time {
        let one = self.of(question, now);
        let own = WAIT_SECS.saturating_mul(2_u64.saturating_pow(one.tries));
        one.tries += 1;
        let wait = own.min(WAIT_MOST_SECS).max(asked_secs.unwrap_or(0));
        one.until = now.plus_secs(wait);
        one.until
    }

    /// It is tried again then.
    pub(super) fn until(&mut self, question: &Question, at: Time, now: Time) -> Time {
        self.of(question, now).until = at;
        at
    }

    /// What is known of a question and was not told.
    pub(super) fn judged(&mut self, question: &Question, now: Time) -> &mut Option<Judged> {
        &mut self.of(question, now).judged
    }

    pub(super) fn is_over(&mut self, question: &Question, now: Time) -> bool {
        let since = self.of(question, now).since;
        since.plus_secs(WAIT_OVER_SECS) <= now
    }

    pub(super) fn forget(&mut self, question: &Question) {
        self.0.remove(&place_of(question));
    }

    /// How long until the next of them is due.
    pub(super) fn next_in(&self, now: Time) -> Duration {
        let later = self.0.values().map(|one| one.until);
        let next = later.filter(|at| *at > now).min();
        next.map_or(LOOK_EVERY, |at| Duration::from_millis(at.millis_since(now)))
    }
}

fn place_of(question: &Question) -> (String, i64, i64) {
    let key = &question.repository;
    (key.forge.clone(), key.id, question.pull)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RepositoryKey;

    fn question(digit: &str) -> Question {
        Question {
            repository: RepositoryKey {
                forge: "main".to_owned(),
                id: 7,
            },
            pull: 3,
            head: digit.repeat(40).parse().unwrap(),
            base_branch: "main".to_owned(),
            asker: None,
            asked_at: Time(0),
        }
    }

    #[test]
    fn each_wait_is_longer_up_to_five_minutes_and_at_least_what_the_forge_asks_for() {
        let (mut waits, now, one) = (Waits::default(), Time(0), question("a"));
        let mut wait = |asked| waits.again(&one, asked, now).millis_since(now) / 1000;
        let asked = [None, Some(1), Some(960), None, None, None, None, None, None];
        let waited = asked.map(&mut wait);
        assert_eq!(waited, [2, 4, 960, 16, 32, 64, 128, 256, 300]);
        assert_eq!(waits.next_in(now), Duration::from_secs(300));
        // Another question about the same pull request begins anew.
        assert_eq!(waits.again(&question("b"), None, now), Time(2000));
        waits.forget(&question("b"));
        assert_eq!(waits.next_in(now), LOOK_EVERY);
    }

    #[test]
    fn after_a_day_of_waiting_a_question_is_given_up() {
        let (mut waits, one) = (Waits::default(), question("a"));
        assert!(!waits.is_over(&one, Time(0)));
        waits.again(&one, None, Time(0));
        let day = Time(0).plus_secs(WAIT_OVER_SECS);
        assert!(!waits.is_over(&one, day.minus_secs(1)));
        assert!(waits.is_over(&one, day));
        assert!(!waits.is_over(&question("b"), day));
    }
}
