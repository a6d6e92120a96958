//! Guards that no attack and no road reaches by itself, since another wall stands before them or
//! chance has to help. Each is looked at alone.

use std::fs;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use prentice::domain::evidence::Exit;
use prentice::domain::ident::{CommitId, TaskId};
use prentice::forge::{self, Durable, Error, Leave, Place, Refs, Status, local};
use prentice::sandbox::{Mount, MountKind, Sandbox as _};

use crate::sandbox::{World, run, sh};

/// The processes of ours that are the outer half of a sandbox.
fn starters() -> Vec<i32> {
    let ours = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split(' ').nth(2));
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if parent == Some(ours.as_str()) && line.starts_with(b"prentice-sandbox-inner") {
            found.push(pid);
        }
    }
    found
}

#[tokio::test]
async fn what_starts_a_sandbox_inherits_nothing() {
    let world = World::new();
    world.write("canary", "the content of an open file");
    let canary = fs::File::open(world.path("canary")).unwrap();
    // As a library that knows nothing of close-on-exec would leave it.
    rustix::io::fcntl_setfd(&canary, rustix::io::FdFlags::empty()).unwrap();
    let name = fs::read_link(format!("/proc/self/fd/{}", canary.as_raw_fd())).unwrap();
    let mut session = world.session().await;
    let starters = starters();
    assert!(!starters.is_empty());
    for pid in starters {
        // The outer half of another test may be gone by now.
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
            continue;
        };
        assert_eq!(String::from_utf8_lossy(&environment), "");
        let has_it = || {
            let listing = fs::read_dir(format!("/proc/{pid}/fd"));
            let mut open = listing.into_iter().flatten().flatten();
            open.any(|open| fs::read_link(open.path()).unwrap_or_default() == name)
        };
        // One that has only just begun closes it as the first thing it does.
        let deadline = Instant::now() + Duration::from_secs(5);
        while has_it() {
            assert!(Instant::now() < deadline, "{pid} keeps what it inherited");
            std::thread::yield_now();
        }
    }
    let (_, listing, _) = run(session.as_mut(), sh("ls -l /proc/self/fd")).await;
    assert!(!listing.contains("canary"), "{listing}");
    session.kill().await.unwrap();
}

#[tokio::test]
async fn a_read_only_mount_is_read_only_also_for_its_owner() {
    let world = World::new();
    world.write("tools/bin/tool", "#!/bin/sh\necho good\n");
    let mut spec = world.spec();
    spec.mounts.push(Mount {
        from: world.path("tools"),
        inside: "/opt/tools".into(),
        kind: MountKind::ReadOnly,
    });
    let mut session = world.native.prepare(spec).await.unwrap();
    let script = "echo x > /opt/tools/bin/tool; echo x > /opt/tools/new; chmod 700 /opt/tools/bin; \
                  sh /opt/tools/bin/tool; grep ' /opt/tools ' /proc/self/mountinfo";
    let (exit, out, _) = run(session.as_mut(), sh(script)).await;
    assert_eq!(exit, Exit::Code { code: 0 });
    assert!(out.starts_with("good\n"), "{out}");
    // Landlock forbids writing as well, where the kernel has it.
    assert!(out.contains(" /opt/tools ro,nosuid,nodev"), "{out}");
    assert!(!world.path("tools/new").exists());
    session.kill().await.unwrap();
}

/// A repository without branches.
struct NoRefs;

#[async_trait::async_trait]
impl Refs for NoRefs {
    async fn branch_head(&self, _: &str) -> Result<Option<CommitId>, Error> {
        Ok(None)
    }

    async fn set_branch(&self, _: &str, _: &CommitId, _: Option<&CommitId>) -> Result<(), Error> {
        Ok(())
    }

    async fn delete_branch(&self, _: &str, _: &CommitId) -> Result<(), Error> {
        Ok(())
    }

    async fn reaches(&self, _: &str, _: &CommitId) -> Result<bool, Error> {
        Ok(false)
    }
}

/// Holds up whoever writes the status at its last step until others had their time.
struct Held {
    reached: mpsc::Sender<()>,
    others_done: Mutex<mpsc::Receiver<()>>,
}

impl Durable for Held {
    fn step(&self, what: &str) {
        if what == "before rename T-1/status.md" {
            self.reached.send(()).unwrap();
            let others = self.others_done.lock().unwrap();
            // Where they exclude each other nobody comes.
            let _ = others.recv_timeout(Duration::from_millis(300));
        }
    }
}

/// The two are jobs side by side, each with a forge of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_is_shown_while_it_is_cleaned_up_ends_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let place = Place {
        task: TaskId(1),
        issue: 1,
        pull: None,
    };
    let status = |body| Status {
        word: "stopped",
        ended: true,
        body,
    };
    forge::keep_issue(&root, place.task, "text", None).unwrap();
    let plain = local(root.clone(), Arc::new(NoRefs), None);
    let first = plain.ensure_status(place, None, &status("first")).await;
    first.unwrap();
    let (reached, is_reached) = mpsc::channel();
    let (done, others_done) = mpsc::channel();
    let held = Held {
        reached,
        others_done: Mutex::new(others_done),
    };
    let showing = local(root, Arc::new(NoRefs), Some(Arc::new(held)));
    let show = tokio::spawn(async move {
        let ended = status("second");
        showing.ensure_status(place, None, &ended).await
    });
    let waited = tokio::task::spawn_blocking(move || is_reached.recv());
    waited.await.unwrap().unwrap();
    plain.clean_up(place, Leave::Nothing).await.unwrap();
    let _ = done.send(());
    show.await.unwrap().unwrap();
    assert!(!folder.path().join("T-1").exists());
}
