//! A registry from a backup: whole, or not at all.
//!
//! ```text
//! DATA/restoring        there from the first thing that is done to the last, and nothing runs on DATA
//!                       meanwhile; it holds the address of the database, where there is one
//! DATA/.gantry-stage-…  where everything is made, each file compared with its digest
//! ```
//!
//! First the catalogue of the backup is compared with its digest. When all of it is there, it gets its names in DATA, and then the catalogue comes: `gantry.db` by
//! its name, or a database of its own in one transaction. What was cut off is done again from the
//! beginning. DATA itself stays the folder it is, whoever owns it and wherever it is mounted.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing, Hold, Lock, StagedFolder};
use serde::Serialize;

use super::KeepError;
use super::backup::{CATALOGUE, KEYS};
use super::copy::{self, Copied};
use super::error::at;
use crate::blobs::Folder;
use crate::catalog::{Catalog, Database, Dump, DumpError, Glance};
use crate::config::Clock;
use crate::data::{DataDir, DataError, Place, RESTORING};

/// What is restored, but for the catalogue, which comes last.
const PARTS: [&str; 3] = ["blobs", "spool", "trustedkeys"];
/// The catalogue, where it is in a file of ours. What belongs to it goes before it.
const DATABASE: [&str; 3] = ["gantry.db-wal", "gantry.db-shm", "gantry.db"];

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
    let backup = Backup::at(from)?;
    let mut target = Target::take(place)?;
    let restored = target.fill(&backup, allow_lost, clock).await;
    match restored {
        Ok(_) => target.done()?,
        Err(_) => {
            // The reason why all this is told first.
            if let Err(error) = target.undo().await {
                tracing::warn!(%error, "what was restored so far was not all removed");
            }
        }
    }
    restored
}

/// A backup that is there.
struct Backup {
    folder: PathBuf,
    catalogue: PathBuf,
    holds: Glance,
}

