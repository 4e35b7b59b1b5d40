//! A file as an HTTP answer.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use aci::{Extension, FileDigest};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::conditional::{Answer, Validators, answer};
use super::content::{Content, read};
use super::memory::SMALL;
use super::multipart::{Multipart, Piece};
use crate::blobs::BlobKey;
use crate::catalog::StoredImage;
use crate::error::ApiError;
use crate::state::State;
use crate::token::nonce;

/// How long others may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caching {
    /// What a digest names never changes.
    Immutable,
    /// What a name means today may be something else tomorrow: ask each time.
    Revalidate,
}

/// For how long a change may be followed by another that bears the same date: that of HTTP has whole
/// seconds, and what is done has the time at which it was begun.
const SETTLED: Duration = Duration::from_secs(5);

/// Since when a file is what is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    at: SystemTime,
    /// What clients are told, and bring again.
    told: SystemTime,
}

impl Since {
    /// Nothing else will ever be there with this date.
    pub(crate) fn settled(at: SystemTime) -> Self {
        Self { at, told: at }
    }

    /// A moment after a change the date before it is told, so that whoever brings it is given the
    /// file once more, instead of hearing that nothing became of it (RFC 9110, 8.8.2.2).
    pub(crate) fn changing(at: SystemTime, now: SystemTime) -> Self {
        let settled = now.duration_since(at).is_ok_and(|age| age >= SETTLED);
        let before = at.checked_sub(Duration::from_secs(1)).unwrap_or(at);
        Self { at, told: if settled { at } else { before } }
    }
}

/// An image or signature to be served.
#[derive(Debug)]
pub(crate) struct File {
    key: BlobKey,
    digest: FileDigest,
    validators: Validators,
    content_type: &'static str,
    /// What every answer about it says.
    headers: HeaderMap,
}

impl File {
    /// One of the two files of an image, which is what was asked for since then.
    pub(crate) fn of(
        image: &StoredImage,
        extension: Extension,
        caching: Caching,
        since: Since,
    ) -> Self {
        let (digest, bytes, content_type): (&FileDigest, u64, _) = match extension {
            Extension::Image => (&image.file_digest, image.file_bytes, "application/octet-stream"),
            Extension::Signature => {
                (&image.signature_digest, image.signature_bytes, "application/pgp-signature")
            }
        };
        let etag = format!("\"{digest}\"");
        let id = &image.image_id;
        let mut headers = HeaderMap::new();
        set(&mut headers, header::ETAG, &etag);
        set(&mut headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(since.told));
        let caching = match caching {
            // Whether it is withdrawn may change again.
            Caching::Immutable if image.yanked => "no-cache",
            Caching::Immutable => "public, max-age=31536000, immutable",
            Caching::Revalidate => "no-cache",
        };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        set(&mut headers, HeaderName::from_static("gantry-image-id"), id.as_str());
        // A client that asked for the newest can ask for the rest of the same image.
        let here = format!("/-/blobs/{id}.{}", extension.as_str());
        set(&mut headers, header::CONTENT_LOCATION, &here);
        // What its author says of it since, signed.
        if image.yanked {
            let said = format!("/-/api/v1/images/{id}/yank");
            set(&mut headers, HeaderName::from_static("gantry-yanked"), &said);
        }
        if let Some(version) = image.labels.value("version") {
            // A version is any text; one that no header can hold is left out.
            set(&mut headers, HeaderName::from_static("gantry-version"), version);
        }
        let validators = Validators { etag, modified: since.at, bytes };
        let key = image.blob(extension);
        Self { key, digest: digest.clone(), validators, content_type, headers }
    }

    /// The answer to a GET or HEAD.
    pub(crate) async fn respond(
        &self,
        state: &State,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let total = self.validators.bytes;
        let answer = answer(method, headers, &self.validators);
        let (status, sent) = match answer {
            Answer::Whole => (StatusCode::OK, Some(Sent::whole(total))),
            Answer::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(Sent::part(range, total))),
            Answer::Parts(parts) => {
                let several = Multipart::new(&parts, self.content_type, total, &nonce()?);
                // Parts with what stands around them may come to more than the whole.
                if several.bytes < total {
                    (StatusCode::PARTIAL_CONTENT, Some(Sent::several(several)))
                } else {
                    (StatusCode::OK, Some(Sent::whole(total)))
                }
            }
            Answer::NotModified => (StatusCode::NOT_MODIFIED, None),
            Answer::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, None),
            Answer::Unsatisfiable => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{total}"));
                return Ok(response);
            }
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        *response.headers_mut() = self.headers.clone();
        if let Some(Sent { bytes, content_type, content_range, pieces }) = sent {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, bytes.into());
            match content_type {
                Some(parts) => set(headers, header::CONTENT_TYPE, &parts),
                None => {
                    let own = HeaderValue::from_static(self.content_type);
                    headers.insert(header::CONTENT_TYPE, own);
                }
            }
            if let Some(range) = content_range {
                set(headers, header::CONTENT_RANGE, &range);
            }
            // A HEAD says what a GET would, and that of a file that is lost is an error.
            let content = self.content(state).await?;
            if method == Method::GET {
                *response.body_mut() = content.body(pieces);
            }
        }
        Ok(response)
    }

    async fn content(&self, state: &State) -> Result<Content, ApiError> {
        let memory = &state.serving.memory;
        let small = self.validators.bytes <= SMALL;
        if small && let Some(content) = memory.content(&self.digest) {
            return Ok(Content::Memory(content));
        }
        let blob = state.blobs.blob(&self.key).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ApiError::FileLost,
            _ => error.into(),
        })?;
        if blob.bytes()? != self.validators.bytes {
            return Err(ApiError::FileLost);
        }
        if !small {
            return Ok(Content::Blob(blob));
        }
        let content = read(&*blob, 0, self.validators.bytes).await?;
        // What is kept is given out again and again.
        if FileDigest::of_bytes(&content) != self.digest {
            return Err(ApiError::FileLost);
        }
        memory.keep(&self.digest, &content);
        Ok(Content::Memory(content))
    }
}

/// What is sent of a file.
struct Sent {
    bytes: u64,
    /// Where it is not the file's own.
    content_type: Option<String>,
    content_range: Option<String>,
    pieces: VecDeque<Piece>,
}

impl Sent {
    fn whole(total: u64) -> Self {
        let pieces = [Piece::File(0..total)].into();
        Self { bytes: total, content_type: None, content_range: None, pieces }
    }

    fn part(range: Range<u64>, total: u64) -> Self {
        let content_range = Some(format!("bytes {}-{}/{total}", range.start, range.end - 1));
        let bytes = range.end - range.start;
        Self { bytes, content_type: None, content_range, pieces: [Piece::File(range)].into() }
    }

    fn several(Multipart { bytes, content_type, pieces }: Multipart) -> Self {
        Self { bytes, content_type: Some(content_type), content_range: None, pieces }
    }
}

/// Digests, dates and numbers: always the stuff of headers. What is not is left out.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
