//! Where the three sandboxes of a run get their files from: layers, mounts, limits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Bench, Exit, RunError, blocking};
use crate::domain::ident::CommitId;
use crate::domain::settings::Settings;
use crate::git::{Checkout, Error};
use crate::sandbox::{self, Limits, Method, Session, Spec, Workspace};

/// Where the repository is inside every sandbox.
pub const REPOSITORY_INSIDE: &str = "/work";

/// Files of one commit as immutable folders, topmost first.
#[derive(Clone)]
pub(super) struct Layers {
    pub(super) folders: Vec<PathBuf>,
    /// Whose files they are.
    pub(super) commit: CommitId,
    /// Held so that the checkouts are not pruned while a sandbox stands on them.
    _in_use: Vec<Arc<Checkout>>,
}

impl Layers {
    /// The layers of `head`: the checkout of `base` and a delta above it, or a checkout of its own where
    /// a delta cannot be written. A throw-away `.git` lies with them, so that tools which ask git get an answer:
    /// `committed` says whether to git `head` is a commit or unfinished work over `base`.
    pub(super) async fn of(
        bench: &Bench,
        base: &CommitId,
        head: &CommitId,
        name: &str,
        committed: bool,
    ) -> Result<Self, Exit> {
        let (mirror, base, head) = (bench.mirror.clone(), base.clone(), head.clone());
        let delta = bench.scratch.join(format!("{name}-delta"));
        let layers = blocking(move || {
            if base == head {
                let checkout = mirror.checkout(&head)?;
                let git = mirror.throwaway_git(&head, &checkout)?;
                let folders = vec![git, checkout.path().to_owned()];
                return Ok(Self {
                    folders,
                    commit: head,
                    _in_use: vec![Arc::new(checkout)],
                });
            }
            let checkout = mirror.checkout(&base)?;
            make_empty(&delta)?;
            match mirror.write_delta(&base, &head, &delta) {
                Ok(_) => {
                    let git = mirror.throwaway_git(&base, &checkout)?;
                    if committed {
                        mirror.add_head_git((&base, &head), &git, &delta)?;
                    }
                    let folders = vec![delta, git, checkout.path().to_owned()];
                    Ok(Self {
                        folders,
                        commit: head,
                        _in_use: vec![Arc::new(checkout)],
                    })
                }
                Err(Error::Unsupported(_)) => {
                    let checkout = mirror.checkout(&head)?;
                    let git = mirror.throwaway_git(&head, &checkout)?;
                    let folders = vec![git, checkout.path().to_owned()];
                    Ok(Self {
                        folders,
                        commit: head,
                        _in_use: vec![Arc::new(checkout)],
                    })
                }
                Err(other) => Err(other),
            }
        })
        .await?;
        Ok(layers)
    }

    /// The same with one more folder on top: what another session changed, or (`whole`) all that it had.
    pub(super) fn under(&self, top: PathBuf, whole: bool) -> Self {
        let mut layers = self.clone();
        if whole {
            layers.folders.clear();
        }
        layers.folders.insert(0, top);
        layers
    }
}

/// Starts a session over `layers` that writes to the layer `name`.
pub(super) async fn session(
    bench: &Bench,
    settings: &Settings,
    layers: &Layers,
    name: &str,
    files: Vec<(PathBuf, Vec<u8>)>,
) -> Result<Box<dyn Session>, Exit> {
    let mut env = bench.toolchains.env.clone();
    env.extend(settings.sandbox.env.clone());
    let mut all_files = bench.toolchains.files.clone();
    all_files.extend(files);
    let limits = &settings.sandbox;
    let spec = Spec {
        workspace: Workspace {
            lowers: layers.folders.clone(),
            layer: layer(bench, name),
            inside: PathBuf::from(REPOSITORY_INSIDE),
            method: bench.method,
        },
        mounts: bench
            .toolchains
            .mounts(&bench.scratch.join(format!("{name}-caches"))),
        env,
        limits: Limits {
            memory_bytes: limits.memory_bytes,
            pids: limits.pids,
            cpu_millis: limits.cpu_millis,
            disk_bytes: limits.disk_bytes,
            ..Limits::default()
        },
        files: all_files,
    };
    Ok(bench.sandbox.prepare(spec).await?)
}

/// The folder that the session `name` writes to.
pub(super) fn layer(bench: &Bench, name: &str) -> PathBuf {
    bench.scratch.join(name)
}

/// What the session `name` changed (overlay) or its whole tree (copy).
pub(super) fn upper(bench: &Bench, name: &str) -> PathBuf {
    layer(bench, name).join("upper")
}

/// Whether the session's upper holds only what changed.
pub(super) fn is_overlay(session: &dyn Session) -> bool {
    session.facts().method == Method::Overlay
}

/// Removes every layer that an earlier run left, at the beginning of the next one: a sandbox that stood on a layer
/// which was written to would not be fresh, so nothing runs where one cannot be removed.
///
/// # Errors
/// [`RunError::Host`].
pub(super) async fn empty(bench: &Bench) -> Result<(), RunError> {
    let scratch = bench.scratch.clone();
    let removed = tokio::task::spawn_blocking(move || sandbox::remove(&scratch)).await;
    let why = match removed {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(why)) => why.to_string(),
        Err(why) => why.to_string(),
    };
    Err(RunError::Host(format!(
        "layers of an earlier run in {} could not be removed: {why}",
        bench.scratch.display()
    )))
}

/// Removes every layer at the end. What cannot be removed now is removed by the next run or sweep.
pub(super) async fn clear(bench: &Bench) {
    if let Err(why) = empty(bench).await {
        tracing::warn!(%why, "layers stay");
    }
}

fn make_empty(dir: &Path) -> Result<(), Error> {
    let made = sandbox::remove(dir).and_then(|()| std::fs::create_dir_all(dir));
    made.map_err(|source| Error::Disk {
        doing: "create",
        path: dir.to_owned(),
        source,
    })
}
