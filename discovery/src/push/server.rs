//! The requests of the push protocol, each made once.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aci::FileDigest;
use aci::push::{
    ByteRange, Commit, CommitGroup, CommitOne, CreateUpload, ErrorBody, Pushed, PushedGroup,
    RangeOfFile, Upload,
};
use futures_util::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Body, Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use url::Url;

use super::meter::Meter;
use super::{PushError, Token};
use crate::Client;
use crate::error::printable_refusal;
use crate::http::{HttpError, asked_pause};
use crate::route::{Hop, Route};

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 1 << 20;

/// A registry, as its owner's client speaks to it.
pub(super) struct Server<'a> {
    pub(super) client: &'a Client,
    pub(super) route: Route,
    pub(super) registry: &'a Url,
    pub(super) token: &'a Token,
}

/// A file, and how much of it is at the registry before more is sent.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) total: u64,
    pub(super) before: u64,
    pub(super) meter: &'a Meter,
}

impl Server<'_> {
    pub(super) async fn create(&self, wanted: &CreateUpload) -> Result<Upload, PushError> {
        let url = self.url("-/api/v1/uploads")?;
        let request = self.request(Method::POST, &url).await?.json(wanted);
        self.small(&url, request, self.client.http.timeouts().document).await
    }

    /// Where an upload stands.
    pub(super) async fn look(&self, upload: &Upload) -> Result<Upload, PushError> {
        let url = self.upload_url(upload, "")?;
        let request = self.request(Method::GET, &url).await?;
        self.small(&url, request, self.client.http.timeouts().document).await
    }

    /// Sends the whole file in one stream.
    pub(super) async fn stream(
        &self,
        upload: &Upload,
        source: &Source<'_>,
    ) -> Result<Pushed, PushError> {
        let url = self.upload_url(upload, "")?;
        let request = self.request(Method::PUT, &url).await?;
        match ByteRange::new(0, source.total) {
            Some(all) => self.send(&url, request, source, all).await,
            None => Err(PushError::answer(&url, "a file without a byte is no image")),
        }
    }

    /// Sends a range of the file.
    pub(super) async fn range(
        &self,
        upload: &Upload,
        source: &Source<'_>,
        range: RangeOfFile,
    ) -> Result<Upload, PushError> {
        let url = self.upload_url(upload, "")?;
        let request = self.request(Method::PATCH, &url).await?;
        let request = request.header(CONTENT_RANGE, range.to_string());
        self.send(&url, request, source, range.range()).await
    }

    pub(super) async fn commit(
        &self,
        upload: &Upload,
        file_digest: &FileDigest,
    ) -> Result<Pushed, PushError> {
        let url = self.upload_url(upload, "/commit")?;
        let body = Commit { file_digest: file_digest.clone(), image_id: None };
        let request = self.request(Method::POST, &url).await?.json(&body);
        self.small(&url, request, self.client.http.timeouts().commit).await
    }

    pub(super) async fn commit_group(
        &self,
        uploads: Vec<CommitOne>,
    ) -> Result<Vec<Pushed>, PushError> {
        let url = self.url("-/api/v1/commits")?;
        let request = self.request(Method::POST, &url).await?.json(&CommitGroup { uploads });
        let group: PushedGroup =
            self.small(&url, request, self.client.http.timeouts().commit).await?;
        Ok(group.images)
    }

    pub(super) async fn small<T: DeserializeOwned>(
        &self,
        url: &Url,
        request: RequestBuilder,
        patience: Duration,
    ) -> Result<T, PushError> {
        self.small_of(MAX_ANSWER, url, request, patience).await
    }

    /// The same, with an answer of at most so many bytes.
    pub(super) async fn small_of<T: DeserializeOwned>(
        &self,
        limit: usize,
        url: &Url,
        request: RequestBuilder,
        patience: Duration,
    ) -> Result<T, PushError> {
        match tokio::time::timeout(patience, request.send()).await {
            Err(_) => Err(HttpError::Timeout { url: url.clone().into() }.into()),
            Ok(Err(error)) => Err(HttpError::request(url, error).into()),
            Ok(Ok(response)) => accepted(limit, url, response).await,
        }
    }

    async fn send<T: DeserializeOwned>(
        &self,
        url: &Url,
        request: RequestBuilder,
        source: &Source<'_>,
        range: ByteRange,
    ) -> Result<T, PushError> {
        let moved = Arc::new(AtomicU64::new(0));
        let body = body(source, range, Arc::clone(&moved)).await?;
        let request = request
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, range.bytes())
            .body(body);
        let answer = tokio::select! {
            answer = request.send() => answer,
            () = self.stalled(&moved, range.bytes()) => {
                return Err(HttpError::Timeout { url: url.clone().into() }.into());
            }
        };
        let answer = answer.map_err(|error| HttpError::request(url, error))?;
        accepted(MAX_ANSWER, url, answer).await
    }

    /// Ends when nothing has moved for too long; after the last byte, when the server
    /// has had its time to check the image.
    async fn stalled(&self, moved: &AtomicU64, length: u64) {
        let timeouts = self.client.http.timeouts();
        let mut last = (0, Duration::ZERO);
        let step = Duration::from_millis(250).min(timeouts.idle);
        loop {
            tokio::time::sleep(step).await;
            let now = moved.load(Ordering::Relaxed);
            last = if now == last.0 { (now, last.1 + step) } else { (now, Duration::ZERO) };
            let patience = if now >= length { timeouts.commit } else { timeouts.idle };
            if last.1 >= patience {
                return;
            }
        }
    }

    pub(super) async fn request(
        &self,
        method: Method,
        url: &Url,
    ) -> Result<RequestBuilder, PushError> {
        let Hop { url, connect } = self.route.hop(url);
        let client = self.client.http.client(&Hop { url: url.clone(), connect }).await?;
        Ok(client.request(method, url).header(AUTHORIZATION, self.token.0.clone()))
    }

    pub(super) fn url(&self, path: &str) -> Result<Url, PushError> {
        let fault = |_| PushError::answer(self.registry, format!("{path:?} is no path on it"));
        self.registry.join(path).map_err(fault)
    }

    /// An upload's path stands below the registry's base URL, whose own path it does not know.
    /// The token goes to the registry it is for, wherever its answer points.
    fn upload_url(&self, upload: &Upload, more: &str) -> Result<Url, PushError> {
        let path = format!("{}{more}", upload.path);
        let fault = || {
            let what = format!("the upload path {path:?} is not on this server");
            PushError::answer(self.registry, what)
        };
        if !path.starts_with('/') || path.starts_with("//") || path.contains('\\') {
            return Err(fault());
        }
        let url = self.registry.join(&format!(".{path}")).map_err(|_| fault())?;
        // `/..` would lead out of the base, to whoever has the rest of the server.
        let below_base = url.path().starts_with(self.registry.path());
        if below_base && url.origin() == self.registry.origin() { Ok(url) } else { Err(fault()) }
    }
}

