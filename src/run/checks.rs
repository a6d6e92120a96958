//! Set-up and checks in one sandbox, and the logs of what they printed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::workspace::{self, Layers, REPOSITORY_INSIDE};
use super::{Bench, Control, Exit, Halt, News, RunError, blocking, failed};
use crate::domain::event::RunOutcome;
use crate::domain::evidence::{self, Doubt, LogRef, Seen};
use crate::domain::ident::{CommitId, TaskId};
use crate::domain::settings::{Check, ChecksFrom, Settings};
use crate::domain::task::FailureClass;
use crate::domain::text;
use crate::git;
use crate::sandbox::{Command, Ended, Facts, Flow, Session, Stdin, Stream};
use crate::store::{ArtifactKind, Content};

/// A log keeps this much of the beginning and as much of the end.
const LOG_HALF: usize = 4 << 20;
/// Characters of a command in the name of a step.
const SHOWN: usize = 80;
/// Lines and characters of a tail.
const TAIL: (usize, usize) = (20, 4_000);
/// Changed files that are remembered by name.
const CHANGED: usize = 100;

/// One side of the evidence: a commit's layers, and the session that its commands share.
pub(super) struct Side<'a> {
    pub(super) bench: &'a Bench,
    pub(super) task: Option<TaskId>,
    pub(super) settings: &'a Settings,
    pub(super) control: &'a Control<'a>,
    pub(super) layers: Layers,
    /// `base` or `head`, for people and for the layers' names.
    pub(super) name: &'static str,
    sessions: u32,
    session: Option<Box<dyn Session>>,
    /// Of the newest session.
    facts: Option<Facts>,
    /// Where that session writes, once something ran in it.
    written: Option<PathBuf>,
    /// What ran in it and did not take it down.
    ran: Vec<Check>,
}

impl<'a> Side<'a> {
    pub(super) fn new(
        bench: &'a Bench,
        task: Option<TaskId>,
        settings: &'a Settings,
        control: &'a Control<'a>,
        layers: Layers,
        name: &'static str,
    ) -> Self {
        Self {
            bench,
            task,
            settings,
            control,
            layers,
            name,
            sessions: 0,
            session: None,
            facts: None,
            written: None,
            ran: Vec::new(),
        }
    }

    /// Runs one check. A session that an earlier one took down is replaced by a fresh one, in which those that
    /// ended well run again, unrecorded: this one may stand on what they left.
    pub(super) async fn run(&mut self, check: &Check) -> Result<Seen, Exit> {
        if !self.alive() {
            let ran = std::mem::take(&mut self.ran);
            self.fresh().await?;
            for earlier in &ran {
                if self.alive() {
                    self.once(earlier).await?;
                }
            }
            if !self.alive() {
                self.fresh().await?;
            }
        }
        self.once(check).await
    }

    fn alive(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.alive())
    }

    async fn once(&mut self, check: &Check) -> Result<Seen, Exit> {
        let Some(session) = self.session.as_mut() else {
            return Err(Exit::Error(RunError::Broken(
                "a sandbox is gone".to_owned(),
            )));
        };
        let overlay = workspace::is_overlay(session.as_ref());
        let doubt = match self.written.clone() {
            Some(upper) => compared(self.bench, &self.layers.commit, upper, overlay).await?,
            None => None,
        };
        let said = format!("{}: {}", self.name, check.name);
        self.control.watch.told(News::Begun(&said));
        let own = Duration::from_secs(check.timeout_secs);
        let (mut seen, printed) = shell(
            self.bench,
            self.task,
            self.control,
            session.as_mut(),
            &check.run,
            own,
        )
        .await?;
        let said = format!("{said} {}", told(&seen));
        self.control.watch.told(News::Ended(&said));
        self.written = Some(workspace::upper(self.bench, &self.layer()));
        if self.alive() {
            self.ran.push(check.clone());
        }
        let guessed = matches!(self.settings.checks_from, ChecksFrom::Guess { .. });
        let no_tests = guessed && evidence::ran_no_tests(&printed);
        seen.doubt = if no_tests {
            Some(Doubt::NoTests)
        } else {
            doubt
        };
        Ok(seen)
    }

    /// What the newest sandbox of this side is; `None` while there was none.
    pub(super) fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// The layer of the newest session.
    fn layer(&self) -> String {
        format!("{}-{}", self.name, self.sessions)
    }

    /// Ends the session, if there is one, and proves it empty.
    pub(super) async fn end(&mut self) -> Result<(), Exit> {
        self.written = None;
        self.ran.clear();
        if let Some(mut session) = self.session.take() {
            session.kill().await?;
        }
        Ok(())
    }

    /// A new sandbox with a layer of its own, set-up included.
    pub(super) async fn fresh(&mut self) -> Result<(), Exit> {
        self.end().await?;
        self.sessions += 1;
        let name = self.layer();
        let mut session =
            workspace::session(self.bench, self.settings, &self.layers, &name, Vec::new()).await?;
        self.facts = Some(session.facts().clone());
        set_up(
            self.bench,
            self.task,
            self.settings,
            self.control,
            session.as_mut(),
            self.name,
        )
        .await?;
        self.session = Some(session);
        let set_up = !self.settings.setup.run.is_empty();
        self.written = set_up.then(|| workspace::upper(self.bench, &name));
        Ok(())
    }
}

