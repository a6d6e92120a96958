//! `prentice setup`.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::Context;
use super::ending::Ending;
use super::prompt::{Asker, first_line};
use crate::app::setup::{self, AppOrder, Made, SetUp, SetupOrder};
use crate::app::{AppError, Said, agent_words, read_credential};
use crate::config;
use crate::domain::report::SCHEMA_VERSION;

/// How often a forge is asked that cannot reach us.
const POLL_SECS: u64 = 60;

#[derive(clap::Args)]
pub(super) struct SetupArgs {
    /// Which program hosts the repositories; `gitea` is Forgejo too
    #[arg(long, value_parser = ["gitea", "github"])]
    forge: String,
    /// Where the forge is, as in a browser, without `/` at the end
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Repository to serve, `owner/name`; repeatable
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Vec<String>,
    /// Name of the forge in the server file
    #[arg(long, default_value = "main", value_name = "NAME")]
    name: String,
    /// Where the forge reaches this server; without it, the server asks the forge every minute
    #[arg(long, value_name = "URL")]
    reached_at: Option<String>,
    /// Address and port that this server listens on
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Program that edits; without it, the server is a referee only
    #[arg(long, value_name = "COMMAND")]
    agent_cmd: Option<String>,
    /// Label that asks for a task
    #[arg(long, default_value = "agent", value_name = "LABEL")]
    label: String,
    /// File with the token of an administrator of the repositories, `-` = a line of standard input; used once, kept
    /// nowhere. Gitea only
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// File with the token of the bot's own account, `-` = a line of standard input. Gitea only
    #[arg(long, value_name = "FILE")]
    bot_token_file: Option<PathBuf>,
    /// Organisation whose App it will be; without it, of the account that sends the form. GitHub only
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Port of the page on this machine that leads to GitHub, any unless named. GitHub only
    #[arg(long, value_name = "PORT")]
    page_port: Option<u16>,
    /// Make a new secret for webhooks, and the webhooks anew. Gitea only
    #[arg(long)]
    new_secret: bool,
    /// Never ask; what is missing is an error
    #[arg(long)]
    no_input: bool,
}

pub(super) async fn setup(context: &Context, args: SetupArgs) -> Result<Ending, AppError> {
    let (env, config) = (&context.env, context.config.as_deref());
    at_home(&args)?;
    let done = match args.forge.as_str() {
        "github" => setup::setup_app(env, config, app_order(args)?, &context.say()).await?,
        _ => setup::setup(env, config, order(context, args)?).await?,
    };
    Ok(Ending::both(0, &text(&done), object(&done)))
}

/// Whether every flag means something for this forge: one that was obeyed by nobody would be taken for done.
fn at_home(args: &SetupArgs) -> Result<(), AppError> {
    let given = [
        (
            "--admin-token-file",
            "gitea",
            args.admin_token_file.is_some(),
        ),
        ("--bot-token-file", "gitea", args.bot_token_file.is_some()),
        ("--new-secret", "gitea", args.new_secret),
        ("--org", "github", args.org.is_some()),
        ("--page-port", "github", args.page_port.is_some()),
    ];
    let stray: Vec<&str> = given
        .iter()
        .filter(|(_, forge, given)| *given && *forge != args.forge)
        .map(|(flag, ..)| *flag)
        .collect();
    if stray.is_empty() {
        return Ok(());
    }
    let instead = match args.forge.as_str() {
        "github" => "an App brings a key and a secret of its own, so leave it out",
        _ => "only an App of GitHub takes it, so leave it out",
    };
    Err(AppError::Usage(Said::new(
        format!(
            "{} cannot be used with --forge {}",
            stray.join(", "),
            args.forge
        ),
        instead,
    )))
}

/// Everything that is needed, asked for where it is missing and somebody is there.
fn order(context: &Context, args: SetupArgs) -> Result<SetupOrder, AppError> {
    let asker = Asker::new(args.no_input);
    let mut missing = Vec::new();
    let url = match args.url {
        Some(url) => url,
        None => asker.line("Where is the forge? (as in a browser)", || {
            missing.push("--url")
        })?,
    };
    let mut repos = args.repo;
    if repos.is_empty() {
        let line = asker.line(
            "Which repositories? (owner/name, separated by spaces)",
            || missing.push("--repo"),
        )?;
        repos = line.split_whitespace().map(str::to_owned).collect();
    }
    let admin = token(
        context,
        args.admin_token_file.as_deref(),
        "PRENTICE_SETUP_ADMIN_TOKEN",
    )?;
    let admin = match admin {
        Some(token) => token,
        None => asker.secret(
            "Token of an administrator of them (write:repository, write:issue, read:user; used once, not kept)",
            || missing.push("--admin-token-file"),
        )?,
    };
    let bot = token(
        context,
        args.bot_token_file.as_deref(),
        "PRENTICE_SETUP_BOT_TOKEN",
    )?;
    let bot = match bot {
        None if asker.is_there() => {
            let said = "Token of the bot's own account (write:repository, write:issue, read:user; empty = the stored one)";
            let given = asker.secret(said, || ())?;
            (!given.expose_secret().is_empty()).then_some(given)
        }
        bot => bot,
    };
    if !missing.is_empty() {
        return Err(AppError::Usage(Said::new(
            format!("{} missing", missing.join(", ")),
            "give them, or run this on a terminal without --no-input",
        )));
    }
    let url = url.trim_end_matches('/').to_owned();
    fit(Some(&url), args.reached_at.as_ref(), &repos)?;
    let poll_secs = match args.reached_at {
        Some(_) => 0,
        None => POLL_SECS,
    };
    let agent = args.agent_cmd.as_deref().map(agent_words).transpose()?;
    Ok(SetupOrder {
        forge: config::gitea_forge(&args.name, &url, &repos, poll_secs),
        reached_at: args.reached_at,
        listen: args.listen,
        agent: agent.unwrap_or_default(),
        label: args.label,
        admin,
        bot,
        new_secret: args.new_secret,
    })
}

