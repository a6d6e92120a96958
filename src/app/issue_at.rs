//! An issue of a forge as what a run on this machine is for: its words, what governs, and where the result is published.
//!
//! What is published is what a server would have published: by the repository file of the default branch, on a base
//! that the forge has. Nothing is pushed that was on this machine alone but commits of prentice's own.

use std::path::Path;
use std::sync::Arc;

use super::by_url::{Place, Thing, told, writable};
use super::remote::{RemoteRefs, remote, remote_error};
use super::request::Repository;
use super::{App, AppError, Said};
use crate::domain::brief::Brief;
use crate::domain::event::Event;
use crate::domain::ident::{CommitId, TaskId};
use crate::domain::policy::Rules;
use crate::domain::report::{self, Voice};
use crate::domain::settings::Settings;
use crate::domain::task::{IssueRef, PublishTo, Revision, Task};
use crate::domain::text::{clip, harmless};
use crate::forge::{self, PullRequest, Thread};
use crate::git::{self, Mirror, Want};
use crate::intake::{Reader, issue_text};
use crate::store::{Arrival, RepositoryKey};

/// An issue of a forge, as it was read.
pub struct IssueAt {
    place: Place,
    thread: Thread,
    /// Whether the result is to be published there.
    pub(super) publish: bool,
}

impl IssueAt {
    /// Title and text, as the text of an issue file.
    #[must_use]
    pub fn text(&self) -> String {
        issue_text(&self.thread)
    }

    /// The brief with the comments that belong to it, as on a server; those left out are counted, and told.
    pub(super) async fn with_comments(
        &self,
        brief: Brief,
        settings: &Settings,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Brief, AppError> {
        let reader = Reader {
            conversation: self.place.conversation.as_ref(),
            us: None,
            rules: &Rules::of(settings, None, true),
        };
        let read = reader.read(self.thread.number, settings, brief, None).await;
        let read = read.map_err(|why| told(&why))?;
        let left_out = match read.brief.comments_left_out {
            0 => return Ok(read.brief),
            1 => "1 comment is left out of the brief (`[context] comments_from`)".to_owned(),
            many => {
                format!("{many} comments are left out of the brief (`[context] comments_from`)")
            }
        };
        say(&match read.untold {
            0 => left_out,
            untold => {
                format!("{left_out}; of {untold}, the author's right is not told to this token")
            }
        });
        Ok(read.brief)
    }
}

impl App {
    /// Reads the issue at an address. `publish`: the result is to be published there.
    ///
    /// # Errors
    /// [`AppError::Usage`] for another address, and where nothing may be published; [`AppError::Auth`],
    /// [`AppError::NotFound`], [`AppError::Host`].
    pub async fn issue_at(&self, url: &str, publish: bool) -> Result<IssueAt, AppError> {
        let place = self.place(url, Thing::Issue).await?;
        let thread = place.conversation.thread(place.named.number).await;
        let thread = thread.map_err(|why| told(&why))?;
        if thread.is_pull {
            return Err(AppError::Usage(Said::new(
                format!("{url} is a pull request"),
                "`prentice verify` judges it",
            )));
        }
        if publish {
            writable(&place.named.forge)?;
        }
        Ok(IssueAt {
            place,
            thread,
            publish,
        })
    }

