//! The mirror and a forge: what is fetched, what is looked up, and the one branch that is pushed.
//!
//! A fetch goes into a quarantine beside the mirror, a repository of its own that borrows the
//! mirror's objects. git checks there that every object is sound and that all history is there.
//! Only then the objects are linked into the mirror and a ref keeps the commit, as
//! [`Mirror::fetch_commit`] does for a user's repository. A fetch that fails, that is too large
//! or that is killed leaves nothing in the mirror; its folder goes away, at the latest
//! with the next fetch. Object files are on the disk before they are linked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use git2::{ErrorCode, Reference, Sort};

use super::locks::{lock_exclusive, write_ref};
use super::mirror::{Mirror, lay_out, open, remove_tree};
use super::process::Hardened;
use super::refusal::{PushError, Pushed, RemoteError, pushed};
use super::transport::{Remote, run};
use super::{Error, commit_id, disk, names, objects, oid};
use crate::domain::ident::CommitId;

/// What to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// The head of a branch, named without `refs/heads/`.
    Branch(String),
    /// The head of the pull request of this number, from the base repository: never the URL of a fork.
    Pull(i64),
    /// Exactly this commit.
    Commit(CommitId),
}

/// Most things fetched at once.
const WANT_MAX: usize = 64;
/// Most commits told of [`Mirror::beyond`].
const BEYOND_MAX: usize = 1000;
/// Longest name of a branch.
const BRANCH_MAX: usize = 250;
/// Folders of fetches.
const QUARANTINE: &str = "tmp-fetch-";

impl Mirror {
    /// Brings each of `what`, with its whole history, into the mirror and keeps it. Gives the commits in the same order.
    /// What is here already is not sent again; a commit that is here costs one look-up. One fetch per mirror at a
    /// time: a second one waits.
    ///
    /// # Errors
    /// [`RemoteError::NotFound`] when one of them is not there, and then nothing is fetched.
    pub fn fetch_remote(
        &self,
        remote: &Remote,
        what: &[Want],
    ) -> Result<Vec<CommitId>, RemoteError> {
        if what.len() > WANT_MAX {
            return Err(Error::Limit {
                what: "the number of things to fetch at once".to_owned(),
                limit: WANT_MAX as u64,
            }
            .into());
        }
        let sources = what
            .iter()
            .map(Want::source)
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(known) = self.all_here(what)? {
            return Ok(known);
        }
        let _one = lock_exclusive(&self.dir().join("fetch.lock"))?;
        if let Some(known) = self.all_here(what)? {
            return Ok(known);
        }
        self.clear_quarantines()?;
        let folder = tempfile::Builder::new()
            .prefix(QUARANTINE)
            .tempdir_in(self.dir())
            .map_err(disk("create a folder in", self.dir()))?;
        self.prepare(folder.path())?;
        let git = Hardened::new(folder.path(), &self.dir().join("empty"))?;
        let mut args = vec![
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-gc",
            "--refmap=",
            "--end-of-options",
            remote.url(),
        ];
        let specs: Vec<String> = (sources.iter().enumerate())
            .map(|(at, source)| format!("+{source}:{}", fetched_ref(at)))
            .collect();
        args.extend(specs.iter().map(String::as_str));
        let fetched = run(&git, remote, &args, Some(folder.path()))?.done(remote);
        if let Err(RemoteError::NotFound(_)) = &fetched {
            // Nothing is said to be missing by what is no git repository.
            self.heads(remote)?;
        }
        fetched?;
        if super::mirror::bytes_below(folder.path()) > remote.net().bytes {
            return Err(remote.too_large());
        }
        Ok(self.take_in(folder.path(), what)?)
    }

