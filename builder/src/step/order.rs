//! What the processes of a step tell each other: lines of JSON over a socket.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::Fault;

/// Bytes that need not be UTF-8: a path, an argument, a value. In JSON they are base64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// As a path.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.text())
    }

    /// As the system's text.
    pub fn text(&self) -> OsString {
        OsString::from_vec(self.0.clone())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&OsStr> for Bytes {
    fn from(text: &OsStr) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<&Path> for Bytes {
    fn from(path: &Path) -> Self {
        Self::from(path.as_os_str())
    }
}

impl From<OsString> for Bytes {
    fn from(text: OsString) -> Self {
        Self(text.into_vec())
    }
}

impl From<PathBuf> for Bytes {
    fn from(path: PathBuf) -> Self {
        Self::from(path.into_os_string())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// What a file of the root file systems is in the image, where the disk says something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Its path, relative to the root.
    pub path: Bytes,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its mode's twelve bits; `None` where the disk is right.
    pub mode: Option<u32>,
    /// Extended attributes it has besides those on disk.
    pub attributes: Vec<(Bytes, Bytes)>,
}

/// A file or folder of the host that is mounted for the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepMount {
    /// Where it is on the host.
    pub source: Bytes,
    /// Where the command finds it: absolute, links of the image resolved inside its root.
    pub target: Bytes,
    /// Whether the command can only read it.
    pub read_only: bool,
}

/// What starts the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Engine {
    Namespaces,
    Crun,
    Runc,
}

/// What a helper process is for; the first line it hears.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// To hold a step.
    Run(Box<Run>),
    /// To be the first process of a step.
    Init(Box<Run>),
    /// To remove what a step left in this folder.
    Remove { user: bool, scratch: Bytes },
}

impl Order {
    pub(super) fn needs_user_namespace(&self) -> bool {
        match self {
            Self::Run(run) | Self::Init(run) => run.user,
            Self::Remove { user, .. } => *user,
        }
    }
}

/// A step, as its processes are told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    /// Whether it has a user namespace.
    pub(super) user: bool,
    /// Whether that namespace has one ID only.
    pub(super) alone: bool,
    pub(super) lower: Vec<Bytes>,
    pub(super) hidden: Vec<Bytes>,
    pub(super) scratch: Bytes,
    pub(super) owners: Vec<Owned>,
    /// What files of the upper folder are at most, in seconds since 1970.
    pub(super) latest: Option<i64>,
    pub(super) command: Vec<Bytes>,
    pub(super) environment: Vec<(Bytes, Bytes)>,
    pub(super) working_directory: Bytes,
    pub(super) host_network: bool,
    pub(super) mounts: Vec<StepMount>,
    pub(super) hostname: String,
    pub(super) engine: Engine,
    /// The engine's program.
    pub(super) program: Option<Bytes>,
    pub(super) helper: (Bytes, Vec<Bytes>),
}

impl Run {
    /// How the overlay's own attributes begin.
    pub(super) fn overlay_attributes(&self) -> &'static [u8] {
        if self.user { b"user.overlay." } else { b"trusted.overlay." }
    }

    /// A place in the scratch folder.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

/// What a helper process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// It is in its user namespace, and waits for its IDs and a line.
    Unshared,
    /// What is in `upper/` before the command: paths, and the state of each.
    Prepared(Vec<(Bytes, String)>),
    /// The command ended with this code, or what was asked for is done.
    Ended(u8),
    /// It cannot.
    Failed(Fault),
}

/// One end of the socket between two processes.
pub(super) struct Channel {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Channel {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        Ok(Self { writer: socket.try_clone()?, reader: BufReader::new(socket) })
    }

    /// The other end of this is a process's standard input.
    pub(super) fn of_input() -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        Self::new(UnixStream::from(input))
    }

    /// Sends a descriptor. The first thing that is sent.
    pub(super) fn pass(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let byte = [IoSlice::new(b"+")];
        rustix::net::sendmsg(&self.writer, &byte, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Receives the descriptor that is sent first.
    pub(super) fn passed(&self) -> io::Result<OwnedFd> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut into = [IoSliceMut::new(&mut byte)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        rustix::net::recvmsg(&self.writer, &mut into, &mut control, flags)?;
        let mut received = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        received.next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    pub(super) fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        self.writer.write_all(&line)
    }

    /// The next line; `None` where the other end is closed.
    pub(super) fn hear<T: for<'de> Deserialize<'de>>(&mut self) -> io::Result<Option<T>> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Ok(_) => Ok(Some(serde_json::from_slice(&line)?)),
            Err(error) => Err(error),
        }
    }

    /// What can be polled; nothing of it was read ahead, since each side waits for the other.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }
}
