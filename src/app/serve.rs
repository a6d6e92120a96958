//! `serve`: deliveries in, looks out, and a worker beside them, until somebody stops it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connect::Access;
use super::connected::Connected;
use super::eyes::AllEyes;
use super::looker::Looker;
use super::referee::Referee;
use super::served::{ForgeDesk, Forges};
use super::{App, AppError, Said, local};
use crate::config::{ForgeKind, ForgeSettings};
use crate::domain::owners::Dialect;
use crate::domain::report;
use crate::forge::{self, hook};
use crate::intake::Intake;
use crate::web::{self, Door, Limits, LinkKey, Site};
use crate::worker::{Room, Worker, WorkerError};

/// How often everything that changed is looked at, beside deliveries.
const SWEEP_EVERY: Duration = Duration::from_secs(180);

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
            let us = service
                .whoami()
                .await
                .map_err(|why| forge_down(forge, &why))?;
            say(&format!(
                "{}: {} as {}{}",
                forge.name,
                match forge.base_url.as_str() {
                    "" => "the public service",
                    url => url,
                },
                us.login,
                match forge.shadow {
                    true =>
                        ", as a shadow: nothing is written there; `prentice tasks` has the results",
                    false => "",
                }
            ));
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
                us,
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
        let mut woken = Vec::new();
        let mut looking = Vec::new();
        let mut eyes = AllEyes::default();
        for forge in &self.server.forges {
            let own = Arc::new(Notify::new());
            let looker = self.looker(forge, &forges, &own)?;
            // What is seen now counts from now on, so nobody is told that the server is there before.
            let seen = looker.refresh().await;
            seen.map_err(|why| {
                AppError::Host(Said::plain(format!("forge {}: {why}", forge.name)))
            })?;
            woken.push(own);
            eyes.add(&looker);
            looking.push(looker);
        }
        worker.look_by(Arc::new(eyes));
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
        let site = self.site(doors, self.link_key()?, &wake, &is_mending);
        let web = tokio::spawn(web::serve(listener, site, stop.clone(), grace));
        let mut lookers = JoinSet::new();
        for looker in looking {
            let stop = stop.clone();
            lookers.spawn(async move { looker.work(&stop).await });
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
        while lookers.join_next().await.is_some() {}
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
        is_mending: &Arc<AtomicBool>,
    ) -> Site {
        let is_mending = Arc::clone(is_mending);
        let alive = move || match is_mending.load(Ordering::SeqCst) {
            true => Err("the host cannot go on; the log says why".to_owned()),
            false => Ok(()),
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

    fn looker(
        &self,
        forge: &ForgeSettings,
        forges: &Arc<Forges>,
        wake: &Arc<Notify>,
    ) -> Result<Looker, AppError> {
        let connected = forges.connected.get(&forge.name).ok_or_else(|| {
            AppError::Internal(Said::plain(format!(
                "forge {} is not connected",
                forge.name
            )))
        })?;
        let desk = ForgeDesk {
            forges: Arc::clone(forges),
            name: forge.name.clone(),
        };
        let intake = Intake::new(
            (Arc::clone(&self.store), Arc::clone(&self.clock)),
            Arc::clone(&connected.service),
            Arc::new(desk),
            connected.us.clone(),
            connected.hears,
        );
        let poll = Duration::from_secs(forge.poll_secs);
        Ok(Looker {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            forges: Arc::clone(forges),
            intake: Arc::new(intake),
            kind: kind_of(forge),
            name: forge.name.clone(),
            allowed: forge.repos.clone(),
            every: match poll.is_zero() {
                true => SWEEP_EVERY,
                false => poll,
            },
            wake: Arc::clone(wake),
            served: Arc::default(),
        })
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

fn forge_down(forge: &ForgeSettings, why: &forge::Error) -> AppError {
    AppError::Host(Said::plain(format!("forge {}: {why}", forge.name)))
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
            told: self.told.clone(),
        }
    }

    fn worker_in(&self, lock: Arc<crate::store::DataLock>, forges: Arc<Forges>) -> Arc<Worker> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Worker::new(store, lock, clock, forges, self.patience())
    }
}
