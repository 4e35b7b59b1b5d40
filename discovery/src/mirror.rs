//! A mirror made of plain files, for any web server.
//!
//! ```text
//! DIR/example.com/                        one folder for each host that is mirrored
//! ├── index.html                          the page of the host, with the discovery tags
//! ├── team/hello/index.html               the page of each name and of its parents
//! └── -/
//!     ├── images.json                     what is here, see [`Mirrored`]
//!     ├── blobs/sha512-09ab…/image.aci    and image.aci.asc, by the digest of the file
//!     ├── images/example.com/team/hello/
//!     │   ├── 1.0.0-linux-amd64           links to folders of blobs
//!     │   └── latest-linux-amd64          the same of the newest version
//!     └── pubkeys/example.com/team.asc    the keys that are trusted for this prefix
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
//! withhold an image, never replace it. A name comes about in one step, by a link, so that an
//! image and its signature are always of one release. Labels that an image does not have are
//! `any` in a link's name; a page has a template for each form its images have, and a client
//! tries them in order. Nothing is ever removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aci::stage::{self, Existing, Hold, Lock, StagedFile};
use aci::{ImageId, Labels, Limits, Name};
use keys::Scope;
use serde::{Deserialize, Serialize};

use crate::closure::{ClosureError, with_dependencies};
use crate::fetch::{Trust, Watched};
use crate::observer::{Event, Observer};
use crate::store::{Store, StoredImage, version};
use crate::unverified::Unverified;

mod error;

pub use error::MirrorError;

/// The list of what is here, below the host's folder.
const LIST: &str = "-/images.json";
/// What clients ask for where no version was asked for.
const LATEST: &str = "latest";
/// Longest part of a path that a label may be, in bytes.
const MAX_SEGMENT: usize = 80;

/// An image of the mirror, as `images.json` lists it:
///
/// ```json
/// {
///   "imageId": "sha512-8f1c…", "name": "example.com/team/hello",
///   "labels": [{"name": "version", "value": "1.0.0"}],
///   "path": "-/images/example.com/team/hello/1.0.0-any", "blob": "-/blobs/sha512-09ab…"
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirrored {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub name: Name,
    /// Its labels.
    pub labels: Labels,
    /// Where it is by its name and labels, below the host's folder.
    pub path: String,
    /// Where it is by the digest of its file.
    pub blob: String,
    /// Whether this run has written it.
    #[serde(skip)]
    pub new: bool,
}

/// Writes images of the store and all they depend on to `folder`, next to what is there. Each
/// is verified under today's trust on the way. A file that is there with the same content is
/// not written again, and one with another is replaced.
pub fn write(
    store: &Store,
    roots: &[ImageId],
    trust: &Trust,
    limits: &Limits,
    folder: &Path,
    observer: &Arc<dyn Observer>,
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
        let mut site = Site::open(folder.join(host), trust, limits, observer)?;
        for image in &images {
            all.push(site.add(image)?);
        }
        site.write_latest()?;
        site.write_list()?;
        site.write_keys()?;
        site.write_pages()?;
    }
    Ok(all)
}

/// One host's folder.
struct Site<'a> {
    folder: PathBuf,
    images: Vec<Mirrored>,
    trust: &'a Trust,
    limits: &'a Limits,
    observer: &'a Arc<dyn Observer>,
}

