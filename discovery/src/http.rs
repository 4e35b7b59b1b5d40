//! Requests: TLS, redirects, limits, timeouts.
//!
//! Only `https`, whatever a page, a template or a redirect says. Redirects are
//! followed here and not by the HTTP library, so that each hop goes through the
//! [`crate::route`] of the name and no hop can leave `https`. Certificates are
//! checked against the system's roots and those of `--ca-file`.

use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Certificate, Client, StatusCode, redirect};
use url::Url;

use crate::error::{Kind, chain};
use crate::route::{Hop, Route, Target};

mod error;

pub use error::HttpError;

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
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            document: Duration::from_secs(120),
            commit: Duration::from_secs(900),
        }
    }
}

/// What makes requests.
#[derive(Debug)]
pub(crate) struct Http {
    ca_file: Option<PathBuf>,
    timeouts: Timeouts,
    clients: Mutex<HashMap<Option<(String, Target)>, Client>>,
}

/// An answer with status 200, its body not read yet.
#[derive(Debug)]
pub(crate) struct Answer {
    response: reqwest::Response,
    length: Option<u64>,
    idle: Duration,
    url: Url,
}

impl Http {
    pub(crate) fn new(ca_file: Option<PathBuf>, timeouts: Timeouts) -> Self {
        // One provider for the whole process; a second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { ca_file, timeouts, clients: Mutex::default() }
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Asks for `url` and follows redirects. Anything but 200 is an error.
    pub(crate) async fn get(&self, route: &Route, url: &Url) -> Result<Answer, HttpError> {
        let mut hop = checked_hop(route, url)?;
        for _ in 0..=MAX_REDIRECTS {
            let client = self.client(&hop).await?;
            let sent = tokio::time::timeout(
                self.timeouts.connect + self.timeouts.idle,
                client.get(hop.url.clone()).send(),
            );
            let response = match sent.await {
                Err(_) => return Err(HttpError::Timeout { url: hop.url.into() }),
                Ok(Err(error)) => return Err(HttpError::request(&hop.url, error)),
                Ok(Ok(response)) => response,
            };
            match response.status() {
                StatusCode::OK => {
                    let length = response.content_length();
                    return Ok(Answer { response, length, idle: self.timeouts.idle, url: hop.url });
                }
                status if is_redirect(status) => hop = redirected(route, &hop, &response)?,
                status => {
                    return Err(HttpError::Status { url: hop.url.into(), status: status.as_u16() });
                }
            }
        }
        Err(HttpError::TooManyRedirects { url: url.clone().into(), limit: MAX_REDIRECTS })
    }

    /// A whole document of at most `limit` bytes.
    pub(crate) async fn document(
        &self,
        route: &Route,
        url: &Url,
        limit: u64,
    ) -> Result<Vec<u8>, HttpError> {
        let read = async { self.get(route, url).await?.bytes(limit).await };
        match tokio::time::timeout(self.timeouts.document, read).await {
            Ok(result) => result,
            Err(_) => Err(HttpError::Timeout { url: url.clone().into() }),
        }
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
        let mut builder = Client::builder()
            .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .https_only(true)
            .connect_timeout(self.timeouts.connect)
            .tls_certs_merge(self.roots()?);
        if let Some((host, target)) = &key {
            let addresses = look_up(&hop.url, target).await?;
            // A proxy would look the host up by itself.
            builder = builder.no_proxy().resolve_to_addrs(host, &addresses);
        }
        let client = builder.build().map_err(|error| HttpError::Tls { why: chain(&error) })?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(clients.entry(key).or_insert(client).clone())
    }

    fn roots(&self) -> Result<Vec<Certificate>, HttpError> {
        let Some(path) = &self.ca_file else { return Ok(Vec::new()) };
        let fault = |why: String| HttpError::CaFile { path: path.clone(), why };
        let text = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
        let roots = Certificate::from_pem_bundle(&text).map_err(|error| fault(chain(&error)))?;
        if roots.is_empty() { Err(fault("it holds no certificate".to_owned())) } else { Ok(roots) }
    }
}

impl Answer {
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
            Ok(Err(error)) if broke_off(&error) => {
                Err(HttpError::Request { url: self.url.clone().into(), why: chain(&error) })
            }
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

fn redirected(route: &Route, hop: &Hop, response: &reqwest::Response) -> Result<Hop, HttpError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location.and_then(|text| hop.url.join(text).ok());
    let Some(mut target) = target else {
        return Err(HttpError::Redirect {
            url: hop.url.clone().into(),
            location: location.unwrap_or_default().to_owned(),
        });
    };
    // Plain HTTP would let anybody on the way answer, and see what is asked.
    if target.scheme() != "https" {
        return Err(HttpError::Downgrade { url: hop.url.clone().into(), target: target.into() });
    }
    target.set_fragment(None);
    checked_hop(route, &target)
}

/// Credentials in a URL would be sent to whomever a page or a redirect names.
fn checked_hop(route: &Route, url: &Url) -> Result<Hop, HttpError> {
    if url.scheme() != "https" {
        return Err(HttpError::NotHttps { url: url.clone().into() });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpError::Credentials { host: url.host_str().unwrap_or_default().to_owned() });
    }
    Ok(route.hop(url))
}

/// What kind of failure an HTTP status is.
pub(crate) fn status_kind(status: u16) -> Kind {
    match status {
        404 | 410 => Kind::NotFound,
        500.. => Kind::Network,
        _ => Kind::Server,
    }
}
