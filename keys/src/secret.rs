//! Secret keys: what a file of one holds, and the forms it is given away in.
//!
//! Not every secret part has to be there. `gpg --export-secret-subkeys` leaves the primary
//! key's out and writes a stub in its place, so that a machine that signs cannot extend,
//! revoke or add anything. A stub, and a part that lies on a card, is read as what it is: a
//! part without a secret.

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use aci::Limits;
use openpgp::cert::amalgamation::key::PrimaryKey as _;
use openpgp::crypto::S2K;
use openpgp::packet::Packet;
use openpgp::packet::key::SecretKeyMaterial;
use openpgp::serialize::Serialize;
use openpgp::{Cert, KeyHandle};
use sequoia_openpgp as openpgp;

use crate::armor;
use crate::certificate::{Certificate, KeyError, read_certs};
use crate::fingerprint::Fingerprint;
use crate::parts::{self, KeyPart};

/// A secret key: its public half, and the secret parts that are there.
///
/// - a version 4 key
/// - at least one secret part, locked or not, of the primary key or of a subkey
/// - no stubs
#[derive(Clone)]
pub struct SecretKey {
    cert: Cert,
    fingerprint: Fingerprint,
}

/// A key as a file holds it.
#[derive(Debug, Clone)]
pub enum KeyMaterial {
    /// With at least one secret part.
    Secret(Box<SecretKey>),
    /// Without any.
    Public(Box<Certificate>),
}

impl KeyMaterial {
    /// Reads all keys of a file, secret and public: armored or binary.
    pub fn read_all(bytes: &[u8], limits: &Limits) -> Result<Vec<Self>, KeyError> {
        let certs = read_certs(bytes, limits)?;
        certs
            .into_iter()
            .map(|cert| {
                let cert = without_stubs(cert)?;
                match cert.is_tsk() {
                    true => SecretKey::from_cert(cert).map(|key| Self::Secret(Box::new(key))),
                    false => Certificate::from_cert(cert).map(|one| Self::Public(Box::new(one))),
                }
            })
            .collect()
    }

    /// The primary key's fingerprint.
    pub fn fingerprint(&self) -> &Fingerprint {
        match self {
            Self::Secret(key) => key.fingerprint(),
            Self::Public(certificate) => certificate.fingerprint(),
        }
    }

    pub(crate) fn cert(&self) -> &Cert {
        match self {
            Self::Secret(key) => &key.cert,
            Self::Public(certificate) => certificate.cert(),
        }
    }
}

