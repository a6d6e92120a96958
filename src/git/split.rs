//! What a result changes at and below some folders, taken out of it.

use git2::{Odb, Oid, Repository};

use super::diff::differing;
use super::diff::patch_of;
use super::objects::put;
use super::snapshot::{Entries, write_tree};
use super::{Error, Kind, Mirror, Node, Patch, tree_of};
use crate::domain::ident::{CommitId, RepoPath};

/// A result and what was taken out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The tree that is left, as 40 hexadecimal digits: at and below the folders it is as the parent has it.
    pub tree: String,
    /// What differs in the part that was taken out, sorted.
    pub files: Vec<RepoPath>,
    /// That part, as a patch over `tree`.
    pub patch: Patch,
    /// Whether the parent has the folders as the base has them.
    pub parent_is_base: bool,
}

impl Mirror {
    /// Takes out of `tree`, the result of work on `base` that shall follow `parent`, what it changes at and below
    /// `folders`. Where it has what the base has, nothing was changed, whatever the parent has there since.
    ///
    /// A link or a file that stands in the place of a folder above one of them hides it: then all that the parent has
    /// in that place stays.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a commit is not here; [`Error::Disk`], [`Error::Internal`].
    pub fn split_off(
        &self,
        (parent, base): (&CommitId, &CommitId),
        tree: &str,
        folders: &[&str],
        cap: usize,
    ) -> Result<Split, Error> {
        let repo = self.repo()?;
        let odb = repo.odb()?;
        let (parent, base) = (tree_of(&repo, parent)?.id(), tree_of(&repo, base)?.id());
        let mut with = Oid::from_str(tree)?;
        let mut changed = Vec::new();
        let mut parent_is_base = true;
        for folder in folders {
            let parts: Vec<&[u8]> = folder.split('/').map(str::as_bytes).collect();
            let at = |tree| node_at(&repo, tree, &parts);
            let (now, was, before) = (at(with)?, at(parent)?, at(base)?);
            parent_is_base &= same(was, before);
            if same(now, was) {
            } else if same(now, before) {
                with = replaced(&repo, &odb, with, parent, &parts)?;
            } else {
                changed.push(parts);
            }
        }
        let mut left = with;
        for parts in &changed {
            left = replaced(&repo, &odb, left, parent, parts)?;
        }
        let mut leaves = Vec::new();
        differing(&repo, b"", Some(left), Some(with), 0, &mut leaves)?;
        let mut files: Vec<RepoPath> = leaves.into_iter().map(|l| RepoPath::new(l.0)).collect();
        files.sort();
        let (old, new) = (repo.find_tree(left)?, repo.find_tree(with)?);
        Ok(Split {
            tree: left.to_string(),
            files,
            patch: patch_of(&repo, &old, &new, cap)?,
            parent_is_base,
        })
    }
}

fn same(one: Option<Node>, other: Option<Node>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.same(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// What stands at a path; `None` where there is nothing, or no folder on the way.
fn node_at(repo: &Repository, root: Oid, parts: &[&[u8]]) -> Result<Option<Node>, Error> {
    let mut tree = repo.find_tree(root)?;
    let Some((last, above)) = parts.split_last() else {
        return Ok(None);
    };
    for part in above {
        match tree.get_name_bytes(part).map(|entry| Node::of(&entry)) {
            Some(node) if node.kind() == Kind::Tree => tree = repo.find_tree(node.oid)?,
            _ => return Ok(None),
        }
    }
    Ok(tree.get_name_bytes(last).map(|entry| Node::of(&entry)))
}

/// `root` with what `from` has at a path.
fn replaced(
    repo: &Repository,
    odb: &Odb<'_>,
    root: Oid,
    from: Oid,
    parts: &[&[u8]],
) -> Result<Oid, Error> {
    match put_back(repo, odb, (Some(root), Some(from)), parts)? {
        Some(tree) => Ok(tree),
        None => put(odb, git2::ObjectType::Tree, b""),
    }
}

fn put_back(
    repo: &Repository,
    odb: &Odb<'_>,
    (now, was): (Option<Oid>, Option<Oid>),
    parts: &[&[u8]],
) -> Result<Option<Oid>, Error> {
    let Some((part, below)) = parts.split_first() else {
        return Ok(now);
    };
    let mut entries = entries(repo, now)?;
    let (mine, theirs) = (
        entries.get(*part).copied(),
        self::entries(repo, was)?.get(*part).copied(),
    );
    let folder = |node: Option<Node>| node.filter(|n| n.kind() == Kind::Tree).map(|n| n.oid);
    let hidden = |node: Node| -> Result<bool, Error> {
        Ok(node.kind() == Kind::Tree && node_at(repo, node.oid, below)?.is_some())
    };
    let stands = match (mine, theirs) {
        (_, theirs) if below.is_empty() => theirs,
        (Some(leaf), theirs) if leaf.kind() != Kind::Tree => match theirs {
            Some(theirs) if hidden(theirs)? => Some(theirs),
            _ => Some(leaf),
        },
        (mine, theirs) => {
            let tree = put_back(repo, odb, (folder(mine), folder(theirs)), below)?;
            tree.map(|oid| Node {
                mode: 0o040_000,
                oid,
            })
        }
    };
    match stands {
        Some(node) => entries.insert(part.to_vec(), node),
        None => entries.remove(*part),
    };
    write_tree(odb, &entries)
}

fn entries(repo: &Repository, tree: Option<Oid>) -> Result<Entries, Error> {
    let Some(id) = tree else {
        return Ok(Entries::new());
    };
    let tree = repo.find_tree(id)?;
    let named = tree.iter().map(|e| (e.name_bytes().to_vec(), Node::of(&e)));
    Ok(named.collect())
}
