//! Whether a brief can be worked on as it is, judged without a model.

use globset::{GlobBuilder, GlobMatcher};

use super::super::settings::Settings;
use super::lists;
use super::outline::{Outline, Part};
use super::{Area, Brief, Fit, Survey};

/// More criteria are a sign of several tasks in one.
const MANY_CRITERIA: usize = 8;
/// A brief whose own globs cover more of the repository narrows nothing.
const LARGE_SHARE_PERCENT: u64 = 40;

/// Judges a brief: what is missing, and what needs a person's yes. What blocks nothing is in [`warnings`].
///
/// An area counts as named when title, goal, criteria or scope hold a path or glob that a
/// pattern of `[scope] sensitive` matches, or the bare name of the folder that a floating
/// pattern (`**/auth/**`) is about. Prose names areas by bare words; a false alarm costs one
/// approval, a miss a whole run, since the gates see it only afterwards. A pattern with a
/// place (`src/core/**`) is named by paths alone, for its folders' names are ordinary words.
/// What the brief excludes (non-goals) and where it wants to be asked names nothing.
#[must_use]
pub fn fit(brief: &Brief, settings: &Settings) -> Fit {
    let missing = missing(brief);
    if !missing.is_empty() {
        let skeleton = skeleton(brief);
        return Fit::NeedsInfo { missing, skeleton };
    }
    let areas = areas(brief, &settings.scope.sensitive);
    if areas.is_empty() {
        Fit::Fits
    } else {
        Fit::NeedsApproval { areas }
    }
}

fn missing(brief: &Brief) -> Vec<String> {
    let mut missing = Vec::new();
    if brief.goal.trim().is_empty() {
        missing.push("The goal: what should be different afterwards, and for whom.".to_owned());
    }
    if brief.criteria.is_empty() {
        missing.push(
            "Acceptance criteria: one per line, each checkable by a command or by looking at one thing.".to_owned(),
        );
    }
    for glob in &brief.scope {
        if let Some(why) = no_glob(glob) {
            missing.push(format!("A scope that can be read: `{glob}` {why}."));
        }
    }
    missing
}

/// Why a scope entry is no glob over repository paths. Dropping it would widen the scope.
fn no_glob(glob: &str) -> Option<&'static str> {
    if glob.starts_with('!') {
        Some("excludes; name what is in scope, and the rest under “Out of scope”")
    } else if glob.split('/').any(|part| part == "..") {
        Some("leaves the repository")
    } else if matcher(glob).is_none() {
        Some("is not a valid glob")
    } else {
        None
    }
}

/// Text to paste and fill in: what is known already, and an empty place for what is not.
fn skeleton(brief: &Brief) -> String {
    let list = |lines: &[String]| lines.join("\n");
    let criteria: Vec<String> = brief
        .criteria
        .iter()
        .map(|criterion| format!("- [ ] {}", criterion.text))
        .collect();
    let criteria = if criteria.is_empty() {
        "- [ ] \n- [ ] ".to_owned()
    } else {
        list(&criteria)
    };
    let scope: Vec<String> = brief
        .scope
        .iter()
        .filter(|glob| no_glob(glob).is_none())
        .cloned()
        .collect();
    let mut parts = vec![
        ("Goal", brief.goal.clone()),
        ("Acceptance criteria", criteria),
        ("Files or areas in scope", list(&scope)),
        ("Out of scope", brief.non_goals.clone().unwrap_or_default()),
    ];
    parts.extend(
        brief
            .ask_first
            .clone()
            .map(|text| ("Stop and ask before", text)),
    );
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(name, text)| format!("### {name}\n\n{text}\n"))
        .collect();
    parts.join("\n")
}

/// What a person should know about a brief before its result is judged: signs of too much in one
/// task, and words that nothing enforces. One sentence each; none of them blocks anything.
#[must_use]
pub fn warnings(brief: &Brief, survey: Survey) -> Vec<String> {
    let mut warnings = Vec::new();
    let count = brief.criteria.len();
    if count > MANY_CRITERIA {
        warnings.push(format!(
            "{count} acceptance criteria are too many for one change; split the issue (advice: at most {MANY_CRITERIA})."
        ));
    }
    let share = u64::from(survey.files_in_scope) * 100;
    if !brief.scope.is_empty() && share > u64::from(survey.files) * LARGE_SHARE_PERCENT {
        warnings.push(format!(
            "The scope covers {} of {} files, more than {LARGE_SHARE_PERCENT} %: too big to judge; split the issue or narrow its scope.",
            survey.files_in_scope, survey.files
        ));
    }
    let outline = Outline::of(&brief.text);
    let (_, unread) = lists::globs(&outline.part(Part::Scope).unwrap_or_default());
    for line in unread {
        warnings.push(format!(
            "“{line}” under scope is no path or glob: the agent is told, but nothing enforces it."
        ));
    }
    let mut places = vec![("The goal".to_owned(), brief.goal.as_str())];
    if brief.title != brief.goal {
        places.push(("The title".to_owned(), brief.title.as_str()));
    }
    let numbered = brief.criteria.iter().map(|criterion| {
        (
            format!("Criterion {}", criterion.number),
            criterion.text.as_str(),
        )
    });
    places.extend(numbered);
    for (place, text) in places {
        let vague = vague(text);
        if !vague.is_empty() {
            let words: Vec<String> = vague.iter().map(|word| format!("“{word}”")).collect();
            warnings.push(format!(
                "{place} says {}: say what will be different, so that it can be checked.",
                words.join(", ")
            ));
        }
    }
    warnings
}

