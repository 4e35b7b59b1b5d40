//! AC Names (spec: types.md, "AC Name Type").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest AC Name accepted, in bytes: the same as of an identifier. The spec sets none.
const MAX_LENGTH: usize = 512;

/// An AC Name: what apps, volumes, mount points and ports are called.
///
/// - only `a-z`, `0-9` and `-`
/// - begins and ends with a letter or digit, and no two `-` stand together
/// - at most 512 bytes
///
/// ```
/// let name: aci::AcName = "product-database".parse()?;
/// assert!("example.com/database".parse::<aci::AcName>().is_err());
/// assert_eq!(aci::AcName::sanitized("example.com/database")?.as_str(), "example-com-database");
/// # Ok::<(), aci::AcNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcName(String);

/// Why a text is no AC Name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcNameError {
    /// The text is empty, or nothing of it can stay.
    #[error("an AC Name cannot be empty (types.md)")]
    Empty,
    /// The text is longer than 512 bytes.
    #[error("an AC Name has at most {MAX_LENGTH} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside the allowed set.
    #[error("{text:?} has {found:?} at byte {at}; an AC Name has only a-z, 0-9 and - (types.md){}", hint(.text))]
    Character {
        /// The whole text.
        text: String,
        /// The offending character.
        found: char,
        /// Its byte offset.
        at: usize,
    },
    /// A hyphen at an edge, or next to another one.
    #[error("{text:?} has a hyphen at byte {at}, which must stand between two letters or digits (types.md){}", hint(.text))]
    Hyphen {
        /// The whole text.
        text: String,
        /// Its byte offset.
        at: usize,
    },
}

fn hint(text: &str) -> String {
    AcName::sanitized(text).map_or_else(|_| String::new(), |name| format!("; try {name:?}"))
}

impl AcName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest AC Name to any text: in lower case, with one hyphen for each run of other
    /// characters, and none at the edges. An error where nothing is left.
    pub fn sanitized(text: &str) -> Result<Self, AcNameError> {
        let lower = text.to_lowercase();
        let words = lower.split(|c: char| !matches!(c, 'a'..='z' | '0'..='9'));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        words.join("-").parse()
    }
}

impl FromStr for AcName {
    type Err = AcNameError;

    fn from_str(text: &str) -> Result<Self, AcNameError> {
        if text.is_empty() {
            return Err(AcNameError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(AcNameError::TooLong(text.len()));
        }
        let mut edge = true;
        for (at, found) in text.char_indices() {
            match found {
                'a'..='z' | '0'..='9' => edge = false,
                '-' if !edge && at + 1 < text.len() => edge = true,
                '-' => return Err(AcNameError::Hyphen { text: text.to_owned(), at }),
                _ => return Err(AcNameError::Character { text: text.to_owned(), found, at }),
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for AcName {
    type Error = AcNameError;

    fn try_from(text: String) -> Result<Self, AcNameError> {
        text.parse()
    }
}

impl From<AcName> for String {
    fn from(name: AcName) -> Self {
        name.0
    }
}

impl fmt::Display for AcName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AcName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acname_has_words_and_single_hyphens() {
        for good in ["a", "0", "database", "product-database-release", "1-2-3"] {
            assert_eq!(good.parse::<AcName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(513);
        for bad in ["", "-", "-a", "a-", "a--b", "A", "a.b", "a/b", "a_b", "a b", "ä", "a\0", &long]
        {
            assert!(bad.parse::<AcName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn acname_error_suggests_one() {
        let error = "Foo_Bar".parse::<AcName>().unwrap_err().to_string();
        assert!(error.ends_with("try \"foo-bar\""), "{error}");
    }

    #[test]
    fn acname_sanitized_is_one() {
        for (text, name) in [
            ("-/.app..", "app"),
            ("EXAMPLE.com", "example-com"),
            ("a_-_b", "a-b"),
            ("sub.example.com/org/release-1.0.0", "sub-example-com-org-release-1-0-0"),
        ] {
            assert_eq!(AcName::sanitized(text).unwrap().as_str(), name);
        }
        for bad in ["", "__", ".//-", "äöü"] {
            assert_eq!(AcName::sanitized(bad), Err(AcNameError::Empty), "{bad:?}");
        }
    }
}
