//! What of the host's system every sandbox is shown.

use std::path::{Path, PathBuf};

use super::credentials;

/// Folders of the system that are shown read-only, or as the symbolic links that they are.
pub const SYSTEM: [&str; 7] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
];

/// What is shown of `/etc`: what programs need to start, to resolve nothing, to trust
/// certificates. A trailing `*` stands for any ending. No keys, no accounts, nothing local.
const ETC: [&str; 23] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
    "/etc/crypto-policies",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/mime.types",
    "/etc/protocols",
    "/etc/services",
    "/etc/perl",
    "/etc/java*",
    "/etc/maven*",
    "/etc/python3*",
    "/etc/.java",
];

/// What the host has of [`SYSTEM`] and [`ETC`].
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    pub(super) entries: Vec<(PathBuf, Entry)>,
    /// Files of credentials among them, and what covers each.
    pub(super) covered: Vec<(PathBuf, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Node,
    Link(PathBuf),
}

impl Host {
    /// Looks at the host.
    pub(super) fn look() -> Self {
        let mut entries = Vec::new();
        for name in SYSTEM.iter().chain(&ETC) {
            match name.strip_suffix('*') {
                None => entries.extend(Self::entry(Path::new(name))),
                Some(stem) => {
                    let stem = Path::new(stem).file_name().unwrap_or_default();
                    let Ok(listing) = std::fs::read_dir("/etc") else {
                        continue;
                    };
                    let mut found: Vec<_> = listing
                        .flatten()
                        .filter(|e| {
                            e.file_name()
                                .as_encoded_bytes()
                                .starts_with(stem.as_encoded_bytes())
                        })
                        .map(|e| e.path())
                        .collect();
                    found.sort();
                    entries.extend(found.iter().filter_map(|p| Self::entry(p)));
                }
            }
        }
        // Whoever installs tools for a whole machine does it in one of these places.
        let maven = entries
            .iter()
            .map(|(path, _)| (path.as_path(), 0))
            .filter(|(path, _)| {
                path.starts_with("/etc") && path.to_string_lossy().contains("maven")
            });
        let covered = [("/usr", 0), ("/usr/local", 1)]
            .map(|(top, depth)| (Path::new(top), depth))
            .into_iter()
            .chain(maven)
            .flat_map(|(top, depth)| {
                let found = credentials::below(top, depth);
                found
                    .into_iter()
                    .map(move |(file, harmless)| (top.join(file), harmless))
            })
            .collect();
        Self { entries, covered }
    }

    fn entry(path: &Path) -> Option<(PathBuf, Entry)> {
        let kind = path.symlink_metadata().ok()?.file_type();
        let entry = if kind.is_symlink() {
            Entry::Link(std::fs::read_link(path).ok()?)
        } else {
            Entry::Node
        };
        Some((path.to_path_buf(), entry))
    }
}
