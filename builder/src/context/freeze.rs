//! A context is kept for later, and made again from what was kept, without copying a file.
//!
//! Files are further names of the kept ones, so that neither may be written to in its place. That is
//! how a context works: what is copied takes the place of what was there, commands run above an
//! overlay, and what is given other properties is copied first ([`super::Change`]).

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aci::stage::StagedFolder;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};

use super::{CHANGE, Context, ContextError, FOLDER, LINKED, LOCK};

impl Context {
    /// Keeps the context as it is in the folder `target`, which is there whole or not at all.
    pub fn freeze(&self, target: &Path) -> Result<(), ContextError> {
        let parent = aci::stage::folder_of(target);
        let keep = || {
            let staged = StagedFolder::new_in(parent)?;
            link_tree(&self.folder, &staged.path().join(FOLDER))?;
            // It outlives this build, and a power cut.
            staged.sync_tree()?;
            match staged.commit(target) {
                // Somebody else has kept the same.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            }
        };
        keep().map_err(ContextError::io("keep the build in", target))?;
        self.mark_linked()
    }

    /// Makes a context in `work` of one that was kept.
    pub fn thaw(kept: &Path, work: &Path) -> Result<(), ContextError> {
        let make = || {
            let staged = StagedFolder::new_in(work)?;
            link_tree(&kept.join(FOLDER), &staged.path().join(FOLDER))?;
            aci::stage::put(
                &staged.path().join(FOLDER).join(LINKED),
                b"",
                0o644,
                aci::stage::Existing::Replace,
            )?;
            staged.commit_child(FOLDER, &work.join(FOLDER))
        };
        make().map_err(ContextError::io("begin with", kept))
    }

    /// Whether its files are other names of kept ones.
    pub(super) fn is_linked(&self) -> bool {
        super::journal::exists(&self.folder.join(LINKED))
    }

    fn mark_linked(&self) -> Result<(), ContextError> {
        let path = self.folder.join(LINKED);
        aci::stage::put(&path, b"", 0o644, aci::stage::Existing::Replace)
            .map_err(ContextError::io("write", path))
    }
}

/// Makes `to` the same tree as `from`: folders anew, all else by further names.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut left = vec![std::path::PathBuf::new()];
    let mut folders = Vec::new();
    while let Some(below) = left.pop() {
        let (source, target) = (from.join(&below), to.join(&below));
        rustix::fs::mkdir(&target, Mode::RWXU)?;
        for entry in fs::read_dir(&source)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_dir() {
                // What is being changed is nobody's to keep.
                if !(below.as_os_str().is_empty() && name == CHANGE) {
                    left.push(below.join(name));
                }
            } else if below.as_os_str().is_empty() && name == LOCK {
                aci::stage::put(&target.join(name), b"", 0o644, aci::stage::Existing::Replace)?;
            } else {
                rustix::fs::linkat(CWD, entry.path(), CWD, target.join(name), AtFlags::empty())?;
            }
        }
        folders.push(below);
    }
    for below in folders.iter().rev() {
        same_properties(&from.join(below), &to.join(below))?;
    }
    Ok(())
}

/// Gives a folder owner, mode, attributes and time of another one.
fn same_properties(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::metadata(from)?;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(to, flags, Mode::empty())?;
    if rustix::process::geteuid().is_root() {
        let owner = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
        rustix::fs::fchown(&folder, Some(owner.0), Some(owner.1))?;
    }
    let source = rustix::fs::open(from, flags, Mode::empty())?;
    let attributes = crate::attributes::read(&crate::attributes::From::Open(source.as_fd()))?;
    for (name, value) in &attributes {
        rustix::fs::fsetxattr(&folder, name.as_slice(), value, XattrFlags::empty())?;
    }
    rustix::fs::fchmod(&folder, Mode::from_raw_mode(metadata.mode() & 0o7777))?;
    let time = Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::futimens(&folder, &times)?)
}
