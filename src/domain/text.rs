//! Text that leaves: the one place where words of people, agents and logs are made harmless.
//!
//! Nothing of theirs may mention, refer, close, link, draw or format where it is shown.
//! Raw text goes through a [`Redactor`] where it comes in, then through [`clip`], then through one of
//! [`plain`], [`cell`], [`code`], [`block`], [`path`] (Markdown), [`title`] or
//! [`harmless`] (no Markdown). Each takes raw text; none may be applied to the output of another.
//! Tokens of known forms are taken out by each of them once more.

mod redact;
mod unmarked;

use super::ident::RepoPath;

pub use redact::{Found, Redactor};
pub use unmarked::unmarked;

/// Inline Markdown that shows `text` on one line and does nothing else, in a table cell too.
///
/// Mentions, references to issues (`#1`, `o/r#1`, `GH-1`, `!1`), addresses and URLs become
/// inline code, together with a closing keyword before them: both forges leave code alone,
/// while they find `&#64;name` again after rendering. No host is on the allow-list for
/// links: every URL is shown, none is clickable. Empty for text without words.
#[must_use]
pub fn plain(text: &str) -> String {
    let shown = shown(text, Breaks::Space);
    let words: Vec<Word<'_>> = shown.split_whitespace().map(Word::new).collect();
    let mut out = String::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let next = words.get(at + 1);
        if !out.is_empty() {
            out.push(' ');
        }
        let closes = word.is_closing_keyword();
        if closes && let Some(target) = next.filter(|next| next.is_live()) {
            escape(word.lead, &mut out);
            let both = format!("{}{} {}{}", word.core, word.trail, target.lead, target.core);
            out.push_str(&code(&both));
            escape(target.trail, &mut out);
            at += 2;
            continue;
        }
        escape(word.lead, &mut out);
        // The last word may stand before a reference of ours.
        if word.is_live() || (closes && next.is_none()) {
            out.push_str(&code(word.core));
        } else {
            escape(word.core, &mut out);
        }
        escape(word.trail, &mut out);
        at += 1;
    }
    out
}

/// [`plain`] for a table cell: `–` where there is nothing to say.
#[must_use]
pub fn cell(text: &str) -> String {
    let text = plain(text);
    if text.is_empty() {
        "–".to_owned()
    } else {
        text
    }
}

