//! One machine as the world of its tasks: repositories found by path, reports as files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::agent::{Agent, Program, Scenario, Scripted};
use crate::config::{CiExposure, Env};
use crate::domain::exposure;
use crate::domain::ident::{self, CommitId, Digest, TaskId};
use crate::domain::report::Voice;
use crate::domain::task::{AgentSpec, NewTask, Task};
use crate::domain::text::Redactor;
use crate::forge::{self, Durable, Forge, Refs};
use crate::git::{self, Author, Mirror, UserRepo};
use crate::run::{Bench, News, REPOSITORY_INSIDE, RunError};
use crate::sandbox::toolchains::{self, Toolchains};
use crate::sandbox::{Method, Sandbox};
use crate::store::{RepositoryKey, Steps, Store};
use crate::worker::World;

/// Who hears what happens to a task.
pub type Told = Arc<dyn Fn(TaskId, News<'_>) + Send + Sync>;

pub(super) struct Machine {
    pub(super) env: Env,
    pub(super) data: PathBuf,
    pub(super) store: Arc<dyn Store>,
    pub(super) sandbox: Arc<dyn Sandbox>,
    pub(super) steps: Arc<dyn Steps>,
    pub(super) extra_toolchains: Vec<String>,
    /// Whether workflows that our push would run are asked about.
    pub(super) ci_exposure: CiExposure,
    pub(super) told: Told,
}

/// Where a task's report goes.
pub(super) fn out_root(data: &Path, task: &Task) -> PathBuf {
    task.issue
        .out
        .as_ref()
        .map_or_else(|| data.join("tasks"), PathBuf::from)
}

/// The mirror of a repository: one for all its work trees.
pub(super) fn mirror(data: &Path, user: &UserRepo) -> Result<Mirror, git::Error> {
    Mirror::open_or_create(&data.join("repos").join(key_of(user)))
}

/// The name of a repository's folder below `repos`; `None` where there is no repository any more.
pub(super) fn repository_key(path: &Path) -> Option<String> {
    UserRepo::open(path).ok().map(|user| key_of(&user))
}

fn key_of(user: &UserRepo) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let common = user.common_dir();
    let shown = user.work_dir().unwrap_or(common);
    let name = shown
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let slug = ident::slug(&name.unwrap_or_default(), 30);
    let digest = Digest::of(common.as_os_str().as_bytes());
    format!("{slug}-{}", digest.short())
}

/// Where the sandbox keeps which host uid is taken. As root one place for the whole machine: two data folders must
/// not give one uid to two sandboxes. A service manager that gives a runtime folder says where.
pub(super) fn slot_folder(data: &Path, env: &Env) -> PathBuf {
    if let Some(runtime) = env
        .get("RUNTIME_DIRECTORY")
        .filter(|folder| !folder.is_empty())
    {
        return Path::new(runtime).join("slots");
    }
    if rustix::process::geteuid().is_root() {
        PathBuf::from("/run/prentice/slots")
    } else {
        data.join("slots")
    }
}

pub(super) fn bench(
    sandbox: &Arc<dyn Sandbox>,
    (store, steps): (&Arc<dyn Store>, &Arc<dyn Steps>),
    mirror: Mirror,
    toolchains: Toolchains,
    scratch: PathBuf,
    env: &Env,
) -> Bench {
    // For those who want to see the fallback work; never chosen silently.
    let method = match env.get("PRENTICE_WORKSPACE").map(String::as_str) {
        Some("copy") => Method::Copy,
        Some("overlay") => Method::Overlay,
        _ => Method::Auto,
    };
    Bench {
        sandbox: Arc::clone(sandbox),
        store: Arc::clone(store),
        mirror,
        steps: Arc::clone(steps),
        toolchains,
        scratch,
        method,
        by_hand: &[],
        exposures_allowed: None,
        author: Author::local(),
        redactor: Arc::new(Redactor::new(secrets(env))),
    }
}

/// Values of this process's variables that are named as credentials. No sandbox is given one; should one turn up
/// in a text or a file all the same, it does not leave. Names of files and folders are no secrets.
fn secrets(env: &Env) -> Vec<String> {
    let named = |name: &str| {
        let name = name.to_uppercase();
        ["KEY", "TOKEN", "SECRET", "PASSWORD"]
            .iter()
            .any(|word| name.contains(word))
            && !["FILE", "PATH", "DIR", "SOCK"]
                .iter()
                .any(|end| name.ends_with(end))
    };
    let found = env.iter().filter(|(name, _)| named(name));
    found.map(|(_, value)| value.clone()).collect()
}

/// The user's compilers and caches, and the folders that the server file adds.
pub(super) fn toolchains(env: &Env, user: &UserRepo, extra: &[String]) -> Toolchains {
    let repository = user.work_dir().unwrap_or_else(|| user.common_dir());
    let mut found = toolchains::find(env, repository, Path::new(REPOSITORY_INSIDE));
    for folder in extra {
        found.add(Path::new(folder));
    }
    found
}

