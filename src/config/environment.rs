//! What the environment says: overrides of the server file, and where files are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::credentials::is_credential;
use super::explain::Code;
use super::kinds::{Key, Kind};
use super::mistakes::{Findings, Found, Mistakes, visible};
use super::read::{Reader, closest};
use super::server::Server;
use super::server_keys::SERVER;
use super::{Origin, Origins};

/// The server file to read: `--config`, else that of systemd, else that of the user.
#[must_use]
pub fn server_file(config: Option<&Path>, env: &Env) -> Option<PathBuf> {
    if let Some(config) = config {
        return Some(config.to_owned());
    }
    let folder = first_of(env, "CONFIGURATION_DIRECTORY")
        .or_else(|| Some(absolute(env, "XDG_CONFIG_HOME")?.join("prentice")))
        .or_else(|| Some(absolute(env, "HOME")?.join(".config/prentice")))?;
    Some(folder.join("server.toml"))
}

/// Where tasks, logs and caches are kept: as configured, else that of systemd, else that of the
/// user. `None` where the environment names no home folder either.
#[must_use]
pub fn data_dir(server: &Server, env: &Env) -> Option<PathBuf> {
    if !server.data_dir.is_empty() {
        return Some(PathBuf::from(&server.data_dir));
    }
    first_of(env, "STATE_DIRECTORY")
        .or_else(|| Some(absolute(env, "XDG_STATE_HOME")?.join("prentice")))
        .or_else(|| Some(absolute(env, "HOME")?.join(".local/state/prentice")))
}

/// The first of the folders that systemd names, separated by colons.
fn first_of(env: &Env, name: &str) -> Option<PathBuf> {
    let first = env.get(name)?.split(':').next()?;
    Path::new(first).is_absolute().then(|| PathBuf::from(first))
}

/// A folder named by a variable; relative ones are ignored, as the XDG specification says.
fn absolute(env: &Env, name: &str) -> Option<PathBuf> {
    let path = Path::new(env.get(name)?);
    path.is_absolute().then(|| path.to_owned())
}

/// The environment, as far as it concerns us: names and values.
pub type Env = BTreeMap<String, String>;

/// What the variables say, and where.
pub(super) fn variables(server: &mut Server, env: &Env) -> Result<Origins, Mistakes> {
    let mut origins = Origins::default();
    let mut mistakes: Option<Mistakes> = None;
    let ours = env.iter().filter_map(|(name, value)| {
        let (section, key) = name.strip_prefix("PRENTICE_")?.split_once("__")?;
        let of_forge = is_credential(name, &server.forges);
        (!of_forge).then_some((name, value, section, key))
    });
    let ours: Vec<_> = ours.collect();
    for (name, value, section, key) in ours {
        let found = match lookup(section, key) {
            Some((path, key)) => variable(server, name, value, &path, key).map(|()| path),
            None => Err(unknown_variable(name, section, key)),
        };
        match found {
            Ok(path) => origins.set(&path, Origin::Environment(name.clone())),
            Err(more) => mistakes = Some(mistakes.map_or(more.clone(), |some| some.and(more))),
        }
    }
    mistakes.map_or(Ok(origins), Err)
}

/// The key that `SECTION` and `KEY` of a variable name.
fn lookup(section: &str, key: &str) -> Option<(String, &'static Key<Server>)> {
    let section = SERVER
        .iter()
        .find(|known| known.name.to_uppercase() == section)?;
    let key = section
        .keys
        .iter()
        .find(|known| known.name.to_uppercase() == key)?;
    Some((format!("{}.{}", section.name, key.name), key))
}

