//! The image manifest (spec: aci.md, "Image Manifest Schema").

use serde::Serialize;

use super::ManifestError;
use super::app::App;
use super::parts::{TYPES, absolute, kind, labels, version};
use crate::digest::ImageId;
use crate::finding::Checked;
use crate::json::{Extra, Items, Reader, Spot};
use crate::labels::Labels;
use crate::name::{Identifier, Name};
use crate::types::{AcKind, AcVersion, Timestamp, WebUrl};

/// An image manifest.
///
/// ```
/// use aci::ImageManifest;
///
/// let manifest = ImageManifest::from_json(br#"{"acKind": "ImageManifest",
///     "acVersion": "0.8.11", "name": "example.com/app",
///     "app": {"exec": ["/bin/app"], "user": "0", "group": "0"}}"#)?;
/// assert_eq!(manifest.name.host(), "example.com");
/// # Ok::<(), aci::ManifestError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always `ImageManifest`.
    pub ac_kind: AcKind,
    /// The version of the spec.
    pub ac_version: AcVersion,
    /// The image's name.
    pub name: Name,
    /// The image's labels.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// How to run the image, where it can be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// Images whose files lie below this one's, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// The paths that remain after rendering, absolute; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path_whitelist: Vec<String>,
    /// Extra metadata.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image whose files lie below this one's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Its name.
    pub image_name: Name,
    /// Its image ID, where pinned.
    #[serde(rename = "imageID", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// Labels it must have.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Bytes of its image file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A piece of extra metadata.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Annotation {
    /// What it says: `created`, `authors`, `homepage`, `documentation`, or another word.
    pub name: Identifier,
    /// The text.
    pub value: String,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

const SCHEMA: &str = "spec: aci.md, Image Manifest Schema";
const WHITELIST: &str = "spec: aci.md, pathWhitelist";
const DEPENDENCIES: &str = "spec: aci.md, dependencies";
const ANNOTATIONS: &str = "spec: aci.md, annotations";

const KEYS: &[&str] = &[
    "acKind",
    "acVersion",
    "name",
    "labels",
    "app",
    "dependencies",
    "pathWhitelist",
    "annotations",
];

impl ImageManifest {
    /// A manifest with a name and labels, and nothing else.
    pub fn new(name: Name, labels: Labels) -> Self {
        Self {
            ac_kind: AcKind::ImageManifest,
            ac_version: AcVersion::CURRENT,
            name,
            labels,
            app: None,
            dependencies: Vec::new(),
            path_whitelist: Vec::new(),
            annotations: Vec::new(),
            extra: Extra::default(),
        }
    }

    /// Reads a manifest, and tells everything that is wrong or odd about it.
    ///
    /// - one JSON object in UTF-8 with nothing before or after it but white space
    /// - refused besides what the spec asks: keys given twice and keys in another case, which
    ///   other tools read differently, and nesting deeper than 128 levels
    /// - `null` is as good as an absent field
    pub fn check(bytes: &[u8]) -> Checked<Self> {
        Reader::check(bytes, Self::read)
    }

    /// Reads a manifest as [`ImageManifest::check`] does; its errors are this error.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        ManifestError::result("image", Self::check(bytes))
    }

    /// The manifest as compact JSON: the spec's field order, no trailing newline.
    ///
    /// For new manifests. One that exists is edited with [`crate::Document`], which keeps all
    /// that it does not edit.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// The value of the annotation `name`.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.iter().find(|a| a.name.as_str() == name).map(|a| a.value.as_str())
    }

    fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        let fields = spot.fields(KEYS)?;
        let ac_kind = fields.required("acKind", TYPES, |spot| kind(spot, AcKind::ImageManifest));
        let ac_version = fields.required("acVersion", TYPES, version);
        let name: Option<Name> =
            fields.required("name", SCHEMA, |name| name.parsed("identifier", SCHEMA));
        let labels = fields.optional("labels", labels);
        let app = fields.optional("app", App::read);
        let dependencies = fields.optional("dependencies", |spot| {
            let dependencies = spot.items_of(Dependency::read)?;
            warn_dependencies(spot, &dependencies, name.as_ref());
            dependencies.all()
        });
        let path_whitelist = fields.list("pathWhitelist", |path| absolute(path, WHITELIST));
        let annotations = fields.optional("annotations", annotations);
        Some(Self {
            ac_kind: ac_kind?,
            ac_version: ac_version?,
            name: name?,
            labels: labels?.unwrap_or_default(),
            app: app?,
            dependencies: dependencies?.unwrap_or_default(),
            path_whitelist: path_whitelist?,
            annotations: annotations?.unwrap_or_default(),
            extra: fields.extra(),
        })
    }
}

