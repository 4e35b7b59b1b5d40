//! What a person asks to be fetched.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use aci::{DigestError, ImageIdPrefix, Label, Labels, Reference, ReferenceError};
use url::{Url, form_urlencoded};

/// Where an image is to come from.
///
/// - `sha512-…`: the image of this ID, or of the one ID that begins so, in the store
/// - `https://…/x.aci`: that URL; its signature is at the same path with `.asc` after it
/// - `file:///…`, a path that begins with `/`, `./` or `../`, and a text that ends in `.aci`: a file
/// - `cimd:appc:v=0:…` and `cimd:aci-archive:v=0:…`: a name, or a URL, as rkt writes them down
/// - anything else: a name, found by discovery
///
/// What lies in the current folder has no say in it, so a checkout with a folder
/// called `example.com` cannot stand in for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A name and labels.
    Name(Reference),
    /// An image ID, or the beginning of one; only the store has it.
    Id(ImageIdPrefix),
    /// A URL.
    Url(Url),
    /// A file of this machine.
    File(PathBuf),
}

/// Why a text is no source of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No URL after all.
    #[error("{text:?} is no URL: {why}")]
    Url {
        /// The text.
        text: String,
        /// What the URL parser said.
        why: url::ParseError,
    },
    /// A URL of a kind that is not fetched.
    #[error("{0:?} cannot be fetched: only https and file URLs can")]
    Scheme(String),
    /// An image of the other format.
    #[error(
        "{0:?} is an image in the format of Docker and OCI: fetching those is not supported yet"
    )]
    Docker(String),
    /// A distribution URI of rkt that is malformed or of an unknown kind.
    #[error(
        "{0:?} is no distribution URI: cimd:appc:v=0:NAME[?LABEL=VALUE&…] or cimd:aci-archive:v=0:URL"
    )]
    Distribution(String),
    /// A URL that does not name an image file.
    #[error("{0:?} does not end in .aci, so where its signature is cannot be told")]
    Extension(String),
    /// A `file` URL that names no file of this machine.
    #[error("{0:?} names no file of this machine")]
    File(String),
    /// A name and an image ID in one.
    #[error(
        "{0:?} is no image reference: ask for the name and labels, or for an image ID by itself, which is looked for in the store"
    )]
    NameAndId(String),
    /// It begins as an image ID does, but is none.
    #[error(transparent)]
    Id(#[from] DigestError),
    /// No name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some(rest) = text.strip_prefix("cimd:") {
            return distribution(text, rest);
        }
        if text.starts_with("docker:") {
            return Err(SourceError::Docker(text.to_owned()));
        }
        if text.contains("://") {
            return location(text);
        }
        if text.starts_with("sha512-") {
            return Ok(Self::Id(text.parse()?));
        }
        let path_like = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
        if path_like || text.ends_with(".aci") {
            return Ok(Self::File(text.into()));
        }
        text.parse().map(Self::Name).map_err(|error| match error {
            ReferenceError::Name { text, .. } if text.contains("@sha512-") => {
                SourceError::NameAndId(text)
            }
            error => error.into(),
        })
    }
}

fn location(text: &str) -> Result<Source, SourceError> {
    let fault = |why| SourceError::Url { text: text.to_owned(), why };
    let mut url = Url::parse(text).map_err(fault)?;
    url.set_fragment(None);
    match url.scheme() {
        // Whether plain http will do is decided when it is asked for.
        "https" | "http" if url.path().ends_with(".aci") => Ok(Source::Url(url)),
        "https" | "http" => Err(SourceError::Extension(text.to_owned())),
        "file" => {
            let path = url.to_file_path();
            path.map(Source::File).map_err(|()| SourceError::File(text.to_owned()))
        }
        _ => Err(SourceError::Scheme(text.to_owned())),
    }
}

/// `KIND:v=NUMBER:DATA`; rkt reads any version as its only one.
fn distribution(text: &str, rest: &str) -> Result<Source, SourceError> {
    let fault = || SourceError::Distribution(text.to_owned());
    let (kind, rest) = rest.split_once(':').ok_or_else(fault)?;
    let (version, data) = rest.split_once(':').ok_or_else(fault)?;
    let number = version.strip_prefix("v=").and_then(|number| number.parse::<u32>().ok());
    number.ok_or_else(fault)?;
    match kind {
        "appc" => {
            let (name, query) = data.split_once('?').unwrap_or((data, ""));
            let name: Reference = unescaped(name).ok_or_else(fault)?.parse()?;
            let labels: Option<Vec<Label>> = form_urlencoded::parse(query.as_bytes())
                .map(|(label, value)| {
                    let name = label.parse().ok()?;
                    Some(Label { name, value: value.into_owned() })
                })
                .collect();
            let labels = labels.and_then(|labels| Labels::try_from(labels).ok());
            if !name.labels().is_empty() {
                return Err(fault());
            }
            Ok(Source::Name(Reference::new(name.name().clone(), labels.ok_or_else(fault)?)))
        }
        "aci-archive" => location(&unescaped(data).ok_or_else(fault)?),
        "docker" => Err(SourceError::Docker(text.to_owned())),
        _ => Err(fault()),
    }
}

