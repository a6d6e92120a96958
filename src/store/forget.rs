//! What is let go of when its time is over.
//!
//! Each function runs inside a transaction of the writer, as in [`super::commit`].

use sqlx::SqliteConnection;

use super::{StoreError, rows, sql};
use crate::domain::ident::Time;
use crate::domain::task::Task;

/// Most tasks in one transaction; the rest goes the next time.
const MOST: i64 = 200;

/// Removes rows; gives the tasks, and the digests that were named.
pub(super) async fn forget(
    c: &mut SqliteConnection,
    ended: Time,
    settled: Time,
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
        .execute(c)
        .await?;
    Ok((tasks, digests))
}
