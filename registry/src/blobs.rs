//! The files of images: where they are kept, by their content.
//!
//! ```text
//! sha512-8f1c…e0.aci                  an image, by the digest of its file
//! sha512-8f1c…e0.03a7…9b.aci.asc      a signature over it, by the beginning of its own digest
//! part-5d20…71.0-1048576.6be1…02      a part of an image that is arriving, by its upload
//! ```
//!
//! A key says what the bytes are, so nothing is ever put in the place of something else, and it does
//! not matter who puts a blob, how often, or at the same time as whom; a part's key is nobody else's. What a blob is for is the
//! catalogue's to know (`catalog/blobs.rs`).

use std::fmt;
use std::io;
use std::pin::Pin;
use std::str::FromStr;

use std::sync::Arc;

use aci::FileDigest;
use aci::push::ByteRange;
use aci::stage::StagedFile;
use axum::body::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::try_unfold;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use crate::token::UploadId;

mod buffers;
mod folder;
#[cfg(test)]
mod memory;
mod old_layout;
#[cfg(test)]
mod suite;

pub(crate) use folder::Folder;
#[cfg(test)]
pub(crate) use memory::Memory;
pub(crate) use old_layout::adopt;

/// For the registry's user and group and nobody else: some images are not for everybody.
pub(crate) const MODE: u32 = 0o640;

/// Hex digits of a signature's digest in its key. They tell signatures over one file apart; that a
/// signature is one is told by verifying it.
const SIGNATURE_DIGITS: usize = 32;
/// Hex digits of an upload's ID in the key of a part. The rest of it stays its owner's secret.
const PART_DIGITS: usize = 32;

/// What a blob is found by.
///
/// - `KIND-REST`: kind and rest are of lower-case letters, digits, dots and dashes.
/// - The rest begins with two hex digits, by which a store may spread blobs over folders.
/// - It is a file name, never a path, on any file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlobKey(String);

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no key of a blob")]
pub(crate) struct NoBlobKey;

impl BlobKey {
    /// The key of an image file.
    pub(crate) fn image(file: &FileDigest) -> Self {
        Self(format!("{file}.aci"))
    }

    /// The key of a signature over an image file.
    pub(crate) fn signature(file: &FileDigest, signature: &FileDigest) -> Self {
        Self(format!("{file}.{}.aci.asc", &signature.digits()[..SIGNATURE_DIGITS]))
    }

