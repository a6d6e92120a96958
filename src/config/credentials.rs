//! What a forge is spoken to with. It never stands in a file of settings.

use std::io;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::environment::Env;
use super::forges::{ForgeKind, ForgeSettings, Signing};

/// Largest file that holds a credential, in bytes.
pub const CREDENTIAL_MAX_BYTES: usize = 64 << 10;

/// Shortest webhook secret that is not warned of, in characters.
const SECRET_MIN_CHARS: usize = 16;

/// The credentials of one forge, as far as they were given.
#[derive(Debug)]
pub struct Credentials {
    /// Of an account of the bot's own.
    pub token: Option<SecretString>,
    /// What the forge signs its deliveries with.
    pub webhook_secret: Option<SecretString>,
    /// Of a GitHub App, PEM.
    pub private_key: Option<SecretString>,
    /// What commits are signed with, OpenSSH form.
    pub signing_key: Option<SecretString>,
    /// What an operator should see to, though it works.
    pub warnings: Vec<String>,
}

/// A file that holds a credential, as it was read.
#[derive(Debug)]
pub struct CredentialFile {
    /// What it holds; at most one byte more than [`CREDENTIAL_MAX_BYTES`], which says that it is too large.
    pub content: SecretBytes,
    /// Its permission bits.
    pub mode: u32,
}

/// Bytes that are shown nowhere.
pub type SecretBytes = secrecy::SecretBox<Vec<u8>>;

/// Every credential of a forge that cannot be used, one sentence each. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct BadCredentials(pub Vec<String>);

/// What a variable gives, and how it is held.
struct Role {
    /// End of the variable's name.
    suffix: &'static str,
    /// Several lines, or one word.
    lines: bool,
}

const TOKEN: Role = role("TOKEN", false);
const WEBHOOK_SECRET: Role = role("WEBHOOK_SECRET", false);
const PRIVATE_KEY: Role = role("PRIVATE_KEY", true);
const SIGNING_KEY: Role = role("SIGNING_KEY", true);
const ROLES: [Role; 4] = [TOKEN, WEBHOOK_SECRET, PRIVATE_KEY, SIGNING_KEY];

const fn role(suffix: &'static str, lines: bool) -> Role {
    Role { suffix, lines }
}

/// The credentials of `forge`, from the variables of `env` or from the files that they name, read by `read`.
///
/// # Errors
/// Every one that cannot be used, and those that are given in two ways.
pub fn credentials(
    forge: &ForgeSettings,
    env: &Env,
    read: &dyn Fn(&Path) -> io::Result<CredentialFile>,
) -> Result<Credentials, BadCredentials> {
    let (mut wrong, mut warnings) = (Vec::new(), Vec::new());
    let mut get = |role: &Role| match one(forge, role, env, read, &mut warnings) {
        Ok(found) => found,
        Err(what) => {
            wrong.push(what);
            None
        }
    };
    let (token, webhook_secret) = (get(&TOKEN), get(&WEBHOOK_SECRET));
    let (private_key, signing_key) = (get(&PRIVATE_KEY), get(&SIGNING_KEY));
    if let Some(secret) = &webhook_secret
        && secret.expose_secret().chars().count() < SECRET_MIN_CHARS
    {
        let name = variable(forge, &WEBHOOK_SECRET);
        warnings.push(format!(
            "{name} is shorter than {SECRET_MIN_CHARS} characters; make a longer one with `openssl rand -hex 32`"
        ));
    }
    if !wrong.is_empty() {
        return Err(BadCredentials(wrong));
    }
    Ok(Credentials {
        token,
        webhook_secret,
        private_key,
        signing_key,
        warnings,
    })
}

