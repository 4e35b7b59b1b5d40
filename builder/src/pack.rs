//! A tree becomes an image.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aci::ImageManifest;
use aci::archive::{self, Besides, Compression, KeptBlocks, WriteOptions, Written};
use aci::stage::{Existing, NotWritten, StagedFile, Together};

use crate::context::Properties;
use crate::error::PackError;
use crate::exec::Exec;
use crate::ignore::{IGNORE_FILE, Ignore};
use crate::overrides::Overrides;
use crate::owner::Owner;
use crate::tree::{Survey, Tree};
use crate::walk::Identity;
use crate::warning::Warning;

/// How a tree is packed.
pub struct PackOptions<'a> {
    /// The root file system.
    pub rootfs: &'a Path,
    /// The manifest; these bytes go into the image as they are.
    pub manifest: &'a [u8],
    /// Whose the files are.
    pub owner: &'a Owner,
    /// What else is different in the image from what is on disk.
    pub overrides: &'a Overrides,
    /// What files are that the disk of an ordinary user cannot say.
    pub recorded: Option<&'a Properties>,
    /// What is left out, besides what the tree's own `.aciignore` names.
    pub ignore: &'a Ignore,
    /// The tree's own `.aciignore` is a file like others.
    pub keeps_ignore_file: bool,
    /// `SOURCE_DATE_EPOCH`: no time in the image is later, and the manifest has this one.
    pub source_date_epoch: Option<i64>,
    /// Leave sockets out instead of refusing them.
    pub skip_sockets: bool,
    /// Stay on the root's file system: mount points are packed empty.
    pub one_file_system: bool,
    /// The compression.
    pub compression: Compression,
    /// Compressing threads; the bytes do not depend on it.
    pub threads: NonZeroUsize,
    /// Compressed blocks of earlier images.
    pub kept: Option<&'a dyn KeptBlocks>,
    /// Whether the digest of the file is wanted.
    pub file_digest: bool,
    /// Is told the bytes of content there are before the work, then the bytes read, as they are.
    pub progress: &'a dyn Progress,
}

/// Is told how far the work is.
pub trait Progress: Sync {
    /// This many bytes are to be read.
    fn total(&self, _bytes: u64) {}
    /// This many more bytes were read.
    fn advance(&self, _bytes: u64) {}
    /// Whether anybody sees it, so that what is only for that is worth doing.
    fn is_seen(&self) -> bool {
        false
    }
}

/// Wants to know nothing.
impl Progress for () {}

/// What was packed.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The manifest.
    pub manifest: ImageManifest,
    /// Image ID, digest and sizes.
    pub written: Written,
    /// The time of the manifest's entry: that of the image, in seconds since 1970.
    pub time: i64,
    /// What the ignore patterns left out; a folder counts as one, with all that is in it.
    pub ignored: u64,
    /// Sockets left out.
    pub sockets_left_out: u64,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

/// Packs a tree into `out`. On an error nothing that reached `out` is of any use.
pub fn pack(out: &mut (impl Write + Send), options: &PackOptions<'_>) -> Result<Packed, PackError> {
    pack_outside(out, options, None)
}

/// Packs a tree into `out`, which lies in this folder.
fn pack_outside(
    out: &mut (impl Write + Send),
    options: &PackOptions<'_>,
    output: Option<(&Path, Identity)>,
) -> Result<Packed, PackError> {
    let manifest = ImageManifest::from_json(options.manifest)?;
    let ignore = match options.keeps_ignore_file {
        true => options.ignore.clone(),
        false => Ignore::of_tree(options.rootfs, options.ignore).map_err(|source| {
            let path = options.rootfs.join(std::ffi::OsStr::from_bytes(IGNORE_FILE));
            PackError::Ignore { path, source }
        })?,
    };
    let tree = Tree {
        root: options.rootfs,
        only: None,
        owner: options.owner,
        overrides: options.overrides,
        recorded: options.recorded,
        ignore: &ignore,
        keeps_ignore_file: options.keeps_ignore_file,
        latest: options.source_date_epoch,
        skip_sockets: options.skip_sockets,
        one_file_system: options.one_file_system,
        destination: None,
        output,
    };
    let survey = tree.survey()?;
    options.progress.total(survey.bytes);
    let mut empty_attributes = 0;
    let write_options = WriteOptions { compression: options.compression, threads: options.threads };
    let time = options.source_date_epoch.unwrap_or(survey.newest);
    let besides = Besides { kept: options.kept, file_digest: options.file_digest };
    let written = archive::write_with(out, &write_options, besides, |archive| {
        archive.manifest(options.manifest, time)?;
        tree.entries(|entry, content| {
            let empty = entry.xattrs.iter().filter(|(_, value)| value.is_empty());
            empty_attributes += empty.count() as u64;
            match content {
                None => archive.entry(entry).map_err(PackError::Write),
                Some(opened) => opened.read(|file| {
                    archive.file(entry, &mut Counted { file, progress: options.progress })
                }),
            }
        })
    })?;
    let mut warnings = warnings(&survey, empty_attributes, &written);
    if let Some(exec) = Exec::of(&manifest) {
        warnings.extend(exec.look(&tree).into_iter().map(Warning::Exec));
    }
    let (ignored, sockets_left_out) = (survey.ignored, survey.sockets);
    Ok(Packed { manifest, written, time, ignored, sockets_left_out, warnings })
}

