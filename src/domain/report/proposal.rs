//! A proposal: the text that waits for a yes, shown so that who says it has seen all of it.

use super::super::task::{Stage, Task};
use super::super::text::block;
use super::{Page, Voice, brief_name, chars};

/// Longest text, as it is shown, that a proposal shows beside that. It is folded: who accepts it has to be able to read
/// all of it there, who does not need not scroll.
pub const PROPOSED_MAX: usize = 30_000;

/// Whether the status of a task whose brief waits for a yes has all of its text, so that whoever saw the one saw the
/// other. What waits after it was accepted once is named there only.
#[must_use]
pub fn shows_brief(task: &Task) -> bool {
    !matches!(task.stage, Stage::Proposed) || folded(task).is_some()
}

/// The text of a proposal, unless it is too long.
pub(super) fn folded(task: &Task) -> Option<String> {
    let text = task.brief.text.trim();
    let shown = block(text);
    (chars(&shown) <= PROPOSED_MAX).then(|| {
        format!(
            "<details><summary>The text that would run ({} characters)</summary>\n\n{}\n\n</details>",
            chars(text),
            shown.trim_end()
        )
    })
}

/// What a person reads who is to accept it.
pub(super) fn proposed(page: &mut Page, task: &Task, voice: &Voice) {
    let name = brief_name(task);
    page.add(&format!(
        "Someone who may not start a task asked for this, or nothing proves that this is the text that was accepted. \
         I have not read beyond the text `{name}` and will not start."
    ));
    if task.unshown {
        page.add(
            "The forge shows nothing of this: more were proposed there within an hour than are shown.",
        );
    }
    if voice.is_local() {
        return;
    }
    // All of it or nothing: what is accepted is accepted whole.
    page.add(&folded(task).unwrap_or_else(|| {
        format!(
            "The text that would run has {} characters, too many to show here: it is the issue as it was at {} UTC. \
             It is accepted only where the forge proves that nobody edited the issue since.",
            chars(task.brief.text.trim()),
            task.since.date_clock()
        )
    }));
}
