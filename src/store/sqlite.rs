//! The embedded engine: SQLite behind one group-committing writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::artifacts::{Files, blocking};
use super::commit::{add_job, append, commit, create, must_exist, supersede, to_json};
use super::forget::{ListFiles, counts, forget, pending};
use super::hooks::{self, Gathered};
use super::jobs::fenced;
use super::open::connect;
use super::types::rank;
use super::writer::{Writer, watch_others};
use super::{
    Arrival, Artifact, ArtifactKind, Claim, Clock, CommitError, Content, Counts, DataLock,
    Decision, Delivered, Filter, Hook, HookId, Input, InputId, Job, JournalLine, LeaseError,
    MAX_BODY_BYTES, MakeTask, Outcome, Pending, Received, Record, Steps, Store, StoreError,
    StoredHook, TaskFilter, Version, jobs, rows, shown, sql,
};
use crate::domain::effect::Effect;
use crate::domain::event::Event;
use crate::domain::ident::{Digest, TaskId, Time};
use crate::domain::task::Task;

pub(super) struct Sqlite {
    pub(super) writer: Arc<Writer>,
    gathered: Gathered,
    pub(super) readers: SqlitePool,
    pub(super) files: Files,
    pub(super) clock: Arc<dyn Clock>,
    changed: watch::Receiver<u64>,
    closing: CancellationToken,
    watching: Mutex<Option<JoinHandle<()>>>,
}

