//! What a change does to a context, written down before it is done.
//!
//! Everything new is staged in `change/` first. When the journal has its name, the change counts:
//! whoever opens the context next finishes what was not finished. Until then it does not, and
//! `change/` is thrown away. Each operation can be done again after it was done. Nothing is synced:
//! a kill loses nothing, and after a power cut a build is begun again.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use aci::root::Root;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::step::Bytes;

/// One operation on the root file system. Paths are below it, without links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation {
    /// Moves what is at `path` away, to `change/trash/{number}`.
    Discard { path: Bytes, number: u64 },
    /// Moves `change/new/{source}` to `path`; only what is no folder gives way.
    Place { source: Bytes, path: Bytes },
    /// Makes a folder where there is none.
    MakeFolder { path: Bytes },
    /// Gives what is at `path` other properties.
    Set { path: Bytes, to: Set },
}

/// Properties of a file on disk; those that are absent stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Set {
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) mode: Option<u32>,
    pub(crate) mtime: Option<i64>,
    /// Attributes to set, and those to remove.
    pub(crate) attributes: Vec<(Bytes, Option<Bytes>)>,
}

/// A change that counts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Journal {
    pub(crate) operations: Vec<Operation>,
    /// Whether `change/manifest` takes the place of the manifest.
    pub(crate) manifest: bool,
    /// Whether `change/properties.jsonl` takes the place of that list.
    pub(crate) properties: bool,
}

impl Journal {
    /// Does all of it, or what is left of it.
    pub(crate) fn apply(&self, context: &Path) -> io::Result<()> {
        let root = Root::open(&context.join(super::ROOTFS))?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let change = rustix::fs::open(context.join(super::CHANGE), flags, Mode::empty())?;
        for operation in &self.operations {
            operation
                .apply(&root, &change)
                .map_err(|error| io::Error::new(error.kind(), format!("{operation}: {error}")))?;
        }
        let current = rustix::fs::open(context.join(super::CURRENT), flags, Mode::empty())?;
        let context = rustix::fs::open(context, flags, Mode::empty())?;
        if self.manifest {
            moved(rustix::fs::renameat(&change, super::MANIFEST, &current, super::MANIFEST))?;
        }
        if self.properties {
            moved(rustix::fs::renameat(&change, super::PROPERTIES, &context, super::PROPERTIES))?;
        }
        Ok(())
    }
}

/// What is not there was moved before.
fn moved(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (doing, path) = match self {
            Self::Discard { path, .. } => ("removing", path),
            Self::Place { path, .. } => ("placing", path),
            Self::MakeFolder { path } => ("making the folder", path),
            Self::Set { path, .. } => ("changing the properties of", path),
        };
        write!(f, "{doing} /{}", aci::archive::PathBytes(path.as_slice().to_vec()))
    }
}

impl Operation {
    fn apply(&self, root: &Root, change: &OwnedFd) -> io::Result<()> {
        match self {
            Self::Discard { path, number } => {
                let trash = format!("trash/{number}");
                if rustix::fs::statat(change, &trash, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                    return Ok(());
                }
                let Some((folder, name)) = there(parent(root, path))? else { return Ok(()) };
                let flags = RenameFlags::NOREPLACE;
                let rename = || rustix::fs::renameat_with(&folder, name, change, &trash, flags);
                match rename() {
                    // A folder of the caller's that the caller may not write in cannot be moved.
                    Err(Errno::ACCESS) => {
                        let mode = Mode::RWXU;
                        rustix::fs::chmodat(&folder, name, mode, AtFlags::empty())?;
                        moved(rename())
                    }
                    other => moved(other),
                }
            }
            Self::Place { source, path } => {
                let (folder, name) = parent(root, path)?;
                let source = [b"new/", source.as_slice()].concat();
                moved(rustix::fs::renameat(change, source, &folder, name))
            }
            Self::MakeFolder { path } => {
                let (folder, name) = parent(root, path)?;
                match rustix::fs::mkdirat(&folder, name, Mode::RWXU) {
                    Err(Errno::EXIST) => Ok(()),
                    other => Ok(other?),
                }
            }
            Self::Set { path, to } => to.apply(root, path),
        }
    }
}

impl Set {
    /// Owner, then mode, then attributes, then time: each undoes a part of the one after it.
    fn apply(&self, root: &Root, path: &Bytes) -> io::Result<()> {
        // What another operation of the same change has removed needs no properties.
        let Some((folder, name)) = there(parent(root, path))? else { return Ok(()) };
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(&folder, name, nofollow).map_err(io::Error::from);
        let Some(stat) = there(stat)? else { return Ok(()) };
        if let Some((uid, gid)) = self.owner {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            rustix::fs::chownat(&folder, name, Some(uid), Some(gid), nofollow)?;
        }
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        // A change of owner takes the set-user-ID bit away.
        let kept = self.owner.is_some().then_some(stat.st_mode & 0o7777);
        if let Some(mode) = self.mode.or(kept).filter(|_| !is_link) {
            let mode = Mode::from_raw_mode(mode);
            rustix::fs::chmodat(&folder, name, mode, AtFlags::empty())?;
        }
        let mut link = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
        link.extend_from_slice(name);
        for (attribute, value) in &self.attributes {
            let name = attribute.as_slice();
            match value {
                Some(value) => {
                    let flags = XattrFlags::empty();
                    rustix::fs::lsetxattr(link.as_slice(), name, value.as_slice(), flags)?;
                }
                None => match rustix::fs::lremovexattr(link.as_slice(), name) {
                    Err(Errno::NODATA) => {}
                    other => other?,
                },
            }
        }
        if let Some(mtime) = self.mtime {
            let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(&folder, name, &times, nofollow)?;
        }
        Ok(())
    }
}

/// What was found, where it is there.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// The folder something is in, and its name there; the root is `.` in itself.
fn parent<'p>(root: &Root, path: &'p Bytes) -> io::Result<(OwnedFd, &'p [u8])> {
    let path = path.as_slice();
    if path.is_empty() {
        return Ok((root.folder(b"")?, b"."));
    }
    let (folder, name) = super::paths::split(path);
    Ok((root.folder(folder)?, name))
}

/// Removes a folder with all that is in it, in one step for whoever looks.
pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    match aci::stage::remove_folder(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether there is something of this name.
pub(crate) fn exists(path: &Path) -> bool {
    rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}
