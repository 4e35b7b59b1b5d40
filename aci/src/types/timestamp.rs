//! Timestamps (spec: types.md, "Timestamps Type"; RFC 3339).

use std::fmt;
use std::str::FromStr;

/// A date and time, as the annotation `created` has it: `2014-10-27T19:32:27.67021798Z`.
///
/// - RFC 3339 with the `T` and the `Z` in upper case, or an offset of less than a day
/// - a day that the calendar has; no leap second, which other tools refuse
/// - any number of decimals, of which nine count
///
/// ```
/// let created: aci::Timestamp = "2014-11-14T17:36:54.5-08:00".parse()?;
/// assert_eq!((created.unix(), created.nanoseconds()), (1416015414, 500_000_000));
/// assert_eq!(created.to_string(), "2014-11-14T17:36:54-08:00");
/// # Ok::<(), aci::TimestampError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    local: jiff::civil::DateTime,
    /// Seconds east of UTC.
    offset: i32,
}

/// Why a text is no timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no date such as 2014-10-27T19:32:27Z (types.md; RFC 3339, section 5.6): {fault}"
)]
pub struct TimestampError {
    text: String,
    fault: &'static str,
}

impl Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z, before it negative.
    pub fn unix(&self) -> i64 {
        let since = self.local.duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0));
        // The day and its time are four digits of years: no overflow.
        let seconds = since.as_nanos().div_euclid(1_000_000_000);
        i64::try_from(seconds).unwrap_or(i64::MAX) - i64::from(self.offset)
    }

    /// What comes on top of the seconds.
    pub fn nanoseconds(&self) -> u32 {
        self.local.subsec_nanosecond().unsigned_abs()
    }
}

/// Takes `width` digits off the front of `text`.
fn digits(text: &str, width: usize) -> Option<(i32, &str)> {
    let digits = text.get(..width).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    Some((digits.parse().ok()?, &text[width..]))
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let error = |fault| TimestampError { text: text.to_owned(), fault };
        let form = || error("it has not that form");
        let mut numbers = [0; 6];
        let mut rest = text;
        for (number, (width, before)) in
            numbers.iter_mut().zip([(4, ""), (2, "-"), (2, "-"), (2, "T"), (2, ":"), (2, ":")])
        {
            rest = rest.strip_prefix(before).ok_or_else(form)?;
            (*number, rest) = digits(rest, width).ok_or_else(form)?;
        }
        let mut nanoseconds = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            let nine = format!("{:0<9}", &fraction[..end.min(9)]);
            nanoseconds =
                if end > 0 { nine.parse().map_err(|_| form())? } else { return Err(form()) };
            rest = &fraction[end..];
        }
        let offset = offset(rest).ok_or_else(form)?;
        let [year, month, day, hour, minute, second] = numbers;
        let small = |number: i32| i8::try_from(number).unwrap_or(i8::MAX);
        let year = i16::try_from(year).map_err(|_| form())?;
        let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(small);
        let local = jiff::civil::DateTime::new(year, month, day, hour, minute, second, nanoseconds)
            .map_err(|_| error("there is no such day or time"))?;
        Ok(Self { local, offset })
    }
}

/// `Z`, or hours and minutes from UTC.
fn offset(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

impl fmt::Display for Timestamp {
    /// In whole seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.local.strftime("%Y-%m-%dT%H:%M:%S"))?;
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.abs() / 60;
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_reads_rfc_3339() {
        for (text, unix, nanoseconds, written) in [
            ("1970-01-01T00:00:00Z", 0, 0, "1970-01-01T00:00:00Z"),
            ("2004-05-14T23:11:14+00:00", 1084576274, 0, "2004-05-14T23:11:14Z"),
            ("2014-11-14T17:36:54-08:00", 1416015414, 0, "2014-11-14T17:36:54-08:00"),
            ("2016-02-29T00:00:00.0000000019Z", 1456704000, 1, "2016-02-29T00:00:00Z"),
            ("0001-01-01T00:00:00Z", -62135596800, 0, "0001-01-01T00:00:00Z"),
            (
                "9999-12-31T23:59:59.999999999+23:59",
                253402214459,
                999_999_999,
                "9999-12-31T23:59:59+23:59",
            ),
        ] {
            let timestamp: Timestamp = text.parse().unwrap();
            assert_eq!((timestamp.unix(), timestamp.nanoseconds()), (unix, nanoseconds), "{text}");
            assert_eq!(timestamp.to_string(), written);
        }
    }

    #[test]
    fn timestamp_refuses() {
        for bad in [
            "",
            "garbage",
            "1416015188",
            "2014-11-14",
            "2014-11-14 17:36:54Z",
            "2014-11-14t17:36:54Z",
            "2014-11-14T17:36:54z",
            "2014-11-14T17:36:54",
            "2014-02-30T17:36:54Z",
            "2015-02-29T00:00:00Z",
            "2014-11-14T24:00:00Z",
            "2016-12-31T23:59:60Z",
            "2014-11-14T17:36:54+24:00",
            "2014-11-14T17:36:54+00:60",
            "2014-11-14T17:36:54+0000",
            "2014-1-4T17:36:54Z",
            "2014-11-14T7:36:54Z",
            "2014-11-14T17:36:54,5Z",
            "2014-11-14T17:36:54.Z",
            "2014-11-14T17:36:54Z ",
            "+014-11-14T17:36:54Z",
            "2014-00-14T17:36:54Z",
            "2014-11-14T17:36:54Zé",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad:?}");
        }
    }
}
