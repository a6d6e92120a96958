//! A page of bounded length, and text of others made short and harmless for it.

use super::super::text::{block, code, plain};

/// One line of harmless Markdown of at most `max` characters, as escaped. What stands
/// between backticks is code, everything else plain; neither gets out of its place.
pub(super) fn line(text: &str, max: usize) -> String {
    fn render(text: &str) -> String {
        let parts: Vec<&str> = text.split('`').collect();
        let last = parts.len() - 1;
        let mut out = String::new();
        for (index, part) in parts.iter().enumerate() {
            let quoted = index % 2 == 1 && index < last;
            let shown = if quoted { code(part) } else { plain(part) };
            // Runs of backticks that touch would be another delimiter.
            let touch = out.ends_with(['`', '>']) && shown.starts_with(['`', '<']);
            if touch || (part.starts_with(' ') && !quoted && !out.is_empty()) {
                out.push(' ');
            }
            out.push_str(&shown);
            if part.ends_with(' ') && !quoted && !shown.is_empty() {
                out.push(' ');
            }
        }
        out.trim().to_owned()
    }
    // What is far behind the end need not be read; blanks are what a line may lose.
    let far = text.char_indices().nth(max.saturating_mul(8));
    let near = far.map_or(text, |(at, _)| text.get(..at).unwrap_or_default());
    let mut flat = near.split_whitespace().collect::<Vec<_>>().join(" ");
    if far.is_some() {
        flat.push('…');
    }
    within(&flat, max, render)
}

/// A code span of at most `max` characters.
pub(super) fn span(text: &str, max: usize) -> String {
    within(text, max, code)
}

/// The longest beginning of `text` that `render` turns into at most `max` characters.
/// Clipping comes before escaping, since a clipped escape would be none.
pub(super) fn within(text: &str, max: usize, render: fn(&str) -> String) -> String {
    let beginning = |keep: usize| match text.char_indices().nth(keep) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    };
    most(max, |keep| render(&beginning(keep)))
}

/// What `shown` makes of as many characters as give at most `max` of them.
fn most(max: usize, shown: impl Fn(usize) -> String) -> String {
    let mut keep = max;
    loop {
        let shown = shown(keep);
        let length = chars(&shown);
        if length <= max {
            return shown;
        }
        if keep == 0 {
            return String::new();
        }
        keep = (keep * max / length).min(keep - keep.div_ceil(16));
    }
}

pub(super) fn chars(text: &str) -> usize {
    text.chars().count()
}

/// `1 file`, `2 files`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The last `max` lines.
pub(super) fn last_lines(text: &str, max: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let skip = lines.len().saturating_sub(max);
    lines.into_iter().skip(skip).collect::<Vec<_>>().join("\n")
}

/// A page of bounded length that knows what it left out.
pub(super) struct Page {
    text: String,
    pub(super) left: usize,
    pub(super) cut: bool,
}

impl Page {
    /// Room for the sentence that says something was left out.
    const NOTE: usize = 100;

    pub(super) fn of(max: usize) -> Self {
        Self {
            text: String::new(),
            left: max.saturating_sub(Self::NOTE),
            cut: false,
        }
    }

    /// Adds `text` and an empty line, or nothing.
    pub(super) fn add(&mut self, text: &str) {
        let cost = chars(text) + 2;
        if text.is_empty() {
        } else if cost <= self.left {
            self.left -= cost;
            self.text.push_str(text);
            self.text.push_str("\n\n");
        } else {
            self.cut = true;
        }
    }

    /// Adds `head` and as many of `rows` as fit while `keep` characters stay free; says how many do not.
    pub(super) fn rows(&mut self, head: &str, rows: &[String], keep: usize, what: &str) {
        const MORE: usize = 60;
        if rows.is_empty() {
            return;
        }
        let budget = self.left.saturating_sub(keep + MORE);
        let mut text = head.to_owned();
        let mut used = chars(&text);
        let mut shown = 0;
        for row in rows {
            let cost = chars(row) + 1;
            if used + cost > budget {
                break;
            }
            used += cost;
            shown += 1;
            text.push_str(row);
            text.push('\n');
        }
        let rest = rows.len() - shown;
        if rest > 0 {
            self.cut = true;
            text.push_str(&format!(
                "\n… and {rest} more {what}, left out for length.\n"
            ));
        }
        self.add(text.trim_end());
    }

    /// Adds `raw` as a folded block of at most `max` characters, clipped where it is longer.
    pub(super) fn fold(&mut self, summary: &str, raw: &str, max: usize) {
        let frame = format!("<details><summary>{summary}</summary>\n\n\n\n</details>");
        let Some(room) = self.left.min(max).checked_sub(chars(&frame) + 12) else {
            self.cut = true;
            return;
        };
        if raw.trim().is_empty() {
            return;
        }
        if room < 80 {
            self.cut = true;
            return;
        }
        let shown = within_tail(raw, room);
        let shown = shown.trim_end();
        self.cut |= chars(shown) < chars(raw);
        self.add(&format!(
            "<details><summary>{summary}</summary>\n\n{shown}\n\n</details>"
        ));
    }

    /// The page, with a word on what is missing.
    pub(super) fn end(mut self, elsewhere: &str) -> String {
        if self.cut {
            self.text.push_str(&format!(
                "Something was left out for length{elsewhere}.\n\n"
            ));
        }
        self.text
    }
}

/// The end of `raw` as a block of at most `max` characters: the last lines of a log say most.
fn within_tail(raw: &str, max: usize) -> String {
    let end = |keep: usize| match raw.char_indices().rev().nth(keep) {
        Some((at, first)) => format!("…{}", raw.get(at + first.len_utf8()..).unwrap_or_default()),
        None => raw.to_owned(),
    };
    most(max, |keep| block(&end(keep)))
}
