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
        // The jobs of a forge that was not seen yet wait for that, and when it is seen its repositories are. So this one
        // is gone, archived or not ours to serve any more: nobody can be heard there, and no time waits for it.
        let Some(looker) = self.of(&task.issue.forge) else {
            return Ok(());
        };
        let Some(served) = looker.served_as(id) else {
            return Ok(());
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::brief::{self, Survey};
    use crate::domain::ident::{TaskId, Time};
    use crate::domain::settings::Settings;
    use crate::domain::task::{AgentSpec, IssueRef, NewTask};

    #[tokio::test]
    async fn on_a_forge_that_is_not_served_any_more_nobody_is_to_be_heard() {
        let new = NewTask {
            issue: IssueRef {
                forge: "gone".to_owned(),
                repository: "a/b".to_owned(),
                repository_id: Some(1),
                number: 3,
                source: String::new(),
                out: None,
                publish: None,
            },
            requester: "dana".to_owned(),
            requester_address: None,
            brief: brief::parse("# A title", 1_000).unwrap(),
            survey: Survey::default(),
            settings: Settings::default(),
            base: "a".repeat(40).parse().unwrap(),
            base_branch: None,
            agent: AgentSpec::Command { argv: Vec::new() },
            accepted_at: Time(0),
            branch: None,
            unaccepted: false,
            unshown: false,
        };
        let task = new.proposed(TaskId(1), "agent/x".to_owned(), Time(0));
        AllEyes::default().look(&task).await.unwrap();
    }
}
