//! From what people do on a forge to events.
//!
//! [`Intake::look`] reads one issue or pull request anew and takes up every act that was not consumed: labels,
//! assignments, comments, reviews, what became of the pull request. Deliveries, polling and the sweep only say where
//! to look, so all three come to the same end. Invariants:
//!
//! - An act is consumed once, whoever tells of it; one whose consumption was cut short is taken up again, and every
//!   step of it finds what the earlier try did. What was decided then is not judged again, by what it changed itself.
//! - Acts are taken in the order of time, of whatever kind they are.
//! - The right of whoever acted is looked up for that act.
//! - Nothing here moves a task: events go into the inbox, and `decide` answers.

mod comments;
mod heads;
mod issues;
mod order;
mod pulls;
mod referee;
mod start;
mod words;

pub(crate) use referee::{Verdict, show_verdict};
pub(crate) use start::BY_OURS;
pub(crate) use words::{Reader, issue_text};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::act;
use crate::domain::event::Event;
use crate::domain::ident::{CommitId, RepoPath, TaskId, Time};
use crate::domain::policy::{Actor, ActorKind, Right, Rules, SelfApproval};
use crate::domain::report::Voice;
use crate::domain::settings::Settings;
use crate::domain::task::{AgentSpec, Task};
use crate::forge::hook::Hint;
use crate::forge::{self, Account, Conversation, Did, Entry, Forge, Repository, Service, Thread};
use crate::store::{
    ActKey, ActKind, Arrival, Clock, InputId, Outcome, Read, RepositoryKey, Store, StoreError,
};

/// Where intake gets what only the composition root can give.
#[async_trait]
pub trait Desk: Send + Sync {
    /// What governs a repository at the head of its default branch, as it is now.
    async fn ground(&self, repository: &Repository) -> Result<Ground, GroundError>;

    /// Who edits, by the profile that the settings name; `None` where the server has none.
    fn agent(&self, settings: &Settings) -> Option<AgentSpec>;

    /// Whether a repository has a branch of this name.
    async fn has_branch(&self, repository: &Repository, name: &str) -> Result<bool, forge::Error>;

    /// The address under which the forge knows an account's commits, where it has one.
    fn address(&self, account: &Account) -> Option<String>;

    /// Where a task of this repository is shown.
    fn forge(&self, task: &Task) -> Arc<dyn Forge>;
}

/// What governs a repository now.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Head of the branch that work starts from.
    pub base: CommitId,
    /// That branch.
    pub branch: String,
    /// Its repository file, resolved and clamped.
    pub settings: Settings,
    /// All paths of the commit.
    pub files: Arc<Vec<RepoPath>>,
}

/// Why it is not known what governs a repository.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// Its file has mistakes; all of them, as text.
    #[error("{0}")]
    Broken(String),
    /// Its file can be read, and work cannot start from the branch that it names; why, as text.
    #[error("{why}")]
    NoBase {
        /// What the file says otherwise.
        settings: Box<Settings>,
        /// The key and the branch.
        why: String,
    },
    /// The forge or the network.
    #[error(transparent)]
    Forge(#[from] forge::Error),
    /// This machine.
    #[error("{0}")]
    Host(String),
}

/// Why a look came to no end. It is done again.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The forge.
    #[error(transparent)]
    Forge(#[from] forge::Error),
    /// The record.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This machine.
    #[error("{0}")]
    Host(String),
    /// What an act is judged by is still under way: the delivery that is the only proof of a stranger's words, or the
    /// end of a run that was stopped. No trouble at all.
    #[error(
        "what an act on #{number} is judged by may still come; it is looked at again in {after:?}"
    )]
    NotYet {
        /// The issue.
        number: i64,
        /// When it is looked at again at the latest.
        after: Duration,
    },
    /// Nobody decided what was delivered in time.
    #[error("what {0} asks for was stored and not decided within 30 s; it is looked at again")]
    Undecided(String),
}

