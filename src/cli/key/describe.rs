//! A key and its parts, as text and as JSON.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use keys::{Certificate, Fingerprint, KeyMaterial, KeyPart, SecretKey, SecretPart, Uses};
use serde_json::{Value, json};

/// A key as the commands show it.
pub(super) struct Described {
    fingerprint: Fingerprint,
    user_ids: Vec<String>,
    parts: Vec<KeyPart>,
}

impl Described {
    pub(super) fn of(material: &KeyMaterial, now: SystemTime) -> Self {
        match material {
            KeyMaterial::Secret(key) => Self::secret(key, now),
            KeyMaterial::Public(certificate) => Self::public(certificate, now),
        }
    }

    pub(super) fn secret(key: &SecretKey, now: SystemTime) -> Self {
        Self { fingerprint: *key.fingerprint(), user_ids: key.user_ids(), parts: key.parts(now) }
    }

    fn public(key: &Certificate, now: SystemTime) -> Self {
        Self { fingerprint: *key.fingerprint(), user_ids: key.user_ids(), parts: key.parts(now) }
    }

    fn is_secret(&self) -> bool {
        self.parts.iter().any(|part| part.secret != SecretPart::Absent)
    }

    /// Why it cannot sign images today.
    fn problem(&self) -> Option<&'static str> {
        let revoked = self.primary().is_some_and(|primary| primary.revoked.is_some());
        if revoked {
            return Some("its owner has revoked this key");
        }
        let signs = |part: &&KeyPart| part.may_sign();
        if !self.parts.iter().any(|part| signs(&part)) {
            return Some("no part of this key can sign today");
        }
        let here = |part: &KeyPart| part.secret != SecretPart::Absent;
        let signs_here = self.parts.iter().filter(signs).any(here);
        (self.is_secret() && !signs_here).then_some("no secret part that can sign today is here")
    }

    /// What its owner should do something about.
    pub(super) fn warnings(&self) -> Vec<String> {
        let soon = self.parts.iter().filter(|part| part.expires_soon && part.revoked.is_none());
        let mut warnings: Vec<String> = soon
            .filter_map(|part| {
                let (key, expires) = (self.fingerprint, date(part.expires.or(self.ends())?));
                let option = match part.primary {
                    true => String::new(),
                    false => format!(" --subkey {}", part.fingerprint),
                };
                let what = if part.primary { "key" } else { "subkey" };
                Some(format!(
                    "{what} {} expires on {expires}: gantry key extend {key}{option} --expires 1y",
                    part.fingerprint
                ))
            })
            .collect();
        warnings.extend(self.problem().map(|problem| format!("{}: {problem}", self.fingerprint)));
        warnings
    }

    fn primary(&self) -> Option<&KeyPart> {
        self.parts.iter().find(|part| part.primary)
    }

    fn ends(&self) -> Option<SystemTime> {
        self.primary().and_then(|primary| primary.expires)
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("fingerprint: {}", self.fingerprint.spaced());
        for user_id in &self.user_ids {
            text.push_str(&format!("\n    user ID: {user_id}"));
        }
        for part in &self.parts {
            if !part.primary {
                text.push_str(&format!("\n     subkey: {}", part.fingerprint.spaced()));
            }
            text.push_str(&format!("\n             {}", self.line(part)));
        }
        if let Some(problem) = self.problem() {
            text.push_str(&format!("\n       note: {problem}"));
        }
        text
    }

    /// `ed25519, sign, secret open, created 2026-01-01, expires 2028-01-01`.
    fn line(&self, part: &KeyPart) -> String {
        let mut words = vec![part.algorithm.clone()];
        words.extend(uses(part.uses).into_iter().map(str::to_owned));
        if self.is_secret() {
            words.push(
                match part.secret {
                    SecretPart::Absent => "secret offline",
                    SecretPart::Open => "secret without passphrase",
                    SecretPart::Locked => "secret with passphrase",
                }
                .to_owned(),
            );
        }
        words.push(format!("created {}", date(part.created)));
        match part.expires {
            Some(expires) if part.expired => words.push(format!("expired {}", date(expires))),
            Some(expires) => words.push(format!("expires {}", date(expires))),
            None if part.unusable.is_none() => words.push("never expires".to_owned()),
            None => {}
        }
        if let Some(reason) = &part.revoked {
            words.push(format!("REVOKED ({reason})"));
        }
        if let Some(reason) = &part.unusable {
            words.push(format!("unusable ({reason})"));
        }
        words.join(", ")
    }

    pub(super) fn json(&self) -> Value {
        let primary = self.primary();
        let subkeys = self.parts.iter().filter(|part| !part.primary);
        let locked = self.parts.iter().any(|part| part.secret == SecretPart::Locked);
        json!({
            "fingerprint": self.fingerprint,
            "userIds": self.user_ids,
            "algorithm": primary.map(|part| &part.algorithm),
            "created": primary.and_then(|part| time(part.created)),
            "expires": self.ends().and_then(time),
            "revoked": primary.is_some_and(|part| part.revoked.is_some()),
            "secret": self.is_secret(),
            "locked": locked,
            "subkeys": subkeys.map(|part| part.fingerprint).collect::<Vec<_>>(),
            "parts": self.parts.iter().map(part_json).collect::<Vec<_>>(),
            "problem": self.problem(),
            "warnings": self.warnings(),
        })
    }
}

fn part_json(part: &KeyPart) -> Value {
    json!({
        "fingerprint": part.fingerprint,
        "primary": part.primary,
        "algorithm": part.algorithm,
        "can": uses(part.uses),
        "created": time(part.created),
        "expires": part.expires.and_then(time),
        "expired": part.expired,
        "revoked": part.revoked,
        "secret": match part.secret {
            SecretPart::Absent => "absent",
            SecretPart::Open => "open",
            SecretPart::Locked => "locked",
        },
        "unusable": part.unusable,
    })
}

fn uses(uses: Uses) -> Vec<&'static str> {
    let all = [
        (uses.certify, "certify"),
        (uses.sign, "sign"),
        (uses.encrypt, "encrypt"),
        (uses.authenticate, "authenticate"),
    ];
    all.into_iter().filter(|(may, _)| *may).map(|(_, word)| word).collect()
}

/// A time in JSON, to the second, which is what OpenPGP counts in.
pub(super) fn time(time: SystemTime) -> Option<String> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    Timestamp::try_from(time).ok().map(|time| time.to_string())
}

/// A day for people.
pub(super) fn date(time: SystemTime) -> String {
    let timestamp = Timestamp::try_from(time).unwrap_or_default();
    timestamp.strftime("%Y-%m-%d").to_string()
}
