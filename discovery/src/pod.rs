//! Pods: apps that run together (spec: pods.md).
//!
//! ```text
//! DIR/
//!   pod.json       the pod manifest
//!   volumes/NAME/  empty volumes that apps share
//!   apps/NAME/     an OCI bundle of each app
//! ```
//!
//! The apps share the namespaces for network, IPC, host name and processes; each has its own
//! files, capabilities and limits. What an app says in the pod manifest goes before what its image
//! says, and what the pod says of an image must be true of it.

mod create;
mod error;
mod ports;
pub mod systemd;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aci::manifest::{App, PodApp, PodManifest, VolumeKind};
use aci::stage::{self, Existing, StagedFolder};
use aci::{AcName, Limits};

pub use create::{NewApp, create};
pub use error::PodError;
pub use ports::{Openings, Socket, openings};

use crate::bundle::{self, Bundle, BundleOptions, Host, Network, Note, Shared};
use crate::render::{self, Rendered};
use crate::store::{Store, StoredImage};

/// A pod whose images are at hand.
#[derive(Debug)]
pub struct Pod {
    manifest: PodManifest,
    text: Vec<u8>,
    apps: Vec<Member>,
}

/// An app of a pod and its image, locked against removal.
#[derive(Debug)]
struct Member {
    wish: PodApp,
    image: StoredImage,
    app: App,
}

/// How a pod's apps are to run, beyond what the pod manifest says.
#[derive(Debug, Clone, Default)]
pub struct PodOptions {
    /// Which network the pod has.
    pub network: Network,
    /// The host's name in the pod.
    pub hostname: String,
    /// The address of a metadata service.
    pub metadata_url: Option<String>,
    /// Namespaces that are there already.
    pub shared: Option<Shared>,
    /// A file that says how names are looked up.
    pub resolver: Option<PathBuf>,
    /// Whether whoever runs the pod holds each process to a limit of memory where no control
    /// group holds all of them.
    pub holds_memory: bool,
}

/// An app of a pod that was written.
#[derive(Debug)]
pub struct Written {
    /// What it is called in the pod.
    pub name: AcName,
    /// What was rendered.
    pub rendered: Rendered,
    /// Its bundle.
    pub bundle: Bundle,
}

impl Pod {
    /// Reads a pod manifest and opens its images.
    pub fn open(text: &[u8], store: &Store) -> Result<Self, PodError> {
        let manifest = PodManifest::from_json(text)?;
        let apps =
            manifest.apps.iter().map(|app| member(app, store)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { manifest, text: text.to_vec(), apps })
    }

    /// The pod manifest.
    pub fn manifest(&self) -> &PodManifest {
        &self.manifest
    }

    /// What is to be opened on the host.
    pub fn openings(&self, network: Network) -> Result<Openings, PodError> {
        let apps: Vec<(AcName, &App)> =
            self.apps.iter().map(|one| (one.wish.name.clone(), &one.app)).collect();
        openings(&self.manifest.ports, &apps, network)
    }

    /// Whether the bundles need somebody to run their event handlers.
    pub fn has_handlers(&self) -> bool {
        self.apps.iter().any(|one| !one.app.event_handlers.is_empty())
    }

