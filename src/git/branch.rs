//! The one thing a user's repository is given: a branch.
//!
//! Written are new object files and one ref below `refs/heads/` (with its log), by
//! compare-and-set. No process is started, no hook runs; work tree, index, `HEAD` and
//! configuration are not touched.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use git2::{ErrorCode, Oid, Repository, RepositoryOpenFlags};

use super::locks::{free_ref, write_ref};
use super::mirror::TREE_DEPTH;
use super::objects::has;
use super::user::open_error;
use super::{Error, Kind, Mirror, Node, UserRepo, commit_id, disk, names, oid};
use crate::domain::gates::EntryKind;
use crate::domain::ident::CommitId;

impl UserRepo {
    /// Where a branch is; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`Error::Internal`] for a damaged ref.
    pub fn branch_head(&self, name: &str) -> Result<Option<CommitId>, Error> {
        branch_target(&self.repo()?, name)?
            .map(commit_id)
            .transpose()
    }

    /// Points the branch `name` at `new`, whose objects are copied from the mirror first.
    ///
    /// `expected` is where the caller believes it is, `None` = nowhere. A branch that is at
    /// `new` already is left as it is, so a repeated call changes nothing. Killed at any
    /// instant, the branch is where it was or at `new`, and its objects are complete.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is elsewhere; [`Error::CheckedOut`]; [`Error::Unusable`] for a
    /// name that is not ours or is in the way of another; [`Error::Disk`].
    pub fn set_branch(
        &self,
        mirror: &Mirror,
        name: &str,
        new: &CommitId,
        expected: Option<&CommitId>,
    ) -> Result<(), Error> {
        self.check_name(name)?;
        let repo = self.repo()?;
        let (full, target) = (format!("refs/heads/{name}"), oid(new)?);
        let found = branch_target(&repo, name)?;
        if found == Some(target) {
            return Ok(());
        }
        let expected_oid = expected.map(oid).transpose()?;
        let conflict = |found: Option<Oid>| -> Error {
            match found.map(commit_id).transpose() {
                Ok(found) => Error::Conflict {
                    branch: name.to_owned(),
                    expected: expected.cloned(),
                    found,
                },
                Err(e) => e,
            }
        };
        if found != expected_oid {
            return Err(conflict(found));
        }
        self.refuse_checked_out(name)?;
        if let Some(other) = in_the_way(&repo, name)? {
            return Err(Error::Unusable(format!(
                "branch `{other}` is in the way of `{name}`; rename it, or change `branch` under [task]"
            )));
        }
        self.copy_objects(mirror, &repo, target)?;
        let log = "prentice: result";
        let written = write_ref(self.common_dir(), &full, || match expected_oid {
            Some(old) => repo.reference_matching(&full, target, true, old, log),
            None => repo.reference(&full, target, false, log),
        });
        match written {
            Ok(_) => Ok(()),
            Err(e) => match branch_target(&repo, name)? {
                Some(now) if now == target => Ok(()),
                now if now != expected_oid => Err(conflict(now)),
                _ => Err(e.into()),
            },
        }
    }

    /// Deletes the branch `name` if it is at `expected`. One that is gone already is fine.
    /// Gives whether it was there.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::CheckedOut`], [`Error::Unusable`] for a name that is not ours.
    pub fn delete_branch(&self, name: &str, expected: &CommitId) -> Result<bool, Error> {
        self.check_name(name)?;
        let repo = self.repo()?;
        let full = format!("refs/heads/{name}");
        let mut reference = match repo.find_reference(&full) {
            Err(e) if e.code() == ErrorCode::NotFound => {
                // Killed while it deleted, it may have left its lock.
                free_ref(self.common_dir(), &full)?;
                return Ok(false);
            }
            other => other?,
        };
        if reference.target() != Some(oid(expected)?) {
            let found = reference.target().map(commit_id).transpose()?;
            return Err(Error::Conflict {
                branch: name.to_owned(),
                expected: Some(expected.clone()),
                found,
            });
        }
        self.refuse_checked_out(name)?;
        // Deletes only while the ref still is what was just read.
        write_ref(self.common_dir(), &full, || reference.delete())?;
        Ok(true)
    }

    fn check_name(&self, name: &str) -> Result<(), Error> {
        if names::is_our_branch(name) {
            return Ok(());
        }
        Err(Error::Unusable(format!(
            "`{name}` is no branch name of ours: parts of a-z, 0-9 and `-`, joined by `/`; see `branch` under [task]"
        )))
    }