impl Machine {
    fn user(&self, task: &Task) -> Result<UserRepo, RunError> {
        let (id, path) = (task.id, Path::new(&task.issue.repository));
        UserRepo::open(path).map_err(|why| {
            RunError::Host(match why {
                git::Error::NotFound(_) => format!(
                    "the repository of {id}, {}, is not there any more; put it back, or prentice tasks reject {id}",
                    path.display()
                ),
                other => format!("the repository of {id}: {other}"),
            })
        })
    }

    /// The workflows that somebody allowed our push to run in the repository that a task's result is pushed to; `None`
    /// where nothing is pushed, or nobody is asked.
    pub(super) async fn exposures_allowed(
        &self,
        task: &Task,
    ) -> Result<Option<Vec<Digest>>, RunError> {
        let asks = self.ci_exposure == CiExposure::Ask;
        Ok(match RepositoryKey::pushed(task).filter(|_| asks) {
            Some(key) => Some(self.store.allowed_exposures(&key).await?),
            None => None,
        })
    }

    fn scratch(&self, task: &Task) -> PathBuf {
        self.data.join("work").join(task.id.to_string())
    }
}

#[async_trait]
impl World for Machine {
    async fn bench(&self, task: &Task) -> Result<Bench, RunError> {
        let user = self.user(task)?;
        let (data, base) = (self.data.clone(), task.base.clone());
        let (env, extra) = (self.env.clone(), self.extra_toolchains.clone());
        let steps = Arc::clone(&self.steps);
        let made = tokio::task::spawn_blocking(move || {
            let mirror = mirror(&data, &user)?;
            steps.around("mirror base", || mirror.fetch_commit(&user, &base))?;
            Ok::<_, git::Error>((mirror, toolchains(&env, &user, &extra)))
        });
        let (mirror, toolchains) = made
            .await
            .map_err(|why| RunError::Broken(why.to_string()))??;
        let scratch = self.scratch(task);
        let bench = bench(
            &self.sandbox,
            (&self.store, &self.steps),
            mirror,
            toolchains,
            scratch,
            &self.env,
        );
        Ok(Bench {
            exposures_allowed: self.exposures_allowed(task).await?,
            // What an agent makes of workflows is pushed to no forge.
            by_hand: match task.issue.publish {
                Some(_) => exposure::WORKFLOW_FOLDERS,
                None => &[],
            },
            ..bench
        })
    }

    async fn fetch(&self, task: &Task, commit: &CommitId) -> Result<(), RunError> {
        let user = self.user(task)?;
        let (data, commit) = (self.data.clone(), commit.clone());
        let steps = Arc::clone(&self.steps);
        let fetched = tokio::task::spawn_blocking(move || {
            let mirror = mirror(&data, &user)?;
            steps.around("mirror base", || mirror.fetch_commit(&user, &commit))
        });
        Ok(fetched
            .await
            .map_err(|why| RunError::Broken(why.to_string()))??)
    }

    async fn clear(&self, task: &Task, commits: Vec<CommitId>) -> Result<Option<String>, RunError> {
        let (data, scratch) = (self.data.clone(), self.scratch(task));
        let (path, steps) = (
            PathBuf::from(&task.issue.repository),
            Arc::clone(&self.steps),
        );
        let cleared = tokio::task::spawn_blocking(move || {
            let mirror = match UserRepo::open(&path) {
                Ok(user) => Some(mirror(&data, &user)?),
                Err(git::Error::NotFound(_)) => None,
                Err(other) => return Err(other),
            };
            if let Some(mirror) = mirror {
                for commit in &commits {
                    if let Err(why) = steps.around("mirror forget", || mirror.forget(commit)) {
                        tracing::warn!(%commit, %why, "a result was not let go of");
                    }
                }
            }
            let removed = crate::sandbox::remove(&scratch);
            Ok(removed
                .err()
                .map(|why| format!("{}: {why}", scratch.display())))
        });
        Ok(cleared
            .await
            .map_err(|why| RunError::Broken(why.to_string()))??)
    }

    fn agent(&self, task: &Task) -> Box<dyn Agent> {
        match &task.agent {
            AgentSpec::Command { argv } => Box::new(Program::of(argv.clone())),
            AgentSpec::Scripted { script } => {
                Box::new(Scripted(Scenario::of(script).unwrap_or(Scenario::Fails)))
            }
        }
    }

    fn forge(&self, task: &Task) -> (Arc<dyn Forge>, Voice) {
        let refs = Arc::new(LocalRefs {
            repository: PathBuf::from(&task.issue.repository),
            mirror: MirrorAt::OfRepository(self.data.clone()),
            steps: Arc::clone(&self.steps),
        });
        let durable = Arc::new(OutFiles(Arc::clone(&self.steps)));
        let forge = forge::local(out_root(&self.data, task), refs, Some(durable));
        (Arc::from(forge), Voice::local())
    }

