//! The compressions an image archive may have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How an image archive is compressed. Told by the file's first bytes, never by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip, of one or several members.
    Gzip,
    /// bzip2, of one or several streams.
    Bzip2,
    /// xz, of one or several streams.
    Xz,
    /// zstd, of one or several frames. Outside the spec: rkt and actool cannot read it.
    Zstd,
}

impl Compression {
    /// The word used on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::None, Self::Gzip, Self::Bzip2, Self::Xz, Self::Zstd]
            .into_iter()
            .find(|c| c.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not one of gzip, none, bzip2, xz, zstd"))
    }
}