impl Trouble {
    /// Seconds that the forge asked to wait.
    #[must_use]
    pub fn after_secs(&self) -> Option<u64> {
        match self {
            Self::Forge(forge::Error::Retry { after_secs, .. }) => *after_secs,
            _ => None,
        }
    }
}

/// A repository that is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// By what it is remembered.
    pub key: RepositoryKey,
    /// As it was when last read.
    pub repository: Repository,
    /// How far it was read.
    pub read: Read,
}

/// Turns acts on one forge into events.
pub struct Intake {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    service: Arc<dyn Service>,
    desk: Arc<dyn Desk>,
    us: Account,
    hears: bool,
    /// Held while a repository is looked at: who looks judges by what the one before him did.
    looking: Mutex<HashMap<i64, Arc<tokio::sync::Mutex<()>>>>,
}

/// How long after it was not there an issue is asked for again.
const GONE_AFTER: Duration = Duration::from_secs(2);

/// Age from which an act that was taken up and that no look finds any more is given up: its author took it back.
const GONE_AFTER_SECS: u64 = 60 * 60;

/// How long a decision is waited for.
const DECIDED_WITHIN: Duration = Duration::from_secs(30);

/// Most proposals that strangers cause in a repository in an hour.
const PROPOSALS_AN_HOUR: u64 = 5;

/// One issue or pull request under a look.
struct Scene<'a> {
    served: &'a Served,
    conversation: Arc<dyn Conversation>,
    thread: Thread,
    /// The mistakes where the repository file has some: they are told where somebody asks for something.
    ground: Result<Ground, String>,
    /// Those of the repository file; where it cannot be read those of the task at work here, else the built-in ones.
    settings: Settings,
    /// Whether the repository file could be read.
    is_read: bool,
    /// Whether somebody's file says who may do what, not only what is built in.
    is_governed: bool,
    /// What signed deliveries said, and when they arrived.
    hints: &'a [(Hint, Time)],
}

impl Intake {
    /// Over these ports; `us` is the account that writes, `hears` whether deliveries of this forge can come.
    #[must_use]
    pub fn new(
        (store, clock): (Arc<dyn Store>, Arc<dyn Clock>),
        service: Arc<dyn Service>,
        desk: Arc<dyn Desk>,
        us: Account,
        hears: bool,
    ) -> Self {
        Self {
            store,
            clock,
            service,
            desk,
            us,
            hears,
            looking: Mutex::default(),
        }
    }

    /// The forge.
    #[must_use]
    pub fn service(&self) -> &Arc<dyn Service> {
        &self.service
    }

