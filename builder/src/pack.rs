//! A tree becomes an image.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use aci::archive::{self, Compression, WriteOptions, Written};
use aci::stage::{Existing, StagedFile};
use aci::{ImageManifest, Limits};

use crate::error::PackError;
use crate::tree::{Owner, Tree};

/// How a tree is packed.
pub struct PackOptions<'a> {
    /// The root file system.
    pub rootfs: &'a Path,
    /// The manifest; these bytes go into the image as they are.
    pub manifest: &'a [u8],
    /// Whose the files are.
    pub owner: Owner,
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
    /// Is told the bytes of content there are before the work, then the bytes read, as they are.
    pub progress: &'a dyn Progress,
}

/// Is told how far the work is.
pub trait Progress {
    /// This many bytes are to be read.
    fn total(&self, _bytes: u64) {}
    /// This many more bytes were read.
    fn advance(&self, _bytes: u64) {}
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
    /// Sockets left out.
    pub sockets_left_out: u64,
    /// Names that begin with `.wh.`, which layered formats take for deletions.
    pub whiteout_names: u64,
    /// Whether readers with the default limits take the image for a compression bomb.
    pub looks_like_a_bomb: bool,
}

/// Packs a tree into `out`. On an error nothing that reached `out` is of any use.
pub fn pack(out: &mut (impl Write + Send), options: &PackOptions<'_>) -> Result<Packed, PackError> {
    let manifest = ImageManifest::from_json(options.manifest)?;
    let tree = Tree {
        root: options.rootfs,
        owner: options.owner,
        latest: options.source_date_epoch,
        skip_sockets: options.skip_sockets,
        one_file_system: options.one_file_system,
    };
    let survey = tree.survey()?;
    options.progress.total(survey.bytes);
    let write_options = WriteOptions { compression: options.compression, threads: options.threads };
    let written = archive::write(out, &write_options, |archive| {
        let time = options.source_date_epoch.unwrap_or(survey.newest);
        archive.manifest(options.manifest, time)?;
        tree.entries(|entry, content| match content {
            None => archive.entry(entry),
            Some(file) => archive.file(entry, &mut Counted { file, progress: options.progress }),
        })
    })?;
    let limits = Limits::default();
    Ok(Packed {
        manifest,
        looks_like_a_bomb: written.tar_bytes > limits.ratio_floor
            && written.tar_bytes / limits.ratio > written.file_bytes,
        written,
        sockets_left_out: survey.sockets,
        whiteout_names: survey.whiteout_names,
    })
}

/// Packs a tree into a file that is there whole, or not at all. `finish` sees the
/// complete file before it gets its name: to sign it, say.
pub fn pack_file(
    target: &Path,
    existing: Existing,
    options: &PackOptions<'_>,
    finish: impl FnOnce(&StagedFile, &Packed) -> Result<(), PackError>,
) -> Result<Packed, PackError> {
    pack_into(target, existing, options, |staged, options| {
        let packed = pack(staged, options)?;
        finish(staged, &packed)?;
        Ok(packed)
    })
}

/// As [`pack_file`], where `write` calls [`pack`], and changes the image's bytes on
/// their way into the file: to encrypt them, say.
pub fn pack_into(
    target: &Path,
    existing: Existing,
    options: &PackOptions<'_>,
    write: impl FnOnce(&mut StagedFile, &PackOptions<'_>) -> Result<Packed, PackError>,
) -> Result<Packed, PackError> {
    let cannot = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => PackError::Exists(target.to_owned()),
        _ => PackError::Write(error),
    };
    existing.check(target).map_err(cannot)?;
    let folder = aci::stage::folder_of(target);
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    if real(folder).starts_with(real(options.rootfs)) {
        let (output, tree) = (target.to_owned(), options.rootfs.to_owned());
        return Err(PackError::OutputInside { output, tree });
    }
    let mut staged = StagedFile::new_in(folder, 0o644)?;
    let packed = write(&mut staged, options)?;
    staged.commit(target, existing).map_err(cannot)?;
    Ok(packed)
}

struct Counted<'a> {
    file: &'a mut File,
    progress: &'a dyn Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.file.read(buffer)?;
        self.progress.advance(got as u64);
        Ok(got)
    }
}
