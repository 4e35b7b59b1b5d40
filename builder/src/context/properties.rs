//! What files are in the image where the disk cannot say it.
//!
//! An ordinary user can give no file away, make no device, and set no capability. So all that is
//! on disk belongs to that user, which means root in the image, and whatever is different stands
//! in a list beside the root file system. Root's files are on disk as they are, and need no list.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::Path;

use aci::archive::{Entry, EntryKind};
use aci::stage::{self, Existing};
use serde::{Deserialize, Serialize};

use crate::capability::NAME as CAPABILITY;
use crate::overrides::Override;
use crate::step::{Bytes, Owned};

/// What one file is in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Property {
    /// Its user.
    pub(crate) uid: u32,
    /// Its group.
    pub(crate) gid: u32,
    /// The twelve bits of its mode; `None` where the disk is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<u32>,
    /// Extended attributes it has besides those on disk.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<Bytes, Bytes>,
    /// The device it is, for which an empty file stands on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<Device>,
}

/// A device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) block: bool,
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl Property {
    /// As a rule would say it.
    pub(crate) fn as_override(&self) -> Override {
        let bytes = |bytes: &Bytes| bytes.as_slice().to_vec();
        let attributes = self.attributes.iter();
        Override {
            owner: Some((self.uid, self.gid)),
            mode: self.mode,
            attributes: attributes.map(|(name, value)| (bytes(name), bytes(value))).collect(),
        }
    }
}

impl Device {
    pub(crate) fn kind(self) -> EntryKind {
        let device = (self.major, self.minor);
        if self.block { EntryKind::Block { device } } else { EntryKind::Character { device } }
    }
}

/// A line of the list.
#[derive(Serialize, Deserialize)]
enum Line {
    /// What a file is.
    #[serde(rename = "file")]
    File {
        path: Bytes,
        #[serde(flatten)]
        property: Property,
    },
    /// What the images that this one depends on have at a path and below it is not seen.
    #[serde(rename = "hidden")]
    Hidden { path: Bytes },
}

/// The list, by paths below the root; and what is hidden of the images this one depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    files: BTreeMap<Vec<u8>, Property>,
    /// No path here is below another one.
    hidden: BTreeSet<Vec<u8>>,
}

impl Properties {
    /// Reads the list of a file; an empty one where there is none.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        let text = match std::fs::read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other?,
        };
        let mut all = Self::default();
        for line in text.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line)? {
                Line::File { path, property } => all.set(path.as_slice(), property),
                Line::Hidden { path } => all.hide(path.as_slice()),
            }
        }
        Ok(all)
    }

    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let files = self.files.iter().map(|(path, property)| Line::File {
            path: path.clone().into(),
            property: property.clone(),
        });
        let hidden = self.hidden.iter().map(|path| Line::Hidden { path: path.clone().into() });
        let mut text = Vec::new();
        for line in files.chain(hidden) {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        stage::put(file, &text, 0o644, Existing::Replace)
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the list says of files.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&[u8], &Property)> {
        self.files.iter().map(|(path, property)| (path.as_slice(), property))
    }

    /// Takes in what another list says of files.
    pub(crate) fn merge(&mut self, other: Self) {
        self.files.extend(other.files);
    }

    /// Nothing is hidden any more.
    pub(crate) fn unhide(&mut self) {
        self.hidden.clear();
    }

    pub(crate) fn of(&self, below: &[u8]) -> Option<&Property> {
        self.files.get(below)
    }

    pub(crate) fn set(&mut self, below: &[u8], property: Property) {
        if property == Property::default() {
            self.files.remove(below);
        } else {
            self.files.insert(below.to_vec(), property);
        }
    }

    /// Forgets a file, and all that is below it.
    pub(crate) fn forget(&mut self, below: &[u8]) {
        self.files.remove(below);
        let gone: Vec<_> = self.files.range(inside(below)).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.files.remove(&path);
        }
    }

    /// Hides what the images that this one depends on have at a path, and all below it. Nothing
    /// brings it back: what is put there later stands in its place.
    pub(crate) fn hide(&mut self, below: &[u8]) {
        if self.is_hidden(below) {
            return;
        }
        let within: Vec<_> = self.hidden.range(inside(below)).cloned().collect();
        for path in within {
            self.hidden.remove(&path);
        }
        self.hidden.insert(below.to_vec());
    }

    /// Whether what dependencies have at a path is hidden.
    pub(crate) fn is_hidden(&self, below: &[u8]) -> bool {
        let slashes = below.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        !self.hidden.is_empty()
            && slashes.chain([below.len()]).any(|end| self.hidden.contains(&below[..end]))
    }

    /// What is hidden of dependencies; all that is below these paths is, too.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = &[u8]> {
        self.hidden.iter().map(Vec::as_slice)
    }

    /// All of it, as a step wants it.
    pub(crate) fn owned(&self) -> Vec<Owned> {
        let owned = self.files.iter().filter(|(_, property)| property.device.is_none());
        owned
            .map(|(path, property)| Owned {
                path: path.clone().into(),
                uid: property.uid,
                gid: property.gid,
                mode: property.mode,
                attributes: property.attributes.clone().into_iter().collect(),
            })
            .collect()
    }
}

