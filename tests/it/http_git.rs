//! Git over HTTP as a forge has it: `git http-backend` behind a loopback server with Basic auth.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Longest body of a push that a test makes.
const BODY_MAX: usize = 64 << 20;

/// What came to the server.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) authorization: Option<String>,
}

/// A server for the bare repositories below one folder. Stops when dropped.
pub(crate) struct HttpGit {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Who may come in: the name and password of Basic auth; `None` lets everybody.
pub(crate) type Password = Option<(String, String)>;

/// Answers a request itself, before the backend does; `None` leaves it to the backend.
pub(crate) type Before = dyn Fn(&Seen) -> Option<Response> + Send + Sync;

impl HttpGit {
    pub(crate) fn start(root: &Path, password: Password) -> Self {
        Self::start_with(root, password, Box::new(|_| None))
    }

    pub(crate) fn start_with(root: &Path, password: Password, before: Box<Before>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (root, log) = (root.to_owned(), Arc::clone(&seen));
        let before: Arc<Before> = Arc::from(before);
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let router = axum::Router::new().fallback(move |request: Request| {
                    let (root, password) = (root.clone(), password.clone());
                    let (log, before) = (Arc::clone(&log), Arc::clone(&before));
                    async move {
                        let came = seen_in(&request);
                        log.lock().unwrap().push(came.clone());
                        match before(&came) {
                            Some(answer) => answer,
                            None => backend(&root, password.as_ref(), request).await,
                        }
                    }
                });
                let ended = async {
                    let _ = stopped.await;
                };
                // Not gracefully: a client that hangs must not keep the test.
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    () = ended => {}
                }
            });
            runtime.shutdown_background();
        };
        Self {
            address,
            seen,
            stop: Some(stop),
            thread: Some(std::thread::spawn(serve)),
        }
    }

    /// The address of the repository `name`.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for HttpGit {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn seen_in(request: &Request) -> Seen {
    let authorization = request.headers().get(header::AUTHORIZATION);
    Seen {
        line: format!("{} {}", request.method(), request.uri()),
        authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
    }
}

/// One request of git, answered by `git http-backend` for the bare repositories below `root`.
pub(crate) async fn backend(
    root: &Path,
    password: Option<&(String, String)>,
    request: Request,
) -> Response {
    let mut user = None;
    if let Some((name, secret)) = password {
        let given = seen_in(&request).authorization;
        if given != Some(format!("Basic {}", base64(&format!("{name}:{secret}")))) {
            let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
            return (StatusCode::UNAUTHORIZED, ask, "Unauthorized\n").into_response();
        }
        user = Some(name.clone());
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let text = |name: &str| {
        let value = parts.headers.get(name).map(|v| v.to_str().unwrap());
        value.unwrap_or("").to_owned()
    };
    let environment = [
        ("PATH", std::env::var("PATH").unwrap()),
        ("HOME", "/nonexistent".to_owned()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("GIT_CONFIG_COUNT", "1".to_owned()),
        ("GIT_CONFIG_KEY_0", "http.receivepack".to_owned()),
        ("GIT_CONFIG_VALUE_0", "true".to_owned()),
        ("GIT_PROJECT_ROOT", root.to_str().unwrap().to_owned()),
        ("GIT_HTTP_EXPORT_ALL", "1".to_owned()),
        ("GIT_PROTOCOL", text("git-protocol")),
        ("REMOTE_USER", user.unwrap_or_default()),
        ("REMOTE_ADDR", "127.0.0.1".to_owned()),
        ("REQUEST_METHOD", parts.method.to_string()),
        ("PATH_INFO", parts.uri.path().to_owned()),
        ("QUERY_STRING", parts.uri.query().unwrap_or("").to_owned()),
        ("CONTENT_TYPE", text("content-type")),
        ("CONTENT_LENGTH", body.len().to_string()),
        ("HTTP_CONTENT_ENCODING", text("content-encoding")),
    ];
    let run = move || {
        // From a file: a backend that answers before it has read everything cannot deadlock.
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(&body).unwrap();
        std::io::Seek::rewind(&mut input).unwrap();
        std::process::Command::new(crate::git::program())
            .arg("http-backend")
            .env_clear()
            .envs(environment)
            .stdin(Stdio::from(input))
            .output()
            .unwrap()
    };
    let out = tokio::task::spawn_blocking(run).await.unwrap();
    let end = out.stdout.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else {
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        return (StatusCode::INTERNAL_SERVER_ERROR, said).into_response();
    };
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&out.stdout[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response
        .body(Body::from(out.stdout[end + 4..].to_vec()))
        .unwrap()
}

pub(crate) fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = String::new();
    for byte in text.bytes() {
        bits.push_str(&format!("{byte:08b}"));
    }
    let mut out = String::new();
    for six in bits.as_bytes().chunks(6) {
        let digits = format!("{:0<6}", std::str::from_utf8(six).unwrap());
        out.push(char::from(
            DIGITS[usize::from_str_radix(&digits, 2).unwrap()],
        ));
    }
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

/// A bare repository `name` below `root`, with a hook where one is given.
pub(crate) fn bare(root: &Path, name: &str, pre_receive: Option<&str>) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = root.join(name);
    let made = std::process::Command::new("git")
        .args(["init", "-q", "--bare", "-b", "main"])
        .arg(&path)
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .status()
        .unwrap();
    assert!(made.success());
    if let Some(script) = pre_receive {
        let hook = path.join("hooks/pre-receive");
        std::fs::create_dir_all(path.join("hooks")).unwrap();
        std::fs::write(&hook, script).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    path
}
