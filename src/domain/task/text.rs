//! The texts of a task's issue: what was accepted, what came after, and how people call them.

use super::super::brief::Brief;
use super::{ApprovalOf, Stage, Task};

impl Task {
    /// The text as last heard of.
    #[must_use]
    pub fn newest_text(&self) -> &Brief {
        self.edited.as_deref().unwrap_or(&self.brief)
    }

    /// The name of the newest text of the issue where somebody has to have seen it for an act of theirs to mean it;
    /// another text of the same task has another name.
    #[must_use]
    pub fn text_to_see(&self) -> Option<String> {
        self.brief_waits()
            .then(|| format!("b{}", self.brief_number()))
    }

    /// Whether the brief waits for a yes.
    #[must_use]
    pub fn brief_waits(&self) -> bool {
        matches!(
            self.stage,
            Stage::Proposed
                | Stage::AwaitingApproval {
                    of: ApprovalOf::Brief { .. }
                }
        )
    }

    /// How often the brief's text was replaced, from 1: `b1`, `b2`, …
    #[must_use]
    pub fn brief_number(&self) -> u32 {
        self.brief_edits + 1
    }
}
