//! What the referee is asked about pull requests. A newer question about the same one replaces the older.

use async_trait::async_trait;

use super::acts::RepositoryKey;
use super::sqlite::Sqlite;
use super::{StoreError, rows};
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
    /// Who asked.
    pub asker: String,
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
    /// Asks; what was asked before about this pull request is forgotten, unless it is the same head and not answered.
    async fn ask_verdict(&self, question: Question) -> Result<(), StoreError>;

    /// Questions that are not answered.
    async fn waiting_verdicts(&self) -> Result<u64, StoreError>;

    /// At the start of the process that works on them: what a killed one had begun is queued again.
    async fn requeue_verdicts(&self) -> Result<(), StoreError>;

    /// Takes the oldest that waits.
    async fn begin_verdict(&self) -> Result<Option<Begun>, StoreError>;

    /// Hands one back that could not be judged now.
    async fn hand_back_verdict(&self, question: &Question) -> Result<(), StoreError>;

    /// Answers it; `false` where another question took its place meanwhile.
    async fn answer_verdict(&self, question: &Question, outcome: &str) -> Result<bool, StoreError>;
}

const ASK: &str = "insert into verdicts (forge, repository, pull, head, base_branch, asker, asked_at, state) \
     values ($1, $2, $3, $4, $5, $6, $7, 'queued') on conflict (forge, repository, pull) do update set \
     head = excluded.head, base_branch = excluded.base_branch, asker = excluded.asker, \
     asked_at = case when verdicts.state = 'queued' then verdicts.asked_at else excluded.asked_at end, \
     state = 'queued', attempts = 0, outcome = null \
     where not (verdicts.state = 'running' and verdicts.head = excluded.head)";
const WAITING: &str = "select count(*) from verdicts where state <> 'done'";
const REQUEUE: &str = "update verdicts set state = 'queued' where state = 'running'";
const BEGIN: &str = "update verdicts set state = 'running', attempts = attempts + 1 \
     where (forge, repository, pull) = (select forge, repository, pull from verdicts \
     where state = 'queued' order by asked_at limit 1) \
     returning forge, repository, pull, head, base_branch, asker, asked_at, attempts";
const HAND_BACK: &str = "update verdicts set state = 'queued' \
     where forge = $1 and repository = $2 and pull = $3 and head = $4 and state = 'running'";
const ANSWER: &str = "update verdicts set state = 'done', outcome = $5 \
     where forge = $1 and repository = $2 and pull = $3 and head = $4 and state = 'running'";

type BegunRow = (String, i64, i64, String, String, String, i64, i64);

fn begun(row: BegunRow) -> Result<Begun, StoreError> {
    let (forge, id, pull, head, base_branch, asker, asked_at, attempts) = row;
    let head = head.parse().map_err(|why| StoreError::Corrupt {
        what: format!("the head of a question for the referee cannot be read: {why}"),
    })?;
    Ok(Begun {
        question: Question {
            repository: RepositoryKey { forge, id },
            pull,
            head,
            base_branch,
            asker,
            asked_at: Time(asked_at),
        },
        attempts: rows::count(attempts)?,
    })
}

#[async_trait]
impl Verdicts for Sqlite {
    async fn ask_verdict(&self, question: Question) -> Result<(), StoreError> {
        self.writer
            .write("verdict", move |c| {
                Box::pin(async move {
                    let key = &question.repository;
                    sqlx::query(ASK)
                        .bind(&key.forge)
                        .bind(key.id)
                        .bind(question.pull)
                        .bind(question.head.as_str())
                        .bind(&question.base_branch)
                        .bind(&question.asker)
                        .bind(question.asked_at.0)
                        .execute(&mut *c)
                        .await?;
                    Ok(())
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
        // Asked first without writing: nearly always there is none.
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from verdicts where state = 'queued'")
                .fetch_one(&self.readers)
                .await?;
        if waiting == 0 {
            return Ok(None);
        }
        let row: Option<BegunRow> = self
            .writer
            .write("begin-verdict", move |c| {
                Box::pin(async move {
                    Ok::<_, StoreError>(sqlx::query_as(BEGIN).fetch_optional(c).await?)
                })
            })
            .await?;
        row.map(begun).transpose()
    }

    async fn hand_back_verdict(&self, question: &Question) -> Result<(), StoreError> {
        let question = question.clone();
        self.writer
            .write("hand-back-verdict", move |c| {
                Box::pin(async move {
                    sqlx::query(HAND_BACK)
                        .bind(question.repository.forge)
                        .bind(question.repository.id)
                        .bind(question.pull)
                        .bind(question.head.as_str())
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
                        .bind(question.repository.forge)
                        .bind(question.repository.id)
                        .bind(question.pull)
                        .bind(question.head.as_str())
                        .bind(outcome)
                        .execute(c)
                        .await?;
                    Ok(answered.rows_affected() > 0)
                })
            })
            .await
    }
}
