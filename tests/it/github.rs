//! GitHub through its own published description: a stateful fake that refuses what the description does not have.
//!
//! `tests/github.sh` fetches the description; without it these tests tell that they were skipped.

mod contract;
pub(crate) mod description;
mod examined;
mod faults;
mod git;
mod graph;
mod hooks;
mod people;
mod routes;
pub(crate) mod server;
mod traps;
pub(crate) mod wire;
pub(crate) mod world;

pub(crate) use self::git::branches;
