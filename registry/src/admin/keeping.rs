//! Work that keeps a registry, done by a command: beside a running server, unless it says otherwise.

use std::path::Path;
use std::time::Duration;

use crate::config::Clock;
use crate::data::{DataDir, Place};
use crate::keeping::{
    self, BackedUp, Collected, Judged, KeepError, Keeper, Restored, Retention, Scrubbed,
};

/// How often, and after which pauses, a command asks for work that another is doing.
const ATTEMPTS: u32 = 90;
const PAUSE: Duration = Duration::from_secs(1);

/// Waits until nobody else is at it, for some time.
async fn in_turn<T>(work: impl AsyncFn() -> Result<Option<T>, KeepError>) -> Result<T, KeepError> {
    for _ in 0..ATTEMPTS {
        if let Some(done) = work().await? {
            return Ok(done);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(KeepError::Busy)
}

/// Removes what nothing refers to.
pub async fn collect(place: &Place, clock: Clock) -> Result<Collected, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let collected = in_turn(async || keeper.collect().await).await?;
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

/// Deletes what a rule does not keep, and gives it.
pub async fn retain(
    place: &Place,
    rules: &[Retention],
    clock: Clock,
) -> Result<Vec<Judged>, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let deleted = in_turn(async || keeper.retain(rules).await).await?;
    keeper.catalog.close().await;
    Ok(deleted)
}

/// What rules say of every image they are for. Nothing is deleted.
pub async fn judge(
    place: &Place,
    rules: &[Retention],
    clock: Clock,
) -> Result<Vec<Judged>, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let judged = keeper.judge(rules).await?;
    keeper.catalog.close().await;
    Ok(judged)
}

/// Reads every file again, at most so many bytes a second.
pub async fn scrub(place: &Place, rate: u64, clock: Clock) -> Result<Scrubbed, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let since = keeper.clock.now();
    let scrubbed = in_turn(async || keeper.scrub(since, rate).await).await?;
    keeper.catalog.close().await;
    Ok(scrubbed)
}

/// Makes a backup of a registry, or brings one up to date. With `prune`, what only earlier ones
/// referred to goes.
pub async fn back_up(
    place: &Place,
    to: &Path,
    prune: bool,
    clock: Clock,
) -> Result<BackedUp, KeepError> {
    let keeper = Keeper::command(place, clock).await?;
    let keys = DataDir::open_existing(&place.data)?.trusted_keys();
    let done = keeper.back_up(&keys, to, prune).await?;
    keeper.catalog.close().await;
    Ok(done)
}

/// Restores a backup into an empty place. What is lost is an error, unless it is allowed.
pub async fn restore(
    from: &Path,
    place: &Place,
    allow_lost: bool,
    clock: Clock,
) -> Result<Restored, KeepError> {
    keeping::restore(from, place, allow_lost, &clock).await
}
