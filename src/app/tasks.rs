//! What `prentice tasks` asks for: reading needs no lock; changing appends one row to the inbox and, where
//! nobody else performs jobs, goes on in the foreground.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{App, AppError, Said, read_issue};
use crate::domain::act;
use crate::domain::brief;
use crate::domain::command::{self, Verb};
use crate::domain::event::Event;
use crate::domain::ident::{Digest, TaskId};
use crate::domain::report;
use crate::domain::task::{Outstanding, Stage, Task};
use crate::domain::text;
use crate::store::{Arrival, ArtifactKind, DataLock, Outcome, TaskFilter};

/// What became of an act.
pub enum Changed {
    /// It was worked on here until the task came to rest.
    Here(Box<Task>),
    /// Another process records it and goes on; this is the task at that moment.
    Elsewhere(Box<Task>),
}

impl App {
    /// All tasks, newest first, after a look at their repositories where nobody else is at work.
    ///
    /// # Errors
    /// [`AppError::Host`].
    pub async fn tasks(&self, live: bool) -> Result<Vec<Task>, AppError> {
        self.look("prentice tasks list").await?;
        let filter = TaskFilter {
            live,
            repository: None,
        };
        let records = self.store.tasks(&filter).await?;
        Ok(records.into_iter().map(|record| record.task).collect())
    }

