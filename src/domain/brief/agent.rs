//! The brief as an agent is given it: Markdown on its standard input, the same as JSON in a file.

use serde_json::{Value, json};

use super::super::settings::Scope;
use super::super::text::{block, code};
use super::Brief;

/// The words around the brief; `{{name}}` stands for what [`render_for_agent`] fills in.
const PROMPT: &str = include_str!("../../../prompts/brief.md");

/// What an agent is told beside the brief.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentContext {
    /// The task as people write it: `T-42`.
    pub task: String,
    /// From 1.
    pub round: u32,
    /// Try within the round, from 1.
    pub attempt: u32,
    /// Name and command of every check that will judge the result.
    pub checks: Vec<(String, String)>,
    /// `[scope] allow`. The brief's own globs narrow it.
    pub scope_allow: Vec<String>,
    /// `[scope] deny`.
    pub scope_deny: Vec<String>,
    /// `[scope] protected`.
    pub scope_protected: Vec<String>,
    /// Path and text of instructions of the repository, at the base commit.
    pub instructions: Vec<(String, String)>,
    /// Checks that were red after the attempt before.
    pub failing: Vec<Failing>,
    /// Words of people since: answers, reviews, refused requests.
    pub notes: Vec<String>,
}

/// A check that was red after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Its name.
    pub check: String,
    /// How it ended: `exit 101`.
    pub ended: String,
    /// The last lines of its log.
    pub log_tail: String,
}

impl AgentContext {
    /// Takes over the globs of a repository.
    #[must_use]
    pub fn with_scope(mut self, scope: &Scope) -> Self {
        self.scope_allow.clone_from(&scope.allow);
        self.scope_deny.clone_from(&scope.deny);
        self.scope_protected.clone_from(&scope.protected);
        self
    }
}

/// The brief as Markdown for an agent's standard input. Words of people and of logs stand in fences.
#[must_use]
pub fn render_for_agent(brief: &Brief, extra: &AgentContext) -> String {
    fill(PROMPT, |name| value(name, brief, extra))
}

/// `template` with every `{{name}}` replaced by its value; a name without value stays as
/// written. Values are not searched again. A line that becomes empty goes, with the blank line after it.
fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut lines = template.lines().peekable();
    while let Some(line) = lines.next() {
        let mut filled = String::new();
        let mut rest = line;
        while let Some((before, from)) = rest.split_once("{{") {
            filled.push_str(before);
            let known = from
                .split_once("}}")
                .and_then(|(name, after)| Some((value(name)?, after)));
            match known {
                Some((value, after)) => {
                    filled.push_str(&value);
                    rest = after;
                }
                None => {
                    filled.push_str("{{");
                    rest = from;
                }
            }
        }
        filled.push_str(rest);
        if filled.is_empty() && !line.is_empty() {
            lines.next_if(|next| next.is_empty());
            continue;
        }
        out.push_str(filled.trim_end_matches('\n'));
        out.push('\n');
    }
    out
}

