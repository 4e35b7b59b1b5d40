//! What is not seen of the images that one depends on: whiteouts in a layer of their own.

use std::fs;

use rustix::fs::{CWD, FileType, Mode};

use super::error::Fault;
use super::order::Run;
use super::owners;

/// Fills the layer that hides what is asked for, of a root file system that is seen whole at
/// `merged`.
pub(super) fn make(run: &Run, merged: &std::path::Path) -> Result<(), Fault> {
    let layer = run.scratch("hidden");
    let mut made = Vec::new();
    for path in run.hidden.iter().map(super::Bytes::path) {
        let failed = |error| Fault::owner(&path, error);
        let parent = path.parent().unwrap_or(&path);
        let is_folder = |place: std::path::PathBuf| place.is_dir() && !place.is_symlink();
        // Where the image has something else there, nothing below shows anyway.
        if !owners::real(merged, parent).map_err(failed)?.is_some_and(is_folder) {
            continue;
        }
        fs::create_dir_all(layer.join(parent)).map_err(failed)?;
        // Device 0:0, which anybody may make (mknod(2), Linux 5.8).
        rustix::fs::mknodat(CWD, layer.join(&path), FileType::CharacterDevice, Mode::empty(), 0)
            .map_err(|errno| failed(errno.into()))?;
        made.push(path);
    }
    owners::copy_ways(made.iter().map(std::path::PathBuf::as_path), merged, &layer).map(drop)
}
