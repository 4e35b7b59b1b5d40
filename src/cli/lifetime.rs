//! How long something is good, as a person writes it: `90d`, `2y`, `never`.

use std::str::FromStr;
use std::time::Duration;

const DAY: u64 = 24 * 3600;

/// How long something is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// For ever.
    Never,
    /// For this long.
    For(Duration),
}

impl Lifetime {
    /// The time, or `None` for ever.
    pub(crate) fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::For(duration) => Some(duration),
        }
    }
}

/// A text that is no lifetime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LifetimeError(String);

impl std::fmt::Display for LifetimeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} is no length of time: write a number and s, h, d, w or y, as in 90d, or `never`",
            self.0
        )
    }
}

impl std::error::Error for LifetimeError {}

impl FromStr for Lifetime {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, LifetimeError> {
        if text == "never" {
            return Ok(Self::Never);
        }
        let read = || {
            let (at, unit) = text.char_indices().last()?;
            let seconds = match unit {
                's' => 1,
                'h' => 3600,
                'd' => DAY,
                'w' => 7 * DAY,
                'y' => 365 * DAY,
                _ => return None,
            };
            let number = text.get(..at)?;
            // `parse` takes a sign; a length of time has none.
            let number: u64 =
                number.chars().all(|c| c.is_ascii_digit()).then_some(number)?.parse().ok()?;
            number.checked_mul(seconds).filter(|seconds| *seconds > 0)
        };
        let seconds = read().ok_or_else(|| LifetimeError(text.to_owned()))?;
        Ok(Self::For(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_reads_a_number_and_a_unit() {
        for (text, seconds) in
            [("90d", 90 * DAY), ("2y", 730 * DAY), ("1w", 7 * DAY), ("12h", 43200), ("5s", 5)]
        {
            assert_eq!(text.parse(), Ok(Lifetime::For(Duration::from_secs(seconds))));
        }
        assert_eq!("never".parse(), Ok(Lifetime::Never));
        for bad in [
            "",
            "d",
            "0d",
            "90",
            "1.5d",
            "-1d",
            "+1d",
            "99999999999999999999y",
            "18446744073709551615y",
            "5ä",
        ] {
            assert!(bad.parse::<Lifetime>().is_err(), "{bad}");
        }
    }
}
