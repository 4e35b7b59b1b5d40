//! What a file has besides its content, as a recipe says it: owner, mode, attributes, capabilities.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};

use super::text::{Text, TextFault, is_text, through_text};
use crate::capability;
use crate::overrides::{Rule, RuleError, ids, read_mode};
use crate::owner::Owner;

through_text!(Mode, Ids, SourceOwner, Capabilities);
is_text!(Capabilities);

/// Mode bits, written as one to four octal digits: `"0755"`, `"4755"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// The bits, at most 0o7777.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for Mode {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        Ok(Self(read_mode(text)?))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A user and a group as two numbers, written `UID:GID`. Unsaid, it is `0:0`.
///
/// - neither is 4294967295, which is nobody's
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ids {
    uid: u32,
    gid: u32,
}

impl Ids {
    /// The user.
    pub fn uid(self) -> u32 {
        self.uid
    }

    /// The group.
    pub fn gid(self) -> u32 {
        self.gid
    }
}

impl FromStr for Ids {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        let (uid, gid) = ids(text).ok_or_else(|| RuleError::Owner(text.to_owned()))?;
        Ok(Self { uid, gid })
    }
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// Whose files are that come from disk: `UID:GID`, or `keep`. Unsaid, it is `0:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceOwner {
    /// This user's and group's.
    Ids(Ids),
    /// As they are on disk.
    Keep,
}

impl Default for SourceOwner {
    fn default() -> Self {
        Self::Ids(Ids::default())
    }
}

impl FromStr for SourceOwner {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        if text == "keep" { Ok(Self::Keep) } else { text.parse().map(Self::Ids) }
    }
}

impl fmt::Display for SourceOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ids(ids) => ids.fmt(f),
            Self::Keep => f.write_str("keep"),
        }
    }
}

impl From<SourceOwner> for Owner {
    fn from(owner: SourceOwner) -> Self {
        match owner {
            SourceOwner::Ids(Ids { uid, gid }) => Self::Fixed { uid, gid },
            SourceOwner::Keep => Self::Keep,
        }
    }
}

/// File capabilities as getcap prints them: `cap_net_bind_service+ep`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities(String);

impl FromStr for Capabilities {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        capability::parse(text).map_err(RuleError::from)?;
        Ok(Self(text.to_owned()))
    }
}

/// Extended attributes: names and values. A value that begins with `0x` is hexadecimal, one with
/// `0s` base64; any other is a text.
///
/// - all names are such that an image can have, and all values such that the kernel takes
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, as they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl TryFrom<BTreeMap<String, String>> for Attributes {
    type Error = TextFault;

    fn try_from(all: BTreeMap<String, String>) -> Result<Self, TextFault> {
        for (name, value) in &all {
            Rule::with_attribute("/", name, value)?;
        }
        Ok(Self(all))
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(BTreeMap::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
