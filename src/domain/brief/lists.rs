//! Lines of a part read as entries, names, globs.

/// Where code is, line by line.
#[derive(Default)]
pub(super) struct Fence(Option<(char, usize)>);

impl Fence {
    /// Whether `line` belongs to a fenced block, its fences included.
    pub(super) fn takes(&mut self, line: &str) -> bool {
        let bare = line.trim();
        let mark = bare.chars().next().filter(|c| matches!(c, '`' | '~'));
        let run = mark.map_or(0, |mark| bare.len() - bare.trim_start_matches(mark).len());
        match (self.0, mark) {
            (None, Some(mark))
                if run >= 3
                    && !(mark == '`' && bare.get(run..).is_some_and(|info| info.contains('`'))) =>
            {
                self.0 = Some((mark, run));
                true
            }
            (None, _) => false,
            (Some((open, length)), Some(mark))
                if mark == open && run >= length && bare.len() == run =>
            {
                self.0 = None;
                true
            }
            (Some(_), _) => true,
        }
    }
}

/// One entry of a list, with what is indented below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// On one line; entries below it after `;`.
    pub(super) text: String,
    /// It has a box to tick.
    pub(super) task: bool,
}

/// The entries of all lists in these lines, empty ones left out; lists in code do not count.
pub(super) fn items(lines: &[&str]) -> Vec<Item> {
    let mut found: Vec<Item> = Vec::new();
    let mut fence = Fence::default();
    // Indentation of the list, and whether the last line belongs to an entry.
    let (mut top, mut open, mut blank) = (0, false, false);
    for line in lines {
        let in_code = fence.takes(line);
        if line.trim().is_empty() {
            blank = true;
            continue;
        }
        let indent = width(line);
        let entry = if in_code { None } else { item(line) };
        let append = |found: &mut Vec<Item>, joint: &str, text: &str| {
            if let Some(last) = found.last_mut().filter(|_| !text.is_empty()) {
                let joint = if last.text.is_empty() { "" } else { joint };
                last.text.push_str(joint);
                last.text.push_str(text);
            }
        };
        match entry {
            Some((task, text)) if !open || indent < top + 2 => {
                top = indent;
                open = true;
                found.push(Item {
                    text: text.to_owned(),
                    task,
                });
            }
            Some((_, text)) => {
                let joint = if found.last().is_some_and(|last| last.text.ends_with(':')) {
                    " "
                } else {
                    "; "
                };
                append(&mut found, joint, text);
            }
            None if open && (indent > top || !blank) => {
                let fenced = in_code && line.trim_start().starts_with(['`', '~']);
                if !fenced {
                    append(&mut found, " ", line.trim());
                }
            }
            None => open = false,
        }
        blank = false;
    }
    found.retain(|item| !item.text.trim().is_empty());
    found
}

/// Whether a line is an entry of a list.
pub(super) fn is_item(line: &str) -> bool {
    item(line).is_some()
}

/// Whether a line is an entry with a box to tick.
pub(super) fn is_task(line: &str) -> bool {
    item(line).is_some_and(|(task, _)| task)
}

/// A line without the mark of a list entry.
pub(super) fn unlisted(line: &str) -> &str {
    item(line).map_or(line.trim(), |(_, text)| text)
}

/// What stands behind the mark of a list entry, and whether it has a box to tick.
pub(super) fn item(line: &str) -> Option<(bool, &str)> {
    let bare = line.trim_start();
    let digits = bare.len() - bare.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let after = match bare.get(digits..)?.chars().next()? {
        '.' | ')' if (1..=9).contains(&digits) => bare.get(digits + 1..)?,
        '-' | '*' | '+' if digits == 0 => bare.get(1..)?,
        _ => return None,
    };
    if !after.is_empty() && !after.starts_with([' ', '\t']) {
        return None;
    }
    let text = after.trim();
    for mark in ["[ ]", "[x]", "[X]", "[]"] {
        if let Some(rest) = text
            .strip_prefix(mark)
            .filter(|rest| rest.is_empty() || rest.starts_with(' '))
        {
            return Some((true, rest.trim()));
        }
    }
    Some((false, text))
}

/// Columns before the first character that is no blank.
fn width(line: &str) -> usize {
    line.chars()
        .take_while(|c| c.is_whitespace())
        .map(|c| if c == '\t' { 4 } else { 1 })
        .sum()
}

/// Lines of prose as criteria: one per line, a line that goes on in lower case joined.
pub(super) fn sentences(lines: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for line in lines.iter().map(|line| line.trim()) {
        if line.is_empty() || line.starts_with("```") || line == "_No response_" {
            open = false;
            continue;
        }
        match found
            .last_mut()
            .filter(|_| open && line.starts_with(char::is_lowercase))
        {
            Some(last) => {
                last.push(' ');
                last.push_str(line);
            }
            None => found.push(line.to_owned()),
        }
        open = !line.ends_with(['.', '!', '?', ';']);
    }
    found
}

/// The words in backticks of a text, in order, blanks around them removed.
pub(super) fn in_backticks(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('`') {
        let from = rest.get(start..).unwrap_or_default();
        let run = from.len() - from.trim_start_matches('`').len();
        let inner = from.get(run..).unwrap_or_default();
        let mut end = None;
        let mut at = 0;
        while let Some(next) = inner.get(at..).and_then(|inner| inner.find('`')) {
            let tail = inner.get(at + next..).unwrap_or_default();
            let length = tail.len() - tail.trim_start_matches('`').len();
            if length == run {
                end = Some(at + next);
                break;
            }
            at += next + length;
        }
        match end {
            Some(end) => {
                let word = inner.get(..end).unwrap_or_default().trim();
                if !word.is_empty() {
                    found.push(word.to_owned());
                }
                rest = inner.get(end + run..).unwrap_or_default();
            }
            None => rest = inner,
        }
    }
    found
}

/// Scope lines read: globs, and the lines that are none.
pub(super) fn globs(lines: &[&str]) -> (Vec<String>, Vec<String>) {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for line in lines {
        let line = unlisted(line);
        if line.is_empty()
            || line == "_No response_"
            || line.starts_with("```")
            || line.starts_with("~~~")
        {
            continue;
        }
        let quoted = in_backticks(line);
        let words = if quoted.is_empty() {
            split_list(line)
        } else {
            quoted
        };
        if words.iter().any(|word| word.contains(char::is_whitespace)) {
            unread.push(line.to_owned());
            continue;
        }
        for word in words {
            let word = word.trim_start_matches("./").trim_start_matches('/');
            let last = word.rsplit('/').next().unwrap_or_default();
            if last.is_empty() {
                found.push(format!("{word}**"));
            } else {
                found.push(word.to_owned());
                // A name without an ending may be a folder.
                if !word.contains(['*', '?', '[', '{', '.', '!']) {
                    found.push(format!("{word}/**"));
                }
            }
        }
    }
    (found, unread)
}

/// A line split at commas outside braces.
pub(super) fn split_list(line: &str) -> Vec<String> {
    let mut depth = 0_i32;
    let mut words = vec![String::new()];
    for c in line.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth <= 0 {
            words.push(String::new());
        } else if let Some(last) = words.last_mut() {
            last.push(c);
        }
    }
    words
        .iter()
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}
