//! What a credential may do on a forge, looked at before anything depends on it: for `doctor` and `setup`.

use async_trait::async_trait;

use super::{Account, Error, Repository};
use crate::domain::ident::Time;

/// Looks at a forge with one credential. Nothing that it asks changes anything.
#[async_trait]
pub trait Examine: Send + Sync {
    /// Who we are there, and what the forge says of itself. [`Error::Auth`] where the credential is not accepted.
    async fn about(&self) -> Result<About, Error>;

    /// What a credential like ours has to be given, and the page where one is made.
    fn credential(&self) -> Wanted;

    /// Where our account is given its right in the repository of this name: name and address of the page. `page` is
    /// the repository's own, as the forge told it; without one, where it is let in at all.
    fn access(&self, name: &str, page: Option<&str>) -> String;

    /// The rights that we need for the repository of this name, each with whether the credential holds it.
    async fn grants(&self, name: &str) -> Result<Vec<Grant>, Error>;

    /// Whether our account could change the default branch by itself.
    async fn reach(&self, repository: &Repository) -> Result<Reach, Error>;

    /// Whether the repository has this label; `None` where that is not looked at.
    async fn has_label(&self, repository: &Repository, label: &str) -> Result<Option<bool>, Error>;

    /// The webhook that sends what happens there to `/hooks/{forge}` of some server.
    async fn hook(&self, repository: &Repository, forge: &str) -> Result<HookSeen, Error>;

    /// Has the forge send a delivery by this webhook, as a test.
    async fn test_hook(&self, repository: &Repository, id: i64) -> Result<(), Error>;
}

/// A forge, and who we are there.
#[derive(Clone, Debug)]
pub struct About {
    /// The account that the credential is of.
    pub account: Account,
    /// What the forge is, as it says: `Gitea 1.26.0`.
    pub program: String,
    /// Its clock when it answered.
    pub clock: Option<Time>,
}

/// A credential that would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The least that it needs, as the forge calls it: `write:issue`.
    pub needs: Vec<String>,
    /// Where it is made: name and address of the page.
    pub place: String,
}

/// A right that we need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// As the forge calls it: `write:issue`.
    pub name: String,
    /// What it is for.
    pub why: &'static str,
    /// Whether the credential holds it; `None` where the forge does not say.
    pub held: Option<bool>,
    /// Where it is given: name and address of the page.
    pub place: String,
}

/// What our account could do to the default branch; `None` = the forge does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Merge a pull request into it.
    pub merge: Option<bool>,
    /// Push to it.
    pub push: Option<bool>,
    /// Where that is set: name and address of the page.
    pub place: String,
}

/// A webhook as far as the credential may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookSeen {
    /// It may not see webhooks.
    Hidden {
        /// Where they are: name and address of the page.
        place: String,
    },
    /// None sends there.
    Missing {
        /// Where one is made: name and address of the page.
        place: String,
    },
    /// There is one.
    There {
        /// Its number.
        id: i64,
        /// Where it sends to.
        url: String,
        /// What is wrong with it.
        faults: Vec<String>,
        /// How the last deliveries went, where the forge tells.
        deliveries: Option<Deliveries>,
        /// Where it is set, and its deliveries are seen: name and address of the page.
        place: String,
    },
}

/// How the last deliveries of a webhook went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deliveries {
    /// How many are told of.
    pub all: usize,
    /// How many of those failed.
    pub failed: usize,
    /// What the newest was answered with; `None` = nothing.
    pub newest: Option<u16>,
}

impl Deliveries {
    /// Whether this answer says that a delivery was taken.
    #[must_use]
    pub const fn is_taken(answer: Option<u16>) -> bool {
        matches!(answer, Some(200..=299))
    }
}
