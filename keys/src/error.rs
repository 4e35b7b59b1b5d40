//! Why a signature was not accepted, in words a person can act on.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use aci::{Name, Refusal, Refuse};
use openpgp::cert::amalgamation::key::ErasedKeyAmalgamation;
use openpgp::packet::key::PublicParts;
use sequoia_openpgp as openpgp;

use crate::certificate::printable;
use crate::detached::SignatureFormatError;
use crate::fingerprint::Fingerprint;
use crate::keyring::Scope;

/// The key a signature names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    /// The primary key.
    pub signer: Fingerprint,
    /// The key that signed: the primary key or a subkey.
    pub key: Fingerprint,
    /// The first user ID, made safe to print.
    pub user_id: Option<String>,
}

impl SignedBy {
    /// `None` for keys of other versions than 4, which make no version 4 signatures.
    pub(crate) fn of(key: &ErasedKeyAmalgamation<'_, PublicParts>) -> Option<Self> {
        let cert = key.cert();
        Some(Self {
            signer: Fingerprint::from_openpgp(&cert.fingerprint())?,
            key: Fingerprint::from_openpgp(&key.key().fingerprint())?,
            user_id: cert.userids().next().map(|ua| printable(ua.userid().value())),
        })
    }
}

impl fmt::Display for SignedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key == self.signer {
            write!(f, "key {}", self.signer)?;
        } else {
            write!(f, "subkey {} of key {}", self.key, self.signer)?;
        }
        match &self.user_id {
            Some(user_id) => write!(f, " ({user_id})"),
            None => Ok(()),
        }
    }
}

/// Why no signature of the file counts. With several signatures, the reason of the one
/// that got furthest.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file is no detached signature, or a damaged one.
    #[error(transparent)]
    Format(#[from] SignatureFormatError),
    /// Nobody knows the signer.
    #[error("the image is signed by a key that is not trusted: {issuer}")]
    SignerNotTrusted {
        /// The fingerprint or key ID the signature names.
        issuer: String,
        /// The image's name, where it is known already.
        name: Option<Name>,
        /// The keys that would have been accepted.
        wanted: Vec<Fingerprint>,
    },
    /// The signer is trusted, but not for this name.
    #[error("the image is signed by {by}, which is not trusted for {name}")]
    SignerWrongPrefix {
        /// Who signed.
        by: Box<SignedBy>,
        /// The image's name.
        name: Name,
        /// What the signer is trusted for.
        trusted_for: Vec<Scope>,
        /// The keys that would have been accepted.
        wanted: Vec<Fingerprint>,
    },
    /// The signature names several keys.
    #[error("the signature names another key beside {by}")]
    IssuerMismatch {
        /// The one that is known.
        by: SignedBy,
    },
    /// The key's own signatures do not say that it may be used.
    #[error("{by} cannot be used: {reason}")]
    KeyUnusable {
        /// Who signed.
        by: SignedBy,
        /// What the OpenPGP library says.
        reason: String,
    },
    /// The key is not meant for signing.
    #[error("{by} is not meant for signing")]
    KeyNotForSigning {
        /// Who signed.
        by: SignedBy,
    },
    /// The signature is older than its key.
    #[error("the signature says {}, when {by} did not exist", moment(*.created))]
    SignatureBeforeKey {
        /// Who signed.
        by: SignedBy,
        /// When, as the signature says.
        created: SystemTime,
        /// When the key was made.
        key_created: SystemTime,
    },
    /// The key was expired when it had to be alive.
    #[error("{by} expired on {}", moment(*.expired))]
    KeyExpired {
        /// Who signed.
        by: SignedBy,
        /// When it expired.
        expired: SystemTime,
        /// When it had to be alive: the time of signing, or now.
        at: SystemTime,
    },
    /// The key was revoked.
    #[error("{by} was revoked")]
    KeyRevoked {
        /// Who signed.
        by: SignedBy,
        /// When it was revoked.
        revoked: Option<SystemTime>,
        /// The owner's reason.
        reason: String,
        /// When the signature was made, as it says.
        at: SystemTime,
    },
    /// A hash that can be forged.
    #[error("the signature by {by} uses {algorithm}, which can be forged")]
    WeakHash {
        /// Who signed.
        by: SignedBy,
        /// The hash.
        algorithm: String,
    },
    /// An algorithm or a critical part that is not understood.
    #[error("the signature by {by} cannot be judged: {reason}")]
    SignatureUnsupported {
        /// Who signed.
        by: SignedBy,
        /// What the OpenPGP library says.
        reason: String,
    },
    /// The signature was made later than now.
    #[error("the signature by {by} says it was made on {}, which is yet to come", moment(*.created))]
    SignatureInFuture {
        /// Who signed.
        by: SignedBy,
        /// When, as the signature says.
        created: SystemTime,
        /// What time it is here.
        now: SystemTime,
    },
    /// The signature was made for a time that has passed.
    #[error("the signature by {by} expired on {}", moment(*.expired))]
    SignatureExpired {
        /// Who signed.
        by: SignedBy,
        /// When it expired.
        expired: SystemTime,
    },
    /// The bytes are others than those that were signed.
    #[error("the signature does not match the image")]
    SignatureInvalid {
        /// Whom the signature names.
        by: SignedBy,
        /// When, as the signature says.
        created: SystemTime,
    },
    /// Fewer have signed than are demanded of the name.
    #[error(transparent)]
    TooFewSigners(Box<TooFewSigners>),
    /// Reading the data failed; nothing is said about the signature.
    #[error("cannot read the image: {0}")]
    Read(#[source] io::Error),
}

/// Fewer different keys have signed an image than are demanded of its name.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} must be signed by {threshold} different keys, and only {} of them signed: {}",
    .signers.len(),
    list(&texts(.signers), "nobody")
)]
pub struct TooFewSigners {
    /// The image's name.
    pub name: Name,
    /// The prefix of which so many are demanded.
    pub prefix: Name,
    /// The file that demands it.
    pub policy: PathBuf,
    /// How many different primary keys must have signed.
    pub threshold: usize,
    /// Those that have, each once.
    pub signers: Vec<SignedBy>,
    /// Keys trusted for the name that have not.
    pub missing: Vec<Fingerprint>,
    /// Why a further signature in the file does not count.
    pub beside: Option<Box<VerifyError>>,
}

