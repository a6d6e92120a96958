//! `prentice tasks`: what they are, what they did, and what a person does to them.

use serde_json::json;

use super::Context;
use super::ending::Ending;
use super::run::{at_rest, published};
use crate::app::{App, AppError, Changed};
use crate::domain::event::Event;
use crate::domain::ident::TaskId;
use crate::domain::report::SCHEMA_VERSION;
use crate::domain::task::{Outstanding, Stage, Task};
use crate::domain::text;

#[derive(clap::Subcommand)]
pub(super) enum TasksCommand {
    /// All tasks, newest first
    List {
        /// Only tasks in this state
        #[arg(long, value_parser = ["proposed", "queued", "running", "needs-info", "needs-approval",
            "needs-review", "taken-over", "failed", "merged", "rejected", "stopped"])]
        state: Option<String>,
        /// Only tasks that are not final
        #[arg(long)]
        live: bool,
    },
    /// One task: where it stands, and everything that happened
    Show {
        /// The task, as T-1
        id: TaskId,
        /// Print a link to its page on the server instead; it opens for twelve hours, for whoever has it
        #[arg(long)]
        link: bool,
    },
    /// What commands and agent printed
    Logs {
        /// The task, as T-1
        id: TaskId,
    },
    /// Answer its questions
    Answer {
        /// The task, as T-1
        id: TaskId,
        /// `1: A; 2: …`, `defaults`, or plain words
        #[arg(allow_hyphen_values = true)]
        text: String,
        // A list of words that may begin with a dash would take the options behind it as well.
        #[arg(hide = true)]
        more: Vec<String>,
    },
    /// Accept exactly what is asked
    Approve {
        /// The task, as T-1
        id: TaskId,
        /// What: b1, r1, scope, deps, ci, round, or a digest
        target: Option<String>,
    },
    /// Turn it down; nothing of it is left but the record
    Reject {
        /// The task, as T-1
        id: TaskId,
        /// One request (scope, deps, round): the work goes on without it. Else the reason
        #[arg(allow_hyphen_values = true)]
        words: Option<String>,
        #[arg(hide = true)]
        more: Vec<String>,
    },
    /// Try again
    Retry {
        /// The task, as T-1
        id: TaskId,
        /// More time: 2x to 10x of each limit, or minutes for the whole run
        #[arg(long)]
        budget: Option<String>,
        /// Without the kept work
        #[arg(long)]
        fresh: bool,
    },
    /// Stop it; patch and logs are kept
    Stop {
        /// The task, as T-1
        id: TaskId,
    },
    /// Go on with what was interrupted, or is still to be published; without a task, with all of them
    Resume {
        /// The task, as T-1
        id: Option<TaskId>,
    },
}

pub(super) async fn tasks(context: &Context, command: TasksCommand) -> Result<Ending, AppError> {
    let app = context.open().await?;
    let ending = perform(context, &app, command).await;
    app.close().await;
    ending
}

async fn perform(context: &Context, app: &App, command: TasksCommand) -> Result<Ending, AppError> {
    let line = context.line.as_str();
    let typed = |verb: &str, text: &str| app.command(verb, text);
    match command {
        TasksCommand::List { state, live } => list(app, state.as_deref(), live).await,
        TasksCommand::Show { id, link: true } => link(app, id).await,
        TasksCommand::Show { id, link: false } => show(app, id).await,
        TasksCommand::Logs { id } => logs(app, id).await,
        TasksCommand::Answer { id, text, more } => {
            let text = joined(Some(text), more);
            act(app, id, typed("answer", &text)?, line).await
        }
        TasksCommand::Approve { id, target } => {
            act(
                app,
                id,
                typed("approve", &target.unwrap_or_default())?,
                line,
            )
            .await
        }
        TasksCommand::Reject { id, words, more } => {
            let words = joined(words, more);
            act(app, id, typed("reject", &words)?, line).await
        }
        TasksCommand::Retry { id, budget, fresh } => {
            let budget = budget.map(|budget| format!("--budget={budget}"));
            let fresh = fresh.then(|| "--fresh".to_owned());
            let words: Vec<String> = budget.into_iter().chain(fresh).collect();
            act(app, id, typed("retry", &words.join(" "))?, line).await
        }
        TasksCommand::Stop { id } => act(app, id, typed("stop", "")?, line).await,
        TasksCommand::Resume { id: Some(id) } => {
            let changed = app.resume(id, line).await?;
            changed_ending(app, &changed).await
        }
        TasksCommand::Resume { id: None } => resume_all(context, app).await,
    }
}

