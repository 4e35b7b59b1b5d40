//! The digest of one file's content, by which equal files are found.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::{DigestError, hex};

/// The SHA-256 of a file's content: `sha256-` and 64 hex digits. It names what is kept on this
/// machine; images and image files are named by SHA-512 alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentDigest([u8; 32]);

const ALGORITHM: &str = "sha256-";

impl ContentDigest {
    /// The digest of these hash bytes.
    pub fn of(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits alone.
    pub fn digits(&self) -> String {
        hex(&self.0)
    }

    /// From the 64 hex digits alone.
    pub fn from_digits(digits: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError::Length(digits.to_owned(), digits.len(), 64);
        if digits.len() != 64 {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let value = |digit: u8| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(DigestError::Digit(digits.to_owned())),
            };
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl FromStr for ContentDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| DigestError::Algorithm(text.to_owned(), ALGORITHM))?;
        Self::from_digits(digits)
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", self.digits())
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Computes a [`ContentDigest`] from bytes as they come.
#[derive(Debug, Clone, Default)]
pub struct ContentHash(Sha256);

impl ContentHash {
    /// Takes in some bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn finish(self) -> ContentDigest {
        ContentDigest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_digest_is_the_sha_256_and_reads_back() {
        let mut hash = ContentHash::default();
        hash.update(b"ab");
        hash.update(b"c");
        let digest = hash.finish();
        let text = "sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        for bad in ["", "sha256-", &text[..70], &text.to_uppercase(), &text.replace('b', "é")] {
            assert!(bad.parse::<ContentDigest>().is_err(), "{bad}");
        }
    }
}
