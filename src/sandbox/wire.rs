//! What host and inner process say to each other: JSON frames with a length in front, and file
//! descriptors beside them, on an inherited Unix stream socket.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::plan::Plan;

/// Longest frame; the largest legitimate one carries 1 MiB of files as JSON numbers.
const MAX_FRAME: usize = 16 << 20;

/// Most descriptors beside one frame.
const MAX_FDS: usize = 4;

/// The first frame to the inner process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Boot {
    /// Host uid and gid of everything inside when started by root; `None` maps the starter's own.
    pub(super) slot: Option<u32>,
    /// Control groups to enter before anything else: files to write `0` to.
    pub(super) doors: Vec<PathBuf>,
    /// The root folder.
    pub(super) plan: Plan,
    /// Largest file.
    pub(super) file_bytes: u64,
    /// Limits to watch from PID 1, where no cgroup does it.
    pub(super) watch: Option<Watch>,
}

/// Limits that PID 1 watches.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Watch {
    /// Anonymous memory of all processes, and everything in temporary folders.
    pub(super) memory_bytes: u64,
    /// Processes and threads.
    pub(super) pids: u32,
}

/// Host to PID 1, with standard input, output and error beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    /// Program and arguments.
    pub(super) argv: Vec<OsString>,
    /// The whole environment, as `NAME=value`.
    pub(super) env: Vec<OsString>,
    /// Where `argv[0]` is looked up.
    pub(super) path: String,
    /// Working folder.
    pub(super) cwd: OsString,
}

/// Inner process to host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// PID 1 exists; its pidfd is beside this frame.
    Born,
    /// Commands can be run.
    Ready {
        /// Landlock ABI in force.
        landlock_abi: u8,
    },
    /// It could not be built.
    Failed(Failure),
    /// The command is over, and nothing else is left inside.
    Ended(How),
}

/// Why a sandbox could not be built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// The part of the set-up.
    pub(super) step: Stage,
    /// What exactly.
    pub(super) what: String,
    /// Error number of the system, 0 where there is none.
    pub(super) errno: i32,
}

/// A part of the set-up, by what its failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Making the namespaces.
    Namespaces,
    /// Writing id maps, taking the identity.
    Identity,
    /// Opening a host path.
    Source,
    /// Mapping the owner of a layer: a copy works without.
    Idmap,
    /// Mounting an overlay: a copy works without.
    Overlay,
    /// The private `/proc`.
    Proc,
    /// Any other mount.
    Mount,
    /// Loopback, host name.
    Network,
    /// Capabilities, limits, Landlock, seccomp.
    Confine,
    /// The control socket.
    Wire,
}

/// How a command ended, as PID 1 saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum How {
    /// Exit code.
    Code(i32),
    /// Signal.
    Signal(i32),
    /// The program was not started.
    NotStarted(String),
    /// PID 1's watch ended it for memory.
    Memory,
    /// It failed, and PID 1's watch had seen as many processes as allowed.
    Pids,
}

/// A received frame and its descriptors.
pub(super) struct Incoming {
    buffer: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            buffer: Vec::new(),
            fds: VecDeque::new(),
        }
    }

    /// Descriptors received so far and not taken yet, oldest first.
    pub(super) fn fd(&mut self) -> Option<OwnedFd> {
        self.fds.pop_front()
    }

    /// One `recvmsg`. Returns false at the end of the stream; `WouldBlock` as the socket says.
    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut chunk = [0_u8; 16 << 10];
        let got = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut chunk)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if got.flags.contains(ReturnFlags::CTRUNC) || self.fds.len() > MAX_FDS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "too many descriptors beside a frame",
            ));
        }
        self.buffer
            .extend_from_slice(chunk.get(..got.bytes).unwrap_or_default());
        Ok(got.bytes > 0)
    }

    /// The next whole frame, if it is there.
    pub(super) fn frame<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a frame is too long",
            ));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let value = serde_json::from_slice(body)?;
        self.buffer.drain(..4 + length);
        Ok(Some(value))
    }

    /// Waits for the next frame on a blocking socket; `None` at the end of the stream.
    pub(super) fn wait<T: DeserializeOwned>(
        &mut self,
        socket: BorrowedFd<'_>,
    ) -> io::Result<Option<T>> {
        loop {
            if let Some(value) = self.frame()? {
                return Ok(Some(value));
            }
            match self.fill(socket) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// The bytes of a frame.
pub(super) fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(value)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|n| *n as usize <= MAX_FRAME)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a frame is too long"))?;
    let mut bytes = Vec::with_capacity(body.len() + 4);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// One `sendmsg` of a part of a frame; descriptors belong to its first part.
pub(super) fn push(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many descriptors beside a frame",
        ));
    }
    Ok(rustix::net::sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?)
}

/// Sends a whole frame on a blocking socket.
pub(super) fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    value: &T,
    fds: &[OwnedFd],
) -> io::Result<()> {
    let bytes = encode(value)?;
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        match push(socket, rest, if sent == 0 { &fds } else { &[] }) {
            Ok(n) => sent += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
