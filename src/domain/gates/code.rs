//! What of a text is code: comments and strings are blanked, byte for byte.

use super::lexis::{Block, Lexis, Quote, Special};

/// A text with parts of it turned into spaces; line ends stay, so lines keep their numbers.
pub(super) struct Masked {
    /// Without comments and without strings that span lines.
    pub(super) text: String,
    /// Without the inside of any string, too.
    pub(super) code: String,
}

/// Blanks what is not code. Linear in the text.
pub(super) fn mask(source: &str, lexis: &Lexis) -> Masked {
    let bytes = source.as_bytes();
    let (mut text, mut code) = (bytes.to_vec(), bytes.to_vec());
    let mut reader = Reader {
        lexis,
        bytes,
        at: 0,
        last: None,
        fresh: true,
        unclosed: Vec::new(),
    };
    while let Some((token, start, end)) = reader.next() {
        match token {
            Token::Plain => {}
            Token::Comment => {
                blank(&mut text, start, end);
                blank(&mut code, start, end);
            }
            Token::Text { open, close } => {
                let inside = bytes.get(start..end).unwrap_or_default();
                if inside.contains(&b'\n') {
                    blank(&mut text, start, end);
                }
                blank(&mut code, start + open, end.saturating_sub(close));
            }
        }
    }
    let whole = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Masked {
        text: whole(text),
        code: whole(code),
    }
}

