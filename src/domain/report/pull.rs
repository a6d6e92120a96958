//! The pull request: title and body.

use super::super::evidence::{CheckEvidence, Met, judge_criteria};
use super::super::gates::{Gate, Outcome, outcome};
use super::super::settings::{FixOn, GatePolicy};
use super::super::task::{AgentSpec, ByHand, Revision, RunResult, Task};
use super::super::text::{block, duration, title as bare};
use super::commit::trailer_facts;
use super::review::{Theirs, theirs};
use super::status::{hidden_line, left_out_line, warning_rows};
use super::template::before;
use super::turn::is_draft;
use super::verdict::repository_file;
use super::{
    Page, Voice, chars, checks_origin, count, dependencies, exits, finding_line, last_lines, line,
    rounds, short_path, size, span, telling, verdict_cell,
};

/// Most characters of a pull request's body; forges take 65,536.
pub const PULL_MAX: usize = 60_000;

/// The title: the brief's own, with the issue it belongs to. Plain text that references nothing else.
#[must_use]
pub fn pull_title(task: &Task) -> String {
    let title = bare(&task.brief.title, 100);
    let title = if title.is_empty() {
        "Untitled task".to_owned()
    } else {
        title
    };
    if task.issue.forge == "local" {
        format!("{title} ({})", task.id)
    } else {
        format!("{title} (#{})", task.issue.number)
    }
}

/// The body, at most [`PULL_MAX`] characters. Empty while there is no result.
#[must_use]
pub fn pull_body(task: &Task, voice: &Voice) -> String {
    pull_body_after("", task, voice)
}

/// The same after the repository's own template ([`super::pull_template`]).
#[must_use]
pub fn pull_body_after(template: &str, task: &Task, voice: &Voice) -> String {
    let Some(revision) = &task.revision else {
        return String::new();
    };
    let result = &revision.result;
    let template = before(template);
    let end = decide(task, voice);
    let room = PULL_MAX.saturating_sub(super::chars(&end) + super::chars(&template));
    let mut page = Page::of(room);
    page.add(&head(task, revision, voice));
    page.add(&belongs(task, voice));
    match theirs(task) {
        None => {}
        Some(ref theirs @ Theirs::Unknown { head, .. }) => page.add(&format!(
            "**The head of the branch is `{}`, a commit that is not mine; {}.** All below is old: it is of my own `{}`.",
            head.short(),
            theirs.told(),
            result.head.short()
        )),
        Some(ref theirs @ Theirs::Judged) => page.add(&format!(
            "**The head of the branch is `{}`, a commit that is not mine; {}.** Criteria, checks and scope below are of that commit; what the agent says is of its own.",
            result.head.short(),
            theirs.told()
        )),
    }
    if let AgentSpec::Scripted { .. } = task.agent {
        page.add(
            "The agent in this run is a script shipped with prentice. No model was used. Git, sandbox, commands and exit codes are real.",
        );
    }
    summary(&mut page, result);
    criteria(&mut page, task, result);
    verification(&mut page, task, result);
    scope(&mut page, task, revision);
    by_hand(&mut page, result);
    risks(&mut page, result);
    facts(&mut page, task, result);
    template + &page.end("; the record of the task has all of it") + &end
}

/// The one reference to the issue that a forge acts on; only we write one, and only where the repository wants it.
fn belongs(task: &Task, voice: &Voice) -> String {
    let number = task.issue.number;
    match (voice.is_local(), task.settings.pull.closes_issue) {
        (true, _) => String::new(),
        (false, true) => format!("Closes #{number}."),
        (false, false) => {
            format!(
                "Belongs to #{number}, which stays open when this is merged (`[pr] closes_issue`)."
            )
        }
    }
}

fn head(task: &Task, revision: &Revision, voice: &Voice) -> String {
    let of = if voice.is_local() {
        format!("for {}", span(&task.issue.source, 200))
    } else {
        format!("for #{}", task.issue.number)
    };
    let page = voice
        .page(task.id)
        .map_or(String::new(), |page| format!(" · [task page]({page})"));
    format!(
        "> **Draft by an agent, {of}, asked for by {}.** Task {} · revision r{} · round {} of {} · **Your turn: {} (review)**{page}",
        line(&task.requester, 60),
        task.id,
        revision.number,
        task.round.max(1),
        rounds(task),
        line(
            task.brief.reviewer.as_deref().unwrap_or(&task.requester),
            60
        ),
    )
}

