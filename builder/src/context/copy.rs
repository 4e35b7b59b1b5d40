//! Files of the host come into the image.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use aci::ImageId;
use aci::archive::{self, Compression, Entry, WriteOptions};
use rustix::fs::FileType;

use super::change::Change;
use super::error::ContextError;
use super::fill::{fill, fill_surveyed};
use super::intake::Moved;
use super::paths::{Place, join, path_of};
use super::properties::Properties;
use crate::error::PackError;
use crate::ignore::Ignore;
use crate::overrides::Overrides;
use crate::owner::Owner;
use crate::pack::Progress;
use crate::tree::Tree;
use crate::walk::{Destination, Identity};

/// How files are copied.
pub struct CopyOptions<'a> {
    /// Whose the files are in the image.
    pub owner: &'a Owner,
    /// What else is different from what is on disk.
    pub overrides: &'a Overrides,
    /// What is left out, besides what the copied folder's own `.aciignore` names.
    pub ignore: &'a Ignore,
    /// Leave sockets out instead of refusing them.
    pub skip_sockets: bool,
    /// Stay on the file system of what is copied.
    pub one_file_system: bool,
    /// The time of everything that is copied, in seconds since 1970; as on disk where absent.
    pub mtime: Option<i64>,
    /// The modes of everything that is copied.
    pub modes: Modes,
    /// Put what is in a folder into one that is there, instead of refusing that.
    pub merge: bool,
    /// Is told how far the work is.
    pub progress: &'a dyn Progress,
}

impl<'a> CopyOptions<'a> {
    /// All as it is on disk, but for these.
    pub fn new(owner: &'a Owner, overrides: &'a Overrides, ignore: &'a Ignore) -> Self {
        Self {
            owner,
            overrides,
            ignore,
            skip_sockets: false,
            one_file_system: false,
            mtime: None,
            modes: Modes::default(),
            merge: false,
            progress: &(),
        }
    }
}

/// Modes in the place of those on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modes {
    /// That of regular files.
    pub files: Option<u32>,
    /// That of folders.
    pub folders: Option<u32>,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// What the ignore patterns left out; a folder counts as one.
    pub ignored: u64,
    /// Sockets left out.
    pub sockets_left_out: u64,
}

impl Owner {
    /// As on disk; what belongs to the caller, who is not root, is root's in the image. So the
    /// image does not tell who built it.
    pub fn of_caller() -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        if uid.is_root() { Self::Keep } else { Self::caller_as_root(uid.as_raw(), gid.as_raw()) }
    }
}

/// A folder or another file of the host, and where it is found.
struct Source<'s> {
    path: &'s Path,
    /// The folder that is walked.
    root: PathBuf,
    /// What of it is meant, where it is no folder itself.
    only: Option<OsString>,
}

impl<'s> Source<'s> {
    fn new(path: &'s Path) -> Result<Self, ContextError> {
        let fault = |source| ContextError::Source { path: path.to_owned(), source };
        let metadata = fs::symlink_metadata(path).map_err(fault)?;
        if metadata.is_dir() {
            return Ok(Self { path, root: path.to_owned(), only: None });
        }
        let name = path.file_name().ok_or_else(|| fault(io::ErrorKind::InvalidInput.into()))?;
        let root = aci::stage::folder_of(path).to_owned();
        Ok(Self { path, root, only: Some(name.to_owned()) })
    }

    fn ignore(&self, options: &CopyOptions<'_>) -> Result<Ignore, ContextError> {
        if self.only.is_some() {
            return Ok(options.ignore.clone());
        }
        Ignore::of_tree(&self.root, options.ignore)
            .map_err(|error| ContextError::Source { path: self.path.to_owned(), source: error })
    }

    /// The tree of it, as it is copied into the build of this folder.
    fn tree<'t>(
        &'t self,
        ignore: &'t Ignore,
        options: &CopyOptions<'t>,
        folder: Option<Identity>,
    ) -> Tree<'t> {
        Tree {
            root: &self.root,
            only: self.only.as_deref(),
            owner: options.owner,
            overrides: options.overrides,
            recorded: None,
            ignore,
            keeps_ignore_file: self.only.is_some(),
            latest: None,
            skip_sockets: options.skip_sockets,
            one_file_system: options.one_file_system,
            destination: Some(Destination { folder }),
            output: None,
        }
    }

    /// What its entry is called, and that of all below it.
    fn entry_path(&self) -> Vec<u8> {
        match &self.only {
            None => b"rootfs".to_vec(),
            Some(only) => join(b"rootfs", only.as_bytes()),
        }
    }

    /// Its own name, by which it is known in a folder it is put into.
    fn name(&self) -> Result<OsString, ContextError> {
        let fault = |source| ContextError::Source { path: self.path.to_owned(), source };
        match (&self.only, self.path.file_name()) {
            (Some(name), _) => Ok(name.clone()),
            (None, Some(name)) => Ok(name.to_owned()),
            (None, None) => {
                let real = self.path.canonicalize().map_err(fault)?;
                let name = real.file_name().map(OsStr::to_owned);
                name.ok_or_else(|| fault(io::Error::other("the root has no name of its own")))
            }
        }
    }
}

