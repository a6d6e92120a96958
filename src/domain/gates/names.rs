//! Names and kinds that make git or a file system do more than hold a file.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::ident::RepoPath;
use super::{Change, EntryKind, Finding, Gate, Odd, Outcome, show};

/// Gitlinks, `.git` in every spelling, `.gitmodules` and `.gitattributes`.
pub(super) fn git(change: &Change) -> Vec<Finding> {
    let path = show::path(&change.path);
    let finding = |outcome, reason| Finding {
        gate: Gate::Git,
        outcome,
        path: Some(change.path.clone()),
        line: None,
        reason,
    };
    let mut found = Vec::new();
    let kind = |entry: &Option<super::Entry>| entry.as_ref().map(|entry| entry.kind);
    match (kind(&change.old), kind(&change.new)) {
        (_, Some(EntryKind::Gitlink)) => found.push(finding(
            Outcome::Refuse,
            format!("{path} is a new or changed gitlink (submodule); its content cannot be judged"),
        )),
        (Some(EntryKind::Gitlink), _) => found.push(finding(
            Outcome::Ask,
            format!("{path} was a gitlink (submodule) and is removed"),
        )),
        _ => {}
    }
    if change.new.is_some()
        && let Some(why) = unsafe_name(&change.path)
    {
        found.push(finding(Outcome::Refuse, format!("{path} {why}")));
    }
    let name = change.path.file_name();
    if is_alias(name, ".gitmodules", &["gitmod~", "gi7eba~"]) {
        found.push(if change.new.is_some() {
            finding(
                Outcome::Refuse,
                format!("{path} tells git which other repositories to fetch (submodules)"),
            )
        } else {
            finding(
                Outcome::Ask,
                format!("{path}, the list of submodules, is removed"),
            )
        });
    } else if is_alias(name, ".gitattributes", &["gitatt~", "gi7d29~"]) {
        found.push(finding(
            Outcome::Ask,
            format!("{path} can hide files from a diff or rewrite them at checkout"),
        ));
    }
    found
}

/// New names that other systems cannot hold, or that they take for another one of the tree.
///
/// `base` are the files of the base commit; empty = only the change itself is compared.
pub(super) fn elsewhere(changes: &[&Change], base: &[RepoPath]) -> Vec<Finding> {
    let added = |change: &&&Change| change.old.is_none() && change.new.is_some();
    let finding = |path: &RepoPath, reason: String| Finding {
        gate: Gate::Git,
        outcome: Outcome::Ask,
        path: Some(path.clone()),
        line: None,
        reason,
    };
    // What is looked for: each folder of an added path and the path itself, folded.
    let mut spellings: HashMap<Vec<u8>, BTreeSet<&[u8]>> = HashMap::new();
    for change in changes.iter().filter(added) {
        for prefix in prefixes(&change.path) {
            spellings
                .entry(folded_path(prefix))
                .or_default()
                .insert(prefix);
        }
    }
    let removed: HashSet<&RepoPath> = changes
        .iter()
        .filter(|change| change.new.is_none())
        .map(|change| &change.path)
        .collect();
    let stays = base.iter().filter(|path| !removed.contains(path));
    for prefix in stays.flat_map(prefixes) {
        if let Some(known) = spellings.get_mut(&folded_path(prefix)) {
            known.insert(prefix);
        }
    }
    let mut found = Vec::new();
    for change in changes.iter().filter(added) {
        let path = show::path(&change.path);
        let parts = || change.path.as_bytes().split(|byte| *byte == b'/');
        if let Some(why) = parts().find_map(unportable) {
            found.push(finding(&change.path, format!("{path} {why}")));
        }
        let other = prefixes(&change.path).find_map(|prefix| {
            let known = spellings.get(&folded_path(prefix))?;
            known.iter().find(|other| **other != prefix)
        });
        if let Some(other) = other {
            let other = show::bytes(other);
            let reason = format!("{path} is the same as {other} to systems that ignore case");
            found.push(finding(&change.path, reason));
        }
    }
    found
}

/// Each folder of a path, and the path itself.
fn prefixes(path: &RepoPath) -> impl Iterator<Item = &[u8]> {
    let bytes = path.as_bytes();
    let ends = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| at);
    ends.chain([bytes.len()]).filter_map(|end| bytes.get(..end))
}

fn folded_path(path: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/');
    // Nearly every path, and folding has to look at each letter of the others.
    if path.iter().all(plain) {
        return path.to_ascii_lowercase();
    }
    let parts: Vec<String> = path.split(|byte| *byte == b'/').map(folded).collect();
    parts.join("/").into_bytes()
}

