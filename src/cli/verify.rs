//! `prentice verify`: the referee.

use std::path::PathBuf;

use super::Context;
use super::ending::{Ending, class_code};
use crate::app::{AppError, PullOrder, Refereed, VerifyOrder};
use crate::domain::report;

#[derive(clap::Args)]
pub(super) struct VerifyArgs {
    /// Pull request to judge, by its address; without it, two commits of a repository on this machine
    #[arg(conflicts_with_all = ["repo", "base", "head"])]
    pull: Option<String>,
    /// Tell the verdict on the pull request too
    #[arg(long, requires = "pull", conflicts_with = "verify")]
    publish: bool,
    /// A path in the repository
    #[arg(long, default_value = ".", value_name = "PATH")]
    repo: PathBuf,
    /// Commit to compare with; without it, the merge base with the default branch
    #[arg(long, value_name = "REF")]
    base: Option<String>,
    /// Commit to judge
    #[arg(long, default_value = "HEAD", value_name = "REF")]
    head: String,
    /// Check to run on both, in place of the repository's own; repeatable
    #[arg(long, value_name = "COMMAND", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    verify: Vec<String>,
}

pub(super) async fn verify(context: &Context, args: VerifyArgs) -> Result<Ending, AppError> {
    let app = context.open().await?;
    let refereed = match args.pull {
        Some(url) => {
            let order = PullOrder {
                url,
                verify: args.verify,
                publish: args.publish,
            };
            app.verify_pull(order, &context.say()).await
        }
        None => {
            let order = VerifyOrder {
                repository: args.repo,
                base: args.base,
                head: args.head,
                verify: args.verify,
            };
            app.verify(order, &context.say()).await
        }
    };
    let ending = refereed.map(|refereed| {
        let log_path = |digest: &crate::domain::ident::Digest| app.log_path(digest);
        let Refereed {
            result,
            failure,
            asks,
        } = &refereed;
        let object = report::verify_json(result, failure.as_ref(), &log_path);
        let lines = report::verify_lines(result, failure.as_ref(), &log_path);
        let text: Vec<String> = lines
            .iter()
            .map(|(label, text)| format!("{label:<9}{text}"))
            .collect();
        let code = match failure {
            Some(failure) => class_code(failure.class),
            None if *asks => 7,
            None => 0,
        };
        Ending::both(code, &text.join("\n"), object)
    });
    app.close().await;
    ending
}