impl Credentials {
    /// What `forge` needs and does not have, one sentence each: something to show it, and a way to hear of news.
    #[must_use]
    pub fn lacks(&self, forge: &ForgeSettings) -> Vec<String> {
        let mut lacks = Vec::new();
        let mut need = |given: bool, role: &Role, why: &str| {
            if !given {
                let name = variable(forge, role);
                lacks.push(format!("the forge `{}` {why}; set {name}_FILE", forge.name));
            }
        };
        let app = forge.kind == ForgeKind::GitHub && forge.app_id != 0;
        if app {
            let has = self.private_key.is_some();
            need(has, &PRIVATE_KEY, "is an App without its private key");
        } else {
            need(self.token.is_some(), &TOKEN, "has no token");
        }
        if forge.signing == Signing::Ssh {
            let has = self.signing_key.is_some();
            need(has, &SIGNING_KEY, "is to sign commits without a key");
        }
        if forge.poll_secs == 0 {
            let has = self.webhook_secret.is_some();
            let why = "has neither a webhook secret nor `poll`, so it would never hear of anything";
            need(has, &WEBHOOK_SECRET, why);
        }
        lacks
    }
}

/// Whether `name` is a variable that gives a credential of one of these forges.
pub(super) fn is_credential(name: &str, forges: &[ForgeSettings]) -> bool {
    forges.iter().any(|forge| {
        ROLES.iter().any(|role| {
            let variable = variable(forge, role);
            name.strip_prefix(&variable)
                .is_some_and(|rest| matches!(rest, "" | "_FILE"))
        })
    })
}

/// A credential that a file beside the server file can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// [`Credentials::token`].
    Token,
    /// [`Credentials::webhook_secret`].
    WebhookSecret,
    /// [`Credentials::private_key`].
    PrivateKey,
}

/// The variable that names the file of a credential: `PRENTICE_FORGE_MAIN_TOKEN_FILE`.
#[must_use]
pub fn file_variable(forge: &ForgeSettings, secret: Secret) -> String {
    let role = match secret {
        Secret::Token => &TOKEN,
        Secret::WebhookSecret => &WEBHOOK_SECRET,
        Secret::PrivateKey => &PRIVATE_KEY,
    };
    format!("{}_FILE", variable(forge, role))
}

/// `PRENTICE_FORGE_MAIN_TOKEN`.
fn variable(forge: &ForgeSettings, role: &Role) -> String {
    let name = forge.name.to_uppercase().replace('-', "_");
    format!("PRENTICE_FORGE_{name}_{}", role.suffix)
}

/// One credential. An error never holds what was read.
fn one(
    forge: &ForgeSettings,
    role: &Role,
    env: &Env,
    read: &dyn Fn(&Path) -> io::Result<CredentialFile>,
    warnings: &mut Vec<String>,
) -> Result<Option<SecretString>, String> {
    let name = variable(forge, role);
    let of_file = format!("{name}_FILE");
    let (place, text) = match (env.get(&name), env.get(&of_file)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(format!(
                "{name} and {of_file} are both set; keep one of them"
            ));
        }
        (Some(value), None) => (name, SecretString::from(value.as_str())),
        (None, Some(path)) if !Path::new(path).is_absolute() => {
            return Err(format!(
                "{of_file} does not name an absolute path; write it from `/`"
            ));
        }
        (None, Some(path)) => {
            let place = format!("{path} ({of_file})");
            let file = read(Path::new(path)).map_err(|why| {
                format!("{place} cannot be read: {why}; name a file that this user can read")
            })?;
            let bytes = file.content.expose_secret();
            if bytes.len() > CREDENTIAL_MAX_BYTES {
                return Err(format!(
                    "{place} has more than {CREDENTIAL_MAX_BYTES} bytes; name the file of the credential"
                ));
            }
            if file.mode & 0o077 != 0 {
                warnings.push(format!(
                    "{place} can be read or written by others than its owner; `chmod 600` it"
                ));
            }
            let text = std::str::from_utf8(bytes)
                .map_err(|_| format!("{place} is not text; name the file of the credential"))?;
            (place, SecretString::from(text))
        }
    };
    held(role, &place, text.expose_secret()).map(Some)
}

