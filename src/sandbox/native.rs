//! The host's side of the native launcher: identities, layers, starting the inner process, and the
//! life of a session.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::disk::DiskWatch;
use super::host::Host;
use super::launch::Launcher;
use super::limits::Parents;
use super::plan;
use super::refusal::Refused;
use super::session::{Body, Control, Live, Pid1, State, blocking, disk, environment, lost};
use super::wire::{Boot, Incoming, Reply, Watch};
use super::{
    Command, Ended, Facts, Flow, LimitsTier, Method, MountKind, Sandbox, SandboxError, Session,
    Spec, Stdin, Stream, tree,
};

/// First host uid and gid of slots: far from people, system users and sub-id ranges.
const FIRST_SLOT_ID: u32 = 1_879_048_192;

/// Folders of probes begin so.
const PROBE: &str = "probe-";

/// Most sessions at a time on one slots folder.
const MAX_SLOTS: u32 = 4096;

/// Longest wait for the inner process to be ready.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The native launcher: namespaces of the kernel, by running the given program once more.
#[derive(Debug)]
pub struct Native {
    launcher: Arc<Launcher>,
    slots: PathBuf,
    parents: Parents,
}

impl Native {
    /// `helper`: a program whose `main` begins with [`super::inner`], normally this one.
    /// `slots`: a folder for lock files, made when missing. All processes of one machine that run
    /// sandboxes as root share one, since a lock in it is what makes a host uid theirs alone.
    #[must_use]
    pub fn new(helper: PathBuf, slots: PathBuf) -> Self {
        Self {
            launcher: Arc::new(Launcher::new(helper)),
            slots,
            parents: Parents::find(),
        }
    }

    /// Kills and removes what sessions of dead processes left: their control groups, and the folders
    /// of probes. Returns how many slots were looked at. Blocking; harmless while others run.
    pub fn reclaim(&self) -> usize {
        if let Ok(file) = self.probing()
            && file.try_lock().is_ok()
        {
            let entries = fs::read_dir(&self.slots).into_iter().flatten().flatten();
            for entry in entries {
                if entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(PROBE.as_bytes())
                {
                    // What cannot be removed now is removed by the next start.
                    let _ = tree::remove(&entry.path());
                }
            }
        }
        let Ok(listing) = fs::read_dir(&self.slots) else {
            return 0;
        };
        listing
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|number| Slot::lock(&self.slots, number).ok().flatten())
            .map(|slot| self.parents.reclaim(&slot.group))
            .count()
    }

    /// Held shared by whoever probes, so that nobody takes its folder away.
    fn probing(&self) -> io::Result<File> {
        let path = self.slots.join("probing");
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
    }

    async fn start(&self, spec: &Spec, method: Method) -> Result<Live, Refused> {
        let plan = plan::plan(spec, method, &Host::look())?;
        let root = rustix::process::geteuid().is_root();
        let (slots, parents, limits) = (self.slots.clone(), self.parents.clone(), spec.limits);
        let layers = layers(spec);
        let folders: Vec<PathBuf> = layers.iter().map(|(_, layer)| layer.clone()).collect();
        let uppers: Vec<PathBuf> = folders.iter().map(|layer| layer.join("upper")).collect();
        let (slot, group, mut disk) = blocking(move || {
            let slot = Slot::take(&slots)?;
            parents.reclaim(&slot.group);
            let owner = root.then_some(slot.id);
            for (lowers, layer) in &layers {
                make_layer(lowers, layer, owner, method)?;
            }
            // Where a group cannot be made after all, the tier that is told says so.
            let group = parents.create(&slot.group, &limits).unwrap_or_default();
            let mut already = tree::Size::default();
            if method == Method::Copy {
                for upper in &uppers {
                    already.add(tree::size(upper, u64::MAX, u64::MAX));
                }
            }
            let disk = DiskWatch::new(uppers, &limits, already);
            Ok::<_, SandboxError>((slot, group, disk))
        })
        .await??;

        let tier = group.tier();
        let owner = slot.id;
        let boot = Boot {
            slot: root.then_some(owner),
            plan,
            // So much above that a file which meets it is over the limit that is watched and told.
            file_bytes: limits.disk_bytes.saturating_add(1 << 20),
            watch: (tier == LimitsTier::Rlimits).then_some(Watch {
                memory_bytes: limits.memory_bytes,
                pids: limits.pids,
            }),
            doors: group.doors(),
        };
        let (child, ours) = self.launcher.start().await.map_err(|e| {
            let helper = self.launcher.helper().display();
            SandboxError::Unavailable {
                why: format!("{helper} does not start: {e}"),
                fix: "install the program again".to_owned(),
            }
        })?;
        let mut body = Body {
            child: Some(child),
            pid1: None,
            group,
            slot: Some(slot),
        };
        if let Some(child) = &body.child {
            body.group.add(child.id()).map_err(lost)?;
        }
        let mut control = Control {
            stream: UnixStream::from_std(ours).map_err(lost)?,
            incoming: Incoming::new(),
        };
        let ready = async {
            control.send(&boot, &[]).await?;
            loop {
                match control.next::<Reply>().await? {
                    Some(Reply::Born) => {
                        let fd = control.incoming.fd().ok_or(io::ErrorKind::InvalidData)?;
                        body.pid1 = Some(Arc::new(Pid1 {
                            fd,
                            cancelled: CancellationToken::new(),
                        }));
                    }
                    Some(other) => return Ok(Some(other)),
                    None => return Ok(None),
                }
            }
        };
        let reply: io::Result<_> = tokio::time::timeout(START_LIMIT, ready)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let landlock_abi = match reply {
            Ok(Some(Reply::Ready { landlock_abi })) => landlock_abi,
            Ok(Some(Reply::Failed(failure))) => {
                body.end(Vec::new()).await?;
                return Err(Refused::of(&failure));
            }
            Ok(Some(_) | None) => {
                let oom = body.group.counters().oom > 0;
                body.end(Vec::new()).await?;
                return Err(Refused::Error(SandboxError::Lost(if oom {
                    "the memory limit is too small for a sandbox to start".to_owned()
                } else {
                    "the inner process ended while it was starting".to_owned()
                })));
            }
            Err(e) => {
                body.end(Vec::new()).await?;
                return Err(Refused::Error(SandboxError::Lost(format!(
                    "the inner process did not start: {e}"
                ))));
            }
        };
        let Some(pid1) = body.pid1.clone() else {
            return Err(Refused::Error(SandboxError::Lost(
                "the inner process did not tell its PID 1".to_owned(),
            )));
        };
        disk.pid1 = pid1.number();
        Ok(Live {
            control,
            body,
            pid1,
            facts: Facts {
                launcher: "native",
                limits: tier,
                method,
                no_overlay: None,
                landlock_abi,
                prepare_ms: 0,
            },
            env: environment(&spec.env)?,
            disk: Arc::new(Mutex::new(disk)),
            layers: folders,
            owner: root.then_some(owner),
            launcher: Arc::clone(&self.launcher),
            state: State::Idle,
        })
    }
}

