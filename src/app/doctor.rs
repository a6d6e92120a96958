//! What works on this machine and what does not, one line each, with what to do about it.
//!
//! Looking is apart from judging: what was seen goes into small pure functions, one per group, so that each line
//! can be read in a test. What a forge says is in `forges`.

pub mod alive;
mod forges;

use std::borrow::Cow;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use super::{AppError, Said, SystemClock, local, make_private, server_settings};
use crate::config::{self, Env};
use crate::domain::ident::Time;
use crate::domain::text;
use crate::git;
use crate::sandbox::{Facts, LimitsTier, Method, Native, Sandbox as _, SandboxError};
use crate::store::{self, Clock, StoreError};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is about: `sandbox`, `git`, `data`.
    pub group: &'static str,
    /// What of it, unique in its group.
    pub name: Cow<'static, str>,
    /// How it is.
    pub state: State,
    /// What was seen.
    pub text: String,
    /// What to do, where there is something to do.
    pub fix: Option<String>,
}

/// How a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, with less.
    Warn,
    /// It does not work.
    Fail,
}

impl State {
    /// As told to people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Line {
    /// All is well.
    #[must_use]
    pub fn ok(
        group: &'static str,
        name: impl Into<Cow<'static, str>>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            group,
            name: name.into(),
            state: State::Ok,
            text: text.into(),
            fix: None,
        }
    }

    /// It works, with less; `fix` gives more.
    #[must_use]
    pub fn warn(
        group: &'static str,
        name: impl Into<Cow<'static, str>>,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Warn,
            fix: Some(fix.into()),
            ..Self::ok(group, name, text)
        }
    }

    /// It does not work; `fix` is the next step.
    #[must_use]
    pub fn fail(
        group: &'static str,
        name: impl Into<Cow<'static, str>>,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Fail,
            fix: Some(fix.into()),
            ..Self::ok(group, name, text)
        }
    }

    fn said(group: &'static str, name: impl Into<Cow<'static, str>>, said: &Said) -> Self {
        let fix = (!said.hint.is_empty()).then(|| said.hint.clone());
        Self {
            state: State::Fail,
            fix,
            ..Self::ok(group, name, said.what.clone())
        }
    }
}

/// Less free than this is too little for a task.
const FREE_BYTES: u64 = 1 << 30;
/// Fewer files that can still be made are too few.
const FREE_FILES: u64 = 20_000;
/// 2026-01-01: no clock that is right shows less.
const EARLIEST: Time = Time(1_767_225_600_000);
/// 2100-01-01: no clock that is right shows more.
const LATEST: Time = Time(4_102_444_800_000);

/// How closely to look.
#[derive(Clone, Debug, Default)]
pub struct Depth {
    /// Starts no sandbox and asks no forge, but the server, where there should be one.
    pub quick: bool,
    /// Of an administrator, who may see webhooks; used here and kept nowhere.
    pub admin: Option<SecretString>,
}

/// Everything that can be found out.
pub async fn doctor(env: &Env, config: Option<&Path>, depth: &Depth) -> Vec<Line> {
    let mut lines = vec![program()];
    let settings = server_settings(env, config);
    let file = config::server_file(config, env);
    lines.push(server_file(
        file.as_deref().filter(|path| path.exists()),
        settings.as_ref().err(),
    ));
    lines.push(clock(SystemClock.now()));
    lines.extend(git_lines(git::program()));
    let Ok((server, origins)) = settings else {
        return lines;
    };
    let Some(data) = config::data_dir(&server, env) else {
        let fix = "set HOME, or `[server] data_dir`";
        lines.push(Line::fail(
            "data",
            "folder",
            "no folder for data is known",
            fix,
        ));
        return lines;
    };
    if let Err(error) = make_private(&data) {
        lines.push(Line::said("data", "folder", &error.said()));
        return lines;
    }
    let looked = data.clone();
    let seen = tokio::task::spawn_blocking(move || look(&looked)).await;
    let seen = seen.unwrap_or_else(|why| Err(why.to_string()));
    lines.extend(data_lines(&data, seen));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = store::open(&data, clock, Arc::new(store::Unwatched)).await;
    lines.push(store_line(opened.as_ref().map(|_| ())));
    if depth.quick {
        // A health check is of a server; one without a forge does not listen.
        if !server.forges.is_empty() {
            lines.push(alive::serving(&server.listen).await);
        }
    } else {
        lines.extend(sandbox_lines(probe(&data, env).await));
        let look = forges::Look {
            env,
            server: &server,
            origins: &origins,
            data: &data,
            store: opened.as_deref().ok(),
            admin: depth.admin.as_ref(),
        };
        lines.extend(look.forges().await);
    }
    if let Ok(store) = opened {
        store.close().await;
    }
    lines
}

