//! What the owner of a key says about it later: another expiry, a revocation, one more
//! subkey; and another passphrase, which says nothing.
//!
//! Every statement is a new signature by the primary key, so its secret part must be there.
//! Earlier statements stay: what the key signed in their time is judged by them. Of two
//! statements of one second nobody can tell which is the later one, so the next one has to wait:
//! [`SecretKey::settled`].

use std::time::{Duration, SystemTime};

use openpgp::Cert;
use openpgp::cert::amalgamation::ValidateAmalgamation;
use openpgp::cert::amalgamation::key::PrimaryKey as _;
use openpgp::crypto::KeyPair;
use openpgp::packet::key::{Key4, PublicParts, SecretParts, SubordinateRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::signature::subpacket::SubpacketTag;
use openpgp::packet::{Key, Packet, Signature};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::Serialize;
use openpgp::types::{Curve, KeyFlags, ReasonForRevocation, SignatureType};
use sequoia_openpgp as openpgp;

use crate::armor;
use crate::certificate::KeyError;
use crate::error::moment;
use crate::fingerprint::Fingerprint;
use crate::generate::Algorithm;
use crate::passphrase::{Passphrase, UnlockError, unlock};
use crate::policy;
use crate::secret::SecretKey;

/// Why a key or subkey is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationReason {
    /// Somebody else may have it: nothing it ever signed counts any more.
    Compromised,
    /// Another key takes its place: what it signed before stays good.
    Superseded,
    /// It is no longer used: what it signed before stays good.
    Retired,
    /// No reason is given: nothing it ever signed counts any more.
    Unspecified,
}

impl RevocationReason {
    /// Whether what was signed before the revocation is refused as well.
    pub fn is_hard(self) -> bool {
        matches!(self, Self::Compromised | Self::Unspecified)
    }

    fn openpgp(self) -> ReasonForRevocation {
        match self {
            Self::Compromised => ReasonForRevocation::KeyCompromised,
            Self::Superseded => ReasonForRevocation::KeySuperseded,
            Self::Retired => ReasonForRevocation::KeyRetired,
            Self::Unspecified => ReasonForRevocation::Unspecified,
        }
    }
}

/// Why a key stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// The primary key is offline.
    #[error(
        "the secret part of primary key {0} is not here, and only it can say this: do it where that lies"
    )]
    PrimaryAbsent(Fingerprint),
    /// There is no such subkey.
    #[error("key {key} has no subkey {subkey}")]
    NoSubkey {
        /// The primary key.
        key: Fingerprint,
        /// What was asked for.
        subkey: Fingerprint,
    },
    /// A part is locked, or locked otherwise.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// OpenPGP counts seconds in 32 bits.
    #[error("a key cannot expire on {}: OpenPGP counts to 2106", moment(*.0))]
    ExpiresTooLate(SystemTime),
    /// It would be dead at once.
    #[error("a key cannot be made to expire on {}, which is past: revoke it", moment(*.0))]
    ExpiresInPast(SystemTime),
    /// It was revoked.
    #[error("{key} is revoked ({reason}), and that cannot be taken back: make a new one")]
    Revoked {
        /// The key or subkey.
        key: Fingerprint,
        /// The owner's reason.
        reason: String,
    },
    /// There is no statement that could be renewed.
    #[error("{key} cannot be used, so there is nothing to renew: {reason}")]
    Unusable {
        /// The key or subkey.
        key: Fingerprint,
        /// What the OpenPGP library says.
        reason: String,
    },
    /// A newer statement than now exists.
    #[error("key {key} has a signature of {}, so this clock is behind: it must be later than that", moment(*.newest))]
    ClockBehind {
        /// The primary key.
        key: Fingerprint,
        /// When its newest statement was made.
        newest: SystemTime,
    },
    /// The message cannot be written.
    #[error("the message of a revocation is at most 200 bytes of text without control characters")]
    Message,
    /// The key that came of it cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The OpenPGP library failed.
    #[error("cannot sign: {0}")]
    Library(String),
    /// What was signed does not have its effect.
    #[error("the signature just made has no effect: this machine, or the key file, is damaged")]
    SelfCheck,
}

