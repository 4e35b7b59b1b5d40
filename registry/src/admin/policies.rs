//! What is so below a prefix: set, listed, removed.

use std::time::SystemTime;

use aci::Name;

use super::{AdminError, within, within_new};
use crate::access::{Changer, PolicyEntry};
use crate::catalog::Catalog;
use crate::data::Place;

/// Has a prefix say this. What is `None` stays as it was. Gives all that it says now.
pub async fn set_policy(
    place: &Place,
    entry: &PolicyEntry,
    now: SystemTime,
) -> Result<PolicyEntry, AdminError> {
    within_new(place, async |catalog| catalog.set_policy(entry, &Changer::admin(), now).await).await
}

/// What every prefix says, by prefix.
pub async fn policies(place: &Place) -> Result<Vec<PolicyEntry>, AdminError> {
    within(place, Catalog::policies).await
}

/// Has a prefix say nothing; `false` where it said nothing before.
pub async fn remove_policy(
    place: &Place,
    prefix: &Name,
    now: SystemTime,
) -> Result<bool, AdminError> {
    within(place, async |catalog| match catalog.policy(prefix).await? {
        Some(entry) => catalog.remove_policy(&entry, &Changer::admin(), now).await,
        None => Ok(false),
    })
    .await
}
