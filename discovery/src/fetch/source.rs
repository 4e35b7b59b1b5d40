//! What a person asks to be fetched.

use std::path::PathBuf;
use std::str::FromStr;

use aci::{Reference, ReferenceError};
use url::Url;

/// Where an image is to come from.
///
/// - `https://…/x.aci`: that URL; its signature is at the same path with `.asc` after it
/// - `file:///…`, a path that begins with `/`, `./` or `../`, and a text that ends in `.aci`: a file
/// - anything else: a name, found by discovery
///
/// What lies in the current folder has no say in it, so a checkout with a folder
/// called `example.com` cannot stand in for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A name and labels.
    Name(Reference),
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
    /// A URL that does not name an image file.
    #[error("{0:?} does not end in .aci, so where its signature is cannot be told")]
    Extension(String),
    /// A `file` URL that names no file of this machine.
    #[error("{0:?} names no file of this machine")]
    File(String),
    /// No name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some((scheme, _)) = text.split_once("://") {
            let fault = |why| SourceError::Url { text: text.to_owned(), why };
            let mut url = Url::parse(text).map_err(fault)?;
            url.set_fragment(None);
            return match scheme {
                "https" if url.path().ends_with(".aci") => Ok(Self::Url(url)),
                "https" => Err(SourceError::Extension(text.to_owned())),
                "file" => {
                    let path = url.to_file_path();
                    path.map(Self::File).map_err(|()| SourceError::File(text.to_owned()))
                }
                _ => Err(SourceError::Scheme(text.to_owned())),
            };
        }
        let path_like = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
        if path_like || text.ends_with(".aci") {
            return Ok(Self::File(text.into()));
        }
        Ok(Self::Name(text.parse()?))
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
            Err(_) => "error",
        };
        for (text, wanted) in [
            ("example.com/hello", "name"),
            ("example.com/hello:1.0.0,os=linux", "name"),
            ("example.com/hello:1.0.0,note=x.aci", "file"),
            ("https://example.com/a/hello.aci", "url"),
            ("https://example.com/a/hello.aci?x=1", "url"),
            ("https://example.com/a/hello.tar", "error"),
            ("http://example.com/a/hello.aci", "error"),
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
}
