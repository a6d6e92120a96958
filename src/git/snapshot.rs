//! What somebody else wrote beside the agent: the part of set-up taken out of a result, and the
//! tracked files that a command changed under the checks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use git2::{ObjectType, Odb, Oid, Repository};

use super::diff::differing;
use super::objects::put;
use super::{Collected, Error, Kind, Limits, Mirror, Node, tree_of};
use crate::domain::ident::{CommitId, RepoPath};

/// The entries of one folder, by name.
pub(super) type Entries = BTreeMap<Vec<u8>, Node>;

impl Mirror {
    /// `after` without what was there `before` the agent began, both read over `base`: a copied work tree holds
    /// what set-up wrote, and only an overlay keeps the two apart by itself.
    ///
    /// # Errors
    /// [`Error::Disk`], [`Error::Internal`].
    pub fn without(
        &self,
        base: &CommitId,
        before: &Collected,
        mut after: Collected,
    ) -> Result<Collected, Error> {
        let repo = self.repo()?;
        let (base, odb) = (tree_of(&repo, base)?.id(), repo.odb()?);
        let trees = [Some(base), Some(tree(before)?), Some(tree(&after)?)];
        let left = match taken_out(&repo, &odb, trees)? {
            Some(left) => left,
            None => put(&odb, ObjectType::Tree, b"")?,
        };
        after.tree = left.to_string();
        after.odd.retain(|one| !before.odd.contains(one));
        after.hostile.retain(|one| !before.hostile.contains(one));
        after
            .droppings
            .retain(|one| !before.droppings.contains(one));
        Ok(after)
    }

    /// The tracked files of `commit` that a layer (or, without `overlay`, a whole tree) over it has otherwise, sorted.
    ///
    /// # Errors
    /// As [`Mirror::collect_upper`].
    pub fn changed_tracked(
        &self,
        dir: &Path,
        commit: &CommitId,
        overlay: bool,
    ) -> Result<Vec<RepoPath>, Error> {
        let skip = [RepoPath::from(".git")];
        let seen = self.collect(dir, commit, &skip, &Limits::default(), (overlay, true))?;
        let repo = self.repo()?;
        let (was, is) = (tree_of(&repo, commit)?.id(), tree(&seen)?);
        let mut leaves = Vec::new();
        differing(&repo, b"", Some(was), Some(is), 0, &mut leaves)?;
        let paths: BTreeSet<RepoPath> = leaves.into_iter().map(|l| RepoPath::new(l.0)).collect();
        Ok(paths.into_iter().collect())
    }
}

fn tree(collected: &Collected) -> Result<Oid, Error> {
    Ok(Oid::from_str(&collected.tree)?)
}

/// `after`, with the base's own node wherever it is as it was `before`.
fn taken_out(
    repo: &Repository,
    odb: &Odb<'_>,
    [base, before, after]: [Option<Oid>; 3],
) -> Result<Option<Oid>, Error> {
    if before == after {
        return Ok(base);
    }
    if before == base {
        return Ok(after);
    }
    let entries = |id: Option<Oid>| -> Result<Entries, Error> {
        let Some(id) = id else {
            return Ok(Entries::new());
        };
        let tree = repo.find_tree(id)?;
        let named = tree.iter().map(|e| (e.name_bytes().to_vec(), Node::of(&e)));
        Ok(named.collect())
    };
    let (base, before, after) = (entries(base)?, entries(before)?, entries(after)?);
    let names: BTreeSet<&Vec<u8>> = base
        .keys()
        .chain(before.keys())
        .chain(after.keys())
        .collect();
    let mut left = Entries::new();
    for name in names {
        let [old, was, is] = [&base, &before, &after].map(|all| all.get(name).copied());
        let same = match (was, is) {
            (Some(was), Some(is)) => was.same(is),
            (was, is) => was.is_none() && is.is_none(),
        };
        let folder = |node: Option<Node>| node.filter(|n| n.kind() == Kind::Tree);
        let node = match (folder(was), folder(is)) {
            _ if same => old,
            (Some(was), Some(is)) => {
                let trees = [folder(old).map(|n| n.oid), Some(was.oid), Some(is.oid)];
                taken_out(repo, odb, trees)?.map(|oid| Node { mode: is.mode, oid })
            }
            _ => is,
        };
        if let Some(node) = node {
            left.insert(name.clone(), node);
        }
    }
    write_tree(odb, &left)
}

/// Writes a folder; `None` when it holds nothing.
pub(super) fn write_tree(odb: &Odb<'_>, entries: &Entries) -> Result<Option<Oid>, Error> {
    if entries.is_empty() {
        return Ok(None);
    }
    // Git sorts a folder as if its name ended with a slash.
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_cached_key(|(name, node)| {
        let mut key = (*name).clone();
        if node.kind() == Kind::Tree {
            key.push(b'/');
        }
        key
    });
    let mut bytes = Vec::new();
    for (name, node) in sorted {
        bytes.extend_from_slice(format!("{:o} ", node.mode).as_bytes());
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(node.oid.as_bytes());
    }
    put(odb, ObjectType::Tree, &bytes).map(Some)
}
