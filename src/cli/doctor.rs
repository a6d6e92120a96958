//! `prentice doctor`: what works here, one line each.

use serde_json::json;

use super::Context;
use super::ending::Ending;
use crate::app::AppError;
use crate::app::doctor::{self, Line, State};
use crate::domain::report::SCHEMA_VERSION;
use crate::domain::text;

#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    /// Only what takes no time: no sandbox is started. For health checks of containers
    #[arg(long)]
    quick: bool,
}

/// Exit code 1 where something fails; a warning is none.
pub(super) async fn doctor(context: &Context, args: &DoctorArgs) -> Result<Ending, AppError> {
    let lines = doctor::doctor(&context.env, context.config.as_deref(), args.quick).await;
    let fails = lines.iter().any(|line| line.state == State::Fail);
    let listed: Vec<_> = lines
        .iter()
        .map(|line| {
            json!({
                "group": line.group,
                "name": line.name,
                "state": line.state.name(),
                "text": line.text,
                "fix": line.fix,
            })
        })
        .collect();
    let object = json!({ "schema_version": SCHEMA_VERSION, "ok": !fails, "lines": listed });
    Ok(Ending::both(i32::from(fails), &table(&lines), object))
}

/// One line each: state, group, what was seen, and the next step.
fn table(lines: &[Line]) -> String {
    let one = |line: &Line| {
        let fix = line
            .fix
            .as_ref()
            .map_or(String::new(), |fix| format!(" → {fix}"));
        let said = format!("{}{fix}", line.text).replace(['\n', '\r'], " ");
        let said = text::harmless(said.as_bytes());
        format!("{:<5}{:<9}{said}", line.state.name(), line.group)
    };
    lines.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_one_line_whatever_it_quotes() {
        let lines = [
            Line::ok(
                "git",
                "version",
                "git 2.39.5 knows every setting that it is hardened with",
            ),
            Line::warn("sandbox", "limits", "by rlimits", "delegate control groups"),
            Line::fail(
                "data",
                "folder",
                "/da\nta\x1b[31m cannot be written to",
                "name another",
            ),
        ];
        insta::assert_snapshot!(table(&lines), @r"
        ok   git      git 2.39.5 knows every setting that it is hardened with
        warn sandbox  by rlimits → delegate control groups
        fail data     /da ta␛[31m cannot be written to → name another
        ");
    }
}
