//! Public keys.

use std::fmt;
use std::time::SystemTime;

use aci::Limits;
use openpgp::Cert;
use openpgp::cert::CertParser;
use openpgp::parse::Parse;
use openpgp::serialize::Serialize;
use sequoia_openpgp as openpgp;

use crate::armor::{self, Block};
use crate::fingerprint::Fingerprint;
use crate::parts::{self, KeyPart};
use crate::policy;

/// A public key with its subkeys, user IDs, expiry and revocations.
///
/// - a version 4 key
/// - without secrets
/// - what is not bound by the key's own signatures was dropped, but whether it may sign,
///   now or then, is asked of the verification, never read off a certificate
#[derive(Clone, PartialEq)]
pub struct Certificate {
    cert: Cert,
    fingerprint: Fingerprint,
    armored: Vec<u8>,
}

/// Why bytes are no public key that can be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// More bytes than a key file may have.
    #[error("the key file has {found} bytes, at most {limit} are read")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        limit: u64,
    },
    /// There is no key in the file.
    #[error("there is no OpenPGP public key in the file")]
    NoKey,
    /// A secret key where a public one is wanted.
    #[error(
        "{0} is a secret key: give the public one (`gpg --export --armor`, or the file `gantry key generate --public` wrote)"
    )]
    Secret(Fingerprint),
    /// A public key where a secret one is wanted.
    #[error(
        "{0} is a public key: give the secret one (the file `gantry key generate --secret` wrote, or `gpg --export-secret-keys --armor`)"
    )]
    Public(Fingerprint),
    /// A file named by another key's fingerprint.
    #[error("it holds another key than its name says: {0}")]
    Misnamed(Fingerprint),
    /// Several keys where one is wanted.
    #[error("the file holds {0} keys: give one with this key alone")]
    Several(usize),
    /// Bytes that look like a key and are none.
    #[error("the OpenPGP key cannot be read: {detail}")]
    Malformed {
        /// What the parser says.
        detail: String,
    },
    /// A key of a version no appc tool reads.
    #[error("key {fingerprint} is of OpenPGP version {version}; image keys are of version 4")]
    KeyVersion {
        /// The fingerprint, of the other form.
        fingerprint: String,
        /// The version.
        version: u8,
    },
}

impl Certificate {
    /// Reads all public keys of a file: armored (one block or several, with text around
    /// them) or binary.
    pub fn read_all(bytes: &[u8], limits: &Limits) -> Result<Vec<Self>, KeyError> {
        let mut all = Vec::new();
        for cert in read_certs(bytes, limits)? {
            let certificate = Self::from_cert(cert)?;
            if certificate.cert.is_tsk() {
                return Err(KeyError::Secret(certificate.fingerprint));
            }
            all.push(certificate);
        }
        Ok(all)
    }

    pub(crate) fn from_cert(cert: Cert) -> Result<Self, KeyError> {
        let Some(fingerprint) = Fingerprint::from_openpgp(&cert.fingerprint()) else {
            return Err(KeyError::KeyVersion {
                fingerprint: cert.fingerprint().to_hex(),
                version: cert.primary_key().key().version(),
            });
        };
        let mut binary = Vec::new();
        // Not `export`, which gives nothing at all for a key that is bound to no user ID.
        cert.serialize(&mut binary)
            .map_err(|error| KeyError::Malformed { detail: format!("{error:#}") })?;
        let armored = armor::encode("PUBLIC KEY BLOCK", &binary);
        Ok(Self { cert, fingerprint, armored })
    }

    /// The primary key's fingerprint.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The subkeys' fingerprints, the oldest first.
    pub fn subkey_fingerprints(&self) -> Vec<Fingerprint> {
        let mut subkeys: Vec<_> = self.cert.keys().subkeys().collect();
        subkeys.sort_by_key(|ka| ka.key().creation_time());
        subkeys.iter().filter_map(|ka| Fingerprint::from_openpgp(&ka.key().fingerprint())).collect()
    }

