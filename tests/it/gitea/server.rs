//! The one Gitea of a test binary: started by the first test that wants it, gone with the process.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use prentice::domain::ident::Digest;

/// Whom it runs as where tests are root's: it refuses root. Nobody else's, so that limits on an account of other
/// tests count none of its threads.
const UID: u32 = 64_321;

/// How long it may take to answer the first time.
const START: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    /// A token of the site's administrator that may do everything.
    pub(crate) admin: String,
    /// When its input is closed, by whatever end of this process, the shell ends Gitea and removes the folder.
    _shell: Child,
}

static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();

/// The server, `None` where it cannot run here, told as skipped under the test's name.
pub(crate) fn server(test: &str) -> Option<&'static Server> {
    match SERVER.get_or_init(start) {
        Ok(server) => Some(server),
        Err(why) => {
            crate::skip::skipped(test, why);
            None
        }
    }
}

/// Where `tests/gitea.sh` left the program.
fn built() -> Result<PathBuf, String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gitea");
    let mut names = fs::read(tests.join("go.mod")).map_err(|error| error.to_string())?;
    names.extend(fs::read(tests.join("go.sum")).map_err(|error| error.to_string())?);
    let digest = Digest::of(&names);
    let folder = cache().join("gitea").join(&digest.as_str()[..16]);
    if folder.join("gitea").is_file() {
        Ok(folder)
    } else {
        Err("no Gitea was built; run tests/gitea.sh".to_owned())
    }
}

/// The tests' cache, as `tests/run` has it.
pub(crate) fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("PRENTICE_TEST_CACHE").map_or_else(
        || {
            let home = PathBuf::from(set("HOME").unwrap_or_else(|| "/root".into()));
            let cache = set("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
            cache.join("prentice-tests")
        },
        PathBuf::from,
    )
}

fn start() -> Result<Server, String> {
    let built = built()?;
    if !succeeds(Command::new("setpriv").arg("--version")) {
        return Err("no `setpriv` here".to_owned());
    }
    let folder = tempfile::Builder::new()
        .prefix("prentice-gitea-")
        .tempdir()
        .unwrap()
        .keep();
    // Others may look in, as Gitea's account does; who they are is seen at the files.
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    mirror(&built.join("gitea"), &folder.join("gitea"));
    // `tests/pictures.sh` has one with style sheets and scripts.
    let styled = std::env::var_os("PRENTICE_TEST_GITEA_STATIC").map(PathBuf::from);
    let files = styled.unwrap_or_else(|| built.join("static"));
    mirror(&files, &folder.join("static"));
    for name in ["work", "home"] {
        fs::create_dir(folder.join(name)).unwrap();
        if crate::sandbox::is_root() {
            chown(folder.join(name), Some(UID), Some(UID)).unwrap();
        }
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // It writes secrets of its own there.
    let ini = folder.join("work/app.ini");
    fs::write(&ini, settings(&folder, port)).unwrap();
    if crate::sandbox::is_root() {
        chown(&ini, Some(UID), Some(UID)).unwrap();
    }

    // The shell ends when this process does, however that ends, and takes everything along.
    let shell = Command::new("sh")
        .args([
            "-c",
            r#"
            folder=$1; shift
            "$@" >"$folder/log" 2>&1 </dev/null &
            gitea=$!
            trap '' INT TERM HUP
            cat >/dev/null
            kill -KILL "$gitea"
            wait "$gitea" 2>/dev/null
            rm -rf "$folder"
            "#,
            "sh",
        ])
        .arg(&folder)
        .args(words(&folder, &["web"]))
        .env_clear()
        .envs(environment(&folder))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();

    let started = Instant::now();
    // Listening is the last thing that it does.
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let is_dead = log().contains("[F]");
        assert!(
            !is_dead && started.elapsed() < START,
            "no answer: {}",
            log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let made = gitea(
        &folder,
        &[
            "admin",
            "user",
            "create",
            "--username=site",
            "--password=site-password",
            "--email=site@example.invalid",
            "--admin",
            "--must-change-password=false",
        ],
    );
    assert!(made.status.success(), "{made:?}\n{}", log());
    let token = gitea(
        &folder,
        &[
            "admin",
            "user",
            "generate-access-token",
            "--username=site",
            "--token-name=tests",
            "--scopes=all",
            "--raw",
        ],
    );
    assert!(token.status.success(), "{token:?}\n{}", log());
    Ok(Server {
        url: format!("http://127.0.0.1:{port}"),
        admin: String::from_utf8(token.stdout).unwrap().trim().to_owned(),
        _shell: shell,
    })
}

fn settings(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "APP_NAME = Gitea of the tests
RUN_USER = gitea
RUN_MODE = prod
WORK_PATH = {folder}/work
[server]
PROTOCOL = http
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {folder}/static
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false
[security]
INSTALL_LOCK = true
SECRET_KEY = of-the-tests
PASSWORD_HASH_ALGO = pbkdf2$10$50
PASSWORD_COMPLEXITY = off
SUCCESSFUL_TOKENS_CACHE_SIZE = 1000
[database]
DB_TYPE = sqlite3
SQLITE_JOURNAL_MODE = WAL
[webhook]
ALLOWED_HOST_LIST = loopback
[cron]
ENABLED = false
[actions]
ENABLED = false
[packages]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
[queue]
TYPE = channel
[log]
MODE = console
LEVEL = Warn
"
    )
}

fn environment(folder: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("HOME", folder.join("home").display().to_string()),
        ("USER", "gitea".to_owned()),
        ("TMPDIR", folder.join("home").display().to_string()),
        ("LC_ALL", "C.UTF-8".to_owned()),
    ]
}

/// Gitea with `arguments`, as the account that may run it.
fn words(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    if crate::sandbox::is_root() {
        words.extend([
            "setpriv".to_owned(),
            format!("--reuid={UID}"),
            format!("--regid={UID}"),
            "--clear-groups".to_owned(),
        ]);
    }
    words.push(folder.join("gitea").display().to_string());
    words.push("--config".to_owned());
    words.push(folder.join("work/app.ini").display().to_string());
    words.extend(arguments.iter().map(|word| (*word).to_owned()));
    words
}

fn gitea(folder: &Path, arguments: &[&str]) -> Output {
    let words = words(folder, arguments);
    Command::new(&words[0])
        .args(&words[1..])
        .env_clear()
        .envs(environment(folder))
        .current_dir("/")
        .output()
        .unwrap()
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The same files at another place: links where that can be, else copies.
fn mirror(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).unwrap();
        fs::set_permissions(to, PermissionsExt::from_mode(0o755)).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            mirror(&entry.path(), &to.join(entry.file_name()));
        }
    } else if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).unwrap();
    }
}
