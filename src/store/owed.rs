//! Looks that came to no end: kept until they do, however far a repository is read meanwhile.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqlitePool;

use super::{RepositoryKey, StoreError};
use crate::domain::ident::Time;

const OWE: &str = "insert into owed_looks (forge, repository, number, since) values ($1, $2, $3, $4) \
     on conflict (forge, repository, number) do nothing";
const PAY: &str = "delete from owed_looks where forge = $1 and repository = $2 and number = $3";
const OWED: &str = "select number, since from owed_looks \
     where forge = $1 and repository = $2 order by number";

/// Keeps a look at an issue or pull request, and how far its repository was read; what is kept already stays.
pub(super) async fn owe(
    c: &mut SqliteConnection,
    key: RepositoryKey,
    number: i64,
    since: Time,
) -> Result<(), StoreError> {
    let owed = sqlx::query(OWE).bind(key.forge).bind(key.id);
    owed.bind(number).bind(since.0).execute(c).await?;
    Ok(())
}

/// It came to its end.
pub(super) async fn pay(
    c: &mut SqliteConnection,
    key: RepositoryKey,
    number: i64,
) -> Result<(), StoreError> {
    let paid = sqlx::query(PAY).bind(key.forge).bind(key.id);
    paid.bind(number).execute(c).await?;
    Ok(())
}

/// Those of one repository, by their number.
pub(super) async fn all(
    readers: &SqlitePool,
    key: &RepositoryKey,
) -> Result<Vec<(i64, Time)>, StoreError> {
    let owed: Vec<(i64, i64)> = sqlx::query_as(OWED)
        .bind(&key.forge)
        .bind(key.id)
        .fetch_all(readers)
        .await?;
    let owed = owed.into_iter();
    Ok(owed.map(|(number, since)| (number, Time(since))).collect())
}
