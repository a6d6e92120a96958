//! Asks the world what is true and feeds the same events. Decides nothing.

use crate::domain::event::Event;
use crate::domain::ident::CommitId;
use crate::domain::policy::ActorKind;
use crate::domain::task::{Stage, Task};
use crate::forge::{Account, Error, Forge, Place, PullState, Stands};

/// What became of a published result while nobody looked: merged, closed, gone, moved, or nothing new.
///
/// `by` is who is told to have done it, where the forge does not say. `programs` are accounts that the settings
/// name as bots.
///
/// # Errors
/// As the forge; then nothing is known to have happened.
pub async fn look(
    task: &Task,
    forge: &dyn Forge,
    by: &str,
    programs: &[String],
) -> Result<Option<Event>, Error> {
    let Some(known) = known_head(task) else {
        return Ok(None);
    };
    let Some(PullState {
        head,
        stands,
        by: who,
        ..
    }) = forge.pull_state(Place::of(task)).await?
    else {
        return Ok(None);
    };
    let closing = matches!(
        &task.stage,
        Stage::InReview {
            closing: Some(_),
            ..
        }
    );
    let is_program = who.as_ref().is_some_and(|who| is_program(who, programs));
    let is_named = who.is_some();
    let by = who.map_or_else(|| by.to_owned(), |who| who.login);
    Ok(match (stands, head) {
        (Stands::Merged, _) => Some(Event::Merged { by }),
        // The branch is ours to move at this moment.
        (Stands::Open, _) if matches!(task.stage, Stage::Publishing { .. }) => None,
        (Stands::Closed, _) if closing => None,
        (Stands::Closed, _) if is_program => Some(Event::ClosedByBot { by }),
        (Stands::Closed, Some(_)) => Some(Event::Closed { by }),
        // Closing it and deleting its branch is one act to a person.
        (Stands::Closed, None) if is_named => Some(Event::Closed { by }),
        (Stands::Closed | Stands::Open, None) => Some(Event::BranchGone { by }),
        (Stands::Open, Some(_)) if closing => Some(Event::Reopened { by }),
        (Stands::Open, Some(head)) => {
            moved(task, known, &head).then_some(Event::BranchMoved { by, head })
        }
    })
}

/// The head that the pull request has as far as the task knows; `None` where nothing of it can be news.
fn known_head(task: &Task) -> Option<&CommitId> {
    match &task.stage {
        Stage::InReview { head, .. } => Some(head),
        Stage::Ended { .. } => None,
        Stage::Publishing { .. }
        | Stage::Proposed
        | Stage::Queued { .. }
        | Stage::Running { .. }
        | Stage::Asking { .. }
        | Stage::AwaitingApproval { .. }
        | Stage::TakenOver { .. }
        | Stage::Failed { .. } => task.pull.as_ref().map(|pull| &pull.head),
    }
}

/// Whether somebody else's commit is the head. Outside review a commit of ours may be there that the task does not
/// know as its head: a publication whose answer was lost.
fn moved(task: &Task, known: &CommitId, head: &CommitId) -> bool {
    let in_review = matches!(task.stage, Stage::InReview { .. });
    head != known && (in_review || !task.ours.contains(head))
}

fn is_program(account: &Account, programs: &[String]) -> bool {
    account.kind == ActorKind::Bot
        || programs
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&account.login))
}
