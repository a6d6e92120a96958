//! The user's repository, looked at. Nothing here starts a process or writes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, Repository, RepositoryOpenFlags, Status, StatusOptions};

use super::mirror::walk;
use super::{Error, Kind, commit_id, oid};
use crate::domain::gates::EntryKind;
use crate::domain::ident::CommitId;

/// A repository of the user, found by [`UserRepo::discover`].
#[derive(Clone, Debug)]
pub struct UserRepo {
    git_dir: PathBuf,
    common_dir: PathBuf,
    work_dir: Option<PathBuf>,
}

/// What a run should know, and say, about the repository before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Commit of `HEAD`.
    pub head: CommitId,
    /// Branch that `HEAD` is on; `None` when detached.
    pub branch: Option<String>,
    /// Work that is not committed and so not part of the base.
    pub dirty: Dirty,
    /// Whether history is cut off.
    pub shallow: bool,
    /// Number of submodules in the commit; they are not fetched.
    pub submodules: usize,
    /// Whether some `.gitattributes` of the commit hands files to LFS; those stay pointers.
    pub lfs: bool,
    /// Whether there is no work tree.
    pub bare: bool,
}

/// Paths that differ from `HEAD`, by how. A path that is both staged and unstaged counts in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// In the index, not in `HEAD`.
    pub staged: usize,
    /// In the work tree, not in the index; conflicts are counted here.
    pub unstaged: usize,
    /// Not tracked and not ignored; a new folder counts once.
    pub untracked: usize,
    /// Different paths in all.
    pub paths: usize,
}

/// The branch that results are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultBranch {
    /// Name below `refs/heads/` or, for one known only from the remote, `origin/…`.
    pub name: String,
    /// Its commit.
    pub commit: CommitId,
}

/// A `.gitattributes` above this is not searched for LFS.
const ATTRIBUTES_CAP: usize = 1 << 20;

impl UserRepo {
    /// Finds the repository at or above `path`: a work tree, a folder in one, a linked work
    /// tree, a bare repository.
    ///
    /// # Errors
    /// [`Error::NotFound`] without one; [`Error::Unusable`] for one of another user, or of a
    /// format that is not supported, with what to do.
    pub fn discover(path: &Path) -> Result<Self, Error> {
        Self::find(path, RepositoryOpenFlags::empty())
    }

