//! AC Identifiers and image names (spec: types.md, "AC Identifier Type").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest identifier accepted, in bytes. The spec sets none; a name is also a
/// URL path and a folder name, and both end near this length.
const MAX_LENGTH: usize = 512;

/// An AC Identifier: the grammar of image names, label names and annotation names.
///
/// - only `a-z`, `0-9` and the separators `-` `.` `_` `~` `/`
/// - begins and ends with a letter or digit
/// - separators stand alone between letters or digits, but for `/~`, which the
///   spec's own example `example.com/~user/app_v1` uses
/// - so no path segment is empty, `.`, `..` or `-`
/// - at most 512 bytes
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(
        value_type = String,
        max_length = 512,
        pattern = "^[a-z0-9]+(([-._~/]|/~)[a-z0-9]+)*$"
    )
)]
#[serde(try_from = "String", into = "String")]
pub struct Identifier(String);

/// Why a text is no AC Identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("an AC Identifier cannot be empty")]
    Empty,
    /// The text is longer than 512 bytes.
    #[error("an AC Identifier has at most {MAX_LENGTH} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside the allowed set.
    #[error(
        "{text:?} has {found:?} at byte {at}; an AC Identifier has only a-z, 0-9 and - . _ ~ / (types.md)"
    )]
    Character {
        /// The whole text.
        text: String,
        /// The offending character.
        found: char,
        /// Its byte offset.
        at: usize,
    },
    /// A separator at an edge, or next to another one.
    #[error(
        "{text:?} has the separator {found:?} at byte {at}, which must stand between two letters or digits (types.md)"
    )]
    Separator {
        /// The whole text.
        text: String,
        /// The offending separator.
        found: char,
        /// Its byte offset.
        at: usize,
    },
}

