//! The part of a result that is left for a person to apply.
//!
//! A forge refuses a push that changes workflow files unless our credential may do that, and what runs with the
//! repository's secrets is not for an agent to change. So they are taken out before gates and checks see the result.

use super::{Bench, Exit, blocking, failed};
use crate::domain::ident::CommitId;
use crate::domain::task::{ByHand, FailureClass, Task, Unfinished};
use crate::store::{ArtifactKind, Content};

/// Longest patch that is kept, in bytes.
const PATCH_CAP: usize = 20_000;
/// Most files that are named.
const FILES_CAP: usize = 100;

/// The tree of a result without what its forge does not let us publish, and that as a patch.
pub(super) async fn split(
    bench: &Bench,
    task: &Task,
    tree: String,
    parent: &CommitId,
) -> Result<(String, Option<ByHand>), Exit> {
    let folders = bench.by_hand;
    if folders.is_empty() {
        return Ok((tree, None));
    }
    let (mirror, base, parent) = (bench.mirror.clone(), task.base.clone(), parent.clone());
    let at = parent.clone();
    let split = blocking(move || mirror.split_off((&at, &base), &tree, folders, PATCH_CAP)).await?;
    if split.files.is_empty() {
        return Ok((
            split.tree,
            still_to_apply(task, &parent, split.parent_is_base),
        ));
    }
    let text = String::from_utf8(split.patch.bytes);
    let whole = text.is_ok() && !split.patch.capped;
    let text = text.unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned());
    let patch = bench.redactor.redact(&text);
    let by_hand = ByHand {
        files_left_out: split.files.len().saturating_sub(FILES_CAP),
        files: split.files.into_iter().take(FILES_CAP).collect(),
        whole: whole && patch == text,
        patch,
    };
    Ok((split.tree, Some(by_hand)))
}

/// The patch of the round before: the work went on from a commit without it, and nobody applied it.
fn still_to_apply(task: &Task, parent: &CommitId, not_applied: bool) -> Option<ByHand> {
    let result = &task.revision.as_ref()?.result;
    let goes_on = task.pull.is_some() && result.head == *parent;
    let earlier = result.by_hand.clone()?;
    (goes_on && not_applied).then_some(earlier)
}

/// Ends a run that made nothing but this: it is kept, since no pull request shows it.
pub(super) async fn alone(
    bench: &Bench,
    task: &Task,
    by_hand: Option<ByHand>,
    seen: &mut Unfinished,
) -> Result<(), Exit> {
    let shown = task.revision.as_ref().filter(|_| task.pull.is_some());
    let shown = shown.and_then(|revision| revision.result.by_hand.as_ref());
    // What the pull request shows already is no work of this round.
    let Some(by_hand) = by_hand.filter(|left| Some(left) != shown) else {
        return Ok(());
    };
    let named: Vec<String> = by_hand
        .files
        .iter()
        .take(5)
        .map(|path| format!("`{}`", path.lossy()))
        .collect();
    let more = by_hand.files.len() + by_hand.files_left_out - named.len();
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "the agent changed nothing but workflow files, which only a person may publish here: {}{more}",
        named.join(", ")
    );
    let content = Content::Bytes(by_hand.patch.clone().into_bytes());
    let (store, kind) = (&bench.store, ArtifactKind::Patch);
    store.put_artifact(Some(task.id), kind, content).await?;
    seen.by_hand = Some(by_hand);
    Err(failed(FailureClass::Scope, message, String::new()))
}
