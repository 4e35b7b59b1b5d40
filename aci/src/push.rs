//! Wire types of Gantry's own push protocol, shared by client and server.
//!
//! ```text
//! POST   /-/api/v1/uploads              CreateUpload → 201 Upload (200: it was open already)
//! PUT    /-/api/v1/uploads/{id}         the image file → 201 Pushed (200: it was there already)
//! PATCH  /-/api/v1/uploads/{id}         a range of it, Content-Range: bytes 0-65535/592331 → 200 Upload
//! GET    /-/api/v1/uploads/{id}         → 200 Upload
//! POST   /-/api/v1/uploads/{id}/commit  Commit → 201 Pushed (200: it was there already)
//! POST   /-/api/v1/commits              CommitGroup → 201 PushedGroup (200: all were there already)
//! DELETE /-/api/v1/uploads/{id}         → 204
//! any refusal                           → 4xx ErrorBody
//! ```
//!
//! All of them carry `Authorization: Bearer TOKEN`. The signature goes first, so that an unknown
//! signer is refused before the image is sent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{FileDigest, ImageId};
use crate::labels::Labels;
use crate::name::Name;
use crate::refusal::Refusal;

/// How many images one group may have.
pub const GROUP_IMAGES: usize = 64;

/// Begin an upload: the signature, before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateUpload {
    /// The ASCII-armored detached signature over the image file.
    pub signature: String,
    /// Bytes of the image file, where known: too large a file is refused before it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// SHA-512 of the image file, where known: an upload of it that is open is taken up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_digest: Option<FileDigest>,
}

/// An upload, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    /// The upload's identifier: unguessable, and good for the token that created it.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{64}$"))]
    pub id: String,
    /// Where to send the image file, as a path on this server.
    pub path: String,
    /// What came of it so far; absent from a registry that takes images in one stream alone.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Progress))]
    pub progress: Option<Progress>,
}

/// What came of an upload so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Whether it is done.
    pub state: UploadState,
    /// The ranges of the file that are held, in order, none touching another.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Bounds>))]
    pub held: Vec<ByteRange>,
    /// Bytes of the image file, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// SHA-512 of the image file, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_digest: Option<FileDigest>,
    /// When it is forgotten, with all that it holds, unless more of it comes.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires: jiff::Timestamp,
    /// The image that it brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Pushed>,
    /// Why its image was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// Whether an upload is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum UploadState {
    /// It waits for its image.
    Open,
    /// Its image is served.
    Published,
    /// Its image was refused. It may still be sent, or committed, again.
    Refused,
}

/// Bytes of a file, from the first to the last of them: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Bounds", into = "Bounds")]
pub struct ByteRange {
    first: u64,
    end: u64,
}

/// A range as it is written.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ByteRange))]
#[serde(deny_unknown_fields)]
struct Bounds {
    /// The first byte, from 0.
    first: u64,
    /// The last byte.
    last: u64,
}

/// A range of a file of so many bytes, as the header `Content-Range` has it (RFC 9110, 14.4):
/// `bytes 0-65535/592331`. It ends within the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeOfFile {
    range: ByteRange,
    total: u64,
}

/// What is no range of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a range of a file is `bytes FIRST-LAST/TOTAL`, with FIRST up to LAST and LAST below TOTAL"
)]
pub struct RangeError;

impl ByteRange {
    /// The bytes from `first` up to `end`, which is not among them.
    pub fn new(first: u64, end: u64) -> Option<Self> {
        // Databases and files count by signed numbers.
        (first < end && i64::try_from(end).is_ok()).then_some(Self { first, end })
    }

    /// The first byte.
    pub fn first(self) -> u64 {
        self.first
    }

    /// The byte after the last.
    pub fn end(self) -> u64 {
        self.end
    }

    /// How many there are.
    pub fn bytes(self) -> u64 {
        self.end - self.first
    }

    /// The same bytes in as few ranges as there can be, in order.
    pub fn merge(mut ranges: Vec<Self>) -> Vec<Self> {
        ranges.sort_unstable();
        let mut merged: Vec<Self> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.first <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }

    /// What is missing of a file of `total` bytes beside these ranges, which are merged.
    pub fn missing(held: &[Self], total: u64) -> Vec<Self> {
        let (mut missing, mut at) = (Vec::new(), 0);
        for range in held {
            missing.extend(Self::new(at, range.first.min(total)));
            at = at.max(range.end);
        }
        missing.extend(Self::new(at, total));
        missing
    }
}

impl TryFrom<Bounds> for ByteRange {
    type Error = RangeError;

    fn try_from(bounds: Bounds) -> Result<Self, RangeError> {
        let end = bounds.last.checked_add(1).ok_or(RangeError)?;
        Self::new(bounds.first, end).ok_or(RangeError)
    }
}

