//! Asks the world what is true and feeds the same events. Decides nothing.

use crate::domain::event::Event;
use crate::domain::task::{Stage, Task};
use crate::forge::{Error, Forge, Place, PullState, Stands};

/// What became of a published result while nobody looked: merged, closed, gone, moved, or nothing new.
///
/// `by` is who is told to have done it, where the forge does not say.
///
/// # Errors
/// As the forge; then nothing is known to have happened.
pub async fn look(task: &Task, forge: &dyn Forge, by: &str) -> Result<Option<Event>, Error> {
    let Stage::InReview {
        head: known,
        closing,
        ..
    } = &task.stage
    else {
        return Ok(None);
    };
    let place = Place {
        task: task.id,
        issue: task.issue.number,
    };
    let by = by.to_owned();
    Ok(match forge.pull_state(place).await? {
        None => None,
        Some(PullState {
            stands: Stands::Merged,
            ..
        }) => Some(Event::Merged { by }),
        Some(PullState { head: None, .. }) => Some(Event::BranchGone { by }),
        Some(PullState {
            stands: Stands::Closed,
            ..
        }) if closing.is_none() => Some(Event::Closed { by }),
        Some(PullState {
            stands: Stands::Open,
            ..
        }) if closing.is_some() => Some(Event::Reopened { by }),
        Some(PullState {
            head: Some(head), ..
        }) if head != *known => Some(Event::BranchMoved { by, head }),
        Some(_) => None,
    })
}