/// What stands for a placeholder; `None` for a name that is none.
fn value(name: &str, brief: &Brief, extra: &AgentContext) -> Option<String> {
    let globs = |globs: &[String]| {
        globs
            .iter()
            .map(|glob| code(glob))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let titled = |title: &str, text: String| {
        if text.is_empty() {
            text
        } else {
            format!("## {title}\n\n{text}")
        }
    };
    let quoted = |title: &str, text: Option<&String>| {
        titled(title, text.map(|text| block(text)).unwrap_or_default())
    };
    Some(match name {
        "task" => code(&extra.task),
        "round" => extra.round.to_string(),
        "attempt" => extra.attempt.to_string(),
        "title" => block(&brief.title),
        "goal" => block(&brief.goal),
        "criteria" => {
            let lines = brief
                .criteria
                .iter()
                .map(|criterion| format!("{}. {}\n", criterion.number, criterion.text));
            block(&lines.collect::<String>())
        }
        "non_goals" => quoted("Out of scope", brief.non_goals.as_ref()),
        "ask_first" => quoted("Stop and ask before", brief.ask_first.as_ref()),
        "plan_first" if brief.plan_first => {
            "The requester wants to see a plan before any change. Unless a note below \
            accepts one: change nothing, ask with the plan as the question, and exit with 20.\n"
                .to_owned()
        }
        "plan_first" => String::new(),
        "text" => block(&brief.text),
        "scope" => {
            let mut lines = vec![format!("- May be changed: {}", globs(&extra.scope_allow))];
            if !brief.scope.is_empty() {
                lines.push(format!(
                    "- Of that, for this task only: {}",
                    globs(&brief.scope)
                ));
            }
            if !extra.scope_deny.is_empty() {
                lines.push(format!("- Never: {}", globs(&extra.scope_deny)));
            }
            if !extra.scope_protected.is_empty() {
                lines.push(format!(
                    "- Only with a person's approval: {}",
                    globs(&extra.scope_protected)
                ));
            }
            lines.join("\n")
        }
        "checks" => {
            let lines = extra
                .checks
                .iter()
                .map(|(name, command)| format!("{name}: {command}\n"));
            block(&lines.collect::<String>())
        }
        "mattering" if brief.checks.is_empty() => String::new(),
        "mattering" => format!(
            "The requester says that these matter most: {}.\n",
            globs(&brief.checks)
        ),
        "failing" => {
            let parts = extra.failing.iter().map(|failing| {
                format!(
                    "Check {} ended with {}. The end of its log:\n\n{}",
                    code(&failing.check),
                    code(&failing.ended),
                    block(&failing.log_tail)
                )
            });
            titled(
                "What the attempt before left red",
                parts.collect::<Vec<_>>().join("\n"),
            )
        }
        "notes" => titled(
            "What people said since",
            extra
                .notes
                .iter()
                .map(|note| block(note))
                .collect::<Vec<_>>()
                .join("\n"),
        ),
        "instructions" => {
            let parts = extra
                .instructions
                .iter()
                .map(|(path, text)| format!("{}:\n\n{}", code(path), block(text)));
            titled(
                "Instructions of the repository",
                parts.collect::<Vec<_>>().join("\n"),
            )
        }
        _ => return None,
    })
}

/// The same as JSON, the content of `PRENTICE_BRIEF_JSON`.
///
/// `schema_version` 1; `task` (`"T-42"`), `round`, `attempt`; `title`, `goal`, `non_goals`
/// (or null), `criteria` (`number`, `text`, `named`), `ask_first` (or null), `plan_first`,
/// `text`, `digest`; `scope` (`brief`, `allow`, `deny`, `protected`: globs, a path has to match
/// one of `allow` and, unless empty, one of `brief`); `checks` (`name`, `command`),
/// `checks_that_matter` (names); `failing` (`check`, `ended`, `log_tail`); `notes`;
/// `instructions` (`path`, `text`). Hidden text and the reviewer are not there.
#[must_use]
pub fn to_json(brief: &Brief, extra: &AgentContext) -> Value {
    let pairs = |pairs: &[(String, String)], first: &str, second: &str| -> Vec<Value> {
        pairs
            .iter()
            .map(|(a, b)| json!({ first: a, second: b }))
            .collect()
    };
    let failing: Vec<Value> = extra
        .failing
        .iter()
        .map(|red| json!({ "check": red.check, "ended": red.ended, "log_tail": red.log_tail }))
        .collect();
    json!({
        "schema_version": 1,
        "task": extra.task,
        "round": extra.round,
        "attempt": extra.attempt,
        "title": brief.title,
        "goal": brief.goal,
        "non_goals": brief.non_goals,
        "criteria": brief.criteria,
        "ask_first": brief.ask_first,
        "plan_first": brief.plan_first,
        "text": brief.text,
        "digest": brief.digest,
        "scope": {
            "brief": brief.scope,
            "allow": extra.scope_allow,
            "deny": extra.scope_deny,
            "protected": extra.scope_protected,
        },
        "checks": pairs(&extra.checks, "name", "command"),
        "checks_that_matter": brief.checks,
        "failing": failing,
        "notes": extra.notes,
        "instructions": pairs(&extra.instructions, "path", "text"),
    })
}
