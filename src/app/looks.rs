//! Looks that are to be done at one forge, and how often one that fails is tried.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use crate::domain::ident::Time;
use crate::forge;
use crate::forge::hook::Hint;
use crate::intake::Trouble;
use crate::store::HookId;

/// Longest wait before a look that failed is done again.
const RETRY_MOST: Duration = Duration::from_secs(300);

/// Tries of a look that trying again hardly helps.
const LASTING_TRIES: u32 = 8;

/// Tries of one that fails since the forge or this machine does: for about a day. What is looked at later than that
/// may be found no more, so it is long.
const PASSING_TRIES: u32 = LASTING_TRIES + 24 * 12;

/// Most of what deliveries said that is kept for one look: whoever writes comments must not fill our memory. What they
/// prove they prove for seconds, so the oldest go first.
const HINTS: usize = 50;

/// Where both wait, one of about so many looks that begin is one that a sweep found; deliveries tell of the others.
const SHARE: u64 = 4;

/// Longest wait before a look at what may still come, where nothing tells that it did.
const EXPECT_MOST: Duration = Duration::from_secs(30);

/// The repository's id and the number of the issue or pull request.
pub(super) type Look = (i64, i64);

/// At most one for each issue or pull request.
#[derive(Default)]
pub(super) struct Looks {
    waiting: BTreeMap<Look, Waiting>,
    /// Failed so often that only a delivery or a sweep tries them again; with how often, and since when they are owed.
    parked: BTreeMap<Look, (u32, Time)>,
    line: Line,
}

/// Gives places in one line to all looks. What deliveries tell of stands close together; what sweeps found, of which
/// there may be thousands, stands far apart, so that both go on. Places are only ever given behind the one that began
/// last: whatever comes without end, everything that waits comes to its turn.
#[derive(Default)]
struct Line {
    /// The farthest place of a look that began.
    begun: u64,
    told: u64,
    found: u64,
}

impl Line {
    fn place(&mut self, is_told: bool) -> u64 {
        let (last, apart) = match is_told {
            true => (&mut self.told, 1),
            false => (&mut self.found, SHARE),
        };
        *last = self.begun.max(*last) + apart;
        *last
    }
}

/// A look that is to be done.
#[derive(Default)]
pub(super) struct Waiting {
    /// What deliveries said, and when they came, oldest first.
    pub(super) hints: Vec<(Hint, Time)>,
    /// Those deliveries.
    pub(super) hooks: Vec<HookId>,
    /// Where it stands in the line.
    place: u64,
    /// A sweep found it, so the cursor waits for it. What deliveries tell of is in the store until its look is done.
    found: bool,
    not_before: Option<Instant>,
    /// What it waits for is a delivery: the next one ends the wait.
    expects: bool,
    /// How often it came to that.
    waits: u32,
    tries: u32,
    /// The store has it as owed since then, so that nothing else waits for it.
    pub(super) owed: Option<Time>,
}

/// What follows when a look failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It is done again after this.
    Again(Duration),
    /// It holds nothing up any more; what it was told by these deliveries is forgotten.
    Parked(Vec<HookId>),
}

impl Looks {
    /// To be looked at, since something changed there; until it is, its repository's cursor stays.
    pub(super) fn want(&mut self, look: Look) {
        self.wait(look, false).found = true;
    }

    /// To be looked at, where it stands already or at its end of the line.
    fn wait(&mut self, look: Look, is_told: bool) -> &mut Waiting {
        let place = match self.waiting.get(&look) {
            // Told of, it need not wait for what was found beside it.
            Some(one) if is_told && one.hooks.is_empty() => one.place.min(self.line.place(true)),
            Some(one) => one.place,
            None => self.line.place(is_told),
        };
        let one = self.waiting.entry(look).or_default();
        one.place = place;
        // What failed so often is tried once, not as if it never had.
        if let Some((tries, since)) = self.parked.remove(&look) {
            one.tries = one.tries.max(tries);
            one.owe(Some(since));
        }
        one
    }

    /// To be looked at, since the store has it as owed.
    pub(super) fn want_owed(&mut self, look: Look, since: Time) {
        let one = self.wait(look, false);
        one.found = true;
        one.owe(Some(since));
    }