/// Why a name cannot be checked out on every system, as a sentence without its subject.
fn unportable(part: &[u8]) -> Option<&'static str> {
    const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "conin$", "conout$"];
    let lower = String::from_utf8_lossy(part).to_lowercase();
    let stem = lower.split('.').next().unwrap_or(&lower).trim_end();
    let port = stem.strip_prefix("com").or(stem.strip_prefix("lpt"));
    let digit = |c: char| c.is_ascii_digit() && c != '0' || "¹²³".contains(c);
    if DEVICES.contains(&stem)
        || port.is_some_and(|port| port.chars().count() == 1 && port.chars().all(digit))
    {
        Some("is the name of a device on Windows")
    } else if part
        .iter()
        .any(|byte| *byte < 32 || b"<>:\"|?*\\".contains(byte))
    {
        Some("holds a character that names on Windows cannot hold")
    } else if part.ends_with(b".") || part.ends_with(b" ") {
        Some("ends with a dot or a space, which Windows leaves out")
    } else if part.len() > 255 {
        Some("is longer than file systems hold")
    } else if std::str::from_utf8(part).is_err() {
        Some("is not UTF-8, which macOS cannot hold")
    } else {
        None
    }
}

/// Why no tree of ours may hold this path, as a sentence without its subject.
fn unsafe_name(path: &RepoPath) -> Option<&'static str> {
    let parts = || path.as_bytes().split(|byte| matches!(byte, b'/' | b'\\'));
    if parts().any(|part| is_alias(part, ".git", &["git~"])) {
        return Some("is a name that git, or another system, takes for `.git`");
    }
    let broken = |part: &[u8]| matches!(part, b"" | b"." | b"..") || part.contains(&0);
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .any(broken)
        .then_some("is not a name that a tree may hold")
}

/// Whether HFS+, NTFS or any system that ignores case takes `name` for `wanted`.
///
/// `short` are beginnings of its 8.3 names, a digit follows.
fn is_alias(name: &[u8], wanted: &str, short: &[&str]) -> bool {
    let file = folded(name);
    file == wanted
        || short.iter().any(|short| {
            file.strip_prefix(short)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
        })
}

/// One part of a path as systems compare it that ignore case: APFS, HFS+ and NTFS.
pub(super) fn folded(name: &[u8]) -> String {
    let folded: String = String::from_utf8_lossy(name)
        .chars()
        .filter(|c| !ignored_by_hfs(*c))
        .flat_map(fold)
        .collect();
    // NTFS: a stream (`.git::$INDEX_ALLOCATION`) is the file itself, trailing dots and spaces go away.
    let file = folded.split(':').next().unwrap_or(&folded);
    file.trim_end_matches([' ', '.']).to_owned()
}

/// Lower case, with the letters that other case tables take for an ASCII one.
fn fold(c: char) -> impl Iterator<Item = char> {
    match c {
        'İ' | 'ı' => 'i',
        'ſ' => 's',
        other => other,
    }
    .to_lowercase()
}

/// What HFS+ leaves out when it compares names: the list of git's `utf8.c`.
fn ignored_by_hfs(c: char) -> bool {
    matches!(u32::from(c), 0x200C..=0x200F | 0x202A..=0x202E | 0x206A..=0x206F | 0xFEFF)
}

/// Links: one that leaves the tree refuses, any other new one is noted.
pub(super) fn symlink(change: &Change) -> Option<Finding> {
    let new = change.new.as_ref()?;
    if new.kind != EntryKind::Symlink {
        return None;
    }
    let path = show::path(&change.path);
    let (outcome, reason) = match new.content.as_deref() {
        None => (
            Outcome::Refuse,
            format!("{path} is a symlink whose target is too long to read"),
        ),
        Some(target) => {
            let shown = show::bytes(target);
            match leaves(&change.path, target) {
                Some(why) => (
                    Outcome::Refuse,
                    format!("{path} is a symlink to {shown}, which {why}"),
                ),
                None => (
                    Outcome::Pass,
                    format!("{path} is a new or changed symlink to {shown}"),
                ),
            }
        }
    };
    Some(Finding {
        gate: Gate::Symlink,
        outcome,
        path: Some(change.path.clone()),
        line: None,
        reason,
    })
}

