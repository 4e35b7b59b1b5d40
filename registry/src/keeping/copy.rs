//! Copying blobs and keys, each file compared with its name on the way.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use aci::stage::{self, Existing, StagedFile};
use aci::{FileDigest, Sha512};
use tokio::io::AsyncReadExt as _;

use super::KeepError;
use super::error::at;
use crate::blobs::{BlobKey, BlobStore, MODE, READ_BYTES};

/// What became of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// It is there now.
    Done,
    /// There is none to copy, or it is not what its key says; nothing was kept of it.
    Lost,
}

/// Copies a blob of so many bytes; it is written on the file system of `spool`.
pub(super) async fn blob(
    from: &dyn BlobStore,
    to: &dyn BlobStore,
    key: &BlobKey,
    bytes: u64,
    spool: &Path,
) -> io::Result<Copied> {
    let Ok(mut reader) = from.open(key, 0).await else { return Ok(Copied::Lost) };
    let mut staged = StagedFile::new_in(spool, MODE)?;
    let (mut hash, mut copied, mut chunk) = (Sha512::new(), 0, vec![0; READ_BYTES]);
    loop {
        let Ok(length) = reader.read(&mut chunk).await else { return Ok(Copied::Lost) };
        if length == 0 {
            break;
        }
        hash.update(&chunk[..length]);
        staged.write_all(&chunk[..length])?;
        copied += length as u64;
    }
    let digest = FileDigest::of(hash.finish());
    if copied != bytes || key.is_of(&digest) == Some(false) {
        return Ok(Copied::Lost);
    }
    to.put(key, staged).await?;
    Ok(Copied::Done)
}

/// Whether a blob is there, of so many bytes, and what its key says.
pub(super) async fn is_whole(store: &dyn BlobStore, key: &BlobKey, bytes: u64) -> bool {
    let Ok(mut reader) = store.open(key, 0).await else { return false };
    let (mut hash, mut read, mut chunk) = (Sha512::new(), 0, vec![0; READ_BYTES]);
    loop {
        match reader.read(&mut chunk).await {
            Ok(0) => break,
            Ok(length) => {
                hash.update(&chunk[..length]);
                read += length as u64;
            }
            Err(_) => return false,
        }
    }
    read == bytes && key.is_of(&FileDigest::of(hash.finish())) != Some(false)
}

/// Makes one folder's files those of another, and of its folders likewise. What is no file and no
/// folder is left out.
pub(super) fn tree(from: &Path, to: &Path) -> Result<(), KeepError> {
    stage::create_folders(to).map_err(at(to))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(at(&source))?;
        if kind.is_dir() {
            tree(&source, &target)?;
        } else if kind.is_file() {
            let bytes = fs::read(&source).map_err(at(&source))?;
            if fs::read(&target).ok().as_ref() != Some(&bytes) {
                stage::write(&target, &bytes, MODE, Existing::Replace).map_err(at(&target))?;
            }
        } else {
            continue;
        }
        names.push(entry.file_name());
    }
    for entry in fs::read_dir(to).map_err(at(to))? {
        let entry = entry.map_err(at(to))?;
        if names.contains(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        let removed = match entry.file_type().map_err(at(&path))?.is_dir() {
            true => stage::remove_folder(&path),
            false => stage::remove(&path),
        };
        removed.map_err(at(&path))?;
    }
    Ok(())
}
