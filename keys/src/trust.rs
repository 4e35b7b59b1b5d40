//! The trusted keys on disk, in rkt's layout.
//!
//! ```text
//! trustedkeys/
//! ├── root.d/<fingerprint>                          trusted for every name
//! ├── prefix.d/example.com/team/<fingerprint>       trusted for example.com/team and below
//! ├── policy.toml                                   what is demanded of a prefix: see [`TrustPolicies`]
//! ├── .known/<fingerprint>                          what a key's owner has said since it was trusted
//! ├── .refresh.toml                                 when each prefix was last refreshed
//! └── .lock
//! ```
//!
//! A file is named by the 40 lower-case hex digits of its primary key's fingerprint and
//! holds that key, armored. An empty file takes the key's trust away for its scope,
//! whatever a wider scope says. A file that is no such key is passed over with a warning:
//! it neither enables anything nor stands in the way of the others. rkt reads the first two
//! and nothing else.
//!
//! A store may lie in several trees, the widest first: what comes with the system, what its
//! administrator says, what the user says. Of files for one key and one scope, the one in
//! the latest tree decides whether it is trusted, also where that one is empty, or cannot be
//! read. What is known *about* a key (its subkeys, expiry, revocations) is the sum of all its
//! copies: no copy can hide a revocation that another one holds. Writes go to the last tree.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing, Hold, Lock, StagedFile};
use aci::{Limits, Name};

use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::keyring::{Keyring, Scope};

mod error;
mod policies;
mod refresh;
mod schedule;
mod tree;

pub use error::TrustError;
use error::at;
pub use policies::{
    Decided, Interval, IntervalError, PrefixPolicy, Threshold, ThresholdError, TrustPolicies,
};
pub use refresh::{NotTaken, RefreshOptions, RefreshOutcome, Refreshed, RefreshedKey};
use tree::KeyFile;

const ROOT: &str = "root.d";
const PREFIX: &str = "prefix.d";
const KNOWN: &str = ".known";
const LOCK: &str = ".lock";

/// The trusted keys on disk, in one tree or several.
#[derive(Debug, Clone)]
pub struct TrustStore {
    /// Trees that are only read, the widest first.
    earlier: Vec<PathBuf>,
    /// The last tree, which is written to.
    folder: PathBuf,
}

/// One file of the store.
#[derive(Debug, Clone)]
pub struct TrustEntry {
    /// What the key is trusted for, or no longer trusted for.
    pub scope: Scope,
    /// The key.
    pub fingerprint: Fingerprint,
    /// The key itself, with all that any copy of it says; `None` for an empty file, which
    /// takes its trust away.
    pub certificate: Option<Certificate>,
    /// The file.
    pub path: PathBuf,
    /// The tree it lies in.
    pub tree: PathBuf,
    /// The file of a later tree that decides in this one's place.
    pub overridden_by: Option<PathBuf>,
}

impl TrustEntry {
    /// Whether this file decides, and says that the key is trusted.
    pub fn trusts(&self) -> bool {
        self.certificate.is_some() && self.overridden_by.is_none()
    }
}

/// What came of adding a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The file.
    pub path: PathBuf,
    /// Whether the key was not trusted for this scope before.
    pub new: bool,
}

/// What came of removing a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It was not trusted for this scope.
    Absent,
    /// Its file is gone.
    Removed,
    /// An empty file stands in its place now, since an earlier tree brings the key.
    Masked {
        /// The empty file.
        path: PathBuf,
        /// The file of the earlier tree.
        brought_by: PathBuf,
    },
}

impl Removal {
    /// Whether anything was changed.
    pub fn happened(&self) -> bool {
        *self != Self::Absent
    }
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

impl TrustStore {
    /// The store at `folder`, which need not exist: then no key is trusted.
    pub fn open(folder: &Path) -> Self {
        Self::layered([], folder.to_owned())
    }

    /// A store of several trees: `earlier`, which are only read, the widest first, and then
    /// `folder`, which is written to. None need exist.
    pub fn layered(earlier: impl IntoIterator<Item = PathBuf>, folder: PathBuf) -> Self {
        let earlier = earlier.into_iter().filter(|tree| *tree != folder).collect();
        Self { earlier, folder }
    }

    /// The trees, the widest first; the last one is written to.
    pub fn trees(&self) -> impl DoubleEndedIterator<Item = &Path> {
        self.earlier.iter().map(PathBuf::as_path).chain([self.folder.as_path()])
    }

    /// The tree that is written to.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All keys with the scopes they are trusted for and what is demanded of their prefixes,
    /// and what was passed over.
    pub fn keyring(&self, limits: &Limits) -> Result<(Keyring, Vec<Warning>), TrustError> {
        let (entries, warnings) = self.list(limits)?;
        let mut keyring = Keyring::default();
        for entry in entries.into_iter().filter(|entry| entry.overridden_by.is_none()) {
            match entry.certificate {
                Some(certificate) => keyring.push(certificate, entry.scope),
                None => keyring.mask(entry.fingerprint, entry.scope),
            }
        }
        keyring.demand(self.policies()?);
        Ok((keyring, warnings))
    }

