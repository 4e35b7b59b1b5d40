//! Telling a file's compression by its first bytes, and undoing it within limits.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::rc::Rc;

use sha2::{Digest, Sha512};

use super::{ArchiveError, Compression};
use crate::limits::Limits;

/// An xz file may ask for a dictionary of 4 GiB; this much is what `xz -9` needs and more.
const XZ_MEMORY: u64 = 128 << 20;
/// The window zstd itself accepts without being told otherwise: 128 MiB.
const ZSTD_WINDOW_LOG: u32 = 27;
const BUFFER: usize = 256 << 10;

/// The file as it comes in: counted, hashed and capped.
pub(super) struct MeteredFile<R> {
    file: R,
    /// Absent where the file is the archive itself, which has a hash of its own.
    hash: Option<Sha512>,
    /// Shared with the reader of the archive, which judges the ratio.
    pub(super) count: Rc<Cell<u64>>,
    allowed: u64,
}

impl<R: Read> MeteredFile<R> {
    pub(super) fn new(file: R, limits: &Limits) -> Self {
        Self { file, hash: Some(Sha512::new()), count: Rc::default(), allowed: limits.file_bytes }
    }

    /// SHA-512 of the file, where it is not that of the archive.
    pub(super) fn digest(self) -> Option<[u8; 64]> {
        self.hash.map(|hash| hash.finalize().into())
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
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer[..got]);
        }
        let count = self.count.get() + got as u64;
        self.count.set(count);
        if count > self.allowed {
            let allowed = self.allowed;
            return Err(through_io(ArchiveError::Limit { what: "bytes in its file", allowed }));
        }
        Ok(got)
    }
}

/// The file from its first byte on: those that told its format, then the rest.
type Source<R> = BufReader<Chain<Cursor<Vec<u8>>, MeteredFile<R>>>;

/// The archive inside a file, whatever its compression.
pub(super) enum Decompressor<R: Read> {
    Plain(Box<Source<R>>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Source<R>>>),
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<Source<R>>>),
    Xz(Box<liblzma::bufread::XzDecoder<Source<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<R>>>),
}

impl<R: Read> Decompressor<R> {
    /// Looks at the first bytes and chooses.
    pub(super) fn new(mut file: MeteredFile<R>) -> Result<(Self, Compression), ArchiveError> {
        let mut start = first_bytes(&mut file)?;
        let Some(compression) = Compression::detect(&start) else {
            start.truncate(6);
            return Err(ArchiveError::UnknownFormat(start));
        };
        if compression == Compression::None {
            file.hash = None;
        }
        let file = BufReader::with_capacity(BUFFER, Cursor::new(start).chain(file));
        let decompressor = match compression {
            Compression::None => Self::Plain(Box::new(file)),
            Compression::Gzip => Self::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(file))),
            Compression::Bzip2 => Self::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(file))),
            Compression::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    XZ_MEMORY,
                    liblzma::stream::CONCATENATED,
                )
                .map_err(|error| ArchiveError::Io(error.into()))?;
                Self::Xz(Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream)))
            }
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Self::Zstd(Box::new(decoder))
            }
        };
        Ok((decompressor, compression))
    }

    /// Reads what may follow the compressed stream, and refuses anything that does;
    /// then gives the file back.
    pub(super) fn finish(self) -> Result<MeteredFile<R>, ArchiveError> {
        let mut file = match self {
            Self::Plain(file) => *file,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Bzip2(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        };
        let rest = file.fill_buf().map_err(|error| from_io(error, Compression::None))?;
        if rest.is_empty() {
            return Ok(file.into_inner().into_inner().1);
        }
        let left = rest.len() as u64;
        Err(ArchiveError::TrailingData { at: file.get_ref().get_ref().1.count.get() - left })
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

/// Reads the first bytes, no more than it takes to know the compression, or as many as there
/// are: a slow source may give them one by one.
fn first_bytes<R: Read>(file: &mut MeteredFile<R>) -> Result<Vec<u8>, ArchiveError> {
    let mut start = Vec::new();
    for enough in [6, Compression::DETECT_BYTES] {
        let more = (enough - start.len()) as u64;
        file.take(more)
            .read_to_end(&mut start)
            .map_err(|error| from_io(error, Compression::None))?;
        if Compression::of_magic(&start).is_some() {
            break;
        }
    }
    Ok(start)
}
