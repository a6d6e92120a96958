//! Markdown of ours, read back for a terminal.

/// What a page made of the other functions of this module says, without the marks that only a renderer removes:
/// escapes, character references and folds. Emphasis, lists, tables and code stay as they are written.
///
/// Nothing comes back that those functions made harmless: what they escape is punctuation.
#[must_use]
pub fn unmarked(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    // The fence of the block that the line is in.
    let mut fence: Option<&str> = None;
    for line in page.split_inclusive('\n') {
        let ticks = line.len() - line.trim_start_matches('`').len();
        let run = line.get(..ticks).unwrap_or_default();
        match fence {
            Some(open) if run == open && line.trim_end() == run => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(run),
            None => {
                unmark_line(line, &mut out);
                continue;
            }
        }
        out.push_str(line);
    }
    out
}

fn unmark_line(line: &str, out: &mut String) {
    let line = line
        .replace("<details><summary>", "")
        .replace("</summary>", ":");
    if line.trim_end() == "</details>" {
        return;
    }
    let line = line.replace("<code>", "`").replace("</code>", "`");
    let mut rest = line.as_str();
    while let Some(c) = rest.chars().next() {
        let (taken, shown) = match c {
            '`' => {
                let length = code_length(rest);
                (length, rest.get(..length).unwrap_or(rest).to_owned())
            }
            '\\' => match rest.chars().nth(1).filter(char::is_ascii_punctuation) {
                Some(mark) => (2, mark.to_string()),
                None => (1, c.to_string()),
            },
            '&' => reference(rest).unwrap_or((1, c.to_string())),
            _ => (c.len_utf8(), c.to_string()),
        };
        out.push_str(&shown);
        rest = rest.get(taken..).unwrap_or_default();
    }
}

/// Bytes of the inline code that `text` begins with; of its opening run alone, where nothing closes it.
fn code_length(text: &str) -> usize {
    let run = text.len() - text.trim_start_matches('`').len();
    let mut at = run;
    while let Some(next) = text.get(at..).and_then(|rest| rest.find('`')) {
        let start = at + next;
        let rest = text.get(start..).unwrap_or_default();
        let length = rest.len() - rest.trim_start_matches('`').len();
        at = start + length;
        // Code of ours that holds references has one backtick and stands for `<code>`.
        if length == run {
            let inner = text.get(..at).unwrap_or_default();
            return if inner.contains("&#") { run } else { at };
        }
    }
    run
}

/// The character reference that `text` begins with: its bytes, and the punctuation that it stands for.
fn reference(text: &str) -> Option<(usize, String)> {
    let end = text.find(';').filter(|end| *end < 8)?;
    let shown = match text.get(1..end)? {
        "lt" => '<',
        "amp" => '&',
        number => {
            let code: u8 = number.strip_prefix('#')?.parse().ok()?;
            Some(char::from(code)).filter(char::is_ascii_punctuation)?
        }
    };
    Some((end + 1, shown.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::{block, code, plain};
    use super::*;

    #[test]
    fn what_was_escaped_for_a_page_is_read_back_on_a_terminal() {
        for raw in [
            "= approve",
            "the cache _cacache and *this* [x] <b> $1 a|b ~x~ ^ &amp; &lt;",
            "a\\b",
            "\u{1b}[31m red",
            "1. one",
            "# 1 - 2 + 3 > 4 : 5",
            "[ ] it works (`tests`)",
        ] {
            let shown = super::super::harmless(raw.as_bytes());
            assert_eq!(unmarked(&plain(raw)), shown, "{raw}");
        }
        assert_eq!(unmarked(&code("a|b")), "`a|b`");
        assert_eq!(unmarked(&code(r"a\_b")), r"`a\_b`");
        assert_eq!(unmarked(&code("a`\\_b")), "``a`\\_b``");
    }

    #[test]
    fn a_block_stays_as_it_is_and_a_fold_is_opened() {
        let log = block("1\\. &lt; `\\_`\n```\n\\*");
        assert_eq!(unmarked(&log), log);
        let fold =
            format!("<details><summary>Last \\_ lines</summary>\n\n{log}\n</details>\nrest \\*\n");
        assert_eq!(unmarked(&fold), format!("Last _ lines:\n\n{log}\nrest *\n"));
    }
}
