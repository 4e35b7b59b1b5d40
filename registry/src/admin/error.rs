//! Why an administrator's work was not done.

use aci::{Name, Refusal, Refuse};
use keys::{Fingerprint, KeyError, TrustError};

use crate::access::{HashError, RuleId, UserName};
use crate::catalog::CatalogError;
use crate::data::DataError;
use crate::token::TokenId;

/// Why an administrator's command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The catalogue cannot be used.
    #[error("the catalogue cannot be used")]
    Catalog(#[from] CatalogError),
    /// The trusted keys cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The file holds no public keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No randomness for a new token.
    #[error("no random bytes for a token: {0}")]
    Random(#[from] std::io::Error),
    /// A password that was not hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The thread that worked died.
    #[error("the work stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
    /// An expiry no clock can show.
    #[error("the token would expire after the end of time")]
    Expiry,
}

/// What is not there, or is there already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No such token that is not revoked.
    #[error("there is no token {0} that is good")]
    TokenUnknown(TokenId),
    /// No such user.
    #[error("there is no user {0}")]
    UserUnknown(UserName),
    /// A user of this name.
    #[error("there is a user {0} already")]
    UserExists(UserName),
    /// No such rule.
    #[error("there is no rule {0}")]
    RuleUnknown(RuleId),
    /// A rule of this name.
    #[error("there is a rule {0} already")]
    RuleExists(RuleId),
    /// A prefix that says nothing.
    #[error("{0} says nothing that could be removed")]
    PolicyUnknown(Name),
    /// A key that may not sign there.
    #[error("no key {fingerprint} may sign for {prefix}")]
    KeyUnknown {
        /// The prefix.
        prefix: Name,
        /// The key.
        fingerprint: Fingerprint,
    },
}

impl Unfit {
    /// Whether it is there already.
    pub fn exists(&self) -> bool {
        matches!(self, Self::UserExists(_) | Self::RuleExists(_))
    }
}

const THERE: &str = "what is to be changed must be there";

impl Refuse for Unfit {
    fn refusal(&self) -> Refusal {
        let (code, wanted, found, rule, next) = match self {
            Self::TokenUnknown(id) => (
                "token-unknown",
                "the ID of a token that is not revoked",
                id.to_string(),
                THERE,
                "`gantry registry token list` shows the tokens",
            ),
            Self::UserUnknown(name) => (
                "user-unknown",
                "the name of a user",
                name.to_string(),
                THERE,
                "`gantry registry user list` shows the users",
            ),
            Self::UserExists(name) => (
                "user-exists",
                "the name of a user who is not there",
                name.to_string(),
                "a name is one user's",
                "`gantry registry user passwd` sets another password; to allow something else, \
                 remove the user first",
            ),
            Self::RuleUnknown(name) => (
                "rule-unknown",
                "the name of a rule",
                name.to_string(),
                THERE,
                "`gantry registry oidc list` shows the rules",
            ),
            Self::RuleExists(name) => (
                "rule-exists",
                "a name that no rule has",
                name.to_string(),
                "a name is one rule's",
                "choose another name, or remove that rule first",
            ),
            Self::PolicyUnknown(prefix) => (
                "policy-unknown",
                "a prefix that says something",
                prefix.to_string(),
                THERE,
                "`gantry registry policy list` shows what each prefix says",
            ),
            Self::KeyUnknown { prefix, fingerprint } => (
                "key-unknown",
                "a key that may sign for exactly this prefix",
                format!("{fingerprint} for {prefix}"),
                THERE,
                "`gantry registry keys list` shows the keys of each prefix",
            ),
        };
        Refusal {
            code: code.to_owned(),
            message: self.to_string(),
            wanted: wanted.to_owned(),
            found,
            rule: rule.to_owned(),
            next: next.to_owned(),
        }
    }
}
