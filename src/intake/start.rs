//! What starts a task and what withdraws it.

use std::time::Duration;

use super::words::Known;
use super::{Ground, Intake, PROPOSALS_AN_HOUR, Scene, Trouble, asks, login, shown};
use crate::domain::act::{self, Asked, Path, Standing, Start, Words};
use crate::domain::brief::{Brief, Survey};
use crate::domain::event::Event;
use crate::domain::gates::globs::Globs;
use crate::domain::ident::{self, Time};
use crate::domain::policy::{Actor, Refusal};
use crate::domain::report::Reply;
use crate::domain::settings::ChecksFrom;
use crate::domain::task::{IssueRef, NewTask, Stage};
use crate::forge::{Account, Did, Entry};
use crate::store::{ActKey, ActKind, Arrival, Outcome};

/// Outcome of an act that started a task.
pub(super) const STARTED: &str = "started";

/// Outcome of an act of somebody without rights that proposed a task: so many are shown in an hour.
const PROPOSED: &str = "proposed";

/// The same, beyond them: the task is there, and nothing of it is shown on the forge.
const UNSHOWN: &str = "proposed, not shown on the forge";

/// Outcome of an act of somebody without rights that had another text proposed.
const PROPOSED_AGAIN: &str = "the new text is proposed";

/// Outcome of an act of somebody who may, about words that nothing proves.
pub(super) const UNPROVEN: &str = "proposed, since nothing proves the words";

/// Outcome of an act of our own account that no job of ours did: somebody works with it, and `doctor` counts them.
pub(crate) const BY_OURS: &str = "asked for by our own account";

/// Wait before it is asked again whether a run that was stopped has ended.
const ENDING: Duration = Duration::from_secs(1);

/// What became of asking for a task.
pub(super) enum Began {
    /// It is consumed; for records.
    Settled(String),
    /// It was refused.
    Refused(Refusal),
    /// The asker has to be told this.
    Told(String),
}

impl Intake {
    /// One entry of an issue's timeline.
    pub(super) async fn entry(&self, scene: &Scene<'_>, entry: &Entry) -> Result<(), Trouble> {
        if entry.what == Did::Closed {
            return self.closed(scene, entry).await;
        }
        let label = &scene.settings.trigger.label;
        let Some((path, added)) = asks(entry, label, &self.us.login) else {
            return Ok(());
        };
        let key = scene.act(ActKind::Entry, entry.id);
        let by = entry.by.as_ref();
        let number = scene.thread.number;
        if !self.store.take_up(&key, number, login(by)).await? {
            return Ok(());
        }
        let before = self.decided_before(scene, &key).await?;
        let outcome = match by {
            _ if before.is_some() => decided(before),
            None => "its account is gone".to_owned(),
            Some(by) if added => match self.ask(scene, path, &key, by, entry.at).await? {
                Began::Settled(outcome) => outcome,
                Began::Refused(why) => why.to_string(),
                Began::Told(text) => {
                    let note = format!("entry-{}", entry.id);
                    let told = scene.conversation.ensure_note(number, &note, None, &text);
                    shown(told.await)?;
                    text
                }
            },
            Some(by) => self.withdraw(scene, &key, by, entry.at).await?,
        };
        Ok(self.store.settle(&key, &outcome).await?)
    }

    /// Somebody closed the issue, whether or not it was opened again.
    async fn closed(&self, scene: &Scene<'_>, entry: &Entry) -> Result<(), Trouble> {
        if scene.is_old(entry.at) {
            return Ok(());
        }
        let key = scene.act(ActKind::Entry, entry.id);
        let by = login(entry.by.as_ref());
        if !self.store.take_up(&key, scene.thread.number, by).await? {
            return Ok(());
        }
        let before = self.decided_before(scene, &key).await?;
        let outcome = match self.live(scene).await? {
            _ if before.is_some() => decided(before),
            None => "no task was at work".to_owned(),
            Some(task) => {
                let by = match by {
                    "" => "somebody".to_owned(),
                    by => by.to_owned(),
                };
                let event = Event::IssueClosed { by };
                let happened = self.happened(task.id, event, scene.dedup_key(&key)).await?;
                happened.unwrap_or_else(|| "closed".to_owned())
            }
        };
        Ok(self.store.settle(&key, &outcome).await?)
    }

