//! Branches of a repository that is not served any more.

use async_trait::async_trait;

use crate::domain::ident::CommitId;
use crate::forge;

/// Branches of a repository that is out of reach.
pub(super) struct NoRefs(pub(super) String);

impl NoRefs {
    fn refused<T>(&self) -> Result<T, forge::Error> {
        Err(forge::Error::Invalid {
            what: "the task branch".to_owned(),
            why: self.0.clone(),
        })
    }
}

#[async_trait]
impl forge::Refs for NoRefs {
    async fn branch_head(&self, _: &str) -> Result<Option<CommitId>, forge::Error> {
        self.refused()
    }

    async fn set_branch(
        &self,
        _: &str,
        _: &CommitId,
        _: Option<&CommitId>,
    ) -> Result<(), forge::Error> {
        self.refused()
    }

    async fn delete_branch(&self, _: &str, _: &CommitId) -> Result<(), forge::Error> {
        self.refused()
    }

    async fn reaches(&self, _: &str, _: &CommitId) -> Result<bool, forge::Error> {
        self.refused()
    }
}
