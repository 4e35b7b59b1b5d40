//! What a manifest calls itself and its images, read without any rule on names.
//!
//! A message about a manifest that is not acceptable should still say which one it is. Only
//! the JSON, the types of the fields and `acKind` are looked at.

use serde::Serialize;

use super::ManifestError;
use super::parts::{TYPES, kind};
use crate::json::{Fields, Reader, Spot};
use crate::types::AcKind;

/// The names in a manifest, acceptable or not.
///
/// ```
/// let bytes = br#"{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "Not/Allowed!"}"#;
/// let outline = aci::manifest::Outline::image(bytes)?;
/// assert_eq!(outline.name, "Not/Allowed!");
/// # Ok::<(), aci::ManifestError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outline {
    /// `acVersion`.
    pub version: String,
    /// The image's or the app's name.
    pub name: String,
    /// The image's ID, in a pod.
    pub id: String,
    /// The image's name, in a pod.
    pub image: String,
    /// The image's labels: names and values.
    pub labels: Vec<(String, String)>,
    /// The apps of a pod.
    pub apps: Vec<Outline>,
}

impl Outline {
    /// The outline of an image manifest.
    pub fn image(bytes: &[u8]) -> Result<Self, ManifestError> {
        let read = |spot: &Spot<'_, '_>| {
            let fields = spot.fields(&["acKind", "acVersion", "name", "labels"])?;
            fields.required("acKind", TYPES, |spot| kind(spot, AcKind::ImageManifest))?;
            Some(Self {
                version: string(&fields, "acVersion")?,
                name: string(&fields, "name")?,
                labels: fields.list("labels", label)?,
                ..Self::default()
            })
        };
        ManifestError::result("image", Reader::check(bytes, read))
    }

    /// The outline of a pod manifest.
    pub fn pod(bytes: &[u8]) -> Result<Self, ManifestError> {
        let read = |spot: &Spot<'_, '_>| {
            let fields = spot.fields(&["acKind", "acVersion", "apps"])?;
            fields.required("acKind", TYPES, |spot| kind(spot, AcKind::PodManifest))?;
            let version = string(&fields, "acVersion")?;
            Some(Self { version, apps: fields.list("apps", app)?, ..Self::default() })
        };
        ManifestError::result("pod", Reader::check(bytes, read))
    }
}

fn app(spot: &Spot<'_, '_>) -> Option<Outline> {
    let fields = spot.fields(&["name", "image"])?;
    let image = |spot: &Spot<'_, '_>| {
        let fields = spot.fields(&["name", "id", "labels"])?;
        Some(Outline {
            image: string(&fields, "name")?,
            id: string(&fields, "id")?,
            labels: fields.list("labels", label)?,
            ..Outline::default()
        })
    };
    let image = fields.optional("image", image)?.unwrap_or_default();
    Some(Outline { name: string(&fields, "name")?, ..image })
}

fn label(spot: &Spot<'_, '_>) -> Option<(String, String)> {
    let fields = spot.fields(&["name", "value"])?;
    Some((string(&fields, "name")?, string(&fields, "value")?))
}

fn string(fields: &Fields<'_, '_>, key: &'static str) -> Option<String> {
    fields.optional(key, |spot| spot.text().map(str::to_owned)).map(Option::unwrap_or_default)
}
