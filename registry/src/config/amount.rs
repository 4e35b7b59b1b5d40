//! Sizes and times as a person writes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Why a text is no size or no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// No size.
    #[error("{0:?} is no size: give bytes, at least 1, or as 64MiB, 2GiB")]
    Size(String),
    /// No time.
    #[error("{0:?} is no time: give it as 30s, 5m or 1h")]
    Span(String),
}

const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// A number of bytes, at least one: `1536`, `64MiB`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct Size(u64);

/// In a file a number of bytes may be a number.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "wanted a size: a number of bytes, or a text as \"64MiB\" or \"2GiB\""
)]
enum Written {
    Number(u64),
    Text(String),
}

impl Size {
    /// So many bytes; `None` for nothing.
    pub(crate) fn of(bytes: u64) -> Option<Self> {
        (bytes > 0).then_some(Self(bytes))
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let unit = UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
        let (digits, shift) = unit.unwrap_or((text, 0));
        // `parse` takes a sign; a size has none.
        let digits = digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits);
        let number: Option<u64> = digits.and_then(|digits| digits.parse().ok());
        let bytes = number.and_then(|number| number.checked_mul(1 << shift));
        bytes.and_then(Self::of).ok_or_else(|| AmountError::Size(text.to_owned()))
    }
}

impl TryFrom<Written> for Size {
    type Error = AmountError;

    fn try_from(written: Written) -> Result<Self, AmountError> {
        match written {
            Written::Number(bytes) => {
                Self::of(bytes).ok_or_else(|| AmountError::Size(bytes.to_string()))
            }
            Written::Text(text) => text.parse(),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, shift)| self.0.is_multiple_of(1 << shift));
        match whole {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

/// A stretch of time that is not nothing: `30s`, `5m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

impl Span {
    /// So long; `None` for no time at all.
    pub(crate) fn of(time: Duration) -> Option<Self> {
        (!time.is_zero()).then_some(Self(time))
    }

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
        time.and_then(Self::of).ok_or_else(|| AmountError::Span(text.to_owned()))
    }
}

impl TryFrom<String> for Span {
    type Error = AmountError;

    fn try_from(text: String) -> Result<Self, AmountError> {
        text.parse()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.0) {
            Ok(time) => write!(f, "{time:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("1536", 1536), ("64MiB", 64 << 20), ("2GiB", 2 << 30)] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert_eq!("2048MiB".parse::<Size>().unwrap().to_string(), "2GiB");
        for bad in ["", "0", "KiB", "-1", "+1", "1.5GiB", "64MB", "64 MiB", "16777216TiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_and_written() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h", 3600), ("1h 30m", 5400)] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.time(), Duration::from_secs(seconds));
            assert_eq!(span.to_string(), text);
        }
        for bad in ["", "0s", "5", "-1s", "soon"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
