//! Unpacking an image into an empty folder, and never anywhere else.
//! How paths are kept below the folder is told in `tree.rs`.

use std::io::Read;
use std::path::Path;

use super::ArchiveError;
use super::inspect::{ImageReader, InspectedImage};
use super::owner::Ownership;
use super::tree::TreeBuilder;
use crate::limits::Limits;

/// Says which entries to leave out: asked with a path below the rootfs (`usr/bin/su`) and
/// whether it is a directory. A directory's content is asked for one by one.
pub type Exclude<'a> = &'a dyn Fn(&[u8], bool) -> bool;

/// How an image is unpacked.
#[derive(Clone)]
pub struct UnpackOptions<'a> {
    /// Whose the files are.
    pub ownership: Ownership,
    /// What is left out, if anything is.
    pub exclude: Option<Exclude<'a>>,
}

impl UnpackOptions<'_> {
    /// All files, belonging to whom `ownership` says.
    pub fn new(ownership: Ownership) -> Self {
        Self { ownership, exclude: None }
    }
}

/// What was unpacked, and what was left out.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// The image, as reading it to its end has shown it.
    pub image: InspectedImage,
    /// What is not on disk as the image has it.
    pub left_out: LeftOut,
}

/// How much is not on disk as the image has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Entries that were to be excluded.
    pub excluded: u64,
    /// Device files.
    pub devices: u64,
    /// Extended attributes, as the file system or the caller's rights do not allow them.
    pub xattrs: u64,
    /// Set-user-ID and set-group-ID bits.
    pub set_id: u64,
}

/// Unpacks an image file into `target`, an existing empty folder: `target/manifest`
/// and `target/rootfs/…`. On an error the folder holds a part of the image; stage it.
/// Nothing is synced: [`StagedFolder::sync_tree`](crate::stage::StagedFolder::sync_tree) is for that.
pub fn unpack(
    file: impl Read,
    target: &Path,
    options: &UnpackOptions<'_>,
    limits: &Limits,
) -> Result<Unpacked, ArchiveError> {
    let mut tree = TreeBuilder::new(target, options)?;
    let mut image = ImageReader::new(file, limits)?;
    while let Some(entry) = image.next()? {
        tree.place(&entry, &mut |buffer| image.read_content(buffer))?;
    }
    let image = image.finish()?;
    let left_out = tree.finish(image.manifest_bytes())?;
    Ok(Unpacked { image, left_out })
}
