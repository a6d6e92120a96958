//! What a reader of the rendered page sees, and what was hidden from them.
//!
//! The text is read as the forges read it (CommonMark with GitHub's additions), and then
//! edited in place: what is not seen goes, the rest stays as written.

use std::collections::HashSet;
use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::super::text::{Unseen, unseen};
use super::html::{BLOCK, INLINE, Token, UNSHOWN, VOID, decode, decode_all, hides, tell};
use super::seen::{Lines, shows};
use super::{Hidden, HiddenKind};

/// Most findings told one by one; the last one then says how many more there were.
const MOST: usize = 200;

/// The visible text of `written`, and what was hidden in it, in the order of the text.
///
/// Line breaks must be `\n`. Words of links stay, with the address behind them as text.
/// Blocks and spans of code stay as they are, invisible characters apart.
pub(super) fn reveal(written: &str) -> (String, Vec<Hidden>) {
    let mut reader = Reader {
        text: written,
        edits: Vec::new(),
        veil: None,
    };
    reader.read();
    reader.sweep();
    reader.apply()
}

/// A change to the text as written.
struct Edit {
    at: Range<usize>,
    with: String,
    hidden: Option<(HiddenKind, String)>,
}

/// An element whose content is not shown, while it is open.
struct Veil {
    name: String,
    start: usize,
    depth: u32,
}

struct Reader<'a> {
    text: &'a str,
    edits: Vec<Edit>,
    veil: Option<Veil>,
}

/// A link whose end has not been reached.
struct OpenLink {
    at: Range<usize>,
    inner: Option<Range<usize>>,
    url: String,
    /// Label and title: words that are not shown.
    unseen: [String; 2],
    image: bool,
    /// The address is what is shown.
    bare: bool,
}

impl OpenLink {
    /// Something between its brackets stands at `at`.
    fn holds(&mut self, at: &Range<usize>) {
        let inner = self.inner.get_or_insert_with(|| at.clone());
        inner.end = inner.end.max(at.end);
    }
}

