//! A file as an HTTP answer.

use aci::{Extension, FileDigest};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::conditional::{Answer, Validators, answer};
use crate::blobs::{BlobKey, BlobStore};
use crate::catalog::StoredImage;
use crate::error::ApiError;

/// As `blobs/folder.rs` reads.
const READ_BYTES: usize = 256 << 10;

/// How long others may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caching {
    /// What a digest names never changes.
    Immutable,
    /// What a name means today may be something else tomorrow: ask each time.
    Revalidate,
}

/// An image or signature to be served.
#[derive(Debug)]
pub(crate) struct File {
    key: BlobKey,
    validators: Validators,
    content_type: &'static str,
    caching: Caching,
    extra: Vec<(HeaderName, HeaderValue)>,
}

impl File {
    /// One of the two files of an image.
    pub(crate) fn of(image: &StoredImage, extension: Extension, caching: Caching) -> Self {
        let (digest, bytes, content_type): (&FileDigest, u64, _) = match extension {
            Extension::Image => (&image.file_digest, image.file_bytes, "application/octet-stream"),
            Extension::Signature => {
                (&image.signature_digest, image.signature_bytes, "application/pgp-signature")
            }
        };
        let validators =
            Validators { etag: format!("\"{digest}\""), modified: image.pushed, bytes };
        let id = &image.image_id;
        let here = format!("/-/blobs/{id}.{}", extension.as_str());
        let mut extra = Vec::new();
        let mut add = |name: &'static str, value: &str| {
            // A version is any text; one that no header can hold is left out.
            if let Ok(value) = HeaderValue::from_str(value) {
                extra.push((HeaderName::from_static(name), value));
            }
        };
        add("gantry-image-id", id.as_str());
        // A client that asked for the newest can ask for the rest of the same image.
        add("content-location", &here);
        if let Some(version) = image.labels.value("version") {
            add("gantry-version", version);
        }
        Self { key: image.blob(extension), validators, content_type, caching, extra }
    }

    /// The answer to a GET or HEAD.
    pub(crate) async fn respond(
        self,
        blobs: &dyn BlobStore,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let answer = answer(method, headers, &self.validators);
        let total = self.validators.bytes;
        let (status, first, end) = match answer {
            Answer::Whole => (StatusCode::OK, 0, total),
            Answer::Part(first, end) => (StatusCode::PARTIAL_CONTENT, first, end),
            Answer::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
            Answer::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, 0, 0),
            Answer::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
        };
        let body = match answer {
            Answer::Whole | Answer::Part(..) if method == Method::GET => {
                self.body(blobs, first, end - first).await?
            }
            _ => Body::empty(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        self.describe(answer, response.headers_mut());
        Ok(response)
    }

    fn describe(&self, answer: Answer, headers: &mut HeaderMap) {
        let Validators { etag, modified, bytes } = &self.validators;
        let mut set = |name: HeaderName, value: String| {
            // Digests, dates and numbers: always the stuff of headers.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        };
        if answer == Answer::Unsatisfiable {
            set(header::CONTENT_RANGE, format!("bytes */{bytes}"));
            return;
        }
        set(header::ETAG, etag.clone());
        set(header::LAST_MODIFIED, httpdate::fmt_http_date(*modified));
        let caching = match self.caching {
            Caching::Immutable => "public, max-age=31536000, immutable",
            Caching::Revalidate => "no-cache",
        };
        set(header::CACHE_CONTROL, caching.to_owned());
        set(header::ACCEPT_RANGES, "bytes".to_owned());
        match answer {
            Answer::Whole => set(header::CONTENT_LENGTH, bytes.to_string()),
            Answer::Part(first, end) => {
                set(header::CONTENT_LENGTH, (end - first).to_string());
                set(header::CONTENT_RANGE, format!("bytes {first}-{}/{bytes}", end - 1));
            }
            _ => {}
        }
        if matches!(answer, Answer::Whole | Answer::Part(..)) {
            set(header::CONTENT_TYPE, self.content_type.to_owned());
        }
        headers.extend(self.extra.iter().cloned());
    }

    async fn body(&self, blobs: &dyn BlobStore, first: u64, bytes: u64) -> Result<Body, ApiError> {
        let reader = blobs.open(&self.key, first).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ApiError::FileLost,
            _ => error.into(),
        })?;
        Ok(Body::from_stream(ReaderStream::with_capacity(reader.take(bytes), READ_BYTES)))
    }
}
