//! A mirror made of plain files, for any web server.
//!
//! ```text
//! DIR/example.com/                         one folder for each host that is mirrored
//! ├── index.html                           the page of the host, with the discovery tags
//! ├── team/hello/index.html                the page of each name and of its parents
//! └── -/
//!     ├── images.json                      what is here
//!     ├── images/example.com/team/hello-1.0.0-linux-amd64.aci   and .aci.asc
//!     ├── images/example.com/team/hello-latest-linux-amd64.aci  the newest version again
//!     └── pubkeys/example.com/team.asc     the keys that were trusted for this prefix
//! ```
//!
//! A client is told of it by an override, which changes where it asks and nothing else:
//!
//! ```toml
//! [[override]]
//! prefix = "example.com"
//! url = "https://mirror.example.net/example.com"
//! ```
//!
//! The names, the bytes and the signatures are the authors'; whoever keeps the mirror can
//! withhold an image, never replace it. In a file name, labels that an image does not have are
//! `any`, and pages list one template for each such form; a client tries them in order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing, Hold, Lock, StagedFile};
use aci::{ImageId, Labels, Limits, Name, Refusal, Refuse};
use keys::{ReceiveError, Scope};
use serde::{Deserialize, Serialize};

use crate::closure::{ClosureError, with_dependencies};
use crate::error::{Kind, refusal};
use crate::fetch::Trust;
use crate::store::{Store, StoredImage};

/// The forms of an image's file name, the first that fits is the image's own.
const FORMS: [&str; 3] =
    ["{name}-{version}-{os}-{arch}", "{name}-{version}-{os}-any", "{name}-{version}-any"];

/// Why a mirror was not written.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The images and what they depend on.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// An image does not pass under today's trust.
    #[error("{image} does not pass: {source}")]
    Image {
        /// Which image.
        image: String,
        /// Why.
        #[source]
        source: Box<ReceiveError>,
    },
    /// Two images would have one file name.
    #[error("{} is there already, as {found}", .path.display())]
    Conflict {
        /// The file.
        path: PathBuf,
        /// Which image it is.
        found: ImageId,
        /// Which one it should become.
        wanted: ImageId,
    },
    /// A label of an image makes no file name.
    #[error("{image} cannot be mirrored as a file: its label {label} is {value:?}")]
    Label {
        /// Which image.
        image: String,
        /// Which label.
        label: &'static str,
        /// What it says.
        value: String,
    },
    /// The list of what is there cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Reading or writing failed.
    #[error("cannot write {}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl MirrorError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Closure(error) => error.kind(),
            Self::Image { source, .. } => match **source {
                ReceiveError::Read(_) | ReceiveError::Write(_) => Kind::Failed,
                _ => Kind::Refused,
            },
            Self::Conflict { .. } | Self::Label { .. } => Kind::Refused,
            Self::List { .. } | Self::Io { .. } => Kind::Failed,
        }
    }
}

impl Refuse for MirrorError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Closure(error) => error.refusal(),
            Self::Image { source, .. } => {
                let mut refusal = source.refusal();
                refusal.message = self.to_string();
                refusal
            }
            Self::Conflict { path, found, wanted } => refusal(
                "mirror-conflict",
                self,
                wanted.to_string(),
                found.to_string(),
                "one name and version is one image, for ever",
                format!("see which of the two the author means, and remove {}", path.display()),
            ),
            Self::Label { value, .. } => refusal(
                "mirror-label",
                self,
                "labels of segments that are neither empty nor . nor ..",
                format!("{value:?}"),
                "a label is part of the file's path, which must not lead out of the mirror",
                "fetch this image from its own host",
            ),
            Self::List { path, .. } | Self::Io { path, .. } => refusal(
                "mirror-io",
                self,
                "a folder that can be read and written",
                self.to_string(),
                "files are written whole or not at all",
                format!("look at {}, then try again", path.display()),
            ),
        }
    }
}

/// An image of the mirror, as `images.json` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirrored {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub name: Name,
    /// Its labels.
    pub labels: Labels,
    /// Its file, below the host's folder.
    pub file: String,
    /// Whether this run has written it.
    #[serde(default, skip_serializing)]
    pub new: bool,
}

