//! The pod manifest (spec: pods.md, "Pod Manifest Schema").

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;

use super::ManifestError;
use super::app::{App, Isolator, Port};
use super::image::{Annotation, annotations};
use super::parts::{TYPES, absolute, kind, labels, unclean, version};
use crate::digest::ImageId;
use crate::finding::Checked;
use crate::isolator::{self, Scope};
use crate::json::{Extra, Items, Reader, Spot};
use crate::labels::Labels;
use crate::name::Name;
use crate::types::{AcKind, AcName, AcVersion};

/// A pod manifest: images that run together, and what they share.
///
/// ```
/// let pod = aci::PodManifest::from_json(br#"{"acKind": "PodManifest", "acVersion": "0.8.11",
///     "apps": [], "volumes": [{"name": "work", "kind": "empty", "mode": "0700"}]}"#)?;
/// assert_eq!(pod.volumes[0].to_string(), "work,kind=empty,mode=0700");
/// # Ok::<(), aci::ManifestError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodManifest {
    /// The version of the spec.
    pub ac_version: AcVersion,
    /// Always `PodManifest`.
    pub ac_kind: AcKind,
    /// The apps of the pod. Their names are unique.
    pub apps: Vec<PodApp>,
    /// What can be mounted into the apps. Their names are unique.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Limits and privileges of the pod as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub isolators: Vec<Isolator>,
    /// Extra metadata, for the apps to ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// Ports to open on the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ExposedPort>,
    /// The user's own metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user_annotations: BTreeMap<String, String>,
    /// The user's own labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user_labels: BTreeMap<String, String>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An app of a pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodApp {
    /// What it is called in this pod.
    pub name: AcName,
    /// The image it runs from.
    pub image: PodImage,
    /// How to run it, in place of what its image says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// Whether its root file system may not be written.
    #[serde(rename = "readOnlyRootFS", skip_serializing_if = "std::ops::Not::not")]
    pub read_only_root_fs: bool,
    /// What is mounted where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Extra metadata, before the image's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The image an app of a pod runs from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PodImage {
    /// Its name, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Its image ID, which decides.
    pub id: ImageId,
    /// Its labels, for people.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A volume mounted into an app.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// The name of the volume, one of the pod's unless `app_volume` says what it is.
    pub volume: AcName,
    /// Where, inside the app's rootfs.
    pub path: String,
    /// A volume of this app alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_volume: Option<Volume>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A new folder, which goes with the pod.
    Empty,
    /// A path of the host.
    Host,
}

/// Something that can be mounted into apps.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// What it is called.
    pub name: AcName,
    /// What it is.
    pub kind: VolumeKind,
    /// The absolute path on the host, of a [`VolumeKind::Host`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether it may not be written; it may where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// Whether mounts below `source` come along; they do where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recursive: Option<bool>,
    /// Permissions in octal, of a [`VolumeKind::Empty`]; `0755` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Whose it is, of a [`VolumeKind::Empty`]; root's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Which group's it is, of a [`VolumeKind::Empty`]; root's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A port opened on the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExposedPort {
    /// The name of an app's port, unless `pod_port` says what it is.
    pub name: AcName,
    /// The port on the host, from 1.
    pub host_port: u16,
    /// The address of the host to listen on; all of them where absent.
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<Ipv4Addr>,
    /// The port inside the pod, in place of what an image says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_port: Option<Port>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

const APPS: &str = "spec: pods.md, apps";
const MOUNTS: &str = "spec: pods.md, apps.mounts";
const VOLUMES: &str = "spec: pods.md, volumes";
const PORTS: &str = "spec: pods.md, ports";

const KEYS: &[&str] = &[
    "acVersion",
    "acKind",
    "apps",
    "volumes",
    "isolators",
    "annotations",
    "ports",
    "userAnnotations",
    "userLabels",
];

impl PodManifest {
    /// Reads a manifest, and tells everything that is wrong or odd about it, as
    /// [`crate::ImageManifest::check`] does.
    pub fn check(bytes: &[u8]) -> Checked<Self> {
        Reader::check(bytes, Self::read)
    }

