//! Blobs in a folder: `sha512/8f/8f1c…e0.aci`. What was set aside is in `quarantine/`, by its key.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aci::stage::{self, Existing, StagedFile};
use axum::body::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use rustix::io::{Errno, ReadWriteFlags};

use super::buffers::Buffer;
use super::{Blob, BlobKey, BlobStore};

/// The folder of what was set aside. No kind of a key is called so, as there are no folders in it.
const QUARANTINE: &str = "quarantine";

/// A folder of blobs.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: Arc<Path>,
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Where a blob is, or would be.
    pub(crate) fn path(&self, key: &BlobKey) -> PathBuf {
        let (kind, rest) = key.parts();
        self.root.join(kind).join(&rest[..2]).join(rest)
    }

    /// The keys after one, from one folder after the other.
    fn keys(&self, after: Option<&BlobKey>, most: usize) -> io::Result<Vec<BlobKey>> {
        let mut keys = Vec::new();
        for kind in sorted(&self.root)? {
            for spread in sorted(&self.root.join(&kind))? {
                // Everything in a folder begins with its name.
                let beginning = format!("{kind}-{spread}");
                if after.is_some_and(|after| {
                    !after.as_str().starts_with(&beginning) && *beginning < *after.as_str()
                }) {
                    continue;
                }
                let names = sorted(&self.root.join(&kind).join(&spread))?;
                let found = names.iter().filter_map(|name| format!("{kind}-{name}").parse().ok());
                keys.extend(found.filter(|key| after.is_none_or(|after| key > after)));
                if keys.len() >= most {
                    keys.truncate(most);
                    return Ok(keys);
                }
            }
        }
        Ok(keys)
    }
}

/// A blob's file.
struct OpenFile(Arc<File>);

impl Blob for OpenFile {
    fn read(&self, first: u64, most: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        let mut buffer = Buffer::new(most);
        // What the kernel has in memory is had at once. For the rest a thread waits.
        match fill(&self.0, buffer.as_mut(), first, 0, ReadWriteFlags::NOWAIT) {
            Ok(Filled::All(length)) => ready(Ok(buffer.filled(length))).boxed(),
            Ok(Filled::Waits(length)) => {
                let file = Arc::clone(&self.0);
                blocking(move || {
                    match fill(&file, buffer.as_mut(), first, length, ReadWriteFlags::empty())? {
                        Filled::All(length) => Ok(buffer.filled(length)),
                        Filled::Waits(_) => Err(io::ErrorKind::WouldBlock.into()),
                    }
                })
            }
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// How much of a buffer is filled.
enum Filled {
    /// All of it, or up to the file's end.
    All(usize),
    /// The rest has to be waited for.
    Waits(usize),
}

/// Fills a buffer, of which so much is filled, with what stands in a file from `first` on.
fn fill(
    file: &File,
    buffer: &mut [u8],
    first: u64,
    mut filled: usize,
    flags: ReadWriteFlags,
) -> io::Result<Filled> {
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let at = first + filled as u64;
        match rustix::io::preadv2(file, &mut [IoSliceMut::new(rest)], at, flags) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(Errno::INTR) => {}
            // Not every file system can say whether it has to wait.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS) if !flags.is_empty() => {
                return Ok(Filled::Waits(filled));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Filled::All(filled))
}

/// The names in a folder, in order; none where it is no folder.
fn sorted(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is no text is none of ours.
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// Runs what waits for the disk.
fn blocking<'a, T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> BoxFuture<'a, io::Result<T>> {
    async { tokio::task::spawn_blocking(work).await.map_err(io::Error::other)? }.boxed()
}

impl BlobStore for Folder {
    fn put<'a>(&'a self, key: &'a BlobKey, content: StagedFile) -> BoxFuture<'a, io::Result<()>> {
        let path = self.path(key);
        blocking(move || {
            stage::create_folders(stage::folder_of(&path))?;
            content.commit(&path, Existing::Replace)
        })
    }

    fn blob<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<Arc<dyn Blob>>> {
        let path = self.path(key);
        blocking(move || Ok(Arc::new(OpenFile(Arc::new(File::open(path)?))) as Arc<dyn Blob>))
    }

    fn bytes<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<Option<u64>>> {
        let path = self.path(key);
        blocking(move || match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
    }

    fn remove<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<()>> {
        let path = self.path(key);
        blocking(move || match stage::folder_of(&path).is_dir() {
            true => stage::remove(&path),
            false => Ok(()),
        })
    }

    fn set_aside<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<()>> {
        let (path, aside) = (self.path(key), self.root.join(QUARANTINE));
        let target = aside.join(key.as_str());
        blocking(move || {
            stage::create_folders(&aside)?;
            match stage::move_file(&path, &target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        })
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a BlobKey>,
        most: usize,
    ) -> BoxFuture<'a, io::Result<Vec<BlobKey>>> {
        let (folder, after) = (self.clone(), after.cloned());
        blocking(move || folder.keys(after.as_ref(), most))
    }

    fn ready(&self) -> BoxFuture<'_, io::Result<()>> {
        async { tokio::fs::metadata(&self.root).await.map(drop) }.boxed()
    }
}
