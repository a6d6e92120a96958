//! The forge of one machine.
//!
//! ```text
//! out_root/T-1/issue.md                the text as it was given
//!              status.md               the status comment
//!              history/0001-queued.md  what it said last in each stage it went through
//!              comments/001-tell-1.md  notifications
//!              PR.md                   title and body of the pull request
//!              pull.json               what `PR.md` belongs to
//!              checks.json             checks by commit and name
//! ```
//!
//! Every file is written beside its place, synced and renamed, so a reader or the
//! next start sees the old text or the new one. Only these names are ever written or removed.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::files::{
    beside, file_word, io_error, is_absent, read_capped, read_issue, sync_folder, write,
};
use super::{
    Account, Capabilities, CommentId, Durable, Error, Forge, Issue, Leave, Place, PullRequest,
    PullState, Refs, Stands, Status,
};
use crate::domain::ident::{CommitId, TaskId, Time};
use crate::domain::policy::{ActorKind, Right};
use crate::domain::report::CheckReport;
use crate::domain::task::Pull;

/// Most bytes read back of a file of ours.
const OWN_MAX_BYTES: u64 = 1 << 20;

/// Checks kept in `checks.json`; the oldest go first.
const CHECKS_MAX: usize = 200;

/// Stages kept in `history`; from then on the newest entry is replaced.
const HISTORY_MAX: u32 = 9_999;

/// The status is the one comment that is not in `comments/`.
const STATUS_ID: CommentId = CommentId(0);

/// See the module.
pub(super) struct Local {
    files: Arc<Files>,
    refs: Arc<dyn Refs>,
}

/// The part that blocks. One writer at a time: `checks.json` is read, changed and written.
struct Files {
    root: PathBuf,
    durable: Option<Arc<dyn Durable>>,
}

/// What `PR.md` belongs to.
#[derive(Serialize, Deserialize)]
struct PullFile {
    branch: String,
    base: Option<String>,
    /// The newest head that was published.
    commit: CommitId,
    closed: bool,
}

/// One write of this process at a time. For all instances together: each job makes one of its own,
/// and showing a task and cleaning up after it are jobs side by side.
static WRITING: Mutex<()> = Mutex::new(());

impl Local {
    pub(super) fn new(
        root: PathBuf,
        refs: Arc<dyn Refs>,
        durable: Option<Arc<dyn Durable>>,
    ) -> Self {
        let files = Files { root, durable };
        Self {
            files: Arc::new(files),
            refs,
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let files = Arc::clone(&self.files);
        let done = tokio::task::spawn_blocking(move || {
            let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
            work(&files)
        });
        done.await.unwrap_or_else(|error| {
            Err(Error::Unavailable {
                what: "writing the files of a task".to_owned(),
                why: error.to_string(),
            })
        })
    }
}

#[async_trait]
impl Forge for Local {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn whoami(&self) -> Result<Account, Error> {
        Ok(Account {
            id: 0,
            login: "prentice".to_owned(),
            kind: ActorKind::Bot,
            address: None,
        })
    }

    async fn issue(&self, number: i64) -> Result<Issue, Error> {
        self.blocking(move |files| {
            let path = files.at(TaskId(number), "issue.md");
            Ok(Issue {
                number,
                title: String::new(),
                body: read_issue(&path)?,
                open: true,
            })
        })
        .await
    }

    /// Whoever can start the program here owns the repository.
    async fn right(&self, _login: &str) -> Result<Option<Right>, Error> {
        Ok(Some(Right::Admin))
    }

    async fn ensure_status(
        &self,
        place: Place,
        _known: Option<CommentId>,
        status: &Status<'_>,
    ) -> Result<CommentId, Error> {
        let (word, body, ended) = (file_word(status.word), status.body.to_owned(), status.ended);
        self.blocking(move |files| {
            if ended && files.is_cleaned(place.task) {
                return Ok(STATUS_ID);
            }
            let (number, last) = files.last(place.task, "history")?;
            let number = match &last {
                Some(last) if *last == word => number,
                _ => (number + 1).min(HISTORY_MAX),
            };
            // History first: a kill between the two leaves a status that is made good by the next call.
            files.write(place.task, &format!("history/{number:04}-{word}.md"), &body)?;
            files.write(place.task, "status.md", &body)?;
            Ok(STATUS_ID)
        })
        .await
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
        let (key, body) = (file_word(key), body.to_owned());
        self.blocking(move |files| {
            let entries = files.numbered(place.task, "comments")?;
            if let Some((number, _)) = entries.iter().find(|(_, word)| *word == key) {
                return Ok(CommentId(i64::from(*number)));
            }
            let number = entries.last().map_or(0, |(number, _)| *number) + 1;
            files.write(place.task, &format!("comments/{number:03}-{key}.md"), &body)?;
            Ok(CommentId(i64::from(number)))
        })
        .await
    }

