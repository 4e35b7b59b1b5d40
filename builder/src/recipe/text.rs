//! The texts of a recipe: each a type that only its own reader builds.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use aci::{ContentDigest, DigestError, FileDigest};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};

use crate::ignore::{Ignore, Pattern, PatternError};
use crate::overrides::RuleError;

/// A text that is not what was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// Nothing where something has to be.
    #[error("{0} was wanted, not nothing")]
    Empty(&'static str),
    /// A byte that no argument and no path can have.
    #[error("{0:?} has a NUL byte")]
    Nul(String),
    /// A path inside the image that does not begin at its root.
    #[error("{0:?} is no absolute path: a path inside the image begins with /")]
    Relative(String),
    /// A path inside the image that can be written in a shorter way.
    #[error("{0:?} is not clean: no //, no segment . or .., and no / at the end")]
    Unclean(String),
    /// A path beside the recipe that begins at the root.
    #[error("{0:?} is absolute: a path on disk is given from the recipe's folder on")]
    Absolute(String),
    /// Not the name of a variable.
    #[error(
        "{0:?} is no name of a variable: letters, digits, _ . and -, first a letter or _ (aci.md)"
    )]
    Variable(String),
    /// Not the name of a secret.
    #[error("{0:?} is no name of a secret: letters, digits, _ . and -, first a letter or _")]
    Secret(String),
    /// Not a version.
    #[error("{0:?} is no version that a reference can ask for: no blanks, no comma and no colon")]
    Version(String),
    /// A pattern that takes back.
    #[error("{0:?} begins with !, which takes back: write \\! for a file called so")]
    TakesBack(String),
    /// No pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// No digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Not an owner, a mode, attributes or capabilities.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

/// A value that is written as a text, and read by its own reader.
pub(crate) struct Text<T>(pub(crate) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// The same for a field.
pub(crate) fn text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    Text::deserialize(deserializer).map(|Text(value)| value)
}

