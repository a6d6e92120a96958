//! A mistake in a configuration file: where it is, what is wrong, what was probably meant.

use std::fmt::Write as _;
use std::ops::Range;

use serde::Serialize;
use serde::ser::SerializeStruct as _;

use super::explain::Code;

/// Most mistakes that are told about one reading; the rest are counted.
const MOST: usize = 100;
/// Most characters of a line that are shown around a mistake.
const WIDTH: usize = 120;

/// Every mistake of a reading, by place. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render(false))]
pub struct Mistakes {
    /// In the order of the text.
    pub list: Vec<Mistake>,
    /// How many more there are than `list` holds.
    pub more: usize,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What kind of mistake.
    pub code: Code,
    /// The file as it was named by the caller, or the environment variable.
    pub path: String,
    /// The key concerned, `task.timeout` or `verify[0].run`; empty when it is the whole file.
    pub key: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub col: usize,
    /// What is wrong, in one line without a full stop.
    pub message: String,
    /// What to do, in one line.
    pub hint: String,
    /// What is allowed there instead; empty where the hint says it all.
    pub note: String,
    /// The line as it may be shown, and where in it the mistake is, in characters.
    excerpt: (String, Range<usize>),
}

impl Mistakes {
    /// The text for a person, as rustc would draw it. `colour` adds escape codes for a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let paint = |code: &str, text: &str| match colour {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        };
        let (red, blue, bold) = ("1;31", "1;34", "1");
        let mut out = String::new();
        for mistake in &self.list {
            let number = mistake.line.to_string();
            let space = " ".repeat(number.len());
            let (line, marked) = &mistake.excerpt;
            let code = format!("error[{}]", mistake.code.as_str());
            let arrow = format!("{space} ┌");
            let place = format!(
                "{}:{}:{}",
                visible(&mistake.path),
                mistake.line,
                mistake.col
            );
            let gutter = format!("{number} │");
            let under = format!("{space} │");
            let carets = "^".repeat(marked.len().max(1));
            let _ = write!(
                out,
                "{}{}\n{} {place}\n{} {line}\n{} {}{} {}\n",
                paint(red, &code),
                paint(bold, &format!(": {}", mistake.message)),
                paint(blue, &arrow),
                paint(blue, &gutter),
                paint(blue, &under),
                " ".repeat(marked.start),
                paint(red, &carets),
                paint(red, &mistake.hint),
            );
            if !mistake.note.is_empty() {
                let equals = format!("{space} =");
                let _ = writeln!(out, "{} {}", paint(blue, &equals), mistake.note);
            }
        }
        let total = self.list.len() + self.more;
        let errors = if total == 1 { "error" } else { "errors" };
        let _ = write!(out, "{total} {errors}.");
        if self.more > 0 {
            let _ = write!(out, " The last {} are not shown.", self.more);
        }
        let first = self.list.first().map_or("", |first| first.code.as_str());
        let _ = writeln!(
            out,
            " Nothing was started. Explain: prentice explain {first}"
        );
        out
    }

    /// Those of two readings, the first before the second.
    #[must_use]
    pub(super) fn and(mut self, other: Self) -> Self {
        self.list.extend(other.list);
        self.more += other.more + self.list.len().saturating_sub(MOST);
        self.list.truncate(MOST);
        self
    }
}

impl Serialize for Mistake {
    /// `{code, path, key, line, col, message, hint}`; the hint includes the note.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Mistake", 7)?;
        out.serialize_field("code", self.code.as_str())?;
        out.serialize_field("path", &self.path)?;
        out.serialize_field("key", &self.key)?;
        out.serialize_field("line", &self.line)?;
        out.serialize_field("col", &self.col)?;
        out.serialize_field("message", &self.message)?;
        let joint = if self.hint.ends_with('?') { " " } else { "; " };
        let parts = [self.hint.as_str(), self.note.as_str()];
        let hint = parts.join(if self.note.is_empty() { "" } else { joint });
        out.serialize_field("hint", &hint)?;
        out.end()
    }
}

/// A text that is being read, and what was found wrong with it so far.
pub(super) struct Findings<'a> {
    path: &'a str,
    text: &'a str,
    /// Where each line starts, so that a file full of mistakes is not searched for each of them.
    starts: Vec<usize>,
    found: Vec<Found>,
    masked: Vec<Range<usize>>,
}

