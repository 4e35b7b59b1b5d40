//! Requests: TLS, redirects, limits, timeouts.
//!
//! Only `https`, whatever a page, a template or a redirect says, unless the user gave
//! that up for this command ([`Insecure`]). Redirects are followed here and not by the
//! HTTP library, so that each hop goes through the [`crate::route`] of the name, no hop
//! can leave `https`, and each hop is sent the credentials of its own host and no
//! others. Certificates are checked against the system's roots and those of `--ca-file`.

use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, LOCATION};
use reqwest::{Certificate, Client, StatusCode, redirect};
use url::Url;

use crate::credentials::Credentials;
use crate::error::{Kind, chain};
use crate::route::{Hop, Route, Target};

pub mod cache;
mod error;
mod insecure;
mod proxy;
mod rate;
mod retry;
mod said;

pub use error::HttpError;
pub use insecure::Insecure;
pub(crate) use insecure::Purpose;
pub use proxy::{Proxy, ProxyError};
pub(crate) use rate::Rate;
pub(crate) use retry::{LONGEST_ASKED, asked_pause, duration, is_temporary};
pub use retry::{Pace, RealPace, Retries};

/// Redirects followed for one document.
const MAX_REDIRECTS: usize = 10;

/// How long to wait. There is no limit on how long an image may take, as long as it moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// Between two reads, and for an answer to begin.
    pub idle: Duration,
    /// For a whole small document: a page, a signature, a file of keys.
    pub document: Duration,
    /// For a server to check an image once it has all of it.
    pub commit: Duration,
    /// For everything one image needs, where somebody set a limit.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            document: Duration::from_secs(120),
            commit: Duration::from_secs(900),
            total: None,
        }
    }
}

/// How requests are made.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) timeouts: Timeouts,
    pub(crate) proxy: Proxy,
    pub(crate) credentials: Credentials,
    pub(crate) insecure: Insecure,
    pub(crate) retries: Retries,
    pub(crate) limit_rate: Option<NonZeroU64>,
}

/// What makes requests.
#[derive(Debug)]
pub(crate) struct Http {
    setup: Setup,
    rate: Rate,
    clients: Mutex<HashMap<Option<(String, Target)>, Client>>,
}

/// An answer, its body not read yet.
#[derive(Debug)]
pub(crate) struct Answer {
    response: reqwest::Response,
    length: Option<u64>,
    idle: Duration,
    url: Url,
}

/// What became of a small document.
pub(crate) enum Document {
    /// It is here.
    Here(Vec<u8>),
    /// The server has it later (202).
    Deferred,
}

impl Http {
    pub(crate) fn new(setup: Setup) -> Self {
        // One provider for the whole process; a second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let rate = Rate::new(setup.limit_rate);
        Self { setup, rate, clients: Mutex::default() }
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.setup.timeouts
    }

    pub(crate) fn retries(&self) -> &Retries {
        &self.setup.retries
    }

    pub(crate) fn insecure(&self) -> Insecure {
        self.setup.insecure
    }