    /// Any work tree that has the branch checked out, or is rebasing it.
    fn refuse_checked_out(&self, name: &str) -> Result<(), Error> {
        let full = format!("refs/heads/{name}");
        let mut homes = Vec::new();
        // A bare repository's own HEAD is no checkout.
        let main = Repository::open_ext(
            self.common_dir(),
            RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT,
            std::iter::empty::<OsString>(),
        )
        .map_err(|e| open_error(self.shown(), &e))?;
        if !main.is_bare() {
            let shown = main.workdir().unwrap_or(self.common_dir()).to_owned();
            homes.push((self.common_dir().to_owned(), shown));
        }
        for entry in fs::read_dir(self.common_dir().join("worktrees"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let home = entry.path();
            let link = fs::read_to_string(home.join("gitdir")).unwrap_or_default();
            let shown = Path::new(link.trim_end())
                .parent()
                .filter(|p| !p.as_os_str().is_empty());
            homes.push((home.clone(), shown.map_or(home, Path::to_owned)));
        }
        for (home, worktree) in homes {
            let says = |file: &str| fs::read_to_string(home.join(file)).unwrap_or_default();
            let on = [
                says("HEAD"),
                says("rebase-merge/head-name"),
                says("rebase-apply/head-name"),
            ];
            if on
                .iter()
                .any(|text| text.trim_end().trim_start_matches("ref: ") == full)
            {
                return Err(Error::CheckedOut {
                    branch: name.to_owned(),
                    worktree,
                });
            }
        }
        Ok(())
    }

    /// Copies what `new` needs and the user's repository lacks; whatever an object refers to
    /// goes before it, so that what is there is complete at every instant.
    fn copy_objects(&self, mirror: &Mirror, user: &Repository, new: Oid) -> Result<(), Error> {
        let ours = mirror.repo()?;
        let theirs = user.odb()?;
        let from = mirror.git_dir().join("objects");
        let to = self.common_dir().join("objects");
        for id in missing(&ours, &theirs, new)? {
            let hex = id.to_string();
            let (fan, rest) = hex.split_at(2);
            let (source, folder) = (from.join(fan).join(rest), to.join(fan));
            match fs::File::open(&source) {
                // As a file: an object of any size passes through a small buffer.
                Ok(mut object) => {
                    fs::create_dir_all(&folder).map_err(disk("create", &folder))?;
                    let target = folder.join(rest);
                    copy_file(&mut object, &folder, &target).map_err(disk("write", &target))?;
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    let object = ours.odb()?;
                    let object = object.read(id)?;
                    theirs.write(object.kind(), object.data())?;
                }
                Err(e) => return Err(disk("read", &source)(e)),
            }
        }
        Ok(())
    }
}

fn copy_file(from: &mut fs::File, folder: &Path, to: &Path) -> io::Result<()> {
    // git takes this prefix for its own unfinished files and removes them in a gc.
    let mut new = tempfile::Builder::new()
        .prefix("tmp_obj_")
        .tempfile_in(folder)?;
    io::copy(from, &mut new)?;
    new.as_file()
        .set_permissions(fs::Permissions::from_mode(0o444))?;
    new.as_file().sync_all()?;
    new.persist(to).map(drop).map_err(|e| e.error)
}

/// What is reachable from `new` and not in `theirs`, children before parents. What is there is taken as complete.
fn missing(ours: &Repository, theirs: &git2::Odb<'_>, new: Oid) -> Result<Vec<Oid>, Error> {
    let mut list = Vec::new();
    let mut seen = HashSet::new();
    let mut todo = vec![(new, false)];
    while let Some((id, done)) = todo.pop() {
        if done {
            list.push(id);
        } else if seen.insert(id) && !has(theirs, id) {
            let commit = ours
                .find_commit(id)
                .map_err(|_| Error::NotFound(format!("commit {id} is not in the mirror")))?;
            missing_below(ours, theirs, commit.tree_id(), 0, &mut seen, &mut list)?;
            todo.push((id, true));
            todo.extend(commit.parent_ids().map(|parent| (parent, false)));
        }
    }
    Ok(list)
}

fn missing_below(
    ours: &Repository,
    theirs: &git2::Odb<'_>,
    tree: Oid,
    depth: usize,
    seen: &mut HashSet<Oid>,
    list: &mut Vec<Oid>,
) -> Result<(), Error> {
    if !seen.insert(tree) || has(theirs, tree) {
        return Ok(());
    }
    if depth > TREE_DEPTH {
        return Err(Error::Internal(format!("tree {tree} is nested too deeply")));
    }
    for entry in &ours.find_tree(tree)? {
        let node = Node::of(&entry);
        match node.kind() {
            Kind::Tree => missing_below(ours, theirs, node.oid, depth + 1, seen, list)?,
            Kind::Leaf(EntryKind::Gitlink) => {}
            Kind::Leaf(_) => {
                if seen.insert(node.oid) && !has(theirs, node.oid) {
                    list.push(node.oid);
                }
            }
        }
    }
    list.push(tree);
    Ok(())
}

/// A branch whose name git cannot hold together with `name`: one is a folder of the other.
fn in_the_way(repo: &Repository, name: &str) -> Result<Option<String>, Error> {
    for (at, _) in name.match_indices('/') {
        let above = name.get(..at).unwrap_or(name);
        if branch_target(repo, above)?.is_some() {
            return Ok(Some(above.to_owned()));
        }
    }
    let mut below = repo.references_glob(&format!("refs/heads/{name}/*"))?;
    let found = below.names().next().transpose()?;
    Ok(found
        .and_then(|full| full.strip_prefix("refs/heads/"))
        .map(str::to_owned))
}

fn branch_target(repo: &Repository, name: &str) -> Result<Option<Oid>, Error> {
    match repo.find_reference(&format!("refs/heads/{name}")) {
        Ok(reference) => Ok(Some(reference.peel_to_commit()?.id())),
        Err(e) if matches!(e.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
