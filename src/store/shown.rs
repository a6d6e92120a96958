//! Texts that a forge showed, so that what people do there can mean them.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;

use super::StoreError;
use crate::domain::ident::{TaskId, Time};

const SHOWN: &str = "select at from shown where task = $1 and text = $2";
const KEEP: &str =
    "insert into shown (task, text, at) values ($1, $2, $3) on conflict (task, text) do nothing";

/// Since when a text of a task stands there.
pub(super) async fn at(
    readers: &SqlitePool,
    task: TaskId,
    text: &str,
) -> Result<Option<Time>, StoreError> {
    let at = sqlx::query_scalar(SHOWN).bind(task.0).bind(text);
    Ok(at.fetch_optional(readers).await?.map(Time))
}

/// Keeps it; the first time counts.
pub(super) async fn keep(
    c: &mut SqliteConnection,
    task: TaskId,
    text: &str,
    at: Time,
) -> Result<(), StoreError> {
    let kept = sqlx::query(KEEP).bind(task.0).bind(text).bind(at.0);
    kept.execute(c).await?;
    Ok(())
}
