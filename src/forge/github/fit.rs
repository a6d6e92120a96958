//! Texts as GitHub takes them: bodies within its length, cut where it hurts least.

/// Most Unicode scalars of a body. GitHub counts differently for comments and for pull requests; both take this.
pub(super) const BODY_MAX: usize = 60_000;

/// Room for what closes an open block, and for the note.
const ROOM: usize = 400;

/// The marker line and the text below it, cut on a line when it is too long, with open code blocks and
/// foldings closed. The marker is first, so it always stays.
pub(super) fn marked(mark: &str, body: &str) -> String {
    let whole = format!("{mark}\n{body}");
    let length = whole.chars().count();
    if length <= BODY_MAX {
        return whole;
    }
    let mut kept = String::new();
    let mut count = 0;
    let mut fence: Option<String> = None;
    let mut folded = 0_usize;
    for line in whole.split_inclusive('\n') {
        let next = count + line.chars().count();
        if next > BODY_MAX - ROOM {
            if count <= mark.chars().count() + 1 {
                // One endless line: better half of it than nothing.
                let room = BODY_MAX - ROOM - count;
                kept.extend(line.chars().take(room));
                count += room;
            }
            break;
        }
        kept.push_str(line);
        count = next;
        match (&fence, fence_of(line)) {
            (None, Some(opened)) => fence = Some(opened),
            (Some(open), Some(found)) if closes(line, &found, open) => fence = None,
            (None, None) => {
                folded += line.matches("<details").count();
                folded = folded.saturating_sub(line.matches("</details").count());
            }
            _ => {}
        }
    }
    if !kept.ends_with('\n') {
        kept.push('\n');
    }
    if let Some(fence) = fence {
        // A fence of hundreds of signs is nothing that we write.
        let fence: String = fence.chars().take(50).collect();
        kept.push_str(&fence);
        kept.push('\n');
    }
    for _ in 0..folded.min(10) {
        kept.push_str("\n</details>\n");
    }
    kept.push_str(&format!(
        "\n*Cut here: {} characters more than GitHub takes.*\n",
        length - count
    ));
    kept
}

/// The signs of a code fence that a line begins with.
fn fence_of(line: &str) -> Option<String> {
    let text = line.trim_start_matches(' ');
    if line.len() - text.len() > 3 {
        return None;
    }
    let sign = text
        .chars()
        .next()
        .filter(|sign| matches!(sign, '`' | '~'))?;
    let signs: String = text.chars().take_while(|other| *other == sign).collect();
    (signs.len() >= 3).then_some(signs)
}

fn closes(line: &str, found: &str, open: &str) -> bool {
    found.starts_with(open) && line.trim() == found
}

/// Whether the text begins with this marker line.
pub(super) fn has_mark(body: &str, mark: &str) -> bool {
    body.lines()
        .next()
        .is_some_and(|line| line.trim_end() == mark)
}

/// Whether two texts are the same to a reader: line ends and the end of the text may differ.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.trim_end().lines().eq(other.trim_end().lines())
}

/// At most `most` characters, the last a sign that something is missing.
pub(super) fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "<!-- prentice v1 task=T-7 -->";

    #[test]
    fn a_text_that_fits_is_left_as_it_is() {
        assert_eq!(marked(MARK, "hello"), format!("{MARK}\nhello"));
        let room = BODY_MAX - MARK.len() - 1;
        let full = "é".repeat(room);
        assert_eq!(marked(MARK, &full), format!("{MARK}\n{full}"));
    }

    #[test]
    fn a_long_text_is_cut_on_a_line_with_its_blocks_closed_and_its_marker_kept() {
        let line = "0123456789\n";
        let body = format!(
            "<details>\n\n````text\n{}````\n</details>\n",
            line.repeat(7000)
        );
        let cut = marked(MARK, &body);
        assert!(cut.chars().count() <= BODY_MAX);
        assert!(has_mark(&cut, MARK));
        let end: Vec<&str> = cut.lines().rev().take(6).collect();
        assert_eq!(
            end,
            [
                "*Cut here: 17473 characters more than GitHub takes.*",
                "",
                "</details>",
                "",
                "````",
                "0123456789"
            ]
        );
    }

    #[test]
    fn a_shorter_fence_inside_a_longer_one_closes_nothing() {
        let body = format!("````\n```\n{}", "x\n".repeat(40_000));
        let cut = marked(MARK, &body);
        assert!(
            cut.contains("\n````\n\n*Cut here"),
            "{}",
            &cut[cut.len() - 80..]
        );
    }

    #[test]
    fn one_endless_line_is_cut_inside() {
        let cut = marked(MARK, &"é".repeat(70_000));
        assert!(cut.chars().count() <= BODY_MAX);
        assert!(cut.chars().filter(|c| *c == 'é').count() > 59_000);
    }

    #[test]
    fn line_ends_that_the_forge_changed_make_no_other_text() {
        assert!(same("a\r\nb\r\n", "a\nb"));
        assert!(!same("a\nb", "a\nc"));
    }
}
