//! Which key may sign which names.

use std::fmt;

use aci::Name;
use openpgp::KeyHandle;
use sequoia_openpgp as openpgp;
use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::trust::TrustPolicies;

/// What a key is trusted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every name.
    Root,
    /// This name and those below it, by whole path segments.
    Prefix(Name),
}

impl Scope {
    /// Whether `name` is within.
    pub fn covers(&self, name: &Name) -> bool {
        match self {
            Self::Root => true,
            Self::Prefix(prefix) => name.is_under(prefix),
        }
    }

    /// Whether every name of `other` is within.
    pub fn contains(&self, other: &Scope) -> bool {
        match (self, other) {
            (Self::Root, _) => true,
            (Self::Prefix(_), Self::Root) => false,
            (Self::Prefix(prefix), Self::Prefix(other)) => other.is_under(prefix),
        }
    }

    /// The narrower of two scopes that cover one name has the greater number.
    pub(crate) fn narrowness(&self) -> usize {
        match self {
            Self::Root => 0,
            Self::Prefix(prefix) => 1 + prefix.as_str().len(),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("every name"),
            Self::Prefix(prefix) => write!(f, "{prefix}"),
        }
    }
}

/// Where one key is trusted and where not. The narrowest scope that covers a name
/// decides, as in rkt: a key trusted for `example.com` can be masked for
/// `example.com/private`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules(Vec<(Scope, Rule)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Trusted,
    Masked,
}

impl Rules {
    pub(crate) fn speaks_for(&self, name: &Name) -> bool {
        let covering = self.0.iter().filter(|(scope, _)| scope.covers(name));
        covering
            .max_by_key(|(scope, _)| scope.narrowness())
            .is_some_and(|(_, rule)| *rule == Rule::Trusted)
    }

    pub(crate) fn scopes(&self) -> Vec<Scope> {
        let trusted = self.0.iter().filter(|(_, rule)| *rule == Rule::Trusted);
        trusted.map(|(scope, _)| scope.clone()).collect()
    }

    fn set(&mut self, scope: Scope, rule: Rule) {
        self.0.retain(|(known, _)| *known != scope);
        self.0.push((scope, rule));
    }
}

/// A certificate and where it is trusted.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) certificate: Certificate,
    pub(crate) rules: Rules,
}

/// Public keys, each with the scopes it is trusted for, and what is demanded of a name.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    entries: Vec<Entry>,
    masks: Vec<(Fingerprint, Scope)>,
    policies: TrustPolicies,
}

impl Keyring {
    /// Trusts a key for a scope. A key that is there already is merged with what is new.
    pub fn push(&mut self, certificate: Certificate, scope: Scope) {
        let fingerprint = *certificate.fingerprint();
        let known = self.entries.iter_mut().find(|e| *e.certificate.fingerprint() == fingerprint);
        if let Some(entry) = known {
            entry.certificate = entry.certificate.clone().merge(certificate);
            entry.rules.set(scope, Rule::Trusted);
            return;
        }
        let mut rules = Rules::default();
        for (_, masked) in self.masks.iter().filter(|(masked, _)| *masked == fingerprint) {
            rules.set(masked.clone(), Rule::Masked);
        }
        rules.set(scope, Rule::Trusted);
        self.entries.push(Entry { certificate, rules });
    }

    /// Takes a key's trust away for a scope, whatever wider scope it is trusted for.
    pub fn mask(&mut self, fingerprint: Fingerprint, scope: Scope) {
        for entry in &mut self.entries {
            if *entry.certificate.fingerprint() == fingerprint {
                entry.rules.set(scope.clone(), Rule::Masked);
            }
        }
        self.masks.push((fingerprint, scope));
    }

    /// Demands what these policies say, in the place of what was demanded before.
    pub fn demand(&mut self, policies: TrustPolicies) {
        self.policies = policies;
    }

    /// What is demanded of names.
    pub fn policies(&self) -> &TrustPolicies {
        &self.policies
    }

    /// Whether no key is trusted for anything.
    pub fn is_empty(&self) -> bool {
        self.certificates().next().is_none()
    }

    /// The keys, and what each is trusted for.
    pub fn certificates(&self) -> impl Iterator<Item = (&Certificate, Vec<Scope>)> {
        let all = self.entries.iter().map(|entry| (&entry.certificate, entry.rules.scopes()));
        all.filter(|(_, scopes)| !scopes.is_empty())
    }

    /// The keys that may sign for a name.
    pub fn trusted_for(&self, name: &Name) -> impl Iterator<Item = &Certificate> {
        let trusted = self.entries.iter().filter(|entry| entry.rules.speaks_for(name));
        trusted.map(|entry| &entry.certificate)
    }

    /// The entries with a primary key or subkey one of these handles names. Several may,
    /// where a handle is a key ID: what the signature itself says decides then.
    pub(crate) fn issuers<'a>(
        &'a self,
        handles: &'a [KeyHandle],
    ) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|entry| {
            !entry.rules.scopes().is_empty()
                && entry
                    .certificate
                    .cert()
                    .keys()
                    .any(|ka| handles.iter().any(|handle| handle.aliases(ka.key().key_handle())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Scope {
        Scope::Prefix(text.parse().unwrap())
    }

    fn speaks(rules: &Rules, name: &str) -> bool {
        rules.speaks_for(&name.parse().unwrap())
    }

    #[test]
    fn rules_match_whole_segments() {
        let mut rules = Rules::default();
        rules.set(prefix("example.com/foo"), Rule::Trusted);
        assert!(speaks(&rules, "example.com/foo"));
        assert!(speaks(&rules, "example.com/foo/bar"));
        assert!(!speaks(&rules, "example.com/foobar"));
        assert!(!speaks(&rules, "example.com"));
    }

    #[test]
    fn rules_let_the_narrowest_scope_decide() {
        let mut rules = Rules::default();
        rules.set(prefix("example.com/a/b"), Rule::Trusted);
        rules.set(prefix("example.com/a"), Rule::Masked);
        rules.set(Scope::Root, Rule::Trusted);
        assert!(speaks(&rules, "example.org/x"));
        assert!(speaks(&rules, "example.com"));
        assert!(!speaks(&rules, "example.com/a"));
        assert!(!speaks(&rules, "example.com/a/c"));
        assert!(speaks(&rules, "example.com/a/b/c"));
        assert_eq!(rules.scopes(), [prefix("example.com/a/b"), Scope::Root]);
    }
}