fn library(error: impl std::fmt::Display) -> AmendError {
    AmendError::Library(format!("{error:#}"))
}

impl SecretKey {
    /// From when on a new statement is the latest one: a second after the newest there is.
    pub fn settled(&self) -> SystemTime {
        let newest = self.newest();
        newest.map_or(SystemTime::UNIX_EPOCH, |newest| newest + Duration::from_secs(1))
    }

    fn newest(&self) -> Option<SystemTime> {
        let cert = self.cert();
        let primary = cert.primary_key();
        let keys = cert.keys().subkeys().flat_map(|key| {
            key.self_signatures().chain(key.self_revocations()).cloned().collect::<Vec<_>>()
        });
        let user_ids =
            cert.userids().flat_map(|one| one.self_signatures().cloned().collect::<Vec<_>>());
        let own = primary.self_signatures().chain(primary.self_revocations()).cloned();
        own.chain(keys).chain(user_ids).filter_map(|one| one.signature_creation_time()).max()
    }

    /// Lets these subkeys sign until `expires`, or the primary key where none is named; for ever
    /// where that is `None`.
    pub fn extend(
        &self,
        subkeys: &[Fingerprint],
        expires: Option<SystemTime>,
        passphrase: Option<&Passphrase>,
        now: SystemTime,
    ) -> Result<Self, AmendError> {
        check_expiry(expires, now)?;
        self.check_clock(now)?;
        let parts: Vec<Option<&Fingerprint>> = match subkeys {
            [] => vec![None],
            subkeys => subkeys.iter().map(Some).collect(),
        };
        for part in &parts {
            let part = self.part(*part, now)?;
            if let Some(reason) = part.revoked {
                return Err(AmendError::Revoked { key: part.fingerprint, reason });
            }
            if let Some(reason) = part.unusable {
                return Err(AmendError::Unusable { key: part.fingerprint, reason });
            }
        }
        let mut primary = self.primary(passphrase)?;
        let mut signatures = Vec::new();
        for part in &parts {
            signatures.extend(match part {
                None => self.renewed(&mut primary, expires, now).map_err(library)?,
                Some(subkey) => {
                    vec![self.rebound(&mut primary, subkey, expires, now).map_err(library)?]
                }
            });
        }
        let amended = self.with(signatures)?;
        for part in parts {
            if amended.part(part, now)?.expires != expires.map(whole_seconds) {
                return Err(AmendError::SelfCheck);
            }
        }
        Ok(amended)
    }

    /// New signatures on the primary key and each user ID, as those of today but for the expiry.
    fn renewed(
        &self,
        primary: &mut KeyPair,
        expires: Option<SystemTime>,
        now: SystemTime,
    ) -> openpgp::Result<Vec<Signature>> {
        let rules = StandardPolicy::at(now);
        let valid = self.cert().with_policy(&rules, now)?;
        let key = valid.primary_key();
        let period = period(key.key(), expires);
        let mut signatures = Vec::new();
        if let Ok(direct) = valid.direct_key_signature() {
            let builder = again(direct, now)?.set_key_validity_period(period)?;
            signatures.push(builder.sign_direct_key(primary, key.key())?);
        }
        // Which one is the primary user ID goes by age where none is marked, so it is marked now.
        let first = valid.primary_userid().map(|one| one.userid().clone()).ok();
        for one in valid.userids().revoked(false) {
            let builder = again(one.binding_signature(), now)?
                .set_key_validity_period(period)?
                .set_primary_userid(first.as_ref() == Some(one.userid()))?;
            signatures.push(builder.sign_userid_binding(primary, key.key(), one.userid())?);
        }
        Ok(signatures)
    }

