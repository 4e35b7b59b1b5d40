//! The files that a command writes: all of them, or none.

use std::path::{Path, PathBuf};

use aci::stage::{Existing, NotWritten, Together};
use serde_json::Value;

use super::write::Pending;
use crate::cli::files::{
    cannot_write, is_same, is_signed_otherwise, signature_beside, signed_otherwise,
};
use crate::cli::{Context, Failure, Kind};

/// Files that are whole and have no names yet. Dropped, they never were.
#[derive(Default)]
pub(super) struct Outputs {
    files: Together,
    /// What is said of each image: as JSON, and its ID.
    images: Vec<(Value, String)>,
    /// Files that a later command wrote again, and not the signature beside them.
    signed_before: Vec<PathBuf>,
}

impl Outputs {
    /// Refuses, before the work, what could not be written after it.
    pub(super) fn check(
        files: impl IntoIterator<Item = (PathBuf, Existing)>,
    ) -> Result<(), Failure> {
        let mut tried = Self::default();
        files.into_iter().try_for_each(|(path, existing)| tried.put(&path, b"", existing))
    }

    /// Adds a small file.
    pub(super) fn put(
        &mut self,
        path: &Path,
        bytes: &[u8],
        existing: Existing,
    ) -> Result<(), Failure> {
        self.files.write(path, bytes, existing).map_err(refused)
    }

    /// Adds an image.
    pub(super) fn add(&mut self, image: Pending) -> Result<(), Failure> {
        let Pending { image, id, metadata } = image;
        self.images.push((metadata, id));
        image.add_to(&mut self.files).map_err(refused)
    }

    /// Adds what a later command has written.
    pub(super) fn append(&mut self, later: Self) -> Result<(), Failure> {
        self.images.extend(later.images);
        let is_signed = |files: &Together, path: &Path| {
            let signature = signature_beside(path);
            files.files().any(|(other, _)| other == signature)
        };
        self.signed_before.retain(|path| !is_signed(&later.files, path));
        self.signed_before.extend(later.signed_before);
        for (path, new) in later.files.files() {
            let old = self.files.files().find(|(other, _)| *other == path);
            if let Some((_, old)) = old
                && is_signed(&self.files, path)
                && !is_signed(&later.files, path)
                && !is_same(old, new)
            {
                self.signed_before.push(path.to_owned());
            }
        }
        self.files.append(later.files).map_err(refused)
    }

    /// Gives the files their names, in the order in which they were added, and prints the image IDs.
    pub(super) fn commit(mut self, context: &Context) -> Result<(), Failure> {
        let images = std::mem::take(&mut self.images);
        self.commit_quietly(context)?;
        images.into_iter().try_for_each(|(metadata, id)| Ok(context.print(&metadata, id)?))
    }

    /// The same, and prints nothing.
    pub(super) fn commit_quietly(self, context: &Context) -> Result<(), Failure> {
        let written: Vec<PathBuf> = self.files.files().map(|(path, _)| path.to_owned()).collect();
        let left = self.files.files().filter(|(path, file)| {
            self.signed_before.iter().any(|before| before == path)
                || !written.contains(&signature_beside(path)) && is_signed_otherwise(path, file)
        });
        let left: Vec<PathBuf> = left.map(|(path, _)| path.to_owned()).collect();
        self.files.commit().map_err(refused)?;
        left.iter().for_each(|path| context.warn(signed_otherwise(path)));
        Ok(())
    }
}

fn refused(error: NotWritten) -> Failure {
    match error {
        NotWritten::Io { path, source } => cannot_write(&path, source),
        twice @ NotWritten::Twice(_) => Failure::new(Kind::Usage, twice),
    }
}
