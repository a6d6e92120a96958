//! Objects: taken over from the user's repository, and written.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository};

use super::delta::{Pair, pairs};
use super::{Error, Kind, disk};
use crate::domain::gates::EntryKind;

/// Chains of `alternates` deeper than git follows are not followed.
const ALTERNATES_DEPTH: u32 = 5;
/// A gc that runs meanwhile moves files; the pass starts again this often.
const LINK_PASSES: u32 = 5;

/// Brings every object of the git folder `from` (and its alternates) into the folder `to`.
pub(super) fn take_over(from: &Path, to: &Path) -> Result<(), Error> {
    let mut folders = Vec::new();
    object_folders(&from.join("objects"), ALTERNATES_DEPTH, &mut folders);
    let mut last = None;
    for _ in 0..LINK_PASSES {
        match folders
            .iter()
            .try_for_each(|folder| link_folder(folder, to))
        {
            Err((_, e)) if e.kind() == io::ErrorKind::NotFound => last = Some(e),
            Err((path, e)) => return Err(disk("take over", &path)(e)),
            Ok(()) => return Ok(()),
        }
    }
    let e = last.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    Err(disk("take over the objects of", from)(e))
}

/// Brings every object of the objects folder `from`, and none of its alternates, into the objects folder `to`.
pub(super) fn take_in(from: &Path, to: &Path) -> Result<(), Error> {
    link_folder(from, to).map_err(|(path, e)| disk("take in", &path)(e))
}

/// Writes an object unless it is here. Never touches the time of a pack that has it:
/// that pack may be the user's own file, linked.
pub(super) fn put(odb: &git2::Odb<'_>, kind: ObjectType, bytes: &[u8]) -> Result<Oid, Error> {
    let id = Oid::hash_object(kind, bytes)?;
    if !has(odb, id) {
        odb.write(kind, bytes)?;
    }
    Ok(id)
}

pub(super) fn has(odb: &git2::Odb<'_>, id: Oid) -> bool {
    odb.exists_ext(id, git2::OdbLookupFlags::NO_REFRESH)
}

/// The objects that the tree `new` has and `old` has not at the same place.
pub(super) fn added(
    repo: &Repository,
    old: Option<Oid>,
    new: Oid,
    found: &mut Vec<Oid>,
) -> Result<(), Error> {
    if old == Some(new) {
        return Ok(());
    }
    found.push(new);
    for Pair { old, new, .. } in pairs(repo, old, Some(new))? {
        match new.map(|n| (n.kind(), n.oid)) {
            Some((Kind::Tree, id)) => {
                let old = old.filter(|o| o.kind() == Kind::Tree).map(|o| o.oid);
                added(repo, old, id, found)?;
            }
            Some((Kind::Leaf(EntryKind::Gitlink), _)) | None => {}
            Some((Kind::Leaf(_), id)) => found.push(id),
        }
    }
    Ok(())
}

/// Above this many objects one barrier for the whole file system costs less than one each.
const SYNC_EACH: usize = 256;

/// Brings loose objects to the disk. Packed ones, and those taken over, are there.
pub(super) fn sync(objects: &Path, list: &[Oid]) -> Result<(), Error> {
    if list.len() > SYNC_EACH {
        let folder = File::open(objects).map_err(disk("open", objects))?;
        return rustix::fs::syncfs(&folder).map_err(|e| disk("write", objects)(e.into()));
    }
    for id in list {
        let hex = id.to_string();
        let (fan, rest) = hex.split_at(2);
        let path = objects.join(fan).join(rest);
        match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other
                .and_then(|file| file.sync_all())
                .map_err(disk("write", &path))?,
        }
    }
    Ok(())
}

/// `objects` and what its `alternates` name, as git resolves them.
fn object_folders(objects: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    if found.iter().any(|f| f == objects) {
        return;
    }
    found.push(objects.to_owned());
    if depth == 0 {
        return;
    }
    let list = fs::read(objects.join("info/alternates")).unwrap_or_default();
    for line in list.split(|b| *b == b'\n') {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let path = Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(line));
        object_folders(&objects.join(path), depth - 1, found);
    }
}

type At = (PathBuf, io::Error);

/// Links what `to` lacks. Loose objects first: a gc that runs meanwhile moves them into packs,
/// which are looked at after.
fn link_folder(from: &Path, to: &Path) -> Result<(), At> {
    for fan in 0..=255_u8 {
        let name = format!("{fan:02x}");
        let (source, target) = (from.join(&name), to.join(&name));
        let theirs = names_in(&source).map_err(|e| (source.clone(), e))?;
        if theirs.is_empty() {
            continue;
        }
        fs::create_dir_all(&target).map_err(|e| (target.clone(), e))?;
        let ours = names_in(&target).map_err(|e| (target.clone(), e))?;
        for object in theirs.difference(&ours) {
            let hex = object.as_encoded_bytes();
            if hex.len() == 38 && hex.iter().all(u8::is_ascii_hexdigit) {
                link(&source.join(object), &target.join(object))?;
            }
        }
    }
    let (source, target) = (from.join("pack"), to.join("pack"));
    let theirs = names_in(&source).map_err(|e| (source.clone(), e))?;
    let ours = names_in(&target).map_err(|e| (target.clone(), e))?;
    for index in theirs.difference(&ours) {
        let index = Path::new(index);
        let pack = index.with_extension("pack");
        if index.extension().is_some_and(|e| e == "idx") && theirs.contains(pack.as_os_str()) {
            // The index last: it makes the pack visible.
            link(&source.join(&pack), &target.join(&pack))?;
            link(&source.join(index), &target.join(index))?;
        }
    }
    Ok(())
}

fn names_in(dir: &Path) -> io::Result<HashSet<OsString>> {
    match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(HashSet::new()),
        other => other?.map(|entry| Ok(entry?.file_name())).collect(),
    }
}

fn link(from: &Path, to: &Path) -> Result<(), At> {
    let at = |e| (from.to_owned(), e);
    let is_link = fs::symlink_metadata(from).map_err(at)?.is_symlink();
    if !is_link {
        match fs::hard_link(from, to) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(at(e)),
            // Another file system, or not permitted to link another user's file.
            Err(_) => {}
        }
    }
    let folder = to.parent().unwrap_or(to);
    let new = tempfile::Builder::new()
        .prefix("tmp_obj_")
        .tempfile_in(folder)
        .map_err(at)?;
    fs::copy(from, new.path()).map_err(at)?;
    new.as_file().sync_all().map_err(at)?;
    new.persist(to).map(drop).map_err(|e| at(e.error))
}
