//! One conversation with the agent: brief in, talk out, and how it ended.

use std::time::{Duration, Instant};

use super::checks::{self, Log};
use super::workspace::REPOSITORY_INSIDE;
use super::{Bench, Control, Exit, Halt, News};
use crate::agent::{Agent, Heard, Listener};
use crate::domain::event::Event;
use crate::domain::evidence::class_of;
use crate::domain::task::{FailureClass, Task};
use crate::domain::text;
use crate::sandbox::{Command, Ended, Flow, Session, Stdin, Stream};
use crate::store::ArtifactKind;

/// Where the agent finds its brief as JSON.
pub(super) const BRIEF_JSON: &str = "/run/prentice/brief.json";

/// What one try of the agent came to.
pub(super) enum Tried {
    /// It says that its tree may be judged.
    Ready(Heard),
    /// It has questions.
    Asked(Heard),
    /// It was halted.
    Halted(Halt),
    /// It did not end well.
    Failed {
        class: FailureClass,
        message: String,
        tail: String,
    },
}

/// Runs the agent once in `session`, with its brief, and hears it out.
pub(super) async fn talk(
    bench: &Bench,
    task: &Task,
    control: &Control<'_>,
    agent: &dyn Agent,
    session: &mut dyn Session,
    words: String,
) -> Result<Tried, Exit> {
    let stall = Duration::from_secs(task.settings.task.stall_after_secs);
    let timeout = control.allowed(Duration::from_secs(control.whole_secs));
    let command = Command {
        argv: agent.argv().into_iter().map(Into::into).collect(),
        env: [("PRENTICE_BRIEF_JSON".to_owned(), BRIEF_JSON.to_owned())].into(),
        cwd: REPOSITORY_INSIDE.into(),
        stdin: Stdin::Bytes(words.into_bytes()),
        timeout,
        quiet_after: Some(stall * 2),
    };
    let mut log = Log::default();
    let mut listener = Listener::default();
    let heard_at = tokio::sync::watch::Sender::new(Instant::now());
    let mut sink = |from: Stream, bytes: &[u8]| {
        heard_at.send_replace(Instant::now());
        control.watch.told(News::Alive);
        log.take(bytes);
        if from == Stream::Out {
            listener.hear(bytes);
            if let Some(step) = listener.last_step() {
                let step = bench.redactor.redact(step);
                let said = format!("agent: {}", one_line(&step));
                control.watch.told(News::Note(&said));
            }
        }
        Flow::More
    };
    let ended = {
        let exec = checks::exec(control, session, command, &mut sink);
        tokio::pin!(exec);
        let silence = tell_silence(control, task.run, stall, heard_at.subscribe());
        tokio::pin!(silence);
        tokio::select! {
            ended = &mut exec => ended?,
            error = &mut silence => return Err(error),
        }
    };
    let heard = listener.heard(&bench.redactor);
    if let Ended::Exited { exit, duration } = &ended {
        let how = match exit.code() {
            Some(0) => "is done".to_owned(),
            Some(20) => "has questions".to_owned(),
            _ => class_of(exit).1,
        };
        let took = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let said = format!("agent: {how} ({})", text::duration(took));
        control.watch.told(News::Ended(&said));
    }
    let (_, tail, _) = log
        .store(bench, Some(task.id), ArtifactKind::Transcript)
        .await?;
    Ok(match ended {
        Ended::Cancelled => Tried::Halted(control.halted().unwrap_or(Halt::Stop)),
        Ended::Stalled { quiet, .. } => Tried::Failed {
            class: FailureClass::Timeout,
            message: format!(
                "the agent gave no sign of life for {} s (`[task] stall_after` = {} s, twice)",
                quiet.as_secs(),
                stall.as_secs()
            ),
            tail,
        },
        Ended::Exited { exit, .. } => match exit.code() {
            Some(0) => Tried::Ready(heard),
            Some(20) => Tried::Asked(heard),
            _ => {
                let (class, how) = class_of(&exit);
                let class = match class {
                    FailureClass::Verify => FailureClass::Agent,
                    other => other,
                };
                Tried::Failed {
                    class,
                    message: format!("the agent {how}"),
                    tail,
                }
            }
        },
    })
}

/// Words of the agent as part of a line of ours: they cannot begin one.
fn one_line(words: &str) -> String {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    text::harmless(words.as_bytes())
}

/// Tells when the agent has been silent for `stall`, and when it speaks again. Ends only with an error.
async fn tell_silence(
    control: &Control<'_>,
    run: u32,
    stall: Duration,
    mut heard: tokio::sync::watch::Receiver<Instant>,
) -> Exit {
    loop {
        let due = *heard.borrow_and_update() + stall;
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            _ = heard.changed() => continue,
        }
        if let Err(error) = control.watch.happened(Event::WentQuiet { run }).await {
            return Exit::Error(error);
        }
        if heard.changed().await.is_err() {
            return std::future::pending().await;
        }
        if let Err(error) = control.watch.happened(Event::Heard { run }).await {
            return Exit::Error(error);
        }
    }
}
