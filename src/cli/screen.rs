//! Talk on standard error: a live line on a terminal, plain lines with the time off it.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::app::News;
use crate::domain::text;

/// What a person who watches sees.
pub(crate) struct Screen {
    quiet: bool,
    live: Option<ProgressBar>,
    begun: Instant,
    progress: Arc<Mutex<Progress>>,
    /// Begins what goes on beside the work: redrawing on a terminal, heartbeats off it.
    beating: Once,
}

impl Screen {
    /// Off a terminal a step that goes on is told of again `every` so often.
    pub(crate) fn new(quiet: bool, every: Duration) -> Self {
        let begun = Instant::now();
        let progress = Arc::new(Mutex::new(Progress::new(every)));
        let live = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let shown = Arc::clone(&progress);
            let step = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                if let Some(line) = lock(&shown).state(begun.elapsed()) {
                    // A line that cannot be drawn is drawn again.
                    let _ = out.write_str(&line);
                }
            };
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{elapsed:>5}  {step}")
                .map(|style| style.with_key("step", step));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Self {
            quiet,
            live,
            begun,
            progress,
            beating: Once::new(),
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
    pub(crate) fn hear(&self, said: News<'_>) {
        if self.quiet {
            return;
        }
        let elapsed = self.begun.elapsed();
        let line = lock(&self.progress).hear(said, elapsed);
        self.beating.call_once(|| self.beat());
        match (&self.live, line) {
            // It is in the live line until it has ended.
            (Some(bar), _) if matches!(said, News::Begun(_)) => bar.tick(),
            (Some(bar), Some(line)) => bar.println(timed(elapsed, &line)),
            (None, Some(line)) => error_line(&timed(elapsed, &line)),
            (_, None) => {}
        }
    }

    fn beat(&self) {
        if let Some(bar) = &self.live {
            bar.enable_steady_tick(Duration::from_millis(250));
            return;
        }
        let (progress, begun) = (Arc::downgrade(&self.progress), self.begun);
        let beats = move || {
            while let Some(progress) = progress.upgrade() {
                let elapsed = begun.elapsed();
                let line = lock(&progress).beat(elapsed);
                drop(progress);
                if let Some(line) = line {
                    error_line(&timed(elapsed, &line));
                }
                std::thread::sleep(Duration::from_millis(250));
            }
        };
        // Without it only the heartbeats are missing.
        let _ = std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(beats);
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
        lock(&self.progress).step = None;
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }
}

/// What was said of a run so far, as far as the next line depends on it. Times are since the program began.
struct Progress {
    every: Duration,
    step: Option<Step>,
    /// When a line was last printed.
    told: Duration,
    /// That line, so that the same one is not said twice in a row.
    last: String,
}

/// A step that goes on.
struct Step {
    name: String,
    begun: Duration,
    heard: Option<Duration>,
}

impl Progress {
    fn new(every: Duration) -> Self {
        Self {
            every,
            step: None,
            told: Duration::ZERO,
            last: String::new(),
        }
    }

    /// The line that follows from what was said, if one does.
    fn hear(&mut self, said: News<'_>, now: Duration) -> Option<String> {
        let line = match said {
            News::Begun(name) => {
                self.step = Some(Step {
                    name: name.to_owned(),
                    begun: now,
                    heard: None,
                });
                format!("{name} …")
            }
            News::Ended(line) => {
                self.step = None;
                line.to_owned()
            }
            News::Note(line) => line.to_owned(),
            News::Alive => String::new(),
        };
        if let (News::Note(_) | News::Alive, Some(step)) = (said, &mut self.step) {
            step.heard = Some(now);
        }
        if line.is_empty() || line == self.last {
            return None;
        }
        self.last.clone_from(&line);
        self.told = now;
        Some(line)
    }

    /// A line about a step that goes on, where none was printed for so long.
    fn beat(&mut self, now: Duration) -> Option<String> {
        if now.saturating_sub(self.told) < self.every {
            return None;
        }
        let line = self.state(now)?;
        self.told = now;
        Some(line)
    }

    /// The step that goes on, for how long, and how old its last sign of life is.
    fn state(&self, now: Duration) -> Option<String> {
        let step = self.step.as_ref()?;
        let ago = |then: Duration| whole_secs(now.saturating_sub(then));
        let heard = match step.heard {
            Some(heard) => format!("last sign of life {} ago", ago(heard)),
            None => "nothing printed yet".to_owned(),
        };
        Some(format!("{}, for {}; {heard}", step.name, ago(step.begun)))
    }
}

/// `7 s`, `2 m 10 s`: what changes with every second need not show less than one.
fn whole_secs(time: Duration) -> String {
    match time.as_secs() {
        secs @ 0..60 => format!("{secs} s"),
        secs => text::duration(secs.saturating_mul(1000)),
    }
}

fn timed(elapsed: Duration, line: &str) -> String {
    let (secs, tenths) = (elapsed.as_secs(), elapsed.subsec_millis() / 100);
    format!("{secs:>4}.{tenths}s  {line}")
}

fn lock(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error_line(text: &str) {
    // A closed standard error must not end the work.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn the_step_that_goes_on_is_the_one_that_is_shown() {
        let mut progress = Progress::new(secs(60));
        let mut lines = Vec::new();
        for (at, said) in [
            (0, News::Begun("base: tests")),
            (1, News::Alive),
            (2, News::Ended("base: tests exits 2 (2.0 s)")),
            (2, News::Begun("agent: at work")),
            (3, News::Alive),
            (9, News::Note("agent: reading")),
            (12, News::Note("agent: reading")),
        ] {
            let line = progress.hear(said, secs(at));
            let state = progress.state(secs(at + 1)).unwrap_or_default();
            lines.push(format!("{at} {} | {state}", line.unwrap_or_default()));
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        0 base: tests … | base: tests, for 1 s; nothing printed yet
        1  | base: tests, for 2 s; last sign of life 1 s ago
        2 base: tests exits 2 (2.0 s) | 
        2 agent: at work … | agent: at work, for 1 s; nothing printed yet
        3  | agent: at work, for 2 s; last sign of life 1 s ago
        9 agent: reading | agent: at work, for 8 s; last sign of life 1 s ago
        12  | agent: at work, for 11 s; last sign of life 1 s ago
        ");
    }

    #[test]
    fn a_step_that_says_nothing_is_told_of_once_a_minute() {
        let mut progress = Progress::new(secs(60));
        assert_eq!(progress.beat(secs(100)), None, "nothing goes on");
        progress.hear(News::Begun("agent: at work"), secs(100));
        progress.hear(News::Alive, secs(110));
        let beats = (100..=300).filter_map(|at| Some((at, progress.beat(secs(at))?)));
        let beats: Vec<String> = beats.map(|(at, line)| format!("{at} {line}")).collect();
        insta::assert_snapshot!(beats.join("\n"), @r"
        160 agent: at work, for 1 m 0 s; last sign of life 50 s ago
        220 agent: at work, for 2 m 0 s; last sign of life 1 m 50 s ago
        280 agent: at work, for 3 m 0 s; last sign of life 2 m 50 s ago
        ");
        progress.hear(News::Note("agent: reading"), secs(300));
        assert_eq!(progress.beat(secs(359)), None, "a line is a heartbeat too");
        progress.hear(News::Ended("agent: is done (4 m 20 s)"), secs(360));
        assert_eq!(progress.beat(secs(1000)), None);
    }
}
