//! What a new run finds of earlier ones. Nothing of it decides how the new one ends.

use std::path::Path;
use std::sync::Arc;

use super::{App, AppError};
use crate::domain::task::{NewTask, Task};
use crate::store::{Filter, TaskFilter};
use crate::worker::Worker;

impl App {
    /// Finishes what a kill interrupted in the same repository, asks the repository what became of results, and
    /// names what waits elsewhere.
    pub(super) async fn finish_interrupted(
        &self,
        worker: &Arc<Worker>,
        new: &NewTask,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<(), AppError> {
        let live = TaskFilter {
            live: true,
            repository: None,
        };
        self.take_over(worker).await?;
        let here = |task: &Task| task.issue.repository == new.issue.repository;
        for task in self.unfinished().await? {
            let (id, place) = (task.id, &task.issue.repository);
            if !here(&task) {
                let (gone, verb) = match Path::new(place).exists() {
                    true => ("", "resume"),
                    false => (", which is not there any more,", "reject"),
                };
                say(&format!(
                    "{id} in {place}{gone} was interrupted: prentice tasks {verb} {id}"
                ));
                continue;
            }
            say(&format!("{id} was interrupted; finishing it first"));
            match self.work(worker, &Filter::task(id)).await {
                Ok(()) => {
                    let task = self.task(id).await?;
                    say(&format!("{id} is {} now", task.word()));
                }
                Err(error @ AppError::Interrupted { .. }) => return Err(error),
                // An older task's trouble is not this one's.
                Err(error) => say(&format!(
                    "{id} could not be finished: {error} (prentice tasks resume {id}, or reject {id})"
                )),
            }
        }
        self.sweep(worker, Some(&new.issue.repository)).await?;
        let records = self.store.tasks(&live).await?;
        for task in records.iter().map(|record| &record.task) {
            if let Some(to) = task.unpublished() {
                let (id, there) = (task.id, &to.repository);
                say(&format!(
                    "{id} is not published on {there} yet: prentice tasks resume {id}"
                ));
            }
        }
        let same = |task: &&Task| here(task) && task.issue.source == new.issue.source;
        let older: Vec<&Task> = records
            .iter()
            .map(|record| &record.task)
            .filter(same)
            .collect();
        if !older.is_empty() && new.issue.source != "-" {
            say(&older_tasks(&older, &new.issue.source));
        }
        Ok(())
    }
}

/// The tasks of the same file that are not final, in one line.
fn older_tasks(older: &[&Task], source: &str) -> String {
    let count = match older.len() {
        1 => "1 older task".to_owned(),
        more => format!("{more} older tasks"),
    };
    let named: Vec<String> = older
        .iter()
        .map(|task| format!("{} is {}", task.id, task.word()))
        .collect();
    let named = match named.len() {
        0..=3 => format!(" ({})", named.join(", ")),
        _ => String::new(),
    };
    format!("{count} of {source}, not final{named}: prentice tasks list --live")
}
