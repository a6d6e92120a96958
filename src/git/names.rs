//! Names that must not reach a file system or a tree, and names of our branches.

/// What is wrong with one part of a path; `None` = nothing.
///
/// Refuses what any system git runs on may take for `.git`: case (everywhere), the
/// NTFS forms (short name, trailing dots and spaces, streams, backslash as separator)
/// and the HFS+ form (ignorable code points). As git's `verify_path` with
/// `core.protectNTFS` and `core.protectHFS`.
pub(super) fn problem(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        return Some("an empty name");
    }
    if name == b"." || name == b".." {
        return Some("a name that leads out of the tree");
    }
    if name.iter().any(|b| matches!(b, b'/' | 0)) {
        return Some("a name with a slash or NUL");
    }
    if name.split(|b| *b == b'\\').any(is_dot_git) {
        return Some("a name that git or another system takes for `.git`");
    }
    None
}

fn is_dot_git(part: &[u8]) -> bool {
    let ntfs = |stem: &[u8]| {
        part.len() >= stem.len()
            && part
                .get(..stem.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(stem))
            && part.get(stem.len()..).is_some_and(|tail| {
                let tail = tail.split(|b| *b == b':').next().unwrap_or(tail);
                tail.iter().all(|b| matches!(b, b' ' | b'.'))
            })
    };
    ntfs(b".git") || ntfs(b"git~1") || hfs(part)
}

/// Whether HFS+, which drops these code points and folds case, reads `.git`.
fn hfs(part: &[u8]) -> bool {
    std::str::from_utf8(part).is_ok_and(|text| {
        text.chars()
            .filter(|c| {
                !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
            })
            .map(|c| c.to_ascii_lowercase())
            .eq(".git".chars())
    })
}

/// Whether `name` is a branch name as we make them: parts of `[a-z0-9-]` joined by `/`,
/// none empty or starting with `-`, at most 200 bytes.
pub(super) fn is_our_branch(name: &str) -> bool {
    name.len() <= 200
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && part
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_of_dot_git_is_refused() {
        for name in [
            &b".git"[..],
            b".GIT",
            b".gIt",
            b".git ",
            b".git.",
            b".git...",
            b".git . ",
            b"git~1",
            b"GIT~1",
            b"GIT~1.",
            b".git::$INDEX_ALLOCATION",
            b".git:x",
            b".git\\config",
            b"a\\.git",
            b"a\\git~1\\b",
            ".g\u{200c}it".as_bytes(),
            "\u{feff}.Git".as_bytes(),
            b"",
            b".",
            b"..",
            b"a/b",
            b"a\0b",
        ] {
            assert!(problem(name).is_some(), "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn ordinary_names_pass() {
        for name in [
            &b".gitignore"[..],
            b".gitmodules",
            b".github",
            b"git",
            b"git~2",
            b"x.git",
            b"...",
            b"a\\b",
            b"a\nb",
            b"\xff",
            b"a:b",
            b".gita",
        ] {
            assert_eq!(problem(name), None, "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn only_plain_parts_make_a_branch() {
        for good in ["prentice/t-1", "a", "agent/12-fix-the-thing"] {
            assert!(is_our_branch(good), "{good}");
        }
        for bad in [
            "", "/a", "a/", "a//b", "-a", "a/-b", "A", "a..b", "a.lock", "a b", "refs/@{x", "é",
            "a\n",
        ] {
            assert!(!is_our_branch(bad), "{bad}");
        }
    }
}
