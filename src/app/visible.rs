//! What a run needs before it begins: a folder for its report that can be written, and an agent that can be seen
//! inside the sandbox. Both are asked before a task exists; neither changes anything.

use std::path::{Path, PathBuf};

use super::{AppError, Prepared, Said};
use crate::config::Env;
use crate::domain::ident::RepoPath;
use crate::run::REPOSITORY_INSIDE;
use crate::sandbox::SYSTEM;
use crate::sandbox::toolchains::Toolchains;

/// Whether a report can be written to `out`, which may not exist yet. Tried, since rights alone do not tell.
///
/// # Errors
/// [`AppError::NotFound`] with what stands in the way.
pub(super) fn writable(out: &Path) -> Result<(), AppError> {
    let new: Vec<&Path> = out
        .ancestors()
        .take_while(|folder| !folder.exists())
        .collect();
    let tried = std::fs::create_dir_all(out).and_then(|()| tempfile::tempfile_in(out).map(|_| ()));
    // Made again by whatever is written first; a run that is refused leaves nothing.
    for folder in new {
        let _ = std::fs::remove_dir(folder);
    }
    tried.map_err(|why| {
        AppError::NotFound(Said::new(
            format!("the report cannot be written to {}: {why}", out.display()),
            "name another folder with --out, or none for the data folder",
        ))
    })
}

/// Whether the agent's program is there inside, as far as that can be known before set-up ran.
///
/// # Errors
/// [`AppError::NoAgent`] with where it is instead, and what to do.
pub(super) fn program(
    argv: &[String],
    chains: &Toolchains,
    prepared: &Prepared,
    env: &Env,
) -> Result<(), AppError> {
    let Some(name) = argv.first() else {
        return Ok(());
    };
    let inside = Inside::of(chains);
    let in_repository = Path::new(name)
        .strip_prefix(REPOSITORY_INSIDE)
        .ok()
        .or_else(|| (name.contains('/') && !name.starts_with('/')).then_some(Path::new(name)));
    if let Some(path) = in_repository {
        return committed(path, prepared);
    }
    if name.starts_with('/') {
        return match inside.shows(Path::new(name)) {
            Shown::Yes => Ok(()),
            Shown::Missing => Err(refused(format!("there is no program {name}"), NAME_ANOTHER)),
            Shown::No => Err(refused(
                format!("the agent's program {name} is not visible inside the sandbox"),
                SHOW_IT,
            )),
        };
    }
    let found = |path: &str, there: &dyn Fn(&Path) -> bool| {
        let folders = path.split(':').filter(|folder| folder.starts_with('/'));
        folders
            .map(|folder| Path::new(folder).join(name))
            .find(|path| there(path))
    };
    let seen = |path: &Path| matches!(inside.shows(path), Shown::Yes);
    if found(&chains.path, &seen).is_some() {
        return Ok(());
    }
    let host = env.get("PATH").map_or("", String::as_str);
    Err(match found(host, &|path| path.is_file()) {
        Some(there) => refused(
            format!(
                "the agent's program {name} is {}, which is not visible inside the sandbox",
                there.display()
            ),
            SHOW_IT,
        ),
        None => refused(format!("there is no program {name} in PATH"), NAME_ANOTHER),
    })
}

const SHOW_IT: &str = "put it into the repository and commit it, or name its folder in `[sandbox] toolchains` of the \
                       server file and the program by its absolute path";
const NAME_ANOTHER: &str = "name a program of this machine with --agent-cmd";

fn refused(what: String, hint: &str) -> AppError {
    AppError::NoAgent(Said::new(what, hint))
}

/// A program of the work tree: in the commit, or made by set-up, which nobody can know before.
fn committed(path: &Path, prepared: &Prepared) -> Result<(), AppError> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::Normal(part) => plain.push(part),
            // What leaves the work tree and comes back is the sandbox's to judge.
            _ => return Ok(()),
        }
    }
    // A folder on the way may be a link.
    let known = plain.ancestors().any(|path| {
        let path = RepoPath::new(path.as_os_str().as_bytes());
        prepared.files.binary_search(&path).is_ok()
    });
    if known || !prepared.settings.setup.run.is_empty() {
        return Ok(());
    }
    Err(refused(
        format!(
            "the agent's program {} is not in the commit that work starts from",
            path.display()
        ),
        "commit it, or name a program of this machine with --agent-cmd",
    ))
}

/// What a sandbox shows of the host: path inside, path outside.
struct Inside(Vec<(PathBuf, PathBuf)>);

enum Shown {
    Yes,
    /// Its folder is, it is not.
    Missing,
    No,
}

impl Inside {
    fn of(chains: &Toolchains) -> Self {
        let system = SYSTEM
            .iter()
            .map(|top| (PathBuf::from(top), PathBuf::from(top)));
        let mounts = chains.mounts(Path::new("/"));
        let mounts = mounts.into_iter().map(|mount| (mount.inside, mount.from));
        let real = |from: PathBuf| from.canonicalize().unwrap_or(from);
        let all = system.chain(mounts);
        Self(all.map(|(inside, from)| (inside, real(from))).collect())
    }

    /// Whether a file is there inside, where a link may lead elsewhere.
    fn shows(&self, path: &Path) -> Shown {
        let outside = self
            .0
            .iter()
            .find_map(|(inside, from)| Some(from.join(path.strip_prefix(inside).ok()?)));
        let Some(outside) = outside else {
            return Shown::No;
        };
        match outside.canonicalize() {
            Err(_) => Shown::Missing,
            Ok(real) if self.0.iter().any(|(_, from)| real.starts_with(from)) => Shown::Yes,
            Ok(_) => Shown::No,
        }
    }
}
