//! The words that would run: as they are read, whose comments belong to them, and what proves that nobody changed them.

use std::collections::HashMap;
use std::time::Duration;

use super::comments::{MARK, heard};
use super::start::unknown;
use super::{Intake, Scene, Trouble, actor};
use crate::domain::act::{self, Path, Words};
use crate::domain::brief::{self, Brief, BriefError};
use crate::domain::command::{Command, Heard, Place, StageWord, Target};
use crate::domain::event::Event;
use crate::domain::ident::{Digest, Time};
use crate::domain::policy::{Actor, Refusal, Right, Rules, permit};
use crate::domain::report::{self, Reply};
use crate::domain::settings::{CommentsFrom, Settings};
use crate::domain::task::Task;
use crate::forge::hook::Hint;
use crate::forge::{Account, Comment, Conversation, Error, LIST_MAX, Proof, Thread};

/// How near to an entry of a timeline a signed delivery of its actor has to be, where that is all the proof there is.
const PROOF_MILLIS: u64 = 10_000;

/// Wait before a text is looked at again that was edited while it was looked at.
const AT_ONCE: Duration = Duration::from_millis(50);

/// Most people whose rights are looked up for the comments of one issue; those of others are left out.
const AUTHORS_MAX: usize = 50;

/// What is known about words.
pub(super) enum Known {
    /// This.
    Now(Words),
    /// Nothing until then, unless what proves them comes before.
    In(Duration),
}

/// The issue's own text as briefs are read from.
pub(crate) fn issue_text(thread: &Thread) -> String {
    let words: Vec<&str> = thread.title.split_whitespace().collect();
    format!("# {}\n\n{}", words.join(" "), thread.body)
}

/// Who reads the comments of an issue, and by which rules.
pub(crate) struct Reader<'a> {
    pub(crate) conversation: &'a dyn Conversation,
    /// The account that we work with, whose words are no part of a brief. `None` where a person reads with a token of
    /// their own: what is marked as ours is left out then, and where the token may not ask for a right, none is known.
    pub(crate) us: Option<&'a Account>,
    pub(crate) rules: &'a Rules,
}

/// A brief with the comments that belong to it.
pub(crate) struct ReadComments {
    pub(crate) brief: Brief,
    /// Comments among those left out whose author's right the forge did not tell.
    pub(crate) untold: u32,
}

impl Reader<'_> {
    /// Adds the comments of people whose right is at least `[context] comments_from`, and counts those of others.
    pub(crate) async fn read(
        &self,
        number: i64,
        settings: &Settings,
        brief: Brief,
        until: Option<Time>,
    ) -> Result<ReadComments, Error> {
        let all = match self.conversation.comments(number, None).await {
            // Nobody reads so many, and neither does an agent.
            Err(Error::Invalid { .. }) => {
                let comments_left_out = u32::try_from(LIST_MAX).unwrap_or(u32::MAX);
                let brief = Brief {
                    comments_left_out,
                    ..brief
                };
                return Ok(ReadComments { brief, untold: 0 });
            }
            all => all?,
        };
        let mut authors: HashMap<i64, Option<Actor>> = HashMap::new();
        let mut trusted = Vec::new();
        let (mut left_out, mut untold) = (0, 0);
        for comment in &all {
            if self.is_ours(comment) || self.is_command(&settings.trigger.prefix, &comment.body) {
                continue;
            }
            let author = match &comment.author {
                Some(author) if settings.context.comments_from != CommentsFrom::None => {
                    if !authors.contains_key(&author.id) {
                        let actor = match authors.len() < AUTHORS_MAX {
                            true => Some(self.actor(author).await?),
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
                    self.rules,
                );
                judged == Err(Refusal::Bot)
            });
            match author {
                _ if is_program => {}
                Some(actor) if is_trusted(actor, comment, settings, until) => {
                    trusted.push((actor.login.clone(), comment.body.clone()));
                }
                _ => {
                    left_out += 1;
                    untold += u32::from(author.is_some_and(|actor| actor.right.is_none()));
                }
            }
        }
        let brief = brief::with_comments(brief, &trusted, settings.context.max_chars);
        let brief = Brief {
            comments_left_out: left_out,
            ..brief
        };
        Ok(ReadComments { brief, untold })
    }

    fn is_ours(&self, comment: &Comment) -> bool {
        match (self.us, &comment.author) {
            (Some(us), author) => author.as_ref().is_some_and(|author| author.id == us.id),
            (None, _) => comment.body.contains(MARK),
        }
    }

    fn is_command(&self, prefix: &str, text: &str) -> bool {
        heard(self.us.map(|us| us.login.as_str()), prefix, text).heard != Heard::Nothing
    }

    async fn actor(&self, author: &Account) -> Result<Actor, Error> {
        match actor(self.conversation, author).await {
            Err(Error::NotPermitted { .. } | Error::Gone { .. }) if self.us.is_none() => {
                Ok(unknown(author))
            }
            actor => actor,
        }
    }
}