    /// A key for a part of an image, from its first byte up to the end. Each attempt to send it has a
    /// key of its own, so that what becomes of one is nothing to another.
    pub(crate) fn part(upload: &UploadId, range: ByteRange, attempt: &UploadId) -> Self {
        let (upload, attempt) = (&upload.as_str()[..PART_DIGITS], &attempt.as_str()[..PART_DIGITS]);
        Self(format!("part-{upload}.{}-{}.{attempt}", range.first(), range.end()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the bytes with this digest are those of the key, as far as it tells; `None` for a key
    /// that is neither an image's nor a signature's.
    pub(crate) fn is_of(&self, digest: &FileDigest) -> Option<bool> {
        let image = self.0.strip_suffix(".aci").map(|image| image == digest.as_str());
        image.or_else(|| {
            let (_, signature) = self.0.strip_suffix(".aci.asc")?.split_once('.')?;
            Some(signature == &digest.digits()[..SIGNATURE_DIGITS])
        })
    }

    /// The key of the image that a signature is over; `None` for what is no signature.
    pub(crate) fn signed(&self) -> Option<Self> {
        let (image, _) = self.0.strip_suffix(".aci.asc")?.split_once('.')?;
        Some(Self(format!("{image}.aci")))
    }

    /// Kind and rest.
    fn parts(&self) -> (&str, &str) {
        self.0.split_once('-').unwrap_or((&self.0, ""))
    }
}

impl FromStr for BlobKey {
    type Err = NoBlobKey;

    fn from_str(text: &str) -> Result<Self, NoBlobKey> {
        let (kind, rest) = text.split_once('-').ok_or(NoBlobKey)?;
        let plain =
            |text: &str| text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
        let hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let begins = rest.len() > 2 && rest.as_bytes()[..2].iter().all(hex);
        let good = text.len() <= 240
            && !kind.is_empty()
            && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && begins
            && plain(rest);
        if good { Ok(Self(text.to_owned())) } else { Err(NoBlobKey) }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes that are read of a blob at a time. A connection has two such pieces at most: one that is sent,
/// and the next.
pub(crate) const READ_BYTES: usize = 96 << 10;

/// A blob that is open. It stays what it is, whatever becomes of its key.
pub(crate) trait Blob: Send + Sync {
    /// So many bytes from this one on; fewer only where it ends.
    fn read(&self, first: u64, most: usize) -> BoxFuture<'_, io::Result<Bytes>>;

    /// How many bytes it has.
    fn bytes(&self) -> io::Result<u64>;
}

/// The bytes of a blob, one after the other.
pub(crate) type BlobReader = Pin<Box<dyn AsyncRead + Send>>;

/// Where blobs are kept. All of it may be called by any number of nodes at once.
pub(crate) trait BlobStore: fmt::Debug + Send + Sync {
    /// Keeps what a staged file holds. Done, it is there for good, as far as the store can see to
    /// that; before, nothing is to be seen. What the key held is replaced.
    fn put<'a>(&'a self, key: &'a BlobKey, content: StagedFile) -> BoxFuture<'a, io::Result<()>>;

    /// Opens a blob; an error of the kind `NotFound` where there is none.
    fn blob<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<Arc<dyn Blob>>>;

    /// The bytes from this one on, one after the other.
    fn open<'a>(&'a self, key: &'a BlobKey, first: u64) -> BoxFuture<'a, io::Result<BlobReader>> {
        async move {
            let blob = self.blob(key).await?;
            let chunks = try_unfold((blob, first), async |(blob, at)| {
                let bytes = blob.read(at, READ_BYTES).await?;
                let next = at + bytes.len() as u64;
                Ok::<_, io::Error>((!bytes.is_empty()).then_some((bytes, (blob, next))))
            });
            Ok(Box::pin(StreamReader::new(Box::pin(chunks))) as BlobReader)
        }
        .boxed()
    }

    /// How many bytes a blob has; `None` where there is none.
    fn bytes<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<Option<u64>>>;

    /// Removes a blob. That there is none is no error.
    fn remove<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<()>>;

    /// Moves a blob out of the way: there is none of this key from here on, but somebody can still look
    /// at what it was. That there is none is no error.
    fn set_aside<'a>(&'a self, key: &'a BlobKey) -> BoxFuture<'a, io::Result<()>>;

    /// So many keys in their order, those after this one.
    fn list<'a>(
        &'a self,
        after: Option<&'a BlobKey>,
        most: usize,
    ) -> BoxFuture<'a, io::Result<Vec<BlobKey>>>;

    /// Whether it can be reached.
    fn ready(&self) -> BoxFuture<'_, io::Result<()>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blob_key_is_a_file_name_and_reads_back() {
        let digest = FileDigest::of([0xab; 64]);
        let (upload, attempt) =
            ("1f".repeat(32).parse().unwrap(), "02".repeat(32).parse().unwrap());
        let part = BlobKey::part(&upload, ByteRange::new(0, u64::MAX >> 1).unwrap(), &attempt);
        assert!(!part.as_str().contains(upload.as_str()), "{part}");
        assert_eq!(part.is_of(&digest), None);
        for key in [BlobKey::image(&digest), BlobKey::signature(&digest, &digest)] {
            assert_eq!(key.is_of(&digest), Some(true));
            assert_eq!(key.is_of(&FileDigest::of([0xac; 64])), Some(false));
        }
        for key in [BlobKey::image(&digest), BlobKey::signature(&digest, &digest), part] {
            assert_eq!(key.as_str().parse::<BlobKey>().unwrap(), key);
        }
        for bad in [
            "",
            "sha512",
            "sha512-",
            "sha512-ab",
            "sha512-zz1",
            "-ab1",
            "../x-ab1",
            "sha512-ab/../x",
            "sha512-abX",
            "sha512-ab\0",
            "Sha-ab1",
        ] {
            assert!(bad.parse::<BlobKey>().is_err(), "{bad:?}");
        }
        assert!(format!("x-ab{}", "0".repeat(250)).parse::<BlobKey>().is_err());
    }
}
