//! What an authority asks to see before it believes that a domain is ours.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::AcmeError;

/// The protocol a challenge's handshake asks for (RFC 8737).
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// What is shown to the authority, while an order runs.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Mutex<Shown>);

#[derive(Debug, Default)]
struct Shown {
    /// By domain, for a handshake.
    certificates: HashMap<String, Arc<CertifiedKey>>,
    /// By token, for a request.
    answers: HashMap<String, String>,
}

impl Challenges {
    /// Shows a certificate that says what the authority wants to hear.
    pub(super) fn show_certificate(
        &self,
        domain: &str,
        key: &KeyAuthorization,
    ) -> Result<(), AcmeError> {
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::new([domain.to_owned()])?;
        let said = CustomExtension::new_acme_identifier(key.digest().as_ref());
        params.custom_extensions.push(said);
        let certificate = params.self_signed(&pair)?.der().clone();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let private = any_supported_type(&private).map_err(super::TlsError::from)?;
        // It is not looked at whether they fit: what it says is in an extension that nobody
        // else understands.
        let shown = CertifiedKey::new(vec![certificate], private);
        self.shown().certificates.insert(domain.to_owned(), Arc::new(shown));
        Ok(())
    }

    /// Answers requests for this token.
    pub(super) fn show_answer(&self, token: &str, key: &KeyAuthorization) {
        self.shown().answers.insert(token.to_owned(), key.as_str().to_owned());
    }

    /// Nothing more is shown.
    pub(super) fn clear(&self) {
        *self.shown() = Shown::default();
    }

    pub(crate) fn certificate(&self, domain: &str) -> Option<Arc<CertifiedKey>> {
        self.shown().certificates.get(domain).cloned()
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is answered on the address for `http-01`: challenges, and nothing else.
pub(crate) fn router(challenges: Arc<Challenges>) -> Router {
    Router::new()
        .route("/.well-known/acme-challenge/{token}", get(answer))
        .fallback(nothing)
        .with_state(challenges)
}

async fn answer(State(challenges): State<Arc<Challenges>>, Path(token): Path<String>) -> Response {
    let answer = challenges.shown().answers.get(&token).cloned();
    match answer {
        Some(answer) => answer.into_response(),
        None => nothing().await.into_response(),
    }
}

/// A redirect would lead to the host that the request names, and so wherever its sender likes.
async fn nothing() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "certificate authorities are answered here; ask by https://\n")
}
