//! What an OpenPGP key and signature must be like to count. Every such decision stands here.
//!
//! A signature is judged at the time it was made: what a key signed before it expired, or
//! before it was retired, stays good. A key that was revoked as compromised, or with no
//! reason given, is good for nothing at any time, since whoever has it can write any
//! date into a signature.

use std::time::{Duration, SystemTime};

use openpgp::Cert;
use openpgp::cert::amalgamation::key::{
    ErasedKeyAmalgamation, PrimaryKey as _, ValidErasedKeyAmalgamation,
};
use openpgp::cert::amalgamation::{ValidAmalgamation, ValidateAmalgamation};
use openpgp::packet::Signature;
use openpgp::packet::key::PublicParts;
use openpgp::policy::{HashAlgoSecurity, Policy as _, StandardPolicy};
use openpgp::types::{
    HashAlgorithm, KeyFlags, ReasonForRevocation, RevocationStatus, RevocationType, SignatureType,
};
use sequoia_openpgp as openpgp;

use crate::detached::SignatureFormatError;
use crate::error::{SignedBy, VerifyError, moment};
use crate::fingerprint::Fingerprint;

/// What images and keys are signed with here.
pub(crate) const SIGNATURE_HASH: HashAlgorithm = HashAlgorithm::SHA512;

/// How far apart the clocks of honest people may be: ten minutes.
pub const CLOCK_SKEW: Duration = Duration::from_secs(600);

/// How long before a key expires a verification begins to say so: thirty days.
pub const EXPIRES_SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// When a key must have been alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// When it made the signature: for clients, which fetch what was published long ago.
    AtSigning,
    /// When it made the signature, and now: for a registry that takes a push, since an old
    /// key could backdate what it signs today.
    Now,
}

/// By which clock a signature is judged, and how strictly.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The time that is now.
    pub now: SystemTime,
    /// How far the signer's clock may be ahead of this machine's, and of the clock that dated
    /// the key.
    pub skew: Duration,
    /// When the key must have been alive.
    pub liveness: Liveness,
}

impl Policy {
    /// A policy for this time; clocks may differ by [`CLOCK_SKEW`].
    pub fn new(now: SystemTime, liveness: Liveness) -> Self {
        Self { now, skew: CLOCK_SKEW, liveness }
    }
}

type Key<'a> = ErasedKeyAmalgamation<'a, PublicParts>;
type ValidKey<'a> = ValidErasedKeyAmalgamation<'a, PublicParts>;

/// Decides everything about a signature and the key it names but whether the bytes match.
/// Returns what the user should know though the signature counts.
pub(crate) fn judge(
    signature: &Signature,
    key: &Key<'_>,
    by: &SignedBy,
    policy: &Policy,
) -> Result<Vec<String>, VerifyError> {
    let rules = StandardPolicy::at(policy.now);
    let created = signature_time(signature, by, policy, &rules)?;
    let key_created = key.key().creation_time();
    // The clock that dated the key may have been ahead of the one that dated the signature.
    if created + policy.skew < key_created {
        return Err(VerifyError::SignatureBeforeKey { by: by.clone(), created, key_created });
    }
    let created = created.max(key_created);
    // The signer's clock may be ahead of this one, and its key just made.
    let policy = &Policy { now: policy.now.max(created), ..policy.clone() };
    let mut warnings = Vec::new();
    revocations(key, by, created, policy, &rules, &mut warnings)?;
    let then = valid_key(key, created, policy.now, &rules)
        .map_err(|reason| VerifyError::KeyUnusable { by: by.clone(), reason })?;
    check_alive(&then, by, created)?;
    check_may_sign(&then, by)?;
    match (key.clone().with_policy(&rules, policy.now), policy.liveness) {
        (Ok(now), Liveness::Now) => {
            check_alive(&now, by, policy.now)?;
            check_may_sign(&now, by)?;
            warnings.extend(expires_soon(&now, by, policy.now));
        }
        (Ok(now), Liveness::AtSigning) => match expiry(&now) {
            Some(expired) if expired <= policy.now => warnings.push(format!(
                "{by} expired on {}, after this signature was made",
                moment(expired)
            )),
            _ => warnings.extend(expires_soon(&now, by, policy.now)),
        },
        (Err(error), Liveness::Now) => {
            return Err(VerifyError::KeyUnusable { by: by.clone(), reason: format!("{error:#}") });
        }
        // A binding that ended after the signature was made.
        (Err(_), Liveness::AtSigning) => {}
    }
    Ok(warnings)
}