    /// Every file of the store, tree by tree and in the order of their paths, those that an
    /// other one overrides too, and what was passed over.
    pub fn list(&self, limits: &Limits) -> Result<(Vec<TrustEntry>, Vec<Warning>), TrustError> {
        let (mut entries, mut warnings) = (Vec::new(), Vec::new());
        // For every key and scope the file that decides.
        let mut latest: HashMap<(Scope, Fingerprint), PathBuf> = HashMap::new();
        for tree in self.trees() {
            let found = tree::read(tree, limits)?;
            for (scope, fingerprint, path) in found.files {
                latest.insert((scope, fingerprint), path);
            }
            entries.extend(found.entries);
            warnings.extend(found.warnings);
        }
        for entry in &mut entries {
            let deciding = latest.get(&(entry.scope.clone(), entry.fingerprint));
            entry.overridden_by = deciding.filter(|path| **path != entry.path).cloned();
        }
        self.add_up(&mut entries, limits);
        Ok((entries, warnings))
    }

    /// Gives every copy of a key what any of them knows.
    fn add_up(&self, entries: &mut [TrustEntry], limits: &Limits) {
        let mut sums: HashMap<Fingerprint, Certificate> = HashMap::new();
        for entry in entries.iter() {
            let Some(certificate) = &entry.certificate else { continue };
            match sums.entry(entry.fingerprint) {
                Slot::Occupied(mut sum) => {
                    let merged = sum.get().clone().merge(certificate.clone());
                    sum.insert(merged);
                }
                Slot::Vacant(empty) => {
                    let known = self.known(&entry.fingerprint, limits);
                    let sum = certificate.clone();
                    empty.insert(known.into_iter().fold(sum, Certificate::merge));
                }
            }
        }
        for entry in entries {
            if entry.certificate.is_some() {
                entry.certificate = sums.get(&entry.fingerprint).cloned();
            }
        }
    }

    /// What was learned of a key since it was trusted.
    fn known(&self, fingerprint: &Fingerprint, limits: &Limits) -> Vec<Certificate> {
        let files = self.trees().map(|tree| tree.join(KNOWN).join(fingerprint.to_string()));
        files.filter_map(|path| tree::read_key(&path, fingerprint, limits).key()).collect()
    }

    /// Trusts a key for a scope. A key that is trusted there already gets what is new in
    /// `certificate`: subkeys, a later expiry, revocations.
    pub fn add(
        &self,
        scope: &Scope,
        certificate: &Certificate,
        limits: &Limits,
    ) -> Result<Added, TrustError> {
        let _lock = self.lock()?;
        let fingerprint = certificate.fingerprint();
        let path = self.path_of(scope, fingerprint);
        let own = tree::read_key(&path, fingerprint, limits);
        let new = match &own {
            KeyFile::Absent => !self.brought_by(scope, fingerprint, limits).is_key(),
            own => !own.is_key(),
        };
        let merged = own
            .key()
            .map_or_else(|| certificate.clone(), |own| own.clone().merge(certificate.clone()));
        let known = self.known(fingerprint, limits);
        self.write(&path, &known.into_iter().fold(merged, Certificate::merge), limits)?;
        Ok(Added { path, new })
    }

    /// Trusts a key for a scope no longer. Where an earlier tree brings it, an empty file in
    /// this one takes its trust away.
    pub fn remove(
        &self,
        scope: &Scope,
        fingerprint: &Fingerprint,
        limits: &Limits,
    ) -> Result<Removal, TrustError> {
        let earlier = self.earlier_file(scope, fingerprint);
        if !self.folder.is_dir() && earlier.is_none() {
            return Ok(Removal::Absent);
        }
        let _lock = self.lock()?;
        let path = self.path_of(scope, fingerprint);
        let own = tree::read_key(&path, fingerprint, limits);
        let brought = self.brought_by(scope, fingerprint, limits).is_key();
        let there = path.symlink_metadata().is_ok();
        match (own, earlier.filter(|_| brought)) {
            // It is masked already: that must not give the trust back.
            (KeyFile::Empty, _) => Ok(Removal::Absent),
            (KeyFile::Absent, None) if !there => Ok(Removal::Absent),
            (own, Some(brought_by)) => {
                self.keep_revocations(own, limits)?;
                write_file(&path, b"").map_err(at(&path))?;
                Ok(Removal::Masked { path, brought_by })
            }
            (own, None) => {
                self.keep_revocations(own, limits)?;
                stage::remove(&path).map_err(at(&path))?;
                self.prune(&self.folder_of(scope));
                Ok(Removal::Removed)
            }
        }
    }

