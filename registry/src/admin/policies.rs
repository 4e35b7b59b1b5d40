//! What is so below a prefix: set, listed, removed.

use std::time::SystemTime;

use aci::Name;

use super::{AdminError, open};
use crate::access::PolicyEntry;
use crate::data::{DataDir, Place};

/// Has a prefix say this. What is `None` stays as it was. Gives all that it says now.
pub async fn set_policy(
    place: &Place,
    entry: &PolicyEntry,
    now: SystemTime,
) -> Result<PolicyEntry, AdminError> {
    let catalog = open(DataDir::open(&place.data)?, place).await?;
    let set = catalog.set_policy(entry, now).await?;
    catalog.close().await;
    Ok(set)
}

/// What every prefix says, by prefix.
pub async fn policies(place: &Place) -> Result<Vec<PolicyEntry>, AdminError> {
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let policies = catalog.policies().await?;
    catalog.close().await;
    Ok(policies)
}

/// Has a prefix say nothing; `false` where it said nothing before.
pub async fn remove_policy(place: &Place, prefix: &Name) -> Result<bool, AdminError> {
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let removed = catalog.remove_policy(prefix).await?;
    catalog.close().await;
    Ok(removed)
}
