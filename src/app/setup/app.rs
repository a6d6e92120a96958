//! `setup` for GitHub: an App made from a manifest by a person at a page of this machine.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;

use super::files::{beside, keep_secret, keep_text, random_secret};
use super::{SetUp, Step, left, place, told, wanted_text};
use crate::app::{AppError, Said};
use crate::config::{Env, ForgeSettings, Secret, file_variable};
use crate::forge::{self, Made, NewApp, PERMISSIONS};
use crate::web::{Wish, await_code};

/// The App's page until its owner says another.
const PAGE: &str = "https://github.com";

/// GitHub takes a code back for as long.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// What `setup` is asked to do for GitHub.
pub struct AppOrder {
    /// The forge as it is to stand in the server file; its App has no number yet.
    pub forge: ForgeSettings,
    /// The organisation whose App it will be; `None` = of whoever sends the form.
    pub org: Option<String>,
    /// Where GitHub reaches this server, without slash at the end; `None` = it is asked instead.
    pub reached_at: Option<String>,
    /// `[server] listen`, where it is to be another than the built-in one.
    pub listen: Option<String>,
    /// `[agents.default]`; empty = referee only.
    pub agent: Vec<String>,
    /// The label that asks for a task.
    pub label: String,
    /// Port of the page on the loopback; 0 = any.
    pub page_port: u16,
}

/// Makes a GitHub App with a person's help, and writes the server file.
///
/// # Errors
/// [`AppError`]; nothing is kept then, unless the App was made.
pub async fn setup_app(
    env: &Env,
    config: Option<&Path>,
    order: AppOrder,
    say: &(dyn Fn(&str) + Sync),
) -> Result<SetUp, AppError> {
    let file = place(env, config)?;
    let base_url = Some(order.forge.base_url.as_str()).filter(|url| !url.is_empty());
    let text = |app_id| {
        let forge = ForgeSettings {
            app_id,
            ..order.forge.clone()
        };
        wanted_text(&file, &forge, order.listen.as_deref(), &order.agent)
    };
    // Before anybody is asked: a forge of this name that is there has another App.
    text(u32::MAX)?;
    let listener = TcpListener::bind(("127.0.0.1", order.page_port)).await;
    let address = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = address.map_err(|why| {
        AppError::Host(Said::new(
            format!(
                "no page can be shown on 127.0.0.1:{}: {why}",
                order.page_port
            ),
            "name another port with --page-port",
        ))
    })?;
    let (token, state) = (random_secret()?, random_secret()?);
    let page = format!("http://{address}/{}", token.expose_secret());
    let hook = order
        .reached_at
        .as_ref()
        .map(|base| format!("{base}/hooks/{}", order.forge.name));
    let web = base_url.map_or(PAGE, |url| url.trim_end_matches("/api/v3"));
    let new = NewApp {
        name: &app_name(order.org.as_deref()),
        url: web,
        hook: hook.as_deref(),
        back: &format!("{page}/done"),
    };
    let made = forge::github_manifest(base_url, order.org.as_deref(), &new);
    let (manifest, action) = made.map_err(|why| told("GitHub", &why))?;
    let wish = Wish {
        token: token.expose_secret().to_owned(),
        state: state.expose_secret().to_owned(),
        action,
        manifest,
        permissions: PERMISSIONS.to_vec(),
        owner: match &order.org {
            Some(org) => format!("the organisation {org}"),
            None => "your account".to_owned(),
        },
    };
    say(&format!(
        "open this in a browser on this machine, within an hour: {page}"
    ));
    let code = await_code(listener, wish, PATIENCE).await.ok_or_else(|| {
        AppError::NotNow(Said::new(
            "nobody came back from GitHub within an hour",
            "run this again",
        ))
    })?;
    let app = forge::github_made_app(base_url, &code).await;
    let app = app.map_err(|why| told("GitHub", &why))?;
    let app_id = u32::try_from(app.id).map_err(|_| {
        AppError::Internal(Said::plain(format!(
            "the App's number {} is too large",
            app.id
        )))
    })?;

    let mut steps = vec![Step {
        made: Made::Now,
        what: format!("GitHub App {} ({})", app.slug, app.page),
    }];
    let mut environment = Vec::new();
    let secrets = [
        (Secret::PrivateKey, Some(&app.key)),
        (
            Secret::WebhookSecret,
            app.webhook_secret.as_ref().filter(|_| hook.is_some()),
        ),
    ];
    for (secret, value) in secrets {
        let Some(value) = value else { continue };
        let path = beside(&file, &order.forge, secret);
        steps.push(Step {
            made: keep_secret(&path, value)?,
            what: path.display().to_string(),
        });
        environment.push((file_variable(&order.forge, secret), path));
    }
    steps.push(Step {
        made: keep_text(&file, text(app_id)?.as_deref())?,
        what: file.display().to_string(),
    });
    let mut left = left(&order.agent);
    left.push(format!(
        "install the App on {} at {}/installations/new",
        order.forge.repos.join(", "),
        app.page
    ));
    // The App is installed nowhere yet, so nothing can be made in a repository by now.
    let pages = order.forge.repos.iter();
    let pages: Vec<String> = pages.map(|repo| format!("{web}/{repo}/labels")).collect();
    left.push(format!(
        "make the label `{}`, which asks for a task, at {}; the server makes those of stages (`agent:queued` and so on) when it first sets them",
        order.label,
        pages.join(", ")
    ));
    Ok(SetUp {
        steps,
        file,
        environment,
        left,
    })
}

/// A name that GitHub takes: of at most 34 characters, and likely nobody else's.
fn app_name(org: Option<&str>) -> String {
    let name = format!("prentice-{}", org.unwrap_or("bot"));
    name.chars().take(34).collect()
}