impl VerifyError {
    /// How far a signature got before it was refused, to name the most telling reason of several.
    pub(crate) fn progress(&self) -> u8 {
        match self {
            Self::Format(_) | Self::Read(_) => 0,
            Self::SignerNotTrusted { .. } => 1,
            Self::IssuerMismatch { .. } => 2,
            Self::SignerWrongPrefix { .. } => 3,
            Self::SignatureInvalid { .. } => 5,
            Self::TooFewSigners(_) => 6,
            _ => 4,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Format(error) => match error {
                SignatureFormatError::OtherBlock(_) | SignatureFormatError::OtherPacket(_) => {
                    "signature-not-detached"
                }
                SignatureFormatError::TooLarge { .. } => "signature-too-large",
                _ => "signature-malformed",
            },
            Self::SignerNotTrusted { .. } => "signer-not-trusted",
            Self::SignerWrongPrefix { .. } => "signer-wrong-prefix",
            Self::IssuerMismatch { .. } => "signature-malformed",
            Self::KeyUnusable { .. } => "key-unusable",
            Self::KeyNotForSigning { .. } => "key-not-for-signing",
            Self::SignatureBeforeKey { .. } => "signature-before-key",
            Self::KeyExpired { .. } => "key-expired",
            Self::KeyRevoked { .. } => "key-revoked",
            Self::WeakHash { .. } => "weak-hash",
            Self::SignatureUnsupported { .. } => "signature-unsupported",
            Self::SignatureInFuture { .. } => "signature-in-future",
            Self::SignatureExpired { .. } => "signature-expired",
            Self::SignatureInvalid { .. } => "signature-invalid",
            Self::TooFewSigners(_) => "too-few-signers",
            Self::Read(_) => "read-failed",
        }
    }

