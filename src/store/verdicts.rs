//! What the referee is asked about pull requests. A newer question about the same one replaces the older, except that
//! what nobody asked for never replaces what a person asked: it waits behind it, the newest head alone.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, SqliteConnection};

use super::RepositoryKey;
use super::sqlite::Sqlite;
use super::{StoreError, notes, rows};
use crate::domain::ident::{CommitId, Time};

/// A question for the referee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where.
    pub repository: RepositoryKey,
    /// The pull request.
    pub pull: i64,
    /// The commit to judge.
    pub head: CommitId,
    /// The branch it is to be merged into.
    pub base_branch: String,
    /// Who asked; `None` = the repository wants it judged unasked.
    pub asker: Option<String>,
    /// When.
    pub asked_at: Time,
}

/// The same, begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// What is asked.
    pub question: Question,
    /// Times that it was begun, this one included.
    pub attempts: u32,
}

/// The referee's queue. Each method is one transaction, durable when it returns.
#[async_trait]
pub trait Verdicts: Send + Sync {
    /// Asks; what was asked before about this pull request is forgotten. The same head is judged once more even while it
    /// is judged: that one may have been told already, and to somebody else. `comment`: what asks, to be known by.
    async fn ask_verdict(&self, question: Question, comment: Option<i64>)
    -> Result<(), StoreError>;

    /// Whether this comment is the one that asked last about a pull request.
    async fn was_asked(
        &self,
        repository: &RepositoryKey,
        pull: i64,
        comment: i64,
    ) -> Result<bool, StoreError>;

    /// Has a head judged that nobody asked about, at most `per_hour` of them in an hour of the repository: when at the
    /// earliest. `None` where it was asked about before, and where it waits behind what a person asked about the pull
    /// request. A newer head of a pull request that waits takes its turn.
    async fn judge_unasked(
        &self,
        question: Question,
        per_hour: u32,
    ) -> Result<Option<Time>, StoreError>;

    /// Questions that are not answered.
    async fn waiting_verdicts(&self) -> Result<u64, StoreError>;

    /// At the start of the process that works on them: what a killed one had begun is queued again.
    async fn requeue_verdicts(&self) -> Result<(), StoreError>;

    /// Takes the oldest that waits and whose time has come.
    async fn begin_verdict(&self) -> Result<Option<Begun>, StoreError>;

    /// Hands one back that could not be judged now, and may be again at `not_before`. One that only made way, `counts`
    /// false, was not begun.
    async fn hand_back_verdict(
        &self,
        question: &Question,
        not_before: Time,
        counts: bool,
    ) -> Result<(), StoreError>;

    /// Answers it, and puts what waits behind it in its place; `false` where another question took that meanwhile.
    async fn answer_verdict(&self, question: &Question, outcome: &str) -> Result<bool, StoreError>;
}

const HOUR_SECS: u64 = 3600;

const ASK: &str = "insert into verdicts (forge, repository, pull, head, base_branch, asker, asked_at, unasked, \
     not_before, state) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'queued') \
     on conflict (forge, repository, pull) do update set \
     head = excluded.head, base_branch = excluded.base_branch, asker = excluded.asker, \
     unasked = excluded.unasked, not_before = excluded.not_before, \
     asked_at = case when verdicts.state = 'queued' then verdicts.asked_at else excluded.asked_at end, \
     state = 'queued', attempts = 0, outcome = null";
const WAITING: &str = "select count(*) from verdicts where state <> 'done'";
const REQUEUE: &str = "update verdicts set state = 'queued' where state = 'running'";
const BEGIN: &str = "update verdicts set state = 'running', attempts = attempts + 1 \
     where (forge, repository, pull) = (select forge, repository, pull from verdicts \
     where state = 'queued' and not_before <= $1 order by unasked, asked_at limit 1) \
     returning forge, repository, pull, head, base_branch, asker, asked_at, attempts";
