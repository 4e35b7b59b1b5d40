//! Files that come into a context: from a folder, an archive, or an image.

use std::path::Path;

use aci::archive::{
    ArchiveError, Entry, EntryKind, FileContent, NewFile, Ownership, TreeBuilder, Undone,
    UnpackOptions,
};

use super::error::ContextError;
use super::paths::join;
use super::properties::{Properties, for_user};
use crate::attributes::belongs;

/// Fills a folder with entries of a rootfs.
pub(super) struct Intake<'a> {
    tree: TreeBuilder<'a>,
    properties: &'a mut Properties,
    moved: Moved<'a>,
    is_root: bool,
}

/// Where entries come to be: what is called `from` in the entries will be `to` in the image.
#[derive(Clone, Copy)]
pub(super) struct Moved<'a> {
    pub(super) from: &'a [u8],
    pub(super) to: &'a [u8],
}

impl Moved<'_> {
    fn path(&self, path: &[u8]) -> Vec<u8> {
        let below = path.strip_prefix(self.from).unwrap_or(path);
        join(self.to, below.strip_prefix(b"/").unwrap_or(below))
    }
}

/// How files stand on disk: as they are for root, belonging to the caller otherwise.
pub(super) fn ownership() -> UnpackOptions<'static> {
    let is_root = rustix::process::geteuid().is_root();
    UnpackOptions::new(if is_root { Ownership::Restore } else { Ownership::Caller })
}

impl<'a> Intake<'a> {
    /// Fills `target`, an empty folder, with `rootfs` and what is in it.
    pub(super) fn new(
        target: &Path,
        moved: Moved<'a>,
        options: &'a UnpackOptions<'a>,
        properties: &'a mut Properties,
    ) -> Result<Self, ArchiveError> {
        let is_root = options.ownership == Ownership::Restore;
        Ok(Self { tree: TreeBuilder::new(target, options)?, properties, moved, is_root })
    }

    /// Takes an entry in.
    pub(super) fn place(
        &mut self,
        entry: Entry,
        content: FileContent<'_>,
    ) -> Result<(), ArchiveError> {
        let is_device = matches!(entry.kind, EntryKind::Character { .. } | EntryKind::Block { .. });
        let entry = self.on_disk(entry);
        match is_device && !self.is_root {
            true => self.tree.place(&entry, &mut |_| Ok(0)),
            false => self.tree.place(&entry, content),
        }
    }

    /// Takes a regular file in, which is made later.
    pub(super) fn new_file(&mut self, entry: Entry) -> Result<NewFile<'a>, ArchiveError> {
        let entry = self.on_disk(entry);
        self.tree.new_file(entry)
    }

    /// Takes into account what could not be done of a file.
    pub(super) fn account(&mut self, entry: &Entry, undone: &Undone) -> Result<(), ArchiveError> {
        self.tree.account(entry, undone)
    }

    /// An entry as it stands on disk; what the disk cannot say goes into the list.
    fn on_disk(&mut self, mut entry: Entry) -> Entry {
        // Root's files have theirs on disk, from where no others are packed.
        entry.xattrs.retain(|(name, _)| belongs(name));
        if self.is_root {
            return entry;
        }
        let below = self.moved.path(&entry.path.0);
        let property = self.link_property(&entry);
        let (entry, own) = for_user(entry);
        self.properties.set(&below, property.unwrap_or(own));
        entry
    }

    /// All names of one file have the properties of the first.
    fn link_property(&self, entry: &Entry) -> Option<super::properties::Property> {
        let EntryKind::HardLink { target } = &entry.kind else { return None };
        Some(self.properties.of(&self.moved.path(&target.0)).cloned().unwrap_or_default())
    }

    /// Gives folders their properties, and writes `target/manifest`.
    pub(super) fn finish(self, manifest: &[u8]) -> Result<(), ContextError> {
        match self.tree.finish(manifest)?.xattrs {
            0 => Ok(()),
            lost => Err(ContextError::Attributes(lost)),
        }
    }
}
