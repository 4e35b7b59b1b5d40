//! The data directory.
//!
//! ```text
//! DATA/gantry.db              the catalogue (SQLite; -wal and -shm beside it while it is open)
//! DATA/gantry.db.lock         held while the tables are brought up to date
//! DATA/blobs/sha512/<2 hex>/    images and signatures, the author's bytes, by their digests
//! DATA/spool/                 where uploads are written before they have a name
//! DATA/trustedkeys/           the keys that may sign, by prefix, in rkt's layout
//! DATA/tls/                   ca.pem, ca-key.pem, server.pem, server-key.pem
//! DATA/node                   what this node is called beside others
//! DATA/reserve                room for the catalogue where the disk is full
//! DATA/lock                   held by the server that runs on this data
//! DATA/restoring              there while a backup is being restored, and where that was cut off
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing, Hold, Lock};

use crate::catalog::{Catalog, CatalogError, Database, DatabaseUrl};
use crate::keeping::Reserve;
use crate::token::TokenId;

/// What is there while a backup is being restored.
pub(crate) const RESTORING: &str = "restoring";

/// Where a registry's data is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The data directory.
    pub data: PathBuf,
    /// The catalogue's database; where none is given, `gantry.db` in the data directory.
    pub database: Option<Database>,
}

/// A data directory.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It could not be created or read.
    #[error("the data directory {path:?} cannot be used: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another server runs on it.
    #[error(
        "another registry is running on the data directory {0:?}; stop it first, or give this one a directory of its own"
    )]
    InUse(PathBuf),
    /// There is a part of a registry.
    #[error(
        "a restore into the data directory {0:?} is under way, or was cut off; when it does not run any more, run `gantry registry restore` again"
    )]
    HalfRestored(PathBuf),
}

impl DataDir {
    /// Opens a data directory, and creates what is missing of it.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let data = Self(path.to_owned());
        data.must_be_whole()?;
        for folder in [data.0.clone(), data.blobs(), data.spool(), data.trusted_keys(), data.tls()]
        {
            stage::create_folders(&folder)
                .map_err(|source| DataError::Io { path: folder, source })?;
        }
        Ok(data)
    }

    /// Opens one that is there: who only looks at a mistyped path is told so.
    pub(crate) fn open_existing(path: &Path) -> Result<Self, DataError> {
        path.metadata().map_err(|source| DataError::Io { path: path.to_owned(), source })?;
        Self::open(path)
    }

    /// Takes the lock a running server holds.
    pub(crate) fn lock(&self) -> Result<Lock, DataError> {
        let path = self.0.join("lock");
        match Lock::attempt(&path, Hold::Exclusive) {
            // It may have been cut off since the directory was opened.
            Ok(Some(lock)) => self.must_be_whole().map(|()| lock),
            Ok(None) => Err(DataError::InUse(self.0.clone())),
            Err(source) => Err(DataError::Io { path, source }),
        }
    }

    fn must_be_whole(&self) -> Result<(), DataError> {
        match self.0.join(RESTORING).exists() {
            true => Err(DataError::HalfRestored(self.0.clone())),
            false => Ok(()),
        }
    }

    /// The catalogue's database: the one that was given, or a file here.
    pub(crate) fn database(&self, given: Option<&Database>) -> Database {
        given.cloned().unwrap_or_else(|| DatabaseUrl::file(&self.catalogue()).into())
    }

    /// The database of a place where nothing is made yet.
    pub(crate) fn database_of(place: &Place) -> Database {
        Self(place.data.clone()).database(place.database.as_ref())
    }

    /// Opens the catalogue, and makes one where there are no images yet. Beside images it has to be
    /// there: in an empty one every name would be free, and open to everybody.
    pub(crate) async fn open_catalog(
        &self,
        given: Option<&Database>,
    ) -> Result<Catalog, CatalogError> {
        let database = self.database(given);
        let gone = || CatalogError::Gone(self.0.clone());
        if database.file().is_some_and(|file| !file.exists()) && self.has_images() {
            return Err(gone());
        }
        let catalog = Catalog::open(&database).await?;
        if catalog.is_blank().await? && self.has_images() {
            catalog.close().await;
            return Err(gone());
        }
        Ok(catalog)
    }

    /// Whether there are files of images. Where nobody can say, there may be.
    fn has_images(&self) -> bool {
        fn any_in(folder: &Path) -> io::Result<bool> {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if (kind.is_dir() && any_in(&entry.path())?)
                    || (kind.is_file() && entry.path().extension().is_some_and(|end| end == "aci"))
                {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        any_in(&self.blobs()).unwrap_or_else(|error| error.kind() != io::ErrorKind::NotFound)
    }

    /// What the node that runs on this directory is called: drawn once.
    pub(crate) fn node(&self) -> Result<String, DataError> {
        let path = self.0.join("node");
        let fault = |source| DataError::Io { path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fault(error)),
        }
        let id = TokenId::generate().map_err(fault)?;
        let line = format!("{id}\n");
        stage::write(&path, line.as_bytes(), 0o644, Existing::Refuse).map_err(fault)?;
        Ok(id.as_str().to_owned())
    }

    /// The catalogue's file, where it is in one of ours.
    pub(crate) fn catalogue(&self) -> PathBuf {
        self.0.join("gantry.db")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.0.join("blobs")
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// Room for the catalogue where the disk is full.
    pub(crate) fn reserve(&self) -> Reserve {
        Reserve::new(self.0.join("reserve"))
    }

    /// The keys that may sign, by prefix.
    pub fn trusted_keys(&self) -> PathBuf {
        self.0.join("trustedkeys")
    }

    /// The registry's own certificates.
    pub fn tls(&self) -> PathBuf {
        self.0.join("tls")
    }
}
