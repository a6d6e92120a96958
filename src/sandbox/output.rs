//! The streams of one command: made, handed over, read until they end.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use super::{Flow, Sink, Stdin, Stream};

/// The three streams of a command, both ends.
pub(super) struct Pipes {
    pub(super) stdin: OwnedFd,
    pub(super) out: (OwnedFd, OwnedFd),
    pub(super) err: (OwnedFd, OwnedFd),
}

impl Pipes {
    /// `owner`: who may open `/dev/stdout` and the like anew, where it is not this process's user.
    pub(super) fn make(stdin: &Stdin, owner: Option<u32>) -> io::Result<Self> {
        use rustix::fs::{Gid, Uid, fchown};
        use rustix::pipe::{PipeFlags, pipe_with};
        let pipe = || {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            if let Some(owner) = owner {
                fchown(
                    &write,
                    Some(Uid::from_raw(owner)),
                    Some(Gid::from_raw(owner)),
                )?;
            }
            io::Result::Ok((read, write))
        };
        Ok(Self {
            stdin: match stdin {
                Stdin::Null => File::open("/dev/null")?.into(),
                Stdin::Bytes(bytes) => {
                    use std::io::{Seek, Write};
                    let flags = rustix::fs::MemfdFlags::CLOEXEC;
                    let mut file = File::from(rustix::fs::memfd_create("stdin", flags)?);
                    file.write_all(bytes)?;
                    file.rewind()?;
                    file.into()
                }
            },
            out: pipe()?,
            err: pipe()?,
        })
    }
}

/// The reading ends.
pub(super) struct Output {
    out: Option<Receiver>,
    err: Option<Receiver>,
    chunk: Vec<u8>,
    other: Vec<u8>,
}

impl Output {
    /// Closes this process's copies of the writing ends.
    pub(super) fn new(pipes: Pipes) -> io::Result<Self> {
        Ok(Self {
            out: Some(Receiver::from_owned_fd(pipes.out.0)?),
            err: Some(Receiver::from_owned_fd(pipes.err.0)?),
            chunk: vec![0; 64 << 10],
            other: vec![0; 64 << 10],
        })
    }

    pub(super) fn open(&self) -> bool {
        self.out.is_some() || self.err.is_some()
    }

    /// The next bytes of either stream, or the end of one. May be dropped and called again.
    pub(super) async fn next(&mut self, sink: &mut (dyn Sink + Send)) -> Flow {
        async fn read(from: &mut Option<Receiver>, into: &mut [u8]) -> usize {
            match from {
                Some(pipe) => pipe.read(into).await.unwrap_or(0),
                None => std::future::pending().await,
            }
        }
        let (from, n) = tokio::select! {
            n = read(&mut self.out, &mut self.chunk) => (Stream::Out, n),
            n = read(&mut self.err, &mut self.other) => (Stream::Err, n),
        };
        let (pipe, bytes) = match from {
            Stream::Out => (&mut self.out, &self.chunk),
            Stream::Err => (&mut self.err, &self.other),
        };
        match bytes.get(..n) {
            Some(bytes) if n > 0 => sink.take(from, bytes),
            _ => {
                *pipe = None;
                Flow::More
            }
        }
    }

    pub(super) async fn drain(&mut self, sink: &mut (dyn Sink + Send)) -> Flow {
        while self.open() {
            if self.next(sink).await == Flow::Enough {
                return Flow::Enough;
            }
        }
        Flow::More
    }
}
