//! Removing blobs that nothing refers to.
//!
//! It goes on beside pushes and downloads: what a push is about to refer to is leased, and what is
//! condemned is wanted by nobody (see `catalog/blobs.rs`). A crash leaves condemned blobs, which the
//! next run removes first.

use crate::blobs::BlobKey;
use crate::catalog::Lease;
use crate::error::ApiError;
use crate::state::State;

/// Blobs that are condemned at a time.
const BATCH: u32 = 256;

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
}

/// Removes all of it.
pub(crate) async fn collect(state: &State) -> Result<Collected, ApiError> {
    state.catalog.expire_uploads(state.clock.now()).await?;
    let mut collected = Collected::default();
    loop {
        let condemned = state.catalog.condemn(state.clock.now(), BATCH).await?;
        if condemned.is_empty() {
            return Ok(collected);
        }
        for (key, bytes) in condemned {
            state.blobs.remove(&key).await?;
            state.catalog.forget(&key).await?;
            collected.blobs += 1;
            collected.bytes += bytes;
        }
    }
}

/// Removes the blobs of a push that failed, but for those that are another's by now.
pub(crate) async fn give_up(
    state: &State,
    blobs: &[(BlobKey, u64)],
    lease: &Lease,
) -> Result<(), ApiError> {
    for (key, _) in blobs {
        if state.catalog.give_up(key, lease, state.clock.now()).await? {
            state.blobs.remove(key).await?;
            state.catalog.forget(key).await?;
        }
    }
    Ok(())
}