impl SecretKey {
    /// Reads the one secret key of a file.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, KeyError> {
        let mut all = KeyMaterial::read_all(bytes, limits)?;
        match (all.pop(), all.len()) {
            (Some(KeyMaterial::Secret(key)), 0) => Ok(*key),
            (Some(KeyMaterial::Public(one)), 0) => Err(KeyError::Public(*one.fingerprint())),
            (_, more) => Err(KeyError::Several(more + 1)),
        }
    }

    /// Of a certificate without stubs that has a secret part.
    pub(crate) fn from_cert(cert: Cert) -> Result<Self, KeyError> {
        let Some(fingerprint) = Fingerprint::from_openpgp(&cert.fingerprint()) else {
            return Err(KeyError::KeyVersion {
                fingerprint: cert.fingerprint().to_hex(),
                version: cert.primary_key().key().version(),
            });
        };
        if cert.is_tsk() {
            Ok(Self { cert, fingerprint })
        } else {
            Err(KeyError::Public(fingerprint))
        }
    }

    /// The primary key's fingerprint.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The public half.
    pub fn certificate(&self) -> Result<Certificate, KeyError> {
        Certificate::from_cert(self.cert.clone().strip_secret_key_material())
    }

    /// The user IDs, made safe to print.
    pub fn user_ids(&self) -> Vec<String> {
        parts::user_ids(&self.cert)
    }

    /// The primary key and its subkeys, the oldest first, as they stand at `now`.
    pub fn parts(&self, now: SystemTime) -> Vec<KeyPart> {
        parts::of(&self.cert, now)
    }

    /// The whole secret key as an armored file, with a stub for each part that is not there.
    pub fn armored(&self) -> Result<Vec<u8>, KeyError> {
        let mut binary = Vec::new();
        let tsk = self.cert.as_tsk().emit_secret_key_stubs(true);
        tsk.serialize(&mut binary).map_err(malformed)?;
        Ok(armor::encode("PRIVATE KEY BLOCK", &binary))
    }

    /// What a machine that signs needs and no more: the secret parts of the subkeys that may
    /// sign at `now`, or of `chosen` ones, with stubs for the primary key and all others.
    /// `None` where none of these is there.
    pub fn signing_subkeys(
        &self,
        chosen: &[Fingerprint],
        now: SystemTime,
    ) -> Result<Option<Self>, KeyError> {
        let wanted: BTreeSet<Fingerprint> = self
            .parts(now)
            .into_iter()
            .filter(|part| !part.primary)
            .filter(|part| match chosen {
                [] => part.may_sign(),
                chosen => chosen.contains(&part.fingerprint),
            })
            .map(|part| part.fingerprint)
            .collect();
        let packets = self.cert.as_tsk().into_packets().map(|packet| match packet {
            Packet::SecretKey(key) => key.take_secret().0.into(),
            Packet::SecretSubkey(key) => match Fingerprint::from_openpgp(&key.fingerprint()) {
                Some(fingerprint) if wanted.contains(&fingerprint) => key.into(),
                _ => key.take_secret().0.into(),
            },
            other => other,
        });
        let cert = Cert::from_packets(packets.collect::<Vec<Packet>>().into_iter());
        let cert = cert.map_err(malformed)?;
        if cert.is_tsk() { Self::from_cert(cert).map(Some) } else { Ok(None) }
    }

    /// This key with everything `other` knows of the same key: subkeys, user IDs, later
    /// statements, and the secret parts that are not here. A secret part that is here stays
    /// as it is, so that nothing `other` brings can take it away or lock it otherwise.
    pub fn merge(&self, other: &KeyMaterial) -> Result<Self, KeyError> {
        let missing: Vec<Packet> = other
            .cert()
            .keys()
            .secret()
            .filter(|theirs| !self.has_secret(&theirs.key().key_handle()))
            .map(|theirs| {
                let key = theirs.key().clone();
                match theirs.primary() {
                    true => Packet::SecretKey(key.role_into_primary()),
                    false => Packet::SecretSubkey(key.role_into_subordinate()),
                }
            })
            .collect();
        let public = other.cert().clone().strip_secret_key_material();
        let merged = self.cert.clone().merge_public(public).map_err(malformed)?;
        let (merged, _) = merged.insert_packets(missing).map_err(malformed)?;
        Self::from_cert(merged)
    }

    fn has_secret(&self, handle: &KeyHandle) -> bool {
        self.cert.keys().secret().any(|ours| ours.key().key_handle() == *handle)
    }

    pub(crate) fn cert(&self) -> &Cert {
        &self.cert
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        // Certificates compare without their secrets.
        self.cert.as_tsk() == other.cert.as_tsk()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretKey").field(&self.fingerprint).finish()
    }
}

fn malformed(error: impl fmt::Display) -> KeyError {
    KeyError::Malformed { detail: format!("{error:#}") }
}

/// gpg writes a key without its secret (`--export-secret-subkeys`, cards) as one locked
/// in a way of its own.
pub(crate) fn is_stub(secret: &SecretKeyMaterial) -> bool {
    match secret {
        SecretKeyMaterial::Unencrypted(_) => false,
        SecretKeyMaterial::Encrypted(locked) => {
            matches!(locked.s2k(), S2K::Private { .. } | S2K::Unknown { .. })
        }
    }
}

fn without_stubs(cert: Cert) -> Result<Cert, KeyError> {
    let stubs = cert.keys().secret().any(|key| is_stub(key.key().secret()));
    if !stubs {
        return Ok(cert);
    }
    let packets = cert.into_tsk().into_packets().map(|packet| match packet {
        Packet::SecretKey(key) if is_stub(key.secret()) => key.take_secret().0.into(),
        Packet::SecretSubkey(key) if is_stub(key.secret()) => key.take_secret().0.into(),
        other => other,
    });
    Cert::from_packets(packets.collect::<Vec<Packet>>().into_iter()).map_err(malformed)
}
