//! Raw HTML in a text, and characters written so that they are not read: taken apart and told.

use pulldown_cmark::{Event, Parser};

use super::super::text::unseen;

/// What stands at the beginning of a piece of HTML, with its length in bytes, at least 1.
pub(super) enum Token {
    Comment(usize),
    Tag(usize),
    Entity(usize),
    Text(usize),
}

impl Token {
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Comment(length)
            | Self::Tag(length)
            | Self::Entity(length)
            | Self::Text(length) => *length,
        }
    }

    /// Reads as a browser does; what is not ended ends with the text.
    pub(super) fn at(rest: &str) -> Self {
        let until = |end: &str, from: usize| {
            let found = rest.get(from..).and_then(|rest| rest.find(end));
            found.map_or(rest.len(), |at| from + at + end.len())
        };
        if rest.starts_with("<!-->") {
            return Self::Comment(5);
        } else if rest.starts_with("<!--->") {
            return Self::Comment(6);
        } else if rest.starts_with("<!--") {
            // Searched for within the comment only, or many comments would take quadratic time.
            let end = until("-->", 4);
            let early = rest.get(4..end).and_then(|inside| inside.find("--!>"));
            return Self::Comment(early.map_or(end, |at| 4 + at + 4));
        } else if rest.starts_with("<![CDATA[") {
            return Self::Comment(until("]]>", 9));
        } else if rest.starts_with("<!") || rest.starts_with("<?") {
            return Self::Comment(until(">", 2));
        } else if rest.starts_with('&') && decode_prefix(rest).is_some() {
            return Self::Entity(until(";", 1));
        }
        let name = rest
            .strip_prefix("</")
            .or_else(|| rest.strip_prefix('<'))
            .unwrap_or_default();
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let mut quote = None;
            for (at, c) in rest.char_indices() {
                match (quote, c) {
                    (None, '>') => return Self::Tag(at + 1),
                    (None, '"' | '\'')
                        if rest
                            .get(..at)
                            .is_some_and(|before| before.trim_end().ends_with('=')) =>
                    {
                        quote = Some(c);
                    }
                    (Some(open), c) if open == c => quote = None,
                    _ => {}
                }
            }
            return Self::Tag(rest.len());
        }
        let mut chars = rest.char_indices().skip(1);
        let next = chars.find(|(_, c)| matches!(c, '<' | '&'));
        Self::Text(next.map_or(rest.len(), |(at, _)| at))
    }
}

/// The reference at the start of `text`, decoded.
fn decode_prefix(text: &str) -> Option<(usize, String)> {
    // The longest name has 33 characters with `&` and `;`.
    let end = text.bytes().take(40).position(|byte| byte == b';')? + 1;
    Some((end, decode(text.get(..end)?)?))
}

/// One whole character reference (`&lt;`, `&#60;`, `&#x3c;`) as what it stands for.
pub(super) fn decode(reference: &str) -> Option<String> {
    let body = reference.strip_prefix('&')?.strip_suffix(';')?;
    if body.is_empty() || !body.chars().all(|c| c.is_ascii_alphanumeric() || c == '#') {
        return None;
    }
    let mut events = Parser::new(reference);
    let decoded = events.find_map(|event| match event {
        Event::Text(text) => Some(text.to_string()),
        _ => None,
    })?;
    (decoded != reference && !decoded.starts_with("&"))
        .then_some(decoded)
        .or_else(|| (body == "amp").then(|| "&".to_owned()))
}

/// `text` with every character reference decoded.
pub(super) fn decode_all(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (length, decoded) = decode_prefix(from).unwrap_or_else(|| (1, "&".to_owned()));
        out.push_str(&decoded);
        rest = from.get(length..).unwrap_or_default();
    }
    out + rest
}

/// `text` for people: what is not seen as `U+200B`, words written in tag characters or in
/// variation selectors as those words.
pub(super) fn tell(text: &str) -> String {
    let mut out = String::new();
    let mut coded = false;
    for c in text.chars() {
        let number = u32::from(c);
        let word = match number {
            0xe0020..=0xe007e => char::from_u32(number - 0xe0000),
            // Selectors 17 to 256 carry the bytes 16 to 255 in the usual smuggling.
            0xe0100..=0xe01ef => {
                char::from_u32(number - 0xe0100 + 16).filter(char::is_ascii_graphic)
            }
            _ => None,
        };
        let odd = word.is_none() && unseen(None, c, None).is_some();
        if !out.is_empty() && (odd || coded) && !out.ends_with(' ') {
            out.push(' ');
        }
        match word {
            _ if odd => out.push_str(&format!("U+{number:04X}")),
            Some(word) => out.push(word),
            None if c == '\n' => out.push_str(" ⏎ "),
            None => out.push(c),
        }
        coded = odd;
    }
    out
}

/// Whether an element with these attributes hides its content from somebody.
pub(super) fn hides(attributes: &str) -> bool {
    let squeezed: String = attributes
        .to_ascii_lowercase()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let bare = squeezed
        .split([' ', '/'])
        .any(|word| word == "hidden" || word.starts_with("hidden="));
    let style = squeezed.replace(' ', "");
    bare || (style.contains("style=") && STYLES.iter().any(|rule| style.contains(rule)))
}

const STYLES: [&str; 12] = [
    "display:none",
    "visibility:hidden",
    "font-size:0",
    "opacity:0",
    "color:white",
    "color:#fff",
    "color:transparent",
    "left:-",
    "top:-",
    "text-indent:-",
    "height:0",
    "width:0",
];

/// Elements whose content is not text on the page.
pub(super) const UNSHOWN: [&str; 19] = [
    "script", "style", "template", "title", "head", "noscript", "iframe", "object", "svg", "math",
    "textarea", "select", "datalist", "audio", "video", "canvas", "noembed", "noframes", "dialog",
];

pub(super) const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

pub(super) const INLINE: [&str; 27] = [
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var",
];

pub(super) const BLOCK: [&str; 32] = [
    "blockquote",
    "caption",
    "center",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "li",
    "ol",
    "p",
    "picture",
    "pre",
    "rp",
    "rt",
    "ruby",
    "summary",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
];
