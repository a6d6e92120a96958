//! `prentice run` and `prentice demo`.

use std::io::Read as _;
use std::path::PathBuf;

use serde_json::json;

use super::Context;
use super::ending::{Ending, code_of};
use crate::app::{App, AppError, RunOrder, Said, agent_words, demo, is_address};
use crate::domain::report::{self, Voice};
use crate::domain::task::{About, AgentSpec, Stage, Task};
use crate::domain::text::harmless;

/// Largest issue text read.
const ISSUE_CAP: u64 = 4 << 20;

#[derive(clap::Args)]
pub(super) struct RunArgs {
    /// File with the issue, its address on a forge, or `-` for standard input
    issue: String,
    /// A path in the repository
    #[arg(long, default_value = ".", value_name = "PATH")]
    repo: PathBuf,
    /// Program that edits: runs in the sandbox, in the work tree, with the brief on standard input
    #[arg(long, value_name = "COMMAND")]
    agent_cmd: String,
    /// Check to run on base and result, in place of the repository's own; repeatable
    #[arg(long, value_name = "COMMAND", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    verify: Vec<String>,
    /// Folder for the report, in place of the data folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show the result on the forge of the issue too: its branch and a draft pull request with the evidence. The default
    /// branch there governs, and has to have the base. After a yes that is asked for, `tasks approve` publishes
    #[arg(long)]
    publish: bool,
}

#[derive(clap::Args)]
pub(super) struct DemoArgs {
    /// What the scripted agent does
    #[arg(long, default_value = "ok", value_parser = ["ok", "asks", "fails", "out-of-scope", "stalls"])]
    scenario: String,
    /// Empty folder for the demo's repository and report
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the script of the agent, and do nothing
    #[arg(long)]
    show_script: bool,
}

pub(super) async fn run(context: &Context, args: RunArgs) -> Result<Ending, AppError> {
    let words = agent_words(&args.agent_cmd)?;
    let is_address = is_address(&args.issue);
    if args.publish && !is_address {
        return Err(AppError::Usage(Said::new(
            "--publish shows a result on the forge of its issue, and this issue is on none",
            "name the issue by its address, or push the branch that a run leaves",
        )));
    }
    let read = (!is_address).then(|| read_issue(&args.issue)).transpose()?;
    let app = context.open().await?;
    let ending = work(context, &app, args, words, read).await;
    app.close().await;
    ending
}

async fn work(
    context: &Context,
    app: &App,
    args: RunArgs,
    words: Vec<String>,
    read: Option<(String, String)>,
) -> Result<Ending, AppError> {
    let (issue, source, at) = match read {
        Some((text, source)) => (text, source, None),
        None => {
            let at = app.issue_at(&args.issue, args.publish).await?;
            (at.text(), args.issue.clone(), Some(at))
        }
    };
    let out = args.out.as_deref().map(std::path::absolute).transpose();
    let order = RunOrder {
        issue,
        at,
        source,
        repository: args.repo,
        agent: AgentSpec::Command { argv: words },
        verify: args.verify,
        out: out.map_err(|why| AppError::Usage(Said::plain(why.to_string())))?,
        command: context.line.clone(),
    };
    let task = app.run(order, &context.say()).await?;
    published(app, &task).await
}

pub(super) async fn demo(context: &Context, args: DemoArgs) -> Result<Ending, AppError> {
    if args.show_script {
        return Ok(Ending::text(0, demo::script()));
    }
    context.say()(demo::BANNER);
    let app = context.open().await?;
    let line = context.line.clone();
    let done = app
        .demo(&args.scenario, args.out.as_deref(), line, &context.say())
        .await;
    let ending = done.map(|(task, folder)| {
        let mut ending = at_rest(&app, &task);
        ending.add_line("folder", &folder.display().to_string());
        ending
    });
    app.close().await;
    ending
}

/// As [`at_rest`], once its result is also where the run was asked to publish it.
pub(super) async fn published(app: &App, task: &Task) -> Result<Ending, AppError> {
    let page = app.publish(task).await?;
    let mut ending = at_rest(app, task);
    if let Some(page) = page {
        ending.add_line("pull", &page);
        ending = ending.with_field("pull", json!(page));
    }
    Ok(ending)
}

/// What is printed of a task that came to rest.
pub(super) fn at_rest(app: &App, task: &Task) -> Ending {
    let voice = Voice::local();
    let report_path = app.report_path(task);
    let lines = report::summary_lines(task, report_path.as_deref(), &voice);
    let text: Vec<String> = lines
        .iter()
        .map(|(label, text)| format!("{label:<9}{text}"))
        .collect();
    let log_path = |digest: &crate::domain::ident::Digest| app.log_path(digest);
    let object = report::result_json(task, report_path.as_deref(), &log_path, &voice);
    let mut text = text.join("\n");
    if let Stage::Asking {
        about: About::Brief,
        questions,
        ..
    } = &task.stage
    {
        // What is to be pasted and filled in, below the question's own line.
        let paste = questions.iter().filter_map(|q| q.text.split_once("\n\n"));
        for (_, paste) in paste {
            text.push_str("\n\n");
            text.push_str(harmless(paste.as_bytes()).trim_end());
        }
    }
    let code = match task.stage {
        Stage::Queued { .. } => app.interrupted().unwrap_or_else(|| code_of(task)),
        _ => code_of(task),
    };
    Ending::both(code, &text, object)
}

fn read_issue(from: &str) -> Result<(String, String), AppError> {
    if from == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin()
            .lock()
            .take(ISSUE_CAP + 1)
            .read_to_end(&mut bytes);
        read.map_err(|why| {
            AppError::NotFound(Said::plain(format!("standard input cannot be read: {why}")))
        })?;
        if bytes.len() as u64 > ISSUE_CAP {
            return Err(AppError::NeedsInfo(Said::new(
                format!("the issue is larger than {ISSUE_CAP} bytes"),
                "shorten it",
            )));
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            AppError::Usage(Said::new("the issue is not UTF-8", "save it as UTF-8"))
        })?;
        return Ok((text, "-".to_owned()));
    }
    crate::app::read_issue(std::path::Path::new(from))
}
