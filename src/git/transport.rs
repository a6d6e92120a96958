//! The git program with one transport open, for one URL: the credential, the limits, the end.
//!
//! How git gets the credential: as an `Authorization` header in its environment
//! (`GIT_CONFIG_KEY_n`, `GIT_CONFIG_VALUE_n`), bound to the URL of the one repository, so
//! that git itself would not send it to another path, let alone to another host. The other
//! way that leaves no trace in arguments, URLs and files is a credential helper that reads an
//! inherited descriptor. It is not safer: who may read `/proc/<pid>/environ` may read
//! `/proc/<pid>/fd/9` as well (the same check: same user, dumpable), git runs helpers through a
//! shell, and it calls them only after a refused first request, on any host that asks.
//! What an environment costs: git's own children inherit it. They are `git-remote-https`,
//! `pack-objects`, `index-pack`, `unpack-objects` and `rev-list`; no hook, filter, shell or
//! pager is among them. Sandboxes run as other users or in other pid namespaces and see none
//! of these processes; nothing here leaves a core file.
//!
//! What git may not do with it: follow a redirect (nor the alternates of a dumb server, which
//! are redirects by another name), use `.netrc`, cookies, bundles or packs of other URLs, ask
//! anybody, speak anything but the scheme of the URL.
//!
//! One command ends within its time or is killed with its process group; what it says and
//! what it fetches is capped. When this program is killed, git dies with it.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process_group,
    set_parent_process_death_signal, setrlimit, waitid,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::mirror::bytes_below;
use super::process::Hardened;
use super::refusal::{RemoteError, sort};
use super::{Error, disk};
use crate::domain::text::{self, Redactor};

/// A repository on a forge, and what git shows there.
///
/// `Debug` shows no secret; the URL holds none.
#[derive(Clone, Debug)]
pub struct Remote {
    url: String,
    credential: Option<(String, SecretString)>,
    net: Net,
}

/// Limits and surroundings of the network.
#[derive(Clone, Debug)]
pub struct Net {
    /// A command that is not done by then is killed.
    pub total: Duration,
    /// A command over which nothing came or went for so long ends.
    pub quiet: Duration,
    /// What one fetch may bring, in bytes on the disk.
    pub bytes: u64,
    /// The proxy to go through, as a URL. None of the environment's is used.
    pub proxy: Option<SecretString>,
    /// Certificates to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for Net {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(15 * 60),
            quiet: Duration::from_secs(60),
            bytes: 2 << 30,
            proxy: None,
            ca_file: None,
        }
    }
}

/// Longest URL.
const URL_MAX: usize = 2000;
/// What git and the forge may say besides.
const SAID_CAP: u64 = 1 << 20;
/// What git may put out: the list of all branches.
const OUT_CAP: u64 = 16 << 20;
/// How much of it is looked at when it failed, from its end.
const SORTED_CAP: u64 = 64 << 10;
/// How much of it a person is shown.
const WORDS_MAX: usize = 1200;
/// Memory of each process: a small pack can unfold into a large object.
const MEMORY: u64 = 4 << 30;
/// How often a running command is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// What holds for every use of the network. Faults of old commits that every forge takes are no attack.
const SETTINGS: [(&str, &str); 22] = [
    ("protocol.version", "2"),
    ("http.followRedirects", "false"),
    ("http.sslVerify", "true"),
    ("http.cookieFile", ""),
    ("http.saveCookies", "false"),
    ("http.emptyAuth", "false"),
    ("http.lowSpeedLimit", "1"),
    ("transfer.bundleURI", "false"),
    ("transfer.credentialsInUrl", "die"),
    ("fetch.uriProtocols", ""),
    ("fetch.writeCommitGraph", "false"),
    ("fetch.fsck.badTimezone", "ignore"),
    ("fetch.fsck.missingSpaceBeforeDate", "ignore"),
    ("fetch.fsck.zeroPaddedFilemode", "ignore"),
    ("promisor.acceptFromServer", "none"),
    ("push.followTags", "false"),
    ("push.gpgSign", "false"),
    ("push.negotiate", "false"),
    ("push.recurseSubmodules", "no"),
    // What is taken in survives a power loss.
    ("core.fsync", "committed,loose-object"),
    // Larger blobs pass through without being held in memory.
    ("core.bigFileThreshold", "32m"),
    ("pack.threads", "2"),
];

