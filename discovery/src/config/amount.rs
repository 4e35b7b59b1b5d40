//! Sizes and times as a person writes them.

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

/// Why a text is no size or no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// No size.
    #[error("{0:?} is no size: give bytes, at least 1, or as 64M, 16G (powers of 1024)")]
    Size(String),
    /// No time.
    #[error("{0:?} is no time: give it as 90s, 5m or 1h")]
    Span(String),
}

/// A number of bytes, at least one: `1536`, `64M`, `16G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Size(u64);

/// In a file a number of bytes may be a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl Size {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'K') => (&text[..text.len() - 1], 10),
            Some(b'M') => (&text[..text.len() - 1], 20),
            Some(b'G') => (&text[..text.len() - 1], 30),
            Some(b'T') => (&text[..text.len() - 1], 40),
            _ => (text, 0),
        };
        let number: Option<u64> = digits.parse().ok();
        let bytes = number.and_then(|number| number.checked_mul(1 << shift));
        let bytes = bytes.filter(|bytes| *bytes > 0);
        bytes.map(Self).ok_or_else(|| AmountError::Size(text.to_owned()))
    }
}

impl TryFrom<Written> for Size {
    type Error = AmountError;

    fn try_from(written: Written) -> Result<Self, AmountError> {
        match written {
            Written::Number(0) => Err(AmountError::Size("0".to_owned())),
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse(),
        }
    }
}

/// A stretch of time that is not nothing: `90s`, `5m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(Duration);

impl Span {
    /// How long it is.
    pub fn time(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let time = text.parse::<SignedDuration>().ok();
        let time = time.and_then(|time| Duration::try_from(time).ok());
        let time = time.filter(|time| !time.is_zero());
        time.map(Self).ok_or_else(|| AmountError::Span(text.to_owned()))
    }
}

impl TryFrom<String> for Span {
    type Error = AmountError;

    fn try_from(text: String) -> Result<Self, AmountError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!("64M".parse::<Size>().unwrap().bytes(), 64 << 20);
        assert_eq!("5m".parse::<Span>().unwrap().time(), Duration::from_secs(300));
        for bad in ["", "0", "K", "-1", "1.5G", "64MiB", "16777216T"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        for bad in ["", "0s", "5", "-1s", "soon"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