const STANDS: &str = "select head, base_branch, state, not_before, asker from verdicts \
     where forge = $1 and repository = $2 and pull = $3";
const BEHIND: &str = "select head, base_branch, asked_at, not_before from verdicts_behind \
     where forge = $1 and repository = $2 and pull = $3";
const PUT_BEHIND: &str = "insert into verdicts_behind (forge, repository, pull, head, base_branch, asked_at, \
     not_before) values ($1, $2, $3, $4, $5, $6, $7) on conflict (forge, repository, pull) do update set \
     head = excluded.head, base_branch = excluded.base_branch";
const NOT_BEHIND: &str =
    "delete from verdicts_behind where forge = $1 and repository = $2 and pull = $3";
/// The start that leaves the hour first, where there are as many as may be.
const FULL: &str = "select at from unasked_verdicts where forge = $1 and repository = $2 and at > $3 \
     order by at desc limit 1 offset $4";
const STARTS: &str = "insert into unasked_verdicts (forge, repository, at) values ($1, $2, $3)";
const STARTED: &str =
    "delete from unasked_verdicts where forge = $1 and repository = $2 and at <= $3";
const HAND_BACK: &str = "update verdicts set state = 'queued', not_before = $6, attempts = max(attempts - $7, 0) \
     where forge = $1 and repository = $2 and pull = $3 and head = $4 and base_branch = $5 and state = 'running'";
const ANSWER: &str = "update verdicts set state = 'done', outcome = $6 \
     where forge = $1 and repository = $2 and pull = $3 and head = $4 and base_branch = $5 and state = 'running'";

type BegunRow = (String, i64, i64, String, String, String, i64, i64);

fn begun(row: BegunRow) -> Result<Begun, StoreError> {
    let (forge, id, pull, head, base_branch, asker, asked_at, attempts) = row;
    Ok(Begun {
        question: Question {
            repository: RepositoryKey { forge, id },
            pull,
            head: self::head(&head)?,
            base_branch,
            asker: (!asker.is_empty()).then_some(asker),
            asked_at: Time(asked_at),
        },
        attempts: rows::count(attempts)?,
    })
}

async fn ask(
    c: &mut SqliteConnection,
    question: &Question,
    not_before: Time,
) -> Result<(), StoreError> {
    let key = &question.repository;
    sqlx::query(ASK)
        .bind(&key.forge)
        .bind(key.id)
        .bind(question.pull)
        .bind(question.head.as_str())
        .bind(&question.base_branch)
        .bind(question.asker.as_deref().unwrap_or_default())
        .bind(question.asked_at.0)
        .bind(i64::from(question.asker.is_none()))
        .bind(not_before.0)
        .execute(c)
        .await?;
    Ok(())
}

/// When one more may begin that nobody asked for; it is counted.
async fn next_start(
    c: &mut SqliteConnection,
    question: &Question,
    per_hour: u32,
) -> Result<Time, StoreError> {
    let (key, now) = (&question.repository, question.asked_at);
    let hour_ago = now.minus_secs(HOUR_SECS);
    sqlx::query(STARTED)
        .bind(&key.forge)
        .bind(key.id)
        .bind(hour_ago.0)
        .execute(&mut *c)
        .await?;
    let oldest: Option<i64> = sqlx::query_scalar(FULL)
        .bind(&key.forge)
        .bind(key.id)
        .bind(hour_ago.0)
        .bind(i64::from(per_hour.max(1)) - 1)
        .fetch_optional(&mut *c)
        .await?;
    let at = oldest.map_or(now, |at| Time(at).plus_secs(HOUR_SECS));
    sqlx::query(STARTS)
        .bind(&key.forge)
        .bind(key.id)
        .bind(at.0)
        .execute(c)
        .await?;
    Ok(at)
}

/// A question that stands: its commit, its base, its state, since when it may be begun, and who asked.
type StandsRow = (String, String, String, i64, String);