impl Intake {
    /// The issue's own text as a brief.
    pub(super) fn brief(
        &self,
        scene: &Scene<'_>,
        settings: &Settings,
    ) -> Result<Brief, BriefError> {
        brief_of(&scene.thread, settings)
    }

    /// That the issue says what this look read. Read again between the list of what people did and the proof that
    /// nobody edited since: what was read before that list may be older than the act.
    pub(super) async fn still_says_so(&self, scene: &Scene<'_>) -> Result<(), Trouble> {
        let read = &scene.thread;
        let now = scene.conversation.thread(read.number).await?;
        match (&now.title, &now.body) == (&read.title, &read.body) {
            true => Ok(()),
            false => Err(Trouble::NotYet {
                number: read.number,
                after: AT_ONCE,
            }),
        }
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
        let reader = Reader {
            conversation: scene.conversation.as_ref(),
            us: Some(&self.us),
            rules: &scene.rules(),
        };
        let read = reader.read(scene.thread.number, settings, brief, until);
        Ok(read.await?.brief)
    }

    /// What is known about the words of an issue at the moment of an act.
    pub(super) async fn words(
        &self,
        scene: &Scene<'_>,
        thread: &Thread,
        (actor, path): (&Actor, Path),
        at: Time,
    ) -> Result<Known, Trouble> {
        let rules = scene.rules();
        if let Some(author) = &thread.author {
            let author = match author.login.eq_ignore_ascii_case(&actor.login) {
                true => actor.clone(),
                false => self.actor(scene, author).await?,
            };
            if act::may_start(&author, &rules) {
                return Ok(Known::Now(Words::OfOneWhoMay));
            }
        }
        let proof = scene.conversation.unedited(thread.number, at).await?;
        Ok(match proof {
            Proof::Unedited => Known::Now(Words::Proven),
            Proof::Edited => Known::Now(Words::Unproven),
            Proof::Unknown if is_signed(scene.hints, thread, &actor.login, at) => {
                Known::Now(Words::Proven)
            }
            Proof::Unknown => match self.proof_may_come(path, at) {
                Some(after) => Known::In(after),
                None => Known::Now(Words::Unproven),
            },
        })
    }

