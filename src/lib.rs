//! Prentice: a labelled issue becomes a pull request with evidence, for a human to merge.
//!
//! # The map
//!
//! ```text
//!  forge ──delivery──▶ INBOX ──▶ decide(task, event) ──▶ task + journal + OUTBOX      (one transaction)
//!                        ▲                                        │
//!                        └───────── answer (an Event) ◀── perform(effect) ──▶ forge · git · sandbox · agent
//! ```
//!
//! | module | what it is for | may import |
//! |---|---|---|
//! | [`domain`] | pure: tasks, events, effects, `decide`, commands, briefs, gates, evidence, texts | nothing of ours |
//! | [`config`] | repository file and server file: read, judged, every mistake at once | domain |
//! | [`forge`] | where issues live and results are shown; adapters private | domain |
//! | [`git`] | mirror, checkouts, import of a result as data, diff, task branch | domain |
//! | [`sandbox`] | where everything runs that is not ours | domain |
//! | [`agent`] | who edits | domain |
//! | [`store`] | inbox, tasks, journal, outbox, artifacts | domain |
//! | [`run`] | one run of a task: workspace, base, agent, import, gates, head, evidence | domain, config, git, traits of store, sandbox, agent |
//! | [`sweep`] | asking a forge what is true of a pull request of ours | domain, forge (trait) |
//! | [`intake`] | what people do on a forge, read anew and taken up once, as events | domain, sweep, traits of forge and store |
//! | [`worker`] | the two loops: deciding what happened, performing what was decided | domain, run, traits of forge, store and agent |
//! | [`web`] | deliveries verified, stored, answered; health and metrics; pages of tasks, to be read only; the page that an App is made from | domain, store (trait), forge's hook entry |
//! | [`app`] | composition root: builds the ports, owns clock and randomness | everything above |
//! | [`cli`] | words typed and words printed | app, config, domain |
//!
//! `tests/it/tidy.rs` reads every path against this table.
//!
//! # What is not there
//!
//! - Nothing but `domain::decide` moves a task.
//! - Nothing in `domain` reads a clock, a file or randomness.
//! - No forge method merges or approves.
//! - `agent` and `sandbox` cannot name `forge`, `git` or `store`.
//! - Nothing that is not ours runs outside a sandbox, and no sandbox is weakened silently.
//! - No production code is compiled only for tests.

pub mod agent;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod forge;
pub mod git;
pub mod intake;
pub mod run;
pub mod sandbox;
pub mod store;
pub mod sweep;
pub mod web;
pub mod worker;
