//! What is demanded of a prefix: `policy.toml` in a tree of trusted keys.
//!
//! ```toml
//! [prefix."example.com/team"]
//! threshold = 2        # good signatures by two different keys, where one would do
//! pinned = true        # nothing that the domain publishes changes these keys
//! refresh = "12h"      # how often the domain is asked for news of these keys, or "never"
//! ```
//!
//! For a name, each of the three is decided by the longest prefix that covers it and says
//! something about it. Where several trees say something for one prefix, the latest one
//! decides, again one by one. What nobody says is as if the file were not there. A file that
//! is not understood, or has a key that is not known here, is an error and never passed over.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use aci::Name;
use serde::{Deserialize, Serialize};

use super::error::at;
use super::{TrustError, TrustStore, tree, write_file};

const FILE: &str = "policy.toml";

/// Largest policy file read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What the file says when it is written by the command.
const HEADER: &str = "# Written by `gantry trust policy`; comments are not kept.\n\n";

/// How many different keys must have signed.
///
/// - 1 at least, and at most the number of signatures a file may hold
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Threshold(NonZeroU8);

/// Why a number is no threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a threshold is a number from 1 to {MAX_THRESHOLD}, the most signatures a file may hold")]
pub struct ThresholdError;

const MAX_THRESHOLD: u8 = crate::detached::MAX_SIGNATURES as u8;

impl Threshold {
    /// One good signature, where nothing else is said.
    pub const ONE: Self = Self(NonZeroU8::MIN);

    /// The number.
    pub fn keys(self) -> usize {
        self.0.get().into()
    }
}

impl TryFrom<u8> for Threshold {
    type Error = ThresholdError;

    fn try_from(number: u8) -> Result<Self, ThresholdError> {
        let number = NonZeroU8::new(number).filter(|number| number.get() <= MAX_THRESHOLD);
        number.map(Self).ok_or(ThresholdError)
    }
}

impl From<Threshold> for u8 {
    fn from(threshold: Threshold) -> Self {
        threshold.0.get()
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        text.parse::<u8>().map_err(|_| ThresholdError)?.try_into()
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long one answer of a domain about its keys is good enough.
///
/// - `never`, or a whole number, not 0, of seconds, minutes, hours or days: `90s`, `30m`, `24h`, `7d`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Interval {
    /// The domain is not asked unless somebody says so.
    Never,
    /// It is asked where its last answer is this old.
    Every(Duration),
}

/// Why a text is no interval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no interval: \"never\", or a number with s, m, h or d after it, as in \"24h\"")]
pub struct IntervalError(String);

const UNITS: [(char, u64); 4] = [('d', 86400), ('h', 3600), ('m', 60), ('s', 1)];

impl Default for Interval {
    /// A day.
    fn default() -> Self {
        Self::Every(Duration::from_secs(86400))
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        if text == "never" {
            return Ok(Self::Never);
        }
        let seconds = UNITS.into_iter().find_map(|(unit, seconds)| {
            let digits = text.strip_suffix(unit)?;
            let number: u32 =
                digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
            (number > 0).then(|| u64::from(number) * seconds)
        });
        let seconds = seconds.ok_or_else(|| IntervalError(text.chars().take(80).collect()))?;
        Ok(Self::Every(Duration::from_secs(seconds)))
    }
}

impl TryFrom<String> for Interval {
    type Error = IntervalError;

    fn try_from(text: String) -> Result<Self, IntervalError> {
        text.parse()
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        interval.to_string()
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Every(duration) = self else { return f.write_str("never") };
        let all = duration.as_secs();
        let fitting = UNITS.into_iter().find(|(unit, seconds)| {
            // A day is said as 24 hours, as people do.
            all % seconds == 0 && (*unit != 'd' || all > *seconds)
        });
        let (unit, seconds) = fitting.unwrap_or(('s', 1));
        write!(f, "{}{unit}", all / seconds)
    }
}

/// What a file says of one prefix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixPolicy {
    /// How many different keys must have signed an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// Whether the keys stay as they are, whatever their domain publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// How often a fetch asks the domain for news of its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Interval>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    prefix: BTreeMap<Name, PrefixPolicy>,
}

/// Everything the trees demand.
#[derive(Debug, Clone, Default)]
pub struct TrustPolicies {
    /// The widest tree first.
    entries: Vec<(PathBuf, Name, PrefixPolicy)>,
}

/// A setting, and who has decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided<T> {
    /// The setting.
    pub value: T,
    /// The prefix and the file that say so; `None` where nobody says anything.
    pub by: Option<(Name, PathBuf)>,
}

impl TrustPolicies {
    /// What each file says of each prefix, the widest tree first.
    pub fn entries(&self) -> impl Iterator<Item = (&Path, &Name, &PrefixPolicy)> {
        self.entries.iter().map(|(path, prefix, policy)| (path.as_path(), prefix, policy))
    }

    /// How many different keys must have signed an image of this name.
    pub fn threshold(&self, name: &Name) -> Decided<Threshold> {
        self.decide(name, |policy| policy.threshold, Threshold::ONE)
    }

    /// Whether the keys trusted for this prefix take nothing that is published.
    pub fn pinned(&self, prefix: &Name) -> Decided<bool> {
        self.decide(prefix, |policy| policy.pinned, false)
    }

