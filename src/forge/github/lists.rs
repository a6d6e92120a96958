//! Lists as most want them: whole, and at most so long.

use std::ops::ControlFlow;

use serde::de::DeserializeOwned;

use super::super::{Error, LIST_MAX};
use super::api::{Ask, Line};

impl Line {
    /// A whole list. `under` names the field that holds it, where the answer is no list itself.
    pub(super) async fn list<T: DeserializeOwned + Send>(
        &self,
        path: &str,
        under: Option<&str>,
        ask: Ask<'_>,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        self.pages(path, under, ask, |item| {
            all.push(item);
            ControlFlow::Continue(())
        })
        .await?;
        Ok(all)
    }

    /// Goes through a list until `see` has enough.
    pub(super) async fn pages<T: DeserializeOwned + Send>(
        &self,
        path: &str,
        under: Option<&str>,
        ask: Ask<'_>,
        see: impl FnMut(T) -> ControlFlow<()> + Send,
    ) -> Result<(), Error> {
        self.pages_up_to(LIST_MAX, (path, under), ask, see).await
    }
}
