//! The repository's own template of pull requests, which stands before what we write.

use super::super::ident::RepoPath;
use super::chars;

/// Most characters of a template that are taken over.
pub const TEMPLATE_MAX: usize = 15_000;

/// Folders in which GitHub looks for a template, first to last.
pub const GITHUB_FOLDERS: &[&str] = &[".github/", "", "docs/"];
/// Folders in which Gitea and Forgejo look for a template, first to last.
pub const GITEA_FOLDERS: &[&str] = &["", ".forgejo/", ".gitea/", ".github/"];

/// Which of `paths`, those of the base commit, is the template that a person's pull request would begin with.
///
/// Only texts: forms (`.yaml`) ask for input that nobody types here. Of several in a folder the first by name.
#[must_use]
pub fn pull_template<'a>(
    folders: &[&str],
    paths: impl IntoIterator<Item = &'a RepoPath>,
) -> Option<&'a RepoPath> {
    const NAMES: [&[u8]; 3] = [
        b"pull_request_template.md",
        b"pull_request_template.txt",
        b"pull_request_template",
    ];
    let rank = |path: &RepoPath| {
        let bytes = path.as_bytes();
        folders.iter().enumerate().find_map(|(at, folder)| {
            let (start, name) = bytes.split_at_checked(folder.len())?;
            let named = NAMES
                .iter()
                .position(|one| name.eq_ignore_ascii_case(one))?;
            start
                .eq_ignore_ascii_case(folder.as_bytes())
                .then_some((at, named))
        })
    };
    let found = paths
        .into_iter()
        .filter_map(|path| Some((rank(path)?, path)));
    let (_, path) = found.min_by(|(a, x), (b, y)| (a, x.as_bytes()).cmp(&(b, y.as_bytes())))?;
    Some(path)
}

/// A template as it stands before our text: nothing of it is escaped, since the repository's own people wrote it; it
/// is cut at a line where it is too long, and what it leaves open is closed, or it would swallow what follows.
pub(super) fn before(template: &str) -> String {
    let text = template
        .trim_start_matches('\u{feff}')
        .replace("\r\n", "\n")
        .replace(['\r', '\0'], "\n");
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let mut taken = text;
    let mut note = "";
    if chars(text) > TEMPLATE_MAX {
        let end = text.char_indices().nth(TEMPLATE_MAX);
        let cut = end.map_or(text, |(at, _)| text.get(..at).unwrap_or_default());
        taken = cut.rsplit_once('\n').map_or(cut, |(whole, _)| whole);
        note = "\n\nThe rest of the template was left out for length.";
    }
    format!("{taken}{}{note}\n\n---\n\n", open_end(taken))
}

/// What closes that which a text leaves open: a comment, a fenced block, folds.
fn open_end(text: &str) -> String {
    let mut fence: Option<(char, usize)> = None;
    let mut comment = false;
    let mut folds = 0_usize;
    for line in text.lines() {
        let body = line.trim_start_matches(' ');
        let indent = line.len() - body.len();
        let first = body.chars().next().unwrap_or(' ');
        let run = body.chars().take_while(|c| *c == first).count();
        let is_fence = indent < 4 && run >= 3 && matches!(first, '`' | '~');
        let rest = body.get(run..).unwrap_or_default();
        match fence {
            Some((with, length)) => {
                if is_fence && first == with && run >= length && rest.trim().is_empty() {
                    fence = None;
                }
            }
            None if !comment && is_fence && !(first == '`' && rest.contains('`')) => {
                fence = Some((first, run));
            }
            None => outside(line, &mut comment, &mut folds),
        }
    }
    let mut end = String::new();
    if let Some((with, length)) = fence {
        end.push('\n');
        end.extend(std::iter::repeat_n(with, length));
    }
    if comment {
        end.push_str("\n-->");
    }
    for _ in 0..folds.min(50) {
        end.push_str("\n\n</details>");
    }
    end
}

