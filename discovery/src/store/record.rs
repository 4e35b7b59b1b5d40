//! `record.json`: what the import of one image has checked, and where it came from.

use aci::archive::{Compression, IndexSeal};
use aci::{FileDigest, ImageId, Labels, Name, Reference};
use jiff::Timestamp;
use keys::Fingerprint;
use serde::{Deserialize, Serialize};

/// Where an image came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Origin {
    /// Found by its name.
    Discovery {
        /// What was asked for.
        reference: String,
        /// Where the image was.
        url: String,
    },
    /// From a URL given as such.
    Url {
        /// The URL.
        url: String,
    },
    /// From a file of this machine.
    File {
        /// Its path.
        path: String,
    },
    /// Its record was lost, and was made again from the image.
    Rebuilt,
}

/// One stored image:
///
/// ```json
/// {
///   "imageId": "sha512-8f1c…", "name": "example.com/hello",
///   "labels": [{"name": "version", "value": "1.0.0"}],
///   "compression": "gzip", "fileDigest": "sha512-09ab…", "fileBytes": 52100, "tarBytes": 133120,
///   "signer": "5c3e…", "signedAt": "2025-01-31T09:30:00Z", "importedAt": "2025-02-01T10:00:00Z",
///   "origin": {"kind": "url", "url": "https://example.com/hello.aci"},
///   "index": {"digest": "sha256-77c0…", "bytes": 310, "entries": 3}
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// SHA-512 of the uncompressed archive.
    pub image_id: ImageId,
    /// The name in the image's manifest.
    pub name: Name,
    /// The labels in the image's manifest.
    pub labels: Labels,
    /// How the file is compressed.
    pub compression: Compression,
    /// SHA-512 of the file.
    pub file_digest: FileDigest,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of the uncompressed archive.
    pub tar_bytes: u64,
    /// The primary key whose signature was accepted.
    pub signer: Fingerprint,
    /// When it was signed, as the signature says.
    pub signed_at: Timestamp,
    /// When it came into this store.
    pub imported_at: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// Size and digest of the index beside the image. Images that an older release imported
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexSeal>,
}

impl Record {
    /// The name and labels as a person writes them: `example.com/hello:1.0.0,os=linux`.
    pub fn reference(&self) -> Reference {
        Reference::new(self.name.clone(), self.labels.clone())
    }
}