#[async_trait]
impl Sandbox for Native {
    async fn probe(&self) -> Result<Facts, SandboxError> {
        blocking({
            let slots = self.slots.clone();
            move || tree::make_folder(&slots)
        })
        .await?
        .map_err(|e| disk(&self.slots, &e))?;
        let probing = self.probing().map_err(|e| disk(&self.slots, &e))?;
        let _probing = blocking(move || probing.lock_shared().map(|()| probing))
            .await?
            .map_err(|e| disk(&self.slots, &e))?;
        let folder = tempfile::Builder::new()
            .prefix(PROBE)
            .tempdir_in(&self.slots)
            .map_err(|e| disk(&self.slots, &e))?;
        let lower = folder.path().join("lower");
        tree::make_folder(&lower).map_err(|e| disk(&lower, &e))?;
        let spec = Spec {
            workspace: super::Workspace {
                lowers: vec![lower],
                layer: folder.path().join("layer"),
                inside: "/work".into(),
                method: Method::Auto,
            },
            mounts: Vec::new(),
            env: BTreeMap::new(),
            limits: super::Limits::default(),
            files: Vec::new(),
        };
        let mut session = self.prepare(spec).await?;
        let command = Command {
            argv: vec!["true".into()],
            env: BTreeMap::new(),
            cwd: "/work".into(),
            stdin: Stdin::Null,
            timeout: Duration::from_secs(30),
            quiet_after: None,
        };
        let ended = session
            .exec(command, &mut |_: Stream, _: &[u8]| Flow::More)
            .await?;
        let facts = session.facts().clone();
        session.kill().await?;
        tree::remove(folder.path()).map_err(|e| disk(folder.path(), &e))?;
        match ended {
            Ended::Exited { exit, .. } if exit.is_green() => Ok(facts),
            other => Err(SandboxError::Unavailable {
                why: format!("`true` ended as {other:?} inside"),
                fix: "check that /bin/true runs on this host".to_owned(),
            }),
        }
    }