/// Words typed with or without quotes.
fn joined(first: Option<String>, more: Vec<String>) -> String {
    let words: Vec<String> = first.into_iter().chain(more).collect();
    words.join(" ")
}

/// Resumes whatever was interrupted. One that cannot go on does not keep the others; the worst exit code is the end's.
async fn resume_all(context: &Context, app: &App) -> Result<Ending, AppError> {
    let (mut last, mut trouble, mut worst) = (None, None, 0);
    for id in app.resumable(&context.line).await? {
        context.say()(&format!("resuming {id}"));
        let resumed = match app.resume(id, &context.line).await {
            Ok(changed) => changed_ending(app, &changed).await,
            Err(error) => Err(error),
        };
        match resumed {
            Ok(ending) => {
                worst = worst.max(ending.code());
                last = Some(ending);
            }
            Err(error @ AppError::Interrupted { .. }) => return Err(error),
            Err(error) => {
                context.screen.error(&format!("error: {id}: {error}"));
                let ending = Ending::told(&error);
                worst = worst.max(ending.code());
                trouble.get_or_insert(ending);
            }
        }
        if app.interrupted().is_some() {
            break;
        }
    }
    let ending = last.or(trouble).map(|ending| ending.with_code(worst));
    Ok(ending.unwrap_or_else(|| Ending::text(0, "nothing is interrupted")))
}

async fn act(app: &App, id: TaskId, event: Event, line: &str) -> Result<Ending, AppError> {
    let changed = app.act(id, event, line).await?;
    changed_ending(app, &changed).await
}

async fn changed_ending(app: &App, changed: &Changed) -> Result<Ending, AppError> {
    Ok(match changed {
        Changed::Here(task) => {
            let ending = published(app, task).await?;
            // A task that a person ended did what they asked.
            if task.is_final() {
                ending.with_code(0)
            } else {
                ending
            }
        }
        Changed::Elsewhere(task) => {
            let (id, word) = (task.id, task.word());
            let goes_on = match task.outstanding() {
                Some(Outstanding::CleanUp) => {
                    "the prentice at work on this machine removes what is left of it".to_owned()
                }
                Some(_) if matches!(task.stage, Stage::Running { .. }) => {
                    "another prentice on this machine is at work on it".to_owned()
                }
                // Whoever holds the data folder works only on its own tasks.
                Some(_) => format!(
                    "another prentice is at work on the data folder; once it is done, prentice tasks resume {id}"
                ),
                None if task.to_publish().is_some() => format!(
                    "prentice tasks resume {id} publishes it, once the prentice at work on the data folder is done"
                ),
                None => return Ok(at_rest(app, task).with_code(0)),
            };
            let text = format!("{id} is {word}; {goes_on}");
            let object =
                json!({ "schema_version": SCHEMA_VERSION, "task": id.to_string(), "stage": word });
            Ending::both(0, &text, object)
        }
    })
}

