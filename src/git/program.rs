//! The git program of this machine: which one it is, and what it can do for us.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Error;

/// What was found out about `git`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its version, as far as it consists of numbers: `[2, 39, 5]`.
    pub version: Vec<u32>,
    /// Whether it brings what speaks `https`.
    pub https: bool,
}

/// The oldest version that leaves the user's own configuration out when told to.
pub const OLDEST: [u32; 2] = [2, 32];

/// The oldest version that knows every setting that we harden it with.
pub const HARDENED: [u32; 2] = [2, 38];

/// The `git` on the search path, ready to be told more. By its path, where it is found: a mere name, with an environment
/// of its own, is looked for only after all of this process was copied.
pub(super) fn command() -> Command {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let is_program = |one: &PathBuf| {
        let about = one.metadata();
        about.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    let found = FOUND.get_or_init(|| {
        let path = std::env::var_os("PATH")?;
        let mut all = std::env::split_paths(&path).map(|folder| folder.join("git"));
        all.find(is_program).filter(|one| one.is_absolute())
    });
    Command::new(found.as_deref().unwrap_or(Path::new("git")))
}

/// Asks the `git` on the search path about itself, in an environment without anybody's settings.
///
/// # Errors
/// [`Error::Unsupported`] where there is none, or it says something that no git says.
pub fn program() -> Result<Program, Error> {
    let ask = |word: &str| {
        let path =
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let out = command()
            .arg(word)
            .env_clear()
            .env("PATH", path)
            .env("LC_ALL", "C")
            .current_dir("/")
            .output()
            .map_err(|e| Error::Unsupported(format!("cannot start `git`: {e}; install git")))?;
        Ok::<_, Error>(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let said = ask("--version")?;
    let version = version(&said).ok_or_else(|| {
        let said: String = said.chars().take(80).collect();
        Error::Unsupported(format!(
            "`git --version` says {said:?}; put the real git first on PATH"
        ))
    })?;
    let https = Path::new(&ask("--exec-path")?)
        .join("git-remote-https")
        .exists();
    Ok(Program { version, https })
}

fn version(said: &str) -> Option<Vec<u32>> {
    let number = said.strip_prefix("git version ")?.split(' ').next()?;
    let parts = number.split('.').map_while(|part| part.parse().ok());
    Some(parts.collect::<Vec<u32>>()).filter(|parts| parts.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_is_started_by_its_path() {
        let program = command();
        assert!(
            Path::new(program.get_program()).is_absolute(),
            "{program:?}"
        );
    }

    #[test]
    fn a_version_is_read_whatever_its_builder_added() {
        for (said, read) in [
            ("git version 2.39.5", Some(vec![2, 39, 5])),
            ("git version 2.39.5 (Apple Git-154)", Some(vec![2, 39, 5])),
            ("git version 2.50.0.rc1.12.gabc", Some(vec![2, 50, 0])),
            ("git version 2.47.1.windows.2", Some(vec![2, 47, 1])),
            ("got version 2.39.5", None),
            ("git version two", None),
            ("", None),
        ] {
            assert_eq!(version(said), read, "{said}");
        }
    }

    #[test]
    fn the_git_of_this_machine_is_found() {
        let found = program().unwrap();
        assert!(found.version.as_slice() >= &OLDEST[..], "{found:?}");
    }
}
