//! The image manifest (spec: aci.md, "Image Manifest Schema").
//!
//! Every field of the spec has a typed home. Fields the spec does not name are
//! kept in `extra` and written out again. An image's own manifest bytes are
//! never re-encoded: see [`crate::archive::InspectedImage::manifest_bytes`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::ImageId;
use crate::json::{UniqueKeys, folded};
use crate::labels::Labels;
use crate::name::{Identifier, Name};

/// The version of the spec that manifests written here name.
pub const AC_VERSION: &str = "0.8.11";

/// Why bytes are no acceptable image manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, not one JSON object, a field of the wrong type or form, or a key given twice.
    #[error("the image manifest is not acceptable: {0}")]
    Json(#[from] serde_json::Error),
    /// `acKind` is something else.
    #[error("acKind is {0:?}, not \"ImageManifest\" (aci.md)")]
    Kind(String),
    /// `acVersion` is no semantic version.
    #[error("acVersion {found:?} is no semantic version (types.md): {source}")]
    Version {
        /// The value found.
        found: String,
        /// What is wrong with it.
        #[source]
        source: semver::Error,
    },
    /// A key that differs from one of the spec's only in case.
    #[error(
        "the key {path}{found:?} must be written {expected:?}: other tools would read it as that"
    )]
    KeyCase {
        /// Where, as a JSON path that ends in a dot.
        path: String,
        /// The key found.
        found: String,
        /// The spec's key.
        expected: &'static str,
    },
    /// A required text is empty.
    #[error("{0} is required and cannot be empty (aci.md)")]
    Empty(&'static str),
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always `ImageManifest`.
    pub ac_kind: String,
    /// The version of the spec, a semantic version.
    pub ac_version: String,
    /// The image's name.
    pub name: Name,
    /// The image's labels.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Labels::is_empty"
    )]
    pub labels: Labels,
    /// How to run the image, where it can be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// Images whose files lie below this one's.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// The paths that remain after rendering; empty means all.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub path_whitelist: Vec<String>,
    /// Extra metadata.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How to run an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// The program and its arguments.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub exec: Vec<String>,
    /// A user name, a number, or `/path` for the owner of that file.
    pub user: String,
    /// A group name, a number, or `/path` for the group of that file.
    pub group: String,
    /// More groups, as numbers.
    #[serde(
        default,
        rename = "supplementaryGIDs",
        // The spec's example spells it so; its text spells it as above.
        alias = "supplementaryGids",
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub supplementary_gids: Vec<u32>,
    /// Programs to run before and after.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub event_handlers: Vec<EventHandler>,
    /// Where the program starts; `/` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Environment variables.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<EnvironmentVariable>,
    /// Limits and privileges.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub isolators: Vec<Isolator>,
    /// Where data from outside is mounted.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub mount_points: Vec<MountPoint>,
    /// Ports the program listens on.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// The user's own metadata.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub user_annotations: BTreeMap<String, String>,
    /// The user's own labels.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub user_labels: BTreeMap<String, String>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A program to run at an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventHandler {
    /// `pre-start` or `post-stop`.
    pub name: String,
    /// The program and its arguments.
    pub exec: Vec<String>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A limit or a privilege.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isolator {
    /// Which one.
    pub name: Identifier,
    /// Its value, whose form depends on the name.
    pub value: Value,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A place where data from outside is mounted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPoint {
    /// What it is called.
    pub name: String,
    /// Where, inside the rootfs.
    pub path: String,
    /// Whether it may not be written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A port, or a run of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// What it is called.
    pub name: String,
    /// `tcp`, `udp`, or another word.
    pub protocol: String,
    /// The first port.
    pub port: u16,
    /// How many ports, one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u16>,
    /// Whether the program expects listening sockets to be passed in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub socket_activated: bool,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An image whose files lie below this one's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Its name.
    pub image_name: Name,
    /// Its image ID, where pinned.
    #[serde(default, rename = "imageID", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// Labels it must have.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Labels::is_empty"
    )]
    pub labels: Labels,
    /// Bytes of its image file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A piece of extra metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// What it says.
    pub name: Identifier,
    /// The text.
    pub value: String,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Go writes an absent list as `null` in places; it means the same.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl App {
    /// An app that runs as this user and group, and says nothing else.
    pub fn new(user: String, group: String) -> Self {
        Self {
            exec: Vec::new(),
            user,
            group,
            supplementary_gids: Vec::new(),
            event_handlers: Vec::new(),
            working_directory: None,
            environment: Vec::new(),
            isolators: Vec::new(),
            mount_points: Vec::new(),
            ports: Vec::new(),
            user_annotations: BTreeMap::new(),
            user_labels: BTreeMap::new(),
            extra: Map::new(),
        }
    }
}

