//! Figures for a monitoring system, in its text format.
//!
//! No label names a repository, a person or an issue, and none takes a value that others choose.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use super::{Shared, text};
use crate::store::Counts;

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Stored,
    Duplicate,
    Repeated,
    Unsigned,
    Malformed,
    Wrong,
    TooLarge,
    NoRoom,
    Broken,
    NotStored,
    NoForge,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Repeated => "repeated",
            Self::Unsigned => "unsigned",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong-signature",
            Self::TooLarge => "too-large",
            Self::NoRoom => "no-room",
            Self::Broken => "broken",
            Self::NotStored => "not-stored",
            Self::NoForge => "no-forge",
        }
    }
}

/// Counted since the start.
#[derive(Default)]
pub(super) struct Metrics {
    deliveries: Mutex<BTreeMap<(&'static str, Outcome), u64>>,
    refused: AtomicU64,
}

impl Metrics {
    /// Counts one delivery; `event` is known only where its signature was right.
    pub(super) fn count(&self, event: Option<&'static str>, outcome: Outcome) {
        let mut all = self
            .deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *all.entry((event.unwrap_or("unknown"), outcome))
            .or_default() += 1;
    }

    /// How often a delivery was refused, this time included.
    pub(super) fn refused(&self) -> u64 {
        self.refused.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// `GET /metrics`.
pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Response {
    let counts = match shared.store.counts().await {
        Ok(counts) => counts,
        Err(why) => {
            tracing::warn!(%why, "no metrics");
            return text(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read");
        }
    };
    let mut answer = text(StatusCode::OK, page(&shared.metrics, &counts).trim_end());
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

fn page(metrics: &Metrics, counts: &Counts) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, rows: Vec<(String, u64)>| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in rows {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let version = env!("CARGO_PKG_VERSION");
    family(
        "prentice_build_info",
        "gauge",
        "Which build this is.",
        vec![(format!("{{version=\"{version}\"}}"), 1)],
    );
    let deliveries = metrics
        .deliveries
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .map(|((event, outcome), n)| {
            let result = outcome.word();
            (format!("{{event=\"{event}\",result=\"{result}\"}}"), *n)
        })
        .collect();
    family(
        "prentice_webhook_deliveries_total",
        "counter",
        "Deliveries by event and what became of them.",
        deliveries,
    );
    let of_state = |rows: &[(String, u64)]| {
        let rows = rows.iter();
        rows.map(|(state, n)| (format!("{{state=\"{state}\"}}"), *n))
            .collect()
    };
    family(
        "prentice_webhook_stored",
        "gauge",
        "Stored deliveries by state; new ones wait to be read.",
        of_state(&counts.hooks),
    );
    let mut tasks: BTreeMap<&str, u64> = BTreeMap::new();
    for (stage, n) in &counts.tasks {
        *tasks.entry(word(stage)).or_default() += n;
    }
    let tasks: Vec<(String, u64)> = tasks
        .into_iter()
        .map(|(word, n)| (word.to_owned(), n))
        .collect();
    family(
        "prentice_tasks",
        "gauge",
        "Tasks that are not over, by state.",
        of_state(&tasks),
    );
    let jobs = counts
        .jobs
        .iter()
        .map(|(kind, state, n)| (format!("{{kind=\"{kind}\",state=\"{state}\"}}"), *n));
    family(
        "prentice_jobs",
        "gauge",
        "Jobs that are not done, by kind and state.",
        jobs.collect(),
    );
    out
}

/// A stage as people read it; the same words as everywhere else.
fn word(stage: &str) -> &str {
    match stage {
        "asking" => "needs-info",
        "awaiting-approval" => "needs-approval",
        "in-review" => "needs-review",
        "publishing" => "running",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_by_words_that_people_read() {
        let metrics = Metrics::default();
        metrics.count(Some("issues"), Outcome::Stored);
        metrics.count(Some("issues"), Outcome::Stored);
        metrics.count(None, Outcome::Wrong);
        let rows = |words: &[(&str, u64)]| {
            let rows = words.iter();
            rows.map(|(word, n)| ((*word).to_owned(), *n)).collect()
        };
        let counts = Counts {
            hooks: rows(&[("done", 3), ("new", 1)]),
            repeats: 2,
            tasks: rows(&[("in-review", 4), ("publishing", 1), ("running", 1)]),
            jobs: vec![("run".to_owned(), "claimed".to_owned(), 1)],
        };
        insta::assert_snapshot!(page(&metrics, &counts), @r#"
        # HELP prentice_build_info Which build this is.
        # TYPE prentice_build_info gauge
        prentice_build_info{version="0.1.0"} 1
        # HELP prentice_webhook_deliveries_total Deliveries by event and what became of them.
        # TYPE prentice_webhook_deliveries_total counter
        prentice_webhook_deliveries_total{event="issues",result="stored"} 2
        prentice_webhook_deliveries_total{event="unknown",result="wrong-signature"} 1
        # HELP prentice_webhook_stored Stored deliveries by state; new ones wait to be read.
        # TYPE prentice_webhook_stored gauge
        prentice_webhook_stored{state="done"} 3
        prentice_webhook_stored{state="new"} 1
        # HELP prentice_tasks Tasks that are not over, by state.
        # TYPE prentice_tasks gauge
        prentice_tasks{state="needs-review"} 4
        prentice_tasks{state="running"} 2
        # HELP prentice_jobs Jobs that are not done, by kind and state.
        # TYPE prentice_jobs gauge
        prentice_jobs{kind="run",state="claimed"} 1
        "#);
    }
}
