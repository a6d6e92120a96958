//! The configured forges as the world of their tasks: mirrors fetched over the network, results pushed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;

use super::connected::Connected;
use super::local::{LocalRefs, Machine, MirrorAt, bench};
use super::out_of_reach::NoRefs;
use super::remote::{RemoteRefs, remote};
use crate::agent::Agent;
use crate::config::{Origins, Server};
use crate::domain::exposure;
use crate::domain::ident::{CommitId, RepoPath, TaskId};
use crate::domain::owners::{self, Owners};
use crate::domain::report::{self, Voice};
use crate::domain::settings::Trigger;
use crate::domain::task::{NewTask, Task};
use crate::forge::{self, Forge, Repository, Service};
use crate::git::{self, Author, Mirror, RemoteError, Want};
use crate::intake::Ground;
use crate::run::{Bench, News, REPOSITORY_INSIDE, RunError};
use crate::sandbox::toolchains::{self, Toolchains};
use crate::store::RepositoryKey;
use crate::worker::World;

/// Least time between two edits of a status comment that tell of progress.
const PACE_SECS: u64 = 60;

/// Everything that tasks of forges and of this machine need.
pub(super) struct Forges {
    pub(super) machine: Machine,
    pub(super) connected: BTreeMap<String, Connected>,
    pub(super) server: Server,
    pub(super) origins: Origins,
    /// Repositories as last read, by forge and id.
    pub(super) repositories: Mutex<HashMap<(String, i64), Repository>>,
    pub(super) grounds: Mutex<HashMap<(String, i64), (Instant, Ground)>>,
}

/// A repository of a forge and what it takes to work on it.
struct Place {
    service: Arc<dyn Service>,
    repository: Repository,
    mirror: Mirror,
}

impl Forges {
    pub(super) fn new(
        machine: Machine,
        connected: BTreeMap<String, Connected>,
        (server, origins): (Server, Origins),
    ) -> Self {
        Self {
            machine,
            connected,
            server,
            origins,
            repositories: Mutex::default(),
            grounds: Mutex::default(),
        }
    }

    /// Keeps how a repository was last read.
    pub(super) fn keep(&self, forge: &str, repository: &Repository) {
        let mut known = self
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.insert((forge.to_owned(), repository.id), repository.clone());
    }

    /// What governs a repository is read anew the next time.
    pub(super) fn forget_ground(&self, forge: &str, id: i64) {
        let mut grounds = self.grounds.lock().unwrap_or_else(PoisonError::into_inner);
        grounds.remove(&(forge.to_owned(), id));
    }

    fn known(&self, task: &Task) -> Option<(&Connected, Repository)> {
        let id = task.issue.repository_id?;
        let connected = self.connected.get(&task.issue.forge)?;
        let known = self
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let repository = known.get(&(task.issue.forge.clone(), id)).cloned()?;
        Some((connected, repository))
    }

    /// A repository and its forge, by the forge's name and the repository's id.
    pub(super) fn at(&self, forge: &str, id: i64) -> Option<(Arc<dyn Service>, Repository)> {
        let connected = self.connected.get(forge)?;
        let known = self
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let repository = known.get(&(forge.to_owned(), id)).cloned()?;
        Some((Arc::clone(&connected.service), repository))
    }

    /// What commands begin with in a repository, as last read.
    pub(super) fn prefix(&self, key: &RepositoryKey) -> String {
        let grounds = self.grounds.lock().unwrap_or_else(PoisonError::into_inner);
        let ground = grounds.get(&(key.forge.clone(), key.id));
        let settings = ground.map(|(_, ground)| ground.settings.trigger.prefix.clone());
        settings.unwrap_or_else(|| Trigger::default().prefix)
    }

    /// Why nothing of a forge can be worked on: it was not reached since the start, or does not know us.
    pub(super) fn unreached(&self, forge: &str) -> Option<String> {
        let connected = self.connected.get(forge)?;
        let known = connected.us.get().is_some();
        (!known).then(|| format!("forge {forge} was not reached since the start; the log says why"))
    }

    /// Whether nothing may be written to this forge.
    fn is_shadow(&self, forge: &str) -> bool {
        let connected = self.connected.get(forge);
        connected.is_some_and(|connected| connected.is_shadow)
    }

    pub(super) fn mirror_of(&self, forge: &str, id: i64) -> Result<Mirror, git::Error> {
        let folder = mirror_folder(forge, id);
        Mirror::open_or_create(&self.machine.data.join("repos").join(folder))
    }

