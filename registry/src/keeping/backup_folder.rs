//! Where a backup may be made: where nothing else is lost by it.
//!
//! A folder of a backup has a mark from its beginning on. So one that was cut off is told from the data
//! directory of a registry, which looks much the same. A file of another's that has the mark's name is
//! none. The files of images lie in the folder itself: behind a link may be another registry's.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use aci::stage::{self, Existing};

use super::KeepError;
use super::backup::CATALOGUE;
use super::error::at;
use crate::blobs::MODE;
use crate::catalog::is_dump;
use crate::data::{DataDir, Place};

/// The mark.
pub(super) const MARK: &str = "gantry-backup";
const MARKED: &str = "A backup of a Gantry registry: `gantry registry backup` makes it, and \
                      `gantry registry restore` makes a registry of it.\n";
/// What a backup never has, and every registry's data directory has some of.
const OF_DATA: [&str; 3] = ["gantry.db", "database", "node"];
/// What may be there before.
const BEFORE: [&str; 2] = ["lock", "lost+found"];
/// Where the files of images lie, as far down as a person may have made a link.
const BLOBS: [&str; 2] = ["blobs", "blobs/sha512"];
/// Longest first line of a catalogue, and more.
const HEAD_BYTES: u64 = 4096;

/// The folder that is meant, by its real path. One that is no backup's is refused, and one that has to
/// do with the registry's own. Nothing is written.
pub(super) fn free(to: &Path, place: &Place) -> Result<PathBuf, KeepError> {
    let (real, data) = (real(to)?, DataDir::unopened(place));
    for below in BLOBS {
        let path = real.join(below);
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        // One that leads nowhere may lead somewhere when it is written to.
        if is_link && !path.canonicalize().is_ok_and(|blobs| blobs.starts_with(&real)) {
            return Err(KeepError::BlobsElsewhere { path: to.join(below) });
        }
    }
    for own in [place.data.clone(), data.blobs(), data.trusted_keys()] {
        let own = self::real(&own)?;
        if real.starts_with(&own) || own.starts_with(&real) {
            return Err(KeepError::BackupInData { to: to.to_owned(), data: own });
        }
    }
    let entries = match fs::read_dir(&real) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(real),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(at(to))?,
    };
    let names: Vec<_> = entries.iter().map(fs::DirEntry::file_name).collect();
    let foreign = |found: &OsStr| KeepError::NotABackup {
        to: to.to_owned(),
        found: found.to_string_lossy().into_owned(),
    };
    if let Some(of_data) = names.iter().find(|name| OF_DATA.iter().any(|data| *name == data)) {
        return Err(foreign(of_data));
    }
    if is_marked(&real)? || has_catalogue(&real)? {
        return Ok(real);
    }
    let before = |name: &OsStr| BEFORE.iter().any(|before| name == *before);
    let other = names.iter().find(|name| !before(name) && !stage::is_staged(name));
    other.map_or(Ok(real), |other| Err(foreign(other)))
}

/// Whether a catalogue that was written down is there, or what has begun as one.
fn has_catalogue(folder: &Path) -> Result<bool, KeepError> {
    let head = head(&folder.join(CATALOGUE), HEAD_BYTES)?;
    Ok(head.is_some_and(|head| is_dump(&mut &*head)))
}

/// Whether the mark is there, and no other file of its name.
fn is_marked(folder: &Path) -> Result<bool, KeepError> {
    let head = head(&folder.join(MARK), MARKED.len() as u64)?;
    Ok(head.is_some_and(|head| head == MARKED.as_bytes()))
}

/// How a file begins. None where there is no regular one, as a pipe, which would wait for a writer.
fn head(path: &Path, bytes: u64) -> Result<Option<Vec<u8>>, KeepError> {
    let is_file = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        metadata => metadata.map_err(at(path))?.is_file(),
    };
    if !is_file {
        return Ok(None);
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes).read_to_end(&mut head));
    read.map_err(at(path))?;
    Ok(Some(head))
}

/// Marks a folder as a backup's.
pub(super) fn mark(folder: &Path) -> Result<(), KeepError> {
    let path = folder.join(MARK);
    match path.exists() {
        true => Ok(()),
        false => stage::write(&path, MARKED.as_bytes(), MODE, Existing::Replace).map_err(at(&path)),
    }
}

/// Where a path leads, also one that ends in what is not there yet.
fn real(path: &Path) -> Result<PathBuf, KeepError> {
    let mut real = PathBuf::new();
    for part in std::path::absolute(path).map_err(at(path))?.components() {
        if part == Component::ParentDir {
            real.pop();
            continue;
        }
        real.push(part);
        match real.canonicalize() {
            Ok(there) => real = there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(path)(error)),
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_leads_where_its_links_lead() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        std::os::unix::fs::symlink(root.join("a/b"), root.join("link")).unwrap();
        for (path, leads) in [
            ("a/b", "a/b"),
            ("link", "a/b"),
            ("link/..", "a"),
            ("link/c/d", "a/b/c/d"),
            ("none/../link/c", "a/b/c"),
            ("a/./none/x/..", "a/none"),
        ] {
            assert_eq!(real(&root.join(path)).unwrap(), root.join(leads), "{path}");
        }
    }
}
