//! A small repository from files in memory: what the demo works on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use git2::{Repository, RepositoryInitOptions, Signature};

use super::{Author, Error, commit_id, disk};
use crate::domain::ident::{CommitId, Time};

/// One file of a new repository.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    /// Below the root, `/` between parts.
    pub path: &'a str,
    /// What it holds.
    pub content: &'a str,
    /// Mode 755 instead of 644.
    pub executable: bool,
}

/// Makes a repository in the empty folder `dir` with one commit on `main` that holds `files`.
///
/// # Errors
/// [`Error::Disk`]; [`Error::Unusable`] when there is a repository already.
pub fn create(
    dir: &Path,
    files: &[NewFile<'_>],
    message: &str,
    author: &Author,
    time: Time,
) -> Result<CommitId, Error> {
    if dir.join(".git").exists() {
        return Err(Error::Unusable(format!(
            "{} is a repository already; name another folder",
            dir.display()
        )));
    }
    for file in files {
        let path = dir.join(file.path);
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent).map_err(disk("create", parent))?;
        fs::write(&path, file.content).map_err(disk("write", &path))?;
        let mode = if file.executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .map_err(disk("write", &path))?;
    }
    let mut options = RepositoryInitOptions::new();
    options
        .initial_head("main")
        .no_reinit(true)
        .external_template(false);
    let repo = Repository::init_opts(dir, &options)?;
    let mut index = repo.index()?;
    for file in files {
        index.add_path(Path::new(file.path))?;
    }
    index.write()?;
    let tree = repo.find_tree(index.write_tree()?)?;
    let when = git2::Time::new(time.0.div_euclid(1000), 0);
    let who = Signature::new(&author.name, &author.email, &when)?;
    commit_id(repo.commit(Some("HEAD"), &who, &who, message, &tree, &[])?)
}
