//! The data directory.
//!
//! ```text
//! DATA/gantry.db              the catalogue (SQLite; -wal and -shm beside it while it is open)
//! DATA/gantry.db.lock         held while the tables are brought up to date
//! DATA/blobs/sha512/<2 hex>/    images and signatures, the author's bytes, by their digests
//! DATA/spool/                 where uploads are written before they have a name
//! DATA/trustedkeys/           the keys that may sign, by prefix, in rkt's layout
//! DATA/tls/                   ca.pem, ca-key.pem, server.pem, server-key.pem
//! DATA/database               names the catalogue's database, where that is elsewhere
//! DATA/node                   what this node is called beside others
//! DATA/reserve                room for the catalogue where the disk is full
//! DATA/lock                   held by the server that runs on this data
//! DATA/restoring              there while a backup is being restored, and where that was cut off
//! ```

mod error;
mod mark;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing, Hold, Lock};

use crate::catalog::{Database, DatabaseUrl};
use crate::keeping::Reserve;
use crate::token::TokenId;

pub use error::DataError;

/// What every registry's data directory has some of.
const OURS: [&str; 5] = ["gantry.db", "database", "node", "blobs", "trustedkeys"];
/// What may be there before the first start: what an owner copies in, or a file system has.
const BEFORE: [&str; 5] = ["tls", "spool", "lock", "reserve", "lost+found"];
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

/// What is in a folder.
enum Holds {
    Nothing,
    Registry,
    Others,
}

/// A data directory.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Opens a data directory, and creates what is missing of it. A folder of something else is
    /// refused: a mistyped path must not be filled.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let data = Self(path.to_owned());
        data.must_be_whole()?;
        if let Holds::Others = data.holds()? {
            return Err(DataError::Foreign(data.0));
        }
        // What is below it is for nobody else: private images, and the hashes of passwords. A folder
        // that is there already keeps its mode.
        let fault = |source| DataError::Io { path: path.to_owned(), source };
        stage::create_private_folder(path).map_err(fault)?;
        for folder in [data.blobs(), data.spool(), data.trusted_keys(), data.tls()] {
            stage::create_folders(&folder)
                .map_err(|source| DataError::Io { path: folder, source })?;
        }
        Ok(data)
    }

    /// Opens one that is there: who only looks at a mistyped path is told so.
    pub(crate) fn open_existing(path: &Path) -> Result<Self, DataError> {
        if let Holds::Nothing = Self(path.to_owned()).holds()? {
            return Err(DataError::Absent(path.to_owned()));
        }
        Self::open(path)
    }

    /// What is in it now.
    fn holds(&self) -> Result<Holds, DataError> {
        let fault = |source| DataError::Io { path: self.0.clone(), source };
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holds::Nothing),
            Err(error) => return Err(fault(error)),
        };
        let mut holds = Holds::Nothing;
        for entry in entries {
            let name = entry.map_err(fault)?.file_name();
            if OURS.iter().any(|ours| name == *ours) {
                return Ok(Holds::Registry);
            }
            if !BEFORE.iter().any(|before| name == *before) {
                holds = Holds::Others;
            }
        }
        Ok(holds)
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

    /// The directory of a place, of which nothing is made.
    pub(crate) fn unopened(place: &Place) -> Self {
        Self(place.data.clone())
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn mistyped_path_is_neither_made_nor_filled() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent");
        for path in [&absent, &folder.path().to_owned()] {
            let error = DataDir::open_existing(path).unwrap_err();
            assert!(matches!(error, DataError::Absent(_)), "{error}");
        }
        assert!(!absent.exists());
        // What a new disk has, and what was copied in before the first start, is in nobody's way.
        fs::create_dir_all(folder.path().join("lost+found")).unwrap();
        fs::create_dir_all(folder.path().join("tls")).unwrap();
        DataDir::open(folder.path()).unwrap();
        DataDir::open_existing(folder.path()).unwrap();

        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("letter.txt"), "").unwrap();
        for opened in [DataDir::open(other.path()), DataDir::open_existing(other.path())] {
            assert!(matches!(opened, Err(DataError::Foreign(_))));
        }
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "it is left as it was");
        // A registry may have such a file, too.
        fs::write(folder.path().join("letter.txt"), "").unwrap();
        DataDir::open_existing(folder.path()).unwrap();
    }

    #[tokio::test]
    async fn data_is_for_its_owner_and_a_folder_that_is_there_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let data = DataDir::open(&folder.path().join("below/data")).unwrap();
        assert_eq!(mode(&data.0), 0o700);
        let catalog = data.open_catalog::<crate::admin::AdminError>(None).await.unwrap();
        assert_eq!(mode(&data.catalogue()), 0o600);
        catalog.close().await;
        let wide = folder.path().join("wide");
        fs::create_dir(&wide).unwrap();
        fs::set_permissions(&wide, fs::Permissions::from_mode(0o755)).unwrap();
        DataDir::open(&wide).unwrap();
        assert_eq!(mode(&wide), 0o755);
    }
}