/// Follows comments and folds through one line that is no code.
fn outside(line: &str, comment: &mut bool, folds: &mut usize) {
    let lower = line.to_ascii_lowercase();
    let mut rest = lower.as_str();
    loop {
        if *comment {
            let Some((_, after)) = rest.split_once("-->") else {
                return;
            };
            (*comment, rest) = (false, after);
            continue;
        }
        let marks = ["<!--", "<details", "</details"];
        let next = marks
            .iter()
            .filter_map(|mark| Some((rest.find(mark)?, *mark)))
            .min();
        let Some((at, mark)) = next else {
            return;
        };
        match mark {
            "<!--" => *comment = true,
            "<details" => *folds += 1,
            _ => *folds = folds.saturating_sub(1),
        }
        rest = rest.get(at + mark.len()..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folders: &[&str], paths: &[&str]) -> Option<String> {
        let paths: Vec<RepoPath> = paths.iter().map(|path| RepoPath::from(*path)).collect();
        pull_template(folders, &paths).map(|path| path.lossy().into_owned())
    }

    #[test]
    fn the_template_is_the_one_that_the_forge_itself_would_take() {
        let all = [
            "PULL_REQUEST_TEMPLATE.md",
            ".github/PULL_REQUEST_TEMPLATE.md",
            ".gitea/pull_request_template.md",
            "docs/pull_request_template.md",
        ];
        assert_eq!(found(GITHUB_FOLDERS, &all).as_deref(), Some(all[1]));
        assert_eq!(found(GITEA_FOLDERS, &all).as_deref(), Some(all[0]));
        assert_eq!(found(GITEA_FOLDERS, &all[1..]).as_deref(), Some(all[2]));
        assert_eq!(found(GITHUB_FOLDERS, &all[2..]).as_deref(), Some(all[3]));
        let both = [
            ".github/pull_request_template.txt",
            ".GitHub/Pull_Request_Template.md",
        ];
        assert_eq!(found(GITHUB_FOLDERS, &both).as_deref(), Some(both[1]));
        for none in [
            ".github/PULL_REQUEST_TEMPLATE/bug.md",
            ".gitea/PULL_REQUEST_TEMPLATE.yaml",
            "src/pull_request_template.md",
            ".github/xpull_request_template.md",
            "",
        ] {
            assert_eq!(found(GITHUB_FOLDERS, &[none]), None, "{none}");
        }
    }

    #[test]
    fn a_template_is_taken_as_it_is() {
        assert_eq!(
            before("\u{feff}## What\r\n\r\n@team <!-- why --> Fixes #1\r\n"),
            "## What\n\n@team <!-- why --> Fixes #1\n\n---\n\n"
        );
        assert_eq!(before(" \n"), "");
    }

    #[test]
    fn what_a_template_leaves_open_does_not_swallow_what_follows() {
        for (open, closed) in [
            ("a\n<!-- why", "a\n<!-- why\n-->"),
            ("<!-- a --> b <!--c", "<!-- a --> b <!--c\n-->"),
            ("~~~~sh\nx\n~~~", "~~~~sh\nx\n~~~\n~~~~"),
            ("```\n<!-- code", "```\n<!-- code\n```"),
            ("<Details><summary>x", "<Details><summary>x\n\n</details>"),
            ("<!--\n```\n-->", "<!--\n```\n-->"),
            ("``` a ` b\nc", "``` a ` b\nc"),
        ] {
            assert_eq!(before(open), format!("{closed}\n\n---\n\n"), "{open:?}");
        }
    }

    #[test]
    fn a_long_template_is_cut_at_a_line_and_that_is_said() {
        let long = "a line of it\n".repeat(5_000);
        let taken = before(&long);
        assert!(chars(&taken) <= TEMPLATE_MAX + 100, "{}", chars(&taken));
        assert!(taken.ends_with(
            "a line of it\n\nThe rest of the template was left out for length.\n\n---\n\n"
        ));
    }
}