    /// Takes a key's trust away for a scope, whatever a wider scope or an earlier tree says.
    /// `false` where that was so already.
    pub fn mask(
        &self,
        scope: &Scope,
        fingerprint: &Fingerprint,
        limits: &Limits,
    ) -> Result<bool, TrustError> {
        let _lock = self.lock()?;
        let path = self.path_of(scope, fingerprint);
        let own = tree::read_key(&path, fingerprint, limits);
        if matches!(own, KeyFile::Empty) {
            return Ok(false);
        }
        self.keep_revocations(own, limits)?;
        write_file(&path, b"").map_err(at(&path))?;
        Ok(true)
    }

    /// A copy that is removed may be the only one that knows of a revocation.
    fn keep_revocations(&self, own: KeyFile, limits: &Limits) -> Result<(), TrustError> {
        match own.key() {
            Some(certificate) if certificate.has_revocations() => {
                self.remember(&certificate, limits).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Adds what a key's owner has said to what is known of it. Says whether it was new.
    fn remember(&self, certificate: &Certificate, limits: &Limits) -> Result<bool, TrustError> {
        let fingerprint = certificate.fingerprint();
        let path = self.folder.join(KNOWN).join(fingerprint.to_string());
        let before = tree::read_key(&path, fingerprint, limits).key();
        let after = match &before {
            Some(before) => before.renewed(certificate, limits),
            None => certificate.own_part(),
        };
        let new = before.is_none_or(|before| before.armored() != after.armored());
        if new {
            self.write(&path, &after, limits)?;
        }
        Ok(new)
    }

    /// The file of the latest earlier tree for a key and a scope.
    fn earlier_file(&self, scope: &Scope, fingerprint: &Fingerprint) -> Option<PathBuf> {
        let mut files = self.earlier.iter().rev().map(|tree| path_in(tree, scope, fingerprint));
        files.find(|path| path.symlink_metadata().is_ok())
    }

    fn brought_by(&self, scope: &Scope, fingerprint: &Fingerprint, limits: &Limits) -> KeyFile {
        match self.earlier_file(scope, fingerprint) {
            Some(path) => tree::read_key(&path, fingerprint, limits),
            None => KeyFile::Absent,
        }
    }

    /// Writes a key so that it can be read again.
    fn write(
        &self,
        path: &Path,
        certificate: &Certificate,
        limits: &Limits,
    ) -> Result<(), TrustError> {
        let mut armored = certificate.armored();
        if armored.len() as u64 > limits.key_bytes {
            // Without what others have written on it.
            armored = certificate.own_part().armored();
        }
        if armored.len() as u64 > limits.key_bytes {
            let fingerprint = *certificate.fingerprint();
            return Err(TrustError::TooLarge { fingerprint, limit: limits.key_bytes });
        }
        write_file(path, &armored).map_err(at(path))
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
        folder_in(&self.folder, scope)
    }

    fn path_of(&self, scope: &Scope, fingerprint: &Fingerprint) -> PathBuf {
        path_in(&self.folder, scope, fingerprint)
    }

    /// Two that merge into one file, or remove a folder another fills, take turns.
    fn lock(&self) -> Result<Lock, TrustError> {
        create_folders(&self.folder).map_err(at(&self.folder))?;
        let path = self.folder.join(LOCK);
        Lock::wait(&path, Hold::Exclusive).map_err(at(&path))
    }

    /// The prefixes keys are trusted for, each once, in order.
    pub fn prefixes(&self, limits: &Limits) -> Result<Vec<Name>, TrustError> {
        let (entries, _) = self.list(limits)?;
        let mut all: Vec<Name> = entries
            .into_iter()
            .filter(TrustEntry::trusts)
            .filter_map(|entry| match entry.scope {
                Scope::Root => None,
                Scope::Prefix(prefix) => Some(prefix),
            })
            .collect();
        all.sort();
        all.dedup();
        Ok(all)
    }
}

fn folder_in(tree: &Path, scope: &Scope) -> PathBuf {
    match scope {
        Scope::Root => tree.join(ROOT),
        Scope::Prefix(prefix) => tree.join(PREFIX).join(prefix.as_str()),
    }
}

fn path_in(tree: &Path, scope: &Scope, fingerprint: &Fingerprint) -> PathBuf {
    folder_in(tree, scope).join(fingerprint.to_string())
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

/// Writes a file anybody may read, in a folder that is made where it is missing.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = stage::folder_of(path);
    create_folders(folder)?;
    let mut staged = StagedFile::new_in(folder, 0o644)?;
    staged.file().set_permissions(fs::Permissions::from_mode(0o644))?;
    staged.write_all(bytes)?;
    staged.commit(path, Existing::Replace)
}