impl From<ByteRange> for Bounds {
    fn from(range: ByteRange) -> Self {
        Self { first: range.first, last: range.end - 1 }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.end - 1)
    }
}

impl RangeOfFile {
    /// A range of a file of `total` bytes.
    pub fn new(range: ByteRange, total: u64) -> Option<Self> {
        (range.end <= total && i64::try_from(total).is_ok()).then_some(Self { range, total })
    }

    /// The range.
    pub fn range(self) -> ByteRange {
        self.range
    }

    /// Bytes of the file.
    pub fn total(self) -> u64 {
        self.total
    }
}

impl FromStr for RangeOfFile {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let number = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| text.parse::<u64>().ok()).flatten().ok_or(RangeError)
        };
        let (unit, rest) = text.split_once(' ').ok_or(RangeError)?;
        let (range, total) = rest.split_once('/').ok_or(RangeError)?;
        let (first, last) = range.split_once('-').ok_or(RangeError)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return Err(RangeError);
        }
        let range = Bounds { first: number(first)?, last: number(last)? }.try_into()?;
        Self::new(range, number(total)?).ok_or(RangeError)
    }
}

impl fmt::Display for RangeOfFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}/{}", self.range, self.total)
    }
}

/// Make the image of an upload visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Commit {
    /// SHA-512 of the image file.
    pub file_digest: FileDigest,
    /// The image ID, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
}

/// Make the images of several uploads visible, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitGroup {
    /// The uploads, each once: at most 64.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub uploads: Vec<CommitOne>,
}

/// One of several uploads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitOne {
    /// The upload's identifier.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{64}$"))]
    pub id: String,
    /// SHA-512 of its image file.
    pub file_digest: FileDigest,
    /// The image ID, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
}

/// Several images that became visible together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PushedGroup {
    /// The images, in the order in which their uploads were named.
    pub images: Vec<Pushed>,
}

/// An image the server holds and serves from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// What was refused and why.
    pub error: Refusal,
    /// The upload that was refused, where several were committed together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(pairs: &[(u64, u64)]) -> Vec<ByteRange> {
        pairs.iter().filter_map(|(first, end)| ByteRange::new(*first, *end)).collect()
    }

    #[test]
    fn range_of_a_file_is_read_as_it_is_written() -> Result<(), RangeError> {
        for text in ["bytes 0-0/1", "bytes 5-9/10", "bytes 0-65535/592331"] {
            assert_eq!(text.parse::<RangeOfFile>()?.to_string(), text);
        }
        for bad in [
            "",
            "bytes",
            "bytes 1-0/5",
            "bytes 0-5/5",
            "bytes 0-4/*",
            "bytes */5",
            "bytes 0-+4/5",
            "items 0-4/5",
            "bytes 0-18446744073709551615/18446744073709551615",
            "bytes 0-1/18446744073709551615",
            "bytes 0-4/5 ",
        ] {
            assert!(bad.parse::<RangeOfFile>().is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn ranges_merge_and_what_is_missing_is_the_rest() {
        let held = ByteRange::merge(ranges(&[(7, 9), (0, 3), (2, 5), (5, 6), (8, 9)]));
        assert_eq!(held, ranges(&[(0, 6), (7, 9)]));
        assert_eq!(ByteRange::missing(&held, 12), ranges(&[(6, 7), (9, 12)]));
        assert_eq!(ByteRange::missing(&held, 9), ranges(&[(6, 7)]));
        assert_eq!(ByteRange::missing(&[], 4), ranges(&[(0, 4)]));
        assert_eq!(ByteRange::missing(&ranges(&[(0, 4)]), 4), []);
    }

    #[test]
    fn upload_of_an_older_registry_has_no_progress() -> Result<(), serde_json::Error> {
        let old: Upload = serde_json::from_str(r#"{"id": "1", "path": "/-/api/v1/uploads/1"}"#)?;
        assert_eq!(old.progress, None);
        let progress = Progress {
            state: UploadState::Open,
            held: ranges(&[(0, 6)]),
            file_bytes: Some(9),
            file_digest: None,
            expires: jiff::Timestamp::UNIX_EPOCH,
            image: None,
            refusal: None,
        };
        let new = Upload { progress: Some(progress), ..old };
        let text = serde_json::to_string(&new)?;
        assert!(text.contains(r#""held":[{"first":0,"last":5}]"#), "{text}");
        assert_eq!(serde_json::from_str::<Upload>(&text)?, new);
        assert!(serde_json::from_str::<ByteRange>(r#"{"first": 5, "last": 4}"#).is_err());
        Ok(())
    }
}
