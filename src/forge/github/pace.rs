//! How fast one installation may be asked: GitHub's own limits with room to spare, and its word where it gave one.
//!
//! Nothing sleeps here. Who comes too early is told how long to wait, so that a job gives its slot back meanwhile.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Writes a minute; GitHub allows 80 that make content.
const WRITES_A_MINUTE: usize = 64;

/// Writes an hour; GitHub allows 500 that make content.
const WRITES_AN_HOUR: usize = 400;

/// Points a minute, 1 for a reading and 5 for a write; GitHub allows 900.
const POINTS_A_MINUTE: u32 = 800;

/// Wait after a limit that did not say how long.
const UNSAID_SECS: u64 = 60;

/// Longest wait that is made longer by repetition.
const UNSAID_MAX_SECS: u64 = 960;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The pace of one installation, or of one token.
#[derive(Debug, Default)]
pub(super) struct Pace {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Moments of the writes of the last hour, oldest first.
    writes: VecDeque<Instant>,
    /// Requests of the last minute with their points, oldest first.
    points: VecDeque<(Instant, u32)>,
    /// GitHub asked for silence until then; who goes on may be shut out.
    closed_until: Option<Instant>,
    /// Limits in a row that did not say how long.
    strikes: u32,
}

impl Pace {
    /// Counts a request that begins now, or gives the seconds to wait first.
    pub(super) fn ask(&self, now: Instant, write: bool) -> Result<(), u64> {
        let mut state = self.state();
        if let Some(until) = state.closed_until
            && until > now
        {
            return Err(seconds(until - now));
        }
        let older = |moment: Instant, span: Duration| now.saturating_duration_since(moment) >= span;
        while state.writes.front().is_some_and(|at| older(*at, HOUR)) {
            state.writes.pop_front();
        }
        while state
            .points
            .front()
            .is_some_and(|(at, _)| older(*at, MINUTE))
        {
            state.points.pop_front();
        }
        let cost = if write { 5 } else { 1 };
        let spent: u32 = state.points.iter().map(|(_, points)| points).sum();
        if spent + cost > POINTS_A_MINUTE
            && let Some((oldest, _)) = state.points.front()
        {
            return Err(left(now, *oldest, MINUTE));
        }
        if write {
            // The write that has to grow old before the next one may begin.
            for (most, span) in [(WRITES_A_MINUTE, MINUTE), (WRITES_AN_HOUR, HOUR)] {
                let nth = state.writes.len().checked_sub(most);
                if let Some(at) = nth.and_then(|nth| state.writes.get(nth))
                    && !older(*at, span)
                {
                    return Err(left(now, *at, span));
                }
            }
            state.writes.push_back(now);
        }
        state.points.push_back((now, cost));
        Ok(())
    }

    /// GitHub refused by a limit and said `after` seconds, or nothing. Gives the seconds to wait.
    pub(super) fn limited(&self, now: Instant, after: Option<u64>) -> u64 {
        let mut state = self.state();
        let wait = after.unwrap_or_else(|| {
            let doubled = UNSAID_SECS << state.strikes.min(4);
            state.strikes += 1;
            doubled.min(UNSAID_MAX_SECS)
        });
        let wait = wait.max(1);
        let until = now.checked_add(Duration::from_secs(wait));
        state.closed_until = state.closed_until.max(until);
        wait
    }

    /// An answer came that was no limit.
    pub(super) fn answered(&self) {
        self.state().strikes = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn left(now: Instant, from: Instant, span: Duration) -> u64 {
    seconds(span.saturating_sub(now.saturating_duration_since(from)))
}

/// Whole seconds, rounded up: too early is worse than too late.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, secs: u64) -> Instant {
        start + Duration::from_secs(secs)
    }

    #[test]
    fn the_65th_write_of_a_minute_waits_until_the_first_is_a_minute_old() {
        let (pace, start) = (Pace::default(), Instant::now());
        for second in 0..64 {
            // Two in the same second at the start, so that the edge is not a multiple of anything.
            assert_eq!(pace.ask(at(start, second / 2), true), Ok(()));
        }
        assert_eq!(pace.ask(at(start, 40), true), Err(20));
        assert_eq!(pace.ask(at(start, 40), false), Ok(()));
        assert_eq!(pace.ask(at(start, 60), true), Ok(()));
    }

    #[test]
    fn the_401st_write_of_an_hour_waits_until_the_first_is_an_hour_old() {
        let (pace, start) = (Pace::default(), Instant::now());
        for n in 0..400 {
            assert_eq!(pace.ask(at(start, n * 5), true), Ok(()), "{n}");
        }
        assert_eq!(pace.ask(at(start, 2000), true), Err(1600));
        assert_eq!(pace.ask(at(start, 3600), true), Ok(()));
    }

    #[test]
    fn readings_keep_below_the_points_of_a_minute() {
        let (pace, start) = (Pace::default(), Instant::now());
        for _ in 0..800 {
            assert_eq!(pace.ask(start, false), Ok(()));
        }
        assert_eq!(pace.ask(at(start, 59), false), Err(1));
        assert_eq!(pace.ask(at(start, 60), false), Ok(()));
    }

    #[test]
    fn after_a_limit_nothing_is_sent_until_the_time_it_named() {
        let (pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.limited(start, Some(30)), 30);
        assert_eq!(pace.ask(at(start, 10), false), Err(20));
        assert_eq!(pace.ask(at(start, 30), false), Ok(()));
    }

    #[test]
    fn a_limit_without_a_time_waits_a_minute_and_longer_each_time() {
        let (pace, start) = (Pace::default(), Instant::now());
        let waits: Vec<u64> = (0..6).map(|_| pace.limited(start, None)).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 960]);
        pace.answered();
        assert_eq!(pace.limited(start, None), 60);
    }
}