/// What an App of GitHub takes; a person is asked by a page.
fn app_order(args: SetupArgs) -> Result<AppOrder, AppError> {
    if args.repo.is_empty() {
        return Err(AppError::Usage(Said::new("--repo missing", "give it")));
    }
    let url = args.url.map(|url| url.trim_end_matches('/').to_owned());
    fit(url.as_ref(), args.reached_at.as_ref(), &args.repo)?;
    // The public service is the one that is meant without an address.
    let url = url
        .filter(|url| url != "https://github.com")
        .unwrap_or_default();
    let base_url = match url.is_empty() || url.ends_with("/api/v3") {
        true => url,
        false => format!("{url}/api/v3"),
    };
    let poll_secs = match args.reached_at {
        Some(_) => 0,
        None => POLL_SECS,
    };
    let agent = args.agent_cmd.as_deref().map(agent_words).transpose()?;
    Ok(AppOrder {
        forge: config::github_forge((&args.name, &base_url), 0, &args.repo, poll_secs),
        org: args.org,
        reached_at: args.reached_at,
        listen: args.listen,
        agent: agent.unwrap_or_default(),
        label: args.label,
        page_port: args.page_port.unwrap_or(0),
    })
}

/// Whether addresses and names can be used.
fn fit(
    url: Option<&String>,
    reached_at: Option<&String>,
    repos: &[String],
) -> Result<(), AppError> {
    for (flag, address) in [("--url", url), ("--reached-at", reached_at)] {
        if let Some((what, hint)) = address.and_then(|text| config::address_fault(text)) {
            return Err(AppError::Usage(Said::new(format!("{flag} {what}"), hint)));
        }
    }
    match repos.iter().find(|repo| !config::is_repository(repo)) {
        Some(repo) => Err(AppError::Usage(Said::new(
            format!("`{repo}` is no repository"),
            "write `owner/name`",
        ))),
        None => Ok(()),
    }
}

/// A token from the file that is named, else from the variable or from the file that it names.
pub(super) fn token(
    context: &Context,
    file: Option<&Path>,
    variable: &str,
) -> Result<Option<SecretString>, AppError> {
    let of_file = format!("{variable}_FILE");
    let named = context.env.get(&of_file).map(PathBuf::from);
    let text = match (file, context.env.get(variable), named) {
        (Some(path), _, _) if path == Path::new("-") => SecretString::from(first_line()?),
        (Some(path), ..) => read_token(path)?,
        (None, Some(text), _) => SecretString::from(text.as_str()),
        (None, None, Some(path)) => read_token(&path)?,
        (None, None, None) => return Ok(None),
    };
    let text = text.expose_secret().trim();
    match text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Err(AppError::Auth(Said::new(
            "a token is empty, or holds more than a token",
            "put nothing but the token there",
        ))),
        false => Ok(Some(SecretString::from(text))),
    }
}

fn read_token(path: &Path) -> Result<SecretString, AppError> {
    let found = read_credential(path).map_err(|why| {
        AppError::NotFound(Said::new(
            format!("the token's file {} cannot be read: {why}", path.display()),
            "name one that can",
        ))
    })?;
    let text = std::str::from_utf8(found.content.expose_secret()).unwrap_or_default();
    Ok(SecretString::from(text))
}

const fn word(made: Made) -> &'static str {
    match made {
        Made::WasThere => "there",
        Made::Now => "made",
        Made::Anew => "anew",
    }
}

/// A line each, then what to type next.
fn text(done: &SetUp) -> String {
    let mut lines: Vec<String> = done
        .steps
        .iter()
        .map(|step| format!("{:<9}{}", word(step.made), step.what))
        .collect();
    lines.extend(done.left.iter().map(|left| format!("note     {left}")));
    let config = shell_word(&done.file.display().to_string());
    lines.push("next".to_owned());
    for (name, file) in &done.environment {
        let file = shell_word(&file.display().to_string());
        lines.push(format!("  export {name}={file}"));
    }
    lines.push(format!("  prentice doctor --config {config}"));
    lines.push(format!("  prentice serve --config {config}"));
    lines.join("\n")
}

/// As a shell takes it for one word.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.,:@%+=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn object(done: &SetUp) -> serde_json::Value {
    let steps: Vec<_> = done
        .steps
        .iter()
        .map(|step| json!({ "made": word(step.made), "what": step.what }))
        .collect();
    let environment: serde_json::Map<_, _> = done
        .environment
        .iter()
        .map(|(name, file)| (name.clone(), json!(file)))
        .collect();
    let config = done.file.display().to_string();
    json!({
        "schema_version": SCHEMA_VERSION, "steps": steps, "server_file": config, "environment": environment,
        "start": ["prentice", "--config", config, "serve"], "left": done.left,
    })
}
