//! The referee on pull requests of forges: one question after the other, told in one comment that is edited.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::local::bench;
use super::prepare::{Prepared, governing};
use super::remote::remote;
use super::served::Forges;
use super::verify::{Refereed, Teller, referee};
use crate::domain::ident::CommitId;
use crate::domain::report::{self, CheckReport, CheckState, Refereeing};
use crate::domain::settings::ChecksFrom;
use crate::forge::{self, Conversation, Repository, Service};
use crate::git::{Mirror, Remote, Want};
use crate::intake::{Verdict, show_verdict};
use crate::run::{Halt, RunError};
use crate::store::{Begun, Clock, Question, Steps, Store};

/// Times that a question is begun before it is given up.
const MOST_ATTEMPTS: u32 = 3;

/// Told of one that was given up without an end of its own.
const ENDED_EACH_TIME: &str =
    "the server ended each of the three times that it was begun; its log may say why";

/// Longest wait without a look at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long a question waits after trouble; others go on, since it may be that of one forge.
const AFTER_TROUBLE_SECS: u64 = 20;

/// Works on the referee's questions.
pub(super) struct Referee {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) forges: Arc<Forges>,
    pub(super) told: super::Told,
}

/// Where a question is: what happens there, the repository, its forge.
type Place = (Arc<dyn Conversation>, Repository, Arc<dyn Service>);

/// Why a question was not answered.
pub(super) enum Trouble {
    /// Later it may be.
    Later(String),
    /// The same once the forge answers, however long that takes.
    Away(String),
    /// It cannot be; this is told.
    Never(String),
}

impl From<forge::Error> for Trouble {
    fn from(error: forge::Error) -> Self {
        match error {
            forge::Error::Away { .. } => Self::Away(error.to_string()),
            forge::Error::Retry { .. } | forge::Error::Unavailable { .. } => {
                Self::Later(error.to_string())
            }
            other => Self::Never(other.to_string()),
        }
    }
}

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        Self::Later(error.to_string())
    }
}

impl Referee {
    /// Until `stop`; what is under way then is queued again.
    pub(super) async fn work(self, stop: CancellationToken) {
        let mut changes = self.store.changes();
        if let Err(why) = self.store.requeue_verdicts().await {
            tracing::error!(%why, "the referee cannot read its queue");
        }
        while !stop.is_cancelled() {
            changes.borrow_and_update();
            let begun = match self.store.begin_verdict().await {
                Ok(begun) => begun,
                Err(why) => {
                    tracing::error!(%why, "the referee cannot read its queue");
                    None
                }
            };
            let Some(begun) = begun else {
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = changes.changed() => {}
                    // One that nobody asked for may have waited for its hour.
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                continue;
            };
            let (halt, halted) = watch::channel(None);
            let judging = self.one(&begun, halted);
            tokio::pin!(judging);
            let done = tokio::select! {
                done = &mut judging => done,
                () = stop.cancelled() => {
                    halt.send_replace(Some(Halt::Stop));
                    Err(Trouble::Later("the server was stopped".to_owned()))
                }
            };
            self.ended(&begun, done, &stop).await;
        }
    }

    async fn ended(&self, begun: &Begun, done: Result<(), Trouble>, stop: &CancellationToken) {
        let question = &begun.question;
        let is_away = matches!(done, Err(Trouble::Away(_)));
        let counts = !stop.is_cancelled() && !is_away;
        let why = match done {
            Ok(()) => return,
            Err(Trouble::Later(why) | Trouble::Away(why))
                if begun.attempts < MOST_ATTEMPTS || !counts =>
            {
                tracing::warn!(pull = question.pull, %why, "the referee tries again");
                // The next start of a server that was stopped goes on at once.
                let at = match stop.is_cancelled() {
                    true => self.clock.now(),
                    false => self.clock.now().plus_secs(AFTER_TROUBLE_SECS),
                };
                let back = self.store.hand_back_verdict(question, at, counts);
                if let Err(why) = back.await {
                    tracing::error!(%why, "a question was not handed back");
                }
                return;
            }
            Err(Trouble::Later(why) | Trouble::Away(why) | Trouble::Never(why)) => why,
        };
        tracing::warn!(pull = question.pull, %why, "the referee gives up");
        if let Some((conversation, _, _)) = self.place(question) {
            let how = Refereeing::Broken { why: &why };
            let shown = self.show(question, (None, None), conversation.as_ref(), how);
            if let Err(error) = shown.await {
                tracing::warn!(pull = question.pull, %error, "it could not be told");
            }
            let check = check(&question.head, CheckState::Neutral, "could not be judged");
            let _ = conversation.set_check(&check, None).await;
        }
        let outcome = format!("not judged: {why}");
        if let Err(why) = self.store.answer_verdict(question, &outcome).await {
            tracing::error!(%why, "an answer was not kept");
        }
    }