/// Tells of an image that names itself or another one twice.
fn warn_dependencies(spot: &Spot<'_, '_>, dependencies: &Items<Dependency>, name: Option<&Name>) {
    let key = |d: &Dependency| format!("{},{}", d.image_name, d.labels.canonical());
    spot.warn_twice(dependencies, "dependency", key, DEPENDENCIES);
    for (dependency, &place) in dependencies.read.iter().zip(&dependencies.places) {
        if Some(&dependency.image_name) == name {
            let message = "the image names itself as its dependency";
            spot.item(place, |item| item.warn("dependency-self", message, DEPENDENCIES));
        }
    }
}

impl Dependency {
    pub(crate) fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        let fields = spot.fields(&["imageName", "imageID", "labels", "size"])?;
        let image_name = fields
            .required("imageName", DEPENDENCIES, |name| name.parsed("identifier", DEPENDENCIES));
        let image_id = fields.optional("imageID", |id| id.parsed("image-id", TYPES));
        let labels = fields.optional("labels", labels);
        let size = fields.optional("size", |size| size.integer(0, u64::MAX, DEPENDENCIES));
        Some(Self {
            image_name: image_name?,
            image_id: image_id?,
            labels: labels?.unwrap_or_default(),
            size: size?,
            extra: fields.extra(),
        })
    }
}

/// A list of annotations.
pub(super) fn annotations(spot: &Spot<'_, '_>) -> Option<Vec<Annotation>> {
    let annotations = spot.items_of(Annotation::read)?;
    spot.unique(&annotations, "annotation", |a| a.name.as_str(), ANNOTATIONS);
    annotations.all()
}

impl Annotation {
    fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        let fields = spot.fields(&["name", "value"])?;
        let name: Option<Identifier> =
            fields.required("name", ANNOTATIONS, |name| name.parsed("identifier", ANNOTATIONS));
        let known = name.as_ref().map_or("", Identifier::as_str);
        let value = fields.at("value", |value| well_known(value, known));
        // The well-known ones have forms that nothing at all does not have.
        let value = match (value, known) {
            (Some(value), _) => value,
            (None, "created" | "homepage" | "documentation") => {
                spot.error("required", format!("{known} has no value"), ANNOTATIONS)
            }
            (None, _) => {
                fields.warn_absent("value", ANNOTATIONS);
                Some(String::new())
            }
        };
        Some(Self { name: name?, value: value?, extra: fields.extra() })
    }
}

/// The value of an annotation, of the form that its name asks for.
fn well_known(value: &Spot<'_, '_>, name: &str) -> Option<String> {
    match name {
        "created" => {
            value.parsed::<Timestamp>("date", "spec: types.md, Timestamps Type")?;
        }
        "homepage" | "documentation" => {
            let url: WebUrl = value.parsed("url", ANNOTATIONS)?;
            if !url.has_host() {
                let message = format!("{url} names no host, so it leads nowhere");
                value.warn("url-host", message, "RFC 9110, section 4.2.1");
            }
        }
        "appc.io/executor/supports-systemd-notify" => {
            let text = value.text()?;
            if !matches!(text, "true" | "false") {
                let message = format!("{text:?} is neither true nor false; it counts as false");
                value.warn("boolean", message, ANNOTATIONS);
            }
        }
        _ => {}
    }
    value.text().map(str::to_owned)
}