impl Change<'_> {
    /// Copies one file or folder to exactly this path of the image.
    pub fn copy(
        &mut self,
        source: &Path,
        to: &Path,
        options: &CopyOptions<'_>,
    ) -> Result<Copied, ContextError> {
        if to.as_os_str().as_bytes().ends_with(b"/") && to != Path::new("/") {
            let path = to.display().to_string();
            let why = "a slash at its end says a folder to put things into, which copy-to-dir does";
            return Err(ContextError::Path { path, why });
        }
        let source = Source::new(source)?;
        let place = match (&source.only, options.merge) {
            (None, true) => Place::of_folder(&self.root, to)?,
            _ => Place::of(&self.root, to)?,
        };
        self.copy_to(&source, &place, options)
    }

    /// Copies files and folders into a folder of the image, each by its own name.
    pub fn copy_into(
        &mut self,
        sources: &[PathBuf],
        folder: &Path,
        options: &CopyOptions<'_>,
    ) -> Result<Copied, ContextError> {
        let folder = Place::of_folder(&self.root, folder)?;
        if !matches!(folder.kind, None | Some(FileType::Directory)) {
            let what = "is no folder to put things into";
            return Err(ContextError::Occupied { path: folder.shown(), what });
        }
        let (mut copied, mut names) = (Copied::default(), Vec::new());
        for path in sources {
            let source = Source::new(path)?;
            let name = source.name()?;
            let below = join(&folder.below, name.as_bytes());
            if names.contains(&name) {
                let path = Place { below, kind: None }.shown();
                let what = "would be two of the files that are copied: they have the same name";
                return Err(ContextError::Occupied { path, what });
            }
            names.push(name);
            let kind = self.lstat(&below)?.map(|stat| FileType::from_raw_mode(stat.st_mode));
            let one = self.copy_to(&source, &Place { below, kind }, options)?;
            copied.ignored += one.ignored;
            copied.sockets_left_out += one.sockets_left_out;
        }
        Ok(copied)
    }

    /// Puts a copy of a file of the image in its own place, under all these names.
    pub(super) fn copy_of_own(
        &mut self,
        below: &[u8],
        names: &[Vec<u8>],
    ) -> Result<(), ContextError> {
        let path = self.rootfs().join(path_of(below));
        let (owner, overrides, ignore) = (Owner::Keep, Overrides::default(), Ignore::default());
        let options = CopyOptions::new(&owner, &overrides, &ignore);
        let source = Source::new(&path)?;
        let tree = source.tree(&ignore, &options, None);
        let (slot, name) = self.slot()?;
        let (from, mut unused) = (source.entry_path(), Properties::default());
        let moved = Moved { from: &from, to: below };
        fill(&tree, &slot, moved, &options, &mut unused)?;
        let staged = join(name.as_bytes(), &from);
        for (at, other) in names.iter().enumerate().skip(1) {
            let next = join(name.as_bytes(), format!("name-{at}").as_bytes());
            let (from, to) = (self.staged(&staged), self.staged(&next));
            fs::hard_link(&from, &to).map_err(ContextError::io("link", to))?;
            self.place(&next, &Place { below: other.clone(), kind: None });
        }
        let first = names.first().map_or(below, Vec::as_slice).to_vec();
        self.place(&staged, &Place { below: first, kind: None });
        Ok(())
    }

    fn copy_to(
        &mut self,
        source: &Source<'_>,
        place: &Place,
        options: &CopyOptions<'_>,
    ) -> Result<Copied, ContextError> {
        let merges = check_free(source, place, options.merge)?;
        let ignore = source.ignore(options)?;
        let tree = source.tree(&ignore, options, Some(self.identity()?));
        let (slot, name) = self.slot()?;
        let from = source.entry_path();
        let before = self.properties.clone();
        if !merges {
            self.properties.forget(&place.below);
        }
        let moved = Moved { from: &from, to: &place.below };
        let survey = fill_surveyed(&tree, &slot, moved, options, &mut self.properties)?;
        let source_path = join(name.as_bytes(), &from);
        let newest = options.mtime.unwrap_or(survey.newest);
        self.make_parents(place, newest)?;
        if merges {
            self.merge(&source_path, &place.below, &before)?;
        } else {
            self.place(&source_path, place);
        }
        Ok(Copied { ignored: survey.ignored, sockets_left_out: survey.sockets })
    }

    /// Puts what is in a staged folder into one of the image, which stays what it was.
    fn merge(
        &mut self,
        staged: &[u8],
        below: &[u8],
        before: &Properties,
    ) -> Result<(), ContextError> {
        self.properties.set(below, before.of(below).cloned().unwrap_or_default());
        let folder = self.staged(staged);
        let io = |error| ContextError::io("read", &folder)(error);
        for entry in fs::read_dir(&folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let (from, to) = (join(staged, name.as_bytes()), join(below, name.as_bytes()));
            let kind = self.lstat(&to)?.map(|stat| FileType::from_raw_mode(stat.st_mode));
            let is_folder = entry.file_type().map_err(io)?.is_dir();
            let place = Place { below: to, kind };
            match (is_folder, kind == Some(FileType::Directory)) {
                (true, true) => self.merge(&from, &place.below, before)?,
                (false, false) => self.place(&from, &place),
                _ if kind.is_none() => self.place(&from, &place),
                _ => {
                    let what = "is a folder in one place and none in the other: remove it first";
                    return Err(ContextError::Occupied { path: place.shown(), what });
                }
            }
        }
        Ok(())
    }
}

