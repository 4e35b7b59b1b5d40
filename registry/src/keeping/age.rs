//! How old something may become, as a person writes it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const UNITS: [(char, u64); 6] = [
    ('y', 365 * 24 * 3600),
    ('w', 7 * 24 * 3600),
    ('d', 24 * 3600),
    ('h', 3600),
    ('m', 60),
    ('s', 1),
];

/// A length of time, in one unit: `90d`, `12h`, `2y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9]+[ywdhms]$")]
#[serde(try_from = "String", into = "String")]
pub struct Age(Duration);

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no age: write a number and s, m, h, d, w or y, as in 90d")]
pub struct AgeError(String);

impl Age {
    /// So long, in whole seconds.
    pub fn of(time: Duration) -> Self {
        Self(time)
    }

    /// How long it is.
    pub fn time(self) -> Duration {
        self.0
    }
}

impl FromStr for Age {
    type Err = AgeError;

    fn from_str(text: &str) -> Result<Self, AgeError> {
        let seconds = || {
            let unit = text.chars().last()?;
            let (_, seconds) = UNITS.iter().find(|(letter, _)| *letter == unit)?;
            let digits = text.strip_suffix(unit)?;
            // `parse` takes a sign; an age has none.
            let digits = digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)?;
            digits.parse::<u64>().ok()?.checked_mul(*seconds)
        };
        let seconds = seconds().ok_or_else(|| AgeError(text.to_owned()))?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl TryFrom<String> for Age {
    type Error = AgeError;

    fn try_from(text: String) -> Result<Self, AgeError> {
        text.parse()
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let whole =
            UNITS.iter().find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit));
        match whole {
            Some((letter, unit)) => write!(f, "{}{letter}", seconds / unit),
            None => write!(f, "{seconds}s"),
        }
    }
}

impl From<Age> for String {
    fn from(age: Age) -> Self {
        age.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_a_number_and_a_unit() {
        for text in ["90d", "2y", "1w", "5h", "90m", "7s", "0s"] {
            assert_eq!(text.parse::<Age>().unwrap().to_string(), text);
        }
        for bad in ["", "d", "90", "1.5d", "-1d", "+1d", "99999999999999999999y", "5ä"] {
            assert!(bad.parse::<Age>().is_err(), "{bad}");
        }
    }
}
