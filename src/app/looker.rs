//! Looks at one forge: where deliveries say so, and at everything that changed, now and then.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::looks::{Failed, Look, Looks, Waiting};
use super::served::Forges;
use super::sweeper::Found;
use super::under_way::UnderWay;
use crate::domain::ident::Time;
use crate::forge::hook::{self, Hint, Read, Subject};
use crate::intake::{Intake, Served, Trouble};
use crate::store::{Clock, HookId, RepositoryKey, Store, StoredHook};

/// Most deliveries read in one go.
const HOOKS: u32 = 200;

/// Wait before the repositories are listed again, or deliveries read, where that failed.
const AGAIN: Duration = Duration::from_secs(30);

/// Wait before a look at what may be listed by then.
const SOON: Duration = Duration::from_secs(1);

/// How long looks that are under way may go on after the stop: far below what `deploy/prentice.service` gives the whole
/// end, `TimeoutStopSec`.
const END_WITHIN: Duration = Duration::from_secs(5);

/// One forge under observation. Dropped, it loses nothing: what was not settled is read again, and what failed is owed
/// in the store.
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
    /// One list of the repositories at a time, so that none is replaced by an older one.
    pub(super) one_list: tokio::sync::Mutex<()>,
}

/// What became of a delivery that says nothing about one issue.
const READ_AGAIN: &str = "the repositories are read again";

/// What became of one about a branch.
const MOVED: &str = "what governs the repository is read again";

/// What became of one whose look failed each time.
const PARKED: &str = "its look failed each time; the next sweep tries it again";

/// What became of one about a repository that we reach no more, or that is archived.
const UNSERVED: &str = "its repository is not served any more";

/// What is to be done next.
struct Plan {
    looks: Looks,
    /// Deliveries up to here are read, though not all are settled.
    read: HookId,
    /// Those are read that an earlier process left. Nothing is looked at before: they may be the proof of words that
    /// were said so long ago that none is waited for.
    is_caught_up: bool,
    /// When the sweep of a repository began whose looks are not all done.
    swept: BTreeMap<i64, Time>,
    /// Repositories whose looks were dropped since the last sweep began: what it read counts on them.
    dropped: HashSet<i64>,
    /// When everything that changed is read again; `None` while it is.
    sweep_at: Option<Instant>,
    /// When the repositories are listed anew, where a delivery says that they are others now.
    list_at: Option<Instant>,
    is_listing: bool,
}

impl Plan {
    /// When a repository that is not served may be by then; `None` where the list is as new as can be.
    fn listed_at(&self) -> Option<Instant> {
        self.list_at.or_else(|| self.is_listing.then(Instant::now))
    }
}

