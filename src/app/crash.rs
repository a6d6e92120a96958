//! Ends the process at a durable step: how the crash tests, and anybody who does not believe them, kill the
//! shipped program at each point.
//!
//! `PRENTICE_CRASH_AT="before commit finish#2"` names the side, the step and how often it has been met; a name
//! that never comes (`never`) only lists the points, one a line, in the file `PRENTICE_CRASH_LOG`. Steps are
//! counted by name, not all together: two lanes of jobs take turns as they like, but each takes its own steps in
//! the same order every time.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::Env;
use crate::store::{self, Steps};

/// What is told of each durable step: nobody, unless the environment asks.
pub(super) fn steps(env: &Env) -> Arc<dyn Steps> {
    match env.get("PRENTICE_CRASH_AT") {
        None => Arc::new(store::Unwatched),
        Some(at) => Arc::new(CrashAt {
            at: at.to_owned(),
            met: Mutex::default(),
            log: env.get("PRENTICE_CRASH_LOG").map(PathBuf::from),
        }),
    }
}

struct CrashAt {
    at: String,
    met: Mutex<HashMap<String, u64>>,
    log: Option<PathBuf>,
}

impl CrashAt {
    fn step(&self, side: &str, what: &str) {
        // Several things may be stored by one commit.
        let (kind, parts) = match what.strip_prefix("commit ") {
            Some(parts) => ("commit ", parts.split('+').collect()),
            None => ("", vec![what]),
        };
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts {
            let name = format!("{side} {kind}{part}");
            let times = met.entry(name.clone()).or_default();
            *times += 1;
            let point = format!("{name}#{times}");
            if let Some(log) = &self.log {
                let file = std::fs::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(log);
                if let Ok(mut file) = file {
                    // The list of points is for the reader of a test; losing a line of it is no harm.
                    let _ = file.write_all(format!("{point}\n").as_bytes());
                }
            }
            if point == self.at {
                // As kill -9: nothing is flushed, no destructor runs.
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
            }
        }
    }
}

impl Steps for CrashAt {
    fn before(&self, what: &str) {
        self.step("before", what);
    }

    fn after(&self, what: &str) {
        self.step("after", what);
    }
}
