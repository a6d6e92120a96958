//! What is known of forges: repositories and how far they were read, acts of people, notes of ours.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::sqlite::Sqlite;
use super::{Record, RepositoryKey, StoreError, notes, owed, rows};
use crate::domain::ident::{Digest, Time};

/// How far a repository was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Acts from before have no effect.
    pub first_seen: Time,
    /// Everything that changed before was looked at.
    pub looked_until: Time,
}

/// What a person did, by the forge's own number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActKey {
    /// Where.
    pub repository: RepositoryKey,
    /// What kind of number.
    pub kind: ActKind,
    /// The number.
    pub act: i64,
}

/// Kinds of acts; numbers of one kind are unique in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActKind {
    /// An entry of a timeline.
    Entry,
    /// A comment.
    Comment,
    /// A review.
    Review,
}

impl ActKind {
    /// As stored.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Comment => "comment",
            Self::Review => "review",
        }
    }
}

/// What forges are remembered by. Each method is one transaction, durable when it returns.
#[async_trait]
pub trait Acts: Send + Sync {
    /// Notes that a repository is there. Gives how far it was read; the first time, from now on.
    async fn see_repository(&self, key: &RepositoryKey, name: &str) -> Result<Read, StoreError>;

    /// Everything that changed before `until` was looked at. Never goes back.
    async fn looked(&self, key: &RepositoryKey, until: Time) -> Result<(), StoreError>;

    /// Takes up an act; `false` where it is settled. One that was taken up and not settled, since
    /// the process ended, is taken up again.
    async fn take_up(&self, key: &ActKey, number: i64, actor: &str) -> Result<bool, StoreError>;

    /// The act is consumed.
    async fn settle(&self, key: &ActKey, outcome: &str) -> Result<(), StoreError>;

    /// Consumes the acts of an issue or pull request that were taken up `before` and never settled, after a look that
    /// came to its end without meeting them: who did them took them back.
    async fn settle_gone(
        &self,
        repository: &RepositoryKey,
        number: i64,
        before: Time,
    ) -> Result<(), StoreError>;

    /// Consumes entries of a timeline that ask for nothing: number and account of each. Those that are known stay as
    /// they are.
    async fn pass_over(
        &self,
        repository: &RepositoryKey,
        number: i64,
        entries: &[(i64, String)],
        outcome: &str,
    ) -> Result<(), StoreError>;

    /// Issues and pull requests with acts that were taken up and not settled.
    async fn unsettled(&self, repository: &RepositoryKey) -> Result<Vec<i64>, StoreError>;

    /// A look at an issue or pull request came to no end. It is owed until it is paid; `since` is how far the repository
    /// was read, the first time counts.
    async fn owe_look(
        &self,
        repository: &RepositoryKey,
        number: i64,
        since: Time,
    ) -> Result<(), StoreError>;

    /// The look that was owed came to its end.
    async fn pay_look(&self, repository: &RepositoryKey, number: i64) -> Result<(), StoreError>;

    /// Looks that are owed: number, and how far the repository was read then.
    async fn owed_looks(&self, repository: &RepositoryKey) -> Result<Vec<(i64, Time)>, StoreError>;

    /// How many acts of this account with this outcome were settled in the repository since then; an
    /// empty `actor` is anybody, an empty `outcome` whatever came of it.
    async fn settled_since(
        &self,
        repository: &RepositoryKey,
        actor: &str,
        outcome: &str,
        since: Time,
    ) -> Result<u64, StoreError>;

    /// The tasks of an issue, newest first.
    async fn tasks_of(
        &self,
        repository: &RepositoryKey,
        number: i64,
    ) -> Result<Vec<Record>, StoreError>;

    /// The newest task whose pull request has this number.
    async fn task_of_pull(
        &self,
        repository: &RepositoryKey,
        pull: i64,
    ) -> Result<Option<Record>, StoreError>;

    /// The id of a comment of ours, where it is known.
    async fn note(&self, repository: &RepositoryKey, key: &str) -> Result<Option<i64>, StoreError>;

