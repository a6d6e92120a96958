//! Looks that are under way, one for each repository.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::{Id, JoinSet};

use super::looks::{Look, Waiting};
use crate::intake::Trouble;

/// Most looks at once.
const LOOKS: usize = 8;

/// What is known of each stays here, so that one that panics is not forgotten.
#[derive(Default)]
pub(super) struct UnderWay {
    tasks: JoinSet<Result<(), Trouble>>,
    looks: HashMap<Id, (Look, Waiting)>,
    busy: HashSet<i64>,
}

impl UnderWay {
    /// Whether no more may begin.
    pub(super) fn is_full(&self) -> bool {
        self.tasks.len() >= LOOKS
    }

    /// Repositories that have one.
    pub(super) fn busy(&self) -> &HashSet<i64> {
        &self.busy
    }

    /// Whether one at this repository is under way of which nothing else knows.
    pub(super) fn is_open(&self, repository: i64) -> bool {
        let mut looks = self.looks.values();
        looks.any(|((of, _), one)| *of == repository && one.is_only_here())
    }

    /// Begins one.
    pub(super) fn begin(
        &mut self,
        (look, one): (Look, Waiting),
        work: impl Future<Output = Result<(), Trouble>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(work);
        self.busy.insert(look.0);
        self.looks.insert(task.id(), (look, one));
    }

    /// The next one that ends, and how; `None` where none is under way. Loses nothing when it is dropped.
    pub(super) async fn next(&mut self) -> Option<(Look, Waiting, Result<(), Trouble>)> {
        loop {
            let (task, done) = match self.tasks.join_next_with_id().await? {
                Ok(ended) => ended,
                Err(why) => {
                    let what = format!("a look ended in a panic: {why}");
                    (why.id(), Err(Trouble::Host(what)))
                }
            };
            if let Some((look, one)) = self.looks.remove(&task) {
                self.busy.remove(&look.0);
                return Some((look, one, done));
            }
        }
    }

    /// What is under way may come to its end for so long, so that what it writes is written once; then it is cut
    /// short. What it told is looked at again by the next start.
    pub(super) async fn end(mut self, within: Duration) {
        let ended = async { while self.next().await.is_some() {} };
        if tokio::time::timeout(within, ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_look_that_panics_is_told_with_what_it_was_about() {
        let mut under_way = UnderWay::default();
        under_way.begin(((7, 3), Waiting::default()), async { panic!("no") });
        assert!(under_way.busy().contains(&7));
        let (look, _, done) = under_way.next().await.unwrap();
        assert_eq!(look, (7, 3));
        assert!(matches!(done, Err(Trouble::Host(_))), "{done:?}");
        assert!(under_way.busy().is_empty());
        assert!(under_way.next().await.is_none());
    }

    #[tokio::test]
    async fn what_never_ends_is_cut_short_in_time() {
        let mut under_way = UnderWay::default();
        under_way.begin(((7, 3), Waiting::default()), std::future::pending());
        let started = Instant::now();
        under_way.end(Duration::from_millis(50)).await;
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
