//! The user's secret keys on disk.
//!
//! ```text
//! keys/                                                  mode 0700
//! ├── .lock
//! └── 5c3e2b1f5c3e2b1f5c3e2b1f5c3e2b1f5c3e2b1f.asc       mode 0600
//! ```
//!
//! A file is named by the 40 lower-case hex digits of its primary key's fingerprint and holds
//! that key, armored, with the secret parts that are there. A file that is no such key is passed
//! over with a warning. Whoever changes a key holds the lock from reading it to writing it.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aci::Limits;
use aci::stage::{self, Existing, Hold, Lock, StagedFile};

use crate::certificate::KeyError;
use crate::fingerprint::Fingerprint;
use crate::parts;
use crate::secret::SecretKey;
use crate::trust::Warning;

const LOCK: &str = ".lock";
const ENDING: &str = ".asc";

/// The fewest digits that a fingerprint is told by: of a thousand keys, two rarely share them.
const FEWEST_DIGITS: usize = 4;

/// The user's secret keys on disk.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    folder: PathBuf,
}

/// The folder while nobody else changes it.
#[derive(Debug)]
pub struct LockedKeys<'a> {
    folder: &'a KeyFolder,
    _lock: Lock,
}

/// Why the folder, or a key in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFolderError {
    /// The file system.
    #[error("cannot use the keys at {}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The file of a key is none.
    #[error("{} cannot be used: {source}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// Several keys are called so.
    #[error("several keys are called {name:?}: {}; say which by more of its fingerprint", list(.keys))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Their fingerprints.
        keys: Vec<Fingerprint>,
    },
}

