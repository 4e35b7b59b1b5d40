//! The rules on paths, types and layout that every entry of an image must keep,
//! checked as the entries come. This is the one place they stand: inspecting and
//! unpacking both read through it.

use super::entry::{Entry, EntryKind, PathBytes};
use super::seen::{PathHash, Seen, SeenPaths};
use super::{ArchiveError, Limited};
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

/// What was seen so far.
pub(super) struct Layout {
    seen: SeenPaths,
    /// The directory the last entry was in, and its hash: most entries share it with their
    /// neighbour.
    last_parent: (Vec<u8>, PathHash),
    entries: u64,
    max_entries: u64,
    max_depth: usize,
    max_name: usize,
}

impl Layout {
    pub(super) fn new(limits: &Limits) -> Self {
        let seen = SeenPaths::new();
        Self {
            last_parent: (Vec::new(), seen.top()),
            seen,
            entries: 0,
            max_entries: limits.entries,
            max_depth: limits.path_depth,
            max_name: limits.name_bytes,
        }
    }

    /// Checks one entry and brings its paths into their one form.
    pub(super) fn admit(&mut self, entry: &mut Entry) -> Result<Place, ArchiveError> {
        self.entries += 1;
        // Millions of empty files cost the reader more than the attacker.
        if self.entries > self.max_entries {
            return Err(ArchiveError::Limit { what: Limited::Entries, allowed: self.max_entries });
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
        if self.seen.look(&self.seen.key(b"rootfs")) != Some(Seen::Directory) {
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
                // No file system of Linux takes it.
                _ if segment.len() > self.max_name => {
                    let allowed = self.max_name as u64;
                    return Err(ArchiveError::Limit { what: Limited::NameBytes, allowed });
                }
                _ => depth += 1,
            }
        }
        // Deep paths overflow the stacks and buffers of tools that recurse.
        if depth > self.max_depth {
            let allowed = self.max_depth as u64;
            return Err(ArchiveError::Limit { what: Limited::PathDepth, allowed });
        }
        Ok(Some(PathBytes(bytes.to_vec())))
    }

    fn record(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let name = self.record_parents(&entry.path)?;
        let kind = match &entry.kind {
            EntryKind::Directory => Seen::Directory,
            EntryKind::HardLink { target } => {
                self.check_hard_link(&entry.path, target)?;
                Seen::Other
            }
            // An overlay file system above the unpacked tree would remove a file for it.
            EntryKind::Character { device: (0, 0) } => {
                return Err(ArchiveError::Whiteout { path: entry.path.clone() });
            }
            _ => Seen::Other,
        };
        let mut hash = self.last_parent.1.clone();
        hash.push(name);
        let before = self.seen.set(hash.key(), kind);
        match before {
            None => Ok(()),
            Some(Seen::Implied) if kind == Seen::Directory => Ok(()),
            // A second entry would replace what was checked by what was not: a symlink
            // put in the place of a directory sends everything below it elsewhere.
            Some(_) => Err(ArchiveError::Duplicate { path: entry.path.clone() }),
        }
    }

    /// Every parent must be a directory, or absent so far and thus implied to be one.
    /// Gives the last segment.
    fn record_parents<'p>(&mut self, path: &'p PathBytes) -> Result<&'p [u8], ArchiveError> {
        let (parent, name) = match path.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&path.0[..slash], &path.0[slash + 1..]),
            None => (&[][..], path.0.as_slice()),
        };
        if parent == self.last_parent.0 {
            return Ok(name);
        }
        let mut hash = self.seen.top();
        let mut end = 0;
        for segment in parent.split(|&b| b == b'/').filter(|_| !parent.is_empty()) {
            hash.push(segment);
            end += segment.len();
            let key = hash.key();
            match self.seen.look(&key) {
                // `rootfs/link/passwd` after a symlink `rootfs/link → /etc` is written to /etc.
                Some(Seen::Other) => {
                    let through = parent[..end].into();
                    return Err(ArchiveError::ThroughNonDirectory { path: path.clone(), through });
                }
                Some(Seen::Directory | Seen::Implied) => {}
                None => {
                    self.seen.set(key, Seen::Implied);
                }
            }
            end += 1;
        }
        // One path of a header's size can name two thousand folders.
        if self.seen.len() > self.max_entries {
            return Err(ArchiveError::Limit { what: Limited::Entries, allowed: self.max_entries });
        }
        self.last_parent.0.clear();
        self.last_parent.0.extend_from_slice(parent);
        self.last_parent.1 = hash;
        Ok(name)
    }

    /// A hard link may name an earlier file of the rootfs and nothing else: one to
    /// `../../etc/shadow` would give the image a file of the host.
    fn check_hard_link(&self, path: &PathBytes, target: &PathBytes) -> Result<(), ArchiveError> {
        let fault = match self.seen.look(&self.seen.key(&target.0)) {
            Some(Seen::Other) if target.0.starts_with(b"rootfs/") => return Ok(()),
            Some(Seen::Other) => "is not in the rootfs",
            Some(_) => "is a directory",
            None => "is not in the archive before it",
        };
        Err(ArchiveError::HardLink { path: path.clone(), target: target.clone(), fault })
    }

    /// What an earlier entry has made of a path.
    pub(super) fn look(&self, path: &[u8]) -> Option<Seen> {
        self.seen.look(&self.seen.key(path))
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
