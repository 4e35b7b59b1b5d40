//! Reading an image once, from its first byte to its last.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;
use std::sync::OnceLock;

use super::decompress::{Deadline, Decompressor, Hashing, MeteredFile, from_io, through_io};
use super::entry::{Entry, EntryKind};
use super::gzip::AccessPoint;
use super::hashed::HashedReader;
use super::layout::{Layout, Place};
use super::read::TarReader;
use super::{ArchiveError, Compression, Limited};
use crate::digest::{FileDigest, ImageId};
use crate::limits::Limits;
use crate::manifest::ImageManifest;

/// What reading an image to its end has shown. Only [`inspect`] and
/// [`unpack`](super::unpack) build it, so whoever holds one knows that layout,
/// names, links, types, sizes and manifest were checked.
#[derive(Debug, Clone)]
pub struct InspectedImage {
    image_id: ImageId,
    manifest: ImageManifest,
    manifest_bytes: Vec<u8>,
    compression: Compression,
    file_digest: FileDigest,
    file_bytes: u64,
    tar_bytes: u64,
    entries: u64,
}

impl InspectedImage {
    /// SHA-512 of the uncompressed archive.
    pub fn image_id(&self) -> &ImageId {
        &self.image_id
    }

    /// The manifest inside the image.
    pub fn manifest(&self) -> &ImageManifest {
        &self.manifest
    }

    /// The manifest's bytes as they stand in the image.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// How the file is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// SHA-512 of the file as it was read.
    pub fn file_digest(&self) -> &FileDigest {
        &self.file_digest
    }

    /// Bytes of the file as it was read.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes of the uncompressed archive.
    pub fn tar_bytes(&self) -> u64 {
        self.tar_bytes
    }

    /// Entries of the archive besides the manifest.
    pub fn entries(&self) -> u64 {
        self.entries
    }
}

/// Reads an image file to its end and checks it against the spec and `limits`.
pub fn inspect(file: impl Read, limits: &Limits) -> Result<InspectedImage, ArchiveError> {
    let mut image = ImageReader::new(file, limits)?;
    while image.next()?.is_some() {}
    image.finish()
}

/// The same for who hashes the file anyway: `file_digest` is to be set to its SHA-512 before the
/// read that returns 0 at its end.
pub fn inspect_hashed(
    file: impl Read,
    file_digest: &OnceLock<FileDigest>,
    limits: &Limits,
) -> Result<InspectedImage, ArchiveError> {
    let mut image = ImageReader::hashed(file, file_digest, limits)?;
    while image.next()?.is_some() {}
    image.finish()
}

/// Reads an image as [`inspect`] does, and shows each entry of the rootfs on the way. What
/// `visit` leaves of an entry's content is skipped. Nothing that it was shown counts before
/// this function has returned: only then was the image read to its end.
pub fn read_entries<E: From<ArchiveError>>(
    file: impl Read,
    limits: &Limits,
    mut visit: impl FnMut(Entry, &mut Content<'_>) -> Result<(), E>,
) -> Result<InspectedImage, E> {
    let mut image = ImageReader::new(file, limits)?;
    while let Some(entry) = image.next()? {
        visit(entry, &mut Content(&mut |buffer| image.read_content(buffer)))?;
    }
    Ok(image.finish()?)
}

/// The content of an entry, of which a regular file alone has any.
pub struct Content<'a>(pub(super) &'a mut dyn FnMut(&mut [u8]) -> Result<usize, ArchiveError>);

impl Content<'_> {
    /// Reads some of it; 0 at its end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        (self.0)(buffer)
    }
}

/// Goes through an image entry by entry: decompressed, counted, hashed and checked on the way.
pub(super) struct ImageReader<'d, R: Read> {
    tar: TarReader<HashedReader<MeteredArchive<R>>>,
    /// Where somebody else leaves the file's digest.
    file_digest: Option<&'d OnceLock<FileDigest>>,
    compression: Compression,
    layout: Layout,
    manifest: Option<(ImageManifest, Vec<u8>)>,
    max_manifest: u64,
}

impl<'d, R: Read> ImageReader<'d, R> {
    pub(super) fn new(file: R, limits: &Limits) -> Result<Self, ArchiveError> {
        Self::begin(file, None, limits)
    }

    /// A reader of a file that somebody else hashes, as in [`inspect_hashed`].
    pub(super) fn hashed(
        file: R,
        file_digest: &'d OnceLock<FileDigest>,
        limits: &Limits,
    ) -> Result<Self, ArchiveError> {
        Self::begin(file, Some(file_digest), limits)
    }

    fn begin(
        file: R,
        file_digest: Option<&'d OnceLock<FileDigest>>,
        limits: &Limits,
    ) -> Result<Self, ArchiveError> {
        let hashing = if file_digest.is_some() { Hashing::NotWanted } else { Hashing::Wanted };
        let (archive, compression) = open(file, hashing, limits)?;
        Ok(Self {
            tar: TarReader::new(archive, limits),
            file_digest,
            compression,
            layout: Layout::new(limits),
            manifest: None,
            max_manifest: limits.manifest_bytes,
        })
    }

