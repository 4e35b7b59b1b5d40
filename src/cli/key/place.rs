//! Where a secret key lies: a file of its own, or the folder of keys.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use aci::Limits;
use aci::stage::Existing;
use anyhow::{Context as _, anyhow};
use keys::{Change, Fingerprint, KeyFolder, KeyFolderError, KeyName, SecretKey};

use super::super::client::now;
use super::super::files::{absent, read_small};
use super::{Context, Failure, Kind};

/// Where a key that somebody named lies.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Place {
    /// In this file.
    File(PathBuf),
    /// In the folder of keys, in a file of its own.
    Folder(KeyFolder, Fingerprint),
}

/// A key that was changed where it lies.
pub(super) struct Amended {
    pub(super) key: SecretKey,
    pub(super) path: PathBuf,
    pub(super) changes: Vec<Change>,
}

impl Place {
    /// What a person means: a file where there is one, or where the text is a path; else the
    /// key of the folder that is called so.
    pub(in crate::cli) fn find(context: &Context, text: &Path) -> Result<Self, Failure> {
        Self::find_from(context, Path::new(""), text)
    }

    /// The same where paths are given from this folder on.
    pub(in crate::cli) fn find_from(
        context: &Context,
        folder: &Path,
        text: &Path,
    ) -> Result<Self, Failure> {
        let is_path = text.as_os_str().as_encoded_bytes().contains(&b'/');
        let file = folder.join(text);
        if is_path || file.symlink_metadata().is_ok() {
            return Ok(Self::File(file));
        }
        let folder = context.key_folder();
        let name = KeyName::new(text.to_string_lossy());
        match folder.find(&name, &Limits::default()).map_err(failure)? {
            Some(key) => Ok(Self::Folder(folder, *key.fingerprint())),
            None => {
                let error = anyhow!(
                    "no key {name}: there is no such file, and no key with this fingerprint, user \
                     ID or mail address in {}; `gantry key list` shows those that are there",
                    folder.path().display()
                );
                Err(Failure::new(Kind::NotFound, error))
            }
        }
    }

    /// The file.
    pub(in crate::cli) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Folder(folder, fingerprint) => folder.file(fingerprint),
        }
    }

    /// Reads the key.
    pub(super) fn read(&self) -> Result<SecretKey, Failure> {
        let limits = Limits::default();
        match self {
            Self::File(path) => {
                let bytes = read_small(path, limits.key_bytes)?;
                let key = SecretKey::read(&bytes, &limits);
                Ok(key.with_context(|| path.display().to_string())?)
            }
            Self::Folder(folder, fingerprint) => {
                let key = folder.read(fingerprint, &limits).map_err(failure)?;
                key.ok_or_else(|| gone(folder, fingerprint))
            }
        }
    }

    /// Changes the key where it lies, all or nothing. A key that stays the same is not written.
    pub(super) fn amend(
        &self,
        change: impl FnOnce(&SecretKey, SystemTime) -> Result<SecretKey, Failure>,
    ) -> Result<Amended, Failure> {
        let lock = match self {
            Self::File(_) => None,
            Self::Folder(folder, _) => Some(folder.lock().map_err(failure)?),
        };
        let before = self.read()?;
        let now = latest(&before);
        let key = change(&before, now)?;
        let path = self.path();
        if key != before {
            match &lock {
                Some(locked) => drop(locked.write(&key).map_err(failure)?),
                None => keys::write_secret(&path, &key.armored()?, Existing::Replace)
                    .with_context(|| format!("cannot write {}", path.display()))?,
            }
        }
        let changes = key.changes_since(&before, now);
        Ok(Amended { key, path, changes })
    }
}

/// A time that is later than everything a key says of itself: a key made a moment ago has to be
/// waited for. One of another year is a wrong clock, which the change itself will refuse.
fn latest(key: &SecretKey) -> SystemTime {
    if let Ok(wait) = key.settled().duration_since(now())
        && wait <= Duration::from_secs(2)
    {
        thread::sleep(wait);
    }
    now()
}

fn gone(folder: &KeyFolder, fingerprint: &Fingerprint) -> Failure {
    let path = folder.file(fingerprint);
    Failure::new(Kind::NotFound, anyhow!("{} is gone", path.display()))
}

/// An error of the folder as the end of a command.
pub(super) fn failure(error: KeyFolderError) -> Failure {
    match error {
        KeyFolderError::Ambiguous { .. } => Failure::new(Kind::Usage, error),
        KeyFolderError::Io { .. } | KeyFolderError::Key { .. } => absent(error.into()),
    }
}

/// The subkey of a key that a person means: a fingerprint, or the beginning of one.
pub(super) fn subkey(key: &SecretKey, name: &str, now: SystemTime) -> Result<Fingerprint, Failure> {
    let wanted = KeyName::new(name);
    let subkeys = key.parts(now).into_iter().filter(|part| !part.primary);
    let mut found = subkeys.map(|part| part.fingerprint).filter(|one| wanted.begins(one));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Failure::new(
            Kind::Usage,
            anyhow!("several subkeys of {} begin with {name:?}", key.fingerprint()),
        )),
        (None, _) => Err(Failure::new(
            Kind::NotFound,
            anyhow!("key {} has no subkey {name:?}", key.fingerprint()),
        )),
    }
}
