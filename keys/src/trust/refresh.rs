//! Taking up what a domain publishes about keys that are trusted already.
//!
//! What a domain publishes is chosen by whoever controls it, today or for an hour. So nothing
//! of it removes, masks or widens trust:
//!
//! - Of a key that is trusted, only what the key itself has signed is taken, and added to what
//!   is known: an older copy takes nothing back.
//! - A key that is not trusted becomes so only where a key trusted for that very prefix has
//!   certified it and is itself alive and not revoked, or where the operator says so.
//! - A key that somebody has masked stays masked.
//! - A pinned prefix takes nothing at all.

use std::time::SystemTime;

use aci::{Limits, Name};

use super::{TrustEntry, TrustError, TrustPolicies, TrustStore};
use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::keyring::Scope;
use crate::policy;
use crate::renewal::News;

/// How keys are refreshed.
#[derive(Debug, Clone)]
pub struct RefreshOptions {
    /// The time that is now.
    pub now: SystemTime,
    /// New keys the operator has agreed to, by the fingerprints of their primary keys.
    pub consent: Vec<Fingerprint>,
    /// Only say what would be taken.
    pub dry_run: bool,
}

impl RefreshOptions {
    /// Takes what needs no consent.
    pub fn at(now: SystemTime) -> Self {
        Self { now, consent: Vec::new(), dry_run: false }
    }
}

/// What came of refreshing the keys of a prefix.
#[derive(Debug)]
pub enum Refreshed {
    /// The prefix is pinned: nothing was looked at.
    Pinned,
    /// What became of each key that is published.
    Asked {
        /// In the order they were offered.
        keys: Vec<RefreshedKey>,
        /// Keys trusted for the prefix that the domain does not publish. They stay trusted.
        unpublished: Vec<Fingerprint>,
    },
}

/// What became of one key.
#[derive(Debug)]
pub struct RefreshedKey {
    /// The key, with all that is known of it now.
    pub certificate: Certificate,
    /// What became of it.
    pub outcome: RefreshOutcome,
}

/// What became of a key that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// It is trusted, and nothing new is said of it.
    Unchanged,
    /// It is trusted, and its owner has said more.
    Updated(Vec<News>),
    /// It was not trusted, and is now, since this trusted key has certified it.
    Certified(Fingerprint),
    /// It was not trusted, and is now, since the operator has agreed.
    Agreed,
    /// It is not trusted.
    Offered(NotTaken),
}

/// Why a new key was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Nobody who is trusted for the prefix vouches for it.
    #[error("no key trusted for the prefix, alive and not revoked, has certified it")]
    NotCertified,
    /// Trust in it was taken away.
    #[error("an empty file among the trusted keys takes its trust away")]
    Masked,
    /// Trusting it would be of no use.
    #[error("no part of it can sign today")]
    CannotSign,
    /// It is too large to be read again.
    #[error("it is too large")]
    TooLarge,
}

impl TrustStore {
    /// Takes up what the domain of `prefix` publishes: `offered`. All or nothing of one key;
    /// under the store's lock, so that nobody else's change is lost.
    pub fn refresh(
        &self,
        prefix: &Name,
        offered: &[Certificate],
        options: &RefreshOptions,
        limits: &Limits,
    ) -> Result<Refreshed, TrustError> {
        let _lock = if options.dry_run { None } else { Some(self.lock()?) };
        let policies = self.policies()?;
        if policies.pinned(prefix).value {
            return Ok(Refreshed::Pinned);
        }
        let (mut entries, _) = self.list(limits)?;
        entries.retain(|entry| entry.overridden_by.is_none() && covers(entry, prefix));
        let mut refresh =
            Refresh { store: self, prefix, policies: &policies, entries, options, limits };
        let offered = each_once(offered);
        let mut keys = Vec::new();
        // News of trusted keys first: what was revoked vouches for nobody.
        for certificate in &offered {
            keys.push(refresh.update(certificate)?);
        }
        let certifiers: Vec<Certificate> = refresh.certifiers().cloned().collect();
        for (key, certificate) in keys.iter_mut().zip(&offered) {
            if key.is_none() {
                *key = Some(refresh.new_key(certificate, &certifiers)?);
            }
        }
        let published = |key: &Fingerprint| offered.iter().any(|c| c.fingerprint() == key);
        let trusted = certifiers.iter().map(|certificate| *certificate.fingerprint());
        let unpublished = trusted.filter(|key| !published(key)).collect();
        Ok(Refreshed::Asked { keys: keys.into_iter().flatten().collect(), unpublished })
    }
}

/// Several copies of one key are one key with all that they say.
fn each_once(offered: &[Certificate]) -> Vec<Certificate> {
    let mut all: Vec<Certificate> = Vec::new();
    for certificate in offered {
        match all.iter_mut().find(|known| known.fingerprint() == certificate.fingerprint()) {
            Some(known) => *known = known.clone().merge(certificate.clone()),
            None => all.push(certificate.clone()),
        }
    }
    all
}

