//! The mirror: a host-owned bare repository per user repository.
//!
//! Objects of the user's repository are taken over by hard link (by copy on another
//! file system), loose ones first, then packs. Compared with the ways git offers:
//! `alternates` would be as fast, but a `git gc` in the user's repository could take
//! away what a waiting task needs; a fetch packs the whole history anew (seconds to
//! minutes). A link costs one system call per object file, shares the bytes, needs no
//! ref to point at the commit, works for shallow, bare and linked work trees, runs
//! nothing in the user's repository, and no gc there can take it back. Object files
//! are immutable, and libgit2 checks each object's hash when it reads it, so that
//! one altered in place is noticed.
//!
//! After a gc in the user's repository the mirror holds old and new packs, until
//! [`prune_repos`] drops the mirror as a whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::{ObjectType, Oid, Repository, RepositoryOpenFlags};

use super::locks::{lock_exclusive_now, lock_shared, write_ref};
use super::objects::{self, put};
use super::process::Hardened;
use super::sign::Signer;
use super::user::UserRepo;
use super::{Error, Kind, Node, commit_id, disk, join, leaf, names, oid, tree_of};
use crate::domain::gates::EntryKind;
use crate::domain::ident::{CommitId, RepoPath, Time};

/// Host-owned bare repository and the caches beside it. Cheap to clone; while one lives,
/// [`prune_repos`] leaves the repository alone.
#[derive(Clone, Debug)]
pub struct Mirror {
    dir: PathBuf,
    _in_use: Arc<File>,
}

/// Who a commit is by: author and committer alike.
#[derive(Clone, Debug)]
pub struct Author {
    /// Name as in `Name <email>`.
    pub name: String,
    /// Address.
    pub email: String,
    /// Signs its commits.
    pub signer: Option<Arc<Signer>>,
}

impl Author {
    /// Whoever commits on a machine without a forge.
    #[must_use]
    pub fn local() -> Self {
        Self {
            name: "Prentice".to_owned(),
            email: "prentice@localhost".to_owned(),
            signer: None,
        }
    }
}

/// The commit with the signature as its last header, each further line of it indented.
fn signed(buffer: &[u8], signature: &str) -> Vec<u8> {
    let end = buffer.windows(2).position(|two| two == b"\n\n");
    let (head, message) = buffer.split_at(end.map_or(buffer.len(), |at| at + 1));
    let folded = signature.replace('\n', "\n ");
    [head, b"gpgsig ", folded.as_bytes(), b"\n", message].concat()
}

/// Longest tree nesting that is walked.
pub(super) const TREE_DEPTH: usize = 512;