fn summary(page: &mut Page, result: &RunResult) {
    let lines: Vec<String> = result
        .claims
        .summary
        .lines()
        .filter(|words| !words.trim().is_empty())
        .map(|words| format!("> {}", line(words, 400)))
        .collect();
    page.add("### Summary");
    if lines.is_empty() {
        page.add("The agent wrote none.");
        return;
    }
    page.add("Written by the agent; its claim, not checked:");
    let more = lines.len().saturating_sub(6);
    let shown: Vec<String> = lines.into_iter().take(6).collect();
    page.add(&shown.join("\n>\n"));
    if more > 0 {
        page.add(&format!("{} of it left out.", count(more, "line", "lines")));
    }
}

fn criteria(page: &mut Page, task: &Task, result: &RunResult) {
    let judged = judge_criteria(&task.brief, &task.settings.checks, &result.evidence);
    let rows: Vec<String> = task
        .brief
        .criteria
        .iter()
        .zip(&judged)
        .map(|(criterion, verdict)| {
            let met = match verdict.met {
                Met::Yes => "yes",
                Met::ForReviewer => "**for the reviewer**",
            };
            format!(
                "| {} | {} | {met} | {} |",
                criterion.number,
                line(&criterion.text, 300),
                verdict.evidence
            )
        })
        .collect();
    let head = format!(
        "### Brief and how each criterion is met\n\n| # | Criterion (as taken {} UTC, brief `{}`) | Met | Evidence |\n|---|---|---|---|\n",
        task.accepted_at.date_clock(),
        task.brief.digest.short()
    );
    page.rows(&head, &rows, 30_000, "criteria");
    if let Some(non_goals) = &task.brief.non_goals {
        page.add(&format!("Not to be done: {}", line(non_goals, 600)));
    }
    if !task.brief.checks.is_empty() {
        page.add(&format!(
            "The brief says these matter most (told here, not executed): {}",
            line(&task.brief.checks.join(", "), 400)
        ));
    }
    if let Some(ask) = &task.brief.ask_first {
        page.add(&format!("To be asked before: {}", line(ask, 600)));
    }
    if let Some(hidden) = hidden_line(task, 20) {
        page.add(&hidden);
    }
    if let Some(left_out) = left_out_line(task) {
        page.add(&left_out);
    }
    page.rows("", &warning_rows(task), 25_000, "warnings");
}

fn verification(page: &mut Page, task: &Task, result: &RunResult) {
    let head = format!(
        "### Verification (run by the bot in a clean checkout of `{}`, not by the agent)\n\n| Check | Command | Base | Here | Time | Required | |\n|---|---|---|---|---|---|---|\n",
        result.head.short()
    );
    let rows: Vec<String> = result.evidence.iter().map(check_row).collect();
    if rows.is_empty() {
        page.add("### Verification");
        page.add(match outcome(&result.findings) {
            Outcome::Refuse => "No check ran, since a gate refuses.",
            Outcome::Ask | Outcome::Pass => "No check ran.",
        });
    }
    page.rows(&head, &rows, 15_000, "checks");
    if let Some(origin) = checks_origin(task) {
        page.add(&origin);
    }
    page.add(&format!(
        "Base is `{}`. Red on base and green here means that the change did it.",
        result.base.short()
    ));
    let logs = result
        .evidence
        .iter()
        .filter_map(|check| Some((check, telling(&check.head).or(telling(&check.base))?)));
    for (check, seen) in logs {
        let cut = match seen.log.left_out {
            0 => String::new(),
            bytes => format!(", {bytes} bytes left out"),
        };
        let summary = format!(
            "{}: last lines, sha256 of the log {} ({} bytes{cut})",
            html_name(&check.name),
            seen.log.sha256,
            seen.log.bytes
        );
        // Room is left for scope, risks and facts, which matter more than the last tail.
        if page.left < 12_000 {
            page.cut = true;
            break;
        }
        if seen.tail.trim().is_empty() {
            page.add(&format!("{summary}; it printed nothing."));
        } else {
            page.fold(&summary, &last_lines(&seen.tail, 20), 4_500);
        }
    }
}

