//! A forge in memory that behaves as the real ones do: comments have authors, a
//! pull request is unique per head branch, refs move by compare-and-set, answers get lost.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use prentice::domain::ident::{CommitId, Time};
use prentice::domain::policy::{ActorKind, Right};
use prentice::domain::report::{CheckReport, CheckState};
use prentice::domain::task::Pull;
use prentice::forge::{
    Account, Capabilities, Checks, CommentId, Drafts, Error, Forge, Issue, Leave, Place,
    PullRequest, PullState, Stands, Status, marker,
};

const BOT: i64 = 900;

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is done, and its answer is lost.
    AfterApply,
    /// It is not done; try again.
    Before,
    /// It is not done yet: so many are allowed in a minute.
    Limit,
    /// It is refused for good.
    Refuse,
    /// Something else answers.
    Away,
}

#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub(crate) id: i64,
    pub(crate) issue: i64,
    pub(crate) author: i64,
    pub(crate) body: String,
    pub(crate) minimised: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct FakePull {
    pub(crate) number: i64,
    pub(crate) branch: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) draft: bool,
    pub(crate) stands: Stands,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) issues: BTreeMap<i64, Issue>,
    pub(crate) labels: BTreeMap<i64, Vec<String>>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) pulls: Vec<FakePull>,
    pub(crate) refs: BTreeMap<String, CommitId>,
    pub(crate) checks: BTreeMap<(CommitId, String), (CheckState, String)>,
    pub(crate) rights: BTreeMap<String, Right>,
    /// Who was asked to review, by task.
    pub(crate) reviewers: BTreeMap<i64, BTreeSet<String>>,
    /// Each is used up by the next write of that verb.
    pub(crate) faults: VecDeque<(&'static str, Fault)>,
    /// How often tasks were cleaned up.
    pub(crate) cleaned: usize,
    /// Happens in the middle of a clean-up.
    pub(crate) at_clean_up: Option<Box<dyn Fn() + Send>>,
    /// Writes that changed something, in order.
    pub(crate) written: Vec<&'static str>,
    last_id: i64,
}

impl World {
    fn id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn comment_as(&mut self, author: i64, issue: i64, body: &str) -> i64 {
        let id = self.id();
        self.comments.push(Comment {
            id,
            issue,
            author,
            body: body.to_owned(),
            minimised: false,
        });
        id
    }
}

#[derive(Default)]
pub(crate) struct FakeForge {
    world: Mutex<World>,
}

impl FakeForge {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Does `work` unless a fault is planted for `verb`.
    fn write<T>(
        &self,
        verb: &'static str,
        work: impl FnOnce(&mut World) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut world = self.world();
        let planted = world.faults.iter().position(|(of, _)| *of == verb);
        let fault = planted.and_then(|at| world.faults.remove(at));
        let lost = || Error::Retry {
            after_secs: None,
            why: "connection reset".to_owned(),
        };
        match fault.map(|(_, fault)| fault) {
            Some(Fault::Before) => Err(lost()),
            Some(Fault::Limit) => Err(Error::Retry {
                after_secs: Some(60),
                why: "so many writes in a minute".to_owned(),
            }),
            Some(Fault::Away) => Err(Error::Away {
                what: "what the forge answered".to_owned(),
                why: "it is a page that says: back soon".to_owned(),
            }),
            Some(Fault::Refuse) => Err(Error::NotPermitted {
                what: verb.to_owned(),
                setting: "the fake's permissions".to_owned(),
            }),
            Some(Fault::AfterApply) => {
                work(&mut world)?;
                Err(lost())
            }
            None => work(&mut world),
        }
    }
}

/// Whether this is the task's: by its number, where that is known, else by its marker.
fn is_of(place: Place, pull: &FakePull) -> bool {
    match place.pull {
        Some(number) => pull.number == number,
        None => pull.body.starts_with(&marker(place, None)),
    }
}

/// The comment of ours that begins with `mark`; lowest id first, as a forge lists them.
fn find(world: &World, issue: i64, mark: &str) -> Option<usize> {
    world.comments.iter().position(|comment| {
        comment.issue == issue && comment.author == BOT && comment.body.starts_with(mark)
    })
}