    /// The next entry of the rootfs; `None` at the end. The manifest is kept on the way.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        loop {
            let next = self.tar.next();
            let Some(mut entry) = next.map_err(|error| self.cause(error))? else {
                return Ok(None);
            };
            match self.layout.admit(&mut entry)? {
                Place::Rootfs => return Ok(Some(entry)),
                Place::Manifest => self.read_manifest(&entry)?,
                Place::Top => {}
            }
        }
    }

    /// Reads content of the entry last returned; 0 at its end.
    pub(super) fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let got = self.tar.read_content(buffer);
        got.map_err(|error| self.cause(error))
    }

    /// Where in the archive the content of the entry last returned begins, before any of it
    /// is read.
    pub(super) fn offset(&self) -> u64 {
        self.tar.bytes_read()
    }

    /// The places where reading can begin that were passed since this was last asked.
    pub(super) fn take_points(&mut self) -> Vec<AccessPoint> {
        self.tar.inner_mut().source_mut().archive.take_points()
    }

    fn read_manifest(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let bytes = manifest_bytes(&mut self.tar, entry, self.max_manifest)
            .map_err(|error| self.cause(error))?;
        self.manifest = Some((ImageManifest::from_json(&bytes)?, bytes));
        Ok(())
    }

    /// After the last entry: what only the end can tell.
    pub(super) fn finish(self) -> Result<InspectedImage, ArchiveError> {
        let (manifest, manifest_bytes) = self.manifest.ok_or(ArchiveError::Absent("manifest"))?;
        let entries = self.layout.finish()?;
        let tar_bytes = self.tar.bytes_read();
        let Sums { image_id, file_digest, file_bytes } =
            close(self.tar.into_inner(), self.file_digest)?;
        Ok(InspectedImage {
            image_id,
            manifest,
            manifest_bytes,
            compression: self.compression,
            file_digest,
            file_bytes,
            tar_bytes,
            entries,
        })
    }

    /// What an error from below really is.
    fn cause(&self, error: ArchiveError) -> ArchiveError {
        match error {
            ArchiveError::Io(error) => from_io(error, self.compression),
            other => other,
        }
    }
}

/// The archive of an image file, decompressed and hashed.
pub(super) type Archive<R> = HashedReader<MeteredArchive<R>>;

/// The archive inside an image file, whatever its compression.
pub(super) fn open<R: Read>(
    file: R,
    hashing: Hashing,
    limits: &Limits,
) -> Result<(Archive<R>, Compression), ArchiveError> {
    let file = MeteredFile::new(file, limits);
    let packed = file.count.clone();
    let (archive, compression) = Decompressor::new(file, hashing)?;
    let mut archive = HashedReader::new(MeteredArchive {
        archive,
        packed,
        unpacked: 0,
        allowed: limits.tar_bytes,
        ratio: limits.ratio,
        ratio_floor: limits.ratio_floor,
        deadline: Deadline::new(limits),
    });
    let start = archive.fill_buf().map_err(|error| from_io(error, compression))?;
    // `gzip` twice: it would be refused as a broken tar, which tells its author nothing.
    if let Some(inner) = Compression::of_magic(start).filter(|_| compression != Compression::None) {
        return Err(ArchiveError::Nested { outer: compression, inner });
    }
    Ok((archive, compression))
}

/// What is known of a file and its archive when both were read to the end.
pub(super) struct Sums {
    pub(super) image_id: ImageId,
    pub(super) file_digest: FileDigest,
    pub(super) file_bytes: u64,
}

/// After the end of the archive: that of the file. Its digest is `hashed`, where that is given.
pub(super) fn close<R: Read>(
    archive: Archive<R>,
    hashed: Option<&OnceLock<FileDigest>>,
) -> Result<Sums, ArchiveError> {
    let unhashed = || io::Error::other("there is no hash");
    let (archive, archive_hash) = archive.finish()?;
    let archive_hash = archive_hash.ok_or_else(unhashed)?;
    let (file_bytes, file_hash) = archive.archive.finish()?;
    let file_digest = match hashed {
        Some(hashed) => hashed.get().cloned().ok_or_else(unhashed)?,
        None => FileDigest::of(file_hash.unwrap_or(archive_hash)),
    };
    Ok(Sums { image_id: ImageId::of(archive_hash), file_digest, file_bytes })
}

/// The content of the entry `manifest`, which was found just now.
pub(super) fn manifest_bytes(
    tar: &mut TarReader<impl Read>,
    entry: &Entry,
    allowed: u64,
) -> Result<Vec<u8>, ArchiveError> {
    let EntryKind::File { size } = entry.kind else {
        return Err(ArchiveError::Absent("manifest"));
    };
    if size > allowed {
        return Err(ArchiveError::Limit { what: Limited::ManifestBytes, allowed });
    }
    let mut bytes = vec![0; size as usize];
    let mut done = 0;
    while done < bytes.len() {
        done += tar.read_content(&mut bytes[done..])?;
    }
    Ok(bytes)
}

/// The uncompressed archive as it is read: counted and judged.
pub(super) struct MeteredArchive<R: Read> {
    archive: Decompressor<R>,
    packed: Rc<Cell<u64>>,
    unpacked: u64,
    allowed: u64,
    ratio: u64,
    ratio_floor: u64,
    deadline: Deadline,
}

impl<R: Read> Read for MeteredArchive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.archive.read(buffer)?;
        self.unpacked += got as u64;
        if self.unpacked > self.allowed {
            let allowed = self.allowed;
            return Err(through_io(ArchiveError::Limit { what: Limited::TarBytes, allowed }));
        }
        // Ten megabytes that unpack to ten gigabytes fill a disk for the price of a click.
        let packed = self.packed.get();
        if self.unpacked > self.ratio_floor && self.unpacked / self.ratio > packed {
            let unpacked = self.unpacked;
            return Err(through_io(ArchiveError::Bomb { packed, unpacked }));
        }
        self.deadline.check()?;
        Ok(got)
    }
}