    /// The user IDs, made safe to print: a key's owner chooses these bytes.
    pub fn user_ids(&self) -> Vec<String> {
        parts::user_ids(&self.cert)
    }

    /// The primary key and its subkeys, the oldest first, as they stand at `now`.
    pub fn parts(&self, now: SystemTime) -> Vec<KeyPart> {
        parts::of(&self.cert, now)
    }

    /// When the primary key was made.
    pub fn created(&self) -> SystemTime {
        self.cert.primary_key().key().creation_time()
    }

    /// When the primary key expires or expired, as its owner says it at `now`. `None` where
    /// it never does, or where nothing the owner signed says that the key is usable.
    pub fn expires(&self, now: SystemTime) -> Option<SystemTime> {
        policy::expires(&self.cert, now)
    }

    /// Whether the owner has revoked the primary key by `now`.
    pub fn revoked(&self, now: SystemTime) -> bool {
        policy::revoked(&self.cert, now)
    }

    /// Whether anything in it, the primary key or a subkey, may sign images at `now`.
    pub fn can_sign(&self, now: SystemTime) -> bool {
        policy::can_sign(&self.cert, now)
    }

    /// From when on nothing in it can sign any more. `None` where that is never, or where
    /// nothing can sign at `now` already.
    pub fn signs_until(&self, now: SystemTime) -> Option<SystemTime> {
        policy::signs_until(&self.cert, now)
    }

    /// The key as an armored file, with the checksum older tools ask for.
    pub fn armored(&self) -> Vec<u8> {
        self.armored.clone()
    }

    /// This certificate with everything `other` knows of the same key: newer expiry,
    /// revocations, subkeys. Unchanged where `other` is another key.
    pub(crate) fn merge(self, other: Certificate) -> Self {
        let merged = self.cert.clone().merge_public(other.cert).ok();
        merged.and_then(|cert| Self::from_cert(cert).ok()).unwrap_or(self)
    }

    pub(crate) fn cert(&self) -> &Cert {
        &self.cert
    }
}

/// Reads all keys of a file, secret ones with their secrets: at least one.
pub(crate) fn read_certs(bytes: &[u8], limits: &Limits) -> Result<Vec<Cert>, KeyError> {
    if bytes.len() as u64 > limits.key_bytes {
        return Err(KeyError::TooLarge { found: bytes.len(), limit: limits.key_bytes });
    }
    let blocks = armor::blocks(bytes);
    let mut all = Vec::new();
    if blocks.is_empty() {
        read_block(bytes, &mut all)?;
    }
    for Block { label, bytes } in blocks {
        if label.ends_with("KEY BLOCK") {
            read_block(bytes, &mut all)?;
        }
    }
    if all.is_empty() { Err(KeyError::NoKey) } else { Ok(all) }
}

fn read_block(bytes: &[u8], all: &mut Vec<Cert>) -> Result<(), KeyError> {
    let malformed = |error| KeyError::Malformed { detail: format!("{error:#}") };
    // The parser takes text for the start of some packet; a page that says "not
    // found" is better called what it is.
    if bytes.first().is_none_or(|byte| byte & 0x80 == 0 && *byte != b'-') {
        return Err(KeyError::NoKey);
    }
    for cert in CertParser::from_bytes(bytes).map_err(malformed)? {
        all.push(cert.map_err(malformed)?);
    }
    Ok(())
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.fingerprint).finish()
    }
}

/// Text of a stranger, without what could steer a terminal.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c })
        .collect()
}

/// The characters that turn the direction of writing, and so can hide what a text says.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: a primary key alone was accepted, and written as an empty block.
    #[test]
    fn certificate_without_a_user_id_is_written_whole() {
        let key = b"\x98\x0b\x04\xaf\x00\x00\x03\x31\x00\x00\x85\x00\x00";
        let read = |bytes: &[u8]| Certificate::read_all(bytes, &Limits::default()).unwrap();
        let certificate = &read(key)[0];
        assert_eq!(read(&certificate.armored())[0].fingerprint(), certificate.fingerprint());
    }
}