/// Reads a variable's value: text as it stands, anything else as TOML.
fn variable(
    server: &mut Server,
    name: &str,
    value: &str,
    path: &str,
    key: &Key<Server>,
) -> Result<(), Mistakes> {
    let bare = matches!(
        key.kind,
        Kind::Duration { .. } | Kind::Size { .. } | Kind::Text { .. } | Kind::Word { .. }
    );
    let text = || Spanned::new(0..value.len(), DeValue::String(DeString::from(value)));
    let given = match bare {
        true => text(),
        false => DeValue::parse(value).unwrap_or_else(|_| text()),
    };
    let mut reader = Reader::of_value(name, value);
    reader.key(key, path, &given, server);
    reader.end(()).map(|_| ())
}

/// The value is not shown: nobody knows what it is.
fn unknown_variable(name: &str, section: &str, key: &str) -> Mistakes {
    let sections = SERVER.iter().map(|known| known.name);
    let section =
        closest(section, sections).and_then(|name| SERVER.iter().find(|known| known.name == name));
    let meant = section.and_then(|section| {
        let key = closest(key, section.keys.iter().map(|known| known.name))?;
        Some(format!("{}__{key}", section.name).to_uppercase())
    });
    let hint = meant.map_or_else(
        || "variables are named PRENTICE_SECTION__KEY after the server file".to_owned(),
        |meant| format!("did you mean `PRENTICE_{meant}`?"),
    );
    at_variable(
        name,
        name,
        Code::UnknownVariable,
        "",
        format!("`{}` sets nothing", visible(name)),
        hint,
    )
}

/// One mistake about a variable, of which `shown` is shown.
pub(super) fn at_variable(
    name: &str,
    shown: &str,
    code: Code,
    key: &str,
    message: String,
    hint: String,
) -> Mistakes {
    let mut findings = Findings::new(name, shown);
    let (key, note) = (key.to_owned(), String::new());
    findings.add(Found {
        code,
        span: 0..shown.len(),
        key,
        message,
        hint,
        note,
    });
    findings.into_mistakes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        pairs.collect()
    }

    #[test]
    fn the_server_file_is_the_named_one_then_systemds_then_the_users() {
        let file = |pairs: &[(&str, &str)]| server_file(None, &env(pairs));
        let home = ("HOME", "/home/a");
        let xdg = ("XDG_CONFIG_HOME", "/x");
        let systemd = ("CONFIGURATION_DIRECTORY", "/etc/prentice:/other");
        let named = server_file(Some(Path::new("my.toml")), &env(&[systemd]));
        assert_eq!(named, Some("my.toml".into()));
        assert_eq!(
            file(&[home, xdg, systemd]),
            Some("/etc/prentice/server.toml".into())
        );
        assert_eq!(file(&[home, xdg]), Some("/x/prentice/server.toml".into()));
        assert_eq!(
            file(&[home]),
            Some("/home/a/.config/prentice/server.toml".into())
        );
        let relative = ("XDG_CONFIG_HOME", "x");
        assert_eq!(
            file(&[home, relative]),
            Some("/home/a/.config/prentice/server.toml".into())
        );
        assert_eq!(file(&[]), None);
    }

    #[test]
    fn the_data_folder_is_the_configured_one_then_systemds_then_the_users() {
        let mut server = Server::default();
        let home = ("HOME", "/home/a");
        let xdg = ("XDG_STATE_HOME", "/x");
        let systemd = ("STATE_DIRECTORY", "/var/lib/prentice");
        let folder = |server: &Server, pairs: &[(&str, &str)]| data_dir(server, &env(pairs));
        assert_eq!(
            folder(&server, &[home, xdg, systemd]),
            Some("/var/lib/prentice".into())
        );
        assert_eq!(folder(&server, &[home, xdg]), Some("/x/prentice".into()));
        assert_eq!(
            folder(&server, &[home]),
            Some("/home/a/.local/state/prentice".into())
        );
        assert_eq!(folder(&server, &[]), None);
        server.data_dir = "/srv/p".to_owned();
        assert_eq!(
            folder(&server, &[home, xdg, systemd]),
            Some("/srv/p".into())
        );
    }
}
