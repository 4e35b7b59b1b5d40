//! Work that keeps a registry, done by a command: beside a running server, unless it says otherwise.

use std::time::Duration;

use crate::config::Clock;
use crate::data::Place;
use crate::keeping::{Collected, KeepError, Keeper};

/// How often, and after which pauses, a command asks for work that another is doing.
const ATTEMPTS: u32 = 90;
const PAUSE: Duration = Duration::from_secs(1);

/// Removes what nothing refers to.
pub async fn collect(place: &Place, clock: Clock) -> Result<Collected, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let mut attempts = 0;
    let collected = loop {
        match keeper.collect().await? {
            Some(collected) => break collected,
            None if attempts == ATTEMPTS => return Err(KeepError::Busy),
            None => tokio::time::sleep(PAUSE).await,
        }
        attempts += 1;
    };
    keeper.catalog.close().await;
    Ok(collected)
}

/// What [`collect`] would remove.
pub async fn collectable(place: &Place, clock: Clock) -> Result<Collected, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let collected = keeper.collectable().await?;
    keeper.catalog.close().await;
    Ok(collected)
}
