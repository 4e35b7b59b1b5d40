//! Removing blobs that nothing refers to.
//!
//! It goes on beside pushes and downloads: what a push is about to refer to is leased, and what is
//! removed is locked meanwhile (see `catalog/blobs.rs`). One node does it at a time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{KeepError, Keeper};
use crate::access::Changer;
use crate::audit::{Actor, AuditAction, Event};
use crate::blobs::BlobKey;
use crate::catalog::{CatalogError, Duty, Lease, Remover};
use crate::error::ApiError;
use crate::state::State;

/// Blobs that are looked at together.
const BATCH: u32 = 256;

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Collected {
    /// Images and signatures.
    pub blobs: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

impl Keeper {
    /// Removes all of it; `None` where somebody else is doing so, or took over.
    pub(crate) async fn collect(&self, actor: &Actor) -> Result<Option<Collected>, KeepError> {
        if !self.catalog.take_duty(Duty::Collect, &self.name, self.clock.now()).await? {
            return Ok(None);
        }
        let mut collected = self.collect_all().await;
        if collected.as_ref().is_err_and(KeepError::is_full_disk) && self.reserve.give_up() {
            collected = self.collect_all().await;
        }
        self.catalog.leave_duty(Duty::Collect, &self.name).await?;
        let collected = collected?;
        if let Some(Collected { blobs, bytes }) = collected.filter(|all| all.blobs > 0) {
            let detail = format!("{blobs} files, {bytes} bytes");
            let event = Event::new(actor, AuditAction::Gc, detail);
            // Whoever began it may have ended meanwhile; it is done.
            let by = Changer { actor: actor.clone(), standing: None };
            let done = async { Ok::<_, CatalogError>(((), Some(event))) };
            self.catalog.told(&by, self.clock.now(), done).await?;
        }
        Ok(collected)
    }

    async fn collect_all(&self) -> Result<Option<Collected>, KeepError> {
        self.catalog.expire_uploads(self.clock.now()).await?;
        let mut collected = Collected::default();
        let mut failed = None;
        let mut last: Option<BlobKey> = None;
        loop {
            let now = self.clock.now();
            if !self.catalog.take_duty(Duty::Collect, &self.name, now).await? {
                return Ok(None);
            }
            let free = self.catalog.free_blobs(last.as_ref(), BATCH, now).await?;
            let Some((end, _)) = free.last() else {
                return failed.map_or(Ok(Some(collected)), Err);
            };
            last = Some(end.clone());
            for (key, bytes) in free {
                let removal = async { Ok::<_, KeepError>(self.blobs.remove(&key).await?) };
                let by = Remover::Collector(&self.name);
                match self.catalog.remove_blob(&key, by, self.clock.now(), removal).await {
                    Ok(true) => {
                        collected.blobs += 1;
                        collected.bytes += bytes;
                    }
                    Ok(false) => {}
                    // One file that cannot be removed does not keep the others.
                    Err(KeepError::Blobs(error)) => {
                        tracing::error!(%error, blob = %key, "a file was not removed");
                        failed = Some(error.into());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// What would be removed now.
    pub(crate) async fn collectable(&self) -> Result<Collected, KeepError> {
        let mut collected = Collected::default();
        let mut last: Option<BlobKey> = None;
        loop {
            let now = self.clock.now();
            let free = self.catalog.free_blobs(last.as_ref(), BATCH, now).await?;
            let Some((end, _)) = free.last() else { return Ok(collected) };
            last = Some(end.clone());
            collected.blobs += free.len() as u64;
            collected.bytes += free.iter().map(|(_, bytes)| bytes).sum::<u64>();
        }
    }
}

/// Removes the blobs of a push that failed, but for those that are another's by now. Where this comes
/// to nothing, a collector does it when the lease has ended.
pub(crate) async fn give_up(state: &State, blobs: &[(BlobKey, u64)], lease: &Lease) {
    let given_up = async {
        // A commit that failed may have been done, or may be found in SQLite's log after a crash, as
        // long as nothing is written after it. So no file goes before something is.
        state.catalog.end_lease(blobs, lease).await?;
        for (key, _) in blobs {
            let removal = async { Ok::<_, ApiError>(state.blobs.remove(key).await?) };
            let now = state.clock.now();
            state.catalog.remove_blob(key, Remover::Push(lease), now, removal).await?;
        }
        Ok::<_, ApiError>(())
    };
    if let Err(error) = given_up.await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "the files of a push that failed stay for a while");
    }
}
