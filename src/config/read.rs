//! Reads TOML against the table of keys, collecting every mistake.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::explain::Code;
use super::kinds::{Key, Need, Section};

use super::mistakes::{Findings, Found, Mistakes, visible};
use super::value::integer;
use super::{Origin, Origins};

/// Largest file, in bytes.
const MOST_BYTES: usize = 256 << 10;

/// A list of tables, each with a name of its own.
pub(super) struct Many<T: 'static> {
    pub(super) section: &'static Section<T>,
    /// "check"; with an `s` for several.
    pub(super) one: &'static str,
    /// What to write in one; goes on after "with".
    pub(super) below: &'static str,
    pub(super) max: usize,
    pub(super) new: fn() -> T,
    pub(super) name: fn(&T) -> &str,
    /// The rules between the keys of one, given its path, what was written, and where.
    pub(super) between: fn(&mut Reader<'_>, &str, &DeTable<'_>, Range<usize>, &T),
}

/// The bytes of a file as text, or why they are none.
pub(super) fn text<'a>(path: &'a str, bytes: &'a [u8]) -> Result<&'a str, Mistakes> {
    if bytes.len() > MOST_BYTES {
        let message = format!("the file has {} bytes, more than {MOST_BYTES}", bytes.len());
        return Err(shorten(path, message));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let good = std::str::from_utf8(good).unwrap_or_default();
        let message = "the file is not UTF-8 text".to_owned();
        whole(
            path,
            good,
            (Code::NotText, message),
            "save the file as UTF-8",
        )
    })
}

/// What is wrong with a file that nobody read, since it is larger than any that is.
#[must_use]
pub fn too_large(path: &str) -> Mistakes {
    shorten(path, format!("the file has more than {MOST_BYTES} bytes"))
}

fn shorten(path: &str, message: String) -> Mistakes {
    let hint = "shorten it; long scripts belong in files of their own";
    whole(path, "", (Code::TooLarge, message), hint)
}

/// A mistake of the file as a whole, at the end of what can be shown.
fn whole(path: &str, shown: &str, (code, message): (Code, String), hint: &str) -> Mistakes {
    let mut findings = Findings::new(path, shown);
    let at = shown.len();
    findings.add(Found {
        code,
        span: at..at,
        key: String::new(),
        message,
        hint: hint.to_owned(),
        note: String::new(),
    });
    findings.into_mistakes()
}

/// A file while it is read.
pub(super) struct Reader<'a> {
    path: &'a str,
    findings: Findings<'a>,
    origins: Origins,
    /// Lines on which TOML itself was broken: what follows from that is not told as a second mistake.
    broken: BTreeSet<usize>,
}

impl<'a> Reader<'a> {
    /// Parses what can be parsed.
    pub(super) fn new(path: &'a str, text: &'a str) -> (Self, DeTable<'a>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self::of_value(path, text);
        for error in &errors {
            let span = error.span().unwrap_or_default();
            // One slip often earns several complaints about the same line: the first says it.
            if !reader.broken.insert(reader.findings.line(span.start)) {
                continue;
            }
            let message = error.message();
            if message.contains("duplicate") {
                let name = visible(text.get(span.clone()).unwrap_or_default());
                reader.add(
                    Code::Twice,
                    span,
                    "",
                    format!("`{name}` is given twice"),
                    "keep one of the two",
                );
            } else {
                let (what, hint) = message
                    .split_once(", expected ")
                    .map_or((message, String::new()), |(what, expected)| {
                        (what, format!("expected {expected}"))
                    });
                let hint = if hint.is_empty() {
                    "this is not TOML".to_owned()
                } else if what.contains("must be quoted") {
                    "write it in quotes".to_owned()
                } else {
                    hint
                };
                reader.add(Code::Syntax, span, "", visible(what), &hint);
            }
        }
        (reader, table.into_inner())
    }

    /// For a text that is one value.
    pub(super) fn of_value(path: &'a str, text: &'a str) -> Self {
        Self {
            path,
            findings: Findings::new(path, text),
            origins: Origins::default(),
            broken: BTreeSet::new(),
        }
    }

    /// Tells a mistake, unless it only follows from broken TOML.
    pub(super) fn add(
        &mut self,
        code: Code,
        span: Range<usize>,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add_with(code, span, key, message, hint, String::new());
    }

