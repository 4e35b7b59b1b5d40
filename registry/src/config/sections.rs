//! The sections of the configuration file.
//!
//! Every key may be missing: what is not said comes from the file below, at last from the
//! defaults. So a section with nothing in it says nothing.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use web::Domain;

use super::{ChallengeKind, DirectoryUrl, Network, ProxyHeader, Size, Span};
use crate::catalog::DatabaseUrl;

use crate::keeping::Age;

/// Each field of the first where it says something, else of the second. A field that is left
/// out does not compile.
macro_rules! over {
    ($over:expr, $under:expr; $($field:ident),+) => {
        Self { $($field: $over.$field.or($under.$field)),+ }
    };
}

/// `[server]`: what is served, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServerSection {
    /// The data directory; as `--data`.
    #[serde(deserialize_with = "absolute")]
    pub data: Option<PathBuf>,
    /// The domains to answer for; as `--domain`.
    pub domains: Option<Vec<Domain>>,
    /// The addresses to listen on for HTTPS; as `--listen`.
    pub listen: Option<Vec<SocketAddr>>,
    /// The addresses to listen on without TLS; as `--http`.
    pub http: Option<Vec<SocketAddr>>,
    /// Proxies that may say for whom they ask; as `--trusted-proxy`.
    pub trusted_proxies: Option<Vec<Network>>,
    /// The header in which they say it.
    pub proxy_header: Option<ProxyHeader>,
    /// Addresses that may read the counts at `/-/metrics`, beside this machine's own.
    pub metrics_readers: Option<Vec<IpAddr>>,
}

/// `[database]`: where the catalogue is. Without it, `gantry.db` in the data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DatabaseSection {
    /// Its address; as `--database`.
    pub url: Option<DatabaseUrl>,
    /// A file with its password; as `--database-password-file`.
    #[serde(deserialize_with = "absolute")]
    pub password_file: Option<PathBuf>,
}

/// `[tls]`: a certificate of your own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsSection {
    /// The certificate with its chain, in PEM; as `--tls-cert`.
    #[serde(deserialize_with = "absolute")]
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM; as `--tls-key`.
    #[serde(deserialize_with = "absolute")]
    pub key: Option<PathBuf>,
}

/// `[acme]`: certificates from an authority, got and renewed by the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AcmeSection {
    /// Whether the owner has agreed to the authority's terms; without, nothing is asked of it.
    pub terms_agreed: Option<bool>,
    /// The authority's directory; Let's Encrypt's, where none is named.
    pub directory: Option<DirectoryUrl>,
    /// How the authority can reach the owner, as `mailto:admin@example.com`.
    pub contact: Option<Vec<String>>,
    /// How it is shown that the domains are ours: `tls-alpn-01` or `http-01`.
    pub challenge: Option<ChallengeKind>,
    /// The address that port 80 leads to, for `http-01`.
    pub challenge_listen: Option<SocketAddr>,
    /// A root certificate for the authority's own server, in PEM, in the place of the system's.
    #[serde(deserialize_with = "absolute")]
    pub ca_file: Option<PathBuf>,
}

/// `[limits]`: how much of each thing an image may have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitsSection {
    /// Bytes of an image file; as `--max-image-bytes`.
    pub image_size: Option<Size>,
    /// Bytes of the archive in it, once it is decompressed.
    pub unpacked_size: Option<Size>,
    /// Decompressed bytes for each compressed one, from 64 MiB on.
    pub compression_ratio: Option<u64>,
    /// Files, folders and links in an image.
    pub entries: Option<u64>,
    /// Bytes of an image's manifest.
    pub manifest_size: Option<Size>,
}

/// `[access]`: who is told from whom, and how often they may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessSection {
    /// Roots, in PEM, for the issuers of jobs' ID tokens, beside the system's; as
    /// `--issuer-ca-file`. Read when the server starts.
    #[serde(deserialize_with = "absolute")]
    pub issuer_ca_file: Option<PathBuf>,
    /// Requests in a second, in the long run: of one address, and of one caller.
    pub requests_per_second: Option<NonZeroU32>,
    /// Requests at once, of who has not asked for a while.
    pub request_burst: Option<NonZeroU32>,
}

