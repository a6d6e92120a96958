//! Reading comments: Markdown first, then words.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag};

use super::{Command, Grant, Heard, IGNORED_CAP, Mistake, Parsed, TABLE, TEXT_CAP, Target, Verb};

/// Reads one comment. `prefixes` are what commands may begin with: the configured one, and
/// `@` with our own name. Case does not matter in prefix and verb.
///
/// Only the first line counts that is not quoted, and only as plain text of a paragraph:
/// code, block quotes, lists, headings, tables, links and HTML comments never match.
#[must_use]
pub fn parse(markdown: &str, prefixes: &[&str]) -> Parsed {
    let text = markdown.replace("\r\n", "\n").replace('\r', "\n");
    let page = Page::read(&text);
    let mut command_at = None;
    let mut heard = Heard::Nothing;
    if let Some(block) = page.first_paragraph(&text) {
        let line = line_at(&text, block.start);
        if let Some((prefix, rest)) = addressed(line, prefixes) {
            command_at = Some(block.start);
            let start = block.start + prefix.len();
            heard = understand(prefix, rest, |after| page.body(&text, start + after));
        }
    }
    let ignored = page
        .line_starts
        .iter()
        .filter(|at| Some(**at) != command_at)
        .map(|at| line_at(&text, *at))
        .filter(|line| addressed(line, prefixes).is_some())
        .take(IGNORED_CAP)
        .map(harmless)
        .collect();
    Parsed { heard, ignored }
}

/// A comment as Markdown has it.
#[derive(Default)]
struct Page {
    /// Blocks that are not inside others, in order.
    blocks: Vec<(Kind, Range<usize>)>,
    /// Where lines of plain text begin, outside quotes, code, headings, tables and links.
    line_starts: Vec<usize>,
    /// What is never part of a text: quotes and HTML.
    dropped: Vec<Range<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Paragraph,
    Quote,
    Other,
}

impl Page {
    fn read(text: &str) -> Self {
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_GFM;
        let mut page = Self::default();
        // For each open tag whether plain text may stand in it.
        let mut open: Vec<bool> = Vec::new();
        let mut fresh_line = false;
        for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
            let plain = open.iter().all(|plain| *plain);
            if open.is_empty() && !matches!(event, Event::End(_)) {
                let kind = match event {
                    Event::Start(Tag::Paragraph) => Kind::Paragraph,
                    Event::Start(Tag::BlockQuote(_)) => Kind::Quote,
                    _ => Kind::Other,
                };
                page.blocks.push((kind, range.clone()));
            }
            match &event {
                Event::Start(tag) => {
                    if matches!(tag, Tag::BlockQuote(_) | Tag::HtmlBlock) {
                        page.dropped.push(range);
                    }
                    fresh_line = matches!(tag, Tag::Paragraph | Tag::Item);
                    open.push(matches!(tag, Tag::Paragraph | Tag::Item | Tag::List(_)));
                    continue;
                }
                Event::End(_) => {
                    open.pop();
                }
                // What is written with a backslash is shown, not typed.
                Event::Text(_)
                    if fresh_line
                        && plain
                        && !text
                            .get(..range.start)
                            .is_some_and(|text| text.ends_with('\\')) =>
                {
                    page.line_starts.push(range.start);
                }
                Event::InlineHtml(_) | Event::Html(_) => page.dropped.push(range),
                _ => {}
            }
            fresh_line = matches!(
                event,
                Event::SoftBreak | Event::HardBreak | Event::TaskListMarker(_)
            );
        }
        page
    }

    /// The first block that is no quote, if it is a paragraph.
    fn first_paragraph(&self, text: &str) -> Option<Range<usize>> {
        let mut blocks = self.blocks.iter().peekable();
        while let Some((kind, range)) = blocks.next() {
            let next = blocks.peek().map(|(kind, _)| *kind);
            let part = text.get(range.clone()).unwrap_or_default().trim();
            // What e-mail programs write above the text that they quote belongs to the quote.
            let attribution = next == Some(Kind::Quote)
                && part.starts_with("On ")
                && part.ends_with("wrote:")
                && part.lines().count() <= 3;
            match kind {
                Kind::Quote => {}
                Kind::Paragraph if attribution => {}
                Kind::Paragraph => return Some(range.clone()),
                Kind::Other => return None,
            }
        }
        None
    }

    /// What is written after `from`, without quotes, HTML and what is not shown at all.
    fn body(&self, text: &str, from: usize) -> String {
        let mut parts: Vec<String> = Vec::new();
        for (kind, block) in &self.blocks {
            if *kind == Kind::Quote || block.end <= from {
                continue;
            }
            let mut part = String::new();
            let mut at = block.start.max(from);
            for dropped in self
                .dropped
                .iter()
                .filter(|dropped| dropped.start < block.end)
            {
                if dropped.end > at {
                    part.push_str(text.get(at..dropped.start.max(at)).unwrap_or_default());
                    at = dropped.end;
                }
            }
            part.push_str(text.get(at..block.end.max(at)).unwrap_or_default());
            if !part.trim().is_empty() {
                parts.push(part.trim_matches(['\n', ' ']).to_owned());
            }
        }
        parts.join("\n\n")
    }
}

