//! Revocations that lie in a file by themselves, as `gpg --gen-revoke` and
//! [`SecretKey::revocation_certificate`] write them: what an owner keeps in a safe for the day
//! when the key is lost.

use aci::Limits;
use openpgp::packet::{Packet, Signature};
use openpgp::parse::Parse;
use openpgp::types::SignatureType;
use openpgp::{Cert, PacketPile};
use sequoia_openpgp as openpgp;

use crate::armor;
use crate::fingerprint::Fingerprint;
use crate::secret::SecretKey;

/// A revocation of a whole key. Whether it is by that key, only [`SecretKey::revoked_by`] tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Revocation {
    signature: Signature,
}

impl Revocation {
    /// The revocations of a file that holds nothing else; none where it is another file.
    pub fn read_all(bytes: &[u8], limits: &Limits) -> Vec<Self> {
        if bytes.len() as u64 > limits.key_bytes {
            return Vec::new();
        }
        let blocks = armor::blocks(bytes);
        let files = match &blocks[..] {
            [] => vec![bytes],
            blocks => blocks.iter().map(|block| block.bytes).collect(),
        };
        let mut all = Vec::new();
        for file in files {
            let Ok(pile) = PacketPile::from_bytes(file) else { return Vec::new() };
            for packet in pile.into_children() {
                match packet {
                    Packet::Signature(signature)
                        if signature.typ() == SignatureType::KeyRevocation =>
                    {
                        all.push(Self { signature });
                    }
                    _ => return Vec::new(),
                }
            }
        }
        all
    }

    /// Whether it names this primary key.
    pub fn names(&self, fingerprint: &Fingerprint) -> bool {
        let digits = fingerprint.to_string();
        let issuers = self.signature.get_issuers();
        issuers.iter().any(|issuer| digits.ends_with(&issuer.to_hex().to_lowercase()))
    }

    /// What it names: a fingerprint, or the end of one.
    pub fn issuer(&self) -> String {
        let issuers = self.signature.get_issuers();
        issuers.first().map(|issuer| issuer.to_hex().to_lowercase()).unwrap_or_default()
    }
}

impl SecretKey {
    /// This key with a revocation by itself. `None` where it is not by this key.
    pub fn revoked_by(&self, revocation: &Revocation) -> Option<Self> {
        let (cert, _) = self.cert().clone().insert_packets([revocation.signature.clone()]).ok()?;
        // The library puts a signature that does not verify aside.
        let own = |cert: &Cert| {
            let mut own = cert.primary_key().self_revocations().cloned().collect::<Vec<_>>();
            own.retain(|one| *one == revocation.signature);
            own.len()
        };
        if own(&cert) == 1 { Self::from_cert(cert).ok() } else { None }
    }
}