/// `[timeouts]`: how long what may take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TimeoutsSection {
    /// The TLS handshake.
    pub handshake: Option<Span>,
    /// The headers of a request, from the end of the one before.
    pub headers: Option<Span>,
    /// A connection on which nothing moves, in either direction.
    pub silence: Option<Span>,
    /// What is running when the server is told to stop; as `--drain`.
    pub drain: Option<Span>,
    /// How long it says that it stops before it takes no more connections; as `--drain-notice`.
    pub drain_notice: Option<Span>,
}

/// `[keeping]`: how what is stored is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeepingSection {
    /// How often what nobody needs is removed, give or take a tenth.
    #[serde(deserialize_with = "collect_every")]
    pub collect_every: Option<Age>,
    /// How often each file is read again and compared with its digest.
    #[serde(deserialize_with = "scrub_every")]
    pub scrub_every: Option<Age>,
    /// How many bytes a second are read for that.
    pub scrub_rate: Option<Size>,
}

impl ServerSection {
    pub(super) fn over(self, under: Self) -> Self {
        over!(
            self, under;
            data, domains, listen, http, trusted_proxies, proxy_header, metrics_readers
        )
    }
}

impl DatabaseSection {
    /// A password from one place never goes to a database from another.
    pub(super) fn over(self, under: Self) -> Self {
        if self == Self::default() { under } else { self }
    }
}

impl TlsSection {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AcmeSection {
    pub(super) fn over(self, under: Self) -> Self {
        over!(
            self, under;
            terms_agreed, directory, contact, challenge, challenge_listen, ca_file
        )
    }
}

impl LimitsSection {
    pub(super) fn over(self, under: Self) -> Self {
        over!(self, under; image_size, unpacked_size, compression_ratio, entries, manifest_size)
    }
}

impl AccessSection {
    pub(super) fn over(self, under: Self) -> Self {
        over!(self, under; issuer_ca_file, requests_per_second, request_burst)
    }
}

impl KeepingSection {
    pub(super) fn over(self, under: Self) -> Self {
        over!(self, under; collect_every, scrub_every, scrub_rate)
    }
}

impl TimeoutsSection {
    pub(super) fn over(self, under: Self) -> Self {
        over!(self, under; handshake, headers, silence, drain, drain_notice)
    }
}

fn collect_every<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Age>, D::Error> {
    pause(deserializer, "collect-every")
}

fn scrub_every<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Age>, D::Error> {
    pause(deserializer, "scrub-every")
}

/// A pause between two rounds of work; with none the work would have no end.
fn pause<'de, D: Deserializer<'de>>(
    deserializer: D,
    setting: &str,
) -> Result<Option<Age>, D::Error> {
    let age = Age::deserialize(deserializer)?;
    if !age.time().is_zero() {
        return Ok(Some(age));
    }
    let text = format!("{setting} cannot be {age}: give at least 1s, as 90m, 1h or 7d");
    Err(serde::de::Error::custom(text))
}

/// A path in a file says the same wherever the program is started.
fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.is_absolute() {
        return Ok(Some(path));
    }
    let text = format!("the path {path:?} is not absolute: it has to begin with /");
    Err(serde::de::Error::custom(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_without_a_pause_is_refused() {
        for setting in ["collect-every", "scrub-every"] {
            let read =
                |age: &str| toml::from_str::<KeepingSection>(&format!("{setting} = {age:?}"));
            for none in ["0s", "0d"] {
                let error = read(none).unwrap_err().to_string();
                assert!(error.contains(&format!("{setting} cannot be 0s")), "{error}");
            }
            read("1s").unwrap();
            assert!(read("soon").unwrap_err().to_string().contains("no age"));
        }
        assert_eq!(toml::from_str("").ok(), Some(KeepingSection::default()));
    }
}
