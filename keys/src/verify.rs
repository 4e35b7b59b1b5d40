//! The one verification.
//!
//! A detached signature says all about itself before a byte of data was seen: who made
//! it, when, and how. So everything but the match is decided first, and an image whose
//! signature could never count is not even read.

use std::io::{self, Read};
use std::time::SystemTime;

use aci::{FileDigest, Limits, Name};
use openpgp::crypto::hash::{Context, Hash};
use openpgp::packet::key::{PublicParts, UnspecifiedRole};
use openpgp::packet::{Key, Signature};
use openpgp::types::HashAlgorithm;
use sequoia_openpgp as openpgp;

use crate::detached::{self, SignatureFormatError};
use crate::error::{SignedBy, TooFewSigners, VerifyError};
use crate::fingerprint::Fingerprint;
use crate::keyring::{Entry, Keyring, Rules, Scope};
use crate::policy::{self, Policy};

/// A signature that matches the bytes, by a key in the keyring that could sign. Only the
/// verification builds it.
#[derive(Debug, Clone)]
pub struct GoodSignature {
    by: SignedBy,
    created: SystemTime,
    warnings: Vec<String>,
    rules: Rules,
}

impl GoodSignature {
    /// The primary key of the signer.
    pub fn signer(&self) -> &Fingerprint {
        &self.by.signer
    }

    /// The key that made the signature: the primary key or a subkey.
    pub fn signing_key(&self) -> &Fingerprint {
        &self.by.key
    }

    /// The signer's first user ID, made safe to print.
    pub fn user_id(&self) -> Option<&str> {
        self.by.user_id.as_deref()
    }

    /// When it was made, as the signature says.
    pub fn created(&self) -> SystemTime {
        self.created
    }

    /// What the user should know though the signature is good: a key that has expired
    /// since, was retired since, or will expire soon.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the signer is trusted for images of this name.
    pub fn speaks_for(&self, name: &Name) -> bool {
        self.rules.speaks_for(name)
    }

    /// What the signer is trusted for.
    pub fn trusted_for(&self) -> Vec<Scope> {
        self.rules.scopes()
    }

    pub(crate) fn by(&self) -> &SignedBy {
        &self.by
    }

    pub(crate) fn wrong_prefix(&self, name: &Name, keyring: &Keyring) -> VerifyError {
        wrong_prefix(&self.by, &self.rules, name, keyring)
    }
}

/// Reads `data` to its end and checks that one of the signatures of the file `signature`
/// is over these bytes, by a key of `keyring`, under `policy`.
///
/// What the signer may sign, and how many must have signed, are questions for the name inside
/// the image: ask [`GoodSignature::speaks_for`], or use [`receive`](crate::receive()), which
/// answers both.
pub fn verify(
    mut data: impl Read,
    signature: &[u8],
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<GoodSignature, VerifyError> {
    let mut verification = Verification::begin(signature, None, keyring, policy, limits)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match data.read(&mut buffer) {
            Ok(0) => return verification.finish().map(|good| good.first),
            Ok(length) => verification.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(VerifyError::Read(error)),
        }
    }
}

