//! Links to pages of tasks, and the key that signs them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::{App, AppError, Said, random_secret};
use crate::domain::ident::TaskId;
use crate::web::LinkKey;

/// How long a link opens its page.
const OPENS_FOR_SECS: u64 = 12 * 60 * 60;

impl App {
    /// A link that opens the page of a task for twelve hours, to be given to those who may read it.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where there is no such task, [`AppError::Host`] where the key cannot be had.
    pub async fn link(&self, task: TaskId) -> Result<String, AppError> {
        self.show(task).await?;
        let until = self.clock.now().plus_secs(OPENS_FOR_SECS);
        let pass = self.link_key()?.pass(task, until);
        // Without an address for others it is one for whoever sits here.
        let base = match self.server.public_url.as_str() {
            "" => format!("http://{}", here(&self.server.listen)),
            url => url.to_owned(),
        };
        Ok(format!("{base}/tasks/{task}?key={pass}"))
    }

    /// What signs them: made when it is first wanted, in the data folder, for its owner alone. Removed, it is made
    /// anew, and no link from before opens anything.
    pub(super) fn link_key(&self) -> Result<LinkKey, AppError> {
        let file = self.data.join("link.key");
        let key = key(&file).map_err(|why| {
            AppError::Host(Said::new(
                format!("{} cannot be used: {why}", file.display()),
                "remove it; it is made anew",
            ))
        })?;
        Ok(LinkKey::new(key))
    }
}

/// An address that this machine can be asked at.
fn here(listen: &str) -> String {
    match listen.parse::<SocketAddr>() {
        Ok(at) if at.ip().is_unspecified() && at.is_ipv4() => format!("127.0.0.1:{}", at.port()),
        Ok(at) if at.ip().is_unspecified() => format!("[::1]:{}", at.port()),
        _ => listen.to_owned(),
    }
}

fn key(file: &Path) -> io::Result<SecretString> {
    let read = || {
        let text = SecretString::from(fs::read_to_string(file)?);
        match text.expose_secret().len() {
            64 => Ok(text),
            _ => Err(io::Error::other("it holds no key")),
        }
    };
    match read() {
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let new = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let made = random_secret()?;
    let linked = out
        .write_all(made.expose_secret().as_bytes())
        .and_then(|()| out.sync_all())
        // Whoever is first wins; nobody ever reads half a key.
        .and_then(|()| match fs::hard_link(&new, file) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => Err(why),
            _ => Ok(()),
        });
    let _ = fs::remove_file(&new);
    linked?;
    read()
}