    /// Looks at one issue or pull request, and consumes what was not consumed.
    ///
    /// # Errors
    /// [`Trouble`]; what was consumed until then stays consumed, the rest is taken up by the next look.
    pub async fn look(
        &self,
        served: &Served,
        number: i64,
        hints: &[(Hint, Time)],
    ) -> Result<(), Trouble> {
        let turn = {
            let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(looking.entry(served.key.id).or_default())
        };
        let _turn = turn.lock().await;
        let conversation = self.service.conversation(&served.repository);
        let thread = match conversation.thread(number).await {
            Ok(thread) => thread,
            // Believed when the repository answers and the issue, a moment later, still does not: one such answer
            // may be a slip of the forge, and would stop the task.
            Err(forge::Error::Gone { .. }) => {
                conversation.repository().await?;
                tokio::time::sleep(GONE_AFTER).await;
                match conversation.thread(number).await {
                    Ok(thread) => thread,
                    Err(forge::Error::Gone { .. }) => return self.gone(served, number).await,
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        let (ground, settings) = match self.desk.ground(&served.repository).await {
            Ok(ground) => {
                let settings = ground.settings.clone();
                (Ok(ground), Some(settings))
            }
            Err(GroundError::Broken(mistakes)) => (Err(mistakes), None),
            // People are heard by the words that the file gives them.
            Err(GroundError::NoBase { settings, why }) => (Err(why), Some(*settings)),
            Err(GroundError::Forge(error)) => return Err(error.into()),
            Err(GroundError::Host(why)) => return Err(Trouble::Host(why)),
        };
        let mut scene = Scene {
            served,
            conversation,
            thread,
            is_read: settings.is_some(),
            is_governed: settings.is_some(),
            settings: settings.unwrap_or_default(),
            ground,
            hints,
        };
        // A file that somebody broke neither widens who may move a task nor takes people their words away.
        if !scene.is_read
            && let Some(task) = self.task_here(&scene).await?
            && !task.is_final()
        {
            scene.settings = task.settings;
            scene.is_governed = true;
        }
        if scene.thread.is_pull {
            self.pull(&scene).await?;
        } else {
            self.issue(&scene).await?;
        }
        // What asks for nothing by the built-in names may ask by those of a file that is mended.
        if !scene.is_read {
            return Ok(());
        }
        let before = self.clock.now().minus_secs(GONE_AFTER_SECS);
        let key = &served.key;
        Ok(self.store.settle_gone(key, number, before).await?)
    }

    /// The task of the issue that is not final.
    async fn live(&self, scene: &Scene<'_>) -> Result<Option<Task>, Trouble> {
        let key = &scene.served.key;
        let newest = self.store.tasks_of(key, scene.thread.number).await?;
        let newest = newest.into_iter().next().map(|record| record.task);
        Ok(newest.filter(|task| !task.is_final()))
    }

    /// Stores what happened to a task, and waits until it is decided. Why it changed nothing, where it did not.
    async fn happened(
        &self,
        task: TaskId,
        event: Event,
        dedup_key: Option<String>,
    ) -> Result<Option<String>, Trouble> {
        let event = Box::new(event);
        let arrival = Arrival::Event { task, event };
        let input = self.store.deliver(arrival, dedup_key).await?.input;
        match self.decided(input, &task.to_string()).await? {
            Outcome::Ignored { reason } => Ok(Some(reason)),
            Outcome::Done { .. } | Outcome::Waiting => Ok(None),
        }
    }

    /// What was decided of what an act asks for, where an earlier look came so far.
    async fn decided_before(
        &self,
        scene: &Scene<'_>,
        key: &ActKey,
    ) -> Result<Option<Outcome>, Trouble> {
        let input = match scene.dedup_key(key) {
            Some(key) => self.store.input_of(&key).await?,
            None => None,
        };
        match input {
            Some(input) => self.decided(input, &scene.thread.page).await.map(Some),
            None => Ok(None),
        }
    }

    /// Waits until an input is decided.
    async fn decided(&self, input: InputId, what: &str) -> Result<Outcome, Trouble> {
        let mut changes = self.store.changes();
        let wait = async {
            loop {
                changes.borrow_and_update();
                match self.store.outcome(input).await? {
                    Some(Outcome::Waiting) | None => {}
                    Some(outcome) => return Ok(outcome),
                }
                if changes.changed().await.is_err() {
                    return Err(Trouble::Store(StoreError::Closed));
                }
            }
        };
        tokio::time::timeout(DECIDED_WITHIN, wait)
            .await
            .unwrap_or_else(|_| Err(Trouble::Undecided(what.to_owned())))
    }

    /// Who acted, with the right that the forge tells now.
    async fn actor(&self, scene: &Scene<'_>, account: &Account) -> Result<Actor, Trouble> {
        Ok(actor(scene.conversation.as_ref(), account).await?)
    }

    /// Who may do what to a task, where it may be approved: whether its requester is alone is asked of the forge.
    async fn rules_now(&self, scene: &Scene<'_>, task: Option<&Task>) -> Result<Rules, Trouble> {
        Ok(match task {
            None => scene.rules(),
            Some(task) => scene.rules_of(task, self.others_may_approve(scene, task).await?),
        })
    }

    /// Whether somebody besides the requester may approve a task. Where the forge does not tell, somebody may.
    async fn others_may_approve(&self, scene: &Scene<'_>, task: &Task) -> Result<bool, Trouble> {
        let review = &task.settings.review;
        let is_asked = review.requester_may_approve == SelfApproval::Auto;
        if !is_asked || review.approve_min < Right::Write {
            return Ok(true);
        }
        let writers = match scene.conversation.writers().await {
            Ok(Some(writers)) => writers,
            Ok(None) => return Ok(true),
            Err(error @ (forge::Error::Retry { .. } | forge::Error::Auth { .. })) => {
                return Err(error.into());
            }
            Err(_) => return Ok(true),
        };
        let programs = &task.settings.trigger.ignore_users;
        Ok(writers.iter().any(|one| {
            let is = |login: &String| one.login.eq_ignore_ascii_case(login);
            let is_program = one.kind == ActorKind::Bot || programs.iter().any(is);
            !is_program && one.id != self.us.id && !is(&task.requester)
        }))
    }

    fn is_us(&self, account: Option<&Account>) -> bool {
        account.is_some_and(|account| account.id == self.us.id)
    }
}

async fn actor(conversation: &dyn Conversation, account: &Account) -> Result<Actor, forge::Error> {
    let right = match account.kind {
        // What it may do decides nothing.
        ActorKind::Bot => None,
        ActorKind::Person | ActorKind::Unknown => conversation.right(&account.login).await?,
    };
    Ok(Actor {
        login: account.login.clone(),
        id: Some(account.id),
        kind: account.kind,
        right,
    })
}

impl Scene<'_> {
    /// Who may start a task.
    fn rules(&self) -> Rules {
        match self.is_governed {
            true => Rules::of(&self.settings, None, true),
            false => Rules::default(),
        }
    }

    /// Who may do what to this task. `others`: somebody else could approve it.
    fn rules_of(&self, task: &Task, others: bool) -> Rules {
        let requester = Actor {
            login: task.requester.clone(),
            id: None,
            kind: ActorKind::Unknown,
            right: None,
        };
        Rules::of(&task.settings, Some(requester), others)
    }

    fn act(&self, kind: ActKind, act: i64) -> ActKey {
        ActKey {
            repository: self.served.key.clone(),
            kind,
            act,
        }
    }

    /// The key under which what an act asks for goes into the inbox.
    fn dedup_key(&self, key: &ActKey) -> Option<String> {
        let RepositoryKey { forge, id } = &key.repository;
        Some(format!("{forge}/{id}/{}/{}", key.kind.word(), key.act))
    }

    /// How people are addressed here.
    fn voice(&self) -> Voice {
        Voice::forge(self.settings.trigger.prefix.clone())
    }

    /// Forges tell whole seconds, so what is of the second of the first look is not old.
    fn is_old(&self, at: Time) -> bool {
        at.plus_secs(1) <= self.served.read.first_seen
    }
}

/// What only shows something to people is best effort: who blocked our account, or removed what would be answered, must
/// not keep what he and everybody after him did from counting.
fn shown<T>(tried: Result<T, forge::Error>) -> Result<(), forge::Error> {
    match tried {
        Ok(_) => Ok(()),
        Err(
            why @ (forge::Error::Gone { .. }
            | forge::Error::NotPermitted { .. }
            | forge::Error::Invalid { .. }),
        ) => {
            tracing::info!(%why, "an answer could not be shown");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Who did an entry, for records.
fn login(account: Option<&Account>) -> &str {
    account.map_or("", |account| account.login.as_str())
}

/// Whether an entry is about our own assignment or the trigger label, and how it asks.
fn asks(entry: &Entry, label: &str, us: &str) -> Option<(act::Path, bool)> {
    match &entry.what {
        Did::Labelled(name) if name == label => Some((act::Path::Label, true)),
        Did::Unlabelled(name) if name == label => Some((act::Path::Label, false)),
        Did::Assigned(name) if name.eq_ignore_ascii_case(us) => Some((act::Path::Assignment, true)),
        Did::Unassigned(name) if name.eq_ignore_ascii_case(us) => {
            Some((act::Path::Assignment, false))
        }
        _ => None,
    }
}
