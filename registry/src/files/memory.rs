//! Small files that are asked for often, kept in memory.
//!
//! A content never changes, and is found by its digest: it may be kept for as long as
//! there is room. But a file is served for its image's row in the catalogue alone, never
//! because it is here. That there is a row, and which one a reference means, is remembered
//! for a second at most: what another process changes shows that soon, and what this one
//! changes at once.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aci::{Extension, FileDigest, ImageId, Name};
use axum::body::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::respond::{Caching, File, Since};
use crate::catalog::StoredImage;

/// How long a row is taken for what the catalogue says.
const ROW_AGE: Duration = Duration::from_secs(1);
/// How many are remembered.
const ROWS: usize = 4096;
/// The largest file that is kept: any signature, and small images.
pub(crate) const SMALL: u64 = 64 << 10;
/// Bytes of all that are kept.
const CONTENTS: u64 = 16 << 20;

/// What is kept in memory.
pub(crate) struct Memory {
    rows: Cache<ImageId, Arc<Row>>,
    /// What references mean, as they were written.
    references: Cache<String, Arc<Row>>,
    /// How often any image became another one, or none.
    changes: AtomicU64,
    contents: Cache<FileDigest, Bytes, Size>,
}

/// The two files of an image, by what its row says.
#[derive(Debug)]
pub(crate) struct Row {
    /// When the catalogue was asked.
    pub(crate) seen: Instant,
    /// The image's name: not everybody may see it.
    pub(crate) name: Name,
    image: File,
    signature: File,
}

impl Row {
    /// What the catalogue said of an image at this time, and since when it is what is asked for.
    pub(crate) fn of(image: &StoredImage, caching: Caching, seen: Instant, since: Since) -> Self {
        let file = |extension| File::of(image, extension, caching, since);
        let (signature, file) = (file(Extension::Signature), file(Extension::Image));
        Self { seen, name: image.name.clone(), image: file, signature }
    }

    pub(crate) fn file(&self, extension: Extension) -> &File {
        match extension {
            Extension::Image => &self.image,
            Extension::Signature => &self.signature,
        }
    }
}

#[derive(Clone)]
struct Size;

impl Weighter<FileDigest, Bytes> for Size {
    fn weight(&self, digest: &FileDigest, content: &Bytes) -> u64 {
        (digest.as_str().len() + content.len()) as u64
    }
}

impl Default for Memory {
    fn default() -> Self {
        // As many as there are, if they are as large as signatures by several keys.
        let expected = usize::try_from(CONTENTS / 4096).unwrap_or(ROWS);
        Self {
            rows: Cache::new(ROWS),
            references: Cache::new(ROWS),
            changes: AtomicU64::new(0),
            contents: Cache::with_weighter(expected, CONTENTS, Size),
        }
    }
}

impl Memory {
    /// The row of an image, if it was seen a moment ago.
    pub(crate) fn row(&self, id: &ImageId) -> Option<Arc<Row>> {
        self.rows.get(id).filter(|row| row.seen.elapsed() < ROW_AGE)
    }

    /// The row of an image when there had been so many changes.
    pub(crate) fn saw(&self, id: ImageId, row: Arc<Row>, changes: u64) {
        self.remember(&self.rows, id, row, changes);
    }

    /// What a reference means, if it was seen a moment ago.
    pub(crate) fn meant(&self, reference: &str) -> Option<Arc<Row>> {
        self.references.get(reference).filter(|row| row.seen.elapsed() < ROW_AGE)
    }

    /// How things stand, to be asked before the catalogue is.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// What a reference meant when there had been so many changes.
    pub(crate) fn understood(&self, reference: String, row: Arc<Row>, changes: u64) {
        self.remember(&self.references, reference, row, changes);
    }

    fn remember<K: Eq + Hash + Clone>(
        &self,
        rows: &Cache<K, Arc<Row>>,
        key: K,
        row: Arc<Row>,
        changes: u64,
    ) {
        rows.insert(key.clone(), row);
        // Looked at last: a change that is not seen here removes what was put there.
        if self.changes() != changes {
            rows.remove(&key);
        }
    }

    /// The row of an image is not what it was, so that any reference may mean another one.
    pub(crate) fn forget(&self, id: &ImageId) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.rows.remove(id);
        self.references.clear();
    }

    pub(crate) fn content(&self, digest: &FileDigest) -> Option<Bytes> {
        self.contents.get(digest)
    }

    /// Keeps a small content.
    pub(crate) fn keep(&self, digest: &FileDigest, content: &Bytes) {
        self.contents.insert(digest.clone(), content.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn row_is_taken_for_true_for_a_second_and_a_content_for_as_long_as_there_is_room() {
        let (id, digest) = (ImageId::of([1; 64]), FileDigest::of([2; 64]));
        let image = StoredImage {
            sequence: 1,
            image_id: id.clone(),
            name: "example.com/a".parse().unwrap(),
            labels: Vec::new().try_into().unwrap(),
            file_digest: digest.clone(),
            file_bytes: 1,
            signature_digest: digest.clone(),
            signature_bytes: 1,
            signer: "00".repeat(20).parse().unwrap(),
            pushed: SystemTime::UNIX_EPOCH,
            yanked: false,
        };
        let row = |seen| {
            Arc::new(Row::of(&image, Caching::Immutable, seen, Since::settled(image.pushed)))
        };
        let memory = Memory::default();
        assert!(memory.row(&id).is_none());
        let before = memory.changes();
        memory.saw(id.clone(), row(Instant::now()), before);
        assert!(memory.row(&id).is_some());
        memory.forget(&id);
        assert!(memory.row(&id).is_none());
        memory.saw(id.clone(), row(Instant::now()), before);
        assert!(memory.row(&id).is_none(), "it was looked up before that");
        memory.saw(id.clone(), row(Instant::now() - ROW_AGE), memory.changes());
        assert!(memory.row(&id).is_none(), "too old");
        let (now, before) = (memory.changes(), Instant::now() - ROW_AGE);
        let meant = |text: &str| memory.meant(text).is_some();
        memory.understood("a".to_owned(), row(Instant::now()), now);
        memory.understood("b".to_owned(), row(before), now);
        assert!(meant("a") && !meant("b") && !meant("c"));
        memory.forget(&id);
        assert!(!meant("a"), "another image may be the newest");
        memory.understood("a".to_owned(), row(Instant::now()), now);
        assert!(!meant("a"), "it was looked up before that");
        assert!(memory.content(&digest).is_none());
        memory.keep(&digest, &Bytes::from_static(b"x"));
        assert_eq!(memory.content(&digest).as_deref(), Some(&b"x"[..]));
        // What is kept has a bound, whatever comes.
        let content = Bytes::from(vec![0; usize::try_from(SMALL).unwrap()]);
        for at in 0..1000_u64 {
            let mut bytes = [3; 64];
            bytes[..8].copy_from_slice(&at.to_le_bytes());
            memory.keep(&FileDigest::of(bytes), &content);
        }
        assert!(memory.contents.weight() <= CONTENTS, "{}", memory.contents.weight());
    }
}
