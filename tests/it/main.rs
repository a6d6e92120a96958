//! The one integration binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking"
)]

mod by_hand;
mod crash;
mod fake_forge;
mod forges;
mod git;
mod guards;
mod hostile;
mod hostile_agent;
mod model;
mod ordinary;
mod packages;
mod readme;
mod referee;
mod replies;
mod report;
mod road;
mod sandbox;
mod skip;
mod store;
mod tidy;
mod worker;
