//! The compressions an image archive may have.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How an image archive is compressed. Told by the file's first bytes, never by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip, of one or several members.
    Gzip,
    /// bzip2, of one or several streams.
    Bzip2,
    /// xz, of one or several streams.
    Xz,
    /// zstd, of one or several frames. Outside the spec: rkt and actool cannot read it.
    Zstd,
}

impl Compression {
    /// How many first bytes of a file tell its compression for certain: one tar header.
    pub const DETECT_BYTES: usize = 512;

    /// The compression of a file that begins with `head`; `None` where it is no image archive.
    ///
    /// A plain archive has the magic of POSIX or GNU tar, or, where `head` is a whole header
    /// of the old form without one, the right checksum.
    pub fn detect(head: &[u8]) -> Option<Self> {
        if let Some(compressed) = Self::of_magic(head) {
            return Some(compressed);
        }
        let magic = head.get(257..263);
        let tar = matches!(magic, Some(b"ustar\0" | b"ustar "))
            || head.get(..Self::DETECT_BYTES).is_some_and(has_checksum);
        tar.then_some(Self::None)
    }

    /// The compression whose magic number `head` begins with.
    pub(super) fn of_magic(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The word used on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// How hard it can be told to try, from fast to small. Empty where there is no choice.
    pub fn levels(self) -> RangeInclusive<u8> {
        match self {
            Self::None => RangeInclusive::new(1, 0),
            Self::Gzip => 1..=12,
            Self::Bzip2 => 1..=9,
            Self::Xz => 0..=9,
            Self::Zstd => 1..=22,
        }
    }
}

/// Whether a tar header holds the sum of its own bytes, the sum's field counted as spaces.
/// A block of zeros is the end of an archive, never its beginning.
pub(super) fn has_checksum(header: &[u8]) -> bool {
    let text = std::str::from_utf8(&header[148..156]).unwrap_or_default();
    let field = u32::from_str_radix(text.trim_matches([' ', '\0']), 8);
    let sum = |at: usize| if (148..156).contains(&at) { 32 } else { u32::from(header[at]) };
    header[0] != 0 && field == Ok((0..header.len()).map(sum).sum())
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::None, Self::Gzip, Self::Bzip2, Self::Xz, Self::Zstd]
            .into_iter()
            .find(|c| c.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not one of gzip, none, bzip2, xz, zstd"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_detected_by_magic() {
        for (head, found) in [
            (&b"\x1f\x8b\x08"[..], Some(Compression::Gzip)),
            (b"BZh9", Some(Compression::Bzip2)),
            (b"\xfd7zXZ\0", Some(Compression::Xz)),
            (b"\x28\xb5\x2f\xfd", Some(Compression::Zstd)),
            (b"", None),
            (b"BZ", None),
            (b"\xfd7zXZ", None),
            (b"<html>", None),
            (b"PK\x03\x04", None),
            (&[0; 1024], None),
        ] {
            assert_eq!(Compression::detect(head), found, "{head:?}");
        }
    }

    #[test]
    fn compression_none_needs_a_tar_header() {
        let mut builder = tar::Header::new_old();
        builder.set_path("manifest").unwrap();
        builder.set_cksum();
        let old = builder.as_bytes().to_vec();
        assert_eq!(Compression::detect(&old), Some(Compression::None));
        assert_eq!(Compression::detect(&old[..511]), None);
        let mut other = old.clone();
        other[0] = b'n';
        assert_eq!(Compression::detect(&other), None);
        for header in [tar::Header::new_ustar(), tar::Header::new_gnu()] {
            assert_eq!(Compression::detect(&header.as_bytes()[..263]), Some(Compression::None));
            assert_eq!(Compression::detect(&header.as_bytes()[..262]), None);
        }
    }
}
