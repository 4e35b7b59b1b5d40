//! What can go wrong with one request.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aci::{Refusal, Refuse};
use url::Url;

use super::retry::{LONGEST_ASKED, duration, is_temporary};
use super::{ProxyError, status_kind};
use crate::credentials::CredentialsError;
use crate::error::{Kind, chain, refusal};

/// Why a request gave nothing that can be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpError {
    /// The file of CA certificates cannot be used.
    #[error("cannot use the CA file {}: {why}", .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be set up on this machine.
    #[error("TLS cannot be set up: {why}")]
    Tls {
        /// What is missing.
        why: String,
    },
    /// The address an override names cannot be found.
    #[error("cannot look up {target}, which the configuration names for {url}: {why}")]
    LookUp {
        /// What was asked for.
        url: Box<Url>,
        /// The override's target.
        target: String,
        /// What the system said.
        why: String,
    },
    /// No connection, or no answer.
    #[error("cannot get {url}: {why}")]
    Request {
        /// What was asked for.
        url: Box<Url>,
        /// The chain of causes.
        why: String,
        /// Whether there was a connection, which broke off.
        dropped: bool,
    },
    /// The proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The configured credentials cannot be used.
    #[error(transparent)]
    CredentialsUnusable(Arc<CredentialsError>),
    /// Nothing came for too long.
    #[error("{url} did not answer in time")]
    Timeout {
        /// What was asked for.
        url: Box<Url>,
    },
    /// The body ended before its end.
    #[error("the answer of {url} ended early: {why}")]
    EndedEarly {
        /// What was asked for.
        url: Box<Url>,
        /// What the HTTP library said.
        why: String,
    },
    /// Another status than 200.
    #[error("{url} answered with status {status}{}", after_colon(.said))]
    Status {
        /// What was asked for.
        url: Box<Url>,
        /// The status.
        status: u16,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// What the server says of it, made safe to print.
        said: Option<Box<Refusal>>,
    },
    /// More bytes than such a document may have.
    #[error("{url} gave more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: Box<Url>,
        /// The limit.
        limit: u64,
    },
    /// Redirect upon redirect.
    #[error("{url} led through more than {limit} redirects")]
    TooManyRedirects {
        /// What was asked for first.
        url: Box<Url>,
        /// How many are followed.
        limit: usize,
    },
    /// A redirect to nowhere.
    #[error("{url} redirects to {location:?}, which is no URL")]
    Redirect {
        /// Who redirects.
        url: Box<Url>,
        /// Where to.
        location: String,
    },
    /// A redirect away from `https`.
    #[error("{url} redirects to {target}, which is not https")]
    Downgrade {
        /// Who redirects.
        url: Box<Url>,
        /// Where to.
        target: Box<Url>,
    },
    /// A URL that is not `https`.
    #[error("{url} is not https")]
    NotHttps {
        /// The URL.
        url: Box<Url>,
    },
    /// A URL with a user name or password in it.
    #[error("a URL of {host} has a user name or password in it")]
    Credentials {
        /// The host of the URL; the rest is not repeated.
        host: String,
    },
}

impl HttpError {
    pub(crate) fn request(url: &Url, error: reqwest::Error) -> Self {
        let url = Box::new(url.clone());
        let dropped = !error.is_connect();
        if error.is_timeout() && dropped {
            Self::Timeout { url }
        } else {
            // The error would name the URL again.
            Self::Request { url, why: chain(&error.without_url()), dropped }
        }
    }

    pub(crate) fn status(url: &Url, status: u16, retry_after: Option<Duration>) -> Self {
        Self::Status { url: Box::new(url.clone()), status, retry_after, said: None }
    }

    /// The same, with what the server says of it.
    pub(super) fn because(mut self, words: Option<Box<Refusal>>) -> Self {
        if let Self::Status { said, .. } = &mut self {
            *said = words;
        }
        self
    }

    /// The status, and what the server says of it.
    pub(crate) fn answer(&self) -> Option<(u16, Option<&Refusal>)> {
        match self {
            Self::Status { status, said, .. } => Some((*status, said.as_deref())),
            _ => None,
        }
    }

    /// Whether credentials are lacking, or do not do.
    pub(crate) fn is_of_credentials(&self) -> bool {
        matches!(self.answer(), Some((401 | 403, _)))
    }

    /// Whether the same request may do better a little later: a connection that broke off,
    /// silence, a server that is busy. A host that is not there, a certificate that is not
    /// believed and an answer of "no" stay as they are.
    pub(crate) fn may_get_better(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::EndedEarly { .. } => true,
            Self::Request { dropped, .. } => *dropped,
            Self::Status { status, retry_after, .. } => {
                is_temporary(*status) && retry_after.is_none_or(|asked| asked <= LONGEST_ASKED)
            }
            _ => false,
        }
    }

    /// How long the server asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether another server of the same image may do better.
    pub(crate) fn is_of_the_server(&self) -> bool {
        matches!(self.kind(), Kind::Network | Kind::NotFound | Kind::Server)
    }

    /// Whether the server was reached and said something.
    pub(crate) fn was_answered(&self) -> bool {
        !matches!(
            self,
            Self::Request { .. } | Self::Timeout { .. } | Self::LookUp { .. } | Self::Tls { .. }
        )
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Tls { .. } => Kind::Failed,
            Self::CaFile { .. } | Self::Proxy(_) | Self::CredentialsUnusable(_) => Kind::Usage,
            Self::LookUp { .. }
            | Self::Request { .. }
            | Self::Timeout { .. }
            | Self::EndedEarly { .. }
            | Self::TooManyRedirects { .. }
            | Self::Redirect { .. } => Kind::Network,
            Self::Status { status, .. } => status_kind(*status),
            Self::TooLarge { .. }
            | Self::Downgrade { .. }
            | Self::NotHttps { .. }
            | Self::Credentials { .. } => Kind::Refused,
        }
    }
}

