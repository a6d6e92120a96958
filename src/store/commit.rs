//! What one transaction writes: inbox rows, decisions with their journal and jobs.
//!
//! Each function runs inside a transaction of the writer; an error undoes what it wrote.

use serde::Serialize;
use sqlx::SqliteConnection;

use super::open::is_unique;
use super::{
    CommitError, Decision, Delivered, InputId, JobKind, MakeTask, Outcome, Record, StoreError,
    Version, rows, sql,
};
use crate::domain::effect::Effect;
use crate::domain::ident::{TaskId, Time};
use crate::domain::task::Task;

/// Appends to the inbox, or finds the row that has the key.
pub(super) async fn append(
    c: &mut SqliteConnection,
    kind: &str,
    task: Option<TaskId>,
    dedup_key: Option<String>,
    body: &str,
    now: Time,
) -> Result<Delivered, StoreError> {
    if let Some(task) = task {
        must_exist(c, task).await?;
    }
    let fresh: Option<i64> = sqlx::query_scalar(sql::DELIVER)
        .bind(kind)
        .bind(task.map(|task| task.0))
        .bind(&dedup_key)
        .bind(body)
        .bind(now.0)
        .fetch_optional(&mut *c)
        .await?;
    if let Some(id) = fresh {
        return Ok(Delivered {
            input: InputId(id),
            duplicate: false,
        });
    }
    let id = sqlx::query_scalar(sql::DELIVERED)
        .bind(&dedup_key)
        .fetch_one(c)
        .await?;
    Ok(Delivered {
        input: InputId(id),
        duplicate: true,
    })
}

pub(super) async fn create(
    c: &mut SqliteConnection,
    input: InputId,
    make: MakeTask,
    now: Time,
) -> Result<Record, CommitError> {
    let id: i64 = sqlx::query_scalar(sql::NEXT_TASK)
        .fetch_one(&mut *c)
        .await?;
    let decision = make(TaskId(id));
    let task = &decision.task;
    if task.id != TaskId(id) {
        return Err(broken("a new task does not carry its number"));
    }
    let live: Option<i64> = sqlx::query_scalar(sql::LIVE_TASK)
        .bind(&task.issue.forge)
        .bind(task.issue.repository_key())
        .bind(task.issue.number)
        .fetch_optional(&mut *c)
        .await?;
    if let Some(live) = live {
        return Err(CommitError::Live(TaskId(live)));
    }
    let version = Version(lines(&decision)?);
    sqlx::query(sql::CREATE_TASK)
        .bind(id)
        .bind(version.0)
        .bind(&task.issue.forge)
        .bind(task.issue.repository_key())
        .bind(task.issue.number)
        .bind(stage(task)?)
        .bind(to_json(task)?)
        .bind(now.0)
        .bind(task.is_final().then_some(now.0))
        .execute(&mut *c)
        .await?;
    settle(c, input, "request", &decision, (Version(0), true), now).await?;
    let finished_at = task.is_final().then_some(now);
    Ok(Record {
        task: decision.task,
        version,
        created_at: now,
        updated_at: now,
        finished_at,
    })
}

pub(super) async fn commit(
    c: &mut SqliteConnection,
    input: InputId,
    expected: Version,
    decision: &Decision,
    now: Time,
) -> Result<Version, CommitError> {
    let task = &decision.task;
    let version = Version(expected.0 + lines(decision)?);
    let before: Option<String> = sqlx::query_scalar(sql::TASK_STAGE)
        .bind(task.id.0)
        .fetch_optional(&mut *c)
        .await?;
    let is_other = before != Some(stage(task)?);
    let moved = sqlx::query(sql::MOVE_TASK)
        .bind(task.id.0)
        .bind(expected.0)
        .bind(version.0)
        .bind(stage(task)?)
        .bind(to_json(task)?)
        .bind(now.0)
        .bind(i64::from(task.is_final()))
        .execute(&mut *c)
        .await?;
    if moved.rows_affected() == 0 {
        let stored: Option<i64> = sqlx::query_scalar(sql::TASK_VERSION)
            .bind(task.id.0)
            .fetch_optional(&mut *c)
            .await?;
        return Err(match stored {
            Some(stored) if stored == expected.0 => broken("a final task was to move on"),
            Some(_) => CommitError::Conflict,
            None => StoreError::NoTask(task.id).into(),
        });
    }
    settle(c, input, "event", decision, (expected, is_other), now).await?;
    Ok(version)
}

