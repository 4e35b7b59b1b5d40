//! Images of the store with all they depend on, for what takes them elsewhere.

use std::collections::HashSet;

use aci::{ImageId, Limits, Reference, Refusal, Refuse};

use crate::error::{Kind, refusal};
use crate::store::{Record, Store, StoreError, StoredImage, candidate};

/// Why images cannot go anywhere.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A dependency is not in the store.
    #[error("{of} depends on {wanted}, which is not in the store")]
    Dependency {
        /// The image that needs it.
        of: String,
        /// What it needs.
        wanted: String,
    },
    /// Too many of them, or in too long a line.
    #[error("the images depend on more than {limit} others, or on one in more than {depth} steps")]
    Limit {
        /// How many may be looked at.
        limit: u64,
        /// How many steps there may be to one.
        depth: usize,
    },
}

impl ClosureError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Dependency { .. } => Kind::NotFound,
            Self::Limit { .. } => Kind::Refused,
        }
    }
}

impl Refuse for ClosureError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Store(error) => error.refusal(),
            Self::Dependency { wanted, .. } => refusal(
                "dependency-absent",
                self,
                wanted.clone(),
                "no such image in the store",
                "an image goes nowhere without its dependencies",
                format!("gantry fetch {wanted}"),
            ),
            Self::Limit { .. } => refusal(
                "dependencies-limit",
                self,
                "fewer dependencies",
                self.to_string(),
                "dependencies are strangers' input, and limited",
                "take fewer images at a time",
            ),
        }
    }
}

/// The images and all they depend on, each once, dependencies before what needs them.
pub(crate) fn with_dependencies(
    store: &Store,
    roots: &[ImageId],
    limits: &Limits,
) -> Result<Vec<StoredImage>, ClosureError> {
    let records = store.list()?.images;
    let mut closure =
        Closure { store, records: &records, limits, seen: HashSet::new(), images: Vec::new() };
    for root in roots {
        closure.add(root, 0)?;
    }
    Ok(closure.images)
}

struct Closure<'a> {
    store: &'a Store,
    records: &'a [Record],
    limits: &'a Limits,
    seen: HashSet<ImageId>,
    images: Vec<StoredImage>,
}

impl Closure<'_> {
    fn add(&mut self, id: &ImageId, depth: usize) -> Result<(), ClosureError> {
        // A cycle ends here as well: its images are all taken, once.
        if !self.seen.insert(id.clone()) {
            return Ok(());
        }
        if depth > self.limits.dependency_depth || self.seen.len() as u64 > self.limits.dependencies
        {
            let (limit, depth) = (self.limits.dependencies, self.limits.dependency_depth);
            return Err(ClosureError::Limit { limit, depth });
        }
        let absent = || StoreError::Absent { wanted: id.to_string(), similar: Vec::new() };
        let image = self.store.open_image(id)?.ok_or_else(absent)?;
        for dependency in &image.manifest().dependencies {
            let found = match &dependency.image_id {
                Some(id) => self.store.record(id)?.map(|record| record.image_id),
                None => candidate(self.records, dependency).cloned(),
            };
            let needed = || {
                let (name, labels) = (dependency.image_name.clone(), dependency.labels.clone());
                ClosureError::Dependency {
                    of: image.record().reference().to_string(),
                    wanted: Reference::new(name, labels).to_string(),
                }
            };
            self.add(&found.ok_or_else(needed)?, depth + 1)?;
        }
        self.images.push(image);
        Ok(())
    }
}