    /// Heads of these branches on the forge; one that does not exist is left out. Nothing is fetched.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub fn remote_heads(
        &self,
        remote: &Remote,
        branches: &[&str],
    ) -> Result<BTreeMap<String, CommitId>, RemoteError> {
        for branch in branches {
            head_ref(branch)?;
        }
        let mut all = self.heads(remote)?;
        all.retain(|branch, _| branches.contains(&branch.as_str()));
        Ok(all)
    }

    /// All branches of the forge. There is always one: what git takes from a page that is empty, or on one line, is
    /// a repository without any, and no branch may be thought deleted because a proxy asked for a login.
    fn heads(&self, remote: &Remote) -> Result<BTreeMap<String, CommitId>, RemoteError> {
        let args = [
            "ls-remote",
            "--quiet",
            "--heads",
            "--end-of-options",
            remote.url(),
        ];
        let said = run(&self.program()?, remote, &args, None)?.done(remote)?;
        let heads: BTreeMap<String, CommitId> = said
            .lines()
            .filter_map(|line| {
                let (id, name) = line.split_once('\t')?;
                let branch = name.strip_prefix("refs/heads/")?;
                Some((branch.to_owned(), id.parse().ok()?))
            })
            .collect();
        if heads.is_empty() {
            return Err(RemoteError::Retry {
                why: format!(
                    "{} has no branch at all, or is no git repository",
                    remote.url()
                ),
            });
        }
        Ok(heads)
    }

    /// Makes the branch `branch` of the forge point to `commit`, only from `expected` (`None` = there is none). One that
    /// is there already is fine. Only names of ours are pushed.
    ///
    /// # Errors
    /// [`PushError`]. After [`RemoteError::Retry`] it may have happened.
    pub fn push(
        &self,
        remote: &Remote,
        branch: &str,
        commit: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), PushError> {
        check_ours(branch)?;
        self.repo()?.find_commit(oid(commit)?).map_err(|_| {
            Error::NotFound(format!("commit {} is not in the mirror", commit.short()))
        })?;
        match self.send(remote, branch, Some(commit), expected)? {
            Pushed::Done => Ok(()),
            Pushed::Moved | Pushed::Absent => match self.found(remote, branch)? {
                Some(found) if found == *commit => Ok(()),
                found => Err(PushError::Stale { found }),
            },
        }
    }

    /// Deletes the branch `branch` of the forge while it is at `expected`. Gives whether it was there.
    ///
    /// # Errors
    /// As [`Mirror::push`].
    pub fn delete_remote_branch(
        &self,
        remote: &Remote,
        branch: &str,
        expected: &CommitId,
    ) -> Result<bool, PushError> {
        check_ours(branch)?;
        match self.send(remote, branch, None, Some(expected))? {
            Pushed::Done => Ok(true),
            Pushed::Absent => Ok(false),
            Pushed::Moved => match self.found(remote, branch)? {
                None => Ok(false),
                found => Err(PushError::Stale { found }),
            },
        }
    }

    /// The best common ancestor of two commits of the mirror.
    ///
    /// # Errors
    /// [`Error::NotFound`] when they have none.
    pub fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<CommitId, Error> {
        match self.repo()?.merge_base(oid(a)?, oid(b)?) {
            Ok(base) => commit_id(base),
            Err(e) if e.code() == ErrorCode::NotFound => Err(Error::NotFound(format!(
                "{} and {} have no common ancestor",
                a.short(),
                b.short()
            ))),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether `ancestor` is `of` or reachable from it; false for a commit that is not in the mirror.
    ///
    /// # Errors
    /// [`Error::NotFound`] when `of` is not in the mirror.
    pub fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> Result<bool, Error> {
        let repo = self.repo()?;
        let (a, b) = (oid(ancestor)?, oid(of)?);
        repo.find_commit(b)
            .map_err(|_| Error::NotFound(format!("commit {} is not here", of.short())))?;
        if repo.find_commit(a).is_err() {
            return Ok(false);
        }
        Ok(a == b || repo.graph_descendant_of(b, a)?)
    }

    /// The commits that `head` reaches and `tip` does not, newest first, each with its first line: what a push of `head`
    /// adds to a forge that has `tip`. At most [`BEYOND_MAX`].
    ///
    /// # Errors
    /// [`Error::NotFound`] when one of the two is not in the mirror.
    pub fn beyond(
        &self,
        head: &CommitId,
        tip: &CommitId,
    ) -> Result<Vec<(CommitId, String)>, Error> {
        let repo = self.repo()?;
        let (of, without) = (oid(head)?, oid(tip)?);
        for (id, commit) in [(of, head), (without, tip)] {
            repo.find_commit(id)
                .map_err(|_| Error::NotFound(format!("commit {} is not here", commit.short())))?;
        }
        let mut walk = repo.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL)?;
        walk.push(of)?;
        walk.hide(without)?;
        let found = walk.take(BEYOND_MAX).map(|id| {
            let commit = repo.find_commit(id?)?;
            let line = commit.summary_bytes().unwrap_or_default();
            Ok((
                commit_id(commit.id())?,
                String::from_utf8_lossy(line).into_owned(),
            ))
        });
        found.collect()
    }

    fn found(&self, remote: &Remote, branch: &str) -> Result<Option<CommitId>, RemoteError> {
        Ok(self.remote_heads(remote, &[branch])?.remove(branch))
    }

    fn send(
        &self,
        remote: &Remote,
        branch: &str,
        commit: Option<&CommitId>,
        expected: Option<&CommitId>,
    ) -> Result<Pushed, PushError> {
        let full = head_ref(branch)?;
        let lease = format!(
            "--force-with-lease={full}:{}",
            expected.map_or("", CommitId::as_str)
        );
        let spec = format!("{}:{full}", commit.map_or("", CommitId::as_str));
        let args = [
            "push",
            "--porcelain",
            "--quiet",
            "--no-verify",
            "--no-follow-tags",
            "--no-signed",
            "--recurse-submodules=no",
            lease.as_str(),
            "--end-of-options",
            remote.url(),
            spec.as_str(),
        ];
        pushed(&run(&self.program()?, remote, &args, None)?, remote)
    }

    /// The commits, where all that is wanted are commits that were fetched before.
    fn all_here(&self, what: &[Want]) -> Result<Option<Vec<CommitId>>, Error> {
        let repo = self.repo()?;
        let here = what.iter().map(|want| match want {
            Want::Commit(commit) => {
                (repo.find_reference(&mark(commit)).is_ok()).then(|| commit.clone())
            }
            Want::Branch(_) | Want::Pull(_) => None,
        });
        Ok(here.collect())
    }

    /// What fetches of killed hosts left; the lock says that none is at work.
    fn clear_quarantines(&self) -> Result<(), Error> {
        let listing = fs::read_dir(self.dir()).map_err(disk("list", self.dir()))?;
        for entry in listing.flatten() {
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(QUARANTINE.as_bytes())
            {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    /// A repository that has nothing of its own, and knows what the mirror has.
    fn prepare(&self, folder: &Path) -> Result<(), Error> {
        if self.git_dir().join("shallow").exists() {
            return Err(Error::Unusable(format!(
                "the history in {} is cut off; remove that folder, it is fetched anew",
                self.dir().display()
            )));
        }
        lay_out(folder).map_err(disk("create", folder))?;
        let alternates = folder.join("objects/info/alternates");
        // From the objects folder on, so that no character of the data folder's path matters.
        fs::write(&alternates, "../../mirror.git/objects\n").map_err(disk("write", &alternates))?;
        let repo = self.repo()?;
        let mut refs = String::new();
        for reference in repo.references()?.flatten() {
            if let (Some(id), Ok(name)) = (reference.target(), reference.name()) {
                // Writing to a String cannot fail.
                let _ = writeln!(refs, "{id} {name}");
            }
        }
        let packed = folder.join("packed-refs");
        fs::write(&packed, refs).map_err(disk("write", &packed))
    }

    fn take_in(&self, folder: &Path, what: &[Want]) -> Result<Vec<CommitId>, Error> {
        let fetched = open(folder)?;
        let mut found = Vec::new();
        for (at, want) in what.iter().enumerate() {
            let commit = fetched
                .find_reference(&fetched_ref(at))
                .and_then(|r| r.peel_to_commit());
            let commit = commit
                .map_err(|_| Error::NotFound(format!("{want} is no commit, or did not arrive")))?;
            found.push(commit_id(commit.id())?);
        }
        objects::take_in(&folder.join("objects"), &self.git_dir().join("objects"))?;
        // Opened anew: the object database lists packs when opened.
        let repo = self.repo()?;
        for commit in &found {
            let (mark, id) = (mark(commit), oid(commit)?);
            write_ref(&self.git_dir(), &mark, || {
                repo.reference(&mark, id, true, "")
            })?;
        }
        Ok(found)
    }
}

impl std::fmt::Display for Want {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Branch(name) => write!(f, "branch `{name}`"),
            Self::Pull(number) => write!(f, "the head of pull request {number}"),
            Self::Commit(commit) => write!(f, "commit {}", commit.short()),
        }
    }
}

impl Want {
    /// What stands on the left of a refspec.
    fn source(&self) -> Result<String, Error> {
        match self {
            Self::Branch(name) => head_ref(name),
            Self::Pull(number) if *number > 0 => Ok(format!("refs/pull/{number}/head")),
            Self::Pull(number) => Err(Error::Unusable(format!(
                "there is no pull request {number}"
            ))),
            Self::Commit(commit) => Ok(oid(commit)?.to_string()),
        }
    }
}

/// The ref that keeps a commit, as [`Mirror::fetch_commit`] writes it.
fn mark(commit: &CommitId) -> String {
    format!("refs/prentice/base/{commit}")
}

fn fetched_ref(at: usize) -> String {
    format!("refs/fetched/{at}")
}

/// The full name of any person's branch, if it is one that git can have.
fn head_ref(branch: &str) -> Result<String, Error> {
    let full = format!("refs/heads/{branch}");
    if branch.len() <= BRANCH_MAX && !branch.starts_with('-') && Reference::is_valid_name(&full) {
        return Ok(full);
    }
    let shown: String = branch.chars().take(80).collect();
    Err(Error::Unusable(format!("{shown:?} is no name of a branch")))
}

fn check_ours(branch: &str) -> Result<(), Error> {
    if names::is_our_branch(branch) {
        return Ok(());
    }
    let shown: String = branch.chars().take(80).collect();
    Err(Error::Unusable(format!(
        "{shown:?} is no branch name of ours: parts of a-z, 0-9 and `-`, joined by `/`; see `branch` under [task]"
    )))
}