impl FromStr for Identifier {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(NameError::TooLong(text.len()));
        }
        // A separator is fine where a letter or digit follows and precedes it.
        let mut previous = '/';
        let mut edge = true;
        for (at, found) in text.char_indices() {
            let fault = || NameError::Separator { text: text.to_owned(), found, at };
            match found {
                'a'..='z' | '0'..='9' => edge = false,
                '~' if previous == '/' && at > 0 => edge = true,
                '-' | '.' | '_' | '~' | '/' => {
                    if edge {
                        return Err(fault());
                    }
                    edge = true;
                }
                _ => return Err(NameError::Character { text: text.to_owned(), found, at }),
            }
            previous = found;
        }
        if edge {
            return Err(NameError::Separator {
                text: text.to_owned(),
                found: previous,
                at: text.len() - 1,
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Identifier {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Identifier> for String {
    fn from(identifier: Identifier) -> Self {
        identifier.0
    }
}

impl Identifier {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest identifier to any text: in lower case, `_` for each character that no
    /// identifier has, one separator for each run of them, none at the edges. An error where
    /// nothing is left.
    ///
    /// ```
    /// let name = aci::Identifier::sanitized("Example.com/~Bob/My App")?;
    /// assert_eq!(name.as_str(), "example.com/~bob/my_app");
    /// # Ok::<(), aci::NameError>(())
    /// ```
    pub fn sanitized(text: &str) -> Result<Self, NameError> {
        let lower = text.to_lowercase();
        let mut name = String::with_capacity(lower.len());
        let mut run = String::new();
        for c in lower.chars() {
            match c {
                'a'..='z' | '0'..='9' => {
                    if !name.is_empty() {
                        name.push_str(separator(&run));
                    }
                    run.clear();
                    name.push(c);
                }
                '-' | '.' | '_' | '~' | '/' => run.push(c),
                _ => run.push('_'),
            }
        }
        name.parse()
    }
}

/// The one separator that stands for a run of them: the one that counts most.
fn separator(run: &str) -> &str {
    ["/~", "/"]
        .into_iter()
        .find(|most| run.contains(most))
        .unwrap_or_else(|| run.get(..1).unwrap_or_default())
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// An image name, or a prefix of image names: `example.com/team/hello`.
///
/// - an AC Identifier
/// - its first path segment is the host that is asked for it
/// - prefixes match whole segments: `example.com/foo` covers `example.com/foo`
///   and `example.com/foo/bar`, never `example.com/foobar`
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(
        value_type = String,
        max_length = 512,
        pattern = "^[a-z0-9]+(([-._~/]|/~)[a-z0-9]+)*$"
    )
)]
#[serde(transparent)]
pub struct Name(Identifier);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The first segment: the domain whose owner answers for this name.
    pub fn host(&self) -> &str {
        self.as_str().split('/').next().unwrap_or_default()
    }

    /// What follows the host, without the slash between: `team/hello`, or nothing.
    pub fn path(&self) -> &str {
        self.as_str().split_once('/').map_or("", |(_, path)| path)
    }

    /// The last segment: `hello`.
    pub fn last_segment(&self) -> &str {
        self.as_str().rsplit('/').next().unwrap_or_default()
    }

    /// Whether `prefix` is this name or a parent of it, by whole segments.
    pub fn is_under(&self, prefix: &Name) -> bool {
        self.as_str()
            .strip_prefix(prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// This name, its parent, and so on up to the bare host.
    pub fn ancestors(&self) -> impl Iterator<Item = Name> + use<> {
        let mut next = Some(self.clone());
        std::iter::from_fn(move || {
            let name = next.take()?;
            next = name.parent();
            Some(name)
        })
    }

    fn parent(&self) -> Option<Name> {
        let (parent, _) = self.as_str().rsplit_once('/')?;
        // A segment may begin with `~`, never end with a separator, so what
        // stands before a slash is itself an identifier.
        Some(Name(Identifier(parent.to_owned())))
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifier_accepts_what_the_spec_shows() {
        for good in [
            "database",
            "example.com/database",
            "example.com/ourapp",
            "example.com/~user/app_v1",
            "sub-domain.example.com/org/product/release",
            "a",
            "0",
        ] {
            assert_eq!(good.parse::<Identifier>().map(String::from), Ok(good.to_owned()));
        }
    }

    #[test]
    fn identifier_refuses_edges_runs_and_strangers() {
        for bad in [
            "",
            "Foo",
            "a b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a--b",
            "a//b",
            "a/../b",
            "a/./b",
            "a/-/b",
            "example.com:8080/app",
            "a/~",
            "~a",
            "a/~~b",
            "ä",
            "a\0b",
            "a~/b",
        ] {
            assert!(bad.parse::<Identifier>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(513).parse::<Identifier>().is_err());
    }

    #[test]
    fn identifier_sanitized_is_one() {
        for (text, name) in [
            ("-/.app..", "app"),
            ("EXAMPLE.com", "example.com"),
            ("foo#", "foo"),
            ("a_-_b", "a_b"),
            ("a/../b", "a/b"),
            ("a/ ~b", "a/b"),
            (
                "sub.example.com/org/~alice/release-1.0.0",
                "sub.example.com/org/~alice/release-1.0.0",
            ),
        ] {
            assert_eq!(Identifier::sanitized(text).unwrap().as_str(), name);
        }
        for bad in ["", "__", ".//-"] {
            assert_eq!(Identifier::sanitized(bad), Err(NameError::Empty), "{bad:?}");
        }
    }

    #[test]
    fn prefix_matches_whole_segments() -> Result<(), NameError> {
        let prefix: Name = "example.com/foo".parse()?;
        assert!("example.com/foo".parse::<Name>()?.is_under(&prefix));
        assert!("example.com/foo/bar".parse::<Name>()?.is_under(&prefix));
        assert!(!"example.com/foobar".parse::<Name>()?.is_under(&prefix));
        assert!(!"example.com".parse::<Name>()?.is_under(&prefix));
        Ok(())
    }

    #[test]
    fn ancestors_run_from_the_name_to_the_host() -> Result<(), NameError> {
        let name: Name = "example.com/a/b".parse()?;
        let all: Vec<String> = name.ancestors().map(|n| n.to_string()).collect();
        assert_eq!(all, ["example.com/a/b", "example.com/a", "example.com"]);
        assert_eq!((name.host(), name.path(), name.last_segment()), ("example.com", "a/b", "b"));
        Ok(())
    }
}