    /// The digest of the newer text of a task's issue, where whoever asks for another try at that time means it: its
    /// author could start a task themselves, or they could, and it is proven to be what was there then. That its edit was
    /// told says nothing: another text may have stood there meanwhile. Never one that is not there any more.
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
        // Read now: what was told last is not always what is there.
        let thread = match scene.conversation.thread(task.issue.number).await {
            Err(Error::Gone { .. }) => return Ok(None),
            thread => thread?,
        };
        let brief = brief_of(&thread, &task.settings);
        if !brief.is_ok_and(|brief| brief.is_of_same_issue_text(edited)) {
            return Ok(None);
        }
        let is_meant = match self
            .words(scene, &thread, (actor, Path::Command), at)
            .await?
        {
            Known::Now(Words::OfOneWhoMay) => true,
            Known::Now(Words::Proven) => act::may_start(actor, &scene.rules()),
            Known::Now(Words::Unproven) | Known::In(_) => false,
        };
        Ok(is_meant.then(|| edited.digest.clone()))
    }

    /// Whether the newest text of a task's issue stood on the forge when somebody did something about it. Both times are
    /// the forge's; it tells whole seconds, and within one the act counts as the earlier.
    pub(super) async fn was_shown(&self, task: &Task, at: Time) -> Result<bool, Trouble> {
        let Some(text) = task.text_to_see() else {
            return Ok(true);
        };
        let since = self.store.shown_since(task.id, &text).await?;
        Ok(since.is_some_and(|since| since < at))
    }

    /// Why an approval typed `at` is not of what was there to see: what to say, and what comes of it.
    pub(super) async fn is_unseen<'a>(
        &self,
        scene: &Scene<'_>,
        task: &'a Task,
        (actor, target): (&Actor, Option<&Target>),
        at: Time,
    ) -> Result<Option<(Reply<'a>, &'static str)>, Trouble> {
        if let Some(older) = Reply::older(task, target, at) {
            return Ok(Some((older, "approves something older")));
        }
        if !task.brief_waits() {
            return Ok(None);
        }
        // Who names it read the name there, be it in the same second.
        let seen = at.plus_secs(u64::from(target.is_some()));
        let is_seen = match report::shows_brief(task) {
            true => self.was_shown(task, seen).await?,
            // A name alone says nothing of what stood in the issue; its thread is here, since it has no pull request yet.
            false if scene.thread.is_pull => false,
            false => {
                let by = (actor, Path::Command);
                let words = self.words(scene, &scene.thread, by, at).await?;
                matches!(words, Known::Now(Words::OfOneWhoMay | Words::Proven))
            }
        };
        if !is_seen {
            if !task.unshown {
                self.store.show_again(task.id).await?;
            } else if act::may_start(actor, &scene.rules()) {
                let by = actor.login.clone();
                self.happened(task.id, Event::AskedFor { by }, None).await?;
            }
            return Ok(Some((
                Reply::Unseen { task },
                "approves what was not there yet",
            )));
        }
        // What was read last is not what is there.
        let read = match scene.thread.is_pull {
            true => Ok(()),
            false => self.brief(scene, &task.settings).map(|_| ()),
        };
        Ok(read
            .err()
            .map(|why| (Reply::Unreadable(why), "the issue cannot be read")))
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

fn brief_of(thread: &Thread, settings: &Settings) -> Result<Brief, BriefError> {
    brief::parse(&issue_text(thread), settings.context.max_chars)
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

/// Whether signed deliveries of this account, made when the act was, have the words that are there now: all of them,
/// since which of several tells of this act is not known. A later one tells of another change of the labels, when the
/// words may have been others.
fn is_signed(hints: &[(Hint, Time)], thread: &Thread, login: &str, at: Time) -> bool {
    let told = hints.iter().filter_map(|(hint, arrived)| {
        let apart = arrived.millis_since(at).max(at.millis_since(*arrived));
        let words = hint.words.as_ref()?;
        let is_of_act = apart <= PROOF_MILLIS
            && words.labels_changed
            && words.sender.eq_ignore_ascii_case(login);
        is_of_act.then_some(words.title == thread.title && words.body == thread.body)
    });
    told.reduce(|all, one| all && one).unwrap_or(false)
}

/// Why a comment does not run: only what was typed as it is does.
pub(super) fn is_doubtful(scene: &Scene<'_>, comment: &Comment) -> Option<Reply<'static>> {
    let hints = scene.hints.iter();
    let mut signed = hints.filter_map(|(hint, _)| hint.comment.as_ref());
    let differs = signed.any(|(id, text)| *id == comment.id && *text != comment.body);
    match comment.edited {
        _ if differs => Some(Reply::Edited),
        Some(true) => Some(Reply::Edited),
        None => Some(Reply::Unproven),
        Some(false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::hook::{Subject, Words as Signed};

    const AT: Time = Time(1_790_000_000_000);

    fn thread() -> Thread {
        Thread {
            number: 7,
            id: 70,
            is_pull: false,
            title: "No answer".to_owned(),
            body: "There is none.".to_owned(),
            author: None,
            open: true,
            locked: false,
            labels: vec!["agent".to_owned()],
            assignees: Vec::new(),
            created_at: AT,
            updated_at: AT,
            page: String::new(),
        }
    }

    /// A delivery of dana's with the words that are there, this long after the act.
    fn delivery(millis: i64, change: impl FnOnce(&mut Signed)) -> (Hint, Time) {
        let Thread { title, body, .. } = thread();
        let mut words = Signed {
            sender: "Dana".to_owned(),
            labels_changed: true,
            title,
            body,
        };
        change(&mut words);
        let hint = Hint {
            repository: 1,
            name: "acme/widget".to_owned(),
            subject: Subject::Thread(7),
            comment: None,
            words: Some(words),
        };
        (hint, Time(AT.0 + millis))
    }

    fn proven(hints: &[(Hint, Time)]) -> bool {
        is_signed(hints, &thread(), "dana", AT)
    }

    #[test]
    fn a_delivery_proves_the_words_of_an_act_for_ten_seconds_and_no_longer() {
        for (millis, is) in [(0, true), (10_000, true), (10_001, false), (60_000, false)] {
            // Clocks differ in either direction.
            for millis in [millis, -millis] {
                assert_eq!(proven(&[delivery(millis, |_| {})]), is, "{millis}");
            }
        }
    }

    #[test]
    fn only_deliveries_about_labels_by_who_acted_prove_and_each_has_to_have_the_words() {
        assert!(!proven(&[]));
        assert!(!proven(&[
            delivery(0, |words| "eve".clone_into(&mut words.sender))
        ]));
        assert!(!proven(
            &[delivery(0, |words| words.labels_changed = false)]
        ));
        let other_title = delivery(0, |words| words.title.push('!'));
        let other_body = delivery(0, |words| words.body.push('!'));
        for other in [other_title, other_body] {
            assert!(!proven(std::slice::from_ref(&other)));
            assert!(!proven(&[delivery(0, |_| {}), other]));
        }
        // What was not made then says nothing against it either.
        let later = delivery(10_001, |words| words.body.push('!'));
        assert!(proven(&[delivery(0, |_| {}), later]));
    }
}
