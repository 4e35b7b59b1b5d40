//! Telling a file's compression by its first bytes, and undoing it within limits.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::compression::has_checksum;
use super::encrypted::is_encrypted;
use super::gzip::{AccessPoint, GzipMembers, Position};
use super::hashed::HashedReader;
use super::{ArchiveError, Compression, Limited};
use crate::limits::Limits;

/// The file as it comes in: counted and capped.
pub(super) struct MeteredFile<R> {
    file: R,
    /// Shared with the reader of the archive, which judges the ratio.
    pub(super) count: Rc<Cell<u64>>,
    allowed: u64,
    decoder_bytes: u64,
    deadline: Deadline,
}

impl<R: Read> MeteredFile<R> {
    pub(super) fn new(file: R, limits: &Limits) -> Self {
        let (deadline, decoder_bytes) = (Deadline::new(limits), limits.decoder_bytes);
        Self { file, count: Rc::default(), allowed: limits.file_bytes, decoder_bytes, deadline }
    }
}

/// When reading has taken too long.
pub(super) struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(limits.time.map(|allowed| (Instant::now(), allowed)))
    }

    pub(super) fn check(&self) -> io::Result<()> {
        match self.0 {
            Some((start, allowed)) if start.elapsed() > allowed => {
                Err(through_io(ArchiveError::Time { allowed }))
            }
            _ => Ok(()),
        }
    }
}

/// Wraps one of our own errors so that it survives a decompressor in between.
pub(super) fn through_io(error: ArchiveError) -> io::Error {
    io::Error::other(error)
}

/// The error that [`through_io`] wrapped, or what the decompressor made of its input.
pub(super) fn from_io(error: io::Error, compression: Compression) -> ArchiveError {
    match error.downcast::<ArchiveError>() {
        Ok(own) => own,
        Err(error) if is_stream_fault(&error) => {
            ArchiveError::Compressed { compression, source: error }
        }
        Err(error) => ArchiveError::Io(error),
    }
}

/// Whether an error is about the bytes, not about reading them.
fn is_stream_fault(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
        && matches!(
            error.kind(),
            io::ErrorKind::InvalidData
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::Other
        )
}

/// Wraps an error of the source itself, so that no decompressor's error is mistaken for it.
fn source_error(error: io::Error) -> io::Error {
    through_io(match error.downcast::<ArchiveError>() {
        Ok(own) => own,
        Err(error) => ArchiveError::Io(error),
    })
}

impl<R: Read> Read for MeteredFile<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = match self.file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            other => other.map_err(source_error)?,
        };
        let count = self.count.get() + got as u64;
        self.count.set(count);
        if count > self.allowed {
            let allowed = self.allowed;
            return Err(through_io(ArchiveError::Limit { what: Limited::FileBytes, allowed }));
        }
        self.deadline.check()?;
        Ok(got)
    }
}

impl<R: Read> Position for HashedReader<MeteredFile<R>> {
    fn position(&self) -> u64 {
        self.source().count.get() - self.ready().len() as u64
    }
}

/// The file from its first byte on. It is hashed, but where it is the archive itself, which
/// has a hash of its own.
type Source<R> = HashedReader<MeteredFile<R>>;

/// Whether the file's own hash is computed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hashing {
    Wanted,
    NotWanted,
}

/// The archive inside a file, whatever its compression.
pub(super) enum Decompressor<R: Read> {
    Plain(Box<Source<R>>),
    Gzip(Box<GzipMembers<Source<R>>>),
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<Source<R>>>),
    Xz(Box<liblzma::bufread::XzDecoder<Source<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<R>>>),
}

impl<R: Read> Decompressor<R> {
    /// Looks at the first bytes and chooses.
    pub(super) fn new(
        file: MeteredFile<R>,
        hashing: Hashing,
    ) -> Result<(Self, Compression), ArchiveError> {
        // An xz file may ask for a dictionary of 4 GiB, and one of zstd for a window as large.
        let decoder_bytes = file.decoder_bytes;
        let mut file = HashedReader::begin(file, Compression::DETECT_BYTES)
            .map_err(|error| from_io(error, Compression::None))?;
        let start = file.ready();
        let Some(compression) = Compression::detect(start) else {
            if is_encrypted(start) {
                return Err(ArchiveError::Encrypted);
            }
            return Err(ArchiveError::UnknownFormat(start[..start.len().min(6)].to_vec()));
        };
        if compression != Compression::None {
            // A file that is a tar as well goes another way in tools that believe its name.
            if start.get(..Compression::DETECT_BYTES).is_some_and(has_checksum) {
                return Err(ArchiveError::Ambiguous(compression));
            }
            if hashing == Hashing::Wanted {
                file.hash()?;
            }
        }
        let decompressor = match compression {
            Compression::None => Self::Plain(Box::new(file)),
            Compression::Gzip => Self::Gzip(Box::new(GzipMembers::new(file))),
            Compression::Bzip2 => Self::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(file))),
            Compression::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    decoder_bytes,
                    liblzma::stream::CONCATENATED,
                )
                .map_err(|error| ArchiveError::Io(error.into()))?;
                Self::Xz(Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream)))
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
                decoder.window_log_max(decoder_bytes.max(1).ilog2().clamp(10, 31))?;
                Self::Zstd(Box::new(decoder))
            }
        };
        Ok((decompressor, compression))
    }

    /// The places where reading can begin that were passed since this was last asked.
    pub(super) fn take_points(&mut self) -> Vec<AccessPoint> {
        match self {
            Self::Gzip(decoder) => decoder.take_points(),
            _ => Vec::new(),
        }
    }

    /// Reads what may follow the compressed stream, and refuses anything that does; then
    /// gives the bytes of the file and its SHA-512, where it is wanted and not that of the archive.
    pub(super) fn finish(self) -> Result<(u64, Option<[u8; 64]>), ArchiveError> {
        let mut file = match self {
            Self::Plain(file) => *file,
            Self::Gzip(decoder) => decoder.into_inner()?,
            Self::Bzip2(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        };
        let left = file.fill_buf().map_err(|error| from_io(error, Compression::None))?.len();
        let (metered, hash) = file.finish()?;
        let count = metered.count.get();
        if left > 0 {
            return Err(ArchiveError::TrailingData { at: count - left as u64 });
        }
        Ok((count, hash))
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Bzip2(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}
