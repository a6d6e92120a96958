//! `serve`: deliveries in, looks out, and a worker beside them, until somebody stops it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connect::Access;
use super::connected::Connected;
use super::eyes::AllEyes;
use super::opening::{Opening, Unreached};
use super::referee::Referee;
use super::served::Forges;
use super::{App, AppError, Said, local};
use crate::config::{ForgeKind, ForgeSettings};
use crate::domain::owners::Dialect;
use crate::domain::report;
use crate::forge::{self, Account, hook};
use crate::web::{self, Door, Limits, LinkKey, Site};
use crate::worker::{Room, Worker, WorkerError};

/// How long lookers and the referee may take to end after the worker did; each has a shorter limit of its own.
const END_WITHIN: Duration = Duration::from_secs(10);

impl App {
    /// Serves the configured forges until `stop`.
    ///
    /// # Errors
    /// [`AppError::Config`] without a forge, [`AppError::Host`] without sandbox, data folder or address.
    pub async fn serve(
        &self,
        stop: &CancellationToken,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<(), AppError> {
        if self.server.forges.is_empty() {
            return Err(AppError::NotFound(Said::new(
                "no forge is configured",
                "add a [[forge]] to the server file",
            )));
        }
        let lock = self.lock_or_fail("prentice serve")?;
        let facts = self.probe().await?;
        say(&format!(
            "sandbox: {} launcher, {}, limits by {}",
            facts.launcher,
            facts.method.name(),
            facts.limits.name()
        ));
        let mut machine = self.machine();
        let mut connected = BTreeMap::new();
        let mut doors = Vec::new();
        for forge in &self.server.forges {
            let Access {
                service,
                secret,
                signer,
            } = self.connect(forge, &mut machine.env)?;
            let hears = secret.is_some();
            doors.push(Door {
                name: forge.name.clone(),
                kind: kind_of(forge),
                secret,
            });
            let (dialect, templates) = match forge.kind {
                ForgeKind::GitHub => (Dialect::Globs, report::GITHUB_FOLDERS),
                ForgeKind::Gitea => (Dialect::Expressions, report::GITEA_FOLDERS),
            };
            let service = match forge.shadow {
                true => forge::shadow(service, self.data.join("tasks")),
                false => service,
            };
            let one = Connected {
                service,
                us: OnceLock::new(),
                hears,
                is_shadow: forge.shadow,
                noreply: noreply(forge),
                signer,
                dialect,
                templates,
            };
            connected.insert(forge.name.clone(), one);
        }
        let ceilings = (self.server.clone(), self.server_origins.clone());
        let forges = Arc::new(Forges::new(machine, connected, ceilings));
        let worker = self.worker_in(lock, forges.clone());
        self.store.recover(worker.lock()).await?;
        self.remove_left().await?;

        let wake = Arc::new(Notify::new());
        let is_mending = Arc::new(AtomicBool::new(false));
        let unreached = Unreached::default();
        let eyes = Arc::new(AllEyes::default());
        worker.look_by(eyes.clone());
        let mut woken = Vec::new();
        let mut seeing = JoinSet::new();
        for (at, forge) in self.server.forges.iter().enumerate() {
            let wake = Arc::new(Notify::new());
            woken.push(Arc::clone(&wake));
            let mut opening = Opening {
                store: Arc::clone(&self.store),
                clock: Arc::clone(&self.clock),
                forges: Arc::clone(&forges),
                settings: forge.clone(),
                kind: kind_of(forge),
                wake,
                unreached: unreached.clone(),
                eyes: Arc::clone(&eyes),
                looker: None,
            };
            // What is seen now counts from now on, so nobody is told that the server is there before.
            seeing.spawn(async move {
                let seen = opening.see().await;
                (at, opening, seen)
            });
        }
        let mut looking = Vec::new();
        let stopped = loop {
            tokio::select! {
                () = stop.cancelled() => break true,
                seen = seeing.join_next() => match seen {
                    Some(Ok(seen)) => looking.push(seen),
                    Some(Err(why)) => return Err(AppError::Internal(Said::plain(why.to_string()))),
                    None => break false,
                },
            }
        };
        if stopped {
            return Ok(());
        }
        looking.sort_by_key(|(at, ..)| *at);
        for (_, opening, seen) in &looking {
            match seen {
                Ok(us) => say(&reached(&opening.settings, us)),
                Err(why) => {
                    say(&format!("{}: not reached: {why}", opening.settings.name));
                    opening.is_unreached(why);
                }
            }
        }
        let address = self.server.listen.clone();
        let listener = tokio::net::TcpListener::bind(&address)
            .await
            .map_err(|why| {
                AppError::Host(Said::new(
                    format!("cannot listen on {address}: {why}"),
                    "name another address in `[server] listen`",
                ))
            })?;
        if let Ok(address) = listener.local_addr() {
            say(&format!("listening on {address}"));
        }
        let grace = Duration::from_secs(self.server.shutdown_grace_secs);
        let site = self.site(doors, self.link_key()?, &wake, (&is_mending, unreached));
        let web = tokio::spawn(web::serve(listener, site, stop.clone(), grace));
        let mut lookers = JoinSet::new();
        for (_, opening, _) in looking {
            let stop = stop.clone();
            lookers.spawn(async move { opening.work(&stop).await });
        }
        let referee = Referee {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            forges: Arc::clone(&forges),
            told: self.told.clone(),
        };
        lookers.spawn(referee.work(stop.clone()));
        // A delivery wakes everybody: which forge it is of is in the store.
        let (stopped, waking) = (stop.clone(), Arc::clone(&wake));
        lookers.spawn(async move {
            loop {
                tokio::select! {
                    () = stopped.cancelled() => return,
                    () = waking.notified() => woken.iter().for_each(|one| one.notify_one()),
                }
            }
        });
        let room = Room {
            slots: usize::try_from(self.server.workers.slots).unwrap_or(usize::MAX),
            per_repo: usize::try_from(self.server.workers.per_repo).unwrap_or(usize::MAX),
            grace,
        };
        let mend = |why: Option<&str>| {
            is_mending.store(why.is_some(), Ordering::SeqCst);
            match why {
                Some(why) => tracing::error!(why, "the host cannot go on; tried again in 30 s"),
                None => tracing::info!("the host goes on"),
            }
        };
        let working = async {
            let worked = worker.serve(room, stop, &mend).await;
            stop.cancel();
            worked
        };
        let (worked, ()) = tokio::join!(working, self.keep_up(&forges, stop));
        let ended = async { while lookers.join_next().await.is_some() {} };
        if tokio::time::timeout(END_WITHIN, ended).await.is_err() {
            tracing::warn!("looks were cut short; the next start looks again");
            lookers.shutdown().await;
        }
        if let Ok(cut @ 1..) = web.await {
            tracing::warn!(cut, "connections were cut");
        }
        worked.map_err(|error| match error {
            WorkerError::Host(why) => AppError::Host(Said::plain(why)),
            WorkerError::Store(error) => error.into(),
        })
    }

    /// What is answered over HTTP.
    fn site(
        &self,
        doors: Vec<Door>,
        link_key: LinkKey,
        wake: &Arc<Notify>,
        (is_mending, unreached): (&Arc<AtomicBool>, Unreached),
    ) -> Site {
        let is_mending = Arc::clone(is_mending);
        let forges = self.server.forges.len();
        let alive = move || {
            if is_mending.load(Ordering::SeqCst) {
                return Err("the host cannot go on; the log says why".to_owned());
            }
            let away = unreached.names();
            match away.join(", ").as_str() {
                "" => Ok("ready".to_owned()),
                names if away.len() == forges => {
                    Err(format!("not reached: {names}; the log says why"))
                }
                names => Ok(format!("ready; not reached: {names}; the log says why")),
            }
        };
        Site {
            doors,
            store: Arc::clone(&self.store),
            wake: Arc::clone(wake),
            alive: Arc::new(alive),
            metrics: self.server.metrics,
            clock: Arc::clone(&self.clock),
            link_key: Some(link_key),
            is_secure: self.server.public_url.starts_with("https:"),
            limits: Limits::default(),
        }
    }
}

/// Where GitHub has the addresses that stand for accounts; elsewhere the forge shows one itself.
fn noreply(forge: &ForgeSettings) -> Option<String> {
    if forge.kind != ForgeKind::GitHub {
        return None;
    }
    let (_, rest) = forge
        .base_url
        .split_once("://")
        .unwrap_or(("", "github.com"));
    let host = rest.split(['/', ':']).next().unwrap_or(rest);
    Some(format!("users.noreply.{host}"))
}

fn kind_of(forge: &ForgeSettings) -> hook::Kind {
    match forge.kind {
        ForgeKind::GitHub => hook::Kind::GitHub,
        ForgeKind::Gitea => hook::Kind::Gitea,
    }
}

/// Told at the start of a forge that answers.
fn reached(forge: &ForgeSettings, us: &Account) -> String {
    format!(
        "{}: {} as {}{}",
        forge.name,
        match forge.base_url.as_str() {
            "" => "the public service",
            url => url,
        },
        us.login,
        match forge.shadow {
            true => ", as a shadow: nothing is written there; `prentice tasks` has the results",
            false => "",
        }
    )
}

impl App {
    pub(super) fn machine(&self) -> local::Machine {
        local::Machine {
            env: self.env.clone(),
            data: self.data.clone(),
            store: Arc::clone(&self.store),
            sandbox: Arc::clone(&self.sandbox),
            steps: Arc::clone(&self.steps),
            extra_toolchains: self.server.sandbox.toolchains.clone(),
            ci_exposure: self.server.policy.ci_exposure,
            told: self.told.clone(),
        }
    }

    fn worker_in(&self, lock: Arc<crate::store::DataLock>, forges: Arc<Forges>) -> Arc<Worker> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Worker::new(store, lock, clock, forges, self.patience())
    }
}
