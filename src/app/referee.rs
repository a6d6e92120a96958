//! The referee on pull requests of forges: one question after the other, told in one comment that is edited.

mod waits;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::waits::Waits;
use super::local::bench;
use super::prepare::{Prepared, governing};
use super::remote::remote;
use super::served::Forges;
use super::verify::{Refereed, Teller, referee};
use crate::domain::ident::{CommitId, Time};
use crate::domain::report::{self, CheckReport, CheckState, Refereeing};
use crate::domain::settings::ChecksFrom;
use crate::domain::task::{Failure, RunResult};
use crate::forge::{self, Conversation, Repository, Service};
use crate::git::{self, Mirror, Remote, Want};
use crate::intake::{Verdict, show_verdict};
use crate::run::{self, Halt, RunError};
use crate::store::{Begun, Clock, Question, Steps, Store};

/// Times that a question is begun before it is given up.
const MOST_ATTEMPTS: u32 = 3;

/// Told of one that was given up without an end of its own.
const ENDED_EACH_TIME: &str =
    "the server ended each of the three times that it was begun; its log may say why";

/// Longest wait without a look at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long a question waits after trouble of its own; others go on.
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
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Something broke while it was judged. It may be the question's own fault, so it is tried only so often.
    Later(String),
    /// The forge or this machine does not let it be judged now, which says nothing about it.
    Waits {
        /// What does not.
        why: String,
        /// Seconds that the forge asked to wait, where it said.
        after_secs: Option<u64>,
    },
    /// It cannot be; this is told.
    Never(String),
}

impl Trouble {
    pub(super) fn waits(why: String) -> Self {
        let after_secs = None;
        Self::Waits { why, after_secs }
    }
}

impl From<forge::Error> for Trouble {
    fn from(error: forge::Error) -> Self {
        let why = error.to_string();
        match error {
            forge::Error::Retry { after_secs, .. } => Self::Waits { why, after_secs },
            forge::Error::Away { .. }
            | forge::Error::Auth { .. }
            | forge::Error::Unavailable { .. } => Self::waits(why),
            forge::Error::NotPermitted { .. }
            | forge::Error::Gone { .. }
            | forge::Error::Conflict { .. }
            | forge::Error::Invalid { .. } => Self::Never(why),
        }
    }
}

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Host(why) | RunError::Away(why) => Self::waits(why),
            RunError::Lost | RunError::Broken(_) => Self::Later(error.to_string()),
        }
    }
}

