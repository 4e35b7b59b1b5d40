//! The server's certificate: from files, from an authority that speaks ACME, or from one of
//! the registry's own.

mod acme;
mod authority;
mod keeper;
mod resolver;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{Config, Domains, Tls};

pub(crate) use acme::{
    PROTOCOL as CHALLENGE_PROTOCOL, router as challenge_router, run as order_certificates,
};
pub(crate) use authority::authority_file;
pub(crate) use keeper::keep;
pub(crate) use resolver::Certificates;

/// Why the server has no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error("{path:?} cannot be read or written: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no certificate, or no key.
    #[error("{path:?} holds no {wanted} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The certificate and the key cannot be used together.
    #[error("the certificate {certificate:?} cannot be used with its key: {source}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// What TLS is spoken with cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// Reading it was cut off.
    #[error("reading the certificate was cut off: {0}")]
    Stopped(tokio::task::JoinError),
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The certificate has run out.
    #[error("the certificate {certificate:?} ran out on {expired}")]
    Expired {
        /// The certificate's file.
        certificate: PathBuf,
        /// The last day it was good for.
        expired: String,
    },
    /// The authority's key is gone.
    #[error(
        "the registry's own authority {certificate:?} has no key: {key:?} is missing; put the key back, or remove {certificate:?}, start again, and give clients the new one"
    )]
    AuthorityKey {
        /// The authority's certificate.
        certificate: PathBuf,
        /// Where its key should be.
        key: PathBuf,
    },
    /// The authority's own certificate has run out.
    #[error(
        "the registry's own authority {0:?} has expired; remove its folder, start again, and give clients the new one"
    )]
    AuthorityExpired(PathBuf),
}

/// A certificate, and the key that is its own.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    key: Arc<CertifiedKey>,
    begins: SystemTime,
    expires: SystemTime,
    /// What it is for.
    names: BTreeSet<String>,
    /// Of the two files, to see when they change.
    digest: [u8; 32],
}

/// Whether a certificate that is named can be used now.
pub(crate) fn check(tls: &Tls, now: SystemTime) -> Result<(), TlsError> {
    match tls {
        Tls::Files { certificates, key } => {
            let pair = Pair::read(certificates, key)?;
            if pair.expires > now {
                return Ok(());
            }
            let (certificate, expired) = (certificates.clone(), crate::pages::day(pair.expires));
            Err(TlsError::Expired { certificate, expired: expired.to_string() })
        }
        Tls::OwnAuthority | Tls::Acme(_) => Ok(()),
    }
}

/// The certificate as it is now: files are read, and certificates of the registry's own
/// are made where they are missing, for other domains, or run out. `None` where TLS is not
/// spoken, or an authority has not given one yet.
pub(crate) fn load(config: &Config, folder: &Path) -> Result<Option<Pair>, TlsError> {
    if config.listen.is_empty() {
        return Ok(None);
    }
    match &config.tls {
        Tls::Files { certificates, key } => Pair::read(certificates, key).map(Some),
        Tls::Acme(acme) => acme::kept(config, acme, folder),
        Tls::OwnAuthority => {
            let now = config.clock.now();
            let (certificates, key) = authority::ensure(folder, &config.domains, now)?;
            Pair::read(&certificates, &key).map(Some)
        }
    }
}

impl Pair {
    fn read(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::of(certificates, &read(certificates)?, key, &read(key)?)
    }

    /// A certificate and a key that fit.
    fn of(path: &Path, chain: &[u8], key: &Path, private: &[u8]) -> Result<Self, TlsError> {
        let digest = digest(chain, private);
        let pem = |path: &Path, wanted| TlsError::Pem { path: path.to_owned(), wanted };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| pem(path, "certificate"))?;
        let leaf = chain.first().ok_or_else(|| pem(path, "certificate"))?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| pem(path, "certificate"))?;
        let (begins, expires) = authority::validity(&leaf);
        let names = authority::alternative_names(&leaf).unwrap_or_default();
        let private =
            PrivateKeyDer::from_pem_slice(private).map_err(|_| pem(key, "private key"))?;
        let provider = rustls::crypto::ring::default_provider();
        let key = CertifiedKey::from_der(chain, private, &provider)
            .map_err(|source| TlsError::Pair { certificate: path.to_owned(), source })?;
        Ok(Self { key: Arc::new(key), begins, expires, names, digest })
    }

    /// Whether it is for all of these.
    fn is_for(&self, domains: &Domains) -> bool {
        domains.iter().all(|domain| self.names.contains(domain.as_str()))
    }

    /// When it is to be renewed: after two thirds of its time.
    fn due_in(&self, now: SystemTime) -> Duration {
        (self.begins + self.lifetime() * 2 / 3).duration_since(now).unwrap_or_default()
    }

    /// For how long it was made.
    fn lifetime(&self) -> Duration {
        self.expires.duration_since(self.begins).unwrap_or_default()
    }

    /// How long it is still good.
    fn left(&self, now: SystemTime) -> Duration {
        self.expires.duration_since(now).unwrap_or_default()
    }
}

fn digest(certificates: &[u8], key: &[u8]) -> [u8; 32] {
    let of = |bytes| Sha256::digest(bytes);
    Sha256::digest([of(certificates), of(key)].concat()).into()
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Io { path: path.to_owned(), source })
}