/// What waits behind a question: its commit, its base, when it was asked, since when it may be begun.
type BehindRow = (String, String, i64, i64);

/// The row of a question's pull request that one of the statements above reads.
async fn of_pull<T>(
    c: &mut SqliteConnection,
    sql: &'static str,
    question: &Question,
) -> Result<Option<T>, StoreError>
where
    T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    let key = &question.repository;
    let row = sqlx::query_as(sql)
        .bind(&key.forge)
        .bind(key.id)
        .bind(question.pull)
        .fetch_optional(c)
        .await?;
    Ok(row)
}

async fn stands(
    c: &mut SqliteConnection,
    question: &Question,
) -> Result<Option<StandsRow>, StoreError> {
    of_pull(c, STANDS, question).await
}

async fn behind(
    c: &mut SqliteConnection,
    question: &Question,
) -> Result<Option<BehindRow>, StoreError> {
    of_pull(c, BEHIND, question).await
}

/// Puts a question that nobody asked behind what a person asked; one that is there keeps its turn.
async fn put_behind(
    c: &mut SqliteConnection,
    question: &Question,
    not_before: Time,
) -> Result<(), StoreError> {
    let key = &question.repository;
    sqlx::query(PUT_BEHIND)
        .bind(&key.forge)
        .bind(key.id)
        .bind(question.pull)
        .bind(question.head.as_str())
        .bind(&question.base_branch)
        .bind(question.asked_at.0)
        .bind(not_before.0)
        .execute(c)
        .await?;
    Ok(())
}

async fn none_behind(c: &mut SqliteConnection, question: &Question) -> Result<(), StoreError> {
    let key = &question.repository;
    sqlx::query(NOT_BEHIND)
        .bind(&key.forge)
        .bind(key.id)
        .bind(question.pull)
        .execute(c)
        .await?;
    Ok(())
}

/// The note of the comment that asked last about a pull request.
fn asked_key(pull: i64) -> String {
    format!("asked-{pull}")
}

fn head(text: &str) -> Result<CommitId, StoreError> {
    text.parse().map_err(|why| StoreError::Corrupt {
        what: format!("the head of a question for the referee cannot be read: {why}"),
    })
}

#[async_trait]
impl Verdicts for Sqlite {
    async fn ask_verdict(
        &self,
        question: Question,
        comment: Option<i64>,
    ) -> Result<(), StoreError> {
        self.writer
            .write("verdict", move |c| {
                Box::pin(async move {
                    if let Some(comment) = comment {
                        let key = asked_key(question.pull);
                        notes::keep(c, &question.repository, &key, comment).await?;
                    }
                    // What nobody asked for keeps its turn behind whoever asks.
                    if let Some((head, base_branch, state, not_before, asker)) =
                        stands(c, &question).await?
                        && asker.is_empty()
                        && state == "queued"
                        && (head != question.head.as_str() || base_branch != question.base_branch)
                    {
                        let waits = Question {
                            head: self::head(&head)?,
                            base_branch,
                            asker: None,
                            ..question.clone()
                        };
                        put_behind(c, &waits, Time(not_before)).await?;
                    } else if let Some((head, base_branch, ..)) = behind(c, &question).await?
                        && head == question.head.as_str()
                        && base_branch == question.base_branch
                    {
                        none_behind(c, &question).await?;
                    }
                    ask(c, &question, Time(0)).await
                })
            })
            .await
    }

    async fn was_asked(
        &self,
        repository: &RepositoryKey,
        pull: i64,
        comment: i64,
    ) -> Result<bool, StoreError> {
        let last = notes::note(&self.readers, repository, &asked_key(pull)).await?;
        Ok(last == Some(comment))
    }

