//! When a key expires, as a person writes it: `90d`, `2027-06-30`, `never`.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::lifetime::Lifetime;

/// When something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// After some time, or never.
    After(Lifetime),
    /// At a certain time.
    At(SystemTime),
}

impl When {
    /// The time, or `None` for never.
    pub(super) fn time(self, now: SystemTime) -> Option<SystemTime> {
        match self {
            Self::At(time) => Some(time),
            // What is beyond all clocks is refused as any other time OpenPGP cannot write.
            Self::After(lifetime) => {
                lifetime.duration().map(|time| now.checked_add(time).unwrap_or(far()))
            }
        }
    }
}

/// OpenPGP counts to 2106.
fn far() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)
}

fn system(time: Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(time.as_second()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(lifetime) = text.parse() {
            return Ok(Self::After(lifetime));
        }
        // A date alone means its first moment in Greenwich, whatever the local time is.
        let is_day = text.len() == "2027-06-30".len() && !text.contains('T');
        let text_of_time = if is_day { format!("{text}T00:00:00Z") } else { text.to_owned() };
        match text_of_time.parse().ok().and_then(system) {
            Some(time) => Ok(Self::At(time)),
            None => Err(format!(
                "{text:?} is no time: write a length as 90d or 2y, a date as 2027-06-30, or `never`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_reads_lengths_dates_and_never() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let read = |text: &str| text.parse::<When>().map(|when| when.time(now));
        assert_eq!(read("never"), Ok(None));
        assert_eq!(read("1d"), Ok(Some(now + Duration::from_secs(86400))));
        for text in ["1970-01-31", "1970-01-31T00:00:00Z"] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(30 * 86400);
            assert_eq!(read(text), Ok(Some(time)), "{text}");
        }
        for bad in
            ["", "soon", "1970-02-30", "19700131", "1970-01", "31.1.1970", "1970-01-31T00:00"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
