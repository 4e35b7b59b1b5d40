//! The server's certificate: from files, or from an authority of the registry's own.

mod authority;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Domains, Tls};

pub(crate) use authority::authority_file;

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
    /// The certificate and the key cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The authority's own certificate has run out.
    #[error(
        "the registry's own authority {0:?} has expired; remove its folder, start again, and give clients the new one"
    )]
    AuthorityExpired(PathBuf),
}

/// The TLS configuration as it is now: files are read, and certificates of the
/// registry's own are made where they are missing, for other domains, or run out.
pub(crate) fn load(
    tls: &Tls,
    folder: &Path,
    domains: &Domains,
    now: SystemTime,
) -> Result<Arc<ServerConfig>, TlsError> {
    match tls {
        Tls::Files { certificates, key } => server_config(certificates, key),
        Tls::OwnAuthority => {
            let (certificates, key) = authority::ensure(folder, domains, now)?;
            server_config(&certificates, &key)
        }
    }
}

fn server_config(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(certificates)?)
        .collect::<Result<_, _>>()
        .ok()
        .filter(|chain: &Vec<_>| !chain.is_empty())
        .ok_or_else(|| TlsError::Pem { path: certificates.to_owned(), wanted: "certificate" })?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| TlsError::Pem { path: key.to_owned(), wanted: "private key" })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Io { path: path.to_owned(), source })
}
