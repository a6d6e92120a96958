//! The referee on one machine: gates and evidence for two commits, without a task and without the lock.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tokio::sync::watch;

use super::local::{bench, toolchains};
use super::request::signalled;
use super::scratch::Scratch;
use super::{App, AppError, Said};
use crate::domain::event::Event;
use crate::domain::gates::{self, Outcome};
use crate::domain::ident::{CommitId, TaskId};
use crate::domain::settings::{ChecksFrom, Settings};
use crate::domain::task::{Claims, Failure, RunFacts, RunResult};
use crate::run::{self, Bench, Halt, News, RunError, Watch};
use crate::sandbox::Facts;

/// What `verify` is asked to do.
pub struct VerifyOrder {
    /// A path in the repository.
    pub repository: PathBuf,
    /// Revision to compare with; `None` = merge base with the default branch.
    pub base: Option<String>,
    /// Revision to judge.
    pub head: String,
    /// Checks of the command line, in place of all others.
    pub verify: Vec<String>,
}

/// What the referee saw.
pub struct Refereed {
    /// Commits, files, evidence, findings.
    pub result: RunResult,
    /// Why it is not verified; `None` = green and no gate refuses.
    pub failure: Option<Failure>,
    /// Whether a gate asks a person.
    pub asks: bool,
}

impl App {
    /// Judges `head` against `base`.
    ///
    /// # Errors
    /// [`AppError`]; a red verdict is no error.
    pub async fn verify(
        &self,
        order: VerifyOrder,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Refereed, AppError> {
        let repository = self.repository(&order.repository)?;
        let user = &repository.user;
        let head = user.resolve(&order.head)?;
        let base = match &order.base {
            Some(base) => user.resolve(base)?,
            None => user.merge_base(&head, &user.default_branch()?.commit)?,
        };
        // The rules that judge a change are those of its base.
        let prepared = self.prepare(&repository, &base, &order.verify)?;
        for line in &prepared.told {
            say(line);
        }
        if prepared.settings.checks_from == ChecksFrom::Nowhere {
            return Err(AppError::NoChecks(Said::new(
                "nothing says how to verify this repository",
                "name a command, as in --verify 'make check'",
            )));
        }
        repository.mirror.fetch_commit(user, &head)?;
        let scratch = self.scratch()?;
        let chains = toolchains(&self.env, user, &self.server.sandbox.toolchains);
        for line in &chains.told {
            say(line);
        }
        let layers = scratch.path().join("layers");
        let bench = bench(
            &self.sandbox,
            (&self.store, &self.steps),
            repository.mirror.clone(),
            chains,
            layers,
            &self.env,
        );
        self.judge(&bench, &prepared.settings, (base, head)).await
    }

    /// A folder for one verdict, gone with it; those of killed processes go first.
    pub(super) fn scratch(&self) -> Result<Scratch, AppError> {
        let parent = self.data.join("work");
        if let Err(why) = Scratch::remove_dead(&parent) {
            tracing::warn!(%why, "layers of a killed verdict could not be removed");
        }
        let made = Scratch::make(&parent);
        made.map_err(|why| AppError::Host(Said::plain(format!("{}: {why}", parent.display()))))
    }

    /// Judges two commits that are in the mirror of `bench`, until Ctrl-C.
    pub(super) async fn judge(
        &self,
        bench: &Bench,
        settings: &Settings,
        commits: (CommitId, CommitId),
    ) -> Result<Refereed, AppError> {
        let facts = self.probe().await?;
        let (halt, halted) = watch::channel::<Option<Halt>>(None);
        let code = Arc::clone(&self.interrupted);
        let guard = tokio::spawn(async move {
            code.store(signalled().await, Ordering::SeqCst);
            halt.send_replace(Some(Halt::Stop));
            std::process::exit(signalled().await);
        });
        let teller = Teller {
            told: self.told.clone(),
        };
        let judged = referee(bench, settings, commits, &facts, &teller, halted).await;
        guard.abort();
        judged.map_err(|error| match error {
            RunError::Host(why) | RunError::Away(why) => AppError::Host(Said::lower(&why)),
            RunError::Lost => AppError::Interrupted {
                code: self.interrupted().unwrap_or(130),
                what: Said::new("interrupted", "nothing was kept"),
            },
            RunError::Broken(why) => AppError::Internal(Said::plain(why)),
        })
    }
}

/// What two commits are worth beside each other.
///
/// # Errors
/// [`RunError`]; a red verdict is none.
pub(super) async fn referee(
    bench: &Bench,
    settings: &Settings,
    (base, head): (CommitId, CommitId),
    facts: &Facts,
    watch: &dyn Watch,
    halted: watch::Receiver<Option<Halt>>,
) -> Result<Refereed, RunError> {
    let judged = run::judge_commits(bench, settings, (&base, &head), watch, halted).await?;
    let repository_file = run::repository_file(bench, (&base, &head)).await?;
    let mut result = RunResult {
        head,
        base,
        files: Vec::new(),
        evidence: Vec::new(),
        findings: Vec::new(),
        claims: Claims::default(),
        exposure: None,
        by_hand: None,
        repository_file,
        droppings: Vec::new(),
        facts: RunFacts {
            workspace: facts.method.name().to_owned(),
            prepare_ms: facts.prepare_ms,
            launcher: facts.launcher.to_owned(),
            limits_tier: facts.limits.name().to_owned(),
            told: bench.toolchains.told.clone(),
            ..RunFacts::default()
        },
    };
    let failure = match judged {
        Ok(judged) => {
            result.files = judged.files;
            result.evidence = judged.evidence;
            result.findings = judged.findings;
            crate::domain::decide::verdict(&result)
        }
        Err((failure, evidence)) => {
            result.evidence = evidence;
            Some(failure)
        }
    };
    let asks = gates::outcome(&result.findings) == Outcome::Ask;
    Ok(Refereed {
        result,
        failure,
        asks,
    })
}

pub(super) struct Teller {
    pub(super) told: super::Told,
}

#[async_trait]
impl Watch for Teller {
    async fn happened(&self, _event: Event) -> Result<(), RunError> {
        Ok(())
    }

    fn told(&self, said: News<'_>) {
        (self.told)(TaskId(0), said);
    }
}
