//! The one type for who asks, and the one function for what they may do.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use aci::Name;

use super::{Action, Grant, RuleId, UserName};
use crate::audit::Actor;
use crate::error::ApiError;
use crate::token::{TokenHash, TokenId, random};

/// Who asks. Made from a request's credentials, which were good then.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    standing: Standing,
    id: CallerId,
    /// Each stands for itself.
    grants: Vec<Grant>,
    address: Option<IpAddr>,
}

/// Who it is, in words that stay the same from one request to the next, and in records.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CallerId(String);

/// What a caller's word rests on, so that it can be asked again whether it still holds.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// Nothing was given.
    Nobody,
    /// A token, and which of its secrets.
    Token { id: TokenId, hash: TokenHash },
    /// A user's password, as it was set.
    User { name: UserName, revision: Revision },
    /// An ID token, and the rules it fits.
    Job { rules: Vec<(RuleId, Revision)>, until: SystemTime },
}

/// Which state of a row it was: each change draws another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revision(pub(crate) i64);

/// Who changes something: whom the audit log names, and what must still hold when it is changed.
#[derive(Debug, Clone)]
pub(crate) struct Changer {
    pub(crate) actor: Actor,
    /// Nothing, for who is no caller: a command, or the server itself.
    pub(crate) standing: Option<Standing>,
}

impl Changer {
    /// Who works on the data directory.
    pub(crate) fn admin() -> Self {
        Self { actor: Actor::admin(), standing: None }
    }

    /// What a server does by itself, under this word.
    pub(crate) fn itself(who: &str) -> Self {
        Self { actor: Actor::itself(who), standing: None }
    }
}

impl Revision {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(i64::from_le_bytes(random()?)))
    }
}

impl Caller {
    /// Whoever gave no credentials.
    pub(super) fn nobody() -> Self {
        Self::new(Standing::Nobody, "nobody".to_owned(), Vec::new())
    }

    pub(super) fn token(id: TokenId, hash: TokenHash, grant: Grant) -> Self {
        let named = format!("token:{id}");
        Self::new(Standing::Token { id, hash }, named, vec![grant])
    }

    pub(super) fn user(name: UserName, revision: Revision, grant: Grant) -> Self {
        let CallerId(named) = CallerId::of_user(&name);
        Self::new(Standing::User { name, revision }, named, vec![grant])
    }

    /// The rules by name, which is the order in which they are locked.
    pub(super) fn job(
        named: String,
        rules: Vec<(RuleId, Revision)>,
        until: SystemTime,
        grants: Vec<Grant>,
    ) -> Self {
        Self::new(Standing::Job { rules, until }, named, grants)
    }

    fn new(standing: Standing, named: String, grants: Vec<Grant>) -> Self {
        Self { standing, id: CallerId(named), grants, address: None }
    }

    /// The same, from this address.
    pub(super) fn from(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// Who the audit log says it is.
    pub(crate) fn actor(&self) -> Actor {
        Actor { who: self.id.0.clone(), address: self.address }
    }

    /// Who it is.
    pub(crate) fn id(&self) -> &CallerId {
        &self.id
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The same as who changes something.
    pub(crate) fn changer(&self) -> Changer {
        Changer { actor: self.actor(), standing: Some(self.standing.clone()) }
    }

    /// The prefixes below which this caller may do this, none below another.
    pub(crate) fn prefixes(&self, action: Action) -> Vec<Name> {
        let allowing = self.grants.iter().filter(|grant| grant.allows(action));
        let mut all: Vec<Name> = allowing.flat_map(Grant::prefixes).cloned().collect();
        all.sort();
        all.dedup();
        let above = |name: &Name| all.iter().any(|other| other != name && name.is_under(other));
        all.iter().filter(|name| !above(name)).cloned().collect()
    }

    /// Whether every name that this caller may do something to is at or below this one.
    pub(crate) fn is_only_below(&self, prefix: &Name) -> bool {
        let mut own = self.grants.iter().flat_map(Grant::prefixes).peekable();
        own.peek().is_some() && own.all(|own| own.is_under(prefix))
    }

    /// Whether this caller may do this to what has this name.
    pub(crate) fn may(&self, action: Action, name: &Name) -> Result<(), ApiError> {
        self.may_somewhere(action)?;
        let allowing = || self.grants.iter().filter(|grant| grant.allows(action));
        if allowing().any(|grant| grant.covers(name)) {
            return Ok(());
        }
        let prefixes = allowing().flat_map(Grant::prefixes).cloned().collect();
        Err(ApiError::OtherNames { prefixes, name: name.clone() })
    }

    /// Whether this caller may do this at all: for when the name is not known yet.
    pub(crate) fn may_somewhere(&self, action: Action) -> Result<(), ApiError> {
        match self.standing {
            Standing::Nobody => Err(ApiError::CredentialsMissing),
            _ if self.grants.iter().any(|grant| grant.allows(action)) => Ok(()),
            _ => Err(ApiError::ActionMissing(action)),
        }
    }
}

impl CallerId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// That of a user.
    pub(crate) fn of_user(name: &UserName) -> Self {
        Self(format!("user:{name}"))
    }

    #[cfg(test)]
    pub(crate) fn of_token(id: &TokenId) -> Self {
        Self(format!("token:{id}"))
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
