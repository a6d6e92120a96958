//! Who does what next: claims, and what a killed holder left.
//!
//! Each function runs inside a transaction of the writer, as in [`super::commit`].

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteQueryResult;

use super::commit::supersede;
use super::{Claim, Job, LeaseError, MAX_BACK_OFF_SECS, StoreError, rows, sql};
use crate::domain::ident::{TaskId, Time};

/// Claims the first job that is due, that is free, and that the lists of tasks and kinds let through.
pub(super) async fn claim(
    c: &mut SqliteConnection,
    (tasks, kinds): (Option<String>, Option<String>),
    holder: &str,
    now: Time,
    lease_until: Time,
) -> Result<Option<Claim>, StoreError> {
    supersede(c, now, Some(holder)).await?;
    let row: Option<(i64, i64, String, i64, i64)> = sqlx::query_as(sql::CLAIM)
        .bind(tasks)
        .bind(kinds)
        .bind(holder)
        .bind(now.0)
        .bind(lease_until.0)
        .fetch_optional(c)
        .await?;
    let Some((job, task, effect, epoch, attempts)) = row else {
        return Ok(None);
    };
    let effect = serde_json::from_str(&effect).map_err(|why| StoreError::Corrupt {
        what: format!("job {job} cannot be read: {why}"),
    })?;
    Ok(Some(Claim {
        job,
        task: TaskId(task),
        effect,
        epoch: rows::count(epoch)?,
        attempt: rows::count(attempts)?,
        lease_until,
    }))
}

/// Hands back what other holders have in flight, and cuts back-offs that a clock set back made long.
pub(super) async fn recover(
    c: &mut SqliteConnection,
    holder: &str,
    now: Time,
) -> Result<Vec<Job>, StoreError> {
    let found = sqlx::query_as(sql::RECOVER)
        .bind(holder)
        .fetch_all(&mut *c)
        .await?;
    sqlx::query(sql::CLAMP)
        .bind(now.plus_secs(MAX_BACK_OFF_SECS).0)
        .execute(&mut *c)
        .await?;
    supersede(c, now, Some(holder)).await?;
    found.into_iter().map(rows::job).collect()
}

/// Zero rows changed means: somebody else has it.
pub(super) fn fenced(done: Result<SqliteQueryResult, sqlx::Error>) -> Result<(), LeaseError> {
    match done?.rows_affected() {
        0 => Err(LeaseError::Lost),
        _ => Ok(()),
    }
}