/// Writes images of the store and all they depend on to `folder`, next to what is there. Each
/// is verified under today's trust on the way. What is there already is not written again.
pub fn write(
    store: &Store,
    roots: &[ImageId],
    trust: &Trust,
    limits: &Limits,
    folder: &Path,
) -> Result<Vec<Mirrored>, MirrorError> {
    stage::create_folders(folder).map_err(at(folder))?;
    let lock = folder.join(".lock");
    let _lock = Lock::wait(&lock, Hold::Exclusive).map_err(at(&lock))?;
    let mut by_host = BTreeMap::<String, Vec<StoredImage>>::new();
    for image in with_dependencies(store, roots, limits)? {
        by_host.entry(image.record().name.host().to_owned()).or_default().push(image);
    }
    let mut all = Vec::new();
    for (host, images) in by_host {
        let mut mirror = Host { folder: folder.join(&host), images: Vec::new(), trust, limits };
        mirror.images = mirror.list()?;
        for image in &images {
            all.push(mirror.add(image)?);
        }
        mirror.write_list()?;
        mirror.write_keys()?;
        mirror.write_pages(&host)?;
    }
    Ok(all)
}

/// One host's folder.
struct Host<'a> {
    folder: PathBuf,
    images: Vec<Mirrored>,
    trust: &'a Trust,
    limits: &'a Limits,
}

impl Host<'_> {
    fn list_path(&self) -> PathBuf {
        self.folder.join("-/images.json")
    }

    fn list(&self) -> Result<Vec<Mirrored>, MirrorError> {
        let path = self.list_path();
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(at(&path)(error)),
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| MirrorError::List { path, source })
            }
        }
    }

    fn write_list(&self) -> Result<(), MirrorError> {
        let path = self.list_path();
        let mut bytes =
            serde_json::to_vec_pretty(&self.images).map_err(io::Error::from).map_err(at(&path))?;
        bytes.push(b'\n');
        self.file(&path, &bytes)
    }

    fn file(&self, path: &Path, bytes: &[u8]) -> Result<(), MirrorError> {
        let folder = stage::folder_of(path);
        stage::create_folders(folder).map_err(at(folder))?;
        stage::write(path, bytes, 0o644, Existing::Replace).map_err(at(path))
    }

    fn add(&mut self, image: &StoredImage) -> Result<Mirrored, MirrorError> {
        let record = image.record();
        check_labels(image)?;
        let file = file_name(&record.name, &record.labels, version(&record.labels));
        let path = self.folder.join(format!("{file}.aci"));
        let known = self.images.iter().find(|known| known.file == file);
        if let Some(known) = known.filter(|_| path.is_file()) {
            if known.image_id == record.image_id {
                return Ok(known.clone());
            }
            let (found, wanted) = (known.image_id.clone(), record.image_id.clone());
            return Err(MirrorError::Conflict { path, found, wanted });
        }
        self.copy(image, &path)?;
        let mirrored = Mirrored {
            image_id: record.image_id.clone(),
            name: record.name.clone(),
            labels: record.labels.clone(),
            file: file.clone(),
            new: true,
        };
        self.images.retain(|known| known.file != file);
        self.images.push(mirrored.clone());
        self.images.sort_by(|a, b| a.file.cmp(&b.file));
        if self.is_newest(&mirrored) {
            let latest = file_name(&record.name, &record.labels, "latest");
            for extension in ["aci.asc", "aci"] {
                let from = self.folder.join(format!("{file}.{extension}"));
                self.link(&from, &self.folder.join(format!("{latest}.{extension}")))?;
            }
        }
        Ok(mirrored)
    }

    /// Verifies an image and writes it, the signature first: an image is never seen without it.
    fn copy(&self, image: &StoredImage, path: &Path) -> Result<(), MirrorError> {
        let folder = stage::folder_of(path);
        stage::create_folders(folder).map_err(at(folder))?;
        let mut staged = StagedFile::new_in(folder, 0o644).map_err(at(path))?;
        let Trust { keyring, policy } = self.trust;
        let file = image.file().map_err(ClosureError::from)?;
        keys::receive(file, &mut staged, image.signature(), keyring, policy, self.limits).map_err(
            |source| MirrorError::Image {
                image: image.record().reference().to_string(),
                source: Box::new(source),
            },
        )?;
        staged.flush().map_err(at(path))?;
        let mut signature = path.as_os_str().to_owned();
        signature.push(".asc");
        self.file(Path::new(&signature), image.signature())?;
        staged.commit(path, Existing::Replace).map_err(at(path))
    }

    /// A second name of a file, in the place of whatever had it.
    fn link(&self, from: &Path, to: &Path) -> Result<(), MirrorError> {
        if fs::symlink_metadata(to).is_ok() {
            stage::remove(to).map_err(at(to))?;
        }
        fs::hard_link(from, to).map_err(at(to))
    }

    /// Whether no other version of its name and platform comes after it.
    fn is_newest(&self, image: &Mirrored) -> bool {
        let rank = |labels: &Labels| {
            let version = semver::Version::parse(labels.value("version")?).ok()?;
            Some((version.pre.is_empty(), version))
        };
        let platform = |labels: &Labels| {
            ["os", "arch"].map(|label| labels.value(label).map(ToOwned::to_owned))
        };
        version(&image.labels) != "latest"
            && self.images.iter().all(|other| {
                other.name != image.name
                    || platform(&other.labels) != platform(&image.labels)
                    || rank(&other.labels) <= rank(&image.labels)
            })
    }

    /// The prefixes that keys are published for: those that cover a name that is here.
    fn prefixes(&self) -> BTreeSet<Name> {
        let scopes = self.trust.keyring.certificates().flat_map(|(_, scopes)| scopes);
        scopes
            .filter_map(|scope| match scope {
                Scope::Prefix(prefix) => Some(prefix),
                Scope::Root => None,
            })
            .filter(|prefix| self.images.iter().any(|image| image.name.is_under(prefix)))
            .collect()
    }

    fn write_keys(&self) -> Result<(), MirrorError> {
        for prefix in self.prefixes() {
            let keys = self.trust.keyring.certificates();
            let own = keys.filter(|(_, scopes)| scopes.contains(&Scope::Prefix(prefix.clone())));
            let bytes: Vec<u8> = own.flat_map(|(key, _)| key.armored()).collect();
            self.file(&self.folder.join(format!("-/pubkeys/{prefix}.asc")), &bytes)?;
        }
        Ok(())
    }

    fn write_pages(&self, host: &str) -> Result<(), MirrorError> {
        let mut pages = BTreeSet::new();
        for image in &self.images {
            pages.extend(image.name.ancestors());
        }
        let prefixes = self.prefixes();
        for name in pages {
            let text = self.page(host, &name, &prefixes);
            self.file(&self.folder.join(name.path()).join("index.html"), text.as_bytes())?;
        }
        Ok(())
    }

    /// The page of a name. What stands in it are names, which hold nothing HTML would read.
    fn page(&self, host: &str, name: &Name, prefixes: &BTreeSet<Name>) -> String {
        let mut tags = String::new();
        for form in FORMS {
            let _ = writeln!(
                tags,
                "<meta name=\"ac-discovery\" content=\"{host} https://{host}/-/images/{form}.{{ext}}\">"
            );
        }
        for prefix in prefixes {
            let _ = writeln!(
                tags,
                "<meta name=\"ac-discovery-pubkeys\" content=\"{prefix} https://{host}/-/pubkeys/{prefix}.asc\">"
            );
        }
        let mut items = String::new();
        for image in self.images.iter().filter(|image| image.name.is_under(name)) {
            let _ = writeln!(items, "<li>{} <code>{}</code></li>", image.name, image.image_id);
        }
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{name}</title>\n\
             {tags}</head>\n<body>\n<h1>{name}</h1>\n<ul>\n{items}</ul>\n</body>\n</html>\n"
        )
    }
}

