//! The words that would run: as they are read, whose comments belong to them, and what proves that nobody changed them.

use std::collections::HashMap;
use std::time::Duration;

use super::{Intake, Scene, Trouble};
use crate::domain::act::{self, Path, Words};
use crate::domain::brief::{self, Brief, BriefError};
use crate::domain::command::{Command, Heard, Place, StageWord};
use crate::domain::ident::{Digest, Time};
use crate::domain::policy::{Actor, Refusal, Right, permit};
use crate::domain::settings::{CommentsFrom, Settings};
use crate::domain::task::{ApprovalOf, Stage, Task};
use crate::forge::{Comment, Error, LIST_MAX, Proof};

/// How near to an entry of a timeline a signed delivery of its actor has to be, where that is all the proof there is.
const PROOF_MILLIS: u64 = 10_000;

/// Most people whose rights are looked up for the comments of one issue; those of others are left out.
const AUTHORS_MAX: usize = 50;

/// What is known about words.
pub(super) enum Known {
    /// This.
    Now(Words),
    /// Nothing until then, unless what proves them comes before.
    In(Duration),
}

impl Intake {
    /// The issue's own text as a brief.
    pub(super) fn brief(
        &self,
        scene: &Scene<'_>,
        settings: &Settings,
    ) -> Result<Brief, BriefError> {
        let title: String = scene
            .thread
            .title
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let text = format!("# {title}\n\n{}", scene.thread.body);
        brief::parse(&text, settings.context.max_chars)
    }

    /// What is stored when a start is accepted or proposed: the issue's own text, and the comments of people whose
    /// right is at least `[context] comments_from`. Comments of ours and of programs are no part of it, nor are
    /// commands; those of other people are counted.
    pub(super) async fn with_comments(
        &self,
        scene: &Scene<'_>,
        settings: &Settings,
        brief: Brief,
        until: Option<Time>,
    ) -> Result<Brief, Trouble> {
        let number = scene.thread.number;
        let all = match scene.conversation.comments(number, None).await {
            // Nobody reads so many, and neither does an agent.
            Err(Error::Invalid { .. }) => {
                let left_out = u32::try_from(LIST_MAX).unwrap_or(u32::MAX);
                return Ok(Brief {
                    comments_left_out: left_out,
                    ..brief
                });
            }
            all => all?,
        };
        let rules = scene.rules();
        let mut authors: HashMap<i64, Option<Actor>> = HashMap::new();
        let mut trusted = Vec::new();
        let mut left_out = 0;
        for comment in &all {
            let ours = self.is_us(comment.author.as_ref());
            if ours || self.heard(&settings.trigger.prefix, &comment.body).heard != Heard::Nothing {
                continue;
            }
            let author = match &comment.author {
                Some(author) if settings.context.comments_from != CommentsFrom::None => {
                    if !authors.contains_key(&author.id) {
                        let actor = match authors.len() < AUTHORS_MAX {
                            true => Some(self.actor(scene, author).await?),
                            false => None,
                        };
                        authors.insert(author.id, actor);
                    }
                    authors.get(&author.id).and_then(Option::as_ref)
                }
                _ => None,
            };
            let is_program = author.is_some_and(|actor| {
                let judged = permit(
                    actor,
                    &Command::Status,
                    Place::Issue,
                    StageWord::None,
                    &rules,
                );
                judged == Err(Refusal::Bot)
            });
            match author {
                _ if is_program => {}
                Some(actor) if is_trusted(actor, comment, settings, until) => {
                    trusted.push((actor.login.clone(), comment.body.clone()));
                }
                _ => left_out += 1,
            }
        }
        let brief = brief::with_comments(brief, &trusted, settings.context.max_chars);
        Ok(Brief {
            comments_left_out: left_out,
            ..brief
        })
    }

