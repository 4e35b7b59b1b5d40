//! Fingerprints: what a key is called.

use std::fmt;
use std::str::FromStr;

use sequoia_openpgp as openpgp;
use serde::{Deserialize, Serialize};

/// A version 4 OpenPGP fingerprint.
///
/// - 20 bytes, the SHA-1 of the public key (RFC 9580, 5.5.4.2)
/// - written as 40 lower-case hex digits, which is also its file name in rkt's trust layout
/// - read in upper or lower case, with blanks between the digits or a leading `0x`
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 20]);

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no fingerprint: 40 hex digits are wanted, as `gantry key show FILE` prints them"
)]
pub struct FingerprintError {
    text: String,
}

impl Fingerprint {
    /// The digits in groups of four, upper case, as gpg and rkt print them for people to compare.
    pub fn spaced(&self) -> String {
        let digits = self.to_string().to_uppercase();
        let mut text = String::with_capacity(50);
        for (at, digit) in digits.chars().enumerate() {
            match at {
                20 => text.push_str("  "),
                _ if at > 0 && at % 4 == 0 => text.push(' '),
                _ => {}
            }
            text.push(digit);
        }
        text
    }

    /// `None` for fingerprints of other versions.
    pub(crate) fn from_openpgp(fingerprint: &openpgp::Fingerprint) -> Option<Self> {
        match fingerprint {
            openpgp::Fingerprint::V4(bytes) => Some(Self(*bytes)),
            _ => None,
        }
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let fault = || FingerprintError { text: text.chars().take(80).collect() };
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '\t')).collect();
        let digits = digits.strip_prefix("0x").unwrap_or(&digits);
        if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(fault());
        }
        let mut bytes = [0; 20];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| fault())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn fingerprint_reads_what_tools_print() {
        let spaced = "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567";
        for text in [PLAIN, &PLAIN.to_uppercase(), spaced, &format!("0x{PLAIN}")] {
            assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), PLAIN);
        }
        assert_eq!(PLAIN.parse::<Fingerprint>().unwrap().spaced(), spaced);
    }

    #[test]
    fn fingerprint_refuses_key_ids_and_strangers() {
        for text in ["", "01234567", &PLAIN[1..], &format!("{PLAIN}0"), &PLAIN.replace('a', "g")] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text:?}");
        }
        assert!("ä".repeat(20).parse::<Fingerprint>().is_err());
    }
}
