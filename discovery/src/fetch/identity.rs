//! Whether an image is the one that was asked for.

use aci::manifest::Dependency;
use aci::{ImageId, ImageManifest, Labels, Reference, host_platform};

use super::FetchError;
use super::error::Pinned;
use crate::store::StoredImage;

/// What an image has to be, besides trusted.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    /// The name and labels asked for, where it was asked for by name.
    pub(super) reference: Option<Reference>,
    /// The image ID that the image which needs it names.
    pub(super) image_id: Option<ImageId>,
    /// The bytes of its file, by the same word.
    pub(super) size: Option<u64>,
}

/// Whether an image of the store is the one that a dependency means, as it is asked of one that is
/// fetched. Which platform it is for is not: an image may be built for another one than this machine's.
pub fn check_dependency(dependency: &Dependency, image: &StoredImage) -> Result<(), FetchError> {
    let record = image.record();
    let wish = Wish::from(dependency);
    wish.check_labels(image.manifest())?;
    wish.check_pins(image.manifest(), &record.image_id, record.file_bytes)
}

impl From<&Dependency> for Wish {
    fn from(dependency: &Dependency) -> Self {
        let (name, labels) = (dependency.image_name.clone(), dependency.labels.clone());
        Self {
            reference: Some(Reference::new(name, labels)),
            image_id: dependency.image_id.clone(),
            size: dependency.size,
        }
    }
}

impl Wish {
    /// The image must be the one that was asked for (spec: discovery.md, "Validation"):
    /// a server could answer with another image of the same author.
    pub(super) fn check(
        &self,
        manifest: &ImageManifest,
        image_id: &ImageId,
        file_bytes: u64,
    ) -> Result<(), FetchError> {
        self.check_labels(manifest)?;
        if let Some(asked) = &self.reference {
            check_platform(asked, manifest)?;
        }
        self.check_pins(manifest, image_id, file_bytes)
    }

    fn check_labels(&self, manifest: &ImageManifest) -> Result<(), FetchError> {
        self.reference.as_ref().map_or(Ok(()), |asked| check_identity(asked, manifest))
    }

    fn check_pins(
        &self,
        manifest: &ImageManifest,
        image_id: &ImageId,
        file_bytes: u64,
    ) -> Result<(), FetchError> {
        let pinned = |pin| FetchError::Pinned { name: manifest.name.clone(), pin };
        if let Some(wanted) = self.image_id.as_ref().filter(|wanted| *wanted != image_id) {
            let (wanted, found) = (wanted.clone(), image_id.clone());
            return Err(pinned(Pinned::ImageId { wanted, found }));
        }
        match self.size {
            Some(wanted) if wanted != file_bytes => {
                Err(pinned(Pinned::Size { wanted, found: Some(file_bytes) }))
            }
            _ => Ok(()),
        }
    }
}

fn check_identity(asked: &Reference, manifest: &ImageManifest) -> Result<(), FetchError> {
    if *asked.name() != manifest.name {
        let (wanted, found) = (asked.name().clone(), manifest.name.clone());
        return Err(FetchError::NameMismatch { wanted, found });
    }
    match asked.labels().first_mismatch(&manifest.labels) {
        Some((label, found)) => Err(mismatch(asked, label.name.as_str(), &label.value, found)),
        None => Ok(()),
    }
}

fn check_platform(asked: &Reference, manifest: &ImageManifest) -> Result<(), FetchError> {
    let (os, arch) = host_platform();
    match platform_mismatch(asked.labels(), &manifest.labels, [("os", os), ("arch", arch)]) {
        Some((label, wanted, found)) => Err(mismatch(asked, label, wanted, Some(found))),
        None => Ok(()),
    }
}

fn mismatch(asked: &Reference, label: &str, wanted: &str, found: Option<&str>) -> FetchError {
    FetchError::LabelMismatch {
        reference: asked.clone().into(),
        label: label.to_owned(),
        wanted: wanted.to_owned(),
        found: found.map(ToOwned::to_owned),
    }
}

/// Labels that were not asked for stand for this machine's; an image without them is for any.
fn platform_mismatch<'a>(
    asked: &Labels,
    image: &'a Labels,
    host: [(&'static str, &'static str); 2],
) -> Option<(&'static str, &'static str, &'a str)> {
    host.into_iter().find_map(|(label, wanted)| {
        let found = image.value(label)?;
        (asked.value(label).is_none() && found != wanted).then_some((label, wanted, found))
    })
}
