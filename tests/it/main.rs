//! The one integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking"
)]

mod acts;
mod by_hand;
mod conversation;
mod crash;
mod deploy;
mod doctor;
mod fake_forge;
mod forges;
mod git;
mod git_remote;
mod gitea;
mod github;
mod guards;
mod hostile;
mod hostile_agent;
mod http_git;
mod model;
mod ordinary;
mod packages;
mod readme;
mod referee;
mod replies;
mod report;
mod road;
mod rules;
mod sandbox;
mod served;
mod server_file;
mod setup;
mod skip;
mod store;
mod sweep;
mod tidy;
mod web;
mod worker;