    /// One task.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn show(&self, id: TaskId) -> Result<Task, AppError> {
        self.task(id).await?;
        self.look("prentice tasks show").await?;
        self.task(id).await
    }

    /// Time and words of everything that happened to a task, oldest first.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn journal(
        &self,
        id: TaskId,
    ) -> Result<Vec<(crate::domain::ident::Time, String)>, AppError> {
        self.task(id).await?;
        let lines = self.store.journal(id).await?;
        Ok(lines.into_iter().map(|line| (line.at, line.note)).collect())
    }

    /// Everything that was printed during a task: what printed it, digest and bytes, oldest first.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn logs(&self, id: TaskId) -> Result<Vec<(String, Digest, Vec<u8>)>, AppError> {
        let names = log_names(&self.task(id).await?);
        // Who printed what is known once a run came to a result.
        let unnamed = match names.is_empty() {
            true => "set-up or check of a run without a result yet",
            false => "set-up, or an earlier try",
        };
        let mut all = Vec::new();
        for artifact in self.store.artifacts(id).await? {
            let name = match artifact.kind {
                ArtifactKind::Patch => continue,
                ArtifactKind::Transcript => "agent".to_owned(),
                ArtifactKind::Log => {
                    let known = names.get(&artifact.sha256).cloned();
                    known.unwrap_or_else(|| unnamed.to_owned())
                }
            };
            if let Some(bytes) = self.store.artifact(&artifact.sha256).await? {
                all.push((name, artifact.sha256, bytes));
            }
        }
        Ok(all)
    }

    /// What the words of a person at this machine mean as an event.
    ///
    /// # Errors
    /// [`AppError::Usage`] for words that do not fit the verb.
    pub fn command(&self, verb: &str, text: &str) -> Result<Event, AppError> {
        let not_here = || AppError::Usage(Said::plain(format!("`{verb}` is not a verb of tasks")));
        let verb = Verb::named(verb).ok_or_else(not_here)?;
        let by = self.user();
        let command = command::arguments(verb, text).map_err(|mistake| {
            AppError::Usage(Said::plain(mistake.reply("prentice tasks", &[])))
        })?;
        match act::event(&command, &by) {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(not_here()),
            Err(target) => Err(AppError::Usage(Said::plain(format!(
                "nothing asks for `{target}` in this version"
            )))),
        }
    }

    /// Tells the task what a person did, and has it worked on until it comes to rest.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::NotNow`] with what is true and possible, [`AppError::Host`].
    pub async fn act(&self, id: TaskId, event: Event, command: &str) -> Result<Changed, AppError> {
        self.task(id).await?;
        let lock = self.lock(command)?;
        let mut event = event;
        if let Event::Retried { by, text, .. } = &mut event {
            // Whoever types here means what is stored, or what their file says.
            let mut newest = self.task(id).await?.newest_text().digest.clone();
            if let Some(edited) = self.edited(id, by).await? {
                if let Event::IssueEdited { brief, .. } = &edited {
                    newest = brief.digest.clone();
                }
                let (task, event) = (id, Box::new(edited));
                self.store
                    .deliver(Arrival::Event { task, event }, None)
                    .await?;
            }
            *text = Some(newest);
        }
        let arrival = Arrival::Event {
            task: id,
            event: Box::new(event),
        };
        let input = self.store.deliver(arrival, None).await?.input;
        let lock = match lock {
            Some(lock) => lock,
            None => match self.wait_for(id, input, command).await? {
                Waited::Decided(task) => return Ok(Changed::Elsewhere(task)),
                Waited::Free(lock) => lock,
            },
        };
        let worker = self.worker(lock);
        self.take_over(&worker).await?;
        self.refused(input).await?;
        if needs_sandbox(&self.task(id).await?) {
            self.probe().await?;
        }
        self.work_on(&worker, id).await?;
        Ok(Changed::Here(Box::new(self.task(id).await?)))
    }

    /// Goes on with a task that a kill or its owner interrupted.
    ///
    /// # Errors
    /// As [`App::act`].
    pub async fn resume(&self, id: TaskId, command: &str) -> Result<Changed, AppError> {
        self.task(id).await?;
        let lock = self.lock_or_fail(command)?;
        let worker = self.worker(lock);
        // What arrived before the kill is decided first: it may be what there is to go on with.
        self.take_over(&worker).await?;
        let task = self.task(id).await?;
        if task.outstanding().is_none() && !self.has_due(id).await? {
            // Whoever tells of it publishes it.
            if task.to_publish().is_some() {
                return Ok(Changed::Here(Box::new(task)));
            }
            drop(worker);
            let by = self.user();
            return self.act(id, Event::Resumed { by }, command).await;
        }
        if needs_sandbox(&task) {
            self.probe().await?;
        }
        self.work_on(&worker, id).await?;
        Ok(Changed::Here(Box::new(self.task(id).await?)))
    }

    /// The tasks that can be resumed.
    ///
    /// # Errors
    /// [`AppError::Host`].
    pub async fn resumable(&self, command: &str) -> Result<Vec<TaskId>, AppError> {
        let worker = self.worker(self.lock_or_fail(command)?);
        self.take_over(&worker).await?;
        let mut found: Vec<TaskId> = self
            .unfinished()
            .await?
            .iter()
            .map(|task| task.id)
            .collect();
        let live = TaskFilter {
            live: true,
            repository: None,
        };
        // Interrupted by a person, or before the result was where it was wanted.
        let records = self.store.tasks(&live).await?;
        let waiting = records.iter().map(|record| &record.task);
        let waiting =
            waiting.filter(|task| task.word() == "queued" || task.unpublished().is_some());
        found.extend(waiting.map(|task| task.id));
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Somebody else performs jobs: waits until they decided the row, and removed what an ended task left; or until
    /// they are gone.
    async fn wait_for(
        &self,
        id: TaskId,
        input: crate::store::InputId,
        command: &str,
    ) -> Result<Waited, AppError> {
        let mut changes = self.store.changes();
        let patience = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            changes.borrow_and_update();
            let waiting = self.store.outcome(input).await? == Some(Outcome::Waiting);
            if !waiting {
                self.refused(input).await?;
                let task = self.task(id).await?;
                let removing = task.outstanding() == Some(Outstanding::CleanUp);
                if !removing || tokio::time::Instant::now() > patience {
                    return Ok(Waited::Decided(Box::new(task)));
                }
            } else if tokio::time::Instant::now() > patience {
                return Err(AppError::Host(Said::new(
                    "the prentice at work on the data folder did not take it within 30 s",
                    "it is stored, and decided by the next one",
                )));
            }
            if let Some(lock) = self.lock(command)? {
                return Ok(Waited::Free(lock));
            }
            // Whoever ends changes nothing, so that is asked for again and again.
            let _ = tokio::time::timeout(Duration::from_millis(250), changes.changed()).await;
        }
    }

    /// The issue as its file says it now, where that is not what it said last: a retry uses the new text.
    async fn edited(&self, id: TaskId, by: &str) -> Result<Option<Event>, AppError> {
        let task = self.task(id).await?;
        let source = &task.issue.source;
        let can_retry = matches!(task.stage, Stage::Failed { .. } | Stage::Asking { .. });
        // Standard input cannot be read again, and a file that is gone says nothing new.
        let Ok((text, _)) = read_issue(Path::new(source)) else {
            return Ok(None);
        };
        if !can_retry || source == "-" {
            return Ok(None);
        }
        let brief = brief::parse(&text, task.settings.context.max_chars)
            .map_err(|why| AppError::NeedsInfo(Said::plain(format!("{source}: {why}"))))?;
        let journal = self.store.journal(id).await?;
        let last = journal.iter().rev().find_map(|line| match &line.event {
            Some(Event::Requested { new, .. }) => Some(&new.brief.digest),
            Some(Event::IssueEdited { brief, .. }) => Some(&brief.digest),
            _ => None,
        });
        let is_new = last != Some(&brief.digest);
        Ok(is_new.then(|| Event::IssueEdited {
            by: by.to_owned(),
            brief: Box::new(brief),
        }))
    }

    async fn refused(&self, input: crate::store::InputId) -> Result<(), AppError> {
        match self.store.outcome(input).await? {
            Some(Outcome::Ignored { reason }) => Err(AppError::NotNow(Said::lower(&reason))),
            _ => Ok(()),
        }
    }

    /// Asks the repositories what became of results, where nobody else does.
    async fn look(&self, command: &str) -> Result<(), AppError> {
        let Some(lock) = self.lock(command)? else {
            return Ok(());
        };
        let worker = self.worker(Arc::clone(&lock));
        self.sweep(&worker, None).await
    }

    /// Whether a task has something to be done and nobody is left who does it: what a kill leaves.
    #[must_use]
    pub fn is_interrupted(&self, task: &Task) -> bool {
        let free = || matches!(self.lock("prentice tasks"), Ok(Some(_)));
        task.outstanding().is_some() && task.whose_turn().is_none() && free()
    }

    /// What a task shows on its surface.
    #[must_use]
    pub fn status(&self, task: &Task) -> String {
        text::unmarked(&report::status(task, self.now(), &report::Voice::local()))
    }
}

/// How waiting for another process ended.
enum Waited {
    /// It decided; this is the task then.
    Decided(Box<Task>),
    /// It is gone, and the lock is ours.
    Free(Arc<DataLock>),
}

fn needs_sandbox(task: &Task) -> bool {
    matches!(task.outstanding(), Some(Outstanding::Run(_)))
}

/// Which check printed which log, as far as result and newest run tell. Equal logs are one artifact.
fn log_names(task: &Task) -> BTreeMap<Digest, String> {
    let mut names: BTreeMap<Digest, String> = BTreeMap::new();
    let result = task.revision.iter().flat_map(|of| &of.result.evidence);
    let unfinished = task.unfinished.iter().flat_map(|seen| &seen.evidence);
    for check in result.chain(unfinished) {
        for (side, runs) in [("base", &check.base), ("result", &check.head)] {
            for seen in runs {
                let name = format!("check {} on {side}", check.name);
                let known = names.entry(seen.log.sha256.clone()).or_default();
                if known.is_empty() {
                    *known = name;
                } else if !known.contains(&name) {
                    known.push_str(", ");
                    known.push_str(&name);
                }
            }
        }
    }
    names
}
