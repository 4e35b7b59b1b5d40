//! What all of the client's work shares: where requests go, how long they may take, limits.

use std::path::PathBuf;

use aci::{Limits, Name, Reference};
use keys::Certificate;
use serde::Serialize;
use url::Url;

use crate::http::{Http, HttpError, Timeouts};
use crate::published::{self, Published, PublishedError};
use crate::resolve::{self, Endpoint, Found, KeyLocation, ResolveError};
use crate::route::{Override, Route};

/// How a [`Client`] is set up.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Where requests for some names go instead.
    pub overrides: Vec<Override>,
    /// CA certificates (PEM) trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How much of each thing is taken.
    pub limits: Limits,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// The client.
#[derive(Debug)]
pub struct Client {
    pub(crate) http: Http,
    pub(crate) limits: Limits,
    overrides: Vec<Override>,
}

/// What discovery says about a name.
#[derive(Debug, Serialize)]
pub struct Discovered {
    /// Where the image may be.
    pub images: Found<Endpoint>,
    /// Where its keys are published. That there are none is no failure: keys can be
    /// handed over otherwise.
    #[serde(skip)]
    pub keys: Result<Found<KeyLocation>, ResolveError>,
}

impl Client {
    /// A client; nothing is asked yet.
    pub fn new(options: ClientOptions) -> Self {
        let ClientOptions { overrides, ca_file, limits, timeouts } = options;
        Self { http: Http::new(ca_file, timeouts), limits, overrides }
    }

    /// Finds out where an image and its keys are, without fetching either.
    pub async fn discover(&self, reference: &Reference) -> Result<Discovered, ResolveError> {
        let route = self.route(reference.name());
        let images = resolve::images(&self.http, &route, reference, &self.limits).await?;
        let keys = resolve::keys(&self.http, &route, reference.name(), &self.limits).await;
        Ok(Discovered { images, keys })
    }

    /// The keys the domain of `name` publishes for it.
    pub async fn published_keys(&self, name: &Name) -> Result<Published, PublishedError> {
        published::of_name(&self.http, &self.route(name), name, &self.limits).await
    }

    /// The keys at an `https` URL.
    pub async fn keys_at(&self, url: &Url) -> Result<Vec<Certificate>, PublishedError> {
        if url.scheme() != "https" {
            return Err(HttpError::NotHttps { url: url.clone() }.into());
        }
        published::at(&self.http, &self.route_of_url(url), url, &self.limits).await
    }

    pub(crate) fn route(&self, name: &Name) -> Route {
        Route::of_name(&self.overrides, name)
    }

    pub(crate) fn route_of_url(&self, url: &Url) -> Route {
        Route::of_url(&self.overrides, url)
    }
}
