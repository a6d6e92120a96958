//! Looks at one forge: where deliveries say so, and at everything that changed, now and then.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::looks::{Failed, Look, Looks, Waiting};
use super::served::Forges;
use crate::domain::event::Event;
use crate::domain::ident::Time;
use crate::domain::policy::Right;
use crate::domain::task::{Stage, Task};
use crate::forge::hook::{self, Hint, Read, Subject};
use crate::forge::{self, Repository, Service, is_named};
use crate::intake::{Intake, Served, Trouble};
use crate::store::{
    Arrival, Clock, CommitError, HookId, RepositoryKey, Store, StoredHook, TaskFilter,
};

/// How far behind its cursor a sweep reads: the forge's clock is not ours.
const OVERLAP_SECS: u64 = 300;

/// Most looks at once, one for each repository.
const LOOKS: usize = 8;

/// Most deliveries read in one go.
const HOOKS: u32 = 200;

/// Wait before the repositories are listed again where that failed.
const LIST_AGAIN: Duration = Duration::from_secs(30);

/// One forge under observation. Dropped, it loses nothing but looks that failed for so long that they are parked: what
/// was not settled is read again.
pub(super) struct Looker {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) forges: Arc<Forges>,
    pub(super) intake: Arc<Intake>,
    pub(super) kind: hook::Kind,
    pub(super) name: String,
    pub(super) allowed: Vec<String>,
    pub(super) every: Duration,
    pub(super) wake: Arc<Notify>,
    /// By the forge's id.
    pub(super) served: Arc<Mutex<BTreeMap<i64, Served>>>,
}

/// What became of a delivery that says nothing about one issue.
const READ_AGAIN: &str = "the repositories are read again";

/// What became of one about a branch.
const MOVED: &str = "what governs the repository is read again";

/// What became of one whose look failed each time.
const PARKED: &str = "its look failed each time; the next sweep tries it again";

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

/// What became of one about a repository that we reach no more, or that is archived.
const UNSERVED: &str = "its repository is not served any more";

