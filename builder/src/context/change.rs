//! One change of a context, which is made whole or not at all.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use aci::archive::ImageFinding;
use aci::root::Root;
use aci::stage::{self, Existing};
use rustix::fs::{FileType, Stat};

use super::error::ContextError;
use super::journal::{self, Journal, Operation, Set};
use super::paths::{Place, join, path_of, split};
use super::properties::Properties;
use super::{CHANGE, Context, JOURNAL, MANIFEST, PROPERTIES};
use crate::manifest::{self, Edit, Recorded};
use crate::walk::{self, Identity};

/// A change that is being put together. Dropped, it never was.
pub struct Change<'c> {
    context: &'c Context,
    pub(super) root: Root,
    pub(super) operations: Vec<Operation>,
    old_manifest: Vec<u8>,
    pub(super) manifest: Vec<u8>,
    pub(super) properties: Properties,
    old_properties: Properties,
    /// The time each folder will have whose content changes.
    touched: BTreeMap<Vec<u8>, i64>,
    slots: u64,
    /// Whether `change/` was made.
    staged: bool,
    warnings: Vec<ImageFinding>,
    /// Which properties a file can be given here.
    pub(super) tried: HashSet<String>,
}

impl Context {
    /// Begins a change.
    pub fn change(&self) -> Result<Change<'_>, ContextError> {
        let (manifest, properties) = (self.manifest()?, self.properties()?);
        Ok(Change {
            context: self,
            root: self.root()?,
            operations: Vec::new(),
            old_manifest: manifest.clone(),
            manifest,
            old_properties: properties.clone(),
            properties,
            touched: BTreeMap::new(),
            slots: 0,
            staged: false,
            warnings: Vec::new(),
            tried: HashSet::new(),
        })
    }
}