/// The rest of the line that begins at `at`.
fn line_at(text: &str, at: usize) -> &str {
    text.get(at..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default()
}

/// The prefix that a line begins with, as configured, and what follows it.
fn addressed<'p, 't>(line: &'t str, prefixes: &[&'p str]) -> Option<(&'p str, &'t str)> {
    prefixes.iter().find_map(|prefix| {
        let start = line.get(..prefix.len())?;
        let rest = line.get(prefix.len()..)?;
        // A character that is not drawn may follow too: it is told, so that a person is not left waiting.
        let ends = rest
            .chars()
            .next()
            .is_none_or(|c| c.is_whitespace() || !c.is_ascii() && !c.is_alphanumeric());
        (start.eq_ignore_ascii_case(prefix) && ends).then_some((*prefix, rest))
    })
}

fn understand(prefix: &str, rest: &str, body: impl FnOnce(usize) -> String) -> Heard {
    let words = rest.trim_start_matches([' ', '\t']);
    let (verb, text) = words.split_once([' ', '\t']).unwrap_or((words, ""));
    if let Some(strange) = verb.chars().find(|c| !c.is_ascii() || c.is_ascii_control()) {
        // After a mention a curly quote or a dash is talk; what hides a verb is told.
        let bare: String = verb.chars().filter(char::is_ascii_alphabetic).collect();
        let talk = prefix.starts_with('@') && Verb::named(&bare).or(nearest(&bare)).is_none();
        return match talk {
            true => Heard::Nothing,
            false => Heard::Mistake(Mistake::Disguised {
                character: format!("U+{:04X}", u32::from(strange)),
            }),
        };
    }
    let Some(known) = Verb::named(verb).filter(|verb| verb.row().available) else {
        let meant = nearest(verb);
        return match (verb.is_empty(), meant, prefix.starts_with('@')) {
            // A mention in a sentence is no command.
            (true, _, true) | (false, None, true) => Heard::Nothing,
            (true, _, false) => Heard::Mistake(Mistake::NoVerb),
            (false, meant, _) => Heard::Mistake(Mistake::Unknown {
                typed: harmless(verb),
                meant,
            }),
        };
    };
    // Only free text goes on below the line, and only it may hold markup.
    let free = match known {
        Verb::Fix | Verb::Answer | Verb::Reject => body(rest.len() - words.len() + verb.len()),
        _ => String::new(),
    };
    match read(known, text.trim(), &free) {
        Ok(command) => Heard::Command(command),
        Err(sentence) => Heard::Mistake(Mistake::Argument(sentence)),
    }
}

/// Reads the arguments of a verb as they are typed in a terminal.
pub fn arguments(verb: Verb, text: &str) -> Result<Command, Mistake> {
    read(verb, text.trim(), text.trim()).map_err(Mistake::Argument)
}

