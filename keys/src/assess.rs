//! Every signature of a file by itself, for people: who made it, and what it is worth.
//!
//! Whether an image is accepted is not decided here, but by [`verify()`](crate::verify()) and
//! [`receive()`](crate::receive()). This runs the same verification once for each signature.

use std::io::{self, Read};
use std::time::SystemTime;

use aci::{Limits, Name, Refusal, Refuse};
use openpgp::packet::Signature;
use sequoia_openpgp as openpgp;

use crate::detached;
use crate::error::VerifyError;
use crate::fingerprint::Fingerprint;
use crate::keyring::Keyring;
use crate::policy::Policy;
use crate::verify::Verification;

/// What a signature is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// By a trusted key that could sign, over these bytes.
    Good,
    /// By a key nobody here knows.
    Unknown,
    /// By a known key that is not trusted for this name.
    Untrusted,
    /// By a key that had expired, or past the signature's own expiry.
    Expired,
    /// By a key its owner has revoked.
    Revoked,
    /// Over other bytes, or by a key or in a way that does not count.
    Bad,
}

impl Verdict {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unknown => "unknown",
            Self::Untrusted => "untrusted",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Bad => "bad",
        }
    }

    fn of(error: &VerifyError) -> Self {
        match error {
            VerifyError::SignerNotTrusted { .. } => Self::Unknown,
            VerifyError::SignerWrongPrefix { .. } => Self::Untrusted,
            VerifyError::KeyExpired { .. } | VerifyError::SignatureExpired { .. } => Self::Expired,
            VerifyError::KeyRevoked { .. } => Self::Revoked,
            _ => Self::Bad,
        }
    }
}

/// One signature of a file.
#[derive(Debug, Clone)]
pub struct Assessment {
    /// The fingerprint or key ID the signature names: the primary key or a subkey.
    pub issuer: String,
    /// The signer's primary key, where it is known.
    pub signer: Option<Fingerprint>,
    /// The signer's first user ID, where it is known, made safe to print.
    pub user_id: Option<String>,
    /// When it was made, as it says.
    pub created: Option<SystemTime>,
    /// What it is worth.
    pub verdict: Verdict,
    /// Why it does not count; `None` where it does.
    pub refusal: Option<Refusal>,
    /// What the user should know though it counts.
    pub warnings: Vec<String>,
}

/// How many signatures a file holds; none where it is no signature file.
pub fn count_signatures(file: &[u8], limits: &Limits) -> usize {
    detached::read(file, limits).map_or(0, |all| all.len())
}

/// Reads `data` to its end and judges each signature of the file `signature` by itself: for
/// images of `name`, where one is given.
pub fn assess(
    mut data: impl Read,
    signature: &[u8],
    name: Option<&Name>,
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<Vec<Assessment>, VerifyError> {
    let mut all = Vec::new();
    for (packet, signature) in detached::packets(signature, limits)? {
        all.push((signature, Verification::begin(&packet, name, keyring, policy, limits)));
    }
    let mut buffer = vec![0; 256 << 10];
    loop {
        match data.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let running = all.iter_mut().filter_map(|(_, begun)| begun.as_mut().ok());
                running.for_each(|verification| verification.update(&buffer[..length]));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(VerifyError::Read(error)),
        }
    }
    let judged = all.into_iter().map(|(signature, begun)| {
        let good = begun.and_then(Verification::finish).map(|good| good.first);
        assessment(&signature, keyring, good.map(|good| good.warnings().to_vec()))
    });
    Ok(judged.collect())
}

/// Judges each signature of a file by itself as far as that is possible before the image is
/// read: [`Verdict::Good`] here means that it will count if it matches.
pub fn assess_signers(
    signature: &[u8],
    name: Option<&Name>,
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<Vec<Assessment>, VerifyError> {
    let judged = detached::packets(signature, limits)?.into_iter().map(|(packet, signature)| {
        let begun = Verification::begin(&packet, name, keyring, policy, limits);
        let warnings = begun.map(|verification| verification.warnings());
        assessment(&signature, keyring, warnings)
    });
    Ok(judged.collect())
}

fn assessment(
    signature: &Signature,
    keyring: &Keyring,
    warnings: Result<Vec<String>, VerifyError>,
) -> Assessment {
    let issuers = signature.get_issuers();
    let known = keyring.issuers(&issuers).next().map(|entry| &entry.certificate);
    let (verdict, refusal, warnings) = match warnings {
        Ok(warnings) => (Verdict::Good, None, warnings),
        Err(error) => (Verdict::of(&error), Some(error.refusal()), Vec::new()),
    };
    Assessment {
        issuer: issuers.first().map(|one| one.to_hex().to_lowercase()).unwrap_or_default(),
        signer: known.map(|certificate| *certificate.fingerprint()),
        user_id: known.and_then(|certificate| certificate.user_ids().into_iter().next()),
        created: signature.signature_creation_time(),
        verdict,
        refusal,
        warnings,
    }
}
