//! One member of an archive, as the reader yields it and the writer takes it.

use std::fmt;

/// A path or a link target as bytes. Shown with everything unprintable escaped.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PathBytes(pub Vec<u8>);

impl fmt::Display for PathBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || c == '\\' {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PathBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl From<&[u8]> for PathBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for PathBytes {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

/// What kind of file an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file with this many bytes.
    File {
        /// Bytes of content.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it points to, unchecked: a link may point anywhere, nothing follows it.
        target: PathBytes,
    },
    /// Another name of an earlier entry.
    HardLink {
        /// The earlier entry's path.
        target: PathBytes,
    },
    /// A character device.
    Character {
        /// Major and minor number.
        device: (u32, u32),
    },
    /// A block device.
    Block {
        /// Major and minor number.
        device: (u32, u32),
    },
    /// A named pipe.
    Fifo,
}

/// One entry: `rootfs/usr/bin/hello` and all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path: no `./`, no trailing slash.
    pub path: PathBytes,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, with set-user-ID, set-group-ID and sticky: `& 0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in whole seconds since 1970, fractions cut off towards the past.
    pub mtime: i64,
    /// Extended attributes, name and value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// The root of a root file system of which nothing is said: root's, mode 0755, of 1970.
    pub fn root() -> Self {
        let (path, kind, xattrs) = ("rootfs".into(), EntryKind::Directory, Vec::new());
        Self { path, kind, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs }
    }
}
