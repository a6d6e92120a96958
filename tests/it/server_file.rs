//! What `[server]` of the server file says about `prentice serve` itself: what it logs, and how; what it tells.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server whose forge is not there, and what it wrote to standard error.
struct Serving {
    child: Child,
    log: PathBuf,
    listen: String,
    _folder: tempfile::TempDir,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Serving {
    /// With these lines of `[server]`, these variables and these words before the command.
    fn start(server: &str, variables: &[(&str, &str)], words: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (listen, nowhere) = (free(), free());
        let file = folder.path().join("server.toml");
        let text = format!(
            "version = 1\n[server]\nlisten = \"{listen}\"\n{server}\n[[forge]]\nname = \"main\"\nkind = \"gitea\"\n\
             base_url = \"http://{nowhere}\"\nrepos = [\"o/r\"]\npoll = \"60s\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let log = folder.path().join("log");
        let child = Command::new(crate::sandbox::helper())
            .arg("--config")
            .arg(&file)
            .args(words)
            .arg("serve")
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", folder.path())
            .env("PRENTICE_FORGE_MAIN_TOKEN", "of-nobody")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            log,
            listen,
            _folder: folder,
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The line of the log that says this.
    fn says(&self, words: &str) -> String {
        let started = Instant::now();
        loop {
            let said = self.said();
            if let Some(line) = said.lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            let waited = started.elapsed();
            assert!(waited < Duration::from_secs(30), "no {words:?} in\n{said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Talks nonsense to it, which is logged for those who want to know everything.
    fn hears_nonsense(&self) {
        self.says("listening on");
        let mut stream = TcpStream::connect(&self.listen).unwrap();
        stream.write_all(b"nonsense\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

/// Logged at once, since the forge is not there.
const ERROR: &str = "the forge cannot be used";
/// Logged of nonsense, as a detail.
const DETAIL: &str = "a connection ended badly";

#[test]
fn a_server_logs_as_much_and_in_the_form_that_its_file_says() {
    // Off a terminal it is JSON unless the file wants text.
    let usual = Serving::start("", &[], &[]);
    let line: serde_json::Value = serde_json::from_str(&usual.says(ERROR)).unwrap();
    assert_eq!(line["level"], "ERROR");
    usual.hears_nonsense();

    let text = Serving::start("log = \"debug\"\nlog_format = \"text\"", &[], &[]);
    let line = text.says(ERROR);
    assert!(
        line.contains("ERROR prentice::") && !line.contains('{'),
        "{line}"
    );
    text.hears_nonsense();
    assert!(text.says(DETAIL).contains("DEBUG prentice::web"));

    let none = Serving::start("log = \"prentice::web=info\"", &[], &[]);
    none.hears_nonsense();

    // A variable is above the file, the command line above both.
    let by_variable = [
        ("PRENTICE_SERVER__LOG", "debug"),
        ("PRENTICE_SERVER__LOG_FORMAT", "text"),
    ];
    let named = Serving::start("log = \"error\"", &by_variable, &[]);
    named.hears_nonsense();
    assert!(named.says(DETAIL).contains("DEBUG prentice::web"));
    let more = Serving::start("log = \"error\"", &[], &["-v"]);
    more.hears_nonsense();
    more.says(DETAIL);

    // What was to be logged would be there by now.
    assert!(!usual.said().contains(DETAIL), "{}", usual.said());
    assert!(!none.said().contains(ERROR), "{}", none.said());
}

#[test]
fn a_server_whose_file_is_wrong_says_where_and_logs_nothing() {
    for (wrong, place) in [
        ("log = \"loud\"", "server.toml:4:7"),
        ("log = \"prentice=loud\"", "server.toml:4:7"),
        ("log_format = \"yaml\"", "server.toml:4:14"),
    ] {
        let mut serving = Serving::start(wrong, &[], &[]);
        let ended = serving.child.wait().unwrap();
        let said = serving.said();
        assert_eq!(ended.code(), Some(3), "{said}");
        assert!(said.contains(place), "{said}");
        assert!(!said.contains(ERROR), "{said}");
    }
}

/// The first line of the answer for a page.
fn status(serving: &Serving, path: &str) -> String {
    serving.says("listening on");
    let mut stream = TcpStream::connect(&serving.listen).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn figures_are_told_unless_the_file_says_no() {
    let telling = Serving::start("", &[], &[]);
    assert_eq!(status(&telling, "/metrics"), "HTTP/1.1 200 OK");
    let silent = Serving::start("metrics = false", &[], &[]);
    assert_eq!(status(&silent, "/metrics"), "HTTP/1.1 404 Not Found");
    assert_eq!(status(&silent, "/healthz"), "HTTP/1.1 200 OK");
}