/// Inline code that backticks, line breaks and the bars of a table cannot end.
///
/// Line breaks are shown as `␊`. `(empty)` without code for an empty text, which Markdown cannot write.
#[must_use]
pub fn code(text: &str) -> String {
    let text = shown(text, Breaks::Shown);
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let run = longest_run(&text, '`');
    // A bar ends a table cell even inside backticks; renderers stop counting backticks at 80.
    if text.contains('|') || run > 16 {
        let mut out = String::from("<code>");
        for c in text.chars() {
            if c.is_ascii_punctuation() {
                out.push_str(&format!("&#{};", u32::from(c)));
            } else {
                out.push(c);
            }
        }
        return out + "</code>";
    }
    let fence = "`".repeat(run + 1);
    let outer = |c| text.starts_with(c) && text.ends_with(c);
    let pad = if text.starts_with('`') || text.ends_with('`') || outer(' ') {
        " "
    } else {
        ""
    };
    // Text of spaces alone is not stripped by renderers, so it needs no padding.
    let pad = if text.trim_matches(' ').is_empty() {
        ""
    } else {
        pad
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A fenced block that nothing inside can end, with a line break after it.
#[must_use]
pub fn block(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut text = shown(text, Breaks::Kept);
    if longest_run(&text, '`') >= LONGEST {
        // Renderers count fences in a byte: a longer run would end any fence.
        text = text.replace("````", "` ` ` ` ");
    }
    let fence = "`".repeat((longest_run(&text, '`') + 1).max(3));
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{fence}text\n{text}{end}{fence}\n")
}

/// A path as inline code: line breaks and control characters shown, bytes that are not UTF-8 as `\xff`.
#[must_use]
pub fn path(path: &RepoPath) -> String {
    let mut text = String::new();
    for chunk in path.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    code(&text)
}

/// One line for a field that is not Markdown (title of a pull request, subject of a commit):
/// at most `max_chars`, with a space inside what would mention or refer (`@ dana`, `# 12`).
#[must_use]
pub fn title(text: &str, max_chars: usize) -> String {
    let shown = shown(text, Breaks::Space);
    let mut out = String::new();
    for word in shown.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        let mut chars = word.chars().peekable();
        while let Some(c) = chars.next() {
            out.push(c);
            let digit = chars.peek().is_some_and(char::is_ascii_digit);
            let issue = matches!(c, '#' | '!') || (c == '-' && ends_with_gh(&out));
            let url = c == ':' && chars.peek() == Some(&'/');
            if (c == '@' && chars.peek().is_some()) || (issue && digit) || url {
                out.push(' ');
            }
        }
    }
    if out.chars().count() <= max_chars {
        return out;
    }
    let kept: String = out.chars().take(max_chars.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Bytes as text for a terminal or a file: no escape sequence acts, nothing is invisible,
/// invalid UTF-8 is replaced. Line breaks and tabs stay.
#[must_use]
pub fn harmless(bytes: &[u8]) -> String {
    shown(&String::from_utf8_lossy(bytes), Breaks::Kept)
}

/// The last lines of a log, [`harmless`]: at most `max_lines` lines and `max_chars`
/// characters, the note about what was left out included.
///
/// A lone carriage return (a progress bar) ends a line.
#[must_use]
pub fn tail_lines(bytes: &[u8], max_lines: usize, max_chars: usize) -> String {
    // Four bytes make at most one character, so what is before cannot be in the tail.
    let start = bytes.len().saturating_sub(max_chars.saturating_mul(4));
    let near = bytes.get(start..).unwrap_or_default();
    let near = String::from_utf8_lossy(near)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let text = shown(near.trim_end_matches('\n'), Breaks::Kept);
    let lines: Vec<&str> = text.split('\n').collect();
    if start == 0 && lines.len() <= max_lines && text.chars().count() <= max_chars {
        return text;
    }
    const NOTE: &str = "… (earlier output left out)";
    // A line costs its characters and its line break.
    let mut room = max_chars.saturating_sub(NOTE.chars().count());
    let mut kept: Vec<String> = Vec::new();
    for line in lines.iter().rev().take(max_lines.saturating_sub(1)) {
        let length = line.chars().count();
        if length >= room {
            if kept.is_empty() && room > 2 {
                let end: String = line
                    .chars()
                    .skip((length + 2).saturating_sub(room))
                    .collect();
                kept.push(format!("…{end}"));
            }
            break;
        }
        kept.push((*line).to_owned());
        room -= length + 1;
    }
    kept.push(NOTE.to_owned());
    kept.reverse();
    kept.join("\n")
}

/// `text` cut to about `max_chars` characters, saying how many more there were.
///
/// Cut raw text, never escaped text: half an escape is none.
#[must_use]
pub fn clip(text: &str, max_chars: usize) -> String {
    let count = text.chars().count();
    if count <= max_chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max_chars).collect();
    let kept = kept.trim_end();
    let left_out = count - kept.chars().count();
    format!("{kept}… ({} more characters)", thousands(left_out as u64))
}

/// A time span for people: `340 ms`, `4.2 s`, `41 s`, `2 m 10 s`, `1 h 5 m`.
#[must_use]
pub fn duration(ms: u64) -> String {
    let secs = ms / 1000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", secs, ms % 1000 / 100),
        10_000..60_000 => format!("{secs} s"),
        60_000..3_600_000 => format!("{} m {} s", secs / 60, secs % 60),
        _ => format!("{} h {} m", secs / 3600, secs % 3600 / 60),
    }
}

/// A number of bytes for people, in powers of 1,000: `512 B`, `1.2 MB`, `31 kB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let mut unit = 1_u64;
    let mut name = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if bytes / unit < 1000 {
            break;
        }
        unit *= 1000;
        name = next;
    }
    let whole = bytes / unit;
    if unit > 1 && whole < 10 {
        format!("{whole}.{} {name}", bytes % unit / (unit / 10))
    } else {
        format!("{whole} {name}")
    }
}

/// `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Why a character is not seen where text is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// Moves a cursor, colours, rings.
    Control,
    /// Takes no room.
    Invisible,
    /// Reorders what is around it.
    Bidirectional,
}