    /// Keeps the id of a comment of ours.
    async fn keep_note(
        &self,
        repository: &RepositoryKey,
        key: &str,
        comment: i64,
    ) -> Result<(), StoreError>;

    /// Workflows that somebody allowed a push to run with secrets, by the digest of them all.
    async fn allowed_exposures(
        &self,
        repository: &RepositoryKey,
    ) -> Result<Vec<Digest>, StoreError>;

    /// Somebody allowed them, for every later push too.
    async fn allow_exposure(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        by: &str,
    ) -> Result<(), StoreError>;
}

const SEE: &str = "insert into repositories (forge, id, name, first_seen, looked_until) \
     values ($1, $2, $3, $4, $4) on conflict (forge, id) do update set name = excluded.name \
     returning first_seen, looked_until";
const LOOKED: &str = "update repositories set looked_until = $3 \
     where forge = $1 and id = $2 and looked_until < $3";
const TAKE_UP: &str = "insert into acts (forge, repository, kind, act, number, actor, state, seen_at) \
     values ($1, $2, $3, $4, $5, $6, 'open', $7) on conflict (forge, repository, kind, act) do nothing";
const PASS_OVER: &str = "insert into acts \
     (forge, repository, kind, act, number, actor, state, seen_at, settled_at, outcome) \
     values ($1, $2, 'entry', $3, $4, $5, 'settled', $6, $6, $7) on conflict (forge, repository, kind, act) do nothing";
const KNOWN: &str =
    "select act from acts where forge = $1 and repository = $2 and kind = 'entry' and act = $3";
const STATE: &str = "select state from acts \
     where forge = $1 and repository = $2 and kind = $3 and act = $4";
const SETTLE: &str = "update acts set state = 'settled', settled_at = $5, outcome = $6 \
     where forge = $1 and repository = $2 and kind = $3 and act = $4 and state = 'open'";
const GONE: &str = "select count(*) from acts \
     where forge = $1 and repository = $2 and number = $3 and state = 'open' and seen_at < $4";
const SETTLE_GONE: &str = "update acts set state = 'settled', settled_at = $5, outcome = 'it is gone' \
     where forge = $1 and repository = $2 and number = $3 and state = 'open' and seen_at < $4";
const UNSETTLED: &str = "select distinct number from acts \
     where forge = $1 and repository = $2 and state = 'open' order by number";
const SETTLED_SINCE: &str = "select count(*) from acts where forge = $1 and repository = $2 \
     and ($3 = '' or actor = $3) and ($4 = '' or outcome = $4) and settled_at >= $5";
const TASKS_OF: &str = "select body, version, created_at, updated_at, finished_at from tasks \
     where forge = $1 and repository = $2 and number = $3 order by id desc";
const TASK_OF_PULL: &str = "select body, version, created_at, updated_at, finished_at from tasks \
     where forge = $1 and repository = $2 and json_extract(body, '$.pull.number') = $3 \
     order by id desc limit 1";
const ALLOWED: &str =
    "select digest from exposures where forge = $1 and repository = $2 order by at, digest";
const ALLOW: &str = "insert into exposures (forge, repository, digest, by, at) values ($1, $2, $3, $4, $5) \
     on conflict (forge, repository, digest) do nothing";

/// Longest text that is kept of an account's name or of an outcome.
const MOST_CHARS: usize = 200;

fn clipped(text: &str) -> String {
    text.chars().take(MOST_CHARS).collect()
}

#[async_trait]
impl Acts for Sqlite {
    async fn see_repository(&self, key: &RepositoryKey, name: &str) -> Result<Read, StoreError> {
        let (key, name, now) = (key.clone(), name.to_owned(), self.clock.now());
        let (first_seen, looked_until): (i64, i64) = self
            .writer
            .write("repository", move |c| {
                Box::pin(async move {
                    Ok::<_, StoreError>(
                        sqlx::query_as(SEE)
                            .bind(key.forge)
                            .bind(key.id)
                            .bind(name)
                            .bind(now.0)
                            .fetch_one(c)
                            .await?,
                    )
                })
            })
            .await?;
        Ok(Read {
            first_seen: Time(first_seen),
            looked_until: Time(looked_until),
        })
    }