    /// How often the domain of this prefix is asked, where `default` is what counts without a
    /// policy.
    pub fn refresh(&self, prefix: &Name, default: Interval) -> Decided<Interval> {
        self.decide(prefix, |policy| policy.refresh, default)
    }

    fn decide<T>(
        &self,
        name: &Name,
        setting: impl Fn(&PrefixPolicy) -> Option<T>,
        default: T,
    ) -> Decided<T> {
        let said = self.entries.iter().filter(|(_, prefix, _)| name.is_under(prefix));
        let said = said.filter_map(|(path, prefix, policy)| Some((path, prefix, setting(policy)?)));
        // Of equal ones the last counts, which is of the latest tree.
        match said.max_by_key(|(_, prefix, _)| prefix.as_str().len()) {
            Some((path, prefix, value)) => {
                Decided { value, by: Some((prefix.clone(), path.clone())) }
            }
            None => Decided { value: default, by: None },
        }
    }
}

impl TrustStore {
    /// What the trees demand of their prefixes.
    pub fn policies(&self) -> Result<TrustPolicies, TrustError> {
        let mut all = TrustPolicies::default();
        for tree in self.trees() {
            let path = tree.join(FILE);
            let entries = read(&path)?.prefix.into_iter();
            all.entries.extend(entries.map(|(prefix, policy)| (path.clone(), prefix, policy)));
        }
        Ok(all)
    }

    /// Demands something of a prefix; what `change` leaves open stays as it is. Gives what
    /// the tree that is written to says of the prefix now, and its file.
    pub fn set_policy(
        &self,
        prefix: &Name,
        change: &PrefixPolicy,
    ) -> Result<(PrefixPolicy, PathBuf), TrustError> {
        let _lock = self.lock()?;
        let path = self.folder().join(FILE);
        let mut file = read(&path)?;
        let policy = file.prefix.entry(prefix.clone()).or_default();
        policy.threshold = change.threshold.or(policy.threshold);
        policy.pinned = change.pinned.or(policy.pinned);
        policy.refresh = change.refresh.or(policy.refresh);
        let policy = *policy;
        write(&path, &file)?;
        Ok((policy, path))
    }

    /// Takes back what the tree that is written to demands of a prefix. `false` where it
    /// says nothing of it.
    pub fn unset_policy(&self, prefix: &Name) -> Result<bool, TrustError> {
        let path = self.folder().join(FILE);
        if !path.exists() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let mut file = read(&path)?;
        if file.prefix.remove(prefix).is_none() {
            return Ok(false);
        }
        write(&path, &file)?;
        Ok(true)
    }
}

fn read(path: &Path) -> Result<File, TrustError> {
    let bytes = match tree::read_small(path, MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
        bytes => bytes.map_err(at(path))?,
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(at(path)(io::Error::other(format!("it is larger than {MAX_BYTES} bytes"))));
    }
    let text = String::from_utf8(bytes).map_err(|error| at(path)(io::Error::other(error)))?;
    let fault = |fault| TrustError::Policy { path: path.to_owned(), fault: Box::new(fault) };
    toml::from_str(&text).map_err(fault)
}

fn write(path: &Path, file: &File) -> Result<(), TrustError> {
    let text = toml::to_string(file).map_err(|error| at(path)(io::Error::other(error)))?;
    write_file(path, format!("{HEADER}{text}").as_bytes()).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_reads_what_it_prints() {
        for text in ["never", "90s", "30m", "24h", "7d", "36h", "1h", "2d", "1s"] {
            assert_eq!(text.parse::<Interval>().unwrap().to_string(), text);
        }
        assert_eq!(Interval::default().to_string(), "24h");
        assert_eq!("1d".parse::<Interval>().unwrap(), Interval::default());
        for text in
            ["", "0h", "h", "24", "+1h", "-1h", "1.5h", "1 h", "1w", "99999999999h", "Never"]
        {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }

    #[test]
    fn threshold_is_at_least_one_and_can_be_met() {
        assert_eq!("16".parse::<Threshold>().unwrap().keys(), 16);
        for text in ["0", "17", "256", "-1", "two", ""] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }

    #[test]
    fn policies_are_decided_one_by_one() {
        let entry = |tree: &str, prefix: &str, text: &str| {
            (PathBuf::from(tree), prefix.parse().unwrap(), toml::from_str(text).unwrap())
        };
        let policies = TrustPolicies {
            entries: vec![
                entry("vendor", "example.com", "threshold = 3\npinned = true"),
                entry("vendor", "example.com/a", "pinned = false"),
                entry("own", "example.com", "threshold = 2"),
            ],
        };
        let name = |text: &str| text.parse::<Name>().unwrap();
        let threshold = policies.threshold(&name("example.com/a/b"));
        assert_eq!(threshold.value.keys(), 2);
        assert_eq!(threshold.by, Some((name("example.com"), "own".into())));
        assert!(!policies.pinned(&name("example.com/a/b")).value);
        assert!(policies.pinned(&name("example.com/ab")).value);
        assert_eq!(policies.threshold(&name("example.org")).value, Threshold::ONE);
        assert_eq!(policies.threshold(&name("example.org")).by, None);
    }
}