impl Backup {
    fn at(folder: &Path) -> Result<Self, KeepError> {
        let (folder, catalogue) = (folder.to_owned(), folder.join(CATALOGUE));
        let file = match File::open(&catalogue) {
            Ok(file) => file,
            Err(source) => return Err(KeepError::NoBackup { path: folder, source }),
        };
        // What is in it says who may read what: one bit can open a private name.
        match Glance::at(&mut BufReader::new(file)) {
            Ok(holds) => Ok(Self { folder, catalogue, holds }),
            Err(fault) if fault.is_damage() => {
                Err(KeepError::CatalogueDamaged { path: catalogue, fault })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn lines(&self) -> Result<BufReader<File>, KeepError> {
        Ok(BufReader::new(File::open(&self.catalogue).map_err(at(&self.catalogue))?))
    }
}

/// Where a registry is restored, which is this process's alone.
struct Target {
    data: PathBuf,
    database: Option<Database>,
    /// Whether the folder was not there before.
    made: bool,
    /// Into which database an earlier attempt was restoring that was cut off.
    cut_off: Option<String>,
    /// Whether the database may be full by now.
    loading: bool,
    _lock: Lock,
}

impl Target {
    /// Takes a place that is empty, or in which nothing is but what was cut off.
    fn take(place: &Place) -> Result<Self, KeepError> {
        let data = place.data.clone();
        let made = !data.exists();
        // For its owner alone, where it is new.
        stage::create_private_folder(&data).map_err(at(&data))?;
        let marker = data.join(RESTORING);
        if !marker.exists() {
            must_be_empty(&data)?;
        }
        let path = data.join("lock");
        let lock = Lock::attempt(&path, Hold::Exclusive).map_err(at(&path))?;
        let lock = lock.ok_or_else(|| DataError::InUse(data.clone()))?;
        let cut_off = match fs::read_to_string(&marker) {
            Ok(address) => Some(address),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(at(&marker)(error)),
        };
        let database = place.database.clone();
        let loading = cut_off.as_ref().is_some_and(|address| !address.is_empty());
        let target = Self { data, database, made, cut_off, loading, _lock: lock };
        match target.cut_off {
            Some(_) => target.empty()?,
            None => must_be_empty(&target.data)?,
        }
        let address = target.address();
        stage::write(&marker, address.as_bytes(), 0o600, Existing::Replace).map_err(at(&marker))?;
        Ok(target)
    }

    /// What the marker says.
    fn address(&self) -> String {
        self.database.as_ref().map(|database| database.url.to_string()).unwrap_or_default()
    }

    async fn fill(
        &mut self,
        backup: &Backup,
        allow_lost: bool,
        clock: &Clock,
    ) -> Result<Restored, KeepError> {
        let loaded = self.is_loaded(backup).await?;
        let staged = StagedFolder::new_in(&self.data).map_err(at(&self.data))?;
        let data = DataDir::open(staged.path())?;
        // First into a file, whatever database it is for: it says which blobs there have to be.
        let catalog = Catalog::load(&data.database(None), &mut backup.lines()?).await?;
        let restored = self.copy_all(&catalog, backup, &data, clock).await;
        let mut lines = Vec::new();
        if restored.is_ok() && self.database.is_some() && !loaded {
            let mut dump = Dump::new(&mut lines);
            catalog.dump(&mut dump).await?;
            dump.end().map_err(DumpError::from)?;
        }
        catalog.close().await;
        let restored = restored?;
        if !restored.lost.is_empty() && !allow_lost {
            return Err(KeepError::BackupDamaged(restored.lost));
        }
        let keys = data.trusted_keys();
        match &backup.holds.keys {
            Some(files) => copy::write_keys(files, &keys)?,
            None => copy::write_keys(&copy::key_files(&backup.folder.join(KEYS))?, &keys)?,
        }
        staged.sync_tree().map_err(at(&self.data))?;
        self.name(&staged, &PARTS)?;
        match &self.database {
            Some(_) if loaded => {}
            Some(database) => {
                self.loading = true;
                Catalog::load(database, &mut &*lines).await?.close().await;
            }
            None => self.name(&staged, &DATABASE)?,
        }
        Ok(restored)
    }

    /// Copies the files that the catalogue knows, and has it know which are lost.
    async fn copy_all(
        &self,
        catalog: &Catalog,
        backup: &Backup,
        data: &DataDir,
        clock: &Clock,
    ) -> Result<Restored, KeepError> {
        let source = Folder::new(&backup.folder.join("blobs"));
        let store = Folder::new(&data.blobs());
        // By the names that they are going to have.
        let named = Folder::new(&self.data.join("blobs"));
        let mut restored = Restored::default();
        for (key, bytes) in catalog.image_blobs().await? {
            restored.blobs += 1;
            restored.bytes += bytes;
            let copied = copy::blob(&source, &store, &key, bytes, &data.spool()).await;
            if copied.map_err(at(&named.path(&key)))? == Copied::Lost {
                catalog.blob_is_damaged(&key, clock.now()).await?;
                restored.lost.push(key.to_string());
            }
        }
        Ok(restored)
    }

    /// Whether the database was loaded already, and what came after that was cut off. If it was not,
    /// it has to be empty.
    async fn is_loaded(&self, backup: &Backup) -> Result<bool, KeepError> {
        let Some(database) = &self.database else { return Ok(false) };
        match Catalog::check_empty(database).await {
            Err(DumpError::NotEmpty) if self.cut_off.as_ref() == Some(&self.address()) => {}
            empty => return Ok(empty.map(|()| false)?),
        }
        match &backup.holds.last {
            Some(last) if Catalog::is_loaded(database, last).await? => Ok(true),
            _ => Err(DumpError::NotEmpty.into()),
        }
    }

    /// Gives what is staged its names.
    fn name(&self, staged: &StagedFolder, names: &[&str]) -> Result<(), KeepError> {
        for name in names {
            let (from, to) = (staged.path().join(name), self.data.join(name));
            if from.exists() {
                stage::move_file(&from, &to).map_err(at(&to))?;
            }
        }
        Ok(())
    }

    /// Removes all that a restore makes, the catalogue first.
    fn empty(&self) -> Result<(), KeepError> {
        for name in DATABASE.iter().rev().chain(&PARTS) {
            let path = self.data.join(name);
            let removed = match path.is_dir() {
                true => stage::remove_folder(&path),
                false => stage::remove(&path),
            };
            removed.map_err(at(&path))?;
        }
        stage::clean(&self.data).map_err(at(&self.data))
    }

    /// All is there.
    fn done(&self) -> Result<(), KeepError> {
        let marker = self.data.join(RESTORING);
        stage::remove(&marker).map_err(at(&marker))
    }

    /// Nothing is there.
    async fn undo(&self) -> Result<(), KeepError> {
        self.empty()?;
        // A database that is full of this is known by the marker to who tries again.
        let full = match &self.database {
            Some(database) if self.loading => Catalog::check_empty(database).await.is_err(),
            _ => self.loading && self.database.is_none(),
        };
        if full {
            return Ok(());
        }
        self.done()?;
        if self.made {
            let lock = self.data.join("lock");
            stage::remove(&lock).map_err(at(&lock))?;
            // Whoever has put something in it meanwhile keeps it.
            let _ = fs::remove_dir(&self.data);
        }
        Ok(())
    }
}

/// What a new file system has from the beginning, and the lock, which is never removed.
fn must_be_empty(data: &Path) -> Result<(), KeepError> {
    stage::clean(data).map_err(at(data))?;
    for entry in fs::read_dir(data).map_err(at(data))? {
        let name = entry.map_err(at(data))?.file_name();
        if name != "lost+found" && name != "lock" {
            return Err(KeepError::NotEmpty(data.to_owned()));
        }
    }
    Ok(())
}
