//! The keys of issuers, as they publish them (OpenID Connect Discovery, 3 and 4; RFC 7517).
//!
//! Each node fetches them for itself and keeps them for a time. An issuer is asked no more often
//! than every so often, whatever tokens come: a key nobody has heard of is one question, and the
//! next such key waits; and who does not answer is left alone for a moment. Jobs whose key is known
//! wait for none of this.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use reqwest::{Certificate, Client, redirect};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::{IssuerUrl, JobFault};
use crate::error::ApiError;

/// How long keys are taken as they were read.
const FRESH: Duration = Duration::from_secs(3600);
/// How long they are where the issuer cannot be asked.
const STALE: Duration = Duration::from_secs(6 * 3600);
/// How often an issuer is asked for keys that it did not have.
const SEARCH_PAUSE: Duration = Duration::from_secs(30);
/// How long an issuer is left alone that did not answer.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// The most bytes of either answer.
const MAX_ANSWER: usize = 512 << 10;
/// The most keys of an issuer.
const MAX_KEYS: usize = 128;

/// Why a file of roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It holds no certificates.
    #[error("{} holds no certificate in PEM", .0.display())]
    Content(PathBuf),
}

/// Why an issuer's keys could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the issuer could not be asked")]
    Http(#[from] reqwest::Error),
    #[error("the issuer answers with {0}")]
    Status(reqwest::StatusCode),
    #[error("the issuer's answer is larger than {MAX_ANSWER} bytes")]
    Large,
    #[error("the issuer's answer cannot be read")]
    Json(#[from] serde_json::Error),
    #[error("the issuer calls itself {0:?}")]
    Name(String),
    #[error("the issuer's keys are not at an https URL")]
    Address,
    #[error("the issuer was asked a moment ago, in vain")]
    Pause,
}

/// All issuers there are rules for.
pub(crate) struct Issuers {
    roots: Vec<Certificate>,
    client: OnceCell<Client>,
    issuers: SyncMutex<HashMap<IssuerUrl, Arc<Issuer>>>,
}

/// One of them.
#[derive(Default)]
struct Issuer {
    /// Never held while the issuer is asked.
    keys: RwLock<Keys>,
    /// Held while the issuer is asked: once, for all who wait.
    asked: Mutex<Asked>,
}

/// The keys as they were read last.
#[derive(Default)]
struct Keys {
    keys: Vec<Jwk>,
    read: Option<Instant>,
}

/// When an issuer was asked in vain.
#[derive(Default)]
struct Asked {
    /// When a key was looked for that was not among them.
    searched: Option<Instant>,
    failed: Option<Instant>,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Issuers {
    /// Trusting the roots of this file beside the system's.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Self, CaFileError> {
        let roots = match ca_file {
            Some(path) => {
                let bytes = std::fs::read(path)
                    .map_err(|source| CaFileError::Read { path: path.to_owned(), source })?;
                let roots = Certificate::from_pem_bundle(&bytes).unwrap_or_default();
                if roots.is_empty() {
                    return Err(CaFileError::Content(path.to_owned()));
                }
                roots
            }
            None => Vec::new(),
        };
        Ok(Self { roots, client: OnceCell::new(), issuers: SyncMutex::default() })
    }

    /// The key of this ID.
    pub(super) async fn key(&self, issuer: &IssuerUrl, id: &str) -> Result<Jwk, ApiError> {
        let known = {
            let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(issuers.entry(issuer.clone()).or_default())
        };
        // Before any waiting: a stranger's token with a key nobody has heard of may have the issuer
        // asked, and an issuer may take its time.
        if let Some(key) = known.find(id, FRESH) {
            return Ok(key);
        }
        let mut asked = known.asked.lock().await;
        // Who was before may have found it.
        if let Some(key) = known.find(id, FRESH) {
            return Ok(key);
        }
        let now = Instant::now();
        if known.is_fresh() {
            if asked.searched.is_some_and(|then| then + SEARCH_PAUSE > now) {
                return Err(JobFault::Key.into());
            }
            asked.searched = Some(now);
        }
        let fetched = if asked.failed.is_some_and(|then| then + FAILURE_PAUSE > now) {
            Err(FetchError::Pause)
        } else {
            self.fetch(issuer).await
        };
        match fetched {
            Ok(keys) => {
                asked.failed = None;
                known.replace(Keys { keys, read: Some(now) });
                known.find(id, FRESH).ok_or_else(|| JobFault::Key.into())
            }
            Err(error) => {
                if !matches!(error, FetchError::Pause) {
                    asked.failed = Some(now);
                }
                let Some(key) = known.find(id, STALE) else {
                    return Err(ApiError::IssuerDown(error.into()));
                };
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, %issuer, "an issuer's keys are used as they were");
                Ok(key)
            }
        }
    }

    async fn fetch(&self, issuer: &IssuerUrl) -> Result<Vec<Jwk>, FetchError> {
        let client = self.client.get_or_try_init(async || self.build()).await?;
        let configuration: Configuration =
            serde_json::from_slice(&get(client, &issuer.configuration()).await?)?;
        // Another's keys must not pass for this one's (Discovery, 4.3).
        if configuration.issuer != issuer.as_str() {
            return Err(FetchError::Name(configuration.issuer));
        }
        if !configuration.jwks_uri.starts_with("https://") {
            return Err(FetchError::Address);
        }
        let set: KeySet = serde_json::from_slice(&get(client, &configuration.jwks_uri).await?)?;
        // What is not understood is another's business.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(keys.take(MAX_KEYS).collect())
    }

    fn build(&self) -> Result<Client, reqwest::Error> {
        // One for the process; where there is one already, it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .tls_certs_merge(self.roots.iter().cloned())
            .build()
    }
}

