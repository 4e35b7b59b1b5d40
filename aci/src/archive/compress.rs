//! Compressing one block, with one pinned library and level for each format.

use std::io::{self, Write};

use super::Compression;

/// Archive bytes in one compressed member. Part of profile v1: another size gives other bytes.
pub(super) fn block_bytes(compression: Compression) -> usize {
    match compression {
        Compression::None | Compression::Gzip => 512 << 10,
        // bzip2's own largest block.
        Compression::Bzip2 => 900_000,
        Compression::Zstd => 2 << 20,
        Compression::Xz => 8 << 20,
    }
}

/// Compresses blocks, each into a member that can be read alone.
pub(super) enum BlockCompressor {
    Plain,
    Gzip(Box<libdeflater::Compressor>),
    Bzip2(bzip2::Compression),
    Xz(u32),
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

/// The level of profile v1. Of libdeflate's, 5 is as small as level 6 of zlib to within a
/// hundredth, and faster than its own 6.
fn profile_level(compression: Compression) -> u8 {
    match compression {
        Compression::None => 0,
        Compression::Gzip => 5,
        Compression::Bzip2 => 9,
        Compression::Xz => 6,
        Compression::Zstd => 3,
    }
}

impl BlockCompressor {
    /// At this level, one of [`Compression::levels`], or that of profile v1.
    pub(super) fn new(compression: Compression, level: Option<u8>) -> io::Result<Self> {
        if let Some(level) = level
            && !compression.levels().contains(&level)
        {
            let message = format!("{compression} has no level {level}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let level = level.unwrap_or(profile_level(compression));
        Ok(match compression {
            Compression::None => Self::Plain,
            Compression::Gzip => {
                let level = libdeflater::CompressionLvl::new(level.into())
                    .map_err(|_| io::ErrorKind::InvalidInput)?;
                Self::Gzip(Box::new(libdeflater::Compressor::new(level)))
            }
            Compression::Bzip2 => Self::Bzip2(bzip2::Compression::new(level.into())),
            Compression::Xz => Self::Xz(level.into()),
            Compression::Zstd => {
                let mut compressor = zstd::bulk::Compressor::new(level.into())?;
                compressor.include_checksum(true)?;
                Self::Zstd(Box::new(compressor))
            }
        })
    }

    pub(super) fn compress(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(block.to_vec()),
            Self::Gzip(compressor) => {
                let mut packed = vec![0; compressor.gzip_compress_bound(block.len())];
                let length =
                    compressor.gzip_compress(block, &mut packed).map_err(io::Error::other)?;
                packed.truncate(length);
                Ok(packed)
            }
            Self::Bzip2(level) => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), *level);
                encoder.write_all(block)?;
                encoder.finish()
            }
            Self::Xz(preset) => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), *preset);
                encoder.write_all(block)?;
                encoder.finish()
            }
            Self::Zstd(compressor) => compressor.compress(block),
        }
    }
}