impl Mirror {
    /// Opens `<dir>/mirror.git`, made when absent. `dir` is `<data>/repos/<key>`.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn open_or_create(dir: &Path) -> Result<Self, Error> {
        let parent = dir.parent().unwrap_or(dir);
        fs::create_dir_all(parent).map_err(disk("create", parent))?;
        let lock = lock_shared(&lock_path(dir))?;
        let git = dir.join("mirror.git");
        if !git.exists() {
            fs::create_dir_all(dir).map_err(disk("create", dir))?;
            let new = tempfile::Builder::new()
                .prefix("tmp-mirror-")
                .tempdir_in(dir);
            let new = new.map_err(disk("create a folder in", dir))?;
            lay_out(new.path()).map_err(disk("create", &git))?;
            match fs::rename(new.path(), &git) {
                // Another process was first.
                Err(_) if git.join("HEAD").exists() => {}
                other => other.map_err(disk("create", &git))?,
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            _in_use: Arc::new(lock),
        })
    }

    /// Brings `commit`, with all the history the user's repository has, into the mirror.
    /// A commit that is here already costs one look-up. Idempotent; safe to interrupt.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user's repository does not have the commit or its tree.
    pub fn fetch_commit(&self, user: &UserRepo, commit: &CommitId) -> Result<(), Error> {
        let mark = format!("refs/prentice/base/{commit}");
        if self.repo()?.find_reference(&mark).is_ok() {
            return Ok(());
        }
        let from = user.common_dir();
        objects::take_over(from, &self.git_dir().join("objects"))?;
        self.set_shallow(&fs::read(from.join("shallow")).unwrap_or_default())?;
        // Opened anew: the object database lists packs when opened.
        let repo = self.repo()?;
        tree_of(&repo, commit)?;
        let id = oid(commit)?;
        write_ref(&self.git_dir(), &mark, || {
            repo.reference(&mark, id, true, "")
        })?;
        Ok(())
    }

    /// Makes a commit of `tree`: same arguments, same name. No hook runs; signed where the author has a key.
    /// Everything it needs is on the disk before this returns.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a parent that is not here; [`Error::Internal`] for a tree that is not.
    pub fn commit(
        &self,
        tree: &str,
        parents: &[CommitId],
        message: &str,
        author: &Author,
        time: Time,
    ) -> Result<CommitId, Error> {
        let repo = self.repo()?;
        let tree = repo.find_tree(Oid::from_str(tree)?)?;
        let found = parents.iter().map(|parent| {
            repo.find_commit(oid(parent)?)
                .map_err(|_| Error::NotFound(format!("commit {} is not here", parent.short())))
        });
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let when = git2::Time::new(time.0.div_euclid(1000), 0);
        let who = git2::Signature::new(&author.name, &author.email, &when)?;
        let parents: Vec<&git2::Commit<'_>> = found.iter().collect();
        let buffer = repo.commit_create_buffer(&who, &who, message, &tree, &parents)?;
        let id = match &author.signer {
            None => put(&repo.odb()?, ObjectType::Commit, &buffer)?,
            Some(signer) => {
                let signed = signed(&buffer, &signer.sign(&buffer)?);
                put(&repo.odb()?, ObjectType::Commit, &signed)?
            }
        };
        let mut new = vec![id];
        let old = found.first().map(git2::Commit::tree_id);
        objects::added(&repo, old, tree.id(), &mut new)?;
        objects::sync(&self.git_dir().join("objects"), &new)?;
        let mark = format!("refs/prentice/result/{id}");
        write_ref(&self.git_dir(), &mark, || {
            repo.reference(&mark, id, true, "")
        })?;
        commit_id(id)
    }

    /// Lets go of a result: after a rejected task nothing refers to it any more.
    ///
    /// # Errors
    /// [`Error::Disk`], [`Error::Internal`]. A commit that is not kept is no error.
    pub fn forget(&self, commit: &CommitId) -> Result<(), Error> {
        let mark = format!("refs/prentice/result/{commit}");
        match self.repo()?.find_reference(&mark) {
            Ok(mut reference) => Ok(write_ref(&self.git_dir(), &mark, || reference.delete())?),
            Err(e) if e.code() == git2::ErrorCode::NotFound => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Lets go of commits that came before `before` and that `is_wanted` does not name; one that is asked for later is
    /// brought again. The newest stays, so that a fetch has something to go on from. Nothing is let go of beside a
    /// fetch. Gives how many went.
    ///
    /// # Errors
    /// [`Error::Disk`], [`Error::Internal`].
    pub fn forget_bases(
        &self,
        before: Time,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<usize, Error> {
        let Some(_no_fetch) = lock_exclusive_now(&self.dir().join("fetch.lock"))? else {
            return Ok(0);
        };
        let repo = self.repo()?;
        let mut found = Vec::new();
        for reference in repo.references_glob("refs/prentice/base/*")?.flatten() {
            // A ref without a file of its own does not say when it was written.
            if let Ok(name) = reference.name()
                && let Ok(file) = fs::metadata(self.git_dir().join(name))
            {
                found.push((file.mtime(), name.to_owned()));
            }
        }
        found.sort_unstable();
        found.pop();
        let mut gone = 0;
        for (written, mark) in found {
            let commit = mark.rsplit('/').next().unwrap_or_default();
            if written.saturating_mul(1000) >= before.0 || is_wanted(commit) {
                continue;
            }
            write_ref(&self.git_dir(), &mark, || {
                repo.find_reference(&mark)?.delete()
            })?;
            gone += 1;
        }
        Ok(gone)
    }

    /// The name of the commit's tree, as 40 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the commit is not here.
    pub fn tree(&self, commit: &CommitId) -> Result<String, Error> {
        Ok(tree_of(&self.repo()?, commit)?.id().to_string())
    }

    /// The bytes of the file (or link target) at `path`; `None` when there is none.
    /// For the repository file and agent instructions: of the base commit, never of a work tree.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the commit is not here; [`Error::Limit`] above `cap` bytes.
    pub fn file_at(
        &self,
        commit: &CommitId,
        path: &RepoPath,
        cap: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let repo = self.repo()?;
        let Some(node) = leaf(&repo, commit, path)? else {
            return Ok(None);
        };
        if node.kind() == Kind::Leaf(EntryKind::Gitlink) {
            return Ok(None);
        }
        let odb = repo.odb()?;
        if odb.read_header(node.oid)?.0 as u64 > cap {
            let what = format!("the size of `{}`", path.lossy());
            return Err(Error::Limit { what, limit: cap });
        }
        Ok(Some(odb.read(node.oid)?.data().to_vec()))
    }

    /// What [`list_files`](Self::list_files) would find at `path`, without looking at the rest: equal ones have equal
    /// contents. `None` where it finds nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the commit is not here.
    pub fn id_at(&self, commit: &CommitId, path: &RepoPath) -> Result<Option<String>, Error> {
        let found = leaf(&self.repo()?, commit, path)?;
        Ok(found.map(|node| node.oid.to_string()))
    }

    /// Every file, link and gitlink of the commit, sorted as git sorts paths.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the commit is not here.
    pub fn list_files(&self, commit: &CommitId) -> Result<Vec<RepoPath>, Error> {
        let repo = self.repo()?;
        let mut found = Vec::new();
        walk(&repo, &tree_of(&repo, commit)?, &mut |path, node| {
            if node.kind() != Kind::Tree {
                found.push(RepoPath::new(path));
            }
            Ok(())
        })?;
        found.sort_unstable();
        Ok(found)
    }

    /// The bare repository itself.
    #[must_use]
    pub fn git_dir(&self) -> PathBuf {
        self.dir.join("mirror.git")
    }

    /// `<data>/repos/<key>`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn repo(&self) -> Result<Repository, Error> {
        open(&self.git_dir())
    }

    pub(super) fn program(&self) -> Result<Hardened, Error> {
        Hardened::new(&self.git_dir(), &self.dir.join("empty"))
    }

    /// The boundary of the user's history is the boundary here: the objects are the same.
    fn set_shallow(&self, list: &[u8]) -> Result<(), Error> {
        let path = self.git_dir().join("shallow");
        if list.is_empty() {
            return match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk("remove", &path)(e)),
                _ => Ok(()),
            };
        }
        replace_file(&path, list)
    }
}