    /// Judges one, and tells it.
    async fn one(
        &self,
        begun: &Begun,
        halted: watch::Receiver<Option<Halt>>,
    ) -> Result<(), Trouble> {
        let question = &begun.question;
        // Its trouble is counted when it ends; what ended the whole server comes back with more attempts than that.
        if begun.attempts > MOST_ATTEMPTS {
            return Err(Trouble::Never(ENDED_EACH_TIME.to_owned()));
        }
        if let Some(why) = self.forges.unreached(&question.repository.forge) {
            return Err(Trouble::Away(why));
        }
        let (conversation, repository, service) = self
            .place(question)
            .ok_or_else(|| Trouble::Never("the repository is not served any more".to_owned()))?;
        let since = self.clock.now();
        let how = Refereeing::Running { since };
        self.show(question, (None, None), conversation.as_ref(), how)
            .await?;
        let pending = check(&question.head, CheckState::Pending, "the checks run");
        conversation.set_check(&pending, None).await?;

        let mirror = self
            .forges
            .mirror_of(&question.repository.forge, repository.id);
        let mirror = mirror.map_err(|why| Trouble::Later(why.to_string()))?;
        let remote = remote(service.as_ref(), &repository).await?;
        let Fetched {
            rules,
            base,
            newest,
        } = self.fetch(question, &repository, &mirror, remote).await?;
        let prepared = self.rules(&mirror, &rules).await?;
        if prepared.settings.checks_from == ChecksFrom::Nowhere {
            return Err(Trouble::Never(
                "nothing says how to verify this repository; add a [[verify]] to .github/prentice.toml on the default \
                 branch"
                    .to_owned(),
            ));
        }
        let machine = &self.forges.machine;
        let facts = machine.sandbox.probe().await;
        let facts = facts.map_err(|why| Trouble::Later(why.to_string()))?;
        let scratch = self.scratch(question);
        let bench = bench(
            &machine.sandbox,
            (&machine.store, &machine.steps),
            mirror,
            self.forges.toolchains(),
            scratch.clone(),
            &machine.env,
        );
        let teller = Teller {
            told: self.told.clone(),
        };
        let commits = (base, question.head.clone());
        let judged = referee(&bench, &prepared.settings, commits, &facts, &teller, halted).await;
        let removed = tokio::task::spawn_blocking(move || crate::sandbox::remove(&scratch)).await;
        if let Ok(Err(why)) = removed {
            tracing::warn!(%why, "layers of the referee stay");
        }
        let Refereed {
            result, failure, ..
        } = judged?;
        let failure = failure.as_ref();
        let line = report::verdict_line(&result, failure);
        // Told first: a kill between the two tells it once more, in the same comment.
        let how = Refereeing::Judged {
            result: &result,
            failure,
        };
        let file = prepared.settings.file.as_deref();
        let beside = (Some(&newest), file);
        self.show(question, beside, conversation.as_ref(), how)
            .await?;
        for check in report::verdict_checks(&result, failure) {
            conversation.set_check(&check, None).await?;
        }
        let answered = self.store.answer_verdict(question, &line).await;
        answered.map_err(|why| Trouble::Later(why.to_string()))?;
        Ok(())
    }