    async fn prepare(&self, spec: Spec) -> Result<Box<dyn Session>, SandboxError> {
        let started = Instant::now();
        let wanted = spec.workspace.method;
        let copied = spec.workspace.layer.join(COPIED).exists();
        let mut no_overlay = None;
        let live = if wanted == Method::Copy || (wanted == Method::Auto && copied) {
            self.start(&spec, Method::Copy).await
        } else {
            match self.start(&spec, Method::Overlay).await {
                Err(Refused::NoOverlay(why)) if wanted == Method::Auto => {
                    no_overlay = Some(why);
                    self.start(&spec, Method::Copy).await
                }
                other => other,
            }
        };
        let mut live = live.map_err(|refused| match refused {
            Refused::Error(e) => e,
            Refused::NoOverlay(why) => SandboxError::Unavailable {
                why,
                fix: "use the copy method".to_owned(),
            },
        })?;
        live.facts.no_overlay = no_overlay;
        live.facts.prepare_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Box::new(live))
    }
}

/// A host identity that belongs to one session of one process of the machine.
#[derive(Debug)]
pub(super) struct Slot {
    id: u32,
    /// Name of its control groups.
    group: String,
    /// Holds the lock.
    _file: File,
}

impl Slot {
    fn take(folder: &Path) -> Result<Self, SandboxError> {
        tree::make_folder(folder).map_err(|e| disk(folder, &e))?;
        for number in 0..MAX_SLOTS {
            if let Some(slot) = Self::lock(folder, number).map_err(|e| disk(folder, &e))? {
                return Ok(slot);
            }
        }
        Err(SandboxError::Lost(format!(
            "all {MAX_SLOTS} slots of {} are in use",
            folder.display()
        )))
    }

    fn lock(folder: &Path, number: u32) -> io::Result<Option<Self>> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(folder.join(number.to_string()))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(e) => return Err(e.into()),
        }
        let meta = fs::metadata(folder)?;
        Ok(Some(Self {
            id: FIRST_SLOT_ID + number,
            group: format!("prentice-{:x}-{:x}-{number}", meta.dev(), meta.ino()),
            _file: file,
        }))
    }
}

/// Marks a layer that holds a whole copied tree.
const COPIED: &str = "copied";

/// Marks a layer whose copy was not finished.
const COPYING: &str = "copying";

fn layers(spec: &Spec) -> Vec<(Vec<PathBuf>, PathBuf)> {
    let private = spec.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::ReadOnly => None,
        MountKind::Private { layer } => Some((vec![mount.from.clone()], layer.clone())),
    });
    std::iter::once((spec.workspace.lowers.clone(), spec.workspace.layer.clone()))
        .chain(private)
        .collect()
}

/// Makes a layer ready for its new owner.
fn make_layer(
    lowers: &[PathBuf],
    layer: &Path,
    owner: Option<u32>,
    method: Method,
) -> Result<(), SandboxError> {
    for lower in lowers {
        if !lower.is_dir() {
            return Err(SandboxError::Spec(format!(
                "{} is not a folder",
                lower.display()
            )));
        }
    }
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    let (copied, copying) = (layer.join(COPIED), layer.join(COPYING));
    let made = (|| -> io::Result<()> {
        tree::make_folder(layer)?;
        // What a killed session left in it has no meaning, and overlay wants it empty.
        tree::remove(&work)?;
        fs::create_dir(&work)?;
        if copying.exists() {
            tree::remove(&upper)?;
        }
        match fs::DirBuilder::new().mode(0o755).create(&upper) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        Ok(())
    })();
    made.map_err(|e| disk(layer, &e))?;
    let full = fs::read_dir(&upper)
        .map_err(|e| disk(&upper, &e))?
        .next()
        .is_some();
    if full && copied.exists() != (method == Method::Copy) {
        return Err(SandboxError::Spec(format!(
            "{} was written by another method than {}",
            layer.display(),
            method.name()
        )));
    }
    (|| -> io::Result<()> {
        if let Some(owner) = owner
            && layer.metadata()?.uid() != owner
        {
            tree::give(layer, owner)?;
        }
        if let Some(owner) = owner {
            for folder in [&upper, &work] {
                std::os::unix::fs::lchown(folder, Some(owner), Some(owner))?;
            }
        }
        if method == Method::Copy && !copied.exists() {
            File::create(&copying)?;
            tree::copy(lowers, &upper, owner)?;
            fs::rename(&copying, &copied)?;
        }
        Ok(())
    })()
    .map_err(|e| disk(layer, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_belongs_to_one_holder_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let first = Slot::take(folder.path()).unwrap();
        let second = Slot::take(folder.path()).unwrap();
        assert_eq!((first.id, second.id), (FIRST_SLOT_ID, FIRST_SLOT_ID + 1));
        assert_ne!(first.group, second.group);
        drop(first);
        assert_eq!(Slot::take(folder.path()).unwrap().id, FIRST_SLOT_ID);
    }
}