fn warnings(survey: &Survey, empty_attributes: u64, written: &Written) -> Vec<Warning> {
    let counted = |count: u64, warning: fn(u64) -> Warning| (count > 0).then(|| warning(count));
    let all = [
        counted(survey.whiteout_names, Warning::WhiteoutNames),
        counted(empty_attributes, Warning::EmptyAttributes),
        counted(survey.unknown_owners, Warning::UnknownOwners),
        survey.build_context.then_some(Warning::BuildContext),
        written.looks_like_a_bomb.then_some(Warning::LooksLikeABomb),
    ];
    all.into_iter().flatten().collect()
}

/// Packs a tree into a file that is there whole, or not at all. `finish` sees the
/// complete file before it gets its name: to sign it, say.
pub fn pack_file(
    target: &Path,
    existing: Existing,
    options: &PackOptions<'_>,
    finish: impl FnOnce(&StagedFile, &Packed) -> Result<(), PackError>,
) -> Result<Packed, PackError> {
    pack_into(target, existing, options, |staged, packer| {
        let packed = packer.pack(staged)?;
        finish(staged, &packed)?;
        Ok(packed)
    })
}

/// What packs a tree into a file that is about to get its name.
pub struct Packer<'a> {
    options: &'a PackOptions<'a>,
    output: (&'a Path, Identity),
}

impl Packer<'_> {
    /// As [`pack`], where the file does not lie in the tree.
    pub fn pack(self, out: &mut (impl Write + Send)) -> Result<Packed, PackError> {
        pack_outside(out, self.options, Some(self.output))
    }
}

/// As [`pack_file`], where `write` lets the packer write, and changes the image's bytes
/// on their way into the file: to encrypt them, say.
pub fn pack_into(
    target: &Path,
    existing: Existing,
    options: &PackOptions<'_>,
    write: impl FnOnce(&mut StagedFile, Packer<'_>) -> Result<Packed, PackError>,
) -> Result<Packed, PackError> {
    let (unnamed, packed) = pack_unnamed(target, existing, options, write)?;
    unnamed.commit()?;
    Ok(packed)
}

/// An image file that is whole and has no name yet. Dropped, it never was.
#[derive(Debug)]
pub struct Unnamed {
    target: PathBuf,
    existing: Existing,
    staged: StagedFile,
}

impl Unnamed {
    /// The file.
    pub fn file(&self) -> &File {
        self.staged.file()
    }

    /// The name it will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Adds the file to others that get their names together.
    pub fn add_to(self, files: &mut Together) -> Result<(), NotWritten> {
        files.add(&self.target, self.existing, self.staged)
    }

    /// Gives the file its name.
    pub fn commit(self) -> Result<(), PackError> {
        let Self { target, existing, staged } = self;
        staged.commit(&target, existing).map_err(|error| cannot(&target, error))
    }
}

fn cannot(target: &Path, error: std::io::Error) -> PackError {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => PackError::Exists(target.to_owned()),
        _ => PackError::Write(error),
    }
}

/// As [`pack_into`], for a file that gets its name later.
pub(crate) fn pack_unnamed(
    target: &Path,
    existing: Existing,
    options: &PackOptions<'_>,
    write: impl FnOnce(&mut StagedFile, Packer<'_>) -> Result<Packed, PackError>,
) -> Result<(Unnamed, Packed), PackError> {
    let folder = aci::stage::folder_of(target);
    // What a killed run has left behind. Somebody else's remains that this user may not touch are
    // no reason to fail.
    let _ = aci::stage::clean(folder);
    let cannot_write = |source| PackError::Folder { folder: folder.to_owned(), source };
    let metadata = fs::metadata(folder).map_err(cannot_write)?;
    let output = (target, (metadata.dev(), metadata.ino()));
    let mut staged = StagedFile::new_for(target, existing).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => PackError::Exists(target.to_owned()),
        _ => cannot_write(error),
    })?;
    let packed = write(&mut staged, Packer { options, output })?;
    Ok((Unnamed { target: target.to_owned(), existing, staged }, packed))
}

/// An error of the file that is read, told apart from one of the file that is written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct NotRead(pub(crate) std::io::Error);

impl NotRead {
    fn wrap(error: std::io::Error) -> std::io::Error {
        match error.kind() {
            std::io::ErrorKind::Interrupted => error,
            _ => std::io::Error::other(Self(error)),
        }
    }
}

struct Counted<'a> {
    file: &'a mut File,
    progress: &'a dyn Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.file.read(buffer).map_err(NotRead::wrap)?;
        self.progress.advance(got as u64);
        Ok(got)
    }
}
