//! From an issue on this machine to a task that has come to rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::local::{mirror, toolchains};
use super::prepare::{Prepared, governing};
use super::{App, AppError, IssueAt, News, Said, visible};
use crate::agent::Program;
use crate::domain::brief::{self, BriefError, Survey};
use crate::domain::gates::globs::Globs;
use crate::domain::ident::{CommitId, TaskId};
use crate::domain::settings::ChecksFrom;
use crate::domain::task::{AgentSpec, IssueRef, NewTask, Task};
use crate::domain::text::{clip, harmless};
use crate::forge;
use crate::git::{self, Mirror, UserRepo};
use crate::store::{Arrival, Filter, Outcome, TaskFilter};
use crate::sweep;
use crate::worker::{Worker, WorkerError};

/// What `run` is asked to do.
pub struct RunOrder {
    /// Text of the issue.
    pub issue: String,
    /// The issue on its forge, where it is on one.
    pub at: Option<IssueAt>,
    /// Where it was read, for people and for finding earlier tasks of it.
    pub source: String,
    /// A path in the repository.
    pub repository: PathBuf,
    /// Who edits.
    pub agent: AgentSpec,
    /// Checks of the command line, in place of all others.
    pub verify: Vec<String>,
    /// Where the report goes, where it is not the data folder.
    pub out: Option<PathBuf>,
    /// The command line, for those who find the data folder locked.
    pub command: String,
}

impl RunOrder {
    /// Where the issue came from, in words.
    fn named(&self) -> &str {
        match self.source.as_str() {
            "-" => "standard input",
            source => source,
        }
    }
}

/// A repository of this machine, looked over.
pub struct Repository {
    /// The repository.
    pub user: UserRepo,
    /// The host's copy.
    pub mirror: Mirror,
    /// `HEAD`, dirt, shape.
    pub survey: git::Survey,
}