    fn wanted(&self) -> String {
        match self {
            Self::Format(SignatureFormatError::TooLarge { limit, .. }) => {
                format!("a signature file of at most {limit} bytes")
            }
            Self::Format(_) => "a detached OpenPGP signature of version 4, as `gantry sign` or \
                `gpg --armor --detach-sign` writes it"
                .into(),
            Self::SignerNotTrusted { name, wanted, .. } => accepted(wanted, name.as_ref()),
            Self::SignerWrongPrefix { name, wanted, .. } => accepted(wanted, Some(name)),
            Self::IssuerMismatch { by } => format!("a signature that names {by} alone"),
            Self::KeyUnusable { .. } => "a key bound to its owner by its own signature, made \
                with an algorithm that still counts"
                .into(),
            Self::KeyNotForSigning { .. } => "a key with the signing flag".into(),
            Self::SignatureBeforeKey { key_created, .. } => {
                format!("a signature made after {}", moment(*key_created))
            }
            Self::KeyExpired { at, .. } => format!("a key alive on {}", moment(*at)),
            Self::KeyRevoked { at, .. } => {
                format!("a key that is not revoked, for a signature of {}", moment(*at))
            }
            Self::WeakHash { .. } => "SHA-256, SHA-384 or SHA-512".into(),
            Self::SignatureUnsupported { .. } => {
                "a signature all critical parts of which are understood".into()
            }
            Self::SignatureInFuture { now, .. } => {
                format!("a signature made before now, {}", moment(*now))
            }
            Self::SignatureExpired { .. } => "a signature without expiry, or one before it".into(),
            Self::SignatureInvalid { by, .. } => format!("the bytes that {by} signed"),
            Self::TooFewSigners(few) => few.wanted(),
            Self::Read(_) => "the whole image".into(),
        }
    }

    fn found(&self) -> String {
        match self {
            Self::SignerNotTrusted { issuer, .. } => format!("a signature by {issuer}"),
            Self::SignerWrongPrefix { by, trusted_for, .. } => {
                let scopes: Vec<String> = trusted_for.iter().map(ToString::to_string).collect();
                format!("a signature by {by}, trusted for {}", list(&scopes, "nothing"))
            }
            Self::KeyExpired { by, expired, .. } => {
                format!("{by}, expired on {}", moment(*expired))
            }
            Self::KeyRevoked { by, revoked, reason, .. } => {
                let date = revoked.map_or_else(String::new, |time| format!(" on {}", moment(time)));
                format!("{by}, revoked{date} ({reason})")
            }
            Self::SignatureInvalid { created, .. } => {
                format!("other bytes than those signed on {}", moment(*created))
            }
            Self::TooFewSigners(few) => few.found(),
            other => other.to_string(),
        }
    }

