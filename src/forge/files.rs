//! Files of a task on disk: written so that a kill at any moment leaves the old text or the new one.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::{Durable, Error};
use crate::domain::ident::{Digest, TaskId};

/// Most bytes of an issue file; the brief's own limit in characters is lower.
pub const ISSUE_MAX_BYTES: u64 = 4 << 20;

/// Reads an issue from a file. [`Error::Gone`] where there is none; [`Error::Invalid`] where it is no
/// regular file, above [`ISSUE_MAX_BYTES`] or not UTF-8.
pub fn read_issue(path: &Path) -> Result<String, Error> {
    let invalid = |why: String| Error::Invalid {
        what: format!("the issue `{}`", path.display()),
        why,
    };
    // Asked first, since opening a FIFO would wait for its writer.
    let meta = fs::metadata(path).map_err(|error| io_error(path, &error))?;
    if !meta.is_file() {
        return Err(invalid(
            "it is not a regular file; give a file, or `-` and the text on standard input".into(),
        ));
    }
    let bytes = read_capped(path, ISSUE_MAX_BYTES)?.ok_or_else(|| {
        invalid(format!(
            "it is larger than {ISSUE_MAX_BYTES} bytes; shorten it"
        ))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        invalid(format!("byte {at} is not UTF-8; save it as UTF-8"))
    })
}

/// Keeps the text of a task's issue where [`Forge::issue`] of the local forge finds it.
pub fn keep_issue(
    out_root: &Path,
    task: TaskId,
    text: &str,
    durable: Option<&dyn Durable>,
) -> Result<(), Error> {
    write(out_root, &format!("{task}/issue.md"), text, durable)
}

/// A word that is safe as part of a file name. What had to be changed gets a digest, so that two
/// words never become one.
pub(super) fn file_word(word: &str) -> String {
    let quiet: String = word
        .chars()
        .map(|c| match c {
            'a'..='z' | '0'..='9' | '-' => c,
            _ => '-',
        })
        .take(60)
        .collect();
    if quiet == word && !quiet.is_empty() {
        quiet
    } else {
        let digest = Digest::of(word.as_bytes());
        format!("{quiet}-{}", digest.short())
    }
}

/// Writes `root/name` so that a kill at any moment leaves the old text or the new one.
pub(super) fn write(
    root: &Path,
    name: &str,
    text: &str,
    durable: Option<&dyn Durable>,
) -> Result<(), Error> {
    let path = root.join(name);
    let folder = path.parent().unwrap_or(root);
    let fail = |error: &io::Error| Error::Unavailable {
        what: format!("`{}`", path.display()),
        why: error.to_string(),
    };
    // Unchanged text costs no sync.
    if let Ok(Some(old)) = read_capped(&path, text.len() as u64)
        && old == text.as_bytes()
    {
        return Ok(());
    }
    make_folder(folder).map_err(|error| fail(&error))?;
    let temporary = beside(&path);
    let put = || -> io::Result<()> {
        match fs::remove_file(&temporary) {
            Err(error) if !is_absent(&error) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Only a new file: a link that somebody put there is not followed.
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    put().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        fail(&error)
    })?;
    let step = |when: &str| {
        if let Some(durable) = durable {
            durable.step(&format!("{when} rename {name}"));
        }
    };
    step("before");
    fs::rename(&temporary, &path)
        .and_then(|()| sync_folder(folder))
        .map_err(|error| fail(&error))?;
    step("after");
    Ok(())
}

/// The temporary name of `path`: one per file, so that a killed write leaves at most one.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    path.with_file_name(name)
}

/// Makes `folder` and what is missing above it, each durable in its parent.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent()
        && !parent.as_os_str().is_empty()
    {
        make_folder(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
            _ => Ok(()),
        },
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The bytes of a file, `None` where there are more than `max`.
pub(super) fn read_capped(path: &Path, max: u64) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| io_error(path, &error))?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

pub(super) fn io_error(path: &Path, error: &io::Error) -> Error {
    let what = format!("`{}`", path.display());
    if is_absent(error) {
        Error::Gone { what }
    } else {
        Error::Unavailable {
            what,
            why: error.to_string(),
        }
    }
}