async fn body(
    source: &Source<'_>,
    range: ByteRange,
    moved: Arc<AtomicU64>,
) -> Result<Body, PushError> {
    let unreadable = || PushError::file(source.path);
    let mut file = tokio::fs::File::open(source.path).await.map_err(unreadable())?;
    file.seek(io::SeekFrom::Start(range.first())).await.map_err(unreadable())?;
    // No more than was announced, should the file grow meanwhile.
    let file = file.take(range.bytes());
    let (before, meter) = (source.before, source.meter.clone());
    let stream = ReaderStream::with_capacity(file, 256 << 10).map(move |chunk: io::Result<_>| {
        let chunk = chunk?;
        let bytes = bytes::Bytes::len(&chunk) as u64;
        meter.reached(before + moved.fetch_add(bytes, Ordering::Relaxed) + bytes);
        Ok::<_, io::Error>(chunk)
    });
    Ok(Body::wrap_stream(stream))
}

/// The answer of a success, or what the server refused.
async fn accepted<T: DeserializeOwned>(
    limit: usize,
    url: &Url,
    mut response: Response,
) -> Result<T, PushError> {
    let status = response.status();
    let retry_after = asked_pause(response.headers());
    let mut bytes = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| HttpError::request(url, error))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            let limit = limit as u64;
            return Err(HttpError::TooLarge { url: url.clone().into(), limit }.into());
        }
    }
    if status.is_success() {
        // Nothing is what JSON calls null.
        let said = if bytes.is_empty() { b"null" } else { &*bytes };
        return serde_json::from_slice(said).map_err(|error| {
            PushError::answer(url, format!("its answer cannot be read: {error}"))
        });
    }
    let status = status.as_u16();
    match serde_json::from_slice::<ErrorBody>(&bytes) {
        Ok(ErrorBody { error, upload }) => {
            let refusal = Box::new(printable_refusal(error));
            Err(PushError::Refused { status, refusal, upload, retry_after })
        }
        Err(_) => Err(PushError::Status { url: url.clone().into(), status, retry_after }),
    }
}
