//! Pod UUIDs (spec: ace.md, "Pod UUID").

use std::fmt;
use std::str::FromStr;

/// The identity of a running pod: 128 bits, printed as `6733c088-a507-4694-aabf-edbe4fc5266f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(u128);

/// Why a text is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no UUID: 32 hex digits, with or without hyphens (RFC 9562, section 4)")]
pub struct UuidError(String);

impl Uuid {
    /// The UUID of these bits, the first digit's highest.
    pub fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits, the first digit's highest.
    pub fn bits(self) -> u128 {
        self.0
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    /// Hyphens may stand anywhere, as rkt allows.
    fn from_str(text: &str) -> Result<Self, UuidError> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let hex = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let bits = hex.then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
        bits.map(Self).ok_or_else(|| UuidError(text.to_owned()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let (a, b, c) = (&digits[..8], &digits[8..12], &digits[12..16]);
        write!(f, "{a}-{b}-{c}-{}-{}", &digits[16..20], &digits[20..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_reads_any_hyphens_and_prints_five_groups() {
        for text in ["6733C088-A507-4694-AABF-EDBE4FC5266F", "6733c088a5074694aabfedbe4fc5266f"] {
            let uuid: Uuid = text.parse().unwrap();
            assert_eq!(uuid.to_string(), "6733c088-a507-4694-aabf-edbe4fc5266f");
            assert_eq!(Uuid::from_bits(uuid.bits()), uuid);
        }
        for bad in [
            "",
            "asdf",
            "zaaf0a791a394d59abbf1bebca8209d2",
            "{6733c088a5074694aabfedbe4fc5266f}",
            "6733c088a5074694aabfedbe4fc5266f0",
            "+733c088a5074694aabfedbe4fc5266f",
        ] {
            assert!(bad.parse::<Uuid>().is_err(), "{bad:?}");
        }
    }
}