    pub(crate) fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Asks for `url` once, and follows redirects. Any other status is an answer.
    pub(crate) async fn ask(
        &self,
        purpose: Purpose,
        route: &Route,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Answer, HttpError> {
        let mut hop = self.checked_hop(purpose, route, url)?;
        for _ in 0..=MAX_REDIRECTS {
            let client = self.client(&hop).await?;
            let mut request = client.get(hop.url.clone()).headers(headers.clone());
            if let Some(secret) = self.credentials_for(&hop.url)? {
                request = request.header(AUTHORIZATION, secret);
            }
            let timeouts = &self.setup.timeouts;
            let sent = tokio::time::timeout(timeouts.connect + timeouts.idle, request.send());
            let response = match sent.await {
                Err(_) => return Err(HttpError::Timeout { url: hop.url.into() }),
                Ok(Err(error)) => return Err(HttpError::request(&hop.url, error)),
                Ok(Ok(response)) => response,
            };
            if is_redirect(response.status()) {
                hop = self.redirected(purpose, route, &hop, &response)?;
            } else {
                let (length, idle) = (response.content_length(), timeouts.idle);
                return Ok(Answer { response, length, idle, url: hop.url });
            }
        }
        Err(HttpError::TooManyRedirects { url: url.clone().into(), limit: MAX_REDIRECTS })
    }

    /// Asks again, after a pause, as long as that may help.
    pub(crate) async fn ask_patiently(
        &self,
        purpose: Purpose,
        route: &Route,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Answer, HttpError> {
        let mut failures = 0;
        loop {
            let asked = match self.ask(purpose, route, url, headers).await {
                Ok(answer) => answer.unless_busy().await,
                Err(error) => Err(error),
            };
            let error = match asked {
                Err(error) if failures < self.retries().count && error.may_get_better() => error,
                other => return other,
            };
            self.retries().pause(failures, error.retry_after()).await;
            failures += 1;
        }
    }

    /// A whole document of at most `limit` bytes. Anything but status 200 is an error.
    pub(crate) async fn document(
        &self,
        purpose: Purpose,
        route: &Route,
        url: &Url,
        limit: u64,
    ) -> Result<Vec<u8>, HttpError> {
        match self.document_or_later(purpose, route, url, limit).await? {
            Document::Here(bytes) => Ok(bytes),
            Document::Deferred => Err(HttpError::status(url, 202, None)),
        }
    }

    /// The same, where the server may also say that it has it later.
    pub(crate) async fn document_or_later(
        &self,
        purpose: Purpose,
        route: &Route,
        url: &Url,
        limit: u64,
    ) -> Result<Document, HttpError> {
        let mut failures = 0;
        loop {
            let read = async {
                let answer = self.ask(purpose, route, url, &HeaderMap::new()).await?;
                match answer.status() {
                    202 => Ok(Document::Deferred),
                    200 => answer.bytes(limit).await.map(Document::Here),
                    _ => Err(answer.refused().await),
                }
            };
            let result = match tokio::time::timeout(self.setup.timeouts.document, read).await {
                Ok(result) => result,
                Err(_) => Err(HttpError::Timeout { url: url.clone().into() }),
            };
            let error = match result {
                Err(error) if failures < self.retries().count && error.may_get_better() => error,
                other => return other,
            };
            self.retries().pause(failures, error.retry_after()).await;
            failures += 1;
        }
    }

    /// What is sent to a host to show who asks: only over TLS with a checked certificate,
    /// and only what was configured for exactly this host and port.
    fn credentials_for(
        &self,
        url: &Url,
    ) -> Result<Option<reqwest::header::HeaderValue>, HttpError> {
        if url.scheme() != "https" || self.setup.insecure.skip_tls_verify {
            return Ok(None);
        }
        self.setup.credentials.authorization(url).map_err(HttpError::CredentialsUnusable)
    }

    /// The client that makes this hop.
    pub(crate) async fn client(&self, hop: &Hop) -> Result<Client, HttpError> {
        let key = hop
            .connect
            .as_ref()
            .map(|target| (hop.url.host_str().unwrap_or_default().to_owned(), target.clone()));
        let known = self.clients.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let insecure = self.setup.insecure;
        let mut builder = Client::builder()
            .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .https_only(!insecure.allow_http && !insecure.keys_over_http)
            .connect_timeout(self.setup.timeouts.connect)
            .tls_certs_merge(self.roots()?);
        if insecure.skip_tls_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        if let Some((host, target)) = &key {
            let addresses = look_up(&hop.url, target).await?;
            // A proxy would look the host up by itself.
            builder = builder.no_proxy().resolve_to_addrs(host, &addresses);
        } else {
            builder = self.setup.proxy.apply(builder)?;
        }
        let client = builder.build().map_err(|error| HttpError::Tls { why: chain(&error) })?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(clients.entry(key).or_insert(client).clone())
    }

    fn roots(&self) -> Result<Vec<Certificate>, HttpError> {
        let Some(path) = &self.setup.ca_file else { return Ok(Vec::new()) };
        let fault = |why: String| HttpError::CaFile { path: path.clone(), why };
        let text = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
        let roots = Certificate::from_pem_bundle(&text).map_err(|error| fault(chain(&error)))?;
        if roots.is_empty() { Err(fault("it holds no certificate".to_owned())) } else { Ok(roots) }
    }

    fn redirected(
        &self,
        purpose: Purpose,
        route: &Route,
        hop: &Hop,
        response: &reqwest::Response,
    ) -> Result<Hop, HttpError> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|text| hop.url.join(text).ok());
        let Some(mut target) = target else {
            return Err(HttpError::Redirect {
                url: hop.url.clone().into(),
                location: location.unwrap_or_default().to_owned(),
            });
        };
        // Plain HTTP would let anybody on the way answer, and see what is asked. What began
        // on https never leaves it, even where http is allowed.
        let stays = hop.url.scheme() == "http" && target.scheme() == "http";
        if target.scheme() != "https" && !stays {
            return Err(HttpError::Downgrade {
                url: hop.url.clone().into(),
                target: target.into(),
            });
        }
        target.set_fragment(None);
        self.checked_hop(purpose, route, &target)
    }

