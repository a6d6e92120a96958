//! Titles of pull requests, whose beginning makes a draft here.

/// Beginnings of titles that make a draft, in small letters: Gitea's own, and those of others that servers are
/// configured to know.
const DRAFT_PREFIXES: &[&str] = &["wip:", "[wip]", "draft:", "[draft]"];

/// What a draft of ours begins with.
pub(super) const DRAFT: &str = "WIP: ";

/// Widest title, without what makes it a draft. Gitea cuts at 255, and counts what is not Latin twice.
const TITLE_MAX: usize = 240;

/// What makes `title` a draft, with the blanks after it.
pub(super) fn draft_prefix(title: &str) -> Option<&str> {
    let found = DRAFT_PREFIXES.iter().find(|prefix| {
        title
            .get(..prefix.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    })?;
    let rest = title.get(found.len()..)?;
    title.get(..title.len() - rest.trim_start().len())
}

/// `title` without anything that would make it a draft: whether it is one is not the title's to say.
pub(super) fn plain_title(title: &str) -> String {
    let mut title = title.trim();
    while let Some(prefix) = draft_prefix(title) {
        title = title.get(prefix.len()..).unwrap_or_default();
    }
    match title {
        "" => "(no title)".to_owned(),
        title => title.to_owned(),
    }
}

/// `title` as wide as the forge keeps it.
pub(super) fn capped_title(title: &str) -> String {
    let width = |c: char| if u32::from(c) > 255 { 2 } else { 1 };
    if title.chars().map(width).sum::<usize>() <= TITLE_MAX {
        return title.to_owned();
    }
    let mut left = TITLE_MAX - width('…');
    let fits = |c: &char| {
        let room = left.checked_sub(width(*c));
        left = room.unwrap_or(0);
        room.is_some()
    };
    let cut: String = title.chars().take_while(fits).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_says_nothing_about_drafts_however_it_begins() {
        for (title, plain, prefix) in [
            ("Fix it", "Fix it", None),
            ("WIP: Fix it", "Fix it", Some("WIP: ")),
            ("[wip]Fix it", "Fix it", Some("[wip]")),
            ("wip: [Draft] WIP:Fix it", "Fix it", Some("wip: ")),
            ("WIP: ", "(no title)", Some("WIP: ")),
            ("Über", "Über", None),
        ] {
            assert_eq!(plain_title(title), plain, "{title:?}");
            assert_eq!(draft_prefix(title), prefix, "{title:?}");
        }
    }

    #[test]
    fn a_long_title_is_cut_to_what_the_forge_keeps() {
        assert_eq!(
            capped_title(&"🦀".repeat(1_000)),
            format!("{}…", "🦀".repeat(119))
        );
        let fits = "x".repeat(TITLE_MAX);
        assert_eq!(capped_title(&fits), fits);
        assert_eq!(capped_title(&format!("{fits}x")).chars().count(), 239);
    }
}
