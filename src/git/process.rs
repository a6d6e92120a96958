//! The git program, hardened: the one place that starts it.
//!
//! The environment is built from an allow-list (`PATH`); system, user and attribute files are
//! not read; hooks, file-system monitors, filters by configuration, pagers, prompts,
//! lazy fetches and every transport are off. Rules 2 and 3 of the facts on host-side git.
//! Only ever pointed at a host-owned repository. The one thing that opens a transport again,
//! for one URL and one command, is [`super::transport`].

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Error, disk, program};

/// Settings that win over whatever a repository's own configuration says.
const SETTINGS: [&str; 19] = [
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.symlinks=true",
    "core.preloadIndex=false",
    "core.attributesFile=",
    "core.excludesFile=",
    "core.pager=cat",
    "submodule.recurse=false",
    "diff.ignoreSubmodules=all",
    "protocol.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "credential.helper=",
    "safe.bareRepository=explicit",
    "transfer.fsckObjects=true",
];

/// How much of what git says is kept for an error.
const STDERR_CAP: u64 = 4096;

/// A git process with the hardened environment and flags, for one host-owned repository.
#[derive(Debug)]
pub(super) struct Hardened {
    git_dir: PathBuf,
    empty: PathBuf,
}

impl Hardened {
    /// For the bare repository `git_dir`. `empty` is a host-owned folder, made here, in
    /// which an empty home, hook folder and configuration file lie.
    ///
    /// # Errors
    /// [`Error::Disk`] when the folder cannot be made.
    pub(super) fn new(git_dir: &Path, empty: &Path) -> Result<Self, Error> {
        fs::create_dir_all(empty.join("hooks")).map_err(disk("create", empty))?;
        let config = empty.join("config");
        // A regular file: git breaks where `/dev/null` is broken.
        if !config.exists() {
            fs::write(&config, b"").map_err(disk("write", &config))?;
        }
        Ok(Self {
            git_dir: git_dir.to_owned(),
            empty: empty.to_owned(),
        })
    }

