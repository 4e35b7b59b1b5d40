//! What is so for the names at and under a prefix, as data.
//!
//! ```text
//! example.com            read = token
//! example.com/public     read = public
//! example.com/nightly    overwrite = allowed        (and read = token, as above it)
//! ```
//!
//! The longest prefix that says something about a field decides it.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use aci::Name;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::catalog::{Catalog, CatalogError};

/// Who may see and fetch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReadPolicy {
    /// Everybody.
    #[default]
    Public,
    /// Callers who may read there.
    Token,
}

/// Whether what has a name and labels may become another image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OverwritePolicy {
    /// It stays what it is.
    #[default]
    Never,
    /// A push may replace it.
    Allowed,
}

/// A word that no field of a policy has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not one of the words here: {words}")]
pub struct PolicyError {
    found: String,
    words: &'static str,
}

/// What a prefix says of itself. What it does not say is as the prefix above has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyEntry {
    /// The prefix.
    pub prefix: Name,
    /// Who may see and fetch.
    #[serde(default)]
    pub read: Option<ReadPolicy>,
    /// Whether images may be replaced.
    #[serde(default)]
    pub overwrite: Option<OverwritePolicy>,
}

/// In words, for records: `read=token overwrite=allowed`.
impl fmt::Display for PolicyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = self.read.map(|word| format!("read={word}"));
        let overwrite = self.overwrite.map(|word| format!("overwrite={word}"));
        let all: Vec<String> = read.into_iter().chain(overwrite).collect();
        f.write_str(&all.join(" "))
    }
}

/// What is so for a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) read: ReadPolicy,
    pub(crate) overwrite: OverwritePolicy,
}

/// All that prefixes say.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    entries: HashMap<Name, PolicyEntry>,
    restricted: bool,
}

impl Policies {
    /// What is so for this name.
    pub(crate) fn of(&self, name: &Name) -> Policy {
        let mut policy = Policy::default();
        let (mut read, mut overwrite) = (None, None);
        // From the name itself up.
        for prefix in name.ancestors() {
            if let Some(entry) = self.entries.get(&prefix) {
                read = read.or(entry.read);
                overwrite = overwrite.or(entry.overwrite);
            }
        }
        policy.read = read.unwrap_or_default();
        policy.overwrite = overwrite.unwrap_or_default();
        policy
    }

    /// Whether an image at or below this name may take the place of another.
    pub(crate) fn may_overwrite_below(&self, name: &Name) -> bool {
        let below = |entry: &PolicyEntry| {
            entry.overwrite == Some(OverwritePolicy::Allowed) && entry.prefix.is_under(name)
        };
        self.of(name).overwrite == OverwritePolicy::Allowed || self.entries.values().any(below)
    }

    /// Whether there are names that not everybody may see.
    pub(super) fn restrict(&self) -> bool {
        self.restricted
    }

    /// The prefix whose word it is that not everybody may see a name.
    pub(super) fn hidden_by(&self, name: &Name) -> Option<Name> {
        let says = |prefix: &Name| self.entries.get(prefix).and_then(|entry| entry.read);
        let prefix = name.ancestors().find(|prefix| says(prefix).is_some())?;
        (says(&prefix) == Some(ReadPolicy::Token)).then_some(prefix)
    }

    /// The prefixes that everybody may see.
    pub(super) fn public(&self) -> impl Iterator<Item = &Name> {
        let public = |entry: &&PolicyEntry| entry.read == Some(ReadPolicy::Public);
        self.entries.values().filter(public).map(|entry| &entry.prefix)
    }
}

impl FromIterator<PolicyEntry> for Policies {
    fn from_iter<T: IntoIterator<Item = PolicyEntry>>(all: T) -> Self {
        let entries: HashMap<Name, PolicyEntry> =
            all.into_iter().map(|entry| (entry.prefix.clone(), entry)).collect();
        let restricted = entries.values().any(|entry| entry.read == Some(ReadPolicy::Token));
        Self { entries, restricted }
    }
}

/// How long a node goes by what it has read. A change counts everywhere after this time.
const FRESH: Duration = Duration::from_secs(1);

/// The policies as they were read a moment ago: every request asks for them.
#[derive(Default)]
pub(super) struct Snapshot(Mutex<Option<(Instant, Arc<Policies>)>>);

impl Snapshot {
    pub(super) async fn policies(&self, catalog: &Catalog) -> Result<Arc<Policies>, CatalogError> {
        let mut held = self.0.lock().await;
        if let Some((read, policies)) = &*held
            && read.elapsed() < FRESH
        {
            return Ok(Arc::clone(policies));
        }
        // From before the question: what is changed meanwhile is read the next time.
        let now = Instant::now();
        let policies: Arc<Policies> = Arc::new(catalog.policies().await?.into_iter().collect());
        *held = Some((now, Arc::clone(&policies)));
        Ok(policies)
    }
}

macro_rules! words {
    ($type:ty, $words:literal, $($word:literal => $variant:ident),+) => {
        impl $type {
            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $type {
            type Err = PolicyError;

            fn from_str(text: &str) -> Result<Self, PolicyError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(PolicyError { found: text.to_owned(), words: $words }),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(ReadPolicy, "public, token", "public" => Public, "token" => Token);
words!(OverwritePolicy, "never, allowed", "never" => Never, "allowed" => Allowed);

#[cfg(test)]
mod tests {
    use super::*;

    fn policies() -> Policies {
        let entry = |prefix: &str, read, overwrite| PolicyEntry {
            prefix: prefix.parse().unwrap(),
            read,
            overwrite,
        };
        Policies::from_iter([
            entry("example.com/a", Some(ReadPolicy::Token), None),
            entry("example.com/a/b", None, Some(OverwritePolicy::Allowed)),
            entry("example.com/a/b/open", Some(ReadPolicy::Public), None),
            entry("example.com/c", Some(ReadPolicy::Token), None),
        ])
    }

    #[test]
    fn policy_is_the_longest_prefixs_field_by_field() {
        let (all, (token, public)) = (policies(), (ReadPolicy::Token, ReadPolicy::Public));
        let (never, allowed) = (OverwritePolicy::Never, OverwritePolicy::Allowed);
        for (name, read, overwrite) in [
            ("example.com", public, never),
            ("example.com/ab", public, never),
            ("example.com/a", token, never),
            ("example.com/a/x/y", token, never),
            ("example.com/a/b", token, allowed),
            ("example.com/a/b/c", token, allowed),
            ("example.com/a/b/open", public, allowed),
            ("example.com/a/b/open/x", public, allowed),
            ("example.org", public, never),
        ] {
            let policy = all.of(&name.parse().unwrap());
            assert_eq!((policy.read, policy.overwrite), (read, overwrite), "{name}");
        }
        assert!(all.restrict());
        assert!(!Policies::default().restrict());
    }

    #[test]
    fn name_is_hidden_by_the_longest_prefix_that_says_so() {
        let hidden = |name: &str| policies().hidden_by(&name.parse().unwrap());
        assert_eq!(hidden("example.com/c/x"), Some("example.com/c".parse().unwrap()));
        assert_eq!(hidden("example.com/c"), Some("example.com/c".parse().unwrap()));
        assert_eq!(hidden("example.com/a/x"), Some("example.com/a".parse().unwrap()));
        assert_eq!(hidden("example.com/a/b/open/x"), None);
        assert_eq!(hidden("example.com/d"), None);
    }
}
