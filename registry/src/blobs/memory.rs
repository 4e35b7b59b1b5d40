//! Blobs in memory: what a test of the trait compares a folder with.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use aci::stage::StagedFile;
use axum::body::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Blob, BlobKey, BlobStore};

#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<BlobKey, Arc<[u8]>>>);

struct Held(Arc<[u8]>);

impl Blob for Held {
    fn read(&self, first: u64, most: usize) -> BoxFuture<'_, io::Result<Bytes>> {
        let first = usize::try_from(first).unwrap().min(self.0.len());
        let end = first.saturating_add(most).min(self.0.len());
        let bytes = Bytes::copy_from_slice(&self.0[first..end]);
        async move { Ok(bytes) }.boxed()
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

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

    fn blob<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<Arc<dyn Blob>>> {
        async move {
            let bytes = self.find(key).ok_or(io::ErrorKind::NotFound)?;
            Ok(Arc::new(Held(bytes)) as Arc<dyn Blob>)
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
