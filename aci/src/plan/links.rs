//! Hard links: names that share one file.

use std::collections::{HashMap, HashSet};

use super::tree::{Origin, Taken};
use super::{PlanError, PlanImage, PlannedFile, Source, inside};
use crate::archive::EntryKind;

/// The hard links of all images that were visited.
#[derive(Default)]
pub(super) struct Links {
    /// From each link to the entry with the file's content, which is never a link itself.
    files: HashMap<Origin, Origin>,
}

impl Links {
    /// Takes in the hard links of an image. Like the archive's reader, it refuses one to
    /// anything but an earlier file of the rootfs: it would give an image a file of the host.
    pub(super) fn add(&mut self, image: usize, of: &PlanImage<'_>) -> Result<(), PlanError> {
        let targets = of.entries.iter().filter_map(|entry| match &entry.kind {
            EntryKind::HardLink { target } => Some(inside(target).unwrap_or_default()),
            _ => None,
        });
        let targets: HashSet<&[u8]> = targets.collect();
        if targets.is_empty() {
            return Ok(());
        }
        let mut seen: HashMap<&[u8], Option<Origin>> = HashMap::new();
        for (number, entry) in of.entries.iter().enumerate() {
            let Some(path) = inside(&entry.path) else { continue };
            let mut file = Origin::new(image, number);
            if let EntryKind::HardLink { target } = &entry.kind {
                let fault = |fault| {
                    let (path, target) = (entry.path.clone(), target.clone());
                    let image = of.manifest.name.to_string();
                    Err(PlanError::HardLink { image, path, target, fault })
                };
                file = match inside(target).and_then(|target| seen.get(target)) {
                    Some(Some(file)) => *file,
                    Some(None) => return fault("is a directory"),
                    None => return fault("is no earlier file of the rootfs"),
                };
                self.files.insert(Origin::new(image, number), file);
            }
            if targets.contains(path) {
                seen.insert(path, (entry.kind != EntryKind::Directory).then_some(file));
            }
        }
        Ok(())
    }

    /// Says of each path that was taken what is there. Of the names of one file, the first in
    /// the archive that is taken stands for the file, and the others are links to it.
    pub(super) fn settle<'a>(
        &self,
        images: &[PlanImage<'a>],
        taken: Vec<Taken<'a>>,
    ) -> Vec<PlannedFile<'a>> {
        let mut first: HashMap<Origin, Taken<'a>> = HashMap::new();
        let shared: HashSet<Origin> = self.files.values().copied().collect();
        for &(path, origin) in &taken {
            let Some(origin) = origin else { continue };
            let file = self.file(origin);
            if shared.contains(&file) {
                let stands = first.entry(file).or_insert((path, Some(origin)));
                if Some(origin) < stands.1 {
                    *stands = (path, Some(origin));
                }
            }
        }
        let planned = |(path, origin): Taken<'a>| {
            let Some(origin) = origin else { return PlannedFile { path, source: Source::Made } };
            let (image_id, entry) = (images[origin.image()].image_id, origin.entry());
            let file = self.file(origin);
            let source = match first.get(&file) {
                Some(&(target, stands)) if stands != Some(origin) => {
                    Source::Link { image_id, entry, target }
                }
                _ => Source::Entry { image_id, entry, content: file.entry() },
            };
            PlannedFile { path, source }
        };
        taken.into_iter().map(planned).collect()
    }

    fn file(&self, origin: Origin) -> Origin {
        self.files.get(&origin).copied().unwrap_or(origin)
    }
}
