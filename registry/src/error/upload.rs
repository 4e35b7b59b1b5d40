//! Refusals of the push protocol's own: of ranges, of commits, of groups.

use aci::push::ByteRange;
use aci::{FileDigest, ImageId};
use axum::http::StatusCode;

use super::refusal::{Parts, parts};

/// How many missing ranges are named.
const NAMED: usize = 8;

/// Why an upload did not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the range of the file cannot be read")]
    RangeMalformed(String),
    #[error("a part of the file was sent as all of it")]
    RangeOfWhole,
    #[error("the range is of a file of {found} bytes, the upload of one of {known}")]
    RangeForeign { known: u64, found: u64 },
    #[error("the request does not hold as many bytes as its range")]
    RangeLength { wanted: u64, found: String },
    #[error("the range is too small")]
    RangeSmall { smallest: u64, found: u64 },
    #[error("the upload is full")]
    Full { parts: u64, bytes: u64 },
    #[error("the uploads of this caller hold too much")]
    CallerFull { bytes: u64 },
    #[error("the image of this upload is served already")]
    Published,
    #[error("the image has not arrived whole")]
    Gaps { missing: Vec<ByteRange>, total: Option<u64> },
    #[error("the image file is another than was announced")]
    OtherFile { wanted: FileDigest, found: FileDigest },
    #[error("the upload is of another file than is to be committed")]
    OtherAnnounced { wanted: FileDigest, found: FileDigest },
    #[error("the image is another than was announced")]
    OtherImage { wanted: ImageId, found: ImageId },
    #[error("so many images are not taken together")]
    GroupSize { most: usize, found: usize },
    #[error("an upload is named twice")]
    Twice,
}

impl UploadError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::RangeMalformed(_)
            | Self::RangeOfWhole
            | Self::RangeLength { .. }
            | Self::RangeSmall { .. }
            | Self::GroupSize { .. }
            | Self::Twice => StatusCode::BAD_REQUEST,
            Self::RangeForeign { .. } | Self::Full { .. } | Self::Published | Self::Gaps { .. } => {
                StatusCode::CONFLICT
            }
            Self::CallerFull { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::OtherFile { .. } | Self::OtherAnnounced { .. } | Self::OtherImage { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
        }
    }

    pub(super) fn about(&self) -> Parts {
        match self {
            Self::RangeMalformed(found) => parts(
                "range-malformed",
                "one header `Content-Range: bytes FIRST-LAST/TOTAL`",
                found.clone(),
                "RFC 9110, 14.4; a part says which part it is",
                "use a client that speaks this protocol, such as `gantry push`",
            ),
            Self::RangeOfWhole => parts(
                "range-of-whole",
                "the whole file, and no header `Content-Range`",
                "that header",
                "RFC 9110, 14.5; what is sent by PUT is the whole",
                "send ranges by PATCH, and commit them",
            ),
            Self::RangeForeign { known, found } => parts(
                "range-foreign",
                format!("a range of a file of {known} bytes"),
                format!("one of a file of {found} bytes"),
                "an upload is of one file, whose size is said when it is opened, or with its first range",
                "open an upload of its own for the other file",
            ),
            Self::RangeLength { wanted, found } => parts(
                "range-length",
                format!("{wanted} bytes, as the range says"),
                found.clone(),
                "a range is kept as it is named",
                "send the range again, with all of its bytes",
            ),
            Self::RangeSmall { smallest, found } => parts(
                "range-too-small",
                format!(
                    "a range of at least {smallest} bytes, or one up to what is held or to the end"
                ),
                format!("{found} bytes"),
                "each range is a file of its own here, so there are to be few",
                "send larger ranges",
            ),
            Self::Full { parts: most, bytes } => parts(
                "upload-full",
                format!("at most {most} ranges, of {bytes} bytes together"),
                "more",
                "this registry's limit on what one upload may hold, ranges that overlap counted in full",
                "open another upload, and send larger ranges that do not overlap",
            ),
            Self::CallerFull { bytes } => parts(
                "uploads-too-large",
                format!("uploads that hold at most {bytes} bytes together"),
                "more",
                "this registry's limit on what the open uploads of a caller may hold",
                "finish or delete other uploads; one that nothing comes for ends after a day",
            ),
            Self::Published => parts(
                "upload-published",
                "an upload that waits for its image",
                "one whose image is served",
                "an upload brings one image",
                "nothing is left to do: ask for the upload to see its image",
            ),
            Self::Gaps { missing, total } => parts(
                "upload-gaps",
                total.map_or_else(
                    || "an image file".to_owned(),
                    |total| format!("all {total} bytes"),
                ),
                gaps(missing),
                "an image is verified when all of it is here",
                "send what is missing, then commit again",
            ),
            Self::OtherFile { wanted, found } => parts(
                "file-digest-mismatch",
                wanted.as_str(),
                found.as_str(),
                "what arrived must be the file that was announced",
                "check that the file does not change while it is pushed, and push it again",
            ),
            Self::OtherAnnounced { wanted, found } => parts(
                "file-digest-mismatch",
                wanted.as_str(),
                found.as_str(),
                "what is committed must be the file that the upload was opened for",
                "commit with the digest of that file; what is held of it stays",
            ),
            Self::OtherImage { wanted, found } => parts(
                "image-id-mismatch",
                wanted.as_str(),
                found.as_str(),
                "what arrived must be the image that was announced",
                "commit with the ID of this image, or without one",
            ),
            Self::GroupSize { most, found } => parts(
                "group-size",
                format!("1 to {most} uploads"),
                found.to_string(),
                "this registry's limit on images that are published together",
                "commit them in several groups",
            ),
            Self::Twice => parts(
                "upload-twice",
                "uploads that differ",
                "one of them twice",
                "each upload brings one image",
                "name each upload once",
            ),
        }
    }
}

fn gaps(missing: &[ByteRange]) -> String {
    if missing.is_empty() {
        return "nothing of it".to_owned();
    }
    let named: Vec<String> = missing.iter().take(NAMED).map(ToString::to_string).collect();
    let more = missing.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("bytes {}{more} are missing", named.join(", "))
}