/// Why a link at `path` does not stay among the files of the tree.
fn leaves(path: &RepoPath, target: &[u8]) -> Option<&'static str> {
    let separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    let drive = target.get(1) == Some(&b':');
    if target.is_empty() || target.contains(&0) {
        return Some("is no target");
    }
    if target.first().is_some_and(separator) || drive {
        return Some("is outside the tree");
    }
    let mut depth = path.as_bytes().iter().filter(|byte| **byte == b'/').count();
    let mut descended = false;
    for part in target.split(|byte| separator(byte)) {
        match part {
            b"" | b"." => {}
            // Below a name that may itself be a link, `..` is anywhere.
            b".." if descended => {
                return Some("climbs after descending, so it may end outside the tree");
            }
            b".." => match depth.checked_sub(1) {
                None => return Some("is outside the tree"),
                Some(up) => depth = up,
            },
            name if is_alias(name, ".git", &["git~"]) => {
                return Some("is in git's own folder");
            }
            _ => descended = true,
        }
    }
    None
}

/// What the collector left out.
pub(super) fn odd(odd: &Odd) -> Finding {
    let path = show::path(&odd.path);
    let what: String = odd
        .what
        .chars()
        .filter(|c| !c.is_control())
        .take(80)
        .collect();
    let git = unsafe_name(&odd.path).is_some();
    Finding {
        gate: if git { Gate::Git } else { Gate::Mode },
        outcome: if git { Outcome::Refuse } else { Outcome::Ask },
        path: Some(odd.path.clone()),
        line: None,
        reason: format!("{path} is {what}; it is not part of the result"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;

    fn entry(kind: EntryKind, content: &[u8]) -> Option<Entry> {
        Some(Entry {
            kind,
            size: content.len() as u64,
            content: Some(content.to_vec()),
        })
    }

    fn change(path: &[u8], old: Option<Entry>, new: Option<Entry>) -> Change {
        Change {
            path: RepoPath::new(path),
            old,
            new,
            added: 1,
            removed: 0,
            binary: false,
        }
    }

    fn git_says(path: &str) -> Option<Outcome> {
        let new = entry(EntryKind::File, b"x");
        git(&change(path.as_bytes(), None, new))
            .first()
            .map(|f| f.outcome)
    }

    fn link(path: &str, target: &str) -> Finding {
        let new = entry(EntryKind::Symlink, target.as_bytes());
        symlink(&change(path.as_bytes(), None, new)).unwrap()
    }

    #[test]
    fn every_spelling_of_dot_git_is_refused() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            ".git.",
            ".git ",
            ".git. .",
            "git~1",
            "GIT~1",
            "git~2",
            ".git::$INDEX_ALLOCATION",
            ".git:x",
            ".GIT::$DATA",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".gi\u{200d}t",
            ".git\u{202e}",
            ".g\u{131}t",
            ".G\u{130}T",
            ".git\u{206f}.",
        ] {
            // `.G\u{130}T` lower-cases to a dotted i on systems that know the letter.
            assert_eq!(git_says(name), Some(Outcome::Refuse), "{name:?}");
            assert_eq!(
                git_says(&format!("a/{name}/config")),
                Some(Outcome::Refuse),
                "{name:?}"
            );
            assert_eq!(
                git_says(&format!("a\\{name}\\config")),
                Some(Outcome::Refuse),
                "{name:?}"
            );
        }
        for name in [
            ".gitignore",
            ".github/x",
            "git",
            ".gitx",
            "a.git",
            "git~",
            "git~x",
            "x/git~1a",
        ] {
            assert_eq!(git_says(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_removed_alias_is_let_go() {
        let old = entry(EntryKind::File, b"x");
        assert!(git(&change(b".GIT/x", old, None)).is_empty());
    }

    #[test]
    fn a_path_with_dots_or_nothing_between_slashes_is_refused() {
        for path in ["../x", "a/../b", "a//b", "./a", "/a", "a/", "a/\0b"] {
            assert_eq!(git_says(path), Some(Outcome::Refuse), "{path:?}");
        }
    }

    #[test]
    fn a_gitlink_is_refused_and_its_removal_asks() {
        let gitlink = || entry(EntryKind::Gitlink, b"");
        let one = |old, new| {
            git(&change(b"vendor/x", old, new))
                .first()
                .map(|f| f.outcome)
        };
        assert_eq!(one(None, gitlink()), Some(Outcome::Refuse));
        assert_eq!(one(gitlink(), gitlink()), Some(Outcome::Refuse));
        assert_eq!(
            one(entry(EntryKind::File, b""), gitlink()),
            Some(Outcome::Refuse)
        );
        assert_eq!(one(gitlink(), None), Some(Outcome::Ask));
    }

    #[test]
    fn gitmodules_is_refused_in_every_spelling_and_gitattributes_asks() {
        for name in [
            ".gitmodules",
            ".GitModules",
            ".gitmodules.",
            "gitmod~1",
            "GI7EBA~1",
            "a/.gitmodules",
        ] {
            assert_eq!(git_says(name), Some(Outcome::Refuse), "{name:?}");
        }
        assert_eq!(git_says("src/.gitattributes"), Some(Outcome::Ask));
    }

    #[test]
    fn a_name_that_other_systems_cannot_hold_or_take_for_another_asks() {
        let base: Vec<RepoPath> = ["src/main.rs", "README.md", "a.txt"]
            .map(Into::into)
            .to_vec();
        let told = |path: &str| {
            let change = change(path.as_bytes(), None, entry(EntryKind::File, b"x"));
            let found = elsewhere(&[&change], &base);
            assert!(found.iter().all(|finding| finding.outcome == Outcome::Ask));
            !found.is_empty()
        };
        for path in [
            "SRC",
            "SRC/x",
            "Src/main.rs",
            "src/Main.rs",
            "readme.md",
            "con",
            "CON",
            "nul.txt",
            "a/aux.c/b",
            "com1",
            "LPT9.x",
            "a:b",
            "back\\slash",
            "a?",
            "x.",
            "x ",
            "a./b",
            "a.txt.",
            "\u{7}",
        ] {
            assert!(told(path), "{path:?}");
        }
        for path in [
            "src/new.rs",
            "src2/x",
            "console.rs",
            "com10",
            "null.txt",
            "README",
            "[...slug].tsx",
            "a b",
            "\u{e9}",
        ] {
            assert!(!told(path), "{path:?}");
        }
        let rename = [
            change(b"README.md", entry(EntryKind::File, b"x"), None),
            change(b"readme.md", None, entry(EntryKind::File, b"x")),
        ];
        assert!(elsewhere(&[&rename[0], &rename[1]], &base).is_empty());
        let change = change(b"SRC/x", None, entry(EntryKind::File, b"x"));
        insta::assert_snapshot!(elsewhere(&[&change], &base)[0].reason, @"`SRC/x` is the same as `src` to systems that ignore case");
    }

    #[test]
    fn a_symlink_that_leaves_the_tree_is_refused() {
        for (path, target) in [
            ("a", "/etc/passwd"),
            ("a", ".."),
            ("a", "../x"),
            ("d/a", "../../x"),
            ("d/a", "./.././../x"),
            ("a", "C:\\x"),
            ("a", "\\\\host\\x"),
            ("d/a", "..\\..\\x"),
            ("a", "p/q/../../.."),
            ("a", "link/../x"),
            ("a", ".git/config"),
            ("a", ".GIT"),
            ("a", ""),
        ] {
            assert_eq!(
                link(path, target).outcome,
                Outcome::Refuse,
                "{path} -> {target}"
            );
        }
    }

    #[test]
    fn a_symlink_inside_the_tree_is_only_noted() {
        for (path, target) in [
            ("a", "b"),
            ("d/a", "../b"),
            ("d/e/a", "../../b/c"),
            ("a", "./b/"),
        ] {
            assert_eq!(
                link(path, target).outcome,
                Outcome::Pass,
                "{path} -> {target}"
            );
        }
        insta::assert_snapshot!(link("d/a", "../b\n").reason, @r"`d/a` is a new or changed symlink to `../b\u{a}`");
    }

    #[test]
    fn a_symlink_with_an_unread_target_is_refused() {
        let new = Some(Entry {
            kind: EntryKind::Symlink,
            size: 5_000_000,
            content: None,
        });
        assert_eq!(
            symlink(&change(b"a", None, new)).unwrap().outcome,
            Outcome::Refuse
        );
    }

    #[test]
    fn what_the_collector_left_out_is_told() {
        let told = |path: &str, what: &str| {
            let finding = odd(&Odd {
                path: path.into(),
                what: what.to_owned(),
            });
            (finding.gate, finding.outcome, finding.reason)
        };
        assert_eq!(
            told("run/pipe", "a FIFO"),
            (
                Gate::Mode,
                Outcome::Ask,
                "`run/pipe` is a FIFO; it is not part of the result".to_owned()
            )
        );
        assert_eq!(
            told("sub/.git", "a nested .git folder"),
            (
                Gate::Git,
                Outcome::Refuse,
                "`sub/.git` is a nested .git folder; it is not part of the result".to_owned()
            )
        );
    }
}