impl Remote {
    /// The repository at `url`, with a name and a token.
    ///
    /// # Errors
    /// [`RemoteError::Unusable`] for a URL that is not plain `https://host/path` (or `http://`), and for a name or
    /// token that does not fit into a header.
    pub fn new(url: &str, user: &str, secret: SecretString) -> Result<Self, RemoteError> {
        let fits = |text: &str| text.len() <= 4096 && !text.chars().any(char::is_control);
        if user.contains(':') || !fits(user) || !fits(secret.expose_secret()) {
            return Err(RemoteError::Unusable(
                "the credential for git has characters that no name or token has; set it anew"
                    .to_owned(),
            ));
        }
        let plain = Self::anonymous(url)?;
        Ok(Self {
            credential: Some((user.to_owned(), secret)),
            ..plain
        })
    }

    /// The repository at `url`, as anybody sees it.
    ///
    /// # Errors
    /// As [`Remote::new`].
    pub fn anonymous(url: &str) -> Result<Self, RemoteError> {
        if let Some(why) = wrong_with(url) {
            return Err(RemoteError::Unusable(format!(
                "the repository's address is refused, it {why}; git is given https://host/owner/name.git"
            )));
        }
        Ok(Self {
            url: url.to_owned(),
            credential: None,
            net: Net::default(),
        })
    }

    /// With other limits and surroundings.
    #[must_use]
    pub fn with(mut self, net: Net) -> Self {
        self.net = net;
        self
    }

    /// Its address, without credential.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn net(&self) -> &Net {
        &self.net
    }

    fn scheme(&self) -> &str {
        self.url.split(':').next().unwrap_or("https")
    }

    fn header(&self) -> Option<String> {
        let (user, secret) = self.credential.as_ref()?;
        let both = format!("{user}:{}", secret.expose_secret());
        Some(format!("Authorization: Basic {}", base64(both.as_bytes())))
    }

    /// What git or the forge said, for people: no secret, no escape sequence, not too much.
    pub(super) fn clean(&self, said: &str) -> String {
        let mut secrets = Vec::new();
        if let Some((_, secret)) = &self.credential {
            secrets.push(secret.expose_secret().to_owned());
        }
        if let Some(header) = self.header() {
            secrets.extend(header.rsplit(' ').next().map(str::to_owned));
        }
        if let Some(proxy) = &self.net.proxy {
            secrets.push(proxy.expose_secret().to_owned());
        }
        let said = Redactor::new(secrets).redact(said);
        text::clip(text::harmless(said.as_bytes()).trim(), WORDS_MAX)
    }
}

/// What a URL has that none of a forge's has.
fn wrong_with(url: &str) -> Option<&'static str> {
    let Some(rest) = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
    else {
        return Some("is neither https nor http");
    };
    if url.len() > URL_MAX {
        return Some("is too long");
    }
    if !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Some("has spaces, control or other characters");
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Some("holds a name or credential");
    }
    let host = authority.bytes();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    if authority.is_empty() || !host.into_iter().all(plain) || authority.starts_with('-') {
        return Some("has no plain host");
    }
    if path.is_empty() || path.contains(['?', '#', '\\']) || path.split('/').any(|p| p == "..") {
        return Some("has no plain path");
    }
    None
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let value = (0..3).fold(0_usize, |sum, at| {
            sum << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
        });
        for digit in 0..4 {
            let index = value >> (18 - 6 * digit) & 63;
            let known = DIGITS.get(index).map_or('A', |d| char::from(*d));
            out.push(if digit <= chunk.len() { known } else { '=' });
        }
    }
    out
}

/// What a command said, and how it ended.
pub(super) struct Said {
    pub(super) status: ExitStatus,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    /// Of a command that succeeded: its output. Else why it did not.
    pub(super) fn done(self, remote: &Remote) -> Result<String, RemoteError> {
        if self.status.success() {
            return Ok(self.out);
        }
        Err(sort(&self.err, remote))
    }
}