    async fn judge_unasked(
        &self,
        question: Question,
        per_hour: u32,
    ) -> Result<Option<Time>, StoreError> {
        self.writer
            .write("unasked verdict", move |c| {
                Box::pin(async move {
                    // Another base makes it another question.
                    let is_same = |head: &str, base: &str| {
                        head == question.head.as_str() && base == question.base_branch
                    };
                    let at = match stands(c, &question).await? {
                        Some((head, base, ..)) if is_same(&head, &base) => {
                            // What waits behind it is older.
                            none_behind(c, &question).await?;
                            return Ok(None);
                        }
                        // What a person asked for is answered first.
                        Some((_, _, state, _, asker)) if state != "done" && !asker.is_empty() => {
                            let at = match behind(c, &question).await? {
                                Some((head, base, ..)) if is_same(&head, &base) => return Ok(None),
                                Some((.., not_before)) => Time(not_before),
                                None => next_start(c, &question, per_hour).await?,
                            };
                            put_behind(c, &question, at).await?;
                            return Ok(None);
                        }
                        // Whoever waits already keeps its turn.
                        Some((_, _, state, not_before, _)) if state == "queued" => Time(not_before),
                        _ => next_start(c, &question, per_hour).await?,
                    };
                    ask(c, &question, at).await?;
                    Ok(Some(at))
                })
            })
            .await
    }

    async fn waiting_verdicts(&self) -> Result<u64, StoreError> {
        let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&self.readers).await?;
        Ok(waiting.unsigned_abs())
    }

    async fn requeue_verdicts(&self) -> Result<(), StoreError> {
        self.writer
            .write("requeue", move |c| {
                Box::pin(async move {
                    sqlx::query(REQUEUE).execute(c).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn begin_verdict(&self) -> Result<Option<Begun>, StoreError> {
        let now = self.clock.now();
        // Asked first without writing: nearly always there is none.
        let due = "select count(*) from verdicts where state = 'queued' and not_before <= $1";
        let waiting: i64 = sqlx::query_scalar(due)
            .bind(now.0)
            .fetch_one(&self.readers)
            .await?;
        if waiting == 0 {
            return Ok(None);
        }
        let row: Option<BegunRow> = self
            .writer
            .write("begin-verdict", move |c| {
                Box::pin(async move {
                    let begun = sqlx::query_as(BEGIN).bind(now.0);
                    Ok::<_, StoreError>(begun.fetch_optional(c).await?)
                })
            })
            .await?;
        row.map(begun).transpose()
    }

    async fn hand_back_verdict(
        &self,
        question: &Question,
        not_before: Time,
        counts: bool,
    ) -> Result<(), StoreError> {
        let question = question.clone();
        self.writer
            .write("hand-back-verdict", move |c| {
                Box::pin(async move {
                    sqlx::query(HAND_BACK)
                        .bind(question.repository.forge)
                        .bind(question.repository.id)
                        .bind(question.pull)
                        .bind(question.head.as_str())
                        .bind(question.base_branch)
                        .bind(not_before.0)
                        .bind(i64::from(!counts))
                        .execute(c)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn answer_verdict(&self, question: &Question, outcome: &str) -> Result<bool, StoreError> {
        let (question, outcome) = (question.clone(), outcome.to_owned());
        self.writer
            .write("answer-verdict", move |c| {
                Box::pin(async move {
                    let answered = sqlx::query(ANSWER)
                        .bind(&question.repository.forge)
                        .bind(question.repository.id)
                        .bind(question.pull)
                        .bind(question.head.as_str())
                        .bind(&question.base_branch)
                        .bind(outcome)
                        .execute(&mut *c)
                        .await?;
                    if answered.rows_affected() == 0 {
                        return Ok(false);
                    }
                    if let Some((head, base_branch, asked_at, not_before)) =
                        behind(c, &question).await?
                    {
                        none_behind(c, &question).await?;
                        let next = Question {
                            head: self::head(&head)?,
                            base_branch,
                            asker: None,
                            asked_at: Time(asked_at),
                            ..question
                        };
                        ask(c, &next, Time(not_before)).await?;
                    }
                    Ok(true)
                })
            })
            .await
    }
}
