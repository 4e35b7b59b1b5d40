//! What files are in the image where the disk cannot say it.
//!
//! An ordinary user can give no file away, make no device, and set no capability. So all that is
//! on disk belongs to that user, which means root in the image, and whatever is different stands
//! in a list beside the root file system. Root's files are on disk as they are, and need no list.

use std::collections::BTreeMap;
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
    /// It was removed, though an image that this one depends on has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) removed: bool,
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
        if self.removed {
            return Override::default();
        }
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
struct Line {
    path: Bytes,
    #[serde(flatten)]
    property: Property,
}

/// The list, by paths below the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<Vec<u8>, Property>);

impl Properties {
    /// Reads the list of a file; an empty one where there is none.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        let text = match std::fs::read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other?,
        };
        let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
        let read = lines.map(|line| {
            let Line { path, property } = serde_json::from_slice(line)?;
            Ok((path.as_slice().to_vec(), property))
        });
        read.collect::<io::Result<_>>().map(Self)
    }

    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let mut text = Vec::new();
        for (path, property) in &self.0 {
            let line = Line { path: path.clone().into(), property: property.clone() };
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        stage::write(file, &text, 0o644, Existing::Replace)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn of(&self, below: &[u8]) -> Option<&Property> {
        self.0.get(below)
    }

    pub(crate) fn set(&mut self, below: &[u8], property: Property) {
        if property == Property::default() {
            self.0.remove(below);
        } else {
            self.0.insert(below.to_vec(), property);
        }
    }

    /// Forgets a file, and all that is below it.
    pub(crate) fn forget(&mut self, below: &[u8]) {
        if below.is_empty() {
            return self.0.clear();
        }
        self.0.remove(below);
        let inside = [below, b"/"].concat();
        let range = (Bound::Included(inside.clone()), Bound::Unbounded);
        let paths = self.0.range(range).map(|(path, _)| path);
        let gone: Vec<_> = paths.take_while(|path| path.starts_with(&inside)).cloned().collect();
        for path in gone {
            self.0.remove(&path);
        }
    }

    /// Notes that a file of a dependency was removed.
    pub(crate) fn remove(&mut self, below: &[u8]) {
        self.forget(below);
        self.set(below, Property { removed: true, ..Property::default() });
    }

    /// What was removed of dependencies.
    pub(crate) fn removed(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(|(_, property)| property.removed).map(|(path, _)| path.as_slice())
    }

    /// All of it, as a step wants it.
    pub(crate) fn owned(&self) -> Vec<Owned> {
        let special = |property: &Property| property.device.is_some() || property.removed;
        let owned = self.0.iter().filter(|(_, property)| !special(property));
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
        // The caller must be able to read, move and remove it.
        let needed = if entry.kind == EntryKind::Directory { 0o700 } else { 0o600 };
        let on_disk = (entry.mode & 0o1777) | needed;
        property.mode = (on_disk != entry.mode).then_some(entry.mode);
        entry.mode = on_disk;
    }
    let attributes = entry.xattrs.drain(..);
    property.attributes = attributes.map(|(name, value)| (name.into(), value.into())).collect();
    (entry, property)
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
        let left: Vec<_> = all.0.keys().map(|path| String::from_utf8_lossy(path)).collect();
        assert_eq!(left, ["a-b", "ab"]);
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