    /// A new signature that binds a subkey. What the subkey itself has signed is taken over, so
    /// that its secret is not needed: it may lie on another machine.
    fn rebound(
        &self,
        primary: &mut KeyPair,
        subkey: &Fingerprint,
        expires: Option<SystemTime>,
        now: SystemTime,
    ) -> openpgp::Result<Signature> {
        let rules = StandardPolicy::at(now);
        let (key, binding) = {
            let subkeys = self.cert().keys().subkeys();
            let mut found = subkeys.filter(|key| is(key.key(), subkey));
            let key =
                found.next().ok_or_else(|| openpgp::Error::InvalidArgument(subkey.to_string()))?;
            let valid = key.with_policy(&rules, now)?;
            (valid.key().clone(), valid.binding_signature().clone())
        };
        let mut builder = again(&binding, now)?.set_key_validity_period(period(&key, expires))?;
        let own = binding.embedded_signatures().next().cloned();
        if let Some(own) = own {
            builder = builder.set_embedded_signature(own)?;
        }
        builder.sign_subkey_binding(primary, self.primary_public(), &key)
    }

    /// Revokes the primary key, and with it all of them, or `subkey`. A key that was revoked as
    /// gravely before is given back as it is.
    pub fn revoke(
        &self,
        subkey: Option<&Fingerprint>,
        reason: RevocationReason,
        message: &str,
        passphrase: Option<&Passphrase>,
        now: SystemTime,
    ) -> Result<Self, AmendError> {
        self.check_clock(now)?;
        self.part(subkey, now)?;
        if self.already(subkey, reason, now) {
            return Ok(self.clone());
        }
        let signature = self.revocation(subkey, reason, message, passphrase, now)?;
        let amended = self.with(vec![signature])?;
        let revoked = amended.part(subkey, now)?.revoked.is_some();
        if revoked { Ok(amended) } else { Err(AmendError::SelfCheck) }
    }

    /// A revocation of the whole key that is not applied, armored as gpg does it: whoever
    /// imports it revokes the key.
    pub fn revocation_certificate(
        &self,
        reason: RevocationReason,
        message: &str,
        passphrase: Option<&Passphrase>,
        now: SystemTime,
    ) -> Result<Vec<u8>, AmendError> {
        let signature = self.revocation(None, reason, message, passphrase, now)?;
        let mut binary = Vec::new();
        Packet::from(signature).serialize(&mut binary).map_err(library)?;
        Ok(armor::encode("PUBLIC KEY BLOCK", &binary))
    }

    fn revocation(
        &self,
        subkey: Option<&Fingerprint>,
        reason: RevocationReason,
        message: &str,
        passphrase: Option<&Passphrase>,
        now: SystemTime,
    ) -> Result<Signature, AmendError> {
        if message.len() > 200 || message.chars().any(char::is_control) {
            return Err(AmendError::Message);
        }
        let mut primary = self.primary(passphrase)?;
        let kind = match subkey {
            None => SignatureType::KeyRevocation,
            Some(_) => SignatureType::SubkeyRevocation,
        };
        let builder = SignatureBuilder::new(kind)
            .set_hash_algo(policy::SIGNATURE_HASH)
            .set_signature_creation_time(now)
            .and_then(|one| one.set_reason_for_revocation(reason.openpgp(), message.as_bytes()))
            .map_err(library)?;
        let public = self.primary_public();
        let signature = match subkey {
            None => builder.sign_direct_key(&mut primary, public),
            Some(subkey) => {
                let mut subkeys = self.cert().keys().subkeys();
                let Some(key) = subkeys.find(|key| is(key.key(), subkey)) else {
                    return Err(AmendError::NoSubkey { key: *self.fingerprint(), subkey: *subkey });
                };
                builder.sign_subkey_binding(&mut primary, public, key.key())
            }
        };
        signature.map_err(library)
    }

