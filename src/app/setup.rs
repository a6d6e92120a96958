//! `setup`: a forge made ready by an administrator once, and a server file that serves it.

mod app;
mod files;

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use self::files::{beside, keep_secret, keep_text, stored_secret};
use super::{AppError, Said};
use crate::config::{
    self, Added, Env, ForgeSettings, NewForge, NotAdded, Secret, add_forge, file_variable,
};
use crate::domain::command::StageWord;
use crate::domain::policy::Right;
use crate::forge::{self, Examine, Prepare, Service};

pub use self::app::{AppOrder, setup_app};
pub use crate::forge::Made;

/// What `setup` is asked to do for a Gitea or Forgejo.
pub struct SetupOrder {
    /// The forge as it is to stand in the server file; its repositories are named whole.
    pub forge: ForgeSettings,
    /// Where the forge reaches this server, without slash at the end; `None` = it is asked instead.
    pub reached_at: Option<String>,
    /// `[server] listen`, where it is to be another than the built-in one.
    pub listen: Option<String>,
    /// `[agents.default]`; empty = referee only.
    pub agent: Vec<String>,
    /// The label that asks for a task.
    pub label: String,
    /// An administrator's token: used here and kept nowhere.
    pub admin: SecretString,
    /// The token of the bot's own account; `None` = the one that is stored.
    pub bot: Option<SecretString>,
    /// Make a new secret for webhooks even where one is stored.
    pub new_secret: bool,
}

/// One thing that is as it should be now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it took.
    pub made: Made,
    /// What it is.
    pub what: String,
}

/// What `setup` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUp {
    /// In order.
    pub steps: Vec<Step>,
    /// The server file.
    pub file: PathBuf,
    /// Variables that the server is started with, and the files that they name.
    pub environment: Vec<(String, PathBuf)>,
    /// What is still for a person to do.
    pub left: Vec<String>,
}

/// Makes repositories of a Gitea or Forgejo ready, and writes the server file.
///
/// Nothing is written before both tokens were looked at. What is there already is left; done twice, it is done once.
///
/// # Errors
/// [`AppError`]; run again when mended, it goes on where it stopped.
pub async fn setup(env: &Env, config: Option<&Path>, order: SetupOrder) -> Result<SetUp, AppError> {
    let file = place(env, config)?;
    // Before anything is asked of the forge: a file that says otherwise is a person's to change.
    let text = wanted_text(&file, &order.forge, order.listen.as_deref(), &order.agent)?;
    let token_file = beside(&file, &order.forge, Secret::Token);
    let bot = match &order.bot {
        Some(token) => token.clone(),
        None => stored_secret(&token_file)?.ok_or_else(|| {
            AppError::Auth(Said::new(
                "the token of the bot's own account is missing",
                "give it with --bot-token-file",
            ))
        })?,
    };
    let url = &order.forge.base_url;
    let of_forge = |why: forge::Error| told(url, &why);
    let admin = forge::prepare_gitea(url, order.admin.clone()).map_err(of_forge)?;
    let service = forge::gitea(&order.forge.name, url, bot.clone()).map_err(of_forge)?;
    let examine = forge::examine_gitea(url, bot.clone()).map_err(of_forge)?;

    let mut steps = Vec::new();
    let login = accounts(&order, admin.as_ref(), examine.as_ref()).await?;
    for repo in &order.forge.repos {
        let repository = admin.repository(repo).await.map_err(|why| match why {
            forge::Error::Gone { .. } => AppError::NotFound(Said::new(
                format!("{url} has no repository {repo} that the administrator may see"),
                "compare its name",
            )),
            other => told(url, &other),
        })?;
        if repository.ours != Some(Right::Admin) {
            return Err(AppError::Auth(Said::new(
                format!(
                    "the administrator's token is of an account that does not administer {repo}"
                ),
                "use one of the repository's owner or administrators",
            )));
        }
        let made = admin.ensure_writer(&repository, &login).await;
        steps.push(Step {
            made: made.map_err(of_forge)?,
            what: format!("{login} is a collaborator of {repo} who may write"),
        });
        allowed(&order, service.as_ref(), examine.as_ref(), repo).await?;
    }
    let secret_file = beside(&file, &order.forge, Secret::WebhookSecret);
    let mut environment = vec![(
        file_variable(&order.forge, Secret::Token),
        token_file.clone(),
    )];
    let hook = match &order.reached_at {
        None => None,
        Some(base) => {
            let stored = match order.new_secret {
                true => None,
                false => stored_secret(&secret_file)?,
            };
            let known = stored.is_some();
            let secret = match stored {
                Some(secret) => secret,
                None => files::random_secret()?,
            };
            environment.push((
                file_variable(&order.forge, Secret::WebhookSecret),
                secret_file.clone(),
            ));
            // Before the webhook has it: one that nobody knows any more could not be told from a wrong one.
            steps.push(Step {
                made: keep_secret(&secret_file, &secret)?,
                what: secret_file.display().to_string(),
            });
            Some((format!("{base}/hooks/{}", order.forge.name), secret, known))
        }
    };
    for repo in &order.forge.repos {
        let repository = admin.repository(repo).await.map_err(of_forge)?;
        let labels = labels(&order.label);
        let made = admin.ensure_labels(&repository, &labels).await;
        steps.push(told_labels(repo, &labels, &made.map_err(of_forge)?));
        if let Some((url, secret, known)) = &hook {
            let made = admin.ensure_hook(&repository, url, secret, *known).await;
            steps.push(Step {
                made: made.map_err(of_forge)?,
                what: format!("webhook of {repo} to {url}"),
            });
        }
    }
    let files = [
        (keep_secret(&token_file, &bot)?, &token_file),
        (keep_text(&file, text.as_deref())?, &file),
    ];
    for (made, file) in files {
        steps.push(Step {
            made,
            what: file.display().to_string(),
        });
    }
    Ok(SetUp {
        steps,
        file,
        environment,
        left: left(&order.agent),
    })
}

