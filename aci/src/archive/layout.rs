//! The rules on paths, types and layout that every entry of an image must keep,
//! checked as the entries come. This is the one place they stand: inspecting and
//! unpacking both read through it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::ArchiveError;
use super::entry::{Entry, EntryKind, PathBytes};
use crate::limits::Limits;

/// Where an entry belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The folder everything is in, `./`: nothing to do.
    Top,
    /// The image manifest.
    Manifest,
    /// `rootfs` or something below it.
    Rootfs,
}

/// What a path was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A directory that has its own entry.
    Directory,
    /// A directory that only paths below it have named.
    Implied,
    /// Anything else.
    Other,
}

/// What was seen so far.
pub(super) struct Layout {
    /// Paths, as two keyed hashes each: a million paths would not fit in memory, and
    /// nobody outside this process can make two that collide.
    seen: HashMap<(u64, u64), Seen>,
    keys: (RandomState, RandomState),
    /// The directory the last entry was in: most entries share it with their neighbour.
    last_parent: Vec<u8>,
    entries: u64,
    max_entries: u64,
    max_depth: usize,
}

impl Layout {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            seen: HashMap::new(),
            keys: (RandomState::new(), RandomState::new()),
            last_parent: Vec::new(),
            entries: 0,
            max_entries: limits.entries,
            max_depth: limits.path_depth,
        }
    }

    /// Checks one entry and brings its paths into their one form.
    pub(super) fn admit(&mut self, entry: &mut Entry) -> Result<Place, ArchiveError> {
        self.entries += 1;
        // Millions of empty files cost the reader more than the attacker.
        if self.entries > self.max_entries {
            return Err(ArchiveError::Limit { what: "entries", allowed: self.max_entries });
        }
        let directory = entry.kind == EntryKind::Directory;
        let Some(path) = self.plain(&entry.path, directory)? else {
            return if directory {
                Ok(Place::Top)
            } else {
                Err(ArchiveError::TopLevel { path: entry.path.clone() })
            };
        };
        entry.path = path;
        if let EntryKind::HardLink { target } = &entry.kind {
            let plain = self.plain(target, false)?;
            let target = plain.unwrap_or_else(|| target.clone());
            entry.kind = EntryKind::HardLink { target };
        }
        let place = place(entry)?;
        self.record(entry)?;
        Ok(place)
    }

    /// Checks what can only be known at the end.
    pub(super) fn finish(&self) -> Result<u64, ArchiveError> {
        // Paths below it imply the folder; its own entry is what says mode and owner.
        if self.look(b"rootfs") != Some(Seen::Directory) {
            return Err(ArchiveError::Absent("rootfs"));
        }
        Ok(self.entries - 1)
    }

    /// The path without a leading `./` and, for a directory, a trailing `/`; `None`
    /// for the top itself.
    fn plain(&self, path: &PathBytes, directory: bool) -> Result<Option<PathBytes>, ArchiveError> {
        let fault = |fault| Err(ArchiveError::Path { path: path.clone(), fault });
        let mut bytes = path.0.as_slice();
        bytes = bytes.strip_prefix(b"./").unwrap_or(bytes);
        if directory {
            bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
            if bytes == b"." || path.0 == b"./" {
                return Ok(None);
            }
        }
        // `/etc/passwd` would be written outside whatever folder is unpacked into.
        if bytes.starts_with(b"/") {
            return fault("is absolute");
        }
        let mut depth = 0;
        for segment in bytes.split(|&b| b == b'/') {
            match segment {
                // `rootfs/../../etc/passwd` climbs out.
                b".." => return fault("has a \"..\" segment"),
                b"" => return fault("is empty, or has an empty segment"),
                b"." => return fault("has a \".\" segment"),
                _ if segment.contains(&0) => return fault("holds a NUL byte"),
                _ => depth += 1,
            }
        }
        // Deep paths overflow the stacks and buffers of tools that recurse.
        if depth > self.max_depth {
            let allowed = self.max_depth as u64;
            return Err(ArchiveError::Limit { what: "segments in one path", allowed });
        }
        Ok(Some(PathBytes(bytes.to_vec())))
    }

    fn record(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        self.record_parents(&entry.path)?;
        let kind = match &entry.kind {
            EntryKind::Directory => Seen::Directory,
            EntryKind::HardLink { target } => {
                self.check_hard_link(&entry.path, target)?;
                Seen::Other
            }
            _ => Seen::Other,
        };
        let before = self.seen.insert(self.key(&entry.path.0), kind);
        match before {
            None => Ok(()),
            Some(Seen::Implied) if kind == Seen::Directory => Ok(()),
            // A second entry would replace what was checked by what was not: a symlink
            // put in the place of a directory sends everything below it elsewhere.
            Some(_) => Err(ArchiveError::Duplicate { path: entry.path.clone() }),
        }
    }

    /// Every parent must be a directory, or absent so far and thus implied to be one.
    fn record_parents(&mut self, path: &PathBytes) -> Result<(), ArchiveError> {
        let Some(end) = path.0.iter().rposition(|&b| b == b'/') else { return Ok(()) };
        let parent = &path.0[..end];
        if parent == self.last_parent {
            return Ok(());
        }
        let slashes = parent.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        for end in slashes.chain([parent.len()]) {
            let ancestor = &parent[..end];
            let key = self.key(ancestor);
            // `rootfs/link/passwd` after a symlink `rootfs/link → /etc` is written to /etc.
            if *self.seen.entry(key).or_insert(Seen::Implied) == Seen::Other {
                let through = ancestor.into();
                return Err(ArchiveError::ThroughNonDirectory { path: path.clone(), through });
            }
        }
        self.last_parent.clear();
        self.last_parent.extend_from_slice(parent);
        Ok(())
    }

    /// A hard link may name an earlier file of the rootfs and nothing else: one to
    /// `../../etc/shadow` would give the image a file of the host.
    fn check_hard_link(&self, path: &PathBytes, target: &PathBytes) -> Result<(), ArchiveError> {
        let fault = match self.look(&target.0) {
            Some(Seen::Other) if target.0.starts_with(b"rootfs/") => return Ok(()),
            Some(Seen::Other) => "is not in the rootfs",
            Some(_) => "is a directory",
            None => "is not in the archive before it",
        };
        Err(ArchiveError::HardLink { path: path.clone(), target: target.clone(), fault })
    }

    /// What an earlier entry has made of a path.
    pub(super) fn look(&self, path: &[u8]) -> Option<Seen> {
        self.seen.get(&self.key(path)).copied()
    }

    fn key(&self, path: &[u8]) -> (u64, u64) {
        (self.keys.0.hash_one(path), self.keys.1.hash_one(path))
    }
}