/// Gives a type that has `FromStr` and `Display` the same door in serde.
macro_rules! through_text {
    ($($type:ident),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Text::deserialize(deserializer).map(|Text(value)| value)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

through_text!(
    ImagePath,
    SourcePath,
    Argument,
    Version,
    Account,
    VariableName,
    SecretName,
    KeyName,
    PathPattern,
    IgnorePattern,
    Digest
);
pub(super) use through_text;

/// Gives a type around a checked text that text back.
macro_rules! is_text {
    ($($type:ident),*) => {$(
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

is_text!(
    ImagePath,
    SourcePath,
    Argument,
    Version,
    Account,
    VariableName,
    SecretName,
    KeyName,
    IgnorePattern
);
pub(super) use is_text;

fn no_nul(text: &str) -> Result<(), TextFault> {
    if text.contains('\0') { Err(TextFault::Nul(text.to_owned())) } else { Ok(()) }
}

fn not_empty(text: &str, wanted: &'static str) -> Result<(), TextFault> {
    if text.is_empty() { Err(TextFault::Empty(wanted)) } else { no_nul(text) }
}

/// A path inside the image.
///
/// - begins with `/`
/// - has no empty segment, no `.` and no `..`, and no `/` at its end but as the root
/// - has no NUL byte
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImagePath(String);

impl ImagePath {
    /// The root.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// The path of a source that is put into this folder. A file name is one clean segment.
    pub(super) fn join(&self, source: &SourcePath) -> Self {
        let name = source.file_name().unwrap_or_default();
        Self(format!("{}/{name}", self.0.trim_end_matches('/')))
    }

    /// Where a secret is mounted unless something else is said. Its name is one clean segment:
    /// it begins with a letter or `_`, so it is neither `.` nor `..`.
    pub(super) fn of_secret(name: &SecretName) -> Self {
        Self(format!("/run/secrets/{name}"))
    }

    /// Without the slash it begins with; empty for the root.
    pub fn below_root(&self) -> &str {
        &self.0[1..]
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }
}

impl FromStr for ImagePath {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        not_empty(text, "a path inside the image")?;
        let below = text.strip_prefix('/').ok_or_else(|| TextFault::Relative(text.to_owned()))?;
        if !below.is_empty() && below.split('/').any(|one| matches!(one, "" | "." | "..")) {
            return Err(TextFault::Unclean(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A path on disk, from the folder on that the recipe is in. It may climb with `..`.
///
/// - does not begin with `/`
/// - is not empty and has no NUL byte
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourcePath(String);

impl SourcePath {
    /// The path, still from the recipe's folder on.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The name under which it is copied into a folder; `None` for `.` and what ends in `..`.
    pub fn file_name(&self) -> Option<&str> {
        self.as_path().file_name().and_then(|name| name.to_str())
    }
}

impl FromStr for SourcePath {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        not_empty(text, "a path from the recipe's folder on")?;
        if text.starts_with('/') {
            return Err(TextFault::Absolute(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A text that a program can be given: it has no NUL byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Argument(String);

impl FromStr for Argument {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        no_nul(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// A version, the value of the label of that name.
///
/// - is not empty, and has no blank, no control character, no comma and no colon, so that a
///   reference can ask for it
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(String);

impl FromStr for Version {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        not_empty(text, "a version")?;
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || ",:".contains(c)) {
            return Err(TextFault::Version(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A user or a group of the image: a name, a number or a path. It is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account(String);

impl FromStr for Account {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        not_empty(text, "a name, a number or a path")?;
        Ok(Self(text.to_owned()))
    }
}

/// A key to sign with, as `gantry sign --key` takes it. It is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(String);

impl FromStr for KeyName {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        not_empty(text, "the file, fingerprint, user ID or mail address of a key")?;
        Ok(Self(text.to_owned()))
    }
}

/// Letters, digits, `_`, `.` and `-`, first a letter or `_`.
fn is_word(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(first) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// The name of an environment variable (spec: aci.md, "environment").
///
/// - letters, digits, `_`, `.` and `-`, first a letter or `_`
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariableName(String);

impl FromStr for VariableName {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        if !is_word(text) {
            return Err(TextFault::Variable(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What a secret is called; whoever builds says where it is.
///
/// - letters, digits, `_`, `.` and `-`, first a letter or `_`
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(String);

impl FromStr for SecretName {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        if !is_word(text) {
            return Err(TextFault::Secret(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Which files of the image are meant: a pattern of gitignore's form, `*.log` anywhere,
/// `/etc/motd` from the root on, `cache/` only folders.
///
/// - does not begin with `!`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    pattern: Pattern,
}

impl PathPattern {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a path below the root is meant. What is in a folder that is meant, is not.
    pub fn matches(&self, below: &[u8], directory: bool) -> bool {
        self.pattern.matches(below, directory)
    }
}

impl FromStr for PathPattern {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        not_empty(text, "a pattern")?;
        if text.starts_with('!') {
            return Err(TextFault::TakesBack(text.to_owned()));
        }
        Ok(Self { text: text.to_owned(), pattern: Pattern::new(text)? })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A line of an ignore file; `!` takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnorePattern(String);

impl FromStr for IgnorePattern {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        no_nul(text)?;
        Ignore::default().add(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// The digest of a file that is no image: `sha512-` and 128 hex digits, or `sha256-` and 64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Digest {
    /// SHA-512.
    Sha512(FileDigest),
    /// SHA-256.
    Sha256(ContentDigest),
}

impl FromStr for Digest {
    type Err = TextFault;

    fn from_str(text: &str) -> Result<Self, TextFault> {
        match text.starts_with("sha256-") {
            true => Ok(Self::Sha256(text.parse()?)),
            false => Ok(Self::Sha512(text.parse()?)),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha512(digest) => digest.fmt(f),
            Self::Sha256(digest) => digest.fmt(f),
        }
    }
}