fn covers(entry: &TrustEntry, prefix: &Name) -> bool {
    entry.scope.covers(prefix)
}

struct Refresh<'a> {
    store: &'a TrustStore,
    prefix: &'a Name,
    policies: &'a TrustPolicies,
    /// The files that decide about names under the prefix.
    entries: Vec<TrustEntry>,
    options: &'a RefreshOptions,
    limits: &'a Limits,
}

impl Refresh<'_> {
    /// What is new of a key that is trusted for the prefix; `None` where it is not.
    fn update(&mut self, offered: &Certificate) -> Result<Option<RefreshedKey>, TrustError> {
        let fingerprint = offered.fingerprint();
        let trusting = self.entries.iter_mut().filter(|entry| {
            let pinned = match &entry.scope {
                Scope::Root => false,
                Scope::Prefix(prefix) => self.policies.pinned(prefix).value,
            };
            entry.fingerprint == *fingerprint && !pinned
        });
        let trusting: Vec<&mut TrustEntry> = trusting.collect();
        let Some(before) = trusting.iter().find_map(|entry| entry.certificate.clone()) else {
            return Ok(None);
        };
        let after = before.renewed(offered, self.limits);
        let changes = before.changes(&after, self.options.now);
        if changes.is_empty() {
            let outcome = RefreshOutcome::Unchanged;
            return Ok(Some(RefreshedKey { certificate: before, outcome }));
        }
        if !self.options.dry_run {
            // Where it stays known whoever brings the key, and whatever copy of it is removed.
            self.store.remember(&after, self.limits)?;
        }
        for entry in trusting.into_iter().filter(|entry| entry.certificate.is_some()) {
            entry.certificate = Some(after.clone());
            // So that rkt, which reads these files alone, sees it too.
            if !self.options.dry_run && entry.tree == self.store.folder() {
                self.store.write(&entry.path, &after, self.limits)?;
            }
        }
        let outcome = RefreshOutcome::Updated(changes);
        Ok(Some(RefreshedKey { certificate: after, outcome }))
    }

    /// The keys trusted for this very prefix, as they are known now.
    fn certifiers(&self) -> impl Iterator<Item = &Certificate> {
        let very = self
            .entries
            .iter()
            .filter(|entry| matches!(&entry.scope, Scope::Prefix(prefix) if prefix == self.prefix));
        very.filter_map(|entry| entry.certificate.as_ref())
    }

    fn new_key(
        &self,
        offered: &Certificate,
        certifiers: &[Certificate],
    ) -> Result<RefreshedKey, TrustError> {
        let Self { options, limits, .. } = *self;
        let own = offered.own_part();
        let vouching = certifiers
            .iter()
            .find(|certifier| policy::vouches_for(certifier.cert(), offered.cert(), options.now));
        let outcome = if self.known(offered.fingerprint()) {
            RefreshOutcome::Unchanged
        } else if options.consent.contains(offered.fingerprint()) {
            RefreshOutcome::Agreed
        } else if self.masked(offered.fingerprint()) {
            RefreshOutcome::Offered(NotTaken::Masked)
        } else if own.armored().len() as u64 > limits.key_bytes / 2 {
            RefreshOutcome::Offered(NotTaken::TooLarge)
        } else if !own.can_sign(options.now) {
            RefreshOutcome::Offered(NotTaken::CannotSign)
        } else {
            match vouching {
                Some(by) => RefreshOutcome::Certified(*by.fingerprint()),
                None => RefreshOutcome::Offered(NotTaken::NotCertified),
            }
        };
        let taken = matches!(outcome, RefreshOutcome::Certified(_) | RefreshOutcome::Agreed);
        if taken && !options.dry_run {
            let scope = Scope::Prefix(self.prefix.clone());
            let path = self.store.path_of(&scope, own.fingerprint());
            let known = self.store.known(own.fingerprint(), limits);
            let whole = known.into_iter().fold(own.clone(), Certificate::merge);
            self.store.write(&path, &whole, limits)?;
        }
        Ok(RefreshedKey { certificate: own, outcome })
    }

    /// The narrowest file about a key decides.
    fn narrowest(&self, fingerprint: &Fingerprint) -> Option<&TrustEntry> {
        let about = self.entries.iter().filter(|entry| entry.fingerprint == *fingerprint);
        about.max_by_key(|entry| entry.scope.narrowness())
    }

    fn known(&self, fingerprint: &Fingerprint) -> bool {
        self.narrowest(fingerprint).is_some_and(|entry| entry.certificate.is_some())
    }

    fn masked(&self, fingerprint: &Fingerprint) -> bool {
        self.narrowest(fingerprint).is_some_and(|entry| entry.certificate.is_none())
    }
}
