//! The trusted keys on disk, in rkt's layout.
//!
//! ```text
//! trustedkeys/
//! ├── .lock
//! ├── root.d/<fingerprint>                          trusted for every name
//! └── prefix.d/example.com/team/<fingerprint>       trusted for example.com/team and below
//! ```
//!
//! A file is named by the 40 lower-case hex digits of its primary key's fingerprint and
//! holds that key, armored. An empty file takes the key's trust away for its scope,
//! whatever a wider scope says. A file that is no such key is passed over with a warning:
//! it neither enables anything nor stands in the way of the others.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing, Hold, Lock, StagedFile};
use aci::{Limits, Name};

use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::keyring::{Keyring, Scope};

const ROOT: &str = "root.d";
const PREFIX: &str = "prefix.d";
const LOCK: &str = ".lock";

/// The trusted keys on disk.
#[derive(Debug, Clone)]
pub struct TrustStore {
    folder: PathBuf,
}

/// One file of the store.
#[derive(Debug, Clone)]
pub struct TrustEntry {
    /// What the key is trusted for, or no longer trusted for.
    pub scope: Scope,
    /// The key.
    pub fingerprint: Fingerprint,
    /// The key itself; `None` for an empty file, which takes its trust away.
    pub certificate: Option<Certificate>,
    /// The file.
    pub path: PathBuf,
}

/// What came of adding a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The file.
    pub path: PathBuf,
    /// Whether the key was not trusted for this scope before.
    pub new: bool,
}

/// A file that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is passed over: {}", self.path.display(), self.problem)
    }
}

/// Why the store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the trusted keys at {}: {source}", .path.display())]
pub struct TrustError {
    /// Where.
    pub path: PathBuf,
    /// What failed.
    #[source]
    pub source: io::Error,
}

impl TrustStore {
    /// The store at `folder`, which need not exist: then no key is trusted.
    pub fn open(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// All keys with the scopes they are trusted for, and what was passed over.
    pub fn keyring(&self, limits: &Limits) -> Result<(Keyring, Vec<Warning>), TrustError> {
        let (entries, warnings) = self.list(limits)?;
        let mut keyring = Keyring::default();
        for entry in entries {
            match entry.certificate {
                Some(certificate) => keyring.push(certificate, entry.scope),
                None => keyring.mask(entry.fingerprint, entry.scope),
            }
        }
        Ok((keyring, warnings))
    }

    /// Every file of the store, in the order of their paths, and what was passed over.
    pub fn list(&self, limits: &Limits) -> Result<(Vec<TrustEntry>, Vec<Warning>), TrustError> {
        let mut walk = Walk { limits, entries: Vec::new(), warnings: Vec::new() };
        let root = self.folder.join(ROOT);
        walk.folder(&root, &|folder| (folder == root).then_some(Scope::Root))?;
        let prefixes = self.folder.join(PREFIX);
        walk.folder(&prefixes, &|folder| {
            let below = folder.strip_prefix(&prefixes).ok()?.to_str()?;
            below.parse::<Name>().ok().map(Scope::Prefix)
        })?;
        Ok((walk.entries, walk.warnings))
    }

    /// Trusts a key for a scope. A key that is trusted there already gets what is new in
    /// `certificate`: subkeys, a later expiry, revocations.
    pub fn add(
        &self,
        scope: &Scope,
        certificate: &Certificate,
        limits: &Limits,
    ) -> Result<Added, TrustError> {
        let folder = self.folder_of(scope);
        let path = folder.join(certificate.fingerprint().to_string());
        create_folders(&self.folder).map_err(at(&self.folder))?;
        let _lock = self.lock()?;
        create_folders(&folder).map_err(at(&folder))?;
        let (known, _) = read_key(&path, certificate.fingerprint(), limits);
        let new = known.is_none();
        let merged = match known {
            Some(known) => known.clone().merge(certificate.clone()),
            None => certificate.clone(),
        };
        write_key(&path, &merged.armored()).map_err(at(&path))?;
        Ok(Added { path, new })
    }

    /// Takes a key, or its empty file, out of a scope. `false` where it was not there.
    pub fn remove(&self, scope: &Scope, fingerprint: &Fingerprint) -> Result<bool, TrustError> {
        if !self.folder.is_dir() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let folder = self.folder_of(scope);
        let path = folder.join(fingerprint.to_string());
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(TrustError { path, source }),
            Ok(_) => stage::remove(&path).map_err(at(&path))?,
        }
        self.prune(&folder);
        Ok(true)
    }