    /// The commit whose repository file governs a run that is published: the head of the default branch, fetched.
    pub(super) async fn rules(
        &self,
        at: &IssueAt,
        repository: &Repository,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<CommitId, AppError> {
        if repository.survey.shallow {
            return Err(AppError::Usage(Said::new(
                "the clone is shallow, so nothing shows that its commits are on the forge",
                "`git fetch --unshallow`, or leave --publish away",
            )));
        }
        let there = &at.place.repository;
        let branch = &there.default_branch;
        let rules = self.tip(&at.place, &repository.mirror, branch).await?;
        say(&format!(
            "rules: those of {branch} of {} at {}",
            there.name,
            rules.short()
        ));
        Ok(rules)
    }

    /// Where a run from `base` publishes its result. `into`: the branch that the rules name, if they do.
    ///
    /// # Errors
    /// [`AppError::Usage`] where the forge does not have all of the base.
    pub(super) async fn target(
        &self,
        at: &IssueAt,
        repository: &Repository,
        rules: CommitId,
        into: &str,
        base: &CommitId,
    ) -> Result<PublishTo, AppError> {
        let there = &at.place.repository;
        let (into, tip) = match into {
            "" => (&*there.default_branch, rules.clone()),
            into => (into, self.tip(&at.place, &repository.mirror, into).await?),
        };
        self.steps.around("mirror base", || {
            repository.mirror.fetch_commit(&repository.user, base)
        })?;
        let unknown = unknown(&repository.mirror, base, &tip, &[])?;
        if !unknown.is_empty() {
            let hint = format!(
                "start from a commit that it has, as in `git switch --detach origin/{into}`, or leave --publish away"
            );
            return Err(refusal(&unknown, (into, &there.name), &hint));
        }
        Ok(PublishTo {
            forge: at.place.named.forge.name.clone(),
            repository: there.name.clone(),
            repository_id: there.id,
            number: at.thread.number,
            into: into.to_owned(),
            rules,
        })
    }

    /// Shows the result of a task on the forge of its issue, where its run was asked to and the result is there to be
    /// judged: the branch, a draft pull request with the evidence, its checks. Nothing else is written, and the issue
    /// stays as it is. Gives the page of the pull request. Published before, it is brought up to date.
    ///
    /// # Errors
    /// [`AppError::Usage`] where the push would take along what is not ours; else as for [`App::issue_at`].
    pub async fn publish(&self, task: &Task) -> Result<Option<String>, AppError> {
        let Some((to, revision)) = task.to_publish() else {
            return Ok(None);
        };
        let done = self.publish_to(task, to, revision).await;
        let page = done.map_err(|why| unpublished(why, task.id))?;
        // It is there all the same; published once more, it is found.
        if let Err(why) = self.keep_published(task, revision, &page).await {
            tracing::warn!(task = %task.id, %why, "that it is published was not kept");
        }
        Ok(Some(page))
    }

    /// Where somebody else is at work, they decide it.
    async fn keep_published(
        &self,
        task: &Task,
        revision: &Revision,
        page: &str,
    ) -> Result<(), AppError> {
        let arrival = Arrival::Event {
            task: task.id,
            event: Box::new(Event::PublishedBeside {
                head: revision.result.head.clone(),
                page: page.to_owned(),
            }),
        };
        self.store.deliver(arrival, None).await?;
        if let Some(lock) = self.lock("prentice run --publish")? {
            self.take_over(&self.worker(lock)).await?;
        }
        Ok(())
    }

    async fn publish_to(
        &self,
        task: &Task,
        to: &PublishTo,
        revision: &Revision,
    ) -> Result<String, AppError> {
        let place = self.place(&task.issue.source, Thing::Issue).await?;
        writable(&place.named.forge)?;
        if place.repository.id != to.repository_id {
            return Err(AppError::NotFound(Said::plain(format!(
                "{} is in another repository now",
                task.issue.source
            ))));
        }
        let mirror = self.repository(Path::new(&task.issue.repository))?.mirror;
        let head = &revision.result.head;
        // Both may have moved since the run began: the branch there, and the task's branch here.
        let tip = self.tip(&place, &mirror, &to.into).await?;
        let unknown = unknown(&mirror, head, &tip, &task.ours)?;
        if !unknown.is_empty() {
            let hint = format!("bring what is yours to {} yourself", to.into);
            return Err(refusal(&unknown, (&to.into, &place.repository.name), &hint));
        }
        let refs = RemoteRefs::new(
            Arc::clone(&place.service),
            place.repository.clone(),
            mirror,
            Arc::clone(&self.steps),
        );
        let forge = place.service.forge(&place.repository, Arc::new(refs));
        // The same task, as one of that repository.
        let shown = Task {
            issue: IssueRef {
                forge: to.forge.clone(),
                repository: place.repository.name.clone(),
                repository_id: Some(to.repository_id),
                number: to.number,
                out: None,
                ..task.issue.clone()
            },
            ..task.clone()
        };
        let voice = Voice::forge(task.settings.trigger.prefix.clone());
        let (title, body) = (
            report::pull_title(&shown),
            report::pull_body(&shown, &voice),
        );
        let pull = PullRequest {
            branch: &task.branch,
            base: Some(&to.into),
            title: &title,
            body: &body,
            draft: true,
        };
        // Its own number is that of this machine.
        let kept_at = (
            RepositoryKey {
                forge: to.forge.clone(),
                id: to.repository_id,
            },
            format!("pull {}", task.id),
        );
        let known = self.store.note(&kept_at.0, &kept_at.1).await?;
        let at = forge::Place {
            task: task.id,
            issue: to.number,
            pull: known,
        };
        // Published before, it is there already.
        match forge.ensure_branch(&task.branch, head, None).await {
            Err(forge::Error::Conflict { found, .. }) => {
                let found = found.map_or(String::new(), |head| format!(" at {}", head.short()));
                return Err(AppError::Usage(Said::new(
                    format!(
                        "{} has a branch {} already{found}, which is another result",
                        place.repository.name, task.branch
                    ),
                    "delete it there if nobody needs it",
                )));
            }
            done => done.map_err(|why| told(&why))?,
        }
        let made = forge.ensure_pull(at, &pull).await;
        let pull = made.map_err(|why| told(&why))?;
        if known != Some(pull.number) {
            let kept = self.store.keep_note(&kept_at.0, &kept_at.1, pull.number);
            kept.await?;
        }
        let published = async {
            for check in report::checks(&shown) {
                forge.set_check(at, &check).await?;
            }
            Ok(pull.location)
        };
        published.await.map_err(|why: forge::Error| told(&why))
    }

    /// The head of a branch of the forge, fetched into the mirror with its history.
    async fn tip(
        &self,
        place: &Place,
        mirror: &Mirror,
        branch: &str,
    ) -> Result<CommitId, AppError> {
        let remote = remote(place.service.as_ref(), &place.repository).await;
        let remote = remote.map_err(|why| told(&why))?;
        let (mirror, steps) = (mirror.clone(), Arc::clone(&self.steps));
        let want = [Want::Branch(branch.to_owned())];
        let fetched = tokio::task::spawn_blocking(move || {
            steps.around("mirror base", || mirror.fetch_remote(&remote, &want))
        });
        let internal = |why: String| AppError::Internal(Said::plain(why));
        let fetched = fetched.await.map_err(|why| internal(why.to_string()))?;
        let commits = fetched.map_err(|why| told(&remote_error(why)))?;
        let none = || internal(format!("branch {branch} gave no commit"));
        commits.into_iter().next().ok_or_else(none)
    }
}

/// Commits that a push of `head` would bring to a forge that has `tip`, beside those in `ours`.
fn unknown(
    mirror: &Mirror,
    head: &CommitId,
    tip: &CommitId,
    ours: &[CommitId],
) -> Result<Vec<(CommitId, String)>, git::Error> {
    let mut beyond = mirror.beyond(head, tip)?;
    beyond.retain(|(commit, _)| !ours.contains(commit));
    Ok(beyond)
}

/// Most commits that a refusal names.
const NAMED_MAX: usize = 3;

fn refusal(
    unknown: &[(CommitId, String)],
    (branch, repository): (&str, &str),
    hint: &str,
) -> AppError {
    let mut named: Vec<String> = unknown
        .iter()
        .take(NAMED_MAX)
        .map(|(commit, line)| {
            format!(
                "{} {}",
                commit.short(),
                clip(&harmless(line.as_bytes()), 60)
            )
        })
        .collect();
    if unknown.len() > NAMED_MAX {
        named.push(format!("and {} more", unknown.len() - NAMED_MAX));
    }
    let count = match unknown.len() {
        1 => "a commit".to_owned(),
        many => format!("{many} commits"),
    };
    AppError::Usage(Said::new(
        format!(
            "the push would take along {count} that {branch} of {repository} does not have: {}",
            named.join(", ")
        ),
        hint,
    ))
}

/// The result stays as it is: what was in the way can be mended.
fn unpublished(error: AppError, task: TaskId) -> AppError {
    let then = |said: Said| {
        let then = format!("then `prentice tasks resume {task}` publishes the result");
        let hint = match said.hint.as_str() {
            "" => then,
            hint => format!("{hint}; {then}"),
        };
        Said::new(said.what, hint)
    };
    let error = match error {
        AppError::Auth(said) => AppError::Auth(then(said)),
        AppError::NotFound(said) => AppError::NotFound(then(said)),
        AppError::Usage(said) => AppError::Usage(then(said)),
        other => other,
    };
    error.of(task)
}
