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
        if !scene.is_read {
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ident::Time;
    use crate::forge::{CommentId, ReviewVerdict};

    /// `e7@5`: the entry number 7 of the fifth second; `c` is a comment, `r` a review.
    fn told(words: &str, numbered: bool) -> String {
        let (mut entries, mut comments, mut reviews) = (Vec::new(), Vec::new(), Vec::new());
        for word in words.split_whitespace() {
            let (kind, rest) = word.split_at(1);
            let (id, at) = rest.split_once('@').unwrap();
            let (id, at) = (id.parse().unwrap(), Time(at.parse().unwrap()));
            match kind {
                "e" => entries.push(Entry {
                    id,
                    by: None,
                    at,
                    what: Did::Closed,
                }),
                "c" => comments.push(Comment {
                    id: CommentId(id),
                    author: None,
                    body: String::new(),
                    created_at: at,
                    edited: None,
                    page: String::new(),
                }),
                _ => reviews.push(Review {
                    id,
                    author: None,
                    verdict: ReviewVerdict::Comments,
                    commit: None,
                    body: String::new(),
                    at,
                    remarks: Vec::new(),
                }),
            }
        }
        let acts = in_order(entries, comments, reviews, numbered);
        let words = acts.iter().map(|act| match act {
            Act::Entry(one) => format!("e{}", one.id),
            Act::Comment(one) => format!("c{}", one.id.0),
            Act::Review(one) => format!("r{}", one.id),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn acts_of_every_kind_are_in_the_order_of_time_and_those_of_a_second_in_one_that_is_fixed() {
        assert_eq!(told("e9@1 c1@2 e10@3 r1@2", false), "e9 c1 r1 e10");
        // Of one second: by their numbers where these tell, else by kind.
        assert_eq!(told("c1@1 e2@1 c3@1 r1@1", true), "c1 e2 c3 r1");
        assert_eq!(told("c1@1 e2@1 c3@1 r1@1", false), "e2 c1 c3 r1");
        // A clock that was set back changes nothing for those whose numbers are not compared.
        assert_eq!(told("e2@1 e1@2", true), "e2 e1");
    }
}
