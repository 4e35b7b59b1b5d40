//! Certificates from an authority that speaks ACME.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How certificates are got by ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// Where the authority says what it offers.
    pub directory: DirectoryUrl,
    /// How the authority can reach the owner of the account, as `mailto:admin@example.com`.
    pub contact: Vec<String>,
    /// How it is shown that the domains are ours.
    pub challenge: Challenge,
    /// A root certificate for the authority's own server, in PEM, in the place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// How it is shown that a domain is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// By a handshake on port 443 (RFC 8737).
    TlsAlpn01,
    /// By an answer on port 80, where nothing else is answered.
    Http01 {
        /// What port 80 leads to.
        listen: SocketAddr,
    },
}

/// The kind of a challenge, as the file names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChallengeKind {
    /// See [`Challenge::TlsAlpn01`].
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// See [`Challenge::Http01`].
    #[serde(rename = "http-01")]
    Http01,
}

/// Where an authority says what it offers: an `https` URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DirectoryUrl(String);

/// A text that is no directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no ACME directory: give an https URL, as https://acme.example.org/directory")]
pub struct DirectoryUrlError(String);

impl DirectoryUrl {
    /// Let's Encrypt's.
    pub fn lets_encrypt() -> Self {
        Self(instant_acme::LetsEncrypt::Production.url().to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DirectoryUrl {
    type Err = DirectoryUrlError;

    fn from_str(text: &str) -> Result<Self, DirectoryUrlError> {
        let uri: Option<axum::http::Uri> = text.parse().ok();
        let good = uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some());
        if good { Ok(Self(text.to_owned())) } else { Err(DirectoryUrlError(text.to_owned())) }
    }
}

impl TryFrom<String> for DirectoryUrl {
    type Error = DirectoryUrlError;

    fn try_from(text: String) -> Result<Self, DirectoryUrlError> {
        text.parse()
    }
}

impl fmt::Display for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<DirectoryUrl> for String {
    fn from(url: DirectoryUrl) -> Self {
        url.0
    }
}