    /// Whether a revocation for this reason would change nothing.
    fn already(
        &self,
        subkey: Option<&Fingerprint>,
        reason: RevocationReason,
        now: SystemTime,
    ) -> bool {
        let own: Vec<&Signature> = match subkey {
            None => self.cert().primary_key().self_revocations().collect(),
            Some(subkey) => {
                let mut subkeys = self.cert().keys().subkeys();
                let key = subkeys.find(|key| is(key.key(), subkey));
                key.map(|key| key.self_revocations().collect()).unwrap_or_default()
            }
        };
        let hard = own.iter().any(|one| policy::is_hard_revocation(one));
        let revoked = self.part(subkey, now).is_ok_and(|part| part.revoked.is_some());
        hard || (!own.is_empty() && revoked && !reason.is_hard())
    }

    /// Adds a subkey that signs. It is locked with the passphrase the primary key is locked with.
    pub fn add_signing_subkey(
        &self,
        algorithm: Algorithm,
        expires: Option<SystemTime>,
        passphrase: Option<&Passphrase>,
        now: SystemTime,
    ) -> Result<(Self, Fingerprint), AmendError> {
        check_expiry(expires, now)?;
        self.check_clock(now)?;
        let part = self.part(None, now)?;
        if let Some(reason) = part.revoked {
            return Err(AmendError::Revoked { key: part.fingerprint, reason });
        }
        let locked = part.secret == crate::parts::SecretPart::Locked;
        let mut primary = self.primary(passphrase)?;
        let (mut subkey, signature) =
            self.bound_subkey(&mut primary, algorithm, expires, now).map_err(library)?;
        let fingerprint =
            Fingerprint::from_openpgp(&subkey.fingerprint()).ok_or(AmendError::SelfCheck)?;
        if let Some(passphrase) = passphrase.filter(|_| locked) {
            subkey = subkey.encrypt_secret(passphrase.password()).map_err(library)?;
        }
        let packets = [Packet::SecretSubkey(subkey), Packet::from(signature)];
        let (cert, _) = self.cert().clone().insert_packets(packets).map_err(library)?;
        let amended = Self::from_cert(cert)?;
        let may_sign = amended.part(Some(&fingerprint), now)?.uses.sign;
        if may_sign { Ok((amended, fingerprint)) } else { Err(AmendError::SelfCheck) }
    }

    /// A new subkey, and the signature that binds it. Within that is one by the subkey itself,
    /// which says that it belongs to this key: else anybody could take it for theirs.
    fn bound_subkey(
        &self,
        primary: &mut KeyPair,
        algorithm: Algorithm,
        expires: Option<SystemTime>,
        now: SystemTime,
    ) -> openpgp::Result<(Key<SecretParts, SubordinateRole>, Signature)> {
        let mut subkey: Key4<SecretParts, SubordinateRole> = match algorithm {
            Algorithm::Ed25519 => Key4::generate_ecc(true, Curve::Ed25519)?,
            Algorithm::Rsa4096 => Key4::generate_rsa(4096)?,
        };
        subkey.set_creation_time(now)?;
        let subkey = Key::from(subkey);
        let own = SignatureBuilder::new(SignatureType::PrimaryKeyBinding)
            .set_hash_algo(policy::SIGNATURE_HASH)
            .set_signature_creation_time(now)?
            .sign_primary_key_binding(
                &mut subkey.clone().into_keypair()?,
                self.primary_public(),
                &subkey,
            )?;
        let signature = SignatureBuilder::new(SignatureType::SubkeyBinding)
            .set_hash_algo(policy::SIGNATURE_HASH)
            .set_signature_creation_time(now)?
            .set_key_flags(KeyFlags::empty().set_signing())?
            .set_key_validity_period(period(
                subkey.parts_as_public().role_as_unspecified(),
                expires,
            ))?
            .set_embedded_signature(own)?
            .sign_subkey_binding(primary, self.primary_public(), &subkey)?;
        Ok((subkey, signature))
    }

