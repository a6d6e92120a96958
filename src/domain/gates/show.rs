//! Names from a repository, made harmless to show.

use std::fmt::Write as _;

use super::super::ident::RepoPath;

/// Longest text that is shown of one name, in characters.
const CAP: usize = 160;

/// The path in backticks; what cannot be seen or would break the line is escaped.
pub(super) fn path(path: &RepoPath) -> String {
    bytes(path.as_bytes())
}

/// Any bytes in backticks, escaped like a path.
pub(super) fn bytes(bytes: &[u8]) -> String {
    let mut shown = String::from("`");
    let mut length = 0;
    'all: for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if length == CAP {
                shown.push('…');
                break 'all;
            }
            length += 1;
            if c == '`' || c.is_control() || unseen(c) {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            } else {
                shown.push(c);
            }
        }
        for byte in chunk.invalid() {
            length += 1;
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown.push('`');
    shown
}

/// Characters that are not drawn, or that reorder what is drawn.
fn unseen(c: char) -> bool {
    matches!(
        u32::from(c),
        0xAD | 0x61C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
            | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
            | 0xFFF9..=0xFFFB | 0xE0000..=0xE0FFF
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_in_a_name_is_shown_as_its_number() {
        insta::assert_snapshot!(
            bytes(b"a\n\x1b[31m`b\xff"),
            @r"`a\u{a}\u{1b}[31m\u{60}b\xff`"
        );
        insta::assert_snapshot!(bytes("x\u{202e}y\u{200b}".as_bytes()), @r"`x\u{202e}y\u{200b}`");
    }

    #[test]
    fn a_long_name_is_cut() {
        assert!(bytes(&[b'a'; 5000]).chars().count() < CAP + 5);
    }
}