/// Which of the two top-level entries this is, or is below.
fn place(entry: &Entry) -> Result<Place, ArchiveError> {
    let path = &entry.path;
    let found = match &entry.kind {
        EntryKind::File { .. } => "a regular file",
        EntryKind::Directory => "a directory",
        EntryKind::Symlink { .. } => "a symlink",
        EntryKind::HardLink { .. } => "a hard link",
        EntryKind::Character { .. } | EntryKind::Block { .. } => "a device",
        EntryKind::Fifo => "a named pipe",
    };
    match path.0.as_slice() {
        b"manifest" => match entry.kind {
            EntryKind::File { .. } => Ok(Place::Manifest),
            // acbuild opened the file of the host that such a link names.
            _ => Err(ArchiveError::LayoutType {
                path: path.clone(),
                wanted: "a regular file",
                found,
            }),
        },
        b"rootfs" => match entry.kind {
            EntryKind::Directory => Ok(Place::Rootfs),
            // acbuild wrote through such a link into the host.
            _ => Err(ArchiveError::LayoutType { path: path.clone(), wanted: "a directory", found }),
        },
        other if other.starts_with(b"rootfs/") => Ok(Place::Rootfs),
        _ => Err(ArchiveError::TopLevel { path: path.clone() }),
    }
}
