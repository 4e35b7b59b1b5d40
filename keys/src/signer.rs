//! Signing, in this process: no agent, no terminal.

use std::fmt;
use std::io::{self, Read};
use std::time::SystemTime;

use aci::Limits;
use openpgp::Cert;
use openpgp::cert::CertParser;
use openpgp::crypto::KeyPair;
use openpgp::crypto::hash::Context;
use openpgp::packet::key::{PublicParts, SecretParts, UnspecifiedRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::{Key, Packet};
use openpgp::parse::Parse;
use openpgp::serialize::Serialize;
use openpgp::types::{HashAlgorithm, SignatureType};
use sequoia_openpgp as openpgp;

use crate::error::{SignedBy, VerifyError};
use crate::fingerprint::Fingerprint;
use crate::passphrase::{Passphrase, UnlockError, unlock};
use crate::secret::{SecretKey, is_stub};
use crate::{armor, detached, policy, verify};

/// A secret key, open and ready to sign.
pub struct Signer {
    pair: KeyPair,
    by: SignedBy,
    now: SystemTime,
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// There is no key in the file, or it cannot be read.
    #[error("there is no OpenPGP secret key in the file{0}")]
    NoKey(String),
    /// The file holds a public key.
    #[error(
        "{0} is a public key: give the secret one (the file `gantry key generate --secret` wrote, or `gpg --export-secret-keys --armor`)"
    )]
    Public(Fingerprint),
    /// The file holds several keys.
    #[error("the file holds {0} secret keys: give one with the key that is to sign alone")]
    Several(usize),
    /// No key in the file can sign now.
    #[error("no key in the file can sign: {0}")]
    Unusable(Box<VerifyError>),
    /// The part of the key that signs was left out or lies on a card.
    #[error("the secret part of key {0} is not in the file (it is a stub, or on a card)")]
    Stub(Fingerprint),
    /// The key is locked, or locked otherwise.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// Reading the data failed.
    #[error("cannot read what is to be signed: {0}")]
    Read(#[source] io::Error),
    /// The OpenPGP library failed.
    #[error("cannot sign: {0}")]
    Library(String),
    /// The signature that was made does not verify.
    #[error("the signature just made does not verify: this machine, or the key file, is damaged")]
    SelfCheck,
}

fn library(error: impl fmt::Display) -> SignError {
    SignError::Library(format!("{error:#}"))
}

impl Signer {
    /// Opens a secret key, armored or binary, for signing at `now`. Of several keys that may
    /// sign, the newest subkey is taken, and the primary key where there is none.
    pub fn open(
        secret_key: &[u8],
        passphrase: Option<&Passphrase>,
        now: SystemTime,
    ) -> Result<Self, SignError> {
        Self::of(&read(secret_key)?, passphrase, now)
    }

    /// Opens a secret key that was read, as [`Self::open`] does.
    pub fn open_key(
        key: &SecretKey,
        passphrase: Option<&Passphrase>,
        now: SystemTime,
    ) -> Result<Self, SignError> {
        Self::of(key.cert(), passphrase, now)
    }

    fn of(
        cert: &Cert,
        passphrase: Option<&Passphrase>,
        now: SystemTime,
    ) -> Result<Self, SignError> {
        let (key, by) = choose(cert, now)?;
        let key = unlock(key, by.key, passphrase)?;
        Ok(Self { pair: key.into_keypair().map_err(library)?, by, now })
    }