/// Whether `c` is not seen between its neighbours; `None` for all that is.
///
/// Line break and tab are seen. A joiner between letters that join, or between two emoji,
/// and one variation selector after a symbol are part of what is seen.
#[must_use]
pub fn unseen(before: Option<char>, c: char, after: Option<char>) -> Option<Unseen> {
    let reorders = |c: char| matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let controls = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let is_drawn = |c: char| !is_ignorable(c) && !reorders(c) && !controls(c);
    let symbol = |c: char| is_drawn(c) && !c.is_alphanumeric() && u32::from(c) >= 0xa9;
    match c {
        '\n' | '\t' => None,
        _ if reorders(c) => Some(Unseen::Bidirectional),
        _ if controls(c) => Some(Unseen::Control),
        '\u{200c}' | '\u{200d}' => {
            let joins = |c: char| matches!(u32::from(c), 0x0600..=0x08ff | 0x0900..=0x0fff | 0x1000..=0x109f | 0x1780..=0x18af | 0xa840..=0xaaff);
            // The selector of an emoji may stand between it and the joiner.
            let drawn = |c: char| symbol(c) || c == '\u{fe0f}';
            let letters =
                before.is_some_and(joins) && after.is_some_and(|c| joins(c) && is_drawn(c));
            let emoji = before.is_some_and(drawn) && after.is_some_and(symbol);
            let seen = letters || (c == '\u{200d}' && emoji);
            (!seen).then_some(Unseen::Invisible)
        }
        '\u{fe0e}' | '\u{fe0f}' => {
            let keycap = after == Some('\u{20e3}');
            let seen = before.is_some_and(symbol) || keycap;
            (!seen).then_some(Unseen::Invisible)
        }
        _ => is_ignorable(c).then_some(Unseen::Invisible),
    }
}

/// Characters that renderers draw as nothing, from Unicode's `Default_Ignorable_Code_Point`
/// and the blanks that are letters by their class.
fn is_ignorable(c: char) -> bool {
    matches!(u32::from(c),
        0xad | 0x34f | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
        | 0x2060..=0x206f | 0x2800 | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
        | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

/// `c` as something that is seen: `␛` for escape, `\u{202E}` for what has no picture.
pub(super) fn picture(c: char) -> String {
    let number = u32::from(c);
    let drawn = match number {
        0..=0x1f => char::from_u32(0x2400 + number),
        0x7f => Some('␡'),
        _ => None,
    };
    drawn.map_or_else(|| format!("\\u{{{number:X}}}"), String::from)
}

/// What becomes of line breaks and tabs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Kept,
    Space,
    Shown,
}

fn shown(text: &str, breaks: Breaks) -> String {
    // Where text came by another way than a redactor that knows more: no token leaves by its form at least.
    let text = &redact::forms(text);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        // As it is drawn: what stood there may have become a picture.
        let before = out.chars().next_back();
        let after = chars.peek().copied();
        match c {
            '\r' if after == Some('\n') => continue,
            '\n' | '\t' if breaks == Breaks::Kept => out.push(c),
            '\n' | '\t' if breaks == Breaks::Space => out.push(' '),
            '\t' => out.push(' '),
            '\n' => out.push_str(&picture(c)),
            _ if unseen(before, c, after).is_some() => out.push_str(&picture(c)),
            _ => out.push(c),
        }
    }
    out
}

/// A word between spaces, without the punctuation around it.
struct Word<'a> {
    lead: &'a str,
    core: &'a str,
    trail: &'a str,
}

impl<'a> Word<'a> {
    fn new(word: &'a str) -> Self {
        let rest = word.trim_start_matches(['(', '{', '"', '\'']);
        let core = rest.trim_end_matches(['.', ',', ';', ':', '?', ')', '}', '"', '\'']);
        Self {
            lead: word.get(..word.len() - rest.len()).unwrap_or_default(),
            core,
            trail: rest.get(core.len()..).unwrap_or_default(),
        }
    }

    /// Whether a forge would make something of it.
    fn is_live(&self) -> bool {
        let word = self.core.to_ascii_lowercase();
        let numbered = |mark: &str| {
            word.match_indices(mark).any(|(at, _)| {
                let after = word.get(at + mark.len()..).unwrap_or_default();
                after.starts_with(|c: char| c.is_ascii_digit())
            })
        };
        ["@", "://", "www.", "mailto:", "xmpp:", "[["]
            .iter()
            .any(|mark| word.contains(mark))
            || ["#", "!", "gh-"].iter().any(|mark| numbered(mark))
    }

    /// The keywords of GitHub, Gitea and GitLab that act on an issue.
    fn is_closing_keyword(&self) -> bool {
        let word = self.core.to_ascii_lowercase();
        let stem = ["ing", "es", "ed", "s", "d", "e"]
            .iter()
            .find_map(|end| word.strip_suffix(end))
            .unwrap_or(&word);
        matches!(stem, "clos" | "fix" | "resolv" | "implement" | "reopen")
    }
}

