//! Copying blobs and keys, each file compared with its name on the way.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use aci::stage::{self, Existing, StagedFile};
use aci::{FileDigest, Sha512};
use tokio::io::AsyncReadExt as _;

use super::KeepError;
use super::error::at;
use crate::blobs::{BlobKey, BlobReader, BlobStore, MODE, READ_BYTES};

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
    let Ok(mut comparing) = Comparing::open(from, key).await else { return Ok(Copied::Lost) };
    let mut staged = StagedFile::new_in(spool, MODE)?;
    loop {
        match comparing.next().await {
            Ok(Some(piece)) => staged.write_all(piece)?,
            Ok(None) => break,
            Err(_) => return Ok(Copied::Lost),
        }
    }
    if !comparing.is(key, bytes) {
        return Ok(Copied::Lost);
    }
    to.put(key, staged).await?;
    Ok(Copied::Done)
}

/// Whether a blob is there, of so many bytes, and what its key says.
pub(super) async fn is_whole(store: &dyn BlobStore, key: &BlobKey, bytes: u64) -> bool {
    let read = async {
        let mut comparing = Comparing::open(store, key).await?;
        while comparing.next().await?.is_some() {}
        Ok::<_, io::Error>(comparing.is(key, bytes))
    };
    read.await.unwrap_or(false)
}

/// A blob that is read, and in the end compared with its key.
pub(super) struct Comparing {
    reader: BlobReader,
    hash: Sha512,
    read: u64,
    chunk: Vec<u8>,
}

impl Comparing {
    pub(super) async fn open(store: &dyn BlobStore, key: &BlobKey) -> io::Result<Self> {
        let reader = store.open(key, 0).await?;
        Ok(Self { reader, hash: Sha512::new(), read: 0, chunk: vec![0; READ_BYTES] })
    }

    /// The next piece; none at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let length = self.reader.read(&mut self.chunk).await?;
        let piece = &self.chunk[..length];
        self.hash.update(piece);
        self.read += length as u64;
        Ok((length > 0).then_some(piece))
    }

    /// Whether what was read has so many bytes, and is what the key says. A key that says nothing of
    /// the bytes leaves their number.
    pub(super) fn is(self, key: &BlobKey, bytes: u64) -> bool {
        let digest = FileDigest::of(self.hash.finish());
        self.read == bytes && key.is_of(&digest).unwrap_or(true)
    }
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