/// Copies a folder, which becomes the root of an image that begins, into `target`.
pub(super) fn copy_root(
    folder: &Path,
    target: &Path,
    options: &CopyOptions<'_>,
    properties: &mut Properties,
) -> Result<Copied, ContextError> {
    // A link to a folder is as good as the folder.
    let real = folder
        .canonicalize()
        .map_err(|source| ContextError::Source { path: folder.to_owned(), source })?;
    let source = Source::new(&real)?;
    let ignore = source.ignore(options)?;
    let tree = source.tree(&ignore, options, None);
    let moved = Moved { from: b"rootfs", to: b"" };
    let survey = fill_surveyed(&tree, target, moved, options, properties)?;
    Ok(Copied { ignored: survey.ignored, sockets_left_out: survey.sockets })
}

/// Whether what is at a place may give way, or take something in.
fn check_free(source: &Source<'_>, place: &Place, merge: bool) -> Result<bool, ContextError> {
    let occupied = |what| Err(ContextError::Occupied { path: place.shown(), what });
    match (&source.only, place.kind) {
        (_, None) => Ok(false),
        (None, Some(FileType::Directory)) if merge => Ok(true),
        (None, Some(FileType::Directory)) => occupied(
            "is a folder already: give --merge to put the files into it, or remove it first",
        ),
        (None, Some(_)) => occupied("is there and no folder: remove it first"),
        (Some(_), Some(FileType::Directory)) => {
            occupied("is a folder: name the file in it, or use copy-to-dir")
        }
        (Some(_), Some(_)) => Ok(false),
    }
}

/// The image ID that a file or folder alone would have, or a link itself. It stands for names, modes,
/// owners, attributes and content, and not for times.
pub fn content_id(path: &Path, owner: &Owner, ignore: &Ignore) -> Result<ImageId, ContextError> {
    let overrides = Overrides::default();
    let options = CopyOptions::new(owner, &overrides, ignore);
    let source = Source::new(path)?;
    let ignore = source.ignore(&options)?;
    let tree = source.tree(&ignore, &options, None);
    tree.survey()?;
    let write = WriteOptions { compression: Compression::None, threads: NonZeroUsize::MIN };
    let written = archive::write(&mut io::sink(), &write, |archive| {
        archive.manifest(b"{}", 0)?;
        if source.only.is_some() {
            archive.entry(&Entry::root())?;
        }
        tree.entries(|entry, content| {
            let mut entry = entry.clone();
            entry.mtime = 0;
            match content {
                None => archive.entry(&entry).map_err(PackError::Write),
                Some(opened) => opened.read(|file| archive.file(&entry, file)),
            }
        })
    });
    Ok(written?.image_id)
}
