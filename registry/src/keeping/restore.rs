//! A registry from a backup: whole, or not at all.
//!
//! It is made beside its place, each file compared with its digest, and gets its name when all of it is
//! there. Where the catalogue is to be in a database of its own, that is filled last.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use aci::stage::{self, StagedFolder};
use serde::Serialize;

use super::KeepError;
use super::backup::CATALOGUE;
use super::copy::{self, Copied};
use crate::blobs::Folder;
use crate::catalog::Catalog;
use crate::config::Clock;
use crate::data::{DataDir, Place};

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The files of its images.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were not in the backup, or are damaged there.
    pub lost: Vec<String>,
}

/// Restores a backup into an empty place. What is lost is an error, unless it is allowed: then the
/// registry knows, and a push of the same image brings it back.
pub(crate) async fn restore(
    from: &Path,
    place: &Place,
    allow_lost: bool,
    clock: &Clock,
) -> Result<Restored, KeepError> {
    let catalogue = from.join(CATALOGUE);
    let lines = || -> io::Result<_> { Ok(BufReader::new(File::open(&catalogue)?)) };
    let no_backup = |source| KeepError::NoBackup { path: from.to_owned(), source };
    let mut first = lines().map_err(no_backup)?;
    if place.data.exists() && fs::read_dir(&place.data)?.next().is_some() {
        return Err(KeepError::NotEmpty(place.data.clone()));
    }
    let parent = stage::folder_of(&place.data);
    stage::create_folders(parent)?;
    let staged = StagedFolder::new_in(parent)?;
    let data = DataDir::open(staged.path())?;

    // First into a file, whatever database it is for: it says which blobs there have to be.
    let file = data.database(None);
    let catalog = Catalog::load(&file, &mut first).await?;
    let (source, store) = (Folder::new(&from.join("blobs")), Folder::new(&data.blobs()));
    let mut restored = Restored::default();
    for (key, bytes) in catalog.image_blobs().await? {
        restored.blobs += 1;
        restored.bytes += bytes;
        if copy::blob(&source, &store, &key, bytes, &data.spool()).await? == Copied::Lost {
            catalog.blob_is_damaged(&key, clock.now()).await?;
            restored.lost.push(key.to_string());
        }
    }
    if !restored.lost.is_empty() && !allow_lost {
        catalog.close().await;
        return Err(KeepError::BackupDamaged(restored.lost));
    }
    copy::tree(&from.join("trustedkeys"), &data.trusted_keys())?;
    if let Some(database) = &place.database {
        let mut lines = Vec::new();
        catalog.dump(&mut lines).await?;
        Catalog::load(database, &mut lines.as_slice()).await?.close().await;
    }
    catalog.close().await;
    if place.database.is_some() {
        for end in ["", "-wal", "-shm"] {
            stage::remove(&staged.path().join(format!("gantry.db{end}")))?;
        }
    }
    staged.sync_tree()?;
    if place.data.exists() {
        fs::remove_dir(&place.data)?;
    }
    staged.commit(&place.data)?;
    Ok(restored)
}