/// Where the server file is, from `/`.
fn place(env: &Env, config: Option<&Path>) -> Result<PathBuf, AppError> {
    let file = config::server_file(config, env).ok_or_else(|| {
        AppError::Usage(Said::new(
            "no place for the server file is known",
            "name one with --config",
        ))
    })?;
    std::path::absolute(&file).map_err(|why| files::host(&file, &why))
}

/// The text of the server file that is to be written; `None` where it says it all.
fn wanted_text(
    file: &Path,
    forge: &ForgeSettings,
    listen: Option<&str>,
    agent: &[String],
) -> Result<Option<String>, AppError> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => Some(bytes),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
        Err(why) => return Err(files::host(file, &why)),
    };
    let new = NewForge {
        forge,
        listen,
        agent,
    };
    let shown = file.display().to_string();
    match add_forge((&shown, bytes.as_deref()), &new) {
        Ok(Added::WasThere) => Ok(None),
        Ok(Added::Text(text)) => Ok(Some(text)),
        Err(NotAdded::Mistakes(found)) => Err(AppError::Config(found)),
        Err(NotAdded::Differs { what, hint }) => Err(AppError::Usage(Said::new(what, hint))),
    }
}

/// The name of the bot's account, which is another than the administrator's.
async fn accounts(
    order: &SetupOrder,
    admin: &dyn Prepare,
    examine: &dyn Examine,
) -> Result<String, AppError> {
    let url = &order.forge.base_url;
    let of = |whose: &str, why: &forge::Error| match told(url, why) {
        AppError::Auth(said) => AppError::Auth(Said::new(
            format!("{whose} token: {}", said.what),
            said.hint,
        )),
        other => other,
    };
    let person = admin.whoami().await;
    let person = person.map_err(|why| of("the administrator's", &why))?;
    let about = examine.about().await.map_err(|why| of("the bot's", &why))?;
    if person.id == about.account.id {
        return Err(AppError::Auth(Said::new(
            format!("both tokens are of {}", person.login),
            "make an account of its own for the bot: what our account does is never taken for a person's",
        )));
    }
    Ok(about.account.login)
}

/// Whether the bot's token is enough for the repository.
async fn allowed(
    order: &SetupOrder,
    service: &dyn Service,
    examine: &dyn Examine,
    repo: &str,
) -> Result<(), AppError> {
    let url = &order.forge.base_url;
    let grants = examine.grants(repo).await.map_err(|why| told(url, &why))?;
    let missing: Vec<_> = grants
        .iter()
        .filter(|one| one.held == Some(false))
        .collect();
    if let Some(first) = missing.first() {
        let names: Vec<&str> = missing.iter().map(|one| one.name.as_str()).collect();
        return Err(AppError::Auth(Said::new(
            format!("the bot's token lacks {}", names.join(", ")),
            format!("make one with them at {}, then run this again", first.place),
        )));
    }
    let repository = service.repository(repo).await;
    let repository = repository.map_err(|why| told(url, &why))?;
    match repository.ours >= Some(Right::Write) {
        true => Ok(()),
        false => Err(AppError::Auth(Said::new(
            format!("the bot's account may not write to {repo}"),
            "look at the repository's Settings, Collaborators",
        ))),
    }
}

/// The labels that a served repository has: the one that asks, and one for each stage that people see.
fn labels(trigger: &str) -> Vec<(String, &'static str)> {
    let asks = (trigger.to_owned(), "Asks the agent to work on this issue.");
    let stages = StageWord::SHOWN.iter().map(|stage| {
        let label = format!("agent:{}", stage.as_str());
        (label, "Where the agent's task stands; set by the bot.")
    });
    [asks].into_iter().chain(stages).collect()
}

fn told_labels(repo: &str, all: &[(String, &'static str)], made: &[String]) -> Step {
    let (made, named) = match made {
        [] => (Made::WasThere, all.len()),
        some => (Made::Now, some.len()),
    };
    let trigger = all.first().map_or("", |(label, _)| label.as_str());
    let what = match made {
        Made::WasThere => format!("all {named} labels of {repo}, `{trigger}` and those of stages"),
        _ => format!("{named} labels of {repo}, of `{trigger}` and those of stages"),
    };
    Step { made, what }
}

/// What only a person can do.
fn left(agent: &[String]) -> Vec<String> {
    let mut left = Vec::new();
    if agent.is_empty() {
        left.push(
            "no agent is named, so this server is a referee only; --agent-cmd names one".to_owned(),
        );
    }
    left
}

/// What a forge answered, by what can be done.
fn told(url: &str, why: &forge::Error) -> AppError {
    AppError::of_forge(why, &format!("{url}: {why}"))
}
