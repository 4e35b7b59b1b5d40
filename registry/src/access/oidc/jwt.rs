//! An ID token: its signature, its times, its claims (RFC 7519; OpenID Connect Core, 2).

use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Header};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};

use super::{JobFault, MAX_JWT, Rule};

/// How far the issuer's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(60);
/// As OpenID Connect has it (Core, 2: `sub`).
const MAX_SUBJECT: usize = 255;

/// A token that was read and of which nothing is known yet.
pub(super) struct Jwt<'a> {
    text: &'a str,
    header: Header,
    claims: Map<String, Value>,
}

/// What an issuer says of a job. Made by checking the signature alone.
pub(super) struct Claims {
    claims: Map<String, Value>,
    subject: String,
    until: SystemTime,
}

impl<'a> Jwt<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, JobFault> {
        if text.len() > MAX_JWT {
            return Err(JobFault::Malformed);
        }
        // "none", and whatever else is no algorithm there is, does not pass.
        let header = jsonwebtoken::decode_header(text).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_) => JobFault::Algorithm,
            _ => JobFault::Malformed,
        })?;
        let claims = jsonwebtoken::dangerous::insecure_decode_claims(text);
        Ok(Self { text, header, claims: claims.map_err(|_| JobFault::Malformed)? })
    }

    /// Who is said to have made it.
    pub(super) fn issuer(&self) -> Result<&str, JobFault> {
        self.claims.get("iss").and_then(Value::as_str).ok_or(JobFault::Malformed)
    }

    /// With which key it is said to be signed.
    pub(super) fn key_id(&self) -> Result<&str, JobFault> {
        self.header.kid.as_deref().ok_or(JobFault::Key)
    }

    /// What the issuer with this key says, where it does, and says it for now.
    pub(super) fn verify(self, key: &Jwk, now: SystemTime) -> Result<Claims, JobFault> {
        // Extensions that must be understood are not (RFC 7515, 4.1.11).
        if self.header.crit.is_some() {
            return Err(JobFault::Malformed);
        }
        let (message, signed) = self.text.rsplit_once('.').ok_or(JobFault::Malformed)?;
        let signed = decoded(signed).ok_or(JobFault::Malformed)?;
        verify(self.header.alg, key, message.as_bytes(), &signed)?;
        let claims = self.claims;
        let time = |name: &str| -> Result<Option<SystemTime>, JobFault> {
            let Some(value) = claims.get(name) else { return Ok(None) };
            // A NumericDate may have a fraction (RFC 7519, 2).
            let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
            let since = Duration::try_from_secs_f64(seconds.ok_or(JobFault::Malformed)?);
            let since = since.map_err(|_| JobFault::Malformed)?;
            let time = SystemTime::UNIX_EPOCH.checked_add(since);
            time.map(Some).ok_or(JobFault::Malformed)
        };
        let expires = time("exp")?.ok_or(JobFault::Malformed)?;
        let until = expires.checked_add(LEEWAY).ok_or(JobFault::Malformed)?;
        if now >= until {
            return Err(JobFault::Expired);
        }
        for from in [time("nbf")?, time("iat")?].into_iter().flatten() {
            if from > now + LEEWAY {
                return Err(JobFault::Early);
            }
        }
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        let plain = subject.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if subject.is_empty() || subject.len() > MAX_SUBJECT || !plain {
            return Err(JobFault::Malformed);
        }
        Ok(Claims { claims, subject, until })
    }
}

/// Three algorithms, each with keys of its own kind. So a public key can never be taken for a
/// shared secret, which everybody would know (HS256), nor can a key be used in a way it is not for.
fn verify(algorithm: Algorithm, key: &Jwk, message: &[u8], signed: &[u8]) -> Result<(), JobFault> {
    let for_signatures =
        key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let is_for = |own| key.common.key_algorithm.is_none_or(|named| named == own) && for_signatures;
    let components = || DecodingKey::from_jwk(key).map_err(|_| JobFault::Key);
    let checked = match (algorithm, &key.algorithm) {
        (Algorithm::RS256, AlgorithmParameters::RSA(_)) if is_for(KeyAlgorithm::RS256) => {
            let components = components()?;
            let DecodingKeyKind::RsaModulusExponent { n, e } = components.kind() else {
                return Err(JobFault::Key);
            };
            // Of 2048 bits or more.
            let key = RsaPublicKeyComponents { n, e };
            key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signed)
        }
        (Algorithm::ES256, AlgorithmParameters::EllipticCurve(curve))
            if curve.curve == EllipticCurve::P256 && is_for(KeyAlgorithm::ES256) =>
        {
            let components = components()?;
            let point = components.try_get_as_bytes().map_err(|_| JobFault::Key)?;
            UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signed)
        }
        (Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(pair))
            if pair.curve == EllipticCurve::Ed25519 && is_for(KeyAlgorithm::EdDSA) =>
        {
            let components = components()?;
            let point = components.try_get_as_bytes().map_err(|_| JobFault::Key)?;
            UnparsedPublicKey::new(&signature::ED25519, point).verify(message, signed)
        }
        _ => return Err(JobFault::Algorithm),
    };
    checked.map_err(|_| JobFault::Signature)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()
}

impl Claims {
    /// Whom the issuer made it for.
    pub(super) fn has_audience(&self, audience: &str) -> bool {
        match self.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|one| one == audience),
            _ => false,
        }
    }

    /// Whether the job is one of a rule's.
    pub(super) fn fit(&self, rule: &Rule) -> bool {
        rule.claims.iter().all(|(name, pattern)| match self.claims.get(name) {
            Some(Value::String(value)) => pattern.fits(value),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => pattern.fits(&value.to_string()),
            _ => false,
        })
    }

    /// What the issuer calls the job.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// Until when all this is so.
    pub(super) fn until(&self) -> SystemTime {
        self.until
    }
}