    async fn ensure_label(&self, _place: Place, _label: Option<&str>) -> Result<(), Error> {
        Ok(())
    }

    async fn set_check(&self, place: Place, check: &CheckReport) -> Result<(), Error> {
        let check = check.clone();
        self.blocking(move |files| {
            if files.is_cleaned(place.task) {
                return Ok(());
            }
            let mut all: Vec<CheckReport> = files
                .read_json(place.task, "checks.json")?
                .unwrap_or_default();
            let same = |one: &CheckReport| one.name == check.name && one.sha == check.sha;
            match all.iter_mut().find(|one| same(one)) {
                Some(one) if *one == check => return Ok(()),
                Some(one) => *one = check,
                None => all.push(check),
            }
            let surplus = all.len().saturating_sub(CHECKS_MAX);
            all.drain(..surplus);
            files.write_json(place.task, "checks.json", &all)
        })
        .await
    }

    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, Error> {
        self.refs.branch_head(branch).await
    }

    async fn ensure_branch(
        &self,
        branch: &str,
        commit: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), Error> {
        self.refs.ensure_branch(branch, commit, expected).await
    }

    async fn delete_branch(&self, branch: &str, expected: &CommitId) -> Result<(), Error> {
        self.refs.ensure_no_branch(branch, expected).await
    }

    async fn ensure_pull(&self, place: Place, pull: &PullRequest<'_>) -> Result<Pull, Error> {
        let Some(head) = self.refs.branch_head(pull.branch).await? else {
            return Err(Error::Gone {
                what: format!("branch `{}`", pull.branch),
            });
        };
        let file = PullFile {
            branch: pull.branch.to_owned(),
            base: pull.base.map(ToOwned::to_owned),
            commit: head.clone(),
            closed: false,
        };
        let page = format!("# {}\n\n{}", pull.title, pull.body);
        let location = self
            .blocking(move |files| {
                let old: Option<PullFile> = files.read_json(place.task, "pull.json")?;
                match old {
                    Some(old) if old.closed => {
                        return Err(Error::Gone {
                            what: format!("the pull request of {} (it was closed)", place.task),
                        });
                    }
                    Some(old) if old.branch != file.branch => {
                        return Err(Error::Conflict {
                            what: format!(
                                "the pull request of {}, which is for branch `{}`,",
                                place.task, old.branch
                            ),
                            found: None,
                        });
                    }
                    _ => {}
                }
                files.write_json(place.task, "pull.json", &file)?;
                files.write(place.task, "PR.md", &page)?;
                Ok(files.at(place.task, "PR.md"))
            })
            .await?;
        Ok(Pull {
            number: place.task.0,
            location: location.display().to_string(),
            head,
        })
    }

    async fn pull_state(&self, place: Place) -> Result<Option<PullState>, Error> {
        let file: Option<PullFile> = self
            .blocking(move |files| files.read_json(place.task, "pull.json"))
            .await?;
        let Some(file) = file else {
            return Ok(None);
        };
        let head = self.refs.branch_head(&file.branch).await?;
        // A person may have added commits before merging; what was published is enough.
        let merged = match &file.base {
            Some(base) => self.refs.reaches(base, &file.commit).await?,
            None => false,
        };
        let stands = match (merged, file.closed, &head) {
            (true, ..) => Stands::Merged,
            (false, true, _) | (false, _, None) => Stands::Closed,
            (false, false, Some(_)) => Stands::Open,
        };
        Ok(Some(PullState {
            number: place.task.0,
            head,
            stands,
            by: None,
        }))
    }

    async fn close_pull(&self, place: Place) -> Result<(), Error> {
        self.blocking(
            move |files| match files.read_json::<PullFile>(place.task, "pull.json")? {
                Some(file) if !file.closed => {
                    let file = PullFile {
                        closed: true,
                        ..file
                    };
                    files.write_json(place.task, "pull.json", &file)
                }
                Some(_) | None => Ok(()),
            },
        )
        .await
    }

