//! What is new about a key, for people who have to know what they took in.

use std::fmt;
use std::time::SystemTime;

use crate::error::moment;
use crate::fingerprint::Fingerprint;
use crate::parts::{KeyPart, SecretPart};
use crate::secret::SecretKey;

/// Something that is new about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A subkey.
    Subkey(Fingerprint),
    /// A user ID, made safe to print.
    UserId(String),
    /// The secret part of the primary key or of a subkey.
    Secret(Fingerprint),
    /// The expiry of the primary key or of a subkey; `None` for never.
    Expiry(Fingerprint, Option<SystemTime>),
    /// A revocation of the primary key or of a subkey, and its reason.
    Revoked(Fingerprint, String),
    /// Signatures that change none of these.
    Signatures,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subkey(key) => write!(f, "new subkey {key}"),
            Self::UserId(user_id) => write!(f, "new user ID {user_id}"),
            Self::Secret(key) => write!(f, "the secret part of {key}"),
            Self::Expiry(key, Some(expires)) => write!(f, "{key} expires on {}", moment(*expires)),
            Self::Expiry(key, None) => write!(f, "{key} never expires"),
            Self::Revoked(key, reason) => write!(f, "{key} is revoked ({reason})"),
            Self::Signatures => f.write_str("further signatures"),
        }
    }
}

impl SecretKey {
    /// What is new about this key since it was `before`; nothing where it is the same.
    pub fn changes_since(&self, before: &Self, now: SystemTime) -> Vec<Change> {
        if self == before {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let known = before.user_ids();
        let new = self.user_ids().into_iter().filter(|user_id| !known.contains(user_id));
        changes.extend(new.map(Change::UserId));
        let earlier = before.parts(now);
        for part in self.parts(now) {
            let was = earlier.iter().find(|was| was.fingerprint == part.fingerprint);
            part_changes(&part, was, &mut changes);
        }
        if changes.is_empty() {
            changes.push(Change::Signatures);
        }
        changes
    }
}

fn part_changes(part: &KeyPart, was: Option<&KeyPart>, changes: &mut Vec<Change>) {
    let key = part.fingerprint;
    let Some(was) = was else {
        changes.push(Change::Subkey(key));
        if part.secret != SecretPart::Absent {
            changes.push(Change::Secret(key));
        }
        return;
    };
    if was.secret == SecretPart::Absent && part.secret != SecretPart::Absent {
        changes.push(Change::Secret(key));
    }
    if was.expires != part.expires {
        changes.push(Change::Expiry(key, part.expires));
    }
    if let Some(reason) = part.revoked.as_ref().filter(|_| was.revoked != part.revoked) {
        changes.push(Change::Revoked(key, reason.clone()));
    }
}