async fn probe(data: &Path, env: &Env) -> Result<Facts, SandboxError> {
    let helper = std::env::current_exe().map_err(|why| SandboxError::Unavailable {
        why: format!("this program cannot find itself: {why}"),
        fix: "install the program again".to_owned(),
    })?;
    Native::new(helper, local::slot_folder(data, env))
        .probe()
        .await
}

fn program() -> Line {
    let user = rustix::process::geteuid();
    let root = if user.is_root() { ", root" } else { "" };
    let text = format!(
        "prentice {} as user {}{root}",
        env!("CARGO_PKG_VERSION"),
        user.as_raw()
    );
    Line::ok("program", "version", text)
}

fn server_file(file: Option<&Path>, error: Option<&AppError>) -> Line {
    let (group, name) = ("config", "server-file");
    match (file, error) {
        (_, Some(AppError::Config(mistakes))) => {
            let first = mistakes.list.first().map_or(String::new(), |mistake| {
                format!("{}:{}: {}", mistake.path, mistake.line, mistake.message)
            });
            let more = match mistakes.list.len() + mistakes.more {
                0 | 1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            let text = format!("{first}{more}; what depends on it was not looked at");
            Line::fail(
                group,
                name,
                text,
                "`prentice config check` shows every mistake with its line",
            )
        }
        (_, Some(error)) => Line::said(group, name, &error.said()),
        (Some(file), None) => Line::ok(group, name, format!("{} has no mistakes", file.display())),
        (None, None) => Line::ok(group, name, "there is none; the built-in values hold"),
    }
}

fn clock(now: Time) -> Line {
    if (EARLIEST..LATEST).contains(&now) {
        return Line::ok("clock", "wall", format!("{} UTC", now.date_clock()));
    }
    let text = format!(
        "{} UTC cannot be right; tokens and certificates would be refused",
        now.date_clock()
    );
    Line::fail(
        "clock",
        "wall",
        text,
        "`timedatectl set-ntp true`, or set the clock of the host",
    )
}

fn git_lines(found: Result<git::Program, git::Error>) -> Vec<Line> {
    let found = match found {
        Ok(found) => found,
        Err(why) => return vec![Line::said("git", "version", &Said::lower(&why.to_string()))],
    };
    let dotted = |parts: &[u32]| {
        let parts: Vec<String> = parts.iter().map(u32::to_string).collect();
        parts.join(".")
    };
    let (is, version) = (dotted(&found.version), found.version.as_slice());
    let first = if version < &git::OLDEST[..] {
        Line::fail(
            "git",
            "version",
            format!("git {is} reads the user's own settings whatever it is told"),
            format!("install git {} or newer", dotted(&git::HARDENED)),
        )
    } else if version < &git::HARDENED[..] {
        Line::warn(
            "git",
            "version",
            format!("git {is} ignores some of the settings that it is hardened with"),
            format!("install git {} or newer", dotted(&git::HARDENED)),
        )
    } else {
        Line::ok(
            "git",
            "version",
            format!("git {is} knows every setting that it is hardened with"),
        )
    };
    let second = if found.https {
        Line::ok("git", "https", "git can fetch and push by https")
    } else {
        Line::fail(
            "git",
            "https",
            "this git cannot speak https: `git-remote-https` is missing",
            "install the whole git package",
        )
    };
    vec![first, second]
}

/// What was seen of the data folder.
struct Seen {
    mode: u32,
    ours: bool,
    writable: Result<(), String>,
    free_bytes: u64,
    /// `None` where the file system makes as many as it likes.
    free_files: Option<u64>,
}

fn look(data: &Path) -> Result<Seen, String> {
    let meta = std::fs::metadata(data).map_err(|why| why.to_string())?;
    let system = rustix::fs::statvfs(data).map_err(|why| why.to_string())?;
    let written = tempfile::tempfile_in(data).and_then(|mut file| {
        std::io::Write::write_all(&mut file, b"prentice doctor")?;
        file.sync_all()
    });
    Ok(Seen {
        mode: meta.mode() & 0o777,
        ours: meta.uid() == rustix::process::geteuid().as_raw(),
        writable: written.map_err(|why| why.to_string()),
        free_bytes: system.f_bavail.saturating_mul(system.f_frsize),
        free_files: (system.f_files > 0).then_some(system.f_favail),
    })
}

fn data_lines(data: &Path, seen: Result<Seen, String>) -> Vec<Line> {
    let shown = data.display();
    let seen = match seen {
        Ok(seen) => seen,
        Err(why) => {
            let text = format!("{shown} cannot be looked at: {why}");
            return vec![Line::fail(
                "data",
                "folder",
                text,
                "name another with `[server] data_dir`",
            )];
        }
    };
    let folder = match &seen.writable {
        Ok(()) => Line::ok("data", "folder", format!("{shown} can be written to")),
        Err(why) => Line::fail(
            "data",
            "folder",
            format!("{shown} cannot be written to: {why}"),
            "run as the user that it belongs to, or name another with `[server] data_dir`",
        ),
    };
    let mode = seen.mode;
    let rights = if !seen.ours {
        Line::warn(
            "data",
            "rights",
            format!("{shown} belongs to another user"),
            "run as that user, so that nothing is made which it cannot read",
        )
    } else if mode & 0o022 != 0 {
        Line::fail(
            "data",
            "rights",
            format!("{shown} can be written to by others (mode {mode:o})"),
            format!("`chmod 711 {shown}`"),
        )
    } else if mode & 0o044 != 0 {
        Line::warn(
            "data",
            "rights",
            format!("names in {shown} can be listed by others (mode {mode:o})"),
            format!("`chmod 711 {shown}`"),
        )
    } else {
        Line::ok(
            "data",
            "rights",
            format!("only its owner can list and write it (mode {mode:o})"),
        )
    };
    let free = text::size(seen.free_bytes);
    let space = if seen.free_bytes < FREE_BYTES {
        Line::fail(
            "data",
            "space",
            format!(
                "{free} are free, a task may need {}",
                text::size(FREE_BYTES)
            ),
            "make room, or name a folder on a larger disk with `[server] data_dir`",
        )
    } else {
        Line::ok("data", "space", format!("{free} are free"))
    };
    let mut lines = vec![folder, rights, space];
    if let Some(files) = seen.free_files.filter(|files| *files < FREE_FILES) {
        lines.push(Line::fail(
            "data",
            "files",
            format!(
                "only {} more files can be made there",
                text::thousands(files)
            ),
            "remove files, or name a folder on another file system with `[server] data_dir`",
        ));
    }
    lines
}

fn store_line(opened: Result<(), &StoreError>) -> Line {
    match opened {
        Ok(()) => Line::ok(
            "data",
            "store",
            "the database opens, on a local disk, and syncs",
        ),
        Err(why) => Line::said("data", "store", &Said::lower(&why.to_string())),
    }
}

fn sandbox_lines(probed: Result<Facts, SandboxError>) -> Vec<Line> {
    let facts = match probed {
        Ok(facts) => facts,
        Err(error) => {
            return vec![Line::said(
                "sandbox",
                "walls",
                &AppError::from(error).said(),
            )];
        }
    };
    let walls = format!(
        "{} launcher, a command ran inside after {} ms",
        facts.launcher, facts.prepare_ms
    );
    let mut lines = vec![Line::ok("sandbox", "walls", walls)];
    lines.push(match facts.landlock_abi {
        0 => Line::warn(
            "sandbox",
            "landlock",
            "this kernel has no Landlock; mounts alone keep files apart",
            "boot a kernel with `landlock` among its security modules (lsm=)",
        ),
        abi => Line::ok(
            "sandbox",
            "landlock",
            format!("Landlock ABI {abi}, a second wall around files"),
        ),
    });
    lines.push(match facts.method {
        Method::Overlay | Method::Auto => Line::ok(
            "sandbox",
            "workspace",
            "overlay: a work tree costs nothing until it is written to",
        ),
        Method::Copy => Line::warn(
            "sandbox",
            "workspace",
            format!(
                "every work tree is copied: {}",
                facts
                    .no_overlay
                    .as_deref()
                    .unwrap_or("overlays are refused")
            ),
            "put the data folder on ext4, xfs or btrfs",
        ),
    });
    lines.push(match facts.limits {
        LimitsTier::CgroupV2 | LimitsTier::CgroupV1 => {
            Line::ok("sandbox", "limits", format!("by {}", facts.limits.name()))
        }
        LimitsTier::Rlimits => Line::warn(
            "sandbox",
            "limits",
            "by rlimits and a watchdog; processor time is not limited",
            "run where control groups are delegated, for exact limits; it works without",
        ),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[Line]) -> String {
        let line = |line: &Line| {
            let fix = line
                .fix
                .as_ref()
                .map_or(String::new(), |fix| format!(" → {fix}"));
            format!(
                "{} {} {}: {}{fix}",
                line.state.name(),
                line.group,
                line.name,
                line.text
            )
        };
        lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn facts() -> Facts {
        Facts {
            launcher: "native",
            limits: LimitsTier::CgroupV2,
            method: Method::Overlay,
            no_overlay: None,
            landlock_abi: 6,
            prepare_ms: 41,
        }
    }

    #[test]
    fn a_sandbox_is_told_by_its_walls_and_limits() {
        let less = Facts {
            limits: LimitsTier::Rlimits,
            method: Method::Copy,
            no_overlay: Some("the file system of /data refuses overlays".to_owned()),
            landlock_abi: 0,
            ..facts()
        };
        let none = SandboxError::Unavailable {
            why: "user namespaces are off".to_owned(),
            fix: "`sysctl -w user.max_user_namespaces=10000`".to_owned(),
        };
        let all = [Ok(facts()), Ok(less), Err(none)];
        let told: Vec<String> = all
            .into_iter()
            .map(|probed| shown(&sandbox_lines(probed)))
            .collect();
        insta::assert_snapshot!(told.join("\n\n"), @r"
        ok sandbox walls: native launcher, a command ran inside after 41 ms
        ok sandbox landlock: Landlock ABI 6, a second wall around files
        ok sandbox workspace: overlay: a work tree costs nothing until it is written to
        ok sandbox limits: by cgroup-v2

        ok sandbox walls: native launcher, a command ran inside after 41 ms
        warn sandbox landlock: this kernel has no Landlock; mounts alone keep files apart → boot a kernel with `landlock` among its security modules (lsm=)
        warn sandbox workspace: every work tree is copied: the file system of /data refuses overlays → put the data folder on ext4, xfs or btrfs
        warn sandbox limits: by rlimits and a watchdog; processor time is not limited → run where control groups are delegated, for exact limits; it works without

        fail sandbox walls: no sandbox is possible: user namespaces are off → `sysctl -w user.max_user_namespaces=10000`
        ");
    }

    #[test]
    fn a_git_is_told_by_what_it_can_do() {
        let of = |version: &[u32], https| git::Program {
            version: version.to_vec(),
            https,
        };
        let none = git::Error::Unsupported("cannot start `git`: not found; install git".to_owned());
        let all = [
            Ok(of(&[2, 39, 5], true)),
            Ok(of(&[2, 34, 1], true)),
            Ok(of(&[2, 31], false)),
            Err(none),
        ];
        let told: Vec<String> = all
            .into_iter()
            .map(|found| shown(&git_lines(found)))
            .collect();
        insta::assert_snapshot!(told.join("\n\n"), @r"
        ok git version: git 2.39.5 knows every setting that it is hardened with
        ok git https: git can fetch and push by https

        warn git version: git 2.34.1 ignores some of the settings that it is hardened with → install git 2.38 or newer
        ok git https: git can fetch and push by https

        fail git version: git 2.31 reads the user's own settings whatever it is told → install git 2.38 or newer
        fail git https: this git cannot speak https: `git-remote-https` is missing → install the whole git package

        fail git version: cannot start `git`: not found → install git
        ");
    }

    fn seen() -> Seen {
        Seen {
            mode: 0o711,
            ours: true,
            writable: Ok(()),
            free_bytes: 40 << 30,
            free_files: Some(1_000_000),
        }
    }

    #[test]
    fn a_data_folder_is_told_by_who_may_what_and_how_much_fits() {
        let data = Path::new("/var/lib/prentice");
        let listed = Seen {
            mode: 0o755,
            free_files: None,
            ..seen()
        };
        let poor = Seen {
            mode: 0o777,
            writable: Err("Read-only file system (os error 30)".to_owned()),
            free_bytes: 200 << 20,
            free_files: Some(1200),
            ..seen()
        };
        let theirs = Seen {
            ours: false,
            ..seen()
        };
        let all = [
            Ok(seen()),
            Ok(listed),
            Ok(poor),
            Ok(theirs),
            Err("Permission denied".to_owned()),
        ];
        let told: Vec<String> = all
            .into_iter()
            .map(|seen| shown(&data_lines(data, seen)))
            .collect();
        insta::assert_snapshot!(told.join("\n\n"), @r"
        ok data folder: /var/lib/prentice can be written to
        ok data rights: only its owner can list and write it (mode 711)
        ok data space: 42 GB are free

        ok data folder: /var/lib/prentice can be written to
        warn data rights: names in /var/lib/prentice can be listed by others (mode 755) → `chmod 711 /var/lib/prentice`
        ok data space: 42 GB are free

        fail data folder: /var/lib/prentice cannot be written to: Read-only file system (os error 30) → run as the user that it belongs to, or name another with `[server] data_dir`
        fail data rights: /var/lib/prentice can be written to by others (mode 777) → `chmod 711 /var/lib/prentice`
        fail data space: 209 MB are free, a task may need 1.0 GB → make room, or name a folder on a larger disk with `[server] data_dir`
        fail data files: only 1,200 more files can be made there → remove files, or name a folder on another file system with `[server] data_dir`

        ok data folder: /var/lib/prentice can be written to
        warn data rights: /var/lib/prentice belongs to another user → run as that user, so that nothing is made which it cannot read
        ok data space: 42 GB are free

        fail data folder: /var/lib/prentice cannot be looked at: Permission denied → name another with `[server] data_dir`
        ");
    }

    #[test]
    fn a_store_a_clock_and_a_server_file_are_told() {
        let newer = StoreError::Unsafe {
            path: "/data".into(),
            what: "it is on NFS, where locks and syncs are not reliable".to_owned(),
        };
        let broken = config::server(
            Some((
                "/etc/prentice/server.toml",
                b"[server]\nlogg = \"info\"\n[workers]\nheartbeat = 3\n",
            )),
            &Env::new(),
        );
        let broken = AppError::Config(Box::new(broken.unwrap_err()));
        let file = Path::new("/etc/prentice/server.toml");
        let lost = AppError::NotFound(Said::new(
            "the server file x cannot be read: gone",
            "name one that can, or none",
        ));
        let lines = [
            store_line(Ok(())),
            store_line(Err(&newer)),
            clock(Time(1_795_184_405_000)),
            clock(Time(86_400_000)),
            clock(Time(7_952_342_400_000)),
            server_file(None, None),
            server_file(Some(file), None),
            server_file(Some(file), Some(&broken)),
            server_file(None, Some(&lost)),
        ];
        insta::assert_snapshot!(shown(&lines), @r"
        ok data store: the database opens, on a local disk, and syncs
        fail data store: /data cannot be the data folder: it is on NFS, where locks and syncs are not reliable → name one on a local disk
        ok clock wall: 2026-11-20 14:20 UTC
        fail clock wall: 1970-01-02 00:00 UTC cannot be right; tokens and certificates would be refused → `timedatectl set-ntp true`, or set the clock of the host
        fail clock wall: 2222-01-01 00:00 UTC cannot be right; tokens and certificates would be refused → `timedatectl set-ntp true`, or set the clock of the host
        ok config server-file: there is none; the built-in values hold
        ok config server-file: /etc/prentice/server.toml has no mistakes
        fail config server-file: /etc/prentice/server.toml:1: `version` is missing (and 2 more); what depends on it was not looked at → `prentice config check` shows every mistake with its line
        fail config server-file: the server file x cannot be read: gone → name one that can, or none
        ");
    }
}
