//! Image IDs and file digests (spec: types.md, "Image ID Type").

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Sha512;

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The text does not begin with the algorithm.
    #[error("{0:?} does not begin with {1:?}")]
    Algorithm(String, &'static str),
    /// The text has the wrong number of digits.
    #[error("{0:?} has {1} hex digits after the algorithm, {2} are needed")]
    Length(String, usize, usize),
    /// A character that is no lower-case hex digit.
    #[error("{0:?} has a character that is not 0-9 or a-f")]
    Digit(String),
    /// An image ID prefix shorter than two digits.
    #[error("{0:?} is too short to name an image: give at least \"sha512-\" and 2 hex digits")]
    Short(String),
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char])
        .collect()
}

fn digits<'a>(text: &'a str, algorithm: &'static str) -> Result<&'a str, DigestError> {
    let digits = text
        .strip_prefix(algorithm)
        .ok_or_else(|| DigestError::Algorithm(text.to_owned(), algorithm))?;
    if digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(digits)
    } else {
        Err(DigestError::Digit(text.to_owned()))
    }
}

/// An image ID: `sha512-` and the 128 hex digits of the SHA-512 of the
/// uncompressed archive, all of them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(value_type = String, pattern = "^sha512-[0-9a-f]{128}$")
)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

/// The SHA-512 of an image file as it lies on disk: `sha512-` and 128 hex digits. Of an
/// uncompressed image this is also its image ID.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(value_type = String, pattern = "^sha512-[0-9a-f]{128}$")
)]
#[serde(try_from = "String", into = "String")]
pub struct FileDigest(String);

macro_rules! digest {
    ($type:ident, $algorithm:literal, $bytes:literal) => {
        impl $type {
            /// The digest of these hash bytes.
            pub fn of(hash: [u8; $bytes]) -> Self {
                Self(format!(concat!($algorithm, "{}"), hex(&hash)))
            }

            /// The text, algorithm included.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The hex digits alone.
            pub fn digits(&self) -> &str {
                &self.0[$algorithm.len()..]
            }
        }

        impl FromStr for $type {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                let digits = digits(text, $algorithm)?;
                if digits.len() != $bytes * 2 {
                    return Err(DigestError::Length(text.to_owned(), digits.len(), $bytes * 2));
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = DigestError;

            fn try_from(text: String) -> Result<Self, DigestError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(digest: $type) -> Self {
                digest.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

digest!(ImageId, "sha512-", 64);
digest!(FileDigest, "sha512-", 64);

/// Bytes of `sha512-` and 32 digits.
const SHORT: usize = 7 + 32;

/// The beginning of an image ID, as a person types it: `sha512-` and 2 to 128 hex digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageIdPrefix(String);

impl ImageIdPrefix {
    /// Whether this is the beginning of `id`.
    pub fn matches(&self, id: &ImageId) -> bool {
        id.as_str().starts_with(&self.0)
    }

    /// At most its first 32 digits, as lists show it.
    pub fn short(&self) -> &str {
        self.0.get(..SHORT).unwrap_or(&self.0)
    }
}

impl FromStr for ImageIdPrefix {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = digits(text, "sha512-")?;
        match digits.len() {
            0 | 1 => Err(DigestError::Short(text.to_owned())),
            2..=128 => Ok(Self(text.to_owned())),
            more => Err(DigestError::Length(text.to_owned(), more, 128)),
        }
    }
}

impl fmt::Display for ImageIdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FileDigest {
    /// The digest of these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut hash = Sha512::new();
        hash.update(bytes);
        Self::of(hash.finish())
    }

    /// The digest of all that a reader gives.
    pub fn of_reader(reader: &mut impl Read) -> io::Result<Self> {
        let (mut hash, mut buffer) = (Sha512::new(), vec![0; 256 << 10]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Self::of(hash.finish())),
                Ok(got) => hash.update(&buffer[..got]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_id_round_trips_and_refuses() {
        let id = ImageId::of([0xab; 64]);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        for bad in [
            "".to_owned(),
            "sha512-ab".to_owned(),
            format!("sha256-{}", "ab".repeat(64)),
            format!("sha512-{}", "AB".repeat(64)),
            format!("sha512-{}", "ab".repeat(65)),
        ] {
            assert!(bad.parse::<ImageId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn image_id_prefix_needs_two_digits_and_compares_all() -> Result<(), DigestError> {
        let id = ImageId::of([0xab; 64]);
        assert!("sha512-a".parse::<ImageIdPrefix>().is_err());
        assert!("sha512-ab".parse::<ImageIdPrefix>()?.matches(&id));
        // rkt kept half of the digest only; a difference in the last digit counts here.
        let mut other = id.to_string();
        other.pop();
        other.push('c');
        assert!(!other.parse::<ImageIdPrefix>()?.matches(&id));
        Ok(())
    }
}
