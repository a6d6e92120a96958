//! Signatures of our commits, in the form of OpenSSH.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::{HashAlg, LineEnding, PrivateKey};

use super::Error;

/// What signatures of git are for, as `ssh-keygen -Y verify -n git` asks.
const NAMESPACE: &str = "git";

/// A key that signs commits. It is never shown.
pub struct Signer(PrivateKey);

impl Signer {
    /// From a private key as `ssh-keygen` writes it: Ed25519 or ECDSA P-256, without a passphrase.
    ///
    /// # Errors
    /// [`Error::Unusable`], which never quotes the key.
    pub fn from_openssh(key: &SecretString) -> Result<Self, Error> {
        let unusable = |why: &str| {
            Error::Unusable(format!(
                "the signing key {why}; make one with `ssh-keygen -t ed25519 -N ''`"
            ))
        };
        // A file that lost its last line end is still one.
        let text = format!("{}\n", key.expose_secret().trim_end());
        let key = PrivateKey::from_openssh(text)
            .map_err(|_| unusable("is no private key in the form of OpenSSH"))?;
        if key.is_encrypted() {
            return Err(unusable("has a passphrase"));
        }
        let signer = Self(key);
        // Kinds that can be read and not used are known now, not when the first result is there.
        signer
            .sign(b"")
            .map_err(|_| unusable("is of a kind that cannot sign here"))?;
        Ok(signer)
    }

    /// Of the public half: `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The armoured signature of a commit's text. The same text gives the same signature.
    pub(super) fn sign(&self, text: &[u8]) -> Result<String, Error> {
        let internal = |why: ssh_key::Error| Error::Internal(format!("a signature: {why}"));
        let signature = self.0.sign(NAMESPACE, HashAlg::Sha512, text);
        let signature = signature.map_err(internal)?.to_pem(LineEnding::LF);
        Ok(signature.map_err(internal)?.trim_end().to_owned())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.fingerprint())
    }
}
