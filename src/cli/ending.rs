//! How a command ends: what it prints and its exit code.

use serde_json::{Value, json};

use super::Context;
use crate::app::AppError;
use crate::domain::report::SCHEMA_VERSION;
use crate::domain::task::{Ending as TaskEnding, FailureClass, Stage, Task};

/// What a command has to say in the end.
pub(crate) struct Ending {
    code: i32,
    text: String,
    json: Option<Value>,
}

impl Ending {
    /// Text only; with `--json` it is wrapped.
    pub(crate) fn text(code: i32, text: &str) -> Self {
        Self {
            code,
            text: text.to_owned(),
            json: None,
        }
    }

    /// Text for people, an object for programs.
    pub(crate) fn both(code: i32, text: &str, json: Value) -> Self {
        Self {
            code,
            text: text.to_owned(),
            json: Some(json),
        }
    }
}

impl Ending {
    /// An error that was told already: no text any more, but its code and its object for programs.
    pub(crate) fn told(error: &AppError) -> Self {
        let (code, name) = error_code(error);
        Self::both(code, "", error_json(error, name))
    }

    /// Its exit code.
    pub(crate) fn code(&self) -> i32 {
        self.code
    }

    /// One more line for people.
    pub(crate) fn add_line(&mut self, label: &str, text: &str) {
        self.text.push_str(&format!("\n{label:<9}{text}"));
    }

    /// The same with another exit code.
    pub(crate) fn with_code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// The same with another text for people.
    pub(crate) fn with_text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self
    }

    /// The same with one more field for programs.
    pub(crate) fn with_field(mut self, name: &str, value: Value) -> Self {
        if let Some(map) = self.json.as_mut().and_then(Value::as_object_mut) {
            map.insert(name.to_owned(), value);
        }
        self
    }
}

/// Prints and gives the exit code.
pub(super) fn exit(context: &Context, done: Result<Ending, AppError>) -> i32 {
    match done {
        Ok(ending) => {
            let printed = if context.json {
                let text = &ending.text;
                let wrapped = || json!({ "schema_version": SCHEMA_VERSION, "text": text });
                out(&ending.json.unwrap_or_else(wrapped).to_string())
            } else {
                out(ending.text.trim_end_matches('\n'))
            };
            if let Err(why) = printed {
                context
                    .screen
                    .error(&format!("error: the result could not be printed: {why}"));
                // A result that nobody got is no success.
                return match ending.code {
                    0 => 10,
                    code => code,
                };
            }
            ending.code
        }
        Err(error) => {
            let (code, name) = error_code(&error);
            if context.json {
                // Nothing better can be said of an error than its code.
                let _ = out(&error_json(&error, name).to_string());
            } else if let AppError::Config(mistakes) = &error {
                context
                    .screen
                    .error(mistakes.render(context.colour).trim_end());
            } else {
                context.screen.error(&format!("error: {error}"));
            }
            code
        }
    }
}

fn out(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        // A reader that went away, as `head` does, is no error of ours.
        Err(why) if why.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Exit codes of errors, and their names in JSON.
fn error_code(error: &AppError) -> (i32, &'static str) {
    match error {
        AppError::Internal(_) => (1, "internal"),
        AppError::Usage(_) => (2, "usage"),
        AppError::NotNow(_) => (2, "not-now"),
        AppError::Config(_) => (3, "config"),
        AppError::NoChecks(_) => (3, "no-checks"),
        AppError::NoAgent(_) => (3, "no-agent"),
        AppError::NotFound(_) => (5, "not-found"),
        AppError::Auth(_) => (4, "auth"),
        AppError::NeedsInfo(_) => (7, "needs-info"),
        AppError::Host(_) => (10, "host"),
        AppError::Interrupted { code, .. } => (*code, "interrupted"),
        AppError::Task { error, .. } => error_code(error),
    }
}

fn error_json(error: &AppError, name: &str) -> Value {
    let said = error.said();
    let mut object = json!({ "code": name, "message": said.what, "hint": said.hint });
    if let (AppError::Config(mistakes), Some(map)) = (error, object.as_object_mut()) {
        map.insert("mistakes".to_owned(), json!(mistakes.list));
    }
    let mut whole = json!({ "schema_version": SCHEMA_VERSION, "error": object });
    if let (AppError::Task { task, .. }, Some(map)) = (error, whole.as_object_mut()) {
        map.insert("task".to_owned(), json!(task.to_string()));
    }
    whole
}

/// Words that no command takes, as an object; gives the exit code.
pub(super) fn usage(text: &str, code: i32) -> i32 {
    let (message, hint) = text.split_once("\n\n").unwrap_or((text, ""));
    let error = json!({ "code": "usage", "message": message.trim(), "hint": hint.trim() });
    let object = json!({ "schema_version": SCHEMA_VERSION, "error": error });
    // Nothing better can be said of it than its code.
    let _ = out(&object.to_string());
    code
}

/// The exit code of a task that came to rest.
pub(crate) fn code_of(task: &Task) -> i32 {
    match &task.stage {
        Stage::InReview { .. } | Stage::TakenOver { .. } => 0,
        Stage::Proposed | Stage::Asking { .. } | Stage::AwaitingApproval { .. } => 7,
        Stage::Queued { .. } => 130,
        // Still somebody's work: the lock was lost, or another process goes on.
        Stage::Running { .. } | Stage::Publishing { .. } => 10,
        Stage::Failed { failure } => class_code(failure.class),
        Stage::Ended { how, .. } => match how {
            TaskEnding::Merged | TaskEnding::Rejected => 0,
            TaskEnding::Stopped => 130,
        },
    }
}

/// The exit code of a failure class.
pub(crate) fn class_code(class: FailureClass) -> i32 {
    match class {
        FailureClass::Config => 3,
        FailureClass::Setup
        | FailureClass::Baseline
        | FailureClass::Verify
        | FailureClass::Scope
        | FailureClass::Limit
        | FailureClass::Conflict
        | FailureClass::Agent => 6,
        FailureClass::Budget | FailureClass::Timeout => 8,
        FailureClass::NoChange => 9,
        FailureClass::Infra | FailureClass::Forge | FailureClass::Provider => 10,
    }
}