/// Checks that `signature` is over these bytes by keys trusted for `name`, and by as many as are
/// demanded of it: for what is said about a name without being an image.
pub fn verify_for(
    name: &Name,
    data: &[u8],
    signature: &[u8],
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<GoodSignature, VerifyError> {
    let mut verification = Verification::begin(signature, Some(name), keyring, policy, limits)?;
    verification.update(data);
    Ok(verification.finish()?.speaking_for(name, keyring)?.0)
}

impl Keyring {
    /// Decides what can be decided before the image is read: the signature file is well
    /// formed, its signer is known, trusted for `name` where one is given, and could sign
    /// at that time; and as many signers as are demanded of that name are. Whether it matches, only [`verify()`] and [`receive`](crate::receive()) tell.
    pub fn check_signer(
        &self,
        signature: &[u8],
        name: Option<&Name>,
        policy: &Policy,
        limits: &Limits,
    ) -> Result<(), VerifyError> {
        Verification::begin(signature, name, self, policy, limits).map(drop)
    }
}

/// Signatures that will count if the bytes to come match.
pub(crate) struct Verification {
    candidates: Vec<Candidate>,
    contexts: Vec<(HashAlgorithm, Context)>,
    /// Why the others do not count; the most telling one.
    refused: Option<VerifyError>,
}

struct Candidate {
    signature: Signature,
    key: Key<PublicParts, UnspecifiedRole>,
    good: GoodSignature,
}

/// The signatures that match: at least one.
pub(crate) struct GoodSignatures {
    pub(crate) first: GoodSignature,
    pub(crate) others: Vec<GoodSignature>,
    /// Why further ones do not count; the most telling one.
    refused: Option<VerifyError>,
}

impl Verification {
    pub(crate) fn begin(
        file: &[u8],
        name: Option<&Name>,
        keyring: &Keyring,
        policy: &Policy,
        limits: &Limits,
    ) -> Result<Self, VerifyError> {
        let mut this = Self { candidates: Vec::new(), contexts: Vec::new(), refused: None };
        for signature in detached::read(file, limits)? {
            let issuers = signature.get_issuers();
            let mut known = false;
            for entry in keyring.issuers(&issuers) {
                known = true;
                this.judge(&signature, entry, name, keyring, policy);
            }
            if !known {
                this.refuse(not_trusted(&signature, name, keyring));
            }
        }
        if this.candidates.is_empty() {
            return Err(this.refusal());
        }
        if let Some(name) = name {
            let signed = this.candidates.iter().map(|candidate| &candidate.good.by);
            if let Some(few) = TooFewSigners::among(signed, name, keyring) {
                return Err(few.beside(this.refused));
            }
        }
        for candidate in &this.candidates {
            let hash = candidate.signature.hash_algo();
            if !this.contexts.iter().any(|(known, _)| *known == hash) {
                let context = hash.context().map_err(|error| {
                    let (by, reason) = (candidate.good.by.clone(), format!("{error:#}"));
                    VerifyError::SignatureUnsupported { by, reason }
                })?;
                this.contexts.push((hash, context.for_signature(4)));
            }
        }
        Ok(this)
    }

    /// Computes [`Self::file_digest`] on the way. Most signatures are over that very hash, and
    /// then it costs nothing.
    pub(crate) fn hash_file(mut self) -> io::Result<Self> {
        if self.sha512().is_none() {
            let context = HashAlgorithm::SHA512.context().map_err(io::Error::other)?;
            self.contexts.push((HashAlgorithm::SHA512, context.for_signature(4)));
        }
        Ok(self)
    }

    /// SHA-512 of all it was shown, where that was asked for.
    pub(crate) fn file_digest(&self) -> Option<FileDigest> {
        let digest = self.sha512()?.clone().into_digest().ok()?;
        Some(FileDigest::of(digest.try_into().ok()?))
    }

    fn sha512(&self) -> Option<&Context> {
        let sha512 = |(hash, _): &&(HashAlgorithm, Context)| *hash == HashAlgorithm::SHA512;
        self.contexts.iter().find(sha512).map(|(_, context)| context)
    }

    /// Judges a signature against the keys of one certificate that it names.
    fn judge(
        &mut self,
        signature: &Signature,
        entry: &Entry,
        name: Option<&Name>,
        keyring: &Keyring,
        policy: &Policy,
    ) {
        let issuers = signature.get_issuers();
        let cert = entry.certificate.cert();
        for key in cert.keys().key_handles(issuers.clone()) {
            let Some(by) = SignedBy::of(&key) else { continue };
            // All names must be this key's: a second one would be somebody's addition.
            if !issuers.iter().all(|issuer| issuer.aliases(key.key().key_handle())) {
                self.refuse(VerifyError::IssuerMismatch { by });
                continue;
            }
            if name.is_some_and(|name| !entry.rules.speaks_for(name)) {
                let refused = name.map(|name| wrong_prefix(&by, &entry.rules, name, keyring));
                refused.into_iter().for_each(|refused| self.refuse(refused));
                continue;
            }
            match policy::judge(signature, &key, &by, policy) {
                Ok(warnings) => self.candidates.push(Candidate {
                    signature: signature.clone(),
                    key: key.key().clone(),
                    good: GoodSignature {
                        by,
                        // The policy has refused a signature without a time.
                        created: signature.signature_creation_time().unwrap_or(policy.now),
                        warnings,
                        rules: entry.rules.clone(),
                    },
                }),
                Err(error) => self.refuse(error),
            }
        }
    }

    /// Keeps the refusal that got furthest.
    fn refuse(&mut self, error: VerifyError) {
        if self.refused.as_ref().is_none_or(|known| error.progress() > known.progress()) {
            self.refused = Some(error);
        }
    }

    fn refusal(self) -> VerifyError {
        self.refused.unwrap_or(VerifyError::Format(SignatureFormatError::Empty))
    }

    /// What the user should know about those that will count if they match.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.candidates.iter().flat_map(|candidate| candidate.good.warnings.clone()).collect()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.contexts.iter_mut().for_each(|(_, context)| context.update(bytes));
    }

    pub(crate) fn finish(mut self) -> Result<GoodSignatures, VerifyError> {
        let mut good = Vec::new();
        for candidate in std::mem::take(&mut self.candidates) {
            let hash = candidate.signature.hash_algo();
            let context = self.contexts.iter().find(|(known, _)| *known == hash);
            let matches = context.is_some_and(|(_, context)| {
                matches(&candidate.signature, &candidate.key, context.clone())
            });
            if matches {
                good.push(candidate.good);
            } else {
                let GoodSignature { by, created, .. } = candidate.good;
                self.refuse(VerifyError::SignatureInvalid { by, created });
            }
        }
        let mut good = good.into_iter();
        match good.next() {
            Some(first) => {
                let refused = self.refused;
                Ok(GoodSignatures { first, others: good.collect(), refused })
            }
            None => Err(self.refusal()),
        }
    }
}

