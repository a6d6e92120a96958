//! What there is at one forge: its repositories, and everything that changed in them. Reads, and hands on numbers; what
//! follows from them is the looker's.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use tokio::sync::mpsc;

use super::looker::Looker;
use crate::domain::decide::{Decision, decide};
use crate::domain::event::Event;
use crate::domain::ident::Time;
use crate::domain::policy::Right;
use crate::domain::task::Task;
use crate::forge::{self, Repository, Service, is_named};
use crate::intake::{Served, Trouble};
use crate::store::{Arrival, TaskFilter};

/// How far behind its cursor a sweep reads: the forge's clock is not ours.
const OVERLAP_SECS: u64 = 300;

/// What a sweep hands on.
pub(super) enum Found {
    /// It has begun, and the forge answers.
    Begun,
    /// Everything that is to be looked at in a repository.
    Changed {
        repository: i64,
        /// When it was read: once all is looked at, everything before was.
        begun: Time,
        /// Looks that failed earlier.
        owed: Vec<(i64, Time)>,
        numbers: Vec<i64>,
    },
}

impl Looker {
    /// Everything that changed since the last sweep, and everything that was left undone. `swept`: when the last sweep
    /// of a repository began whose looks are not all done. A dropped sweep loses nothing: cursors move only past what
    /// was handed on and looked at.
    pub(super) async fn sweep(
        &self,
        finds: &mpsc::Sender<Found>,
        swept: &BTreeMap<i64, Time>,
    ) -> Result<(), Trouble> {
        let listed = self.refresh().await;
        if listed.is_ok() {
            // Nobody hears it where the looker ended; so does this task then.
            let _ = finds.send(Found::Begun).await;
            let served: Vec<Served> = {
                let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
                served.values().cloned().collect()
            };
            for one in served {
                match self.sweep_one(&one, swept.get(&one.key.id).copied()).await {
                    Ok(found) => drop(finds.send(found).await),
                    // Its cursor stays; the others are not to wait for it.
                    Err(why) => {
                        let repository = &one.repository.name;
                        tracing::warn!(forge = self.name, repository, %why, "what changed in a repository was not read; the next sweep does");
                    }
                }
            }
        }
        let since = self.clock.now().minus_secs(3600);
        let sent = self.intake.service().redeliver(since).await;
        listed?;
        sent?;
        Ok(())
    }

    async fn sweep_one(&self, one: &Served, swept: Option<Time>) -> Result<Found, Trouble> {
        let begun = self.clock.now();
        let owed = self.store.owed_looks(&one.key).await?;
        let mut numbers = self.store.unsettled(&one.key).await?;
        let since = since(one.read.looked_until, swept);
        let conversation = self.intake.service().conversation(&one.repository);
        let changed = conversation.changed(since).await?;
        numbers.extend(changed.iter().map(|one| one.number));
        Ok(Found::Changed {
            repository: one.key.id,
            begun,
            owed,
            numbers,
        })
    }

    /// Reads which repositories there are, and how they are called now.
    pub(super) async fn refresh(&self) -> Result<(), Trouble> {
        let _one = self.one_list.lock().await;
        let service: &dyn Service = self.intake.service().as_ref();
        let mut found: BTreeMap<i64, Repository> = BTreeMap::new();
        for repository in service.repositories(&self.allowed).await? {
            found.insert(repository.id, repository);
        }
        let live = TaskFilter {
            live: true,
            repository: None,
        };
        let live = self.store.tasks(&live).await?;
        let live: Vec<Task> = live.into_iter().map(|record| record.task).collect();
        let of_ours = |task: &&Task| task.issue.forge == self.name;
        let named: BTreeMap<i64, &str> = live
            .iter()
            .filter(of_ours)
            .filter_map(|task| Some((task.issue.repository_id?, task.issue.repository.as_str())))
            .collect();
        for (id, name) in named {
            if !found.contains_key(&id) && is_named(&self.allowed, name) {
                found.extend(self.follow(id, name).await?.map(|now| (id, now)));
            }
        }
        for task in live.iter().filter(of_ours) {
            self.tell_if_lost(task, &found).await?;
        }
        let mut served = BTreeMap::new();
        for repository in found.into_values() {
            let key = self.key(repository.id);
            let read = self.store.see_repository(&key, &repository.name).await?;
            self.forges.keep(&self.name, &repository);
            if !repository.archived {
                served.insert(
                    repository.id,
                    Served {
                        key,
                        repository,
                        read,
                    },
                );
            }
        }
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = served;
        Ok(())
    }