fn version(labels: &Labels) -> &str {
    labels.value("version").filter(|version| !version.is_empty()).unwrap_or("latest")
}

/// A signed label may still say `../../etc`: what it names must stay below the mirror.
fn check_labels(image: &StoredImage) -> Result<(), MirrorError> {
    let sound = |value: &str| {
        let segment = |part: &str| !["", ".", ".."].contains(&part) && part.len() <= 200;
        value.split('/').all(segment) && !value.chars().any(char::is_control)
    };
    let record = image.record();
    let unsound = ["version", "os", "arch"].into_iter().find_map(|label| {
        let value = record.labels.value(label).filter(|value| !value.is_empty())?;
        (!sound(value)).then(|| (label, value.to_owned()))
    });
    match unsound {
        None => Ok(()),
        Some((label, value)) => {
            Err(MirrorError::Label { image: record.reference().to_string(), label, value })
        }
    }
}

/// The file of an image below its host's folder, without the extension: as a client renders it
/// from the first of [`FORMS`] that the image has all labels for.
fn file_name(name: &Name, labels: &Labels, version: &str) -> String {
    let platform = match (labels.value("os"), labels.value("arch")) {
        (Some(os), Some(arch)) => format!("{os}-{arch}"),
        (Some(os), None) => format!("{os}-any"),
        (None, _) => "any".to_owned(),
    };
    // A slash in a version would be another folder; it is what a client asks for.
    format!("-/images/{name}-{version}-{platform}")
}

fn at(path: &Path) -> impl Fn(io::Error) -> MirrorError {
    let path = path.to_owned();
    move |source| MirrorError::Io { path: path.clone(), source }
}