/// The one verb at an edit distance of at most two; none for words so short that anything is near.
fn nearest(typed: &str) -> Option<Verb> {
    let typed = typed.to_ascii_lowercase();
    if typed.len() > 40 || Verb::named(&typed).is_some() {
        return None;
    }
    TABLE
        .iter()
        .filter(|row| row.available)
        .map(|row| (strsim::damerau_levenshtein(row.name, &typed), row))
        .filter(|(distance, row)| *distance <= 2 && *distance * 2 < row.name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, row)| row.verb)
}

/// Arguments on the line, and the same as free text with what is below it; an error is a sentence.
fn read(verb: Verb, line: &str, free: &str) -> Result<Command, String> {
    let name = verb.row().name;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let text = || match free.chars().count() {
        0..=TEXT_CAP => Ok(free.to_owned()),
        more => Err(format!(
            "The text of `{name}` has {more} characters, the limit is {TEXT_CAP}."
        )),
    };
    let needed = || match text()? {
        text if text.is_empty() => Err(format!(
            "`{name}` needs a text, as in `{}`.",
            verb.row().examples.first().unwrap_or(&name)
        )),
        text => Ok(text),
    };
    let nothing = |command| match words.first() {
        None => Ok(command),
        Some(word) => Err(format!("`{name}` takes nothing, got `{}`.", harmless(word))),
    };
    match verb {
        Verb::Help => match words.as_slice() {
            [] => Ok(Command::Help { about: None }),
            [word] => match Verb::named(word).filter(|verb| verb.row().available) {
                Some(about) => Ok(Command::Help { about: Some(about) }),
                None => {
                    let meant = nearest(word).map_or_else(String::new, |verb| {
                        format!(" Did you mean `help {}`?", verb.row().name)
                    });
                    Err(format!(
                        "`help` takes a verb, got `{}`.{meant}",
                        harmless(word)
                    ))
                }
            },
            [_, word, ..] => Err(format!(
                "`help` takes one verb, got `{}` too.",
                harmless(word)
            )),
        },
        Verb::Approve => match words.as_slice() {
            [] => Ok(Command::Approve { target: None }),
            [word] => match target(word) {
                Some(target) => Ok(Command::Approve {
                    target: Some(target),
                }),
                None => Err(not_a_target(word)),
            },
            [first, word, ..] if target(first).is_some() => Err(format!(
                "`approve` takes one target, got `{}` too.",
                harmless(word)
            )),
            [word, ..] => Err(not_a_target(word)),
        },
        Verb::Reject => match words.as_slice() {
            [word] if target(word).is_some() => match target(word) {
                Some(target) => Ok(Command::RejectRequest { target }),
                None => Err(not_a_target(word)),
            },
            // Ending a task deletes its branch: not on a guess.
            [word, _, ..] if target(word).is_some() => Err(format!(
                "`reject {0}` refuses only {0}, `reject` with a reason ends the task; `{1}` could be both. \
                 Give the target alone, or begin the reason with another word.",
                harmless(word),
                harmless(line)
            )),
            _ => Ok(Command::Reject { reason: text()? }),
        },
        Verb::Retry => retry(&words),
        Verb::Fix => Ok(Command::Fix { text: needed()? }),
        Verb::Answer => Ok(Command::Answer { text: needed()? }),
        Verb::Status => nothing(Command::Status),
        Verb::Run => nothing(Command::Run),
        Verb::Stop => nothing(Command::Stop),
        Verb::Verify => nothing(Command::Verify),
        Verb::TakeOver => nothing(Command::TakeOver),
        Verb::HandBack => nothing(Command::HandBack),
        Verb::Plan | Verb::Rebase | Verb::Finish | Verb::Undo => {
            Err(format!("`{name}` is not in this version."))
        }
    }
}

fn not_a_target(word: &str) -> String {
    format!(
        "`approve` takes p1, r1, b1, a digest, scope, deps, network, budget, round or ci, got `{}`.",
        harmless(word)
    )
}