/// The signature's own properties: its algorithm, its critical parts, its time.
fn signature_time(
    signature: &Signature,
    by: &SignedBy,
    policy: &Policy,
    rules: &StandardPolicy<'_>,
) -> Result<SystemTime, VerifyError> {
    let hash = signature.hash_algo();
    // Whoever can make two files with one SHA-1 gets the harmless one signed.
    let cutoff = rules.hash_cutoff(hash, HashAlgoSecurity::CollisionResistance);
    if cutoff.is_some_and(|cutoff| cutoff <= policy.now) {
        return Err(VerifyError::WeakHash { by: by.clone(), algorithm: hash.to_string() });
    }
    if let Err(error) = rules.signature(signature, HashAlgoSecurity::CollisionResistance) {
        let reason = format!("{error:#}");
        return Err(VerifyError::SignatureUnsupported { by: by.clone(), reason });
    }
    let created = signature.signature_creation_time().ok_or(SignatureFormatError::NoTime)?;
    if created > policy.now + policy.skew {
        let now = policy.now;
        return Err(VerifyError::SignatureInFuture { by: by.clone(), created, now });
    }
    match signature.signature_expiration_time() {
        Some(expired) if expired <= policy.now => {
            Err(VerifyError::SignatureExpired { by: by.clone(), expired })
        }
        _ => Ok(created),
    }
}