/// Percent escapes undone; a `+` stays what it is.
fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Where the signature of an image is, when nothing more is said: at the same URL, the path
/// with `.asc` after it.
pub fn signature_url(image: &Url) -> Url {
    let mut signature = image.clone();
    signature.set_path(&format!("{}.asc", image.path()));
    signature
}

/// `app.aci.asc` for `app.aci`.
pub fn signature_path(image: &Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".asc");
    name.into()
}

/// Where a signature is to come from that is not where signatures are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureSource {
    /// A URL.
    Url(Url),
    /// A file of this machine.
    File(PathBuf),
}

impl FromStr for SignatureSource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let fault = |why| SourceError::Url { text: text.to_owned(), why };
        let mut url = Url::parse(text).map_err(fault)?;
        url.set_fragment(None);
        match url.scheme() {
            "https" | "http" => Ok(Self::Url(url)),
            "file" => {
                let path = url.to_file_path();
                path.map(Self::File).map_err(|()| SourceError::File(text.to_owned()))
            }
            _ => Err(SourceError::Scheme(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_kinds() {
        let kind = |text: &str| match text.parse::<Source>() {
            Ok(Source::Name(_)) => "name",
            Ok(Source::Url(_)) => "url",
            Ok(Source::File(_)) => "file",
            Ok(Source::Id(_)) => "id",
            Err(SourceError::Docker(_)) => "docker",
            Err(_) => "error",
        };
        for (text, wanted) in [
            ("example.com/hello", "name"),
            ("example.com/hello:1.0.0,os=linux", "name"),
            ("example.com/hello:1.0.0,note=x.aci", "file"),
            ("https://example.com/a/hello.aci", "url"),
            ("https://example.com/a/hello.aci?x=1", "url"),
            ("https://example.com/a/hello.tar", "error"),
            ("http://example.com/a/hello.aci", "url"),
            ("sha512-8f1c", "id"),
            ("sha512-8", "error"),
            ("sha512-8F1C", "error"),
            ("docker://busybox", "docker"),
            ("docker:busybox:latest", "docker"),
            ("cimd:docker:v=0:busybox", "docker"),
            ("cimd:appc:v=0:example.com/hello?version=1.0.0", "name"),
            ("cimd:aci-archive:v=0:https%3A%2F%2Fexample.com%2Fhello.aci", "url"),
            ("cimd:aci-archive:v=0:https%3A%2F%2Fexample.com%2Fhello%2", "error"),
            ("cimd:appc:v=0:example.com/hello:1?version=2", "error"),
            ("cimd:appc:example.com/hello", "error"),
            ("ftp://example.com/a/hello.aci", "error"),
            ("file:///srv/hello.aci", "file"),
            ("file://elsewhere/srv/hello.aci", "error"),
            ("hello.aci", "file"),
            ("./hello", "file"),
            ("../hello", "file"),
            ("/srv/hello", "file"),
            ("Hello", "error"),
            ("", "error"),
        ] {
            assert_eq!(kind(text), wanted, "{text}");
        }
    }

    #[test]
    fn source_that_pins_a_name_is_told_how_to_ask() {
        let error = "example.com/a@sha512-8f1c".parse::<Source>().unwrap_err();
        assert!(matches!(error, SourceError::NameAndId(_)), "{error}");
        assert!(error.to_string().contains("an image ID by itself"), "{error}");
    }

    #[test]
    fn source_of_a_distribution_uri_is_what_it_stands_for() {
        let one: Source =
            "cimd:appc:v=0:example.com%2Fa?label=%3F%26%2A&version=1.0+b".parse().unwrap();
        assert_eq!(one, "example.com/a,label=?&*,version=1.0 b".parse().unwrap());
    }

    #[test]
    fn signature_is_beside_its_image() {
        let url = |text: &str| signature_url(&text.parse().unwrap()).to_string();
        assert_eq!(url("https://a.com/x.aci?t=1"), "https://a.com/x.aci.asc?t=1");
        assert_eq!(signature_path(Path::new("/srv/a.aci")), Path::new("/srv/a.aci.asc"));
        assert_eq!("x.asc".parse(), Ok(SignatureSource::File("x.asc".into())));
        assert!("ftp://a.com/x.asc".parse::<SignatureSource>().is_err());
    }
}
