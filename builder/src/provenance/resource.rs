//! Things that a statement names: what goes into a build, and what comes out.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aci::{ContentDigest, FileDigest, ImageId};
use serde_json::{Map, Value, json};

use super::put;

/// Digests of one thing by the names of their algorithms (in-toto's `DigestSet`): whoever
/// verifies may take any of them that they trust.
///
/// - at least one
/// - digits in lower case
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestSet(BTreeMap<&'static str, String>);

impl DigestSet {
    /// The SHA-256 of a file.
    pub fn sha256(digest: &ContentDigest) -> Self {
        Self::one("sha256", digest.digits())
    }

    /// The SHA-512 of a file as it lies on disk.
    pub fn sha512(digest: &FileDigest) -> Self {
        Self::one("sha512", digest.digits().to_owned())
    }

    /// The image ID, for a thing that is the image's uncompressed archive. An image file that
    /// is compressed has another SHA-512.
    pub fn archive(image_id: &ImageId) -> Self {
        Self::one("sha512", image_id.digits().to_owned())
    }

    /// The commit of a Git repository.
    pub fn git_commit(commit: &GitCommit) -> Self {
        Self::one("gitCommit", commit.0.clone())
    }

    /// These and those; one of `self` goes before one of the same algorithm.
    pub fn and(mut self, other: Self) -> Self {
        for (name, digits) in other.0 {
            self.0.entry(name).or_insert(digits);
        }
        self
    }

    fn one(name: &'static str, digits: String) -> Self {
        Self(BTreeMap::from([(name, digits)]))
    }

    pub(super) fn json(&self) -> Value {
        json!(self.0)
    }
}

/// The name of a commit.
///
/// - 40 hex digits of SHA-1, or 64 of SHA-256, in lower case
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCommit(String);

/// A text that names no commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a commit: 40 or 64 hex digits in lower case")]
pub struct GitCommitError(String);

impl FromStr for GitCommit {
    type Err = GitCommitError;

    fn from_str(text: &str) -> Result<Self, GitCommitError> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits && matches!(text.len(), 40 | 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(GitCommitError(text.to_owned()))
        }
    }
}

/// Where a thing is, or what it is called everywhere (RFC 3986).
///
/// - a scheme, a colon, and more
/// - printable ASCII without blanks, quotes, and brackets that are not square
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceUri(String);

/// A text that is no URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no URI such as urn:example:builder (RFC 3986)")]
pub struct ResourceUriError(String);

impl FromStr for ResourceUri {
    type Err = ResourceUriError;

    fn from_str(text: &str) -> Result<Self, ResourceUriError> {
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let in_rest = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        if scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(in_scheme)
            && !rest.is_empty()
            && rest.bytes().all(in_rest)
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(ResourceUriError(text.to_owned()))
        }
    }
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A thing that is named (in-toto's `ResourceDescriptor`).
///
/// - has a digest, a URI, or both
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    name: Option<String>,
    uri: Option<ResourceUri>,
    digest: Option<DigestSet>,
    media_type: Option<String>,
    annotations: Map<String, Value>,
}

impl Resource {
    /// What has these digests, wherever it is.
    pub fn of_digest(digest: DigestSet) -> Self {
        Self { digest: Some(digest), ..Self::empty() }
    }

    /// What is called this, whatever it is.
    pub fn of_uri(uri: ResourceUri) -> Self {
        Self { uri: Some(uri), ..Self::empty() }
    }

    fn empty() -> Self {
        let annotations = Map::new();
        Self { name: None, uri: None, digest: None, media_type: None, annotations }
    }

    /// With a name that tells it from its neighbours.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// With the place where it was found.
    pub fn at(self, uri: ResourceUri) -> Self {
        Self { uri: Some(uri), ..self }
    }

    /// With these digests.
    pub fn with_digest(self, digest: DigestSet) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// With a media type: `application/spdx+json`.
    pub fn of_type(self, media_type: impl Into<String>) -> Self {
        Self { media_type: Some(media_type.into()), ..self }
    }

    /// With something more that is known of it.
    pub fn annotated(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn json(&self) -> Value {
        let mut object = Map::new();
        put(&mut object, "name", self.name.as_deref().map(Value::from));
        put(&mut object, "uri", self.uri.as_ref().map(|uri| Value::from(uri.0.as_str())));
        put(&mut object, "digest", self.digest.as_ref().map(DigestSet::json));
        put(&mut object, "mediaType", self.media_type.as_deref().map(Value::from));
        let annotations = Some(&self.annotations).filter(|annotations| !annotations.is_empty());
        put(&mut object, "annotations", annotations.cloned().map(Value::Object));
        Value::Object(object)
    }
}
