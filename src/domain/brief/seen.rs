//! Which lines of a text are on the page at all.

use std::ops::Range;

use pulldown_cmark::{Event, Tag};

/// Whether something of what the event spans is on the page. Containers span lines that
/// are not; inline containers lie within a block or hold events of their own.
pub(super) fn shows(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Start(
            Tag::Paragraph
                | Tag::Heading { .. }
                | Tag::CodeBlock(_)
                | Tag::HtmlBlock
                | Tag::Table(_)
        ) | Event::Text(_)
            | Event::Code(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::FootnoteReference(_)
            | Event::Rule
            | Event::TaskListMarker(_)
    )
}

/// Which lines of the text something on the page came from.
pub(super) struct Lines {
    /// Range without the line break, and whether anything of it is shown.
    lines: Vec<(Range<usize>, bool)>,
    text: String,
}

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        let mut start = 0;
        let mut lines = Vec::new();
        for line in text.split('\n') {
            lines.push((start..start + line.len(), false));
            start += line.len() + 1;
        }
        Self {
            lines,
            text: text.to_owned(),
        }
    }

    pub(super) fn mark(&mut self, at: &Range<usize>) {
        let first = self.lines.partition_point(|(line, _)| line.end < at.start);
        for (line, seen) in self.lines.iter_mut().skip(first) {
            if line.start >= at.end {
                break;
            }
            *seen = true;
        }
    }

    /// Lines with words that show nothing: definitions of links, also second ones of a label.
    pub(super) fn unseen(&self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for (line, seen) in &self.lines {
            let words = self.text.get(line.clone()).unwrap_or_default();
            let rest = unmarked(words);
            if !seen && !rest.trim().is_empty() {
                found.push(line.end - rest.len()..line.end);
            }
        }
        found
    }
}

/// A line without the marks of the containers that it stands in: quotes, lists, notes.
fn unmarked(line: &str) -> &str {
    let mut rest = line;
    loop {
        let mark = |c: char| c.is_whitespace() || "->*+.)0123456789".contains(c);
        let bare = rest.trim_start_matches(mark);
        let note = bare
            .strip_prefix("[^")
            .and_then(|note| note.split_once("]:"));
        match note {
            Some((_, after)) => rest = after,
            None => return bare,
        }
    }
}