pub(super) fn check_row(check: &CheckEvidence) -> String {
    let time = telling(&check.head).map_or("–".to_owned(), |seen| duration(seen.duration_ms));
    format!(
        "| {} | {} | {} | {} | {time} | {} | {} |",
        span(&check.name, 60),
        span(&check.command, 300),
        exits(&check.base),
        exits(&check.head),
        if check.required { "yes" } else { "no" },
        verdict_cell(check)
    )
}

fn scope(page: &mut Page, task: &Task, revision: &Revision) {
    let result = &revision.result;
    page.add("### Scope");
    let declared = if task.brief.scope.is_empty() {
        &task.settings.scope.allow
    } else {
        &task.brief.scope
    };
    let globs: Vec<String> = declared
        .iter()
        .take(20)
        .map(|glob| span(glob, 100))
        .collect();
    let more = match declared.len() - globs.len() {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    page.add(&format!(
        "Declared {}{more} · touched {} · {} · {}",
        globs.join(", "),
        size(result),
        dependencies(task, result),
        tests(task, result)
    ));
    let rows: Vec<String> = result
        .files
        .iter()
        .map(|file| {
            format!(
                "- {} +{} −{}",
                short_path(&file.path),
                file.added,
                file.removed
            )
        })
        .collect();
    page.rows("", &rows, 7_000, "files");
    let findings: Vec<String> = result
        .findings
        .iter()
        .map(|finding| {
            let granted = revision.granted.contains(&finding.cause());
            let how = match finding.outcome {
                Outcome::Pass => "noted",
                Outcome::Ask if granted => "approved",
                Outcome::Ask if revision.theirs => "for the reviewer",
                Outcome::Ask => "waits for a yes",
                Outcome::Refuse => "refused",
            };
            format!("- {how}: {}", finding_line(finding))
        })
        .collect();
    if findings.is_empty() {
        page.add("The gates found nothing.");
    }
    page.rows("What the gates found:\n\n", &findings, 5_000, "findings");
    repository_file(page, result);
    let approvals: Vec<String> = task
        .approvals
        .iter()
        .map(|approval| {
            format!(
                "- {} approved {} (`{}`) at {} UTC",
                line(&approval.by, 60),
                line(&approval.target, 40),
                approval
                    .bound_to
                    .chars()
                    .filter(char::is_ascii_hexdigit)
                    .take(7)
                    .collect::<String>(),
                approval.at.date_clock()
            )
        })
        .collect();
    page.rows("Approvals:\n\n", &approvals, 4_500, "approvals");
    let droppings: Vec<String> = result
        .droppings
        .iter()
        .map(|at| format!("- {}", short_path(at)))
        .collect();
    page.rows(
        "Left out, since tools drop them and nothing of them is tracked:\n\n",
        &droppings,
        4_000,
        "paths",
    );
    let policy = match &task.settings.file {
        Some(file) => {
            // What is published from one machine is governed by the default branch, whatever it started from.
            let published = task.issue.publish.as_ref();
            let rules = published.map_or(&task.base, |to| &to.rules);
            format!("Policy: {} at `{}`", span(file, 150), rules.short())
        }
        None => "Policy: built-in values; the repository has no file of its own".to_owned(),
    };
    page.add(&policy);
}

/// What a person may apply. A patch that is not all of it is still one that applies.
fn by_hand(page: &mut Page, result: &RunResult) {
    let Some(by_hand) = &result.by_hand else {
        return;
    };
    page.add(&format!(
        "### To be applied by hand\n\nThe agent also changed {}, which I may not publish. That is **no part of this pull request**: no gate judged it and no check ran on it. If it is right, apply the patch (`git apply`) with an account that may change workflows.",
        count(by_hand.files.len() + by_hand.files_left_out, "workflow file", "workflow files")
    ));
    left_by_hand(page, by_hand, 9_000, 6_000);
}

/// Files and patch; `leave` characters are kept for what follows. Gives whether the patch is shown: in part it would
/// not apply.
pub(super) fn left_by_hand(page: &mut Page, by_hand: &ByHand, files: usize, leave: usize) -> bool {
    let paths: Vec<String> = by_hand
        .files
        .iter()
        .map(|path| format!("- {}", short_path(path)))
        .collect();
    page.rows("", &paths, files, "files");
    let patch = block(&by_hand.patch);
    let room = page.left.saturating_sub(leave);
    if by_hand.patch.trim().is_empty() || chars(&patch) > room {
        page.add("The patch is too long to be shown.");
        page.cut = true;
        return false;
    }
    page.add(&format!(
        "<details><summary>The patch</summary>\n\n{}\n\n</details>",
        patch.trim_end()
    ));
    if !by_hand.whole {
        page.add("The patch is not all of it: files were left out for length, or what looks like a secret or is no text was taken out.");
    }
    true
}

fn tests(task: &Task, result: &RunResult) -> &'static str {
    let weakened = result
        .findings
        .iter()
        .any(|finding| finding.gate == Gate::Tests);
    match (weakened, task.settings.scope.tests_removed) {
        (true, _) => "**tests removed or weakened**",
        (false, GatePolicy::Allow) => "tests not judged",
        (false, GatePolicy::Approve | GatePolicy::Block) => "no tests removed or weakened",
    }
}

