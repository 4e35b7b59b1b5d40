//! Copying blobs and keys, each file compared with its name on the way.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use aci::stage::{self, Existing, StagedFile};
use aci::{FileDigest, Limits, Sha512};
use tokio::io::AsyncReadExt as _;

use super::KeepError;
use super::error::at;
use crate::blobs::{BlobKey, BlobReader, BlobStore, MODE, READ_BYTES};
use crate::catalog::KeyFile;

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

/// What is known of keys, where a name that begins with a dot is no reason to leave it out.
const KNOWN: &str = ".known";

/// The files of trusted keys in a folder and below, by their paths there: those that the keys are read
/// from. No key or policy is larger than a key may be, and hidden is only what is known of them. A link
/// counts as the file that it leads to.
pub(super) fn key_files(folder: &Path) -> Result<Vec<KeyFile>, KeepError> {
    let mut found = Vec::new();
    key_files_in(folder, "", &mut found)?;
    Ok(found)
}

fn key_files_in(folder: &Path, below: &str, found: &mut Vec<KeyFile>) -> Result<(), KeepError> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(at(folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        // No key has another name, and no part of a prefix.
        let Some(name) = name.to_str().filter(|_| !stage::is_staged(&name)) else { continue };
        if name.starts_with('.') && !(below.is_empty() && name == KNOWN) {
            continue;
        }
        let name = format!("{below}{name}");
        if entry.file_type().map_err(at(&path))?.is_dir() {
            key_files_in(&path, &format!("{name}/"), found)?;
            continue;
        }
        // One that was removed a moment ago, and a link that leads nowhere, are none.
        let Some(metadata) = there(fs::metadata(&path)).map_err(at(&path))? else { continue };
        if metadata.is_file()
            && let Some(bytes) = there(small(&path)).map_err(at(&path))?.flatten()
        {
            found.push(KeyFile::new(name, bytes).map_err(io::Error::other).map_err(at(&path))?);
        }
    }
    Ok(())
}

/// What is in a file, unless that is more than a key may have.
fn small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let limit = Limits::default().key_bytes;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Writes files of trusted keys into a folder.
pub(super) fn write_keys(files: &[KeyFile], to: &Path) -> Result<(), KeepError> {
    for file in files {
        let path = to.join(file.path());
        let folder = path.parent().unwrap_or(to);
        stage::create_folders(folder).map_err(at(folder))?;
        stage::write(&path, file.bytes(), MODE, Existing::Replace).map_err(at(&path))?;
    }
    Ok(())
}