    async fn looked(&self, key: &RepositoryKey, until: Time) -> Result<(), StoreError> {
        let key = key.clone();
        self.writer
            .write("looked", move |c| {
                Box::pin(async move {
                    let looked = sqlx::query(LOOKED).bind(key.forge).bind(key.id);
                    looked.bind(until.0).execute(c).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn take_up(&self, key: &ActKey, number: i64, actor: &str) -> Result<bool, StoreError> {
        let (key, actor, now) = (key.clone(), clipped(actor), self.clock.now());
        self.writer
            .write("act", move |c| {
                Box::pin(async move {
                    let fresh = sqlx::query(TAKE_UP)
                        .bind(&key.repository.forge)
                        .bind(key.repository.id)
                        .bind(key.kind.word())
                        .bind(key.act)
                        .bind(number)
                        .bind(actor)
                        .bind(now.0)
                        .execute(&mut *c)
                        .await?;
                    Ok(fresh.rows_affected() > 0 || is_open(c, &key).await?)
                })
            })
            .await
    }

    async fn settle(&self, key: &ActKey, outcome: &str) -> Result<(), StoreError> {
        let (key, outcome, now) = (key.clone(), clipped(outcome), self.clock.now());
        self.writer
            .write("settle", move |c| {
                Box::pin(async move {
                    sqlx::query(SETTLE)
                        .bind(key.repository.forge)
                        .bind(key.repository.id)
                        .bind(key.kind.word())
                        .bind(key.act)
                        .bind(now.0)
                        .bind(outcome)
                        .execute(c)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn settle_gone(
        &self,
        repository: &RepositoryKey,
        number: i64,
        before: Time,
    ) -> Result<(), StoreError> {
        let open: i64 = sqlx::query_scalar(GONE)
            .bind(&repository.forge)
            .bind(repository.id)
            .bind(number)
            .bind(before.0)
            .fetch_one(&self.readers)
            .await?;
        // Nearly always there is none; then nothing is written.
        if open == 0 {
            return Ok(());
        }
        let (key, now) = (repository.clone(), self.clock.now());
        self.writer
            .write("settle-gone", move |c| {
                Box::pin(async move {
                    sqlx::query(SETTLE_GONE)
                        .bind(key.forge)
                        .bind(key.id)
                        .bind(number)
                        .bind(before.0)
                        .bind(now.0)
                        .execute(c)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn pass_over(
        &self,
        repository: &RepositoryKey,
        number: i64,
        entries: &[(i64, String)],
        outcome: &str,
    ) -> Result<(), StoreError> {
        let mut fresh = Vec::new();
        // Read first: a look finds mostly what earlier ones found, and a write waits for the disk.
        for (act, actor) in entries {
            let known = sqlx::query_scalar::<_, i64>(KNOWN)
                .bind(&repository.forge)
                .bind(repository.id)
                .bind(act);
            if known.fetch_optional(&self.readers).await?.is_none() {
                fresh.push((*act, clipped(actor)));
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let (repository, outcome, now) = (repository.clone(), clipped(outcome), self.clock.now());
        self.writer
            .write("pass over", move |c| {
                Box::pin(async move {
                    for (act, actor) in fresh {
                        sqlx::query(PASS_OVER)
                            .bind(&repository.forge)
                            .bind(repository.id)
                            .bind(act)
                            .bind(number)
                            .bind(actor)
                            .bind(now.0)
                            .bind(&outcome)
                            .execute(&mut *c)
                            .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn unsettled(&self, repository: &RepositoryKey) -> Result<Vec<i64>, StoreError> {
        let numbers = sqlx::query_scalar(UNSETTLED)
            .bind(&repository.forge)
            .bind(repository.id);
        Ok(numbers.fetch_all(&self.readers).await?)
    }

    async fn owe_look(
        &self,
        repository: &RepositoryKey,
        number: i64,
        since: Time,
    ) -> Result<(), StoreError> {
        let key = repository.clone();
        self.writer
            .write("owe-look", move |c| {
                Box::pin(owed::owe(c, key, number, since))
            })
            .await
    }

    async fn pay_look(&self, repository: &RepositoryKey, number: i64) -> Result<(), StoreError> {
        let key = repository.clone();
        self.writer
            .write("pay-look", move |c| Box::pin(owed::pay(c, key, number)))
            .await
    }

    async fn owed_looks(&self, repository: &RepositoryKey) -> Result<Vec<(i64, Time)>, StoreError> {
        owed::all(&self.readers, repository).await
    }

    async fn settled_since(
        &self,
        repository: &RepositoryKey,
        actor: &str,
        outcome: &str,
        since: Time,
    ) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(SETTLED_SINCE)
            .bind(&repository.forge)
            .bind(repository.id)
            .bind(clipped(actor))
            .bind(outcome)
            .bind(since.0)
            .fetch_one(&self.readers)
            .await?;
        Ok(count.unsigned_abs())
    }

    async fn tasks_of(
        &self,
        repository: &RepositoryKey,
        number: i64,
    ) -> Result<Vec<Record>, StoreError> {
        let found = sqlx::query_as(TASKS_OF)
            .bind(&repository.forge)
            .bind(format!("#{}", repository.id))
            .bind(number)
            .fetch_all(&self.readers)
            .await?;
        found.into_iter().map(rows::record).collect()
    }

    async fn task_of_pull(
        &self,
        repository: &RepositoryKey,
        pull: i64,
    ) -> Result<Option<Record>, StoreError> {
        let found = sqlx::query_as(TASK_OF_PULL)
            .bind(&repository.forge)
            .bind(format!("#{}", repository.id))
            .bind(pull)
            .fetch_optional(&self.readers)
            .await?;
        found.map(rows::record).transpose()
    }

    async fn note(&self, repository: &RepositoryKey, key: &str) -> Result<Option<i64>, StoreError> {
        notes::note(&self.readers, repository, key).await
    }

    async fn keep_note(
        &self,
        repository: &RepositoryKey,
        key: &str,
        comment: i64,
    ) -> Result<(), StoreError> {
        let (repository, key) = (repository.clone(), key.to_owned());
        self.writer
            .write("note", move |c| {
                Box::pin(async move { notes::keep(c, &repository, &key, comment).await })
            })
            .await
    }

    async fn allowed_exposures(
        &self,
        repository: &RepositoryKey,
    ) -> Result<Vec<Digest>, StoreError> {
        let found: Vec<String> = sqlx::query_scalar(ALLOWED)
            .bind(&repository.forge)
            .bind(repository.id)
            .fetch_all(&self.readers)
            .await?;
        found.into_iter().map(rows::digest).collect()
    }

    async fn allow_exposure(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        by: &str,
    ) -> Result<(), StoreError> {
        let (key, digest) = (repository.clone(), digest.clone());
        let (by, now) = (clipped(by), self.clock.now());
        self.writer
            .write("exposure", move |c| {
                Box::pin(async move {
                    sqlx::query(ALLOW)
                        .bind(key.forge)
                        .bind(key.id)
                        .bind(digest.as_str())
                        .bind(by)
                        .bind(now.0)
                        .execute(c)
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}

async fn is_open(c: &mut SqliteConnection, key: &ActKey) -> Result<bool, StoreError> {
    let state: Option<String> = sqlx::query_scalar(STATE)
        .bind(&key.repository.forge)
        .bind(key.repository.id)
        .bind(key.kind.word())
        .bind(key.act)
        .fetch_optional(c)
        .await?;
    Ok(state.as_deref() == Some("open"))
}