    async fn withdraw(
        &self,
        scene: &Scene<'_>,
        key: &ActKey,
        by: &Account,
        at: Time,
    ) -> Result<String, Trouble> {
        let Some(task) = self.live(scene).await? else {
            return Ok("nothing to withdraw".to_owned());
        };
        // Entries come in their order, so the one that started the task was there before this one.
        let (ours, old) = (self.is_us(Some(by)), scene.is_old(at));
        let actor = match ours || old {
            true => unknown(by),
            false => self.actor(scene, by).await?,
        };
        if let Err(why) = act::withdraws(&actor, ours, old, &scene.rules_of(&task, true)) {
            return Ok(why.word().to_owned());
        }
        let by = by.login.clone();
        let happened = self.happened(task.id, Event::Stopped { by }, scene.dedup_key(key));
        Ok(happened.await?.unwrap_or_else(|| "withdrawn".to_owned()))
    }

    /// Somebody asks for a task on an issue.
    pub(super) async fn ask(
        &self,
        scene: &Scene<'_>,
        path: Path,
        key: &ActKey,
        by: &Account,
        at: Time,
    ) -> Result<Began, Trouble> {
        let (ours, old) = (self.is_us(Some(by)), scene.is_old(at));
        if old {
            return Ok(Began::Settled(act::Ignored::Old.word().to_owned()));
        }
        if ours {
            self.tell_ours(scene).await?;
            return Ok(Began::Settled(BY_OURS.to_owned()));
        }
        let task = self.live(scene).await?;
        if let Some(Stage::Running {
            stopping: Some(_), ..
        }) = task.as_ref().map(|task| &task.stage)
        {
            // Whoever asks for a task after one was stopped asks for another one, which cannot be before its end.
            return Err(Trouble::NotYet {
                number: scene.thread.number,
                after: ENDING,
            });
        }
        let rules = scene.rules();
        let actor = self.actor(scene, by).await?;
        let may = act::may_start(&actor, &rules);
        let settings = task.as_ref().map(|task| &task.settings);
        let settings = settings.unwrap_or(&scene.settings);
        let brief = self.brief(scene, settings);
        if may && !matches!(&task, Some(task) if task.word() != "proposed") {
            self.still_says_so(scene).await?;
        }
        let standing = match &task {
            None => Standing::Nothing,
            Some(task) if task.word() == "proposed" => Standing::Proposed {
                same: brief
                    .as_ref()
                    .is_ok_and(|brief| brief.is_of_same_issue_text(task.newest_text())),
                shown: self.was_shown(task, at).await?,
            },
            Some(task) => Standing::Live(act::stage_of(Some(task))),
        };
        let asked = Asked {
            path,
            actor: &actor,
            ours,
            old,
        };
        let by_words = |words| act::start(asked, standing, words, &rules);
        let start = match self.words(scene, &scene.thread, (&actor, path), at).await? {
            Known::Now(words) => by_words(words),
            // Whatever proof comes, it changes nothing.
            Known::In(_) if by_words(Words::Proven) == by_words(Words::Unproven) => {
                by_words(Words::Unproven)
            }
            Known::In(after) => {
                let number = scene.thread.number;
                return Err(Trouble::NotYet { number, after });
            }
        };
        let accepted = matches!(start, Start::Accept);
        match (start, &task) {
            (Start::Nothing(why), task) => {
                // One that stays would have to be taken off, which withdraws, before it can accept anything.
                if let Some(task) = task
                    && why == act::Ignored::NotPermitted
                    && task.word() == "proposed"
                    && !task.unshown
                {
                    self.store.show_again(task.id).await?;
                }
                Ok(Began::Settled(why.word().to_owned()))
            }
            (Start::Refuse(why), _) => Ok(Began::Refused(why)),
            (Start::AcceptProposed, Some(task)) => {
                let digest = task.newest_text().digest.clone();
                let event = Event::Accepted {
                    by: by.login.clone(),
                    digest,
                    address: self.desk.address(by),
                };
                let happened = self.happened(task.id, event, scene.dedup_key(key)).await?;
                Ok(Began::Settled(
                    happened.unwrap_or_else(|| "accepted".to_owned()),
                ))
            }
            (Start::ProposeAgain, Some(task)) => {
                let Ok(brief) = brief else {
                    return Ok(Began::Settled("the new text cannot be read".to_owned()));
                };
                if may && task.unshown {
                    let by = by.login.clone();
                    self.happened(task.id, Event::AskedFor { by }, None).await?;
                }
                if brief.is_of_same_issue_text(task.newest_text()) {
                    // The label goes again: put on once more, it is about what is shown.
                    self.store.show_again(task.id).await?;
                    return Ok(Began::Settled(UNPROVEN.to_owned()));
                }
                let brief = self.with_comments(scene, settings, brief, Some(at)).await?;
                let event = Event::IssueEdited {
                    by: by.login.clone(),
                    brief: Box::new(brief),
                };
                let happened = self.happened(task.id, event, scene.dedup_key(key)).await?;
                let outcome = if may { UNPROVEN } else { PROPOSED_AGAIN };
                Ok(Began::Settled(
                    happened.unwrap_or_else(|| outcome.to_owned()),
                ))
            }
            (Start::Accept | Start::Propose, _) => {
                let ground = match &scene.ground {
                    Ok(ground) => ground,
                    Err(mistakes) => {
                        let text = Reply::Broken { mistakes }.text(&[], &scene.voice());
                        return Ok(told_if(accepted, text));
                    }
                };
                let brief = match brief {
                    Ok(brief) => brief,
                    Err(why) => {
                        return Ok(told_if(accepted, format!("Nothing was started: {why}.")));
                    }
                };
                let brief = self.with_comments(scene, settings, brief, Some(at)).await?;
                let outcome = match (accepted, may) {
                    (true, _) => STARTED,
                    (false, true) => UNPROVEN,
                    (false, false) if self.is_flooded(scene).await? => UNSHOWN,
                    (false, false) => PROPOSED,
                };
                self.request(scene, ground, brief, by, key, outcome).await
            }
            (Start::AcceptProposed | Start::ProposeAgain, None) => {
                Ok(Began::Settled("its task is gone".to_owned()))
            }
        }
    }

