//! Reads the file of a credential, for [`config::credentials`](crate::config::credentials).

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::config::{CREDENTIAL_MAX_BYTES, CredentialFile, SecretBytes};

/// Reads a credential's file. Links are followed: those who hand out secrets use them.
///
/// # Errors
/// What the system says; that it is no regular file, which might never end.
pub fn read_credential(path: &Path) -> io::Result<CredentialFile> {
    // A pipe would be waited for, were it opened plainly.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblock)
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let most = u64::try_from(CREDENTIAL_MAX_BYTES).unwrap_or(u64::MAX);
    let mut content = Vec::with_capacity(CREDENTIAL_MAX_BYTES + 1);
    file.take(most + 1).read_to_end(&mut content)?;
    Ok(CredentialFile {
        content: SecretBytes::new(Box::new(content)),
        mode: about.mode(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_file_is_read_with_its_rights_and_no_further_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "t0ken\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let file = read_credential(&link).unwrap();
        assert_eq!(file.content.expose_secret(), b"t0ken\n");
        assert_eq!(file.mode & 0o777, 0o640);
        std::fs::write(&path, vec![b'a'; 3 * CREDENTIAL_MAX_BYTES]).unwrap();
        let file = read_credential(&path).unwrap();
        assert_eq!(file.content.expose_secret().len(), CREDENTIAL_MAX_BYTES + 1);
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        for path in [&*pipe, folder.path()] {
            let why = read_credential(path).unwrap_err();
            assert_eq!(why.to_string(), "it is not a regular file");
        }
        let none = read_credential(&folder.path().join("none")).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }
}
