//! How long a job is surely ours.
//!
//! The store's clock may be set; so the end of a lease is counted here as well, by the monotonic
//! clock of this process, from before the store was asked. After it nothing is done any more, and
//! nothing that others see begins when little of it is left.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::perform::Trouble;
use super::{Claim, Halt, LeaseError, Worker};

/// The end of one claim's lease.
pub(super) struct Lease(Mutex<Instant>);

impl Lease {
    pub(super) fn new(until: Instant) -> Self {
        Self(Mutex::new(until))
    }

    fn until(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> Duration {
        self.until().saturating_duration_since(Instant::now())
    }

    async fn renew(&self, worker: &Worker, claim: &Claim) -> Result<(), LeaseError> {
        let asked = Instant::now();
        let ttl = worker.patience.lost_after;
        worker.store.heartbeat(claim, ttl).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = asked + ttl;
        Ok(())
    }
}

impl Worker {
    /// Asked before anything that others see: with less than half of the lease left, it is renewed first.
    pub(super) async fn hold(&self, claim: &Claim, lease: &Lease) -> Result<(), Trouble> {
        if lease.left() >= self.patience.lost_after / 2 {
            return Ok(());
        }
        match lease.renew(self, claim).await {
            Ok(()) => Ok(()),
            Err(LeaseError::Lost) => Err(Trouble::Lost),
            Err(LeaseError::Store(error)) => Err(error.into()),
        }
    }

    /// Renews the lease until it is lost or over; then the run is halted and given time to kill its sandbox.
    pub(super) async fn keep_alive(
        &self,
        claim: &Claim,
        lease: &Lease,
        halt: &watch::Sender<Option<Halt>>,
    ) {
        loop {
            tokio::time::sleep(self.patience.heartbeat).await;
            match tokio::time::timeout(lease.left(), lease.renew(self, claim)).await {
                Ok(Ok(())) => {}
                // Busy or full: nobody else can have it before its end.
                Ok(Err(LeaseError::Store(error))) => {
                    tracing::warn!(%error, "a heartbeat was not stored");
                }
                Ok(Err(LeaseError::Lost)) | Err(_) => break,
            }
        }
        halt.send_replace(Some(Halt::Lost));
        tokio::time::sleep(self.patience.heartbeat).await;
    }
}
