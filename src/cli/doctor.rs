//! `prentice doctor`: what works here, one line each.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use super::ending::Ending;
use super::setup::token;
use crate::app::AppError;
use crate::app::doctor::{self, Depth, Line, State};
use crate::domain::report::SCHEMA_VERSION;
use crate::domain::text;

#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    /// Only what takes no time: no sandbox is started, no forge asked. For health checks of containers
    #[arg(long)]
    quick: bool,
    /// File with the token of an administrator of the repositories, who may see webhooks; `-` = a line of standard
    /// input; kept nowhere
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

/// Exit code 1 where something fails; a warning is none.
pub(super) async fn doctor(context: &Context, args: &DoctorArgs) -> Result<Ending, AppError> {
    let file = args.admin_token_file.as_deref();
    let depth = Depth {
        quick: args.quick,
        admin: token(context, file, "PRENTICE_SETUP_ADMIN_TOKEN")?,
    };
    let lines = doctor::doctor(&context.env, context.config.as_deref(), &depth).await;
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
