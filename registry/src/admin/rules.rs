//! Rules for jobs: added, listed, removed.

use std::time::SystemTime;

use super::{AdminError, open};
use crate::access::{Revision, Rule, RuleId, StoredRule};
use crate::data::{DataDir, Place};

/// Adds a rule; `false` where there is one of this name.
pub async fn add_rule(place: &Place, rule: Rule, now: SystemTime) -> Result<bool, AdminError> {
    let stored = StoredRule { rule, revision: Revision::new()?, created: now };
    let catalog = open(DataDir::open(&place.data)?, place).await?;
    let added = catalog.add_rule(&stored).await?;
    catalog.close().await;
    Ok(added)
}

/// Every rule, by name, and when it was added.
pub async fn rules(place: &Place) -> Result<Vec<(Rule, SystemTime)>, AdminError> {
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let rules = catalog.rules().await?;
    catalog.close().await;
    Ok(rules.into_iter().map(|stored| (stored.rule, stored.created)).collect())
}

/// Removes a rule from this moment; `false` where there is none of this name.
pub async fn remove_rule(place: &Place, id: &RuleId) -> Result<bool, AdminError> {
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let removed = catalog.remove_rule(id).await?;
    catalog.close().await;
    Ok(removed)
}