    /// Somebody works with our account, and would wait for an answer in vain. It is told once on an issue: no job of
    /// ours puts the label there or assigns anybody.
    async fn tell_ours(&self, scene: &Scene<'_>) -> Result<(), Trouble> {
        tracing::warn!(
            issue = scene.thread.page,
            "the account that prentice works with asked for a task; its acts never count: give prentice one of its own"
        );
        let number = scene.thread.number;
        let told = scene.conversation.ensure_note(number, "ours", None, OURS);
        Ok(shown(told.await)?)
    }

    async fn request(
        &self,
        scene: &Scene<'_>,
        ground: &Ground,
        brief: Brief,
        by: &Account,
        key: &ActKey,
        outcome: &'static str,
    ) -> Result<Began, Trouble> {
        let accepted = outcome == STARTED;
        let settings = ground.settings.clone();
        if settings.checks_from == ChecksFrom::Nowhere {
            return Ok(told_if(accepted, NO_CHECKS.to_owned()));
        }
        let Some(agent) = self.desk.agent(&settings) else {
            return Ok(told_if(accepted, NO_AGENT.to_owned()));
        };
        let repository = &scene.served.repository;
        let branch = self.free_branch(scene, ground, &brief).await?;
        let new = NewTask {
            issue: IssueRef {
                forge: scene.served.key.forge.clone(),
                repository: repository.name.clone(),
                repository_id: Some(repository.id),
                number: scene.thread.number,
                source: scene.thread.page.clone(),
                out: None,
                publish: None,
            },
            requester: by.login.clone(),
            requester_address: self.desk.address(by),
            survey: survey(ground, &brief),
            brief,
            settings,
            base: ground.base.clone(),
            base_branch: Some(ground.branch.clone()),
            agent,
            accepted_at: self.clock.now(),
            branch: Some(branch),
            unaccepted: !accepted,
            unshown: outcome == UNSHOWN,
        };
        let arrival = Arrival::Request(Box::new(new));
        let delivered = self.store.deliver(arrival, scene.dedup_key(key)).await?;
        Ok(Began::Settled(
            match self.decided(delivered.input, &scene.thread.page).await? {
                Outcome::Ignored { reason } => reason,
                Outcome::Done { .. } | Outcome::Waiting => outcome.to_owned(),
            },
        ))
    }

