//! What a command changed in its root file system.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::order::Bytes;

/// What a command changed: a list in a file, in order; folders come before what is in them. The
/// first is the root folder itself, whose path is empty.
#[derive(Debug, Clone)]
pub struct Changes {
    file: PathBuf,
}

impl Changes {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// The file: a line of JSON for each change.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Reads the list, one after the other.
    pub fn read(&self) -> io::Result<impl Iterator<Item = io::Result<Change>> + use<>> {
        let lines = BufReader::new(File::open(&self.file)?).split(b'\n');
        Ok(lines.map(|line| Ok(serde_json::from_slice(&line?)?)))
    }
}

/// What became of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It was removed; nothing of the lower layers is left below it.
    Removed {
        /// The path, relative to the root.
        path: Bytes,
    },
    /// It is there, new or changed, with what is at this path of the upper folder.
    Present(Box<Present>),
}

impl Change {
    /// The path, relative to the root.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Removed { path } => path.path(),
            Self::Present(present) => present.path.path(),
        }
    }
}

/// A file as the command left it. What it is on disk may differ, for a user who is not root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// The path, relative to the root.
    pub path: Bytes,
    /// What it is.
    pub kind: Kind,
    /// Its user, in the image.
    pub uid: u32,
    /// Its group, in the image.
    pub gid: u32,
    /// The twelve bits of its mode.
    pub mode: u32,
    /// When it was modified, in seconds since 1970.
    pub seconds: i64,
    /// And the part of the second.
    pub nanoseconds: u32,
    /// Its extended attributes, sorted by name.
    pub attributes: Vec<(Bytes, Bytes)>,
    /// The same number for all names of one file, where it has several. All of them are in the
    /// list, since a file of a lower layer is copied when it is changed.
    pub link: Option<u64>,
    /// Whether only [`super::Step::owners`] made it a change, and the command left it alone.
    pub prepared: bool,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A folder.
    Folder {
        /// Whether nothing of the lower layers shines through: it stands in the place of
        /// what was there.
        replaces: bool,
    },
    /// A file of this many bytes.
    File {
        /// Its length.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads.
        target: Bytes,
    },
    /// A named pipe.
    Fifo,
    /// A socket, which no image can hold.
    Socket,
    /// A character device; never 0:0.
    CharacterDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
}