impl Looker {
    /// Until `stop`; then for at most [`END_WITHIN`]. Neither a sweep nor a list of the repositories holds up what
    /// deliveries tell: each is a task of its own.
    pub(super) async fn work(self: Arc<Self>, stop: &CancellationToken) {
        let mut plan = Plan {
            looks: Looks::default(),
            read: HookId(0),
            is_caught_up: false,
            swept: BTreeMap::new(),
            dropped: HashSet::new(),
            sweep_at: Some(Instant::now()),
            list_at: None,
            is_listing: false,
        };
        let mut under_way = UnderWay::default();
        let (mut sweeping, mut listing) = (JoinSet::new(), JoinSet::new());
        let (finds, mut found) = mpsc::channel(1);
        while !stop.is_cancelled() {
            let now = Instant::now();
            if plan.sweep_at.is_some_and(|at| at <= now) {
                plan.sweep_at = None;
                plan.dropped.clear();
                let (looker, finds) = (Arc::clone(&self), finds.clone());
                let swept = plan.swept.clone();
                sweeping.spawn(async move { looker.sweep(&finds, &swept).await });
            }
            let hooks_at = match self.take_hooks(&mut plan).await {
                Ok(true) => Some(now),
                Ok(false) => {
                    plan.is_caught_up = true;
                    None
                }
                Err(why) => {
                    tracing::error!(forge = self.name, %why, "deliveries were not read; they are again");
                    Some(now + AGAIN)
                }
            };
            if !plan.is_listing && plan.list_at.is_some_and(|at| at <= now) {
                (plan.list_at, plan.is_listing) = (None, true);
                let looker = Arc::clone(&self);
                listing.spawn(async move { looker.refresh().await });
            }
            for (repository, hooks) in self.start(&mut plan, &mut under_way) {
                // Its cursor stays, so that everything is found once it is served again.
                plan.swept.remove(&repository);
                plan.dropped.insert(repository);
                self.settle(hooks, Some(UNSERVED)).await;
            }
            self.looked(&mut plan, &under_way).await;
            // What is due already waits for another look to end, which wakes by itself.
            let next = plan.looks.next_at(Instant::now());
            let list_at = plan.list_at.filter(|_| !plan.is_listing);
            let until = [next, list_at, plan.sweep_at, hooks_at]
                .into_iter()
                .flatten()
                .fold(Instant::now() + self.every, Ord::min);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                Some((look, one, done)) = under_way.next() => {
                    self.ended(look, one, done, &mut plan.looks).await;
                }
                Some(one) = found.recv() => plan.take(one),
                Some(done) = sweeping.join_next() => {
                    plan.sweep_at = Some(Instant::now() + self.every);
                    if let Some(why) = trouble(done) {
                        tracing::warn!(forge = self.name, %why, "the sweep came to no end; it is done again");
                    }
                }
                Some(done) = listing.join_next() => {
                    plan.is_listing = false;
                    if let Some(why) = trouble(done) {
                        tracing::warn!(forge = self.name, %why, "the repositories were not listed; they are again");
                        plan.list_at.get_or_insert_with(|| Instant::now() + AGAIN);
                    }
                }
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
        // What they had to read is read by the next start: no cursor was moved past it.
        sweeping.abort_all();
        listing.abort_all();
        under_way.end(END_WITHIN).await;
    }

    /// Starts the looks that are due, one for each repository. Gives what is not looked at since its repository is
    /// served no more, with the deliveries that said to.
    fn start(&self, plan: &mut Plan, under_way: &mut UnderWay) -> Vec<(i64, Vec<HookId>)> {
        let now = Instant::now();
        let mut left = Vec::new();
        while plan.is_caught_up && !under_way.is_full() {
            let Some((look, one)) = plan.looks.next_due(under_way.busy(), now) else {
                break;
            };
            let Some(mut served) = self.served_as(look.0) else {
                match plan.listed_at() {
                    // It may be among those that are to be listed.
                    Some(at) => plan.looks.put_off(look, one, at.max(now + SOON)),
                    None => left.push((look.0, one.hooks)),
                }
                continue;
            };
            if let Some(since) = one.owed {
                let until = &mut served.read.looked_until;
                *until = since.min(*until);
            }
            let (intake, hints) = (Arc::clone(&self.intake), one.hints.clone());
            under_way.begin((look, one), async move {
                intake.look(&served, look.1, &hints).await
            });
        }
        left
    }

    pub(super) fn served_as(&self, repository: i64) -> Option<Served> {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.get(&repository).cloned()
    }

    async fn ended(
        &self,
        look: Look,
        mut one: Waiting,
        done: Result<(), Trouble>,
        looks: &mut Looks,
    ) {
        let number = look.1;
        let why = match done {
            Ok(()) => {
                if looks.done(look, &one) {
                    let paid = self.store.pay_look(&self.key(look.0), number).await;
                    if let Err(why) = paid {
                        tracing::error!(forge = self.name, number, %why, "a look was not noted as done; it is done again");
                    }
                }
                return self.settle(one.hooks, None).await;
            }
            Err(Trouble::NotYet { number, after }) => {
                let wait = looks.expect(look, one, after, Instant::now());
                tracing::debug!(
                    forge = self.name,
                    number,
                    ?wait,
                    "what it is judged by may still come"
                );
                return;
            }
            Err(why) => why,
        };
        self.owe(look, &mut one).await;
        match looks.failed(look, one, &why, Instant::now()) {
            Failed::Again(wait) => {
                tracing::warn!(forge = self.name, number, %why, ?wait, "a look came to no end");
            }
            Failed::Parked(hooks) => {
                let repository = look.0;
                tracing::error!(forge = self.name, repository, number, %why, "a look failed each time; what changed there is heard once it does not, and every sweep tries again");
                self.settle(hooks, Some(PARKED)).await;
            }
        }
    }

    /// Has the store remember a look that failed: other looks, the cursor and a restart go on without it.
    async fn owe(&self, look: Look, one: &mut Waiting) {
        let (repository, number) = look;
        let read = self.served_as(repository);
        // Where it is not served at this moment, from its first sight on.
        let read = read.map_or(Time(0), |served| served.read.looked_until);
        let since = one.owed.map_or(read, |owed| owed.min(read));
        let key = self.key(repository);
        match self.store.owe_look(&key, number, since).await {
            Ok(()) => one.owed = Some(since),
            Err(why) => {
                tracing::error!(forge = self.name, number, %why, "a look that failed was not noted; nothing goes on past it");
                one.owed = None;
            }
        }
    }

    pub(super) fn key(&self, id: i64) -> RepositoryKey {
        RepositoryKey {
            forge: self.name.clone(),
            id,
        }
    }

    /// Reads deliveries that were stored, at most [`HOOKS`], and notes where they say to look. Whether there may be
    /// more: those wait for the next turn, so that a burst of them delays neither looks nor the stop.
    async fn take_hooks(&self, plan: &mut Plan) -> Result<bool, Trouble> {
        let found = self.store.next_hooks(&self.name, plan.read, HOOKS).await?;
        let (mut ignored, mut last) = (Vec::new(), None);
        for StoredHook { id, hook, at } in found {
            let reason = match hook::parse(self.kind, &hook.event, &hook.body) {
                Read::Ignored(reason) => Some(reason),
                Read::Reach => {
                    plan.list_at.get_or_insert_with(Instant::now);
                    Some(READ_AGAIN.to_owned())
                }
                Read::Look(hint) => self.note((*hint, at), id, plan).err(),
            };
            if let Some(reason) = reason {
                ignored.push((id, Some(reason)));
            }
            last = Some(id);
        }
        plan.read = last.unwrap_or(plan.read);
        self.settle_all(ignored).await;
        Ok(last.is_some())
    }

    /// All for the same reason.
    async fn settle(&self, hooks: Vec<HookId>, reason: Option<&str>) {
        let hooks = hooks.into_iter();
        let all = hooks.map(|hook| (hook, reason.map(str::to_owned)));
        self.settle_all(all.collect()).await;
    }

    async fn settle_all(&self, hooks: Vec<(HookId, Option<String>)>) {
        if let Err(why) = self.store.settle_hooks(hooks).await {
            tracing::error!(forge = self.name, %why, "deliveries were not settled; the next start reads them again");
        }
    }

    /// Where a delivery says to look; why it says nothing. Asks the forge nothing: the deliveries behind it wait.
    fn note(&self, (hint, at): (Hint, Time), hook: HookId, plan: &mut Plan) -> Result<(), String> {
        // One that is to be listed may be told of already.
        if self.served_as(hint.repository).is_none() && plan.listed_at().is_none() {
            return Err(format!("{} is not served", hint.name));
        }
        self.forges.forget_ground(&self.name, hint.repository);
        match hint.subject {
            Subject::Thread(number) => {
                plan.looks.tell((hint.repository, number), (hint, at), hook);
                Ok(())
            }
            Subject::Branch => Err(MOVED.to_owned()),
            Subject::Repository => {
                plan.list_at.get_or_insert_with(Instant::now);
                Err(READ_AGAIN.to_owned())
            }
        }
    }

    /// Moves the cursors of repositories where all is looked at that sweeps found.
    async fn looked(&self, plan: &mut Plan, under_way: &UnderWay) {
        let is_open = |id: &i64| under_way.is_open(*id) || plan.looks.is_open(*id);
        let done: Vec<(i64, Time)> = plan
            .swept
            .iter()
            .filter(|(id, _)| !is_open(id))
            .map(|(id, begun)| (*id, *begun))
            .collect();
        for (id, begun) in done {
            if let Err(why) = self.store.looked(&self.key(id), begun).await {
                tracing::error!(forge = self.name, %why, "a cursor was not moved");
            }
            plan.swept.remove(&id);
        }
    }
}

impl Plan {
    /// What a sweep found.
    fn take(&mut self, found: Found) {
        match found {
            Found::Begun => self.looks.want_parked(),
            Found::Changed {
                repository,
                begun,
                owed,
                numbers,
            } => {
                // It was read from where looks began that are there no more.
                if self.dropped.contains(&repository) {
                    return;
                }
                for (number, since) in owed {
                    self.looks.want_owed((repository, number), since);
                }
                for number in numbers {
                    self.looks.want((repository, number));
                }
                self.swept.insert(repository, begun);
            }
        }
    }
}

/// Why a task of ours did not come to its end.
fn trouble(done: Result<Result<(), Trouble>, JoinError>) -> Option<Trouble> {
    match done {
        Ok(done) => done.err(),
        Err(why) => Some(Trouble::Host(why.to_string())),
    }
}