    /// Credentials in a URL would be sent to whomever a page or a redirect names.
    fn checked_hop(&self, purpose: Purpose, route: &Route, url: &Url) -> Result<Hop, HttpError> {
        let plain = url.scheme() == "http" && self.setup.insecure.http_for(purpose);
        if url.scheme() != "https" && !plain {
            return Err(HttpError::NotHttps { url: url.clone().into() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            let host = url.host_str().unwrap_or_default().to_owned();
            return Err(HttpError::Credentials { host });
        }
        Ok(route.hop(url))
    }
}

impl Answer {
    /// The status.
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The answer as an error: its status is none that helps. Why, is what its body says.
    pub(crate) async fn refused(self) -> HttpError {
        let error = self.as_error();
        error.because(said::said(self).await)
    }

    /// The answer, unless it only says that another time would be better.
    pub(crate) async fn unless_busy(self) -> Result<Self, HttpError> {
        if self.as_error().may_get_better() { Err(self.refused().await) } else { Ok(self) }
    }

    fn as_error(&self) -> HttpError {
        HttpError::status(&self.url, self.status(), retry::asked_pause(self.headers()))
    }

    /// Where it came from, after redirects.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// How many bytes the server says there are.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece of the body. A body that ends before the length the server
    /// gave is an error, never an end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, HttpError> {
        match tokio::time::timeout(self.idle, self.response.chunk()).await {
            Err(_) => Err(HttpError::Timeout { url: self.url.clone().into() }),
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) if broke_off(&error) => Err(HttpError::Request {
                url: self.url.clone().into(),
                why: chain(&error),
                dropped: true,
            }),
            Ok(Err(error)) => {
                Err(HttpError::EndedEarly { url: self.url.clone().into(), why: chain(&error) })
            }
        }
    }

    async fn bytes(mut self, limit: u64) -> Result<Vec<u8>, HttpError> {
        let too_large = |url: &Url| HttpError::TooLarge { url: url.clone().into(), limit };
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_large(&self.url));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(too_large(&self.url));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// A connection that was reset or stood still, as against a body that ended.
fn broke_off(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::TimedOut
            );
        }
        cause = error.source();
    }
    error.is_timeout()
}

async fn look_up(url: &Url, target: &Target) -> Result<Vec<SocketAddr>, HttpError> {
    let fault = |why: String| HttpError::LookUp {
        url: url.clone().into(),
        target: target.to_string(),
        why,
    };
    let addresses: Vec<_> = tokio::net::lookup_host(target.to_string())
        .await
        .map_err(|error| fault(error.to_string()))?
        .collect();
    if addresses.is_empty() { Err(fault("it has no address".to_owned())) } else { Ok(addresses) }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// What kind of failure an HTTP status is.
pub(crate) fn status_kind(status: u16) -> Kind {
    match status {
        404 | 410 => Kind::NotFound,
        _ if is_temporary(status) => Kind::Network,
        _ => Kind::Server,
    }
}
