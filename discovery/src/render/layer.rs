//! What of a rendering differs from a tree that is there: a layer to lie above that tree.
//!
//! The same path is the same thing where kind, properties and content are the same, and, of a
//! file with several names, where the names are the same too. What is not the same is in the
//! layer, with the folders on the way to it; what is no longer there is hidden by a whiteout, a
//! character device 0:0 (Linux: Documentation/filesystems/overlayfs.rst).

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use aci::ContentDigest;
use aci::archive::{Entry, EntryKind, IndexEntry, PathBytes};
use aci::plan::{Plan, PlannedFile, Source, canonical};

use super::RenderError;
use super::fill::made;
use super::gather::Gathered;

/// A layer to lie above a tree.
#[derive(Debug)]
pub(super) struct Layer<'p> {
    /// What is in it, in the order of a plan.
    pub(super) files: Vec<PlannedFile<'p>>,
    /// What it hides of the tree below.
    pub(super) hidden: Vec<PathBytes>,
}

impl<'p> Layer<'p> {
    /// The layer that makes `wanted` of the tree that was rendered from `below`.
    pub(super) fn between(wanted: Side<'_, 'p>, below: Side<'_, '_>) -> Result<Self, RenderError> {
        let mut changed: HashSet<&[u8]> = HashSet::new();
        let mut hidden: Vec<PathBytes> = Vec::new();
        let (mut ours, mut theirs) = (wanted.plan.files.iter(), below.plan.files.iter());
        let (mut our, mut their) = (ours.next(), theirs.next());
        // What is below such a path is hidden with it.
        let mut covered: Option<&[u8]> = None;
        loop {
            let order = match (our, their) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(one), Some(other)) => canonical(one.path, other.path),
            };
            match (order, our, their) {
                (Ordering::Less, Some(one), _) => {
                    changed.insert(one.path);
                    our = ours.next();
                }
                (Ordering::Equal, Some(one), Some(other)) => {
                    if !wanted.is_same(one, &below, other)? {
                        changed.insert(one.path);
                        if !wanted.is_folder(one)? {
                            covered = Some(one.path);
                        }
                    }
                    our = ours.next();
                    their = theirs.next();
                }
                (_, _, Some(other)) => {
                    if !covered.is_some_and(|folder| is_in(other.path, folder)) {
                        hidden.push(other.path.into());
                        covered = Some(other.path);
                    }
                    their = theirs.next();
                }
                _ => break,
            }
        }
        take_groups_whole(wanted.plan, below.plan, &mut changed);
        let mut needed: HashSet<&[u8]> = changed.iter().copied().collect();
        needed.extend(changed.iter().flat_map(|path| folders_of(path)));
        needed.extend(hidden.iter().flat_map(|path| folders_of(&path.0)));
        // Whose mode and owner its root has, it has to be in it.
        needed.insert(b"rootfs");
        let files = wanted.plan.files.iter().filter(|file| needed.contains(file.path));
        Ok(Self { files: files.copied().collect(), hidden })
    }

    /// How many things it has.
    pub(super) fn size(&self) -> usize {
        self.files.len() + self.hidden.len()
    }
}

/// A plan, and the images it was made from.
#[derive(Clone, Copy)]
pub(super) struct Side<'s, 'p> {
    pub(super) plan: &'s Plan<'p>,
    pub(super) images: &'s Gathered<'p>,
}

impl Side<'_, '_> {
    fn is_same(
        &self,
        one: &PlannedFile<'_>,
        below: &Side<'_, '_>,
        other: &PlannedFile<'_>,
    ) -> Result<bool, RenderError> {
        Ok(match (one.source, other.source) {
            (Source::Link { target, .. }, Source::Link { target: other, .. }) => target == other,
            (Source::Link { .. }, _) | (_, Source::Link { .. }) => false,
            (Source::Made, Source::Made) => true,
            (
                Source::Entry { image_id, content, .. },
                Source::Entry { image_id: other, content: number, .. },
            ) if image_id == other && content == number => true,
            _ => self.thing(one)? == below.thing(other)?,
        })
    }

    fn is_folder(&self, file: &PlannedFile<'_>) -> Result<bool, RenderError> {
        Ok(match file.source {
            Source::Made => true,
            Source::Link { .. } => false,
            Source::Entry { image_id, content, .. } => {
                self.images.index(image_id)?.entries[content].kind == EntryKind::Directory
            }
        })
    }

    /// All that makes a path what it is, wherever in an archive it comes from.
    fn thing(&self, file: &PlannedFile<'_>) -> Result<(Entry, Option<ContentDigest>), RenderError> {
        let (mut entry, content) = match file.source {
            Source::Made | Source::Link { .. } => (made(file.path), None),
            Source::Entry { image_id, content: number, .. } => {
                let IndexEntry { entry, content } = self.images.index(image_id)?.entry(number)?;
                (entry, content.map(|content| content.digest))
            }
        };
        entry.path = file.path.into();
        Ok((entry, content))
    }
}

/// A file with several names is one inode: where one of its names is another thing than below,
/// or where it has other names, all are in the layer.
fn take_groups_whole<'p>(wanted: &Plan<'p>, below: &Plan<'_>, changed: &mut HashSet<&'p [u8]>) {
    let others = groups(below);
    for (target, names) in groups(wanted) {
        let all = || names.iter().copied().chain([target]);
        if others.get(target) != Some(&names) || all().any(|name| changed.contains(name)) {
            changed.extend(all());
        }
    }
}

/// The further names of files, in order, by their first.
fn groups<'p>(plan: &Plan<'p>) -> HashMap<&'p [u8], Vec<&'p [u8]>> {
    let mut groups: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
    for file in &plan.files {
        if let Source::Link { target, .. } = file.source {
            groups.entry(target).or_default().push(file.path);
        }
    }
    groups
}

fn is_in(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

/// The folders on the way to a path.
fn folders_of(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}