fn list(keys: &[Fingerprint]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What a person calls a key by.
///
/// - a fingerprint or the beginning of one, of four hex digits at least, in upper or lower case,
///   with blanks between the digits or a leading `0x`
/// - or a user ID, as it is written
/// - or the mail address in a user ID, in upper or lower case
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// A name as it was typed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether a key is called so.
    pub fn fits(&self, key: &SecretKey) -> bool {
        self.begins(key.fingerprint()) || parts::is_called(key.cert(), &self.0)
    }

    /// Whether a fingerprint is, or begins with, these digits.
    pub fn begins(&self, fingerprint: &Fingerprint) -> bool {
        let digits: String = self.0.chars().filter(|c| !matches!(c, ' ' | '\t')).collect();
        let digits = digits.strip_prefix("0x").unwrap_or(&digits).to_ascii_lowercase();
        digits.len() >= FEWEST_DIGITS && fingerprint.to_string().starts_with(&digits)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyFolder {
    /// The folder at `folder`, which need not exist: then there is no key.
    pub fn open(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The file of a key.
    pub fn file(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.folder.join(format!("{fingerprint}{ENDING}"))
    }

    /// Every key in the order of the fingerprints, and what is wrong with the others, or with
    /// the modes of the files.
    pub fn list(&self, limits: &Limits) -> Result<(Vec<SecretKey>, Vec<Warning>), KeyFolderError> {
        let (mut keys, mut warnings) = (Vec::new(), Vec::new());
        let listing = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((keys, warnings)),
            listing => listing.map_err(at(&self.folder))?,
        };
        let mut paths = listing
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(at(&self.folder))?;
        paths.sort();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            let digits = name.strip_suffix(ENDING);
            let fingerprint = digits.and_then(|digits| digits.parse::<Fingerprint>().ok());
            let Some(fingerprint) = fingerprint.filter(|one| Some(&*one.to_string()) == digits)
            else {
                let problem =
                    "its name is not a fingerprint and .asc: gantry key import takes it in";
                warnings.push(Warning { path, problem: problem.into() });
                continue;
            };
            match self.read(&fingerprint, limits) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => {}
                Err(KeyFolderError::Io { source, .. }) => {
                    warnings.push(Warning { path, problem: source.to_string() });
                }
                Err(KeyFolderError::Key { source, .. }) => {
                    warnings.push(Warning { path, problem: source.to_string() });
                }
                Err(other) => return Err(other),
            }
        }
        Ok((keys, warnings))
    }

    /// The files and folders of this one that others can read: what they read, they sign with.
    pub fn exposed(&self, keys: &[SecretKey]) -> Vec<PathBuf> {
        let files = keys.iter().map(|key| self.file(key.fingerprint()));
        let open = |path: &PathBuf| {
            path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
        };
        std::iter::once(self.folder.clone()).chain(files).filter(open).collect()
    }

    /// The key of this name; `None` where there is none.
    pub fn find(
        &self,
        name: &KeyName,
        limits: &Limits,
    ) -> Result<Option<SecretKey>, KeyFolderError> {
        let (keys, _) = self.list(limits)?;
        let mut found: Vec<SecretKey> = keys.into_iter().filter(|key| name.fits(key)).collect();
        if found.len() > 1 {
            let keys = found.iter().map(|key| *key.fingerprint()).collect();
            return Err(KeyFolderError::Ambiguous { name: name.to_string(), keys });
        }
        Ok(found.pop())
    }

    /// The key of this fingerprint; `None` where there is none.
    pub fn read(
        &self,
        fingerprint: &Fingerprint,
        limits: &Limits,
    ) -> Result<Option<SecretKey>, KeyFolderError> {
        let path = self.file(fingerprint);
        let bytes = match read_regular(&path, limits) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(at(&path))?,
        };
        match SecretKey::read(&bytes, limits) {
            Ok(key) if key.fingerprint() == fingerprint => Ok(Some(key)),
            Ok(key) => {
                let found = *key.fingerprint();
                Err(KeyFolderError::Key { path, source: KeyError::Misnamed(found) })
            }
            Err(source) => Err(KeyFolderError::Key { path, source }),
        }
    }

    /// Makes the folder where there is none, and waits until nobody else changes it.
    pub fn lock(&self) -> Result<LockedKeys<'_>, KeyFolderError> {
        self.create().map_err(at(&self.folder))?;
        let path = self.folder.join(LOCK);
        let lock = Lock::wait(&path, Hold::Exclusive).map_err(at(&path))?;
        Ok(LockedKeys { folder: self, _lock: lock })
    }

    fn create(&self) -> io::Result<()> {
        if self.folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = self.folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            stage::create_folders(parent)?;
        }
        match fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.folder.is_dir() => {
                Ok(())
            }
            other => other,
        }
    }
}

impl LockedKeys<'_> {
    /// As [`KeyFolder::read`].
    pub fn read(
        &self,
        fingerprint: &Fingerprint,
        limits: &Limits,
    ) -> Result<Option<SecretKey>, KeyFolderError> {
        self.folder.read(fingerprint, limits)
    }

    /// Writes a key in its file's place. Gives the file.
    pub fn write(&self, key: &SecretKey) -> Result<PathBuf, KeyFolderError> {
        let path = self.folder.file(key.fingerprint());
        let armored = key.armored();
        let armored =
            armored.map_err(|source| KeyFolderError::Key { path: path.clone(), source })?;
        write_secret(&path, &armored, Existing::Replace).map_err(at(&path))?;
        Ok(path)
    }
}

/// Writes a file that nobody else may read, whatever the umask is: all or nothing.
pub fn write_secret(path: &Path, bytes: &[u8], existing: Existing) -> io::Result<()> {
    let mut staged = StagedFile::new_in(stage::folder_of(path), 0o600)?;
    staged.file().set_permissions(fs::Permissions::from_mode(0o600))?;
    staged.write_all(bytes)?;
    staged.commit(path, existing)
}

/// Opens a file, never a pipe, which would wait for a writer.
fn read_regular(path: &Path, limits: &Limits) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    // One byte more than allowed, to tell.
    file.take(limits.key_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> KeyFolderError {
    let path = path.to_owned();
    move |source| KeyFolderError::Io { path, source }
}