/// Whether what ran before in a session changed tracked files: then the commit is no longer what is checked.
/// Nothing runs in it meanwhile, so that nothing can be hidden.
async fn compared(
    bench: &Bench,
    commit: &CommitId,
    upper: PathBuf,
    overlay: bool,
) -> Result<Option<Doubt>, Exit> {
    let (mirror, commit) = (bench.mirror.clone(), commit.clone());
    match blocking(move || mirror.changed_tracked(&upper, &commit, overlay)).await {
        Ok(paths) if paths.is_empty() => Ok(None),
        Ok(mut paths) => {
            paths.truncate(CHANGED);
            Ok(Some(Doubt::Changed { paths }))
        }
        // Made by what ran, to whatever end.
        Err(git::Error::Limit { .. } | git::Error::Hostile { .. }) => Ok(Some(Doubt::Uncompared)),
        Err(error) => Err(error.into()),
    }
}

/// Runs the set-up commands; the first that fails ends the run.
pub(super) async fn set_up(
    bench: &Bench,
    task: Option<TaskId>,
    settings: &Settings,
    control: &Control<'_>,
    session: &mut dyn Session,
    place: &str,
) -> Result<(), Exit> {
    let until = Instant::now() + Duration::from_secs(settings.setup.timeout_secs);
    for command in &settings.setup.run {
        let shown = text::clip(&text::harmless(command.as_bytes()), SHOWN);
        let said = format!("{place}: set-up `{shown}`");
        control.watch.told(News::Begun(&said));
        let own = until.saturating_duration_since(Instant::now());
        let (seen, _) = shell(bench, task, control, session, command, own).await?;
        if seen.exit.is_green() {
            continue;
        }
        let (class, how) = evidence::class_of(&seen.exit);
        let class = match class {
            FailureClass::Verify => FailureClass::Setup,
            other => other,
        };
        let message = format!("set-up command {} {how} on {place}", text::code(command));
        return Err(failed(class, message, seen.tail));
    }
    Ok(())
}

/// Runs `sh -c command` inside, with its log stored. Gives also the text of the log.
pub(super) async fn shell(
    bench: &Bench,
    task: Option<TaskId>,
    control: &Control<'_>,
    session: &mut dyn Session,
    command: &str,
    own: Duration,
) -> Result<(Seen, String), Exit> {
    let timeout = control.allowed(own);
    if timeout.is_zero() {
        let message = format!("the run did not end within {} s", control.whole_secs);
        return Err(failed(FailureClass::Timeout, message, String::new()));
    }
    let command = Command {
        argv: vec!["sh".into(), "-c".into(), command.into()],
        env: std::collections::BTreeMap::new(),
        cwd: REPOSITORY_INSIDE.into(),
        stdin: Stdin::Null,
        timeout,
        quiet_after: None,
    };
    let mut log = Log::default();
    let mut sink = |_: Stream, bytes: &[u8]| {
        control.watch.told(News::Alive);
        log.take(bytes);
        Flow::More
    };
    let ended = exec(control, session, command, &mut sink).await?;
    let (exit, duration) = match ended {
        Ended::Exited { exit, duration } => (exit, duration),
        Ended::Stalled { quiet, duration } => (
            evidence::Exit::TimedOut {
                after_secs: quiet.as_secs(),
            },
            duration,
        ),
        Ended::Cancelled => {
            return Err(control
                .halted()
                .map_or(Exit::Outcome(RunOutcome::Cancelled), Exit::halted));
        }
    };
    let (log, tail, printed) = log.store(bench, task, ArtifactKind::Log).await?;
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let seen = Seen {
        exit,
        duration_ms,
        log,
        tail,
        doubt: None,
    };
    Ok((seen, printed))
}

