//! Who asks, and what they may do.
//!
//! ```text
//! Authorization: Bearer gantry_5f0c…     → token:3a91c07b
//! Authorization: Basic (any:gantry_5f0c…)→ token:3a91c07b
//! Authorization: Basic (alice:…)          → user:alice
//! Authorization: Bearer eyJ…             → oidc:https://ci.example.com#…
//! no such header                         → nobody
//! ```
//!
//! A request becomes a [`Caller`] by its credentials, once. What the caller may do is then asked of
//! [`Caller::may`], with an action and a name, and nowhere else.

mod admin;
mod authenticate;
mod caller;
mod credentials;
mod grant;
mod oidc;
mod passwords;
mod policy;
pub(crate) mod rates;
mod sight;
mod user;

use std::path::Path;
use std::sync::Arc;

use crate::catalog::{Catalog, CatalogError};
use crate::error::ApiError;

pub(crate) use admin::Admin;
pub(crate) use authenticate::Pusher;
pub(crate) use caller::{Caller, CallerId, Changer, Revision, Standing};
pub(crate) use grant::Written as WrittenGrant;
pub use grant::{Action, ActionError, Grant};
use oidc::Issuers;
pub use oidc::{CaFileError, ClaimPattern, IssuerUrl, Rule, RuleError, RuleId};
pub(crate) use oidc::{JobFault, StoredRule};
use passwords::Passwords;
pub use policy::{OverwritePolicy, PolicyEntry, PolicyError, ReadPolicy};
use policy::{Policies, Snapshot};
use rates::Buckets;
pub use rates::Rates;
pub(crate) use sight::Sight;
pub(crate) use user::PasswordHash;
pub use user::{HashError, Password, UserError, UserName};

/// Why nobody could be told from anybody else.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No randomness.
    #[error("no random bytes: {0}")]
    Random(#[from] std::io::Error),
    /// The file of issuers' roots.
    #[error(transparent)]
    CaFile(#[from] CaFileError),
}

/// What deciding who asks needs beside the catalogue.
pub(crate) struct Access {
    passwords: Passwords,
    policies: Snapshot,
    issuers: Issuers,
    buckets: Buckets,
}

impl Access {
    /// Believing issuers whose certificates are from the roots of this file, too.
    pub(crate) fn new(issuer_ca: Option<&Path>) -> Result<Self, AccessError> {
        Ok(Self {
            passwords: Passwords::new()?,
            policies: Snapshot::default(),
            issuers: Issuers::new(issuer_ca)?,
            buckets: Buckets::default(),
        })
    }

    /// What is to be kept of a password.
    pub(crate) async fn hash(&self, password: Password) -> Result<PasswordHash, ApiError> {
        self.passwords.hash(password).await
    }

    /// What prefixes say, as it was at most a second ago.
    pub(crate) async fn policies(&self, catalog: &Catalog) -> Result<Arc<Policies>, CatalogError> {
        self.policies.policies(catalog).await
    }
}
