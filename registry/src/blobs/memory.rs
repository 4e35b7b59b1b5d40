//! Blobs in memory: what a test of the trait compares a folder with.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use aci::stage::StagedFile;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{BlobKey, BlobReader, BlobStore};

#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<BlobKey, Arc<[u8]>>>);

impl Memory {
    fn find(&self, key: &BlobKey) -> Option<Arc<[u8]>> {
        self.0.lock().unwrap().get(key).cloned()
    }
}

impl BlobStore for Memory {
    fn put<'a>(&'a self, key: &'a BlobKey, content: StagedFile) -> BoxFuture<'a, io::Result<()>> {
        async move {
            let file = content.file();
            let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap()];
            file.read_exact_at(&mut bytes, 0)?;
            self.0.lock().unwrap().insert(key.clone(), bytes.into());
            Ok(())
        }
        .boxed()
    }

    fn open<'a>(&'a self, key: &'a BlobKey, first: u64) -> BoxFuture<'a, io::Result<BlobReader>> {
        async move {
            let bytes = self.find(key).ok_or(io::ErrorKind::NotFound)?;
            let mut reader = io::Cursor::new(bytes);
            reader.set_position(first);
            Ok(Box::pin(reader) as BlobReader)
        }
        .boxed()
    }

    fn bytes<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<Option<u64>>> {
        async move { Ok(self.find(key).map(|bytes| bytes.len() as u64)) }.boxed()
    }

    fn remove<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<()>> {
        async move {
            self.0.lock().unwrap().remove(key);
            Ok(())
        }
        .boxed()
    }

    fn set_aside<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<()>> {
        self.remove(key)
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a BlobKey>,
        most: usize,
    ) -> BoxFuture<'a, io::Result<Vec<BlobKey>>> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.0.lock().unwrap();
        let keys = blobs.range::<BlobKey, _>((begin, Bound::Unbounded));
        let keys = keys.take(most).map(|(key, _)| key.clone()).collect();
        async move { Ok(keys) }.boxed()
    }

    fn ready(&self) -> BoxFuture<'_, io::Result<()>> {
        async { Ok(()) }.boxed()
    }
}
