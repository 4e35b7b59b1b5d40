//! The root file systems of the images that one depends on, as they lie below its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aci::root::Root;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::error::ContextError;
use super::paths::{Descend, Place, path_of, split, walk};
use super::properties::Properties;

/// Rendered root file systems, topmost first.
pub(super) struct Lower(Vec<(PathBuf, Root)>);

impl Lower {
    pub(super) fn open(trees: &[PathBuf]) -> Result<Self, ContextError> {
        let open = |tree: &PathBuf| {
            let root = Root::open(tree).map_err(ContextError::io("open", tree))?;
            Ok((tree.clone(), root))
        };
        trees.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// What the topmost of them has at a path that leads through folders alone.
    pub(super) fn kind(&self, below: &[u8]) -> Result<Option<FileType>, ContextError> {
        for (_, root) in &self.0 {
            if let Some(kind) = kind_in(root, below)? {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    /// The places that a path leads to in each of them, links followed inside its root.
    pub(super) fn places(&self, path: &Path) -> Result<Vec<Place>, ContextError> {
        let places = self.0.iter().map(|(_, root)| Place::of(root, path));
        places.filter(|place| !matches!(place, Ok(Place { kind: None, .. }))).collect()
    }

    /// Shows all there is below each of them, and whether it is a folder.
    pub(super) fn each(&self, mut visit: impl FnMut(&[u8], bool)) -> Result<(), ContextError> {
        for (tree, _) in &self.0 {
            walk(tree, b"", |below, metadata| {
                visit(below, metadata.is_dir());
                Ok(Descend::Into)
            })?;
        }
        Ok(())
    }

    /// All paths that are seen in an image whose own root this is, its own among them.
    pub(super) fn seen(
        &self,
        rootfs: &Path,
        properties: &Properties,
    ) -> Result<BTreeSet<Vec<u8>>, ContextError> {
        let (mut seen, mut no_folders) = (BTreeSet::new(), BTreeSet::new());
        let trees = self.0.iter().map(|(tree, _)| tree.as_path());
        for (at, tree) in std::iter::once(rootfs).chain(trees).enumerate() {
            walk(tree, b"", |below, metadata| {
                let is_hidden = at > 0 && properties.is_hidden(below);
                if is_hidden || no_folders.contains(below) {
                    return Ok(Descend::Past);
                }
                if !metadata.is_dir() && !seen.contains(below) {
                    no_folders.insert(below.to_vec());
                }
                seen.insert(below.to_vec());
                Ok(Descend::Into)
            })?;
        }
        Ok(seen)
    }
}

/// What a root has at a path, where that leads through folders alone.
fn kind_in(root: &Root, below: &[u8]) -> Result<Option<FileType>, ContextError> {
    let (folder, name) = split(below);
    let look = || {
        let folder = root.folder(folder)?;
        let name: &[u8] = if name.is_empty() { b"." } else { name };
        Ok(rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
    };
    let found: std::io::Result<rustix::fs::Stat> = look();
    match found {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            _ => Err(ContextError::io("look at", path_of(below))(error)),
        },
    }
}