    /// What is judged against; the head is in the mirror then.
    async fn fetch(
        &self,
        question: &Question,
        repository: &Repository,
        mirror: &Mirror,
        remote: Remote,
    ) -> Result<Fetched, Trouble> {
        let (mirror, head) = (mirror.clone(), question.head.clone());
        let (default, base) = (
            repository.default_branch.clone(),
            question.base_branch.clone(),
        );
        let pull = question.pull;
        let steps = Arc::clone(&self.forges.machine.steps);
        let fetched = tokio::task::spawn_blocking(move || {
            fetch_pull((&mirror, &remote), &steps, (default, base), (pull, &head))
        });
        fetched
            .await
            .map_err(|why| Trouble::Later(why.to_string()))?
    }

    /// The rules of the default branch, never those of the pull request.
    async fn rules(&self, mirror: &Mirror, commit: &CommitId) -> Result<Prepared, Trouble> {
        let (mirror, commit) = (mirror.clone(), commit.clone());
        let (server, origins) = (self.forges.server.clone(), self.forges.origins.clone());
        let read = tokio::task::spawn_blocking(move || {
            governing(&mirror, &commit, &[], (&server, &origins)).map_err(|error| match error {
                super::AppError::Config(mistakes) => Trouble::Never(mistakes.to_string()),
                other => Trouble::Later(other.to_string()),
            })
        });
        read.await.map_err(|why| Trouble::Later(why.to_string()))?
    }

    fn place(&self, question: &Question) -> Option<Place> {
        let key = &question.repository;
        let (service, repository) = self.forges.at(&key.forge, key.id)?;
        Some((service.conversation(&repository), repository, service))
    }

    async fn show(
        &self,
        question: &Question,
        (newest, rules): (Option<&CommitId>, Option<&str>),
        conversation: &dyn Conversation,
        how: Refereeing<'_>,
    ) -> Result<(), forge::Error> {
        let verdict = Verdict {
            question,
            newest,
            prefix: &self.forges.prefix(&question.repository),
            rules,
        };
        show_verdict(self.store.as_ref(), verdict, conversation, how).await
    }

    fn scratch(&self, question: &Question) -> PathBuf {
        let key = &question.repository;
        let name = format!("verify-{}-{}-{}", key.forge, key.id, question.pull);
        self.forges.machine.data.join("work").join(name)
    }
}

/// What a head is judged against.
pub(super) struct Fetched {
    /// Whose rules hold.
    pub(super) rules: CommitId,
    /// The merge base.
    pub(super) base: CommitId,
    /// Head of the pull request now.
    pub(super) newest: CommitId,
}

/// Fetches a pull request into the mirror.
/// `branches`: the default one, whose rules hold, and the one to merge into.
pub(super) fn fetch_pull(
    (mirror, remote): (&Mirror, &Remote),
    steps: &Arc<dyn Steps>,
    (default, base): (String, String),
    (pull, head): (i64, &CommitId),
) -> Result<Fetched, Trouble> {
    let wants = [Want::Branch(default), Want::Branch(base), Want::Pull(pull)];
    let found = steps.around("mirror base", || mirror.fetch_remote(remote, &wants));
    let found = found.map_err(super::remote::remote_error)?;
    let [rules, base, newest] = found.as_slice() else {
        return Err(Trouble::Never("the forge gave other commits".to_owned()));
    };
    // Pushed to since it was asked: what was asked is judged, as long as it is there.
    if newest != head && !mirror.is_ancestor(head, newest).unwrap_or(false) {
        let what = "the commit that was asked about is gone: the branch was pushed over";
        return Err(Trouble::Never(what.to_owned()));
    }
    let base = mirror.merge_base(base, head);
    let base = base.map_err(|why| Trouble::Never(why.to_string()))?;
    Ok(Fetched {
        rules: rules.clone(),
        base,
        newest: newest.clone(),
    })
}

pub(super) fn check(head: &CommitId, state: CheckState, title: &str) -> CheckReport {
    CheckReport {
        name: "prentice / verify".to_owned(),
        sha: head.clone(),
        state,
        title: title.to_owned(),
    }
}