    fn branch(&self, task: TaskId, new: &NewTask) -> String {
        let slug = ident::slug(&new.brief.title, 40);
        let pattern = &new.settings.task.branch;
        let name = pattern
            .replace("{number}", &task.0.to_string())
            .replace("{slug}", &slug);
        let name = name.trim_end_matches(['-', '/']).to_owned();
        let Ok(user) = UserRepo::open(Path::new(&new.issue.repository)) else {
            return name;
        };
        // A branch of that name that is not this task's is left alone.
        let free = |name: &String| matches!(user.branch_head(name), Ok(None));
        let more = (2..100).map(|more| format!("{name}-{more}"));
        std::iter::once(name.clone())
            .chain(more)
            .find(free)
            .unwrap_or(name)
    }

    /// Whoever works here judges it here.
    async fn reviewers(&self, _task: &Task) -> Result<Vec<String>, RunError> {
        Ok(Vec::new())
    }

    async fn template(&self, _: &Task) -> Result<String, RunError> {
        Ok(String::new())
    }

    fn pace_secs(&self, _task: &Task) -> u64 {
        0
    }

    fn told(&self, task: TaskId, said: News<'_>) {
        (self.told)(task, said);
    }
}

/// Branches of a repository on this machine, as the local forge wants them.
pub(super) struct LocalRefs {
    pub(super) repository: PathBuf,
    pub(super) mirror: MirrorAt,
    pub(super) steps: Arc<dyn Steps>,
}

/// Which mirror has the commits that branches are set to.
#[derive(Clone)]
pub(super) enum MirrorAt {
    /// That of the repository, in this data folder.
    OfRepository(PathBuf),
    /// This one.
    Here(Mirror),
}

impl LocalRefs {
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&UserRepo, &Mirror) -> Result<T, git::Error> + Send + 'static,
    ) -> Result<T, forge::Error> {
        let (repository, at) = (self.repository.clone(), self.mirror.clone());
        let done = tokio::task::spawn_blocking(move || {
            let user = UserRepo::open(&repository)?;
            match at {
                MirrorAt::OfRepository(data) => work(&user, &mirror(&data, &user)?),
                MirrorAt::Here(mirror) => work(&user, &mirror),
            }
        });
        match done.await {
            Ok(result) => result.map_err(forge_error),
            Err(why) => Err(forge::Error::Unavailable {
                what: "the repository".to_owned(),
                why: why.to_string(),
            }),
        }
    }
}

pub(super) fn forge_error(error: git::Error) -> forge::Error {
    let why = error.to_string();
    match error {
        git::Error::NotFound(what) => forge::Error::Gone { what },
        git::Error::Conflict { branch, found, .. } => forge::Error::Conflict {
            what: format!("branch `{branch}`"),
            found,
        },
        git::Error::CheckedOut { branch, .. } | git::Error::Limit { what: branch, .. } => {
            forge::Error::Invalid {
                what: format!("branch `{branch}`"),
                why,
            }
        }
        git::Error::Unusable(_) => forge::Error::Invalid {
            what: "the task branch".to_owned(),
            why,
        },
        git::Error::Disk { .. } => forge::Error::Unavailable {
            what: "the repository".to_owned(),
            why,
        },
        git::Error::Hostile { .. } | git::Error::Unsupported(_) | git::Error::Internal(_) => {
            forge::Error::Invalid {
                what: "the repository".to_owned(),
                why,
            }
        }
    }
}

#[async_trait]
impl Refs for LocalRefs {
    async fn branch_head(&self, branch: &str) -> Result<Option<CommitId>, forge::Error> {
        let branch = branch.to_owned();
        self.blocking(move |user, _| user.branch_head(&branch))
            .await
    }

    async fn set_branch(
        &self,
        branch: &str,
        commit: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), forge::Error> {
        let what = format!("ref {branch}");
        let (branch, commit, expected) = (branch.to_owned(), commit.clone(), expected.cloned());
        self.steps.before(&what);
        self.blocking(move |user, mirror| {
            user.set_branch(mirror, &branch, &commit, expected.as_ref())
        })
        .await?;
        self.steps.after(&what);
        Ok(())
    }

    async fn delete_branch(&self, branch: &str, expected: &CommitId) -> Result<(), forge::Error> {
        let what = format!("ref {branch}");
        let (branch, expected) = (branch.to_owned(), expected.clone());
        self.steps.before(&what);
        self.blocking(move |user, _| user.delete_branch(&branch, &expected))
            .await?;
        self.steps.after(&what);
        Ok(())
    }

    async fn reaches(&self, branch: &str, commit: &CommitId) -> Result<bool, forge::Error> {
        let (branch, commit) = (branch.to_owned(), commit.clone());
        self.blocking(move |user, _| match user.branch_head(&branch)? {
            // A commit that is not even here is reached by nothing.
            Some(tip) => Ok(user.is_ancestor(&commit, &tip).unwrap_or(false)),
            None => Ok(false),
        })
        .await
    }
}

/// Renames of report files are durable steps too.
struct OutFiles(Arc<dyn Steps>);

impl Durable for OutFiles {
    fn step(&self, what: &str) {
        match what.strip_prefix("after ") {
            Some(what) => self.0.after(what),
            None => self.0.before(what.strip_prefix("before ").unwrap_or(what)),
        }
    }
}