    /// The repository of tasks, by its id: it may be called otherwise by now. `None` = out of reach.
    async fn follow(&self, id: i64, name: &str) -> Result<Option<Repository>, Trouble> {
        let known = self.forges.at(&self.name, id);
        let known = known.map_or_else(|| by_id(id, name), |(_, known)| known);
        let conversation = self.intake.service().conversation(&known);
        match conversation.repository().await {
            Ok(repository) => Ok(Some(repository)),
            Err(forge::Error::Gone { .. } | forge::Error::NotPermitted { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A task of a repository in which nothing can be written any more stops, and says why.
    async fn tell_if_lost(
        &self,
        task: &Task,
        found: &BTreeMap<i64, Repository>,
    ) -> Result<(), Trouble> {
        let name = &task.issue.repository;
        let repository = task.issue.repository_id.and_then(|id| found.get(&id));
        let why = match repository {
            None if !is_named(&self.allowed, name) => format!(
                "{name} is not served any more; name it in `[[forge]] repos` of the server file, then retry"
            ),
            None => format!(
                "{name} cannot be reached any more: it was deleted, or our account lost its right; give it write there, then retry"
            ),
            Some(Repository {
                name,
                archived: true,
                ..
            }) => format!(
                "{name} is archived, so nothing can be written there; unarchive it, then retry"
            ),
            Some(Repository {
                name,
                ours: Some(right),
                ..
            }) if *right < Right::Write => format!(
                "our account has only {} access to {name}; give it write there, then retry",
                right.word()
            ),
            Some(_) => return Ok(()),
        };
        let event = Box::new(Event::OutOfReach { why });
        // Whom it does not matter to would be told again by every sweep.
        if let Decision::Stale = decide(task, &event, self.clock.now()) {
            return Ok(());
        }
        let arrival = Arrival::Event {
            task: task.id,
            event,
        };
        self.store.deliver(arrival, None).await?;
        Ok(())
    }
}

/// From when on a repository is read: everything before is looked at, or handed on by a sweep that began later than that
/// and is not forgotten. From the cursor, each sweep of a long backlog would hand all of it on once more.
fn since(cursor: Time, swept: Option<Time>) -> Time {
    let read = swept.map_or(cursor, |swept| swept.max(cursor));
    read.minus_secs(OVERLAP_SECS)
}

/// A repository of which only this is known; its adapter finds it by the id.
fn by_id(id: i64, name: &str) -> Repository {
    Repository {
        id,
        name: name.to_owned(),
        default_branch: String::new(),
        private: true,
        archived: false,
        personal: false,
        clone_url: String::new(),
        page: String::new(),
        ours: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_hands_on_no_more_what_an_earlier_one_did_whose_looks_are_not_all_done() {
        let cursor = Time(1_000_000_000);
        let overlap = Time(OVERLAP_SECS.cast_signed() * 1000);
        let before = |at: Time| Time(at.0 - overlap.0);
        assert_eq!(since(cursor, None), before(cursor));
        let later = cursor.plus_secs(600);
        assert_eq!(since(cursor, Some(later)), before(later));
        // Its looks are done meanwhile, and the cursor went on.
        assert_eq!(since(later, Some(cursor)), before(later));
    }
}