impl ImageManifest {
    /// A manifest with a name and labels, and nothing else.
    pub fn new(name: Name, labels: Labels) -> Self {
        Self {
            ac_kind: "ImageManifest".to_owned(),
            ac_version: AC_VERSION.to_owned(),
            name,
            labels,
            app: None,
            dependencies: Vec::new(),
            path_whitelist: Vec::new(),
            annotations: Vec::new(),
            extra: Map::new(),
        }
    }

    /// Reads a manifest. Refuses keys given twice and keys in another case, which
    /// other tools would read differently, and anything after the object.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        // Two readings: the first sees keys given twice, the second names line and column.
        serde_json::from_slice::<UniqueKeys>(bytes)?;
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check_key_case()?;
        if manifest.ac_kind != "ImageManifest" {
            return Err(ManifestError::Kind(manifest.ac_kind));
        }
        if let Err(source) = semver::Version::parse(&manifest.ac_version) {
            return Err(ManifestError::Version { found: manifest.ac_version, source });
        }
        if let Some(app) = &manifest.app {
            if app.user.is_empty() {
                return Err(ManifestError::Empty("app.user"));
            }
            if app.group.is_empty() {
                return Err(ManifestError::Empty("app.group"));
            }
        }
        Ok(manifest)
    }

    /// The manifest as compact JSON: the spec's field order, no trailing newline.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// The value of the annotation `name`.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.iter().find(|a| a.name.as_str() == name).map(|a| a.value.as_str())
    }

    fn check_key_case(&self) -> Result<(), ManifestError> {
        check_keys("", &self.extra, MANIFEST_KEYS)?;
        for annotation in &self.annotations {
            check_keys("annotations[].", &annotation.extra, PAIR_KEYS)?;
        }
        for dependency in &self.dependencies {
            check_keys("dependencies[].", &dependency.extra, DEPENDENCY_KEYS)?;
        }
        let Some(app) = &self.app else { return Ok(()) };
        check_keys("app.", &app.extra, APP_KEYS)?;
        for handler in &app.event_handlers {
            check_keys("app.eventHandlers[].", &handler.extra, &["name", "exec"])?;
        }
        for variable in &app.environment {
            check_keys("app.environment[].", &variable.extra, PAIR_KEYS)?;
        }
        for isolator in &app.isolators {
            check_keys("app.isolators[].", &isolator.extra, PAIR_KEYS)?;
        }
        for mount in &app.mount_points {
            check_keys("app.mountPoints[].", &mount.extra, &["name", "path", "readOnly"])?;
        }
        for port in &app.ports {
            check_keys("app.ports[].", &port.extra, PORT_KEYS)?;
        }
        Ok(())
    }
}

const MANIFEST_KEYS: &[&str] = &[
    "acKind",
    "acVersion",
    "name",
    "labels",
    "app",
    "dependencies",
    "pathWhitelist",
    "annotations",
];
const APP_KEYS: &[&str] = &[
    "exec",
    "user",
    "group",
    "supplementaryGIDs",
    "eventHandlers",
    "workingDirectory",
    "environment",
    "isolators",
    "mountPoints",
    "ports",
    "userAnnotations",
    "userLabels",
];
const DEPENDENCY_KEYS: &[&str] = &["imageName", "imageID", "labels", "size"];
const PORT_KEYS: &[&str] = &["name", "protocol", "port", "count", "socketActivated"];
const PAIR_KEYS: &[&str] = &["name", "value"];

