//! Whether a delivery comes from the forge that it says.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::{Kind, NAME_MAX, Signed, Unsigned};

/// What the headers of a delivery claim. Nothing is proven yet, and nothing was hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    signed: Signed,
    mac: [u8; 32],
}

/// Headers of one kind of forge: the first of each list that is there decides.
struct Names {
    /// Signatures, with what stands before the digits.
    signature: &'static [(&'static str, &'static str)],
    event: &'static [&'static str],
    delivery: &'static [&'static str],
}

static GITHUB: Names = Names {
    signature: &[("x-hub-signature-256", "sha256=")],
    event: &["x-github-event"],
    delivery: &["x-github-delivery"],
};

/// The type is finer than the event; the event alone is what older servers send.
static GITEA: Names = Names {
    signature: &[
        ("x-gitea-signature", ""),
        ("x-forgejo-signature", ""),
        ("x-hub-signature-256", "sha256="),
    ],
    event: &[
        "x-gitea-event-type",
        "x-forgejo-event-type",
        "x-gitea-event",
        "x-forgejo-event",
    ],
    delivery: &["x-gitea-delivery", "x-forgejo-delivery"],
};

/// Whether a delivery was signed with `secret`, and what its headers say. Which forge it is comes from the address
/// that it was sent to, never from its headers: every forge can send those of another.
///
/// # Errors
/// [`Unsigned`], which holds nothing of what was sent.
pub fn verify<'h>(
    kind: Kind,
    secret: &SecretString,
    header: &dyn Fn(&str) -> Option<&'h str>,
    body: &[u8],
) -> Result<Signed, Unsigned> {
    claim(kind, header)?.prove(secret, [body])
}

/// The first half of [`verify`], for which no body is needed.
///
/// # Errors
/// Everything but [`Unsigned::Wrong`].
pub fn claim<'h>(
    kind: Kind,
    header: &dyn Fn(&str) -> Option<&'h str>,
) -> Result<Claimed, Unsigned> {
    let names = match kind {
        Kind::GitHub => &GITHUB,
        Kind::Gitea => &GITEA,
    };
    // One that is there but empty is what a forge without a secret sends: no other is looked for.
    let mut signatures = names.signature.iter();
    let (digits, before) = signatures
        .find_map(|(name, before)| Some((header(name)?, *before)))
        .ok_or(Unsigned::Missing)?;
    if digits.is_empty() || digits == before {
        return Err(Unsigned::Missing);
    }
    let digits = digits.strip_prefix(before).ok_or(Unsigned::Malformed)?;
    let mac = unhex(digits).ok_or(Unsigned::Malformed)?;
    let first = |list: &[&str]| {
        let text = list.iter().find_map(|name| header(name))?;
        let fits =
            (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| text.to_owned())
    };
    Ok(Claimed {
        signed: Signed {
            delivery: first(names.delivery).ok_or(Unsigned::Headers)?,
            event: first(names.event).ok_or(Unsigned::Headers)?,
        },
        mac,
    })
}

impl Claimed {
    /// The second half of [`verify`]: the body, in one piece or several, is what was signed. Compared in constant
    /// time.
    ///
    /// # Errors
    /// [`Unsigned::Wrong`], also where `secret` is empty: everybody knows that one.
    pub fn prove<'b>(
        self,
        secret: &SecretString,
        body: impl IntoIterator<Item = &'b [u8]>,
    ) -> Result<Signed, Unsigned> {
        let secret = secret.expose_secret().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| Unsigned::Wrong)?;
        for piece in body {
            mac.update(piece);
        }
        if secret.is_empty() || mac.verify_slice(&self.mac).is_err() {
            return Err(Unsigned::Wrong);
        }
        Ok(self.signed)
    }
}

/// 32 bytes of 64 digits.
fn unhex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            value = value * 16 + char::from(*digit).to_digit(16)?;
        }
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}
