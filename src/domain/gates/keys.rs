//! Private keys in text: a header, and below it what it announces.

use std::sync::LazyLock;

use regex::bytes::Regex;

/// A private key.
pub(super) struct Key {
    /// Line of its header.
    pub(super) line: u32,
    /// A noun with its article.
    pub(super) what: &'static str,
    /// Lines of its header and of its material.
    pub(super) lines: Vec<u32>,
}

/// Fewer digits of base64 than this are no key.
const LEAST: usize = 32;
/// Lines below a header in which the material has to begin.
const BELOW: usize = 12;

static HEADER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-[0-9]:")
        .ok()
});

/// Every private key; a header that nothing follows is none, as in a program that reads keys.
pub(super) fn find(lines: &[(u32, &[u8])]) -> Vec<Key> {
    let Some(header) = HEADER.as_ref() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (at, (number, line)) in lines.iter().enumerate() {
        for mark in header.find_iter(line) {
            let rest = line.get(mark.end()..).unwrap_or_default();
            let below = lines.get(at + 1..).unwrap_or_default();
            let (mut digits, mut idle) = (0, 0);
            let mut held = vec![*number];
            for (number, line) in [(*number, rest)].iter().chain(below) {
                let (inside, ends) = match line.windows(5).position(|five| five == b"-----") {
                    Some(end) => (line.get(..end).unwrap_or_default(), true),
                    None => (*line, false),
                };
                match material(inside) {
                    0 => idle += 1,
                    some => {
                        digits += some;
                        idle = 0;
                        held.push(*number);
                    }
                }
                if ends || digits > 4 * LEAST || idle > BELOW {
                    break;
                }
            }
            if digits >= LEAST {
                found.push(Key {
                    line: *number,
                    what: match mark.as_bytes().starts_with(b"-") {
                        true => "a private key",
                        false => "a PuTTY private key",
                    },
                    lines: held,
                });
            }
        }
    }
    found
}

/// How many digits of base64 a line holds that are no words.
fn material(line: &[u8]) -> usize {
    // A run in a line of code has to be longer than one that is the line.
    const RUN: usize = 40;
    const WHOLE: usize = 16;
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    // `\n` between two runs is written with a letter.
    let mut plain = line.to_vec();
    for at in 1..plain.len() {
        if plain.get(at - 1) == Some(&b'\\')
            && let Some(byte) = plain.get_mut(at)
            && matches!(byte, b'n' | b'r' | b't')
        {
            *byte = b' ';
        }
    }
    let runs: Vec<&[u8]> = plain
        .split(|byte| !is_digit(byte))
        .filter(|run| run.iter().any(|byte| *byte != b'+'))
        .collect();
    let least = if runs.len() == 1 { WHOLE } else { RUN };
    let random = |run: &[u8]| {
        let has = |class: fn(&u8) -> bool| usize::from(run.iter().any(class));
        let classes = has(u8::is_ascii_uppercase)
            + has(u8::is_ascii_lowercase)
            + has(u8::is_ascii_digit)
            + has(u8::is_ascii_punctuation);
        run.len() >= least && classes >= 3
    };
    runs.iter()
        .filter(|run| random(run))
        .map(|run| run.len())
        .sum()
}
