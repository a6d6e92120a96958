//! The adapter for Gitea and Forgejo, held to a real Gitea.
//!
//! Another test module uses it so:
//!
//! ```text
//! let Some(gitea) = crate::gitea::Gitea::start("name of the test") else { return };
//! let bot = gitea.user("bot").await;
//! let dana = gitea.user("dana").await;
//! let repo = gitea.repo(&dana, "thing", false).await;
//! gitea.collaborator(&repo, &bot, "write").await;
//! let number = gitea.issue(&dana, &repo, "Title", "text").await;
//! ```
//!
//! One Gitea serves all tests of the binary; accounts and organisations have names of the test's own.

mod contract;
mod described;
mod faults;
mod people;
mod refs;
mod server;
mod traps;
mod world;

pub(crate) use self::refs::GitRefs;
pub(crate) use self::server::cache;
pub(crate) use self::world::{Gitea, LEAST, Repo, User, base64_text};
