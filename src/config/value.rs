//! Reads one value as its kind of key wants it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::explain::Code;
use super::forms::{self, Form};
use super::kinds::Kind;
use super::mistakes::visible;
use super::read::{Reader, closest};

impl Reader<'_> {
    /// Whether the value was good.
    pub(super) fn value<T>(
        &mut self,
        kind: &Kind<T>,
        path: &str,
        value: &Spanned<DeValue<'_>>,
        into: &mut T,
    ) -> bool {
        let span = value.span();
        match (kind, value.get_ref()) {
            (Kind::Bool(at), DeValue::Boolean(on)) => *at(into) = *on,
            (Kind::Whole { min, max, at }, number @ DeValue::Integer(_)) => {
                match integer(number).and_then(|n| u32::try_from(n).ok()) {
                    Some(n) if (*min..=*max).contains(&n) => *at(into) = n,
                    _ => return self.out_of_range(span, path, kind),
                }
            }
            (
                Kind::Processors { min, max, at },
                number @ (DeValue::Integer(_) | DeValue::Float(_)),
            ) => match processors(number).filter(|n| (*min..=*max).contains(n)) {
                Some(n) => *at(into) = n,
                None => return self.out_of_range(span, path, kind),
            },
            (Kind::Duration { min, max, at }, DeValue::String(text)) => match forms::duration(text)
            {
                Some(n) if (*min..=*max).contains(&n) => *at(into) = n,
                Some(_) => return self.out_of_range(span, path, kind),
                None => {
                    let message = format!("`{path}` is not a duration: \"{}\"", visible(text));
                    let hint = forms::duration_meant(text).map_or_else(
                        || "write a whole number and s, m, h or d, for example \"60m\"".to_owned(),
                        |meant| format!("did you mean \"{meant}\"?"),
                    );
                    self.add(Code::BadDuration, span, path, message, hint);
                    return false;
                }
            },
            (Kind::Size { min, max, at }, DeValue::String(text)) => {
                match forms::size(text) {
                    Some(n) if (*min..=*max).contains(&n) => *at(into) = n,
                    Some(_) => return self.out_of_range(span, path, kind),
                    None => {
                        let message = format!("`{path}` is not a size: \"{}\"", visible(text));
                        let hint = forms::size_meant(text).map_or_else(|| "write a whole number and KiB, MiB, GiB or TiB, for example \"4GiB\"".to_owned(), |meant| format!("did you mean \"{meant}\"?"));
                        self.add(Code::BadSize, span, path, message, hint);
                        return false;
                    }
                }
            }
            (Kind::Word { words, at }, DeValue::String(text)) => {
                if !words.contains(&text.as_ref()) {
                    let message = format!("`{path}` cannot be \"{}\"", visible(text));
                    let allowed = words.join(", ");
                    let (hint, note) = match closest(text, words.iter().copied()) {
                        Some(meant) => (
                            format!("did you mean \"{meant}\"?"),
                            format!("allowed here: {allowed}"),
                        ),
                        None => (format!("use one of {allowed}"), String::new()),
                    };
                    self.add_with(Code::NotAWord, span, path, message, hint, note);
                    return false;
                }
                at(into).choose(text);
            }
            (Kind::Switch(at), DeValue::Boolean(on)) => {
                at(into).choose(if *on { "true" } else { "false" });
            }
            (Kind::Switch(at), DeValue::String(text)) if text.as_ref() == "auto" => {
                at(into).choose("auto");
            }
            (Kind::Text { form, at }, DeValue::String(text)) => {
                if let Err(fault) = form.check(text) {
                    self.add(
                        fault.code,
                        span,
                        path,
                        format!("`{path}` {}", fault.message),
                        fault.hint,
                    );
                    return false;
                }
                *at(into) = text.to_string();
            }
            (Kind::List { form, max, at }, DeValue::Array(items)) => {
                if items.len() > *max {
                    let message = format!("`{path}` has {} entries", items.len());
                    self.add(
                        Code::TooMany,
                        span,
                        path,
                        message,
                        format!("at most {max} are allowed"),
                    );
                    return false;
                }
                let read: Vec<Option<String>> = items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| self.item(*form, &format!("{path}[{i}]"), item))
                    .collect();
                match read.into_iter().collect() {
                    Some(list) => *at(into) = list,
                    None => return false,
                }
            }
            (Kind::Variables { max, at }, DeValue::Table(table)) => {
                if table.len() > *max {
                    let message = format!("`{path}` has {} entries", table.len());
                    self.add(
                        Code::TooMany,
                        span,
                        path,
                        message,
                        format!("at most {max} are allowed"),
                    );
                    return false;
                }
                let read: Vec<Option<(String, String)>> = table
                    .iter()
                    .map(|(name, value)| self.variable(path, name, value))
                    .collect();
                match read.into_iter().collect() {
                    Some(map) => *at(into) = map,
                    None => return false,
                }
            }
            (_, other) => {
                let message = format!(
                    "`{path}` takes {}, not {}",
                    kind.type_name(),
                    type_name(other)
                );
                self.add(Code::WrongType, span, path, message, kind.example(other));
                return false;
            }
        }
        true
    }

    fn item(&mut self, form: Form, path: &str, item: &Spanned<DeValue<'_>>) -> Option<String> {
        let DeValue::String(text) = item.get_ref() else {
            let message = format!("`{path}` takes text, not {}", type_name(item.get_ref()));
            self.add(
                Code::WrongType,
                item.span(),
                path,
                message,
                "write it in quotes",
            );
            return None;
        };
        if let Err(fault) = form.check(text) {
            self.add(
                fault.code,
                item.span(),
                path,
                format!("`{path}` {}", fault.message),
                fault.hint,
            );
            return None;
        }
        Some(text.to_string())
    }

    fn variable(
        &mut self,
        path: &str,
        name: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<(String, String)> {
        let shown = visible(name.get_ref());
        let path = format!("{path}.{shown}");
        let upper = name.get_ref().to_uppercase();
        if let Some(word) = ["KEY", "TOKEN", "SECRET", "PASSWORD"]
            .into_iter()
            .find(|word| upper.contains(word))
        {
            self.mask(value.span());
            self.add(Code::SecretName, name.span(), &path, format!("`{shown}` looks like a secret"), format!("names that hold {word} are refused; everyone who reads the repository reads this"));
            return None;
        }
        if !forms::is_variable(name.get_ref()) {
            self.add(
                Code::BadVariable,
                name.span(),
                &path,
                format!("`{shown}` is not the name of a variable"),
                "use letters, digits and `_`, no digit first",
            );
            return None;
        }
        let DeValue::String(text) = value.get_ref() else {
            let message = format!("`{path}` takes text, not {}", type_name(value.get_ref()));
            self.add(
                Code::WrongType,
                value.span(),
                &path,
                message,
                "write it in quotes",
            );
            return None;
        };
        if text.len() > 4096 || text.contains('\0') {
            self.add(
                Code::BadVariable,
                value.span(),
                &path,
                format!("the value of `{shown}` cannot be used"),
                "at most 4096 characters, no NUL",
            );
            return None;
        }
        Some((name.get_ref().to_string(), text.to_string()))
    }

    fn out_of_range<T>(&mut self, span: Range<usize>, path: &str, kind: &Kind<T>) -> bool {
        let message = format!("`{path}` is outside its range");
        self.add(
            Code::OutOfRange,
            span,
            path,
            message,
            format!("takes {}", kind.takes()),
        );
        false
    }
}

/// The number, where it is a whole one that fits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// Thousandths of a processor, `None` where it is no such number.
fn processors(value: &DeValue<'_>) -> Option<u32> {
    let count = match value {
        DeValue::Float(number) => number.as_str().parse::<f64>().ok()?,
        number => f64::from(i32::try_from(integer(number)?).ok()?),
    };
    let millis = (count * 1000.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was just looked at"
    )]
    (0.0..=1e9).contains(&millis).then_some(millis as u32)
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
