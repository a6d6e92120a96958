//! Questions on a terminal. What is secret is not shown while it is typed.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::SecretString;

use crate::app::{AppError, Said};

/// Longest line that is read, in bytes.
const LINE_MAX: u64 = 64 << 10;

/// Somebody who may be asked.
pub(super) struct Asker {
    is_there: bool,
}

impl Asker {
    /// Nobody where standard input is no terminal, or `never`.
    pub(super) fn new(never: bool) -> Self {
        Self {
            is_there: !never && std::io::stdin().is_terminal(),
        }
    }

    /// Whether anybody is there.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// A line; where nobody is there, none, and `missing` is told.
    pub(super) fn line(&self, question: &str, missing: impl FnOnce()) -> Result<String, AppError> {
        if !self.is_there {
            missing();
            return Ok(String::new());
        }
        ask(question)?;
        first_line()
    }

    /// The same, not shown.
    pub(super) fn secret(
        &self,
        question: &str,
        missing: impl FnOnce(),
    ) -> Result<SecretString, AppError> {
        if !self.is_there {
            missing();
            return Ok(SecretString::default());
        }
        ask(question)?;
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).map_err(|why| unreadable(&why.into()))?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)
            .map_err(|why| unreadable(&why.into()))?;
        let typed = first_line();
        // A terminal that cannot be set back is one that went away.
        let _ = tcsetattr(&stdin, OptionalActions::Flush, &before);
        let _ = writeln!(std::io::stderr());
        Ok(SecretString::from(typed?))
    }
}

fn ask(question: &str) -> Result<(), AppError> {
    let mut stderr = std::io::stderr();
    let asked = write!(stderr, "{question}: ").and_then(|()| stderr.flush());
    asked.map_err(|why| unreadable(&why))
}

/// The next line of standard input, without its end.
pub(super) fn first_line() -> Result<String, AppError> {
    use std::io::Read as _;
    let mut line = String::new();
    let mut input = std::io::stdin().lock().take(LINE_MAX);
    input.read_line(&mut line).map_err(|why| unreadable(&why))?;
    Ok(line.trim().to_owned())
}

fn unreadable(why: &std::io::Error) -> AppError {
    AppError::NotFound(Said::plain(format!("nothing can be read from you: {why}")))
}
