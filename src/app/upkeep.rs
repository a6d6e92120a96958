//! What is kept for speed, and how much of it: checkouts, mirrors, layers that a kill left.

use std::path::Path;
use std::sync::Arc;

use super::local::{mirror, repository_key};
use super::{App, AppError, Repository};
use crate::domain::ident::TaskId;
use crate::domain::task::{Outstanding, Task};
use crate::git;
use crate::store::{ArtifactKind, Filter, TaskFilter};
use crate::worker::Worker;

/// Checkouts of one repository: bytes and count.
const CHECKOUTS: (u64, usize) = (20 << 30, 40);
/// All mirrors and their checkouts.
const REPOSITORIES: u64 = 60 << 30;

impl App {
    /// The first thing under the lock: removes and hands back what a killed process left, and decides what arrived.
    pub(super) async fn take_over(&self, worker: &Arc<Worker>) -> Result<(), AppError> {
        self.store.recover(worker.lock()).await?;
        self.store.prune_artifacts().await?;
        let nothing = Filter {
            tasks: Some(Vec::new()),
            kinds: None,
        };
        worker.settle(&nothing).await?;
        let mut running = Vec::new();
        for record in self.store.tasks(&TaskFilter::default()).await? {
            if let Some(Outstanding::Run(_)) = record.task.outstanding() {
                running.push(record.task.id.to_string());
            }
        }
        let (native, work) = (Arc::clone(&self.native), self.data.join("work"));
        let removed = tokio::task::spawn_blocking(move || {
            native.reclaim();
            // A run that goes on clears its own layers; those of `verify` are not under the lock.
            let tasks = std::fs::read_dir(work).into_iter().flatten().flatten();
            tasks
                .filter(|entry| {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    name.parse::<TaskId>().is_ok() && !running.contains(&name)
                })
                .try_for_each(|entry| crate::sandbox::remove(&entry.path()))
        });
        if let Ok(Err(why)) = removed.await {
            tracing::warn!(%why, "layers of a killed run could not be removed");
        }
        Ok(())
    }

    /// Tasks with something to do that waits for no person and no time: what a kill interrupted.
    pub(super) async fn unfinished(&self) -> Result<Vec<Task>, AppError> {
        let any = self.store.pending().await?.due > 0;
        let mut found = Vec::new();
        for record in self.store.tasks(&TaskFilter::default()).await? {
            let task = record.task;
            if task.outstanding().is_some() || (any && self.has_due(task.id).await?) {
                found.push(task);
            }
        }
        Ok(found)
    }

    pub(super) async fn has_due(&self, id: TaskId) -> Result<bool, AppError> {
        let due = self.store.next_due(&Filter::task(id)).await?;
        Ok(due.is_some_and(|at| at <= self.clock.now()))
    }

    /// Lets go of what is older than `[retention]` wants: ended tasks with all that is stored of them, logs of no
    /// task, inbox rows.
    async fn forget_tasks(&self) {
        let (now, keep) = (self.clock.now(), &self.server.retention);
        let (ended, settled, read) = (
            now.minus_secs(keep.tasks_secs),
            now.minus_secs(keep.logs_secs),
            now.minus_secs(keep.deliveries_secs),
        );
        let forgotten = match self.store.forget(ended, settled, read).await {
            Ok(forgotten) => forgotten,
            Err(why) => return tracing::warn!(%why, "old tasks could not be removed"),
        };
        let data = self.data.clone();
        let removed = tokio::task::spawn_blocking(move || {
            for task in forgotten {
                let user = git::UserRepo::open(Path::new(&task.issue.repository)).ok();
                if let Some(mirror) = user.and_then(|user| mirror(&data, &user).ok()) {
                    // What another removed already is gone.
                    let _ = task
                        .ours
                        .iter()
                        .try_for_each(|commit| mirror.forget(commit));
                }
                // A folder of the user's choice stays theirs.
                crate::sandbox::remove(&data.join("tasks").join(task.id.to_string()))?;
            }
            Ok::<_, std::io::Error>(())
        });
        if let Ok(Err(why)) = removed.await {
            tracing::warn!(%why, "the reports of old tasks could not be removed");
        }
    }

    /// Lets go of patches and logs whose time is over: `[task] keep` after the end, at most `[retention] logs`.
    async fn forget_old(&self) {
        self.forget_tasks().await;
        let all = TaskFilter::default();
        let now = self.clock.now();
        for record in self.store.tasks(&all).await.unwrap_or_default() {
            let keep = record
                .task
                .settings
                .task
                .keep_secs
                .min(self.server.retention.logs_secs);
            let over = record
                .finished_at
                .is_some_and(|at| at.plus_secs(keep) <= now);
            if !over {
                continue;
            }
            let kinds = [
                ArtifactKind::Patch,
                ArtifactKind::Transcript,
                ArtifactKind::Log,
            ];
            if let Err(why) = self.store.drop_artifacts(record.task.id, &kinds).await {
                tracing::warn!(task = %record.task.id, %why, "old logs could not be removed");
            }
        }
    }

    /// Removes what is beyond its time and the caps, least recently used first. Never what is in use.
    pub(super) async fn prune(&self, repository: &Repository) {
        self.forget_old().await;
        let live = TaskFilter {
            live: true,
            repository: None,
        };
        let Ok(records) = self.store.tasks(&live).await else {
            return;
        };
        let (mirror, repos) = (repository.mirror.clone(), self.data.join("repos"));
        let pruned = tokio::task::spawn_blocking(move || {
            let wanted: Vec<String> = records
                .iter()
                .filter_map(|record| repository_key(Path::new(&record.task.issue.repository)))
                .collect();
            mirror.prune_checkouts(CHECKOUTS.0, CHECKOUTS.1)?;
            git::prune_repos(&repos, REPOSITORIES, &|key| {
                wanted.iter().any(|wanted| wanted == key)
            })
        });
        match pruned.await {
            Ok(Ok(removed)) if !removed.is_empty() => {
                tracing::info!(?removed, "mirrors beyond the cap were removed");
            }
            Ok(Err(why)) => tracing::warn!(%why, "the cache could not be pruned"),
            Ok(Ok(_)) | Err(_) => {}
        }
    }
}
