//! Which stored image a person means.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use aci::manifest::Dependency;
use aci::{
    DigestError, ImageId, ImageIdPrefix, Labels, Name, Reference, ReferenceError, host_platform,
};

use super::{Record, Store, StoreError};

/// An image as a person names it: `sha512-8f1c` or `example.com/hello:1.0.0,os=linux`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// By the beginning of its image ID.
    Id(ImageIdPrefix),
    /// By its name and labels.
    Reference(Reference),
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// It begins as an image ID does, but is none.
    #[error(transparent)]
    Id(#[from] DigestError),
    /// It is no reference either.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl FromStr for Wanted {
    type Err = WantedError;

    fn from_str(text: &str) -> Result<Self, WantedError> {
        // No name is hidden by this: a name's first segment is a host, and a bare
        // `sha512-…` is none that could be asked.
        if text.starts_with("sha512-") {
            Ok(Self::Id(text.parse()?))
        } else {
            Ok(Self::Reference(text.parse()?))
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(prefix) => prefix.fmt(f),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}

impl Store {
    /// The image a person means.
    ///
    /// By name: the labels given must all be there with the same value. Among
    /// several, images for this machine's platform come first (one without `os`
    /// and `arch` is for any), then the newest version by semantic versioning
    /// (releases, then pre-releases, then other versions), then an image made for
    /// exactly this platform, then the one imported last.
    ///
    /// # Errors
    /// [`StoreError::Absent`] where there is none, [`StoreError::Ambiguous`] where
    /// the beginning of an image ID fits several.
    pub fn find(&self, wanted: &Wanted) -> Result<ImageId, StoreError> {
        match wanted {
            Wanted::Id(prefix) => {
                let mut ids = self.ids()?;
                ids.retain(|id| prefix.matches(id));
                match ids.len() {
                    0 => Err(absent(wanted, Vec::new())),
                    1 => Ok(ids.swap_remove(0)),
                    _ => Err(StoreError::Ambiguous { prefix: prefix.to_string(), found: ids }),
                }
            }
            Wanted::Reference(reference) => {
                let mut images = self.list()?.images;
                images.retain(|record| record.name == *reference.name());
                let labels = reference.labels();
                match best(images.iter().filter(|record| fits(record, reference.name(), labels))) {
                    Some(record) => Ok(record.image_id.clone()),
                    None => Err(absent(
                        wanted,
                        images.iter().map(|record| record.reference().to_string()).collect(),
                    )),
                }
            }
        }
    }
}

fn absent(wanted: &Wanted, similar: Vec<String>) -> StoreError {
    StoreError::Absent { wanted: wanted.to_string(), similar }
}

/// The image that a dependency means: of those that fit the one that is pinned, else the
/// preferred one.
pub(crate) fn candidate<'r>(
    records: impl IntoIterator<Item = &'r Record>,
    dependency: &Dependency,
) -> Option<&'r ImageId> {
    let fitting: Vec<&Record> = records
        .into_iter()
        .filter(|record| fits(record, &dependency.image_name, &dependency.labels))
        .collect();
    let pinned = dependency.image_id.as_ref();
    let pinned = fitting.iter().copied().find(|record| Some(&record.image_id) == pinned);
    // With a pin, the preferred one is told in the refusal only where the pinned one is absent.
    pinned.or_else(|| best(fitting)).map(|record| &record.image_id)
}

/// Whether an image has this name, and all of these labels with the same value.
fn fits(record: &Record, name: &Name, labels: &Labels) -> bool {
    record.name == *name && labels.first_mismatch(&record.labels).is_none()
}

/// The one that is meant when nothing more is said.
fn best<'r>(records: impl IntoIterator<Item = &'r Record>) -> Option<&'r Record> {
    records.into_iter().max_by(|a, b| preference(a, b))
}

/// Which of two images of one name is meant when nothing more is said.
pub(crate) fn preference(a: &Record, b: &Record) -> Ordering {
    let (a_fits, a_exact) = platform(&a.labels);
    let (b_fits, b_exact) = platform(&b.labels);
    a_fits
        .cmp(&b_fits)
        .then_with(|| version(&a.labels).cmp(&version(&b.labels)))
        .then_with(|| a_exact.cmp(&b_exact))
        .then_with(|| a.imported_at.cmp(&b.imported_at))
        .then_with(|| a.image_id.cmp(&b.image_id))
}

/// Whether an image can be for this machine, and how many of its labels say so.
fn platform(labels: &Labels) -> (bool, usize) {
    let (os, arch) = host_platform();
    let said = [(labels.value("os"), os), (labels.value("arch"), arch)];
    (
        said.iter().all(|(label, host)| label.is_none_or(|label| label == *host)),
        said.iter().filter(|(label, host)| *label == Some(*host)).count(),
    )
}

/// As a registry chooses the latest: whether it is a release, then its place among them.
/// `None`, which no semantic version is, comes before all.
pub(crate) fn version(labels: &Labels) -> Option<(bool, semver::Version)> {
    let version = semver::Version::parse(labels.value("version")?).ok()?;
    Some((version.pre.is_empty(), version))
}