/// Refuses an unknown key that a case-insensitive reader would take for a known one:
/// `{"name": "mine", "NAME": "yours"}` is `yours` to the Go tools.
fn check_keys(
    path: &str,
    extra: &Map<String, Value>,
    known: &'static [&'static str],
) -> Result<(), ManifestError> {
    for found in extra.keys() {
        if let Some(expected) = known.iter().find(|key| folded(key) == folded(found)) {
            let (path, found) = (path.to_owned(), found.clone());
            return Err(ManifestError::KeyCase { path, found, expected });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}"#;

    #[test]
    fn manifest_reads_the_specs_own_example() {
        // The shape of the example in aci.md, its elided image ID left out.
        let text = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/worker",
          "labels":[{"name":"version","value":"1.0.0"},{"name":"arch","value":"amd64"},{"name":"os","value":"linux"}],
          "app":{"exec":["/usr/bin/worker","--quiet"],"user":"100","group":"300","supplementaryGids":[400,500],
            "eventHandlers":[{"exec":["/usr/bin/downloader"],"name":"pre-start"}],
            "workingDirectory":"/opt/work","environment":[{"name":"DEBUG","value":"true"}],
            "isolators":[{"name":"resource/cpu","value":{"request":"250m","limit":"500m"}}],
            "mountPoints":[{"name":"work","path":"/var/lib/work","readOnly":true}],
            "ports":[{"name":"ftp-data","port":20000,"count":1000,"protocol":"tcp","socketActivated":true}],
            "userLabels":{"Any":"thing"}},
          "dependencies":[{"imageName":"example.com/base","labels":[{"name":"os","value":"linux"}],"size":22017258}],
          "pathWhitelist":["/etc/ca"],"annotations":[{"name":"created","value":"2014-10-27T19:32:27.67021798Z"}]}"#;
        let manifest = ImageManifest::from_json(text.as_bytes()).unwrap();
        let app = manifest.app.as_ref().unwrap();
        assert_eq!(app.supplementary_gids, [400, 500]);
        assert_eq!(app.ports[0].count, Some(1000));
        assert_eq!(manifest.dependencies[0].size, Some(22_017_258));
        assert_eq!(manifest.annotation("created"), Some("2014-10-27T19:32:27.67021798Z"));
        let again = ImageManifest::from_json(&manifest.to_json().unwrap()).unwrap();
        assert_eq!(again, manifest);
    }

    #[test]
    fn manifest_keeps_fields_it_does_not_know() {
        let text = SMALL.replace(
            '}',
            r#","future":{"b":1,"a":[null]},"app":{"user":"0","group":"0","later":1.5}}"#,
        );
        let manifest = ImageManifest::from_json(text.as_bytes()).unwrap();
        let written = String::from_utf8(manifest.to_json().unwrap()).unwrap();
        assert!(written.contains(r#""future":{"b":1,"a":[null]}"#), "{written}");
        assert!(written.contains(r#""later":1.5"#), "{written}");
    }

    #[test]
    fn manifest_refuses_what_reads_two_ways() {
        for (bad, why) in [
            (SMALL.replace("}", r#","name":"example.com/b"}"#), "a key twice"),
            (SMALL.replace("}", r#","NAME":"example.com/b"}"#), "another case"),
            (SMALL.replace("}", ",\"Label\u{17f}\":[]}"), "Go's case folding"),
            (
                SMALL.replace("}", r#","app":{"user":"0","group":"0","USER":"1"}}"#),
                "another case inside",
            ),
            (format!("{SMALL} {SMALL}"), "two objects"),
            (format!("{SMALL}x"), "trailing text"),
            (format!("\u{feff}{SMALL}"), "a byte order mark"),
            (SMALL.replace("ImageManifest", "PodManifest"), "another kind"),
            (SMALL.replace("0.8.11", "1"), "no semantic version"),
            (
                SMALL.replace(
                    "}",
                    r#","labels":[{"name":"a","value":"1"},{"name":"a","value":"2"}]}"#,
                ),
                "a label twice",
            ),
            (SMALL.replace("}", r#","app":{"user":"","group":"0"}}"#), "an empty user"),
            ("[".repeat(100_000), "a depth bomb"),
        ] {
            assert!(ImageManifest::from_json(bad.as_bytes()).is_err(), "{why}");
        }
    }
}