fn retry(words: &[&str]) -> Result<Command, String> {
    let (mut budget, mut fresh) = (None, false);
    for word in words {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (*word, None),
        };
        match (flag, value) {
            ("--fresh", None) => fresh = true,
            ("--budget", Some(value)) if budget.is_none() => budget = Some(grant(value)?),
            ("--budget", Some(_)) => return Err("`--budget` is given twice.".to_owned()),
            ("--budget", None) => {
                return Err(
                    "`--budget` takes `2x` or a number of minutes, as in `--budget=2x`.".to_owned(),
                );
            }
            _ => {
                return Err(format!(
                    "`retry` takes `--budget=2x` and `--fresh`, got `{}`.",
                    harmless(word)
                ));
            }
        }
    }
    Ok(Command::Retry { budget, fresh })
}

fn grant(value: &str) -> Result<Grant, String> {
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let times = value.strip_suffix(['x', 'X']).and_then(number);
    match (times, number(value)) {
        (Some(times @ 2..=10), _) => Ok(Grant::Times(times)),
        (None, Some(minutes @ 1..=1440)) => Ok(Grant::Minutes(minutes)),
        (Some(_), _) | (_, Some(_)) => Err(format!(
            "`--budget` takes `2x` to `10x` or 1 to 1440 minutes, got `{}`.",
            harmless(value)
        )),
        (None, None) => Err(format!(
            "`--budget` takes `2x` or a number of minutes, got `{}`.",
            harmless(value)
        )),
    }
}

/// `p1`, `r1`, `b1`, a digest or a word; case does not matter.
fn target(word: &str) -> Option<Target> {
    let word = word.to_ascii_lowercase();
    let fixed = match word.as_str() {
        "scope" => Some(Target::Scope),
        "deps" => Some(Target::Deps),
        "network" => Some(Target::Network),
        "budget" => Some(Target::Budget),
        "round" => Some(Target::Round),
        "ci" => Some(Target::Ci),
        _ => None,
    };
    let numbered = || {
        let (letter, digits) = word.split_at_checked(1)?;
        let canonical =
            !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse::<u32>().ok().filter(|_| canonical)?;
        match letter {
            "p" => Some(Target::Plan(number)),
            "r" => Some(Target::Revision(number)),
            "b" => Some(Target::Brief(number)),
            _ => None,
        }
    };
    let digest = || {
        let hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
        (hex && (6..=64).contains(&word.len())).then(|| Target::Digest(word.clone()))
    };
    fixed.or_else(numbered).or_else(digest)
}