impl Reader<'_> {
    fn read(&mut self) {
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_FOOTNOTES;
        let parser = Parser::new_ext(self.text, options);
        let mut definitions: Vec<(Range<usize>, String, bool)> = parser
            .reference_definitions()
            .iter()
            .map(|(_, def)| (def.span.clone(), def.dest.to_string(), def.title.is_some()))
            .collect();
        definitions.sort_by_key(|(span, ..)| span.start);
        let mut seen_lines = Lines::new(self.text);
        let mut links: Vec<OpenLink> = Vec::new();
        let mut html: Vec<Range<usize>> = Vec::new();
        let mut shown_urls: HashSet<String> = HashSet::new();
        let mut notes: Vec<(String, Range<usize>)> = Vec::new();
        let mut referred: HashSet<String> = HashSet::new();
        let mut cells_end = 0;
        for (event, at) in parser.into_offset_iter() {
            if shows(&event) {
                seen_lines.mark(&at);
            }
            let closing = matches!(event, Event::End(TagEnd::Link | TagEnd::Image));
            if let Some(open) = links.last_mut().filter(|open| !closing && open.at != at) {
                open.holds(&at);
            }
            match event {
                Event::Start(Tag::Link {
                    link_type,
                    dest_url,
                    title,
                    id,
                }) => {
                    // Only a full reference has a label that is not shown.
                    let label = matches!(link_type, LinkType::Reference).then(|| id.to_string());
                    let telling = label.filter(|label| label.contains(' ') || label.len() > 20);
                    links.push(OpenLink {
                        at,
                        inner: None,
                        bare: matches!(link_type, LinkType::Autolink | LinkType::Email),
                        url: dest_url.to_string(),
                        unseen: [telling.unwrap_or_default(), title.to_string()],
                        image: false,
                    });
                }
                Event::Start(Tag::Image {
                    dest_url, title, ..
                }) => links.push(OpenLink {
                    at,
                    inner: None,
                    bare: false,
                    url: dest_url.to_string(),
                    unseen: [String::new(), title.to_string()],
                    image: true,
                }),
                Event::End(TagEnd::Link | TagEnd::Image) => {
                    if let Some(open) = links.pop() {
                        if let Some(outer) = links.last_mut() {
                            outer.holds(&open.at);
                        }
                        if !open.image {
                            shown_urls.insert(open.url.clone());
                        }
                        self.link(open);
                    }
                }
                Event::Start(Tag::TableRow | Tag::TableHead) => cells_end = at.start,
                Event::End(TagEnd::TableCell) => cells_end = at.end,
                // Cells beyond the columns of the head are not shown.
                Event::End(TagEnd::TableRow | TagEnd::TableHead) => {
                    let rest = cells_end..at.end.max(cells_end);
                    let words = self
                        .slice(&rest)
                        .trim_matches(|c: char| c == '|' || c.is_whitespace())
                        .to_owned();
                    if !words.is_empty() {
                        self.hide(rest, HiddenKind::Reference, &words, "|\n");
                    }
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => self.info(&at, &info),
                Event::Start(Tag::FootnoteDefinition(label)) => notes.push((label.to_string(), at)),
                Event::FootnoteReference(label) => {
                    referred.insert(label.to_string());
                }
                Event::Html(_) => html.push(at),
                Event::End(TagEnd::HtmlBlock) => self.html(&std::mem::take(&mut html)),
                Event::InlineHtml(_) => self.html(&[at]),
                Event::Text(decoded) if self.slice(&at).starts_with('&') => {
                    self.entity(at, &decoded)
                }
                _ => {}
            }
        }
        for (label, at) in notes {
            if !referred.contains(&label) {
                let told = self.slice(&at).to_owned();
                self.hide(at, HiddenKind::Reference, &told, "");
            }
        }
        for line in seen_lines.unseen() {
            let told = self.slice(&line).to_owned();
            // A definition whose address a link shows, and which says nothing else, hides nothing.
            let before = definitions.partition_point(|(span, ..)| span.start < line.end);
            let own = before.checked_sub(1).and_then(|at| definitions.get(at));
            let shown = own.is_some_and(|(span, url, titled)| {
                line.start < span.end && !titled && shown_urls.contains(url)
            });
            if shown {
                self.edits.push(Edit {
                    at: line,
                    with: String::new(),
                    hidden: None,
                });
            } else {
                self.hide(line, HiddenKind::Reference, &told, "");
            }
        }
        if let Some(veil) = self.veil.take() {
            self.lift(veil.start..self.text.len());
        }
    }

    fn slice(&self, at: &Range<usize>) -> &str {
        self.text.get(at.clone()).unwrap_or_default()
    }

    fn hide(&mut self, at: Range<usize>, kind: HiddenKind, told: &str, with: &str) {
        let told = tell(told.trim());
        self.edits.push(Edit {
            at,
            with: with.to_owned(),
            hidden: Some((kind, told)),
        });
    }

    /// An element that is not shown ends: everything of it goes, as one finding.
    fn lift(&mut self, at: Range<usize>) {
        let told = decode_all(self.slice(&at));
        self.hide(at, HiddenKind::Tag, &told, "");
    }

    fn link(&mut self, open: OpenLink) {
        let inner = open.inner.clone().unwrap_or(open.at.start..open.at.start);
        let words = self.slice(&inner).to_owned();
        let unseen: Vec<&str> = open
            .unseen
            .iter()
            .map(|part| part.trim())
            .filter(|part| !part.is_empty())
            .collect();
        let unseen = unseen.join(" · ");
        if open.image || words.trim().is_empty() {
            let parts = [words.trim(), &unseen, &open.url];
            let told: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            let with = if open.image { "[image]" } else { "" };
            self.hide(open.at, HiddenKind::Reference, &told.join(" · "), with);
            return;
        }
        let url = tell(&open.url);
        let with = if open.bare || words == open.url {
            String::new()
        } else {
            format!(" ({url})")
        };
        let hidden = (!unseen.is_empty()).then(|| (HiddenKind::Reference, tell(&unseen)));
        self.edits.push(Edit {
            at: open.at.start..inner.start,
            with: String::new(),
            hidden: None,
        });
        self.edits.push(Edit {
            at: inner.end..open.at.end,
            with,
            hidden,
        });
    }

    /// Words after the language of a fence are not shown, nor is a language that is none.
    fn info(&mut self, block: &Range<usize>, info: &str) {
        let language = info.split_whitespace().next().unwrap_or_default();
        let ordinary = language.chars().count() <= 20
            && language
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+#.,_-".contains(c));
        if ordinary && language.len() == info.trim().len() {
            return;
        }
        let line = self.slice(block).lines().next().unwrap_or_default();
        let fence = line.len() - line.trim_start_matches(['`', '~']).len();
        let keep = if ordinary { language } else { "" }.to_owned();
        let at = block.start + fence..block.start + line.len();
        self.hide(at, HiddenKind::Reference, info, &keep);
    }

    /// A character reference in text: decoded, and told when it could have misled.
    fn entity(&mut self, at: Range<usize>, decoded: &str) {
        if decoded == self.slice(&at) {
            return;
        }
        let odd = |c: char| unseen(None, c, None).is_some();
        let written = self.slice(&at);
        // `&amp;` and its like are how these are written; a number for a letter is a disguise.
        let named = !written.starts_with("&#");
        let misleads = decoded.chars().any(|c| {
            odd(c)
                || matches!(c, '<' | '>' | '`' | '[' | ']' | '@')
                || (!named && c.is_ascii_graphic())
        });
        let visible: String = decoded.chars().filter(|c| !odd(*c)).collect();
        let hidden =
            misleads.then(|| (HiddenKind::Entity, format!("{written} = {}", tell(decoded))));
        self.edits.push(Edit {
            at,
            with: visible,
            hidden,
        });
    }

    /// Raw HTML in these pieces of the text: markup goes, text stays.
    fn html(&mut self, pieces: &[Range<usize>]) {
        let mut joined = String::new();
        let mut origin: Vec<usize> = Vec::new();
        for piece in pieces {
            joined.push_str(self.slice(piece));
            origin.extend(piece.clone());
        }
        let mut at = 0;
        while let Some(rest) = joined.get(at..).filter(|rest| !rest.is_empty()) {
            let token = Token::at(rest);
            let (Some(first), Some(last)) = (origin.get(at), origin.get(at + token.length() - 1))
            else {
                return;
            };
            let source = *first..last + 1;
            let written = rest.get(..token.length()).unwrap_or_default();
            match token {
                Token::Text(_) => {}
                Token::Entity(_) if self.veil.is_some() => {}
                Token::Entity(_) => {
                    if let Some(decoded) = decode(written) {
                        self.entity(source, &decoded);
                    }
                }
                Token::Comment(_) => {
                    let told = decode_all(written);
                    self.hide(source, HiddenKind::Comment, &told, "");
                }
                Token::Tag(_) => self.tag(source, written),
            }
            at += token.length();
        }
    }

    fn tag(&mut self, at: Range<usize>, written: &str) {
        let body = written.trim_start_matches(['<', '/']).trim_end_matches('>');
        let name_len = body
            .find(|c: char| c.is_whitespace() || c == '/')
            .unwrap_or(body.len());
        let (name, attributes) = body.split_at(name_len);
        let name = name.to_ascii_lowercase();
        let closes = written.starts_with("</");
        if let Some(veil) = &mut self.veil {
            if veil.name != name {
                return;
            }
            veil.depth = if closes {
                veil.depth - 1
            } else {
                veil.depth + 1
            };
            if veil.depth == 0 {
                let start = veil.start;
                self.veil = None;
                self.lift(start..at.end);
            }
            return;
        }
        let void = VOID.contains(&name.as_str());
        if !closes && !void && (UNSHOWN.contains(&name.as_str()) || hides(attributes)) {
            self.veil = Some(Veil {
                name,
                start: at.start,
                depth: 1,
            });
            return;
        }
        let with = match name.as_str() {
            "img" => "[image]",
            name if INLINE.contains(&name) => "",
            _ => " ",
        };
        let silent = attributes
            .trim_matches(|c: char| c == '/' || c.is_whitespace())
            .is_empty()
            && (void || INLINE.contains(&name.as_str()) || BLOCK.contains(&name.as_str()));
        if silent {
            self.edits.push(Edit {
                at,
                with: with.to_owned(),
                hidden: None,
            });
        } else {
            let told = decode_all(written);
            self.hide(at, HiddenKind::Tag, &told, with);
        }
    }

    /// Characters that are not seen, wherever they stand: one finding per run.
    fn sweep(&mut self) {
        let mut before = None;
        let mut run: Option<(Range<usize>, Unseen)> = None;
        let mut chars = self.text.char_indices().peekable();
        let mut runs: Vec<(Range<usize>, Unseen)> = Vec::new();
        while let Some((at, c)) = chars.next() {
            let kind = unseen(before, c, chars.peek().map(|(_, c)| *c));
            before = Some(c);
            let end = at + c.len_utf8();
            match (&mut run, kind) {
                (Some((open, of)), Some(kind)) if *of == kind => open.end = end,
                (_, None) => runs.extend(run.take()),
                (_, Some(kind)) => runs.extend(run.replace((at..end, kind))),
            }
        }
        runs.extend(run);
        for (at, kind) in runs {
            let kind = match kind {
                Unseen::Bidirectional => HiddenKind::Bidirectional,
                Unseen::Invisible | Unseen::Control => HiddenKind::Invisible,
            };
            let told = tell(self.slice(&at));
            self.edits.push(Edit {
                at,
                with: String::new(),
                hidden: Some((kind, told)),
            });
        }
    }

    fn apply(mut self) -> (String, Vec<Hidden>) {
        self.edits
            .sort_by_key(|edit| (edit.at.start, std::cmp::Reverse(edit.at.end)));
        let mut out = String::with_capacity(self.text.len());
        let mut hidden: Vec<Hidden> = Vec::new();
        let mut more = 0_usize;
        let (mut done, mut line, mut counted) = (0, 1_u32, 0);
        for edit in self.edits {
            // Inside something that is gone already.
            if edit.at.start < done {
                continue;
            }
            out.push_str(self.text.get(done..edit.at.start).unwrap_or_default());
            out.push_str(&edit.with);
            let passed = self.text.get(counted..edit.at.start).unwrap_or_default();
            line += u32::try_from(passed.matches('\n').count()).unwrap_or(u32::MAX - line);
            counted = edit.at.start;
            done = edit.at.end;
            match edit.hidden {
                Some(_) if hidden.len() >= MOST => more += 1,
                Some((kind, text)) => hidden.push(Hidden { kind, line, text }),
                None => {}
            }
        }
        out.push_str(self.text.get(done..).unwrap_or_default());
        if let Some(last) = hidden.last_mut().filter(|_| more > 0) {
            last.text
                .push_str(&format!(" … and {more} more hidden parts after this one"));
        }
        (out, hidden)
    }
}