impl Sqlite {
    pub(super) async fn open(
        data: &Path,
        clock: Arc<dyn Clock>,
        steps: Arc<dyn Steps>,
    ) -> Result<Self, StoreError> {
        let connections = connect(data).await?;
        let files = Files::open(data, Arc::clone(&steps))?;
        let (changing, changed) = watch::channel(0);
        let closing = CancellationToken::new();
        let watching = tokio::spawn(watch_others(
            connections.watcher,
            changing.clone(),
            closing.clone(),
        ));
        Ok(Self {
            writer: Arc::new(Writer::start(connections.writer, steps, changing)),
            gathered: Gathered::default(),
            readers: connections.readers,
            files,
            clock,
            changed,
            closing,
            watching: Mutex::new(Some(watching)),
        })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn deliver(
        &self,
        arrival: Arrival,
        dedup_key: Option<String>,
    ) -> Result<Delivered, StoreError> {
        let (kind, task, body) = match &arrival {
            Arrival::Request(request) => ("request", None, to_json(request)?),
            Arrival::Event { task, event } => ("event", Some(*task), to_json(event)?),
        };
        if body.len() > MAX_BODY_BYTES {
            return Err(StoreError::TooLarge {
                bytes: body.len(),
                limit: MAX_BODY_BYTES,
            });
        }
        let now = self.clock.now();
        self.writer
            .write("deliver", move |c| {
                Box::pin(async move { append(c, kind, task, dedup_key, &body, now).await })
            })
            .await
    }

    async fn next_input(&self) -> Result<Option<Input>, StoreError> {
        let row = sqlx::query_as(sql::NEXT_INPUT)
            .fetch_optional(&self.readers)
            .await?;
        row.map(rows::input).transpose()
    }

    async fn input_of(&self, dedup_key: &str) -> Result<Option<InputId>, StoreError> {
        let found = sqlx::query_scalar(sql::DELIVERED)
            .bind(dedup_key)
            .fetch_optional(&self.readers);
        Ok(found.await?.map(InputId))
    }

    async fn outcome(&self, input: InputId) -> Result<Option<Outcome>, StoreError> {
        let row = sqlx::query_as(sql::OUTCOME)
            .bind(input.0)
            .fetch_optional(&self.readers)
            .await?;
        row.map(rows::outcome).transpose()
    }

    async fn receive(&self, hook: Hook) -> Result<Received, StoreError> {
        let now = self.clock.now();
        self.gathered.receive(&self.writer, hook, now).await
    }

    async fn next_hooks(
        &self,
        forge: &str,
        after: HookId,
        limit: u32,
    ) -> Result<Vec<StoredHook>, StoreError> {
        hooks::next(&self.readers, forge, after, limit).await
    }

    async fn settle_hook(&self, id: HookId, reason: Option<String>) -> Result<(), CommitError> {
        let settled = hooks::settle(&self.writer, vec![(id, reason)], self.clock.now());
        match settled.await? {
            0 => Err(CommitError::Decided),
            _ => Ok(()),
        }
    }

    async fn settle_hooks(&self, hooks: Vec<(HookId, Option<String>)>) -> Result<(), StoreError> {
        let settled = hooks::settle(&self.writer, hooks, self.clock.now());
        settled.await.map(|_| ())
    }

    async fn shown_since(&self, task: TaskId, text: &str) -> Result<Option<Time>, StoreError> {
        shown::at(&self.readers, task, text).await
    }

    async fn keep_shown(&self, task: TaskId, text: &str, at: Time) -> Result<(), StoreError> {
        let text = text.to_owned();
        self.writer
            .write("shown", move |c| {
                Box::pin(async move { shown::keep(c, task, &text, at).await })
            })
            .await
    }

    async fn load(&self, task: TaskId) -> Result<Option<Record>, StoreError> {
        let row = sqlx::query_as(sql::LOAD)
            .bind(task.0)
            .fetch_optional(&self.readers)
            .await?;
        row.map(rows::record).transpose()
    }

    async fn create(&self, input: InputId, make: MakeTask) -> Result<Record, CommitError> {
        let now = self.clock.now();
        self.writer
            .write("create", move |c| {
                Box::pin(async move { create(c, input, make, now).await })
            })
            .await
    }

    async fn commit(
        &self,
        input: InputId,
        expected: Version,
        decision: Decision,
    ) -> Result<Version, CommitError> {
        let now = self.clock.now();
        self.writer
            .write("commit", move |c| {
                Box::pin(async move { commit(c, input, expected, &decision, now).await })
            })
            .await
    }

    async fn ignore(&self, input: InputId, reason: String) -> Result<(), CommitError> {
        let now = self.clock.now();
        self.writer
            .write("ignore", move |c| {
                Box::pin(async move {
                    let done = sqlx::query(sql::IGNORE)
                        .bind(input.0)
                        .bind(now.0)
                        .bind(reason)
                        .execute(c)
                        .await?;
                    match done.rows_affected() {
                        0 => Err(CommitError::Decided),
                        _ => Ok(()),
                    }
                })
            })
            .await
    }

    async fn claim(
        &self,
        lock: &DataLock,
        filter: &Filter,
        ttl: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let (tasks, kinds) = filter.as_text();
        let holder = lock.holder().to_owned();
        let now = self.clock.now();
        let lease_until = now.plus(ttl);
        self.writer
            .write("claim", move |c| {
                Box::pin(async move {
                    let lets_through = (tasks, kinds);
                    jobs::claim(c, lets_through, &holder, now, lease_until).await
                })
            })
            .await
    }

    async fn heartbeat(&self, claim: &Claim, ttl: Duration) -> Result<Time, LeaseError> {
        let (job, epoch) = (claim.job, claim.epoch);
        let until = self.clock.now().plus(ttl);
        self.writer
            .write("heartbeat", move |c| {
                Box::pin(async move {
                    let beat = sqlx::query(sql::HEARTBEAT)
                        .bind(job)
                        .bind(epoch)
                        .bind(until.0);
                    fenced(beat.execute(c).await)?;
                    Ok(until)
                })
            })
            .await
    }

    async fn progress(&self, claim: &Claim, event: Event) -> Result<InputId, LeaseError> {
        let (job, epoch, task) = (claim.job, claim.epoch, claim.task);
        let body = to_json(&event)?;
        let now = self.clock.now();
        self.writer
            .write("progress", move |c| {
                Box::pin(async move {
                    let step = sqlx::query(sql::PROGRESS)
                        .bind(job)
                        .bind(epoch)
                        .bind(rank(&event));
                    fenced(step.execute(&mut *c).await)?;
                    let appended = append(c, "event", Some(task), None, &body, now).await?;
                    Ok(appended.input)
                })
            })
            .await
    }

    async fn finish(&self, claim: &Claim, answers: Vec<Event>) -> Result<(), LeaseError> {
        let (job, epoch, task) = (claim.job, claim.epoch, claim.task);
        let bodies = answers.iter().map(to_json).collect::<Result<Vec<_>, _>>()?;
        let now = self.clock.now();
        self.writer
            .write("finish", move |c| {
                Box::pin(async move {
                    let done = sqlx::query(sql::FINISH).bind(job).bind(epoch).bind(now.0);
                    fenced(done.execute(&mut *c).await)?;
                    for body in bodies {
                        append(c, "event", Some(task), None, &body, now).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn release(
        &self,
        claim: &Claim,
        next_at: Time,
        why: String,
        counts: bool,
    ) -> Result<(), LeaseError> {
        let (job, epoch) = (claim.job, claim.epoch);
        let now = self.clock.now();
        self.writer
            .write("release", move |c| {
                Box::pin(async move {
                    let back = sqlx::query(sql::RELEASE)
                        .bind(job)
                        .bind(epoch)
                        .bind(next_at.0)
                        .bind(why)
                        .bind(i64::from(counts));
                    fenced(back.execute(&mut *c).await)?;
                    supersede(c, now, None).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn show_again(&self, task: TaskId) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.writer
            .write("show again", move |c| {
                Box::pin(async move { add_job(c, task, &Effect::Publish, false, now).await })
            })
            .await
    }

    async fn recover(&self, lock: &DataLock) -> Result<Vec<Job>, StoreError> {
        let holder = lock.holder().to_owned();
        let now = self.clock.now();
        self.writer
            .write("recover", move |c| {
                Box::pin(async move { jobs::recover(c, &holder, now).await })
            })
            .await
    }

    async fn next_due(&self, filter: &Filter) -> Result<Option<Time>, StoreError> {
        let (tasks, kinds) = filter.as_text();
        let due: Option<i64> = sqlx::query_scalar(sql::NEXT_DUE)
            .bind(tasks)
            .bind(kinds)
            .fetch_one(&self.readers)
            .await?;
        Ok(due.map(Time))
    }

    async fn pending(&self) -> Result<Pending, StoreError> {
        pending(&self.readers, self.clock.now()).await
    }

    async fn last_hook(&self, forge: &str) -> Result<Option<Time>, StoreError> {
        hooks::last(&self.readers, forge).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        counts(&self.readers).await
    }

    async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<Record>, StoreError> {
        let found = sqlx::query_as(sql::TASKS)
            .bind(i64::from(filter.live))
            .bind(filter.repository.as_deref())
            .fetch_all(&self.readers)
            .await?;
        found.into_iter().map(rows::record).collect()
    }

    async fn journal(&self, task: TaskId) -> Result<Vec<JournalLine>, StoreError> {
        let lines = sqlx::query_as(sql::JOURNAL).bind(task.0);
        let found = lines.fetch_all(&self.readers).await?;
        found.into_iter().map(rows::journal_line).collect()
    }

    async fn jobs(&self, task: TaskId) -> Result<Vec<Job>, StoreError> {
        let jobs = sqlx::query_as(sql::JOBS).bind(task.0);
        let found = jobs.fetch_all(&self.readers).await?;
        found.into_iter().map(rows::job).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    async fn put_artifact(
        &self,
        task: Option<TaskId>,
        kind: ArtifactKind,
        content: Content,
    ) -> Result<Artifact, StoreError> {
        let files = self.files.clone();
        let (hold, (sha256, bytes)) = blocking(move || {
            let hold = files.hold()?;
            let stored = files.put(&hold, content)?;
            Ok((hold, stored))
        })
        .await?;
        let artifact = Artifact {
            kind,
            sha256,
            bytes,
        };
        let row = artifact.clone();
        let now = self.clock.now();
        self.writer
            .write("artifact", move |c| {
                Box::pin(async move {
                    if let Some(task) = task {
                        must_exist(c, task).await?;
                    }
                    sqlx::query(sql::ADD_ARTIFACT)
                        .bind(task.map(|task| task.0))
                        .bind(row.kind.word())
                        .bind(row.sha256.as_str())
                        .bind(row.bytes.cast_signed())
                        .bind(now.0)
                        .execute(c)
                        .await?;
                    Ok::<_, StoreError>(())
                })
            })
            .await?;
        drop(hold);
        Ok(artifact)
    }

    async fn artifact(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let (files, sha256) = (self.files.clone(), digest.clone());
        blocking(move || files.read(&sha256)).await
    }

    fn artifact_path(&self, digest: &Digest) -> PathBuf {
        self.files.path(digest)
    }

    async fn artifacts(&self, task: TaskId) -> Result<Vec<Artifact>, StoreError> {
        let found = sqlx::query_as(sql::ARTIFACTS)
            .bind(task.0)
            .fetch_all(&self.readers)
            .await?;
        found.into_iter().map(rows::artifact).collect()
    }

    async fn drop_artifacts(&self, task: TaskId, kinds: &[ArtifactKind]) -> Result<(), StoreError> {
        let kinds: Vec<&'static str> = kinds.iter().map(|kind| kind.word()).collect();
        let dropped: Vec<String> = self
            .writer
            .write("drop-artifacts", move |c| {
                Box::pin(async move {
                    let mut dropped = Vec::new();
                    for kind in kinds {
                        let digests: Vec<String> = sqlx::query_scalar(sql::DROP_ARTIFACTS)
                            .bind(task.0)
                            .bind(kind)
                            .fetch_all(&mut *c)
                            .await?;
                        dropped.extend(digests);
                    }
                    Ok::<_, StoreError>(dropped)
                })
            })
            .await?;
        self.remove_unnamed(ListFiles::These(dropped)).await?;
        Ok(())
    }

    async fn forget(
        &self,
        ended: Time,
        settled: Time,
        read: Time,
    ) -> Result<Vec<Task>, StoreError> {
        let (tasks, digests) = self
            .writer
            .write("forget", move |c| Box::pin(forget(c, ended, settled, read)))
            .await?;
        self.remove_unnamed(ListFiles::These(digests)).await?;
        Ok(tasks)
    }

    async fn prune_artifacts(&self) -> Result<u64, StoreError> {
        self.remove_unnamed(ListFiles::All).await
    }

    fn commits(&self) -> u64 {
        self.writer.commits()
    }

    async fn close(&self) {
        self.closing.cancel();
        if let Some(watching) = self.watching.lock().await.take() {
            // It can only fail by a panic, which the panic hook has told.
            let _ = watching.await;
        }
        self.readers.close().await;
        // Last, since the last one folds the log into the database.
        self.writer.close().await;
    }
}