/// Removes whole repositories, least recently opened first, until all take at most
/// `cap_bytes`. Those in use are left, and those for whose key `keep` says so (live tasks).
/// Gives the keys removed.
///
/// # Errors
/// [`Error::Disk`].
pub fn prune_repos(
    repos: &Path,
    cap_bytes: u64,
    keep: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    let mut total = 0;
    for (used, key) in by_use(repos)? {
        let bytes = bytes_below(&repos.join(&key));
        total += bytes;
        found.push((used, key, bytes));
    }
    let mut removed = Vec::new();
    for (_, key, bytes) in found {
        if total <= cap_bytes {
            break;
        }
        if !keep(&key) && remove_unused(&repos.join(&key))? {
            total -= bytes;
            removed.push(key);
        }
    }
    Ok(removed)
}

/// Removes whole repositories that nobody opened since `before`, but for those for whose key `keep` says so. Gives the
/// keys removed.
///
/// # Errors
/// [`Error::Disk`].
pub fn remove_idle_repos(
    repos: &Path,
    before: Time,
    keep: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, Error> {
    let mut removed = Vec::new();
    for (used, key) in by_use(repos)? {
        let is_idle = used.saturating_mul(1000) < before.0;
        if is_idle && !keep(&key) && remove_unused(&repos.join(&key))? {
            removed.push(key);
        }
    }
    Ok(removed)
}

/// Seconds of the last use, and key, of every repository, least recently opened first.
fn by_use(repos: &Path) -> Result<Vec<(i64, String)>, Error> {
    let listing = match fs::read_dir(repos) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(disk("list", repos))?,
    };
    let mut found = Vec::new();
    for entry in listing.flatten() {
        if let Ok(key) = entry.file_name().into_string()
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
        {
            let used = fs::metadata(lock_path(&entry.path())).map_or(0, |m| m.mtime());
            found.push((used, key));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes one repository; `false` where somebody uses it.
fn remove_unused(dir: &Path) -> Result<bool, Error> {
    let lock_at = lock_path(dir);
    let Some(_lock) = lock_exclusive_now(&lock_at)? else {
        return Ok(false);
    };
    remove_tree(dir)?;
    fs::remove_file(&lock_at).map_err(disk("remove", &lock_at))?;
    Ok(true)
}

/// The bytes of the regular files below `dir`. A file that vanishes meanwhile counts nothing.
pub(super) fn bytes_below(dir: &Path) -> u64 {
    let mut sum = 0;
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => todo.push(entry.path()),
                Ok(kind) if kind.is_file() => sum += entry.metadata().map_or(0, |m| m.len()),
                _ => {}
            }
        }
    }
    sum
}

