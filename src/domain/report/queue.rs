//! A task in line: what it waits for.

use super::super::task::{Task, Waiting};
use super::turn::{capital, result_noun};
use super::{Page, Voice, count, line};

/// Where a queued task stands, which only whoever hands out slots knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InLine {
    /// From 1.
    pub place: u32,
    /// How many wait.
    pub of: u32,
    /// What it waits for.
    pub hold: Hold,
}

/// What a queued task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// A free slot of the server.
    Slot {
        /// Slots at work.
        busy: u32,
        /// All of them.
        all: u32,
    },
    /// A free slot of this repository.
    Repository {
        /// Tasks of the repository at work.
        busy: u32,
        /// Most of them (`[workers] per_repo`).
        limit: u32,
    },
    /// A review: too many pull requests of ours wait.
    Reviews {
        /// How many wait.
        open: u32,
        /// Most of them (`[task] max_open`).
        limit: u32,
    },
}

pub(super) fn queued(
    page: &mut Page,
    task: &Task,
    why: &Waiting,
    voice: &Voice,
    in_line: Option<InLine>,
) {
    let untouched = if task.pull.is_some() {
        format!("{} stays as it is.", capital(&result_noun(task, voice)))
    } else {
        "The repository is untouched.".to_owned()
    };
    match why {
        Waiting::Slot => match in_line {
            None => page.add(&format!("In line: waiting for a free slot. {untouched}")),
            Some(in_line) => page.add(&format!("{} {untouched}", in_line.words())),
        },
        Waiting::Retry { class } => page.add(&format!(
            "The last try stopped (class {}). I try again by myself, {} of {}. {untouched}",
            class.word(),
            task.auto_retries,
            class.auto_retries().max(task.auto_retries)
        )),
        Waiting::Person { by } => {
            let kept = if task.kept.is_some() {
                "The work so far is kept."
            } else {
                "Nothing was lost."
            };
            page.add(&format!(
                "Interrupted by {}. {kept} {untouched}",
                line(by, 60)
            ));
        }
    }
}

impl InLine {
    fn words(self) -> String {
        let hold = match self.hold {
            Hold::Slot { busy, all } => {
                format!("Waiting for: a free slot ({busy} of {all} busy).")
            }
            Hold::Repository { busy, limit } => format!(
                "Waiting for: another task of this repository to end ({busy} at work, limit {limit})."
            ),
            Hold::Reviews { open, limit } => format!(
                "{} here already {} a review (limit {limit}, `[task] max_open`); review one to free a place.",
                count(
                    open as usize,
                    "pull request of mine",
                    "pull requests of mine"
                ),
                if open == 1 { "awaits" } else { "await" }
            ),
        };
        format!("In line: {} of {}. {hold}", ordinal(self.place), self.of)
    }
}

/// `1st`, `2nd`, `11th`.
fn ordinal(number: u32) -> String {
    let end = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}
