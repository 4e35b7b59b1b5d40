//! The certificate a handshake is answered with. It changes; the rest of TLS does not.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::acme::{Challenges, PROTOCOL};
use super::{Pair, TlsError};

/// What is shown to clients now.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    current: RwLock<Option<Pair>>,
    challenges: Arc<Challenges>,
}

impl Certificates {
    /// From the next handshake on, this one.
    pub(crate) fn install(&self, pair: Pair) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(pair);
    }

    pub(super) fn current(&self) -> Option<Pair> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// TLS 1.2 and 1.3, with whatever is shown when a client comes.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        // The first that the client has, too. Images pass twice as fast by HTTP/1.1, where no frames
        // and windows are between TLS and the file; HTTP/2 is for those who speak nothing else.
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec(), PROTOCOL.to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if client.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == PROTOCOL)) {
            return self.challenges.certificate(client.server_name()?);
        }
        self.current().map(|pair| pair.key)
    }
}