fn blank(bytes: &mut [u8], start: usize, end: usize) {
    for byte in bytes.get_mut(start..end).unwrap_or_default() {
        if !matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

enum Token {
    Plain,
    Comment,
    /// A string; the lengths of its marks.
    Text {
        open: usize,
        close: usize,
    },
}

struct Reader<'a> {
    lexis: &'a Lexis,
    bytes: &'a [u8],
    at: usize,
    /// The last byte of code that was no space.
    last: Option<u8>,
    /// Whether only space is before this on its line.
    fresh: bool,
    /// Marks that no end follows; each is looked for once, so that reading stays linear.
    unclosed: Vec<&'static str>,
}

impl Reader<'_> {
    /// What comes next, from where to where; never empty.
    fn next(&mut self) -> Option<(Token, usize, usize)> {
        let start = self.at;
        let rest = self.bytes.get(start..)?;
        let first = *rest.first()?;
        let (token, length) = self.token(rest, first);
        self.at = start + length.max(1);
        match token {
            Token::Plain if first == b'\n' => self.fresh = true,
            Token::Plain if first.is_ascii_whitespace() => {}
            Token::Plain => {
                self.last = self.bytes.get(self.at - 1).copied();
                self.fresh = false;
            }
            Token::Comment => {}
            Token::Text { .. } => {
                self.last = Some(b'"');
                self.fresh = false;
            }
        }
        Some((token, start, self.at))
    }

    fn token(&mut self, rest: &[u8], first: u8) -> (Token, usize) {
        let lexis = self.lexis;
        let begins = |mark: &&&str| rest.starts_with(mark.as_bytes());
        let line = || {
            rest.iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len())
        };
        if let Some(block) = lexis.block.filter(|block| begins(&&block.open)) {
            return (Token::Comment, block_end(rest, block));
        }
        let whole = self.fresh && lexis.whole_line.iter().any(|mark| begins(&mark));
        if whole || lexis.inline.iter().any(|mark| begins(&mark)) {
            let end = line();
            let said = rest.get(..end).unwrap_or_default();
            let kept = match lexis.special {
                Special::Go => {
                    let said = String::from_utf8_lossy(said);
                    said.starts_with("//go:build")
                        || said
                            .trim_start_matches("//")
                            .trim_start()
                            .starts_with("+build")
                        || said.contains("utput:")
                }
                Special::Php => said.starts_with(b"#["),
                _ => false,
            };
            return match kept {
                true => (Token::Plain, end),
                false => (Token::Comment, end),
            };
        }
        if let Some(found) = self.special(rest, first) {
            return found;
        }
        let glued = first == b'\'' && self.last_is_word();
        let quotes = lexis.quotes.iter().filter(|_| !glued);
        for quote in quotes.filter(|quote| rest.starts_with(quote.open.as_bytes())) {
            if self.unclosed.contains(&quote.open) {
                continue;
            }
            let open = quote.open.len();
            let inside = rest.get(open..).unwrap_or_default();
            match string_end(inside, quote) {
                Some(end) => {
                    let close = match inside.get(..end) {
                        Some(inside) if inside.ends_with(quote.close.as_bytes()) => {
                            quote.close.len()
                        }
                        _ => 0,
                    };
                    return (Token::Text { open, close }, open + end);
                }
                None => self.unclosed.push(quote.open),
            }
        }
        (Token::Plain, 1)
    }

    fn special(&mut self, rest: &[u8], first: u8) -> Option<(Token, usize)> {
        match self.lexis.special {
            Special::Rust if first == b'\'' => {
                let literal = match rest.get(1)? {
                    b'\\' => rest
                        .iter()
                        .skip(3)
                        .position(|byte| *byte == b'\'')
                        .map(|at| at + 4),
                    // One letter of up to four bytes between two marks; else it is a lifetime.
                    _ => (2..=5)
                        .find(|at| rest.get(*at) == Some(&b'\''))
                        .map(|at| at + 1)
                        .filter(|end| {
                            rest.get(1..end - 1)
                                .and_then(|letter| std::str::from_utf8(letter).ok())
                                .is_some_and(|letter| letter.chars().count() == 1)
                        }),
                };
                Some(match literal.filter(|end| *end <= 14) {
                    Some(end) => (Token::Text { open: 1, close: 1 }, end),
                    None => (Token::Plain, 1),
                })
            }
            Special::Rust if first == b'r' && !self.last_is_word() => {
                let hashes = rest
                    .iter()
                    .skip(1)
                    .take_while(|byte| **byte == b'#')
                    .count();
                if hashes == 0 && rest.get(1) != Some(&b'"') || rest.get(1 + hashes) != Some(&b'"')
                {
                    return None;
                }
                let mut close = vec![b'"'];
                close.resize(1 + hashes, b'#');
                self.raw(rest, 2 + hashes, &close)
            }
            Special::Cpp if rest.starts_with(b"R\"") && !self.last_is_word() => {
                let word = rest
                    .iter()
                    .skip(2)
                    .take(17)
                    .position(|byte| *byte == b'(')?;
                let mut close = vec![b')'];
                close.extend_from_slice(rest.get(2..2 + word)?);
                close.push(b'"');
                self.raw(rest, 3 + word, &close)
            }
            Special::JavaScript if first == b'/' => {
                let may = self
                    .last
                    .is_none_or(|last| b"(,=:[!&|?{};+-*%~^".contains(&last));
                if !may {
                    return None;
                }
                let quote = Quote {
                    open: "/",
                    close: "/",
                    lines: false,
                    escapes: true,
                };
                let inside = rest.get(1..)?;
                let end = string_end(inside, &quote)?;
                let closed = inside.get(..end)?.ends_with(b"/");
                closed.then_some((Token::Text { open: 1, close: 1 }, end + 1))
            }
            Special::Heredoc => self.heredoc(rest, first),
            _ => None,
        }
    }

    fn last_is_word(&self) -> bool {
        // Right before this, not merely the last one that was no space.
        self.at
            .checked_sub(1)
            .and_then(|before| self.bytes.get(before))
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && !matches!(self.lexis.inline.first(), Some(&"#"))
    }

    /// A string without escapes that ends with `close`.
    fn raw(&mut self, rest: &[u8], open: usize, close: &[u8]) -> Option<(Token, usize)> {
        const RAW: &str = "raw";
        if self.unclosed.contains(&RAW) {
            return None;
        }
        match find(rest.get(open..)?, close) {
            Some(end) => Some((
                Token::Text {
                    open,
                    close: close.len(),
                },
                open + end + close.len(),
            )),
            None => {
                self.unclosed.push(RAW);
                None
            }
        }
    }

    /// Blanked from the next line on, so that the line that opens one is read.
    fn heredoc(&mut self, rest: &[u8], first: u8) -> Option<(Token, usize)> {
        const MARK: &str = "<<";
        if self.fresh && rest.starts_with(b"=begin") {
            let end = find(rest, b"\n=end").map_or(rest.len(), |at| at + 5);
            return Some((Token::Comment, end));
        }
        if self.fresh && (rest.starts_with(b"__END__\n") || rest == b"__END__") {
            return Some((Token::Comment, rest.len()));
        }
        if first != b'\n' || self.unclosed.len() > 64 {
            return None;
        }
        let before = self.bytes.get(..self.at)?;
        let begin = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let line = before.get(begin..)?;
        let opened = line.get(find(line, b"<<")? + 2..)?;
        let opened = opened
            .strip_prefix(b"-")
            .or(opened.strip_prefix(b"~"))
            .unwrap_or(opened);
        let opened = opened
            .strip_prefix(b"'")
            .or(opened.strip_prefix(b"\""))
            .unwrap_or(opened);
        let length = opened
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
            .count();
        let word = opened.get(..length).filter(|word| !word.is_empty())?;
        let mut end = 1;
        for line in rest.get(1..)?.split_inclusive(|byte| *byte == b'\n') {
            if line.trim_ascii() == word {
                return Some((Token::Comment, end));
            }
            end += line.len();
        }
        // `1 << n` opens nothing; enough of those, and none is looked for any more.
        self.unclosed.push(MARK);
        None
    }
}