    /// The folders of the mirrors of all repositories that are served.
    pub(super) fn served_mirrors(&self) -> Vec<String> {
        let known = self
            .repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let keys = known.keys();
        keys.map(|(forge, id)| mirror_folder(forge, *id)).collect()
    }

    fn place(&self, task: &Task) -> Result<Place, RunError> {
        let (connected, repository) = self.known(task).ok_or_else(|| {
            RunError::Broken(format!(
                "{} of {} is not served any more; name it in `[[forge]] repos`, or prentice tasks reject {}",
                task.issue.repository, task.issue.forge, task.id
            ))
        })?;
        let mirror = self.mirror_of(&task.issue.forge, repository.id)?;
        Ok(Place {
            service: Arc::clone(&connected.service),
            repository,
            mirror,
        })
    }

    /// What a served repository's commands may use: what the operator names, and the system.
    pub(super) fn toolchains(&self) -> Toolchains {
        let path = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        let env = BTreeMap::from([path]);
        let mut found = toolchains::find(&env, Path::new("/"), Path::new(REPOSITORY_INSIDE));
        for folder in &self.server.sandbox.toolchains {
            found.add(Path::new(folder));
        }
        found
    }

    fn scratch(&self, task: &Task) -> PathBuf {
        self.machine.data.join("work").join(task.id.to_string())
    }

    /// The first of these files that the base commit has.
    async fn first_of(
        &self,
        task: &Task,
        paths: Vec<RepoPath>,
        cap: u64,
    ) -> Result<Option<Vec<u8>>, RunError> {
        let (place, base) = (self.place(task)?, task.base.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut found = paths.iter().filter_map(|path| {
                let file = place.mirror.file_at(&base, path, cap);
                file.ok().flatten()
            });
            found.next()
        });
        read.await.map_err(|why| RunError::Broken(why.to_string()))
    }

    async fn fetch_into(&self, place: &Place, what: Want) -> Result<CommitId, RunError> {
        let remote = remote(place.service.as_ref(), &place.repository).await;
        let remote = remote.map_err(forge_down)?;
        let (mirror, steps) = (place.mirror.clone(), Arc::clone(&self.machine.steps));
        let fetched = tokio::task::spawn_blocking(move || {
            steps.around("mirror base", || mirror.fetch_remote(&remote, &[what]))
        });
        let fetched = fetched
            .await
            .map_err(|why| RunError::Broken(why.to_string()))?;
        let commits = fetched.map_err(run_error)?;
        commits
            .into_iter()
            .next()
            .ok_or_else(|| RunError::Broken("a fetch gave no commit".to_owned()))
    }
}

/// The folder of a repository's mirror below `repos`.
pub(super) fn mirror_folder(forge: &str, id: i64) -> String {
    format!("{forge}-{id}")
}

fn run_error(error: RemoteError) -> RunError {
    match error {
        RemoteError::Here(error) => error.into(),
        // Of one forge only: others go on.
        other => RunError::Broken(other.to_string()),
    }
}

/// What keeps a forge from being reached is no attempt of the task.
fn forge_down(error: forge::Error) -> RunError {
    match error {
        forge::Error::Away { .. } => RunError::Away(error.to_string()),
        other => RunError::Broken(other.to_string()),
    }
}

#[async_trait]
impl World for Forges {
    async fn bench(&self, task: &Task) -> Result<Bench, RunError> {
        if task.issue.repository_id.is_none() {
            return self.machine.bench(task).await;
        }
        let place = self.place(task)?;
        self.fetch_into(&place, Want::Commit(task.base.clone()))
            .await?;
        let bench = bench(
            &self.machine.sandbox,
            (&self.machine.store, &self.machine.steps),
            place.mirror,
            self.toolchains(),
            self.scratch(task),
            &self.machine.env,
        );
        let author = self.connected.get(&task.issue.forge);
        Ok(Bench {
            exposures_allowed: self.machine.exposures_allowed(task).await?,
            by_hand: exposure::WORKFLOW_FOLDERS,
            author: author.map_or_else(Author::local, Connected::author),
            ..bench
        })
    }

    async fn fetch(&self, task: &Task, commit: &CommitId) -> Result<(), RunError> {
        if task.issue.repository_id.is_none() {
            return self.machine.fetch(task, commit).await;
        }
        let place = self.place(task)?;
        // By the pull request's own ref where there is one: a commit alone cannot be asked for everywhere.
        let what = match &task.pull {
            Some(_) => Want::Branch(task.branch.clone()),
            None => Want::Commit(commit.clone()),
        };
        self.fetch_into(&place, what).await.map(|_| ())
    }

