//! Repository file and server file: as written, then resolved; every mistake at once.
//!
//! A file is read against one table of keys ([`schema`], [`reference`] and [`show`] follow the
//! same table) into [`Settings`] or [`Server`], together with the [`Origin`] of each value.
//! What is not in the table is refused. A reading that finds mistakes gives no settings at all:
//! nothing starts with half a configuration.
//!
//! Nothing here reads a file, the environment or a clock: the caller hands in what it has read.

mod add;
mod credentials;
mod describe;
mod environment;
mod explain;
mod forge_keys;
mod forges;
mod forms;
mod keys;
mod kinds;
mod mistakes;
mod policy;
mod read;
mod recognise;
mod repository;
mod server;
mod server_keys;
mod value;

use std::collections::BTreeMap;
use std::fmt;

pub use add::{
    Added, NewForge, NotAdded, add_forge, address_fault, gitea_forge, github_forge, is_repository,
};
pub use credentials::{
    BadCredentials, CREDENTIAL_MAX_BYTES, CredentialFile, Credentials, Secret, SecretBytes,
    credentials, file_variable,
};
pub use describe::{reference, schema, show, show_server};
pub use environment::{Env, data_dir, server_file};
pub use explain::{Code, explain, explained};
pub use forges::{ForgeKind, ForgeSettings, Signing};
pub use mistakes::{Mistake, Mistakes};
pub use policy::{Clamp, clamp};
pub use read::too_large;
pub use recognise::{Guess, recognise};
pub use repository::{PLACES, adopt, place, replace_checks, repository};
pub use server::{
    CiExposure, Launcher, LogFormat, Policy, Retention, Server, ServerSandbox, Workers, server,
};

use crate::domain::settings::{Check, Confirm};

/// Where the value of a key came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of a file.
    File {
        /// The file as the caller named it.
        path: String,
        /// From 1.
        line: usize,
    },
    /// An environment variable of this name.
    Environment(String),
    /// The command line.
    CommandLine,
    /// A build system was recognised.
    Guess,
    /// More was asked for, by the origin inside, than the server allows.
    Ceiling(Box<Origin>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", mistakes::visible(path)),
            Self::Environment(name) => write!(f, "${name}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Guess => f.write_str("guess"),
            Self::Ceiling(asked) => write!(f, "server ceiling ({asked} asks for more)"),
        }
    }
}

/// Origins by key: `task.timeout`, `verify[0].run`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where the value of a key came from; [`Origin::Default`] for one that nobody set.
    #[must_use]
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    fn set(&mut self, key: &str, origin: Origin) {
        self.0.insert(key.to_owned(), origin);
    }

    /// Forgets the origins of all checks.
    fn forget_checks(&mut self) {
        self.0.retain(|key, _| !key.starts_with("verify["));
    }
}

/// A check as one that names only its command gets it.
fn new_check(name: &str, run: &str) -> Check {
    Check {
        name: name.to_owned(),
        run: run.to_owned(),
        required: true,
        timeout_secs: 20 * 60,
        paths: Vec::new(),
        baseline: true,
        confirm: Confirm::Auto,
    }
}
