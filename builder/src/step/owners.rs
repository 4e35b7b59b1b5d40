//! Owners, modes, times and extended attributes: of the image's files, as the command sees them.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::error::Fault;
use super::order::{Bytes, Owned, Run};

/// Gives files of the merged root what they are in the image. Says which of them, and of those that
/// were `copied`, have a copy in the upper folder, and its state.
pub(super) fn apply(run: &Run, copied: &[PathBuf]) -> Result<Vec<(Bytes, String)>, Fault> {
    let (merged, upper) = (run.scratch("merged"), run.scratch("upper"));
    let mut prepared = Vec::new();
    for owned in &run.owners {
        let path = owned.path.path();
        // The record is of a lower layer: in the merged root another file may have the name.
        let Some(place) = real(&merged, &path).map_err(|error| Fault::owner(&path, error))? else {
            continue;
        };
        give(&place, owned, run.alone).map_err(|error| Fault::owner(&path, error))?;
    }
    let owned = run.owners.iter().map(|owned| owned.path.path());
    for path in owned.chain(copied.iter().cloned()) {
        let place = upper.join(&path);
        if let Ok(found) = fs::symlink_metadata(&place) {
            let attributes = attributes(&place).map_err(|error| Fault::owner(&path, error))?;
            prepared.push((path.into(), state(run, &found, &attributes)));
        }
    }
    Ok(prepared)
}

/// What is another where a command has changed a file of the upper folder. Of a folder, the overlay
/// itself changes attributes.
pub(super) fn state(run: &Run, found: &Metadata, attributes: &[(Bytes, Bytes)]) -> String {
    if !found.is_dir() {
        return format!("{}.{}", found.ctime(), found.ctime_nsec());
    }
    let own = run.overlay_attributes();
    let kept = attributes.iter().filter(|(name, _)| !name.as_slice().starts_with(own));
    let (owner, time) = ((found.uid(), found.gid()), (found.mtime(), found.mtime_nsec()));
    format!("{:o} {owner:?} {time:?} {:?}", found.mode(), kept.collect::<Vec<_>>())
}

/// The place of a path below `root`, where it is there and leads through folders only. Attack: a
/// link in the place of a folder leads to a file of the host, which would be changed.
pub(super) fn real(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let mut place = root.to_owned();
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else { return Ok(None) };
        place.push(name);
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_dir() || parts.peek().is_none() => {}
            Ok(_) => return Ok(None),
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(place))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn give(place: &Path, owned: &Owned, alone: bool) -> io::Result<()> {
    let found = fs::symlink_metadata(place)?;
    if !alone && (found.uid(), found.gid()) != (owned.uid, owned.gid) {
        match chown(place, owned.uid, owned.gid) {
            // An ID the namespace does not have.
            Err(Errno::INVAL) => {}
            other => other?,
        }
    }
    let mode = owned.mode.filter(|_| !found.is_symlink());
    let has = fs::symlink_metadata(place)?.mode() & 0o7777;
    if let Some(mode) = mode.filter(|mode| *mode != has) {
        fs::set_permissions(place, fs::Permissions::from_mode(mode))?;
    }
    for (name, value) in &owned.attributes {
        set(place, name, value.as_slice())?;
    }
    Ok(())
}

fn chown(place: &Path, uid: u32, gid: u32) -> Result<(), Errno> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(CWD, place, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

/// Sets an attribute, where a namespace may.
fn set(place: &Path, name: &Bytes, value: &[u8]) -> io::Result<()> {
    match rustix::fs::lsetxattr(place, name.as_slice(), value, XattrFlags::empty()) {
        // `trusted.` and labels are for root; a value that names an ID may name one too many.
        Err(Errno::PERM | Errno::NOTSUP | Errno::INVAL) => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

/// Gives the folders on the way to these paths, in a layer, what they have in the root that is seen
/// at `merged`, since the topmost layer says what a folder is like. Gives their paths.
pub(super) fn copy_ways<'p>(
    paths: impl Iterator<Item = &'p Path>,
    merged: &Path,
    layer: &Path,
) -> Result<Vec<PathBuf>, Fault> {
    let mut ways: BTreeSet<&Path> = paths.flat_map(|path| path.ancestors().skip(1)).collect();
    ways.insert(Path::new(""));
    // Children first: they change the times of their parents.
    for way in ways.iter().rev() {
        let of_image = merged.join(way);
        if fs::symlink_metadata(&of_image).is_ok_and(|found| found.is_dir()) {
            copy(&of_image, &layer.join(way))?;
        }
    }
    Ok(ways.into_iter().filter(|way| !way.as_os_str().is_empty()).map(Path::to_owned).collect())
}

/// Gives `to` what `from`, which is no link, has: owner, mode, attributes, times.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Fault> {
    let copied = || -> io::Result<()> {
        let found = fs::metadata(from)?;
        chown(to, found.uid(), found.gid())?;
        fs::set_permissions(to, fs::Permissions::from_mode(found.mode() & 0o7777))?;
        for (name, value) in attributes(from)? {
            set(to, &name, value.as_slice())?;
        }
        let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps {
            last_access: time(found.atime(), found.atime_nsec()),
            last_modification: time(found.mtime(), found.mtime_nsec()),
        };
        Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    };
    copied().map_err(|error| Fault::owner(from, error))
}

/// Extended attributes of a file itself, sorted by name.
pub(super) fn attributes(path: &Path) -> io::Result<Vec<(Bytes, Bytes)>> {
    let mut list = vec![0; 0];
    loop {
        let length = match rustix::fs::llistxattr_query(path) {
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            other => other?,
        };
        list.resize(length, 0);
        match rustix::fs::llistxattr(path, list.as_mut_slice()) {
            Err(Errno::RANGE) => {}
            other => {
                list.truncate(other?);
                break;
            }
        }
    }
    let mut found = Vec::new();
    for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; rustix::fs::lgetxattr_query(path, name)?];
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice())?;
        value.truncate(length);
        found.push((Bytes::from(name.to_vec()), Bytes::from(value)));
    }
    found.sort();
    Ok(found)
}
