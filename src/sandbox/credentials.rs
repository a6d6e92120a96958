//! Credential files that lie inside folders which have to be shown: tool chains keep the settings of
//! their own, and people write tokens into them (`npm config -g`, a virtualenv's `pip.conf`, a
//! Maven's `conf/settings.xml`). They are covered by something harmless, not left out, since programs
//! that know of the file want to find it.

use std::path::{Path, PathBuf};

/// Where such a file lies below the folder of one tool, as path and content that covers it.
const FILES: [(&str, &str); 9] = [
    ("pip.conf", ""),
    ("etc/pip.conf", ""),
    ("etc/npmrc", ""),
    ("lib/node_modules/npm/npmrc", ""),
    ("conf/settings.xml", "<settings/>\n"),
    ("settings.xml", "<settings/>\n"),
    ("settings-security.xml", "<settingsSecurity/>\n"),
    ("gradle.properties", ""),
    (".npmrc", ""),
];

/// How many folders deep below a mount a tool may lie: `<manager>/<tool>/<version>`.
pub(super) const DEPTH: u32 = 3;

/// Most folders that are looked into. What has more is no folder of tools.
const MAX_FOLDERS: usize = 4096;

/// The credential files of tools that lie at most `depth` folders below one, relative to it, and what
/// covers each. No symbolic link is followed out of it: what lies outside is not shown either.
pub(super) fn below(root: &Path, depth: u32) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let Ok(root) = root.canonicalize() else {
        return found;
    };
    let mut todo = vec![(root.clone(), 0)];
    let mut next = 0;
    while let Some((folder, down)) = todo.get(next).cloned() {
        next += 1;
        for (name, harmless) in FILES {
            let path = folder.join(name);
            // Nearly always there is none, which one question answers.
            if path.symlink_metadata().is_err() {
                continue;
            }
            // Where it really is, so that covering it goes through no link.
            let Ok(real) = path.canonicalize() else {
                continue;
            };
            if let Ok(relative) = real.strip_prefix(&root)
                && real.is_file()
                && !found.iter().any(|(known, _)| known == relative)
            {
                found.push((relative.to_owned(), harmless.as_bytes().to_vec()));
            }
        }
        if down == depth {
            continue;
        }
        let inner = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = inner.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
        let room = MAX_FOLDERS.saturating_sub(todo.len());
        todo.extend(folders.take(room).map(|e| (e.path(), down + 1)));
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_tools_are_found_where_tools_keep_them_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for file in [
            "outside/npmrc",
            "tools/node/v20/etc/npmrc",
            "tools/maven/3.9/conf/settings.xml",
            "tools/pip.conf",
            "tools/a/b/c/d/pip.conf",
            "tools/node/v20/lib/index.js",
        ] {
            std::fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            std::fs::write(at(file), "secret").unwrap();
        }
        std::fs::create_dir_all(at("tools/node/v18/etc")).unwrap();
        let link = std::os::unix::fs::symlink;
        link(at("outside/npmrc"), at("tools/node/v18/etc/npmrc")).unwrap();
        link("v20".into(), at("tools/node/current")).unwrap();
        let found = below(&at("tools"), DEPTH);
        let found: Vec<_> = found
            .iter()
            .map(|(path, _)| path.display().to_string())
            .collect();
        assert_eq!(
            found,
            [
                "maven/3.9/conf/settings.xml",
                "node/v20/etc/npmrc",
                "pip.conf"
            ]
        );
    }
}