/// `text` with every character that Markdown could act on made literal.
fn escape(text: &str, out: &mut String) {
    let mut before: Option<char> = out.chars().next_back();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let after = chars.peek().copied();
        let start = out.is_empty();
        match c {
            '<' => out.push_str("&lt;"),
            // Mathematics, on every forge; `\[` at the start of a line as well.
            '$' => out.push_str("&#36;"),
            '[' if start => out.push_str("&#91;"),
            '&' if after.is_some_and(|c| c == '#' || c.is_ascii_alphanumeric()) => {
                out.push_str("&amp;")
            }
            '_' if before.is_some_and(char::is_alphanumeric)
                && after.is_some_and(char::is_alphanumeric) =>
            {
                out.push('_');
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '^' => out.extend(['\\', c]),
            '#' | '>' | '-' | '+' | '=' | ':' if start => out.extend(['\\', c]),
            '.' | ')' if !start && out.len() < 10 && out.chars().all(|c| c.is_ascii_digit()) => {
                out.extend(['\\', c])
            }
            _ => out.push(c),
        }
        before = Some(c);
    }
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0)
}

fn ends_with_gh(text: &str) -> bool {
    let mut last = text.chars().rev().skip(1).map(|c| c.to_ascii_lowercase());
    last.next() == Some('h') && last.next() == Some('g')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

    use super::*;

    /// Text and code as a reader sees them; `None` when anything else is drawn.
    fn rendered(markdown: &str) -> Option<(String, String)> {
        let (mut all, mut bare) = (String::new(), String::new());
        let mut inside = false;
        for event in Parser::new_ext(markdown, Options::all() - Options::ENABLE_SMART_PUNCTUATION) {
            match event {
                Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph) => {}
                Event::Code(code) => all.push_str(&code),
                Event::InlineHtml(html) if &*html == "<code>" && !inside => inside = true,
                Event::InlineHtml(html) if &*html == "</code>" && inside => inside = false,
                Event::Text(text) => {
                    all.push_str(&text);
                    if !inside {
                        bare.push_str(&text);
                    }
                }
                _ => return None,
            }
        }
        Some((all, bare))
    }

    fn words(text: &str) -> String {
        let shown = shown(text, Breaks::Space);
        shown.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Whether a forge would find something to act on in rendered text outside code.
    fn acts(bare: &str) -> bool {
        let form = regex::Regex::new(r"(?i)@[a-z0-9_.-]|[#!][0-9]|gh-[0-9]|://|www\.|mailto:|\[\[")
            .unwrap();
        form.is_match(bare)
    }

    /// Hostile text: pieces that mean something, glued at random.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "@dana",
                "@",
                "#12",
                "o/r#3",
                "GH-7",
                "!4",
                "fixes",
                "Closes:",
                " ",
                "\n",
                "\n\n",
                "    ",
                "\t",
                "`",
                "``",
                "```",
                "~~~",
                "|",
                "---",
                "- ",
                "1. ",
                "# ",
                "> ",
                "* ",
                "_",
                "**",
                "[",
                "]",
                "(",
                ")",
                "![a](b)",
                "[a](https://x.example)",
                "<b>",
                "<!--",
                "-->",
                "<img src=x>",
                "&#64;",
                "&lt;",
                "&",
                "https://x.example/o/r/issues/1",
                "www.x.example",
                "a@b.example",
                "\\",
                "$",
                "$$",
                "~",
                "[^1]",
                "[[w]]",
                "\u{202e}",
                "\u{200b}",
                "\x1b[31m",
                "é",
                "👩\u{200d}💻",
                "::",
                "=",
                "+",
                "| - |",
                "\r",
            ])
            .prop_map(str::to_owned),
            "\\PC{0,4}",
        ];
        prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn a_token_is_shown_in_no_way() {
        let token = format!("ghp_{}", "aB3".repeat(12));
        let text = format!("see {token} `{token}`|");
        let there = RepoPath::from(text.as_str());
        let ways = [
            plain(&text),
            cell(&text),
            code(&text),
            block(&text),
            path(&there),
        ];
        let more = [
            title(&text, 500),
            harmless(text.as_bytes()),
            tail_lines(text.as_bytes(), 9, 500),
        ];
        for shown in ways.iter().chain(&more) {
            assert!(!shown.contains("aB3aB3"), "{shown}");
            assert!(shown.contains("GitHub"), "{shown}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn plain_draws_the_words_and_nothing_else(text in hostile()) {
            let out = plain(&text);
            let (all, bare) = rendered(&out).unwrap_or_else(|| panic!("{out:?} draws more than text"));
            prop_assert_eq!(all, words(&text), "{}", out);
            prop_assert!(!acts(&bare), "{:?} acts", bare);
            prop_assert!(!out.contains('\n'));
        }

        #[test]
        fn a_cell_stays_one_cell(text in hostile(), command in hostile()) {
            let table = format!("| a | b | c |\n|---|---|---|\n| {} | {} | end |\n", cell(&text), code(&command));
            let (mut cells, mut rows) = (Vec::new(), 0);
            for event in Parser::new_ext(&table, Options::ENABLE_TABLES) {
                match event {
                    Event::Start(Tag::TableRow) => rows += 1,
                    Event::Start(Tag::TableCell) => cells.push(String::new()),
                    Event::Text(text) | Event::Code(text) => cells.last_mut().unwrap().push_str(&text),
                    _ => {}
                }
            }
            prop_assert_eq!((cells.len(), rows), (6, 1), "{}", table);
            prop_assert_eq!(&cells[5], "end");
            if !command.is_empty() {
                let expected = shown(&command, Breaks::Shown);
                prop_assert_eq!(cells[4].trim(), expected.trim());
            }
        }

        #[test]
        fn code_is_only_code(text in hostile()) {
            let out = format!("x {} y", code(&text));
            let (all, bare) = rendered(&out).unwrap();
            prop_assert!(all.contains(shown(&text, Breaks::Shown).as_str()) || text.is_empty());
            if !text.is_empty() {
                prop_assert_eq!(bare, "x  y");
            }
        }

        #[test]
        fn nothing_ends_a_block(text in hostile(), fence in 0_usize..300) {
            let text = format!("{text}\n{}\n@dana {text}", "`".repeat(fence));
            let out = format!("{}after", block(&text));
            let events: Vec<_> = Parser::new_ext(&out, Options::all()).collect();
            let blocks = events.iter().filter(|event| matches!(event, Event::Start(Tag::CodeBlock(_)))).count();
            prop_assert_eq!(blocks, 1);
            prop_assert!(matches!(&events[0], Event::Start(Tag::CodeBlock(_))));
            prop_assert!(matches!(&events[events.len() - 2], Event::Text(text) if &**text == "after"));
        }

        #[test]
        fn a_title_mentions_and_refers_to_nothing(text in hostile(), max in 0_usize..80) {
            let out = title(&text, max);
            prop_assert!(!acts(&out.replace("www.", "").replace("mailto:", "").replace("[[", "")), "{:?}", out);
            prop_assert!(!out.contains('\n') && out.chars().count() <= max.max(1));
        }

        #[test]
        fn harmless_text_has_only_characters_that_are_seen(bytes in prop::collection::vec(any::<u8>(), 0..60), text in hostile()) {
            for out in [harmless(&bytes), harmless(text.as_bytes()), tail_lines(&bytes, 5, 40)] {
                let chars: Vec<char> = out.chars().collect();
                for (at, c) in chars.iter().enumerate() {
                    let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied();
                    prop_assert_eq!(unseen(before, *c, chars.get(at + 1).copied()), None, "{:?}", out);
                }
            }
        }

        #[test]
        fn a_tail_keeps_its_limits(text in "[a-zé\n\r]{0,400}", lines in 1_usize..20, chars in 30_usize..120) {
            let tail = tail_lines(text.as_bytes(), lines, chars);
            prop_assert!(tail.lines().count() <= lines, "{:?}", tail);
            prop_assert!(tail.chars().count() <= chars, "{:?}", tail);
        }
    }

    #[test]
    fn words_of_others_are_shown_and_do_nothing() {
        for (text, expected) in [
            ("Ask @dana, please.", "Ask `@dana`, please."),
            ("(@org/team)", "(`@org/team`)"),
            (
                "https://x.example:!!\r@dana",
                "`https://x.example:!!␍@dana`",
            ),
            ("This fixes #12 at last", "This `fixes #12` at last"),
            ("Closes: o/r#3.", "`Closes: o/r#3`."),
            ("(resolves GH-4)", "(`resolves GH-4`)"),
            (
                "Fixes https://forge.example/o/r/issues/1",
                "`Fixes https://forge.example/o/r/issues/1`",
            ),
            ("it is fixed", "it is `fixed`"),
            ("fixed it", "fixed it"),
            ("see !4 and www.x.example", "see `!4` and `www.x.example`"),
            ("mail a@b.example", "mail `a@b.example`"),
            ("# Not a heading", "\\# Not a heading"),
            ("- no list", "\\- no list"),
            ("12. no list", "12\\. no list"),
            ("> no quote", "\\> no quote"),
            ("=== 3", "\\=== 3"),
            ("a * b_c _d_ ~~e~~", "a \\* b_c \\_d\\_ \\~\\~e\\~\\~"),
            ("![x](y) [a](b)", "!\\[x\\](y) \\[a\\](b)"),
            ("[a]: b", "&#91;a\\]: b"),
            ("<img src=x onerror=y>", "&lt;img src=x onerror=y>"),
            ("a<!-- b -->", "a&lt;!-- b -->"),
            ("R&D &amp; a & b", "R&amp;D &amp;amp; a & b"),
            ("&#64;dana", "`&#64;dana`"),
            ("cost $1 or $2", "cost &#36;1 or &#36;2"),
            ("a | b", "a \\| b"),
            ("`rm`", "\\`rm\\`"),
            ("two\n\nlines\tand a tab", "two lines and a tab"),
            ("\x1b[31mred\x1b]0;t\x07", "␛\\[31mred␛\\]0;t␇"),
            (
                "a\u{202e}b\u{200b}c\u{e0041}",
                "a\\\\u{202E}b\\\\u{200B}c\\\\u{E0041}",
            ),
            ("👩\u{200d}💻 ❤\u{fe0f} ok", "👩\u{200d}💻 ❤\u{fe0f} ok"),
            ("", ""),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
        assert_eq!(cell(" \n"), "–");
    }

    #[test]
    fn code_and_paths_cannot_be_left() {
        assert_eq!(code("cargo test"), "`cargo test`");
        assert_eq!(code("a `b` c"), "``a `b` c``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a | @b"), "<code>a &#124; &#64;b</code>");
        assert_eq!(code(""), "(empty)");
        assert_eq!(code("a\nb"), "`a␊b`");
        assert_eq!(
            path(&RepoPath::new(b"a\n\xff\x1b.rs".to_vec())),
            "`a␊\\xff␛.rs`"
        );
        insta::assert_snapshot!(block("a\n```\n@dana \x1b[0m"), @r"
        ````text
        a
        ```
        @dana ␛[0m
        ````
        ");
    }

    #[test]
    fn a_title_is_one_line_without_mentions() {
        assert_eq!(
            title("Fix @dana's\n#12, GH-3 !4 C# a@b", 80),
            "Fix @ dana's # 12, GH- 3 ! 4 C# a@ b"
        );
        assert_eq!(title("see https://x.example", 80), "see https: //x.example");
        assert_eq!(title("one two three", 9), "one two…");
    }

    #[test]
    fn a_tail_says_that_there_was_more() {
        assert_eq!(tail_lines(b"a\nb\n", 20, 4000), "a\nb");
        assert_eq!(
            tail_lines(b"1%\r50%\r100%\r\ndone\n", 20, 4000),
            "1%\n50%\n100%\ndone"
        );
        assert_eq!(
            tail_lines(b"a\nb\nc\nd\n", 3, 4000),
            "… (earlier output left out)\nc\nd"
        );
        let long = tail_lines("x".repeat(9000).as_bytes(), 20, 4000);
        assert_eq!(long.chars().count(), 4000);
        assert!(long.starts_with("… (earlier output left out)\n…x"));
        assert_eq!(tail_lines(b"\xff\x1b[1mA", 20, 4000), "\u{fffd}␛[1mA");
    }

    #[test]
    fn figures_are_written_for_people() {
        let spans: Vec<_> = [0, 340, 4_290, 41_000, 130_000, 3_900_000]
            .map(duration)
            .into();
        assert_eq!(
            spans,
            ["0 ms", "340 ms", "4.2 s", "41 s", "2 m 10 s", "1 h 5 m"]
        );
        let sizes: Vec<_> = [0, 999, 1_000, 1_234_567, 31_000, 5 << 40].map(size).into();
        assert_eq!(
            sizes,
            ["0 B", "999 B", "1.0 kB", "1.2 MB", "31 kB", "5.4 TB"]
        );
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(clip("abc def", 4), "abc… (4 more characters)");
        assert_eq!(clip("abc", 3), "abc");
    }
}
