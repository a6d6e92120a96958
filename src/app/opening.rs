//! The first sight of each forge. One that is not reached, or that does not know us, holds up no other: it is asked
//! again until it answers, and served from then on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::desk::ForgeDesk;
use super::eyes::AllEyes;
use super::looker::Looker;
use super::served::Forges;
use crate::config::ForgeSettings;
use crate::forge::{Account, hook};
use crate::intake::{Intake, Trouble};
use crate::store::{Clock, Store};

/// How often everything that changed is looked at, beside deliveries.
const SWEEP_EVERY: Duration = Duration::from_secs(180);

/// Wait before a forge that was not reached is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// Forges that were not reached since the start.
#[derive(Clone, Default)]
pub(super) struct Unreached(Arc<Mutex<BTreeMap<String, String>>>);

impl Unreached {
    /// Their names.
    pub(super) fn names(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.keys().cloned().collect()
    }

    /// Whether this is news.
    fn add(&self, forge: &str, why: &str) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(forge.to_owned(), why.to_owned()).as_deref() != Some(why)
    }

    fn remove(&self, forge: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(forge);
    }
}

/// A forge that is to be looked at.
pub(super) struct Opening {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) forges: Arc<Forges>,
    pub(super) settings: ForgeSettings,
    pub(super) kind: hook::Kind,
    pub(super) wake: Arc<Notify>,
    pub(super) unreached: Unreached,
    /// Whom the worker asks to look before a time is up.
    pub(super) eyes: Arc<AllEyes>,
    /// Who looks, once the forge was seen.
    pub(super) looker: Option<Arc<Looker>>,
}

impl Opening {
    /// Sees it for the first time: who we are there, and which repositories there are. Gives the account, or why not.
    pub(super) async fn see(&mut self) -> Result<Account, Trouble> {
        let name = &self.settings.name;
        let connected = self.forges.connected.get(name);
        let connected =
            connected.ok_or_else(|| Trouble::Host(format!("forge {name} is not connected")))?;
        let us = connected.service.whoami().await?;
        let desk = ForgeDesk {
            forges: Arc::clone(&self.forges),
            name: name.clone(),
        };
        let intake = Intake::new(
            (Arc::clone(&self.store), Arc::clone(&self.clock)),
            Arc::clone(&connected.service),
            Arc::new(desk),
            us.clone(),
            connected.hears,
        );
        let poll = Duration::from_secs(self.settings.poll_secs);
        let looker = Looker {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            forges: Arc::clone(&self.forges),
            intake: Arc::new(intake),
            kind: self.kind,
            name: name.clone(),
            allowed: self.settings.repos.clone(),
            every: match poll.is_zero() {
                true => SWEEP_EVERY,
                false => poll,
            },
            wake: Arc::clone(&self.wake),
            served: Mutex::default(),
            one_list: tokio::sync::Mutex::default(),
        };
        looker.refresh().await?;
        let looker = Arc::new(looker);
        self.eyes.add(&looker);
        self.looker = Some(looker);
        // From here on its tasks go on, [`Forges::unreached`].
        let us = connected.us.get_or_init(|| us).clone();
        self.unreached.remove(name);
        Ok(us)
    }

    /// It was not seen: told, unless it was.
    pub(super) fn is_unreached(&self, why: &Trouble) {
        let name = &self.settings.name;
        if self.unreached.add(name, &why.to_string()) {
            tracing::error!(forge = name, %why, "the forge cannot be used, so nothing is heard or shown there; it is asked again, and others go on");
        }
    }

    /// Looks until `stop`, as soon as it was seen.
    pub(super) async fn work(mut self, stop: &CancellationToken) {
        while self.looker.is_none() {
            let again = async {
                tokio::time::sleep(ASK_AGAIN).await;
                self.see().await
            };
            let seen = tokio::select! {
                () = stop.cancelled() => return,
                seen = again => seen,
            };
            let name = &self.settings.name;
            match seen {
                Ok(us) => {
                    tracing::info!(
                        forge = name,
                        account = us.login,
                        "the forge is reached, and served from now on"
                    );
                }
                Err(why) => self.is_unreached(&why),
            }
        }
        if let Some(looker) = self.looker {
            looker.work(stop).await;
        }
    }
}
