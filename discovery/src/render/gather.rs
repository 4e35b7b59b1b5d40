//! The images of the store that a rendering takes: the image and all below it, opened and held
//! against removal, with their indexes.

use std::collections::BTreeSet;

use aci::plan::{Plan, PlanError, PlanImage, plan};
use aci::{ImageId, ImageManifest, Limits};

use super::RenderError;
use crate::store::{ImageIndex, Store, StoreError, StoredImage, candidate, preference};

/// An image and its dependencies.
pub(super) struct Gathered<'a> {
    /// The image itself.
    pub(super) top: Member<&'a StoredImage>,
    /// The others, those first that are preferred where several fit.
    pub(super) others: Vec<Member<StoredImage>>,
}

/// One image and its index.
pub(super) struct Member<I> {
    pub(super) image: I,
    pub(super) index: ImageIndex,
}

impl<I: std::borrow::Borrow<StoredImage>> Member<I> {
    pub(super) fn planned(&self) -> PlanImage<'_> {
        let image: &StoredImage = self.image.borrow();
        PlanImage {
            image_id: &image.record().image_id,
            manifest: image.manifest(),
            file_bytes: Some(image.record().file_bytes),
            entries: &self.index.entries,
        }
    }
}

/// Opens what the plan of an image may need. What is missing is left for the plan to tell.
pub(super) fn gather<'a>(
    top: &'a StoredImage,
    limits: &Limits,
) -> Result<Gathered<'a>, RenderError> {
    Gathered::open(top, open_dependencies(top, limits)?)
}

/// The images below an image.
pub(super) fn open_dependencies(
    top: &StoredImage,
    limits: &Limits,
) -> Result<Vec<StoredImage>, RenderError> {
    let mut found = dependencies(top.store(), top.manifest(), limits)?;
    found.retain(|found| found.record().image_id != top.record().image_id);
    Ok(found)
}

impl<'a> Gathered<'a> {
    /// Reads the indexes of these images.
    pub(super) fn open(
        top: &'a StoredImage,
        others: Vec<StoredImage>,
    ) -> Result<Self, RenderError> {
        let with_index = |image: StoredImage| {
            let index = image.index()?;
            Ok(Member { image, index })
        };
        let others: Result<Vec<_>, StoreError> = others.into_iter().map(with_index).collect();
        let index = top.index()?;
        Ok(Self { top: Member { image: top, index }, others: others? })
    }

    /// Which file of which image is where.
    pub(super) fn plan(&self, limits: &Limits) -> Result<Plan<'_>, PlanError> {
        let others: Vec<PlanImage<'_>> = self.others.iter().map(Member::planned).collect();
        plan(&self.top.planned(), &others, limits)
    }

    /// The index of one of the images.
    pub(super) fn index(&self, id: &ImageId) -> Result<&ImageIndex, StoreError> {
        if self.top.image.record().image_id == *id {
            return Ok(&self.top.index);
        }
        let found = self.others.iter().find(|other| other.image.record().image_id == *id);
        // A plan names only images that it was given.
        let absent = || StoreError::Absent { wanted: id.to_string(), similar: Vec::new() };
        found.map(|other| &other.index).ok_or_else(absent)
    }
}

/// All images of the store that the dependencies of a manifest lead to, opened; of one name those
/// first that are preferred.
fn dependencies(
    store: &Store,
    manifest: &ImageManifest,
    limits: &Limits,
) -> Result<Vec<StoredImage>, StoreError> {
    let mut wanted = manifest.dependencies.clone();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let records = store.list()?.images;
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut looked_at = 0;
    while let Some(dependency) = wanted.pop() {
        looked_at += 1;
        // The plan, which counts better, refuses what is more than the limit.
        if looked_at > limits.dependencies.saturating_mul(4) {
            break;
        }
        let Some(id) = candidate(&records, &dependency) else { continue };
        if !seen.insert(id) {
            continue;
        }
        if let Some(image) = store.open_image(id)? {
            wanted.extend(image.manifest().dependencies.iter().cloned());
            found.push(image);
        }
    }
    found.sort_by(|one, other| preference(other.record(), one.record()));
    Ok(found)
}