async fn list(app: &App, state: Option<&str>, live: bool) -> Result<Ending, AppError> {
    let mut tasks = app.tasks(live).await?;
    tasks.retain(|task| state.is_none_or(|state| task.word() == state));
    let row = |task: &Task| {
        let turn = match task.whose_turn() {
            _ if task.unpublished().is_some() => {
                format!("not published: prentice tasks resume {}", task.id)
            }
            Some(who) => format!("your turn: {who}"),
            None if app.is_interrupted(task) => {
                format!("interrupted: prentice tasks resume {}", task.id)
            }
            None => String::new(),
        };
        let title = text::harmless(text::clip(&task.brief.title, 60).as_bytes());
        format!(
            "{:<6} {:<14} {}  {:<60}  {turn}",
            task.id.to_string(),
            task.word(),
            task.since.date_clock(),
            title
        )
        .trim_end()
        .to_owned()
    };
    let rows: Vec<String> = tasks.iter().map(row).collect();
    let objects: Vec<serde_json::Value> = tasks
        .iter()
        .map(|task| {
            json!({
                "task": task.id.to_string(),
                "stage": task.word(),
                "title": task.brief.title,
                "repository": task.issue.repository,
                "source": task.issue.source,
                "branch": task.branch,
                "pull": task.published.as_ref().map(|there| &there.page),
                "since": task.since.rfc3339(),
            })
        })
        .collect();
    let text = if rows.is_empty() {
        "no tasks".to_owned()
    } else {
        rows.join("\n")
    };
    Ok(Ending::both(
        0,
        &text,
        json!({ "schema_version": SCHEMA_VERSION, "tasks": objects }),
    ))
}

async fn show(app: &App, id: TaskId) -> Result<Ending, AppError> {
    let task = app.show(id).await?;
    let journal = app.journal(id).await?;
    let now = match app.is_interrupted(&task) {
        // The page says what the task waits for; here nobody is left who would do it.
        true => format!(
            "{id} was interrupted: it is {}, and nobody is at work on it.\n\n\
             Your turn: prentice tasks resume {id}{}",
            task.word(),
            match task.is_final() {
                true => " (removes what is left of it)".to_owned(),
                false => format!(", or prentice tasks reject {id}"),
            }
        ),
        false => app.status(&task),
    };
    let mut lines = vec![now, String::new()];
    if let Some(to) = task.unpublished() {
        lines.push(format!(
            "Not published on {} yet: prentice tasks resume {id}\n",
            to.repository
        ));
    } else if let Some(there) = &task.published {
        lines.push(format!("Published: {}\n", there.page));
    }
    lines.push("Journal (UTC)".to_owned());
    lines.extend(
        journal
            .iter()
            .map(|(at, note)| format!("{}  {note}", at.rfc3339())),
    );
    let entries: Vec<serde_json::Value> = journal
        .iter()
        .map(|(at, note)| json!({ "at": at.rfc3339(), "note": note }))
        .collect();
    let object = at_rest(app, &task)
        .with_field("journal", json!(entries))
        .with_code(0);
    Ok(object.with_text(&lines.join("\n")))
}

async fn link(app: &App, id: TaskId) -> Result<Ending, AppError> {
    let link = app.link(id).await?;
    let task = app.show(id).await?;
    let object = at_rest(app, &task).with_field("link", json!(link));
    Ok(object.with_code(0).with_text(&link))
}

async fn logs(app: &App, id: TaskId) -> Result<Ending, AppError> {
    let logs = app.logs(id).await?;
    let mut text = String::new();
    let mut objects = Vec::new();
    for (name, digest, bytes) in &logs {
        text.push_str(&format!(
            "--- {name} {} ({})\n",
            digest.short(),
            text::size(bytes.len() as u64)
        ));
        // Only lines that are not indented are ours: what was printed cannot look like one.
        for line in text::harmless(bytes).trim_end().lines() {
            text.push_str(&format!("  | {line}\n"));
        }
        objects.push(json!({ "from": name, "sha256": digest, "path": app.log_path(digest) }));
    }
    if logs.is_empty() {
        text.push_str("nothing was printed yet");
    }
    Ok(Ending::both(
        0,
        &text,
        json!({ "schema_version": SCHEMA_VERSION, "logs": objects }),
    ))
}