/// What creating and moving share: the input is done, the journal written, the jobs added.
async fn settle(
    c: &mut SqliteConnection,
    input: InputId,
    kind: &str,
    decision: &Decision,
    (expected, is_other): (Version, bool),
    now: Time,
) -> Result<(), CommitError> {
    let task = decision.task.id;
    let version = expected.0 + lines(decision)?;
    let settled = sqlx::query(sql::SETTLE)
        .bind(input.0)
        .bind(now.0)
        .bind(task.0)
        .bind(version)
        .bind(kind)
        .execute(&mut *c)
        .await?;
    if settled.rows_affected() == 0 {
        let found: Option<rows::OutcomeRow> = sqlx::query_as(sql::OUTCOME)
            .bind(input.0)
            .fetch_optional(&mut *c)
            .await?;
        return Err(match found.map(rows::outcome).transpose()? {
            None => broken("there is no such input"),
            Some(Outcome::Waiting) => broken("an input was to move what it is not about"),
            Some(Outcome::Done { .. } | Outcome::Ignored { .. }) => CommitError::Decided,
        });
    }
    for (seq, line) in (expected.0 + 1..).zip(&decision.journal) {
        let event = line.event.as_ref().map(to_json).transpose()?;
        sqlx::query(sql::WRITE_JOURNAL)
            .bind(task.0)
            .bind(seq)
            .bind(line.at.0)
            .bind(input.0)
            .bind(event)
            .bind(&line.note)
            .execute(&mut *c)
            .await
            .map_err(|why| match is_unique(&why) {
                true => CommitError::Conflict,
                false => why.into(),
            })?;
    }
    for effect in &decision.effects {
        add_job(c, task, effect, is_other, now).await?;
    }
    if decision.task.is_final() {
        supersede(c, now, None).await?;
    }
    Ok(())
}

pub(super) async fn add_job(
    c: &mut SqliteConnection,
    task: TaskId,
    effect: &Effect,
    is_other_stage: bool,
    now: Time,
) -> Result<(), StoreError> {
    let key = effect.key(task);
    let kind = JobKind::of(effect);
    let statement = match effect {
        Effect::Publish => sql::ADD_PUBLISH,
        Effect::OpenPull { .. } => sql::ADD_PULL,
        _ => sql::ADD_JOB,
    };
    // Due at once, whatever the clock is set to meanwhile.
    let next_at = match effect {
        Effect::Wait { until, .. } => *until,
        _ => Time(0),
    };
    let query = sqlx::query(statement)
        .bind(&key)
        .bind(task.0)
        .bind(kind.word())
        .bind(kind.lane(task, &key))
        .bind(to_json(effect)?)
        .bind(now.0)
        .bind(next_at.0);
    let query = match effect {
        Effect::Publish => query.bind(i64::from(is_other_stage)),
        _ => query,
    };
    query.execute(&mut *c).await?;
    if let Effect::Cancel { run } = effect {
        sqlx::query(sql::WAKE)
            .bind(Effect::Run { run: *run }.key(task))
            .bind(format!("{task}/check/{run}"))
            .execute(c)
            .await?;
    }
    Ok(())
}

pub(super) async fn supersede(
    c: &mut SqliteConnection,
    now: Time,
    holder: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query(sql::SUPERSEDE)
        .bind(now.0)
        .bind(holder)
        .execute(c)
        .await?;
    Ok(())
}

pub(super) async fn must_exist(c: &mut SqliteConnection, task: TaskId) -> Result<(), StoreError> {
    let found: i64 = sqlx::query_scalar(sql::TASK_EXISTS)
        .bind(task.0)
        .fetch_one(c)
        .await?;
    match found {
        0 => Err(StoreError::NoTask(task)),
        _ => Ok(()),
    }
}

/// Journal lines of a decision: what the version grows by.
fn lines(decision: &Decision) -> Result<i64, CommitError> {
    match i64::try_from(decision.journal.len()) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(broken("a task was to move without a journal line")),
    }
}

/// The stage as the serialised task names it.
fn stage(task: &Task) -> Result<String, StoreError> {
    let value = serde_json::to_value(&task.stage).map_err(|why| not_json(&why))?;
    let word = value.get("stage").and_then(|word| word.as_str());
    word.map(str::to_owned)
        .ok_or_else(|| StoreError::Broken("a stage without a name".to_owned()))
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|why| not_json(&why))
}

fn not_json(why: &serde_json::Error) -> StoreError {
    StoreError::Broken(format!("not to be written as JSON: {why}"))
}

fn broken(what: &str) -> CommitError {
    StoreError::Broken(what.to_owned()).into()
}
