//! Reading parts of an archive: the content of some files, without all that lies before them
//! where the compression allows it.

use std::io::{self, Read, Seek, SeekFrom};

use super::decompress::{Decompressor, Hashing, MeteredFile, from_io};
use super::gzip::AccessPoint;
use super::{ArchiveError, Compression};
use crate::limits::Limits;

/// The uncompressed archive of an image file, read from any place on.
///
/// Nothing here is checked against a digest: whoever reads a part knows what its digest must be.
pub struct ArchiveParts<F: Read + Seek + Clone> {
    file: F,
    compression: Compression,
    points: Vec<AccessPoint>,
    limits: Limits,
    open: Option<Decompressor<F>>,
    at: u64,
}

impl<F: Read + Seek + Clone> ArchiveParts<F> {
    /// The archive in `file`, which has this compression and these places to begin at, in order.
    pub fn new(
        file: F,
        compression: Compression,
        points: Vec<AccessPoint>,
        limits: &Limits,
    ) -> Self {
        // Ratio and size were judged when the image came in.
        Self { file, compression, points, limits: limits.clone(), open: None, at: 0 }
    }

    /// Goes to this byte of the archive. Cheap where it lies ahead and near.
    pub fn seek(&mut self, offset: u64) -> Result<(), ArchiveError> {
        if self.compression == Compression::None {
            self.file.seek(SeekFrom::Start(offset))?;
            self.at = offset;
            return Ok(());
        }
        let before = self.points.partition_point(|point| point.unpacked <= offset);
        let nearest = before.checked_sub(1).map(|at| self.points[at]);
        let start = nearest.unwrap_or(AccessPoint { packed: 0, unpacked: 0 });
        if self.open.is_none() || self.at > offset || self.at < start.unpacked {
            self.open = None;
            self.file.seek(SeekFrom::Start(start.packed))?;
            let metered = MeteredFile::new(self.file.clone(), &self.limits);
            let (decompressor, found) = Decompressor::new(metered, Hashing::NotWanted)?;
            if found != self.compression {
                let why = format!("it is {found} here, and was {}", self.compression);
                return Err(io::Error::new(io::ErrorKind::InvalidData, why).into());
            }
            self.open = Some(decompressor);
            self.at = start.unpacked;
        }
        let mut buffer = [0; 8 << 10];
        while self.at < offset {
            let want = buffer.len().min(usize::try_from(offset - self.at).unwrap_or(usize::MAX));
            if self.read(&mut buffer[..want])? == 0 {
                return Err(ArchiveError::Truncated {
                    at: self.at,
                    within: "the content of a file",
                });
            }
        }
        Ok(())
    }

    /// Reads some bytes from here on; 0 at the end of the archive.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let got = match &mut self.open {
            Some(archive) => archive.read(buffer),
            None => self.file.read(buffer),
        };
        let got = got.map_err(|error| from_io(error, self.compression))?;
        self.at += got as u64;
        Ok(got)
    }
}
