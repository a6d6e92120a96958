//! Starting the inner process, one ahead of need: loading a large program costs a good part of what
//! a sandbox costs to start, and none of it depends on which sandbox it will be.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

use super::inner;

/// Starts inner processes.
#[derive(Debug)]
pub(super) struct Launcher {
    helper: PathBuf,
    /// Started before it was asked for. It has nothing of any session: it waits for its first word.
    spare: Arc<Mutex<Option<Started>>>,
}

/// An inner process that waits for its first word; killed when it is dropped unused.
#[derive(Debug)]
pub(super) struct Started {
    child: Option<Child>,
    control: Option<UnixStream>,
}

impl Launcher {
    pub(super) fn new(helper: PathBuf) -> Self {
        Self {
            helper,
            spare: Arc::default(),
        }
    }

    /// The program that is started.
    pub(super) fn helper(&self) -> &Path {
        &self.helper
    }

    /// An inner process and the host's end of its control socket.
    pub(super) async fn start(&self) -> io::Result<(Child, UnixStream)> {
        let spare = lock(&self.spare).take();
        if let Some(ready) = spare.and_then(Started::alive) {
            return Ok(ready);
        }
        let (answer, answered) = tokio::sync::oneshot::channel();
        let helper = self.helper.clone();
        on_launcher_thread(move || {
            // Where nobody waits for it any more, the answer is dropped, and the process with it.
            let _ = answer.send(Started::new(&helper));
        })?;
        let started = answered.await.map_err(|_| thread_gone())??;
        started
            .alive()
            .ok_or_else(|| io::Error::other("it ended before it was told anything"))
    }

    /// Starts the next one in the background. That it cannot be is found out, and told, by the
    /// [`Self::start`] that needs it.
    pub(super) fn start_ahead(&self) {
        let (helper, spare) = (self.helper.clone(), Arc::clone(&self.spare));
        let _ = on_launcher_thread(move || {
            if lock(&spare).is_none()
                && let Ok(started) = Started::new(&helper)
            {
                *lock(&spare) = Some(started);
            }
        });
    }
}

impl Started {
    fn new(helper: &Path) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(helper)
            .arg0(inner::NAME)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child: Some(child),
            control: Some(ours),
        })
    }

    fn alive(mut self) -> Option<(Child, UnixStream)> {
        let ended = self.child.as_mut()?.try_wait();
        matches!(ended, Ok(None))
            .then(|| self.child.take().zip(self.control.take()))
            .flatten()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn lock(spare: &Mutex<Option<Started>>) -> std::sync::MutexGuard<'_, Option<Started>> {
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a job on the one thread that lives as long as this process. The inner process asks to die
/// with its parent, and to the kernel the parent is the *thread* that started it.
fn on_launcher_thread(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    type Job = Box<dyn FnOnce() + Send>;
    static THREAD: OnceLock<Option<mpsc::Sender<Job>>> = OnceLock::new();
    THREAD
        .get_or_init(|| {
            let (sender, jobs) = mpsc::channel::<Job>();
            std::thread::Builder::new()
                .name("sandbox-launcher".to_owned())
                .spawn(move || jobs.into_iter().for_each(|job| job()))
                .ok()
                .map(|_| sender)
        })
        .as_ref()
        .and_then(|thread| thread.send(Box::new(job)).ok())
        .ok_or_else(thread_gone)
}

fn thread_gone() -> io::Error {
    io::Error::other("the launcher thread is gone")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any program that waits for its standard input will do.
    fn launcher() -> Launcher {
        Launcher::new("/bin/cat".into())
    }

    fn spare(launcher: &Launcher) -> u32 {
        loop {
            if let Some(started) = lock(&launcher.spare).as_ref() {
                return started.child.as_ref().unwrap().id();
            }
            std::thread::yield_now();
        }
    }

    fn exists(pid: u32) -> bool {
        Path::new("/proc").join(pid.to_string()).exists()
    }

    #[tokio::test]
    async fn what_was_started_ahead_is_used_first_and_only_once() {
        let launcher = launcher();
        launcher.start_ahead();
        let ahead = spare(&launcher);
        let (mut first, _control) = launcher.start().await.unwrap();
        let (mut second, _control) = launcher.start().await.unwrap();
        assert_eq!(first.id(), ahead);
        assert_ne!(second.id(), ahead);
        for child in [&mut first, &mut second] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[tokio::test]
    async fn one_that_died_while_it_waited_is_not_used() {
        let launcher = launcher();
        launcher.start_ahead();
        let ahead = spare(&launcher);
        let pid = rustix::process::Pid::from_raw(ahead.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let mut status = rustix::process::WaitIdOptions::EXITED;
        status |= rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), status).unwrap();
        let (mut child, _control) = launcher.start().await.unwrap();
        assert_ne!(child.id(), ahead);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn what_was_started_ahead_ends_with_its_launcher() {
        let launcher = launcher();
        launcher.start_ahead();
        let ahead = spare(&launcher);
        assert!(exists(ahead));
        drop(launcher);
        // The thread that started it may still hold its share for a moment.
        while exists(ahead) {
            std::thread::yield_now();
        }
    }
}
