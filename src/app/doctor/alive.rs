//! Whether a server answers at the address that it listens on: for `doctor --quick`, where a health check wants to know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Line;

/// A server that takes longer to say that it lives does not.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most bytes of a page of metrics.
const PAGE_MAX: u64 = 1 << 20;

/// The answer of `listen` to the question for its life, as a finding.
pub async fn serving(listen: &str) -> Line {
    let (group, name) = ("server", "alive");
    match tokio::time::timeout(PATIENCE, ask(listen)).await {
        Ok(Ok(())) => Line::ok(group, name, format!("it answers at {listen}")),
        Ok(Err(why)) => Line::fail(
            group,
            name,
            format!("nothing lives at {listen}: {why}"),
            "start it with `prentice serve`",
        ),
        Err(_) => Line::fail(
            group,
            name,
            format!("what listens at {listen} gave no answer in 5 s"),
            "restart it",
        ),
    }
}

/// Deliveries of a running server, counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Rightly signed.
    pub(super) taken: u64,
    /// Signed wrongly or not at all.
    pub(super) unsigned: u64,
}

/// What is heard of deliveries where a server should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing answers.
    Nothing,
    /// Something answers, without figures.
    NoFigures,
    /// What it counted.
    Counted(Counted),
}

/// What a server at `listen` counted.
pub(super) async fn deliveries(listen: &str) -> Heard {
    let asked = async {
        let mut stream = request(listen, "/metrics").await.ok()?;
        let mut page = Vec::new();
        let mut all = (&mut stream).take(PAGE_MAX);
        all.read_to_end(&mut page).await.ok()?;
        Some(String::from_utf8_lossy(&page).into_owned())
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Some(page)) if page.starts_with("HTTP/1.1 ") => {
            count(&page).map_or(Heard::NoFigures, Heard::Counted)
        }
        Ok(Some(_) | None) | Err(_) => Heard::Nothing,
    }
}

fn count(page: &str) -> Option<Counted> {
    page.strip_prefix("HTTP/1.1 200")?;
    let mut counted = Counted::default();
    for line in page.lines() {
        let Some(rest) = line.strip_prefix("prentice_webhook_deliveries_total{") else {
            continue;
        };
        let (labels, number) = rest.rsplit_once(' ')?;
        let number: u64 = number.trim().parse().ok()?;
        let is = |words: &[&str]| {
            words
                .iter()
                .any(|word| labels.contains(&format!("result=\"{word}\"")))
        };
        if is(&["stored", "duplicate", "repeated"]) {
            counted.taken += number;
        } else if is(&["wrong-signature", "unsigned", "malformed"]) {
            counted.unsigned += number;
        }
    }
    Some(counted)
}

async fn ask(listen: &str) -> Result<(), String> {
    let mut stream = request(listen, "/healthz").await?;
    let mut first = [0; 12];
    let text = |why: std::io::Error| why.to_string();
    stream.read_exact(&mut first).await.map_err(text)?;
    match first.strip_prefix(b"HTTP/1.1 ") {
        Some(b"200") => Ok(()),
        Some(status) => Err(format!("it answers {}", String::from_utf8_lossy(status))),
        None => Err("what answers is no web server".to_owned()),
    }
}

/// Asks for a page; the answer is to be read.
async fn request(listen: &str, path: &str) -> Result<TcpStream, String> {
    let mut address: SocketAddr = listen.parse().map_err(|_| "it is no address".to_owned())?;
    // Where every address is served, its own is.
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let text = |why: std::io::Error| why.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(text)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(text)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a server that says `answer`, the port left out.
    async fn told(answer: &'static [u8]) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 200];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:"));
            stream.write_all(answer).await.unwrap();
        });
        // Where all addresses are served, the own one is asked.
        let line = serving(&format!("0.0.0.0:{port}")).await;
        format!("{} {}", line.state.name(), line.text).replace(&port.to_string(), "PORT")
    }

    #[tokio::test]
    async fn a_server_lives_when_it_says_so() {
        assert_eq!(
            told(b"HTTP/1.1 200 OK\r\n\r\nalive").await,
            "ok it answers at 0.0.0.0:PORT"
        );
        assert_eq!(
            told(b"HTTP/1.1 503 Unavailable\r\n\r\n").await,
            "fail nothing lives at 0.0.0.0:PORT: it answers 503"
        );
        assert_eq!(
            told(b"SSH-2.0-OpenSSH_9.2\r\n").await,
            "fail nothing lives at 0.0.0.0:PORT: what answers is no web server"
        );
        assert!(told(b"").await.starts_with("fail "));
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = closed.local_addr().unwrap().to_string();
        drop(closed);
        let line = serving(&address).await;
        assert!(line.text.contains("refused"), "{}", line.text);
        assert_eq!(line.fix.as_deref(), Some("start it with `prentice serve`"));
    }

    /// What is heard of one that says `answer`.
    async fn heard(answer: &'static [u8]) -> Heard {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 200];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /metrics HTTP/1.1\r\n"));
            stream.write_all(answer).await.unwrap();
        });
        deliveries(&address).await
    }

    #[tokio::test]
    async fn a_server_without_figures_is_none_that_does_not_answer() {
        let told = heard(
            b"HTTP/1.1 200 OK\r\n\r\n\
              prentice_webhook_deliveries_total{event=\"push\",result=\"stored\"} 2\n\
              prentice_webhook_deliveries_total{event=\"ping\",result=\"repeated\"} 1\n\
              prentice_webhook_deliveries_total{event=\"none\",result=\"unsigned\"} 4\n",
        );
        let counted = Counted {
            taken: 3,
            unsigned: 4,
        };
        assert_eq!(told.await, Heard::Counted(counted));
        let none = heard(b"HTTP/1.1 404 Not Found\r\n\r\nthere is nothing here\n");
        assert_eq!(none.await, Heard::NoFigures);
        assert_eq!(heard(b"SSH-2.0-OpenSSH_9.2\r\n").await, Heard::Nothing);
        assert_eq!(heard(b"").await, Heard::Nothing);
    }
}
