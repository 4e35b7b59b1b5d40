//! Removing blobs that nothing refers to.
//!
//! It goes on beside pushes and downloads: what a push is about to refer to is leased, and what is
//! removed is locked meanwhile (see `catalog/blobs.rs`). One node does it at a time.

use std::io;
use std::time::SystemTime;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{KeepError, Keeper};
use crate::access::Changer;
use crate::audit::{Actor, AuditAction, Event};
use crate::blobs::{BlobKey, BlobStore};
use crate::catalog::{Catalog, CatalogError, Duty, Lease, Remover};
use crate::state::State;

/// Blobs that are looked at together.
const BATCH: u32 = 256;
/// Blobs that are removed together. SQLite has no other writer meanwhile.
const TOGETHER: usize = 32;

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
            let (keys, sizes): (Vec<_>, Vec<_>) = free.into_iter().unzip();
            let by = Remover::Collector(&self.name);
            for (keys, sizes) in keys.chunks(TOGETHER).zip(sizes.chunks(TOGETHER)) {
                let now = self.clock.now();
                let removed = remove(&self.catalog, &*self.blobs, keys, by, now).await?;
                let gone = keys.iter().zip(sizes).filter(|(key, _)| removed.gone.contains(key));
                for (_, bytes) in gone {
                    collected.blobs += 1;
                    collected.bytes += bytes;
                }
                // One file that cannot be removed does not keep the others.
                failed = removed.failed.map(KeepError::from).or(failed);
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

struct Removed {
    gone: Vec<BlobKey>,
    /// Why some of them stay.
    failed: Option<io::Error>,
}

/// Removes those of these blobs that may go.
async fn remove(
    catalog: &Catalog,
    blobs: &dyn BlobStore,
    keys: &[BlobKey],
    by: Remover<'_>,
    now: SystemTime,
) -> Result<Removed, CatalogError> {
    let mut failed = None;
    let removal = async |free: Vec<BlobKey>| {
        let removed = join_all(free.iter().map(|key| blobs.remove(key))).await;
        let mut gone = Vec::new();
        for (key, removed) in free.into_iter().zip(removed) {
            match removed {
                Ok(()) => gone.push(key),
                Err(error) => {
                    tracing::error!(%error, blob = %key, "a file was not removed");
                    failed = Some(error);
                }
            }
        }
        gone
    };
    let gone = catalog.remove_blobs(keys, by, now, removal).await?;
    Ok(Removed { gone, failed })
}

/// Removes blobs of a push but for those that are another's by now. Where this comes to nothing, a
/// collector does it when the lease has ended.
pub(crate) async fn remove_leased(
    state: &State,
    keys: &[BlobKey],
    lease: &Lease,
) -> Result<(), CatalogError> {
    for keys in keys.chunks(TOGETHER) {
        let (by, now) = (Remover::Push(lease), state.clock.now());
        remove(&state.catalog, &*state.blobs, keys, by, now).await?;
    }
    Ok(())
}

/// Removes the blobs of a push that failed.
pub(crate) async fn give_up(state: &State, blobs: &[(BlobKey, u64)], lease: &Lease) {
    let given_up = async {
        // A commit that failed may have been done, or may be found in SQLite's log after a crash, as
        // long as nothing is written after it. So no file goes before something is.
        state.catalog.end_lease(blobs, lease).await?;
        let keys: Vec<BlobKey> = blobs.iter().map(|(key, _)| key.clone()).collect();
        remove_leased(state, &keys, lease).await
    };
    if let Err(error) = given_up.await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "the files of a push that failed stay for a while");
    }
}
