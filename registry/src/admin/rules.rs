//! Rules for jobs: added, listed, removed.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AdminError, within, within_new};
use crate::access::{
    Changer, ClaimPattern, Grant, IssuerUrl, Revision, Rule, RuleId, StoredRule, WrittenGrant,
};
use crate::catalog::Catalog;
use crate::data::Place;

/// What is known of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleInfo {
    /// Its name.
    pub name: RuleId,
    /// Who vouches for the jobs.
    pub issuer: IssuerUrl,
    /// Whom their tokens must be made for.
    pub audience: String,
    /// What their claims must be.
    pub claims: BTreeMap<String, ClaimPattern>,
    /// What is allowed.
    #[serde(flatten)]
    #[schema(value_type = WrittenGrant)]
    pub grant: Grant,
    /// When it was added.
    #[serde(with = "crate::stamp")]
    #[schema(value_type = String, format = DateTime)]
    pub created: SystemTime,
}

impl From<StoredRule> for RuleInfo {
    fn from(stored: StoredRule) -> Self {
        let Rule { id: name, issuer, audience, claims, grant } = stored.rule;
        Self { name, issuer, audience, claims, grant, created: stored.created }
    }
}

/// Adds a rule; `None` where there is one of this name.
pub async fn add_rule(
    place: &Place,
    rule: Rule,
    now: SystemTime,
) -> Result<Option<RuleInfo>, AdminError> {
    within_new(place, async |catalog| add(catalog, rule, &Changer::admin(), now).await).await
}

/// The same, in a catalogue.
pub(crate) async fn add(
    catalog: &Catalog,
    rule: Rule,
    by: &Changer,
    now: SystemTime,
) -> Result<Option<RuleInfo>, AdminError> {
    let stored = StoredRule { rule, revision: Revision::new()?, created: now };
    let added = catalog.add_rule(&stored, by).await?;
    Ok(added.then(|| stored.into()))
}

/// Every rule, by name.
pub async fn rules(place: &Place) -> Result<Vec<RuleInfo>, AdminError> {
    let rules = within(place, Catalog::rules).await?;
    Ok(rules.into_iter().map(RuleInfo::from).collect())
}

/// Removes a rule from this moment; `false` where there is none of this name.
pub async fn remove_rule(place: &Place, id: &RuleId, now: SystemTime) -> Result<bool, AdminError> {
    within(place, async |catalog| match catalog.rule(id).await? {
        Some(stored) => catalog.remove_rule(&stored, &Changer::admin(), now).await,
        None => Ok(false),
    })
    .await
}
