//! The repository file of a head: whether what it changes can still be read. It is read as data, by the parser that
//! reads the one that governs; nothing here follows it.

use std::sync::Arc;

use super::{Bench, RunError, blocking};
use crate::config::{self, Mistakes, PLACES};
use crate::domain::ident::{CommitId, RepoPath};
use crate::domain::task::{FileMistake, RepositoryFile};
use crate::domain::text::Redactor;
use crate::git::{self, Mirror};

/// Largest repository file that is read.
pub const REPOSITORY_FILE_CAP: u64 = 1 << 20;

/// Mistakes told one by one; the rest are counted.
const MISTAKES_MAX: usize = 20;

/// Longest text of a mistake, in characters.
const MESSAGE_MAX: usize = 300;

/// What `head` makes of the repository file of `base`; `None` where it leaves it as it is. What is told of its text
/// holds no secret that the bench knows.
///
/// # Errors
/// [`RunError`], where a commit is not in the mirror or the mirror cannot be read.
pub async fn repository_file(
    bench: &Bench,
    (base, head): (&CommitId, &CommitId),
) -> Result<Option<RepositoryFile>, RunError> {
    let (mirror, base, head) = (bench.mirror.clone(), base.clone(), head.clone());
    let redactor = Arc::clone(&bench.redactor);
    Ok(blocking(move || changed(&mirror, (&base, &head), &redactor)).await?)
}

fn changed(
    mirror: &Mirror,
    (base, head): (&CommitId, &CommitId),
    redactor: &Redactor,
) -> Result<Option<RepositoryFile>, git::Error> {
    let (before, after) = (governs(mirror, base)?, governs(mirror, head)?);
    if before == after {
        return Ok(None);
    }
    let Some((place, _)) = after else {
        return Ok(before.map(|(place, _)| RepositoryFile::Gone {
            path: place.to_owned(),
        }));
    };
    let path = place.to_owned();
    let bytes = match mirror.file_at(head, &RepoPath::from(place), REPOSITORY_FILE_CAP) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(git::Error::Limit { .. }) => {
            return Ok(Some(broken(path, config::too_large(place), redactor)));
        }
        Err(error) => return Err(error),
    };
    Ok(Some(match config::repository(place, bytes) {
        Ok(_) => RepositoryFile::Valid { path },
        Err(mistakes) => broken(path, mistakes, redactor),
    }))
}

/// Where the file of a commit is, and what it is.
fn governs(
    mirror: &Mirror,
    commit: &CommitId,
) -> Result<Option<(&'static str, String)>, git::Error> {
    for place in PLACES {
        if let Some(id) = mirror.id_at(commit, &RepoPath::from(place))? {
            return Ok(Some((place, id)));
        }
    }
    Ok(None)
}

fn broken(path: String, mistakes: Mistakes, redactor: &Redactor) -> RepositoryFile {
    let more = mistakes.more + mistakes.list.len().saturating_sub(MISTAKES_MAX);
    let told = mistakes.list.into_iter().take(MISTAKES_MAX);
    let told = told.map(|mistake| {
        let said = match mistake.hint.is_empty() {
            true => mistake.message,
            false => format!("{}: {}", mistake.message, mistake.hint),
        };
        FileMistake {
            code: mistake.code.as_str().to_owned(),
            line: mistake.line,
            col: mistake.col,
            message: redactor.redact(&said).chars().take(MESSAGE_MAX).collect(),
        }
    });
    RepositoryFile::Broken {
        path,
        mistakes: told.collect(),
        more,
    }
}
