//! Talk on standard error: a live line on a terminal, plain lines with the time off it.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// What a person who watches sees.
pub(crate) struct Screen {
    quiet: bool,
    live: Option<ProgressBar>,
    begun: Instant,
    /// Last line, so that the same one is not said twice in a row.
    last: Mutex<String>,
}

impl Screen {
    pub(crate) fn new(quiet: bool) -> Self {
        let live = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{elapsed:>5}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Self {
            quiet,
            live,
            begun: Instant::now(),
            last: Mutex::new(String::new()),
        }
    }

    /// Something to be read once.
    pub(crate) fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        match &self.live {
            Some(bar) => bar.println(line),
            None => error_line(line),
        }
    }

    /// What goes on now.
    pub(crate) fn step(&self, line: &str) {
        if self.quiet {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == line {
            return;
        }
        line.clone_into(&mut last);
        let elapsed = self.begun.elapsed();
        match &self.live {
            Some(bar) if line.ends_with('…') => {
                bar.set_message(line.to_owned());
                bar.enable_steady_tick(Duration::from_millis(250));
            }
            Some(bar) => bar.println(format!(
                "{:>4}.{}s  {line}",
                elapsed.as_secs(),
                elapsed.subsec_millis() / 100
            )),
            None => error_line(&format!(
                "{:>4}.{}s  {line}",
                elapsed.as_secs(),
                elapsed.subsec_millis() / 100
            )),
        }
    }

    /// What went wrong; said also when asked to be quiet.
    pub(crate) fn error(&self, text: &str) {
        match &self.live {
            Some(bar) => bar.suspend(|| error_line(text)),
            None => error_line(text),
        }
    }

    /// Takes the live line away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }
}

fn error_line(text: &str) {
    // A closed standard error must not end the work.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
