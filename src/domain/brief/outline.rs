//! The parts of a brief, found by headings that people use.

use super::lists::{Fence, item};

/// A part that the brief has a field for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Goal,
    Criteria,
    Scope,
    NonGoals,
    AskFirst,
    Checks,
    Plan,
    Reviewer,
}

/// Headings, lower case, without punctuation at the end. The first of each is the issue form's.
const HEADINGS: [(Part, &[&str]); 8] = [
    (
        Part::Goal,
        &[
            "goal",
            "goals",
            "summary",
            "description",
            "problem",
            "the problem",
            "objective",
            "motivation",
            "what",
            "what should be different",
            "user story",
            "bug",
            "bug description",
            "describe the bug",
            "task",
            "feature request",
        ],
    ),
    (
        Part::Criteria,
        &[
            "acceptance criteria",
            "acceptance",
            "criteria",
            "done when",
            "definition of done",
            "done",
            "expected",
            "expected behavior",
            "expected behaviour",
            "expected result",
            "expected results",
            "expected outcome",
            "success criteria",
            "requirements",
        ],
    ),
    (
        Part::Scope,
        &[
            "files or areas in scope",
            "scope",
            "in scope",
            "files in scope",
            "areas in scope",
            "files",
            "paths",
            "areas",
        ],
    ),
    (
        Part::NonGoals,
        &[
            "out of scope",
            "non-goals",
            "non goals",
            "nongoals",
            "not in scope",
            "not here",
            "do not",
            "don't",
        ],
    ),
    (
        Part::AskFirst,
        &[
            "stop and ask before",
            "ask first",
            "ask before",
            "stop and ask",
            "needs approval",
        ],
    ),
    (
        Part::Checks,
        &[
            "which checks matter most",
            "checks",
            "verification",
            "verify",
            "validation",
            "how to verify",
            "tests",
        ],
    ),
    (Part::Plan, &["show me a plan first", "plan first", "plan"]),
    (
        Part::Reviewer,
        &[
            "who reviews the result",
            "reviewer",
            "reviewers",
            "review by",
        ],
    ),
];

/// Words too common to be a heading when they only stand before a colon.
const ONLY_HEADINGS: [&str; 9] = [
    "what", "bug", "task", "done", "files", "paths", "areas", "tests", "do not",
];

/// A text in parts.
#[derive(Default)]
pub(super) struct Outline<'a> {
    /// The first `# Heading` that names no part.
    pub(super) title: Option<&'a str>,
    /// Lines before any heading, the title's apart.
    pub(super) preamble: Vec<&'a str>,
    /// Lines of each part found, in order; a part may come twice.
    pub(super) parts: Vec<(Part, Vec<&'a str>)>,
    /// Lines under other headings.
    pub(super) other: Vec<&'a str>,
}

impl<'a> Outline<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut outline = Self::default();
        let mut place = Place::Preamble;
        let mut level = 0;
        let mut fence = Fence::default();
        let lines: Vec<&str> = text.lines().collect();
        let mut skip = false;
        for (at, line) in lines.iter().enumerate() {
            if std::mem::take(&mut skip) {
                continue;
            }
            let in_code = fence.takes(line);
            let heading = if in_code {
                None
            } else {
                Heading::of(line, lines.get(at + 1).copied())
            };
            let Some(heading) = heading else {
                outline.push(place, line);
                continue;
            };
            skip = heading.underlined;
            if let Some(part) = heading.part {
                outline.parts.push((part, Vec::new()));
                place = Place::Part;
                level = heading.level;
                if !heading.rest.is_empty() {
                    outline.push(place, heading.rest);
                }
            } else if heading.level == 1 && outline.title.is_none() {
                outline.title = Some(heading.name);
                place = Place::Preamble;
                level = 1;
            } else if heading.level <= level || place == Place::Preamble {
                place = Place::Other;
                level = heading.level;
            }
        }
        outline
    }

    fn push(&mut self, place: Place, line: &'a str) {
        match place {
            Place::Preamble => self.preamble.push(line),
            Place::Other => self.other.push(line),
            Place::Part => {
                if let Some((_, lines)) = self.parts.last_mut() {
                    lines.push(line);
                }
            }
        }
    }

    /// All lines of a part; `None` where its heading is missing.
    pub(super) fn part(&self, part: Part) -> Option<Vec<&'a str>> {
        let mut found = self.parts.iter().filter(|(of, _)| *of == part).peekable();
        found.peek()?;
        Some(found.flat_map(|(_, lines)| lines.iter().copied()).collect())
    }

    /// A part as text: trimmed, `_No response_` is none.
    pub(super) fn text(&self, part: Part) -> Option<String> {
        self.part(part).and_then(|lines| answered(&lines))
    }
}

/// These lines as text, unless they say nothing.
pub(super) fn answered(lines: &[&str]) -> Option<String> {
    let lines: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| line.trim() != "_No response_")
        .collect();
    let text = lines.join("\n").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Preamble,
    Part,
    Other,
}

struct Heading<'a> {
    /// 1 to 6; 7 for a line in bold or before a colon.
    level: usize,
    name: &'a str,
    part: Option<Part>,
    /// What follows the colon on the same line.
    rest: &'a str,
    /// The next line is its underline.
    underlined: bool,
}

impl<'a> Heading<'a> {
    fn of(line: &'a str, next: Option<&str>) -> Option<Self> {
        let indent = line.len() - line.trim_start().len();
        let bare = line.trim();
        if indent > 3 || bare.is_empty() {
            return None;
        }
        let plain = |level, name: &'a str| Self {
            level,
            name,
            part: part_of(name),
            rest: "",
            underlined: false,
        };
        let hashes = bare.len() - bare.trim_start_matches('#').len();
        if (1..=6).contains(&hashes) {
            let name = bare.get(hashes..).unwrap_or_default();
            if name.is_empty() || name.starts_with([' ', '\t']) {
                return Some(plain(hashes, name.trim().trim_end_matches('#').trim_end()));
            }
        }
        let under = next.map(str::trim_end).unwrap_or_default();
        let level = match under.chars().next() {
            Some('=') if under.chars().all(|c| c == '=') => Some(1),
            Some('-') if under.len() > 1 && under.chars().all(|c| c == '-') => Some(2),
            _ => None,
        };
        if let Some(level) = level.filter(|_| item(line).is_none()) {
            return Some(Self {
                underlined: true,
                ..plain(level, bare)
            });
        }
        let inner = bare.strip_prefix("**").or_else(|| bare.strip_prefix("__"));
        if let Some(inner) = inner {
            let (name, after) = inner.split_once("**").or_else(|| inner.split_once("__"))?;
            let after = after.trim_start();
            let labels =
                after.is_empty() || after.starts_with(':') || name.trim_end().ends_with(':');
            let rest = after.trim_start_matches(':').trim();
            return part_of(name).filter(|_| labels).map(|part| Self {
                part: Some(part),
                rest,
                ..plain(7, name)
            });
        }
        let (name, rest) = bare.split_once(':')?;
        let part =
            part_of(name).filter(|_| !ONLY_HEADINGS.contains(&name.to_lowercase().as_str()))?;
        Some(Self {
            part: Some(part),
            rest: rest.trim(),
            ..plain(7, name)
        })
    }
}

fn part_of(name: &str) -> Option<Part> {
    let name = name.replace('’', "'").to_lowercase();
    let name = name.trim_matches(|c: char| !c.is_alphanumeric());
    let known = HEADINGS.iter().find(|(_, names)| names.contains(&name))?;
    Some(known.0)
}