fn risks(page: &mut Page, result: &RunResult) {
    let notes: Vec<String> = result
        .claims
        .notes
        .iter()
        .map(|note| format!("- {}", line(note, 400)))
        .collect();
    page.add("### Risks and what was not done");
    if notes.is_empty() {
        page.add("The agent named none.");
    } else {
        page.rows("The agent says (its claim):\n\n", &notes, 2_500, "notes");
    }
}

fn facts(page: &mut Page, task: &Task, result: &RunResult) {
    let facts = &result.facts;
    let agent = match &task.agent {
        AgentSpec::Scripted { .. } => {
            "agent scripted-demo: a script shipped with prentice, no model was used".to_owned()
        }
        AgentSpec::Command { .. } => format!("agent command {}", line(&task.agent.name(), 80)),
    };
    let mut rows = vec![
        format!("- {agent}"),
        format!(
            "- {}, {} of agent time",
            count(facts.attempts as usize, "try", "tries"),
            duration(facts.agent_ms)
        ),
        format!(
            "- workspace {} in {}, sandbox {}, limits by {}",
            line(&facts.workspace, 40),
            duration(facts.prepare_ms),
            line(&facts.launcher, 40),
            line(&facts.limits_tier, 40)
        ),
        format!("- base `{}`, result `{}`", result.base, result.head),
    ];
    rows.extend(trailer_facts(task));
    rows.extend(
        facts
            .told
            .iter()
            .map(|told| format!("- {}", line(told, 300))),
    );
    page.rows("### Run facts\n\n", &rows, 0, "facts");
}

fn decide(task: &Task, voice: &Voice) -> String {
    let how = if voice.is_local() {
        format!(
            "Merge the branch {} as usual · {} removes branch and files, and nothing else needs cleaning",
            span(&task.branch, 150),
            voice.say("reject", "", task.id)
        )
    } else {
        let ask = match task.settings.review.fix_on {
            FixOn::ChangesRequested => "a review".to_owned(),
            FixOn::Command => voice.say("fix", "…", task.id),
        };
        format!(
            "Approve and merge as usual · ask for changes with {ask} · **close this to reject; the branch is deleted and nothing else needs cleaning** · {}{}",
            voice.say("help", "", task.id),
            draft(task, voice)
        )
    };
    format!("### Decide\n\n{how}\n")
}

/// Why it is a draft, where it is one.
fn draft(task: &Task, voice: &Voice) -> String {
    match is_draft(task) {
        false => String::new(),
        true => format!(
            "\n\nWhere this forge has drafts, this is one until someone who may approve does, by an approving review or by {}. A person's click on “ready” stands.",
            voice.say("approve", "", task.id)
        ),
    }
}

/// A name inside HTML, where Markdown escapes would be shown.
fn html_name(name: &str) -> String {
    let quiet = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    name.chars().filter(quiet).take(40).collect()
}
