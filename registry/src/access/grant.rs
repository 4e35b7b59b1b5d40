//! What a caller may do, and below which names.

use std::fmt;
use std::str::FromStr;

use aci::Name;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that is allowed or not. None includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Publish images.
    Push,
    /// See and fetch images that are not for everybody.
    Read,
    /// Delete images.
    Delete,
    /// Warn of images.
    Yank,
    /// Look after the registry.
    Admin,
}

/// A text that is no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing that can be allowed: the words are push, read, delete, yank and admin")]
pub struct ActionError(String);

impl Action {
    const ALL: [Self; 5] = [Self::Push, Self::Read, Self::Delete, Self::Yank, Self::Admin];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Read => "read",
            Self::Delete => "delete",
            Self::Yank => "yank",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Action {
    type Err = ActionError;

    fn from_str(text: &str) -> Result<Self, ActionError> {
        let found = Self::ALL.into_iter().find(|action| action.as_str() == text);
        found.ok_or_else(|| ActionError(text.to_owned()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some actions on the names at and under some prefixes.
///
/// - Each action and each prefix stands once, in order.
/// - Without one of either, nothing is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Grant {
    prefixes: Vec<Name>,
    actions: Vec<Action>,
}

/// The same, as it is written.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = Grant)]
pub(crate) struct Written {
    /// For these names and all below them.
    prefixes: Vec<Name>,
    /// What is allowed there.
    allow: Vec<Action>,
}

impl From<Written> for Grant {
    fn from(written: Written) -> Self {
        Self::new(written.prefixes, written.allow)
    }
}

impl From<Grant> for Written {
    fn from(grant: Grant) -> Self {
        Self { prefixes: grant.prefixes, allow: grant.actions }
    }
}

/// In words, for records: `push,read under example.com/team`.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<&str> = self.actions.iter().map(|action| action.as_str()).collect();
        let prefixes: Vec<&str> = self.prefixes.iter().map(Name::as_str).collect();
        write!(f, "{} under {}", actions.join(","), prefixes.join(","))
    }
}

impl Grant {
    /// These actions on the names at and under these.
    pub fn new(mut prefixes: Vec<Name>, mut actions: Vec<Action>) -> Self {
        prefixes.sort();
        prefixes.dedup();
        actions.sort();
        actions.dedup();
        Self { prefixes, actions }
    }

    /// The names, each with all under it.
    pub fn prefixes(&self) -> &[Name] {
        &self.prefixes
    }

    /// What is allowed.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// The lowest name that all of it is at or under.
    pub(crate) fn top(&self) -> Option<Name> {
        let mut above = self.prefixes.first()?.ancestors();
        above.find(|name| self.prefixes.iter().all(|prefix| prefix.is_under(name)))
    }

    pub(crate) fn allows(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    pub(crate) fn covers(&self, name: &Name) -> bool {
        self.prefixes.iter().any(|prefix| name.is_under(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grant_covers_whole_segments() {
        let names = |all: &[&str]| all.iter().map(|n| n.parse().unwrap()).collect();
        let grant = Grant::new(
            names(&["example.org", "example.com/team", "example.org"]),
            vec![Action::Read, Action::Push, Action::Read],
        );
        assert_eq!(grant.prefixes().len(), 2);
        assert_eq!(grant.actions(), [Action::Push, Action::Read]);
        for (name, covered) in [
            ("example.com/team", true),
            ("example.com/team/a", true),
            ("example.org/a", true),
            ("example.com", false),
            ("example.com/teamwork", false),
        ] {
            assert_eq!(grant.covers(&name.parse().unwrap()), covered, "{name}");
        }
    }

    #[test]
    fn grant_is_below_one_name_or_none() {
        let top = |prefixes: &[&str]| {
            let prefixes = prefixes.iter().map(|name| name.parse().unwrap()).collect();
            Grant::new(prefixes, vec![Action::Push]).top().map(|name| name.to_string())
        };
        assert_eq!(top(&["example.com/a/b"]).as_deref(), Some("example.com/a/b"));
        assert_eq!(top(&["example.com/a/b", "example.com/a/c"]).as_deref(), Some("example.com/a"));
        assert_eq!(top(&["example.com/a", "example.com/ab"]).as_deref(), Some("example.com"));
        assert_eq!(top(&["example.com/a", "example.org/a"]), None);
        assert_eq!(top(&[]), None);
    }

    #[test]
    fn action_reads_back() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
        }
        assert!("Push".parse::<Action>().is_err());
    }
}