    /// A later task on the same issue has a branch of its own.
    async fn free_branch(
        &self,
        scene: &Scene<'_>,
        ground: &Ground,
        brief: &Brief,
    ) -> Result<String, Trouble> {
        let number = scene.thread.number.to_string();
        let name = ground.settings.task.branch.replace("{number}", &number);
        let name = name.replace("{slug}", &ident::slug(&brief.title, 40));
        let name = name.trim_end_matches(['-', '/']).to_owned();
        let earlier = self
            .store
            .tasks_of(&scene.served.key, scene.thread.number)
            .await?;
        let repository = &scene.served.repository;
        for more in 1..100 {
            let name = match more {
                1 => name.clone(),
                more => format!("{name}-{more}"),
            };
            let ours = earlier.iter().any(|record| record.task.branch == name);
            if !ours && !self.desk.has_branch(repository, &name).await? {
                return Ok(name);
            }
        }
        Ok(format!("{name}-{}", self.clock.now().0))
    }

    async fn is_flooded(&self, scene: &Scene<'_>) -> Result<bool, Trouble> {
        let since = self.clock.now().minus_secs(3600);
        let key = &scene.served.key;
        let proposed = self.store.settled_since(key, "", PROPOSED, since).await?;
        Ok(proposed >= PROPOSALS_AN_HOUR)
    }
}

const NO_CHECKS: &str = "Nothing was started: nothing says how to verify this repository. Add a `[[verify]]` to \
                         `.github/prentice.toml` on the default branch, then ask again.";
const NO_AGENT: &str = "Nothing was started: this server has no agent; it only verifies pull requests \
                        (the command `verify` on one of them).";

/// What whoever shares our account has to know; nothing tells their acts from ours.
const OURS: &str = "Nothing was started: this was asked for with the account that I work with, and its acts never \
                    count. Give me an account of my own, and ask with yours.";

/// Strangers do not make us write.
fn told_if(permitted: bool, text: String) -> Began {
    match permitted {
        true => Began::Told(text),
        false => Began::Settled(text),
    }
}

/// What became of an act whose consumption was cut short after it was decided, for records.
pub(super) fn decided(before: Option<Outcome>) -> String {
    match before {
        Some(Outcome::Ignored { reason }) => reason,
        Some(Outcome::Done { .. } | Outcome::Waiting) | None => {
            "done by an earlier look".to_owned()
        }
    }
}

/// Who is not looked up, since what they may decides nothing.
pub(super) fn unknown(account: &Account) -> Actor {
    Actor {
        login: account.login.clone(),
        id: Some(account.id),
        kind: account.kind,
        right: None,
    }
}

fn survey(ground: &Ground, brief: &Brief) -> Survey {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let files = count(ground.files.len());
    let in_scope = || {
        let globs = Globs::new(&brief.scope).ok()?;
        let matching = ground.files.iter().filter(|path| globs.is_match(path));
        Some(count(matching.count()))
    };
    Survey {
        files,
        files_in_scope: match brief.scope.is_empty() {
            true => files,
            false => in_scope().unwrap_or(0),
        },
    }
}
