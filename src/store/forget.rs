//! What is let go of when its time is over, and how much there is.
//!
//! [`forget`] runs inside a transaction of the writer, as in [`super::commit`].

use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;

use super::artifacts::blocking;
use super::sqlite::Sqlite;
use super::{Counts, StoreError, rows, sql};
use crate::domain::ident::Time;
use crate::domain::task::Task;

/// Most tasks in one transaction; the rest goes the next time.
const MOST: i64 = 200;

/// Removes rows; gives the tasks, and the digests that were named.
pub(super) async fn forget(
    c: &mut SqliteConnection,
    ended: Time,
    settled: Time,
    read: Time,
) -> Result<(Vec<Task>, Vec<String>), StoreError> {
    let over: Vec<rows::TaskRow> = sqlx::query_as(sql::OVER)
        .bind(ended.0)
        .bind(MOST)
        .fetch_all(&mut *c)
        .await?;
    let mut tasks = Vec::new();
    let mut digests = Vec::new();
    for row in over {
        let task = rows::record(row)?.task;
        let named: Vec<String> = sqlx::query_scalar(sql::FORGET_ARTIFACTS)
            .bind(task.id.0)
            .fetch_all(&mut *c)
            .await?;
        digests.extend(named);
        for statement in sql::FORGET_TASK {
            sqlx::query(statement)
                .bind(task.id.0)
                .execute(&mut *c)
                .await?;
        }
        tasks.push(task);
    }
    let of_nobody: Vec<String> = sqlx::query_scalar(sql::FORGET_LOGS)
        .bind(settled.0)
        .fetch_all(&mut *c)
        .await?;
    digests.extend(of_nobody);
    sqlx::query(sql::FORGET_INPUTS)
        .bind(settled.0)
        .execute(&mut *c)
        .await?;
    sqlx::query(sql::FORGET_HOOKS)
        .bind(read.0)
        .execute(c)
        .await?;
    Ok((tasks, digests))
}

/// How much there is of what.
pub(super) async fn counts(readers: &SqlitePool) -> Result<Counts, StoreError> {
    let hooks: Vec<(String, i64, i64)> =
        sqlx::query_as(sql::COUNT_HOOKS).fetch_all(readers).await?;
    let tasks: Vec<(String, i64)> = sqlx::query_as(sql::COUNT_TASKS).fetch_all(readers).await?;
    let jobs: Vec<(String, String, i64)> =
        sqlx::query_as(sql::COUNT_JOBS).fetch_all(readers).await?;
    let number = i64::unsigned_abs;
    Ok(Counts {
        repeats: hooks.iter().map(|(.., n)| number(*n)).sum(),
        hooks: hooks
            .into_iter()
            .map(|(state, n, _)| (state, number(n)))
            .collect(),
        tasks: tasks
            .into_iter()
            .map(|(stage, n)| (stage, number(n)))
            .collect(),
        jobs: jobs
            .into_iter()
            .map(|(kind, state, n)| (kind, state, number(n)))
            .collect(),
    })
}

impl Sqlite {
    /// Removes the files of `list` that no row names any more. Gives how many.
    pub(super) async fn remove_unnamed(&self, list: ListFiles) -> Result<u64, StoreError> {
        let files = self.files.clone();
        let (alone, digests) = blocking(move || {
            let alone = files.hold_alone()?;
            let digests = match list {
                ListFiles::These(digests) => digests,
                ListFiles::All => files.list(&alone)?,
            };
            Ok((alone, digests))
        })
        .await?;
        let mut removed = 0;
        for text in digests {
            let named: i64 = sqlx::query_scalar(sql::NAMED)
                .bind(&text)
                .fetch_one(&self.readers)
                .await?;
            if named == 0 {
                self.files.remove(&alone, &rows::digest(text)?)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Which files may go.
pub(super) enum ListFiles {
    These(Vec<String>),
    All,
}
