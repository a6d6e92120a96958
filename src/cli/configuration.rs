//! `prentice config`: check, show, schema.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use super::ending::Ending;
use crate::app::{AppError, Said};
use crate::config;
use crate::domain::report::SCHEMA_VERSION;

#[derive(clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Every mistake of the repository's file at HEAD (or of a file), and of the server file
    Check {
        /// A path in the repository
        #[arg(long, default_value = ".", value_name = "PATH")]
        repo: PathBuf,
        /// A file to check in place of the committed one
        file: Option<PathBuf>,
    },
    /// What is in force for a repository
    Show {
        /// A path in the repository
        #[arg(long, default_value = ".", value_name = "PATH")]
        repo: PathBuf,
        /// Where each value came from
        #[arg(long)]
        origin: bool,
        /// The server file instead
        #[arg(long)]
        server: bool,
    },
    /// JSON Schema of the repository file
    Schema,
}

pub(super) async fn config(context: &Context, command: ConfigCommand) -> Result<Ending, AppError> {
    match command {
        ConfigCommand::Schema => {
            let schema = config::schema();
            let object = serde_json::from_str(&schema).unwrap_or_else(|_| json!(schema));
            Ok(Ending::both(0, &schema, object))
        }
        ConfigCommand::Check { repo, file } => {
            context.settings()?;
            let checked = match file {
                Some(path) => {
                    let bytes = std::fs::read(&path).map_err(|why| {
                        AppError::NotFound(Said::new(
                            format!("{} cannot be read: {why}", path.display()),
                            "name a repository file, or none to check the one at HEAD",
                        ))
                    })?;
                    let shown = path.display().to_string();
                    config::repository(&shown, &bytes)
                        .map_err(|m| AppError::Config(Box::new(m)))?;
                    shown
                }
                None => {
                    let app = context.open().await?;
                    let repository = app.repository(&repo)?;
                    let prepared = app.prepare(&repository, &repository.survey.head, &[])?;
                    app.close().await;
                    prepared
                        .settings
                        .file
                        .unwrap_or_else(|| "no file; the built-in values hold".to_owned())
                }
            };
            let object =
                json!({ "schema_version": SCHEMA_VERSION, "checked": checked, "mistakes": [] });
            Ok(Ending::both(0, &format!("ok: {checked}"), object))
        }
        ConfigCommand::Show {
            server: true,
            origin,
            ..
        } => {
            let (server, origins) = context.settings()?;
            Ok(Ending::text(
                0,
                &config::show_server(&server, &origins, origin),
            ))
        }
        ConfigCommand::Show {
            repo,
            origin,
            server: false,
        } => {
            let app = context.open().await?;
            let repository = app.repository(&repo)?;
            let prepared = app.prepare(&repository, &repository.survey.head, &[])?;
            app.close().await;
            for line in &prepared.told {
                context.say()(line);
            }
            Ok(Ending::text(
                0,
                &config::show(&prepared.settings, &prepared.origins, origin),
            ))
        }
    }
}