    async fn clear(&self, task: &Task, commits: Vec<CommitId>) -> Result<Option<String>, RunError> {
        let Some(id) = task.issue.repository_id else {
            return self.machine.clear(task, commits).await;
        };
        let (mirror, scratch) = (self.mirror_of(&task.issue.forge, id)?, self.scratch(task));
        let steps = Arc::clone(&self.machine.steps);
        let cleared = tokio::task::spawn_blocking(move || {
            for commit in &commits {
                if let Err(why) = steps.around("mirror forget", || mirror.forget(commit)) {
                    tracing::warn!(%commit, %why, "a result was not let go of");
                }
            }
            let removed = crate::sandbox::remove(&scratch);
            removed
                .err()
                .map(|why| format!("{}: {why}", scratch.display()))
        });
        cleared
            .await
            .map_err(|why| RunError::Broken(why.to_string()))
    }

    fn away(&self, task: &Task) -> Option<String> {
        task.issue.repository_id?;
        self.unreached(&task.issue.forge)
    }

    fn agent(&self, task: &Task) -> Box<dyn Agent> {
        self.machine.agent(task)
    }

    fn forge(&self, task: &Task) -> (Arc<dyn Forge>, Voice) {
        if task.issue.repository_id.is_none() {
            return self.machine.forge(task);
        }
        let is_shadow = self.is_shadow(&task.issue.forge);
        let voice = match is_shadow {
            true => Voice::local(),
            false => Voice::forge(task.settings.trigger.prefix.clone())
                .with_pages(&self.server.public_url),
        };
        let steps = Arc::clone(&self.machine.steps);
        let forge: Arc<dyn Forge> = match self.place(task) {
            // Branches of a shadow are refs of the mirror.
            Ok(place) if is_shadow => {
                let refs = LocalRefs {
                    repository: place.mirror.git_dir(),
                    mirror: MirrorAt::Here(place.mirror),
                    steps,
                };
                place.service.forge(&place.repository, Arc::new(refs))
            }
            Ok(place) => {
                let refs = RemoteRefs::new(
                    Arc::clone(&place.service),
                    place.repository.clone(),
                    place.mirror,
                    steps,
                );
                place.service.forge(&place.repository, Arc::new(refs))
            }
            // Nothing can be shown there; what is written here harms nobody.
            Err(why) => {
                let out = self.machine.data.join("tasks");
                Arc::from(forge::local(out, Arc::new(NoRefs(why.to_string())), None))
            }
        };
        (forge, voice)
    }

    fn branch(&self, task: TaskId, new: &NewTask) -> String {
        self.machine.branch(task, new)
    }

    async fn reviewers(&self, task: &Task) -> Result<Vec<String>, RunError> {
        let (Some(_), Some((connected, _))) = (task.issue.repository_id, self.known(task)) else {
            return Ok(Vec::new());
        };
        let us = connected.us.get().map(|us| us.login.clone());
        let (us, dialect) = (us.unwrap_or_default(), connected.dialect);
        let paths = dialect.places().iter().map(|path| RepoPath::from(*path));
        let file = self.first_of(task, paths.collect(), OWNERS_CAP).await?;
        let owners = Owners::parse(&file.unwrap_or_default(), dialect);
        let touched = task.revision.iter().flat_map(|of| &of.result.files);
        let owners = owners.of(touched.map(|file| &file.path));
        Ok(owners::reviewers(task, &owners, &us))
    }

    async fn template(&self, task: &Task) -> Result<String, RunError> {
        let (Some(_), Some((connected, _))) = (task.issue.repository_id, self.known(task)) else {
            return Ok(String::new());
        };
        let folders = connected.templates;
        let (place, base) = (self.place(task)?, task.base.clone());
        let read = tokio::task::spawn_blocking(move || {
            let files = place.mirror.list_files(&base)?;
            match report::pull_template(folders, &files) {
                Some(path) => place.mirror.file_at(&base, path, TEMPLATE_CAP),
                None => Ok(None),
            }
        });
        let read = read
            .await
            .map_err(|why| RunError::Broken(why.to_string()))?;
        // One that cannot be read is left out, as a forge does.
        let text = read.ok().flatten().map(String::from_utf8);
        Ok(text.and_then(Result::ok).unwrap_or_default())
    }

    fn pace_secs(&self, task: &Task) -> u64 {
        match task.issue.repository_id {
            None => self.machine.pace_secs(task),
            Some(_) => PACE_SECS,
        }
    }

    fn told(&self, task: TaskId, said: News<'_>) {
        self.machine.told(task, said);
    }
}

/// Largest file of code owners, and largest template.
const OWNERS_CAP: u64 = 3 << 20;
const TEMPLATE_CAP: u64 = 1 << 20;
