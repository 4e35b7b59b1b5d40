//! The folder that is made: filled under a hidden name beside its place, named when it is whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aci::stage::{self, StagedFolder};

use super::{RenderError, Shape};

/// Gives a filled folder its name.
pub(super) fn place(staged: StagedFolder, target: &Path, shape: Shape) -> Result<(), RenderError> {
    staged.sync_tree().map_err(at(target))?;
    match shape {
        Shape::Image => commit(staged, target),
        Shape::Rootfs => {
            make_way(target)?;
            staged.commit_child("rootfs", target).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => RenderError::Occupied(target.to_owned()),
                _ => at(target)(error),
            })
        }
    }
}

/// The folders above a target that were not there. Dropped, those that are empty are gone again:
/// an image that is refused leaves nothing behind.
pub(super) struct Parents(Vec<PathBuf>);

impl Parents {
    pub(super) fn make(folder: &Path) -> io::Result<Self> {
        let absent = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made = Self(folder.ancestors().take_while(absent).map(Path::to_owned).collect());
        stage::create_folders(folder)?;
        Ok(made)
    }

    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// A folder to fill beside the target, to be dropped before what is above it.
pub(super) fn stage_beside(target: &Path) -> Result<(Parents, StagedFolder), RenderError> {
    // It is replaced, and nothing can take the place of `.` in a folder.
    let bytes = target.as_os_str().as_encoded_bytes();
    if [&b"."[..], b".."].contains(&bytes) || bytes.ends_with(b"/.") || bytes.ends_with(b"/..") {
        let text = "it gets its name when it is whole: name the folder from outside of it";
        return Err(at(target)(io::Error::new(io::ErrorKind::InvalidInput, text)));
    }
    // What a link leads to is not what was named.
    if target.is_symlink() {
        return Err(RenderError::Occupied(target.to_owned()));
    }
    match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(false) => return Err(RenderError::Occupied(target.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(RenderError::Occupied(target.to_owned()));
        }
        Err(error) => return Err(at(target)(error)),
    }
    let parent = stage::folder_of(target);
    let parents = Parents::make(parent).map_err(at(parent))?;
    // Of a process that was killed. What cannot be removed is not this one's business.
    let _ = stage::clean(parent);
    let staged = StagedFolder::new_in(parent).map_err(at(parent))?;
    Ok((parents, staged))
}

pub(super) fn commit(staged: StagedFolder, target: &Path) -> Result<(), RenderError> {
    make_way(target)?;
    staged.commit(target).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => RenderError::Occupied(target.to_owned()),
        _ => at(target)(error),
    })
}

/// Removes the target where it is an empty folder.
pub(super) fn make_way(target: &Path) -> Result<(), RenderError> {
    match fs::remove_dir(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Err(RenderError::Occupied(target.to_owned()))
        }
        other => other.map_err(at(target)),
    }
}

pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> RenderError {
    let path = path.to_owned();
    move |source| RenderError::Io { path: path.clone(), source }
}
