//! The one type for who asks, and the one function for what they may do.

use std::fmt;
use std::net::IpAddr;

use aci::Name;

use super::{Action, Grant};
use crate::audit::Actor;
use crate::config::Domains;
use crate::error::ApiError;
use crate::token::{TokenHash, TokenId};

/// Who asks. Made from a request's credentials, which were good then.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    standing: Standing,
    id: CallerId,
    grant: Grant,
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
}

impl Caller {
    /// Whoever gave no credentials.
    pub(super) fn nobody() -> Self {
        Self {
            standing: Standing::Nobody,
            id: CallerId("nobody".to_owned()),
            grant: Grant::default(),
            address: None,
        }
    }

    pub(super) fn token(id: TokenId, hash: TokenHash, grant: Grant) -> Self {
        let named = CallerId(format!("token:{id}"));
        Self { standing: Standing::Token { id, hash }, id: named, grant, address: None }
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

    /// Whether this caller may do this to what has this name.
    pub(crate) fn may(&self, action: Action, name: &Name) -> Result<(), ApiError> {
        self.may_somewhere(action)?;
        if self.grant.covers(name) {
            return Ok(());
        }
        let prefixes = self.grant.prefixes().to_vec();
        Err(ApiError::OtherNames { prefixes, name: name.clone() })
    }

    /// Whether this caller may do this at all: for when the name is not known yet.
    pub(crate) fn may_somewhere(&self, action: Action) -> Result<(), ApiError> {
        match self.standing {
            Standing::Nobody => Err(ApiError::TokenMissing),
            _ if self.grant.allows(action) => Ok(()),
            _ => Err(ApiError::ActionMissing(action)),
        }
    }

    /// Whether this caller may do this to all that a registry of these domains has.
    #[expect(dead_code, reason = "asked by what is done to the registry as a whole")]
    pub(crate) fn may_everywhere(&self, action: Action, domains: &Domains) -> Result<(), ApiError> {
        domains.iter().try_for_each(|domain| self.may(action, domain.name()))
    }
}

impl CallerId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
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
