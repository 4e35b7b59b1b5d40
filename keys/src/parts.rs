//! What a key consists of, told for people and scripts.

use std::time::SystemTime;

use openpgp::Cert;
use openpgp::cert::amalgamation::key::PrimaryKey as _;
use openpgp::crypto::mpi::PublicKey;
use openpgp::packet::key::{PublicParts, SecretKeyMaterial, UnspecifiedRole};
use openpgp::packet::{Key, UserID};
use openpgp::types::{Curve, PublicKeyAlgorithm};
use sequoia_openpgp as openpgp;

use crate::certificate::printable;
use crate::fingerprint::Fingerprint;
use crate::policy;
use crate::secret::is_stub;

/// What a key or subkey may be used for, as its owner's signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// Signing data: images.
    pub sign: bool,
    /// Signing keys: user IDs, subkeys, other people's keys.
    pub certify: bool,
    /// Being encrypted to.
    pub encrypt: bool,
    /// Logging in somewhere.
    pub authenticate: bool,
}

/// Whether the secret of a part is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretPart {
    /// It is not: a stub, on a card, or somewhere else.
    Absent,
    /// It is, and opens without a passphrase.
    Open,
    /// It is, and needs a passphrase.
    Locked,
}

/// The primary key, or a subkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Whether it is the primary key.
    pub primary: bool,
    /// What it computes with, as gpg calls it: `ed25519`, `rsa4096`, `nistp256`.
    pub algorithm: String,
    /// When it was made.
    pub created: SystemTime,
    /// When it expires or expired, by its own expiry; `None` for never, or where it is unusable.
    pub expires: Option<SystemTime>,
    /// Whether it has expired, by its own expiry or its primary key's.
    pub expired: bool,
    /// Whether it expires within thirty days, by its own expiry or its primary key's.
    pub expires_soon: bool,
    /// Why it was revoked, or its primary key.
    pub revoked: Option<String>,
    /// What it may be used for.
    pub uses: Uses,
    /// Whether its secret is there.
    pub secret: SecretPart,
    /// Why nothing its owner signed says today that it may be used.
    pub unusable: Option<String>,
}

impl KeyPart {
    /// Whether it may sign images today, its secret aside.
    pub fn may_sign(&self) -> bool {
        self.uses.sign && !self.expired && self.revoked.is_none() && self.unusable.is_none()
    }
}

/// The primary key, then its subkeys, the oldest first.
pub(crate) fn of(cert: &Cert, now: SystemTime) -> Vec<KeyPart> {
    let mut parts: Vec<KeyPart> = cert
        .keys()
        .filter_map(|key| {
            let standing = policy::standing(&key, now);
            let flags = standing.flags;
            Some(KeyPart {
                fingerprint: Fingerprint::from_openpgp(&key.key().fingerprint())?,
                primary: key.primary(),
                algorithm: algorithm(key.key()),
                created: key.key().creation_time(),
                expires: standing.expires,
                expired: standing.ends.is_some_and(|end| end <= now),
                expires_soon: standing.ends.is_some_and(|end| policy::is_soon(end, now)),
                revoked: standing.revoked,
                uses: flags.map_or_else(Uses::default, |flags| Uses {
                    sign: flags.for_signing(),
                    certify: flags.for_certification(),
                    encrypt: flags.for_transport_encryption() || flags.for_storage_encryption(),
                    authenticate: flags.for_authentication(),
                }),
                secret: secret(key.key().optional_secret()),
                unusable: standing.unusable,
            })
        })
        .collect();
    parts.sort_by_key(|part| (!part.primary, part.created));
    parts
}

/// The user IDs, made safe to print.
pub(crate) fn user_ids(cert: &Cert) -> Vec<String> {
    cert.userids().map(|one| printable(one.userid().value())).collect()
}

/// Whether one of the user IDs is exactly this, or has this mail address.
pub(crate) fn is_called(cert: &Cert, text: &str) -> bool {
    cert.userids().any(|one| one.userid().value() == text.as_bytes() || mail_is(one.userid(), text))
}

fn mail_is(user_id: &UserID, text: &str) -> bool {
    let mail = user_id.email().ok().flatten();
    mail.is_some_and(|mail| mail.eq_ignore_ascii_case(text))
}

fn secret(secret: Option<&SecretKeyMaterial>) -> SecretPart {
    match secret {
        None => SecretPart::Absent,
        Some(secret) if is_stub(secret) => SecretPart::Absent,
        Some(SecretKeyMaterial::Unencrypted(_)) => SecretPart::Open,
        Some(SecretKeyMaterial::Encrypted(_)) => SecretPart::Locked,
    }
}

fn algorithm(key: &Key<PublicParts, UnspecifiedRole>) -> String {
    let curve = match key.mpis() {
        PublicKey::EdDSA { curve, .. }
        | PublicKey::ECDSA { curve, .. }
        | PublicKey::ECDH { curve, .. } => Some(curve),
        _ => None,
    };
    let bits = key.mpis().bits().unwrap_or_default();
    match (curve, key.pk_algo()) {
        (Some(Curve::NistP256), _) => "nistp256".into(),
        (Some(Curve::NistP384), _) => "nistp384".into(),
        (Some(Curve::NistP521), _) => "nistp521".into(),
        (Some(Curve::BrainpoolP256), _) => "brainpoolP256r1".into(),
        (Some(Curve::BrainpoolP384), _) => "brainpoolP384r1".into(),
        (Some(Curve::BrainpoolP512), _) => "brainpoolP512r1".into(),
        (Some(Curve::Ed25519), _) | (None, PublicKeyAlgorithm::Ed25519) => "ed25519".into(),
        (Some(Curve::Cv25519), _) | (None, PublicKeyAlgorithm::X25519) => "cv25519".into(),
        #[expect(deprecated, reason = "old keys are described as well")]
        (
            None,
            PublicKeyAlgorithm::RSAEncryptSign
            | PublicKeyAlgorithm::RSASign
            | PublicKeyAlgorithm::RSAEncrypt,
        ) => format!("rsa{bits}"),
        (None, other) => printable(other.to_string().as_bytes()),
        (Some(other), _) => printable(other.to_string().as_bytes()),
    }
}
