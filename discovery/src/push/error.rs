//! Why an image was not pushed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aci::archive::ArchiveError;
use aci::{ImageId, Name, Refusal, Refuse};
use url::Url;

use crate::error::{Kind, printable, refusal};
use crate::http::{HttpError, LONGEST_ASKED, duration, is_temporary};

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
    /// The image is a pipe, a device or a folder.
    #[error("{} is no regular file", .path.display())]
    NoRegularFile {
        /// What was given.
        path: PathBuf,
    },
    /// The registry's URL is not `https`.
    #[error("{registry} is no https URL, so no token is sent there")]
    NotHttps {
        /// What was given.
        registry: Box<Url>,
    },
    /// Checking certificates was given up, so who answers may be anybody.
    #[error("no token is sent to {registry}, whose certificate would not be checked")]
    Unchecked {
        /// Where it would go.
        registry: Box<Url>,
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
        /// The upload it is about, where several were committed together.
        upload: Option<String>,
        /// How long the registry asks to wait.
        retry_after: Option<Duration>,
    },
    /// Another status than success, without an explanation this client can read.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked.
        url: Box<Url>,
        /// The status.
        status: u16,
        /// How long the registry asks to wait.
        retry_after: Option<Duration>,
    },
    /// One of several images.
    #[error("{}: {source}", .path.display())]
    Of {
        /// The image file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<PushError>,
    },
    /// Images for several registries.
    #[error("the images are for different registries, {first} and {other}")]
    Apart {
        /// The registry of the first.
        first: Box<Url>,
        /// The registry of another one.
        other: Box<Url>,
    },
    /// More images than become visible together.
    #[error("{found} images are too many to be published together")]
    TooMany {
        /// How many may be.
        most: usize,
        /// How many were given.
        found: usize,
    },
    /// The registry takes one image at a time.
    #[error("the registry does not publish several images together")]
    NotTogether,
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

    pub(super) fn of(path: &Path) -> impl FnOnce(Self) -> Self {
        let path = path.to_owned();
        move |error| Self::Of { path, source: Box::new(error) }
    }

    pub(super) fn answer(url: &Url, what: impl Into<String>) -> Self {
        Self::Answer { url: url.clone().into(), what: what.into() }
    }

    /// The refusal's code, in a registry's own words.
    fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { refusal, .. } => Some(&refusal.code),
            _ => None,
        }
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the registry was reached and said something.
    pub(super) fn was_answered(&self) -> bool {
        self.status().is_some()
    }

    /// Whether the same may do better a little later. Of a registry that has been met, that it cannot
    /// be reached is no last word either.
    pub(super) fn may_get_better(&self, met: bool) -> bool {
        match self {
            Self::Http(error) => {
                error.may_get_better() || (met && matches!(error, HttpError::Request { .. }))
            }
            // It saw the body end early, and said so.
            Self::Refused { .. } if self.code() == Some("upload-interrupted") => true,
            Self::Refused { status, retry_after, .. }
            | Self::Status { status, retry_after, .. } => {
                is_temporary(*status) && retry_after.is_none_or(|asked| asked <= LONGEST_ASKED)
            }
            Self::Of { source, .. } => source.may_get_better(met),
            _ => false,
        }
    }

    /// How long the registry asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http(error) => error.retry_after(),
            Self::Refused { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            Self::Of { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    /// Whether what is known of an upload is no longer so: it is over, is done, or holds less.
    pub(super) fn upload_changed(&self) -> bool {
        let codes = ["upload-unknown", "upload-published", "upload-gaps"];
        self.code().is_some_and(|code| codes.contains(&code))
    }

    /// The upload it is about, where several were committed together.
    pub(super) fn refused_upload(&self) -> Option<&str> {
        match self {
            Self::Refused { upload, .. } => upload.as_deref(),
            _ => None,
        }
    }

    /// Whether the request was not understood.
    pub(super) fn is_malformed(&self) -> bool {
        self.status() == Some(400) && self.code() == Some("request-malformed")
    }

    /// Whether the request is none that is known there.
    pub(super) fn no_ranges(&self) -> bool {
        matches!(self.status(), Some(404 | 405 | 501))
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
            Self::Host { .. }
            | Self::NoRegularFile { .. }
            | Self::NotHttps { .. }
            | Self::Unchecked { .. }
            // Those of the registry's own URL: no other is asked.
            | Self::Http(HttpError::Credentials { .. }) => Kind::Usage,
            Self::Http(error) => error.kind(),
            Self::Refused { status, .. } | Self::Status { status, .. } => {
                if is_temporary(*status) || self.code() == Some("upload-interrupted") {
                    Kind::Network
                } else {
                    Kind::Server
                }
            }
            Self::Answer { .. } | Self::OtherImage { .. } | Self::NotTogether => Kind::Server,
            Self::Apart { .. } | Self::TooMany { .. } => Kind::Usage,
            Self::Of { source, .. } => source.kind(),
        }
    }
}