    /// Whoever works here reads it here.
    async fn request_review(&self, _place: Place, _login: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn label_pull(&self, _place: Place, _labels: &[String]) -> Result<(), Error> {
        Ok(())
    }

    async fn mark_ready(&self, _place: Place) -> Result<(), Error> {
        Ok(())
    }

    async fn drop_trigger(&self, _place: Place, _label: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn clean_up(&self, place: Place, leave: Leave) -> Result<(), Error> {
        self.blocking(move |files| files.clean_up(place.task, leave))
            .await
    }
}

impl Files {
    /// Whether the task's files were removed, or never made: what comes late for it writes nothing. (A task that
    /// was never shown has its issue here.)
    fn is_cleaned(&self, task: TaskId) -> bool {
        !self.at(task, "status.md").exists() && !self.at(task, "issue.md").exists()
    }

    fn at(&self, task: TaskId, name: &str) -> PathBuf {
        self.root.join(task.to_string()).join(name)
    }

    fn write(&self, task: TaskId, name: &str, text: &str) -> Result<(), Error> {
        let name = format!("{task}/{name}");
        write(&self.root, &name, text, self.durable.as_deref())
    }

    fn write_json(&self, task: TaskId, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(value).map_err(|error| Error::Invalid {
            what: name.to_owned(),
            why: error.to_string(),
        })?;
        text.push('\n');
        self.write(task, name, &text)
    }

    /// `None` where there is no such file. One that cannot be understood was changed by somebody else.
    fn read_json<T: DeserializeOwned>(&self, task: TaskId, name: &str) -> Result<Option<T>, Error> {
        let path = self.at(task, name);
        let broken = |why: String| Error::Unavailable {
            what: path.display().to_string(),
            why,
        };
        let bytes = match read_capped(&path, OWN_MAX_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(broken("larger than anything written here".to_owned())),
            Err(Error::Gone { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| broken(format!("changed by somebody else: {error}")))
    }

    /// The names in a folder; empty where there is none.
    fn names(&self, task: TaskId, folder: &str) -> Result<Vec<String>, Error> {
        let path = self.at(task, folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(io_error(&path, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| io_error(&path, &error))?;
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }

    /// The files `NNN-word.md` of a folder, in order of their numbers.
    fn numbered(&self, task: TaskId, folder: &str) -> Result<Vec<(u32, String)>, Error> {
        let names = self.names(task, folder)?;
        let mut all: Vec<_> = names
            .iter()
            .filter_map(|name| number_and_word(name))
            .collect();
        all.sort();
        Ok(all)
    }

    /// The same files as paths, with what a killed write left of them.
    fn own_files(&self, task: TaskId, folder: &str) -> Result<Vec<PathBuf>, Error> {
        let own = |name: &String| {
            let killed = name
                .strip_prefix('.')
                .and_then(|name| name.strip_suffix(".tmp"));
            number_and_word(killed.unwrap_or(name)).is_some()
        };
        let names = self.names(task, folder)?;
        Ok(names
            .into_iter()
            .filter(own)
            .map(|name| self.at(task, folder).join(name))
            .collect())
    }

    fn last(&self, task: TaskId, folder: &str) -> Result<(u32, Option<String>), Error> {
        let last = self.numbered(task, folder)?.pop();
        Ok(last.map_or((0, None), |(number, word)| (number, Some(word))))
    }

    fn clean_up(&self, task: TaskId, leave: Leave) -> Result<(), Error> {
        let mut files = vec!["PR.md", "pull.json", "checks.json", "issue.md"];
        let mut folders = vec!["comments"];
        if leave == Leave::Nothing {
            files.push("status.md");
            folders.push("history");
        }
        let mut doomed = Vec::new();
        for path in files.iter().map(|name| self.at(task, name)) {
            // A temporary file of a write that was killed goes with its file.
            doomed.push(beside(&path));
            doomed.push(path);
        }
        for folder in &folders {
            doomed.extend(self.own_files(task, folder)?);
        }
        self.step(&format!("before clean-up of {task}"));
        for path in &doomed {
            match fs::remove_file(path) {
                Err(error) if !is_absent(&error) => return Err(io_error(path, &error)),
                Ok(()) | Err(_) => {}
            }
        }
        // A folder with files that are not ours stays.
        for folder in folders {
            let _ = fs::remove_dir(self.at(task, folder));
        }
        let _ = fs::remove_dir(self.at(task, ""));
        if self.root.is_dir() {
            sync_folder(&self.root).map_err(|error| io_error(&self.root, &error))?;
        }
        self.step(&format!("after clean-up of {task}"));
        Ok(())
    }

    fn step(&self, what: &str) {
        if let Some(durable) = &self.durable {
            durable.step(what);
        }
    }
}

/// `0001-queued.md` as number and word; `None` for every name that was not made here.
fn number_and_word(name: &str) -> Option<(u32, String)> {
    let (digits, word) = name.strip_suffix(".md")?.split_once('-')?;
    let number = digits.parse().ok()?;
    (digits.len() >= 3 && word == file_word(word)).then(|| (number, word.to_owned()))
}