impl Refuse for HttpError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::CaFile { path, why } => refusal(
                "ca-file-invalid",
                self,
                "a readable file of PEM certificates",
                why.clone(),
                "--ca-file, GANTRY_CA_FILE and ca-file name CA certificates trusted besides the system's",
                format!("look at {}, or name another file", path.display()),
            ),
            Self::Tls { why } => refusal(
                "tls-unavailable",
                self,
                "CA certificates to check servers with",
                why.clone(),
                "every request is made over TLS with a checked certificate",
                "install the system's CA certificates (package ca-certificates), or give --ca-file",
            ),
            Self::Proxy(error) => error.refusal(),
            Self::CredentialsUnusable(error) => error.refusal(),
            Self::Status { url, status, retry_after, said } => {
                self.of_status(url, *status, *retry_after, said.as_deref())
            }
            Self::TooLarge { limit, .. } => refusal(
                "answer-too-large",
                self,
                format!("at most {limit} bytes"),
                "more",
                "everything from outside has a limit",
                "ask the server's owner what is served there",
            ),
            Self::Downgrade { target, .. } => refusal(
                "redirect-not-https",
                self,
                "a redirect to an https URL",
                target.as_str(),
                "https is never left, so that nobody on the way can answer",
                "ask the server's owner to redirect to https",
            ),
            Self::NotHttps { url } => refusal(
                "url-not-https",
                self,
                "an https URL",
                url.as_str(),
                "everything is fetched over https",
                "use the https URL, or give up that protection for one command: \
                 --insecure-allow-http, for keys --insecure-keys-over-http",
            ),
            Self::Credentials { .. } => refusal(
                "url-with-credentials",
                self,
                "a URL without user name and password",
                "one with them",
                "credentials are never taken from a URL, which pages and redirects can name",
                "leave them out",
            ),
            Self::EndedEarly { why, .. } => self.of_network("a whole answer", why),
            Self::LookUp { why, .. } => {
                self.of_network("an address for the override's connect", why)
            }
            Self::Request { why, .. } => self.of_network("an answer", why),
            Self::Timeout { .. } => self.of_network("an answer in time", "silence"),
            Self::TooManyRedirects { limit, .. } => {
                self.of_network(&format!("at most {limit} redirects"), "more")
            }
            Self::Redirect { location, .. } => self.of_network("a redirect to a URL", location),
        }
    }
}

impl HttpError {
    fn of_network(&self, wanted: &str, found: &str) -> Refusal {
        refusal(
            "network",
            self,
            wanted,
            found,
            "HTTPS on port 443 of the name's own host, or where an [[override]] of the configuration leads",
            "check the connection, the host's certificate (--ca-file) and the [[override]] entries, and try again",
        )
    }

    fn of_status(
        &self,
        url: &Url,
        status: u16,
        retry_after: Option<Duration>,
        said: Option<&Refusal>,
    ) -> Refusal {
        let asks = retry_after
            .filter(|_| is_temporary(status))
            .map(|asked| format!("try again in {}, as the server asks", duration(asked)));
        let own = match status {
            401 | 403 => {
                "ask the server's owner for access, and put what shows who you are into \
                 [[credentials]] of the configuration, auth.d or the file of --auth-file"
            }
            404 | 410 => "check the name, version and labels",
            500.. => "try again later; the server's log says more",
            _ => "ask the server's owner",
        };
        let own = asks.as_deref().unwrap_or(own);
        let code = if matches!(status, 404 | 410) { "not-found" } else { "http-status" };
        let rule = format!("GET {url} must be answered with 200");
        let found = format!("status {status}");
        let Some(said) = said else { return refusal(code, self, "status 200", found, rule, own) };
        let or = |text: &str, own: &str| if text.is_empty() { own } else { text }.to_owned();
        let next = match (said.next.as_str(), status) {
            ("", _) => own.to_owned(),
            (next, 401 | 403) => format!("{own}; the server says: {next}"),
            (next, _) if asks.is_some() => format!("{own}; the server says: {next}"),
            (next, _) => format!("the server says: {next}"),
        };
        refusal(
            code,
            self,
            or(&said.wanted, "status 200"),
            or(&said.found, &found),
            or(&said.rule, &rule),
            next,
        )
    }
}

/// What a server says, behind what happened.
fn after_colon(said: &Option<Box<Refusal>>) -> String {
    said.as_ref().map_or_else(String::new, |said| format!(": {}", said.message))
}