    /// `git ARGS`, ready to start; standard streams are the caller's choice.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        // Where the operator has git; the one variable that is passed on.
        let path =
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let mut command = program::command();
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.empty)
            .env("XDG_CONFIG_HOME", &self.empty)
            .env("LC_ALL", "C")
            .env("GIT_DIR", &self.git_dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.empty.join("config"))
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_EDITOR", "false")
            .env("GIT_ASKPASS", "false")
            .env("GIT_SSH_COMMAND", "false")
            .current_dir(&self.empty);
        let mut hooks = OsString::from("core.hooksPath=");
        hooks.push(self.empty.join("hooks"));
        command.arg("-c").arg(hooks);
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        command.args(args);
        command
    }

    /// The folder in which nothing is but what this made: where temporary files may lie.
    pub(super) fn empty(&self) -> &Path {
        &self.empty
    }

    /// Runs `git ARGS` with `input` on its standard input, and gives its standard output.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where git is not installed, [`Error::Internal`] with the end
    /// of what it said when it fails.
    pub(super) fn run(&self, args: &[&str], input: &[u8]) -> Result<Vec<u8>, Error> {
        // Files rather than pipes: input and output of any size cannot deadlock.
        let file =
            || tempfile::tempfile_in(&self.empty).map_err(disk("create a file in", &self.empty));
        let (mut stdin, mut stdout, mut stderr) = (file()?, file()?, file()?);
        let rewound = stdin.write_all(input).and_then(|()| stdin.rewind());
        rewound.map_err(disk("write in", &self.empty))?;
        let clone = |f: &fs::File| f.try_clone().map_err(disk("use", &self.empty));
        let status = self
            .command(args)
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(clone(&stdout)?))
            .stderr(Stdio::from(clone(&stderr)?))
            .status()
            .map_err(|e| Error::Unsupported(format!("cannot start `git`: {e}; install git")))?;
        let mut text = Vec::new();
        if !status.success() {
            let from = stderr
                .metadata()
                .map_or(0, |m| m.len())
                .saturating_sub(STDERR_CAP);
            let read = stderr
                .seek(std::io::SeekFrom::Start(from))
                .and_then(|_| stderr.read_to_end(&mut text));
            read.map_err(disk("read in", &self.empty))?;
            let said = String::from_utf8_lossy(&text);
            return Err(Error::Internal(format!(
                "git {} ended with {status}: {}",
                args.first().unwrap_or(&""),
                said.trim()
            )));
        }
        let read = stdout.rewind().and_then(|()| stdout.read_to_end(&mut text));
        read.map_err(disk("read in", &self.empty))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn plain(dir: &Path, args: &[&str]) -> std::process::Output {
        let mut command = Command::new("git");
        command
            .current_dir(dir)
            .args(args)
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command.output().unwrap()
    }

    #[test]
    fn nothing_configured_in_the_repository_or_the_environment_is_run() {
        let root = tempfile::tempdir().unwrap();
        let repo = root.path().join("repo");
        fs::create_dir(&repo).unwrap();
        plain(&repo, &["init", "-q"]);
        let (marker, script) = (root.path().join("ran"), root.path().join("evil"));
        fs::write(
            &script,
            format!("#!/bin/sh\necho ran > {}\nexit 1\n", marker.display()),
        )
        .unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let evil = script.to_str().unwrap();
        for key in [
            "core.fsmonitor",
            "core.sshCommand",
            "credential.helper",
            "diff.external",
            "core.pager",
        ] {
            plain(&repo, &["config", key, evil]);
        }
        fs::copy(&script, repo.join(".git/hooks/reference-transaction")).unwrap();
        plain(&repo, &["config", "protocol.allow", "always"]);
        let tree = plain(&repo, &["write-tree"]).stdout;
        let tree = String::from_utf8(tree).unwrap();
        let make = [
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit-tree",
            "-m",
            "x",
            tree.trim(),
        ];
        let commit = String::from_utf8(plain(&repo, &make).stdout).unwrap();
        let update = ["update-ref", "refs/heads/x", commit.trim()];
        // Each probe works outside.
        let status = ["--work-tree=.", "status"];
        for probe in [&status[..], &update] {
            let _ = fs::remove_file(&marker);
            plain(&repo, probe);
            assert!(
                marker.exists(),
                "plain git runs what is configured: {probe:?}"
            );
        }
        fs::remove_file(&marker).unwrap();
        let git = Hardened::new(&repo.join(".git"), &root.path().join("empty")).unwrap();
        git.run(&update, b"").unwrap();
        let work_tree = format!("--work-tree={}", repo.display());
        git.run(&[&work_tree, "status"], b"").unwrap();
        let fetch = git
            .run(&["fetch", repo.to_str().unwrap(), "HEAD"], b"")
            .unwrap_err();
        assert!(
            fetch.to_string().contains("transport 'file' not allowed"),
            "{fetch}"
        );
        assert!(!marker.exists(), "something ran");
    }

    #[test]
    fn the_environment_is_built_and_not_inherited() {
        let root = tempfile::tempdir().unwrap();
        let git = Hardened::new(root.path(), &root.path().join("empty")).unwrap();
        let command = git.command(&["version"]);
        let names: Vec<_> = command
            .get_envs()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        // Cleared: what is listed is all there is (cargo sets a good deal for this test itself).
        let out = git.run(&["-c", "alias.env=!env", "env"], b"").unwrap();
        for line in String::from_utf8(out).unwrap().lines() {
            let name = line.split('=').next().unwrap();
            let known = names.iter().any(|n| n == name);
            let own = name.starts_with("GIT_") || matches!(name, "PWD" | "OLDPWD" | "_" | "SHLVL");
            assert!(known || own, "{line}");
        }
    }

    #[test]
    fn output_and_input_of_any_size_pass_and_a_failure_says_why() {
        let root = tempfile::tempdir().unwrap();
        plain(root.path(), &["init", "-q", "--bare", "."]);
        let git = Hardened::new(root.path(), &root.path().join("empty")).unwrap();
        let large = vec![b'x'; 3 << 20];
        let id = git.run(&["hash-object", "-w", "--stdin"], &large).unwrap();
        let id = String::from_utf8(id).unwrap();
        assert!(git.run(&["cat-file", "blob", id.trim()], b"").unwrap() == large);
        let error = git
            .run(&["cat-file", "blob", "nope"], b"")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "git: git cat-file ended with exit status: 128: fatal: Not a valid object name nope"
        );
    }
}
