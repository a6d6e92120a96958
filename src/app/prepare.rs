//! What governs work on a commit: its repository file, the command line, else a guess; under the server's ceilings.

use super::AppError;
use crate::config::{self, Origins, Server};
use crate::domain::ident::{CommitId, RepoPath};
use crate::domain::settings::Settings;
use crate::git::{self, Mirror};
use crate::run::REPOSITORY_FILE_CAP;

/// Largest file read to recognise a build system.
const GUESS_CAP: u64 = 1 << 20;

/// What governs work on one commit.
pub struct Prepared {
    /// Resolved, clamped, with checks from somewhere or from nowhere.
    pub settings: Settings,
    /// Where each value came from.
    pub origins: Origins,
    /// What a person should know about it.
    pub told: Vec<String>,
    /// All paths of the commit.
    pub files: Vec<RepoPath>,
}

/// Reads what governs work on a commit that is in the mirror. `verify`: checks of the command line.
///
/// # Errors
/// [`AppError::Config`] with every mistake of the file.
pub(super) fn governing(
    mirror: &Mirror,
    commit: &CommitId,
    verify: &[String],
    (server, server_origins): (&Server, &Origins),
) -> Result<Prepared, AppError> {
    let files = mirror.list_files(commit)?;
    let here = |path: &str| files.binary_search(&RepoPath::from(path)).is_ok();
    let (place, mut told) = config::place(here);
    let (mut settings, mut origins) = match place {
        None => (Settings::default(), Origins::default()),
        Some(place) => {
            let read = match mirror.file_at(commit, &RepoPath::from(place), REPOSITORY_FILE_CAP) {
                Ok(bytes) => config::repository(place, bytes.unwrap_or_default()),
                // As broken as one that is read: nothing that is worked on waits for it to be mended.
                Err(git::Error::Limit { .. }) => Err(config::too_large(place)),
                Err(error) => return Err(error.into()),
            };
            read.map_err(|mistakes| AppError::Config(Box::new(mistakes)))?
        }
    };
    if !verify.is_empty() {
        config::replace_checks(&mut settings, &mut origins, verify);
        told.push("checks: those of the command line, in place of all others".to_owned());
    } else if settings.checks.is_empty() {
        let read = |path: &str| {
            let bytes = mirror
                .file_at(commit, &RepoPath::from(path), GUESS_CAP)
                .ok()??;
            String::from_utf8(bytes).ok()
        };
        if let Some(guess) = config::recognise(&files, read) {
            told.push(format!("checks: guessed from {}", guess.build_system));
            for command in &guess.setup {
                told.push(format!("  set-up  {command}"));
            }
            for check in &guess.checks {
                told.push(format!("  {}  {}", check.name, check.run));
            }
            config::adopt(&mut settings, &mut origins, guess);
        }
    }
    let clamps = config::clamp(&mut settings, &mut origins, server, server_origins);
    told.extend(clamps.iter().map(ToString::to_string));
    Ok(Prepared {
        settings,
        origins,
        told,
        files,
    })
}
