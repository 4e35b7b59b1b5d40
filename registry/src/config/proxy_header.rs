//! The header in which proxies say for whom they ask.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The header in which proxies say for whom they ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`, which nearly all proxies know.
    XForwardedFor,
    /// `Forwarded`, of RFC 7239.
    Forwarded,
}

/// A header in which no proxy says for whom it asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not known: proxies send X-Forwarded-For or Forwarded")]
pub struct ProxyHeaderError(String);

impl ProxyHeader {
    const ALL: [Self; 2] = [Self::XForwardedFor, Self::Forwarded];

    fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::Forwarded => "Forwarded",
        }
    }
}

impl FromStr for ProxyHeader {
    type Err = ProxyHeaderError;

    fn from_str(text: &str) -> Result<Self, ProxyHeaderError> {
        let known = Self::ALL.into_iter().find(|header| header.name().eq_ignore_ascii_case(text));
        known.ok_or_else(|| ProxyHeaderError(text.to_owned()))
    }
}

impl TryFrom<String> for ProxyHeader {
    type Error = ProxyHeaderError;

    fn try_from(text: String) -> Result<Self, ProxyHeaderError> {
        text.parse()
    }
}

impl fmt::Display for ProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<ProxyHeader> for String {
    fn from(header: ProxyHeader) -> Self {
        header.to_string()
    }
}
