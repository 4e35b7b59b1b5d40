//! The domains a server answers for.

use std::fmt;
use std::str::FromStr;

use aci::Name;
use serde::{Deserialize, Serialize};

/// A domain a server answers for: the first segment of every image name it serves.
///
/// - an AC Identifier of one segment, so lower case and without a port
/// - only letters, digits, `-` and `.`: what can stand in a URL and a certificate
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(Name);

/// Why a text is no domain a registry can serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// A scheme, a port, a path, upper case or any other character.
    #[error(
        "{0:?} is no domain: give the bare host name, as in example.com, in lower case, without scheme, port or path"
    )]
    Form(String),
    /// A part between two dots that DNS does not allow.
    #[error("{0:?} has a part of more than 63 characters between its dots")]
    PartTooLong(String),
}

impl Domain {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The domain as the image name it is the root of.
    pub fn name(&self) -> &Name {
        &self.0
    }

    /// Whether `name` is this domain's to serve.
    pub fn owns(&self, name: &Name) -> bool {
        name.host() == self.as_str()
    }

    /// The name below this domain that a URL path without its first slash stands for.
    pub fn below(&self, path: &str) -> Option<Name> {
        if path.is_empty() { Some(self.0.clone()) } else { format!("{self}/{path}").parse().ok() }
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let form = || DomainError::Form(text.to_owned());
        if text.len() > 253 || text.contains(['/', '_', '~']) {
            return Err(form());
        }
        if text.split('.').any(|part| part.len() > 63) {
            return Err(DomainError::PartTooLong(text.to_owned()));
        }
        text.parse().map(Self).map_err(|_| form())
    }
}

impl TryFrom<String> for Domain {
    type Error = DomainError;

    fn try_from(text: String) -> Result<Self, DomainError> {
        text.parse()
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.to_string()
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_is_a_bare_lower_case_host() {
        for good in ["example.com", "localhost", "a-b.example.co.uk", "10.example"] {
            assert!(good.parse::<Domain>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "Example.com",
            "example.com:8443",
            "https://example.com",
            "example.com/team",
            "example.com.",
            "a_b.example",
            "~a",
            "*.example.com",
            &format!("{}.com", "a".repeat(64)),
        ] {
            assert!(bad.parse::<Domain>().is_err(), "{bad}");
        }
    }

    #[test]
    fn domain_owns_names_by_whole_host() {
        let domain: Domain = "example.com".parse().unwrap();
        assert!(domain.owns(&"example.com/a".parse().unwrap()));
        assert!(domain.owns(&"example.com".parse().unwrap()));
        assert!(!domain.owns(&"example.com.evil.net/a".parse().unwrap()));
        assert_eq!(domain.below("a/b").unwrap().as_str(), "example.com/a/b");
        assert_eq!(domain.below(""), Some("example.com".parse().unwrap()));
        assert_eq!(domain.below("A"), None);
        assert_eq!(domain.below("a/"), None);
    }
}
