//! What of a key its owner has said, apart from what anybody can write on it.
//!
//! Whoever serves a key can hang user IDs, subkeys and signatures on it that its owner
//! never made. They mean nothing; but kept, they could fill a file until it is too large to
//! read, or to take one more revocation. So from a stranger's copy only what the key itself
//! has signed is taken.

use std::fmt;
use std::time::SystemTime;

use aci::Limits;
use openpgp::packet::{Packet, Signature};
use openpgp::{Cert, Result};
use sequoia_openpgp as openpgp;

use crate::certificate::Certificate;
use crate::error::moment;
use crate::fingerprint::Fingerprint;
use crate::policy;

/// What a newer copy of a key says that was not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Its owner has revoked it.
    Revoked,
    /// It has one subkey more.
    SubkeyAdded(Fingerprint),
    /// Its owner has revoked a subkey.
    SubkeyRevoked(Fingerprint),
    /// It expires at another time.
    Expires {
        /// When it would have expired.
        was: Option<SystemTime>,
        /// When it expires.
        now: Option<SystemTime>,
    },
    /// Its owner has signed something else about it: a user ID, a preference.
    Renewed,
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: &Option<SystemTime>| time.map_or_else(|| "never".to_owned(), moment);
        match self {
            Self::Revoked => f.write_str("its owner has revoked it"),
            Self::SubkeyAdded(subkey) => write!(f, "it has a new subkey {subkey}"),
            Self::SubkeyRevoked(subkey) => write!(f, "its owner has revoked its subkey {subkey}"),
            Self::Expires { was, now } => {
                write!(f, "it expires {} (was: {})", time(now), time(was))
            }
            Self::Renewed => f.write_str("its owner has renewed it"),
        }
    }
}

impl Certificate {
    /// What the key itself has signed.
    pub(crate) fn own_part(&self) -> Self {
        self.rebuilt(own_packets(self.cert()))
    }

    /// The key with its own revocations and those of its subkeys, and nothing else.
    fn revocations(&self) -> Self {
        self.rebuilt(revocations(self.cert()))
    }

    /// Whether anything in it was revoked by its owner.
    pub(crate) fn has_revocations(&self) -> bool {
        let cert = self.cert();
        cert.keys().any(|ka| ka.self_revocations().next().is_some())
    }

    /// This certificate with everything its owner says in `other`: newer expiry, revocations,
    /// subkeys. Nothing that its owner says is ever lost; where there is no room for all, the
    /// revocations go first.
    pub(crate) fn renewed(&self, other: &Certificate, limits: &Limits) -> Self {
        // The upper half is kept for revocations.
        let half = limits.key_bytes / 2;
        let fits = |candidate: &Self, room: u64| candidate.armored().len() as u64 <= room;
        let own = other.own_part();
        // What others have written on the key goes first: it means nothing here.
        for known in [self.clone(), self.own_part()] {
            let whole = known.merge(own.clone());
            if fits(&whole, half) {
                return whole;
            }
        }
        for known in [self.clone(), self.own_part()] {
            let revoked = known.merge(other.revocations());
            if fits(&revoked, limits.key_bytes) {
                return revoked;
            }
        }
        self.clone()
    }

    /// What `after`, this certificate renewed, says that this one does not.
    pub(crate) fn changes(&self, after: &Certificate, now: SystemTime) -> Vec<News> {
        if self.armored() == after.armored() {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if after.revoked(now) && !self.revoked(now) {
            changes.push(News::Revoked);
        }
        let known = self.subkey_fingerprints();
        let new = after.subkey_fingerprints().into_iter().filter(|subkey| !known.contains(subkey));
        changes.extend(new.map(News::SubkeyAdded));
        let revoked = |cert| policy::revoked_subkeys(cert, now);
        let before = revoked(self.cert());
        let new = revoked(after.cert()).into_iter().filter(|subkey| !before.contains(subkey));
        changes.extend(new.map(News::SubkeyRevoked));
        let (was, expires) = (self.expires(now), after.expires(now));
        if was != expires && !after.revoked(now) {
            changes.push(News::Expires { was, now: expires });
        }
        if changes.is_empty() {
            changes.push(News::Renewed);
        }
        changes
    }

    fn rebuilt(&self, packets: Vec<Packet>) -> Self {
        let rebuilt: Result<Cert> = Cert::from_packets(packets.into_iter());
        // The primary key is among the packets, so this is a certificate again.
        rebuilt.ok().and_then(|cert| Self::from_cert(cert).ok()).unwrap_or_else(|| self.clone())
    }
}

fn own_packets(cert: &Cert) -> Vec<Packet> {
    let primary = cert.primary_key();
    let mut packets = vec![Packet::from(primary.key().clone())];
    signatures(&mut packets, primary.self_signatures().chain(primary.self_revocations()));
    for ua in cert.userids().filter(|ua| ua.self_signatures().next().is_some()) {
        packets.push(Packet::from(ua.userid().clone()));
        signatures(&mut packets, ua.self_signatures().chain(ua.self_revocations()));
    }
    for ka in cert.keys().subkeys().filter(|ka| ka.self_signatures().next().is_some()) {
        packets.push(Packet::from(ka.key().clone()));
        signatures(&mut packets, ka.self_signatures().chain(ka.self_revocations()));
    }
    packets
}

fn revocations(cert: &Cert) -> Vec<Packet> {
    let primary = cert.primary_key();
    let mut packets = vec![Packet::from(primary.key().clone())];
    signatures(&mut packets, primary.self_revocations());
    for ka in cert.keys().subkeys().filter(|ka| ka.self_revocations().next().is_some()) {
        packets.push(Packet::from(ka.key().clone()));
        signatures(&mut packets, ka.self_revocations());
    }
    packets
}

fn signatures<'a>(packets: &mut Vec<Packet>, of: impl Iterator<Item = &'a Signature>) {
    packets.extend(of.cloned().map(Packet::from));
}
