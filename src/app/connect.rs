//! Forges as the server file and the environment name them.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use super::credential::read_credential;
use super::{App, AppError, Said};
use crate::config::{self, Credentials, Env, ForgeKind, ForgeSettings, Signing};
use crate::forge::{self, Service};
use crate::git::Signer;

/// A configured forge and what goes with it.
pub(super) struct Access {
    pub(super) service: Arc<dyn Service>,
    /// What it signs its deliveries with.
    pub(super) secret: Option<SecretString>,
    /// Signs our commits.
    pub(super) signer: Option<Arc<Signer>>,
}

impl App {
    /// How a configured forge is reached. Its credentials are put into `env` as
    /// if variables held them: what stands there is looked for in everything that leaves. No program is given any of it.
    ///
    /// # Errors
    /// [`AppError::Auth`] where a credential is missing or cannot be used.
    pub(super) fn connect(&self, forge: &ForgeSettings, env: &mut Env) -> Result<Access, AppError> {
        let found = self.credentials(forge)?;
        let lacks = found.lacks(forge);
        if !lacks.is_empty() {
            return Err(AppError::Auth(Said::plain(lacks.join("; "))));
        }
        for warning in &found.warnings {
            tracing::warn!(forge = forge.name, "{warning}");
        }
        let known = [
            &found.token,
            &found.webhook_secret,
            &found.private_key,
            &found.signing_key,
        ];
        for (at, secret) in known.into_iter().flatten().enumerate() {
            let name = format!("CREDENTIAL_{at}_TOKEN_OF_{}", forge.name);
            env.insert(name, secret.expose_secret().to_owned());
        }
        let refused =
            |why: String| AppError::Auth(Said::plain(format!("forge {}: {why}", forge.name)));
        let signer = match (&forge.signing, &found.signing_key) {
            (Signing::Ssh, Some(key)) => {
                let signer = Signer::from_openssh(key);
                Some(Arc::new(signer.map_err(|why| refused(why.to_string()))?))
            }
            _ => None,
        };
        let secret = found.webhook_secret.clone();
        Ok(Access {
            service: service(forge, found).map_err(|why| refused(why.to_string()))?,
            secret,
            signer,
        })
    }

    fn credentials(&self, forge: &ForgeSettings) -> Result<Credentials, AppError> {
        config::credentials(forge, &self.env, &read_credential)
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
