//! Looking at the issue and the pull request of one task when a time is up, beside the looks that deliveries and
//! sweeps ask for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::looker::Looker;
use crate::domain::task::Task;
use crate::forge;
use crate::intake::Trouble;
use crate::worker::Eyes;

/// All forges that were seen since the start.
#[derive(Default)]
pub(super) struct AllEyes(Mutex<BTreeMap<String, Arc<Looker>>>);

impl AllEyes {
    /// Looks at the forge of this one too.
    pub(super) fn add(&self, looker: &Arc<Looker>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(looker.name.clone(), Arc::clone(looker));
    }

    fn of(&self, forge: &str) -> Option<Arc<Looker>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(forge).cloned()
    }
}

#[async_trait]
impl Eyes for AllEyes {
    async fn look(&self, task: &Task) -> Result<(), forge::Error> {
        // Nobody does anything on the forge of a local task.
        let Some(id) = task.issue.repository_id else {
            return Ok(());
        };
        let unserved = || forge::Error::Gone {
            what: format!("{} of {}", task.issue.repository, task.issue.forge),
        };
        // The jobs of a forge that was not seen yet wait for that, so there is none but of forges that are gone.
        let looker = self.of(&task.issue.forge).ok_or_else(unserved)?;
        let served = looker.served_as(id).ok_or_else(unserved)?;
        let pull = task.pull.as_ref().map(|pull| pull.number);
        for number in [Some(task.issue.number), pull].into_iter().flatten() {
            // What a delivery proves is nothing that a time waits for.
            looker
                .intake
                .look(&served, number, &[])
                .await
                .map_err(unheard)?;
        }
        Ok(())
    }
}

fn unheard(trouble: Trouble) -> forge::Error {
    let after_secs = match &trouble {
        Trouble::Forge(_) | Trouble::Store(_) | Trouble::Host(_) | Trouble::Undecided(_) => None,
        Trouble::NotYet { after, .. } => Some(after.as_secs() + 1),
    };
    match trouble {
        Trouble::Forge(error) => error,
        other => forge::Error::Retry {
            after_secs,
            why: other.to_string(),
        },
    }
}