impl App {
    /// Does one `run`: from the issue to a task at rest. What was interrupted before in the same repository is
    /// finished first.
    ///
    /// # Errors
    /// [`AppError`]; once there is a task, only for trouble of the host.
    pub async fn run(
        &self,
        order: RunOrder,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Task, AppError> {
        let repository = self.repository(&order.repository)?;
        for line in repository.told() {
            say(&line);
        }
        if let Some(out) = &order.out {
            visible::writable(out)?;
        }
        let survey = &repository.survey;
        let mut base = (survey.head.clone(), survey.branch.clone());
        // What is published is governed by what is there, as on a server: no file that was never pushed counts.
        let published = order.at.as_ref().filter(|at| at.publish);
        let rules = match published {
            Some(at) => Some(self.rules(at, &repository, say).await?),
            None => None,
        };
        let governs = rules.as_ref().unwrap_or(&base.0);
        let mut prepared = self.prepare(&repository, governs, &order.verify)?;
        let named = prepared.settings.task.base.clone();
        if !named.is_empty() {
            let head = repository.user.branch_head(&named)?.ok_or_else(|| {
                AppError::NotFound(Said::new(
                    format!("there is no branch `{named}` to start from (`[task] base`)"),
                    "make it, or change the key",
                ))
            })?;
            say(&format!(
                "base: branch {named} at {} (`[task] base`)",
                head.short()
            ));
            base = (head, Some(named));
            if rules.is_none() {
                prepared = self.prepare(&repository, &base.0, &order.verify)?;
            }
        }
        let mut publish = None;
        if let (Some(at), Some(rules)) = (published, rules) {
            let into = &prepared.settings.task.base;
            publish = Some(self.target(at, &repository, rules, into, &base.0).await?);
            prepared.files = repository.mirror.list_files(&base.0)?;
        }
        for line in &prepared.told {
            say(line);
        }
        if prepared.settings.checks_from == ChecksFrom::Nowhere {
            return Err(AppError::NoChecks(Said::new(
                "nothing says how to verify this repository, so nothing was started",
                "name a command, as in --verify 'make check', or add a [[verify]] to .github/prentice.toml",
            )));
        }
        let chains = toolchains(&self.env, &repository.user, &self.server.sandbox.toolchains);
        if let AgentSpec::Command { argv } = &order.agent {
            visible::program(argv, &chains, &prepared, &self.env)?;
        }
        let mut new = self.new_task(&repository, base, prepared, &order)?;
        new.issue.publish = publish;
        if let Some(at) = &order.at {
            new.brief = at.with_comments(new.brief, &new.settings, say).await?;
        }
        for warning in brief::warnings(&new.brief, new.survey) {
            // It quotes the issue.
            say(&format!(
                "warning: {}",
                clip(&harmless(warning.as_bytes()), 300)
            ));
        }
        let lock = self.lock_or_fail(&order.command)?;
        let facts = self.probe().await?;
        say(&format!(
            "sandbox: {} launcher, {}, limits by {}",
            facts.launcher,
            facts.method.name(),
            facts.limits.name()
        ));
        for line in &chains.told {
            say(line);
        }
        let worker = self.worker(lock);
        self.finish_interrupted(&worker, &new, say).await?;
        let id = self.accept(&worker, new).await?;
        self.work_on(&worker, id).await?;
        self.prune(&repository).await;
        self.task(id).await
    }

    /// Finds and looks over the repository at or above `path`.
    ///
    /// # Errors
    /// [`AppError::NotFound`] without a repository or a commit.
    pub fn repository(&self, path: &Path) -> Result<Repository, AppError> {
        let user = UserRepo::discover(path)?;
        let survey = user.survey()?;
        let mirror = mirror(&self.data, &user)?;
        Ok(Repository {
            user,
            mirror,
            survey,
        })
    }

    /// Reads what governs work on `commit`: its repository file, the command line, else a guess.
    ///
    /// # Errors
    /// [`AppError::Config`] with every mistake of the file.
    pub fn prepare(
        &self,
        repository: &Repository,
        commit: &CommitId,
        verify: &[String],
    ) -> Result<Prepared, AppError> {
        let mirror = &repository.mirror;
        self.steps.around("mirror base", || {
            mirror.fetch_commit(&repository.user, commit)
        })?;
        governing(mirror, commit, verify, (&self.server, &self.server_origins))
    }

    fn new_task(
        &self,
        repository: &Repository,
        (base, base_branch): (CommitId, Option<String>),
        prepared: Prepared,
        order: &RunOrder,
    ) -> Result<NewTask, AppError> {
        let max = prepared.settings.context.max_chars;
        let brief = brief::parse(&order.issue, max).map_err(|why| match why {
            BriefError::Empty => AppError::NeedsInfo(Said::new(
                format!("{} is empty, so there is nothing to do", order.named()),
                "write what should be different, and how to tell",
            )),
            other => {
                let said = Said::lower(&other.to_string());
                AppError::NeedsInfo(Said::new(
                    format!("{}: {}", order.named(), said.what),
                    said.hint,
                ))
            }
        })?;
        let in_scope = Globs::new(&brief.scope).map_or(0, |globs| {
            prepared
                .files
                .iter()
                .filter(|path| globs.is_match(path))
                .count()
        });
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let files = count(prepared.files.len());
        let survey = Survey {
            files,
            files_in_scope: if brief.scope.is_empty() {
                files
            } else {
                count(in_scope)
            },
        };
        let root = repository
            .user
            .work_dir()
            .unwrap_or_else(|| repository.user.common_dir());
        Ok(NewTask {
            issue: IssueRef {
                forge: "local".to_owned(),
                repository: root.display().to_string(),
                repository_id: None,
                number: 0,
                source: order.source.clone(),
                out: order.out.as_ref().map(|out| out.display().to_string()),
                publish: None,
            },
            requester: self.user(),
            requester_address: None,
            brief,
            survey,
            settings: prepared.settings,
            base,
            base_branch,
            agent: order.agent.clone(),
            accepted_at: self.clock.now(),
            branch: None,
            unaccepted: false,
            unshown: false,
        })
    }

    /// Asks the repositories what became of published results, and decides what follows.
    pub(super) async fn sweep(
        &self,
        worker: &Arc<Worker>,
        repository: Option<&str>,
    ) -> Result<(), AppError> {
        let filter = TaskFilter {
            live: true,
            repository: repository.map(str::to_owned),
        };
        let mut found = Vec::new();
        for record in self.store.tasks(&filter).await? {
            let (task, forge) = (&record.task, worker.forge(&record.task));
            match sweep::look(task, forge.as_ref(), &self.user(), &[]).await {
                Ok(None) => {}
                Ok(Some(event)) => {
                    let (task, event) = (task.id, Box::new(event));
                    self.store
                        .deliver(Arrival::Event { task, event }, None)
                        .await?;
                    found.push(task);
                }
                // A repository that is gone or busy is asked again by the next sweep.
                Err(error) => tracing::info!(task = %task.id, %error, "the sweep learned nothing"),
            }
        }
        if !found.is_empty() {
            worker
                .settle(&Filter {
                    tasks: Some(found),
                    kinds: None,
                })
                .await?;
        }
        Ok(())
    }

    /// Stores the request and has it decided.
    async fn accept(&self, worker: &Arc<Worker>, new: NewTask) -> Result<TaskId, AppError> {
        let delivered = self
            .store
            .deliver(Arrival::Request(Box::new(new)), None)
            .await?;
        let nothing = Filter {
            tasks: Some(Vec::new()),
            kinds: None,
        };
        worker.settle(&nothing).await?;
        match self.store.outcome(delivered.input).await? {
            Some(Outcome::Done { task, .. }) => Ok(task),
            Some(Outcome::Ignored { reason }) => Err(AppError::NotNow(Said::lower(&reason))),
            Some(Outcome::Waiting) | None => Err(AppError::Internal(Said::plain(
                "the request was stored but not decided",
            ))),
        }
    }

    /// [`Self::work`] on one task, whose name an error then has.
    pub(super) async fn work_on(&self, worker: &Arc<Worker>, id: TaskId) -> Result<(), AppError> {
        let worked = self.work(worker, &Filter::task(id)).await;
        worked.map_err(|error| error.of(id))
    }

    /// Works until the tasks of `filter` are at rest; the first Ctrl-C (or request to terminate) keeps
    /// the work, the second ends at once.
    pub(super) async fn work(&self, worker: &Arc<Worker>, filter: &Filter) -> Result<(), AppError> {
        let (interrupted, code) = (Arc::clone(worker), Arc::clone(&self.interrupted));
        let by = self.user();
        let (told, task) = (self.told.clone(), filter.tasks.iter().flatten().next());
        let task = task.copied().unwrap_or(TaskId(0));
        let guard = tokio::spawn(async move {
            code.store(signalled().await, Ordering::SeqCst);
            told(
                task,
                News::Note(
                    "interrupted: ending what runs, and keeping the work; once more ends at once",
                ),
            );
            interrupted.interrupt(&by);
            let code = signalled().await;
            told(
                task,
                News::Note(&format!(
                    "ended at once: prentice tasks resume {task} does the run anew"
                )),
            );
            std::process::exit(code);
        });
        let settled = worker.settle_beside_others(filter).await;
        guard.abort();
        match (settled, self.interrupted()) {
            (Err(WorkerError::Host(_)), Some(code)) => Err(AppError::Interrupted {
                code,
                what: Said::new("interrupted", "`prentice tasks resume` goes on"),
            }),
            (settled, _) => Ok(settled?),
        }
    }
}

/// `1 file is`, `3 files are`.
fn are(number: usize, one: &str, many: &str) -> String {
    match number {
        1 => one.to_owned(),
        _ => format!("{number} {many}"),
    }
}

impl Repository {
    /// What a person should know before anything starts.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        let survey = &self.survey;
        let dirty = survey.dirty;
        if dirty.paths > 0 {
            told.push(format!(
                "{} left out ({} staged, {} changed, {} untracked); the base is {}",
                are(
                    dirty.paths,
                    "1 uncommitted path is",
                    "uncommitted paths are"
                ),
                dirty.staged,
                dirty.unstaged,
                dirty.untracked,
                survey.head.short()
            ));
        }
        if survey.branch.is_none() {
            told.push(format!("HEAD is detached at {}", survey.head.short()));
        }
        if survey.bare {
            told.push("the repository is bare".to_owned());
        }
        if survey.shallow {
            told.push("the clone is shallow; its history is cut off".to_owned());
        }
        if survey.submodules > 0 {
            told.push(format!(
                "{} not fetched and left as empty folders",
                are(survey.submodules, "1 submodule is", "submodules are")
            ));
        }
        if survey.lfs {
            told.push("files in LFS are left as pointers".to_owned());
        }
        told
    }
}

/// Waits for Ctrl-C or a request to terminate; the exit code that a shell gives for it.
pub async fn signalled() -> i32 {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    // Without handlers, both end the process as they always do.
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    }
}

/// Splits an agent command into words as a shell does.
///
/// # Errors
/// [`AppError::Usage`].
pub fn agent_words(line: &str) -> Result<Vec<String>, AppError> {
    match Program::parse(line) {
        Ok(program) => Ok(program.words().to_vec()),
        Err(why) => Err(AppError::Usage(Said::lower(&why.to_string()))),
    }
}

/// Reads an issue from a file; gives its text and where it was read.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::Usage`] for what is no text, [`AppError::NeedsInfo`] for what is too large.
pub fn read_issue(path: &Path) -> Result<(String, String), AppError> {
    let text = forge::read_issue(path).map_err(|why| match why {
        forge::Error::Gone { .. } => AppError::NotFound(Said::new(
            format!("there is no issue file {}", path.display()),
            "name a file that holds the issue, or - for standard input",
        )),
        other => AppError::Usage(Said::lower(&other.to_string())),
    })?;
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Ok((text, shown.display().to_string()))
}
