//! A context begins: with nothing, or with what a folder, an archive or an image holds.

use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use aci::archive::{ArchiveError, Content, Entry, EntryKind, read_entries, read_rootfs_tar};
use aci::stage::{self, Existing, StagedFolder};
use aci::{FileDigest, ImageId, ImageManifest, Label, Labels, Limits};
use rustix::fs::{Timespec, Timestamps};
use serde::{Deserialize, Serialize};

use super::copy::{Copied, CopyOptions};
use super::error::ContextError;
use super::intake::{Intake, Moved, ownership};
use super::properties::Properties;
use super::write::UNNAMED;
use super::{BEGAN, CURRENT, Context, FOLDER, LOCK, MANIFEST, MODE, PROPERTIES, ROOTFS};

/// What a context begins with.
pub enum Begin<'a> {
    /// No file at all.
    Empty,
    /// A folder, which becomes the root.
    Folder(&'a Path, CopyOptions<'a>),
    /// An image file, or a tar of a root file system: which of them, its content tells.
    Archive(&'a Path),
    /// An image that was verified, with the reader of its file.
    Image(&'a mut dyn Read),
}

/// How a context begins.
pub struct BeginOptions<'a> {
    /// The limits of an archive.
    pub limits: &'a Limits,
    /// The labels `os` and `arch` of an image that begins without a manifest.
    pub platform: (&'a str, &'a str),
}

/// What a context began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Began {
    /// Nothing.
    Empty,
    /// A folder.
    Folder(#[serde(skip)] Copied),
    /// An image.
    Image(ImageId),
    /// A tar of a root file system, by the digest of its file.
    RootfsTar(FileDigest),
}

impl Context {
    /// Begins a context in the folder `work`. It is there whole, or not at all.
    pub fn begin(
        work: &Path,
        begin: Begin<'_>,
        options: &BeginOptions<'_>,
    ) -> Result<Began, ContextError> {
        let folder = work.join(FOLDER);
        if super::journal::exists(&folder) {
            return Err(ContextError::InProgress(work.to_owned()));
        }
        // What a killed command left behind; what is somebody else's is no reason to fail.
        let _ = stage::clean(work);
        let mut staged = StagedFolder::new_in(work).map_err(ContextError::io("write in", work))?;
        // Programs of an image that run as their owner are for nobody on this machine.
        staged.keep_private();
        let new = New { at: staged.path().to_owned(), options };
        let began = new.fill(begin)?;
        new.finish(&began).map_err(ContextError::io("write", &folder))?;
        match staged.put(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(ContextError::InProgress(work.to_owned()))
            }
            Err(error) => Err(ContextError::io("make", folder)(error)),
            Ok(()) => Ok(began),
        }
    }
}

/// A context that is being made.
struct New<'a> {
    at: PathBuf,
    options: &'a BeginOptions<'a>,
}

