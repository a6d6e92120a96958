//! Ids of comments, each under a key of its repository: where ours is to be edited, and which one asked. And numbers of
//! pull requests that no task on a forge has.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;

use super::{RepositoryKey, StoreError};

const NOTE: &str = "select comment from notes where forge = $1 and repository = $2 and key = $3";
const KEEP: &str = "insert into notes (forge, repository, key, comment) values ($1, $2, $3, $4) \
     on conflict (forge, repository, key) do update set comment = excluded.comment";

/// What is kept under a key.
pub(super) async fn note(
    readers: &SqlitePool,
    repository: &RepositoryKey,
    key: &str,
) -> Result<Option<i64>, StoreError> {
    let note = sqlx::query_scalar(NOTE)
        .bind(&repository.forge)
        .bind(repository.id)
        .bind(key);
    Ok(note.fetch_optional(readers).await?)
}

/// Keeps it in place of what was kept there.
pub(super) async fn keep(
    c: &mut SqliteConnection,
    repository: &RepositoryKey,
    key: &str,
    comment: i64,
) -> Result<(), StoreError> {
    let kept = sqlx::query(KEEP)
        .bind(&repository.forge)
        .bind(repository.id);
    kept.bind(key).bind(comment).execute(c).await?;
    Ok(())
}
