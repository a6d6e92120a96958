//! What changed between two commits: for the gates as data, for people as a patch.
//!
//! Renames are not looked for: the gates judge both paths. No attribute or
//! configuration file has a say in what is binary.

use git2::{DiffFormat, DiffOptions, Odb, Oid, Repository, Tree};

use super::delta::{Pair, pairs};
use super::mirror::TREE_DEPTH;
use super::{Error, Kind, Mirror, Node, join, tree_of};
use crate::domain::gates::{CONTENT_CAP, Change, Entry, EntryKind};
use crate::domain::ident::{CommitId, RepoPath};

/// A patch that `git apply` takes, binary files included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The bytes; whole files only.
    pub bytes: Vec<u8>,
    /// Whether files are missing at the end because of the cap.
    pub capped: bool,
}

/// Content above this is not compared line by line and counts as binary.
const LINES_CAP: u64 = 16 << 20;
/// As git: content with a NUL in its first bytes is binary.
const BINARY_PROBE: usize = 8000;

impl Mirror {
    /// Every path that differs, sorted by path, with content up to [`CONTENT_CAP`].
    ///
    /// # Errors
    /// [`Error::NotFound`] when a commit is not here.
    pub fn diff(&self, base: &CommitId, head: &CommitId) -> Result<Vec<Change>, Error> {
        let repo = self.repo()?;
        let (old, new) = (tree_of(&repo, base)?.id(), tree_of(&repo, head)?.id());
        let mut leaves = Vec::new();
        differing(&repo, b"", Some(old), Some(new), 0, &mut leaves)?;
        let odb = repo.odb()?;
        let changes = leaves
            .into_iter()
            .map(|(path, old, new)| change(&odb, path, old, new));
        let mut changes = changes.collect::<Result<Vec<_>, _>>()?;
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }

    /// The same as a patch of at most `cap` bytes: files are left out from the first that does not fit.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a commit is not here.
    pub fn patch(&self, base: &CommitId, head: &CommitId, cap: usize) -> Result<Patch, Error> {
        let repo = self.repo()?;
        let (old, new) = (tree_of(&repo, base)?, tree_of(&repo, head)?);
        patch_of(&repo, &old, &new, cap)
    }
}

/// What makes one tree the other, as a patch of at most `cap` bytes.
pub(super) fn patch_of(
    repo: &Repository,
    old: &Tree<'_>,
    new: &Tree<'_>,
    cap: usize,
) -> Result<Patch, Error> {
    let mut options = DiffOptions::new();
    options.show_binary(true).id_abbrev(40);
    let diff = repo.diff_tree_to_tree(Some(old), Some(new), Some(&mut options))?;
    let mut patch = Patch {
        bytes: Vec::new(),
        capped: false,
    };
    // The end of the last whole file.
    let mut whole = 0;
    let printed = diff.print(DiffFormat::Patch, |_, _, line| {
        if line.origin_value() == git2::DiffLineType::FileHeader {
            whole = patch.bytes.len();
        }
        if matches!(line.origin(), '+' | '-' | ' ') {
            patch
                .bytes
                .push(u8::try_from(line.origin()).unwrap_or(b' '));
        }
        patch.bytes.extend_from_slice(line.content());
        patch.capped = patch.bytes.len() > cap;
        !patch.capped
    });
    if patch.capped {
        patch.bytes.truncate(whole);
    } else {
        printed?;
    }
    Ok(patch)
}

pub(super) type Leaf = (Vec<u8>, Option<Node>, Option<Node>);

/// Files, links and gitlinks that differ below two trees; a folder that became a file gives both.
pub(super) fn differing(
    repo: &Repository,
    parent: &[u8],
    old: Option<Oid>,
    new: Option<Oid>,
    depth: usize,
    found: &mut Vec<Leaf>,
) -> Result<(), Error> {
    if depth > TREE_DEPTH {
        return Err(Error::Hostile {
            path: RepoPath::new(parent),
            why: "folders nested too deeply",
        });
    }
    for Pair { name, old, new } in pairs(repo, old, new)? {
        let path = join(parent, &name);
        let tree = |node: Option<Node>| node.filter(|n| n.kind() == Kind::Tree).map(|n| n.oid);
        let leaf = |node: Option<Node>| node.filter(|n| n.kind() != Kind::Tree);
        if tree(old).is_some() || tree(new).is_some() {
            differing(repo, &path, tree(old), tree(new), depth + 1, found)?;
        }
        if leaf(old).is_some() || leaf(new).is_some() {
            found.push((path, leaf(old), leaf(new)));
        }
    }
    Ok(())
}

fn change(
    odb: &Odb<'_>,
    path: Vec<u8>,
    old: Option<Node>,
    new: Option<Node>,
) -> Result<Change, Error> {
    let (old, new) = (side(odb, old)?, side(odb, new)?);
    let sides = [old.as_ref(), new.as_ref()];
    let binary = sides.into_iter().flatten().any(Side::is_binary);
    let (mut added, mut removed) = (0, 0);
    if !binary {
        let [before, after] = sides.map(|side| side.map_or(&[][..], |s| &s.bytes));
        let mut options = DiffOptions::new();
        options.force_text(true).context_lines(0);
        let patch = git2::Patch::from_buffers(before, None, after, None, Some(&mut options))?;
        let (_, plus, minus) = patch.line_stats()?;
        added = u32::try_from(plus).unwrap_or(u32::MAX);
        removed = u32::try_from(minus).unwrap_or(u32::MAX);
    }
    let entry = |side: Option<Side>| side.map(Side::into_entry);
    Ok(Change {
        path: RepoPath::new(path),
        old: entry(old),
        new: entry(new),
        added,
        removed,
        binary,
    })
}

/// An entry with as much content as the line count needs.
struct Side {
    entry: Entry,
    bytes: Vec<u8>,
}

impl Side {
    fn is_binary(&self) -> bool {
        self.entry.size > LINES_CAP || self.bytes.iter().take(BINARY_PROBE).any(|b| *b == 0)
    }

    fn into_entry(self) -> Entry {
        let mut entry = self.entry;
        let kept = entry.kind != EntryKind::Gitlink && entry.size <= CONTENT_CAP;
        entry.content = kept.then_some(self.bytes);
        entry
    }
}

fn side(odb: &Odb<'_>, node: Option<Node>) -> Result<Option<Side>, Error> {
    let Some((Kind::Leaf(kind), oid)) = node.map(|n| (n.kind(), n.oid)) else {
        return Ok(None);
    };
    let mut side = Side {
        entry: Entry {
            kind,
            size: 0,
            content: None,
        },
        bytes: Vec::new(),
    };
    if kind != EntryKind::Gitlink {
        side.entry.size = odb.read_header(oid)?.0 as u64;
        if side.entry.size <= LINES_CAP {
            side.bytes = odb.read(oid)?.data().to_vec();
        }
    }
    Ok(Some(side))
}
