//! Looks at one forge: where deliveries say so, and at everything that changed, now and then.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::served::Forges;
use crate::domain::event::Event;
use crate::domain::ident::Time;
use crate::domain::policy::Right;
use crate::domain::task::{Stage, Task};
use crate::forge::hook::{self, Hint, Read, Subject};
use crate::forge::{self, Repository, Service};
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

/// Longest wait before a look that failed is done again.
const RETRY_MOST: Duration = Duration::from_secs(300);

/// One forge under observation. Dropped, it loses nothing: what was not settled is read again.
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
    pub(super) served: Mutex<BTreeMap<i64, Served>>,
}

/// What became of a delivery that says nothing about one issue.
const READ_AGAIN: &str = "the repositories were read again";

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

/// A look that is to be done.
#[derive(Default)]
struct Waiting {
    hints: Vec<(Hint, Time)>,
    hooks: Vec<HookId>,
    not_before: Option<Instant>,
    /// What it waits for is a delivery: the next one ends the wait.
    expects: bool,
    tries: u32,
}

type Look = (i64, i64);

impl Looker {
    /// Until `stop`.
    pub(super) async fn work(self, stop: &CancellationToken) {
        let mut waiting: BTreeMap<Look, Waiting> = BTreeMap::new();
        let mut looking: JoinSet<(Look, Waiting, Result<(), Trouble>)> = JoinSet::new();
        let mut busy: HashSet<i64> = HashSet::new();
        // Deliveries up to here are read, though not all are settled.
        let mut read = HookId(0);
        // When the sweep of a repository began whose looks are not all done.
        let mut swept: BTreeMap<i64, Time> = BTreeMap::new();
        let mut sweep_at = Instant::now();
        while !stop.is_cancelled() {
            if sweep_at <= Instant::now() {
                if let Err(why) = self.sweep(&mut waiting, &mut swept).await {
                    tracing::warn!(forge = self.name, %why, "the sweep came to no end; it is done again");
                }
                sweep_at = Instant::now() + self.every;
            }
            if let Err(why) = self.take_hooks(&mut waiting, &mut read).await {
                tracing::error!(forge = self.name, %why, "deliveries were not read");
            }
            for (repository, hooks) in self.start(&mut waiting, &mut looking, &mut busy) {
                // Its cursor stays, so that everything is found once it is served again.
                swept.remove(&repository);
                for hook in hooks {
                    self.settle(hook, Some(UNSERVED.to_owned())).await;
                }
            }
            self.looked(&waiting, &busy, &mut swept).await;
            // What is due already waits for another look to end, which wakes by itself.
            let now = Instant::now();
            let later = waiting.values().filter_map(|one| one.not_before);
            let next = later.filter(|at| *at > now).min();
            let until = next.map_or(sweep_at, |next| next.min(sweep_at));
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                Some(done) = looking.join_next() => match done {
                    Ok((look, one, done)) => {
                        busy.remove(&look.0);
                        self.ended(look, one, done, &mut waiting).await;
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
        waiting: &mut BTreeMap<Look, Waiting>,
        looking: &mut JoinSet<(Look, Waiting, Result<(), Trouble>)>,
        busy: &mut HashSet<i64>,
    ) -> Vec<(i64, Vec<HookId>)> {
        let now = Instant::now();
        let mut left = Vec::new();
        while looking.len() < LOOKS {
            let due = waiting.iter().find(|((repository, _), one)| {
                !busy.contains(repository) && one.not_before.is_none_or(|at| at <= now)
            });
            let Some(look) = due.map(|(look, _)| *look) else {
                break;
            };
            let Some(one) = waiting.remove(&look) else {
                break;
            };
            let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(served) = served.get(&look.0).cloned() else {
                left.push((look.0, one.hooks));
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

    async fn ended(
        &self,
        look: Look,
        mut one: Waiting,
        done: Result<(), Trouble>,
        waiting: &mut BTreeMap<Look, Waiting>,
    ) {
        match done {
            Ok(()) => {
                for hook in one.hooks {
                    self.settle(hook, None).await;
                }
            }
            Err(Trouble::NotYet { number, after }) => {
                tracing::debug!(forge = self.name, number, ?after, "a proof may still come");
                let again = waiting.entry(look).or_default();
                // A delivery that came meanwhile may be it.
                let came = !again.hooks.is_empty();
                again.hints.append(&mut one.hints);
                again.hooks.append(&mut one.hooks);
                again.expects = !came;
                again.not_before = (!came).then(|| Instant::now() + after);
            }
            Err(why) => {
                one.tries += 1;
                let own = Duration::from_secs(2_u64.saturating_pow(one.tries.min(8)));
                let wait = why.after_secs().map_or(own, Duration::from_secs).max(own);
                let number = look.1;
                tracing::warn!(forge = self.name, number, %why, ?wait, "a look came to no end");
                one.not_before = Some(Instant::now() + wait.min(RETRY_MOST));
                let again = waiting.entry(look).or_default();
                again.hints.append(&mut one.hints);
                again.hooks.append(&mut one.hooks);
                (again.tries, again.not_before) = (one.tries, one.not_before);
            }
        }
    }

    /// Reads deliveries that were stored, and notes where they say to look.
    async fn take_hooks(
        &self,
        waiting: &mut BTreeMap<Look, Waiting>,
        read: &mut HookId,
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
                        self.refresh().await?;
                        Some(READ_AGAIN.to_owned())
                    }
                    Read::Look(hint) => self.note(*hint, id, at, waiting).await?.err(),
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

    /// Where a delivery says to look; why it says nothing.
    async fn note(
        &self,
        hint: Hint,
        hook: HookId,
        at: Time,
        waiting: &mut BTreeMap<Look, Waiting>,
    ) -> Result<Result<(), String>, Trouble> {
        let is_served = |id: i64| {
            let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            served.contains_key(&id)
        };
        if !is_served(hint.repository) {
            return Ok(Err(format!("{} is not served", hint.name)));
        }
        self.forges.forget_ground(&self.name, hint.repository);
        match hint.subject {
            Subject::Thread(number) => {
                let one = waiting.entry((hint.repository, number)).or_default();
                one.hints.push((hint, at));
                one.hooks.push(hook);
                if std::mem::take(&mut one.expects) {
                    one.not_before = None;
                }
                Ok(Ok(()))
            }
            Subject::Repository => {
                self.refresh().await?;
                Ok(Err(READ_AGAIN.to_owned()))
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
            if !found.contains_key(&id) && self.is_allowed(name) {
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

    /// Whether `[[forge]] repos` names a repository.
    fn is_allowed(&self, name: &str) -> bool {
        self.allowed.iter().any(|one| match one.strip_suffix("/*") {
            Some(owner) => name
                .split_once('/')
                .is_some_and(|(of, _)| of.eq_ignore_ascii_case(owner)),
            None => one.eq_ignore_ascii_case(name),
        })
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
            None if !self.is_allowed(name) => format!(
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
        waiting: &mut BTreeMap<Look, Waiting>,
        swept: &mut BTreeMap<i64, Time>,
    ) -> Result<(), Trouble> {
        self.refresh().await?;
        let served: Vec<Served> = {
            let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            served.values().cloned().collect()
        };
        for one in served {
            let begun = self.clock.now();
            let since = one.read.looked_until.minus_secs(OVERLAP_SECS);
            let conversation = self.intake.service().conversation(&one.repository);
            for changed in conversation.changed(since).await? {
                waiting.entry((one.key.id, changed.number)).or_default();
            }
            for number in self.store.unsettled(&one.key).await? {
                waiting.entry((one.key.id, number)).or_default();
            }
            swept.insert(one.key.id, begun);
        }
        self.intake
            .service()
            .redeliver(self.clock.now().minus_secs(3600))
            .await?;
        Ok(())
    }

    /// Moves the cursors of repositories whose looks are all done.
    async fn looked(
        &self,
        waiting: &BTreeMap<Look, Waiting>,
        busy: &HashSet<i64>,
        swept: &mut BTreeMap<i64, Time>,
    ) {
        let is_open = |id: &i64| busy.contains(id) || waiting.keys().any(|(of, _)| of == id);
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