    /// The same, as a delivery says.
    pub(super) fn tell(&mut self, look: Look, (hint, at): (Hint, Time), hook: HookId) {
        let one = self.wait(look, true);
        one.hints.push((hint, at));
        one.forget_oldest();
        one.hooks.push(hook);
        if std::mem::take(&mut one.expects) {
            one.not_before = None;
        }
    }

    /// What was given up for a while is tried again.
    pub(super) fn want_parked(&mut self) {
        let parked: Vec<Look> = self.parked.keys().copied().collect();
        for look in parked {
            self.want(look);
        }
    }

    /// Takes out the first in the line that may begin; a repository has one at a time.
    pub(super) fn next_due(
        &mut self,
        busy: &HashSet<i64>,
        now: Instant,
    ) -> Option<(Look, Waiting)> {
        let due = self.waiting.iter().filter(|((repository, _), one)| {
            !busy.contains(repository) && one.not_before.is_none_or(|at| at <= now)
        });
        let (look, one) =
            due.min_by_key(|(look, one)| (one.place, one.hooks.is_empty(), **look))?;
        let look = *look;
        self.line.begun = self.line.begun.max(one.place);
        self.waiting.remove_entry(&look)
    }

    /// When the next begins that may not begin yet.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let later = self.waiting.values().filter_map(|one| one.not_before);
        later.filter(|at| *at > now).min()
    }

    /// Whether looks at a repository are still to be done of which nothing else knows.
    pub(super) fn is_open(&self, repository: i64) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|((of, _), one)| *of == repository && one.is_only_here())
    }

    /// One that was taken out came to its end; whether what was owed is paid. It is not where something came meanwhile:
    /// the look at that pays.
    pub(super) fn done(&mut self, look: Look, one: &Waiting) -> bool {
        match self.waiting.get_mut(&look) {
            Some(newer) => {
                newer.owe(one.owed);
                false
            }
            None => one.owed.is_some(),
        }
    }

    /// One that was taken out begins later.
    pub(super) fn put_off(&mut self, look: Look, one: Waiting, until: Instant) {
        let again = self.put_back(look, one);
        (again.expects, again.not_before) = (false, Some(until));
    }

    /// One that was taken out waits for a delivery, at least for `after` and longer each time. One that came meanwhile
    /// may be it.
    pub(super) fn expect(
        &mut self,
        look: Look,
        mut one: Waiting,
        after: Duration,
        now: Instant,
    ) -> Duration {
        let own = Duration::from_secs(2_u64.saturating_pow(one.waits.min(8)));
        one.waits += 1;
        let wait = own.min(EXPECT_MOST).max(after);
        let again = self.put_back(look, one);
        again.not_before = again.expects.then_some(now + wait);
        wait
    }

    /// One that was taken out came to no end. What the store does not have as owed is never given up.
    pub(super) fn failed(
        &mut self,
        look: Look,
        mut one: Waiting,
        why: &Trouble,
        now: Instant,
    ) -> Failed {
        one.tries += 1;
        let tries = one.tries;
        if tries >= most_tries(why)
            && let Some(since) = one.owed
        {
            match self.waiting.get_mut(&look) {
                // What came meanwhile is looked at once.
                Some(newer) => {
                    newer.tries = tries;
                    newer.owe(one.owed);
                }
                None => drop(self.parked.insert(look, (tries, since))),
            }
            return Failed::Parked(one.hooks);
        }
        let own = Duration::from_secs(2_u64.saturating_pow(tries.min(8)));
        let wait = why.after_secs().map_or(own, Duration::from_secs).max(own);
        let wait = wait.min(RETRY_MOST);
        let again = self.put_back(look, one);
        (again.expects, again.not_before) = (false, Some(now + wait));
        Failed::Again(wait)
    }

    /// Before whatever came while it was taken out. Expects a delivery where none came.
    fn put_back(&mut self, look: Look, mut one: Waiting) -> &mut Waiting {
        let place = match self.waiting.get(&look) {
            Some(newer) => newer.place,
            None => self.line.place(!one.hooks.is_empty()),
        };
        let again = self.waiting.entry(look).or_default();
        again.place = place;
        again.found |= one.found;
        again.expects = again.hooks.is_empty();
        again.tries = again.tries.max(one.tries);
        again.waits = again.waits.max(one.waits);
        again.owe(one.owed);
        one.hints.append(&mut again.hints);
        one.hooks.append(&mut again.hooks);
        (again.hints, again.hooks) = (one.hints, one.hooks);
        again.forget_oldest();
        again
    }
}