impl New<'_> {
    fn fill(&self, begin: Begin<'_>) -> Result<Began, ContextError> {
        let current = self.at.join(CURRENT);
        fs::create_dir(&current).map_err(ContextError::io("make", &current))?;
        match begin {
            Begin::Empty => {
                self.empty(&current).map_err(ContextError::io("make", &current))?;
                Ok(Began::Empty)
            }
            Begin::Folder(folder, options) => {
                let manifest = self.manifest()?;
                let mut properties = Properties::default();
                let copied = super::copy::copy_root(folder, &current, &options, &mut properties)?;
                self.put_manifest(&current, &manifest)?;
                self.put(&properties)?;
                Ok(Began::Folder(copied))
            }
            Begin::Image(reader) => self.image(reader, &current).map_err(ContextError::Place),
            Begin::Archive(path) => self.archive(path, &current),
        }
    }

    fn empty(&self, current: &Path) -> std::io::Result<()> {
        let rootfs = current.join("rootfs");
        let manifest = self.manifest().map_err(std::io::Error::other)?;
        rustix::fs::mkdir(&rootfs, rustix::fs::Mode::RWXU)?;
        rustix::fs::chmod(&rootfs, rustix::fs::Mode::from_raw_mode(0o755))?;
        // No clock: the time of an empty root is no input of a build.
        let time = Timespec { tv_sec: 0, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, &rootfs, &times, rustix::fs::AtFlags::empty())?;
        stage::put(&current.join(MANIFEST), &manifest, 0o644, Existing::Refuse)
    }

    fn put_manifest(&self, current: &Path, manifest: &[u8]) -> Result<(), ContextError> {
        let path = current.join(MANIFEST);
        stage::put(&path, manifest, 0o644, Existing::Replace)
            .map_err(ContextError::io("write", path))
    }

    fn archive(&self, path: &Path, current: &Path) -> Result<Began, ContextError> {
        let fault = |source| ContextError::Archive { path: path.to_owned(), source };
        let open = |error| ContextError::Source { path: path.to_owned(), source: error };
        let mut file = fs::File::open(path).map_err(open)?;
        let not_the_layout = match self.image(&file, current) {
            Err(error @ (ArchiveError::TopLevel { .. } | ArchiveError::Absent(_))) => error,
            other => return other.map_err(fault),
        };
        file.rewind().map_err(open)?;
        stage::remove_folder(current).map_err(ContextError::io("clear", current))?;
        fs::create_dir(current).map_err(ContextError::io("make", current))?;
        match self.rootfs(&file, current)? {
            Ok(began) => Ok(began),
            Err(Refused::Image) => Err(fault(not_the_layout)),
            Err(Refused::OtherFormat) => Err(ContextError::OtherFormat(path.to_owned())),
            Err(Refused::Archive(error)) => Err(fault(error)),
        }
    }

    /// An image, manifest and all.
    fn image(&self, reader: impl Read, current: &Path) -> Result<Began, ArchiveError> {
        let (unpack, mut properties) = (ownership(), Properties::default());
        let mut intake = Intake::new(current, ALL, &unpack, &mut properties)?;
        let image = read_entries(reader, self.options.limits, |entry, content| {
            place(&mut intake, entry, content)
        })?;
        intake
            .finish(image.manifest_bytes())
            .map_err(|e| ArchiveError::Io(std::io::Error::other(e)))?;
        self.put(&properties).map_err(|e| ArchiveError::Io(std::io::Error::other(e)))?;
        Ok(Began::Image(image.image_id().clone()))
    }

    /// A plain tar.
    fn rootfs(
        &self,
        reader: impl Read,
        current: &Path,
    ) -> Result<Result<Began, Refused>, ContextError> {
        let (unpack, mut properties) = (ownership(), Properties::default());
        let mut intake = Intake::new(current, ALL, &unpack, &mut properties)?;
        let (mut has_manifest, mut has_rootfs) = (false, false);
        let read = read_rootfs_tar(reader, self.options.limits, |entry, content| {
            match entry.path.0.as_slice() {
                b"rootfs/oci-layout" | b"rootfs/manifest.json" => return Err(Refused::OtherFormat),
                b"rootfs/manifest" => has_manifest = matches!(entry.kind, EntryKind::File { .. }),
                b"rootfs/rootfs" => has_rootfs = true,
                path => has_rootfs |= path.starts_with(b"rootfs/rootfs/"),
            }
            // Both make an image of it, whatever else there is.
            if has_manifest && has_rootfs {
                return Err(Refused::Image);
            }
            place(&mut intake, entry, content).map_err(Refused::Archive)
        });
        let tar = match read {
            Ok(tar) => tar,
            Err(refused) => return Ok(Err(refused)),
        };
        intake.finish(&self.manifest()?)?;
        self.put(&properties)?;
        Ok(Ok(Began::RootfsTar(tar.file_digest)))
    }

    fn put(&self, properties: &Properties) -> Result<(), ContextError> {
        if properties.is_empty() {
            return Ok(());
        }
        let path = self.at.join(PROPERTIES);
        properties.write(&path).map_err(ContextError::io("write", path))
    }

    /// The manifest of an image without a name.
    fn manifest(&self) -> Result<Vec<u8>, ContextError> {
        let fault = |error: &dyn std::fmt::Display| {
            ContextError::Edit(crate::manifest::EditFault::Value(error.to_string()))
        };
        let (os, arch) = self.options.platform;
        let label = |name: &str, value: &str| -> Result<Label, ContextError> {
            Ok(Label { name: name.parse().map_err(|e| fault(&e))?, value: value.to_owned() })
        };
        let labels = vec![label("arch", arch)?, label("os", os)?];
        let labels = Labels::try_from(labels).map_err(|error| fault(&error))?;
        let name = UNNAMED.parse().map_err(|error| fault(&error))?;
        ImageManifest::new(name, labels).to_json().map_err(|error| fault(&error))
    }

    /// What every context has.
    fn finish(&self, began: &Began) -> std::io::Result<()> {
        let text = serde_json::to_vec(began)?;
        stage::put(&self.at.join(BEGAN), &text, 0o644, Existing::Refuse)?;
        stage::put(&self.at.join(MODE), b"appc", 0o644, Existing::Refuse)?;
        stage::put(&self.at.join(LOCK), b"", 0o644, Existing::Refuse)?;
        debug_assert!(self.at.join(ROOTFS).is_dir());
        Ok(())
    }
}

const ALL: Moved<'static> = Moved { from: b"rootfs", to: b"" };

/// Why a plain tar is not taken.
enum Refused {
    /// It is an image, with a fault.
    Image,
    OtherFormat,
    Archive(ArchiveError),
}

impl From<ArchiveError> for Refused {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

fn place(
    intake: &mut Intake<'_>,
    entry: Entry,
    content: &mut Content<'_>,
) -> Result<(), ArchiveError> {
    intake.place(entry, &mut |buffer| content.read(buffer))
}