    /// Removes the folders of prefixes that no key is trusted for any more.
    fn prune(&self, folder: &Path) {
        let prefixes = self.folder.join(PREFIX);
        for folder in folder.ancestors().take_while(|folder| *folder != prefixes) {
            // A folder that is not empty stays; so does anything outside the prefixes.
            if !folder.starts_with(&prefixes) || fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }

    fn folder_of(&self, scope: &Scope) -> PathBuf {
        match scope {
            Scope::Root => self.folder.join(ROOT),
            Scope::Prefix(prefix) => self.folder.join(PREFIX).join(prefix.as_str()),
        }
    }

    /// Two that merge into one file, or remove a folder another fills, take turns.
    fn lock(&self) -> Result<Lock, TrustError> {
        let path = self.folder.join(LOCK);
        Lock::wait(&path, Hold::Exclusive).map_err(at(&path))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TrustError {
    let path = path.to_owned();
    move |source| TrustError { path, source }
}

/// Folders anybody may read, whatever the umask: another user's fetch reads the keys.
fn create_folders(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    stage::create_folders(folder)?;
    for folder in missing.into_iter().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn write_key(path: &Path, armored: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut staged = StagedFile::new_in(folder, 0o644)?;
    staged.file().set_permissions(fs::Permissions::from_mode(0o644))?;
    staged.write_all(armored)?;
    staged.commit(path, Existing::Replace)
}

/// Opens a file, never a pipe, which would wait for a writer.
fn regular(path: &Path) -> io::Result<fs::File> {
    if fs::metadata(path)?.is_file() {
        fs::File::open(path)
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}

/// The key in a file named by its fingerprint, and what is wrong with the file. Neither
/// for an empty file, or none.
fn read_key(
    path: &Path,
    fingerprint: &Fingerprint,
    limits: &Limits,
) -> (Option<Certificate>, Option<String>) {
    let mut bytes = Vec::new();
    // One byte more than allowed, to tell.
    let read = regular(path)
        .and_then(|file| file.take(limits.key_bytes.saturating_add(1)).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (None, None),
        Err(error) => return (None, Some(error.to_string())),
        Ok(0) => return (None, None),
        Ok(_) => {}
    }
    let all = match Certificate::read_all(&bytes, limits) {
        Err(error) => return (None, Some(error.to_string())),
        Ok(all) => all,
    };
    let more = all.len() > 1;
    match all.into_iter().find(|certificate| certificate.fingerprint() == fingerprint) {
        None => (None, Some("it holds another key than its name says".into())),
        // rkt reads the first key of a file alone, so more than one means no more trust.
        Some(certificate) if more => (
            Some(certificate),
            Some("it holds further keys; only the one it is named by counts".into()),
        ),
        Some(certificate) => (Some(certificate), None),
    }
}

struct Walk<'a> {
    limits: &'a Limits,
    entries: Vec<TrustEntry>,
    warnings: Vec<Warning>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        folder: &Path,
        scope_of: &dyn Fn(&Path) -> Option<Scope>,
    ) -> Result<(), TrustError> {
        let mut paths = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            listing => listing.map_err(at(folder))?,
        }
        .map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))))
        .collect::<io::Result<Vec<_>>>()
        .map_err(at(folder))?;
        paths.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (path, kind) in paths {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
            match (hidden, kind.is_dir()) {
                (true, _) => {}
                (false, true) => {
                    if let Err(error) = self.folder(&path, scope_of) {
                        self.warn(&path, error.source.to_string());
                    }
                }
                (false, false) => self.file(path, scope_of(folder)),
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, scope: Option<Scope>) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Other spellings of a fingerprint would be files rkt does not see.
        let parsed = name.parse::<Fingerprint>().ok().filter(|f| f.to_string() == name);
        let Some(fingerprint) = parsed else {
            let problem = "its name is not 40 lower-case hex digits, a key's fingerprint";
            return self.warn(&path, problem.into());
        };
        let Some(scope) = scope else {
            return self.warn(&path, "its folder is not named by a prefix of image names".into());
        };
        let (certificate, problem) = read_key(&path, &fingerprint, self.limits);
        let ignored = certificate.is_none() && problem.is_some();
        if let Some(problem) = problem {
            self.warn(&path, problem);
        }
        if !ignored {
            self.entries.push(TrustEntry { scope, fingerprint, certificate, path });
        }
    }

    fn warn(&mut self, path: &Path, problem: String) {
        self.warnings.push(Warning { path: path.to_owned(), problem });
    }
}
