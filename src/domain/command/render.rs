//! Texts made from the table of commands.

use super::super::ident::TaskId;
use super::{ANY, Command, FINAL, LIVE, Need, Place, Row, StageWord, Surface, TABLE, Verb};

/// How a command is typed where the reader is; `None` where it cannot be typed there.
///
/// `/agent approve p1` in a comment, `prentice tasks approve T-1 p1` in a terminal.
#[must_use]
pub fn typed(surface: &Surface, task: TaskId, command: &Command) -> Option<String> {
    let row = command.verb().row();
    let (arguments, free) = command.typed_arguments();
    let (start, arguments) = match surface {
        Surface::Forge { prefix } => (format!("{prefix} {}", row.name), arguments),
        Surface::Local => {
            let quoted = match free && !arguments.is_empty() {
                true => shlex::try_quote(&arguments).ok()?.into_owned(),
                false => arguments,
            };
            (row.local?.replace("{task}", &task.to_string()), quoted)
        }
    };
    match row.available {
        true if arguments.is_empty() => Some(start),
        true => Some(format!("{start} {arguments}")),
        false => None,
    }
}

/// The reply to `help`: what the caller can do here now, or all about one verb.
#[must_use]
pub fn help(surface: &Surface, valid: &[Verb], about: Option<Verb>) -> String {
    let usage = |row: &Row| -> Option<String> {
        let start = match surface {
            Surface::Forge { prefix } => format!("{prefix} {}", row.name),
            Surface::Local => row.local?.replace("{task}", "T-1"),
        };
        Some(format!("{start} {}", row.arguments).trim_end().to_owned())
    };
    let line = |row: &Row| Some(format!("- `{}`: {}", usage(row)?, row.effect));
    if let Some(row) = about.map(Verb::row).filter(|row| row.available) {
        let examples: Vec<String> = row
            .examples
            .iter()
            .filter_map(|example| {
                let arguments = example.strip_prefix(row.name)?.trim_start();
                let bare = Row {
                    arguments: "",
                    ..*row
                };
                Some(format!(
                    "`{}`",
                    format!("{} {arguments}", usage(&bare)?).trim_end()
                ))
            })
            .collect();
        let Some(line) = line(row) else {
            return format!("`{}` cannot be typed here.", row.name);
        };
        return format!(
            "{line}\n  Needs {}. Works {}. Valid when {}.\n  Examples: {}",
            need_words(row.need),
            place_words(row.places),
            stage_words(row.stages),
            examples.join(", ")
        );
    }
    let lines: Vec<String> = valid.iter().filter_map(|verb| line(verb.row())).collect();
    match lines.is_empty() {
        true => "Nothing can be done here now.".to_owned(),
        false => format!("Valid here now:\n{}", lines.join("\n")),
    }
}

/// The table as a section of the README, in Markdown.
#[must_use]
pub fn reference() -> String {
    let rows = TABLE.iter().filter(|row| row.available).map(|row| {
        let usage = format!("{} {}", row.name, row.arguments);
        format!(
            "| `{}` | {} | {} | {} | {} |\n",
            usage.trim_end().replace('|', "\\|"),
            place_words(row.places),
            need_words(row.need),
            stage_words(row.stages),
            row.effect
        )
    });
    format!(
        "| Verb | Where | Needs | Valid when | Effect |\n|---|---|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

fn need_words(need: Need) -> &'static str {
    match need {
        Need::Read => "read",
        Need::Trigger => "`[trigger] allow`",
        Need::Approve => "`[trigger] allow` while proposed, else `[review] approve_min`",
        Need::Reject => "triage on the issue, write on the pull request",
        Need::Retry => "triage; `--budget` `[review] approve_min`",
        Need::Triage => "triage",
        Need::TriageOrRequester => "triage, or to have started the task",
        Need::Write => "write",
    }
}

fn place_words(places: &[Place]) -> &'static str {
    match places {
        [Place::Issue] => "on the issue",
        [Place::Pull] => "on the pull request",
        _ => "on both",
    }
}

fn stage_words(stages: &[StageWord]) -> String {
    match stages {
        stages if stages == ANY => "always".to_owned(),
        stages if stages == FINAL => "there is no task or it has ended".to_owned(),
        stages if stages == LIVE => "the task has not ended".to_owned(),
        stages => stages
            .iter()
            .map(|stage| stage.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    }
}