/// Runs a command and ends it when the run is halted.
pub(super) async fn exec(
    control: &Control<'_>,
    session: &mut dyn Session,
    command: Command,
    sink: &mut (dyn crate::sandbox::Sink + Send),
) -> Result<Ended, Exit> {
    let (mut halt, killer) = (control.halt.clone(), session.killer());
    let guard = tokio::spawn(async move {
        if halt.wait_for(Option::is_some).await.is_ok() {
            killer.kill();
        }
    });
    let ended = session.exec(command, sink).await;
    guard.abort();
    match (ended, control.halted()) {
        (_, Some(Halt::Lost)) => Err(Exit::Error(RunError::Lost)),
        (_, Some(_)) => Ok(Ended::Cancelled),
        (ended, None) => Ok(ended?),
    }
}

/// The beginning and the end of what was printed.
#[derive(Default)]
pub(super) struct Log {
    first: Vec<u8>,
    last: std::collections::VecDeque<u8>,
    left_out: u64,
}

impl Log {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let room = LOG_HALF.saturating_sub(self.first.len());
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.first.extend_from_slice(first);
        self.last.extend(rest);
        let excess = self.last.len().saturating_sub(LOG_HALF);
        self.last.drain(..excess);
        self.left_out += excess as u64;
    }

    fn bytes(self) -> (Vec<u8>, u64) {
        let mut bytes = self.first;
        if self.left_out > 0 {
            let cut = format!("\n[… {} left out …]\n", text::size(self.left_out));
            bytes.extend_from_slice(cut.as_bytes());
        }
        bytes.extend(self.last);
        (bytes, self.left_out)
    }

    /// Stores it without the secrets in it: what is stored is shown, served and quoted. Gives also tail and text.
    pub(super) async fn store(
        self,
        bench: &Bench,
        task: Option<TaskId>,
        kind: ArtifactKind,
    ) -> Result<(LogRef, String, String), Exit> {
        let (bytes, left_out) = self.bytes();
        let redactor = Arc::clone(&bench.redactor);
        let redacted = move || {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let redacted = redactor.redact(&text);
            // Bytes that are no text stay what they are, where there is nothing to hide.
            match redacted == text {
                true => (bytes, text),
                false => (redacted.clone().into_bytes(), redacted),
            }
        };
        let (bytes, text) = blocking(move || Ok(redacted())).await?;
        let tail = text::tail_lines(&bytes, TAIL.0, TAIL.1);
        let stored = bench
            .store
            .put_artifact(task, kind, Content::Bytes(bytes))
            .await?;
        let log = LogRef {
            sha256: stored.sha256,
            bytes: stored.bytes,
            left_out,
        };
        Ok((log, tail, text))
    }
}

fn told(seen: &Seen) -> String {
    let (_, how) = evidence::class_of(&seen.exit);
    let how = if seen.exit.is_green() {
        "passes".to_owned()
    } else {
        how
    };
    format!("{how} ({})", text::duration(seen.duration_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_beginning_and_end_and_says_what_is_missing() {
        let mut log = Log::default();
        log.take(b"begin");
        for _ in 0..40 {
            log.take(&vec![b'x'; 1 << 20]);
        }
        log.take(b"end");
        let (bytes, left_out) = log.bytes();
        assert_eq!(left_out, (40 << 20) + 8 - 2 * LOG_HALF as u64);
        assert!(bytes.starts_with(b"begin") && bytes.ends_with(b"end"));
        assert!(bytes.len() < 2 * LOG_HALF + 100);
        assert!(String::from_utf8_lossy(&bytes).contains("left out"));
    }
}
