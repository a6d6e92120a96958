//! The server file and the secrets beside it. What holds a secret is its owner's alone from the moment it exists.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::super::credential::read_credential;
use super::super::{AppError, Said};
use crate::config::{ForgeSettings, Secret};
use crate::forge::Made;

/// Bytes of randomness in a secret of ours.
const SECRET_BYTES: usize = 32;

/// Where a credential of a forge is kept: beside the server file, by the forge's name.
pub(super) fn beside(file: &Path, forge: &ForgeSettings, secret: Secret) -> PathBuf {
    let end = match secret {
        Secret::Token => "token",
        Secret::WebhookSecret => "webhook-secret",
        Secret::PrivateKey => "private-key.pem",
    };
    file.with_file_name(format!("{}-{end}", forge.name))
}

/// What a file that [`keep_secret`] wrote holds; `None` where there is none.
pub(super) fn stored_secret(path: &Path) -> Result<Option<SecretString>, AppError> {
    let found = match read_credential(path) {
        Ok(found) => found,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(host(path, &why)),
    };
    let text = std::str::from_utf8(found.content.expose_secret()).unwrap_or_default();
    match text.trim() {
        "" => Ok(None),
        text => Ok(Some(SecretString::from(text))),
    }
}

/// A secret that nobody guesses, of letters and digits.
pub(super) fn random_secret() -> Result<SecretString, AppError> {
    let mut bytes = [0_u8; SECRET_BYTES];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if filled != Ok(SECRET_BYTES) {
        return Err(AppError::Host(Said::plain(
            "the system gives no randomness for a secret",
        )));
    }
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(SecretString::from(text))
}

/// Makes the file hold the secret, readable by its owner only.
pub(super) fn keep_secret(path: &Path, secret: &SecretString) -> Result<Made, AppError> {
    let stored = stored_secret(path)?;
    let is_private = || {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(path).is_ok_and(|about| about.mode() & 0o077 == 0)
    };
    match stored {
        Some(stored) if stored.expose_secret() == secret.expose_secret() && is_private() => {
            Ok(Made::WasThere)
        }
        stored => {
            let text = format!("{}\n", secret.expose_secret().trim_end());
            replace(path, text.as_bytes(), 0o600).map_err(|why| host(path, &why))?;
            Ok(if stored.is_some() {
                Made::Anew
            } else {
                Made::Now
            })
        }
    }
}

/// Makes the file hold the text, where there is one to write.
pub(super) fn keep_text(path: &Path, text: Option<&str>) -> Result<Made, AppError> {
    let Some(text) = text else {
        return Ok(Made::WasThere);
    };
    let made = match path.exists() {
        true => Made::Anew,
        false => Made::Now,
    };
    replace(path, text.as_bytes(), 0o644).map_err(|why| host(path, &why))?;
    Ok(made)
}

/// A file that is whole, old or new, whenever somebody looks.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    // One that a kill left behind may have other rights.
    match std::fs::remove_file(&new) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

pub(super) fn host(path: &Path, why: &io::Error) -> AppError {
    AppError::Host(Said::new(
        format!("{}: {why}", path.display()),
        "name a place that this user can write to with --config",
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_its_owners_alone_from_the_start_and_again_where_it_was_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/main-token");
        let secret = SecretString::from("t0ken");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(keep_secret(&path, &secret).unwrap(), Made::Now);
        assert_eq!(mode(), 0o600);
        assert_eq!(keep_secret(&path, &secret).unwrap(), Made::WasThere);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(keep_secret(&path, &secret).unwrap(), Made::Anew);
        assert_eq!(mode(), 0o600);
        let stored = stored_secret(&path).unwrap().unwrap();
        assert_eq!(stored.expose_secret(), "t0ken");
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
    }

    #[test]
    fn a_secret_of_ours_is_long_enough_and_another_each_time() {
        let (one, two) = (random_secret().unwrap(), random_secret().unwrap());
        let text = one.expose_secret();
        assert_eq!(text.len(), 2 * SECRET_BYTES);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(text, two.expose_secret());
    }
}