/// Runs `git ARGS`, which may reach `remote` and nothing else. What grows in `filled` is limited.
///
/// # Errors
/// [`RemoteError::Retry`] when it took too long, [`RemoteError::TooLarge`]; a failure of git itself is in [`Said`].
pub(super) fn run(
    git: &Hardened,
    remote: &Remote,
    args: &[&str],
    filled: Option<&Path>,
) -> Result<Said, RemoteError> {
    let file = || tempfile::tempfile_in(git.empty()).map_err(disk("create a file in", git.empty()));
    let clone = |f: &File| f.try_clone().map_err(disk("use", git.empty()));
    let (mut out, mut err) = (file()?, file()?);
    let mut command = command(git, remote, args);
    bound(&mut command, remote.net.bytes);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::from(clone(&out)?))
        .stderr(Stdio::from(clone(&err)?))
        .process_group(0)
        .spawn()
        .map_err(|e| Error::Unsupported(format!("cannot start `git`: {e}; install git")))?;
    let mut group = Group { child, over: false };
    let too_full = || filled.is_some_and(|folder| bytes_below(folder) >= remote.net.bytes);
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !group.is_over() {
        if started.elapsed() > remote.net.total {
            let why = format!(
                "git was not done after {}",
                text::duration(u64::try_from(remote.net.total.as_millis()).unwrap_or(u64::MAX))
            );
            return Err(RemoteError::Retry { why });
        }
        let length = |f: &File| f.metadata().map_or(0, |m| m.len());
        if length(&out) > OUT_CAP || length(&err) > SAID_CAP {
            return Err(RemoteError::Unusable(format!(
                "the forge at {} answers git with more text than {}",
                remote.url,
                text::size(if length(&err) > SAID_CAP {
                    SAID_CAP
                } else {
                    OUT_CAP
                })
            )));
        }
        if too_full() {
            return Err(remote.too_large());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LOOK_EVERY);
    }
    let status = group.end().map_err(disk("wait for git in", git.empty()))?;
    // Also where a limit of the system ended a child of git first.
    if !status.success() && (too_full() || status.signal() == Some(Signal::XFSZ.as_raw())) {
        return Err(remote.too_large());
    }
    let (out, err) = (&mut out, &mut err);
    let (out, err) = tail(out, OUT_CAP)
        .and_then(|o| Ok((o, tail(err, SORTED_CAP)?)))
        .map_err(disk("read in", git.empty()))?;
    Ok(Said { status, out, err })
}

impl Remote {
    pub(super) fn too_large(&self) -> RemoteError {
        RemoteError::TooLarge {
            limit: self.net.bytes,
        }
    }
}

fn command(git: &Hardened, remote: &Remote, args: &[&str]) -> Command {
    let net = &remote.net;
    let mut command = git.command(args);
    let mut settings: Vec<(String, String)> = SETTINGS
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let mut set = |key: &str, value: String| settings.push((key.to_owned(), value));
    set("http.lowSpeedTime", net.quiet.as_secs().max(1).to_string());
    let proxy = net.proxy.as_ref();
    set(
        "http.proxy",
        proxy.map_or(String::new(), |url| url.expose_secret().to_owned()),
    );
    if let Some(file) = &net.ca_file {
        set("http.sslCAInfo", file.to_string_lossy().into_owned());
    }
    if let Some(header) = remote.header() {
        set(&format!("http.{}.extraHeader", remote.url), header);
    }
    command.env("GIT_ALLOW_PROTOCOL", remote.scheme());
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (at, (key, value)) in settings.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{at}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
    }
    command
}

