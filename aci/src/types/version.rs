//! Versions of the spec, and kinds of manifests (spec: types.md, "AC Version Type", "AC Kind Type").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of the spec that a manifest follows: a semantic version, never `0.0.0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcVersion(semver::Version);

/// Why a text is no AC Version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no AC Version such as 0.8.11 (types.md; Semantic Versioning 2.0.0): {fault}")]
pub struct AcVersionError {
    text: String,
    fault: String,
}

impl AcVersion {
    /// 0.8.11: the version of the spec this crate implements and writes.
    pub const CURRENT: AcVersion = AcVersion(semver::Version::new(0, 8, 11));

    /// The parts of the version.
    pub fn semver(&self) -> &semver::Version {
        &self.0
    }

    /// Whether it names a later release than the one implemented here, whose meaning nobody
    /// can know.
    pub fn is_later(&self) -> bool {
        (self.0.major, self.0.minor, self.0.patch) > (0, 8, 11)
    }
}

impl FromStr for AcVersion {
    type Err = AcVersionError;

    fn from_str(text: &str) -> Result<Self, AcVersionError> {
        let error = |fault| AcVersionError { text: text.to_owned(), fault };
        let version = semver::Version::parse(text).map_err(|fault| error(fault.to_string()))?;
        // The zero value of other tools' version type: a field that was never set.
        if version == semver::Version::new(0, 0, 0) {
            return Err(error("no release of the spec is 0.0.0".to_owned()));
        }
        Ok(Self(version))
    }
}

impl TryFrom<String> for AcVersion {
    type Error = AcVersionError;

    fn try_from(text: String) -> Result<Self, AcVersionError> {
        text.parse()
    }
}

impl From<AcVersion> for String {
    fn from(version: AcVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for AcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a manifest describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AcKind {
    /// One image.
    ImageManifest,
    /// Several images that run together.
    PodManifest,
}

/// A text is no AC Kind the spec defines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of manifest: ImageManifest or PodManifest (types.md)")]
pub struct AcKindError(String);

impl FromStr for AcKind {
    type Err = AcKindError;

    fn from_str(text: &str) -> Result<Self, AcKindError> {
        match text {
            "ImageManifest" => Ok(Self::ImageManifest),
            "PodManifest" => Ok(Self::PodManifest),
            _ => Err(AcKindError(text.to_owned())),
        }
    }
}

impl fmt::Display for AcKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImageManifest => "ImageManifest",
            Self::PodManifest => "PodManifest",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_strictly_semantic() {
        for good in ["0.8.11", "0.8.11+git", "1.0.0", "3.2.1-foo", "0.0.0-alpha", "0.0.0+x"] {
            assert_eq!(good.parse::<AcVersion>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "v1.2.3",
            "01.2.3",
            "1.2.3-",
            "1.2.3+",
            "0.0.0",
            " 1.2.3",
            "1.2.3 ",
            "1.2.x",
            "-1.2.3",
            "99999999999999999999.0.0",
        ] {
            assert!(bad.parse::<AcVersion>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn version_knows_what_is_later() {
        for (text, later) in [
            ("0.8.11", false),
            ("0.8.11+git", false),
            ("0.1.1", false),
            ("0.8.12", true),
            ("1.30.0", true),
        ] {
            assert_eq!(text.parse::<AcVersion>().unwrap().is_later(), later, "{text}");
        }
    }

    #[test]
    fn kind_is_one_of_two() {
        for good in ["ImageManifest", "PodManifest"] {
            assert_eq!(good.parse::<AcKind>().unwrap().to_string(), good);
        }
        for bad in ["", "imagemanifest", "AppManifest"] {
            assert!(bad.parse::<AcKind>().is_err(), "{bad:?}");
        }
    }
}