/// All paths below one, of which the root's is empty.
fn inside(below: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    if below.is_empty() {
        return (Bound::Excluded(Vec::new()), Bound::Unbounded);
    }
    // The byte after a slash.
    (Bound::Excluded([below, b"/"].concat()), Bound::Excluded([below, b"0"].concat()))
}

/// How an entry stands on the disk of an ordinary user, and what the list has to say of it.
pub(crate) fn for_user(mut entry: Entry) -> (Entry, Property) {
    let mut property = Property { uid: entry.uid, gid: entry.gid, ..Property::default() };
    let device = |block, (major, minor)| Some(Device { block, major, minor });
    property.device = match entry.kind {
        EntryKind::Character { device: numbers } => device(false, numbers),
        EntryKind::Block { device: numbers } => device(true, numbers),
        _ => None,
    };
    if property.device.is_some() {
        entry.kind = EntryKind::File { size: 0 };
    }
    if !matches!(entry.kind, EntryKind::Symlink { .. }) {
        let on_disk = disk_mode(entry.mode, entry.kind == EntryKind::Directory);
        property.mode = (on_disk != entry.mode).then_some(entry.mode);
        entry.mode = on_disk;
    }
    let attributes = entry.xattrs.drain(..);
    property.attributes = attributes.map(|(name, value)| (name.into(), value.into())).collect();
    (entry, property)
}

/// The mode on the disk of an ordinary user, who must be able to read, move and remove the file.
pub(crate) fn disk_mode(mode: u32, is_folder: bool) -> u32 {
    (mode & 0o1777) | if is_folder { 0o700 } else { 0o600 }
}

/// The name of the attribute that holds capabilities.
pub(crate) fn capability_name() -> Bytes {
    CAPABILITY.to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: u32) -> Property {
        Property { uid, ..Property::default() }
    }

    #[test]
    fn list_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("properties");
        let mut all = Properties::default();
        all.set(b"caf\xe9\n", owner(7));
        let attributes = [(capability_name(), vec![1, 0].into())].into();
        all.set(b"bin/ping", Property { attributes, ..Property::default() });
        let device = Some(Device { block: false, major: 1, minor: 3 });
        all.set(b"dev/null", Property { device, ..Property::default() });
        all.set(b"root", owner(0));
        all.hide(b"usr/share/doc\xff");
        all.write(&file).unwrap();
        assert_eq!(Properties::read(&file).unwrap(), all);
        assert_eq!(all.of(b"root"), None, "nothing to say");
        assert!(Properties::read(&folder.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn forget_takes_what_is_below_and_no_neighbour() {
        let mut all = Properties::default();
        for path in ["a", "a/b", "a/b/c", "a-b", "ab"] {
            all.set(path.as_bytes(), owner(1));
        }
        all.forget(b"a");
        let left: Vec<_> = all.files.keys().map(|path| String::from_utf8_lossy(path)).collect();
        assert_eq!(left, ["a-b", "ab"]);
    }

    #[test]
    fn what_is_hidden_stays_hidden_with_all_below_it() {
        let mut all = Properties::default();
        for path in ["a/b/c", "a-b", "a/b/c/d", "a/b"] {
            all.hide(path.as_bytes());
        }
        all.forget(b"a");
        assert_eq!(all.hidden().collect::<Vec<_>>(), [&b"a-b"[..], b"a/b"]);
        let hidden =
            ["a/b", "a/b/c", "a-b/x", "a", "a/bb", "b"].map(|p| all.is_hidden(p.as_bytes()));
        assert_eq!(hidden, [true, true, true, false, false, false]);
    }

    #[test]
    fn file_of_a_user_can_be_read_and_removed_by_that_user() {
        let entry = |kind, mode| Entry {
            path: "rootfs/x".into(),
            kind,
            mode,
            uid: 33,
            gid: 0,
            mtime: 0,
            xattrs: vec![(b"security.capability".to_vec(), vec![1])],
        };
        let (disk, property) = for_user(entry(EntryKind::File { size: 9 }, 0o4000));
        assert_eq!((disk.mode, property.mode, property.uid), (0o600, Some(0o4000), 33));
        assert!(disk.xattrs.is_empty() && property.attributes.len() == 1);
        let (disk, property) = for_user(entry(EntryKind::Directory, 0o1755));
        assert_eq!((disk.mode, property.mode), (0o1755, None));
        let (disk, property) = for_user(entry(EntryKind::Block { device: (8, 1) }, 0o660));
        assert_eq!(disk.kind, EntryKind::File { size: 0 });
        assert_eq!(property.device.unwrap().kind(), EntryKind::Block { device: (8, 1) });
    }
}
