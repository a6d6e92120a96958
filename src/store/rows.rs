//! Rows read: text back into types. What cannot be read was not written by this program.

use serde::de::DeserializeOwned;

use super::{
    Arrival, Artifact, ArtifactKind, Hook, HookId, Input, InputId, Job, JobState, JournalLine,
    Outcome, Record, StoreError, StoredHook, Version,
};
use crate::domain::ident::{Digest, TaskId, Time};

pub(super) type InputRow = (i64, String, Option<i64>, String, i64);
pub(super) type OutcomeRow = (String, Option<i64>, Option<i64>, Option<String>);
pub(super) type HookRow = (i64, String, String, String, Vec<u8>, i64);
pub(super) type TaskRow = (String, i64, i64, i64, Option<i64>);
pub(super) type JournalRow = (i64, Option<String>, String);
pub(super) type JobRow = (
    String,
    i64,
    String,
    String,
    i64,
    i64,
    i64,
    Option<String>,
    Option<i64>,
    i64,
    Option<String>,
);

pub(super) fn input((id, kind, task, body, at): InputRow) -> Result<Input, StoreError> {
    let row = || format!("input {id}");
    let arrival = match (kind.as_str(), task) {
        ("request", _) => Arrival::Request(Box::new(json(&body, row)?)),
        ("event", Some(task)) => Arrival::Event {
            task: TaskId(task),
            event: Box::new(json(&body, row)?),
        },
        _ => return Err(unreadable(&row(), &format!("its kind is `{kind}`"))),
    };
    Ok(Input {
        id: InputId(id),
        arrival,
        at: Time(at),
    })
}

pub(super) fn outcome((state, task, seq, reason): OutcomeRow) -> Result<Outcome, StoreError> {
    match (state.as_str(), task, seq, reason) {
        ("new", ..) => Ok(Outcome::Waiting),
        ("done", Some(task), Some(seq), _) => Ok(Outcome::Done {
            task: TaskId(task),
            version: Version(seq),
        }),
        ("ignored", _, _, Some(reason)) => Ok(Outcome::Ignored { reason }),
        _ => Err(unreadable("an input", &format!("its state is `{state}`"))),
    }
}

pub(super) fn hook((id, forge, delivery, event, body, at): HookRow) -> StoredHook {
    StoredHook {
        id: HookId(id),
        hook: Hook {
            forge,
            delivery,
            event,
            body: body.into(),
        },
        at: Time(at),
    }
}

pub(super) fn record(
    (body, version, created, updated, finished): TaskRow,
) -> Result<Record, StoreError> {
    Ok(Record {
        task: json(&body, || "a task".to_owned())?,
        version: Version(version),
        created_at: Time(created),
        updated_at: Time(updated),
        finished_at: finished.map(Time),
    })
}

pub(super) fn journal_line((at, event, note): JournalRow) -> Result<JournalLine, StoreError> {
    let event = event.map(|text| json(&text, || "a journal line".to_owned()));
    Ok(JournalLine {
        at: Time(at),
        event: event.transpose()?,
        note,
    })
}

pub(super) fn job(row: JobRow) -> Result<Job, StoreError> {
    let (key, task, effect, state, rearmed, epoch, attempts, holder, until, next_at, why) = row;
    let state = match (state.as_str(), holder, until) {
        ("pending", ..) => JobState::Pending,
        ("done", ..) => JobState::Done,
        ("superseded", ..) => JobState::Superseded,
        ("claimed", Some(holder), Some(until)) => JobState::Claimed {
            holder,
            until: Time(until),
            rearmed: rearmed == 1,
        },
        _ => return Err(unreadable(&key, &format!("its state is `{state}`"))),
    };
    Ok(Job {
        task: TaskId(task),
        effect: json(&effect, || key.clone())?,
        state,
        epoch: count(epoch)?,
        attempts: count(attempts)?,
        next_at: Time(next_at),
        why,
        key,
    })
}

pub(super) fn artifact(
    (kind, sha256, bytes): (String, String, i64),
) -> Result<Artifact, StoreError> {
    let kind = match kind.as_str() {
        "patch" => ArtifactKind::Patch,
        "transcript" => ArtifactKind::Transcript,
        "log" => ArtifactKind::Log,
        _ => return Err(unreadable("an artifact", &format!("its kind is `{kind}`"))),
    };
    Ok(Artifact {
        kind,
        sha256: digest(sha256)?,
        bytes: u64::try_from(bytes).map_err(|why| unreadable("an artifact", &why))?,
    })
}

pub(super) fn digest(text: String) -> Result<Digest, StoreError> {
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|why| unreadable("a digest", &why))
}

pub(super) fn count(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|why| unreadable("a job", &why))
}

fn json<T: DeserializeOwned>(text: &str, what: impl Fn() -> String) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|why| unreadable(&what(), &why))
}

fn unreadable(what: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt {
        what: format!("{what} cannot be read: {why}"),
    }
}