impl Waiting {
    /// Whether nothing else knows that it is to be looked at: neither a delivery nor what is owed.
    pub(super) fn is_only_here(&self) -> bool {
        self.found && self.owed.is_none()
    }

    /// The oldest time that it is owed since counts.
    fn owe(&mut self, since: Option<Time>) {
        self.owed = self.owed.into_iter().chain(since).min();
    }

    fn forget_oldest(&mut self) {
        let over = self.hints.len().saturating_sub(HINTS);
        self.hints.drain(..over);
    }
}

/// How often a look is tried that fails like this.
fn most_tries(why: &Trouble) -> u32 {
    match why {
        Trouble::Forge(
            forge::Error::Gone { .. }
            | forge::Error::NotPermitted { .. }
            | forge::Error::Invalid { .. }
            | forge::Error::Conflict { .. },
        ) => LASTING_TRIES,
        Trouble::Forge(
            forge::Error::Retry { .. }
            | forge::Error::Away { .. }
            | forge::Error::Auth { .. }
            | forge::Error::Unavailable { .. },
        )
        | Trouble::Store(_)
        | Trouble::Host(_)
        | Trouble::NotYet { .. }
        | Trouble::Undecided(_) => PASSING_TRIES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::CommentId;
    use crate::forge::hook::Subject;

    const LOOK: Look = (7, 3);

    fn hint(id: i64) -> (Hint, Time) {
        let hint = Hint {
            repository: LOOK.0,
            name: "acme/widget".to_owned(),
            subject: Subject::Thread(LOOK.1),
            comment: Some((CommentId(id), "hello".to_owned())),
            words: None,
        };
        (hint, Time(0))
    }

    fn invalid() -> Trouble {
        Trouble::Forge(forge::Error::Invalid {
            what: "the comments".to_owned(),
            why: "too many".to_owned(),
        })
    }

    fn retry(after_secs: Option<u64>) -> Trouble {
        let why = "busy".to_owned();
        Trouble::Forge(forge::Error::Retry { after_secs, why })
    }

    /// Takes it out at a time at which it may begin, and lets it fail.
    fn fail(looks: &mut Looks, why: &Trouble) -> Failed {
        let now = Instant::now();
        let far = now + 2 * RETRY_MOST;
        let (look, mut one) = looks.next_due(&HashSet::new(), far).expect("one is due");
        one.owed = Some(Time(5));
        looks.failed(look, one, why, now)
    }

    #[test]
    fn a_look_that_failed_and_is_owed_holds_its_repository_up_no_more_and_settles_its_deliveries() {
        let mut looks = Looks::default();
        looks.want(LOOK);
        looks.tell(LOOK, hint(1), HookId(1));
        assert!(looks.is_open(LOOK.0));
        for _ in 1..LASTING_TRIES {
            assert!(matches!(fail(&mut looks, &invalid()), Failed::Again(_)));
            assert!(!looks.is_open(LOOK.0));
        }
        looks.tell(LOOK, hint(2), HookId(2));
        let hooks = vec![HookId(1), HookId(2)];
        assert_eq!(fail(&mut looks, &invalid()), Failed::Parked(hooks));
        assert!(!looks.is_open(LOOK.0));
        // A sweep or a delivery has it tried again: once, however often that is.
        looks.want_parked();
        assert_eq!(fail(&mut looks, &invalid()), Failed::Parked(Vec::new()));
        looks.tell(LOOK, hint(3), HookId(3));
        let hooks = vec![HookId(3)];
        assert_eq!(fail(&mut looks, &invalid()), Failed::Parked(hooks));
        assert!(!looks.is_open(LOOK.0));
    }

    #[test]
    fn a_delivery_during_the_last_try_is_looked_at_once() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        let one = Waiting {
            tries: LASTING_TRIES - 1,
            owed: Some(Time(5)),
            ..Waiting::default()
        };
        looks.tell(LOOK, hint(1), HookId(1));
        let parked = looks.failed(LOOK, one, &invalid(), now);
        assert_eq!(parked, Failed::Parked(Vec::new()));
        let hooks = vec![HookId(1)];
        assert_eq!(fail(&mut looks, &invalid()), Failed::Parked(hooks));
        assert!(!looks.is_open(LOOK.0));
    }

    #[test]
    fn a_look_that_is_not_owed_is_never_given_up_and_holds_its_repository_up() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.want(LOOK);
        for _ in 0..2 * LASTING_TRIES {
            let far = now + 2 * RETRY_MOST;
            let (look, one) = looks.next_due(&HashSet::new(), far).unwrap();
            let failed = looks.failed(look, one, &invalid(), now);
            assert!(matches!(failed, Failed::Again(_)));
            assert!(looks.is_open(LOOK.0));
        }
    }

    #[test]
    fn what_is_owed_is_paid_by_the_last_look_at_it_alone() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.want_owed(LOOK, Time(5));
        let (look, one) = looks.next_due(&HashSet::new(), now).unwrap();
        // It came after this look had read.
        looks.tell(LOOK, hint(1), HookId(1));
        assert!(!looks.done(look, &one));
        let (look, one) = looks.next_due(&HashSet::new(), now).unwrap();
        assert_eq!(one.owed, Some(Time(5)));
        assert!(looks.done(look, &one));
    }

    #[test]
    fn what_a_delivery_tells_of_comes_before_what_a_sweep_found() {
        let mut looks = Looks::default();
        for number in 1..1000 {
            looks.want((LOOK.0, number));
        }
        looks.tell((LOOK.0, 700), hint(1), HookId(1));
        let (look, _) = looks.next_due(&HashSet::new(), Instant::now()).unwrap();
        assert_eq!(look, (LOOK.0, 700));
    }

    /// Looks that begin one after the other, while somebody comments on #1 of each of these repositories all the time.
    fn begun_in_a_flood(
        looks: &mut Looks,
        repositories: std::ops::Range<i64>,
        count: i64,
    ) -> Vec<Look> {
        let (now, mut busy) = (Instant::now(), HashSet::new());
        let mut under_way = std::collections::VecDeque::new();
        let mut begun = Vec::new();
        for id in 0..count {
            for repository in repositories.clone() {
                looks.tell((repository, 1), hint(id), HookId(id));
            }
            while under_way.len() < 8
                && let Some((look, one)) = looks.next_due(&busy, now)
            {
                busy.insert(look.0);
                under_way.push_back((look, one));
                begun.push(look);
            }
            if let Some((look, one)) = under_way.pop_front() {
                busy.remove(&look.0);
                looks.done(look, &one);
            }
        }
        begun
    }

    #[test]
    fn whoever_comments_without_end_on_one_issue_holds_up_neither_deliveries_nor_what_a_sweep_found()
     {
        let mut looks = Looks::default();
        looks.want((LOOK.0, 2));
        looks.want_owed((LOOK.0, 3), Time(5));
        looks.tell((LOOK.0, 4), hint(1), HookId(1));
        let begun = begun_in_a_flood(&mut looks, LOOK.0..LOOK.0 + 1, 20);
        let others: Vec<i64> = begun
            .iter()
            .map(|look| look.1)
            .filter(|number| *number != 1)
            .collect();
        assert_eq!(others, [4, 2, 3], "{begun:?}");
    }

    #[test]
    fn repositories_with_lower_ids_that_are_always_busy_hold_up_no_other() {
        let mut looks = Looks::default();
        looks.want((100, 2));
        looks.tell((100, 4), hint(1), HookId(1));
        let begun = begun_in_a_flood(&mut looks, 1..20, 400);
        let others: Vec<&Look> = begun.iter().filter(|look| look.0 == 100).collect();
        assert_eq!(others, [&(100, 4), &(100, 2)], "{begun:?}");
    }

    #[test]
    fn what_failed_stands_behind_what_came_meanwhile() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.tell((LOOK.0, 1), hint(1), HookId(1));
        let (look, one) = looks.next_due(&HashSet::new(), now).unwrap();
        looks.tell((LOOK.0, 2), hint(2), HookId(2));
        looks.failed(look, one, &invalid(), now);
        let numbers = [now, now + RETRY_MOST].map(|at| {
            let far = at + RETRY_MOST;
            looks.next_due(&HashSet::new(), far).unwrap().0.1
        });
        assert_eq!(numbers, [2, 1]);
    }

    #[test]
    fn a_cursor_waits_for_what_a_sweep_found_and_not_for_what_deliveries_tell_without_end() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.tell(LOOK, hint(1), HookId(1));
        assert!(
            !looks.is_open(LOOK.0),
            "the delivery is in the store until its look is done"
        );
        looks.want(LOOK);
        assert!(looks.is_open(LOOK.0));
        let (look, one) = looks.next_due(&HashSet::new(), now).unwrap();
        looks.tell(LOOK, hint(2), HookId(2));
        looks.done(look, &one);
        assert!(!looks.is_open(LOOK.0));
    }

    #[test]
    fn a_forge_that_is_away_for_hours_parks_nothing() {
        let mut looks = Looks::default();
        looks.tell(LOOK, hint(1), HookId(1));
        let mut waited = Duration::ZERO;
        while let Failed::Again(wait) = fail(&mut looks, &retry(None)) {
            waited += wait;
        }
        let hours = waited.as_secs() / 3600;
        assert!((12..48).contains(&hours), "{hours}");
    }

    #[test]
    fn the_wait_grows_and_is_at_least_what_the_forge_asks_for_but_no_longer_than_five_minutes() {
        let mut looks = Looks::default();
        looks.want(LOOK);
        let mut waits = Vec::new();
        for asked in [None, None, Some(60), Some(1), Some(4000)] {
            match fail(&mut looks, &retry(asked)) {
                Failed::Again(wait) => waits.push(wait.as_secs()),
                Failed::Parked(_) => unreachable!(),
            }
        }
        assert_eq!(waits, [2, 4, 60, 16, 300]);
    }

    #[test]
    fn of_what_deliveries_say_the_newest_are_kept_and_every_delivery_is_settled() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        for id in 1..=60 {
            looks.tell(LOOK, hint(id), HookId(id));
        }
        let (look, one) = looks.next_due(&HashSet::new(), now).unwrap();
        assert_eq!(one.hints.len(), HINTS);
        // What comes while it is under way is newer.
        looks.tell(look, hint(61), HookId(61));
        looks.failed(look, one, &invalid(), now);
        let (_, one) = looks.next_due(&HashSet::new(), now + RETRY_MOST).unwrap();
        let ids = one
            .hints
            .iter()
            .filter_map(|(hint, _)| hint.comment.as_ref());
        let ids: Vec<i64> = ids.map(|(id, _)| id.0).collect();
        assert_eq!(ids, (12..=61).collect::<Vec<_>>());
        assert_eq!(one.hooks.len(), 61);
    }

    #[test]
    fn what_waits_for_a_delivery_begins_with_it_and_not_before() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        let after = Duration::from_secs(10);
        assert_eq!(looks.expect(LOOK, Waiting::default(), after, now), after);
        assert!(looks.next_due(&HashSet::new(), now).is_none());
        assert_eq!(looks.next_at(now), Some(now + after));
        looks.tell(LOOK, hint(1), HookId(1));
        let (look, one) = looks.next_due(&HashSet::new(), now).unwrap();
        // One that came meanwhile may be it.
        looks.tell(look, hint(2), HookId(2));
        looks.expect(look, one, after, now);
        assert!(looks.next_due(&HashSet::from([LOOK.0]), now).is_none());
        assert!(looks.next_due(&HashSet::new(), now).is_some());
    }

    #[test]
    fn what_may_still_come_is_asked_for_less_and_less_often_but_not_earlier_than_it_may_come() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.want(LOOK);
        let far = now + 2 * RETRY_MOST;
        let waits = [1, 1, 1, 20, 1, 1, 1, 90, 1].map(|after| {
            let (look, one) = looks.next_due(&HashSet::new(), far).unwrap();
            let after = Duration::from_secs(after);
            looks.expect(look, one, after, now).as_secs()
        });
        assert_eq!(waits, [1, 2, 4, 20, 16, 30, 30, 90, 30]);
    }
}