    /// Reads a manifest as [`PodManifest::check`] does; its errors are this error.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        ManifestError::result("pod", Self::check(bytes))
    }

    /// The manifest as compact JSON: the spec's field order, no trailing newline.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        let fields = spot.fields(KEYS)?;
        let ac_version = fields.required("acVersion", TYPES, version);
        let ac_kind = fields.required("acKind", TYPES, |spot| kind(spot, AcKind::PodManifest));
        let volumes = fields.optional("volumes", |spot| {
            let volumes = spot.items_of(Volume::read)?;
            spot.unique(&volumes, "volume", |volume| &volume.name, VOLUMES);
            volumes.all()
        });
        let known = volumes.as_ref().map(|volumes| volumes.as_deref().unwrap_or_default());
        let apps = fields.required("apps", APPS, |spot| {
            let apps = spot.items_of(|app| PodApp::read(app, known))?;
            spot.unique(&apps, "app", |app| &app.name, APPS);
            warn_ports(spot, &apps);
            apps.all()
        });
        let isolators = fields.optional("isolators", |spot| isolator::read(spot, Scope::Pod));
        let annotations = fields.optional("annotations", annotations);
        let ports = fields.optional("ports", |spot| {
            let ports = spot.items_of(ExposedPort::read)?;
            spot.warn_twice(&ports, "port", |port| &port.name, PORTS);
            ports.all()
        });
        let user_annotations = fields.optional("userAnnotations", |spot| spot.strings());
        let user_labels = fields.optional("userLabels", |spot| spot.strings());
        Some(Self {
            ac_version: ac_version?,
            ac_kind: ac_kind?,
            apps: apps?,
            volumes: volumes?.unwrap_or_default(),
            isolators: isolators?.unwrap_or_default(),
            annotations: annotations?.unwrap_or_default(),
            ports: ports?.unwrap_or_default(),
            user_annotations: user_annotations?.unwrap_or_default(),
            user_labels: user_labels?.unwrap_or_default(),
            extra: fields.extra(),
        })
    }
}

/// Tells of ports of different apps that have one name: nobody can say which one is meant.
fn warn_ports(spot: &Spot<'_, '_>, apps: &Items<PodApp>) {
    let mut owners: BTreeMap<&AcName, &AcName> = BTreeMap::new();
    for (app, &place) in apps.read.iter().zip(&apps.places) {
        for port in app.app.iter().flat_map(|app| &app.ports) {
            let owner = *owners.entry(&port.name).or_insert(&app.name);
            if owner != &app.name {
                let message = format!("the port {} is one of the app {owner}, too", port.name);
                spot.item(place, |item| item.warn("duplicate", message, PORTS));
            }
        }
    }
}

impl PodApp {
    fn read(spot: &Spot<'_, '_>, volumes: Option<&[Volume]>) -> Option<Self> {
        let fields =
            spot.fields(&["name", "image", "app", "readOnlyRootFS", "mounts", "annotations"])?;
        let name = fields.required("name", APPS, |name| name.parsed("name", APPS));
        let image = fields.required("image", APPS, PodImage::read);
        let app = fields.optional("app", App::read);
        let read_only_root_fs = fields.optional("readOnlyRootFS", |spot| spot.boolean());
        let mounts = fields.list("mounts", |mount| Mount::read(mount, volumes));
        let annotations = fields.optional("annotations", annotations);
        Some(Self {
            name: name?,
            image: image?,
            app: app?,
            read_only_root_fs: read_only_root_fs?.unwrap_or_default(),
            mounts: mounts?,
            annotations: annotations?.unwrap_or_default(),
            extra: fields.extra(),
        })
    }
}

impl PodImage {
    fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        let fields = spot.fields(&["name", "id", "labels"])?;
        let name = fields.optional("name", |name| name.parsed("identifier", APPS));
        let id = fields.required("id", APPS, |id| id.parsed("image-id", TYPES));
        let labels = fields.optional("labels", labels);
        let (name, labels) = (name?, labels?.unwrap_or_default());
        Some(Self { name, id: id?, labels, extra: fields.extra() })
    }
}

