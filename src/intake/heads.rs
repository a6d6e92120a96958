//! Which commit somebody asked about: the head of the pull request as it was when the comment was made.

use crate::domain::ident::{CommitId, Time};
use crate::forge::{CommentId, Did, Entry};

/// What the head was when a comment was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing proves that it was another one than now.
    AsNow,
    /// This one; something was pushed since.
    At(CommitId),
    /// Another one, which was pushed over since or is not known.
    Lost,
}

/// How long after a push the forge may tell of it: who pushes and asks at once means what was pushed. A push that is
/// told so soon after a comment is not proven to be later.
const TOLD_SECS: u64 = 5;

/// Reads the head at a comment out of a timeline, oldest entry first. `numbered`: entries and comments are numbered in
/// the order they came, and each push to an open pull request is told. Else moments tell, and what came within the same
/// one proves nothing.
///
/// What somebody who commits can write, such as the date of a commit, is never looked at.
pub(super) fn head_then(
    entries: &[Entry],
    (comment, at): (CommentId, Time),
    numbered: bool,
) -> Then {
    let is_later = |entry: &Entry| match numbered {
        true => entry.id > comment.0 && entry.at > at.plus_secs(TOLD_SECS),
        false => entry.at > at,
    };
    let (mut known, mut moved, mut told_anew) = (None, false, false);
    for entry in entries {
        match (&entry.what, is_later(entry)) {
            // Where commits are pushed over, the forge lets go of what it told about them.
            (Did::Pushed { over: true, .. }, true) => return Then::Lost,
            (Did::Pushed { .. }, true) if told_anew => told_anew = false,
            (Did::Pushed { .. }, true) => moved = true,
            (Did::Pushed { head, .. }, false) => known.clone_from(head),
            // Pushes to a closed one are not told.
            (Did::Reopened, false) => known = None,
            (Did::Retargeted, true) => (known, told_anew) = (None, true),
            _ => {}
        }
    }
    match (moved, known) {
        (false, _) => Then::AsNow,
        (true, Some(head)) => Then::At(head),
        (true, None) => Then::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries by number, a letter for each: the comment is number 10. `a`–`f` push that commit, `A`–`F` push it over
    /// others, `?` pushes what nobody can read, `r` reopens, `t` retargets, `x` is something else.
    fn entries(words: &str) -> Vec<Entry> {
        let entry = |word: &str| {
            let (id, what) = word.split_once(':').unwrap();
            let id = id.parse().unwrap();
            let commit = || what.to_lowercase().repeat(40).parse().ok();
            let what = match what {
                "r" => Did::Reopened,
                "t" => Did::Retargeted,
                "x" => Did::Renamed,
                _ => Did::Pushed {
                    head: commit(),
                    over: what.chars().all(char::is_uppercase),
                },
            };
            Entry {
                id,
                by: None,
                at: Time(id * 10_000),
                what,
            }
        };
        let words = words.split_whitespace();
        words.filter(|word| *word != "-").map(entry).collect()
    }

    #[test]
    fn the_head_is_the_one_of_the_comment_as_far_as_the_forge_proves_it() {
        let told = |words: &str, numbered| match head_then(
            &entries(words),
            (CommentId(10), Time(100_000)),
            numbered,
        ) {
            Then::AsNow => "as now".to_owned(),
            Then::At(head) => format!("at {}", &head.as_str()[..1]),
            Then::Lost => "lost".to_owned(),
        };
        let rows: Vec<String> = [
            "-",
            "1:a",
            "1:a 11:x 12:r",
            "1:a 11:b",
            "1:a 5:b 11:c 12:d",
            "1:a 5:B 11:c",
            "1:a 11:B",
            "1:a 11:b 12:C",
            "1:a 5:? 11:b",
            "11:b",
            // Pushed to while it was closed, before it was asked about.
            "1:a 5:r 11:b",
            "1:a 5:r 6:c 11:b",
            "1:a 11:r 12:b",
            // Retargeted: the forge tells all pushes anew as one.
            "5:t 6:b 11:c",
            "11:t 12:b",
            "11:t 12:b 13:c",
            "11:t 12:b 13:C",
        ]
        .into_iter()
        .map(|words| format!("{words:20} {:8} {}", told(words, true), told(words, false)))
        .collect();
        insta::assert_snapshot!(rows.join("\n"), @"
        -                    as now   as now
        1:a                  as now   as now
        1:a 11:x 12:r        as now   as now
        1:a 11:b             at a     at a
        1:a 5:b 11:c 12:d    at b     at b
        1:a 5:B 11:c         at b     at b
        1:a 11:B             lost     lost
        1:a 11:b 12:C        lost     lost
        1:a 5:? 11:b         lost     lost
        11:b                 lost     lost
        1:a 5:r 11:b         lost     lost
        1:a 5:r 6:c 11:b     at c     at c
        1:a 11:r 12:b        at a     at a
        5:t 6:b 11:c         at b     at b
        11:t 12:b            as now   as now
        11:t 12:b 13:c       lost     lost
        11:t 12:b 13:C       lost     lost
        ");
        // Told so soon after the comment that the push may have come before it; on GitHub only of the same second.
        let over = |at| {
            let mut entries = entries("11:B 12:x");
            entries[0].at = Time(at);
            let asked = (CommentId(10), Time(100_000));
            [true, false].map(|numbered| head_then(&entries, asked, numbered))
        };
        assert_eq!(over(100_000), [Then::AsNow, Then::AsNow]);
        assert_eq!(over(105_000), [Then::AsNow, Then::Lost]);
        assert_eq!(over(106_000), [Then::Lost, Then::Lost]);
    }
}
