//! Wire types of Gantry's own push protocol, shared by client and server.
//!
//! ```text
//! POST /-/api/v1/uploads         CreateUpload  → 201 Upload
//! PUT  /-/api/v1/uploads/{id}    the image file → 201 Pushed (200: it was there already)
//! any refusal                                   → 4xx {"error": Refusal}
//! ```
//!
//! Both calls carry `Authorization: Bearer TOKEN`. The signature goes first, so
//! that an unknown signer is refused before the image is sent.

use serde::{Deserialize, Serialize};

use crate::digest::{FileDigest, ImageId};
use crate::labels::Labels;
use crate::name::Name;
use crate::refusal::Refusal;

/// Begin an upload: the signature, before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateUpload {
    /// The ASCII-armored detached signature over the image file.
    pub signature: String,
    /// Bytes of the image file, where known: too large a file is refused before it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
}

/// An upload the server is ready to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    /// The upload's identifier: unguessable, and good for the token that created it.
    pub id: String,
    /// Where to `PUT` the image file, as a path on this server.
    pub path: String,
}

/// An image the server holds and serves from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// The image ID.
    pub image_id: ImageId,
    /// The name in its manifest.
    pub name: Name,
    /// The labels in its manifest.
    pub labels: Labels,
    /// SHA-512 of the image file.
    pub file_digest: FileDigest,
    /// Bytes of the image file.
    pub file_bytes: u64,
    /// Fingerprint of the primary key whose signature was accepted.
    pub signer: String,
    /// Whether this push brought it; `false` where it was there already.
    pub created: bool,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What was refused and why.
    pub error: Refusal,
}