impl Mount {
    /// `volumes` are the pod's, where they are all known.
    fn read(spot: &Spot<'_, '_>, volumes: Option<&[Volume]>) -> Option<Self> {
        let fields = spot.fields(&["volume", "path", "appVolume"])?;
        let volume: Option<AcName> =
            fields.required("volume", MOUNTS, |volume| volume.parsed("name", MOUNTS));
        let path = fields.required("path", MOUNTS, |spot| {
            let path = spot.argument()?;
            if path.is_empty() {
                return spot.error("empty", "a path was wanted, not nothing", MOUNTS);
            }
            unclean(spot, &path, MOUNTS);
            Some(path)
        });
        let app_volume = fields.optional("appVolume", Volume::read);
        if let (Some(name), Some(volumes), Some(None)) = (&volume, volumes, &app_volume)
            && !volumes.iter().any(|known| known.name == *name)
        {
            let message = format!("the pod has no volume {name:?}");
            fields.at("volume", |spot| spot.warn("volume-unknown", message, MOUNTS));
        }
        Some(Self { volume: volume?, path: path?, app_volume: app_volume?, extra: fields.extra() })
    }
}

impl Volume {
    pub(crate) fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        let fields = spot.fields(&[
            "name",
            "kind",
            "source",
            "readOnly",
            "recursive",
            "mode",
            "uid",
            "gid",
        ])?;
        let name = fields.required("name", VOLUMES, |name| name.parsed("name", VOLUMES));
        let kind = fields.required("kind", VOLUMES, |kind| match kind.text()? {
            "empty" => Some(VolumeKind::Empty),
            "host" => Some(VolumeKind::Host),
            other => {
                let message = format!("{other:?} is no kind of volume: empty or host");
                kind.error("volume-kind", message, VOLUMES)
            }
        });
        // Of kind `empty`, Go writes `"source": ""`.
        let source = fields.optional("source", |spot| match (kind, spot.text()?) {
            (_, "") => Some(None),
            (Some(VolumeKind::Empty), _) => {
                spot.error("volume-source", "an empty volume has no source", VOLUMES)
            }
            _ => absolute(spot, VOLUMES).map(Some),
        });
        let read_only = fields.optional("readOnly", |spot| spot.boolean());
        let recursive = fields.optional("recursive", |spot| spot.boolean());
        let mode = fields.optional("mode", mode);
        let id = |spot: &Spot<'_, '_>| {
            spot.integer(0, u64::from(u32::MAX - 1), VOLUMES).and_then(|id| u32::try_from(id).ok())
        };
        let (uid, gid) = (fields.optional("uid", id), fields.optional("gid", id));
        let source = source.map(Option::flatten);
        if kind == Some(VolumeKind::Host) {
            for key in ["mode", "uid", "gid"] {
                let message = format!("{key} means nothing to a volume of kind host");
                fields.at(key, |spot| spot.error::<()>("volume-field", message, VOLUMES));
            }
            if source == Some(None) {
                return spot.error("required", "source is required of kind host", VOLUMES);
            }
        }
        Some(Self {
            name: name?,
            kind: kind?,
            source: source?,
            read_only: read_only?,
            recursive: recursive?,
            mode: mode?,
            uid: uid?,
            gid: gid?,
            extra: fields.extra(),
        })
    }
}

/// Permissions: up to four octal digits, in a string.
fn mode(spot: &Spot<'_, '_>) -> Option<String> {
    let text = spot.text()?;
    let octal = (1..=5).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    if octal && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777) {
        return Some(text.to_owned());
    }
    let message = format!("{text:?} is no mode such as \"0755\"");
    spot.error("mode", message, VOLUMES)
}

impl ExposedPort {
    fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        let fields = spot.fields(&["name", "hostPort", "hostIP", "podPort"])?;
        let name = fields.required("name", PORTS, |name| name.parsed("name", PORTS));
        let host_port = fields.required("hostPort", PORTS, |port| {
            port.integer(1, u64::from(u16::MAX), PORTS).and_then(|port| u16::try_from(port).ok())
        });
        let host_ip = fields.optional("hostIP", |ip| match ip.text()? {
            // Go leaves an unset address empty.
            "" => Some(None),
            _ => ip.parsed("ip", PORTS).map(Some),
        });
        let pod_port = fields.optional("podPort", Port::read);
        Some(Self {
            name: name?,
            host_port: host_port?,
            host_ip: host_ip?.flatten(),
            pod_port: pod_port?,
            extra: fields.extra(),
        })
    }
}
