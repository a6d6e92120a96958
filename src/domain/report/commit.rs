//! The message of a task's commit.

use std::fmt::Write as _;

use super::super::task::Task;
use super::super::text::title as bare;
use super::{chars, line};

/// The message of a task's commit. Made from what was accepted alone, never from
/// the agent's words, so that a repeated run makes the same commit.
#[must_use]
pub fn commit_message(task: &Task) -> String {
    let title = bare(&task.brief.title, 72);
    let mut text = if title.is_empty() {
        format!("Work on {}", task.id)
    } else {
        title
    };
    text.push('\n');
    let goal = wrap(&bare(&task.brief.goal, 1_000), 72);
    if !goal.is_empty() {
        let _ = write!(text, "\n{goal}\n");
    }
    let trailers = trailers(task);
    if !trailers.is_empty() {
        let _ = write!(text, "\n{}\n", trailers.join("\n"));
    }
    text
}

/// The trailers, as the settings want them. The requester's name stands only beside an address that the forge
/// shows: a guessed one would credit somebody else.
fn trailers(task: &Task) -> Vec<String> {
    let pull = &task.settings.pull;
    let identity = identity(task);
    let mut all = Vec::new();
    if pull.trailers {
        all.push(format!("Agent-Task: {}", task.id));
        all.extend(identity.iter().map(|who| format!("Co-authored-by: {who}")));
    }
    if pull.sign_off {
        all.extend(identity.iter().map(|who| format!("Signed-off-by: {who}")));
    }
    all
}

/// What the commit carries and what it lacks, for those who read the pull request.
pub(super) fn trailer_facts(task: &Task) -> Vec<String> {
    let pull = &task.settings.pull;
    let who = line(&task.requester, 60);
    let known = identity(task).is_some();
    let mut rows = Vec::new();
    if pull.trailers {
        rows.push(format!(
            "- commits carry the trailer `Agent-Task: {}`{} (`[pr] trailers`)",
            task.id,
            match known {
                true => format!(" and `Co-authored-by` of {who}"),
                false => String::new(),
            }
        ));
    }
    match (pull.sign_off, known) {
        (true, true) => rows.push(format!(
            "- commits carry `Signed-off-by` of {who}, who asked for the task (`[pr] sign_off`)"
        )),
        (true, false) => rows.push(format!(
            "- commits lack the `Signed-off-by` that `[pr] sign_off` wants: the forge shows no address of {who}"
        )),
        (false, _) => {}
    }
    rows
}

/// `dana <dana@example.test>`, where both are what they look like.
fn identity(task: &Task) -> Option<String> {
    let address = task.requester_address.as_deref()?;
    let plain = |c: char| c.is_ascii_graphic() && !"<>,;:\"()[]\\".contains(c);
    let (user, host) = address.split_once('@')?;
    let is_address = address.len() <= 200
        && address.chars().all(plain)
        && !user.is_empty()
        && host.contains('.')
        && !host.contains('@');
    let name = &task.requester;
    let is_name = (1..=100).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    (is_address && is_name).then(|| format!("{name} <{address}>"))
}

fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = chars(word);
        if used > 0 && used + 1 + length > width {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}
