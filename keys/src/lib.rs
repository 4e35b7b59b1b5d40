//! OpenPGP for images: key material, signing, the one verification, the trust store.
//!
//! Nobody else in the workspace speaks OpenPGP. What a key may do, when it is
//! expired or revoked and which algorithms still count is decided in `policy.rs`
//! alone; whether bytes are what somebody signed is decided by [`verify()`] (and by
//! [`receive()`], which runs the same code over a stream that is written and
//! inspected at the same time).
//!
//! Keys and signatures are of OpenPGP version 4: the trust layout rkt and Gantry
//! share names files by version 4 fingerprints, and gpg 2.2 and rkt read nothing
//! newer.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use keys::{Algorithm, Certificate, GenerateOptions, Keyring, Liveness, Policy, Scope, Signer};
//!
//! let (now, limits) = (SystemTime::now(), aci::Limits::default());
//! let generated = keys::generate(&GenerateOptions {
//!     user_id: "Example CI <ci@example.com>".into(),
//!     algorithm: Algorithm::Ed25519,
//!     expires: Some(Duration::from_secs(2 * 365 * 86400)),
//!     passphrase: None,
//!     now,
//! })?;
//! let signature = Signer::open(&generated.secret, None, now)?.sign(&b"an image"[..])?;
//!
//! let mut keyring = Keyring::default();
//! for certificate in Certificate::read_all(&generated.public, &limits)? {
//!     keyring.push(certificate, Scope::Prefix("example.com/team".parse()?));
//! }
//! let policy = Policy::new(now, Liveness::AtSigning);
//! let good = keys::verify(&b"an image"[..], &signature, &keyring, &policy, &limits)?;
//! assert!(good.speaks_for(&"example.com/team/hello".parse()?));
//! assert!(keys::verify(&b"another"[..], &signature, &keyring, &policy, &limits).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Tests may read the clock and write files as they like; nothing else may: clippy.toml.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod amend;
mod armor;
mod assess;
mod certificate;
mod change;
mod decrypt;
mod detached;
mod encrypt;
mod error;
mod fingerprint;
mod folder;
mod generate;
mod keyring;
mod parts;
mod passphrase;
mod policy;
mod receive;
mod renewal;
mod revocation;
mod secret;
mod several;
mod signer;
mod trust;
mod verify;

pub use amend::{AmendError, RevocationReason};
pub use assess::{Assessment, Verdict, assess, assess_signers, count_signatures};
pub use certificate::{Certificate, KeyError};
pub use change::Change;
pub use decrypt::{DecryptError, ReceiveEncryptedError, decrypt, receive_encrypted};
pub use detached::SignatureFormatError;
pub use encrypt::{EncryptedFile, Encrypting, encrypt};
pub use error::{SignedBy, TooFewSigners, VerifyError};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use folder::{KeyFolder, KeyFolderError, KeyName, LockedKeys, write_secret};
pub use generate::{Algorithm, GenerateError, GenerateOptions, Generated, generate};
pub use keyring::{Keyring, Scope};
pub use parts::{KeyPart, SecretPart, Uses};
pub use passphrase::{Passphrase, UnlockError};
pub use policy::{CLOCK_SKEW, EXPIRES_SOON, Liveness, Policy};
pub use receive::{ReceiveError, VerifiedImage, receive, receive_indexed};
pub use renewal::News;
pub use revocation::Revocation;
pub use secret::{KeyMaterial, SecretKey};
pub use several::{AddSignatureError, AddedSignature, Earlier};
pub use signer::{SignError, Signer};
pub use trust::{
    Added, Decided, Interval, IntervalError, NotTaken, PrefixPolicy, RefreshOptions,
    RefreshOutcome, Refreshed, RefreshedKey, Removal, Threshold, ThresholdError, TrustEntry,
    TrustError, TrustPolicies, TrustStore, Warning,
};
pub use verify::{GoodSignature, verify, verify_for};
