//! Delta layers: what changed from one commit to another, as an overlayfs lower layer; and the
//! overlay's own marks, written and read.
//!
//! Deletions are character devices 0:0, the form that every overlay reads whatever its mount
//! options; Linux lets ordinary users make them since 5.8. A folder that hides what lies
//! below carries `user.overlay.opaque`, which the sandbox's `userxattr` mounts read. Where either is
//! refused, the caller writes the whole commit instead ([`Mirror::write_checkout`]).

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use git2::{Oid, Repository};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, XattrFlags};

use super::checkout::{Leaf, make_dir, write_leaves};
use super::mirror::TREE_DEPTH;
use super::{Error, Kind, Mirror, Node, disk, join, names, tree_of};
use crate::domain::gates::EntryKind;
use crate::domain::ident::{CommitId, RepoPath};

/// What a delta layer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Files and links, new or changed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Paths of the base that are hidden.
    pub whiteouts: u64,
}

impl Mirror {
    /// Writes into the empty folder `dir` the layer that, over a checkout of `base`, shows `head`.
    /// Costs as much as changed, whatever the size of the commits.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where whiteouts or opaque folders are refused; else as [`Mirror::checkout`].
    pub fn write_delta(
        &self,
        base: &CommitId,
        head: &CommitId,
        dir: &Path,
    ) -> Result<Delta, Error> {
        let repo = self.repo()?;
        let (base, head) = (tree_of(&repo, base)?.id(), tree_of(&repo, head)?.id());
        let mut layer = Layer {
            repo: &repo,
            dir,
            leaves: Vec::new(),
            whiteouts: 0,
        };
        layer.tree(b"", Some(base), head, 0)?;
        let bytes = write_leaves(&self.git_dir(), dir, &layer.leaves, None)?;
        Ok(Delta {
            files: layer.leaves.len() as u64,
            bytes,
            whiteouts: layer.whiteouts,
        })
    }
}

/// One name that differs between two trees.
pub(super) struct Pair {
    pub(super) name: Vec<u8>,
    pub(super) old: Option<Node>,
    pub(super) new: Option<Node>,
}

/// The names that differ, old ones first, then added ones.
pub(super) fn pairs(
    repo: &Repository,
    old: Option<Oid>,
    new: Option<Oid>,
) -> Result<Vec<Pair>, Error> {
    let find = |id: Option<Oid>| id.map(|id| repo.find_tree(id)).transpose();
    let (old, new) = (find(old)?, find(new)?);
    let at = |tree: Option<&git2::Tree<'_>>, name: &[u8]| {
        tree.and_then(|t| t.get_name_bytes(name))
            .map(|e| Node::of(&e))
    };
    let mut found = Vec::new();
    for entry in old.iter().flatten() {
        let (name, before) = (entry.name_bytes(), Node::of(&entry));
        let after = at(new.as_ref(), name);
        if after.is_none_or(|after| !after.same(before)) {
            found.push(Pair {
                name: name.to_vec(),
                old: Some(before),
                new: after,
            });
        }
    }
    for entry in new.iter().flatten() {
        let name = entry.name_bytes();
        if at(old.as_ref(), name).is_none() {
            found.push(Pair {
                name: name.to_vec(),
                old: None,
                new: Some(Node::of(&entry)),
            });
        }
    }
    Ok(found)
}

struct Layer<'a> {
    repo: &'a Repository,
    dir: &'a Path,
    leaves: Vec<Leaf>,
    whiteouts: u64,
}

impl Layer<'_> {
    fn tree(
        &mut self,
        parent: &[u8],
        base: Option<Oid>,
        head: Oid,
        depth: usize,
    ) -> Result<(), Error> {
        for Pair { name, old, new } in pairs(self.repo, base, Some(head))? {
            let path = join(parent, &name);
            let hostile = |why| Error::Hostile {
                path: RepoPath::new(path.clone()),
                why,
            };
            if let Some(why) = names::problem(&name) {
                return Err(hostile(why));
            }
            let at = self.dir.join(OsStr::from_bytes(&path));
            let old_tree = old.filter(|o| o.kind() == Kind::Tree).map(|o| o.oid);
            let Some(new) = new else {
                whiteout(&at)?;
                self.whiteouts += 1;
                continue;
            };
            match new.kind() {
                Kind::Tree => {
                    if depth >= TREE_DEPTH {
                        return Err(hostile("folders nested too deeply"));
                    }
                    make_dir(&at, &path)?;
                    self.tree(&path, old_tree, new.oid, depth + 1)?;
                }
                // A submodule is an empty folder: it must not show the files it replaced.
                Kind::Leaf(EntryKind::Gitlink) => {
                    if old.is_some_and(|o| o.kind() == Kind::Leaf(EntryKind::Gitlink)) {
                        continue;
                    }
                    make_dir(&at, &path)?;
                    if old_tree.is_some() {
                        hide_below(&at)?;
                        self.whiteouts += 1;
                    }
                }
                Kind::Leaf(kind) => self.leaves.push(Leaf {
                    path,
                    kind,
                    oid: new.oid,
                }),
            }
        }
        Ok(())
    }
}

fn whiteout(at: &Path) -> Result<(), Error> {
    rustix::fs::mknodat(CWD, at, FileType::CharacterDevice, Mode::empty(), 0).map_err(|e| match e {
        rustix::io::Errno::PERM | rustix::io::Errno::OPNOTSUPP => Error::Unsupported(format!(
            "cannot make an overlay whiteout in {}: {e}",
            at.display()
        )),
        e => disk("write", at)(e.into()),
    })
}

fn hide_below(at: &Path) -> Result<(), Error> {
    let folder = File::open(at).map_err(disk("open", at))?;
    rustix::fs::fsetxattr(&folder, "user.overlay.opaque", b"y", XattrFlags::empty()).map_err(|e| {
        match e {
            rustix::io::Errno::PERM | rustix::io::Errno::OPNOTSUPP => Error::Unsupported(format!(
                "cannot set overlay attributes in {}: {e}",
                at.display()
            )),
            e => disk("write", at)(e.into()),
        }
    })
}

/// Whether this is a deletion.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The other form of a deletion: an empty file with an attribute, in a folder marked `x`.
pub(super) fn is_marked_whiteout(dir: &OwnedFd, name: &[u8], stat: &Stat) -> bool {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_size != 0 {
        return false;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
        .is_ok_and(|file| attribute(&file, "whiteout").is_some())
}

/// The first byte of a folder's opaque mark.
pub(super) fn opaque(dir: &OwnedFd) -> Option<u8> {
    attribute(dir, "opaque")
}

fn attribute(file: &OwnedFd, name: &str) -> Option<u8> {
    let mut value = [0_u8; 8];
    let spaces = ["user", "trusted"];
    spaces.iter().find_map(|space| {
        let length =
            rustix::fs::fgetxattr(file, format!("{space}.overlay.{name}"), &mut value[..]).ok()?;
        // An empty value is a mark as well.
        Some(if length == 0 { 0 } else { value[0] })
    })
}