impl<'a> Site<'a> {
    fn open(
        folder: PathBuf,
        trust: &'a Trust,
        limits: &'a Limits,
        observer: &'a Arc<dyn Observer>,
    ) -> Result<Self, MirrorError> {
        let path = folder.join(LIST);
        let mut images: Vec<Mirrored> = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(at(&path)(error)),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| MirrorError::List { path, source })?,
        };
        // What somebody has removed is not here any more.
        images.retain(|image| folder.join(&image.path).is_dir());
        Ok(Self { folder, images, trust, limits, observer })
    }

    fn add(&mut self, image: &StoredImage) -> Result<Mirrored, MirrorError> {
        let record = image.record();
        check_labels(image)?;
        let path = path_of(&record.name, &record.labels, version_of(&record.labels));
        if let Some(known) = self.images.iter().find(|known| known.path == path)
            && known.image_id != record.image_id
            && is_pinned(&record.labels)
        {
            let (found, wanted) = (known.image_id.clone(), record.image_id.clone());
            return Err(MirrorError::Conflict { path: self.folder.join(path), found, wanted });
        }
        let blob = format!("-/blobs/{}", record.file_digest);
        let written = self.copy(image, &self.folder.join(&blob))?;
        let mirrored = Mirrored {
            image_id: record.image_id.clone(),
            name: record.name.clone(),
            labels: record.labels.clone(),
            new: self.link(&path, &blob)? || written,
            path,
            blob,
        };
        self.images.retain(|known| known.path != mirrored.path);
        self.images.push(mirrored.clone());
        self.images.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(mirrored)
    }

    /// Verifies an image and writes it and its signature; whether anything had to be written.
    fn copy(&self, image: &StoredImage, blob: &Path) -> Result<bool, MirrorError> {
        stage::create_folders(blob).map_err(at(blob))?;
        let path = blob.join("image.aci");
        let signature = blob.join("image.aci.asc");
        if let Ok(file) = File::open(&path) {
            let mut there = Compared { file: BufReader::new(file), same: true };
            self.verify(image, &mut there)?;
            if there.ended_same().map_err(at(&path))? {
                return self.file(&signature, image.signature());
            }
        }
        let mut staged = StagedFile::new_in(blob, 0o644).map_err(at(&path))?;
        self.verify(image, &mut staged)?;
        self.file(&signature, image.signature())?;
        staged.commit(&path, Existing::Replace).map_err(at(&path))?;
        Ok(true)
    }

    fn verify(&self, image: &StoredImage, sink: impl Write) -> Result<(), MirrorError> {
        let Trust { keyring, policy } = self.trust;
        let file = image.file().map_err(ClosureError::from)?;
        self.observer.event(Event::Started(Some(image.record().file_bytes)));
        let file = Watched::new(file, Arc::clone(self.observer));
        let received = keys::receive(file, sink, image.signature(), keyring, policy, self.limits);
        self.observer.event(Event::Moved);
        let refused = |source| {
            let (record, name) = (image.record(), &image.record().name);
            let (subject, signature) = (record.reference().to_string(), image.signature());
            let Self { trust, limits, .. } = self;
            Unverified::new(subject, signature, Some(name), trust, limits, source).into()
        };
        received.map(|_| ()).map_err(refused)
    }

    /// Writes a small file where it is not there already; whether it was not.
    fn file(&self, path: &Path, bytes: &[u8]) -> Result<bool, MirrorError> {
        if fs::read(path).is_ok_and(|there| there == bytes) {
            return Ok(false);
        }
        let folder = stage::folder_of(path);
        stage::create_folders(folder).map_err(at(folder))?;
        stage::write(path, bytes, 0o644, Existing::Replace).map_err(at(path))?;
        Ok(true)
    }

    /// Lets `path` lead to `blob`, both below the host's folder; whether it did not yet.
    fn link(&self, path: &str, blob: &str) -> Result<bool, MirrorError> {
        let up = "../".repeat(path.split('/').count() - 1);
        let (target, path) = (PathBuf::from(up + blob), self.folder.join(path));
        if fs::read_link(&path).is_ok_and(|there| there == target) {
            return Ok(false);
        }
        let folder = stage::folder_of(&path);
        stage::create_folders(folder).map_err(at(folder))?;
        stage::clean(folder).map_err(at(folder))?;
        stage::link(&target, &path).map_err(at(&path))?;
        Ok(true)
    }

    /// Of each name and platform: the image that has no version, else the newest.
    fn write_latest(&self) -> Result<(), MirrorError> {
        let mut latest = BTreeMap::<String, &Mirrored>::new();
        let rank = |image: &Mirrored| (!is_pinned(&image.labels), version(&image.labels));
        for image in &self.images {
            let best = latest.entry(path_of(&image.name, &image.labels, LATEST)).or_insert(image);
            if rank(image) > rank(best) {
                *best = image;
            }
        }
        for (path, image) in latest {
            self.link(&path, &image.blob)?;
        }
        Ok(())
    }

    fn write_list(&self) -> Result<bool, MirrorError> {
        let path = self.folder.join(LIST);
        let mut bytes =
            serde_json::to_vec_pretty(&self.images).map_err(io::Error::from).map_err(at(&path))?;
        bytes.push(b'\n');
        self.file(&path, &bytes)
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

    fn write_pages(&self) -> Result<(), MirrorError> {
        let pages: BTreeSet<Name> =
            self.images.iter().flat_map(|image| image.name.ancestors()).collect();
        let prefixes = self.prefixes();
        for name in pages {
            let text = self.page(&name, &prefixes);
            self.file(&self.folder.join(name.path()).join("index.html"), text.as_bytes())?;
        }
        Ok(())
    }

    /// The page of a name. What stands in it are names, which hold nothing HTML would read.
    fn page(&self, name: &Name, prefixes: &BTreeSet<Name>) -> String {
        let images = || self.images.iter().filter(|image| image.name.is_under(name));
        let (host, mut tags, mut items) = (name.host(), String::new(), String::new());
        for platform in images().map(|image| platform(&image.labels)).collect::<BTreeSet<_>>() {
            let _ = writeln!(
                tags,
                "<meta name=\"ac-discovery\" content=\"{name} \
                 https://{host}/-/images/{{name}}/{{version}}-{}/image.{{ext}}\">",
                platform.template()
            );
        }
        for prefix in prefixes {
            let _ = writeln!(
                tags,
                "<meta name=\"ac-discovery-pubkeys\" content=\"{prefix} \
                 https://{host}/-/pubkeys/{prefix}.asc\">"
            );
        }
        for image in images() {
            let _ = writeln!(items, "<li>{} <code>{}</code></li>", image.name, image.image_id);
        }
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{name}</title>\n\
             {tags}</head>\n<body>\n<h1>{name}</h1>\n<ul>\n{items}</ul>\n</body>\n</html>\n"
        )
    }
}