impl Change<'_> {
    /// Edits the manifest. What would not be acceptable is refused.
    pub fn edit(&mut self, edit: &Edit) -> Result<(), ContextError> {
        let new = edit.apply(&self.manifest)?;
        let (_, warnings) = manifest::check(&self.manifest, &new)?;
        self.warnings.extend(warnings);
        self.manifest = new;
        Ok(())
    }

    /// Notes in the image which command made this change.
    pub fn record(&mut self, command: &[Recorded]) -> Result<(), ContextError> {
        self.manifest = manifest::record(&self.manifest, command)?;
        Ok(())
    }

    /// What is questionable in the new manifest and was not there before.
    pub fn warnings(&self) -> &[ImageFinding] {
        &self.warnings
    }

    /// The manifest as this change leaves it.
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// Whether files are other names of kept ones.
    pub(super) fn is_linked(&self) -> bool {
        self.context.is_linked()
    }

    /// The folder of the files, as they were before the change.
    pub(super) fn rootfs(&self) -> PathBuf {
        self.context.rootfs()
    }

    /// A new empty folder in `change/new/`, and its name there.
    pub(super) fn slot(&mut self) -> Result<(PathBuf, String), ContextError> {
        self.stage()?;
        let name = self.slots.to_string();
        self.slots += 1;
        let folder = self.context.folder.join(CHANGE).join("new").join(&name);
        fs::create_dir(&folder).map_err(ContextError::io("make", &folder))?;
        Ok((folder, name))
    }

    /// What makes the folder of the context the one it is.
    pub(super) fn identity(&self) -> Result<Identity, ContextError> {
        let folder = &self.context.folder;
        let stat = rustix::fs::stat(folder);
        let stat = stat.map_err(|errno| ContextError::io("look at", folder)(errno.into()))?;
        Ok(walk::identity(&stat))
    }

    /// Where something staged is, by its path below `change/new/`.
    pub(super) fn staged(&self, source: &[u8]) -> PathBuf {
        self.folder().join("new").join(path_of(source))
    }

    /// What the time of a folder will be.
    pub(super) fn set_time(&mut self, below: &[u8], mtime: i64) {
        self.touched.insert(below.to_vec(), mtime);
    }

    /// Makes a folder that is not there, with properties that are set later.
    pub(super) fn new_folder(&mut self, below: &[u8]) {
        self.touch(below);
        self.operations.push(Operation::MakeFolder { path: below.to_vec().into() });
    }

    fn stage(&mut self) -> Result<(), ContextError> {
        if self.staged {
            return Ok(());
        }
        self.staged = true;
        let change = self.context.folder.join(CHANGE);
        let make = || {
            journal::clear(&change)?;
            fs::create_dir(&change)?;
            fs::create_dir(change.join("new"))?;
            fs::create_dir(change.join("trash"))
        };
        make().map_err(ContextError::io("make", &change))
    }

    /// Puts what was staged in a slot at a place. A folder never gives way to it by itself.
    pub(super) fn place(&mut self, source: &[u8], place: &Place) {
        self.touch(&place.below);
        let source = source.to_vec().into();
        self.operations.push(Operation::Place { source, path: place.below.clone().into() });
    }

    /// Removes what is at a place.
    pub(super) fn discard(&mut self, below: &[u8]) {
        self.touch(below);
        self.properties.forget(below);
        let number = self.slots;
        self.slots += 1;
        self.operations.push(Operation::Discard { path: below.to_vec().into(), number });
    }

    /// Gives what is at a place other properties.
    pub(super) fn set(&mut self, below: &[u8], to: Set) {
        self.operations.push(Operation::Set { path: below.to_vec().into(), to });
    }

    /// The folder that something is put into or taken out of keeps its time: what a build does is
    /// not told by a clock.
    fn touch(&mut self, below: &[u8]) {
        if below.is_empty() {
            return;
        }
        let (folder, _) = split(below);
        if !self.touched.contains_key(folder)
            && let Ok(Some(stat)) = self.lstat(folder)
        {
            self.touched.insert(folder.to_vec(), stat.st_mtime);
        }
    }

    /// What there was at a place before the change.
    pub(super) fn lstat(&self, below: &[u8]) -> Result<Option<Stat>, ContextError> {
        let path = Path::new("/").join(path_of(below));
        self.root.lstat(&path).map_err(ContextError::io("look at", path))
    }

    /// Makes the folders above a place that are missing. They belong to root, and are as old as
    /// what is put into them.
    pub(super) fn make_parents(&mut self, place: &Place, mtime: i64) -> Result<(), ContextError> {
        let (parent, _) = split(&place.below);
        let mut folder = Vec::new();
        for name in parent.split(|&b| b == b'/').filter(|name| !name.is_empty()) {
            folder = join(&folder, name);
            self.make_folder(&folder, mtime)?;
        }
        Ok(())
    }

    /// Makes a folder at a path of the image, and those above it, where there are none.
    pub fn directory(&mut self, path: &Path, mtime: i64) -> Result<(), ContextError> {
        let place = Place::of_folder(&self.root, path)?;
        if place.is_root() {
            return Ok(());
        }
        self.make_parents(&place, mtime)?;
        self.make_folder(&place.below, mtime)
    }

    /// Makes a folder where there is none.
    pub(super) fn make_folder(&mut self, below: &[u8], mtime: i64) -> Result<(), ContextError> {
        if self.is_made(below) {
            return Ok(());
        }
        if let Some(stat) = self.lstat(below)? {
            let what = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => return Ok(()),
                FileType::Symlink => "is a link that leads to no folder of the image",
                _ => "is no folder: remove it first",
            };
            let path = Place { below: below.to_vec(), kind: None }.shown();
            return Err(ContextError::Occupied { path, what });
        }
        self.touch(below);
        self.touched.insert(below.to_vec(), mtime);
        let path = below.to_vec();
        self.operations.push(Operation::MakeFolder { path: path.into() });
        // Root's, whatever the umask and the group of the folder above.
        let owner = rustix::process::geteuid().is_root().then_some((0, 0));
        self.set(below, Set { owner, mode: Some(0o755), ..Set::default() });
        Ok(())
    }

    fn is_made(&self, below: &[u8]) -> bool {
        let made = |operation: &Operation| matches!(operation, Operation::MakeFolder { path } if path.as_slice() == below);
        self.operations.iter().any(made)
    }

    /// Makes the change.
    pub fn commit(mut self) -> Result<(), ContextError> {
        self.name_in_whitelist()?;
        super::check_bytes("the manifest would have", &self.manifest)?;
        let manifest = self.manifest != self.old_manifest;
        let properties = self.properties != self.old_properties;
        if self.operations.is_empty() && !properties {
            return if manifest { self.context.put_manifest(&self.manifest) } else { Ok(()) };
        }
        self.refuse_mounted()?;
        self.stage()?;
        for (folder, mtime) in std::mem::take(&mut self.touched) {
            self.set(&folder, Set { mtime: Some(mtime), ..Set::default() });
        }
        let operations = std::mem::take(&mut self.operations);
        let journal = Journal { operations, manifest, properties };
        self.write_down(&journal)
            .map_err(ContextError::io("stage the change in", self.folder()))?;
        journal.apply(&self.context.folder).map_err(ContextError::io("change", self.folder()))?;
        journal::clear(&self.folder()).map_err(ContextError::io("clear", self.folder()))
    }

    /// What is moved away, or replaced, must not hold a file system of the host: the kernel would
    /// stop half way, or what lies on it would be removed.
    fn refuse_mounted(&self) -> Result<(), ContextError> {
        let moved: HashSet<&[u8]> = self
            .operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::Discard { path, .. } | Operation::Place { path, .. } => {
                    Some(path.as_slice())
                }
                Operation::MakeFolder { .. } | Operation::Set { .. } => None,
            })
            .collect();
        super::refuse_mounted(&self.rootfs(), |mut below| {
            loop {
                if moved.contains(below) {
                    return true;
                }
                if below.is_empty() {
                    return false;
                }
                below = split(below).0;
            }
        })
    }

    fn folder(&self) -> PathBuf {
        self.context.folder.join(CHANGE)
    }

    /// From the end of this on, the change counts.
    fn write_down(&self, journal: &Journal) -> std::io::Result<()> {
        let change = self.folder();
        if journal.manifest {
            stage::put(&change.join(MANIFEST), &self.manifest, 0o644, Existing::Replace)?;
        }
        if journal.properties {
            self.properties.write(&change.join(PROPERTIES))?;
        }
        let text = serde_json::to_vec(journal)?;
        stage::put(&self.context.folder.join(JOURNAL), &text, 0o600, Existing::Refuse)
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        // What counts is finished by whoever opens the context next.
        if self.staged && !journal::exists(&self.context.folder.join(JOURNAL)) {
            let _ = journal::clear(&self.folder());
        }
    }
}