#[async_trait]
impl Forge for FakeForge {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            labels: true,
            drafts: Drafts::Field,
            checks: Checks::Statuses,
            ..Capabilities::default()
        }
    }

    async fn whoami(&self) -> Result<Account, Error> {
        Ok(Account {
            id: BOT,
            login: "prentice-bot".to_owned(),
            kind: ActorKind::Bot,
            address: None,
        })
    }

    async fn issue(&self, number: i64) -> Result<Issue, Error> {
        let issue = self.world().issues.get(&number).cloned();
        issue.ok_or_else(|| Error::Gone {
            what: format!("issue #{number}"),
        })
    }

    async fn right(&self, login: &str) -> Result<Option<Right>, Error> {
        let known = self.world().rights.get(login).copied();
        Ok(Some(known.unwrap_or(Right::None)))
    }

    async fn ensure_status(
        &self,
        place: Place,
        known: Option<CommentId>,
        status: &Status<'_>,
    ) -> Result<CommentId, Error> {
        self.write("ensure_status", |world| {
            let mark = marker(place, None);
            let body = format!("{mark}\n{}", status.body);
            let by_id = known.and_then(|known| {
                let ours = |one: &Comment| one.id == known.0 && one.author == BOT;
                world.comments.iter().position(ours)
            });
            match by_id.or_else(|| find(world, place.issue, &mark)) {
                Some(at) if world.comments[at].body == body => Ok(CommentId(world.comments[at].id)),
                Some(at) => {
                    world.written.push("edit comment");
                    world.comments[at].body = body;
                    Ok(CommentId(world.comments[at].id))
                }
                None => {
                    world.written.push("new comment");
                    Ok(CommentId(world.comment_as(BOT, place.issue, &body)))
                }
            }
        })
    }

    async fn written_at(&self, _comment: CommentId) -> Result<Option<Time>, Error> {
        Ok(None)
    }

    async fn ensure_comment(
        &self,
        place: Place,
        key: &str,
        body: &str,
    ) -> Result<CommentId, Error> {
        self.write("ensure_comment", |world| {
            let mark = marker(place, Some(key));
            match find(world, place.issue, &mark) {
                Some(at) => Ok(CommentId(world.comments[at].id)),
                None => {
                    world.written.push("new comment");
                    let body = format!("{mark}\n{body}");
                    Ok(CommentId(world.comment_as(BOT, place.issue, &body)))
                }
            }
        })
    }

    async fn ensure_label(&self, place: Place, label: Option<&str>) -> Result<(), Error> {
        self.write("ensure_label", |world| {
            let labels = world.labels.entry(place.issue).or_default();
            let before = labels.clone();
            labels.retain(|one| !one.starts_with("agent:") || Some(one.as_str()) == label);
            if let Some(label) = label
                && !labels.iter().any(|one| one == label)
            {
                labels.push(label.to_owned());
            }
            if *labels != before {
                world.written.push("labels");
            }
            Ok(())
        })
    }

    async fn set_check(&self, _place: Place, check: &CheckReport) -> Result<(), Error> {
        self.write("set_check", |world| {
            world.checks.insert(
                (check.sha.clone(), check.name.clone()),
                (check.state, check.title.clone()),
            );
            Ok(())
        })
    }

    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, Error> {
        Ok(self.world().refs.get(branch).cloned())
    }

    async fn ensure_branch(
        &self,
        branch: &str,
        commit: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), Error> {
        self.write("ensure_branch", |world| {
            let found = world.refs.get(branch).cloned();
            if found.as_ref() == Some(commit) {
                return Ok(());
            }
            if found.as_ref() != expected {
                return Err(Error::Conflict {
                    what: format!("branch `{branch}`"),
                    found,
                });
            }
            world.written.push("branch");
            world.refs.insert(branch.to_owned(), commit.clone());
            Ok(())
        })
    }

    async fn delete_branch(&self, branch: &str, expected: &CommitId) -> Result<(), Error> {
        self.write("delete_branch", |world| {
            let found = world.refs.get(branch).cloned();
            match &found {
                None => Ok(()),
                Some(head) if head == expected => {
                    world.refs.remove(branch);
                    // As forges do: the pull request of a deleted branch is closed.
                    for pull in &mut world.pulls {
                        if pull.branch == branch && pull.stands == Stands::Open {
                            pull.stands = Stands::Closed;
                        }
                    }
                    Ok(())
                }
                Some(_) => Err(Error::Conflict {
                    what: format!("branch `{branch}`"),
                    found,
                }),
            }
        })
    }

    async fn ensure_pull(&self, place: Place, pull: &PullRequest<'_>) -> Result<Pull, Error> {
        self.write("ensure_pull", |world| {
            let Some(head) = world.refs.get(pull.branch).cloned() else {
                return Err(Error::Gone {
                    what: format!("branch `{}`", pull.branch),
                });
            };
            let mark = marker(place, None);
            let body = format!("{mark}\n{}", pull.body);
            let found = world.pulls.iter_mut().find(|one| is_of(place, one));
            if let (None, Some(number)) = (&found, place.pull) {
                return Err(Error::Gone {
                    what: format!("our pull request #{number}"),
                });
            }
            if let Some(found) = found {
                if found.stands != Stands::Open {
                    return Err(Error::Gone {
                        what: format!("pull request #{} (it was closed)", found.number),
                    });
                }
                if found.branch != pull.branch {
                    return Err(Error::Conflict {
                        what: format!("pull request #{}", found.number),
                        found: None,
                    });
                }
                found.title = pull.title.to_owned();
                found.body = body;
                return Ok(located(found.number, head));
            }
            let taken = |one: &FakePull| one.branch == pull.branch && one.stands == Stands::Open;
            if let Some(other) = world.pulls.iter().find(|one| taken(one)) {
                return Err(Error::Conflict {
                    what: format!("pull request #{}, which is not ours,", other.number),
                    found: None,
                });
            }
            world.written.push("new pull request");
            let number = world.id();
            world.pulls.push(FakePull {
                number,
                branch: pull.branch.to_owned(),
                title: pull.title.to_owned(),
                body,
                draft: pull.draft,
                stands: Stands::Open,
            });
            Ok(located(number, head))
        })
    }

    async fn pull_state(&self, place: Place) -> Result<Option<PullState>, Error> {
        let world = self.world();
        let found = world.pulls.iter().find(|one| is_of(place, one));
        Ok(found.map(|pull| PullState {
            number: pull.number,
            head: world.refs.get(&pull.branch).cloned(),
            stands: pull.stands,
            by: None,
        }))
    }

    async fn close_pull(&self, place: Place) -> Result<(), Error> {
        self.write("close_pull", |world| {
            for pull in &mut world.pulls {
                if is_of(place, pull) && pull.stands == Stands::Open {
                    pull.stands = Stands::Closed;
                }
            }
            Ok(())
        })
    }

    async fn label_pull(&self, _: Place, _: &[String]) -> Result<(), Error> {
        self.write("label_pull", |_| Ok(()))
    }

    async fn request_review(&self, place: Place, login: &str) -> Result<(), Error> {
        self.write("request_review", |world| {
            let known = world.rights.get(login).copied().unwrap_or(Right::None);
            if known < Right::Read {
                return Err(Error::Invalid {
                    what: format!("reviewer {login}"),
                    why: "not a collaborator".to_owned(),
                });
            }
            let asked = world.reviewers.entry(place.task.0).or_default();
            asked.insert(login.to_owned());
            Ok(())
        })
    }

    async fn mark_ready(&self, place: Place) -> Result<(), Error> {
        self.write("mark_ready", |world| {
            for pull in &mut world.pulls {
                pull.draft &= !is_of(place, pull);
            }
            Ok(())
        })
    }

    async fn drop_trigger(&self, place: Place, label: &str) -> Result<(), Error> {
        self.write("drop_trigger", |world| {
            let labels = world.labels.entry(place.issue).or_default();
            labels.retain(|one| one != label);
            Ok(())
        })
    }

    async fn clean_up(&self, place: Place, _leave: Leave) -> Result<(), Error> {
        self.write("clean_up", |world| {
            world.cleaned += 1;
            if let Some(happens) = &world.at_clean_up {
                happens();
            }
            world
                .labels
                .entry(place.issue)
                .or_default()
                .retain(|one| !one.starts_with("agent:"));
            let status = marker(place, None);
            let keyed = format!(
                "<!-- prentice v1 task={} issue={} key=",
                place.task, place.issue
            );
            for comment in &mut world.comments {
                if comment.author == BOT && comment.body.starts_with(&keyed) {
                    comment.minimised = true;
                }
                assert!(!comment.body.starts_with(&status) || !comment.minimised);
            }
            Ok(())
        })
    }
}

fn located(number: i64, head: CommitId) -> Pull {
    Pull {
        number,
        location: format!("https://forge.test/pulls/{number}"),
        head,
    }
}
