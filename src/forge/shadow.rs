//! A forge that is read and never written to: reports of tasks become files here, answers are left unsaid.
//!
//! Nothing here may hand out what writes: every write of [`Conversation`] ends here, and [`Forge`] is that of this
//! machine.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Account, Capabilities, Changed, Comment, CommentId, Conversation, Credential, Entry, Error,
    Forge, Proof, PullInfo, Reaction, Refs, Repository, Review, Service, Thread,
};
use crate::domain::ident::Time;
use crate::domain::policy::Right;
use crate::domain::report::CheckReport;

/// See the module.
pub(super) struct Shadow {
    pub(super) real: Arc<dyn Service>,
    /// Where reports of tasks go.
    pub(super) out_root: PathBuf,
}

#[async_trait]
impl Service for Shadow {
    fn name(&self) -> &str {
        self.real.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.real.capabilities()
    }

    async fn whoami(&self) -> Result<Account, Error> {
        self.real.whoami().await
    }

    async fn repositories(&self, allowed: &[String]) -> Result<Vec<Repository>, Error> {
        self.real.repositories(allowed).await
    }

    async fn repository(&self, name: &str) -> Result<Repository, Error> {
        self.real.repository(name).await
    }

    async fn credential(&self, repository: &Repository) -> Result<Credential, Error> {
        self.real.credential(repository).await
    }

    fn forge(&self, _: &Repository, refs: Arc<dyn Refs>) -> Arc<dyn Forge> {
        Arc::from(super::local(self.out_root.clone(), refs, None))
    }

    fn conversation(&self, repository: &Repository) -> Arc<dyn Conversation> {
        Arc::new(Silent(self.real.conversation(repository)))
    }

    /// Asking for deliveries again would be a write.
    async fn redeliver(&self, _: Time) -> Result<u32, Error> {
        Ok(0)
    }
}

/// Reads what people do, and answers nothing.
struct Silent(Arc<dyn Conversation>);

#[async_trait]
impl Conversation for Silent {
    async fn repository(&self) -> Result<Repository, Error> {
        self.0.repository().await
    }

    async fn thread(&self, number: i64) -> Result<Thread, Error> {
        self.0.thread(number).await
    }

    async fn timeline(&self, number: i64) -> Result<Vec<Entry>, Error> {
        self.0.timeline(number).await
    }

    async fn comments(&self, number: i64, since: Option<Time>) -> Result<Vec<Comment>, Error> {
        self.0.comments(number, since).await
    }

    async fn comment(&self, id: CommentId) -> Result<Comment, Error> {
        self.0.comment(id).await
    }

    async fn pull(&self, number: i64) -> Result<PullInfo, Error> {
        self.0.pull(number).await
    }

    async fn reviews(&self, number: i64) -> Result<Vec<Review>, Error> {
        self.0.reviews(number).await
    }

    async fn right(&self, login: &str) -> Result<Option<Right>, Error> {
        self.0.right(login).await
    }

    async fn writers(&self) -> Result<Option<Vec<Account>>, Error> {
        self.0.writers().await
    }

    async fn unedited(&self, number: i64, at: Time) -> Result<Proof, Error> {
        self.0.unedited(number, at).await
    }

    async fn changed(&self, since: Time) -> Result<Vec<Changed>, Error> {
        self.0.changed(since).await
    }

    async fn react(&self, comment: CommentId, _: Option<Reaction>) -> Result<(), Error> {
        tracing::info!(comment = comment.0, "shadow: a reaction was not put");
        Ok(())
    }

    async fn ensure_note(
        &self,
        number: i64,
        key: &str,
        known: Option<CommentId>,
        body: &str,
    ) -> Result<CommentId, Error> {
        tracing::info!(number, key, body, "shadow: a comment was not written");
        Ok(known.unwrap_or(CommentId(0)))
    }

    async fn set_check(&self, check: &CheckReport, _: Option<&str>) -> Result<(), Error> {
        tracing::info!(sha = %check.sha, name = check.name, title = check.title, "shadow: a check was not set");
        Ok(())
    }
}
