//! What undoing a file's compression takes of memory, told by its first bytes.
//!
//! ```text
//! zstd   28 b5 2f fd │ descriptor │ window   …     RFC 8878, 3.1.1
//! xz     fd 37 7a 58 5a 00 flags crc │ size flags [sizes] filter 21 01 dictionary …     the .xz format, 3.1
//! ```

use super::Compression;

/// How many first bytes of a file tell what [`decoder_bytes`] tells: the header of an xz stream and of
/// its first block.
pub const DECODER_HEAD_BYTES: usize = XZ_HEADER + 1024;

const XZ_HEADER: usize = 12;
const LZMA2: u64 = 0x21;
/// What liblzma takes beside the dictionary, and more.
const XZ_BESIDE: u64 = 1 << 20;

/// Bytes that whoever undoes the compression of a file with this beginning has to keep, as
/// [`Limits::decoder_bytes`](crate::Limits::decoder_bytes) counts them: the window of the first frame of
/// zstd, or the memory for the first block of xz. Zero where the beginning tells nothing, or for a
/// compression that needs next to nothing.
///
/// What comes later in the file may ask for more; whoever gives a decoder no more than this has it
/// refused.
pub fn decoder_bytes(head: &[u8]) -> u64 {
    let told = match Compression::of_magic(head) {
        Some(Compression::Zstd) => zstd_window(&head[4..]),
        Some(Compression::Xz) => head.get(XZ_HEADER..).and_then(xz_memory),
        _ => None,
    };
    told.unwrap_or_default()
}

/// The window of a frame, or its content, if that is less; as the power of two that a decoder is told.
fn zstd_window(header: &[u8]) -> Option<u64> {
    let (descriptor, rest) = header.split_first()?;
    let window = if descriptor & 0x20 == 0 {
        let byte = u64::from(*rest.first()?);
        let base = 1 << (10 + (byte >> 3));
        base + base / 8 * (byte & 7)
    } else {
        let rest = rest.get([0, 1, 2, 4][usize::from(descriptor & 3)]..)?;
        match descriptor >> 6 {
            0 => u64::from(*rest.first()?),
            1 => 256 + u64::from(u16::from_le_bytes(*rest.first_chunk()?)),
            2 => u64::from(u32::from_le_bytes(*rest.first_chunk()?)),
            _ => u64::from_le_bytes(*rest.first_chunk()?),
        }
    };
    Some(window.checked_next_power_of_two().unwrap_or(u64::MAX))
}

/// What the dictionary of a block takes, by the block's header.
fn xz_memory(header: &[u8]) -> Option<u64> {
    let flags = *header.get(1)?;
    let mut rest = header.get(2..)?;
    for sizes in [0x40, 0x80] {
        if flags & sizes != 0 {
            number(&mut rest)?;
        }
    }
    for _ in 0..=flags & 3 {
        let filter = number(&mut rest)?;
        let length = usize::try_from(number(&mut rest)?).ok()?;
        let (properties, after) = rest.split_at_checked(length)?;
        rest = after;
        if let (LZMA2, [bits]) = (filter, properties) {
            // 40 is 4 GiB less one; more is none.
            let dictionary = (2 | u64::from(bits & 1)) << (bits.min(&40) / 2 + 11);
            return Some(dictionary + XZ_BESIDE);
        }
    }
    None
}

/// Seven bits a byte, the lowest first.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_by_the_first_bytes() {
        const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
        for (header, bytes) in [
            (&[0, 17 << 3][..], 128 << 20),
            (&[0, 0x7f], 64 << 20),
            (&[0, 0x79], 64 << 20),
            (&[0, 0xff], 1 << 42),
            (&[0x20, 200], 256),
            (&[0x60, 0, 1], 512),
            (&[0xa3, 9, 9, 9, 9, 0, 0, 0, 4], 64 << 20),
            (&[0xe0, 255, 255, 255, 255, 255, 255, 255, 255], u64::MAX),
            (&[0xe0, 255], 0),
            (&[0], 0),
            (&[], 0),
        ] {
            assert_eq!(decoder_bytes(&[ZSTD, header].concat()), bytes, "{header:x?}");
        }
        const XZ: &[u8] = b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46";
        for (header, bytes) in [
            (&[2, 0, 0x21, 1, 28][..], 65 << 20),
            (&[2, 0, 0x21, 1, 40], (4 << 30) + XZ_BESIDE),
            (&[4, 0xc1, 0x80, 1, 5, 4, 0, 0x21, 1, 22], 9 << 20),
            (&[2, 0, 4, 0], 0),
            (&[2, 0, 0x21, 9, 28], 0),
            (&[2, 0x40, 0x80, 0x80], 0),
            (&[0], 0),
            (&[], 0),
        ] {
            assert_eq!(decoder_bytes(&[XZ, header].concat()), bytes, "{header:x?}");
        }
        assert_eq!(decoder_bytes(b"\x1f\x8b\x08"), 0);
        assert_eq!(decoder_bytes(b""), 0);
    }
}
