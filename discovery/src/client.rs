//! What all of the client's work shares: where requests go, how long they may take, limits.

use std::num::NonZeroU64;
use std::path::PathBuf;

use aci::{Limits, Name, Reference};
use keys::Certificate;
use url::Url;

use crate::credentials::Credentials;
use crate::http::{Http, Insecure, Proxy, Retries, Setup, Timeouts};
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
    /// Through which proxy.
    pub proxy: Proxy,
    /// Who this client is to which servers.
    pub credentials: Credentials,
    /// What is given up.
    pub insecure: Insecure,
    /// How often what failed is tried again.
    pub retries: Retries,
    /// Bytes for each second that all downloads take together at most.
    pub limit_rate: Option<NonZeroU64>,
}

/// The client.
#[derive(Debug)]
pub struct Client {
    pub(crate) http: Http,
    pub(crate) limits: Limits,
    overrides: Vec<Override>,
}

impl Client {
    /// A client; nothing is asked yet.
    pub fn new(options: ClientOptions) -> Self {
        let ClientOptions { overrides, ca_file, limits, timeouts, .. } = options;
        let ClientOptions { proxy, credentials, insecure, retries, limit_rate, .. } = options;
        let setup = Setup { ca_file, timeouts, proxy, credentials, insecure, retries, limit_rate };
        Self { http: Http::new(setup), limits, overrides }
    }

    /// Finds out where an image may be, without fetching it.
    pub async fn find_images(
        &self,
        reference: &Reference,
    ) -> Result<Found<Endpoint>, ResolveError> {
        let route = self.route(reference.name());
        resolve::images(&self.http, &route, reference, &self.limits).await
    }

    /// Finds out where the keys for a name are published, without fetching them.
    pub async fn find_keys(&self, name: &Name) -> Result<Found<KeyLocation>, ResolveError> {
        resolve::keys(&self.http, &self.route(name), name, &self.limits).await
    }

    /// The keys the domain of `name` publishes for it.
    pub async fn published_keys(&self, name: &Name) -> Result<Published, PublishedError> {
        published::of_name(&self.http, &self.route(name), name, &self.limits).await
    }

    /// The keys at an `https` URL.
    pub async fn keys_at(&self, url: &Url) -> Result<Vec<Certificate>, PublishedError> {
        published::at(&self.http, &self.route_of_url(url), url, &self.limits).await
    }

    pub(crate) fn route(&self, name: &Name) -> Route {
        Route::of_name(&self.overrides, name)
    }

    pub(crate) fn route_of_url(&self, url: &Url) -> Route {
        Route::of_url(&self.overrides, url)
    }
}