impl GoodSignatures {
    /// Those whose signers are trusted for `name`, the first one apart, where they are as many
    /// different keys as are demanded of it.
    pub(crate) fn speaking_for(
        self,
        name: &Name,
        keyring: &Keyring,
    ) -> Result<(GoodSignature, Vec<GoodSignature>), VerifyError> {
        let wrong_prefix = self.first.wrong_prefix(name, keyring);
        let all = std::iter::once(self.first).chain(self.others);
        let all: Vec<GoodSignature> = all.filter(|good| good.speaks_for(name)).collect();
        let too_few = TooFewSigners::among(all.iter().map(GoodSignature::by), name, keyring);
        let mut all = all.into_iter();
        match (all.next(), too_few) {
            (None, _) => Err(wrong_prefix),
            (Some(_), Some(few)) => Err(few.beside(self.refused)),
            (Some(first), None) => Ok((first, all.collect())),
        }
    }
}

impl TooFewSigners {
    /// Whether `signed` are fewer different primary keys than are demanded of `name`. Two
    /// subkeys of one key, or two signatures by one key, are one signer. So is one subkey that
    /// two primary keys have bound: else one signature would count for two.
    fn among<'a>(
        signed: impl Iterator<Item = &'a SignedBy>,
        name: &Name,
        keyring: &Keyring,
    ) -> Option<Self> {
        let demanded = keyring.policies().threshold(name);
        let mut signers: Vec<SignedBy> = Vec::new();
        for by in signed {
            if !signers.iter().any(|known| known.signer == by.signer || known.key == by.key) {
                signers.push(by.clone());
            }
        }
        let (prefix, policy) = demanded.by?;
        if signers.len() >= demanded.value.keys() {
            return None;
        }
        let missing = keyring.trusted_for(name).map(|certificate| *certificate.fingerprint());
        let missing = missing.filter(|key| signers.iter().all(|by| by.signer != *key)).collect();
        let (name, threshold) = (name.clone(), demanded.value.keys());
        Some(Self { name, prefix, policy, threshold, signers, missing, beside: None })
    }

    fn beside(self, refused: Option<VerifyError>) -> VerifyError {
        let beside = refused.map(Box::new);
        VerifyError::TooFewSigners(Box::new(Self { beside, ..self }))
    }
}

/// Whether a signature is over what `context` has hashed, by this key.
pub(crate) fn matches(
    signature: &Signature,
    key: &Key<PublicParts, UnspecifiedRole>,
    mut context: Context,
) -> bool {
    let digest = signature.hash(&mut context).and_then(|()| context.into_digest());
    let Ok(digest) = digest else { return false };
    // These two bytes are not signed, so nothing else would notice that they changed.
    digest.starts_with(signature.digest_prefix())
        && signature.verify_digest(&as_old_as(key, signature), digest).is_ok()
}

/// The key, dated back to its signature where that is a little older: the library refuses such
/// a signature outright, while the policy has allowed for clocks that differ. The date of a key
/// has no part in the arithmetic.
fn as_old_as(
    key: &Key<PublicParts, UnspecifiedRole>,
    signature: &Signature,
) -> Key<PublicParts, UnspecifiedRole> {
    let mut key = key.clone();
    let signed = signature.signature_creation_time().unwrap_or_else(|| key.creation_time());
    if signed < key.creation_time() {
        // A date that cannot be written leaves the key as it is.
        let _ = key.set_creation_time(signed);
    }
    key
}

fn not_trusted(signature: &Signature, name: Option<&Name>, keyring: &Keyring) -> VerifyError {
    let issuer = signature.get_issuers().first().map(|issuer| issuer.to_hex().to_lowercase());
    let wanted = match name {
        Some(name) => keyring.trusted_for(name).map(|c| *c.fingerprint()).collect(),
        None => keyring.certificates().map(|(c, _)| *c.fingerprint()).collect(),
    };
    VerifyError::SignerNotTrusted {
        issuer: issuer.unwrap_or_default(),
        name: name.cloned(),
        wanted,
    }
}

fn wrong_prefix(by: &SignedBy, rules: &Rules, name: &Name, keyring: &Keyring) -> VerifyError {
    VerifyError::SignerWrongPrefix {
        by: Box::new(by.clone()),
        name: name.clone(),
        trusted_for: rules.scopes(),
        wanted: keyring.trusted_for(name).map(|c| *c.fingerprint()).collect(),
    }
}
