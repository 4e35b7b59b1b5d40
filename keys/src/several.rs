//! Several signatures in one file: a further one beside those that are there.
//!
//! The file is one block of armor with one packet after the other, which gpg reads and checks
//! all of. Clients of rkt's kind look at the first packet alone, so the order is kept: what was
//! first stays first.

use std::io::Read;

use aci::Limits;
use openpgp::crypto::hash::{Context, Hash};
use openpgp::packet::Signature;
use openpgp::types::HashAlgorithm;
use sequoia_openpgp as openpgp;

use crate::detached::{self, MAX_SIGNATURES, SignatureFormatError};
use crate::signer::{SignError, Signer, hashed};
use crate::{armor, policy, verify};

/// What becomes of a signature that the same key has made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// It stays, and no other is made.
    Keep,
    /// It goes, and the new one stands at the end. So does one over other bytes.
    Replace,
}

/// What came of adding a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddedSignature {
    /// The new file, and how many signatures it holds.
    Added(Vec<u8>, usize),
    /// The key had signed these bytes already: the file, with so many signatures, is as it
    /// should be.
    Present(usize),
}

/// Why no signature was added.
#[derive(Debug, thiserror::Error)]
pub enum AddSignatureError {
    /// The file that is there is no signature file.
    #[error("the signature file that is there cannot be added to: {0}")]
    Format(#[from] SignatureFormatError),
    /// The signatures that are there were made for something else.
    #[error(
        "the signature by {0} that is there is over other bytes than these: the file was changed since, so all of its signers have to sign anew"
    )]
    OtherBytes(String),
    /// No signature was made.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl Signer {
    /// Reads `data` to its end, signs it, and gives the signature file `file` with one signature
    /// more. None of the others is judged, but that it is over other bytes is noticed: such a
    /// file would be refused, or worse, taken for one that both have signed.
    pub fn add(
        &self,
        file: &[u8],
        data: impl Read,
        earlier: Earlier,
        limits: &Limits,
    ) -> Result<AddedSignature, AddSignatureError> {
        let known = detached::packets(file, limits)?;
        let mut algorithms = vec![policy::SIGNATURE_HASH];
        for (_, signature) in &known {
            if !algorithms.contains(&signature.hash_algo()) {
                algorithms.push(signature.hash_algo());
            }
        }
        let count = known.len();
        let contexts = hashed(data, &algorithms)?;
        let context = |algorithm: HashAlgorithm| {
            contexts
                .iter()
                .find(|(known, _)| *known == algorithm)
                .map(|(_, context)| context.clone())
        };
        let mut packets = Vec::new();
        for (packet, signature) in known {
            let Some(over) = context(signature.hash_algo()) else {
                // Of an algorithm nobody can check here.
                packets.push(packet);
                continue;
            };
            let own = self.made(&signature);
            let matches = match own {
                true => verify::matches(&signature, self.public(), over),
                false => may_be_over(&signature, over),
            };
            match (own, matches, earlier) {
                (true, _, Earlier::Replace) => {}
                (_, false, _) => return Err(AddSignatureError::OtherBytes(issuer(&signature))),
                (true, true, Earlier::Keep) => return Ok(AddedSignature::Present(count)),
                (false, true, _) => packets.push(packet),
            }
        }
        if packets.len() == MAX_SIGNATURES {
            return Err(SignatureFormatError::TooMany.into());
        }
        let over = context(policy::SIGNATURE_HASH).ok_or(SignError::SelfCheck)?;
        packets.push(self.packet(over)?);
        let file = armor::encode("SIGNATURE", &packets.concat());
        match detached::read(&file, limits) {
            Ok(read) if read.len() == packets.len() => {
                Ok(AddedSignature::Added(file, packets.len()))
            }
            _ => Err(SignError::SelfCheck.into()),
        }
    }

    /// Whether a signature names the key that signs here.
    fn made(&self, signature: &Signature) -> bool {
        let issuers = signature.get_issuers();
        issuers.iter().any(|issuer| issuer.aliases(self.public().key_handle()))
    }
}

fn issuer(signature: &Signature) -> String {
    let issuer = signature.get_issuers().first().map(|issuer| issuer.to_hex().to_lowercase());
    issuer.unwrap_or_default()
}

/// Whether the two bytes of the digest that every signature shows are those of these bytes:
/// all that can be told without the signer's key.
fn may_be_over(signature: &Signature, mut context: Context) -> bool {
    let digest = signature.hash(&mut context).and_then(|()| context.into_digest());
    digest.is_ok_and(|digest| digest.starts_with(signature.digest_prefix()))
}