impl Refuse for PushError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Http(error) => error.refusal(),
            // The registry's own words, whole.
            Self::Refused { refusal, retry_after, .. } => {
                let mut refusal = (**refusal).clone();
                if let Some(asked) = retry_after {
                    let wait = format!("the registry asks to wait for {}", duration(*asked));
                    refusal.next = match &*refusal.next {
                        "" => wait,
                        next => format!("{next}; {wait}"),
                    };
                }
                refusal
            }
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
                {
                    let path = path.display();
                    format!(
                        "sign the image again: gantry sign FILE --key KEY --overwrite --output {path}, \
                         or gpg --armor --yes --output {path} --detach-sign FILE"
                    )
                },
            ),
            Self::NoRegularFile { path } => refusal(
                "file-not-regular",
                self,
                format!("a regular file {}", path.display()),
                "a pipe, a device or a folder",
                "an image is read more than once: to check it, to send it, and to go on where that broke off",
                "write the image into a file, and push that",
            ),
            Self::NotHttps { registry } => refusal(
                "url-not-https",
                self,
                "an https URL of the registry",
                registry.as_str(),
                "a token goes over https alone; no option gives that up",
                format!("give the registry's https URL, as in --registry {}", by_https(registry)),
            ),
            Self::Unchecked { registry } => refusal(
                "certificate-unchecked",
                self,
                format!("a checked certificate of {registry}"),
                "--insecure-skip-tls-verify",
                "credentials are sent over TLS with a checked certificate only",
                "leave the option out; where the registry's certificate is of an authority of its own, give \
                 --ca-file FILE",
            ),
            Self::Host { name } => refusal(
                "host-invalid",
                self,
                "a name that begins with a host: example.com/hello",
                name.host(),
                "without --registry an image is pushed to the host of its name",
                "give --registry URL",
            ),
            Self::Of { path, source } => {
                let refusal = source.refusal();
                let path = printable(&path.display().to_string());
                Refusal { message: format!("{path}: {}", refusal.message), ..refusal }
            }
            Self::Apart { first, other } => refusal(
                "registries-differ",
                self,
                "images for one registry",
                format!("one for {first}, one for {other}"),
                "images that are pushed by one command become visible together or not at all, which one registry can do",
                "push those of each host by themselves, or give --registry URL",
            ),
            Self::TooMany { most, found } => refusal(
                "group-size",
                self,
                format!("at most {most} images"),
                found.to_string(),
                "images that are pushed by one command become visible together or not at all",
                "push them in several groups",
            ),
            Self::NotTogether => refusal(
                "groups-unknown",
                self,
                "a registry that publishes several images together",
                "one that takes each by itself",
                "images that are pushed by one command become visible together or not at all",
                "push them one by one, or ask the registry's owner for a newer version of it",
            ),
            Self::Status { url, status, retry_after } => refusal(
                "http-status",
                self,
                "status 201, or a refusal that says why",
                format!("status {status}"),
                format!("{url} is asked as part of Gantry's push protocol"),
                next_after(*status, *retry_after),
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

/// What somebody may have meant by a URL of another scheme, or of none: `localhost:8443` has the
/// scheme `localhost`.
fn by_https(url: &Url) -> String {
    let text = url.as_str();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    format!("https://{rest}")
}

/// What to do about a status that nobody explains.
fn next_after(status: u16, retry_after: Option<Duration>) -> String {
    let next = match (status, retry_after) {
        (status, Some(asked)) if is_temporary(status) => {
            return format!("try again in {}, as the server asks", duration(asked));
        }
        (300..=399, _) => {
            "it redirects, which a push does not follow: give --registry with the final URL"
        }
        (404 | 405 | 501, _) => {
            "no Gantry registry is there: check --registry, or the host of the image's name"
        }
        (413, _) => {
            "a proxy before the registry most likely limits the body of a request: have its limit \
             raised (client_max_body_size of nginx)"
        }
        (500.., _) => "try again later; the registry's log says more",
        _ => "check that a Gantry registry answers there, or give --registry URL",
    };
    next.to_owned()
}