    /// The primary key's fingerprint.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.by.signer
    }

    /// The key that signs: the primary key or a subkey.
    pub fn signing_key(&self) -> &Fingerprint {
        &self.by.key
    }

    /// The first user ID, made safe to print.
    pub fn user_id(&self) -> Option<&str> {
        self.by.user_id.as_deref()
    }

    /// Reads `data` to its end and signs it: an armored, detached signature over SHA-512,
    /// read back and verified before it counts.
    pub fn sign(&self, data: impl Read) -> Result<Vec<u8>, SignError> {
        let mut contexts = hashed(data, &[policy::SIGNATURE_HASH])?;
        let (_, context) = contexts.pop().ok_or(SignError::SelfCheck)?;
        Ok(armor::encode("SIGNATURE", &self.packet(context)?))
    }

    /// Signs what `context` has hashed with SHA-512: one packet.
    pub(crate) fn packet(&self, context: Context) -> Result<Vec<u8>, SignError> {
        let signature = SignatureBuilder::new(SignatureType::Binary)
            .set_signature_creation_time(self.now)
            .and_then(|builder| builder.sign_hash(&mut self.pair.clone(), context.clone()))
            .map_err(library)?;
        let mut binary = Vec::new();
        Packet::from(signature).serialize(&mut binary).map_err(library)?;
        // A fault in the signing computation can give the key away, not only a bad
        // signature; and a signature nobody can read back would be found out by others.
        let file = armor::encode("SIGNATURE", &binary);
        let read = detached::read(&file, &Limits::default()).map_err(|_| SignError::SelfCheck)?;
        match &read[..] {
            [one] if verify::matches(one, self.pair.public(), context) => Ok(binary),
            _ => Err(SignError::SelfCheck),
        }
    }

    pub(crate) fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        self.pair.public()
    }
}

/// Reads `data` to its end, and hashes it by each of these algorithms that is known.
pub(crate) fn hashed(
    mut data: impl Read,
    algorithms: &[HashAlgorithm],
) -> Result<Vec<(HashAlgorithm, Context)>, SignError> {
    let contexts = algorithms.iter().filter_map(|hash| Some((*hash, hash.context().ok()?)));
    let mut contexts: Vec<_> =
        contexts.map(|(hash, context)| (hash, context.for_signature(4))).collect();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match data.read(&mut buffer) {
            Ok(0) => return Ok(contexts),
            Ok(length) => {
                contexts.iter_mut().for_each(|(_, context)| context.update(&buffer[..length]));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(SignError::Read(error)),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.by).finish()
    }
}

fn read(file: &[u8]) -> Result<Cert, SignError> {
    let no_key = |error| SignError::NoKey(format!(": {error:#}"));
    if file.first().is_none_or(|byte| byte & 0x80 == 0) && armor::blocks(file).is_empty() {
        return Err(SignError::NoKey(String::new()));
    }
    let mut all = Vec::new();
    for cert in CertParser::from_bytes(file).map_err(no_key)? {
        all.push(cert.map_err(no_key)?);
    }
    let count = all.len();
    match all.pop() {
        None => Err(SignError::NoKey(String::new())),
        Some(_) if count > 1 => Err(SignError::Several(count)),
        Some(cert) if cert.is_tsk() => Ok(cert),
        Some(cert) => Err(match Fingerprint::from_openpgp(&cert.fingerprint()) {
            Some(fingerprint) => SignError::Public(fingerprint),
            None => SignError::NoKey(": it is of another version than 4".into()),
        }),
    }
}

type SigningKey = Key<SecretParts, UnspecifiedRole>;

/// The key that signs: the newest subkey that may, else the primary key.
fn choose(cert: &Cert, now: SystemTime) -> Result<(SigningKey, SignedBy), SignError> {
    let mut best: Option<(SigningKey, SignedBy)> = None;
    let mut refused = None;
    for key in cert.keys() {
        let Some(by) = SignedBy::of(&key) else { continue };
        if let Err(error) = policy::may_sign_now(&key, &by, now) {
            // What is wrong with a key that is not meant for signing tells nothing.
            if !matches!(error, VerifyError::KeyNotForSigning { .. }) || refused.is_none() {
                refused = Some(SignError::Unusable(Box::new(error)));
            }
            continue;
        }
        let Ok(secret) = key.key().clone().parts_into_secret() else {
            refused = Some(SignError::Stub(by.key));
            continue;
        };
        if is_stub(secret.secret()) {
            refused = Some(SignError::Stub(by.key));
            continue;
        }
        // Subkeys follow the primary key, so a later one only wins by being newer.
        let newer = best.as_ref().is_none_or(|(known, known_by)| {
            known_by.key == known_by.signer || secret.creation_time() > known.creation_time()
        });
        if newer {
            best = Some((secret, by));
        }
    }
    match (best, refused) {
        (Some(best), _) => Ok(best),
        (None, Some(refused)) => Err(refused),
        (None, None) => Err(SignError::NoKey(": it is of another version than 4".into())),
    }
}
