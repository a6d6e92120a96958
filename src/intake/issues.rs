//! What happens on issues: labels, assignments and words, and what becomes of their text.

use super::order::{Act, in_order};
use super::{Intake, Scene, Served, Trouble};
use crate::domain::event::Event;
use crate::forge::Did;

impl Intake {
    /// One issue.
    pub(super) async fn issue(&self, scene: &Scene<'_>) -> Result<(), Trouble> {
        let entries = scene.conversation.timeline(scene.thread.number).await?;
        let comments = self.comments(scene).await?;
        self.pass_over(scene, &entries).await?;
        let closer = entries.iter().rev().find(|entry| entry.what == Did::Closed);
        let closer = closer.and_then(|entry| entry.by.as_ref());
        let closer = closer.map_or("somebody", |by| by.login.as_str()).to_owned();
        for act in in_order(entries, comments, Vec::new(), self.is_numbered()) {
            match act {
                Act::Entry(entry) => self.entry(scene, &entry).await?,
                Act::Comment(comment) => self.comment(scene, &comment).await?,
                Act::Review(_) => {}
            }
        }
        self.edited(scene).await?;
        let Some(task) = self.live(scene).await? else {
            return Ok(());
        };
        if !scene.thread.open {
            let by = closer;
            self.happened(task.id, Event::IssueClosed { by }, None)
                .await?;
        }
        Ok(())
    }

    /// Whether entries and comments are numbered in the order they came.
    pub(super) fn is_numbered(&self) -> bool {
        self.service.capabilities().pushes
    }

    /// Tells the task what its issue says now. Before anybody's words about it are heard: they may accept a text that
    /// is not there any more.
    pub(super) async fn edited(&self, scene: &Scene<'_>) -> Result<(), Trouble> {
        let Some(task) = self.live(scene).await? else {
            return Ok(());
        };
        if let Ok(brief) = self.brief(scene, &task.settings)
            && !brief.is_of_same_issue_text(task.newest_text())
        {
            let brief = self
                .with_comments(scene, &task.settings, brief, Some(task.accepted_at))
                .await?;
            let event = Event::IssueEdited {
                by: "somebody".to_owned(),
                brief: Box::new(brief),
            };
            let _ = self.happened(task.id, event, None).await?;
        }
        Ok(())
    }

    /// The issue was deleted or transferred out of reach.
    pub(super) async fn gone(&self, served: &Served, number: i64) -> Result<(), Trouble> {
        let newest = self.store.tasks_of(&served.key, number).await?;
        if let Some(record) = newest.first().filter(|record| !record.task.is_final()) {
            let by = "whoever deleted or moved the issue".to_owned();
            self.happened(record.task.id, Event::IssueClosed { by }, None)
                .await?;
        }
        Ok(())
    }
}