    /// The repository at exactly `path`, as an earlier [`UserRepo::discover`] found it: one above, into which the
    /// path falls once that one is gone, is another repository.
    ///
    /// # Errors
    /// As [`UserRepo::discover`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::find(path, RepositoryOpenFlags::NO_SEARCH)
    }

    fn find(path: &Path, flags: RepositoryOpenFlags) -> Result<Self, Error> {
        let found = Repository::open_ext(path, flags, std::iter::empty::<OsString>());
        let repo = found.map_err(|e| open_error(path, &e))?;
        Ok(Self {
            git_dir: repo.path().to_owned(),
            common_dir: repo.commondir().to_owned(),
            work_dir: repo.workdir().map(Path::to_owned),
        })
    }

    /// The work tree's root; `None` for a bare repository.
    #[must_use]
    pub fn work_dir(&self) -> Option<&Path> {
        self.work_dir.as_deref()
    }

    /// The git folder that all linked work trees share: what makes two paths the same repository.
    #[must_use]
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Commit of `HEAD`, on a branch or detached.
    ///
    /// # Errors
    /// [`Error::NotFound`] when nothing is committed yet.
    pub fn head(&self) -> Result<CommitId, Error> {
        let repo = self.repo()?;
        let head = repo.head().and_then(|h| h.peel_to_commit());
        let commit = head.map_err(|e| match e.code() {
            ErrorCode::UnbornBranch | ErrorCode::NotFound => Error::NotFound(format!(
                "the repository at {} has no commit yet; make a first commit",
                self.shown().display()
            )),
            _ => e.into(),
        })?;
        commit_id(commit.id())
    }

    /// Looks the repository over. Reads status without running filters or monitors, and
    /// without refreshing the index file.
    ///
    /// # Errors
    /// As [`UserRepo::head`].
    pub fn survey(&self) -> Result<Survey, Error> {
        let head = self.head()?;
        let repo = self.repo()?;
        let reference = repo.head()?;
        let branch = reference
            .is_branch()
            .then(|| String::from_utf8_lossy(reference.shorthand_bytes()).into_owned());
        let mut submodules = 0;
        let mut lfs = false;
        let odb = repo.odb()?;
        walk(&repo, &super::tree_of(&repo, &head)?, &mut |path, node| {
            match node.kind() {
                Kind::Leaf(EntryKind::Gitlink) => submodules += 1,
                Kind::Leaf(_)
                    if !lfs
                        && (path == b".gitattributes" || path.ends_with(b"/.gitattributes")) =>
                {
                    let blob = odb.read(node.oid)?;
                    lfs = blob.len() <= ATTRIBUTES_CAP
                        && blob.data().windows(10).any(|w| w == b"filter=lfs");
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Survey {
            head,
            branch,
            dirty: if repo.is_bare() {
                Dirty::default()
            } else {
                dirty(&repo)?
            },
            shallow: repo.is_shallow(),
            submodules,
            lfs,
            bare: repo.is_bare(),
        })
    }

    /// The commit that a revision (`main`, `HEAD~2`, a hash, a tag) names.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it names none.
    pub fn resolve(&self, revision: &str) -> Result<CommitId, Error> {
        let repo = self.repo()?;
        let commit = repo
            .revparse_single(revision)
            .and_then(|object| object.peel_to_commit());
        match commit {
            Ok(commit) => commit_id(commit.id()),
            Err(_) => Err(Error::NotFound(format!(
                "`{revision}` names no commit in {}; see `git log --oneline --all`",
                self.shown().display()
            ))),
        }
    }

    /// The best common ancestor of two commits.
    ///
    /// # Errors
    /// [`Error::NotFound`] when they have none, as in a shallow clone whose history is cut off before it.
    pub fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<CommitId, Error> {
        let repo = self.repo()?;
        match repo.merge_base(oid(a)?, oid(b)?) {
            Ok(base) => commit_id(base),
            Err(e) if e.code() == ErrorCode::NotFound => {
                let hint = if repo.is_shallow() {
                    "; the clone is shallow: `git fetch --unshallow`"
                } else {
                    "; name a base that has one with --base"
                };
                let (a, b) = (a.short(), b.short());
                Err(Error::NotFound(format!(
                    "{a} and {b} have no common ancestor here{hint}"
                )))
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Whether `ancestor` is `of` or reachable from it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a commit is not here.
    pub fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> Result<bool, Error> {
        let repo = self.repo()?;
        let (a, b) = (oid(ancestor)?, oid(of)?);
        for (id, name) in [(a, ancestor), (b, of)] {
            repo.find_commit(id)
                .map_err(|_| Error::NotFound(format!("commit {} is not here", name.short())))?;
        }
        Ok(a == b || repo.graph_descendant_of(b, a)?)
    }

    /// The default branch: what `origin/HEAD` names, else `main`, else `master`. Never the branch of `HEAD`: what is
    /// compared with itself is always fine.
    ///
    /// # Errors
    /// [`Error::NotFound`] when none of these is a branch.
    pub fn default_branch(&self) -> Result<DefaultBranch, Error> {
        let repo = self.repo()?;
        let remote = repo
            .find_reference("refs/remotes/origin/HEAD")
            .ok()
            .and_then(|r| {
                let target = r.symbolic_target().ok().flatten()?;
                target
                    .strip_prefix("refs/remotes/origin/")
                    .map(str::to_owned)
            });
        let mut names = Vec::new();
        if let Some(name) = remote {
            names.push((name.clone(), format!("refs/heads/{name}")));
            names.push((
                format!("origin/{name}"),
                format!("refs/remotes/origin/{name}"),
            ));
        }
        for name in ["main", "master"] {
            names.push((name.to_owned(), format!("refs/heads/{name}")));
        }
        for (name, full) in names {
            if let Ok(commit) = repo.find_reference(&full).and_then(|r| r.peel_to_commit()) {
                return Ok(DefaultBranch {
                    name,
                    commit: commit_id(commit.id())?,
                });
            }
        }
        Err(Error::NotFound(
            "no default branch was found (neither origin/HEAD nor main nor master), so there is nothing to compare with; name a base with --base"
                .to_owned(),
        ))
    }

    pub(super) fn repo(&self) -> Result<Repository, Error> {
        let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT;
        Repository::open_ext(&self.git_dir, flags, std::iter::empty::<OsString>())
            .map_err(|e| open_error(self.shown(), &e))
    }

    pub(super) fn shown(&self) -> &Path {
        self.work_dir.as_deref().unwrap_or(&self.git_dir)
    }
}

fn dirty(repo: &Repository) -> Result<Dirty, Error> {
    let mut options = StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(false)
        .exclude_submodules(true)
        .include_ignored(false);
    let mut count = Dirty::default();
    for entry in repo.statuses(Some(&mut options))?.iter() {
        let status = entry.status();
        let staged = Status::INDEX_NEW
            | Status::INDEX_MODIFIED
            | Status::INDEX_DELETED
            | Status::INDEX_RENAMED
            | Status::INDEX_TYPECHANGE;
        let unstaged = Status::WT_MODIFIED
            | Status::WT_DELETED
            | Status::WT_RENAMED
            | Status::WT_TYPECHANGE
            | Status::WT_UNREADABLE
            | Status::CONFLICTED;
        count.staged += usize::from(status.intersects(staged));
        count.unstaged += usize::from(status.intersects(unstaged));
        count.untracked += usize::from(status.contains(Status::WT_NEW));
        count.paths += 1;
    }
    Ok(count)
}

pub(super) fn open_error(path: &Path, error: &git2::Error) -> Error {
    let shown = path.display();
    match error.code() {
        ErrorCode::NotFound => Error::NotFound(format!(
            "no git repository at {shown} or above; run inside one, or name it with --repo"
        )),
        ErrorCode::Owner => Error::Unusable(format!(
            "the repository at {shown} belongs to another user; run as that user, or `git config --global --add safe.directory {shown}`"
        )),
        _ if error.message().contains("unsupported extension") => Error::Unusable(format!(
            "the repository at {shown} cannot be read ({}); make a full clone in the default format (no --filter, SHA-1, files as refs)",
            error.message()
        )),
        _ => Error::Unusable(format!(
            "the repository at {shown} cannot be opened: {}",
            error.message()
        )),
    }
}