/// Verbs that name no end, in the forms people write them.
const VAGUE: [&str; 24] = [
    "improve",
    "improves",
    "improved",
    "improving",
    "refactor",
    "refactors",
    "refactoring",
    "optimize",
    "optimise",
    "optimizing",
    "optimising",
    "enhance",
    "enhances",
    "enhancing",
    "cleanup",
    "tidy",
    "polish",
    "modernize",
    "modernise",
    "streamline",
    "simplify",
    "better",
    "nicer",
    "clean up",
];

fn vague(text: &str) -> Vec<&'static str> {
    // Words in backticks are names.
    let prose: String = text.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let words: Vec<String> = words(&prose).map(str::to_lowercase).collect();
    let text = format!(" {} ", words.join(" "));
    VAGUE
        .into_iter()
        .filter(|verb| text.contains(&format!(" {verb} ")))
        .collect()
}

/// Words of prose: letters, digits, `_` and `-`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
        .filter(|word| !word.is_empty())
}

/// Every sensitive pattern that the brief names, with the first words that name it.
fn areas(brief: &Brief, sensitive: &[String]) -> Vec<Area> {
    let mut prose: Vec<&str> = vec![&brief.title, &brief.goal];
    prose.extend(
        brief
            .criteria
            .iter()
            .map(|criterion| criterion.text.as_str()),
    );
    let mut paths: Vec<String> = brief.scope.clone();
    // What people typed under scope and is no glob still names areas.
    let outline = Outline::of(&brief.text);
    let scope = outline.part(Part::Scope).unwrap_or_default();
    let (_, unread) = lists::globs(&scope);
    prose.extend(unread.iter().map(String::as_str));
    for text in &prose {
        paths.extend(lists::in_backticks(text));
        paths.extend(
            text.split_whitespace()
                .filter(|word| path_like(word))
                .map(str::to_owned),
        );
    }
    let mut areas = Vec::new();
    for pattern in sensitive {
        let Some(glob) = matcher(pattern) else {
            continue;
        };
        let by_path = paths.iter().find(|path| names_place(path, &glob)).cloned();
        let by_word = || {
            let name = floating_name(pattern)?;
            let mut all = prose
                .iter()
                .flat_map(|text| words(text))
                .chain(brief.scope.iter().flat_map(|glob| glob.split('/')));
            all.find(|word| word.to_lowercase() == name)
                .map(str::to_owned)
        };
        if let Some(named) = by_path.or_else(by_word) {
            areas.push(Area {
                pattern: pattern.clone(),
                named,
            });
        }
    }
    areas
}

/// `src/auth/login.rs`, `schema.sql`; not an address of the web, not `and/or` alone either way.
fn path_like(word: &str) -> bool {
    !word.contains("://")
        && (word.contains('/') || word.trim_end_matches(['.', ',', ')', ':']).contains('.'))
}

/// Whether a path or glob, or a file in it, is one that the pattern matches.
fn names_place(path: &str, glob: &GlobMatcher) -> bool {
    let path =
        path.trim_matches(|c: char| matches!(c, '`' | '"' | '\'' | '(' | ')' | ',' | ':' | ';'));
    let path = path
        .trim_end_matches('.')
        .trim_start_matches("./")
        .trim_start_matches('/')
        .trim_end_matches('/');
    // A star stands for some name; braces for their first alternative are enough to name a place.
    let one: String = path
        .replace("**", "x")
        .replace(['*', '?'], "x")
        .to_lowercase();
    !one.is_empty()
        && !path.contains(char::is_whitespace)
        && (glob.is_match(&one) || glob.is_match(format!("{one}/x")))
}

/// `auth` of `**/auth/**`, the form that calls a name sensitive wherever it is.
fn floating_name(pattern: &str) -> Option<String> {
    let name = pattern.strip_prefix("**/")?;
    let name = name
        .strip_suffix("/**")
        .or_else(|| name.strip_suffix("/*"))
        .or_else(|| name.strip_suffix('/'))?;
    let literal = !name.contains(['*', '?', '[', '{', '/']);
    literal.then(|| name.to_lowercase())
}

/// Globs as `[scope]` means them: `*` stays within a folder, upper and lower case are one here.
fn matcher(pattern: &str) -> Option<GlobMatcher> {
    let mut glob = GlobBuilder::new(pattern);
    glob.literal_separator(true).case_insensitive(true);
    Some(glob.build().ok()?.compile_matcher())
}