impl Referee {
    /// Until `stop`; what is under way then is queued again.
    pub(super) async fn work(self, stop: CancellationToken) {
        let mut changes = self.store.changes();
        let mut waits = Waits::default();
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
                let look_in = waits.next_in(self.clock.now()).min(LOOK_EVERY);
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = changes.changed() => {}
                    // One that nobody asked for may have waited for its hour.
                    () = tokio::time::sleep(look_in) => {}
                }
                continue;
            };
            let (halt, halted) = watch::channel(None);
            let done = tokio::select! {
                done = self.one(&begun, &mut waits, halted) => done,
                () = stop.cancelled() => {
                    halt.send_replace(Some(Halt::Stop));
                    Err(Trouble::Later("the server was stopped".to_owned()))
                }
            };
            match done {
                Ok(()) => waits.forget(&begun.question),
                Err(trouble) => self.not_answered(&begun, trouble, &mut waits, &stop).await,
            }
        }
    }

    /// Hands a question back, or gives it up and tells so. What cannot be told now is handed back as well: nobody
    /// would ever hear of it.
    async fn not_answered(
        &self,
        begun: &Begun,
        trouble: Trouble,
        waits: &mut Waits,
        stop: &CancellationToken,
    ) {
        let (question, now) = (&begun.question, self.clock.now());
        let why = match trouble {
            // The next start goes on at once.
            Trouble::Later(why) | Trouble::Waits { why, .. } if stop.is_cancelled() => {
                return self.hand_back(question, now, false, &why).await;
            }
            Trouble::Later(why) if begun.attempts < MOST_ATTEMPTS => {
                let at = waits.until(question, now.plus_secs(AFTER_TROUBLE_SECS), now);
                return self.hand_back(question, at, true, &why).await;
            }
            Trouble::Waits { why, after_secs } if !waits.is_over(question, now) => {
                let at = waits.again(question, after_secs, now);
                return self.hand_back(question, at, false, &why).await;
            }
            Trouble::Later(why) | Trouble::Waits { why, .. } | Trouble::Never(why) => why,
        };
        tracing::warn!(pull = question.pull, %why, "the referee gives up");
        match self.give_up(question, &why).await {
            Err(Trouble::Waits { why, after_secs }) => {
                let at = waits.again(question, after_secs, now);
                return self.hand_back(question, at, false, &why).await;
            }
            Err(Trouble::Later(why) | Trouble::Never(why)) => {
                tracing::warn!(pull = question.pull, %why, "it cannot be told");
            }
            Ok(()) => {}
        }
        waits.forget(question);
        let outcome = format!("not judged: {why}");
        if let Err(why) = self.store.answer_verdict(question, &outcome).await {
            tracing::error!(%why, "an answer was not kept");
        }
    }

    async fn hand_back(&self, question: &Question, at: Time, counts: bool, why: &str) {
        tracing::warn!(pull = question.pull, why, "the referee tries again");
        let back = self.store.hand_back_verdict(question, at, counts);
        if let Err(why) = back.await {
            tracing::error!(%why, "a question was not handed back");
        }
    }

    /// Tells that a question is not judged.
    async fn give_up(&self, question: &Question, why: &str) -> Result<(), Trouble> {
        let Some((conversation, _, _)) = self.place(question) else {
            return Ok(());
        };
        let how = Refereeing::Broken { why };
        self.show(question, (None, None), conversation.as_ref(), how)
            .await?;
        let check = check(&question.head, CheckState::Neutral, "could not be judged");
        Ok(conversation.set_check(&check, None).await?)
    }

    /// Judges one, and tells it. What could not be told the last time is not judged again.
    async fn one(
        &self,
        begun: &Begun,
        waits: &mut Waits,
        halted: watch::Receiver<Option<Halt>>,
    ) -> Result<(), Trouble> {
        let question = &begun.question;
        // Its trouble is counted when it ends; what ended the whole server comes back with more attempts than that.
        if begun.attempts > MOST_ATTEMPTS {
            return Err(Trouble::Never(ENDED_EACH_TIME.to_owned()));
        }
        if let Some(why) = self.forges.unreached(&question.repository.forge) {
            return Err(Trouble::waits(why));
        }
        let place = self
            .place(question)
            .ok_or_else(|| Trouble::Never("the repository is not served any more".to_owned()))?;
        let now = self.clock.now();
        let judged = match waits.judged(question, now).take() {
            Some(judged) => judged,
            None => self.judge(question, &place, halted).await?,
        };
        // Told first: a kill between the two tells it once more, in the same comment.
        let judged = waits.judged(question, now).insert(judged);
        self.tell(question, judged, place.0.as_ref()).await?;
        let line = report::verdict_line(&judged.result, judged.failure.as_ref());
        let answered = self.store.answer_verdict(question, &line).await;
        answered.map_err(RunError::from)?;
        Ok(())
    }

    /// Shows what was seen, as a comment and as checks.
    async fn tell(
        &self,
        question: &Question,
        judged: &Judged,
        conversation: &dyn Conversation,
    ) -> Result<(), Trouble> {
        let (result, failure) = (&judged.result, judged.failure.as_ref());
        let how = Refereeing::Judged { result, failure };
        let beside = (Some(&judged.newest), judged.file.as_deref());
        self.show(question, beside, conversation, how).await?;
        for check in report::verdict_checks(result, failure) {
            conversation.set_check(&check, None).await?;
        }
        Ok(())
    }

    /// Runs the checks, for as long as they take.
    async fn judge(
        &self,
        question: &Question,
        (conversation, repository, service): &Place,
        halted: watch::Receiver<Option<Halt>>,
    ) -> Result<Judged, Trouble> {
        let since = self.clock.now();
        let how = Refereeing::Running { since };
        self.show(question, (None, None), conversation.as_ref(), how)
            .await?;
        let pending = check(&question.head, CheckState::Pending, "the checks run");
        conversation.set_check(&pending, None).await?;

        let mirror = self
            .forges
            .mirror_of(&question.repository.forge, repository.id);
        let mirror = mirror.map_err(RunError::from)?;
        let remote = remote(service.as_ref(), repository).await?;
        let Fetched {
            rules,
            base,
            newest,
        } = self.fetch(question, repository, &mirror, remote).await?;
        let scratch = self.scratch(question);
        let machine = &self.forges.machine;
        let bench = bench(
            &machine.sandbox,
            (&machine.store, &machine.steps),
            mirror.clone(),
            self.forges.toolchains(),
            scratch.clone(),
            &machine.env,
        );
        // Also where nothing else can be judged: this may be the pull request that adds the file, or mends it.
        let repository_file = run::repository_file(&bench, (&base, &question.head)).await?;
        if let Some(check) = report::config_check(repository_file.as_ref(), &question.head) {
            conversation.set_check(&check, None).await?;
        }
        let prepared = self.rules(&mirror, &rules).await?;
        if prepared.settings.checks_from == ChecksFrom::Nowhere {
            return Err(Trouble::Never(
                "nothing says how to verify this repository; add a [[verify]] to .github/prentice.toml on the default \
                 branch"
                    .to_owned(),
            ));
        }
        let facts = machine.sandbox.probe().await;
        let facts = facts.map_err(RunError::from)?;
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
        Ok(Judged {
            result,
            failure,
            newest,
            file: prepared.settings.file,
        })
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
                super::AppError::Host(why) => Trouble::waits(why.to_string()),
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

/// What was seen of a question, and is to be told.
struct Judged {
    result: RunResult,
    failure: Option<Failure>,
    /// Head of the pull request then.
    newest: CommitId,
    /// The file of rules.
    file: Option<String>,
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
    let base = base.map_err(|error| match error {
        git::Error::Disk { .. } => Trouble::waits(error.to_string()),
        other => Trouble::Never(other.to_string()),
    })?;
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
        marks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_forge_or_this_machine_refuses_for_now_waits_and_what_breaks_is_counted() {
        let why = || "why".to_owned();
        let waits = [
            forge::Error::Retry {
                after_secs: Some(60),
                why: why(),
            },
            forge::Error::Retry {
                after_secs: None,
                why: why(),
            },
            forge::Error::Auth { why: why() },
            forge::Error::Away {
                what: why(),
                why: why(),
            },
            forge::Error::Unavailable {
                what: why(),
                why: why(),
            },
        ];
        let asked = waits.map(|error| match Trouble::from(error) {
            Trouble::Waits { after_secs, .. } => after_secs,
            other => panic!("{other:?}"),
        });
        assert_eq!(asked, [Some(60), None, None, None, None]);
        let host = Trouble::from(RunError::Host(why()));
        assert_eq!(host, Trouble::waits(why()));
        let broken = Trouble::from(RunError::Broken(why()));
        assert_eq!(broken, Trouble::Later(why()));
        let gone = Trouble::from(forge::Error::Gone { what: why() });
        assert!(matches!(gone, Trouble::Never(_)));
    }
}
