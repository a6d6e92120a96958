//! The agent's throw-away `.git`: one commit, no history, no other branch, no remote.
//!
//! Built once per commit beside its checkout, as a folder that holds only `.git`, so that it can be
//! one more overlay lower layer: constant time per task whatever the number of files. It is never
//! read back: what the agent commits in it is of no consequence.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use git2::{Index, IndexEntry, IndexTime, Repository};

use super::diff::differing;
use super::mirror::walk;
use super::objects::added;
use super::{Checkout, Error, Kind, Mirror, disk, tree_of};
use crate::domain::gates::EntryKind;
use crate::domain::ident::CommitId;

/// Size and whole seconds of the modification time decide whether a file changed: inode, owner
/// and change time differ between checkout, overlay, idmapped mount and copy.
const CONFIG: &str = "[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogAllRefUpdates = false
\ttrustctime = false
\tcheckStat = minimal
[user]
\tname = agent
\temail = agent@localhost
[gc]
\tauto = 0
[maintenance]
\tauto = false
[commit]
\tgpgSign = false
";

impl Mirror {
    /// The folder that holds only the `.git` of the checkout's commit, built when absent.
    /// It lives as long as the checkout.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where git is not installed; [`Error::Disk`].
    pub fn throwaway_git(&self, commit: &CommitId, checkout: &Checkout) -> Result<PathBuf, Error> {
        let layer = checkout.home().join("git");
        if layer.is_dir() {
            return Ok(layer);
        }
        let all = checkout.home();
        let new = tempfile::Builder::new().prefix("tmp-git-").tempdir_in(all);
        let new = new.map_err(disk("create a folder in", all))?;
        self.build(commit, checkout.path(), &new.path().join(".git"))?;
        fs::set_permissions(new.path(), fs::Permissions::from_mode(0o755))
            .map_err(disk("write", new.path()))?;
        match fs::rename(new.path(), &layer) {
            // Another process was first; ours goes away with `new`.
            Err(_) if layer.is_dir() => {}
            other => other.map_err(disk("rename into place", &layer))?,
        }
        Ok(layer)
    }

    /// Adds to the delta layer `delta` (of `head` over `base`) the part of a `.git` that, over the layer of
    /// [`Mirror::throwaway_git`] for `base`, makes it the throw-away repository of `head`: a check that asks git
    /// whether the tree is clean is told the truth. Costs as much as changed, but for a copy of the index.
    ///
    /// # Errors
    /// [`Error::Disk`], [`Error::NotFound`].
    pub fn add_head_git(
        &self,
        (base, head): (&CommitId, &CommitId),
        base_layer: &Path,
        delta: &Path,
    ) -> Result<(), Error> {
        let repo = self.repo()?;
        let (old, new) = (tree_of(&repo, base)?.id(), tree_of(&repo, head)?.id());
        let git = delta.join(".git");
        lay_out(&git, head).map_err(disk("create", &git))?;
        let mut objects = vec![super::oid(head)?];
        added(&repo, Some(old), new, &mut objects)?;
        let throwaway = Repository::open(&git)?;
        let (from, to) = (repo.odb()?, throwaway.odb()?);
        for id in objects {
            let object = from.read(id)?;
            to.write(object.kind(), object.data())?;
        }
        let (known, ours) = (base_layer.join(".git/index"), git.join("index"));
        fs::copy(&known, &ours).map_err(disk("copy", &known))?;
        let mut index = Index::open(&ours)?;
        let mut leaves = Vec::new();
        differing(&repo, b"", Some(old), Some(new), 0, &mut leaves)?;
        // First everything that goes: a file may have become a folder, or the other way round.
        for (path, ..) in leaves.iter().filter(|(_, old, _)| old.is_some()) {
            index.remove(bytes_path(path), 0)?;
        }
        for (path, _, new) in leaves {
            if let Some(node) = new {
                index.add(&index_entry(delta, &path, node)?)?;
            }
        }
        index.write()?;
        Ok(())
    }

    fn build(&self, commit: &CommitId, files: &Path, git: &Path) -> Result<(), Error> {
        let repo = self.repo()?;
        let tree = tree_of(&repo, commit)?;
        let mut objects = format!("{commit}\n{}\n", tree.id());
        let mut entries = Vec::new();
        walk(&repo, &tree, &mut |path, node| {
            if node.kind() != Kind::Leaf(EntryKind::Gitlink) {
                objects.push_str(&format!("{}\n", node.oid));
            }
            if node.kind() != Kind::Tree {
                entries.push(index_entry(files, path, node)?);
            }
            Ok(())
        })?;
        let laid_out = lay_out(git, commit);
        laid_out.map_err(disk("create", git))?;
        let prefix = git.join("objects/pack/pack");
        let prefix = prefix.to_str().ok_or_else(|| {
            Error::Unusable(format!(
                "the data folder {} is not UTF-8",
                self.dir().display()
            ))
        })?;
        // Deltas that the mirror has are used again, none are looked for.
        let args = [
            "pack-objects",
            "-q",
            "--window=0",
            "--compression=1",
            "--delta-base-offset",
            prefix,
        ];
        self.program()?.run(&args, objects.as_bytes())?;
        // Sorted as an index is: each is added at the end.
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let mut index = Index::open(&git.join("index"))?;
        for entry in &entries {
            index.add(entry)?;
        }
        index.write()?;
        Ok(())
    }
}

/// Copies the `.git` of [`Mirror::throwaway_git`] into a work tree that is a copy itself.
///
/// # Errors
/// [`Error::Disk`].
pub fn copy_git(layer: &Path, to: &Path) -> Result<(), Error> {
    copy(&layer.join(".git"), &to.join(".git"))
        .map_err(disk("copy the throw-away repository to", to))
}

fn bytes_path(path: &[u8]) -> &Path {
    Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn lay_out(git: &Path, commit: &CommitId) -> io::Result<()> {
    for folder in [
        "objects/pack",
        "objects/info",
        "refs/heads",
        "refs/tags",
        "info",
    ] {
        fs::create_dir_all(git.join(folder))?;
    }
    fs::write(git.join("config"), CONFIG)?;
    fs::write(git.join("HEAD"), "ref: refs/heads/main\n")?;
    fs::write(git.join("refs/heads/main"), format!("{commit}\n"))?;
    // The parents are not here, and git is told so.
    fs::write(git.join("shallow"), format!("{commit}\n"))
}

fn index_entry(files: &Path, path: &[u8], node: super::Node) -> Result<IndexEntry, Error> {
    let at = files.join(bytes_path(path));
    let stat = fs::symlink_metadata(&at).map_err(disk("read", &at))?;
    let (mode, size) = match node.kind() {
        Kind::Leaf(EntryKind::Symlink) => (0o120_000, stat.len()),
        Kind::Leaf(EntryKind::Gitlink) => (0o160_000, 0),
        Kind::Leaf(EntryKind::Executable) => (0o100_755, stat.len()),
        _ => (0o100_644, stat.len()),
    };
    let seconds = i32::try_from(stat.mtime()).unwrap_or(i32::MAX);
    Ok(IndexEntry {
        ctime: IndexTime::new(seconds, 0),
        mtime: IndexTime::new(seconds, 0),
        dev: 0,
        ino: 0,
        mode,
        uid: 0,
        gid: 0,
        // As git: the index holds the low 32 bits.
        file_size: (size & u64::from(u32::MAX)) as u32,
        id: node.oid,
        flags: 0,
        flags_extended: 0,
        path: path.to_vec(),
    })
}