/// A mistake before its place is worked out. The span is in bytes of the text.
pub(super) struct Found {
    pub(super) code: Code,
    pub(super) span: Range<usize>,
    pub(super) key: String,
    pub(super) message: String,
    pub(super) hint: String,
    pub(super) note: String,
}

impl<'a> Findings<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        let starts = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let starts = std::iter::once(0).chain(starts).collect();
        Self {
            path,
            text,
            starts,
            found: Vec::new(),
            masked: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, found: Found) {
        self.found.push(found);
    }

    /// Shows these bytes in no excerpt: they may be a secret.
    pub(super) fn mask(&mut self, span: Range<usize>) {
        self.masked.push(span);
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// Those found, in order, or `value` where there are none.
    pub(super) fn end<T>(self, value: T) -> Result<T, Mistakes> {
        match self.found.is_empty() {
            true => Ok(value),
            false => Err(self.into_mistakes()),
        }
    }

    /// Those found, in order; for a reading that found some.
    pub(super) fn into_mistakes(mut self) -> Mistakes {
        self.found
            .sort_by_key(|found| (found.span.start, found.code));
        let more = self.found.len().saturating_sub(MOST);
        let found = std::mem::take(&mut self.found);
        let list = found.into_iter().take(MOST).map(|found| self.place(found));
        Mistakes {
            list: list.collect(),
            more,
        }
    }

    fn place(&self, found: Found) -> Mistake {
        let before = self.before(found.span.start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let place = found.span.start.min(before.len());
        Mistake {
            code: found.code,
            path: self.path.to_owned(),
            key: found.key,
            line: self.line(place),
            col: self
                .text
                .get(line_start..place)
                .unwrap_or_default()
                .chars()
                .count()
                + 1,
            message: found.message,
            hint: found.hint,
            note: found.note,
            excerpt: self.excerpt(line, line_start, place..found.span.end.max(place)),
        }
    }

    /// The line made harmless and, where it is long, cut to what surrounds the marked bytes.
    fn excerpt(&self, line: &str, start: usize, marked: Range<usize>) -> (String, Range<usize>) {
        let mut cells: Vec<String> = Vec::new();
        let (mut from, mut to) = (None, None);
        for (offset, c) in line.char_indices() {
            let at = start + offset;
            if at >= marked.start && from.is_none() {
                from = Some(cells.len());
            }
            if at >= marked.end && to.is_none() {
                to = Some(cells.len());
            }
            let hidden = self.masked.iter().any(|span| span.contains(&at));
            let shown = if hidden {
                "·".to_owned()
            } else {
                visible_char(c)
            };
            cells.extend(shown.chars().map(String::from));
        }
        let from = from.unwrap_or(cells.len());
        let to = to.unwrap_or(cells.len()).max(from);
        if cells.len() <= WIDTH {
            return (cells.concat(), from..to);
        }
        let first = from
            .saturating_sub(WIDTH / 3)
            .min(cells.len().saturating_sub(WIDTH));
        let last = (first + WIDTH).min(cells.len());
        let mut shown = cells.get(first..last).unwrap_or_default().concat();
        if last < cells.len() {
            shown.push('…');
        }
        let shift = if first > 0 {
            shown.insert(0, '…');
            1
        } else {
            0
        };
        (shown, from - first + shift..to.min(last) - first + shift)
    }

    /// The text before a byte, moved back to a boundary between characters.
    fn before(&self, at: usize) -> &'a str {
        let end = self.text.floor_char_boundary(at.min(self.text.len()));
        self.text.get(..end).unwrap_or_default()
    }
}

/// Text of a stranger inside a message: one line, at most 60 characters, nothing that steers a terminal.
pub(super) fn visible(text: &str) -> String {
    let mut shown: String = text.chars().take(60).map(visible_char).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

/// A tab is four spaces; control, bidirectional and invisible characters are named.
fn visible_char(c: char) -> String {
    match c {
        '\t' => "    ".to_owned(),
        '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => {
            format!("<U+{:04X}>", u32::from(c))
        }
        c if c.is_control() => format!("<U+{:04X}>", u32::from(c)),
        c => c.to_string(),
    }
}
