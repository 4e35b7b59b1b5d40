//! What every blob store has to do, tried on each.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use aci::FileDigest;
use aci::stage::StagedFile;
use tokio::io::AsyncReadExt;

use super::memory::Memory;
use super::{BlobKey, BlobStore, Folder};

struct Tried {
    store: Arc<dyn BlobStore>,
    folder: tempfile::TempDir,
}

impl Tried {
    fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Arc::new(Folder::new(&folder.path().join("blobs"))), folder }
    }

    fn memory() -> Self {
        Self { store: Arc::new(Memory::default()), folder: tempfile::tempdir().unwrap() }
    }

    async fn put(&self, key: &BlobKey, bytes: &[u8]) {
        self.store.put(key, staged(self.folder.path(), bytes)).await.unwrap();
    }

    async fn read(&self, key: &BlobKey, first: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.store.open(key, first).await?.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }
}

fn staged(folder: &Path, bytes: &[u8]) -> StagedFile {
    let mut staged = StagedFile::new_in(folder, super::MODE).unwrap();
    staged.write_all(bytes).unwrap();
    staged
}

fn key(at: u8) -> BlobKey {
    BlobKey::image(&FileDigest::of([at; 64]))
}

async fn keeps_and_forgets(tried: Tried) {
    assert!(tried.store.ready().await.is_ok() || tried.store.list(None, 1).await.is_ok());
    let absent = tried.read(&key(1), 0).await.unwrap_err();
    assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    assert_eq!(tried.store.bytes(&key(1)).await.unwrap(), None);
    tried.store.remove(&key(1)).await.unwrap();
    for content in [&b"first"[..], b"", b"another, longer one"] {
        tried.put(&key(1), content).await;
        assert_eq!(tried.read(&key(1), 0).await.unwrap(), content, "replaced, whole");
        assert_eq!(tried.store.bytes(&key(1)).await.unwrap(), Some(content.len() as u64));
    }
    assert_eq!(tried.read(&key(1), 9).await.unwrap(), b"longer one");
    assert_eq!(tried.read(&key(1), 19).await.unwrap(), b"", "from the end on");
    assert_eq!(tried.read(&key(1), 1000).await.unwrap(), b"", "from behind the end on");
    let blob = tried.store.blob(&key(1)).await.unwrap();
    for (first, most, wanted) in
        [(0, 7, &b"another"[..]), (9, 6, b"longer"), (16, 9, b"one"), (19, 9, b""), (99, 9, b"")]
    {
        assert_eq!(blob.read(first, most).await.unwrap(), wanted);
    }
    // Who reads is not disturbed by who removes.
    let mut open = tried.store.open(&key(1), 0).await.unwrap();
    tried.store.remove(&key(1)).await.unwrap();
    let mut bytes = Vec::new();
    open.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"another, longer one");
    assert_eq!(blob.read(9, 6).await.unwrap(), &b"longer"[..]);
    assert_eq!(tried.store.bytes(&key(1)).await.unwrap(), None);
    tried.store.remove(&key(1)).await.unwrap();
}

async fn sets_aside(tried: Tried) {
    tried.store.set_aside(&key(1)).await.unwrap();
    for _ in 0..2 {
        tried.put(&key(1), b"damaged").await;
        tried.store.set_aside(&key(1)).await.unwrap();
        let absent = tried.read(&key(1), 0).await.unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        assert_eq!(tried.store.list(None, 10).await.unwrap(), []);
    }
    tried.put(&key(1), b"sound").await;
    assert_eq!(tried.read(&key(1), 0).await.unwrap(), b"sound");
}

async fn lists_in_order_in_pieces(tried: Tried) {
    assert_eq!(tried.store.list(None, 10).await.unwrap(), []);
    let digest = FileDigest::of([7; 64]);
    let mut keys: Vec<BlobKey> = (0..40).map(|at| key(at * 6)).collect();
    keys.push(BlobKey::signature(&digest, &digest));
    keys.push("a-00x".parse().unwrap());
    keys.push("sha5-00x".parse().unwrap());
    keys.push("zz-00.x".parse().unwrap());
    for key in keys.iter().rev() {
        tried.put(key, b"x").await;
    }
    keys.sort();
    for most in [1, 2, 3, 39, 100] {
        let mut found: Vec<BlobKey> = Vec::new();
        loop {
            let next = tried.store.list(found.last(), most).await.unwrap();
            assert!(next.len() <= most);
            if next.is_empty() {
                break;
            }
            found.extend(next);
        }
        assert_eq!(found, keys, "{most} at a time");
    }
    // One that is gone is as good a place to go on from.
    let gone = keys.remove(20);
    tried.store.remove(&gone).await.unwrap();
    assert_eq!(tried.store.list(Some(&gone), 1).await.unwrap(), keys[20..21]);
}

async fn stands_many_at_once(tried: Tried) {
    let tried = Arc::new(tried);
    let content: Arc<[u8]> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    let work = (0..16).map(|_| {
        let (tried, content) = (Arc::clone(&tried), Arc::clone(&content));
        tokio::spawn(async move {
            for _ in 0..8 {
                tried.put(&key(3), &content).await;
                assert_eq!(tried.read(&key(3), 0).await.unwrap(), *content);
            }
        })
    });
    for task in work.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(tried.store.list(None, 10).await.unwrap(), [key(3)]);
}

/// The whole suite for one store.
macro_rules! suite {
    ($name:ident, $make:expr) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn store_keeps_and_forgets() {
                keeps_and_forgets($make).await;
            }

            #[tokio::test]
            async fn store_sets_aside() {
                sets_aside($make).await;
            }

            #[tokio::test]
            async fn store_lists_in_order_in_pieces() {
                lists_in_order_in_pieces($make).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn store_stands_many_at_once() {
                stands_many_at_once($make).await;
            }
        }
    };
}

suite!(in_a_folder, Tried::folder());
suite!(in_memory, Tried::memory());

#[tokio::test]
async fn folder_shows_what_it_holds_and_nothing_else() {
    let tried = Tried::folder();
    tried.put(&key(0xab), b"x").await;
    let root = tried.folder.path().join("blobs");
    let path = root.join("sha512/ab").join(format!("{}.aci", "ab".repeat(64)));
    assert_eq!(std::fs::read(&path).unwrap(), b"x");
    // What others put there is no blob, and does not hide any.
    std::fs::write(root.join("note"), b"x").unwrap();
    std::fs::write(root.join("sha512/note"), b"x").unwrap();
    std::fs::write(root.join("sha512/ab/Note"), b"x").unwrap();
    assert_eq!(tried.store.list(None, 10).await.unwrap(), [key(0xab)]);
}
