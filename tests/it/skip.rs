//! What cannot run here, told so that `tests/run` hears it.

use std::io::Write as _;

/// Says so on standard error, past the capture of a test that passes.
pub(crate) fn skipped(name: &str, why: &str) {
    let line = format!("skipped {name}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
