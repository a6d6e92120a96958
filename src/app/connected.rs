//! A forge of the server file, connected.

use std::sync::{Arc, OnceLock};

use crate::domain::owners::Dialect;
use crate::forge::{Account, Service};
use crate::git::{Author, Signer};

/// A forge that is connected.
pub(super) struct Connected {
    pub(super) service: Arc<dyn Service>,
    /// Who we are there, once it told.
    pub(super) us: OnceLock<Account>,
    /// Its deliveries can come: there is a secret that they are signed with.
    pub(super) hears: bool,
    /// Where addresses are that stand for an account, as `ID+LOGIN`.
    pub(super) noreply: Option<String>,
    /// Signs commits.
    pub(super) signer: Option<Arc<Signer>>,
    /// The language of `CODEOWNERS` there.
    pub(super) dialect: Dialect,
    /// Nothing is written there; the service sees to it, and branches stay here.
    pub(super) is_shadow: bool,
    /// Folders in which templates of pull requests are.
    pub(super) templates: &'static [&'static str],
}

impl Connected {
    /// Whose commits are made for it: those of our account there, so that the forge shows them as such.
    pub(super) fn author(&self) -> Author {
        let us = self.us.get();
        match us.and_then(|us| Some((us, self.address(us)?))) {
            Some((us, email)) => Author {
                name: us.login.clone(),
                email,
                signer: self.signer.clone(),
            },
            None => Author {
                signer: self.signer.clone(),
                ..Author::local()
            },
        }
    }

    /// The address under which the forge knows an account's commits.
    pub(super) fn address(&self, account: &Account) -> Option<String> {
        let made = || {
            let host = self.noreply.as_ref()?;
            Some(format!("{}+{}@{host}", account.id, account.login))
        };
        account.address.clone().or_else(made)
    }
}
