//! Which of several installed versions the user, or the repository, has chosen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Installed versions by the first of: environment, repository, user; a prefix names the
/// newest that begins with it.
pub(super) fn pyenv_versions(
    env: &BTreeMap<String, String>,
    repository: &Path,
    root: &Path,
) -> Vec<String> {
    let read = |path: PathBuf| std::fs::read_to_string(path).ok();
    let wanted = env
        .get("PYENV_VERSION")
        .map(|v| v.replace(':', "\n"))
        .or_else(|| read(repository.join(".python-version")))
        .or_else(|| read(root.join("version")))
        .unwrap_or_default();
    let mut installed: Vec<String> = std::fs::read_dir(root.join("versions"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let number =
        |v: &String| -> Vec<u32> { v.split('.').map(|n| n.parse().unwrap_or(0)).collect() };
    installed.sort_by_key(number);
    wanted
        .split_whitespace()
        .filter_map(|wanted| {
            let prefix = format!("{wanted}.");
            installed
                .iter()
                .find(|v| *v == wanted)
                .or_else(|| installed.iter().rfind(|v| v.starts_with(&prefix)))
                .cloned()
        })
        .collect()
}

/// The tool chain that rustup's settings name for this folder: the override of the nearest folder
/// above it, else the default.
pub(super) fn rustup_choice(settings: &str, repository: &Path) -> Option<String> {
    let unquote = |text: &str| Some(text.trim().strip_prefix('"')?.strip_suffix('"')?.to_owned());
    let pairs = || {
        settings.lines().filter_map(|line| {
            let (key, value) = line.split_once(" = ")?;
            Some((key.trim(), unquote(value)?))
        })
    };
    pairs()
        .filter_map(|(key, value)| Some((PathBuf::from(unquote(key)?), value)))
        .filter(|(folder, _)| repository.starts_with(folder))
        .max_by_key(|(folder, _)| folder.components().count())
        .map(|(_, value)| value)
        .or_else(|| {
            pairs()
                .find(|(key, _)| *key == "default_toolchain")
                .map(|(_, value)| value)
        })
}
