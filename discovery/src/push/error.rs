//! Why an image was not pushed.

use std::io;
use std::path::{Path, PathBuf};

use aci::archive::ArchiveError;
use aci::{ImageId, Name, Refusal, Refuse};
use url::Url;

use crate::error::{Kind, refusal};
use crate::http::HttpError;

/// A text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is empty, or has a character that no token has")]
pub struct TokenError;

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// A file of this machine could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The signature is not armored.
    #[error("the signature {} is not ASCII-armored", .path.display())]
    NotArmored {
        /// The signature.
        path: PathBuf,
    },
    /// The image is not acceptable; nothing was sent.
    #[error("{}: {source}", .path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<ArchiveError>,
    },
    /// The name's first segment is no host.
    #[error("{name} does not begin with a host to push to")]
    Host {
        /// The image's name.
        name: Name,
    },
    /// A request failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The registry refused, and says why.
    #[error("the registry refused the image: {}", .refusal.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the registry says.
        refusal: Box<Refusal>,
    },
    /// Another status than success, without an explanation this client can read.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked.
        url: Box<Url>,
        /// The status.
        status: u16,
    },
    /// An answer that makes no sense.
    #[error("{url} does not answer as a registry: {what}")]
    Answer {
        /// Who answered.
        url: Box<Url>,
        /// What is wrong with it.
        what: String,
    },
    /// The registry took something else than was sent.
    #[error("the registry took {found} for the image that was pushed, {wanted}")]
    OtherImage {
        /// The image that was read here.
        wanted: ImageId,
        /// What the registry says it holds.
        found: ImageId,
    },
    /// The inspecting thread died.
    #[error("the inspection stopped: {0}")]
    Stopped(#[source] tokio::task::JoinError),
}

impl PushError {
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::File { .. } | Self::Stopped(_) => Kind::Failed,
            Self::Image { source, .. } => match **source {
                ArchiveError::Io(_) => Kind::Failed,
                _ => Kind::Refused,
            },
            Self::NotArmored { .. } => Kind::Refused,
            Self::Host { .. } => Kind::Usage,
            Self::Http(error) => error.kind(),
            Self::Refused { status, .. } | Self::Status { status, .. } => {
                if *status >= 500 {
                    Kind::Network
                } else {
                    Kind::Server
                }
            }
            Self::Answer { .. } | Self::OtherImage { .. } => Kind::Server,
        }
    }
}

impl Refuse for PushError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Http(error) => error.refusal(),
            // The registry's own words, whole.
            Self::Refused { refusal, .. } => (**refusal).clone(),
            Self::Image { source, .. } => {
                let mut refusal = source.refusal();
                refusal.message = self.to_string();
                refusal
            }
            Self::File { path, source } => refusal(
                "file-unreadable",
                self,
                format!("a readable file {}", path.display()),
                source.to_string(),
                "an image is pushed with its signature: app.aci and app.aci.asc",
                "check the path; gantry sign writes the signature, --signature names another one",
            ),
            Self::NotArmored { path } => refusal(
                "signature-not-armored",
                self,
                "text that begins with -----BEGIN PGP SIGNATURE-----",
                "bytes that are no text",
                "signatures are served as ASCII-armored .asc files (discovery.md)",
                format!("gpg --enarmor < {}, or sign again with gantry sign", path.display()),
            ),
            Self::Host { name } => refusal(
                "host-invalid",
                self,
                "a name that begins with a host: example.com/hello",
                name.host(),
                "without --registry an image is pushed to the host of its name",
                "give --registry URL",
            ),
            Self::Status { url, status } => refusal(
                "http-status",
                self,
                "status 201, or a refusal that says why",
                format!("status {status}"),
                format!("{url} is asked as part of Gantry's push protocol"),
                match status {
                    300..=399 => {
                        "it redirects, which a push does not follow: give --registry with the final URL"
                    }
                    500.. => "try again later; the registry's log says more",
                    _ => "check that a Gantry registry answers there, or give --registry URL",
                },
            ),
            Self::Answer { what, .. } => refusal(
                "answer-invalid",
                self,
                "an answer of Gantry's push protocol",
                what.clone(),
                "a push speaks to a Gantry registry below /-/api/v1/",
                "check that a Gantry registry answers there, or give --registry URL",
            ),
            Self::OtherImage { wanted, found } => refusal(
                "image-id-mismatch",
                self,
                wanted.as_str(),
                found.as_str(),
                "what the registry holds must be what was read here",
                "push again; was the file changed meanwhile?",
            ),
            Self::Stopped(error) => refusal(
                "failed",
                self,
                "an inspection that comes to an end",
                error.to_string(),
                "an image is read and checked before it is sent",
                "report this as a defect of gantry",
            ),
        }
    }
}