    fn rule(&self) -> &'static str {
        match self {
            Self::Format(SignatureFormatError::TooLarge { .. }) => {
                "everything from outside has a limit"
            }
            Self::Format(_) | Self::IssuerMismatch { .. } => {
                "a signature file is taken only where every bit of it counts (RFC 9580, 5.2 and 6.2)"
            }
            Self::SignerNotTrusted { .. } => "only a key trusted for the image's name may sign it",
            Self::SignerWrongPrefix { .. } => {
                "a key is trusted for its prefix and the names below it, by whole path segments"
            }
            Self::KeyUnusable { .. } => {
                "a key counts by its own signature over its user ID and subkeys (RFC 9580, 5.2.3.10)"
            }
            Self::KeyNotForSigning { .. } => {
                "only a key whose flags allow signing may sign (RFC 9580, 5.2.3.29)"
            }
            Self::SignatureBeforeKey { .. } | Self::SignatureInFuture { .. } => {
                "a signature is judged at the time it was made, which must lie between its key's \
                 creation and now"
            }
            Self::KeyExpired { .. } => {
                "a key must be alive when it signs; a registry also wants it alive when it takes \
                 the image"
            }
            Self::KeyRevoked { .. } => {
                "a revoked key is good for nothing; only one that was retired or superseded stays \
                 good for what it signed before"
            }
            Self::WeakHash { .. } => "a hash for which collisions can be made is no proof",
            Self::SignatureUnsupported { .. } => {
                "what is marked critical must be understood (RFC 9580, 5.2.3.7)"
            }
            Self::SignatureExpired { .. } => {
                "a signature counts until its own expiry (RFC 9580, 5.2.3.18)"
            }
            Self::SignatureInvalid { .. } => "the signature must match the image, bit for bit",
            Self::TooFewSigners(_) => {
                "the longest prefix with a threshold decides how many different primary keys, \
                 each trusted for the name, must have signed; subkeys count for their primary key"
            }
            Self::Read(_) => "an image counts only when it was read to its end",
        }
    }

    fn next(&self) -> String {
        match self {
            Self::Format(_) | Self::IssuerMismatch { .. } => {
                "fetch the .asc file again; if it stays so, ask its author to sign again".into()
            }
            Self::SignerNotTrusted { issuer, name, .. } => {
                let prefix = name.as_ref().map_or("PREFIX", Name::as_str);
                let fingerprint = if issuer.len() == 40 { issuer } else { "FINGERPRINT" };
                format!(
                    "compare the fingerprint with what the author publishes; if it is theirs: \
                     gantry trust add --prefix {prefix} --fingerprint {fingerprint} [KEYFILE]"
                )
            }
            Self::SignerWrongPrefix { by, name, .. } => format!(
                "if this key may sign for that name: gantry trust add --prefix {name} \
                 --fingerprint {} [KEYFILE]",
                by.signer
            ),
            Self::KeyExpired { .. } => "get the author's renewed key (gantry trust add), or ask \
                for a signature by a key that is alive"
                .into(),
            Self::KeyRevoked { .. } => {
                "do not use this image; ask the author for one signed by another key".into()
            }
            Self::KeyUnusable { .. } => "ask the author for a current copy of the key; gpg \
                renews its own signature with: gpg --cert-digest-algo SHA256 --quick-set-expire"
                .into(),
            Self::KeyNotForSigning { .. }
            | Self::SignatureBeforeKey { .. }
            | Self::SignatureUnsupported { .. }
            | Self::SignatureExpired { .. } => {
                "ask the author to sign again: gantry sign FILE --key KEY".into()
            }
            Self::WeakHash { .. } => "ask the author to sign again with SHA-512: gantry sign FILE \
                --key KEY, or gpg --digest-algo SHA512 --armor --detach-sign FILE"
                .into(),
            Self::SignatureInFuture { .. } => {
                "check this machine's clock; if it is right, the signer's is wrong".into()
            }
            Self::SignatureInvalid { .. } => "fetch the image and its signature again; if it \
                stays so, one of them was changed or belongs to another image: do not use it"
                .into(),
            Self::TooFewSigners(few) => format!(
                "ask the other signers for their signatures over the same file, put them into one \
                 .asc file, and fetch again; {} demands this of {}",
                few.policy.display(),
                few.prefix
            ),
            Self::Read(_) => "try again".into(),
        }
    }
}

impl Refuse for VerifyError {
    fn refusal(&self) -> Refusal {
        Refusal {
            code: self.code().into(),
            message: self.to_string(),
            wanted: self.wanted(),
            found: self.found(),
            rule: self.rule().into(),
            next: self.next(),
        }
    }
}

impl TooFewSigners {
    fn wanted(&self) -> String {
        let missing: Vec<String> = self.missing.iter().map(ToString::to_string).collect();
        format!(
            "good signatures by {} different keys trusted for {}; {} more is needed, of: {}",
            self.threshold,
            self.name,
            self.threshold - self.signers.len(),
            list(&missing, "no other key is trusted for it")
        )
    }

    fn found(&self) -> String {
        let mut found = format!("signed by {}", list(&texts(&self.signers), "nobody"));
        if let Some(beside) = &self.beside {
            found.push_str(&format!("; a further signature does not count: {beside}"));
        }
        found
    }
}

fn texts(signers: &[SignedBy]) -> Vec<String> {
    signers.iter().map(ToString::to_string).collect()
}

fn accepted(keys: &[Fingerprint], name: Option<&Name>) -> String {
    let trusted =
        name.map_or("a trusted key".to_owned(), |name| format!("a key trusted for {name}"));
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    format!("a signature by {trusted}: {}", list(&keys, "there is none yet"))
}

/// The first few of a list, so that a message stays one.
fn list(items: &[String], empty: &str) -> String {
    const SHOWN: usize = 5;
    match items.len() {
        0 => empty.to_owned(),
        1..=SHOWN => items.join(", "),
        more => format!("{} and {} more", items[..SHOWN].join(", "), more - SHOWN),
    }
}

/// A time for people: UTC, to the second.
pub(crate) fn moment(time: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or_default();
    timestamp.round(jiff::Unit::Second).unwrap_or(timestamp).to_string()
}
