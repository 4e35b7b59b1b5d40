//! The lock file: which images and files a recipe was built from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use aci::{FileDigest, ImageId, Reference};
use serde::{Deserialize, Serialize, Serializer};

use super::fault::{RecipeError, RecipeFault};
use super::place;
use super::text::{SourcePath, text};

/// Which images and which base files a recipe was built from. It is written next to the recipe,
/// so that the next build takes the same ones, or says that they have changed.
///
/// ```toml
/// version = 1
///
/// [[image]]
/// image = "example.com/base:1.0.0"
/// id = "sha512-…"
/// size = 1048576
///
/// [[file]]
/// file = "rootfs.tar.gz"
/// digest = "sha512-…"
/// ```
///
/// - no reference and no file is in it twice; the order of labels makes no other reference
/// - what is copied into the image is not in it: that is kept beside the recipe
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    images: BTreeMap<String, (Reference, LockedImage)>,
    files: BTreeMap<SourcePath, FileDigest>,
}

/// The image that a reference was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedImage {
    /// Its ID.
    pub id: ImageId,
    /// Bytes of its file.
    pub size: u64,
}

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockFields {
    version: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    image: Vec<ImageFields>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    file: Vec<FileFields>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageFields {
    #[serde(deserialize_with = "text", serialize_with = "display")]
    image: Reference,
    id: ImageId,
    size: u64,
}

fn display<S: Serializer>(reference: &Reference, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reference)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFields {
    file: SourcePath,
    digest: FileDigest,
}

/// The same for the same name and labels, whatever the order of these.
fn canonical(reference: &Reference) -> String {
    format!("{},{}", reference.name(), reference.labels().canonical())
}

impl Lock {
    /// The path of the lock file of a recipe: `web.lock` for `web.toml`, and `NAME.lock` for any
    /// other name.
    pub fn path(recipe: &Path) -> PathBuf {
        if recipe.extension().is_some_and(|extension| extension == "toml") {
            return recipe.with_extension("lock");
        }
        let mut name = recipe.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        recipe.with_file_name(name)
    }

    /// Reads a lock file.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let LockFields { version, image, file } = place::read(text)?;
        if version != VERSION {
            return Err(place::fault(text, &["version"], &RecipeFault::LockVersion(version)));
        }
        let mut lock = Self::default();
        for (at, ImageFields { image, id, size }) in image.into_iter().enumerate() {
            let told = image.to_string();
            if lock.set_image(image, LockedImage { id, size }).is_some() {
                let key = ["image", &at.to_string(), "image"];
                return Err(place::fault(text, &key, &RecipeFault::LockedTwice(told)));
            }
        }
        for (at, FileFields { file, digest }) in file.into_iter().enumerate() {
            let told = file.to_string();
            if lock.set_file(file, digest).is_some() {
                let key = ["file", &at.to_string(), "file"];
                return Err(place::fault(text, &key, &RecipeFault::LockedTwice(told)));
            }
        }
        Ok(lock)
    }

    /// The image that a reference was.
    pub fn image(&self, reference: &Reference) -> Option<&LockedImage> {
        self.images.get(&canonical(reference)).map(|(_, locked)| locked)
    }

    /// Locks a reference, and gives what it was before.
    pub fn set_image(&mut self, reference: Reference, image: LockedImage) -> Option<LockedImage> {
        let old = self.images.insert(canonical(&reference), (reference, image));
        old.map(|(_, locked)| locked)
    }

    /// The digest that a base file had.
    pub fn file(&self, file: &SourcePath) -> Option<&FileDigest> {
        self.files.get(file)
    }

    /// Locks a base file, and gives what it was before.
    pub fn set_file(&mut self, file: SourcePath, digest: FileDigest) -> Option<FileDigest> {
        self.files.insert(file, digest)
    }

    /// All references and their images, in the order of the names.
    pub fn images(&self) -> impl Iterator<Item = (&Reference, &LockedImage)> {
        self.images.values().map(|(reference, locked)| (reference, locked))
    }

    /// All base files and their digests, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&SourcePath, &FileDigest)> {
        self.files.iter()
    }
}

/// As it is in the file: the same lock is the same text.
impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = |(reference, locked): (&Reference, &LockedImage)| ImageFields {
            image: reference.clone(),
            id: locked.id.clone(),
            size: locked.size,
        };
        let file = |(file, digest): (&SourcePath, &FileDigest)| FileFields {
            file: file.clone(),
            digest: digest.clone(),
        };
        let fields = LockFields {
            version: VERSION,
            image: self.images().map(image).collect(),
            file: self.files().map(file).collect(),
        };
        f.write_str("# Written by gantry. What the recipe beside this was built from.\n")?;
        f.write_str(&toml::to_string(&fields).map_err(|_| fmt::Error)?)
    }
}
