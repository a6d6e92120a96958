//! What is kept for speed, and how much of it: checkouts, mirrors, layers that a kill left.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::local::repository_key;
use super::scratch::{Scratch, is_of_referee};
use super::served::{Forges, mirror_folder};
use super::{App, AppError, Repository};
use crate::domain::ident::TaskId;
use crate::domain::task::{Outstanding, Task};
use crate::git::{self, Mirror};
use crate::store::{ArtifactKind, Filter, RepositoryKey, TaskFilter};
use crate::worker::Worker;

/// Checkouts of one repository: bytes and count.
const CHECKOUTS: (u64, usize) = (20 << 30, 40);
/// All mirrors and their checkouts.
const REPOSITORIES: u64 = 60 << 30;

/// A mirror that is neither served nor of a live task goes when nobody used it for so long: what is out of reach for a
/// while is not fetched anew for that.
const IDLE_SECS: u64 = 7 * 24 * 60 * 60;
/// How often a server lets go of what is over.
const EVERY: Duration = Duration::from_secs(60 * 60);

impl App {
    /// The first thing under the lock: removes and hands back what a killed process left, and decides what arrived.
    pub(super) async fn take_over(&self, worker: &Arc<Worker>) -> Result<(), AppError> {
        self.store.recover(worker.lock()).await?;
        let nothing = Filter {
            tasks: Some(Vec::new()),
            kinds: None,
        };
        worker.settle(&nothing).await?;
        self.remove_left().await
    }

    /// Removes what a killed process left: control groups, layers, files that no row names.
    pub(super) async fn remove_left(&self) -> Result<(), AppError> {
        self.store.prune_artifacts().await?;
        let mut running = Vec::new();
        for record in self.store.tasks(&TaskFilter::default()).await? {
            if let Some(Outstanding::Run(_)) = record.task.outstanding() {
                running.push(record.task.id.to_string());
            }
        }
        let (native, work) = (Arc::clone(&self.native), self.data.join("work"));
        let removed = tokio::task::spawn_blocking(move || {
            native.reclaim();
            Scratch::remove_dead(&work)?;
            let left = std::fs::read_dir(work).into_iter().flatten().flatten();
            left.filter(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                // A run that goes on clears its own layers.
                let of_task = name.parse::<TaskId>().is_ok() && !running.contains(&name);
                of_task || is_of_referee(&name)
            })
            .try_for_each(|entry| crate::sandbox::remove(&entry.path()))
        });
        if let Ok(Err(why)) = removed.await {
            tracing::warn!(%why, "layers of a killed run could not be removed");
        }
        Ok(())
    }

    /// Lets go of what is over, now and every hour, until `stop`.
    pub(super) async fn keep_up(&self, forges: &Forges, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.let_go(forges) => {}
            }
            let _ = tokio::time::timeout(EVERY, stop.cancelled()).await;
        }
    }

    /// One round of it. Never anything that a live task needs.
    async fn let_go(&self, forges: &Forges) {
        self.forget_old().await;
        if let Err(why) = self.store.prune_artifacts().await {
            tracing::warn!(%why, "files that no row names could not be removed");
        }
        let Some(live) = self.live().await else {
            return;
        };
        let (served, repos) = (forges.served_mirrors(), self.data.join("repos"));
        let now = self.clock.now();
        let (idle, old) = (
            now.minus_secs(IDLE_SECS),
            now.minus_secs(self.server.retention.logs_secs),
        );
        let pruned = tokio::task::spawn_blocking(move || {
            let named: HashSet<String> = live.iter().flat_map(commits_named).collect();
            for key in &served {
                let home = repos.join(key);
                if home.is_dir() {
                    let mirror = Mirror::open_or_create(&home)?;
                    mirror.prune_checkouts(CHECKOUTS.0, CHECKOUTS.1)?;
                    mirror.forget_bases(old, &|commit| named.contains(commit))?;
                }
            }
            // Which mirror a task has whose repository is out of reach is not known: any of them may be it.
            let of_tasks: Option<Vec<String>> = live.iter().map(mirror_of).collect();
            let Some(of_tasks) = of_tasks else {
                return Ok(Vec::new());
            };
            let keep = |key: &str| served.iter().chain(&of_tasks).any(|kept| kept == key);
            let mut removed = git::remove_idle_repos(&repos, idle, &keep)?;
            removed.extend(git::prune_repos(&repos, REPOSITORIES, &keep)?);
            Ok(removed)
        });
        tell_pruned(pruned.await);
    }

    /// Tasks that are not final; `None` where they cannot be read.
    async fn live(&self) -> Option<Vec<Task>> {
        let filter = TaskFilter {
            live: true,
            repository: None,
        };
        match self.store.tasks(&filter).await {
            Ok(records) => Some(records.into_iter().map(|record| record.task).collect()),
            Err(why) => {
                tracing::warn!(%why, "the cache could not be pruned");
                None
            }
        }
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
                let home = mirror_of(&task).map(|key| data.join("repos").join(key));
                let mirror = home.filter(|home| home.is_dir());
                if let Some(mirror) = mirror.and_then(|home| Mirror::open_or_create(&home).ok()) {
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
            let stored = self.store.artifacts(record.task.id).await;
            if stored.is_ok_and(|stored| stored.is_empty()) {
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
        let Some(live) = self.live().await else {
            return;
        };
        let (mirror, repos) = (repository.mirror.clone(), self.data.join("repos"));
        let pruned = tokio::task::spawn_blocking(move || {
            let wanted: Vec<String> = live.iter().filter_map(mirror_of).collect();
            mirror.prune_checkouts(CHECKOUTS.0, CHECKOUTS.1)?;
            git::prune_repos(&repos, REPOSITORIES, &|key| {
                wanted.iter().any(|wanted| wanted == key)
            })
        });
        tell_pruned(pruned.await);
    }
}

fn tell_pruned(pruned: Result<Result<Vec<String>, git::Error>, tokio::task::JoinError>) {
    match pruned {
        Ok(Ok(removed)) if !removed.is_empty() => {
            tracing::info!(
                ?removed,
                "mirrors were removed that are beyond the cap or idle"
            );
        }
        Ok(Err(why)) => tracing::warn!(%why, "the cache could not be pruned"),
        Err(why) => tracing::warn!(%why, "pruning the cache ended early"),
        Ok(Ok(_)) => {}
    }
}

/// The folder below `repos` of a task's mirror; `None` where its repository is not there any more.
fn mirror_of(task: &Task) -> Option<String> {
    match RepositoryKey::of(task) {
        Some(key) => Some(mirror_folder(&key.forge, key.id)),
        None => repository_key(Path::new(&task.issue.repository)),
    }
}

/// Every word of a task that may be a commit, wherever in it.
fn commits_named(task: &Task) -> Vec<String> {
    let text = serde_json::to_string(task).unwrap_or_default();
    let words = text.split(|c: char| !c.is_ascii_hexdigit());
    words
        .filter(|word| word.len() >= 40)
        .map(str::to_owned)
        .collect()
}