    pub(super) fn add_with(
        &mut self,
        code: Code,
        span: Range<usize>,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
        note: String,
    ) {
        let syntax = matches!(code, Code::Syntax | Code::Twice);
        let line = self.findings.line(span.start);
        let follows = self.is_broken() && span.is_empty() || self.broken.contains(&line);
        if syntax || !follows {
            self.findings.add(Found {
                code,
                span,
                key: key.to_owned(),
                message: message.into(),
                hint: hint.into(),
                note,
            });
        }
    }

    /// Shows these bytes nowhere: they may be a secret.
    pub(super) fn mask(&mut self, span: Range<usize>) {
        self.findings.mask(span);
    }

    /// Whether TOML itself was broken anywhere: then what is missing may only be unreadable.
    pub(super) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.findings.line(at)
    }

    /// `version` must be 1.
    pub(super) fn version(&mut self, table: &DeTable<'_>) {
        match table.get("version") {
            None if self.is_broken() => {}
            None => self.add(
                Code::VersionMissing,
                0..0,
                "version",
                "`version` is missing",
                "start the file with `version = 1`",
            ),
            Some(value) if integer(value.get_ref()) == Some(1) => {}
            Some(value) => {
                let hint = "this program reads version 1";
                match value.get_ref() {
                    DeValue::Integer(_) => self.add(
                        Code::VersionUnknown,
                        value.span(),
                        "version",
                        "`version` is not one this program knows",
                        hint,
                    ),
                    _ => self.add(
                        Code::WrongType,
                        value.span(),
                        "version",
                        "`version` takes a whole number",
                        "write `version = 1`",
                    ),
                }
            }
        }
    }

    /// Reads one `[section]`.
    pub(super) fn section<T>(
        &mut self,
        section: &Section<T>,
        value: &Spanned<DeValue<'_>>,
        into: &mut T,
    ) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(section, section.name, table, value.span(), into),
            DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
                let message = format!("[{}] is one table, not a list of tables", section.name);
                self.add(
                    Code::WrongType,
                    value.span(),
                    section.name,
                    message,
                    format!("write `[{}]` with single brackets", section.name),
                );
            }
            _ => {
                let message = format!("`{}` is a table", section.name);
                self.add(
                    Code::WrongType,
                    value.span(),
                    section.name,
                    message,
                    format!("write `[{}]` on a line of its own", section.name),
                );
            }
        }
    }

    /// Reads every table of a `[[list]]`.
    pub(super) fn tables<T>(&mut self, many: &Many<T>, value: &Spanned<DeValue<'_>>) -> Vec<T> {
        let (list, one) = (many.section.name, many.one);
        let items = match value.get_ref() {
            DeValue::Array(items) => items,
            other => {
                let hint = format!("write `[[{list}]]` with double brackets, once for each {one}");
                let message = match other {
                    DeValue::Table(_) => format!("[{list}] is a list of tables, not one table"),
                    _ => format!("`{list}` is a list of tables"),
                };
                self.add(Code::WrongType, value.span(), list, message, hint);
                return Vec::new();
            }
        };
        if items.len() > many.max {
            let message = format!("the file has {} {one}s", items.len());
            let hint = format!("at most {} are allowed", many.max);
            self.add(Code::TooMany, value.span(), list, message, hint);
            return Vec::new();
        }
        let mut all: Vec<T> = Vec::new();
        let mut names: Vec<(String, Range<usize>)> = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let shown = format!("{list}[{i}]");
            let DeValue::Table(table) = item.get_ref() else {
                let hint = format!("write `[[{list}]]` with {} below it", many.below);
                let message = format!("each {one} is a table");
                self.add(Code::WrongType, item.span(), &shown, message, hint);
                continue;
            };
            let mut read = (many.new)();
            self.table(many.section, &shown, table, item.span(), &mut read);
            let name = (many.name)(&read);
            if !name.is_empty() {
                let span = table.get("name").map_or(item.span(), Spanned::span);
                match names.iter().find(|(known, _)| known == name) {
                    Some((name, first)) => {
                        let message = format!("two {one}s are named `{name}`");
                        let line = self.line(first.start);
                        let hint = format!("choose another name, line {line} has it");
                        self.add(
                            Code::NameTwice,
                            span,
                            &format!("{shown}.name"),
                            message,
                            hint,
                        );
                    }
                    None => names.push((name.to_owned(), span)),
                }
            }
            (many.between)(self, &shown, table, item.span(), &read);
            all.push(read);
        }
        all
    }

    /// Reads the keys of one table. `shown` is its path: `task`, `verify[0]`.
    pub(super) fn table<T>(
        &mut self,
        section: &Section<T>,
        shown: &str,
        table: &DeTable<'_>,
        span: Range<usize>,
        into: &mut T,
    ) {
        for (name, value) in table {
            let path = format!("{shown}.{}", visible(name.get_ref()));
            match section
                .keys
                .iter()
                .find(|key| key.name == name.get_ref().as_ref())
            {
                Some(key) if self.key(key, &path, value, into) => {
                    let line = self.line(value.span().start);
                    let origin = Origin::File {
                        path: self.path.to_owned(),
                        line,
                    };
                    self.origins.set(&path, origin);
                }
                Some(_) => {}
                None => self.unknown_key(section, &path, name),
            }
        }
        for key in section.keys {
            if key.need == Need::Required && !table.contains_key(key.name) && !self.is_broken() {
                let message = format!("`{}` is missing in [[{}]]", key.name, section.name);
                self.add(
                    Code::Missing,
                    span.clone(),
                    &format!("{shown}.{}", key.name),
                    message,
                    format!("add `{}`: {}", key.name, key.kind.takes()),
                );
            }
        }
    }

    /// Reads the value of one key. Whether it was good, and more than a way to say nothing.
    pub(super) fn key<T>(
        &mut self,
        key: &Key<T>,
        path: &str,
        value: &Spanned<DeValue<'_>>,
        into: &mut T,
    ) -> bool {
        let says_nothing = key.need == Need::Inherited && value.get_ref().as_str() == Some("");
        !says_nothing && self.value(&key.kind, path, value, into)
    }

    fn unknown_key<T>(
        &mut self,
        section: &Section<T>,
        path: &str,
        name: &Spanned<toml::de::DeString<'_>>,
    ) {
        let names = section.keys.iter().map(|key| key.name);
        let hint = closest(name.get_ref(), names.clone()).map_or_else(
            || "no such key".to_owned(),
            |meant| format!("did you mean `{meant}`?"),
        );
        let note = format!("allowed here: {}", names.collect::<Vec<_>>().join(", "));
        let message = format!(
            "unknown key `{}` in [{}]",
            visible(name.get_ref()),
            section.name
        );
        self.add_with(Code::UnknownKey, name.span(), path, message, hint, note);
    }

    /// A name at the top of the file that is neither `version` nor a table. `homes` are tables
    /// and the keys in them.
    pub(super) fn unknown_top(
        &mut self,
        name: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        homes: &[(&'static str, Vec<&'static str>)],
    ) {
        let shown = visible(name.get_ref());
        let tables: Vec<&str> = homes.iter().map(|(table, _)| *table).collect();
        let is_table = matches!(value.get_ref(), DeValue::Table(_))
            || matches!(value.get_ref(), DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()));
        if is_table {
            let hint = closest(name.get_ref(), tables.iter().copied()).map_or_else(
                || "no such table".to_owned(),
                |meant| format!("did you mean `[{meant}]`?"),
            );
            let note = format!("tables of this file: {}", tables.join(", "));
            self.add_with(
                Code::UnknownTable,
                name.span(),
                &shown,
                format!("unknown table [{shown}]"),
                hint,
                note,
            );
            return;
        }
        let home = homes
            .iter()
            .find(|(_, keys)| keys.iter().any(|key| *key == name.get_ref().as_ref()));
        let hint = match home {
            Some((table, _)) => format!("`{shown}` belongs in [{table}]"),
            None if closest(name.get_ref(), ["version"].into_iter()).is_some() => {
                "did you mean `version`?".to_owned()
            }
            None => "no such key".to_owned(),
        };
        self.add_with(
            Code::UnknownKey,
            name.span(),
            &shown,
            format!("unknown key `{shown}` above the tables"),
            hint,
            "allowed here: version".to_owned(),
        );
    }

    /// The value and where its parts came from, or every mistake.
    pub(super) fn end<T>(self, value: T) -> Result<(T, Origins), Mistakes> {
        self.findings.end((value, self.origins))
    }
}

/// The known name that was probably meant.
pub(super) fn closest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
    let name: String = plain(name).chars().take(60).collect();
    known
        .map(|candidate| {
            let other = plain(candidate);
            let distance = strsim::damerau_levenshtein(&name, &other);
            let near = distance <= 2 && distance * 2 < other.len().max(2);
            let alike = strsim::jaro_winkler(&name, &other);
            (near || alike >= 0.88, distance, candidate)
        })
        .filter(|(meant, ..)| *meant)
        .min_by_key(|(_, distance, _)| *distance)
        .map(|(.., candidate)| candidate)
}