    /// What is known about the words of an issue at the moment of an act.
    pub(super) async fn words(
        &self,
        scene: &Scene<'_>,
        actor: &Actor,
        path: Path,
        at: Time,
    ) -> Result<Known, Trouble> {
        let rules = scene.rules();
        if let Some(author) = &scene.thread.author {
            let author = match author.login.eq_ignore_ascii_case(&actor.login) {
                true => actor.clone(),
                false => self.actor(scene, author).await?,
            };
            if act::may_start(&author, &rules) {
                return Ok(Known::Now(Words::OfOneWhoMay));
            }
        }
        let proof = scene.conversation.unedited(scene.thread.number, at).await?;
        Ok(match proof {
            Proof::Unedited => Known::Now(Words::Proven),
            Proof::Edited => Known::Now(Words::Unproven),
            Proof::Unknown if is_signed(scene, actor, at) => Known::Now(Words::Proven),
            Proof::Unknown => match self.proof_may_come(path, at) {
                Some(after) => Known::In(after),
                None => Known::Now(Words::Unproven),
            },
        })
    }

    /// The digest of the newer text of a task's issue, where whoever asks for another try at that time means it: its
    /// author could start a task themselves, or they could, and the text was told before they wrote or is proven to be
    /// what was there then.
    pub(super) async fn meant(
        &self,
        scene: &Scene<'_>,
        task: &Task,
        actor: &Actor,
        at: Time,
    ) -> Result<Option<Digest>, Trouble> {
        let Some(edited) = &task.edited else {
            return Ok(None);
        };
        let may = act::may_start(actor, &scene.rules());
        let was_told = task.issue_edited_at.is_some_and(|told| told < at);
        let is_there = || {
            let brief = self.brief(scene, &task.settings);
            brief.is_ok_and(|brief| brief.is_of_same_issue_text(edited))
        };
        let is_meant = match () {
            () if may && was_told => true,
            // The words of a pull request are other words.
            () if scene.thread.is_pull || !is_there() => false,
            () => match self.words(scene, actor, Path::Command, at).await? {
                Known::Now(Words::OfOneWhoMay) => true,
                Known::Now(Words::Proven) => may,
                Known::Now(Words::Unproven) | Known::In(_) => false,
            },
        };
        Ok(is_meant.then(|| edited.digest.clone()))
    }

    /// Why the issue cannot be read while its text waits for a yes: what was read last is not what is there.
    pub(super) fn is_unreadable(&self, scene: &Scene<'_>, task: &Task) -> Option<BriefError> {
        let waits = matches!(
            task.stage,
            Stage::Proposed
                | Stage::AwaitingApproval {
                    of: ApprovalOf::Brief { .. }
                }
        );
        let is_asked = waits && !scene.thread.is_pull;
        self.brief(scene, &task.settings).err().filter(|_| is_asked)
    }

    /// Until when the delivery that proves an act may still come. Another delivery, or a sweep, may have had the
    /// issue looked at before it: proposed then, a start that is proven a moment later would wait for a person.
    fn proof_may_come(&self, path: Path, at: Time) -> Option<Duration> {
        let until = at.plus_secs(PROOF_MILLIS / 1000);
        let left = until.millis_since(self.clock.now());
        // Where the clocks are further apart than that, no delivery proves anything.
        let may = self.hears && path == Path::Label && (1..=2 * PROOF_MILLIS).contains(&left);
        may.then(|| Duration::from_millis(left))
    }
}

/// Whether a comment may be part of a brief.
fn is_trusted(author: &Actor, comment: &Comment, settings: &Settings, until: Option<Time>) -> bool {
    match settings.context.comments_from {
        CommentsFrom::None => false,
        CommentsFrom::Write => author.right >= Some(Right::Write),
        CommentsFrom::Triage => author.right >= Some(Right::Triage),
        // Somebody without rights could change it until it is read.
        CommentsFrom::Anyone => {
            // What came after the act that accepts was seen by nobody who accepted it.
            author.right >= Some(Right::Triage)
                || comment.edited == Some(false) && until.is_none_or(|at| comment.created_at < at)
        }
    }
}

/// Whether signed deliveries of this actor, made when the act was, have the words that are there now: all of them, since
/// which of several tells of this act is not known.
fn is_signed(scene: &Scene<'_>, actor: &Actor, at: Time) -> bool {
    let told = scene.hints.iter().filter_map(|(hint, arrived)| {
        let apart = arrived.millis_since(at).max(at.millis_since(*arrived));
        let words = hint.words.as_ref()?;
        let is_of_act = apart <= PROOF_MILLIS
            && words.labels_changed
            && words.sender.eq_ignore_ascii_case(&actor.login);
        is_of_act.then_some(words.title == scene.thread.title && words.body == scene.thread.body)
    });
    told.reduce(|all, one| all && one).unwrap_or(false)
}