impl Issuer {
    fn is_fresh(&self) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.read.is_some_and(|read| read.elapsed() < FRESH)
    }

    fn find(&self, id: &str, age: Duration) -> Option<Jwk> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.read.filter(|read| read.elapsed() < age)?;
        let named = |key: &&Jwk| key.common.key_id.as_deref() == Some(id);
        keys.keys.iter().find(named).cloned()
    }

    fn replace(&self, keys: Keys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

async fn get(client: &Client, url: &str) -> Result<Vec<u8>, FetchError> {
    let mut response = client.get(url).send().await?;
    if !response.status().is_success() {
        return Err(FetchError::Status(response.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            return Err(FetchError::Large);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody else in a server's process may have said what does the arithmetic of TLS.
    #[test]
    fn client_is_built_by_a_process_that_has_none_yet() {
        Issuers::new(None).unwrap().build().unwrap();
    }

    #[test]
    fn ca_file_without_a_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(matches!(Issuers::new(Some(&path)), Err(CaFileError::Read { .. })));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(matches!(Issuers::new(Some(&path)), Err(CaFileError::Content(_))));
    }

    #[tokio::test]
    async fn key_that_is_known_does_not_wait_for_one_that_is_looked_for() {
        let issuers = Issuers::new(None).unwrap();
        let url: IssuerUrl = "https://issuer.example.com".parse().unwrap();
        let point = "A".repeat(43);
        let key = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": "known", "x": point});
        let keys = vec![serde_json::from_value(key).unwrap()];
        let known = Arc::new(Issuer::default());
        known.replace(Keys { keys, read: Some(Instant::now()) });
        issuers.issuers.lock().unwrap().insert(url.clone(), Arc::clone(&known));
        // As while the issuer is asked.
        let _asking = known.asked.lock().await;
        let soon = |id| tokio::time::timeout(Duration::from_millis(50), issuers.key(&url, id));
        soon("known").await.unwrap().unwrap();
        assert!(soon("other").await.is_err(), "it is looked for once");
    }
}