pub(super) fn open(git_dir: &Path) -> Result<Repository, Error> {
    let flags =
        RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT | RepositoryOpenFlags::BARE;
    Ok(Repository::open_ext(
        git_dir,
        flags,
        std::iter::empty::<OsString>(),
    )?)
}

/// What [`walk`] calls with each path.
type Visit<'a> = dyn FnMut(&[u8], Node) -> Result<(), Error> + 'a;

/// Visits every entry below `tree`, parents first. Refuses names that must not reach a disk.
pub(super) fn walk(
    repo: &Repository,
    tree: &git2::Tree<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    let mut todo = vec![(Vec::new(), tree.id(), 0)];
    while let Some((parent, id, depth)) = todo.pop() {
        let tree = repo.find_tree(id)?;
        for entry in &tree {
            let path = join(&parent, entry.name_bytes());
            if let Some(why) = names::problem(entry.name_bytes()) {
                return Err(Error::Hostile {
                    path: RepoPath::new(path),
                    why,
                });
            }
            let node = Node::of(&entry);
            visit(&path, node)?;
            if node.kind() == Kind::Tree {
                if depth >= TREE_DEPTH {
                    let path = RepoPath::new(path);
                    return Err(Error::Hostile {
                        path,
                        why: "folders nested too deeply",
                    });
                }
                todo.push((path, node.oid, depth + 1));
            }
        }
    }
    Ok(())
}

/// Writes `bytes` beside `path`, then renames it into place.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    let written = tempfile::Builder::new()
        .prefix("tmp-")
        .tempfile_in(folder)
        .and_then(|mut file| {
            io::Write::write_all(&mut file, bytes)?;
            file.persist(path).map_err(|e| e.error)
        });
    written.map(drop).map_err(disk("write", path))
}

/// Removes a folder of ours; absent is fine.
pub(super) fn remove_tree(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk("remove", path)(e)),
        _ => Ok(()),
    }
}

/// A bare repository, as few files as git accepts. `attributesFile` names a file that is never
/// made: the user's own attributes must not decide what is binary.
pub(super) fn lay_out(dir: &Path) -> io::Result<()> {
    for folder in ["objects/pack", "objects/info", "refs/heads"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    fs::write(
        dir.join("config"),
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n\tlogAllRefUpdates = false\n\
         \tattributesFile = /nonexistent/attributes\n\texcludesFile = /nonexistent/excludes\n",
    )?;
    fs::write(dir.join("HEAD"), "ref: refs/heads/none\n")
}

fn lock_path(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
