//! When the domain of a prefix was last asked for news of its keys.
//!
//! `.refresh.toml` in the tree that is written to:
//!
//! ```toml
//! "example.com/team" = "2026-02-01T10:00:00Z"
//! ```
//!
//! The time is written before the domain is asked, so that a domain that does not answer, or
//! many processes at once, ask no more often than one that does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aci::{Limits, Name};
use jiff::Timestamp;

use super::error::at;
use super::{Interval, TrustError, TrustStore, tree, write_file};

const FILE: &str = ".refresh.toml";

/// Largest file read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

type Times = BTreeMap<Name, Timestamp>;

impl TrustStore {
    /// The prefixes keys are trusted for that cover `name` and whose domains should be asked
    /// now: neither pinned, nor asked within their interval (`default` where no policy says
    /// one). They count as asked from this moment.
    pub fn due(
        &self,
        name: &Name,
        default: Interval,
        now: SystemTime,
        limits: &Limits,
    ) -> Result<Vec<Name>, TrustError> {
        let policies = self.policies()?;
        let mut prefixes = self.prefixes(limits)?;
        prefixes.retain(|prefix| name.is_under(prefix) && !policies.pinned(prefix).value);
        let late = |times: &Times, prefix: &Name| match policies.refresh(prefix, default).value {
            Interval::Never => false,
            Interval::Every(interval) => is_late(times.get(prefix), interval, now),
        };
        let times = self.times();
        prefixes.retain(|prefix| late(&times, prefix));
        if prefixes.is_empty() {
            return Ok(prefixes);
        }
        let _lock = self.lock()?;
        // Another process may have been faster.
        let times = self.times();
        prefixes.retain(|prefix| late(&times, prefix));
        self.write_times(times, &prefixes, now, limits)?;
        Ok(prefixes)
    }

    /// Remembers that the domain of `prefix` was asked.
    pub fn asked(&self, prefix: &Name, now: SystemTime, limits: &Limits) -> Result<(), TrustError> {
        let _lock = self.lock()?;
        self.write_times(self.times(), std::slice::from_ref(prefix), now, limits)
    }

    /// When the domain of `prefix` was last asked.
    pub fn last_asked(&self, prefix: &Name) -> Option<SystemTime> {
        self.times().get(prefix).map(system_time)
    }

    /// A file that cannot be read, or says nothing that is understood, is as good as none: it
    /// is written anew before anybody is asked.
    fn times(&self) -> Times {
        let bytes = tree::read_small(&self.times_file(), MAX_BYTES).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        toml::from_str(&text).unwrap_or_default()
    }

    fn write_times(
        &self,
        mut times: Times,
        asked: &[Name],
        now: SystemTime,
        limits: &Limits,
    ) -> Result<(), TrustError> {
        let path = self.times_file();
        let fault = |error| at(&path)(std::io::Error::other(error));
        let now = Timestamp::try_from(now).map_err(fault)?;
        times.extend(asked.iter().map(|prefix| (prefix.clone(), now)));
        // What is trusted no longer is not remembered for ever.
        let trusted = self.prefixes(limits)?;
        times.retain(|prefix, _| trusted.contains(prefix));
        let text =
            toml::to_string(&times).map_err(|error| at(&path)(std::io::Error::other(error)))?;
        write_file(&path, text.as_bytes()).map_err(at(&path))
    }

    fn times_file(&self) -> PathBuf {
        self.folder().join(FILE)
    }
}

/// A time that is yet to come was written by a clock that was wrong.
fn is_late(asked: Option<&Timestamp>, interval: Duration, now: SystemTime) -> bool {
    let Some(asked) = asked.map(system_time) else { return true };
    now.duration_since(asked).map_or(true, |age| age >= interval)
}

fn system_time(time: &Timestamp) -> SystemTime {
    let since = u64::try_from(time.as_nanosecond()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_nanos(since)
}
