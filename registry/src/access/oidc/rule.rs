//! Which jobs may do what.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::access::Grant;

/// A rule's name: 1 to 64 of a-z, 0-9 and `- . _`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
#[serde(try_from = "String", into = "String")]
pub struct RuleId(String);

/// An issuer: an `https` URL without user, query or fragment. As it is written, it stands in the
/// issuer's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, pattern = "^https://")]
#[serde(try_from = "String", into = "String")]
pub struct IssuerUrl(String);

/// What a claim must be: this text, or a text that begins so, where `*` stands at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, min_length = 1)]
#[serde(try_from = "String", into = "String")]
pub struct ClaimPattern(String);

/// Jobs, and what they may do.
///
/// There is at least one claim: an issuer that serves the world gives tokens to everybody in it.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) id: RuleId,
    pub(crate) issuer: IssuerUrl,
    pub(crate) audience: String,
    pub(crate) claims: BTreeMap<String, ClaimPattern>,
    pub(crate) grant: Grant,
}

/// Why something is no rule, or no part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Not the form of a name.
    #[error(
        "{0:?} is no rule's name: one has 1 to 64 of a-z, 0-9 and - . _, and begins with a letter or digit"
    )]
    Id(String),
    /// Not an address an issuer can have.
    #[error("{0:?} is no issuer: one is an https URL without user, query or fragment")]
    Issuer(String),
    /// Not what a claim can be compared with.
    #[error("{0:?} is nothing to compare a claim with: write a text, or its beginning and one *")]
    Pattern(String),
    /// Anybody's token would do.
    #[error("a rule needs a claim: without one, every job of the issuer's would be its")]
    Claims,
    /// No audience.
    #[error("a rule needs an audience: without one, a token made for another service would do")]
    Audience,
}

impl Rule {
    /// Jobs of this issuer with this audience and these claims.
    pub fn new(
        id: RuleId,
        issuer: IssuerUrl,
        audience: String,
        claims: BTreeMap<String, ClaimPattern>,
        grant: Grant,
    ) -> Result<Self, RuleError> {
        if claims.is_empty() {
            return Err(RuleError::Claims);
        }
        if audience.is_empty() {
            return Err(RuleError::Audience);
        }
        Ok(Self { id, issuer, audience, claims, grant })
    }

    /// Its name.
    pub fn id(&self) -> &RuleId {
        &self.id
    }

    /// Who vouches.
    pub fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// Whom the token must be made for.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// What the token's claims must be.
    pub fn claims(&self) -> &BTreeMap<String, ClaimPattern> {
        &self.claims
    }

    /// What is allowed.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }
}

impl RuleId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl IssuerUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it says of itself where its keys are (OpenID Connect Discovery, 4).
    pub(super) fn configuration(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }
}

impl ClaimPattern {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn fits(&self, value: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => value.starts_with(beginning),
            None => value == self.0,
        }
    }
}

impl FromStr for RuleId {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let good = bytes.first().is_some_and(|byte| plain(*byte))
            && bytes.len() <= 64
            && bytes.iter().all(|byte| plain(*byte) || matches!(byte, b'-' | b'.' | b'_'));
        if good { Ok(Self(text.to_owned())) } else { Err(RuleError::Id(text.to_owned())) }
    }
}

impl FromStr for IssuerUrl {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = || RuleError::Issuer(text.to_owned());
        let url: Url = text.parse().map_err(|_| error())?;
        let good = url.scheme() == "https"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && text.len() <= 512
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if good { Ok(Self(text.to_owned())) } else { Err(error()) }
    }
}

impl FromStr for ClaimPattern {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let beginning = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || beginning.contains('*') {
            return Err(RuleError::Pattern(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

macro_rules! texts {
    ($($type:ty),+) => {
        $(
            impl fmt::Display for $type {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl TryFrom<String> for $type {
                type Error = RuleError;

                fn try_from(text: String) -> Result<Self, RuleError> {
                    text.parse()
                }
            }

            impl From<$type> for String {
                fn from(text: $type) -> Self {
                    text.0
                }
            }
        )+
    };
}

texts!(RuleId, IssuerUrl, ClaimPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_fits_a_text_or_its_beginning() {
        let fits = |pattern: &str, value| pattern.parse::<ClaimPattern>().unwrap().fits(value);
        assert!(fits("refs/heads/main", "refs/heads/main"));
        assert!(!fits("refs/heads/main", "refs/heads/main2"));
        assert!(fits("refs/tags/*", "refs/tags/v1"));
        assert!(!fits("refs/tags/*", "refs/heads/refs/tags/v1"));
        assert!(fits("*", "anything"));
        for bad in ["", "**", "a*b", "*b"] {
            assert!(bad.parse::<ClaimPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn issuer_is_reached_over_https_alone() {
        let issuer: IssuerUrl = "https://ci.example.com/team/".parse().unwrap();
        let wanted = "https://ci.example.com/team/.well-known/openid-configuration";
        assert_eq!(issuer.configuration(), wanted);
        for bad in [
            "http://ci.example.com",
            "https://user@ci.example.com",
            "https://ci.example.com?x",
            "https://ci.example.com#x",
            "file:///etc/passwd",
            "ci.example.com",
        ] {
            assert!(bad.parse::<IssuerUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rule_without_a_claim_or_an_audience_is_none() {
        let rule = |audience: &str, claims| {
            let (id, issuer) = ("ci".parse().unwrap(), "https://ci.example.com".parse().unwrap());
            Rule::new(id, issuer, audience.to_owned(), claims, Grant::default()).map(drop)
        };
        let claims = BTreeMap::from([("sub".to_owned(), "x".parse().unwrap())]);
        assert_eq!(rule("registry", BTreeMap::new()), Err(RuleError::Claims));
        assert_eq!(rule("", claims.clone()), Err(RuleError::Audience));
        assert_eq!(rule("registry", claims), Ok(()));
    }
}
