//! A new task.

use crate::domain::decide::{Decision, decide};
use crate::domain::effect::Effect;
use crate::domain::event::Event;
use crate::domain::ident::{TaskId, Time};
use crate::domain::report;
use crate::domain::task::NewTask;
use crate::store::JournalLine;

/// A new task as its request makes it, and what follows from its acceptance.
pub(super) fn begin(id: TaskId, new: &NewTask, branch: String, at: Time) -> crate::store::Decision {
    let task = new.proposed(id, branch.clone(), at);
    let event = Event::Requested {
        new: Box::new(new.clone()),
        branch,
    };
    let requested = JournalLine {
        at,
        note: report::journal_line(&event),
        event: Some(event),
    };
    if new.unaccepted {
        let effects = match new.unshown {
            true => Vec::new(),
            false => vec![Effect::Publish],
        };
        return crate::store::Decision {
            task,
            journal: vec![requested],
            effects,
        };
    }
    let event = Event::Accepted {
        by: new.requester.clone(),
        digest: task.brief.digest.clone(),
        address: new.requester_address.clone(),
    };
    match decide(&task, &event, at) {
        Decision::Moved { task, effects } => {
            let accepted = JournalLine {
                at,
                note: report::journal_line(&event),
                event: Some(event),
            };
            crate::store::Decision {
                task: *task,
                journal: vec![requested, accepted],
                effects,
            }
        }
        // Its own digest always fits; were it not so, the task waits at Proposed, visibly.
        Decision::Stale | Decision::Refused(_) => crate::store::Decision {
            task,
            journal: vec![requested],
            effects: vec![Effect::Publish],
        },
    }
}