/// Where a comment ends that begins with its mark.
fn block_end(rest: &[u8], block: Block) -> usize {
    let (open, close) = (block.open.as_bytes(), block.close.as_bytes());
    let (mut at, mut depth) = (open.len(), 1);
    while let Some(left) = rest.get(at..).filter(|left| !left.is_empty()) {
        if left.starts_with(close) {
            at += close.len();
            depth -= 1;
            if depth == 0 {
                return at;
            }
        } else if block.nested && left.starts_with(open) {
            at += open.len();
            depth += 1;
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Where a string ends, with its closing mark; the end of the line where it may not go on.
fn string_end(inside: &[u8], quote: &Quote) -> Option<usize> {
    let close = quote.close.as_bytes();
    let mut at = 0;
    while let Some(left) = inside.get(at..).filter(|left| !left.is_empty()) {
        if left.starts_with(close) {
            return Some(at + close.len());
        }
        at += match left {
            [b'\n', ..] if !quote.lines => return Some(at),
            [b'\\', _, ..] if quote.escapes => 2,
            _ => 1,
        };
    }
    (!quote.lines).then_some(inside.len())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(lexis: &Lexis, text: &str) -> String {
        let masked = mask(text, lexis).code;
        masked
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }

    fn text(lexis: &Lexis, text: &str) -> String {
        let masked = mask(text, lexis).text;
        masked
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }

    #[test]
    fn comments_are_no_code_in_any_language() {
        for (lexis, source, expected) in [
            (
                &Lexis::RUST,
                "a /* x\n/* y */ z */ b // c\n",
                "a\n             b\n",
            ),
            (&Lexis::PYTHON, "a = 1 # b\n# c\n", "a = 1\n\n"),
            (&Lexis::JAVASCRIPT, "a /* b */ c // d\n", "a         c\n"),
            (
                &Lexis::GO,
                "//go:build x\n// y\n// Output: z\n",
                "//go:build x\n\n// Output: z\n",
            ),
            (&Lexis::PHP, "#[Test]\n# a\n// b\nc\n", "#[Test]\n\n\nc\n"),
            (
                &Lexis::HEREDOCS,
                "a $# b\n# c\n=begin\nd\n=end\ne\n",
                "a $# b\n\n\n\n\ne\n",
            ),
            (
                &Lexis::HEREDOCS,
                "cat <<'X'\na\nX\nb $((1<<n))\nc\n",
                "cat <<'X'\n\nX\nb $((1<<n))\nc\n",
            ),
            (&Lexis::HEREDOCS, "a\n__END__\nb\n", "a\n\n\n"),
            (&Lexis::CPP, "a /* b\n c */ d\n", "a\n      d\n"),
        ] {
            assert_eq!(code(lexis, source), expected, "{source}");
        }
    }

    #[test]
    fn strings_hide_marks_and_their_inside_is_no_code() {
        for (lexis, source, expected) in [
            (
                &Lexis::RUST,
                r##"f("/*", '"', r#"a"b"#, 'x, "\"c") d"##,
                "f(\"  \", ' ', r#\"   \"#, 'x, \"   \") d\n",
            ),
            (
                &Lexis::PYTHON,
                "f('#', r\"'\", x) y\n",
                "f(' ', r\" \", x) y\n",
            ),
            (
                &Lexis::JAVASCRIPT,
                "f(/[\"'`]/, '//') + a / b\n",
                "f(/     /, '  ') + a / b\n",
            ),
            (
                &Lexis::JAVASCRIPT,
                "<p>don't</p> f('a')\n",
                "<p>don't</p> f(' ')\n",
            ),
            (
                &Lexis::GO,
                "f(`/*`, \"//\", '\"')\n",
                "f(`  `, \"  \", ' ')\n",
            ),
            (
                &Lexis::CPP,
                "f(R\"x(\")\")x\", 1'000)\n",
                "f(R\"x(   )x\", 1'000)\n",
            ),
            (
                &Lexis::CSHARP,
                "f(@\"\\\", \"/*\")\n",
                "f(@\" \", \"  \")\n",
            ),
        ] {
            assert_eq!(code(lexis, source), expected, "{source}");
        }
    }

    #[test]
    fn a_string_over_lines_hides_all_of_it_and_one_on_a_line_keeps_its_name() {
        for (lexis, open, close) in [
            (&Lexis::RUST, "r#\"", "\"#"),
            (&Lexis::RUST, "\"", "\""),
            (&Lexis::PYTHON, "'''", "'''"),
            (&Lexis::PYTHON, "\"\"\"", "\"\"\""),
            (&Lexis::JAVASCRIPT, "`", "`"),
            (&Lexis::GO, "`", "`"),
            (&Lexis::JVM, "\"\"\"", "\"\"\""),
            (&Lexis::CPP, "R\"(", ")\""),
            (&Lexis::CSHARP, "@\"", "\""),
            (&Lexis::PHP, "'", "'"),
            (&Lexis::SWIFT, "\"\"\"", "\"\"\""),
            (&Lexis::ELIXIR, "\"\"\"", "\"\"\""),
        ] {
            let source = format!("a = {open}\ntest\n{close}\nb\n");
            assert!(!text(lexis, &source).contains("test"), "{source}");
            assert!(text(lexis, &source).ends_with("\nb\n"), "{source}");
        }
        assert_eq!(text(&Lexis::JAVASCRIPT, "it('a', f)\n"), "it('a', f)\n");
    }

    #[test]
    fn a_mark_without_an_end_hides_nothing() {
        assert_eq!(
            code(&Lexis::PYTHON, "a = '''\ntest\n"),
            "a = ''\ntest\n".replace("''", "'''")
        );
        assert_eq!(code(&Lexis::GO, "`\ntest\n"), "`\ntest\n");
        assert_eq!(code(&Lexis::PYTHON, "a = 'b\nc\n"), "a = '\nc\n");
    }

    #[test]
    fn much_that_never_ends_is_read_in_time() {
        let source = "/* ' \" r#\" <<A\n".repeat(40_000);
        for lexis in [Lexis::RUST, Lexis::CPP, Lexis::HEREDOCS, Lexis::PYTHON] {
            assert_eq!(mask(&source, &lexis).code.len(), source.len());
        }
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_lines(source in "[a-z'\"`/*#\\\\\n<R(){}r é-]{0,80}") {
            for lexis in [Lexis::RUST, Lexis::PYTHON, Lexis::JAVASCRIPT, Lexis::GO, Lexis::JVM, Lexis::CPP,
                Lexis::CSHARP, Lexis::PHP, Lexis::SWIFT, Lexis::ELIXIR, Lexis::HEREDOCS] {
                let masked = mask(&source, &lexis);
                for side in [masked.text, masked.code] {
                    prop_assert_eq!(side.matches('\n').count(), source.matches('\n').count());
                    prop_assert_eq!(side.len(), source.len());
                }
            }
        }
    }
}
