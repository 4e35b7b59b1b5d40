//! Pushing an image to a registry (wire types and order: `aci::push`).
//!
//! The image is read and checked here first, so a broken one is refused before a
//! byte is sent. Then the signature goes, so that a signer the registry does not
//! accept is refused before the image is sent; then the image, in one stream.
//! Redirects are not followed: a token is for one server.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aci::archive::{self, InspectedImage};
use aci::push::{CreateUpload, ErrorBody, Pushed, Upload};
use futures_util::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method, RequestBuilder, Response};
use tokio_util::io::ReaderStream;
use url::Url;

use crate::Client;
use crate::error::printable_refusal;
use crate::fetch::read_small;
use crate::http::HttpError;
use crate::observer::{Event, Observer};
use crate::route::{Hop, Route};

mod error;

pub use error::{PushError, TokenError};

/// Bytes of an error answer that are read.
const MAX_ANSWER: usize = 256 << 10;

/// A bearer token. Shown to nobody but its registry.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl std::str::FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError);
        }
        let mut value = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| TokenError)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What to push, and where.
#[derive(Debug)]
pub struct Push<'a> {
    /// The image file.
    pub image: &'a Path,
    /// Its detached signature, armored.
    pub signature: &'a Path,
    /// The registry's base URL; where none is given, `https://` and the host of the image's name.
    pub registry: Option<&'a Url>,
    /// Who is pushing.
    pub token: &'a Token,
}

/// What a push did.
#[derive(Debug)]
pub struct Done {
    /// What the registry holds now.
    pub pushed: Pushed,
    /// The registry's base URL.
    pub registry: Url,
}

impl Client {
    /// Pushes an image.
    pub async fn push(
        &self,
        push: Push<'_>,
        observer: &Arc<dyn Observer>,
    ) -> Result<Done, PushError> {
        let signature = read_small(push.signature, self.limits.signature_bytes)
            .map_err(PushError::file(push.signature))?;
        let signature = String::from_utf8(signature)
            .map_err(|_| PushError::NotArmored { path: push.signature.to_owned() })?;
        let image = self.inspect(push.image).await?;
        let name = &image.manifest().name;
        let registry = match push.registry {
            Some(url) => base(url)?,
            None => Url::parse(&format!("https://{}/", name.host()))
                .map_err(|_| PushError::Host { name: name.clone() })?,
        };
        let server = Server {
            client: self,
            route: self.route(name),
            registry: &registry,
            token: push.token,
        };
        let upload = server.create(signature, image.file_bytes()).await?;
        let pushed = server.send(&upload, push.image, &image, observer).await?;
        if pushed.image_id != *image.image_id() {
            let (wanted, found) = (image.image_id().clone(), pushed.image_id);
            return Err(PushError::OtherImage { wanted, found });
        }
        Ok(Done { pushed, registry })
    }

    /// Reads and checks the image before anything is sent.
    async fn inspect(&self, path: &Path) -> Result<InspectedImage, PushError> {
        let file = std::fs::File::open(path).map_err(PushError::file(path))?;
        let limits = self.limits.clone();
        tokio::task::spawn_blocking(move || archive::inspect(file, &limits))
            .await
            .map_err(PushError::Stopped)?
            .map_err(|source| PushError::Image { path: path.to_owned(), source: Box::new(source) })
    }
}

/// A registry's base URL, its path ending in a slash.
fn base(url: &Url) -> Result<Url, PushError> {
    if url.scheme() != "https" {
        return Err(HttpError::NotHttps { url: url.clone().into() }.into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        let host = url.host_str().unwrap_or_default().to_owned();
        return Err(HttpError::Credentials { host }.into());
    }
    let mut base = url.clone();
    base.set_query(None);
    base.set_fragment(None);
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", url.path()));
    }
    Ok(base)
}

struct Server<'a> {
    client: &'a Client,
    route: Route,
    registry: &'a Url,
    token: &'a Token,
}

