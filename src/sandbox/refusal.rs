//! Why a host refuses a sandbox, and what to do about it.

use std::fs;
use std::io;

use super::SandboxError;
use super::wire::{Failure, Stage};

/// Why a start failed.
pub(super) enum Refused {
    /// The overlay; a copy may work.
    NoOverlay(String),
    Error(SandboxError),
}

impl From<SandboxError> for Refused {
    fn from(error: SandboxError) -> Self {
        Self::Error(error)
    }
}

impl Refused {
    pub(super) fn of(failure: &Failure) -> Self {
        let error = io::Error::from_raw_os_error(failure.errno);
        match failure.step {
            Stage::Overlay => Self::NoOverlay(format!("overlay is refused: {error}")),
            Stage::Idmap => Self::NoOverlay(format!(
                "the file system of {} refuses idmapped mounts: {error}",
                failure.what
            )),
            _ => Self::Error(explain(failure, &Knobs::read())),
        }
    }
}

/// Switches of the host that decide whether a sandbox is possible.
#[derive(Clone, Debug, Default)]
struct Knobs {
    root: bool,
    userns_clone: Option<String>,
    max_user_namespaces: Option<String>,
    apparmor_userns: Option<String>,
}

impl Knobs {
    fn read() -> Self {
        let read = |path: &str| Some(fs::read_to_string(path).ok()?.trim().to_owned());
        Self {
            root: rustix::process::geteuid().is_root(),
            userns_clone: read("/proc/sys/kernel/unprivileged_userns_clone"),
            max_user_namespaces: read("/proc/sys/user/max_user_namespaces"),
            apparmor_userns: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        }
    }
}

/// What a failed start means, and what a person can do.
fn explain(failure: &Failure, knobs: &Knobs) -> SandboxError {
    let error = io::Error::from_raw_os_error(failure.errno);
    let unavailable = |why: String, fix: &str| SandboxError::Unavailable {
        why,
        fix: fix.to_owned(),
    };
    let denied = matches!(failure.errno, libc::EPERM | libc::EACCES);
    match failure.step {
        Stage::Source if matches!(failure.errno, libc::ENOENT | libc::ENOTDIR) => {
            SandboxError::Spec(format!("{} is not there", failure.what))
        }
        Stage::Mount if matches!(failure.errno, libc::EROFS | libc::ENOTDIR | libc::EEXIST) => {
            SandboxError::Spec(format!("{} cannot be mounted there: {error}", failure.what))
        }
        _ if knobs.max_user_namespaces.as_deref() == Some("0") => unavailable(
            "user.max_user_namespaces is 0, so the kernel makes no user namespaces".to_owned(),
            "run `sudo sysctl -w user.max_user_namespaces=15000`",
        ),
        _ if denied && !knobs.root && knobs.userns_clone.as_deref() == Some("0") => unavailable(
            "kernel.unprivileged_userns_clone is 0, so only root may make user namespaces".to_owned(),
            "run `sudo sysctl -w kernel.unprivileged_userns_clone=1`",
        ),
        _ if denied && !knobs.root && knobs.apparmor_userns.as_deref() == Some("1") => unavailable(
            "AppArmor takes the rights of user namespaces from programs without a profile (kernel.apparmor_restrict_unprivileged_userns is 1)".to_owned(),
            "run `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or load an AppArmor profile with `userns,` for this program",
        ),
        Stage::Proc if denied => unavailable(
            "a fresh /proc is refused, as in containers that mask parts of theirs".to_owned(),
            "run on the host itself, or start the container with `--security-opt systempaths=unconfined`",
        ),
        Stage::Namespaces if denied => unavailable(
            format!("new namespaces are refused ({error}), as in containers with a seccomp profile"),
            "run on the host itself, or start the container with `--security-opt seccomp=unconfined`",
        ),
        Stage::Namespaces if failure.errno == libc::ENOSYS => unavailable(
            "this kernel has no clone3".to_owned(),
            "use Linux 5.13 or newer",
        ),
        Stage::Namespaces => unavailable(
            format!("new namespaces are refused: {error}"),
            "raise user.max_user_namespaces and the limits of the service",
        ),
        step => unavailable(
            format!("{step:?} of {} failed: {error}", failure.what),
            "this is not a known refusal: report it with the kernel's version",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(step: Stage, errno: i32, knobs: Knobs) -> String {
        let failure = Failure {
            step,
            what: "/cache/commit".to_owned(),
            errno,
        };
        explain(&failure, &knobs).to_string()
    }

    #[test]
    fn a_host_that_forbids_sandboxes_is_told_with_its_fix() {
        let zero = |f: fn(&mut Knobs, Option<String>), value: &str| {
            let mut knobs = Knobs::default();
            f(&mut knobs, Some(value.to_owned()));
            knobs
        };
        insta::assert_snapshot!(told(Stage::Namespaces, libc::ENOSPC, zero(|k, v| k.max_user_namespaces = v, "0")), @"no sandbox is possible: user.max_user_namespaces is 0, so the kernel makes no user namespaces; run `sudo sysctl -w user.max_user_namespaces=15000`");
        insta::assert_snapshot!(told(Stage::Namespaces, libc::EPERM, zero(|k, v| k.userns_clone = v, "0")), @"no sandbox is possible: kernel.unprivileged_userns_clone is 0, so only root may make user namespaces; run `sudo sysctl -w kernel.unprivileged_userns_clone=1`");
        insta::assert_snapshot!(told(Stage::Network, libc::EPERM, zero(|k, v| k.apparmor_userns = v, "1")), @"no sandbox is possible: AppArmor takes the rights of user namespaces from programs without a profile (kernel.apparmor_restrict_unprivileged_userns is 1); run `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or load an AppArmor profile with `userns,` for this program");
        insta::assert_snapshot!(told(Stage::Proc, libc::EPERM, Knobs::default()), @"no sandbox is possible: a fresh /proc is refused, as in containers that mask parts of theirs; run on the host itself, or start the container with `--security-opt systempaths=unconfined`");
        insta::assert_snapshot!(told(Stage::Namespaces, libc::EPERM, Knobs::default()), @"no sandbox is possible: new namespaces are refused (Operation not permitted (os error 1)), as in containers with a seccomp profile; run on the host itself, or start the container with `--security-opt seccomp=unconfined`");
        insta::assert_snapshot!(told(Stage::Source, libc::ENOENT, Knobs::default()), @"sandbox specification: /cache/commit is not there");
    }
}
