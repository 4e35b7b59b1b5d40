//! Jobs of a CI system, whose identity an issuer vouches for: no secret is kept anywhere.
//!
//! ```text
//! rule       ci: issuer https://ci.example.com, audience registry,
//!                repository = team/hello, ref = refs/tags/*  → push under example.com/team
//! job        Authorization: Bearer eyJ…, the ID token its CI system gave it
//! caller     oidc:https://ci.example.com#repo:team/hello
//! ```
//!
//! 1. Whom the token says it is from must be the issuer of a rule; nobody else is asked for anything.
//! 2. The issuer's keys are found by OpenID Connect Discovery, over HTTPS (`issuer.rs`).
//! 3. The signature and the times are checked (`jwt.rs`).
//! 4. What the rules say whose audience and claims the token has is what the job may do (`rule.rs`).
//!
//! The token may be shown as often as the job likes, until it expires: it is the job's proof, as a
//! token of the registry's is somebody's.

mod issuer;
mod jwt;
mod rule;

pub use issuer::CaFileError;
pub(super) use issuer::Issuers;
pub use rule::{ClaimPattern, IssuerUrl, Rule, RuleError, RuleId};

use std::time::SystemTime;

use jwt::Jwt;

use super::{Caller, Revision};
use crate::error::ApiError;
use crate::state::State;

/// Longer ones are no ID token's.
pub(super) const MAX_JWT: usize = 8 << 10;

/// Why a job is not one of a rule's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JobFault {
    #[error("it cannot be read")]
    Malformed,
    #[error("it is from an issuer of no rule")]
    Issuer,
    #[error("it is signed in a way that is not taken")]
    Algorithm,
    #[error("the issuer has no such key")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("it is not good yet")]
    Early,
    #[error("it is for another audience")]
    Audience,
    #[error("no rule is for this job")]
    Rule,
}

/// A rule as the catalogue knows it.
#[derive(Debug, Clone)]
pub(crate) struct StoredRule {
    pub(crate) rule: Rule,
    pub(crate) revision: Revision,
    pub(crate) created: SystemTime,
}

/// Whether a text looks like an ID token: a JSON object in base64, and two more parts.
pub(super) fn is_jwt(text: &str) -> bool {
    text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl Caller {
    pub(super) async fn with_jwt(text: &str, state: &State) -> Result<Self, ApiError> {
        let jwt = Jwt::read(text)?;
        // Whatever is claimed here is checked below, with the keys of who is claimed to have said it.
        let rules = state.catalog.rules_of(jwt.issuer()?).await?;
        let first = rules.first().ok_or(JobFault::Issuer)?;
        let key = state.access.issuers.key(&first.rule.issuer, jwt.key_id()?).await?;
        let claims = jwt.verify(&key, state.clock.now())?;
        let for_us: Vec<StoredRule> =
            rules.into_iter().filter(|stored| claims.has_audience(&stored.rule.audience)).collect();
        if for_us.is_empty() {
            return Err(JobFault::Audience.into());
        }
        let good: Vec<StoredRule> =
            for_us.into_iter().filter(|stored| claims.fit(&stored.rule)).collect();
        let Some(first) = good.first() else { return Err(JobFault::Rule.into()) };
        // No URL of an issuer has a `#`: neither is told for another.
        let named = format!("oidc:{}#{}", first.rule.issuer, claims.subject());
        let grants = good.iter().map(|stored| stored.rule.grant.clone()).collect();
        let rules = good.into_iter().map(|stored| (stored.rule.id, stored.revision)).collect();
        Ok(Self::job(named, rules, claims.until(), grants))
    }
}