impl Looker {
    /// Until `stop`.
    pub(super) async fn work(self, stop: &CancellationToken) {
        let mut looks = Looks::default();
        let mut looking: JoinSet<(Look, Waiting, Result<(), Trouble>)> = JoinSet::new();
        let mut busy: HashSet<i64> = HashSet::new();
        // Deliveries up to here are read, though not all are settled.
        let mut read = HookId(0);
        // When the sweep of a repository began whose looks are not all done.
        let mut swept: BTreeMap<i64, Time> = BTreeMap::new();
        let mut sweep_at = Instant::now();
        // When the repositories are listed anew, where a delivery says that they are others now.
        let mut list_at: Option<Instant> = None;
        while !stop.is_cancelled() {
            if sweep_at <= Instant::now() {
                match self.sweep(&mut looks, &mut swept).await {
                    Ok(()) => list_at = None,
                    Err(why) => {
                        tracing::warn!(forge = self.name, %why, "the sweep came to no end; it is done again");
                    }
                }
                sweep_at = Instant::now() + self.every;
            }
            if let Err(why) = self.take_hooks(&mut looks, &mut read, &mut list_at).await {
                tracing::error!(forge = self.name, %why, "deliveries were not read");
            }
            if list_at.is_some_and(|at| at <= Instant::now()) {
                list_at = match self.refresh().await {
                    Ok(()) => None,
                    Err(why) => {
                        tracing::warn!(forge = self.name, %why, "the repositories were not listed; they are again");
                        Some(Instant::now() + LIST_AGAIN)
                    }
                };
            }
            for (repository, hooks) in self.start(&mut looks, &mut looking, &mut busy, list_at) {
                // Its cursor stays, so that everything is found once it is served again.
                swept.remove(&repository);
                for hook in hooks {
                    self.settle(hook, Some(UNSERVED.to_owned())).await;
                }
            }
            self.looked(&looks, &busy, &mut swept).await;
            // What is due already waits for another look to end, which wakes by itself.
            let next = looks.next_at(Instant::now());
            let until = [next, list_at]
                .into_iter()
                .flatten()
                .fold(sweep_at, Ord::min);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                Some(done) = looking.join_next() => match done {
                    Ok((look, one, done)) => {
                        busy.remove(&look.0);
                        self.ended(look, one, done, &mut looks).await;
                    }
                    Err(why) => {
                        tracing::error!(forge = self.name, %why, "a look ended in a panic");
                        busy.clear();
                        read = HookId(0);
                    }
                },
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
        // What is under way stays taken up, and is looked at again by the next start.
        looking.abort_all();
    }

    /// Starts the looks that are due, one for each repository. Gives what is not looked at since its repository is
    /// served no more, with the deliveries that said to.
    fn start(
        &self,
        looks: &mut Looks,
        looking: &mut JoinSet<(Look, Waiting, Result<(), Trouble>)>,
        busy: &mut HashSet<i64>,
        list_at: Option<Instant>,
    ) -> Vec<(i64, Vec<HookId>)> {
        let now = Instant::now();
        let mut left = Vec::new();
        while looking.len() < LOOKS {
            let Some((look, one)) = looks.next_due(busy, now) else {
                break;
            };
            let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(served) = served.get(&look.0).cloned() else {
                match list_at {
                    // It may be among those that are to be listed.
                    Some(at) => looks.put_off(look, one, at.max(now + Duration::from_secs(1))),
                    None => left.push((look.0, one.hooks)),
                }
                continue;
            };
            busy.insert(look.0);
            let intake = Arc::clone(&self.intake);
            looking.spawn(async move {
                let done = intake.look(&served, look.1, &one.hints).await;
                (look, one, done)
            });
        }
        left
    }

    async fn ended(&self, look: Look, one: Waiting, done: Result<(), Trouble>, looks: &mut Looks) {
        match done {
            Ok(()) => {
                for hook in one.hooks {
                    self.settle(hook, None).await;
                }
            }
            Err(Trouble::NotYet { number, after }) => {
                tracing::debug!(forge = self.name, number, ?after, "a proof may still come");
                looks.expect(look, one, Instant::now() + after);
            }
            Err(why) => match looks.failed(look, one, &why, Instant::now()) {
                Failed::Again(wait) => {
                    let number = look.1;
                    tracing::warn!(forge = self.name, number, %why, ?wait, "a look came to no end");
                }
                Failed::Parked(hooks) => {
                    let (repository, number) = look;
                    tracing::error!(forge = self.name, repository, number, %why, "a look failed each time; what changed there may be missed, and the next sweep tries again");
                    for hook in hooks {
                        self.settle(hook, Some(PARKED.to_owned())).await;
                    }
                }
            },
        }
    }

    /// Reads deliveries that were stored, and notes where they say to look.
    async fn take_hooks(
        &self,
        looks: &mut Looks,
        read: &mut HookId,
        list_at: &mut Option<Instant>,
    ) -> Result<(), Trouble> {
        loop {
            let found = self.store.next_hooks(&self.name, *read, HOOKS).await?;
            if found.is_empty() {
                return Ok(());
            }
            for stored in found {
                let StoredHook { id, hook, at } = stored;
                let ignored = match hook::parse(self.kind, &hook.event, &hook.body) {
                    Read::Ignored(reason) => Some(reason),
                    Read::Reach => {
                        list_at.get_or_insert_with(Instant::now);
                        Some(READ_AGAIN.to_owned())
                    }
                    Read::Look(hint) => self.note((*hint, at), id, looks, list_at).err(),
                };
                if let Some(reason) = ignored {
                    self.settle(id, Some(reason)).await;
                }
                *read = id;
            }
        }
    }

    async fn settle(&self, hook: HookId, reason: Option<String>) {
        match self.store.settle_hook(hook, reason).await {
            Ok(()) | Err(CommitError::Decided) => {}
            Err(why) => tracing::error!(%why, "a delivery was not settled"),
        }
    }

    /// Where a delivery says to look; why it says nothing. Asks the forge nothing: the deliveries behind it wait.
    fn note(
        &self,
        (hint, at): (Hint, Time),
        hook: HookId,
        looks: &mut Looks,
        list_at: &mut Option<Instant>,
    ) -> Result<(), String> {
        let is_served = {
            let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            served.contains_key(&hint.repository)
        };
        // One that is to be listed may be told of already.
        if !is_served && list_at.is_none() {
            return Err(format!("{} is not served", hint.name));
        }
        self.forges.forget_ground(&self.name, hint.repository);
        match hint.subject {
            Subject::Thread(number) => {
                looks.tell((hint.repository, number), (hint, at), hook);
                Ok(())
            }
            Subject::Branch => Err(MOVED.to_owned()),
            Subject::Repository => {
                list_at.get_or_insert_with(Instant::now);
                Err(READ_AGAIN.to_owned())
            }
        }
    }

    /// Reads which repositories there are, and how they are called now.
    pub(super) async fn refresh(&self) -> Result<(), Trouble> {
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
            let key = RepositoryKey {
                forge: self.name.clone(),
                id: repository.id,
            };
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
        // Told once; a person's branch is theirs, and of what nobody saw nothing is told.
        if task.unshown || matches!(task.stage, Stage::Failed { .. } | Stage::TakenOver { .. }) {
            return Ok(());
        }
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
        let arrival = Arrival::Event {
            task: task.id,
            event,
        };
        self.store.deliver(arrival, None).await?;
        Ok(())
    }

    /// Everything that changed since the last sweep, and everything that was left undone.
    async fn sweep(
        &self,
        looks: &mut Looks,
        swept: &mut BTreeMap<i64, Time>,
    ) -> Result<(), Trouble> {
        let listed = self.refresh().await;
        if listed.is_ok() {
            let served: Vec<Served> = {
                let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
                served.values().cloned().collect()
            };
            looks.want_parked();
            for one in served {
                let begun = self.clock.now();
                match self.sweep_one(&one, looks).await {
                    Ok(()) => drop(swept.insert(one.key.id, begun)),
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

    async fn sweep_one(&self, one: &Served, looks: &mut Looks) -> Result<(), Trouble> {
        for number in self.store.unsettled(&one.key).await? {
            looks.want((one.key.id, number));
        }
        let since = one.read.looked_until.minus_secs(OVERLAP_SECS);
        let conversation = self.intake.service().conversation(&one.repository);
        for changed in conversation.changed(since).await? {
            looks.want((one.key.id, changed.number));
        }
        Ok(())
    }

    /// Moves the cursors of repositories whose looks are all done.
    async fn looked(&self, looks: &Looks, busy: &HashSet<i64>, swept: &mut BTreeMap<i64, Time>) {
        let is_open = |id: &i64| busy.contains(id) || looks.is_open(*id);
        let done: Vec<(i64, Time)> = swept
            .iter()
            .filter(|(id, _)| !is_open(id))
            .map(|(id, begun)| (*id, *begun))
            .collect();
        for (id, begun) in done {
            let forge = self.name.clone();
            let key = RepositoryKey { forge, id };
            if let Err(why) = self.store.looked(&key, begun).await {
                tracing::error!(forge = self.name, %why, "a cursor was not moved");
            }
            swept.remove(&id);
        }
    }
}