    /// What of the pod as a whole is not done as it says.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        let summed =
            ["resource/memory", "resource/cpu", "resource/block-bandwidth", "resource/block-iops"];
        let limits = self.manifest.isolators.iter().map(|isolator| isolator.name.as_str());
        for name in limits.filter(|name| self.apps.len() > 1 && summed.contains(name)) {
            let told = "the pod's limit holds each app by itself, not all of them together";
            notes.push(Note::modified(name, told));
        }
        notes
    }

    /// Writes the pod into an existing folder.
    pub fn fill(
        &self,
        folder: &Path,
        options: &PodOptions,
        sockets: &[Socket],
        host: &Host,
        limits: &Limits,
    ) -> Result<Vec<Written>, PodError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| PodError::Io { path, source }
        };
        let file = folder.join("pod.json");
        stage::write(&file, &self.text, 0o644, Existing::Replace).map_err(io(&file))?;
        let mut shared_volumes = BTreeMap::new();
        for volume in self.manifest.volumes.iter().filter(|one| one.kind == VolumeKind::Empty) {
            let path = format!("volumes/{}", volume.name);
            bundle::make_empty(&folder.join(&path), volume, host)?;
            shared_volumes.insert(volume.name.clone(), format!("../../{path}"));
        }
        let apps = folder.join("apps");
        fs::create_dir_all(&apps).map_err(io(&apps))?;
        let mut written = Vec::new();
        for member in &self.apps {
            let name = member.wish.name.clone();
            let own = sockets.iter().filter(|socket| socket.app == name);
            let app_options = BundleOptions {
                network: options.network,
                app: Some(member.app.clone()),
                name: Some(name.clone()),
                hostname: Some(options.hostname.clone()),
                read_only: member.wish.read_only_root_fs,
                volumes: self.manifest.volumes.clone(),
                mounts: member.wish.mounts.clone(),
                shared_volumes: shared_volumes.clone(),
                isolators: self.manifest.isolators.clone(),
                annotations: member.wish.annotations.clone(),
                metadata_url: options.metadata_url.clone(),
                shared: options.shared.clone(),
                sockets: own.map(|socket| socket.name.clone()).collect(),
                resolver: options.resolver.clone(),
                holds_memory: options.holds_memory,
                ..BundleOptions::default()
            };
            let target = apps.join(name.as_str());
            let (rendered, bundle) =
                render::render_bundle(&member.image, &target, &app_options, host, limits).map_err(
                    |source| PodError::Render { app: name.to_string(), source: Box::new(source) },
                )?;
            written.push(Written { name, rendered, bundle });
        }
        Ok(written)
    }

    /// Writes the pod into `target`, which appears when it is whole and must not exist or be
    /// empty. It is the caller's alone, for programs in it may have set-user-ID bits.
    pub fn write(
        &self,
        target: &Path,
        options: &PodOptions,
        host: &Host,
        limits: &Limits,
    ) -> Result<Vec<Written>, PodError> {
        let io = |source| PodError::Io { path: target.to_owned(), source };
        let occupied = || PodError::Occupied(target.to_owned());
        match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return Err(occupied()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(occupied()),
            Err(error) => return Err(io(error)),
        }
        let parent = stage::folder_of(target);
        stage::create_folders(parent).map_err(io)?;
        let mut staged = StagedFolder::new_in(parent).map_err(io)?;
        staged.keep_private();
        let written = self.fill(staged.path(), options, &[], host, limits)?;
        staged.sync_tree().map_err(io)?;
        let _ = fs::remove_dir(target);
        staged.commit(target).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => occupied(),
            _ => io(error),
        })?;
        Ok(written)
    }
}

/// Finds the image of an app, and compares it with what the pod says of it.
fn member(wish: &PodApp, store: &Store) -> Result<Member, PodError> {
    let app = wish.name.to_string();
    let Some(image) = store.open_image(&wish.image.id)? else {
        return Err(PodError::ImageAbsent {
            app,
            id: wish.image.id.to_string(),
            name: wish.image.name.as_ref().map(ToString::to_string),
        });
    };
    let manifest = image.manifest();
    if let Some(name) = wish.image.name.as_ref().filter(|name| **name != manifest.name) {
        return Err(PodError::ImageMismatch {
            app,
            what: "name".to_owned(),
            wanted: name.to_string(),
            found: manifest.name.to_string(),
        });
    }
    if let Some((label, found)) = wish.image.labels.first_mismatch(&manifest.labels) {
        return Err(PodError::ImageMismatch {
            app,
            what: format!("label {}", label.name),
            wanted: label.value.clone(),
            found: found.unwrap_or("none").to_owned(),
        });
    }
    let found = wish.app.clone().or_else(|| manifest.app.clone());
    let found = found.ok_or(PodError::Bundle(crate::bundle::BundleError::NoApp))?;
    Ok(Member { wish: wish.clone(), image, app: found })
}
