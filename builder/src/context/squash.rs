//! The files of the images that one depends on become its own.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aci::root::Root;
use aci::stage;
use rustix::fs::FileType;

use super::change::Change;
use super::copy::CopyOptions;
use super::error::ContextError;
use super::fill::fill;
use super::intake::Moved;
use super::lower::{self, Lower};
use super::paths::{Descend, Place, join, path_of, split, walk};
use super::properties::Properties;
use super::whitelist;
use crate::ignore::Ignore;
use crate::manifest::{self, Editor};
use crate::overrides::Overrides;
use crate::owner::Owner;
use crate::tree::Tree;

/// What is in the image already, by path; of folders that come from dependencies, the time.
type There = HashMap<Vec<u8>, Kind>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder(Option<i64>),
    Other,
}

impl Change<'_> {
    /// Makes all that is seen of the images this one depends on its own, of which these are the
    /// rendered root file systems, and depends on none any more.
    pub fn squash(&mut self, dependencies: &[PathBuf]) -> Result<(), ContextError> {
        let lower = Lower::open(dependencies)?;
        let mut there = There::new();
        walk(&self.rootfs(), b"", |below, metadata| {
            let kind = if metadata.is_dir() { Kind::Folder(None) } else { Kind::Other };
            there.insert(below.to_vec(), kind);
            Ok(Descend::Into)
        })?;
        if let Some(whitelist) = whitelist::of_manifest(&self.manifest)? {
            for below in whitelist::left_out(&whitelist, there.keys()) {
                self.discard(below);
            }
        }
        for tree in &lower.0 {
            let (slot, name) = self.slot()?;
            let placed = copy(tree, &slot)?;
            self.prune(&slot.join("rootfs"))?;
            self.lay_under(&join(name.as_bytes(), b"rootfs"), b"", &placed, &mut there)?;
        }
        self.properties.unhide();
        self.stand_alone()
    }

    /// Removes from a staged tree what is not seen in the image.
    fn prune(&self, staged: &Path) -> Result<(), ContextError> {
        let mut paths = Vec::new();
        walk(staged, b"", |below, _| {
            paths.push(below.to_vec());
            Ok(Descend::Into)
        })?;
        let mut gone: BTreeSet<&[u8]> = self.properties.hidden().collect();
        if let Some(whitelist) = whitelist::of_manifest(&self.manifest)? {
            gone.extend(whitelist::left_out(&whitelist, paths.iter()));
        }
        let root = Root::open(staged).map_err(ContextError::io("open", staged))?;
        for below in gone {
            let path = staged.join(path_of(below));
            // Attack: a link of this dependency where another one has a folder, which leads to files
            // of the host.
            let removed = match lower::kind_in(&root, below)? {
                Some(FileType::Directory) => stage::remove_folder(&path),
                Some(_) => fs::remove_file(&path),
                // Another dependency's, or in a folder that is gone.
                None => Ok(()),
            };
            removed.map_err(ContextError::io("leave out what is not seen of", &path))?;
        }
        Ok(())
    }

    /// Puts what is in a staged folder where there is nothing yet.
    fn lay_under(
        &mut self,
        staged: &[u8],
        below: &[u8],
        properties: &Properties,
        there: &mut There,
    ) -> Result<(), ContextError> {
        let folder = self.staged(staged);
        let io = |error| ContextError::io("read", &folder)(error);
        let mut entries =
            fs::read_dir(&folder).map_err(io)?.collect::<Result<Vec<_>, _>>().map_err(io)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (name, metadata) = (entry.file_name(), entry.metadata().map_err(io)?);
            let (from, to) = (join(staged, name.as_bytes()), join(below, name.as_bytes()));
            match there.get(&to) {
                Some(Kind::Folder(_)) if metadata.is_dir() => {
                    self.lay_under(&from, &to, properties, there)?;
                }
                Some(_) => {}
                None => {
                    if let Some(Kind::Folder(Some(time))) = there.get(split(&to).0) {
                        self.set_time(split(&to).0, *time);
                    }
                    self.place(&from, &Place { below: to.clone(), kind: None });
                    self.note(&to, &metadata, properties, there);
                    if metadata.is_dir() {
                        walk(&self.staged(&from), b"", |inside, metadata| {
                            self.note(&join(&to, inside), metadata, properties, there);
                            Ok(Descend::Into)
                        })?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes what was put into the image.
    fn note(
        &mut self,
        below: &[u8],
        metadata: &fs::Metadata,
        properties: &Properties,
        there: &mut There,
    ) {
        let kind = match metadata.is_dir() {
            true => Kind::Folder(Some(metadata.mtime())),
            false => Kind::Other,
        };
        there.insert(below.to_vec(), kind);
        self.properties.set(below, properties.of(below).cloned().unwrap_or_default());
    }

    /// Takes dependencies and whitelist out of the manifest.
    fn stand_alone(&mut self) -> Result<(), ContextError> {
        let mut editor = Editor::new(&self.manifest)?;
        for field in ["dependencies", "pathWhitelist"] {
            let path = manifest::path(&[field]);
            if editor.has(&path) {
                editor.unset(&path)?;
            }
        }
        self.manifest = editor.finish();
        Ok(())
    }
}

/// Copies a tree into a slot; gives what the disk cannot say of it.
fn copy(tree: &lower::Tree, slot: &Path) -> Result<Properties, ContextError> {
    let (owner, overrides, ignore) = (Owner::of_caller(), Overrides::default(), Ignore::default());
    let options = CopyOptions::new(&owner, &overrides, &ignore);
    let source = Tree {
        root: &tree.path,
        only: None,
        owner: &owner,
        overrides: &overrides,
        recorded: Some(&tree.properties),
        ignore: &ignore,
        keeps_ignore_file: true,
        latest: None,
        skip_sockets: false,
        one_file_system: false,
        destination: None,
        output: None,
    };
    let mut properties = Properties::default();
    let moved = Moved { from: b"rootfs", to: b"" };
    fill(&source, slot, moved, &options, &mut properties)?;
    Ok(properties)
}