impl Server<'_> {
    async fn create(&self, signature: String, file_bytes: u64) -> Result<Upload, PushError> {
        let url = self.url("-/api/v1/uploads")?;
        let body = CreateUpload { signature, file_bytes: Some(file_bytes), file_digest: None };
        let request = self.request(Method::POST, &url).await?.json(&body);
        let timeouts = self.client.http.timeouts();
        let answer = tokio::time::timeout(timeouts.document, request.send()).await;
        accepted(&url, sent(&url, answer)?).await
    }

    async fn send(
        &self,
        upload: &Upload,
        path: &Path,
        image: &InspectedImage,
        observer: &Arc<dyn Observer>,
    ) -> Result<Pushed, PushError> {
        let url = self.upload_url(upload)?;
        let file = tokio::fs::File::open(path).await.map_err(PushError::file(path))?;
        let length = image.file_bytes();
        observer.event(Event::Started(Some(length)));
        let moved = Arc::new(AtomicU64::new(0));
        let body = body(file, length, Arc::clone(&moved), Arc::clone(observer));
        let request = self
            .request(Method::PUT, &url)
            .await?
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, length)
            .body(body);
        let answer = tokio::select! {
            answer = request.send() => Ok(answer),
            () = self.stalled(&moved, length) => Err(()),
        };
        let response = match answer {
            Err(()) => return Err(HttpError::Timeout { url: url.into() }.into()),
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(HttpError::request(&url, error).into()),
        };
        accepted(&url, response).await
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

    async fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, PushError> {
        let Hop { url, connect } = self.route.hop(url);
        let client = self.client.http.client(&Hop { url: url.clone(), connect }).await?;
        Ok(client.request(method, url).header(AUTHORIZATION, self.token.0.clone()))
    }

    fn url(&self, path: &str) -> Result<Url, PushError> {
        self.registry.join(path).map_err(|_| PushError::Answer {
            url: self.registry.clone().into(),
            what: format!("{path:?} is no path on it"),
        })
    }

    /// The token goes to the registry it is for, wherever its answer points.
    fn upload_url(&self, upload: &Upload) -> Result<Url, PushError> {
        let fault = || PushError::Answer {
            url: self.registry.clone().into(),
            what: format!("the upload path {:?} is not on this server", upload.path),
        };
        let url = self.registry.join(&upload.path).map_err(|_| fault())?;
        let below_root = upload.path.starts_with('/') && !upload.path.starts_with("//");
        if below_root && url.origin() == self.registry.origin() { Ok(url) } else { Err(fault()) }
    }
}

fn body(
    file: tokio::fs::File,
    length: u64,
    moved: Arc<AtomicU64>,
    observer: Arc<dyn Observer>,
) -> Body {
    // No more than was announced, should the file grow meanwhile.
    let file = tokio::io::AsyncReadExt::take(file, length);
    let stream = ReaderStream::with_capacity(file, 256 << 10).map(move |chunk: io::Result<_>| {
        let chunk = chunk?;
        let bytes = bytes::Bytes::len(&chunk) as u64;
        observer.event(Event::Advanced(bytes));
        if moved.fetch_add(bytes, Ordering::Relaxed) + bytes >= length {
            observer.event(Event::Moved);
        }
        Ok::<_, io::Error>(chunk)
    });
    Body::wrap_stream(stream)
}

type Sent = Result<Result<Response, reqwest::Error>, tokio::time::error::Elapsed>;

fn sent(url: &Url, answer: Sent) -> Result<Response, PushError> {
    match answer {
        Err(_) => Err(HttpError::Timeout { url: url.clone().into() }.into()),
        Ok(Err(error)) => Err(HttpError::request(url, error).into()),
        Ok(Ok(response)) => Ok(response),
    }
}

/// The answer of a success, or what the server refused.
async fn accepted<T: serde::de::DeserializeOwned>(
    url: &Url,
    mut response: Response,
) -> Result<T, PushError> {
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| HttpError::request(url, error))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            return Err(
                HttpError::TooLarge { url: url.clone().into(), limit: MAX_ANSWER as u64 }.into()
            );
        }
    }
    if status.is_success() {
        return serde_json::from_slice(&bytes).map_err(|error| PushError::Answer {
            url: url.clone().into(),
            what: format!("its answer cannot be read: {error}"),
        });
    }
    match serde_json::from_slice::<ErrorBody>(&bytes) {
        Ok(body) => {
            let refusal = Box::new(printable_refusal(body.error));
            Err(PushError::Refused { status: status.as_u16(), refusal })
        }
        Err(_) => Err(PushError::Status { url: url.clone().into(), status: status.as_u16() }),
    }
}
