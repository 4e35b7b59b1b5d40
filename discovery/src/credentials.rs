//! What shows a server who asks.
//!
//! ```text
//! /usr/lib/rkt/auth.d/*.json      rkt's files, as they are
//! /etc/rkt/auth.d/*.json
//! /etc/gantry/auth.d/*.json       the same format, for this program alone
//! ~/.config/gantry/auth.d/*.json
//! config.toml: [[credentials]]    where the secret is, not the secret itself
//! --auth-file                     one file in rkt's format, for one command
//! ```
//!
//! What stands later counts for a host that both name; a host that one folder names twice
//! is an error, since nobody could say which counts. Credentials are sent to exactly the
//! host and port they are for, over TLS with a checked certificate, and never after a
//! redirect to somebody else. A secret shows in no `Debug`, log or error.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use aci::{Refusal, Refuse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use url::Url;

use crate::error::{Kind, refusal};

mod entry;
mod rkt;

pub use entry::CredentialEntry;

/// Why credentials cannot be used. No text here holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file does not say what it should.
    #[error("{}: {what}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// One folder names a host twice.
    #[error("{}: there are credentials for {host} in this folder already", .path.display())]
    Twice {
        /// The second file.
        path: PathBuf,
        /// The host or registry.
        host: String,
    },
    /// An environment variable is not set.
    #[error("the credentials for {host} are in the variable {variable}, which is not set")]
    Unset {
        /// For which host.
        host: String,
        /// The variable.
        variable: String,
    },
    /// A secret that no header can hold.
    #[error("the credentials for {host} hold a character that cannot be sent, or are empty")]
    Unsendable {
        /// For which host.
        host: String,
    },
}

impl CredentialsError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        Kind::Usage
    }
}

impl Refuse for CredentialsError {
    fn refusal(&self) -> Refusal {
        refusal(
            "credentials-unusable",
            self,
            "credentials that can be read: rktKind auth or dockerAuth, rktVersion v1, each host \
             once in a folder; or [[credentials]] with a secret that is there",
            self.to_string(),
            "a request is not made without the credentials that were configured, nor with others",
            "correct the file that is named",
        )
    }
}

/// A secret. It does not show itself.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A host, and a port unless it is 443: whom credentials are for.
///
/// - lower case, as URLs have it
/// - `example.com:443` is `example.com`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Authority(String);

impl FromStr for Authority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is no HOST or HOST:PORT");
        let url = Url::parse(&format!("https://{text}/")).map_err(|_| fault())?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || text.contains(['@', '/', '?', '#', '\\', ' ']) {
            return Err(fault());
        }
        Self::of(&url).ok_or_else(fault)
    }
}

impl TryFrom<String> for Authority {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Authority {
    fn of(url: &Url) -> Option<Self> {
        let host = url.host_str()?.to_lowercase();
        Some(Self(url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who this client is to which servers.
#[derive(Clone, Default)]
pub struct Credentials {
    hosts: BTreeMap<Authority, HeaderValue>,
    /// User and password for registries of the other image format, by registry.
    docker: BTreeMap<String, (String, Secret)>,
    fault: Option<Arc<CredentialsError>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.hosts.keys().map(Authority::to_string)).finish()
    }
}

impl Credentials {
    /// Credentials that could not be read: every request that might need one fails with this.
    pub fn unusable(error: CredentialsError) -> Self {
        Self { fault: Some(Arc::new(error)), ..Self::default() }
    }

    /// What is sent to whom this URL names, where something is.
    ///
    /// # Errors
    /// What made all of the credentials unusable.
    pub fn authorization(&self, url: &Url) -> Result<Option<HeaderValue>, Arc<CredentialsError>> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(Authority::of(url).and_then(|to| self.hosts.get(&to).cloned())),
        }
    }

    /// The hosts there are credentials for.
    pub fn hosts(&self) -> impl Iterator<Item = &Authority> {
        self.hosts.keys()
    }

    /// The registries of `dockerAuth` files, with user and password. Nothing asks them yet.
    pub fn docker(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.docker
            .iter()
            .map(|(registry, (user, secret))| (registry.as_str(), user.as_str(), secret.0.as_str()))
    }

    /// Adds what counts more than what is here.
    pub fn extend(&mut self, stronger: Self) {
        self.hosts.extend(stronger.hosts);
        self.docker.extend(stronger.docker);
        self.fault = self.fault.take().or(stronger.fault);
    }

    fn bearer(&mut self, host: Authority, token: &Secret) -> Result<(), CredentialsError> {
        self.put(host, format!("Bearer {}", token.0), token.0.is_empty())
    }

    fn basic(
        &mut self,
        host: Authority,
        user: &str,
        password: &Secret,
    ) -> Result<(), CredentialsError> {
        let both = STANDARD.encode(format!("{user}:{}", password.0));
        self.put(host, format!("Basic {both}"), password.0.is_empty())
    }

    fn put(&mut self, host: Authority, text: String, empty: bool) -> Result<(), CredentialsError> {
        let value = HeaderValue::try_from(text).ok().filter(|_| !empty);
        let Some(mut value) = value else {
            return Err(CredentialsError::Unsendable { host: host.to_string() });
        };
        // Neither a log of the HTTP library nor HTTP/2's header table keeps it.
        value.set_sensitive(true);
        self.hosts.insert(host, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