/// A key revoked for good never counts; one that was retired counts for what it signed before.
fn revocations(
    key: &Key<'_>,
    by: &SignedBy,
    created: SystemTime,
    policy: &Policy,
    rules: &StandardPolicy<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), VerifyError> {
    let revocation = |at: SystemTime| {
        let own = key.key().fingerprint();
        let mut subkeys = key.cert().keys().subkeys();
        revocation_of(key.cert().revocation_status(rules, at)).or_else(|| {
            let subkey = subkeys.find(|subkey| subkey.key().fingerprint() == own)?;
            revocation_of(subkey.revocation_status(rules, at))
        })
    };
    let refused = |found: Revocation| VerifyError::KeyRevoked {
        by: by.clone(),
        revoked: found.time,
        reason: found.reason,
        at: created,
    };
    if let Some(found) = revocation(created) {
        return Err(refused(found));
    }
    match (revocation(policy.now), policy.liveness) {
        (Some(found), Liveness::Now) => Err(refused(found)),
        (Some(found), Liveness::AtSigning) => {
            let date = found.time.map_or_else(String::new, |time| format!(" on {}", moment(time)));
            warnings.push(format!(
                "{by} was retired{date}, after this signature was made ({})",
                found.reason
            ));
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

struct Revocation {
    time: Option<SystemTime>,
    reason: String,
}

/// A revocation by the key itself. One by somebody else does not count: he would have to
/// be named by the key, and be known and trusted here.
fn revocation_of(status: RevocationStatus<'_>) -> Option<Revocation> {
    let RevocationStatus::Revoked(signatures) = status else { return None };
    // The gravest one is named.
    let one = signatures.iter().find(|s| is_hard_revocation(s)).or(signatures.first())?;
    let (reason, text) =
        one.reason_for_revocation().unwrap_or((ReasonForRevocation::Unspecified, &[]));
    let text = crate::certificate::printable(text);
    let reason = if text.is_empty() { reason.to_string() } else { format!("{reason}: {text}") };
    Some(Revocation { time: one.signature_creation_time(), reason })
}

/// Whether a revocation takes away what was signed before it, too: all do but those that say
/// that the key was retired or superseded.
pub(crate) fn is_hard_revocation(signature: &Signature) -> bool {
    !signature
        .reason_for_revocation()
        .is_some_and(|(reason, _)| reason.revocation_type() == RevocationType::Soft)
}

/// The key as its owner described it at `created`.
///
/// Tools that change a key's expiry often replace the old description, so a key can be
/// older than all that is left. Then, as in gpg, the description of today stands for the
/// past as well.
fn valid_key<'a>(
    key: &Key<'a>,
    created: SystemTime,
    now: SystemTime,
    rules: &'a StandardPolicy<'_>,
) -> Result<ValidKey<'a>, String> {
    match key.clone().with_policy(rules, created) {
        Ok(valid) => Ok(valid),
        Err(then) => key.clone().with_policy(rules, now).map_err(|_| format!("{then:#}")),
    }
}

/// When the key, or the primary key it hangs on, expires.
fn expiry(key: &ValidKey<'_>) -> Option<SystemTime> {
    let primary = key.valid_cert().primary_key().key_expiration_time();
    match (primary, key.key_expiration_time()) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn check_alive(key: &ValidKey<'_>, by: &SignedBy, at: SystemTime) -> Result<(), VerifyError> {
    match expiry(key) {
        Some(expired) if expired <= at => {
            Err(VerifyError::KeyExpired { by: by.clone(), expired, at })
        }
        _ => Ok(()),
    }
}

fn check_may_sign(key: &ValidKey<'_>, by: &SignedBy) -> Result<(), VerifyError> {
    if key.for_signing() { Ok(()) } else { Err(VerifyError::KeyNotForSigning { by: by.clone() }) }
}

fn expires_soon(key: &ValidKey<'_>, by: &SignedBy, now: SystemTime) -> Option<String> {
    let expires = expiry(key).filter(|expires| *expires <= now + EXPIRES_SOON)?;
    Some(format!("{by} expires on {}", moment(expires)))
}

/// When a certificate expires, as its owner says it at `now`.
pub(crate) fn expires(cert: &Cert, now: SystemTime) -> Option<SystemTime> {
    let rules = StandardPolicy::at(now);
    cert.with_policy(&rules, now).ok()?.primary_key().key_expiration_time()
}

/// Whether a certificate's owner has revoked it by `now`.
pub(crate) fn revoked(cert: &Cert, now: SystemTime) -> bool {
    matches!(cert.revocation_status(&StandardPolicy::at(now), now), RevocationStatus::Revoked(_))
}

/// Whether any key of a certificate may sign at `now`.
pub(crate) fn can_sign(cert: &Cert, now: SystemTime) -> bool {
    cert.keys().any(|key| SignedBy::of(&key).is_some_and(|by| may_sign_now(&key, &by, now).is_ok()))
}

/// What a certificate's owner says of one of its keys.
pub(crate) struct Standing {
    /// When it expires, by its own expiry.
    pub(crate) expires: Option<SystemTime>,
    /// When it ends, by its own expiry or its primary key's.
    pub(crate) ends: Option<SystemTime>,
    /// Why it was revoked, or its primary key.
    pub(crate) revoked: Option<String>,
    pub(crate) flags: Option<KeyFlags>,
    /// Why nothing says that it may be used.
    pub(crate) unusable: Option<String>,
}

/// How a key stands at `now`.
pub(crate) fn standing(key: &Key<'_>, now: SystemTime) -> Standing {
    let rules = StandardPolicy::at(now);
    let revoked = revocation_of(key.cert().revocation_status(&rules, now)).or_else(|| {
        let own = key.key().fingerprint();
        let mut subkeys = key.cert().keys().subkeys();
        let subkey = subkeys.find(|subkey| subkey.key().fingerprint() == own)?;
        revocation_of(subkey.revocation_status(&rules, now))
    });
    let revoked = revoked.map(|found| found.reason);
    match key.clone().with_policy(&rules, now) {
        Ok(valid) => Standing {
            expires: own_expiry(&valid),
            ends: expiry(&valid),
            revoked,
            flags: valid.key_flags(),
            unusable: None,
        },
        Err(error) => Standing {
            expires: None,
            ends: None,
            revoked,
            flags: None,
            unusable: Some(format!("{error:#}")),
        },
    }
}

/// When a key expires by what binds it alone. The library reads the primary key's lifetime into a
/// subkey that has none, which changes nothing about when that ends, but is nobody's statement.
fn own_expiry(key: &ValidKey<'_>) -> Option<SystemTime> {
    if key.primary() {
        return key.key_expiration_time();
    }
    let period = key.binding_signature().key_validity_period()?;
    key.key().creation_time().checked_add(period)
}

/// Whether a key that ends then should be renewed.
pub(crate) fn is_soon(end: SystemTime, now: SystemTime) -> bool {
    end > now && end <= now + EXPIRES_SOON
}

/// Whether a key may sign at `now`: it belongs to its certificate, is alive, not revoked,
/// and meant for signing.
pub(crate) fn may_sign_now(
    key: &Key<'_>,
    by: &SignedBy,
    now: SystemTime,
) -> Result<(), VerifyError> {
    let rules = StandardPolicy::at(now);
    let policy = Policy::new(now, Liveness::Now);
    revocations(key, by, now, &policy, &rules, &mut Vec::new())?;
    let valid = key.clone().with_policy(&rules, now).map_err(|error| {
        let reason = format!("{error:#}");
        VerifyError::KeyUnusable { by: by.clone(), reason }
    })?;
    check_alive(&valid, by, now)?;
    check_may_sign(&valid, by)
}

/// From when on nothing in a certificate can sign any more, as its owner says it at `now`.
/// `None` where that is never, or where nothing can sign already.
pub(crate) fn signs_until(cert: &Cert, now: SystemTime) -> Option<SystemTime> {
    let rules = StandardPolicy::at(now);
    let mut last = None;
    for key in cert.keys() {
        let Some(by) = SignedBy::of(&key) else { continue };
        if may_sign_now(&key, &by, now).is_ok() {
            // One that never expires is as good as all.
            let until = expiry(&key.with_policy(&rules, now).ok()?)?;
            last = last.max(Some(until));
        }
    }
    last
}

/// The subkeys of a certificate that their owner has revoked by `now`.
pub(crate) fn revoked_subkeys(cert: &Cert, now: SystemTime) -> Vec<Fingerprint> {
    let rules = StandardPolicy::at(now);
    let subkeys = cert.keys().subkeys();
    let revoked = subkeys
        .filter(|ka| matches!(ka.revocation_status(&rules, now), RevocationStatus::Revoked(_)));
    revoked.filter_map(|ka| Fingerprint::from_openpgp(&ka.key().fingerprint())).collect()
}

/// Whether the owner of `certifier` vouches for the key `new`: has signed one of its user IDs
/// with a primary key that is alive, not revoked and meant for it, and has not taken that back.
///
/// Attacks this stops: a domain that publishes a key of its own; one that publishes a
/// certification made with a key that was stolen and revoked, or that has expired since; a
/// certification that its maker has revoked; one that its maker marked as not meant for others.
pub(crate) fn vouches_for(certifier: &Cert, new: &Cert, now: SystemTime) -> bool {
    let rules = StandardPolicy::at(now);
    if revoked(certifier, now) || revoked(new, now) {
        return false;
    }
    let key = certifier.primary_key().key();
    let may_certify = |at: SystemTime| {
        certifier.with_policy(&rules, at).is_ok_and(|valid| {
            let primary = valid.primary_key();
            primary.for_certification()
                && primary.key_expiration_time().is_none_or(|expired| at < expired)
        })
    };
    if !may_certify(now) {
        return false;
    }
    new.userids().any(|ua| {
        // The user ID must be the new key's own word.
        let own = ua.clone().with_policy(&rules, now).is_ok();
        if !own || matches!(ua.revocation_status(&rules, now), RevocationStatus::Revoked(_)) {
            return false;
        }
        let made = ua
            .valid_certifications_by_key(&rules, now, key)
            .filter(|made| certifies(made))
            .filter_map(|signature| signature.signature_creation_time())
            .filter(|made| *made <= now && may_certify(*made))
            .max();
        let taken_back = ua
            .valid_third_party_revocations_by_key(&rules, now, key)
            .filter_map(|signature| signature.signature_creation_time())
            .max();
        made.is_some_and(|made| taken_back.is_none_or(|taken_back| taken_back < made))
    })
}

/// Whether a certification says that its maker has looked. A persona certification says that
/// nothing was looked at (RFC 9580, 5.2.1.5).
fn certifies(made: &Signature) -> bool {
    use SignatureType::{CasualCertification, GenericCertification, PositiveCertification};
    [GenericCertification, CasualCertification, PositiveCertification].contains(&made.typ())
        && made.exportable_certification() != Some(false)
}
