//! Making keys.
//!
//! One primary key that certifies and signs, without subkeys: this is what every tool
//! reads, from the OpenPGP library of rkt and acpush to gpg 2.4. Signing subkeys, which
//! let a primary key stay offline, are taken in both signing and verification.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use openpgp::Profile;
use openpgp::cert::{CertBuilder, CipherSuite};
use openpgp::serialize::Serialize;
use openpgp::types::KeyFlags;
use sequoia_openpgp as openpgp;

use crate::armor;
use crate::certificate::{Certificate, KeyError};
use crate::fingerprint::Fingerprint;
use crate::passphrase::Passphrase;

/// Longest user ID, in bytes.
const MAX_USER_ID: usize = 512;

/// What a key computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// Ed25519 in its version 4 form (EdDSA): small and fast; gpg 2.1 and newer. The
    /// OpenPGP library of rkt and acpush refuses it.
    #[default]
    Ed25519,
    /// RSA with 4096 bits, which every OpenPGP tool reads.
    Rsa4096,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "ed25519",
            Self::Rsa4096 => "rsa4096",
        })
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Ed25519, Self::Rsa4096]
            .into_iter()
            .find(|algorithm| algorithm.to_string() == text)
            .ok_or_else(|| format!("{text:?} is not one of ed25519, rsa4096"))
    }
}

/// What key to make.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Whose key it is: `Example CI <ci@example.com>`.
    pub user_id: String,
    /// What it computes with.
    pub algorithm: Algorithm,
    /// How long it may sign from `now` on; `None` for ever.
    pub expires: Option<Duration>,
    /// What the secret key is locked with; `None` leaves it open.
    pub passphrase: Option<Passphrase>,
    /// When it is made.
    pub now: SystemTime,
}

/// A new key.
pub struct Generated {
    /// The secret key, armored. For a file nobody else may read.
    pub secret: Vec<u8>,
    /// The public key, armored.
    pub public: Vec<u8>,
    /// The public key.
    pub certificate: Certificate,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Generated").field(&self.fingerprint).finish()
    }
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A user ID that names nobody, or that tools would show wrongly.
    #[error(
        "the user ID {0:?} cannot be used: it is 1 to {MAX_USER_ID} bytes of text without control characters, as \"Example CI <ci@example.com>\""
    )]
    UserId(String),
    /// OpenPGP counts seconds in 32 bits.
    #[error("a key cannot expire {0} days from now: OpenPGP counts to 2106")]
    Expiry(u64),
    /// The OpenPGP library failed.
    #[error("cannot make the key: {0}")]
    Library(String),
    /// The key that was made cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Makes a key. Needs nothing but randomness: no agent, no terminal.
pub fn generate(options: &GenerateOptions) -> Result<Generated, GenerateError> {
    let library = |error| GenerateError::Library(format!("{error:#}"));
    let user_id = options.user_id.as_str();
    if user_id.trim().is_empty()
        || user_id.len() > MAX_USER_ID
        || user_id.chars().any(char::is_control)
    {
        return Err(GenerateError::UserId(user_id.to_owned()));
    }
    check_expiry(options)?;
    let suite = match options.algorithm {
        Algorithm::Ed25519 => CipherSuite::Cv25519,
        Algorithm::Rsa4096 => CipherSuite::RSA4k,
    };
    let (cert, _revocation) = CertBuilder::new()
        .set_profile(Profile::RFC4880)
        .map_err(library)?
        .set_cipher_suite(suite)
        .set_creation_time(options.now)
        .set_validity_period(options.expires)
        .set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
        .add_userid(user_id)
        .set_password(options.passphrase.as_ref().map(|p| p.password().clone()))
        .generate()
        .map_err(library)?;
    let mut secret = Vec::new();
    cert.as_tsk().serialize(&mut secret).map_err(library)?;
    let certificate = Certificate::from_cert(cert.strip_secret_key_material())?;
    Ok(Generated {
        secret: armor::encode("PRIVATE KEY BLOCK", &secret),
        public: certificate.armored(),
        fingerprint: *certificate.fingerprint(),
        certificate,
    })
}

fn check_expiry(options: &GenerateOptions) -> Result<(), GenerateError> {
    let Some(expires) = options.expires else { return Ok(()) };
    let end = options.now.checked_add(expires);
    let seconds = end.and_then(|end| end.duration_since(SystemTime::UNIX_EPOCH).ok());
    match seconds.map(|seconds| u32::try_from(seconds.as_secs())) {
        Some(Ok(_)) => Ok(()),
        _ => Err(GenerateError::Expiry(expires.as_secs() / 86400)),
    }
}
