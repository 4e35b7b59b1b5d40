//! A copy of a registry, made while it runs.
//!
//! ```text
//! DIR/gantry-backup             says what the folder is, from the beginning on
//! DIR/catalogue                 what the catalogue held at one moment, as lines of JSON, with the keys
//!                               that may sign, and what is demanded of prefixes
//! DIR/blobs/sha512/<2 hex>/     the files of its images, by their digests
//! DIR/lock                      held while a backup is being made
//! ```
//!
//! The catalogue gets its name when all that it refers to is there, so what stands in DIR is always
//! one whole backup, whatever dies when; keys are few, and stand in it. A file that is there is not copied again. Nothing of the
//! registry is removed meanwhile (see `catalog/duties.rs`). It goes on from the backup that is there:
//! the last record of its audit log is in the registry's, unless somebody says that this is no matter.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use aci::stage::{self, Existing, Hold, Lock, StagedFile};
use serde::Serialize;

use super::copy::{self, Copied};
use super::error::at;
use super::{KeepError, Keeper, NotReplaced, backup_folder};
use crate::blobs::{BlobKey, BlobStore as _, Folder};
use crate::catalog::{Dump, DumpError, Glance};
use crate::data::{DataDir, Place};

/// The file with the catalogue.
pub(super) const CATALOGUE: &str = "catalogue";
/// The folder that the keys were in, before they were in the catalogue.
pub(super) const KEYS: &str = "trustedkeys";
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
    /// Those of earlier backups that were damaged there, and copied again.
    pub repaired: u64,
    /// Those of earlier backups that were removed.
    pub pruned: u64,
    /// Those that the registry has lost: they are not in the backup.
    pub lost: Vec<String>,
}

/// How a backup is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackUp {
    /// What only earlier ones referred to goes.
    pub prune: bool,
    /// The files that are there are read, too, and copied again where they are damaged.
    pub verify: bool,
    /// It takes the place of a backup that has more, or is another registry's.
    pub replace: bool,
}

impl Keeper {
    /// Makes a backup, or brings it up to date.
    pub(crate) async fn back_up(
        &self,
        place: &Place,
        to: &Path,
        how: BackUp,
    ) -> Result<BackedUp, KeepError> {
        let to = &*backup_folder::free(to, place)?;
        let keys = DataDir::open_existing(&place.data)?.trusted_keys();
        // Private images are in it, and hashes of passwords.
        stage::create_private_folder(to).map_err(at(to))?;
        let lock = to.join("lock");
        let lock = Lock::attempt(&lock, Hold::Exclusive).map_err(at(&lock))?;
        let _lock = lock.ok_or(KeepError::Busy)?;
        backup_folder::mark(to)?;
        self.catalog.hold_blobs(&self.name, self.clock.now()).await?;
        let done = tokio::select! {
            done = self.copy_all(&keys, to, how) => done,
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

    async fn copy_all(&self, keys: &Path, to: &Path, how: BackUp) -> Result<BackedUp, KeepError> {
        let folder = to.join("blobs");
        stage::create_folders(&folder).map_err(at(&folder))?;
        stage::clean(to).map_err(at(to))?;
        stage::clean(&folder).map_err(at(&folder))?;
        let store = Folder::new(&folder);
        let staged = StagedFile::new_in(to, 0o600).map_err(at(to))?;
        let mut dump = Dump::new(BufWriter::new(staged));
        let blobs = self.catalog.dump(&mut dump).await?;
        let target = to.join(CATALOGUE);
        if !how.replace
            && let Some(why) = self.not_over(&target, blobs.is_empty()).await?
        {
            return Err(KeepError::OtherBackup { to: to.to_owned(), why });
        }
        // After the rows: who has signed an image of theirs was trusted before.
        for file in copy::key_files(keys)? {
            dump.key(&file).map_err(at(&target))?;
        }
        let mut done = BackedUp::default();
        for (key, bytes) in &blobs {
            done.blobs += 1;
            done.bytes += bytes;
            let path = store.path(key);
            let there = store.bytes(key).await.map_err(at(&path))?;
            let whole =
                there == Some(*bytes) && (!how.verify || copy::is_whole(&store, key, *bytes).await);
            if whole {
                continue;
            }
            match copy::blob(&*self.blobs, &store, key, *bytes, &folder).await.map_err(at(&path))? {
                Copied::Done => {
                    done.copied += 1;
                    done.repaired += u64::from(there.is_some());
                }
                Copied::Lost => done.lost.push(key.to_string()),
            }
        }
        let mut catalogue = dump.end().map_err(at(&target))?;
        catalogue.flush().map_err(at(&target))?;
        let catalogue = catalogue.into_inner().map_err(|error| at(&target)(error.into_error()))?;
        catalogue.commit(&target, Existing::Replace).map_err(at(&target))?;
        let older = to.join(KEYS);
        stage::remove_folder(&older).map_err(at(&older))?;
        if how.prune {
            let wanted: BTreeSet<BlobKey> = blobs.into_iter().map(|(key, _)| key).collect();
            done.pruned = remove_others(&store, &wanted).await?;
        }
        Ok(done)
    }

    /// Why the catalogue that is there is not to be replaced by this one, which may be empty.
    async fn not_over(&self, there: &Path, empty: bool) -> Result<Option<NotReplaced>, KeepError> {
        let file = match File::open(there) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(there)(error)),
        };
        let there = match Glance::at(&mut BufReader::new(file)) {
            Ok(there) => there,
            // Whose it was cannot be told, and what had it damaged may have damaged more.
            Err(error) if error.is_damage() => return Ok(Some(NotReplaced::Damaged)),
            Err(DumpError::NewerFormat(_)) => return Ok(Some(NotReplaced::Newer)),
            Err(error) => return Err(error.into()),
        };
        if let Some(last) = &there.last
            && !self.catalog.has_record(last).await?
        {
            return Ok(Some(NotReplaced::OtherLog));
        }
        Ok((empty && there.images > 0).then_some(NotReplaced::NoImages))
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
