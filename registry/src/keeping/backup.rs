//! A copy of a registry, made while it runs.
//!
//! ```text
//! DIR/catalogue                 what the catalogue held at one moment, as lines of JSON
//! DIR/blobs/sha512/<2 hex>/     the files of its images, by their digests
//! DIR/trustedkeys/              the keys that may sign, and what is demanded of prefixes
//! DIR/lock                      held while a backup is being made
//! ```
//!
//! The catalogue gets its name when all that it refers to is there, so what stands in DIR is always
//! one whole backup, whatever dies when. A file that is there is not copied again. Nothing of the
//! registry is removed meanwhile (see `catalog/duties.rs`).

use std::collections::BTreeSet;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use aci::stage::{self, Existing, Hold, Lock, StagedFile};
use serde::Serialize;

use super::copy::{self, Copied};
use super::{KeepError, Keeper};
use crate::blobs::{BlobKey, BlobStore as _, Folder};

/// The file with the catalogue.
pub(super) const CATALOGUE: &str = "catalogue";
/// How often the hold on blobs is renewed.
const RENEWED: Duration = Duration::from_secs(15);
/// Keys that are listed at a time.
const BATCH: usize = 1024;

/// What is in a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// The files of its images.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were copied this time.
    pub copied: u64,
    /// Those of earlier backups that were removed.
    pub pruned: u64,
    /// Those that the registry has lost: they are not in the backup.
    pub lost: Vec<String>,
}

impl Keeper {
    /// Makes a backup, or brings it up to date. With `prune`, what only earlier ones referred to goes.
    pub(crate) async fn back_up(
        &self,
        keys: &Path,
        to: &Path,
        prune: bool,
    ) -> Result<BackedUp, KeepError> {
        stage::create_folders(to)?;
        let lock = Lock::attempt(&to.join("lock"), Hold::Exclusive)?;
        let _lock = lock.ok_or(KeepError::Busy)?;
        self.catalog.hold_blobs(&self.name, self.clock.now()).await?;
        let done = tokio::select! {
            done = self.copy_all(keys, to, prune) => done,
            failed = self.renew_hold() => Err(failed),
        };
        self.catalog.let_blobs_go(&self.name).await?;
        done
    }

    /// Ends where that fails.
    async fn renew_hold(&self) -> KeepError {
        loop {
            tokio::time::sleep(RENEWED).await;
            if let Err(error) = self.catalog.hold_blobs(&self.name, self.clock.now()).await {
                return error.into();
            }
        }
    }

    async fn copy_all(&self, keys: &Path, to: &Path, prune: bool) -> Result<BackedUp, KeepError> {
        let folder = to.join("blobs");
        stage::create_folders(&folder)?;
        stage::clean(to)?;
        stage::clean(&folder)?;
        let store = Folder::new(&folder);
        let mut catalogue = BufWriter::new(StagedFile::new_in(to, 0o600)?);
        let blobs = self.catalog.dump(&mut catalogue).await?;
        let mut done = BackedUp::default();
        for (key, bytes) in &blobs {
            done.blobs += 1;
            done.bytes += bytes;
            if store.bytes(key).await? == Some(*bytes) {
                continue;
            }
            match copy::blob(&*self.blobs, &store, key, *bytes, &folder).await? {
                Copied::Done => done.copied += 1,
                Copied::Lost => done.lost.push(key.to_string()),
            }
        }
        copy::tree(keys, &to.join("trustedkeys"))?;
        catalogue.flush()?;
        let catalogue = catalogue.into_inner().map_err(|error| error.into_error())?;
        catalogue.commit(&to.join(CATALOGUE), Existing::Replace)?;
        if prune {
            let wanted: BTreeSet<BlobKey> = blobs.into_iter().map(|(key, _)| key).collect();
            done.pruned = remove_others(&store, &wanted).await?;
        }
        Ok(done)
    }
}

async fn remove_others(store: &Folder, wanted: &BTreeSet<BlobKey>) -> Result<u64, KeepError> {
    let (mut removed, mut last) = (0, None);
    loop {
        let keys = store.list(last.as_ref(), BATCH).await?;
        for key in keys.iter().filter(|key| !wanted.contains(key)) {
            store.remove(key).await?;
            removed += 1;
        }
        let Some(end) = keys.into_iter().next_back() else { return Ok(removed) };
        last = Some(end);
    }
}
