//! The root file systems of the images that one depends on, as they lie below its own.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use aci::Limits;
use aci::archive::{ArchiveError, EntryKind, read_entries};
use aci::root::Root;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::error::ContextError;
use super::paths::{Descend, Place, path_of, split, walk};
use super::properties::{Properties, Property, disk_mode, for_user};

/// Rendered root file systems, topmost first.
pub(super) struct Lower(pub(super) Vec<Tree>);

/// One of them.
pub(super) struct Tree {
    pub(super) path: PathBuf,
    root: Root,
    /// What the disk of an ordinary user cannot say of its files.
    pub(super) properties: Properties,
}

/// The file in which it stands what the disk cannot say of a rendered root file system.
fn beside(tree: &Path) -> PathBuf {
    let mut path = tree.as_os_str().to_owned();
    path.push(".jsonl");
    path.into()
}

/// Writes down beside a rendered root file system what the disk of an ordinary user cannot say of
/// it, as the images say it of which it was rendered, the weakest first.
pub fn record<R: Read>(
    tree: &Path,
    images: impl IntoIterator<Item = R>,
    limits: &Limits,
) -> Result<(), ContextError> {
    let root = Root::open(tree).map_err(ContextError::io("open", tree))?;
    let mut properties = Properties::default();
    for image in images {
        let mut own = Properties::default();
        read_entries(image, limits, |entry, _| -> Result<(), ArchiveError> {
            let Some(below) = entry.path.0.strip_prefix(b"rootfs") else { return Ok(()) };
            let below = below.strip_prefix(b"/").unwrap_or(below).to_vec();
            let property = match &entry.kind {
                EntryKind::HardLink { target } => {
                    let target = target.0.strip_prefix(b"rootfs/").unwrap_or(&target.0);
                    own.of(target).cloned().unwrap_or_default()
                }
                _ => for_user(entry).1,
            };
            own.set(&below, property.clone());
            // The strongest image that has a path says what it is.
            properties.set(&below, property);
            Ok(())
        })?;
    }
    let io = || ContextError::io("write beside", tree);
    // Folders come before what is in them.
    for (below, property) in properties.files() {
        stand_for(&root, below, property).map_err(io())?;
    }
    properties.write(&beside(tree)).map_err(io())
}

/// Makes a file of a rendered tree what stands for it on the disk of an ordinary user, who has to be
/// able to read it.
fn stand_for(root: &Root, below: &[u8], property: &Property) -> std::io::Result<()> {
    let (folder, name) = split(below);
    let name = if name.is_empty() { b"." } else { name };
    // A whitelist may have left it out, or a stronger image have another thing in its way.
    let Ok(folder) = root.folder(folder) else { return Ok(()) };
    let kind = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => FileType::from_raw_mode(stat.st_mode),
        Err(Errno::NOENT) if property.device.is_some() => {
            // A device was left out, and an empty file stands for it.
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(&folder, name, flags, Mode::RUSR | Mode::WUSR)?;
            return Ok(());
        }
        Err(_) => return Ok(()),
    };
    let Some(mode) = property.mode.filter(|_| kind != FileType::Symlink) else { return Ok(()) };
    let mode = Mode::from_raw_mode(disk_mode(mode, kind == FileType::Directory));
    Ok(rustix::fs::chmodat(&folder, name, mode, AtFlags::empty())?)
}

impl Lower {
    pub(super) fn open(trees: &[PathBuf]) -> Result<Self, ContextError> {
        let open = |path: &PathBuf| {
            let root = Root::open(path).map_err(ContextError::io("open", path))?;
            let properties = Properties::read(&beside(path));
            let properties = properties.map_err(ContextError::io("read", beside(path)))?;
            Ok(Tree { path: path.clone(), root, properties })
        };
        trees.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// What the disk cannot say of what is seen of them below an image's own root.
    pub(super) fn properties(
        &self,
        own: &Root,
        hidden: &Properties,
    ) -> Result<Properties, ContextError> {
        let mut all = Properties::default();
        for (at, tree) in self.0.iter().enumerate() {
            for (below, property) in tree.properties.files() {
                let mut above = std::iter::once(own).chain(self.0[..at].iter().map(|it| &it.root));
                if hidden.is_hidden(below)
                    || kind_in(&tree.root, below)?.is_none()
                    || above.try_fold(false, |found, root| {
                        Ok::<_, ContextError>(found || kind_in(root, below)?.is_some())
                    })?
                {
                    continue;
                }
                all.set(below, property.clone());
            }
        }
        Ok(all)
    }

    /// What the topmost of them has at a path that leads through folders alone.
    pub(super) fn kind(&self, below: &[u8]) -> Result<Option<FileType>, ContextError> {
        for tree in &self.0 {
            if let Some(kind) = kind_in(&tree.root, below)? {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    /// The places that a path leads to in each of them, links followed inside its root.
    pub(super) fn places(&self, path: &Path) -> Result<Vec<Place>, ContextError> {
        let places = self.0.iter().map(|tree| Place::of(&tree.root, path));
        places.filter(|place| !matches!(place, Ok(Place { kind: None, .. }))).collect()
    }

    /// Shows all there is below each of them, and whether it is a folder.
    pub(super) fn each(&self, mut visit: impl FnMut(&[u8], bool)) -> Result<(), ContextError> {
        for tree in &self.0 {
            walk(&tree.path, b"", |below, metadata| {
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
        let trees = self.0.iter().map(|tree| tree.path.as_path());
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
pub(super) fn kind_in(root: &Root, below: &[u8]) -> Result<Option<FileType>, ContextError> {
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