    /// Locks every secret part with `new`, or leaves it open where that is `None`.
    pub fn relock(
        &self,
        old: Option<&Passphrase>,
        new: Option<&Passphrase>,
    ) -> Result<Self, AmendError> {
        let mut packets: Vec<Packet> = Vec::new();
        for part in self.cert().keys().secret() {
            let fingerprint = Fingerprint::from_openpgp(&part.key().fingerprint());
            let by = fingerprint.unwrap_or(*self.fingerprint());
            let mut key = unlock(part.key().clone(), by, old)?;
            if let Some(new) = new {
                key = key.encrypt_secret(new.password()).map_err(library)?;
            }
            packets.push(match part.primary() {
                true => Packet::SecretKey(key.role_into_primary()),
                false => Packet::SecretSubkey(key.role_into_subordinate()),
            });
        }
        let (cert, _) = self.cert().clone().insert_packets(packets).map_err(library)?;
        Ok(Self::from_cert(cert)?)
    }

    fn with(&self, signatures: Vec<Signature>) -> Result<Self, AmendError> {
        let (cert, _) = self.cert().clone().insert_packets(signatures).map_err(library)?;
        Ok(Self::from_cert(cert)?)
    }

    fn part(
        &self,
        subkey: Option<&Fingerprint>,
        now: SystemTime,
    ) -> Result<crate::parts::KeyPart, AmendError> {
        let wanted = subkey.unwrap_or(self.fingerprint());
        let found = self
            .parts(now)
            .into_iter()
            .find(|part| part.fingerprint == *wanted && part.primary == subkey.is_none());
        found.ok_or(AmendError::NoSubkey { key: *self.fingerprint(), subkey: *wanted })
    }

    /// The primary key, open.
    fn primary(&self, passphrase: Option<&Passphrase>) -> Result<KeyPair, AmendError> {
        let key = self.cert().primary_key().key().clone();
        let absent = |_| AmendError::PrimaryAbsent(*self.fingerprint());
        let key = key.role_into_unspecified().parts_into_secret().map_err(absent)?;
        unlock(key, *self.fingerprint(), passphrase)?.into_keypair().map_err(library)
    }

    fn primary_public(&self) -> &Key<PublicParts, openpgp::packet::key::PrimaryRole> {
        primary_of(self.cert())
    }

    fn check_clock(&self, now: SystemTime) -> Result<(), AmendError> {
        match self.newest() {
            Some(newest) if now < newest + Duration::from_secs(1) => {
                Err(AmendError::ClockBehind { key: *self.fingerprint(), newest })
            }
            _ => Ok(()),
        }
    }
}

fn primary_of(cert: &Cert) -> &Key<PublicParts, openpgp::packet::key::PrimaryRole> {
    cert.primary_key().component()
}

fn is<R: openpgp::packet::key::KeyRole>(key: &Key<PublicParts, R>, wanted: &Fingerprint) -> bool {
    Fingerprint::from_openpgp(&key.fingerprint()).as_ref() == Some(wanted)
}

/// A signature to be made anew, without what nobody signed.
fn again(old: &Signature, now: SystemTime) -> openpgp::Result<SignatureBuilder> {
    let mut builder = SignatureBuilder::from(old.clone()).set_hash_algo(policy::SIGNATURE_HASH);
    builder.unhashed_area_mut().clear();
    // Of the statement it is made from, not of this one.
    builder.hashed_area_mut().remove_all(SubpacketTag::SignatureExpirationTime);
    builder.set_signature_creation_time(now)
}

fn period<R: openpgp::packet::key::KeyRole>(
    key: &Key<PublicParts, R>,
    expires: Option<SystemTime>,
) -> Option<Duration> {
    let expires = whole_seconds(expires?);
    Some(expires.duration_since(key.creation_time()).unwrap_or_default())
}

/// OpenPGP counts whole seconds.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

fn check_expiry(expires: Option<SystemTime>, now: SystemTime) -> Result<(), AmendError> {
    let Some(expires) = expires else { return Ok(()) };
    if whole_seconds(expires) <= now {
        return Err(AmendError::ExpiresInPast(expires));
    }
    let seconds = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(seconds).map(drop).map_err(|_| AmendError::ExpiresTooLate(expires))
}