/// Without the line break that every editor adds, and only what can be sent.
fn held(role: &Role, place: &str, text: &str) -> Result<SecretString, String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(format!(
            "{place} is empty; put the credential there, or unset the variable"
        ));
    }
    if !role.lines && !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!(
            "{place} holds a space, a line break or another character that is none of a credential; \
             put nothing but the credential there"
        ));
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::server;

    fn forge(name: &str) -> ForgeSettings {
        ForgeSettings {
            name: name.to_owned(),
            ..ForgeSettings::default()
        }
    }

    fn env(pairs: &[(&str, &str)]) -> Env {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn file(content: &[u8], mode: u32) -> io::Result<CredentialFile> {
        Ok(CredentialFile {
            content: SecretBytes::new(Box::new(content.to_vec())),
            mode,
        })
    }

    fn nothing(_: &Path) -> io::Result<CredentialFile> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn shown(secret: Option<&SecretString>) -> Option<&str> {
        secret.map(|secret| secret.expose_secret())
    }

    #[test]
    fn credentials_come_from_variables_or_files_by_the_name_of_the_forge() {
        let env = env(&[
            ("PRENTICE_FORGE_OUR_GITEA_TOKEN", "t0ken"),
            (
                "PRENTICE_FORGE_OUR_GITEA_WEBHOOK_SECRET_FILE",
                "/run/secret",
            ),
            (
                "PRENTICE_FORGE_OUR_GITEA_SIGNING_KEY",
                "-----BEGIN\nkey\n-----END\n",
            ),
            ("PRENTICE_FORGE_OTHER_PRIVATE_KEY", "not ours"),
        ]);
        let read = |path: &Path| {
            assert_eq!(path, Path::new("/run/secret"));
            file(b"0123456789abcdef\r\n", 0o100_600)
        };
        let found = credentials(&forge("our-gitea"), &env, &read).unwrap();
        assert_eq!(shown(found.token.as_ref()), Some("t0ken"));
        assert_eq!(
            shown(found.webhook_secret.as_ref()),
            Some("0123456789abcdef")
        );
        assert_eq!(
            shown(found.signing_key.as_ref()),
            Some("-----BEGIN\nkey\n-----END")
        );
        assert_eq!(shown(found.private_key.as_ref()), None);
        assert_eq!(found.warnings, Vec::<String>::new());
        let debug = format!("{found:?}");
        assert!(
            !debug.contains("t0ken") && !debug.contains("0123456789"),
            "{debug}"
        );
    }

    #[test]
    fn what_cannot_be_used_is_told_together_and_shows_no_secret() {
        let env = env(&[
            ("PRENTICE_FORGE_MAIN_TOKEN", "hunter2"),
            ("PRENTICE_FORGE_MAIN_TOKEN_FILE", "/t"),
            ("PRENTICE_FORGE_MAIN_WEBHOOK_SECRET", "hunter2\nhunter3"),
            ("PRENTICE_FORGE_MAIN_PRIVATE_KEY_FILE", "key.pem"),
            ("PRENTICE_FORGE_MAIN_SIGNING_KEY_FILE", "/gone"),
        ]);
        let told = credentials(&forge("main"), &env, &nothing)
            .unwrap_err()
            .to_string();
        assert!(!told.contains("hunter"), "{told}");
        insta::assert_snapshot!(told, @"
        PRENTICE_FORGE_MAIN_TOKEN and PRENTICE_FORGE_MAIN_TOKEN_FILE are both set; keep one of them
        PRENTICE_FORGE_MAIN_WEBHOOK_SECRET holds a space, a line break or another character that is none of a credential; put nothing but the credential there
        PRENTICE_FORGE_MAIN_PRIVATE_KEY_FILE does not name an absolute path; write it from `/`
        /gone (PRENTICE_FORGE_MAIN_SIGNING_KEY_FILE) cannot be read: entity not found; name a file that this user can read
        ");
    }

    #[test]
    fn a_file_that_is_empty_too_large_or_no_text_is_refused_and_an_open_one_warned_of() {
        let env = env(&[("PRENTICE_FORGE_MAIN_TOKEN_FILE", "/t")]);
        let of = |content: &[u8], mode: u32| {
            let content = content.to_vec();
            credentials(&forge("main"), &env, &move |_| file(&content, mode))
        };
        let mut told = String::new();
        for content in [
            &b"\n"[..],
            &[b'a'; CREDENTIAL_MAX_BYTES + 1],
            b"\xff\xfe",
            b"a b",
        ] {
            told += &format!("{}\n", of(content, 0o600).unwrap_err());
        }
        let open = of(b"t", 0o640).unwrap();
        told += &open.warnings.join("\n");
        insta::assert_snapshot!(told, @"
        /t (PRENTICE_FORGE_MAIN_TOKEN_FILE) is empty; put the credential there, or unset the variable
        /t (PRENTICE_FORGE_MAIN_TOKEN_FILE) has more than 65536 bytes; name the file of the credential
        /t (PRENTICE_FORGE_MAIN_TOKEN_FILE) is not text; name the file of the credential
        /t (PRENTICE_FORGE_MAIN_TOKEN_FILE) holds a space, a line break or another character that is none of a credential; put nothing but the credential there
        /t (PRENTICE_FORGE_MAIN_TOKEN_FILE) can be read or written by others than its owner; `chmod 600` it
        ");
        assert!(
            of(&[b'a'; CREDENTIAL_MAX_BYTES], 0o400)
                .unwrap()
                .warnings
                .is_empty()
        );
    }

    #[test]
    fn a_short_webhook_secret_is_warned_of() {
        let env = env(&[("PRENTICE_FORGE_MAIN_WEBHOOK_SECRET", "short")]);
        let found = credentials(&forge("main"), &env, &nothing).unwrap();
        insta::assert_snapshot!(found.warnings.join("\n"), @"PRENTICE_FORGE_MAIN_WEBHOOK_SECRET is shorter than 16 characters; make a longer one with `openssl rand -hex 32`");
    }

    #[test]
    fn what_a_forge_lacks_is_named_with_the_variable_that_gives_it() {
        let none = credentials(&forge("main"), &Env::new(), &nothing).unwrap();
        let app = ForgeSettings {
            app_id: 7,
            signing: Signing::Ssh,
            poll_secs: 60,
            ..forge("our-hub")
        };
        let told = [none.lacks(&forge("main")), none.lacks(&app)].concat();
        insta::assert_snapshot!(told.join("\n"), @"
        the forge `main` has no token; set PRENTICE_FORGE_MAIN_TOKEN_FILE
        the forge `main` has neither a webhook secret nor `poll`, so it would never hear of anything; set PRENTICE_FORGE_MAIN_WEBHOOK_SECRET_FILE
        the forge `our-hub` is an App without its private key; set PRENTICE_FORGE_OUR_HUB_PRIVATE_KEY_FILE
        the forge `our-hub` is to sign commits without a key; set PRENTICE_FORGE_OUR_HUB_SIGNING_KEY_FILE
        ");
        let env = env(&[
            ("PRENTICE_FORGE_MAIN_TOKEN", "t"),
            ("PRENTICE_FORGE_MAIN_WEBHOOK_SECRET", "s"),
        ]);
        let both = credentials(&forge("main"), &env, &nothing).unwrap();
        assert_eq!(both.lacks(&forge("main")), Vec::<String>::new());
    }

    #[test]
    fn a_credentials_variable_is_not_taken_for_an_override() {
        let text = "version = 1\n[[forge]]\nname = \"a--b\"\n";
        let file = || Some(("server.toml", text.as_bytes()));
        for name in [
            "PRENTICE_FORGE_A__B_TOKEN",
            "PRENTICE_FORGE_A__B_PRIVATE_KEY_FILE",
        ] {
            server(file(), &env(&[(name, "x")])).unwrap();
        }
        for name in ["PRENTICE_FORGE_A__B_TOKENS", "PRENTICE_FORGE_A__C_TOKEN"] {
            server(file(), &env(&[(name, "x")])).unwrap_err();
        }
    }
}