/// What a person typed, to be shown between backticks.
fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '`' => '\'',
        c if c.is_control() || (!c.is_ascii() && !c.is_alphanumeric()) => '\u{fffd}',
        c => c,
    };
    let mut short: String = text.trim().chars().take(80).map(shown).collect();
    if text.trim().chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::ident::TaskId;
    use super::super::{Surface, typed};
    use super::*;

    const PREFIXES: &[&str] = &["/agent", "@prentice"];

    fn outcome(comment: &str) -> String {
        let parsed = parse(comment, PREFIXES);
        let surface = Surface::Forge {
            prefix: String::new(),
        };
        let heard = match parsed.heard {
            Heard::Nothing => "nothing".to_owned(),
            Heard::Command(command) => {
                let typed = typed(&surface, TaskId(1), &command).unwrap();
                typed.trim().replace('\n', "\\n")
            }
            Heard::Mistake(Mistake::Unknown {
                meant: Some(verb), ..
            }) => format!("? {}", verb.row().name),
            Heard::Mistake(Mistake::Unknown { meant: None, .. }) => "? unknown".to_owned(),
            Heard::Mistake(Mistake::NoVerb) => "? no verb".to_owned(),
            Heard::Mistake(Mistake::Disguised { character }) => format!("? {character}"),
            Heard::Mistake(Mistake::Argument(_)) => "? argument".to_owned(),
        };
        match parsed.ignored.len() {
            0 => heard,
            ignored => format!("{heard} +{ignored}"),
        }
    }

    /// `\n`, `\r`, `\t` and `\u{…}` of the corpus.
    fn decoded(text: &str) -> String {
        let text = text
            .replace("\\n", "\n")
            .replace("\\r", "\r")
            .replace("\\t", "\t");
        let mut parts = text.split("\\u{");
        let mut out = parts.next().unwrap().to_owned();
        for part in parts {
            let (digits, rest) = part.split_once('}').unwrap();
            out.push(char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap());
            out.push_str(rest);
        }
        out
    }

    #[test]
    fn the_corpus_of_comments_is_heard_as_it_says() {
        let corpus = include_str!("../../../fixtures/comments.txt");
        let cases: Vec<(usize, &str)> = (1..)
            .zip(corpus.lines())
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .collect();
        let wrong: Vec<String> = cases
            .iter()
            .filter_map(|(number, line)| {
                let (expected, comment) = line.split_once(" | ").unwrap();
                let heard = outcome(&decoded(comment));
                (heard != expected.trim()).then(|| {
                    format!("line {number}: {comment}\n  heard {heard}, expected {expected}")
                })
            })
            .collect();
        assert!(
            wrong.is_empty(),
            "{} wrong\n{}",
            wrong.len(),
            wrong.join("\n")
        );
        assert!(cases.len() >= 200, "only {} comments", cases.len());
    }

    #[test]
    fn hidden_parts_and_quotes_do_not_reach_the_text_of_a_fix() {
        let comment =
            "/agent fix a <!-- evil --> b\n\n<!-- evil\nevil -->\n\n> evil\n\n[evil]: /evil\n\nc\n";
        assert_eq!(outcome(comment), "fix a  b\\n\\nc");
    }

    #[test]
    fn a_text_that_is_too_long_is_told_and_not_cut() {
        let long = format!("/agent fix {}", "x".repeat(TEXT_CAP + 1));
        assert_eq!(outcome(&long), "? argument");
    }

    #[test]
    fn ignored_lines_are_capped() {
        let many = "/agent stop\n".repeat(50);
        assert_eq!(parse(&many, PREFIXES).ignored.len(), IGNORED_CAP);
    }

    proptest! {
        #[test]
        fn any_comment_is_read_without_panic(comment in "(?s).{0,200}") {
            let _ = parse(&comment, PREFIXES);
        }

        #[test]
        fn markup_around_commands_is_read_without_panic(
            parts in proptest::collection::vec(prop_oneof![
                Just("/agent approve r1"), Just("/agent fix x"), Just("@prentice stop"), Just("\n"), Just("\n\n"),
                Just("> "), Just("```\n"), Just("    "), Just("- "), Just("<!--"), Just("-->"), Just("# "), Just("|"),
                Just("---\n"), Just("["), Just("](x)"), Just("`"), Just("*"), Just("\u{200b}"), Just("é"), Just("\r"),
                Just("[^1]: "), Just("<div>"), Just("</div>"), Just("&gt;"), Just("\\"),
            ], 0..14)
        ) {
            let _ = parse(&parts.concat(), PREFIXES);
        }

        #[test]
        fn what_is_quoted_never_runs(lines in proptest::collection::vec(
            prop_oneof!["/agent [a-z-]{0,9}( [a-z0-9]{0,4})?", "[ -~]{0,30}", Just(String::new())], 1..6
        )) {
            let quoted: String = lines.iter().map(|line| format!("> {line}\n")).collect();
            let parsed = parse(&quoted, PREFIXES);
            prop_assert_eq!(parsed, Parsed { heard: Heard::Nothing, ignored: Vec::new() });
        }

        #[test]
        fn what_is_in_a_code_block_never_runs(lines in proptest::collection::vec(
            prop_oneof!["/agent [a-z-]{0,9}( [a-z0-9]{0,4})?", "[ -_a-z]{0,30}"], 1..6
        )) {
            let fenced = format!("~~~~~~~~\n{}\n~~~~~~~~\n", lines.join("\n"));
            let parsed = parse(&fenced, PREFIXES);
            prop_assert_eq!(parsed, Parsed { heard: Heard::Nothing, ignored: Vec::new() });
        }
    }
}
