//! Withdrawing an image: what an author says of it afterwards, and signs.
//!
//! ```text
//! {
//!   "statement": "gantry-yank",
//!   "name": "example.com/team/hello",
//!   "imageId": "sha512-8f1c…e0",
//!   "yanked": true,
//!   "reason": "its TLS library has a hole",
//!   "issued": "2026-11-03T12:30:00Z"
//! }
//! ```
//!
//! The file is signed as an image is: an armored, detached OpenPGP signature by a key of the name's
//! prefix, over exactly its bytes. A registry takes it, no longer offers the image as the newest, and
//! hands the statement to whoever fetches the image by its version or ID, which goes on. A later
//! statement takes the place of an earlier one, also with `"yanked": false`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::ImageId;
use crate::name::Name;

/// The most bytes of a statement.
pub const MAX_BYTES: usize = 16 << 10;
/// The most characters of a reason.
const MAX_REASON: usize = 1000;
/// What says that it is one.
const KIND: &str = "gantry-yank";

/// What an author says of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Yank {
    statement: Kind,
    /// The image's name: whose keys may say this.
    pub name: Name,
    /// The image.
    pub image_id: ImageId,
    /// Whether it is withdrawn.
    pub yanked: bool,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it was said (RFC 3339). The latest counts.
    pub issued: Timestamp,
}

/// A statement and the signature over exactly its text: what is sent to a registry, and what it hands
/// out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignedYank {
    /// The statement's text.
    pub statement: String,
    /// The ASCII-armored detached signature over it.
    pub signature: String,
}

/// What came of a statement that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct YankTaken {
    /// The image.
    pub image_id: ImageId,
    /// Whether it is withdrawn now.
    pub yanked: bool,
    /// Whether the statement was not known before.
    pub new: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    #[serde(rename = "gantry-yank")]
    Yank,
}

/// Why bytes are no such statement.
#[derive(Debug, thiserror::Error)]
pub enum YankError {
    /// Too long.
    #[error("it has {0} bytes, and a statement has at most {MAX_BYTES}")]
    TooLong(usize),
    /// Not the JSON of a statement.
    #[error("it is no JSON object with \"statement\": \"{KIND}\" and the rest: {0}")]
    Json(#[from] serde_json::Error),
    /// The reason is too long, or holds what no terminal should be shown.
    #[error("its reason is longer than {MAX_REASON} characters, or holds control characters")]
    Reason,
}

impl Yank {
    /// A statement about an image.
    pub fn new(
        name: Name,
        image_id: ImageId,
        yanked: bool,
        reason: String,
        issued: Timestamp,
    ) -> Result<Self, YankError> {
        let yank = Self { statement: Kind::Yank, name, image_id, yanked, reason, issued };
        yank.check()?;
        Ok(yank)
    }

    /// Reads a statement as it was signed.
    pub fn read(bytes: &[u8]) -> Result<Self, YankError> {
        if bytes.len() > MAX_BYTES {
            return Err(YankError::TooLong(bytes.len()));
        }
        let yank: Self = serde_json::from_slice(bytes)?;
        yank.check()?;
        Ok(yank)
    }

    /// The bytes to sign.
    pub fn to_json(&self) -> Result<String, YankError> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    fn check(&self) -> Result<(), YankError> {
        let long = self.reason.chars().count() > MAX_REASON;
        if long || self.reason.chars().any(char::is_control) {
            return Err(YankError::Reason);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yank(reason: &str) -> Result<Yank, YankError> {
        let id = ImageId::of([7; 64]);
        let name = "example.com/a".parse().unwrap();
        Yank::new(name, id, true, reason.to_owned(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn yank_reads_back_as_it_was_said() {
        for reason in ["", "a \"hole\" in its library"] {
            let said = yank(reason).unwrap();
            assert_eq!(Yank::read(said.to_json().unwrap().as_bytes()).unwrap(), said);
        }
    }

    #[test]
    fn yank_refuses_what_it_does_not_know() {
        let good = yank("x").unwrap().to_json().unwrap();
        for (from, to) in [
            ("gantry-yank", "gantry-other"),
            ("\"yanked\": true", "\"yanked\": 1"),
            ("\"reason\": \"x\"", "\"reason\": \"x\", \"more\": 1"),
            ("\"reason\": \"x\"", "\"reason\": \"\\u001b[2J\""),
            ("\"name\": \"example.com/a\"", "\"name\": \"Example.com/a\""),
            ("\"name\": \"example.com/a\",", ""),
            ("1970-01-01T00:00:00Z", "yesterday"),
            ("}", ""),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(Yank::read(good.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        assert!(matches!(Yank::read(&[b' '; MAX_BYTES + 1]), Err(YankError::TooLong(_))));
        assert!(matches!(yank(&"x".repeat(1001)), Err(YankError::Reason)));
    }
}
