//! Forges as the server file and the environment name them.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use super::{App, AppError, Said};
use crate::config::{
    self, CREDENTIAL_MAX_BYTES, CredentialFile, Credentials, ForgeKind, ForgeSettings,
};
use crate::forge::{self, Service};

impl App {
    /// The service of a configured forge, and what it signs its deliveries with.
    ///
    /// # Errors
    /// [`AppError::Auth`] where a credential is missing or cannot be used.
    pub(super) fn connect(
        &self,
        forge: &ForgeSettings,
    ) -> Result<(Arc<dyn Service>, Option<SecretString>), AppError> {
        let found = self.credentials(forge)?;
        let lacks = found.lacks(forge);
        if !lacks.is_empty() {
            return Err(AppError::Auth(Said::plain(lacks.join("; "))));
        }
        for warning in &found.warnings {
            tracing::warn!(forge = forge.name, "{warning}");
        }
        let secret = found.webhook_secret.clone();
        let service = service(forge, found)
            .map_err(|why| AppError::Auth(Said::plain(format!("forge {}: {why}", forge.name))))?;
        Ok((service, secret))
    }

    fn credentials(&self, forge: &ForgeSettings) -> Result<Credentials, AppError> {
        config::credentials(forge, &self.env, &read)
            .map_err(|why| AppError::Auth(Said::plain(why.to_string())))
    }
}

fn service(forge: &ForgeSettings, found: Credentials) -> Result<Arc<dyn Service>, forge::Error> {
    let missing = || forge::Error::Auth {
        why: "there is none".to_owned(),
    };
    match forge.kind {
        ForgeKind::Gitea => forge::gitea(
            &forge.name,
            &forge.base_url,
            found.token.ok_or_else(missing)?,
        ),
        ForgeKind::GitHub => {
            let base_url = (!forge.base_url.is_empty()).then_some(forge.base_url.as_str());
            if forge.app_id == 0 {
                let token = found.token.ok_or_else(missing)?;
                return forge::github_token(&forge.name, base_url, &token);
            }
            let key = found.private_key.ok_or_else(missing)?;
            forge::github_app(&forge.name, base_url, u64::from(forge.app_id), &key)
        }
    }
}

/// One byte more than is allowed is read at most, which says that it is too large.
fn read(path: &Path) -> std::io::Result<CredentialFile> {
    let file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut content = Vec::new();
    let most = u64::try_from(CREDENTIAL_MAX_BYTES).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1))
        .read_to_end(&mut content)?;
    Ok(CredentialFile {
        content: Box::new(content).into(),
        mode,
    })
}
