//! Looking at the issue and the pull request of one task when a time is up, beside the looks that deliveries and
//! sweeps ask for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::looker::Looker;
use crate::domain::task::Task;
use crate::forge;
use crate::intake::{Intake, Served, Trouble};
use crate::worker::Eyes;

/// All forges that are served.
#[derive(Default)]
pub(super) struct AllEyes(BTreeMap<String, One>);

/// One forge: who judges what people did there, and the repositories by their id.
struct One {
    intake: Arc<Intake>,
    served: Arc<Mutex<BTreeMap<i64, Served>>>,
}

impl AllEyes {
    /// Looks at the forge of this one too.
    pub(super) fn add(&mut self, looker: &Looker) {
        let one = One {
            intake: Arc::clone(&looker.intake),
            served: Arc::clone(&looker.served),
        };
        self.0.insert(looker.name.clone(), one);
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
        let one = self.0.get(&task.issue.forge).ok_or_else(unserved)?;
        let served = {
            let served = one.served.lock().unwrap_or_else(PoisonError::into_inner);
            served.get(&id).cloned().ok_or_else(unserved)?
        };
        let pull = task.pull.as_ref().map(|pull| pull.number);
        for number in [Some(task.issue.number), pull].into_iter().flatten() {
            // What a delivery proves is nothing that a time waits for.
            one.intake
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
