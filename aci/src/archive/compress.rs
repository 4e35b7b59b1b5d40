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
    Bzip2,
    Xz,
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

/// Of libdeflate: as small as level 6 of zlib to within a hundredth, and faster than its own 6.
const GZIP_LEVEL: i32 = 5;
const ZSTD_LEVEL: i32 = 3;
const XZ_PRESET: u32 = 6;

impl BlockCompressor {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain,
            Compression::Gzip => {
                let level = libdeflater::CompressionLvl::new(GZIP_LEVEL)
                    .map_err(|_| io::ErrorKind::InvalidInput)?;
                Self::Gzip(Box::new(libdeflater::Compressor::new(level)))
            }
            Compression::Bzip2 => Self::Bzip2,
            Compression::Xz => Self::Xz,
            Compression::Zstd => {
                let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
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
            Self::Bzip2 => {
                let mut encoder =
                    bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
                encoder.write_all(block)?;
                encoder.finish()
            }
            Self::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), XZ_PRESET);
                encoder.write_all(block)?;
                encoder.finish()
            }
            Self::Zstd(compressor) => compressor.compress(block),
        }
    }
}