/// What limits git from its first instruction on, and whatever it starts; and that it dies with the thread that waits
/// for it, so with this program.
#[expect(
    unsafe_code,
    reason = "limits that are set later come too late for what git starts at once"
)]
fn bound(command: &mut Command, bytes: u64) {
    let limits = [
        (Resource::Core, 0),
        (Resource::Data, MEMORY),
        (Resource::Fsize, bytes.max(OUT_CAP)),
    ];
    let set = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        for (resource, value) in limits {
            let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
            let value = Some(value.min(most));
            let both = Rlimit {
                current: value,
                maximum: value,
            };
            setrlimit(resource, both)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes three system calls, on values that it holds itself: it
    // allocates nothing, takes no lock and touches no memory of another thread.
    unsafe { command.pre_exec(set) };
}

fn tail(file: &mut File, cap: u64) -> std::io::Result<String> {
    let length = file.metadata()?.len();
    file.seek(std::io::SeekFrom::Start(length.saturating_sub(cap)))?;
    let mut bytes = Vec::new();
    file.take(cap).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A command and all that it started; killed when dropped.
struct Group {
    child: Child,
    over: bool,
}

impl Group {
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Whether the first process has ended. It is not collected yet, so that its number still names the group.
    fn is_over(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.pid()
            .is_none_or(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
    }

    fn end(&mut self) -> std::io::Result<ExitStatus> {
        // Once it is collected, the number may be another's.
        self.over = true;
        if let Some(pid) = self.pid() {
            // Nobody left is no error.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote() -> Remote {
        Remote::new(
            "https://forge.example/o/r.git",
            "bot",
            SecretString::from("s3cr3t-token-0123456789"),
        )
        .unwrap()
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        let known = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ];
        for (plain, coded) in known {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn only_a_plain_address_is_given_to_git() {
        for good in [
            "https://forge.example/o/r.git",
            "http://127.0.0.1:3000/o/r",
            "http://[::1]:3000/o/r.git",
            "https://forge.example/sub/o/r.name.git",
        ] {
            assert_eq!(wrong_with(good), None, "{good}");
        }
        for bad in [
            "",
            "ssh://forge.example/o/r",
            "git@forge.example:o/r",
            "ext::sh -c id",
            "file:///etc",
            "--upload-pack=id",
            "https://",
            "https:///o/r",
            "https://forge.example",
            "https://forge.example/",
            "https://bot:token@forge.example/o/r",
            "https://-oProxyCommand/o/r",
            "https://forge.example/o/../r",
            "https://forge.example/o/r?x",
            "https://forge.example/o/r#x",
            "https://forge.example/o r",
            "https://forge.example/o\nr",
            "https://forge.ex\u{e4}mple/o/r",
            "HTTPS://forge.example/o/r",
        ] {
            assert!(wrong_with(bad).is_some(), "{bad}");
        }
        assert!(wrong_with(&format!("https://forge.example/{}", "a".repeat(3000))).is_some());
    }

    #[test]
    fn a_credential_that_would_break_out_of_its_header_is_refused() {
        let url = "https://forge.example/o/r.git";
        for (user, secret) in [
            ("bot", "a\r\nX: y"),
            ("b:t", "a"),
            ("b\nt", "a"),
            ("bot", "a\0"),
        ] {
            let refused = Remote::new(url, user, SecretString::from(secret)).unwrap_err();
            assert!(!refused.to_string().contains("X: y"), "{refused}");
        }
    }

    #[test]
    fn the_credential_is_in_no_argument_and_bound_to_the_one_address() {
        let root = tempfile::tempdir().unwrap();
        let git = Hardened::new(root.path(), &root.path().join("empty")).unwrap();
        let remote = remote();
        let command = command(&git, &remote, &["ls-remote", remote.url()]);
        let coded = base64(b"bot:s3cr3t-token-0123456789");
        for arg in command.get_args() {
            let arg = arg.to_string_lossy();
            assert!(!arg.contains("s3cr3t") && !arg.contains(&coded), "{arg}");
        }
        let env: Vec<(String, String)> = command
            .get_envs()
            .map(|(key, value)| {
                let value = value.unwrap_or_default().to_string_lossy().into_owned();
                (key.to_string_lossy().into_owned(), value)
            })
            .collect();
        let holders: Vec<_> = env.iter().filter(|(_, v)| v.contains(&coded)).collect();
        let [(name, _)] = holders.as_slice() else {
            panic!("held once: {holders:?}");
        };
        let key = name.replace("VALUE", "KEY");
        let bound = env.iter().find(|(k, _)| *k == key).unwrap();
        assert_eq!(bound.1, "http.https://forge.example/o/r.git.extraHeader");
        let allowed = env.iter().filter(|(k, _)| k == "GIT_ALLOW_PROTOCOL");
        assert_eq!(
            allowed.map(|(_, v)| v.as_str()).collect::<Vec<_>>(),
            ["https"]
        );
    }

    #[test]
    fn nothing_printed_of_a_remote_shows_its_secret() {
        let mut remote = remote();
        remote.net.proxy = Some(SecretString::from(
            "http://user:proxy-password@proxy.example",
        ));
        let coded = base64(b"bot:s3cr3t-token-0123456789");
        let said = format!(
            "you sent Authorization: Basic {coded}\x1b[31m, that is s3cr3t-token-0123456789 \
             through http://user:proxy-password@proxy.example\n"
        );
        for text in [format!("{remote:?}"), remote.clean(&said)] {
            for secret in ["s3cr3t", coded.as_str(), "proxy-password", "\x1b"] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
        assert!(remote.clean(&"long ".repeat(2000)).chars().count() < WORDS_MAX + 60);
    }
}
