//! Looking after a registry from afar: requests of its admin API, one by one.
//!
//! What is asked and answered is the registry's; types and paths are the caller's matter.

use std::fmt;

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::server::Server;
use super::{PushError, Token};
use crate::Client;

/// Bytes of an answer that are read: lists have no pages but those of the audit log.
const MAX_ANSWER: usize = 64 << 20;

/// What is done to what a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It is shown.
    Get,
    /// Something is made, or done.
    Post,
    /// It becomes this.
    Put,
    /// It goes.
    Delete,
}

/// A registry that is looked after from afar.
pub struct Administered {
    client: Client,
    registry: Url,
    token: Token,
}

impl fmt::Debug for Administered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Administered({})", self.registry)
    }
}

impl Administered {
    /// The registry at this base URL, for who holds this token.
    pub fn new(client: Client, registry: &Url, token: Token) -> Result<Self, PushError> {
        let registry = client.base(registry)?;
        Ok(Self { client, registry, token })
    }

    /// Asks, of a path below `/-/api/v1/admin/`.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        verb: Verb,
        path: &str,
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<T, PushError> {
        let route = self.client.route_of_url(&self.registry);
        let (client, registry, token) = (&self.client, &self.registry, &self.token);
        let server = Server { client, route, registry, token };
        let mut url = server.url(&format!("-/api/v1/admin/{path}"))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let method = match verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Delete => Method::DELETE,
        };
        let mut request = server.request(method, &url).await?;
        if let Some(body) = body {
            request = request.json(body);
        }
        // Some of it reads or removes many files.
        server.small_of(MAX_ANSWER, &url, request, client.http.timeouts().commit).await
    }
}
