//! What people did on an issue or pull request, in the order in which they did it, whatever kind of act it is: who was
//! away for a day comes to the same end as who was there.

use super::{Intake, Scene, Trouble};
use crate::forge::{Comment, Did, Entry, Review};

/// One act of somebody.
pub(super) enum Act {
    /// An entry of the timeline.
    Entry(Entry),
    /// A comment.
    Comment(Comment),
    /// A review.
    Review(Review),
}

/// All acts, oldest first. Forges tell whole seconds. `numbered`: entries and comments are numbered in the order they
/// came, which tells those of one second apart; else entries come before comments, and reviews last.
pub(super) fn in_order(
    entries: Vec<Entry>,
    comments: Vec<Comment>,
    reviews: Vec<Review>,
    numbered: bool,
) -> Vec<Act> {
    let entries = entries.into_iter().map(Act::Entry);
    let comments = comments.into_iter().map(Act::Comment);
    let reviews = reviews.into_iter().map(Act::Review);
    let mut acts: Vec<Act> = entries.chain(comments).chain(reviews).collect();
    acts.sort_by_key(|act| match act {
        Act::Entry(entry) => (entry.at, 0, entry.id),
        Act::Comment(comment) => (comment.created_at, i32::from(!numbered), comment.id.0),
        Act::Review(review) => (review.at, 2, review.id),
    });
    acts
}

/// Outcome of an entry about a label or an account that asks for nothing.
const ELSEWHERE: &str = "about another label or account";

impl Intake {
    /// Consumes the entries that ask for nothing as the rules are now: when other rules name another label, or a label
    /// is called otherwise, they do not ask for a task after all.
    pub(super) async fn pass_over(
        &self,
        scene: &Scene<'_>,
        entries: &[Entry],
    ) -> Result<(), Trouble> {
        let asks_for_nothing = |entry: &&Entry| {
            let is_of_kind = matches!(
                entry.what,
                Did::Labelled(_) | Did::Unlabelled(_) | Did::Assigned(_) | Did::Unassigned(_)
            );
            // What never counts needs no record: our own, and what was there before us.
            let counts = !self.is_us(entry.by.as_ref()) && !scene.is_old(entry.at);
            let label = &scene.settings.trigger.label;
            is_of_kind && counts && super::asks(entry, label, &self.us.login).is_none()
        };
        let passed: Vec<(i64, String)> = entries
            .iter()
            .filter(asks_for_nothing)
            .map(|entry| (entry.id, super::login(entry.by.as_ref()).to_owned()))
            .collect();
        let (key, number) = (&scene.served.key, scene.thread.number);
        Ok(self
            .store
            .pass_over(key, number, &passed, ELSEWHERE)
            .await?)
    }
}