/// What is written is compared with a file, and goes nowhere.
struct Compared {
    file: BufReader<File>,
    same: bool,
}

impl Compared {
    fn ended_same(mut self) -> io::Result<bool> {
        Ok(self.same && self.file.fill_buf()?.is_empty())
    }
}

impl Write for Compared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut there = vec![0; bytes.len()];
        self.same = self.same && self.file.read_exact(&mut there).is_ok() && there == bytes;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Which labels of the platform an image has: in this order they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Platform {
    OsAndArch,
    Os,
    Any,
}

fn platform(labels: &Labels) -> Platform {
    match (labels.value("os"), labels.value("arch")) {
        (Some(_), Some(_)) => Platform::OsAndArch,
        (Some(_), None) => Platform::Os,
        (None, _) => Platform::Any,
    }
}

impl Platform {
    fn template(self) -> &'static str {
        match self {
            Self::OsAndArch => "{os}-{arch}",
            Self::Os => "{os}-any",
            Self::Any => "any",
        }
    }
}

/// Where an image is by its name and labels: as a client renders the template of its platform.
fn path_of(name: &Name, labels: &Labels, version: &str) -> String {
    let label = |label| labels.value(label).unwrap_or_default();
    let platform = platform(labels).template();
    let platform = platform.replace("{os}", label("os")).replace("{arch}", label("arch"));
    format!("-/images/{name}/{version}-{platform}")
}

fn version_of(labels: &Labels) -> &str {
    labels.value("version").filter(|version| !version.is_empty()).unwrap_or(LATEST)
}

/// Whether its labels say which release it is, so that it never changes.
fn is_pinned(labels: &Labels) -> bool {
    version_of(labels) != LATEST
}

/// A signed label may still say `../../etc`: what it names must stay below the mirror.
fn check_labels(image: &StoredImage) -> Result<(), MirrorError> {
    let segment = |part: &str| !["", ".", ".."].contains(&part) && part.len() <= MAX_SEGMENT;
    let sound = |value: &str| value.split('/').all(segment) && !value.contains(char::is_control);
    let record = image.record();
    for label in ["version", "os", "arch"] {
        let value = record.labels.value(label).unwrap_or_default();
        if !value.is_empty() && !sound(value) {
            let (image, value) = (record.reference().to_string(), value.to_owned());
            return Err(MirrorError::Label { image, label, value });
        }
    }
    Ok(())
}

fn at(path: &Path) -> impl Fn(io::Error) -> MirrorError {
    let path = path.to_owned();
    move |source| MirrorError::Io { path: path.clone(), source }
}
