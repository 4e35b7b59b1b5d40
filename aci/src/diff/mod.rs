//! What differs between two images: their manifests, and their trees entry by entry.
//!
//! Images may have millions of entries in any order, so neither is kept in memory. What is known
//! of each entry goes into a sorter that holds 4 MiB at most and lets sorted runs of the rest wait
//! in a nameless file; then the two sorted lists are read side by side.

mod manifest;
mod record;
mod sort;

use std::cmp::Ordering;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::archive::{
    ArchiveError, Content, Entry, EntryKind, InspectedImage, PathBytes, read_entries,
};
use crate::digest::FileDigest;
use crate::limits::Limits;
use crate::sha512::Sha512;

pub use manifest::{ManifestChange, manifests};
use record::Record;
use sort::{Sorted, Sorter};

/// Why two images could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// One of them is no image, or cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// There was no room for what waits to be compared.
    #[error("cannot keep what is to be compared: {0}")]
    Work(#[source] io::Error),
    /// The manifests cannot be taken apart.
    #[error("cannot compare the manifests: {0}")]
    Manifest(String),
}

/// The tree of one image, entry by entry, ready to be compared.
pub struct Tree {
    /// The image, as reading it to its end has shown it.
    pub image: InspectedImage,
    entries: Sorted,
}

impl Tree {
    /// Reads an image file to its end. What does not fit in memory waits in a nameless file
    /// in the folder `work`.
    pub fn read(file: impl Read, limits: &Limits, work: &Path) -> Result<Self, DiffError> {
        let mut sorter = Sorter::new(work);
        let mut buffer = vec![0; 64 << 10];
        let image = read_entries(file, limits, |entry, content| {
            let content = match entry.kind {
                EntryKind::File { .. } => Some(digest(content, &mut buffer)?),
                _ => None,
            };
            sorter.push(&Record { entry, content }).map_err(DiffError::Work)
        })?;
        Ok(Self { image, entries: sorter.finish().map_err(DiffError::Work)? })
    }
}

fn digest(content: &mut Content<'_>, buffer: &mut [u8]) -> Result<[u8; 64], ArchiveError> {
    let mut hash = Sha512::new();
    loop {
        match content.read(buffer)? {
            0 => return Ok(hash.finish()),
            got => hash.update(&buffer[..got]),
        }
    }
}

/// One entry that is not the same in both trees.
#[derive(Debug, Clone, PartialEq)]
pub enum TreeChange {
    /// It is in the second tree alone.
    Added(Entry),
    /// It is in the first tree alone.
    Removed(Entry),
    /// It is in both.
    Changed {
        /// Its path.
        path: PathBytes,
        /// What is not the same, at least one field.
        fields: Vec<FieldChange>,
    },
}

/// A field of an entry that is not the same in both trees.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// The field: one of [`Entry::fields`], or `content`, the SHA-512 of a file's bytes.
    pub field: String,
    /// Its value in the first tree, where it has one.
    pub old: Option<Value>,
    /// Its value in the second tree, where it has one.
    pub new: Option<Value>,
}

/// Fields that are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignore {
    /// Modification times.
    Mtime,
    /// Owner and group.
    Owner,
    /// Permission bits.
    Mode,
    /// Extended attributes.
    Xattrs,
}

impl Ignore {
    fn covers(self, field: &str) -> bool {
        match self {
            Self::Mtime => field == "mtime",
            Self::Owner => matches!(field, "uid" | "gid"),
            Self::Mode => field == "mode",
            Self::Xattrs => field.starts_with("xattr:"),
        }
    }
}

/// Tells every entry that is not the same in both trees, in the order of paths.
pub fn trees<E: From<DiffError>>(
    old: Tree,
    new: Tree,
    ignore: &[Ignore],
    mut tell: impl FnMut(TreeChange) -> Result<(), E>,
) -> Result<(), E> {
    let next = |list: &mut Sorted| list.next().map_err(DiffError::Work);
    let (mut olds, mut news) = (old.entries, new.entries);
    let (mut a, mut b) = (next(&mut olds)?, next(&mut news)?);
    loop {
        let order = match (&a, &b) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => record::order(&a.entry.path.0, &b.entry.path.0),
        };
        if order == Ordering::Equal {
            if let (Some(a), Some(b)) = (&a, &b) {
                let fields = changes(a, b, ignore);
                if !fields.is_empty() {
                    tell(TreeChange::Changed { path: a.entry.path.clone(), fields })?;
                }
            }
        } else if order == Ordering::Less {
            a.take().map_or(Ok(()), |a| tell(TreeChange::Removed(a.entry)))?;
        } else {
            b.take().map_or(Ok(()), |b| tell(TreeChange::Added(b.entry)))?;
        }
        if order != Ordering::Greater {
            a = next(&mut olds)?;
        }
        if order != Ordering::Less {
            b = next(&mut news)?;
        }
    }
}

/// The fields in which two entries of one path differ.
fn changes(old: &Record, new: &Record, ignore: &[Ignore]) -> Vec<FieldChange> {
    if old == new {
        return Vec::new();
    }
    let (olds, mut news) = (fields(old), fields(new));
    let mut changes = Vec::new();
    for (field, old) in olds {
        let at = news.iter().position(|(name, _)| *name == field);
        let new = at.map(|at| news.remove(at).1);
        changes.push(FieldChange { field, old: Some(old), new });
    }
    let added =
        news.into_iter().map(|(field, new)| FieldChange { field, old: None, new: Some(new) });
    changes.extend(added);
    changes.retain(|change| {
        change.old != change.new && !ignore.iter().any(|one| one.covers(&change.field))
    });
    changes
}

fn fields(record: &Record) -> Vec<(String, Value)> {
    let mut fields = record.entry.fields();
    if let Some(content) = record.content {
        fields.push(("content".to_owned(), FileDigest::of(content).to_string().into()));
    }
    fields
}

#[cfg(test)]
mod tests;
