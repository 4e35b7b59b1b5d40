//! Points in time as the documents beside an image have them.

use std::fmt;

/// A whole second in UTC, written `2014-10-27T19:32:27Z` (RFC 3339).
///
/// - from 1970 to the end of 9999, so that the year has four digits
///
/// ```
/// let time = builder::UtcTime::try_from(1_414_438_347)?;
/// assert_eq!(time.to_string(), "2014-10-27T19:32:27Z");
/// # Ok::<(), builder::UtcTimeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtcTime(jiff::Timestamp);

/// A number of seconds that is no time of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} seconds since 1970 do not lie between the years 1970 and 9999")]
pub struct UtcTimeError(i64);

/// 9999-12-30T22:00:00Z: the last second that is in 9999 in every time zone.
const LAST: i64 = 253_402_207_200;

impl TryFrom<i64> for UtcTime {
    type Error = UtcTimeError;

    /// From the seconds since 1970-01-01T00:00:00Z.
    fn try_from(seconds: i64) -> Result<Self, UtcTimeError> {
        if !(0..=LAST).contains(&seconds) {
            return Err(UtcTimeError(seconds));
        }
        jiff::Timestamp::from_second(seconds).map(Self).map_err(|_| UtcTimeError(seconds))
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_time_is_written_with_four_digits_of_year() {
        let text = |seconds| UtcTime::try_from(seconds).map(|time| time.to_string());
        assert_eq!(text(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(text(LAST).unwrap(), "9999-12-30T22:00:00Z");
        for outside in [-1, LAST + 1, i64::MIN, i64::MAX] {
            assert_eq!(text(outside), Err(UtcTimeError(outside)));
        }
    }
}
