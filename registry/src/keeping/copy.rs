//! Copying blobs and keys, each file compared with its name on the way.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use aci::stage::{self, Existing, StagedFile};
use aci::{FileDigest, Sha512};
use tokio::io::AsyncReadExt as _;

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

/// Makes one folder's files those of another, and of its folders likewise. What is no file and no
/// folder is left out.
pub(super) fn tree(from: &Path, to: &Path) -> io::Result<()> {
    stage::create_folders(to)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            let bytes = fs::read(entry.path())?;
            if fs::read(&target).ok().as_ref() != Some(&bytes) {
                stage::write(&target, &bytes, MODE, Existing::Replace)?;
            }
        } else {
            continue;
        }
        names.push(entry.file_name());
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if names.contains(&entry.file_name()) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => stage::remove_folder(&entry.path())?,
            false => stage::remove(&entry.path())?,
        }
    }
    Ok(())
}
